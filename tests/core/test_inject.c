// SPDX-License-Identifier: MIT
/*
 * Each hook call that can fail is made to fail, one after the other, in each operation; once alone, and once as the first of all
 * later ones. The operation either overcomes it or fails; then nothing is left behind, and the same call succeeds.
 *
 *	test_core_inject [pins]
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
#define SIZE (64 * PAGE)
#define FRAMES 128

/* One operation, and in what state of the space it is tried. */
struct operation {
	const char *name;
	void (*prepare)(void); /* NULL: in an empty space */
	int (*run)(void **addr);
	void (*undo)(void *addr);
	unsigned least; /* hook calls that can fail in it, at least */
	size_t size; /* of the space; 0: SIZE */
};

static bool with_pins;
static struct softmmu *mmu;
static struct vmap_space *space;
static struct vmap_page *pages[4];
static size_t size;
static void *prepared[16];
static size_t n_prepared;

static int map_pages(void **addr)
{
	return vmap_pages(space, pages, 4, NULL, addr);
}

static int map_in_the_middle(void **addr)
{
	struct vmap_options options = {.align = 16 * PAGE, .phase = 3 * PAGE, .flags = VMAP_PUT_PAGES};
	int err;

	softmmu_host(mmu)->page_get(mmu, pages, 4);
	err = vmap_pages(space, pages, 4, &options, addr);
	if (err)
		softmmu_host(mmu)->page_put(mmu, pages, 4);
	return err;
}

static int map_borrowed(void **addr)
{
	return vmap_pages(space, pages, 4, &(struct vmap_options){.flags = VMAP_BORROW}, addr);
}

/* Without waiting a failed map leaves its range to the next flush. */
static const struct vmap_options nowait = {.flags = VMAP_NOWAIT};

static int map_nowait(void **addr)
{
	int err;

	softmmu_atomic(true);
	err = vmap_pages(space, pages, 4, &nowait, addr);
	softmmu_atomic(false);
	return err;
}

static int hand_over_nowait(void **addr)
{
	struct vmap_options options = {.flags = VMAP_NOWAIT | VMAP_PUT_PAGES};
	int err;

	softmmu_host(mmu)->page_get(mmu, pages, 4);
	softmmu_atomic(true);
	err = vmap_pages(space, pages, 4, &options, addr);
	softmmu_atomic(false);
	if (err)
		softmmu_host(mmu)->page_put(mmu, pages, 4);
	return err;
}

static int alloc_nowait(void **addr)
{
	int err;

	softmmu_atomic(true);
	err = vmap_alloc(space, 15 * PAGE, 2, &nowait, addr);
	softmmu_atomic(false);
	return err;
}

static int ram(void **addr)
{
	return vmap_ram(space, pages, 4, 0, 0, addr);
}

static int ram_nowait(void **addr)
{
	int err;

	softmmu_atomic(true);
	err = vmap_ram(space, pages, 3, VMAP_NOWAIT, 0, addr);
	softmmu_atomic(false);
	return err;
}

static int hand_over_ram(unsigned flags, void **addr)
{
	int err;

	softmmu_host(mmu)->page_get(mmu, pages, 4);
	softmmu_atomic(flags & VMAP_NOWAIT);
	err = vmap_ram(space, pages, 4, VMAP_PUT_PAGES | flags, 0, addr);
	softmmu_atomic(false);
	if (err)
		softmmu_host(mmu)->page_put(mmu, pages, 4);
	return err;
}

static int ram_handed_over(void **addr)
{
	return hand_over_ram(0, addr);
}

static int ram_handed_over_nowait(void **addr)
{
	return hand_over_ram(VMAP_NOWAIT, addr);
}

static void ram_unmap(void *addr)
{
	assert_int_equal(vmap_ram_unmap(space, addr), 0);
}

static int map_frames_as(const struct vmap_options *options, void **addr)
{
	uint64_t frames[] = {softmmu_device_frame(mmu) + 3, softmmu_device_frame(mmu), softmmu_device_frame(mmu) + 1};

	return vmap_pfn(space, frames, 3, options, addr);
}

static int map_frames(void **addr)
{
	return map_frames_as(NULL, addr);
}

