/* SPDX-License-Identifier: MIT */
#ifndef VMAP_PAGES_H
#define VMAP_PAGES_H

#include <stdbool.h>
#include <vmap/host.h>

/* Descriptor memory; NULL: there is none. May sleep, unless nowait. */
static inline void *vmap_meta_alloc(const struct vmap_host *host, size_t size, bool nowait)
{
	return nowait && host->meta_alloc_nowait ? host->meta_alloc_nowait(host->ctx, size) : host->meta_alloc(host->ctx, size);
}

/* An area's own copy of its pages. One piece of descriptor memory; once the area is mapped only vmap_replace() changes an entry. */
struct vmap_page_array {
	struct vmap_page_array *next; /* among arrays that are being given back */
	size_t bytes; /* of descriptor memory */
	size_t room; /* for entries, if no starts follow */
	size_t n; /* entries */
	size_t *starts; /* base pages before each entry; NULL: every page has the order of the first */
	unsigned order;
	bool held; /* each entry holds a reference, to be given back with the array */
	struct vmap_page *pages[];
};

/*
 * Memory for n entries, at least one; mixed where their orders may differ. n entries of a page each fit the address space, so
 * that the size cannot wrap. NULL: no descriptor memory. May sleep, unless nowait.
 */
struct vmap_page_array *vmap_page_array_make(const struct vmap_host *host, size_t n, bool mixed, bool nowait);

/* The same out of memory of an array that is not used any more. NULL: it is too small, or none. */
struct vmap_page_array *vmap_page_array_again(struct vmap_page_array *old, size_t n, bool mixed);

/* Note the orders, once pages[] is filled in. */
void vmap_page_array_index(struct vmap_page_array *array);

/* Give the memory back, and nothing else. */
void vmap_page_array_free(const struct vmap_host *host, struct vmap_page_array *array);

/* Which entry of the array holds base page number of it, and which of the entry's own base pages that is. */
size_t vmap_page_array_find(const struct vmap_page_array *array, size_t number, size_t *within);

/* The page that holds base page number of the array, and which of that page's own base pages it is. */
struct vmap_page *vmap_page_array_at(const struct vmap_page_array *array, size_t number, size_t *within);

#endif
