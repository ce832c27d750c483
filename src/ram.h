/* SPDX-License-Identifier: MIT */
#ifndef VMAP_RAM_PRIVATE_H
#define VMAP_RAM_PRIVATE_H

#include <vmap/ram.h>
#include "area.h"

/* Base pages of a block, and CPUs that can have one of their own. */
#define VMAP_RAM_SLOTS 256
#define VMAP_RAM_SHARDS 8

/* What the slot is at which a map begins. */
enum vmap_ram_state {
	VMAP_RAM_NONE, /* nothing begins here */
	VMAP_RAM_BEGUN, /* not yet mapped */
	VMAP_RAM_LIVE,
	VMAP_RAM_ENDING, /* unmapped, not yet queued */
	VMAP_RAM_QUEUED, /* waits for a flush */
};

/* A map, kept at its first slot. */
struct vmap_ram_map {
	struct vmap_ram_map *next; /* in the queue */
	struct vmap_ram_block *block;
	uint64_t seq; /* as of an area */
	uint16_t slots; /* base pages, guard counted */
	uint8_t size; /* base pages mapped */
	uint8_t n; /* pages */
	uint8_t state; /* enum vmap_ram_state */
	bool held; /* the pages are referenced */
	unsigned prot;
};

/* A link of a list whose members can leave it at any place. */
struct vmap_ram_link {
	struct vmap_ram_block *next, **from; /* from NULL: not in the list */
};

struct vmap_ram_block {
	struct vmap_area *area; /* may have been cut short at both ends */
	uintptr_t base; /* of slot 0 */
	struct vmap_ram_link all, dirty, usable;
	uint64_t free[VMAP_RAM_SLOTS / 64]; /* slots that can be taken, outside of the window */
	unsigned next, end; /* the window: slots that are taken one after the other */
	unsigned first, last; /* slots that the block still has; others are never free */
	unsigned used; /* slots of maps that are not free yet */
	unsigned waiting; /* maps in the queue */
	unsigned low, high; /* slots of those lie in [low, high) */
	bool current; /* some CPU's */
	struct vmap_ram_block *freed; /* among blocks that are being given back */
	struct vmap_ram_map maps[VMAP_RAM_SLOTS];
	struct vmap_page *pages[VMAP_RAM_SLOTS]; /* of a map: from its first slot on */
};

/* All short-lived maps of a space, under its lock. */
struct vmap_ram {
	struct vmap_ram_block *current[VMAP_RAM_SHARDS];
	struct vmap_ram_block *all, *dirty, *usable; /* every block; with maps in the queue; with room, and nobody's */
	struct vmap_ram_map *first, *last; /* maps that wait for a flush, by rising seq */
};

struct vmap_space;

/* Under the lock: name what waits for a flush, at most max ranges. More than max: that is too much to name. */
size_t vmap_ram_dirty(const struct vmap_space *space, struct vmap_range *ranges, size_t max);

/* Complete a batch of the maps up to seq, which were flushed. false: there are no more. */
bool vmap_ram_complete(struct vmap_space *space, uint64_t seq);

/* Give back all addresses that no map uses, but those between maps of one block. For want of memory it may give back less. */
void vmap_ram_trim(struct vmap_space *space, bool nowait);

/* Under the lock: what a block knows about addr. */
struct vmap_area_info vmap_ram_info(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr);
/* Under the lock: the first map that begins at addr or behind it, in this block. */
bool vmap_ram_next(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_area_info *info);
/* Under the lock: as vmap_page_at(). */
int vmap_ram_page_at(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_page **page,
		     size_t *offset);

#endif
