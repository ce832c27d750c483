/* SPDX-License-Identifier: GPL-2.0-only */
/* Builders: records, how they end, and operations. */
#include "logcase_impl.h"

static const uint8_t filler[3000]; /* of operations that nobody looks at */

static uint32_t op_at; /* where the last operation began in the record under construction */

static void op(struct lb *lb, uint32_t tid, uint8_t flags, const void *data, uint32_t len)
{
	op_at = lb->len;
	lb_op(lb, tid, flags, data, len);
}

/* --- headers spoilt before the checksum is made --- */

static struct {
	uint32_t at, value, xor;
} poked;

static void poke(struct lb *lb, uint8_t *record, size_t bytes)
{
	(void)lb;
	(void)bytes;
	xr_put_be32(record + poked.at, poked.xor ? xr_be32(record + poked.at) ^ poked.xor : poked.value);
}

static void poke_next(struct lb *lb, uint32_t at, uint32_t value, uint32_t xor)
{
	poked.at = at;
	poked.value = value;
	poked.xor = xor;
	lb->spoil = poke;
}

/* Mark 0; a record with mark 1 whose header has value at at; value 0x80000000 and above are set as such; then LC_FAR more. */
void lc_far_header(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	poke_next(lb, c->at, c->value, 0);
	lc_mark(lb, 1);
	lb->spoil = NULL;
	lc_fill(lb, LC_FAR);
}

void lc_near_header(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	poke_next(lb, c->at, c->value, 0);
	lc_mark(lb, 1);
	lb->spoil = NULL;
}

void lc_far_uuid(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lc_mark(lb, 0);
	lb->uuid[3] ^= 1;
	lc_mark(lb, 1);
	lb->uuid[3] ^= 1;
	lc_fill(lb, LC_FAR);
}

void lc_all_uuid(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lb->uuid[3] ^= 1;
	lc_mark(lb, 0);
}

/* The other byte order from here on. */
void lc_mixed_order(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lc_mark(lb, 0);
	lb->fmt = 3 - lb->fmt;
	lc_fill(lb, LC_FAR);
	lb->fmt = 3 - lb->fmt;
	lc_mark(lb, 1);
}

void lc_irix(struct lb *lb, const struct logcase *c)
{
	lb->fmt = c->value;
	lc_mark(lb, 0);
}

/* --- torn and damaged records --- */

/* So many records, a mark each; then the byte at of the one that is value before the last is flipped. */
void lc_flipped(struct lb *lb, const struct logcase *c)
{
	uint32_t blocks[20];

	for (uint32_t n = 0; n < 20; n++)
		blocks[n] = lc_mark(lb, n);
	lb_flip(lb, blocks[19 - c->value] + c->at / XR_BB, c->at % XR_BB);
}

/* The last record's blocks from at on are of the cycle before, as if they had never been written; or zero, in a new log. */
void lc_cut_short(struct lb *lb, const struct logcase *c)
{
	uint8_t old[XR_BB] = {0};
	uint32_t last;

	lc_mark(lb, 0);
	lc_mark(lb, 1);
	lc_mark_op(lb, 99, 2); /* a longer one, of marks that nobody commits and one that is */
	lb_op(lb, 98, 0, filler, 2000);
	lc_mark_trans(lb, 1, 2);
	last = lb_flush(lb);
	if (c->value)
		xr_put_be32(old, lb->cycle - 1);
	for (uint32_t block = last + c->at; block < lb->block; block++)
		assert_int_equal(xr_dev_write(&lb->dev, old, XR_BB, (lb->log.daddr + block) * XR_BB), 0);
}

/* One block in the middle of the last record was not written. */
void lc_hole(struct lb *lb, const struct logcase *c)
{
	uint8_t old[XR_BB] = {0};
	uint32_t last;

	(void)c;
	lc_mark(lb, 0);
	lb_op(lb, 98, 0, filler, 2000);
	lc_mark_trans(lb, 1, 1);
	last = lb_flush(lb);
	xr_put_be32(old, lb->cycle - 1);
	assert_int_equal(xr_dev_write(&lb->dev, old, XR_BB, (lb->log.daddr + last + 2) * XR_BB), 0);
}

