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
#include "map.h"
#include "purge.h"

/* A block is looked at again when this many of its slots are free; so many of them are, at most, in one hold of the lock. */
#define USABLE_SLOTS (VMAP_RAM_SLOTS / 4)
#define TRIES 4

/* References that are given back after one hold of the lock. */
#define RELEASED VMAP_RAM_PAGES

/* What compilers call on their own: a freestanding embedder has it. */
#define copy_bytes __builtin_memcpy

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

static void set_free(struct vmap_ram_block *block, unsigned first, unsigned n, bool free)
{
	unsigned bit, run;
	uint64_t mask;

	block->n_free += free ? n : 0 - n;
	for (; n; first += run, n -= run) {
		bit = first % 64;
		run = 64 - bit < n ? 64 - bit : n;
		mask = UINT64_MAX >> (64 - run) << bit;
		block->free[first / 64] = free ? block->free[first / 64] | mask : block->free[first / 64] & ~mask;
	}
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

/* Windows */

static void close_window(struct vmap_ram_block *block)
{
	uint64_t window = __atomic_exchange_n(vmap_ram_window(block), 0, __ATOMIC_ACQ_REL);

	set_free(block, (uint32_t)window, (unsigned)(window >> 32) - (uint32_t)window, true);
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
	for (first = run_end(block, 0, false); first < VMAP_RAM_SLOTS; first = run_end(block, end, false)) {
		end = run_end(block, first, true);
		if (end - first < slots)
			continue;
		set_free(block, first, end - first, false);
		__atomic_store_n(vmap_ram_window(block), (uint64_t)end << 32 | first, __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

/* Blocks. Under the shard's lock: */

static bool is_idle(const struct vmap_ram_block *block)
{
	return block->n_free == block->last - block->first;
}

/* As soon as a block has room it is usable, if it is not current. */
static void note_room(struct vmap_shard *shard, struct vmap_ram_block *block)
{
	if (block->current || (block->n_free < USABLE_SLOTS && !is_idle(block)))
		return;
	shard->ram.idle += is_idle(block);
	LINK(&shard->ram.usable, block, usable);
}

static void leave_usable(struct vmap_shard *shard, struct vmap_ram_block *block)
{
	if (block->usable.from && is_idle(block))
		shard->ram.idle--;
	UNLINK(block, usable);
}

/* Make block (or none) a CPU's current one. */
static void set_current(struct vmap_shard *shard, struct vmap_ram_block **current, struct vmap_ram_block *block)
{
	struct vmap_ram_block *old = *current;

	if (block) {
		leave_usable(shard, block);
		block->current = true;
	}
	__atomic_store_n(current, block, __ATOMIC_RELEASE);
	if (!old)
		return;
	close_window(old);
	old->current = false;
	if (is_idle(old))
		note_room(shard, old);
}

/* Open a window of so many slots. false: no block that was looked at has one; *more: others may. */
static bool find_window(struct vmap_shard *shard, struct vmap_ram_block **current, unsigned slots, bool *more)
{
	struct vmap_ram_block *block = *current;

	for (unsigned i = 0; !block || (!has_window(block, slots) && !open_window(block, slots)); i++) {
		block = shard->ram.usable;
		set_current(shard, current, block);
		*more = block;
		if (!block || i == TRIES)
			return false;
	}
	return true;
}

void vmap_ram_untake(struct vmap_space *space, struct vmap_ram_block *block, unsigned slot, unsigned slots)
{
	struct vmap_shard *shard = block->shard;
	unsigned long saved = vmap_shard_lock(space, shard);

	leave_usable(shard, block);
	set_free(block, slot, slots, true);
	note_room(shard, block);
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
	set_free(block, 0, VMAP_RAM_SLOTS, true);
	LINK(&space->ram.all, block, all);
	space->ram.n++;
	if (!*index_of(space, block))
		__atomic_store_n(index_of(space, block), block, __ATOMIC_RELEASE);
	if (shard_of(space, current) == shard)
		set_current(shard, current, block);
	else
		note_room(shard, block);
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

/* Under the lock: it has maps that end or wait. */
static void set_dirty(struct vmap_ram_block *block)
{
	__atomic_store_n(&block->is_dirty, block->entries ? VMAP_RAM_DIRTY_PINNED : VMAP_RAM_DIRTY, __ATOMIC_SEQ_CST);
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
			set_dirty(block);
	}
	leave_usable(shard, block);
	for (unsigned i = 0; i < VMAP_RAM_SLOTS / 64; i++)
		block->free[i] |= taken[i];
	block->n_free += n;
	note_room(shard, block);
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
		copy_bytes(taken, block->free, sizeof(taken));
		block->n_free = 0;
		for (unsigned i = 0; i < VMAP_RAM_SLOTS / 64; i++)
			block->free[i] = 0;
	}
	vmap_shard_unlock(space, shard, saved);
	if (n)
		pin_late(space, block, taken, n);
	return found || more ? 0 : make_block(space, nowait);
}

/* Under both locks: a block without a map gives its addresses back; its memory follows after the locks. */
static void drop_block(struct vmap_space *space, struct vmap_ram_block *block, struct vmap_ram_block **gone,
		       struct vmap_page_array **released)
{
	struct vmap_shard *shard = block->shard;

	leave_usable(shard, block);
	for (unsigned cpu = 0; block->current && cpu < VMAP_SHARDS; cpu++)
		if (shard->ram.current[cpu] == block)
			__atomic_store_n(&shard->ram.current[cpu], NULL, __ATOMIC_RELEASE);
	block->current = false;
	UNLINK(block, all);
	space->ram.n--;
	if (*index_of(space, block) == block)
		__atomic_store_n(index_of(space, block), NULL, __ATOMIC_RELEASE);
	set_free(block, block->first, block->last - block->first, false);
	block->area->ram = NULL;
	vmap_space_give(space, block->area, released);
	block->usable.next = *gone;
	*gone = block;
}

static void end_blocks(struct vmap_space *space, struct vmap_ram_block *gone)
{
	struct vmap_ram_block *block;

	while ((block = gone)) {
		gone = block->usable.next;
		forget_memory(space, block);
	}
}

/* Purging */

/* Under the lock: nothing of the block waits that was flushed. So the queue is in the order of what its blocks have been swept up to. */
static void queue_dirty(struct vmap_shard *shard, struct vmap_ram_block *block)
{
	block->swept = shard->ram.flushed;
	block->next_dirty = NULL;
	*(shard->ram.dirty ? &shard->ram.last_dirty->next_dirty : &shard->ram.dirty) = block;
	shard->ram.last_dirty = block;
	set_dirty(block);
}

void vmap_ram_dirtied(struct vmap_space *space, struct vmap_ram_block *block)
{
	struct vmap_shard *shard = block->shard;
	unsigned long saved = vmap_shard_lock(space, shard);

	if (!__atomic_load_n(&block->is_dirty, __ATOMIC_RELAXED)) {
		queue_dirty(shard, block);
		shard->ram.n_dirty++;
	}
	vmap_shard_unlock(space, shard, saved);
}

/* The first slot from slot on at which a map begins; the end: none. Free slots are passed over together. */
static inline unsigned next_map(const struct vmap_ram_block *block, unsigned slot, uintptr_t *word)
{
	for (; slot < block->last; slot++) {
		*word = vmap_ram_word(block, slot);
		if (*word)
			return slot;
		if (is_free(block, slot))
			slot = run_end(block, slot, true) - 1;
	}
	return block->last;
}

/* What of a block ends or waits. */
static struct vmap_range dirty_range(const struct vmap_space *space, const struct vmap_ram_block *block)
{
	unsigned low = block->first, high = block->last, shift = space->host->page_shift;
	uintptr_t word = 0;

	for (; (low = next_map(block, low, &word)) < block->last; low += vmap_ram_slots(word))
		if (!(word & VMAP_RAM_LIVE))
			break;
	if (low == block->last)
		return (struct vmap_range){0};
	/* The last one begins at low, or behind it. */
	do
		word = vmap_ram_word(block, --high);
	while ((!word || word & VMAP_RAM_LIVE) && high > low);
	high += vmap_ram_size(word);
	return (struct vmap_range){.addr = block->base + ((uintptr_t)low << shift), .size = (size_t)(high - low) << shift};
}

void vmap_ram_note(struct vmap_space *space, struct vmap_shard *shard, struct vmap_flush *flush)
{
	uint32_t now = (uint32_t)(__atomic_load_n(&shard->clock, __ATOMIC_RELAXED) >> 32);
	struct vmap_range range;

	flush->clock[shard - space->shard] = now;
	/* Whoever has begun to wait by now has taken its translations away, and its word says so. */
	__atomic_exchange_n(&shard->clock, (uint64_t)(now + 1) << 32, __ATOMIC_ACQ_REL);
	/* More than can be named need no look. */
	if (shard->ram.n_dirty > VMAP_FLUSH_RANGES)
		flush->n = VMAP_FLUSH_RANGES + 1;
	for (struct vmap_ram_block *block = shard->ram.dirty; block && flush->n <= VMAP_FLUSH_RANGES; block = block->next_dirty) {
		if (flush->n == VMAP_FLUSH_RANGES) {
			flush->n++;
			break;
		}
		range = dirty_range(space, block);
		if (range.size)
			flush->ranges[flush->n++] = range;
	}
}

/* The references that a hold of the lock collects. */
struct sweep {
	struct vmap_page *released[RELEASED];
	size_t n;
};

/* Under the lock: collect the references of a map that is over. false: there is no room for them. */
static bool collect(const struct vmap_ram_block *block, size_t slot, uintptr_t word, struct sweep *sweep)
{
	unsigned n = vmap_ram_held(block, slot, word);

	if (n > RELEASED - sweep->n)
		return false;
	copy_bytes(&sweep->released[sweep->n], &block->pages[slot], n * sizeof(sweep->released[0]));
	sweep->n += n;
	return true;
}

/* Whether a map waits with a clock below this one. */
static inline bool is_over(const struct vmap_ram_block *block, size_t slot, uintptr_t word, uint32_t clock)
{
	return word & VMAP_RAM_WAITING && (int32_t)(clock - __atomic_load_n(block->clock + slot, __ATOMIC_RELAXED)) > 0;
}

/*
 * Under the lock: complete the maps from first on that are over, up to one that is not, or for whose references there is no room (*all: false).
 * Gives its slot.
 */
static unsigned sweep_run(struct vmap_ram_block *block, unsigned first, uint32_t clock, struct sweep *sweep, bool *all)
{
	size_t slot = first, last = block->last, ended = 0;
	uintptr_t word;

	for (; slot < last && is_over(block, slot, word = vmap_ram_word(block, slot), clock); slot += vmap_ram_slots(word)) {
		if (vmap_ram_is_held(word) && !collect(block, slot, word, sweep)) {
			*all = false;
			break;
		}
		__atomic_store_n(block->word + slot, 0, __ATOMIC_RELAXED);
		ended++;
	}
	block->shard->ram.ended += ended;
	set_free(block, first, (unsigned)slot - first, true);
	return (unsigned)slot;
}

/* Under the lock: complete what of a block waits with a clock below this one. false: not all of it. *rest: some of it ends or waits on. */
static bool sweep_maps(struct vmap_ram_block *block, uint32_t clock, struct sweep *sweep, bool *rest)
{
	unsigned slot = block->first;
	uintptr_t word = 0;
	bool all = true;

	while ((slot = next_map(block, slot, &word)) < block->last) {
		if (is_over(block, slot, word, clock)) {
			slot = sweep_run(block, slot, clock, sweep, &all);
			if (!all)
				return false;
		} else {
			*rest |= !(word & VMAP_RAM_LIVE);
			slot += vmap_ram_slots(word);
		}
	}
	return true;
}

/* Under the lock: complete what of the first dirty block was flushed, and see to what follows from it. */
static void sweep_block(struct vmap_shard *shard, struct vmap_ram_block *block, struct sweep *sweep)
{
	bool rest = false;

	leave_usable(shard, block);
	/* First, so that a map whose end is not seen below is marked by who ends it. */
	__atomic_store_n(&block->is_dirty, VMAP_RAM_CLEAN, __ATOMIC_SEQ_CST);
	if (!sweep_maps(block, shard->ram.flushed, sweep, &rest)) {
		set_dirty(block);
	} else {
		shard->ram.dirty = block->next_dirty;
		if (rest)
			queue_dirty(shard, block);
		else
			shard->ram.n_dirty--;
	}
	note_room(shard, block);
}

/* A flush has ended of what waits in a shard with a clock below this one: complete some of it. false: that was all. */
static bool complete_batch(struct vmap_space *space, struct vmap_shard *shard, uint32_t clock)
{
	unsigned long saved = vmap_shard_lock(space, shard);
	struct vmap_ram_block *block = shard->ram.dirty;
	struct sweep sweep;
	bool more;

	sweep.n = 0;
	if ((int32_t)(clock - shard->ram.flushed) > 0)
		shard->ram.flushed = clock;
	more = block && (int32_t)(clock - block->swept) > 0;
	if (more)
		sweep_block(shard, block, &sweep);
	vmap_shard_unlock(space, shard, saved);
	if (sweep.n)
		space->host->page_put(space->host->ctx, sweep.released, sweep.n);
	return more;
}

/* Blocks that stay although nobody uses them: what the budget lets wait is soon wanted again. */
static size_t idle_max(const struct vmap_space *space)
{
	size_t size = (size_t)VMAP_RAM_SLOTS << space->host->page_shift, most = space->size / (8 * space->shards);

	return 1 + (space->lazy_max < most ? space->lazy_max : most) / size;
}

/* Under both locks: a block that has to go. */
static struct vmap_ram_block *surplus(const struct vmap_space *space, const struct vmap_shard *shard)
{
	struct vmap_ram_block *block = shard->ram.usable;

	for (unsigned i = 0; block && i < VMAP_PURGE_BATCH; i++, block = block->usable.next)
		if (is_idle(block) && (shard->ram.idle > idle_max(space) || block->last - block->first < VMAP_RAM_SLOTS))
			return block;
	return NULL;
}

static void drop_surplus(struct vmap_space *space, struct vmap_shard *shard)
{
	struct vmap_page_array *released = NULL;
	struct vmap_ram_block *gone = NULL, *block;
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, shard);

	for (unsigned i = 0; i < TRIES && (block = surplus(space, shard)); i++)
		drop_block(space, block, &gone, &released);
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock(space, saved);
	vmap_space_release(space->host, released);
	end_blocks(space, gone);
}

void vmap_ram_complete(struct vmap_space *space, struct vmap_shard *shard, uint32_t clock)
{
	unsigned long saved = vmap_shard_lock(space, shard);
	bool any = shard->ram.dirty, more;

	vmap_shard_unlock(space, shard, saved);
	if (!any)
		return;
	while (complete_batch(space, shard, clock + 1))
		;
	saved = vmap_shard_lock(space, shard);
	more = surplus(space, shard);
	vmap_shard_unlock(space, shard, saved);
	if (more)
		drop_surplus(space, shard);
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

	leave_usable(block->shard, block);
	close_window(block);
	first = run_end(block, block->first, true);
	while (is_free(block, last - 1))
		last--;
	from = block->base + ((uintptr_t)first << shift);
	to = block->base + ((uintptr_t)last << shift);
	set_free(block, block->first, first - block->first, false);
	set_free(block, last, block->last - last, false);
	block->first = first;
	block->last = last;
	cut(space, extent->addr, from - extent->addr);
	cut(space, to, extent->addr + extent->size - to);
	vmap_area_cut_pins(space, block->area, from, to);
	extent->addr = from;
	extent->size = to - from;
	block->area->size = extent->size;
	note_room(block->shard, block);
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
			if (is_idle(block))
				drop_block(space, block, &gone, &released);
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
	end_blocks(space, gone);
}

void vmap_ram_end(struct vmap_space *space)
{
	struct vmap_ram_block *block;

	while ((block = space->ram.unused)) {
		space->ram.unused = block->usable.next;
		space->host->meta_free(space->host->ctx, block, sizeof(*block));
	}
}
