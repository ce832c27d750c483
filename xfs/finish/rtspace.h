/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_RTSPACE_H
#define XR_RTSPACE_H

#include "work.h"

/*
 * Free space of the realtime device, of filesystems without realtime groups: a bitmap and a summary of it, both files on the data device.
 */

/* Whether a file has its data on the realtime device. */
bool xr_inode_realtime(const uint8_t *raw);

/* Whether [block, block + count) are realtime blocks of this filesystem. */
bool xr_rt_blocks_ok(const struct xr_sb *sb, uint64_t block, uint64_t count);

/*
 * Give blocks of the realtime device back; whole realtime extents. -EUCLEAN, said: they are not, or some are free, or bitmap and summary
 * contradict each other; -EOPNOTSUPP, said: realtime groups; -EIO, -ENOMEM.
 */
int xr_rt_free(struct xr_work *work, uint64_t block, uint64_t count);

#endif
