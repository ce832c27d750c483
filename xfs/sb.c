/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The superblock
 *
 * Decoding has two steps: the fields are copied as they stand, and then checked group by group, each against what was
 * checked before it, so that afterwards every shift and product of them fits: block numbers 54 bits, inode numbers 64,
 * byte addresses 63. Features are another question, asked by the gate: whether we may touch this filesystem at all.
 */
#include "sb.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "bytes.h"
#include "format.h"
#include "guess.h"

#define DSB(field) offsetof(struct xfs_dsb, sb_##field)
#define MAX_SECTOR 32768u
#define MAX_LOG_BBS (1u << 22) /* 2 GiB; mkfs stays below */
#define MAX_RGBLOCKS ((1u << 31) - 1)
#define MIN_RGEXTENTS 2u /* the first one of group 0 is the realtime superblock's */
#define INODE_CLUSTER 8192u /* bytes of an inode buffer, with 256-byte inodes */

static bool is_power(uint32_t size, uint8_t log, uint32_t min, uint32_t max)
{
	return log < 32 && size == 1u << log && size >= min && size <= max;
}

static int bad(const struct xr_msg *msg, const char *what, uint64_t value)
{
	return xr_fail(msg, -EUCLEAN, "superblock: impossible %s %" PRIu64 ": damaged, or not an XFS filesystem", what, value);
}

static void decode_geometry(struct xr_sb *sb, const uint8_t *raw)
{
	sb->blocksize = xr_be32(raw + DSB(blocksize));
	sb->sectsize = xr_be16(raw + DSB(sectsize));
	sb->inodesize = xr_be16(raw + DSB(inodesize));
	sb->inopblock = xr_be16(raw + DSB(inopblock));
	sb->agblocks = xr_be32(raw + DSB(agblocks));
	sb->agcount = xr_be32(raw + DSB(agcount));
	sb->logblocks = xr_be32(raw + DSB(logblocks));
	sb->blocklog = raw[DSB(blocklog)];
	sb->sectlog = raw[DSB(sectlog)];
	sb->inodelog = raw[DSB(inodelog)];
	sb->inopblog = raw[DSB(inopblog)];
	sb->agblklog = raw[DSB(agblklog)];
	sb->dirblklog = raw[DSB(dirblklog)];
	sb->dblocks = xr_be64(raw + DSB(dblocks));
	sb->rblocks = xr_be64(raw + DSB(rblocks));
	sb->rextents = xr_be64(raw + DSB(rextents));
	sb->rextsize = xr_be32(raw + DSB(rextsize));
	sb->logstart = xr_be64(raw + DSB(logstart));
	sb->inoalignmt = xr_be32(raw + DSB(inoalignmt));
	sb->logsunit = xr_be32(raw + DSB(logsunit));
}

static void decode_rest(struct xr_sb *sb, const uint8_t *raw)
{
	sb->versionnum = xr_be16(raw + DSB(versionnum));
	sb->qflags = xr_be16(raw + DSB(qflags));
	sb->rootino = xr_be64(raw + DSB(rootino));
	sb->rbmino = xr_be64(raw + DSB(rbmino));
	sb->rsumino = xr_be64(raw + DSB(rsumino));
	sb->uquotino = xr_be64(raw + DSB(uquotino));
	sb->gquotino = xr_be64(raw + DSB(gquotino));
	sb->icount = xr_be64(raw + DSB(icount));
	sb->ifree = xr_be64(raw + DSB(ifree));
	sb->fdblocks = xr_be64(raw + DSB(fdblocks));
	sb->frextents = xr_be64(raw + DSB(frextents));
	memcpy(sb->fname, raw + DSB(fname), sizeof(sb->fname));
	memcpy(sb->uuid, raw + DSB(uuid), sizeof(sb->uuid));
	memcpy(sb->meta_uuid, sb->uuid, sizeof(sb->meta_uuid));
	/* Kernels before 2.6.30 put features2 at an offset of their compiler's choice: both places count. */
	if (sb->versionnum & XFS_SB_VERSION_MOREBITSBIT)
		sb->features2 = xr_be32(raw + DSB(features2)) | xr_be32(raw + DSB(bad_features2));
}

