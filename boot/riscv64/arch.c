// SPDX-License-Identifier: MIT
/*
 * Theory: the virt machine in S-mode over OpenSBI. Harts are started, stopped and interrupted by SBI calls. Whichever hart comes first boots
 * and is CPU 0.
 *
 * A hart may remember that an entry was not valid. New entries are published on the hart that wrote them; any other one that faults does the
 * same and tries again (kernel_fault()).
 */
#include "../kernel.h"

#define UART ((uintptr_t)0x10000000)
#define FINISHER ((uintptr_t)0x100000)
#define FINISHER_PASS 0x5555
#define FINISHER_FAIL 0x13333
#define SBI_HSM 0x48534d
#define SBI_IPI 0x735049
#define SBI_TIMER 0x54494d45
#define SIE_SSIE 2ul
#define SIE_STIE 0x20ul
#define SOFTWARE_INTERRUPT (1ull << 63 | 1)

/* Pages of a range above which everything is flushed. */
#define FLUSH_MAX 64

struct frame {
	uint64_t x[31], pc; /* x[n - 1]: register n */
};

extern char hart_start[];
extern uint64_t root_table[], boot_hart;

void arch_enter(struct cpu *cpu);
void arch_trap(struct frame *frame);

static long sbi(unsigned long extension, unsigned long function, unsigned long a, unsigned long b, unsigned long c,
		unsigned long d)
{
	register unsigned long a0 __asm__("a0") = a;
	register unsigned long a1 __asm__("a1") = b;
	register unsigned long a2 __asm__("a2") = c;
	register unsigned long a3 __asm__("a3") = d;
	register unsigned long a6 __asm__("a6") = function;
	register unsigned long a7 __asm__("a7") = extension;

	__asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a6), "r"(a7) : "memory");
	return (long)a0;
}

static unsigned long hart_of(unsigned id)
{
	if (!id)
		return boot_hart;
	return id <= boot_hart ? id - 1 : id;
}

void arch_putc(char c)
{
	*(volatile unsigned char *)UART = (unsigned char)c;
}

_Noreturn void arch_power_off(bool passed)
{
	*(volatile uint32_t *)FINISHER = passed ? FINISHER_PASS : FINISHER_FAIL;
	for (;;)
		__asm__ volatile("wfi");
}

struct cpu *cpu_self(void)
{
	struct cpu *cpu;

	__asm__ volatile("mv %0, tp" : "=r"(cpu));
	return cpu;
}

/* The timer is always due, and its interrupt never taken: wfi returns at once, after an emulator has run other harts. */
void arch_relax(void)
{
	unsigned long saved = arch_irq_save();

	__asm__ volatile("csrs sie, %0; wfi; csrc sie, %0" : : "r"(SIE_STIE) : "memory");
	arch_irq_restore(saved);
}

void arch_enter(struct cpu *cpu)
{
	cpu->active = 1;
	sbi(SBI_TIMER, 0, 0, 0, 0, 0);
	__asm__ volatile("csrs sie, %0; csrs sstatus, %1" : : "r"(SIE_SSIE), "r"(ARCH_SIE) : "memory");
	if (cpu->id)
		cpu_main(cpu);
	kernel_main();
}

void arch_cpu_start(struct cpu *cpu)
{
	/* It may just be stopping. */
	while (sbi(SBI_HSM, 0, hart_of(cpu->id), (uintptr_t)hart_start, (uintptr_t)cpu, 0))
		arch_relax();
}

_Noreturn void arch_cpu_stop(void)
{
	sbi(SBI_HSM, 1, 0, 0, 0, 0);
	for (;;)
		__asm__ volatile("wfi");
}

void arch_flush_here(const struct vmap_range *ranges, size_t n)
{
	size_t pages = 0;

	for (size_t i = 0; i < n; i++)
		pages += ranges[i].size >> 12;
	if (!n || pages > FLUSH_MAX)
		__asm__ volatile("sfence.vma" : : : "memory");
	for (size_t i = 0; i < n && pages <= FLUSH_MAX; i++)
		for (size_t at = 0; at < ranges[i].size; at += 4096)
			__asm__ volatile("sfence.vma %0" : : "r"(ranges[i].addr + at) : "memory");
}

void arch_ask_to_flush(const struct cpu *cpu)
{
	if (sbi(SBI_IPI, 0, 1ul << hart_of(cpu->id), 0, 0, 0))
		panic("the SBI does not interrupt CPU %u", cpu->id);
}

void arch_flush(const struct vmap_range *ranges, size_t n)
{
	shootdown(ranges, n);
}

void arch_publish(void)
{
	__asm__ volatile("sfence.vma" : : : "memory");
}

void arch_sync_code(void)
{
	__asm__ volatile("fence.i" : : : "memory");
}

void arch_write_return(void *at)
{
	*(volatile uint32_t *)at = 0x00008067;
}

int arch_format(struct vmap_pgtable_format *format)
{
	return vmap_pgtable_riscv64(format,
				    &(struct vmap_riscv64_config){.levels = 4, .svnapot = true, .svpbmt = true, .global = true});
}

uint64_t arch_root(void)
{
	return (uintptr_t)root_table;
}

void arch_trap(struct frame *frame)
{
	struct context *context;
	uint64_t cause, addr;

	__asm__ volatile("csrr %0, scause" : "=r"(cause));
	__asm__ volatile("csrr %0, stval" : "=r"(addr));
	if (cause == SOFTWARE_INTERRUPT) {
		__asm__ volatile("csrc sip, %0" : : "r"(SIE_SSIE) : "memory");
		shootdown_answer();
		return;
	}
	if (cause != 12 && cause != 13 && cause != 15)
		panic("trap, cause %llu, at 0x%llx", (unsigned long long)cause, (unsigned long long)frame->pc);
	context = kernel_fault(addr, frame->pc, cause == 15, cause == 12);
	if (context) {
		frame->pc = (uintptr_t)context_restore;
		frame->x[9] = (uintptr_t)context; /* a0 */
	}
}
