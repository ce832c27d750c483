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

#endif
