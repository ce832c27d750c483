/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting
 *
 * The superblock's counters are only written now and then; after a crash they are summed up from the headers of the allocation
 * groups, and free realtime extents from their bitmaps. Blocks of the free-space and rmap btrees count as free (AGF btreeblks), all others
 * are in use. The same visit tells whether something is left for a kernel: unlinked inodes hang off the AGI, and copy-on-write leftovers sort last in
 * a refcount btree, because their start has the top bit set; so its last record answers that.
 */
#include "summary.h"

#include <errno.h>

#include "bytes.h"
#include "format.h"
#include "metadir.h"
#include "rtbitmap.h"

/* Refcount btrees. */
#define RECORD 12u
#define KEY 4u
#define ROOT_HEADER 4u /* in an inode */
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

/* A refcount btree, of an allocation group or of a realtime group: their blocks differ in the header and in how long pointers are. */
struct refcounts {
	const struct xr_fs *fs;
	const char *of;
	uint32_t group, magic, header, pointer;
	uint64_t base; /* added to a pointer it is an fs block, of that group where pointers have 4 bytes */
};

static uint64_t child(const struct refcounts *t, const uint8_t *pointer)
{
	return t->base + (t->pointer == 4 ? xr_be32(pointer) : xr_be64(pointer));
}

static bool is_cow(const uint8_t *records, uint32_t n)
{
	return n && xr_be32(records + (size_t)RECORD * (n - 1)) & COW_START;
}

/* Whether the last record below block fsb, the root of that many levels, is a copy-on-write one: down the rightmost path. */
static int last_is_cow(const struct refcounts *t, uint64_t fsb, uint32_t levels, bool *cow)
{
	const struct xr_sb *sb = t->fs->sb;
	uint32_t room = sb->blocksize - t->header, max = room / (KEY + t->pointer), numrecs;
	struct xr_buf buf;
	int ret;

	*cow = false;
	if (!levels || levels > REFCOUNT_MAX_LEVEL)
		return xr_fail(t->fs->msg, -EUCLEAN, "%s group %u: a refcount btree of %u levels", t->of, t->group, levels);
	while (levels--) {
		if (!xr_fsb_ok(sb, fsb, 1) || (t->pointer == 4 && fsb >> sb->agblklog != t->group))
			return xr_fail(t->fs->msg, -EUCLEAN, "%s group %u: its refcount btree points to block %llu", t->of,
				       t->group, (unsigned long long)(fsb - t->base));
		ret = xr_buf_read(t->fs->cache, xr_fsb_daddr(sb, fsb), sb->blocksize >> XR_BB_SHIFT, &buf);
		if (ret)
			return ret;
		numrecs = xr_be16(buf.data + 6);
		if (xr_be32(buf.data) != t->magic || xr_be16(buf.data + 4) != levels ||
		    numrecs > (levels ? max : room / RECORD) || (levels && !numrecs)) {
			xr_buf_put(t->fs->cache, &buf);
			return xr_fail(t->fs->msg, -EUCLEAN, "%s group %u: block %llu is no block of its refcount btree", t->of,
				       t->group, (unsigned long long)(fsb - t->base));
		}
		if (levels)
			fsb = child(t, buf.data + t->header + KEY * max + t->pointer * (numrecs - 1));
		else
			*cow = is_cow(buf.data + t->header, numrecs);
		xr_buf_put(t->fs->cache, &buf);
	}
	return 0;
}

