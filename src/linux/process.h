/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_PROCESS_H
#define VMAP_LINUX_PROCESS_H

#include "pool.h"

/* What map.c knows about the reservation that views are made in. */
struct vmap_views {
	uint8_t *reservation; /* lead bytes that no view covers, then the space */
	size_t lead;
	uintptr_t base; /* the space */
	size_t size;
	int fds[3]; /* the pool's memfd, opened once a colour */
	pthread_mutex_t lock; /* of edges and the ballast in the lead */
	uint8_t *edges; /* by base page of the space: colour + 1 where a view begins or ends */
	uint64_t mmaps, runs; /* atomic */
};

struct vmap_process {
	struct vmap_host host;
	struct vmap_pool pool;
	struct vmap_views views;
	pthread_mutex_t lock; /* the space's */
	struct vmap_space *space;
};

/* Reserve size bytes of address space for views of the pool. 0 or -VMAP_ENOMEM. */
int vmap_views_create(struct vmap_views *views, const struct vmap_pool *pool, size_t size);
void vmap_views_destroy(struct vmap_views *views, const struct vmap_pool *pool);

/* The host hooks that make and end views; ctx is the struct vmap_process. Contracts: <vmap/host.h>. */
int vmap_linux_map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot);
void vmap_linux_unmap(void *ctx, uintptr_t addr, size_t size);
void vmap_linux_flush(void *ctx, const struct vmap_range *ranges, size_t n);

#endif
