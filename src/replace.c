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

static int find(struct vmap_space *space, const void *addr, size_t index, const struct vmap_page *page, struct vmap_area **area)
{
	unsigned long saved = vmap_space_lock(space);
	struct vmap_area *found = vmap_areas_at(&space->areas, (uintptr_t)addr);
	int err = 0;

	if (!found || found->extent.addr != (uintptr_t)addr)
		err = -VMAP_ENOENT;
	else if (found->state == VMAP_STATE_LAZY || found->state == VMAP_STATE_QUARANTINED ||
		 (found->sparse && found->sparse->ending))
		err = -VMAP_EALREADY;
	else if (!found->pages || index >= found->pages->n || found->pages->pages[index]->order != page->order)
		err = -VMAP_EINVAL;
	else if (found->busy)
		err = -VMAP_EBUSY;
	if (!err) {
		found->replacing++;
		if (found->sparse)
			found->sparse->changing++;
	}
	vmap_space_unlock(space, saved);
	*area = found;
	return err;
}

/* The page that is mapped goes into the array; gives the one that is left over. */
static struct vmap_page *finish(struct vmap_space *space, struct vmap_area *area, size_t index, struct vmap_page *page,
				bool replaced)
{
	unsigned long saved = vmap_space_lock(space);
	struct vmap_page *old = area->pages->pages[index];

	if (replaced)
		area->pages->pages[index] = page;
	area->replacing--;
	if (area->sparse)
		area->sparse->changing--;
	space->stats.flushes++;
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
	err = find(space, addr, index, page, &area);
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
