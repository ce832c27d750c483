// SPDX-License-Identifier: MIT
/* vmap_alloc() and vmap_free(). */
#include "bed.h"

#define SPACE ((size_t)16 << 20)

static void check_usable(struct conformance_bed *bed, uintptr_t addr, size_t size)
{
	unsigned char value;

	for (size_t at = 0; at < size; at += bed->page_size / 2)
		assert_true(bed->host->write(bed, addr + at, (unsigned char)(at >> 11)));
	for (size_t at = 0; at < size; at += bed->page_size / 2) {
		assert_true(bed->host->read(bed, addr + at, &value));
		assert_int_equal(value, (unsigned char)(at >> 11));
	}
	assert_true(bed->host->write(bed, addr + size - 1, 0xff));
}

/* Pages of the order asked for, then each smaller order at most once. */
static void check_pages(struct conformance_bed *bed, const struct vmap_area_info *info, unsigned order)
{
	unsigned last = order;
	struct vmap_page *page;
	size_t n = 0, offset;

	for (size_t at = 0; at < info->size; at += bed_page_size(bed, page), n++) {
		assert_int_equal(vmap_page_at(bed->space, bed_ptr(info->addr + at), &page, &offset), 0);
		assert_int_equal(offset, 0);
		assert_true(page->order <= last);
		assert_true(page->order < last || last == order);
		assert_int_equal(bed->host->page_refs(bed, page), 1);
		last = page->order;
	}
	assert_int_equal(n, info->pages);
}

static void alloc_wastes_less_than_a_base_page(void **state)
{
	static const unsigned orders[] = {0, 1, 4, 9};
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	const size_t sizes[] = {1, p - 1, p, p + 1, 3 * p, 16 * p, 31 * p - 7, 64 * p + 1, 700 * p};
	struct vmap_area_info info;
	void *addr;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(orders); k++) {
			assert_int_equal(vmap_alloc(bed->space, sizes[i], orders[k], NULL, &addr), 0);
			assert_int_equal(vmap_area_at(bed->space, addr, &info), 0);
			assert_int_equal(info.addr, (uintptr_t)addr);
			assert_true(info.size >= sizes[i] && info.size - sizes[i] < p);
			assert_int_equal(bed->host->pages_used(bed), info.size);
			check_pages(bed, &info, orders[k]);
			check_usable(bed, info.addr, sizes[i]);
			bed_check_faults(bed, info.addr + info.size, p);
			assert_int_equal(vmap_free(bed->space, addr), 0);
			vmap_purge(bed->space);
			assert_int_equal(bed->host->pages_used(bed), 0);
		}
	}
	bed_end(bed);
}

static void pages_live_until_the_flush(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t size = 5 * bed->page_size;
	void *addr;

	assert_int_equal(vmap_alloc(bed->space, size, 1, NULL, &addr), 0);
	assert_int_equal(bed_stats(bed).pages_held, 3);
	assert_int_equal(vmap_free(bed->space, addr), 0);
	assert_int_equal(bed->host->pages_used(bed), size);
	assert_int_equal(bed_stats(bed).pages_held, 3);
	assert_int_equal(vmap_free(bed->space, addr), -VMAP_EALREADY);
	vmap_purge(bed->space);
	assert_int_equal(bed->host->pages_used(bed), 0);
	assert_int_equal(bed_stats(bed).pages_held, 0);
	assert_int_equal(vmap_free(bed->space, addr), -VMAP_ENOENT);
	bed_end(bed);
}

static void unmap_refuses_an_allocation(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	void *addr;

	assert_int_equal(vmap_alloc(bed->space, 1, 0, NULL, &addr), 0);
	assert_int_equal(vmap_unmap(bed->space, addr), -VMAP_EINVAL);
	check_usable(bed, (uintptr_t)addr, bed->page_size);
	assert_int_equal(vmap_free(bed->space, addr), 0);
	bed_end(bed);
}

static void alloc_takes_options(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	struct vmap_options options = {.flags = VMAP_SYNC, .align = 64 * p, .phase = 3 * p, .guard = 4 * p, .tag = "tagged"};
	struct vmap_area_info info;
	void *addr;

	assert_int_equal(vmap_alloc(bed->space, 6 * p, 2, &options, &addr), 0);
	assert_int_equal((uintptr_t)addr % (64 * p), 3 * p);
	assert_int_equal(vmap_area_at(bed->space, addr, &info), 0);
	assert_int_equal(info.guard, 4 * p);
	assert_int_equal(info.flags, VMAP_SYNC);
	assert_string_equal(info.tag, "tagged");
	assert_int_equal(vmap_free(bed->space, addr), 0);
	assert_int_equal(bed->host->pages_used(bed), 0);
	bed_end(bed);
}

