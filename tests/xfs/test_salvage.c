/* SPDX-License-Identifier: GPL-2.0-only */
/* Salvage: a damaged log is replayed up to the damage where that was asked for, and what is lost can be told. */
#include "replaybuild.h"

#include <errno.h>
#include <fcntl.h>

#include "lost.h"
#include "quarantine.h"

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
	assert_int_equal(lb_find(&rb->lb), -EINVAL);
	assert_said(&rb->lb.said, "or a later one, to stop at");
	assert_replayed(rb, 4);
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

/* --- items left out --- */

#define TID 0x77u

/* Three buffer items, the second of which says that its region has more than it has. */
static uint64_t log_bad_item(struct rb *rb)
{
	uint8_t data[256];

	memset(data, 1, sizeof(data));
	rb_start(rb, TID);
	rb_buf_item(rb, TID, at, RB_BLOCK_BBS, 0, 1, 1, data);
	rb_buf_item(rb, TID, at, RB_BLOCK_BBS, 0, 7, 2, data); /* chunk 8 of 8 */
	rb_buf_item(rb, TID, at, RB_BLOCK_BBS, 0, 3, 1, data);
	rb_commit(rb, TID);
	return rb_flush(rb);
}

/* What is said of a bad item is enough to leave it out, and the rest is replayed. */
static void test_skip(void **state)
{
	char directory[] = "/tmp/test_salvage.XXXXXX", name[64];
	struct rb *rb = *state;
	uint64_t lsn = log_bad_item(rb);
	struct xr_skip skips[] = {{.lsn = lsn, .tid = TID, .number = 1, .file = name}, {.lsn = lsn, .tid = TID, .number = 3}};
	uint8_t block[RB_BLOCK_BBS * XR_BB];
	struct xr_quarantined q;
	char hint[64];

	assert_non_null(mkdtemp(directory));
	snprintf(name, sizeof(name), "%s/item", directory);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	snprintf(hint, sizeof(hint), "--skip-item %u:%u:%#x:1=FILE", xr_lsn_cycle(lsn), xr_lsn_block(lsn), TID);
	assert_said(&rb->lb.said, hint);

	rb->skips = skips;
	rb->nskips = 1;
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, at, block, sizeof(block));
	assert_int_equal(block[1 * 128], 1);
	assert_int_equal(block[3 * 128], 1);
	assert_int_equal(block[7 * 128], 0);
	assert_true(skips[0].met);
	assert_int_equal(skips[0].target.daddr, at);

	assert_int_equal(xr_quarantine_read(&q, name, &rb->lb.said.msg), 0);
	assert_memory_equal(q.uuid, rb->lb.sb.uuid, 16);
	assert_int_equal(q.trans.lsn, lsn);
	assert_int_equal(q.trans.tid, TID);
	assert_int_equal(q.item.type, XFS_LI_BUF);
	assert_int_equal(q.item.count, 2);
	assert_int_equal(q.item.regions[1].size, 256);
	assert_int_equal(q.item.regions[1].data[255], 1);
	assert_int_equal(q.item.number, 1);
	xr_quarantined_free(&q);

	/* A second time: what is there is not overwritten. */
	skips[0].met = false;
	assert_int_equal(rb_run(rb), -EEXIST);
	rb->nskips = 2;
	assert_int_equal(rb_run(rb), -EINVAL);
	assert_said(&rb->lb.said, "nothing to leave out");
	rb->nskips = 0;
	assert_int_equal(unlink(name), 0);
	assert_int_equal(rmdir(directory), 0);
}

/* An item's file with any byte changed, or any cut off, is none. */
static void test_damaged_file(void **state)
{
	char name[] = "/tmp/test_salvage.XXXXXX";
	struct rb *rb = *state;
	struct xr_skip skip = {.lsn = log_bad_item(rb), .tid = TID, .number = 1, .file = name};
	struct xr_quarantined q;
	uint8_t file[1024];
	ssize_t size;
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	close(fd);
	unlink(name);
	rb->skips = &skip;
	rb->nskips = 1;
	assert_int_equal(rb_run(rb), 0);
	rb->nskips = 0;
	fd = open(name, O_RDWR | O_CLOEXEC);
	size = read(fd, file, sizeof(file));
	assert_in_range(size, 300, sizeof(file) - 1);
	for (ssize_t i = 0; i < size; i++) {
		uint8_t wrong = file[i] ^ 0x40;

		assert_int_equal(pwrite(fd, &wrong, 1, i), 1);
		assert_int_equal(xr_quarantine_read(&q, name, &rb->lb.said.msg), -EUCLEAN);
		assert_int_equal(pwrite(fd, &file[i], 1, i), 1);
	}
	assert_int_equal(xr_quarantine_read(&q, name, &rb->lb.said.msg), 0);
	xr_quarantined_free(&q);
	for (ssize_t i = size; i-- > 0;) {
		assert_int_equal(ftruncate(fd, i), 0);
		assert_int_equal(xr_quarantine_read(&q, name, &rb->lb.said.msg), -EUCLEAN);
	}
	close(fd);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(xr_quarantine_read(&q, name, &rb->lb.said.msg), -EIO);
}

/* One item, alone: replayed where the disk is older, stale where it is not, refused where it is bad. */
static void test_apply(void **state)
{
	struct rb *rb = *state;
	char name[] = "/tmp/test_salvage.XXXXXX";
	struct xr_skip skip = {.tid = TID, .file = name};
	uint8_t raw[RB_BLOCK_BBS * XR_BB], now[RB_BLOCK_BBS * XR_BB];
	struct xr_quarantined q;
	enum xr_outcome outcome;

	close(mkstemp(name));
	unlink(name);
	rb_dir_block(rb, raw, at, 0);
	raw[500] = 77;
	rb_start(rb, TID);
	rb_buf_item(rb, TID, at, RB_BLOCK_BBS, (uint16_t)(XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT), 0, 8, raw);
	rb_commit(rb, TID);
	skip.lsn = rb_flush(rb);
	rb->skips = &skip;
	rb->nskips = 1;
	assert_int_equal(rb_run(rb), 0);
	rb->nskips = 0;
	rb_get(rb, at, now, sizeof(now));
	assert_int_equal(xr_be32(now), 0);
	assert_int_equal(xr_quarantine_read(&q, name, &rb->lb.said.msg), 0);
	xr_replay_destroy(&rb->replay);
	xr_replay_init(&rb->replay, &rb->lb.log, rb->cache, &rb->lb.said.msg);
	assert_int_equal(xr_replay_one(&rb->replay, &q.trans, &outcome), 0);
	assert_int_equal(outcome, XR_REPLAYED);
	assert_int_equal(xr_cache_flush(rb->cache), 0);
	rb_get(rb, at, now, sizeof(now));
	assert_int_equal(now[500], 77);
	assert_int_equal(xr_be64(now + 16), skip.lsn);
	assert_true(xr_crc_ok(now, sizeof(now), 4));
	assert_int_equal(xr_replay_one(&rb->replay, &q.trans, &outcome), 0);
	assert_int_equal(outcome, XR_STALE);
	q.item.regions[1].size -= 128;
	assert_int_equal(xr_replay_one(&rb->replay, &q.trans, &outcome), -EUCLEAN);
	xr_quarantined_free(&q);
	assert_int_equal(unlink(name), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {T(stop_at), T(until_bad), T(reached), T(skip), T(damaged_file), T(apply)};

	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
