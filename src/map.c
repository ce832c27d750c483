// SPDX-License-Identifier: MIT
/*
 * Theory: from an array of pages to an area, and back. There is one path.
 *
 * Mapping takes, in this order: descriptor memory (the array, spare descriptors), addresses (under the lock), page references,
 * translations; then the area enters the tree (under the lock again) and can be seen. What fails gives back what was taken, in
 * reverse. A failed map hook may have shown some pages for a moment, so the range is flushed before they are given back.
 *
 * Addresses are looked for in three steps, each only if the one before found none: in pool and tree; again with the pools
 * drained into the tree; again after a purge. From the second step on frees bypass the pools (starved), so that what comes
 * free coalesces.
 *
 * Unmapping marks the area first, under the lock, so that a second unmap is told; then it is this thread's alone until it is
 * queued for its flush or completed (purge.c). Neither path allocates when it gives back.
 */
#include "purge.h"

#define KNOWN_FLAGS (VMAP_BORROW | VMAP_PUT_PAGES | VMAP_NO_GUARD | VMAP_SYNC)
#define KNOWN_PROT (VMAP_READ | VMAP_WRITE | VMAP_EXEC)

static size_t base_page(const struct vmap_space *space)
{
	return (size_t)1 << space->host->page_shift;
}

/* Check the caller's options and put the values in that 0 stands for. 0 or -VMAP_EINVAL. */
static int resolve(const struct vmap_space *space, const struct vmap_options *options, struct vmap_options *resolved)
{
	size_t page = base_page(space);
	struct vmap_options o = {0};

	if (options)
		o = *options;
	o.align = o.align ? o.align : page;
	o.max = o.max ? o.max : UINTPTR_MAX;
	o.prot = o.prot ? o.prot | VMAP_READ : VMAP_READ | VMAP_WRITE;
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

/* The size of this many base pages, where the area with its guard could be in the space at all. */
static int size_of(const struct vmap_space *space, size_t base_pages, size_t guard, size_t *size)
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
		err = vmap_space_lock_spares(space, &saved);
		if (err)
			return err;
		err = vmap_ranges_take(&space->ranges, request, &space->spares, &extent);
		if (!err) {
			model->extent = *extent;
			*area = vmap_area_of(extent);
			**area = *model;
			vmap_space_count_reserved(space, *area);
		}
		vmap_space_unlock(space, saved);
	} while (err == -VMAP_EAGAIN);
	return err;
}

/* Drain the pools and look again; then purge and look again. */
static int take_starved(struct vmap_space *space, struct vmap_request *request, struct vmap_area *model, struct vmap_area **area)
{
	unsigned long saved = vmap_space_lock(space);
	int err;

	space->ranges.starved++;
	vmap_space_unlock(space, saved);
	vmap_space_drain_pools(space);
	err = take(space, request, model, area);
	if (err == -VMAP_ENOSPC) {
		vmap_purge(space);
		err = take(space, request, model, area);
	}
	saved = vmap_space_lock(space);
	space->ranges.starved--;
	vmap_space_unlock(space, saved);
	return err;
}

static int reserve(struct vmap_space *space, const struct vmap_options *options, struct vmap_area *model, struct vmap_area **area)
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

static void unreserve(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space);

	vmap_space_count_unreserved(space, area);
	vmap_ranges_give(&space->ranges, &area->extent, &space->spares);
	vmap_space_unlock(space, saved);
}

/* The map hook failed: nobody may go on using what it has shown for a moment. */
static void flush_failed(struct vmap_space *space, const struct vmap_area *area)
{
	struct vmap_range range = {.addr = area->extent.addr, .size = area->size};
	unsigned long saved;

	space->host->flush(space->host->ctx, &range, 1);
	saved = vmap_space_lock(space);
	space->stats.flushes++;
	vmap_space_unlock(space, saved);
}

static void publish(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space);

	vmap_areas_insert(&space->areas, area);
	space->stats.maps++;
	vmap_space_unlock(space, saved);
}

/* Map model's pages; they and the array become the area's on success, and stay the caller's on failure. */
static int map_area(struct vmap_space *space, const struct vmap_options *options, struct vmap_area *model, void **addr)
{
	bool get = !(options->flags & VMAP_BORROW) && !(options->flags & VMAP_PUT_PAGES) && !model->allocated;
	struct vmap_page_array *array = model->pages;
	const struct vmap_host *host = space->host;
	struct vmap_area *area;
	int err;

	array->held = !(options->flags & VMAP_BORROW);
	model->flags = options->flags;
	model->prot = options->prot;
	model->tag = options->tag;
	model->state = VMAP_STATE_MAPPED;
	err = reserve(space, options, model, &area);
	if (err)
		return err;
	if (get)
		host->page_get(host->ctx, array->pages, array->n);
	err = host->map(host->ctx, area->extent.addr, array->pages, array->n, area->prot);
	if (err) {
		flush_failed(space, area);
		if (get)
			host->page_put(host->ctx, array->pages, array->n);
		unreserve(space, area);
		return err;
	}
	*addr = (void *)area->extent.addr;
	publish(space, area);
	return 0;
}

