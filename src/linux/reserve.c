/* SPDX-License-Identifier: MIT */
/*
 * Address space of our own
 *
 * Theory: the kernel aligns to its own page; for more than that, take as much more, and leave it unused. Names help whoever reads
 * /proc/PID/maps. The space of views has none: the kernel merges only mappings of the same name, and each unmap would cost a call more.
 *
 * Giving back must work when the process has all the mappings that the kernel allows. munmap() of what the kernel has merged with others
 * on both sides would leave a mapping more, and is refused then; where a mapping ends within the range it is not. So memory that can
 * be touched has a page in front that cannot, and whoever reserves addresses only maps something there.
 *
 * munmap() may also want memory, of which there is none. What it has refused stays known, in a list that needs no memory then: its
 * elements were made with the reservations. Each later call asks again. That list is common to all objects of the process, as those it is
 * about have ended; it is taken as a whole and put back one by one, without a lock, as a fork() may be at any time. A child does not ask:
 * what its parent could not unmap need not be mapped in the child.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "reserve.h"

#ifndef PR_SET_VMA /* Linux 5.17, CONFIG_ANON_VMA_NAME */
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

struct vmap_reserved {
	struct vmap_reserved *next;
	void *begin;
	size_t size;
	pid_t owner; /* of what was refused: who had asked */
};

static struct vmap_reserved *refused; /* atomic */
static size_t refused_bytes; /* atomic */

static size_t reserved_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static void reserved_refuse(struct vmap_reserved *range)
{
	__atomic_add_fetch(&refused_bytes, range->size, __ATOMIC_RELAXED);
	range->next = __atomic_load_n(&refused, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&refused, &range->next, range, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

/* What is refused gives its memory back at least. */
static void reserved_end(struct vmap_reserved *range)
{
	if (!munmap(range->begin, range->size)) {
		free(range);
		return;
	}
	madvise(range->begin, range->size, MADV_DONTNEED);
	range->owner = getpid();
	reserved_refuse(range);
}

static void reserved_ask_again(void)
{
	struct vmap_reserved *list = NULL, *range;

	if (__atomic_load_n(&refused, __ATOMIC_RELAXED))
		list = __atomic_exchange_n(&refused, NULL, __ATOMIC_ACQUIRE);
	while ((range = list)) {
		list = range->next;
		__atomic_sub_fetch(&refused_bytes, range->size, __ATOMIC_RELAXED);
		if (range->owner == getpid())
			reserved_end(range);
		else
			free(range);
	}
}

static uint8_t *reserved_add(struct vmap_reserved **list, size_t bytes, int prot, int flags, int fd)
{
	const size_t page = reserved_page(), size = (bytes + page - 1) & ~(page - 1);
	struct vmap_reserved *range = malloc(sizeof(*range));
	void *mem;

	reserved_ask_again();
	if (!range)
		return NULL;
	mem = mmap(NULL, size, prot, flags, fd, 0);
	if (mem == MAP_FAILED) {
		free(range);
		return NULL;
	}
	*range = (struct vmap_reserved){.next = *list, .begin = mem, .size = size};
	*list = range;
	return mem;
}

void *vmap_reserve(struct vmap_reserved **list, size_t size, size_t align, int prot)
{
	const size_t page = reserved_page(), front = prot == PROT_NONE ? 0 : page;
	const size_t slack = front + (align > page ? align : 0);
	uint8_t *mem = NULL;

	if (size <= SIZE_MAX - slack)
		mem = reserved_add(list, size + slack, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (!mem)
		return NULL;
	if (front && mprotect(mem, front, PROT_NONE))
		return NULL;
	mem += front;
	return mem + (-(uintptr_t)mem & (align - 1));
}

void *vmap_reserve_named(struct vmap_reserved **list, size_t size, const char *name)
{
	void *mem = vmap_reserve(list, size, 1, PROT_READ | PROT_WRITE);

	if (mem)
		prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, mem, size, name);
	return mem;
}

void *vmap_reserve_file(struct vmap_reserved **list, size_t size, int fd)
{
	return reserved_add(list, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
}

void vmap_unreserve(struct vmap_reserved **list)
{
	struct vmap_reserved *range;

	while ((range = *list)) {
		*list = range->next;
		reserved_end(range);
	}
	reserved_ask_again();
}

size_t vmap_unreserved(void)
{
	return __atomic_load_n(&refused_bytes, __ATOMIC_RELAXED);
}
