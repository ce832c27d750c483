/* SPDX-License-Identifier: MIT */
#ifndef VMAP_RANGE_H
#define VMAP_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tree.h"

/* How many candidates vmap_ranges_take() looks at in one call. */
#define VMAP_RANGES_BATCH 32

/* A free range, or the addresses of an area; at least a base page long. Is the first member of the area's descriptor. */
struct vmap_extent {
	struct vmap_tree_node node; /* in the tree of free ranges, or of areas */
	struct vmap_extent *next; /* among the spares, in a pool, or among the areas that wait for a flush */
	uintptr_t addr;
	size_t size;
	size_t largest; /* size of the largest free range in the subtree; of ranges in the free tree only */
};

/* Descriptors without a range, waiting for their use. */
struct vmap_spares {
	struct vmap_extent *first;
	size_t n;
};

/* Put an extent at the end of a list by next; *last means nothing where *first is NULL. */
static inline void vmap_extents_append(struct vmap_extent **first, struct vmap_extent **last, struct vmap_extent *extent)
{
	extent->next = NULL;
	if (*first)
		(*last)->next = extent;
	else
		*first = extent;
	*last = extent;
}

/* All free ranges of a space. */
struct vmap_ranges {
	struct vmap_tree tree; /* ranges by address; no two of them touch */
	unsigned page_shift;
	size_t free; /* bytes in the tree */
};

/* What is looked for. There are no defaults here: each member says what it is. */
struct vmap_request {
	size_t size; /* guard counted */
	size_t align; /* power of two, at least a base page */
	size_t phase; /* less than align */
	uintptr_t min; /* lowest allowed first byte */
	uintptr_t max; /* highest allowed last byte */
	uintptr_t cursor; /* 0 at first; where vmap_ranges_take() goes on after -VMAP_EAGAIN */
};

/* The most spare descriptors that one vmap_ranges_take() uses. */
#define VMAP_TAKE_SPARES 2

void vmap_spares_push(struct vmap_spares *spares, struct vmap_extent *extent);
struct vmap_extent *vmap_spares_pop(struct vmap_spares *spares);

void vmap_ranges_init(struct vmap_ranges *ranges, unsigned page_shift);

/*
 * Cut a range for this request out of the free ones. The extent is then the caller's and in no tree. spares holds at least
 * VMAP_TAKE_SPARES descriptors. Without a constraint on the address this takes O(log n).
 *
 * -VMAP_EAGAIN: looked at VMAP_RANGES_BATCH ranges that are long enough and do not fit; the caller lets others have the lock and
 * calls again with the same request. Each such call starts behind the last, so their number is bounded by that of free ranges.
 * -VMAP_ENOSPC: the tree holds no such range.
 */
int vmap_ranges_take(struct vmap_ranges *ranges, struct vmap_request *request, struct vmap_spares *spares,
		     struct vmap_extent **extent);

/* The lowest range in the tree of at least size bytes that ends behind addr; NULL: none. O(log n). */
struct vmap_extent *vmap_ranges_find(struct vmap_ranges *ranges, uintptr_t addr, size_t size);

/* Make this range free; its descriptor goes with it. Up to two that coalescing leaves over go to spares. O(log n). */
void vmap_ranges_give(struct vmap_ranges *ranges, struct vmap_extent *extent, struct vmap_spares *spares);

/* Give the lowest address in the extent that the request allows. false: it does not fit. */
bool vmap_range_fits(const struct vmap_extent *extent, const struct vmap_request *request, uintptr_t *addr);

/* Take the one range that is left where everything is free. */
struct vmap_extent *vmap_ranges_whole(struct vmap_ranges *ranges);

#endif
