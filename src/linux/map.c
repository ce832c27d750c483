/* SPDX-License-Identifier: MIT */
/*
 * Views
 *
 * Theory: the core says which pages appear where; the mechanism (mech.h) makes them appear. Between the two stands what a view
 * may cost: its runs are counted, the budget is asked, and what was taken is noted at the page that it is for, until that is unmapped. So
 * a view may be unmapped in pieces: a cut pays for what it adds, and every piece gives back what was paid for in it. Gaps between views
 * are the mechanism's to count.
 *
 * Cost: a look at each page for the runs; one byte of address space for each page, of which eight, or a run, are looked at at a time.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include "probes.h"
#include "process.h"
#include "reserve.h"

int vmap_views_create(struct vmap_views *views, size_t size, unsigned page_shift, bool inherited, bool guards)
{
	int err = vmap_mech_mmap(size, page_shift, inherited, guards, &views->mech);

	if (err)
		return err;
	views->notes = vmap_reserve_named(&views->reserved, size >> page_shift, "vmap: costs");
	if (views->notes && !vmap_shadow_create(&views->shadow, views->mech->base, size, (size_t)1 << page_shift))
		return 0;
	vmap_unreserve(&views->reserved);
	views->mech->ops->destroy(views->mech);
	return -VMAP_ENOMEM;
}

void vmap_views_destroy(struct vmap_views *views)
{
	vmap_shadow_destroy(&views->shadow);
	vmap_unreserve(&views->reserved);
	views->mech->ops->destroy(views->mech);
}

/* What is paid for at a page. */
#define NOTE_RUN 0x1 /* a run begins: a mapping */
#define NOTE_VIEW 0x2 /* a view begins, or a piece of one that was cut */
#define NOTE_REPLACED 0x4 /* a page of a run was replaced: two mappings more */
#define NOTE_SKIP_SHIFT 3 /* the rest: nothing else is noted in so many pages (a power of two) from here on */

static uint8_t *note_at(const struct vmap_views *views, uintptr_t addr)
{
	return &views->notes[(addr - views->mech->base) >> views->mech->page_shift];
}

/* A run begins here: what is to be noted of it, and of its length. */
static void note_run(const struct vmap_views *views, uintptr_t addr, size_t size, uint8_t what)
{
	unsigned skip = 63u - (unsigned)__builtin_clzl(size >> views->mech->page_shift);

	*note_at(views, addr) = (uint8_t)(what | (skip < 31 ? skip : 31) << NOTE_SKIP_SHIFT);
}

/* Something is to be noted within a run: the run's own note must not lead past it. */
static void note_within(const struct vmap_views *views, uintptr_t addr, uint8_t what)
{
	uint8_t *note = note_at(views, addr), *run = note;

	while (!*run)
		run--;
	if (run < note)
		*run &= (1 << NOTE_SKIP_SHIFT) - 1;
	*note |= what;
}

/* How many of these eight notes have this bit. */
static size_t notes_with(uint64_t eight, uint8_t bit)
{
	const uint64_t ones = 0x0101010101010101u;

	return (size_t)((eight / bit & ones) * ones >> 56);
}

static void add_notes(struct vmap_cost *cost, uint64_t eight)
{
	size_t runs = notes_with(eight, NOTE_RUN) + 2 * notes_with(eight, NOTE_REPLACED);

	cost->mappings += runs;
	cost->fragments += runs;
	cost->views += notes_with(eight, NOTE_VIEW);
}

/* The sum of what is noted of [addr, addr + size), which is forgotten if so wished: eight pages at a time, or a long run. */
static struct vmap_cost sum_notes(const struct vmap_views *views, uintptr_t addr, size_t size, bool forget)
{
	uint8_t *note = note_at(views, addr), *end = note + (size >> views->mech->page_shift);
	struct vmap_cost sum = {0};

	while (note < end) {
		unsigned skip = *note >> NOTE_SKIP_SHIFT;
		size_t n = (size_t)(end - note) < 8 ? (size_t)(end - note) : 8;
		uint64_t eight = 0;

		if (n == 8)
			memcpy(&eight, note, 8);
		else
			memcpy(&eight, note, n);
		if (eight) {
			add_notes(&sum, skip > 3 ? *note : eight);
			if (forget)
				memset(note, 0, skip > 3 ? 1 : n);
		}
		note += skip > 3 ? (size_t)1 << skip : n;
	}
	return sum;
}

