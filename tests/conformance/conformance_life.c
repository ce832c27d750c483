// SPDX-License-Identifier: MIT
/* The life of an area's references and addresses: nothing is given out again before the flush. */
#include "bed.h"

#define SPACE ((size_t)4 << 20)

static unsigned refs(struct conformance_bed *bed, const struct vmap_page *page)
{
	return bed->host->page_refs(bed, page);
}

static void references_are_held_until_the_flush(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[2];
	uintptr_t addr;

	bed_pages(bed, 2, 2, pages);
	addr = bed_map(bed, pages, 2, NULL);
	assert_int_equal(refs(bed, pages[0]), 2);
	assert_int_equal(bed_stats(bed).pages_held, 2);
	bed_unmap(bed, addr);
	assert_int_equal(refs(bed, pages[0]), 2);
	assert_int_equal(bed_stats(bed).pages_held, 2);
	/* The area's references alone keep the pages. */
	bed_put(bed, pages, 2);
	assert_int_equal(refs(bed, pages[1]), 1);
	assert_int_equal(bed->host->pages_used(bed), 8 * bed->page_size);
	vmap_purge(bed->space);
	assert_int_equal(refs(bed, pages[1]), 0);
	assert_int_equal(bed_stats(bed).pages_held, 0);
	assert_int_equal(bed->host->pages_used(bed), 0);
	bed_end(bed);
}

static void borrowing_takes_no_references(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_options options = {.flags = VMAP_BORROW};
	struct vmap_page *pages[2];
	uintptr_t addr;

	bed_pages(bed, 0, 2, pages);
	addr = bed_map(bed, pages, 2, &options);
	bed_check_view(bed, addr, pages, 2);
	assert_int_equal(refs(bed, pages[0]), 1);
	assert_int_equal(bed_stats(bed).pages_held, 0);
	bed_unmap(bed, addr);
	vmap_purge(bed->space);
	assert_int_equal(refs(bed, pages[0]), 1);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void ownership_moves_on_success_only(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_options options = {.flags = VMAP_PUT_PAGES, .max = 1};
	struct vmap_page *pages[2];
	void *addr;

	bed_pages(bed, 0, 2, pages);
	assert_int_equal(vmap_pages(bed->space, pages, 2, &options, &addr), -VMAP_ENOSPC);
	assert_int_equal(refs(bed, pages[0]), 1);
	options.max = 0;
	assert_int_equal(vmap_pages(bed->space, pages, 2, &options, &addr), 0);
	assert_int_equal(refs(bed, pages[0]), 1);
	assert_int_equal(bed_stats(bed).pages_held, 2);
	bed_unmap(bed, (uintptr_t)addr);
	assert_int_equal(refs(bed, pages[0]), 1);
	vmap_purge(bed->space);
	assert_int_equal(bed->host->pages_used(bed), 0);
	bed_end(bed);
}

static void a_synchronous_space_flushes_at_once(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_page *page;
	uintptr_t addr;

	bed_pages(bed, 0, 1, &page);
	for (unsigned i = 1; i <= 5; i++) {
		addr = bed_map(bed, &page, 1, NULL);
		bed_check_view(bed, addr, &page, 1);
		bed_unmap(bed, addr);
		assert_int_equal(refs(bed, page), 1);
		assert_int_equal(bed_state(bed, addr), VMAP_STATE_FREE);
		bed_check_faults(bed, addr, bed->page_size);
		assert_int_equal(bed_stats(bed).flushes, i);
		assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr)), -VMAP_ENOENT);
	}
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void a_synchronous_area_flushes_alone(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[2];
	uintptr_t lazy, sync;

	bed_pages(bed, 0, 2, pages);
	lazy = bed_map(bed, &pages[0], 1, NULL);
	sync = bed_map(bed, &pages[1], 1, &(struct vmap_options){.flags = VMAP_SYNC});
	bed_unmap(bed, lazy);
	bed_unmap(bed, sync);
	assert_int_equal(refs(bed, pages[0]), 2);
	assert_int_equal(refs(bed, pages[1]), 1);
	assert_int_equal(bed_state(bed, lazy), VMAP_STATE_LAZY);
	assert_int_equal(bed_state(bed, sync), VMAP_STATE_FREE);
	bed_check_faults(bed, sync, bed->page_size);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void the_budget_is_kept(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 64 * 4096);
	size_t budget = 64 * bed->page_size;
	struct vmap_stats stats = {0};
	struct vmap_page *page;
	size_t most = 0;
	uintptr_t addr;

	bed_pages(bed, 0, 1, &page);
	for (unsigned i = 0; i < 1000 && !bed->host->worker; i++) {
		addr = bed_map(bed, &page, 1, NULL);
		bed_unmap(bed, addr);
		stats = bed_stats(bed);
		assert_true(stats.lazy <= budget);
		most = stats.lazy > most ? stats.lazy : most;
	}
	/* The budget is used up to the last area that fits it, and one flush serves all that it holds. */
	if (!bed->host->worker) {
		assert_int_equal(most, budget / (2 * bed->page_size) * (2 * bed->page_size));
		assert_int_equal(stats.flushes, 1000 / (budget / (2 * bed->page_size) + 1));
	}
	bed_put(bed, &page, 1);
	bed_end(bed);
}

