// SPDX-License-Identifier: MIT
/*
 * Theory: from an array of pages to an area. There is one path; the way back is in unmap.c.
 *
 * Mapping takes, in this order: addresses, out of a pool (under the shard's lock) or out of the tree (under the space's, with spare
 * descriptors), memory for the page array, unless the area from the pool brings some, page references, translations; then one store lets the
 * area be seen. What fails gives back what was taken, in reverse. A failed map hook may have shown some pages for a moment, so the range
 * is flushed before they are given back.
 *
 * Most maps need less than that (take_pinned(), map_pinned()): an area of the size is in the pool, with table entries that the host has
 * pinned for the core to write (host.h), and with memory for the array, unless its last one was large and held references (purge.c); then
 * one pass over the pages checks them, notes them and shows them.
 *
 * Addresses are looked for in steps, each only if the one before found none: in this CPU's pool of the size; in the tree; again with all
 * pools drained into it; again after a purge, and with what blocks of short-lived maps can spare. From the third step on frees bypass the
 * pools (starved), so that what comes free coalesces.
 *
 * With VMAP_NOWAIT the last step is left to others, and so is the flush after a failed map hook: the range joins the queue of
 * purge.c as if it had been mapped and unmapped, with the references that keep its pages from being given out before the flush.
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
	struct vmap_options o = options ? *options : (struct vmap_options){0};

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

/*
 * Under the lock that guards the area: it begins, at the addresses that it has. ram and sparse are NULL, in a pool too, and others look at
 * them under the space's lock alone.
 */
static inline void begin(struct vmap_space *space, struct vmap_shard *shard, struct vmap_area *area,
			 const struct vmap_options *options, unsigned prot, size_t size, size_t held)
{
	area->size = size;
	area->held = held;
	area->flags = options->flags;
	area->prot = prot;
	area->tag = options->tag;
	area->allocated = false;
	area->uneven = false;
	area->generation = __atomic_add_fetch(&space->generation, 1, __ATOMIC_RELAXED);
	vmap_area_set_state(area, VMAP_STATE_RESERVED);
	*vmap_recent(space, shard, area->extent.addr) = area;
	vmap_count_reserved(&shard->stats, area);
}

/* Look for an area of this size in this CPU's pools. NULL: there is none. */
static struct vmap_area *take_pooled(struct vmap_space *space, struct vmap_request *request, const struct vmap_options *options,
				     size_t size, size_t held)
{
	bool constrained = options->align > base_page(space) || options->min || options->max != UINTPTR_MAX;
	struct vmap_shard *shard = vmap_shard_here(space);
	unsigned long saved = vmap_shard_lock(space, shard);
	struct vmap_area *area = vmap_pool_take(&shard->pools, space->host->page_shift, request, constrained);

	if (area) {
		begin(space, shard, area, options, options->prot, size, held);
		shard->stats.pool_hits++;
	}
	vmap_shard_unlock(space, shard, saved);
	return area;
}

/* Look for addresses as they are free now, and make an area of them. */
static int take(struct vmap_space *space, struct vmap_request *request, const struct vmap_options *options, size_t size,
		size_t held, struct vmap_area **result)
{
	struct vmap_shard *shard = vmap_shard_here(space);
	unsigned long saved, entered;
	struct vmap_extent *extent;
	struct vmap_area *area;
	int err;

	request->cursor = 0;
	do {
		err = vmap_space_lock_spares(space, &saved, options->flags & VMAP_NOWAIT);
		if (err)
			return err;
		err = vmap_ranges_take(&space->ranges, request, &space->spares, &extent);
		if (!err) {
			area = vmap_area_of(extent);
			*area = (struct vmap_area){.extent = {.addr = extent->addr, .size = extent->size}, .shard = shard};
			entered = vmap_shard_enter(space, shard);
			begin(space, shard, area, options, options->prot, size, held);
			vmap_areas_insert(&space->areas, area);
			vmap_shard_leave(space, shard, entered);
			*result = area;
		}
		vmap_space_unlock_keep(space, saved);
	} while (err == -VMAP_EAGAIN);
	return err;
}

/* Drain the pools and look again; then purge and look again. */
static int take_starved(struct vmap_space *space, struct vmap_request *request, const struct vmap_options *options, size_t size,
			size_t held, struct vmap_area **area)
{
	bool nowait = options->flags & VMAP_NOWAIT;
	int err;

	vmap_space_starve(space, 1);
	vmap_space_drain_pools(space, nowait);
	err = take(space, request, options, size, held, area);
	if (err == -VMAP_ENOSPC) {
		if (!nowait)
			vmap_purge(space);
		vmap_ram_trim(space, nowait);
		vmap_quarantine_end(space, nowait);
		err = take(space, request, options, size, held, area);
	}
	if (err == -VMAP_ENOSPC && nowait && vmap_space_has_lazy(space))
		err = -VMAP_EAGAIN;
	vmap_space_starve(space, 0u - 1);
	return err;
}

