/* SPDX-License-Identifier: MIT */
#ifndef VMAP_BENCH_H
#define VMAP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <vmap/cache.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define LOOPS ((1u << (WAY_LOOP_AGAIN + 3)) - 1)
#define ROUNDS 31
#define ROUNDS_MIN 61 /* of LOOPS, where a few percent decide; */
#define ROUNDS_MAX 1001 /* and as many as this */
#define ROUNDS_TIME 1e9 /* that take no longer than this: nanoseconds of CPU time */

/* One way to get a contiguous view of some chunks, look at it, and end it. */
enum way {
	WAY_VMAP,
	WAY_LOOP,
	WAY_LOOP_POPULATE,
	WAY_LOOP_TOUCH,
	WAY_LOOP_AGAIN, /* those three once more, in the same order: what the loop differs from itself by is what a ratio is good for */
	WAY_LOOP_POPULATE_AGAIN,
	WAY_LOOP_TOUCH_AGAIN,
	WAY_EACH,
	WAY_EACH_POPULATE,
	WAY_WARM,
	WAY_FRESH,
	WAY_IOV,
	WAYS
};
extern const char *const way_names[WAYS];

/* What the ways work on. */
struct work {
	struct vmap_process *process;
	struct vmap_page **pages;
	size_t n, chunk; /* chunks, and bytes of one */
	uint8_t *reservation; /* for the loops */
	uint8_t *warm;
	size_t step; /* bytes from one look to the next */
	size_t uses; /* looks at one view, or copies, each with its look */
};

struct sample {
	double median, p99; /* nanoseconds */
	double ratio,
		itself; /* of the view: what it took to the tuned loop, and what that took to itself, measured once more in the same rounds */
	bool over_budget;
};

/* n chunks, no two of them neighbours in their order. False: no memory. */
bool work_begin(struct work *work, const struct vmap_process_config *config, size_t chunk, size_t n);
void work_end(struct work *work);

/* Rounds of the ways in the mask, taken in turn by n threads at once, each with work of its own. */
void run_rounds(struct work *works, size_t n, unsigned ways, struct sample samples[WAYS]);

/* The better one of both ways to fill page tables. */
struct sample better(const struct sample *one, const struct sample *other);

/* Median and 99th percentile; sorts. */
struct sample summarize(double *values, size_t n);
double nanoseconds(void);

/* Views that stay, each in two mappings: what an old process has. */
void **make_old(struct work *work, size_t n);
void end_old(struct work *work, void **views, size_t n);

/* Over sizes and circumstances, as members of a JSON object. */
void sweep(FILE *json);

/* How views compared to the loop in all of it, as ratios. */
struct scattered {
	size_t points; /* of SCATTERED chunks and more */
	double worst, median; /* of those */
	double few; /* the worst of fewer chunks */
	size_t worst_chunk, worst_n, few_chunk, few_n; /* where that was */
	double itself_worst, itself_median; /* of the loop to itself, in the same points: what is noise */
};
#define SCATTERED 16
struct scattered sweep_scattered(void);

_Noreturn void fail(const char *what);

#endif
