// SPDX-License-Identifier: MIT
/*
 * Theory: short-lived maps live in blocks, areas of VMAP_RAM_SLOTS base pages with a small allocator each.
 *
 * A block hands out its slots one after the other from a window, a run of slots that are flushed and free: mapping is an addition.
 * When the window is used up, the first long enough run of the block's free slots is the next one, so a window is as long as
 * whatever was freed, rounded to nothing. Each CPU has a current block; one whose free slots do not suffice is left, and
 * is usable again for any CPU when enough of its maps were flushed. A map is found again by its address: the current block
 * first, then the tree of areas, in which a block is one area.
 *
 * Unmapped maps wait in a queue of their own, which shares the sequence numbers and the budget with that of areas (purge.c) and is
 * completed in the same way: what was queued before a flush began is free after it, wherever it lies. A long-lived map keeps
 * its own slots and nothing else: other slots of its block are used again, and when addresses run out what lies before the
 * first and behind the last used slot of a block goes back to the free ranges. A block that nobody uses goes back as a whole.
 *
 * Locks: the space's. Costs: two holds to map and to unmap, of a constant number of steps; a look at four words of bits when a
 * window is used up; nothing is allocated but blocks.
 */
#include "map.h"
#include "purge.h"

#define RAM_FLAGS (VMAP_BORROW | VMAP_PUT_PAGES | VMAP_NO_GUARD | VMAP_NOWAIT)

/* A block is looked at again when this many of its slots are free; so many of them are, at most, in one hold of the lock. */
#define USABLE_SLOTS (VMAP_RAM_SLOTS / 4)
#define TRIES 4

/* Lists */

static void link_block(struct vmap_ram_block **list, struct vmap_ram_block *block, struct vmap_ram_link *link, size_t member)
{
	struct vmap_ram_block *next = *list;

	if (link->from)
		return;
	link->next = next;
	link->from = list;
	if (next)
		((struct vmap_ram_link *)(void *)((char *)next + member))->from = &link->next;
	*list = block;
}

static void unlink_block(struct vmap_ram_link *link, size_t member)
{
	if (!link->from)
		return;
	*link->from = link->next;
	if (link->next)
		((struct vmap_ram_link *)(void *)((char *)link->next + member))->from = link->from;
	link->from = NULL;
}

#define LINK(list, block, link) link_block(list, block, &(block)->link, offsetof(struct vmap_ram_block, link))
#define UNLINK(block, link) unlink_block(&(block)->link, offsetof(struct vmap_ram_block, link))

/* Slots */

static void set_free(struct vmap_ram_block *block, unsigned first, unsigned n)
{
	for (; n; first++, n--)
		block->free[first / 64] |= (uint64_t)1 << first % 64;
}

static bool is_free(const struct vmap_ram_block *block, unsigned slot)
{
	return block->free[slot / 64] >> slot % 64 & 1;
}

/* The number of the lowest bit that is set, of at least one. No builtin: where there is no instruction it is a call into a runtime. */
static unsigned lowest_bit(uint64_t bits)
{
	unsigned n = 0;

	for (unsigned half = 32; half; half /= 2) {
		if (bits << (64 - half))
			continue;
		bits >>= half;
		n += half;
	}
	return n;
}

/* The end of the run of slots from first on that are free, or are not. */
static unsigned run_end(const struct vmap_ram_block *block, unsigned first, bool free)
{
	uint64_t other;

	while (first < VMAP_RAM_SLOTS) {
		other = (free ? ~block->free[first / 64] : block->free[first / 64]) >> first % 64;
		if (other)
			return first + lowest_bit(other);
		first = (first | 63) + 1;
	}
	return VMAP_RAM_SLOTS;
}

static void close_window(struct vmap_ram_block *block)
{
	set_free(block, block->next, block->end - block->next);
	block->next = block->end = 0;
}

/* Make the first run of at least this many slots the window. */
static bool open_window(struct vmap_ram_block *block, unsigned slots)
{
	unsigned first, end;

	close_window(block);
	for (first = run_end(block, 0, false); first < VMAP_RAM_SLOTS; first = run_end(block, end, false)) {
		end = run_end(block, first, true);
		if (end - first < slots)
			continue;
		block->next = first;
		block->end = end;
		for (; first < end; first++)
			block->free[first / 64] &= ~((uint64_t)1 << first % 64);
		return true;
	}
	return false;
}

