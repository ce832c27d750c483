// SPDX-License-Identifier: MIT
/* What changes an area that is in use: who is told so meanwhile, and that nobody goes on using what was there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "check.h"
#include "softmmu.h"

#define BASE ((uintptr_t)0x40000000)
#define PAGE ((size_t)4096)
#define SIZE (64 * PAGE)
#define RW (VMAP_READ | VMAP_WRITE)

static struct softmmu *mmu;
static struct vmap_space *space;
static struct vmap_page *pages[4];
static void *area;

static int setup(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX};

	(void)state;
	mmu = softmmu_create(BASE, SIZE, 128);
	assert_non_null(mmu);
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 1, 4, pages), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vmap_purge(space);
	assert_null(check_space(space));
	softmmu_host(mmu)->page_put(mmu, pages, 4);
	return vmap_space_destroy(space) || softmmu_destroy(mmu);
}

static void check_shows(uintptr_t addr, const struct vmap_page *page)
{
	unsigned char value;
	uint64_t frame;

	for (size_t i = 0; i < 2; i++) {
		softmmu_page_bytes(mmu, page)[i * PAGE] = (unsigned char)(17 * i + page->frame);
		assert_true(softmmu_walk(mmu, addr + i * PAGE, &frame));
		assert_int_equal(frame, page->frame + i);
		for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++) {
			assert_true(softmmu_read(mmu, cpu, addr + i * PAGE, &value));
			assert_int_equal(value, (unsigned char)(17 * i + page->frame));
		}
	}
}

static void check_flushes_are_counted(void)
{
	struct vmap_range ranges[VMAP_FLUSH_RANGES];
	struct vmap_stats stats;
	size_t n;

	vmap_space_stats(space, &stats);
	assert_int_equal(stats.flushes, softmmu_flushes(mmu, ranges, &n));
}

/* During a change of pages: nobody may end or change the area, but for other pages of it. */
static void meanwhile(void *other)
{
	assert_int_equal(vmap_realloc(space, area, PAGE, 0), -VMAP_EBUSY);
	assert_int_equal(vmap_free(space, area), -VMAP_EBUSY);
	assert_int_equal(vmap_free_nowait(space, area), -VMAP_EBUSY);
	assert_int_equal(vmap_protect(space, area, PAGE, VMAP_READ), -VMAP_EBUSY);
	assert_int_equal(vmap_replace(space, area, 0, pages[2]), *(const int *)other);
}

static void a_page_is_replaced(void **state)
{
	int other = 0;

	(void)state;
	assert_int_equal(vmap_alloc(space, 8 * PAGE, 1, NULL, &area), 0);
	softmmu_before_flush(mmu, meanwhile, &other);
	assert_int_equal(vmap_replace(space, area, 1, pages[1]), 0);
	check_shows((uintptr_t)area, pages[2]);
	check_shows((uintptr_t)area + 2 * PAGE, pages[1]);
	assert_int_equal(softmmu_page_refs(mmu, pages[1]), 2);
	assert_int_equal(softmmu_frames_used(mmu), 8 + 4); /* the two that were there are free */
	check_flushes_are_counted();
	assert_int_equal(vmap_free(space, area), 0);
}

static void an_area_that_changes_is_busy(void **state)
{
	int other = -VMAP_EBUSY;

	(void)state;
	assert_int_equal(vmap_alloc(space, 8 * PAGE, 1, NULL, &area), 0);
	softmmu_before_flush(mmu, meanwhile, &other);
	assert_int_equal(vmap_realloc(space, area, 4 * PAGE, 0), 0);
	softmmu_before_flush(mmu, meanwhile, &other);
	assert_int_equal(vmap_protect(space, area, 4 * PAGE, VMAP_READ), 0);
	assert_int_equal(vmap_replace(space, area, 0, pages[2]), 0);
	check_flushes_are_counted();
	assert_int_equal(vmap_free(space, area), 0);
}

/* The host has shown half of the new page for a moment: before the reference goes back, no CPU may remember it. */
static void replacing_fails(void **state)
{
	struct vmap_page *page;

	(void)state;
	assert_int_equal(vmap_pages(space, pages, 3, NULL, &area), 0);
	assert_int_equal(vmap_protect(space, area, 6 * PAGE, RW), 0); /* CPUs have forgotten what was mapped */
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 1, 1, &page), 0);
	softmmu_inject(mmu, SOFTMMU_REPLACE, 1, false);
	assert_int_equal(vmap_replace(space, area, 1, page), -VMAP_ENOMEM);
	assert_int_equal(softmmu_page_refs(mmu, page), 1);
	softmmu_host(mmu)->page_put(mmu, &page, 1);
	assert_int_equal(softmmu_violations(mmu), 0);
	check_shows((uintptr_t)area + 2 * PAGE, pages[1]);
	check_flushes_are_counted();
	assert_int_equal(vmap_replace(space, area, 1, pages[3]), 0);
	check_shows((uintptr_t)area + 2 * PAGE, pages[3]);
	assert_int_equal(vmap_unmap(space, area), 0);
}

/* One page stands in the array twice: what shrinking keeps does not end at the first of the two. */
static void a_page_that_is_there_twice(void **state)
{
	struct vmap_page *first;
	size_t offset;

	(void)state;
	assert_int_equal(vmap_alloc(space, 4 * PAGE, 0, NULL, &area), 0);
	assert_int_equal(vmap_page_at(space, area, &first, &offset), 0);
	assert_int_equal(vmap_replace(space, area, 2, first), 0);
	assert_int_equal(vmap_realloc(space, area, 3 * PAGE, 0), 0);
	for (size_t i = 0; i < 3; i++)
		assert_true(softmmu_write(mmu, 1, (uintptr_t)area + i * PAGE, 1));
	assert_int_equal(softmmu_violations(mmu), 0);
	assert_int_equal(softmmu_page_refs(mmu, first), 2);
	assert_int_equal(vmap_free(space, area), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_page_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(an_area_that_changes_is_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(replacing_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_that_is_there_twice, setup, teardown),
	};

	return cmocka_run_group_tests_name("change", tests, NULL, NULL);
}
