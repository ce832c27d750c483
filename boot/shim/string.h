/* SPDX-License-Identifier: MIT */
#ifndef SHIM_STRING_H
#define SHIM_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *mem, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
