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
	pthread_mutex_t lock;
	_Atomic(const char *) owner; /* the thread that holds lock, by the address of its own marker */
	unsigned long saved;
};

__attribute__((format(printf, 2, 3))) void mmu_violation(struct softmmu *mmu, const char *format, ...);

/* Begin a hook (hooks run without the space's lock; NULL: it is none), one that may sleep, and end it. */
struct softmmu *mmu_enter(void *ctx, const char *hook);
struct softmmu *mmu_enter_sleeping(void *ctx, const char *hook);
void mmu_leave(struct softmmu *mmu);

/* Whether this thread holds the space's lock; that it does now, or nobody. */
bool mmu_holds_lock(const struct softmmu *mmu);
void mmu_set_owner(struct softmmu *mmu, bool mine);

/* The CPU that this thread runs on, as it says itself. */
unsigned mmu_cpu(void);

/* Whether this call of a hook is the one that shall fail. */
bool mmu_injects(struct softmmu *mmu, enum softmmu_hook hook);

/* Put the hooks into mmu->host. */
void mmu_hooks(struct softmmu *mmu);
void mmu_descriptor_hooks(struct vmap_host *host);
void mmu_frame_hooks(struct vmap_host *host);

void mmu_end_descriptor(struct softmmu *mmu, struct descriptor *descriptor);

/* Whether the space can have these addresses. */
bool mmu_in_range(const struct softmmu *mmu, uintptr_t addr, size_t size);

/* Map a base page where there is none (false: no memory for tables), and take it away. */
bool mmu_set(struct softmmu *mmu, uintptr_t addr, uint64_t frame, unsigned prot);
void mmu_clear(struct softmmu *mmu, uintptr_t addr);

/* Show another frame, or another protection, in the place of what is mapped. CPUs may go on using what they remember. */
void mmu_change(struct softmmu *mmu, uintptr_t addr, uint64_t frame, unsigned prot);

/* No TLB holds anything of this range any more. */
void mmu_forget(struct softmmu *mmu, struct vmap_range range);

/* Where in memory an access of this CPU ends up. false: it faults. */
bool mmu_translate(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned prot, size_t *offset);

#endif
