/* SPDX-License-Identifier: MIT */
#ifndef VMAP_SPARSE_H
#define VMAP_SPARSE_H

#include <vmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Sparse areas
 *
 * Addresses now, pages later: a sparse area is a hole at first. Parts of it are mapped and unmapped as they are needed, anywhere
 * inside, by any number of threads at a time; what one call maps is one part. Behind the whole stands one guard.
 *
 * A part has its own protection, memory type and references. vmap_page_at(), vmap_read() and vmap_explain() see parts and holes for
 * what they are; vmap_area_at() and the listing show the area as one, with the state of the address that was asked for.
 * vmap_protect() works on whatever is mapped without a hole in between. vmap_replace() works inside of one part, as if it were an area: a part
 * begins where it was mapped, or where unmapping has cut it. vmap_unmap(), vmap_free() and vmap_realloc() refuse a sparse area (-VMAP_EINVAL).
 */

/*
 * Reserve size bytes, rounded up to base pages, where and as options say. options->prot is for parts that do not say what they want. Neither
 * BORROW nor PUT_PAGES may be given; with VMAP_SYNC every unmapping in the area flushes at once. May sleep, unless VMAP_NOWAIT.
 * Ended by vmap_sparse_free().
 *
 * Errors as vmap_pages(); -VMAP_EINVAL also for size 0.
 */
VMAP_API int vmap_sparse(struct vmap_space *space, size_t size, const struct vmap_options *options, void **addr);

/*
 * Map pages[0..n-1], in order, at exactly this address in a sparse area, where there is a hole of their size. prot as in struct
 * vmap_options; 0 stands for what the area's options said. flags: VMAP_BORROW, VMAP_PUT_PAGES, VMAP_NOWAIT, as for vmap_pages(). What
 * was unmapped there and waits for its flush is purged first. May sleep, unless VMAP_NOWAIT.
 *
 * On failure no reference was taken or given, and there is the hole that was there before, as vmap_pages() says of addresses.
 *
 * -VMAP_EINVAL: as vmap_pages(), other flags, or an unaligned address. -VMAP_ERANGE: as vmap_pages(). -VMAP_ENOENT: no live sparse
 * area there. -VMAP_EFAULT: it ends before the last page does. -VMAP_EEXIST: something is mapped there. -VMAP_EBUSY: another thread is
 * mapping or unmapping there just now. -VMAP_ENOMEM: no descriptor memory, or the map hook said so, whose other errors are passed on,
 * too. -VMAP_EAGAIN: with VMAP_NOWAIT, a purge could have helped.
 */
VMAP_API int vmap_sparse_map(struct vmap_space *space, const void *at, struct vmap_page *const *pages, size_t n, unsigned flags,
			     unsigned prot);

/* The same for frames that have no struct vmap_page: vmap_pfn() into a sparse area. Errors as of both; PUT_PAGES may not be given. */
VMAP_API int vmap_sparse_map_pfn(struct vmap_space *space, const void *at, const uint64_t *frames, size_t n, unsigned flags,
				 unsigned prot);

/*
 * Unmap what is mapped in [at, at + size), base page aligned, in one sparse area: parts, pieces of parts, and holes between them. It is a
 * hole from now on; flush and references are as after vmap_unmap(). A part that reaches over an end of the range is cut there, between two of
 * its pages. Where no part is cut this cannot fail for want of memory. May sleep.
 *
 * On failure nothing has changed. -VMAP_EINVAL: unaligned, size 0, an end that lies inside of a page of a higher order, or a part to be
 * cut by a host without parts. -VMAP_ENOENT: no live sparse area there. -VMAP_EFAULT: the range leaves it, or nothing is mapped
 * there. -VMAP_EBUSY: another thread is changing a part of it. Where a part is cut also -VMAP_ENOMEM and errors of the cut hook.
 */
VMAP_API int vmap_sparse_unmap(struct vmap_space *space, const void *at, size_t size);

/* The same from any context, as vmap_unmap_nowait(). -VMAP_EAGAIN: a part would be cut, and the host has to do something for that. */
VMAP_API int vmap_sparse_unmap_nowait(struct vmap_space *space, const void *at, size_t size);

/*
 * End the sparse area at addr, which must be exactly what vmap_sparse() gave, with all parts that are still mapped. Its addresses are free
 * after the flush of the last part; at once if nothing waits. May sleep; the other from any context, as vmap_unmap_nowait().
 *
 * -VMAP_ENOENT, -VMAP_EALREADY, -VMAP_EBUSY as vmap_unmap(). -VMAP_EINVAL: not a sparse area.
 */
VMAP_API int vmap_sparse_free(struct vmap_space *space, const void *addr);
VMAP_API int vmap_sparse_free_nowait(struct vmap_space *space, const void *addr);

/*
 * Congruent sets
 *
 * n sparse areas that lie to each other as offsets say, for memory of which each CPU, or each node, has its own: what is at one
 * place in the first is at the same place in the others, a known distance away.
 *
 * Reserve area i at base + offsets[i], sizes[i] bytes long (rounded up to base pages), for one base that is options->phase modulo
 * options->align; addrs[i] is its address. All or none. The offsets are base page aligned and rise, with no area reaching into the next
 * one, its guard included. What options say of guard, min and max holds for each area. The lowest such base is taken.
 *
 * Each area is one of its own, and may be ended alone; or all of a set with vmap_congruent_free(). May sleep, unless VMAP_NOWAIT.
 *
 * On failure addrs[] is all NULL and nothing is left reserved. Errors as vmap_sparse(); -VMAP_EINVAL also for n = 0, and for offsets that break
 * the rule. -VMAP_EAGAIN: with VMAP_NOWAIT, a purge could have helped.
 */
VMAP_API int vmap_congruent(struct vmap_space *space, const size_t *offsets, const size_t *sizes, size_t n,
			    const struct vmap_options *options, void **addrs);

/*
 * End n sparse areas as vmap_sparse_free() does, but all or none, and with one flush where they are flushed at once. May sleep. Errors as
 * there, of the first one that cannot be ended; nothing has changed then.
 */
VMAP_API int vmap_congruent_free(struct vmap_space *space, void *const *addrs, size_t n);

#ifdef __cplusplus
}
#endif
#endif
