// SPDX-License-Identifier: MIT
/*
 * Theory: the life of a sparse area and of its parts; what a tile is stands in tile.c.
 *
 * Mapping a part cuts it out of a hole and marks it busy: still a hole for everybody who looks, but nobody else's. It becomes a part when
 * its pages are mapped, and melts back into the hole if they could not be. If something waits for its flush there the queue is purged
 * first, as the address must not be used again before.
 *
 * Unmapping a range works on a list of parts that were all claimed before anything is changed (parts.c), so that it can be refused as a whole. At its
 * ends parts may have to be cut. What that needs (a page array for the right piece, the host's consent) is prepared for both ends first; the cut
 * itself cannot fail. Then each part goes the way of an area: marked lazy, unmapped, queued. Parts that touch are unmapped with one call of
 * the hook where the host takes several at once.
 *
 * Ending an area is the same for all that is mapped in it, after everybody else was shut out.
 *
 * Locks: the space's, for batches of VMAP_PURGE_BATCH tiles; no hook under it. Cost: mapping a part, two holds; unmapping, three and one
 * more where the lists are long; a page array a part.
 */
#include "sparse.h"
#include "map.h"
#include "parts.h"
#include "purge.h"

#define PART_FLAGS (VMAP_BORROW | VMAP_PUT_PAGES | VMAP_NOWAIT)

/* Reserving */

int vmap_sparse_make(struct vmap_space *space, struct vmap_sparse **sparse, bool nowait)
{
	*sparse = vmap_meta_alloc(space->host, sizeof(struct vmap_area), nowait);
	return *sparse ? 0 : -VMAP_ENOMEM;
}

void vmap_sparse_unmake(struct vmap_space *space, struct vmap_sparse *sparse)
{
	space->host->meta_free(space->host->ctx, sparse, sizeof(struct vmap_area));
}

void vmap_sparse_begin(struct vmap_space *space, struct vmap_area *hole, struct vmap_sparse *sparse)
{
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, hole->shard);
	struct vmap_area **recent = vmap_recent(space, hole->shard, hole->extent.addr);
	struct vmap_page_array *kept = hole->kept;

	/* Its tiles are not found by shards, and their entries are written by hooks. */
	if (*recent == hole)
		*recent = NULL;
	vmap_area_unpin(space, hole);
	hole->unpinnable = true;
	hole->kept = NULL;
	*sparse = (struct vmap_sparse){
		.extent = hole->extent,
		.size = hole->size,
		.holes = hole->size,
		.tag = hole->tag,
		.generation = hole->generation,
		.flags = hole->flags,
		.prot = hole->prot,
	};
	hole->sparse = sparse;
	hole->unmapped_by = NULL;
	hole->unmapped_at = 0;
	vmap_area_set_state(hole, VMAP_STATE_HOLE);
	space->stats.mapped -= hole->size;
	space->stats.holes += hole->size;
	vmap_shard_leave(space, hole->shard, entered);
	vmap_space_unlock_keep(space, saved);
	if (kept)
		vmap_page_array_free(space->host, kept);
}

int vmap_sparse(struct vmap_space *space, size_t size, const struct vmap_options *options, void **addr)
{
	unsigned shift = space->host->page_shift;
	struct vmap_sparse *sparse;
	struct vmap_options o;
	struct vmap_area *hole;
	int err;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!size || vmap_options_resolve(space, options, &o) || o.flags & (VMAP_BORROW | VMAP_PUT_PAGES))
		return -VMAP_EINVAL;
	err = vmap_size_of(space, (size >> shift) + !!(size & (((size_t)1 << shift) - 1)), o.guard, &size);
	if (!err)
		err = vmap_sparse_make(space, &sparse, o.flags & VMAP_NOWAIT);
	if (err)
		return err;
	err = vmap_area_reserve(space, &o, size, 0, &hole);
	if (err) {
		vmap_sparse_unmake(space, sparse);
		return err;
	}
	*addr = (void *)hole->extent.addr;
	vmap_sparse_begin(space, hole, sparse);
	return 0;
}

/* Mapping */