static void check_refused(struct conformance_bed *bed, size_t size, unsigned order, const struct vmap_options *options, int err)
{
	void *addr = bed;

	assert_int_equal(vmap_alloc(bed->space, size, order, options, &addr), err);
	assert_null(addr);
	assert_int_equal(bed_stats(bed).free, bed->size);
	assert_int_equal(bed->host->pages_used(bed), 0);
}

static void bad_allocations_are_refused(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;

	check_refused(bed, 0, 0, NULL, -VMAP_EINVAL);
	check_refused(bed, p, VMAP_MAX_ORDER + 1, NULL, -VMAP_EINVAL);
	check_refused(bed, p, 0, &(struct vmap_options){.flags = VMAP_BORROW}, -VMAP_EINVAL);
	check_refused(bed, p, 0, &(struct vmap_options){.flags = VMAP_PUT_PAGES}, -VMAP_EINVAL);
	check_refused(bed, p, 0, &(struct vmap_options){.align = 3 * p}, -VMAP_EINVAL);
	check_refused(bed, SIZE_MAX, 0, NULL, -VMAP_ERANGE);
	check_refused(bed, SIZE_MAX - p + 1, 0, NULL, -VMAP_ERANGE);
	check_refused(bed, bed->size, 0, NULL, -VMAP_ENOSPC);
	check_refused(bed, p, 0, &(struct vmap_options){.max = bed->base - 1}, -VMAP_ENOSPC);
	bed_end(bed);
}

/* Not every host can unmap parts of a mapping; one that cannot says so. */
static bool resizes(struct conformance_bed *bed)
{
	void *mem;
	int err;

	assert_int_equal(vmap_alloc(bed->space, 1, 0, NULL, &mem), 0);
	err = vmap_realloc(bed->space, mem, 1, 0);
	assert_true(!err || err == -VMAP_EINVAL);
	assert_int_equal(vmap_free(bed->space, mem), 0);
	vmap_purge(bed->space);
	return !err;
}

static void stamp(struct conformance_bed *bed, uintptr_t addr, size_t first, size_t end)
{
	for (; first < end; first++)
		assert_true(bed->host->write(bed, addr + first * bed->page_size, (unsigned char)(first + 3)));
}

/* So many pages hold their stamps, and behind them is the guard. */
static void check_length(struct conformance_bed *bed, uintptr_t addr, size_t pages)
{
	struct vmap_area_info info;
	unsigned char value;

	for (size_t i = 0; i < pages; i++) {
		assert_true(bed->host->read(bed, addr + i * bed->page_size, &value));
		assert_int_equal(value, (unsigned char)(i + 3));
	}
	bed_check_faults(bed, addr + pages * bed->page_size, bed->page_size);
	assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr), &info), 0);
	assert_int_equal(info.size, pages * bed->page_size);
	assert_int_equal(info.guard, bed->page_size);
	assert_int_equal(bed->host->pages_used(bed), bed_stats(bed).mapped);
}

static void an_area_grows_and_shrinks(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)4 << 20, SIZE_MAX);
	static const size_t lengths[] = {5, 21, 22, 22, 100, 37, 38, 4, 70, 1, 64};
	size_t now = 5, next;
	uintptr_t addr;
	void *mem;

	if (!resizes(bed)) {
		bed_end(bed);
		return;
	}
	assert_int_equal(vmap_alloc(bed->space, now * bed->page_size, 0, NULL, &mem), 0);
	addr = (uintptr_t)mem;
	stamp(bed, addr, 0, now);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		next = lengths[i];
		assert_int_equal(vmap_realloc(bed->space, mem, next * bed->page_size - 9, i % 2 ? 0 : 3), 0);
		/* A page of a higher order stays whole. */
		if (next < now)
			next = bed_stats(bed).mapped / bed->page_size;
		assert_true(next >= lengths[i] && next < lengths[i] + 8);
		if (next > now)
			stamp(bed, addr, now, next);
		check_length(bed, addr, next);
		now = next;
	}
	assert_int_equal(vmap_free(bed->space, mem), 0);
	vmap_purge(bed->space);
	bed_check_faults(bed, addr, 101 * bed->page_size);
	assert_int_equal(bed_stats(bed).free, bed->size);
	bed_end(bed);
}

