/* SPDX-License-Identifier: MIT */
#ifndef VMAP_PAGE_H
#define VMAP_PAGE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the shared library exports: everything else is built hidden. */
#ifndef VMAP_API
#define VMAP_API __attribute__((visibility("default")))
#endif

/*
 * Pages
 *
 * A page is 1 << order base pages that lie next to each other and are aligned to their size; a base page is
 * 1 << vmap_host.page_shift bytes. The host makes pages and owns the descriptors; it may embed this structure as the first
 * member of its own. One array handed to vmap_pages() may mix pages of any order.
 *
 * References: a page lives while refs > 0. libvmap takes one reference a page and mapping (unless VMAP_BORROW) and gives
 * it back only after the translations were flushed. The core never changes refs itself: it calls the host's batched
 * page_get and page_put hooks, because only the host knows whether that must be atomic.
 */
struct vmap_page {
	uint64_t frame; /* number of the first base page: physical address, or offset in its region, >> page_shift */
	uint32_t refs; /* references held; written by the host's hooks only */
	uint16_t region; /* which of the host's memories frame counts in; 0 where there is one */
	uint8_t order; /* log2 of the number of base pages; constant while refs > 0 */
	uint8_t flags; /* the host's own */
};

/* The highest order a page can have: 1 << 30 base pages. vmap_pages() refuses a page with a higher one. */
#define VMAP_MAX_ORDER 30

#ifdef __cplusplus
}
#endif
#endif
