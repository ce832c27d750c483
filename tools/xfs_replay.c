/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xfs_replay: recover a dirty XFS log without a mount
 *
 * The order of steps is the safety of the tool: find out whether anybody uses the image; read the superblock and judge its
 * features; find the log's head and tail; validate the whole log (pass 1); replay in memory (pass 2, which may write when memory gets
 * short: it can be repeated at any time); write the blocks; complete what was interrupted, in transactions of our own; and only when all that is
 * on the disk make the log clean.
 */
#include <errno.h>

#include "applyitem.h"
#include "finish/finish.h"
#include "look.h"
#include "showlog.h"

/* Exit statuses, as xfs_repair(8) has them. */
enum { CLEAN = 0, FAILED = 1, DIRTY = 2, REPLAYED = 4, SALVAGED = 8 };

/* Write the blocks, and after them the clean log; or leave it dirty where a kernel has to finish. */
static int write_back(struct run *run)
{
	bool clean = run_finished(run) || run_salvaged(run);
	int ret = 0;

	if (clean)
		ret = xr_finish_superblock(&run->replay.sb, run->cache, &run->summary, &run->head, run->msg);
	if (!ret)
		ret = xr_cache_flush(run->cache);
	if (!ret)
		ret = clean ? xr_finish_log(&run->log, &run->head, run->cache) : xr_cache_barrier(run->cache);
	if (!ret && clean)
		ret = xr_finish_features(&run->replay.sb, run->cache);
	return ret;
}

static int finish_output(struct run *run)
{
	int ret = run->log_out ? xr_copy_commit(&run->log_copy) : 0;

	if (!ret && run->options->output)
		ret = xr_copy_commit(&run->copy);
	return ret;
}

/* Why the log stays dirty, and what to do about it. */
static void say_left(const struct run *run, const char *target)
{
	if (run->replay.stats.fragments)
		xr_say(run->msg, XR_WARN,
		       "%s: the log was replayed and left dirty, because of what was said above; do NOT mount it: it holds "
		       "pieces "
		       "of directory blocks, which kernels crash on; copy out what is needed with --extract",
		       target);
	else if (run->contradicted)
		xr_say(run->msg, XR_WARN,
		       "%s: the log was replayed and left dirty, because of what was said above; a kernel that mounts it will "
		       "likely fail, too: then --until-bad gives up what was interrupted and makes the log clean for xfs_repair",
		       target);
	else
		xr_say(run->msg, XR_INFO,
		       "%s: the log was replayed and left dirty: mount the filesystem once, and the kernel does the rest as if "
		       "this had not run",
		       target);
}

/* The exit status of a run that wrote. */
static int verdict(const struct run *run)
{
	const struct options *o = run->options;
	const char *target = o->output ? o->output : o->image;

	if (run_salvaged(run)) {
		xr_say(run->msg, XR_WARN, "%s: salvaged: the log is clean now and a part of it is %s%s: run xfs_repair", target,
		       run->head.cut ? "lost" : "left out", run_finished(run) ? "" : "; what was interrupted was not completed");
		return SALVAGED;
	}
	if (!run_finished(run)) {
		say_left(run, target);
		return DIRTY;
	}
	if (run_damaged(run)) {
		xr_say(run->msg, XR_WARN,
		       "%s: the log is clean now, but the filesystem is damaged, as said above, and kernels may refuse to mount "
		       "it: run xfs_repair",
		       target);
		return SALVAGED;
	}
	xr_say(run->msg, XR_INFO, "%s: the log is clean now", target);
	return o->tell_replayed ? REPLAYED : CLEAN;
}

static int recover(struct run *run)
{
	const struct options *o = run->options;
	bool clean;
	int ret;

	run->log.to_be_walked = o->look != LOOK_LOG && o->look != LOOK_TREE_BEFORE;
	ret = xr_head_find(&run->log, &run->head);
	if (ret)
		return ret;
	report_log(run->report, &run->log, &run->head);
	clean = run->head.clean || run->head.empty;
	if (o->look == LOOK_LOG) {
		ret = showlog(run);
		return ret ? ret : clean ? CLEAN : DIRTY;
	}
	if (o->look == LOOK_TREE_BEFORE) {
		ret = look(run, &run->sb);
	} else if (o->apply_item) {
		ret = clean ? apply_item(run)
			    : xr_fail(run->msg, -EINVAL, "%s: the log is dirty: replay it before --apply-item", o->image);
		if (!ret)
			ret = run_complete(run);
		clean = false;
	} else if (clean) {
		xr_say(run->msg, XR_INFO, "%s: the log is clean, there is nothing to replay", o->image);
		ret = o->look ? look(run, &run->sb) : finish_output(run);
	} else {
		ret = run_replay(run);
		if (!ret)
			ret = run_complete(run);
		if (!ret && o->look)
			ret = look(run, &run->replay.sb);
	}
	if (ret || clean || o->dry_run) {
		if (!ret && o->apply_item)
			xr_say(run->msg, XR_INFO, "%s: nothing was changed", o->image);
		else if (!ret && !clean && o->look != LOOK_TREE_BEFORE)
			xr_say(run->msg, XR_INFO, "%s: the log is dirty; nothing was changed", o->image);
		return ret ? ret : clean || o->apply_item ? CLEAN : DIRTY;
	}
	ret = write_back(run);
	if (!ret)
		ret = finish_output(run);
	if (ret)
		return ret;
	return verdict(run);
}

static int replay_image(struct run *run, const struct options *options, struct report *report)
{
	int ret = run_open(run, options, report), undo;

	if (!ret)
		ret = recover(run);
	undo = run_end_undo(run);
	return ret < 0 || !undo ? ret : undo;
}

int main(int argc, char **argv)
{
	struct options options;
	struct report report;
	struct run run;
	int status, ret = options_parse(&options, argc, argv);

	if (ret)
		return ret > 0 ? CLEAN : FAILED;
	report_init(&report, &options);
	if (options.apply_undo)
		ret = run_apply_undo(&run, &options, &report);
	else
		ret = replay_image(&run, &options, &report);
	status = ret < 0 ? FAILED : ret;
	if (run.process)
		report_stats(&report, run.process, run.cache);
	if (report_end(&report, status))
		status = FAILED;
	run_close(&run);
	return status;
}
