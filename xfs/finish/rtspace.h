/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_RTSPACE_H
#define XR_RTSPACE_H

#include "ag.h"
#include "work.h"

/*
 * Free space of the realtime device: a bitmap and a summary of it, files on the data device; a pair for each realtime group where there are groups.
 */

/* Whether a file has its data on the realtime device; and where the blocks of one of its forks are. */
bool xr_inode_realtime(const uint8_t *raw);
enum xr_section xr_inode_section(const uint8_t *raw, bool attr);

/* Whether reverse mappings are kept of the blocks of a section: of the realtime device only where it is in groups. */
bool xr_section_has_rmaps(const struct xr_sb *sb, enum xr_section section);

/* Whether [block, block + count) are realtime blocks of this filesystem, and of one group. */
bool xr_rt_blocks_ok(const struct xr_sb *sb, uint64_t block, uint64_t count);

/* Whether a realtime extent begins at block, which are such blocks. */
bool xr_rt_whole(const struct xr_sb *sb, uint64_t block);

/*
 * Give blocks of the realtime device back; whole realtime extents. -EUCLEAN, said: they are not, or some are free, or bitmap and summary
 * contradict each other, or are damaged; -EIO, -ENOMEM.
 */
int xr_rt_free(struct xr_work *work, uint64_t block, uint64_t count);

#endif
