/* SPDX-License-Identifier: MIT */
#ifndef BOOT_ARCH_H
#define BOOT_ARCH_H

#include <stddef.h>
#include <stdint.h>

#define ARCH_RAM ((uintptr_t)0x40000000)
#define ARCH_VMAP_BASE ((uintptr_t)0xffff807fffe00000)
#define ARCH_MUST_PUBLISH 1
#define ARCH_FAULTS_MAY_BE_STALE 0
#define ARCH_DEVICE_IS_UNCACHED 0
#define ARCH_HARDWARE_BROADCAST 1

/* x19 to x30, sp */
struct context {
	uint64_t regs[14];
};

/* Interrupts are never on. */
static inline unsigned long arch_irq_save(void)
{
	return 0;
}

static inline void arch_irq_restore(unsigned long saved)
{
	(void)saved;
}

static inline void arch_relax(void)
{
	__asm__ volatile("yield");
}

/* Copy n words. volatile: the compiler shall not find a call of memcpy() in it. */
static inline void arch_copy(void *to, const void *from, size_t n)
{
	const volatile uint64_t *source = from;
	volatile uint64_t *target = to;

	for (size_t i = 0; i < n; i++)
		target[i] = source[i];
}

#endif
