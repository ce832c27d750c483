/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Our own transactions: written by tx and append, read back by what reads every log. For the crashes all writes of a recovery are recorded, with
 * the flushes between them; then each prefix of them, also with one unflushed write lost, must lead a second recovery to the
 * same end.
 */
#include "logbuild.h"

#include "finish/append.h"
#include "finish/finish.h"
#include "finish/tx.h"
#include "format.h"
#include "replay.h"
#include "verify.h"

#define BBS 2u /* of a block */
#define FIRST 12000u /* daddr of the blocks that are changed: AG 1 */
#define TOUCHED ((FIRST + 2 * 1100u) << XR_BB_SHIFT) /* nothing behind is written */
#define COUNTER_AT 100u /* into the block; the next chunk */

/* --- recorded writes --- */

struct recorded {
	uint64_t offset;
	size_t size;
	uint8_t *data; /* NULL: a flush */
};

static struct {
	bool on;
	size_t n;
	struct recorded r[4096];
} tape;

ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	struct recorded *r = &tape.r[tape.n];

	assert_true(tape.n < sizeof(tape.r) / sizeof(tape.r[0]));
	for (int i = 0; i < n && tape.on; i++) {
		r->data = realloc(r->data, r->size + iov[i].iov_len);
		assert_non_null(r->data);
		memcpy(r->data + r->size, iov[i].iov_base, iov[i].iov_len);
		r->size += iov[i].iov_len;
		r->offset = (uint64_t)offset;
	}
	tape.n += tape.on;
	return __real_pwritev(fd, iov, n, offset);
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t offset)
{
	return __wrap_pwritev(fd, iov, n, offset);
}

int __wrap_fdatasync(int fd)
{
	(void)fd;
	if (tape.on)
		tape.n++;
	return 0;
}

static void tape_erase(void)
{
	while (tape.n) {
		free(tape.r[--tape.n].data);
		tape.r[tape.n] = (struct recorded){0};
	}
	tape.on = false;
}

/* --- a filesystem of blocks with counters --- */

struct shape {
	uint32_t logblocks, logsunit, size;
	uint8_t logsectlog;
	uint32_t start; /* log block of the first record */
	uint32_t blocks; /* changed by a transaction */
	bool big; /* endian */
};

static const struct shape shapes[] = {
	{1024, 0, 32 << 10, 0, 100, 20, false}, /* one record */
	{1024, 0, 32 << 10, 0, 2048 - 90, 300, false}, /* many, and the log wraps */
	{1024, 0, 32 << 10, 0, 2046, 40, false}, /* a record that wraps in its data */
	{2048, 0, 256 << 10, 0, 3000, 700, false}, /* eight header blocks; wraps */
	{2048, 256 << 10, 256 << 10, 0, 3584, 300, false}, /* padded to the stripe unit; wraps */
	{1024, 4096, 64 << 10, 12, 1024, 200, false}, /* 4 KiB sectors */
	{1024, 0, 32 << 10, 12, 1024, 200, false}, /* the same with a writer that did not pad */
};
#define NSHAPES (sizeof(shapes) / sizeof(shapes[0]))

struct bed {
	struct lb *lb;
	struct xr_cache *cache;
	struct shape shape;
};

static uint64_t daddr_of(uint32_t n)
{
	return FIRST + (uint64_t)n * BBS;
}

static void make_block(const struct bed *bed, uint8_t *block, uint32_t n, uint32_t counter)
{
	for (uint32_t i = 0; i < BBS * XR_BB; i++)
		block[i] = (uint8_t)(i * 13 + n);
	xr_put_be32(block, XFS_ABTB_CRC_MAGIC);
	xr_put_be64(block + 16, daddr_of(n));
	memcpy(block + 32, bed->lb->sb.meta_uuid, 16);
	xr_put_be32(block + COUNTER_AT + 100, counter);
	xr_block_stamp(&bed->lb->sb, daddr_of(n), block, BBS * XR_BB, xr_lsn(1, 0), &bed->lb->said.msg);
}

/* The dirty log's own transaction: a buffer item that puts block n, with counter 0, in place. */
static void log_block(struct bed *bed, uint32_t n)
{
	uint8_t format[24] = {0x3c, 0x12, 2, 0, 0, 0x20, BBS, 0}, block[BBS * XR_BB];

	make_block(bed, block, n, 0);
	format[8] = (uint8_t)daddr_of(n);
	format[9] = (uint8_t)(daddr_of(n) >> 8);
	format[16] = 1;
	format[20] = 0xff;
	lb_start(bed->lb, 7);
	lb_op(bed->lb, 7, 0, format, sizeof(format));
	lb_op(bed->lb, 7, 0, block, sizeof(block));
	lb_commit(bed->lb, 7);
	lb_flush(bed->lb);
}

