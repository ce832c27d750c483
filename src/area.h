/* SPDX-License-Identifier: MIT */
#ifndef VMAP_AREA_H
#define VMAP_AREA_H

#include <vmap/space.h>
#include "pages.h"
#include "range.h"

/* States of a descriptor besides the public ones. Of VMAP_STATE_FREE is one in a pool; of RESERVED, one that is not yet mapped. */
#define VMAP_STATE_RESERVED 0x100

struct vmap_shard;

/* One descriptor serves an address range all its life: free (only extent counts, or in a pool), reserved, mapped, lazy, free. */
struct vmap_area {
	struct vmap_extent extent; /* the addresses, guard counted */
	size_t size; /* mapped bytes */
	struct vmap_page_array *pages; /* NULL: frames without pages */
	struct vmap_page_array *kept; /* memory for a page array, for the next area at these addresses; may be pages */
	size_t held; /* references that the area holds */
	uint64_t *entries; /* its table entries, pinned; NULL: they are not */
	uint64_t *behind; /* those of the pages from split on, where not all lie in a row */
	size_t split; /* pages */
	bool unpinnable; /* they cannot be */
	struct vmap_shard *shard; /* whose lock guards what can change; set while the area is in the tree */
	uint64_t seq; /* which unmapping this was, in the order in which areas began to wait for a flush */
	uint64_t generation; /* counted on with each area that is made; 0: a block, or it was never seen */
	const void *unmapped_by; /* where the unmap was called from */
	uint64_t unmapped_at; /* and when: the host's now */
	const char *tag;
	struct vmap_ram_block *ram; /* this is a block of short-lived maps; NULL: it is not */
	struct vmap_sparse *sparse; /* this is a tile of a sparse area; NULL: it is not */
	unsigned flags; /* VMAP_... as the caller gave them */
	unsigned prot;
	unsigned
		state; /* VMAP_STATE_MAPPED, _LAZY, _QUARANTINED, _FREE, _RESERVED; of a block VMAP_STATE_RAM, of a tile also _HOLE */
	bool allocated; /* made by vmap_alloc() */
	bool uneven; /* vmap_protect() has changed a part of it */
	bool busy; /* a thread is changing it, without the lock: nobody else may, nor unmap it */
	unsigned replacing; /* threads that replace entries of its array: nobody may change it otherwise, nor unmap it */
};

/* What became mapped is published by this one store, without a lock: who reads it sees all that was written before. */
static inline unsigned vmap_area_state(const struct vmap_area *area)
{
	return __atomic_load_n(&area->state, __ATOMIC_ACQUIRE);
}

static inline void vmap_area_set_state(struct vmap_area *area, unsigned state)
{
	__atomic_store_n(&area->state, state, __ATOMIC_RELEASE);
}

/* Whether an area that is in the tree can be seen: it is not in a pool, and was mapped. */
static inline bool vmap_area_is_seen(const struct vmap_area *area)
{
	return vmap_area_state(area) & 0xff;
}

/* The areas of a space by address; they do not overlap. All O(log n). */
void vmap_areas_insert(struct vmap_tree *areas, struct vmap_area *area);
void vmap_areas_remove(struct vmap_tree *areas, struct vmap_area *area);

/* The area that covers addr, its guard included; NULL: none. */
struct vmap_area *vmap_areas_at(const struct vmap_tree *areas, uintptr_t addr);

/* The last area that begins below addr; NULL: none. */
struct vmap_area *vmap_areas_below(const struct vmap_tree *areas, uintptr_t addr);

/* The first area that begins at addr or behind it; NULL: none. */
struct vmap_area *vmap_areas_from(const struct vmap_tree *areas, uintptr_t addr);

static inline struct vmap_area *vmap_area_of(struct vmap_extent *extent)
{
	return extent ? (struct vmap_area *)(void *)extent : NULL;
}

static inline size_t vmap_area_guard(const struct vmap_area *area)
{
	return area->extent.size - area->size;
}

#endif
