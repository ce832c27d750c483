// SPDX-License-Identifier: MIT
/* Where areas lie: guards, alignment, limits, exhaustion. */
#include "bed.h"

#define SPACE ((size_t)1 << 20)

static void *try_map(struct conformance_bed *bed, struct vmap_page **pages, size_t n, const struct vmap_options *options)
{
	void *addr;
	int err = vmap_pages(bed->space, pages, n, options, &addr);

	if (err)
		assert_int_equal(err, -VMAP_ENOSPC);
	assert_int_equal(!addr, !!err);
	return addr;
}

/* Map the same page until nothing fits any more. Gives the number of areas. */
static size_t fill(struct conformance_bed *bed, struct vmap_page **pages, size_t n, const struct vmap_options *options,
		   uintptr_t *addrs, size_t max)
{
	size_t count = 0;
	void *addr;

	while ((addr = try_map(bed, pages, n, options))) {
		assert_true(count < max);
		addrs[count++] = (uintptr_t)addr;
	}
	return count;
}

static void unmap_all(struct conformance_bed *bed, const uintptr_t *addrs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bed_unmap(bed, addrs[i]);
}

static int compare(const void *a, const void *b)
{
	uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;

	return (left > right) - (left < right);
}

static void a_guard_follows_every_area(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size, max = bed->size / p, count;
	uintptr_t *addrs = calloc(max, sizeof(uintptr_t));
	struct vmap_page *pages[3];

	assert_non_null(addrs);
	bed_pages(bed, 0, 3, pages);
	count = fill(bed, pages, 3, NULL, addrs, max);
	assert_int_equal(count, bed->size / (4 * p));
	assert_int_equal(bed_stats(bed).guards, count * p);
	qsort(addrs, count, sizeof(uintptr_t), compare);
	for (size_t i = 0; i < count; i++) {
		assert_true(!i || addrs[i] - addrs[i - 1] >= 4 * p);
		bed_check_view(bed, addrs[i], pages, 3);
		bed_check_faults(bed, addrs[i] + 3 * p, p);
		assert_int_equal(bed_state(bed, addrs[i] + 3 * p), VMAP_STATE_GUARD);
	}
	unmap_all(bed, addrs, count);
	bed_put(bed, pages, 3);
	free(addrs);
	bed_end(bed);
}

static void a_guard_can_be_larger(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	struct vmap_options options = {.guard = 5 * p};
	struct vmap_area_info info;
	struct vmap_page *page;
	uintptr_t addr, next;

	bed_pages(bed, 0, 1, &page);
	addr = bed_map(bed, &page, 1, &options);
	next = bed_map(bed, &page, 1, &options);
	assert_true(next < addr ? addr - next >= 6 * p : next - addr >= 6 * p);
	bed_check_faults(bed, addr + p, 5 * p);
	assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr + 6 * p - 1), &info), 0);
	assert_int_equal(info.addr, addr);
	assert_int_equal(info.guard, 5 * p);
	assert_int_equal(info.state, VMAP_STATE_GUARD);
	bed_unmap(bed, addr);
	bed_unmap(bed, next);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void without_guards_every_page_is_used(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_options options = {.flags = VMAP_NO_GUARD};
	size_t p = bed->page_size, max = bed->size / p;
	uintptr_t *addrs = calloc(max, sizeof(uintptr_t));
	struct vmap_page *page;

	assert_non_null(addrs);
	bed_pages(bed, 0, 1, &page);
	assert_int_equal(fill(bed, &page, 1, &options, addrs, max), max);
	assert_int_equal(bed_stats(bed).free, 0);
	assert_int_equal(bed_stats(bed).guards, 0);
	qsort(addrs, max, sizeof(uintptr_t), compare);
	for (size_t i = 0; i < max; i++) {
		assert_int_equal(addrs[i], bed->base + i * p);
		bed_check_view(bed, addrs[i], &page, 1);
	}
	unmap_all(bed, addrs, max);
	bed_put(bed, &page, 1);
	free(addrs);
	bed_end(bed);
}