int vmap_area_reserve(struct vmap_space *space, const struct vmap_options *options, size_t size, size_t held,
		      struct vmap_area **area)
{
	struct vmap_request request = {
		.size = size + options->guard,
		.align = options->align,
		.phase = options->phase,
		.min = options->min,
		.max = options->max,
	};
	int err;

	*area = take_pooled(space, &request, options, size, held);
	if (*area)
		return 0;
	err = take(space, &request, options, size, held, area);
	return err == -VMAP_ENOSPC ? take_starved(space, &request, options, size, held, area) : err;
}

void vmap_area_unreserve(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, area->shard);
	struct vmap_shard *shard = area->shard;
	struct vmap_page_array *released = NULL;

	vmap_count_unreserved(&shard->stats, area);
	if (area->pages)
		area->kept = area->pages;
	area->pages = NULL;
	area->held = 0;
	vmap_space_give(space, area, &released);
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock(space, saved);
	vmap_space_release(space->host, released);
}

/* The same without waiting: the area waits for someone else's flush, and keeps its pages until then. */
static void abandon(struct vmap_space *space, struct vmap_area *area)
{
	struct vmap_shard *shard = area->shard;
	unsigned long saved;

	if (area->flags & VMAP_PUT_PAGES)
		space->host->page_get(space->host->ctx, area->pages->pages, area->pages->n);
	saved = vmap_shard_lock(space, shard);
	vmap_area_set_state(area, VMAP_STATE_LAZY);
	shard->stats.maps--;
	area->generation = 0;
	vmap_count_unmapped(&shard->stats, area);
	vmap_shard_unlock(space, shard, saved);
	vmap_purge_later(space, area);
}

/* Let the core write the entries of an area that may be used again and again. */
static void pin(const struct vmap_host *host, struct vmap_area *area)
{
	size_t pages = area->extent.size >> host->page_shift;

	if (area->entries || area->unpinnable || !host->pin || (area->flags & VMAP_NOWAIT && host->map_nowait))
		return;
	area->unpinnable = pages > VMAP_POOL_PAGES || !vmap_area_pin(host, area);
}

int vmap_area_call_map(const struct vmap_host *host, const struct vmap_area *area, const uint64_t *frames)
{
	const struct vmap_page_array *array = area->pages;
	bool nowait = area->flags & VMAP_NOWAIT;
	size_t n = area->size >> host->page_shift;

	if (frames)
		return (nowait && host->map_pfn_nowait ? host->map_pfn_nowait : host->map_pfn)(host->ctx, area->extent.addr,
											       frames, n, area->prot);
	if (nowait && host->map_nowait)
		return host->map_nowait(host->ctx, area->extent.addr, array->pages, array->n, area->prot);
	/* Not where it may become longer, or be cut. */
	if (host->map_guarded && vmap_area_guard(area) && !area->allocated && !area->sparse)
		return host->map_guarded(host->ctx, area->extent.addr, array->pages, array->n, area->prot, vmap_area_guard(area));
	if (host->map_base && n == array->n && !(area->prot & VMAP_LARGE))
		return host->map_base(host->ctx, area->extent.addr, array->pages, n, area->prot);
	return host->map(host->ctx, area->extent.addr, array->pages, array->n, area->prot);
}

/* Give a reserved area memory for its page array. */
static int add_array(const struct vmap_host *host, struct vmap_area *area, size_t n, bool mixed)
{
	struct vmap_page_array *array = vmap_page_array_again(area->kept, n, mixed);

	if (!array) {
		if (area->kept)
			vmap_page_array_free(host, area->kept);
		area->kept = NULL;
		array = vmap_page_array_make(host, n, mixed, area->flags & VMAP_NOWAIT);
	}
	area->kept = NULL;
	area->pages = array;
	return array ? 0 : -VMAP_ENOMEM;
}

/*
 * Show the pages of a reserved area, or frames where it has none, and let the area be seen. On failure the area is given up, and so are
 * the references that were taken, with get, or made for it.
 */
