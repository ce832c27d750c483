// SPDX-License-Identifier: MIT
/* Theory: the virt machine at EL1, CPUs by PSCI. TLB invalidations are broadcast by hardware. No interrupt is ever enabled. */
#include "../kernel.h"

#define UART ((uintptr_t)0x09000000)
#define PSCI_CPU_OFF 0x84000002
#define PSCI_SYSTEM_OFF 0x84000008
#define PSCI_CPU_ON 0xc4000003

/* Pages of all ranges above which everything is flushed. */
#define FLUSH_MAX 64

struct frame {
	uint64_t x[31], pc, spsr;
};

extern char cpu_start[];
extern uint64_t high_table[];

void arch_enter(struct cpu *cpu);
void arch_trap(struct frame *frame);

static long psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	__asm__ volatile("hvc #0"
			 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
			 :
			 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "memory");
	return (long)x0;
}

void arch_putc(char c)
{
	*(volatile uint32_t *)UART = (unsigned char)c;
}

_Noreturn void arch_power_off(bool passed)
{
	(void)passed; /* the output says it */
	psci(PSCI_SYSTEM_OFF, 0, 0, 0);
	for (;;)
		__asm__ volatile("wfi");
}

struct cpu *cpu_self(void)
{
	struct cpu *cpu;

	__asm__ volatile("mrs %0, tpidr_el1" : "=r"(cpu));
	return cpu;
}

void arch_enter(struct cpu *cpu)
{
	if (cpu->id)
		cpu_main(cpu);
	cpu->active = 1;
	kernel_main();
}

void arch_cpu_start(struct cpu *cpu)
{
	/* It may just be turning itself off. */
	while (psci(PSCI_CPU_ON, cpu->id, (uintptr_t)cpu_start, (uintptr_t)cpu))
		arch_relax();
}

_Noreturn void arch_cpu_stop(void)
{
	psci(PSCI_CPU_OFF, 0, 0, 0);
	for (;;)
		__asm__ volatile("wfi");
}

void arch_flush(const struct vmap_range *ranges, size_t n)
{
	size_t pages = 0;

	for (size_t i = 0; i < n; i++)
		pages += ranges[i].size >> 12;
	__asm__ volatile("dsb ishst" : : : "memory");
	if (!n || pages > FLUSH_MAX)
		__asm__ volatile("tlbi vmalle1is");
	for (size_t i = 0; i < n && pages <= FLUSH_MAX; i++)
		for (size_t at = 0; at < ranges[i].size; at += 4096)
			__asm__ volatile("tlbi vaae1is, %0" : : "r"((ranges[i].addr + at) >> 12 & 0xfffffffffff));
	__asm__ volatile("dsb ish; isb" : : : "memory");
}

void arch_publish(void)
{
	__asm__ volatile("dsb ishst; isb" : : : "memory");
}

void arch_flush_here(const struct vmap_range *ranges, size_t n)
{
	arch_flush(ranges, n);
}

void arch_ask_to_flush(const struct cpu *cpu)
{
	(void)cpu;
}

void arch_sync_code(void)
{
	__asm__ volatile("dsb ish; ic ialluis; dsb ish; isb" : : : "memory");
}

void arch_write_return(void *at)
{
	*(volatile uint32_t *)at = 0xd65f03c0;
}

int arch_format(struct vmap_pgtable_format *format)
{
	return vmap_pgtable_aarch64(format, &(struct vmap_aarch64_config){.page_shift = 12,
									  .va_bits = 48,
									  .contiguous = true,
									  .global = true,
									  .write_back = 0,
									  .write_combining = 2,
									  .uncached = 3,
									  .device = 1});
}

uint64_t arch_root(void)
{
	return (uintptr_t)high_table;
}

void arch_trap(struct frame *frame)
{
	struct context *context;
	uint64_t esr, addr, class;

	__asm__ volatile("mrs %0, esr_el1" : "=r"(esr));
	__asm__ volatile("mrs %0, far_el1" : "=r"(addr));
	class = esr >> 26;
	if (class != 0x25 && class != 0x21)
		panic("exception, syndrome 0x%llx, at 0x%llx", (unsigned long long)esr, (unsigned long long)frame->pc);
	context = kernel_fault(addr, frame->pc, class == 0x25 && esr & 0x40, class == 0x21);
	if (context) {
		frame->pc = (uintptr_t)context_restore;
		frame->x[0] = (uintptr_t)context;
	}
}
