/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_PROCESS_H
#define VMAP_LINUX_PROCESS_H

#include <vmap/view.h>
#include "budget.h"
#include "mech.h"
#include "pool.h"
#include "shadow.h"

/* Regions that pages can lie in, at once; 0 is the pool. */
#define VMAP_REGIONS 64

/* What is noted of what lies in a range. */
struct vmap_cost {
	size_t mappings; /* of the budget, without gaps; the most that there can be, where something was replaced */
	size_t fragments; /* runs of neighbours, likewise */
	size_t views; /* that begin there: what one call mapped, or what a cut has made of it */
};

/* What map.c knows about views. */
struct vmap_views {
	struct vmap_mech *mech;
	uint8_t *notes; /* by base page of the space: what was paid for there; see map.c */
	struct vmap_reserved *reserved; /* notes */
	struct vmap_shadow shadow;
};

struct vmap_process {
	struct vmap_host host;
	struct vmap_pool pool;
	struct vmap_region memory; /* the pool's */
	pthread_mutex_t regions_lock; /* of which there are; a leaf */
	struct vmap_region *regions[VMAP_REGIONS]; /* by number; NULL: none */
	struct vmap_views views;
	struct vmap_budget budget;
	struct vmap_stat stat;
	pthread_mutex_t lock; /* the space's */
	struct vmap_space *space;
	unsigned order; /* what VMAP_ORDER_DEFAULT stands for */
	bool inherited; /* a child process has pool and views too */
	uint8_t *owner; /* 1; 0 in a child */
	struct vmap_reserved *reserved; /* owner */
};

/* Tell children of this process from it, and let them have what inherited says. 0 or -VMAP_ENOMEM. */
int vmap_fork_init(struct vmap_process *process);
void vmap_fork_exit(struct vmap_process *process);

/* -VMAP_EPERM in a child: pages and views are its parent's to hand out. */
static inline int vmap_process_may_take(const struct vmap_process *process)
{
	return *process->owner ? 0 : -VMAP_EPERM;
}

/* Reserve size bytes of address space for views, which a child inherits or does not. 0 or -VMAP_ENOMEM. */
int vmap_views_create(struct vmap_views *views, size_t size, unsigned page_shift, bool inherited, bool guards);
void vmap_views_destroy(struct vmap_views *views);

/* The mappings that a view is told to cost: more than it takes where it lies beside others without anything between. */
size_t vmap_views_mappings(const struct vmap_views *views, uintptr_t addr, size_t size);

/* What is noted of [addr, addr + size). */
struct vmap_cost vmap_views_cost(const struct vmap_views *views, uintptr_t addr, size_t size);

/* How many regions were adopted. */
size_t vmap_regions_adopted(struct vmap_process *process);

/* A piece of a region, in base pages. */
struct vmap_piece {
	uint64_t frame;
	uint64_t frames;
	uint16_t region;
};

/*
 * Find the piece that [addr, addr + size), page aligned, lies in, and keep its memory from going away; until release. hint is where to
 * look first. -VMAP_ENOENT: in no region, in more than one, or in the pool where no page is in use.
 */
int vmap_piece_hold(struct vmap_process *process, uintptr_t addr, size_t size, uint16_t hint, struct vmap_piece *piece);
void vmap_piece_release(struct vmap_process *process, const struct vmap_piece *piece);

/* Whether the region's own mapping can be the view of so many bytes at addr that these options (NULL: none) ask for. */
bool vmap_view_is_there(const struct vmap_region *region, const void *addr, size_t size, const struct vmap_options *options);

/* What vmap_iov() holds; ended by vmap_view_end(). */
void vmap_iov_end(struct vmap_process *process, struct vmap_view *view, const void *caller);

/* The host hooks that make and end views; ctx is the struct vmap_process. Contracts: <vmap/host.h>. */
int vmap_linux_map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot);
int vmap_linux_map_guarded(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot, size_t guard);
void vmap_linux_unmap(void *ctx, uintptr_t addr, size_t size);
int vmap_linux_replace(void *ctx, uintptr_t view, uintptr_t addr, struct vmap_page *page, unsigned prot);
int vmap_linux_cut(void *ctx, const uintptr_t *addrs, size_t n);
int vmap_linux_protect(void *ctx, uintptr_t addr, size_t size, unsigned prot);
int vmap_linux_copy(void *ctx, void *to, uintptr_t addr, size_t size);
uint64_t vmap_linux_now(void *ctx); /* nanoseconds of CLOCK_MONOTONIC; async-signal-safe */
void vmap_linux_flush(void *ctx, const struct vmap_range *ranges, size_t n);

#endif
