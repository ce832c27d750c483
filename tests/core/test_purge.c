// SPDX-License-Identifier: MIT
/* Purging: which ranges are flushed, and what happens to areas while another thread flushes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "check.h"
#include "purge.h"
#include "softmmu.h"

#define BASE ((uintptr_t)0x40000000)
#define SIZE ((size_t)4 << 20)
#define PAGE ((size_t)4096)

struct bed {
	struct softmmu *mmu;
	struct vmap_space *space;
	void *addr;
	void *others[VMAP_FLUSH_RANGES + 8];
};

static void begin(struct bed *bed, size_t lazy_max, size_t frames)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = lazy_max};

	bed->mmu = softmmu_create(BASE, SIZE, frames);
	assert_non_null(bed->mmu);
	assert_int_equal(vmap_space_create(softmmu_host(bed->mmu), &config, &bed->space), 0);
}

/* Let the next flush hook do, before it flushes, what another thread might do at that moment. */
static void meanwhile(struct bed *bed, void (*run)(void *bed))
{
	softmmu_before_flush(bed->mmu, run, bed);
}

static void finish(struct bed *bed)
{
	assert_int_equal(vmap_space_destroy(bed->space), 0);
	assert_int_equal(softmmu_destroy(bed->mmu), 0);
}

static void *alloc(struct bed *bed, size_t pages)
{
	void *addr;

	assert_int_equal(vmap_alloc(bed->space, pages * PAGE, 0, NULL, &addr), 0);
	return addr;
}

static struct vmap_stats stats_of(struct bed *bed)
{
	struct vmap_stats stats;

	vmap_space_stats(bed->space, &stats);
	return stats;
}

/* Calls of the flush hook; what the space counts, too. */
static unsigned flushes(struct bed *bed)
{
	struct vmap_range ranges[VMAP_FLUSH_RANGES];
	size_t n;

	return softmmu_flushes(bed->mmu, ranges, &n);
}

/* Unmapped addresses fault and are known for a while; their pages are free at once. */
static void a_quarantine_keeps_addresses(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX, .quarantine = 8 * PAGE};
	struct vmap_explanation why;
	void *addr[6], *large;
	struct bed bed;

	(void)state;
	bed.mmu = softmmu_create(BASE, SIZE, SIZE / PAGE);
	assert_non_null(bed.mmu);
	assert_int_equal(vmap_space_create(softmmu_host(bed.mmu), &config, &bed.space), 0);
	for (size_t i = 0; i < 6; i++) {
		addr[i] = alloc(&bed, 1);
		for (size_t k = 0; k < i; k++)
			assert_true(addr[i] != addr[k] || i - k > 4);
		assert_int_equal(vmap_free(bed.space, addr[i]), 0);
		assert_int_equal(softmmu_frames_used(bed.mmu), 0);
		assert_int_equal(vmap_free(bed.space, addr[i]), -VMAP_EALREADY);
		assert_null(check_space(bed.space));
	}
	/* Five areas with their guards are more than 8 pages: the oldest are out again. */
	assert_int_equal(stats_of(&bed).quarantined, 8 * PAGE);
	assert_int_equal(vmap_explain(bed.space, addr[5], &why), 0);
	assert_int_equal(why.state, VMAP_STATE_QUARANTINED);
	assert_int_equal(why.area.size, PAGE);
	assert_non_null(why.unmapped_by);
	/* It ends where addresses are needed. */
	assert_int_equal(vmap_alloc(bed.space, SIZE - PAGE, 0, NULL, &large), 0);
	assert_int_equal(stats_of(&bed).quarantined, 0);
	assert_int_equal(vmap_free(bed.space, large), 0);
	finish(&bed);
}

/* With a worker an unmap over the budget wakes it; it helps when the worker falls behind by as much again. */
static void a_worker_is_woken(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = 8 * PAGE};
	struct bed bed;

	(void)state;
	bed.mmu = softmmu_create(BASE, SIZE, 64);
	assert_non_null(bed.mmu);
	softmmu_worker(bed.mmu);
	assert_int_equal(vmap_space_create(softmmu_host(bed.mmu), &config, &bed.space), 0);
	for (unsigned i = 1; i <= 8; i++) {
		assert_int_equal(vmap_free(bed.space, alloc(&bed, 1)), 0);
		assert_int_equal(softmmu_wakes(bed.mmu), i <= 4 ? 0 : i - 4);
		assert_int_equal(flushes(&bed), 0);
	}
	assert_int_equal(vmap_free(bed.space, alloc(&bed, 1)), 0);
	assert_int_equal(flushes(&bed), 1);
	assert_int_equal(stats_of(&bed).lazy, 0);
	/* Where nothing may be flushed, the worker is all there is. */
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(vmap_free_nowait(bed.space, alloc(&bed, 1)), 0);
	assert_int_equal(flushes(&bed), 1);
	assert_int_equal(softmmu_wakes(bed.mmu), 4 + 5);
	finish(&bed);
}

