/* SPDX-License-Identifier: MIT */
#ifndef BOOT_ARCH_H
#define BOOT_ARCH_H

#include <stdint.h>

#define ARCH_RAM ((uintptr_t)0x40000000)
#define ARCH_VMAP_BASE ((uintptr_t)0xffff807fffe00000)
#define ARCH_FAULTS_MAY_BE_STALE 0
#define ARCH_DEVICE_IS_UNCACHED 0
#define ARCH_HARDWARE_BROADCAST 1

/* x19 to x30, sp */
struct context {
	uint64_t regs[14];
};

static inline void arch_relax(void)
{
	__asm__ volatile("yield");
}

#endif
