/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replay in slices
 *
 * Concept. An item changes one buffer, and all order that matters is among items for the same blocks. So pass 2 can be done for one part of
 * the device after the other: for each slice the log is walked again and only the items whose buffer lies in it are applied. A slice
 * fits into memory, so each block is read once and written once, in the order of addresses, however the log jumps about; the price is
 * one more look at the log for each two slices, which is sequential. Slices have nothing in common but the records: two threads work on two of
 * them, each with a cache of its own, and see each record while it is in the window.
 *
 * What does not keep to its slice (a change of the filesystem's size, extent btrees that change hands) is found in pass 1, and then
 * there is one slice (xr_replay.whole).
 *
 * Locks. One mutex guards what is summed up, the first error, and calls of progress.
 */
#include "slices.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "walk.h"

struct slices {
	struct xr_replay *whole;
	const struct xr_head *head;
	uint64_t *bounds;
	size_t n, done;
	struct xr_walk *walk; /* of those at hand */
	int error; /* the first slice\'s that failed, */
	uint32_t reached; /* where it ended, */
	uint64_t group_lsn; /* and in which group */
	pthread_mutex_t lock;
};

/* One slice and who works on it. */
struct worker {
	struct slices *s;
	size_t slice;
	unsigned walker;
	int ret;
};

/* The cancels of the slice's own buffers. */
static int copy_cancels(struct xr_replay *slice, const struct xr_replay *whole)
{
	for (const struct xr_entry *e = whole->cancel.first; e; e = e->next) {
		struct xr_entry *copy;

		if (e->a < slice->from || e->a >= slice->to)
			continue;
		copy = xr_table_add(&slice->cancel, e->a, e->b);
		if (!copy)
			return xr_fail(slice->msg, -ENOMEM, "no memory for the table of cancelled buffers");
		copy->value = e->value;
	}
	return 0;
}

/* Let the kernel read the slice's blocks meanwhile, in the order of their addresses. */
static void read_ahead(const struct xr_replay *slice, const struct xr_replay *whole)
{
	uint64_t daddr = slice->from;
	uint32_t bbs;

	while (xr_targets_run(&whole->targets, &daddr, slice->to, &bbs)) {
		xr_cache_willneed(slice->cache, daddr, bbs);
		daddr += bbs;
	}
}

/* What the slice found out, into the whole. Under the lock. */
static void sum_up(struct slices *s, struct xr_replay *slice)
{
	struct xr_replay_stats *to = &s->whole->stats, *from = &slice->stats;

	for (unsigned i = 0; i < XR_ITEM_TYPES; i++) {
		to->items[i].seen += from->items[i].seen;
		to->items[i].replayed += from->items[i].replayed;
		to->items[i].stale += from->items[i].stale;
		to->items[i].cancelled += from->items[i].cancelled;
	}
	to->cancels += from->cancels;
	to->unverified += from->unverified;
	to->groups += from->groups;
	xr_cache_add_stats(s->whole->cache, slice->cache);
	if (!slice->from) { /* the superblock and the intents are the first slice's */
		to->log = from->log;
		s->whole->sb = slice->sb;
		s->whole->intents = slice->intents;
		slice->intents = (struct xr_table){0};
	}
	s->done++;
	if (s->whole->progress)
		s->whole->progress(s->whole->progress_arg, (uint32_t)s->done, (uint32_t)s->n);
}

static int run_slice(struct slices *s, const struct xr_log *log, size_t i)
{
	struct xr_replay slice;
	int ret;

	xr_replay_init(&slice, log, NULL, s->whole->msg);
	slice.from = s->bounds[i];
	slice.to = s->bounds[i + 1];
	slice.quotaoff = s->whole->quotaoff;
	slice.end_bbs = s->whole->end_bbs;
	slice.skips = s->whole->skips;
	slice.nskips = s->whole->nskips;
	slice.digest = s->whole->digest;
	slice.sequence = s->whole->sequence;
	ret = xr_cache_sibling(&slice.cache, s->whole->cache);
	if (!ret)
		ret = copy_cancels(&slice, s->whole);
	if (!ret) {
		read_ahead(&slice, s->whole);
		ret = xr_replay_slice(&slice, s->head);
	}
	if (!ret)
		ret = xr_cache_flush(slice.cache);
	if (!ret)
		xr_cache_write_early(slice.cache, slice.from, slice.to);
	pthread_mutex_lock(&s->lock);
	if (!ret) {
		sum_up(s, &slice);
	} else if (!s->error) {
		s->error = ret;
		s->reached = slice.stats.log.reached;
		s->group_lsn = slice.group_lsn;
	}
	pthread_mutex_unlock(&s->lock);
	xr_cache_destroy(slice.cache);
	xr_replay_destroy(&slice);
	return ret;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct xr_log log = *w->s->whole->log;

	log.walk = w->s->walk;
	log.walker = w->walker;
	w->ret = run_slice(w->s, &log, w->slice);
	if (w->ret && log.walk) /* perhaps it never got there */
		xr_walk_leave(log.walk, log.walker);
	return NULL;
}

/* Slices from number i on, as many as there are workers for; returns how many. */
static size_t run_slices(struct slices *s, size_t i, int *ret)
{
	struct worker workers[XR_WALKERS] = {{s, i, 0, 0}, {s, i + 1, 1, 0}};
	bool together = i + 1 < s->n;
	pthread_t thread;

	if (together) {
		*ret = xr_walk_create(&s->walk, s->whole->log, s->head->tail, xr_head_end(s->head), XR_WALKERS);
		if (*ret)
			return 0;
		together = !pthread_create(&thread, NULL, work, &workers[1]);
		if (!together) /* no thread to be had: alone */
			xr_walk_leave(s->walk, 1);
	}
	work(&workers[0]);
	if (together)
		pthread_join(thread, NULL);
	xr_walk_destroy(s->walk);
	s->walk = NULL;
	*ret = workers[0].ret ? workers[0].ret : workers[1].ret;
	return 1 + together;
}

/* How many units a slice gets: no more than fit into memory, and about the same for each, in a number of slices that keeps the threads busy. */
static uint64_t slice_units(const struct xr_replay *replay)
{
	uint64_t max = replay->slice_bytes / (XR_UNIT_BBS * XR_BB), all = replay->targets.units;
	uint64_t n = (all + max - 1) / max;

	n = (n + XR_WALKERS - 1) / XR_WALKERS * XR_WALKERS;
	return n ? (all + n - 1) / n : max;
}

int xr_slices_apply(struct xr_replay *replay, const struct xr_head *head)
{
	struct slices s = {.whole = replay, .head = head, .lock = PTHREAD_MUTEX_INITIALIZER};
	int ret = 0;

	if (xr_targets_cut(&replay->targets, slice_units(replay), &s.bounds, &s.n))
		return xr_fail(replay->msg, -ENOMEM, "no memory to plan the replay");
	malloc_trim(0); /* what this thread had for pass 1 is no use to another thread, which has a heap of its own */
	for (size_t i = 0; i < s.n && !ret;)
		i += run_slices(&s, i, &ret);
	pthread_mutex_destroy(&s.lock);
	free(s.bounds);
	xr_table_clear(&replay->cancel);
	if (!s.error)
		return ret;
	replay->stats.log.reached = s.reached;
	replay->group_lsn = s.group_lsn;
	return s.error;
}
