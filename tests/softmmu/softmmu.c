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
 * One mutex (machine) guards all of this; it is held inside a hook only. The space's lock is another one, and each hook
 * looks whether its own thread holds it.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "softmmu.h"
#include "table.h"

#define FREE_BYTE 0xdb
#define NEW_BYTE 0x5c
#define DESCRIPTOR_MAGIC 0x646573637269u

struct frame {
	struct vmap_page page; /* of the page that begins here */
	bool used; /* part of a page that is not free */
	uint64_t head; /* the frame that page begins at */
	size_t mapped; /* table entries */
	size_t cached; /* TLB entries */
};

/* In front of each descriptor. */
struct descriptor {
	struct descriptor *next, **link; /* among those in use; who points here */
	size_t size;
	uint64_t magic;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct softmmu {
	struct vmap_host host;
	uintptr_t base;
	size_t size;
	pthread_mutex_t machine;
	struct table table;
	struct translation *tlb[SOFTMMU_CPUS];
	struct frame *frames;
	unsigned char *memory;
	size_t n_frames, frames_used, next_frame;
	struct descriptor *descriptor_list;
	size_t descriptors;
	size_t translations;
	unsigned flushes;
	struct vmap_range flushed[VMAP_FLUSH_RANGES]; /* by the last call */
	size_t n_flushed;
	void (*before_flush)(void *arg);
	void *before_flush_arg;
	unsigned inject_hooks, inject_k;
	bool inject_sticky, injected;
	unsigned wakes;
	unsigned violations;
	bool quiet;
	char last[160];
	pthread_mutex_t lock;
	_Atomic(const char *) owner; /* the thread that holds lock, by the address of its own marker */
	unsigned long saved;
};

static _Thread_local char marker;
static _Thread_local bool atomic;

__attribute__((format(printf, 2, 3))) static void violation(struct softmmu *mmu, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(mmu->last, sizeof(mmu->last), format, args);
	va_end(args);
	mmu->violations++;
	if (!mmu->quiet)
		fprintf(stderr, "softmmu: %s\n", mmu->last);
}

/* Begin a hook: hooks run without the space's lock. */
static struct softmmu *enter(void *ctx, const char *hook)
{
	struct softmmu *mmu = ctx;

	pthread_mutex_lock(&mmu->machine);
	if (hook && atomic_load(&mmu->owner) == &marker)
		violation(mmu, "%s is called with the lock held", hook);
	return mmu;
}

/* The same for a hook that may sleep. */
static struct softmmu *enter_sleeping(void *ctx, const char *hook)
{
	struct softmmu *mmu = enter(ctx, hook);

