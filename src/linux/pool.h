/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_POOL_H
#define VMAP_LINUX_POOL_H

#include <pthread.h>
#include <vmap/linux.h>
#include "buddy.h"

/* Pages over one memfd. Thread-safe; the lock is a leaf, nothing else is taken under it. */
struct pool {
	int fd;
	unsigned page_shift;
	uint64_t frames; /* base pages it may grow to */
	uint8_t *memory; /* the memfd, mapped as a whole; faults with SIGBUS beyond what it has grown to */
	struct vmap_page *pages; /* descriptors, by frame; only a block's first is used */
	pthread_mutex_t lock; /* of what follows */
	struct buddy buddy;
	uint64_t grown; /* base pages that have memory */
	uint64_t used, peak; /* base pages in use, and the most at once */
};

/* frames: more than 0. 0, -VMAP_EINVAL for a name that is too long, -VMAP_ENOMEM. */
int pool_create(struct pool *pool, unsigned page_shift, uint64_t frames, const char *name);
void pool_destroy(struct pool *pool);

/* Contracts as the functions of <vmap/linux.h> that are named like these. */
int pool_alloc(struct pool *pool, unsigned order, size_t n, struct vmap_page **pages);
void pool_get(struct vmap_page *const *pages, size_t n);
void pool_put(struct pool *pool, struct vmap_page *const *pages, size_t n);

/* Fills in the members that begin with pool_. */
void pool_stats(struct pool *pool, struct vmap_process_stats *stats);

#endif
