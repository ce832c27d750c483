/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

/*
 * What is fuzzed: any input must be refused or worked with, in bounded time; never a crash, never an assertion. A target knows how to run one
 * input, and inputs to begin with. The same targets run under libFuzzer (-Dfuzz=true) and, with a fixed seed, as an ordinary test.
 */
#include <stddef.h>
#include <stdint.h>

#define FUZZ_MAX 65536u /* bytes of an input */

typedef void fuzz_seed_fn(void *arg, const uint8_t *data, size_t size);

struct fuzz_target {
	const char *name;
	void (*setup)(void); /* once, before anything else */
	void (*seeds)(fuzz_seed_fn *fn, void *arg);
	void (*run)(const uint8_t *data, size_t size);
};

extern const struct fuzz_target fuzz_log; /* records of a log: replay, completion, and a look at the result */
extern const struct fuzz_target fuzz_metadata; /* a filesystem's metadata, with right checksums: readers, completion, summaries */
extern const struct fuzz_target fuzz_item; /* a file of --skip-item */
extern const struct fuzz_target fuzz_undo; /* an undo file */

#endif