/* What only version 5 has; zero on version 4, where the bytes are not defined. */
static void decode_v5(struct xr_sb *sb, const uint8_t *raw)
{
	sb->compat = xr_be32(raw + DSB(features_compat));
	sb->ro_compat = xr_be32(raw + DSB(features_ro_compat));
	sb->incompat = xr_be32(raw + DSB(features_incompat));
	sb->log_incompat = xr_be32(raw + DSB(features_log_incompat));
	sb->spino_align = xr_be32(raw + DSB(spino_align));
	sb->pquotino = xr_be64(raw + DSB(pquotino));
	sb->lsn = xr_be64(raw + DSB(lsn));
	if (sb->incompat & XFS_SB_FEAT_INCOMPAT_META_UUID)
		memcpy(sb->meta_uuid, raw + DSB(meta_uuid), sizeof(sb->meta_uuid));
	sb->has_metadir = sb->incompat & XFS_SB_FEAT_INCOMPAT_METADIR;
	sb->has_rtgroups = sb->has_metadir && sb->rblocks;
	sb->has_zones = sb->has_rtgroups && sb->incompat & XFS_SB_FEAT_INCOMPAT_ZONED;
	if (sb->has_metadir) {
		sb->metadirino = xr_be64(raw + XR_DSB_METADIRINO);
		sb->rgcount = xr_be32(raw + XR_DSB_RGCOUNT);
		sb->rgextents = xr_be32(raw + XR_DSB_RGEXTENTS);
		sb->rgblklog = raw[XR_DSB_RGBLKLOG];
		sb->rtstart = xr_be64(raw + XR_DSB_RTSTART);
	}
}

static void derive_features(struct xr_sb *sb)
{
	sb->logv2 = sb->v5 || sb->versionnum & XFS_SB_VERSION_LOGV2BIT;
	sb->lazy_count = sb->v5 || sb->features2 & XFS_SB_VERSION2_LAZYSBCOUNTBIT;
	sb->has_ftype = sb->v5 ? sb->incompat & XFS_SB_FEAT_INCOMPAT_FTYPE : sb->features2 & XFS_SB_VERSION2_FTYPE;
	sb->has_bigtime = sb->incompat & XFS_SB_FEAT_INCOMPAT_BIGTIME;
	sb->has_nrext64 = sb->incompat & XFS_SB_FEAT_INCOMPAT_NREXT64;
	sb->has_reflink = sb->ro_compat & XFS_SB_FEAT_RO_COMPAT_REFLINK;
	sb->has_rmapbt = sb->ro_compat & XFS_SB_FEAT_RO_COMPAT_RMAPBT;
	sb->has_finobt = sb->ro_compat & XFS_SB_FEAT_RO_COMPAT_FINOBT;
}

static int check_units(const struct xr_sb *sb, const struct xr_msg *msg)
{
	if (!is_power(sb->blocksize, sb->blocklog, sb->v5 ? XFS_MIN_CRC_BLOCKSIZE : XFS_MIN_BLOCKSIZE, XFS_MAX_BLOCKSIZE))
		return bad(msg, "block size", sb->blocksize);
	if (!is_power(sb->sectsize, sb->sectlog, XR_BB, MAX_SECTOR) || sb->sectsize > sb->blocksize)
		return bad(msg, "sector size", sb->sectsize);
	if (!is_power(sb->inodesize, sb->inodelog, sb->v5 ? 512 : 256, 2048) || sb->inodesize > sb->blocksize)
		return bad(msg, "inode size", sb->inodesize);
	if (sb->inopblog != sb->blocklog - sb->inodelog || sb->inopblock != 1u << sb->inopblog)
		return bad(msg, "number of inodes per block", sb->inopblock);
	if (sb->dirblklog > 16 - sb->blocklog)
		return bad(msg, "directory block shift", sb->dirblklog);
	return 0;
}

