// SPDX-License-Identifier: MIT
/*
 * Theory: calls that map and unmap parts of sparse areas (calls.c: all others). Here the model knows each base page for itself: its frame, where
 * in its struct vmap_page it lies, which part it belongs to, and whose reference the part holds for it.
 */
#include <string.h>
#include "model.h"

static uint64_t rnd(struct model *model, uint64_t below)
{
	return model_random(model, below);
}

/* A sparse area; NULL: none is live. */
static struct model_area *any_sparse(struct model *model)
{
	size_t from = rnd(model, model->n);

	for (size_t i = 0; i < model->n; i++)
		if (model->live[(from + i) % model->n].kind == MODEL_SPARSE)
			return &model->live[(from + i) % model->n];
	return NULL;
}

static bool any_mapped(const struct model *model, size_t page, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (model->prot[page + i])
			return true;
	return false;
}

struct part {
	uintptr_t addr;
	struct vmap_page *pages[4];
	size_t stock[4]; /* which of the model's these are */
	uint64_t frames[4];
	size_t n, total; /* pages, or frames; base pages */
	unsigned flags, prot;
	bool is_frames;
};

static int map_part(struct model *model, const struct part *part)
{
	void *at = (void *)part->addr;
	int err;

	softmmu_atomic(part->flags & VMAP_NOWAIT);
	err = part->is_frames ? vmap_sparse_map_pfn(model->space, at, part->frames, part->n, part->flags, part->prot)
			      : vmap_sparse_map(model->space, at, part->pages, part->n, part->flags, part->prot);
	softmmu_atomic(false);
	return err;
}

static void note_part(struct model *model, const struct model_area *area, const struct part *part)
{
	size_t page = model_number(part->addr);
	unsigned prot = part->prot ? part->prot : area->prot;

	prot |= prot & (VMAP_READ | VMAP_WRITE | VMAP_EXEC) ? VMAP_READ : VMAP_READ | VMAP_WRITE;
	model->parts++;
	for (size_t i = 0; i < part->n; i++) {
		for (size_t k = 0; k < (part->is_frames ? 1 : (size_t)1 << part->pages[i]->order); k++, page++) {
			model->prot[page] = (unsigned char)(prot & 0xff & ~VMAP_LARGE);
			model->frame[page] = part->is_frames ? part->frames[i] : part->pages[i]->frame + k;
			model->within[page] = (unsigned char)k;
			model->part[page] = model->parts;
			model->owed[page] =
				(unsigned char)(k || part->is_frames || part->flags & VMAP_BORROW ? 0 : part->stock[i] + 1);
		}
	}
	model->mapped += part->total;
	model->holes -= part->total;
}

static struct part random_part(struct model *model, const struct model_area *area)
{
	static const unsigned char prots[] = {0, 0, VMAP_READ, VMAP_WRITE, VMAP_READ | VMAP_EXEC};
	struct part part = {.is_frames = !rnd(model, 6), .n = 1 + rnd(model, 4), .prot = prots[rnd(model, sizeof(prots))]};

	part.flags |= rnd(model, 6) ? 0 : VMAP_NOWAIT;
	part.flags |= rnd(model, 6) ? 0 : VMAP_BORROW;
	for (size_t i = 0; i < part.n; i++) {
		part.stock[i] = rnd(model, MODEL_STOCK / 5) * 5 + rnd(model, 4);
		part.pages[i] = model->stock[part.stock[i]];
		part.frames[i] = softmmu_device_frame(model->mmu) + rnd(model, SOFTMMU_DEVICE_FRAMES);
		part.total += part.is_frames ? 1 : (size_t)1 << part.pages[i]->order;
	}
	if (!part.is_frames && !(part.flags & VMAP_BORROW) && !rnd(model, 4))
		part.flags |= VMAP_PUT_PAGES;
	part.addr = area->addr + rnd(model, area->pages) * MODEL_PAGE;
	return part;
}

