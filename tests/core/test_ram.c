// SPDX-License-Identifier: MIT
/* Blocks of short-lived maps: whose they are, and what becomes of them when a CPU leaves them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "check.h"
#include "softmmu.h"

#define BASE ((uintptr_t)0x40000000)
#define PAGE ((size_t)4096)
#define BLOCK (VMAP_RAM_SLOTS * PAGE)
#define SIZE (4 * (BLOCK + PAGE))

static struct softmmu *mmu;
static struct vmap_space *space;
static struct vmap_page *page;

static int setup(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX};

	(void)state;
	mmu = softmmu_create(BASE, SIZE, 64);
	assert_non_null(mmu);
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 0, 1, &page), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	softmmu_run_on(0);
	vmap_purge(space);
	assert_null(check_space(space));
	softmmu_host(mmu)->page_put(mmu, &page, 1);
	return vmap_space_destroy(space) || softmmu_destroy(mmu);
}

static uintptr_t map_on(unsigned cpu)
{
	void *addr;

	softmmu_run_on(cpu);
	assert_int_equal(vmap_ram(space, &page, 1, VMAP_NO_GUARD, 0, &addr), 0);
	assert_null(check_space(space));
	return (uintptr_t)addr;
}

static void unmap(uintptr_t addr)
{
	assert_int_equal(vmap_ram_unmap(space, (void *)addr), 0);
	assert_null(check_space(space));
}

/* Numbers from VMAP_SHARDS on share the blocks of lower ones. */
static void any_number_is_a_cpu(void **state)
{
	const unsigned numbers[] = {0, VMAP_SHARDS, 1, 5 * VMAP_SHARDS + 1};
	uintptr_t addr[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		addr[i] = map_on(numbers[i]);
	assert_int_equal(addr[1], addr[0] + PAGE);
	assert_int_equal(addr[3], addr[2] + PAGE);
	assert_true(addr[2] >= addr[0] + BLOCK || addr[0] >= addr[2] + BLOCK);
	for (size_t i = 0; i < 4; i++)
		unmap(addr[i]);
}

/* Where there is room for four blocks, the fifth CPU and those behind it get their maps all the same. */
static void more_cpus_than_blocks(void **state)
{
	uintptr_t addr[3 * VMAP_SHARDS];

	(void)state;
	for (size_t i = 0; i < 3 * VMAP_SHARDS; i++)
		addr[i] = map_on((unsigned)i);
	for (size_t i = 0; i < 3 * VMAP_SHARDS; i++)
		unmap(addr[i]);
	vmap_purge(space);
	for (size_t i = 0; i < 3 * VMAP_SHARDS; i++)
		addr[i] = map_on((unsigned)i);
	for (size_t i = 3 * VMAP_SHARDS; i--;)
		unmap(addr[i]);
}

/* What one CPU has used up, and what was flushed since, serves another. */
static void a_block_that_is_left_serves_others(void **state)
{
	static uintptr_t addr[VMAP_RAM_SLOTS + 1];
	uintptr_t other;

	(void)state;
	for (size_t i = 0; i <= VMAP_RAM_SLOTS; i++)
		addr[i] = map_on(0);
	assert_true(addr[VMAP_RAM_SLOTS] - addr[0] >= BLOCK);
	/* One of its maps lives on. */
	for (size_t i = 1; i < VMAP_RAM_SLOTS; i++)
		unmap(addr[i]);
	vmap_purge(space);
	other = map_on(1);
	assert_int_equal(other, addr[1]);
	unmap(addr[0]);
	unmap(addr[VMAP_RAM_SLOTS]);
	unmap(other);
}

/* A block made by a call that may not sleep is pinned by one that may, while maps live in it. fails: it cannot be. */
static void pinned_late(bool fails)
{
	const struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX};
	static uintptr_t addr[VMAP_RAM_SLOTS + 1];
	size_t publishes;

	assert_int_equal(vmap_space_destroy(space), 0);
	softmmu_pinning(mmu);
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	softmmu_atomic(true);
	assert_int_equal(vmap_ram(space, &page, 1, VMAP_NO_GUARD | VMAP_NOWAIT, 0, (void **)&addr[0]), 0);
	softmmu_atomic(false);
	assert_null(softmmu_entry(mmu, addr[0]));
	for (size_t i = 1; i < VMAP_RAM_SLOTS; i++)
		addr[i] = map_on(0);
	/* The window is used up; other slots are free again. */
	for (size_t i = 1; i < VMAP_RAM_SLOTS - 1; i++)
		unmap(addr[i]);
	vmap_purge(space);
	assert_int_equal(softmmu_pins(mmu), 0);
	softmmu_inject(mmu, SOFTMMU_PIN, fails, false);
	for (size_t i = 1; i < 3; i++) {
		addr[i] = map_on(0);
		assert_in_range(addr[i], addr[0], addr[0] + BLOCK - PAGE);
		assert_int_equal(softmmu_pins(mmu), !fails);
	}
	softmmu_inject(mmu, 0, 0, false);
	publishes = softmmu_publishes(mmu);
	addr[3] = map_on(0);
	assert_int_equal(softmmu_publishes(mmu) - publishes, !fails);
	for (size_t i = 0; i < 4; i++)
		unmap(addr[i]);
	unmap(addr[VMAP_RAM_SLOTS - 1]);
}

