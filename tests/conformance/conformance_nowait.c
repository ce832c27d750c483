// SPDX-License-Identifier: MIT
/* Calls that neither sleep nor flush. */
#include "bed.h"

#define SPACE ((size_t)1 << 20)
#define NOWAIT (&(struct vmap_options){.flags = VMAP_NOWAIT})

static void mapping_without_waiting(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[3];
	void *mapped, *allocated;

	bed_pages(bed, 1, 3, pages);
	bed_atomic(bed, true);
	assert_int_equal(vmap_pages(bed->space, pages, 3, NOWAIT, &mapped), 0);
	assert_int_equal(vmap_alloc(bed->space, 5 * bed->page_size, 1, NOWAIT, &allocated), 0);
	bed_check_view(bed, (uintptr_t)mapped, pages, 3);
	assert_int_equal(vmap_unmap_nowait(bed->space, allocated), -VMAP_EINVAL);
	assert_int_equal(vmap_free_nowait(bed->space, mapped), -VMAP_EINVAL);
	assert_int_equal(vmap_unmap_nowait(bed->space, mapped), 0);
	assert_int_equal(vmap_free_nowait(bed->space, allocated), 0);
	assert_int_equal(vmap_unmap_nowait(bed->space, mapped), -VMAP_EALREADY);
	bed_atomic(bed, false);
	assert_int_equal(bed_stats(bed).flushes, 0);
	assert_int_equal(bed_stats(bed).lazy_areas, 2);
	vmap_purge(bed->space);
	bed_check_faults(bed, (uintptr_t)mapped, 6 * bed->page_size);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

/* Whatever the area and the space say, the unmap leaves the flush to the next purge, references and addresses with it. */
static void an_unmap_from_anywhere_only_queues(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_page *page;
	uintptr_t addr;

	bed_pages(bed, 0, 1, &page);
	addr = bed_map(bed, &page, 1, &(struct vmap_options){.flags = VMAP_SYNC});
	bed_atomic(bed, true);
	assert_int_equal(vmap_unmap_nowait(bed->space, bed_ptr(addr)), 0);
	bed_atomic(bed, false);
	assert_int_equal(bed_stats(bed).flushes, 0);
	assert_int_equal(bed_state(bed, addr), VMAP_STATE_LAZY);
	assert_int_equal(bed->host->page_refs(bed, page), 2);
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).flushes, 1);
	assert_int_equal(bed_state(bed, addr), VMAP_STATE_FREE);
	assert_int_equal(bed->host->page_refs(bed, page), 1);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

/* What would need a purge is refused with an error of its own, and what no purge could help with the usual one. */
static void a_purge_is_never_made(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t total = bed->size / bed->page_size;
	uintptr_t live, lazy;
	struct vmap_page *page;
	void *addr;

	bed_pages(bed, 0, 1, &page);
	live = bed_map(bed, &page, 1, &(struct vmap_options){.guard = (total / 2 - 1) * bed->page_size});
	assert_int_equal(vmap_alloc(bed->space, (total / 2) * bed->page_size, 0, NOWAIT, &addr), -VMAP_ENOSPC);
	assert_null(addr);
	lazy = bed_map(bed, &page, 1, &(struct vmap_options){.guard = (total / 2 - 1) * bed->page_size});
	bed_unmap(bed, lazy);
	bed_atomic(bed, true);
	assert_int_equal(vmap_pages(bed->space, &page, 1, NOWAIT, &addr), -VMAP_EAGAIN);
	assert_null(addr);
	assert_int_equal(vmap_alloc(bed->space, 1, 0, NOWAIT, &addr), -VMAP_EAGAIN);
	bed_atomic(bed, false);
	assert_int_equal(bed_stats(bed).flushes, 0);
	assert_int_equal(bed->host->page_refs(bed, page), 3);
	vmap_purge(bed->space);
	assert_int_equal(vmap_pages(bed->space, &page, 1, NOWAIT, &addr), 0);
	bed_unmap(bed, (uintptr_t)addr);
	bed_unmap(bed, live);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

/* Pools are drained for the call: that takes no purge. */
static void small_ranges_are_put_together(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	size_t n = bed->size / bed->page_size / 8;
	struct vmap_page *pages[64];
	uintptr_t addr[64];
	void *large;

	assert_true(n <= ARRAY_SIZE(pages));
	bed_pages(bed, 0, n, pages);
	for (size_t i = 0; i < n; i++)
		addr[i] = bed_map(bed, pages, 7, NULL);
	for (size_t i = 0; i < n; i++)
		bed_unmap(bed, addr[i]);
	bed_atomic(bed, true);
	assert_int_equal(
		vmap_pages(bed->space, pages, n, &(struct vmap_options){.flags = VMAP_NOWAIT, .align = bed->size / 2}, &large),
		0);
	bed_atomic(bed, false);
	bed_unmap(bed, (uintptr_t)large);
	bed_put(bed, pages, n);
	bed_end(bed);
}

const struct CMUnitTest conformance_nowait_tests[] = {
	cmocka_unit_test(mapping_without_waiting),
	cmocka_unit_test(an_unmap_from_anywhere_only_queues),
	cmocka_unit_test(a_purge_is_never_made),
	cmocka_unit_test(small_ranges_are_put_together),
	CONFORMANCE_END,
};