static void few_ranges_are_flushed_one_by_one(void **state)
{
	struct vmap_range ranges[VMAP_FLUSH_RANGES];
	void *addrs[VMAP_FLUSH_RANGES];
	struct bed bed;
	size_t n;

	(void)state;
	begin(&bed, SIZE_MAX, 4096);
	for (size_t i = 0; i < VMAP_FLUSH_RANGES; i++)
		addrs[i] = alloc(&bed, 1 + i % 3);
	for (size_t i = 0; i < VMAP_FLUSH_RANGES; i++)
		assert_int_equal(vmap_free(bed.space, addrs[i]), 0);
	vmap_purge(bed.space);
	assert_int_equal(softmmu_flushes(bed.mmu, ranges, &n), 1);
	assert_int_equal(n, VMAP_FLUSH_RANGES);
	for (size_t i = 0; i < VMAP_FLUSH_RANGES; i++) {
		/* The mapped bytes; the guard never was. */
		assert_int_equal(ranges[i].addr, (uintptr_t)addrs[i]);
		assert_int_equal(ranges[i].size, (1 + i % 3) * PAGE);
	}
	finish(&bed);
}

static void many_ranges_are_flushed_as_everything(void **state)
{
	struct vmap_range ranges[VMAP_FLUSH_RANGES];
	void *addrs[3 * VMAP_PURGE_BATCH + 1];
	struct bed bed;
	size_t n;

	(void)state;
	begin(&bed, SIZE_MAX, 4096);
	for (size_t i = 0; i < 3 * VMAP_PURGE_BATCH + 1; i++)
		addrs[i] = alloc(&bed, 1);
	for (size_t i = 0; i < 3 * VMAP_PURGE_BATCH + 1; i++)
		assert_int_equal(vmap_free(bed.space, addrs[i]), 0);
	vmap_purge(bed.space);
	assert_int_equal(softmmu_flushes(bed.mmu, ranges, &n), 1);
	assert_int_equal(n, 0);
	assert_int_equal(stats_of(&bed).free, SIZE);
	assert_null(check_space(bed.space));
	finish(&bed);
}

/* While one thread flushes an area, another one's barrier must not return before the area is flushed and free. */
static void barrier_meanwhile(void *arg)
{
	struct bed *bed = arg;
	struct vmap_area_info info;

	vmap_purge(bed->space);
	assert_int_equal(flushes(bed), 1);
	assert_int_equal(vmap_area_at(bed->space, bed->addr, &info), -VMAP_ENOENT);
	assert_int_equal(softmmu_frames_used(bed->mmu), 0);
	/* Its addresses may be used again at once; the first purger must not take them for its own. */
	assert_int_equal(vmap_alloc(bed->space, PAGE, 0, NULL, &bed->others[0]), 0);
	assert_ptr_equal(bed->others[0], bed->addr);
}

static void a_barrier_completes_what_another_flushes(void **state)
{
	struct vmap_stats stats;
	struct bed bed;

	(void)state;
	begin(&bed, SIZE_MAX, 4096);
	bed.addr = alloc(&bed, 1);
	assert_int_equal(vmap_free(bed.space, bed.addr), 0);
	meanwhile(&bed, barrier_meanwhile);
	vmap_purge(bed.space);
	assert_int_equal(flushes(&bed), 2);
	stats = stats_of(&bed);
	assert_int_equal(stats.areas, 1);
	assert_int_equal(stats.lazy_areas, 0);
	assert_int_equal(stats.flushes, 2);
	assert_null(check_space(bed.space));
	assert_int_equal(vmap_free(bed.space, bed.others[0]), 0);
	finish(&bed);
}

/* What is unmapped after a purge has looked is not covered by its flush: it must go on waiting. */
static void unmap_meanwhile(void *arg)
{
	struct bed *bed = arg;
	for (size_t i = 0; i < VMAP_FLUSH_RANGES + 8; i++)
		assert_int_equal(vmap_free(bed->space, bed->others[i]), 0);
}

