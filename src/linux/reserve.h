/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_RESERVE_H
#define VMAP_LINUX_RESERVE_H

#include <stddef.h>

/* Address space that costs no memory before it is touched; align: a power of two, at least a page of the system. NULL: none. */
void *vmap_reserve(size_t size, size_t align, int prot);

/* The same, to be read and written, by this name in /proc/PID/maps where the kernel can do that. */
void *vmap_reserve_named(size_t size, const char *name);

#endif
