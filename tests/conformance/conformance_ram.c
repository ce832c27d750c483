// SPDX-License-Identifier: MIT
/* vmap_ram(): short-lived maps. */
#include "bed.h"

#define SPACE ((size_t)8 << 20)

static uintptr_t ram(struct conformance_bed *bed, struct vmap_page **pages, size_t n, unsigned flags)
{
	void *addr;

	assert_int_equal(vmap_ram(bed->space, pages, n, flags, 0, &addr), 0);
	assert_true((uintptr_t)addr >= bed->base && (uintptr_t)addr - bed->base < bed->size);
	assert_int_equal((uintptr_t)addr % bed->page_size, 0);
	return (uintptr_t)addr;
}

static void end(struct conformance_bed *bed, uintptr_t addr)
{
	assert_int_equal(vmap_ram_unmap(bed->space, bed_ptr(addr)), 0);
}

static void pages_are_seen_and_held(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[5], *page;
	struct vmap_area_info info;
	uintptr_t addr;
	size_t offset;

	bed_pages(bed, 0, 3, pages);
	bed_pages(bed, 2, 2, pages + 3);
	addr = ram(bed, pages, 5, 0);
	bed_check_view(bed, addr, pages, 5);
	bed_check_faults(bed, addr + 11 * bed->page_size, bed->page_size);
	assert_int_equal(bed->host->page_refs(bed, pages[4]), 2);
	assert_int_equal(bed_stats(bed).pages_held, 5);
	assert_int_equal(bed_stats(bed).mapped, 11 * bed->page_size);
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(addr + 5 * bed->page_size + 7), &page, &offset), 0);
	assert_ptr_equal(page, pages[3]);
	assert_int_equal(offset, 2 * bed->page_size + 7);
	assert_int_equal(vmap_page_at(bed->space, bed_ptr(addr + 11 * bed->page_size), &page, &offset), -VMAP_EFAULT);
	assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr + 6 * bed->page_size), &info), 0);
	assert_int_equal(info.addr, addr);
	assert_int_equal(info.size, 11 * bed->page_size);
	assert_int_equal(bed_state(bed, addr + 11 * bed->page_size), VMAP_STATE_GUARD);
	assert_int_equal(bed_state(bed, addr + 12 * bed->page_size), VMAP_STATE_RAM);
	assert_int_not_equal(vmap_unmap(bed->space, bed_ptr(addr)), 0);
	end(bed, addr);
	assert_int_equal(vmap_ram_unmap(bed->space, bed_ptr(addr)), -VMAP_EALREADY);
	assert_int_equal(bed_state(bed, addr), VMAP_STATE_LAZY);
	bed_put(bed, pages, 5);
	assert_int_equal(bed->host->page_refs(bed, pages[0]), 1);
	vmap_purge(bed->space);
	assert_int_equal(bed->host->pages_used(bed), 0);
	bed_check_faults(bed, addr, 11 * bed->page_size);
	assert_int_equal(vmap_ram_unmap(bed->space, bed_ptr(addr)), -VMAP_ENOENT);
	bed_end(bed);
}

static void flags_hold(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[2];
	uintptr_t borrowed, owned;
	void *addr;

	bed_pages(bed, 0, 2, pages);
	borrowed = ram(bed, pages, 1, VMAP_BORROW | VMAP_NO_GUARD);
	owned = ram(bed, pages + 1, 1, VMAP_PUT_PAGES | VMAP_NO_GUARD);
	assert_int_equal(owned, borrowed + bed->page_size);
	assert_int_equal(bed->host->page_refs(bed, pages[0]), 1);
	assert_int_equal(bed->host->page_refs(bed, pages[1]), 1);
	assert_int_equal(vmap_ram(bed->space, pages, 1, VMAP_NO_GUARD, VMAP_READ, &addr), 0);
	assert_false(bed->host->write(bed, (uintptr_t)addr, 1));
	end(bed, (uintptr_t)addr);
	end(bed, borrowed);
	end(bed, owned);
	vmap_purge(bed->space);
	assert_int_equal(bed->host->page_refs(bed, pages[1]), 0);
	assert_int_equal(vmap_ram(bed->space, pages, 1, VMAP_BORROW | VMAP_PUT_PAGES, 0, &addr), -VMAP_EINVAL);
	assert_int_equal(vmap_ram(bed->space, pages, 1, VMAP_SYNC, 0, &addr), -VMAP_EINVAL);
	assert_int_equal(vmap_ram(bed->space, pages, 0, 0, 0, &addr), -VMAP_EINVAL);
	assert_int_equal(vmap_ram(bed->space, NULL, 1, 0, 0, &addr), -VMAP_EINVAL);
	assert_null(addr);
	bed_put(bed, pages, 1);
	bed_end(bed);
}

