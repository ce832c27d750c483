/* SPDX-License-Identifier: MIT */
#ifndef VMAP_SPARSE_PRIVATE_H
#define VMAP_SPARSE_PRIVATE_H

#include <vmap/sparse.h>
#include "tile.h"

/*
 * Making a sparse area in steps, so that several can be made together: what its tiles will share (-VMAP_ENOMEM), the model of the one hole for
 * vmap_area_reserve(), and what cannot fail any more once that has addresses.
 */
int vmap_sparse_make(struct vmap_space *space, struct vmap_sparse **sparse, bool nowait);
void vmap_sparse_unmake(struct vmap_space *space, struct vmap_sparse *sparse);
struct vmap_area vmap_sparse_model(struct vmap_sparse *sparse, size_t size, const struct vmap_options *options);
void vmap_sparse_begin(struct vmap_space *space, struct vmap_area *hole);

/*
 * And ending it in steps: shut everybody out of the area that begins at addr (errors as vmap_sparse_free()); let them in again; or unmap and
 * queue what is mapped in it, and purge nothing. That gives whether the area wants to be flushed at once. Then it may be gone.
 */
int vmap_sparse_shut(struct vmap_space *space, uintptr_t addr, const void *caller);
void vmap_sparse_reopen(struct vmap_space *space, uintptr_t addr);
bool vmap_sparse_finish(struct vmap_space *space, uintptr_t addr, bool nowait);

#endif
