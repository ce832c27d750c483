/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_DINODE_H
#define XR_DINODE_H

#include "sb.h"

/* The core of an inode on the disk: its size, and with it where the fork area begins (version 3, and older). */
#define XR_CORE_V3 176u
#define XR_CORE_V2 100u

/* Where the forks of an inode lie: offsets and sizes in bytes inside the inode; size 0 stands for no such fork. */
struct xr_forks {
	uint32_t data, data_size;
	uint32_t attr, attr_size;
};

/* The forks of an inode whose core raw points to. False: forkoff points outside. */
bool xr_forks_of(const struct xr_sb *sb, const uint8_t *raw, struct xr_forks *forks);

/*
 * What is wrong with the core of an inode in disk form, in words, or NULL: the rules of the kernel's inode verifier (specification
 * 9.2 steps 6 and 11) as far as the core alone decides. A free inode (mode 0) passes with any format.
 */
const char *xr_core_fault(const struct xr_sb *sb, const uint8_t *raw);

/* What keeps an inode from being number ino of this filesystem, whatever else is in it. */
const char *xr_identity_fault(const struct xr_sb *sb, const uint8_t *raw, uint64_t ino);

/* Both, for a whole inode that must be number ino: identity and core. Not the CRC. */
const char *xr_dinode_fault(const struct xr_sb *sb, const uint8_t *raw, uint64_t ino);

#endif
