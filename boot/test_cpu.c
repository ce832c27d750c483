// SPDX-License-Identifier: MIT
/* Several CPUs: they run at the same time, and none uses a translation that was flushed. */
#include <pthread.h>
#include "../tests/conformance/bed.h"
#include "kernel.h"

#define READERS 3
#define ROUNDS 200

struct reader {
	pthread_t thread;
	uintptr_t addr;
	uint32_t asked; /* rounds that CPU 0 has begun; odd: a page is mapped */
	uint32_t answered;
	bool mapped;
	unsigned char value;
};

static void *read_on_demand(void *arg)
{
	struct reader *reader = arg;

	for (uint32_t round = 1; round <= 2 * ROUNDS; round++) {
		while (__atomic_load_n(&reader->asked, __ATOMIC_ACQUIRE) != round)
			arch_relax();
		reader->mapped = probe_read(reader->addr, &reader->value);
		__atomic_store_n(&reader->answered, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void ask(struct reader *readers, uint32_t round, bool mapped, unsigned char value)
{
	for (unsigned i = 0; i < READERS; i++)
		__atomic_store_n(&readers[i].asked, round, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < READERS; i++) {
		while (__atomic_load_n(&readers[i].answered, __ATOMIC_ACQUIRE) != round)
			arch_relax();
		assert_int_equal(readers[i].mapped, mapped);
		if (mapped)
			assert_int_equal(readers[i].value, value);
	}
}

/* One address shows one page after the other, and nothing in between; every CPU has used the translation that goes. */
static void no_cpu_uses_what_was_flushed(void **state)
{
	void *host = (void *)(uintptr_t)&boot_host;
	struct conformance_bed *bed = bed_begin(&host, (size_t)1 << 20, 0);
	struct vmap_options options = {.min = bed->base + 8 * 4096, .max = bed->base + 10 * 4096 - 1};
	static struct reader readers[READERS];
	unsigned long shootdowns = shootdown_count();
	struct vmap_page *pages[2];
	uintptr_t addr;

	(void)state;
	bed_pages(bed, 0, 2, pages);
	for (unsigned i = 0; i < 2; i++)
		boot_host.page_bytes(bed, pages[i])[0] = (unsigned char)(0x51 + i);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){.addr = options.min};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on_demand, &readers[i]), 0);
	}
	for (uint32_t round = 0; round < ROUNDS; round++) {
		addr = bed_map(bed, &pages[round % 2], 1, &options);
		assert_int_equal(addr, options.min);
		ask(readers, 2 * round + 1, true, (unsigned char)(0x51 + round % 2));
		bed_unmap(bed, addr);
		ask(readers, 2 * round + 2, false, 0);
	}
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
	shootdowns = shootdown_count() - shootdowns;
	print("# %u rounds, %u readers, %lu requests to flush sent to other CPUs\n", ROUNDS, READERS, shootdowns);
	assert_true(ARCH_HARDWARE_BROADCAST || shootdowns >= (unsigned long)ROUNDS);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

struct meeting {
	pthread_t thread;
	uint32_t *present;
	unsigned met;
};

static void *meet(void *arg)
{
	struct meeting *meeting = arg;

	__atomic_fetch_add(meeting->present, 1, __ATOMIC_SEQ_CST);
	while ((meeting->met = __atomic_load_n(meeting->present, __ATOMIC_SEQ_CST)) != CPUS)
		arch_relax();
	return NULL;
}

static void every_cpu_runs(void **state)
{
	struct meeting meetings[CPUS];
	uint32_t present = 1;

	(void)state;
	for (unsigned i = 1; i < CPUS; i++) {
		meetings[i].present = &present;
		assert_int_equal(pthread_create(&meetings[i].thread, NULL, meet, &meetings[i]), 0);
	}
	for (unsigned i = 1; i < CPUS; i++) {
		assert_int_equal(pthread_join(meetings[i].thread, NULL), 0);
		assert_int_equal(meetings[i].met, CPUS);
	}
	print("# %u CPUs ran at the same time\n", CPUS);
}

const struct CMUnitTest boot_cpu_tests[] = {
	cmocka_unit_test(every_cpu_runs),
	cmocka_unit_test(no_cpu_uses_what_was_flushed),
	CONFORMANCE_END,
};
