// SPDX-License-Identifier: MIT
/* See check.h: the lists that blocks of short-lived maps stand in, and what the machine's tables show of blocks and areas. */
#include <stdlib.h>
#include "check.h"
#include "softmmu.h"

/* A page that is mapped to a frame of which the core notes nothing. */
#define SOME_FRAME UINT64_MAX

/* Lists */

typedef struct vmap_ram_link *link_of(struct vmap_ram_block *block);

static struct vmap_ram_link *all_link(struct vmap_ram_block *block)
{
	return &block->all;
}

static struct vmap_ram_link *usable_link(struct vmap_ram_block *block)
{
	return &block->usable;
}

/* How many blocks are in the list; SIZE_MAX: one does not know where it is, or there are more than most. */
static size_t length(struct vmap_ram_block *const *list, link_of *link, size_t most)
{
	struct vmap_ram_block *const *from = list;
	size_t n = 0;

	for (struct vmap_ram_block *block = *list; block; block = link(block)->next, n++) {
		if (link(block)->from != from || n == most)
			return SIZE_MAX;
		from = &link(block)->next;
	}
	return n;
}

static struct vmap_ram_block *const *index_slot(const struct vmap_space *space, const struct vmap_ram_block *block)
{
	return &space->ram.index[((block->base - space->base) >> space->host->page_shift) / VMAP_RAM_SLOTS % VMAP_RAM_INDEX];
}

/* For how many CPUs of its shard a block is the current one. */
static unsigned currents(const struct vmap_ram_block *block)
{
	unsigned n = 0;

	for (unsigned cpu = 0; cpu < VMAP_SHARDS; cpu++)
		n += block->shard->ram.current[cpu] == block;
	return n;
}

static const char *check_block(const struct vmap_space *space, const struct vmap_ram_block *block)
{
	const struct vmap_extent *extent = &block->area->extent;
	unsigned shift = space->host->page_shift;

	if (vmap_areas_at(&space->areas, extent->addr) != block->area || block->area->ram != block ||
	    block->area->state != VMAP_STATE_RAM || block->area->shard != block->shard)
		return "a block is not what its area says";
	if (extent->addr != block->base + ((uintptr_t)block->first << shift) ||
	    extent->size != (size_t)(block->last - block->first) << shift || block->last > VMAP_RAM_SLOTS)
		return "a block is not where its area is";
	if (block->entries && block->entries + block->first != block->area->entries)
		return "a block's entries are not its area's";
	if (block->is_dirty && block->is_dirty != (block->entries ? VMAP_RAM_DIRTY_PINNED : VMAP_RAM_DIRTY))
		return "a dirty block does not say whose entries it has";
	if (currents(block) != block->current)
		return "a block is current for none, or for several CPUs, and does not say so";
	if (block->current && block->usable.from)
		return "a current block is among those that are not";
	if (block->usable.from && !block->n_free)
		return "a block without room is usable";
	if (!*index_slot(space, block))
		return "a block is missed in the index";
	return NULL;
}

/* The queue of dirty blocks is in the order of what they have been swept up to, and none of them further than what was flushed. */
static const char *check_dirty(const struct vmap_space *space, const struct vmap_shard *shard)
{
	const struct vmap_ram_block *last = NULL;
	size_t n = 0;

	for (const struct vmap_ram_block *block = shard->ram.dirty; block; last = block, block = block->next_dirty) {
		if (block->shard != shard || !block->is_dirty)
			return "a dirty block is another shard's, or does not say that it is";
		if ((last && (int32_t)(block->swept - last->swept) < 0) || (int32_t)(shard->ram.flushed - block->swept) < 0)
			return "the queue of dirty blocks is out of order";
		if (n++ == space->ram.n)
			return "the queue of dirty blocks has no end";
	}
	if (n != shard->ram.n_dirty || (last && last != shard->ram.last_dirty))
		return "the dirty blocks are counted wrongly, or another one is the last";
	return NULL;
}

/* What is in the lists of a shard belongs there. */
static const char *check_shard(const struct vmap_space *space, const struct vmap_shard *shard, size_t *usable, size_t *dirty)
{
	size_t idle = 0, n_usable = length(&shard->ram.usable, usable_link, space->ram.n);
	const char *wrong = check_dirty(space, shard);

	if (wrong)
		return wrong;
	if (n_usable == SIZE_MAX)
		return "a shard's list of blocks is broken";
	for (const struct vmap_ram_block *block = shard->ram.usable; block; block = block->usable.next) {
		if (block->shard != shard)
			return "a usable block is another shard's";
		idle += block->n_free == block->last - block->first;
	}
	for (unsigned cpu = 0; cpu < VMAP_SHARDS; cpu++)
		if (shard->ram.current[cpu] && (shard->ram.current[cpu]->shard != shard || !shard->ram.current[cpu]->all.from))
			return "a current block is gone, or another shard's";
	*usable += n_usable;
	*dirty += shard->ram.n_dirty;
	return idle == shard->ram.idle ? NULL : "the number of blocks without a map is wrong";
}

/* Memory that waits for its next use must look as if no map had ever been in it. */
static bool is_blank(const struct vmap_ram_block *block)
{
	uint64_t any = block->n_free | block->is_dirty | block->window[0] | block->window[1];

	for (unsigned slot = 0; slot < VMAP_RAM_SLOTS; slot++)
		any |= block->word[slot];
	for (unsigned i = 0; i < VMAP_RAM_SLOTS / 64; i++)
		any |= block->free[i];
	return !any && !block->current && !block->all.from && !block->usable.from;
}

