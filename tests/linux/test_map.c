/* SPDX-License-Identifier: MIT */
/* Views: every byte where it belongs, neighbours in one call, protections and guards that fault, nothing left behind at the limit. */
#include "support.h"

#include <vmap/sparse.h>
#include <sys/mman.h>
#include "linux/process.h"

#define MAX_VIEWS 80000

static struct vmap_process *process;
static struct vmap_space *space;
static size_t page_size;

static struct vmap_page *pages[MAX_VIEWS];
static void *views[MAX_VIEWS];

static int setup(void **state)
{
	(void)state;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (vmap_process_create(NULL, &process))
		return -1;
	space = vmap_process_space(process);
	return 0;
}

/* No budget: what the kernel's own limit does. */
static int setup_unlimited(void **state)
{
	const struct vmap_process_config config = {.mappings_max = SIZE_MAX};

	(void)state;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (vmap_process_create(&config, &process))
		return -1;
	space = vmap_process_space(process);
	return 0;
}

static int setup_unlimited_marked(void **state)
{
	const struct vmap_process_config config = {.mappings_max = SIZE_MAX, .guards = VMAP_GUARDS_MARKED};

	(void)state;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (vmap_process_create(&config, &process))
		return -1;
	space = vmap_process_space(process);
	return 0;
}

/* Every test must give back what it took. */
static int teardown(void **state)
{
	(void)state;
	return vmap_process_destroy(process);
}

static void stats(struct vmap_process_stats *s)
{
	vmap_process_stats(process, s);
}

static size_t bytes(const struct vmap_page *page)
{
	return page_size << page->order;
}

static void alloc(unsigned order, size_t n, struct vmap_page **out)
{
	assert_int_equal(vmap_page_alloc(process, order, n, out), 0);
}

/* Unmapped now, and no byte of it can be reached. */
static void unmap(void *addr, size_t size)
{
	uint8_t byte;

	assert_int_equal(vmap_unmap(space, addr), 0);
	for (size_t i = 0; i < size; i += page_size)
		assert_false(try_read((uint8_t *)addr + i, &byte));
}

/* Pages of mixed orders, some of them twice, each with its own bytes: the view shows them in order, both ways. */
static void test_mixed_orders(void **state)
{
	static const unsigned orders[] = {0, 4, 0, 9, 1, 0, 2, 0};
	const size_t n = sizeof(orders) / sizeof(orders[0]);
	size_t size = 0;
	uint8_t *view, byte, *at;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		alloc(orders[i], 1, &pages[i]);
		memset(vmap_page_address(process, pages[i]), (int)(i + 1), bytes(pages[i]));
	}
	pages[n] = pages[4];
	pages[n + 1] = pages[0];
	for (size_t i = 0; i < n + 2; i++)
		size += bytes(pages[i]);
	assert_int_equal(vmap_pages(space, pages, n + 2, NULL, (void **)&view), 0);

	at = view;
	for (size_t i = 0; i < n + 2; at += bytes(pages[i++])) {
		assert_memory_equal(at, vmap_page_address(process, pages[i]), bytes(pages[i]));
		at[bytes(pages[i]) - 1] ^= 0x80;
	}
	for (size_t i = 0; i < n + 2; i++) {
		const uint8_t *page = vmap_page_address(process, pages[i]);
		bool twice = pages[i] == pages[0] || pages[i] == pages[4];

		assert_int_equal(!(page[bytes(pages[i]) - 1] & 0x80), twice);
	}
	assert_int_equal(at - view, size);
	assert_false(try_read(at, &byte));
	assert_false(try_read(view - 1, &byte));
	unmap(view, size);
	vmap_page_put(process, pages, n);
}

/* mmap() calls and runs that a view of pages[0..n-1] costs. */
static size_t runs_of(size_t n)
{
	struct vmap_process_stats before, after;
	void *view;

	stats(&before);
	assert_int_equal(vmap_pages(space, pages, n, NULL, &view), 0);
	stats(&after);
	assert_int_equal(vmap_unmap(space, view), 0);
	assert_int_equal(after.mmaps - before.mmaps, after.runs - before.runs);
	return (size_t)(after.runs - before.runs);
}

