// SPDX-License-Identifier: MIT
/* See check.h. */
#include <stdlib.h>
#include "check.h"

uint64_t check_random(uint64_t *seed, uint64_t below)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % below;
}

static unsigned height(const struct vmap_tree_node *node)
{
	return node ? node->height : 0;
}

static const char *check_node(const struct vmap_tree_node *node)
{
	unsigned left = height(node->child[0]), right = height(node->child[1]);

	for (unsigned side = 0; side < 2; side++)
		if (node->child[side] && node->child[side]->parent != node)
			return "a child does not know its parent";
	if (node->height != (left > right ? left : right) + 1)
		return "a height is wrong";
	if (left > right + 1 || right > left + 1)
		return "a node is out of balance";
	return NULL;
}

const char *check_tree(const struct vmap_tree *tree)
{
	const struct vmap_tree_node *last = NULL;
	const char *wrong;

	if (tree->root && tree->root->parent)
		return "the root has a parent";
	for (struct vmap_tree_node *node = vmap_tree_end(tree, 0); node; node = vmap_tree_step(node, 1)) {
		wrong = check_node(node);
		if (wrong)
			return wrong;
		if (vmap_tree_step(node, 0) != last)
			return "stepping back leads elsewhere";
		last = node;
	}
	return vmap_tree_end(tree, 1) == last ? NULL : "the last node is another";
}

static const struct vmap_extent *extent_of(struct vmap_tree_node *node)
{
	return vmap_tree_entry(node, struct vmap_extent, node);
}

static const char *check_free_tree(const struct vmap_ranges *ranges, size_t *total)
{
	const struct vmap_extent *last = NULL, *extent;
	size_t largest;

	for (struct vmap_tree_node *node = vmap_tree_end(&ranges->tree, 0); node; node = vmap_tree_step(node, 1)) {
		extent = extent_of(node);
		largest = extent->size;
		for (unsigned side = 0; side < 2; side++)
			if (node->child[side] && extent_of(node->child[side])->largest > largest)
				largest = extent_of(node->child[side])->largest;
		if (extent->largest != largest)
			return "a subtree's largest range is wrong";
		if (!extent->size || (extent->addr | extent->size) & (((size_t)1 << ranges->page_shift) - 1))
			return "a free range is empty or unaligned";
		if (last && last->addr + last->size >= extent->addr)
			return "free ranges touch or overlap";
		*total += extent->size;
		last = extent;
	}
	return NULL;
}

const char *check_ranges(const struct vmap_ranges *ranges)
{
	const char *wrong = check_tree(&ranges->tree);
	size_t total = 0;

	if (!wrong)
		wrong = check_free_tree(ranges, &total);
	if (!wrong && total != ranges->free)
		wrong = "the total of free bytes is wrong";
	return wrong;
}

/* Pages of a space that were seen. */
struct seen {
	const struct vmap_space *space;
	uint64_t *bits;
	size_t pages;
};

/* See these. false: they are not all in the space, or one was seen before. */
static bool see(struct seen *seen, const struct vmap_extent *extent)
{
	size_t page = (extent->addr - seen->space->base) >> seen->space->host->page_shift, count;
	size_t n = extent->size >> seen->space->host->page_shift, all = seen->space->size >> seen->space->host->page_shift;
	uint64_t mask;

	if (extent->addr < seen->space->base || page >= all || n > all - page)
		return false;
	seen->pages += n;
	for (; n; page += count, n -= count) {
		count = 64 - page % 64 < n ? 64 - page % 64 : n;
		mask = ~(uint64_t)0 >> (64 - count) << page % 64;
		if (seen->bits[page / 64] & mask)
			return false;
		seen->bits[page / 64] |= mask;
	}
	return true;
}

static bool see_tree(struct seen *seen, const struct vmap_tree *tree)
{
	bool fine = true;

	for (struct vmap_tree_node *node = vmap_tree_end(tree, 0); node && fine; node = vmap_tree_step(node, 1))
		fine = see(seen, extent_of(node));
	return fine;
}

static const char *check_tiles(struct vmap_space *space)
{
	size_t pages = space->size >> space->host->page_shift;
	struct seen seen = {.space = space, .bits = calloc(pages / 64 + 1, sizeof(uint64_t))};
	bool fine;

	if (!seen.bits)
		abort();
	fine = see_tree(&seen, &space->ranges.tree) && see_tree(&seen, &space->areas);
	free(seen.bits);
	return fine && seen.pages == pages ? NULL : "ranges do not tile the space";
}

/* Slots of a block that are waiting for their map, by state. */
struct slots {
	unsigned used, free, window;
	bool waiting;
};

