/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xfs_replay: recover a dirty XFS log without a mount
 *
 * The order of steps is the safety of the tool: find out whether anybody uses the image; read the superblock and judge its
 * features; find the log's head and tail; validate the whole log (pass 1); replay in memory (pass 2, which may write when memory gets
 * short: it can be repeated at any time); write the blocks; and only when they are on the disk make the log clean.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "copy.h"
#include "finish/finish.h"
#include "inuse.h"
#include "report.h"
#include "tree.h"

/* Exit statuses, as xfs_repair(8) has them. */
enum { CLEAN = 0, FAILED = 1, DIRTY = 2, REPLAYED = 4 };

struct run {
	const struct options *options;
	struct report *report;
	const struct xr_msg *msg;
	struct xr_dev data, logdev, rtdev;
	struct xr_copy copy, log_copy; /* --output */
	char *log_out;
	struct xr_sb sb;
	struct vmap_process *process;
	struct xr_log log;
	struct xr_head head;
	struct xr_cache *cache;
	struct xr_replay replay;
	struct xr_summary summary;
};

/* --- opening --- */

/* Copy an image to a new one and open that, for --output. */
static int open_copy(struct run *run, struct xr_dev *dev, const char *name, const char *out, struct xr_copy *copy)
{
	struct xr_dev from;
	int ret = xr_dev_open(&from, name, false, run->msg);

	if (ret)
		return ret;
	ret = xr_inuse_lock(&from);
	if (!ret)
		ret = xr_copy_begin(copy, &from, out, XR_COPY_CLONE, &run->report->progress, run->msg);
	xr_dev_close(&from);
	if (ret)
		return ret;
	xr_progress_clear(&run->report->progress);
	xr_say(run->msg, XR_INFO, "%s: copied to %s (%s)", name, out, xr_copy_method_name(copy->method));
	return xr_dev_open(dev, copy->temp, true, run->msg);
}

/* Open one of the devices the way the options want it; out is its copy's name, NULL without --output. */
static int open_dev(struct run *run, struct xr_dev *dev, const char *name, const char *role, bool writing, const char *out,
		    struct xr_copy *copy)
{
	int ret = xr_inuse_check(name, role, writing && !out, NULL, run->msg);

	if (ret)
		return ret;
	ret = out ? open_copy(run, dev, name, out, copy) : xr_dev_open(dev, name, writing, run->msg);
	return ret ? ret : xr_inuse_lock(dev);
}

static int open_log_dev(struct run *run)
{
	const struct options *o = run->options;

	if (o->output) {
		size_t size = strlen(o->output) + sizeof(".log");

		run->log_out = malloc(size);
		if (!run->log_out)
			return xr_fail(run->msg, -ENOMEM, "no memory");
		snprintf(run->log_out, size, "%s.log", o->output);
	}
	return open_dev(run, &run->logdev, o->logdev, "log device", !o->dry_run, run->log_out, &run->log_copy);
}

/* Realtime blocks are never in the log: the device must be there, be large enough, and be nobody else's. */
static int check_realtime(struct run *run)
{
	const char *name = run->options->rtdev;
	int ret;

	if (run->sb.rblocks && run->sb.has_metadir)
		return xr_fail(
			run->msg, -EOPNOTSUPP,
			"%s: it has realtime groups, which this version cannot recover: mount it on a kernel that supports them",
			run->options->image);
	if (!run->sb.rblocks != !name)
		return xr_fail(run->msg, -EINVAL,
			       name ? "%s: it has no realtime section: give no -r"
				    : "%s: it has a realtime section: name its device with -r",
			       run->options->image);
	if (!name)
		return 0;
	ret = open_dev(run, &run->rtdev, name, "realtime device", false, NULL, NULL);
	if (!ret && run->rtdev.size >> run->sb.blocklog < run->sb.rblocks)
		ret = xr_fail(run->msg, -EUCLEAN, "%s: too small for the realtime section of %s", name, run->options->image);
	return ret;
}

static int open_all(struct run *run)
{
	const struct options *o = run->options;
	int ret = open_dev(run, &run->data, o->image, "image", !o->dry_run, o->output, &run->copy);

	if (!ret)
		ret = xr_sb_read(&run->sb, &run->data, run->msg);
	if (!ret)
		ret = xr_sb_gate(&run->sb, false, run->msg);
	if (!ret)
		ret = check_realtime(run);
	if (!ret && o->logdev)
		ret = open_log_dev(run);
	if (ret)
		return ret;
	ret = vmap_process_create(NULL, &run->process);
	if (ret)
		return xr_fail(run->msg, ret, "no memory for the page pool: %s", strerror(-ret));
	ret = xr_log_open(&run->log, &run->sb, &run->data, o->logdev ? &run->logdev : NULL, run->process, run->msg);
	return ret ? ret : xr_cache_create(&run->cache, &run->data, run->process, !o->dry_run, run->msg);
}

static void close_all(struct run *run)
{
	xr_replay_destroy(&run->replay);
	xr_cache_destroy(run->cache);
	xr_log_close(&run->log);
	if (run->process)
		vmap_process_destroy(run->process);
	xr_dev_close(&run->data);
	xr_dev_close(&run->logdev);
	xr_dev_close(&run->rtdev);
	xr_copy_abort(&run->copy);
	xr_copy_abort(&run->log_copy);
	free(run->log_out);
}

/* --- recovering --- */

static void show_pass2(void *arg, uint32_t done, uint32_t all)
{
	xr_progress_show(arg, "replaying the log", done, all);
}

