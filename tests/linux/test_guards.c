/* SPDX-License-Identifier: MIT */
/*
 * Guards that are marks in the page table, and those that are nothing: accesses fault on both sides of a view, whatever happens to what
 * lies there, and the budget says how many mappings there really are.
 */
#include "support.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <vmap/cache.h>
#include <vmap/view.h>

#define MIB ((size_t)1 << 20)
#define PAGES 64
#define VIEWS 400

static struct vmap_process *process;
static struct vmap_space *space;
static struct vmap_page *pages[PAGES];
static void *views[VIEWS];
static size_t page_size;

static struct vmap_process_stats stats(void)
{
	struct vmap_process_stats s;

	vmap_process_stats(process, &s);
	return s;
}

static void begin(unsigned guards)
{
	const struct vmap_process_config config = {
		.pool_max = 16 * MIB, .space_size = 256 * MIB, .guards = guards, .huge = VMAP_HUGE_NO};

	assert_int_equal(vmap_process_create(&config, &process), 0);
	space = vmap_process_space(process);
	assert_int_equal(vmap_page_alloc(process, 0, PAGES, pages), 0);
	for (size_t i = 0; i < PAGES; i++)
		memset(vmap_page_address(process, pages[i]), (int)i + 1, page_size);
}

static void end(void)
{
	vmap_page_put(process, pages, PAGES);
	assert_int_equal(stats().mappings, 0);
	assert_int_equal(vmap_process_destroy(process), 0);
}

/* Whether this kernel marks guards: asked with a view, the first of which finds out. */
static bool marks(void)
{
	void *view;

	assert_int_equal(vmap_pages(space, pages, 1, NULL, &view), 0);
	assert_int_equal(vmap_unmap(space, view), 0);
	return stats().guards_marked;
}

static void begin_marked(void)
{
	begin(VMAP_GUARDS_MARKED);
	if (!marks()) {
		end();
		skip(); /* Linux before 6.15 */
	}
}

static bool faults(uint8_t *addr, size_t size)
{
	uint8_t byte;

	for (size_t i = 0; i < size; i += page_size) {
		if (try_read(addr + i, &byte) || try_read(addr + i + page_size - 1, &byte) || try_write(addr + i, 1))
			return false;
	}
	return true;
}

static void fork_and_check(uint8_t *view, size_t guard)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child)
		_exit(view[0] == 1 && faults(view + page_size, guard) ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Views that begin with a page whose neighbour in the pool is there and must not be seen. */
static void both_sides(unsigned guards)
{
	static const size_t sizes[] = {0, 1, 2, 15, 16, 17, 40};
	uint8_t *view;

	begin(guards);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct vmap_options options = {.guard = sizes[i] * page_size};
		const size_t guard = sizes[i] ? options.guard : page_size;

		assert_int_equal(vmap_pages(space, pages + 8, 1, NULL, &views[0]), 0);
		assert_int_equal(vmap_pages(space, pages, 1, &options, (void **)&view), 0);
		assert_int_equal(vmap_pages(space, pages + 1, 1, NULL, &views[1]), 0);
		assert_true(faults(view - page_size, page_size));
		assert_true(faults(view + page_size, guard));
		/* Memory that comes and goes in the pool does not show through; nor does a child see it. */
		vmap_process_trim(process, 0);
		assert_true(faults(view + page_size, guard));
		fork_and_check(view, guard);
		assert_int_equal(vmap_unmap(space, views[1]), 0);
		assert_int_equal(view[0], 1);
		assert_true(faults(view + page_size, guard));
		assert_int_equal(vmap_unmap(space, view), 0);
		assert_true(faults(view, page_size + guard));
		assert_int_equal(vmap_unmap(space, views[0]), 0);
	}
	end();
}

static void test_both_sides_unmapped(void **state)
{
	(void)state;
	both_sides(VMAP_GUARDS_UNMAPPED);
}

static void test_both_sides_marked(void **state)
{
	(void)state;
	both_sides(VMAP_GUARDS_MARKED);
}

/* Side by side: as many mappings as views, where guards of nothing cost one more each. */
static void rows(unsigned guards, size_t each)
{
	size_t before, cost;

	before = count_mappings();
	for (size_t i = 0; i < VIEWS; i++)
		assert_int_equal(vmap_pages(space, &pages[i % PAGES], 1, NULL, &views[i]), 0);
	assert_int_equal(vmap_view_mappings(process, views[7], &cost), 0);
	assert_int_equal(cost, each);
	assert_in_range(stats().mappings, VIEWS * each, VIEWS * each + 1);
#ifndef TEST_SANITIZED /* A sanitizer makes mappings of its own. */
	assert_in_range(count_mappings() - before, VIEWS * each - 2, VIEWS * each + 2);
#endif
	for (size_t i = 0; i < VIEWS; i++) {
		assert_int_equal(*(uint8_t *)views[i], i % PAGES + 1);
		assert_true(faults((uint8_t *)views[i] + page_size, page_size));
	}
	/* Every second one goes: the gaps that they leave are mappings, too. */
	for (size_t i = 0; i < VIEWS; i += 2)
		assert_int_equal(vmap_unmap(space, views[i]), 0);
	assert_in_range(stats().mappings, VIEWS - 1, VIEWS + 1);
#ifndef TEST_SANITIZED
	assert_in_range(count_mappings(), before, before + stats().mappings + 2);
#endif
	for (size_t i = 1; i < VIEWS; i += 2)
		assert_int_equal(vmap_unmap(space, views[i]), 0);
	assert_int_equal(stats().mappings, 0);
	assert_int_equal(stats().guards_marked, guards == VMAP_GUARDS_MARKED);
}

