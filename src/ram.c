// SPDX-License-Identifier: MIT
/*
 * Theory: short-lived maps, made and ended without a lock.
 *
 * A CPU maps out of its current block (block.c): it takes slots from the block's window with one compare and exchange, notes the
 * pages, calls the map hook, and stores the map's word, which makes it live. Unmapping finds the block by address, in an index of
 * which a slot holds one block, and claims the map with one compare and exchange of its word: the word holds the address, so
 * that nothing but exactly this map is claimed, whatever became of the block, and it is claimed once. So memory of
 * blocks stays readable until the space ends. What the index does not know is looked up in the tree, under the lock.
 *
 * After the unmap hook the map begins to wait. It takes its number from the shard's clock, which counts the flushes that have begun,
 * by the same atomic addition that counts its slots. A purge begins by advancing the clock and flushes then; so whoever has
 * a lower number had taken its translations away before the flush, and is complete after it; and so is everything that
 * waited when a barrier was called. A purge finds maps by the block's mark (dirty), which is set after the claim, and taken away
 * before a last look at all words: one of both sees the other.
 *
 * A map whose hook failed waits in the same way, as it may have been seen for a moment.
 *
 * Costs: mapping, one atomic operation; unmapping, two; a lock where a window is used up, and where a block becomes dirty.
 */
#include "map.h"
#include "purge.h"

#define RAM_FLAGS (VMAP_BORROW | VMAP_PUT_PAGES | VMAP_NO_GUARD | VMAP_NOWAIT)
#define RAM_PROT (VMAP_READ | VMAP_WRITE | VMAP_EXEC | VMAP_LARGE | VMAP_MEMORY_MASK)

/* A bit for each value of flags that is good, and of which nothing more has to be known; not BORROW and PUT_PAGES at once. */
#define WITH(bits, flag) (bits | bits << flag)
#define GOOD_FLAGS WITH(WITH(0x7u, VMAP_NO_GUARD), VMAP_NOWAIT)

/*
 * The common cases of mapping and unmapping call nobody, but where that gives their result, so that they save no registers. What calls somebody
 * is kept out of them, and what they are made of is in them.
 */
#define COMMON static inline __attribute__((always_inline))
#define UNCOMMON static __attribute__((noinline))

/* A map that is being made. */
struct making {
	struct vmap_page *const *pages;
	unsigned n, size; /* pages; base pages */
	unsigned flags, prot;
};

static void set_word(struct vmap_ram_block *block, size_t slot, uintptr_t word)
{
	__atomic_store_n(block->word + slot, word, __ATOMIC_RELEASE);
}

/* Base pages and a guard. */
static inline size_t slots_of(size_t n, unsigned flags)
{
	return n + 1 - (flags / VMAP_NO_GUARD & 1);
}

/* A live map's word. */
COMMON uintptr_t word_of(uintptr_t addr, size_t size, size_t slots, unsigned flags)
{
	uintptr_t word = addr + VMAP_RAM_LIVE + (flags & VMAP_BORROW ? VMAP_RAM_BORROWED : 0);

	return word + ((size + slots) << VMAP_RAM_GUARD_SHIFT);
}

static inline bool is_dirty(const struct vmap_ram_block *block)
{
	return __atomic_load_n(&block->is_dirty, __ATOMIC_SEQ_CST) != VMAP_RAM_CLEAN;
}

/* What was claimed (word: when it lived), and is not translated any more, begins to wait. */
COMMON void wait(struct vmap_space *space, struct vmap_ram_block *block, size_t slot, uintptr_t word, bool nowait)
{
	struct vmap_shard *shard = block->shard;
	uint64_t clock = __atomic_fetch_add(&shard->clock, vmap_ram_size(word), __ATOMIC_ACQ_REL);

	word += VMAP_RAM_WAITING - VMAP_RAM_LIVE;

	__atomic_store_n(block->clock + slot, (uint32_t)(clock >> 32), __ATOMIC_RELAXED);
	set_word(block, slot, word);
	/* From here on the block may be gone, the shard stays. */
	if ((uint32_t)clock >= __atomic_load_n(&shard->limit, __ATOMIC_RELAXED))
		vmap_purge_over(space, shard, VMAP_RAM_SLOTS, nowait);
}

static void note_made(struct vmap_ram_block *block, size_t slot, const struct making *map)
{
	__atomic_store_n(block->made + slot, (uint16_t)(map->prot << 8 | map->n), __ATOMIC_RELAXED);
}