	if (atomic)
		violation(mmu, "%s is called where nothing may sleep", hook);
	return mmu;
}

static void leave(struct softmmu *mmu)
{
	pthread_mutex_unlock(&mmu->machine);
}

/* Whether this call of a hook is the one that shall fail. */
static bool injects(struct softmmu *mmu, enum softmmu_hook hook)
{
	if (!(mmu->inject_hooks & hook) || !mmu->inject_k || --mmu->inject_k)
		return false;
	mmu->injected = true;
	mmu->inject_k = mmu->inject_sticky;
	mmu->inject_hooks = hook;
	return true;
}

/* Descriptors */

static void link_descriptor(struct softmmu *mmu, struct descriptor *descriptor)
{
	descriptor->link = &mmu->descriptor_list;
	descriptor->next = mmu->descriptor_list;
	if (descriptor->next)
		descriptor->next->link = &descriptor->next;
	mmu->descriptor_list = descriptor;
	mmu->descriptors++;
}

static void end_descriptor(struct softmmu *mmu, struct descriptor *descriptor)
{
	*descriptor->link = descriptor->next;
	if (descriptor->next)
		descriptor->next->link = descriptor->link;
	mmu->descriptors--;
	descriptor->magic = 0;
	memset(descriptor->bytes, FREE_BYTE, descriptor->size);
	free(descriptor);
}

static void *meta_alloc_nowait(void *ctx, size_t size)
{
	struct softmmu *mmu = enter(ctx, "meta_alloc");
	struct descriptor *descriptor = NULL;

	if (!size)
		violation(mmu, "meta_alloc of 0 bytes");
	if (!injects(mmu, SOFTMMU_META_ALLOC))
		descriptor = malloc(sizeof(*descriptor) + size);
	if (descriptor) {
		link_descriptor(mmu, descriptor);
		descriptor->size = size;
		descriptor->magic = DESCRIPTOR_MAGIC;
		memset(descriptor->bytes, NEW_BYTE, size);
	}
	leave(mmu);
	return descriptor ? descriptor->bytes : NULL;
}

static void *meta_alloc(void *ctx, size_t size)
{
	leave(enter_sleeping(ctx, "meta_alloc"));
	return meta_alloc_nowait(ctx, size);
}

static void meta_free(void *ctx, void *mem, size_t size)
{
	struct descriptor *descriptor = (struct descriptor *)(void *)((char *)mem - offsetof(struct descriptor, bytes));
	struct softmmu *mmu = enter(ctx, "meta_free");

	if (descriptor->magic != DESCRIPTOR_MAGIC) {
		violation(mmu, "meta_free of %p, which is no descriptor", mem);
	} else {
		if (descriptor->size != size)
			violation(mmu, "meta_free of %zu bytes that were allocated as %zu", size, descriptor->size);
		end_descriptor(mmu, descriptor);
	}
	leave(mmu);
}

/* The lock */

static unsigned long lock(void *ctx)
{
	struct softmmu *mmu = ctx;

	if (atomic_load(&mmu->owner) == &marker) {
		enter(mmu, NULL);
		violation(mmu, "the lock is taken by the thread that holds it");
		leave(mmu);
		return 0;
	}
	pthread_mutex_lock(&mmu->lock);
	atomic_store(&mmu->owner, &marker);
	return ++mmu->saved;
}

static void unlock(void *ctx, unsigned long saved)
{
	struct softmmu *mmu = ctx;

	if (atomic_load(&mmu->owner) != &marker || saved != mmu->saved) {
		enter(mmu, NULL);
		violation(mmu, "the lock is given back by a thread that does not hold it, or with another saved state");
		leave(mmu);
		return;
	}
	atomic_store(&mmu->owner, NULL);
	pthread_mutex_unlock(&mmu->lock);
}

/* Frames */

static bool frames_free(const struct softmmu *mmu, size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (mmu->frames[first + i].used)
			return false;
	return true;
}

static void page_free(struct softmmu *mmu, struct vmap_page *page)
{
	size_t n = (size_t)1 << page->order;
	struct frame *frame;

	for (size_t i = 0; i < n; i++) {
		frame = &mmu->frames[page->frame + i];
		if (frame->mapped || frame->cached)
			violation(mmu, "frame %zu becomes free while %zu table and %zu TLB entries refer to it",
				  (size_t)page->frame + i, frame->mapped, frame->cached);
		frame->used = false;
	}
	mmu->frames_used -= n;
	memset(mmu->memory + page->frame * TABLE_SIZE, FREE_BYTE, n * TABLE_SIZE);
}

/* A page's frames: the first that are free, looked for from a place that moves on in large steps so that pages lie scattered. */
static struct vmap_page *page_new(struct softmmu *mmu, unsigned order)
{
	size_t n = (size_t)1 << order, slots = mmu->n_frames >> order, first;
	struct vmap_page *page;

