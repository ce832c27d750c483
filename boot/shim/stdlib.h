/* SPDX-License-Identifier: MIT */
#ifndef SHIM_STDLIB_H
#define SHIM_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void free(void *mem);
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *a, const void *b));

#endif
