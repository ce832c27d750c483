/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The realtime bitmap
 *
 * One bit for each realtime extent, set while it is free, in 32-bit words of the writer's byte order, without headers. Counting
 * does not depend on that order, as long as the last word, which may reach behind the last extent, is counted whole: the bits behind it
 * are never set.
 */
#include "rtbitmap.h"
#include "bmap.h"
#include "bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

/* The set ones among the first n bits of words, in whole words; never more than n. */
static uint64_t count_bits(const uint8_t *words, uint64_t n)
{
	uint64_t count = 0;

	for (uint64_t bit = 0; bit < n; bit += 32)
		count += (uint64_t)__builtin_popcount(xr_be32(words + bit / 8));
	return count < n ? count : n;
}

static int count_block(const struct xr_fs *fs, const struct xr_bmap *map, uint64_t block, uint64_t bits, uint64_t *count)
{
	struct xr_extent extents[XR_BMAP_GATHER_MAX];
	struct xr_buf buf;
	int error;

	if (xr_bmap_gather(fs, map, block, 1, extents) != 1)
		return xr_fail(fs->msg, -EUCLEAN, "realtime bitmap: block %" PRIu64 " is not mapped; run xfs_repair", block);
	error = xr_buf_read(fs->cache, extents[0].daddr, extents[0].bbs, &buf);
	if (error)
		return error;
	*count += count_bits(buf.data, bits);
	xr_buf_put(fs->cache, &buf);
	return 0;
}

int xr_rtbitmap_free(const struct xr_fs *fs, uint64_t *count)
{
	uint64_t left = fs->sb->rextents, per_block = (uint64_t)fs->sb->blocksize * 8;
	struct xr_inode inode;
	struct xr_bmap map;
	int error;

	*count = 0;
	if (fs->sb->has_metadir)
		return xr_fail(fs->msg, -EOPNOTSUPP,
			       "the free extents of realtime groups cannot be counted yet; mount it instead");
	if (!left)
		return 0;
	error = xr_inode_read(fs, fs->sb->rbmino, &inode);
	if (error == -ENOENT || (!error && !S_ISREG(inode.mode)))
		return xr_fail(fs->msg, -EUCLEAN, "inode %" PRIu64 ": the realtime bitmap is no file; run xfs_repair",
			       fs->sb->rbmino);
	if (error)
		return error;
	error = xr_bmap_read(fs, &inode, XR_DATA_FORK, &map);
	for (uint64_t block = 0; left && !error; block++) {
		uint64_t bits = left < per_block ? left : per_block;

		error = count_block(fs, &map, block, bits, count);
		left -= bits;
	}
	xr_bmap_free(&map);
	return error;
}
