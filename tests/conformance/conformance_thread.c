// SPDX-License-Identifier: MIT
/* Several threads in one space. cmocka's assertions work in the main thread only: workers count what they find wrong. */
#include <pthread.h>
#include <stdatomic.h>
#include "bed.h"

#define SPACE ((size_t)4 << 20)
#define THREADS 4
#define ROUNDS 400

struct worker {
	struct conformance_bed *bed;
	pthread_t thread;
	unsigned number;
	unsigned wrong;
	atomic_bool *stop;
	uintptr_t target;
	struct vmap_page *pages[8];
};

static void start(struct worker *worker, struct conformance_bed *bed, unsigned number, void *(*run)(void *))
{
	worker->bed = bed;
	worker->number = number;
	assert_int_equal(pthread_create(&worker->thread, NULL, run, worker), 0);
}

static void join(struct worker *worker)
{
	assert_int_equal(pthread_join(worker->thread, NULL), 0);
	assert_int_equal(worker->wrong, 0);
}

/* Map n of the worker's own pages, write through the view, find it in the pages, unmap. */
static void map_and_unmap(struct worker *worker, unsigned round)
{
	struct conformance_bed *bed = worker->bed;
	size_t n = 1 + (round + worker->number) % ARRAY_SIZE(worker->pages), at;
	unsigned char mark = (unsigned char)(round * THREADS + worker->number), value;
	struct vmap_options options = {.align = bed->page_size << round % 4, .flags = round % 7 ? 0 : VMAP_SYNC};
	struct vmap_page *page;
	size_t offset;
	void *addr;

	if (vmap_pages(bed->space, worker->pages, n, &options, &addr)) {
		worker->wrong++;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		at = i * bed->page_size + round % bed->page_size;
		worker->wrong += !bed->host->write(bed, (uintptr_t)addr + at, mark);
		worker->wrong += !bed->host->read(bed, (uintptr_t)addr + at, &value) || value != mark;
		worker->wrong += bed->host->page_bytes(bed, worker->pages[i])[round % bed->page_size] != mark;
		worker->wrong += vmap_page_at(bed->space, (char *)addr + at, &page, &offset) || page != worker->pages[i];
	}
	worker->wrong += vmap_unmap(bed->space, addr) != 0;
}

static void alloc_and_free(struct worker *worker, unsigned round)
{
	struct conformance_bed *bed = worker->bed;
	unsigned char value;
	void *addr;

	if (vmap_alloc(bed->space, (1 + round % 20) * bed->page_size, round % 3, NULL, &addr)) {
		worker->wrong++;
		return;
	}
	worker->wrong += !bed->host->write(bed, (uintptr_t)addr, (unsigned char)worker->number);
	worker->wrong += !bed->host->read(bed, (uintptr_t)addr, &value) || value != (unsigned char)worker->number;
	worker->wrong += vmap_free(bed->space, addr) != 0;
}

/* The same for a short time, ended from this thread or left to a purge. */
static void map_for_a_short_time(struct worker *worker, unsigned round)
{
	struct conformance_bed *bed = worker->bed;
	size_t n = 1 + (round * 3 + worker->number) % ARRAY_SIZE(worker->pages);
	unsigned char mark = (unsigned char)(round + worker->number), value;
	void *addr;

	if (vmap_ram(bed->space, worker->pages, n, round % 5 ? 0 : VMAP_NO_GUARD, 0, &addr)) {
		worker->wrong++;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		worker->wrong += !bed->host->write(bed, (uintptr_t)addr + i * bed->page_size, mark);
		worker->wrong += !bed->host->read(bed, (uintptr_t)addr + i * bed->page_size, &value) || value != mark;
		worker->wrong += bed->host->page_bytes(bed, worker->pages[i])[0] != mark;
	}
	worker->wrong += round % 8 ? vmap_ram_unmap(bed->space, addr) != 0 : vmap_ram_unmap_nowait(bed->space, addr) != 0;
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (unsigned round = 0; round < ROUNDS; round++) {
		map_and_unmap(worker, round);
		map_for_a_short_time(worker, round);
		if (round % 4 == 0)
			alloc_and_free(worker, round);
	}
	return NULL;
}

