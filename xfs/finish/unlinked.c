/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unlinked inodes (specification 11.4)
 *
 * An inode that lost its last name while it was open hangs in one of 64 lists of its allocation group. Each is taken off the head of its list
 * and freed, with its blocks, its attributes, its place in the inode trees and what it was charged for: one step that stands for
 * itself. Inode clusters are only rewritten where the chunk stays.
 *
 * A list ends: an inode that was freed is no longer on one, and a free inode is none that a list can go on from.
 *
 * Damage. As in the kernel one bad inode must not keep a filesystem from being recovered. Where a list cannot be followed it is emptied; an inode
 * that has names, or whose blocks cannot be found out or freed, is taken off its list; a group whose AGI is damaged is passed over. What that
 * leaves allocated is said, and xfs_repair frees it.
 */
#include "work.h"

#include <errno.h>
#include <sys/stat.h>

#include "ag.h"
#include "bytes.h"
#include "format.h"
#include "inode.h"
#include "rtspace.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define BUCKET(n) (offsetof(struct xfs_agi, agi_unlinked) + 4 * (size_t)(n))
#define V4_FLUSHITER DI(flushiter)

struct orphan {
	struct xr_work *work;
	struct xr_tx_inode inode;
	bool attr, shares;
	enum xr_section section; /* of the fork at hand */
	uint64_t rt_blocks; /* realtime blocks that were its own */
	uint64_t rt_block, rt_count; /* those at hand: pieces of a realtime extent, or whole ones */
	uint32_t piece; /* fs blocks of a metadata buffer in this fork; 0: it holds file data, which is never logged */
};

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
	const struct orphan *o = arg;

	return xr_work_free(o->work, o->section, fsb, count);
}

static int free_rt_extent(struct orphan *o)
{
	int ret = o->rt_count ? xr_work_free(o->work, XR_REALTIME, o->rt_block, o->rt_count) : 0;

	o->rt_count = 0;
	return ret;
}

/* Written and unwritten parts of one realtime extent are mappings of their own, but they go together. From the end of the file on. */
static int free_rt_mapping(struct orphan *o, const struct xr_mapping *m)
{
	bool more = o->rt_count && m->block + m->count == o->rt_block && !xr_rt_whole(xr_tx_sb(o->work->tx), o->rt_block);
	int ret = more ? 0 : free_rt_extent(o);

	o->rt_block = m->block;
	o->rt_count += m->count;
	return ret;
}

static int free_mapping(void *arg, const struct xr_mapping *m)
{
	struct orphan *o = arg;
	bool realtime = o->section == XR_REALTIME;
	int ret = cancel(o, m);

	if (!ret)
		ret = xr_work_rmap_mapping(o->work, false, &o->inode, o->attr, m);
	if (ret)
		return ret;
	o->rt_blocks += realtime ? m->count : 0;
	if (o->shares)
		return xr_refcount_decrease(o->work->tx, o->section, m->block, m->count, free_later, o);
	return realtime ? free_rt_mapping(o, m) : xr_work_free(o->work, XR_DATA, m->block, m->count);
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
	int ret;

	if (!has_map(raw[DI(format)]) || (type == S_IFREG && !xr_be64(raw + DI(size)) && !xr_inode_nblocks(&o->inode)))
		return 0;
	o->attr = false;
	o->shares = xr_inode_shares(sb, raw);
	count_change(o);
	o->piece = type == S_IFREG ? 0 : type == S_IFDIR ? 1u << sb->dirblklog : UINT32_MAX;
	if (type != S_IFDIR)
		xr_put_be64(raw + DI(size), 0);
	o->section = xr_inode_section(raw, false);
	ret = xr_bmap_free_fork(o->work->tx, &o->inode, false, free_mapping, o);
	return ret ? ret : free_rt_extent(o);
}