static int check_groups(const struct xr_sb *sb, const struct xr_msg *msg)
{
	uint64_t whole = (uint64_t)sb->agblocks * (sb->agcount - 1);

	if (sb->agblocks < XFS_MIN_AG_BLOCKS || sb->agblocks > XFS_MAX_AG_BYTES >> sb->blocklog)
		return bad(msg, "allocation group size", sb->agblocks);
	if (sb->agblklog > 31 || 1ull << sb->agblklog < sb->agblocks || 1ull << sb->agblklog >= 2ull * sb->agblocks)
		return bad(msg, "allocation group shift", sb->agblklog);
	if (!sb->agcount)
		return bad(msg, "number of allocation groups", sb->agcount);
	if (sb->dblocks > (uint64_t)INT64_MAX >> sb->blocklog || sb->dblocks < whole + XFS_MIN_AG_BLOCKS ||
	    sb->dblocks > whole + sb->agblocks)
		return bad(msg, "number of blocks", sb->dblocks);
	if (sb->inoalignmt > sb->agblocks)
		return bad(msg, "inode alignment", sb->inoalignmt);
	if (sb->spino_align > sb->agblocks)
		return bad(msg, "sparse inode alignment", sb->spino_align);
	return 0;
}

/* rextents and rextsize have passed. Afterwards a group's blocks have less than 32 bits, and the shift is that of their number. */
static int check_rtgroups(const struct xr_sb *sb, const struct xr_msg *msg)
{
	uint32_t blocks = sb->rgextents * sb->rextsize;

	if (sb->rgextents < MIN_RGEXTENTS || sb->rgextents > MAX_RGBLOCKS / sb->rextsize)
		return bad(msg, "realtime group size", sb->rgextents);
	if (sb->rgcount != sb->rextents / sb->rgextents + (sb->rextents % sb->rgextents != 0))
		return bad(msg, "number of realtime groups", sb->rgcount);
	if (sb->rgblklog > 31 || 1u << sb->rgblklog < blocks || 1u << sb->rgblklog >= 2ull * blocks)
		return bad(msg, "realtime group shift", sb->rgblklog);
	if (sb->rtstart && (sb->rtstart < sb->dblocks ||
			    sb->rtstart > ((uint64_t)INT64_MAX >> sb->blocklog) - ((uint64_t)sb->rgcount << sb->rgblklog)))
		return bad(msg, "start of the realtime section", sb->rtstart);
	return 0;
}

static int check_realtime(const struct xr_sb *sb, const struct xr_msg *msg)
{
	if (!sb->rextsize || sb->rextsize > (uint32_t)XFS_MAX_RTEXTSIZE >> sb->blocklog)
		return bad(msg, "realtime extent size", sb->rextsize);
	if (sb->rblocks > (uint64_t)INT64_MAX >> sb->blocklog)
		return bad(msg, "number of realtime blocks", sb->rblocks);
	if (sb->rextents != sb->rblocks / sb->rextsize)
		return bad(msg, "number of realtime extents", sb->rextents);
	return sb->has_rtgroups ? check_rtgroups(sb, msg) : 0;
}

static int check_log(struct xr_sb *sb, uint8_t logsectlog, const struct xr_msg *msg)
{
	if (!(sb->versionnum & XFS_SB_VERSION_SECTORBIT))
		sb->logsectsize = XR_BB;
	if (!is_power(sb->logsectsize, logsectlog, XR_BB, MAX_SECTOR))
		return bad(msg, "log sector size", sb->logsectsize);
	sb->log_bbs = (uint64_t)sb->logblocks << (sb->blocklog - XR_BB_SHIFT);
	if (!sb->logblocks || sb->log_bbs > MAX_LOG_BBS || sb->log_bbs % (sb->logsectsize / XR_BB))
		return bad(msg, "log size", sb->logblocks);
	if (sb->logstart && !xr_fsb_ok(sb, sb->logstart, sb->logblocks))
		return bad(msg, "log address", sb->logstart);
	if (sb->logsunit > XLOG_MAX_RECORD_BSIZE || (sb->logsunit > 1 && sb->logsunit % XR_BB))
		return bad(msg, "log stripe unit", sb->logsunit);
	sb->log_roundoff = sb->logv2 && sb->logsunit > 1 ? sb->logsunit : XR_BB;
	sb->log_daddr = sb->logstart ? xr_fsb_daddr(sb, sb->logstart) : 0;
	return 0;
}

