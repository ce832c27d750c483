/* SPDX-License-Identifier: MIT */
#ifndef BOOT_BENCH_H
#define BOOT_BENCH_H

#include "../../tests/conformance/conformance.h"
#include "../kernel.h"

/*
 * What the bench's two kernels share. They print lines for bench.py: a word that says of what, then names and figures in turn.
 */

/* The TSC: instructions, where QEMU counts them. */
uint64_t bench_ticks(void);

/* A space of 1 GiB, with as much lazy space as Linux has on n CPUs; and its end. */
void bench_begin(struct conformance_bed *bed, unsigned n);
void bench_end(struct conformance_bed *bed);

/*
 * Every row of the table: a map of scattered base pages and the unmap that follows, again and again, from a flush to a flush, and as
 * often before without counting. Prints a line each.
 */
void bench_table(struct conformance_bed *bed);

#endif