static int refuse_fragments(struct run *run)
{
	const struct xr_replay_stats *s = &run->replay.stats;

	return xr_fail(run->msg, -EOPNOTSUPP,
		       "%s: the log holds %llu directory buffers shorter than the directory block of %u bytes (the first: block "
		       "%llu, LSN %u:%u), "
		       "which this version cannot replay; do NOT mount it: kernels crash on such a log. Work on a copy, and keep "
		       "the image",
		       run->options->image, (unsigned long long)s->fragments, run->sb.dirblocksize,
		       (unsigned long long)s->fragment_daddr, xr_lsn_cycle(s->fragment_lsn), xr_lsn_block(s->fragment_lsn));
}

/* Replay in memory. Whatever fails here leaves the image as it was, unless memory ran short before (see xr_replay_apply()). */
static int replay(struct run *run)
{
	struct xr_replay *r = &run->replay;
	struct xr_fs fs = {&r->sb, run->cache, run->msg};
	int ret = xr_sb_gate(&run->sb, true, run->msg);

	if (ret)
		return ret;
	xr_replay_init(r, &run->log, run->cache, run->msg);
	r->progress = show_pass2;
	r->progress_arg = &run->report->progress;
	ret = xr_replay_check(r, &run->head);
	if (!ret && r->stats.fragments)
		ret = refuse_fragments(run);
	if (!ret)
		ret = xr_replay_apply(r, &run->head);
	if (ret)
		return ret;
	report_replay(run->report, r);
	ret = xr_summary_read(&run->summary, &fs);
	if (!ret)
		report_summary(run->report, r, &run->summary);
	return ret;
}

static bool finished(const struct run *run)
{
	return !run->replay.intents.count && !run->summary.unlinked && !run->summary.cow;
}

/* Write the blocks, and after them the clean log; or leave it dirty where a kernel has to finish. */
static int write_back(struct run *run)
{
	bool clean = finished(run);
	int ret = 0;

	if (clean)
		ret = xr_finish_superblock(&run->replay.sb, run->cache, &run->summary, &run->head, run->msg);
	if (!ret)
		ret = xr_cache_flush(run->cache);
	if (!ret)
		ret = xr_dev_flush(&run->data);
	if (!ret && clean)
		ret = xr_finish_log(&run->log, &run->head);
	return ret;
}

static int show_tree(struct run *run, const struct xr_sb *sb)
{
	struct xr_fs fs = {sb, run->cache, run->msg};
	struct xr_tree_result result;
	json_t *array;
	int ret;

	xr_progress_clear(&run->report->progress);
	if (!run->report->json) {
		ret = xr_tree_print(&fs, stdout, &result);
	} else {
		ret = xr_tree_json(&fs, &array, &result);
		if (!ret)
			json_object_set_new(run->report->json, "tree", array);
	}
	if (!ret && result.skipped)
		xr_say(run->msg, XR_WARN, "%s: %llu damaged pieces were left out of the list", run->options->image,
		       (unsigned long long)result.skipped);
	return ret;
}

static int finish_output(struct run *run)
{
	int ret = run->log_out ? xr_copy_commit(&run->log_copy) : 0;

	if (!ret && run->options->output)
		ret = xr_copy_commit(&run->copy);
	return ret;
}

static int recover(struct run *run)
{
	const struct options *o = run->options;
	const char *target = o->output ? o->output : o->image;
	bool clean;
	int ret = xr_head_find(&run->log, &run->head);

	if (ret)
		return ret;
	report_log(run->report, &run->log, &run->head);
	clean = run->head.clean || run->head.empty;
	if (o->tree_before) {
		ret = show_tree(run, &run->sb);
	} else if (clean) {
		xr_say(run->msg, XR_INFO, "%s: the log is clean, there is nothing to replay", o->image);
		ret = o->tree ? show_tree(run, &run->sb) : finish_output(run);
	} else {
		ret = replay(run);
		if (!ret && o->tree)
			ret = show_tree(run, &run->replay.sb);
	}
	if (ret || clean || o->dry_run) {
		if (!ret && !clean && !o->tree_before)
			xr_say(run->msg, XR_INFO, "%s: the log is dirty; nothing was changed", o->image);
		return ret ? ret : clean ? CLEAN : DIRTY;
	}
	ret = write_back(run);
	if (!ret)
		ret = finish_output(run);
	if (ret)
		return ret;
	if (!finished(run)) {
		xr_say(run->msg, XR_INFO,
		       "%s: the log was replayed and left dirty: mount the filesystem once, and the kernel does the rest as if "
		       "this had not run",
		       target);
		return DIRTY;
	}
	xr_say(run->msg, XR_INFO, "%s: the log is clean now", target);
	return o->tell_replayed ? REPLAYED : CLEAN;
}

int main(int argc, char **argv)
{
	struct options options;
	struct report report;
	struct run run = {.data = {.fd = -1}, .logdev = {.fd = -1}, .rtdev = {.fd = -1}};
	int status, ret = options_parse(&options, argc, argv);

	if (ret)
		return ret > 0 ? CLEAN : FAILED;
	report_init(&report, &options);
	run.options = &options;
	run.report = &report;
	run.msg = &report.msg;
	ret = open_all(&run);
	if (!ret)
		ret = recover(&run);
	status = ret < 0 ? FAILED : ret;
	if (run.process)
		report_stats(&report, run.process, run.cache);
	report_end(&report, status);
	close_all(&run);
	return status;
}
