/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Applying an item that --skip-item left out
 *
 * It is replayed like any other: its LSN decides whether the disk has something newer, and its blocks get that LSN. An intent is completed. What the
 * log went on to do with the same blocks after it stands, unless it has no LSN to tell by: then the item wins.
 */
#include "applyitem.h"

#include <errno.h>

#include "quarantine.h"

static int check(struct run *run, const struct xr_quarantined *q)
{
	const char *name = run->options->apply_item;

	if (memcmp(q->uuid, run->sb.uuid, sizeof(q->uuid)) != 0)
		return xr_fail(run->msg, -EINVAL, "%s: is of another filesystem than %s (UUID)", name, run->options->image);
	/* Blocks that are newer than the log are refused by every kernel. */
	if (q->trans.lsn > xr_lsn(run->head.cycle, run->head.head))
		return xr_fail(run->msg, -EINVAL,
			       "%s: LSN %u:%u is ahead of the log of %s, which was made anew since: too late to apply it", name,
			       xr_lsn_cycle(q->trans.lsn), xr_lsn_block(q->trans.lsn), run->options->image);
	return 0;
}

static int apply(struct run *run, const struct xr_quarantined *q)
{
	const char *name = run->options->apply_item;
	enum xr_outcome outcome;
	int ret;

	run_begin_replay(run);
	run->item_log = run->log;
	run->item_log.order = q->order;
	run->replay.log = &run->item_log;
	ret = xr_replay_one(&run->replay, &q->trans, &outcome);
	if (!ret && outcome == XR_STALE)
		ret = xr_fail(run->msg, -EINVAL, "%s: the disk has a newer state of it: nothing to apply", name);
	if (!ret)
		xr_say(run->msg, XR_INFO, "%s: %s item of LSN %u:%u applied", name, xr_item_type_name(q->item.type),
		       xr_lsn_cycle(q->trans.lsn), xr_lsn_block(q->trans.lsn));
	return ret;
}

int apply_item(struct run *run)
{
	struct xr_fs fs = {&run->replay.sb, run->cache, run->msg};
	struct xr_quarantined q;
	int ret = xr_quarantine_read(&q, run->options->apply_item, run->msg);

	if (ret)
		return ret;
	ret = check(run, &q);
	if (!ret)
		ret = apply(run, &q);
	xr_quarantined_free(&q);
	return ret ? ret : xr_summary_read(&run->summary, &fs);
}
