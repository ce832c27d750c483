// SPDX-License-Identifier: MIT
/* Sparse areas: addresses now, pages later, in parts. */
#include "bed.h"

#define SPACE ((size_t)4 << 20)

static uintptr_t reserve(struct conformance_bed *bed, size_t pages, const struct vmap_options *options)
{
	void *addr;

	assert_int_equal(vmap_sparse(bed->space, pages * bed->page_size, options, &addr), 0);
	assert_non_null(addr);
	return (uintptr_t)addr;
}

static void map_part(struct conformance_bed *bed, uintptr_t at, struct vmap_page **pages, size_t n)
{
	assert_int_equal(vmap_sparse_map(bed->space, bed_ptr(at), pages, n, 0, 0), 0);
}

static int unmap_pages(struct conformance_bed *bed, uintptr_t at, size_t pages)
{
	return vmap_sparse_unmap(bed->space, bed_ptr(at), pages * bed->page_size);
}

static void finish(struct conformance_bed *bed, uintptr_t addr)
{
	assert_int_equal(vmap_sparse_free(bed->space, bed_ptr(addr)), 0);
}

/* Unmapping this range would cut a part, and the host can do that. */
static bool cuts(struct conformance_bed *bed, uintptr_t at, size_t pages)
{
	int err = unmap_pages(bed, at, pages);

	assert_true(!err || err == -VMAP_EINVAL);
	return !err;
}

static void check_refs(struct conformance_bed *bed, struct vmap_page **pages, size_t n, unsigned refs)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bed->host->page_refs(bed, pages[i]), refs);
}

static void it_begins_as_a_hole(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_options options = {
		.tag = "sparse", .align = 16 * bed->page_size, .guard = 2 * bed->page_size, .prot = VMAP_READ};
	size_t p = bed->page_size, offset;
	struct vmap_area_info info;
	struct vmap_stats stats;
	struct vmap_page *page;
	uintptr_t cursor = 0;
	void *addr;

	assert_int_equal(vmap_sparse(bed->space, 9 * p + 1, &options, &addr), 0);
	assert_int_equal((uintptr_t)addr % (16 * p), 0);
	stats = bed_stats(bed);
	assert_int_equal(stats.areas, 1);
	assert_int_equal(stats.maps, 1);
	assert_int_equal(stats.mapped, 0);
	assert_int_equal(stats.holes, 10 * p);
	assert_int_equal(stats.guards, 2 * p);
	bed_check_faults(bed, (uintptr_t)addr, 12 * p);
	for (size_t i = 0; i < 12; i++) {
		assert_int_equal(vmap_area_at(bed->space, (char *)addr + i * p, &info), 0);
		assert_int_equal(info.state, i < 10 ? VMAP_STATE_HOLE : VMAP_STATE_GUARD);
		assert_int_equal(info.addr, (uintptr_t)addr);
		assert_int_equal(info.size, 10 * p);
		assert_int_equal(info.guard, 2 * p);
		assert_int_equal(info.pages, 0);
		assert_int_equal(info.prot, VMAP_READ);
		assert_string_equal(info.tag, "sparse");
		assert_int_equal(vmap_page_at(bed->space, (char *)addr + i * p, &page, &offset), -VMAP_EFAULT);
	}
	assert_int_equal(vmap_area_next(bed->space, &cursor, &info), 0);
	assert_int_equal(info.state, VMAP_STATE_MAPPED);
	assert_int_equal(cursor, (uintptr_t)addr + 12 * p);
	assert_int_equal(vmap_area_next(bed->space, &cursor, &info), -VMAP_ENOENT);
	/* Nothing was ever mapped, so nothing has to wait. */
	finish(bed, (uintptr_t)addr);
	stats = bed_stats(bed);
	assert_int_equal(stats.free, bed->size);
	assert_int_equal(stats.unmaps, 1);
	assert_int_equal(stats.flushes, 0);
	assert_int_equal(vmap_sparse_free(bed->space, addr), -VMAP_ENOENT);
	bed_end(bed);
}

