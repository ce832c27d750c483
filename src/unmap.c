// SPDX-License-Identifier: MIT
/*
 * Theory: the end of an area.
 *
 * It is found among those that this CPU mapped last, under its shard's lock alone, or in the tree, under the space's and its shard's. There it
 * is marked, so that a second unmap is told. Where the core writes the table entries (host.h) they are taken away in the same hold, at most
 * VMAP_POOL_PAGES stores, and the area is queued for its flush: one hold, and nothing is left to do. Otherwise the area is this
 * thread's alone until the unmap hook has returned, and it is queued, or flushed and completed (purge.c).
 *
 * Nothing here needs memory.
 */
#include "purge.h"
#include "tile.h"

/* The locks under which an area was found. */
struct hold {
	struct vmap_shard *shard;
	bool tree; /* the space's as well */
	unsigned long saved, entered;
};

/* Under no lock: find the area that begins at addr in the tree. NULL: there is none, and nothing is locked. */
static struct vmap_area *find_in_tree(struct vmap_space *space, uintptr_t addr, struct hold *hold)
{
	struct vmap_area *area;

	hold->tree = true;
	hold->saved = vmap_space_lock(space);
	area = vmap_areas_at(&space->areas, addr);
	if (!area || area->extent.addr != addr) {
		vmap_space_unlock_keep(space, hold->saved);
		return NULL;
	}
	hold->shard = area->shard;
	hold->entered = vmap_shard_enter(space, hold->shard);
	return area;
}

/* The same, first among the areas that this CPU has mapped. */
static inline struct vmap_area *find(struct vmap_space *space, uintptr_t addr, struct hold *hold)
{
	struct vmap_area *area;

	hold->shard = vmap_shard_here(space);
	hold->tree = false;
	hold->saved = vmap_shard_lock(space, hold->shard);
	area = *vmap_recent(space, hold->shard, addr);
	if (area && area->extent.addr == addr)
		return area;
	vmap_shard_unlock(space, hold->shard, hold->saved);
	return find_in_tree(space, addr, hold);
}

static inline void drop(struct vmap_space *space, const struct hold *hold)
{
	if (!hold->tree) {
		vmap_shard_unlock(space, hold->shard, hold->saved);
		return;
	}
	vmap_shard_leave(space, hold->shard, hold->entered);
	vmap_space_unlock_keep(space, hold->saved);
}

/* Under the area's lock: mark it as unmapped; from here on it is this thread's. */
static inline int claim(struct vmap_area *area, bool allocated, const void *caller, uint64_t now)
{
	if (vmap_area_state(area) != VMAP_STATE_MAPPED || area->sparse) {
		if (!vmap_area_is_seen(area))
			return -VMAP_ENOENT;
		return vmap_area_is_over(area) ? -VMAP_EALREADY : -VMAP_EINVAL;
	}
	if (area->allocated != allocated)
		return -VMAP_EINVAL;
	if (area->busy || area->replacing)
		return -VMAP_EBUSY;
	vmap_area_set_state(area, VMAP_STATE_LAZY);
	area->unmapped_by = caller;
	area->unmapped_at = now;
	area->shard->stats.unmaps++;
	vmap_count_unmapped(&area->shard->stats, area);
	return 0;
}

static int end_area(struct vmap_space *space, const void *addr, bool allocated, bool nowait, const void *caller)
{
	uint64_t now = vmap_space_now(space);
	bool queued = false, over = false;
	struct hold hold;
	struct vmap_area *area = find(space, (uintptr_t)addr, &hold);
	int err;

	if (!area)
		return -VMAP_ENOENT;
	err = claim(area, allocated, caller, now);
	if (!err && area->entries) {
		vmap_area_hide(area, area->size >> space->host->page_shift);
		queued = nowait || !(vmap_purge_at_once(space) || area->flags & VMAP_SYNC);
		over = queued && vmap_purge_wait(space, area);
	}
	drop(space, &hold);
	if (over)
		vmap_purge_over(space, hold.shard, 0, nowait);
	if (err || queued)
		return err;
	if (!area->entries)
		space->host->unmap(space->host->ctx, area->extent.addr, area->size);
	if (nowait)
		vmap_purge_later(space, area);
	else
		vmap_purge_area(space, area);
	return 0;
}

int vmap_unmap(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, false, false, __builtin_return_address(0));
}

int vmap_unmap_by(struct vmap_space *space, const void *addr, const void *caller)
{
	return end_area(space, addr, false, false, caller);
}

int vmap_unmap_nowait(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, false, true, __builtin_return_address(0));
}

int vmap_free(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, true, false, __builtin_return_address(0));
}

int vmap_free_nowait(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, true, true, __builtin_return_address(0));
}
