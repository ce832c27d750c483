/* SPDX-License-Identifier: MIT */
/*
 * A day in a minute
 *
 * Two threads do random operations for the seconds that are the argument (meson.build: 60), half of them with each kind of guards, as
 * fast as they can: pages of several orders, views of all kinds, some ended by the other thread, some kept in a cache that both use, pages
 * replaced, protections changed, memory given back, in a pool, a space and a budget that are small enough to be used up all the time. Every page has its own stamp at both ends,
 * and whatever is looked at must show the right ones. In the end everything is ended, and nothing may be left: no page, no mapping,
 * nothing waiting, no byte of memory, by the library's statistics and by /proc/self/maps.
 *
 * 24 hours' worth: a view is for what is large and lies in pieces, records and buffers of megabytes. A store that makes, finds, changes or
 * ends ten of those a second, day and night, does 864,000 such operations a day. The test goes on until that many were done,
 * where they are asked for, but not longer than three times the seconds; it prints how many there were, and how many hours of that
 * they are. What a machine gets done in the time is not the test's to judge.
 *
 * usage: soak SECONDS [OPERATIONS]
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vmap/cache.h>
#include <vmap/ram.h>

#define NAME "soak"
#define MIB ((size_t)1 << 20)
#define SPACE (16 * MIB)
#define THREADS 2
#define OWN 256 /* pages of a thread */
#define VIEWS 48 /* views of a thread */
#define SHARED 64 /* pages that only the cache shows */
#define MOST 16 /* pages in a view */
#define PER_DAY 864000u

