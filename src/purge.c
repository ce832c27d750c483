// SPDX-License-Identifier: MIT
/*
 * Theory: lazy flushing. One flush, which may interrupt every CPU, serves many unmapped areas.
 *
 * An unmapped area waits in a queue, in the order in which the areas came (seq), and stays in the tree of areas, so that
 * neither its addresses nor its page references can be given out. A purge
 *   1. notes, under the lock, the last seq and up to VMAP_FLUSH_RANGES ranges of the queue,
 *   2. flushes those ranges, or everything where more wait, without the lock,
 *   3. completes, in batches of VMAP_PURGE_BATCH a hold of the lock, what heads the queue up to the noted seq: the area
 *      leaves queue and tree and its addresses become free; then, without the lock, its page references are given back, those of a
 *      batch together. They are copied for that out of their arrays, whose memory stays with the areas; only a large array goes itself.
 * What step 3 completes was in the queue at step 1, so the flush of step 2 covers it.
 *
 * Barrier without waiting. An area stays in the queue while it is flushed. A second purger finds it there, flushes it
 * once more, which is harmless, and completes whatever the first has not completed yet: under the lock, so once. Nobody waits
 * for anybody, a purger that was preempted holds nobody up, and when vmap_purge() returns, whatever waited when it was called
 * has been flushed and its addresses are free. Only a page_put that another thread is just calling may still be under way.
 * Areas for which a flush has begun no longer count against the budget (lazy_pending), so that threads above the budget
 * do not flush the same areas twice.
 *
 * Each shard has its queue, with numbers of its own, and counts what waits there. It looks at the others only where that is more than its
 * share of the budget, and takes what they leave in slices; when all of it is used up, and its share is in its own queue, it serves that one
 * only, so that CPUs do not meet in the queues. A barrier serves all, with one flush. Areas that go into a pool are completed under the
 * shard's lock alone; only those that are taken apart need the space's lock.
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

/* References that are copied out of page arrays in a batch, which ends where there is no room for those of the next one. */
#define COLLECTED 64

/* What needs much of the stack is kept out of those who call what needs much of it, too. */
#define APART static __attribute__((noinline))

/* Under the lock: make the addresses free that are longest in quarantine, until at most max bytes are in it, or a batch is done. */
static void pardon(struct vmap_space *space, size_t max, struct vmap_page_array **released)
{
	struct vmap_area *area;
	unsigned long entered;

	for (unsigned n = 0; n < VMAP_PURGE_BATCH && space->stats.quarantined > max; n++) {
		area = vmap_area_of(space->quarantine_first);
		space->quarantine_first = area->extent.next;
		space->stats.quarantined -= area->extent.size;
		entered = vmap_shard_enter(space, area->shard);
		vmap_space_give(space, area, released);
		vmap_shard_leave(space, area->shard, entered);
	}
}

/* Under no lock: the same of what is too much. */
APART void pardon_surplus(struct vmap_space *space)
{
	struct vmap_page_array *released = NULL;
	unsigned long saved;

	if (!space->quarantine_max)
		return;
	saved = vmap_space_lock(space);
	pardon(space, space->quarantine_max, &released);
	vmap_space_unlock(space, saved);
	vmap_space_release(space->host, released);
}

void vmap_quarantine_end(struct vmap_space *space, bool nowait)
{
	struct vmap_page_array *released = NULL;
	unsigned long saved;
	bool more;

	do {
		saved = vmap_space_lock(space);
		pardon(space, 0, &released);
		more = space->stats.quarantined;
		if (nowait)
			vmap_space_unlock_keep(space, saved);
		else
			vmap_space_unlock(space, saved);
	} while (more);
	vmap_space_release(space->host, released);
}

/*
 * What a hold of the lock leaves to be given back: references that were collected out of page arrays whose memory stays with the area, and
 * arrays that go with the references that they hold.
 */
struct remains {
	struct vmap_page_array *arrays;
	size_t n;
	struct vmap_page *pages[COLLECTED];
};

