/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting
 *
 * The superblock's counters are only written now and then; after a crash they are summed up from the headers of the allocation
 * groups. Blocks of the free-space and rmap btrees count as free (AGF btreeblks), all others are in use. The same
 * visit tells whether something is left for a kernel: unlinked inodes hang off the AGI, and copy-on-write leftovers sort last in the
 * refcount btree, because their start has the top bit set; so its last record answers that.
 */
#include "summary.h"

#include <errno.h>

#include "bytes.h"
#include "format.h"
#include "rtbitmap.h"

#define HEADER 56u /* short-form btree block header with CRC */
#define COW_START (1u << 31)
#define REFCOUNT_MAX_LEVEL 16 /* 2^31 blocks, at least two entries a node, and some */

#define AGF(field) offsetof(struct xfs_agf, agf_##field)
#define AGI(field) offsetof(struct xfs_agi, agi_##field)

static int ag_header(const struct xr_fs *fs, uint32_t agno, unsigned sector, struct xr_buf *buf)
{
	bool agf = sector == 1;
	uint32_t bbs = fs->sb->sectsize >> XR_BB_SHIFT;
	int ret = xr_buf_read(fs->cache, xr_ag_daddr(fs->sb, agno) + (uint64_t)sector * bbs, bbs, buf);

	if (ret)
		return ret;
	/* Magic, version and number stand at the same place in both headers. */
	if (xr_be32(buf->data) == (agf ? XFS_AGF_MAGIC : XFS_AGI_MAGIC) && xr_be32(buf->data + 4) == 1 &&
	    xr_be32(buf->data + 8) == agno && (!fs->sb->v5 || xr_crc_ok(buf->data, buf->size, agf ? AGF(crc) : AGI(crc))))
		return 0;
	xr_buf_put(fs->cache, buf);
	return xr_fail(fs->msg, -EUCLEAN, "allocation group %u: its %s is damaged; run xfs_repair -n to see what else is", agno,
		       agf ? "AGF" : "AGI");
}

/* Whether the last record of the refcount btree is a copy-on-write one: down the rightmost path. */
static int last_is_cow(const struct xr_fs *fs, uint32_t agno, uint32_t block, uint32_t levels, bool *cow)
{
	uint32_t bbs = fs->sb->blocksize >> XR_BB_SHIFT, max = (fs->sb->blocksize - HEADER) / 8, numrecs;
	struct xr_buf buf;
	int ret;

	*cow = false;
	if (!levels || levels > REFCOUNT_MAX_LEVEL)
		return xr_fail(fs->msg, -EUCLEAN, "allocation group %u: a refcount btree of %u levels", agno, levels);
	while (levels--) {
		if (!block || block >= xr_ag_blocks(fs->sb, agno))
			return xr_fail(fs->msg, -EUCLEAN, "allocation group %u: its refcount btree points to block %u", agno,
				       block);
		ret = xr_buf_read(fs->cache, xr_ag_daddr(fs->sb, agno) + (uint64_t)block * bbs, bbs, &buf);
		if (ret)
			return ret;
		numrecs = xr_be16(buf.data + 6);
		if (xr_be32(buf.data) != XFS_REFC_CRC_MAGIC || xr_be16(buf.data + 4) != levels ||
		    numrecs > (levels ? max : (fs->sb->blocksize - HEADER) / 12)) {
			xr_buf_put(fs->cache, &buf);
			return xr_fail(fs->msg, -EUCLEAN, "allocation group %u: block %u is no block of its refcount btree", agno,
				       block);
		}
		if (numrecs && !levels)
			*cow = xr_be32(buf.data + HEADER + 12 * (numrecs - 1)) & COW_START;
		block = numrecs && levels ? xr_be32(buf.data + HEADER + 4 * max + 4 * (numrecs - 1)) : 0;
		xr_buf_put(fs->cache, &buf);
	}
	return 0;
}

static int add_agf(struct xr_summary *summary, const struct xr_fs *fs, uint32_t agno)
{
	uint32_t root, levels;
	struct xr_buf buf;
	bool cow = false;
	int ret = ag_header(fs, agno, 1, &buf);

	if (ret)
		return ret;
	summary->fdblocks += (uint64_t)xr_be32(buf.data + AGF(freeblks)) + xr_be32(buf.data + AGF(flcount)) +
			     xr_be32(buf.data + AGF(btreeblks));
	root = xr_be32(buf.data + AGF(refcount_root));
	levels = xr_be32(buf.data + AGF(refcount_level));
	xr_buf_put(fs->cache, &buf);
	if (fs->sb->has_reflink)
		ret = last_is_cow(fs, agno, root, levels, &cow);
	summary->cow += cow;
	return ret;
}

static int add_agi(struct xr_summary *summary, const struct xr_fs *fs, uint32_t agno)
{
	struct xr_buf buf;
	int ret = ag_header(fs, agno, 2, &buf);

	if (ret)
		return ret;
	summary->icount += xr_be32(buf.data + AGI(count));
	summary->ifree += xr_be32(buf.data + AGI(freecount));
	for (unsigned i = 0; i < XFS_AGI_UNLINKED_BUCKETS; i++)
		summary->unlinked += xr_be32(buf.data + AGI(unlinked) + 4 * i) != NULLAGINO;
	xr_buf_put(fs->cache, &buf);
	return 0;
}

/* What a damaged group holds is unknown, but not that of the others. */
static int add_group(struct xr_summary *summary, const struct xr_fs *fs, uint32_t agno)
{
	int agf = add_agf(summary, fs, agno), agi = agf && agf != -EUCLEAN ? agf : add_agi(summary, fs, agno);

	if (agi && agi != -EUCLEAN)
		return agi;
	summary->damaged += agf || agi;
	return 0;
}

int xr_summary_read(struct xr_summary *summary, const struct xr_fs *fs)
{
	int ret = 0;

	*summary = (struct xr_summary){0};
	for (uint32_t agno = 0; agno < fs->sb->agcount && !ret; agno++)
		ret = add_group(summary, fs, agno);
	if (!ret && fs->sb->rextents && !fs->sb->has_rtgroups)
		ret = xr_rtbitmap_free(fs, &summary->frextents);
	if (ret || summary->damaged)
		return ret;
	if (summary->fdblocks > fs->sb->dblocks || summary->ifree > summary->icount)
		return xr_fail(
			fs->msg, -EUCLEAN,
			"the allocation groups count %llu free of %llu blocks and %llu free of %llu inodes: run xfs_repair -n",
			(unsigned long long)summary->fdblocks, (unsigned long long)fs->sb->dblocks,
			(unsigned long long)summary->ifree, (unsigned long long)summary->icount);
	return 0;
}
