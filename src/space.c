// SPDX-License-Identifier: MIT
/*
 * Theory: a space is one range of addresses, cut into free ranges and areas, and locks over both.
 *
 * The host's lock guards the trees: which ranges there are. What happens to an area while it is in the tree of areas (its state, the pool or
 * queue that it is in) and the totals are guarded by its shard. Shards are for CPUs: a CPU's areas, as they come from pools, are
 * those of its own shard, so that mapping and unmapping on different CPUs take different locks and no common one. Where the host
 * has no locks for shards there is one, and the space's lock guards it.
 *
 * Order: the space's lock before those of shards, those by rising number. Which area belongs to which shard changes under both locks only, and
 * so does what recent[] points to, as areas leave the tree under both. So an area that was found under either lock stays.
 *
 * A hold covers a few walks of a tree, or a bounded batch of those. Hooks that may sleep are called without any lock: memory for
 * descriptors is taken before (the spares), and what is left over is given back after. Totals are counted where something happens, in
 * the same hold, by shard, so that their sum over all, under all locks, always is the size of the space: mapped + guards + lazy +
 * free. An area counts as live from the reservation of its addresses on.
 */
#include "purge.h"
#include "tile.h"

/* That wait at a time, at most, whatever lazy_max is. */
#define MOST_PAGES ((uint32_t)1 << 30)

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

	/* Others follow with the next holds. */
	for (unsigned n = 0; n < VMAP_SPARES_BATCH && space->spares.n > VMAP_SPARES_KEPT; n++)
		vmap_spares_push(&surplus, vmap_spares_pop(&space->spares));
	vmap_space_unlock_keep(space, saved);
	free_descriptors(space->host, &surplus);
}

bool vmap_space_neighbour(const struct vmap_space *space, unsigned side, uintptr_t *addr, struct vmap_area **area)
{
	struct vmap_tree_node *node;

	*area = side ? vmap_areas_from(&space->areas, *addr) : vmap_areas_below(&space->areas, *addr);
	for (unsigned i = 0; *area && !vmap_area_is_seen(*area); i++) {
		*addr = (*area)->extent.addr + (side ? (*area)->extent.size : 0);
		if (i == VMAP_RANGES_BATCH)
			return false;
		node = vmap_tree_step(&(*area)->extent.node, side);
		*area = node ? vmap_tree_entry(node, struct vmap_area, extent.node) : NULL;
	}
	return true;
}

/* Mapped, or a hole, and not about to end. */
static bool is_live(const struct vmap_area *area)
{
	unsigned state = vmap_area_state(area);

	return (state == VMAP_STATE_MAPPED || state == VMAP_STATE_HOLE) && !(area->sparse && area->sparse->ending);
}

static int claim_part(struct vmap_area *area, uintptr_t addr, size_t size)
{
	uintptr_t into = addr - area->extent.addr;

	if (!is_live(area))
		return -VMAP_ENOENT;
	if (area->state == VMAP_STATE_HOLE || into >= area->size || size > area->size - into)
		return -VMAP_EFAULT;
	if (area->busy || area->replacing)
		return -VMAP_EBUSY;
	area->busy = true;
	if (area->sparse)
		area->sparse->changing++;
	return 0;
}

int vmap_space_claim_part(struct vmap_space *space, uintptr_t addr, size_t size, struct vmap_area **area)
{
	unsigned long saved = vmap_space_lock(space), entered;
	int err = -VMAP_ENOENT;

	*area = vmap_areas_at(&space->areas, addr);
	if (*area) {
		entered = vmap_shard_enter(space, (*area)->shard);
		err = claim_part(*area, addr, size);
		vmap_shard_leave(space, (*area)->shard, entered);
	}
	vmap_space_unlock_keep(space, saved);
	return err;
}

void vmap_area_unclaim(struct vmap_area *area)
{
	area->busy = false;
	if (area->sparse)
		area->sparse->changing--;
}

void vmap_space_unclaim(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, area->shard);
	struct vmap_shard *shard = area->shard;

	vmap_area_unclaim(area);
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock(space, saved);
}

void vmap_space_flush(struct vmap_space *space, struct vmap_range range)
{
	space->host->flush(space->host->ctx, &range, 1);
	vmap_count_flush(space);
}

/* How many areas leave the pools, at most, for one to enter. */
#define EVICTED 4

static void set_limits(struct vmap_space *space)
{
	bool at_once = space->starved || space->quarantine_max;

	for (unsigned i = 0; i < space->shards; i++)
		__atomic_store_n(&space->shard[i].limit, at_once ? 0 : vmap_space_share(space), __ATOMIC_RELAXED);
}

