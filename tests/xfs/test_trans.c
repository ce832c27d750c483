/* SPDX-License-Identifier: GPL-2.0-only */
/* Transactions: put together from every way the log may split them, and refused by name where the format is broken. */
#include "logbuild.h"
#include "walk.h"

#include <errno.h>
#include "format.h"
#include "mutate.h"

#define CONT XLOG_CONTINUE_TRANS
#define WAS XLOG_WAS_CONT_TRANS
#define END XLOG_END_TRANS

static struct lb lb;
static struct lb_seen seen;

static void reset(void)
{
	lb_begin(&lb, 3, lb.log.bbs - 20);
	lb.len = lb.ops = 0;
}

static int open_log(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;

	(void)state;
	lb_init(&lb, &b, lb_process);
	reset();
	return 0;
}

static int close_log(void **state)
{
	(void)state;
	lb_end(&lb);
	return 0;
}

static int find_and_walk(void)
{
	int error = lb_find(&lb);

	if (error)
		fail_msg("xr_head_find: %d: %s", error, lb.said.text);
	return lb_walk(&lb, &seen);
}

static void test_plain(void **state)
{
	uint64_t lsn = xr_lsn(lb.cycle, lb.block), second;

	(void)state;
	lb_trans(&lb, 1, 128);
	lb_trans(&lb, 2, 4);
	lb_start(&lb, 3);
	for (uint32_t i = 0; i < 20; i++)
		lb_item(&lb, 3, 0, 1, 500 + 4 * i);
	lb_flush(&lb);
	second = xr_lsn(lb.cycle, lb.block);
	lb_item(&lb, 3, 0, 3, 28);
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t data[256];

		lb_pattern(data, sizeof(data), 3);
		lb_op(&lb, 3, 0, data, sizeof(data));
	}
	lb_commit(&lb, 3);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.t[0].tid, 1);
	assert_int_equal(seen.t[0].lsn, lsn);
	assert_int_equal(seen.t[0].commit_lsn, lsn);
	assert_int_equal(seen.t[1].bytes, 4);
	assert_int_equal(seen.t[2].lsn, lsn);
	assert_int_equal(seen.t[2].commit_lsn, second);
	assert_int_equal(seen.t[2].items, 21);
	assert_int_equal(seen.t[2].regions, 23);
	for (size_t i = 0; i < 3; i++)
		assert_true(seen.t[i].pattern);
	assert_int_equal(seen.stats.committed, 3);
	assert_int_equal(seen.stats.unfinished, 0);
	assert_int_equal(seen.stats.records, 2);
	assert_int_equal(seen.stats.operations, 4 + 4 + 26);
	assert_true(seen.stats.peak > 20 * 500);
}

/* A region of len bytes, cut into pieces of at most piece bytes, a record each. */
static void split_region(uint32_t tid, uint32_t len, uint32_t piece)
{
	uint8_t *item = malloc(len);

	assert_non_null(item);
	lb_pattern(item, len, tid);
	item[0] = 0x3c;
	item[1] = 0x12;
	item[2] = 1;
	item[3] = 0;
	for (uint32_t at = 0; at < len; at += piece) {
		uint32_t n = len - at < piece ? len - at : piece;

		lb_op(&lb, tid, at == 0 ? CONT : at + n < len ? CONT | WAS : WAS | END, item + at, n);
		lb_flush(&lb);
	}
	free(item);
}

static void test_split_region(void **state)
{
	static const uint32_t pieces[] = {4, 8, 100, 1000, 4996};

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		reset();
		lb_start(&lb, 9);
		lb_item(&lb, 9, 0, 1, 64);
		split_region(9, pieces[i] < 100 ? 100 : 5000, pieces[i]);
		lb_item(&lb, 9, 0, 1, 64);
		lb_commit(&lb, 9);
		lb_flush(&lb);
		assert_int_equal(find_and_walk(), 0);
		assert_int_equal(seen.n, 1);
		assert_int_equal(seen.t[0].items, 3);
		assert_int_equal(seen.t[0].regions, 3);
		assert_true(seen.t[0].pattern);
	}
}

/* A region far larger than a chunk of the arena, in 25 pieces. */
static void test_large_region(void **state)
{
	(void)state;
	lb_start(&lb, 9);
	split_region(9, 790000, 32000);
	lb_commit(&lb, 9);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.t[0].bytes, 790000);
	assert_true(seen.t[0].pattern);
	assert_true(seen.stats.peak < 8u << 20);
}

