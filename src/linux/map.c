/* SPDX-License-Identifier: MIT */
/*
 * Views
 *
 * Theory: the core says which pages appear where; the mechanism (mech.h) makes them appear. Between the two stands what a view
 * may cost: its runs are counted, the budget is asked, and what was taken is noted where the view begins, until it ends.
 *
 * Cost: a look at each page for the runs; eight bytes of address space for each page of it.
 */
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
	views->costs_size = (size >> page_shift) * sizeof(*views->costs);
	views->costs = vmap_reserve_named(views->costs_size, "vmap: costs");
	if (!views->costs)
		goto destroy_mech;
	err = vmap_shadow_create(&views->shadow, views->mech->base, size, (size_t)1 << page_shift);
	if (!err)
		return 0;
	munmap(views->costs, views->costs_size);
destroy_mech:
	views->mech->ops->destroy(views->mech);
	return -VMAP_ENOMEM;
}

void vmap_views_destroy(struct vmap_views *views)
{
	vmap_shadow_destroy(&views->shadow);
	munmap(views->costs, views->costs_size);
	views->mech->ops->destroy(views->mech);
}

struct vmap_cost *vmap_views_cost(const struct vmap_views *views, uintptr_t addr)
{
	return &views->costs[(addr - views->mech->base) >> views->mech->page_shift];
}

size_t vmap_views_mappings(const struct vmap_views *views, uintptr_t addr)
{
	return vmap_views_cost(views, addr)->mappings + views->mech->ops->besides(views->mech, addr);
}

static int linux_prot(unsigned prot)
{
	return PROT_READ | (prot & VMAP_WRITE ? PROT_WRITE : 0) | (prot & VMAP_EXEC ? PROT_EXEC : 0);
}

static struct vmap_runs linux_runs(const struct vmap_process *process, struct vmap_page *const *pages, size_t n)
{
	return (struct vmap_runs){.regions = process->regions, .pages = pages, .n = n, .page_shift = process->pool.page_shift};
}

/* How many runs these are, and their size. -VMAP_EACCES: some of it may only be read. */
static int linux_survey(struct vmap_runs runs, unsigned prot, size_t *n, size_t *size)
{
	struct vmap_run run;

	for (*n = *size = 0; vmap_runs_next(&runs, &run); ++*n) {
		if (prot & VMAP_WRITE && !run.region->writable)
			return -VMAP_EACCES;
		*size += run.size;
	}
	return 0;
}

/* Take from the budget, and count it; or give back. */
static bool linux_take(struct vmap_process *process, size_t mappings)
{
	if (!vmap_budget_take(&process->budget, mappings)) {
		vmap_stat_add(&process->stat, VMAP_STAT_REFUSED, 1);
		VMAP_PROBE3(budget_refused, mappings, process->budget.used, process->budget.max);
		return false;
	}
	vmap_stat_add(&process->stat, VMAP_STAT_MAPPINGS, mappings);
	return true;
}

static void linux_give(struct vmap_process *process, size_t mappings)
{
	vmap_budget_give(&process->budget, mappings);
	vmap_stat_add(&process->stat, VMAP_STAT_MAPPINGS, -(uint64_t)mappings);
}

/* Take the mappings of a view of so many runs. */
static bool linux_enter(struct vmap_process *process, uintptr_t addr, size_t size, size_t guard, size_t runs)
{
	struct vmap_mech *mech = process->views.mech;
	int gaps = mech->ops->enter(mech, addr, size, guard);

	if (runs <= UINT32_MAX && linux_take(process, runs + (size_t)gaps))
		return true;
	gaps += mech->ops->leave(mech, addr, size);
	linux_give(process, -(size_t)gaps);
	return false;
}

static void linux_leave(struct vmap_process *process, uintptr_t addr, size_t size, size_t mappings)
{
	int gaps = process->views.mech->ops->leave(process->views.mech, addr, size);

	linux_give(process, mappings - (size_t)gaps);
}

static int linux_map(struct vmap_process *process, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot,
		     size_t guard)
{
	struct vmap_mech *mech = process->views.mech;
	struct vmap_runs runs = linux_runs(process, pages, n);
	int err = vmap_process_may_take(process);
	size_t size, count;

	if (!err)
		err = prot & VMAP_MEMORY_MASK ? -VMAP_EINVAL : linux_survey(runs, prot, &count, &size);
	if (err)
		return err;
	if (!linux_enter(process, addr, size, guard, count))
		return -VMAP_EOVERFLOW;
	err = mech->ops->map(mech, addr, size, &runs, linux_prot(prot));
	if (err) {
		linux_leave(process, addr, size, count);
		return err;
	}
	*vmap_views_cost(&process->views, addr) = (struct vmap_cost){.mappings = (uint32_t)count, .fragments = (uint32_t)count};
	vmap_stat_add(&process->stat, VMAP_STAT_VIEWS, 1);
	vmap_stat_add(&process->stat, VMAP_STAT_FRAGMENTS, count);
	vmap_stat_add(&process->stat, VMAP_STAT_ALIASED, size);
	VMAP_PROBE3(map, addr, size, count);
	vmap_shadow_view(&process->views.shadow, addr, size);
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
	struct vmap_cost *cost = vmap_views_cost(&process->views, addr);

	/* In a child that has no views other things may lie there by now. */
	if (process->inherited || *process->owner) {
		vmap_shadow_retire(&process->views.shadow, addr, size);
		process->views.mech->ops->unmap(process->views.mech, addr, size);
	}
	VMAP_PROBE3(unmap, addr, size, cost->fragments);
	vmap_stat_add(&process->stat, VMAP_STAT_VIEWS, -(uint64_t)1);
	vmap_stat_add(&process->stat, VMAP_STAT_FRAGMENTS, -(uint64_t)cost->fragments);
	vmap_stat_add(&process->stat, VMAP_STAT_ALIASED, -(uint64_t)size);
	linux_leave(process, addr, size, cost->mappings);
	*cost = (struct vmap_cost){0};
}

int vmap_linux_replace(void *ctx, uintptr_t view, uintptr_t addr, struct vmap_page *page, unsigned prot)
{
	struct vmap_process *process = ctx;
	struct vmap_mech *mech = process->views.mech;
	struct vmap_runs runs = linux_runs(process, &page, 1);
	size_t cost = mech->ops->cost_replace();
	struct vmap_run run;
	int err = vmap_process_may_take(process);

	if (err)
		return err;
	vmap_runs_next(&runs, &run);
	if (prot & VMAP_WRITE && !run.region->writable)
		return -VMAP_EACCES;
	if (!linux_take(process, cost))
		return -VMAP_EOVERFLOW;
	err = mech->ops->replace(mech, view, addr, &run, linux_prot(prot));
	if (err) {
		linux_give(process, cost);
		return err;
	}
	vmap_views_cost(&process->views, view)->mappings += (uint32_t)cost;
	vmap_views_cost(&process->views, view)->fragments += (uint32_t)cost;
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
