/* SPDX-License-Identifier: MIT */
#ifndef VMAP_PGTABLE_WALK_H
#define VMAP_PGTABLE_WALK_H

#include <vmap/pgtable.h>

/* The entries on the way to an address, by level; filled in from the root down to where a walk ended. */
struct vmap_path {
	uint64_t *entry[VMAP_PGTABLE_LEVELS];
};

/* What a leaf entry says. */
struct vmap_leaf {
	uint64_t frame; /* of the first byte that the leaf, not its group, covers */
	unsigned prot; /* VMAP_READ | ... | memory type */
	bool grouped;
};

/* Set in users while tables are taken out of use. */
#define VMAP_PGTABLE_EXCLUSIVE (~(SIZE_MAX >> 1))

/* Hardware walkers, and other threads, read entries at any time. */
static inline uint64_t vmap_entry_load(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

static inline void vmap_entry_store(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELAXED);
}

static inline unsigned vmap_root_level(const struct vmap_pgtable *pgt)
{
	return pgt->format->levels - 1u;
}

static inline uintptr_t vmap_span(const struct vmap_pgtable *pgt, unsigned level)
{
	return (uintptr_t)1 << pgt->format->level[level].shift;
}

static inline size_t vmap_entries(const struct vmap_pgtable *pgt, unsigned level)
{
	return (size_t)1 << pgt->format->level[level].bits;
}

static inline size_t vmap_index(const struct vmap_pgtable *pgt, uintptr_t addr, unsigned level)
{
	return addr >> pgt->format->level[level].shift & (vmap_entries(pgt, level) - 1);
}

/* An entry that is neither 0 nor present refers to a table that was taken out of use and may still be put back (reclaim.c). */
static inline bool vmap_is_present(const struct vmap_pgtable *pgt, uint64_t entry)
{
	return entry & pgt->format->present;
}

static inline bool vmap_is_table(const struct vmap_pgtable *pgt, uint64_t entry, unsigned level)
{
	const struct vmap_pgtable_level *l = &pgt->format->level[level];

	return l->table_mask && (entry & l->table_mask) == l->table_value;
}

static inline uint64_t vmap_table_phys(const struct vmap_pgtable *pgt, uint64_t entry)
{
	return (entry & pgt->format->frame_mask) >> pgt->format->frame_shift << pgt->format->page_shift;
}

static inline uint64_t *vmap_table_of(const struct vmap_pgtable *pgt, uint64_t entry)
{
	return (uint64_t *)pgt->ops->phys_to_virt(pgt->ctx, vmap_table_phys(pgt, entry));
}

static inline uint64_t vmap_table_entry(const struct vmap_pgtable *pgt, uint64_t phys)
{
	const struct vmap_pgtable_format *format = pgt->format;

	return phys >> format->page_shift << format->frame_shift | format->table | format->own;
}

/* Which entry of its table of the lowest level is addr's. */
static inline size_t vmap_leaf_index(const struct vmap_pgtable *pgt, uintptr_t addr)
{
	return addr >> pgt->page_shift & pgt->leaf_mask;
}

/* Begin, and end, to use the tables: while anybody does, none is taken away. */
void vmap_tables_wait(struct vmap_pgtable *pgt);

static inline void vmap_tables_enter(struct vmap_pgtable *pgt)
{
	if (__atomic_fetch_add(&pgt->users, 1, __ATOMIC_ACQUIRE) & VMAP_PGTABLE_EXCLUSIVE)
		vmap_tables_wait(pgt);
}

static inline void vmap_tables_leave(struct vmap_pgtable *pgt)
{
	__atomic_fetch_sub(&pgt->users, 1, __ATOMIC_RELEASE);
}

bool vmap_in_range(const struct vmap_pgtable *pgt, uintptr_t addr, size_t size);

/* Frames for tables, counted. */
bool vmap_table_new(struct vmap_pgtable *pgt, uint64_t *phys);
void vmap_table_free(struct vmap_pgtable *pgt, uint64_t phys);

/* Walk down from the root, over present tables, as far as there are any, but not below level. Gives the level where it ended. */
unsigned vmap_walk(const struct vmap_pgtable *pgt, uintptr_t addr, unsigned level, struct vmap_path *path);

/* The same, and make the tables that are missing. -VMAP_ENOMEM, -VMAP_EEXIST: a leaf is in the way. */
int vmap_walk_make(struct vmap_pgtable *pgt, uintptr_t addr, unsigned level, struct vmap_path *path);

/* Take away what lies in the range; no leaf reaches over its ends. */
void vmap_clear(struct vmap_pgtable *pgt, uintptr_t addr, size_t size);

/* Note that something was taken out of the table that holds path->entry[level]. */
void vmap_mark(struct vmap_pgtable *pgt, const struct vmap_path *path, unsigned level);

/* The bits of a leaf at this level without its frame; from an entry back to what it means. */
uint64_t vmap_leaf_bits(const struct vmap_pgtable *pgt, unsigned level, unsigned prot);
struct vmap_leaf vmap_leaf_decode(const struct vmap_pgtable *pgt, uint64_t entry, unsigned level, uintptr_t addr);

/* Write n leaves for neighbouring frames, from entry on, as groups where grouped is set (entry and frame are then aligned to one). */
void vmap_leaves_write(const struct vmap_pgtable *pgt, unsigned level, uint64_t *entry, size_t n, uint64_t frame, uint64_t bits,
		       bool grouped);

void vmap_publish(const struct vmap_pgtable *pgt, uintptr_t addr, size_t size);

/* Split leaves that reach over addr, so that a leaf begins there. -VMAP_ENOMEM: no frame; nothing of the translation has changed. */
int vmap_split_at(struct vmap_pgtable *pgt, uintptr_t addr);

/*
 * Take the table that entry refers to out of use, with the tables below it; flush, and give them back. false: something is
 * mapped there, or a table is not ours; nothing was changed then.
 */
bool vmap_table_displace(struct vmap_pgtable *pgt, uint64_t *entry, unsigned level);

/*
 * Base pages (base.c). The first two as vmap_pgtable_map() and _unmap(), of a valid range; unmap gives false where nothing was done
 * because the range is not within a table that is near. The others are the hooks of struct vmap_host.
 */
int vmap_base_map(struct vmap_pgtable *pgt, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot);
bool vmap_base_unmap(struct vmap_pgtable *pgt, uintptr_t addr, size_t size);
uint64_t *vmap_base_pin(struct vmap_pgtable *pgt, uintptr_t addr, size_t size, size_t *n);
void vmap_base_unpin(struct vmap_pgtable *pgt, uintptr_t addr);

void vmap_entries_clear(uint64_t *entry, size_t n);

/* entry, of the lowest level, is addr's, and its table is marked; forget all such tables: the marks may go, and so may the tables. */
void vmap_near_marked(struct vmap_pgtable *pgt, uintptr_t addr, const uint64_t *entry);
void vmap_near_forget(struct vmap_pgtable *pgt);

/* Whether this entry of a table of level 1, at index, refers to a table that has to stay. */
static inline bool vmap_is_pinned(const struct vmap_pgtable *pgt, size_t index, unsigned level)
{
	return level == 1 && __atomic_load_n(&pgt->pins[index % VMAP_PGTABLE_PINS], __ATOMIC_RELAXED);
}

#endif