struct vmap_cost vmap_views_cost(const struct vmap_views *views, uintptr_t addr, size_t size)
{
	return sum_notes(views, addr, size, false);
}

size_t vmap_views_mappings(const struct vmap_views *views, uintptr_t addr, size_t size)
{
	return vmap_views_cost(views, addr, size).mappings + views->mech->ops->besides(views->mech, addr);
}

static int linux_prot(unsigned prot)
{
	return PROT_READ | (prot & VMAP_WRITE ? PROT_WRITE : 0) | (prot & VMAP_EXEC ? PROT_EXEC : 0);
}

static struct vmap_runs linux_runs(const struct vmap_process *process, struct vmap_page *const *pages, size_t n)
{
	return (struct vmap_runs){.regions = process->regions, .pages = pages, .n = n, .page_shift = process->pool.page_shift};
}

/* Note the runs from addr on; gives how many there are, and their size. -VMAP_EACCES: some of it may only be read. */
static int linux_survey(const struct vmap_views *views, uintptr_t addr, struct vmap_runs runs, unsigned prot, size_t *n,
			size_t *size)
{
	struct vmap_run run;

	for (*n = *size = 0; vmap_runs_next(&runs, &run); ++*n) {
		if (prot & VMAP_WRITE && !run.region->writable)
			return -VMAP_EACCES;
		note_run(views, addr + *size, run.size, NOTE_RUN | (*n ? 0 : NOTE_VIEW));
		*size += run.size;
	}
	return 0;
}

/* Mappings were taken from the budget, or could not be: count it. */
static bool linux_took(struct vmap_process *process, size_t mappings, bool taken)
{
	if (taken) {
		vmap_stat_add(&process->stat, VMAP_STAT_MAPPINGS, mappings);
	} else {
		vmap_stat_add(&process->stat, VMAP_STAT_REFUSED, 1);
		VMAP_PROBE3(budget_refused, mappings, __atomic_load_n(&process->budget.used, __ATOMIC_RELAXED),
			    process->budget.max);
	}
	return taken;
}

static bool linux_take(struct vmap_process *process, size_t mappings)
{
	return linux_took(process, mappings, vmap_budget_take(&process->budget, mappings));
}

static void linux_give(struct vmap_process *process, size_t mappings)
{
	vmap_budget_give(&process->budget, mappings);
	vmap_stat_add(&process->stat, VMAP_STAT_MAPPINGS, -(uint64_t)mappings);
}

/* Take the mappings of a view of so many runs. */
static bool linux_enter(struct vmap_process *process, uintptr_t addr, size_t size, size_t guard, size_t mappings)
{
	struct vmap_mech *mech = process->views.mech;
	bool taken = mech->ops->enter(mech, addr, size, guard, &process->budget, &mappings);

	return linux_took(process, mappings, taken);
}

static void linux_leave(struct vmap_process *process, uintptr_t addr, size_t size, size_t mappings)
{
	int gaps = process->views.mech->ops->leave(process->views.mech, addr, size);

	linux_give(process, mappings - (size_t)gaps);
}

/* Count what is mapped, or what no longer is. */
static void linux_count(struct vmap_process *process, struct vmap_cost cost, size_t size, bool more)
{
	vmap_stat_add(&process->stat, VMAP_STAT_VIEWS, more ? cost.views : -(uint64_t)cost.views);
	vmap_stat_add(&process->stat, VMAP_STAT_FRAGMENTS, more ? cost.fragments : -(uint64_t)cost.fragments);
	vmap_stat_add(&process->stat, VMAP_STAT_ALIASED, more ? size : -(uint64_t)size);
}

static int linux_map(struct vmap_process *process, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot,
		     size_t guard)
{
	struct vmap_views *views = &process->views;
	struct vmap_runs runs = linux_runs(process, pages, n);
	int err = vmap_process_may_take(process);
	size_t size = 0, count;

	if (!err)
		err = prot & VMAP_MEMORY_MASK ? -VMAP_EINVAL : linux_survey(views, addr, runs, prot, &count, &size);
	if (!err && !linux_enter(process, addr, size, guard, count))
		err = -VMAP_EOVERFLOW;
	else if (!err) {
		err = views->mech->ops->map(views->mech, addr, size, &runs, linux_prot(prot));
		if (err)
			linux_leave(process, addr, size, count);
	}
	if (err) {
		sum_notes(views, addr, size, true);
		return err;
	}
	linux_count(process, (struct vmap_cost){.fragments = count, .views = 1}, size, true);
	VMAP_PROBE3(map, addr, size, count);
	vmap_shadow_view(&views->shadow, addr, size);
	return 0;
}

