/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writing the log
 *
 * What an interrupted write of the log left behind the head has to go before anything is written there: with the head moved past it, it could
 * be taken for part of the log again. So up to TOTAL_BBS blocks from the head are overwritten with empty records of the
 * cycle before, as the kernel does. That is done once: what lies further on is a whole cycle old.
 *
 * Records are put together in one buffer, as long as the log buffers of the kernel that wrote the tail. The first word of each of their
 * blocks makes room for the cycle; the cycle of the blocks behind the log's end is one more. Readers expect at most
 * IN_FLIGHT records to be torn by a crash, so never more than those are written without a flush in between.
 */
#include "append.h"

#include <errno.h>
#include <stdlib.h>

#include "format.h"

#define TOTAL_BBS_V2 4096u /* eight records of 256 KiB: the most that can be in flight */
#define TOTAL_BBS_V1 512u
#define IN_FLIGHT 8u
#define CYCLES_PER_HEADER 64u
#define HEADER_BYTES (CYCLES_PER_HEADER * XR_BB) /* data that one header block has room for cycle words of */
#define OP_BYTES ((uint32_t)sizeof(struct xlog_op_header))
#define PIECE_MIN 4u /* what an item says of itself is never split */

#define LR(field) offsetof(struct xlog_rec_header, h_##field)

/* --- blocks --- */

static void put_header(const struct xr_log *log, const struct xr_head *head, uint8_t *bb, uint32_t cycle, uint32_t block,
		       uint64_t tail_lsn)
{
	memset(bb, 0, XR_BB);
	xr_put_be32(bb + LR(magicno), XR_RECORD_MAGIC);
	xr_put_be32(bb + LR(cycle), cycle);
	xr_put_be32(bb + LR(version), log->sb->logv2 ? 2 : 1);
	xr_put_be64(bb + LR(lsn), xr_lsn(cycle, block));
	xr_put_be64(bb + LR(tail_lsn), tail_lsn);
	xr_put_be32(bb + LR(fmt), head->last_fmt);
	memcpy(bb + LR(fs_uuid), log->sb->uuid, 16);
}

/* Write count blocks at block; behind the log's end they go on at 0. */
static int write_blocks(const struct xr_log *log, const uint8_t *data, uint32_t block, uint32_t count)
{
	uint32_t first = log->bbs - block < count ? log->bbs - block : count;
	int ret = xr_dev_write(log->dev, data, (size_t)first << XR_BB_SHIFT, (log->daddr + block) << XR_BB_SHIFT);

	if (!ret && first < count)
		ret = xr_dev_write(log->dev, data + ((size_t)first << XR_BB_SHIFT), (size_t)(count - first) << XR_BB_SHIFT,
				   log->daddr << XR_BB_SHIFT);
	return ret;
}

/* How many blocks there are from the head forward to the tail: both are of one log, xr_head_find() saw to that. */
static uint32_t free_blocks(const struct xr_log *log, const struct xr_head *head)
{
	uint32_t tail = xr_lsn_block(head->tail_lsn);

	return xr_lsn_cycle(head->tail_lsn) == head->cycle ? tail + log->bbs - head->head : tail - head->head;
}

static int clear_stale(const struct xr_log *log, struct xr_head *head)
{
	uint32_t count = free_blocks(log, head), total = log->sb->logv2 ? TOTAL_BBS_V2 : TOTAL_BBS_V1;
	uint8_t *data;
	int ret;

	count = count < total ? count : total;
	if (!count || head->cleared)
		return 0;
	data = malloc((size_t)count << XR_BB_SHIFT);
	if (!data)
		return xr_fail(log->msg, -ENOMEM, "no memory to clear %u log blocks", count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t block = xr_log_add(log, head->head, i);
		bool wrapped = block < head->head;

		put_header(log, head, data + ((size_t)i << XR_BB_SHIFT), wrapped ? head->cycle : head->cycle - 1, block,
			   head->tail_lsn);
	}
	ret = write_blocks(log, data, head->head, count);
	free(data);
	head->cleared = !ret;
	return ret;
}

/* Put on stable storage what records to come rely on: an external log is on another device than the blocks. */
static int settle(const struct xr_log *log, struct xr_cache *cache)
{
	int ret = xr_cache_barrier(cache);

	return ret || log->sb->logstart ? ret : xr_dev_flush(log->dev);
}

