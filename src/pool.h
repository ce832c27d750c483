/* SPDX-License-Identifier: MIT */
#ifndef VMAP_POOL_H
#define VMAP_POOL_H

#include "area.h"

/* Areas of up to this many base pages, guards counted, have a pool of their size. */
#define VMAP_POOL_PAGES 320

/* How many areas of a pool are looked at where the address matters; and how many leave the pools in one hold of the lock. */
#define VMAP_POOL_LOOKS 8
#define VMAP_POOL_BATCH 32

/* Free areas, by size. */
struct vmap_pools {
	struct vmap_extent *first[VMAP_POOL_PAGES]; /* first[i]: areas of i + 1 base pages, last in first out */
	bool used[VMAP_POOL_PAGES]; /* since it was looked at for something to evict */
	size_t hand; /* where that goes on */
	size_t bytes, max; /* in all pools; how many there may be */
	size_t low; /* no pool before this one holds anything */
};

/*
 * Take an area that fits the request out of a pool of exactly its size; NULL: none was found. With an address that is constrained, as
 * the caller says, only a few are looked at.
 */
struct vmap_area *vmap_pool_take(struct vmap_pools *pools, unsigned page_shift, const struct vmap_request *request,
				 bool constrained);

/* Put an area into its pool; false: it is too large, or the pools are full. */
static inline bool vmap_pool_put(struct vmap_pools *pools, unsigned page_shift, struct vmap_area *area)
{
	struct vmap_extent *extent = &area->extent;
	size_t index = (extent->size >> page_shift) - 1;

	if (index >= VMAP_POOL_PAGES || extent->size > pools->max - pools->bytes)
		return false;
	extent->next = pools->first[index];
	pools->first[index] = extent;
	pools->bytes += extent->size;
	if (index < pools->low)
		pools->low = index;
	return true;
}

/* Take the first area of a pool, which there is. */
static inline struct vmap_area *vmap_pool_pop(struct vmap_pools *pools, size_t index)
{
	struct vmap_extent *extent = pools->first[index];

	pools->first[index] = extent->next;
	pools->bytes -= extent->size;
	pools->used[index] = true;
	return vmap_area_of(extent);
}

/*
 * Take an area that nobody has wanted for long, to make room for one of another size; NULL: there is none, what is in the pools is wanted. A pool
 * is asked for once before it has to give.
 */
struct vmap_area *vmap_pool_evict(struct vmap_pools *pools, size_t size, unsigned page_shift);

/* Take any area; NULL: all pools are empty. */
struct vmap_area *vmap_pool_drain(struct vmap_pools *pools);

#endif