static int add_agf(struct xr_summary *summary, const struct xr_fs *fs, uint32_t agno)
{
	uint64_t first = (uint64_t)agno << fs->sb->agblklog;
	const struct refcounts tree = {fs, "allocation", agno, XFS_REFC_CRC_MAGIC, XFS_BTREE_SBLOCK_CRC_LEN, 4, first};
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
		ret = last_is_cow(&tree, first + root, levels, &cow);
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

/* --- realtime groups --- */

/* The root is in the inode: as a leaf, or with pointers behind room for two keys each. */
static int add_rt_refcounts(struct xr_summary *summary, const struct xr_fs *fs, uint32_t rgno, const struct xr_inode *inode)
{
	const struct refcounts tree = {fs, "realtime", rgno, XR_RTREFC_MAGIC, XFS_BTREE_LBLOCK_CRC_LEN, 8, 0};
	uint32_t room, level, numrecs, max;
	const uint8_t *root = xr_inode_fork(inode, XR_DATA_FORK, &room), *body = root + ROOT_HEADER;
	bool cow = false, fits = room >= ROOT_HEADER;
	int ret = 0;

	level = fits ? xr_be16(root) : 0;
	numrecs = fits ? xr_be16(root + 2) : 0;
	max = fits ? (room - ROOT_HEADER) / (level ? 2 * KEY + tree.pointer : RECORD) : 0;
	if (!fits || numrecs > max || (level && !numrecs))
		return xr_fail(fs->msg, -EUCLEAN, "realtime group %u: the root of its refcount btree is damaged", rgno);
	if (level)
		ret = last_is_cow(&tree, child(&tree, body + KEY * max + tree.pointer * (numrecs - 1)), level, &cow);
	else
		cow = is_cow(body, numrecs);
	summary->cow += cow;
	return ret;
}

static int read_rtfile(const struct xr_fs *fs, const struct xr_table *files, uint32_t rgno, enum xr_rtfile which,
		       struct xr_inode *inode)
{
	uint64_t ino;
	int ret = xr_rtfiles_lookup(fs, files, rgno, which, &ino);

	if (!ret)
		ret = xr_inode_read(fs, ino, inode);
	if (ret == -ENOENT)
		return xr_fail(fs->msg, -EUCLEAN, "realtime group %u: inode %llu, a file of it, is free; run xfs_repair -n", rgno,
			       (unsigned long long)ino);
	return ret ? ret : xr_rtfile_check(fs, inode->raw, ino, rgno, which);
}

static int add_rtgroup(struct xr_summary *summary, const struct xr_fs *fs, const struct xr_table *files, uint32_t rgno)
{
	struct xr_inode inode;
	uint64_t count;
	int ret = read_rtfile(fs, files, rgno, XR_RT_BITMAP, &inode);

	if (!ret)
		ret = xr_rtbitmap_group_free(fs, &inode, rgno, &count);
	if (ret)
		return ret;
	summary->frextents += count;
	if (!fs->sb->has_reflink)
		return 0;
	ret = read_rtfile(fs, files, rgno, XR_RT_REFCOUNT, &inode);
	return ret ? ret : add_rt_refcounts(summary, fs, rgno, &inode);
}

/* As with allocation groups: one that is damaged says nothing about the others, unless it is what leads to all of them. */
static int add_rtgroups(struct xr_summary *summary, const struct xr_fs *fs)
{
	struct xr_table files = {0};
	int ret = xr_rtfiles_find(fs, &files);

	if (ret == -EUCLEAN)
		summary->damaged += fs->sb->rgcount;
	for (uint32_t rgno = 0; rgno < fs->sb->rgcount && !ret; rgno++) {
		ret = add_rtgroup(summary, fs, &files, rgno);
		if (ret == -EUCLEAN) {
			summary->damaged++;
			ret = 0;
		}
	}
	xr_table_clear(&files);
	return ret == -EUCLEAN ? 0 : ret;
}

/* Kernels find out what is free in zones when they mount them; the superblock says 0. */
static int add_realtime(struct xr_summary *summary, const struct xr_fs *fs)
{
	if (fs->sb->has_zones)
		return 0;
	if (fs->sb->has_rtgroups)
		return add_rtgroups(summary, fs);
	return xr_rtbitmap_free(fs, &summary->frextents);
}

int xr_summary_read(struct xr_summary *summary, const struct xr_fs *fs)
{
	int ret = 0;

	*summary = (struct xr_summary){0};
	for (uint32_t agno = 0; agno < fs->sb->agcount && !ret; agno++)
		ret = add_group(summary, fs, agno);
	if (!ret)
		ret = add_realtime(summary, fs);
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
