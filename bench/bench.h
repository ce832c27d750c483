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
#define LOOPS (1u << WAY_VMAP | 1u << WAY_LOOP | 1u << WAY_LOOP_POPULATE)
#define ROUNDS 31
#define ROUNDS_MAX 155 /* where a few percent decide */

/* One way to get a contiguous view of some chunks, look at it, and end it. */
enum way { WAY_VMAP, WAY_LOOP, WAY_LOOP_POPULATE, WAY_EACH, WAY_EACH_POPULATE, WAY_WARM, WAY_FRESH, WAY_IOV, WAYS };
extern const char *const way_names[WAYS];

/* What the ways work on. */
struct work {
	struct vmap_process *process;
	struct vmap_page **pages;
	size_t n, chunk; /* chunks, and bytes of one */
	uint8_t *reservation; /* for the loops */
	uint8_t *warm;
	size_t rounds;
	size_t step; /* bytes from one look to the next */
	size_t uses; /* looks at one view, or copies, each with its look */
};

struct sample {
	double median, p99; /* nanoseconds */
	bool over_budget;
};

/* n chunks, no two of them neighbours in their order. False: no memory. */
bool work_begin(struct work *work, const struct vmap_process_config *config, size_t chunk, size_t n);
void work_end(struct work *work);

/* Once, in nanoseconds; negative: over the budget. */
double run_once(struct work *work, enum way way);

/* work->rounds of each way that is not 0 in the mask, taken in turn. */
void run_rounds(struct work *work, unsigned ways, struct sample samples[WAYS]);

/* The better one of both ways to fill page tables. */
struct sample better(const struct sample *one, const struct sample *other);

/* Median and 99th percentile; sorts. */
struct sample summarize(double *values, size_t n);
double nanoseconds(void);

/* Views that stay, each in two mappings: what an old process has. */
void **make_old(struct work *work, size_t n);
void end_old(struct work *work, void **views, size_t n);

/* Everything that is no promise, as members of a JSON object. */
void sweep(FILE *json);

_Noreturn void fail(const char *what);

#endif
