/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inodes
 *
 * An inode's number is its address, so reading one is a single lookup in the cache, of the basic blocks it lies in and not of the
 * cluster it is logged with: pages are shared, whoever asked for them. The decoded copy owns its bytes, so that no caller holds
 * a buffer while it goes on to other inodes. Symlinks live here because a target is inode content: inline in the data
 * fork, or in blocks that each carry a header of their own.
 */
#include "inode.h"
#include "bmap.h"
#include "bytes.h"
#include "dinode.h"
#include "format.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#define FIELD(raw, name) ((raw) + offsetof(struct xfs_dinode, di_##name))
#define NSEC_PER_SEC 1000000000u

static int damaged(const struct xr_fs *fs, uint64_t ino, const char *what)
{
	return xr_fail(fs->msg, -EUCLEAN, "inode %" PRIu64 ": %s; check the filesystem with xfs_repair -n", ino, what);
}

/* bigtime counts nanoseconds from the earliest second that the classic form, two 32-bit words, can say. */
static struct xr_time decode_time(const uint8_t *p, bool bigtime)
{
	uint64_t t = xr_be64(p);

	if (bigtime)
		return (struct xr_time){(int64_t)(t / NSEC_PER_SEC) + INT32_MIN, (uint32_t)(t % NSEC_PER_SEC)};
	return (struct xr_time){(int32_t)xr_be32(p), xr_be32(p + 4) % NSEC_PER_SEC};
}

void xr_inode_put_time(uint8_t *p, bool bigtime, int64_t seconds, uint32_t nsec)
{
	if (bigtime) {
		xr_put_be64(p, (uint64_t)(seconds - INT32_MIN) * NSEC_PER_SEC + nsec);
		return;
	}
	xr_put_be32(p, (uint32_t)seconds);
	xr_put_be32(p + 4, nsec);
}

static void decode_counts(struct xr_inode *inode)
{
	const uint8_t *raw = inode->raw;

	inode->nblocks = xr_be64(FIELD(raw, nblocks));
	if (inode->flags2 & XFS_DIFLAG2_NREXT64) {
		inode->nextents = xr_be64(FIELD(raw, big_nextents));
		inode->anextents = xr_be32(FIELD(raw, big_anextents));
	} else {
		inode->nextents = xr_be32(FIELD(raw, nextents));
		inode->anextents = xr_be16(FIELD(raw, anextents));
	}
}

static void decode(struct xr_inode *inode)
{
	const uint8_t *raw = inode->raw;
	bool v1 = *FIELD(raw, version) == 1, v3 = *FIELD(raw, version) >= 3;
	uint32_t room;

	inode->mode = xr_be16(FIELD(raw, mode));
	inode->format = *FIELD(raw, format);
	inode->aformat = *FIELD(raw, aformat);
	inode->forkoff = *FIELD(raw, forkoff);
	inode->flags = xr_be16(FIELD(raw, flags));
	inode->flags2 = v3 ? xr_be64(FIELD(raw, flags2)) : 0;
	inode->dmevmask = xr_be32(FIELD(raw, dmevmask));
	inode->dmstate = xr_be16(FIELD(raw, dmstate));
	inode->uid = xr_be32(FIELD(raw, uid));
	inode->gid = xr_be32(FIELD(raw, gid));
	inode->projid = v1 ? 0 : (uint32_t)xr_be16(FIELD(raw, projid_hi)) << 16 | xr_be16(FIELD(raw, projid_lo));
	inode->nlink = v1 ? xr_be16(FIELD(raw, onlink)) : xr_be32(FIELD(raw, nlink));
	inode->gen = xr_be32(FIELD(raw, gen));
	inode->extsize = xr_be32(FIELD(raw, extsize));
	inode->size = xr_be64(FIELD(raw, size));
	decode_counts(inode);

	bool bigtime = inode->flags2 & XFS_DIFLAG2_BIGTIME;
	inode->atime = decode_time(FIELD(raw, atime), bigtime);
	inode->mtime = decode_time(FIELD(raw, mtime), bigtime);
	inode->ctime = decode_time(FIELD(raw, ctime), bigtime);
	inode->crtime = v3 ? decode_time(FIELD(raw, crtime), bigtime) : (struct xr_time){0, 0};

	/* A device number is stored as System V did: 14 bits of major, 18 of minor. */
	inode->major = inode->minor = 0;
	if (inode->format == XFS_DINODE_FMT_DEV) {
		uint32_t rdev = xr_be32(xr_inode_fork(inode, XR_DATA_FORK, &room));
		inode->major = rdev >> 18;
		inode->minor = rdev & 0x3ffff;
	}
}

