/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_RTBITMAP_H
#define XR_RTBITMAP_H

#include "inode.h"

/*
 * The realtime bitmap and its summary, files on the data device (specification section 11.1)
 *
 * One bitmap has a bit for each realtime extent, set while it is free. Filesystems with realtime groups have a pair of these files for each group,
 * all of the same size, though the last group may be shorter. Both files are words of 32 bits. Without groups the words are in the byte order of the
 * machine and fill the blocks; with groups they are big-endian, behind a header.
 */

/* Bytes of a block's header, and words behind it. */
uint32_t xr_rt_header(const struct xr_sb *sb);
uint32_t xr_rt_words(const struct xr_sb *sb);

/* Blocks of a bitmap: of the whole filesystem, or of each group. */
uint64_t xr_rtbitmap_blocks(const struct xr_sb *sb);

/*
 * What is wrong with the header of a block of either file, of inode ino, at daddr; its CRC aside, which changes with the words. NULL: nothing, or
 * there is no header. type: XFS_BLFT_RTBITMAP_BUF or XFS_BLFT_RTSUMMARY_BUF.
 */
const char *xr_rtblock_fault(const struct xr_sb *sb, const uint8_t *block, unsigned type, uint64_t daddr, uint64_t ino);
bool xr_rtblock_crc_ok(const struct xr_sb *sb, const uint8_t *block);

/*
 * Count the free realtime extents of a filesystem without realtime groups. *count is 0 where there is no realtime device. -EUCLEAN: the bitmap has
 * holes or is damaged (said); -EIO; -ENOMEM.
 */
int xr_rtbitmap_free(const struct xr_fs *fs, uint64_t *count);

/* The same of one realtime group, whose bitmap's inode is given. */
int xr_rtbitmap_group_free(const struct xr_fs *fs, const struct xr_inode *bitmap, uint32_t rgno, uint64_t *count);

#endif
