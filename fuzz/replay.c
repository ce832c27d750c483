/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fuzz targets without a fuzzer
 *
 *   fuzz_replay TARGET ROUNDS [FIRST]   every seed, then ROUNDS mutations of them, the same in every run; from mutation FIRST on
 *   fuzz_replay TARGET --seeds DIR      write the seeds into DIR, for a fuzzer to begin with
 *   fuzz_replay TARGET FILE...          run what a fuzzer found
 *
 * An input may take TIME_LIMIT seconds, or the program ends by SIGALRM. The number of each mutation is in fuzz_replay_at, for a debugger; with
 * FUZZ_VERBOSE set it is printed before it runs.
 */
#include "target.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fsbuild.h"
#include "mutate.h"

#define TIME_LIMIT 60u

unsigned long fuzz_replay_at;

static const struct fuzz_target *const targets[] = {&fuzz_log, &fuzz_metadata, &fuzz_item, &fuzz_undo};

static struct {
	uint8_t *data[2048];
	size_t size[2048], n;
} seeds;

static void keep(void *arg, const uint8_t *data, size_t size)
{
	(void)arg;
	if (seeds.n == sizeof(seeds.size) / sizeof(seeds.size[0]))
		return;
	seeds.data[seeds.n] = malloc(FUZZ_MAX);
	if (!seeds.data[seeds.n])
		abort();
	memcpy(seeds.data[seeds.n], data, size);
	seeds.size[seeds.n++] = size;
}

static void run(const struct fuzz_target *target, const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* of just this size, for ASan */

	if (!copy)
		abort();
	memcpy(copy, data, size);
	alarm(TIME_LIMIT);
	target->run(copy, size);
	alarm(0);
	free(copy);
}

static void run_mutated(const struct fuzz_target *target, unsigned long first, unsigned long rounds)
{
	static uint8_t data[FUZZ_MAX];

	for (fuzz_replay_at = first; fuzz_replay_at < first + rounds; fuzz_replay_at++) {
		struct mutate m = {.state = fuzz_replay_at};
		uint32_t which = mutate_random(&m, (uint32_t)seeds.n);
		size_t size = seeds.size[which];

		if (getenv("FUZZ_VERBOSE"))
			fprintf(stderr, "mutation %lu of seed %u\n", fuzz_replay_at, which);
		memcpy(data, seeds.data[which], size);
		run(target, data, mutate_input(&m, data, size, sizeof(data)));
	}
}

static int write_seeds(const char *directory)
{
	char name[4096];

	for (size_t i = 0; i < seeds.n; i++) {
		FILE *f;

		snprintf(name, sizeof(name), "%s/seed.%zu", directory, i);
		f = fopen(name, "wb");
		if (!f || fwrite(seeds.data[i], 1, seeds.size[i], f) != seeds.size[i] || fclose(f)) {
			perror(name);
			return 1;
		}
	}
	return 0;
}

static int run_file(const struct fuzz_target *target, const char *name)
{
	static uint8_t data[FUZZ_MAX];
	FILE *f = fopen(name, "rb");
	size_t size;

	if (!f) {
		perror(name);
		return 1;
	}
	size = fread(data, 1, sizeof(data), f);
	fclose(f);
	run(target, data, size);
	return 0;
}

int main(int argc, char **argv)
{
	const struct fuzz_target *target = NULL;
	int failed = 0;

	for (size_t i = 0; argc > 2 && i < sizeof(targets) / sizeof(targets[0]); i++)
		if (!strcmp(argv[1], targets[i]->name))
			target = targets[i];
	if (!target) {
		fputs("usage: fuzz_replay log|metadata|item|undo ROUNDS [FIRST] | --seeds DIR | FILE...\n", stderr);
		return 2;
	}
	if (!test_fs_possible())
		return 77;
	target->setup();
	target->seeds(keep, NULL);
	if (!strcmp(argv[2], "--seeds")) {
		failed = argc > 3 ? write_seeds(argv[3]) : 2;
	} else if (isdigit((unsigned char)argv[2][0])) {
		for (size_t i = 0; i < seeds.n; i++)
			run(target, seeds.data[i], seeds.size[i]);
		run_mutated(target, argc > 3 ? strtoul(argv[3], NULL, 0) : 1, strtoul(argv[2], NULL, 0));
		printf("%s: %zu seeds and %s mutations\n", target->name, seeds.n, argv[2]);
	} else {
		for (int i = 2; i < argc; i++)
			failed |= run_file(target, argv[i]);
	}
	for (size_t i = 0; i < seeds.n; i++)
		free(seeds.data[i]);
	return failed;
}
