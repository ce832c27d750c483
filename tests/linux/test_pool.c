/* SPDX-License-Identifier: MIT */
/* The pool: address order, neighbours, alignment, all or nothing, references, limits, memory that is really there. */
#include "support.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "linux/pool.h"

#define SHIFT 12
#define FRAMES 1000 /* no power of two, less than one growth step... */
#define MANY 100000 /* ...and far more than one */

static struct vmap_page *pages[MANY];

static void make(struct vmap_pool *pool, uint64_t frames)
{
	assert_int_equal(vmap_pool_create(pool, SHIFT, frames, "test", (struct vmap_huge){.kind = VMAP_HUGE_NO}), 0);
}

static size_t used(struct vmap_pool *pool)
{
	struct vmap_process_stats stats;

	vmap_pool_stats(pool, &stats);
	return stats.pool_pages;
}

static void test_neighbours(void **state)
{
	struct vmap_pool pool;

	(void)state;
	make(&pool, FRAMES);
	assert_int_equal(vmap_pool_alloc(&pool, 0, 16, pages), 0);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(pages[i]->frame, i);

	/* Holes in front: a batch still comes as one run behind them, a single page fills the lowest hole. */
	for (size_t i = 1; i < 16; i += 2)
		vmap_pool_put(&pool, &pages[i], 1);
	assert_int_equal(vmap_pool_alloc(&pool, 0, 5, pages + 16), 0);
	for (size_t i = 17; i < 21; i++)
		assert_int_equal(pages[i]->frame, pages[i - 1]->frame + 1);
	assert_true(pages[16]->frame >= 16);
	assert_int_equal(vmap_pool_alloc(&pool, 0, 1, pages + 21), 0);
	assert_int_equal(pages[21]->frame, 1);
	vmap_pool_destroy(&pool);
}

static void test_orders_are_aligned(void **state)
{
	struct vmap_pool pool;

	(void)state;
	make(&pool, FRAMES);
	for (unsigned order = 0; order < 8; order++) {
		assert_int_equal(vmap_pool_alloc(&pool, order, 2, pages + 2 * order), 0);
		for (unsigned i = 2 * order; i < 2 * order + 2; i++) {
			assert_int_equal(pages[i]->order, order);
			assert_int_equal(pages[i]->refs, 1);
			assert_int_equal(pages[i]->frame & ((1u << order) - 1), 0);
			memset(pool.memory + (pages[i]->frame << SHIFT), (int)i, (size_t)1 << (SHIFT + order));
		}
	}
	/* No two overlap. */
	for (unsigned i = 0; i < 16; i++) {
		uint8_t *first = pool.memory + (pages[i]->frame << SHIFT);
		size_t size = (size_t)1 << (SHIFT + pages[i]->order);

		assert_int_equal(first[0], i);
		assert_memory_equal(first, first + 1, size - 1);
	}
	vmap_pool_destroy(&pool);
}

static void test_whole_pool_and_nothing_more(void **state)
{
	struct vmap_process_stats stats;
	struct vmap_pool pool;

	(void)state;
	make(&pool, FRAMES);
	assert_int_equal(vmap_pool_alloc(&pool, 0, FRAMES + 1, pages), -VMAP_ENOMEM);
	assert_int_equal(used(&pool), 0);
	assert_int_equal(vmap_pool_alloc(&pool, 0, FRAMES, pages), 0);
	for (size_t i = 0; i < FRAMES; i++)
		assert_int_equal(pages[i]->frame, i);
	assert_int_equal(vmap_pool_alloc(&pool, 0, 1, pages + FRAMES), -VMAP_ENOMEM);

	/* Enough pages, but no two together: what was taken on the way to the failure is given back. */
	for (size_t i = 0; i < FRAMES; i += 2)
		vmap_pool_put(&pool, &pages[i], 1);
	assert_int_equal(vmap_pool_alloc(&pool, 1, 1, pages + FRAMES), -VMAP_ENOMEM);
	vmap_pool_put(&pool, &pages[1], 1);
	assert_int_equal(vmap_pool_alloc(&pool, 1, 2, pages + FRAMES), -VMAP_ENOMEM);
	assert_int_equal(used(&pool), FRAMES / 2 - 1);
	assert_int_equal(vmap_pool_alloc(&pool, 1, 1, pages + FRAMES), 0);
	assert_int_equal(pages[FRAMES]->frame, 0);

	vmap_pool_stats(&pool, &stats);
	assert_int_equal(stats.pool_peak, (size_t)FRAMES << SHIFT);
	assert_int_equal(stats.pool_bytes, (size_t)FRAMES << SHIFT);
	vmap_pool_destroy(&pool);
}

