// SPDX-License-Identifier: MIT
/* The software MMU catches what it says it catches: each test breaks one rule by calling the hooks as a wrong core would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "softmmu.h"

#define BASE ((uintptr_t)0x7fffffe00000) /* areas across the edge of a second-level table */
#define PAGE ((size_t)4096)
#define SIZE (1024 * PAGE)
#define RW (VMAP_READ | VMAP_WRITE)

static struct softmmu *mmu;
static const struct vmap_host *host;
static struct vmap_page *pages[2];

static int setup(void **state)
{
	(void)state;
	mmu = softmmu_create(BASE, SIZE, 64);
	if (!mmu)
		return -1;
	host = softmmu_host(mmu);
	softmmu_quiet(mmu, true);
	return host->page_alloc(mmu, 0, 2, pages);
}

/* Exactly one violation, and this one; then all is put in order, and nothing else is found. */
static void check_caught(const char *what)
{
	if (!strstr(softmmu_last(mmu), what))
		fail_msg("the last violation is \"%s\" and not \"%s\"", softmmu_last(mmu), what);
	assert_int_equal(softmmu_violations(mmu), 1);
}

static void check_nothing_caught(void)
{
	assert_int_equal(softmmu_violations(mmu), 0);
}

static void end(void)
{
	unsigned violations = softmmu_violations(mmu);

	assert_int_equal(softmmu_destroy(mmu), violations);
}

static int map(uintptr_t addr, size_t n)
{
	return host->map(mmu, addr, pages, n, RW);
}

static void unmap_and_flush(uintptr_t addr, size_t n)
{
	struct vmap_range range = {addr, n * PAGE};

	host->unmap(mmu, addr, n * PAGE);
	host->flush(mmu, &range, 1);
}

static void a_correct_life(void **state)
{
	uintptr_t addr = BASE + SIZE / 2 - PAGE;
	unsigned char value;
	uint64_t frame;

	(void)state;
	assert_int_equal(map(addr, 2), 0);
	assert_true(softmmu_walk(mmu, addr + PAGE, &frame));
	assert_int_equal(frame, pages[1]->frame);
	assert_false(softmmu_walk(mmu, addr + 2 * PAGE, &frame));
	assert_true(softmmu_write(mmu, 0, addr + PAGE + 5, 0x11));
	assert_true(softmmu_read(mmu, 1, addr + PAGE + 5, &value));
	assert_int_equal(value, 0x11);
	assert_int_equal(softmmu_page_bytes(mmu, pages[1])[5], 0x11);
	assert_false(softmmu_read(mmu, 0, addr - 1, &value));
	assert_false(softmmu_read(mmu, 0, addr + 2 * PAGE, &value));
	assert_false(softmmu_read(mmu, 0, 0, &value));
	assert_false(softmmu_read(mmu, 0, UINTPTR_MAX, &value));
	unmap_and_flush(addr, 2);
	assert_false(softmmu_read(mmu, 0, addr, &value));
	host->page_put(mmu, pages, 2);
	check_nothing_caught();
	end();
}

static void a_stale_translation_is_used(void **state)
{
	unsigned char value;

	(void)state;
	map(BASE, 1);
	assert_true(softmmu_read(mmu, 0, BASE, &value));
	host->unmap(mmu, BASE, PAGE);
	check_nothing_caught();
	assert_true(softmmu_read(mmu, 0, BASE, &value));
	check_caught("stale");
	host->flush(mmu, NULL, 0);
	assert_false(softmmu_read(mmu, 0, BASE, &value));
	host->page_put(mmu, pages, 2);
	end();
}

/* No test has touched the page: the CPU that looks ahead has its translation all the same. */
static void a_page_is_freed_before_the_flush(void **state)
{
	(void)state;
	map(BASE, 1);
	host->unmap(mmu, BASE, PAGE);
	host->page_put(mmu, pages, 1);
	check_caught("becomes free while 0 table and 1 TLB");
	host->flush(mmu, NULL, 0);
	host->page_put(mmu, pages + 1, 1);
	end();
}

static void a_page_is_freed_while_mapped(void **state)
{
	(void)state;
	map(BASE, 2);
	host->page_put(mmu, pages, 1);
	check_caught("becomes free while 1 table and 1 TLB");
	unmap_and_flush(BASE, 2);
	host->page_put(mmu, pages + 1, 1);
	end();
}

