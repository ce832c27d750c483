// SPDX-License-Identifier: MIT
/*
 * Theory: what blocks of short-lived maps hold. A map's word says all of it at one moment, so that reading needs no agreement with
 * those who map and unmap meanwhile. Nothing is counted where maps are made and ended; totals add up the words.
 */
#include "space.h"

/* The first slot from slot on, before the end, at which a map begins; end: none. */
static unsigned next_map(const struct vmap_ram_block *block, unsigned slot, uintptr_t *word)
{
	for (; slot < block->last; slot++) {
		*word = vmap_ram_word(block, slot);
		if (*word)
			return slot;
	}
	return block->last;
}

static void add_block(const struct vmap_space *space, const struct vmap_ram_block *block, struct vmap_stats *stats)
{
	size_t page = (size_t)1 << space->host->page_shift, bytes;
	unsigned slot = block->first;
	uintptr_t word;

	stats->ram += block->area->extent.size;
	while ((slot = next_map(block, slot, &word)) < block->last) {
		bytes = vmap_ram_slots(word) * page;
		stats->ram -= bytes;
		stats->pages_held += vmap_ram_held(block, slot, word);
		stats->maps++;
		if (word & VMAP_RAM_LIVE) {
			stats->areas++;
			stats->mapped += vmap_ram_size(word) * page;
			stats->guards += bytes - vmap_ram_size(word) * page;
		} else {
			stats->lazy_areas++;
			stats->lazy += bytes;
			stats->unmaps++;
		}
		slot += vmap_ram_slots(word);
	}
}

void vmap_ram_sum(const struct vmap_space *space, struct vmap_stats *stats)
{
	for (const struct vmap_ram_block *block = space->ram.all; block; block = block->all.next)
		add_block(space, block, stats);
	for (unsigned i = 0; i < space->shards; i++) {
		stats->maps += space->shard[i].ram.ended;
		stats->unmaps += space->shard[i].ram.ended;
	}
}

/* The slot at which the map begins that covers this one with its mapped pages or its guard; VMAP_RAM_SLOTS: none. */
static unsigned map_at(const struct vmap_ram_block *block, uintptr_t slot, uintptr_t *word)
{
	for (uintptr_t back = 0; slot < VMAP_RAM_SLOTS && back <= VMAP_RAM_PAGES && back <= slot; back++) {
		*word = vmap_ram_word(block, (unsigned)(slot - back));
		if (*word)
			return back < vmap_ram_slots(*word) ? (unsigned)(slot - back) : VMAP_RAM_SLOTS;
	}
	return VMAP_RAM_SLOTS;
}

static struct vmap_area_info info_of(const struct vmap_space *space, const struct vmap_ram_block *block, unsigned slot,
				     uintptr_t word)
{
	unsigned shift = space->host->page_shift, made = vmap_ram_made(block, slot, word);

	return (struct vmap_area_info){
		.addr = word & ~VMAP_RAM_BITS,
		.size = (size_t)vmap_ram_size(word) << shift,
		.guard = (size_t)(vmap_ram_slots(word) - vmap_ram_size(word)) << shift,
		.pages = made & 0xff,
		.flags = vmap_ram_flags(word),
		.prot = made >> 8,
		.state = word & VMAP_RAM_LIVE ? VMAP_STATE_MAPPED : VMAP_STATE_LAZY,
		.tag = "vmap_ram",
	};
}

struct vmap_area_info vmap_ram_info(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr)
{
	uintptr_t word;
	unsigned slot = map_at(area->ram, (addr - area->ram->base) >> space->host->page_shift, &word);

	if (slot < VMAP_RAM_SLOTS)
		return info_of(space, area->ram, slot, word);
	return (struct vmap_area_info){.addr = area->extent.addr, .size = area->extent.size, .state = VMAP_STATE_RAM};
}

bool vmap_ram_next(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_area_info *info)
{
	uintptr_t page = (uintptr_t)1 << space->host->page_shift, slot = 0, word = 0;
	const struct vmap_ram_block *block = area->ram;

	if (addr > block->base)
		slot = (addr - block->base + page - 1) >> space->host->page_shift;
	slot = slot < VMAP_RAM_SLOTS ? next_map(block, (unsigned)slot, &word) : VMAP_RAM_SLOTS;
	if (slot >= block->last)
		return false;
	*info = info_of(space, block, (unsigned)slot, word);
	return true;
}

int vmap_ram_page_at(const struct vmap_space *space, const struct vmap_area *area, uintptr_t addr, struct vmap_page **page,
		     size_t *offset)
{
	const struct vmap_ram_block *block = area->ram;
	unsigned shift = space->host->page_shift, slot;
	struct vmap_page *const *own;
	uintptr_t word;
	size_t into;

	slot = map_at(block, (addr - block->base) >> shift, &word);
	if (slot == VMAP_RAM_SLOTS || !(word & VMAP_RAM_LIVE))
		return -VMAP_ENOENT;
	into = addr - (word & ~VMAP_RAM_BITS);
	if (into >= (size_t)vmap_ram_size(word) << shift)
		return -VMAP_EFAULT;
	for (own = &block->pages[slot]; into >= (size_t)1 << ((*own)->order + shift); own++)
		into -= (size_t)1 << ((*own)->order + shift);
	*page = *own;
	*offset = into;
	return 0;
}
