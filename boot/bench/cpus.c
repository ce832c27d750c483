// SPDX-License-Identifier: MIT
/*
 * Theory: the kernel that is run with two CPUs, each a thread of QEMU's. First one CPU works and the other one is there, and the requests to
 * flush that it gets are counted. Then one CPU works alone, or both do, each with pages of its own, for the same time, in turn: what else
 * the machine does in between meets both alike.
 */
#include <pthread.h>
#include <string.h>
#include "bench.h"

#define RUNS 15
#define PAGES 16
#define APART 64

/* The TSC is the host's, some GHz. */
#define TICKS ((uint64_t)1 << 29)

struct worker {
	pthread_t thread;
	struct conformance_bed *bed;
	const struct work *work;
	struct vmap_page
		*pages[APART]; /* PAGES of them are used: the descriptors of two CPUs' pages shall not share cache lines */
	uint64_t stamp;
	uint64_t operations;
} __attribute__((aligned(128)));

struct work {
	const char *name;
	int (*make)(struct worker *worker, void **addr);
	int (*end)(struct vmap_space *space, const void *addr);
};

static bool go, stop;

static int make_alloc(struct worker *worker, void **addr)
{
	return vmap_alloc(worker->bed->space, 4096, 0, NULL, addr);
}

static int make_map(struct worker *worker, void **addr)
{
	return vmap_pages(worker->bed->space, worker->pages, PAGES, NULL, addr);
}

static int make_ram(struct worker *worker, void **addr)
{
	return vmap_ram(worker->bed->space, worker->pages, PAGES, 0, 0, addr);
}

/* Nothing of the library: 16 KiB of memory of its own are filled. */
static int make_nothing(struct worker *worker, void **addr)
{
	*addr = boot_host.page_bytes(worker->bed, worker->pages[0]);
	for (unsigned i = 0; i < 4; i++)
		memset(boot_host.page_bytes(worker->bed, worker->pages[i]), (int)i, 4096);
	return 0;
}

static int end_nothing(struct vmap_space *space, const void *addr)
{
	(void)space;
	(void)addr;
	return 0;
}

static const struct work works[] = {
	{"machine", make_nothing, end_nothing},
	{"fix_size", make_alloc, vmap_free},
	{"map", make_map, vmap_unmap},
	{"ram", make_ram, vmap_ram_unmap},
};

static void once(struct worker *worker)
{
	volatile uint64_t *mapped;
	void *addr;
	int err = worker->work->make(worker, &addr);

	if (err)
		panic("bench: %s gives %d", worker->work->name, err);
	mapped = addr;
	*mapped = ++worker->stamp;
	if (worker->work->make != make_alloc && *(uint64_t *)boot_host.page_bytes(worker->bed, worker->pages[0]) != worker->stamp)
		panic("bench: %s: another one's stamp", worker->work->name);
	err = worker->work->end(worker->bed->space, addr);
	if (err)
		panic("bench: the end of %s gives %d", worker->work->name, err);
	worker->operations++;
}

static void *work_until_stop(void *arg)
{
	struct worker *worker = arg;

	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		cpu_relax();
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		once(worker);
	return NULL;
}

/* One CPU, or two, for the time. */
static void run(struct worker *workers, const struct work *work, unsigned n, bool shown)
{
	unsigned long contended;
	uint64_t start, ticks;

	for (unsigned i = 0; i < n; i++) {
		workers[i].work = work;
		workers[i].operations = 0;
	}
	go = stop = false;
	if (n > 1 && pthread_create(&workers[1].thread, NULL, work_until_stop, &workers[1]))
		panic("bench: there is no second CPU");
	if (shown)
		print("begin\n");
	contended = spin_contended();
	start = bench_ticks();
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	while ((ticks = bench_ticks() - start) < TICKS)
		for (unsigned i = 0; i < 16; i++)
			once(&workers[0]);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	contended = spin_contended() - contended;
	if (n > 1)
		pthread_join(workers[1].thread, NULL);
	if (shown)
		print("run work %s cpus %u ticks %llu operations %llu second %llu contended %lu\n", work->name, n,
		      (unsigned long long)ticks, (unsigned long long)workers[0].operations,
		      (unsigned long long)(n > 1 ? workers[1].operations : 0), contended);
}

static void *idle(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		cpu_relax();
	return NULL;
}

static void count_ipis(void)
{
	struct conformance_bed bed;
	pthread_t thread;

	stop = false;
	if (pthread_create(&thread, NULL, idle, NULL))
		panic("bench: there is no second CPU");
	bench_begin(&bed, 2);
	bench_table(&bed);
	bench_end(&bed);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

void kernel_main(void)
{
	static struct worker workers[2];
	struct conformance_bed bed;

	count_ipis();
	bench_begin(&bed, 2);
	for (unsigned i = 0; i < 2; i++) {
		workers[i] = (struct worker){.bed = &bed, .stamp = (uint64_t)i << 32};
		if (boot_host.page_alloc(&bed, 0, APART, workers[i].pages))
			panic("bench: no memory");
	}
	/* The first round is not shown: QEMU translates. */
	for (unsigned i = 0; i <= RUNS; i++)
		for (unsigned kind = 0; kind < sizeof(works) / sizeof(works[0]); kind++)
			for (unsigned n = 1; n <= 2; n++)
				run(workers, &works[kind], n, i > 0);
	vmap_purge(bed.space);
	for (unsigned i = 0; i < 2; i++)
		boot_host.page_put(&bed, workers[i].pages, APART);
	bench_end(&bed);
	print("end\n");
	arch_power_off(true);
}
