// SPDX-License-Identifier: MIT
/* Free ranges against a bitmap: what is given is free and fits; what is refused does not exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "check.h"

#define SHIFT 12
#define PAGE ((size_t)1 << SHIFT)
#define PAGES 600
#define BASE ((uintptr_t)77 << SHIFT)
#define STEPS (1000000 / CHECK_SHARE)

struct model {
	struct vmap_ranges ranges;
	struct vmap_spares spares;
	struct vmap_extent store[PAGES + VMAP_TAKE_SPARES]; /* more are never needed at once */
	struct vmap_extent *taken[PAGES];
	size_t n_taken;
	bool used[PAGES];
	uint64_t seed;
	uint64_t refused, again;
};

static struct model *model_new(uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));
	struct vmap_extent *all;

	assert_non_null(model);
	model->seed = seed;
	vmap_ranges_init(&model->ranges, SHIFT);
	for (size_t i = 0; i < sizeof(model->store) / sizeof(model->store[0]); i++)
		vmap_spares_push(&model->spares, &model->store[i]);
	all = vmap_spares_pop(&model->spares);
	all->addr = BASE;
	all->size = PAGES * PAGE;
	vmap_ranges_give(&model->ranges, all, &model->spares);
	return model;
}

static void check(struct model *model)
{
	const char *wrong = check_ranges(&model->ranges);
	size_t free_pages = 0;

	if (wrong)
		fail_msg("%s", wrong);
	for (size_t i = 0; i < PAGES; i++)
		free_pages += !model->used[i];
	assert_int_equal(model->ranges.free, free_pages * PAGE);
}

static bool fits_at(const struct model *model, const struct vmap_request *request, size_t page)
{
	uintptr_t addr = BASE + page * PAGE;
	size_t n = request->size / PAGE;

	if ((addr & (request->align - 1)) != request->phase || addr < request->min || n > PAGES - page)
		return false;
	if (addr > request->max || request->max - addr < request->size - 1)
		return false;
	for (size_t i = 0; i < n; i++)
		if (model->used[page + i])
			return false;
	return true;
}

static struct vmap_request random_request(struct model *model)
{
	uint64_t *seed = &model->seed;
	struct vmap_request request = {.align = PAGE, .max = UINTPTR_MAX};
	bool small = check_random(seed, 8);

	request.size = (1 + check_random(seed, small ? 6 : 80)) * PAGE;
	if (!check_random(seed, 3)) {
		request.align = PAGE << check_random(seed, 7);
		request.phase = check_random(seed, request.align / PAGE) * PAGE;
	}
	if (!check_random(seed, 4))
		request.min = BASE - 5 * PAGE + check_random(seed, (PAGES + 10) * PAGE);
	if (!check_random(seed, 4))
		request.max = BASE - 5 * PAGE + check_random(seed, (PAGES + 10) * PAGE);
	return request;
}

static int search_all(struct model *model, struct vmap_request *request, struct vmap_extent **extent)
{
	int err;

	request->cursor = 0;
	while ((err = vmap_ranges_take(&model->ranges, request, &model->spares, extent)) == -VMAP_EAGAIN)
		model->again++;
	return err;
}

static void take(struct model *model)
{
	struct vmap_request request = random_request(model);
	struct vmap_extent *extent;
	size_t page;
	int err = search_all(model, &request, &extent);

	if (err) {
		assert_int_equal(err, -VMAP_ENOSPC);
		model->refused++;
		for (page = 0; page < PAGES; page++)
			assert_false(fits_at(model, &request, page));
		return;
	}
	assert_int_equal(extent->size, request.size);
	assert_int_equal((extent->addr - BASE) % PAGE, 0);
	page = (extent->addr - BASE) / PAGE;
	assert_true(page < PAGES && fits_at(model, &request, page));
	memset(&model->used[page], true, request.size / PAGE);
	model->taken[model->n_taken++] = extent;
}

static void give(struct model *model)
{
	size_t i = check_random(&model->seed, model->n_taken);
	struct vmap_extent *extent = model->taken[i];

	memset(&model->used[(extent->addr - BASE) / PAGE], false, extent->size / PAGE);
	model->taken[i] = model->taken[--model->n_taken];
	vmap_ranges_give(&model->ranges, extent, &model->spares);
}

static void random_operations_match_a_bitmap(void **state)
{
	struct model *model = model_new(20021201);
	unsigned mood = 1;

	(void)state;
	for (unsigned step = 0; step < STEPS; step++) {
		/* Phases of growing, of shrinking and of an almost full space. */
		if (step % 1024 == 0)
			mood = 1 + (unsigned)check_random(&model->seed, 3);
		if (!model->n_taken || check_random(&model->seed, 4) < mood)
			take(model);
		else
			give(model);
		if (step % 100 == 0)
			check(model);
	}
	/* The test has been where it wanted to be. */
	assert_true(model->refused > STEPS / 100);
	assert_true(model->again > STEPS / 10000);
	while (model->n_taken)
		give(model);
	check(model);
	assert_int_equal(vmap_ranges_whole(&model->ranges)->size, PAGES * PAGE);
	free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_match_a_bitmap),
	};

	return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