static int free_attrs(struct orphan *o)
{
	uint8_t *raw = o->inode.raw;
	int ret = 0;

	if (!raw[DI(forkoff)])
		return 0;
	count_change(o);
	o->attr = true;
	o->section = XR_DATA;
	o->shares = false;
	o->piece = 1;
	if (has_map(raw[DI(aformat)]))
		ret = xr_bmap_free_fork(o->work->tx, &o->inode, true, free_mapping, o);
	raw[DI(forkoff)] = 0;
	raw[DI(aformat)] = XFS_DINODE_FMT_EXTENTS;
	return ret;
}

/* --- the inode --- */

/* From the classic form. */
static void set_bigtime(uint8_t *p)
{
	xr_inode_put_time(p, true, (int32_t)xr_be32(p), xr_be32(p + 4));
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
		ret = xr_quota_charge(o->work, owners, o->rt_blocks - blocks, -o->rt_blocks, UINT64_MAX);
	o->work->stats->unlinked++;
	o->work->stats->chunks_freed += !ret && chunk_gone;
	return ret ? ret : xr_work_run(o->work);
}

/* --- the lists --- */

/* The list cannot be followed from here: empty it. */
static int give_up_list(struct orphan *o, struct xr_tx_buf *agi, uint32_t agno, unsigned bucket, const char *why)
{
	xr_say(o->work->replay->msg, XR_WARN,
	       "allocation group %u, list %u of unlinked inodes: inode %llu %s: the list is emptied, and what is on it stays "
	       "allocated "
	       "until xfs_repair frees it",
	       agno, bucket, (unsigned long long)o->inode.ino, why);
	xr_put_be32(agi->data + BUCKET(bucket), NULLAGINO);
	xr_tx_log(o->work->tx, agi, BUCKET(bucket), 4);
	o->work->stats->unlinked_kept++;
	return 0;
}

static bool fork_ok(const struct xr_fs *fs, const struct xr_inode *inode, enum xr_fork fork, uint8_t format)
{
	struct xr_bmap map;
	bool ok = !has_map(format) || !xr_bmap_read(fs, inode, fork, &map);

	if (ok && has_map(format))
		xr_bmap_free(&map);
	return ok;
}

static bool forks_ok(const struct orphan *o, const struct xr_msg *msg)
{
	struct xr_fs fs = {&o->work->replay->sb, o->work->replay->cache, msg};
	struct xr_inode inode;

	return !xr_inode_read(&fs, o->inode.ino, &inode) && fork_ok(&fs, &inode, XR_DATA_FORK, inode.format) &&
	       (!inode.forkoff || fork_ok(&fs, &inode, XR_ATTR_FORK, inode.aformat));
}

/* Whether its blocks can be found out. What this transaction changed has no checksums yet: where there is doubt, commit and look again. */
static int check_forks(struct orphan *o, bool *ok)
{
	int ret;

	*ok = forks_ok(o, &xr_silent);
	if (*ok)
		return 0;
	ret = xr_work_commit(o->work);
	if (!ret)
		ret = xr_tx_inode(o->work->tx, o->inode.ino, &o->inode);
	*ok = !ret && forks_ok(o, o->work->replay->msg);
	return ret;
}

/* Take the inode, the first of its list, off it. */
static void unlink_first(struct orphan *o, struct xr_tx_buf *agi, unsigned bucket)
{
	memcpy(agi->data + BUCKET(bucket), o->inode.raw + DI(next_unlinked), 4);
	xr_tx_log(o->work->tx, agi, BUCKET(bucket), 4);
	xr_put_be32(o->inode.raw + DI(next_unlinked), NULLAGINO);
}

/* It cannot be freed, but the list goes on. */
static int give_up_inode(struct orphan *o, struct xr_tx_buf *agi, unsigned bucket, const char *why)
{
	xr_say(o->work->replay->msg, XR_WARN,
	       "inode %llu, on a list of unlinked ones, %s: it is taken off the list and kept; run xfs_repair",
	       (unsigned long long)o->inode.ino, why);
	unlink_first(o, agi, bucket);
	xr_tx_inode_log(o->work->tx, &o->inode);
	o->work->stats->unlinked_kept++;
	return 0;
}