/* What a block of short-lived maps holds. */
static const char *count_block(const struct vmap_ram_block *block, size_t page, struct vmap_stats *stats)
{
	uint64_t window = block->window[block->quick];
	struct slots slots = {0};

	stats->ram += block->area->extent.size;
	for (unsigned slot = 0, n; slot < VMAP_RAM_SLOTS; slot += n) {
		uintptr_t word = block->word[slot];

		n = word ? vmap_ram_slots(word) : 1;
		slots.window += !word && slot >= (uint32_t)window && slot < window >> 32;
		for (unsigned i = 0; i < n; i++) {
			bool free = block->free[(slot + i) / 64] >> (slot + i) % 64 & 1;

			if (free && (word || slot < block->first || slot >= block->last))
				return "a slot that is used, or gone, is free";
			slots.free += free;
		}
		if (!word)
			continue;
		if ((word & ~VMAP_RAM_BITS) != block->base + slot * page)
			return "a map says that it is elsewhere";
		slots.used += n;
		slots.waiting |= !(word & VMAP_RAM_LIVE);
		stats->pages_held += vmap_ram_held(block, slot, word);
		stats->ram -= n * page;
		if (word & VMAP_RAM_LIVE) {
			stats->areas++;
			stats->mapped += vmap_ram_size(word) * page;
			stats->guards += (n - vmap_ram_size(word)) * page;
		} else {
			stats->lazy_areas++;
			stats->lazy += n * page;
		}
	}
	if (slots.free != block->n_free || slots.waiting != !!block->is_dirty)
		return "a block's totals are wrong";
	if (!block->current && slots.window)
		return "a block that is not current has a window";
	if (block->window[!block->quick])
		return "a block has the other kind's window";
	return slots.free + slots.used + slots.window == block->last - block->first ? NULL : "slots of a block are lost";
}

static void count(const struct vmap_area *area, struct vmap_stats *stats)
{
	const struct vmap_sparse *sparse = area->sparse;

	if (area->state == VMAP_STATE_FREE)
		return;

	/* Of a sparse area that is about to end what is still mapped, and the rest, is the flush's. */
	stats->areas += sparse ? !sparse->ending && area->extent.addr == sparse->extent.addr : area->state == VMAP_STATE_MAPPED;
	if (area->state == VMAP_STATE_HOLE) {
		stats->holes += sparse->ending ? 0 : area->size;
		stats->guards += sparse->ending ? 0 : area->extent.size - area->size;
		stats->lazy += sparse->ending ? area->extent.size : 0;
		return;
	}
	if (area->state == VMAP_STATE_MAPPED) {
		stats->mapped += area->size;
		stats->guards += area->extent.size - area->size;
	} else if (area->state == VMAP_STATE_QUARANTINED) {
		stats->quarantined += area->extent.size;
		return;
	} else {
		stats->lazy_areas++;
		stats->lazy += area->extent.size;
	}
	stats->pages_held += area->pages && area->pages->held ? area->pages->n : 0;
}

static const char *check_totals(struct vmap_space *space)
{
	struct vmap_stats counted = {0}, all, *kept = &all;
	const char *wrong = NULL;

	vmap_space_stats(space, &all);

	for (struct vmap_tree_node *node = vmap_tree_end(&space->areas, 0); node && !wrong; node = vmap_tree_step(node, 1)) {
		const struct vmap_area *area = vmap_tree_entry(node, struct vmap_area, extent.node);

		if (area->ram)
			wrong = count_block(area->ram, (size_t)1 << space->host->page_shift, &counted);
		else
			count(area, &counted);
	}
	if (wrong)
		return wrong;
	if (counted.quarantined != kept->quarantined)
		return "the total of the quarantine is wrong";
	if (counted.ram != kept->ram)
		return "the total of blocks for short-lived maps is wrong";
	if (counted.areas != kept->areas || counted.mapped != kept->mapped || counted.guards != kept->guards ||
	    counted.holes != kept->holes)
		return "totals of live areas are wrong";
	if (counted.lazy_areas != kept->lazy_areas || counted.lazy != kept->lazy || counted.pages_held != kept->pages_held)
		return "totals of lazy areas or of references are wrong";
	return NULL;
}

/* The tiles of each sparse area cover it, add up to its totals, and no two idle holes touch. */
static const char *check_sparse(const struct vmap_space *space, const struct vmap_area *tile)
{
	const struct vmap_sparse *sparse = tile->sparse;
	uintptr_t at = sparse->extent.addr, end = at + sparse->extent.size;
	size_t holes = 0, pages = 0, guard = 0;
	bool hole = false;

	for (; at < end; at = tile->extent.addr + tile->extent.size) {
		tile = vmap_areas_at(&space->areas, at);
		if (!tile || tile->sparse != sparse || tile->extent.addr != at || tile->busy || guard)
			return "a sparse area has a tile that is foreign, busy, or behind its guard";
		if (tile->state == VMAP_STATE_HOLE && (hole || tile->pages))
			return "two holes touch, or one has pages";
		hole = tile->state == VMAP_STATE_HOLE;
		guard = tile->extent.size - tile->size;
		holes += hole ? tile->size : 0;
		pages += tile->state == VMAP_STATE_MAPPED && tile->pages ? tile->pages->n : 0;
	}
	if (at != end || guard != sparse->extent.size - sparse->size)
		return "a sparse area ends elsewhere";
	if (holes != sparse->holes || pages != sparse->pages || sparse->changing)
		return "a sparse area's totals are wrong";
	return NULL;
}

