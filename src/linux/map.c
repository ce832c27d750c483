/* SPDX-License-Identifier: MIT */
/*
 * Views
 *
 * Theory: the space is one reservation of PROT_NONE memory. A view replaces a part of it, with one mmap(MAP_FIXED) of the pool's
 * memfd for each run of pages that are neighbours; taking the view away puts PROT_NONE back over all of it, in one call. The
 * kernel merges that with the reservation around it, so an unmap leaves no more mappings than there were before the map, and
 * no other thread's mmap() ever finds a hole to settle in. Replacing a mapping shoots down every CPU's TLB before it returns:
 * there are no stale translations, and nothing to do in flush.
 *
 * The limit: a process may have vm.max_map_count mappings. At the limit a map fails (-VMAP_EOVERFLOW), but an unmap must not, and
 * it should give mappings back; yet the kernel refuses even a mmap() that only replaces while the count is above the limit.
 * So two mappings are kept as ballast, a readable page in front of the space: taking its protection away lets the kernel merge
 * it with what is around it, and there is room. Should another thread be faster to use that room, mprotect(PROT_NONE) still ends
 * the view: it needs no new mapping as long as nothing must be split. The pages then stay in the range, out of reach, until the
 * next map replaces them.
 *
 * Colours: something would have to be split where the kernel has merged two views: they touch (VMAP_NO_GUARD) and their pages
 * are neighbours in the pool. The kernel never merges mappings of different open files, so the memfd is opened three times and a
 * view uses one that neither of the views it touches uses. Only a view's first and last page need to remember its colour.
 *
 * Locks: a leaf mutex for edges and ballast; other system calls are made without it, as the core gives out disjoint ranges.
 * Cost: a system call for each run, one for an unmap; one byte of address space a page for the edges.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "process.h"

/* Page tables to fill at once: what the first fault would fill in any case. Of longer runs nobody knows yet what will be touched. */
#define POPULATE_MAX ((size_t)64 << 10)

/* Pages in front of the space: never accessible, ballast, never accessible. */
#define LEAD 3

#define COLOURS (sizeof((struct vmap_views *)0)->fds / sizeof(int))

