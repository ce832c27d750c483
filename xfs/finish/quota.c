/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Charging quota (specification 11.4 step 6)
 *
 * A dquot is a record of 136 bytes at a place that its id gives, in a block of a file: it is found through that file's block map and changed in the
 * transaction. Where it cannot be, because quota inodes are not where we look for them or the record is damaged, the superblock says
 * that this kind of quota is unchecked, and the next mount that wants it counts everything anew.
 *
 * Where the quota files are, the superblock says, or the metadata directory, where there is one.
 */
#include "work.h"

#include <errno.h>

#include "bytes.h"
#include "format.h"
#include "metadir.h"
#include "path.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define DQ(field) offsetof(struct xfs_disk_dquot, d_##field)
#define RECORD sizeof(struct xfs_dqblk)

/* Bits of the superblock's qflags. */
enum {
	USER_ACCT = 0x1,
	USER_CHECKED = 0x4,
	PROJECT_ACCT = 0x8,
	OLD_CHECKED = 0x20, /* V4: group or project */
	GROUP_ACCT = 0x40,
	GROUP_CHECKED = 0x100,
	PROJECT_CHECKED = 0x400,
};

struct kind {
	uint16_t acct, checked;
	unsigned dqtype, buftype;
	uint64_t ino;
	const char *name; /* below the metadata directory */
	uint16_t metatype;
};

/* What there is more of, modulo 2^64. */
struct usage {
	uint64_t blocks, rtblocks, inodes;
};

struct xr_owners xr_inode_owners(const uint8_t *raw)
{
	return (struct xr_owners){
		.uid = xr_be32(raw + DI(uid)),
		.gid = xr_be32(raw + DI(gid)),
		.projid = (uint32_t)xr_be16(raw + DI(projid_hi)) << 16 | xr_be16(raw + DI(projid_lo)),
	};
}

/* The number of a quota file. 0: there is none. */
static int find_file(struct xr_work *work, const struct kind *kind, uint64_t *ino)
{
	struct xr_fs fs = {xr_tx_sb(work->tx), xr_tx_cache(work->tx), xr_tx_msg(work->tx)};
	struct xr_inode directory;
	int ret;

	*ino = kind->ino;
	if (!fs.sb->has_metadir)
		return 0;
	*ino = 0;
	ret = xr_metadir_read(&fs, "quota", &directory);
	if (!ret)
		ret = xr_name_lookup(&fs, &directory, kind->name, strlen(kind->name), ino);
	return ret == -ENOENT ? 0 : ret;
}

/* The record of a dquot, in a buffer of the transaction. -ENOENT: it is not to be found. */
static int find(struct xr_work *work, const struct kind *kind, uint32_t id, struct xr_tx_buf **buf, uint8_t **record)
{
	const struct xr_sb *sb = xr_tx_sb(work->tx);
	uint32_t per_block = sb->blocksize / (uint32_t)RECORD;
	struct xr_tx_inode inode;
	struct xr_mapping m;
	uint64_t ino;
	int ret = find_file(work, kind, &ino);

	if (ret)
		return ret;
	if (!ino || !xr_ino_ok(sb, ino))
		return -ENOENT;
	ret = xr_tx_inode(work->tx, ino, &inode);
	if (!ret && sb->has_metadir && xr_metafile_fault(inode.raw, kind->metatype))
		ret = -ENOENT;
	if (!ret)
		ret = xr_bmap_lookup(work->tx, &inode, false, id / per_block, &m);
	if (ret)
		return ret;
	if (m.offset > id / per_block || m.unwritten)
		return -ENOENT;
	ret = xr_tx_get(work->tx, xr_fsb_daddr(sb, m.block + (id / per_block - m.offset)), sb->blocksize >> XR_BB_SHIFT,
			kind->buftype, buf);
	if (ret)
		return ret;
	*record = (*buf)->data + id % per_block * RECORD;
	if (xr_be16(*record + DQ(magic)) != XFS_DQUOT_MAGIC || xr_be32(*record + DQ(id)) != id ||
	    !((*record)[DQ(type)] & kind->dqtype))
		return -ENOENT;
	return sb->v5 && !xr_crc_ok(*record, RECORD, XFS_DQUOT_CRC_OFF) ? -ENOENT : 0;
}