static const char *check_tiles_of_sparse(const struct vmap_space *space)
{
	const char *wrong = NULL;

	for (struct vmap_tree_node *node = vmap_tree_end(&space->areas, 0); node && !wrong; node = vmap_tree_step(node, 1)) {
		const struct vmap_area *area = vmap_tree_entry(node, struct vmap_area, extent.node);

		if (area->sparse)
			wrong = check_sparse(space, area);
	}
	return wrong;
}

static const char *check_queue(struct vmap_space *space)
{
	struct vmap_stats stats;
	size_t n = 0, bytes, ram = 0;
	uint64_t seq;

	for (unsigned i = 0; i < space->shards; i++) {
		const struct vmap_shard *shard = &space->shard[i];

		seq = bytes = 0;
		for (struct vmap_extent *extent = shard->lazy_first; extent; extent = extent->next, n++) {
			const struct vmap_area *area = vmap_area_of(extent);

			if (area->seq <= seq || area->state != VMAP_STATE_LAZY || area->shard != shard)
				return "the queue is out of order";
			seq = area->seq;
			bytes += extent->size;
			if (!extent->next && extent != shard->lazy_last)
				return "the queue's end is another";
		}
		ram += (uint32_t)shard->clock;
		ram -= bytes >> space->host->page_shift;
	}
	vmap_space_stats(space, &stats);
	for (const struct vmap_ram_block *block = space->ram.all; block; block = block->all.next)
		for (unsigned slot = 0; slot < VMAP_RAM_SLOTS; slot++)
			if (block->word[slot] & VMAP_RAM_WAITING) {
				ram -= vmap_ram_size(block->word[slot]);
				n++;
			}
	return n != stats.lazy_areas || ram ? "the queue's totals are wrong" : NULL;
}

/* Every area of a pool is free, of the pool's size, and in the tree; every free area of the tree is in a pool. */
static const char *check_pools(struct vmap_space *space)
{
	size_t pooled = 0, bytes;

	for (unsigned i = 0; i < space->shards; i++) {
		const struct vmap_shard *shard = &space->shard[i];

		bytes = 0;
		for (size_t index = 0; index < VMAP_POOL_PAGES; index++) {
			for (struct vmap_extent *extent = shard->pools.first[index]; extent; extent = extent->next, pooled++) {
				const struct vmap_area *area = vmap_area_of(extent);

				if (extent->size != (index + 1) << space->host->page_shift || index < shard->pools.low)
					return "a pool holds an area of another size";
				if (area->state != VMAP_STATE_FREE || area->shard != shard || area->pages || area->ram ||
				    area->sparse)
					return "a pool holds an area that is not free";
				if (vmap_areas_at(&space->areas, extent->addr) != area)
					return "a pool holds an area that is not in the tree";
				bytes += extent->size;
			}
		}
		if (bytes != shard->pools.bytes || bytes > shard->pools.max)
			return "the total of the pools is wrong";
	}
	for (struct vmap_tree_node *node = vmap_tree_end(&space->areas, 0); node; node = vmap_tree_step(node, 1))
		pooled -= vmap_tree_entry(node, struct vmap_area, extent.node)->state == VMAP_STATE_FREE;
	return pooled ? "a free area is in no pool" : NULL;
}

/* What is found without the tree is what the tree finds. */
static const char *check_recent(struct vmap_space *space)
{
	for (unsigned i = 0; i < space->shards; i++)
		for (size_t k = 0; k < VMAP_RECENT; k++) {
			struct vmap_area *area = space->shard[i].recent[k];

			if (area && (vmap_areas_at(&space->areas, area->extent.addr) != area || area->shard != &space->shard[i]))
				return "a recent area is not in the tree";
		}
	return NULL;
}

const char *check_space(struct vmap_space *space)
{
	const char *wrong = check_ranges(&space->ranges);
	size_t spares = 0;

	for (struct vmap_extent *extent = space->spares.first; extent; extent = extent->next)
		spares++;
	if (!wrong && (spares != space->spares.n))
		wrong = "the number of spare descriptors is wrong";
	if (!wrong && space->starved)
		wrong = "an allocation starves for ever";
	if (!wrong)
		wrong = check_tree(&space->areas);
	if (!wrong)
		wrong = check_tiles(space);
	if (!wrong)
		wrong = check_tiles_of_sparse(space);
	if (!wrong)
		wrong = check_pools(space);
	if (!wrong)
		wrong = check_recent(space);
	if (!wrong)
		wrong = check_totals(space);
	if (!wrong)
		wrong = check_blocks(space);
	return wrong ? wrong : check_queue(space);
}