static void bed_make(struct bed *bed, struct shape shape)
{
	struct sb_build b = SB_BUILD_DEFAULT;
	uint8_t raw[XR_BB];

	b.logblocks = shape.logblocks;
	b.logsunit = shape.logsunit;
	b.logsectlog = shape.logsectlog;
	bed->shape = shape;
	bed->lb = malloc(sizeof(*bed->lb));
	assert_non_null(bed->lb);
	lb_init(bed->lb, &b, lb_process);
	sb_build(&b, raw);
	assert_int_equal(xr_dev_write(&bed->lb->dev, raw, sizeof(raw), 0), 0);
	bed->lb->size = shape.size;
	lb_begin(bed->lb, 5, shape.start);
	for (uint32_t n = 0; n < shape.blocks; n++) {
		uint8_t block[BBS * XR_BB];

		make_block(bed, block, n, 0);
		assert_int_equal(xr_dev_write(&bed->lb->dev, block, sizeof(block), daddr_of(n) << XR_BB_SHIFT), 0);
	}
	log_block(bed, 0);
	assert_int_equal(xr_cache_create(&bed->cache, &bed->lb->dev, lb_process, true, &bed->lb->said.msg), 0);
}

static void bed_end(struct bed *bed)
{
	xr_cache_destroy(bed->cache);
	lb_end(bed->lb);
	free(bed->lb);
}

/* Forget what is in memory: as another process sees the device. */
static void bed_again(struct bed *bed)
{
	xr_cache_destroy(bed->cache);
	xr_ring_forget(bed->lb->log.ring);
	bed->lb->sb.lsn = 0; /* commits advance it, but the block in place is never written here */
	assert_int_equal(xr_cache_create(&bed->cache, &bed->lb->dev, lb_process, true, &bed->lb->said.msg), 0);
}

static uint32_t counter(struct bed *bed, uint32_t n)
{
	struct xr_buf buf;
	uint32_t value;

	assert_int_equal(xr_buf_read(bed->cache, daddr_of(n), BBS, &buf), 0);
	value = xr_be32(buf.data + COUNTER_AT + 100);
	assert_true(xr_crc_ok(buf.data, buf.size, 52));
	xr_buf_put(bed->cache, &buf);
	return value;
}

static struct xr_tx *begin(struct bed *bed)
{
	struct xr_tx *tx;

	assert_int_equal(xr_tx_begin(&tx, &bed->lb->sb, bed->cache, &bed->lb->log, &bed->lb->head, &bed->lb->said.msg), 0);
	return tx;
}

/* What cannot be repeated: add one to every counter. All chunks of the block are logged, or the one with the counter. */
static void count(struct bed *bed, struct xr_tx *tx, bool whole)
{
	for (uint32_t n = 0; n < bed->shape.blocks; n++) {
		struct xr_tx_buf *buf;
		uint8_t *p;

		assert_int_equal(xr_tx_get(tx, daddr_of(n), BBS, XFS_BLFT_BTREE_BUF, &buf), 0);
		p = buf->data + COUNTER_AT + 100;
		xr_put_be32(p, xr_be32(p) + 1);
		xr_tx_log(tx, buf, whole ? 0 : COUNTER_AT + 100, whole ? buf->size : 4);
	}
}

/* Replay, count every block up to target, close the log: what a recovery does. */
static void recover(struct bed *bed, uint32_t target)
{
	struct lb *lb = bed->lb;
	struct xr_replay replay;
	struct xr_tx *tx;

	if (lb_find(lb))
		fail_msg("%s", lb->said.text);
	if (lb->head.clean)
		return;
	xr_replay_init(&replay, &lb->log, bed->cache, &lb->said.msg);
	if (xr_replay_check(&replay, &lb->head) || xr_replay_apply(&replay, &lb->head))
		fail_msg("%s", lb->said.text);
	xr_replay_destroy(&replay);
	assert_int_equal(xr_cache_flush(bed->cache), 0);
	tx = begin(bed);
	while (counter(bed, 0) < target) {
		count(bed, tx, true);
		if (xr_tx_commit(tx))
			fail_msg("%s", lb->said.text);
	}
	xr_tx_end(tx);
	assert_int_equal(xr_finish_log(&lb->log, &lb->head, bed->cache), 0);
}