static void test_split_header(void **state)
{
	static const uint8_t header[16] = {0x4e, 0x41, 0x52, 0x54, 40};

	(void)state;
	for (uint32_t first = 4; first < 16; first += 4) {
		reset();
		lb_op(&lb, 5, XLOG_START_TRANS, NULL, 0);
		lb_op(&lb, 5, CONT, header, first);
		lb_flush(&lb);
		lb_op(&lb, 5, WAS | END, header + first, 16 - first);
		lb_item(&lb, 5, 0, 1, 64);
		lb_commit(&lb, 5);
		lb_flush(&lb);
		assert_int_equal(find_and_walk(), 0);
		assert_int_equal(seen.n, 1);
		assert_int_equal(seen.t[0].items, 1);
		assert_true(seen.t[0].pattern);
	}
}

static void test_interleaved(void **state)
{
	(void)state;
	for (uint32_t tid = 1; tid <= 40; tid++)
		lb_start(&lb, tid * 0x1000000);
	for (uint32_t i = 0; i < 4; i++) {
		for (uint32_t tid = 1; tid <= 40; tid++)
			lb_item(&lb, tid * 0x1000000, 0, 1, 4 * tid + i * 4);
		lb_flush(&lb);
	}
	for (uint32_t tid = 40; tid >= 1; tid--)
		lb_commit(&lb, tid * 0x1000000);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.n, 40);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(seen.t[i].tid, (40 - i) * 0x1000000);
		assert_int_equal(seen.t[i].items, 4);
		assert_true(seen.t[i].pattern);
	}
}

/* A tid whose transaction began before the tail is passed over, with all it has; one without a COMMIT is dropped. */
static void test_cut_off(void **state)
{
	(void)state;
	lb_item(&lb, 1, 0, 1, 64);
	lb_op(&lb, 1, WAS, "abcd", 4);
	lb_commit(&lb, 1);
	lb_trans(&lb, 2, 64);
	lb_start(&lb, 3);
	lb_item(&lb, 3, 0, 1, 64);
	lb_start(&lb, 4);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.t[0].tid, 2);
	assert_int_equal(seen.stats.unfinished, 2);
	/* The same tid once more, behind its commit, is another transaction. */
	lb_trans(&lb, 2, 64);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.n, 2);
}

/* Unmount operations inside: of nobody, and of an open transaction, which ends by it. */
static void test_unmount_inside(void **state)
{
	(void)state;
	lb_op(&lb, 77, XLOG_UNMOUNT_TRANS, NULL, 0);
	lb_start(&lb, 3);
	lb_item(&lb, 3, 0, 1, 64);
	lb_op(&lb, 3, XLOG_UNMOUNT_TRANS, NULL, 0);
	lb_commit(&lb, 3);
	lb_trans(&lb, 4, 64);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.stats.unfinished, 0);
	assert_said(&lb.said, "unmount");
}

static void test_most_regions(void **state)
{
	uint8_t data[8];

	(void)state;
	lb_pattern(data, sizeof(data), 6);
	lb_start(&lb, 6);
	lb_item(&lb, 6, 0, 257, 8);
	for (int i = 0; i < 256; i++)
		lb_op(&lb, 6, 0, data, sizeof(data));
	lb_op(&lb, 6, 0, NULL, 0); /* no region at all */
	lb_commit(&lb, 6);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.t[0].items, 1);
	assert_int_equal(seen.t[0].regions, 257);
	assert_true(seen.t[0].pattern);
}

/* Version 1: one header block, data to the byte. */
static void test_version_1(void **state)
{
	(void)state;
	lb.version = 1;
	lb_trans(&lb, 1, 1000);
	lb_flush(&lb);
	lb_trans(&lb, 2, 32000);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.n, 2);
	assert_true(seen.t[0].pattern && seen.t[1].pattern);
	assert_int_equal(seen.stats.bytes, 1000 + 32000 + 2 * (4 * 12 + 16));
}

/* --- items that need not wait --- */

/* Of four items in a row one waits for the COMMIT, one is of no interest, one is settled as soon as it is whole, and one waits. */
enum { WAITS, UNWANTED, SETTLED, FATES = 4 };
#define MIXED_MAX 400u

static uint16_t mixed_count(uint32_t number)
{
	return (uint16_t)(1 + number / FATES % 3);
}