static void parts_come_and_go(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *large[2], *small[5], *mixed[3];
	size_t p = bed->page_size;
	struct vmap_stats stats;
	uintptr_t addr;

	bed_pages(bed, 2, 2, large);
	bed_pages(bed, 0, 5, small);
	mixed[0] = small[0];
	mixed[1] = large[1];
	mixed[2] = small[1];
	addr = reserve(bed, 32, NULL);
	map_part(bed, addr + 26 * p, mixed, 3); /* up to the end */
	map_part(bed, addr, large, 1); /* from the beginning */
	map_part(bed, addr + 4 * p, small, 5); /* right behind that */
	stats = bed_stats(bed);
	assert_int_equal(stats.areas, 1);
	assert_int_equal(stats.mapped, 15 * p);
	assert_int_equal(stats.holes, 17 * p);
	assert_int_equal(stats.pages_held, 9);
	bed_check_view(bed, addr, large, 1);
	bed_check_view(bed, addr + 4 * p, small, 5);
	bed_check_view(bed, addr + 26 * p, mixed, 3);
	bed_check_faults(bed, addr + 9 * p, 17 * p);
	bed_check_faults(bed, addr + 32 * p, p);

	assert_int_equal(unmap_pages(bed, addr + 4 * p, 5), 0);
	assert_int_equal(bed_state(bed, addr + 4 * p), VMAP_STATE_LAZY);
	assert_int_equal(bed_state(bed, addr + 9 * p), VMAP_STATE_HOLE);
	stats = bed_stats(bed);
	assert_int_equal(stats.lazy_areas, 1);
	assert_int_equal(stats.lazy, 5 * p);
	assert_int_equal(stats.mapped, 10 * p);
	assert_int_equal(stats.pages_held, 9);
	check_refs(bed, &small[2], 3, 2);
	vmap_purge(bed->space);
	check_refs(bed, &small[2], 3, 1);
	assert_int_equal(bed_stats(bed).holes, 22 * p);
	assert_int_equal(bed_state(bed, addr + 4 * p), VMAP_STATE_HOLE);
	bed_check_faults(bed, addr + 4 * p, 22 * p);

	/* Where something waits for its flush the queue is purged first. */
	assert_int_equal(unmap_pages(bed, addr, 4), 0);
	map_part(bed, addr + p, &small[3], 2);
	assert_int_equal(bed_stats(bed).flushes, 2);
	check_refs(bed, large, 1, 1);
	bed_check_view(bed, addr + p, &small[3], 2);

	/* One range over parts, holes, and a part that ends where the area does. */
	assert_int_equal(unmap_pages(bed, addr, 32), 0);
	stats = bed_stats(bed);
	assert_int_equal(stats.lazy_areas, 2);
	assert_int_equal(stats.mapped, 0);
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).holes, 32 * p);
	assert_int_equal(bed_stats(bed).guards, p);
	bed_check_faults(bed, addr, 33 * p);
	check_refs(bed, large, 2, 1);
	check_refs(bed, small, 5, 1);
	finish(bed, addr);
	assert_int_equal(bed_stats(bed).free, bed->size);
	bed_put(bed, large, 2);
	bed_put(bed, small, 5);
	bed_end(bed);
}

