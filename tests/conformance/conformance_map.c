// SPDX-License-Identifier: MIT
/* vmap_pages() and vmap_unmap(): what is seen where, and what is refused. */
#include <string.h>
#include "bed.h"

#define SPACE ((size_t)4 << 20)

static void one_page_is_seen(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *page;
	unsigned char value;
	uintptr_t addr;

	bed_pages(bed, 0, 1, &page);
	addr = bed_map(bed, &page, 1, NULL);
	bed_check_view(bed, addr, &page, 1);
	/* Both ways: what the view writes is in the page, what the page holds is in the view. */
	assert_true(bed->host->write(bed, addr + 77, 0xa7));
	assert_int_equal(bed->host->page_bytes(bed, page)[77], 0xa7);
	bed->host->page_bytes(bed, page)[78] = 0xa8;
	assert_true(bed->host->read(bed, addr + 78, &value));
	assert_int_equal(value, 0xa8);
	bed_unmap(bed, addr);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void mixed_orders_follow_each_other(void **state)
{
	static const unsigned orders[] = {0, 3, 1, 0, 5, 2, 2, 0, 9, 4};
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[ARRAY_SIZE(orders)];
	struct vmap_area_info info;
	size_t size = 0;
	uintptr_t addr;

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		bed_pages(bed, orders[i], 1, &pages[i]);
		size += bed->page_size << orders[i];
	}
	addr = bed_map(bed, pages, ARRAY_SIZE(pages), NULL);
	bed_check_view(bed, addr, pages, ARRAY_SIZE(pages));
	assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr), &info), 0);
	assert_int_equal(info.size, size);
	assert_int_equal(info.pages, ARRAY_SIZE(pages));
	assert_int_equal(bed_stats(bed).mapped, size);
	bed_unmap(bed, addr);
	vmap_purge(bed->space);
	bed_check_faults(bed, addr, size);
	bed_put(bed, pages, ARRAY_SIZE(pages));
	bed_end(bed);
}

/* Page i of the array need not be neighbour of page i + 1, nor lie before it. */
static void order_is_the_callers(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[64], *view[64];
	uintptr_t addr;

	bed_pages(bed, 0, 64, pages);
	for (size_t i = 0; i < 64; i++)
		view[i] = pages[i * 37 % 64];
	addr = bed_map(bed, view, 64, NULL);
	bed_check_view(bed, addr, view, 64);
	bed_unmap(bed, addr);
	for (size_t i = 0; i < 64; i++)
		view[i] = pages[63 - i];
	addr = bed_map(bed, view, 64, NULL);
	bed_check_view(bed, addr, view, 64);
	bed_unmap(bed, addr);
	bed_put(bed, pages, 64);
	bed_end(bed);
}

static void a_page_may_stand_twice(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[2], *view[4];
	unsigned char value;
	uintptr_t addr;

	bed_pages(bed, 1, 2, pages);
	view[0] = view[1] = view[3] = pages[0];
	view[2] = pages[1];
	addr = bed_map(bed, view, 4, NULL);
	bed_check_view(bed, addr, view, 4);
	assert_int_equal(bed->host->page_refs(bed, pages[0]), 4);
	assert_int_equal(bed->host->page_refs(bed, pages[1]), 2);
	assert_true(bed->host->write(bed, addr + 5, 0x5a));
	assert_true(bed->host->read(bed, addr + 6 * bed->page_size + 5, &value));
	assert_int_equal(value, 0x5a);
	bed_unmap(bed, addr);
	vmap_purge(bed->space);
	assert_int_equal(bed->host->page_refs(bed, pages[0]), 1);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void two_views_show_the_same_pages(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	uintptr_t first, second;
	struct vmap_page *pages[3];
	unsigned char value;

	bed_pages(bed, 0, 3, pages);
	first = bed_map(bed, pages, 3, NULL);
	second = bed_map(bed, pages, 3, NULL);
	assert_int_not_equal(first, second);
	assert_true(bed->host->write(bed, first + bed->page_size, 0x3c));
	assert_true(bed->host->read(bed, second + bed->page_size, &value));
	assert_int_equal(value, 0x3c);
	bed_unmap(bed, first);
	bed_check_view(bed, second, pages, 3);
	bed_unmap(bed, second);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

static void the_array_is_copied(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[4], *view[4], *page;
	uintptr_t addr;
	size_t offset;

	bed_pages(bed, 0, 4, pages);
	memcpy(view, pages, sizeof(view));
	addr = bed_map(bed, view, 4, NULL);
	memset(view, 0, sizeof(view));
	bed_check_view(bed, addr, pages, 4);
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(addr + 2 * bed->page_size), &page, &offset), 0);
	assert_ptr_equal(page, pages[2]);
	bed_unmap(bed, addr);
	vmap_purge(bed->space);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(bed->host->page_refs(bed, pages[i]), 1);
	bed_put(bed, pages, 4);
	bed_end(bed);
}

