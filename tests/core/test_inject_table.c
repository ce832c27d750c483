// SPDX-License-Identifier: MIT
/*
 * Over the page-table host each table that a call makes is one that there is no memory for, one after the other: the call fails and has changed
 * nothing, in the page tables neither, and the same call then succeeds. Of what failed no table is left when all is flushed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "check.h"
#include "large.h"
#include "snapshot.h"

#define PAGE ((size_t)4096)
#define LEAF (512 * PAGE)
#define BASE ((uintptr_t)0x7fffe00000) /* a table of the second level from the top ends behind the first leaf */
#define SIZE (3 * LEAF)

struct operation {
	const char *name;
	int (*run)(void **addr);
	int (*undo)(struct vmap_space *space, const void *addr); /* NULL: nothing was made */
	unsigned tables; /* that it makes */
};

static struct softmmu *mmu;
static struct large *large;
static struct vmap_space *space;
static struct vmap_page *pages[3];
static void *leaf;

/* Large pages to both sides of the edge between two tables. */
static const struct vmap_options edge = {.min = BASE + LEAF - 32 * PAGE, .align = 16 * PAGE, .prot = VMAP_WRITE | VMAP_LARGE};

static int map_pages(void **addr)
{
	return vmap_pages(space, pages, 3, &edge, addr);
}

static int map_nowait(void **addr)
{
	struct vmap_options options = edge;
	int err;

	options.flags = VMAP_NOWAIT;
	softmmu_atomic(true);
	err = vmap_pages(space, pages, 3, &options, addr);
	softmmu_atomic(false);
	/* Before the same addresses can be had again somebody has to flush. */
	if (err)
		vmap_purge(space);
	return err;
}

static int alloc(void **addr)
{
	return vmap_alloc(space, 50 * PAGE, 4, &edge, addr);
}

static int map_frames(void **addr)
{
	struct vmap_options options = {.min = BASE + LEAF - 2 * PAGE};
	uint64_t frames[4];

	for (size_t i = 0; i < 4; i++)
		frames[i] = softmmu_device_frame(mmu) + 5 - i;
	return vmap_pfn(space, frames, 4, &options, addr);
}

static int ram(void **addr)
{
	return vmap_ram(space, pages, 3, 0, 0, addr);
}

/* Both ends of the range are in the middle of one leaf. */
static int protect(void **addr)
{
	*addr = NULL;
	return vmap_protect(space, (char *)leaf + 5 * PAGE, 100 * PAGE, VMAP_READ);
}

/* Across the edge. */
static int grow(void **addr)
{
	struct vmap_options options = {.min = BASE + LEAF - 8 * PAGE};
	int err = vmap_alloc(space, 4 * PAGE, 0, &options, addr);

	if (err)
		return err;
	err = vmap_realloc(space, *addr, 40 * PAGE, 4);
	if (err) {
		assert_int_equal(vmap_free(space, *addr), 0);
		vmap_purge(space);
		*addr = NULL;
	}
	return err;
}

static void begin(void)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX};
	struct vmap_options options = {.align = LEAF, .min = BASE + LEAF, .prot = VMAP_WRITE | VMAP_LARGE};

	mmu = softmmu_create(BASE, SIZE, 4 * LEAF / PAGE);
	assert_non_null(mmu);
	large = large_create(mmu, BASE, SIZE);
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 4, 3, pages), 0);
	/* One leaf of 2 MiB at the end, which has no table. */
	options.min = BASE + 2 * LEAF;
	options.flags = VMAP_NO_GUARD;
	assert_int_equal(vmap_alloc(space, LEAF, 9, &options, &leaf), 0);
	assert_int_equal(large_check(large, (uintptr_t)leaf, LEAF / PAGE), LEAF / PAGE);
}

static void end(void)
{
	assert_int_equal(vmap_free(space, leaf), 0);
	vmap_purge(space);
	assert_null(check_space(space));
	assert_int_equal(vmap_space_destroy(space), 0);
	softmmu_host(mmu)->page_put(mmu, pages, 3);
	large_destroy(large);
	assert_int_equal(softmmu_destroy(mmu), 0);
}

/* Try with the k-th table failing. false: the operation makes fewer. */
static bool try(const struct operation *operation, unsigned k)
{
	struct snapshot snapshot;
	bool injected;
	void *addr;
	int err;

	begin();
	snapshot_take(&snapshot, mmu, space, BASE, SIZE, pages, 3);
	softmmu_inject(mmu, SOFTMMU_TABLE, k, false);
	err = operation->run(&addr);
	injected = softmmu_injected(mmu);
	softmmu_inject(mmu, 0, 0, false);
	assert_int_equal(err, injected ? -VMAP_ENOMEM : 0);
	if (err) {
		assert_null(addr);
		snapshot_check(&snapshot);
		large_check(large, BASE, SIZE / PAGE);
		assert_int_equal(operation->run(&addr), 0);
	}
	large_check(large, BASE, SIZE / PAGE);
	if (operation->undo)
		assert_int_equal(operation->undo(space, addr), 0);
	end();
	return injected;
}

static void every_table_may_fail(void **state)
{
	static const struct operation operations[] = {
		{"map pages", map_pages, vmap_unmap, 2},
		{"map pages without waiting", map_nowait, vmap_unmap, 2},
		{"alloc pages", alloc, vmap_free, 2},
		{"map frames", map_frames, vmap_unmap, 2},
		{"map for a short time", ram, vmap_ram_unmap, 1},
		{"protect a part of a large leaf", protect, NULL, 1},
		{"grow", grow, vmap_free, 2},
	};
	unsigned k;

	(void)state;
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		for (k = 1; try(&operations[i], k); k++)
			;
		if (k - 1 < operations[i].tables)
			fail_msg("%s makes %u tables", operations[i].name, k - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_table_may_fail)};

	return cmocka_run_group_tests_name("inject table", tests, NULL, NULL);
}
