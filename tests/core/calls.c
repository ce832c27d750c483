// SPDX-License-Identifier: MIT
/*
 * Theory: each function makes one call with random arguments, right ones most of the time, and tells the model what it must have done.
 *
 * With fails in the configuration the k-th hook call of some calls fails, k up to a few. Such a call either succeeds all the same or fails
 * as documented and has changed nothing; then it is made once more, and gets no worse answer than any other call.
 */
#include <string.h>
#include "model.h"

static uint64_t rnd(struct model *model, uint64_t below)
{
	return model_random(model, below);
}

static void *ptr(uintptr_t addr)
{
	return (void *)addr;
}

/* Whether this call is to have a hook that fails; and whether one did. */
void model_inject(struct model *model)
{
	if (model->config->fails && !rnd(model, model->config->fails))
		softmmu_inject(model->mmu, SOFTMMU_ANY, 1 + (unsigned)rnd(model, 5), rnd(model, 2));
}

bool model_injected(struct model *model)
{
	bool failed = model->config->fails && softmmu_injected(model->mmu);

	if (model->config->fails)
		softmmu_inject(model->mmu, 0, 0, false);
	model->failed += failed;
	return failed;
}

/* Making areas */

struct request {
	struct vmap_options options;
	struct model_area area;
	size_t size;
	unsigned order;
};

static int make(struct model *model, const struct request *request, void **addr)
{
	const struct model_area *area = &request->area;
	int err;

	softmmu_atomic(request->options.flags & VMAP_NOWAIT);
	if (area->kind == MODEL_ALLOCATED)
		err = vmap_alloc(model->space, request->size, request->order, &request->options, addr);
	else if (area->kind == MODEL_SPARSE)
		err = vmap_sparse(model->space, request->size, &request->options, addr);
	else if (area->kind == MODEL_FRAMES)
		err = vmap_pfn(model->space, area->frames, area->pages, &request->options, addr);
	else if (area->kind == MODEL_RAM)
		err = vmap_ram(model->space, area->array, area->n, request->options.flags, request->options.prot, addr);
	else
		err = vmap_pages(model->space, area->array, area->n, &request->options, addr);
	softmmu_atomic(false);
	if (err)
		assert_null(*addr);
	return err;
}

/* It was refused for want of addresses. */
static void check_refused(struct model *model, const struct request *request, int err)
{
	bool nowait = request->options.flags & VMAP_NOWAIT;
	struct vmap_stats stats;

	vmap_space_stats(model->space, &stats);
	assert_true(err == -VMAP_ENOSPC || (err == -VMAP_EAGAIN && nowait && stats.lazy));
	assert_true(model_is_full(model, &request->options, request->area.pages + request->area.guard, nowait));
	model->refused++;
}

static bool fits_at(const struct model *model, const struct request *request, uintptr_t addr)
{
	size_t pages = request->area.pages + request->area.guard;
	const struct vmap_options *o = &request->options;

	return addr >= MODEL_BASE && model_number(addr) + pages <= MODEL_PAGES &&
	       addr % (o->align ? o->align : MODEL_PAGE) == o->phase && addr >= o->min &&
	       (!o->max || addr + pages * MODEL_PAGE - 1 <= o->max) && !model_any(model->used, model_number(addr), pages);
}

static void place(struct model *model, struct request *request, void *addr)
{
	struct model_area *area = &request->area;

	assert_true(fits_at(model, request, (uintptr_t)addr));
	area->addr = (uintptr_t)addr;
	area->flags = request->options.flags;
	area->prot = request->options.prot & (VMAP_READ | VMAP_WRITE | VMAP_EXEC)
			     ? request->options.prot | VMAP_READ
			     : request->options.prot | VMAP_READ | VMAP_WRITE;
	for (size_t i = 0; area->kind == MODEL_ALLOCATED && i < area->pages; i++)
		softmmu_frame_bytes(model->mmu, model_frame(model, area, i))[0] = (unsigned char)(area->mark + i);
	model_add(model, area);
}

