/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_POOL_H
#define VMAP_LINUX_POOL_H

#include <pthread.h>
#include <vmap/linux.h>
#include "buddy.h"

/* Pages over one memfd. Thread-safe; the lock is a leaf, nothing else is taken under it. */
struct vmap_pool {
	int fd;
	unsigned page_shift;
	uint64_t frames; /* base pages it may grow to */
	uint8_t *memory; /* the memfd, mapped as a whole; faults with SIGBUS beyond what it has grown to */
	struct vmap_page *pages; /* descriptors, by frame; only a block's first is used */
	pthread_mutex_t lock; /* of what follows */
	struct vmap_buddy buddy;
	uint64_t grown; /* base pages that have memory */
	uint64_t used, peak; /* base pages in use, and the most at once */
};

/* frames: more than 0. 0, -VMAP_EINVAL for a name that is too long, -VMAP_ENOMEM. */
int vmap_pool_create(struct vmap_pool *pool, unsigned page_shift, uint64_t frames, const char *name);
void vmap_pool_destroy(struct vmap_pool *pool);

/* Contracts as the functions of <vmap/linux.h> that are named like these. */
int vmap_pool_alloc(struct vmap_pool *pool, unsigned order, size_t n, struct vmap_page **pages);
void vmap_pool_get(struct vmap_page *const *pages, size_t n);
void vmap_pool_put(struct vmap_pool *pool, struct vmap_page *const *pages, size_t n);

/* One reference more, or less, on each page that has a part in this range. -VMAP_ENOENT: some of it is in no page. */
int vmap_pool_hold(struct vmap_pool *pool, uint64_t frame, uint64_t frames);
void vmap_pool_release(struct vmap_pool *pool, uint64_t frame, uint64_t frames);

/* Fills in the members that begin with pool_. */
void vmap_pool_stats(struct vmap_pool *pool, struct vmap_process_stats *stats);

#endif
