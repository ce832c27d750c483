// SPDX-License-Identifier: MIT
/*
 * Theory: the kernel boots into kernel_main() on CPU 0, runs the tests, prints TAP and powers off. A thread is a CPU: pthread_create() of
 * shim/ starts one at cpu_main(), which runs the function and stops the CPU.
 */
#include <cmocka.h>
#include "../tests/conformance/conformance.h"
#include "kernel.h"
#include "shim/shim.h"

struct cpu cpus[CPUS];

extern const struct CMUnitTest boot_fault_tests[], boot_cpu_tests[];

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

void kernel_main(void)
{
	static const struct CMUnitTest *const tables[] = {boot_fault_tests, boot_cpu_tests};
	int failed = 0;

	print("\n# libvmap in a kernel\n");
	for (unsigned i = 0; i < 2; i++)
		failed += shim_run(tables[i]);
	failed += conformance_run(&boot_host);
	shim_plan();
	arch_power_off(!failed);
}
