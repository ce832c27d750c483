// SPDX-License-Identifier: MIT
/* Random operations on a space over the software MMU, against a model that knows of each page of the space what it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "check.h"
#include "softmmu.h"

#define BASE ((uintptr_t)0x40000000)
#define PAGE ((size_t)4096)
#define PAGES ((size_t)1024)
#define SIZE (PAGES * PAGE)
#define STEPS (75000 / CHECK_SHARE) /* a run; seven of ten map or unmap */
#define STOCK 96
#define LIVE_MAX 256

struct live {
	uintptr_t addr;
	size_t pages; /* base pages mapped */
	size_t guard; /* base pages of guard */
	bool allocated;
	bool ram; /* made by vmap_ram() */
	unsigned flags;
	unsigned char mark; /* what vmap_alloc()ed memory was filled with */
	size_t n;
	struct vmap_page *array[12];
};

struct model {
	struct softmmu *mmu;
	struct vmap_space *space;
	uint64_t seed;
	struct vmap_page *stock[STOCK];
	struct live live[LIVE_MAX];
	size_t n;
	bool used[PAGES]; /* by a live area or its guard */
	uint64_t maps, refused;
};

static uint64_t rnd(struct model *model, uint64_t below)
{
	return check_random(&model->seed, below);
}

static void begin(struct model *model, size_t lazy_max, uint64_t seed)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = lazy_max};
	unsigned char *bytes;

	memset(model, 0, sizeof(*model));
	model->seed = seed;
	model->mmu = softmmu_create(BASE, SIZE, 4096);
	assert_non_null(model->mmu);
	assert_int_equal(vmap_space_create(softmmu_host(model->mmu), &config, &model->space), 0);
	for (size_t i = 0; i < STOCK; i++) {
		assert_int_equal(softmmu_host(model->mmu)->page_alloc(model->mmu, i % 5, 1, &model->stock[i]), 0);
		bytes = softmmu_page_bytes(model->mmu, model->stock[i]);
		for (size_t k = 0; k < 1u << i % 5; k++)
			bytes[k * PAGE] = (unsigned char)(model->stock[i]->frame + k);
	}
}

static struct vmap_options random_options(struct model *model)
{
	struct vmap_options options = {0};

	options.flags |= rnd(model, 3) ? 0 : VMAP_NO_GUARD;
	options.flags |= rnd(model, 20) ? 0 : VMAP_SYNC;
	options.flags |= rnd(model, 8) ? 0 : VMAP_NOWAIT;
	if (!(options.flags & VMAP_NO_GUARD) && !rnd(model, 8))
		options.guard = (1 + rnd(model, 5)) * PAGE;
	if (!rnd(model, 4)) {
		options.align = PAGE << rnd(model, 6);
		options.phase = rnd(model, options.align / PAGE) * PAGE;
	}
	if (!rnd(model, 6))
		options.min = BASE + rnd(model, SIZE);
	if (!rnd(model, 6))
		options.max = BASE + rnd(model, SIZE);
	return options;
}

static bool fits_at(const struct model *model, const struct vmap_options *options, size_t pages, size_t page)
{
	uintptr_t addr = BASE + page * PAGE, last = addr + pages * PAGE - 1;
	size_t align = options->align ? options->align : PAGE;

	if (page + pages > PAGES || addr % align != options->phase || addr < options->min ||
	    (options->max && last > options->max))
		return false;
	for (size_t i = 0; i < pages; i++)
		if (model->used[page + i])
			return false;
	return true;
}

static size_t lazy_bytes(struct model *model)
{
	struct vmap_stats stats;

	vmap_space_stats(model->space, &stats);
	return stats.lazy;
}

/* Whether a block of short-lived maps keeps one of these pages. */
static bool kept_by_block(const struct model *model, size_t pages, size_t page)
{
	uintptr_t addr = BASE + page * PAGE;

	for (const struct vmap_ram_block *block = model->space->ram.all; block; block = block->all.next) {
		const struct vmap_extent *extent = &block->area->extent;

		if (addr < extent->addr + extent->size && extent->addr < addr + pages * PAGE)
			return true;
	}
	return false;
}

/* A call gave addr or err for an area of this many base pages: see whether that can be, and note it. */
static void check_placed(struct model *model, struct live *live, const struct vmap_options *options, int err, void *addr)
{
	size_t total, page;

	live->guard = options->flags & VMAP_NO_GUARD ? 0 : options->guard ? options->guard / PAGE : 1;
	live->flags = options->flags;
	total = live->pages + live->guard;
	if (err == -VMAP_EAGAIN) {
		assert_true(options->flags & VMAP_NOWAIT);
		assert_true(lazy_bytes(model));
		assert_null(addr);
		return;
	}
	if (err) {
		assert_int_equal(err, -VMAP_ENOSPC);
		assert_null(addr);
		for (page = 0; page < PAGES; page++)
			assert_false(fits_at(model, options, total, page) && !kept_by_block(model, total, page));
		model->refused++;
		return;
	}
	page = ((uintptr_t)addr - BASE) / PAGE;
	assert_true(fits_at(model, options, total, page));
	memset(&model->used[page], true, total);
	live->addr = (uintptr_t)addr;
	model->live[model->n++] = *live;
	model->maps++;
}

