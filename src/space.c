// SPDX-License-Identifier: MIT
/*
 * Theory: a space is one range of addresses, cut into free ranges and areas, and one lock over both.
 *
 * There is one lock, the host's, and no order to keep. A hold of it covers a few walks of a tree, and a bounded batch of
 * those in a purge. Hooks that may sleep are called without it: memory for descriptors is taken before (the spares), and what
 * is left over is given back after. Totals are counted where something happens, in the same hold, so that at any time
 * mapped + guards + lazy + free is the size of the space; an area counts as live from the reservation of its addresses on.
 */
#include "purge.h"
#include "tile.h"

unsigned long vmap_space_lock(struct vmap_space *space)
{
	return space->host->lock ? space->host->lock(space->host->ctx) : 0;
}

static void free_descriptors(const struct vmap_host *host, struct vmap_spares *spares)
{
	while (spares->n)
		host->meta_free(host->ctx, vmap_area_of(vmap_spares_pop(spares)), sizeof(struct vmap_area));
}

/* Make n more spare descriptors. false: no memory. */
static bool make_descriptors(const struct vmap_host *host, struct vmap_spares *spares, unsigned n, bool nowait)
{
	struct vmap_area *area;

	for (unsigned i = 0; i < n; i++) {
		area = vmap_meta_alloc(host, sizeof(*area), nowait);
		if (!area) {
			free_descriptors(host, spares);
			return false;
		}
		*area = (struct vmap_area){0};
		vmap_spares_push(spares, &area->extent);
	}
	return true;
}

int vmap_space_lock_spares(struct vmap_space *space, unsigned long *saved, bool nowait)
{
	struct vmap_spares made = {0};

	*saved = vmap_space_lock(space);
	if (space->spares.n >= VMAP_TAKE_SPARES)
		return 0;
	vmap_space_unlock_keep(space, *saved);
	if (!make_descriptors(space->host, &made, VMAP_TAKE_SPARES, nowait))
		return -VMAP_ENOMEM;
	*saved = vmap_space_lock(space);
	while (made.n)
		vmap_spares_push(&space->spares, vmap_spares_pop(&made));
	return 0;
}

void vmap_space_unlock_keep(struct vmap_space *space, unsigned long saved)
{
	if (space->host->unlock)
		space->host->unlock(space->host->ctx, saved);
}

void vmap_space_unlock(struct vmap_space *space, unsigned long saved)
{
	struct vmap_spares surplus = {0};

	while (space->spares.n > VMAP_SPARES_KEPT)
		vmap_spares_push(&surplus, vmap_spares_pop(&space->spares));
	vmap_space_unlock_keep(space, saved);
	free_descriptors(space->host, &surplus);
}

/* Mapped, or a hole, and not about to end. */
static bool is_live(const struct vmap_area *area)
{
	return (area->state == VMAP_STATE_MAPPED || area->state == VMAP_STATE_HOLE) && !(area->sparse && area->sparse->ending);
}

int vmap_space_claim_part(struct vmap_space *space, uintptr_t addr, size_t size, struct vmap_area **area)
{
	struct vmap_area *found = vmap_areas_at(&space->areas, addr);
	size_t into;

	if (!found || !is_live(found))
		return -VMAP_ENOENT;
	into = addr - found->extent.addr;
	if (found->state == VMAP_STATE_HOLE || into >= found->size || size > found->size - into)
		return -VMAP_EFAULT;
	if (found->busy || found->replacing)
		return -VMAP_EBUSY;
	found->busy = true;
	if (found->sparse)
		found->sparse->changing++;
	*area = found;
	return 0;
}

void vmap_space_unclaim(struct vmap_area *area)
{
	area->busy = false;
	if (area->sparse)
		area->sparse->changing--;
}

void vmap_space_flush(struct vmap_space *space, struct vmap_range range)
{
	unsigned long saved;

	space->host->flush(space->host->ctx, &range, 1);
	saved = vmap_space_lock(space);
	space->stats.flushes++;
	vmap_space_unlock(space, saved);
}

