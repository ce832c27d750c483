// SPDX-License-Identifier: MIT
/*
 * Random calls on a space over the software MMU, for each configuration, against a model (model.h). After every call all invariants of the
 * space's structures are checked, and the space is compared with the model.
 *
 *	test_core_random [CONFIGURATION [SEED]]
 *
 * CHECK_SHARE: a build with sanitizers runs a part of the steps only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"

#define STEPS (1000000 / CHECK_SHARE)

static const struct model_config configs[] = {
	{.name = "synchronous", .lazy_max = 0, .guards = 6, .cpus = 1},
	{.name = "small-budget", .lazy_max = 64 * MODEL_PAGE, .guards = 6, .cpus = 2},
	{.name = "large-budget", .lazy_max = MODEL_SIZE / 2, .guards = 6, .cpus = 1},
	{.name = "no-budget", .lazy_max = SIZE_MAX, .guards = 8, .cpus = 2},
	{.name = "no-guards", .lazy_max = SIZE_MAX, .guards = 0, .cpus = 2},
	{.name = "quarantine", .lazy_max = SIZE_MAX, .quarantine = 100 * MODEL_PAGE, .guards = 6, .cpus = 2},
	{.name = "worker", .lazy_max = 40 * MODEL_PAGE, .guards = 6, .cpus = 2, .worker = true},
	{.name = "large-leaves", .lazy_max = 200 * MODEL_PAGE, .guards = 6, .cpus = 2, .large = true},
	{.name = "large-leaves-failures", .lazy_max = 0, .guards = 0, .cpus = 1, .large = true, .fails = 3},
	{.name = "failures", .lazy_max = 100 * MODEL_PAGE, .guards = 6, .cpus = 2, .fails = 3},
	{.name = "failures-synchronous", .lazy_max = 0, .guards = 6, .cpus = 1, .fails = 3},
	{.name = "shards", .lazy_max = 64 * MODEL_PAGE, .guards = 6, .cpus = 4, .pins = true, .shards = 3, .fails = 16},
};

#define CONFIGS (sizeof(configs) / sizeof(configs[0]))

/* What runs now, for when it fails. */
static struct {
	const char *name;
	uint64_t seed;
	unsigned step;
} now;

static uint64_t seed_given;

static void run(void **state)
{
	const struct model_config *config = *state;
	struct model *model = malloc(sizeof(*model));
	unsigned mood = 3;

	assert_non_null(model);
	now.name = config->name;
	now.seed = seed_given ? seed_given : 1 + (uint64_t)(config - configs);
	model_begin(model, config, now.seed);
	for (now.step = 0; now.step < STEPS; now.step++) {
		if (now.step % 512 == 0)
			mood = config->pins ? 1 + (unsigned)model_random(model, 5) : 2 + (unsigned)model_random(model, 4);
		if (now.step % 4096 == 0)
			model_purge(model);
		model_call(model, mood);
		model_check(model);
	}
	/* The run has been where it wanted to be. */
	assert_true(model->refused > STEPS / 200);
	assert_true(model->maps > STEPS / 10);
	assert_true(model->parts > STEPS / 200);
	assert_true(model->moved > STEPS / 1000);
	assert_true(!config->fails || model->failed > STEPS / (6 * config->fails));
	assert_true(!config->large || model->leaves > STEPS / 1000);
	assert_true(!config->pins || softmmu_publishes(model->mmu) > STEPS / 200);
	assert_true(!config->worker || model->wakes > STEPS / 1000);
	printf("%s: seed %llu, %d steps: %llu areas, %u parts, %llu calls refused, %llu with a hook that failed, %llu wakes, %zu "
	       "maps by entries\n",
	       config->name, (unsigned long long)now.seed, STEPS, (unsigned long long)model->maps, model->parts,
	       (unsigned long long)model->refused, (unsigned long long)model->failed, (unsigned long long)model->wakes,
	       softmmu_publishes(model->mmu));
	model_end(model);
	free(model);
	now.name = NULL;
}

static int say_where(void **state)
{
	(void)state;
	if (now.name)
		fprintf(stderr, "failed in step %u of \"%s\" with seed %llu\n", now.step, now.name, (unsigned long long)now.seed);
	now.name = NULL;
	return 0;
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[CONFIGS];
	size_t n = 0;

	for (size_t i = 0; i < CONFIGS; i++)
		if (argc < 2 || !strcmp(argv[1], configs[i].name))
			tests[n++] = (struct CMUnitTest){.name = configs[i].name,
							 .test_func = run,
							 .teardown_func = say_where,
							 .initial_state = (void *)(uintptr_t)&configs[i]};
	if (!n) {
		fprintf(stderr, "there is no configuration \"%s\"\n", argv[1]);
		return 2;
	}
	seed_given = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	return _cmocka_run_group_tests("random", tests, n, NULL, NULL);
}
