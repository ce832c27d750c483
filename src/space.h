/* SPDX-License-Identifier: MIT */
#ifndef VMAP_SPACE_PRIVATE_H
#define VMAP_SPACE_PRIVATE_H

#include <vmap/map.h>
#include "area.h"
#include "entry.h"
#include "pool.h"
#include "ram.h"

/* As memcpy(), which compilers call on their own: a freestanding embedder has it. */
#define vmap_copy __builtin_memcpy

/* Descriptors that a space keeps for the next areas; what coalescing leaves over beyond them is given back to the host. */
#define VMAP_SPARES_KEPT 16

/* How many of those are given back after one hold of the lock. */
#define VMAP_SPARES_BATCH 32

/* Areas that a shard finds by address without a look at the tree; a power of two. */
#define VMAP_RECENT 256

/*
 * What the areas of one CPU need besides the tree. Guarded by the shard's own lock; where the host has none, by the space's.
 * Each area in the tree belongs to a shard, whose lock guards its state too. Order: the space's lock, then shards' by rising number.
 */
struct vmap_shard {
	struct vmap_pools pools; /* free areas that stay in the tree */
	struct vmap_extent *lazy_first; /* areas that wait for a flush, by rising seq */
	struct vmap_extent *lazy_last;
	uint64_t lazy_seq; /* seq of the area that began to wait last */
	/* Changed without the lock: flushes that have begun << 32, + base pages, of areas and short-lived maps, that wait for the next. */
	uint64_t clock;
	/* How many may wait there before the shard looks whether the budget of all is used up; 0: each unmap flushes. Read without a lock. */
	uint32_t limit;
	struct vmap_area *recent[VMAP_RECENT]; /* areas of this shard, by hash of where they begin; NULL or in the tree */
	struct vmap_ram_shard ram;
	struct vmap_stats stats; /* what was counted here, but areas: may be less than 0, the sum of all shards is not */
};

struct vmap_space {
	const struct vmap_host *host;
	uintptr_t base;
	size_t size;
	size_t lazy_max, quarantine_max;
	uint32_t budget; /* lazy_max in base pages */
	unsigned shards; /* at least 1 */
	/* Allocations that found nothing and look again: meanwhile pools take nothing, unmaps flush at once. Changed under the lock. */
	unsigned starved;

	/* What follows is guarded by the host's lock. */
	struct vmap_ranges ranges;
	struct vmap_tree areas; /* all areas but free ranges; also those in pools, and those that are reserved */
	struct vmap_spares spares;
	struct vmap_ram ram;
	uint64_t generation; /* of the area that began last; changed without a lock */
	struct vmap_extent *quarantine_first; /* areas that are kept out of use, in the order of their flushes */
	struct vmap_extent *quarantine_last;
	struct vmap_stats stats; /* what is counted under this lock: see struct vmap_shard */

	struct vmap_shard shard[VMAP_SHARDS];
};

/* Take the host's lock; where it says so, with VMAP_TAKE_SPARES spare descriptors at hand (then -VMAP_ENOMEM: not locked). */
unsigned long vmap_space_lock(struct vmap_space *space);
int vmap_space_lock_spares(struct vmap_space *space, unsigned long *saved, bool nowait);

/* Drop the lock, and give a batch of spare descriptors back that are too many; or keep them, where hooks may not be called. */
void vmap_space_unlock(struct vmap_space *space, unsigned long saved);
void vmap_space_unlock_keep(struct vmap_space *space, unsigned long saved);

static inline bool vmap_is_sharded(const struct vmap_space *space)
{
	return VMAP_SHARDS > 1 && space->shards > 1;
}

/* This CPU's shard; and its lock, or that of another, under which nothing else but further shards may be locked. */
static inline struct vmap_shard *vmap_shard_here(struct vmap_space *space)
{
	if (VMAP_SHARDS == 1 || space->shards == 1)
		return &space->shard[0];
	return &space->shard[space->host->cpu(space->host->ctx) % space->shards];
}

static inline unsigned long vmap_shard_lock(struct vmap_space *space, const struct vmap_shard *shard)
{
	const struct vmap_host *host = space->host;

	if (vmap_is_sharded(space))
		return host->lock_shard(host->ctx, (unsigned)(shard - space->shard));
	return host->lock ? host->lock(host->ctx) : 0;
}

static inline void vmap_shard_unlock(struct vmap_space *space, const struct vmap_shard *shard, unsigned long saved)
{
	const struct vmap_host *host = space->host;

	if (vmap_is_sharded(space))
		host->unlock_shard(host->ctx, (unsigned)(shard - space->shard), saved);
	else if (host->unlock)
		host->unlock(host->ctx, saved);
}

/* Which of its shard's current blocks is this CPU's. */
static inline struct vmap_ram_block **vmap_ram_current(struct vmap_space *space)
{
	unsigned cpu = VMAP_SHARDS > 1 && space->host->cpu ? space->host->cpu(space->host->ctx) : 0;

	return &space->shard[VMAP_SHARDS > 1 && space->shards > 1 ? cpu % space->shards : 0].ram.current[cpu % VMAP_SHARDS];
}

/* The same where the space's lock is held. */
static inline unsigned long vmap_shard_enter(struct vmap_space *space, const struct vmap_shard *shard)
{
	return vmap_is_sharded(space) ? vmap_shard_lock(space, shard) : 0;
}