static void protection_holds(void **state)
{
	static const struct {
		unsigned asked, given;
		bool writes;
	} cases[] = {
		{0, VMAP_READ | VMAP_WRITE, true},          {VMAP_READ, VMAP_READ, false},
		{VMAP_WRITE, VMAP_READ | VMAP_WRITE, true}, {VMAP_READ | VMAP_WRITE, VMAP_READ | VMAP_WRITE, true},
		{VMAP_EXEC, VMAP_READ | VMAP_EXEC, false},
	};
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_area_info info;
	struct vmap_page *pages[2];
	uintptr_t addr;

	bed_pages(bed, 0, 2, pages);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		addr = bed_map(bed, pages, 2, &(struct vmap_options){.prot = cases[i].asked});
		bed_check_view(bed, addr, pages, 2);
		assert_int_equal(bed->host->write(bed, addr + bed->page_size, 1), cases[i].writes);
		assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr), &info), 0);
		assert_int_equal(info.prot, cases[i].given);
		bed_unmap(bed, addr);
	}
	bed_put(bed, pages, 2);
	bed_end(bed);
}

/* Map with this protection, short-lived or not; see what arrives, and unmap. */
static void check_prot(struct conformance_bed *bed, struct vmap_page **pages, bool ram, unsigned prot)
{
	struct vmap_options options = {.prot = prot, .flags = VMAP_BORROW};
	struct vmap_area_info info;
	void *addr;
	int err;

	err = ram ? vmap_ram(bed->space, pages, 2, VMAP_BORROW, prot, &addr) : vmap_pages(bed->space, pages, 2, &options, &addr);
	if (prot & VMAP_MEMORY_MASK && err == -VMAP_EINVAL)
		return;
	assert_int_equal(err, 0);
	bed_check_view(bed, (uintptr_t)addr, pages, 2);
	assert_int_equal(bed->host->write(bed, (uintptr_t)addr, *bed->host->page_bytes(bed, pages[0])), !!(prot & VMAP_WRITE));
	assert_int_equal(vmap_area_at(bed->space, addr, &info), 0);
	assert_int_equal(info.prot, VMAP_READ | prot);
	if (bed->host->memory_type)
		assert_int_equal(bed->host->memory_type(bed, (uintptr_t)addr), prot & VMAP_MEMORY_MASK);
	assert_int_equal(ram ? vmap_ram_unmap(bed->space, addr) : vmap_unmap(bed->space, addr), 0);
}

/* Where the same addresses are mapped again and again, each call gets what it asked for. */
static void protection_and_type_hold_each_time(void **state)
{
	static const unsigned prots[] = {VMAP_READ | VMAP_WRITE, VMAP_READ},
			      types[] = {0, VMAP_WRITE_COMBINING, VMAP_UNCACHED, VMAP_DEVICE};
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_page *pages[2];

	bed_pages(bed, 0, 2, pages);
	for (size_t i = 0; i < 3 * ARRAY_SIZE(prots) * ARRAY_SIZE(types); i++) {
		unsigned prot = prots[i / 2 % 2] | types[i / 4 % 4];

		check_prot(bed, pages, i % 2, prot);
		check_prot(bed, pages, i % 2, VMAP_READ | VMAP_WRITE);
	}
	vmap_purge(bed->space); /* what failed */
	bed_put(bed, pages, 2);
	bed_end(bed);
}

/* The call fails with this error, gives NULL, and nothing has changed. */
static void check_refused(struct conformance_bed *bed, struct vmap_page **pages, size_t n, const struct vmap_options *options,
			  int err)
{
	struct vmap_stats before = bed_stats(bed), after;
	void *addr = &before;

	assert_int_equal(vmap_pages(bed->space, pages, n, options, &addr), err);
	assert_null(addr);
	after = bed_stats(bed);
	assert_int_equal(after.maps, before.maps);
	assert_int_equal(after.free, before.free);
	assert_int_equal(after.pages_held, before.pages_held);
}

