// SPDX-License-Identifier: MIT
/*
 * Theory: lazy flushing. One flush, which may interrupt every CPU, serves many unmapped areas.
 *
 * An unmapped area waits in a queue, in the order in which the areas came (seq), and stays in the tree of areas, so that
 * neither its addresses nor its page references can be given out. A purge
 *   1. notes, under the lock, the last seq and up to VMAP_FLUSH_RANGES ranges of the queue,
 *   2. flushes those ranges, or everything where more wait, without the lock,
 *   3. completes, in batches of VMAP_PURGE_BATCH a hold of the lock, what heads the queue up to the noted seq: the area
 *      leaves queue and tree and its addresses become free; then, without the lock, its page references are given back.
 * What step 3 completes was in the queue at step 1, so the flush of step 2 covers it.
 *
 * Barrier without waiting. An area stays in the queue while it is flushed. A second purger finds it there, flushes it
 * once more, which is harmless, and completes whatever the first has not completed yet: under the lock, so once. Nobody waits
 * for anybody, a purger that was preempted holds nobody up, and when vmap_purge() returns, whatever waited when it was called
 * has been flushed and its addresses are free. Only a page_put that another thread is just calling may still be under way.
 * Areas for which a flush has begun no longer count against the budget (lazy_pending), so that threads above the budget
 * do not flush the same areas twice.
 *
 * Short-lived maps (ram.c) have a queue of their own, with the same numbers: each purge serves both.
 *
 * Quarantine, for debugging: an area that was flushed and whose pages are gone stays in the tree of areas, oldest first in a queue, until
 * enough others followed it.
 *
 * With a worker (the purge_wake hook) an unmap over the budget wakes it instead of purging, up to twice the budget: then it
 * helps, so that the worker cannot fall behind for ever.
 *
 * An area that is to be flushed at once never enters the queue: its thread flushes and completes just this one. So it goes with
 * every area while another thread has run out of addresses (starved): what that thread's purge frees cannot be taken by
 * others and end up in the queue again before the thread has looked.
 */
#include "purge.h"
#include "tile.h"

/* Under the lock: make the addresses free that are longest in quarantine, until at most max bytes are in it, or a batch is done. */
static void pardon(struct vmap_space *space, size_t max)
{
	struct vmap_area *area;

	for (unsigned n = 0; n < VMAP_PURGE_BATCH && space->stats.quarantined > max; n++) {
		area = vmap_area_of(space->quarantine_first);
		space->quarantine_first = area->extent.next;
		space->stats.quarantined -= area->extent.size;
		vmap_areas_remove(&space->areas, area);
		vmap_ranges_give(&space->ranges, &area->extent, &space->spares);
	}
}

/* Under the lock: keep an area that was flushed out of use for a while. */
static void detain(struct vmap_space *space, struct vmap_area *area)
{
	area->pages = NULL;
	area->state = VMAP_STATE_QUARANTINED;
	area->extent.next = NULL;
	if (space->quarantine_first)
		space->quarantine_last->next = &area->extent;
	else
		space->quarantine_first = &area->extent;
	space->quarantine_last = &area->extent;
	space->stats.quarantined += area->extent.size;
	pardon(space, space->quarantine_max);
}

void vmap_quarantine_end(struct vmap_space *space, bool nowait)
{
	unsigned long saved;
	bool more;

	do {
		saved = vmap_space_lock(space);
		pardon(space, 0);
		more = space->stats.quarantined;
		if (nowait)
			vmap_space_unlock_keep(space, saved);
		else
			vmap_space_unlock(space, saved);
	} while (more);
}

void vmap_purge_free(struct vmap_space *space, struct vmap_area *area)
{
	if (space->quarantine_max) {
		detain(space, area);
		return;
	}
	vmap_areas_remove(&space->areas, area);
	vmap_ranges_give(&space->ranges, &area->extent, &space->spares);
}

/* Under the lock: end an area that was flushed. Its pages are put before those that wait to be given back. */
static void complete(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array **released)
{
	if (area->pages) {
		area->pages->next = *released;
		*released = area->pages;
	}
	vmap_space_count_flushed(space, area);
	if (area->sparse)
		area = vmap_tile_flushed(space, area);
	if (area)
		vmap_purge_free(space, area);
}

