/* SPDX-License-Identifier: MIT */
#ifndef BOOT_ARCH_H
#define BOOT_ARCH_H

#include <stddef.h>
#include <stdint.h>

#define ARCH_RAM ((uintptr_t)0)
#define ARCH_VMAP_BASE ((uintptr_t)0xffffc97fffe00000)
#define ARCH_MUST_PUBLISH 0
#define ARCH_FAULTS_MAY_BE_STALE 0
#define ARCH_DEVICE_IS_UNCACHED 0
#define ARCH_HARDWARE_BROADCAST 0

/* rbx, rbp, r12 to r15, rsp, rip */
struct context {
	uint64_t regs[8];
};

static inline unsigned long arch_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile("pushfq; pop %0; cli" : "=r"(flags) : : "memory");
	return flags;
}

static inline void arch_irq_restore(unsigned long saved)
{
	if (saved & 0x200)
		__asm__ volatile("sti" : : : "memory");
}

static inline void arch_relax(void)
{
	__asm__ volatile("pause");
}

/* Copy n words. */
static inline void arch_copy(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

#endif
