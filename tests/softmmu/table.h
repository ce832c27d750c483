/* SPDX-License-Identifier: MIT */
#ifndef SOFTMMU_TABLE_H
#define SOFTMMU_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Page tables as x86-64 has them: four levels of 512 entries; but a leaf's size can be chosen. */

struct table {
	uint64_t *root;
	unsigned page_shift;
	size_t tables; /* tables below the root */
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

/* Walk the tables, as a TLB miss does. */
struct translation table_walk(const struct table *table, uintptr_t addr);

#endif
