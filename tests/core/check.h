/* SPDX-License-Identifier: MIT */
#ifndef CORE_CHECK_H
#define CORE_CHECK_H

#include "tile.h"

/*
 * Invariants of the core's structures, looked for by walking all of them. Each function gives NULL, or what is wrong. Nobody may
 * change the structures meanwhile.
 */

/* Links, heights and balance. */
const char *check_tree(const struct vmap_tree *tree);

/* Order, coalescing, largest, pools, totals. */
const char *check_ranges(const struct vmap_ranges *ranges);

/*
 * Each block of short-lived maps is in the lists, and in the index, that its state says; and what blocks and areas say is mapped is what the
 * tables of the software MMU, which is the host, show, through pins that it knows. No call is under way.
 */
const char *check_blocks(const struct vmap_space *space);

/* All of the above, the queue, and that free ranges and areas tile the space and add up to its totals. No call is under way. */
const char *check_space(struct vmap_space *space);

/* A seeded generator, so that what fails fails again: splitmix64. Gives 0 .. below - 1. */
uint64_t check_random(uint64_t *seed, uint64_t below);

#endif