/* The first inode of a list, if there is one that can be freed, as far as it shows by itself. *more: there was any. */
static int find_first(struct orphan *o, uint32_t agno, unsigned bucket, struct xr_tx_buf **agi, bool *more, bool *found)
{
	const struct xr_sb *sb = xr_tx_sb(o->work->tx);
	uint32_t agino;
	int ret = xr_ag_header(o->work->tx, agno, XR_AGI, agi);

	*found = false;
	if (ret)
		return ret;
	agino = xr_be32((*agi)->data + BUCKET(bucket));
	*more = agino != NULLAGINO;
	if (!*more)
		return 0;
	o->inode.ino = (uint64_t)agno << (sb->agblklog + sb->inopblog) | agino;
	if (agino % XFS_AGI_UNLINKED_BUCKETS != bucket || agino >> (sb->agblklog + sb->inopblog))
		return give_up_list(o, *agi, agno, bucket, "cannot be on it");
	ret = xr_tx_inode(o->work->tx, o->inode.ino, &o->inode);
	if (ret == -EUCLEAN || ret == -EIO)
		return give_up_list(o, *agi, agno, bucket, "cannot be read");
	if (ret)
		return ret;
	if (!xr_be16(o->inode.raw + DI(mode)))
		return give_up_list(o, *agi, agno, bucket, "is free");
	if (xr_be32(o->inode.raw + DI(nlink)))
		return give_up_inode(o, *agi, bucket, "has names");
	*found = true;
	return 0;
}

/* Take the first inode off a list and free it. *more: there was one. */
static int free_first(struct xr_work *work, uint32_t agno, unsigned bucket, bool *more)
{
	struct orphan o = {.work = work};
	struct xr_tx_buf *agi;
	bool found, ok = true;
	int ret = find_first(&o, agno, bucket, &agi, more, &found);

	if (ret || !found)
		return ret;
	ret = check_forks(&o, &ok);
	if (!ret)
		ret = xr_ag_header(work->tx, agno, XR_AGI, &agi); /* there may be another transaction now */
	if (ret)
		return ret;
	if (!ok)
		return give_up_inode(&o, agi, bucket, "is damaged");
	unlink_first(&o, agi, bucket);
	return free_orphan(&o);
}

/* As free_first(), but an inode that something else does not let go is given up, and nothing else with it. */
static int free_alone(struct xr_work *work, uint32_t agno, unsigned bucket, bool *more)
{
	struct orphan o = {.work = work};
	struct xr_tx_buf *agi;
	bool found;
	int ret = xr_work_commit(work);

	if (!ret)
		ret = free_first(work, agno, bucket, more);
	if (ret != -EUCLEAN)
		return ret;
	ret = xr_work_undo(work);
	if (!ret)
		ret = find_first(&o, agno, bucket, &agi, more, &found);
	return ret || !found ? ret : give_up_inode(&o, agi, bucket, "cannot be freed");
}

static int free_list(struct xr_work *work, uint32_t agno, unsigned bucket)
{
	int ret = 0;

	for (bool more = true; more && !ret;) {
		ret = work->careful ? free_alone(work, agno, bucket, &more) : free_first(work, agno, bucket, &more);
		if (!ret && more && xr_tx_full(work->tx))
			ret = xr_work_commit(work);
	}
	return ret;
}

static int free_group(struct xr_work *work, uint32_t agno)
{
	struct xr_tx_buf *agi;
	int ret = xr_ag_header(work->tx, agno, XR_AGI, &agi);

	if (ret == -EUCLEAN) {
		xr_say(work->replay->msg, XR_WARN,
		       "allocation group %u: its unlinked inodes stay allocated until xfs_repair frees them", agno);
		work->stats->groups_kept++;
		return 0;
	}
	for (unsigned bucket = 0; bucket < XFS_AGI_UNLINKED_BUCKETS && !ret; bucket++)
		ret = free_list(work, agno, bucket);
	return ret;
}

int xr_work_unlinked(struct xr_work *work)
{
	int ret = 0;

	for (uint32_t agno = 0; agno < work->replay->sb.agcount && !ret; agno++)
		ret = free_group(work, agno);
	return ret;
}
