/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_H
#define VMAP_LINUX_H

#include <vmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The Linux-process host
 *
 * Pages live in a pool: one memfd, mapped once as a whole. A view is a second mapping of some of those pages, in an order
 * of the caller's choice, in a reservation of address space that belongs to the space. Neighbours in the pool become one
 * mmap(); the pool hands pages out in address order so that there are neighbours. Unmapped ranges are PROT_NONE and fault,
 * and so do guards, on both sides of a view: behind it lies its own, before it that of the view before it, or nothing; only a view that
 * was made with VMAP_NO_GUARD can end where the next one begins. All functions are thread-safe; memory grows on demand, up to the configured limits.
 *
 * Every run is a mapping of the process, and vm.max_map_count limits those for everything in the process. So views have a budget
 * of mappings: a share of that limit, less what the process had when the object was made. vmap_pages() and vmap_alloc() return
 * -VMAP_EOVERFLOW where it ends, before the kernel would refuse anything to anybody. Unmapping always works, at either limit.
 *
 * A view that may only be read (VMAP_READ without VMAP_WRITE) is mapped through a descriptor that was opened for reading only: the
 * kernel refuses to make it writable later, to whoever asks: vmap_protect() returns -VMAP_EACCES. Protecting a part of a view can
 * take two mappings more, which the budget does not know of; at the kernel's limit it returns -VMAP_EOVERFLOW.
 *
 * After a fork() the child has what config.fork says.
 *
 * VMAP_FORK_INHERIT: pool and views. The memory is one, shared by both processes, and good for the child as long as the parent keeps it;
 * descriptors and references are the child's own copies. The child may read and write, look (statistics, listings, vmap_explain()) and
 * end what it has: vmap_unmap(), vmap_free(), vmap_view_end(), vmap_page_put(), vmap_process_destroy(), vmap_cache_destroy(), of
 * which the parent notices nothing. It cannot make views, change them or take pages, which the parent would hand out a second time:
 * -VMAP_EPERM; and vmap_process_trim() gives nothing back. For more it makes an object of its own and adopts the parent's memory
 * (vmap_process_descriptor(), vmap_region_adopt()).
 *
 * VMAP_FORK_DONT: neither pool nor views are mapped in the child. An access faults, as long as the child has mapped nothing else in their
 * place, and the child calls none of these functions: what they could spoil they refuse (-VMAP_EPERM). Each view costs a system
 * call more. What another thread is just mapping at the moment of the fork() may be seen by the child.
 *
 * Where other threads may be inside of these functions the child can call them only if the fork() was made between
 * vmap_fork_begin() and vmap_fork_end(); views that those threads were just making or ending remain as they were, and the child cannot
 * destroy the object then. libvmap does not install this itself.
 */
struct vmap_process;

/* Pages of 2 MiB: struct vmap_process_config, huge. */
#define VMAP_HUGE_TRANSPARENT 0 /* made by the kernel as the pool grows, where it can: growing takes longer, views far less */
/* For what is over soon, or has little memory. Views of neighbours cost little less than of scattered pages then. */
#define VMAP_HUGE_NO 1
/* Those that the administrator reserved, or -VMAP_ENOMEM; they are the base page of everything then. */
#define VMAP_HUGE_RESERVED 2
#define VMAP_HUGE_TRY 3 /* reserved ones if there are any, else transparent ones */

/* Where memory comes from: struct vmap_process_config, numa. */
#define VMAP_NUMA_DEFAULT 0 /* the node of the thread that takes it */
#define VMAP_NUMA_PREFER 1 /* these nodes, others when they are full */
#define VMAP_NUMA_BIND 2 /* these nodes only */
#define VMAP_NUMA_INTERLEAVE 3 /* these nodes in turn */

/* What a child process has of it: struct vmap_process_config, fork. */
#define VMAP_FORK_INHERIT 0 /* pool and views, as shared memory */
#define VMAP_FORK_DONT 1 /* nothing */

/* What guards are made of: struct vmap_process_config, guards. Accesses fault in both. */
#define VMAP_GUARDS_UNMAPPED 0 /* addresses where nothing is mapped, which costs each view a mapping more */
#define VMAP_GUARDS_MARKED                                                                                                       \
	1 /* marks in the page table (Linux 6.15), which cost a system call instead; of up to 16 base pages, where the kernel does it */

/* The order for vmap_page_alloc() that stands for page_bytes. */
#define VMAP_ORDER_DEFAULT (~0u)

struct vmap_process_config {
	/*
	 * Bytes that the pool may grow to; 0: a quarter of the address space limit, at most 64 GiB, and less (down to 1 GiB) where there is
	 * not so much address space. Beyond it there are no pages: -VMAP_ENOMEM.
	 */
	size_t pool_max;
	size_t space_size; /* bytes of address space for views; 0: as many */
	size_t lazy_max; /* see struct vmap_space_config */
	size_t mappings_max; /* mappings that views may take; 0: vm.max_map_count, less what the process has, less headroom */
	size_t headroom; /* mappings kept for the rest of the process; 0: a third of vm.max_map_count */
	size_t page_bytes; /* what VMAP_ORDER_DEFAULT stands for, a power of two; 0: 64 KiB, or the base page if that is larger */
	unsigned huge; /* VMAP_HUGE_... */
	unsigned numa; /* VMAP_NUMA_... */
	uint64_t numa_nodes; /* bit n: node n */
	unsigned fork; /* VMAP_FORK_... */
	unsigned guards; /* VMAP_GUARDS_... */
	size_t quarantine; /* see struct vmap_space_config; if more than 0, the time of each unmap is noted as well: <vmap/fault.h> */
	const char *name; /* shown in /proc/self/maps, at most 249 bytes; NULL: "vmap" */
};

