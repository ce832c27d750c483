/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finishing the log
 *
 * What an interrupted write of the log left behind the head has to go before anything is written there: with the head moved past it, it could
 * be taken for part of the log again. So up to TOTAL_BBS blocks from the head are overwritten with empty records of the
 * cycle before, as the kernel does; then comes one record with the unmount operation, whose tail is itself. Both may wrap.
 *
 * The order makes a crash harmless at any point: metadata and superblock are on the disk before, and until the unmount record is there the
 * log is still dirty and can be replayed again.
 */
#include "finish.h"

#include <errno.h>
#include <stdlib.h>

#include "format.h"

#define TOTAL_BBS_V2 4096u /* eight records of 256 KiB: the most that can be in flight */
#define TOTAL_BBS_V1 512u
#define CYCLES_PER_HEADER 64u
#define HEADER_BYTES (CYCLES_PER_HEADER * XR_BB) /* data that one header block has room for cycle words of */
#define UNMOUNT_TID 0xb0c0d0d0u
#define UNMOUNT_MAGIC 0x556e
#define UNMOUNT_BYTES 20u /* operation header and payload */

#define LR(field) offsetof(struct xlog_rec_header, h_##field)

int xr_finish_superblock(const struct xr_sb *sb, struct xr_cache *cache, const struct xr_summary *summary,
			 const struct xr_head *head, const struct xr_msg *msg)
{
	struct xr_buf buf;
	int ret = xr_buf_read(cache, XFS_SB_DADDR, sb->sectsize >> XR_BB_SHIFT, &buf);

	if (ret)
		return ret;
	if (xr_be32(buf.data) != XFS_SB_MAGIC) {
		xr_buf_put(cache, &buf);
		return xr_fail(msg, -EUCLEAN, "the superblock is gone after the replay");
	}
	if (sb->lazy_count) {
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_icount), summary->icount);
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_ifree), summary->ifree);
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_fdblocks), summary->fdblocks);
	}
	if (sb->rextents)
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_frextents), summary->frextents);
	if (sb->v5) {
		xr_put_be32(buf.data + offsetof(struct xfs_dsb, sb_features_log_incompat), 0);
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_lsn), xr_lsn(head->cycle, head->head));
		xr_crc_update(buf.data, buf.size, offsetof(struct xfs_dsb, sb_crc));
	}
	xr_buf_dirty(cache, &buf, 0, buf.size);
	xr_buf_put(cache, &buf);
	return 0;
}

/* --- the log --- */

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

static int clear_stale(const struct xr_log *log, const struct xr_head *head)
{
	uint32_t count = free_blocks(log, head), total = log->sb->logv2 ? TOTAL_BBS_V2 : TOTAL_BBS_V1;
	uint8_t *data;
	int ret;

	count = count < total ? count : total;
	if (!count)
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
	return ret;
}

static uint32_t padded(uint32_t value, uint32_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* The unmount operation, in the byte order of the log. */
static void put_unmount(const struct xr_log *log, uint8_t *data)
{
	xr_put_be32(data, UNMOUNT_TID);
	xr_put_be32(data + 4, UNMOUNT_BYTES - 12);
	data[8] = XFS_LOG;
	data[9] = XLOG_UNMOUNT_TRANS;
	data[12] = log->order.big ? UNMOUNT_MAGIC >> 8 : UNMOUNT_MAGIC & 0xff;
	data[13] = log->order.big ? UNMOUNT_MAGIC & 0xff : UNMOUNT_MAGIC >> 8;
}

/* Stamp the cycle into every block of the record (section 3.3), one more where it wrapped, and seal it with the CRC (3.4). */
static void seal(const struct xr_log *log, const struct xr_head *head, uint8_t *record, uint32_t headers, uint32_t len)
{
	uint32_t blocks = headers + (len + XR_BB - 1) / XR_BB, crc;

	for (uint32_t i = 1; i < blocks; i++) {
		uint8_t *bb = record + ((size_t)i << XR_BB_SHIFT);
		uint32_t cycle = head->cycle, n = i - headers;

		if (i >= headers) {
			uint8_t *home = n < CYCLES_PER_HEADER ? record + LR(cycle_data)
							      : record + (n / CYCLES_PER_HEADER << XR_BB_SHIFT) + 4;

			memcpy(home + 4 * (n % CYCLES_PER_HEADER), bb, 4);
		}
		if (xr_log_add(log, head->head, i) < head->head)
			cycle += cycle + 1 == XR_RECORD_MAGIC ? 2 : 1;
		xr_put_be32(bb, cycle);
	}
	crc = xr_crc_feed(~0u, record, sizeof(struct xlog_rec_header));
	for (uint32_t i = 1; i < (len + HEADER_BYTES - 1) / HEADER_BYTES; i++)
		crc = xr_crc_feed(crc, record + ((size_t)i << XR_BB_SHIFT), sizeof(struct xlog_rec_ext_header));
	crc = xr_crc_feed(crc, record + ((size_t)headers << XR_BB_SHIFT), len);
	xr_put_le32(record + LR(crc), ~crc);
}

static int write_unmount(const struct xr_log *log, const struct xr_head *head)
{
	const struct xr_sb *sb = log->sb;
	uint32_t size = sb->logv2 && sb->logsunit > XLOG_BIG_RECORD_BSIZE ? sb->logsunit : XLOG_BIG_RECORD_BSIZE;
	uint32_t headers = (size + HEADER_BYTES - 1) / HEADER_BYTES, sector = log->sector_bbs << XR_BB_SHIFT;
	uint32_t unit = sb->log_roundoff > sector ? sb->log_roundoff : sector;
	uint32_t total = padded(headers * XR_BB + UNMOUNT_BYTES, unit);
	uint32_t len = sb->logv2 ? total - headers * XR_BB : UNMOUNT_BYTES;
	uint8_t *record;
	int ret;

	if (total >> XR_BB_SHIFT > log->bbs)
		return xr_fail(log->msg, -EUCLEAN, "a log of %u blocks has no room for a record of %u", log->bbs,
			       total >> XR_BB_SHIFT);
	record = calloc(1, total);
	if (!record)
		return xr_fail(log->msg, -ENOMEM, "no memory for a log record of %u bytes", total);
	put_header(log, head, record, head->cycle, head->head, xr_lsn(head->cycle, head->head));
	xr_put_be32(record + LR(len), len);
	xr_put_be32(record + LR(prev_block), head->last_block);
	xr_put_be32(record + LR(num_logops), 1);
	xr_put_be32(record + LR(size), size);
	put_unmount(log, record + headers * XR_BB);
	seal(log, head, record, headers, len);
	ret = write_blocks(log, record, head->head, total >> XR_BB_SHIFT);
	free(record);
	return ret;
}

int xr_finish_log(const struct xr_log *log, const struct xr_head *head)
{
	int ret = clear_stale(log, head);

	if (!ret)
		ret = xr_dev_flush(log->dev);
	if (!ret)
		ret = write_unmount(log, head);
	if (!ret)
		ret = xr_dev_flush(log->dev);
	xr_ring_forget(log->ring);
	return ret;
}