static int map_frames_nowait(void **addr)
{
	int err;

	softmmu_atomic(true);
	err = map_frames_as(&nowait, addr);
	softmmu_atomic(false);
	return err;
}

static int alloc_mixed(void **addr)
{
	return vmap_alloc(space, 15 * PAGE, 2, NULL, addr);
}

static int alloc_large(void **addr)
{
	return vmap_alloc(space, 40 * PAGE, 3, NULL, addr);
}

static void unmap(void *addr)
{
	assert_int_equal(vmap_unmap(space, addr), 0);
}

static void release(void *addr)
{
	assert_int_equal(vmap_free(space, addr), 0);
}

static void *sparse;

static int reserve_sparse(void **addr)
{
	return vmap_sparse(space, 9 * PAGE, NULL, addr);
}

static int reserve_sparse_nowait(void **addr)
{
	int err;

	softmmu_atomic(true);
	err = vmap_sparse(space, 9 * PAGE, &nowait, addr);
	softmmu_atomic(false);
	return err;
}

/* addrs[0] stands for all. */
static int reserve_set_as(const struct vmap_options *options, void **addr)
{
	static const size_t offsets[] = {0, 4 * PAGE, 12 * PAGE}, sizes[] = {2 * PAGE, 3 * PAGE, PAGE};
	void *addrs[3];
	int err = vmap_congruent(space, offsets, sizes, 3, options, addrs);

	*addr = addrs[0];
	return err;
}

static int reserve_set(void **addr)
{
	return reserve_set_as(NULL, addr);
}

static int reserve_set_nowait(void **addr)
{
	int err;

	softmmu_atomic(true);
	err = reserve_set_as(&nowait, addr);
	softmmu_atomic(false);
	return err;
}

static void free_set(void *addr)
{
	void *addrs[] = {addr, (char *)addr + 4 * PAGE, (char *)addr + 12 * PAGE};

	assert_int_equal(vmap_congruent_free(space, addrs, 3), 0);
}

static void free_sparse(void *addr)
{
	assert_int_equal(vmap_sparse_free(space, addr), 0);
}

static void prepare_sparse(void)
{
	assert_int_equal(vmap_sparse(space, 32 * PAGE, NULL, &sparse), 0);
}

/* What is mapped there waits for its flush. */
static void prepare_lazy_part(void)
{
	prepare_sparse();
	assert_int_equal(vmap_sparse_map(space, (char *)sparse + 6 * PAGE, pages, 4, 0, 0), 0);
	assert_int_equal(vmap_sparse_unmap(space, (char *)sparse + 7 * PAGE, PAGE), 0);
}

/* In the middle of the hole. */
static int map_part_as(unsigned flags, void **addr)
{
	int err;

	softmmu_atomic(flags & VMAP_NOWAIT);
	err = vmap_sparse_map(space, (char *)sparse + 7 * PAGE, pages, flags & VMAP_SYNC ? 1 : 4, flags & ~VMAP_SYNC, 0);
	softmmu_atomic(false);
	*addr = err ? NULL : sparse;
	return err;
}

static int map_part(void **addr)
{
	return map_part_as(0, addr);
}

static int map_lazy_part(void **addr)
{
	return map_part_as(VMAP_SYNC, addr);
}

static int map_part_nowait(void **addr)
{
	int err = map_part_as(VMAP_NOWAIT, addr);

	/* What was shown for a moment has to be flushed before the same addresses can be used again. */
	if (err)
		vmap_purge(space);
	return err;
}

static int hand_part_over_nowait(void **addr)
{
	int err;

	softmmu_host(mmu)->page_get(mmu, pages, 4);
	err = map_part_as(VMAP_NOWAIT | VMAP_PUT_PAGES, addr);
	if (err) {
		vmap_purge(space);
		softmmu_host(mmu)->page_put(mmu, pages, 4);
	}
	return err;
}

static int map_frames_as_part(void **addr)
{
	uint64_t frames[] = {softmmu_device_frame(mmu) + 3, softmmu_device_frame(mmu), softmmu_device_frame(mmu) + 1};
	int err = vmap_sparse_map_pfn(space, (char *)sparse + 2 * PAGE, frames, 3, 0, 0);

	*addr = err ? NULL : sparse;
	return err;
}