static void an_address_is_used_before_the_flush(void **state)
{
	(void)state;
	map(BASE, 1);
	host->unmap(mmu, BASE, PAGE);
	map(BASE, 1);
	check_caught("never flushed");
	unmap_and_flush(BASE, 1);
	host->page_put(mmu, pages, 2);
	end();
}

static void the_wrong_range_is_flushed(void **state)
{
	struct vmap_range range = {BASE + PAGE, PAGE};

	(void)state;
	map(BASE, 1);
	host->unmap(mmu, BASE, PAGE);
	host->flush(mmu, &range, 1);
	host->page_put(mmu, pages, 1);
	check_caught("becomes free");
	host->flush(mmu, NULL, 0);
	host->page_put(mmu, pages + 1, 1);
	end();
}

static void areas_overlap(void **state)
{
	(void)state;
	map(BASE, 2);
	map(BASE + 2 * PAGE, 2);
	host->flush(mmu, NULL, 0);
	check_nothing_caught();
	map(BASE + 3 * PAGE, 1);
	check_caught("map over the translation");
	host->unmap(mmu, BASE, 4 * PAGE);
	host->flush(mmu, NULL, 0);
	host->page_put(mmu, pages, 2);
	end();
}

static void what_is_not_mapped_is_unmapped(void **state)
{
	(void)state;
	map(BASE, 1);
	unmap_and_flush(BASE, 2);
	check_caught("not mapped");
	host->page_put(mmu, pages, 2);
	end();
}

/* Half of what one call mapped, and then after a cut, which has to be where something is mapped. */
static void a_part_is_unmapped(void **state)
{
	const uintptr_t border = BASE + PAGE;

	(void)state;
	map(BASE, 2);
	assert_int_equal(host->cut(mmu, &border, 1), 0);
	unmap_and_flush(BASE, 1);
	unmap_and_flush(BASE + PAGE, 1);
	check_nothing_caught();
	map(BASE, 2);
	unmap_and_flush(BASE, 1);
	check_caught("not cut off");
	unmap_and_flush(BASE + PAGE, 1);
	assert_int_equal(softmmu_violations(mmu), 1);
	host->cut(mmu, &border, 1);
	assert_int_equal(softmmu_violations(mmu), 2);
	host->page_put(mmu, pages, 2);
	end();
}

static void ranges_leave_the_space(void **state)
{
	(void)state;
	assert_int_not_equal(map(BASE + SIZE - PAGE, 2), 0);
	check_caught("map of 2 pages");
	host->unmap(mmu, BASE - PAGE, PAGE);
	assert_non_null(strstr(softmmu_last(mmu), "unmap of"));
	host->unmap(mmu, BASE + 1, PAGE);
	assert_int_equal(softmmu_violations(mmu), 3);
	host->flush(mmu, &(struct vmap_range){BASE, 0}, 1);
	assert_int_equal(softmmu_violations(mmu), 4);
	host->page_put(mmu, pages, 2);
	end();
}

static void too_many_ranges_are_flushed(void **state)
{
	struct vmap_range ranges[VMAP_FLUSH_RANGES + 1];

	(void)state;
	for (size_t i = 0; i <= VMAP_FLUSH_RANGES; i++)
		ranges[i] = (struct vmap_range){BASE, PAGE};
	host->flush(mmu, ranges, VMAP_FLUSH_RANGES);
	check_nothing_caught();
	host->flush(mmu, ranges, VMAP_FLUSH_RANGES + 1);
	check_caught("flush of 33 ranges");
	host->page_put(mmu, pages, 2);
	end();
}

static void references_are_wrong(void **state)
{
	(void)state;
	host->page_put(mmu, pages, 1);
	host->page_put(mmu, pages, 1);
	check_caught("page_put of the page");
	host->page_get(mmu, pages, 1);
	assert_int_equal(softmmu_violations(mmu), 2);
	map(BASE, 1);
	assert_non_null(strstr(softmmu_last(mmu), "map of free frame"));
	unmap_and_flush(BASE, 1);
	host->page_put(mmu, pages + 1, 1);
	end();
}

static void the_lock_is_misused(void **state)
{
	unsigned long saved;

	(void)state;
	saved = host->lock(mmu);
	host->flush(mmu, NULL, 0);
	check_caught("flush is called with the lock held");
	host->lock(mmu);
	assert_non_null(strstr(softmmu_last(mmu), "taken by the thread that holds it"));
	host->unlock(mmu, saved + 1);
	assert_non_null(strstr(softmmu_last(mmu), "another saved state"));
	host->unlock(mmu, saved);
	assert_int_equal(softmmu_violations(mmu), 3);
	host->unlock(mmu, saved);
	assert_int_equal(softmmu_violations(mmu), 4);
	host->page_put(mmu, pages, 2);
	end();
}

