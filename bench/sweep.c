/* SPDX-License-Identifier: MIT */
/*
 * The sweep
 *
 * Theory: what no promise is about. Sizes of chunks and of views, each used once; then one size of view, in which the other things vary: how
 * often a view is used before it ends, how many mappings the process has besides, and how many threads do the same. What is over the
 * budget of mappings is shown as such.
 *
 * Break-even: a view costs m to make and end, and l a look; a copy c, with its look. After m / (c - l) uses the view was cheaper. Both lines are
 * measured at one use and at a hundred.
 *
 * Chunks are scattered in all of it: what is used once is what the first promise is about.
 */
#include "bench.h"

#include <string.h>

#define VIEW (4 * MIB) /* in what is no sweep of sizes */
#define OLD 10000 /* mappings */

static const size_t chunks[] = {4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 2 * MIB};
#define CHUNKS (sizeof(chunks) / sizeof(chunks[0]))

static FILE *json;

static struct scattered scattered;
#define POINTS 64
static double ratios[POINTS], itselves[POINTS]; /* of its points */

/* How the view compares to the loop, and that to itself: shown, and written; and noted, where it is used once (n is not 0: chunks). */
static void compare(size_t chunk, size_t n, const struct sample samples[WAYS])
{
	const double ratio = samples[WAY_VMAP].ratio, itself = samples[WAY_VMAP].itself;

	if (samples[WAY_VMAP].over_budget)
		return;
	printf("  %.3f of the loop (itself: %.3f)", ratio, itself);
	fprintf(json, ", \"ratio\": %.4f, \"itself\": %.4f", ratio, itself);
	if (n >= SCATTERED && scattered.points < POINTS) {
		itselves[scattered.points] = itself;
		ratios[scattered.points++] = ratio;
		scattered.itself_worst = itself > scattered.itself_worst ? itself : scattered.itself_worst;
		if (ratio > scattered.worst) {
			scattered.worst = ratio;
			scattered.worst_chunk = chunk;
			scattered.worst_n = n;
		}
	} else if (n && ratio > scattered.few) {
		scattered.few = ratio;
		scattered.few_chunk = chunk;
		scattered.few_n = n;
	}
}

static void section(const char *name)
{
	printf("%s:\n", name);
	fprintf(json, ",\n  \"%s\": [", name);
}

/* One object, and one line, of those ways that are in the mask. */
static void report(unsigned ways, size_t chunk, size_t n, const struct sample *samples)
{
	for (enum way way = 0; way < WAYS; way++) {
		if (!(ways & 1u << way) || !way_names[way])
			continue;
		if (samples[way].over_budget) {
			printf("  %s over budget", way_names[way]);
			fprintf(json, ", \"%s\": null", way_names[way]);
			continue;
		}
		printf("  %s %.1f us", way_names[way], samples[way].median / 1000);
		fprintf(json, ", \"%s\": {\"median\": %.0f, \"p99\": %.0f}", way_names[way], samples[way].median,
			samples[way].p99);
	}
	compare(chunk, n, samples);
}

static void point_begin(size_t chunk, size_t size, bool first)
{
	printf("%8zu KiB in chunks of %5zu KiB:", size / KIB, chunk / KIB);
	fprintf(json, "%s\n    {\"chunk\": %zu, \"size\": %zu", first ? "" : ",", chunk, size);
}

static void point_end(void)
{
	printf("\n");
	fflush(stdout);
	fprintf(json, "}");
}

static void size_point(size_t chunk, size_t size, bool first)
{
	/* Large views take long to copy, and copying does not care for chunks. */
	unsigned ways = LOOPS | 1u << WAY_WARM | (size <= 16 * MIB ? 1u << WAY_FRESH | 1u << WAY_IOV : 0);
	struct sample samples[WAYS] = {{0}};
	struct work work;

	if (!work_begin(&work, NULL, chunk, size / chunk))
		fail("no memory");
	run_rounds(&work, 1, ways, samples);
	work_end(&work);
	point_begin(chunk, size, first);
	report(ways, chunk, size / chunk, samples);
	point_end();
}