/* Blocks */

static unsigned shard_of(const struct vmap_space *space)
{
	return space->host->cpu ? space->host->cpu(space->host->ctx) % VMAP_RAM_SHARDS : 0;
}

/* Under the lock: as soon as a block has room it is usable by anybody, if it is nobody's. */
static void note_room(struct vmap_space *space, struct vmap_ram_block *block)
{
	if (!block->current && block->last - block->first - block->used >= USABLE_SLOTS)
		LINK(&space->ram.usable, block, usable);
}

/* Under the lock: make block (or none) the CPU's current one. */
static void set_current(struct vmap_space *space, unsigned shard, struct vmap_ram_block *block)
{
	struct vmap_ram_block *old = space->ram.current[shard];

	if (old) {
		close_window(old);
		old->current = false;
		if (!old->used)
			LINK(&space->ram.usable, old, usable);
	}
	space->ram.current[shard] = block;
	if (block) {
		block->current = true;
		UNLINK(block, usable);
	}
}

/* Under the lock: take slots. NULL: no block that was looked at has them; *more: others may. */
static struct vmap_ram_map *take_slots(struct vmap_space *space, unsigned shard, unsigned slots, bool *more)
{
	struct vmap_ram_block *block = space->ram.current[shard];
	struct vmap_ram_map *map;

	for (unsigned i = 0; !block || (block->end - block->next < slots && !open_window(block, slots)); i++) {
		block = space->ram.usable;
		set_current(space, shard, block);
		*more = block;
		if (!block || i == TRIES)
			return NULL;
	}
	map = &block->maps[block->next];
	map->slots = (uint16_t)slots;
	block->next += slots;
	block->used += slots;
	return map;
}

/* A new block for this CPU. */
static int add_block(struct vmap_space *space, unsigned shard, bool nowait)
{
	const struct vmap_host *host = space->host;
	struct vmap_ram_block *block = vmap_meta_alloc(host, sizeof(*block), nowait);
	struct vmap_area model = {.size = (size_t)VMAP_RAM_SLOTS << host->page_shift, .state = VMAP_STATE_RAM};
	struct vmap_options options = {.flags = nowait ? VMAP_NOWAIT : 0};
	unsigned long saved;
	int err;

	if (!block)
		return -VMAP_ENOMEM;
	*block = (struct vmap_ram_block){.last = VMAP_RAM_SLOTS};
	set_free(block, 0, VMAP_RAM_SLOTS);
	for (unsigned i = 0; i < VMAP_RAM_SLOTS; i++)
		block->maps[i].block = block;
	options.guard = options.align = (size_t)1 << host->page_shift;
	options.max = UINTPTR_MAX;
	model.ram = block;
	model.flags = options.flags;
	err = vmap_area_reserve(space, &options, &model, &block->area);
	if (err) {
		host->meta_free(host->ctx, block, sizeof(*block));
		return err;
	}
	block->base = block->area->extent.addr;
	saved = vmap_space_lock(space);
	vmap_space_count_unreserved(space, block->area);
	space->stats.ram += block->area->extent.size;
	vmap_areas_insert(&space->areas, block->area);
	LINK(&space->ram.all, block, all);
	set_current(space, shard, block);
	vmap_space_unlock_keep(space, saved);
	return 0;
}

/* Under the lock: give a block that has no map back; its memory follows after the lock. */
static void drop_block(struct vmap_space *space, struct vmap_ram_block *block, struct vmap_ram_block **freed)
{
	for (unsigned shard = 0; block->current && shard < VMAP_RAM_SHARDS; shard++)
		if (space->ram.current[shard] == block)
			space->ram.current[shard] = NULL;
	UNLINK(block, all);
	UNLINK(block, usable);
	space->stats.ram -= block->area->extent.size;
	vmap_areas_remove(&space->areas, block->area);
	vmap_ranges_give(&space->ranges, &block->area->extent, &space->spares);
	block->freed = *freed;
	*freed = block;
}

static void free_blocks(const struct vmap_host *host, struct vmap_ram_block *freed)
{
	struct vmap_ram_block *block;

	while ((block = freed)) {
		freed = block->freed;
		host->meta_free(host->ctx, block, sizeof(*block));
	}
}

