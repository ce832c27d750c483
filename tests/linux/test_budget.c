/* SPDX-License-Identifier: MIT */
/* The budget of mappings: it covers what views really cost, ends before the kernel's limit, and leaves the rest of the process its room. */
#include "support.h"

#include <pthread.h>
#include <vmap/sparse.h>
#include "linux/budget.h"

#define MAX_VIEWS 80000

static struct vmap_process *process;
static struct vmap_space *space;
static struct vmap_page *pages[64];
static void *views[MAX_VIEWS];

static void begin(const struct vmap_process_config *config)
{
	assert_int_equal(vmap_process_create(config, &process), 0);
	space = vmap_process_space(process);
	assert_int_equal(vmap_page_alloc(process, 0, 64, pages), 0);
}

static void end(void)
{
	vmap_page_put(process, pages, 64);
	assert_int_equal(vmap_process_destroy(process), 0);
}

static struct vmap_process_stats stats(void)
{
	struct vmap_process_stats s;

	vmap_process_stats(process, &s);
	return s;
}

/* Views until the first error, which must be the budget's. */
static size_t fill(void)
{
	size_t n = 0;
	int err = 0;

	for (; !err && n < MAX_VIEWS; n++)
		err = vmap_pages(space, &pages[n % 64], 1, NULL, &views[n]);
	assert_int_equal(err, -VMAP_EOVERFLOW);
	return n - 1;
}

static void empty(size_t n)
{
	while (n)
		assert_int_equal(vmap_unmap(space, views[--n]), 0);
}

static void test_reads_the_system(void **state)
{
	struct vmap_budget budget;
	size_t now = count_mappings();

	(void)state;
	assert_in_range(vmap_budget_count(), now - 2, now + 2);
	vmap_budget_init(&budget, 0, 0, 0);
	assert_int_equal(budget.max, budget.kernel_max - budget.at_start - budget.kernel_max / 3);
	vmap_budget_init(&budget, 0, 1000, 2);
	assert_int_equal(budget.max, budget.kernel_max - budget.at_start - 1000);
	vmap_budget_init(&budget, 0, SIZE_MAX, 0);
	assert_int_equal(budget.max, 0);
	assert_false(vmap_budget_take(&budget, 1));
	vmap_budget_init(&budget, 7, 0, 0);
	assert_int_equal(budget.max, 7);
	assert_true(vmap_budget_take(&budget, 5));
	assert_false(vmap_budget_take(&budget, 3));
	assert_true(vmap_budget_take(&budget, 2));
	assert_false(vmap_budget_take(&budget, SIZE_MAX));
	vmap_budget_give(&budget, 7);
	assert_int_equal(budget.used, 0);
}

/* Views of random runs, with and without guards, in random order: never more mappings than were taken from the budget. */
static void test_covers_the_cost(void **state)
{
	const struct vmap_options no_guard = {.flags = VMAP_NO_GUARD};
	struct vmap_page *some[16];
	size_t before, live = 0, cost;

	(void)state;
	begin(NULL);
	before = count_mappings();
	srand(3);
	for (size_t i = 0; i < 3000; i++) {
		size_t n = 1 + (size_t)rand() % 16, first = (size_t)rand() % 48;

		if (live == 200 || (live && rand() % 3 == 0)) {
			size_t pick = (size_t)rand() % live;

			assert_int_equal(vmap_unmap(space, views[pick]), 0);
			views[pick] = views[--live];
		} else {
			for (size_t k = 0; k < n; k++)
				some[k] = rand() % 4 ? pages[first + k] : pages[rand() % 64];
			assert_int_equal(vmap_pages(space, some, n, rand() % 2 ? &no_guard : NULL, &views[live]), 0);
			assert_int_equal(vmap_view_mappings(process, views[live], &cost), 0);
			assert_in_range(cost, 2, n + 1);
			live++;
		}
#ifndef TEST_SANITIZED /* A sanitizer makes mappings of its own as it goes. */
		if (i % 16 == 0)
			assert_true(count_mappings() <= before + stats().mappings + 2);
#endif
	}
	assert_true(count_mappings() >= before);
	empty(live);
	assert_int_equal(stats().mappings, 0);
	assert_int_equal(vmap_view_mappings(process, views[0], &cost), -VMAP_ENOENT);
	assert_int_equal(cost, 0);
	end();
}