/* Cut model's size out of the hole at addr, and fill it in. */
static int take_hole(struct vmap_space *space, uintptr_t at, const struct vmap_area *model, struct vmap_area **part)
{
	struct vmap_area *hole;
	unsigned long saved;
	int err = vmap_space_lock_spares(space, &saved, model->flags & VMAP_NOWAIT);

	if (err)
		return err;
	err = vmap_tile_hole(space, at, model->size, &hole);
	if (!err) {
		hole = vmap_tile_carve(space, hole, at, model->size);
		hole->sparse->changing++;
		hole->busy = true;
		hole->pages = model->pages;
		hole->prot = model->prot ? model->prot : hole->sparse->prot;
		hole->flags = model->flags | (hole->sparse->flags & VMAP_SYNC);
		*part = hole;
	}
	vmap_space_unlock_keep(space, saved);
	return err;
}

/* The same, purging what waits for its flush there. */
static int take_purged(struct vmap_space *space, uintptr_t at, const struct vmap_area *model, struct vmap_area **part)
{
	int err = take_hole(space, at, model, part);

	if (err != -VMAP_EAGAIN || model->flags & VMAP_NOWAIT)
		return err;
	vmap_purge(space);
	err = take_hole(space, at, model, part);
	/* Still waiting: its unmapping has not returned yet. */
	return err == -VMAP_EAGAIN ? -VMAP_EBUSY : err;
}

/* The part's pages are mapped. */
static void publish(struct vmap_space *space, struct vmap_area *part)
{
	unsigned long saved = vmap_space_lock(space);

	vmap_tile_mapped(space, part);
	vmap_area_unclaim(part);
	vmap_space_unlock_keep(space, saved);
}

/* They are not: let it be a hole again. */
static void withdraw(struct vmap_space *space, struct vmap_area *part)
{
	unsigned long saved = vmap_space_lock(space);

	part->pages = NULL;
	part->flags = part->sparse->flags;
	part->prot = part->sparse->prot;
	vmap_area_unclaim(part);
	vmap_tile_melt(space, part);
	vmap_space_unlock(space, saved);
}

/* They are not, and nothing may be flushed now: what was shown for a moment waits, with references of its own. */
static void abandon(struct vmap_space *space, struct vmap_area *part)
{
	unsigned long saved;

	if (part->flags & VMAP_PUT_PAGES)
		space->host->page_get(space->host->ctx, part->pages->pages, part->pages->n);
	saved = vmap_space_lock(space);
	vmap_tile_mapped(space, part);
	vmap_tile_lazy(space, part);
	vmap_area_unclaim(part);
	vmap_purge_queue(space, part);
	vmap_purge_unlock(space, saved, false, true);
}

/* Map model's pages, or frames. On failure the array is still the caller's, or model->pages is NULL. */
static int map_part(struct vmap_space *space, uintptr_t at, struct vmap_area *model, const uint64_t *frames)
{
	bool get = model->pages && !(model->flags & (VMAP_BORROW | VMAP_PUT_PAGES));
	const struct vmap_host *host = space->host;
	struct vmap_area *part;
	int err = take_purged(space, at, model, &part);

	if (err)
		return err;
	if (get)
		host->page_get(host->ctx, model->pages->pages, model->pages->n);
	err = vmap_area_call_map(host, part, frames);
	if (!err) {
		publish(space, part);
	} else if (model->flags & VMAP_NOWAIT) {
		model->pages = NULL;
		abandon(space, part);
	} else {
		vmap_space_flush(space, (struct vmap_range){.addr = at, .size = model->size});
		if (get)
			host->page_put(host->ctx, model->pages->pages, model->pages->n);
		withdraw(space, part);
	}
	return err;
}

/* Check what every mapping of a part is given, and fill in model's flags and protection. */
static int part_model(const struct vmap_space *space, uintptr_t at, unsigned flags, unsigned prot, struct vmap_area *model)
{
	struct vmap_options o = {.flags = flags, .prot = prot};

	if (flags & ~PART_FLAGS || vmap_options_resolve(space, &o, &o) || at & (((uintptr_t)1 << space->host->page_shift) - 1))
		return -VMAP_EINVAL;
	*model = (struct vmap_area){.flags = flags, .prot = prot ? o.prot : 0};
	return 0;
}