static void test_rows_unmapped(void **state)
{
	(void)state;
	begin(VMAP_GUARDS_UNMAPPED);
	rows(VMAP_GUARDS_UNMAPPED, 2);
	end();
}

static void test_rows_marked(void **state)
{
	(void)state;
	begin_marked();
	rows(VMAP_GUARDS_MARKED, 1);
	end();
}

/* Views of all kinds, in random order: never more mappings than were taken, and each guard faults as long as its view is there. */
static void any_order(unsigned guards)
{
	static const size_t sizes[] = {0, 0, 0, 1, 3, 16, 17};
	size_t before, bytes[VIEWS], live = 0;
	struct vmap_page *some[8];

	begin(guards);
	before = count_mappings();
	srand(5);
	for (size_t i = 0; i < 6000; i++) {
		struct vmap_options options = {.guard = sizes[(size_t)rand() % 7] * page_size};
		size_t n = 1 + (size_t)rand() % 8, first = (size_t)rand() % (PAGES - 8), pick = live ? (size_t)rand() % live : 0;

		if (!options.guard && rand() % 2)
			options.flags = VMAP_NO_GUARD;
		if (live == VIEWS || (live && rand() % 5 < 2)) {
			assert_int_equal(vmap_unmap(space, views[pick]), 0);
			views[pick] = views[--live];
			bytes[pick] = bytes[live];
		} else if (live && rand() % 8 == 0) {
			struct vmap_area_info info;

			assert_int_equal(vmap_replace(space, views[pick], bytes[pick] / page_size - 1, pages[first]), 0);
			assert_int_equal(((uint8_t *)views[pick])[bytes[pick] - 1], first + 1);
			assert_int_equal(vmap_area_at(space, views[pick], &info), 0);
			if (info.guard)
				assert_true(faults((uint8_t *)views[pick] + bytes[pick], page_size));
		} else {
			for (size_t k = 0; k < n; k++)
				some[k] = rand() % 4 ? pages[first + k] : pages[rand() % PAGES];
			assert_int_equal(vmap_pages(space, some, n, &options, &views[live]), 0);
			bytes[live++] = n * page_size;
		}
#ifndef TEST_SANITIZED
		if (i % 32 == 0)
			assert_true(count_mappings() <= before + stats().mappings + 2);
#endif
	}
	while (live)
		assert_int_equal(vmap_unmap(space, views[--live]), 0);
#ifndef TEST_SANITIZED
	assert_true(count_mappings() <= before + 2);
#endif
	end();
}

static void test_any_order_unmapped(void **state)
{
	(void)state;
	any_order(VMAP_GUARDS_UNMAPPED);
}

static void test_any_order_marked(void **state)
{
	(void)state;
	any_order(VMAP_GUARDS_MARKED);
}

/* Rows of views that a cache ends with one system call, the last one's guard among them. */
static void test_cache(void **state)
{
	const struct vmap_cache_config config = {.views_max = 64};
	struct vmap_cache_stats kept;
	struct vmap_cached cached;
	struct vmap_cache *cache;

	(void)state;
	begin_marked();
	assert_int_equal(vmap_cache_create(process, &config, &cache), 0);
	for (size_t i = 0; i < 62; i++) {
		assert_int_equal(vmap_cache_get(cache, &pages[i], 2, &cached), 0);
		views[i] = cached.addr;
		assert_int_equal(vmap_cache_put(cache, &cached), 0);
	}
	vmap_cache_trim(cache, 0);
	vmap_cache_stats(cache, &kept);
	assert_true(kept.batches > 0);
	for (size_t i = 0; i < 62; i++)
		assert_true(faults(views[i], 3 * page_size));
	assert_int_equal(stats().mappings, 0);
	assert_int_equal(vmap_cache_destroy(cache), 0);
	end();
}

/* A kernel that refuses (here: locked memory has no marks): guards of nothing from then on, and all the rest as before. */
static int refused(void)
{
	size_t cost;
	uint8_t *view;

	/* Not mlockall(): a sanitizer makes that do nothing. */
	if (syscall(SYS_mlockall, MCL_FUTURE | MCL_ONFAULT))
		return 77;
	if (vmap_pages(space, pages, 2, NULL, (void **)&view) || stats().guards_marked)
		return 1;
	if (view[0] != 1 || view[page_size] != 2 || !faults(view + 2 * page_size, page_size))
		return 2;
	if (vmap_view_mappings(process, view, &cost) || cost != 2 || stats().mappings != 2)
		return 3;
	if (vmap_unmap(space, view) || !faults(view, 3 * page_size) || stats().mappings)
		return 4;
	vmap_page_put(process, pages, PAGES);
	return vmap_process_destroy(process) ? 5 : 0;
}

static void test_refused(void **state)
{
	int status;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		begin(VMAP_GUARDS_MARKED);
		_exit(refused());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* not allowed to lock memory */
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_configuration(void **state)
{
	const struct vmap_process_config bad = {.guards = VMAP_GUARDS_MARKED + 1};

	(void)state;
	assert_int_equal(vmap_process_create(&bad, &process), -VMAP_EINVAL);
	begin(VMAP_GUARDS_UNMAPPED);
	assert_false(marks());
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration),     cmocka_unit_test(test_both_sides_unmapped),
		cmocka_unit_test(test_both_sides_marked), cmocka_unit_test(test_rows_unmapped),
		cmocka_unit_test(test_rows_marked),       cmocka_unit_test(test_any_order_unmapped),
		cmocka_unit_test(test_any_order_marked),  cmocka_unit_test(test_cache),
		cmocka_unit_test(test_refused),
	};

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