/* Whether those of this area can be collected, too, or it has none, or too many for any batch. */
static inline bool has_room(const struct remains *remains, const struct vmap_area *area)
{
	return !area->pages || !area->pages->held || area->pages->n > COLLECTED || area->pages->n <= COLLECTED - remains->n;
}

/* Under no lock. */
static inline void give_back(const struct vmap_host *host, const struct remains *remains)
{
	if (remains->n)
		host->page_put(host->ctx, remains->pages, remains->n);
	vmap_space_release(host, remains->arrays);
}

/* Under the shard's lock: an area that was flushed gives up its pages. The remains have room. */
static inline void strip(struct vmap_shard *shard, struct vmap_area *area, bool sparse, struct remains *remains)
{
	struct vmap_page_array *array = area->pages;

	if (sparse)
		area->held = array && array->held ? array->n : 0;
	vmap_count_flushed(&shard->stats, area);
	area->pages = NULL;
	area->held = 0;
	if (!array)
		return;
	if (sparse || (array->held && array->n > COLLECTED)) {
		array->next = remains->arrays;
		remains->arrays = array;
		area->kept = NULL;
		return;
	}
	if (array->held) {
		vmap_copy(&remains->pages[remains->n], array->pages, array->n * sizeof(array->pages[0]));
		remains->n += array->n;
		array->held = false;
	}
	area->kept = array;
}

/* Under both locks: nothing of this area, which was counted out, needs a flush: its addresses become free, or go into quarantine. */
static void let_go(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array **released)
{
	if (!space->quarantine_max) {
		vmap_space_give(space, area, released);
		return;
	}
	vmap_area_set_state(area, VMAP_STATE_QUARANTINED);
	vmap_extents_append(&space->quarantine_first, &space->quarantine_last, &area->extent);
	space->stats.quarantined += area->extent.size;
}

/* Under both locks: end an area that was flushed. */
static void complete(struct vmap_space *space, struct vmap_area *area, struct remains *remains)
{
	strip(area->shard, area, area->sparse, remains);
	if (area->sparse)
		area = vmap_tile_flushed(space, area);
	if (area)
		let_go(space, area, &remains->arrays);
}

void vmap_purge_free(struct vmap_space *space, struct vmap_area *area, struct vmap_page_array **released)
{
	struct vmap_shard *shard = area->shard;
	unsigned long entered = vmap_shard_enter(space, shard);

	let_go(space, area, released);
	vmap_shard_leave(space, shard, entered);
	pardon(space, space->quarantine_max, released);
}

/* Under the shard's lock: the first area of the queue up to seq; NULL: there is none. */
static struct vmap_area *first_up_to(const struct vmap_shard *shard, uint64_t seq)
{
	struct vmap_area *area = vmap_area_of(shard->lazy_first);

	return area && area->seq <= seq ? area : NULL;
}

/* Complete a batch of what goes into the pools, under the shard's lock alone. false: that was all of the kind; *left: there is more. */
APART bool pool_batch(struct vmap_space *space, struct vmap_shard *shard, uint64_t seq, bool *left)
{
	unsigned long saved = vmap_shard_lock(space, shard);
	bool allowed = !space->quarantine_max && !vmap_space_is_starved(space);
	struct vmap_extent *extent = shard->lazy_first, *next;
	unsigned shift = space->host->page_shift, done = 0;
	struct remains remains;
	struct vmap_area *area;
	bool full = false;

	remains.arrays = NULL;
	remains.n = 0;
	for (; allowed && extent && done < VMAP_PURGE_BATCH; done++, extent = next) {
		area = vmap_area_of(extent);
		next = extent->next;
		full = !has_room(&remains, area);
		if (full || area->seq > seq || area->sparse || !vmap_pool_put(&shard->pools, shift, area))
			break;
		strip(shard, area, false, &remains);
		vmap_area_set_state(area, VMAP_STATE_FREE);
	}
	shard->lazy_first = extent;
	*left = first_up_to(shard, seq);
	vmap_shard_unlock(space, shard, saved);
	give_back(space->host, &remains);
	return full || done == VMAP_PURGE_BATCH;
}

