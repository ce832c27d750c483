// SPDX-License-Identifier: MIT
/*
 * Theory: a log-structured store. Records are appended to a log of chunks, which come from the pool as they are needed and need not be
 * neighbours; a record goes across as many of them as it takes. To read one, its chunks become one view, and code that has never heard of chunks
 * gets all of it as one pointer: zlib, and a JSON parser. Views of recently read records are kept (struct vmap_cache), so reading
 * one again costs no system call.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmap/cache.h>
#include <zlib.h>

#define CHUNKS 1024
#define RECORDS 100

struct record {
	size_t at, size; /* bytes in the log */
};

struct store {
	struct vmap_process *process;
	struct vmap_cache *cache;
	struct vmap_page *chunks[CHUNKS], *spare[CHUNKS];
	size_t chunk_size, chunks_n, spare_n, end;
};

/* Chunks are taken from a pool that others use too: every other one stays theirs here. */
static int store_grow(struct store *store)
{
	struct vmap_page *two[2];

	if (store->chunks_n == CHUNKS || vmap_page_alloc(store->process, VMAP_ORDER_DEFAULT, 2, two))
		return 0;
	store->chunks[store->chunks_n++] = two[0];
	store->spare[store->spare_n++] = two[1];
	return 1;
}

static int store_append(struct store *store, const char *bytes, size_t size, struct record *record)
{
	*record = (struct record){.at = store->end, .size = size};
	while (size) {
		size_t chunk = store->end / store->chunk_size, within = store->end % store->chunk_size;
		size_t n = store->chunk_size - within < size ? store->chunk_size - within : size;

		if (chunk == store->chunks_n && !store_grow(store))
			return 0;
		memcpy((char *)vmap_page_address(store->process, store->chunks[chunk]) + within, bytes, n);
		bytes += n;
		size -= n;
		store->end += n;
	}
	return 1;
}

/* The record in one piece, until vmap_cache_put(). NULL: no view. */
static const char *store_read(struct store *store, const struct record *record, struct vmap_cached *view)
{
	size_t first = record->at / store->chunk_size, last = (record->at + record->size - 1) / store->chunk_size;

	if (vmap_cache_get(store->cache, store->chunks + first, last - first + 1, view))
		return NULL;
	return (const char *)view->addr + record->at % store->chunk_size;
}

/* A document of some size that can be told from every other one. */
static char *document(size_t number)
{
	json_t *all = json_array();
	char *text;

	for (size_t i = 0; i < 1 + number * number; i++)
		json_array_append_new(all, json_integer((json_int_t)(number * 1000003 + i * i)));
	text = json_dumps(all, 0);
	json_decref(all);
	return text;
}

/* What a parser and zlib make of the record as it lies there, and what they should: true if that is the same. */
static int check(struct store *store, const struct record *record, size_t number)
{
	struct vmap_cached view;
	const char *bytes = store_read(store, record, &view);
	char *expected = document(number), *unpacked = malloc(record->size);
	uLong packed_size = compressBound(record->size), unpacked_size = record->size;
	Bytef *packed = malloc(packed_size);
	json_t *json;
	int good;

	if (!bytes || !packed || !unpacked)
		return 0;
	json = json_loadb(bytes, record->size, 0, NULL);
	good = json && json_array_size(json) == 1 + number * number &&
	       json_integer_value(json_array_get(json, number)) == (json_int_t)(number * 1000003 + number * number);
	good = good && compress(packed, &packed_size, (const Bytef *)bytes, record->size) == Z_OK &&
	       uncompress((Bytef *)unpacked, &unpacked_size, packed, packed_size) == Z_OK && unpacked_size == strlen(expected) &&
	       !memcmp(unpacked, expected, unpacked_size);
	json_decref(json);
	free(packed);
	free(unpacked);
	free(expected);
	return !vmap_cache_put(store->cache, &view) && good;
}

int main(void)
{
	struct record records[RECORDS];
	struct store store = {.chunk_size = 65536};
	struct vmap_cache_stats stats;
	size_t across = 0, wrong = 0;

	if (vmap_process_create(NULL, &store.process) || vmap_cache_create(store.process, NULL, &store.cache))
		return 1;
	for (size_t i = 0; i < RECORDS; i++) {
		char *text = document(i);

		if (!text || !store_append(&store, text, strlen(text), &records[i]))
			return 1;
		across += records[i].at / store.chunk_size != (store.end - 1) / store.chunk_size;
		free(text);
	}
	for (size_t i = 0; i < 2 * RECORDS; i += 5)
		wrong += !check(&store, &records[i % RECORDS], i % RECORDS);
	vmap_cache_stats(store.cache, &stats);
	printf("%d records in %zu chunks, %zu of them across chunks, %zu wrong; %zu views kept, %zu found again\n", RECORDS,
	       store.chunks_n, across, wrong, stats.views, (size_t)stats.hits);
	if (wrong || !across || !stats.hits || vmap_cache_destroy(store.cache))
		return 1;
	vmap_page_put(store.process, store.chunks, store.chunks_n);
	vmap_page_put(store.process, store.spare, store.spare_n);
	return vmap_process_destroy(store.process) != 0;
}