/* What identifies the bytes as this inode of this filesystem. */
static const char *identity_fault(const struct xr_fs *fs, uint64_t ino, const struct xr_inode *inode)
{
	const uint8_t *raw = inode->raw;

	if (xr_be16(FIELD(raw, magic)) != XFS_DINODE_MAGIC)
		return "there is no inode here";
	if (!fs->sb->v5)
		return *FIELD(raw, version) == 1 || *FIELD(raw, version) == 2 ? NULL : "it is not a version 1 or 2 inode";
	if (*FIELD(raw, version) != 3)
		return "it is not a version 3 inode";
	if (!xr_crc_ok(raw, inode->raw_size, offsetof(struct xfs_dinode, di_crc)))
		return "its checksum is wrong";
	if (xr_be64(FIELD(raw, ino)) != ino)
		return "it carries another inode's number";
	if (memcmp(FIELD(raw, uuid), fs->sb->meta_uuid, sizeof(fs->sb->meta_uuid)) != 0)
		return "it carries another filesystem's UUID";
	return NULL;
}

static uint32_t core_size(const struct xr_inode *inode)
{
	return *FIELD(inode->raw, version) >= 3 ? XR_CORE_V3 : XR_CORE_V2;
}

static bool format_fits_type(const struct xr_inode *inode)
{
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		/* 5: the root of a realtime btree, in metadata inodes. */
		return inode->format == XFS_DINODE_FMT_EXTENTS || inode->format == XFS_DINODE_FMT_BTREE || inode->format == 5;
	case S_IFDIR:
	case S_IFLNK:
		return inode->format == XFS_DINODE_FMT_LOCAL || inode->format == XFS_DINODE_FMT_EXTENTS ||
		       inode->format == XFS_DINODE_FMT_BTREE;
	case S_IFBLK:
	case S_IFCHR:
	case S_IFIFO:
	case S_IFSOCK:
		return inode->format == XFS_DINODE_FMT_DEV;
	default:
		return false;
	}
}

/* Without a fork kernels before 2.6.37 left a 0. */
static bool aformat_ok(const struct xr_inode *inode)
{
	if (!inode->aformat && !inode->forkoff)
		return *FIELD(inode->raw, version) < 3;
	return inode->aformat >= XFS_DINODE_FMT_LOCAL && inode->aformat <= XFS_DINODE_FMT_BTREE;
}

static const char *content_fault(const struct xr_inode *inode)
{
	if (!format_fits_type(inode))
		return "its type and the format of its data fork do not fit";
	if (inode->forkoff && inode->forkoff * 8u >= inode->raw_size - core_size(inode))
		return "its attribute fork lies outside the inode";
	if (!aformat_ok(inode))
		return "its attribute fork has an unknown format";
	if (inode->size >> 63)
		return "its size is negative";
	if (inode->nextents > inode->nblocks || inode->anextents > inode->nblocks - inode->nextents)
		return "it has more extents than blocks";
	return NULL;
}

static int load(const struct xr_fs *fs, uint64_t ino, struct xr_inode *inode)
{
	uint64_t offset = xr_ino_offset(fs->sb, ino);
	uint32_t within = (uint32_t)(offset % XR_BB);
	struct xr_buf buf;
	int error;

	inode->ino = ino;
	inode->raw_size = fs->sb->inodesize;
	error = xr_buf_read(fs->cache, offset >> XR_BB_SHIFT, (within + inode->raw_size + XR_BB - 1) / XR_BB, &buf);
	if (error)
		return error;
	memcpy(inode->raw, buf.data + within, inode->raw_size);
	xr_buf_put(fs->cache, &buf);
	return 0;
}

int xr_inode_read(const struct xr_fs *fs, uint64_t ino, struct xr_inode *inode)
{
	const char *fault;
	int error;

	if (!xr_ino_ok(fs->sb, ino))
		return damaged(fs, ino, "no inode of this filesystem can have this number");
	error = load(fs, ino, inode);
	if (error)
		return error;
	fault = identity_fault(fs, ino, inode);
	if (fault)
		return damaged(fs, ino, fault);
	if (!xr_be16(FIELD(inode->raw, mode)))
		return -ENOENT;
	decode(inode);
	fault = content_fault(inode);
	return fault ? damaged(fs, ino, fault) : 0;
}

