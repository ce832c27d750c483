/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a salvage loses
 *
 * Whoever replays a damaged log up to the damage has to know what is missing. Behind the damage transactions cannot be put together
 * any more, but their pieces can be read: every change of a file logs its inode, so the inode numbers in the records that are still good are
 * the files that changed. Before it the same holds for transactions that began there and did not get to their COMMIT.
 *
 * One look at every block: a record is read whole where header and checksum are good, else the next block is tried.
 */
#include "lost.h"

#include <errno.h>

#include "format.h"
#include "verify.h"
#include "walk.h"

#define OP_BYTES 12u
#define INO_AT 16u /* in the 56-byte format; 12 in the 52-byte one */

struct finder {
	const struct xr_log *log;
	struct xr_lost *lost;
	struct xr_table open; /* (tid, 0): begun, not committed; value: LSN of the START */
	bool collect;
};

static int no_memory(const struct finder *f)
{
	return xr_fail(f->log->msg, -ENOMEM, "no memory for the list of what is lost");
}

bool xr_lost_inode(struct xr_order order, const uint8_t *data, uint32_t len, uint64_t *ino)
{
	if ((len != sizeof(struct xfs_inode_log_format) && len != sizeof(struct xfs_inode_log_format_32)) ||
	    xr_get16(order, data) != XFS_LI_INODE)
		return false;
	*ino = xr_get64(order, data + (len == sizeof(struct xfs_inode_log_format) ? INO_AT : INO_AT - 4));
	return true;
}

static int see_region(struct finder *f, const uint8_t *data, uint32_t len)
{
	uint64_t ino;

	if (!xr_lost_inode(f->log->order, data, len, &ino))
		return 0;
	return xr_table_add(&f->lost->inodes, ino, 0) ? 0 : no_memory(f);
}

/* Follow which transactions are open; and of those that are counted as lost, collect. */
static int see_op(struct finder *f, const struct xr_record *rec, uint32_t tid, uint8_t flags, const uint8_t *data, uint32_t len)
{
	struct xr_entry *open = xr_table_find(&f->open, tid, 0);

	if (f->collect)
		return !open || rec->lsn >= open->value ? see_region(f, data, len) : 0;
	if (flags & XLOG_START_TRANS) {
		open = xr_table_add(&f->open, tid, 0);
		if (!open)
			return no_memory(f);
		open->value = rec->lsn;
	} else if (open && flags & (XLOG_COMMIT_TRANS | XLOG_UNMOUNT_TRANS)) {
		xr_table_remove(&f->open, open);
	}
	return 0;
}

/* all: whether operations of any transaction count, or only those of the open ones. */
static int see_record(struct finder *f, const struct xr_record *rec, const uint8_t *data, bool all)
{
	uint32_t left = rec->len;
	int error = 0;

	for (uint32_t i = 0; i < rec->num_ops && left >= OP_BYTES && !error; i++) {
		uint32_t tid = xr_be32(data), len = xr_be32(data + 4);

		if (len > left - OP_BYTES)
			break;
		if (all || !f->collect || xr_table_find(&f->open, tid, 0))
			error = see_op(f, rec, tid, data[9], data + OP_BYTES, len);
		data += OP_BYTES + len;
		left -= OP_BYTES + len;
	}
	return error;
}

static int see_before(void *arg, const struct xr_record *rec, const uint8_t *data)
{
	return see_record(arg, rec, data, false);
}

/* The record at block if it can be read: its blocks in *blocks, else 1. */
static int see_behind(struct finder *f, uint32_t block, uint32_t left, uint32_t *blocks)
{
	struct xr_record rec;
	uint8_t *headers;
	int error = xr_record_header(f->log, block, &rec);

	*blocks = 1;
	if (!error && (rec.header_bbs + rec.data_bbs > left || rec.lsn != xr_lsn(rec.cycle, block)))
		error = -EUCLEAN;
	if (!error)
		error = xr_record_read(f->log, &rec, &headers);
	if (error) {
		f->lost->damaged++;
		return error == -EUCLEAN || error == -EBADMSG ? 0 : error;
	}
	xr_record_unpack(&rec, headers);
	f->lost->records++;
	*blocks = rec.header_bbs + rec.data_bbs;
	return see_record(f, &rec, headers + (size_t)rec.header_bbs * XR_BB, true);
}

int xr_lost_find(const struct xr_log *log, const struct xr_head *head, struct xr_lost *lost)
{
	struct finder f = {.log = log, .lost = lost};
	uint32_t block = xr_head_end(head), blocks;
	int error;

	*lost = (struct xr_lost){0};
	error = xr_record_walk(log, head->tail, block, see_before, &f);
	f.collect = true;
	if (!error)
		error = xr_record_walk(log, head->tail, block, see_before, &f);
	for (; !error && block != head->head; block = xr_log_add(log, block, blocks))
		error = see_behind(&f, block, xr_log_distance(log, block, head->head), &blocks);
	xr_table_clear(&f.open);
	return error;
}

/* Where a block says whose it is; 0: it does not. Version 5 only. */
static size_t owner_at(const uint8_t *data, size_t size)
{
	const struct xr_kind *kind = xr_kind_of(data, size);

	switch (kind ? kind->magic : 0) {
	case XFS_BMAP_CRC_MAGIC:
		return 56;
	case XFS_SYMLINK_MAGIC:
	case XFS_ATTR3_RMT_MAGIC:
		return 32;
	case XFS_DIR3_BLOCK_MAGIC:
	case XFS_DIR3_DATA_MAGIC:
	case XFS_DIR3_FREE_MAGIC:
		return 40;
	case XFS_DIR3_LEAF1_MAGIC:
	case XFS_DIR3_LEAFN_MAGIC:
	case XFS_DA3_NODE_MAGIC:
	case XFS_ATTR3_LEAF_MAGIC:
		return 48;
	default:
		return 0;
	}
}

int xr_lost_owners(const struct xr_sb *sb, struct xr_cache *cache, const struct xr_extent *buffer, struct xr_lost *lost)
{
	struct xr_buf buf;
	size_t at;
	int ret = xr_buf_read(cache, buffer->daddr, buffer->bbs, &buf);

	if (ret)
		return ret;
	at = sb->v5 ? owner_at(buf.data, buf.size) : 0;
	if (at && !xr_table_add(&lost->inodes, xr_be64(buf.data + at), 0))
		ret = -ENOMEM;
	if (sb->v5 && xr_be16(buf.data) == XFS_DINODE_MAGIC)
		for (at = 0; at + sb->inodesize <= buf.size && !ret; at += sb->inodesize)
			if (!xr_table_add(&lost->inodes, xr_be64(buf.data + at + offsetof(struct xfs_dinode, di_ino)), 0))
				ret = -ENOMEM;
	xr_buf_put(cache, &buf);
	return ret;
}

void xr_lost_clear(struct xr_lost *lost)
{
	xr_table_clear(&lost->inodes);
}