/* Section 1, derived geometry: large inodes get larger buffers, if the chunks are aligned well enough for them. */
static void derive_inodes(struct xr_sb *sb)
{
	uint32_t cluster = INODE_CLUSTER;

	if (sb->v5) {
		uint32_t scaled = INODE_CLUSTER * (sb->inodesize / 256);
		if (sb->inoalignmt >= scaled >> sb->blocklog)
			cluster = scaled;
	}
	sb->cluster_blocks = cluster > sb->blocksize ? cluster >> sb->blocklog : 1;
	sb->chunk_inodes = sb->inopblock > XFS_INODES_PER_CHUNK ? sb->inopblock : XFS_INODES_PER_CHUNK;
	sb->dirblocksize = sb->blocksize << sb->dirblklog;
}

int xr_sb_decode(struct xr_sb *sb, const void *raw, size_t size, const struct xr_msg *msg)
{
	const uint8_t *p = raw;
	uint16_t version;
	uint8_t logsectlog;
	int error;

	*sb = (struct xr_sb){0};
	if (size < XR_BB || xr_be32(p) != XFS_SB_MAGIC)
		return xr_fail(msg, -EUCLEAN, "superblock: it does not begin as one of XFS");
	version = xr_be16(p + DSB(versionnum)) & XFS_SB_VERSION_NUMBITS;
	if (version != XFS_SB_VERSION_4 && version != XFS_SB_VERSION_5)
		return bad(msg, "version", version);
	sb->v5 = version == XFS_SB_VERSION_5;
	decode_geometry(sb, p);
	decode_rest(sb, p);
	if (sb->v5)
		decode_v5(sb, p);
	derive_features(sb);
	error = check_units(sb, msg);
	if (error)
		return error;
	if (sb->v5 && (size < sb->sectsize || !xr_crc_ok(p, sb->sectsize, DSB(crc))))
		return xr_fail(msg, -EUCLEAN, "superblock: bad checksum: restore it first (xfs_repair finds a copy)");
	if (p[DSB(inprogress)])
		return xr_fail(msg, -EUCLEAN,
			       "superblock: marked as in progress: mkfs or xfs_copy did not finish; nothing to replay");
	logsectlog = XR_BB_SHIFT;
	if (sb->versionnum & XFS_SB_VERSION_SECTORBIT) {
		sb->logsectsize = xr_be16(p + DSB(logsectsize));
		logsectlog = p[DSB(logsectlog)];
	}
	error = check_groups(sb, msg);
	if (!error)
		error = check_realtime(sb, msg);
	if (!error)
		error = check_log(sb, logsectlog, msg);
	if (!error)
		derive_inodes(sb);
	return error;
}

int xr_sb_read(struct xr_sb *sb, const struct xr_dev *dev, const struct xr_msg *msg)
{
	uint8_t raw[MAX_SECTOR];
	char guess[160];
	size_t size = XR_BB;
	uint32_t sectsize;
	int error = xr_dev_read(dev, raw, size, 0);

	if (error)
		return error;
	/* The checksum covers a sector, and the superblock itself says how large that is. */
	sectsize = xr_be16(raw + DSB(sectsize));
	if (xr_be32(raw) == XFS_SB_MAGIC && sectsize > XR_BB && sectsize <= MAX_SECTOR) {
		size = sectsize;
		error = xr_dev_read(dev, raw, size, 0);
		if (error)
			return error;
	}
	if (xr_be32(raw) != XFS_SB_MAGIC) {
		xr_guess(dev, guess, sizeof(guess));
		return xr_fail(msg, -EUCLEAN, "%s: no XFS superblock at byte %" PRIu64 ": %s", dev->name, dev->start, guess);
	}
	return xr_sb_decode(sb, raw, size, msg);
}

static int refuse_bits(const struct xr_msg *msg, const char *kind, uint32_t bits)
{
	return xr_fail(msg, -EOPNOTSUPP,
		       "unknown %s feature bits 0x%" PRIx32
		       ": written by a newer kernel than this program knows: mount it with that "
		       "kernel, or use a newer xfs_replay",
		       kind, bits);
}

