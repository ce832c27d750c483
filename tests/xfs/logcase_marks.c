/* SPDX-License-Identifier: GPL-2.0-only */
#include "logcase_impl.h"

#define PATTERN_AT 64u /* behind the header of a directory block */

/* --- marks --- */

uint32_t lc_block_bbs(const struct lb *lb)
{
	return lb->sb.blocksize >> XR_BB_SHIFT;
}

/* Free space: the upper half of a new filesystem's last group. Logs stand in the middle group, or at the beginning of the only one. */
uint64_t lc_free_daddr(const struct lb *lb, uint32_t block)
{
	return xr_ag_daddr(&lb->sb, lb->sb.agcount - 1) + (uint64_t)(lb->sb.agblocks / 2 + block) * lc_block_bbs(lb);
}

void lc_fill_mark(const struct lb *lb, uint32_t n, uint8_t chunk[LC_CHUNK])
{
	memset(chunk, 0, LC_CHUNK);
	xr_put_be32(chunk, lb->sb.v5 ? XFS_DIR3_DATA_MAGIC : XFS_DIR2_DATA_MAGIC);
	if (lb->sb.v5) {
		xr_put_be64(chunk + 8, lc_free_daddr(lb, n));
		memcpy(chunk + 24, lb->sb.meta_uuid, 16);
	}
	memset(chunk + PATTERN_AT, (int)(0x80 + n), LC_CHUNK - PATTERN_AT);
}

uint32_t lc_chunk_agbno(const struct lb *lb)
{
	uint32_t blocks = lb->sb.chunk_inodes >> lb->sb.inopblog;

	return lb->sb.agblocks / 4 * 3 / blocks * blocks;
}

static bool is_magic(const struct lb *lb, uint64_t daddr, uint16_t magic)
{
	uint8_t bb[XR_BB];

	return !xr_dev_read(&lb->dev, bb, sizeof(bb), daddr * XR_BB) && xr_be16(bb) == magic;
}

/* What was replayed that is no mark. */
static uint32_t other_marks(const struct lb *lb)
{
	uint64_t chunk = xr_ag_daddr(&lb->sb, lb->sb.agcount - 1) + (uint64_t)lc_chunk_agbno(lb) * lc_block_bbs(lb);
	uint8_t gen[4];

	if (xr_dev_read(&lb->dev, gen, 4, xr_ino_offset(&lb->sb, lb->sb.rootino) + offsetof(struct xfs_dinode, di_gen)))
		return UINT32_MAX;
	return (xr_be32(gen) == LC_GEN ? LC_INODE_CHANGED : 0) | (is_magic(lb, chunk, XFS_DINODE_MAGIC) ? LC_CHUNK_MADE : 0) |
	       (is_magic(lb, lc_free_daddr(lb, LC_DQUOT_BLOCK), XFS_DQUOT_MAGIC) ? LC_DQUOT_THERE : 0);
}

uint32_t logcase_marks(const struct lb *lb)
{
	uint32_t marks = other_marks(lb);

	for (uint32_t n = 0; n < LC_MARKS; n++) {
		uint8_t want[LC_CHUNK], have[XR_BB];

		if (1u << n & (LC_INODE_CHANGED | LC_CHUNK_MADE | LC_DQUOT_THERE))
			continue;
		lc_fill_mark(lb, n, want);
		if (xr_dev_read(&lb->dev, have, sizeof(have), lc_free_daddr(lb, n) * XR_BB))
			return UINT32_MAX;
		if (!memcmp(have + PATTERN_AT, want + PATTERN_AT, LC_CHUNK - PATTERN_AT))
			marks |= 1u << n;
		else if (have[PATTERN_AT])
			return UINT32_MAX;
	}
	return marks;
}

/* --- items --- */

/* A buffer item's format: its first words words of map are map, 0, 0, ... */
void lc_buffer(struct lb *lb, uint32_t tid, uint64_t daddr, uint32_t bbs, uint32_t flags, uint16_t count, uint32_t map,
	       uint32_t words)
{
	uint8_t format[24] = {0};

	lb_put(lb, format, XFS_LI_BUF, 2);
	lb_put(lb, format + 2, count, 2);
	lb_put(lb, format + 4, flags, 2);
	lb_put(lb, format + 6, bbs, 2);
	lb_put(lb, format + 8, daddr, 8);
	lb_put(lb, format + 16, words, 4);
	lb_put(lb, format + 20, map, 4);
	lb_op(lb, tid, 0, format, sizeof(format));
}

void lc_mark_op(struct lb *lb, uint32_t tid, uint32_t n)
{
	uint8_t chunk[LC_CHUNK];

	lc_fill_mark(lb, n, chunk);
	lc_buffer(lb, tid, lc_free_daddr(lb, n), lc_block_bbs(lb), XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT, 2, 1, 1);
	lb_op(lb, tid, 0, chunk, sizeof(chunk));
}

void lc_cancel_op(struct lb *lb, uint32_t tid, uint32_t n)
{
	lc_buffer(lb, tid, lc_free_daddr(lb, n), lc_block_bbs(lb), XFS_BLF_CANCEL, 1, 0, 1);
}

void lc_mark_trans(struct lb *lb, uint32_t tid, uint32_t n)
{
	lb_start(lb, tid);
	lc_mark_op(lb, tid, n);
	lb_commit(lb, tid);
}

/* A record with one mark. */
uint32_t lc_mark(struct lb *lb, uint32_t n)
{
	lc_mark_trans(lb, 0x1000 + n, n);
	return lb_flush(lb);
}

/* Records with nothing that can be seen. */
void lc_fill(struct lb *lb, uint32_t n)
{
	while (n--)
		lc_mark(lb, LC_MARKS - 1);
}

/* An item of one region: type, one region, and what the caller puts into the rest. */
uint8_t *lc_item(struct lb *lb, uint8_t *raw, size_t size, uint16_t type)
{
	memset(raw, 0, size);
	lb_put(lb, raw, type, 2);
	lb_put(lb, raw + 2, 1, 2);
	return raw;
}

/* A transaction of an item of one region. */
void lc_item_trans(struct lb *lb, uint32_t tid, const uint8_t *raw, uint32_t size)
{
	lb_start(lb, tid);
	lb_op(lb, tid, 0, raw, size);
	lb_commit(lb, tid);
}
