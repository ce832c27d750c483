// SPDX-License-Identifier: MIT
/* See large.h. Table frames are a piece of memory whose physical address is 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <vmap/pgtable.h>
#include "large.h"

#define PAGE ((size_t)4096)
#define TABLES 32
#define ACCESS (VMAP_READ | VMAP_WRITE | VMAP_EXEC)

struct large {
	struct vmap_pgtable pgtable;
	struct vmap_pgtable_format format;
	struct vmap_host host;
	struct softmmu *mmu;
	bool used[TABLES];
	unsigned char *memory;
};

static bool frame_alloc(void *ctx, uint64_t *phys)
{
	struct large *large = ctx;
	size_t i = 1; /* 0 is the root */

	while (i < TABLES && large->used[i])
		i++;
	if (i == TABLES || softmmu_fails(large->mmu, SOFTMMU_TABLE))
		return false;
	large->used[i] = true;
	*phys = i * PAGE;
	memset(large->memory + *phys, 0xff, PAGE);
	return true;
}

static void frame_free(void *ctx, uint64_t phys)
{
	struct large *large = ctx;

	assert_true(large->used[phys / PAGE]);
	large->used[phys / PAGE] = false;
}

static void *phys_to_virt(void *ctx, uint64_t phys)
{
	struct large *large = ctx;

	return large->memory + phys;
}

static void flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	(void)ctx;
	(void)ranges;
	(void)n;
}

struct large *large_create(struct softmmu *mmu, uintptr_t base, size_t size)
{
	static const struct vmap_pgtable_ops ops = {
		.frame_alloc = frame_alloc, .frame_free = frame_free, .phys_to_virt = phys_to_virt, .flush = flush};
	static const struct vmap_riscv64_config config = {.levels = 4, .svnapot = true, .svpbmt = true, .global = true};
	struct large *large = calloc(1, sizeof(*large));

	assert_non_null(large);
	large->mmu = mmu;
	large->memory = aligned_alloc(PAGE, TABLES * PAGE);
	assert_non_null(large->memory);
	memset(large->memory, 0, PAGE);
	assert_int_equal(vmap_pgtable_riscv64(&large->format, &config), 0);
	assert_int_equal(
		vmap_pgtable_init(&large->pgtable,
				  &(struct vmap_pgtable_config){
					  .format = &large->format, .ops = &ops, .ctx = large, .base = base, .size = size}),
		0);
	vmap_pgtable_plug(&large->pgtable, &large->host);
	softmmu_second(mmu, &large->host);
	return large;
}

void large_destroy(struct large *large)
{
	vmap_pgtable_fini(&large->pgtable);
	for (size_t i = 1; i < TABLES; i++)
		assert_false(large->used[i]);
	free(large->memory);
	free(large);
}

size_t large_check(struct large *large, uintptr_t addr, size_t n)
{
	struct vmap_pgtable_leaf leaf;
	size_t found = 0;
	uint64_t frame;
	int err;

	for (; n; n--, addr += PAGE) {
		err = vmap_pgtable_lookup(&large->pgtable, addr, &leaf);
		assert_int_equal(err, softmmu_walk(large->mmu, addr, &frame) ? 0 : -VMAP_ENOENT);
		if (err)
			continue;
		assert_int_equal(leaf.frame, frame);
		assert_int_equal(leaf.prot & ACCESS, softmmu_prot(large->mmu, addr) & ACCESS);
		found += leaf.size > PAGE;
	}
	return found;
}
