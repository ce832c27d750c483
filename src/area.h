/* SPDX-License-Identifier: MIT */
#ifndef VMAP_AREA_H
#define VMAP_AREA_H

#include <vmap/space.h>
#include "pages.h"
#include "range.h"

/* One descriptor serves an address range all its life: free (only extent counts), reserved, mapped, lazy, free. */
struct vmap_area {
	struct vmap_extent extent; /* the addresses, guard counted */
	size_t size; /* mapped bytes */
	struct vmap_page_array *pages; /* NULL: frames without pages */
	uint64_t seq; /* which unmapping this was, in the order in which areas began to wait for a flush */
	uint64_t generation; /* how many areas the space had made with this one; 0: a block, or it was never seen */
	const void *unmapped_by; /* where the unmap was called from */
	uint64_t unmapped_at; /* and when: the host's now */
	const char *tag;
	unsigned flags; /* VMAP_... as the caller gave them */
	unsigned prot;
	enum vmap_state
		state; /* VMAP_STATE_MAPPED, _LAZY, _QUARANTINED; of a block VMAP_STATE_RAM; of a tile also VMAP_STATE_HOLE */
	struct vmap_ram_block *ram; /* this is a block of short-lived maps; NULL: it is not */
	struct vmap_sparse *sparse; /* this is a tile of a sparse area; NULL: it is not */
	bool allocated; /* made by vmap_alloc() */
	bool uneven; /* vmap_protect() has changed a part of it */
	bool busy; /* a thread is changing it, without the lock: nobody else may, nor unmap it */
	unsigned
		replacing; /* threads that replace entries of its array: nobody may change it otherwise meanwhile, nor unmap it */
};

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
