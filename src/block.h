/* SPDX-License-Identifier: MIT */
#ifndef VMAP_BLOCK_H
#define VMAP_BLOCK_H

#include "map.h"

/*
 * What block.c and sweep.c know of a block: which of its slots are free, which lists it is in. All under its shard's lock.
 */

/* A block is looked at again when this many of its slots are free; so many of them are, at most, in one hold of the lock. */
#define VMAP_BLOCK_USABLE (VMAP_RAM_SLOTS / 4)
#define VMAP_BLOCK_TRIES 4

/* Lists */

static inline void vmap_block_link(struct vmap_ram_block **list, struct vmap_ram_block *block, struct vmap_ram_link *link,
				   size_t member)
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

static inline void vmap_block_unlink(struct vmap_ram_link *link, size_t member)
{
	if (!link->from)
		return;
	*link->from = link->next;
	if (link->next)
		((struct vmap_ram_link *)(void *)((char *)link->next + member))->from = link->from;
	link->from = NULL;
}

#define VMAP_BLOCK_LINK(list, block, link) vmap_block_link(list, block, &(block)->link, offsetof(struct vmap_ram_block, link))
#define VMAP_BLOCK_UNLINK(block, link) vmap_block_unlink(&(block)->link, offsetof(struct vmap_ram_block, link))

/* Slots */

static inline void vmap_block_set_free(struct vmap_ram_block *block, unsigned first, unsigned n, bool free)
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

static inline bool vmap_block_is_free(const struct vmap_ram_block *block, unsigned slot)
{
	return block->free[slot / 64] >> slot % 64 & 1;
}

/* The number of the lowest bit that is set, of at least one. No builtin: where there is no instruction it is a call into a runtime. */
static inline unsigned vmap_lowest_bit(uint64_t bits)
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
static inline unsigned vmap_block_run_end(const struct vmap_ram_block *block, unsigned first, bool free)
{
	uint64_t other;

	while (first < VMAP_RAM_SLOTS) {
		other = (free ? ~block->free[first / 64] : block->free[first / 64]) >> first % 64;
		if (other)
			return first + vmap_lowest_bit(other);
		first = (first | 63) + 1;
	}
	return VMAP_RAM_SLOTS;
}

/* Blocks */

static inline bool vmap_block_is_idle(const struct vmap_ram_block *block)
{
	return block->n_free == block->last - block->first;
}

/* As soon as a block has room it is usable, if it is not current. */
static inline void vmap_block_note_room(struct vmap_shard *shard, struct vmap_ram_block *block)
{
	if (block->current || (block->n_free < VMAP_BLOCK_USABLE && !vmap_block_is_idle(block)))
		return;
	shard->ram.idle += vmap_block_is_idle(block);
	VMAP_BLOCK_LINK(&shard->ram.usable, block, usable);
}

static inline void vmap_block_leave_usable(struct vmap_shard *shard, struct vmap_ram_block *block)
{
	if (block->usable.from && vmap_block_is_idle(block))
		shard->ram.idle--;
	VMAP_BLOCK_UNLINK(block, usable);
}

/* It has maps that end or wait. */
static inline void vmap_block_mark(struct vmap_ram_block *block)
{
	__atomic_store_n(&block->is_dirty, block->entries ? VMAP_RAM_DIRTY_PINNED : VMAP_RAM_DIRTY, __ATOMIC_SEQ_CST);
}

/*
 * block.c. Under the space's lock, too: a block without a map gives its addresses back. Its memory follows after the locks, with that of the others
 * in gone; what it released likewise.
 */
void vmap_block_drop(struct vmap_space *space, struct vmap_ram_block *block, struct vmap_ram_block **gone,
		     struct vmap_page_array **released);
/* Under no lock: keep the memory of blocks that were dropped. */
void vmap_blocks_end(struct vmap_space *space, struct vmap_ram_block *gone);

#endif