static void alignment_and_phase_hold(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size, n = 0;
	struct vmap_page *pages[3];
	uintptr_t addrs[256];

	bed_pages(bed, 0, 3, pages);
	for (size_t align = p; align <= bed->size / 4; align *= 2) {
		for (size_t phase = 0; phase < align; phase += align / 4 < p ? p : align / 4) {
			addrs[n] = bed_map(bed, pages, 3, &(struct vmap_options){.align = align, .phase = phase});
			assert_int_equal(addrs[n] & (align - 1), phase);
			bed_check_view(bed, addrs[n], pages, 3);
			n++;
		}
	}
	unmap_all(bed, addrs, n);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

static void limits_hold_to_the_byte(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	uintptr_t at = bed->base + 40 * p;
	struct vmap_options options = {.min = at, .max = at + 4 * p - 1};
	struct vmap_page *pages[3];
	uintptr_t addr;

	bed_pages(bed, 0, 3, pages);
	/* Three pages and their guard fit exactly. */
	addr = bed_map(bed, pages, 3, &options);
	assert_int_equal(addr, at);
	assert_null(try_map(bed, pages, 1, &options));
	bed_unmap(bed, addr);
	options.max--;
	assert_null(try_map(bed, pages, 3, &options));
	options.max++;
	options.min++;
	assert_null(try_map(bed, pages, 3, &options));
	options.max += p;
	assert_int_equal(bed_map(bed, pages, 3, &options), at + p);
	bed_unmap(bed, at + p);
	options = (struct vmap_options){.max = at + 4 * p - 1, .min = at, .flags = VMAP_NO_GUARD, .align = 2 * p, .phase = p};
	assert_int_equal(bed_map(bed, pages, 3, &options), at + (at / p % 2 ? 0 : p));
	bed_unmap(bed, at + (at / p % 2 ? 0 : p));
	/* Outside of the space, and the wrong way round. */
	assert_null(try_map(bed, pages, 1, &(struct vmap_options){.min = bed->base + bed->size}));
	assert_null(try_map(bed, pages, 1, &(struct vmap_options){.min = UINTPTR_MAX}));
	assert_null(try_map(bed, pages, 1, &(struct vmap_options){.max = bed->base - 1}));
	assert_null(try_map(bed, pages, 1, &(struct vmap_options){.max = 1}));
	assert_null(try_map(bed, pages, 1, &(struct vmap_options){.min = at + 4 * p, .max = at}));
	/* At both ends of the space. */
	addr = bed_map(bed, pages, 1, &(struct vmap_options){.max = bed->base + 2 * p - 1});
	assert_int_equal(addr, bed->base);
	bed_unmap(bed, addr);
	addr = bed_map(bed, pages, 1, &(struct vmap_options){.min = bed->base + bed->size - 2 * p, .max = UINTPTR_MAX});
	assert_int_equal(addr, bed->base + bed->size - 2 * p);
	bed_unmap(bed, addr);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

/* Many holes are long enough and none is aligned: the search gives up only when it has seen them all. */
static void the_search_is_exact(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_options single = {.flags = VMAP_NO_GUARD}, pair = {.flags = VMAP_NO_GUARD};
	size_t p = bed->page_size, max = bed->size / p, first = bed->base / p % 2 ? 4 : 1, hole;
	uintptr_t *addrs = calloc(max, sizeof(uintptr_t)), addr;
	struct vmap_page *pages[2];

	assert_non_null(addrs);
	bed_pages(bed, 0, 2, pages);
	assert_int_equal(fill(bed, pages, 1, &single, addrs, max), max);
	qsort(addrs, max, sizeof(uintptr_t), compare);
	/* Holes of two pages at odd page numbers. */
	for (hole = first; hole + 1 < max; hole += 4) {
		bed_unmap(bed, addrs[hole]);
		bed_unmap(bed, addrs[hole + 1]);
		addrs[hole] = addrs[hole + 1] = 0;
	}
	pair.align = 2 * p;
	assert_null(try_map(bed, pages, 2, &pair));
	/* One more page makes the last of them fit. */
	hole -= 4;
	addr = addrs[hole - 1];
	bed_unmap(bed, addr);
	assert_int_equal(bed_map(bed, pages, 2, &pair), addr);
	bed_check_view(bed, addr, pages, 2);
	assert_null(try_map(bed, pages, 2, &pair));
	for (size_t i = 0; i < max; i++)
		if (addrs[i])
			bed_unmap(bed, addrs[i]);
	bed_put(bed, pages, 2);
	free(addrs);
	bed_end(bed);
}

static void exhaustion_takes_back_what_waits(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t max = bed->size / bed->page_size, count;
	uintptr_t *addrs = calloc(max, sizeof(uintptr_t));
	struct vmap_page *pages[2];

	assert_non_null(addrs);
	bed_pages(bed, 0, 2, pages);
	for (unsigned round = 0; round < 3; round++) {
		count = fill(bed, pages, 2, NULL, addrs, max);
		assert_int_equal(count, bed->size / (3 * bed->page_size));
		unmap_all(bed, addrs, count);
		/* All of it waits; and yet the next area is found, by flushing. */
		assert_int_equal(bed_stats(bed).lazy_areas, count);
	}
	free(addrs);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

/* Small ranges that were freed, in pools or not, become one again when a large one is asked for. */
static void small_ranges_make_a_large_one(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	size_t p = bed->page_size, max = bed->size / p, n = max - 1, count;
	uintptr_t *addrs = calloc(max, sizeof(uintptr_t)), addr;
	struct vmap_page **view = calloc(n, sizeof(struct vmap_page *)), *page;

	assert_non_null(addrs);
	assert_non_null(view);
	bed_pages(bed, 0, 1, &page);
	for (size_t i = 0; i < n; i++)
		view[i] = page;
	count = fill(bed, &page, 1, NULL, addrs, max);
	unmap_all(bed, addrs, count);
	/* The space is free again to the last page. */
	addr = bed_map(bed, view, n, NULL);
	assert_int_equal(addr, bed->base);
	assert_int_equal(bed_stats(bed).free, 0);
	bed_unmap(bed, addr);
	bed_put(bed, &page, 1);
	free(view);
	free(addrs);
	bed_end(bed);
}

const struct CMUnitTest conformance_place_tests[] = {
	cmocka_unit_test(a_guard_follows_every_area),
	cmocka_unit_test(a_guard_can_be_larger),
	cmocka_unit_test(without_guards_every_page_is_used),
	cmocka_unit_test(alignment_and_phase_hold),
	cmocka_unit_test(limits_hold_to_the_byte),
	cmocka_unit_test(the_search_is_exact),
	cmocka_unit_test(exhaustion_takes_back_what_waits),
	cmocka_unit_test(small_ranges_make_a_large_one),
	CONFORMANCE_END,
};
