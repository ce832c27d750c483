/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of B+trees
 *
 * What differs between them is a table: sizes, magic numbers, where the root is named, and how records and keys look. A key's bytes are
 * those of the kernel (the free-space trees store the length with the start, though one of them orders by start alone); how keys compare
 * is said apart, by up to three numbers.
 */
#include "ag.h"
#include "btree_impl.h"
#include "format.h"

#define AGF(field) offsetof(struct xfs_agf, agf_##field)
#define AGI(field) offsetof(struct xfs_agi, agi_##field)

#define BMBT_OFFSET_BITS 54
#define BMBT_BLOCK_BITS 52
#define BMBT_COUNT_BITS 21
#define LOW_BITS(n) ((UINT64_C(1) << (n)) - 1)

/* Whether [start, start + len) lies in the AG: behind the superblock's block, at least. */
static bool in_ag(const struct xr_sb *sb, uint32_t agno, uint64_t start, uint64_t len)
{
	uint32_t blocks = xr_ag_blocks(sb, agno);

	return len && start < blocks && len <= blocks - start;
}

/* The same of a realtime group. */
static bool in_rtgroup(const struct xr_sb *sb, uint32_t rgno, uint64_t start, uint64_t len)
{
	uint32_t blocks = xr_rg_blocks(sb, rgno);

	return len && start < blocks && len <= blocks - start;
}

/* --- free extents, by start and by length --- */

static void alloc_encode(const struct xr_sb *sb, const struct xr_rec *rec, uint8_t *raw)
{
	(void)sb;
	xr_put_be32(raw, (uint32_t)rec->start);
	xr_put_be32(raw + 4, (uint32_t)rec->len);
}

static void alloc_decode(const struct xr_sb *sb, const uint8_t *raw, struct xr_rec *rec)
{
	(void)sb;
	*rec = (struct xr_rec){.start = xr_be32(raw), .len = xr_be32(raw + 4)};
}

static void alloc_low(const uint8_t *raw, uint8_t *key)
{
	memcpy(key, raw, 8);
}

static struct xr_bt_order bno_order(const uint8_t *key)
{
	return (struct xr_bt_order){{xr_be32(key)}};
}

static struct xr_bt_order cnt_order(const uint8_t *key)
{
	return (struct xr_bt_order){{xr_be32(key + 4), xr_be32(key)}};
}

static bool alloc_ok(const struct xr_sb *sb, uint32_t agno, const struct xr_rec *rec)
{
	return in_ag(sb, agno, rec->start, rec->len);
}

/* --- reverse mappings --- */

static void rmap_encode(const struct xr_sb *sb, const struct xr_rec *rec, uint8_t *raw)
{
	(void)sb;
	xr_put_be32(raw, (uint32_t)rec->start);
	xr_put_be32(raw + 4, (uint32_t)rec->len);
	xr_put_be64(raw + 8, rec->owner);
	xr_put_be64(raw + 16, rec->offset);
}

static void rmap_decode(const struct xr_sb *sb, const uint8_t *raw, struct xr_rec *rec)
{
	(void)sb;
	*rec = (struct xr_rec){
		.start = xr_be32(raw), .len = xr_be32(raw + 4), .owner = xr_be64(raw + 8), .offset = xr_be64(raw + 16)};
}

/* Keys do not tell written from unwritten: conversion changes that in place. */
static void rmap_low(const uint8_t *raw, uint8_t *key)
{
	memcpy(key, raw, 4);
	memcpy(key + 4, raw + 8, 8);
	xr_put_be64(key + 12, xr_be64(raw + 16) & ~XR_RMAP_UNWRITTEN);
}

/* The key of the record's last block; only blocks of a file's data have an offset that grows with them. */
static void rmap_high(const uint8_t *raw, uint8_t *key)
{
	uint32_t more = xr_be32(raw + 4) - 1;
	uint64_t offset = xr_be64(raw + 16);

	rmap_low(raw, key);
	xr_put_be32(key, xr_be32(raw) + more);
	if (!(xr_be64(raw + 8) >> 63) && !(offset & XR_RMAP_BMBT))
		xr_put_be64(key + 12, ((offset & ~XR_RMAP_UNWRITTEN) & ~LOW_BITS(BMBT_OFFSET_BITS)) |
					      ((offset + more) & LOW_BITS(BMBT_OFFSET_BITS)));
}