/* What this process's pool and views cost; all O(1). */
struct vmap_process_stats {
	size_t pool_pages; /* base pages in use */
	size_t pool_bytes; /* bytes that it owns: what the memfd has grown to */
	size_t pool_peak; /* the most bytes of pages that were in use at once */
	uint64_t mmaps; /* mmap() calls made to map views, ever; failed ones count */
	uint64_t runs; /* runs of neighbouring base pages that those mapped, ever */
	size_t mappings; /* mappings that live views have taken from the budget: the most that they can cost */
	size_t mappings_max; /* the budget */
	size_t mappings_left; /* of it */
	size_t views; /* that are live: areas, and maps of vmap_ram(); those without a mapping do not count */
	size_t fragments; /* runs of neighbours that they show; at most, where something was replaced */
	size_t aliased; /* bytes that they show */
	uint64_t refused; /* views for which the budget had too little left, ever */
	size_t page_size; /* of a base page */
	bool guards_marked; /* asked for, and the kernel has not refused yet */
	size_t unreturned; /* of all objects that have ended: bytes of addresses that the kernel refused to take back; see vmap_process_destroy() */
	const char *huge; /* whether the pool has 2 MiB pages, and why: "yes: ..." or "no: ..." */
};

/*
 * Make a pool, a reservation and a space over them. config may be NULL (all 0).
 *
 * -VMAP_EINVAL: sizes that are no multiple of the base page, a name that is too long, an unknown wish for huge, numa, fork or guards, or nodes that the
 * system does not have. -VMAP_ENOMEM: the system gave no memory, memfd, descriptors (seven; vmapstat sees only objects that got an eighth),
 * address space or reserved pages.
 */
VMAP_API int vmap_process_create(const struct vmap_process_config *config, struct vmap_process **process);

/*
 * End the space, the pool and the reservation. -VMAP_EBUSY: areas are live or pages still referenced; nothing was changed. -VMAP_EPERM: a
 * child of VMAP_FORK_DONT.
 *
 * It needs no mapping that the process does not have, and no memory. Should the kernel want some for itself, and refuse to take addresses
 * back, they stay out of use, their private memory is given back, and it is asked again whenever an object is made or ends.
 */
VMAP_API int vmap_process_destroy(struct vmap_process *process);

/*
 * Around a fork() of a process in which other threads use the object: no thread holds its locks then, so that the child may call what a
 * child may. begin takes them, end gives them back, in the parent and in the child; nothing of the object may be called between.
 * pthread_atfork() can call both for forks that others make. A cache has a lock of its own: see <vmap/cache.h>.
 */
VMAP_API void vmap_fork_begin(struct vmap_process *process);
VMAP_API void vmap_fork_end(struct vmap_process *process);

/*
 * How many mappings the view at addr, which must be what vmap_pages() or vmap_alloc() gave, costs by itself: its runs, and one for what it
 * leaves free behind it, if it does. The budget knows of views that lie side by side, which take less together. O(log areas).
 *
 * -VMAP_ENOENT: no live view begins there.
 */
VMAP_API int vmap_view_mappings(struct vmap_process *process, const void *addr, size_t *mappings);

/* The space whose areas are this process's views. Lives as long as the process object. */
VMAP_API struct vmap_space *vmap_process_space(struct vmap_process *process);

/* See struct vmap_process_stats. */
VMAP_API void vmap_process_stats(struct vmap_process *process, struct vmap_process_stats *stats);

/*
 * A new descriptor of the pool's memory, for another process (over a UNIX socket, SCM_RIGHTS). With prot VMAP_READ it can only be read
 * there (which guards against mistakes, not malice: who has it may open the file behind it anew through /proc); with
 * VMAP_READ | VMAP_WRITE also written. It is the caller's to close, close-on-exec, and cannot be made shorter. Where a page lies in it
 * vmap_page_offset() says. The other process maps it and hands it to vmap_region_adopt(); that this process keeps the pages allocated as
 * long as the other uses them is for both to agree on.
 *
 * Negative: -VMAP_EINVAL: another prot. -VMAP_EIO: none could be had (/proc is not mounted, too many are open).
 */
VMAP_API int vmap_process_descriptor(struct vmap_process *process, unsigned prot);

/* Where this page begins in the pool's memory. */
VMAP_API uint64_t vmap_page_offset(struct vmap_process *process, const struct vmap_page *page);

/*
 * Allocate n pages of one order, one reference each, all or nothing; neighbours in the pool where there is room. The contents
 * are undefined: zeros, or what this process last kept there.
 * -VMAP_EINVAL: n = 0 or an order above VMAP_MAX_ORDER (but VMAP_ORDER_DEFAULT). -VMAP_ENOMEM: the pool is at its limit, or the system out of memory.
 */
VMAP_API int vmap_page_alloc(struct vmap_process *process, unsigned order, size_t n, struct vmap_page **pages);

/*
 * Give memory that no page uses back to the system, in pieces of 1 MiB (2 MiB of huge pages), until at most keep bytes of it are left
 * or no piece is free as a whole. What a view shows is never free.
 */
VMAP_API void vmap_process_trim(struct vmap_process *process, size_t keep);

/* Take, or give back, one reference on each page. The page's memory is free again with the last one. */
VMAP_API void vmap_page_get(struct vmap_process *process, struct vmap_page *const *pages, size_t n);
VMAP_API void vmap_page_put(struct vmap_process *process, struct vmap_page *const *pages, size_t n);

/* Where the pool's own mapping shows this page; good while the caller holds a reference. O(1), no system call. */
VMAP_API void *vmap_page_address(struct vmap_process *process, const struct vmap_page *page);

#ifdef __cplusplus
}
#endif
#endif
