/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_PROCESS_H
#define VMAP_LINUX_PROCESS_H

#include "pool.h"

/* What map.c knows about the reservation that views are made in. */
struct views {
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
	struct pool pool;
	struct views views;
	pthread_mutex_t lock; /* the space's */
	struct vmap_space *space;
};

/* Reserve size bytes of address space for views of the pool. 0 or -VMAP_ENOMEM. */
int views_create(struct views *views, const struct pool *pool, size_t size);
void views_destroy(struct views *views, const struct pool *pool);

/* The host hooks that make and end views; ctx is the struct vmap_process. Contracts: <vmap/host.h>. */
int linux_map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot);
void linux_unmap(void *ctx, uintptr_t addr, size_t size);
void linux_flush(void *ctx, const struct vmap_range *ranges, size_t n);

#endif