/* Pages that are not all of order 0, which is seen when some were shown: without waiting these wait for their flush. */
static bool is_taken_back(const struct model *model, const struct request *request)
{
	bool any = false;

	for (size_t i = 0; i < request->area.n; i++)
		any |= request->area.array[i]->order;
	return model->config->pins && request->options.flags & VMAP_NOWAIT && any;
}

static void make_and_note(struct model *model, struct request *request)
{
	struct vmap_page **pages = request->area.array;
	bool hand_over = request->options.flags & VMAP_PUT_PAGES;
	const struct vmap_host *host = softmmu_host(model->mmu);
	void *addr;
	int err;

	if (hand_over)
		host->page_get(model->mmu, pages, request->area.n);
	model_inject(model);
	err = make(model, request, &addr);
	if (model_injected(model) && err) {
		assert_true(err == -VMAP_ENOMEM || err == -VMAP_ENOSPC || err == -VMAP_EAGAIN);
		/* Without waiting, what the map hook had begun with waits for its flush. */
		if (request->options.flags & VMAP_NOWAIT)
			model_set(model->lazy, 0, MODEL_PAGES, true);
		err = make(model, request, &addr);
	}
	if (is_taken_back(model, request))
		model_set(model->lazy, 0, MODEL_PAGES, true);
	if (err && hand_over)
		host->page_put(model->mmu, pages, request->area.n);
	if (err)
		check_refused(model, request, err);
	else
		place(model, request, addr);
}

static struct request random_request(struct model *model, enum model_kind kind)
{
	static const unsigned char prots[] = {0, 0, 0, VMAP_READ, VMAP_READ | VMAP_WRITE, VMAP_EXEC};
	struct request request = {.area.kind = kind};
	struct vmap_options *o = &request.options;

	o->prot = prots[rnd(model, sizeof(prots))] | (model->config->large && rnd(model, 4) ? VMAP_LARGE : 0);
	o->flags |= rnd(model, 8) ? 0 : VMAP_NOWAIT;
	o->flags |= rnd(model, 8) < model->config->guards ? 0 : VMAP_NO_GUARD;
	request.area.guard = !(o->flags & VMAP_NO_GUARD);
	if (kind == MODEL_RAM)
		return request;
	o->flags |= rnd(model, 20) ? 0 : VMAP_SYNC;
	if (request.area.guard && !rnd(model, 8)) {
		request.area.guard = 1 + rnd(model, 5);
		o->guard = request.area.guard * MODEL_PAGE;
	}
	if (!rnd(model, 4)) {
		o->align = MODEL_PAGE << rnd(model, 6);
		o->phase = rnd(model, o->align / MODEL_PAGE) * MODEL_PAGE;
	}
	if (!rnd(model, 6))
		o->min = MODEL_BASE + rnd(model, MODEL_SIZE);
	if (!rnd(model, 6))
		o->max = MODEL_BASE + rnd(model, MODEL_SIZE);
	return request;
}

/* Of the model's own pages; short-lived maps of up to VMAP_RAM_PAGES, and sometimes more. */
static void map(struct model *model, enum model_kind kind)
{
	struct request request = random_request(model, kind);
	struct model_area *area = &request.area;
	unsigned orders = rnd(model, model->config->large ? 2 : 4) ? 3 : 5;

	/* The core itself shows base pages only. */
	if (model->config->pins && rnd(model, 2))
		orders = 1;
	area->n = 1 + rnd(model, kind == MODEL_RAM ? 4 : MODEL_ARRAY);
	if (!rnd(model, 5))
		request.options.flags |= VMAP_BORROW;
	else if (!rnd(model, 5))
		request.options.flags |= VMAP_PUT_PAGES;
	for (size_t i = 0; i < area->n; i++) {
		area->array[i] = model->stock[rnd(model, MODEL_STOCK / 5) * 5 + rnd(model, orders)];
		area->pages += (size_t)1 << area->array[i]->order;
	}
	make_and_note(model, &request);
}

