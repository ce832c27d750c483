// SPDX-License-Identifier: MIT
/*
 * Theory: a longer or shorter area stands where it stood. The area is busy meanwhile, so nobody else changes or ends it; readers look
 * at what the lock shows them, the old pages or the new.
 *
 * Growing reserves exactly the addresses behind the area's guard. With these the old guard and what follows up to the new one
 * are free of translations; the new pages are mapped there, and only then do both ranges become one. The longer page array is
 * made before; what fails gives back what was taken.
 *
 * Shrinking unmaps and flushes at once: the new guard takes over addresses that were mapped, and a later flush of the area would not
 * cover them. The descriptor that the freed range needs is taken before anything is changed.
 */
#include "map.h"

static int claim(struct vmap_space *space, uintptr_t addr, struct vmap_area **area)
{
	unsigned long saved = vmap_space_lock(space);
	int err = vmap_space_claim_part(space, addr, 1, area);

	if (!err && ((*area)->extent.addr != addr || !(*area)->allocated)) {
		err = (*area)->extent.addr != addr ? -VMAP_ENOENT : -VMAP_EINVAL;
		vmap_space_unclaim(*area);
	}
	vmap_space_unlock_keep(space, saved);
	return err;
}

static void release(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space);

	vmap_space_unclaim(area);
	vmap_space_unlock(space, saved);
}

/* Map the pages behind entry n of the array at the area's end, and join the range that follows the guard. */
static int extend(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array *array, size_t extra)
{
	struct vmap_range added = {.addr = area->extent.addr + area->size, .size = extra};
	uintptr_t end = area->extent.addr + area->extent.size;
	struct vmap_options options = {
		.align = (size_t)1 << space->host->page_shift, .min = end, .max = end + (extra - 1), .flags = VMAP_NO_GUARD};
	struct vmap_area model = {.size = extra}, *behind;
	size_t n = area->pages->n;
	unsigned long saved;
	int err;

	if (extra > space->size - (end - space->base))
		return -VMAP_ENOSPC;
	err = vmap_area_reserve(space, &options, &model, &behind);
	if (err)
		return err;
	err = space->host->map(space->host->ctx, added.addr, array->pages + n, array->n - n, area->prot);
	if (err) {
		vmap_space_flush(space, added);
		vmap_area_unreserve(space, behind);
		return err;
	}
	saved = vmap_space_lock(space);
	space->stats.areas--;
	space->stats.pages_held += array->n - n;
	area->extent.size += extra;
	area->size += extra;
	area->pages = array;
	vmap_spares_push(&space->spares, &behind->extent);
	vmap_space_unlock(space, saved);
	return 0;
}

static int grow(struct vmap_space *space, struct vmap_area *area, size_t base_pages, unsigned order)
{
	struct vmap_page_array *old = area->pages, *array;
	const struct vmap_host *host = space->host;
	size_t n = vmap_pages_count(base_pages, order);
	int err;

	array = vmap_page_array_make(host, old->n + n, true, false);
	if (!array)
		return -VMAP_ENOMEM;
	for (size_t i = 0; i < old->n; i++)
		array->pages[i] = old->pages[i];
	err = vmap_pages_alloc(host, array->pages + old->n, base_pages, order, false);
	if (!err) {
		array->held = true;
		vmap_page_array_index(array);
		err = extend(space, area, array, base_pages << host->page_shift);
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
	size_t n = array->n, within, kept = 0, bytes, dropped;
	struct vmap_extent *extent;
	unsigned long saved;
	struct vmap_page *last;
	int err;

	last = vmap_page_array_at(array, base_pages - 1, &within);
	bytes = (base_pages - within + ((size_t)1 << last->order) - 1) << host->page_shift;
	while (array->pages[kept++] != last)
		;
	dropped = area->size - bytes;
	if (!dropped)
		return 0;
	err = host->cut ? host->cut(host->ctx, area->extent.addr + bytes) : 0;
	if (!err)
		err = vmap_space_lock_spares(space, &saved, false);
	if (err)
		return err;
	extent = vmap_spares_pop(&space->spares);
	vmap_space_unlock_keep(space, saved);
	host->unmap(host->ctx, area->extent.addr + bytes, dropped);
	vmap_space_flush(space, (struct vmap_range){.addr = area->extent.addr + bytes, .size = dropped});
	saved = vmap_space_lock(space);
	space->stats.mapped -= dropped;
	space->stats.pages_held -= n - kept;
	array->n = kept;
	area->size = bytes;
	area->extent.size -= dropped;
	extent->addr = area->extent.addr + area->extent.size;
	extent->size = dropped;
	vmap_ranges_give(&space->ranges, extent, &space->spares);
	vmap_space_unlock(space, saved);
	host->page_put(host->ctx, array->pages + kept, n - kept);
	return 0;
}

int vmap_realloc(struct vmap_space *space, const void *addr, size_t size, unsigned order)
{
	unsigned shift = space->host->page_shift;
	size_t wanted, now, most;
	struct vmap_area *area;
	int err;

	if (!size || order > VMAP_MAX_ORDER || !space->host->parts || !space->host->page_alloc)
		return -VMAP_EINVAL;
	err = claim(space, (uintptr_t)addr, &area);
	if (err)
		return err;
	wanted = (size >> shift) + !!(size & (((size_t)1 << shift) - 1));
	now = area->size >> shift;
	err = vmap_size_of(space, wanted, area->extent.size - area->size, &most);
	if (!err && wanted > now)
		err = grow(space, area, wanted - now, order);
	else if (!err && wanted < now)
		err = shrink(space, area, wanted);
	release(space, area);
	return err;
}
