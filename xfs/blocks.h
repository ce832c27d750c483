/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_BLOCKS_H
#define XR_BLOCKS_H

#include <stdbool.h>

#include "cache.h"
#include "table.h"

/*
 * A set of basic blocks of the device
 *
 * A bit for each, in words of 64, found by number. A zeroed set is an empty one. Extents may be any, also such as were read from a log and not
 * checked. Each call takes time in proportion to the extent's length.
 */
struct xr_blocks {
	struct xr_table words; /* by number; the value is the bits */
	struct xr_entry *recent; /* the word that was found last: calls for the same blocks tend to stand together */
};

/* 0, or -1: no memory, and some of the blocks may be in the set. */
int xr_blocks_add(struct xr_blocks *set, const struct xr_extent *extent);
void xr_blocks_remove(struct xr_blocks *set, const struct xr_extent *extent);

/* Whether any of these blocks is in the set; and whether all are. Of no blocks none is, and all are. */
bool xr_blocks_any(struct xr_blocks *set, const struct xr_extent *extent);
bool xr_blocks_all(struct xr_blocks *set, const struct xr_extent *extent);

void xr_blocks_clear(struct xr_blocks *set);

#endif
