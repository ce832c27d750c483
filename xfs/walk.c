/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk over the log
 *
 * Concept. To read and verify a record takes about as long as what is done with it, and needs nothing but the record. So a thread of its own
 * makes records ahead of the one that walks. They stay where they were read, in the window on the log, which keeps what was taken for
 * XR_RING_KEEP_BBS: that is how far ahead it may be, and nothing is copied.
 *
 * Where several walk the same log at the same time, each record is made once for all of them, by the one who needs it first: they are as many as
 * there are processors, and there is no other thread.
 *
 * Data structure. A queue of the records that not all walkers have finished with: made counts those put in, done those that each has finished
 * with. In a short log, or where there is no thread to be had, a walker makes each himself.
 *
 * What is to be said about a record is kept with it until a walker gets there, for none may ever get that far.
 *
 * Locks. One mutex guards the counts; a record belongs to its maker before it is counted and to the walkers after, who change nothing of it.
 * Nothing else is locked meanwhile.
 */
#include "walk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE 256u
/* Who waits for room hears of it when a walker has finished with so many records, or with all. */
#define GIVEN 16u

struct said {
	struct said *next;
	enum xr_level level;
	char text[];
};

struct made {
	struct xr_record rec;
	const uint8_t *data;
	uint64_t start; /* blocks of the walk before it */
	int error; /* there is no such record */
	struct said *said, **last;
};

struct xr_walk {
	struct xr_log log; /* the caller's, but for what it says */
	struct xr_msg keep;
	const struct xr_msg *out;
	uint32_t block, left; /* where the next record begins, and how many blocks there are; 0: no more */
	uint64_t start; /* how many there were */
	struct made queue[QUEUE];
	uint64_t made;
	bool making; /* somebody is */
	unsigned walkers;
	uint64_t done[XR_WALKERS]; /* UINT64_MAX: he has gone */
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

/* A message from the making of a record. */
static void keep(void *arg, enum xr_level level, const char *text)
{
	struct xr_walk *w = arg;
	struct made *m = &w->queue[w->made % QUEUE];
	size_t size = strlen(text) + 1;
	struct said *said = malloc(sizeof(*said) + size);

	if (!said) { /* early is better than never */
		w->out->emit(w->out->arg, level, text);
		return;
	}
	said->next = NULL;
	said->level = level;
	memcpy(said->text, text, size);
	*m->last = said;
	m->last = &said->next;
}

/* Say what was kept, or only forget it. */
static void say(const struct xr_walk *w, struct said *said, bool aloud)
{
	struct said *next;

	for (; said; said = next) {
		next = said->next;
		if (aloud)
			w->out->emit(w->out->arg, said->level, said->text);
		free(said);
	}
}

/* How many records all walkers have finished with that have not gone. */
static uint64_t all_done(const struct xr_walk *w)
{
	uint64_t done = w->made;

	for (unsigned i = 0; i < w->walkers; i++)
		done = w->done[i] < done ? w->done[i] : done;
	return done;
}

static bool has_room(const struct xr_walk *w)
{
	uint64_t done = all_done(w);

	return w->made == done || (w->made - done < QUEUE && w->start - w->queue[done % QUEUE].start <= XR_RING_KEEP_BBS);
}

/* Make one record, nobody else does. Called and returns with the lock held. */
static void make(struct xr_walk *w)
{
	struct made *m = &w->queue[w->made % QUEUE];
	uint32_t blocks;

	w->making = true;
	pthread_mutex_unlock(&w->lock);
	*m = (struct made){.start = w->start, .last = &m->said};
	m->error = xr_record_next(&w->log, w->block, w->left, &m->rec, &m->data);
	blocks = m->error ? w->left : m->rec.header_bbs + m->rec.data_bbs;
	pthread_mutex_lock(&w->lock);
	w->block = xr_log_add(&w->log, w->block, blocks);
	w->left -= blocks;
	w->start += blocks;
	w->made++;
	w->making = false;
	pthread_cond_broadcast(&w->changed);
}

/* For a walk of one: until he has gone. */
static void *make_ahead(void *arg)
{
	struct xr_walk *w = arg;

	pthread_mutex_lock(&w->lock);
	while (w->left && w->done[0] != UINT64_MAX) {
		if (!w->making && has_room(w))
			make(w);
		else
			pthread_cond_wait(&w->changed, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* The record for this walker to see next, and what is to be said about it; NULL: there are no more. */
static struct made *next_record(struct xr_walk *w, unsigned walker, struct said **said)
{
	struct made *m = NULL;

	pthread_mutex_lock(&w->lock);
	while (w->done[walker] == w->made && (w->left || w->making)) {
		if (!w->making && has_room(w))
			make(w);
		else
			pthread_cond_wait(&w->changed, &w->lock);
	}
	if (w->done[walker] < w->made) {
		m = &w->queue[w->done[walker] % QUEUE];
		*said = m->said;
		m->said = NULL;
	}
	pthread_mutex_unlock(&w->lock);
	return m;
}

static void finish_record(struct xr_walk *w, unsigned walker)
{
	pthread_mutex_lock(&w->lock);
	if (!(++w->done[walker] % GIVEN) || w->done[walker] == w->made)
		pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

void xr_walk_leave(struct xr_walk *w, unsigned walker)
{
	pthread_mutex_lock(&w->lock);
	w->done[walker] = UINT64_MAX;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static int walk(struct xr_walk *w, unsigned walker, xr_record_fn *fn, void *arg)
{
	struct said *said;
	struct made *m;
	int ret = 0;

	while (!ret && (m = next_record(w, walker, &said))) {
		say(w, said, true);
		ret = m->error ? m->error : fn(arg, &m->rec, m->data);
		finish_record(w, walker);
	}
	xr_walk_leave(w, walker);
	return ret;
}

int xr_walk_create(struct xr_walk **out, const struct xr_log *log, uint32_t tail, uint32_t head, unsigned walkers)
{
	struct xr_walk *w = calloc(1, sizeof(*w));

	*out = w;
	if (!w)
		return xr_fail(log->msg, -ENOMEM, "no memory to read the log");
	w->log = *log;
	w->log.msg = &w->keep;
	w->keep = (struct xr_msg){keep, w, log->msg->verbosity};
	w->out = log->msg;
	w->block = tail;
	w->left = xr_log_distance(log, tail, head);
	w->walkers = walkers;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	return 0;
}

void xr_walk_destroy(struct xr_walk *w)
{
	if (!w)
		return;
	for (unsigned i = 0; i < QUEUE; i++)
		say(w, w->queue[i].said, false);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int xr_record_walk(const struct xr_log *log, uint32_t tail, uint32_t head, xr_record_fn *fn, void *arg)
{
	struct xr_walk *w;
	pthread_t maker;
	bool ahead;
	int ret;

	if (log->walk)
		return walk(log->walk, log->walker, fn, arg);
	ret = xr_walk_create(&w, log, tail, head, 1);
	if (ret)
		return ret;
	/* To start a thread takes longer than to read a short log. */
	ahead = w->left > XR_RING_TAKE_BBS && !pthread_create(&maker, NULL, make_ahead, w);
	ret = walk(w, 0, fn, arg);
	if (ahead)
		pthread_join(maker, NULL);
	xr_walk_destroy(w);
	return ret;
}