static int show(struct vmap_space *space, struct vmap_area *area, const uint64_t *frames, bool get, void **addr)
{
	struct vmap_page_array *array = area->pages;
	const struct vmap_host *host = space->host;
	int err;

	if (array)
		array->held = area->held;
	if (get)
		host->page_get(host->ctx, array->pages, array->n);
	pin(host, area);
	err = vmap_area_call_map(host, area, frames);
	if (!err) {
		*addr = (void *)area->extent.addr;
		vmap_area_set_state(area, VMAP_STATE_MAPPED);
		return 0;
	}
	if (area->flags & VMAP_NOWAIT) {
		abandon(space, area);
		return err;
	}
	vmap_space_flush(space, (struct vmap_range){.addr = area->extent.addr, .size = area->size});
	if (get || area->allocated)
		host->page_put(host->ctx, array->pages, array->n);
	vmap_area_unreserve(space, area);
	return err;
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

/* Map any pages, as any options say. Not a part of the common case, which saves no more registers than it needs. */
static __attribute__((noinline)) int map_any(struct vmap_space *space, struct vmap_page *const *pages, size_t n,
					     const struct vmap_options *options, void **addr)
{
	struct vmap_options o;
	struct vmap_area *area;
	size_t base_pages, size;
	bool mixed;
	int err;

	if (vmap_options_resolve(space, options, &o))
		return -VMAP_EINVAL;
	err = vmap_pages_survey(space, pages, n, &base_pages, &mixed);
	if (!err)
		err = vmap_size_of(space, base_pages, o.guard, &size);
	if (!err)
		err = vmap_area_reserve(space, &o, size, o.flags & VMAP_BORROW ? 0 : n, &area);
	if (err)
		return err;
	err = add_array(space->host, area, n, mixed);
	if (err) {
		vmap_area_unreserve(space, area);
		return err;
	}
	vmap_copy(area->pages->pages, pages, n * sizeof(*pages));
	vmap_page_array_index(area->pages);
	return show(space, area, NULL, !(o.flags & (VMAP_BORROW | VMAP_PUT_PAGES)), addr);
}

/* Options that say nothing of the address, and nothing unusual. */
static bool is_plain(const struct vmap_options *options)
{
	return !(options->align | options->phase | options->min | options->max | options->guard) &&
	       !(options->flags & ~KNOWN_FLAGS) &&
	       (options->flags & (VMAP_BORROW | VMAP_PUT_PAGES)) != (VMAP_BORROW | VMAP_PUT_PAGES) &&
	       !(options->prot & ~(ACCESS | VMAP_MEMORY_MASK));
}

/* Show pages in the entries of an area, and note them; gives how many were shown before one that is no base page. */
static inline size_t show_pages(const struct vmap_host *host, const struct vmap_area *area, struct vmap_page *const *pages,
				size_t n, uint64_t bits)
{
	size_t shown = 0, end = n < area->split ? n : area->split;
	struct vmap_page **own = area->pages->pages;
	uint64_t *entries = area->entries;

	for (;;) {
		shown += vmap_entries_show(entries, own + shown, pages + shown, end - shown, host->entry_shift, &bits);
		if (shown < end || end == n)
			return shown;
		entries = area->behind;
		end = n;
	}
}

/* There was no memory for the array, or it turned out to hold more than base pages: take back what was shown. */
static void take_back(struct vmap_space *space, struct vmap_area *area, size_t shown)
{
	struct vmap_shard *shard = area->shard;
	unsigned long saved;

	vmap_area_hide(area, shown);
	saved = vmap_shard_lock(space, shard);
	shard->stats.pages_held -= area->held;
	area->held = 0;
	vmap_shard_unlock(space, shard, saved);
	if (area->pages) {
		area->pages->n = shown;
		area->pages->held = false;
	}
	area->flags &= ~(VMAP_PUT_PAGES | VMAP_SYNC);
	if (shown && area->flags & VMAP_NOWAIT) {
		abandon(space, area);
		return;
	}
	if (shown)
		vmap_space_flush(space, (struct vmap_range){.addr = area->extent.addr, .size = area->size});
	vmap_area_unreserve(space, area);
}

/* Map base pages in a reserved area whose entries the core writes. Looks at each page once. false: it was taken back. */
static bool map_pinned(struct vmap_space *space, struct vmap_area *area, struct vmap_page *const *pages, size_t n, uint64_t bits,
		       void **addr)
{
	const struct vmap_host *host = space->host;
	struct vmap_page_array *array = area->kept;
	size_t shown;

	if (!array || array->room < n) {
		if (add_array(host, area, n, false)) {
			take_back(space, area, 0);
			return false;
		}
		array = area->pages;
	}
	area->kept = NULL;
	area->pages = array;
	array->n = n;
	array->starts = NULL;
	array->order = 0;
	array->held = area->held;
	shown = show_pages(host, area, pages, n, bits);
	if (shown < n) {
		take_back(space, area, shown);
		return false;
	}
	if (array->held && !(area->flags & VMAP_PUT_PAGES))
		host->page_get(host->ctx, pages, n);
	if (host->publish)
		host->publish(host->ctx, area->extent.addr, area->size);
	*addr = (void *)area->extent.addr;
	vmap_area_set_state(area, VMAP_STATE_MAPPED);
	return true;
}

/*
 * The common case: plain options, base pages, and an area of the size in the pool whose entries the core writes. Takes it. NULL: it is not
 * the common case.
 */
static inline struct vmap_area *take_pinned(struct vmap_space *space, const struct vmap_page *first, size_t n,
					    const struct vmap_options *options, uint64_t *bits)
{
	unsigned prot = options->prot & ACCESS ? options->prot | VMAP_READ : options->prot | VMAP_READ | VMAP_WRITE;
	size_t index = n - !!(options->flags & VMAP_NO_GUARD);
	const struct vmap_host *host = space->host;
	struct vmap_shard *shard = vmap_shard_here(space);
	struct vmap_area *area;
	unsigned long saved;

	if (index >= VMAP_POOL_PAGES || !host->pin || !first || first->order)
		return NULL;
	*bits = vmap_entry_bits(host, prot);
	if (!*bits)
		return NULL;
	saved = vmap_shard_lock(space, shard);
	area = vmap_area_of(shard->pools.first[index]);
	if (area && area->entries) {
		vmap_pool_pop(&shard->pools, index);
		begin(space, shard, area, options, prot, n << host->page_shift, options->flags & VMAP_BORROW ? 0 : n);
		shard->stats.pool_hits++;
	} else {
		area = NULL;
	}
	vmap_shard_unlock(space, shard, saved);
	return area;
}

int vmap_pages(struct vmap_space *space, struct vmap_page *const *pages, size_t n, const struct vmap_options *options,
	       void **addr)
{
	static const struct vmap_options plain;
	struct vmap_area *area;
	uint64_t bits;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!pages || !n)
		return -VMAP_EINVAL;
	if (!options)
		options = &plain;
	area = is_plain(options) ? take_pinned(space, pages[0], n, options, &bits) : NULL;
	if (area && map_pinned(space, area, pages, n, bits, addr))
		return 0;
	return map_any(space, pages, n, options, addr);
}

