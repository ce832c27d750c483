/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the options to a filesystem as it will be
 *
 * Devices are opened in the order in which they explain each other: the image, whose superblock says whether there must be a log
 * device and a realtime device. Each is asked for its users before it is opened and locked after. What is open when something fails
 * is left for run_close().
 */
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "inuse.h"
#include "quarantine.h"
#include "salvage.h"

/* --- opening --- */

/* How long a filesystem of bytes becomes as its log is replayed: pass 1 of a dry run tells. Whatever is wrong with it, the real run says. */
static uint64_t grown(const struct run *run, uint64_t bytes)
{
	struct options options = *run->options;
	struct report silent = {.msg = xr_silent};
	uint64_t grown = 0;
	struct run dry;

	options.dry_run = true;
	options.output = options.undo = NULL;
	if (!run_open(&dry, &options, &silent) && !xr_head_find(&dry.log, &dry.head) && !dry.head.empty && !dry.head.clean) {
		run_begin_replay(&dry);
		xr_replay_check(&dry.replay, &dry.head);
		grown = dry.replay.end_bbs << XR_BB_SHIFT;
	}
	run_close(&dry);
	return grown > bytes ? grown : bytes;
}

/*
 * Where the filesystem does not begin where the image does, see it from there on: the log may let it grow, so its superblock does not say how long it
 * is. Replay sees to it that nothing behind its end is touched. Only a copy (alone) ends where the filesystem will, lest it be one of the whole disk.
 */
static int fit(const struct run *run, struct xr_dev *dev, bool alone)
{
	struct xr_dev part;
	struct xr_sb sb;
	int ret;

	if (!run->options->offset)
		return 0;
	ret = xr_dev_window(dev, run->options->offset, 0);
	if (!ret)
		ret = xr_sb_read(&sb, dev, run->msg);
	part = *dev;
	if (!ret)
		ret = xr_dev_window(&part, 0, xr_sb_bytes(&sb));
	if (!ret && alone)
		ret = xr_dev_window(dev, 0, grown(run, xr_sb_bytes(&sb)));
	return ret;
}

/* A kernel refuses it, too. What looks at log and disk apart shows what there is of them. */
static int check_size(const struct run *run, const struct xr_dev *dev)
{
	const struct options *o = run->options;
	uint64_t bytes = xr_sb_bytes(&run->sb);
	bool apart = o->look == LOOK_LOG || o->look == LOOK_TREE_BEFORE;

	if (dev->size >= bytes)
		return 0;
	xr_say(run->msg, apart ? XR_WARN : XR_ERROR,
	       "%s: ends at byte %llu, the filesystem on it at %llu: it was cut short: copy it again, all of it", o->image,
	       (unsigned long long)dev->size, (unsigned long long)bytes);
	return apart ? 0 : -EUCLEAN;
}

/* The filesystem on the image, or on what is to be its copy: one that we may touch, and that is all there. */
static int read_sb(struct run *run, const struct xr_dev *dev)
{
	int ret = xr_sb_read(&run->sb, dev, run->msg);

	if (!ret)
		ret = xr_sb_gate(&run->sb, false, run->msg);
	return ret ? ret : check_size(run, dev);
}

/* Copy an image to a new one and open that, for --output. */
static int open_copy(struct run *run, struct xr_dev *dev, const char *name, const char *out, struct xr_copy *copy)
{
	struct xr_dev from;
	int ret = xr_dev_open(&from, name, false, run->msg);

	if (ret)
		return ret;
	ret = xr_inuse_lock(&from);
	if (!ret && dev == &run->data)
		ret = fit(run, &from, true);
	if (!ret && dev == &run->data) /* before time is spent on a copy */
		ret = read_sb(run, &from);
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
	if (!ret)
		ret = xr_inuse_lock(dev);
	return ret || out || dev != &run->data ? ret : fit(run, dev, false);
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

	if (run->sb.has_rtgroups && !name) /* their metadata is on the data device */
		return 0;
	if (!(run->sb.rblocks && !run->sb.rtstart) != !name)
		return xr_fail(run->msg, -EINVAL,
			       name ? "%s: it has no realtime section on a device of its own: give no -r"
				    : "%s: it has a realtime section: name its device with -r",
			       run->options->image);
	if (!name)
		return 0;
	ret = open_dev(run, &run->rtdev, name, "realtime device", false, NULL, NULL);
	if (!ret && run->rtdev.size >> run->sb.blocklog < run->sb.rblocks)
		ret = xr_fail(run->msg, -EUCLEAN, "%s: too small for the realtime section of %s", name, run->options->image);
	return ret;
}

