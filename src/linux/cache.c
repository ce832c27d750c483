/* SPDX-License-Identifier: MIT */
/*
 * Views that are kept
 *
 * Theory: a table of entries, found in two ways: by a hash of their pages, or by handle, which is the entry's slot and how often the slot
 * was used. As long as an entry is there it holds its pages, so the same pointers mean the same pages and comparing them is
 * enough. Entries that nobody uses are in a list, least recently used first.
 *
 * Eviction takes a batch from the front of that list. Views that were made one after the other often lie one behind the other, with only
 * their guards between: sorted by address, one system call ends each such row of them (mech.h, unmap_all).
 *
 * Locks: one mutex for the table and the list, a leaf; views are made and ended without it. Two threads that miss the same list
 * both make a view, and the second one's is dropped.
 *
 * Cost: a hit is one multiplication and one comparison a page, and the mutex.
 */
#include <stdlib.h>
#include <string.h>
#include "probes.h"
#include "process.h"
#include <vmap/cache.h>

#define VIEWS_DEFAULT 1024
#define BATCH 32

struct cache_link {
	struct cache_link *newer, *older;
};

struct cache_entry {
	struct cache_link link; /* in the list of idle entries */
	struct cache_entry *next; /* of the same bucket */
	uint64_t hash;
	uint64_t handle;
	struct vmap_view view;
	size_t users;
	size_t n;
	struct vmap_page *pages[];
};

/* A handle's lower half is the slot, its upper half how often the slot was used. */
struct cache_slot {
	struct cache_entry *entry; /* NULL: free */
	uint32_t uses;
	uint32_t next_free;
};

struct vmap_cache {
	struct vmap_process *process;
	struct vmap_options options;
	size_t views_max, mappings_max;
	pthread_mutex_t lock; /* of what follows */
	struct cache_slot *slots; /* views_max of them */
	uint32_t free_slot; /* views_max: none */
	struct cache_entry **buckets;
	size_t mask; /* buckets less one */
	struct cache_link idle; /* the list's head: newer is the oldest entry, older the newest */
	struct vmap_cache_stats stats;
	uint64_t hits_told; /* of stats.hits, those that vmapstat knows of */
};

/* So many hits vmapstat may not know of: an atomic addition to a shared page costs as much as the rest of one. */
#define CACHE_HITS_UNTOLD 64

/* Two pages a multiplication, each with a key for its place; the products do not wait for each other. */
static uint64_t cache_hash(struct vmap_page *const *pages, size_t n)
{
	const uint64_t step = 0x9e3779b97f4a7c15u, other = 0xd6e8feb86659fd93u;
	uint64_t hash = n, key = step;

	for (; n >= 2; n -= 2, pages += 2, key += 2 * step)
		hash += ((uintptr_t)pages[0] + key) * ((uintptr_t)pages[1] + (key ^ other));
	if (n)
		hash += ((uintptr_t)pages[0] + key) * other;
	hash ^= hash >> 32;
	hash *= other;
	return hash ^ hash >> 32;
}

/* Counted here, and for vmapstat. */
static void cache_count(struct vmap_cache *cache, uint64_t *of_cache, enum vmap_stat_counter counter)
{
	++*of_cache;
	vmap_stat_tell(&cache->process->stat, counter, 1);
}

static void cache_tell_hits(struct vmap_cache *cache)
{
	vmap_stat_tell(&cache->process->stat, VMAP_STAT_HITS, cache->stats.hits - cache->hits_told);
	cache->hits_told = cache->stats.hits;
}

/* Views that the cache keeps, and their mappings: more, or less. */
static void cache_keeps(struct vmap_cache *cache, const struct vmap_view *view, bool more)
{
	uint64_t mappings = more ? view->mappings : -(uint64_t)view->mappings;

	cache->stats.views += more ? 1 : (size_t)-1;
	cache->stats.mappings += mappings;
	vmap_stat_tell(&cache->process->stat, VMAP_STAT_KEPT, more ? 1 : -(uint64_t)1);
	vmap_stat_tell(&cache->process->stat, VMAP_STAT_KEPT_MAPPINGS, mappings);
	cache_tell_hits(cache);
}

