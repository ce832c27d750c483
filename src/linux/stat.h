/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_STAT_H
#define VMAP_LINUX_STAT_H

#include <stddef.h>
#include <stdint.h>
#include "reserve.h"
#include "statpage.h"

/* What is counted, here and, for others to look at, in a page of its own. */
struct vmap_stat {
	uint64_t counters[VMAP_STAT_COUNTERS]; /* atomic */
	const uint8_t *owner; /* 0 in a child, which shares the page but has other numbers */
	struct vmap_reserved *reserved; /* page */
	struct vmap_stat_page *page; /* NULL: there is none; nothing is ever read from it */
	int fd;
};

/* Fill in what does not change of page, and have it shown; not, where the system has none to give. */
void vmap_stat_show(struct vmap_stat *stat, const uint8_t *owner, const struct vmap_stat_page *page);
void vmap_stat_end(struct vmap_stat *stat);

/* n more (or, modulo 2^64, less). */
void vmap_stat_add(struct vmap_stat *stat, enum vmap_stat_counter counter, uint64_t n);
/* The same, of what is counted elsewhere here: for others only. */
void vmap_stat_tell(struct vmap_stat *stat, enum vmap_stat_counter counter, uint64_t n);

uint64_t vmap_stat_get(const struct vmap_stat *stat, enum vmap_stat_counter counter);

/* The pool's bytes; under its lock. */
void vmap_stat_pool(struct vmap_stat *stat, uint64_t used, uint64_t bytes, uint64_t peak);

#endif
