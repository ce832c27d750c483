/* SPDX-License-Identifier: GPL-2.0-only */
/* A target for libFuzzer: FUZZ_TARGET names it. */
#include "target.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	FUZZ_TARGET.setup();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size <= FUZZ_MAX)
		FUZZ_TARGET.run(data, size);
	return 0;
}
