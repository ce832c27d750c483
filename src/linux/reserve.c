/* SPDX-License-Identifier: MIT */
/*
 * Theory: the kernel aligns to its own page; for more than that, take as much more and give back both ends. Names help whoever reads
 * /proc/PID/maps. The space of views has none: the kernel merges only mappings of the same name, and each unmap would cost a call more.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "reserve.h"

#ifndef PR_SET_VMA /* Linux 5.17, CONFIG_ANON_VMA_NAME */
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

void *vmap_reserve(size_t size, size_t align, int prot)
{
	size_t slack = align > (size_t)sysconf(_SC_PAGESIZE) ? align : 0, front;
	uint8_t *mem;

	if (size > SIZE_MAX - slack)
		return NULL;
	mem = mmap(NULL, size + slack, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	if (!slack)
		return mem;
	front = -(uintptr_t)mem & (align - 1);
	if (front)
		munmap(mem, front);
	munmap(mem + front + size, slack - front);
	return mem + front;
}

void *vmap_reserve_named(size_t size, const char *name)
{
	void *mem = vmap_reserve(size, 1, PROT_READ | PROT_WRITE);

	if (mem)
		prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, mem, size, name);
	return mem;
}
