/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Groups of the data device and of the realtime device
 *
 * Reverse mappings and reference counts are the same in both: a number is that of a group and a block in it, and the group has a btree of either kind.
 */
#include "ag_impl.h"

#include <errno.h>

int xr_section_range(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len, const char *what, uint32_t *group,
		     uint32_t *block)
{
	const struct xr_sb *sb = xr_tx_sb(tx);

	if (section == XR_DATA)
		return xr_ag_range(tx, fsb, len, what, group, block);
	if (!len || !xr_rtb_ok(sb, fsb, len))
		return xr_fail(xr_tx_msg(tx), -EUCLEAN, "%s: blocks %#llx+%u are not in one realtime group; run xfs_repair -n",
			       what, (unsigned long long)fsb, len);
	*group = xr_rtb_group(sb, fsb);
	*block = xr_rtb_block(sb, fsb);
	return 0;
}

uint64_t xr_section_fsb(const struct xr_sb *sb, enum xr_section section, uint32_t group, uint32_t block)
{
	return section == XR_DATA ? xr_ag_fsb(sb, group, block) : xr_rtb(sb, group, block);
}

int xr_section_cur(struct xr_cur **cur, struct xr_tx *tx, enum xr_section section, enum xr_btnum num, uint32_t group)
{
	if (section == XR_DATA)
		return xr_cur_ag(cur, tx, num, group);
	return xr_cur_rtgroup(cur, tx, num == XR_RMAP ? XR_RTRMAP : XR_RTREFC, group);
}

const char *xr_section_name(enum xr_section section)
{
	return section == XR_DATA ? "allocation" : "realtime";
}