/* Maps */

static uintptr_t addr_of(const struct vmap_space *space, const struct vmap_ram_map *map)
{
	return map->block->base + ((uintptr_t)(map - map->block->maps) << space->host->page_shift);
}

/* Under the lock. */
static void count_mapped(struct vmap_space *space, const struct vmap_ram_map *map)
{
	unsigned shift = space->host->page_shift;

	space->stats.areas++;
	space->stats.mapped += (size_t)map->size << shift;
	space->stats.guards += (size_t)(map->slots - map->size) << shift;
	space->stats.ram -= (size_t)map->slots << shift;
	space->stats.pages_held += map->held ? map->n : 0;
}

static void count_unmapped(struct vmap_space *space, const struct vmap_ram_map *map)
{
	unsigned shift = space->host->page_shift;

	space->stats.areas--;
	space->stats.mapped -= (size_t)map->size << shift;
	space->stats.guards -= (size_t)(map->slots - map->size) << shift;
	space->stats.lazy_areas++;
	space->stats.lazy += (size_t)map->slots << shift;
}

static void count_flushed(struct vmap_space *space, const struct vmap_ram_map *map)
{
	unsigned shift = space->host->page_shift;

	space->stats.lazy_areas--;
	space->stats.lazy -= (size_t)map->slots << shift;
	space->stats.ram += (size_t)map->slots << shift;
	space->stats.pages_held -= map->held ? map->n : 0;
}

static int reserve(struct vmap_space *space, const struct vmap_ram_map *model, bool nowait, struct vmap_ram_map **result)
{
	struct vmap_ram_block *block;
	struct vmap_ram_map *map;
	unsigned long saved;
	unsigned shard;
	bool more;
	int err;

	for (;;) {
		shard = shard_of(space);
		saved = vmap_space_lock(space);
		map = take_slots(space, shard, model->slots, &more);
		if (map) {
			block = map->block;
			*map = *model;
			map->block = block;
			count_mapped(space, map);
			vmap_space_unlock_keep(space, saved);
			*result = map;
			return 0;
		}
		vmap_space_unlock_keep(space, saved);
		err = more ? 0 : add_block(space, shard, nowait);
		if (err)
			return err;
	}
}

/* Under the lock: let a map that was unmapped wait for its flush. */
static void queue(struct vmap_space *space, struct vmap_ram_map *map)
{
	struct vmap_ram_block *block = map->block;
	unsigned slot = (unsigned)(map - block->maps);

	map->state = VMAP_RAM_QUEUED;
	map->seq = ++space->lazy_seq;
	map->next = NULL;
	if (space->ram.first)
		space->ram.last->next = map;
	else
		space->ram.first = map;
	space->ram.last = map;
	if (!block->waiting++) {
		LINK(&space->ram.dirty, block, dirty);
		block->low = VMAP_RAM_SLOTS;
		block->high = 0;
	}
	block->low = slot < block->low ? slot : block->low;
	block->high = slot + map->size > block->high ? slot + map->size : block->high;
	space->lazy_pending += (size_t)map->slots << space->host->page_shift;
}

static void end_map(struct vmap_space *space, struct vmap_ram_map *map, bool nowait)
{
	unsigned long saved = vmap_space_lock(space);
	bool at_once;

	queue(space, map);
	at_once = !space->lazy_max || space->quarantine_max || space->ranges.starved;
	vmap_purge_unlock(space, saved, at_once, nowait);
}

/* The map hook failed: what it has shown for a moment is flushed with the rest that waits. */
static void give_up(struct vmap_space *space, struct vmap_ram_map *map, unsigned flags)
{
	unsigned long saved;

	if (flags & VMAP_PUT_PAGES)
		space->host->page_get(space->host->ctx, &map->block->pages[map - map->block->maps], map->n);
	saved = vmap_space_lock(space);
	count_unmapped(space, map);
	queue(space, map);
	vmap_purge_unlock(space, saved, true, flags & VMAP_NOWAIT);
}

