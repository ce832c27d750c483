/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Free space of the realtime device
 *
 * The bitmap has a bit for each realtime extent, set while it is free. The summary counts free runs: by the logarithm of their length, and by the
 * block of the bitmap in which they begin. So freeing is: set the bits; find how far the run now goes in both directions; take what was
 * free on either side out of the summary and put the whole run in.
 *
 * With realtime groups each group has its bitmap and its summary, whose blocks have headers (rtbitmap.h). Without, there is one of each, with nothing in
 * their blocks but words, neither a checksum nor an LSN, which is why every replay of them counts. The rest is the same. Zones have neither file: the
 * inode of a zone's reverse mappings counts the blocks in use, and that is all there is to change.
 *
 * Cost: a look at the run that the freed blocks join, a word at a time.
 */
#include "rtspace.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bytes.h"
#include "format.h"
#include "rtbitmap.h"
#include "rtgroup.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define WORD 32u
#define USED_BLOCKS DI(cowextsize) /* of an inode of reverse mappings of a zone */

/* One of the two files, and the block of it that was looked at last. */
struct file {
	struct xr_tx_inode inode;
	unsigned type;
	uint64_t block;
	struct xr_tx_buf *buf; /* NULL: none yet */
};

/* A pair of files: of a group, or of the whole device. */
struct rt {
	struct xr_work *work;
	const struct xr_sb *sb;
	char name[32];
	struct xr_order order; /* of words */
	struct file bitmap, summary;
	uint64_t extents;
};

static int bad(const struct rt *rt, const char *what)
{
	return xr_fail(rt->work->replay->msg, -EUCLEAN, "%s: %s; run xfs_repair -n", rt->name, what);
}

bool xr_inode_realtime(const uint8_t *raw)
{
	return xr_be16(raw + DI(flags)) & XFS_DIFLAG_REALTIME && S_ISREG(xr_be16(raw + DI(mode)));
}

enum xr_section xr_inode_section(const uint8_t *raw, bool attr)
{
	return !attr && xr_inode_realtime(raw) ? XR_REALTIME : XR_DATA;
}

bool xr_section_has_rmaps(const struct xr_sb *sb, enum xr_section section)
{
	return sb->has_rmapbt && (section == XR_DATA || sb->has_rtgroups);
}

bool xr_rt_blocks_ok(const struct xr_sb *sb, uint64_t block, uint64_t count)
{
	uint64_t end = sb->rextents * sb->rextsize;

	if (sb->has_rtgroups)
		return count && xr_rtb_ok(sb, block, count);
	return count && block < end && count <= end - block;
}

bool xr_rt_whole(const struct xr_sb *sb, uint64_t block)
{
	return (sb->has_rtgroups ? xr_rtb_block(sb, block) : block) % sb->rextsize == 0;
}

/* --- words --- */

/* The block of a file, checked. */
static int get_block(struct rt *rt, struct file *file, uint64_t block)
{
	struct xr_tx *tx = rt->work->tx;
	struct xr_tx_buf *buf;
	struct xr_mapping m;
	uint64_t daddr;
	int ret = xr_bmap_lookup(tx, &file->inode, false, block, &m);

	if (ret == -ENOENT || (!ret && (m.offset > block || m.unwritten)))
		return bad(rt, "a block of its bitmap or summary is not mapped");
	if (ret)
		return ret;
	daddr = xr_fsb_daddr(rt->sb, m.block + (block - m.offset));
	ret = xr_tx_get(tx, daddr, rt->sb->blocksize >> XR_BB_SHIFT, file->type, &buf);
	if (ret)
		return ret;
	if (xr_rtblock_fault(rt->sb, buf->data, file->type, daddr, file->inode.ino) ||
	    (!xr_tx_changed(buf) && !xr_rtblock_crc_ok(rt->sb, buf->data)))
		return bad(rt, "a block of its bitmap or summary is damaged");
	file->buf = buf;
	file->block = block;
	return 0;
}

