/* SPDX-License-Identifier: MIT */
#ifndef TEST_LINUX_SUPPORT_H
#define TEST_LINUX_SUPPORT_H

/* What the tests of the Linux-process host share: cmocka in the order it wants, and accesses that may fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <vmap/linux.h>

/* Read or write the byte at addr. False: it faulted (SIGSEGV, SIGBUS) and nothing was done. Any thread. */
bool try_read(const volatile void *addr, uint8_t *value);
bool try_write(volatile void *addr, uint8_t value);

/* Mappings this process has now (lines of /proc/self/maps). */
size_t count_mappings(void);

#endif