static int map_small(struct vmap_space *space, struct vmap_page *const *pages, const struct vmap_ram_map *model, unsigned flags,
		     void **addr)
{
	int (*map_hook)(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot) = space->host->map;
	const struct vmap_host *host = space->host;
	struct vmap_ram_map *map;
	struct vmap_page **own;
	unsigned long saved;
	int err = reserve(space, model, flags & VMAP_NOWAIT, &map);

	if (err)
		return err;
	own = &map->block->pages[map - map->block->maps];
	for (unsigned i = 0; i < model->n; i++)
		own[i] = pages[i];
	if (!(flags & (VMAP_BORROW | VMAP_PUT_PAGES)))
		host->page_get(host->ctx, pages, model->n);
	if (flags & VMAP_NOWAIT && host->map_nowait)
		map_hook = host->map_nowait;
	err = map_hook(host->ctx, addr_of(space, map), pages, model->n, model->prot);
	if (err) {
		give_up(space, map, flags);
		return err;
	}
	*addr = (void *)addr_of(space, map);
	saved = vmap_space_lock(space);
	map->state = VMAP_RAM_LIVE;
	space->stats.maps++;
	vmap_space_unlock_keep(space, saved);
	return 0;
}

int vmap_ram(struct vmap_space *space, struct vmap_page *const *pages, size_t n, unsigned flags, unsigned prot, void **addr)
{
	struct vmap_options options = {.flags = flags, .prot = prot};
	struct vmap_ram_map model;
	size_t base_pages;
	bool mixed;
	int err;

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!pages || !n || flags & ~RAM_FLAGS || vmap_options_resolve(space, &options, &options))
		return -VMAP_EINVAL;
	err = vmap_pages_survey(space, pages, n, &base_pages, &mixed);
	if (err)
		return err;
	if (base_pages > VMAP_RAM_PAGES)
		return vmap_pages(space, pages, n, &(struct vmap_options){.flags = flags, .prot = prot}, addr);
	model = (struct vmap_ram_map){
		.slots = (uint16_t)(base_pages + !(flags & VMAP_NO_GUARD)),
		.size = (uint8_t)base_pages,
		.n = (uint8_t)n,
		.state = VMAP_RAM_BEGUN,
		.held = !(flags & VMAP_BORROW),
		.prot = options.prot,
	};
	err = map_small(space, pages, &model, flags, addr);
	/* There is no room for a block; there may be for the map. */
	if (err == -VMAP_ENOSPC || err == -VMAP_EAGAIN)
		err = vmap_pages(space, pages, n, &(struct vmap_options){.flags = flags, .prot = prot}, addr);
	return err;
}

/* Under the lock: the block that holds addr. */
static struct vmap_ram_block *block_at(const struct vmap_space *space, uintptr_t addr, unsigned shard)
{
	struct vmap_ram_block *block = space->ram.current[shard];
	struct vmap_area *area;

	if (block && addr - block->area->extent.addr < block->area->extent.size)
		return block;
	area = vmap_areas_at(&space->areas, addr);
	return area ? area->ram : NULL;
}

/* Under the lock: mark the map that begins at addr as unmapped. */
static int claim(struct vmap_space *space, uintptr_t addr, struct vmap_ram_block *block, struct vmap_ram_map **map)
{
	uintptr_t into = addr - block->base, slot = into >> space->host->page_shift;
	struct vmap_ram_map *found;

	if (into & (((uintptr_t)1 << space->host->page_shift) - 1) || slot >= VMAP_RAM_SLOTS)
		return -VMAP_ENOENT;
	found = &block->maps[slot];
	if (found->state == VMAP_RAM_NONE || found->state == VMAP_RAM_BEGUN)
		return -VMAP_ENOENT;
	if (found->state != VMAP_RAM_LIVE)
		return -VMAP_EALREADY;
	found->state = VMAP_RAM_ENDING;
	space->stats.unmaps++;
	count_unmapped(space, found);
	*map = found;
	return 0;
}

static int unmap(struct vmap_space *space, const void *addr, bool nowait)
{
	unsigned shard = shard_of(space);
	struct vmap_ram_block *block;
	struct vmap_ram_map *map;
	unsigned long saved;
	int err;

	saved = vmap_space_lock(space);
	block = block_at(space, (uintptr_t)addr, shard);
	err = block ? claim(space, (uintptr_t)addr, block, &map) : 0;
	vmap_space_unlock_keep(space, saved);
	if (err)
		return err;
	if (!block)
		return nowait ? vmap_unmap_nowait(space, addr) : vmap_unmap(space, addr);
	space->host->unmap(space->host->ctx, (uintptr_t)addr, (size_t)map->size << space->host->page_shift);
	end_map(space, map, nowait);
	return 0;
}

