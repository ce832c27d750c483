/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules an inode must keep
 *
 * The kernel refuses to write an inode that breaks one of these, and shuts down when it meets one in the log; so do we, before anything
 * is written. Each function checks one concern and names the first rule that is broken.
 */
#include "dinode.h"

#include <sys/stat.h>

#include "bytes.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)

static uint64_t nextents(const uint8_t *raw, bool large)
{
	return large ? xr_be64(raw + DI(big_nextents)) : xr_be32(raw + DI(nextents));
}

static uint64_t anextents(const uint8_t *raw, bool large)
{
	return large ? xr_be32(raw + DI(big_anextents)) : xr_be16(raw + DI(anextents));
}

static uint64_t flags2_of(const uint8_t *raw)
{
	return raw[DI(version)] >= 3 ? xr_be64(raw + DI(flags2)) : 0;
}

bool xr_forks_of(const struct xr_sb *sb, const uint8_t *raw, struct xr_forks *forks)
{
	uint32_t core = raw[DI(version)] >= 3 ? XR_CORE_V3 : XR_CORE_V2;
	uint32_t area = sb->inodesize - core, at = raw[DI(forkoff)] * 8u;

	if (at >= area)
		return false;
	*forks = (struct xr_forks){core, at ? at : area, at ? core + at : 0, at ? area - at : 0};
	return true;
}

/* The root of a realtime group's btree in an inode, by what the inode says it is. */
static const char *meta_btree_fault(const struct xr_sb *sb, const uint8_t *raw)
{
	unsigned metatype = xr_be16(raw + DI(onlink));

	if (!sb->has_metadir || !(flags2_of(raw) & XFS_DIFLAG2_METADATA))
		return "a metadata btree without that feature, or in a file that is no metadata";
	if (metatype == XR_METATYPE_RTRMAP ? sb->has_rmapbt : metatype == XR_METATYPE_RTREFC && sb->has_reflink)
		return NULL;
	return "an impossible kind of metadata btree";
}

static const char *mode_fault(const struct xr_sb *sb, const uint8_t *raw, uint16_t mode, uint64_t size)
{
	unsigned format = raw[DI(format)];

	switch (mode & S_IFMT) {
	case S_IFIFO:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFSOCK:
		return format == XFS_DINODE_FMT_DEV ? NULL : "a special file without device format";
	case S_IFREG:
		if (format == XR_DINODE_FMT_META_BTREE)
			return meta_btree_fault(sb, raw);
		return format == XFS_DINODE_FMT_EXTENTS || format == XFS_DINODE_FMT_BTREE ? NULL
											  : "an impossible format for a file";
	case S_IFDIR:
	case S_IFLNK:
		if (!size && xr_be32(raw + DI(nlink)))
			return "an empty directory or symlink: it must have a size";
		return format == XFS_DINODE_FMT_LOCAL || format == XFS_DINODE_FMT_EXTENTS || format == XFS_DINODE_FMT_BTREE
			       ? NULL
			       : "an impossible format for a directory or symlink";
	case 0:
		return mode ? "a mode without a file type" : NULL;
	default:
		return "an impossible file type";
	}
}

/* Counts and formats of the two forks against their room. */
static const char *fork_fault(unsigned format, uint64_t extents, uint64_t size, uint32_t room, bool attr)
{
	switch (format) {
	case XFS_DINODE_FMT_LOCAL:
		if (extents)
			return attr ? "inline attributes that have extents" : "inline data that has extents";
		return !attr && size > room ? "inline data larger than its room in the inode" : NULL;
	case XFS_DINODE_FMT_EXTENTS:
		return extents > room / sizeof(struct xfs_bmbt_rec) ? "more extents than fit into the inode" : NULL;
	default:
		return NULL;
	}
}

static const char *forks_fault(const struct xr_sb *sb, const uint8_t *raw, uint16_t mode, uint64_t size)
{
	bool large = flags2_of(raw) & XFS_DIFLAG2_NREXT64;
	uint64_t data = nextents(raw, large), attr = anextents(raw, large);
	unsigned aformat = raw[DI(aformat)];
	struct xr_forks forks;
	const char *fault;

	if (!xr_forks_of(sb, raw, &forks))
		return "an attribute fork outside the inode";
	if (data + attr < data || data + attr > xr_be64(raw + DI(nblocks)))
		return "more extents than blocks";
	if (!mode)
		return NULL;
	fault = fork_fault(raw[DI(format)], data, size, forks.data_size, false);
	if (fault)
		return fault;
	if (!forks.attr_size) /* 0 is what kernels before 2.6.37 left there */
		return (aformat == XFS_DINODE_FMT_EXTENTS || !aformat) && !attr ? NULL : "attributes without an attribute fork";
	if (aformat != XFS_DINODE_FMT_LOCAL && aformat != XFS_DINODE_FMT_EXTENTS && aformat != XFS_DINODE_FMT_BTREE)
		return "an impossible attribute format";
	return fork_fault(aformat, attr, 0, forks.attr_size, true);
}

static const char *flags2_fault(const struct xr_sb *sb, const uint8_t *raw, uint16_t mode)
{
	uint64_t flags2 = flags2_of(raw);
	bool realtime = xr_be16(raw + DI(flags)) & XFS_DIFLAG_REALTIME;

	if (flags2 & XFS_DIFLAG2_REFLINK && (!sb->has_reflink || (mode && !S_ISREG(mode))))
		return "shared blocks where there can be none";
	if (flags2 & XFS_DIFLAG2_REFLINK && realtime && !sb->has_metadir)
		return "shared realtime blocks";
	if (flags2 & XFS_DIFLAG2_BIGTIME && !sb->has_bigtime)
		return "large timestamps without that feature";
	if (flags2 & XFS_DIFLAG2_NREXT64) {
		if (!sb->has_nrext64 || xr_be16(raw + DI(nrext64_pad)))
			return "large extent counters without that feature, or with other bits set";
	} else if (raw[DI(version)] >= 3 && xr_be64(raw + DI(v3_pad))) {
		return "bits set where only large extent counters have any";
	}
	return NULL;
}

const char *xr_core_fault(const struct xr_sb *sb, const uint8_t *raw)
{
	uint16_t mode = xr_be16(raw + DI(mode));
	uint64_t size = xr_be64(raw + DI(size));
	unsigned version = raw[DI(version)];
	const char *fault;

	if (xr_be16(raw + DI(magic)) != XFS_DINODE_MAGIC)
		return "no inode magic";
	if (sb->v5 ? version != 3 : version < 1 || version > 2)
		return "an inode version that this filesystem cannot have";
	if (size >> 63)
		return "a negative size";
	fault = mode_fault(sb, raw, mode, size);
	if (!fault)
		fault = flags2_fault(sb, raw, mode); /* they say how the extents are counted */
	return fault ? fault : forks_fault(sb, raw, mode, size);
}

const char *xr_identity_fault(const struct xr_sb *sb, const uint8_t *raw, uint64_t ino)
{
	if (sb->v5 && xr_be64(raw + DI(ino)) != ino)
		return "the number of another inode";
	if (sb->v5 && memcmp(raw + DI(uuid), sb->meta_uuid, 16))
		return "another filesystem's UUID";
	return NULL;
}

const char *xr_dinode_fault(const struct xr_sb *sb, const uint8_t *raw, uint64_t ino)
{
	const char *fault = xr_identity_fault(sb, raw, ino);

	return fault ? fault : xr_core_fault(sb, raw);
}
