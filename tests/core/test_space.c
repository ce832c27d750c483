// SPDX-License-Identifier: MIT
/* Making and ending spaces; a host without a lock; what a failed map hook leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "check.h"
#include "softmmu.h"

#define BASE ((uintptr_t)0x40000000)
#define SIZE ((size_t)1 << 20)
#define PAGE ((size_t)4096)

static struct softmmu *mmu;

static int setup(void **state)
{
	(void)state;
	mmu = softmmu_create(BASE, SIZE, 1024);
	return !mmu;
}

static int teardown(void **state)
{
	(void)state;
	return softmmu_destroy(mmu) != 0;
}

static void check_create(const struct vmap_host *host, uintptr_t base, size_t size, int expected)
{
	struct vmap_space_config config = {.base = base, .size = size};
	struct vmap_space *space = (void *)mmu;

	assert_int_equal(vmap_space_create(host, &config, &space), expected);
	if (expected)
		assert_null(space);
	else
		assert_int_equal(vmap_space_destroy(space), 0);
	assert_int_equal(softmmu_descriptors(mmu), 0);
}

static void ranges_are_checked(void **state)
{
	const struct vmap_host *host = softmmu_host(mmu);
	struct vmap_space *space;

	(void)state;
	check_create(host, BASE, SIZE, 0);
	check_create(host, BASE, PAGE, 0);
	check_create(host, 0, SIZE, -VMAP_EINVAL);
	check_create(host, BASE, 0, -VMAP_EINVAL);
	check_create(host, BASE + 1, SIZE, -VMAP_EINVAL);
	check_create(host, BASE, SIZE + 1, -VMAP_EINVAL);
	check_create(host, UINTPTR_MAX - PAGE + 1, PAGE, -VMAP_EINVAL);
	check_create(host, UINTPTR_MAX - 2 * PAGE + 1, 3 * PAGE, -VMAP_EINVAL);
	check_create(host, UINTPTR_MAX - 2 * PAGE + 1, PAGE, 0);
	assert_int_equal(vmap_space_create(host, NULL, &space), -VMAP_EINVAL);
	assert_int_equal(vmap_space_create(host, &(struct vmap_space_config){.base = BASE, .size = SIZE}, NULL), -VMAP_EINVAL);
	check_create(NULL, BASE, SIZE, -VMAP_EINVAL);
}

#define CHECK_WITHOUT(hook)                                                                                                      \
	do {                                                                                                                     \
		host = *softmmu_host(mmu);                                                                                       \
		host.hook = NULL;                                                                                                \
		check_create(&host, BASE, SIZE, -VMAP_EINVAL);                                                                   \
	} while (0)

static void hosts_are_checked(void **state)
{
	struct vmap_host host;

	(void)state;
	CHECK_WITHOUT(meta_alloc);
	CHECK_WITHOUT(meta_free);
	CHECK_WITHOUT(lock);
	CHECK_WITHOUT(unlock);
	CHECK_WITHOUT(page_get);
	CHECK_WITHOUT(page_put);
	CHECK_WITHOUT(map);
	CHECK_WITHOUT(unmap);
	CHECK_WITHOUT(flush);
	host = *softmmu_host(mmu);
	host.version++;
	check_create(&host, BASE, SIZE, -VMAP_EINVAL);
	host = *softmmu_host(mmu);
	host.page_shift = 11;
	check_create(&host, BASE, SIZE, -VMAP_EINVAL);
	host.page_shift = 31;
	check_create(&host, (uintptr_t)1 << 31, (size_t)1 << 31, -VMAP_EINVAL);
	host.page_shift = 30;
	check_create(&host, (uintptr_t)1 << 30, (size_t)1 << 30, 0);
}

static void a_host_may_have_no_lock_and_no_pages(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = 0};
	struct vmap_host host = *softmmu_host(mmu);
	struct vmap_space *space;
	struct vmap_page *page;
	void *addr;

	(void)state;
	assert_int_equal(host.page_alloc(mmu, 0, 1, &page), 0);
	host.lock = NULL;
	host.unlock = NULL;
	host.page_alloc = NULL;
	assert_int_equal(vmap_space_create(&host, &config, &space), 0);
	assert_int_equal(vmap_alloc(space, PAGE, 0, NULL, &addr), -VMAP_EINVAL);
	assert_null(addr);
	assert_int_equal(vmap_pages(space, &page, 1, NULL, &addr), 0);
	assert_int_equal(vmap_unmap(space, addr), 0);
	assert_int_equal(vmap_space_destroy(space), 0);
	host.page_put(mmu, &page, 1);
}

static void a_host_may_give_any_error(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX};
	struct vmap_space *space;
	struct vmap_range ranges[VMAP_FLUSH_RANGES];
	struct vmap_page *pages[4];
	size_t n;
	void *addr;

	(void)state;
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 0, 4, pages), 0);
	softmmu_inject(mmu, SOFTMMU_MAP, 1, false);
	assert_int_equal(vmap_pages(space, pages, 4, &(struct vmap_options){.flags = VMAP_PUT_PAGES}, &addr), -VMAP_ENOMEM);
	assert_null(addr);
	/* Half of it was mapped for a moment, so it was flushed: the pages can be freed, the addresses used. */
	assert_int_equal(softmmu_flushes(mmu, ranges, &n), 1);
	assert_int_equal(n, 1);
	assert_int_equal(ranges[0].size, 4 * PAGE);
	softmmu_host(mmu)->page_put(mmu, pages, 4);
	assert_int_equal(softmmu_frames_used(mmu), 0);
	assert_null(check_space(space));
	assert_int_equal(vmap_alloc(space, 3 * PAGE, 0, NULL, &addr), 0);
	assert_int_equal(vmap_free(space, addr), 0);
	assert_int_equal(vmap_space_destroy(space), 0);
}

