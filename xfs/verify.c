/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One table says where each kind of V5 block keeps its LSN, UUID, address and CRC; everything here is a look-up in it. The kind is
 * taken from the magic number found in the block, never from the log item, because blocks get reused.
 */
#include "verify.h"

#include <errno.h>

#include "bytes.h"
#include "format.h"

#define TYPE(t) (1u << XFS_BLFT_##t##_BUF)

#define BTREE_SHORT(magic, name)                                                                                                 \
	{                                                                                                                        \
		name, magic, 0, 4, 24, 32, 52, 16, false, TYPE(BTREE)                                                            \
	}
#define BTREE_LONG(magic, name)                                                                                                  \
	{                                                                                                                        \
		name, magic, 0, 4, 32, 40, 64, 24, false, TYPE(BTREE)                                                            \
	}
#define DIR(magic, name, type)                                                                                                   \
	{                                                                                                                        \
		name, magic, 0, 4, 16, 24, 4, 8, false, TYPE(type)                                                               \
	}
#define DA(magic, name, type)                                                                                                    \
	{                                                                                                                        \
		name, magic, 8, 2, 24, 32, 12, 16, false, TYPE(type)                                                             \
	}

static const struct xr_kind kinds[] = {
	BTREE_SHORT(XFS_ABTB_CRC_MAGIC, "free space by block btree"),
	BTREE_SHORT(XFS_ABTC_CRC_MAGIC, "free space by size btree"),
	BTREE_SHORT(XFS_IBT_CRC_MAGIC, "inode btree"),
	BTREE_SHORT(XFS_FIBT_CRC_MAGIC, "free inode btree"),
	BTREE_SHORT(XFS_RMAP_CRC_MAGIC, "rmap btree"),
	BTREE_SHORT(XFS_REFC_CRC_MAGIC, "refcount btree"),
	BTREE_LONG(XFS_BMAP_CRC_MAGIC, "extent btree"),
	BTREE_LONG(XR_RTRMAP_MAGIC, "realtime rmap btree"),
	BTREE_LONG(XR_RTREFC_MAGIC, "realtime refcount btree"),
	{"AGF", XFS_AGF_MAGIC, 0, 4, 208, 64, 216, -1, false, TYPE(AGF)},
	{"AGFL", XFS_AGFL_MAGIC, 0, 4, 24, 8, 32, -1, false, TYPE(AGFL)},
	{"AGI", XFS_AGI_MAGIC, 0, 4, 320, 296, 312, -1, false, TYPE(AGI)},
	{"symlink target", XFS_SYMLINK_MAGIC, 0, 4, 48, 16, 12, 40, false, TYPE(SYMLINK)},
	DIR(XFS_DIR3_BLOCK_MAGIC, "directory block", DIR_BLOCK),
	DIR(XFS_DIR3_DATA_MAGIC, "directory data", DIR_DATA),
	DIR(XFS_DIR3_FREE_MAGIC, "directory free index", DIR_FREE),
	DA(XFS_DIR3_LEAF1_MAGIC, "directory leaf", DIR_LEAF1),
	DA(XFS_DIR3_LEAFN_MAGIC, "directory node leaf", DIR_LEAFN),
	DA(XFS_DA3_NODE_MAGIC, "directory or attribute node", DA_NODE),
	DA(XFS_ATTR3_LEAF_MAGIC, "attribute leaf", ATTR_LEAF),
	{"remote attribute value", XFS_ATTR3_RMT_MAGIC, 0, 4, -1, 16, 12, 40, true, TYPE(ATTR_RMT)},
	{"superblock", XFS_SB_MAGIC, 0, 4, 240, 32, 224, -1, false, TYPE(SB)},
	{"realtime bitmap", XR_RTBITMAP_MAGIC, 0, 4, 24, 32, 4, 16, false, TYPE(RTBITMAP)},
	{"realtime summary", XR_RTSUMMARY_MAGIC, 0, 4, 24, 32, 4, 16, false, TYPE(RTSUMMARY)},
};

/* The smallest block that holds every field of the table. */
#define SMALLEST 512

