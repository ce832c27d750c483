/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_RESERVE_H
#define VMAP_LINUX_RESERVE_H

#include <stddef.h>

/* Address space that costs no memory before it is touched; align: a power of two, at least a page of the system. NULL: none. */
void *vmap_reserve(size_t size, size_t align, int prot);

#endif