/* A record far from the head is zero from its header on. */
void lc_zeroed(struct lb *lb, const struct logcase *c)
{
	uint32_t bad;

	lc_mark(lb, 0);
	bad = lc_mark(lb, 1);
	lc_fill(lb, LC_FAR);
	lb_zero(lb, bad + c->at, c->value);
}

/* A block far from the head has another cycle. */
void lc_cycled(struct lb *lb, const struct logcase *c)
{
	uint32_t bad;

	lc_mark(lb, 0);
	bad = lc_mark(lb, 1);
	lc_fill(lb, LC_FAR);
	lb_flip(lb, bad + c->at, 3);
}

/* No record has a checksum: old writers of V4. */
void lc_no_crc(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lb->no_crc = true;
	lc_mark(lb, 0);
	lc_fill(lb, LC_FAR);
}

void lc_crc_i386(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lb->crc_header = 324;
	lc_mark(lb, 0);
	lb->crc_header = 328;
	lc_mark(lb, 1);
}

void lc_empty_log(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lb_zero(lb, 0, lb->log.bbs);
}

/* No record header anywhere. */
void lc_no_records(struct lb *lb, const struct logcase *c)
{
	(void)lb;
	(void)c;
}

/* The tail of all records is a place that cannot be one. */
void lc_bad_tail(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	lb->tail_lsn = xr_lsn(lb->cycle + c->value, c->at);
	lc_mark(lb, 1);
	lc_fill(lb, LC_FAR);
}

/* The tail is no record: the next one behind it is. */
void lc_tail_between(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lc_mark(lb, 0);
	lb->tail_lsn = xr_lsn(lb->cycle, lb->block + 1);
	lc_mark(lb, 1);
	lc_mark(lb, 2);
}

/* The log ended cleanly, and was used again. */
void lc_unmounted(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	lb_unmount(lb);
	lb_flush(lb);
	if (!c->value)
		return;
	lb_set_tail(lb);
	lc_mark(lb, 1);
}

/* --- over the end of the log --- */

void lc_wrapped(struct lb *lb, const struct logcase *c)
{
	/* Of the cycle before this one: the wrap makes it LC_CYCLE. */
	lb_begin(lb, LC_CYCLE - 1, lb->log.bbs - c->at);
	lb->size = c->value;
	for (uint32_t n = 0; n < 3; n++) {
		lc_mark(lb, n);
		lb_op(lb, 98, 0, filler, 3000);
		lb_flush(lb);
	}
}

/* A torn record stands at block 0, or goes over the end. */
void lc_wrapped_torn(struct lb *lb, const struct logcase *c)
{
	uint32_t last;

	lb_begin(lb, LC_CYCLE - 1, lb->log.bbs - c->at);
	while (lb->cycle < LC_CYCLE)
		lc_mark(lb, 0);
	last = lc_mark(lb, 1);
	lb_flip(lb, last + 1, 100);
}

void lc_sizes(struct lb *lb, const struct logcase *c)
{
	static const uint32_t all[] = {32u << 10, 256u << 10, 64u << 10, 16u << 10, 128u << 10};

	(void)c;
	for (uint32_t n = 0; n < 5; n++) {
		lb->size = all[n];
		lc_mark(lb, n);
	}
}

/* A record as large as there can be: 256 KiB, saved words in eight headers. */
void lc_largest(struct lb *lb, const struct logcase *c)
{
	static uint8_t filling[240 << 10];

	lb->size = c->value;
	lc_mark(lb, 0);
	lb_pattern(filling, sizeof(filling), 7);
	lb_op(lb, 98, 0, filling, c->at);
	lc_mark_trans(lb, 1, 1);
	lb_flush(lb);
}

/* --- operations --- */