static int uncheck(struct xr_work *work, const struct kind *kind)
{
	struct xr_sb *sb = xr_tx_sb(work->tx);
	struct xr_tx_buf *buf;
	int ret = xr_tx_get(work->tx, XFS_SB_DADDR, sb->sectsize >> XR_BB_SHIFT, XFS_BLFT_SB_BUF, &buf);

	if (ret)
		return ret;
	xr_say(work->replay->msg, XR_INFO, "quota: usage cannot be kept up to date: the next mount with quota counts it anew");
	sb->qflags &= (uint16_t)~kind->checked;
	xr_put_be16(buf->data + offsetof(struct xfs_dsb, sb_qflags), sb->qflags);
	xr_tx_log(work->tx, buf, offsetof(struct xfs_dsb, sb_qflags), 2);
	return 0;
}

static void add(uint8_t *field, uint64_t n)
{
	uint64_t have = xr_be64(field), sum = have + n;

	/* Less than nothing cannot be used, whatever was counted. */
	xr_put_be64(field, n >> 63 && sum > have ? 0 : sum);
}

static int charge(struct xr_work *work, const struct kind *kind, uint32_t id, const struct usage *usage)
{
	const struct xr_sb *sb = xr_tx_sb(work->tx);
	struct xr_tx_buf *buf;
	uint8_t *record;
	int ret;

	if (!(sb->qflags & kind->acct) || !(sb->qflags & kind->checked) || work->replay->quotaoff & kind->dqtype)
		return 0;
	ret = find(work, kind, id, &buf, &record);
	if (ret == -ENOENT || ret == -EUCLEAN)
		return uncheck(work, kind);
	if (ret)
		return ret;
	add(record + DQ(bcount), usage->blocks);
	add(record + DQ(icount), usage->inodes);
	add(record + DQ(rtbcount), usage->rtblocks);
	if (sb->v5) {
		xr_put_be64(record + offsetof(struct xfs_dqblk, dd_lsn), xr_tx_lsn(work->tx));
		xr_crc_update(record, RECORD, XFS_DQUOT_CRC_OFF);
	}
	/* Whole: replay checks the dquot that a logged stretch begins with. */
	xr_tx_log(work->tx, buf, 0, buf->size);
	return 0;
}

int xr_quota_charge(struct xr_work *work, struct xr_owners owners, uint64_t blocks, uint64_t rtblocks, uint64_t inodes)
{
	const struct xr_sb *sb = xr_tx_sb(work->tx);
	const struct kind user = {USER_ACCT,    USER_CHECKED, XFS_DQTYPE_USER,     XFS_BLFT_UDQUOT_BUF,
				  sb->uquotino, "user",       XR_METATYPE_USRQUOTA};
	const struct kind group = {GROUP_ACCT,          sb->v5 ? GROUP_CHECKED : OLD_CHECKED,
				   XFS_DQTYPE_GROUP,    XFS_BLFT_GDQUOT_BUF,
				   sb->gquotino,        "group",
				   XR_METATYPE_GRPQUOTA};
	const struct kind project = {PROJECT_ACCT,        sb->v5 ? PROJECT_CHECKED : OLD_CHECKED, XFS_DQTYPE_PROJ,
				     XFS_BLFT_PDQUOT_BUF, sb->v5 ? sb->pquotino : sb->gquotino,   "project",
				     XR_METATYPE_PRJQUOTA};
	const struct usage usage = {blocks, rtblocks, inodes};
	int ret = 0;

	if (!blocks && !rtblocks && !inodes)
		return 0;
	ret = charge(work, &user, owners.uid, &usage);
	if (!ret)
		ret = charge(work, &group, owners.gid, &usage);
	return ret ? ret : charge(work, &project, owners.projid, &usage);
}
