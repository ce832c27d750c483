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
 * Show a page where nothing is mapped, and note it in own. false: it is NULL, or no base page. The bits stay in memory: registers are short
 * in the loops.
 */
static inline __attribute__((always_inline)) bool vmap_entry_show(uint64_t *entry, struct vmap_page **own, struct vmap_page *page,
								  unsigned shift, const uint64_t *bits)
{
	if (!page || page->order)
		return false;
	*own = page;
	vmap_entry_write(entry, page->frame << shift | *bits);
	return true;
}

/* Show pages where nothing is mapped, and note them in own. Gives how many; fewer than n: the next one is NULL, or no base page. */
static inline __attribute__((always_inline)) size_t vmap_entries_show(uint64_t *entry, struct vmap_page **own,
								      struct vmap_page *const *pages, size_t n, unsigned shift,
								      const uint64_t *bits)
{
	const size_t fours = n & ~(size_t)3;
	size_t i = 0;

	while (i < fours && vmap_entry_show(&entry[i], &own[i], pages[i], shift, bits) &&
	       vmap_entry_show(&entry[i + 1], &own[i + 1], pages[i + 1], shift, bits) &&
	       vmap_entry_show(&entry[i + 2], &own[i + 2], pages[i + 2], shift, bits) &&
	       vmap_entry_show(&entry[i + 3], &own[i + 3], pages[i + 3], shift, bits))
		i += 4;
	while (i < n && vmap_entry_show(&entry[i], &own[i], pages[i], shift, bits))
		i++;
	return i;
}

static inline __attribute__((always_inline)) void vmap_entries_hide(uint64_t *entry, size_t n)
{
	if (n & 1)
		vmap_entry_write(&entry[--n], 0);
	if (n & 2) {
		n -= 2;
		vmap_entry_write(&entry[n], 0);
		vmap_entry_write(&entry[n + 1], 0);
	}
	if (n & 4) {
		n -= 4;
		vmap_entry_write(&entry[n], 0);
		vmap_entry_write(&entry[n + 1], 0);
		vmap_entry_write(&entry[n + 2], 0);
		vmap_entry_write(&entry[n + 3], 0);
	}
	while (n) {
		n -= 8;
		vmap_entry_write(&entry[n], 0);
		vmap_entry_write(&entry[n + 1], 0);
		vmap_entry_write(&entry[n + 2], 0);
		vmap_entry_write(&entry[n + 3], 0);
		vmap_entry_write(&entry[n + 4], 0);
		vmap_entry_write(&entry[n + 5], 0);
		vmap_entry_write(&entry[n + 6], 0);
		vmap_entry_write(&entry[n + 7], 0);
	}
}

#endif
