// SPDX-License-Identifier: MIT
/*
 * Theory: from an array of pages to an area, and back. There is one path.
 *
 * Mapping takes, in this order: descriptor memory (the array, spare descriptors), addresses (under the lock), page references,
 * translations; then the area enters the tree (under the lock again) and can be seen. What fails gives back what was taken, in
 * reverse. A failed map hook may have shown some pages for a moment, so the range is flushed before they are given back.
 *
 * Addresses are looked for in three steps, each only if the one before found none: in pool and tree; again with the pools
 * drained into the tree; again after a purge, and with what blocks of short-lived maps can spare. From the second step on frees bypass the pools (starved), so that what comes
 * free coalesces.
 *
 * With VMAP_NOWAIT the third step is left to others, and so is the flush after a failed map hook: the range joins the queue of
 * purge.c as if it had been mapped and unmapped, with the references that keep its pages from being given out before the flush.
 *
 * Unmapping marks the area first, under the lock, so that a second unmap is told; then it is this thread's alone until it is
 * queued for its flush or completed (purge.c). Neither path allocates when it gives back.
 */
#include "map.h"
#include "purge.h"
#include "ram.h"
#include "tile.h"

#define KNOWN_FLAGS (VMAP_BORROW | VMAP_PUT_PAGES | VMAP_NO_GUARD | VMAP_SYNC | VMAP_NOWAIT)
#define KNOWN_PROT (VMAP_READ | VMAP_WRITE | VMAP_EXEC | VMAP_LARGE | VMAP_MEMORY_MASK)
#define ACCESS (VMAP_READ | VMAP_WRITE | VMAP_EXEC)

static size_t base_page(const struct vmap_space *space)
{
	return (size_t)1 << space->host->page_shift;
}

int vmap_options_resolve(const struct vmap_space *space, const struct vmap_options *options, struct vmap_options *resolved)
{
	size_t page = base_page(space);
	struct vmap_options o = {0};

	if (options)
		o = *options;
	o.align = o.align ? o.align : page;
	o.max = o.max ? o.max : UINTPTR_MAX;
	o.prot |= o.prot & ACCESS ? VMAP_READ : VMAP_READ | VMAP_WRITE;
	if (o.flags & ~KNOWN_FLAGS || o.prot & ~KNOWN_PROT || (o.flags & VMAP_BORROW && o.flags & VMAP_PUT_PAGES))
		return -VMAP_EINVAL;
	if (o.align < page || o.align & (o.align - 1) || o.phase >= o.align || (o.phase | o.guard) & (page - 1))
		return -VMAP_EINVAL;
	if (o.flags & VMAP_NO_GUARD && o.guard)
		return -VMAP_EINVAL;
	if (!o.guard && !(o.flags & VMAP_NO_GUARD))
		o.guard = page;
	*resolved = o;
	return 0;
}

int vmap_size_of(const struct vmap_space *space, size_t base_pages, size_t guard, size_t *size)
{
	if (base_pages > SIZE_MAX >> space->host->page_shift)
		return -VMAP_ERANGE;
	*size = base_pages << space->host->page_shift;
	if (guard > SIZE_MAX - *size)
		return -VMAP_ERANGE;
	return *size + guard > space->size ? -VMAP_ENOSPC : 0;
}

/* Look for addresses as they are free now. On success the area is model with the addresses put in, and is counted. */
static int take(struct vmap_space *space, struct vmap_request *request, struct vmap_area *model, struct vmap_area **area)
{
	struct vmap_extent *extent;
	unsigned long saved;
	int err;

	request->cursor = 0;
	do {
		err = vmap_space_lock_spares(space, &saved, model->flags & VMAP_NOWAIT);
		if (err)
			return err;
		err = vmap_ranges_take(&space->ranges, request, &space->spares, &extent);
		if (!err) {
			model->extent = *extent;
			*area = vmap_area_of(extent);
			**area = *model;
			vmap_space_count_reserved(space, *area);
		}
		vmap_space_unlock_keep(space, saved);
	} while (err == -VMAP_EAGAIN);
	return err;
}

