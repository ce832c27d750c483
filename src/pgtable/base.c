// SPDX-License-Identifier: MIT
/*
 * Theory: base pages, the fast way. Most maps are of base pages within one table, and soon ended; for those the walk is what
 * costs. Two things take its place.
 *
 * Near tables. A table of the lowest level that was found is noted in a word: where it is, whether its entry is marked, and enough
 * of its number to tell it from others that share the slot. One word is read and written in one piece, so that no lock is
 * needed; who uses it is counted in users, and all words are forgotten where tables are taken out of use (reclaim.c), while nobody
 * is counted. So a word that a user reads is true until the user leaves. A table that is too far away, or whose address does
 * not fit into the word, is not noted and walked to each time.
 *
 * Pins. A table of the lowest level is kept, even if it is empty, while a counter that it shares with few others is not 0. The core writes
 * the entries of what is pinned itself, without a walk and without being counted. Pinning happens inside a counted use: freezing, which
 * looks at the counter, happens outside of any. What the core takes out of a pinned table marks nothing; unpinning marks the table.
 *
 * Entries are looked at before the first is written, so that a map over something that is mapped changes nothing. Loops are
 * unrolled by hand: they are what a map of many pages costs.
 */
#include "walk.h"

#define SLOTS (sizeof(((struct vmap_pgtable *)0)->near) / sizeof(uint64_t))

/* A word: the table's address, which ends in at least 12 zeros, shifted so far that its highest, equal bits are gone; below: */
#define NEAR_SHIFT 7
#define NEAR_MARKED (1u << 18)
#define NEAR_TAG (NEAR_MARKED - 1)

static uint64_t *near_table(uint64_t word)
{
	return (uint64_t *)(uintptr_t)((uint64_t)((int64_t)word >> NEAR_SHIFT) & ~(uint64_t)0xfff);
}

/* The entry for addr in a near table; with wanted NEAR_MARKED only if the table is marked. NULL: it is not near. */
static uint64_t *near_entry(const struct vmap_pgtable *pgt, uintptr_t addr, uint64_t wanted)
{
	uintptr_t number = (addr - pgt->first) >> pgt->leaf_shift;
	uint64_t word = __atomic_load_n(&pgt->near[number % SLOTS], __ATOMIC_RELAXED);

	if ((word & (NEAR_TAG | wanted)) != ((number / SLOTS + 1) | wanted))
		return NULL;
	return near_table(word) + vmap_leaf_index(pgt, addr);
}

static void note(struct vmap_pgtable *pgt, uintptr_t addr, const uint64_t *entry, uint64_t marked)
{
	uintptr_t number = (addr - pgt->first) >> pgt->leaf_shift;
	const uint64_t *table = entry - vmap_leaf_index(pgt, addr);
	uint64_t word = (uint64_t)(uintptr_t)table << NEAR_SHIFT | marked;

	if (number / SLOTS < NEAR_TAG && near_table(word) == table)
		__atomic_store_n(&pgt->near[number % SLOTS], word | (number / SLOTS + 1), __ATOMIC_RELAXED);
}

void vmap_near_forget(struct vmap_pgtable *pgt)
{
	for (size_t i = 0; i < SLOTS; i++)
		__atomic_store_n(&pgt->near[i], 0, __ATOMIC_RELAXED);
}

/* Entries */

static bool are_clear(const uint64_t *entry, size_t n)
{
	uint64_t any = 0;

	for (; n >= 8; n -= 8, entry += 8)
		any |= vmap_entry_load(&entry[0]) | vmap_entry_load(&entry[1]) | vmap_entry_load(&entry[2]) |
		       vmap_entry_load(&entry[3]) | vmap_entry_load(&entry[4]) | vmap_entry_load(&entry[5]) |
		       vmap_entry_load(&entry[6]) | vmap_entry_load(&entry[7]);
	for (; n; n--, entry++)
		any |= vmap_entry_load(entry);
	return !any;
}

static void fill(uint64_t *entry, struct vmap_page *const *pages, size_t n, unsigned shift, uint64_t bits)
{
	for (; n >= 4; n -= 4, entry += 4, pages += 4) {
		vmap_entry_store(&entry[0], pages[0]->frame << shift | bits);
		vmap_entry_store(&entry[1], pages[1]->frame << shift | bits);
		vmap_entry_store(&entry[2], pages[2]->frame << shift | bits);
		vmap_entry_store(&entry[3], pages[3]->frame << shift | bits);
	}
	for (; n; n--, entry++, pages++)
		vmap_entry_store(entry, (*pages)->frame << shift | bits);
}

