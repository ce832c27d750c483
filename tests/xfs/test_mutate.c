/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Damaged logs: thousands of valid logs with a few bytes changed, before their checksums were made (malice) or after (decay),
 * must be refused with a sentence or read; never a crash, never a walk without end. Most of its worth is under ASan. A failure
 * names its seed; run the test with it as its argument to see it alone.
 */
#include "logbuild.h"

#include <errno.h>
#include "format.h"
#include "mutate.h"

#define ROUNDS 3000u
#define H(field) offsetof(struct xlog_rec_header, h_##field)

static struct lb lb;
static struct lb_seen seen;
static uint32_t outcomes[5]; /* read, -EUCLEAN, -EBADMSG, -EOPNOTSUPP, clean */
static uint64_t only;

static struct mutate random_;

static uint32_t rnd(uint32_t below)
{
	return mutate_random(&random_, below);
}

static void spoil_word(uint8_t *p)
{
	xr_put_be32(p, mutate_value(&random_, xr_be32(p)));
}

/* Change a field of the header, of the first operations, or anything. */
static void spoil(struct lb *l, uint8_t *record, size_t bytes)
{
	static const size_t fields[] = {H(version),    H(len),        H(lsn), H(tail_lsn), H(tail_lsn) + 4,
					H(num_logops), H(cycle_data), H(fmt), H(fs_uuid),  H(size)};

	if (rnd(20))
		return;
	for (uint32_t n = rnd(3) + 1; n; n--) {
		switch (rnd(3)) {
		case 0:
			spoil_word(record + fields[rnd(sizeof(fields) / sizeof(fields[0]))]);
			break;
		case 1:
			/* Operation headers of lb_trans() lie at 0, 12 and 40 of the data. */
			spoil_word(record + (size_t)(l->size > 32u << 10 ? l->size >> 15 : 1) * XR_BB + 4 * rnd(16));
			break;
		default:
			record[rnd((uint32_t)bytes)] ^= (uint8_t)(1u << rnd(8));
			break;
		}
	}
}

static void write_records(void)
{
	uint32_t n = rnd(60) + 1;

	lb_begin(&lb, rnd(3) + 1, rnd(lb.log.bbs));
	if (!rnd(4)) /* a fresh log */
		lb_zero(&lb, lb.block, lb.log.bbs - lb.block);
	for (uint32_t i = 0; i < n; i++) {
		if (!rnd(40))
			lb_set_tail(&lb);
		lb.size = rnd(4) ? 32u << 10 : 32768u << rnd(4);
		lb_start(&lb, i);
		for (uint32_t items = rnd(4); items; items--)
			lb_item(&lb, i, 0, (uint16_t)(rnd(200) ? 1 : rnd(4)), 4 + 4 * rnd(300));
		if (rnd(9))
			lb_commit(&lb, i);
		if (!rnd(20)) {
			lb_flush(&lb);
			lb_unmount(&lb);
		}
		lb_flush(&lb);
	}
}

static void decay(void)
{
	uint32_t tail = xr_lsn_block(lb.tail_lsn) % lb.log.bbs, live = xr_log_distance(&lb.log, tail, lb.block);
	uint32_t block = rnd(3) && live ? xr_log_add(&lb.log, tail, rnd(live)) : rnd(lb.log.bbs);

	if (rnd(3))
		lb_flip(&lb, block, rnd(2) ? rnd(XR_BB) : rnd(16));
	else
		lb_zero(&lb, block, rnd(3) + 1);
}

static void read_log(uint64_t seed)
{
	int error = lb_find(&lb);

	if (!error && lb.head.clean) {
		outcomes[4]++;
		return;
	}
	if (!error)
		error = lb_walk(&lb, &seen);
	if (!error) {
		outcomes[0]++;
		assert_true(seen.stats.bytes <= (uint64_t)lb.log.bbs * XR_BB);
	} else if (error == -EUCLEAN || error == -EBADMSG || error == -EOPNOTSUPP) {
		outcomes[error == -EUCLEAN ? 1 : error == -EBADMSG ? 2 : 3]++;
		if (!lb.said.used)
			fail_msg("seed %llu: %d without a word", (unsigned long long)seed, error);
	} else {
		fail_msg("seed %llu: %d: %s", (unsigned long long)seed, error, lb.said.text);
	}
}

static void one_log(uint64_t seed)
{
	/* From a log that holds two blocks to one that holds all the records. */
	static const uint32_t sizes[] = {1, 2, 9, 100, 400};
	struct sb_build b = SB_BUILD_DEFAULT;

	random_.state = seed;
	b.logblocks = sizes[rnd(16) < 3 ? rnd(3) : 3 + rnd(2)];
	lb_init(&lb, &b, lb_process);
	if (rnd(2))
		lb.spoil = spoil;
	if (b.logblocks >= 100) {
		write_records();
	} else {
		lb_begin(&lb, 1, rnd(lb.log.bbs));
		lb_unmount(&lb);
		lb_flush(&lb);
	}
	if (!lb.spoil || !rnd(3)) {
		for (uint32_t n = rnd(4); n; n--)
			decay();
	}
	read_log(seed);
	lb_end(&lb);
}

static void test_mutate(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= ROUNDS; seed++)
		one_log(only ? only : seed);
	print_message("%u logs: %u read, %u clean, %u corrupt, %u bad checksum, %u unsupported\n", ROUNDS, outcomes[0],
		      outcomes[4], outcomes[1], outcomes[2], outcomes[3]);
	/* Every way out was taken, or this test has lost its point. */
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		assert_true(only || outcomes[i] > ROUNDS / 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutate)};

	if (argc > 1)
		only = strtoull(argv[1], NULL, 0);
	return cmocka_run_group_tests(tests, lb_setup, lb_teardown);
}
