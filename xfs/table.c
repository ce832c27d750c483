/* SPDX-License-Identifier: GPL-2.0-only */
/* Chained buckets, doubled when there are as many entries as buckets: every operation is O(1) on average. */
#include "table.h"

#include <stdlib.h>

static size_t slot(const struct xr_table *table, uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ b * UINT64_C(0xff51afd7ed558ccd)) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(x ^ x >> 32) & (table->nslots - 1);
}

static int grow(struct xr_table *table)
{
	size_t nslots = table->nslots ? 2 * table->nslots : 64;
	struct xr_entry **slots = calloc(nslots, sizeof(struct xr_entry *));

	if (!slots)
		return -1;
	free(table->slots);
	table->slots = slots;
	table->nslots = nslots;
	for (struct xr_entry *e = table->first; e; e = e->next) {
		struct xr_entry **head = &slots[slot(table, e->a, e->b)];

		e->hash_next = *head;
		*head = e;
	}
	return 0;
}

struct xr_entry *xr_table_find(const struct xr_table *table, uint64_t a, uint64_t b)
{
	struct xr_entry *e = table->nslots ? table->slots[slot(table, a, b)] : NULL;

	while (e && (e->a != a || e->b != b))
		e = e->hash_next;
	return e;
}

struct xr_entry *xr_table_add(struct xr_table *table, uint64_t a, uint64_t b)
{
	struct xr_entry *e = xr_table_find(table, a, b), **head;

	if (e)
		return e;
	/* A table that cannot grow any more still works, only slower. */
	if (table->count >= table->nslots && grow(table) && !table->nslots)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->a = a;
	e->b = b;
	head = &table->slots[slot(table, a, b)];
	e->hash_next = *head;
	*head = e;
	e->prev = table->last;
	*(table->last ? &table->last->next : &table->first) = e;
	table->last = e;
	table->count++;
	return e;
}

void xr_table_remove(struct xr_table *table, struct xr_entry *entry)
{
	struct xr_entry **at = &table->slots[slot(table, entry->a, entry->b)];

	while (*at != entry)
		at = &(*at)->hash_next;
	*at = entry->hash_next;
	*(entry->prev ? &entry->prev->next : &table->first) = entry->next;
	*(entry->next ? &entry->next->prev : &table->last) = entry->prev;
	table->count--;
	free(entry);
}

void xr_table_clear(struct xr_table *table)
{
	struct xr_entry *next;

	for (struct xr_entry *e = table->first; e; e = next) {
		next = e->next;
		free(e);
	}
	free(table->slots);
	*table = (struct xr_table){0};
}
