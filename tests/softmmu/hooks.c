// SPDX-License-Identifier: MIT
/*
 * The hooks of a libvmap host, but for descriptors, frames, locks and pins. One that is made to fail has done half of its work first, and taken it back
 * where it must: CPUs may have seen it.
 */
#include <string.h>
#include "mmu.h"

/* Mapping */

static size_t base_pages(struct vmap_page *const *pages, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += (size_t)1 << pages[i]->order;
	return total;
}

/* Map the first count base pages of the array, or the frames. Gives how many were mapped. */
static size_t set_range(struct softmmu *mmu, uintptr_t addr, struct vmap_page *const *pages, const uint64_t *frames, size_t count,
			unsigned prot)
{
	size_t done = 0, k;

	for (; frames && done < count; done++)
		if (!mmu_set(mmu, addr + done * mmu->page_size, frames[done], prot))
			return done;
	for (size_t i = 0; done < count; i++) {
		for (k = 0; k < (size_t)1 << pages[i]->order && done < count; k++, done++)
			if (!mmu_set(mmu, addr + done * mmu->page_size, pages[i]->frame + k, prot))
				return done;
	}
	return done;
}

static bool *end_at(struct softmmu *mmu, uintptr_t addr)
{
	return &mmu->ends[(addr - mmu->base) >> mmu->page_shift];
}

void mmu_ends(struct softmmu *mmu, uintptr_t addr, size_t size)
{
	memset(end_at(mmu, addr), 0, (size >> mmu->page_shift) * sizeof(bool));
	*end_at(mmu, addr) = *end_at(mmu, addr + size) = true;
}

/* What is mapped on both sides of addr was mapped by one call. */
static bool is_inside(struct softmmu *mmu, uintptr_t addr)
{
	return !*end_at(mmu, addr) && table_walk(&mmu->table, addr).valid && table_walk(&mmu->table, addr - mmu->page_size).valid;
}

/* total base pages: those of pages, or of frames where these are given. */
static int map_own(void *ctx, uintptr_t addr, struct vmap_page *const *pages, const uint64_t *frames, size_t total, unsigned prot)
{
	struct softmmu *mmu = mmu_enter(ctx, "map");
	bool fails = mmu_injects(mmu, SOFTMMU_MAP);
	size_t done = 0;

	if (!mmu_in_range(mmu, addr, total * mmu->page_size)) {
		mmu_violation(mmu, "map of %zu pages at 0x%zx, which is not all in the range", total, (size_t)addr);
		fails = true;
	} else {
		done = set_range(mmu, addr, pages, frames, fails ? (total + 1) / 2 : total, prot);
		fails |= done < total;
		mmu_ends(mmu, addr, total * mmu->page_size);
	}
	while (fails && done--)
		mmu_clear(mmu, addr + done * mmu->page_size);
	mmu_leave(mmu);
	return fails ? -VMAP_ENOMEM : 0;
}

/* n pages, or n frames. */
static int map_any(void *ctx, uintptr_t addr, struct vmap_page *const *pages, const uint64_t *frames, size_t n, unsigned prot)
{
	struct softmmu *mmu = ctx;
	const struct vmap_host *second = mmu->second;
	size_t total = frames ? n : base_pages(pages, n);
	int err = map_own(ctx, addr, pages, frames, total, prot);

	if (err || !second)
		return err;
	err = frames ? second->map_pfn(second->ctx, addr, frames, n, prot) : second->map(second->ctx, addr, pages, n, prot);
	if (err) {
		mmu_enter(mmu, NULL);
		while (total--)
			mmu_clear(mmu, addr + total * mmu->page_size);
		mmu_leave(mmu);
	}
	return err;
}

static int map_nowait(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	return map_any(ctx, addr, pages, NULL, n, prot);
}

static int map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	mmu_leave(mmu_enter_sleeping(ctx, "map"));
	return map_nowait(ctx, addr, pages, n, prot);
}

static int map_pfn_nowait(void *ctx, uintptr_t addr, const uint64_t *frames, size_t n, unsigned prot)
{
	return map_any(ctx, addr, NULL, frames, n, prot);
}

