// SPDX-License-Identifier: MIT
/*
 * Theory: what emulators forgive, this machine reports.
 *
 * Every CPU's TLB has room for each page of the range, so that nothing is forgotten until it is flushed. CPU 0 caches a
 * translation when it uses it; the last CPU caches whatever becomes mapped, at once, as hardware may: so a page or an
 * address that is given out again without a flush is caught, even if no test ever touched it. Each frame counts the table and TLB
 * entries that refer to it; a frame that becomes free must have none. A map hook that is made to fail maps and caches half of
 * its range first. Free frames and new descriptors are filled with a pattern.
 *
 * Threads run on CPUs in turn, unless they say where.
 *
 * One mutex (machine) guards all of this; it is held inside a hook only. The space's lock and those of shards are others, and each hook
 * looks whether its own thread holds one.
 *
 *	softmmu.c   the machine, what fails, what is counted        tlb.c     translations, in tables and TLBs
 *	hooks.c     mapping, flushes, the worker                    table.c   page tables
 *	frames.c    pages and their references                      locks.c   the space's, and those of shards
 *	pins.c      entries that the core writes itself             descriptors.c
 */
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "mmu.h"

/* Of each thread: whether it may not sleep, which CPU it runs on (counted from 1; 0: nobody has said). */
static _Thread_local bool atomic;
static _Thread_local unsigned current;

void mmu_violation(struct softmmu *mmu, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(mmu->last, sizeof(mmu->last), format, args);
	va_end(args);
	mmu->violations++;
	if (!mmu->quiet)
		fprintf(stderr, "softmmu: %s\n", mmu->last);
}

struct softmmu *mmu_enter(void *ctx, const char *hook)
{
	struct softmmu *mmu = ctx;

	pthread_mutex_lock(&mmu->machine);
	if (hook && mmu_holds_lock(mmu))
		mmu_violation(mmu, "%s is called with the lock held", hook);
	return mmu;
}

struct softmmu *mmu_enter_sleeping(void *ctx, const char *hook)
{
	struct softmmu *mmu = mmu_enter(ctx, hook);

	if (atomic)
		mmu_violation(mmu, "%s is called where nothing may sleep", hook);
	return mmu;
}

void mmu_leave(struct softmmu *mmu)
{
	pthread_mutex_unlock(&mmu->machine);
	mmu_pause(mmu);
}

bool mmu_injects(struct softmmu *mmu, enum softmmu_hook hook)
{
	if (!(mmu->inject_hooks & hook) || !mmu->inject_k || --mmu->inject_k)
		return false;
	mmu->injected = true;
	mmu->inject_k = mmu->inject_sticky;
	mmu->inject_hooks = hook;
	return true;
}

void mmu_pause(const struct softmmu *mmu)
{
	static _Thread_local uint32_t state;

	state = state * 1664525 + 1013904223;
	if (mmu->pause && (state >> 16) % mmu->pause == 0)
		sched_yield();
}

void softmmu_pause(struct softmmu *mmu, unsigned one_of)
{
	mmu->pause = one_of;
}

void softmmu_atomic(bool on)
{
	atomic = on;
}

void softmmu_run_on(unsigned cpu)
{
	current = cpu + 1;
}

unsigned mmu_cpu(void)
{
	static _Atomic(unsigned) threads;

	if (!current)
		current = atomic_fetch_add(&threads, 1) % SOFTMMU_CPUS + 1;
	return current - 1;
}

/* The machine */

static size_t memory_size(const struct softmmu *mmu)
{
	return (mmu->n_frames + SOFTMMU_DEVICE_FRAMES) * mmu->page_size;
}

static bool allocate(struct softmmu *mmu)
{
	size_t all = mmu->n_frames + SOFTMMU_DEVICE_FRAMES;

	mmu->frames = calloc(all, sizeof(struct frame));
	/* Most frames are never used, and malloc() may have been asked (MALLOC_PERTURB_) to write to all that it gives. */
	mmu->memory = mmap(NULL, memory_size(mmu), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mmu->memory == MAP_FAILED)
		mmu->memory = NULL;
	for (size_t i = mmu->n_frames; mmu->frames && i < all; i++)
		mmu->frames[i].used = true;
	for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++) {
		mmu->tlb[cpu] = calloc(mmu->size >> mmu->page_shift, sizeof(struct translation));
		if (!mmu->tlb[cpu])
			return false;
	}
	mmu->ends = calloc((mmu->size >> mmu->page_shift) + 1, sizeof(bool));
	return table_init(&mmu->table, mmu->page_shift) && mmu_pins_begin(mmu) && mmu->frames && mmu->memory && mmu->ends;
}

static void end(struct softmmu *mmu)
{
	while (mmu->descriptor_list)
		mmu_end_descriptor(mmu, mmu->descriptor_list);
	table_fini(&mmu->table);
	for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++)
		free(mmu->tlb[cpu]);
	free(mmu->frames);
	mmu_pins_end(mmu);
	free(mmu->ends);
	if (mmu->memory)
		munmap(mmu->memory, memory_size(mmu));
	pthread_mutex_destroy(&mmu->machine);
	mmu_locks_end(mmu);
	pthread_cond_destroy(&mmu->woken);
	free(mmu);
}

struct softmmu *softmmu_create(uintptr_t base, size_t size, size_t frames)
{
	return softmmu_create_paged(12, base, size, frames);
}