static void *look(void *arg)
{
	struct worker *worker = arg;
	struct vmap_area_info info;
	struct vmap_stats stats;
	uintptr_t cursor, last;

	while (!atomic_load(worker->stop)) {
		vmap_space_stats(worker->bed->space, &stats);
		worker->wrong += stats.mapped + stats.guards + stats.lazy + stats.quarantined + stats.ram + stats.free !=
				 worker->bed->size;
		last = 0;
		for (cursor = 0; !vmap_area_next(worker->bed->space, &cursor, &info); last = info.addr)
			worker->wrong += info.addr <= last || cursor <= info.addr;
		if (worker->number % 2)
			vmap_purge(worker->bed->space);
	}
	return NULL;
}

static void run_together(void **state, size_t lazy_max)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, lazy_max);
	struct worker workers[THREADS] = {0}, lookers[2] = {0};
	atomic_bool stop = false;

	for (unsigned i = 0; i < THREADS; i++)
		bed_pages(bed, 0, ARRAY_SIZE(workers[i].pages), workers[i].pages);
	for (unsigned i = 0; i < 2; i++) {
		lookers[i].stop = &stop;
		start(&lookers[i], bed, i, look);
	}
	for (unsigned i = 0; i < THREADS; i++)
		start(&workers[i], bed, i, work);
	for (unsigned i = 0; i < THREADS; i++)
		join(&workers[i]);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		join(&lookers[i]);
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).free + bed_stats(bed).ram, bed->size);
	assert_int_equal(bed_stats(bed).maps, bed_stats(bed).unmaps);
	for (unsigned i = 0; i < THREADS; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(workers[i].pages); k++)
			assert_int_equal(bed->host->page_refs(bed, workers[i].pages[k]), 1);
		bed_put(bed, workers[i].pages, ARRAY_SIZE(workers[i].pages));
	}
	bed_end(bed);
}

static void threads_share_a_lazy_space(void **state)
{
	run_together(state, (size_t)256 << 10);
}

static void threads_share_a_synchronous_space(void **state)
{
	run_together(state, 0);
}

/* Addresses run out all the time: what others unmapped is taken back, and nobody is refused what would fit. */
static void *work_in_need(void *arg)
{
	struct worker *worker = arg;
	struct conformance_bed *bed = worker->bed;
	void *addr;

	for (unsigned round = 0; round < ROUNDS; round++) {
		if (vmap_pages(bed->space, worker->pages, 3, NULL, &addr)) {
			worker->wrong++;
			continue;
		}
		worker->wrong += !bed->host->write(bed, (uintptr_t)addr, (unsigned char)round);
		worker->wrong += vmap_unmap(bed->space, addr) != 0;
	}
	return NULL;
}

static void threads_in_a_small_space_all_succeed(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)256 << 10, SIZE_MAX);
	struct worker workers[THREADS] = {0};

	for (unsigned i = 0; i < THREADS; i++) {
		bed_pages(bed, 0, 3, workers[i].pages);
		start(&workers[i], bed, i, work_in_need);
	}
	for (unsigned i = 0; i < THREADS; i++)
		join(&workers[i]);
	for (unsigned i = 0; i < THREADS; i++)
		bed_put(bed, workers[i].pages, 3);
	bed_end(bed);
}

/* Each thread alone uses its window: after its own barrier nothing of what it unmapped there waits, whoever flushed it. */
static void *work_behind_barriers(void *arg)
{
	struct worker *worker = arg;
	struct conformance_bed *bed = worker->bed;
	size_t window = bed->size / THREADS;
	struct vmap_options options = {.min = bed->base + worker->number * window};
	struct vmap_area_info info;
	void *addr;

	options.max = options.min + window - 1;
	for (unsigned round = 0; round < ROUNDS; round++) {
		if (vmap_pages(bed->space, worker->pages, 1, &options, &addr)) {
			worker->wrong++;
			continue;
		}
		worker->wrong += vmap_unmap(bed->space, addr) != 0;
		vmap_purge(bed->space);
		worker->wrong += vmap_area_at(bed->space, addr, &info) != -VMAP_ENOENT;
	}
	return NULL;
}