static void idle_remove(struct cache_link *link)
{
	link->newer->older = link->older;
	link->older->newer = link->newer;
}

static void idle_add(struct vmap_cache *cache, struct cache_link *link)
{
	link->newer = &cache->idle;
	link->older = cache->idle.older;
	link->older->newer = link;
	cache->idle.older = link;
}

static struct cache_entry *cache_find(const struct vmap_cache *cache, uint64_t hash, struct vmap_page *const *pages, size_t n)
{
	struct cache_entry *entry = cache->buckets[hash & cache->mask];

	while (entry && (entry->hash != hash || entry->n != n || memcmp(entry->pages, pages, n * sizeof(*pages))))
		entry = entry->next;
	return entry;
}

/* One user more. */
static void cache_use(struct vmap_cache *cache, struct cache_entry *entry, struct vmap_cached *view)
{
	if (!entry->users++) {
		idle_remove(&entry->link);
		cache->stats.idle--;
	}
	if (++cache->stats.hits - cache->hits_told == CACHE_HITS_UNTOLD)
		cache_tell_hits(cache);
	*view = (struct vmap_cached){.addr = entry->view.addr, .size = entry->view.size, .handle = entry->handle};
}

/* The entry with this handle; NULL: there is none any more. */
static struct cache_entry *cache_slot(const struct vmap_cache *cache, uint64_t handle)
{
	uint64_t slot = handle & UINT32_MAX;
	struct cache_entry *entry = slot < cache->views_max ? cache->slots[slot].entry : NULL;

	return entry && entry->handle == handle ? entry : NULL;
}

/* Enter an entry with one user. False: no slot, or too many mappings. */
static bool cache_enter(struct vmap_cache *cache, struct cache_entry *entry)
{
	struct cache_slot *slot = &cache->slots[cache->free_slot];
	struct cache_entry **bucket = &cache->buckets[entry->hash & cache->mask];

	if (cache->free_slot == cache->views_max || cache->stats.mappings + entry->view.mappings > cache->mappings_max)
		return false;
	entry->handle = (uint64_t)++slot->uses << 32 | cache->free_slot;
	cache->free_slot = slot->next_free;
	slot->entry = entry;
	entry->next = *bucket;
	*bucket = entry;
	entry->users = 1;
	cache_keeps(cache, &entry->view, true);
	cache_count(cache, &cache->stats.misses, VMAP_STAT_MISSES);
	return true;
}

/* Take out an entry that nobody uses. */
static void cache_leave(struct vmap_cache *cache, struct cache_entry *entry)
{
	struct cache_entry **at = &cache->buckets[entry->hash & cache->mask];
	uint32_t number = (uint32_t)(entry->handle & UINT32_MAX);
	struct cache_slot *slot = &cache->slots[number];

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	idle_remove(&entry->link);
	slot->entry = NULL;
	slot->next_free = cache->free_slot;
	cache->free_slot = number;
	cache->stats.idle--;
	cache_keeps(cache, &entry->view, false);
	cache_count(cache, &cache->stats.evictions, VMAP_STAT_EVICTIONS);
}

static int by_address(const void *a, const void *b)
{
	const struct cache_entry *const *left = a, *const *right = b;

	return (*left)->view.addr < (*right)->view.addr ? -1 : (*left)->view.addr > (*right)->view.addr;
}

static bool is_neighbour(const struct vmap_cache *cache, const struct cache_entry *left, const struct cache_entry *right)
{
	struct vmap_area_info info;

	return !vmap_area_at(cache->process->space, left->view.addr, &info) &&
	       info.addr + info.size + info.guard == (uintptr_t)right->view.addr;
}