/* No address comes back before its flush; afterwards it does, beside maps that live. */
static void flushed_space_is_used_again(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	uintptr_t live, addr[100], lowest = UINTPTR_MAX, highest = 0;
	struct vmap_page *page;

	bed_pages(bed, 0, 1, &page);
	live = ram(bed, &page, 1, 0);
	for (unsigned round = 0; round < 200; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(addr); i++) {
			addr[i] = ram(bed, &page, 1, 0);
			for (size_t k = 0; round % 50 == 0 && k < i; k++)
				assert_int_not_equal(addr[k], addr[i]);
			lowest = addr[i] < lowest ? addr[i] : lowest;
			highest = addr[i] > highest ? addr[i] : highest;
			end(bed, addr[i]);
		}
		vmap_purge(bed->space);
	}
	bed_check_view(bed, live, &page, 1);
	/* One map lived in the first block: it was not abandoned for it. */
	assert_true(highest - lowest < 512 * bed->page_size);
	end(bed, live);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

/* Nothing is rounded up: maps of 5 and of 3 pages follow each other with a page of guard. */
static void sizes_are_not_rounded(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_page *pages[5];
	uintptr_t first, second;

	bed_pages(bed, 0, 5, pages);
	first = ram(bed, pages, 5, 0);
	second = ram(bed, pages, 3, 0);
	assert_int_equal(second, first + 6 * bed->page_size);
	end(bed, first);
	assert_int_equal(bed_state(bed, first), VMAP_STATE_RAM);
	bed_check_faults(bed, first, 5 * bed->page_size);
	end(bed, second);
	bed_put(bed, pages, 5);
	bed_end(bed);
}

/* Blocks give way where addresses are needed, up to a long-lived map. */
static void blocks_are_given_back(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)2 << 20, SIZE_MAX);
	struct vmap_page *page;
	uintptr_t live[300];
	size_t kept = 0;
	void *large;

	bed_pages(bed, 0, 1, &page);
	for (size_t i = 0; i < 200; i++)
		live[i] = ram(bed, &page, 1, 0);
	for (size_t i = 0; i < 200; i++) {
		if (i == 20)
			live[kept++] = live[i];
		else
			end(bed, live[i]);
	}
	/* The block of the long-lived map is cut down to it; all else is there for this one. */
	assert_int_equal(vmap_alloc(bed->space, bed->size - 45 * bed->page_size, 0, NULL, &large), 0);
	bed_check_view(bed, live[0], &page, 1);
	assert_int_equal(bed_stats(bed).flushes, 1);
	assert_int_equal(vmap_free(bed->space, large), 0);
	/* Where not even a block fits, a map does. */
	assert_int_equal(vmap_alloc(bed->space, bed->size - 64 * bed->page_size, 0, NULL, &large), 0);
	live[kept++] = ram(bed, &page, 1, 0);
	bed_check_view(bed, live[1], &page, 1);
	assert_int_equal(vmap_free(bed->space, large), 0);
	for (size_t i = 0; i < kept; i++)
		end(bed, live[i]);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

