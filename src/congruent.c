// SPDX-License-Identifier: MIT
/*
 * Theory: sparse areas that lie to each other as their offsets say.
 *
 * One base is looked for at which every area lies in a free range. It begins at the lowest that is allowed and only ever rises: the areas
 * are looked at in turn, and one that does not fit moves the base to the first place where it does, which all others then have to agree
 * to; when n in a row did, the base is found. So no base is passed over that was free all the while, and the number of
 * looks is bounded by that of areas times that of free ranges.
 *
 * The lock is dropped between batches of looks. So what was found is only a guess, and the areas are reserved there one by one, as any other
 * area at a given address. If somebody else was faster with one of them, all go back and the search goes on from the next base.
 *
 * As elsewhere, a search that finds nothing is repeated with the pools drained, and once more after a purge.
 *
 * Cost: a look is a descent of the tree of free ranges; the rest is that of n sparse areas.
 */
#include "map.h"
#include "purge.h"
#include "sparse.h"

struct set {
	const size_t *offsets, *sizes;
	size_t n;
	struct vmap_options options;
	size_t last; /* bytes from base to the last one, guards counted, less one */
	struct vmap_extent *owners; /* of areas that have not begun */
};

static size_t mapped_size(const struct vmap_space *space, const struct set *set, size_t i)
{
	size_t page = (size_t)1 << space->host->page_shift;

	return (set->sizes[i] + (page - 1)) & ~(page - 1);
}

/* Check the offsets, and that the whole set fits. */
static int survey(const struct vmap_space *space, struct set *set)
{
	size_t page = (size_t)1 << space->host->page_shift, behind = 0, size;

	for (size_t i = 0; i < set->n; i++) {
		if (!set->sizes[i] || set->offsets[i] & (page - 1) || set->offsets[i] < behind)
			return -VMAP_EINVAL;
		if (set->sizes[i] > SIZE_MAX - page || set->options.guard > SIZE_MAX - mapped_size(space, set, i))
			return -VMAP_ERANGE;
		size = mapped_size(space, set, i) + set->options.guard;
		if (size > SIZE_MAX - set->offsets[i])
			return -VMAP_ERANGE;
		behind = set->offsets[i] + size;
	}
	set->last = behind - 1;
	return behind - set->offsets[0] > space->size ? -VMAP_ENOSPC : 0;
}

/* Let the first area begin at least at addr, or area i. false: that is beyond all addresses, or those that are allowed. */
static bool raise_base(const struct set *set, uintptr_t addr, size_t i, uintptr_t *base)
{
	uintptr_t from = addr > set->offsets[i] ? addr - set->offsets[i] : 0;

	*base = from + ((set->options.phase - from) & (set->options.align - 1));
	return *base >= from && set->last <= UINTPTR_MAX - *base && *base + set->last <= set->options.max;
}

/* Under the lock: see whether area i fits at this base, or raise it. 0, -VMAP_EAGAIN: raised, or -VMAP_ENOSPC. */
static int look(struct vmap_space *space, const struct set *set, size_t i, uintptr_t *base)
{
	size_t size = mapped_size(space, set, i) + set->options.guard;
	uintptr_t addr = *base + set->offsets[i], end;
	const struct vmap_extent *range = vmap_ranges_find(&space->ranges, addr, size);

	if (range && range->addr <= addr) {
		end = range->addr + range->size;
		if (end - addr >= size)
			return 0;
		range = vmap_ranges_find(&space->ranges, end, size);
	}
	return range && raise_base(set, range->addr, i, base) ? -VMAP_EAGAIN : -VMAP_ENOSPC;
}

/* The lowest base, from this one on, at which all areas seem to fit. 0 or -VMAP_ENOSPC. */
static int search(struct vmap_space *space, const struct set *set, uintptr_t *base)
{
	size_t agree = 0, i = 0;
	unsigned long saved;
	int err = 0;

	while (agree < set->n && err != -VMAP_ENOSPC) {
		saved = vmap_space_lock(space);
		for (unsigned n = 0; n < VMAP_RANGES_BATCH && agree < set->n && err != -VMAP_ENOSPC; n++) {
			err = look(space, set, i, base);
			agree = err ? 0 : agree + 1;
			i = err ? i : (i + 1) % set->n;
		}
		vmap_space_unlock_keep(space, saved);
	}
	return err;
}

/* Give back the first n, which are in addrs as areas. */
static void unreserve(struct vmap_space *space, void **addrs, size_t n)
{
	while (n--)
		vmap_area_unreserve(space, addrs[n]);
}