	mmu->next_frame += mmu->n_frames / 3 | 1;
	for (size_t slot = 0; slot < slots; slot++) {
		first = ((mmu->next_frame >> order) + slot) % slots << order;
		if (!frames_free(mmu, first, n))
			continue;
		page = &mmu->frames[first].page;
		*page = (struct vmap_page){.frame = first, .refs = 1, .order = (uint8_t)order};
		for (size_t i = 0; i < n; i++) {
			mmu->frames[first + i].used = true;
			mmu->frames[first + i].head = first;
		}
		mmu->frames_used += n;
		memset(mmu->memory + first * TABLE_SIZE, NEW_BYTE, n * TABLE_SIZE);
		return page;
	}
	return NULL;
}

static int page_alloc_nowait(void *ctx, unsigned order, size_t n, struct vmap_page **pages)
{
	struct softmmu *mmu = enter(ctx, "page_alloc");
	bool fails = injects(mmu, SOFTMMU_PAGE_ALLOC);
	size_t done = 0;

	if (!n)
		violation(mmu, "page_alloc of 0 pages");
	for (; !fails && done < n; done++) {
		pages[done] = page_new(mmu, order);
		fails = !pages[done];
		if (fails)
			break;
	}
	while (fails && done--) {
		pages[done]->refs = 0;
		page_free(mmu, pages[done]);
	}
	leave(mmu);
	return fails ? -VMAP_ENOMEM : 0;
}

static int page_alloc(void *ctx, unsigned order, size_t n, struct vmap_page **pages)
{
	leave(enter_sleeping(ctx, "page_alloc"));
	return page_alloc_nowait(ctx, order, n, pages);
}

static bool is_live(struct softmmu *mmu, const struct vmap_page *page, const char *hook)
{
	if (page->refs)
		return true;
	violation(mmu, "%s of the page at frame %zu, which is free", hook, (size_t)page->frame);
	return false;
}

static void page_get(void *ctx, struct vmap_page *const *pages, size_t n)
{
	struct softmmu *mmu = enter(ctx, "page_get");

	for (size_t i = 0; i < n; i++)
		if (is_live(mmu, pages[i], "page_get"))
			pages[i]->refs++;
	leave(mmu);
}

static void page_put(void *ctx, struct vmap_page *const *pages, size_t n)
{
	struct softmmu *mmu = enter(ctx, "page_put");

	for (size_t i = 0; i < n; i++)
		if (is_live(mmu, pages[i], "page_put") && !--pages[i]->refs)
			page_free(mmu, pages[i]);
	leave(mmu);
}

/* Translations */

static bool in_range(const struct softmmu *mmu, uintptr_t addr, size_t size)
{
	return addr >= mmu->base && addr - mmu->base < mmu->size && size <= mmu->size - (addr - mmu->base) &&
	       !((addr | size) & (TABLE_SIZE - 1)) && size;
}

static struct translation *tlb_entry(const struct softmmu *mmu, unsigned cpu, uintptr_t addr)
{
	return &mmu->tlb[cpu][(addr - mmu->base) >> TABLE_SHIFT];
}

static void tlb_drop(struct softmmu *mmu, uintptr_t addr)
{
	struct translation *entry;

	for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++) {
		entry = tlb_entry(mmu, cpu, addr);
		if (entry->valid)
			mmu->frames[entry->frame].cached--;
		*entry = (struct translation){0};
	}
}

static void tlb_fill(struct softmmu *mmu, unsigned cpu, uintptr_t addr, struct translation leaf)
{
	*tlb_entry(mmu, cpu, addr) = leaf;
	mmu->frames[leaf.frame].cached++;
}

static void clear_one(struct softmmu *mmu, uintptr_t addr)
{
	struct translation leaf = table_walk(&mmu->table, addr);

	if (!leaf.valid) {
		violation(mmu, "unmap of 0x%zx, which is not mapped", (size_t)addr);
		return;
	}
	table_clear(&mmu->table, addr);
	mmu->frames[leaf.frame].mapped--;
	mmu->translations--;
}

/* false: no memory for tables. */
static bool set_one(struct softmmu *mmu, uintptr_t addr, uint64_t frame, unsigned prot)
{
	struct translation leaf = {.valid = true, .frame = frame, .prot = prot};

	if (!mmu->frames[frame].used)
		violation(mmu, "map of free frame %zu at 0x%zx", (size_t)frame, (size_t)addr);
	if (table_walk(&mmu->table, addr).valid) {
		violation(mmu, "map over the translation at 0x%zx", (size_t)addr);
		clear_one(mmu, addr);
	}
	for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++)
		if (tlb_entry(mmu, cpu, addr)->valid)
			violation(mmu, "map at 0x%zx, of which CPU %u has a translation that was never flushed", (size_t)addr,
				  cpu);
	tlb_drop(mmu, addr);
	if (!table_set(&mmu->table, addr, leaf))
		return false;
	mmu->frames[frame].mapped++;
	mmu->translations++;
	tlb_fill(mmu, SOFTMMU_CPUS - 1, addr, leaf);
	return true;
}

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
		if (!set_one(mmu, addr + done * TABLE_SIZE, frames[done], prot))
			return done;
	for (size_t i = 0; done < count; i++) {
		for (k = 0; k < (size_t)1 << pages[i]->order && done < count; k++, done++)
			if (!set_one(mmu, addr + done * TABLE_SIZE, pages[i]->frame + k, prot))
				return done;
	}
	return done;
}