/* Drain the pools and look again; then purge and look again. */
static int take_starved(struct vmap_space *space, struct vmap_request *request, struct vmap_area *model, struct vmap_area **area)
{
	unsigned long saved = vmap_space_lock(space);
	bool nowait = model->flags & VMAP_NOWAIT;
	int err;

	space->ranges.starved++;
	vmap_space_unlock_keep(space, saved);
	vmap_space_drain_pools(space, nowait);
	err = take(space, request, model, area);
	if (err == -VMAP_ENOSPC) {
		if (!nowait)
			vmap_purge(space);
		vmap_ram_trim(space, nowait);
		vmap_quarantine_end(space, nowait);
		err = take(space, request, model, area);
	}
	saved = vmap_space_lock(space);
	space->ranges.starved--;
	if (err == -VMAP_ENOSPC && nowait && space->stats.lazy)
		err = -VMAP_EAGAIN;
	vmap_space_unlock_keep(space, saved);
	return err;
}

int vmap_area_reserve(struct vmap_space *space, const struct vmap_options *options, struct vmap_area *model,
		      struct vmap_area **area)
{
	struct vmap_request request = {
		.size = model->size + options->guard,
		.align = options->align,
		.phase = options->phase,
		.min = options->min,
		.max = options->max,
	};
	int err = take(space, &request, model, area);

	return err == -VMAP_ENOSPC ? take_starved(space, &request, model, area) : err;
}

void vmap_area_unreserve(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space);

	vmap_space_count_unreserved(space, area);
	vmap_ranges_give(&space->ranges, &area->extent, &space->spares);
	vmap_space_unlock(space, saved);
}

/* The same without waiting: the area waits for someone else's flush, and keeps its pages until then. */
static void abandon(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved;

	if (area->flags & VMAP_PUT_PAGES)
		space->host->page_get(space->host->ctx, area->pages->pages, area->pages->n);
	saved = vmap_space_lock(space);
	area->state = VMAP_STATE_LAZY;
	vmap_areas_insert(&space->areas, area);
	vmap_space_count_unmapped(space, area);
	vmap_space_unlock_keep(space, saved);
	vmap_purge_later(space, area);
}

static void publish(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space);

	vmap_areas_insert(&space->areas, area);
	area->generation = ++space->stats.maps;
	vmap_space_unlock_keep(space, saved);
}

int vmap_area_call_map(const struct vmap_host *host, const struct vmap_area *area, const uint64_t *frames)
{
	bool nowait = area->flags & VMAP_NOWAIT;
	size_t n = area->size >> host->page_shift;

	if (frames)
		return (nowait && host->map_pfn_nowait ? host->map_pfn_nowait : host->map_pfn)(host->ctx, area->extent.addr,
											       frames, n, area->prot);
	/* Not where it may become longer, or be cut. */
	if (host->map_guarded && vmap_area_guard(area) && !area->allocated && !area->sparse && !(nowait && host->map_nowait))
		return host->map_guarded(host->ctx, area->extent.addr, area->pages->pages, area->pages->n, area->prot,
					 vmap_area_guard(area));
	return (nowait && host->map_nowait ? host->map_nowait : host->map)(host->ctx, area->extent.addr, area->pages->pages,
									   area->pages->n, area->prot);
}

/*
 * Map model's pages, or frames where it has none. On success pages and array become the area's; on failure they stay the caller's
 * (of an area that waits for its flush model->pages is NULL then, they are gone with it).
 */
static int map_area(struct vmap_space *space, const struct vmap_options *options, struct vmap_area *model, const uint64_t *frames,
		    void **addr)
{
	bool get = !frames && !(options->flags & (VMAP_BORROW | VMAP_PUT_PAGES)) && !model->allocated;
	struct vmap_page_array *array = model->pages;
	const struct vmap_host *host = space->host;
	struct vmap_area *area;
	int err;

	if (array)
		array->held = !(options->flags & VMAP_BORROW);
	model->flags = options->flags;
	model->prot = options->prot;
	model->tag = options->tag;
	model->state = VMAP_STATE_MAPPED;
	err = vmap_area_reserve(space, options, model, &area);
	if (err)
		return err;
	if (get)
		host->page_get(host->ctx, array->pages, array->n);
	err = vmap_area_call_map(host, area, frames);
	if (err && options->flags & VMAP_NOWAIT) {
		model->pages = NULL;
		abandon(space, area);
		return err;
	}
	if (err) {
		vmap_space_flush(space, (struct vmap_range){.addr = area->extent.addr, .size = area->size});
		if (get)
			host->page_put(host->ctx, array->pages, array->n);
		vmap_area_unreserve(space, area);
		return err;
	}
	*addr = (void *)area->extent.addr;
	publish(space, area);
	return 0;
}