static void test_bad_calls(void **state)
{
	char name[400];
	struct vmap_pool pool;

	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(vmap_pool_create(&pool, SHIFT, FRAMES, name, (struct vmap_huge){.kind = VMAP_HUGE_NO}), -VMAP_EINVAL);
	make(&pool, FRAMES);
	assert_int_equal(vmap_pool_alloc(&pool, 0, 0, pages), -VMAP_EINVAL);
	assert_int_equal(vmap_pool_alloc(&pool, VMAP_MAX_ORDER + 1, 1, pages), -VMAP_EINVAL);
	assert_int_equal(vmap_pool_alloc(&pool, VMAP_MAX_ORDER, 1, pages), -VMAP_ENOMEM);
	assert_int_equal(vmap_pool_alloc(&pool, 0, SIZE_MAX, pages), -VMAP_ENOMEM);
	vmap_pool_destroy(&pool);
}

static void test_references(void **state)
{
	struct vmap_page *twice[2];
	struct vmap_pool pool;

	(void)state;
	make(&pool, FRAMES);
	assert_int_equal(vmap_pool_alloc(&pool, 3, 1, pages), 0);
	twice[0] = twice[1] = pages[0];
	vmap_pool_get(twice, 2);
	assert_int_equal(pages[0]->refs, 3);
	vmap_pool_put(&pool, twice, 2);
	assert_int_equal(used(&pool), 8);
	vmap_pool_put(&pool, pages, 1);
	assert_int_equal(used(&pool), 0);
	vmap_pool_destroy(&pool);
}

/* Fragmented for good: the pool may grow for longer runs, but not for ever. */
static void test_footprint(void **state)
{
	struct vmap_process_stats stats;
	struct vmap_pool pool;
	size_t n = 0;

	(void)state;
	make(&pool, MANY);
	for (size_t round = 0; round < 4000; round++) {
		assert_int_equal(vmap_pool_alloc(&pool, 0, 16, pages + n), 0);
		/* Only one page in sixteen stays. */
		vmap_pool_put(&pool, pages + n + 1, 15);
		n++;
	}
	vmap_pool_stats(&pool, &stats);
	assert_int_equal(stats.pool_pages, 4000);
	assert_true(stats.pool_bytes <= (size_t)4000 * 3 << SHIFT);
	vmap_pool_destroy(&pool);
}

/* RLIMIT_FSIZE would kill the process where the memfd crosses it: the pool must end in front of it. */
static void test_file_size_limit(void **state)
{
	int status;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct rlimit limit = {.rlim_cur = 64 << SHIFT, .rlim_max = RLIM_INFINITY};
		struct vmap_pool pool;
		int err;

		setrlimit(RLIMIT_FSIZE, &limit);
		if (vmap_pool_create(&pool, SHIFT, FRAMES, "test", (struct vmap_huge){.kind = VMAP_HUGE_NO}))
			_exit(1);
		err = vmap_pool_alloc(&pool, 0, 64, pages);
		if (err)
			_exit(2);
		_exit(vmap_pool_alloc(&pool, 0, 1, pages) == -VMAP_ENOMEM ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_orders_are_aligned),
		cmocka_unit_test(test_whole_pool_and_nothing_more),
		cmocka_unit_test(test_bad_calls),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_footprint),
		cmocka_unit_test(test_file_size_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