#define CHECK(what)                                                                                                              \
	do {                                                                                                                     \
		if (!(what)) {                                                                                                   \
			fprintf(stderr, "soak: %s:%d: %s\n", __FILE__, __LINE__, #what);                                         \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

enum kind { NOTHING, VIEW, ALLOCATED, SHORT, KINDS };

/* A view, and what it has to show. */
struct held {
	enum kind kind;
	struct vmap_view view;
	void *addr; /* ALLOCATED, SHORT */
	size_t n;
	uint64_t stamps[2 * MOST];
	size_t sizes[2 * MOST];
	bool may_replace;
};

struct worker {
	pthread_t thread;
	uint64_t random, stamp, operations, refused;
	struct vmap_page *own[OWN];
	struct held held[VIEWS];
};

static struct vmap_process *process;
static struct vmap_space *space;
static struct vmap_cache *cache;
static struct vmap_page *shared[SHARED];
static struct worker workers[THREADS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct held mailbox; /* under the lock */
static size_t page_size;
static int stop; /* atomic */

static size_t pick(struct worker *w, size_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (size_t)(w->random >> 11) % n;
}

static size_t bytes(const struct vmap_page *page)
{
	return page_size << page->order;
}

static void stamp(uint8_t *at, size_t size, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
	memcpy(at + size - sizeof(value), &value, sizeof(value));
}

static uint64_t stamp_of(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t page_stamp(const struct vmap_page *page)
{
	return stamp_of(vmap_page_address(process, page));
}

/* What may be used up here is refused now and then; any other error is a bug. */
static bool worked(struct worker *w, int err)
{
	CHECK(!err || err == -VMAP_ENOMEM || err == -VMAP_ENOSPC || err == -VMAP_EOVERFLOW || err == -VMAP_EBUSY);
	w->refused += err != 0;
	return !err;
}

static void check(const struct held *held)
{
	const uint8_t *at = held->addr;

	for (size_t i = 0; i < held->n; at += held->sizes[i++]) {
		CHECK(stamp_of(at) == held->stamps[i]);
		CHECK(stamp_of(at + held->sizes[i] - sizeof(uint64_t)) == held->stamps[i]);
	}
}

static void end(struct held *held)
{
	check(held);
	switch (held->kind) {
	case VIEW:
		CHECK(!vmap_view_end(process, &held->view));
		break;
	case ALLOCATED:
		CHECK(!vmap_free(space, held->addr));
		break;
	case SHORT:
		CHECK(!vmap_ram_unmap(space, held->addr));
		break;
	default:
		break;
	}
	*held = (struct held){0};
}

/* Pages: a batch of new ones of one order, or some go. */
static void do_pages(struct worker *w)
{
	size_t first = pick(w, OWN - 8), n = 1 + pick(w, 8);
	unsigned order = (unsigned)pick(w, 5);
	struct vmap_page *fresh[8];

	for (size_t i = first; i < first + n; i++) {
		if (w->own[i])
			vmap_page_put(process, &w->own[i], 1);
		w->own[i] = NULL;
	}
	if (!pick(w, 8) || !worked(w, vmap_page_alloc(process, order, n, fresh)))
		return;
	for (size_t i = 0; i < n; i++) {
		w->own[first + i] = fresh[i];
		stamp(vmap_page_address(process, fresh[i]), bytes(fresh[i]), ++w->stamp);
	}
}

/* Some of the thread's pages; how many. */
static size_t choose(struct worker *w, struct vmap_page **pages, struct held *held)
{
	size_t most = 1 + pick(w, MOST), n = 0;

	for (size_t tries = 0; n < most && tries < 4 * MOST; tries++) {
		struct vmap_page *page = w->own[pick(w, OWN)];

		if (!page)
			continue;
		held->stamps[n] = page_stamp(page);
		held->sizes[n] = bytes(page);
		pages[n++] = page;
	}
	held->n = n;
	return n;
}

static int make_view(struct worker *w, struct held *held, struct vmap_page **pages, size_t n)
{
	const struct vmap_options no_guard = {.flags = VMAP_NO_GUARD};
	struct iovec iov[MOST];

	held->kind = VIEW;
	switch (pick(w, 4)) {
	case 0:
		for (size_t i = 0; i < n; i++) {
			held->stamps[n + i] = held->stamps[i];
			held->sizes[n + i] = held->sizes[i];
		}
		held->n = 2 * n;
		return vmap_mirror(process, pages, n, NULL, &held->view);
	case 1:
		for (size_t i = 0; i < n; i++)
			iov[i] = (struct iovec){vmap_page_address(process, pages[i]), bytes(pages[i])};
		return vmap_iov(process, iov, n, NULL, pick(w, 2) ? VMAP_IOV_COPY : 0, &held->view);
	case 2:
		return vmap_view(process, pages, n, &no_guard, &held->view);
	default:
		held->may_replace = true;
		return vmap_view(process, pages, n, NULL, &held->view);
	}
}

static void do_make(struct worker *w, struct held *held)
{
	struct vmap_page *pages[MOST];
	size_t n;
	int err;

	end(held);
	n = choose(w, pages, held);
	if (!n)
		return;
	switch (pick(w, 4)) {
	case 0:
		held->kind = SHORT;
		err = vmap_ram(space, pages, n, 0, VMAP_READ | VMAP_WRITE, &held->addr);
		break;
	case 1:
		held->kind = ALLOCATED;
		held->n = 1;
		held->sizes[0] = (1 + pick(w, 64)) * page_size;
		held->stamps[0] = ++w->stamp;
		err = vmap_alloc(space, held->sizes[0], (unsigned)pick(w, 6), NULL, &held->addr);
		if (!err)
			stamp(held->addr, held->sizes[0], held->stamps[0]);
		break;
	default:
		err = make_view(w, held, pages, n);
		held->addr = held->view.addr;
		break;
	}
	if (!worked(w, err))
		*held = (struct held){0};
	check(held);
}

/* Another page, a protection; a view may have lost the right to be written then, but nobody here writes to one. */
static void do_change(struct worker *w, struct held *held)
{
	size_t at = held->n ? pick(w, held->n) : 0;

	if (held->kind == VIEW && held->may_replace) {
		for (size_t i = 0; i < OWN; i++) {
			struct vmap_page *page = w->own[i];

			if (!page || bytes(page) != held->sizes[at])
				continue;
			if (worked(w, vmap_replace(space, held->addr, at, page)))
				held->stamps[at] = page_stamp(page);
			break;
		}
	} else if (held->kind == ALLOCATED) {
		worked(w, vmap_protect(space, held->addr, page_size, pick(w, 2) ? VMAP_READ : VMAP_READ | VMAP_WRITE));
	}
	check(held);
}

/* Views in a cache, of few pages, so that the other thread wants the same. */
static void do_cache(struct worker *w)
{
	struct vmap_page *pages[4];
	struct vmap_cached view, again;
	size_t n = 1 + pick(w, 4);

	for (size_t i = 0; i < n; i++)
		pages[i] = shared[pick(w, i ? 4 : SHARED)];
	if (!worked(w, vmap_cache_get(cache, pages, n, &view)))
		return;
	for (size_t i = 0; i < n; i++)
		CHECK(stamp_of((uint8_t *)view.addr + i * page_size) == page_stamp(pages[i]));
	CHECK(!vmap_cache_again(cache, view.handle, &again) && again.addr == view.addr);
	CHECK(!vmap_cache_put(cache, &view) && !vmap_cache_put(cache, &again));
	if (!pick(w, 64))
		vmap_cache_trim(cache, pick(w, 64));
}

/* Give a view to the other thread, take what that one gave, and end it. */
static void do_mail(struct worker *w, struct held *held)
{
	struct held got = {0};

	(void)w;
	pthread_mutex_lock(&lock);
	got = mailbox;
	mailbox = *held;
	pthread_mutex_unlock(&lock);
	*held = (struct held){0};
	end(&got);
}

static void do_look(struct worker *w)
{
	struct vmap_process_stats stats;
	struct vmap_area_info info;
	uintptr_t cursor = 0;
	uint64_t value;
	size_t copied;

	vmap_process_stats(process, &stats);
	CHECK(stats.mappings <= stats.mappings_max && stats.pool_pages * page_size <= stats.pool_bytes);
	for (int i = 0; i < 20 && !vmap_area_next(space, &cursor, &info); i++)
		CHECK(info.size && info.addr + info.size <= cursor);
	if (!vmap_area_next(space, &cursor, &info))
		CHECK(!vmap_read(space, &value, (void *)info.addr, sizeof(value), &copied));
	if (!pick(w, 16))
		vmap_process_trim(process, pick(w, 32) * MIB);
	if (!pick(w, 16))
		vmap_purge(space);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); __atomic_add_fetch(&w->operations, 1, __ATOMIC_RELAXED)) {
		struct held *held = &w->held[pick(w, VIEWS)];

		switch (pick(w, 16)) {
		case 0:
		case 1:
			do_pages(w);
			break;
		case 2:
		case 3:
		case 4:
		case 5:
			do_make(w, held);
			break;
		case 6:
			end(held);
			break;
		case 7:
			do_change(w, held);
			break;
		case 8:
			do_mail(w, held);
			break;
		case 9:
			do_look(w);
			break;
		case 10:
		case 11:
		case 12:
			do_cache(w);
			break;
		default:
			check(held);
			break;
		}
	}
	return NULL;
}

/* Lines of /proc/self/maps; those that show the pool's file. */
static size_t mappings(size_t *ours)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	size_t n = 0;

	*ours = 0;
	CHECK(maps);
	for (; fgets(line, sizeof(line), maps); n++)
		*ours += strstr(line, "memfd:" NAME) != NULL;
	fclose(maps);
	return n;
}

static void begin(unsigned guards)
{
	const struct vmap_process_config config = {
		.guards = guards,
		.name = NAME,
		.pool_max = 16 * MIB,
		.space_size = SPACE,
		.mappings_max = 700,
		.lazy_max = 4 * MIB,
	};
	const struct vmap_cache_config kept = {.views_max = 128, .mappings_max = 200};

	CHECK(!vmap_process_create(&config, &process));
	space = vmap_process_space(process);
	CHECK(!vmap_cache_create(process, &kept, &cache));
	CHECK(!vmap_page_alloc(process, 0, SHARED, shared));
	for (size_t i = 0; i < SHARED; i++)
		stamp(vmap_page_address(process, shared[i]), page_size, i + 1);
	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.random = 88172645463325252u + i};
		workers[i].stamp = (i + 1) << 56;
	}
}

