/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_BMBT_H
#define XR_BMBT_H

#include "cache.h"
#include "sb.h"
#include "table.h"

/* No fork's extent btree is higher than this: 2^48 extents in blocks of 1 KiB, half full. */
#define XR_BMBT_MAX_LEVEL 14

/*
 * Write owner into every block of the extent btree that a fork of an inode roots (specification 9.2 step 10), with new CRCs. inode is
 * the whole inode in disk form; its fork must be in btree format. unstamped: (daddr, BBs) of blocks whose CRC is yet to come; all others must have
 * a good one. -EUCLEAN, said: a block is no part of such a tree, or damaged; -EIO, -ENOMEM.
 */
int xr_bmbt_set_owner(const struct xr_sb *sb, struct xr_cache *cache, const struct xr_table *unstamped, const uint8_t *inode,
		      bool attr, uint64_t owner, const struct xr_msg *msg);

#endif
