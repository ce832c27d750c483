// SPDX-License-Identifier: MIT
/*
 * Theory: what the conformance suite finds under the names of cmocka, libc and pthreads. A failed assertion leaves the running test by the
 * context that shim_run() saved, and the next test begins; what the failed one held is lost.
 */
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "../kernel.h"
#include "shim.h"

static struct {
	struct context context;
	unsigned count;
	int failed;
} run;

static _Noreturn void leave_test(void)
{
	context_restore(&run.context);
}

void shim_check(bool as_it_should, const char *what, const char *file, int line)
{
	if (as_it_should)
		return;
	print("# %s:%d: should be: %s\n", file, line, what);
	leave_test();
}

void shim_check_equal(bool equal, unsigned long long a, unsigned long long b, const char *what, const char *file, int line)
{
	if (equal)
		return;
	print("# %s:%d: should be: %s; 0x%llx, 0x%llx\n", file, line, what, a, b);
	leave_test();
}

bool shim_same_string(const char *a, const char *b)
{
	while (a && b && *a && *a == *b) {
		a++;
		b++;
	}
	return a && b && *a == *b;
}

void shim_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	print("# %s:%d: ", file, line);
	va_start(args, format);
	vprint(format, args);
	va_end(args);
	print("\n");
	leave_test();
}

static int run_one(const struct CMUnitTest *test)
{
	void *state = test->initial_state;

	run.count++;
	if (context_save(&run.context)) {
		print("not ok %u - %s\n", run.count, test->name);
		run.failed++;
		return 1;
	}
	test->test_func(&state);
	print("ok %u - %s\n", run.count, test->name);
	return 0;
}

int shim_run(const struct CMUnitTest *tests)
{
	int failed = 0;

	for (; tests->name; tests++)
		failed += run_one(tests);
	return failed;
}

int _cmocka_run_group_tests(const char *group_name, const struct CMUnitTest *tests, size_t n, CMFixtureFunction group_setup,
			    CMFixtureFunction group_teardown)
{
	int failed = 0;

	(void)group_setup;
	(void)group_teardown;
	print("# %s\n", group_name);
	for (size_t i = 0; i < n; i++)
		failed += run_one(&tests[i]);
	return failed;
}

void shim_plan(void)
{
	print("# %u of %u failed\n1..%u\n", (unsigned)run.failed, run.count, run.count);
}

/* libc */

void *malloc(size_t size)
{
	return heap_alloc(size);
}

void *calloc(size_t n, size_t size)
{
	void *mem = heap_alloc(n * size);

	return mem ? memset(mem, 0, n * size) : NULL;
}

void free(void *mem)
{
	heap_free(mem);
}

static void swap(unsigned char *a, unsigned char *b, size_t size)
{
	unsigned char byte;

	for (size_t i = 0; i < size; i++) {
		byte = a[i];
		a[i] = b[i];
		b[i] = byte;
	}
}

static void sift(unsigned char *base, size_t from, size_t n, size_t size, int (*compare)(const void *a, const void *b))
{
	size_t child;

	for (; (child = 2 * from + 1) < n; from = child) {
		if (child + 1 < n && compare(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (compare(base + from * size, base + child * size) >= 0)
			return;
		swap(base + from * size, base + child * size, size);
	}
}

void qsort(void *base, size_t n, size_t size, int (*compare)(const void *a, const void *b))
{
	for (size_t i = n / 2; i-- > 0;)
		sift(base, i, n, size, compare);
	while (n-- > 1) {
		swap(base, (unsigned char *)base + n * size, size);
		sift(base, 0, n, size, compare);
	}
}

/* Threads */

int pthread_create(pthread_t *thread, const void *attributes, void *(*function)(void *arg), void *arg)
{
	(void)attributes;
	for (unsigned i = 1; i < CPUS; i++) {
		if (__atomic_exchange_n(&cpus[i].taken, 1, __ATOMIC_ACQUIRE))
			continue;
		cpus[i].id = i;
		cpus[i].run = function;
		cpus[i].arg = arg;
		cpus[i].done = 0;
		cpus[i].flush = 0;
		__atomic_store_n(&cpus[i].active, 1, __ATOMIC_SEQ_CST);
		arch_cpu_start(&cpus[i]);
		*thread = &cpus[i];
		return 0;
	}
	return VMAP_EAGAIN;
}

int pthread_join(pthread_t thread, void **result)
{
	(void)result;
	while (!__atomic_load_n(&thread->done, __ATOMIC_ACQUIRE))
		cpu_relax();
	__atomic_store_n(&thread->taken, 0, __ATOMIC_RELEASE);
	return 0;
}
