// SPDX-License-Identifier: MIT
/*
 * Theory: the kernel boots into kernel_main() on CPU 0: tests.c, which prints TAP and powers off, or bench.c. A thread is a CPU:
 * pthread_create() of shim/ starts one at cpu_main(), which runs the function and stops the CPU.
 */
#include "kernel.h"

struct cpu cpus[CPUS];

_Noreturn void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print("\nBail out! ");
	vprint(format, args);
	print("\n");
	va_end(args);
	arch_power_off(false);
}

struct context *kernel_fault(uintptr_t addr, uintptr_t pc, bool write, bool execute)
{
	struct cpu *cpu = cpu_self();
	struct context *recover = cpu->recover;

	/* Where CPUs may remember that nothing was there, the first fault proves nothing. */
	if (ARCH_FAULTS_MAY_BE_STALE && cpu->retried != addr) {
		cpu->retried = addr;
		arch_publish();
		return NULL;
	}
	cpu->retried = 0;
	if (!recover)
		panic("CPU %u: page fault at 0x%zx, pc 0x%zx, write %d, execute %d", cpu->id, (size_t)addr, (size_t)pc, write,
		      execute);
	cpu->fault = (struct fault){.addr = addr, .write = write, .execute = execute, .err = -VMAP_ENOENT};
	if (watched_space)
		cpu->fault.err = vmap_area_at(watched_space, (void *)addr, &cpu->fault.info);
	cpu->recover = NULL;
	return recover;
}

void cpu_main(struct cpu *cpu)
{
	cpu->run(cpu->arg);
	__atomic_store_n(&cpu->active, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&cpu->done, 1, __ATOMIC_RELEASE);
	arch_cpu_stop();
}
