/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chained buckets, doubled when there are as many entries as buckets: every operation is O(1) on average.
 *
 * The keys come from the log, so whoever wrote it could choose keys that all fall into one bucket if he knew the function. He does not:
 * it is drawn from a strongly universal family (the upper bits of a multiply-add over pairs, modulo 2^128) once for each run. Then
 * no two keys meet more often than by chance, whatever keys there are. Nothing that can be seen depends on it.
 */
#include "table.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

__extension__ typedef unsigned __int128 u128;

static struct {
	u128 a, b, add;
} hash_key;
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void draw_hash_key(void)
{
	/* Before the kernel has any randomness to give: no protection, but right. */
	if (getrandom(&hash_key, sizeof(hash_key), GRND_NONBLOCK) != (ssize_t)sizeof(hash_key)) {
		hash_key.a = (u128)UINT64_C(0x9e3779b97f4a7c15) << 64 | UINT64_C(0xff51afd7ed558ccd);
		hash_key.b = (u128)UINT64_C(0xbf58476d1ce4e5b9) << 64 | UINT64_C(0x94d049bb133111eb);
	}
}

uint32_t xr_hash(uint64_t a, uint64_t b)
{
	uint64_t x;

	pthread_once(&hash_key_once, draw_hash_key);
	x = (uint64_t)((hash_key.a * a + hash_key.b * b + hash_key.add) >> 64);
	/* The sum keeps rows of numbers rows, and an unlucky step could crowd them: scatter what is there. */
	x = (x ^ x >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)(x >> 32);
}

static size_t slot(const struct xr_table *table, uint64_t a, uint64_t b)
{
	return xr_hash(a, b) & (table->nslots - 1);
}

static int grow(struct xr_table *table)
{
	size_t nslots = table->nslots ? 2 * table->nslots : 64;
	struct xr_entry **slots = nslots <= UINT32_MAX ? calloc(nslots, sizeof(struct xr_entry *)) : NULL;

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
