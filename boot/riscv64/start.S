/* SPDX-License-Identifier: MIT */
/* From OpenSBI, in S-mode: the boot hart at _start (a0: its number), the others at hart_start (a1: their struct cpu); traps; contexts. */
#define STACK_SHIFT 15

	.section .text.start, "ax"
	.globl _start, hart_start
_start:
	la t0, boot_hart
	sd a0, 0(t0)
	/* The root's first entry: 4 GiB, one to one. */
	la t0, low_table
	srli t0, t0, 2
	ori t0, t0, 1
	la t1, root_table
	sd t0, 0(t1)
	la a1, cpus
hart_start:
	mv tp, a1
	lwu t0, 16(tp)
	addi t0, t0, 1
	slli t0, t0, STACK_SHIFT
	la sp, stacks
	add sp, sp, t0
	la t0, trap_entry
	csrw stvec, t0
	csrw sie, zero
	la t0, root_table
	srli t0, t0, 12
	li t1, 9 << 60
	or t0, t0, t1
	sfence.vma
	csrw satp, t0
	sfence.vma
	mv a0, tp
	call arch_enter
1:	wfi
	j 1b

	.text
	.balign 4
trap_entry:
	addi sp, sp, -256
	sd x1, 0(sp)
	.irp n, 3,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	sd x\n, (\n * 8 - 8)(sp)
	.endr
	csrr t0, sepc
	sd t0, 248(sp)
	mv a0, sp
	call arch_trap
	ld t0, 248(sp)
	csrw sepc, t0
	ld x1, 0(sp)
	.irp n, 3,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	ld x\n, (\n * 8 - 8)(sp)
	.endr
	addi sp, sp, 256
	sret

	.globl context_save, context_restore
context_save:
	sd ra, 0(a0)
	sd sp, 8(a0)
	sd s0, 16(a0)
	sd s1, 24(a0)
	sd s2, 32(a0)
	sd s3, 40(a0)
	sd s4, 48(a0)
	sd s5, 56(a0)
	sd s6, 64(a0)
	sd s7, 72(a0)
	sd s8, 80(a0)
	sd s9, 88(a0)
	sd s10, 96(a0)
	sd s11, 104(a0)
	li a0, 0
	ret
context_restore:
	ld ra, 0(a0)
	ld sp, 8(a0)
	ld s0, 16(a0)
	ld s1, 24(a0)
	ld s2, 32(a0)
	ld s3, 40(a0)
	ld s4, 48(a0)
	ld s5, 56(a0)
	ld s6, 64(a0)
	ld s7, 72(a0)
	ld s8, 80(a0)
	ld s9, 88(a0)
	ld s10, 96(a0)
	ld s11, 104(a0)
	li a0, 1
	ret

	.data
	.balign 8
	.globl boot_hart
boot_hart:
	.quad 0
	.balign 4096
	.globl root_table
root_table:
	.fill 512, 8, 0
low_table:
	.quad 0x000000cf, 0x100000cf, 0x200000cf, 0x300000cf
	.fill 508, 8, 0

	.bss
	.balign 16
stacks:
	.skip 8 << STACK_SHIFT
	.section .note.GNU-stack, "", @progbits
