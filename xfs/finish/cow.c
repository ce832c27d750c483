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

static int free_leftover(void *arg, uint64_t fsb, uint32_t count)
{
	struct xr_work *work = arg;
	int ret = xr_refcount_cow_free(work->tx, XR_DATA, fsb, count);

	if (!ret)
		ret = xr_rmap_unmap(work->tx, XR_DATA, fsb, count, XR_OWN_COW, 0, false);
	if (!ret)
		ret = xr_free_extent(work->tx, fsb, count, XR_OWN_NULL, 0);
	work->stats->cow_extents++;
	return !ret && xr_tx_full(work->tx) ? xr_work_commit(work) : ret;
}

/* Nobody's data: xfs_repair frees what only the refcount btree has. */
static int give_up_group(struct xr_work *work, uint32_t agno)
{
	int ret = xr_work_undo(work);

	xr_say(work->replay->msg, XR_WARN,
	       "allocation group %u: its copy-on-write leftovers stay allocated until xfs_repair frees them", agno);
	work->stats->groups_kept++;
	return ret;
}

int xr_work_cow(struct xr_work *work)
{
	int ret = 0;

	for (uint32_t agno = 0; agno < work->replay->sb.agcount && !ret; agno++) {
		ret = work->careful ? xr_work_commit(work) : 0;
		if (!ret)
			ret = xr_refcount_cow_each(work->tx, XR_DATA, agno, free_leftover, work);
		if (ret == -EUCLEAN && work->careful)
			ret = give_up_group(work, agno);
	}
	return ret;
}