int vmap_ram_unmap(struct vmap_space *space, const void *addr)
{
	return unmap(space, addr, false);
}

int vmap_ram_unmap_nowait(struct vmap_space *space, const void *addr)
{
	return unmap(space, addr, true);
}

/* Purging */

size_t vmap_ram_dirty(const struct vmap_space *space, struct vmap_range *ranges, size_t max)
{
	unsigned shift = space->host->page_shift;
	const struct vmap_ram_block *block;
	size_t n = 0;

	for (block = space->ram.dirty; block && n < max; block = block->dirty.next)
		ranges[n++] = (struct vmap_range){
			.addr = block->base + ((uintptr_t)block->low << shift),
			.size = (size_t)(block->high - block->low) << shift,
		};
	return block ? max + 1 : n;
}

/* Under the lock: the slots of a map that was flushed are free. */
static void finish(struct vmap_space *space, struct vmap_ram_map *map, struct vmap_ram_block **freed)
{
	struct vmap_ram_block *block = map->block;

	count_flushed(space, map);
	map->state = VMAP_RAM_NONE;
	set_free(block, (unsigned)(map - block->maps), map->slots);
	block->used -= map->slots;
	if (!--block->waiting)
		UNLINK(block, dirty);
	if (!block->used && (!block->current || block->last - block->first < VMAP_RAM_SLOTS))
		drop_block(space, block, freed);
	else
		note_room(space, block);
}

bool vmap_ram_complete(struct vmap_space *space, uint64_t seq)
{
	struct vmap_page *released[VMAP_RAM_PAGES];
	struct vmap_ram_block *freed = NULL;
	unsigned long saved = vmap_space_lock(space);
	struct vmap_ram_map *map;
	struct vmap_page **own;
	size_t n = 0, done;

	for (done = 0; done < VMAP_PURGE_BATCH; done++) {
		map = space->ram.first;
		if (!map || map->seq > seq || (map->held && map->n > VMAP_RAM_PAGES - n))
			break;
		space->ram.first = map->next;
		own = &map->block->pages[map - map->block->maps];
		for (unsigned i = 0; map->held && i < map->n; i++)
			released[n++] = own[i];
		finish(space, map, &freed);
	}
	vmap_space_unlock(space, saved);
	if (n)
		space->host->page_put(space->host->ctx, released, n);
	free_blocks(space->host, freed);
	return done;
}

/* Under the lock: make [addr, addr + size) of a block's area free. */
static void cut(struct vmap_space *space, uintptr_t addr, size_t size)
{
	struct vmap_extent *extent;

	if (!size)
		return;
	extent = vmap_spares_pop(&space->spares);
	extent->addr = addr;
	extent->size = size;
	space->stats.ram -= size;
	vmap_ranges_give(&space->ranges, extent, &space->spares);
}

/* Under the lock, with two spares: keep of a block what lies between its first and its last used slot, and what guards the last. */
static void trim_block(struct vmap_space *space, struct vmap_ram_block *block)
{
	struct vmap_extent *extent = &block->area->extent;
	uintptr_t from = extent->addr, end = extent->addr + extent->size, to;
	unsigned shift = space->host->page_shift, first, last = block->last;

	close_window(block);
	first = run_end(block, block->first, true);
	while (is_free(block, last - 1))
		last--;
	for (unsigned slot = block->first; slot < block->last; slot++)
		if (slot < first || slot >= last)
			block->free[slot / 64] &= ~((uint64_t)1 << slot % 64);
	from = first > block->first ? block->base + ((uintptr_t)first << shift) : from;
	to = last < block->last ? block->base + ((uintptr_t)(last + 1) << shift) : end;
	block->first = first;
	block->last = last;
	cut(space, extent->addr, from - extent->addr);
	cut(space, to, end - to);
	extent->addr = from;
	extent->size = to - from;
	block->area->size = extent->size;
}

/* Under the lock: the block that is looked at next, of a batch of areas from *cursor on. */
static struct vmap_ram_block *next_block(const struct vmap_space *space, uintptr_t *cursor, bool *more)
{
	struct vmap_area *area;