/* V4 kept its features in the version number and its extension. What the first kernels wrote, Linux cannot read any more. */
static int gate_v4(const struct xr_sb *sb, const struct xr_msg *msg)
{
	uint32_t version = sb->versionnum & ~(uint32_t)XFS_SB_VERSION_OKBITS;

	if (version)
		return refuse_bits(msg, "version", version);
	if (sb->features2 & ~(uint32_t)XFS_SB_VERSION2_OKBITS)
		return refuse_bits(msg, "version 2", sb->features2 & ~(uint32_t)XFS_SB_VERSION2_OKBITS);
	if (!(sb->versionnum & XFS_SB_VERSION_DIRV2BIT))
		return xr_fail(msg, -EOPNOTSUPP,
			       "version 1 directories, as IRIX wrote them before 1999: no Linux kernel reads them: use IRIX");
	return 0;
}

int xr_sb_gate(const struct xr_sb *sb, bool log_dirty, const struct xr_msg *msg)
{
	const uint32_t ro_known = XFS_SB_FEAT_RO_COMPAT_FINOBT | XFS_SB_FEAT_RO_COMPAT_RMAPBT | XFS_SB_FEAT_RO_COMPAT_REFLINK |
				  XFS_SB_FEAT_RO_COMPAT_INOBTCNT;
	const uint32_t zoned = XFS_SB_FEAT_INCOMPAT_ZONED | XFS_SB_FEAT_INCOMPAT_ZONE_GAPS;
	const uint32_t known = XFS_SB_FEAT_INCOMPAT_FTYPE | XFS_SB_FEAT_INCOMPAT_SPINODES | XFS_SB_FEAT_INCOMPAT_META_UUID |
			       XFS_SB_FEAT_INCOMPAT_BIGTIME | XFS_SB_FEAT_INCOMPAT_NEEDSREPAIR | XFS_SB_FEAT_INCOMPAT_NREXT64 |
			       XFS_SB_FEAT_INCOMPAT_EXCHRANGE | XFS_SB_FEAT_INCOMPAT_PARENT | XFS_SB_FEAT_INCOMPAT_METADIR |
			       zoned;

	if (!sb->v5)
		return gate_v4(sb, msg);
	if (sb->incompat & ~known)
		return refuse_bits(msg, "incompatible", sb->incompat & ~known);
	if (sb->ro_compat & ~ro_known)
		return refuse_bits(msg, "read-only compatible", sb->ro_compat & ~ro_known);
	if (sb->incompat & XFS_SB_FEAT_INCOMPAT_NEEDSREPAIR)
		return xr_fail(msg, -EOPNOTSUPP,
			       "NEEDSREPAIR is set: a repair or upgrade did not finish, and its log must not be replayed: run "
			       "xfs_repair");
	if (sb->incompat & zoned && (!sb->has_metadir || !(sb->incompat & XFS_SB_FEAT_INCOMPAT_ZONED) || sb->has_reflink ||
				     !sb->has_rmapbt || sb->rextsize != 1))
		return xr_fail(msg, -EOPNOTSUPP,
			       "a zoned filesystem without a metadata directory or reverse mappings, or with shared blocks or "
			       "larger realtime extents: no kernel mounts that: run xfs_repair -n");
	if (log_dirty && sb->log_incompat & ~(uint32_t)XFS_SB_FEAT_INCOMPAT_LOG_XATTRS)
		return refuse_bits(msg, "log incompatible", sb->log_incompat & ~(uint32_t)XFS_SB_FEAT_INCOMPAT_LOG_XATTRS);
	if (sb->compat)
		xr_say(msg, XR_WARN, "unknown compatible feature bits 0x%" PRIx32 ": ignored", sb->compat);
	return 0;
}

/* The last block of an AG's fixed part: superblock copy, AGF, AGI and AGFL, a sector each. */
static uint32_t last_header_block(const struct xr_sb *sb)
{
	return 3 * sb->sectsize >> sb->blocklog;
}

