/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_DIR_H
#define XR_DIR_H

#include "inode.h"

/* One name in a directory, never "." or "..": 1 to 255 bytes, no '/' and no 0 among them. Good until the function returns. */
struct xr_dirent {
	const uint8_t *name;
	uint32_t size;
	uint64_t ino; /* as the entry has it: not checked */
	uint8_t ftype; /* XFS_DIR3_FT_..., 0 unknown */
};

/* Called with each name, in the order of the directory. A non-zero return ends the scan and is returned. */
typedef int xr_dirent_fn(void *arg, const struct xr_dirent *entry);

/* Kept by the caller over all directories of a filesystem. */
struct xr_dir_scan {
	/*
	 * Blocks that may still be read. A block belongs to one directory only, so the blocks of the filesystem bound what all
	 * its directories together can have; a crafted image where many directories share blocks runs out instead of on.
	 */
	uint64_t budget;
	uint64_t damaged; /* directory blocks, and pieces of directories, that were skipped */
};

/*
 * Hand every name in dir to fn, from the inode, or from the directory's data blocks through its block map; the hash index
 * (leaf, node and free blocks) is not needed for that and not looked at. A directory block that consists of several scattered
 * extents is seen through one contiguous view. Damaged blocks are counted and skipped, with one warning for each, or for a run
 * of them with the same damage. fn is called while a buffer is held. 0, what fn returned, -ENOMEM, -EINVAL (no directory).
 */
int xr_dir_read(const struct xr_fs *fs, const struct xr_inode *dir, struct xr_dir_scan *scan, xr_dirent_fn *fn, void *arg);

/*
 * What is wrong with a V5 directory block of dir that lies in buf and begins at daddr, in words; NULL: nothing. Of data blocks everything is
 * checked; of index blocks owner and shape, because checksum, UUID and address are what xr_block_stamp() makes or checks.
 */
const char *xr_dir_block_fault(const struct xr_fs *fs, const struct xr_inode *dir, const struct xr_buf *buf, uint64_t daddr);

#endif
