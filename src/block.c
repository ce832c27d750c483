// SPDX-License-Identifier: MIT
/*
 * Theory: blocks for short-lived maps, areas of VMAP_RAM_SLOTS base pages, aligned to their size, with a small allocator each.
 *
 * A block hands out its slots one after the other from a window, a run of slots that are flushed and free: two numbers in one word,
 * moved by compare and exchange. When the window is used up, the first long enough run of the block's free slots is the next
 * one, so a window is as long as whatever was freed, rounded to nothing. Each shard has a current block; one whose free slots do not
 * suffice is left, and is usable again when enough of its maps were flushed. Where a block is left its window is closed. Slots are
 * free, in the window, or taken; only who took them, or completes their map, moves them on.
 *
 * A long-lived map keeps its own slots and nothing else: other slots of its block are used again, and when addresses run out what
 * lies before the first and behind the last used slot of a block goes back to the free ranges. Blocks that nobody uses stay,
 * as many as the budget lets wait, and go back beyond that, or when addresses run out.
 *
 * The memory of a block that is gone is used for the next one: who unmaps what is not mapped may look at it at any time (ram.c).
 *
 * Locks: the shard's for all that changes here but windows, words and clocks; the space's for which blocks there are.
 */
#include "block.h"
#include "purge.h"

/* Windows */

static void close_window(struct vmap_ram_block *block)
{
	uint64_t window = __atomic_exchange_n(vmap_ram_window(block), 0, __ATOMIC_ACQ_REL);

	vmap_block_set_free(block, (uint32_t)window, (unsigned)(window >> 32) - (uint32_t)window, true);
}

static bool has_window(struct vmap_ram_block *block, unsigned slots)
{
	uint64_t window = __atomic_load_n(vmap_ram_window(block), __ATOMIC_RELAXED);

	return (unsigned)(window >> 32) - (uint32_t)window >= slots;
}

