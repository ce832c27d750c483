// SPDX-License-Identifier: MIT
/*
 * Each hook call that can fail is made to fail, one after the other, in each call that changes an area or looks at one (test_inject.c: those
 * that make areas), in a lazy, a synchronous and a debugging space. A call that failed has changed nothing, and the same call then succeeds.
 *
 *	test_core_inject_change [pins]
 *
 * pins: on a machine where the core writes table entries itself, and each CPU has a shard.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "check.h"
#include "snapshot.h"

#define BASE ((uintptr_t)0x40000000)
#define PAGE ((size_t)4096)
#define SIZE (128 * PAGE)
#define FRAMES 256
#define RW (VMAP_READ | VMAP_WRITE)

static const struct vmap_space_config spaces[] = {
	{.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX},
	{.base = BASE, .size = SIZE, .lazy_max = 0},
	{.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX, .quarantine = 16 * PAGE},
};

struct operation {
	const char *name;
	int (*run)(void);
	unsigned hooks; /* each of them fails once, at least */
	bool partly; /* of one that failed, a part may have been done */
};

static bool with_pins;
static struct softmmu *mmu;
static struct vmap_space *space;
static struct vmap_page *pages[4], *other[2];
static void *mapped, *allocated, *frames, *ram, *sparse;

static int replace_first(void)
{
	return vmap_replace(space, mapped, 0, other[0]);
}

static int replace_large(void)
{
	return vmap_replace(space, mapped, 3, other[1]);
}

static int protect_all(void)
{
	return vmap_protect(space, mapped, 7 * PAGE, VMAP_READ);
}

static int protect_part(void)
{
	return vmap_protect(space, (char *)allocated + PAGE, 6 * PAGE, VMAP_READ | VMAP_EXEC);
}

static int protect_frames(void)
{
	return vmap_protect(space, (char *)frames + PAGE, PAGE, VMAP_READ);
}

static int protect_parts(void)
{
	return vmap_protect(space, (char *)sparse + PAGE, 3 * PAGE, VMAP_READ);
}

static int grow(void)
{
	return vmap_realloc(space, allocated, 25 * PAGE, 2);
}

static int shrink(void)
{
	return vmap_realloc(space, allocated, 3 * PAGE, 0);
}

/* Nothing but what waits is free. */
static int grow_in_a_full_space(void)
{
	size_t size = SIZE;
	void *addr;

	while (size && vmap_alloc(space, size, 3, NULL, &addr))
		size -= PAGE;
	if (addr)
		assert_int_equal(vmap_free_nowait(space, addr), 0);
	return grow();
}

static void prepare_frames(void)
{
	uint64_t numbers[] = {softmmu_device_frame(mmu) + 3, softmmu_device_frame(mmu), softmmu_device_frame(mmu) + 1};

	assert_int_equal(vmap_pfn(space, numbers, 3, &(struct vmap_options){.prot = RW | VMAP_UNCACHED}, &frames), 0);
}

static void begin(const struct vmap_space_config *config)
{
	const struct vmap_host *host;

	mmu = softmmu_create(BASE, SIZE, FRAMES);
	assert_non_null(mmu);
	if (with_pins) {
		softmmu_pinning(mmu);
		softmmu_shards(mmu, SOFTMMU_CPUS);
	}
	host = softmmu_host(mmu);
	assert_int_equal(vmap_space_create(host, config, &space), 0);
	assert_int_equal(host->page_alloc(mmu, 0, 3, pages), 0);
	assert_int_equal(host->page_alloc(mmu, 2, 1, &pages[3]), 0);
	assert_int_equal(host->page_alloc(mmu, 0, 1, &other[0]), 0);
	assert_int_equal(host->page_alloc(mmu, 2, 1, &other[1]), 0);
	assert_int_equal(vmap_pages(space, pages, 4, NULL, &mapped), 0);
	prepare_frames();
	assert_int_equal(vmap_ram(space, pages, 4, 0, 0, &ram), 0);
	/* Behind it the space is free. */
	assert_int_equal(vmap_alloc(space, 11 * PAGE, 1, &(struct vmap_options){.min = BASE + SIZE / 2}, &allocated), 0);
	assert_int_equal(vmap_sparse(space, 4 * PAGE, NULL, &sparse), 0);
	assert_int_equal(vmap_sparse_map(space, sparse, pages, 2, 0, 0), 0);
	assert_int_equal(vmap_sparse_map(space, (char *)sparse + 2 * PAGE, pages, 2, 0, 0), 0);
	/* CPUs have forgotten what they saw when it was mapped. */
	assert_int_equal(vmap_protect(space, mapped, 7 * PAGE, RW), 0);
	assert_int_equal(vmap_protect(space, allocated, 11 * PAGE, RW), 0);
	assert_int_equal(vmap_protect(space, sparse, 4 * PAGE, RW), 0);
}