static void a_purge_leaves_what_came_later(void **state)
{
	struct bed bed;

	(void)state;
	begin(&bed, SIZE_MAX, 4096);
	bed.addr = alloc(&bed, 1);
	for (size_t i = 0; i < VMAP_FLUSH_RANGES + 8; i++)
		bed.others[i] = alloc(&bed, 1);
	assert_int_equal(vmap_free(bed.space, bed.addr), 0);
	meanwhile(&bed, unmap_meanwhile);
	vmap_purge(bed.space);
	assert_int_equal(flushes(&bed), 1);
	assert_int_equal(stats_of(&bed).lazy_areas, VMAP_FLUSH_RANGES + 8);
	assert_null(check_space(bed.space));
	finish(&bed);
}

/* Above the budget, a second thread does not flush again what the first is flushing. */
static void exceed_meanwhile(void *arg)
{
	struct bed *bed = arg;
	assert_int_equal(vmap_free(bed->space, bed->others[0]), 0);
	assert_int_equal(flushes(bed), 0);
	assert_int_equal(stats_of(bed).lazy_areas, 3);
}

static void the_budget_counts_what_nobody_flushes_yet(void **state)
{
	struct bed bed;

	(void)state;
	begin(&bed, 3 * PAGE, 4096);
	bed.addr = alloc(&bed, 1);
	bed.others[1] = alloc(&bed, 1);
	bed.others[0] = alloc(&bed, 1);
	assert_int_equal(vmap_free(bed.space, bed.addr), 0);
	assert_int_equal(flushes(&bed), 0);
	meanwhile(&bed, exceed_meanwhile);
	assert_int_equal(vmap_free(bed.space, bed.others[1]), 0);
	assert_int_equal(flushes(&bed), 1);
	assert_int_equal(stats_of(&bed).lazy_areas, 1);
	finish(&bed);
}

/* One thread has run out of addresses and purges; what others unmap meanwhile does not wait, or it would find nothing again. */
static void take_all_meanwhile(void *arg)
{
	struct bed *bed = arg;
	assert_int_equal(vmap_free(bed->space, bed->others[0]), 0);
	assert_int_equal(stats_of(bed).lazy_areas, 1);
	vmap_purge(bed->space);
	bed->others[0] = alloc(bed, SIZE / PAGE - 1);
	assert_int_equal(vmap_free(bed->space, bed->others[0]), 0);
	assert_int_equal(stats_of(bed).lazy_areas, 0);
}

static void starving_threads_are_not_overtaken(void **state)
{
	struct bed bed;

	(void)state;
	begin(&bed, SIZE_MAX, 4096);
	bed.addr = alloc(&bed, SIZE / PAGE / 2);
	bed.others[0] = alloc(&bed, 1);
	assert_int_equal(vmap_free(bed.space, bed.addr), 0);
	meanwhile(&bed, take_all_meanwhile);
	bed.addr = alloc(&bed, SIZE / PAGE - 1);
	assert_int_equal(vmap_free(bed.space, bed.addr), 0);
	finish(&bed);
}

/* Pages run out while unmapped areas hold some. */
static void a_lack_of_pages_takes_back_what_waits(void **state)
{
	struct bed bed;

	(void)state;
	begin(&bed, SIZE_MAX, 1000);
	bed.addr = alloc(&bed, 600);
	assert_int_equal(vmap_free(bed.space, bed.addr), 0);
	assert_int_equal(flushes(&bed), 0);
	bed.addr = alloc(&bed, 600);
	assert_int_equal(flushes(&bed), 1);
	assert_int_equal(vmap_alloc(bed.space, 401 * PAGE, 0, NULL, &bed.others[0]), -VMAP_ENOMEM);
	assert_int_equal(vmap_alloc(bed.space, 400 * PAGE, 0, NULL, &bed.others[0]), 0);
	assert_int_equal(vmap_free(bed.space, bed.addr), 0);
	assert_int_equal(vmap_free(bed.space, bed.others[0]), 0);
	finish(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_is_woken),
		cmocka_unit_test(a_quarantine_keeps_addresses),
		cmocka_unit_test(few_ranges_are_flushed_one_by_one),
		cmocka_unit_test(many_ranges_are_flushed_as_everything),
		cmocka_unit_test(a_barrier_completes_what_another_flushes),
		cmocka_unit_test(a_purge_leaves_what_came_later),
		cmocka_unit_test(the_budget_counts_what_nobody_flushes_yet),
		cmocka_unit_test(starving_threads_are_not_overtaken),
		cmocka_unit_test(a_lack_of_pages_takes_back_what_waits),
	};

	return cmocka_run_group_tests_name("purge", tests, NULL, NULL);
}