void vmap_space_drain_pools(struct vmap_space *space, bool nowait)
{
	unsigned long saved;
	bool more;

	do {
		saved = vmap_space_lock(space);
		more = vmap_ranges_drain(&space->ranges, &space->spares);
		if (nowait)
			vmap_space_unlock_keep(space, saved);
		else
			vmap_space_unlock(space, saved);
	} while (more);
}

static size_t references(const struct vmap_area *area)
{
	return area->pages && area->pages->held ? area->pages->n : 0;
}

void vmap_space_count_reserved(struct vmap_space *space, const struct vmap_area *area)
{
	space->stats.areas++;
	space->stats.mapped += area->size;
	space->stats.guards += vmap_area_guard(area);
	space->stats.pages_held += references(area);
}

void vmap_space_count_unreserved(struct vmap_space *space, const struct vmap_area *area)
{
	space->stats.areas--;
	space->stats.mapped -= area->size;
	space->stats.guards -= vmap_area_guard(area);
	space->stats.pages_held -= references(area);
}

void vmap_space_count_unmapped(struct vmap_space *space, const struct vmap_area *area)
{
	space->stats.areas--;
	space->stats.mapped -= area->size;
	space->stats.guards -= vmap_area_guard(area);
	space->stats.lazy_areas++;
	space->stats.lazy += area->extent.size;
}

void vmap_space_count_flushed(struct vmap_space *space, const struct vmap_area *area)
{
	space->stats.lazy_areas--;
	space->stats.lazy -= area->extent.size;
	space->stats.pages_held -= references(area);
}

static bool host_is_valid(const struct vmap_host *host)
{
	if (!host || host->version != VMAP_HOST_VERSION || host->page_shift < 12 || host->page_shift > 30)
		return false;
	if (!host->meta_alloc || !host->meta_free || !host->page_get || !host->page_put)
		return false;
	return host->map && host->unmap && host->flush && !host->lock == !host->unlock;
}

static bool config_is_valid(const struct vmap_space_config *config, unsigned page_shift)
{
	uintptr_t mask = ((uintptr_t)1 << page_shift) - 1;

	return config && config->base && config->size && !((config->base | config->size) & mask) &&
	       config->size <= UINTPTR_MAX - config->base;
}

int vmap_space_create(const struct vmap_host *host, const struct vmap_space_config *config, struct vmap_space **result)
{
	struct vmap_space *space;
	struct vmap_extent *all;

	if (!result)
		return -VMAP_EINVAL;
	*result = NULL;
	if (!host_is_valid(host) || !config_is_valid(config, host->page_shift))
		return -VMAP_EINVAL;
	space = host->meta_alloc(host->ctx, sizeof(*space));
	if (!space)
		return -VMAP_ENOMEM;
	*space = (struct vmap_space){
		.host = host,
		.base = config->base,
		.size = config->size,
		.lazy_max = config->lazy_max,
		.quarantine_max = config->quarantine,
	};
	if (!make_descriptors(host, &space->spares, 1, false)) {
		host->meta_free(host->ctx, space, sizeof(*space));
		return -VMAP_ENOMEM;
	}
	all = vmap_spares_pop(&space->spares);
	all->addr = config->base;
	all->size = config->size;
	vmap_ranges_init(&space->ranges, host->page_shift);
	vmap_ranges_give(&space->ranges, all, &space->spares);
	*result = space;
	return 0;
}

int vmap_space_destroy(struct vmap_space *space)
{
	const struct vmap_host *host = space->host;
	unsigned long saved = vmap_space_lock(space);
	size_t live = space->stats.areas;

	vmap_space_unlock(space, saved);
	if (live)
		return -VMAP_EBUSY;
	vmap_purge(space);
	vmap_quarantine_end(space, false);
	vmap_ram_trim(space, false);
	vmap_space_drain_pools(space, false);
	/* Nothing is mapped: the free ranges have melted into the one they were made from. */
	vmap_spares_push(&space->spares, vmap_ranges_whole(&space->ranges));
	free_descriptors(host, &space->spares);
	host->meta_free(host->ctx, space, sizeof(*space));
	return 0;
}

