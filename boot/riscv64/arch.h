/* SPDX-License-Identifier: MIT */
#ifndef BOOT_ARCH_H
#define BOOT_ARCH_H

#include <stddef.h>
#include <stdint.h>

#define ARCH_RAM ((uintptr_t)0x80000000)
#define ARCH_VMAP_BASE ((uintptr_t)0xffffaf7fffe00000)
#define ARCH_MUST_PUBLISH 1
#define ARCH_FAULTS_MAY_BE_STALE 1
#define ARCH_DEVICE_IS_UNCACHED 1
#define ARCH_HARDWARE_BROADCAST 0

/* ra, sp, s0 to s11 */
struct context {
	uint64_t regs[14];
};

#define ARCH_SIE 2ul

static inline unsigned long arch_irq_save(void)
{
	unsigned long status;

	__asm__ volatile("csrrc %0, sstatus, %1" : "=r"(status) : "r"(ARCH_SIE) : "memory");
	return status & ARCH_SIE;
}

static inline void arch_irq_restore(unsigned long saved)
{
	__asm__ volatile("csrs sstatus, %0" : : "r"(saved) : "memory");
}

void arch_relax(void);

/* Copy n words. volatile: the compiler shall not find a call of memcpy() in it. */
static inline void arch_copy(void *to, const void *from, size_t n)
{
	const volatile uint64_t *source = from;
	volatile uint64_t *target = to;

	for (size_t i = 0; i < n; i++)
		target[i] = source[i];
}

#endif