/* Make the first run of at least this many slots the window. */
static bool open_window(struct vmap_ram_block *block, unsigned slots)
{
	unsigned first, end;

	close_window(block);
	for (first = vmap_block_run_end(block, 0, false); first < VMAP_RAM_SLOTS; first = vmap_block_run_end(block, end, false)) {
		end = vmap_block_run_end(block, first, true);
		if (end - first < slots)
			continue;
		vmap_block_set_free(block, first, end - first, false);
		__atomic_store_n(vmap_ram_window(block), (uint64_t)end << 32 | first, __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

/* Blocks */

/* Make block (or none) a CPU's current one. */
static void set_current(struct vmap_shard *shard, struct vmap_ram_block **current, struct vmap_ram_block *block)
{
	struct vmap_ram_block *old = *current;

	if (block) {
		vmap_block_leave_usable(shard, block);
		block->current = true;
	}
	__atomic_store_n(current, block, __ATOMIC_RELEASE);
	if (!old)
		return;
	close_window(old);
	old->current = false;
	if (vmap_block_is_idle(old))
		vmap_block_note_room(shard, old);
}

/* Open a window of so many slots. false: no block that was looked at has one; *more: others may. */
static bool find_window(struct vmap_shard *shard, struct vmap_ram_block **current, unsigned slots, bool *more)
{
	struct vmap_ram_block *block = *current;

	for (unsigned i = 0; !block || (!has_window(block, slots) && !open_window(block, slots)); i++) {
		block = shard->ram.usable;
		set_current(shard, current, block);
		*more = block;
		if (!block || i == VMAP_BLOCK_TRIES)
			return false;
	}
	return true;
}

void vmap_ram_untake(struct vmap_space *space, struct vmap_ram_block *block, unsigned slot, unsigned slots)
{
	struct vmap_shard *shard = block->shard;
	unsigned long saved = vmap_shard_lock(space, shard);

	vmap_block_leave_usable(shard, block);
	vmap_block_set_free(block, slot, slots, true);
	vmap_block_note_room(shard, block);
	vmap_shard_unlock(space, shard, saved);
}

/* Under no lock: memory for another block, as if no map had ever been in it. -VMAP_ENOMEM; -VMAP_ENOSPC: there are enough. */
static int block_memory(struct vmap_space *space, bool nowait, struct vmap_ram_block **result)
{
	size_t size = (size_t)VMAP_RAM_SLOTS << space->host->page_shift;
	unsigned long saved = vmap_space_lock(space);
	struct vmap_ram_block *block = space->ram.unused;

	if (space->ram.n && (space->ram.n + 1) * size > space->size / 2) {
		vmap_space_unlock_keep(space, saved);
		return -VMAP_ENOSPC;
	}
	if (block)
		space->ram.unused = block->usable.next;
	vmap_space_unlock_keep(space, saved);
	if (!block) {
		block = vmap_meta_alloc(space->host, sizeof(*block), nowait);
		if (block)
			*block = (struct vmap_ram_block){0};
	}
	*result = block;
	return block ? 0 : -VMAP_ENOMEM;
}

static void forget_memory(struct vmap_space *space, struct vmap_ram_block *block)
{
	unsigned long saved = vmap_space_lock(space);

	block->usable.next = space->ram.unused;
	space->ram.unused = block;
	vmap_space_unlock_keep(space, saved);
}

/* The shard that a CPU's current block belongs to. */
static struct vmap_shard *shard_of(struct vmap_space *space, struct vmap_ram_block **current)
{
	return &space->shard[((char *)current - (char *)space->shard) / sizeof(struct vmap_shard)];
}

static struct vmap_ram_block **index_of(struct vmap_space *space, const struct vmap_ram_block *block)
{
	return &space->ram.index[((block->base - space->base) >> space->host->page_shift) / VMAP_RAM_SLOTS % VMAP_RAM_INDEX];
}

/* The block begins, in an area that was reserved for it, and is the current one. */
static void add_block(struct vmap_space *space, struct vmap_ram_block *block, struct vmap_area *area)
{
	struct vmap_ram_block **current = vmap_ram_current(space);
	struct vmap_shard *shard = area->shard;
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, shard);
	struct vmap_area **recent = vmap_recent(space, shard, area->extent.addr);

	if (*recent == area)
		*recent = NULL;
	vmap_count_unreserved(&shard->stats, area);
	area->ram = block;
	area->generation = 0;
	vmap_area_set_state(area, VMAP_STATE_RAM);
	block->area = area;
	block->shard = shard;
	block->base = area->extent.addr;
	block->first = 0;
	block->last = VMAP_RAM_SLOTS;
	block->n_free = 0;
	vmap_block_set_free(block, 0, VMAP_RAM_SLOTS, true);
	VMAP_BLOCK_LINK(&space->ram.all, block, all);
	space->ram.n++;
	if (!*index_of(space, block))
		__atomic_store_n(index_of(space, block), block, __ATOMIC_RELEASE);
	if (shard_of(space, current) == shard)
		set_current(shard, current, block);
	else
		vmap_block_note_room(shard, block);
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock_keep(space, saved);
}

/* Under no lock: pin the entries of a block's addresses. NULL: they cannot be, or do not lie in a row. */
static uint64_t *pin(const struct vmap_host *host, uintptr_t base)
{
	size_t n = 0;
	uint64_t *entries = host->pin(host->ctx, base, (size_t)VMAP_RAM_SLOTS << host->page_shift, &n);

	if (entries && n < VMAP_RAM_SLOTS) {
		host->unpin(host->ctx, base, n << host->page_shift);
		entries = NULL;
	}
	return entries;
}

static void set_entries(const struct vmap_host *host, struct vmap_ram_block *block, uint64_t *entries)
{
	block->bits = entries ? vmap_entry_bits(host, VMAP_READ | VMAP_WRITE) : 0;
	entries = block->bits ? entries : NULL;
	__atomic_store_n(&block->entries, entries, __ATOMIC_RELEASE);
	__atomic_store_n(&block->quick, entries && !host->publish, __ATOMIC_RELAXED);
}

/*
 * Pin a block after all, while its slots are taken that were free, so that nobody can give it back or shorten it; maps may live in the others,
 * and end meanwhile.
 */
static void pin_late(struct vmap_space *space, struct vmap_ram_block *block, const uint64_t *taken, unsigned n)
{
	const struct vmap_host *host = space->host;
	uint64_t *entries = pin(host, block->base);
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, block->shard);
	struct vmap_shard *shard = block->shard;

	if (entries && (block->first || block->last < VMAP_RAM_SLOTS)) {
		/* It was shortened where maps have ended. */
		host->unpin(host->ctx, block->base, (size_t)VMAP_RAM_SLOTS << host->page_shift);
	} else if (entries) {
		block->area->entries = entries;
		block->area->split = VMAP_RAM_SLOTS;
		/* From now on it has a window of the other kind. */
		close_window(block);
		set_entries(host, block, entries);
		if (__atomic_load_n(&block->is_dirty, __ATOMIC_RELAXED))
			vmap_block_mark(block);
	}
	vmap_block_leave_usable(shard, block);
	for (unsigned i = 0; i < VMAP_RAM_SLOTS / 64; i++)
		block->free[i] |= taken[i];
	block->n_free += n;
	vmap_block_note_room(shard, block);
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock_keep(space, saved);
}

static int make_block(struct vmap_space *space, bool nowait)
{
	size_t page = (size_t)1 << space->host->page_shift, size = VMAP_RAM_SLOTS * page;
	struct vmap_options options = {.align = size,
				       .phase = space->base & (size - 1),
				       .max = UINTPTR_MAX,
				       .flags = VMAP_NO_GUARD | (nowait ? VMAP_NOWAIT : 0)};
	const struct vmap_host *host = space->host;
	struct vmap_ram_block *block;
	struct vmap_area *area;
	int err = block_memory(space, nowait, &block);

	if (err)
		return err;
	err = vmap_area_reserve(space, &options, size, 0, &area);
	if (err) {
		forget_memory(space, block);
		return err;
	}
	block->unpinned = !area->entries && host->pin && nowait && host->map_nowait;
	if (!area->entries && host->pin && !block->unpinned) {
		area->entries = pin(host, area->extent.addr);
		area->split = VMAP_RAM_SLOTS;
	}
	set_entries(host, block, area->split == VMAP_RAM_SLOTS ? area->entries : NULL);
	add_block(space, block, area);
	return 0;
}

int vmap_ram_refill(struct vmap_space *space, unsigned slots, bool nowait)
{
	struct vmap_ram_block **current = vmap_ram_current(space);
	struct vmap_shard *shard = shard_of(space, current);
	unsigned long saved = vmap_shard_lock(space, shard);
	bool more = false, found = find_window(shard, current, slots, &more);
	struct vmap_ram_block *block = *current;
	uint64_t taken[VMAP_RAM_SLOTS / 64];
	unsigned n = 0;

	if (found && block->unpinned && !nowait && !block->first && block->last == VMAP_RAM_SLOTS) {
		block->unpinned = false;
		close_window(block);
		n = block->n_free;
		vmap_copy(taken, block->free, sizeof(taken));
		block->n_free = 0;
		for (unsigned i = 0; i < VMAP_RAM_SLOTS / 64; i++)
			block->free[i] = 0;
	}
	vmap_shard_unlock(space, shard, saved);
	if (n)
		pin_late(space, block, taken, n);
	return found || more ? 0 : make_block(space, nowait);
}

void vmap_block_drop(struct vmap_space *space, struct vmap_ram_block *block, struct vmap_ram_block **gone,
		     struct vmap_page_array **released)
{
	struct vmap_shard *shard = block->shard;

	vmap_block_leave_usable(shard, block);
	for (unsigned cpu = 0; block->current && cpu < VMAP_SHARDS; cpu++)
		if (shard->ram.current[cpu] == block)
			__atomic_store_n(&shard->ram.current[cpu], NULL, __ATOMIC_RELEASE);
	block->current = false;
	VMAP_BLOCK_UNLINK(block, all);
	space->ram.n--;
	if (*index_of(space, block) == block)
		__atomic_store_n(index_of(space, block), NULL, __ATOMIC_RELEASE);
	vmap_block_set_free(block, block->first, block->last - block->first, false);
	block->area->ram = NULL;
	vmap_space_give(space, block->area, released);
	block->usable.next = *gone;
	*gone = block;
}

void vmap_blocks_end(struct vmap_space *space, struct vmap_ram_block *gone)
{
	struct vmap_ram_block *block;

	while ((block = gone)) {
		gone = block->usable.next;
		forget_memory(space, block);
	}
}

/* Under the space's lock: make [addr, addr + size) of a block's area free. */
static void cut(struct vmap_space *space, uintptr_t addr, size_t size)
{
	struct vmap_extent *extent;

	if (!size)
		return;
	extent = vmap_spares_pop(&space->spares);
	extent->addr = addr;
	extent->size = size;
	vmap_ranges_give(&space->ranges, extent, &space->spares);
}

/* Under both locks, with two spares: keep of a block what lies between its first and its last used slot. */
static void trim_block(struct vmap_space *space, struct vmap_ram_block *block)
{
	struct vmap_extent *extent = &block->area->extent;
	unsigned shift = space->host->page_shift, first, last = block->last;
	uintptr_t from, to;

	vmap_block_leave_usable(block->shard, block);
	close_window(block);
	first = vmap_block_run_end(block, block->first, true);
	while (vmap_block_is_free(block, last - 1))
		last--;
	from = block->base + ((uintptr_t)first << shift);
	to = block->base + ((uintptr_t)last << shift);
	vmap_block_set_free(block, block->first, first - block->first, false);
	vmap_block_set_free(block, last, block->last - last, false);
	block->first = first;
	block->last = last;
	cut(space, extent->addr, from - extent->addr);
	cut(space, to, extent->addr + extent->size - to);
	vmap_area_cut_pins(space, block->area, from, to);
	extent->addr = from;
	extent->size = to - from;
	block->area->size = extent->size;
	vmap_block_note_room(block->shard, block);
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
		if (vmap_area_state(area) == VMAP_STATE_RAM)
			return area->ram;
	}
	return NULL;
}