void vmap_space_starve(struct vmap_space *space, unsigned one)
{
	unsigned long saved = vmap_space_lock(space);

	__atomic_store_n(&space->starved, space->starved + one, __ATOMIC_RELAXED);
	set_limits(space);
	vmap_space_unlock_keep(space, saved);
}

bool vmap_area_pin(const struct vmap_host *host, struct vmap_area *area)
{
	size_t pages = area->extent.size >> host->page_shift, n;
	uintptr_t addr = area->extent.addr;

	area->entries = host->pin(host->ctx, addr, area->extent.size, &area->split);
	if (!area->entries || area->split == pages)
		return area->entries;
	addr += area->split << host->page_shift;
	area->behind = host->pin(host->ctx, addr, (pages - area->split) << host->page_shift, &n);
	if (area->behind && n == pages - area->split)
		return true;
	if (area->behind)
		host->unpin(host->ctx, addr, n << host->page_shift);
	host->unpin(host->ctx, area->extent.addr, area->split << host->page_shift);
	area->entries = area->behind = NULL;
	return false;
}

void vmap_area_cut_pins(struct vmap_space *space, struct vmap_area *area, uintptr_t from, uintptr_t to)
{
	size_t lost = (from - area->extent.addr) >> space->host->page_shift;

	if (!area->entries || area->behind) {
		vmap_area_unpin(space, area);
		return;
	}
	area->entries += lost;
	area->split = (to - from) >> space->host->page_shift;
}

void vmap_area_unpin(struct vmap_space *space, struct vmap_area *area)
{
	const struct vmap_host *host = space->host;
	size_t first = area->split << host->page_shift;

	if (area->entries)
		host->unpin(host->ctx, area->extent.addr, first);
	if (area->behind)
		host->unpin(host->ctx, area->extent.addr + first, area->extent.size - first);
	area->entries = area->behind = NULL;
	area->unpinnable = false;
}

/* Under the lock and the shard's: a free area leaves the tree. */
static void take_apart(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array **released)
{
	struct vmap_area **recent = vmap_recent(space, area->shard, area->extent.addr);

	if (*recent == area)
		*recent = NULL;
	if (area->kept) {
		area->kept->held = false;
		area->kept->next = *released;
		*released = area->kept;
		area->kept = NULL;
	}
	vmap_area_unpin(space, area);
	vmap_areas_remove(&space->areas, area);
	vmap_ranges_give(&space->ranges, &area->extent, &space->spares);
}

void vmap_space_give(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array **released)
{
	struct vmap_pools *pools = &area->shard->pools;
	unsigned shift = space->host->page_shift;
	struct vmap_area *old;

	vmap_area_set_state(area, VMAP_STATE_FREE);
	for (unsigned i = 0; i < EVICTED && !vmap_space_is_starved(space); i++) {
		if (vmap_pool_put(pools, shift, area))
			return;
		old = vmap_pool_evict(pools, area->extent.size, shift);
		if (!old)
			break;
		take_apart(space, old, released);
	}
	take_apart(space, area, released);
}

void vmap_space_release(const struct vmap_host *host, struct vmap_page_array *released)
{
	struct vmap_page_array *array;

	while ((array = released)) {
		released = array->next;
		if (array->held)
			host->page_put(host->ctx, array->pages, array->n);
		vmap_page_array_free(host, array);
	}
}

/* Take a batch apart of what is in a shard's pools. false: they are empty. */
static bool drain_batch(struct vmap_space *space, struct vmap_shard *shard, bool nowait)
{
	struct vmap_page_array *released = NULL;
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, shard);
	struct vmap_area *area = NULL;

	for (unsigned i = 0; i < VMAP_POOL_BATCH; i++) {
		area = vmap_pool_drain(&shard->pools);
		if (!area)
			break;
		take_apart(space, area, &released);
	}
	vmap_shard_leave(space, shard, entered);
	if (nowait)
		vmap_space_unlock_keep(space, saved);
	else
		vmap_space_unlock(space, saved);
	vmap_space_release(space->host, released);
	return area;
}

void vmap_space_drain_pools(struct vmap_space *space, bool nowait)
{
	for (unsigned i = 0; i < space->shards; i++)
		while (drain_batch(space, &space->shard[i], nowait))
			;
}