static void a_block_made_without_waiting_is_pinned_later(void **state)
{
	(void)state;
	pinned_late(false);
}

static void a_block_that_cannot_be_pinned_later_goes_on(void **state)
{
	(void)state;
	pinned_late(true);
}

static uintptr_t ended_late[4];

static void end_late(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(vmap_ram_unmap(space, (void *)ended_late[i]), 0);
}

/* What ends while a flush is under way waits for the next one, in each block that the first one has swept. */
static void what_ends_during_a_flush_waits(void **state)
{
	uintptr_t addr[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		addr[i] = map_on(i);
		ended_late[i] = map_on(i);
	}
	for (size_t i = 0; i < 4; i++)
		unmap(addr[i]);
	softmmu_before_flush(mmu, end_late, NULL);
	vmap_purge(space);
	assert_null(check_space(space));
	assert_int_equal(softmmu_page_refs(mmu, page), 1 + 4);
	for (unsigned i = 0; i < 4; i++)
		unmap(map_on(i));
	vmap_purge(space);
	assert_null(check_space(space));
	assert_int_equal(softmmu_page_refs(mmu, page), 1);
}

/* With a quarantine a short-lived map is flushed when it ends, but its addresses come again. */
static void no_quarantine(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX, .quarantine = SIZE};
	struct vmap_stats stats;
	uintptr_t addr;

	(void)state;
	assert_int_equal(vmap_space_destroy(space), 0);
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	addr = map_on(0);
	for (size_t i = 1; i < 2 * VMAP_RAM_SLOTS; i++) {
		unmap(addr);
		vmap_space_stats(space, &stats);
		assert_int_equal(stats.lazy + stats.quarantined, 0);
		assert_int_equal(softmmu_page_refs(mmu, page), 1);
		assert_int_equal(stats.flushes, i);
		addr = map_on(0);
		assert_true(addr - BASE < BLOCK);
	}
	unmap(addr);
}

/* The listing passes over blocks without a map, and does not keep the lock for more than one of them. */
static void empty_blocks_are_passed_over_one_by_one(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = 32 * BLOCK, .lazy_max = SIZE_MAX};
	struct vmap_area_info info;
	uintptr_t cursor = 0;
	size_t holds;
	void *addr;

	(void)state;
	assert_int_equal(vmap_space_destroy(space), 0);
	softmmu_host(mmu)->page_put(mmu, &page, 1);
	assert_int_equal(softmmu_destroy(mmu), 0);
	mmu = softmmu_create(BASE, config.size, 64);
	assert_non_null(mmu);
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 0, 1, &page), 0);
	for (unsigned cpu = 0; cpu < VMAP_SHARDS; cpu++)
		unmap(map_on(cpu));
	vmap_purge(space);
	assert_int_equal(space->ram.n, VMAP_SHARDS);
	assert_int_equal(vmap_pages(space, &page, 1, NULL, &addr), 0);
	assert_true((uintptr_t)addr > BASE + VMAP_SHARDS * BLOCK - 1);
	holds = softmmu_holds(mmu);
	assert_int_equal(vmap_area_next(space, &cursor, &info), 0);
	assert_int_equal(info.addr, (uintptr_t)addr);
	assert_true(softmmu_holds(mmu) - holds >= VMAP_SHARDS);
	assert_int_equal(vmap_unmap(space, addr), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_number_is_a_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(more_cpus_than_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(a_block_that_is_left_serves_others, setup, teardown),
		cmocka_unit_test_setup_teardown(a_block_made_without_waiting_is_pinned_later, setup, teardown),
		cmocka_unit_test_setup_teardown(a_block_that_cannot_be_pinned_later_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(what_ends_during_a_flush_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(no_quarantine, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_blocks_are_passed_over_one_by_one, setup, teardown),
	};

	return cmocka_run_group_tests_name("ram", tests, NULL, NULL);
}