void vmap_ram_trim(struct vmap_space *space, bool nowait)
{
	struct vmap_page_array *released = NULL;
	struct vmap_ram_block *block, *gone = NULL;
	unsigned long saved, entered;
	uintptr_t cursor = 0;
	bool spares, more = false;

	do {
		spares = !vmap_space_lock_spares(space, &saved, nowait);
		if (!spares)
			saved = vmap_space_lock(space);
		block = space->ram.all ? next_block(space, &cursor, &more) : NULL;
		more = more && space->ram.all;
		if (block) {
			entered = vmap_shard_enter(space, block->shard);
			close_window(block);
			if (vmap_block_is_idle(block))
				vmap_block_drop(space, block, &gone, &released);
			else if (spares)
				trim_block(space, block);
			vmap_shard_leave(space, block->shard, entered);
		}
		if (nowait)
			vmap_space_unlock_keep(space, saved);
		else
			vmap_space_unlock(space, saved);
	} while (more);
	vmap_space_release(space->host, released);
	vmap_blocks_end(space, gone);
}

void vmap_ram_end(struct vmap_space *space)
{
	struct vmap_ram_block *block;

	while ((block = space->ram.unused)) {
		space->ram.unused = block->usable.next;
		space->host->meta_free(space->host->ctx, block, sizeof(*block));
	}
}
