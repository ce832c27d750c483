/* SPDX-License-Identifier: MIT */
#ifndef VMAP_PURGE_H
#define VMAP_PURGE_H

#include "space.h"

/* How many areas are completed in one hold of the lock. */
#define VMAP_PURGE_BATCH 32

/* What a purge is about to flush. */
struct vmap_flush {
	struct vmap_range ranges[VMAP_FLUSH_RANGES];
	size_t n; /* more than VMAP_FLUSH_RANGES: everything, ranges does not matter */
	uint64_t *seq; /* by shard: up to where in its queue */
	uint32_t *clock; /* and of its short-lived maps: those with a clock up to this one */
};

/*
 * Go on with an area that is marked as unmapped and whose translations the host has taken away: flush it now, or let it wait
 * and purge if too much waits. The area may be gone on return. May sleep.
 */
void vmap_purge_area(struct vmap_space *space, struct vmap_area *area);

/*
 * Under no lock: more waits in the shard than its limit. If more waits in all than the budget and so many base pages of slack, or nothing may
 * wait, purge, or wake who does; where nothing may be flushed (nowait), only wake. May sleep, unless nowait.
 */
void vmap_purge_over(struct vmap_space *space, struct vmap_shard *shard, uint32_t slack, bool nowait);

/* Whether every unmap flushes. */
static inline bool vmap_purge_at_once(const struct vmap_space *space)
{
	return !__atomic_load_n(&space->shard[0].limit, __ATOMIC_RELAXED);
}

/* Under the shard's lock: let the area wait for a flush. true: more waits in the shard than its limit. */
static inline bool vmap_purge_wait(const struct vmap_space *space, struct vmap_area *area)
{
	uint32_t pages = (uint32_t)(area->extent.size >> space->host->page_shift);
	struct vmap_shard *shard = area->shard;

	area->seq = ++shard->lazy_seq;
	vmap_extents_append(&shard->lazy_first, &shard->lazy_last, &area->extent);
	return (uint32_t)__atomic_fetch_add(&shard->clock, pages, __ATOMIC_RELAXED) + pages >
	       __atomic_load_n(&shard->limit, __ATOMIC_RELAXED);
}

/* The same as vmap_purge_area() without ever flushing: let it wait. Under no lock; never sleeps. */
void vmap_purge_later(struct vmap_space *space, struct vmap_area *area);

/*
 * Under the lock: let a part of a sparse area wait for a flush. Then drop the lock, and if the budget is used up, or now says so, purge, or
 * wake who does; where nothing may be flushed (nowait), only wake. What is at once does not wait: then now.
 */
void vmap_purge_queue(struct vmap_space *space, struct vmap_area *area);
void vmap_purge_unlock(struct vmap_space *space, unsigned long saved, bool now, bool nowait);

/* Under the lock: nothing of this area, which was counted out, needs a flush: its addresses become free, or go into quarantine. */
void vmap_purge_free(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array **released);

/* Make all addresses in quarantine free. */
void vmap_quarantine_end(struct vmap_space *space, bool nowait);

#endif
