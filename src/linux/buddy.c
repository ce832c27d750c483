/* SPDX-License-Identifier: MIT */
/*
 * Free frames
 *
 * Theory: a complete binary tree over the frames, stored as an array of bytes, root at 1, children of node i at 2i and 2i + 1.
 * A node over 1 << o frames says how far the largest free block below it falls short of the whole: 0, all of it is free;
 * d, the largest is of order o - d; o + 1, nothing is free. So memory that was never touched (all zero) is a tree in which
 * everything is free, and a pool of a terabyte costs only the bytes along the paths that were used.
 *
 * Taking and giving set one node and walk up until a parent does not change; two free halves become a free whole on the way:
 * coalescing is no step of its own. Descending to the left whenever the left half has room finds the lowest block that fits: that
 * is what "in address order" means here. A node that is free or was taken as a whole has only zeros below it, so it can be
 * split, or be given back, without a look at its children.
 *
 * Cost: two bytes a frame of address space, at most one step a level for each call.
 */
#include "buddy.h"

/* Order of the largest free block below a node, plus one; 0: none. */
static unsigned buddy_room(const struct vmap_buddy *buddy, uint64_t node, unsigned order)
{
	return order + 1 - buddy->nodes[node];
}

bool vmap_buddy_find(const struct vmap_buddy *buddy, unsigned order, uint64_t *frame)
{
	uint64_t node = 1;

	if (order > buddy->order || buddy_room(buddy, node, buddy->order) <= order)
		return false;
	for (unsigned level = buddy->order; level > order; level--) {
		node *= 2;
		if (buddy_room(buddy, node, level - 1) <= order)
			node++;
	}
	*frame = (node << order) - ((uint64_t)1 << buddy->order);
	return true;
}

static void buddy_set(struct vmap_buddy *buddy, uint64_t frame, unsigned order, uint8_t value)
{
	uint64_t node = (((uint64_t)1 << buddy->order) + frame) >> order;

	buddy->nodes[node] = value;
	for (node /= 2; node; node /= 2, order++) {
		unsigned left = buddy->nodes[2 * node], right = buddy->nodes[2 * node + 1];
		unsigned least = left < right ? left : right;
		uint8_t whole = left || right ? (uint8_t)(least + 1) : 0;

		if (buddy->nodes[node] == whole)
			break;
		buddy->nodes[node] = whole;
	}
}

void vmap_buddy_take(struct vmap_buddy *buddy, uint64_t frame, unsigned order)
{
	buddy_set(buddy, frame, order, (uint8_t)(order + 1));
}

void vmap_buddy_give(struct vmap_buddy *buddy, uint64_t frame, unsigned order)
{
	buddy_set(buddy, frame, order, 0);
}

/* Whatever was taken as a whole has only zeros below it: so it is the first node on the way up that is not zero, and has no room. */
bool vmap_buddy_taken(const struct vmap_buddy *buddy, uint64_t frame, uint64_t *first, unsigned *order)
{
	uint64_t node = ((uint64_t)1 << buddy->order) + frame;

	for (unsigned at = 0; node; node /= 2, at++) {
		if (!buddy->nodes[node])
			continue;
		*first = (node << at) - ((uint64_t)1 << buddy->order);
		*order = at;
		return !buddy_room(buddy, node, at);
	}
	return false;
}

bool vmap_buddy_is_free(const struct vmap_buddy *buddy, uint64_t frame, unsigned order)
{
	uint64_t first;
	unsigned taken;

	return !buddy->nodes[(((uint64_t)1 << buddy->order) + frame) >> order] && !vmap_buddy_taken(buddy, frame, &first, &taken);
}