/* End all of them: each row of neighbours with one system call. Without the lock. How many rows there were. */
static size_t batch_end(struct vmap_cache *cache, struct cache_entry **batch, size_t n)
{
	struct vmap_mech *mech = cache->process->views.mech;
	struct vmap_range ranges[BATCH];
	size_t rows = 0;

	qsort(batch, n, sizeof(*batch), by_address);
	for (size_t i = 0, row = 0; i < n; i++) {
		ranges[i] = (struct vmap_range){.addr = (uintptr_t)batch[i]->view.addr, .size = batch[i]->view.size};
		if (i + 1 < n && is_neighbour(cache, batch[i], batch[i + 1]))
			continue;
		if (i > row) {
			mech->ops->unmap_all(mech, ranges + row, i + 1 - row);
			rows++;
		}
		row = i + 1;
	}
	for (size_t i = 0; i < n; i++) {
		vmap_view_end(cache->process, &batch[i]->view);
		free(batch[i]);
	}
	return rows;
}

/* End up to n idle views. How many there were. */
static size_t cache_evict(struct vmap_cache *cache, size_t n)
{
	struct cache_entry *batch[BATCH];
	size_t got = 0, rows;

	pthread_mutex_lock(&cache->lock);
	while (got < n && got < BATCH && cache->idle.newer != &cache->idle) {
		batch[got] = (struct cache_entry *)(void *)cache->idle.newer;
		cache_leave(cache, batch[got++]);
	}
	pthread_mutex_unlock(&cache->lock);
	if (!got)
		return 0;
	rows = batch_end(cache, batch, got);
	pthread_mutex_lock(&cache->lock);
	cache->stats.batches += rows;
	pthread_mutex_unlock(&cache->lock);
	return got;
}

/* A share of the cache, so that room is not made for one view only. */
static bool cache_make_room(struct vmap_cache *cache)
{
	return cache_evict(cache, 1 + cache->views_max / 16) > 0;
}

/* Make the entry's view. What is kept may be in its way. */
static int cache_map(struct vmap_cache *cache, struct cache_entry *entry)
{
	int err;

	do
		err = vmap_view(cache->process, entry->pages, entry->n, &cache->options, &entry->view);
	while ((err == -VMAP_EOVERFLOW || err == -VMAP_ENOSPC || err == -VMAP_ENOMEM) && cache_make_room(cache));
	return err;
}

/* Keep the new entry, or use the one that another thread was faster to make. */
static int cache_add(struct vmap_cache *cache, struct cache_entry *entry, struct vmap_cached *view)
{
	struct cache_entry *other;
	bool entered;

	do {
		pthread_mutex_lock(&cache->lock);
		other = cache_find(cache, entry->hash, entry->pages, entry->n);
		if (other)
			cache_use(cache, other, view);
		entered = !other && cache_enter(cache, entry);
		pthread_mutex_unlock(&cache->lock);
	} while (!other && !entered && cache_make_room(cache));

	if (entered) {
		*view = (struct vmap_cached){.addr = entry->view.addr, .size = entry->view.size, .handle = entry->handle};
		return 0;
	}
	vmap_view_end(cache->process, &entry->view);
	free(entry);
	return other ? 0 : -VMAP_EBUSY;
}

static int cache_miss(struct vmap_cache *cache, uint64_t hash, struct vmap_page *const *pages, size_t n, struct vmap_cached *view)
{
	struct cache_entry *entry;
	int err;

	if (n > (SIZE_MAX - sizeof(*entry)) / sizeof(*pages))
		return -VMAP_ERANGE;
	entry = malloc(sizeof(*entry) + n * sizeof(*pages));
	if (!entry)
		return -VMAP_ENOMEM;
	*entry = (struct cache_entry){.hash = hash, .n = n};
	memcpy(entry->pages, pages, n * sizeof(*pages));
	err = cache_map(cache, entry);
	if (err) {
		free(entry);
		return err;
	}
	return cache_add(cache, entry, view);
}