int vmap_pages_survey(const struct vmap_space *space, struct vmap_page *const *pages, size_t n, size_t *base_pages, bool *mixed)
{
	size_t max = SIZE_MAX >> space->host->page_shift, total = 0;

	*mixed = false;
	for (size_t i = 0; i < n; i++) {
		if (!pages[i] || pages[i]->order > VMAP_MAX_ORDER)
			return -VMAP_EINVAL;
		if ((size_t)1 << pages[i]->order > max - total)
			return -VMAP_ERANGE;
		total += (size_t)1 << pages[i]->order;
		*mixed |= pages[i]->order != pages[0]->order;
	}
	*base_pages = total;
	return 0;
}

int vmap_pages(struct vmap_space *space, struct vmap_page *const *pages, size_t n, const struct vmap_options *options,
	       void **addr)
{
	struct vmap_area model = {0};
	struct vmap_options o;
	size_t base_pages;
	bool mixed;
	int err;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!pages || !n || vmap_options_resolve(space, options, &o))
		return -VMAP_EINVAL;
	err = vmap_pages_survey(space, pages, n, &base_pages, &mixed);
	if (!err)
		err = vmap_size_of(space, base_pages, o.guard, &model.size);
	if (err)
		return err;
	model.pages = vmap_page_array_make(space->host, n, mixed, o.flags & VMAP_NOWAIT);
	if (!model.pages)
		return -VMAP_ENOMEM;
	for (size_t i = 0; i < n; i++)
		model.pages->pages[i] = pages[i];
	vmap_page_array_index(model.pages);
	err = map_area(space, &o, &model, NULL, addr);
	if (err && model.pages)
		vmap_page_array_free(space->host, model.pages);
	return err;
}

int vmap_pfn(struct vmap_space *space, const uint64_t *frames, size_t n, const struct vmap_options *options, void **addr)
{
	struct vmap_area model = {0};
	struct vmap_options o;
	int err;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!frames || !n || !space->host->map_pfn || vmap_options_resolve(space, options, &o) || o.flags & VMAP_PUT_PAGES)
		return -VMAP_EINVAL;
	err = vmap_size_of(space, n, o.guard, &model.size);
	return err ? err : map_area(space, &o, &model, frames, addr);
}

/* How many pages of order k there are among those that hold base_pages: of each order below the largest at most one. */
static size_t pages_of_order(size_t base_pages, unsigned order, unsigned k)
{
	return k == order ? base_pages >> order : base_pages >> k & 1;
}

size_t vmap_pages_count(size_t base_pages, unsigned order)
{
	size_t n = 0;

	for (unsigned k = 0; k <= order; k++)
		n += pages_of_order(base_pages, order, k);
	return n;
}

int vmap_pages_alloc(const struct vmap_host *host, struct vmap_page **pages, size_t base_pages, unsigned order, bool nowait)
{
	int (*page_alloc)(void *ctx, unsigned order, size_t n, struct vmap_page **pages) = host->page_alloc;
	size_t done = 0, n;
	int err = 0;

	if (nowait && host->page_alloc_nowait)
		page_alloc = host->page_alloc_nowait;
	for (unsigned k = order + 1; k-- > 0 && !err;) {
		n = pages_of_order(base_pages, order, k);
		if (n)
			err = page_alloc(host->ctx, k, n, pages + done);
		if (!err)
			done += n;
	}
	if (err && done)
		host->page_put(host->ctx, pages, done);
	return err;
}

/* Whether areas wait for a flush, and hold their pages. */
static bool has_lazy(struct vmap_space *space)
{
	unsigned long saved = vmap_space_lock(space);
	bool has = space->stats.lazy;

	vmap_space_unlock_keep(space, saved);
	return has;
}