static void test_neighbours_are_one_run(void **state)
{
	(void)state;
	alloc(0, 64, pages);
	assert_int_equal(runs_of(64), 1);
	assert_int_equal(runs_of(1), 1);

	/* Neighbours of different orders are one run as well: a page of order 0 behind an order 6 batch. */
	alloc(6, 1, &pages[64]);
	alloc(3, 1, &pages[65]);
	assert_int_equal(pages[64]->frame, pages[63]->frame + 1);
	assert_int_equal(runs_of(66), 1);

	/* Backwards nothing continues anything; every other one neither. */
	for (size_t i = 0; i < 32; i++) {
		struct vmap_page *page = pages[i];

		pages[i] = pages[63 - i];
		pages[63 - i] = page;
	}
	assert_int_equal(runs_of(64), 64);
	vmap_page_put(process, pages, 66);
}

static void test_protection(void **state)
{
	struct vmap_options read_only = {.prot = VMAP_READ};
	uint8_t *view, byte = 0;

	(void)state;
	alloc(0, 2, pages);
	memset(vmap_page_address(process, pages[0]), 7, 2 * page_size);
	assert_int_equal(vmap_pages(space, pages, 2, &read_only, (void **)&view), 0);
	assert_true(try_read(view + page_size, &byte));
	assert_int_equal(byte, 7);
	assert_false(try_write(view + page_size, 8));
	assert_int_equal(mprotect(view, page_size, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(vmap_protect(space, view, page_size, VMAP_READ | VMAP_WRITE), -VMAP_EACCES);
	assert_false(try_write(view, 8));
	assert_int_equal(*((uint8_t *)vmap_page_address(process, pages[1])), 7);
	unmap(view, 2 * page_size);
	vmap_page_put(process, pages, 2);
}

#if defined(__x86_64__)
/* mov $42, %eax; ret */
static void test_execute(void **state)
{
	static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3};
	struct vmap_options executable = {.prot = VMAP_EXEC};
	void *view;
	int (*function)(void);

	(void)state;
	alloc(0, 1, pages);
	memcpy(vmap_page_address(process, pages[0]), code, sizeof(code));
	assert_int_equal(vmap_pages(space, pages, 1, &executable, &view), 0);
	memcpy(&function, &view, sizeof(function));
	assert_int_equal(function(), 42);
	assert_false(try_write(view, 0));
	unmap(view, page_size);
	vmap_page_put(process, pages, 1);
}
#endif

/* The pages outlive the caller's references as long as the view does. */
static void test_view_keeps_pages(void **state)
{
	struct vmap_process_stats s;
	uint8_t *view;

	(void)state;
	alloc(1, 2, pages);
	assert_int_equal(vmap_pages(space, pages, 2, NULL, (void **)&view), 0);
	vmap_page_put(process, pages, 2);
	view[0] = 1;
	stats(&s);
	assert_int_equal(s.pool_pages, 4);
	unmap(view, 4 * page_size);
	stats(&s);
	assert_int_equal(s.pool_pages, 0);
}

static void test_alloc_and_peak(void **state)
{
	struct vmap_process_stats s;
	uint8_t *view;

	(void)state;
	assert_int_equal(vmap_alloc(space, 100 * page_size + 1, 4, NULL, (void **)&view), 0);
	memset(view, 0xa5, 101 * page_size);
	stats(&s);
	assert_int_equal(s.pool_pages, 101);
	assert_int_equal(s.pool_peak, 101 * page_size);
	assert_int_equal(vmap_free(space, view), 0);
	stats(&s);
	assert_int_equal(s.pool_pages, 0);
	assert_int_equal(s.pool_peak, 101 * page_size);
	assert_true(s.pool_bytes >= s.pool_peak);
}

static size_t map_limit(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	size_t limit = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%zu", &limit), 1);
	fclose(file);
	if (limit >= MAX_VIEWS - 10)
		skip();
	return limit;
}

/* A view of more runs than there can be mappings: an error of its own, and no trace of the thousands that were made. */
static void test_limit_within_a_view(void **state)
{
	size_t n = map_limit() + 1, before;
	struct vmap_stats s;
	void *view = pages;

	(void)state;
	alloc(0, 1, pages);
	for (size_t i = 1; i < n; i++)
		pages[i] = pages[0];
	before = count_mappings();
	assert_int_equal(vmap_pages(space, pages, n, NULL, &view), -VMAP_EOVERFLOW);
	assert_null(view);
	assert_in_range(count_mappings(), before - 2, before + 2);
	vmap_space_stats(space, &s);
	assert_int_equal(s.areas, 0);
	assert_int_equal(s.mapped + s.guards + s.lazy, 0);
	assert_int_equal(pages[0]->refs, 1);
	vmap_page_put(process, pages, 1);
}

/* As many views as there can be, then all of them taken away: at the limit, and from the middle of touching neighbours. */
static void fill_and_empty(const struct vmap_options *options)
{
	size_t before = count_mappings(), n = 0;
	int err = 0;

	alloc(0, 64, pages);
	/* Neighbours in the pool side by side: what the kernel would like to merge. */
	for (; n < MAX_VIEWS && !err; n++)
		err = vmap_pages(space, &pages[n % 64], 1, options, &views[n]);
	assert_int_equal(err, -VMAP_EOVERFLOW);
	n--;
	for (size_t i = 1; i < n; i += 2)
		unmap(views[i], page_size);
	for (size_t i = 0; i < n; i += 2)
		unmap(views[i], page_size);
	assert_in_range(count_mappings(), before - 2, before + 2);
	vmap_page_put(process, pages, 64);
}

static void test_limit_of_views(void **state)
{
	(void)state;
	map_limit();
	fill_and_empty(NULL);
}

static void test_limit_without_guards(void **state)
{
	static const struct vmap_options no_guard = {.flags = VMAP_NO_GUARD};

	(void)state;
	map_limit();
	fill_and_empty(&no_guard);
}

/* At the limit with the ballast's room gone as well: nothing can be mapped, not even PROT_NONE, and still every view ends. */
static void test_unmap_without_any_room(void **state)
{
	static const struct vmap_options no_guard = {.flags = VMAP_NO_GUARD};
	uint8_t *ballast = (uint8_t *)process->views.mech->base - 2 * page_size;
	void *again[32], *area;
	uint8_t byte;
	size_t n = 0;

	(void)state;
	map_limit();
	alloc(0, 32, pages);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(vmap_pages(space, &pages[i], 1, i % 2 ? &no_guard : NULL, &again[i]), 0);
	/* One mapping cut in three; no other page was ever mapped between. */
	assert_int_equal(vmap_sparse(space, 12 * page_size, NULL, &area), 0);
	assert_int_equal(vmap_sparse_map(space, area, pages, 12, 0, 0), 0);
	assert_int_equal(vmap_sparse_unmap(space, (uint8_t *)area + 4 * page_size, page_size), 0);
	assert_int_equal(mprotect(ballast, page_size, PROT_NONE), 0);
	/* Alternating protections, so that the kernel cannot merge them. */
	do
		views[n] = mmap(NULL, page_size, n % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	while (views[n] != MAP_FAILED && ++n < MAX_VIEWS);
	assert_true(n < MAX_VIEWS);

	for (size_t i = 0; i < 32; i++)
		unmap(again[(i * 5) % 32], page_size);
	assert_int_equal(vmap_sparse_unmap(space, area, 5 * page_size), 0);
	assert_false(try_read((uint8_t *)area + 3 * page_size, &byte));
	assert_true(try_read((uint8_t *)area + 5 * page_size, &byte));
	assert_int_equal(vmap_sparse_free(space, area), 0);
	assert_false(try_read((uint8_t *)area + 11 * page_size, &byte));
	while (n)
		munmap(views[--n], page_size);

	/* What stayed behind in the ranges is in nobody's way. */
	assert_int_equal(vmap_pages(space, pages, 32, NULL, &again[0]), 0);
	assert_true(try_write((uint8_t *)again[0] + 31 * page_size, 1));
	unmap(again[0], 32 * page_size);
	vmap_page_put(process, pages, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mixed_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_neighbours_are_one_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protection, setup, teardown),
#if defined(__x86_64__)
		cmocka_unit_test_setup_teardown(test_execute, setup, teardown),
#endif
		cmocka_unit_test_setup_teardown(test_view_keeps_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alloc_and_peak, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_within_a_view, setup_unlimited, teardown),
		cmocka_unit_test_setup_teardown(test_limit_of_views, setup_unlimited, teardown),
		cmocka_unit_test_setup_teardown(test_limit_within_a_view, setup_unlimited_marked, teardown),
		cmocka_unit_test_setup_teardown(test_limit_of_views, setup_unlimited_marked, teardown),
		cmocka_unit_test_setup_teardown(test_limit_without_guards, setup_unlimited, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_without_any_room, setup_unlimited, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_without_any_room, setup_unlimited_marked, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
