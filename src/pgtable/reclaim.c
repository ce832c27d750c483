// SPDX-License-Identifier: MIT
/*
 * Theory: giving empty tables back, without a lock and without stopping anybody for a flush.
 *
 * A table may be reused only when no walk stands in it and no CPU remembers it. Its life ends in four steps:
 *   1. freeze. While nobody is counted in users, each marked table that is empty gets its entry's present bit taken away.
 *      The rest of the entry stays: it still says where the table is.
 *   2. flush everything, walk caches included. Walks go on meanwhile. One that needs a frozen table sets the present bit
 *      again: CPUs that remember the table are right again, and no second table can appear in the same place, which a CPU with an
 *      old walk cache would miss.
 *   3. sweep. Again while nobody is counted, entries that are still frozen become 0.
 *   4. free those tables.
 * Whatever is found frozen in step 3 was frozen before the flush, as one thread at a time does this (reclaiming).
 *
 * Steps 1 and 3 shut new users out (they spin) and wait a bounded time for those that are inside, a map that waits for a frame
 * perhaps; if that is not enough, the marks stay for a later flush. Both look only at marked tables, so their time is bounded by
 * config.keep plus what was unmapped since the last flush, 1 << bits entries a table.
 *
 * Functions that follow the tables downwards call themselves, at most VMAP_PGTABLE_LEVELS deep.
 */
#include "walk.h"

/* How often users is looked at until it is given up. */
#define PATIENCE 1000

/* Ends a chain of tables that are out of use; each holds the address of the next in its first entry. */
#define NO_TABLE UINT64_MAX

static bool exclude(struct vmap_pgtable *pgt, unsigned long *saved)
{
	*saved = pgt->ops->irq_save ? pgt->ops->irq_save(pgt->ctx) : 0;
	__atomic_fetch_or(&pgt->users, VMAP_PGTABLE_EXCLUSIVE, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < PATIENCE; i++)
		if (__atomic_load_n(&pgt->users, __ATOMIC_ACQUIRE) == VMAP_PGTABLE_EXCLUSIVE)
			return true;
	return false;
}

static void include(struct vmap_pgtable *pgt, unsigned long saved)
{
	__atomic_fetch_and(&pgt->users, ~VMAP_PGTABLE_EXCLUSIVE, __ATOMIC_RELEASE);
	if (pgt->ops->irq_restore)
		pgt->ops->irq_restore(pgt->ctx, saved);
}

/* A table, in use or frozen; not a leaf. */
static bool refers_to_table(const struct vmap_pgtable *pgt, uint64_t entry, unsigned level)
{
	return entry && level && vmap_is_table(pgt, entry | pgt->format->present, level);
}

/* Whether no entry of a table at this level is present. */
static bool is_vacant(const struct vmap_pgtable *pgt, const uint64_t *table, unsigned level)
{
	size_t n = vmap_entries(pgt, level);

	for (size_t i = 0; i < n; i++)
		if (vmap_is_present(pgt, vmap_entry_load(&table[i])))
			return false;
	return true;
}

/* Whether there are no leaves in the table that entry refers to and below it, and all tables are ours. */
static bool is_hollow(const struct vmap_pgtable *pgt, uint64_t entry, unsigned level)
{
	const uint64_t *table;
	uint64_t inner;

	if (!refers_to_table(pgt, entry, level) || !(entry & pgt->format->own))
		return false;
	table = vmap_table_of(pgt, entry);
	for (size_t i = 0; i < vmap_entries(pgt, level - 1); i++) {
		inner = vmap_entry_load(&table[i]);
		if (inner && !is_hollow(pgt, inner, level - 1))
			return false;
	}
	return true;
}

/* Chain the table that entry refers to, and those below it. */
static void collect(const struct vmap_pgtable *pgt, uint64_t entry, unsigned level, uint64_t *chain)
{
	uint64_t *table = vmap_table_of(pgt, entry), inner;

	for (size_t i = 0; level > 1 && i < vmap_entries(pgt, level - 1); i++) {
		inner = vmap_entry_load(&table[i]);
		if (inner)
			collect(pgt, inner, level - 1, chain);
	}
	table[0] = *chain;
	*chain = vmap_table_phys(pgt, entry);
}

static void give_back(struct vmap_pgtable *pgt, uint64_t chain)
{
	uint64_t phys;

	while ((phys = chain) != NO_TABLE) {
		chain = *(uint64_t *)pgt->ops->phys_to_virt(pgt->ctx, phys);
		vmap_table_free(pgt, phys);
	}
}

/* Step 1, for the tables that the entries of this table refer to. Gives whether any is frozen; marks stay where there is. */
static bool freeze(struct vmap_pgtable *pgt, uint64_t *table, unsigned level)
{
	bool frozen = false, below;
	uint64_t entry, *inner;

	for (size_t i = 0; i < vmap_entries(pgt, level); i++) {
		entry = vmap_entry_load(&table[i]);
		if (!(entry & pgt->format->mark) || !refers_to_table(pgt, entry, level))
			continue;
		below = false;
		if (vmap_is_present(pgt, entry)) {
			inner = vmap_table_of(pgt, entry);
			below = level > 1 && freeze(pgt, inner, level - 1);
			if (entry & pgt->format->own && !vmap_is_pinned(pgt, i, level) && is_vacant(pgt, inner, level - 1))
				entry &= ~pgt->format->present;
			else if (!below)
				entry &= ~pgt->format->mark;
			vmap_entry_store(&table[i], entry);
		}
		frozen |= below || !vmap_is_present(pgt, entry);
	}
	return frozen;
}