/* A region of an item: gives its length, which is any. */
static uint32_t mixed_region(uint32_t tid, uint32_t number, uint16_t region, uint8_t data[MIXED_MAX])
{
	uint32_t len = 4 + (tid * 53 + number * 29 + region * 17) % (MIXED_MAX - 4);

	lb_pattern(data, len, tid * 100 + number * 4 + region);
	if (!region) {
		lb_put(&lb, data, LB_BLF, 2);
		lb_put(&lb, data + 2, mixed_count(number), 2);
	}
	return len;
}

static bool mixed_ok(const struct xr_trans *trans, const struct xr_item *item)
{
	uint8_t data[MIXED_MAX];

	if (item->have != mixed_count(item->number) || item->count != item->have)
		return false;
	for (uint16_t r = 0; r < item->have; r++)
		if (item->regions[r].size != mixed_region(trans->tid, item->number, r, data) ||
		    memcmp(item->regions[r].data, data, item->regions[r].size) != 0)
			return false;
	return true;
}

struct mixed {
	uint32_t settled, committed, refuse; /* refuse: the settled item, counted from 1, that is an error */
};

static bool mixed_wants(const void *arg, const struct xr_item *item)
{
	(void)arg;
	return item->number % FATES != UNWANTED;
}

static int mixed_settle(void *arg, const struct xr_trans *trans, const struct xr_item *item)
{
	struct mixed *m = arg;

	assert_int_not_equal(item->number % FATES, UNWANTED);
	assert_true(mixed_ok(trans, item));
	if (item->number % FATES != SETTLED)
		return 0;
	return ++m->settled == m->refuse ? -ECANCELED : 1;
}

static int mixed_commit(void *arg, const struct xr_trans *trans)
{
	struct mixed *m = arg;
	uint32_t number = 0;

	assert_int_equal(trans->nlogged, 40);
	assert_int_equal(trans->nitems, 20);
	for (size_t i = 0; i < trans->nitems; i++, number += number % FATES == WAITS ? 3 : 1) {
		assert_int_equal(trans->items[i].number, number);
		assert_true(mixed_ok(trans, &trans->items[i]));
	}
	m->committed++;
	return 0;
}

/* The record is gone: what is read next comes where it was. */
static void mixed_progress(void *arg, uint32_t done, uint32_t all)
{
	(void)arg;
	(void)done;
	(void)all;
	xr_ring_forget(lb.log.ring);
}

/* The regions of all items of four transactions, in turn and in pieces, over many records. */
static void log_mixed(struct mutate *random)
{
	uint32_t number[4] = {0}, region[4] = {0}, at[4] = {0}, open = 4;
	uint8_t data[MIXED_MAX];

	for (uint32_t tid = 0; tid < 4; tid++)
		lb_start(&lb, tid);
	while (open) {
		uint32_t tid = mutate_random(random, 4), len, n;

		if (!mutate_random(random, 12) && lb.len)
			lb_flush(&lb);
		if (number[tid] == 40)
			continue;
		len = mixed_region(tid, number[tid], (uint16_t)region[tid], data);
		n = !at[tid] && len > 8 && mutate_random(random, 2) ? len / 2 : 1 + mutate_random(random, len - at[tid]);
		n = at[tid] + n > len || (!at[tid] && n < 4) ? len - at[tid] : n;
		lb_op(&lb, tid,
		      (uint8_t)((at[tid] ? WAS : 0) | (at[tid] + n < len ? CONT
						       : at[tid]         ? END
									 : 0)),
		      data + at[tid], n);
		at[tid] = (at[tid] + n) % len;
		if (at[tid] || ++region[tid] < mixed_count(number[tid]))
			continue;
		region[tid] = 0;
		if (++number[tid] < 40)
			continue;
		lb_commit(&lb, tid);
		open--;
	}
	lb_flush(&lb);
}

/* Without a thread that makes records ahead: the test takes the window's records away. */
static int walk_alone(const struct xr_walker *walker)
{
	int ret;

	assert_int_equal(xr_walk_create(&lb.log.walk, &lb.log, lb.head.tail, xr_head_end(&lb.head), 1), 0);
	ret = xr_trans_walk_some(&lb.log, &lb.head, walker, NULL);
	xr_walk_destroy(lb.log.walk);
	lb.log.walk = NULL;
	return ret;
}

