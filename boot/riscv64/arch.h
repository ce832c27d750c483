/* SPDX-License-Identifier: MIT */
#ifndef BOOT_ARCH_H
#define BOOT_ARCH_H

#include <stdint.h>

#define ARCH_RAM ((uintptr_t)0x80000000)
#define ARCH_VMAP_BASE ((uintptr_t)0xffffaf7fffe00000)
#define ARCH_FAULTS_MAY_BE_STALE 1
#define ARCH_DEVICE_IS_UNCACHED 1
#define ARCH_HARDWARE_BROADCAST 0

/* ra, sp, s0 to s11 */
struct context {
	uint64_t regs[14];
};

void arch_relax(void);

#endif
