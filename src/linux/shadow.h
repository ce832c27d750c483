/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_SHADOW_H
#define VMAP_LINUX_SHADOW_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include "reserve.h"

/* Tell AddressSanitizer and Valgrind, where one of them watches, that nobody may touch these bytes, or that everybody may. */
void vmap_shadow_hide(const void *addr, size_t size);
void vmap_shadow_show(const void *addr, size_t size);

/* Memory that is mapped, but is not there before it is hidden or shown for the first time. Of any size. */
void vmap_shadow_reserve(const void *addr, size_t size);

/* A reservation of address space in which all but live views is hidden. */
struct vmap_shadow {
	uintptr_t base;
	size_t size, guard; /* guard: the least bytes between two views */
	struct vmap_reserved *reserved; /* hidden */
	uint8_t *hidden; /* by granule: whether it has been hidden once; NULL: nobody watches */
	pthread_mutex_t lock; /* of hidden; a leaf */
};

/* 0 or -VMAP_ENOMEM. */
int vmap_shadow_create(struct vmap_shadow *shadow, uintptr_t base, size_t size, size_t guard);
void vmap_shadow_destroy(struct vmap_shadow *shadow);

/* A view begins to live in [addr, addr + size), or ends. */
void vmap_shadow_view(struct vmap_shadow *shadow, uintptr_t addr, size_t size);
void vmap_shadow_retire(struct vmap_shadow *shadow, uintptr_t addr, size_t size);

#endif
