/* SPDX-License-Identifier: MIT */
#ifndef VMAP_RAM_H
#define VMAP_RAM_H

#include <vmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Short-lived maps
 *
 * vmap_ram() is vmap_pages() for maps that are small and soon ended: it takes addresses out of blocks that were reserved before,
 * so that no descriptor is made and no tree changed. What was unmapped and flushed is used again inside its block, whatever
 * else lives there; when addresses run out, blocks give back all but what lies between their live maps. Each CPU maps out of a
 * block of its own where the host has the cpu hook.
 */

/* Maps of more base pages than this are made as vmap_pages() makes them. */
#define VMAP_RAM_PAGES 64

/*
 * Map pages[0..n-1] as vmap_pages() does, with prot and flags as in struct vmap_options: VMAP_BORROW, VMAP_PUT_PAGES, VMAP_NO_GUARD,
 * VMAP_NOWAIT. May sleep, unless VMAP_NOWAIT.
 *
 * Errors as vmap_pages(); -VMAP_EINVAL also for other flags.
 */
VMAP_API int vmap_ram(struct vmap_space *space, struct vmap_page *const *pages, size_t n, unsigned flags, unsigned prot,
		      void **addr);

/*
 * End a map at exactly the address that vmap_ram() gave; flush, references and addresses as after vmap_unmap(). Errors as there.
 * vmap_ram_unmap_nowait() may be called where vmap_unmap_nowait() may. Neither vmap_unmap() nor vmap_free() ends such a map
 * (-VMAP_EINVAL, -VMAP_ENOENT).
 */
VMAP_API int vmap_ram_unmap(struct vmap_space *space, const void *addr);
VMAP_API int vmap_ram_unmap_nowait(struct vmap_space *space, const void *addr);

#ifdef __cplusplus
}
#endif
#endif
