/* SPDX-License-Identifier: MIT */
#ifndef VMAP_CACHE_H
#define VMAP_CACHE_H

#include <vmap/view.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Views that are kept
 *
 * Making a view costs a system call for each run; finding one that was made before costs a look at its list of pages, and none by its
 * handle. A cache keeps views that nobody uses at the moment, up to its limits, and ends the least recently used ones, several at a time.
 * A kept view holds its references: pages in it are not free before it is ended (vmap_cache_trim()). All functions are
 * thread-safe. A view of a cache must not be given to vmap_unmap() or vmap_replace().
 *
 * A child after fork() (<vmap/linux.h>) can find and end views of an inherited cache, but not make any; where other threads may be using
 * the cache at the moment of the fork() it leaves it alone.
 */
struct vmap_cache;

struct vmap_cache_config {
	size_t views_max; /* views at once, in use or not; 0: 1024; at most 2^31 */
	size_t mappings_max; /* of the process's budget for all of them; 0: a half of the budget */
	unsigned prot; /* of every view; 0 stands for VMAP_READ | VMAP_WRITE */
};

/* A view that is in use, until vmap_cache_put(). */
struct vmap_cached {
	void *addr;
	size_t size;
	uint64_t handle; /* names the view, never 0; another view never has the same */
};

struct vmap_cache_stats {
	size_t views, idle; /* kept now, and how many of them nobody uses */
	size_t mappings; /* of the process's budget that they cost */
	uint64_t hits, misses; /* ever */
	uint64_t evictions; /* views ended to make room, ever */
	uint64_t batches; /* system calls that ended several of them at once, ever */
};

/* config may be NULL (all 0). -VMAP_EINVAL: views_max too large. -VMAP_ENOMEM. */
VMAP_API int vmap_cache_create(struct vmap_process *process, const struct vmap_cache_config *config, struct vmap_cache **cache);

/* End every view, and the cache. -VMAP_EBUSY: some are in use; nothing was changed. */
VMAP_API int vmap_cache_destroy(struct vmap_cache *cache);

/*
 * The view of exactly pages[0..n-1], from the cache or made now, with a guard; several users may have it at once. The caller holds
 * references to the pages. Where the limits (the cache's, the budget's, addresses) leave no room, views that nobody uses are
 * ended first. No system call for a view that is kept.
 *
 * -VMAP_EBUSY: the cache is full of views in use. Others as vmap_pages().
 */
VMAP_API int vmap_cache_get(struct vmap_cache *cache, struct vmap_page *const *pages, size_t n, struct vmap_cached *view);

/* The view that had this handle, if it is still kept: O(1), whatever its length. -VMAP_ENOENT: it was ended. */
VMAP_API int vmap_cache_again(struct vmap_cache *cache, uint64_t handle, struct vmap_cached *view);

/* One user less: as often as vmap_cache_get() and vmap_cache_again() succeeded. -VMAP_ENOENT: no such view, or nobody uses it. */
VMAP_API int vmap_cache_put(struct vmap_cache *cache, const struct vmap_cached *view);

/* End views that nobody uses, least recently used first, until at most keep views are left or all are in use. */
VMAP_API void vmap_cache_trim(struct vmap_cache *cache, size_t keep);

VMAP_API void vmap_cache_stats(struct vmap_cache *cache, struct vmap_cache_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