/*
 * With a worker: an unmap purges itself at twice the budget, while the worker may just be flushing as much again. What waited when the last
 * unmap left is taken care of by the worker, even if nobody may flush but it.
 */
static void a_worker_keeps_the_budget(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 64 * 4096);
	size_t budget = 64 * bed->page_size;
	struct vmap_page *page;
	uintptr_t addr;

	bed_pages(bed, 0, 1, &page);
	for (unsigned i = 0; i < 1000 && bed->host->worker; i++) {
		addr = bed_map(bed, &page, 1, NULL);
		bed_unmap(bed, addr);
		assert_true(bed_stats(bed).lazy <= 4 * budget);
	}
	for (unsigned i = 0; i < 100 && bed->host->worker; i++) {
		addr = bed_map(bed, &page, 1, NULL);
		bed_atomic(bed, true);
		assert_int_equal(vmap_unmap_nowait(bed->space, bed_ptr(addr)), 0);
		bed_atomic(bed, false);
	}
	while (bed_stats(bed).lazy > budget)
		;
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void addresses_wait_for_the_flush(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	uintptr_t used[100];
	struct vmap_page *page;

	bed_pages(bed, 0, 1, &page);
	for (size_t i = 0; i < ARRAY_SIZE(used); i++) {
		used[i] = bed_map(bed, &page, 1, NULL);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(used[i], used[k]);
		bed_unmap(bed, used[i]);
		assert_int_equal(bed_state(bed, used[i]), VMAP_STATE_LAZY);
		assert_int_equal(bed_state(bed, used[i] + bed->page_size), VMAP_STATE_LAZY);
	}
	assert_int_equal(bed_stats(bed).flushes, 0);
	assert_int_equal(bed_stats(bed).lazy_areas, ARRAY_SIZE(used));
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).flushes, 1);
	for (size_t i = 0; i < ARRAY_SIZE(used); i++)
		assert_int_equal(bed_state(bed, used[i]), VMAP_STATE_FREE);
	assert_int_equal(refs(bed, page), 1);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void a_purge_of_nothing_flushes_nothing(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *page;
	uintptr_t addr;

	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).flushes, 0);
	bed_pages(bed, 0, 1, &page);
	addr = bed_map(bed, &page, 1, NULL);
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).flushes, 0);
	bed_check_view(bed, addr, &page, 1);
	bed_unmap(bed, addr);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void ranges_are_reused_by_size(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_page *pages[4];
	uintptr_t addr;

	bed_pages(bed, 0, 4, pages);
	addr = bed_map(bed, pages, 4, NULL);
	bed_unmap(bed, addr);
	assert_int_equal(bed_stats(bed).pool_hits, 0);
	assert_int_equal(bed_map(bed, pages, 4, NULL), addr);
	assert_int_equal(bed_stats(bed).pool_hits, 1);
	bed_unmap(bed, addr);
	bed_put(bed, pages, 4);
	bed_end(bed);
}

static void destroy_refuses_live_areas(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	uintptr_t live, lazy;
	struct vmap_page *page;

	bed_pages(bed, 0, 1, &page);
	live = bed_map(bed, &page, 1, NULL);
	lazy = bed_map(bed, &page, 1, NULL);
	bed_unmap(bed, lazy);
	assert_int_equal(vmap_space_destroy(bed->space), -VMAP_EBUSY);
	bed_check_view(bed, live, &page, 1);
	assert_int_equal(bed_stats(bed).flushes, 0);
	assert_int_equal(bed_state(bed, lazy), VMAP_STATE_LAZY);
	bed_unmap(bed, live);
	bed_put(bed, &page, 1);
	/* Now both wait, and the end of the space flushes them. */
	bed_end(bed);
}

const struct CMUnitTest conformance_life_tests[] = {
	cmocka_unit_test(references_are_held_until_the_flush), cmocka_unit_test(borrowing_takes_no_references),
	cmocka_unit_test(ownership_moves_on_success_only),     cmocka_unit_test(a_synchronous_space_flushes_at_once),
	cmocka_unit_test(a_synchronous_area_flushes_alone),    cmocka_unit_test(the_budget_is_kept),
	cmocka_unit_test(a_worker_keeps_the_budget),           cmocka_unit_test(addresses_wait_for_the_flush),
	cmocka_unit_test(a_purge_of_nothing_flushes_nothing),  cmocka_unit_test(ranges_are_reused_by_size),
	cmocka_unit_test(destroy_refuses_live_areas),          CONFORMANCE_END,
};