int vmap_sparse_map(struct vmap_space *space, const void *at, struct vmap_page *const *pages, size_t n, unsigned flags,
		    unsigned prot)
{
	struct vmap_page_array *array;
	struct vmap_area model;
	size_t base_pages;
	bool mixed;
	int err;

	if (!pages || !n || part_model(space, (uintptr_t)at, flags, prot, &model))
		return -VMAP_EINVAL;
	err = vmap_pages_survey(space, pages, n, &base_pages, &mixed);
	if (err)
		return err;
	model.size = base_pages << space->host->page_shift;
	/* Larger than any area, and maybe than any array. */
	if (model.size > space->size)
		return -VMAP_EFAULT;
	array = vmap_page_array_make(space->host, n, mixed, flags & VMAP_NOWAIT);
	if (!array)
		return -VMAP_ENOMEM;
	for (size_t i = 0; i < n; i++)
		array->pages[i] = pages[i];
	vmap_page_array_index(array);
	array->held = !(flags & VMAP_BORROW);
	model.pages = array;
	err = map_part(space, (uintptr_t)at, &model, NULL);
	if (err && model.pages)
		vmap_page_array_free(space->host, array);
	return err;
}

int vmap_sparse_map_pfn(struct vmap_space *space, const void *at, const uint64_t *frames, size_t n, unsigned flags, unsigned prot)
{
	struct vmap_area model;
	int err;

	if (!frames || !n || !space->host->map_pfn || flags & VMAP_PUT_PAGES ||
	    part_model(space, (uintptr_t)at, flags, prot, &model))
		return -VMAP_EINVAL;
	err = vmap_size_of(space, n, 0, &model.size);
	/* More than the space has is more than any area has. */
	return err ? (err == -VMAP_ENOSPC ? -VMAP_EFAULT : err) : map_part(space, (uintptr_t)at, &model, frames);
}

/* Unmapping */

/* The entry of the array that begins at this base page; -VMAP_EINVAL: none does. */
static int entry_at(const struct vmap_page_array *array, size_t number, size_t *entry)
{
	size_t within;

	*entry = vmap_page_array_find(array, number, &within);
	return within ? -VMAP_EINVAL : 0;
}

/* What it takes to cut a part at an address, and what comes of it. */
struct cut {
	struct vmap_area *part; /* NULL: nothing to be cut */
	uintptr_t at;
	size_t first; /* entry of the page array at which the right piece begins */
	struct vmap_page_array *right; /* of that piece; NULL: frames */
};

/* Make the page array of the right piece, which ends at end. */
static int prepare_cut(struct vmap_space *space, struct cut *cut, uintptr_t end, bool nowait)
{
	const struct vmap_page_array *array = cut->part->pages;
	unsigned shift = space->host->page_shift;
	size_t last;
	int err;

	if (!array)
		return 0;
	last = array->n;
	err = entry_at(array, (cut->at - cut->part->extent.addr) >> shift, &cut->first);
	if (!err && end < vmap_part_end(cut->part))
		err = entry_at(array, (end - cut->part->extent.addr) >> shift, &last);
	if (err)
		return err;
	cut->right = vmap_page_array_make(space->host, last - cut->first, array->starts, nowait);
	if (!cut->right)
		return -VMAP_ENOMEM;
	for (size_t i = cut->first; i < last; i++)
		cut->right->pages[i - cut->first] = array->pages[i];
	vmap_page_array_index(cut->right);
	cut->right->held = array->held;
	return 0;
}

/* Ask the host, with the descriptors in hand that the cuts take: after this they cannot fail. The lock is held on success. */
static int allow_cuts(struct vmap_space *space, const uintptr_t *at, size_t n, bool nowait, unsigned long *saved)
{
	struct vmap_extent *spare[2];
	int err = vmap_space_lock_spares(space, saved, nowait);

	if (err)
		return err;
	if (!space->host->cut)
		return 0;
	for (size_t i = 0; i < n; i++)
		spare[i] = vmap_spares_pop(&space->spares);
	vmap_space_unlock_keep(space, *saved);
	err = space->host->cut(space->host->ctx, at, n);
	*saved = vmap_space_lock(space);
	for (size_t i = 0; i < n; i++)
		vmap_spares_push(&space->spares, spare[i]);
	if (err)
		vmap_space_unlock(space, *saved);
	return err;
}

/* Under the lock, with a spare descriptor. */
static struct vmap_area *cut_part(struct vmap_space *space, const struct cut *cut)
{
	struct vmap_area *right = vmap_tile_cut(space, cut->part, cut->at);

