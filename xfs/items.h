/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_ITEMS_H
#define XR_ITEMS_H

#include "replay.h"

/*
 * Log items: one file a type
 *
 * check is called in pass 1 and must refuse everything that replay could trip over, as far as the item alone tells; replay is
 * called in pass 2 and still checks whatever the target or the (growing) filesystem decides.
 */
enum xr_outcome { XR_REPLAYED, XR_STALE, XR_CANCELLED, XR_NOTED };

struct xr_item_type {
	uint16_t type; /* XFS_LI_... */
	const char *name;
	int (*check)(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item);
	int (*replay)(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
		      enum xr_outcome *outcome);
	/* The blocks that an item which passed check is for. NULL: none, it only needs to be seen once. */
	void (*target)(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);
};

void xr_buf_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);
void xr_inode_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);
void xr_icreate_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);
void xr_dquot_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target);

int xr_buf_item_check(struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_buf_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_inode_item_check(struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_inode_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_icreate_item_check(struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_icreate_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_dquot_item_check(struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_dquot_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_quotaoff_item_check(struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_quotaoff_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);
int xr_intent_item_check(struct xr_replay *, const struct xr_trans *, const struct xr_item *);
int xr_intent_item_replay(struct xr_replay *, const struct xr_trans *, const struct xr_item *, enum xr_outcome *);

/* The type of the item that ends an intent of this type; 0: it is no intent. */
uint16_t xr_intent_done_type(uint16_t type);

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
 * The buffer was changed and gets this group's LSN and its CRC when the group ends. Not for what carries its own: inodes, dquots.
 */
int xr_group_add(struct xr_replay *replay, uint64_t daddr, uint32_t bbs);

/* Say what is wrong with an item, where it stands in the log, and return -EUCLEAN. */
int xr_item_bad(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
