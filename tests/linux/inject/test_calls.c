/* SPDX-License-Identifier: MIT */
/*
 * Every operation, with each system call and each allocation that it makes failing: once; that function from there on for good; and it
 * together with whatever would take back what was begun. When the operation has failed, everything is as it was before; then, with
 * nothing failing, the same call succeeds. What cannot fail does not. Addresses that the kernel refuses to take back are known, and go later.
 *
 * With the argument `names`: no tests, but the functions that these operations are about, for injected.sh.
 */
#include "world.h"

static const struct operation *const subjects[] = {memory_operations, view_operations,  area_operations,
						   part_operations,   cache_operations, look_operations};
#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

static bool has_nodes(void)
{
	return !access("/sys/devices/system/node/node0", F_OK);
}

static void test_default(void **state)
{
	(void)state;
	world_run((struct vmap_process_config){0}, subjects, SUBJECTS);
}

/* With every call that is made only if asked for. */
static void test_configured(void **state)
{
	struct vmap_process_config config = {
		.fork = VMAP_FORK_DONT, .huge = VMAP_HUGE_TRY, .quarantine = MIB, .guards = VMAP_GUARDS_MARKED};

	(void)state;
	if (has_nodes()) {
		config.numa = VMAP_NUMA_PREFER;
		config.numa_nodes = 1;
	}
	world_run(config, subjects, SUBJECTS);
}

static void test_everything_was_wrapped(void **state)
{
	(void)state;
	for (size_t i = 0; i < INJECT_END; i++) {
		if (i == INJECT_SYSCALL && !has_nodes())
			continue;
		if (!inject_seen((enum inject_name)i))
			fail_msg("nothing called %s: is it called so?", inject_text((enum inject_name)i));
	}
}

static int print_names(void)
{
	for (size_t i = 0; i < SUBJECTS; i++) {
		for (const struct operation *operation = subjects[i]; operation->name; operation++)
			printf("%.*s\n", (int)strcspn(operation->name, ","), operation->name);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_configured),
		cmocka_unit_test(test_everything_was_wrapped),
	};

	if (argc > 1 && !strcmp(argv[1], "names"))
		return print_names();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