/* Check the caller's pages, add up their sizes in base pages, and see whether their orders differ. */
static int survey(const struct vmap_space *space, struct vmap_page *const *pages, size_t n, size_t *base_pages, bool *mixed)
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
	if (!pages || !n || resolve(space, options, &o))
		return -VMAP_EINVAL;
	err = survey(space, pages, n, &base_pages, &mixed);
	if (!err)
		err = size_of(space, base_pages, o.guard, &model.size);
	if (err)
		return err;
	model.pages = vmap_page_array_make(space->host, n, mixed);
	if (!model.pages)
		return -VMAP_ENOMEM;
	for (size_t i = 0; i < n; i++)
		model.pages->pages[i] = pages[i];
	vmap_page_array_index(model.pages);
	err = map_area(space, &o, &model, addr);
	if (err)
		vmap_page_array_free(space->host, model.pages);
	return err;
}

/* How many pages of order k there are among those that hold base_pages: of each order below the largest at most one. */
static size_t pages_of_order(size_t base_pages, unsigned order, unsigned k)
{
	return k == order ? base_pages >> order : base_pages >> k & 1;
}

static int alloc_pages(const struct vmap_host *host, struct vmap_page_array *array, size_t base_pages, unsigned order)
{
	size_t done = 0, n;
	int err = 0;

	for (unsigned k = order + 1; k-- > 0 && !err;) {
		n = pages_of_order(base_pages, order, k);
		if (n)
			err = host->page_alloc(host->ctx, k, n, array->pages + done);
		if (!err)
			done += n;
	}
	if (err && done)
		host->page_put(host->ctx, array->pages, done);
	return err;
}

/* Fill the array with new pages and map them; nothing of them is left on failure. */
static int alloc_area(struct vmap_space *space, size_t base_pages, unsigned order, const struct vmap_options *options,
		      struct vmap_area *model, void **addr)
{
	const struct vmap_host *host = space->host;
	struct vmap_page_array *array = model->pages;
	int err = alloc_pages(host, array, base_pages, order);

	if (err == -VMAP_ENOMEM) {
		/* Unmapped areas hold pages until their flush. */
		vmap_purge(space);
		err = alloc_pages(host, array, base_pages, order);
	}
	if (err)
		return err;
	vmap_page_array_index(array);
	err = map_area(space, options, model, addr);
	if (err)
		host->page_put(host->ctx, array->pages, array->n);
	return err;
}

int vmap_alloc(struct vmap_space *space, size_t size, unsigned order, const struct vmap_options *options, void **addr)
{
	struct vmap_area model = {.allocated = true};
	size_t base_pages, n = 0;
	struct vmap_options o;
	int err;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!size || order > VMAP_MAX_ORDER || !space->host->page_alloc || resolve(space, options, &o) ||
	    o.flags & (VMAP_BORROW | VMAP_PUT_PAGES))
		return -VMAP_EINVAL;
	base_pages = (size >> space->host->page_shift) + !!(size & (base_page(space) - 1));
	err = size_of(space, base_pages, o.guard, &model.size);
	if (err)
		return err;
	for (unsigned k = 0; k <= order; k++)
		n += pages_of_order(base_pages, order, k);
	model.pages = vmap_page_array_make(space->host, n, n > base_pages >> order && n > 1);
	if (!model.pages)
		return -VMAP_ENOMEM;
	err = alloc_area(space, base_pages, order, &o, &model, addr);
	if (err)
		vmap_page_array_free(space->host, model.pages);
	return err;
}

/* Mark the area that begins at addr as unmapped: from here on it is this thread's. */
static int claim(struct vmap_space *space, const void *addr, bool allocated, struct vmap_area **area)
{
	unsigned long saved = vmap_space_lock(space);
	struct vmap_area *found = vmap_areas_at(&space->areas, (uintptr_t)addr);
	int err = 0;

	if (!found || found->extent.addr != (uintptr_t)addr)
		err = -VMAP_ENOENT;
	else if (found->state == VMAP_STATE_LAZY)
		err = -VMAP_EALREADY;
	else if (found->allocated != allocated)
		err = -VMAP_EINVAL;
	if (!err) {
		found->state = VMAP_STATE_LAZY;
		vmap_space_count_unmapped(space, found);
		*area = found;
	}
	vmap_space_unlock(space, saved);
	return err;
}

static int end_area(struct vmap_space *space, const void *addr, bool allocated)
{
	struct vmap_area *area;
	int err = claim(space, addr, allocated, &area);

	if (err)
		return err;
	space->host->unmap(space->host->ctx, area->extent.addr, area->size);
	vmap_purge_area(space, area);
	return 0;
}

int vmap_unmap(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, false);
}

int vmap_free(struct vmap_space *space, const void *addr)
{
	return end_area(space, addr, true);
}