static void bad_arguments_are_refused(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	const struct vmap_options bad[] = {
		{.flags = VMAP_BORROW | VMAP_PUT_PAGES},
		{.flags = 1u << 15},
		{.flags = 1u << 31},
		{.prot = 0x8},
		{.prot = VMAP_READ | 1u << 31},
		{.align = 3 * p},
		{.align = p / 2},
		{.align = p + 1},
		{.align = 4 * p, .phase = 4 * p},
		{.align = 4 * p, .phase = 5 * p},
		{.align = 4 * p, .phase = 1},
		{.phase = p},
		{.guard = p + 1},
		{.guard = 1},
		{.guard = p, .flags = VMAP_NO_GUARD},
	};
	struct vmap_page *pages[3], large = {.refs = 1, .order = VMAP_MAX_ORDER + 1};

	bed_pages(bed, 0, 3, pages);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(bed, pages, 3, &bad[i], -VMAP_EINVAL);
	check_refused(bed, pages, 0, NULL, -VMAP_EINVAL);
	check_refused(bed, NULL, 1, NULL, -VMAP_EINVAL);
	check_refused(bed, (struct vmap_page *[]){pages[0], NULL, pages[2]}, 3, NULL, -VMAP_EINVAL);
	check_refused(bed, (struct vmap_page *[]){pages[0], &large}, 2, NULL, -VMAP_EINVAL);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(bed->host->page_refs(bed, pages[i]), 1);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

static void sizes_that_wrap_are_refused(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page huge = {.refs = 1, .order = VMAP_MAX_ORDER}, *page = &huge, **pages;
	size_t n = SIZE_MAX / (bed->page_size << VMAP_MAX_ORDER) + 1;

	pages = malloc(n * sizeof(struct vmap_page *));
	assert_non_null(pages);
	for (size_t i = 0; i < n; i++)
		pages[i] = &huge;
	check_refused(bed, pages, n, NULL, -VMAP_ERANGE);
	check_refused(bed, &page, 1, &(struct vmap_options){.guard = SIZE_MAX - bed->page_size + 1}, -VMAP_ERANGE);
	/* One less does not wrap, and is only too much for this space. */
	check_refused(bed, pages, n - 1, NULL, -VMAP_ENOSPC);
	check_refused(bed, &page, 1, NULL, -VMAP_ENOSPC);
	free(pages);
	bed_end(bed);
}

static void unmap_refuses_what_is_no_area(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[2];
	struct vmap_stats before;
	uintptr_t addr;

	bed_pages(bed, 0, 2, pages);
	addr = bed_map(bed, pages, 2, NULL);
	before = bed_stats(bed);
	assert_int_equal(vmap_unmap(bed->space, NULL), -VMAP_ENOENT);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(bed->base - 1)), -VMAP_ENOENT);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(bed->base + bed->size)), -VMAP_ENOENT);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(UINTPTR_MAX)), -VMAP_ENOENT);
	assert_int_equal(vmap_unmap(bed->space, &before), -VMAP_ENOENT);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr + 1)), -VMAP_ENOENT);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr + bed->page_size)), -VMAP_ENOENT);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr + 2 * bed->page_size)), -VMAP_ENOENT); /* the guard */
	assert_int_equal(vmap_free(bed->space, bed_ptr(addr + 1)), -VMAP_ENOENT);
	assert_int_equal(vmap_free(bed->space, bed_ptr(addr)), -VMAP_EINVAL); /* not made by vmap_alloc() */
	assert_int_equal(bed_stats(bed).unmaps, before.unmaps);
	bed_check_view(bed, addr, pages, 2);
	bed_unmap(bed, addr);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void double_unmap_is_told(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *page;
	uintptr_t addr;

	bed_pages(bed, 0, 1, &page);
	addr = bed_map(bed, &page, 1, NULL);
	bed_unmap(bed, addr);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr)), -VMAP_EALREADY);
	assert_int_equal(vmap_free(bed->space, bed_ptr(addr)), -VMAP_EALREADY);
	assert_int_equal(bed_stats(bed).unmaps, 1);
	vmap_purge(bed->space);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr)), -VMAP_ENOENT);
	assert_int_equal(bed->host->page_refs(bed, page), 1);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

const struct CMUnitTest conformance_map_tests[] = {
	cmocka_unit_test(one_page_is_seen),
	cmocka_unit_test(mixed_orders_follow_each_other),
	cmocka_unit_test(order_is_the_callers),
	cmocka_unit_test(a_page_may_stand_twice),
	cmocka_unit_test(two_views_show_the_same_pages),
	cmocka_unit_test(the_array_is_copied),
	cmocka_unit_test(protection_holds),
	cmocka_unit_test(protection_and_type_hold_each_time),
	cmocka_unit_test(bad_arguments_are_refused),
	cmocka_unit_test(sizes_that_wrap_are_refused),
	cmocka_unit_test(unmap_refuses_what_is_no_area),
	cmocka_unit_test(double_unmap_is_told),
	CONFORMANCE_END,
};