static int map_frames_as_part_nowait(void **addr)
{
	uint64_t frame = softmmu_device_frame(mmu);
	int err;

	softmmu_atomic(true);
	err = vmap_sparse_map_pfn(space, (char *)sparse + 2 * PAGE, &frame, 1, VMAP_NOWAIT, 0);
	softmmu_atomic(false);
	if (err)
		vmap_purge(space);
	*addr = err ? NULL : sparse;
	return err;
}

static void prepare_alloc(size_t bytes)
{
	assert_int_equal(vmap_alloc(space, bytes, 0, NULL, &prepared[n_prepared]), 0);
	n_prepared++;
}

/* The whole space waits for its flush, and so do most frames. */
static void fill_with_lazy(void)
{
	for (size_t i = 0; i < 16; i++)
		prepare_alloc(3 * PAGE);
	while (n_prepared)
		release(prepared[--n_prepared]);
}

/* Every second range is free. */
static void fragment(void)
{
	for (size_t i = 0; i < 8; i++)
		prepare_alloc(7 * PAGE);
	for (size_t i = 0; i < 4; i++) {
		release(prepared[i]);
		prepared[i] = prepared[--n_prepared];
	}
	vmap_purge(space);
}

/* An area of the size that map_pages() needs is in the pool, and so is one for three pages; and a block for short-lived maps. */
static void pool(void)
{
	void *addr;

	for (size_t n = 3; n <= 4; n++) {
		assert_int_equal(vmap_pages(space, pages, n, NULL, &addr), 0);
		unmap(addr);
	}
	assert_int_equal(vmap_ram(space, pages, 3, 0, 0, &addr), 0);
	ram_unmap(addr);
	vmap_purge(space);
}

static int map_base_pages(void **addr)
{
	return vmap_pages(space, pages, 3, NULL, addr);
}

/* The last one is no base page, which is seen when the others were shown. */
static int map_mixed_pages_nowait(void **addr)
{
	struct vmap_page *mixed[] = {pages[0], pages[1], pages[2], pages[0], pages[1], pages[3]};
	int err;

	softmmu_atomic(true);
	err = vmap_pages(space, mixed, 6, &nowait, addr);
	softmmu_atomic(false);
	return err;
}

static void pool_for_mixed(void)
{
	struct vmap_page *base[] = {pages[0], pages[1], pages[2], pages[0], pages[1], pages[2]};
	void *addr;

	assert_int_equal(vmap_pages(space, base, 6, NULL, &addr), 0);
	unmap(addr);
	vmap_purge(space);
}

/* Undo what prepare left live, flush, and see that the space is as new. */
static void check_nothing_left(void)
{
	struct vmap_stats stats;

	while (n_prepared)
		release(prepared[--n_prepared]);
	vmap_purge(space);
	assert_null(check_space(space));
	vmap_space_stats(space, &stats);
	assert_int_equal(stats.free + stats.ram, size);
	assert_int_equal(softmmu_frames_used(mmu), 4 + 3); /* pages[], one of them of order 2 */
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(softmmu_page_refs(mmu, pages[i]), 1);
}

static void make_machine(size_t bytes)
{
	mmu = softmmu_create(BASE, bytes, FRAMES);
	assert_non_null(mmu);
	if (with_pins) {
		softmmu_pinning(mmu);
		softmmu_shards(mmu, SOFTMMU_CPUS);
	}
}

static void begin(const struct operation *operation)
{
	struct vmap_space_config config = {.base = BASE, .lazy_max = SIZE_MAX};

	size = config.size = operation->size ? operation->size : SIZE;
	make_machine(size);
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 0, 3, pages), 0);
	assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, 2, 1, &pages[3]), 0);
	if (operation->prepare)
		operation->prepare();
}

static void end(void)
{
	check_nothing_left();
	assert_int_equal(vmap_space_destroy(space), 0);
	assert_int_equal(softmmu_descriptors(mmu), 0);
	softmmu_host(mmu)->page_put(mmu, pages, 4);
	assert_int_equal(softmmu_destroy(mmu), 0);
}