static int open_undo(struct run *run)
{
	struct xr_dev *const devs[XR_ROLES] = {&run->data, run->options->logdev ? &run->logdev : NULL};

	return xr_undo_create(&run->undo, run->options->undo, run->sb.uuid, devs, run->msg);
}

static int open_all(struct run *run)
{
	const struct options *o = run->options;
	int ret = open_dev(run, &run->data, o->image, "image", !o->dry_run, o->output, &run->copy);

	if (!ret && !o->output)
		ret = read_sb(run, &run->data);
	if (!ret)
		ret = check_realtime(run);
	if (!ret && o->logdev)
		ret = open_log_dev(run);
	if (ret)
		return ret;
	if (o->undo)
		ret = open_undo(run);
	if (ret)
		return ret;
	/* Over before 2 MiB pages would pay. */
	ret = vmap_process_create(&(struct vmap_process_config){.huge = VMAP_HUGE_NO}, &run->process);
	if (ret)
		return xr_fail(run->msg, ret, "no memory for the page pool: %s", strerror(-ret));
	ret = xr_log_open(&run->log, &run->sb, &run->data, o->logdev ? &run->logdev : NULL, run->process, run->msg);
	run->log.until_bad = o->until_bad || o->look == LOOK_LOG; /* damage is shown, too */
	run->log.stop_at = o->stop_at;
	if (!ret && o->dry_run)
		ret = xr_shadow_create(&run->shadow, &run->data);
	return ret ? ret : xr_cache_create(&run->cache, &run->data, run->process, true, run->msg);
}

static void init(struct run *run, const struct options *options, struct report *report)
{
	*run = (struct run){.options = options, .report = report, .msg = &report->msg};
	run->data.fd = run->logdev.fd = run->rtdev.fd = -1;
}

int run_open(struct run *run, const struct options *options, struct report *report)
{
	init(run, options, report);
	return open_all(run);
}

/* Open one device as its undo file knows it; with --offset, elsewhere in the image. */
static int open_undone(struct run *run, struct xr_dev *dev, const char *name, const char *role, uint64_t start, uint64_t size)
{
	int ret = xr_inuse_check(name, role, true, NULL, run->msg);

	if (!ret)
		ret = xr_dev_open(dev, name, true, run->msg);
	if (!ret)
		ret = xr_inuse_lock(dev);
	return ret || !start ? ret : xr_dev_window(dev, start, size);
}

int run_apply_undo(struct run *run, const struct options *o, struct report *report)
{
	struct xr_dev *const devs[XR_ROLES] = {&run->data, o->logdev ? &run->logdev : NULL};
	struct xr_undo_info info;
	uint64_t bytes;
	bool ended;
	int ret;

	init(run, o, report);
	ret = xr_undo_info(o->apply_undo, &info, run->msg);
	if (!ret && o->offset)
		info.dev[XR_ROLE_DATA].start = o->offset;
	if (!ret)
		ret = open_undone(run, &run->data, o->image, "image", info.dev[XR_ROLE_DATA].start, info.dev[XR_ROLE_DATA].size);
	if (!ret && o->logdev)
		ret = open_undone(run, &run->logdev, o->logdev, "log device", 0, 0);
	if (!ret)
		ret = xr_undo_apply(o->apply_undo, devs, &bytes, &ended, run->msg);
	if (!ret)
		xr_say(run->msg, XR_INFO, "%s: %s%llu bytes were put back from %s", o->image, ended ? "is as it was: " : "",
		       (unsigned long long)bytes, o->apply_undo);
	return ret;
}

int run_end_undo(struct run *run)
{
	const struct options *o = run->options;
	int ret;

	if (!run->undo)
		return 0;
	ret = xr_undo_end(run->undo);
	xr_say(run->msg, XR_INFO, "%s: keeps %llu bytes that were overwritten; xfs_replay --apply-undo puts them back", o->undo,
	       (unsigned long long)xr_undo_bytes(run->undo));
	return ret;
}

void run_close(struct run *run)
{
	xr_replay_destroy(&run->replay);
	xr_cache_destroy(run->cache);
	xr_log_close(&run->log);
	xr_undo_close(run->undo);
	xr_shadow_close(run->shadow);
	if (run->process)
		vmap_process_destroy(run->process);
	xr_dev_close(&run->data);
	xr_dev_close(&run->logdev);
	xr_dev_close(&run->rtdev);
	xr_copy_abort(&run->copy);
	xr_copy_abort(&run->log_copy);
	free(run->log_out);
}

/* --- replaying --- */

