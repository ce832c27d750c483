/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_ITEMS_H
#define XR_ITEMS_H

#include "replay.h"

/*
 * Log items: one file a type
 *
 * check is called in both passes before anything else sees the item: a log that changes between them (another writer, a dying medium) may
 * be refused late, but nothing that was not checked is used. (In pass 2 an inode item's replay does it, which needs what it finds.) It must refuse everything that the others could trip over, as far as the item
 * alone tells, and changes nothing. note is called in pass 1, replay in pass 2; replay still checks whatever the target or the
 * (growing) filesystem decides.
 */
enum xr_outcome { XR_REPLAYED, XR_STALE, XR_CANCELLED, XR_NOTED };

struct xr_item_type {
	uint16_t type; /* XFS_LI_... */
	const char *name;
	int (*check)(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item);
	/* Pass 1: remember what pass 2 has to know of the whole log beforehand. NULL: nothing. 0, or -ENOMEM, said. */
	int (*note)(struct xr_replay *replay, const struct xr_item *item);
	int (*replay)(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
		      enum xr_outcome *outcome);
	/*
	 * The blocks that an item is for, which may not have passed check: none where its first region is too short to say so. NULL: no
	 * blocks, it only needs to be seen once.
	 */
	void (*target)(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);
};

void xr_buf_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);
void xr_inode_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);
void xr_icreate_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);
void xr_dquot_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);

int xr_buf_item_check(const struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_buf_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_inode_item_check(const struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_inode_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_icreate_item_check(const struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_icreate_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_dquot_item_check(const struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_dquot_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_quotaoff_item_check(const struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_quotaoff_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_intent_item_check(const struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_intent_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);

int xr_buf_item_note(struct xr_replay *, const struct xr_item *);
int xr_inode_item_note(struct xr_replay *, const struct xr_item *);
int xr_quotaoff_item_note(struct xr_replay *, const struct xr_item *);

/*
 * Replay one item that does not come from the log at hand (quarantine.h): all of pass 2 for a transaction that has only it. Changes the cache; an
 * intent is pending afterwards. Errors as xr_replay_apply().
 */
int xr_replay_one(struct xr_replay *replay, const struct xr_trans *trans, enum xr_outcome *outcome);

/* The blocks that an item of any type is for, checked or not; none: bbs 0. */
void xr_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);

/* The type of the item that ends an intent of this type; 0: it is no intent. */
uint16_t xr_intent_done_type(uint16_t type);

/* Whether an inode item is sound (says nothing where it is not) and changes its inode only: then note has nothing to do. */
bool xr_inode_item_is_plain(const struct xr_replay *replay, const struct xr_item *item);

/* Give back the cluster that replay of an inode item holds for the next one. */
void xr_inode_release(struct xr_replay *replay);

/* To be called before anything but an inode item changes these blocks: whether they hold inodes is no longer known. */
void xr_inode_forget(struct xr_replay *replay, const struct xr_extent *target);

/* Which of the four lists of pass 2 (section 8) a buffer item belongs to. */
bool xr_buf_item_cancels(const struct xr_replay *replay, const struct xr_item *item);
bool xr_buf_item_is_inodes(const struct xr_replay *replay, const struct xr_item *item);

/* Whether this buffer was freed later in the log, so that items for it are void. */
static inline bool xr_cancelled(const struct xr_replay *replay, uint64_t daddr, uint32_t bbs)
{
	return xr_table_find(&replay->cancel, daddr, bbs);
}

/* Whether an item's buffer lies on the device, of whatever size the filesystem is there. */
static inline bool xr_on_device(const struct xr_replay *replay, uint64_t daddr, uint32_t bbs)
{
	uint64_t end = xr_cache_bbs(replay->cache);

	return bbs && daddr < end && bbs <= end - daddr;
}

/*
 * Pass 2: whether the filesystem reaches as far as an item's buffer, one that is not cancelled. The device may go on behind it, and hold somebody
 * else's data there.
 */
static inline bool xr_in_filesystem(const struct xr_replay *replay, uint64_t daddr, uint32_t bbs)
{
	return daddr < replay->end_bbs && bbs <= replay->end_bbs - daddr;
}

/*
 * The buffer was changed and gets this group's LSN and its CRC when the group ends. Not for what carries its own: inodes, dquots.
 */
int xr_group_add(struct xr_replay *replay, uint64_t daddr, uint32_t bbs);

/* Say what is wrong with an item, where it stands in the log, and return -EUCLEAN. trans NULL: say nothing, somebody only asks. */
int xr_item_bad(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