	*more = true;
	for (unsigned i = 0; i < VMAP_PURGE_BATCH; i++) {
		area = vmap_areas_from(&space->areas, *cursor);
		*more = area;
		if (!area)
			return NULL;
		*cursor = area->extent.addr + area->extent.size;
		if (area->ram)
			return area->ram;
	}
	return NULL;
}

void vmap_ram_trim(struct vmap_space *space, bool nowait)
{
	struct vmap_ram_block *block, *freed = NULL;
	unsigned long saved;
	uintptr_t cursor = 0;
	bool spares, more = false;

	do {
		spares = !vmap_space_lock_spares(space, &saved, nowait);
		if (!spares)
			saved = vmap_space_lock(space);
		block = space->ram.all ? next_block(space, &cursor, &more) : NULL;
		more = more && space->ram.all;
		if (block && !block->used)
			drop_block(space, block, &freed);
		else if (block && spares)
			trim_block(space, block);
		if (nowait)
			vmap_space_unlock_keep(space, saved);
		else
			vmap_space_unlock(space, saved);
	} while (more);
	free_blocks(space->host, freed);
}

/* Looking */

/* Under the lock: the map that covers the slot with its mapped pages or its guard; NULL: none. */
static const struct vmap_ram_map *map_at(const struct vmap_ram_block *block, uintptr_t slot)
{
	const struct vmap_ram_map *map;

	for (uintptr_t back = 0; slot < VMAP_RAM_SLOTS && back <= VMAP_RAM_PAGES && back <= slot; back++) {
		map = &block->maps[slot - back];
		if (map->state != VMAP_RAM_NONE && map->state != VMAP_RAM_BEGUN)
			return back < map->slots ? map : NULL;
	}
	return NULL;
}

static struct vmap_area_info info_of(const struct vmap_space *space, const struct vmap_ram_map *map)
{
	unsigned shift = space->host->page_shift;

	return (struct vmap_area_info){
		.addr = addr_of(space, map),
		.size = (size_t)map->size << shift,
		.guard = (size_t)(map->slots - map->size) << shift,
		.pages = map->n,
		.flags = (map->held ? 0 : VMAP_BORROW) | (map->slots == map->size ? VMAP_NO_GUARD : 0),
		.prot = map->prot,
		.state = map->state == VMAP_RAM_LIVE ? VMAP_STATE_MAPPED : VMAP_STATE_LAZY,
		.tag = "vmap_ram",
	};
}

struct vmap_area_info vmap_ram_info(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr)
{
	const struct vmap_ram_map *map = map_at(area->ram, (addr - area->ram->base) >> space->host->page_shift);

	if (map)
		return info_of(space, map);
	return (struct vmap_area_info){.addr = area->extent.addr, .size = area->extent.size, .state = VMAP_STATE_RAM};
}

bool vmap_ram_next(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_area_info *info)
{
	uintptr_t page = (uintptr_t)1 << space->host->page_shift, slot = 0;
	const struct vmap_ram_block *block = area->ram;

	if (addr > block->base)
		slot = (addr - block->base + page - 1) >> space->host->page_shift;
	for (; slot < VMAP_RAM_SLOTS; slot++)
		if (block->maps[slot].state > VMAP_RAM_BEGUN) {
			*info = info_of(space, &block->maps[slot]);
			return true;
		}
	return false;
}

int vmap_ram_page_at(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_page **page,
		     size_t *offset)
{
	const struct vmap_ram_block *block = area->ram;
	uintptr_t slot = (addr - block->base) >> space->host->page_shift;
	const struct vmap_ram_map *map = map_at(block, slot);
	struct vmap_page *const *own;
	size_t into;

	if (!map || map->state != VMAP_RAM_LIVE)
		return -VMAP_ENOENT;
	into = addr - addr_of(space, map);
	if (into >= (size_t)map->size << space->host->page_shift)
		return -VMAP_EFAULT;
	for (own = &block->pages[map - block->maps]; into >= (size_t)1 << ((*own)->order + space->host->page_shift); own++)
		into -= (size_t)1 << ((*own)->order + space->host->page_shift);
	*page = *own;
	*offset = into;
	return 0;
}
