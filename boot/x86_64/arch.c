// SPDX-License-Identifier: MIT
/*
 * Theory: PC with local APICs. A CPU that has been sent INIT and SIPI begins in real mode in a copy of the trampoline. Other CPUs are asked
 * to flush by an interrupt.
 */
#include "../kernel.h"

#define TRAMPOLINE 0x8000
#define APIC ((uintptr_t)0xfee00000)
#define APIC_EOI 0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define VECTORS 34
#define VECTOR_FLUSH 32
#define VECTOR_SPURIOUS 33

/* Pages of a range above which everything is flushed. */
#define FLUSH_MAX 64

struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct gate {
	uint16_t offset_low, selector, flags, offset_middle;
	uint32_t offset_high, zero;
};

extern const char trampoline[], trampoline_end[], trap_stubs[], return_begin[];
extern struct cpu *starting_cpu;
extern uint64_t pml4[];

void arch_enter(struct cpu *cpu);
void arch_trap(struct frame *frame);

static struct gate idt[VECTORS];

static void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void write_msr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static volatile uint32_t *apic(unsigned reg)
{
	return (volatile uint32_t *)(APIC + reg);
}

static void send(unsigned cpu, uint32_t command)
{
	*apic(APIC_ICR_HIGH) = cpu << 24;
	*apic(APIC_ICR) = command;
	while (*apic(APIC_ICR) & 1u << 12)
		arch_relax();
}

void arch_putc(char c)
{
	outb(0x3f8, (uint8_t)c);
}

_Noreturn void arch_power_off(bool passed)
{
	outb(0xf4, passed ? 0 : 1); /* isa-debug-exit: QEMU ends with twice this plus one */
	for (;;)
		__asm__ volatile("cli; hlt");
}

struct cpu *cpu_self(void)
{
	struct cpu *cpu;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

static void set_idt(void)
{
	const struct {
		uint16_t size;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uintptr_t)idt};

	for (unsigned i = 0; i < VECTORS; i++) {
		uintptr_t stub = (uintptr_t)trap_stubs + 16 * i;

		idt[i] = (struct gate){(uint16_t)stub, 0x18, 0x8e00, (uint16_t)(stub >> 16), (uint32_t)(stub >> 32), 0};
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

/* Each CPU's first C function. */
void arch_enter(struct cpu *cpu)
{
	cpu->scratch[0] = (uintptr_t)cpu;
	write_msr(0xc0000101, (uintptr_t)cpu); /* GS base */
	write_msr(0x277, 0x0007040100070406); /* PAT: as after reset, but 4 is write-combining */
	if (!cpu->id) {
		cpu->active = 1;
		outb(0x21, 0xff); /* nothing comes from the PICs */
		outb(0xa1, 0xff);
		set_idt();
		for (size_t i = 0; i < (size_t)(trampoline_end - trampoline); i++)
			((volatile char *)TRAMPOLINE)[i] = trampoline[i];
	} else {
		const struct {
			uint16_t size;
			uint64_t base;
		} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uintptr_t)idt};

		__asm__ volatile("lidt %0" : : "m"(pointer));
		__atomic_store_n(&starting_cpu, NULL, __ATOMIC_RELEASE);
	}
	*apic(APIC_SPURIOUS) = 0x100 | VECTOR_SPURIOUS;
	__asm__ volatile("sti");
	if (!cpu->id)
		kernel_main();
	cpu_main(cpu);
}

void arch_cpu_start(struct cpu *cpu)
{
	__atomic_store_n(&starting_cpu, cpu, __ATOMIC_RELEASE);
	send(cpu->id, 0x4500); /* INIT */
	send(cpu->id, 0x4600 | TRAMPOLINE >> 12); /* SIPI */
	while (__atomic_load_n(&starting_cpu, __ATOMIC_ACQUIRE))
		arch_relax();
}

_Noreturn void arch_cpu_stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void flush_everything(void)
{
	uint64_t cr4;

	/* A change of PGE flushes global translations too. */
	__asm__ volatile("mov %%cr4, %0; xor $0x80, %0; mov %0, %%cr4; xor $0x80, %0; mov %0, %%cr4" : "=&r"(cr4) : : "memory");
}

void arch_flush_here(const struct vmap_range *ranges, size_t n)
{
	size_t pages = 0;

	for (size_t i = 0; i < n; i++)
		pages += ranges[i].size >> 12;
	if (!n || pages > FLUSH_MAX) {
		flush_everything();
		return;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t at = 0; at < ranges[i].size; at += 4096)
			__asm__ volatile("invlpg (%0)" : : "r"(ranges[i].addr + at) : "memory");
}

void arch_ask_to_flush(const struct cpu *cpu)
{
	send(cpu->id, 0x4000 | VECTOR_FLUSH);
}

void arch_flush(const struct vmap_range *ranges, size_t n)
{
	shootdown(ranges, n);
}

void arch_publish(void)
{
}

void arch_sync_code(void)
{
}

void arch_write_return(void *at)
{
	*(volatile char *)at = *return_begin;
}

int arch_format(struct vmap_pgtable_format *format)
{
	return vmap_pgtable_x86_64(format, &(struct vmap_x86_64_config){.levels = 4,
									.no_execute = true,
									.global = true,
									.gigabyte = true,
									.write_combining = 4,
									.uncached = 3,
									.device = 7});
}

uint64_t arch_root(void)
{
	return (uintptr_t)pml4;
}

void arch_trap(struct frame *frame)
{
	struct context *context;
	uintptr_t addr;

	if (frame->vector == VECTOR_FLUSH) {
		shootdown_answer();
		*apic(APIC_EOI) = 0;
		return;
	}
	if (frame->vector == VECTOR_SPURIOUS)
		return;
	__asm__ volatile("mov %%cr2, %0" : "=r"(addr));
	if (frame->vector != 14)
		panic("exception %llu, error 0x%llx, at 0x%llx", (unsigned long long)frame->vector,
		      (unsigned long long)frame->error, (unsigned long long)frame->rip);
	context = kernel_fault(addr, frame->rip, frame->error & 2, frame->error & 16);
	if (context) {
		frame->rip = (uintptr_t)context_restore;
		frame->rdi = (uintptr_t)context;
	}
}