static void *views_reserve(size_t size, int prot)
{
	void *mem = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/* The second of the LEAD pages in front of the space. Dropped, it makes room for two mappings. */
static void views_ballast(struct vmap_views *views, bool keep)
{
	mprotect(views->reservation + views->lead / LEAD, views->lead / LEAD, keep ? PROT_READ : PROT_NONE);
}

int vmap_views_create(struct vmap_views *views, const struct vmap_pool *pool, size_t size)
{
	char path[32];

	*views = (struct vmap_views){
		.lead = (size_t)LEAD << pool->page_shift, .size = size, .fds = {pool->fd, pool->fd, pool->fd}};
	if (size > SIZE_MAX - views->lead)
		return -VMAP_ENOMEM;
	views->reservation = views_reserve(views->lead + size, PROT_NONE);
	if (!views->reservation)
		return -VMAP_ENOMEM;
	views->base = (uintptr_t)views->reservation + views->lead;
	views->edges = views_reserve(size >> pool->page_shift, PROT_READ | PROT_WRITE);
	if (!views->edges) {
		munmap(views->reservation, views->lead + views->size);
		return -VMAP_ENOMEM;
	}

	/* Without /proc there is one colour: all that is lost is an unmap between two touching neighbours at the limit. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pool->fd);
	for (size_t i = 1; i < COLOURS; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		if (fd >= 0)
			views->fds[i] = fd;
	}
	pthread_mutex_init(&views->lock, NULL);
	views_ballast(views, true);
	return 0;
}

void vmap_views_destroy(struct vmap_views *views, const struct vmap_pool *pool)
{
	pthread_mutex_destroy(&views->lock);
	for (size_t i = 1; i < COLOURS; i++) {
		if (views->fds[i] != pool->fd)
			close(views->fds[i]);
	}
	munmap(views->edges, views->size >> pool->page_shift);
	munmap(views->reservation, views->lead + views->size);
}

/* Choose, and note, a colour for a view of pages first to last of the space. */
static size_t views_colour(struct vmap_views *views, size_t first, size_t last, size_t end)
{
	uint8_t left, right, colour = 1;

	pthread_mutex_lock(&views->lock);
	left = first ? views->edges[first - 1] : 0;
	right = last + 1 < end ? views->edges[last + 1] : 0;
	while (colour == left || colour == right)
		colour++;
	views->edges[first] = views->edges[last] = colour;
	pthread_mutex_unlock(&views->lock);
	return colour - 1u;
}

static void views_uncolour(struct vmap_views *views, size_t first, size_t last)
{
	pthread_mutex_lock(&views->lock);
	views->edges[first] = views->edges[last] = 0;
	pthread_mutex_unlock(&views->lock);
}

static bool views_replace(uintptr_t addr, size_t size)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

	return mmap((void *)addr, size, PROT_NONE, flags, -1, 0) != MAP_FAILED;
}

/* Put the reservation back over [addr, addr + size), whatever the limit of mappings says. */
static void views_clear(struct vmap_views *views, uintptr_t addr, size_t size)
{
	bool done;

	if (views_replace(addr, size))
		return;
	pthread_mutex_lock(&views->lock);
	views_ballast(views, false);
	done = views_replace(addr, size);
	views_ballast(views, true);
	pthread_mutex_unlock(&views->lock);
	if (!done)
		mprotect((void *)addr, size, PROT_NONE);
}

void vmap_linux_unmap(void *ctx, uintptr_t addr, size_t size)
{
	struct vmap_process *process = ctx;
	struct vmap_views *views = &process->views;
	size_t first = (addr - views->base) >> process->pool.page_shift;

	views_clear(views, addr, size);
	views_uncolour(views, first, first + (size >> process->pool.page_shift) - 1);
}

/* How many of pages[0..n-1], from the first on, are neighbours in the pool; *frames: their base pages. */
static size_t linux_run(struct vmap_page *const *pages, size_t n, uint64_t *frames)
{
	size_t i = 0;

	*frames = 0;
	do
		*frames += (uint64_t)1 << pages[i++]->order;
	while (i < n && pages[i]->frame == pages[0]->frame + *frames);
	return i;
}

static int linux_prot(unsigned prot)
{
	return PROT_READ | (prot & VMAP_WRITE ? PROT_WRITE : 0) | (prot & VMAP_EXEC ? PROT_EXEC : 0);
}

/* One run as one mapping. */
static int linux_map_run(struct vmap_process *process, int fd, uintptr_t addr, size_t size, uint64_t frame, int prot)
{
	struct vmap_views *views = &process->views;
	int flags = MAP_SHARED | MAP_FIXED | (size <= POPULATE_MAX ? MAP_POPULATE : 0);

	__atomic_add_fetch(&views->mmaps, 1, __ATOMIC_RELAXED);
	if (mmap((void *)addr, size, prot, flags, fd, (off_t)(frame << process->pool.page_shift)) == MAP_FAILED)
		return errno == ENOMEM ? -VMAP_EOVERFLOW : -VMAP_EIO;
	__atomic_add_fetch(&views->runs, 1, __ATOMIC_RELAXED);
	return 0;
}

int vmap_linux_map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	struct vmap_process *process = ctx;
	struct vmap_views *views = &process->views;
	const unsigned shift = process->pool.page_shift;
	size_t size = 0, first = (addr - views->base) >> shift;
	uintptr_t at = addr;
	uint64_t frames;
	int err = 0, fd;

	for (size_t i = 0; i < n; i++)
		size += (size_t)1 << (pages[i]->order + shift);
	fd = views->fds[views_colour(views, first, first + (size >> shift) - 1, views->size >> shift)];

	for (size_t i = 0; i < n && !err; at += (size_t)(frames << shift)) {
		uint64_t frame = pages[i]->frame;

		i += linux_run(pages + i, n - i, &frames);
		err = linux_map_run(process, fd, at, (size_t)(frames << shift), frame, linux_prot(prot));
	}
	/* All of it: a mmap() that fails may have taken the reservation away before. */
	if (err)
		vmap_linux_unmap(process, addr, size);
	return err;
}

void vmap_linux_flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	(void)ctx;
	(void)ranges;
	(void)n;
}
