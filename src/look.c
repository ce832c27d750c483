// SPDX-License-Identifier: MIT
/*
 * Theory: what can be said about an address, for a fault handler, and what can be read at it, for a dump.
 *
 * Both ask the tree of areas, under the lock and in O(log n), and use nothing of an area after that but a copy. Areas in pools are passed over. Reading goes from
 * area to area; the copy itself happens without the lock, a base page at a time, by a hook that survives it if the area is
 * unmapped meanwhile.
 */
#include "tile.h"

/* Compilers call memset() on their own, too. */
#define zero_bytes __builtin_memset

/* What is next to addr on this side; size 0: nothing. A batch of areas that cannot be seen is passed over in each hold of the lock. */
static struct vmap_area_info neighbour(struct vmap_space *space, unsigned side, uintptr_t addr)
{
	struct vmap_explanation why = {.area = {0}};
	struct vmap_area *area;
	unsigned long saved;
	bool done;

	do {
		saved = vmap_space_lock(space);
		done = vmap_space_neighbour(space, side, &addr, &area);
		if (done && area && !area->ram && !area->sparse)
			done = vmap_space_look(space, area, addr, &why);
		else if (done && area)
			why.area = vmap_area_info_of(area);
		vmap_space_unlock_keep(space, saved);
	} while (!done);
	return why.area;
}

int vmap_explain(struct vmap_space *space, const void *addr, struct vmap_explanation *why)
{
	uintptr_t at = (uintptr_t)addr, from = at, end = at;
	struct vmap_area *area;
	unsigned long saved;
	bool found = false;

	*why = (struct vmap_explanation){.state = VMAP_STATE_FREE};
	if (at < space->base || at - space->base >= space->size)
		return -VMAP_EINVAL;
	saved = vmap_space_lock(space);
	area = vmap_areas_at(&space->areas, at);
	if (area) {
		found = vmap_space_look(space, area, at, why);
		from = area->sparse ? area->sparse->extent.addr : area->extent.addr;
		end = from + (area->sparse ? area->sparse->extent.size : area->extent.size);
	}
	vmap_space_unlock_keep(space, saved);
	why->below = neighbour(space, 0, from);
	why->above = neighbour(space, 1, end);
	return found ? 0 : -VMAP_ENOENT;
}

/* What is at addr; in a sparse area the part or the hole. false: nothing. */
static bool look_at(struct vmap_space *space, uintptr_t addr, struct vmap_area_info *info)
{
	unsigned long saved = vmap_space_lock(space);
	const struct vmap_area *area = vmap_areas_at(&space->areas, addr);
	struct vmap_explanation why = {.state = VMAP_STATE_FREE};
	bool found = area && vmap_space_look(space, area, addr, &why);

	if (found && area->sparse) {
		why.area.addr = area->extent.addr;
		why.area.size = area->size;
		why.area.guard = vmap_area_guard(area);
	}
	vmap_space_unlock_keep(space, saved);
	*info = why.area;
	return found;
}

/* How many bytes from addr on are of one kind: *readable, or not. */
static size_t piece_at(struct vmap_space *space, uintptr_t addr, size_t size, bool *readable)
{
	struct vmap_area_info info = {0};
	uintptr_t end, cursor = addr;

	*readable = false;
	if (look_at(space, addr, &info)) {
		*readable = info.state == VMAP_STATE_MAPPED && addr - info.addr < info.size && !(info.prot & VMAP_MEMORY_MASK);
		end = info.addr + info.size + (*readable ? 0 : info.guard);
		/* Of a block for short-lived maps nothing tells where the next one begins but the listing. */
		if (info.state == VMAP_STATE_RAM && !vmap_area_next(space, &cursor, &info) && info.addr < end)
			end = info.addr;
	} else {
		end = vmap_area_next(space, &cursor, &info) ? addr + size : info.addr;
	}
	return end - addr < size ? end - addr : size;
}

static size_t copy_piece(const struct vmap_space *space, char *to, uintptr_t addr, size_t size)
{
	size_t page = (size_t)1 << space->host->page_shift, n, copied = 0;

	for (; size; to += n, addr += n, size -= n) {
		n = page - (addr & (page - 1));
		n = n < size ? n : size;
		if (!space->host->copy)
			vmap_copy(to, (const void *)addr, n);
		else if (space->host->copy(space->host->ctx, to, addr, n)) {
			zero_bytes(to, 0, n);
			continue;
		}
		copied += n;
	}
	return copied;
}

int vmap_read(struct vmap_space *space, void *to, const void *from, size_t size, size_t *copied)
{
	uintptr_t addr = (uintptr_t)from;
	char *out = (char *)to;
	bool readable;
	size_t n;

	*copied = 0;
	if (size > UINTPTR_MAX - addr)
		return -VMAP_EINVAL;
	for (; size; addr += n, out += n, size -= n) {
		n = piece_at(space, addr, size, &readable);
		if (readable)
			*copied += copy_piece(space, out, addr, n);
		else
			zero_bytes(out, 0, n);
	}
	return 0;
}
