/* SPDX-License-Identifier: MIT */
#ifndef BOOT_KERNEL_H
#define BOOT_KERNEL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmap/pgtable.h>
#include <vmap/vmap.h>
#include <arch.h>

/*
 * The test kernel: what its parts offer each other
 *
 * All memory is mapped one to one. CPU 0 runs the tests; another CPU is started for each thread and stopped when the thread ends.
 */

#define CPUS 8

/*
 * How a CPU waits for another one, and lets it go on after an unlock. 1: it yields, for an emulator that runs one CPU at a time. 0: for one that
 * does not, and for which yielding is expensive (QEMU takes a lock of its own).
 */
#ifndef YIELD
#define YIELD 1
#endif

static inline void cpu_relax(void)
{
	if (YIELD)
		arch_relax();
}

/* What a page fault was, as the handler saw it. */
struct fault {
	uintptr_t addr;
	bool write, execute;
	int err; /* of vmap_area_at() in the space that is watched */
	struct vmap_area_info info;
};

struct cpu {
	uintptr_t scratch[2]; /* the architecture's entry code */
	unsigned id; /* at offset 16, for the entry code */
	uint32_t flush; /* shall flush what is asked for, and say so by 0 */
	struct context *recover; /* a fault goes on here; NULL: it is a bug */
	struct fault fault;
	uintptr_t retried; /* the last address whose fault was taken for a stale translation */
	void *(*run)(void *arg);
	void *arg;
	uint32_t active; /* uses translations: has to be flushed */
	uint32_t done;
	uint32_t taken;
};

extern struct cpu cpus[CPUS];

/* The architecture (arch.c, start.S) */

struct cpu *cpu_self(void);
void arch_putc(char c);
_Noreturn void arch_power_off(bool passed);
/* Let this CPU begin at cpu_main(); it was never started, or has called arch_cpu_stop(). */
void arch_cpu_start(struct cpu *cpu);
_Noreturn void arch_cpu_stop(void);
int arch_format(struct vmap_pgtable_format *format);
uint64_t arch_root(void);
void arch_flush(const struct vmap_range *ranges, size_t n);
void arch_publish(void);
/* Instructions were written. */
void arch_sync_code(void);
/* Write a function that returns at once. */
void arch_write_return(void *at);
/* Flush on this CPU; let another one call shootdown_answer(). Not called where hardware broadcasts. */
void arch_flush_here(const struct vmap_range *ranges, size_t n);
void arch_ask_to_flush(const struct cpu *cpu);

/* As setjmp() and longjmp(..., 1). */
__attribute__((returns_twice)) int context_save(struct context *context);
_Noreturn void context_restore(struct context *context);

/* main.c */
void kernel_main(void);
void cpu_main(struct cpu *cpu);
/* A page fault: gives the context to go on with; NULL: try again. */
struct context *kernel_fault(uintptr_t addr, uintptr_t pc, bool write, bool execute);
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* shootdown.c */
void shootdown(const struct vmap_range *ranges, size_t n);
void shootdown_answer(void);
/* How often shootdown() was called, and how often it asked another CPU, ever. */
unsigned long shootdown_flushes(void);
unsigned long shootdown_count(void);

/* print.c */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void vprint(const char *format, va_list args);

/* memory.c */
bool table_alloc(uint64_t *phys);
void table_free(uint64_t phys);
void *heap_alloc(size_t size);
void heap_free(void *mem);
size_t tables_used(void);

/* What spin_lock() does where somebody else has the lock. */
void spin_wait(uint32_t *lock);

static inline void spin_lock(uint32_t *lock)
{
	if (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
		spin_wait(lock);
}

static inline void spin_unlock(uint32_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* How often a lock was taken that had to be waited for, ever. */
unsigned long spin_contended(void);

/* pages.c: as the hooks of struct vmap_host */
int pages_alloc(unsigned order, size_t n, struct vmap_page **pages);
void pages_get(struct vmap_page *const *pages, size_t n);
void pages_put(struct vmap_page *const *pages, size_t n);
/* Base pages in use; the first frame behind the memory of pages. */
size_t pages_in_use(void);
uint64_t pages_end(void);

/* host.c */
extern const struct conformance_host boot_host;
/* Faults are explained with this space. */
extern struct vmap_space *watched_space;
/* How many shards the next space has: as many as CPUs use it. CPUS, but for the bench. */
extern unsigned boot_shards;
/* Access one byte. false: it faulted, and cpu_self()->fault tells how. */
bool probe_read(uintptr_t addr, unsigned char *value);
bool probe_write(uintptr_t addr, unsigned char value);
/* Call the function at addr. */
bool probe_execute(uintptr_t addr);

#endif