static void release(const struct vmap_host *host, struct vmap_page_array *released)
{
	struct vmap_page_array *array;

	while ((array = released)) {
		released = array->next;
		if (array->held)
			host->page_put(host->ctx, array->pages, array->n);
		vmap_page_array_free(host, array);
	}
}

/* Complete a batch of the areas up to seq. false: there are no more. */
static bool complete_batch(struct vmap_space *space, uint64_t seq)
{
	struct vmap_page_array *released = NULL;
	unsigned long saved = vmap_space_lock(space);
	struct vmap_area *area;
	unsigned n;

	for (n = 0; n < VMAP_PURGE_BATCH; n++) {
		area = vmap_area_of(space->lazy_first);
		if (!area || area->seq > seq)
			break;
		space->lazy_first = area->extent.next;
		complete(space, area, &released);
	}
	vmap_space_unlock(space, saved);
	release(space->host, released);
	return n == VMAP_PURGE_BATCH;
}

static struct vmap_range mapped_range(const struct vmap_area *area)
{
	return (struct vmap_range){.addr = area->extent.addr, .size = area->size};
}

void vmap_purge(struct vmap_space *space)
{
	struct vmap_range ranges[VMAP_FLUSH_RANGES];
	const struct vmap_host *host = space->host;
	unsigned long saved = vmap_space_lock(space);
	uint64_t seq = space->lazy_seq;
	struct vmap_extent *extent;
	size_t n = 0, ram;
	bool all;

	for (extent = space->lazy_first; extent && n < VMAP_FLUSH_RANGES; extent = extent->next)
		ranges[n++] = mapped_range(vmap_area_of(extent));
	ram = vmap_ram_dirty(space, ranges + n, VMAP_FLUSH_RANGES - n);
	all = extent || ram > VMAP_FLUSH_RANGES - n;
	space->lazy_pending = 0;
	space->stats.flushes += n + ram > 0;
	vmap_space_unlock(space, saved);
	if (!(n + ram))
		return;
	host->flush(host->ctx, all ? NULL : ranges, all ? 0 : n + ram);
	while (complete_batch(space, seq))
		;
	while (ram && vmap_ram_complete(space, seq))
		;
}

static void flush_one(struct vmap_space *space, struct vmap_area *area)
{
	struct vmap_page_array *released = NULL;
	struct vmap_range range = mapped_range(area);
	unsigned long saved;

	space->host->flush(space->host->ctx, &range, 1);
	saved = vmap_space_lock(space);
	space->stats.flushes++;
	complete(space, area, &released);
	vmap_space_unlock(space, saved);
	release(space->host, released);
}

void vmap_purge_queue(struct vmap_space *space, struct vmap_area *area)
{
	area->seq = ++space->lazy_seq;
	area->extent.next = NULL;
	if (space->lazy_first)
		space->lazy_last->next = &area->extent;
	else
		space->lazy_first = &area->extent;
	space->lazy_last = &area->extent;
	space->lazy_pending += area->extent.size;
}

bool vmap_purge_at_once(const struct vmap_space *space)
{
	return !space->lazy_max || space->quarantine_max || space->ranges.starved;
}

void vmap_purge_unlock(struct vmap_space *space, unsigned long saved, bool now, bool nowait)
{
	size_t over = space->lazy_pending > space->lazy_max ? space->lazy_pending - space->lazy_max : 0;
	bool woken = over && space->host->purge_wake && (nowait || over <= space->lazy_max);

	vmap_space_unlock_keep(space, saved);
	if (woken)
		space->host->purge_wake(space->host->ctx);
	if (!nowait && (now || (over && !woken)))
		vmap_purge(space);
}

void vmap_purge_area(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space);

	if (vmap_purge_at_once(space) || area->flags & VMAP_SYNC) {
		vmap_space_unlock_keep(space, saved);
		flush_one(space, area);
		return;
	}
	vmap_purge_queue(space, area);
	vmap_purge_unlock(space, saved, false, false);
}

void vmap_purge_later(struct vmap_space *space, struct vmap_area *area)
{
	unsigned long saved = vmap_space_lock(space);

	vmap_purge_queue(space, area);
	vmap_purge_unlock(space, saved, false, true);
}