/* What may have been seen for a moment is flushed with the rest that waits. held: with a reference on each page. */
static void give_up(struct vmap_space *space, struct vmap_ram_block *block, size_t slot, const struct making *map, bool held)
{
	uintptr_t addr = block->base + ((uintptr_t)slot << space->host->page_shift);
	uintptr_t word = word_of(addr, map->size, slots_of(map->size, map->flags), held ? 0 : VMAP_BORROW) + VMAP_RAM_MADE;
	struct vmap_shard *shard = block->shard;
	unsigned long saved = vmap_shard_lock(space, shard);

	shard->ram.ended--;
	vmap_shard_unlock(space, shard, saved);
	note_made(block, slot, map);
	__atomic_store_n(block->word + slot, word - VMAP_RAM_LIVE, __ATOMIC_SEQ_CST);
	if (!is_dirty(block))
		vmap_ram_dirtied(space, block);
	wait(space, block, slot, word, map->flags & VMAP_NOWAIT);
	if (!(map->flags & VMAP_NOWAIT))
		vmap_purge(space);
}

static int call_map(const struct vmap_host *host, uintptr_t addr, const struct making *map)
{
	bool nowait = map->flags & VMAP_NOWAIT && host->map_nowait;

	if (host->map_base && !nowait && map->n == map->size && !(map->prot & VMAP_LARGE))
		return host->map_base(host->ctx, addr, map->pages, map->n, map->prot);
	return (nowait ? host->map_nowait : host->map)(host->ctx, addr, map->pages, map->n, map->prot);
}

/* Map any pages in slots that were taken. */
static int make(struct vmap_space *space, struct vmap_ram_block *block, size_t slot, const struct making *map, void **addr)
{
	const struct vmap_host *host = space->host;
	uintptr_t at = block->base + ((uintptr_t)slot << host->page_shift);
	int err;

	for (unsigned i = 0; i < map->n; i++)
		block->pages[slot + i] = map->pages[i];
	note_made(block, slot, map);
	if (!(map->flags & (VMAP_BORROW | VMAP_PUT_PAGES)))
		host->page_get(host->ctx, map->pages, map->n);
	err = call_map(host, at, map);
	if (err) {
		/* The caller keeps its own references. */
		if (map->flags & VMAP_PUT_PAGES)
			host->page_get(host->ctx, map->pages, map->n);
		give_up(space, block, slot, map, !(map->flags & VMAP_BORROW));
		return err;
	}
	set_word(block, slot, word_of(at, map->size, slots_of(map->size, map->flags), map->flags) + VMAP_RAM_MADE);
	*addr = (void *)at;
	return 0;
}

static inline struct vmap_ram_block *current_block(struct vmap_space *space)
{
	return __atomic_load_n(vmap_ram_current(space), __ATOMIC_ACQUIRE);
}

/* Take slots out of this CPU's current block, after a refill if need be. pinned: out of one without entries none (-VMAP_EINVAL). */
UNCOMMON int take(struct vmap_space *space, size_t slots, bool nowait, bool pinned, struct vmap_ram_block **block, size_t *slot)
{
	int err = 0;

	while (!err) {
		*block = current_block(space);
		if (*block && pinned && !vmap_ram_entries(*block))
			return -VMAP_EINVAL;
		if (*block && vmap_ram_take(vmap_ram_window(*block), slots, slot))
			return 0;
		err = vmap_ram_refill(space, (unsigned)slots, nowait);
	}
	return err;
}

/* Map pages of any orders. */
static int map_any(struct vmap_space *space, struct making *map, void **addr)
{
	const struct vmap_options options = {.flags = map->flags, .prot = map->prot};
	struct vmap_ram_block *block;
	size_t base_pages;
	size_t slot;
	bool mixed;
	int err;

	if (map->n <= VMAP_RAM_PAGES) {
		err = vmap_pages_survey(space, map->pages, map->n, &base_pages, &mixed);
		if (err)
			return err;
		if (base_pages <= VMAP_RAM_PAGES) {
			map->size = (unsigned)base_pages;
			err = take(space, map->size + !(map->flags & VMAP_NO_GUARD), map->flags & VMAP_NOWAIT, false, &block,
				   &slot);
			if (!err)
				return make(space, block, slot, map, addr);
			/* There is no room for a block; there may be for the map. */
			if (err != -VMAP_ENOSPC && err != -VMAP_EAGAIN)
				return err;
		}
	}
	return vmap_pages(space, map->pages, map->n, &options, addr);
}

