// SPDX-License-Identifier: MIT
/*
 * Theory: what the space must look like is known from the calls that were made, but for two things: when lazily unmapped areas are
 * flushed, and which pages are kept in blocks for short-lived maps. So the bitmap of used pages is exact, that of lazy ones is what may
 * be, and what a block keeps is asked of the space, with vmap_area_at(), only where a call was refused.
 */
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "model.h"

uint64_t model_random(struct model *model, uint64_t below)
{
	return check_random(&model->seed, below);
}

void model_set(uint64_t *bits, size_t first, size_t n, bool value)
{
	uint64_t mask;
	size_t count;

	for (; n; first += count, n -= count) {
		count = 64 - first % 64;
		count = count < n ? count : n;
		mask = (count == 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1) << first % 64;
		bits[first / 64] = value ? bits[first / 64] | mask : bits[first / 64] & ~mask;
	}
}

bool model_any(const uint64_t *bits, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		if (bits[i / 64] >> i % 64 & 1)
			return true;
	return false;
}

void model_begin(struct model *model, const struct model_config *config, uint64_t seed)
{
	struct vmap_space_config space = {
		.base = MODEL_BASE, .size = MODEL_SIZE, .lazy_max = config->lazy_max, .quarantine = config->quarantine};
	unsigned char *bytes;

	memset(model, 0, sizeof(*model));
	model->config = config;
	model->seed = seed;
	model->mmu = softmmu_create(MODEL_BASE, MODEL_SIZE, 6 * MODEL_PAGES);
	assert_non_null(model->mmu);
	if (config->worker)
		softmmu_worker(model->mmu);
	if (config->pins)
		softmmu_pinning(model->mmu);
	if (config->shards)
		softmmu_shards(model->mmu, config->shards);
	if (config->large)
		model->large = large_create(model->mmu, MODEL_BASE, MODEL_SIZE);
	assert_int_equal(vmap_space_create(softmmu_host(model->mmu), &space, &model->space), 0);
	for (size_t i = 0; i < MODEL_STOCK; i++) {
		assert_int_equal(softmmu_host(model->mmu)->page_alloc(model->mmu, i % 5, 1, &model->stock[i]), 0);
		for (size_t k = 0; k < 1u << i % 5; k++) {
			bytes = softmmu_frame_bytes(model->mmu, model->stock[i]->frame + k);
			memset(bytes, (int)i + 1, MODEL_PAGE);
			bytes[0] = (unsigned char)(model->stock[i]->frame + k);
		}
	}
	for (size_t i = 0; i < SOFTMMU_DEVICE_FRAMES; i++)
		memset(softmmu_frame_bytes(model->mmu, softmmu_device_frame(model->mmu) + i), 0x80 + (int)i, MODEL_PAGE);
}

uint64_t model_frame(struct model *model, const struct model_area *area, size_t k)
{
	uint64_t frame = 0;
	size_t i = 0;

	if (area->kind == MODEL_FRAMES)
		return area->frames[k];
	if (area->kind == MODEL_SPARSE)
		return model->frame[model_number(area->addr) + k];
	if (area->kind == MODEL_ALLOCATED) {
		assert_true(softmmu_walk(model->mmu, area->addr + k * MODEL_PAGE, &frame));
		return frame;
	}
	while (k >= (size_t)1 << area->array[i]->order)
		k -= (size_t)1 << area->array[i++]->order;
	return area->array[i]->frame + k;
}

void model_add(struct model *model, const struct model_area *area)
{
	size_t page = model_number(area->addr);

	assert_true(model->n < MODEL_LIVE);
	model_set(model->used, page, area->pages + area->guard, true);
	if (area->kind == MODEL_SPARSE) {
		model->holes += area->pages;
	} else {
		memset(&model->prot[page], (int)(area->prot & 0xff & ~VMAP_LARGE), area->pages);
		model->mapped += area->pages;
	}
	model->guards += area->guard;
	model->live[model->n++] = *area;
	model->maps++;
}

void model_remove(struct model *model, struct model_area *area)
{
	size_t page = model_number(area->addr);

	model_set(model->used, page, area->pages + area->guard, false);
	model_set(model->lazy, page, area->pages + area->guard, true);
	for (size_t i = page; i < page + area->pages; i++) {
		model->mapped -= !!model->prot[i];
		model->holes -= !model->prot[i];
		model->prot[i] = model->owed[i] = 0;
	}
	model->guards -= area->guard;
	*area = model->live[--model->n];
	model->unmaps++;
}

void model_resize(struct model *model, struct model_area *area, size_t pages)
{
	size_t page = model_number(area->addr);

	model_set(model->used, page, area->pages + area->guard, false);
	model_set(model->used, page, pages + area->guard, true);
	if (pages > area->pages)
		memset(&model->prot[page + area->pages], (int)(area->prot & 0xff & ~VMAP_LARGE), pages - area->pages);
	else
		memset(&model->prot[page + pages], 0, area->pages - pages);
	model->mapped += pages - area->pages;
	area->pages = pages;
}

