// SPDX-License-Identifier: MIT
/* All tests of the kernel, as TAP. */
#include <cmocka.h>
#include "../tests/conformance/conformance.h"
#include "kernel.h"
#include "shim/shim.h"

extern const struct CMUnitTest boot_fault_tests[], boot_cpu_tests[], boot_scenario_tests[];

void kernel_main(void)
{
	static const struct CMUnitTest *const tables[] = {boot_fault_tests, boot_cpu_tests, boot_scenario_tests};
	int failed = 0;

	print("\n# libvmap in a kernel\n");
	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		failed += shim_run(tables[i]);
	failed += conformance_run(&boot_host);
	shim_plan();
	arch_power_off(!failed);
}
