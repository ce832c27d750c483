// SPDX-License-Identifier: MIT
/*
 * Theory: a longer or shorter area stands where it stood. The area is busy meanwhile, so nobody else changes or ends it; readers look
 * at what the lock shows them, the old pages or the new.
 *
 * Growing reserves exactly the addresses behind the area's guard. With these the old guard and what follows up to the new one
 * are free of translations; the new pages are mapped there, and only then do both ranges become one. The longer page array is
 * made before; what fails gives back what was taken.
 *
 * Moving maps the same pages, and the new ones behind them, at other addresses, and then the old area goes the way of any that is unmapped. Until
 * the flush both hold each page: a reference of its own is taken for the new area, as CPUs may still see the page at the old
 * address when somebody frees the new one. Nothing of the old area changes before all that can fail has been done.
 *
 * Shrinking unmaps and flushes at once: the new guard takes over addresses that were mapped, and a later flush of the area would not
 * cover them. The descriptor that the freed range needs is taken before anything is changed.
 */
#include "map.h"
#include "purge.h"
#include "tile.h"

/* What an area shall become. */
struct resize {
	size_t base_pages;
	unsigned order; /* of new pages */
	void **addr; /* where to tell the new address; NULL: it must not move */
	struct vmap_options options; /* where it may move to */
	bool same_guard; /* with the guard that it has */
	const void *caller;
};

/* Under the area's lock. */
static int claim_area(struct vmap_area *area)
{
	if (!vmap_area_is_seen(area) || vmap_area_is_over(area))
		return -VMAP_ENOENT;
	if (area->ram || area->sparse || !area->allocated)
		return -VMAP_EINVAL;
	if (area->busy || area->replacing)
		return -VMAP_EBUSY;
	area->busy = true;
	return 0;
}

static int claim(struct vmap_space *space, uintptr_t addr, struct vmap_area **area)
{
	unsigned long saved = vmap_space_lock(space), entered;
	struct vmap_area *found = vmap_areas_at(&space->areas, addr);
	int err = -VMAP_ENOENT;

	if (found && found->extent.addr == addr) {
		entered = vmap_shard_enter(space, found->shard);
		err = claim_area(found);
		vmap_shard_leave(space, found->shard, entered);
	}
	*area = found;
	vmap_space_unlock_keep(space, saved);
	return err;
}

/* Under the lock: a range that was reserved behind the area joins it. Its descriptor goes to the spares. */
static void join(struct vmap_space *space, struct vmap_area *area, struct vmap_area *behind, struct vmap_page_array *array)
{
	unsigned long entered = vmap_shard_enter(space, behind->shard);
	struct vmap_area **recent = vmap_recent(space, behind->shard, behind->extent.addr);
	size_t extra = behind->size;

	if (*recent == behind)
		*recent = NULL;
	vmap_count_unreserved(&behind->shard->stats, behind);
	vmap_area_unpin(space, behind);
	vmap_shard_leave(space, behind->shard, entered);
	vmap_areas_remove(&space->areas, behind);
	vmap_spares_push(&space->spares, &behind->extent);
	entered = vmap_shard_enter(space, area->shard);
	/* What it gains is not pinned. */
	vmap_area_unpin(space, area);
	area->unpinnable = true;
	area->extent.size += extra;
	area->size += extra;
	area->shard->stats.mapped += extra;
	area->shard->stats.pages_held += array->n - area->held;
	area->held = array->n;
	area->pages = array;
	vmap_shard_leave(space, area->shard, entered);
}

/*
 * Map the pages behind entry n of the array at the area's end, and join the range that follows the guard; with nowait only if nothing
 * has to be flushed for that.
 */
