/* SPDX-License-Identifier: MIT */
#ifndef VMAP_MAP_H
#define VMAP_MAP_H

#include <vmap/space.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Mapping
 *
 * vmap_pages() is the one code path: an array of pages, wherever they lie, becomes one virtually contiguous range.
 * vmap_alloc() allocates the pages first and hands them over (VMAP_PUT_PAGES); vmap_unmap() and vmap_free() give back
 * exactly what the mapping took.
 */

/* Flags of struct vmap_options. */
#define VMAP_BORROW 0x01u /* take no references: the caller keeps the pages alive until the flush that follows the unmap */
#define VMAP_PUT_PAGES 0x02u /* take over the caller's references instead of taking new ones; ownership moves only on success */
#define VMAP_NO_GUARD 0x04u /* no guard after the area: another may begin right behind it */
#define VMAP_SYNC 0x08u /* unmap of this area flushes at once, whatever the space's lazy_max */
#define VMAP_NOWAIT 0x10u /* this call neither sleeps nor flushes: see "Without waiting" below */

/*
 * Without waiting
 *
 * A call with VMAP_NOWAIT calls no hook that sleeps, never flushes and never purges, so that it may be made wherever the host's
 * lock may be taken (in an interrupt, if that lock keeps interrupts away). Where only a purge could help it returns -VMAP_EAGAIN:
 * the caller tries again later, or from a thread that may purge. If the map hook fails, the addresses wait for the next flush,
 * as after an unmap, and with them the references that the call took; the caller's own references stay the caller's, but
 * with VMAP_BORROW the pages must be kept until that flush.
 *
 * vmap_unmap_nowait() and vmap_free_nowait() are the other half: they take the translations away and queue the area, whatever
 * lazy_max and VMAP_SYNC say. Someone else's vmap_purge(), or any unmap over the budget, does the rest.
 */

/* All members may be 0; a NULL pointer to the options means the same as all 0. */
struct vmap_options {
	unsigned flags; /* VMAP_BORROW, ... */
	/* VMAP_READ | VMAP_WRITE | VMAP_EXEC, 0 stands for VMAP_READ | VMAP_WRITE; with a memory type and VMAP_LARGE, if wanted */
	unsigned prot;
	size_t align; /* the address is phase modulo align: a power of two of at least a base page; 0: the base page */
	size_t phase; /* less than align, a multiple of the base page */
	uintptr_t min; /* the area with its guard lies at or above min */
	uintptr_t max; /* and its last byte at or below max; 0: no limit */
	size_t guard; /* bytes of guard, a multiple of the base page; 0: one base page, or none with VMAP_NO_GUARD */
	const char *tag; /* who made this area, for listings; not copied, must stay valid as long as the area */
};

/*
 * Map pages[0..n-1], in order, as one contiguous range, and give its address in *addr. The size is the sum of the pages'
 * sizes. The array is copied; a page may stand in it more than once. Takes one reference on each entry (see VMAP_BORROW and
 * VMAP_PUT_PAGES). May sleep; callable from several threads.
 *
 * On failure *addr is NULL, no reference was taken or given, and nothing is left mapped or reserved.
 *
 * -VMAP_EINVAL: n = 0, a NULL page, an order above VMAP_MAX_ORDER, BORROW with PUT_PAGES, unknown flags or protection, align or
 *               phase or guard that break their rules.
 * -VMAP_ERANGE: the sizes add up to more than an address can hold.
 * -VMAP_ENOSPC: no free range fits, even after everything that was unmapped has been flushed.
 * -VMAP_ENOMEM: no descriptor memory, or the host's map hook said so. Other errors of the map hook are passed on.
 * -VMAP_EAGAIN: with VMAP_NOWAIT, a purge could have helped.
 */
VMAP_API int vmap_pages(struct vmap_space *space, struct vmap_page *const *pages, size_t n, const struct vmap_options *options,
			void **addr);

/*
 * End the mapping at addr, which must be exactly what vmap_pages() gave. Its translations go now; flush, page references and
 * addresses follow when the space's lazy budget is reached, or at once (lazy_max 0, VMAP_SYNC). The caller must not touch the
 * range any more. May sleep.
 *
 * -VMAP_ENOENT: no area begins at addr (foreign, inside an area, or freed long ago). -VMAP_EALREADY: unmapped already and not
 * yet flushed. -VMAP_EINVAL: an area made by vmap_alloc(). -VMAP_EBUSY: another thread is just changing the area.
 */
VMAP_API int vmap_unmap(struct vmap_space *space, const void *addr);

/* The same for a function that wraps it: vmap_explain() shall say that caller (an address in code) has unmapped the area. */
VMAP_API int vmap_unmap_by(struct vmap_space *space, const void *addr, const void *caller);

/* The same from any context that may take the host's lock: only queues. Neither sleeps nor flushes. */
VMAP_API int vmap_unmap_nowait(struct vmap_space *space, const void *addr);

