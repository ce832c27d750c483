/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_POOL_H
#define VMAP_LINUX_POOL_H

#include <pthread.h>
#include <vmap/linux.h>
#include "buddy.h"
#include "reserve.h"
#include "stat.h"

#define VMAP_HUGE_SHIFT 21

/* What huge.c knows: which 2 MiB pages there are, and why there are none. */
struct vmap_huge {
	unsigned kind; /* VMAP_HUGE_NO, VMAP_HUGE_TRANSPARENT, VMAP_HUGE_RESERVED */
	const char *why; /* "yes: ..." or "no: ..." */
	bool got; /* whether it was yes for the last step of the pool; atomic */
	unsigned refused; /* times in a row that the kernel made none */
	unsigned skip; /* how many fresh steps not to ask for */
};

/* Pages over one memfd. Thread-safe; the lock is a leaf, nothing else is taken under it. */
struct vmap_pool {
	int fd;
	struct vmap_reserved *reserved; /* memory, pages, and what the lock is of */
	unsigned page_shift;
	uint64_t frames; /* base pages it may grow to */
	uint8_t *memory; /* the memfd, mapped as a whole; faults with SIGBUS beyond what it has grown to */
	struct vmap_page *pages; /* descriptors, by frame; only a block's first is used */
	pthread_mutex_t lock; /* of what follows */
	struct vmap_buddy buddy;
	uint8_t *backed; /* by step: whether it has memory */
	unsigned step; /* order of a step: what memory is taken from the system, and given back, by */
	uint64_t grown; /* base pages that have memory */
	uint64_t reach; /* no base page from this one on has ever had memory */
	struct vmap_huge huge;
	uint64_t used, peak; /* base pages in use, and the most at once */
	struct vmap_stat *stat; /* whom to tell; NULL: nobody */
};

/* A memfd that is no program; huge: VMAP_HUGE_... Negative, and errno: none. */
int vmap_pool_memfd(const char *name, unsigned huge);

/* frames: more than 0. 0, -VMAP_EINVAL for a name that is too long, -VMAP_ENOMEM. */
int vmap_pool_create(struct vmap_pool *pool, unsigned page_shift, uint64_t frames, const char *name, struct vmap_huge huge);
void vmap_pool_destroy(struct vmap_pool *pool);

/* Give memory that no page uses back to the system, from the end, until keep bytes of it are left. */
void vmap_pool_trim(struct vmap_pool *pool, size_t keep);

/* Contracts as the functions of <vmap/linux.h> that are named like these. */
int vmap_pool_alloc(struct vmap_pool *pool, unsigned order, size_t n, struct vmap_page **pages);
void vmap_pool_get(struct vmap_page *const *pages, size_t n);
void vmap_pool_put(struct vmap_pool *pool, struct vmap_page *const *pages, size_t n);

/* One reference more, or less, on each page that has a part in this range. -VMAP_ENOENT: some of it is in no page. */
int vmap_pool_hold(struct vmap_pool *pool, uint64_t frame, uint64_t frames);
void vmap_pool_release(struct vmap_pool *pool, uint64_t frame, uint64_t frames);

/* Where the pool's own mapping shows a page. */
static inline uint8_t *vmap_pool_address(const struct vmap_pool *pool, const struct vmap_page *page)
{
	return pool->memory + (page->frame << pool->page_shift);
}

/* Fills in the members that begin with pool_. */
void vmap_pool_stats(struct vmap_pool *pool, struct vmap_process_stats *stats);

/* What the caller's wish (VMAP_HUGE_...) comes to on this system; the base page for it. -VMAP_EINVAL; -VMAP_ENOMEM: none are reserved. */
int vmap_huge_choose(unsigned wish, struct vmap_huge *huge, unsigned *page_shift);

/* Say of all of a pool's memory what it is for: of a part it would cost mappings. */
void vmap_huge_advise(const struct vmap_huge *huge, void *memory, size_t size);

/* Have these fresh bytes of a pool backed by 2 MiB pages, where they are transparent; says in huge whether it could be done. */
void vmap_huge_collapse(struct vmap_huge *huge, void *memory, size_t size);

#endif
