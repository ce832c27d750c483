/* SPDX-License-Identifier: MIT */
#ifndef VMAP_SPACE_PRIVATE_H
#define VMAP_SPACE_PRIVATE_H

#include <vmap/map.h>
#include "area.h"
#include "ram.h"

/* Descriptors that a space keeps for the next areas; what coalescing leaves over beyond them is given back to the host. */
#define VMAP_SPARES_KEPT 16

struct vmap_space {
	const struct vmap_host *host;
	uintptr_t base;
	size_t size;
	size_t lazy_max, quarantine_max;

	/* What follows is guarded by the host's lock. */
	struct vmap_ranges ranges;
	struct vmap_tree areas;
	struct vmap_spares spares;
	struct vmap_extent *lazy_first; /* areas that wait for a flush, by rising seq */
	struct vmap_extent *lazy_last;
	uint64_t lazy_seq; /* seq of the area that began to wait last */
	struct vmap_ram ram;
	struct vmap_extent *quarantine_first; /* areas that are kept out of use, in the order of their flushes */
	struct vmap_extent *quarantine_last;
	size_t lazy_pending; /* bytes of those areas for which nobody has begun to flush */
	struct vmap_stats stats; /* but free and pool_hits, which ranges knows */
};

/* Take the host's lock; where it says so, with VMAP_TAKE_SPARES spare descriptors at hand (then -VMAP_ENOMEM: not locked). */
unsigned long vmap_space_lock(struct vmap_space *space);
int vmap_space_lock_spares(struct vmap_space *space, unsigned long *saved, bool nowait);

/* Drop the lock, and give spare descriptors back that are too many; or keep them, where hooks may not be called. */
void vmap_space_unlock(struct vmap_space *space, unsigned long saved);
void vmap_space_unlock_keep(struct vmap_space *space, unsigned long saved);

/* Under the lock: the live area that covers [addr, addr + size) with mapped bytes, which nobody is changing; it becomes busy. */
int vmap_space_claim_part(struct vmap_space *space, uintptr_t addr, size_t size, struct vmap_area **area);

/* Under the lock: let others change it again. */
void vmap_space_unclaim(struct vmap_area *area);

/* Flush one range now, and count it. */
void vmap_space_flush(struct vmap_space *space, struct vmap_range range);

/* What time it is for the host. */
static inline uint64_t vmap_space_now(const struct vmap_space *space)
{
	return space->host->now ? space->host->now(space->host->ctx) : 0;
}

/* Move what the pools hold into the tree. Where ranges.starved is set, or nobody else uses the space, they are empty then. */
void vmap_space_drain_pools(struct vmap_space *space, bool nowait);

/* Under the lock: what the listing says of an area; of a tile: of the sparse area. And what is said of it at one address. */
struct vmap_area_info vmap_area_info_of(const struct vmap_area *area);
struct vmap_area_info vmap_area_info_at(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr);

/* Under the lock: count an area that was reserved, that was unmapped, whose range goes back. */
void vmap_space_count_reserved(struct vmap_space *space, const struct vmap_area *area);
void vmap_space_count_unreserved(struct vmap_space *space, const struct vmap_area *area);
void vmap_space_count_unmapped(struct vmap_space *space, const struct vmap_area *area);
void vmap_space_count_flushed(struct vmap_space *space, const struct vmap_area *area);

#endif
