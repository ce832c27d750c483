/* SPDX-License-Identifier: MIT */
#ifndef VMAP_PARTS_H
#define VMAP_PARTS_H

#include "tile.h"

/* Parts of one sparse area that one call changes or unmaps, by address; linked by extent.next, and busy. */
struct vmap_parts {
	struct vmap_sparse *sparse;
	uintptr_t start, end; /* what the call was given */
	struct vmap_extent *first, *last;
	bool nowait;
	const void *caller; /* who unmaps them */
	uint64_t now; /* and when */
};

static inline uintptr_t vmap_part_end(const struct vmap_area *part)
{
	return part->extent.addr + part->size;
}

/* All under no lock. */

/* Begin to work on [addr, addr + size), which is not 0 bytes long. -VMAP_ENOENT: no live sparse area; -VMAP_EFAULT: not all in it. */
int vmap_parts_enter(struct vmap_space *space, uintptr_t addr, size_t size, struct vmap_parts *parts);

/* Claim all parts of which there is something in it. -VMAP_EBUSY: somebody changes one; those before it are claimed. */
int vmap_parts_claim(struct vmap_space *space, struct vmap_parts *parts);

/* End the work with those that were claimed, which are still parts, and in the area. */
void vmap_parts_release(struct vmap_space *space, struct vmap_parts *parts);

#endif
