// SPDX-License-Identifier: MIT
/*
 * Theory: free address ranges are extents in one coalescing tree.
 *
 * The tree is sorted by address and never holds two extents that touch. Each node knows the largest extent of its subtree, so
 * "the lowest range at or behind X of at least S bytes" takes one descent and one ascent. Without an alignment that range
 * decides: either the request fits its lowest allowed address, or, after one extent that min cuts short, nothing does. With
 * an alignment A, a range of S + A - page bytes fits wherever it lies, so that is looked for first; only when there is none
 * are the ranges of S bytes tried one by one, in batches, the caller dropping the lock in between. So the search is exact, and
 * a hold of the lock is bounded. A range that another thread frees behind the search may be missed.
 *
 * Descriptors come with the ranges. Freeing hands one in and never needs another; cutting needs at most two, which the caller
 * puts among the spares before it takes the lock. Everything here runs under the space's lock and calls nobody.
 */
#include <vmap/error.h>
#include "range.h"

static struct vmap_extent *extent_of(struct vmap_tree_node *node)
{
	return node ? vmap_tree_entry(node, struct vmap_extent, node) : NULL;
}

static size_t largest(struct vmap_tree_node *node)
{
	return node ? extent_of(node)->largest : 0;
}

static bool update_largest(struct vmap_tree_node *node)
{
	size_t max = extent_of(node)->size, old = extent_of(node)->largest;

	for (unsigned side = 0; side < 2; side++)
		if (largest(node->child[side]) > max)
			max = largest(node->child[side]);
	extent_of(node)->largest = max;
	return max != old;
}

void vmap_spares_push(struct vmap_spares *spares, struct vmap_extent *extent)
{
	extent->next = spares->first;
	spares->first = extent;
	spares->n++;
}

struct vmap_extent *vmap_spares_pop(struct vmap_spares *spares)
{
	struct vmap_extent *extent = spares->first;

	spares->first = extent->next;
	spares->n--;
	return extent;
}

void vmap_ranges_init(struct vmap_ranges *ranges, unsigned page_shift)
{
	*ranges = (struct vmap_ranges){.tree.update = update_largest, .page_shift = page_shift};
}

/* Link an extent that touches no other. */
static void tree_insert(struct vmap_ranges *ranges, struct vmap_extent *extent)
{
	struct vmap_tree_node *node = ranges->tree.root, *parent = NULL;
	unsigned side = 0;

	while (node) {
		parent = node;
		side = extent->addr > extent_of(node)->addr;
		node = node->child[side];
	}
	vmap_tree_link(&ranges->tree, &extent->node, parent, side);
}

/* The lowest extent that ends behind addr. */
static struct vmap_extent *tree_at(struct vmap_ranges *ranges, uintptr_t addr)
{
	struct vmap_tree_node *node = ranges->tree.root, *found = NULL;

	while (node) {
		if (extent_of(node)->addr + extent_of(node)->size > addr) {
			found = node;
			node = node->child[0];
		} else {
			node = node->child[1];
		}
	}
	return extent_of(found);
}

/* The lowest extent of at least size bytes in a subtree that has one. */
static struct vmap_extent *lowest_in(struct vmap_tree_node *node, size_t size)
{
	for (;;) {
		if (largest(node->child[0]) >= size)
			node = node->child[0];
		else if (extent_of(node)->size >= size)
			return extent_of(node);
		else
			node = node->child[1];
	}
}

struct vmap_extent *vmap_ranges_find(struct vmap_ranges *ranges, uintptr_t addr, size_t size)
{
	struct vmap_extent *extent = tree_at(ranges, addr);
	struct vmap_tree_node *node, *from;

	if (!extent || extent->size >= size)
		return extent;
	/* What lies behind the extent is in its right subtree, and in and right of the ancestors it lies left of. */
	from = NULL;
	for (node = &extent->node; node; from = node, node = node->parent) {
		if (from && from == node->child[1])
			continue;
		if (extent_of(node)->size >= size)
			return extent_of(node);
		if (largest(node->child[1]) >= size)
			return lowest_in(node->child[1], size);
	}
	return NULL;
}

