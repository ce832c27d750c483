/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blocks of extent btrees
 *
 * When two files swap their extents the blocks of the trees change hands without being logged, and replay must write the new owner into
 * each. The walk is depth-first, its depth is that of the tree (checked at each block), and it sees no more blocks than
 * the inode says it has, whatever the pointers say.
 */
#include "bmbt.h"

#include <errno.h>

#include "bytes.h"
#include "dinode.h"
#include "format.h"

#define HEADER 72u /* long-form btree block header with CRC */
#define OWNER_AT 56u
#define CRC_AT 64u

struct walk {
	const struct xr_sb *sb;
	struct xr_cache *cache;
	const struct xr_table *unstamped;
	const struct xr_msg *msg;
	uint64_t owner;
	uint64_t blocks_left;
};

static int set_block(struct walk *walk, uint64_t fsb, unsigned level);

static int set_children(struct walk *walk, const uint8_t *pointers, unsigned numrecs, unsigned level)
{
	int ret = 0;

	for (unsigned i = 0; i < numrecs && !ret; i++)
		ret = set_block(walk, xr_be64(pointers + 8 * i), level);
	return ret;
}

/* Whether the block is one of such a tree, and whole: a new checksum must not make a damaged block good. */
static bool block_ok(const struct walk *walk, const struct xr_buf *buf, uint64_t daddr, unsigned level)
{
	unsigned max = (walk->sb->blocksize - HEADER) / 16;

	return xr_be32(buf->data) == XFS_BMAP_CRC_MAGIC && xr_be16(buf->data + 4) == level && xr_be16(buf->data + 6) <= max &&
	       (xr_table_find(walk->unstamped, daddr, walk->sb->blocksize >> XR_BB_SHIFT) ||
		xr_crc_ok(buf->data, buf->size, CRC_AT));
}

static int set_block(struct walk *walk, uint64_t fsb, unsigned level)
{
	const struct xr_sb *sb = walk->sb;
	unsigned max = (sb->blocksize - HEADER) / 16;
	struct xr_buf buf;
	int ret;

	if (!xr_fsb_ok(sb, fsb, 1) || !walk->blocks_left--)
		return xr_fail(walk->msg, -EUCLEAN, "inode %llu: its extent btree points to block %#llx, which cannot be its own",
			       (unsigned long long)walk->owner, (unsigned long long)fsb);
	ret = xr_buf_read(walk->cache, xr_fsb_daddr(sb, fsb), sb->blocksize >> XR_BB_SHIFT, &buf);
	if (ret)
		return ret;
	if (!block_ok(walk, &buf, xr_fsb_daddr(sb, fsb), level)) {
		ret = xr_fail(walk->msg, -EUCLEAN, "inode %llu: block %#llx is no block of its extent btree, or is damaged",
			      (unsigned long long)walk->owner, (unsigned long long)fsb);
	} else {
		xr_put_be64(buf.data + OWNER_AT, walk->owner);
		xr_crc_update(buf.data, buf.size, CRC_AT);
		xr_buf_dirty(walk->cache, &buf, 0, HEADER);
		if (level)
			ret = set_children(walk, buf.data + HEADER + 8 * max, xr_be16(buf.data + 6), level - 1);
	}
	xr_buf_put(walk->cache, &buf);
	return ret;
}

int xr_bmbt_set_owner(const struct xr_sb *sb, struct xr_cache *cache, const struct xr_table *unstamped, const uint8_t *inode,
		      bool attr, uint64_t owner, const struct xr_msg *msg)
{
	struct walk walk = {sb, cache, unstamped, msg, owner, xr_be64(inode + offsetof(struct xfs_dinode, di_nblocks))};
	struct xr_forks forks;
	const uint8_t *root;
	unsigned level, numrecs, max;

	if (!xr_forks_of(sb, inode, &forks) || (attr && !forks.attr_size))
		return xr_fail(msg, -EUCLEAN, "inode %llu: its fork lies outside the inode", (unsigned long long)owner);
	root = inode + (attr ? forks.attr : forks.data);
	max = ((attr ? forks.attr_size : forks.data_size) - 4) / 16;
	level = xr_be16(root);
	numrecs = xr_be16(root + 2);
	if (!level || level > XR_BMBT_MAX_LEVEL || numrecs > max)
		return xr_fail(msg, -EUCLEAN, "inode %llu: the root of its extent btree is damaged", (unsigned long long)owner);
	return set_children(&walk, root + 4 + 8 * max, numrecs, level - 1);
}