/* The word at a place of a file, counted in words. */
static int get_word(struct rt *rt, struct file *file, uint64_t word, uint8_t **at)
{
	uint64_t per_block = xr_rt_words(rt->sb), block = word / per_block;
	int ret = file->buf && file->block == block ? 0 : get_block(rt, file, block);

	if (!ret)
		*at = file->buf->data + xr_rt_header(rt->sb) + word % per_block * 4;
	return ret;
}

static void put_word(struct rt *rt, struct file *file, uint8_t *at, uint32_t value)
{
	xr_put32(rt->order, at, value);
	xr_tx_log(rt->work->tx, file->buf, (size_t)(at - file->buf->data), 4);
}

/* Add to the count of runs of a length that begin where rtx is in the bitmap. */
static int add_run(struct rt *rt, uint64_t rtx, uint64_t len, int by)
{
	unsigned level = 63u - (unsigned)__builtin_clzll(len);
	uint64_t word = level * xr_rtbitmap_blocks(rt->sb) + rtx / (xr_rt_words(rt->sb) * WORD);
	uint32_t count;
	uint8_t *at = NULL; /* said to compilers that cannot see get_word() set it */
	int ret = get_word(rt, &rt->summary, word, &at);

	if (ret)
		return ret;
	count = xr_get32(rt->order, at);
	if (by < 0 && !count)
		return bad(rt, "its bitmap and its summary contradict each other");
	put_word(rt, &rt->summary, at, count + (uint32_t)by);
	return 0;
}

/* The bits of a word that belong to [rtx, end). */
static uint32_t mask(uint64_t rtx, uint64_t end)
{
	unsigned first = rtx % WORD;
	uint64_t n = end - rtx < WORD - first ? end - rtx : WORD - first;

	return (uint32_t)(((UINT64_C(1) << n) - 1) << first);
}

static int set_bits(struct rt *rt, uint64_t rtx, uint64_t end)
{
	for (; rtx < end; rtx += WORD - rtx % WORD) {
		uint32_t bits = mask(rtx, end), word;
		uint8_t *at;
		int ret = get_word(rt, &rt->bitmap, rtx / WORD, &at);

		if (ret)
			return ret;
		word = xr_get32(rt->order, at);
		if (word & bits)
			return bad(rt, "extents are to be freed, but some of them are free");
		put_word(rt, &rt->bitmap, at, word | bits);
	}
	return 0;
}

/* Where the free run that ends at *rtx begins. */
static int run_begin(struct rt *rt, uint64_t *rtx)
{
	while (*rtx) {
		unsigned n = (unsigned)((*rtx - 1) % WORD) + 1; /* bits of this word that lie before */
		uint32_t used;
		uint8_t *at;
		int ret = get_word(rt, &rt->bitmap, (*rtx - 1) / WORD, &at);

		if (ret)
			return ret;
		used = ~xr_get32(rt->order, at) << (WORD - n);
		if (used) {
			*rtx -= (unsigned)__builtin_clz(used);
			return 0;
		}
		*rtx -= n;
	}
	return 0;
}

/* Where the free run that goes on at *rtx ends. */
static int run_end(struct rt *rt, uint64_t *rtx)
{
	while (*rtx < rt->extents) {
		uint32_t used;
		uint8_t *at;
		int ret = get_word(rt, &rt->bitmap, *rtx / WORD, &at);

		if (ret)
			return ret;
		used = ~xr_get32(rt->order, at) & mask(*rtx, rt->extents);
		if (used) {
			*rtx += (unsigned)__builtin_ctz(used) - *rtx % WORD;
			return 0;
		}
		*rtx += WORD - *rtx % WORD;
	}
	*rtx = rt->extents;
	return 0;
}

/* --- freeing --- */

