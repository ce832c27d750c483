/* SPDX-License-Identifier: MIT */
#ifndef VMAP_ENTRY_H
#define VMAP_ENTRY_H

#include <vmap/host.h>

/*
 * Table entries that the host has pinned, written by the core. Hardware walkers read them at any time, so each is one store. The loops are
 * what mapping many pages costs, and unrolled by hand.
 */

/* The bits of an entry with this protection; 0: the host has to be asked. */
static inline uint64_t vmap_entry_bits(const struct vmap_host *host, unsigned prot)
{
	return prot & VMAP_LARGE ? 0 : host->entry_bits[(prot & 7) | (prot & VMAP_MEMORY_MASK) >> 2];
}

static inline void vmap_entry_write(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELAXED);
}

/*
 * Show pages where nothing is mapped, and note them in own. Gives how many; fewer than n: the next one, or one of three behind it, is NULL or
 * no base page.
 */
static inline __attribute__((always_inline)) size_t vmap_entries_show(uint64_t *entry, struct vmap_page **own,
								      struct vmap_page *const *pages, size_t n, unsigned shift,
								      uint64_t bits)
{
	struct vmap_page *a, *b, *c, *d;
	size_t left = n;

	for (; left >= 4; left -= 4, entry += 4, own += 4, pages += 4) {
		a = pages[0], b = pages[1], c = pages[2], d = pages[3];
		if (!a || !b || !c || !d || a->order | b->order | c->order | d->order)
			return n - left;
		own[0] = a, own[1] = b, own[2] = c, own[3] = d;
		vmap_entry_write(&entry[0], a->frame << shift | bits);
		vmap_entry_write(&entry[1], b->frame << shift | bits);
		vmap_entry_write(&entry[2], c->frame << shift | bits);
		vmap_entry_write(&entry[3], d->frame << shift | bits);
	}
	for (; left; left--, entry++, own++, pages++) {
		a = pages[0];
		if (!a || a->order)
			break;
		own[0] = a;
		vmap_entry_write(entry, a->frame << shift | bits);
	}
	return n - left;
}

static inline void vmap_entries_hide(uint64_t *entry, size_t n)
{
	for (; n >= 8; n -= 8, entry += 8) {
		vmap_entry_write(&entry[0], 0);
		vmap_entry_write(&entry[1], 0);
		vmap_entry_write(&entry[2], 0);
		vmap_entry_write(&entry[3], 0);
		vmap_entry_write(&entry[4], 0);
		vmap_entry_write(&entry[5], 0);
		vmap_entry_write(&entry[6], 0);
		vmap_entry_write(&entry[7], 0);
	}
	while (n)
		vmap_entry_write(&entry[--n], 0);
}

#endif