int vmap_linux_map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	return linux_map(ctx, addr, pages, n, prot, 0);
}

int vmap_linux_map_guarded(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot, size_t guard)
{
	int err = linux_map(ctx, addr, pages, n, prot, guard);

	return err == -VMAP_EAGAIN ? linux_map(ctx, addr, pages, n, prot, 0) : err;
}

void vmap_linux_unmap(void *ctx, uintptr_t addr, size_t size)
{
	struct vmap_process *process = ctx;
	struct vmap_views *views = &process->views;
	struct vmap_cost cost = sum_notes(views, addr, size, true);

	/* In a child that has no views other things may lie there by now. */
	if (process->inherited || *process->owner) {
		vmap_shadow_retire(&views->shadow, addr, size);
		views->mech->ops->unmap(views->mech, addr, size);
	}
	VMAP_PROBE3(unmap, addr, size, cost.fragments);
	linux_count(process, cost, size, false);
	linux_leave(process, addr, size, cost.mappings);
}

/* What a cut at addr adds: a run may become two. Nothing where a view begins already. */
static struct vmap_cost linux_cut_cost(const struct vmap_views *views, uintptr_t addr)
{
	struct vmap_cost cost = {0};

	add_notes(&cost, (NOTE_RUN | NOTE_VIEW) & ~*note_at(views, addr));
	return cost;
}

int vmap_linux_cut(void *ctx, const uintptr_t *addrs, size_t n)
{
	struct vmap_process *process = ctx;
	struct vmap_views *views = &process->views;
	struct vmap_cut cut[2];
	size_t mappings = 0, done = 0;
	int err = vmap_process_may_take(process);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		mappings += linux_cut_cost(views, addrs[i]).mappings;
	if (!linux_take(process, mappings))
		return -VMAP_EOVERFLOW;
	for (; done < n && !err; done += !err)
		err = linux_cut_cost(views, addrs[done]).views ? views->mech->ops->cut(views->mech, addrs[done], &cut[done]) : 0;
	if (err) {
		linux_give(process, mappings);
		while (done--)
			if (linux_cut_cost(views, addrs[done]).views)
				views->mech->ops->join(views->mech, &cut[done]);
		return err;
	}
	for (size_t i = 0; i < n; i++) {
		linux_count(process, linux_cut_cost(views, addrs[i]), 0, true);
		note_within(views, addrs[i], NOTE_RUN | NOTE_VIEW);
	}
	return 0;
}

int vmap_linux_replace(void *ctx, uintptr_t view, uintptr_t addr, struct vmap_page *page, unsigned prot)
{
	struct vmap_process *process = ctx;
	struct vmap_mech *mech = process->views.mech;
	struct vmap_runs runs = linux_runs(process, &page, 1);
	size_t cost = *note_at(&process->views, addr) & NOTE_REPLACED ? 0 : mech->ops->cost_replace();
	struct vmap_run run;
	int err = vmap_process_may_take(process);

	if (err)
		return err;
	(void)view;
	vmap_runs_next(&runs, &run);
	if (prot & VMAP_WRITE && !run.region->writable)
		return -VMAP_EACCES;
	if (!linux_take(process, cost))
		return -VMAP_EOVERFLOW;
	err = mech->ops->replace(mech, addr, &run, linux_prot(prot));
	if (err) {
		linux_give(process, cost);
		return err;
	}
	note_within(&process->views, addr, NOTE_REPLACED);
	vmap_stat_add(&process->stat, VMAP_STAT_FRAGMENTS, cost);
	return 0;
}

int vmap_linux_protect(void *ctx, uintptr_t addr, size_t size, unsigned prot)
{
	struct vmap_process *process = ctx;
	int err = vmap_process_may_take(process);

	return err ? err : process->views.mech->ops->protect(process->views.mech, addr, size, linux_prot(prot));
}

/* The kernel copies, and says where nothing is mapped instead of raising a signal. */
int vmap_linux_copy(void *ctx, void *to, uintptr_t addr, size_t size)
{
	struct iovec local = {.iov_base = to, .iov_len = size}, remote = {.iov_base = (void *)addr, .iov_len = size};

	(void)ctx;
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size ? 0 : -VMAP_EFAULT;
}

void vmap_linux_flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	(void)ctx;
	VMAP_PROBE2(flush, ranges, n);
}
