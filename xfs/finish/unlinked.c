/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unlinked inodes (specification 11.4)
 *
 * An inode that lost its last name while it was open hangs in one of 64 lists of its allocation group. Each is taken off the head of its list
 * and freed, with its blocks, its attributes, its place in the inode trees and what it was charged for: one step that stands for
 * itself. Inode clusters are only rewritten where the chunk stays.
 *
 * A list ends: an inode that was freed is no longer on one, and meeting a free or named inode is corruption.
 */
#include "work.h"

#include <errno.h>
#include <sys/stat.h>

#include "ag.h"
#include "bytes.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define BUCKET(n) (offsetof(struct xfs_agi, agi_unlinked) + 4 * (size_t)(n))
#define V4_FLUSHITER DI(flushiter)
#define NSEC_PER_SEC UINT64_C(1000000000)

struct orphan {
	struct xr_work *work;
	struct xr_tx_inode inode;
	bool attr, shares;
	uint32_t piece; /* fs blocks of a metadata buffer in this fork; 0: it holds file data, which is never logged */
};

static int damaged(const struct orphan *o, const char *what)
{
	return xr_fail(o->work->replay->msg, -EUCLEAN, "inode %llu, on a list of unlinked ones: %s",
		       (unsigned long long)o->inode.ino, what);
}

/* The kernel counts a change for each transaction: at least one for the data, one for the attributes, one for the inode itself. */
static void count_change(const struct orphan *o)
{
	uint8_t *p = o->inode.raw + DI(changecount);

	if (xr_tx_sb(o->work->tx)->v5)
		xr_put_be64(p, xr_be64(p) + 1);
}

/* --- blocks --- */

/* Void what the log has for the buffers of a mapping that are no file data. */
static int cancel(const struct orphan *o, const struct xr_mapping *m)
{
	const struct xr_sb *sb = xr_tx_sb(o->work->tx);
	int ret = 0;

	for (uint32_t done = 0, count; o->piece && done < m->count && !ret; done += count) {
		count = m->count - done < o->piece ? m->count - done : o->piece;
		ret = xr_tx_cancel(o->work->tx, xr_fsb_daddr(sb, m->block + done), count << (sb->blocklog - XR_BB_SHIFT));
	}
	return ret;
}

static int free_later(void *arg, uint64_t fsb, uint32_t count)
{
	return xr_work_free(arg, fsb, count);
}

static int free_mapping(void *arg, const struct xr_mapping *m)
{
	struct orphan *o = arg;
	int ret = cancel(o, m);

	if (!ret)
		ret = xr_work_rmap_mapping(o->work, false, &o->inode, o->attr, m);
	if (ret)
		return ret;
	return o->shares ? xr_refcount_decrease(o->work->tx, m->block, m->count, free_later, o->work)
			 : xr_work_free(o->work, m->block, m->count);
}

static bool has_map(uint8_t format)
{
	return format == XFS_DINODE_FMT_EXTENTS || format == XFS_DINODE_FMT_BTREE;
}

static int free_data(struct orphan *o)
{
	const struct xr_sb *sb = xr_tx_sb(o->work->tx);
	uint8_t *raw = o->inode.raw;
	uint16_t type = xr_be16(raw + DI(mode)) & S_IFMT;

	if (!has_map(raw[DI(format)]) || (type == S_IFREG && !xr_be64(raw + DI(size)) && !xr_inode_nblocks(&o->inode)))
		return 0;
	o->attr = false;
	o->shares = xr_inode_shares(sb, raw);
	count_change(o);
	o->piece = type == S_IFREG ? 0 : type == S_IFDIR ? 1u << sb->dirblklog : UINT32_MAX;
	if (type != S_IFDIR)
		xr_put_be64(raw + DI(size), 0);
	return xr_bmap_free_fork(o->work->tx, &o->inode, false, free_mapping, o);
}

static int free_attrs(struct orphan *o)
{
	uint8_t *raw = o->inode.raw;
	int ret = 0;

	if (!raw[DI(forkoff)])
		return 0;
	count_change(o);
	o->attr = true;
	o->shares = false;
	o->piece = 1;
	if (has_map(raw[DI(aformat)]))
		ret = xr_bmap_free_fork(o->work->tx, &o->inode, true, free_mapping, o);
	raw[DI(forkoff)] = 0;
	raw[DI(aformat)] = XFS_DINODE_FMT_EXTENTS;
	return ret;
}

/* --- the inode --- */

/* The classic form, two 32-bit words, becomes nanoseconds from the earliest second that it can say. */
static void set_bigtime(uint8_t *p)
{
	int64_t seconds = (int32_t)xr_be32(p);

	xr_put_be64(p, (uint64_t)(seconds - INT32_MIN) * NSEC_PER_SEC + xr_be32(p + 4));
}

