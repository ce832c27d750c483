/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_SB_H
#define XR_SB_H

#include "dev.h"

/*
 * The superblock, decoded (specification section 1)
 *
 * Only the primary superblock is used. Every field that later code computes with was range-checked by xr_sb_decode(), so
 * that no shift or product of them can wrap. Names are those of the on-disk fields without sb_.
 */
struct xr_sb {
	uint32_t blocksize, sectsize, inodesize, agblocks, agcount, logblocks;
	uint8_t blocklog, sectlog, inodelog, inopblog, agblklog, dirblklog;
	uint16_t inopblock, versionnum, qflags;
	uint64_t dblocks, rblocks, rextents, logstart;
	uint64_t rootino, rbmino, rsumino, uquotino, gquotino, pquotino, metadirino;
	uint32_t rextsize, inoalignmt, spino_align;
	uint32_t logsectsize, logsunit;
	uint32_t features2, compat, ro_compat, incompat, log_incompat;
	uint64_t icount, ifree, fdblocks, frextents;
	uint64_t lsn;
	uint32_t rgcount, rgextents; /* realtime groups, and realtime extents in each but the last, which may have fewer */
	uint8_t rgblklog;
	uint64_t rtstart; /* the realtime section begins there, on the data device; 0: it has a device of its own */
	char fname[12]; /* the label, not terminated if it is that long */
	uint8_t uuid[16], meta_uuid[16]; /* meta_uuid: what metadata blocks carry; equals uuid without that feature */

	/* Derived. */
	bool v5, logv2, lazy_count, has_ftype, has_bigtime, has_nrext64, has_reflink, has_rmapbt, has_finobt, has_metadir;
	bool has_rtgroups; /* a realtime section in groups, whose metadata are files */
	bool has_zones; /* groups are zones, written front to back: they have neither bitmap nor summary, and there is no realtime superblock */
	uint32_t dirblocksize; /* bytes */
	uint32_t chunk_inodes; /* inodes in an allocation chunk */
	uint32_t cluster_blocks; /* fs blocks in an inode cluster buffer */
	uint32_t log_roundoff; /* bytes: every record's length is a multiple (section 2) */
	uint64_t log_daddr; /* internal log: its daddr on the data device */
	uint64_t log_bbs; /* length of the log in BBs */
};

/*
 * Decode and check size bytes of superblock (>= 512). Says what is wrong and returns -EUCLEAN (no XFS, impossible fields, bad
 * CRC), or 0. Judges fields, not features: that is xr_sb_gate().
 */
int xr_sb_decode(struct xr_sb *sb, const void *raw, size_t size, const struct xr_msg *msg);

/* Read the primary superblock from dev and decode it. */
int xr_sb_read(struct xr_sb *sb, const struct xr_dev *dev, const struct xr_msg *msg);

/* The gate: refuse what we do not know (-EOPNOTSUPP, said with the bit and what to use instead). log_dirty: also log_incompat. */
int xr_sb_gate(const struct xr_sb *sb, bool log_dirty, const struct xr_msg *msg);

/* Addresses (section 0.2). The _ok functions are for numbers from the disk; the others expect numbers that passed them. */
bool xr_fsb_ok(const struct xr_sb *sb, uint64_t fsb,
	       uint64_t count); /* count blocks from fsb, inside one AG, behind its headers */
uint64_t xr_fsb_daddr(const struct xr_sb *sb, uint64_t fsb);
bool xr_ino_ok(const struct xr_sb *sb, uint64_t ino);
uint64_t xr_ino_offset(const struct xr_sb *sb, uint64_t ino); /* byte offset of the inode on the data device */
uint64_t xr_ag_daddr(const struct xr_sb *sb, uint32_t agno); /* daddr of the AG's first block (its superblock copy) */
uint32_t xr_ag_blocks(const struct xr_sb *sb, uint32_t agno); /* blocks in this AG: the last may be shorter */

/*
 * The same for realtime groups, of filesystems that have any. A realtime block number is the group's number, shifted by rgblklog, and the
 * block in it; a group's blocks are those of its whole realtime extents. The first extent of group 0 is the realtime superblock's, if there is one: not ok.
 */
uint32_t xr_rg_extents(const struct xr_sb *sb, uint32_t rgno);
uint32_t xr_rg_blocks(const struct xr_sb *sb, uint32_t rgno);
bool xr_rtb_ok(const struct xr_sb *sb, uint64_t rtb, uint64_t count); /* count blocks from rtb, inside one group */
uint32_t xr_rtb_group(const struct xr_sb *sb, uint64_t rtb);
uint32_t xr_rtb_block(const struct xr_sb *sb, uint64_t rtb);
uint64_t xr_rtb(const struct xr_sb *sb, uint32_t rgno, uint32_t block);

/*
 * Where on the realtime device, in blocks, realtime block rtb is, with groups and without. Groups lie one behind the other there, while their numbers
 * have gaps where the size of a group is no power of two.
 */
uint64_t xr_rt_device_block(const struct xr_sb *sb, uint64_t rtb);

/* How long the filesystem on the data device is, in bytes: with its realtime section, where that is there. */
uint64_t xr_sb_bytes(const struct xr_sb *sb);

#endif
