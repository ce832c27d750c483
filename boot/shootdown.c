// SPDX-License-Identifier: MIT
/*
 * Theory: flushing on all CPUs where hardware does not. One request at a time, for all CPUs that are active. A CPU is waited for until it
 * has flushed, or has become inactive: nothing of what it remembers is used when it starts again. Who waits to make a request
 * answers others meanwhile, as interrupts are on.
 */
#include "kernel.h"

static struct {
	uint32_t lock;
	const struct vmap_range *ranges;
	size_t n;
	unsigned long flushes, count;
} request;

void shootdown(const struct vmap_range *ranges, size_t n)
{
	struct cpu *self = cpu_self();

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	arch_flush_here(ranges, n);
	spin_lock(&request.lock);
	request.ranges = ranges;
	request.n = n;
	request.flushes++;
	for (struct cpu *cpu = cpus; cpu < cpus + CPUS; cpu++) {
		if (cpu == self || !__atomic_load_n(&cpu->active, __ATOMIC_SEQ_CST))
			continue;
		__atomic_store_n(&cpu->flush, 1, __ATOMIC_SEQ_CST);
		request.count++;
		arch_ask_to_flush(cpu);
	}
	for (struct cpu *cpu = cpus; cpu < cpus + CPUS; cpu++)
		while (__atomic_load_n(&cpu->flush, __ATOMIC_ACQUIRE) && __atomic_load_n(&cpu->active, __ATOMIC_ACQUIRE))
			cpu_relax();
	spin_unlock(&request.lock);
}

void shootdown_answer(void)
{
	struct cpu *self = cpu_self();

	if (!__atomic_load_n(&self->flush, __ATOMIC_ACQUIRE))
		return;
	arch_flush_here(request.ranges, request.n);
	__atomic_store_n(&self->flush, 0, __ATOMIC_RELEASE);
}

unsigned long shootdown_flushes(void)
{
	return __atomic_load_n(&request.flushes, __ATOMIC_RELAXED);
}

unsigned long shootdown_count(void)
{
	return request.count;
}
