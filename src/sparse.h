/* SPDX-License-Identifier: MIT */
#ifndef VMAP_SPARSE_PRIVATE_H
#define VMAP_SPARSE_PRIVATE_H

#include <vmap/sparse.h>
#include "tile.h"

/*
 * Making a sparse area in steps, so that several can be made together: what its tiles will share (-VMAP_ENOMEM), and what cannot fail any more
 * once vmap_area_reserve() has given it addresses.
 */
int vmap_sparse_make(struct vmap_space *space, struct vmap_sparse **sparse, bool nowait);
void vmap_sparse_unmake(struct vmap_space *space, struct vmap_sparse *sparse);
void vmap_sparse_begin(struct vmap_space *space, struct vmap_area *hole, struct vmap_sparse *sparse);

/*
 * And ending it in steps: shut everybody out of the area that begins at addr (errors as vmap_sparse_free()); let them in again; or unmap and
 * queue what is mapped in it, and purge nothing. That gives whether the area wants to be flushed at once. Then it may be gone.
 */
int vmap_sparse_shut(struct vmap_space *space, uintptr_t addr, const void *caller);
void vmap_sparse_reopen(struct vmap_space *space, uintptr_t addr);
bool vmap_sparse_finish(struct vmap_space *space, uintptr_t addr, bool nowait);

#endif
