// SPDX-License-Identifier: MIT
/* The scenarios of Linux's lib/test_vmalloc.c, short: every page's stamp is found, whatever lived and was flushed meanwhile. */
#include "../tests/conformance/bed.h"
#include "kernel.h"
#include "scenarios.h"

#define OPERATIONS 40
#define LIVE 300
#define SIZE ((size_t)64 << 20)
#define LAZY ((size_t)1 << 20)

static uint64_t no_clock(void)
{
	return 0;
}

static void every_stamp_is_found(void **state)
{
	void *host = (void *)(uintptr_t)&boot_host;
	struct scenario_run run = {.clock = no_clock, .operations = OPERATIONS, .live = LIVE};

	(void)state;
	for (unsigned i = 0; i < scenario_count; i++) {
		run.bed = bed_begin(&host, SIZE, LAZY);
		assert_true(scenario_run(&scenarios[i], &run));
		print("# %s: %u operations, %u stamps\n", scenarios[i].name, (unsigned)run.counted, (unsigned)run.checked);
		assert_true(run.counted >= OPERATIONS && run.checked >= OPERATIONS);
		bed_end(run.bed);
	}
}

const struct CMUnitTest boot_scenario_tests[] = {
	cmocka_unit_test(every_stamp_is_found),
	CONFORMANCE_END,
};