/* Parts of a sparse area, mapped, cut and unmapped at random: what the kernel has never exceeds what was paid for, nor do pieces pay twice. */
static void test_covers_cuts(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), slots = 256;
	struct vmap_page *some[8];
	size_t before, cost;
	void *area;

	(void)state;
	begin(NULL);
	assert_int_equal(vmap_sparse(space, slots * page, NULL, &area), 0);
	before = count_mappings();
	srand(5);
	for (size_t i = 0; i < 4000; i++) {
		size_t n = 1 + (size_t)rand() % 8, at = (size_t)rand() % (slots - 8), first = (size_t)rand() % 56;
		uint8_t *where = (uint8_t *)area + at * page;
		struct vmap_page *shown;
		size_t offset;

		for (size_t k = 0; k < n; k++)
			some[k] = rand() % 4 ? pages[first + k] : pages[rand() % 64];
		if (rand() % 2)
			vmap_sparse_map(space, where, some, n, 0, 0);
		else
			vmap_sparse_unmap(space, where, n * page);
		if (!vmap_page_at(space, where, &shown, &offset)) {
			if (rand() % 8 == 0)
				vmap_replace(space, where, 0, pages[first]);
			assert_int_equal(vmap_page_at(space, where, &shown, &offset), 0);
			*(volatile uint8_t *)vmap_page_address(process, shown) = (uint8_t)i;
			assert_int_equal(*(volatile uint8_t *)where, (uint8_t)i);
		}
		assert_int_equal(vmap_view_mappings(process, area, &cost), 0);
		assert_true(cost > 0 && cost <= 3 * slots);
#ifndef TEST_SANITIZED
		if (i % 16 == 0)
			assert_true(count_mappings() <= before + stats().mappings + 2);
#endif
	}
	assert_int_equal(vmap_sparse_free(space, area), 0);
	assert_int_equal(stats().mappings, 0);
	assert_int_equal(stats().views, 0);
	assert_int_equal(stats().fragments, 0);
	assert_int_equal(stats().aliased, 0);
	end();
}

/* Cutting is refused before it costs too much, and then nothing has changed; what needs no cut goes on. */
static void test_cuts_are_paid_for(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct vmap_process_config config = {.mappings_max = 3};
	uint8_t *at, byte;
	void *area;

	(void)state;
	begin(&config);
	assert_int_equal(vmap_sparse(space, 64 * page, NULL, &area), 0);
	at = area;
	assert_int_equal(vmap_sparse_map(space, at, pages, 64, 0, 0), 0);
	assert_int_equal(stats().mappings, 2);
	assert_int_equal(vmap_sparse_unmap(space, at + 40 * page, 24 * page), 0);
	assert_int_equal(stats().mappings, 2);
	assert_int_equal(vmap_sparse_unmap(space, at + 10 * page, page), -VMAP_EOVERFLOW);
	assert_true(try_read(at + 10 * page, &byte));
	assert_int_equal(vmap_sparse_unmap(space, at, page), 0);
	assert_int_equal(vmap_sparse_unmap(space, at, 64 * page), 0);
	assert_false(try_read(at + 10 * page, &byte));
	assert_int_equal(stats().mappings, 0);
	assert_int_equal(vmap_sparse_free(space, area), 0);
	end();
}

static void test_exact(void **state)
{
	struct vmap_process_config config = {.mappings_max = 10};
	struct vmap_page *scattered[9];
	void *view;

	(void)state;
	begin(&config);
	for (size_t i = 0; i < 9; i++)
		scattered[i] = pages[2 * i];
	assert_int_equal(stats().mappings_max, 10);
	assert_int_equal(vmap_pages(space, scattered, 9, NULL, &view), 0);
	assert_int_equal(stats().mappings, 10);
	assert_int_equal(vmap_pages(space, pages, 1, NULL, &views[0]), -VMAP_EOVERFLOW);
	assert_int_equal(vmap_unmap(space, view), 0);
	/* Neighbours are one run: the whole pool costs as much as one page. */
	assert_int_equal(vmap_pages(space, pages, 64, NULL, &view), 0);
	assert_int_equal(stats().mappings, 2);
	assert_int_equal(vmap_unmap(space, view), 0);
	assert_int_equal(stats().mappings, 0);
	assert_int_equal(fill(), 5);
	empty(5);
	end();
}

