/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_LOST_H
#define XR_LOST_H

#include "cache.h"
#include "head.h"
#include "table.h"

/* What a replay that ended before the head of the log (xr_head.cut) left out, as far as it can still be read. */
struct xr_lost {
	struct xr_table inodes; /* (inode number, 0): those that the log would have changed */
	uint64_t records; /* readable ones that were not replayed */
	uint64_t damaged; /* blocks that belong to no readable record */
};

/*
 * Look at what was left out: the records from where the replay ended to the head, and before it those transactions that were not committed
 * by then. Reads only, judges nothing: it takes from an operation what looks like an inode item. -EIO, -ENOMEM, said.
 */
int xr_lost_find(const struct xr_log *log, const struct xr_head *head, struct xr_lost *lost);
void xr_lost_clear(struct xr_lost *lost);

/* Whether a region looks like the first one of an inode item; *ino is the inode then. */
bool xr_lost_inode(struct xr_order order, const uint8_t *data, uint32_t len, uint64_t *ino);

/*
 * The inodes that a buffer of metadata belongs to, as what it holds now says: the owner of a directory, attribute or extent btree block or of a symlink's
 * target; all inodes of a cluster. Added to lost->inodes; none where it tells of none. -EIO, -ENOMEM.
 */
int xr_lost_owners(const struct xr_sb *sb, struct xr_cache *cache, const struct xr_extent *buffer, struct xr_lost *lost);

#endif