/* What is left of a part that was cut shows the same pages, and each page's references go with it. */
static void parts_are_cut(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[20], *found;
	struct vmap_explanation why;
	size_t p = bed->page_size, offset;
	uintptr_t addr;

	for (size_t i = 0; i < 20; i++)
		bed_pages(bed, i % 3 == 2, 1, &pages[i]);
	addr = reserve(bed, 64, NULL);
	/* Page i begins at base page i + i / 3: 26 in all. */
	map_part(bed, addr + 10 * p, pages, 20);
	if (!cuts(bed, addr + 14 * p, 2)) {
		finish(bed, addr);
		bed_put(bed, pages, 20);
		bed_end(bed);
		return;
	}
	/* Pages 3 and 4, in the middle. */
	bed_check_view(bed, addr + 10 * p, pages, 3);
	bed_check_view(bed, addr + 16 * p, &pages[5], 15);
	assert_int_equal(bed_stats(bed).pages_held, 20);
	vmap_purge(bed->space);
	bed_check_faults(bed, addr + 14 * p, 2 * p);
	check_refs(bed, pages, 3, 2);
	check_refs(bed, &pages[3], 2, 1);
	check_refs(bed, &pages[5], 15, 2);
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(addr + 17 * p + 5), &found, &offset), 0);
	assert_ptr_equal(found, pages[5]);
	assert_int_equal(offset, p + 5);
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(addr + 14 * p), &found, &offset), -VMAP_EFAULT);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr + 15 * p), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_HOLE);
	assert_int_equal(why.part.addr, addr + 14 * p);
	assert_int_equal(why.part.size, 2 * p);
	assert_int_equal(why.area.addr, addr);
	assert_int_equal(why.area.pages, 18);

	/* An end inside of a page is refused, at either end, and nothing changes. */
	assert_int_equal(unmap_pages(bed, addr + 17 * p, 10), -VMAP_EINVAL);
	assert_int_equal(unmap_pages(bed, addr + 16 * p, 5), -VMAP_EINVAL);
	assert_int_equal(bed_stats(bed).mapped, 24 * p);

	/* From the middle of the first piece to that of the second; then both ends of what is left. */
	assert_int_equal(unmap_pages(bed, addr + 11 * p, 9), 0);
	bed_check_view(bed, addr + 10 * p, pages, 1);
	bed_check_view(bed, addr + 20 * p, &pages[8], 12);
	assert_int_equal(unmap_pages(bed, addr + 20 * p, 2), 0);
	assert_int_equal(unmap_pages(bed, addr + 34 * p, 2), 0);
	bed_check_view(bed, addr + 22 * p, &pages[9], 9);
	vmap_purge(bed->space);
	check_refs(bed, pages, 1, 2);
	check_refs(bed, &pages[1], 8, 1);
	check_refs(bed, &pages[9], 9, 2);
	check_refs(bed, &pages[18], 2, 1);
	bed_check_faults(bed, addr + 11 * p, 11 * p);
	bed_check_faults(bed, addr + 34 * p, 30 * p);
	assert_int_equal(bed_stats(bed).pages_held, 10);

	/* Cut once more while the pieces wait, and map into the hole between. */
	assert_int_equal(unmap_pages(bed, addr + 26 * p, 4), 0);
	map_part(bed, addr + 26 * p, pages, 3);
	bed_check_view(bed, addr + 26 * p, pages, 3);
	bed_check_view(bed, addr + 22 * p, &pages[9], 3);
	bed_check_view(bed, addr + 30 * p, &pages[15], 3);
	finish(bed, addr);
	vmap_purge(bed->space);
	check_refs(bed, pages, 20, 1);
	assert_int_equal(bed_stats(bed).free, bed->size);
	bed_put(bed, pages, 20);
	bed_end(bed);
}

