/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_REPORT_H
#define XR_REPORT_H

#include <jansson.h>
#include <pthread.h>

#include <vmap/linux.h>
#include "finish/complete.h"
#include "options.h"
#include "progress.h"
#include "replay.h"
#include "summary.h"

/*
 * What the run tells the user: lines as it goes, or one JSON object at the end. Errors and warnings always go to standard error too. Where a
 * tree is listed, standard output is the tree's, and the lines go to standard error.
 */
struct report {
	const struct options *options;
	struct xr_msg msg; /* hand this to everything that has something to say */
	pthread_mutex_t lock; /* of what follows: replay has something to say from two threads */
	struct xr_progress progress;
	char last[512]; /* the beginning of what was said last */
	json_t *json; /* NULL without --json */
};

void report_init(struct report *report, const struct options *options);

/* A text with names from the command line, which need not be UTF-8 as JSON is: then it is escaped as names from the disk are. */
json_t *report_text(const char *text);

/* An LSN, as all reports have it. */
json_t *report_lsn(uint64_t lsn);

/* How much of the log was replayed: xr_replay.progress, with the report as its argument. */
void report_progress(void *report, uint32_t done, uint32_t all);

/* The filesystem and the log that was found. */
void report_log(struct report *report, const struct xr_log *log, const struct xr_head *head);

/* What the replay did, item by item. */
void report_replay(struct report *report, const struct xr_replay *replay);

/* The intents that pass 2 left. */
void report_pending(struct report *report, const struct xr_replay *replay);

/* What was completed after pass 2. */
void report_completed(struct report *report, const struct xr_complete_stats *stats);

/* What is left to be done, and the counters. */
void report_summary(struct report *report, const struct xr_replay *replay, const struct xr_summary *summary);

/* --stats: what seeing the disk through views cost. cache may be NULL. */
void report_stats(struct report *report, struct vmap_process *process, const struct xr_cache *cache);

/*
 * The end: the exit status, and in JSON everything at once. Frees what the report holds. -EIO, said: what standard output was to get, the object
 * or what was looked at, is not all there.
 */
int report_end(struct report *report, int status);

#endif