static void check_recovered(struct bed *bed, uint32_t target)
{
	bed_again(bed);
	if (lb_find(bed->lb))
		fail_msg("%s", bed->lb->said.text);
	assert_true(bed->lb->head.clean);
	for (uint32_t n = 0; n < bed->shape.blocks; n++)
		assert_int_equal(counter(bed, n), target);
}

/* --- tests --- */

struct seen {
	struct bed *bed;
	size_t trans;
	uint64_t lsn;
	size_t bufs, cancels, dones;
};

static int look(void *arg, const struct xr_trans *trans)
{
	struct seen *seen = arg;

	seen->trans++;
	seen->lsn = trans->lsn;
	seen->bufs = seen->cancels = seen->dones = 0;
	for (size_t i = 0; i < trans->nitems; i++) {
		const struct xr_item *item = &trans->items[i];
		const uint8_t *p = item->regions[0].data;

		if (item->type == XFS_LI_EFD) {
			assert_int_equal(item->regions[0].size, 16 + 2 * 16);
			assert_int_equal(xr_le64(p + 8), 0xffff8881deadbeef);
			assert_int_equal(xr_le64(p + 32), 99);
			assert_int_equal(xr_le32(p + 40), 3);
			seen->dones++;
		} else if (xr_le16(p + 4) & XFS_BLF_CANCEL) {
			assert_int_equal(item->count, 1);
			seen->cancels++;
		} else {
			assert_int_equal(item->count, 2);
			assert_int_equal(xr_le32(p + 20), item->regions[1].size == 128 ? 2 : 0xff);
			seen->bufs++;
		}
	}
	return 0;
}

/* What is written is what is read, wherever in the log it stands. */
static void test_read_back(void **state)
{
	const struct xr_freed extents[] = {{42, 7}, {99, 3}};

	(void)state;
	for (size_t i = 0; i < NSHAPES; i++) {
		struct bed bed;
		struct seen seen = {.bed = &bed};
		struct xr_head before;
		struct xr_tx *tx;
		uint64_t lsn, bytes;

		bed_make(&bed, shapes[i]);
		assert_int_equal(lb_find(bed.lb), 0);
		before = bed.lb->head;
		tx = begin(&bed);
		lsn = xr_tx_lsn(tx);
		count(&bed, tx, i % 2);
		assert_int_equal(xr_tx_cancel(tx, 20000, 16), 0);
		assert_int_equal(xr_tx_done(tx, XFS_LI_EFD, 0xffff8881deadbeef, extents, 2), 0);
		bytes = xr_tx_log_bytes(tx);
		if (xr_tx_commit(tx))
			fail_msg("%s", bed.lb->said.text);
		xr_tx_end(tx);
		assert_true((uint64_t)xr_log_distance(&bed.lb->log, before.head, bed.lb->head.head) << XR_BB_SHIFT <= bytes);
		before = bed.lb->head;

		bed_again(&bed);
		if (lb_find(bed.lb))
			fail_msg("shape %zu: %s", i, bed.lb->said.text);
		assert_int_equal(bed.lb->head.head, before.head);
		assert_int_equal(bed.lb->head.cycle, before.cycle);
		assert_int_equal(bed.lb->head.torn, 0);
		assert_int_equal(xr_trans_walk(&bed.lb->log, &bed.lb->head, look, &seen, NULL, NULL, NULL), 0);
		assert_int_equal(seen.trans, 2);
		assert_int_equal(seen.lsn, lsn);
		assert_int_equal(seen.bufs, bed.shape.blocks);
		assert_int_equal(seen.cancels, 1);
		assert_int_equal(seen.dones, 1);
		assert_int_equal(counter(&bed, bed.shape.blocks - 1), 1);
		bed_end(&bed);
	}
}

/* The device as it was, with the first n recorded writes, but for the one numbered lost. */
static void play(struct bed *bed, const uint8_t *initial, size_t n, size_t lost)
{
	assert_int_equal(pwrite(bed->lb->dev.fd, initial, TOUCHED, 0), TOUCHED);
	for (size_t i = 0; i < n; i++)
		if (tape.r[i].data && i != lost)
			assert_int_equal(pwrite(bed->lb->dev.fd, tape.r[i].data, tape.r[i].size, (off_t)tape.r[i].offset),
					 tape.r[i].size);
}

static uint8_t *photograph(struct bed *bed)
{
	uint8_t *image = malloc(SB_BUILD_BYTES);

	assert_non_null(image);
	assert_int_equal(pread(bed->lb->dev.fd, image, SB_BUILD_BYTES, 0), SB_BUILD_BYTES);
	return image;
}

