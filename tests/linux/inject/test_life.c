/* SPDX-License-Identifier: MIT */
/*
 * Each system call and each allocation of a life of the host fails: once, and from there on for good. Whatever the operations make of it,
 * nothing is left behind: no page, no mapping, no descriptor, and what did succeed shows the right bytes. The linker puts our functions
 * (--wrap) between the library and the system.
 */
#include "support.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <vmap/cache.h>
#include "inject.h"

static size_t page_size;

static void check(const uint8_t *at, struct vmap_process *process, struct vmap_page *const *pages, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_memory_equal(at + i * page_size, vmap_page_address(process, pages[i]), page_size);
}

static void use_cache(struct vmap_process *process, struct vmap_page *const *pages)
{
	struct vmap_cached cached;
	struct vmap_cache *cache;

	if (vmap_cache_create(process, NULL, &cache))
		return;
	for (size_t i = 0; i < 3; i++) {
		if (vmap_cache_get(cache, pages + i, 2, &cached))
			continue;
		check(cached.addr, process, pages + i, 2);
		assert_int_equal(vmap_cache_put(cache, &cached), 0);
	}
	assert_int_equal(vmap_cache_destroy(cache), 0);
}

static void use_views(struct vmap_process *process, struct vmap_page *const *pages)
{
	struct vmap_page *some[] = {pages[4], pages[1], pages[7]};
	const struct iovec iov[] = {{vmap_page_address(process, pages[5]), page_size},
				    {vmap_page_address(process, pages[2]), 100}};
	struct vmap_view view;

	if (!vmap_view(process, some, 3, NULL, &view)) {
		check(view.addr, process, some, 3);
		if (!vmap_replace(vmap_process_space(process), view.addr, 1, pages[6]))
			some[1] = pages[6];
		check(view.addr, process, some, 3);
		assert_int_equal(vmap_view_end(process, &view), 0);
	}
	if (!vmap_mirror(process, some, 3, NULL, &view))
		assert_int_equal(vmap_view_end(process, &view), 0);
	if (!vmap_iov(process, iov, 2, NULL, VMAP_IOV_COPY, &view)) {
		assert_memory_equal(view.addr, iov[0].iov_base, page_size);
		assert_int_equal(vmap_view_end(process, &view), 0);
	}
}

static void life(void)
{
	struct vmap_process *process;
	struct vmap_page *pages[8];
	struct vmap_process_stats stats;

	if (vmap_process_create(NULL, &process))
		return;
	if (!vmap_page_alloc(process, 0, 8, pages)) {
		for (size_t i = 0; i < 8; i++)
			memset(vmap_page_address(process, pages[i]), (int)i + 1, page_size);
		use_views(process, pages);
		use_cache(process, pages);
		for (size_t i = 0; i < 8; i++)
			assert_int_equal(pages[i]->refs, 1);
		vmap_page_put(process, pages, 8);
	}
	vmap_process_trim(process, 0);
	vmap_process_stats(process, &stats);
	assert_int_equal(stats.mappings, 0);
	assert_int_equal(stats.pool_pages, 0);
	assert_int_equal(vmap_process_destroy(process), 0);
}

/* What the kernel has refused to take back, and is still to be asked for. */
static size_t unreturned(void)
{
	struct vmap_process *process;
	struct vmap_process_stats stats;

	assert_int_equal(vmap_process_create(NULL, &process), 0);
	vmap_process_stats(process, &stats);
	assert_int_equal(vmap_process_destroy(process), 0);
	return stats.unreturned;
}

static int next_descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void fail_each(enum inject_mode mode)
{
	const int fd = next_descriptor();
	size_t all, mappings;

	life();
	inject_arm(0, mode);
	life();
	all = inject_disarm();
	assert_true(all > 60);
	mappings = count_mappings();
	for (size_t at = 1; at <= all; at++) {
		inject_arm(at, mode);
		life();
		inject_disarm();
		assert_int_equal(next_descriptor(), fd);
	}
	life();
	assert_int_equal(unreturned(), 0);
	/* A sanitizer's own mappings may grow a little. */
	assert_in_range(count_mappings(), 1, mappings + 8);
}

static void test_once(void **state)
{
	(void)state;
	fail_each(INJECT_ONCE);
}

static void test_for_good(void **state)
{
	(void)state;
	fail_each(INJECT_ALL);
}

/* In a child that was to have nothing of the object something else may lie where its parent could not unmap it. */
static bool child_keeps(uint8_t *at)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		bool mapped = mmap(at, page_size, PROT_READ | PROT_WRITE, flags, -1, 0) == at;

		if (mapped)
			*at = 7;
		_exit(!mapped || unreturned() || *at != 7);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return !status;
}

static void test_not_for_children(void **state)
{
	const struct vmap_process_config config = {.fork = VMAP_FORK_DONT};
	struct vmap_process *process;
	struct vmap_page *page;
	uint8_t *memory;

	(void)state;
	assert_int_equal(vmap_process_create(&config, &process), 0);
	assert_int_equal(vmap_page_alloc(process, 0, 1, &page), 0);
	memory = vmap_page_address(process, page);
	vmap_page_put(process, &page, 1);
	inject_arm(1, INJECT_ENDS);
	assert_int_equal(vmap_process_destroy(process), 0);
	inject_disarm();
	assert_true(child_keeps(memory));
	assert_int_equal(unreturned(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_once), cmocka_unit_test(test_for_good),
					   cmocka_unit_test(test_not_for_children)};

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