/* Step 3. Gives the number of tables that were marked again meanwhile. */
static size_t sweep(struct vmap_pgtable *pgt, uint64_t *table, unsigned level, uint64_t *chain)
{
	uint64_t entry, *inner;
	size_t marked = 0, below;

	for (size_t i = 0; i < vmap_entries(pgt, level); i++) {
		entry = vmap_entry_load(&table[i]);
		if (!(entry & pgt->format->mark) || !refers_to_table(pgt, entry, level))
			continue;
		if (!vmap_is_present(pgt, entry)) {
			vmap_entry_store(&table[i], 0);
			collect(pgt, entry, level, chain);
			continue;
		}
		inner = vmap_table_of(pgt, entry);
		below = level > 1 ? sweep(pgt, inner, level - 1, chain) : 0;
		if (!below && (vmap_is_pinned(pgt, i, level) || !is_vacant(pgt, inner, level - 1)))
			vmap_entry_store(&table[i], entry & ~pgt->format->mark);
		else
			marked += below ? below : 1;
	}
	return marked;
}

/* The table below the root's entry with this number, counted from the range's begin; NULL: there is none. end: no such entry. */
static uint64_t *top_table(const struct vmap_pgtable *pgt, size_t number, bool *end)
{
	unsigned root = vmap_root_level(pgt);
	size_t first = vmap_index(pgt, pgt->base, root), last = vmap_index(pgt, pgt->base + (pgt->size - 1), root);
	uint64_t entry;

	*end = number > last - first;
	if (*end)
		return NULL;
	entry = vmap_entry_load(&pgt->root[first + number]);
	return vmap_is_table(pgt, entry, root) ? vmap_table_of(pgt, entry) : NULL;
}

static bool freeze_all(struct vmap_pgtable *pgt)
{
	unsigned top = vmap_root_level(pgt) - 1;
	bool frozen = false, end = false;
	unsigned long saved;
	uint64_t *table;

	if (exclude(pgt, &saved)) {
		vmap_near_forget(pgt);
		for (size_t i = 0; !end; i++) {
			table = top_table(pgt, i, &end);
			frozen |= table && top && freeze(pgt, table, top);
		}
		__atomic_store_n(&pgt->marked, 0, __ATOMIC_RELAXED);
	}
	include(pgt, saved);
	return frozen;
}

/* What was frozen stays so where there is no moment for it; pgt->marked says that there is still something to do. */
static uint64_t sweep_all(struct vmap_pgtable *pgt)
{
	unsigned top = vmap_root_level(pgt) - 1;
	uint64_t chain = NO_TABLE, *table;
	unsigned long saved;
	size_t marked = 0;
	bool end = false;

	if (exclude(pgt, &saved)) {
		vmap_near_forget(pgt);
		for (size_t i = 0; !end; i++) {
			table = top_table(pgt, i, &end);
			marked += table && top ? sweep(pgt, table, top, &chain) : 0;
		}
		__atomic_store_n(&pgt->marked, marked, __ATOMIC_RELAXED);
	} else {
		__atomic_fetch_add(&pgt->marked, pgt->keep + 1, __ATOMIC_RELAXED);
	}
	include(pgt, saved);
	return chain;
}

static void flush(struct vmap_pgtable *pgt, const struct vmap_range *ranges, size_t n, bool reclaim)
{
	bool mine = reclaim && !__atomic_exchange_n(&pgt->reclaiming, 1, __ATOMIC_ACQUIRE);

	if (mine && freeze_all(pgt)) {
		pgt->ops->flush(pgt->ctx, NULL, 0);
		give_back(pgt, sweep_all(pgt));
	} else {
		pgt->ops->flush(pgt->ctx, ranges, n);
	}
	if (mine)
		__atomic_store_n(&pgt->reclaiming, 0, __ATOMIC_RELEASE);
}

void vmap_pgtable_flush(struct vmap_pgtable *pgt, const struct vmap_range *ranges, size_t n)
{
	flush(pgt, ranges, n, __atomic_load_n(&pgt->marked, __ATOMIC_RELAXED) > pgt->keep);
}

void vmap_pgtable_trim(struct vmap_pgtable *pgt)
{
	flush(pgt, NULL, 0, true);
}

bool vmap_table_displace(struct vmap_pgtable *pgt, uint64_t *slot, unsigned level)
{
	uint64_t entry = vmap_entry_load(slot), chain = NO_TABLE;

	if (!is_hollow(pgt, entry, level))
		return false;
	vmap_entry_store(slot, 0);
	vmap_near_forget(pgt);
	if (level == vmap_root_level(pgt) && pgt->ops->root_changed)
		pgt->ops->root_changed(pgt->ctx, (unsigned)(slot - pgt->root), 0);
	pgt->ops->flush(pgt->ctx, NULL, 0);
	collect(pgt, entry, level, &chain);
	give_back(pgt, chain);
	return true;
}

void vmap_pgtable_fini(struct vmap_pgtable *pgt)
{
	unsigned root = vmap_root_level(pgt);
	size_t first = vmap_index(pgt, pgt->base, root), last = vmap_index(pgt, pgt->base + (pgt->size - 1), root);

	vmap_pgtable_trim(pgt);
	for (size_t i = first; i <= last; i++)
		vmap_table_displace(pgt, &pgt->root[i], root);
}
