/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_SCATTER_H
#define XR_SCATTER_H

#include "replay.h"

/*
 * Directory blocks in several extents (specification section 9.1, "Discontiguous directory blocks")
 *
 * Such a block is logged extent by extent, and only the first has its header. Pass 2 applies the pieces raw and notes them here;
 * behind it the blocks they belong to are seen whole, checked, stamped.
 */

/* A piece was changed by a transaction of this LSN. -ENOMEM, said. */
int xr_scatter_note(struct xr_replay *replay, uint64_t daddr, uint32_t bbs, uint64_t lsn);

/* An inode was logged: it may be a directory that a piece belongs to. Costs nothing in logs without pieces. -ENOMEM, said. */
int xr_scatter_owner(struct xr_replay *replay, uint64_t ino);

/*
 * After pass 2: find every directory block that a noted piece belongs to, through the map of the directory it belongs to, and give the
 * whole its LSN and CRC, in the cache. -EUCLEAN, said: the log makes of it something that is no block of that directory; -EIO; -ENOMEM.
 */
int xr_scatter_finish(struct xr_replay *replay);

#endif