static void an_area_ends_with_its_parts(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	struct vmap_area_info info;
	struct vmap_stats stats;
	struct vmap_page *page;
	uintptr_t addr;

	bed_pages(bed, 0, 1, &page);
	addr = reserve(bed, 200, NULL);
	for (size_t i = 0; i < 100; i++)
		map_part(bed, addr + 2 * i * p, &page, 1);
	assert_int_equal(unmap_pages(bed, addr, 20), 0);
	finish(bed, addr);
	stats = bed_stats(bed);
	assert_int_equal(stats.areas, 0);
	assert_int_equal(stats.lazy_areas, 100);
	assert_int_equal(stats.lazy, 201 * p);
	assert_int_equal(stats.pages_held, 100);
	assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr + 31 * p), &info), 0);
	assert_int_equal(info.state, VMAP_STATE_LAZY);
	assert_int_equal(vmap_sparse_free(bed->space, bed_ptr(addr)), -VMAP_EALREADY);
	assert_int_equal(vmap_sparse_map(bed->space, bed_ptr(addr + p), &page, 1, 0, 0), -VMAP_ENOENT);
	assert_int_equal(unmap_pages(bed, addr, 20), -VMAP_ENOENT);
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr), p, VMAP_READ), -VMAP_ENOENT);
	vmap_purge(bed->space);
	stats = bed_stats(bed);
	assert_int_equal(stats.free, bed->size);
	assert_int_equal(stats.flushes, 1);
	check_refs(bed, &page, 1, 1);
	bed_check_faults(bed, addr, 200 * p);

	/* With VMAP_SYNC nothing waits, neither after a part nor after the area. */
	addr = reserve(bed, 20, &(struct vmap_options){.flags = VMAP_SYNC});
	for (size_t i = 0; i < 10; i++)
		map_part(bed, addr + 2 * i * p, &page, 1);
	assert_int_equal(unmap_pages(bed, addr, 1), 0);
	assert_int_equal(bed_stats(bed).lazy, 0);
	assert_int_equal(bed->host->page_refs(bed, page), 10);
	finish(bed, addr);
	stats = bed_stats(bed);
	assert_int_equal(stats.free, bed->size);
	assert_int_equal(stats.flushes, 3);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void holes_are_looked_over(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size, copied;
	struct vmap_explanation why;
	struct vmap_page *pages[3];
	unsigned char *bytes, value;
	uintptr_t addr, behind;

	bed_pages(bed, 0, 3, pages);
	addr = reserve(bed, 8, &(struct vmap_options){.tag = "around"});
	behind = bed_map(bed, pages, 3, &(struct vmap_options){.min = addr});
	assert_int_equal(behind, addr + 9 * p);
	map_part(bed, addr + 2 * p, pages, 2);
	map_part(bed, addr + 7 * p, &pages[2], 1);
	bytes = malloc(13 * p);
	assert_non_null(bytes);
	for (size_t skip = 0; skip < 9 * p; skip += p / 2 + 1) {
		for (size_t i = 0; i < 13 * p; i++)
			bytes[i] = 0xee;
		assert_int_equal(vmap_read(bed->space, bytes, bed_ptr(addr + skip), 13 * p - skip, &copied), 0);
		for (size_t at = skip; at < 13 * p; at++) {
			if (at % (p / 4) && (at + 1) % (p / 4))
				continue;
			if (!bed->host->read(bed, addr + at, &value))
				value = 0;
			assert_int_equal(bytes[at - skip], value);
		}
	}
	assert_int_equal(vmap_read(bed->space, bytes, bed_ptr(addr), 13 * p, &copied), 0);
	assert_int_equal(copied, 6 * p);
	free(bytes);

	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr + 5 * p + 1), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_HOLE);
	assert_string_equal(why.area.tag, "around");
	assert_int_equal(why.part.addr, addr + 4 * p);
	assert_int_equal(why.part.size, 3 * p);
	assert_int_equal(why.above.addr, behind);
	assert_int_equal(why.below.size, 0);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr + 3 * p), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_MAPPED);
	assert_int_equal(why.part.addr, addr + 2 * p);
	assert_int_equal(why.part.size, 2 * p);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr + 8 * p), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_GUARD);
	assert_int_equal(why.beyond, 1);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(behind), &why), 0);
	assert_int_equal(why.below.addr, addr);
	assert_int_equal(why.below.size, 8 * p);
	assert_int_equal(why.part.size, 0);
	assert_int_equal(unmap_pages(bed, addr + 2 * p, 2), 0);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr + 3 * p), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_LAZY);
	assert_non_null(why.unmapped_by);
	finish(bed, addr);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_LAZY);
	assert_non_null(why.unmapped_by);
	bed_unmap(bed, behind);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