static void end_all(void)
{
	for (size_t i = 0; i < THREADS; i++) {
		for (size_t k = 0; k < VIEWS; k++)
			end(&workers[i].held[k]);
		for (size_t k = 0; k < OWN; k++) {
			if (workers[i].own[k])
				vmap_page_put(process, &workers[i].own[k], 1);
		}
	}
	end(&mailbox);
	CHECK(!vmap_cache_destroy(cache));
	vmap_page_put(process, shared, SHARED);
	vmap_process_trim(process, 0);
}

static void check_nothing_is_left(size_t before)
{
	struct vmap_process_stats stats;
	struct vmap_area_info info;
	struct vmap_stats totals;
	uintptr_t cursor = 0;
	size_t ours, now;

	vmap_process_stats(process, &stats);
	CHECK(!stats.pool_pages && !stats.pool_bytes && !stats.mappings);
	vmap_space_stats(space, &totals);
	CHECK(!totals.areas && !totals.mapped && !totals.lazy_areas && !totals.lazy && !totals.pages_held);
	/* Blocks for short-lived maps are kept, empty. */
	CHECK(totals.free + totals.ram + totals.guards == SPACE);
	CHECK(vmap_area_next(space, &cursor, &info) == -VMAP_ENOENT);
	mappings(&ours);
	CHECK(ours == 1); /* the pool itself */
	CHECK(!vmap_process_destroy(process));
	now = mappings(&ours);
	CHECK(!ours);
#ifndef TEST_SANITIZED /* Its shadow is mapped in pieces. */
	/* The threads' stacks and heaps are the C library's. */
	CHECK(now <= before + 64);
#else
	(void)now;
	(void)before;
#endif
}

