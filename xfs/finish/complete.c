/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Completion
 *
 * Concept. Pass 2 leaves the filesystem as it was at the last committed transaction: operations of several steps may be half done (intents), inodes
 * without a name wait to be freed, blocks staged for copy-on-write wait for a write that never came. Nothing of that can be done twice, so all
 * changes are transactions in the log, and a crash between any two writes leaves a log that says how far it went.
 *
 * Order. All intents, in log order; what follows from them, in the order it came up; unlinked inodes; copy-on-write leftovers. The intents are
 * one atomic transaction, because their follow-up work is only in memory. Inodes and leftovers stand for themselves: they share that
 * transaction as long as the log has room, and get others after it.
 *
 * Damage. What an intent cannot be done for fails the completion. An inode or a group's leftovers must not: in a second attempt each is a transaction
 * of its own, and what fails there is undone and given up, alone.
 */
#include "work.h"

#include <errno.h>
#include <stdlib.h>

#include "ag.h"
#include "bytes.h"
#include "format.h"
#include "rtspace.h"

struct xr_follow {
	struct xr_follow *next;
	enum { FREE, MAP, UNMAP, EXCHANGE } what;
	enum xr_section section;
	uint64_t fsb, count;
	uint64_t owner, offset;
	bool shared;
	const struct xr_intent *intent;
};

static int later(struct xr_work *work, struct xr_follow follow)
{
	struct xr_follow *f = malloc(sizeof(*f));

	if (!f)
		return xr_fail(work->replay->msg, -ENOMEM, "no memory for the list of what is to be done");
	*f = follow;
	*(work->first ? &work->last->next : &work->first) = f;
	work->last = f;
	return 0;
}

int xr_work_free(struct xr_work *work, enum xr_section section, uint64_t fsb, uint64_t count)
{
	return later(work, (struct xr_follow){.what = FREE, .section = section, .fsb = fsb, .count = count});
}

int xr_work_rmap(struct xr_work *work, bool map, enum xr_section section, uint64_t fsb, uint32_t count, uint64_t owner,
		 uint64_t offset, bool shared)
{
	return later(work, (struct xr_follow){.what = map ? MAP : UNMAP,
					      .section = section,
					      .fsb = fsb,
					      .count = count,
					      .owner = owner,
					      .offset = offset,
					      .shared = shared});
}

int xr_work_exchange_later(struct xr_work *work, const struct xr_intent *intent)
{
	return later(work, (struct xr_follow){.what = EXCHANGE, .intent = intent});
}

bool xr_inode_shares(const struct xr_sb *sb, const uint8_t *raw)
{
	return sb->has_reflink && xr_be64(raw + offsetof(struct xfs_dinode, di_flags2)) & XFS_DIFLAG2_REFLINK;
}

int xr_work_rmap_mapping(struct xr_work *work, bool map, const struct xr_tx_inode *inode, bool attr, const struct xr_mapping *m)
{
	uint64_t offset = m->offset | (attr ? XR_RMAP_ATTR : 0) | (m->unwritten ? XR_RMAP_UNWRITTEN : 0);
	enum xr_section section = xr_inode_section(inode->raw, attr);

	if (!xr_section_has_rmaps(xr_tx_sb(work->tx), section))
		return 0;
	return xr_work_rmap(work, map, section, m->block, m->count, inode->ino, offset,
			    !attr && xr_inode_shares(xr_tx_sb(work->tx), inode->raw));
}

/* What an exchange leads to comes before what else there is to do. */
static int exchange(struct xr_work *work, const struct xr_intent *intent)
{
	struct xr_follow *first = work->first, *last = work->last;
	int ret;

	work->first = NULL;
	ret = xr_work_exchange(work, intent);
	if (!ret)
		ret = xr_work_run(work);
	*(work->first ? &work->last->next : &work->first) = first;
	work->last = first ? last : work->last;
	return ret;
}

static int follow_up(struct xr_work *work, const struct xr_follow *f)
{
	struct xr_tx *tx = work->tx;

	switch (f->what) {
	case FREE:
		return f->section == XR_REALTIME ? xr_rt_free(work, f->fsb, f->count)
						 : xr_free_extent(tx, f->fsb, (uint32_t)f->count, XR_OWN_NULL, 0);
	case MAP:
		return xr_rmap_map(tx, f->section, f->fsb, (uint32_t)f->count, f->owner, f->offset, f->shared);
	case EXCHANGE:
		return exchange(work, f->intent);
	default:
		return xr_rmap_unmap(tx, f->section, f->fsb, (uint32_t)f->count, f->owner, f->offset, f->shared);
	}
}

static struct xr_follow *take(struct xr_work *work)
{
	struct xr_follow *f = work->first;

	if (f)
		work->first = f->next;
	return f;
}

