/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_RTGROUP_H
#define XR_RTGROUP_H

#include "bmapedit.h"
#include "metadir.h"

/*
 * The files of realtime groups
 *
 * The realtime device of a filesystem with a metadata directory is divided in groups, and what other filesystems have in an AG's header are files there:
 * a bitmap and a summary of free extents, and two btrees with their roots in their inodes. Numbers and sizes of groups: sb.h.
 */

/*
 * Join the inode of a group's file, checked: it is what and whose it should be. The files of all groups are found once in the life of a transaction.
 * -EUCLEAN, said: no such group or file, or a damaged one; -EIO, -ENOMEM.
 */
int xr_rtgroup_file(struct xr_tx *tx, uint32_t rgno, enum xr_rtfile which, struct xr_tx_inode *inode);

/* Find the files of all groups, before a loop over groups: there are not less files than groups. Errors as above. */
int xr_rtgroup_find(struct xr_tx *tx);

#endif