static struct xr_bt_order rmap_order(const uint8_t *key)
{
	return (struct xr_bt_order){{xr_be32(key), xr_be64(key + 4), xr_be64(key + 12) & ~XR_RMAP_UNWRITTEN}};
}

static bool rmap_ok(const struct xr_sb *sb, uint32_t agno, const struct xr_rec *rec)
{
	return in_ag(sb, agno, rec->start, rec->len);
}

static bool rtrmap_ok(const struct xr_sb *sb, uint32_t rgno, const struct xr_rec *rec)
{
	return in_rtgroup(sb, rgno, rec->start, rec->len);
}

/* --- reference counts --- */

static void refc_encode(const struct xr_sb *sb, const struct xr_rec *rec, uint8_t *raw)
{
	(void)sb;
	xr_put_be32(raw, (uint32_t)rec->start);
	xr_put_be32(raw + 4, (uint32_t)rec->len);
	xr_put_be32(raw + 8, rec->refcount);
}

static void refc_decode(const struct xr_sb *sb, const uint8_t *raw, struct xr_rec *rec)
{
	(void)sb;
	*rec = (struct xr_rec){.start = xr_be32(raw), .len = xr_be32(raw + 4), .refcount = xr_be32(raw + 8)};
}

static void start_low(const uint8_t *raw, uint8_t *key)
{
	memcpy(key, raw, 4);
}

static struct xr_bt_order start_order(const uint8_t *key)
{
	return (struct xr_bt_order){{xr_be32(key)}};
}

static bool refcount_ok(const struct xr_rec *rec)
{
	return rec->start & XR_REFC_COW ? rec->refcount == 1 : rec->refcount >= 2;
}

static bool refc_ok(const struct xr_sb *sb, uint32_t agno, const struct xr_rec *rec)
{
	return in_ag(sb, agno, rec->start & ~(uint64_t)XR_REFC_COW, rec->len) && refcount_ok(rec);
}

static bool rtrefc_ok(const struct xr_sb *sb, uint32_t rgno, const struct xr_rec *rec)
{
	return in_rtgroup(sb, rgno, rec->start & ~(uint64_t)XR_REFC_COW, rec->len) && refcount_ok(rec);
}

/* --- inode chunks; without sparse ones the counters' four bytes are one number --- */

static bool sparse(const struct xr_sb *sb)
{
	return sb->incompat & XFS_SB_FEAT_INCOMPAT_SPINODES;
}

static void ino_encode(const struct xr_sb *sb, const struct xr_rec *rec, uint8_t *raw)
{
	xr_put_be32(raw, (uint32_t)rec->start);
	if (sparse(sb)) {
		xr_put_be16(raw + 4, rec->holemask);
		raw[6] = rec->count;
		raw[7] = rec->freecount;
	} else {
		xr_put_be32(raw + 4, rec->freecount);
	}
	xr_put_be64(raw + 8, rec->free);
}

static void ino_decode(const struct xr_sb *sb, const uint8_t *raw, struct xr_rec *rec)
{
	uint32_t freecount = xr_be32(raw + 4);

	*rec = (struct xr_rec){.start = xr_be32(raw), .free = xr_be64(raw + 8), .count = XFS_INODES_PER_CHUNK};
	if (sparse(sb)) {
		rec->holemask = xr_be16(raw + 4);
		rec->count = raw[6];
		rec->freecount = raw[7];
	} else {
		rec->freecount = freecount > UINT8_MAX ? UINT8_MAX : (uint8_t)freecount; /* too large either way: see ino_ok() */
	}
}

static bool ino_ok(const struct xr_sb *sb, uint32_t agno, const struct xr_rec *rec)
{
	unsigned present = XFS_INODES_PER_CHUNK - XFS_INODES_PER_HOLEMASK_BIT * (unsigned)__builtin_popcount(rec->holemask);
	unsigned align = sb->inopblock < XFS_INODES_PER_CHUNK ? sb->inopblock : XFS_INODES_PER_CHUNK;

	/* The chunk may reach behind the AG's end with what is absent of it. */
	return in_ag(sb, agno, rec->start >> sb->inopblog, 1) && rec->start % align == 0 && rec->count == present &&
	       rec->freecount <= rec->count;
}

/* --- extents of a file --- */

static void bmbt_encode(const struct xr_sb *sb, const struct xr_rec *rec, uint8_t *raw)
{
	(void)sb;
	xr_put_be64(raw, (uint64_t)rec->unwritten << 63 | rec->start << 9 | rec->block >> 43);
	xr_put_be64(raw + 8, rec->block << BMBT_COUNT_BITS | rec->len);
}