void vmap_entries_clear(uint64_t *entry, size_t n)
{
	for (; n >= 8; n -= 8, entry += 8) {
		vmap_entry_store(&entry[0], 0);
		vmap_entry_store(&entry[1], 0);
		vmap_entry_store(&entry[2], 0);
		vmap_entry_store(&entry[3], 0);
		vmap_entry_store(&entry[4], 0);
		vmap_entry_store(&entry[5], 0);
		vmap_entry_store(&entry[6], 0);
		vmap_entry_store(&entry[7], 0);
	}
	for (; n; n--, entry++)
		vmap_entry_store(entry, 0);
}

/* The bits of a base page's leaf; 0: the format has no such memory type, or prot is not valid. */
static uint64_t base_bits(const struct vmap_pgtable *pgt, unsigned prot)
{
	if (prot & ~(VMAP_READ | VMAP_WRITE | VMAP_EXEC | VMAP_MEMORY_MASK))
		return 0;
	return pgt->bits[(prot & 7) | (prot & VMAP_MEMORY_MASK) >> 2];
}

/* Map pages into one table; what is not near is walked to. */
static int map_table(struct vmap_pgtable *pgt, uintptr_t addr, struct vmap_page *const *pages, size_t n, uint64_t bits)
{
	uint64_t *entry = near_entry(pgt, addr, 0);
	struct vmap_path path;
	int err;

	if (!entry) {
		err = vmap_walk_make(pgt, addr, 0, &path);
		if (err)
			return err;
		entry = path.entry[0];
		note(pgt, addr, entry, 0);
	}
	if (!are_clear(entry, n))
		return -VMAP_EEXIST;
	fill(entry, pages, n, pgt->frame_shift, bits);
	return 0;
}

int vmap_base_map(struct vmap_pgtable *pgt, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	uint64_t bits = base_bits(pgt, prot | VMAP_READ);
	size_t done = 0, run;
	int err = 0;

	if (!bits)
		return -VMAP_EINVAL;
	vmap_tables_enter(pgt);
	do {
		run = pgt->leaf_mask + 1 - vmap_leaf_index(pgt, addr + (done << pgt->page_shift));
		run = run < n - done ? run : n - done;
		err = map_table(pgt, addr + (done << pgt->page_shift), pages + done, run, bits);
		if (err)
			break;
		done += run;
	} while (done < n);
	if (err)
		vmap_clear(pgt, addr, done << pgt->page_shift);
	vmap_tables_leave(pgt);
	if (!err && pgt->ops->publish)
		pgt->ops->publish(pgt->ctx, addr, n << pgt->page_shift);
	return err;
}

bool vmap_base_unmap(struct vmap_pgtable *pgt, uintptr_t addr, size_t size)
{
	size_t n = size >> pgt->page_shift;
	uint64_t *entry = NULL;

	if (__atomic_load_n(&pgt->large, __ATOMIC_RELAXED) || n > pgt->leaf_mask + 1 - vmap_leaf_index(pgt, addr))
		return false;
	vmap_tables_enter(pgt);
	entry = near_entry(pgt, addr, NEAR_MARKED);
	if (entry)
		vmap_entries_clear(entry, n);
	vmap_tables_leave(pgt);
	return entry;
}

void vmap_near_marked(struct vmap_pgtable *pgt, uintptr_t addr, const uint64_t *entry)
{
	note(pgt, addr, entry, NEAR_MARKED);
}

/* Pins */

static uint32_t *pins_of(struct vmap_pgtable *pgt, uintptr_t addr)
{
	return &pgt->pins[vmap_index(pgt, addr, 1) % VMAP_PGTABLE_PINS];
}

uint64_t *vmap_base_pin(struct vmap_pgtable *pgt, uintptr_t addr, size_t size, size_t *n)
{
	struct vmap_path path;
	int err;

	if (!vmap_in_range(pgt, addr, size))
		return NULL;
	*n = pgt->leaf_mask + 1 - vmap_leaf_index(pgt, addr);
	*n = size >> pgt->page_shift < *n ? size >> pgt->page_shift : *n;
	vmap_tables_enter(pgt);
	__atomic_fetch_add(pins_of(pgt, addr), 1, __ATOMIC_RELAXED);
	err = vmap_walk_make(pgt, addr, 0, &path);
	if (err)
		__atomic_fetch_sub(pins_of(pgt, addr), 1, __ATOMIC_RELAXED);
	vmap_tables_leave(pgt);
	return err ? NULL : path.entry[0];
}

void vmap_base_unpin(struct vmap_pgtable *pgt, uintptr_t addr)
{
	struct vmap_path path;

	vmap_tables_enter(pgt);
	vmap_mark(pgt, &path, vmap_walk(pgt, addr, 0, &path));
	__atomic_fetch_sub(pins_of(pgt, addr), 1, __ATOMIC_RELAXED);
	vmap_tables_leave(pgt);
}
