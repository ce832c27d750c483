/* SPDX-License-Identifier: MIT */
#ifndef VMAP_MAP_PRIVATE_H
#define VMAP_MAP_PRIVATE_H

#include "space.h"

/* Check the caller's options and put the values in that 0 stands for; both may be the same object. 0 or -VMAP_EINVAL. */
int vmap_options_resolve(const struct vmap_space *space, const struct vmap_options *options, struct vmap_options *resolved);

/* Check the caller's pages, add up their sizes in base pages, and see whether their orders differ. 0, -VMAP_EINVAL, -VMAP_ERANGE. */
int vmap_pages_survey(const struct vmap_space *space, struct vmap_page *const *pages, size_t n, size_t *base_pages, bool *mixed);

/* The size of this many base pages. -VMAP_ERANGE, -VMAP_ENOSPC: with its guard that is more than the space has. */
int vmap_size_of(const struct vmap_space *space, size_t base_pages, size_t guard, size_t *size);

/*
 * Find addresses for this many bytes and a guard, as resolved options say; *area is reserved then, counted as live with held references, and in
 * the tree, where nobody sees it. Its pages, allocated and ram are as in an area that was never used; kept is memory for an array, or NULL.
 * Purges before it gives up, unless the flags say VMAP_NOWAIT. -VMAP_ENOSPC, -VMAP_EAGAIN, -VMAP_ENOMEM.
 *
 * And the reverse, also of an area that has a page array; the references are the caller's.
 */
int vmap_area_reserve(struct vmap_space *space, const struct vmap_options *options, size_t size, size_t held,
		      struct vmap_area **area);
void vmap_area_unreserve(struct vmap_space *space, struct vmap_area *area);

/* Call the hook that shows the area's pages, or these frames; the one that does not sleep if its flags say VMAP_NOWAIT. */
int vmap_area_call_map(const struct vmap_host *host, const struct vmap_area *area, const uint64_t *frames);

/* How many pages of 1 << order base pages, and of smaller ones for the rest, make so many base pages; and make them. */
size_t vmap_pages_count(size_t base_pages, unsigned order);
int vmap_pages_alloc(const struct vmap_host *host, struct vmap_page **pages, size_t base_pages, unsigned order, bool nowait);

#endif
