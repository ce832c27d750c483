/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_FSBUILD_H
#define TEST_FSBUILD_H

#include "support.h"
#include <stdbool.h>
#include <vmap/linux.h>
#include "cache.h"
#include "inode.h"
#include "sb.h"

/*
 * A real filesystem to look at, made by mkfs.xfs from a prototype, in a file without a name; no root, no mount. Tests change
 * bytes of the file and open the cache anew.
 */
struct test_fs {
	struct test_msg t;
	struct xr_dev dev;
	struct vmap_process *process;
	struct xr_cache *cache;
	struct xr_sb sb;
	struct xr_fs fs;
};

/* Is there a mkfs.xfs? Where not, a test exits with 77. */
bool test_fs_possible(void);

/* options: for mkfs.xfs. proto: its prototype file from the root directory's line on, as in mkfs.xfs(8). */
void test_fs_make(struct test_fs *fs, const char *options, const char *proto);
void test_fs_end(struct test_fs *fs);

/* Forget what was read and said: the file was changed. */
void test_fs_again(struct test_fs *fs);

/* A prototype with everything that one can have: n names make the large directory. Caller frees. */
char *test_fs_proto(unsigned n);

/* The inode number that path leads to. */
uint64_t test_fs_lookup(struct test_fs *fs, const char *path);

/* Read, and write with a new checksum, an inode or a block (directory, btree or symlink block, by its magic) at a byte offset. */
void test_fs_get(struct test_fs *fs, uint64_t offset, void *data, size_t size);
void test_fs_put(struct test_fs *fs, uint64_t offset, void *data, size_t size);

#endif
