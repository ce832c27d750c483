// SPDX-License-Identifier: MIT
/*
 * Theory: a sparse area is a row of tiles.
 *
 * A tile is a descriptor in the tree of areas like that of any other area: a part that is mapped, a part that was unmapped and waits for its
 * flush, or a hole. Together they cover the area's addresses, the last one with the guard. So whatever looks up an address finds the
 * part that it lies in, and what works on an area works on a part; only what speaks of the whole goes on to the owner (struct vmap_sparse), which
 * every tile knows.
 *
 * Mapping cuts a hole in up to three, which takes two descriptors; a flushed part becomes a hole again and melts with the holes that it
 * touches, which gives them back. Holes that touch have always melted, but for one that a thread is just mapping (busy). So giving
 * back needs no memory, as with free ranges.
 *
 * The end: an area that is ending has no live parts, or is about to lose them. Whoever makes the last of it a hole, a flush or the thread that
 * ended it, finds one hole over everything, and that becomes free like any other area.
 *
 * Locks: everything here happens under the space's. Cost: a few descents of the tree.
 */
#include "tile.h"

int vmap_tile_hole(const struct vmap_space *space, uintptr_t at, size_t size, struct vmap_area **hole)
{
	struct vmap_area *tile = vmap_areas_at(&space->areas, at);
	const struct vmap_sparse *sparse = tile ? tile->sparse : NULL;

	if (!sparse || sparse->ending)
		return -VMAP_ENOENT;
	if (at - sparse->extent.addr >= sparse->size || size > sparse->size - (at - sparse->extent.addr))
		return -VMAP_EFAULT;
	if (tile->state == VMAP_STATE_HOLE && !tile->busy) {
		*hole = tile;
		if (tile->size - (at - tile->extent.addr) >= size)
			return 0;
		/* The area goes on, and not with an idle hole. */
		tile = vmap_areas_from(&space->areas, tile->extent.addr + tile->extent.size);
	}
	if (tile->state == VMAP_STATE_LAZY)
		return -VMAP_EAGAIN;
	return tile->state == VMAP_STATE_MAPPED ? -VMAP_EEXIST : -VMAP_EBUSY;
}

struct vmap_area *vmap_tile_cut(struct vmap_space *space, struct vmap_area *tile, uintptr_t addr)
{
	struct vmap_area *right = vmap_area_of(vmap_spares_pop(&space->spares));
	size_t left = addr - tile->extent.addr;

	*right = *tile;
	right->extent.addr = addr;
	right->extent.size -= left;
	right->size -= left;
	tile->extent.size = left;
	tile->size = left;
	vmap_areas_insert(&space->areas, right);
	return right;
}

struct vmap_area *vmap_tile_carve(struct vmap_space *space, struct vmap_area *hole, uintptr_t at, size_t size)
{
	if (at != hole->extent.addr)
		hole = vmap_tile_cut(space, hole, at);
	if (size < hole->size)
		vmap_tile_cut(space, hole, at + size);
	return hole;
}

static bool melts(const struct vmap_area *tile, const struct vmap_area *with)
{
	return with && with->sparse == tile->sparse && with->state == VMAP_STATE_HOLE && !with->busy;
}

static void absorb(struct vmap_space *space, struct vmap_area *left, struct vmap_area *right)
{
	vmap_areas_remove(&space->areas, right);
	left->extent.size += right->extent.size;
	left->size += right->size;
	vmap_spares_push(&space->spares, &right->extent);
}

void vmap_tile_melt(struct vmap_space *space, struct vmap_area *tile)
{
	struct vmap_area *left = vmap_areas_below(&space->areas, tile->extent.addr);
	struct vmap_area *right = vmap_areas_from(&space->areas, tile->extent.addr + tile->extent.size);

	if (melts(tile, right))
		absorb(space, tile, right);
	if (melts(tile, left))
		absorb(space, left, tile);
}

static size_t entries(const struct vmap_area *tile)
{
	return tile->pages ? tile->pages->n : 0;
}

static size_t references(const struct vmap_area *tile)
{
	return tile->pages && tile->pages->held ? tile->pages->n : 0;
}

