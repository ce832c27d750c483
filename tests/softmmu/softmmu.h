/* SPDX-License-Identifier: MIT */
#ifndef SOFTMMU_H
#define SOFTMMU_H

#include <stdbool.h>
#include <vmap/vmap.h>

/*
 * A machine in software: frames, page tables, CPUs with TLBs; and a libvmap host over it that watches every rule
 *
 * What breaks a rule is a violation: it is counted, described on stderr (what, where), and fails softmmu_destroy(). Watched:
 * mapping over a translation or a stale one, outside of the range, or a free frame; unmapping what is not mapped, or a part of what
 * one call mapped that was not cut off; using a
 * stale translation; freeing a frame that a table or a TLB still refers to; references taken on free frames or given back
 * twice; hooks under a lock, or that may sleep where that is forbidden; a lock taken twice, out of order, or given back wrongly; entries that the
 * core wrote and did not publish, or did not take away before it wrote others; pins given back that nobody has; flushes of too many ranges; descriptors freed
 * twice or with another size; and at the end whatever is left of frames, descriptors, translations, tables.
 */
struct softmmu;

#define SOFTMMU_CPUS 2

/* Calls of which one can be made to fail. */
enum softmmu_hook {
	SOFTMMU_META_ALLOC = 0x1,
	SOFTMMU_PAGE_ALLOC = 0x2,
	SOFTMMU_MAP = 0x4, /* of pages or frames */
	SOFTMMU_PROTECT = 0x8,
	SOFTMMU_REPLACE = 0x10,
	SOFTMMU_COPY = 0x20, /* as if the page had been unmapped meanwhile */
	SOFTMMU_CUT = 0x40,
	SOFTMMU_TABLE = 0x80, /* of a second host: making a page table */
	SOFTMMU_PIN = 0x100,
	SOFTMMU_ANY = 0x1ff,
};

/* Frames behind the last that are no memory: they can only be mapped by number. */
#define SOFTMMU_DEVICE_FRAMES 16

/*
 * A machine with this many frames and a range for one space: at most 262,144 base pages, aligned to them. Base pages have 4 KiB; or
 * 1 << page_shift bytes, 12 to 16. NULL: no memory.
 */
struct softmmu *softmmu_create(uintptr_t base, size_t size, size_t frames);
struct softmmu *softmmu_create_paged(unsigned page_shift, uintptr_t base, size_t size, size_t frames);

/* Look for what is left behind, and end the machine. Gives the number of violations, ever. */
unsigned softmmu_destroy(struct softmmu *mmu);

const struct vmap_host *softmmu_host(const struct softmmu *mmu);

/* Violations until now. With quiet they are only counted: for tests that cause them. */
unsigned softmmu_violations(struct softmmu *mmu);
void softmmu_quiet(struct softmmu *mmu, bool quiet);

/* What the last violation was; "" where there was none. */
const char *softmmu_last(struct softmmu *mmu);

/*
 * Let the k-th call (1 is the next) of these hooks fail, and with sticky all later ones of the same hook; k = 0: none any more.
 * softmmu_injected: whether a call was made to fail since.
 */
void softmmu_inject(struct softmmu *mmu, unsigned hooks, unsigned k, bool sticky);
bool softmmu_injected(struct softmmu *mmu);

/* Access one byte on one CPU, through its TLB and the tables. false: the access faulted. */
bool softmmu_read(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned char *value);
bool softmmu_write(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned char value);

/* The first of the device frames, and the bytes of a frame of any kind. */
uint64_t softmmu_device_frame(const struct softmmu *mmu);
unsigned char *softmmu_frame_bytes(struct softmmu *mmu, uint64_t frame);

/* What the tables allow at addr, the memory type included; 0: nothing. */
unsigned softmmu_prot(struct softmmu *mmu, uintptr_t addr);

/* From here on this thread may not sleep, or may again: hooks that may are violations meanwhile. */
void softmmu_atomic(bool atomic);

/* This thread goes on on that CPU (0 to SOFTMMU_CPUS - 1; any other number is a name only). Until it says so, threads are dealt to the CPUs in turn. */
void softmmu_run_on(unsigned cpu);

/*
 * Before a space is made: give the host the hooks with which the core writes table entries itself, but for executable pages, which it does
 * not know how to show; or locks for so many shards (up to 8).
 */
void softmmu_pinning(struct softmmu *mmu);
void softmmu_shards(struct softmmu *mmu, unsigned shards);

/* The entry for addr, where its table is pinned, else NULL; how many pins there are; how often what the core wrote was published until now. */
const uint64_t *softmmu_entry(struct softmmu *mmu, uintptr_t addr);
size_t softmmu_pins(struct softmmu *mmu);
size_t softmmu_publishes(struct softmmu *mmu);

/* How often the space's lock was taken until now; nobody takes it meanwhile. */
size_t softmmu_holds(struct softmmu *mmu);

/* Let one of so many hooks and unlocks give other threads the CPU, so that they meet more often; 0: none does. Before threads begin. */
void softmmu_pause(struct softmmu *mmu, unsigned one_of);

/* Before a space is made: give the host the purge_wake hook; and how often it was called. */
void softmmu_worker(struct softmmu *mmu);
unsigned softmmu_wakes(struct softmmu *mmu);

/* Of a thread that is the worker: sleep until the hook was called since the last time. false: softmmu_worker_end() was called. */
bool softmmu_worker_sleep(struct softmmu *mmu);
void softmmu_worker_end(struct softmmu *mmu);

/*
 * Before a space is made: whatever is mapped, unmapped, protected and flushed is so, with the same addresses, by another host as well, whose
 * tables a test compares with those of the machine. What the second one fails to do, the machine takes back. There is no replace hook then.
 */
void softmmu_second(struct softmmu *mmu, const struct vmap_host *second);

/* Whether this call of a hook of the second host is the one that shall fail. */
bool softmmu_fails(struct softmmu *mmu, enum softmmu_hook hook);

/* What the tables say about addr, whatever the TLBs hold: whether it is mapped, and to which frame. */
bool softmmu_walk(struct softmmu *mmu, uintptr_t addr, uint64_t *frame);

/* The same for n base pages from addr on: frame + 1, or 0 where nothing is mapped. */
void softmmu_walk_all(struct softmmu *mmu, uintptr_t addr, size_t n, uint64_t *frames);

/* A page's bytes, references, frames in use, descriptors in use. */
unsigned char *softmmu_page_bytes(struct softmmu *mmu, const struct vmap_page *page);
unsigned softmmu_page_refs(struct softmmu *mmu, const struct vmap_page *page);
size_t softmmu_frames_used(struct softmmu *mmu);
size_t softmmu_descriptors(struct softmmu *mmu);

/* Base pages that are mapped. */
size_t softmmu_translations(struct softmmu *mmu);

/* Calls of the flush hook until now, and what the last one was asked for: up to VMAP_FLUSH_RANGES ranges; n = 0: everything. */
unsigned softmmu_flushes(struct softmmu *mmu, struct vmap_range *ranges, size_t *n);

/* Let the next flush first call run(arg), which may use the space: it stands for another thread that is there at that moment. */
void softmmu_before_flush(struct softmmu *mmu, void (*run)(void *arg), void *arg);

#endif