/* By where the part begins now; on hosts that can. */
static void pages_of_parts_are_replaced(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[5];
	size_t p = bed->page_size;
	uintptr_t addr;
	int err;

	bed_pages(bed, 0, 5, pages);
	addr = reserve(bed, 16, NULL);
	map_part(bed, addr + 3 * p, pages, 4);
	assert_int_equal(vmap_replace(bed->space, bed_ptr(addr), 0, pages[4]), -VMAP_EINVAL);
	err = vmap_replace(bed->space, bed_ptr(addr + 3 * p), 2, pages[4]);
	if (!err) {
		check_refs(bed, &pages[2], 1, 1);
		check_refs(bed, &pages[4], 1, 2);
		bed_check_view(bed, addr + 5 * p, &pages[4], 1);
		bed_check_view(bed, addr + 6 * p, &pages[3], 1);
		/* What is left of the part begins one page later. */
		if (cuts(bed, addr + 3 * p, 1)) {
			assert_int_equal(vmap_replace(bed->space, bed_ptr(addr + 4 * p), 1, pages[2]), 0);
			bed_check_view(bed, addr + 4 * p, &pages[1], 3);
			assert_int_equal(vmap_replace(bed->space, bed_ptr(addr + 4 * p), 3, pages[4]), -VMAP_EINVAL);
		}
	} else {
		assert_int_equal(err, -VMAP_EINVAL);
	}
	finish(bed, addr);
	vmap_purge(bed->space);
	check_refs(bed, pages, 5, 1);
	bed_put(bed, pages, 5);
	bed_end(bed);
}

static void check_writable(struct conformance_bed *bed, uintptr_t addr, const char *expected)
{
	unsigned char value;

	for (size_t i = 0; expected[i]; i++) {
		assert_true(bed->host->read(bed, addr + i * bed->page_size, &value));
		assert_int_equal(bed->host->write(bed, addr + i * bed->page_size, value), expected[i] == 'w');
	}
}

/* Three parts that touch, from the middle of one to the middle of another; with a hole in the range nothing happens. */
static void several_parts_are_protected(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	struct vmap_page *pages[9];
	struct vmap_area_info info;
	uint64_t flushes;
	uintptr_t addr;

	bed_pages(bed, 0, 9, pages);
	addr = reserve(bed, 16, NULL);
	map_part(bed, addr, pages, 3);
	map_part(bed, addr + 3 * p, &pages[3], 2);
	map_part(bed, addr + 5 * p, &pages[5], 3);
	map_part(bed, addr + 9 * p, &pages[8], 1);
	check_writable(bed, addr, "wwwwwwww");
	flushes = bed_stats(bed).flushes;
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr + 2 * p), 4 * p, VMAP_READ), 0);
	assert_int_equal(bed_stats(bed).flushes, flushes + 1);
	check_writable(bed, addr, "wwrrrrww");
	/* What a part was given as a whole. */
	for (size_t i = 2; i < 6; i++) {
		assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr + i * p), &info), 0);
		assert_int_equal(info.prot, i == 3 || i == 4 ? VMAP_READ : VMAP_READ | VMAP_WRITE);
	}
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr), 8 * p, VMAP_WRITE), 0);
	check_writable(bed, addr, "wwwwwwww");
	/* Over a hole, from a hole, into a hole, beyond the end. */
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr), 10 * p, VMAP_READ), -VMAP_EFAULT);
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr + 8 * p), 2 * p, VMAP_READ), -VMAP_EFAULT);
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr + 2 * p), 7 * p, VMAP_READ), -VMAP_EFAULT);
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr + 8 * p), p, VMAP_READ), -VMAP_EFAULT);
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr + 9 * p), 20 * p, VMAP_READ), -VMAP_EFAULT);
	check_writable(bed, addr, "wwwwwwww");
	finish(bed, addr);
	bed_put(bed, pages, 9);
	bed_end(bed);
}