void vmap_count_flush(struct vmap_space *space)
{
	struct vmap_shard *shard = vmap_shard_here(space);
	unsigned long saved = vmap_shard_lock(space, shard);

	shard->stats.flushes++;
	vmap_shard_unlock(space, shard, saved);
}

static bool host_is_valid(const struct vmap_host *host)
{
	if (!host || host->version != VMAP_HOST_VERSION || host->page_shift < 12 || host->page_shift > 30)
		return false;
	if (!host->meta_alloc || !host->meta_free || !host->page_get || !host->page_put)
		return false;
	if (!host->lock_shard != !host->unlock_shard || (host->lock_shard && (!host->lock || !host->cpu)))
		return false;
	if (host->pin && (!host->unpin || !host->entry_bits))
		return false;
	return host->map && host->unmap && host->flush && !host->lock == !host->unlock;
}

static bool config_is_valid(const struct vmap_space_config *config, unsigned page_shift)
{
	uintptr_t mask = ((uintptr_t)1 << page_shift) - 1;

	return config && config->base && config->size && !((config->base | config->size) & mask) &&
	       config->size <= UINTPTR_MAX - config->base;
}

/* What the pools of a shard may hold: what waits for a flush at a time, and some more, but only a part of all addresses. */
static size_t pool_max(const struct vmap_space *space)
{
	size_t max = (size_t)1024 << space->host->page_shift, part = space->size / (4 * space->shards);

	max += space->lazy_max < SIZE_MAX - max ? space->lazy_max : SIZE_MAX - max;
	return max < part ? max : part;
}

static void begin_shards(struct vmap_space *space)
{
	const struct vmap_host *host = space->host;
	size_t budget;

	space->shards = 1;
	if (host->lock_shard)
		space->shards = host->shards < VMAP_SHARDS ? host->shards : VMAP_SHARDS;
	budget = space->lazy_max >> host->page_shift;
	space->budget = budget < MOST_PAGES ? (uint32_t)budget : MOST_PAGES;
	space->budget += !space->budget && space->lazy_max;
	set_limits(space);
	for (unsigned i = 0; i < space->shards; i++)
		space->shard[i].pools.max = pool_max(space);
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
	begin_shards(space);
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
	struct vmap_stats stats;

	vmap_space_sum(space, &stats);
	if (stats.areas)
		return -VMAP_EBUSY;
	vmap_purge(space);
	vmap_quarantine_end(space, false);
	vmap_ram_trim(space, false);
	vmap_space_drain_pools(space, false);
	vmap_ram_end(space);
	/* Nothing is mapped: the free ranges have melted into the one they were made from. */
	vmap_spares_push(&space->spares, vmap_ranges_whole(&space->ranges));
	free_descriptors(host, &space->spares);
	host->meta_free(host->ctx, space, sizeof(*space));
	return 0;
}

static void add(struct vmap_stats *sum, const struct vmap_stats *stats)
{
	sum->mapped += stats->mapped;
	sum->holes += stats->holes;
	sum->guards += stats->guards;
	sum->lazy_areas += stats->lazy_areas;
	sum->lazy += stats->lazy;
	sum->quarantined += stats->quarantined;
	sum->ram += stats->ram;
	sum->pages_held += stats->pages_held;
	sum->maps += stats->maps;
	sum->unmaps += stats->unmaps;
	sum->flushes += stats->flushes;
	sum->pool_hits += stats->pool_hits;
}

void vmap_space_sum(struct vmap_space *space, struct vmap_stats *stats)
{
	unsigned long saved = vmap_space_lock(space), entered[VMAP_SHARDS];

	*stats = space->stats;
	stats->free = space->ranges.free;
	for (unsigned i = 0; i < space->shards; i++) {
		entered[i] = vmap_shard_enter(space, &space->shard[i]);
		stats->free += space->shard[i].pools.bytes;
		add(stats, &space->shard[i].stats);
	}
	stats->areas = (size_t)(stats->maps - stats->unmaps);
	vmap_ram_sum(space, stats);
	for (unsigned i = space->shards; i-- > 0;)
		vmap_shard_leave(space, &space->shard[i], entered[i]);
	vmap_space_unlock_keep(space, saved);
}

bool vmap_space_has_lazy(struct vmap_space *space)
{
	struct vmap_stats stats;

	vmap_space_sum(space, &stats);
	return stats.lazy;
}