int vmap_pfn(struct vmap_space *space, const uint64_t *frames, size_t n, const struct vmap_options *options, void **addr)
{
	struct vmap_area *area;
	struct vmap_options o;
	size_t size;
	int err;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!frames || !n || !space->host->map_pfn || vmap_options_resolve(space, options, &o) || o.flags & VMAP_PUT_PAGES)
		return -VMAP_EINVAL;
	err = vmap_size_of(space, n, o.guard, &size);
	if (!err)
		err = vmap_area_reserve(space, &o, size, 0, &area);
	return err ? err : show(space, area, frames, false, addr);
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

/* Fill the array of a reserved area with new pages. */
static int make_pages(struct vmap_space *space, struct vmap_area *area, size_t base_pages, unsigned order)
{
	bool nowait = area->flags & VMAP_NOWAIT;
	int err = vmap_pages_alloc(space->host, area->pages->pages, base_pages, order, nowait);

	/* Unmapped areas hold pages until their flush. */
	if (err == -VMAP_ENOMEM && nowait) {
		err = vmap_space_has_lazy(space) ? -VMAP_EAGAIN : err;
	} else if (err == -VMAP_ENOMEM) {
		vmap_purge(space);
		err = vmap_pages_alloc(space->host, area->pages->pages, base_pages, order, false);
	}
	if (!err)
		vmap_page_array_index(area->pages);
	return err;
}

int vmap_alloc(struct vmap_space *space, size_t size, unsigned order, const struct vmap_options *options, void **addr)
{
	size_t base_pages, n, bytes;
	struct vmap_options o;
	struct vmap_area *area;
	int err;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!size || order > VMAP_MAX_ORDER || !space->host->page_alloc || vmap_options_resolve(space, options, &o) ||
	    o.flags & (VMAP_BORROW | VMAP_PUT_PAGES))
		return -VMAP_EINVAL;
	base_pages = (size >> space->host->page_shift) + !!(size & (base_page(space) - 1));
	err = vmap_size_of(space, base_pages, o.guard, &bytes);
	if (err)
		return err;
	n = vmap_pages_count(base_pages, order);
	err = vmap_area_reserve(space, &o, bytes, n, &area);
	if (err)
		return err;
	area->allocated = true;
	err = add_array(space->host, area, n, n > base_pages >> order && n > 1);
	if (!err)
		err = make_pages(space, area, base_pages, order);
	if (err) {
		vmap_area_unreserve(space, area);
		return err;
	}
	return show(space, area, NULL, false, addr);
}