static int map_pfn(void *ctx, uintptr_t addr, const uint64_t *frames, size_t n, unsigned prot)
{
	mmu_leave(mmu_enter_sleeping(ctx, "map_pfn"));
	return map_pfn_nowait(ctx, addr, frames, n, prot);
}

static int protect(void *ctx, uintptr_t addr, size_t size, unsigned prot)
{
	struct softmmu *mmu = mmu_enter_sleeping(ctx, "protect");
	bool fails = mmu_injects(mmu, SOFTMMU_PROTECT);
	struct translation leaf;
	int err = 0;

	mmu_leave(mmu);
	if (mmu->second && !fails)
		err = mmu->second->protect(mmu->second->ctx, addr, size, prot);
	if (err)
		return err;
	mmu_enter(mmu, NULL);
	if (prot & ~(VMAP_READ | VMAP_WRITE | VMAP_EXEC))
		mmu_violation(mmu, "protect of 0x%zx with 0x%x", (size_t)addr, prot);
	for (size_t at = 0; at < (fails ? size / 2 : size); at += mmu->page_size) {
		leaf = table_walk(&mmu->table, addr + at);
		mmu_change(mmu, addr + at, leaf.frame, (leaf.prot & VMAP_MEMORY_MASK) | prot);
	}
	mmu_leave(mmu);
	return fails ? -VMAP_ENOMEM : 0;
}

static int replace(void *ctx, uintptr_t area, uintptr_t addr, struct vmap_page *page, unsigned prot)
{
	struct softmmu *mmu = mmu_enter_sleeping(ctx, "replace");
	bool fails = mmu_injects(mmu, SOFTMMU_REPLACE);
	size_t n = (size_t)1 << page->order;
	struct translation old;

	if (area > addr || !mmu_in_range(mmu, addr, n * mmu->page_size)) {
		mmu_violation(mmu, "replace at 0x%zx, which is not in the area or the range", (size_t)addr);
		n = 0;
	}
	for (size_t i = 0; i < (fails ? (n + 1) / 2 : n); i++) {
		old = table_walk(&mmu->table, addr + i * mmu->page_size);
		mmu_change(mmu, addr + i * mmu->page_size, page->frame + i, prot);
		if (fails)
			mmu_change(mmu, addr + i * mmu->page_size, old.frame, old.prot);
	}
	mmu_leave(mmu);
	return fails ? -VMAP_ENOMEM : 0;
}

static int copy(void *ctx, void *to, uintptr_t addr, size_t size)
{
	struct softmmu *mmu = mmu_enter_sleeping(ctx, "copy");
	size_t offset;
	bool done;

	if (!size || size > mmu->page_size - (addr & (mmu->page_size - 1)))
		mmu_violation(mmu, "copy of %zu bytes from 0x%zx, which are not of one page", size, (size_t)addr);
	if (table_walk(&mmu->table, addr - addr % mmu->page_size).prot & VMAP_MEMORY_MASK)
		mmu_violation(mmu, "copy of 0x%zx, which is no memory", (size_t)addr);
	done = !mmu_injects(mmu, SOFTMMU_COPY) && mmu_translate(mmu, mmu_cpu() % SOFTMMU_CPUS, addr, VMAP_READ, &offset);
	if (done)
		memcpy(to, mmu->memory + offset, size);
	mmu_leave(mmu);
	return done ? 0 : -VMAP_EFAULT;
}

static void unmap(void *ctx, uintptr_t addr, size_t size)
{
	struct softmmu *mmu = ctx;

	if (mmu->second)
		mmu->second->unmap(mmu->second->ctx, addr, size);
	mmu_enter(mmu, "unmap");
	if (!mmu_in_range(mmu, addr, size)) {
		mmu_violation(mmu, "unmap of 0x%zx bytes at 0x%zx, which are not all in the range", size, (size_t)addr);
	} else {
		if (is_inside(mmu, addr) || is_inside(mmu, addr + size))
			mmu_violation(mmu, "unmap of 0x%zx bytes at 0x%zx, a part that was not cut off", size, (size_t)addr);
		for (size_t at = 0; at < size; at += mmu->page_size)
			mmu_clear(mmu, addr + at);
	}
	mmu_leave(mmu);
}