/* total base pages: those of pages, or of frames where these are given. */
static int map_any(void *ctx, uintptr_t addr, struct vmap_page *const *pages, const uint64_t *frames, size_t total, unsigned prot)
{
	struct softmmu *mmu = enter(ctx, "map");
	bool fails = injects(mmu, SOFTMMU_MAP);
	size_t done = 0;

	if (!in_range(mmu, addr, total * TABLE_SIZE)) {
		violation(mmu, "map of %zu pages at 0x%zx, which is not all in the range", total, (size_t)addr);
		fails = true;
	} else {
		done = set_range(mmu, addr, pages, frames, fails ? (total + 1) / 2 : total, prot);
		fails |= done < total;
	}
	while (fails && done--)
		clear_one(mmu, addr + done * TABLE_SIZE);
	leave(mmu);
	return fails ? -VMAP_ENOMEM : 0;
}

static int map_nowait(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	return map_any(ctx, addr, pages, NULL, base_pages(pages, n), prot);
}

static int map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	leave(enter_sleeping(ctx, "map"));
	return map_nowait(ctx, addr, pages, n, prot);
}

static int map_pfn_nowait(void *ctx, uintptr_t addr, const uint64_t *frames, size_t n, unsigned prot)
{
	return map_any(ctx, addr, NULL, frames, n, prot);
}

static int map_pfn(void *ctx, uintptr_t addr, const uint64_t *frames, size_t n, unsigned prot)
{
	leave(enter_sleeping(ctx, "map_pfn"));
	return map_pfn_nowait(ctx, addr, frames, n, prot);
}

/* One that is made to fail has changed the first half. */
static int protect(void *ctx, uintptr_t addr, size_t size, unsigned prot)
{
	struct softmmu *mmu = enter_sleeping(ctx, "protect");
	bool fails = injects(mmu, SOFTMMU_PROTECT);
	struct translation leaf;

	for (size_t at = 0; at < (fails ? size / 2 : size); at += TABLE_SIZE) {
		leaf = table_walk(&mmu->table, addr + at);
		if (!leaf.valid || prot & ~(VMAP_READ | VMAP_WRITE | VMAP_EXEC)) {
			violation(mmu, "protect of 0x%zx, which is not mapped, or with 0x%x", (size_t)(addr + at), prot);
			break;
		}
		leaf.prot = (leaf.prot & VMAP_MEMORY_MASK) | prot;
		table_set(&mmu->table, addr + at, leaf);
	}
	leave(mmu);
	return fails ? -VMAP_ENOMEM : 0;
}

static int copy(void *ctx, void *to, uintptr_t addr, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!softmmu_read(ctx, 0, addr + i, (unsigned char *)to + i))
			return -VMAP_EFAULT;
	return 0;
}

static void purge_wake(void *ctx)
{
	struct softmmu *mmu = enter(ctx, "purge_wake");

	mmu->wakes++;
	leave(mmu);
}

static void unmap(void *ctx, uintptr_t addr, size_t size)
{
	struct softmmu *mmu = enter(ctx, "unmap");

	if (!in_range(mmu, addr, size))
		violation(mmu, "unmap of 0x%zx bytes at 0x%zx, which are not all in the range", size, (size_t)addr);
	else
		for (size_t at = 0; at < size; at += TABLE_SIZE)
			clear_one(mmu, addr + at);
	leave(mmu);
}

static void run_before_flush(struct softmmu *mmu)
{
	void (*run)(void *arg);

	enter(mmu, NULL);
	run = mmu->before_flush;
	mmu->before_flush = NULL;
	leave(mmu);
	if (run)
		run(mmu->before_flush_arg);
}

static void flush_range(struct softmmu *mmu, struct vmap_range range)
{
	if (!in_range(mmu, range.addr, range.size)) {
		violation(mmu, "flush of 0x%zx bytes at 0x%zx, which are not all in the range", range.size, (size_t)range.addr);
		return;
	}
	for (size_t at = 0; at < range.size; at += TABLE_SIZE)
		tlb_drop(mmu, range.addr + at);
}

