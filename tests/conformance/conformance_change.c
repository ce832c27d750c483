// SPDX-License-Identifier: MIT
/* vmap_protect(): what a live area allows, changed in place. */
#include "bed.h"

#define SPACE ((size_t)1 << 20)

/* Touch the range, so that its translations are cached, and see whether it can be written. */
static void check_writes(struct conformance_bed *bed, uintptr_t addr, size_t pages, bool writes)
{
	unsigned char value;

	for (size_t i = 0; i < pages; i++) {
		assert_true(bed->host->read(bed, addr + i * bed->page_size + 9, &value));
		assert_int_equal(bed->host->write(bed, addr + i * bed->page_size + 9, value), writes);
	}
}

static unsigned prot_of(struct conformance_bed *bed, uintptr_t addr)
{
	struct vmap_area_info info;

	assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr), &info), 0);
	return info.prot;
}

static void protect(struct conformance_bed *bed, uintptr_t addr, size_t pages, unsigned prot)
{
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr), pages * bed->page_size, prot), 0);
}

static void a_whole_area_changes(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[3];
	uintptr_t addr;

	bed_pages(bed, 1, 3, pages);
	addr = bed_map(bed, pages, 3, NULL);
	check_writes(bed, addr, 6, true);
	protect(bed, addr, 6, VMAP_READ);
	assert_int_equal(bed_stats(bed).flushes, 1);
	check_writes(bed, addr, 6, false);
	bed_check_view(bed, addr, pages, 3);
	assert_int_equal(prot_of(bed, addr), VMAP_READ);
	protect(bed, addr, 6, VMAP_WRITE);
	check_writes(bed, addr, 6, true);
	assert_int_equal(prot_of(bed, addr), VMAP_READ | VMAP_WRITE);
	protect(bed, addr, 6, VMAP_EXEC);
	check_writes(bed, addr, 6, false);
	assert_int_equal(prot_of(bed, addr), VMAP_READ | VMAP_EXEC);
	bed_unmap(bed, addr);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

/* Pieces of pages, over borders of pages, one piece over another. */
static void a_part_changes(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t page = bed->page_size;
	struct vmap_page *pages[4];
	uintptr_t addr;

	bed_pages(bed, 2, 4, pages);
	addr = bed_map(bed, pages, 4, NULL);
	check_writes(bed, addr, 16, true);
	protect(bed, addr + 3 * page, 6, VMAP_READ);
	check_writes(bed, addr, 3, true);
	check_writes(bed, addr + 3 * page, 6, false);
	check_writes(bed, addr + 9 * page, 7, true);
	assert_int_equal(prot_of(bed, addr), VMAP_READ | VMAP_WRITE);
	protect(bed, addr + 5 * page, 1, VMAP_READ | VMAP_WRITE);
	check_writes(bed, addr + 3 * page, 2, false);
	check_writes(bed, addr + 5 * page, 1, true);
	check_writes(bed, addr + 6 * page, 3, false);
	protect(bed, addr + 15 * page, 1, VMAP_READ);
	check_writes(bed, addr + 15 * page, 1, false);
	bed_check_view(bed, addr, pages, 4);
	bed_unmap(bed, addr);
	vmap_purge(bed->space);
	bed_check_faults(bed, addr, 16 * page);
	bed_put(bed, pages, 4);
	bed_end(bed);
}

static void another_view_keeps_its_protection(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_options touching = {.flags = VMAP_NO_GUARD};
	struct vmap_page *page;
	uintptr_t addr[3];

	bed_pages(bed, 0, 1, &page);
	for (size_t i = 0; i < 3; i++)
		addr[i] = bed_map(bed, &page, 1, &touching);
	protect(bed, addr[1], 1, VMAP_READ);
	for (size_t i = 0; i < 3; i++)
		check_writes(bed, addr[i], 1, i != 1);
	for (size_t i = 0; i < 3; i++)
		bed_unmap(bed, addr[i]);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void what_breaks_the_contract_is_refused(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t page = bed->page_size;
	struct vmap_page *pages[2];
	uintptr_t addr;
	size_t i;

	bed_pages(bed, 0, 2, pages);
	addr = bed_map(bed, pages, 2, NULL);

	struct {
		uintptr_t addr;
		size_t size;
		unsigned prot;
		int err;
	} cases[] = {
		{addr, 0, VMAP_READ, -VMAP_EINVAL},
		{addr + 1, page, VMAP_READ, -VMAP_EINVAL},
		{addr, page + 1, VMAP_READ, -VMAP_EINVAL},
		{addr, page, 0, -VMAP_EINVAL},
		{addr, page, VMAP_READ | VMAP_UNCACHED, -VMAP_EINVAL},
		{addr, page, 1u << 31, -VMAP_EINVAL},
		{addr, 3 * page, VMAP_READ, -VMAP_EFAULT},
		{addr + page, 2 * page, VMAP_READ, -VMAP_EFAULT},
		{addr + page, (size_t)0 - page, VMAP_READ, -VMAP_EFAULT},
		{addr + 2 * page, page, VMAP_READ, -VMAP_EFAULT},
		{addr + 3 * page, page, VMAP_READ, -VMAP_ENOENT},
		{page, page, VMAP_READ, -VMAP_ENOENT},
	};

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(vmap_protect(bed->space, bed_ptr(cases[i].addr), cases[i].size, cases[i].prot), cases[i].err);
	assert_int_equal(bed_stats(bed).flushes, 0);
	check_writes(bed, addr, 2, true);
	bed_unmap(bed, addr);
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr), page, VMAP_READ), -VMAP_ENOENT);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

const struct CMUnitTest conformance_change_tests[] = {
	cmocka_unit_test(a_whole_area_changes),
	cmocka_unit_test(a_part_changes),
	cmocka_unit_test(another_view_keeps_its_protection),
	cmocka_unit_test(what_breaks_the_contract_is_refused),
	CONFORMANCE_END,
};
