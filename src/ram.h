/* SPDX-License-Identifier: MIT */
#ifndef VMAP_RAM_PRIVATE_H
#define VMAP_RAM_PRIVATE_H

#include <vmap/ram.h>
#include "area.h"

/* Base pages of a block, which is aligned to its size from the begin of the space on. */
#define VMAP_RAM_SLOTS 256

/* CPUs that can have a shard of their own, and a block for short-lived maps. 1: nothing is sharded, and what it costs is left out. */
#ifndef VMAP_SHARDS
#define VMAP_SHARDS 8
#endif

/* Blocks that are found by address without a look at the tree. */
#define VMAP_RAM_INDEX 256

/*
 * A map is one word, kept at its first slot: its address, and in the bits that are 0 there its state and sizes. 0: none begins here, or it
 * is not yet mapped. One atomic operation moves it from state to state: from live to ending (unmapped, not yet waiting: neither bit), to waiting.
 */
#define VMAP_RAM_LIVE ((uintptr_t)0x1)
#define VMAP_RAM_WAITING ((uintptr_t)0x2) /* for a flush */
#define VMAP_RAM_BORROWED ((uintptr_t)0x4) /* it holds no references */
#define VMAP_RAM_MADE ((uintptr_t)0x8) /* made[] says of what; otherwise it is base pages, read and write */
#define VMAP_RAM_GUARD_SHIFT 4 /* one bit: there is a guard */
#define VMAP_RAM_SIZE_SHIFT 5 /* seven bits: base pages mapped */
#define VMAP_RAM_BITS ((uintptr_t)0xfff)

/* Whether a block has maps that end or wait, and then whether their entries are the core's to write: that is all that unmapping asks. */
enum vmap_ram_dirty {
	VMAP_RAM_CLEAN,
	VMAP_RAM_DIRTY,
	VMAP_RAM_DIRTY_PINNED,
};

/* A link of a list whose members can leave it at any place. */
struct vmap_ram_link {
	struct vmap_ram_block *next, **from; /* from NULL: not in the list */
};

struct vmap_ram_block {
	struct vmap_area *area; /* may have been cut short at both ends */
	struct vmap_shard *shard; /* whose lock guards what no lock-free operation changes */
	uint64_t *entries; /* of slot 0 and on, pinned; NULL: they are not; read without the lock */
	uint64_t bits; /* of an entry that allows reading and writing */
	bool quick; /* the core writes the entries, and nobody has to be told; read without the lock */
	bool unpinned; /* they were not, as that could have slept: who may sleep does it */
	uintptr_t base; /* of slot 0 */
	struct vmap_ram_link all, usable;
	struct vmap_ram_block *next_dirty;
	uint64_t free[VMAP_RAM_SLOTS / 64]; /* slots that can be taken, outside of the window */
	unsigned n_free; /* how many those are */
	unsigned first, last; /* slots that the block still has; others are never free */
	bool current; /* some CPU's maps are made here */
	uint32_t swept; /* of a dirty one: all maps with a clock below this one are complete */

	/* What changes without a lock. */
	/* enum vmap_ram_dirty: in the queue of those with maps that end or wait; set, and cleared, under the lock */
	uint32_t is_dirty;
	/*
	 * Slots that are taken one after the other: end << 32 | next. A block has one window: the second if it is quick. So who takes slots
	 * knows by that what the block is: until then it could be given up, and its memory become another one.
	 */
	uint64_t window[2];
	uintptr_t word[VMAP_RAM_SLOTS];
	uint32_t clock[VMAP_RAM_SLOTS]; /* of a map that waits: when it began to */
	uint16_t made[VMAP_RAM_SLOTS]; /* of a map whose word says so: protection << 8 | number of pages */
	struct vmap_page *pages[VMAP_RAM_SLOTS]; /* of a map: from its first slot on */
};

/* The short-lived maps of a shard, under its lock. */
struct vmap_ram_shard {
	struct vmap_ram_block *current[VMAP_SHARDS]; /* by CPU; read without the lock */
	struct vmap_ram_block *usable; /* with room, and not current */
	struct vmap_ram_block *dirty, *last_dirty; /* a queue of those with maps that end or wait, by rising swept */
	unsigned n_dirty;
	uint32_t flushed; /* all maps with a clock below this one were flushed */
	unsigned idle; /* usable blocks without any map */
	uint64_t ended; /* maps that were completed, less those that were given up, ever */
};

/* The blocks of a space, under its lock. */
struct vmap_ram {
	struct vmap_ram_block *all;
	size_t n; /* blocks; but for the first they take at most half of the space */
	struct vmap_ram_block
		*unused; /* memory of blocks that are gone, by usable.next: it stays, as others may still look at it */
	struct vmap_ram_block *index[VMAP_RAM_INDEX]; /* by number of the block; read without the lock */
};

