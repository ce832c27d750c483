// SPDX-License-Identifier: MIT
/*
 * Theory: another page in the place of one entry of a live area. The area stays where it is and keeps its descriptor; only an entry
 * of its page array changes, and the host shows the new page in the old one's place. The reference on the new page is taken before
 * it can be seen, the old page's is given back after the flush: as if a mapping had begun and another ended.
 *
 * The caller keeps the area alive and does not replace the same entry twice at once, so nothing but the array needs the lock.
 */
#include "purge.h"

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
	else if (found->state == VMAP_STATE_LAZY || found->state == VMAP_STATE_QUARANTINED)
		err = -VMAP_EALREADY;
	else if (!found->pages || index >= found->pages->n || found->pages->pages[index]->order != page->order)
		err = -VMAP_EINVAL;
	vmap_space_unlock(space, saved);
	*area = found;
	return err;
}

static struct vmap_page *exchange(struct vmap_space *space, struct vmap_area *area, size_t index, struct vmap_page *page)
{
	unsigned long saved = vmap_space_lock(space);
	struct vmap_page *old = area->pages->pages[index];

	area->pages->pages[index] = page;
	vmap_space_unlock(space, saved);
	return old;
}

int vmap_replace(struct vmap_space *space, const void *addr, size_t index, struct vmap_page *page)
{
	const struct vmap_host *host = space->host;
	struct vmap_range range;
	struct vmap_area *area;
	int err;

	if (!host->replace || !page)
		return -VMAP_EINVAL;
	err = find(space, addr, index, page, &area);
	if (err)
		return err;
	range.addr = area->extent.addr + offset_of(space, area->pages, index);
	range.size = (size_t)1 << (page->order + host->page_shift);
	if (area->pages->held)
		host->page_get(host->ctx, &page, 1);
	err = host->replace(host->ctx, area->extent.addr, range.addr, page, area->prot);
	if (!err) {
		host->flush(host->ctx, &range, 1);
		page = exchange(space, area, index, page);
	}
	if (area->pages->held)
		host->page_put(host->ctx, &page, 1);
	return err;
}
