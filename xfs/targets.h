/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TARGETS_H
#define XR_TARGETS_H

#include <stdbool.h>

#include "table.h"

/*
 * Which parts of the device a log will change
 *
 * Pass 1 notes the blocks of every item, in units of 16 KiB, and which neighbouring units one item needs together. From that the
 * device can be cut into slices that each fit into memory, and a slice's blocks can be read ahead in the order of their addresses.
 * A zeroed set is an empty one. Memory: 24 KiB for each GiB of the device that the log touches.
 */
#define XR_UNIT_BBS 32u

struct xr_targets {
	struct xr_table chunks; /* by number of the GiB; the value is the address of its bitmaps */
	uint64_t units; /* noted */
	uint64_t end; /* number of the last unit noted, plus 1 */
};

/* Note the blocks [daddr, daddr + bbs), bbs > 0, which belong together. -1: no memory. */
int xr_targets_add(struct xr_targets *targets, uint64_t daddr, uint32_t bbs);

/* The same where all of the blocks are made anew, whatever was there: nobody will read them. */
int xr_targets_add_fresh(struct xr_targets *targets, uint64_t daddr, uint32_t bbs);

/*
 * Cut at daddrs bounds[0] = 0 < bounds[1] < ... < bounds[n] = UINT64_MAX, so that no slice has more than max units (unless what belongs
 * together has) and nothing that belongs together is cut. *bounds is the caller's to free. -1: no memory.
 */
int xr_targets_cut(const struct xr_targets *targets, uint64_t max, uint64_t **bounds, size_t *n);

/* The first run of noted units in [*daddr, to) that are not made anew: *daddr is where it begins, *bbs its length. False: there is none. */
bool xr_targets_run(const struct xr_targets *targets, uint64_t *daddr, uint64_t to, uint32_t *bbs);

void xr_targets_clear(struct xr_targets *targets);

#endif