void model_taken(struct model *model, bool nowait, uint64_t *bits)
{
	struct vmap_area_info info;
	size_t n;

	memcpy(bits, model->used, sizeof(model->used));
	for (size_t page = 0; page < MODEL_PAGES; page += n) {
		vmap_area_at(model->space, (void *)(MODEL_BASE + page * MODEL_PAGE), &info);
		/* Of a block, and of what is free, nothing tells here where it ends. */
		n = info.state == VMAP_STATE_RAM || info.state == VMAP_STATE_FREE
			    ? 1
			    : model_number(info.addr + info.size + info.guard) - page;
		if (info.state == VMAP_STATE_RAM || (info.state == VMAP_STATE_LAZY && nowait))
			model_set(bits, page, n, true);
	}
}

bool model_is_full(struct model *model, const struct vmap_options *options, size_t pages, bool nowait)
{
	size_t align = options->align ? options->align : MODEL_PAGE;
	uint64_t bits[MODEL_WORDS];
	uintptr_t addr, last;

	model_taken(model, nowait, bits);
	for (size_t page = 0; page + pages <= MODEL_PAGES; page++) {
		addr = MODEL_BASE + page * MODEL_PAGE;
		last = addr + pages * MODEL_PAGE - 1;
		if (addr % align == options->phase && addr >= options->min && (!options->max || last <= options->max) &&
		    !model_any(bits, page, pages))
			return false;
	}
	return true;
}

/* What the space lists is what the model has, page by page. */
static void check_listing(struct model *model)
{
	uint64_t used[MODEL_WORDS] = {0}, lazy[MODEL_WORDS] = {0};
	struct vmap_area_info info;
	uintptr_t cursor = 0;
	size_t live = 0;

	while (!vmap_area_next(model->space, &cursor, &info)) {
		live += info.state == VMAP_STATE_MAPPED;
		model_set(info.state == VMAP_STATE_MAPPED ? used : lazy, model_number(info.addr),
			  (info.size + info.guard) / MODEL_PAGE, true);
	}
	assert_int_equal(live, model->n);
	assert_memory_equal(used, model->used, sizeof(used));
	for (size_t i = 0; i < MODEL_WORDS; i++)
		assert_int_equal(lazy[i] & (model->config->quarantine ? model->used[i] : ~model->lazy[i]), 0);
}

void model_check(struct model *model)
{
	const char *wrong = check_space(model->space);
	struct vmap_stats stats;

	if (wrong)
		fail_msg("%s", wrong);
	check_listing(model);
	vmap_space_stats(model->space, &stats);
	assert_int_equal(stats.areas, model->n);
	assert_int_equal(stats.mapped, model->mapped * MODEL_PAGE);
	/* A part of a sparse area that waits for its flush is no hole yet, and if it is the last one the guard waits, too. */
	assert_true(stats.holes <= model->holes * MODEL_PAGE && (stats.lazy || stats.holes == model->holes * MODEL_PAGE));
	assert_true(stats.guards <= model->guards * MODEL_PAGE && (stats.lazy || stats.guards == model->guards * MODEL_PAGE));
	assert_int_equal(stats.maps, model->maps);
	assert_int_equal(stats.unmaps, model->unmaps);
	assert_int_equal(stats.mapped + stats.guards + stats.holes + stats.lazy + stats.quarantined + stats.ram + stats.free,
			 MODEL_SIZE);
	assert_int_equal(softmmu_translations(model->mmu), model->mapped);
	assert_int_equal(softmmu_violations(model->mmu), 0);
}

void model_purge(struct model *model)
{
	struct vmap_stats stats;
	size_t frames = 0;

	vmap_purge(model->space);
	vmap_space_stats(model->space, &stats);
	assert_int_equal(stats.lazy, 0);
	memset(model->lazy, 0, sizeof(model->lazy));
	for (size_t i = 0; i < MODEL_STOCK; i++) {
		unsigned refs = 1;

		for (size_t k = 0; k < model->n; k++)
			for (size_t j = 0; j < model->live[k].n && !(model->live[k].flags & VMAP_BORROW); j++)
				refs += model->live[k].array[j] == model->stock[i];
		for (size_t page = 0; page < MODEL_PAGES; page++)
			refs += model->owed[page] == i + 1;
		assert_int_equal(softmmu_page_refs(model->mmu, model->stock[i]), refs);
		frames += (size_t)1 << model->stock[i]->order;
	}
	for (size_t k = 0; k < model->n; k++)
		frames += model->live[k].kind == MODEL_ALLOCATED ? model->live[k].pages : 0;
	assert_int_equal(softmmu_frames_used(model->mmu), frames);
	if (model->large)
		model->leaves += large_check(model->large, MODEL_BASE, MODEL_PAGES);
	model->purges++;
}

void model_end(struct model *model)
{
	while (model->n)
		model_unmap(model);
	model_purge(model); /* borrowed pages are needed until the flush */
	model_check(model);
	softmmu_host(model->mmu)->page_put(model->mmu, model->stock, MODEL_STOCK);
	assert_int_equal(vmap_space_destroy(model->space), 0);
	if (model->large)
		large_destroy(model->large);
	assert_int_equal(softmmu_destroy(model->mmu), 0);
}
