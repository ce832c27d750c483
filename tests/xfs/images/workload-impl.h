/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TEST_WORKLOAD_IMPL_H
#define XR_TEST_WORKLOAD_IMPL_H

/* What the files of the workload share; nobody else includes this. */
#include <limits.h>
#include "workload.h"

/* True in percent of 100 cases. */
bool chance(struct work *w, unsigned percent);

/* --- the model --- */

/* The new node's number; it counts as a child of parent. */
size_t node_add(struct work *w, enum kind kind, size_t parent, const char *name);
void node_drop(struct work *w, size_t i);
void node_move(struct work *w, size_t i, size_t parent, const char *name);

/* Any node of this kind; 0, the root, where there is none. pick_dir(): a directory that is not too deep. any_kind(): one that a name can have. */
size_t pick(struct work *w, enum kind kind);
size_t pick_dir(struct work *w);
enum kind any_kind(struct work *w);

/* Paths below the mount point: of a name in a directory, of a node. */
void path_in(const struct work *w, size_t dir, const char *name, char path[PATH_MAX]);
void path_of(const struct work *w, size_t i, char path[PATH_MAX]);
/* A name that nothing has yet: short, long, or of odd bytes. */
void new_name(struct work *w, char name[NAME_MAX + 1]);

/* --- system calls --- */

/* 0 for what succeeded, else -errno. */
int result(int r);
/* A descriptor or -errno. */
int open_node(struct work *w, size_t i, int flags);
/* Close, and give rc. */
int close_with(int fd, int rc);
int write_some(struct work *w, int fd, uint64_t offset, size_t size);

/* --- operations on what names lead to (workload-files.c): 0 or -errno --- */

int op_write(struct work *w);
int op_append(struct work *w);
int op_fsync(struct work *w);
int op_truncate(struct work *w);
int op_fallocate(struct work *w);
int op_sparse(struct work *w);
int op_swap_extents(struct work *w);
int op_exchange_ranges(struct work *w);
int op_attributes(struct work *w);
int op_flags(struct work *w);
int op_setxattr(struct work *w);
int op_removexattr(struct work *w);
int op_many_xattrs(struct work *w);
int op_acl(struct work *w);
int op_clone(struct work *w);

#endif