const uint8_t *xr_inode_fork(const struct xr_inode *inode, enum xr_fork fork, uint32_t *size)
{
	const uint8_t *literal = inode->raw + core_size(inode);
	uint32_t room = inode->raw_size - core_size(inode);
	uint32_t border = inode->forkoff ? inode->forkoff * 8u : room;

	*size = fork == XR_DATA_FORK ? border : room - border;
	return fork == XR_DATA_FORK ? literal : literal + border;
}

static bool symlink_header_ok(const struct xr_fs *fs, const struct xr_inode *inode, const uint8_t *block, size_t size,
			      uint64_t daddr, size_t at)
{
	return xr_be32(block) == XFS_SYMLINK_MAGIC && xr_crc_ok(block, size, offsetof(struct xfs_dsymlink_hdr, sl_crc)) &&
	       xr_be64(block + offsetof(struct xfs_dsymlink_hdr, sl_owner)) == inode->ino &&
	       xr_be64(block + offsetof(struct xfs_dsymlink_hdr, sl_blkno)) == daddr &&
	       !memcmp(block + offsetof(struct xfs_dsymlink_hdr, sl_uuid), fs->sb->meta_uuid, 16) &&
	       xr_be32(block + offsetof(struct xfs_dsymlink_hdr, sl_offset)) == at;
}

/* One extent of a remote target: copies its part to target + at and says in *got how much that was. */
static int symlink_extent(const struct xr_fs *fs, const struct xr_inode *inode, const struct xr_mapping *m, char *target,
			  size_t at, size_t *got)
{
	uint64_t daddr = xr_fsb_daddr(fs->sb, m->block);
	struct xr_buf buf;
	const uint32_t header = fs->sb->v5 ? (uint32_t)sizeof(struct xfs_dsymlink_hdr) : 0;
	uint32_t left = (uint32_t)(inode->size - at), bytes;
	bool good;
	int error;

	*got = 0;
	error = xr_buf_read(fs->cache, daddr, m->count * (fs->sb->blocksize / XR_BB), &buf);

	if (error)
		return error;
	bytes = header            ? xr_be32(buf.data + offsetof(struct xfs_dsymlink_hdr, sl_bytes))
		: left < buf.size ? left
				  : (uint32_t)buf.size;
	good = (!header || symlink_header_ok(fs, inode, buf.data, buf.size, daddr, at)) && bytes > 0 &&
	       bytes <= buf.size - header && bytes <= left;
	if (good)
		memcpy(target + at, buf.data + header, bytes);
	xr_buf_put(fs->cache, &buf);
	*got = bytes;
	return good ? 0 : damaged(fs, inode->ino, "a block of its symlink target is damaged");
}

/* On V5 each extent, not each block, has a header and a checksum. */
static int symlink_remote(const struct xr_fs *fs, const struct xr_inode *inode, char *target)
{
	/* No target needs more than this many blocks, whatever the mappings say. */
	uint32_t most = XR_SYMLINK_MAX / (fs->sb->blocksize - (uint32_t)sizeof(struct xfs_dsymlink_hdr)) + 1;
	struct xr_bmap map;
	size_t at = 0, got = 0, i = 0;
	int error = xr_bmap_read(fs, inode, XR_DATA_FORK, &map);

	for (; !error && at < inode->size; i++) {
		if (i == map.n || map.map[i].count > most)
			error = damaged(fs, inode->ino, "its symlink target and its extents do not fit");
		else
			error = symlink_extent(fs, inode, &map.map[i], target, at, &got);
		if (!error)
			at += got;
	}
	xr_bmap_free(&map);
	return error;
}

int xr_symlink_read(const struct xr_fs *fs, const struct xr_inode *inode, char *target, size_t *size)
{
	uint32_t room;
	const uint8_t *data = xr_inode_fork(inode, XR_DATA_FORK, &room);
	int error = 0;

	if (!S_ISLNK(inode->mode))
		return -EINVAL;
	if (inode->size == 0 || inode->size > XR_SYMLINK_MAX)
		return damaged(fs, inode->ino, "its symlink target has an impossible length");
	*size = (size_t)inode->size;
	target[*size] = '\0';
	if (inode->format != XFS_DINODE_FMT_LOCAL)
		error = symlink_remote(fs, inode, target);
	else if (*size > room)
		error = damaged(fs, inode->ino, "its symlink target lies outside the inode");
	else
		memcpy(target, data, *size);
	if (!error && memchr(target, '\0', *size))
		error = damaged(fs, inode->ino, "its symlink target has a zero byte in it");
	return error;
}