static inline void vmap_shard_leave(struct vmap_space *space, const struct vmap_shard *shard, unsigned long saved)
{
	if (vmap_is_sharded(space))
		vmap_shard_unlock(space, shard, saved);
}

/* What a shard may let wait without a look at the others. */
static inline uint32_t vmap_space_share(const struct vmap_space *space)
{
	return space->budget ? space->budget / space->shards + !(space->budget / space->shards) : 0;
}

/* One more allocation, or one less (-1), starves. */
void vmap_space_starve(struct vmap_space *space, unsigned one);

/* Under any of the locks. It is set before the lock of each shard is taken once more: who does not see it yet comes before that. */
static inline bool vmap_space_is_starved(const struct vmap_space *space)
{
	return __atomic_load_n(&space->starved, __ATOMIC_RELAXED);
}

static inline struct vmap_area **vmap_recent(const struct vmap_space *space, struct vmap_shard *shard, uintptr_t addr)
{
	return &shard->recent[(addr >> space->host->page_shift) % VMAP_RECENT];
}

/*
 * Under the lock: explain addr in an area of the tree, but for what is near. false: the area cannot be seen, as it is in a pool or not
 * yet mapped.
 */
bool vmap_space_look(struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_explanation *why);

/*
 * Under the lock: the area before addr (0) or from addr on (1) that can be seen; its descriptor stays while the lock is held. A batch of
 * neighbours is looked at: false, none of them can be seen, and *addr is where to go on. NULL: there is none.
 */
bool vmap_space_neighbour(const struct vmap_space *space, unsigned side, uintptr_t *addr, struct vmap_area **area);

/* Under the lock and its shard's: put an area whose addresses are free into a pool, or take it apart. Its array may go to *released. */
void vmap_space_give(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array **released);

/*
 * Under no lock, of a reserved area that is not pinned: let the core write its entries from now on. The host has the pin hook. false: it
 * cannot be.
 */
bool vmap_area_pin(const struct vmap_host *host, struct vmap_area *area);

/* Under the lock and its shard's: the area is about to lose what is outside of [from, to); what is left stays pinned, if it lies in a row. */
void vmap_area_cut_pins(struct vmap_space *space, struct vmap_area *area, uintptr_t from, uintptr_t to);

/* Under the lock and its shard's: the core does not write the area's entries any more. */
void vmap_area_unpin(struct vmap_space *space, struct vmap_area *area);

/* Take away what the first n base pages of a pinned area show. */
static inline void vmap_area_hide(const struct vmap_area *area, size_t n)
{
	size_t run = n < area->split ? n : area->split;

	for (uint64_t *entries = area->entries; run; entries = area->behind) {
		vmap_entries_hide(entries, run);
		n -= run;
		run = n;
	}
}

/* Under no lock: give page arrays back, with the references that they hold. */
void vmap_space_release(const struct vmap_host *host, struct vmap_page_array *released);

/* Under no lock: the live area, or part, that covers [addr, addr + size) with mapped bytes, which nobody is changing; it becomes busy. */
int vmap_space_claim_part(struct vmap_space *space, uintptr_t addr, size_t size, struct vmap_area **area);

/* Let others change it again; under the lock, and its shard's if the area is no tile of a sparse one; or under none. */
void vmap_area_unclaim(struct vmap_area *area);
void vmap_space_unclaim(struct vmap_space *space, struct vmap_area *area);

/* Under no lock: flush one range now, and count it. */
void vmap_space_flush(struct vmap_space *space, struct vmap_range range);

/* What time it is for the host. */
static inline uint64_t vmap_space_now(const struct vmap_space *space)
{
	return space->host->now ? space->host->now(space->host->ctx) : 0;
}

/* Move what the pools hold into the tree of free ranges. Where starved is set, or nobody else uses the space, they are empty then. */
void vmap_space_drain_pools(struct vmap_space *space, bool nowait);

/* Under no lock: add up what all locks guard; and whether anything waits for a flush. */
void vmap_space_sum(struct vmap_space *space, struct vmap_stats *stats);
bool vmap_space_has_lazy(struct vmap_space *space);

/*
 * Under the lock and its shard's: what the listing says of an area; of a tile: of the sparse area. And what is said of it at one address.
 */
struct vmap_area_info vmap_area_info_of(const struct vmap_area *area);
struct vmap_area_info vmap_area_info_at(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr);

/* Under the lock that guards stats: count an area that was reserved, that was unmapped, whose range goes back. */
static inline void vmap_count_reserved(struct vmap_stats *stats, const struct vmap_area *area)
{
	stats->maps++;
	stats->mapped += area->size;
	stats->guards += vmap_area_guard(area);
	stats->pages_held += area->held;
}

static inline void vmap_count_unreserved(struct vmap_stats *stats, const struct vmap_area *area)
{
	stats->maps--;
	stats->mapped -= area->size;
	stats->guards -= vmap_area_guard(area);
	stats->pages_held -= area->held;
}

static inline void vmap_count_unmapped(struct vmap_stats *stats, const struct vmap_area *area)
{
	stats->mapped -= area->size;
	stats->guards -= vmap_area_guard(area);
	stats->lazy_areas++;
	stats->lazy += area->extent.size;
}

static inline void vmap_count_flushed(struct vmap_stats *stats, const struct vmap_area *area)
{
	stats->lazy_areas--;
	stats->lazy -= area->extent.size;
	stats->pages_held -= area->held;
}

/* Under no lock. */
void vmap_count_flush(struct vmap_space *space);

#endif
