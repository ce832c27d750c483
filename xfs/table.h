/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TABLE_H
#define XR_TABLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * A hash table over pairs of numbers that remembers the order of insertion: what replay keeps by (address, length) or by
 * (type, id). The entries are the table's; a pointer to one is good until it is removed. A zeroed table is an empty one.
 */
struct xr_entry {
	uint64_t a, b; /* the key; unchanged while in the table */
	uint64_t value; /* the caller's */
	struct xr_entry *hash_next;
	struct xr_entry *next, *prev; /* in order of insertion; NULL at the ends */
};

struct xr_table {
	struct xr_entry **slots;
	size_t nslots; /* a power of two, or 0 */
	size_t count;
	struct xr_entry *first, *last;
};

/* The entry with this key, or NULL. */
struct xr_entry *xr_table_find(const struct xr_table *table, uint64_t a, uint64_t b);

/* The entry with this key, made with value 0 where there is none; NULL: no memory, nothing changed. */
struct xr_entry *xr_table_add(struct xr_table *table, uint64_t a, uint64_t b);

/* Take an entry of this table out and free it. */
void xr_table_remove(struct xr_table *table, struct xr_entry *entry);

/*
 * 32 bits that follow from two numbers, another way in each run: to find things by numbers that a hostile image chose. The only
 * guarantee is against collisions, so nothing that is shown or written may depend on it.
 */
uint32_t xr_hash(uint64_t a, uint64_t b);

/* Back to an empty table; every entry and all memory is freed. */
void xr_table_clear(struct xr_table *table);

#endif
