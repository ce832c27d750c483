/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_RESERVE_H
#define VMAP_LINUX_RESERVE_H

#include <stddef.h>

/* A list of address space that belongs to one owner. Empty: NULL. */
struct vmap_reserved;

/*
 * Address space that costs no memory before it is touched, and is one's own until vmap_unreserve(); align: a power of two. NULL:
 * there is none.
 */
void *vmap_reserve(struct vmap_reserved **list, size_t size, size_t align, int prot);

/* The same, to be read and written, by this name in /proc/PID/maps where the kernel can do that. */
void *vmap_reserve_named(struct vmap_reserved **list, size_t size, const char *name);

/* The first bytes of a file, shared, to be read and written. */
void *vmap_reserve_file(struct vmap_reserved **list, size_t size, int fd);

/* Give all of the list back, whatever was mapped there. What the kernel does not take it is asked to take with each later call of these functions. */
void vmap_unreserve(struct vmap_reserved **list);

/* Bytes that the kernel has not taken yet. */
size_t vmap_unreserved(void);

#endif
