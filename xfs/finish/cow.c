/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Copy-on-write leftovers (specification 11.5)
 *
 * Blocks that a write to shared data had been given, but did not come to use: only the refcount btree knows them. Whoever makes the log clean
 * has to free them, because kernels look for them only after a dirty log.
 */
#include "work.h"

#include <errno.h>

#include "ag.h"
#include "rtgroup.h"
#include "rtspace.h"

/* The leftovers of one group. */
struct leftovers {
	struct xr_work *work;
	enum xr_section section;
	uint32_t group;
};

static int free_leftover(void *arg, uint64_t fsb, uint32_t count)
{
	const struct leftovers *l = arg;
	struct xr_work *work = l->work;
	int ret = xr_refcount_cow_free(work->tx, l->section, fsb, count);

	if (!ret)
		ret = xr_rmap_unmap(work->tx, l->section, fsb, count, XR_OWN_COW, 0, false);
	if (!ret && l->section == XR_REALTIME)
		ret = xr_rt_free(work, fsb, count);
	else if (!ret)
		ret = xr_free_extent(work->tx, fsb, count, XR_OWN_NULL, 0);
	work->stats->cow_extents++;
	return !ret && xr_tx_full(work->tx) ? xr_work_commit(work) : ret;
}

/* Nobody's data: xfs_repair frees what only the refcount btree has. */
static int give_up_group(const struct leftovers *l)
{
	int ret = xr_work_undo(l->work);

	xr_say(l->work->replay->msg, XR_WARN,
	       "%s group %u: its copy-on-write leftovers stay allocated until xfs_repair frees them",
	       l->section == XR_REALTIME ? "realtime" : "allocation", l->group);
	l->work->stats->groups_kept++;
	return ret;
}

static int free_group(struct leftovers *l)
{
	struct xr_work *work = l->work;
	int ret = work->careful ? xr_work_commit(work) : 0;

	if (!ret)
		ret = xr_refcount_cow_each(work->tx, l->section, l->group, free_leftover, l);
	return ret == -EUCLEAN && work->careful ? give_up_group(l) : ret;
}

static int free_section(struct xr_work *work, enum xr_section section, uint32_t groups)
{
	struct leftovers l = {work, section, 0};
	int ret = 0;

	for (; l.group < groups && !ret; l.group++)
		ret = free_group(&l);
	return ret;
}

static int free_realtime(struct xr_work *work)
{
	int ret = xr_rtgroup_find(work->tx);

	if (!ret)
		return free_section(work, XR_REALTIME, work->replay->sb.rgcount);
	if (ret != -EUCLEAN || !work->careful)
		return ret;
	xr_say(work->replay->msg, XR_WARN,
	       "realtime groups: their copy-on-write leftovers stay allocated until xfs_repair frees them");
	work->stats->groups_kept++;
	return 0;
}

int xr_work_cow(struct xr_work *work)
{
	const struct xr_sb *sb = &work->replay->sb;
	int ret = free_section(work, XR_DATA, sb->agcount);

	return ret || !sb->has_rtgroups ? ret : free_realtime(work);
}
