/* SPDX-License-Identifier: MIT */
/*
 * 2 MiB pages
 *
 * Theory: there are two kinds. Those reserved by the administrator (hugetlbfs) are certain and make 2 MiB the base page of everything:
 * pool, views, guards. Transparent ones are made from small pages; as whether a memfd gets them is decided by a system-wide switch, each
 * fresh step of the pool is collapsed explicitly, which obeys none but "deny". Where the kernel refuses it the pool has small pages, and
 * says why: nothing that was promised depends on it. Looking for 2 MiB that lie together can take the kernel a while; after each refusal
 * the pool grows by twice as much before it asks again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "pool.h"

#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

/* Steps of the pool to grow by before asking again, at most: 2 GiB. */
#define SKIP_SHIFT_MAX 10

/* Pages that are reserved, free, and promised to nobody. */
static unsigned long huge_reserved(void)
{
	int fd = open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", O_RDONLY | O_CLOEXEC);
	char buffer[32] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? strtoul(buffer, NULL, 10) : 0;
}

int vmap_huge_choose(unsigned wish, struct vmap_huge *huge, unsigned *page_shift)
{
	*page_shift = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	*huge = (struct vmap_huge){.kind = VMAP_HUGE_NO, .why = "no: not asked for"};
	if (wish > VMAP_HUGE_TRY)
		return -VMAP_EINVAL;
	if (wish == VMAP_HUGE_NO)
		return 0;
	if (wish != VMAP_HUGE_TRANSPARENT && huge_reserved()) {
		*huge = (struct vmap_huge){.kind = VMAP_HUGE_RESERVED, .why = "yes: reserved", .got = true};
		*page_shift = VMAP_HUGE_SHIFT;
		return 0;
	}
	if (wish == VMAP_HUGE_RESERVED)
		return -VMAP_ENOMEM;
	*huge = (struct vmap_huge){.kind = VMAP_HUGE_TRANSPARENT, .why = "no: the pool is empty yet"};
	return 0;
}

void vmap_huge_advise(const struct vmap_huge *huge, void *memory, size_t size)
{
	if (huge->kind == VMAP_HUGE_TRANSPARENT)
		madvise(memory, size, MADV_HUGEPAGE);
}

void vmap_huge_collapse(struct vmap_huge *huge, void *memory, size_t size)
{
	if (huge->kind != VMAP_HUGE_TRANSPARENT || size < (size_t)1 << VMAP_HUGE_SHIFT)
		return;
	if (huge->skip) {
		huge->skip--;
		return;
	}
	__atomic_store_n(&huge->got, !madvise(memory, size, MADV_COLLAPSE), __ATOMIC_RELAXED);
	if (huge->got) {
		huge->why = "yes: transparent";
		huge->refused = 0;
		return;
	}
	if (errno == EINVAL)
		huge->why = "no: the kernel does not collapse pages of a memfd (Linux 6.1, and not \"deny\" in shmem_enabled)";
	else
		huge->why = "no: no 2 MiB of memory lie together any more";
	if (huge->refused < SKIP_SHIFT_MAX)
		huge->refused++;
	huge->skip = (1u << huge->refused) - 1;
}
