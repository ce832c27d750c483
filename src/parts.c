// SPDX-License-Identifier: MIT
/*
 * Theory: a call that concerns several parts of a sparse area first claims all of them, and changes nothing before it has them. So it can be
 * refused as a whole, and nobody else comes between. The area cannot end meanwhile (changing).
 *
 * Locks: the space's, for batches of VMAP_PURGE_BATCH tiles.
 */
#include "parts.h"
#include "purge.h"

static void append(struct vmap_parts *parts, struct vmap_area *part)
{
	part->busy = true;
	vmap_extents_append(&parts->first, &parts->last, &part->extent);
}

/* Claim a batch of the parts from *cursor on. 0: that was all; -VMAP_EAGAIN: there are more; -VMAP_EBUSY. */
static int claim_batch(struct vmap_space *space, struct vmap_parts *parts, uintptr_t *cursor)
{
	unsigned long saved = vmap_space_lock(space);
	int err = -VMAP_EAGAIN;
	struct vmap_area *tile;

	for (unsigned n = 0; n < VMAP_PURGE_BATCH && err == -VMAP_EAGAIN; n++) {
		tile = vmap_areas_at(&space->areas, *cursor);
		*cursor = tile->extent.addr + tile->extent.size;
		if (tile->state == VMAP_STATE_MAPPED && (tile->busy || tile->replacing))
			err = -VMAP_EBUSY;
		else if (tile->state == VMAP_STATE_MAPPED)
			append(parts, tile);
		if (err == -VMAP_EAGAIN && *cursor >= parts->end)
			err = 0;
	}
	vmap_space_unlock_keep(space, saved);
	return err;
}

int vmap_parts_claim(struct vmap_space *space, struct vmap_parts *parts)
{
	uintptr_t cursor = parts->start;
	int err;

	do
		err = claim_batch(space, parts, &cursor);
	while (err == -VMAP_EAGAIN);
	return err;
}

void vmap_parts_release(struct vmap_space *space, struct vmap_parts *parts)
{
	unsigned long saved;

	while (parts->first) {
		saved = vmap_space_lock(space);
		for (unsigned n = 0; n < VMAP_PURGE_BATCH && parts->first; n++) {
			vmap_area_of(parts->first)->busy = false;
			parts->first = parts->first->next;
		}
		vmap_space_unlock_keep(space, saved);
	}
	saved = vmap_space_lock(space);
	parts->sparse->changing--;
	vmap_space_unlock(space, saved);
}

/* Under the lock. */
static int enter(struct vmap_space *space, uintptr_t addr, size_t size, struct vmap_parts *parts)
{
	struct vmap_area *tile = vmap_areas_at(&space->areas, addr);
	struct vmap_sparse *sparse = tile ? tile->sparse : NULL;

	if (!sparse || sparse->ending)
		return -VMAP_ENOENT;
	if (addr - sparse->extent.addr >= sparse->size || size > sparse->size - (addr - sparse->extent.addr))
		return -VMAP_EFAULT;
	sparse->changing++;
	parts->sparse = sparse;
	parts->start = addr;
	parts->end = addr + size;
	return 0;
}

int vmap_parts_enter(struct vmap_space *space, uintptr_t addr, size_t size, struct vmap_parts *parts)
{
	unsigned long saved = vmap_space_lock(space);
	int err = enter(space, addr, size, parts);

	vmap_space_unlock_keep(space, saved);
	return err;
}