/* Inside of one part, as if it were an area. */
static void parts_change(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	struct vmap_area_info info;
	struct vmap_page *pages[6];
	unsigned char value;
	uintptr_t addr;

	bed_pages(bed, 0, 6, pages);
	addr = reserve(bed, 16, &(struct vmap_options){.prot = VMAP_READ});
	map_part(bed, addr, pages, 3); /* as the area says */
	assert_int_equal(vmap_sparse_map(bed->space, bed_ptr(addr + 3 * p), &pages[3], 3, 0, VMAP_WRITE), 0);
	for (size_t i = 0; i < 6; i++) {
		assert_true(bed->host->read(bed, addr + i * p, &value));
		assert_int_equal(bed->host->write(bed, addr + i * p, value), i >= 3);
		assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr + i * p), &info), 0);
		assert_int_equal(info.prot, i < 3 ? VMAP_READ : VMAP_READ | VMAP_WRITE);
	}
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr + 4 * p), p, VMAP_READ), 0);
	for (size_t i = 0; i < 6; i++) {
		assert_true(bed->host->read(bed, addr + i * p, &value));
		assert_int_equal(bed->host->write(bed, addr + i * p, value), i == 3 || i == 5);
	}
	assert_int_equal(vmap_protect(bed->space, bed_ptr(addr + 3 * p), 3 * p, VMAP_READ), 0);
	assert_false(bed->host->write(bed, addr + 5 * p, value));
	/* The hole that comes of it has the area's protection again. */
	assert_int_equal(unmap_pages(bed, addr + 3 * p, 3), 0);
	vmap_purge(bed->space);
	map_part(bed, addr + 4 * p, &pages[4], 1);
	assert_true(bed->host->read(bed, addr + 4 * p, &value));
	assert_false(bed->host->write(bed, addr + 4 * p, value));
	finish(bed, addr);
	bed_put(bed, pages, 6);
	bed_end(bed);
}

static void who_owns_the_pages_of_a_part(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[3], *array[1];
	size_t p = bed->page_size;
	uintptr_t addr;

	bed_pages(bed, 1, 3, pages);
	addr = reserve(bed, 8, NULL);
	assert_int_equal(vmap_sparse_map(bed->space, bed_ptr(addr), &pages[0], 1, VMAP_BORROW, 0), 0);
	assert_int_equal(vmap_sparse_map(bed->space, bed_ptr(addr + 2 * p), &pages[1], 1, VMAP_PUT_PAGES, 0), 0);
	/* The array is copied. */
	array[0] = pages[2];
	assert_int_equal(vmap_sparse_map(bed->space, bed_ptr(addr + 4 * p), array, 1, 0, 0), 0);
	array[0] = NULL;
	check_refs(bed, pages, 2, 1);
	assert_int_equal(bed->host->page_refs(bed, pages[2]), 2);
	assert_int_equal(bed_stats(bed).pages_held, 2);
	bed_check_view(bed, addr, pages, 3);
	assert_int_equal(vmap_sparse_map(bed->space, bed_ptr(addr + 2 * p), &pages[2], 1, VMAP_PUT_PAGES, 0), -VMAP_EEXIST);
	check_refs(bed, &pages[2], 1, 2);
	finish(bed, addr);
	bed_put(bed, &pages[2], 1);
	vmap_purge(bed->space);
	assert_int_equal(bed->host->page_refs(bed, pages[0]), 1);
	check_refs(bed, &pages[1], 2, 0);
	bed_put(bed, pages, 1);
	assert_int_equal(bed->host->pages_used(bed), 0);
	bed_end(bed);
}