static void alloc(struct model *model)
{
	struct request request = random_request(model, MODEL_ALLOCATED);

	request.area.pages = 1 + rnd(model, rnd(model, 4) ? 8 : 60);
	request.area.mark = (unsigned char)rnd(model, 256);
	request.size = request.area.pages * MODEL_PAGE - rnd(model, MODEL_PAGE);
	request.order = (unsigned)rnd(model, 6);
	make_and_note(model, &request);
}

static void map_frames(struct model *model)
{
	static const unsigned memory[] = {0, VMAP_WRITE_COMBINING, VMAP_UNCACHED, VMAP_DEVICE};
	struct request request = random_request(model, MODEL_FRAMES);

	request.area.pages = 1 + rnd(model, MODEL_ARRAY);
	request.options.prot |= memory[rnd(model, 4)];
	for (size_t i = 0; i < request.area.pages; i++)
		request.area.frames[i] = softmmu_device_frame(model->mmu) + rnd(model, SOFTMMU_DEVICE_FRAMES);
	make_and_note(model, &request);
}

static void reserve(struct model *model)
{
	struct request request = random_request(model, MODEL_SPARSE);

	if (!rnd(model, 4)) {
		model_congruent(model, &request.options);
		return;
	}
	request.area.pages = 1 + rnd(model, 60);
	request.size = request.area.pages * MODEL_PAGE - rnd(model, MODEL_PAGE);
	make_and_note(model, &request);
}

/* Ending them */

static struct model_area *any_live(struct model *model)
{
	return &model->live[rnd(model, model->n)];
}

/* The wrong call, a wrong address: nothing happens. */
static void unmap_wrongly(struct model *model, const struct model_area *area)
{
	char *addr = ptr(area->addr);

	if (area->kind == MODEL_RAM)
		assert_int_not_equal(vmap_free(model->space, addr), 0);
	else if (area->kind == MODEL_ALLOCATED)
		assert_int_equal(vmap_unmap(model->space, addr), -VMAP_EINVAL);
	else
		assert_int_equal(vmap_free_nowait(model->space, addr), -VMAP_EINVAL);
	assert_int_not_equal(vmap_ram_unmap(model->space, addr + 1 + rnd(model, MODEL_PAGE - 1)), 0);
	assert_int_not_equal(vmap_unmap(model->space, addr + 1 + rnd(model, MODEL_PAGE - 1)), 0);
}

void model_unmap(struct model *model)
{
	static int (*const calls[][2])(struct vmap_space * space, const void *addr) = {
		[MODEL_MAPPED] = {vmap_unmap, vmap_unmap_nowait},
		[MODEL_FRAMES] = {vmap_unmap, vmap_unmap_nowait},
		[MODEL_ALLOCATED] = {vmap_free, vmap_free_nowait},
		[MODEL_RAM] = {vmap_ram_unmap, vmap_ram_unmap_nowait},
		[MODEL_SPARSE] = {vmap_sparse_free, vmap_sparse_free_nowait},
	};
	struct model_area *area = any_live(model);
	enum model_kind kind = area->kind;
	void *addr = ptr(area->addr);
	bool nowait = !rnd(model, 8);
	int err;

	if (!rnd(model, 8))
		unmap_wrongly(model, area);
	model_remove(model, area);
	softmmu_atomic(nowait);
	assert_int_equal(calls[kind][nowait](model->space, addr), 0);
	softmmu_atomic(false);
	if (!rnd(model, 8)) {
		err = calls[kind][0](model->space, addr);
		assert_true(err == -VMAP_ENOENT || err == -VMAP_EALREADY);
	}
}

/* Changing them */

