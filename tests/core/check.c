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

static const char *check_pools(const struct vmap_ranges *ranges, size_t *total)
{
	size_t n;

	for (size_t index = 0; index < VMAP_POOL_PAGES; index++) {
		n = 0;
		for (const struct vmap_extent *extent = ranges->pool[index]; extent; extent = extent->next, n++) {
			if (extent->size != (index + 1) << ranges->page_shift)
				return "a pool holds a range of another size";
			*total += extent->size;
		}
		if (n != ranges->pool_len[index] || n > VMAP_POOL_DEPTH)
			return "a pool's length is wrong";
	}
	return NULL;
}

const char *check_ranges(const struct vmap_ranges *ranges)
{
	const char *wrong = check_tree(&ranges->tree);
	size_t total = 0;

	if (!wrong)
		wrong = check_free_tree(ranges, &total);
	if (!wrong)
		wrong = check_pools(ranges, &total);
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
	for (size_t index = 0; index < VMAP_POOL_PAGES; index++)
		for (struct vmap_extent *extent = space->ranges.pool[index]; extent && fine; extent = extent->next)
			fine = see(&seen, extent);
	free(seen.bits);
	return fine && seen.pages == pages ? NULL : "ranges do not tile the space";
}

/* What a block of short-lived maps holds. */
static const char *count_block(const struct vmap_ram_block *block, size_t page, struct vmap_stats *stats)
{
	size_t slots = 0, bytes = 0, waiting = 0;
	const struct vmap_ram_map *map;
	unsigned slot = 0, free = 0;

	while (slot < VMAP_RAM_SLOTS) {
		map = &block->maps[slot];
		if (map->state == VMAP_RAM_NONE) {
			free += block->free[slot / 64] >> slot % 64 & 1;
			slot++;
			continue;
		}
		if (map->state == VMAP_RAM_LIVE) {
			stats->areas++;
			stats->mapped += map->size * page;
			stats->guards += (map->slots - map->size) * page;
		} else {
			stats->lazy_areas++;
			stats->lazy += map->slots * page;
			waiting++;
		}
		stats->pages_held += map->held ? map->n : 0;
		bytes += map->slots * page;
		slots += map->slots;
		slot += map->slots;
	}
	stats->ram += block->area->extent.size - bytes;
	if (slots != block->used || waiting != block->waiting || !waiting != !block->dirty.from)
		return "a block's totals are wrong";
	if (free + slots + (block->end - block->next) != block->last - block->first)
		return "slots of a block are lost";
	return NULL;
}

static void count(const struct vmap_area *area, struct vmap_stats *stats)
{
	const struct vmap_sparse *sparse = area->sparse;

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
	struct vmap_stats counted = {0}, *kept = &space->stats;

	const char *wrong = NULL;

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
	size_t n = 0, bytes = 0;
	uint64_t seq = 0;

	for (struct vmap_extent *extent = space->lazy_first; extent; extent = extent->next, n++) {
		const struct vmap_area *area = vmap_area_of(extent);

		if (area->seq <= seq || area->state != VMAP_STATE_LAZY)
			return "the queue is out of order";
		seq = area->seq;
		bytes += extent->size;
		if (!extent->next && extent != space->lazy_last)
			return "the queue's end is another";
	}
	for (const struct vmap_ram_map *map = space->ram.first; map; map = map->next, n++)
		bytes += (size_t)map->slots << space->host->page_shift;
	if (n != space->stats.lazy_areas || bytes != space->lazy_pending)
		return "the queue's totals are wrong";
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
	if (!wrong && space->ranges.starved)
		wrong = "an allocation starves for ever";
	if (!wrong)
		wrong = check_tree(&space->areas);
	if (!wrong)
		wrong = check_tiles(space);
	if (!wrong)
		wrong = check_tiles_of_sparse(space);
	if (!wrong)
		wrong = check_totals(space);
	return wrong ? wrong : check_queue(space);
}
