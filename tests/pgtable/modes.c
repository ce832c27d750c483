// SPDX-License-Identifier: MIT
/* Every format that is tested. */
#include "modes.h"

static int x86_4(struct vmap_pgtable_format *format)
{
	return vmap_pgtable_x86_64(
		format,
		&(struct vmap_x86_64_config){
			.levels = 4, .no_execute = true, .global = true, .write_combining = 5, .uncached = 3, .device = 3});
}

static int x86_5(struct vmap_pgtable_format *format)
{
	return vmap_pgtable_x86_64(format, &(struct vmap_x86_64_config){.levels = 5, .no_execute = true, .gigabyte = true});
}

static int arm(struct vmap_pgtable_format *format, unsigned page_shift, unsigned va_bits, bool contiguous)
{
	return vmap_pgtable_aarch64(format, &(struct vmap_aarch64_config){.page_shift = page_shift,
									  .va_bits = va_bits,
									  .contiguous = contiguous,
									  .global = true,
									  .write_back = 1,
									  .write_combining = 2,
									  .uncached = 3,
									  .device = 4});
}

static int arm_4k(struct vmap_pgtable_format *format)
{
	return arm(format, 12, 48, true);
}

static int arm_16k(struct vmap_pgtable_format *format)
{
	return arm(format, 14, 48, true);
}

static int arm_64k(struct vmap_pgtable_format *format)
{
	return arm(format, 16, 48, true);
}

static int arm_39(struct vmap_pgtable_format *format)
{
	return arm(format, 12, 39, false);
}

static int sv39(struct vmap_pgtable_format *format)
{
	return vmap_pgtable_riscv64(format, &(struct vmap_riscv64_config){.levels = 3, .global = true});
}

static int sv48(struct vmap_pgtable_format *format)
{
	return vmap_pgtable_riscv64(format,
				    &(struct vmap_riscv64_config){.levels = 4, .svnapot = true, .svpbmt = true, .global = true});
}

static int sv57(struct vmap_pgtable_format *format)
{
	return vmap_pgtable_riscv64(format, &(struct vmap_riscv64_config){.levels = 5, .svnapot = true, .svpbmt = true});
}

#define NO MODE_NO_MEMORY

/* Each range crosses a table of every level but the root. */
const struct mode modes[] = {
	{"x86-64, 4 levels", {ARCH_X86_64, 12, 48, false, false}, 0xffffc97fffe00000, x86_4, {0, 5, 3, 3}},
	{"x86-64, 5 levels", {ARCH_X86_64, 12, 57, false, false}, 0xff10ffffffe00000, x86_5, {0, NO, NO, NO}},
	{"aarch64, 4 KiB", {ARCH_AARCH64, 12, 48, false, false}, 0xffff807fffe00000, arm_4k, {1, 2, 3, 4}},
	{"aarch64, 16 KiB", {ARCH_AARCH64, 14, 48, false, false}, 0xffff800ffe000000, arm_16k, {1, 2, 3, 4}},
	{"aarch64, 64 KiB", {ARCH_AARCH64, 16, 48, false, false}, 0xffff83ffe0000000, arm_64k, {1, 2, 3, 4}},
	{"aarch64, 39 bits", {ARCH_AARCH64, 12, 39, false, false}, 0xffffff903fe00000, arm_39, {1, 2, 3, 4}},
	{"riscv64, Sv39", {ARCH_RISCV64, 12, 39, false, false}, 0xffffffc03fe00000, sv39, {0, NO, NO, 0}},
	{"riscv64, Sv48", {ARCH_RISCV64, 12, 48, true, true}, 0xffffaf7fffe00000, sv48, {0, 1, 2, 2}},
	{"riscv64, Sv57", {ARCH_RISCV64, 12, 57, true, true}, 0xff20ffffffe00000, sv57, {0, 1, 2, 2}},
};

const unsigned mode_count = sizeof(modes) / sizeof(modes[0]);