static void map(struct model *model)
{
	struct vmap_options options = random_options(model);
	struct live live = {.n = 1 + rnd(model, 12)};
	bool hand_over = !rnd(model, 5);
	void *addr;
	int err;

	options.flags |= rnd(model, 5) ? 0 : VMAP_BORROW;
	for (size_t i = 0; i < live.n; i++) {
		live.array[i] = model->stock[rnd(model, STOCK)];
		live.pages += (size_t)1 << live.array[i]->order;
	}
	if (hand_over && !(options.flags & VMAP_BORROW)) {
		options.flags |= VMAP_PUT_PAGES;
		softmmu_host(model->mmu)->page_get(model->mmu, live.array, live.n);
	}
	softmmu_atomic(options.flags & VMAP_NOWAIT);
	err = vmap_pages(model->space, live.array, live.n, &options, &addr);
	softmmu_atomic(false);
	if (err && options.flags & VMAP_PUT_PAGES)
		softmmu_host(model->mmu)->page_put(model->mmu, live.array, live.n);
	check_placed(model, &live, &options, err, addr);
}

static void ram(struct model *model)
{
	struct vmap_options options = {0};
	struct live live = {.n = 1 + rnd(model, 12), .ram = true};
	void *addr;
	int err;

	options.flags |= rnd(model, 3) ? 0 : VMAP_NO_GUARD;
	options.flags |= rnd(model, 8) ? 0 : VMAP_NOWAIT;
	options.flags |= rnd(model, 4) ? 0 : VMAP_BORROW;
	for (size_t i = 0; i < live.n; i++) {
		live.array[i] = model->stock[rnd(model, STOCK)];
		live.pages += (size_t)1 << live.array[i]->order;
	}
	softmmu_atomic(options.flags & VMAP_NOWAIT);
	err = vmap_ram(model->space, live.array, live.n, options.flags, 0, &addr);
	softmmu_atomic(false);
	check_placed(model, &live, &options, err, addr);
}

static void alloc(struct model *model)
{
	struct vmap_options options = random_options(model);
	struct live live = {.allocated = true, .pages = 1 + rnd(model, 70), .mark = (unsigned char)rnd(model, 256)};
	void *addr;
	int err;

	softmmu_atomic(options.flags & VMAP_NOWAIT);
	err = vmap_alloc(model->space, live.pages * PAGE - rnd(model, PAGE), (unsigned)rnd(model, 7), &options, &addr);
	softmmu_atomic(false);
	check_placed(model, &live, &options, err, addr);
	for (size_t i = 0; !err && i < live.pages; i++)
		assert_true(softmmu_write(model->mmu, i % SOFTMMU_CPUS, (uintptr_t)addr + i * PAGE, live.mark));
}

static struct live *any_live(struct model *model)
{
	return &model->live[rnd(model, model->n)];
}

static void unmap(struct model *model)
{
	struct live *live = any_live(model), gone = *live;
	void *addr = (void *)gone.addr;

	/* The wrong call, a wrong address: nothing happens. */
	if (!gone.ram && !rnd(model, 4)) {
		assert_int_equal(gone.allocated ? vmap_unmap(model->space, addr) : vmap_free(model->space, addr), -VMAP_EINVAL);
		assert_int_equal(vmap_unmap(model->space, (char *)addr + 1 + rnd(model, PAGE - 1)), -VMAP_ENOENT);
	}
	*live = model->live[--model->n];
	memset(&model->used[(gone.addr - BASE) / PAGE], false, gone.pages + gone.guard);
	if (gone.ram) {
		assert_int_equal(rnd(model, 8) ? vmap_ram_unmap(model->space, addr) : vmap_ram_unmap_nowait(model->space, addr),
				 0);
	} else if (rnd(model, 8)) {
		assert_int_equal(gone.allocated ? vmap_free(model->space, addr) : vmap_unmap(model->space, addr), 0);
	} else {
		softmmu_atomic(true);
		assert_int_equal(gone.allocated ? vmap_free_nowait(model->space, addr) : vmap_unmap_nowait(model->space, addr),
				 0);
		softmmu_atomic(false);
	}
	if (!rnd(model, 4))
		assert_int_not_equal(vmap_ram_unmap(model->space, addr), 0);
}

/* The page that backs the k-th base page of a mapped area. */
static const struct vmap_page *expected_page(const struct live *live, size_t *k)
{
	size_t i = 0;

	while (*k >= (size_t)1 << live->array[i]->order)
		*k -= (size_t)1 << live->array[i++]->order;
	return live->array[i];
}