void vmap_space_stats(struct vmap_space *space, struct vmap_stats *stats)
{
	unsigned long saved = vmap_space_lock(space);

	*stats = space->stats;
	stats->free = space->ranges.free;
	stats->pool_hits = space->ranges.pool_hits;
	vmap_space_unlock(space, saved);
}

struct vmap_area_info vmap_area_info_of(const struct vmap_area *area)
{
	if (area->sparse)
		return vmap_sparse_listed(area->sparse);
	return (struct vmap_area_info){
		.addr = area->extent.addr,
		.size = area->size,
		.guard = vmap_area_guard(area),
		.pages = area->pages ? area->pages->n : 0,
		.flags = area->flags,
		.prot = area->prot,
		.state = area->state,
		.tag = area->tag,
		.generation = area->generation,
	};
}

struct vmap_area_info vmap_area_info_at(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr)
{
	if (area->ram)
		return vmap_ram_info(space, area, addr);
	return area->sparse ? vmap_sparse_info(area) : vmap_area_info_of(area);
}

int vmap_area_at(struct vmap_space *space, const void *addr, struct vmap_area_info *info)
{
	unsigned long saved = vmap_space_lock(space);
	struct vmap_area *area = vmap_areas_at(&space->areas, (uintptr_t)addr);

	*info = (struct vmap_area_info){.state = VMAP_STATE_FREE};
	if (area)
		*info = vmap_area_info_at(space, area, (uintptr_t)addr);
	vmap_space_unlock(space, saved);
	if (!area)
		return -VMAP_ENOENT;
	if ((info->state == VMAP_STATE_MAPPED || info->state == VMAP_STATE_HOLE) && (uintptr_t)addr - info->addr >= info->size)
		info->state = VMAP_STATE_GUARD;
	return 0;
}

/* Under the lock. */
static int page_at(const struct vmap_space *space, uintptr_t addr, struct vmap_page **page, size_t *offset)
{
	const struct vmap_area *area = vmap_areas_at(&space->areas, addr);
	unsigned shift = space->host->page_shift;
	size_t into, within;

	if (area && area->ram)
		return vmap_ram_page_at(space, area, addr, page, offset);
	if (!area || !is_live(area))
		return -VMAP_ENOENT;
	into = addr - area->extent.addr;
	if (into >= area->size || !area->pages || area->state == VMAP_STATE_HOLE)
		return -VMAP_EFAULT;
	*page = vmap_page_array_at(area->pages, into >> shift, &within);
	*offset = (within << shift) | (into & (((size_t)1 << shift) - 1));
	return 0;
}

int vmap_page_at(struct vmap_space *space, const void *addr, struct vmap_page **page, size_t *offset)
{
	unsigned long saved = vmap_space_lock(space);
	int err = page_at(space, (uintptr_t)addr, page, offset);

	vmap_space_unlock(space, saved);
	return err;
}

/* Under the lock: the first area, or short-lived map, that begins at addr or behind it. */
static bool next_info(const struct vmap_space *space, uintptr_t addr, struct vmap_area_info *info)
{
	struct vmap_area *area = vmap_areas_at(&space->areas, addr);

	if (!area || (!area->ram && area->extent.addr != addr))
		area = vmap_areas_from(&space->areas, addr);
	/* Of a sparse area only the beginning counts. */
	if (area && area->sparse && area->sparse->extent.addr < addr)
		area = vmap_areas_from(&space->areas, area->sparse->extent.addr + area->sparse->extent.size);
	while (area && area->ram) {
		if (vmap_ram_next(space, area, addr, info))
			return true;
		area = vmap_areas_from(&space->areas, area->extent.addr + area->extent.size);
	}
	if (area)
		*info = vmap_area_info_of(area);
	return area;
}

int vmap_area_next(struct vmap_space *space, uintptr_t *cursor, struct vmap_area_info *info)
{
	unsigned long saved = vmap_space_lock(space);
	bool found = next_info(space, *cursor, info);

	vmap_space_unlock_keep(space, saved);
	if (!found)
		return -VMAP_ENOENT;
	*cursor = info->addr + info->size + info->guard;
	return 0;
}
