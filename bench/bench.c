/* SPDX-License-Identifier: MIT */
/*
 * bench OUTPUT: a sweep over sizes, then five promises, one line each that ends in `holds` or `falls short`; all of it as JSON in OUTPUT.
 *
 * Every figure is a ratio of medians, or a median of ratios, of rounds taken in turn, in one process; making, a look at every page and ending are
 * counted. bench/plot.py makes docs/performance.md of the JSON.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RESERVED "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static FILE *json;

static void promise(int number, const char *what, double figure, const char *unit, bool holds)
{
	printf("%d. %s: %.2f %s: %s\n", number, what, figure, unit, holds ? "holds" : "falls short");
	fflush(stdout);
	fprintf(json, "%s    {\"number\": %d, \"what\": \"%s\", \"figure\": %.3f, \"unit\": \"%s\", \"holds\": %s}",
		number > 1 ? ",\n" : "", number, what, figure, unit, holds ? "true" : "false");
}

void fail(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

/*
 * Over the whole sweep the middle of its points. The worst is told beside it, and the worst of the loop to itself, which is what such a figure
 * is without any reason; and that of views of fewer chunks: see docs/performance.md.
 */
static void promise_scattered(void)
{
	struct scattered all = sweep_scattered();
	char what[320];

	snprintf(what, sizeof(what),
		 "scattered chunks, at most 1.03 times a tuned mmap loop: the middle of %zu points (the worst %.2f, %zu of %zu "
		 "KiB; the loop to itself: the middle %.2f, the worst %.2f; of fewer than %d chunks %.2f, %zu of %zu KiB)",
		 all.points, all.worst, all.worst_n, all.worst_chunk / KIB, all.itself_median, all.itself_worst, SCATTERED,
		 all.few, all.few_n, all.few_chunk / KIB);
	promise(1, what, all.median, "times", all.median <= 1.03);
}

#define AGED_CHUNKS 4096

/* Allocate one chunk more, or free one of them. */
static void age(struct work *work, struct vmap_page **live, size_t *n, bool more, unsigned *seed)
{
	if (more) {
		if (vmap_page_alloc(work->process, 4, 1, &live[(*n)++]))
			fail("the pool is full");
	} else {
		size_t pick = (size_t)rand_r(seed) % *n;

		vmap_page_put(work->process, &live[pick], 1);
		live[pick] = live[--*n];
	}
}

/*
 * A pool of 256 MiB that was full once, after a million random allocations and frees between 65 and 75 % full, the last at 70 %; then chunks for
 * a view, allocated in it. How much faster, and in how many runs they came.
 */
static double aged(unsigned huge, size_t *runs)
{
	const struct vmap_process_config config = {.pool_max = AGED_CHUNKS * 64 * KIB, .huge = huge};
	const size_t low = AGED_CHUNKS * 65 / 100, high = AGED_CHUNKS * 75 / 100, end = AGED_CHUNKS * 70 / 100 - 64;
	static struct vmap_page *live[AGED_CHUNKS];
	struct sample samples[WAYS];
	struct work work;
	unsigned seed = 1;
	double ratio;
	size_t n = 0;

	if (!work_begin(&work, &config, 64 * KIB, 64))
		fail("no memory");
	vmap_page_put(work.process, work.pages, 64);
	while (n < AGED_CHUNKS)
		age(&work, live, &n, true, &seed);
	while (n > high)
		age(&work, live, &n, false, &seed);
	for (size_t i = 0; i < 1000000; i++)
		age(&work, live, &n, n == low || (n < high && rand_r(&seed) & 0x100), &seed);
	while (n != end)
		age(&work, live, &n, n < end, &seed);
	if (vmap_page_alloc(work.process, 4, 64, work.pages))
		fail("the pool is full");
	*runs = 1;
	for (size_t i = 1; i < 64; i++)
		*runs += work.pages[i]->frame != work.pages[i - 1]->frame + 16;
	work.step = work.chunk;
	run_rounds(&work, 1, 1u << WAY_VMAP | 1u << WAY_EACH | 1u << WAY_EACH_POPULATE, samples);
	ratio = better(&samples[WAY_EACH], &samples[WAY_EACH_POPULATE]).median / samples[WAY_VMAP].median;
	vmap_page_put(work.process, live, n);
	work_end(&work);
	return ratio;
}

/* Of pages as a pool has them by default, where neighbours share entries of the page table; with small ones those are what takes the time. */
static void promise_aged(void)
{
	size_t runs, small_runs;
	double huge = aged(VMAP_HUGE_TRANSPARENT, &runs), small = aged(VMAP_HUGE_NO, &small_runs);
	char what[256];

	snprintf(what, sizeof(what),
		 "64 chunks of 64 KiB from an aged pool, 70 %% full, at least 3 times faster than a mapping a chunk (runs: %zu; "
		 "not promised, without 2 MiB pages: %.2f, runs: %zu)",
		 runs, small, small_runs);
	promise(2, what, huge, "times", huge >= 3);
}

#define HITS 1000