static void frames_are_parts(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size, offset;
	uintptr_t addr = reserve(bed, 16, NULL);
	struct vmap_page *page;
	unsigned char value;
	uint64_t frames[6];

	if (!bed->host->device_frames) {
		assert_int_equal(vmap_sparse_map_pfn(bed->space, bed_ptr(addr), &(uint64_t){1}, 1, 0, 0), -VMAP_EINVAL);
		finish(bed, addr);
		bed_end(bed);
		return;
	}
	bed->host->device_frames(bed, frames, ARRAY_SIZE(frames));
	assert_int_equal(vmap_sparse_map_pfn(bed->space, bed_ptr(addr + 5 * p), frames, 6, 0, VMAP_WRITE), 0);
	assert_int_equal(bed_stats(bed).pages_held, 0);
	assert_int_equal(vmap_sparse_map_pfn(bed->space, bed_ptr(addr + 10 * p), frames, 6, 0, 0), -VMAP_EEXIST);
	assert_int_equal(vmap_sparse_map_pfn(bed->space, bed_ptr(addr + 11 * p), frames, 6, 0, 0), -VMAP_EFAULT);
	assert_int_equal(vmap_sparse_map_pfn(bed->space, bed_ptr(addr), frames, 1, VMAP_PUT_PAGES, 0), -VMAP_EINVAL);
	assert_int_equal(unmap_pages(bed, addr + 7 * p, 2), 0);
	vmap_purge(bed->space);
	for (size_t i = 0; i < 6; i++) {
		bed->host->frame_bytes(bed, frames[i])[9] = (unsigned char)(i + 0x40);
		assert_int_equal(bed->host->read(bed, addr + (5 + i) * p + 9, &value), i < 2 || i >= 4);
		if (i < 2 || i >= 4)
			assert_int_equal(value, i + 0x40);
	}
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(addr + 5 * p), &page, &offset), -VMAP_EFAULT);
	finish(bed, addr);
	vmap_purge(bed->space);
	bed_check_faults(bed, addr, 16 * p);
	bed_end(bed);
}

static void nothing_waits(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_options options = {.flags = VMAP_NOWAIT};
	size_t p = bed->page_size;
	struct vmap_page *pages[4];
	void *addr;

	bed_pages(bed, 0, 4, pages);
	bed_atomic(bed, true);
	assert_int_equal(vmap_sparse(bed->space, 8 * p, &options, &addr), 0);
	assert_int_equal(vmap_sparse_map(bed->space, addr, pages, 4, VMAP_NOWAIT, 0), 0);
	assert_int_equal(vmap_sparse_unmap_nowait(bed->space, addr, 4 * p), 0);
	assert_int_equal(bed_stats(bed).lazy, 4 * p);
	assert_int_equal(vmap_sparse_map(bed->space, addr, pages, 1, VMAP_NOWAIT, 0), -VMAP_EAGAIN);
	assert_int_equal(vmap_sparse_map(bed->space, (char *)addr + 4 * p, pages, 1, VMAP_NOWAIT, 0), 0);
	assert_int_equal(vmap_sparse_free_nowait(bed->space, addr), 0);
	assert_int_equal(bed_stats(bed).lazy, 9 * p);
	assert_int_equal(bed_stats(bed).flushes, 0);
	bed_atomic(bed, false);
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).free, bed->size);
	check_refs(bed, pages, 4, 1);
	bed_put(bed, pages, 4);
	bed_end(bed);
}

