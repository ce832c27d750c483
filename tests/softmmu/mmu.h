/* SPDX-License-Identifier: MIT */
#ifndef SOFTMMU_MMU_H
#define SOFTMMU_MMU_H

#include <pthread.h>
#include "softmmu.h"
#include "table.h"

/* What the machine's files share. But for the lock's owner all of it is guarded by the mutex machine, which a hook holds while it runs. */

#define FREE_BYTE 0xdb
#define NEW_BYTE 0x5c

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

/* The space's, and those of shards. */
#define SOFTMMU_LOCKS 9

struct softmmu_lock {
	pthread_mutex_t mutex;
	_Atomic(const char *) owner; /* the thread that holds it, by the address of its own marker */
	unsigned long saved;
};

/* What the core may write by itself (pins.c). */
struct pins {
	uint64_t bits[32]; /* of a leaf, by protection; 0: it is not for the core */
	struct pinned_table *tables; /* by table of the lowest level */
	uint64_t *seen; /* by base page: the entry as the machine knows it */
	bool *unpublished; /* by base page: what the core wrote there was not published yet */
	size_t n, pinned; /* tables; pins of all of them */
	size_t publishes; /* calls of the hook until now */
};

struct softmmu {
	struct vmap_host host;
	const struct vmap_host *second;
	unsigned page_shift;
	size_t page_size;
	uintptr_t base;
	size_t size;
	pthread_mutex_t machine;
	struct table table;
	struct translation *tlb[SOFTMMU_CPUS];
	bool *ends; /* by base page, and one more: what one call mapped begins or ends there, or it was cut */
	struct frame *frames;
	unsigned char *memory;
	size_t n_frames, frames_used, next_frame;
	struct descriptor *descriptor_list;
	size_t descriptors;
	size_t translations;
	size_t flushes;
	struct vmap_range flushed[VMAP_FLUSH_RANGES]; /* by the last call */
	size_t n_flushed;
	void (*before_flush)(void *arg);
	void *before_flush_arg;
	unsigned inject_hooks, inject_k;
	bool inject_sticky, injected;
	size_t wakes, wakes_served;
	bool worker_ends;
	pthread_cond_t woken;
	size_t violations;
	bool quiet;
	char last[160];
	size_t holds; /* of the space's lock, until now; guarded by it */
	unsigned pause; /* one of so many hooks and unlocks lets other threads run; 0: none */
	struct softmmu_lock locks[SOFTMMU_LOCKS]; /* the space's, then those of shards */
	struct pins pins;
};

__attribute__((format(printf, 2, 3))) void mmu_violation(struct softmmu *mmu, const char *format, ...);

/* Begin a hook (hooks run without the space's lock; NULL: it is none), one that may sleep, and end it. */
struct softmmu *mmu_enter(void *ctx, const char *hook);
struct softmmu *mmu_enter_sleeping(void *ctx, const char *hook);
void mmu_leave(struct softmmu *mmu);

/* Whether this thread holds the space's lock, or that of a shard. */
bool mmu_holds_lock(const struct softmmu *mmu);

/* Let others run, if it is time for that. */
void mmu_pause(const struct softmmu *mmu);

/* The CPU that this thread runs on, as it says itself. */
unsigned mmu_cpu(void);

/* Whether this call of a hook is the one that shall fail. */
bool mmu_injects(struct softmmu *mmu, enum softmmu_hook hook);

/* Put the hooks into mmu->host. */
void mmu_hooks(struct softmmu *mmu);
void mmu_lock_hooks(struct vmap_host *host);
void mmu_descriptor_hooks(struct vmap_host *host);
void mmu_frame_hooks(struct vmap_host *host);

void mmu_locks_begin(struct softmmu *mmu);
void mmu_locks_check(struct softmmu *mmu);
void mmu_locks_end(struct softmmu *mmu);

/*
 * See what the core has written in [addr, addr + size) since the machine looked there last: what became mapped is cached by the CPU that looks
 * ahead, as if it had been mapped by the hook. And what the machine itself writes there.
 */
void mmu_note(struct softmmu *mmu, uintptr_t addr, size_t size);
void mmu_note_all(struct softmmu *mmu);
void mmu_wrote(struct softmmu *mmu, uintptr_t addr);

/* What the core wrote at addr, and has not yet published. */
bool mmu_is_unpublished(const struct softmmu *mmu, uintptr_t addr);

/* Whether the table for addr must stay. */
bool mmu_is_pinned(void *mmu, uintptr_t addr);

bool mmu_pins_begin(struct softmmu *mmu);
void mmu_pins_end(struct softmmu *mmu);

void mmu_end_descriptor(struct softmmu *mmu, struct descriptor *descriptor);

/* Whether the space can have these addresses. */
bool mmu_in_range(const struct softmmu *mmu, uintptr_t addr, size_t size);

/* Map a base page where there is none (false: no memory for tables), and take it away. */
bool mmu_set(struct softmmu *mmu, uintptr_t addr, uint64_t frame, unsigned prot);
void mmu_clear(struct softmmu *mmu, uintptr_t addr);

/* A translation has appeared in the tables, or has gone from them: count it, and let the CPU that looks ahead see it. */
void mmu_appeared(struct softmmu *mmu, uintptr_t addr, struct translation leaf);
void mmu_disappeared(struct softmmu *mmu, struct translation leaf);

/* What one call has mapped begins and ends here. */
void mmu_ends(struct softmmu *mmu, uintptr_t addr, size_t size);

/* Show another frame, or another protection, in the place of what is mapped. CPUs may go on using what they remember. */
void mmu_change(struct softmmu *mmu, uintptr_t addr, uint64_t frame, unsigned prot);

/* No TLB holds anything of this range any more. */
void mmu_forget(struct softmmu *mmu, struct vmap_range range);

/* Where in memory an access of this CPU ends up. false: it faults. */
bool mmu_translate(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned prot, size_t *offset);

#endif