	right->pages = cut->right;
	if (cut->right)
		cut->part->pages->n = cut->first;
	return right;
}

/* Under the lock: let the parts end where the range ends. */
static void cut_parts(struct vmap_space *space, struct vmap_parts *parts, const struct cut *left, const struct cut *right)
{
	struct vmap_extent *inside;

	if (right->part)
		cut_part(space, right)->busy = false;
	if (left->part) {
		inside = &cut_part(space, left)->extent;
		inside->next = parts->first->next;
		left->part->busy = false;
		if (parts->last == parts->first)
			parts->last = inside;
		parts->first = inside;
	}
}

/* Cut those parts that reach over an end of the range. On failure nothing has changed. */
static int cut_ends(struct vmap_space *space, struct vmap_parts *parts)
{
	struct vmap_area *first = vmap_area_of(parts->first), *last = vmap_area_of(parts->last);
	struct cut left = {.part = first->extent.addr < parts->start ? first : NULL, .at = parts->start};
	struct cut right = {.part = vmap_part_end(last) > parts->end ? last : NULL, .at = parts->end};
	const uintptr_t at[] = {left.part ? left.at : right.at, right.at};
	size_t n = !!left.part + !!right.part;
	unsigned long saved;
	int err = 0;

	if (!n)
		return 0;
	if (!space->host->parts)
		return -VMAP_EINVAL;
	if (parts->nowait && space->host->cut)
		return -VMAP_EAGAIN;
	if (right.part)
		err = prepare_cut(space, &right, vmap_part_end(last), parts->nowait);
	if (!err && left.part)
		err = prepare_cut(space, &left, vmap_part_end(first) < parts->end ? vmap_part_end(first) : parts->end,
				  parts->nowait);
	if (!err)
		err = allow_cuts(space, at, n, parts->nowait, &saved);
	if (err) {
		if (right.right)
			vmap_page_array_free(space->host, right.right);
		if (left.right)
			vmap_page_array_free(space->host, left.right);
		return err;
	}
	cut_parts(space, parts, &left, &right);
	vmap_space_unlock_keep(space, saved);
	return 0;
}

/* Under the lock: mark a batch of the parts as unmapped. Gives how many there are. */
static unsigned mark_batch(struct vmap_space *space, const struct vmap_parts *parts)
{
	struct vmap_extent *extent = parts->first;
	struct vmap_area *part;
	unsigned n = 0;

	for (; extent && n < VMAP_PURGE_BATCH; extent = extent->next, n++) {
		part = vmap_area_of(extent);
		part->unmapped_by = parts->caller;
		part->unmapped_at = parts->now;
		part->busy = false;
		vmap_tile_lazy(space, part);
	}
	return n;
}

/* Call the hook for the next n parts, for those that touch at once if it takes that. */
static void unmap_batch(const struct vmap_host *host, const struct vmap_parts *parts, unsigned n)
{
	const struct vmap_extent *extent = parts->first;
	uintptr_t addr;
	size_t size;

	while (n) {
		addr = extent->addr;
		for (size = 0; n && extent->addr == addr + size && (host->parts || !size); n--, extent = extent->next)
			size += ((const struct vmap_area *)(const void *)extent)->size;
		host->unmap(host->ctx, addr, size);
	}
}

/*
 * Unmap and queue all parts. With the last one goes the caller's stay in the area, and the area if that was all that kept it: gives the tile
 * that is left then. The lock is held on return.
 */
static struct vmap_area *end_parts(struct vmap_space *space, struct vmap_parts *parts, unsigned long *saved)
{
	struct vmap_extent *next;
	unsigned n;

	*saved = vmap_space_lock(space);
	while (parts->first) {
		n = mark_batch(space, parts);
		vmap_space_unlock_keep(space, *saved);
		unmap_batch(space->host, parts, n);
		*saved = vmap_space_lock(space);
		for (; n; n--, parts->first = next) {
			next = parts->first->next;
			vmap_purge_queue(space, vmap_area_of(parts->first));
		}
	}
	parts->sparse->changing--;
	return vmap_sparse_ended(space, parts->sparse);
}