static int extend(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array *array, size_t extra, bool nowait)
{
	struct vmap_range added = {.addr = area->extent.addr + area->size, .size = extra};
	uintptr_t end = area->extent.addr + area->extent.size;
	struct vmap_options options = {.align = (size_t)1 << space->host->page_shift,
				       .min = end,
				       .max = end + (extra - 1),
				       .flags = VMAP_NO_GUARD | (nowait ? VMAP_NOWAIT : 0)};
	struct vmap_page_array *kept;
	size_t n = area->pages->n;
	struct vmap_area *behind;
	unsigned long saved;
	int err;

	if (extra > space->size - (end - space->base))
		return -VMAP_ENOSPC;
	err = vmap_area_reserve(space, &options, extra, 0, &behind);
	if (err)
		return err;
	err = space->host->map(space->host->ctx, added.addr, array->pages + n, array->n - n, area->prot);
	if (err) {
		vmap_space_flush(space, added);
		vmap_area_unreserve(space, behind);
		return err;
	}
	kept = behind->kept;
	saved = vmap_space_lock(space);
	join(space, area, behind, array);
	vmap_space_unlock(space, saved);
	if (kept)
		vmap_page_array_free(space->host, kept);
	return 0;
}

/* The area has a successor, which is mapped: end it as if it had been unmapped. */
static void succeed(struct vmap_space *space, struct vmap_area *area, uint64_t now, const void *caller)
{
	struct vmap_shard *shard = area->shard;
	unsigned long saved = vmap_shard_lock(space, shard);

	vmap_area_unclaim(area);
	vmap_area_set_state(area, VMAP_STATE_LAZY);
	area->unmapped_by = caller;
	area->unmapped_at = now;
	shard->stats.unmaps++;
	vmap_count_unmapped(&shard->stats, area);
	vmap_shard_unlock(space, shard, saved);
	space->host->unmap(space->host->ctx, area->extent.addr, area->size);
	vmap_purge_area(space, area);
}

/* Map all pages of the array, those of the area first, somewhere else, and end the area. */
static int move(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array *array, const struct resize *resize)
{
	const struct vmap_page_array *old = area->pages;
	const struct vmap_host *host = space->host;
	struct vmap_options options = resize->options;
	uint64_t now = vmap_space_now(space);
	struct vmap_area *successor;
	int err;

	if (area->uneven)
		return -VMAP_ENOSPC;
	options.flags = area->flags & ~VMAP_NOWAIT;
	options.prot = area->prot;
	options.tag = area->tag;
	err = vmap_area_reserve(space, &options, resize->base_pages << host->page_shift, array->n, &successor);
	if (err)
		return err;
	if (successor->kept)
		vmap_page_array_free(host, successor->kept);
	successor->kept = NULL;
	successor->pages = array;
	successor->allocated = true;
	host->page_get(host->ctx, old->pages, old->n);
	err = vmap_area_call_map(host, successor, NULL);
	if (err) {
		vmap_space_flush(space, (struct vmap_range){.addr = successor->extent.addr, .size = successor->size});
		host->page_put(host->ctx, old->pages, old->n);
		/* The array is the caller's. */
		successor->pages = NULL;
		vmap_area_unreserve(space, successor);
		return err;
	}
	*resize->addr = (void *)successor->extent.addr;
	vmap_area_set_state(successor, VMAP_STATE_MAPPED);
	succeed(space, area, now, resize->caller);
	return 0;
}

static int alloc_pages(struct vmap_space *space, struct vmap_page **pages, size_t base_pages, unsigned order)
{
	int err = vmap_pages_alloc(space->host, pages, base_pages, order, false);

	/* Unmapped areas hold pages until their flush. */
	if (err == -VMAP_ENOMEM) {
		vmap_purge(space);
		err = vmap_pages_alloc(space->host, pages, base_pages, order, false);
	}
	return err;
}

/* An area that has moved is gone: *area is NULL then. */
static int grow(struct vmap_space *space, struct vmap_area **area, const struct resize *resize)
{
	size_t base_pages = resize->base_pages - ((*area)->size >> space->host->page_shift);
	struct vmap_page_array *old = (*area)->pages, *array;
	const struct vmap_host *host = space->host;
	size_t n = vmap_pages_count(base_pages, resize->order);
	int err;

	array = vmap_page_array_make(host, old->n + n, true, false);
	if (!array)
		return -VMAP_ENOMEM;
	for (size_t i = 0; i < old->n; i++)
		array->pages[i] = old->pages[i];
	err = alloc_pages(space, array->pages + old->n, base_pages, resize->order);
	if (!err) {
		array->held = true;
		vmap_page_array_index(array);
		err = extend(space, *area, array, base_pages << host->page_shift, resize->addr);
		if (err && resize->addr) {
			err = move(space, *area, array, resize);
			if (!err) {
				*area = NULL;
				return 0;
			}
		}
		if (err)
			host->page_put(host->ctx, array->pages + old->n, n);
	}
	vmap_page_array_free(host, err ? array : old);
	return err;
}