static void descriptors_are_misused(void **state)
{
	void *mem = host->meta_alloc(mmu, 40);

	(void)state;
	assert_non_null(mem);
	host->meta_free(mmu, mem, 41);
	check_caught("41 bytes that were allocated as 40");
	host->page_put(mmu, pages, 2);
	end();
}

static void what_is_left_is_found(void **state)
{
	void *mem = host->meta_alloc(mmu, 8);

	(void)state;
	assert_non_null(mem);
	map(BASE, 1);
	check_nothing_caught();
	/* Two frames, a descriptor, a translation with its tables, a TLB entry. */
	host->page_put(mmu, pages + 1, 1);
	host->unmap(mmu, BASE, PAGE);
	assert_int_equal(softmmu_destroy(mmu), 3);
}

/* What the core does with entries of its own: show pages, and hide them. */
static void write_entries(uint64_t *entry, const uint64_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		__atomic_store_n(&entry[i], values[i], __ATOMIC_RELAXED);
}

static uint64_t *pin_two(uint64_t *values)
{
	uint64_t *entry;
	size_t n;

	softmmu_pinning(mmu);
	entry = host->pin(mmu, BASE, 2 * PAGE, &n);
	assert_int_equal(n, 2);
	assert_ptr_equal(softmmu_entry(mmu, BASE), entry);
	for (size_t i = 0; i < 2; i++)
		values[i] = pages[i]->frame << host->entry_shift | host->entry_bits[RW];
	return entry;
}

static void the_core_writes_entries(void **state)
{
	static const uint64_t nothing[2];
	unsigned char value;
	uint64_t values[2], *entry = pin_two(values), frame;

	(void)state;
	write_entries(entry, values, 2);
	host->publish(mmu, BASE, 2 * PAGE);
	assert_int_equal(softmmu_translations(mmu), 2);
	assert_true(softmmu_walk(mmu, BASE + PAGE, &frame));
	assert_int_equal(frame, pages[1]->frame);
	assert_true(softmmu_write(mmu, 0, BASE, 7));
	write_entries(entry, nothing, 2);
	host->flush(mmu, &(struct vmap_range){BASE, 2 * PAGE}, 1);
	assert_int_equal(softmmu_translations(mmu), 0);
	assert_false(softmmu_read(mmu, 0, BASE, &value));
	/* The hook maps in the same entries. */
	map(BASE, 2);
	assert_int_equal(entry[1], values[1]);
	unmap_and_flush(BASE, 2);
	host->unpin(mmu, BASE, 2 * PAGE);
	assert_null(softmmu_entry(mmu, BASE));
	host->page_put(mmu, pages, 2);
	check_nothing_caught();
	end();
}

static void the_core_misuses_entries(void **state)
{
	static const uint64_t nothing[2];
	unsigned char value;
	uint64_t values[2], *entry = pin_two(values);

	(void)state;
	write_entries(entry, values, 1);
	assert_true(softmmu_read(mmu, 0, BASE, &value));
	check_caught("which was not published");
	host->publish(mmu, BASE, 2 * PAGE);
	assert_non_null(strstr(softmmu_last(mmu), "has not written all"));
	/* Taken away and written again, without a flush; first unseen, then seen. */
	write_entries(entry, nothing, 1);
	write_entries(entry, values, 1);
	host->publish(mmu, BASE, PAGE);
	assert_int_equal(softmmu_violations(mmu), 3);
	write_entries(entry, nothing, 1);
	assert_int_equal(softmmu_translations(mmu), 0);
	write_entries(entry, values, 1);
	host->publish(mmu, BASE, PAGE);
	assert_non_null(strstr(softmmu_last(mmu), "never flushed"));
	/* Given away while it is shown, and while a CPU remembers it. */
	host->page_put(mmu, pages, 1);
	assert_non_null(strstr(softmmu_last(mmu), "becomes free while 1 table"));
	write_entries(entry, nothing, 1);
	host->flush(mmu, NULL, 0);
	write_entries(entry, values, 1);
	host->publish(mmu, BASE, PAGE);
	assert_non_null(strstr(softmmu_last(mmu), "map of free frame"));
	write_entries(entry, &(uint64_t){values[0] + ((uint64_t)1 << 40)}, 1);
	host->flush(mmu, NULL, 0);
	assert_non_null(strstr(softmmu_last(mmu), "which there is not"));
	write_entries(entry, nothing, 1);
	host->unpin(mmu, BASE, 2 * PAGE);
	host->unpin(mmu, BASE, 2 * PAGE);
	assert_non_null(strstr(softmmu_last(mmu), "which are not pinned"));
	host->page_put(mmu, pages + 1, 1);
	end();
}

