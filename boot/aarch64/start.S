/* SPDX-License-Identifier: MIT */
/* From the entry of the kernel, or of a CPU that PSCI has turned on (x0: its struct cpu), to C with the MMU on; traps; contexts. */
#define STACK_SHIFT 15

	.section .text.start, "ax"
	.globl _start, cpu_start
_start:
	ldr x0, =cpus
cpu_start:
	msr tpidr_el1, x0
	ldr w1, [x0, #16]
	add x1, x1, #1
	ldr x2, =stacks
	add x2, x2, x1, lsl #STACK_SHIFT
	mov sp, x2
	ldr x1, =vectors
	msr vbar_el1, x1
	/* 0: normal, write-back; 1: device nGnRE; 2: normal, not cached; 3: device nGnRnE */
	ldr x1, =0x004404ff
	msr mair_el1, x1
	/* 39 bits below, 48 bits above, 4 KiB, inner shareable, write-back, 40 bits physical */
	ldr x1, =0x2b5103519
	msr tcr_el1, x1
	ldr x1, =low_table
	msr ttbr0_el1, x1
	ldr x1, =high_table
	msr ttbr1_el1, x1
	isb
	tlbi vmalle1
	dsb nsh
	isb
	mrs x1, sctlr_el1
	mov x2, #0x1005 /* I, C, M */
	orr x1, x1, x2
	msr sctlr_el1, x1
	isb
	mov x29, xzr
	bl arch_enter
	b .

	.text
	.macro vector
	.balign 128
	sub sp, sp, #288
	stp x0, x1, [sp]
	b trap_common
	.endm

	.balign 2048
vectors:
	.rept 16
	vector
	.endr

trap_common:
	stp x2, x3, [sp, #16]
	stp x4, x5, [sp, #32]
	stp x6, x7, [sp, #48]
	stp x8, x9, [sp, #64]
	stp x10, x11, [sp, #80]
	stp x12, x13, [sp, #96]
	stp x14, x15, [sp, #112]
	stp x16, x17, [sp, #128]
	stp x18, x19, [sp, #144]
	stp x20, x21, [sp, #160]
	stp x22, x23, [sp, #176]
	stp x24, x25, [sp, #192]
	stp x26, x27, [sp, #208]
	stp x28, x29, [sp, #224]
	mrs x0, elr_el1
	stp x30, x0, [sp, #240]
	mrs x0, spsr_el1
	str x0, [sp, #256]
	mov x0, sp
	bl arch_trap
	ldr x0, [sp, #256]
	msr spsr_el1, x0
	ldp x30, x0, [sp, #240]
	msr elr_el1, x0
	ldp x28, x29, [sp, #224]
	ldp x26, x27, [sp, #208]
	ldp x24, x25, [sp, #192]
	ldp x22, x23, [sp, #176]
	ldp x20, x21, [sp, #160]
	ldp x18, x19, [sp, #144]
	ldp x16, x17, [sp, #128]
	ldp x14, x15, [sp, #112]
	ldp x12, x13, [sp, #96]
	ldp x10, x11, [sp, #80]
	ldp x8, x9, [sp, #64]
	ldp x6, x7, [sp, #48]
	ldp x4, x5, [sp, #32]
	ldp x2, x3, [sp, #16]
	ldp x0, x1, [sp]
	add sp, sp, #288
	eret

	.globl context_save, context_restore
context_save:
	stp x19, x20, [x0]
	stp x21, x22, [x0, #16]
	stp x23, x24, [x0, #32]
	stp x25, x26, [x0, #48]
	stp x27, x28, [x0, #64]
	stp x29, x30, [x0, #80]
	mov x1, sp
	str x1, [x0, #96]
	mov x0, xzr
	ret
context_restore:
	ldp x19, x20, [x0]
	ldp x21, x22, [x0, #16]
	ldp x23, x24, [x0, #32]
	ldp x25, x26, [x0, #48]
	ldp x27, x28, [x0, #64]
	ldp x29, x30, [x0, #80]
	ldr x1, [x0, #96]
	mov sp, x1
	mov x0, #1
	ret

	.data
	.balign 4096
low_table: /* devices, never executed; memory */
	.quad 0x0060000000000405
	.quad 0x0040000040000701
	.fill 510, 8, 0
	.globl high_table
high_table:
	.fill 512, 8, 0

	.bss
	.balign 16
stacks:
	.skip 8 << STACK_SHIFT
	.section .note.GNU-stack, "", @progbits
