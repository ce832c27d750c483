/* SPDX-License-Identifier: MIT */
/* Theory: the kernel aligns to its own page; for more than that, take as much more and give back both ends. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include "reserve.h"

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
