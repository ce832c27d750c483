/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_FUZZFS_H
#define FUZZ_FUZZFS_H

#include "fsbuild.h"
#include "logbuild.h"

/* A small filesystem with something of everything, made once. Messages are formatted and forgotten. */
void fuzz_fs_make(struct test_fs *fs);

/* The same, with a log of zeros to be written. */
void fuzz_fs_make_log(struct test_fs *fs, struct lb *lb);

/* Walk the tree behind fs: every name, attribute and file content, as far as they can be read. */
void fuzz_fs_look(const struct xr_fs *fs);

#endif