uint32_t xr_ag_blocks(const struct xr_sb *sb, uint32_t agno)
{
	if (agno < sb->agcount - 1)
		return sb->agblocks;
	return (uint32_t)(sb->dblocks - (uint64_t)sb->agblocks * (sb->agcount - 1));
}

uint64_t xr_ag_daddr(const struct xr_sb *sb, uint32_t agno)
{
	return (uint64_t)agno * sb->agblocks << (sb->blocklog - XR_BB_SHIFT);
}

bool xr_fsb_ok(const struct xr_sb *sb, uint64_t fsb, uint64_t count)
{
	uint64_t agno = fsb >> sb->agblklog;
	uint64_t agbno = fsb - (agno << sb->agblklog);
	uint32_t blocks;

	if (agno >= sb->agcount || agbno <= last_header_block(sb))
		return false;
	blocks = xr_ag_blocks(sb, (uint32_t)agno);
	return agbno < blocks && count <= blocks - agbno;
}

uint64_t xr_fsb_daddr(const struct xr_sb *sb, uint64_t fsb)
{
	uint64_t agno = fsb >> sb->agblklog;
	uint64_t agbno = fsb - (agno << sb->agblklog);

	return xr_ag_daddr(sb, (uint32_t)agno) + (agbno << (sb->blocklog - XR_BB_SHIFT));
}

bool xr_ino_ok(const struct xr_sb *sb, uint64_t ino)
{
	return xr_fsb_ok(sb, ino >> sb->inopblog, 1);
}

uint64_t xr_ino_offset(const struct xr_sb *sb, uint64_t ino)
{
	uint64_t slot = ino & (sb->inopblock - 1u);

	return (xr_fsb_daddr(sb, ino >> sb->inopblog) << XR_BB_SHIFT) + (slot << sb->inodelog);
}

uint32_t xr_rg_extents(const struct xr_sb *sb, uint32_t rgno)
{
	if (rgno < sb->rgcount - 1)
		return sb->rgextents;
	return (uint32_t)(sb->rextents - (uint64_t)sb->rgextents * (sb->rgcount - 1));
}

uint32_t xr_rg_blocks(const struct xr_sb *sb, uint32_t rgno)
{
	return xr_rg_extents(sb, rgno) * sb->rextsize;
}

bool xr_rtb_ok(const struct xr_sb *sb, uint64_t rtb, uint64_t count)
{
	uint64_t rgno = rtb >> sb->rgblklog;
	uint32_t block = xr_rtb_block(sb, rtb), blocks;

	if (!sb->has_rtgroups || rgno >= sb->rgcount || (!rgno && block < sb->rextsize && !sb->has_zones))
		return false;
	blocks = xr_rg_blocks(sb, (uint32_t)rgno);
	return block < blocks && count <= blocks - block;
}

uint32_t xr_rtb_group(const struct xr_sb *sb, uint64_t rtb)
{
	return (uint32_t)(rtb >> sb->rgblklog);
}

uint32_t xr_rtb_block(const struct xr_sb *sb, uint64_t rtb)
{
	return (uint32_t)(rtb & ((UINT64_C(1) << sb->rgblklog) - 1));
}

uint64_t xr_rtb(const struct xr_sb *sb, uint32_t rgno, uint32_t block)
{
	return (uint64_t)rgno << sb->rgblklog | block;
}

uint64_t xr_rt_device_block(const struct xr_sb *sb, uint64_t rtb)
{
	if (!sb->has_rtgroups)
		return rtb;
	if (!(sb->incompat & XFS_SB_FEAT_INCOMPAT_ZONE_GAPS))
		rtb = (uint64_t)xr_rtb_group(sb, rtb) * sb->rgextents * sb->rextsize + xr_rtb_block(sb, rtb);
	return sb->rtstart + rtb;
}

uint64_t xr_sb_bytes(const struct xr_sb *sb)
{
	uint64_t last = sb->has_rtgroups ? xr_rtb(sb, sb->rgcount - 1, xr_rg_blocks(sb, sb->rgcount - 1) - 1) : 0;

	return (sb->rtstart ? xr_rt_device_block(sb, last) + 1 : sb->dblocks) << sb->blocklog;
}
