/* SPDX-License-Identifier: GPL-2.0-only */
#include "rtgroup.h"

int xr_rtgroup_find(struct xr_tx *tx)
{
	struct xr_fs fs = {xr_tx_sb(tx), xr_tx_cache(tx), xr_tx_msg(tx)};
	struct xr_table *files = xr_tx_rtfiles(tx);

	return files->count || !fs.sb->has_rtgroups ? 0 : xr_rtfiles_find(&fs, files);
}

int xr_rtgroup_file(struct xr_tx *tx, uint32_t rgno, enum xr_rtfile which, struct xr_tx_inode *inode)
{
	struct xr_fs fs = {xr_tx_sb(tx), xr_tx_cache(tx), xr_tx_msg(tx)};
	uint64_t ino;
	int ret = xr_rtgroup_find(tx);

	if (!ret)
		ret = xr_rtfiles_lookup(&fs, xr_tx_rtfiles(tx), rgno, which, &ino);
	if (!ret)
		ret = xr_tx_inode(tx, ino, inode);
	return ret ? ret : xr_rtfile_check(&fs, inode->raw, ino, rgno, which);
}