/* --- the shape of records --- */

static uint32_t padded(uint32_t value, uint32_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* Everything about the records to come but the buffer they are made in. */
static void set_shape(struct xr_append *append, const struct xr_log *log, const struct xr_head *head, uint64_t tail_lsn)
{
	const struct xr_sb *sb = log->sb;
	uint32_t sector = log->sector_bbs << XR_BB_SHIFT, total;
	struct xr_record tail;

	*append = (struct xr_append){.log = log, .tail_lsn = tail_lsn, .size = XLOG_BIG_RECORD_BSIZE};
	append->unit = sb->log_roundoff > sector ? sb->log_roundoff : sector;
	if (sb->logv2 && tail_lsn && head->tail != head->head && !xr_record_header(log, head->tail, &tail))
		append->size = tail.size;
	if (append->size < XLOG_BIG_RECORD_BSIZE)
		append->size = XLOG_BIG_RECORD_BSIZE;
	if (sb->logv2 && append->size < append->unit)
		append->size = append->unit;
	append->headers = sb->logv2 ? (append->size + HEADER_BYTES - 1) / HEADER_BYTES : 1;
	total = append->size / append->unit * append->unit;
	append->room = total - append->headers * XR_BB;
}

uint64_t xr_append_bytes(const struct xr_log *log, const struct xr_head *head, uint64_t tail_lsn, uint64_t ops, uint64_t payload)
{
	struct xr_append shape;
	uint64_t bytes = payload + ops * OP_BYTES, records;

	set_shape(&shape, log, head, tail_lsn);
	/* A split costs another operation header, and a record's last bytes may be too few for one. */
	records = bytes / (shape.room - 2 * OP_BYTES - PIECE_MIN) + 1;
	bytes += records * (shape.headers * XR_BB + 2 * OP_BYTES + PIECE_MIN);
	return (bytes + shape.unit - 1) / shape.unit * shape.unit;
}

uint64_t xr_append_space(const struct xr_log *log, const struct xr_head *head)
{
	uint64_t space = (uint64_t)free_blocks(log, head) << XR_BB_SHIFT, unmount = xr_append_bytes(log, head, 0, 1, XR_BB);

	return space > unmount ? space - unmount : 0;
}

/* --- records --- */

/* Stamp the cycle into every block of the record (section 3.3), one more where it wrapped, and seal it with the CRC (3.4). */
static void seal(const struct xr_append *append, uint32_t len)
{
	const struct xr_head *head = append->head;
	uint32_t headers = append->headers, blocks = headers + (len + XR_BB - 1) / XR_BB, crc;
	uint8_t *record = append->record;

	for (uint32_t i = 1; i < blocks; i++) {
		uint8_t *bb = record + ((size_t)i << XR_BB_SHIFT);
		uint32_t cycle = head->cycle, n = i - headers;

		if (i >= headers) {
			uint8_t *home = n < CYCLES_PER_HEADER ? record + LR(cycle_data)
							      : record + (n / CYCLES_PER_HEADER << XR_BB_SHIFT) + 4;

			memcpy(home + 4 * (n % CYCLES_PER_HEADER), bb, 4);
		}
		if (xr_log_add(append->log, head->head, i) < head->head)
			cycle += cycle + 1 == XR_RECORD_MAGIC ? 2 : 1;
		xr_put_be32(bb, cycle);
	}
	crc = xr_crc_feed(~0u, record, sizeof(struct xlog_rec_header));
	for (uint32_t i = 1; i < (len + HEADER_BYTES - 1) / HEADER_BYTES; i++)
		crc = xr_crc_feed(crc, record + ((size_t)i << XR_BB_SHIFT), sizeof(struct xlog_rec_ext_header));
	crc = xr_crc_feed(crc, record + ((size_t)headers << XR_BB_SHIFT), len);
	xr_put_le32(record + LR(crc), ~crc);
}

static void advance(struct xr_append *append, uint32_t blocks)
{
	struct xr_head *head = append->head;
	uint32_t to = xr_log_add(append->log, head->head, blocks);

	head->last_lsn = xr_lsn(head->cycle, head->head);
	head->last_block = head->head;
	head->last_size = append->size;
	head->last_version = append->log->sb->logv2 ? 2 : 1;
	head->records++;
	if (to < head->head)
		head->cycle += head->cycle + 1 == XR_RECORD_MAGIC ? 2 : 1;
	head->head = to;
}

static int write_record(struct xr_append *append)
{
	const struct xr_log *log = append->log;
	struct xr_head *head = append->head;
	uint64_t lsn = xr_lsn(head->cycle, head->head);
	uint32_t total = padded(append->headers * XR_BB + append->len, append->unit);
	uint32_t len = log->sb->logv2 ? total - append->headers * XR_BB : append->len;
	int ret = 0;

	if (append->unflushed == IN_FLIGHT) {
		ret = xr_dev_flush(log->dev);
		append->unflushed = 0;
	}
	memset(append->record, 0, append->headers * XR_BB);
	memset(append->record + append->headers * XR_BB + append->len, 0, total - append->headers * XR_BB - append->len);
	put_header(log, head, append->record, head->cycle, head->head, append->tail_lsn ? append->tail_lsn : lsn);
	xr_put_be32(append->record + LR(len), len);
	xr_put_be32(append->record + LR(prev_block), head->last_block);
	xr_put_be32(append->record + LR(num_logops), append->ops);
	xr_put_be32(append->record + LR(size), append->size);
	seal(append, len);
	if (!ret)
		ret = write_blocks(log, append->record, head->head, total >> XR_BB_SHIFT);
	if (ret)
		return ret;
	advance(append, total >> XR_BB_SHIFT);
	append->unflushed++;
	append->len = append->ops = 0;
	return 0;
}

/* --- operations --- */

int xr_append_begin(struct xr_append *append, const struct xr_log *log, struct xr_head *head, struct xr_cache *cache,
		    uint64_t tail_lsn)
{
	uint32_t total;
	int ret;

	set_shape(append, log, head, tail_lsn);
	append->head = head;
	total = append->headers * XR_BB + append->room;
	if (total >> XR_BB_SHIFT > log->bbs)
		return xr_fail(log->msg, -EUCLEAN, "a log of %u blocks has no room for a record of %u", log->bbs,
			       total >> XR_BB_SHIFT);
	append->record = malloc(total);
	if (!append->record)
		return xr_fail(log->msg, -ENOMEM, "no memory for a log record of %u bytes", total);
	ret = clear_stale(log, head);
	return ret ? ret : settle(log, cache);
}

static void put_op(struct xr_append *append, uint32_t tid, uint8_t client, uint8_t flags, const void *data, uint32_t len)
{
	uint8_t *p = append->record + append->headers * XR_BB + append->len;

	xr_put_be32(p, tid);
	xr_put_be32(p + 4, len);
	p[8] = client;
	p[9] = flags;
	p[10] = p[11] = 0;
	if (len)
		memcpy(p + OP_BYTES, data, len);
	append->len += OP_BYTES + len;
	append->ops++;
}

int xr_append_op(struct xr_append *append, uint32_t tid, uint8_t client, uint8_t flags, const void *data, uint32_t len)
{
	const uint8_t *from = data;
	uint8_t continued = 0;

	for (;;) {
		uint32_t left = append->room - append->len, piece = len;
		int ret;

		if (left < OP_BYTES + (len ? PIECE_MIN : 0)) {
			ret = write_record(append);
			if (ret)
				return ret;
			continue;
		}
		if (len <= left - OP_BYTES) {
			put_op(append, tid, client, flags | (continued ? continued | XLOG_END_TRANS : 0), from, len);
			return 0;
		}
		piece = (left - OP_BYTES) & ~(PIECE_MIN - 1);
		put_op(append, tid, client, flags | continued | XLOG_CONTINUE_TRANS, from, piece);
		from += piece;
		len -= piece;
		continued = XLOG_WAS_CONT_TRANS;
		ret = write_record(append);
		if (ret)
			return ret;
	}
}

void xr_append_drop(struct xr_append *append)
{
	free(append->record);
	append->record = NULL;
	/* The window on the log may hold what stood there before. */
	xr_ring_forget(append->log->ring);
}

int xr_append_end(struct xr_append *append)
{
	int ret = append->ops ? write_record(append) : 0;

	if (!ret)
		ret = xr_dev_flush(append->log->dev);
	xr_append_drop(append);
	return ret;
}