struct softmmu *softmmu_create_paged(unsigned page_shift, uintptr_t base, size_t size, size_t frames)
{
	struct softmmu *mmu = calloc(1, sizeof(*mmu));

	if (!mmu)
		return NULL;
	mmu->page_shift = page_shift;
	mmu->page_size = (size_t)1 << page_shift;
	mmu->base = base;
	mmu->size = size;
	mmu->n_frames = frames;
	pthread_mutex_init(&mmu->machine, NULL);
	mmu_locks_begin(mmu);
	pthread_cond_init(&mmu->woken, NULL);
	mmu_hooks(mmu);
	if (allocate(mmu))
		return mmu;
	end(mmu);
	return NULL;
}

static void check_empty(struct softmmu *mmu)
{
	mmu_note_all(mmu);
	if (mmu->frames_used)
		mmu_violation(mmu, "%zu frames are still in use", mmu->frames_used);
	if (mmu->descriptors)
		mmu_violation(mmu, "%zu descriptors were not freed", mmu->descriptors);
	if (mmu->translations || mmu->table.tables)
		mmu_violation(mmu, "%zu translations and %zu tables are left", mmu->translations, mmu->table.tables);
	if (mmu->pins.pinned)
		mmu_violation(mmu, "%zu pins are left", mmu->pins.pinned);
	mmu_locks_check(mmu);
	for (size_t i = 0; i < mmu->n_frames + SOFTMMU_DEVICE_FRAMES; i++)
		if (mmu->frames[i].cached)
			mmu_violation(mmu, "frame %zu is still in a TLB", i);
}

unsigned softmmu_destroy(struct softmmu *mmu)
{
	unsigned violations;

	check_empty(mmu);
	violations = (unsigned)mmu->violations;
	end(mmu);
	return violations;
}

const struct vmap_host *softmmu_host(const struct softmmu *mmu)
{
	return &mmu->host;
}

/* A counter, as it is now. */
static size_t look(struct softmmu *mmu, const size_t *counter)
{
	size_t value;

	mmu_enter(mmu, NULL);
	value = *counter;
	mmu_leave(mmu);
	return value;
}

unsigned softmmu_violations(struct softmmu *mmu)
{
	return (unsigned)look(mmu, &mmu->violations);
}

unsigned softmmu_wakes(struct softmmu *mmu)
{
	return (unsigned)look(mmu, &mmu->wakes);
}

size_t softmmu_frames_used(struct softmmu *mmu)
{
	return look(mmu, &mmu->frames_used);
}

size_t softmmu_pins(struct softmmu *mmu)
{
	return look(mmu, &mmu->pins.pinned);
}

size_t softmmu_publishes(struct softmmu *mmu)
{
	return look(mmu, &mmu->pins.publishes);
}

size_t softmmu_descriptors(struct softmmu *mmu)
{
	return look(mmu, &mmu->descriptors);
}

size_t softmmu_translations(struct softmmu *mmu)
{
	size_t translations;

	mmu_enter(mmu, NULL);
	mmu_note_all(mmu);
	translations = mmu->translations;
	mmu_leave(mmu);
	return translations;
}

void softmmu_quiet(struct softmmu *mmu, bool quiet)
{
	mmu->quiet = quiet;
}

const char *softmmu_last(struct softmmu *mmu)
{
	return mmu->last;
}

void softmmu_inject(struct softmmu *mmu, unsigned hooks, unsigned k, bool sticky)
{
	mmu_enter(mmu, NULL);
	mmu->inject_hooks = hooks;
	mmu->inject_k = k;
	mmu->inject_sticky = sticky;
	mmu->injected = false;
	mmu_leave(mmu);
}

bool softmmu_fails(struct softmmu *mmu, enum softmmu_hook hook)
{
	bool fails = mmu_injects(mmu_enter(mmu, NULL), hook);

	mmu_leave(mmu);
	return fails;
}

bool softmmu_injected(struct softmmu *mmu)
{
	bool injected;

	mmu_enter(mmu, NULL);
	injected = mmu->injected;
	mmu_leave(mmu);
	return injected;
}

uint64_t softmmu_device_frame(const struct softmmu *mmu)
{
	return mmu->n_frames;
}

unsigned char *softmmu_frame_bytes(struct softmmu *mmu, uint64_t frame)
{
	return mmu->memory + frame * mmu->page_size;
}

unsigned char *softmmu_page_bytes(struct softmmu *mmu, const struct vmap_page *page)
{
	return softmmu_frame_bytes(mmu, page->frame);
}

unsigned softmmu_page_refs(struct softmmu *mmu, const struct vmap_page *page)
{
	unsigned refs;

	mmu_enter(mmu, NULL);
	refs = page->refs;
	mmu_leave(mmu);
	return refs;
}

unsigned softmmu_flushes(struct softmmu *mmu, struct vmap_range *ranges, size_t *n)
{
	unsigned flushes;

	mmu_enter(mmu, NULL);
	flushes = (unsigned)mmu->flushes;
	*n = mmu->n_flushed;
	memcpy(ranges, mmu->flushed, *n * sizeof(*ranges));
	mmu_leave(mmu);
	return flushes;
}

void softmmu_before_flush(struct softmmu *mmu, void (*run)(void *arg), void *arg)
{
	mmu_enter(mmu, NULL);
	mmu->before_flush = run;
	mmu->before_flush_arg = arg;
	mmu_leave(mmu);
}
