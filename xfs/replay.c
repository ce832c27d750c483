/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two passes
 *
 * Concept. Both passes walk the log from tail to head and see each committed transaction once, at its COMMIT. Inside a transaction
 * pass 2 does not follow the log's order: buffers come before what is inside them, unlinked-list updates after the inodes, cancels last.
 *
 * Items at once. To keep a transaction until its COMMIT takes as much memory as it is long, and by then none of it is in the processor's caches.
 * Where it makes no difference, which pass 1 finds out (sequence.c), pass 2 applies the items of the first two lists as soon as they are
 * whole; the few of the other two wait. It makes one where an item reaches beyond its own blocks or is to be left out, and in salvage, where
 * a walk that fails has to end at the COMMIT of the transaction that is to be left out.
 *
 * LSN groups. Many transactions can begin in one record and so share one LSN. A block that was stamped with it would look
 * up to date to the next item of the same LSN, which would then be lost. Therefore changed buffers are only noted, and get LSN and
 * CRC when the first transaction of another LSN commits (section 8.1). A group that failed is never stamped and never written.
 *
 * Checks. Each item is checked in both passes, in pass 2 when the transaction is at hand: what lies between two readings of a medium is
 * nobody's promise.
 *
 * Writing. The cache holds what was changed until the end. Where that would be too much, pass 2 is done slice by slice (slices.c), or, if it
 * cannot be cut, written between groups when more than DIRTY_BYTES have come together. Pass 2 is idempotent, so an interrupted write is
 * repaired by the next run or by a kernel.
 */
#include "items.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "quarantine.h"
#include "scatter.h"
#include "slices.h"
#include "verify.h"

#define DIRTY_BYTES (96u << 20)