static bool is_mapped_around(struct softmmu *mmu, uintptr_t addr)
{
	return mmu_in_range(mmu, addr - mmu->page_size, 2 * mmu->page_size) && table_walk(&mmu->table, addr).valid &&
	       table_walk(&mmu->table, addr - mmu->page_size).valid;
}

static int cut(void *ctx, const uintptr_t *addrs, size_t n)
{
	struct softmmu *mmu = mmu_enter_sleeping(ctx, "cut");
	bool fails = mmu_injects(mmu, SOFTMMU_CUT);

	for (size_t i = 0; i < n; i++) {
		if (!is_mapped_around(mmu, addrs[i]))
			mmu_violation(mmu, "cut at 0x%zx, where nothing is mapped on one side", (size_t)addrs[i]);
		else if (!fails)
			*end_at(mmu, addrs[i]) = true;
	}
	mmu_leave(mmu);
	return fails ? -VMAP_ENOMEM : 0;
}

/* Flushing */

static void run_before_flush(struct softmmu *mmu)
{
	void (*run)(void *arg);

	mmu_enter(mmu, NULL);
	run = mmu->before_flush;
	mmu->before_flush = NULL;
	mmu_leave(mmu);
	if (run)
		run(mmu->before_flush_arg);
}

static void flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	struct softmmu *mmu;

	run_before_flush(ctx);
	mmu = ctx;
	if (mmu->second)
		mmu->second->flush(mmu->second->ctx, ranges, n);
	mmu_enter_sleeping(mmu, "flush");
	mmu->flushes++;
	if (n > VMAP_FLUSH_RANGES) {
		mmu_violation(mmu, "flush of %zu ranges", n);
		n = VMAP_FLUSH_RANGES;
	}
	mmu->n_flushed = n;
	for (size_t i = 0; i < n; i++) {
		mmu->flushed[i] = ranges[i];
		mmu_forget(mmu, ranges[i]);
	}
	if (!n)
		mmu_forget(mmu, (struct vmap_range){mmu->base, mmu->size});
	mmu_leave(mmu);
}

/* The worker, and CPUs */

static void purge_wake(void *ctx)
{
	struct softmmu *mmu = mmu_enter(ctx, "purge_wake");

	mmu->wakes++;
	pthread_cond_signal(&mmu->woken);
	mmu_leave(mmu);
}

void softmmu_worker(struct softmmu *mmu)
{
	mmu->host.purge_wake = purge_wake;
}

bool softmmu_worker_sleep(struct softmmu *mmu)
{
	bool ends;

	mmu_enter(mmu, NULL);
	while (mmu->wakes == mmu->wakes_served && !mmu->worker_ends)
		pthread_cond_wait(&mmu->woken, &mmu->machine);
	mmu->wakes_served = mmu->wakes;
	ends = mmu->worker_ends;
	mmu_leave(mmu);
	return !ends;
}

void softmmu_worker_end(struct softmmu *mmu)
{
	mmu_enter(mmu, NULL);
	mmu->worker_ends = true;
	pthread_cond_signal(&mmu->woken);
	mmu_leave(mmu);
}

void softmmu_second(struct softmmu *mmu, const struct vmap_host *second)
{
	mmu->second = second;
	mmu->host.replace = NULL;
}

static unsigned cpu(void *ctx)
{
	mmu_leave(mmu_enter(ctx, "cpu"));
	return mmu_cpu();
}

void mmu_hooks(struct softmmu *mmu)
{
	mmu->host = (struct vmap_host){
		.version = VMAP_HOST_VERSION,
		.page_shift = mmu->page_shift,
		.ctx = mmu,
		.map = map,
		.unmap = unmap,
		.flush = flush,
		.replace = replace,
		.protect = protect,
		.map_pfn = map_pfn,
		.map_nowait = map_nowait,
		.map_pfn_nowait = map_pfn_nowait,
		.cpu = cpu,
		.copy = copy,
		.parts = true,
		.cut = cut,
	};
	mmu_lock_hooks(&mmu->host);
	mmu_descriptor_hooks(&mmu->host);
	mmu_frame_hooks(&mmu->host);
}
