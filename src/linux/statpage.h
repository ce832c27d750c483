/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_STATPAGE_H
#define VMAP_LINUX_STATPAGE_H

#include <stdint.h>

/*
 * What an object shows to vmapstat: the contents of a memfd of this name, read through /proc/PID/fd. All in the byte order of the
 * machine. Who reads it must not believe it: whoever may open it may also have written to it.
 */
#define VMAP_STAT_NAME "vmap:stat"
#define VMAP_STAT_MAGIC 0x7461747370616d76u /* "vmapstat" */
#define VMAP_STAT_VERSION 2

enum vmap_stat_counter {
	VMAP_STAT_VIEWS, /* live ones */
	VMAP_STAT_FRAGMENTS, /* runs of neighbours that they show */
	VMAP_STAT_ALIASED, /* bytes that they show */
	VMAP_STAT_MAPPINGS, /* of the budget, taken */
	VMAP_STAT_REFUSED, /* views for which the budget had too little left, ever */
	VMAP_STAT_KEPT, /* views that caches keep, in use or not */
	VMAP_STAT_KEPT_MAPPINGS, /* that those were told to cost */
	VMAP_STAT_HITS, /* of caches, and what follows; ever */
	VMAP_STAT_MISSES,
	VMAP_STAT_EVICTIONS,
	VMAP_STAT_COUNTERS
};

struct vmap_stat_page {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* of this structure */
	char name[256]; /* the pool's */
	uint64_t pid; /* of the process that made it, as it sees itself */
	uint64_t page_size; /* of a base page */
	uint64_t pool, pool_max; /* where the pool is mapped, and the bytes it may grow to */
	uint64_t space, space_size; /* where views are */
	uint64_t mappings_max; /* the budget */
	/* All of these change: atomic. */
	uint64_t pool_used, pool_bytes, pool_peak; /* bytes */
	uint64_t counters[VMAP_STAT_COUNTERS];
};

#endif