static int unmap_range(struct vmap_space *space, uintptr_t addr, size_t size, bool nowait, const void *caller)
{
	struct vmap_parts parts = {.nowait = nowait, .caller = caller, .now = vmap_space_now(space)};
	unsigned long saved;
	bool now;
	int err;

	if (!size || (addr | size) & (((size_t)1 << space->host->page_shift) - 1))
		return -VMAP_EINVAL;
	err = vmap_parts_enter(space, addr, size, &parts);
	if (err)
		return err;
	err = vmap_parts_claim(space, &parts);
	if (!err)
		err = parts.first ? cut_ends(space, &parts) : -VMAP_EFAULT;
	if (err) {
		vmap_parts_release(space, &parts);
		return err;
	}
	now = parts.sparse->flags & VMAP_SYNC;
	end_parts(space, &parts, &saved);
	vmap_purge_unlock(space, saved, now || vmap_purge_at_once(space), nowait);
	return 0;
}

int vmap_sparse_unmap(struct vmap_space *space, const void *at, size_t size)
{
	return unmap_range(space, (uintptr_t)at, size, false, __builtin_return_address(0));
}

int vmap_sparse_unmap_nowait(struct vmap_space *space, const void *at, size_t size)
{
	return unmap_range(space, (uintptr_t)at, size, true, __builtin_return_address(0));
}

/* Ending */

int vmap_sparse_shut(struct vmap_space *space, uintptr_t addr, const void *caller)
{
	uint64_t now = vmap_space_now(space);
	unsigned long saved = vmap_space_lock(space);
	struct vmap_area *tile = vmap_areas_at(&space->areas, addr);
	struct vmap_sparse *sparse = tile ? tile->sparse : NULL;
	int err = 0;

	if (!tile || !vmap_area_is_seen(tile) || vmap_area_begin(tile) != addr)
		err = -VMAP_ENOENT;
	else if (vmap_area_is_over(tile))
		err = -VMAP_EALREADY;
	else if (!sparse)
		err = -VMAP_EINVAL;
	else if (sparse->changing)
		err = -VMAP_EBUSY;
	if (!err) {
		sparse->changing++;
		sparse->unmapped_by = caller;
		sparse->unmapped_at = now;
		vmap_sparse_ending(space, sparse);
	}
	vmap_space_unlock_keep(space, saved);
	return err;
}

void vmap_sparse_reopen(struct vmap_space *space, uintptr_t addr)
{
	unsigned long saved = vmap_space_lock(space);
	struct vmap_sparse *sparse = vmap_areas_at(&space->areas, addr)->sparse;

	sparse->changing--;
	vmap_sparse_not_ending(space, sparse);
	vmap_space_unlock_keep(space, saved);
}

bool vmap_sparse_finish(struct vmap_space *space, uintptr_t addr, bool nowait)
{
	unsigned long saved = vmap_space_lock(space);
	struct vmap_sparse *sparse = vmap_areas_at(&space->areas, addr)->sparse;
	bool sync = sparse->flags & VMAP_SYNC;
	struct vmap_page_array *released = NULL;
	struct vmap_area *last;
	struct vmap_parts parts = {
		.sparse = sparse,
		.start = addr,
		.end = addr + sparse->size,
		.nowait = nowait,
		.caller = sparse->unmapped_by,
		.now = sparse->unmapped_at,
	};

	vmap_space_unlock_keep(space, saved);
	/* Nobody is at work in it: no part is busy. */
	vmap_parts_claim(space, &parts);
	last = end_parts(space, &parts, &saved);
	if (last)
		vmap_purge_free(space, last, &released);
	vmap_space_unlock_keep(space, saved);
	vmap_space_release(space->host, released);
	return sync;
}

static int end_sparse(struct vmap_space *space, uintptr_t addr, bool nowait, const void *caller)
{
	int err = vmap_sparse_shut(space, addr, caller);
	unsigned long saved;
	bool sync;

	if (err)
		return err;
	sync = vmap_sparse_finish(space, addr, nowait);
	saved = vmap_space_lock(space);
	vmap_purge_unlock(space, saved, sync || vmap_purge_at_once(space), nowait);
	return 0;
}

int vmap_sparse_free(struct vmap_space *space, const void *addr)
{
	return end_sparse(space, (uintptr_t)addr, false, __builtin_return_address(0));
}

int vmap_sparse_free_nowait(struct vmap_space *space, const void *addr)
{
	return end_sparse(space, (uintptr_t)addr, true, __builtin_return_address(0));
}