static void flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	struct softmmu *mmu;

	run_before_flush(ctx);
	mmu = enter_sleeping(ctx, "flush");
	mmu->flushes++;
	if (n > VMAP_FLUSH_RANGES) {
		violation(mmu, "flush of %zu ranges", n);
		n = VMAP_FLUSH_RANGES;
	}
	mmu->n_flushed = n;
	for (size_t i = 0; i < n; i++) {
		mmu->flushed[i] = ranges[i];
		flush_range(mmu, ranges[i]);
	}
	if (!n)
		flush_range(mmu, (struct vmap_range){mmu->base, mmu->size});
	leave(mmu);
}

/* What a CPU does for an access: TLB, then tables. An entry that the tables no longer have is stale, and used all the same. */
static bool translate(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned prot, size_t *offset)
{
	uintptr_t page = addr & ~(uintptr_t)(TABLE_SIZE - 1);
	struct translation walked = table_walk(&mmu->table, page), used = walked;

	if (in_range(mmu, page, TABLE_SIZE)) {
		used = *tlb_entry(mmu, cpu, page);
		if (used.valid && (!walked.valid || walked.frame != used.frame || walked.prot != used.prot))
			violation(mmu, "CPU %u uses a stale translation of 0x%zx", cpu, (size_t)addr);
		if (!used.valid && walked.valid)
			tlb_fill(mmu, cpu, page, walked);
		used = used.valid ? used : walked;
	}
	if (!used.valid || (prot & ~used.prot))
		return false;
	*offset = used.frame * TABLE_SIZE + (addr - page);
	if (!mmu->frames[used.frame].used)
		violation(mmu, "CPU %u uses 0x%zx, whose frame %zu is free", cpu, (size_t)addr, (size_t)used.frame);
	return true;
}

bool softmmu_read(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned char *value)
{
	size_t offset;
	bool done;

	enter(mmu, NULL);
	done = translate(mmu, cpu, addr, VMAP_READ, &offset);
	if (done)
		*value = mmu->memory[offset];
	leave(mmu);
	return done;
}

bool softmmu_write(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned char value)
{
	size_t offset;
	bool done;

	enter(mmu, NULL);
	done = translate(mmu, cpu, addr, VMAP_WRITE, &offset);
	if (done)
		mmu->memory[offset] = value;
	leave(mmu);
	return done;
}

unsigned softmmu_prot(struct softmmu *mmu, uintptr_t addr)
{
	struct translation leaf;

	enter(mmu, NULL);
	leaf = table_walk(&mmu->table, addr);
	leave(mmu);
	return leaf.prot;
}

uint64_t softmmu_device_frame(const struct softmmu *mmu)
{
	return mmu->n_frames;
}

unsigned char *softmmu_frame_bytes(struct softmmu *mmu, uint64_t frame)
{
	return mmu->memory + frame * TABLE_SIZE;
}

void softmmu_atomic(bool on)
{
	atomic = on;
}

void softmmu_worker(struct softmmu *mmu)
{
	mmu->host.purge_wake = purge_wake;
}

unsigned softmmu_wakes(struct softmmu *mmu)
{
	unsigned wakes;

	enter(mmu, NULL);
	wakes = mmu->wakes;
	leave(mmu);
	return wakes;
}

bool softmmu_walk(struct softmmu *mmu, uintptr_t addr, uint64_t *frame)
{
	struct translation leaf;

	enter(mmu, NULL);
	leaf = table_walk(&mmu->table, addr);
	leave(mmu);
	*frame = leaf.frame;
	return leaf.valid;
}

/* The machine */

static bool allocate(struct softmmu *mmu)
{
	size_t all = mmu->n_frames + SOFTMMU_DEVICE_FRAMES;

	mmu->frames = calloc(all, sizeof(struct frame));
	mmu->memory = malloc(all * TABLE_SIZE);
	for (size_t i = mmu->n_frames; mmu->frames && i < all; i++)
		mmu->frames[i].used = true;
	for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++) {
		mmu->tlb[cpu] = calloc(mmu->size >> TABLE_SHIFT, sizeof(struct translation));
		if (!mmu->tlb[cpu])
			return false;
	}
	return table_init(&mmu->table) && mmu->frames && mmu->memory;
}

static void end(struct softmmu *mmu)
{
	while (mmu->descriptor_list)
		end_descriptor(mmu, mmu->descriptor_list);
	table_fini(&mmu->table);
	for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++)
		free(mmu->tlb[cpu]);
	free(mmu->frames);
	free(mmu->memory);
	pthread_mutex_destroy(&mmu->machine);
	pthread_mutex_destroy(&mmu->lock);
	free(mmu);
}