/* The uncommon case. */
UNCOMMON int map_slowly(struct vmap_space *space, struct vmap_page *const *pages, size_t n, unsigned flags, unsigned prot,
			void **addr)
{
	struct making map = {.pages = pages, .n = (unsigned)n, .size = (unsigned)n, .flags = flags, .prot = prot};

	if (!addr)
		return -VMAP_EINVAL;
	*addr = NULL;
	if (!pages || !n || flags & ~RAM_FLAGS || prot & ~RAM_PROT || !(~flags & (VMAP_BORROW | VMAP_PUT_PAGES)))
		return -VMAP_EINVAL;
	if (n > VMAP_RAM_PAGES)
		return vmap_pages(space, pages, n, &(struct vmap_options){.flags = flags, .prot = prot}, addr);
	map.prot |= prot & (VMAP_READ | VMAP_WRITE | VMAP_EXEC) ? VMAP_READ : VMAP_READ | VMAP_WRITE;
	return map_any(space, &map, addr);
}

/*
 * Slots were taken for base pages, but not all of the pages are, or the block has no entries any more. What was shown waits for a flush, and all are
 * mapped elsewhere. word: of the map as it would have been; flags: at least those that it does not tell.
 */
UNCOMMON int map_elsewhere(struct vmap_space *space, struct vmap_ram_block *block, struct vmap_page *const *pages, uintptr_t word,
			   unsigned flags, void **addr)
{
	size_t slot = ((word & ~VMAP_RAM_BITS) - block->base) >> space->host->page_shift;
	unsigned n = vmap_ram_size(word), shown = 0;
	const struct making map = {
		.pages = pages, .n = n, .size = n, .flags = flags | vmap_ram_flags(word), .prot = VMAP_READ | VMAP_WRITE};
	uint64_t *entries = vmap_ram_entries(block);

	while (entries && shown < n && entries[slot + shown])
		shown++;
	if (shown) {
		vmap_entries_hide(entries + slot, shown);
		give_up(space, block, slot, &map, false);
	} else {
		vmap_ram_untake(space, block, (unsigned)slot, vmap_ram_slots(word));
	}
	return map_slowly(space, pages, n, map.flags, 0, addr);
}

/* Show base pages in slots that were taken: one pass over the pages checks them, notes them and shows them. false: not all of them are. */
COMMON bool show(const struct vmap_host *host, struct vmap_ram_block *block, size_t slot, struct vmap_page *const *pages,
		 size_t n)
{
	/* Until slots were taken the block could be given up, and its memory become another one, perhaps without entries. */
	uint64_t *entries = vmap_ram_entries(block);

	return entries && vmap_entries_show(entries + slot, block->pages + slot, pages, n, host->entry_shift, &block->bits) == n;
}

/* The less common case: the map takes references, or the host publishes it, or the block has no window of so many slots, or no entries. */
UNCOMMON int map_otherwise(struct vmap_space *space, struct vmap_page *const *pages, size_t n, unsigned flags, unsigned prot,
			   void **addr)
{
	const struct vmap_host *host = space->host;
	struct vmap_ram_block *block;
	size_t slot, slots;
	uintptr_t at, word;

	if (!addr || !pages || n - 1 >= VMAP_RAM_PAGES || prot || flags >= 32 || !(GOOD_FLAGS >> flags & 1))
		return map_slowly(space, pages, n, flags, prot, addr);
	slots = slots_of(n, flags);
	block = current_block(space);
	if ((!block || !vmap_ram_entries(block) || !vmap_ram_take(vmap_ram_window(block), slots, &slot)) &&
	    take(space, slots, flags & VMAP_NOWAIT, true, &block, &slot))
		return map_slowly(space, pages, n, flags, prot, addr);
	at = block->base + (slot << host->page_shift);
	word = word_of(at, n, slots, flags);
	*addr = (void *)at;
	if (!show(host, block, slot, pages, n))
		return map_elsewhere(space, block, pages, word, flags, addr);
	if (!(flags & (VMAP_BORROW | VMAP_PUT_PAGES)))
		host->page_get(host->ctx, pages, n);
	if (host->publish)
		host->publish(host->ctx, at, n << host->page_shift);
	set_word(block, slot, word);
	return 0;
}