static void bad_calls_are_refused(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[2], *none = NULL;
	size_t p = bed->page_size;
	uintptr_t addr, plain;
	void *mem;

	assert_int_equal(vmap_sparse(bed->space, 0, NULL, &mem), -VMAP_EINVAL);
	assert_null(mem);
	assert_int_equal(vmap_sparse(bed->space, p, &(struct vmap_options){.flags = VMAP_BORROW}, &mem), -VMAP_EINVAL);
	assert_int_equal(vmap_sparse(bed->space, p, &(struct vmap_options){.align = 3 * p}, &mem), -VMAP_EINVAL);
	assert_int_equal(vmap_sparse(bed->space, SIZE_MAX, NULL, &mem), -VMAP_ERANGE);
	assert_int_equal(vmap_sparse(bed->space, bed->size, NULL, &mem), -VMAP_ENOSPC);
	bed_pages(bed, 0, 2, pages);
	addr = reserve(bed, 8, NULL);
	plain = bed_map(bed, pages, 2, &(struct vmap_options){.min = addr + 9 * p});
	map_part(bed, addr + 2 * p, pages, 2);

	struct {
		uintptr_t at;
		struct vmap_page **pages;
		size_t n;
		unsigned flags, prot;
		int err;
	} maps[] = {
		{addr, NULL, 1, 0, 0, -VMAP_EINVAL},
		{addr, pages, 0, 0, 0, -VMAP_EINVAL},
		{addr, &none, 1, 0, 0, -VMAP_EINVAL},
		{addr + 1, pages, 1, 0, 0, -VMAP_EINVAL},
		{addr, pages, 1, VMAP_SYNC, 0, -VMAP_EINVAL},
		{addr, pages, 1, VMAP_BORROW | VMAP_PUT_PAGES, 0, -VMAP_EINVAL},
		{addr, pages, 1, 0, 1u << 31, -VMAP_EINVAL},
		{addr + 2 * p, pages, 1, 0, 0, -VMAP_EEXIST},
		{addr + p, pages, 2, 0, 0, -VMAP_EEXIST},
		{addr + 3 * p, pages, 2, 0, 0, -VMAP_EEXIST},
		{addr + 7 * p, pages, 2, 0, 0, -VMAP_EFAULT},
		{addr + 8 * p, pages, 1, 0, 0, -VMAP_EFAULT},
		{plain, pages, 1, 0, 0, -VMAP_ENOENT},
		{plain + 100 * p, pages, 1, 0, 0, -VMAP_ENOENT},
		{p, pages, 1, 0, 0, -VMAP_ENOENT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		assert_int_equal(
			vmap_sparse_map(bed->space, bed_ptr(maps[i].at), maps[i].pages, maps[i].n, maps[i].flags, maps[i].prot),
			maps[i].err);

	struct {
		uintptr_t at;
		size_t size;
		int err;
	} unmaps[] = {
		{addr + 1, p, -VMAP_EINVAL},         {addr, p + 1, -VMAP_EINVAL},     {addr, 0, -VMAP_EINVAL},
		{addr, 9 * p, -VMAP_EFAULT},         {addr + 8 * p, p, -VMAP_EFAULT}, {addr + 2 * p, (size_t)0 - p, -VMAP_EFAULT},
		{addr, 2 * p, -VMAP_EFAULT}, /* nothing is mapped there */
		{addr + 4 * p, 4 * p, -VMAP_EFAULT}, {plain, p, -VMAP_ENOENT},        {p, p, -VMAP_ENOENT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(unmaps); i++)
		assert_int_equal(vmap_sparse_unmap(bed->space, bed_ptr(unmaps[i].at), unmaps[i].size), unmaps[i].err);
	assert_int_equal(vmap_sparse_free(bed->space, bed_ptr(plain)), -VMAP_EINVAL);
	assert_int_equal(vmap_sparse_free(bed->space, bed_ptr(addr + 2 * p)), -VMAP_ENOENT);
	assert_int_equal(vmap_sparse_free(bed->space, bed_ptr(addr + p)), -VMAP_ENOENT);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr)), -VMAP_EINVAL);
	assert_int_equal(vmap_free(bed->space, bed_ptr(addr)), -VMAP_EINVAL);
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr + 2 * p)), -VMAP_EINVAL);
	assert_int_equal(vmap_realloc(bed->space, bed_ptr(addr + 2 * p), p, 0), -VMAP_EINVAL);
	bed_check_view(bed, addr + 2 * p, pages, 2);
	check_refs(bed, pages, 2, 3);
	assert_int_equal(bed_stats(bed).holes, 6 * p);
	assert_int_equal(unmap_pages(bed, addr, 8), 0);
	assert_int_equal(unmap_pages(bed, addr, 8), -VMAP_EFAULT);
	finish(bed, addr);
	bed_unmap(bed, plain);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

const struct CMUnitTest conformance_sparse_tests[] = {
	cmocka_unit_test(it_begins_as_a_hole),
	cmocka_unit_test(parts_come_and_go),
	cmocka_unit_test(parts_are_cut),
	cmocka_unit_test(an_area_ends_with_its_parts),
	cmocka_unit_test(holes_are_looked_over),
	cmocka_unit_test(pages_of_parts_are_replaced),
	cmocka_unit_test(parts_change),
	cmocka_unit_test(several_parts_are_protected),
	cmocka_unit_test(who_owns_the_pages_of_a_part),
	cmocka_unit_test(frames_are_parts),
	cmocka_unit_test(nothing_waits),
	cmocka_unit_test(bad_calls_are_refused),
	CONFORMANCE_END,
};
