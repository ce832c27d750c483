/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_BUDDY_H
#define VMAP_LINUX_BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which of 1 << order frames are free, in aligned blocks of any order. The caller supplies vmap_buddy_bytes(order) bytes that read
 * as zero: everything is free. No lock: the caller's.
 */
struct vmap_buddy {
	uint8_t *nodes;
	unsigned order; /* at most 62 */
};

static inline size_t vmap_buddy_bytes(unsigned order)
{
	return (size_t)2 << order;
}

/* The lowest free block of 1 << order frames, left free. False: there is none. O(log frames). */
bool vmap_buddy_find(const struct vmap_buddy *buddy, unsigned order, uint64_t *frame);

/* Take a free block: vmap_buddy_find()'s, or any aligned one inside of it. O(log frames). */
void vmap_buddy_take(struct vmap_buddy *buddy, uint64_t frame, unsigned order);

/* Give back exactly a block that was taken. O(log frames). */
void vmap_buddy_give(struct vmap_buddy *buddy, uint64_t frame, unsigned order);

/* Whether this aligned block is free as a whole. O(log frames). */
bool vmap_buddy_is_free(const struct vmap_buddy *buddy, uint64_t frame, unsigned order);

/* The taken block that frame lies in. False: it is free. O(log frames). */
bool vmap_buddy_taken(const struct vmap_buddy *buddy, uint64_t frame, uint64_t *first, unsigned *order);

#endif
