// SPDX-License-Identifier: MIT
/*
 * Theory: a radix tree over 4 x 9 bits of the page number, kept in memory in the form that hardware would walk.
 *
 * An entry is 0 (absent), a table's address, or in the last level a frame number, with flags in the low twelve bits. How many
 * entries of a table are in use is not written down anywhere, as little as in hardware: the table is looked through when an entry
 * leaves it; but for one that is pinned, in which others write.
 */
#include <stdlib.h>
#include <string.h>
#include <vmap/host.h>
#include "table.h"

#define TABLE_SIZE ((size_t)4096)
#define LEVELS 4
#define PRESENT 0x1u
#define WRITABLE 0x2u
#define EXECUTABLE 0x4u
#define MEMORY VMAP_MEMORY_MASK
#define FLAGS (TABLE_SIZE - 1)

static unsigned index_of(const struct table *table, uintptr_t addr, unsigned level)
{
	return addr >> (table->page_shift + TABLE_SHIFT * level) & (TABLE_ENTRIES - 1);
}

static uint64_t *new_table(void)
{
	uint64_t *entries = aligned_alloc(TABLE_SIZE, TABLE_SIZE);

	if (entries)
		memset(entries, 0, TABLE_SIZE);
	return entries;
}

static uint64_t *table_of(uint64_t entry)
{
	return (uint64_t *)(uintptr_t)(entry & ~(uint64_t)FLAGS);
}

bool table_init(struct table *table, unsigned page_shift)
{
	*table = (struct table){.root = new_table(), .page_shift = page_shift};
	return table->root;
}

void table_fini(struct table *table)
{
	free(table->root);
}

static bool is_empty(const struct table *table, const uint64_t *entries, uintptr_t addr, unsigned level)
{
	static const uint64_t empty[TABLE_ENTRIES];

	if (!level && table->is_pinned && table->is_pinned(table->owner, addr))
		return false;
	return !memcmp(entries, empty, sizeof(empty));
}

/* Free the tables on the path to addr that are empty, from the lowest given level up. */
static void prune(struct table *table, uint64_t **path, uintptr_t addr, unsigned level)
{
	for (; level < LEVELS - 1 && is_empty(table, path[level], addr, level); level++) {
		free(path[level]);
		table->tables--;
		path[level + 1][index_of(table, addr, level + 1)] = 0;
	}
}

uint64_t *table_make(struct table *table, uintptr_t addr)
{
	uint64_t *path[LEVELS] = {[LEVELS - 1] = table->root}, *entry;

	for (unsigned level = LEVELS - 1; level > 0; level--) {
		entry = &path[level][index_of(table, addr, level)];
		if (!*entry) {
			path[level - 1] = new_table();
			if (!path[level - 1]) {
				prune(table, path, addr, level);
				return NULL;
			}
			*entry = (uintptr_t)path[level - 1] | PRESENT;
			table->tables++;
		}
		path[level - 1] = table_of(*entry);
	}
	return &path[0][index_of(table, addr, 0)];
}

uint64_t table_bits(unsigned prot)
{
	return PRESENT | (prot & VMAP_WRITE ? WRITABLE : 0) | (prot & VMAP_EXEC ? EXECUTABLE : 0) | (prot & MEMORY);
}

struct translation table_leaf(uint64_t entry)
{
	if (!entry)
		return (struct translation){0};
	return (struct translation){
		.valid = true,
		.prot = VMAP_READ | (entry & WRITABLE ? VMAP_WRITE : 0) | (entry & EXECUTABLE ? VMAP_EXEC : 0) | (entry & MEMORY),
		.frame = entry >> TABLE_FRAME_SHIFT,
	};
}

bool table_set(struct table *table, uintptr_t addr, struct translation leaf)
{
	uint64_t *entry = table_make(table, addr);

	if (entry)
		__atomic_store_n(entry, leaf.frame << TABLE_FRAME_SHIFT | table_bits(leaf.prot), __ATOMIC_RELAXED);
	return entry;
}

static void find(struct table *table, uintptr_t addr, uint64_t **path)
{
	path[LEVELS - 1] = table->root;
	for (unsigned level = LEVELS - 1; level > 0; level--)
		path[level - 1] = table_of(path[level][index_of(table, addr, level)]);
}

void table_clear(struct table *table, uintptr_t addr)
{
	uint64_t *path[LEVELS];

	find(table, addr, path);
	__atomic_store_n(&path[0][index_of(table, addr, 0)], 0, __ATOMIC_RELAXED);
	prune(table, path, addr, 0);
}

void table_prune(struct table *table, uintptr_t addr)
{
	uint64_t *path[LEVELS];

	find(table, addr, path);
	prune(table, path, addr, 0);
}

const uint64_t *table_row(const struct table *table, uintptr_t addr)
{
	const uint64_t *entries = table->root;
	uint64_t entry;

	if (addr >> (table->page_shift + TABLE_SHIFT * LEVELS))
		return NULL;
	for (unsigned level = LEVELS - 1; level > 0; level--) {
		entry = entries[index_of(table, addr, level)];
		if (!entry)
			return NULL;
		entries = table_of(entry);
	}
	return entries;
}

struct translation table_walk(const struct table *table, uintptr_t addr)
{
	const uint64_t *row = table_row(table, addr);

	return table_leaf(row ? __atomic_load_n(&row[index_of(table, addr, 0)], __ATOMIC_RELAXED) : 0);
}
