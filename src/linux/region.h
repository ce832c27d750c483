/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_REGION_H
#define VMAP_LINUX_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmap/page.h>

/* How many open files of one memory it takes so that no two views that touch use the same one: see mmap.c. */
#define VMAP_COLOURS 3

struct vmap_huge;

/* One memory that pages can lie in: an open file, and where this process has it mapped as a whole. */
struct vmap_region {
	uint8_t *memory;
	size_t size; /* bytes mapped at memory */
	uint64_t offset; /* of memory's first byte in the file */
	int prot; /* PROT_... of that mapping */
	int fd; /* the owner's */
	bool writable; /* fd is open for writing too */
	int fds[VMAP_COLOURS]; /* opened again for reading and writing; -1: could not be */
	int readonly[VMAP_COLOURS]; /* and for reading only: what is mapped through these can never become writable */
	const struct vmap_huge *huge; /* the pool's; NULL: nobody knows what its pages are */
	uint64_t holds; /* pieces of it that views show, where its pages are not counted one by one; atomic */
};

/*
 * Open fd again, as often as it takes; fd and writable are filled in. Where it cannot be opened (there is no /proc) some are -1; -VMAP_ENOMEM:
 * the system or the process has no descriptors left, none is open then. Close those files, not fd.
 */
int vmap_region_open(struct vmap_region *region);
void vmap_region_close(struct vmap_region *region);

/* The file to map through. Without /proc there is only one: the guarantees of colour and of reading only are lost then. */
int vmap_region_fd(const struct vmap_region *region, size_t colour, bool write);

/* Whether, as far as is known, it is of 2 MiB pages. */
bool vmap_region_is_huge(const struct vmap_region *region);

/* A run: what lies together in one memory and will lie together in a view. */
struct vmap_run {
	const struct vmap_region *region;
	uint64_t offset; /* in the file */
	size_t size;
};

/* Pages in the order of a view, taken run by run. To begin: done = 0. */
struct vmap_runs {
	struct vmap_region *const *regions; /* by number */
	struct vmap_page *const *pages;
	size_t n;
	size_t done; /* pages taken */
	unsigned page_shift;
};

/* The next run. False: there is none. */
bool vmap_runs_next(struct vmap_runs *runs, struct vmap_run *run);

#endif
