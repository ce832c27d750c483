/* SPDX-License-Identifier: MIT */
#ifndef VMAP_VIEW_H
#define VMAP_VIEW_H

#include <sys/uio.h>
#include <vmap/linux.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Views in a Linux process
 *
 * What vmap_pages() does, and more of it: chunks named by address instead of pages, memory that the caller has already, and no
 * system call at all where what was asked for lies in one piece. A view is described by a structure of the caller's, which vmap_view_end()
 * needs back unchanged. All functions are thread-safe; a view may be ended by another thread than made it.
 */

/* How a view came about: struct vmap_view, how. */
#define VMAP_VIEW_DIRECT 0x1u /* nothing was mapped: the region's own mapping shows it already */
#define VMAP_VIEW_COPIED 0x2u /* nothing was mapped: a copy, private to this view */
#define VMAP_VIEW_BORROWED 0x4u /* made with VMAP_BORROW */

struct vmap_view {
	void *addr; /* the first byte; NULL: there is no view */
	size_t size; /* bytes that can be used */
	size_t mappings; /* of the process's budget, when it was made */
	size_t copied; /* bytes; 0 unless VMAP_VIEW_COPIED */
	unsigned how; /* VMAP_VIEW_... */
	void *held; /* the library's */
};

/*
 * A view of pages[0..n-1], as vmap_pages() makes it. Where they are one run, and VMAP_NO_GUARD, the protection (the region's own)
 * and the place asked for allow it, the region's own mapping is the answer: no system call, no mapping, VMAP_VIEW_DIRECT. References
 * are the same either way. Errors as vmap_pages(); view->addr is NULL then.
 */
VMAP_API int vmap_view(struct vmap_process *process, struct vmap_page *const *pages, size_t n, const struct vmap_options *options,
		       struct vmap_view *view);

/*
 * A view of pages[0..n-1] twice in a row: what goes past the first end goes on at the beginning, so that a ring buffer in it never
 * wraps. view->size counts both. Errors as vmap_pages(); -VMAP_EINVAL also for VMAP_PUT_PAGES: there is one reference, and two places.
 */
VMAP_API int vmap_mirror(struct vmap_process *process, struct vmap_page *const *pages, size_t n,
			 const struct vmap_options *options, struct vmap_view *view);

/* vmap_iov() may copy where it cannot map: chunks that are not aligned or in no region, a budget or address space used up. */
#define VMAP_IOV_COPY 0x1u

/*
 * A view of n chunks by address, in the pool or in adopted regions, in order. Chunks begin and end at base pages; only the first may
 * begin, and only the last may end, within one. The memory cannot go away before the view ends: the pages of the pool that the chunks
 * lie in get a reference each, adopted regions cannot be removed. With VMAP_IOV_COPY, what cannot be mapped is copied as it is now;
 * writing to the copy does not reach the chunks. A copy has no guard and obeys no options.
 *
 * On failure view->addr is NULL. -VMAP_EINVAL: no bytes, a chunk not aligned, bad options or VMAP_BORROW or VMAP_PUT_PAGES among them.
 * -VMAP_ENOENT: a chunk that is in no region, or where the pool has no page in use. -VMAP_EACCES: writing was asked for, and a chunk's region
 * may only be read. -VMAP_ERANGE: sizes that wrap. Others as vmap_pages().
 */
VMAP_API int vmap_iov(struct vmap_process *process, const struct iovec *iov, size_t n, const struct vmap_options *options,
		      unsigned flags, struct vmap_view *view);

/* End a view and give back what it held. *view is empty afterwards. Errors as vmap_unmap(); -VMAP_EINVAL: an empty view. */
VMAP_API int vmap_view_end(struct vmap_process *process, struct vmap_view *view);

/* Memory that the caller has already. */
struct vmap_region_config {
	int fd; /* of a memfd, a file in a tmpfs or in hugetlbfs; or any other file that can be mapped, which is only read then */
	uint64_t offset; /* of the first byte in it */
	void *addr; /* where the caller has it mapped, shared; good until the region is removed */
	size_t size; /* bytes; all of them within the file */
	unsigned prot; /* VMAP_READ, or VMAP_READ | VMAP_WRITE: what the caller's mapping allows */
};

/*
 * Let vmap_iov() find chunks in [addr, addr + size). The descriptor is opened again and may be closed; that the mapping at addr is one
 * of that file is the caller's promise. Views can be written to only where the descriptor is open for reading and writing, is not sealed
 * against it, and is memory rather than a file on a disk. A file that somebody makes shorter means SIGBUS for whoever reads what
 * is gone.
 *
 * -VMAP_EINVAL: empty, not aligned, longer than the file, a bad descriptor. -VMAP_EEXIST: overlaps a region. -VMAP_ENOSPC: there are 63
 * adopted regions. -VMAP_ENOMEM: no memory, or no descriptors (seven).
 */
VMAP_API int vmap_region_adopt(struct vmap_process *process, const struct vmap_region_config *config);

/* Forget the region at addr. -VMAP_ENOENT: none begins there. -VMAP_EBUSY: views show some of it. */
VMAP_API int vmap_region_remove(struct vmap_process *process, const void *addr);

#ifdef __cplusplus
}
#endif
#endif