static void test_mixed(void **state)
{
	struct mutate random = {1};

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct mixed m = {0};
		const struct xr_walker walker = {.commit = mixed_commit,
						 .wants = mixed_wants,
						 .settle = mixed_settle,
						 .arg = &m,
						 .progress = mixed_progress};

		reset();
		log_mixed(&random);
		assert_int_equal(lb_find(&lb), 0);
		assert_int_equal(walk_alone(&walker), 0);
		assert_int_equal(m.committed, 4);
		assert_int_equal(m.settled, 40);
		m = (struct mixed){.refuse = 17};
		assert_int_equal(walk_alone(&walker), -ECANCELED);
		assert_int_equal(m.settled, 17);
	}
}

/* A region of which more was announced is as long as what came of it. */
static void test_never_continued(void **state)
{
	(void)state;
	lb_start(&lb, 9);
	lb_item(&lb, 9, CONT, 1, 64);
	lb_flush(&lb);
	lb_item(&lb, 9, 0, 1, 32);
	lb_item(&lb, 9, CONT, 1, 16);
	lb_commit(&lb, 9);
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), 0);
	assert_int_equal(seen.t[0].items, 3);
	assert_int_equal(seen.t[0].bytes, 64 + 32 + 16);
	assert_true(seen.t[0].pattern);
}

/* The format broken: each case appends to a record that holds an open transaction 8 with one whole item. */
static void bad_start(void)
{
	lb_start(&lb, 8);
}

static void bad_start_data(void)
{
	lb_op(&lb, 9, XLOG_START_TRANS, "abcd", 4);
}

static void bad_client(void)
{
	uint32_t at = lb.len;

	lb_item(&lb, 8, 0, 1, 64);
	lb.data[at + 8] = 0x02;
}

static void bad_client_unknown_tid(void)
{
	uint32_t at = lb.len;

	lb_item(&lb, 999, 0, 1, 64);
	lb.data[at + 8] = 0;
}

static void bad_length(void)
{
	uint32_t at = lb.len;

	lb_item(&lb, 8, 0, 1, 64);
	xr_put_be32(lb.data + at + 4, 2000);
}

static void bad_length_wraps(void)
{
	uint32_t at = lb.len;

	lb_item(&lb, 8, 0, 1, 64);
	xr_put_be32(lb.data + at + 4, 0xfffffff8);
}

static void bad_count(void)
{
	uint8_t rest[XR_BB] = {0};

	/* An operation up to the last byte of the record, and then one more. */
	lb_op(&lb, 1, 0, rest, XR_BB - 12 - lb.len % XR_BB);
	lb.ops++;
}

static void bad_count_huge(void)
{
	lb.ops = UINT32_MAX;
}

static void bad_no_regions(void)
{
	lb_item(&lb, 8, 0, 0, 64);
}

static void bad_many_regions(void)
{
	lb_item(&lb, 8, 0, 258, 64);
}

static void bad_short_item(void)
{
	lb_op(&lb, 8, 0, "ab", 2);
}

static void bad_missing_regions(void)
{
	lb_item(&lb, 8, 0, 2, 64);
	lb_commit(&lb, 8);
}

static void bad_flags(void)
{
	lb_op(&lb, 8, XLOG_COMMIT_TRANS | CONT, NULL, 0);
}

static void bad_flags_unknown(void)
{
	lb_op(&lb, 8, 0x40, NULL, 0);
}

static void bad_magic(void)
{
	lb_op(&lb, 9, XLOG_START_TRANS, NULL, 0);
	lb_op(&lb, 9, 0, "0123456789abcdef", 16);
}

static void bad_long_header(void)
{
	lb_op(&lb, 9, XLOG_START_TRANS, NULL, 0);
	lb_op(&lb, 9, 0, "0123456789abcdef0123", 20);
}

static void bad_header_parts(void)
{
	lb_op(&lb, 9, XLOG_START_TRANS, NULL, 0);
	lb_op(&lb, 9, CONT, "NART", 4);
	lb_op(&lb, 9, 0, "01230123012", 12);
}

static void bad_header_commit(void)
{
	lb_op(&lb, 9, XLOG_START_TRANS, NULL, 0);
	lb_op(&lb, 9, CONT, "NART", 4);
	lb_commit(&lb, 9);
}

static void bad_continue(void)
{
	lb_start(&lb, 9);
	lb_op(&lb, 9, WAS, "abcd", 4);
}