void model_sparse_map(struct model *model)
{
	const struct vmap_host *host = softmmu_host(model->mmu);
	struct model_area *area = any_sparse(model);
	struct vmap_stats stats;
	struct part part;
	size_t first;
	int err;

	if (!area)
		return;
	part = random_part(model, area);
	first = model_number(part.addr);
	if (part.flags & VMAP_PUT_PAGES)
		host->page_get(model->mmu, part.pages, part.n);
	model_inject(model);
	err = map_part(model, &part);
	if (model_injected(model) && (err == -VMAP_ENOMEM || err == -VMAP_EAGAIN)) {
		if (part.flags & VMAP_NOWAIT)
			model_set(model->lazy, 0, MODEL_PAGES, true);
		err = map_part(model, &part);
	}
	if (err && part.flags & VMAP_PUT_PAGES)
		host->page_put(model->mmu, part.pages, part.n);
	if (first + part.total > model_number(area->addr) + area->pages) {
		assert_int_equal(err, -VMAP_EFAULT);
	} else if (any_mapped(model, first, part.total)) {
		/* What waits before it in the range may be found first. */
		assert_true(err == -VMAP_EEXIST || (err == -VMAP_EAGAIN && part.flags & VMAP_NOWAIT));
	} else if (err) {
		vmap_space_stats(model->space, &stats);
		assert_int_equal(err, -VMAP_EAGAIN);
		assert_true(part.flags & VMAP_NOWAIT && stats.lazy);
		assert_true(model_any(model->lazy, first, part.total));
	} else {
		note_part(model, area, &part);
	}
}

/* Whether a part lies on both sides of this page's beginning. */
static bool cuts(const struct model *model, size_t page)
{
	return model->prot[page] && model->prot[page - 1] && model->part[page] == model->part[page - 1];
}

void model_sparse_unmap(struct model *model)
{
	struct model_area *area = any_sparse(model);
	size_t first, n, end, page;
	bool nowait, inside, cut;
	void *addr;
	int err;

	if (!area)
		return;
	first = rnd(model, area->pages);
	n = 1 + rnd(model, area->pages - first);
	page = model_number(area->addr) + first;
	end = page + n;
	inside =
		(model->prot[page] && model->within[page]) || (first + n < area->pages && model->prot[end] && model->within[end]);
	cut = (first && cuts(model, page)) || (first + n < area->pages && cuts(model, end));
	nowait = !rnd(model, 6);
	addr = (void *)(area->addr + first * MODEL_PAGE);
	model_inject(model);
	softmmu_atomic(nowait);
	err = (nowait ? vmap_sparse_unmap_nowait : vmap_sparse_unmap)(model->space, addr, n * MODEL_PAGE);
	if (model_injected(model) && err == -VMAP_ENOMEM) {
		assert_true(cut);
		err = (nowait ? vmap_sparse_unmap_nowait : vmap_sparse_unmap)(model->space, addr, n * MODEL_PAGE);
	}
	softmmu_atomic(false);
	if (!any_mapped(model, page, n)) {
		assert_int_equal(err, -VMAP_EFAULT);
		return;
	}
	if (err) {
		assert_true((err == -VMAP_EINVAL && inside) || (err == -VMAP_EAGAIN && nowait && cut));
		return;
	}
	assert_false(inside);
	/* What is left behind the end is a part of its own. */
	if (first + n < area->pages && cuts(model, end)) {
		unsigned old = model->part[end];

		model->parts++;
		for (size_t i = end; i < model_number(area->addr) + area->pages && model->prot[i] && model->part[i] == old; i++)
			model->part[i] = model->parts;
	}
	for (size_t i = page; i < end; i++) {
		model->mapped -= !!model->prot[i];
		model->holes += !!model->prot[i];
		model->prot[i] = model->owed[i] = 0;
	}
	/* With the last page its guard waits, too. */
	model_set(model->lazy, page, n + (first + n == area->pages ? area->guard : 0), true);
}

