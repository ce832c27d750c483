/* SPDX-License-Identifier: MIT */
#ifndef SOFTMMU_TABLE_H
#define SOFTMMU_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Page tables as x86-64 has them: four levels of 512 entries; but a leaf's size can be chosen. */

#define TABLE_SHIFT 9
#define TABLE_ENTRIES ((size_t)1 << TABLE_SHIFT)

/* Of an entry: bits below those of the frame. */
#define TABLE_FRAME_SHIFT 12

struct table {
	uint64_t *root;
	unsigned page_shift;
	size_t tables; /* tables below the root */
	/* Whether the lowest table for addr stays even if it is empty; NULL: none does. Entries of one that does are written by others, too. */
	bool (*is_pinned)(void *owner, uintptr_t addr);
	void *owner;
};

/* What a walk finds. */
struct translation {
	bool valid;
	unsigned prot; /* VMAP_READ | ..., and the memory type */
	uint64_t frame;
};

bool table_init(struct table *table, unsigned page_shift);
void table_fini(struct table *table);

/* Enter a leaf where there is none. false: no memory for tables. */
bool table_set(struct table *table, uintptr_t addr, struct translation leaf);

/* Remove a leaf that is there, and the tables that it leaves empty. Needs no memory. */
void table_clear(struct table *table, uintptr_t addr);

/* The entry for addr, with all tables that it needs. NULL: no memory for them. And remove what of them is empty. */
uint64_t *table_make(struct table *table, uintptr_t addr);
void table_prune(struct table *table, uintptr_t addr);

/* What an entry says; and its bits below the frame. */
struct translation table_leaf(uint64_t entry);
uint64_t table_bits(unsigned prot);

/* The lowest table for addr; NULL: there is none. */
const uint64_t *table_row(const struct table *table, uintptr_t addr);

/* Walk the tables, as a TLB miss does. */
struct translation table_walk(const struct table *table, uintptr_t addr);

#endif
