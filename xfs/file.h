/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_FILE_H
#define XR_FILE_H

#include "bmap.h"

/* The content of a regular file, through its block map: from the data device as the cache has it, or from the realtime device. */
struct xr_file {
	const struct xr_fs *fs;
	const struct xr_dev *rt;
	uint64_t ino, size;
	struct xr_bmap map;
};

/*
 * Open a regular file. rt is the realtime device, NULL where there is none. 0; -EINVAL: no regular file; -EUCLEAN, -EIO: its map is damaged
 * (said), and what is mapped before the damage can be read all the same; -EOPNOTSUPP: its data is on a realtime device that cannot be read
 * (said); -ENOMEM. Whatever was returned, xr_file_close() is due.
 */
int xr_file_open(struct xr_file *file, const struct xr_fs *fs, const struct xr_dev *rt, const struct xr_inode *inode);
void xr_file_close(struct xr_file *file);

/*
 * The next stretch of written data that ends behind byte offset and begins before the end of the file: [*from, *to), cut at offset and at
 * the file's end. False: nothing but holes and unwritten extents, which read as zeros, follows.
 */
bool xr_file_data(const struct xr_file *file, uint64_t offset, uint64_t *from, uint64_t *to);

/* Read size bytes at offset, all of them before the end of the file. -EIO (said); -ENOMEM. */
int xr_file_read(const struct xr_file *file, void *to, size_t size, uint64_t offset);

#endif
