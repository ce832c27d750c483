// SPDX-License-Identifier: MIT
/*
 * Theory: a live area's protection changes in place.
 *
 * The area is marked busy under the lock, so that it can neither be unmapped nor changed by another thread; then the host changes
 * the translations and the range is flushed, without the lock. The flush is always this call's own and never waits in the queue:
 * who takes a right away relies on it from the return on. A hook that failed may have changed a part, so that is flushed, too.
 *
 * Of a sparse area that is one part, as a rule. A range over several is refused before anything is changed if there is a hole in it, or if
 * somebody changes one of them; then the hook is called for each, and there is one flush.
 */
#include "parts.h"
#include "purge.h"

/* Under the area's lock: its protection was, or was not, changed within range. */
static void note(struct vmap_area *area, struct vmap_range range, unsigned prot, bool failed)
{
	bool whole = range.addr <= area->extent.addr && range.addr + range.size >= vmap_part_end(area);

	area->uneven = failed || !whole;
	if (!area->uneven)
		area->prot = (area->prot & (VMAP_LARGE | VMAP_MEMORY_MASK)) | prot | VMAP_READ;
}

/* They were claimed by address: there are no holes between them, nor at the ends. */
static bool is_covered(const struct vmap_parts *parts)
{
	uintptr_t at = parts->start;
	struct vmap_area *part;

	for (struct vmap_extent *extent = parts->first; extent; extent = extent->next) {
		part = vmap_area_of(extent);
		if (part->extent.addr > at)
			return false;
		at = vmap_part_end(part);
	}
	return at >= parts->end;
}

static int change_parts(const struct vmap_host *host, const struct vmap_parts *parts, unsigned prot)
{
	uintptr_t at = parts->start, end;
	int err = 0;

	for (struct vmap_extent *extent = parts->first; extent && !err; extent = extent->next, at = end) {
		end = vmap_part_end(vmap_area_of(extent));
		end = end < parts->end ? end : parts->end;
		err = host->protect(host->ctx, at, end - at, prot | VMAP_READ);
	}
	return err;
}

static void note_parts(struct vmap_space *space, const struct vmap_parts *parts, struct vmap_range range, unsigned prot,
		       bool failed)
{
	struct vmap_extent *extent = parts->first;
	unsigned long saved, entered;
	struct vmap_area *part;

	while (extent) {
		saved = vmap_space_lock(space);
		for (unsigned n = 0; n < VMAP_PURGE_BATCH && extent; n++, extent = extent->next) {
			part = vmap_area_of(extent);
			entered = vmap_shard_enter(space, part->shard);
			note(part, range, prot, failed);
			vmap_shard_leave(space, part->shard, entered);
		}
		vmap_space_unlock_keep(space, saved);
	}
}

/* Not all in one part, or area: refused so, unless it is in a live sparse area. */
static int protect_parts(struct vmap_space *space, struct vmap_range range, unsigned prot, int refused)
{
	struct vmap_parts parts = {.first = NULL};
	int err = vmap_parts_enter(space, range.addr, range.size, &parts);

	if (err)
		return err == -VMAP_ENOENT ? refused : err;
	err = vmap_parts_claim(space, &parts);
	if (!err && !is_covered(&parts))
		err = -VMAP_EFAULT;
	if (!err) {
		err = change_parts(space->host, &parts, prot);
		vmap_space_flush(space, range);
		note_parts(space, &parts, range, prot, err);
	}
	vmap_parts_release(space, &parts);
	return err;
}

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
	if (err == -VMAP_EFAULT || err == -VMAP_ENOENT)
		return protect_parts(space, range, prot, err);
	if (err)
		return err;
	err = host->protect(host->ctx, range.addr, size, prot | VMAP_READ);
	host->flush(host->ctx, &range, 1);
	saved = vmap_shard_lock(space, area->shard);
	area->shard->stats.flushes++;
	note(area, range, prot, err);
	vmap_shard_unlock(space, area->shard, saved);
	vmap_space_unclaim(space, area);
	return err;
}