/* Reserve all areas at this base; addrs become the areas. */
static int reserve(struct vmap_space *space, struct set *set, uintptr_t base, void **addrs)
{
	struct vmap_options o = set->options;
	struct vmap_area *area;
	size_t size;
	int err;

	o.align = (size_t)1 << space->host->page_shift;
	o.phase = 0;
	for (size_t i = 0; i < set->n; i++) {
		size = mapped_size(space, set, i);
		o.min = base + set->offsets[i];
		o.max = o.min + (size + o.guard - 1);
		err = vmap_area_reserve(space, &o, size, 0, &area);
		if (err) {
			unreserve(space, addrs, i);
			return err;
		}
		addrs[i] = area;
	}
	return 0;
}

/* Find a base and reserve there, as addresses are free now. */
static int take(struct vmap_space *space, struct set *set, void **addrs)
{
	uintptr_t from = set->options.min > space->base ? set->options.min : space->base, base;
	int err = raise_base(set, from, 0, &base) ? 0 : -VMAP_ENOSPC;

	while (!err) {
		err = search(space, set, &base);
		if (err)
			return err;
		err = reserve(space, set, base, addrs);
		if (err != -VMAP_ENOSPC && err != -VMAP_EAGAIN)
			return err;
		/* Somebody else was faster. */
		err = raise_base(set, base + set->offsets[0] + 1, 0, &base) ? 0 : -VMAP_ENOSPC;
	}
	return err;
}

/* The same, with everything given back that can be. */
static int take_all(struct vmap_space *space, struct set *set, void **addrs)
{
	bool nowait = set->options.flags & VMAP_NOWAIT;
	int err = take(space, set, addrs);

	if (err != -VMAP_ENOSPC)
		return err;
	vmap_space_drain_pools(space, nowait);
	err = take(space, set, addrs);
	if (err != -VMAP_ENOSPC)
		return err;
	if (!nowait)
		vmap_purge(space);
	vmap_ram_trim(space, nowait);
	vmap_quarantine_end(space, nowait);
	vmap_space_drain_pools(space, nowait);
	err = take(space, set, addrs);
	return err == -VMAP_ENOSPC && nowait && vmap_space_has_lazy(space) ? -VMAP_EAGAIN : err;
}

static int make_owners(struct vmap_space *space, struct set *set)
{
	struct vmap_sparse *owner;
	int err = 0;

	for (size_t i = 0; i < set->n && !err; i++) {
		err = vmap_sparse_make(space, &owner, set->options.flags & VMAP_NOWAIT);
		if (err)
			break;
		owner->extent.next = set->owners;
		set->owners = &owner->extent;
	}
	return err;
}

static void unmake_owners(struct vmap_space *space, struct set *set)
{
	struct vmap_extent *owner;

	while ((owner = set->owners)) {
		set->owners = owner->next;
		vmap_sparse_unmake(space, (struct vmap_sparse *)(void *)owner);
	}
}

int vmap_congruent(struct vmap_space *space, const size_t *offsets, const size_t *sizes, size_t n,
		   const struct vmap_options *options, void **addrs)
{
	struct set set = {.offsets = offsets, .sizes = sizes, .n = n};
	struct vmap_sparse *owner;
	int err;

	for (size_t i = 0; addrs && i < n; i++)
		addrs[i] = NULL;
	if (!addrs || !offsets || !sizes || !n || vmap_options_resolve(space, options, &set.options) ||
	    set.options.flags & (VMAP_BORROW | VMAP_PUT_PAGES))
		return -VMAP_EINVAL;
	err = survey(space, &set);
	if (err)
		return err;
	err = make_owners(space, &set);
	if (!err)
		err = take_all(space, &set, addrs);
	for (size_t i = 0; i < n; i++) {
		struct vmap_area *area = err ? NULL : addrs[i];

		addrs[i] = area ? (void *)area->extent.addr : NULL;
		if (!area)
			continue;
		owner = (struct vmap_sparse *)(void *)set.owners;
		set.owners = set.owners->next;
		vmap_sparse_begin(space, area, owner);
	}
	unmake_owners(space, &set);
	return err;
}

int vmap_congruent_free(struct vmap_space *space, void *const *addrs, size_t n)
{
	unsigned long saved;
	bool sync = false;
	size_t i;
	int err = n ? 0 : -VMAP_EINVAL;

	for (i = 0; i < n && !err; i++)
		err = vmap_sparse_shut(space, (uintptr_t)addrs[i], __builtin_return_address(0));
	if (err) {
		/* All but the one that could not be shut. */
		for (i -= i > 0; i > 0; i--)
			vmap_sparse_reopen(space, (uintptr_t)addrs[i - 1]);
		return err;
	}
	for (i = 0; i < n; i++)
		sync |= vmap_sparse_finish(space, (uintptr_t)addrs[i], false);
	saved = vmap_space_lock(space);
	vmap_purge_unlock(space, saved, sync || vmap_purge_at_once(space), false);
	return 0;
}
