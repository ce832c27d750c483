// SPDX-License-Identifier: MIT
/* Looking: from an address to its area and page, listing areas, totals. */
#include "bed.h"

#define SPACE ((size_t)4 << 20)

static void every_address_has_its_state(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_options options = {.tag = "middle", .prot = VMAP_READ, .flags = VMAP_BORROW};
	size_t p = bed->page_size;
	struct vmap_area_info info;
	struct vmap_page *pages[2];
	uintptr_t addr;

	bed_pages(bed, 1, 2, pages);
	options.min = bed->base + 10 * p;
	options.guard = 2 * p;
	addr = bed_map(bed, pages, 2, &options);
	for (uintptr_t at = addr; at < addr + 6 * p; at += p / 2) {
		assert_int_equal(vmap_area_at(bed->space, bed_ptr(at), &info), 0);
		assert_int_equal(info.addr, addr);
		assert_int_equal(info.size, 4 * p);
		assert_int_equal(info.guard, 2 * p);
		assert_int_equal(info.pages, 2);
		assert_int_equal(info.flags, VMAP_BORROW);
		assert_int_equal(info.prot, VMAP_READ);
		assert_string_equal(info.tag, "middle");
		assert_int_equal(info.state, at < addr + 4 * p ? VMAP_STATE_MAPPED : VMAP_STATE_GUARD);
	}
	assert_int_equal(bed_state(bed, addr + 4 * p - 1), VMAP_STATE_MAPPED);
	assert_int_equal(bed_state(bed, addr + 6 * p - 1), VMAP_STATE_GUARD);
	assert_int_equal(bed_state(bed, addr - 1), VMAP_STATE_FREE);
	assert_int_equal(bed_state(bed, addr + 6 * p), VMAP_STATE_FREE);
	assert_int_equal(bed_state(bed, bed->base - 1), VMAP_STATE_FREE);
	assert_int_equal(bed_state(bed, bed->base + bed->size), VMAP_STATE_FREE);
	assert_int_equal(bed_state(bed, 0), VMAP_STATE_FREE);
	assert_int_equal(bed_state(bed, UINTPTR_MAX), VMAP_STATE_FREE);
	bed_unmap(bed, addr);
	assert_int_equal(bed_state(bed, addr), VMAP_STATE_LAZY);
	assert_int_equal(bed_state(bed, addr + 6 * p - 1), VMAP_STATE_LAZY);
	vmap_purge(bed->space);
	assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr), &info), -VMAP_ENOENT);
	assert_int_equal(info.state, VMAP_STATE_FREE);
	assert_true(!info.addr && !info.size && !info.guard && !info.pages && !info.tag);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void check_page_at(struct conformance_bed *bed, struct vmap_page **pages, size_t n)
{
	uintptr_t addr = bed_map(bed, pages, n, NULL), at = addr;
	struct vmap_page *page;
	size_t offset;

	for (size_t i = 0; i < n; i++) {
		for (size_t in = 0; in < bed_page_size(bed, pages[i]); in += bed->page_size / 2 - 1) {
			assert_int_equal(vmap_page_at(bed->space, bed_ptr(at + in), &page, &offset), 0);
			assert_ptr_equal(page, pages[i]);
			assert_int_equal(offset, in);
		}
		at += bed_page_size(bed, pages[i]);
		assert_int_equal(vmap_page_at(bed->space, bed_ptr(at - 1), &page, &offset), 0);
		assert_ptr_equal(page, pages[i]);
		assert_int_equal(offset, bed_page_size(bed, pages[i]) - 1);
	}
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(at), &page, &offset), -VMAP_EFAULT);
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(at + bed->page_size), &page, &offset), -VMAP_ENOENT);
	bed_unmap(bed, addr);
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(addr), &page, &offset), -VMAP_ENOENT);
	vmap_purge(bed->space);
}

static void every_address_has_its_page(void **state)
{
	static const unsigned orders[] = {4, 0, 0, 2, 6, 1, 0, 3, 3, 0};
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[ARRAY_SIZE(orders)];
	size_t offset;

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		bed_pages(bed, orders[i], 1, &pages[i]);
	check_page_at(bed, pages, ARRAY_SIZE(pages));
	check_page_at(bed, &pages[1], 2);
	check_page_at(bed, &pages[4], 1);
	check_page_at(bed, &pages[7], 2);
	bed_put(bed, pages, ARRAY_SIZE(pages));
	assert_int_equal(vmap_page_at(bed->space, NULL, pages, &offset), -VMAP_ENOENT);
	bed_end(bed);
}

