// SPDX-License-Identifier: MIT
/* The kernel that is run with a clock that counts instructions: the table, and the scenarios. */
#include "../scenarios.h"
#include "bench.h"

#define OPERATIONS 4000

static void scenario(const struct scenario *scenario, unsigned live)
{
	struct conformance_bed bed;
	struct scenario_run run = {.bed = &bed, .clock = bench_ticks, .operations = OPERATIONS, .live = live};

	bench_begin(&bed, 1);
	if (!scenario_run(scenario, &run))
		panic("bench: %s", scenario->name);
	bench_end(&bed);
	print("scenario name %s live %u ticks %llu rounds %llu flushes %llu checked %llu\n", scenario->name, live,
	      (unsigned long long)run.ticks, (unsigned long long)run.counted, (unsigned long long)run.flushes,
	      (unsigned long long)run.checked);
}

void kernel_main(void)
{
	struct conformance_bed bed;

	bench_begin(&bed, 1);
	bench_table(&bed);
	bench_end(&bed);
	for (unsigned i = 0; i < scenario_count; i++) {
		if (scenarios[i].live)
			scenario(&scenarios[i], 0);
		scenario(&scenarios[i], scenarios[i].live);
	}
	print("end\n");
	arch_power_off(true);
}