/* Try with the k-th call failing. false: the operation makes fewer calls. */
static bool try(const struct operation *operation, unsigned hooks, unsigned k, bool sticky)
{
	struct vmap_stats before, after;
	struct snapshot snapshot;
	bool injected;
	void *addr;
	int err;

	begin(operation);
	vmap_space_stats(space, &before);
	snapshot_take(&snapshot, mmu, space, BASE, size, pages, 4);
	softmmu_inject(mmu, hooks, k, sticky);
	err = operation->run(&addr);
	injected = softmmu_injected(mmu);
	softmmu_inject(mmu, 0, 0, false);
	if (err) {
		snapshot_check(&snapshot);
		assert_true(injected);
		assert_int_equal(err, -VMAP_ENOMEM);
		assert_null(addr);
		vmap_space_stats(space, &after);
		assert_int_equal(after.areas, before.areas);
		assert_int_equal(after.maps, before.maps);
		assert_int_equal(after.free + after.lazy + after.ram + after.holes,
				 before.free + before.lazy + before.ram + before.holes);
		assert_int_equal(operation->run(&addr), 0);
	} else {
		assert_false(injected && sticky);
	}
	operation->undo(addr);
	end();
	return injected;
}

static void fail_every_call(const struct operation *operation)
{
	for (unsigned sticky = 0; sticky < 2; sticky++) {
		unsigned k = 1;

		/* Where nothing can be pinned the map hook is called, and all goes well. */
		while (try(operation, sticky ? SOFTMMU_ANY & ~(unsigned)SOFTMMU_PIN : SOFTMMU_ANY, k, sticky))
			k++;
		if (k - 1 < operation->least)
			fail_msg("%s makes %u calls that can fail, which is less than expected", operation->name, k - 1);
	}
}