void vmap_space_stats(struct vmap_space *space, struct vmap_stats *stats)
{
	vmap_space_sum(space, stats);
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
		.state = (int)vmap_area_state(area),
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

/* Under both locks: what is known of the area, or the tile of a sparse one, that covers addr. */
static void explain(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_explanation *why)
{
	bool ending = area->sparse && area->sparse->ending;

	why->area = vmap_area_info_at(space, area, addr);
	why->state = why->area.state;
	if (why->state != VMAP_STATE_MAPPED) {
		why->unmapped_by = ending ? area->sparse->unmapped_by : area->unmapped_by;
		why->unmapped_at = ending ? area->sparse->unmapped_at : area->unmapped_at;
	}
	if (area->sparse)
		why->part = (struct vmap_range){.addr = area->extent.addr, .size = area->size};
	if ((why->state == VMAP_STATE_MAPPED || why->state == VMAP_STATE_HOLE) && addr - why->area.addr >= why->area.size) {
		why->state = VMAP_STATE_GUARD;
		why->beyond = addr - why->area.addr - why->area.size + 1;
	}
}

bool vmap_space_look(struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_explanation *why)
{
	unsigned long entered = vmap_shard_enter(space, area->shard);
	bool seen = vmap_area_is_seen(area);

	if (seen)
		explain(space, area, addr, why);
	vmap_shard_leave(space, area->shard, entered);
	return seen;
}

int vmap_area_at(struct vmap_space *space, const void *addr, struct vmap_area_info *info)
{
	unsigned long saved = vmap_space_lock(space);
	struct vmap_area *area = vmap_areas_at(&space->areas, (uintptr_t)addr);
	struct vmap_explanation why = {.area.state = VMAP_STATE_FREE};
	bool found = area && vmap_space_look(space, area, (uintptr_t)addr, &why);

	vmap_space_unlock_keep(space, saved);
	*info = why.area;
	if (found && why.state == VMAP_STATE_GUARD)
		info->state = VMAP_STATE_GUARD;
	return found ? 0 : -VMAP_ENOENT;
}

/* Under the lock and its shard's. */
static int page_at(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_page **page,
		   size_t *offset)
{
	unsigned shift = space->host->page_shift;
	size_t into, within;

	if (area->ram)
		return vmap_ram_page_at(space, area, addr, page, offset);
	if (!is_live(area))
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
	unsigned long saved = vmap_space_lock(space), entered;
	struct vmap_area *area = vmap_areas_at(&space->areas, (uintptr_t)addr);
	int err = -VMAP_ENOENT;

	if (area) {
		entered = vmap_shard_enter(space, area->shard);
		err = page_at(space, area, (uintptr_t)addr, page, offset);
		vmap_shard_leave(space, area->shard, entered);
	}
	vmap_space_unlock_keep(space, saved);
	return err;
}

/*
 * Under the lock: the first area, or short-lived map, that begins at *addr or behind it. -VMAP_ENOENT: none; -VMAP_EAGAIN: none in the
 * batch that was looked at, and *addr is where to go on.
 */
static int next_info(struct vmap_space *space, uintptr_t *addr, struct vmap_area_info *info)
{
	struct vmap_area *area = vmap_areas_at(&space->areas, *addr);
	struct vmap_explanation why;
	uintptr_t from = *addr;
	unsigned long entered;
	bool found;

	if ((!area || (!area->ram && area->extent.addr != from)) && !vmap_space_neighbour(space, 1, addr, &area))
		return -VMAP_EAGAIN;
	if (!area)
		return -VMAP_ENOENT;
	*addr = area->extent.addr + area->extent.size;
	if (area->sparse) {
		/* Of a sparse area only the beginning counts. */
		*addr = area->sparse->extent.addr + area->sparse->extent.size;
		if (area->sparse->extent.addr < from)
			return -VMAP_EAGAIN;
		*info = vmap_area_info_of(area);
		return 0;
	}
	if (area->ram) {
		entered = vmap_shard_enter(space, area->shard);
		found = vmap_ram_next(space, area, from, info);
		vmap_shard_leave(space, area->shard, entered);
		return found ? 0 : -VMAP_EAGAIN;
	}
	found = vmap_space_look(space, area, from, &why);
	*info = why.area;
	return found ? 0 : -VMAP_EAGAIN;
}

int vmap_area_next(struct vmap_space *space, uintptr_t *cursor, struct vmap_area_info *info)
{
	uintptr_t addr = *cursor;
	unsigned long saved;
	int err;

	do {
		saved = vmap_space_lock(space);
		err = next_info(space, &addr, info);
		vmap_space_unlock_keep(space, saved);
	} while (err == -VMAP_EAGAIN);
	if (!err)
		*cursor = info->addr + info->size + info->guard;
	return err;
}