/* Keep the pages that hold the first base_pages. */
static int shrink(struct vmap_space *space, struct vmap_area *area, size_t base_pages)
{
	struct vmap_page_array *array = area->pages;
	const struct vmap_host *host = space->host;
	size_t n = array->n, total = 0, kept = 0, bytes, dropped;
	struct vmap_extent *extent;
	unsigned long saved, entered;
	uintptr_t border;
	int err;

	/* By their number: vmap_replace() may have put one page into the array twice. */
	while (total < base_pages)
		total += (size_t)1 << array->pages[kept++]->order;
	bytes = total << host->page_shift;
	dropped = area->size - bytes;
	if (!dropped)
		return 0;
	if (vmap_space_lock_spares(space, &saved, false))
		return -VMAP_ENOMEM;
	extent = vmap_spares_pop(&space->spares);
	vmap_space_unlock_keep(space, saved);
	border = area->extent.addr + bytes;
	err = host->cut ? host->cut(host->ctx, &border, 1) : 0;
	if (err) {
		saved = vmap_space_lock(space);
		vmap_spares_push(&space->spares, extent);
		vmap_space_unlock(space, saved);
		return err;
	}
	host->unmap(host->ctx, area->extent.addr + bytes, dropped);
	vmap_space_flush(space, (struct vmap_range){.addr = area->extent.addr + bytes, .size = dropped});
	saved = vmap_space_lock(space);
	entered = vmap_shard_enter(space, area->shard);
	area->shard->stats.mapped -= dropped;
	area->shard->stats.pages_held -= n - kept;
	area->held = kept;
	vmap_area_unpin(space, area);
	area->unpinnable = true;
	array->n = kept;
	area->size = bytes;
	area->extent.size -= dropped;
	vmap_shard_leave(space, area->shard, entered);
	extent->addr = area->extent.addr + area->extent.size;
	extent->size = dropped;
	vmap_ranges_give(&space->ranges, extent, &space->spares);
	vmap_space_unlock(space, saved);
	host->page_put(host->ctx, array->pages + kept, n - kept);
	return 0;
}

static int resize_area(struct vmap_space *space, const void *addr, size_t size, struct resize *resize)
{
	unsigned shift = space->host->page_shift;
	struct vmap_area *area;
	size_t now, most;
	int err;

	if (!size || resize->order > VMAP_MAX_ORDER || !space->host->parts || !space->host->page_alloc)
		return -VMAP_EINVAL;
	err = claim(space, (uintptr_t)addr, &area);
	if (err)
		return err;
	resize->base_pages = (size >> shift) + !!(size & (((size_t)1 << shift) - 1));
	now = area->size >> shift;
	if (resize->same_guard)
		resize->options.guard = vmap_area_guard(area);
	err = vmap_size_of(space, resize->base_pages, resize->addr ? resize->options.guard : vmap_area_guard(area), &most);
	if (!err && resize->base_pages > now)
		err = grow(space, &area, resize);
	else if (!err && resize->base_pages < now)
		err = shrink(space, area, resize->base_pages);
	if (area)
		vmap_space_unclaim(space, area);
	return err;
}

int vmap_realloc(struct vmap_space *space, const void *addr, size_t size, unsigned order)
{
	struct resize resize = {.order = order};

	return resize_area(space, addr, size, &resize);
}

int vmap_realloc_move(struct vmap_space *space, void **addr, size_t size, unsigned order, const struct vmap_options *options)
{
	struct resize resize = {.order = order, .addr = addr, .caller = __builtin_return_address(0)};

	if (vmap_options_resolve(space, options, &resize.options) || resize.options.flags & ~VMAP_NO_GUARD ||
	    (options && options->prot))
		return -VMAP_EINVAL;
	resize.same_guard = !options || !(options->guard || options->flags & VMAP_NO_GUARD);
	return resize_area(space, *addr, size, &resize);
}