static void every_hook_call_may_fail(void **state)
{
	static const struct operation operations[] = {
		{"map pages", NULL, map_pages, unmap, 4, 0},
		{"map in the middle of a range", NULL, map_in_the_middle, unmap, 4, 0},
		{"map borrowed pages", NULL, map_borrowed, unmap, 4, 0},
		{"alloc pages of mixed orders", NULL, alloc_mixed, release, 7, 0},
		{"map pages without waiting", NULL, map_nowait, unmap, 4, 0},
		{"hand pages over without waiting", NULL, hand_over_nowait, unmap, 4, 0},
		{"alloc pages without waiting", NULL, alloc_nowait, release, 7, 0},
		{"map frames", NULL, map_frames, unmap, 3, 0},
		{"map for a short time", NULL, ram, ram_unmap, 3, 320 * PAGE},
		{"map for a short time without waiting", NULL, ram_nowait, ram_unmap, 3, 320 * PAGE},
		{"hand over for a short time", NULL, ram_handed_over, ram_unmap, 3, 320 * PAGE},
		{"map for a short time in a full space", fill_with_lazy, ram, ram_unmap, 2, 0},
		{"map pages in a full space", fill_with_lazy, map_pages, unmap, 2, 0},
		{"alloc in a full space", fill_with_lazy, alloc_large, release, 3, 0},
		{"map pages between others", fragment, map_pages, unmap, 2, 0},
		{"map in the middle of holes", fragment, map_in_the_middle, unmap, 2, 0},
		{"alloc between others", fragment, alloc_mixed, release, 1, 0},
		{"reserve a sparse area", NULL, reserve_sparse, free_sparse, 2, 0},
		{"reserve a sparse area without waiting", NULL, reserve_sparse_nowait, free_sparse, 2, 0},
		{"reserve a set", NULL, reserve_set, free_set, 6, 0},
		{"reserve a set in a full space", fill_with_lazy, reserve_set, free_set, 3, 0},
		{"reserve a set between others", fragment, reserve_set, free_set, 3, 0},
		{"map a part", prepare_sparse, map_part, free_sparse, 3, 0},
		{"map a part where another waits", prepare_lazy_part, map_lazy_part, free_sparse, 2, 0},
		{"map a part without waiting", prepare_sparse, map_part_nowait, free_sparse, 3, 0},
		{"hand a part over without waiting", prepare_sparse, hand_part_over_nowait, free_sparse, 3, 0},
		{"map pages at pooled addresses", pool, map_pages, unmap, 2, 320 * PAGE},
		{"map base pages at pooled addresses", pool, map_base_pages, unmap, 1, 320 * PAGE},
		{"map frames at pooled addresses", pool, map_frames, unmap, 1, 320 * PAGE},
		{"map pages at pooled addresses without waiting", pool, map_nowait, unmap, 2, 320 * PAGE},
		{"map mixed pages at pooled addresses", pool_for_mixed, map_mixed_pages_nowait, unmap, 3, 0},
		{"map in a block", pool, ram, ram_unmap, 1, 320 * PAGE},
		{"map in a block without waiting", pool, ram_nowait, ram_unmap, 0, 320 * PAGE},
		{"map frames as a part", prepare_sparse, map_frames_as_part, free_sparse, 2, 0},
		{"map frames as a part without waiting", prepare_sparse, map_frames_as_part_nowait, free_sparse, 2, 0},
		{"map frames without waiting", NULL, map_frames_nowait, unmap, 3, 0},
		{"hand over for a short time without waiting", NULL, ram_handed_over_nowait, ram_unmap, 3, 320 * PAGE},
		{"reserve a set without waiting", NULL, reserve_set_nowait, free_set, 6, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		fail_every_call(&operations[i]);
}

/* Making a space takes descriptors, too. */
static void making_a_space_may_fail(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE};
	unsigned failed = 0;
	int err;

	(void)state;
	make_machine(SIZE);
	for (unsigned k = 1;; k++) {
		softmmu_inject(mmu, SOFTMMU_ANY, k, false);
		err = vmap_space_create(softmmu_host(mmu), &config, &space);
		if (!err)
			break;
		failed++;
		assert_int_equal(err, -VMAP_ENOMEM);
		assert_null(space);
		assert_int_equal(softmmu_descriptors(mmu), 0);
	}
	assert_int_equal(failed, 2);
	assert_int_equal(vmap_space_destroy(space), 0);
	assert_int_equal(softmmu_destroy(mmu), 0);
}

/* Growing and shrinking may fail at each hook; the area is as it was, and the same call then succeeds. */
static void resizing_may_fail(void **state)
{
	static const struct operation none = {.name = "none"};
	unsigned failed = 0;
	struct vmap_stats before, after;
	void *addr;
	int err;

	(void)state;
	for (unsigned k = 1; k < 12; k++) {
		begin(&none);
		assert_int_equal(vmap_alloc(space, 5 * PAGE, 1, NULL, &addr), 0);
		for (unsigned shorter = 0; shorter < 2; shorter++) {
			vmap_space_stats(space, &before);
			softmmu_inject(mmu, SOFTMMU_ANY, k, false);
			err = vmap_realloc(space, addr, (shorter ? 2 : 20) * PAGE, 2);
			softmmu_inject(mmu, 0, 0, false);
			if (err) {
				failed++;
				assert_int_equal(err, -VMAP_ENOMEM);
				vmap_space_stats(space, &after);
				assert_int_equal(after.mapped, before.mapped);
				assert_int_equal(after.pages_held, before.pages_held);
				assert_null(check_space(space));
				assert_int_equal(vmap_realloc(space, addr, (shorter ? 2 : 20) * PAGE, 2), 0);
			}
			assert_null(check_space(space));
			assert_true(softmmu_write(mmu, 1, (uintptr_t)addr + (shorter ? 1 : 19) * PAGE, 1));
		}
		release(addr);
		end();
	}
	assert_true(failed >= 4);
}

/* Moving may fail at each hook; the area stays where it was, and the same call then succeeds. */
static void moving_may_fail(void **state)
{
	static const struct operation none = {.name = "none"};
	struct vmap_stats before, after;
	unsigned failed = 0;
	void *addr, *old;
	int err;

	(void)state;
	for (unsigned k = 1; k < 12; k++) {
		begin(&none);
		assert_int_equal(vmap_alloc(space, 5 * PAGE, 1, NULL, &addr), 0);
		prepare_alloc(PAGE);
		old = addr;
		vmap_space_stats(space, &before);
		softmmu_inject(mmu, SOFTMMU_ANY, k, true);
		err = vmap_realloc_move(space, &addr, 12 * PAGE, 2, NULL);
		softmmu_inject(mmu, 0, 0, false);
		assert_null(check_space(space));
		if (err) {
			failed++;
			assert_int_equal(err, -VMAP_ENOMEM);
			assert_ptr_equal(addr, old);
			vmap_space_stats(space, &after);
			assert_int_equal(after.mapped, before.mapped);
			assert_int_equal(after.pages_held, before.pages_held);
			assert_int_equal(after.lazy, 0);
			assert_true(softmmu_write(mmu, 1, (uintptr_t)addr + 4 * PAGE, 1));
			assert_int_equal(vmap_realloc_move(space, &addr, 12 * PAGE, 2, NULL), 0);
		}
		assert_ptr_not_equal(addr, old);
		assert_null(check_space(space));
		assert_true(softmmu_write(mmu, 1, (uintptr_t)addr + 11 * PAGE, 1));
		release(addr);
		end();
	}
	assert_true(failed >= 3);
}

/* Unmapping that cuts parts at both ends, of one part and of two; what fails has changed nothing. */
static void cutting_may_fail(void **state)
{
	static const struct operation none = {.name = "none", .prepare = prepare_sparse};
	static const unsigned first[] = {1, 1, 0}, last[] = {2, 8, 8}, least[] = {5, 5, 3};
	struct vmap_stats before, after;
	unsigned failed;
	char *addr;
	int err;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		failed = 0;
		for (unsigned k = 1; k < 8; k++) {
			begin(&none);
			addr = sparse;
			assert_int_equal(vmap_sparse_map(space, addr, pages, 4, 0, 0), 0);
			assert_int_equal(vmap_sparse_map(space, addr + 7 * PAGE, pages, 4, 0, 0), 0);
			vmap_space_stats(space, &before);
			softmmu_inject(mmu, SOFTMMU_ANY, k, false);
			err = vmap_sparse_unmap(space, addr + first[i] * PAGE, (last[i] - first[i]) * PAGE);
			softmmu_inject(mmu, 0, 0, false);
			assert_null(check_space(space));
			if (err) {
				failed++;
				assert_int_equal(err, -VMAP_ENOMEM);
				vmap_space_stats(space, &after);
				assert_int_equal(after.mapped, before.mapped);
				assert_int_equal(after.lazy, 0);
				assert_int_equal(vmap_protect(space, addr, 7 * PAGE, VMAP_READ), 0); /* still one part */
				err = vmap_sparse_unmap(space, addr + first[i] * PAGE, (last[i] - first[i]) * PAGE);
				assert_int_equal(err, 0);
			}
			assert_false(softmmu_write(mmu, 0, (uintptr_t)addr + (last[i] - 1) * PAGE, 1) && first[i]);
			assert_null(check_space(space));
			free_sparse(addr);
			end();
		}
		assert_true(failed >= least[i]);
	}
}