static void sizes(void)
{
	static const size_t views[] = {64 * KIB, 1 * MIB, 16 * MIB, 256 * MIB};
	bool first = true;

	section("sweep");
	for (size_t c = 0; c < CHUNKS; c++) {
		for (size_t s = 0; s < sizeof(views) / sizeof(views[0]); s++) {
			if (views[s] < chunks[c] || (views[s] > 16 * MIB && (chunks[c] == 16 * KIB || chunks[c] == 256 * KIB)))
				continue;
			size_point(chunks[c], views[s], first);
			first = false;
		}
	}
	fprintf(json, "\n  ]");
}

/* Per use, and where a view of such chunks begins to pay. */
static void reuse(void)
{
	static const size_t uses[] = {1, 3, 10, 30, 100};
	const unsigned ways = LOOPS | 1u << WAY_WARM;
	const size_t n = sizeof(uses) / sizeof(uses[0]);

	section("reuse");
	for (size_t c = 0; c < CHUNKS; c++) {
		struct sample samples[sizeof(uses) / sizeof(uses[0])][WAYS] = {{{0}}};
		double make, seen, copied;
		struct work work;

		if (!work_begin(&work, NULL, chunks[c], VIEW / chunks[c]))
			fail("no memory");
		for (size_t i = 0; i < n; i++) {
			work.uses = uses[i];
			run_rounds(&work, 1, ways, samples[i]);
			point_begin(chunks[c], VIEW, !c && !i);
			printf(" %3zu uses", uses[i]);
			fprintf(json, ", \"uses\": %zu", uses[i]);
			report(ways, chunks[c], 0, samples[i]);
			if (i + 1 == n) {
				seen = (samples[i][WAY_VMAP].median - samples[0][WAY_VMAP].median) / (double)(uses[i] - 1);
				copied = (samples[i][WAY_WARM].median - samples[0][WAY_WARM].median) / (double)(uses[i] - 1);
				make = samples[0][WAY_VMAP].median - seen;
				printf("  break-even: %.2f uses", make / (copied - seen));
				fprintf(json, ", \"break_even\": %.3f", make / (copied - seen));
			}
			point_end();
		}
		work_end(&work);
	}
	fprintf(json, "\n  ]");
}

/* One thread or two, in a process with or without so many mappings. */
static void crowd_point(size_t chunk, size_t threads, bool old, bool first)
{
	const unsigned ways = LOOPS | 1u << WAY_WARM;
	struct sample samples[WAYS] = {{0}};
	struct work works[2];
	void **views = NULL;

	for (size_t i = 0; i < threads; i++) {
		if (!work_begin(&works[i], NULL, chunk, VIEW / chunk))
			fail("no memory");
	}
	if (old)
		views = make_old(&works[0], OLD / 2);
	run_rounds(works, threads, ways, samples);
	if (old)
		end_old(&works[0], views, OLD / 2);
	for (size_t i = 0; i < threads; i++)
		work_end(&works[i]);
	point_begin(chunk, VIEW, first);
	printf(" %zu threads, %5d other mappings", threads, old ? OLD : 0);
	fprintf(json, ", \"threads\": %zu, \"mappings\": %d", threads, old ? OLD : 0);
	report(ways, chunk, VIEW / chunk, samples);
	point_end();
}

static void crowd(void)
{
	bool first = true;

	section("crowd");
	for (size_t c = 0; c < CHUNKS; c++) {
		for (size_t i = 0; i < 4; i++, first = false)
			crowd_point(chunks[c], 1 + i / 2, i % 2, first);
	}
	fprintf(json, "\n  ]");
}

struct scattered sweep_scattered(void)
{
	scattered.median = summarize(ratios, scattered.points).median;
	scattered.itself_median = summarize(itselves, scattered.points).median;
	return scattered;
}

void sweep(FILE *to)
{
	json = to;
	sizes();
	reuse();
	crowd();
}