bool vmap_range_fits(const struct vmap_extent *extent, const struct vmap_request *request, uintptr_t *addr)
{
	uintptr_t start = extent->addr > request->min ? extent->addr : request->min;
	uintptr_t end = extent->addr + extent->size;

	*addr = start + ((request->phase - start) & (request->align - 1));
	if (*addr < start || *addr >= end || end - *addr < request->size)
		return false;
	return *addr <= request->max && request->max - *addr >= request->size - 1;
}

/* Cut [addr, addr + size) out of an extent of the tree. */
static struct vmap_extent *cut(struct vmap_ranges *ranges, struct vmap_extent *extent, uintptr_t addr, size_t size,
			       struct vmap_spares *spares)
{
	size_t head = addr - extent->addr, tail = extent->size - head - size;
	struct vmap_extent *taken, *behind;

	if (!head && !tail) {
		vmap_tree_unlink(&ranges->tree, &extent->node);
		return extent;
	}
	if (head && tail) {
		behind = vmap_spares_pop(spares);
		behind->addr = addr + size;
		behind->size = tail;
		extent->size = head;
		vmap_tree_touch(&ranges->tree, &extent->node);
		tree_insert(ranges, behind);
	} else {
		extent->addr = head ? extent->addr : addr + size;
		extent->size = head + tail;
		vmap_tree_touch(&ranges->tree, &extent->node);
	}
	taken = vmap_spares_pop(spares);
	taken->addr = addr;
	taken->size = size;
	return taken;
}

/* Look at a bounded number of ranges of at least size bytes for one that fits. 0, -VMAP_EAGAIN or -VMAP_ENOSPC. */
static int search(struct vmap_ranges *ranges, struct vmap_request *request, size_t size, struct vmap_extent **found,
		  uintptr_t *addr)
{
	uintptr_t from = request->cursor > request->min ? request->cursor : request->min;

	for (unsigned i = 0; i < VMAP_RANGES_BATCH; i++) {
		*found = vmap_ranges_find(ranges, from, size);
		if (!*found || (*found)->addr > request->max)
			return -VMAP_ENOSPC;
		if (vmap_range_fits(*found, request, addr))
			return 0;
		from = (*found)->addr + (*found)->size;
	}
	request->cursor = from;
	return -VMAP_EAGAIN;
}

int vmap_ranges_take(struct vmap_ranges *ranges, struct vmap_request *request, struct vmap_spares *spares,
		     struct vmap_extent **extent)
{
	size_t sure = request->size + (request->align - ((size_t)1 << ranges->page_shift));
	struct vmap_extent *found = NULL;
	uintptr_t addr;
	int err = -VMAP_ENOSPC;

	/* Ranges that fit at any address first: at most one at each end of [min, max] is cut too short. */
	if (!request->cursor && sure > request->size)
		err = search(ranges, request, sure, &found, &addr);
	if (err)
		err = search(ranges, request, request->size, &found, &addr);
	if (err)
		return err;
	*extent = cut(ranges, found, addr, request->size, spares);
	ranges->free -= request->size;
	return 0;
}

void vmap_ranges_give(struct vmap_ranges *ranges, struct vmap_extent *extent, struct vmap_spares *spares)
{
	struct vmap_extent *right = tree_at(ranges, extent->addr), *left;

	ranges->free += extent->size;
	left = extent_of(right ? vmap_tree_step(&right->node, 0) : vmap_tree_end(&ranges->tree, 1));
	if (left && left->addr + left->size == extent->addr) {
		left->size += extent->size;
		vmap_spares_push(spares, extent);
	} else {
		left = extent;
		tree_insert(ranges, extent);
	}
	if (right && left->addr + left->size == right->addr) {
		left->size += right->size;
		vmap_tree_unlink(&ranges->tree, &right->node);
		vmap_spares_push(spares, right);
	}
	vmap_tree_touch(&ranges->tree, &left->node);
}

struct vmap_extent *vmap_ranges_whole(struct vmap_ranges *ranges)
{
	struct vmap_extent *extent = extent_of(ranges->tree.root);

	ranges->tree.root = NULL;
	ranges->free -= extent->size;
	return extent;
}