/* A kernel that does not count the bitmap anew believes the superblock. Those that know groups do, and log no counter of theirs. */
static int count_free(struct rt *rt, uint64_t len)
{
	size_t at = offsetof(struct xfs_dsb, sb_frextents);
	struct xr_tx_buf *buf;
	int ret;

	if (rt->sb->has_rtgroups)
		return 0;
	ret = xr_tx_get(rt->work->tx, XFS_SB_DADDR, rt->sb->sectsize >> XR_BB_SHIFT, XFS_BLFT_SB_BUF, &buf);

	if (ret)
		return ret;
	xr_put_be64(buf->data + at, xr_be64(buf->data + at) + len);
	xr_tx_log(rt->work->tx, buf, at, 8);
	return 0;
}

static int free_run(struct rt *rt, uint64_t rtx, uint64_t end)
{
	uint64_t before = rtx, after = end;
	int ret = set_bits(rt, rtx, end);

	if (!ret)
		ret = run_begin(rt, &before);
	if (!ret)
		ret = run_end(rt, &after);
	if (!ret && before < rtx)
		ret = add_run(rt, before, rtx - before, -1);
	if (!ret && after > end)
		ret = add_run(rt, end, after - end, -1);
	if (!ret)
		ret = add_run(rt, before, after - before, 1);
	return ret ? ret : count_free(rt, end - rtx);
}

static int open_files(struct rt *rt, uint32_t rgno)
{
	struct xr_tx *tx = rt->work->tx;
	int ret;

	if (rt->sb->has_rtgroups) {
		rt->order = (struct xr_order){.big = true};
		rt->extents = xr_rg_extents(rt->sb, rgno);
		snprintf(rt->name, sizeof(rt->name), "realtime group %u", rgno);
		ret = xr_rtgroup_file(tx, rgno, XR_RT_BITMAP, &rt->bitmap.inode);
		return ret ? ret : xr_rtgroup_file(tx, rgno, XR_RT_SUMMARY, &rt->summary.inode);
	}
	ret = xr_tx_inode(tx, rt->sb->rbmino, &rt->bitmap.inode);
	return ret ? ret : xr_tx_inode(tx, rt->sb->rsumino, &rt->summary.inode);
}

static int free_in_zone(const struct rt *rt, uint32_t rgno, uint64_t count)
{
	struct xr_tx_inode inode;
	uint32_t used;
	int ret = xr_rtgroup_file(rt->work->tx, rgno, XR_RT_RMAP, &inode);

	if (ret)
		return ret;
	used = xr_be32(inode.raw + USED_BLOCKS);
	if (count > used)
		return bad(rt, "more blocks are to be freed in a zone than are in use");
	xr_put_be32(inode.raw + USED_BLOCKS, used - (uint32_t)count);
	xr_tx_inode_log(rt->work->tx, &inode);
	return 0;
}

int xr_rt_free(struct xr_work *work, uint64_t block, uint64_t count)
{
	const struct xr_sb *sb = xr_tx_sb(work->tx);
	uint64_t first = sb->has_rtgroups ? xr_rtb_block(sb, block) : block;
	struct rt rt = {
		.work = work,
		.sb = sb,
		.name = "realtime space",
		.order = work->replay->log->order,
		.bitmap.type = XFS_BLFT_RTBITMAP_BUF,
		.summary.type = XFS_BLFT_RTSUMMARY_BUF,
		.extents = sb->rextents,
	};
	int ret;

	if (!xr_rt_blocks_ok(sb, block, count) || !xr_rt_whole(sb, block) || count % sb->rextsize)
		return bad(&rt, "blocks are to be freed that are no whole realtime extents");
	if (sb->has_zones)
		return free_in_zone(&rt, xr_rtb_group(sb, block), count);
	ret = open_files(&rt, sb->has_rtgroups ? xr_rtb_group(sb, block) : 0);
	return ret ? ret : free_run(&rt, first / sb->rextsize, (first + count) / sb->rextsize);
}
