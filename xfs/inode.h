/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_INODE_H
#define XR_INODE_H

#include "cache.h"
#include "sb.h"

/*
 * A filesystem to look at: its superblock, and its blocks through the buffer cache. Over an overlay cache that the log was
 * replayed into, everything below sees the filesystem as recovered. Nothing here ever marks a buffer dirty.
 */
struct xr_fs {
	const struct xr_sb *sb;
	struct xr_cache *cache;
	const struct xr_msg *msg;
};

struct xr_time {
	int64_t sec; /* since 1970, UTC */
	uint32_t nsec; /* below 1000000000 */
};

enum xr_fork { XR_DATA_FORK, XR_ATTR_FORK };

/*
 * An inode, decoded (specification section 9.2). Names are those of the on-disk fields without di_; what its version does not have is 0.
 * Checked on the way in: magic, version, CRC, own number and UUID (version 3), a legal type, a fork boundary inside the literal area, formats that exist, a size that
 * is not negative, nextents + anextents <= nblocks.
 */
struct xr_inode {
	uint64_t ino;
	uint16_t mode;
	uint8_t format, aformat; /* XFS_DINODE_FMT_... */
	uint8_t forkoff; /* in units of 8 bytes; 0: no attr fork */
	uint16_t flags, dmstate;
	uint32_t dmevmask;
	uint32_t uid, gid, projid, nlink, gen, extsize;
	uint32_t major, minor; /* device nodes only */
	uint64_t size, nblocks, nextents, anextents, flags2;
	struct xr_time atime, mtime, ctime, crtime;
	uint32_t raw_size;
	uint8_t raw[2048]; /* the inode as it is on the disk */
};

/*
 * Read and decode inode ino. -EUCLEAN: no such place for an inode, or a damaged one (said); -ENOENT: the inode is free (not
 * said: whether that is wrong is the caller's question); -EIO; -ENOMEM.
 */
int xr_inode_read(const struct xr_fs *fs, uint64_t ino, struct xr_inode *inode);

/* A time, as inodes in raw form have it at p. */
void xr_inode_put_time(uint8_t *p, bool bigtime, int64_t seconds, uint32_t nsec);

/* Where a fork lies in inode->raw; *size is its room in bytes. An absent attr fork has room 0. */
const uint8_t *xr_inode_fork(const struct xr_inode *inode, enum xr_fork fork, uint32_t *size);

/*
 * The target of a symlink, inline or remote, into target (XR_SYMLINK_MAX + 1 bytes; terminated, though the bytes are the
 * disk's and may be anything but 0); *size is its length. -EUCLEAN, said; -EIO; -ENOMEM; -EINVAL: no symlink.
 */
#define XR_SYMLINK_MAX 1024u
int xr_symlink_read(const struct xr_fs *fs, const struct xr_inode *inode, char *target, size_t *size);

#endif
