/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TREE_H
#define XR_TREE_H

#include <jansson.h>
#include <stdio.h>
#include "inode.h"

/* The longest path that is shown, in bytes, before escaping. What lies deeper is skipped, and said. */
#define XR_TREE_PATH_MAX 65536u

/* One name in the tree. Everything is good until the visitor returns. */
struct xr_tree_entry {
	const char
		*path; /* the disk's bytes, terminated: "/" for the root, else "/a/b"; escape it (xr_escape) before showing it */
	size_t path_size;
	const struct xr_inode *inode;
	const char *target; /* of a symlink, the disk's bytes, terminated; NULL for everything else and where it is damaged */
	size_t target_size;
};

/* A non-zero return ends the walk and is returned. */
typedef int xr_tree_fn(void *arg, const struct xr_tree_entry *entry);

struct xr_tree_result {
	uint64_t entries; /* handed to the visitor */
	uint64_t skipped; /* damaged blocks, inodes, targets, entries that could not be followed: each warned of */
};

/*
 * Visit every name from the root directory down, in the order of the paths' bytes (so "/a-b" comes before "/a/c"). A hard link is
 * visited once for each of its names, a directory is entered once, however many names a damaged filesystem gives it. What is
 * damaged is warned of, counted and skipped. *result is filled in whatever is returned: 0, what fn returned, -ENOMEM, or, where
 * the root directory itself cannot be read, -EUCLEAN or -EIO (said).
 *
 * Memory: the names of the directories on the way to the current one, and eight bytes or so a directory.
 */
int xr_tree_walk(const struct xr_fs *fs, xr_tree_fn *fn, void *arg, struct xr_tree_result *result);

/* What enter returns to have the contents of this directory passed over. */
#define XR_TREE_SKIP 1

/* Where to begin, and what else to be told. */
struct xr_tree_start {
	uint64_t ino;
	const char *path; /* of this inode: "/", or "/a/b"; the paths of all entries begin with it */
	bool flat; /* of a directory, the names in it and nothing else; of other files their own entry */
	/* Called before the contents of a directory, and after them (once for each time that enter returned 0); may be NULL. */
	xr_tree_fn *enter, *leave;
};

/* The same from another name than the root's on. -ENAMETOOLONG, said: start->path is longer than XR_TREE_PATH_MAX. */
int xr_tree_walk_from(const struct xr_fs *fs, const struct xr_tree_start *start, xr_tree_fn *fn, void *arg,
		      struct xr_tree_result *result);

/*
 * Print the tree, one line an entry, fields separated by one blank:
 *
 *   MODE NLINK UID GID SIZE MTIME INO PATH[ -> TARGET]
 *
 * MODE as ls -l has it; SIZE in bytes, "MAJOR,MINOR" for device nodes; MTIME as 2026-11-22T10:20:30.123456789Z; PATH and TARGET
 * escaped by xr_escape(). The form is stable: scripts may read it. start may be NULL: everything. Errors as xr_tree_walk_from();
 * -EIO (said): out could not be written.
 */
int xr_tree_print(const struct xr_fs *fs, const struct xr_tree_start *start, FILE *out, struct xr_tree_result *result);

/*
 * The same as a JSON array of objects: path, ino, type ("file", "directory", "symlink", "block", "char", "fifo", "socket"),
 * mode (permission bits in octal, a string), nlink, uid, gid, projid, gen, size or (devices) major and minor, atime, mtime,
 * ctime, crtime, target (symlinks), and where they are not 0 flags, flags2 and DMAPI's dmevmask and dmstate. *array is the
 * caller's; NULL on failure.
 */
int xr_tree_json(const struct xr_fs *fs, const struct xr_tree_start *start, json_t **array, struct xr_tree_result *result);

#endif
