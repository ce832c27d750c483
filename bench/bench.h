/* SPDX-License-Identifier: MIT */
#ifndef VMAP_BENCH_H
#define VMAP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmap/cache.h>

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

#endif