/* The common case: borrowed base pages, read and write, in a block whose entries the core writes, and nobody has to be told. */
int vmap_ram(struct vmap_space *space, struct vmap_page *const *pages, size_t n, unsigned flags, unsigned prot, void **addr)
{
	const struct vmap_host *host;
	struct vmap_ram_block *block;
	size_t slot, slots;
	uintptr_t at, word;

	if (n - 1 >= VMAP_RAM_PAGES || prot | ((flags - VMAP_BORROW) & ~VMAP_NO_GUARD) || !addr || !pages)
		return map_otherwise(space, pages, n, flags, prot, addr);
	block = current_block(space);
	slots = slots_of(n, flags);
	if (!block || !vmap_ram_take(&block->window[1], slots, &slot))
		return map_otherwise(space, pages, n, flags, prot, addr);
	host = space->host;
	at = block->base + (slot << host->page_shift);
	*addr = (void *)at;
	word = word_of(at, n, slots, VMAP_BORROW);
	if (vmap_entries_show(vmap_ram_entries(block) + slot, block->pages + slot, pages, n, host->entry_shift, &block->bits) < n)
		return map_elsewhere(space, block, pages, word, 0, addr);
	set_word(block, slot, word);
	return 0;
}

/* Move the map at addr, which is live, to ending. */
COMMON bool claim(struct vmap_ram_block *block, size_t slot, uintptr_t addr, uintptr_t *word)
{
	*word = __atomic_load_n(block->word + slot, __ATOMIC_RELAXED);
	return (*word & (~VMAP_RAM_BITS | VMAP_RAM_LIVE)) == addr + VMAP_RAM_LIVE &&
	       __atomic_compare_exchange_n(block->word + slot, word, *word - VMAP_RAM_LIVE, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

/* Take the translations of a map that was claimed away. */
COMMON int end(struct vmap_space *space, struct vmap_ram_block *block, size_t slot, uintptr_t word, bool nowait)
{
	vmap_entries_hide(vmap_ram_entries(block) + slot, vmap_ram_size(word));
	wait(space, block, slot, word, nowait);
	return 0;
}

/* The same where the block gets dirty by it, or has no entries. */
UNCOMMON int end_slowly(struct vmap_space *space, struct vmap_ram_block *block, size_t slot, uintptr_t word, bool nowait)
{
	const struct vmap_host *host = space->host;

	if (!is_dirty(block))
		vmap_ram_dirtied(space, block);
	if (vmap_ram_entries(block))
		return end(space, block, slot, word, nowait);
	host->unmap(host->ctx, word & ~VMAP_RAM_BITS, (size_t)vmap_ram_size(word) << host->page_shift);
	wait(space, block, slot, word, nowait);
	return 0;
}

/* Not a live map in a block that the index knows: an area, a map in another block, or nothing that could be unmapped. */
UNCOMMON int unmap_any(struct vmap_space *space, const void *ptr, size_t slot, bool nowait)
{
	int err = nowait ? vmap_unmap_nowait(space, ptr) : vmap_unmap(space, ptr);
	struct vmap_ram_block *block = NULL;
	uintptr_t addr = (uintptr_t)ptr, word;
	struct vmap_area *area;
	unsigned long saved;

	if (err != -VMAP_ENOENT && err != -VMAP_EINVAL)
		return err;
	saved = vmap_space_lock(space);
	area = vmap_areas_at(&space->areas, addr);
	if (area)
		block = area->ram;
	vmap_space_unlock_keep(space, saved);
	if (!block)
		return err;
	if (claim(block, slot, addr, &word))
		return end_slowly(space, block, slot, word, nowait);
	return word && (word & ~VMAP_RAM_BITS) == addr ? -VMAP_EALREADY : -VMAP_ENOENT;
}

COMMON int unmap(struct vmap_space *space, const void *ptr, bool nowait)
{
	uintptr_t addr = (uintptr_t)ptr, number = (addr - space->base) >> space->host->page_shift, word;
	size_t slot = number % VMAP_RAM_SLOTS;
	struct vmap_ram_block *block;

	block = __atomic_load_n(&space->ram.index[number / VMAP_RAM_SLOTS % VMAP_RAM_INDEX], __ATOMIC_ACQUIRE);
	if (!block || !claim(block, slot, addr, &word))
		return unmap_any(space, ptr, slot, nowait);
	if (__atomic_load_n(&block->is_dirty, __ATOMIC_SEQ_CST) != VMAP_RAM_DIRTY_PINNED)
		return end_slowly(space, block, slot, word, nowait);
	return end(space, block, slot, word, nowait);
}

int vmap_ram_unmap(struct vmap_space *space, const void *addr)
{
	return unmap(space, addr, false);
}

int vmap_ram_unmap_nowait(struct vmap_space *space, const void *addr)
{
	return unmap(space, addr, true);
}
