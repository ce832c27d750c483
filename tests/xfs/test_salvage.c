/* SPDX-License-Identifier: GPL-2.0-only */
/* Salvage: a damaged log is replayed up to the damage where that was asked for, and what is lost can be told. */
#include "replaybuild.h"

#include <errno.h>

#include "lost.h"

static const uint64_t at = RB_FREE_DADDR;

/* A transaction of record i: a buffer whose first bytes tell i, and the inode item of inode 1000 + i, which is only looked for. */
static void log_one(struct rb *rb, uint32_t tid, uint8_t i, bool commit)
{
	uint8_t data[128], format[56] = {0};
	const void *regions[] = {format};
	const uint32_t sizes[] = {sizeof(format)};

	memset(data, i, sizeof(data));
	rb_start(rb, tid);
	rb_buf_item(rb, tid, at, RB_BLOCK_BBS, 0, i % 8, 1, data);
	if (!commit) {
		lb_put(&rb->lb, format, XFS_LI_INODE, 2);
		lb_put(&rb->lb, format + 2, 2, 2);
		lb_put(&rb->lb, format + 16, 1000 + i, 8);
		rb_item(rb, tid, 1, regions, sizes);
	} else {
		rb_commit(rb, tid);
	}
}

/* Records 0 to n-1, each whole; in the third, a transaction begins that never ends, and in each from there on another one. */
static void log_all(struct rb *rb, unsigned n, uint32_t *blocks, uint64_t *lsns)
{
	for (unsigned i = 0; i < n; i++) {
		blocks[i] = rb->lb.block;
		log_one(rb, 1, (uint8_t)i, true);
		if (i >= 2)
			log_one(rb, 100 + i, (uint8_t)i, false);
		lsns[i] = rb_flush(rb);
	}
}

static void assert_replayed(struct rb *rb, unsigned n)
{
	uint8_t block[RB_BLOCK_BBS * XR_BB];

	rb_get(rb, at, block, sizeof(block));
	for (unsigned i = 1; i < 8; i++)
		assert_int_equal(block[i * 128], i < n ? i : 0);
}

static void test_stop_at(void **state)
{
	struct rb *rb = *state;
	uint32_t blocks[7];
	uint64_t lsns[7];
	struct xr_lost lost;

	log_all(rb, 7, blocks, lsns);
	rb->lb.log.stop_at = lsns[4];
	assert_int_equal(rb_run(rb), 0);
	assert_true(rb->lb.head.cut);
	assert_int_equal(rb->lb.head.end, blocks[4]);
	assert_replayed(rb, 4);
	/* Inodes 1002 and 1003 of transactions that had begun, 1004 to 1006 of those behind. */
	assert_int_equal(xr_lost_find(&rb->lb.log, &rb->lb.head, &lost), 0);
	assert_int_equal(lost.records, 3);
	assert_int_equal(lost.damaged, 0);
	assert_int_equal(lost.inodes.count, 5);
	for (uint64_t i = 1002; i < 1007; i++)
		assert_non_null(xr_table_find(&lost.inodes, i, 0));
	xr_lost_clear(&lost);
	rb->lb.log.stop_at = lsns[6] + 1; /* behind everything */
	assert_int_equal(rb_run(rb), 0);
	assert_false(rb->lb.head.cut);
	assert_replayed(rb, 7);
}

/* A record too far back to be a torn write: an error; with until_bad, the end. */
static void test_until_bad(void **state)
{
	struct rb *rb = *state;
	uint32_t blocks[40];
	uint64_t lsns[40];
	struct xr_lost lost;

	log_all(rb, 40, blocks, lsns);
	lb_flip(&rb->lb, blocks[5] + 1, 200);
	assert_int_equal(lb_find(&rb->lb), -EBADMSG);
	rb->lb.log.until_bad = true;
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->lb.head.end, blocks[5]);
	assert_said(&rb->lb.said, "nothing from here on is replayed");
	assert_replayed(rb, 5);
	assert_int_equal(xr_lost_find(&rb->lb.log, &rb->lb.head, &lost), 0);
	assert_int_equal(lost.records, 34);
	assert_int_equal(lost.damaged, blocks[6] - blocks[5]);
	assert_null(xr_table_find(&lost.inodes, 1005, 0)); /* in the damaged record */
	assert_non_null(xr_table_find(&lost.inodes, 1004, 0));
	assert_non_null(xr_table_find(&lost.inodes, 1039, 0));
	xr_lost_clear(&lost);
}

/* The walk tells how far it came, for damage that only pass 1 sees. */
static void test_reached(void **state)
{
	struct rb *rb = *state;
	uint32_t blocks[3];
	uint64_t lsns[3];
	uint32_t bad;

	log_all(rb, 2, blocks, lsns);
	bad = rb->lb.block;
	lb_op(&rb->lb, 9, 0x01 | 0x04, NULL, 0); /* START, and more of it */
	lb_start(&rb->lb, 9); /* a second START */
	rb_flush(rb);
	log_all(rb, 1, blocks, lsns);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_int_equal(rb->replay.stats.log.reached, bad);
	assert_int_equal(rb->replay.stats.log.records, 3);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, rb_setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(stop_at), T(until_bad), T(reached)};

	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
