/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_RTBUILD_H
#define TEST_RTBUILD_H

#include "agbuild.h"

/*
 * A filesystem with realtime groups, made of one without by hand, because the mkfs.xfs of most systems cannot: /metadir/rtgroups, an ordinary directory
 * of empty files, becomes what the superblock calls the metadata directory, and the files those of three groups. Their btrees are empty.
 */
#define RT_GROUPS 3u
#define RT_GROUP_BLOCKS 20000u
#define RT_LAST_BLOCKS 19500u

/* forkoff: of the files; what is left of their inodes to the roots of the btrees, in units of 8 bytes, 0: all. options as for ag_test_begin(). */
void rt_test_begin(struct ag_test *t, const char *options, uint8_t forkoff);

/* As it was before, if the btrees are empty again: then ask xfs_repair, and end. */
void rt_test_end(struct ag_test *t);

/* The inode number of a group's file, by the name that it has. */
uint64_t rt_test_file(struct ag_test *t, const char *name);

/* Change two bytes of an inode, on the device: before anything has read it. */
void rt_test_put16(struct ag_test *t, uint64_t ino, size_t offset, uint16_t value);

#endif
