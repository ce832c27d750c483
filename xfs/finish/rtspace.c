/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Free space of the realtime device
 *
 * The bitmap has a bit for each realtime extent, set while it is free. The summary counts free runs: by the logarithm of their length, and by the
 * block of the bitmap in which they begin. So freeing is: set the bits; find how far the run now goes in both directions; take what was
 * free on either side out of the summary and put the whole run in. Both files are words of 32 bits in the byte order of the machine, without headers,
 * checksums or LSN, which is why every replay of them counts.
 *
 * Cost: a look at the run that the freed blocks join, a word at a time.
 */
#include "rtspace.h"

#include <errno.h>
#include <sys/stat.h>

#include "bytes.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define WORD 32u

/* One of the two files, and the block of it that was looked at last. */
struct file {
	struct xr_tx_inode inode;
	unsigned type;
	uint64_t block;
	struct xr_tx_buf *buf; /* NULL: none yet */
};

struct rt {
	struct xr_work *work;
	const struct xr_sb *sb;
	struct xr_order order; /* of the machine that wrote them */
	struct file bitmap, summary;
	uint64_t bitmap_blocks;
};

static int bad(const struct rt *rt, const char *what)
{
	return xr_fail(rt->work->replay->msg, -EUCLEAN, "realtime space: %s; run xfs_repair -n", what);
}

bool xr_inode_realtime(const uint8_t *raw)
{
	return xr_be16(raw + DI(flags)) & XFS_DIFLAG_REALTIME && S_ISREG(xr_be16(raw + DI(mode)));
}

bool xr_rt_blocks_ok(const struct xr_sb *sb, uint64_t block, uint64_t count)
{
	uint64_t end = sb->rextents * sb->rextsize;

	return count && block < end && count <= end - block;
}

/* --- words --- */

/* The word at a place of a file, counted in words; *buf and *at say where it is. */
static int get_word(struct rt *rt, struct file *file, uint64_t word, uint8_t **at)
{
	uint64_t per_block = rt->sb->blocksize / 4, block = word / per_block;
	struct xr_mapping m;
	int ret = 0;

	if (!file->buf || file->block != block) {
		ret = xr_bmap_lookup(rt->work->tx, &file->inode, false, block, &m);
		if (ret == -ENOENT || (!ret && (m.offset > block || m.unwritten)))
			return bad(rt, "a block of its bitmap or summary is not mapped");
		if (!ret)
			ret = xr_tx_get(rt->work->tx, xr_fsb_daddr(rt->sb, m.block + (block - m.offset)),
					rt->sb->blocksize >> XR_BB_SHIFT, file->type, &file->buf);
		file->block = block;
	}
	if (!ret)
		*at = file->buf->data + word % per_block * 4;
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
	uint64_t word = level * rt->bitmap_blocks + rtx / (rt->sb->blocksize * 8u);
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
	while (*rtx < rt->sb->rextents) {
		uint32_t used;
		uint8_t *at;
		int ret = get_word(rt, &rt->bitmap, *rtx / WORD, &at);

		if (ret)
			return ret;
		used = ~xr_get32(rt->order, at) & mask(*rtx, rt->sb->rextents);
		if (used) {
			*rtx += (unsigned)__builtin_ctz(used) - *rtx % WORD;
			return 0;
		}
		*rtx += WORD - *rtx % WORD;
	}
	*rtx = rt->sb->rextents;
	return 0;
}

/* --- freeing --- */

static int open_file(struct rt *rt, struct file *file, uint64_t ino, unsigned type)
{
	*file = (struct file){.type = type};
	return xr_tx_inode(rt->work->tx, ino, &file->inode);
}

/* A kernel that does not count the bitmap anew believes the superblock. */
static int count_free(struct rt *rt, uint64_t len)
{
	size_t at = offsetof(struct xfs_dsb, sb_frextents);
	struct xr_tx_buf *buf;
	int ret = xr_tx_get(rt->work->tx, XFS_SB_DADDR, rt->sb->sectsize >> XR_BB_SHIFT, XFS_BLFT_SB_BUF, &buf);

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

int xr_rt_free(struct xr_work *work, uint64_t block, uint64_t count)
{
	const struct xr_sb *sb = xr_tx_sb(work->tx);
	struct rt rt = {.work = work, .sb = sb, .order = work->replay->log->order};
	int ret;

	if (sb->has_metadir)
		return xr_fail(work->replay->msg, -EOPNOTSUPP,
			       "realtime groups, whose space cannot be managed here: mount it once");
	if (!xr_rt_blocks_ok(sb, block, count) || block % sb->rextsize || count % sb->rextsize)
		return bad(&rt, "blocks are to be freed that are no whole realtime extents");
	rt.bitmap_blocks = (sb->rextents + sb->blocksize * UINT64_C(8) - 1) / (sb->blocksize * UINT64_C(8));
	ret = open_file(&rt, &rt.bitmap, sb->rbmino, XFS_BLFT_RTBITMAP_BUF);
	if (!ret)
		ret = open_file(&rt, &rt.summary, sb->rsumino, XFS_BLFT_RTSUMMARY_BUF);
	return ret ? ret : free_run(&rt, block / sb->rextsize, (block + count) / sb->rextsize);
}
