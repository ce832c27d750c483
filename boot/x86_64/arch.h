/* SPDX-License-Identifier: MIT */
#ifndef BOOT_ARCH_H
#define BOOT_ARCH_H

#include <stdint.h>

#define ARCH_RAM ((uintptr_t)0)
#define ARCH_VMAP_BASE ((uintptr_t)0xffffc97fffe00000)
#define ARCH_FAULTS_MAY_BE_STALE 0
#define ARCH_DEVICE_IS_UNCACHED 0
#define ARCH_HARDWARE_BROADCAST 0

/* rbx, rbp, r12 to r15, rsp, rip */
struct context {
	uint64_t regs[8];
};

static inline void arch_relax(void)
{
	__asm__ volatile("pause");
}

#endif