/* Killed after any write, or losing power with any one unflushed write missing, the next recovery comes to the same end. */
static void test_killed(void **state)
{
	(void)state;
	for (size_t i = 0; i < NSHAPES; i++) {
		struct bed bed;
		uint8_t *initial;
		size_t flushed = 0;

		bed_make(&bed, shapes[i]);
		initial = photograph(&bed);
		tape.on = true;
		recover(&bed, 2);
		tape.on = false;
		check_recovered(&bed, 2);
		for (size_t n = 0; n <= tape.n; n++) {
			if (n && !tape.r[n - 1].data)
				flushed = n;
			for (size_t lost = flushed; lost <= n; lost++) { /* lost == n: none */
				play(&bed, initial, n, lost);
				bed_again(&bed);
				recover(&bed, 2);
				check_recovered(&bed, 2);
			}
		}
		tape_erase();
		free(initial);
		bed_end(&bed);
	}
}

/* The first transaction alone is in the log and nothing in its place: replay puts it there. */
static void test_replayed_from_log(void **state)
{
	struct bed bed;
	uint8_t *initial;
	struct xr_tx *tx;
	size_t n = 0;

	(void)state;
	bed_make(&bed, shapes[1]);
	initial = photograph(&bed);
	assert_int_equal(lb_find(bed.lb), 0);
	tape.on = true;
	tx = begin(&bed);
	count(&bed, tx, false);
	assert_int_equal(xr_tx_commit(tx), 0);
	xr_tx_end(tx);
	tape.on = false;
	while (n < tape.n && tape.r[n].offset < daddr_of(0) << XR_BB_SHIFT)
		n++;
	assert_true(n < tape.n);
	play(&bed, initial, n, SIZE_MAX);
	bed_again(&bed);
	assert_int_equal(counter(&bed, 5), 0);
	recover(&bed, 1);
	check_recovered(&bed, 1);
	tape_erase();
	free(initial);
	bed_end(&bed);
}

static void test_no_room(void **state)
{
	struct shape shape = shapes[0];
	struct bed bed;
	struct xr_tx *tx;
	uint8_t *before, *after;

	(void)state;
	shape.blocks = 1100; /* 1100 KiB into a log of 1024 */
	bed_make(&bed, shape);
	assert_int_equal(lb_find(bed.lb), 0);
	before = photograph(&bed);
	tx = begin(&bed);
	assert_false(xr_tx_full(tx));
	count(&bed, tx, true);
	assert_true(xr_tx_full(tx));
	assert_int_equal(xr_tx_commit(tx), -ENOSPC);
	assert_said(&bed.lb->said, "bytes of log");
	xr_tx_end(tx);
	assert_int_equal(counter(&bed, 7), 0);
	assert_int_equal(xr_cache_flush(bed.cache), 0);
	after = photograph(&bed);
	assert_memory_equal(before, after, SB_BUILD_BYTES);
	free(before);
	free(after);
	bed_end(&bed);
}

static void test_undone(void **state)
{
	struct bed bed;
	struct xr_tx *tx;
	struct xr_tx_buf *buf;

	(void)state;
	bed_make(&bed, shapes[0]);
	assert_int_equal(lb_find(bed.lb), 0);
	tx = begin(&bed);
	count(&bed, tx, false);
	assert_int_equal(xr_tx_get_new(tx, daddr_of(bed.shape.blocks), BBS, XFS_BLFT_BTREE_BUF, &buf), 0);
	assert_int_equal(buf->data[500], 0);
	assert_int_equal(xr_tx_commit(tx), -EUCLEAN); /* zeros are no btree block */
	xr_tx_end(tx);
	for (uint32_t n = 0; n < bed.shape.blocks; n++)
		assert_int_equal(counter(&bed, n), 0);
	bed_end(&bed);
}