int vmap_cache_get(struct vmap_cache *cache, struct vmap_page *const *pages, size_t n, struct vmap_cached *view)
{
	struct cache_entry *entry;
	uint64_t hash;

	*view = (struct vmap_cached){0};
	if (!pages || !n)
		return -VMAP_EINVAL;
	hash = cache_hash(pages, n);
	pthread_mutex_lock(&cache->lock);
	entry = cache_find(cache, hash, pages, n);
	if (entry)
		cache_use(cache, entry, view);
	pthread_mutex_unlock(&cache->lock);
	if (!entry) {
		VMAP_PROBE2(cache_miss, pages, n);
		return cache_miss(cache, hash, pages, n, view);
	}
	VMAP_PROBE2(cache_hit, view->addr, view->size);
	return 0;
}

int vmap_cache_again(struct vmap_cache *cache, uint64_t handle, struct vmap_cached *view)
{
	struct cache_entry *entry;

	*view = (struct vmap_cached){0};
	pthread_mutex_lock(&cache->lock);
	entry = cache_slot(cache, handle);
	if (entry)
		cache_use(cache, entry, view);
	pthread_mutex_unlock(&cache->lock);
	if (!entry)
		return -VMAP_ENOENT;
	VMAP_PROBE2(cache_hit, view->addr, view->size);
	return 0;
}

int vmap_cache_put(struct vmap_cache *cache, const struct vmap_cached *view)
{
	struct cache_entry *entry;

	pthread_mutex_lock(&cache->lock);
	entry = cache_slot(cache, view->handle);
	if (entry && !entry->users)
		entry = NULL;
	if (entry && !--entry->users) {
		idle_add(cache, &entry->link);
		cache->stats.idle++;
	}
	pthread_mutex_unlock(&cache->lock);
	return entry ? 0 : -VMAP_ENOENT;
}

void vmap_cache_trim(struct vmap_cache *cache, size_t keep)
{
	struct vmap_cache_stats stats;

	do
		vmap_cache_stats(cache, &stats);
	while (stats.views > keep && cache_evict(cache, stats.views - keep));
}

void vmap_cache_stats(struct vmap_cache *cache, struct vmap_cache_stats *stats)
{
	pthread_mutex_lock(&cache->lock);
	*stats = cache->stats;
	pthread_mutex_unlock(&cache->lock);
}

static void cache_free(struct vmap_cache *cache)
{
	free(cache->slots);
	free(cache->buckets);
	free(cache);
}

int vmap_cache_create(struct vmap_process *process, const struct vmap_cache_config *given, struct vmap_cache **out)
{
	struct vmap_cache_config config = given ? *given : (struct vmap_cache_config){0};
	size_t buckets = 16;
	struct vmap_cache *cache;

	*out = NULL;
	if (!config.views_max)
		config.views_max = VIEWS_DEFAULT;
	if (config.views_max > (size_t)1 << 31)
		return -VMAP_EINVAL;
	while (buckets < config.views_max * 2)
		buckets *= 2;
	cache = calloc(1, sizeof(*cache));
	if (!cache)
		return -VMAP_ENOMEM;
	cache->process = process;
	cache->options = (struct vmap_options){.prot = config.prot, .tag = "cache"};
	cache->views_max = config.views_max;
	cache->mappings_max = config.mappings_max ? config.mappings_max : process->budget.max / 2;
	cache->mask = buckets - 1;
	cache->slots = calloc(cache->views_max, sizeof(*cache->slots));
	cache->buckets = calloc(buckets, sizeof(struct cache_entry *));
	if (!cache->slots || !cache->buckets) {
		cache_free(cache);
		return -VMAP_ENOMEM;
	}
	for (uint32_t i = 0; i < cache->views_max; i++)
		cache->slots[i].next_free = i + 1;
	cache->idle.newer = cache->idle.older = &cache->idle;
	pthread_mutex_init(&cache->lock, NULL);
	*out = cache;
	return 0;
}

int vmap_cache_destroy(struct vmap_cache *cache)
{
	struct vmap_cache_stats stats;

	vmap_cache_stats(cache, &stats);
	if (stats.views != stats.idle)
		return -VMAP_EBUSY;
	vmap_cache_trim(cache, 0);
	pthread_mutex_destroy(&cache->lock);
	cache_free(cache);
	return 0;
}
