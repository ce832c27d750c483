/* SPDX-License-Identifier: MIT */
/*
 * Views of pages
 *
 * Theory: the pool is mapped already. Pages that are one run of it lie in one piece there; where nothing was asked for that this
 * place does not have (a guard, another protection, another address) it is the view. What is left to do are the references, and those
 * can be found again by arithmetic from the address, so that such a view needs no memory either. Everything else is vmap_pages().
 */
#include <stdlib.h>
#include <sys/mman.h>
#include "process.h"

bool vmap_view_is_there(const struct vmap_region *region, const void *addr, size_t size, const struct vmap_options *options)
{
	const unsigned rw = VMAP_READ | VMAP_WRITE;
	uintptr_t at = (uintptr_t)addr;
	unsigned prot;

	if (!options || !(options->flags & VMAP_NO_GUARD) || options->guard)
		return false;
	prot = options->prot ? options->prot | VMAP_READ : rw;
	if (prot != (region->prot & PROT_WRITE ? rw : VMAP_READ))
		return false;
	if (options->align && (options->align & (options->align - 1) || (at & (options->align - 1)) != options->phase))
		return false;
	return at >= options->min && (!options->max || at + (size - 1) <= options->max);
}

/* The pages as one run of the pool. False: they are not. */
static bool view_run(struct vmap_process *process, struct vmap_page *const *pages, size_t n, struct vmap_run *run)
{
	struct vmap_runs runs = {.regions = process->regions, .pages = pages, .n = n, .page_shift = process->pool.page_shift};

	for (size_t i = 0; i < n; i++) {
		if (!pages[i] || pages[i]->order > VMAP_MAX_ORDER || pages[i]->region)
			return false;
	}
	return vmap_runs_next(&runs, run) && runs.done == n;
}

static bool view_direct(struct vmap_process *process, struct vmap_page *const *pages, size_t n,
			const struct vmap_options *options, struct vmap_view *view)
{
	const unsigned known = VMAP_BORROW | VMAP_PUT_PAGES | VMAP_NO_GUARD | VMAP_SYNC;
	struct vmap_run run;
	void *addr;

	if (!pages || !n || !options || !(options->flags & VMAP_NO_GUARD) || options->flags & ~known ||
	    (options->flags & VMAP_BORROW && options->flags & VMAP_PUT_PAGES) || !view_run(process, pages, n, &run))
		return false;
	addr = process->pool.memory + run.offset;
	if (!vmap_view_is_there(run.region, addr, run.size, options))
		return false;
	if (!(options->flags & (VMAP_BORROW | VMAP_PUT_PAGES)))
		vmap_pool_get(pages, n);
	view->addr = addr;
	view->size = run.size;
	view->how = VMAP_VIEW_DIRECT | (options->flags & VMAP_BORROW ? VMAP_VIEW_BORROWED : 0);
	return true;
}

/*
 * Where in an entry, or a window, of the page tables a view begins: where its first page does, so that one maps as much as it can. A
 * transparent 2 MiB page is mapped with one entry only where address and offset agree modulo 2 MiB (reserved ones always do); a fault fills
 * one window. Views of windows get a guard of one, too, so that they still lie side by side: mech.h, unmap_all.
 */
static struct vmap_options view_aligned(const struct vmap_process *process, const struct vmap_page *first, size_t size,
					const struct vmap_options *given)
{
	const size_t huge = (size_t)1 << VMAP_HUGE_SHIFT;
	const uint64_t offset = first->frame << process->pool.page_shift;
	struct vmap_options options = given ? *given : (struct vmap_options){0};

	if (options.align || options.phase)
		return options;
	if (process->pool.huge.kind == VMAP_HUGE_TRANSPARENT && size >= huge) {
		options.align = huge;
		options.phase = (size_t)offset & (huge - 1);
	} else if (!((offset | size) & (VMAP_WINDOW - 1)) && process->pool.page_shift < VMAP_HUGE_SHIFT) {
		options.align = VMAP_WINDOW;
		if (!options.guard && !(options.flags & VMAP_NO_GUARD))
			options.guard = VMAP_WINDOW;
	}
	return options;
}

static int view_mapped(struct vmap_process *process, struct vmap_page *const *pages, size_t n, const struct vmap_options *options,
		       struct vmap_view *view)
{
	struct vmap_options aligned;
	size_t size = 0;
	int err;

	if (!pages || !n || !pages[0])
		return -VMAP_EINVAL;
	for (size_t i = 0; i < n && pages[i] && pages[i]->order <= VMAP_MAX_ORDER; i++)
		size += (size_t)1 << (pages[i]->order + process->pool.page_shift);
	aligned = view_aligned(process, pages[0], size, options);
	err = vmap_pages(process->space, pages, n, &aligned, &view->addr);
	if (err)
		return err;
	view->size = size;
	view->mappings = vmap_views_mappings(&process->views, (uintptr_t)view->addr, size);
	return 0;
}

int vmap_view(struct vmap_process *process, struct vmap_page *const *pages, size_t n, const struct vmap_options *options,
	      struct vmap_view *view)
{
	*view = (struct vmap_view){0};
	if (view_direct(process, pages, n, options, view))
		return 0;
	return view_mapped(process, pages, n, options, view);
}

int vmap_mirror(struct vmap_process *process, struct vmap_page *const *pages, size_t n, const struct vmap_options *options,
		struct vmap_view *view)
{
	struct vmap_page **twice;
	int err;

	*view = (struct vmap_view){0};
	if (!pages || !n || (options && options->flags & VMAP_PUT_PAGES))
		return -VMAP_EINVAL;
	if (n > SIZE_MAX / 2 / sizeof(*twice))
		return -VMAP_ERANGE;
	twice = malloc(2 * n * sizeof(*twice));
	if (!twice)
		return -VMAP_ENOMEM;
	for (size_t i = 0; i < n; i++)
		twice[i] = twice[n + i] = pages[i];
	err = view_mapped(process, twice, 2 * n, options, view);
	free(twice);
	return err;
}

int vmap_view_end(struct vmap_process *process, struct vmap_view *view)
{
	const void *caller = __builtin_return_address(0);
	int err = 0;

	if (!view->addr)
		return -VMAP_EINVAL;
	if (view->held)
		vmap_iov_end(process, view, caller);
	else if (!(view->how & VMAP_VIEW_DIRECT))
		err = vmap_unmap_by(process->space, view->addr, caller);
	else if (!(view->how & VMAP_VIEW_BORROWED))
		vmap_pool_release(&process->pool,
				  (uint64_t)((uint8_t *)view->addr - process->pool.memory) >> process->pool.page_shift,
				  view->size >> process->pool.page_shift);
	if (!err)
		*view = (struct vmap_view){0};
	return err;
}