/* Whoever mounts an image whose log holds these loses the machine. */
static int refuse_fragments(struct run *run)
{
	const struct xr_replay_stats *s = &run->replay.stats;

	return xr_fail(
		run->msg, -EOPNOTSUPP,
		"%s: the log holds %llu pieces of scattered directory blocks (the first: block %llu, LSN %u:%u): kernels crash "
		"when they recover it, so nothing must be left to them: do NOT mount it, run xfs_replay without --pass2-only",
		run->options->image, (unsigned long long)s->fragments, (unsigned long long)s->fragment_daddr,
		xr_lsn_cycle(s->fragment_lsn), xr_lsn_block(s->fragment_lsn));
}

void run_begin_replay(struct run *run)
{
	const struct options *o = run->options;

	xr_replay_destroy(&run->replay);
	xr_replay_init(&run->replay, &run->log, run->cache, run->msg);
	run->replay.skips = run->skips;
	run->replay.nskips = o->nskips;
	for (unsigned i = 0; i < o->nskips; i++) {
		run->skips[i].lsn = o->skips[i].lsn;
		run->skips[i].tid = o->skips[i].tid;
		run->skips[i].number = o->skips[i].number;
		run->skips[i].file = o->dry_run ? NULL : o->skips[i].file;
	}
}

bool run_salvaged(const struct run *run)
{
	return run->head.cut || run->options->nskips || run->given_up;
}

/* A kernel that replays a new label puts it in front of the realtime device too, and mounts nothing where the two differ. */
static void check_label(struct run *run)
{
	const struct xr_sb *sb = &run->replay.sb;

	run->label_changed = sb->has_rtgroups && !sb->has_zones && memcmp(sb->fname, run->sb.fname, sizeof(sb->fname)) != 0;
	if (run->label_changed)
		xr_say(run->msg, XR_WARN,
		       "%s: the log gives it another label, which the realtime device has a copy of: that is not written to, and "
		       "xfs_repair has to renew it",
		       run->options->image);
}

int run_replay(struct run *run)
{
	struct xr_replay *r = &run->replay;
	struct xr_fs fs = {&r->sb, run->cache, run->msg};
	int ret = xr_sb_gate(&run->sb, true, run->msg);

	if (ret)
		return ret;
	run_begin_replay(run);
	ret = salvage_check(run);
	r->progress = report_progress;
	r->progress_arg = run->report;
	if (!ret && r->stats.fragments && run->options->pass2_only)
		ret = refuse_fragments(run);
	if (ret) { /* the image still has what was to be left out */
		for (unsigned i = 0; i < run->options->nskips; i++)
			xr_quarantine_undo(&run->skips[i]);
		return ret;
	}
	ret = xr_replay_apply(r, &run->head);
	if (ret)
		return ret;
	/* What was left out, or nothing at all, says nothing about the filesystem. */
	r->trivial &= r->stats.log.committed && !run_salvaged(run);
	check_label(run);
	report_replay(run->report, r);
	report_pending(run->report, r);
	ret = salvage_report(run);
	return ret ? ret : xr_summary_read(&run->summary, &fs);
}

const struct xr_dev *run_realtime(const struct run *run)
{
	if (run->sb.rtstart)
		return &run->data;
	return run->rtdev.fd >= 0 ? &run->rtdev : NULL;
}

/* --- completing --- */

bool run_finished(const struct run *run)
{
	const struct xr_summary *s = &run->summary;

	return run->completed || (!run->replay.intents.count && !s->unlinked && !s->cow && !s->damaged);
}

bool run_damaged(const struct run *run)
{
	return run->summary.damaged || run->kept || run->label_changed;
}

/* The steps cannot be repeated, so what they build on has to be written first. */
static int complete(struct run *run)
{
	bool write = !run->options->dry_run;
	struct xr_complete_stats stats;
	int ret = write ? xr_cache_flush(run->cache) : 0;

	if (ret)
		return ret;
	ret = xr_complete(&run->replay, write ? &run->log : NULL, &run->head, &stats);
	run->completed = !ret;
	run->kept = stats.groups_kept || stats.unlinked_kept;
	run->contradicted = ret == -EUCLEAN;
	run->given_up = run->contradicted && run->options->until_bad;
	if (!ret)
		report_completed(run->report, &stats);
	else if (ret == -EUCLEAN || ret == -EOPNOTSUPP || ret == -ENOSPC)
		ret = 0;
	return ret;
}

int run_complete(struct run *run)
{
	struct xr_fs fs = {&run->replay.sb, run->cache, run->msg};
	int ret = 0;

	if (!run_finished(run) && !run->options->pass2_only && !run->head.cut) {
		ret = complete(run);
		if (!ret)
			ret = xr_summary_read(&run->summary, &fs);
	}
	if (!ret && run->given_up)
		salvage_give_up(run);
	if (!ret)
		report_summary(run->report, &run->replay, &run->summary);
	return ret;
}
