/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_RTBITMAP_H
#define XR_RTBITMAP_H

#include "inode.h"

/*
 * Count the free realtime extents: the bits that are set in the realtime bitmap, a file on the data device (specification section
 * 11.1). *count is 0 where there is no realtime device. -EOPNOTSUPP (said): realtime groups, whose bitmaps are files of their
 * own; -EUCLEAN: the bitmap has holes or is damaged (said); -EIO; -ENOMEM.
 */
int xr_rtbitmap_free(const struct xr_fs *fs, uint64_t *count);

#endif