static void protect(struct model *model)
{
	struct model_area *area = any_live(model);
	size_t first = rnd(model, 3) ? rnd(model, area->pages) : 0;
	size_t n = first ? 1 + rnd(model, area->pages - first) : area->pages;
	unsigned prot = 1 + (unsigned)rnd(model, 7);
	unsigned char *pages = &model->prot[model_number(area->addr) + first];
	void *addr = ptr(area->addr + first * MODEL_PAGE);
	int err;

	if (area->kind == MODEL_SPARSE)
		model_sparse_protect(model);
	if (area->kind == MODEL_RAM || area->kind == MODEL_SPARSE)
		return;
	assert_int_equal(vmap_protect(model->space, addr, (area->pages - first + 1) * MODEL_PAGE, prot), -VMAP_EFAULT);
	model_inject(model);
	err = vmap_protect(model->space, addr, n * MODEL_PAGE, prot);
	if (model_injected(model) && err) {
		assert_int_equal(err, -VMAP_ENOMEM);
		for (size_t i = 0; i < n; i++)
			assert_true(softmmu_prot(model->mmu, (uintptr_t)addr + i * MODEL_PAGE) == pages[i] ||
				    softmmu_prot(model->mmu, (uintptr_t)addr + i * MODEL_PAGE) ==
					    ((pages[i] & VMAP_MEMORY_MASK) | prot | VMAP_READ));
		err = vmap_protect(model->space, addr, n * MODEL_PAGE, prot);
	}
	assert_int_equal(err, 0);
	area->uneven = n != area->pages;
	for (size_t i = 0; i < n; i++)
		pages[i] = (unsigned char)((pages[i] & VMAP_MEMORY_MASK) | prot | VMAP_READ);
	if (n == area->pages)
		area->prot = (area->prot & (VMAP_MEMORY_MASK | VMAP_LARGE)) | prot | VMAP_READ;
}

static void replace(struct model *model)
{
	struct model_area *area = any_live(model);
	size_t index = rnd(model, area->n + 1), start = 0;
	struct vmap_page *page = model->stock[rnd(model, MODEL_STOCK)];
	bool right = !model->large && (area->kind == MODEL_MAPPED || area->kind == MODEL_RAM) && index < area->n &&
		     area->array[index]->order == page->order;
	int err;

	/* Which pages an area has that allocated them is not known here: beyond its array it is refused as well. */
	if (area->kind == MODEL_ALLOCATED || area->kind == MODEL_SPARSE)
		index += area->pages;
	model_inject(model);
	err = vmap_replace(model->space, ptr(area->addr), index, page);
	if (model_injected(model) && err && right) {
		assert_int_equal(err, -VMAP_ENOMEM);
		err = vmap_replace(model->space, ptr(area->addr), index, page);
	}
	/* A short-lived map that is none, for its size or for want of room for a block, is an area like others. */
	assert_true(!err == right || area->kind == MODEL_RAM);
	if (err)
		return;
	assert_true(right);
	for (size_t i = 0; i < index; i++)
		start += (size_t)1 << area->array[i]->order;
	area->array[index] = page;
	memset(&model->prot[model_number(area->addr) + start], (int)(area->prot & 0xff & ~VMAP_LARGE), (size_t)1 << page->order);
}