static const char *check_lists(const struct vmap_space *space)
{
	size_t usable = 0, dirty = 0, n = length(&space->ram.all, all_link, space->ram.n);
	const char *wrong = n == space->ram.n ? NULL : "the list of blocks is broken, or counted wrongly";

	for (unsigned i = 0; i < space->shards && !wrong; i++)
		wrong = check_shard(space, &space->shard[i], &usable, &dirty);
	for (const struct vmap_ram_block *block = space->ram.all; block && !wrong; block = block->all.next) {
		wrong = check_block(space, block);
		usable -= block->usable.from != NULL;
		dirty -= block->is_dirty != VMAP_RAM_CLEAN;
	}
	for (struct vmap_tree_node *node = vmap_tree_end(&space->areas, 0); node; node = vmap_tree_step(node, 1))
		n -= vmap_tree_entry(node, struct vmap_area, extent.node)->ram != NULL;
	if (!wrong && (n || usable || dirty))
		wrong = "a block is in the tree, or in a list, and not in that of all";
	for (unsigned i = 0; i < VMAP_RAM_INDEX && !wrong; i++)
		if (space->ram.index[i] &&
		    (!space->ram.index[i]->all.from || index_slot(space, space->ram.index[i]) != &space->ram.index[i]))
			wrong = "the index names a block that is gone, or in another slot";
	for (const struct vmap_ram_block *block = space->ram.unused; block && !wrong; block = block->usable.next)
		wrong = is_blank(block) ? NULL : "memory of a block that is gone is not blank";
	return wrong;
}

/* Tables */

static void expect_page(uint64_t *expected, const struct vmap_page *page, size_t most)
{
	for (size_t i = 0; i < (size_t)1 << page->order && i < most; i++)
		expected[i] = page->frame + i + 1;
}

static void expect_area(const struct vmap_area *area, unsigned shift, uint64_t *expected)
{
	size_t n = area->size >> shift, at = 0;

	if (area->state != VMAP_STATE_MAPPED)
		return;
	for (size_t i = 0; !area->pages && i < n; i++)
		expected[i] = SOME_FRAME;
	for (size_t i = 0; area->pages && i < area->pages->n; at += (size_t)1 << area->pages->pages[i++]->order)
		expect_page(expected + at, area->pages->pages[i], n - at);
}

/* Of a block's maps those that are live. expected: of slot 0 and on. */
static void expect_block(const struct vmap_ram_block *block, uint64_t *expected)
{
	uintptr_t word;
	size_t at;

	for (unsigned slot = block->first; slot < block->last; slot++) {
		word = block->word[slot];
		if (!(word & VMAP_RAM_LIVE))
			continue;
		at = slot;
		for (unsigned i = 0; i < (vmap_ram_made(block, slot, word) & 0xff);
		     at += (size_t)1 << block->pages[slot + i++]->order)
			expect_page(expected + at, block->pages[slot + i], slot + vmap_ram_size(word) - at);
	}
}

/* What the core believes to be pinned is what the machine knows. */
static const char *check_pins(const struct vmap_area *area, unsigned shift, struct softmmu *mmu, size_t *pins)
{
	if (!area->entries)
		return area->behind ? "an area has pins behind none" : NULL;
	*pins += 1 + (area->behind != NULL);
	if (area->entries != softmmu_entry(mmu, area->extent.addr))
		return "an area's entries are others";
	if (area->behind && area->behind != softmmu_entry(mmu, area->extent.addr + (area->split << shift)))
		return "an area's second entries are others";
	return area->behind || area->split == area->extent.size >> shift ? NULL : "not all of an area is pinned";
}

/* Each live map is shown, page by page, and nothing else is. */
static const char *check_tables(const struct vmap_space *space)
{
	unsigned shift = space->host->page_shift;
	size_t pages = space->size >> shift, pins = 0;
	uint64_t *expected = calloc(2 * pages, sizeof(uint64_t)), *shown = expected + pages;
	struct softmmu *mmu = space->host->ctx;
	const char *wrong = NULL;

	if (!expected)
		abort();
	for (struct vmap_tree_node *node = vmap_tree_end(&space->areas, 0); node && !wrong; node = vmap_tree_step(node, 1)) {
		const struct vmap_area *area = vmap_tree_entry(node, struct vmap_area, extent.node);

		if (area->ram)
			expect_block(area->ram, expected + ((area->ram->base - space->base) >> shift));
		else
			expect_area(area, shift, expected + ((area->extent.addr - space->base) >> shift));
		wrong = check_pins(area, shift, mmu, &pins);
	}
	softmmu_walk_all(mmu, space->base, pages, shown);
	for (size_t i = 0; i < pages && !wrong; i++)
		if (shown[i] != expected[i] && (expected[i] != SOME_FRAME || !shown[i]))
			wrong = "the tables show something else than is mapped";
	free(expected);
	return !wrong && pins != softmmu_pins(mmu) ? "the machine has other pins than the areas" : wrong;
}

const char *check_blocks(const struct vmap_space *space)
{
	const char *wrong = check_lists(space);

	return wrong ? wrong : check_tables(space);
}