static void growing_needs_room(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)4 << 20, SIZE_MAX);
	struct vmap_options placed = {.min = bed->base + 8 * bed->page_size};
	struct vmap_page *page;
	void *mem, *behind;
	uintptr_t view;

	if (!resizes(bed)) {
		bed_end(bed);
		return;
	}
	assert_int_equal(vmap_alloc(bed->space, 3 * bed->page_size, 0, &placed, &mem), 0);
	placed.min = (uintptr_t)mem;
	assert_int_equal(vmap_alloc(bed->space, bed->page_size, 0, &placed, &behind), 0);
	stamp(bed, (uintptr_t)mem, 0, 3);
	assert_int_equal((uintptr_t)behind, (uintptr_t)mem + 4 * bed->page_size);
	assert_int_equal(vmap_realloc(bed->space, mem, 4 * bed->page_size, 0), -VMAP_ENOSPC);
	assert_int_equal(vmap_free(bed->space, behind), 0);
	/* What waits for a flush is taken back for it. */
	assert_int_equal(vmap_realloc(bed->space, mem, 4 * bed->page_size, 0), 0);
	stamp(bed, (uintptr_t)mem, 3, 4);
	check_length(bed, (uintptr_t)mem, 4);
	assert_int_equal(vmap_realloc(bed->space, mem, bed->size, 0), -VMAP_ENOSPC);
	assert_int_equal(vmap_realloc(bed->space, mem, SIZE_MAX / 2, 0), -VMAP_ENOSPC);
	assert_int_equal(vmap_realloc(bed->space, mem, 0, 0), -VMAP_EINVAL);
	assert_int_equal(vmap_realloc(bed->space, (char *)mem + bed->page_size, bed->page_size, 0), -VMAP_ENOENT);
	check_length(bed, (uintptr_t)mem, 4);
	bed_pages(bed, 0, 1, &page);
	view = bed_map(bed, &page, 1, NULL);
	assert_int_equal(vmap_realloc(bed->space, bed_ptr(view), 2 * bed->page_size, 0), -VMAP_EINVAL);
	bed_unmap(bed, view);
	bed_put(bed, &page, 1);
	assert_int_equal(vmap_free(bed->space, mem), 0);
	assert_int_equal(vmap_realloc(bed->space, mem, bed->page_size, 0), -VMAP_ENOENT);
	bed_end(bed);
}

/* An allocation with another right behind it. */
static void *hemmed_in(struct conformance_bed *bed, size_t pages, void **behind)
{
	struct vmap_options options = {.min = bed->base + 8 * bed->page_size, .tag = "moves"};
	void *mem;

	assert_int_equal(vmap_alloc(bed->space, pages * bed->page_size, 1, &options, &mem), 0);
	options.min = (uintptr_t)mem + (pages + 1) * bed->page_size;
	options.max = options.min + 2 * bed->page_size - 1;
	assert_int_equal(vmap_alloc(bed->space, bed->page_size, 0, &options, behind), 0);
	return mem;
}

