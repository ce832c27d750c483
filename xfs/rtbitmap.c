/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The realtime bitmap
 *
 * Counting does not depend on the byte order of its words, as long as the last word, which may reach behind the last extent, is counted
 * whole: the bits behind it are never set.
 */
#include "rtbitmap.h"
#include "bmap.h"
#include "bytes.h"
#include "format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* The header's fields. */
enum { MAGIC = 0, CRC = 4, OWNER = 8, BLKNO = 16, UUID = 32, HEADER = 48 };

uint32_t xr_rt_header(const struct xr_sb *sb)
{
	return sb->has_rtgroups ? HEADER : 0;
}

uint32_t xr_rt_words(const struct xr_sb *sb)
{
	return (sb->blocksize - xr_rt_header(sb)) / 4;
}

uint64_t xr_rtbitmap_blocks(const struct xr_sb *sb)
{
	uint64_t bits = sb->has_rtgroups ? sb->rgextents : sb->rextents, per_block = xr_rt_words(sb) * UINT64_C(32);

	return bits / per_block + (bits % per_block != 0);
}

const char *xr_rtblock_fault(const struct xr_sb *sb, const uint8_t *block, unsigned type, uint64_t daddr, uint64_t ino)
{
	if (!sb->has_rtgroups)
		return NULL;
	if (xr_be32(block + MAGIC) != (type == XFS_BLFT_RTBITMAP_BUF ? XR_RTBITMAP_MAGIC : XR_RTSUMMARY_MAGIC))
		return "another kind of block";
	if (xr_be64(block + OWNER) != ino || xr_be64(block + BLKNO) != daddr || memcmp(block + UUID, sb->meta_uuid, 16) != 0)
		return "a block of another place";
	return NULL;
}

bool xr_rtblock_crc_ok(const struct xr_sb *sb, const uint8_t *block)
{
	return !sb->has_rtgroups || xr_crc_ok(block, sb->blocksize, CRC);
}

/* One bitmap to count. */
struct bitmap {
	const struct xr_fs *fs;
	const struct xr_inode *inode;
	char name[40];
	uint64_t extents;
};

static int bad(const struct bitmap *bitmap, uint64_t block, const char *what)
{
	return xr_fail(bitmap->fs->msg, -EUCLEAN, "%s: block %" PRIu64 " is %s; run xfs_repair", bitmap->name, block, what);
}

/* The set ones among the first n bits of words, in whole words; never more than n. */
static uint64_t count_bits(const uint8_t *words, uint64_t n)
{
	uint64_t count = 0;

	for (uint64_t bit = 0; bit < n; bit += 32)
		count += (uint64_t)__builtin_popcount(xr_be32(words + bit / 8));
	return count < n ? count : n;
}

static int count_block(const struct bitmap *bitmap, const struct xr_bmap *map, uint64_t block, uint64_t bits, uint64_t *count)
{
	const struct xr_fs *fs = bitmap->fs;
	struct xr_extent extents[XR_BMAP_GATHER_MAX];
	struct xr_buf buf;
	const char *fault;
	int error;

	if (xr_bmap_gather(fs, map, block, 1, extents) != 1)
		return bad(bitmap, block, "not mapped");
	error = xr_buf_read(fs->cache, extents[0].daddr, extents[0].bbs, &buf);
	if (error)
		return error;
	fault = xr_rtblock_fault(fs->sb, buf.data, XFS_BLFT_RTBITMAP_BUF, extents[0].daddr, bitmap->inode->ino);
	if (!fault && !xr_rtblock_crc_ok(fs->sb, buf.data))
		fault = "damaged";
	if (!fault)
		*count += count_bits(buf.data + xr_rt_header(fs->sb), bits);
	xr_buf_put(fs->cache, &buf);
	return fault ? bad(bitmap, block, fault) : 0;
}

static int count_free(const struct bitmap *bitmap, uint64_t *count)
{
	uint64_t left = bitmap->extents, per_block = xr_rt_words(bitmap->fs->sb) * UINT64_C(32);
	struct xr_bmap map;
	int error = xr_bmap_read(bitmap->fs, bitmap->inode, XR_DATA_FORK, &map);

	*count = 0;
	for (uint64_t block = 0; left && !error; block++) {
		uint64_t bits = left < per_block ? left : per_block;

		error = count_block(bitmap, &map, block, bits, count);
		left -= bits;
	}
	xr_bmap_free(&map);
	return error;
}

int xr_rtbitmap_free(const struct xr_fs *fs, uint64_t *count)
{
	struct bitmap bitmap = {.fs = fs, .name = "realtime bitmap", .extents = fs->sb->rextents};
	struct xr_inode inode;
	int error;

	*count = 0;
	if (!bitmap.extents)
		return 0;
	error = xr_inode_read(fs, fs->sb->rbmino, &inode);
	if (error == -ENOENT || (!error && !S_ISREG(inode.mode)))
		return xr_fail(fs->msg, -EUCLEAN, "inode %" PRIu64 ": the realtime bitmap is no file; run xfs_repair",
			       fs->sb->rbmino);
	bitmap.inode = &inode;
	return error ? error : count_free(&bitmap, count);
}

int xr_rtbitmap_group_free(const struct xr_fs *fs, const struct xr_inode *inode, uint32_t rgno, uint64_t *count)
{
	struct bitmap bitmap = {.fs = fs, .inode = inode, .extents = xr_rg_extents(fs->sb, rgno)};

	snprintf(bitmap.name, sizeof(bitmap.name), "realtime group %" PRIu32 ": bitmap", rgno);
	return count_free(&bitmap, count);
}