static void resize(struct model *model)
{
	struct model_area *area = any_live(model);
	size_t wanted = 1 + rnd(model, 2 * area->pages), end = model_number(area->addr) + area->pages + area->guard;
	unsigned order = (unsigned)rnd(model, 4);
	struct vmap_area_info info;
	size_t old = area->pages;
	int err;

	model_inject(model);
	err = vmap_realloc(model->space, ptr(area->addr), wanted * MODEL_PAGE - rnd(model, MODEL_PAGE), order);
	if (model_injected(model) && err && area->kind == MODEL_ALLOCATED) {
		assert_true(err == -VMAP_ENOMEM || err == -VMAP_ENOSPC);
		err = vmap_realloc(model->space, ptr(area->addr), wanted * MODEL_PAGE, order);
	}
	if (area->kind != MODEL_ALLOCATED) {
		assert_int_equal(err, area->kind == MODEL_RAM && err == -VMAP_ENOENT ? err : -VMAP_EINVAL);
		if (area->guard)
			assert_int_equal(vmap_realloc(model->space, ptr(area->addr + area->pages * MODEL_PAGE), MODEL_PAGE, 0),
					 -VMAP_ENOENT);
		return;
	}
	if (err) {
		struct vmap_options there = {.min = MODEL_BASE + end * MODEL_PAGE,
					     .max = MODEL_BASE + (end + wanted - old) * MODEL_PAGE - 1};

		assert_int_equal(err, -VMAP_ENOSPC);
		assert_true(wanted > old && model_is_full(model, &there, wanted - old, false));
		model->refused++;
		return;
	}
	assert_int_equal(vmap_area_at(model->space, ptr(area->addr), &info), 0);
	assert_true(wanted > old ? info.size == wanted * MODEL_PAGE : info.size >= wanted * MODEL_PAGE);
	assert_true(info.size <= (wanted > old ? wanted : old) * MODEL_PAGE);
	if (wanted > old)
		assert_false(model_any(model->used, end, wanted - old));
	else
		model_set(model->lazy, model_number(area->addr), old + area->guard, true);
	model_resize(model, area, info.size / MODEL_PAGE);
	for (size_t i = old; i < area->pages; i++)
		softmmu_frame_bytes(model->mmu, model_frame(model, area, i))[0] = (unsigned char)(area->mark + i);
}

/* Growing where the area stands, or else somewhere else. */
static void resize_or_move(struct model *model)
{
	struct model_area *area = any_live(model), moved = *area;
	size_t old = area->pages, wanted = old + 1 + rnd(model, old);
	struct vmap_options options = {0};
	unsigned char *first;
	void *addr = ptr(area->addr);
	int err;

	if (area->kind != MODEL_ALLOCATED) {
		assert_int_not_equal(vmap_realloc_move(model->space, &addr, wanted * MODEL_PAGE, 0, NULL), 0);
		assert_ptr_equal(addr, ptr(area->addr));
		return;
	}
	options.min = rnd(model, 4) ? 0 : MODEL_BASE + rnd(model, MODEL_SIZE);
	options.align = rnd(model, 4) ? 0 : MODEL_PAGE << rnd(model, 6);
	model_inject(model);
	err = vmap_realloc_move(model->space, &addr, wanted * MODEL_PAGE, (unsigned)rnd(model, 4), &options);
	if (model_injected(model) && err) {
		assert_true(err == -VMAP_ENOMEM || err == -VMAP_ENOSPC);
		assert_ptr_equal(addr, ptr(area->addr));
		err = vmap_realloc_move(model->space, &addr, wanted * MODEL_PAGE, 2, &options);
	}
	if (err) {
		assert_int_equal(err, -VMAP_ENOSPC);
		assert_ptr_equal(addr, ptr(area->addr));
		assert_true(area->uneven || model_is_full(model, &options, wanted + area->guard, false));
		model->refused++;
		return;
	}
	if (addr == ptr(area->addr)) {
		assert_false(model_any(model->used, model_number(area->addr) + area->pages + area->guard, wanted - area->pages));
		model_resize(model, area, wanted);
	} else {
		struct request request = {.options = options, .area = moved};

		request.area.pages = wanted;
		assert_false(area->uneven);
		assert_true(fits_at(model, &request, (uintptr_t)addr));
		moved.addr = (uintptr_t)addr;
		moved.pages = wanted;
		model_remove(model, area);
		model_add(model, &moved);
		area = &model->live[model->n - 1];
		model->moved++;
	}
	/* What was there is there still; the rest is new. */
	for (size_t i = 0; i < wanted; i++) {
		first = &softmmu_frame_bytes(model->mmu, model_frame(model, area, i))[0];
		if (i < old)
			assert_int_equal(*first, (unsigned char)(area->mark + i));
		*first = (unsigned char)(area->mark + i);
	}
}

/* Looking at them */

