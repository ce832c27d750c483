// SPDX-License-Identifier: MIT
/*
 * Theory: the array of pages behind an area, and from a place in the area to its page.
 *
 * Where all pages have one order the entry is a shift away. Where orders are mixed the array carries, in the same piece of
 * memory, the number of base pages before each entry, and a binary search finds the entry. Both are filled in before the area
 * is seen by anybody and stay as they are, so reading needs the lock only to keep the area from being unmapped.
 */
#include "pages.h"

static size_t bytes_of(size_t n, bool mixed)
{
	return sizeof(struct vmap_page_array) + n * sizeof(struct vmap_page *) + (mixed ? n * sizeof(size_t) : 0);
}

static struct vmap_page_array *begin(struct vmap_page_array *array, size_t bytes, size_t n, bool mixed)
{
	array->bytes = bytes;
	array->room = (bytes - sizeof(*array)) / sizeof(struct vmap_page *);
	array->n = n;
	array->starts = mixed ? (size_t *)(void *)(array->pages + n) : NULL;
	array->held = false;
	return array;
}

struct vmap_page_array *vmap_page_array_make(const struct vmap_host *host, size_t n, bool mixed, bool nowait)
{
	size_t bytes = bytes_of(n, mixed);
	struct vmap_page_array *array = vmap_meta_alloc(host, bytes, nowait);

	return array ? begin(array, bytes, n, mixed) : NULL;
}

struct vmap_page_array *vmap_page_array_again(struct vmap_page_array *old, size_t n, bool mixed)
{
	return old && old->bytes >= bytes_of(n, mixed) ? begin(old, old->bytes, n, mixed) : NULL;
}

void vmap_page_array_index(struct vmap_page_array *array)
{
	size_t start = 0;

	array->order = array->pages[0]->order;
	for (size_t i = 0; array->starts && i < array->n; i++) {
		array->starts[i] = start;
		start += (size_t)1 << array->pages[i]->order;
	}
}

void vmap_page_array_free(const struct vmap_host *host, struct vmap_page_array *array)
{
	host->meta_free(host->ctx, array, array->bytes);
}

size_t vmap_page_array_find(const struct vmap_page_array *array, size_t number, size_t *within)
{
	size_t low = 0, high = array->n, middle;

	if (!array->starts) {
		*within = number & (((size_t)1 << array->order) - 1);
		return number >> array->order;
	}
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (array->starts[middle] <= number)
			low = middle;
		else
			high = middle;
	}
	*within = number - array->starts[low];
	return low;
}

struct vmap_page *vmap_page_array_at(const struct vmap_page_array *array, size_t number, size_t *within)
{
	return array->pages[vmap_page_array_find(array, number, within)];
}
