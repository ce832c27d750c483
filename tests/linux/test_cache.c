/* SPDX-License-Identifier: MIT */
/* Views that are kept: found again without a system call, ended in the order of their use, never while somebody uses them. */
#include "support.h"

#include <pthread.h>
#include <vmap/cache.h>

#define PAGES 256

static struct vmap_process *process;
static struct vmap_cache *cache;
static struct vmap_page *pages[PAGES];

static void begin(const struct vmap_process_config *of_process, const struct vmap_cache_config *config)
{
	assert_int_equal(vmap_process_create(of_process, &process), 0);
	assert_int_equal(vmap_page_alloc(process, 0, PAGES, pages), 0);
	for (size_t i = 0; i < PAGES; i++)
		*(uint8_t *)vmap_page_address(process, pages[i]) = (uint8_t)i;
	assert_int_equal(vmap_cache_create(process, config, &cache), 0);
}

static void end(void)
{
	struct vmap_process_stats stats;

	assert_int_equal(vmap_cache_destroy(cache), 0);
	vmap_process_stats(process, &stats);
	assert_int_equal(stats.mappings, 0);
	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(pages[i]->refs, 1);
	vmap_page_put(process, pages, PAGES);
	assert_int_equal(vmap_process_destroy(process), 0);
}

static struct vmap_cache_stats stats(void)
{
	struct vmap_cache_stats s;

	vmap_cache_stats(cache, &s);
	return s;
}

static uint64_t calls(void)
{
	struct vmap_process_stats s;

	vmap_process_stats(process, &s);
	return s.mmaps;
}

static struct vmap_cached get(size_t first, size_t n)
{
	struct vmap_cached view;

	assert_int_equal(vmap_cache_get(cache, pages + first, n, &view), 0);
	assert_int_equal(view.size, n * (size_t)sysconf(_SC_PAGESIZE));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(((uint8_t *)view.addr)[i * (size_t)sysconf(_SC_PAGESIZE)], (uint8_t)(first + i));
	return view;
}

static void put(const struct vmap_cached *view)
{
	assert_int_equal(vmap_cache_put(cache, view), 0);
}

static void test_hits(void **state)
{
	struct vmap_cached one, again, other;
	uint64_t before;

	(void)state;
	begin(NULL, NULL);
	one = get(0, 8);
	put(&one);
	before = calls();
	again = get(0, 8);
	assert_ptr_equal(one.addr, again.addr);
	assert_int_equal(one.handle, again.handle);
	assert_int_equal(vmap_cache_again(cache, one.handle, &other), 0);
	assert_ptr_equal(one.addr, other.addr);
	assert_int_equal(calls(), before);
	assert_int_equal(vmap_cache_destroy(cache), -VMAP_EBUSY);
	put(&again);
	put(&other);
	assert_int_equal(vmap_cache_put(cache, &other), -VMAP_ENOENT);

	/* A part of it, and the same pages in another order, are other views. */
	other = get(0, 7);
	assert_ptr_not_equal(one.addr, other.addr);
	put(&other);
	other = get(1, 7);
	put(&other);
	struct vmap_page *swapped[8];

	memcpy(swapped, pages, sizeof(swapped));
	swapped[0] = pages[1];
	swapped[1] = pages[0];
	assert_int_equal(vmap_cache_get(cache, swapped, 8, &other), 0);
	assert_ptr_not_equal(one.addr, other.addr);
	put(&other);
	assert_int_equal(stats().hits, 2);
	assert_int_equal(stats().misses, 4);
	assert_int_equal(stats().views, 4);
	assert_int_equal(vmap_cache_again(cache, 0, &other), -VMAP_ENOENT);
	assert_int_equal(vmap_cache_again(cache, UINT64_MAX, &other), -VMAP_ENOENT);
	assert_int_equal(vmap_cache_get(cache, pages, 0, &other), -VMAP_EINVAL);
	end();
}

static void test_least_recently_used_go_first(void **state)
{
	const struct vmap_cache_config config = {.views_max = 4};
	struct vmap_cached views[5], again;

	(void)state;
	begin(NULL, &config);
	for (size_t i = 0; i < 4; i++) {
		views[i] = get(i, 2);
		put(&views[i]);
	}
	again = get(0, 2);
	put(&again);
	views[4] = get(4, 2); /* in the place of 1 */
	assert_int_equal(vmap_cache_again(cache, views[1].handle, &again), -VMAP_ENOENT);
	assert_int_equal(vmap_cache_again(cache, views[0].handle, &again), 0);
	put(&again);
	put(&views[4]);
	/* The slot is used again, its handle is not. */
	assert_int_equal(views[4].handle & UINT32_MAX, views[1].handle & UINT32_MAX);
	assert_int_not_equal(views[4].handle, views[1].handle);
	assert_int_equal(stats().evictions, 1);
	assert_int_equal(pages[1]->refs, 2);
	end();
}