static void shards_are_misused(void **state)
{
	unsigned long space, shard;

	(void)state;
	softmmu_shards(mmu, 2);
	space = host->lock(mmu);
	shard = host->lock_shard(mmu, 0);
	host->unlock_shard(mmu, 1, host->lock_shard(mmu, 1));
	host->unlock(mmu, space);
	check_nothing_caught();
	host->flush(mmu, NULL, 0);
	check_caught("flush is called with the lock held");
	space = host->lock(mmu);
	assert_non_null(strstr(softmmu_last(mmu), "out of their order"));
	host->unlock(mmu, space);
	host->unlock_shard(mmu, 0, shard);
	shard = host->lock_shard(mmu, 1);
	space = host->lock_shard(mmu, 0);
	assert_int_equal(softmmu_violations(mmu), 3);
	host->unlock_shard(mmu, 0, space);
	host->unlock_shard(mmu, 1, shard);
	host->unlock_shard(mmu, 1, shard);
	assert_int_equal(softmmu_violations(mmu), 4);
	host->page_put(mmu, pages, 2);
	end();
}

static void injected_calls_fail(void **state)
{
	struct vmap_page *page;
	void *mem;

	(void)state;
	softmmu_inject(mmu, SOFTMMU_ANY, 2, false);
	mem = host->meta_alloc(mmu, 8);
	assert_non_null(mem);
	assert_false(softmmu_injected(mmu));
	assert_int_equal(host->page_alloc(mmu, 0, 1, &page), -VMAP_ENOMEM);
	assert_true(softmmu_injected(mmu));
	assert_int_equal(host->page_alloc(mmu, 0, 1, &page), 0);
	softmmu_inject(mmu, SOFTMMU_META_ALLOC | SOFTMMU_MAP, 1, true);
	assert_int_equal(map(BASE, 2), -VMAP_ENOMEM);
	/* Half of it was seen for a moment; the core has to flush. */
	host->flush(mmu, NULL, 0);
	assert_int_equal(map(BASE, 2), -VMAP_ENOMEM);
	host->flush(mmu, NULL, 0);
	softmmu_inject(mmu, 0, 0, false);
	assert_int_equal(map(BASE, 2), 0);
	unmap_and_flush(BASE, 2);
	host->meta_free(mmu, mem, 8);
	host->page_put(mmu, pages, 2);
	host->page_put(mmu, &page, 1);
	check_nothing_caught();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_correct_life, setup),
		cmocka_unit_test_setup(a_stale_translation_is_used, setup),
		cmocka_unit_test_setup(a_page_is_freed_before_the_flush, setup),
		cmocka_unit_test_setup(a_page_is_freed_while_mapped, setup),
		cmocka_unit_test_setup(an_address_is_used_before_the_flush, setup),
		cmocka_unit_test_setup(the_wrong_range_is_flushed, setup),
		cmocka_unit_test_setup(areas_overlap, setup),
		cmocka_unit_test_setup(what_is_not_mapped_is_unmapped, setup),
		cmocka_unit_test_setup(a_part_is_unmapped, setup),
		cmocka_unit_test_setup(ranges_leave_the_space, setup),
		cmocka_unit_test_setup(too_many_ranges_are_flushed, setup),
		cmocka_unit_test_setup(references_are_wrong, setup),
		cmocka_unit_test_setup(the_lock_is_misused, setup),
		cmocka_unit_test_setup(descriptors_are_misused, setup),
		cmocka_unit_test_setup(what_is_left_is_found, setup),
		cmocka_unit_test_setup(the_core_writes_entries, setup),
		cmocka_unit_test_setup(the_core_misuses_entries, setup),
		cmocka_unit_test_setup(shards_are_misused, setup),
		cmocka_unit_test_setup(injected_calls_fail, setup),
	};

	return cmocka_run_group_tests_name("softmmu", tests, NULL, NULL);
}