static void a_barrier_covers_what_others_flush(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct worker workers[THREADS] = {0};

	for (unsigned i = 0; i < THREADS; i++) {
		bed_pages(bed, 0, 1, workers[i].pages);
		start(&workers[i], bed, i, work_behind_barriers);
	}
	for (unsigned i = 0; i < THREADS; i++)
		join(&workers[i]);
	for (unsigned i = 0; i < THREADS; i++)
		bed_put(bed, workers[i].pages, 1);
	bed_end(bed);
}

/* Counts the calls that succeeded in target. */
static void *unmap_target(void *arg)
{
	struct worker *worker = arg;
	int err = vmap_unmap(worker->bed->space, bed_ptr(worker->target));

	worker->wrong = err && err != -VMAP_EALREADY;
	worker->target = !err;
	return NULL;
}

static void one_of_two_unmaps_succeeds(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct worker workers[2];
	struct vmap_page *page;
	uintptr_t addr;

	bed_pages(bed, 0, 1, &page);
	for (unsigned round = 0; round < 50; round++) {
		addr = bed_map(bed, &page, 1, NULL);
		for (unsigned i = 0; i < 2; i++) {
			workers[i] = (struct worker){.target = addr};
			start(&workers[i], bed, i, unmap_target);
		}
		join(&workers[0]);
		join(&workers[1]);
		assert_int_equal(workers[0].target + workers[1].target, 1);
	}
	assert_int_equal(bed_stats(bed).unmaps, 50);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

/* Parts of 1 to 4 pages in slots of its own, which lie between those of the others; and in one that all want. */
static void *work_in_a_sparse_area(void *arg)
{
	struct worker *worker = arg;
	struct conformance_bed *bed = worker->bed;
	size_t p = bed->page_size, n;
	unsigned char mark, value;
	uintptr_t at, contested = worker->target + 64 * p;
	int err;

	for (unsigned round = 0; round < ROUNDS; round++) {
		at = worker->target + 4 * p * (worker->number + THREADS * (round % 4));
		n = 1 + round % 4;
		mark = (unsigned char)(round * THREADS + worker->number);
		if (vmap_sparse_map(bed->space, bed_ptr(at), worker->pages, n, 0, 0)) {
			worker->wrong++;
			continue;
		}
		worker->wrong += !bed->host->write(bed, at + (n - 1) * p + 5, mark);
		worker->wrong += bed->host->page_bytes(bed, worker->pages[n - 1])[5] != mark;
		worker->wrong += !bed->host->read(bed, at + (n - 1) * p + 5, &value) || value != mark;
		if (round % 3)
			worker->wrong += vmap_sparse_unmap(bed->space, bed_ptr(at), 4 * p) != 0;
		else
			worker->wrong += vmap_sparse_unmap_nowait(bed->space, bed_ptr(at), 4 * p) != 0;
		err = vmap_sparse_map(bed->space, bed_ptr(contested), worker->pages, 1, 0, 0);
		worker->wrong += err && err != -VMAP_EEXIST && err != -VMAP_EBUSY;
		if (!err)
			worker->wrong += vmap_sparse_unmap(bed->space, bed_ptr(contested), p) != 0;
	}
	return NULL;
}

static void threads_share_a_sparse_area(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 4 * 65536);
	struct worker workers[THREADS] = {0};
	void *addr;

	assert_int_equal(vmap_sparse(bed->space, 65 * bed->page_size, NULL, &addr), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].target = (uintptr_t)addr;
		bed_pages(bed, 0, 4, workers[i].pages);
		start(&workers[i], bed, i, work_in_a_sparse_area);
	}
	for (unsigned i = 0; i < THREADS; i++)
		join(&workers[i]);
	assert_int_equal(bed_stats(bed).mapped, 0);
	assert_int_equal(vmap_sparse_free(bed->space, addr), 0);
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).free, bed->size);
	for (unsigned i = 0; i < THREADS; i++)
		bed_put(bed, workers[i].pages, 4);
	bed_end(bed);
}

const struct CMUnitTest conformance_thread_tests[] = {
	cmocka_unit_test(threads_share_a_lazy_space),
	cmocka_unit_test(threads_share_a_synchronous_space),
	cmocka_unit_test(threads_in_a_small_space_all_succeed),
	cmocka_unit_test(a_barrier_covers_what_others_flush),
	cmocka_unit_test(one_of_two_unmaps_succeeds),
	cmocka_unit_test(threads_share_a_sparse_area),
	CONFORMANCE_END,
};
