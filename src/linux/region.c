/* SPDX-License-Identifier: MIT */
/*
 * Memories, and runs in them
 *
 * Theory: a page's frame counts in a region. The pool is region 0; others are the caller's own memory. To the mechanism that
 * maps views they are all the same: open files, and a place in them. A file is opened several times, because the kernel
 * merges neighbouring mappings only if they are of one open file, and because a mapping of one that was opened for reading only can
 * never be made writable, not by mprotect() either.
 *
 * Pages that continue each other, in one region, are one run, whatever their orders.
 *
 * Cost: six descriptors a region; a look at each page for the runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <vmap/error.h>
#include "pool.h"
#include "region.h"

/* What another open file would promise must not depend on how many others are open just now. False: that was the reason. */
static bool region_reopen(const char *path, int flags, int *fd)
{
	*fd = open(path, flags | O_CLOEXEC);
	return *fd >= 0 || (errno != EMFILE && errno != ENFILE && errno != ENOMEM);
}

int vmap_region_open(struct vmap_region *region)
{
	bool enough = true;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", region->fd);
	for (size_t i = 0; i < VMAP_COLOURS; i++)
		region->fds[i] = region->readonly[i] = -1;
	for (size_t i = 0; i < VMAP_COLOURS && enough; i++) {
		enough = (!region->writable || region_reopen(path, O_RDWR, &region->fds[i])) &&
			 region_reopen(path, O_RDONLY, &region->readonly[i]);
	}
	if (!enough)
		vmap_region_close(region);
	return enough ? 0 : -VMAP_ENOMEM;
}

void vmap_region_close(struct vmap_region *region)
{
	for (size_t i = 0; i < VMAP_COLOURS; i++) {
		if (region->fds[i] >= 0)
			close(region->fds[i]);
		if (region->readonly[i] >= 0)
			close(region->readonly[i]);
	}
}

int vmap_region_fd(const struct vmap_region *region, size_t colour, bool write)
{
	int fd = write ? region->fds[colour] : region->readonly[colour];

	return fd >= 0 ? fd : region->fd;
}

bool vmap_region_is_huge(const struct vmap_region *region)
{
	return region->huge && __atomic_load_n(&region->huge->got, __ATOMIC_RELAXED);
}

bool vmap_runs_next(struct vmap_runs *runs, struct vmap_run *run)
{
	const struct vmap_page *page;
	uint64_t first, end;
	uint16_t number;

	if (runs->done == runs->n)
		return false;
	page = runs->pages[runs->done];
	number = page->region;
	first = end = page->frame;
	do {
		end += (uint64_t)1 << page->order;
		if (++runs->done == runs->n)
			break;
		page = runs->pages[runs->done];
	} while (page->frame == end && page->region == number);
	run->region = runs->regions[number];
	run->offset = run->region->offset + (first << runs->page_shift);
	run->size = (size_t)((end - first) << runs->page_shift);
	return true;
}
