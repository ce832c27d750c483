/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_RUN_H
#define XR_RUN_H

#include "copy.h"
#include "report.h"
#include "shadow.h"
#include "undo.h"

/* One run of a tool over one filesystem: everything that is open, in the order in which it was made. */
struct run {
	const struct options *options;
	struct report *report;
	const struct xr_msg *msg;
	struct xr_dev data, logdev, rtdev;
	struct xr_copy copy, log_copy; /* --output */
	char *log_out;
	struct xr_undo *undo; /* --undo */
	struct xr_shadow *shadow; /* of data, where nothing may be written */
	struct xr_sb sb;
	struct vmap_process *process;
	struct xr_log log;
	struct xr_head head;
	struct xr_cache *cache;
	struct xr_replay replay;
	struct xr_skip skips[MAX_SKIPS]; /* --skip-item */
	struct xr_log item_log; /* --apply-item: log, in the byte order of the item's writer */
	struct xr_summary summary;
	bool completed; /* all that was interrupted is, but for what damage kept from it */
	bool kept; /* ... and that did: see struct xr_complete_stats */
	bool label_changed; /* by the log; the realtime device has the old one */
	bool contradicted; /* something that was interrupted cannot be completed on this filesystem */
	bool given_up; /* ... and so is left out, on request */
};

/* Open what the options name. Negative errno, said. run_close() is due whatever is returned. */
int run_open(struct run *run, const struct options *options, struct report *report);
void run_close(struct run *run);

/* Open, for writing, the devices of which --apply-undo's file holds old content, and put it back. Negative errno, said. */
int run_apply_undo(struct run *run, const struct options *options, struct report *report);

/* Nothing more will be written: end the undo file, if there is one, and say what it keeps. Negative errno, said. */
int run_end_undo(struct run *run);

/*
 * Replay in memory, after run->head was found, and report it. Whatever fails here leaves the image as it was, unless memory ran short before
 * (see xr_replay_apply()). Negative errno, said.
 */
int run_replay(struct run *run);

/* A replay that knows what the options leave out; again, where there was one. */
void run_begin_replay(struct run *run);

/*
 * After run_replay(): complete what it left, unless the options say otherwise, and report what remains. Where the image may be written the
 * replay is on the disk before, and the completion after it. 0 also where something cannot be completed here, said; negative errno, said.
 */
int run_complete(struct run *run);

/* The device that realtime blocks are read from, NULL where there is none. */
const struct xr_dev *run_realtime(const struct run *run);

/* Nothing is left to be completed: the log can be made clean. */
bool run_finished(const struct run *run);

/* A part of the log was left out, on request. */
bool run_salvaged(const struct run *run);

/* Groups, of allocation or realtime, or unlinked inodes are damaged: something was not counted, or not freed. */
bool run_damaged(const struct run *run);

#endif