static void renew_flags2(const struct xr_sb *sb, struct xr_tx_inode *inode)
{
	uint8_t *raw = inode->raw;
	uint64_t flags2 = sb->has_bigtime ? XFS_DIFLAG2_BIGTIME : 0;

	if (flags2 && !(xr_be64(raw + DI(flags2)) & XFS_DIFLAG2_BIGTIME)) {
		set_bigtime(raw + DI(atime));
		set_bigtime(raw + DI(mtime));
		set_bigtime(raw + DI(ctime));
		set_bigtime(raw + DI(crtime));
	}
	if (sb->has_nrext64) {
		xr_inode_set_nrext64(inode);
		flags2 |= XFS_DIFLAG2_NREXT64;
	}
	xr_put_be64(raw + DI(flags2), flags2);
}

/* What a free inode looks like, as far as it differs from what this one was. */
static void clear_inode(struct orphan *o)
{
	const struct xr_sb *sb = xr_tx_sb(o->work->tx);
	uint8_t *raw = o->inode.raw;

	xr_put_be16(raw + DI(mode), 0);
	xr_put_be16(raw + DI(flags), 0);
	raw[DI(format)] = XFS_DINODE_FMT_EXTENTS;
	xr_put_be32(raw + DI(gen), xr_be32(raw + DI(gen)) + 1);
	count_change(o);
	if (sb->v5)
		renew_flags2(sb, &o->inode);
	else
		xr_put_be16(raw + V4_FLUSHITER, xr_be16(raw + V4_FLUSHITER) + 1);
	xr_tx_inode_log(o->work->tx, &o->inode);
}

static int free_orphan(struct orphan *o)
{
	uint8_t *raw = o->inode.raw;
	struct xr_owners owners = xr_inode_owners(raw);
	uint64_t blocks = xr_inode_nblocks(&o->inode);
	bool chunk_gone;
	int ret = free_data(o);

	if (!ret)
		ret = free_attrs(o);
	if (ret)
		return ret;
	blocks -= xr_inode_nblocks(&o->inode);
	clear_inode(o);
	ret = xr_inode_free(o->work->tx, o->inode.ino, &chunk_gone);
	if (!ret)
		ret = xr_quota_charge(o->work, owners, -blocks, UINT64_MAX);
	o->work->stats->unlinked++;
	o->work->stats->chunks_freed += !ret && chunk_gone;
	return ret ? ret : xr_work_run(o->work);
}

/* --- the lists --- */

static int get_agi(struct xr_work *work, uint32_t agno, struct xr_tx_buf **agi)
{
	const struct xr_sb *sb = xr_tx_sb(work->tx);
	uint32_t bbs = sb->sectsize >> XR_BB_SHIFT;
	int ret = xr_tx_get(work->tx, xr_ag_daddr(sb, agno) + 2 * bbs, bbs, XFS_BLFT_AGI_BUF, agi);

	if (ret)
		return ret;
	if (xr_be32((*agi)->data) == XFS_AGI_MAGIC && xr_be32((*agi)->data + offsetof(struct xfs_agi, agi_seqno)) == agno)
		return 0;
	return xr_fail(work->replay->msg, -EUCLEAN, "allocation group %u: its AGI is damaged", agno);
}

/* Take the first inode off a list and free it. *more: there was one. */
static int free_first(struct xr_work *work, uint32_t agno, unsigned bucket, bool *more)
{
	const struct xr_sb *sb = xr_tx_sb(work->tx);
	struct orphan o = {.work = work};
	struct xr_tx_buf *agi;
	uint32_t agino;
	int ret = get_agi(work, agno, &agi);

	if (ret)
		return ret;
	agino = xr_be32(agi->data + BUCKET(bucket));
	*more = agino != NULLAGINO;
	if (!*more)
		return 0;
	o.inode.ino = (uint64_t)agno << (sb->agblklog + sb->inopblog) | agino;
	if (agino % XFS_AGI_UNLINKED_BUCKETS != bucket || agino >> (sb->agblklog + sb->inopblog))
		return damaged(&o, "it is on the wrong list");
	ret = xr_tx_inode(work->tx, o.inode.ino, &o.inode);
	if (ret)
		return ret;
	if (!xr_be16(o.inode.raw + DI(mode)) || xr_be32(o.inode.raw + DI(nlink)))
		return damaged(&o, "it is free, or has names");
	memcpy(agi->data + BUCKET(bucket), o.inode.raw + DI(next_unlinked), 4);
	xr_tx_log(work->tx, agi, BUCKET(bucket), 4);
	xr_put_be32(o.inode.raw + DI(next_unlinked), NULLAGINO);
	return free_orphan(&o);
}

int xr_work_unlinked(struct xr_work *work)
{
	int ret = 0;

	for (uint32_t agno = 0; agno < work->replay->sb.agcount; agno++)
		for (unsigned bucket = 0; bucket < XFS_AGI_UNLINKED_BUCKETS; bucket++)
			for (bool more = true; more;) {
				ret = free_first(work, agno, bucket, &more);
				if (!ret && more && xr_tx_full(work->tx))
					ret = xr_work_commit(work);
				if (ret)
					return ret;
			}
	return ret;
}
