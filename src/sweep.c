// SPDX-License-Identifier: MIT
/*
 * Theory: short-lived maps that were ended wait in their block for a flush, each with the shard's clock of when it began to. Blocks with such maps
 * are dirty, and stand in a queue of their shard. A flush advances the clock, and then whatever waits with a lower one is completed: references
 * are given back, slots are free. A hold of the lock sweeps one block, or as much of it as there is room for references.
 */
#include "block.h"
#include "purge.h"

/* References that are given back after one hold of the lock. */
#define RELEASED VMAP_RAM_PAGES

/* Under the lock: nothing of the block waits that was flushed. So the queue is in the order of what its blocks have been swept up to. */
static void queue_dirty(struct vmap_shard *shard, struct vmap_ram_block *block)
{
	block->swept = shard->ram.flushed;
	block->next_dirty = NULL;
	*(shard->ram.dirty ? &shard->ram.last_dirty->next_dirty : &shard->ram.dirty) = block;
	shard->ram.last_dirty = block;
	vmap_block_mark(block);
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
		if (vmap_block_is_free(block, slot))
			slot = vmap_block_run_end(block, slot, true) - 1;
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
	vmap_copy(&sweep->released[sweep->n], &block->pages[slot], n * sizeof(sweep->released[0]));
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
	vmap_block_set_free(block, first, (unsigned)slot - first, true);
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

	vmap_block_leave_usable(shard, block);
	/* First, so that a map whose end is not seen below is marked by who ends it. */
	__atomic_store_n(&block->is_dirty, VMAP_RAM_CLEAN, __ATOMIC_SEQ_CST);
	if (!sweep_maps(block, shard->ram.flushed, sweep, &rest)) {
		vmap_block_mark(block);
	} else {
		shard->ram.dirty = block->next_dirty;
		if (rest)
			queue_dirty(shard, block);
		else
			shard->ram.n_dirty--;
	}
	vmap_block_note_room(shard, block);
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
		if (vmap_block_is_idle(block) &&
		    (shard->ram.idle > idle_max(space) || block->last - block->first < VMAP_RAM_SLOTS))
			return block;
	return NULL;
}

static void drop_surplus(struct vmap_space *space, struct vmap_shard *shard)
{
	struct vmap_page_array *released = NULL;
	struct vmap_ram_block *gone = NULL, *block;
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, shard);

	for (unsigned i = 0; i < VMAP_BLOCK_TRIES && (block = surplus(space, shard)); i++)
		vmap_block_drop(space, block, &gone, &released);
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock(space, saved);
	vmap_space_release(space->host, released);
	vmap_blocks_end(space, gone);
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