/* Fill the array with new pages and map them; nothing of them is left on failure. */
static int alloc_area(struct vmap_space *space, size_t base_pages, unsigned order, const struct vmap_options *options,
		      struct vmap_area *model, void **addr)
{
	const struct vmap_host *host = space->host;
	struct vmap_page_array *array = model->pages;
	bool nowait = options->flags & VMAP_NOWAIT;
	int err = vmap_pages_alloc(host, array->pages, base_pages, order, nowait);

	/* Unmapped areas hold pages until their flush. */
	if (err == -VMAP_ENOMEM && nowait) {
		err = has_lazy(space) ? -VMAP_EAGAIN : err;
	} else if (err == -VMAP_ENOMEM) {
		vmap_purge(space);
		err = vmap_pages_alloc(host, array->pages, base_pages, order, false);
	}
	if (err)
		return err;
	vmap_page_array_index(array);
	err = map_area(space, options, model, NULL, addr);
	if (err && model->pages)
		host->page_put(host->ctx, array->pages, array->n);
	return err;
}

int vmap_alloc(struct vmap_space *space, size_t size, unsigned order, const struct vmap_options *options, void **addr)
{
	struct vmap_area model = {.allocated = true};
	size_t base_pages, n;
	struct vmap_options o;
	int err;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!size || order > VMAP_MAX_ORDER || !space->host->page_alloc || vmap_options_resolve(space, options, &o) ||
	    o.flags & (VMAP_BORROW | VMAP_PUT_PAGES))
		return -VMAP_EINVAL;
	base_pages = (size >> space->host->page_shift) + !!(size & (base_page(space) - 1));
	err = vmap_size_of(space, base_pages, o.guard, &model.size);
	if (err)
		return err;
	n = vmap_pages_count(base_pages, order);
	model.pages = vmap_page_array_make(space->host, n, n > base_pages >> order && n > 1, o.flags & VMAP_NOWAIT);
	if (!model.pages)
		return -VMAP_ENOMEM;
	err = alloc_area(space, base_pages, order, &o, &model, addr);
	if (err && model.pages)
		vmap_page_array_free(space->host, model.pages);
	return err;
}

/* Mark the area that begins at addr as unmapped: from here on it is this thread's. */
static int claim(struct vmap_space *space, const void *addr, bool allocated, const void *caller, struct vmap_area **area)
{
	uint64_t now = vmap_space_now(space);
	unsigned long saved = vmap_space_lock(space);
	struct vmap_area *found = vmap_areas_at(&space->areas, (uintptr_t)addr);
	int err = 0;

	if (!found || found->extent.addr != (uintptr_t)addr)
		err = -VMAP_ENOENT;
	else if (vmap_area_is_over(found))
		err = -VMAP_EALREADY;
	else if (found->allocated != allocated || found->ram || found->sparse)
		err = -VMAP_EINVAL;
	else if (found->busy || found->replacing)
		err = -VMAP_EBUSY;
	if (!err) {
		found->state = VMAP_STATE_LAZY;
		found->unmapped_by = caller;
		found->unmapped_at = now;
		space->stats.unmaps++;
		vmap_space_count_unmapped(space, found);
		*area = found;
	}
	vmap_space_unlock_keep(space, saved);
	return err;
}

static int end_area(struct vmap_space *space, const void *addr, bool allocated, bool nowait, const void *caller)
{
	struct vmap_area *area;
	int err = claim(space, addr, allocated, caller, &area);

	if (err)
		return err;
	space->host->unmap(space->host->ctx, area->extent.addr, area->size);
	if (nowait)
		vmap_purge_later(space, area);
	else
		vmap_purge_area(space, area);
	return 0;
}

int vmap_unmap(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, false, false, __builtin_return_address(0));
}

int vmap_unmap_by(struct vmap_space *space, const void *addr, const void *caller)
{
	return end_area(space, addr, false, false, caller);
}

int vmap_unmap_nowait(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, false, true, __builtin_return_address(0));
}

int vmap_free(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, true, false, __builtin_return_address(0));
}

int vmap_free_nowait(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, true, true, __builtin_return_address(0));
}