/*
 * Map frames that have no struct vmap_page (registers, memory of firmware): frames[0..n-1], in order, a base page each, as one
 * contiguous range, with the memory type that options->prot names. There is nothing to reference: whoever knows the frames keeps
 * them in place until the flush that follows the unmap. The array is not needed after the call. Ended by vmap_unmap(). May
 * sleep. PUT_PAGES may not be given; BORROW is understood.
 *
 * Errors as vmap_pages(); -VMAP_EINVAL also for a host without map_pfn, or without the memory type.
 */
VMAP_API int vmap_pfn(struct vmap_space *space, const uint64_t *frames, size_t n, const struct vmap_options *options,
		      void **addr);

/*
 * Change the protection of [addr, addr + size), all or a part of one live area, base page aligned, to prot: VMAP_READ,
 * VMAP_WRITE, VMAP_EXEC or several; the memory type stays. Flushed on return: no CPU uses the old protection any more. The
 * listing shows what the area was last given as a whole. Of a sparse area the range may reach over several parts that touch. May sleep.
 *
 * -VMAP_EINVAL: nothing or anything else in prot, size 0, unaligned, or a host without protect. -VMAP_ENOENT: no live area.
 * -VMAP_EFAULT: more than the area's mapped bytes. -VMAP_EBUSY: another thread is just changing the area, or one of the parts. With these
 * nothing was changed. Errors of the protect hook are passed on (-VMAP_ENOMEM: a large leaf could not be split); then each page has its
 * old or its new protection.
 */
VMAP_API int vmap_protect(struct vmap_space *space, const void *addr, size_t size, unsigned prot);

/*
 * Show page in the place of entry index of the array that the live area at addr was made from. It must have the order of the page that it
 * replaces; the area keeps its address, its size and everything else. A reference is taken on the new page and the old one's given back
 * where the area holds references. It is shown with the protection that the area was last given as a whole. The caller keeps the area mapped
 * meanwhile, and no two calls replace the same entry at once (different ones they may); accesses of other threads see the old page or the new
 * one. May sleep.
 *
 * On failure nothing has changed. -VMAP_ENOENT, -VMAP_EALREADY: as vmap_unmap(). -VMAP_EINVAL: an index beyond the array, another order,
 * a NULL page, or a host without replace. -VMAP_EBUSY: another thread is just changing the area. Other errors of the replace hook are passed on.
 */
VMAP_API int vmap_replace(struct vmap_space *space, const void *addr, size_t index, struct vmap_page *page);

/*
 * Allocate at least size bytes in pages of 1 << order base pages (the last pages may be smaller, so that no more than a base
 * page is wasted) and map them as vmap_pages() does. The contents are undefined. May sleep. BORROW and PUT_PAGES may not
 * be given.
 *
 * Errors as vmap_pages(); -VMAP_EINVAL also for size 0 and for a host without page_alloc; -VMAP_ENOMEM also for no pages, or
 * -VMAP_EAGAIN with VMAP_NOWAIT where a purge could free some.
 */
VMAP_API int vmap_alloc(struct vmap_space *space, size_t size, unsigned order, const struct vmap_options *options, void **addr);

/* End a mapping made by vmap_alloc() and give its pages back after the flush. Errors as vmap_unmap(), -VMAP_EINVAL reversed. */
VMAP_API int vmap_free(struct vmap_space *space, const void *addr);

/*
 * Let the area at addr, made by vmap_alloc(), become size bytes long, rounded up to base pages, where it stands; what stays keeps its
 * contents. Longer: new pages of 1 << order base pages follow, with the area's protection, if the addresses behind its guard
 * are free (where the area's options wanted it is not asked again). Shorter: the pages behind the new end are unmapped, flushed and given back;
 * one that only ends behind it stays as a whole. May sleep.
 *
 * -VMAP_ENOSPC: those addresses are not free, even after everything that was unmapped has been flushed. -VMAP_ENOMEM: no pages, or
 * descriptor memory. -VMAP_ENOENT, -VMAP_EINVAL, -VMAP_EBUSY as vmap_free(); -VMAP_EINVAL also for size 0,
 * and for a host that cannot unmap parts of a mapping. Errors of the cut hook are passed on. Nothing has changed then.
 */
VMAP_API int vmap_realloc(struct vmap_space *space, const void *addr, size_t size, unsigned order);

/*
 * The same, but where the addresses behind the guard are not free now, the area at *addr moves and *addr becomes its new address: the
 * same pages are mapped there, nothing is copied. The old address is unmapped as by vmap_free(), and until its flush holds a reference on
 * each page of its own. options (NULL: none) say where the area may move to, and with which guard (0: the one it has); of flags only
 * NO_GUARD may be given, and no prot: it keeps tag, protection and flags. On failure *addr and the area are what they were.
 *
 * As vmap_realloc(), and -VMAP_EINVAL: other options. -VMAP_ENOSPC: no place to move to, even after everything was flushed; or it would have
 * to move and vmap_protect() has changed a part of it. Errors of the map hook are passed on.
 */
VMAP_API int vmap_realloc_move(struct vmap_space *space, void **addr, size_t size, unsigned order,
			       const struct vmap_options *options);

/* The same from any context, as vmap_unmap_nowait(). */
VMAP_API int vmap_free_nowait(struct vmap_space *space, const void *addr);

#ifdef __cplusplus
}
#endif
#endif