/* Of what a failed protect has changed nobody keeps the old translation, and the same call then succeeds. */
static void protecting_may_fail(void **state)
{
	static const struct operation none = {.name = "none"};
	void *addr;

	(void)state;
	begin(&none);
	assert_int_equal(map_pages(&addr), 0);
	for (size_t i = 0; i < 7; i++)
		assert_true(softmmu_write(mmu, 0, (uintptr_t)addr + i * PAGE, 1));
	softmmu_inject(mmu, SOFTMMU_ANY, 1, false);
	assert_int_equal(vmap_protect(space, addr, 7 * PAGE, VMAP_READ), -VMAP_ENOMEM);
	assert_true(softmmu_injected(mmu));
	assert_false(softmmu_write(mmu, 0, (uintptr_t)addr, 1));
	assert_true(softmmu_write(mmu, 0, (uintptr_t)addr + 6 * PAGE, 1));
	assert_int_equal(vmap_protect(space, addr, 7 * PAGE, VMAP_READ), 0);
	assert_false(softmmu_write(mmu, 0, (uintptr_t)addr + 6 * PAGE, 1));
	unmap(addr);
	end();
}

/* Unmapping, purging and ending a space allocate nothing, so that they cannot fail. */
static void giving_back_needs_no_memory(void **state)
{
	static const struct operation none = {.name = "none"};
	void *mapped, *allocated;

	(void)state;
	begin(&none);
	assert_int_equal(map_pages(&mapped), 0);
	assert_int_equal(vmap_sparse(space, 8 * PAGE, NULL, &sparse), 0);
	assert_int_equal(vmap_sparse_map(space, sparse, pages, 2, 0, 0), 0);
	assert_int_equal(vmap_sparse_map(space, (char *)sparse + 6 * PAGE, pages, 2, 0, 0), 0);
	assert_int_equal(alloc_mixed(&allocated), 0);
	prepare_alloc(5 * PAGE);
	prepare_alloc(9 * PAGE);
	release(prepared[--n_prepared]);
	softmmu_inject(mmu, SOFTMMU_ANY, 1, true);
	unmap(mapped);
	assert_int_equal(vmap_sparse_unmap(space, sparse, 2 * PAGE), 0);
	free_sparse(sparse);
	vmap_purge(space);
	release(allocated);
	check_nothing_left();
	assert_int_equal(vmap_space_destroy(space), 0);
	assert_false(softmmu_injected(mmu));
	softmmu_host(mmu)->page_put(mmu, pages, 4);
	assert_int_equal(softmmu_destroy(mmu), 0);
}