static const struct xr_item_type types[] = {
	{XFS_LI_BUF, "buffer", xr_buf_item_check, xr_buf_item_note, xr_buf_item_replay, xr_buf_item_target},
	{XFS_LI_INODE, "inode", xr_inode_item_check, xr_inode_item_note, xr_inode_item_replay, xr_inode_item_target},
	{XFS_LI_ICREATE, "icreate", xr_icreate_item_check, NULL, xr_icreate_item_replay, xr_icreate_item_target},
	{XFS_LI_DQUOT, "dquot", xr_dquot_item_check, NULL, xr_dquot_item_replay, xr_dquot_item_target},
	{XFS_LI_QUOTAOFF, "quotaoff", xr_quotaoff_item_check, xr_quotaoff_item_note, xr_quotaoff_item_replay, NULL},
	{XFS_LI_EFI, "EFI", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_EFD, "EFD", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_RUI, "RUI", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_RUD, "RUD", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_CUI, "CUI", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_CUD, "CUD", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_BUI, "BUI", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_BUD, "BUD", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_ATTRI, "ATTRI", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_ATTRD, "ATTRD", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_XMI, "XMI", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_XMD, "XMD", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_EFI_RT, "EFI_RT", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_EFD_RT, "EFD_RT", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_RUI_RT, "RUI_RT", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_RUD_RT, "RUD_RT", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_CUI_RT, "CUI_RT", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
	{XFS_LI_CUD_RT, "CUD_RT", xr_intent_item_check, NULL, xr_intent_item_replay, NULL},
};
#define NTYPES (sizeof(types) / sizeof(types[0]))
_Static_assert(NTYPES <= XR_ITEM_TYPES, "every item type has its counters");

const char *xr_item_name(unsigned n)
{
	return n < NTYPES ? types[n].name : NULL;
}

static const struct xr_item_type *type_of(uint16_t type)
{
	for (size_t i = 0; i < NTYPES; i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

int xr_item_bad(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item, const char *format, ...)
{
	char what[512];
	va_list ap;

	if (!trans)
		return -EUCLEAN;
	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	return xr_fail(replay->msg, -EUCLEAN,
		       "log record at LSN %u:%u, transaction %#x, %s item: %s (--skip-item %u:%u:%#x:%u=FILE leaves it out)",
		       xr_lsn_cycle(item->lsn), xr_lsn_block(item->lsn), trans->tid, xr_item_type_name(item->type), what,
		       xr_lsn_cycle(item->lsn), xr_lsn_block(item->lsn), trans->tid, item->number);
}

void xr_replay_init(struct xr_replay *replay, const struct xr_log *log, struct xr_cache *cache, const struct xr_msg *msg)
{
	*replay = (struct xr_replay){.log = log,
				     .cache = cache,
				     .msg = msg,
				     .sb = *log->sb,
				     .end_bbs = log->sb->dblocks << (log->sb->blocklog - XR_BB_SHIFT),
				     .trivial = true,
				     .slice_bytes = XR_SLICE_BYTES,
				     .to = UINT64_MAX};
}

void xr_replay_destroy(struct xr_replay *replay)
{
	xr_targets_clear(&replay->targets);
	xr_table_clear(&replay->cancel);
	xr_table_clear(&replay->group);
	xr_table_clear(&replay->pieces);
	xr_table_clear(&replay->owners);
	xr_sequence_clear(&replay->noted);
	xr_blocks_clear(&replay->inodes);
	xr_replay_forget_intents(replay);
}

void xr_replay_forget_intents(struct xr_replay *replay)
{
	for (const struct xr_entry *e = replay->intents.first; e; e = e->next)
		free((void *)(uintptr_t)e->value);
	xr_table_clear(&replay->intents);
}

const char *xr_item_type_name(uint16_t type)
{
	const struct xr_item_type *t = type_of(type);

	return t ? t->name : "unknown";
}

void xr_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target)
{
	const struct xr_item_type *type = type_of(item->type);

	*target = (struct xr_extent){0};
	if (type && type->target)
		type->target(replay, item, target);
}

/* Both passes: behind this the item's own type, sizes and counts can be relied on. */
static int check_item(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	const struct xr_item_type *type = type_of(item->type);

	return type ? type->check(replay, trans, item)
		    : xr_item_bad(replay, trans, item, "type %#x is none that this program knows", item->type);
}

/* Whether the user asked to leave this item out. */
static struct xr_skip *skip_of(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	for (size_t i = 0; i < replay->nskips; i++) {
		struct xr_skip *skip = &replay->skips[i];

		if (skip->lsn == item->lsn && skip->tid == trans->tid && skip->number == item->number)
			return skip;
	}
	return NULL;
}

/* The order of a transaction's items in pass 2. */
enum list { BUFFERS, OTHERS, INODE_BUFFERS, CANCELS };

static enum list list_of(const struct xr_replay *replay, const struct xr_item *item)
{
	if (item->type == XFS_LI_ICREATE)
		return BUFFERS;
	if (item->type != XFS_LI_BUF)
		return OTHERS;
	if (xr_buf_item_cancels(replay, item))
		return CANCELS;
	return xr_buf_item_is_inodes(replay, item) ? INODE_BUFFERS : BUFFERS;
}

/* --- pass 1 --- */

static int note_target(struct xr_replay *replay, const struct xr_item *item)
{
	struct xr_extent target;

	xr_item_target(replay, item, &target);
	if (!target.bbs ||
	    !(item->type == XFS_LI_ICREATE ? xr_targets_add_fresh : xr_targets_add)(&replay->targets, target.daddr, target.bbs))
		return 0;
	return xr_fail(replay->msg, -ENOMEM, "no memory to note what the log changes");
}

static int note_item(struct xr_replay *replay, const struct xr_item *item)
{
	const struct xr_item_type *type = type_of(item->type);
	int ret = type->note ? type->note(replay, item) : 0;

	if (item->type != XFS_LI_BUF) /* those know better */
		replay->trivial = false;
	return ret ? ret : note_target(replay, item);
}

static int note_trans(void *arg, const struct xr_trans *trans)
{
	struct xr_replay *replay = arg;

	xr_sequence_end(&replay->noted, trans, true);
	if (trans->nlogged > trans->nitems)
		replay->trivial = false;
	for (size_t i = 0; i < trans->nitems; i++) {
		const struct xr_item *item = &trans->items[i];
		struct xr_skip *skip = skip_of(replay, trans, item);
		int ret = skip ? xr_quarantine(replay, skip, trans, item) : check_item(replay, trans, item);

		if (!ret && !skip)
			ret = note_item(replay, item);
		if (ret)
			return ret;
	}
	return 0;
}

static void note_discarded(void *arg, const struct xr_trans *trans)
{
	struct xr_replay *replay = arg;

	xr_sequence_end(&replay->noted, trans, false);
}

/* Whether an item, not checked yet, may be of the third or the fourth list. */
static bool is_late(const struct xr_replay *replay, const struct xr_item *item)
{
	return item->type == XFS_LI_BUF && (item->regions[0].size < 8 || list_of(replay, item) > OTHERS);
}

/*
 * Most of a log are inode items, and of a sound one pass 1 has nothing to remember but its target, which does no harm in a transaction that
 * never commits: they need no memory.
 */
static int settle(void *arg, const struct xr_trans *trans, const struct xr_item *item)
{
	struct xr_replay *replay = arg;
	struct xr_extent target;

	xr_item_target(replay, item, &target);
	if (!is_late(replay, item))
		xr_sequence_note(&replay->noted, trans, item->type == XFS_LI_BUF || item->type == XFS_LI_ICREATE, &target);
	if (item->type != XFS_LI_INODE || replay->nskips || !xr_inode_item_is_plain(replay, item))
		return 0;
	return !xr_targets_add(&replay->targets, target.daddr, target.bbs);
}

int xr_replay_check(struct xr_replay *replay, const struct xr_head *head)
{
	const struct xr_walker walker = {.commit = note_trans, .settle = settle, .discard = note_discarded, .arg = replay};
	int ret = xr_trans_walk_some(replay->log, head, &walker, &replay->stats.log);

	if (!replay->whole && !replay->has_pieces && !replay->nskips && !replay->log->until_bad)
		replay->sequence = &replay->noted;
	replay->digest = replay->stats.log.digest;
	for (size_t i = 0; i < replay->nskips && !ret; i++) {
		const struct xr_skip *skip = &replay->skips[i];

		if (!skip->met)
			ret = xr_fail(replay->msg, -EINVAL,
				      "the log has no item %u of transaction %#x that begins in the record at LSN %u:%u: nothing "
				      "to leave out",
				      skip->number, skip->tid, xr_lsn_cycle(skip->lsn), xr_lsn_block(skip->lsn));
	}
	return ret;
}

/* --- LSN groups --- */

int xr_group_add(struct xr_replay *replay, uint64_t daddr, uint32_t bbs)
{
	if (!xr_table_add(&replay->group, daddr, bbs))
		return xr_fail(replay->msg, -ENOMEM, "no memory for the list of changed buffers");
	return 0;
}

static int finish_buffer(struct xr_replay *replay, const struct xr_entry *entry)
{
	struct xr_buf buf;
	int ret;

	ret = xr_buf_read(replay->cache, entry->a, (uint32_t)entry->b, &buf);
	if (ret)
		return ret;
	ret = xr_block_stamp(&replay->sb, entry->a, buf.data, buf.size, replay->group_lsn, replay->msg);
	if (!ret)
		xr_buf_dirty(replay->cache, &buf, 0, buf.size);
	xr_buf_put(replay->cache, &buf);
	return ret;
}

/* End the group: stamp what it changed, and write if much has come together. */
static int finish_group(struct xr_replay *replay)
{
	struct xr_cache_stats stats;
	int ret;

	for (const struct xr_entry *e = replay->group.first; e; e = e->next) {
		ret = finish_buffer(replay, e);
		if (ret)
			return ret;
	}
	replay->stats.groups += replay->group.count > 0;
	xr_table_clear(&replay->group);
	xr_cache_stats(replay->cache, &stats);
	return stats.dirty_bytes > DIRTY_BYTES ? xr_cache_flush(replay->cache) : 0;
}

/* --- pass 2 --- */

/* Whether an item, not checked yet, is one of this slice's. Those for no block are the first slice's. */
static bool in_slice(const void *arg, const struct xr_item *item)
{
	const struct xr_replay *replay = arg;
	struct xr_extent target;

	xr_item_target(replay, item, &target);
	return target.daddr >= replay->from && target.daddr < replay->to;
}

static int replay_item(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	const struct xr_item_type *type = type_of(item->type);
	struct xr_item_stats *stats = &replay->stats.items[type - types];
	enum xr_outcome outcome = XR_NOTED;
	struct xr_extent target;
	int ret;

	if (item->type != XFS_LI_INODE) {
		xr_item_target(replay, item, &target);
		xr_inode_forget(replay, &target);
	}
	ret = type->replay(replay, trans, item, &outcome);
	stats->seen++;
	if (outcome == XR_REPLAYED)
		stats->replayed++;
	else if (outcome == XR_STALE)
		stats->stale++;
	else if (outcome == XR_CANCELLED)
		stats->cancelled++;
	return ret;
}

static int log_changed(const struct xr_replay *replay)
{
	return xr_fail(replay->msg, -EUCLEAN,
		       "the log changed while it was read: does anything else write to it, or is the medium failing?");
}

/* Have the transaction at hand. What pass 1 saw applied at once has no other one between its items, and commits. */
static int take_up(struct xr_replay *replay, const struct xr_trans *trans)
{
	if (replay->at_hand.open && replay->at_hand.tid == trans->tid && replay->at_hand.lsn == trans->lsn)
		return 0;
	if (replay->at_hand.begun)
		return log_changed(replay);
	replay->at_hand.open = true;
	replay->at_hand.tid = trans->tid;
	replay->at_hand.lsn = trans->lsn;
	replay->at_hand.waits = !replay->sequence || xr_sequence_waits(replay->sequence, trans);
	return 0;
}

/* An item of this transaction is the next to be applied: those of another LSN before it are complete. */
static int enter_group(struct xr_replay *replay, const struct xr_trans *trans)
{
	int ret;

	if (trans->lsn == replay->group_lsn)
		return 0;
	xr_inode_release(replay);
	ret = finish_group(replay);
	replay->group_lsn = trans->lsn;
	return ret;
}

/* An item is whole: apply it, if it need not wait. */
static int apply_now(void *arg, const struct xr_trans *trans, const struct xr_item *item)
{
	struct xr_replay *replay = arg;
	int ret = take_up(replay, trans);

	if (ret || replay->at_hand.waits)
		return ret;
	if (item->type != XFS_LI_INODE)
		ret = check_item(replay, trans, item);
	if (ret || list_of(replay, item) > OTHERS)
		return ret;
	ret = enter_group(replay, trans);
	replay->at_hand.begun = true;
	if (!ret)
		ret = replay_item(replay, trans, item);
	return ret ? ret : 1;
}

/* What is left of a transaction at its COMMIT. */
static int replay_trans(void *arg, const struct xr_trans *trans)
{
	struct xr_replay *replay = arg;
	int ret = take_up(replay, trans);

	if (!ret)
		ret = enter_group(replay, trans);
	for (size_t i = 0; i < trans->nitems && !ret; i++)
		if (trans->items[i].type != XFS_LI_INODE && !skip_of(replay, trans, &trans->items[i]))
			ret = check_item(replay, trans, &trans->items[i]);
	for (enum list list = BUFFERS; list <= CANCELS && !ret; list++)
		for (size_t i = 0; i < trans->nitems && !ret; i++) {
			/* The two later lists are worked through in reverse. */
			size_t at = list < INODE_BUFFERS ? i : trans->nitems - 1 - i;

			if (!skip_of(replay, trans, &trans->items[at]) && list_of(replay, &trans->items[at]) == list)
				ret = replay_item(replay, trans, &trans->items[at]);
		}
	replay->at_hand.open = replay->at_hand.begun = false;
	return ret;
}

int xr_replay_slice(struct xr_replay *replay, const struct xr_head *head)
{
	bool all = !replay->from && replay->to == UINT64_MAX;
	const struct xr_walker walker = {.commit = replay_trans,
					 .wants = all ? NULL : in_slice,
					 .settle = apply_now,
					 .arg = replay,
					 .progress = replay->progress,
					 .progress_arg = replay->progress_arg};
	int ret = xr_trans_walk_some(replay->log, head, &walker, &replay->stats.log);

	xr_inode_release(replay);
	if (!ret && (replay->at_hand.begun || replay->cancel.count || replay->stats.log.digest != replay->digest))
		ret = log_changed(replay);
	if (!ret)
		ret = finish_group(replay);
	return ret ? ret : xr_scatter_finish(replay);
}

int xr_replay_one(struct xr_replay *replay, const struct xr_trans *trans, enum xr_outcome *outcome)
{
	const struct xr_item *item = &trans->items[0];
	int ret = check_item(replay, trans, item);

	replay->group_lsn = trans->lsn;
	*outcome = XR_NOTED;
	if (!ret && item->type == XFS_LI_BUF && xr_buf_item_cancels(replay, item))
		ret = xr_fail(replay->msg, -EINVAL, "the item says that blocks were freed: there is nothing to apply");
	if (!ret)
		ret = note_item(replay, item);
	if (!ret)
		ret = type_of(item->type)->replay(replay, trans, item, outcome);
	xr_inode_release(replay);
	if (!ret)
		ret = finish_group(replay);
	return ret ? ret : xr_scatter_finish(replay);
}

int xr_replay_apply(struct xr_replay *replay, const struct xr_head *head)
{
	uint64_t bytes = replay->targets.units * XR_UNIT_BBS * XR_BB;

	if (bytes <= replay->slice_bytes || replay->whole || replay->has_pieces || !xr_cache_writes(replay->cache))
		return xr_replay_slice(replay, head);
	return xr_slices_apply(replay, head);
}