static void bad_continue_whole(void)
{
	lb_op(&lb, 8, WAS, NULL, 0); /* of nothing: harmless */
	lb_op(&lb, 8, WAS | END, "abcd", 4);
}

static void test_broken(void **state)
{
	static const struct {
		void (*make)(void);
		const char *said;
	} cases[] = {
		{bad_start, "a second START"},
		{bad_start_data, "a START that carries data"},
		{bad_client, "unknown client"},
		{bad_client_unknown_tid, "unknown client"},
		{bad_length, "reaches behind"},
		{bad_length_wraps, "reaches behind"},
		{bad_count, "lies behind"},
		{bad_count_huge, "behind the record's end"},
		{bad_no_regions, "impossible number of regions"},
		{bad_many_regions, "impossible number of regions"},
		{bad_short_item, "too short"},
		{bad_missing_regions, "missing"},
		{bad_flags, "impossible combination"},
		{bad_flags_unknown, "impossible combination"},
		{bad_magic, "does not begin with a transaction header"},
		{bad_long_header, "more than 16 bytes"},
		{bad_header_parts, "rest of the transaction header"},
		{bad_header_commit, "without a whole transaction header"},
		{bad_continue, "none was begun"},
		{bad_continue_whole, "continues a region that was whole"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		reset();
		lb_trans(&lb, 7, 64);
		lb_start(&lb, 8);
		lb_item(&lb, 8, 0, 1, 64);
		cases[i].make();
		lb_flush(&lb);
		assert_int_equal(find_and_walk(), -EUCLEAN);
		assert_said(&lb.said, cases[i].said);
		assert_said(&lb.said, "LSN 3:2028), operation ");
		assert_int_equal(seen.n, 1);
	}
}

static void test_too_many_open(void **state)
{
	(void)state;
	for (uint32_t tid = 0; tid < 4097; tid++) {
		lb_op(&lb, tid, XLOG_START_TRANS, NULL, 0);
		if (tid % 2000 == 1999)
			lb_flush(&lb);
	}
	lb_flush(&lb);
	assert_int_equal(find_and_walk(), -EUCLEAN);
	assert_said(&lb.said, "too many transactions");
}

static int refuse(void *arg, const struct xr_trans *trans)
{
	++*(uint32_t *)arg;
	return trans->tid == 2 ? -ECANCELED : 1;
}

static void note_progress(void *arg, uint32_t done, uint32_t all)
{
	uint32_t *last = arg;

	assert_true(done > *last && done <= all);
	*last = done;
}

/* The handler's error ends the walk; anything else does not. Progress goes up to all. */
static void test_handler(void **state)
{
	uint32_t calls = 0, done = 0;
	struct xr_trans_stats stats;

	(void)state;
	for (uint32_t tid = 0; tid < 5; tid++)
		lb_record(&lb, tid, 3000);
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(xr_trans_walk(&lb.log, &lb.head, refuse, &calls, &stats, note_progress, &done), -ECANCELED);
	assert_int_equal(calls, 3);
	assert_int_equal(stats.committed, 2);
	assert_int_equal(done, 14);
	done = 0;
	assert_int_equal(xr_trans_walk(&lb.log, &lb.head, refuse, &calls, NULL, note_progress, &done), -ECANCELED);
	lb_begin(&lb, 3, 100);
	for (uint32_t tid = 3; tid < 8; tid++)
		lb_record(&lb, tid, 3000);
	assert_int_equal(lb_find(&lb), 0);
	done = 0;
	assert_int_equal(xr_trans_walk(&lb.log, &lb.head, refuse, &calls, &stats, note_progress, &done), 0);
	assert_int_equal(stats.committed, 5);
	assert_int_equal(done, xr_log_distance(&lb.log, lb.head.tail, lb.head.head));
}

#define ON_LOG(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_LOG(test_plain),       ON_LOG(test_split_region),    ON_LOG(test_large_region),   ON_LOG(test_split_header),
		ON_LOG(test_interleaved), ON_LOG(test_cut_off),         ON_LOG(test_unmount_inside), ON_LOG(test_most_regions),
		ON_LOG(test_version_1),   ON_LOG(test_broken),          ON_LOG(test_too_many_open),  ON_LOG(test_handler),
		ON_LOG(test_mixed),       ON_LOG(test_never_continued),
	};

	return cmocka_run_group_tests(tests, lb_setup, lb_teardown);
}