struct result {
	uint64_t operations, refused, maps, hits, evictions;
};

static uint64_t operations_done(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < THREADS; i++)
		n += __atomic_load_n(&workers[i].operations, __ATOMIC_RELAXED);
	return n;
}

static void run(unsigned seconds, uint64_t operations, unsigned guards, struct result *result)
{
	struct vmap_cache_stats kept;
	struct vmap_stats totals;
	size_t before, ours;

	before = mappings(&ours);
	__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
	begin(guards);
	for (size_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	sleep(seconds);
	for (unsigned more = 0; more < 2 * seconds && operations_done() < operations; more++)
		sleep(1);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		result->operations += workers[i].operations;
		result->refused += workers[i].refused;
	}
	vmap_cache_stats(cache, &kept);
	vmap_space_stats(space, &totals);
	result->maps += totals.maps;
	result->hits += kept.hits;
	result->evictions += kept.evictions;
	end_all();
	check_nothing_is_left(before);
}

int main(int argc, char **argv)
{
	const unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 60;
	const uint64_t operations = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	struct result result = {0};
	time_t start = time(NULL);

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	/* Tests beside this one have limits of time. */
	if (nice(10) < 0)
		fprintf(stderr, "soak: not nice\n");
	run(seconds / 2, operations / 2, VMAP_GUARDS_UNMAPPED, &result);
	run(seconds - seconds / 2, operations - operations / 2, VMAP_GUARDS_MARKED, &result);
	printf("%" PRIu64 " operations in %ld s, %.1f hours at ten a second (a day: %u)\n", result.operations,
	       (long)(time(NULL) - start), (double)result.operations / (PER_DAY / 24.0), PER_DAY);
	printf("%" PRIu64 " views made, %" PRIu64 " found in the cache, %" PRIu64 " evicted, %" PRIu64
	       " operations refused for want of room\n",
	       result.maps, result.hits, result.evictions, result.refused);
	printf("left: 0 pages, 0 mappings, 0 bytes of memory\n");
	fflush(stdout);
	CHECK(result.operations && result.refused && result.maps && result.hits && result.evictions);
	return 0;
}