/* The first byte of the k-th base page. */
static unsigned char first_byte(struct model *model, const struct model_area *area, size_t k)
{
	if (area->kind == MODEL_ALLOCATED)
		return (unsigned char)(area->mark + k);
	if (area->kind == MODEL_FRAMES)
		return (unsigned char)(0x80 + area->frames[k] - softmmu_device_frame(model->mmu));
	return (unsigned char)model_frame(model, area, k);
}

static void look(struct model *model)
{
	const struct model_area *area = any_live(model);
	size_t k = rnd(model, area->pages), in = rnd(model, MODEL_PAGE), offset;
	uintptr_t addr = area->addr + k * MODEL_PAGE;
	unsigned char value, prot = model->prot[model_number(addr)];
	struct vmap_area_info info;
	struct vmap_page *page;
	int err;

	if (area->kind == MODEL_SPARSE) {
		model_sparse_look(model);
		return;
	}
	err = vmap_page_at(model->space, ptr(addr + in), &page, &offset);
	assert_int_equal(err, area->kind == MODEL_FRAMES ? -VMAP_EFAULT : 0);
	if (!err) {
		assert_int_equal(page->frame + offset / MODEL_PAGE, model_frame(model, area, k));
		assert_int_equal(offset % MODEL_PAGE, in);
	}
	assert_true(softmmu_read(model->mmu, model->cpu % SOFTMMU_CPUS, addr, &value));
	assert_int_equal(value, first_byte(model, area, k));
	assert_int_equal(softmmu_write(model->mmu, model->cpu % SOFTMMU_CPUS, addr, value), !!(prot & VMAP_WRITE));
	assert_int_equal(softmmu_prot(model->mmu, addr), prot);
	if (model->large)
		model->leaves += large_check(model->large, area->addr, area->pages);
	assert_int_equal(vmap_area_at(model->space, ptr(area->addr + (area->pages + area->guard) * MODEL_PAGE - 1), &info), 0);
	assert_int_equal(info.addr, area->addr);
	assert_int_equal(info.size, area->pages * MODEL_PAGE);
	assert_int_equal(info.guard, area->guard * MODEL_PAGE);
	assert_int_equal(info.state, area->guard ? VMAP_STATE_GUARD : VMAP_STATE_MAPPED);
	assert_int_equal(info.prot, area->prot);
	if (area->guard)
		assert_false(softmmu_read(model->mmu, model->cpu % SOFTMMU_CPUS, area->addr + area->pages * MODEL_PAGE, &value));
}

static const struct model_area *model_at(const struct model *model, size_t page)
{
	for (size_t i = 0; i < model->n; i++)
		if (page - model_number(model->live[i].addr) < model->live[i].pages + model->live[i].guard)
			return &model->live[i];
	return NULL;
}

static void explain(struct model *model)
{
	uintptr_t addr = MODEL_BASE - MODEL_PAGE + rnd(model, MODEL_SIZE + 2 * MODEL_PAGE), from, end;
	const struct model_area *area = model_at(model, model_number(addr));
	struct vmap_explanation why;
	int err = vmap_explain(model->space, ptr(addr), &why);

	if (addr < MODEL_BASE || addr - MODEL_BASE >= MODEL_SIZE) {
		assert_int_equal(err, -VMAP_EINVAL);
		return;
	}
	assert_int_equal(err, why.state == VMAP_STATE_FREE ? -VMAP_ENOENT : 0);
	from = why.area.size ? why.area.addr : addr;
	end = why.area.size ? why.area.addr + why.area.size + why.area.guard : addr + 1;
	assert_true(from <= addr && addr < end);
	if (area) {
		size_t into = addr - area->addr, size = area->pages * MODEL_PAGE;

		if (area->kind == MODEL_SPARSE && !model->prot[model_number(addr)])
			assert_true(why.state == (into < size ? VMAP_STATE_HOLE : VMAP_STATE_GUARD) ||
				    (why.state == VMAP_STATE_LAZY && model_any(model->lazy, model_number(addr), 1)));
		else
			assert_int_equal(why.state, into < size ? VMAP_STATE_MAPPED : VMAP_STATE_GUARD);
		assert_int_equal(why.beyond, why.state == VMAP_STATE_GUARD ? into - size + 1 : 0);
		assert_int_equal(why.area.addr, area->addr);
		assert_int_equal(why.area.size, size);
		assert_true(!why.unmapped_by || why.state == VMAP_STATE_LAZY);
	} else {
		assert_true(why.state != VMAP_STATE_MAPPED && why.state != VMAP_STATE_GUARD);
		assert_int_equal(why.state == VMAP_STATE_QUARANTINED, why.area.size && why.area.state == VMAP_STATE_QUARANTINED);
	}
	/* What is near does not cover it, and nothing lies between (but for short-lived maps, which are in blocks). */
	if (why.below.size)
		assert_true(why.below.addr + why.below.size + why.below.guard <= addr);
	if (why.above.size)
		assert_true(why.above.addr > addr);
	for (size_t i = 0; i < model->n; i++) {
		const struct model_area *other = &model->live[i];

		if (other->kind == MODEL_RAM || other == area)
			continue;
		if (other->addr < addr)
			assert_true(why.below.size && why.below.addr >= other->addr);
		else
			assert_true(why.above.size && why.above.addr <= other->addr);
	}
}