struct vmap_space;
struct vmap_flush;

static inline unsigned vmap_ram_size(uintptr_t word)
{
	return (unsigned)(word >> VMAP_RAM_SIZE_SHIFT & 127);
}

static inline unsigned vmap_ram_slots(uintptr_t word)
{
	/* The bit of the guard lies below those of the size: 2 * size + guard. */
	return ((unsigned)(word >> VMAP_RAM_GUARD_SHIFT & 255) + 1) / 2;
}

static inline bool vmap_ram_is_held(uintptr_t word)
{
	return !(word & VMAP_RAM_BORROWED);
}

/* What its word knows of the flags that it was made with. */
static inline unsigned vmap_ram_flags(uintptr_t word)
{
	return (vmap_ram_is_held(word) ? 0 : VMAP_BORROW) | (word >> VMAP_RAM_GUARD_SHIFT & 1 ? 0 : VMAP_NO_GUARD);
}

/* Of a map at this slot: protection << 8 | number of pages. */
static inline unsigned vmap_ram_made(const struct vmap_ram_block *block, size_t slot, uintptr_t word)
{
	if (word & VMAP_RAM_MADE)
		return __atomic_load_n(block->made + slot, __ATOMIC_RELAXED);
	return (VMAP_READ | VMAP_WRITE) << 8 | vmap_ram_size(word);
}

/* References that it holds. */
static inline unsigned vmap_ram_held(const struct vmap_ram_block *block, size_t slot, uintptr_t word)
{
	return vmap_ram_is_held(word) ? vmap_ram_made(block, slot, word) & 0xff : 0;
}

/* A block's entries, by who has taken slots of it or would like to. They can come while it is in use. */
static inline uint64_t *vmap_ram_entries(const struct vmap_ram_block *block)
{
	return __atomic_load_n(&block->entries, __ATOMIC_ACQUIRE);
}

/* An address is added up for compilers that do better with it than with that of an element. */
static inline uintptr_t vmap_ram_word(const struct vmap_ram_block *block, size_t slot)
{
	return __atomic_load_n(block->word + slot, __ATOMIC_SEQ_CST);
}

/* block.c */

/* The window that a block has. */
static inline uint64_t *vmap_ram_window(struct vmap_ram_block *block)
{
	return &block->window[__atomic_load_n(&block->quick, __ATOMIC_RELAXED)];
}

/* Take slots out of a window, without a lock. false: it has not as many. */
static inline bool vmap_ram_take(uint64_t *window, size_t slots, size_t *slot)
{
	uint64_t old = __atomic_load_n(window, __ATOMIC_RELAXED), left;

	do {
		left = old + slots;
		if ((uint32_t)left > (uint32_t)(old >> 32))
			return false;
	} while (!__atomic_compare_exchange_n(window, &old, left, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	*slot = (uint32_t)old;
	return true;
}

/* Under no lock: let this CPU have a window of so many slots, if one goes on taking from its current block. 0, or as vmap_pages(). */
int vmap_ram_refill(struct vmap_space *space, unsigned slots, bool nowait);

/* Under no lock: give back slots that were taken and in which nothing was mapped. */
void vmap_ram_untake(struct vmap_space *space, struct vmap_ram_block *block, unsigned slot, unsigned slots);

/* Give back all addresses that no map uses, but those between maps of one block. For want of memory it may give back less. */
void vmap_ram_trim(struct vmap_space *space, bool nowait);

/* The space ends: give the memory of all blocks back. */
void vmap_ram_end(struct vmap_space *space);

/* sweep.c */

/* Under no lock: the block has a map that ends. */
void vmap_ram_dirtied(struct vmap_space *space, struct vmap_ram_block *block);

/* Under the shard's lock: begin a flush of what waits there, and name it. */
void vmap_ram_note(struct vmap_space *space, struct vmap_shard *shard, struct vmap_flush *flush);

/* Under no lock: complete what began to wait up to then, and was flushed. */
void vmap_ram_complete(struct vmap_space *space, struct vmap_shard *shard, uint32_t clock);

/* ramlook.c: under the space's lock and that of the block's shard. */

/* Under the space's lock and those of all shards: add what the blocks hold. */
void vmap_ram_sum(const struct vmap_space *space, struct vmap_stats *stats);

/* What a block knows about addr. */
struct vmap_area_info vmap_ram_info(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr);
/* The first map that begins at addr or behind it, in this block. */
bool vmap_ram_next(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_area_info *info);
/* As vmap_page_at(). */
int vmap_ram_page_at(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_page **page,
		     size_t *offset);

#endif