static void a_listing_shows_each_area_once(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	uintptr_t addrs[50], cursor = 0, last = 0;
	struct vmap_area_info info;
	struct vmap_page *page;
	size_t live = 0, lazy = 0;

	assert_int_equal(vmap_area_next(bed->space, &cursor, &info), -VMAP_ENOENT);
	bed_pages(bed, 0, 1, &page);
	for (size_t i = 0; i < 50; i++)
		addrs[i] = bed_map(bed, &page, 1, &(struct vmap_options){.flags = i % 3 ? 0 : VMAP_NO_GUARD});
	for (size_t i = 0; i < 50; i += 5)
		bed_unmap(bed, addrs[i]);
	for (cursor = 0; !vmap_area_next(bed->space, &cursor, &info); last = info.addr) {
		assert_true(info.addr > last);
		assert_int_equal(cursor, info.addr + info.size + info.guard);
		live += info.state == VMAP_STATE_MAPPED;
		lazy += info.state == VMAP_STATE_LAZY;
	}
	assert_int_equal(live, 40);
	assert_int_equal(lazy, 10);
	cursor = UINTPTR_MAX;
	assert_int_equal(vmap_area_next(bed->space, &cursor, &info), -VMAP_ENOENT);
	for (size_t i = 0; i < 50; i++)
		if (i % 5)
			bed_unmap(bed, addrs[i]);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

/* Areas come and go between the calls, before and behind the cursor; those that stay are all seen, once. */
static void a_listing_survives_changes(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	static const char *const stays = "stays";
	uintptr_t stay[40], go[40], extra[40], cursor = 0, last = 0;
	struct vmap_area_info info;
	struct vmap_page *page;
	size_t seen = 0, gone = 0, more = 0;

	bed_pages(bed, 0, 1, &page);
	for (size_t i = 0; i < 40; i++) {
		stay[i] = bed_map(bed, &page, 1, &(struct vmap_options){.tag = stays});
		go[i] = bed_map(bed, &page, 1, NULL);
	}
	while (!vmap_area_next(bed->space, &cursor, &info)) {
		assert_true(info.addr > last);
		last = info.addr;
		seen += info.tag == stays;
		if (gone < 40)
			bed_unmap(bed, go[gone * 7 % 40]);
		gone += gone < 40;
		if (more < 40)
			extra[more++] = bed_map(bed, &page, 1, NULL);
	}
	assert_int_equal(seen, 40);
	for (; gone < 40; gone++)
		bed_unmap(bed, go[gone * 7 % 40]);
	for (size_t i = 0; i < 40; i++)
		bed_unmap(bed, stay[i]);
	while (more)
		bed_unmap(bed, extra[--more]);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void totals_follow_each_step(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size;
	struct vmap_page *pages[3];
	struct vmap_stats stats;
	uintptr_t first, second;
	void *third;

	bed_pages(bed, 1, 3, pages);
	first = bed_map(bed, pages, 3, NULL);
	second = bed_map(bed, pages, 1, &(struct vmap_options){.guard = 3 * p, .flags = VMAP_BORROW});
	assert_int_equal(vmap_alloc(bed->space, 4 * p, 0, &(struct vmap_options){.flags = VMAP_NO_GUARD}, &third), 0);
	stats = bed_stats(bed);
	assert_int_equal(stats.areas, 3);
	assert_int_equal(stats.mapped, 12 * p);
	assert_int_equal(stats.guards, 4 * p);
	assert_int_equal(stats.pages_held, 7);
	assert_int_equal(stats.maps, 3);
	bed_unmap(bed, first);
	bed_unmap(bed, second);
	stats = bed_stats(bed);
	assert_int_equal(stats.areas, 1);
	assert_int_equal(stats.mapped, 4 * p);
	assert_int_equal(stats.guards, 0);
	assert_int_equal(stats.lazy_areas, 2);
	assert_int_equal(stats.lazy, 12 * p);
	assert_int_equal(stats.pages_held, 7);
	assert_int_equal(stats.unmaps, 2);
	assert_int_equal(stats.flushes, 0);
	vmap_purge(bed->space);
	stats = bed_stats(bed);
	assert_int_equal(stats.lazy_areas, 0);
	assert_int_equal(stats.free, bed->size - 4 * p);
	assert_int_equal(stats.pages_held, 4);
	assert_int_equal(stats.flushes, 1);
	assert_int_equal(vmap_free(bed->space, third), 0);
	vmap_purge(bed->space);
	stats = bed_stats(bed);
	assert_int_equal(stats.free, bed->size);
	assert_int_equal(stats.pages_held, 0);
	assert_int_equal(stats.maps, 3);
	assert_int_equal(stats.unmaps, 3);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

/* A dump over areas, a guard, short-lived maps and free addresses; from and to the middle of pages. */
static void reading_skips_holes(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)2 << 20, SIZE_MAX);
	size_t page = bed->page_size, copied, size;
	struct vmap_page *pages[3];
	uintptr_t addr, short_lived;
	unsigned char *bytes, value;
	void *ram;

	bed_pages(bed, 0, 3, pages);
	addr = bed_map(bed, pages, 3, NULL);
	bed_unmap(bed, bed_map(bed, pages, 1, NULL));
	vmap_purge(bed->space);
	assert_int_equal(vmap_ram(bed->space, pages, 2, 0, 0, &ram), 0);
	short_lived = (uintptr_t)ram;
	assert_true(short_lived > addr);
	size = short_lived - addr + 10 * page;
	bytes = malloc(size);
	assert_non_null(bytes);
	for (size_t skip = 0; skip < 2 * page; skip += page / 2 + 1) {
		for (size_t i = 0; i < size; i++)
			bytes[i] = 0xee;
		assert_int_equal(vmap_read(bed->space, bytes, bed_ptr(addr + skip), size - skip, &copied), 0);
		assert_int_equal(copied, 5 * page - skip);
		for (size_t at = skip; at < size; at++) {
			if (at % (page / 4) && (at - 1) % (page / 4))
				continue;
			if (!bed->host->read(bed, addr + at, &value))
				value = 0;
			assert_int_equal(bytes[at - skip], value);
		}
	}
	assert_int_equal(vmap_read(bed->space, bytes, bed_ptr(UINTPTR_MAX - 5), 10, &copied), -VMAP_EINVAL);
	assert_int_equal(vmap_read(bed->space, bytes, bed_ptr(addr + 3 * page), page, &copied), 0);
	assert_int_equal(copied, 0);
	free(bytes);
	assert_int_equal(vmap_ram_unmap(bed->space, ram), 0);
	bed_unmap(bed, addr);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

static void addresses_are_explained(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)2 << 20, SIZE_MAX);
	struct vmap_options named = {.tag = "victim", .min = bed->base + 16 * bed->page_size};
	struct vmap_explanation why;
	struct vmap_page *pages[2];
	uintptr_t addr, last;

	bed_pages(bed, 0, 2, pages);
	addr = bed_map(bed, pages, 2, &named);
	named.min = addr + 100 * bed->page_size;
	last = bed_map(bed, pages, 1, &named);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr + 5), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_MAPPED);
	assert_int_equal(why.area.addr, addr);
	assert_int_equal(why.below.size, 0);
	assert_int_equal(why.above.addr, last);
	assert_true(why.area.generation && why.above.generation == why.area.generation + 1);
	/* The first byte behind the area: by one too far. */
	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr + 2 * bed->page_size), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_GUARD);
	assert_int_equal(why.beyond, 1);
	assert_string_equal(why.area.tag, "victim");
	assert_int_equal(vmap_explain(bed->space, bed_ptr(last - 1), &why), -VMAP_ENOENT);
	assert_int_equal(why.state, VMAP_STATE_FREE);
	assert_int_equal(why.below.addr, addr);
	assert_int_equal(why.above.addr, last);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(bed->base - 1), &why), -VMAP_EINVAL);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(bed->base + bed->size), &why), -VMAP_EINVAL);
	bed_unmap(bed, addr);
	assert_int_equal(vmap_explain(bed->space, bed_ptr(addr + 5), &why), 0);
	assert_int_equal(why.state, VMAP_STATE_LAZY);
	assert_non_null(why.unmapped_by);
	assert_null(why.below.tag);
	bed_unmap(bed, last);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

const struct CMUnitTest conformance_look_tests[] = {
	cmocka_unit_test(every_address_has_its_state),    cmocka_unit_test(every_address_has_its_page),
	cmocka_unit_test(a_listing_shows_each_area_once), cmocka_unit_test(a_listing_survives_changes),
	cmocka_unit_test(totals_follow_each_step),        cmocka_unit_test(reading_skips_holes),
	cmocka_unit_test(addresses_are_explained),        CONFORMANCE_END,
};