static void look(struct model *model)
{
	const struct live *live = any_live(model);
	size_t k = rnd(model, live->pages), in = rnd(model, PAGE), within = k, offset;
	uintptr_t addr = live->addr + k * PAGE;
	unsigned char value, mark = live->mark;
	struct vmap_area_info info;
	struct vmap_page *page;

	assert_int_equal(vmap_page_at(model->space, (void *)(addr + in), &page, &offset), 0);
	assert_int_equal(offset % PAGE, in);
	if (!live->allocated) {
		assert_ptr_equal(page, expected_page(live, &within));
		assert_int_equal(offset, within * PAGE + in);
		mark = (unsigned char)(page->frame + within);
	}
	assert_true(softmmu_read(model->mmu, k % SOFTMMU_CPUS, addr, &value));
	assert_int_equal(value, mark);
	assert_int_equal(vmap_area_at(model->space, (void *)(live->addr + (live->pages + live->guard) * PAGE - 1), &info), 0);
	assert_int_equal(info.addr, live->addr);
	assert_int_equal(info.size, live->pages * PAGE);
	assert_int_equal(info.guard, live->guard * PAGE);
	if (!live->ram)
		assert_int_equal(info.flags, live->flags);
	if (live->guard)
		assert_false(softmmu_read(model->mmu, 0, live->addr + live->pages * PAGE, &value));
}

/* Part of a live area becomes read-only, and writable again. */
static void change(struct model *model)
{
	const struct live *live = any_live(model);
	size_t first = rnd(model, live->pages), n = 1 + rnd(model, live->pages - first);
	uintptr_t addr = live->addr + first * PAGE, last = addr + (n - 1) * PAGE;
	unsigned char value;

	if (live->ram)
		return;
	assert_true(softmmu_read(model->mmu, 0, last, &value));
	for (unsigned writes = 0; writes < 2; writes++) {
		assert_int_equal(vmap_protect(model->space, (void *)addr, n * PAGE, writes ? VMAP_WRITE : VMAP_READ), 0);
		assert_int_equal(softmmu_write(model->mmu, 0, last, value), writes);
		if (n < live->pages - first)
			assert_true(softmmu_write(model->mmu, 0, last + PAGE + 1, value));
	}
}

static void check(struct model *model)
{
	const char *wrong = check_space(model->space);
	struct vmap_area_info info;
	uintptr_t cursor = 0;
	size_t live = 0;

	if (wrong)
		fail_msg("%s", wrong);
	while (!vmap_area_next(model->space, &cursor, &info))
		live += info.state == VMAP_STATE_MAPPED;
	assert_int_equal(live, model->n);
	assert_int_equal(softmmu_violations(model->mmu), 0);
}

static void step(struct model *model, unsigned mood)
{
	static void (*const make[])(struct model *) = {map, map, alloc, ram};
	unsigned what = (unsigned)rnd(model, 10);

	if (!model->n || (what < mood && model->n < LIVE_MAX))
		make[rnd(model, 4)](model);
	else if (what < 7)
		unmap(model);
	else if (rnd(model, 4))
		look(model);
	else
		change(model);
}

static void run(size_t lazy_max, uint64_t seed)
{
	struct model *model = malloc(sizeof(*model));
	unsigned mood = 3;

	assert_non_null(model);
	begin(model, lazy_max, seed);
	for (unsigned i = 0; i < STEPS; i++) {
		if (i % 512 == 0)
			mood = 2 + (unsigned)rnd(model, 4);
		step(model, mood);
		if (i % 4096 == 0)
			vmap_purge(model->space);
		if (i % 256 == 0)
			check(model);
	}
	/* The test has been where it wanted to be. */
	assert_true(model->refused > STEPS / 100);
	assert_true(model->maps > STEPS / 10);
	while (model->n)
		unmap(model);
	check(model);
	vmap_purge(model->space); /* borrowed pages are needed until the flush */
	assert_true(model->space->spares.n <= VMAP_SPARES_KEPT);
	softmmu_host(model->mmu)->page_put(model->mmu, model->stock, STOCK);
	assert_int_equal(vmap_space_destroy(model->space), 0);
	assert_int_equal(softmmu_destroy(model->mmu), 0);
	free(model);
}

static void synchronous(void **state)
{
	(void)state;
	run(0, 1);
}

static void a_small_budget(void **state)
{
	(void)state;
	run(64 * PAGE, 2);
}

static void a_large_budget(void **state)
{
	(void)state;
	run(SIZE / 2, 3);
}

static void no_budget(void **state)
{
	(void)state;
	run(SIZE_MAX, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(synchronous),
		cmocka_unit_test(a_small_budget),
		cmocka_unit_test(a_large_budget),
		cmocka_unit_test(no_budget),
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