/* Complete a batch of anything. false: there are no more areas up to seq. */
APART bool complete_batch(struct vmap_space *space, struct vmap_shard *shard, uint64_t seq)
{
	unsigned long saved = vmap_space_lock(space), entered = vmap_shard_enter(space, shard);
	struct vmap_area *area = first_up_to(shard, seq);
	struct remains remains;

	remains.arrays = NULL;
	remains.n = 0;
	for (unsigned i = 0; area && i < VMAP_PURGE_BATCH && has_room(&remains, area); i++) {
		shard->lazy_first = area->extent.next;
		complete(space, area, &remains);
		area = first_up_to(shard, seq);
	}
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock(space, saved);
	give_back(space->host, &remains);
	return area;
}

static void complete_all(struct vmap_space *space, struct vmap_shard *shard, uint64_t seq)
{
	bool left;

	while (pool_batch(space, shard, seq, &left))
		;
	while (left) {
		left = complete_batch(space, shard, seq);
		pardon_surplus(space);
	}
}

/* Guards were never mapped. */
static struct vmap_range mapped_range(const struct vmap_area *area)
{
	return (struct vmap_range){.addr = area->extent.addr, .size = area->size};
}

/* Note what waits in a shard. */
static void note(struct vmap_space *space, struct vmap_shard *shard, struct vmap_flush *flush)
{
	unsigned long saved = vmap_shard_lock(space, shard);
	struct vmap_extent *extent = shard->lazy_first;
	uint32_t limit;

	flush->seq[shard - space->shard] = shard->lazy_seq;
	for (; extent && flush->n < VMAP_FLUSH_RANGES; extent = extent->next)
		flush->ranges[flush->n++] = mapped_range(vmap_area_of(extent));
	flush->n += extent != NULL;
	vmap_ram_note(space, shard, flush);
	/* The whole budget is there again. Where each unmap flushes, it goes on so. */
	limit = __atomic_load_n(&shard->limit, __ATOMIC_RELAXED);
	if (limit)
		__atomic_compare_exchange_n(&shard->limit, &limit, vmap_space_share(space), false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
	vmap_shard_unlock(space, shard, saved);
}

/* Flush what waits in the shards from first on, up to end. false: nothing does. */
APART bool flush_shards(struct vmap_space *space, unsigned first, unsigned end, uint64_t *seq, uint32_t *clock)
{
	struct vmap_flush flush;
	bool all;

	flush.n = 0;
	flush.seq = seq;
	flush.clock = clock;
	for (unsigned i = first; i < end; i++)
		note(space, &space->shard[i], &flush);
	if (!flush.n)
		return false;
	vmap_count_flush(space);
	all = flush.n > VMAP_FLUSH_RANGES;
	space->host->flush(space->host->ctx, all ? NULL : flush.ranges, all ? 0 : flush.n);
	return true;
}

/* Purge them. */
static void purge(struct vmap_space *space, unsigned first, unsigned end)
{
	uint64_t seq[VMAP_SHARDS];
	uint32_t clock[VMAP_SHARDS];

	if (!flush_shards(space, first, end, seq, clock))
		return;
	for (unsigned i = first; i < end; i++) {
		complete_all(space, &space->shard[i], seq[i]);
		vmap_ram_complete(space, &space->shard[i], clock[i]);
	}
}

void vmap_purge(struct vmap_space *space)
{
	purge(space, 0, space->shards);
}

APART void flush_one(struct vmap_space *space, struct vmap_area *area)
{
	struct vmap_range range = mapped_range(area);
	struct vmap_shard *shard = area->shard;
	unsigned long saved, entered;
	struct remains remains;

	remains.arrays = NULL;
	remains.n = 0;
	space->host->flush(space->host->ctx, &range, 1);
	saved = vmap_space_lock(space);
	entered = vmap_shard_enter(space, shard);
	shard->stats.flushes++;
	complete(space, area, &remains);
	vmap_shard_leave(space, shard, entered);
	vmap_space_unlock(space, saved);
	give_back(space->host, &remains);
}

/* Base pages that wait in all shards. */
static uint32_t waiting(const struct vmap_space *space)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < space->shards; i++)
		sum += (uint32_t)__atomic_load_n(&space->shard[i].clock, __ATOMIC_RELAXED);
	return sum;
}