int xr_work_run(struct xr_work *work)
{
	struct xr_follow *f;
	int ret = 0;

	while (!ret && (f = take(work))) {
		ret = follow_up(work, f);
		free(f);
	}
	return ret;
}

static int count(struct xr_work *work, struct xr_summary *summary)
{
	struct xr_fs fs = {&work->replay->sb, work->replay->cache, work->replay->msg};

	return xr_summary_read(summary, &fs);
}

static void add(const struct xr_tx_buf *sb, size_t at, uint64_t n)
{
	xr_put_be64(sb->data + at, xr_be64(sb->data + at) + n);
}

/*
 * Without lazy counters every transaction that changes what is free also changes the superblock's counters, and nobody sums them up anew. By the
 * difference: such a filesystem need not have counted the blocks of its free space btrees in the AGF, but no change of ours is left out.
 */
static int log_counters(struct xr_work *work)
{
	const struct xr_sb *sb = &work->replay->sb;
	struct xr_summary now;
	struct xr_tx_buf *buf;
	int ret = count(work, &now);

	if (!ret)
		ret = xr_tx_get(work->tx, XFS_SB_DADDR, sb->sectsize >> XR_BB_SHIFT, XFS_BLFT_SB_BUF, &buf);
	if (ret)
		return ret;
	add(buf, offsetof(struct xfs_dsb, sb_icount), now.icount - work->counted.icount);
	add(buf, offsetof(struct xfs_dsb, sb_ifree), now.ifree - work->counted.ifree);
	add(buf, offsetof(struct xfs_dsb, sb_fdblocks), now.fdblocks - work->counted.fdblocks);
	xr_tx_log(work->tx, buf, offsetof(struct xfs_dsb, sb_icount), 24); /* frextents is counted where they are freed */
	work->counted = now;
	return 0;
}

/* What stands, whatever comes: what was committed. */
static void keep(struct xr_work *work)
{
	work->kept.stats = *work->stats;
	work->kept.sb = work->replay->sb;
}

int xr_work_commit(struct xr_work *work)
{
	bool empty = xr_tx_empty(work->tx);
	int ret = empty || work->replay->sb.lazy_count ? 0 : log_counters(work);
	uint64_t bytes = xr_tx_log_bytes(work->tx);

	if (!ret)
		ret = xr_tx_commit(work->tx);
	if (ret)
		return ret;
	work->stats->transactions += !empty;
	work->stats->log_bytes += bytes;
	/* They were in the first one. */
	xr_replay_forget_intents(work->replay);
	keep(work);
	return 0;
}

static void forget(struct xr_work *work)
{
	for (struct xr_follow *f; (f = take(work));)
		free(f);
	xr_tx_end(work->tx);
	work->tx = NULL;
	*work->stats = work->kept.stats;
	work->replay->sb = work->kept.sb;
}

int xr_work_undo(struct xr_work *work)
{
	struct xr_table rtfiles = *xr_tx_rtfiles(work->tx);
	int ret;

	/* They stay what they are. */
	*xr_tx_rtfiles(work->tx) = (struct xr_table){0};
	forget(work);
	ret = xr_tx_begin(&work->tx, &work->replay->sb, work->replay->cache, work->log, work->head, work->replay->msg);
	if (ret)
		xr_table_clear(&rtfiles);
	else
		*xr_tx_rtfiles(work->tx) = rtfiles;
	return ret;
}

static int attempt(struct xr_work *work)
{
	int ret = xr_work_intents(work);

	if (!ret)
		ret = xr_work_run(work);
	/* Before anything else can fill the log, or fail. */
	if (!ret && (work->careful || xr_tx_full(work->tx)))
		ret = xr_work_commit(work);
	work->intents_done = !ret;
	if (!ret)
		ret = xr_work_unlinked(work);
	if (!ret && work->replay->sb.has_reflink)
		ret = xr_work_cow(work);
	return ret ? ret : xr_work_commit(work);
}

int xr_complete(struct xr_replay *replay, const struct xr_log *log, struct xr_head *head, struct xr_complete_stats *stats)
{
	struct xr_work work = {.replay = replay, .stats = stats, .log = log, .head = head};
	int ret;

	*stats = (struct xr_complete_stats){0};
	keep(&work);
	ret = replay->sb.lazy_count ? 0 : count(&work, &work.counted);
	if (!ret)
		ret = xr_tx_begin(&work.tx, &replay->sb, replay->cache, log, head, replay->msg);
	if (!ret)
		ret = attempt(&work);
	if (ret == -EUCLEAN && work.intents_done) {
		work.careful = true;
		ret = xr_work_undo(&work);
		if (!ret)
			ret = attempt(&work);
	}
	forget(&work);
	return ret;
}
