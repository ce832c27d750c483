/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_BUDDY_H
#define VMAP_LINUX_BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which of 1 << order frames are free, in aligned blocks of any order. The caller supplies buddy_bytes(order) bytes that read
 * as zero: everything is free. No lock: the caller's.
 */
struct buddy {
	uint8_t *nodes;
	unsigned order; /* at most 62 */
};

static inline size_t buddy_bytes(unsigned order)
{
	return (size_t)2 << order;
}

/* The lowest free block of 1 << order frames, left free. False: there is none. O(log frames). */
bool buddy_find(const struct buddy *buddy, unsigned order, uint64_t *frame);

/* Take a free block: buddy_find()'s, or any aligned one inside of it. O(log frames). */
void buddy_take(struct buddy *buddy, uint64_t frame, unsigned order);

/* Give back exactly a block that was taken. O(log frames). */
void buddy_give(struct buddy *buddy, uint64_t frame, unsigned order);

#endif
