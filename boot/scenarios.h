/* SPDX-License-Identifier: MIT */
#ifndef BOOT_SCENARIOS_H
#define BOOT_SCENARIOS_H

#include "../tests/conformance/conformance.h"

/* The scenarios of Linux's lib/test_vmalloc.c. */

/* One run. The caller fills in what stands first, and makes an empty space in the bed, of 64 MiB at least. */
struct scenario_run {
	struct conformance_bed *bed;
	uint64_t (*clock)(void);
	unsigned operations; /* at least so many are made and counted, and then until a flush */
	unsigned live; /* areas that live meanwhile, in scenarios that have such */

	uint64_t ticks; /* of the operations counted, without stamping and checking */
	uint64_t counted;
	uint64_t flushes; /* among them */
	uint64_t checked; /* pages whose stamps were found as they should be, counted or not */
};

struct scenario {
	const char *name;
	unsigned live; /* as lib/test_vmalloc.c has them; 0: it has none */
	bool (*run)(struct scenario_run *run);
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

/*
 * Run it. An operation makes one area and ends it; every page of it is stamped between, and found again through the mapping and
 * behind it. false: something failed, or a stamp was not there; a line has said what.
 */
bool scenario_run(const struct scenario *scenario, struct scenario_run *run);

#endif