void vmap_tile_mapped(struct vmap_space *space, struct vmap_area *tile)
{
	tile->state = VMAP_STATE_MAPPED;
	tile->sparse->holes -= tile->size;
	tile->sparse->pages += entries(tile);
	space->stats.holes -= tile->size;
	space->stats.mapped += tile->size;
	space->stats.pages_held += references(tile);
}

void vmap_tile_lazy(struct vmap_space *space, struct vmap_area *tile)
{
	tile->sparse->pages -= entries(tile);
	tile->state = VMAP_STATE_LAZY;
	space->stats.mapped -= tile->size;
	space->stats.guards -= vmap_area_guard(tile);
	space->stats.lazy_areas++;
	space->stats.lazy += tile->extent.size;
}

/* The one tile that is left of an area that is over; NULL: it is not. */
static struct vmap_area *last_tile(struct vmap_space *space, struct vmap_sparse *sparse)
{
	struct vmap_area *tile = vmap_areas_at(&space->areas, sparse->extent.addr);

	if (!sparse->ending || sparse->changing || tile->extent.size != sparse->extent.size || tile->state != VMAP_STATE_HOLE)
		return NULL;
	space->stats.lazy -= tile->extent.size;
	tile->sparse = NULL;
	tile->busy = false;
	tile->unpinnable = false;
	tile->unmapped_by = sparse->unmapped_by;
	tile->unmapped_at = sparse->unmapped_at;
	tile->state = VMAP_STATE_LAZY;
	vmap_spares_push(&space->spares, &sparse->extent);
	return tile;
}

struct vmap_area *vmap_tile_flushed(struct vmap_space *space, struct vmap_area *tile)
{
	struct vmap_sparse *sparse = tile->sparse;

	sparse->holes += tile->size;
	if (sparse->ending) {
		space->stats.lazy += tile->extent.size;
	} else {
		space->stats.holes += tile->size;
		space->stats.guards += vmap_area_guard(tile);
	}
	tile->state = VMAP_STATE_HOLE;
	tile->pages = NULL;
	tile->uneven = false;
	tile->unmapped_by = NULL;
	tile->unmapped_at = 0;
	tile->flags = sparse->flags;
	tile->prot = sparse->prot;
	vmap_tile_melt(space, tile);
	return last_tile(space, sparse);
}

/* The guard, unless a part that is mapped, or waits, has it. */
static size_t guard_of_hole(const struct vmap_space *space, const struct vmap_sparse *sparse)
{
	const struct vmap_area *end = vmap_areas_at(&space->areas, sparse->extent.addr + (sparse->extent.size - 1));

	return end->state == VMAP_STATE_HOLE ? vmap_area_guard(end) : 0;
}

void vmap_sparse_ending(struct vmap_space *space, struct vmap_sparse *sparse)
{
	size_t guard = guard_of_hole(space, sparse);

	sparse->ending = true;
	space->stats.unmaps++;
	space->stats.holes -= sparse->holes;
	space->stats.guards -= guard;
	space->stats.lazy += sparse->holes + guard;
}

void vmap_sparse_not_ending(struct vmap_space *space, struct vmap_sparse *sparse)
{
	size_t guard = guard_of_hole(space, sparse);

	sparse->ending = false;
	space->stats.unmaps--;
	space->stats.holes += sparse->holes;
	space->stats.guards += guard;
	space->stats.lazy -= sparse->holes + guard;
}

struct vmap_area *vmap_sparse_ended(struct vmap_space *space, struct vmap_sparse *sparse)
{
	return last_tile(space, sparse);
}

struct vmap_area_info vmap_sparse_listed(const struct vmap_sparse *sparse)
{
	return (struct vmap_area_info){
		.addr = sparse->extent.addr,
		.size = sparse->size,
		.guard = sparse->extent.size - sparse->size,
		.pages = sparse->pages,
		.flags = sparse->flags,
		.prot = sparse->prot,
		.state = sparse->ending ? VMAP_STATE_LAZY : VMAP_STATE_MAPPED,
		.tag = sparse->tag,
		.generation = sparse->generation,
	};
}

struct vmap_area_info vmap_sparse_info(const struct vmap_area *tile)
{
	struct vmap_area_info info = vmap_sparse_listed(tile->sparse);

	info.prot = tile->prot;
	if (!tile->sparse->ending)
		info.state = tile->state;
	return info;
}