static uint32_t magic_in(const struct xr_kind *kind, const uint8_t *data)
{
	return kind->magic_size == 2 ? xr_be16(data + kind->magic_at) : xr_be32(data + kind->magic_at);
}

const struct xr_kind *xr_kind_of(const uint8_t *data, size_t size)
{
	if (size < SMALLEST)
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (magic_in(&kinds[i], data) == kinds[i].magic)
			return &kinds[i];
	return NULL;
}

/* The UUID that a block of this kind must carry. The superblock has the user's at 32, and the metadata's at 248 if they differ. */
static bool uuid_ok(const struct xr_sb *sb, const struct xr_kind *kind, const uint8_t *data)
{
	bool own = kind->magic == XFS_SB_MAGIC && (sb->incompat & XFS_SB_FEAT_INCOMPAT_META_UUID);

	return !memcmp(data + (own ? (int)offsetof(struct xfs_dsb, sb_meta_uuid) : kind->uuid), sb->meta_uuid, 16);
}

uint64_t xr_block_lsn(const struct xr_sb *sb, const uint8_t *data, size_t size)
{
	const struct xr_kind *kind = xr_kind_of(data, size);
	uint64_t lsn;

	if (!sb->v5 || !kind || kind->lsn < 0 || !uuid_ok(sb, kind, data))
		return 0;
	lsn = xr_be64(data + kind->lsn);
	return lsn == UINT64_MAX ? 0 : lsn;
}

bool xr_type_matches(unsigned type, const uint8_t *data, size_t size)
{
	const struct xr_kind *kind;

	switch (type) {
	case XFS_BLFT_UDQUOT_BUF:
	case XFS_BLFT_PDQUOT_BUF:
	case XFS_BLFT_GDQUOT_BUF:
		return xr_be16(data) == XFS_DQUOT_MAGIC;
	case XFS_BLFT_DINO_BUF:
		return xr_be16(data) == XFS_DINODE_MAGIC;
	default:
		kind = xr_kind_of(data, size);
		return kind && (kind->types & 1u << type);
	}
}

bool xr_type_is_dir(unsigned type)
{
	return type >= XFS_BLFT_DIR_BLOCK_BUF && type <= XFS_BLFT_DIR_LEAFN_BUF;
}

bool xr_type_is_bare(const struct xr_sb *sb, unsigned type)
{
	return !sb->has_metadir && (type == XFS_BLFT_RTBITMAP_BUF || type == XFS_BLFT_RTSUMMARY_BUF);
}

static int stamp_one(const struct xr_sb *sb, const struct xr_kind *kind, uint64_t daddr, uint8_t *data, size_t size, uint64_t lsn,
		     const struct xr_msg *msg)
{
	if (!uuid_ok(sb, kind, data))
		return xr_fail(msg, -EUCLEAN,
			       "block %llu: the log makes it a %s of another filesystem (UUID); nothing of this LSN is kept",
			       (unsigned long long)daddr, kind->name);
	if (kind->blkno >= 0 && xr_be64(data + kind->blkno) != daddr)
		return xr_fail(msg, -EUCLEAN, "block %llu: the log makes it a %s that says it belongs at block %llu",
			       (unsigned long long)daddr, kind->name, (unsigned long long)xr_be64(data + kind->blkno));
	if (kind->lsn >= 0)
		xr_put_be64(data + kind->lsn, lsn);
	xr_crc_update(data, size, (size_t)kind->crc);
	return 0;
}

int xr_block_stamp(const struct xr_sb *sb, uint64_t daddr, uint8_t *data, size_t size, uint64_t lsn, const struct xr_msg *msg)
{
	const struct xr_kind *kind = xr_kind_of(data, size);
	size_t step = kind && kind->per_block ? sb->blocksize : size;
	int ret = 0;

	if (!sb->v5 || !kind)
		return 0;
	for (size_t at = 0; at + step <= size && !ret; at += step)
		if (magic_in(kind, data + at) == kind->magic)
			ret = stamp_one(sb, kind, daddr + (at >> XR_BB_SHIFT), data + at, step, lsn, msg);
	return ret;
}