static void large_maps_work_the_same(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[100];
	uintptr_t addr;

	bed_pages(bed, 0, 100, pages);
	for (size_t n = 63; n <= 66; n++) {
		addr = ram(bed, pages, n, 0);
		bed_check_view(bed, addr, pages, n);
		end(bed, addr);
	}
	addr = ram(bed, pages, 100, VMAP_BORROW);
	bed_check_view(bed, addr, pages, 100);
	end(bed, addr);
	vmap_purge(bed->space);
	bed_put(bed, pages, 100);
	bed_end(bed);
}

static void short_lived_maps_are_listed(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_page *pages[2];
	struct vmap_area_info info;
	uintptr_t addr[6], cursor = 0;
	size_t n = 0, lazy = 0;

	bed_pages(bed, 0, 2, pages);
	for (size_t i = 0; i < 4; i++)
		addr[i] = ram(bed, pages, 1 + i % 2, 0);
	addr[4] = bed_map(bed, pages, 1, NULL);
	addr[5] = bed_map(bed, pages, 2, NULL);
	end(bed, addr[1]);
	for (; !vmap_area_next(bed->space, &cursor, &info); n++)
		lazy += info.state == VMAP_STATE_LAZY;
	assert_int_equal(n, 6);
	assert_int_equal(lazy, 1);
	for (size_t i = 0; i < 4; i++)
		if (i != 1)
			end(bed, addr[i]);
	bed_unmap(bed, addr[4]);
	bed_unmap(bed, addr[5]);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void short_lived_maps_without_waiting(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_page *page;
	void *addr;

	bed_pages(bed, 0, 1, &page);
	bed_atomic(bed, true);
	for (unsigned i = 0; i < 400; i++) {
		assert_int_equal(vmap_ram(bed->space, &page, 1, VMAP_NOWAIT, 0, &addr), 0);
		assert_int_equal(vmap_ram_unmap_nowait(bed->space, addr), 0);
	}
	bed_atomic(bed, false);
	assert_int_equal(bed_stats(bed).flushes, 0);
	assert_int_equal(bed->host->page_refs(bed, page), 401);
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).flushes, 1);
	assert_int_equal(bed->host->page_refs(bed, page), 1);
	bed_put(bed, &page, 1);
	bed_end(bed);
}

/* A CPU has a block of its own; a map is ended wherever its thread has got to. */
static void each_cpu_has_its_block(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	uintptr_t addr[2][8];
	struct vmap_page *page;

	bed_pages(bed, 0, 1, &page);
	for (size_t i = 0; i < 8; i++) {
		for (unsigned cpu = 0; cpu < 2 && bed->host->run_on; cpu++) {
			bed->host->run_on(cpu);
			addr[cpu][i] = ram(bed, &page, 1, 0);
			bed_check_view(bed, addr[cpu][i], &page, 1);
		}
	}
	for (size_t i = 0; i < 8 && bed->host->run_on; i++) {
		/* Nothing of the other CPU's lies between those of one. */
		if (i)
			for (unsigned cpu = 0; cpu < 2; cpu++)
				assert_int_equal(addr[cpu][i] - addr[cpu][i - 1], 2 * bed->page_size);
	}
	for (size_t i = 0; i < 8; i++) {
		for (unsigned cpu = 0; cpu < 2 && bed->host->run_on; cpu++) {
			bed->host->run_on(!cpu);
			end(bed, addr[cpu][i]);
		}
	}
	bed_put(bed, &page, 1);
	bed_end(bed);
}

const struct CMUnitTest conformance_ram_tests[] = {
	cmocka_unit_test(pages_are_seen_and_held),     cmocka_unit_test(flags_hold),
	cmocka_unit_test(flushed_space_is_used_again), cmocka_unit_test(sizes_are_not_rounded),
	cmocka_unit_test(blocks_are_given_back),       cmocka_unit_test(large_maps_work_the_same),
	cmocka_unit_test(short_lived_maps_are_listed), cmocka_unit_test(short_lived_maps_without_waiting),
	cmocka_unit_test(each_cpu_has_its_block),      CONFORMANCE_END,
};