static void test_full_of_users(void **state)
{
	const struct vmap_cache_config config = {.views_max = 2};
	struct vmap_cached views[2], third;

	(void)state;
	begin(NULL, &config);
	views[0] = get(0, 1);
	views[1] = get(1, 1);
	assert_int_equal(vmap_cache_get(cache, pages + 2, 1, &third), -VMAP_EBUSY);
	assert_null(third.addr);
	put(&views[0]);
	third = get(2, 1);
	put(&third);
	put(&views[1]);
	vmap_cache_trim(cache, 1);
	assert_int_equal(stats().views, 1);
	end();
}

/* Neither its own share nor the process's budget stops it while there are views that nobody uses. */
static void test_budgets(void **state)
{
	const struct vmap_process_config of_process = {.mappings_max = 40};
	const struct vmap_cache_config shares[] = {{.mappings_max = 10}, {.mappings_max = 100}};
	struct vmap_cached view;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		begin(&of_process, &shares[k]);
		for (size_t i = 0; i + 2 < PAGES; i++) {
			view = get(i, 2);
			put(&view);
			assert_true(stats().mappings <= (k ? 40 : 10));
		}
		assert_int_equal(stats().mappings, stats().views * 2);
		end();
	}
}

/* Views that lie side by side go with one call; what is beside them stays. */
static void test_batches(void **state)
{
	struct vmap_cached views[40], kept;
	uint8_t byte;

	(void)state;
	begin(NULL, NULL);
	for (size_t i = 0; i < 40; i++)
		views[i] = get(3 * i, 3);
	for (size_t i = 0; i < 40; i++) {
		if (i != 20)
			put(&views[i]);
	}
	vmap_cache_trim(cache, 0);
	assert_int_equal(stats().views, 1);
	assert_in_range(stats().batches, 1, 4);
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(try_read(views[i].addr, &byte), i == 20);
	kept = get(60, 3);
	assert_ptr_equal(kept.addr, views[20].addr);
	put(&kept);
	put(&views[20]);
	end();
}

struct worker {
	unsigned seed;
	int errors;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	for (int i = 0; i < 3000; i++) {
		size_t n = 1 + (size_t)rand_r(&w->seed) % 4, first = (size_t)rand_r(&w->seed) % 40;
		struct vmap_cached view;

		if (vmap_cache_get(cache, pages + first, n, &view)) {
			w->errors++;
			continue;
		}
		for (size_t k = 0; k < n; k++)
			w->errors += ((uint8_t *)view.addr)[k * size] != first + k;
		w->errors += vmap_cache_put(cache, &view) != 0;
	}
	return NULL;
}

static void test_threads(void **state)
{
	const struct vmap_cache_config config = {.views_max = 24};
	struct worker workers[4];
	pthread_t threads[4];

	(void)state;
	begin(NULL, &config);
	for (unsigned i = 0; i < 4; i++) {
		workers[i] = (struct worker){.seed = i};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].errors, 0);
	}
	assert_true(stats().evictions > 0);
	assert_int_equal(stats().views, stats().idle);
	end();
}

/* Views of chunks that begin at windows of the page tables have larger guards, and lie side by side as well. */
static void test_batches_of_chunks(void **state)
{
	const unsigned order = (unsigned)__builtin_ctzl(65536 / (size_t)sysconf(_SC_PAGESIZE));
	struct vmap_page *chunks[8];
	struct vmap_cached views[4];

	(void)state;
	begin(NULL, NULL);
	assert_int_equal(vmap_page_alloc(process, order, 8, chunks), 0);
	for (size_t i = 0; i < 4; i++) {
		struct vmap_page *two[] = {chunks[2 * i + 1], chunks[2 * i]};

		assert_int_equal(vmap_cache_get(cache, two, 2, &views[i]), 0);
		assert_int_equal((uintptr_t)views[i].addr % 65536, 0);
	}
	for (size_t i = 0; i < 4; i++)
		put(&views[i]);
	vmap_cache_trim(cache, 0);
	assert_int_equal(stats().views, 0);
	assert_int_equal(stats().batches, 1);
	vmap_page_put(process, chunks, 8);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hits),          cmocka_unit_test(test_least_recently_used_go_first),
		cmocka_unit_test(test_full_of_users), cmocka_unit_test(test_budgets),
		cmocka_unit_test(test_batches),       cmocka_unit_test(test_batches_of_chunks),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
