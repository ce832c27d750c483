// SPDX-License-Identifier: MIT
/*
 * Theory: a live area's protection changes in place.
 *
 * The area is marked busy under the lock, so that it can neither be unmapped nor changed by another thread; then the host changes
 * the translations and the range is flushed, without the lock. The flush is always this call's own and never waits in the queue:
 * who takes a right away relies on it from the return on. A hook that failed may have changed a part, so that is flushed, too.
 */
#include "space.h"

int vmap_protect(struct vmap_space *space, const void *addr, size_t size, unsigned prot)
{
	struct vmap_range range = {.addr = (uintptr_t)addr, .size = size};
	const struct vmap_host *host = space->host;
	struct vmap_area *area;
	unsigned long saved;
	int err;

	if (!host->protect || !prot || prot & ~(VMAP_READ | VMAP_WRITE | VMAP_EXEC))
		return -VMAP_EINVAL;
	if (!size || (range.addr | size) & (((size_t)1 << host->page_shift) - 1))
		return -VMAP_EINVAL;
	err = vmap_space_claim_part(space, range.addr, size, &area);
	if (err)
		return err;
	err = host->protect(host->ctx, range.addr, size, prot | VMAP_READ);
	host->flush(host->ctx, &range, 1);
	saved = vmap_shard_lock(space, area->shard);
	area->shard->stats.flushes++;
	area->uneven = err || size != area->size;
	if (!err && size == area->size)
		area->prot = (area->prot & (VMAP_LARGE | VMAP_MEMORY_MASK)) | prot | VMAP_READ;
	vmap_shard_unlock(space, area->shard, saved);
	vmap_space_unclaim(space, area);
	return err;
}