/* No block is two things: new where it is in use, or a part of another buffer. Sectors of the headers share their block. */
static void test_one_meaning(void **state)
{
	struct xr_tx_buf *buf, *other;
	struct bed bed;
	struct xr_tx *tx;

	(void)state;
	bed_make(&bed, shapes[0]);
	assert_int_equal(lb_find(bed.lb), 0);
	tx = begin(&bed);
	count(&bed, tx, false);
	assert_int_equal(xr_tx_get(tx, daddr_of(3), BBS, XFS_BLFT_BTREE_BUF, &buf), 0);
	assert_int_equal(xr_tx_get(tx, daddr_of(3), BBS, XFS_BLFT_BTREE_BUF, &other), 0);
	assert_ptr_equal(buf, other);
	assert_int_equal(xr_tx_get_new(tx, daddr_of(3), BBS, XFS_BLFT_BTREE_BUF, &other), -EUCLEAN);
	assert_said(&bed.lb->said, "in use, but listed as free");
	assert_int_equal(xr_tx_get(tx, daddr_of(3), 2 * BBS, XFS_BLFT_DINO_BUF, &other), -EUCLEAN);
	assert_said(&bed.lb->said, "in use as two things");
	assert_int_equal(xr_tx_get_new(tx, daddr_of(3) - BBS, 2 * BBS, XFS_BLFT_DINO_BUF, &other), -EUCLEAN);
	assert_int_equal(xr_tx_get(tx, daddr_of(3), 1, XFS_BLFT_AGF_BUF, &other), -EUCLEAN);
	/* What was refused is not in the way of what is right. */
	assert_int_equal(xr_tx_get_new(tx, daddr_of(bed.shape.blocks) + BBS, BBS, XFS_BLFT_BTREE_BUF, &other), 0);
	assert_int_equal(xr_tx_get(tx, 1, 1, XFS_BLFT_AGF_BUF, &buf), 0);
	assert_int_equal(xr_tx_get(tx, 0, 1, XFS_BLFT_SB_BUF, &buf), 0);
	xr_tx_end(tx);
	for (uint32_t n = 0; n < bed.shape.blocks; n++)
		assert_int_equal(counter(&bed, n), 0);
	bed_end(&bed);
}

static void test_overlay(void **state)
{
	struct bed bed;
	uint8_t *before, *after;
	struct xr_tx *tx;

	(void)state;
	bed_make(&bed, shapes[0]);
	assert_int_equal(lb_find(bed.lb), 0);
	before = photograph(&bed);
	xr_cache_destroy(bed.cache);
	assert_int_equal(xr_cache_create(&bed.cache, &bed.lb->dev, lb_process, false, &bed.lb->said.msg), 0);
	assert_int_equal(xr_tx_begin(&tx, &bed.lb->sb, bed.cache, NULL, &bed.lb->head, &bed.lb->said.msg), 0);
	count(&bed, tx, true);
	assert_int_equal(xr_tx_commit(tx), 0);
	xr_tx_end(tx);
	assert_int_equal(counter(&bed, 9), 1);
	after = photograph(&bed);
	assert_memory_equal(before, after, SB_BUILD_BYTES);
	free(before);
	free(after);
	bed_end(&bed);
}

static void test_freed(void **state)
{
	uint64_t idle;
	struct bed bed;
	struct xr_tx *tx;
	struct xr_tx_buf *buf;

	(void)state;
	bed_make(&bed, shapes[0]);
	assert_int_equal(lb_find(bed.lb), 0);
	tx = begin(&bed);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(xr_tx_cancel(tx, xr_fsb_daddr(&bed.lb->sb, 1000 + i * 37 % 200 * 4), 2 * BBS), 0);
	for (uint32_t i = 0; i < 200; i++) {
		assert_true(xr_tx_busy(tx, 1000 + i * 4, 1));
		assert_true(xr_tx_busy(tx, 1001 + i * 4, 1));
		assert_false(xr_tx_busy(tx, 1002 + i * 4, 2));
		assert_true(xr_tx_busy(tx, 1002 + i * 4, 3) == (i < 199));
		assert_true(xr_tx_idle(tx, 1000 + i * 4, 3, &idle));
		assert_int_equal(idle, 1002 + i * 4);
		assert_false(xr_tx_idle(tx, 1001 + i * 4, 1, &idle));
	}
	assert_int_equal(xr_tx_cancel(tx, daddr_of(4), BBS), 0);
	assert_int_equal(xr_tx_get(tx, daddr_of(4), BBS, XFS_BLFT_BTREE_BUF, &buf), -EUCLEAN);
	assert_int_equal(xr_tx_get(tx, SB_BUILD_BYTES >> XR_BB_SHIFT, BBS, XFS_BLFT_BTREE_BUF, &buf), -EUCLEAN);
	assert_int_equal(xr_tx_commit(tx), 0);
	assert_false(xr_tx_busy(tx, 1000, 1));
	assert_int_equal(xr_tx_get(tx, daddr_of(4), BBS, XFS_BLFT_BTREE_BUF, &buf), 0);
	xr_tx_end(tx);
	bed_end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_back), cmocka_unit_test(test_replayed_from_log),
		cmocka_unit_test(test_killed),    cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_undone),    cmocka_unit_test(test_one_meaning),
		cmocka_unit_test(test_overlay),   cmocka_unit_test(test_freed),
	};

	return cmocka_run_group_tests(tests, lb_setup, lb_teardown);
}
