/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_EXTRACT_H
#define XR_EXTRACT_H

#include "inode.h"

struct xr_extract_result {
	uint64_t files, directories,
		others; /* made: regular files, directories, everything else; further names of a file not counted */
	uint64_t bytes; /* of data written */
	uint64_t lost; /* files and pieces that are damaged or could not be made: each warned of */
	/* Left out because this user or the target may not: not lost, and summed up in one warning each. */
	uint64_t devices, owners, attrs;
};

/*
 * Copy what is at a path of fs, and everything below it, into the directory to. to is made, or is there and empty. A directory's contents
 * go into to itself, which gets its attributes; any other file gets its last name in to. path is that of the inode ("/" or "/a/b"), rt the
 * realtime device or NULL.
 *
 * Restored: contents with their holes, symbolic links, FIFOs, sockets, device nodes (for root), hard links, owners, modes, extended
 * attributes and access control lists, times of access and change. Not restored: inode flags, project ids. setuid and setgid bits go
 * where the owner could not be restored. Nothing outside of to is reached, whatever the names and links in fs are.
 *
 * 0; -ENOTEMPTY: to is not empty; errors of the target that would meet every file (-ENOSPC, -EDQUOT, -EROFS, -EIO); -ENOMEM; said.
 * What is damaged or impossible for one file is warned of and counted, and the copy goes on.
 */
int xr_extract(const struct xr_fs *fs, const struct xr_dev *rt, const struct xr_inode *inode, const char *path, const char *to,
	       struct xr_extract_result *result);

#endif