struct softmmu *softmmu_create(uintptr_t base, size_t size, size_t frames)
{
	struct softmmu *mmu = calloc(1, sizeof(*mmu));

	if (!mmu)
		return NULL;
	mmu->base = base;
	mmu->size = size;
	mmu->n_frames = frames;
	pthread_mutex_init(&mmu->machine, NULL);
	pthread_mutex_init(&mmu->lock, NULL);
	mmu->host = (struct vmap_host){
		.version = VMAP_HOST_VERSION,
		.page_shift = TABLE_SHIFT,
		.ctx = mmu,
		.meta_alloc = meta_alloc,
		.meta_free = meta_free,
		.lock = lock,
		.unlock = unlock,
		.page_alloc = page_alloc,
		.page_get = page_get,
		.page_put = page_put,
		.map = map,
		.unmap = unmap,
		.flush = flush,
		.protect = protect,
		.copy = copy,
		.parts = true,
		.map_pfn = map_pfn,
		.meta_alloc_nowait = meta_alloc_nowait,
		.page_alloc_nowait = page_alloc_nowait,
		.map_nowait = map_nowait,
		.map_pfn_nowait = map_pfn_nowait,
	};
	if (allocate(mmu))
		return mmu;
	end(mmu);
	return NULL;
}

static void check_empty(struct softmmu *mmu)
{
	if (mmu->frames_used)
		violation(mmu, "%zu frames are still in use", mmu->frames_used);
	if (mmu->descriptors)
		violation(mmu, "%zu descriptors were not freed", mmu->descriptors);
	if (mmu->translations || mmu->table.tables)
		violation(mmu, "%zu translations and %zu tables are left", mmu->translations, mmu->table.tables);
	if (atomic_load(&mmu->owner))
		violation(mmu, "the lock is still held");
	for (size_t i = 0; i < mmu->n_frames + SOFTMMU_DEVICE_FRAMES; i++)
		if (mmu->frames[i].cached)
			violation(mmu, "frame %zu is still in a TLB", i);
}

unsigned softmmu_destroy(struct softmmu *mmu)
{
	unsigned violations;

	check_empty(mmu);
	violations = mmu->violations;
	end(mmu);
	return violations;
}

const struct vmap_host *softmmu_host(const struct softmmu *mmu)
{
	return &mmu->host;
}

unsigned softmmu_violations(struct softmmu *mmu)
{
	unsigned violations;

	enter(mmu, NULL);
	violations = mmu->violations;
	leave(mmu);
	return violations;
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
	enter(mmu, NULL);
	mmu->inject_hooks = hooks;
	mmu->inject_k = k;
	mmu->inject_sticky = sticky;
	mmu->injected = false;
	leave(mmu);
}

bool softmmu_injected(struct softmmu *mmu)
{
	bool injected;

	enter(mmu, NULL);
	injected = mmu->injected;
	leave(mmu);
	return injected;
}

unsigned char *softmmu_page_bytes(struct softmmu *mmu, const struct vmap_page *page)
{
	return mmu->memory + page->frame * TABLE_SIZE;
}

unsigned softmmu_page_refs(struct softmmu *mmu, const struct vmap_page *page)
{
	unsigned refs;

	enter(mmu, NULL);
	refs = page->refs;
	leave(mmu);
	return refs;
}

size_t softmmu_frames_used(struct softmmu *mmu)
{
	size_t used;

	enter(mmu, NULL);
	used = mmu->frames_used;
	leave(mmu);
	return used;
}

size_t softmmu_descriptors(struct softmmu *mmu)
{
	size_t descriptors;

	enter(mmu, NULL);
	descriptors = mmu->descriptors;
	leave(mmu);
	return descriptors;
}

unsigned softmmu_flushes(struct softmmu *mmu, struct vmap_range *ranges, size_t *n)
{
	unsigned flushes;

	enter(mmu, NULL);
	flushes = mmu->flushes;
	*n = mmu->n_flushed;
	memcpy(ranges, mmu->flushed, *n * sizeof(*ranges));
	leave(mmu);
	return flushes;
}

void softmmu_before_flush(struct softmmu *mmu, void (*run)(void *arg), void *arg)
{
	enter(mmu, NULL);
	mmu->before_flush = run;
	mmu->before_flush_arg = arg;
	leave(mmu);
}