/* Inside of one part, and beyond it; over a hole nothing happens. */
void model_sparse_protect(struct model *model)
{
	struct model_area *area = any_sparse(model);
	unsigned prot = 1 + (unsigned)rnd(model, 7);
	size_t page, n = 1, last;
	bool hole = false;
	int err;

	if (!area)
		return;
	last = model_number(area->addr) + area->pages;
	page = model_number(area->addr) + rnd(model, area->pages);
	while (page + n < last && rnd(model, 8) && (cuts(model, page + n) || !rnd(model, 3)))
		n++;
	for (size_t i = page; i < page + n; i++)
		hole |= !model->prot[i];
	model_inject(model);
	err = vmap_protect(model->space, (void *)(MODEL_BASE + page * MODEL_PAGE), n * MODEL_PAGE, prot);
	if (model_injected(model) && err == -VMAP_ENOMEM)
		err = vmap_protect(model->space, (void *)(MODEL_BASE + page * MODEL_PAGE), n * MODEL_PAGE, prot);
	assert_int_equal(err, hole ? -VMAP_EFAULT : 0);
	for (size_t i = page; !hole && i < page + n; i++)
		model->prot[i] = (unsigned char)((model->prot[i] & VMAP_MEMORY_MASK) | prot | VMAP_READ);
	/* Where it was mapped, and is what it was, or was changed. */
	for (size_t i = page; i < page + n; i++)
		assert_int_equal(softmmu_prot(model->mmu, MODEL_BASE + i * MODEL_PAGE), model->prot[i]);
}

void model_sparse_look(struct model *model)
{
	struct model_area *area = any_sparse(model);
	struct vmap_area_info info;
	struct vmap_page *found;
	unsigned char value;
	size_t page, offset;
	uintptr_t addr;

	if (!area)
		return;
	page = model_number(area->addr) + rnd(model, area->pages);
	addr = MODEL_BASE + page * MODEL_PAGE;
	assert_int_equal(vmap_area_at(model->space, (void *)addr, &info), 0);
	assert_int_equal(info.addr, area->addr);
	assert_int_equal(info.size, area->pages * MODEL_PAGE);
	assert_int_equal(info.guard, area->guard * MODEL_PAGE);
	assert_int_equal(softmmu_prot(model->mmu, addr), model->prot[page]);
	if (!model->prot[page]) {
		assert_true(info.state == VMAP_STATE_HOLE || (info.state == VMAP_STATE_LAZY && model_any(model->lazy, page, 1)));
		assert_int_not_equal(vmap_page_at(model->space, (void *)addr, &found, &offset), 0);
		return;
	}
	assert_int_equal(info.state, VMAP_STATE_MAPPED);
	if (model->frame[page] < softmmu_device_frame(model->mmu)) {
		assert_int_equal(vmap_page_at(model->space, (void *)(addr + 5), &found, &offset), 0);
		assert_int_equal(found->frame + offset / MODEL_PAGE, model->frame[page]);
		assert_int_equal(offset, model->within[page] * MODEL_PAGE + 5);
	} else {
		assert_int_equal(vmap_page_at(model->space, (void *)addr, &found, &offset), -VMAP_EFAULT);
	}
	assert_true(softmmu_read(model->mmu, model->cpu % SOFTMMU_CPUS, addr, &value));
	assert_int_equal(value, softmmu_frame_bytes(model->mmu, model->frame[page])[0]);
}

#define SET 3

struct set {
	struct vmap_options options;
	size_t offsets[SET], sizes[SET], guard; /* bytes */
	size_t n;
};