/* A transaction of which some operation is wrong, then more records. */
void lc_bad_op(struct lb *lb, const struct logcase *c)
{
	const uint8_t four[4] = {0};

	lc_mark(lb, 0);
	lb_start(lb, 7);
	lc_mark_op(lb, 7, 1);
	op(lb, 7, 0, four, 0);
	if (c->at == 4)
		xr_put_be32(lb->data + op_at + 4, c->value);
	else
		lb->data[op_at + c->at] = (uint8_t)c->value;
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

void lc_more_ops(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	lc_mark_trans(lb, 7, 1);
	lb->ops += c->value;
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

/* What stands behind the last operation that the header counts is nothing. */
void lc_fewer_ops(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	lc_mark_trans(lb, 7, 1);
	lc_mark_trans(lb, 8, 2);
	lb->ops -= c->value;
	lb_flush(lb);
}

void lc_second_start(struct lb *lb, const struct logcase *c)
{
	lb_start(lb, 7);
	lc_mark_op(lb, 7, 0);
	if (c->value)
		lb_commit(lb, 7);
	lb_start(lb, 7);
	lc_mark_op(lb, 7, 1);
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

void lc_start_with_data(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lc_mark(lb, 0);
	lb_op(lb, 7, XLOG_START_TRANS, "data", 4);
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

/* A transaction that never ends; what other ones did in between counts. */
void lc_no_commit(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	lb_start(lb, 7);
	lc_mark_op(lb, 7, 1);
	if (c->value)
		lc_mark_trans(lb, 8, 2);
	lb_flush(lb);
	lc_mark(lb, 3);
}

void lc_ends_in_unmount(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lc_mark(lb, 0);
	lb_start(lb, 7);
	lc_mark_op(lb, 7, 1);
	lb_op(lb, 7, XLOG_UNMOUNT_TRANS, NULL, 0);
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_mark(lb, 2);
}

/* Operations of a transaction that began before the tail. */
void lc_began_before(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lc_mark_op(lb, 7, 0);
	lb_op(lb, 7, XLOG_WAS_CONT_TRANS | XLOG_END_TRANS, "rest", 4);
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_mark(lb, 1);
}

void lc_interleaved(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lb_start(lb, 7);
	lb_start(lb, 8);
	lc_mark_op(lb, 7, 0);
	lc_mark_op(lb, 8, 1);
	lb_flush(lb);
	lc_mark_op(lb, 7, 2);
	lb_commit(lb, 8);
	lb_flush(lb);
	lb_commit(lb, 7);
	lb_flush(lb);
}

/* A region in three pieces, each in a record of its own. */
void lc_continued(struct lb *lb, const struct logcase *c)
{
	uint8_t chunk[LC_CHUNK];

	(void)c;
	lc_fill_mark(lb, 0, chunk);
	lb_start(lb, 7);
	lc_buffer(lb, 7, lc_free_daddr(lb, 0), lc_block_bbs(lb), XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT, 2, 1, 1);
	lb_op(lb, 7, XLOG_CONTINUE_TRANS, chunk, 30);
	lb_flush(lb);
	lb_op(lb, 7, XLOG_WAS_CONT_TRANS | XLOG_CONTINUE_TRANS, chunk + 30, 50);
	lb_flush(lb);
	lb_op(lb, 7, XLOG_WAS_CONT_TRANS | XLOG_END_TRANS, chunk + 80, 48);
	lb_commit(lb, 7);
	lb_flush(lb);
}

/* The transaction header in two pieces; at: more bytes than it has. */
void lc_header_pieces(struct lb *lb, const struct logcase *c)
{
	uint8_t header[16 + 8] = {0};

	lb_put(lb, header, c->value ? c->value : XFS_TRANS_HEADER_MAGIC, 4);
	lb_put(lb, header + 4, XFS_TRANS_CHECKPOINT, 4);
	lb_op(lb, 7, XLOG_START_TRANS, NULL, 0);
	lb_op(lb, 7, XLOG_CONTINUE_TRANS, header, 6);
	lb_flush(lb);
	lb_op(lb, 7, XLOG_WAS_CONT_TRANS | XLOG_END_TRANS, header + 6, 10 + c->at);
	lc_mark_op(lb, 7, 0);
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

void lc_continues_nothing(struct lb *lb, const struct logcase *c)
{
	(void)c;
	lb_start(lb, 7);
	lb_op(lb, 7, XLOG_WAS_CONT_TRANS | XLOG_END_TRANS, "rest", 4);
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}