static void *nothing(void *arg)
{
	return arg;
}

/* Where the budget is used up everybody else still has a third of all mappings. */
static void test_others_work_at_the_limit(void **state)
{
	pthread_t threads[64];
	size_t n, limit;
	void *large[64];
	FILE *file;

	(void)state;
	begin(NULL);
	limit = stats().mappings_max;
	n = fill();
	assert_in_range(stats().mappings, limit - 1, limit);
	for (size_t i = 0; i < 64; i++) {
		large[i] = malloc(1 << 20);
		assert_non_null(large[i]);
		memset(large[i], 1, 1 << 20);
		assert_int_equal(pthread_create(&threads[i], NULL, nothing, NULL), 0);
	}
	file = fopen("/proc/self/status", "r");
	assert_non_null(file);
	assert_int_not_equal(getc(file), EOF);
	fclose(file);
	for (size_t i = 0; i < 64; i++) {
		pthread_join(threads[i], NULL);
		free(large[i]);
	}
	empty(n);
	assert_int_equal(stats().mappings, 0);
	end();
}

/* Make a view of the first n pages, look at it, end it. Where it was. */
static void *use(size_t n)
{
	void *view;
	uint8_t value;

	assert_int_equal(vmap_pages(space, pages, n, NULL, &view), 0);
	assert_true(try_read(view, &value));
	assert_int_equal(vmap_unmap(space, view), 0);
	assert_false(try_read(view, &value));
	return view;
}

/* Views that come and go at one place may leave two mappings there, which the budget keeps aside; until one comes elsewhere. */
static void keep_a_place(unsigned guards)
{
	const struct vmap_process_config config = {.mappings_max = 4, .guards = guards};
	void *place, *live, *other;
	size_t before;
	uint8_t value;

	begin(&config);
	place = use(1);
	before = count_mappings();
	for (size_t i = 0; i < 10; i++)
		assert_ptr_equal(use(1), place);
	assert_in_range(count_mappings(), before, before + 2);
	use(3);
	assert_int_equal(count_mappings(), before);

	/* Another one lives meanwhile, and takes the budget that the view at this place would need. */
	assert_int_equal(vmap_pages(space, pages, 2, NULL, &live), 0);
	place = use(1);
	for (size_t i = 0; i < 10; i++)
		assert_ptr_equal(use(1), place);
	assert_int_equal(vmap_replace(space, live, 1, pages[4]), 0);
	assert_int_equal(stats().mappings_left, 0);
	assert_int_equal(vmap_pages(space, pages, 1, NULL, &other), -VMAP_EOVERFLOW);
	assert_false(try_read(place, &value));
	assert_int_equal(vmap_unmap(space, live), 0);
	use(1);
	use(3);
	assert_int_equal(stats().mappings, 0);

	/* A view that is live where one was parked is no place that is given up. */
	for (size_t i = 0; i < 10; i++)
		place = use(1);
	assert_int_equal(vmap_pages(space, pages, 1, NULL, &live), 0);
	assert_ptr_equal(live, place);
	use(1);
	use(1);
	assert_true(try_read(live, &value));
	assert_int_equal(vmap_unmap(space, live), 0);
	end();
}

static void test_keeps_a_place(void **state)
{
	(void)state;
	keep_a_place(VMAP_GUARDS_UNMAPPED);
	keep_a_place(VMAP_GUARDS_MARKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_the_system),
		cmocka_unit_test(test_covers_the_cost),
		cmocka_unit_test(test_covers_cuts),
		cmocka_unit_test(test_cuts_are_paid_for),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_keeps_a_place),
		cmocka_unit_test(test_others_work_at_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
