/* SPDX-License-Identifier: MIT */
/*
 * Accesses that may fault
 *
 * Theory: a handler for SIGSEGV and SIGBUS jumps back to where the access of this thread began; a fault outside of one is a bug of
 * the test and ends it as it would have without us.
 */
#include "support.h"

#include <signal.h>

static _Thread_local sigjmp_buf fault_return;
static _Thread_local volatile sig_atomic_t fault_expected;

static void on_fault(int sig)
{
	if (fault_expected)
		siglongjmp(fault_return, sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Every time: cmocka puts its own handlers in front of each test. */
static void faults_arm(void)
{
	struct sigaction action = {.sa_handler = on_fault};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	fault_expected = 1;
}

/* ASan would report what the library has hidden from it before the access is made: that is tested by watched.c. */
__attribute__((no_sanitize_address)) bool try_read(const volatile void *addr, uint8_t *value)
{
	faults_arm();
	if (sigsetjmp(fault_return, 1)) {
		fault_expected = 0;
		return false;
	}
	*value = *(const volatile uint8_t *)addr;
	fault_expected = 0;
	return true;
}

__attribute__((no_sanitize_address)) bool try_write(volatile void *addr, uint8_t value)
{
	faults_arm();
	if (sigsetjmp(fault_return, 1)) {
		fault_expected = 0;
		return false;
	}
	*(volatile uint8_t *)addr = value;
	fault_expected = 0;
	return true;
}

size_t count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	size_t lines = 0;
	int c;

	assert_non_null(maps);
	while ((c = getc(maps)) != EOF)
		lines += c == '\n';
	fclose(maps);
	return lines;
}