/* Nanoseconds of a hit and its end: by the list, or by the handle. */
static double hit(struct vmap_cache *cache, struct vmap_page **pages, size_t n, bool by_handle)
{
	double times[ROUNDS];
	struct vmap_cached view;

	if (vmap_cache_get(cache, pages, n, &view) || vmap_cache_put(cache, &view))
		fail("no view");
	for (size_t round = 0; round < ROUNDS; round++) {
		double begin = nanoseconds();

		for (size_t i = 0; i < HITS; i++) {
			if (by_handle ? vmap_cache_again(cache, view.handle, &view) : vmap_cache_get(cache, pages, n, &view))
				fail("no hit");
			vmap_cache_put(cache, &view);
		}
		times[round] = (nanoseconds() - begin) / HITS;
	}
	return summarize(times, ROUNDS).median;
}

static void promise_cached(void)
{
	struct sample samples[WAYS];
	struct vmap_cache *cache;
	struct work work;
	double list, handle, chunk, build;
	char what[256];

	if (!work_begin(&work, NULL, 64 * KIB, 1024) || vmap_cache_create(work.process, NULL, &cache))
		fail("no memory");
	list = hit(cache, work.pages, 64, false);
	handle = hit(cache, work.pages, 1024, true);
	chunk = (hit(cache, work.pages, 1024, false) - list) / (1024 - 64);
	vmap_cache_destroy(cache);
	work.n = 64;
	run_rounds(&work, 1, 1u << WAY_VMAP, samples);
	build = samples[WAY_VMAP].median / list;
	work.n = 1024;
	work_end(&work);
	snprintf(what, sizeof(what),
		 "a kept view, under 100 ns (64 chunks %.0f, by handle %.0f), at most 1 ns a further chunk (%.2f), 50 times "
		 "faster than building",
		 list, handle, chunk);
	promise(3, what, build, "times", list < 100 && handle < 100 && chunk <= 1 && build >= 50);
}

/* Reserve n more pages of 2 MiB, or give them back. What there were before. */
static long reserve(long n)
{
	FILE *file = fopen(RESERVED, "r+");
	long before = 0;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &before) != 1)
		before = 0;
	rewind(file);
	fprintf(file, "%ld\n", before + n);
	fclose(file);
	return before;
}

static void promise_huge(void)
{
	struct vmap_process_config config = {.pool_max = 64 * MIB, .space_size = 256 * MIB, .huge = VMAP_HUGE_TRY};
	struct vmap_process_stats stats;
	struct sample samples[WAYS];
	long before = reserve(16);
	struct work work;
	char what[256];
	double ratio;

	if (!work_begin(&work, &config, 2 * MIB, 16)) {
		if (before >= 0)
			reserve(-16);
		fail("no memory for 2 MiB pages");
	}
	vmap_process_stats(work.process, &stats);
	run_rounds(&work, 1, 1u << WAY_VMAP | 1u << WAY_WARM, samples);
	ratio = samples[WAY_WARM].median / samples[WAY_VMAP].median;
	snprintf(what, sizeof(what), "16 scattered chunks of 2 MiB (huge: %s), at least 3 times faster than a warm memcpy",
		 stats.huge);
	work_end(&work);
	if (before >= 0)
		reserve(-16);
	promise(4, what, ratio, "times", ratio >= 3);
}

/* Every mapping call of the library is counted by its mechanism. */
static void promise_contiguous(void)
{
	struct vmap_process_stats before, after;
	struct vmap_process *process;
	struct vmap_page *pages[64];
	const struct vmap_options options = {.flags = VMAP_NO_GUARD};
	double times[ROUNDS];
	char what[256];

	if (vmap_process_create(NULL, &process) || vmap_page_alloc(process, 4, 64, pages))
		fail("no memory");
	vmap_process_stats(process, &before);
	for (size_t round = 0; round < ROUNDS; round++) {
		double begin = nanoseconds();

		for (size_t i = 0; i < HITS; i++) {
			struct vmap_view view;

			if (vmap_view(process, pages, 64, &options, &view) || vmap_view_end(process, &view))
				fail("no view");
		}
		times[round] = (nanoseconds() - begin) / HITS;
	}
	vmap_process_stats(process, &after);
	vmap_page_put(process, pages, 64);
	vmap_process_destroy(process);
	snprintf(what, sizeof(what), "64 chunks in one run without a guard (%.0f ns), no system call",
		 summarize(times, ROUNDS).median);
	promise(5, what, (double)(after.mmaps - before.mmaps), "calls", after.mmaps == before.mmaps);
}

int main(int argc, char **argv)
{
	json = fopen(argc > 1 ? argv[1] : "/dev/null", "w");
	if (!json)
		fail("cannot write the output");
	fprintf(json, "{\n  \"rounds\": %d", ROUNDS);
	sweep(json);
	fprintf(json, ",\n  \"promises\": [\n");
	promise_scattered();
	promise_aged();
	promise_cached();
	promise_huge();
	promise_contiguous();
	fprintf(json, "\n  ]\n}\n");
	return fclose(json) != 0;
}