/* Over areas, guards, holes, and what is not to be touched. */
static void read_over(struct model *model)
{
	static unsigned char to[8 * MODEL_PAGE];
	uintptr_t from = MODEL_BASE + rnd(model, MODEL_SIZE - sizeof(to)), addr;
	size_t size = 1 + rnd(model, sizeof(to)), copied, mapped = 0, n;
	const struct model_area *area;
	const unsigned char *bytes;
	unsigned prot;

	to[size - 1] = 0xee;
	assert_int_equal(vmap_read(model->space, to, ptr(from), size, &copied), 0);
	for (size_t at = 0; at < size; at += n) {
		addr = from + at;
		n = MODEL_PAGE - addr % MODEL_PAGE;
		n = n < size - at ? n : size - at;
		prot = model->prot[model_number(addr)];
		area = prot ? model_at(model, model_number(addr)) : NULL;
		/* The type of memory is the area's, whatever a page of it allows. */
		if (area && !(prot & VMAP_MEMORY_MASK)) {
			bytes = softmmu_frame_bytes(model->mmu, model_frame(model, area, (addr - area->addr) / MODEL_PAGE));
			assert_memory_equal(to + at, bytes + addr % MODEL_PAGE, n);
			mapped += n;
		} else {
			for (size_t i = 0; i < n; i += 97)
				assert_int_equal(to[at + i], 0);
			assert_int_equal(to[at + n - 1], 0);
		}
	}
	assert_int_equal(copied, mapped);
}

void model_call(struct model *model, unsigned mood)
{
	typedef void call(struct model * model);
	static call *const others[] = {look,
				       look,
				       protect,
				       replace,
				       resize,
				       resize_or_move,
				       explain,
				       read_over,
				       model_sparse_map,
				       model_sparse_map,
				       model_sparse_unmap,
				       model_congruent_free};
	unsigned what = (unsigned)rnd(model, 11);

	model->cpu = (unsigned)rnd(model, model->config->cpus);
	softmmu_run_on(model->cpu);
	if (!model->n || (what < mood && model->n < MODEL_LIVE)) {
		what = (unsigned)rnd(model, 8);
		if (what < 3)
			map(model, what < 2 ? MODEL_RAM : MODEL_MAPPED);
		else if (what < 5)
			alloc(model);
		else if (what < 6)
			map(model, MODEL_MAPPED);
		else if (what < 7)
			map_frames(model);
		else
			reserve(model);
	} else if (what < 8) {
		model_unmap(model);
	} else {
		others[rnd(model, sizeof(others) / sizeof(others[0]))](model);
	}
	if (softmmu_wakes(model->mmu) != model->wakes && rnd(model, 2)) {
		model->wakes = softmmu_wakes(model->mmu);
		model_purge(model); /* as a worker does that was woken */
	}
}
