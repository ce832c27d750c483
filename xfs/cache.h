/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_CACHE_H
#define XR_CACHE_H

#include <stdbool.h>
#include "dev.h"

struct vmap_process;

/*
 * The buffer cache
 *
 * The data device seen through pool pages, keyed by disk address (specification section 10.4): each page of the disk is in
 * memory at most once, and buffers of any length are views over those pages. A buffer inside one page is a plain pointer; a longer
 * or scattered one whose inner borders fall on page borders is one vmap_pages() view; one with smaller pieces (1 KiB blocks) is
 * gathered by copy, and scattered back when it is marked dirty. The caller cannot tell the difference.
 *
 * Changed pages stay in memory, over the device, until they are flushed; an overlay cache (write = false) never flushes: reads
 * see the disk as it would be.
 */
struct xr_cache;

struct xr_extent {
	uint64_t daddr; /* BBs */
	uint32_t bbs; /* length in BBs, > 0 */
};

/* A buffer: size contiguous bytes at data. Good until xr_buf_put(). */
struct xr_buf {
	uint8_t *data;
	size_t size;
	/* the cache's own */
	struct xr_view *view;
};

struct xr_cache_stats {
	uint64_t views, pages_mapped; /* views of several pages made, pages in them */
	uint64_t neighbours; /* of those views: pages lay side by side in the pool, no mapping was needed */
	uint64_t copied; /* bytes gathered or scattered by copy */
	uint64_t reads, read_bytes, writes, write_bytes;
	uint64_t pages, peak_pages; /* pages in memory now, and at most */
	uint64_t dirty_bytes; /* of pages that a flush would write now */
};

/* 0 or -ENOMEM. dev and process must outlive the cache. write: whether xr_cache_flush() may write to dev. */
int xr_cache_create(struct xr_cache **cache, const struct xr_dev *dev, struct vmap_process *process, bool write,
		    const struct xr_msg *msg);
/* Drops everything, flushed or not. No buffer may be held. */
void xr_cache_destroy(struct xr_cache *cache);

/*
 * Get the n extents, in order, as one contiguous buffer, read from the device where not in memory. -EUCLEAN: an extent lies
 * outside the device (said); -EIO (said); -ENOMEM.
 */
int xr_buf_get(struct xr_cache *cache, const struct xr_extent *extents, size_t n, struct xr_buf *buf);

/* The common case of one extent. */
int xr_buf_read(struct xr_cache *cache, uint64_t daddr, uint32_t bbs, struct xr_buf *buf);

/*
 * The same for a caller who changes every byte of it at once, and does not ask what was there: what is not in memory need not be read, and is
 * anything at first. After an error the cache is good for nothing but xr_cache_destroy().
 */
int xr_buf_fresh(struct xr_cache *cache, uint64_t daddr, uint32_t bbs, struct xr_buf *buf);

/* The bytes [offset, offset + size) of buf were changed: they are written by the next flush. */
void xr_buf_dirty(struct xr_cache *cache, struct xr_buf *buf, size_t offset, size_t size);

/* Give the buffer back; buf->data must not be used any more. A zeroed or already given back buffer is left alone. */
void xr_buf_put(struct xr_cache *cache, struct xr_buf *buf);

/* Write every changed sector, in address order (nothing on an overlay cache). Not a barrier: see xr_cache_barrier(). */
int xr_cache_flush(struct xr_cache *cache);

/* What was flushed is on stable storage when this returns 0 (nothing to do on an overlay cache). */
int xr_cache_barrier(struct xr_cache *cache);

/*
 * Another cache of the same device, empty. Two caches must not hold the same blocks at the same time, of which at least one changes them.
 */
int xr_cache_sibling(struct xr_cache **sibling, const struct xr_cache *cache);

/* The kernel may read these blocks in the background: they will be asked for soon. Only advice, cannot fail. */
void xr_cache_willneed(const struct xr_cache *cache, uint64_t daddr, uint32_t bbs);

/* The kernel may begin to write what was flushed of [daddr, to), so that a barrier finds less to do. Only advice, cannot fail. */
void xr_cache_write_early(const struct xr_cache *cache, uint64_t daddr, uint64_t to);

/* Whether a flush writes; and where the pages come from. */
bool xr_cache_writes(const struct xr_cache *cache);
struct vmap_process *xr_cache_process(const struct xr_cache *cache);

/* Count what a sibling did as this cache's doing. */
void xr_cache_add_stats(struct xr_cache *cache, const struct xr_cache *sibling);

/* The length of the device in BBs. */
uint64_t xr_cache_bbs(const struct xr_cache *cache);

void xr_cache_stats(const struct xr_cache *cache, struct xr_cache_stats *stats);

#endif