/* Whether the set can lie at this base, with pages of bits in use. */
static bool set_fits(const struct set *set, uintptr_t base, const uint64_t *bits)
{
	const struct vmap_options *o = &set->options;
	uintptr_t addr, end;

	if (base % (o->align ? o->align : MODEL_PAGE) != o->phase)
		return false;
	for (size_t i = 0; i < set->n; i++) {
		addr = base + set->offsets[i];
		end = addr + set->sizes[i] + set->guard;
		if (addr < MODEL_BASE || end > MODEL_BASE + MODEL_SIZE || addr < o->min || (o->max && end - 1 > o->max) ||
		    model_any(bits, model_number(addr), (end - addr) / MODEL_PAGE))
			return false;
	}
	return true;
}

static bool set_is_refused(struct model *model, const struct set *set, bool nowait)
{
	uint64_t bits[MODEL_WORDS];

	model_taken(model, nowait, bits);
	for (size_t page = 0; page < MODEL_PAGES; page++)
		if (set_fits(set, MODEL_BASE + page * MODEL_PAGE - set->offsets[0], bits))
			return false;
	return true;
}

static int reserve_set(struct model *model, const struct set *set, void **addrs)
{
	int err;

	softmmu_atomic(set->options.flags & VMAP_NOWAIT);
	err = vmap_congruent(model->space, set->offsets, set->sizes, set->n, &set->options, addrs);
	softmmu_atomic(false);
	for (size_t i = 0; err && i < set->n; i++)
		assert_null(addrs[i]);
	return err;
}

void model_congruent(struct model *model, const struct vmap_options *options)
{
	struct set set = {.options = *options, .n = 1 + rnd(model, SET)};
	struct model_area area = {.kind = MODEL_SPARSE, .flags = options->flags, .prot = options->prot};
	bool nowait = options->flags & VMAP_NOWAIT;
	void *addrs[SET];
	int err;

	if (model->n + set.n > MODEL_LIVE)
		return;
	area.guard = options->flags & VMAP_NO_GUARD ? 0 : options->guard ? options->guard / MODEL_PAGE : 1;
	area.prot |= area.prot & (VMAP_READ | VMAP_WRITE | VMAP_EXEC) ? VMAP_READ : VMAP_READ | VMAP_WRITE;
	set.guard = area.guard * MODEL_PAGE;
	set.offsets[0] = rnd(model, 4) * MODEL_PAGE;
	for (size_t i = 0; i < set.n; i++) {
		set.sizes[i] = (1 + rnd(model, 16)) * MODEL_PAGE;
		if (i)
			set.offsets[i] = set.offsets[i - 1] + set.sizes[i - 1] + set.guard + rnd(model, 100) * MODEL_PAGE;
	}
	model_inject(model);
	err = reserve_set(model, &set, addrs);
	if (model_injected(model) && err)
		err = reserve_set(model, &set, addrs);
	if (err) {
		assert_true(err == -VMAP_ENOSPC || (err == -VMAP_EAGAIN && nowait));
		assert_true(set_is_refused(model, &set, nowait));
		model->refused++;
		return;
	}
	assert_true(set_fits(&set, (uintptr_t)addrs[0] - set.offsets[0], model->used));
	for (size_t i = 0; i < set.n; i++) {
		assert_int_equal((uintptr_t)addrs[i] - set.offsets[i], (uintptr_t)addrs[0] - set.offsets[0]);
		area.addr = (uintptr_t)addrs[i];
		area.pages = set.sizes[i] / MODEL_PAGE;
		model_add(model, &area);
	}
}

/* All or none: with a wrong address among them nothing happens. */
void model_congruent_free(struct model *model)
{
	struct model_area *one = any_sparse(model), *other = any_sparse(model);
	void *addrs[3];

	if (!one || one == other)
		return;
	addrs[0] = (void *)one->addr;
	addrs[1] = (void *)other->addr;
	addrs[2] = (void *)(one->addr + 1);
	assert_int_equal(vmap_congruent_free(model->space, addrs, 3), -VMAP_ENOENT);
	assert_int_equal(vmap_congruent_free(model->space, addrs, 2), 0);
	/* Removing moves the last into the place: the one behind goes first. */
	model_remove(model, one > other ? one : other);
	model_remove(model, one > other ? other : one);
}