static void bmbt_decode(const struct xr_sb *sb, const uint8_t *raw, struct xr_rec *rec)
{
	uint64_t l0 = xr_be64(raw), l1 = xr_be64(raw + 8);

	(void)sb;
	*rec = (struct xr_rec){.start = l0 >> 9 & LOW_BITS(BMBT_OFFSET_BITS),
			       .len = l1 & LOW_BITS(BMBT_COUNT_BITS),
			       .block = (l0 & LOW_BITS(9)) << 43 | l1 >> BMBT_COUNT_BITS,
			       .unwritten = l0 >> 63};
}

static void bmbt_low(const uint8_t *raw, uint8_t *key)
{
	xr_put_be64(key, xr_be64(raw) >> 9 & LOW_BITS(BMBT_OFFSET_BITS));
}

static struct xr_bt_order bmbt_order(const uint8_t *key)
{
	return (struct xr_bt_order){{xr_be64(key)}};
}

static bool bmbt_ok(const struct xr_sb *sb, uint32_t agno, const struct xr_rec *rec)
{
	(void)sb, (void)agno; /* realtime files have other block numbers: whether they exist is for those who use them */
	return rec->len && rec->len <= LOW_BITS(BMBT_COUNT_BITS) && rec->start + rec->len <= LOW_BITS(BMBT_OFFSET_BITS) + 1 &&
	       rec->block <= LOW_BITS(BMBT_BLOCK_BITS);
}

const struct xr_bt_kind xr_bt_kinds[] = {
	[XR_BNO] = {XR_BNO, "free space btree (by block)", XFS_ABTB_CRC_MAGIC, XFS_ABTB_MAGIC, 8, 8, 4, 0, AGF(roots),
		    AGF(levels), alloc_encode, alloc_decode, alloc_low, NULL, bno_order, alloc_ok},
	[XR_CNT] = {XR_CNT, "free space btree (by size)", XFS_ABTC_CRC_MAGIC, XFS_ABTC_MAGIC, 8, 8, 4, 0, AGF(roots) + 4,
		    AGF(levels) + 4, alloc_encode, alloc_decode, alloc_low, NULL, cnt_order, alloc_ok},
	[XR_RMAP] = {XR_RMAP, "rmap btree", XFS_RMAP_CRC_MAGIC, 0, 24, 20, 4, 0, AGF(roots) + 8, AGF(levels) + 8, rmap_encode,
		     rmap_decode, rmap_low, rmap_high, rmap_order, rmap_ok},
	[XR_REFC] = {XR_REFC, "refcount btree", XFS_REFC_CRC_MAGIC, 0, 12, 4, 4, 0, AGF(refcount_root), AGF(refcount_level),
		     refc_encode, refc_decode, start_low, NULL, start_order, refc_ok},
	[XR_INO] = {XR_INO, "inode btree", XFS_IBT_CRC_MAGIC, XFS_IBT_MAGIC, 16, 4, 4, 0, AGI(root), AGI(level), ino_encode,
		    ino_decode, start_low, NULL, start_order, ino_ok},
	[XR_FINO] = {XR_FINO, "free inode btree", XFS_FIBT_CRC_MAGIC, 0, 16, 4, 4, 0, AGI(free_root), AGI(free_level), ino_encode,
		     ino_decode, start_low, NULL, start_order, ino_ok},
	[XR_BMBT] = {XR_BMBT, "extent btree", XFS_BMAP_CRC_MAGIC, XFS_BMAP_MAGIC, 16, 8, 8, 16, 0, 0, bmbt_encode, bmbt_decode,
		     bmbt_low, NULL, bmbt_order, bmbt_ok},
	[XR_RTRMAP] = {XR_RTRMAP, "rmap btree", XR_RTRMAP_MAGIC, 0, 24, 20, 8, 48, 0, 0, rmap_encode, rmap_decode, rmap_low,
		       rmap_high, rmap_order, rtrmap_ok},
	[XR_RTREFC] = {XR_RTREFC, "refcount btree", XR_RTREFC_MAGIC, 0, 12, 4, 8, XR_RTREFC_ROOT_SHARE, 0, 0, refc_encode,
		       refc_decode, start_low, NULL, start_order, rtrefc_ok},
};
