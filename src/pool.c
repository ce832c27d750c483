// SPDX-License-Identifier: MIT
/*
 * Theory: areas that are free and stand ready. Most areas are followed by one of the same size. So an area that was flushed keeps its place in
 * the tree of areas, its descriptor and the memory of its page array, and only changes its state; the next area of that size takes
 * them over. No tree changes, and nothing is allocated.
 *
 * There is a pool a size, last in first out, and a limit to what all of them hold: about as much as waits for a flush at a time,
 * since that much becomes free at once and is wanted again. Beyond it areas are taken apart and their ranges coalesce, so that
 * fragmentation stays bounded; where the pools are full, sizes that nobody has asked for of late give way. Before the space is declared full the pools are drained; and while an allocation is at that
 * (starved) nothing enters them. Everything here runs under the lock of the shard that the pools belong to.
 */
#include "pool.h"

struct vmap_area *vmap_pool_take(struct vmap_pools *pools, unsigned page_shift, const struct vmap_request *request,
				 bool constrained)
{
	size_t index = (request->size >> page_shift) - 1;
	struct vmap_extent **link, *extent;
	unsigned looks = VMAP_POOL_LOOKS;
	uintptr_t addr;

	if (index >= VMAP_POOL_PAGES)
		return NULL;
	for (link = &pools->first[index]; constrained && *link && !vmap_range_fits(*link, request, &addr); link = &(*link)->next)
		if (!--looks)
			return NULL;
	extent = *link;
	pools->used[index] = true;
	if (!extent)
		return NULL;
	*link = extent->next;
	pools->bytes -= request->size;
	return vmap_area_of(extent);
}

struct vmap_area *vmap_pool_evict(struct vmap_pools *pools, size_t size, unsigned page_shift)
{
	size_t own = (size >> page_shift) - 1;
	struct vmap_extent *extent;

	for (size_t i = 0; own < VMAP_POOL_PAGES && i < VMAP_POOL_PAGES; i++, pools->hand = (pools->hand + 1) % VMAP_POOL_PAGES) {
		if (!pools->first[pools->hand] || pools->hand == own)
			continue;
		if (!pools->used[pools->hand]) {
			extent = pools->first[pools->hand];
			pools->first[pools->hand] = extent->next;
			pools->bytes -= extent->size;
			return vmap_area_of(extent);
		}
		pools->used[pools->hand] = false;
	}
	return NULL;
}

struct vmap_area *vmap_pool_drain(struct vmap_pools *pools)
{
	struct vmap_extent *extent;

	for (; pools->low < VMAP_POOL_PAGES; pools->low++) {
		extent = pools->first[pools->low];
		if (!extent)
			continue;
		pools->first[pools->low] = extent->next;
		pools->bytes -= extent->size;
		return vmap_area_of(extent);
	}
	return NULL;
}
