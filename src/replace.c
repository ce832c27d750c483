// SPDX-License-Identifier: MIT
/*
 * Theory: another page in the place of one entry of a live area. The area stays where it is and keeps its descriptor; only an entry
 * of its page array changes, and the host shows the new page in the old one's place. The reference on the new page is taken before
 * it can be seen, the old page's is given back after the flush: as if a mapping had begun and another ended.
 *
 * Entries of one area can be replaced at the same time, which the area counts (replacing), so that it is neither resized nor unmapped meanwhile; the
 * caller does not replace the same one twice at once. A hook that failed may have shown the new page for a moment: it is flushed, too.
 */
#include "tile.h"

/* Where entry index of the area lies, in bytes from its beginning. */
static size_t offset_of(const struct vmap_space *space, const struct vmap_page_array *array, size_t index)
{
	size_t start = array->starts ? array->starts[index] : index << array->order;

	return start << space->host->page_shift;
}

/* Under the area's lock: count this thread among those that replace entries. */
static int begin(struct vmap_area *area, uintptr_t addr, size_t index, const struct vmap_page *page)
{
	unsigned state = vmap_area_state(area);

	if (area->extent.addr != addr || !vmap_area_is_seen(area))
		return -VMAP_ENOENT;
	if (state == VMAP_STATE_LAZY || state == VMAP_STATE_QUARANTINED || (area->sparse && area->sparse->ending))
		return -VMAP_EALREADY;
	if (!area->pages || index >= area->pages->n || area->pages->pages[index]->order != page->order)
		return -VMAP_EINVAL;
	if (area->busy)
		return -VMAP_EBUSY;
	area->replacing++;
	if (area->sparse)
		area->sparse->changing++;
	return 0;
}

static int find(struct vmap_space *space, uintptr_t addr, size_t index, const struct vmap_page *page, struct vmap_area **area)
{
	unsigned long saved = vmap_space_lock(space), entered;
	int err = -VMAP_ENOENT;

	*area = vmap_areas_at(&space->areas, addr);
	if (*area) {
		entered = vmap_shard_enter(space, (*area)->shard);
		err = begin(*area, addr, index, page);
		vmap_shard_leave(space, (*area)->shard, entered);
	}
	vmap_space_unlock(space, saved);
	return err;
}

/* The page that is mapped goes into the array; gives the one that is left over. */
static struct vmap_page *finish(struct vmap_space *space, struct vmap_area *area, size_t index, struct vmap_page *page,
				bool replaced)
{
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, area->shard);
	struct vmap_page *old = area->pages->pages[index];
	struct vmap_shard *shard = area->shard;

	if (replaced)
		area->pages->pages[index] = page;
	area->replacing--;
	if (area->sparse)
		area->sparse->changing--;
	shard->stats.flushes++;
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock(space, saved);
	return replaced ? old : page;
}

int vmap_replace(struct vmap_space *space, const void *addr, size_t index, struct vmap_page *page)
{
	const struct vmap_host *host = space->host;
	struct vmap_range range;
	struct vmap_area *area;
	bool held;
	int err;

	if (!host->replace || !page)
		return -VMAP_EINVAL;
	err = find(space, (uintptr_t)addr, index, page, &area);
	if (err)
		return err;
	range.addr = area->extent.addr + offset_of(space, area->pages, index);
	range.size = (size_t)1 << (page->order + host->page_shift);
	held = area->pages->held;
	if (held)
		host->page_get(host->ctx, &page, 1);
	err = host->replace(host->ctx, area->extent.addr, range.addr, page, area->prot);
	host->flush(host->ctx, &range, 1);
	page = finish(space, area, index, page, !err);
	if (held)
		host->page_put(host->ctx, &page, 1);
	return err;
}