/* So it is with what may be called from any context; and whoever only looks needs none either. */
static void any_context_needs_no_memory(void **state)
{
	static const struct operation none = {.name = "none", .size = 384 * PAGE};
	struct vmap_explanation why;
	struct vmap_area_info info;
	struct vmap_page *page;
	void *addr[4];
	uintptr_t cursor = 0;
	size_t offset;

	(void)state;
	begin(&none);
	assert_int_equal(map_pages(&addr[0]), 0);
	assert_int_equal(map_pages(&addr[1]), 0);
	assert_int_equal(alloc_mixed(&addr[2]), 0);
	assert_int_equal(ram(&addr[3]), 0);
	prepare_sparse();
	assert_int_equal(vmap_sparse_map(space, sparse, pages, 2, 0, 0), 0);
	assert_int_equal(vmap_sparse_map(space, (char *)sparse + 6 * PAGE, pages, 2, 0, 0), 0);
	softmmu_inject(mmu, SOFTMMU_ANY, 1, true);
	softmmu_atomic(true);
	assert_int_equal(vmap_area_at(space, addr[0], &info), 0);
	assert_int_equal(vmap_area_next(space, &cursor, &info), 0);
	assert_int_equal(vmap_page_at(space, addr[0], &page, &offset), 0);
	assert_int_equal(vmap_explain(space, addr[0], &why), 0);
	assert_int_equal(vmap_unmap_nowait(space, addr[0]), 0);
	assert_int_equal(vmap_free_nowait(space, addr[2]), 0);
	assert_int_equal(vmap_ram_unmap_nowait(space, addr[3]), 0);
	assert_int_equal(vmap_sparse_unmap_nowait(space, sparse, 2 * PAGE), 0);
	assert_int_equal(vmap_sparse_free_nowait(space, sparse), 0);
	softmmu_atomic(false);
	assert_int_equal(vmap_unmap_by(space, addr[1], NULL), 0);
	assert_false(softmmu_injected(mmu));
	softmmu_inject(mmu, 0, 0, false);
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_hook_call_may_fail),
		cmocka_unit_test(making_a_space_may_fail),
		cmocka_unit_test(protecting_may_fail),
		cmocka_unit_test(resizing_may_fail),
		cmocka_unit_test(moving_may_fail),
		cmocka_unit_test(cutting_may_fail),
		cmocka_unit_test(giving_back_needs_no_memory),
		cmocka_unit_test(any_context_needs_no_memory),
	};

	with_pins = argc > 1 && !strcmp(argv[1], "pins");
	return cmocka_run_group_tests_name(with_pins ? "inject with pins" : "inject", tests, NULL, NULL);
}
