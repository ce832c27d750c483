/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_PATH_H
#define XR_PATH_H

#include "inode.h"

/* Look name (size bytes) up in a directory. 0 and its inode number, not checked; -ENOENT; -EIO, said: not found, and a part of the
 * directory is damaged; -ENOTDIR; -ENOMEM. */
int xr_name_lookup(const struct xr_fs *fs, const struct xr_inode *dir, const void *name, size_t size, uint64_t *ino);

/*
 * Follow text from the root directory: names between slashes, in the form that the tree is printed in (\xHH and \\ stand for one byte).
 * Symbolic links are not followed, at the end neither. *inode is what was found, *path its path in the disk's bytes, "/" or "/a/b";
 * the caller frees it. What is wrong is said with the name that failed: -ENOENT, -ENOTDIR, -ELOOP (a symbolic link on the way), -EINVAL
 * (".." and bad escapes), or as xr_inode_read().
 */
int xr_path_lookup(const struct xr_fs *fs, const char *text, struct xr_inode *inode, char **path);

#endif