static void end(void)
{
	assert_int_equal(vmap_unmap(space, mapped), 0);
	assert_int_equal(vmap_unmap(space, frames), 0);
	assert_int_equal(vmap_ram_unmap(space, ram), 0);
	assert_int_equal(vmap_free(space, allocated), 0);
	assert_int_equal(vmap_sparse_free(space, sparse), 0);
	vmap_purge(space);
	assert_null(check_space(space));
	assert_int_equal(softmmu_frames_used(mmu), 3 + 4 + 1 + 4);
	assert_int_equal(vmap_space_destroy(space), 0);
	softmmu_host(mmu)->page_put(mmu, pages, 4);
	softmmu_host(mmu)->page_put(mmu, other, 2);
	assert_int_equal(softmmu_destroy(mmu), 0);
}

/* Try with the k-th call of this hook failing. false: the operation makes fewer calls of it. */
static bool try(const struct operation *operation, const struct vmap_space_config *config, unsigned hook, unsigned k, bool sticky)
{
	struct snapshot before;
	bool injected;
	int err;

	begin(config);
	snapshot_take(&before, mmu, space, BASE, SIZE, pages, 4);
	softmmu_inject(mmu, hook, k, sticky);
	err = operation->run();
	injected = softmmu_injected(mmu);
	softmmu_inject(mmu, 0, 0, false);
	assert_null(check_space(space));
	if (err) {
		assert_true(injected);
		assert_int_equal(err, -VMAP_ENOMEM);
		if (!operation->partly)
			snapshot_check(&before);
		assert_int_equal(operation->run(), 0);
	} else {
		assert_false(injected && sticky);
	}
	snapshot_take(&before, mmu, space, BASE, SIZE, pages, 4);
	snapshot_check(&before);
	end();
	return injected;
}

static void every_change_may_fail(void **state)
{
	static const struct operation operations[] = {
		{"replace a page", replace_first, SOFTMMU_REPLACE, false},
		{"replace a large page", replace_large, SOFTMMU_REPLACE, false},
		{"protect an area", protect_all, SOFTMMU_PROTECT, true},
		{"protect a part", protect_part, SOFTMMU_PROTECT, true},
		{"protect frames", protect_frames, SOFTMMU_PROTECT, true},
		{"protect several parts", protect_parts, SOFTMMU_PROTECT, true},
		{"grow", grow, SOFTMMU_META_ALLOC | SOFTMMU_PAGE_ALLOC | SOFTMMU_MAP, false},
		{"grow in a full space", grow_in_a_full_space, SOFTMMU_META_ALLOC | SOFTMMU_PAGE_ALLOC | SOFTMMU_MAP, false},
		{"shrink", shrink, 0, false},
	};
	unsigned k;

	(void)state;
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		for (unsigned hook = 1; hook < SOFTMMU_ANY; hook *= 2) {
			for (size_t config = 0; config < sizeof(spaces) / sizeof(spaces[0]); config++) {
				/* Where nothing can be pinned the map hook is called, and all goes well. */
				for (k = 1; try(&operations[i], &spaces[config], hook, k, k % 2 && hook != SOFTMMU_PIN); k++)
					;
				if (k == 1 && operations[i].hooks & hook)
					fail_msg("%s never calls hook 0x%x", operations[i].name, hook);
			}
		}
	}
}

/* Reading goes on behind a page that could not be copied. */
static void every_copy_may_fail(void **state)
{
	unsigned char to[5 * PAGE];
	size_t copied, failed;
	const char *from;

	(void)state;
	begin(&spaces[0]);
	from = (const char *)allocated + 100;
	for (size_t i = 0; i < 6; i++)
		assert_true(softmmu_write(mmu, 0, (uintptr_t)allocated + i * PAGE + 200, (unsigned char)(i + 1)));
	for (failed = 1; failed <= 7; failed++) {
		softmmu_inject(mmu, SOFTMMU_COPY, (unsigned)failed, false);
		assert_int_equal(vmap_read(space, to, from, sizeof(to), &copied), 0);
		assert_int_equal(softmmu_injected(mmu), failed <= 6);
		softmmu_inject(mmu, 0, 0, false);
		assert_int_equal(copied, sizeof(to) - (failed > 6 ? 0 : failed == 1 ? PAGE - 100 : failed == 6 ? 100 : PAGE));
		for (size_t i = 0; i < 5; i++)
			assert_int_equal(to[i * PAGE + 100], i + 1 == failed ? 0 : i + 1);
	}
	end();
}

/* Nothing that gives back asks for memory, whatever the space is like. */
static void giving_back_cannot_fail(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		begin(&spaces[i]);
		softmmu_inject(mmu, SOFTMMU_ANY, 1, true);
		end(); /* which sees that each call succeeds */
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_change_may_fail),
		cmocka_unit_test(every_copy_may_fail),
		cmocka_unit_test(giving_back_cannot_fail),
	};

	with_pins = argc > 1 && !strcmp(argv[1], "pins");
	return cmocka_run_group_tests_name(with_pins ? "inject change with pins" : "inject change", tests, NULL, NULL);
}
