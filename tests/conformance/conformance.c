// SPDX-License-Identifier: MIT
/* The suite's entry and the helpers that its tests share. */
#include <stdio.h>
#include "bed.h"

struct conformance_bed *bed_begin(void **state, size_t size, size_t lazy_max)
{
	struct conformance_bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->host = *state;
	if (bed->host->page_size) {
		size = size / 4096 * bed->host->page_size;
		lazy_max = lazy_max == SIZE_MAX ? SIZE_MAX : lazy_max / 4096 * bed->host->page_size;
	}
	assert_int_equal(bed->host->setup(bed, size, lazy_max), 0);
	assert_int_equal(bed->size, size);
	assert_int_equal(bed_stats(bed).free, size);
	return bed;
}

void bed_end(struct conformance_bed *bed)
{
	struct vmap_stats stats = bed_stats(bed);

	assert_int_equal(stats.areas, 0);
	assert_int_equal(bed->host->teardown(bed), 0);
	free(bed);
}

size_t bed_page_size(const struct conformance_bed *bed, const struct vmap_page *page)
{
	return bed->page_size << page->order;
}

void bed_pages(struct conformance_bed *bed, unsigned order, size_t n, struct vmap_page **pages)
{
	unsigned char *bytes;
	size_t number;

	assert_int_equal(bed->host->page_alloc(bed, order, n, pages), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pages[i]->order, order);
		bytes = bed->host->page_bytes(bed, pages[i]);
		for (size_t at = 0; at < bed_page_size(bed, pages[i]); at += bed->page_size) {
			number = pages[i]->frame + at / bed->page_size;
			bytes[at] = (unsigned char)number;
			bytes[at + bed->page_size - 1] = (unsigned char)(number >> 8);
		}
	}
}

void bed_put(struct conformance_bed *bed, struct vmap_page **pages, size_t n)
{
	bed->host->page_put(bed, pages, n);
}

void *bed_ptr(uintptr_t addr)
{
	return (void *)addr;
}

uintptr_t bed_map(struct conformance_bed *bed, struct vmap_page **pages, size_t n, const struct vmap_options *options)
{
	void *addr = NULL;

	assert_int_equal(vmap_pages(bed->space, pages, n, options, &addr), 0);
	assert_non_null(addr);
	assert_true((uintptr_t)addr >= bed->base && (uintptr_t)addr - bed->base < bed->size);
	assert_int_equal((uintptr_t)addr % bed->page_size, 0);
	return (uintptr_t)addr;
}

void bed_unmap(struct conformance_bed *bed, uintptr_t addr)
{
	assert_int_equal(vmap_unmap(bed->space, bed_ptr(addr)), 0);
}

static void check_byte(struct conformance_bed *bed, uintptr_t addr, unsigned char expected)
{
	unsigned char value;

	if (!bed->host->read(bed, addr, &value))
		fail_msg("reading 0x%zx faulted", (size_t)addr);
	if (value != expected)
		fail_msg("0x%zx holds 0x%02x instead of 0x%02x", (size_t)addr, value, expected);
}

void bed_check_view(struct conformance_bed *bed, uintptr_t addr, struct vmap_page **pages, size_t n)
{
	unsigned char *bytes;

	for (size_t i = 0; i < n; i++) {
		bytes = bed->host->page_bytes(bed, pages[i]);
		for (size_t at = 0; at < bed_page_size(bed, pages[i]); at += bed->page_size) {
			check_byte(bed, addr + at, bytes[at]);
			check_byte(bed, addr + at + bed->page_size - 1, bytes[at + bed->page_size - 1]);
		}
		addr += bed_page_size(bed, pages[i]);
	}
}

void bed_check_faults(struct conformance_bed *bed, uintptr_t addr, size_t size)
{
	unsigned char value;

	for (size_t at = 0; at < size; at += bed->page_size)
		if (bed->host->read(bed, addr + at, &value) || bed->host->read(bed, addr + at + bed->page_size - 1, &value))
			fail_msg("0x%zx can be read", (size_t)(addr + at));
}

struct vmap_stats bed_stats(struct conformance_bed *bed)
{
	struct vmap_stats stats;

	vmap_space_stats(bed->space, &stats);
	assert_int_equal(stats.mapped + stats.holes + stats.guards + stats.lazy + stats.quarantined + stats.ram + stats.free,
			 bed->size);
	/* A sparse area may be all hole, or all in parts that wait for their flush. */
	assert_true(stats.areas ? stats.mapped + stats.holes + stats.lazy : !(stats.mapped + stats.holes + stats.guards));
	assert_int_equal(!stats.lazy_areas, !stats.lazy);
	return stats;
}

void bed_atomic(struct conformance_bed *bed, bool atomic)
{
	if (bed->host->atomic)
		bed->host->atomic(atomic);
}

int bed_state(struct conformance_bed *bed, uintptr_t addr)
{
	struct vmap_area_info info;
	int err = vmap_area_at(bed->space, bed_ptr(addr), &info);

	assert_int_equal(err, info.state == VMAP_STATE_FREE ? -VMAP_ENOENT : 0);
	return info.state;
}

int conformance_run(const struct conformance_host *host)
{
	static const struct CMUnitTest *const tables[] = {
		conformance_map_tests,  conformance_alloc_tests,  conformance_place_tests,  conformance_life_tests,
		conformance_look_tests, conformance_thread_tests, conformance_nowait_tests, conformance_change_tests,
		conformance_pfn_tests,  conformance_ram_tests,    conformance_sparse_tests, conformance_congruent_tests,
	};
	struct CMUnitTest tests[128];
	size_t n = 0;

	for (size_t table = 0; table < ARRAY_SIZE(tables); table++) {
		for (const struct CMUnitTest *test = tables[table]; test->name; test++) {
			assert_true(n < ARRAY_SIZE(tests));
			tests[n] = *test;
			/* cmocka hands the initial state to the test; the host is not changed through it. */
			tests[n++].initial_state = (void *)(uintptr_t)host;
		}
	}
	return _cmocka_run_group_tests(host->name, tests, n, NULL, NULL);
}
