/* SPDX-License-Identifier: MIT */
#ifndef VMAP_TILE_H
#define VMAP_TILE_H

#include "space.h"

/*
 * What the tiles of a sparse area have in common. It lies in the memory of a struct vmap_area, so that the last flush can leave it among the
 * spares, under the lock.
 */
struct vmap_sparse {
	struct vmap_extent extent; /* the addresses, guard counted */
	size_t size; /* without guard */
	size_t holes; /* bytes of tiles where nothing is mapped, without guard */
	size_t pages; /* entries of the page arrays of parts that are mapped */
	const void *unmapped_by;
	uint64_t unmapped_at, generation;
	const char *tag;
	unsigned flags, prot;
	unsigned changing; /* calls that are at work in it */
	bool ending; /* goes with its last part */
};

/* Where the area begins that this is, or, of a sparse one, a tile of. */
static inline uintptr_t vmap_area_begin(const struct vmap_area *area)
{
	return area->sparse ? area->sparse->extent.addr : area->extent.addr;
}

/* Whether it was unmapped: as a whole, not a part of it. */
static inline bool vmap_area_is_over(const struct vmap_area *area)
{
	unsigned state = vmap_area_state(area);

	return area->sparse ? area->sparse->ending : state == VMAP_STATE_LAZY || state == VMAP_STATE_QUARANTINED;
}

_Static_assert(sizeof(struct vmap_sparse) <= sizeof(struct vmap_area), "a sparse area's owner fits into a descriptor");

/* Everything here is called under the lock. */

/*
 * The idle hole that holds [at, at + size). -VMAP_ENOENT: no live sparse area. -VMAP_EFAULT: it ends before that does. -VMAP_EEXIST,
 * -VMAP_EBUSY: something is, or is being, mapped there. -VMAP_EAGAIN: something waits for its flush there.
 */
int vmap_tile_hole(const struct vmap_space *space, uintptr_t at, size_t size, struct vmap_area **hole);

/* Cut a tile in two at addr, inside of it; takes a spare descriptor. Gives the right one, which is as the left one but for the addresses. */
struct vmap_area *vmap_tile_cut(struct vmap_space *space, struct vmap_area *tile, uintptr_t addr);

/* Cut [at, at + size) out of a hole that holds it; takes up to two spare descriptors. */
struct vmap_area *vmap_tile_carve(struct vmap_space *space, struct vmap_area *hole, uintptr_t at, size_t size);

/* Melt a hole with those that it touches, but for busy ones. */
void vmap_tile_melt(struct vmap_space *space, struct vmap_area *tile);

/* A hole becomes a mapped part, a lazy one (without: it was never mapped); a mapped part a lazy one. Counted. */
void vmap_tile_mapped(struct vmap_space *space, struct vmap_area *tile);
void vmap_tile_lazy(struct vmap_space *space, struct vmap_area *tile);

/*
 * A lazy part was flushed, and counted as such: it becomes a hole. Gives the one tile that is left where this was the last thing that kept
 * a sparse area from its end; it is an area as any other then.
 */
struct vmap_area *vmap_tile_flushed(struct vmap_space *space, struct vmap_area *tile);

/*
 * Nothing can be mapped in the area any more; and back again. What vmap_tile_flushed() gives, for the caller who was the last one at work
 * in it.
 */
void vmap_sparse_ending(struct vmap_space *space, struct vmap_sparse *sparse);
void vmap_sparse_not_ending(struct vmap_space *space, struct vmap_sparse *sparse);
struct vmap_area *vmap_sparse_ended(struct vmap_space *space, struct vmap_sparse *sparse);

/* What is said of the sparse area around a tile, looked at in this tile; and of the area as a whole. */
struct vmap_area_info vmap_sparse_info(const struct vmap_area *tile);
struct vmap_area_info vmap_sparse_listed(const struct vmap_sparse *sparse);

#endif