/* What is to be purged by a thread that has found a shard over its limit. */
enum purge { PURGE_NOTHING, PURGE_SHARD, PURGE_ALL };

/* Wakes who else purges, or takes what others leave of the budget. */
static enum purge look_over(struct vmap_space *space, struct vmap_shard *shard, uint32_t slack, bool nowait)
{
	uint32_t limit = __atomic_load_n(&shard->limit, __ATOMIC_RELAXED), sum = waiting(space), left;

	if (!limit)
		return nowait ? PURGE_NOTHING : PURGE_ALL;
	if (sum <= space->budget + slack) {
		/* Others leave some of the budget: take a slice of that. Unless the limit has become 0 meanwhile. */
		left = (space->budget + slack - sum) / space->shards;
		__atomic_compare_exchange_n(&shard->limit, &limit,
					    (uint32_t)__atomic_load_n(&shard->clock, __ATOMIC_RELAXED) + left, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		return PURGE_NOTHING;
	}
	if (space->host->purge_wake && (nowait || sum - space->budget <= space->budget)) {
		space->host->purge_wake(space->host->ctx);
		return PURGE_NOTHING;
	}
	if (nowait)
		return PURGE_NOTHING;
	return (uint32_t)__atomic_load_n(&shard->clock, __ATOMIC_RELAXED) >= vmap_space_share(space) ? PURGE_SHARD : PURGE_ALL;
}

void vmap_purge_over(struct vmap_space *space, struct vmap_shard *shard, uint32_t slack, bool nowait)
{
	enum purge what = look_over(space, shard, slack, nowait);

	if (what == PURGE_SHARD)
		purge(space, (unsigned)(shard - space->shard), (unsigned)(shard - space->shard) + 1);
	else if (what == PURGE_ALL)
		vmap_purge(space);
}

/* true: more waits in the shard than its limit. */
static bool queue(struct vmap_space *space, struct vmap_area *area)
{
	struct vmap_shard *shard = area->shard;
	unsigned long saved = vmap_shard_lock(space, shard);
	bool over = vmap_purge_wait(space, area);

	vmap_shard_unlock(space, shard, saved);
	return over;
}

void vmap_purge_queue(struct vmap_space *space, struct vmap_area *area)
{
	struct vmap_shard *shard = area->shard;
	unsigned long entered = vmap_shard_enter(space, shard);

	vmap_purge_wait(space, area);
	vmap_shard_leave(space, shard, entered);
}

void vmap_purge_unlock(struct vmap_space *space, unsigned long saved, bool now, bool nowait)
{
	vmap_space_unlock_keep(space, saved);
	if (now && !nowait) {
		vmap_purge(space);
		return;
	}
	if (waiting(space) > space->budget)
		vmap_purge_over(space, vmap_shard_here(space), 0, nowait);
}

void vmap_purge_area(struct vmap_space *space, struct vmap_area *area)
{
	struct vmap_shard *shard = area->shard;

	if (!vmap_purge_at_once(space) && !(area->flags & VMAP_SYNC)) {
		if (queue(space, area))
			vmap_purge_over(space, shard, 0, false);
		return;
	}
	flush_one(space, area);
	pardon_surplus(space);
}

void vmap_purge_later(struct vmap_space *space, struct vmap_area *area)
{
	struct vmap_shard *shard = area->shard;

	if (queue(space, area))
		look_over(space, shard, 0, true);
}