/* The pages go along; the old address is unmapped as any other, and holds them until its flush. */
static void an_area_moves(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)4 << 20, SIZE_MAX);
	struct vmap_page *first, *page;
	struct vmap_explanation why;
	struct vmap_area_info info;
	struct vmap_options options = {.align = 16 * bed->page_size};
	void *mem, *behind, *old;
	size_t p = bed->page_size, offset;
	uint64_t flushes;

	if (!resizes(bed)) {
		bed_end(bed);
		return;
	}
	mem = old = hemmed_in(bed, 6, &behind);
	stamp(bed, (uintptr_t)mem, 0, 6);
	flushes = bed_stats(bed).flushes;
	assert_int_equal(vmap_page_at(bed->space, mem, &first, &offset), 0);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 12 * p, 0, NULL), 0);
	assert_ptr_not_equal(mem, old);
	assert_int_equal(vmap_page_at(bed->space, mem, &page, &offset), 0);
	assert_ptr_equal(page, first);
	assert_int_equal(bed->host->page_refs(bed, page), 2);
	assert_int_equal(bed_state(bed, (uintptr_t)old), VMAP_STATE_LAZY);
	assert_int_equal(vmap_free(bed->space, old), -VMAP_EALREADY);
	assert_int_equal(vmap_explain(bed->space, old, &why), 0);
	assert_non_null(why.unmapped_by);
	assert_int_equal(bed_stats(bed).flushes, flushes);
	stamp(bed, (uintptr_t)mem, 6, 12);
	vmap_purge(bed->space);
	assert_int_equal(bed->host->page_refs(bed, page), 1);
	bed_check_faults(bed, (uintptr_t)old, 6 * p);
	assert_int_equal(vmap_free(bed->space, behind), 0);
	vmap_purge(bed->space);
	check_length(bed, (uintptr_t)mem, 12);
	assert_int_equal(vmap_area_at(bed->space, mem, &info), 0);
	assert_string_equal(info.tag, "moves");

	/* In place where there is room, and shorter always. */
	old = mem;
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 20 * p, 0, NULL), 0);
	assert_ptr_equal(mem, old);
	stamp(bed, (uintptr_t)mem, 12, 20);
	check_length(bed, (uintptr_t)mem, 20);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 6 * p, 0, NULL), 0);
	assert_ptr_equal(mem, old);
	check_length(bed, (uintptr_t)mem, 6);
	assert_int_equal(vmap_free(bed->space, mem), 0);
	vmap_purge(bed->space);

	/* Where it is told to; and freed before the old address was flushed. */
	mem = old = hemmed_in(bed, 6, &behind);
	options.guard = 3 * p;
	stamp(bed, (uintptr_t)mem, 0, 6);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 7 * p, 0, &options), 0);
	assert_int_equal((uintptr_t)mem % (16 * p), 0);
	assert_int_equal(vmap_area_at(bed->space, mem, &info), 0);
	assert_int_equal(info.guard, 3 * p);
	assert_int_equal(vmap_free(bed->space, mem), 0);
	assert_int_equal(vmap_free(bed->space, behind), 0);
	assert_int_equal(bed_stats(bed).pages_held, 3 + 4 + 1);
	vmap_purge(bed->space);
	assert_int_equal(bed->host->pages_used(bed), 0);
	assert_int_equal(bed_stats(bed).free, bed->size);
	bed_end(bed);
}

static void a_move_may_be_refused(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)4 << 20, SIZE_MAX);
	struct vmap_options above = {.min = bed->base + bed->size}, sync = {.flags = VMAP_SYNC}, prot = {.prot = VMAP_READ};
	void *mem, *behind, *old;
	size_t p = bed->page_size;
	unsigned char value;

	if (!resizes(bed)) {
		bed_end(bed);
		return;
	}
	mem = old = hemmed_in(bed, 4, &behind);
	stamp(bed, (uintptr_t)mem, 0, 4);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 8 * p, 0, &sync), -VMAP_EINVAL);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 8 * p, 0, &prot), -VMAP_EINVAL);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 0, 0, NULL), -VMAP_EINVAL);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, bed->size, 0, NULL), -VMAP_ENOSPC);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 8 * p, 0, &above), -VMAP_ENOSPC);
	/* Of an area of which each page has its own protection no other place would be the same. */
	assert_int_equal(vmap_protect(bed->space, (char *)mem + p, p, VMAP_READ), 0);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 8 * p, 0, NULL), -VMAP_ENOSPC);
	assert_ptr_equal(mem, old);
	check_length(bed, (uintptr_t)mem, 4);
	assert_false(bed->host->write(bed, (uintptr_t)mem + p, 1));
	/* As a whole it goes along. */
	assert_int_equal(vmap_protect(bed->space, mem, 4 * p, VMAP_READ), 0);
	assert_int_equal(vmap_realloc_move(bed->space, &mem, 8 * p, 0, NULL), 0);
	assert_ptr_not_equal(mem, old);
	assert_true(bed->host->read(bed, (uintptr_t)mem + p, &value));
	assert_int_equal(value, 4);
	assert_false(bed->host->write(bed, (uintptr_t)mem + p, 1));
	assert_int_equal(vmap_free(bed->space, mem), 0);
	assert_int_equal(vmap_free(bed->space, behind), 0);
	bed_end(bed);
}

const struct CMUnitTest conformance_alloc_tests[] = {
	cmocka_unit_test(alloc_wastes_less_than_a_base_page),
	cmocka_unit_test(pages_live_until_the_flush),
	cmocka_unit_test(unmap_refuses_an_allocation),
	cmocka_unit_test(alloc_takes_options),
	cmocka_unit_test(bad_allocations_are_refused),
	cmocka_unit_test(an_area_grows_and_shrinks),
	cmocka_unit_test(growing_needs_room),
	cmocka_unit_test(an_area_moves),
	cmocka_unit_test(a_move_may_be_refused),
	CONFORMANCE_END,
};
