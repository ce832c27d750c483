/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk over the log
 *
 * Concept. To read and verify a record takes about as long as what is done with it, and needs nothing but the record. So a thread of its own
 * makes records ahead of the one that walks. They stay where they were read, in the window on the log, which keeps what was taken for
 * XR_RING_KEEP_BBS: that is how far ahead it may be, and nothing is copied.
 *
 * Data structure. A queue of the records that the walker has not finished with: made counts those put in, done those he has finished with. In
 * a short log, or where there is no thread to be had, he makes each himself.
 *
 * What is to be said about a record is kept with it until the walker gets there, for he may never get that far.
 *
 * Locks. One mutex guards the counts; a record belongs to the maker before it is counted and to the walker after. Nothing else is locked meanwhile.
 */
#include "walk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE 256u
/* A maker who waits for room hears of it when the walker has finished with so many records, or with all. */
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

struct walk {
	struct xr_log log; /* the caller's, but for what it says */
	struct xr_msg keep;
	const struct xr_msg *out;
	uint32_t block, left; /* where the next record begins, and how many blocks there are; 0: no more */
	uint64_t start; /* how many there were */
	struct made queue[QUEUE];
	uint64_t made, done;
	bool given_up; /* the walker has */
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

/* A message from the making of a record. */
static void keep(void *arg, enum xr_level level, const char *text)
{
	struct walk *w = arg;
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
static void say(const struct walk *w, struct made *m, bool aloud)
{
	struct said *next;

	for (struct said *said = m->said; said; said = next) {
		next = said->next;
		if (aloud)
			w->out->emit(w->out->arg, said->level, said->text);
		free(said);
	}
	m->said = NULL;
}

static bool has_room(const struct walk *w)
{
	return w->made == w->done ||
	       (w->made - w->done < QUEUE && w->start - w->queue[w->done % QUEUE].start <= XR_RING_KEEP_BBS);
}

/* Make one record. Called and returns with the lock held. */
static void make(struct walk *w)
{
	struct made *m = &w->queue[w->made % QUEUE];
	uint32_t blocks;

	pthread_mutex_unlock(&w->lock);
	*m = (struct made){.start = w->start, .last = &m->said};
	m->error = xr_record_next(&w->log, w->block, w->left, &m->rec, &m->data);
	blocks = m->error ? w->left : m->rec.header_bbs + m->rec.data_bbs;
	pthread_mutex_lock(&w->lock);
	w->block = xr_log_add(&w->log, w->block, blocks);
	w->left -= blocks;
	w->start += blocks;
	w->made++;
	pthread_cond_signal(&w->changed);
}

static void *make_ahead(void *arg)
{
	struct walk *w = arg;

	pthread_mutex_lock(&w->lock);
	while (w->left && !w->given_up) {
		if (has_room(w))
			make(w);
		else
			pthread_cond_wait(&w->changed, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* The record to see next; NULL: there are no more. ahead: somebody makes it. */
static struct made *next_record(struct walk *w, bool ahead)
{
	struct made *m;

	pthread_mutex_lock(&w->lock);
	while (w->done == w->made && w->left) {
		if (ahead)
			pthread_cond_wait(&w->changed, &w->lock);
		else
			make(w);
	}
	m = w->done == w->made ? NULL : &w->queue[w->done % QUEUE];
	pthread_mutex_unlock(&w->lock);
	return m;
}

static void finish_record(struct walk *w)
{
	pthread_mutex_lock(&w->lock);
	if (!(++w->done % GIVEN) || w->done == w->made)
		pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static int walk(struct walk *w, bool ahead, xr_record_fn *fn, void *arg)
{
	struct made *m;
	int ret = 0;

	while (!ret && (m = next_record(w, ahead))) {
		say(w, m, true);
		ret = m->error ? m->error : fn(arg, &m->rec, m->data);
		finish_record(w);
	}
	return ret;
}

static void give_up(struct walk *w)
{
	pthread_mutex_lock(&w->lock);
	w->given_up = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

int xr_record_walk(const struct xr_log *log, uint32_t tail, uint32_t head, xr_record_fn *fn, void *arg)
{
	struct walk *w = calloc(1, sizeof(*w));
	pthread_t maker;
	bool ahead;
	int ret;

	if (!w)
		return xr_fail(log->msg, -ENOMEM, "no memory to read the log");
	w->log = *log;
	w->log.msg = &w->keep;
	w->keep = (struct xr_msg){keep, w, log->msg->verbosity};
	w->out = log->msg;
	w->block = tail;
	w->left = xr_log_distance(log, tail, head);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	/* To start a thread takes longer than to read a short log. */
	ahead = !log->no_ahead && w->left > XR_RING_TAKE_BBS && !pthread_create(&maker, NULL, make_ahead, w);
	ret = walk(w, ahead, fn, arg);
	if (ahead) {
		give_up(w);
		pthread_join(maker, NULL);
	}
	for (unsigned i = 0; i < QUEUE; i++)
		say(w, &w->queue[i], false);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return ret;
}
