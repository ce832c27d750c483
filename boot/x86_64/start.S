/* SPDX-License-Identifier: MIT */
/* From the PVH entry, and from the real mode in which another CPU begins, to 64 bits with paging; traps; contexts. */
#define CODE32 0x08
#define DATA 0x10
#define CODE64 0x18
#define STACK_SHIFT 15

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad start32

	.text
	.code32
	.globl start32
start32:
	cli
	lgdt gdt_pointer
	ljmp $CODE32, $1f
1:	mov $DATA, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0xa0, %eax /* PAE, PGE */
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x900, %eax /* LME, NXE */
	wrmsr
	mov $0x80010011, %eax /* PG, WP, ET, PE */
	mov %eax, %cr0
	ljmp $CODE64, $start64

	.code64
start64:
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov starting_cpu, %rdi
	mov 16(%rdi), %eax
	inc %eax
	shl $STACK_SHIFT, %rax
	lea stacks(%rax), %rsp
	xor %ebp, %ebp
	call arch_enter
	ud2

	/* Copied to TRAMPOLINE. */
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl 0x8000 + (1f - trampoline)
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $CODE32, $start32
	.balign 4
1:	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:
	.code64

	.macro stub vector
	.balign 16
	.if !(\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21)
	push $0
	.endif
	push $\vector
	jmp trap_common
	.endm

	.balign 16
	.globl trap_stubs
trap_stubs:
	.set i, 0
	.rept 34
	stub i
	.set i, i + 1
	.endr

trap_common:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	cld
	call arch_trap
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	iretq

	.globl context_save, context_restore
context_save:
	mov %rbx, 0(%rdi)
	mov %rbp, 8(%rdi)
	mov %r12, 16(%rdi)
	mov %r13, 24(%rdi)
	mov %r14, 32(%rdi)
	mov %r15, 40(%rdi)
	lea 8(%rsp), %rax
	mov %rax, 48(%rdi)
	mov (%rsp), %rax
	mov %rax, 56(%rdi)
	xor %eax, %eax
	ret
context_restore:
	mov 0(%rdi), %rbx
	mov 8(%rdi), %rbp
	mov 16(%rdi), %r12
	mov 24(%rdi), %r13
	mov 32(%rdi), %r14
	mov 40(%rdi), %r15
	mov 48(%rdi), %rsp
	mov $1, %eax
	jmp *56(%rdi)

	.globl return_begin, return_end
return_begin:
	ret
return_end:

	.data
	.balign 8
	.globl starting_cpu
starting_cpu:
	.quad cpus
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00af9b000000ffff
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
	.balign 4096
	.globl pml4
pml4:
	.quad pdpt + 3
	.fill 511, 8, 0
pdpt: /* 4 GiB, one to one */
	.quad 0x83, 0x40000083, 0x80000083, 0xc0000083
	.fill 508, 8, 0

	.bss
	.balign 16
stacks:
	.skip 8 << STACK_SHIFT
	.section .note.GNU-stack, "", @progbits