/* Whoever only looks gives nothing back: a fault handler may ask anywhere. */
static void look_at(struct vmap_space *space, const void *addr)
{
	size_t descriptors = softmmu_descriptors(mmu), offset;
	struct vmap_explanation why;
	struct vmap_area_info info;
	struct vmap_stats stats;
	struct vmap_page *page;
	uintptr_t cursor = 0;

	vmap_space_stats(space, &stats);
	assert_int_equal(vmap_area_at(space, addr, &info), 0);
	assert_int_equal(vmap_explain(space, addr, &why), 0);
	assert_int_equal(vmap_page_at(space, addr, &page, &offset), 0);
	assert_int_equal(vmap_area_next(space, &cursor, &info), 0);
	assert_int_equal(softmmu_descriptors(mmu), descriptors);
}

/* What calls that may not give memory back have left over goes in batches, with others that follow. */
static void surplus_descriptors_go_in_batches(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX};
	static void *addrs[SIZE / PAGE / 4];
	struct vmap_space *space;
	struct vmap_page *page;
	size_t before, n = 0;
	void *addr;

	(void)state;
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	for (; n < SIZE / PAGE / 4 - 8; n++)
		assert_int_equal(vmap_alloc(space, PAGE, 0, &(struct vmap_options){.flags = VMAP_NO_GUARD}, &addrs[n]), 0);
	while (n--)
		assert_int_equal(vmap_free(space, addrs[n]), 0);
	vmap_purge(space);
	/* All areas are in the pool, and become one range. */
	assert_int_equal(vmap_sparse(space, SIZE - PAGE, &(struct vmap_options){.flags = VMAP_NOWAIT}, &addr), 0);
	assert_true(space->spares.n > VMAP_SPARES_KEPT + VMAP_SPARES_BATCH);
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 0, 1, &page), 0);
	while (space->spares.n > VMAP_SPARES_KEPT) {
		before = space->spares.n;
		assert_int_equal(vmap_sparse_map(space, addr, &page, 1, 0, 0), 0);
		look_at(space, addr);
		assert_int_equal(vmap_sparse_unmap(space, addr, PAGE), 0);
		vmap_purge(space);
		assert_true(space->spares.n < before && before - space->spares.n <= VMAP_SPARES_BATCH);
	}
	softmmu_host(mmu)->page_put(mmu, &page, 1);
	assert_null(check_space(space));
	assert_int_equal(vmap_sparse_free(space, addr), 0);
	assert_int_equal(vmap_space_destroy(space), 0);
	assert_int_equal(softmmu_descriptors(mmu), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ranges_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(a_host_may_have_no_lock_and_no_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(a_host_may_give_any_error, setup, teardown),
		cmocka_unit_test_setup_teardown(surplus_descriptors_go_in_batches, setup, teardown),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
