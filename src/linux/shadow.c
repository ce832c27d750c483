/* SPDX-License-Identifier: MIT */
/*
 * What tools for finding bugs are told
 *
 * Theory: AddressSanitizer keeps a byte of shadow for eight of memory and lets us mark it; Valgrind takes requests. The pool marks what is free,
 * so that the use of a freed page is found although its memory is mapped all the time. Retired views and guards would fault anyway;
 * marked, they are reported as what they are. ASan's functions are weak symbols: a library that was built without it serves a program
 * that was built with it. Valgrind sees every mmap() itself and is only told of the pool.
 *
 * A reservation is far too large to be marked as a whole: it is done by granules, before the first view in one.
 *
 * Cost: without a tool a look at two pointers and, where Valgrind's headers were there, a few instructions that do nothing.
 */
#include <sys/mman.h>
#include <vmap/error.h>
#include "reserve.h"
#include "shadow.h"

#ifdef VMAP_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_NOACCESS(addr, size) ((void)0)
#define VALGRIND_MAKE_MEM_DEFINED(addr, size) ((void)0)
#endif

#define GRANULE_SHIFT 21

extern void __asan_poison_memory_region(const volatile void *addr, size_t size) __attribute__((weak));
extern void __asan_unpoison_memory_region(const volatile void *addr, size_t size) __attribute__((weak));

void vmap_shadow_hide(const void *addr, size_t size)
{
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(addr, size);
	VALGRIND_MAKE_MEM_NOACCESS(addr, size);
}

/* As defined: other mappings of the same memory may have written to it. */
void vmap_shadow_show(const void *addr, size_t size)
{
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(addr, size);
	VALGRIND_MAKE_MEM_DEFINED(addr, size);
}

/* Valgrind looks for pointers in all that may be touched. ASan does not, and could not hide so much. */
void vmap_shadow_reserve(const void *addr, size_t size)
{
	(void)addr;
	(void)size;
	VALGRIND_MAKE_MEM_NOACCESS(addr, size);
}

static size_t shadow_granules(const struct vmap_shadow *shadow)
{
	return (shadow->size >> GRANULE_SHIFT) + 1;
}

/* The bytes of a granule: the last one is shorter. */
static size_t shadow_granule_size(const struct vmap_shadow *shadow, size_t granule)
{
	size_t left = shadow->size - (granule << GRANULE_SHIFT);

	return left < (size_t)1 << GRANULE_SHIFT ? left : (size_t)1 << GRANULE_SHIFT;
}

int vmap_shadow_create(struct vmap_shadow *shadow, uintptr_t base, size_t size, size_t guard)
{
	*shadow = (struct vmap_shadow){.base = base, .size = size, .guard = guard};
	pthread_mutex_init(&shadow->lock, NULL);
	if (!__asan_poison_memory_region)
		return 0;
	shadow->hidden = vmap_reserve(&shadow->reserved, shadow_granules(shadow), 1, PROT_READ | PROT_WRITE);
	if (shadow->hidden)
		return 0;
	vmap_unreserve(&shadow->reserved);
	return -VMAP_ENOMEM;
}

/* Whoever maps something here later expects to be allowed to use it. */
void vmap_shadow_destroy(struct vmap_shadow *shadow)
{
	if (shadow->hidden) {
		for (size_t i = 0; i < shadow_granules(shadow); i++) {
			if (shadow->hidden[i])
				vmap_shadow_show((void *)(shadow->base + (i << GRANULE_SHIFT)), shadow_granule_size(shadow, i));
		}
	}
	vmap_unreserve(&shadow->reserved);
	pthread_mutex_destroy(&shadow->lock);
}

void vmap_shadow_view(struct vmap_shadow *shadow, uintptr_t addr, size_t size)
{
	if (!shadow->hidden)
		return;
	pthread_mutex_lock(&shadow->lock);
	for (size_t i = (addr - shadow->base) >> GRANULE_SHIFT;
	     i <= (addr - shadow->base + size + shadow->guard) >> GRANULE_SHIFT; i++) {
		if (i < shadow_granules(shadow) && !shadow->hidden[i]) {
			vmap_shadow_hide((void *)(shadow->base + (i << GRANULE_SHIFT)), shadow_granule_size(shadow, i));
			shadow->hidden[i] = 1;
		}
	}
	pthread_mutex_unlock(&shadow->lock);
	vmap_shadow_show((void *)addr, size);
}

void vmap_shadow_retire(struct vmap_shadow *shadow, uintptr_t addr, size_t size)
{
	if (shadow->hidden)
		vmap_shadow_hide((void *)addr, size);
}
