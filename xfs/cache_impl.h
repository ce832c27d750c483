/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_CACHE_IMPL_H
#define XR_CACHE_IMPL_H

/* What the cache is made of (cache.c says how), for its own files. */
#include "cache.h"

#define HASH_BITS 14
#define HASH_SIZE (1u << HASH_BITS)

struct cached_page {
	uint64_t number; /* of the page on the disk */
	struct vmap_page *page;
	uint8_t *data;
	uint32_t pins; /* views that need it */
	uint32_t dirty_from, dirty_to; /* changed bytes; equal when clean */
	struct cached_page *hash_next;
	struct cached_page *newer, *older; /* by use */
};

struct xr_view {
	enum { DIRECT, MAPPED, COPIED } form;
	uint32_t users; /* buffers that point into it */
	size_t npages;
	struct cached_page **pages; /* in order; an entry may come twice */
	uint8_t *base; /* what was mapped or allocated */
	struct xr_view *hash_next;
	struct xr_view *newer, *older; /* idle views, by use */
	size_t nextents; /* COPIED: what it was gathered from */
	struct xr_extent extents[];
};

struct xr_cache {
	const struct xr_dev *dev;
	struct vmap_process *process;
	const struct xr_msg *msg;
	bool write;
	size_t page_size;
	struct cached_page *pages[HASH_SIZE];
	struct xr_view *views[HASH_SIZE];
	struct cached_page page_list; /* head of the list by use: .newer is the oldest, .older the newest */
	struct xr_view *view_newest, *view_oldest;
	size_t idle_views;
	size_t dirty_pages;
	struct xr_cache_stats stats;
};

static inline bool page_dirty(const struct cached_page *p)
{
	return p->dirty_from < p->dirty_to;
}

#endif
