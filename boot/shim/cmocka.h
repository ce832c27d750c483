/* SPDX-License-Identifier: MIT */
#ifndef SHIM_CMOCKA_H
#define SHIM_CMOCKA_H

/* As much of cmocka's interface as the conformance suite uses, so that it is compiled from the same source. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
	const char *name;
	CMUnitTestFunction test_func;
	CMFixtureFunction setup_func;
	CMFixtureFunction teardown_func;
	void *initial_state;
};

#define cmocka_unit_test(f)                                                                                                      \
	{                                                                                                                        \
		.name = #f, .test_func = f                                                                                       \
	}

int _cmocka_run_group_tests(const char *group_name, const struct CMUnitTest *tests, size_t n, CMFixtureFunction group_setup,
			    CMFixtureFunction group_teardown);

/* The running test has failed, if not as it should be; on CPU 0 only. */
void shim_check(bool as_it_should, const char *what, const char *file, int line);
void shim_check_equal(bool equal, unsigned long long a, unsigned long long b, const char *what, const char *file, int line);
bool shim_same_string(const char *a, const char *b);
void shim_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define shim_number(a) ((unsigned long long)(uintptr_t)(a))
#define assert_true(c) shim_check((c) != 0, #c, __FILE__, __LINE__)
#define assert_false(c) shim_check((c) == 0, "not " #c, __FILE__, __LINE__)
#define assert_non_null(c) shim_check((c) != NULL, #c " is not NULL", __FILE__, __LINE__)
#define assert_null(c) shim_check((c) == NULL, #c " is NULL", __FILE__, __LINE__)
#define assert_int_equal(a, b)                                                                                                   \
	do {                                                                                                                     \
		unsigned long long shim_a = (unsigned long long)(a), shim_b = (unsigned long long)(b);                           \
		shim_check_equal(shim_a == shim_b, shim_a, shim_b, #a " == " #b, __FILE__, __LINE__);                            \
	} while (0)
#define assert_int_not_equal(a, b)                                                                                               \
	do {                                                                                                                     \
		unsigned long long shim_a = (unsigned long long)(a), shim_b = (unsigned long long)(b);                           \
		shim_check_equal(shim_a != shim_b, shim_a, shim_b, #a " != " #b, __FILE__, __LINE__);                            \
	} while (0)
#define assert_ptr_equal(a, b) assert_int_equal((uintptr_t)(a), (uintptr_t)(b))
#define assert_ptr_not_equal(a, b) assert_int_not_equal((uintptr_t)(a), (uintptr_t)(b))
#define assert_string_equal(a, b) shim_check(shim_same_string(a, b), #a " and " #b " are the same", __FILE__, __LINE__)
#define assert_memory_equal(a, b, n) shim_check(!__builtin_memcmp(a, b, n), #a " and " #b " hold the same", __FILE__, __LINE__)
#define fail_msg(...) shim_fail(__FILE__, __LINE__, __VA_ARGS__)

#endif
