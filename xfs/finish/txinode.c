/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inodes in transactions
 *
 * An inode is joined with the whole cluster that it lies in, which is logged as a buffer of inodes: where clusters begin follows from the alignment of
 * chunks, or, where there is none, from the inode btree. Its counters come in a small and a large form.
 */
#include "bmapedit.h"

#include <errno.h>

#include "btree.h"
#include "bytes.h"
#include "dinode.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)

static int damaged(struct xr_tx *tx, uint64_t ino, const char *what)
{
	return xr_fail(xr_tx_msg(tx), -EUCLEAN, "inode %llu: %s", (unsigned long long)ino, what);
}

/* The first block of the chunk that ino belongs to. Where chunks are not aligned only the inode btree knows. */
static int chunk_of(struct xr_tx *tx, uint64_t ino, uint32_t *agbno)
{
	const struct xr_sb *sb = xr_tx_sb(tx);
	uint32_t agno = (uint32_t)(ino >> (sb->agblklog + sb->inopblog));
	uint32_t agino = (uint32_t)(ino - ((uint64_t)agno << (sb->agblklog + sb->inopblog)));
	struct xr_rec key = {.start = agino}, rec = {0};
	struct xr_cur *cur;
	bool found;
	int ret;

	*agbno = agino >> sb->inopblog;
	if (sb->cluster_blocks == 1)
		return 0;
	if (sb->inoalignmt >= sb->cluster_blocks) {
		*agbno -= *agbno % sb->inoalignmt;
		return 0;
	}
	ret = xr_cur_ag(&cur, tx, XR_INO, agno);
	if (ret)
		return ret;
	ret = xr_cur_lookup(cur, XR_LE, &key, &found);
	if (!ret && found)
		ret = xr_cur_get(cur, &rec, &found);
	xr_cur_end(cur);
	if (!ret && (!found || agino - rec.start >= sb->chunk_inodes))
		ret = damaged(tx, ino, "it is in no chunk of inodes");
	*agbno = (uint32_t)rec.start >> sb->inopblog;
	return ret;
}

int xr_tx_inode(struct xr_tx *tx, uint64_t ino, struct xr_tx_inode *inode)
{
	const struct xr_sb *sb = xr_tx_sb(tx);
	uint32_t agno = (uint32_t)(ino >> (sb->agblklog + sb->inopblog)), chunk, block;
	const char *fault;
	int ret;

	if (!xr_ino_ok(sb, ino))
		return damaged(tx, ino, "no inode of this filesystem can have this number");
	ret = chunk_of(tx, ino, &chunk);
	if (ret)
		return ret;
	block = (uint32_t)(ino >> sb->inopblog & ((1u << sb->agblklog) - 1));
	block = chunk + (block - chunk) / sb->cluster_blocks * sb->cluster_blocks;
	*inode = (struct xr_tx_inode){.ino = ino};
	ret = xr_tx_get(tx, xr_fsb_daddr(sb, (uint64_t)agno << sb->agblklog | block),
			sb->cluster_blocks << (sb->blocklog - XR_BB_SHIFT), XFS_BLFT_DINO_BUF, &inode->buf);
	if (ret)
		return ret;
	inode->offset = (uint32_t)(xr_ino_offset(sb, ino) - (inode->buf->daddr << XR_BB_SHIFT));
	inode->raw = inode->buf->data + inode->offset;
	fault = xr_dinode_fault(sb, inode->raw, ino);
	if (!fault && sb->v5 && !xr_crc_ok(inode->raw, sb->inodesize, DI(crc)))
		fault = "its checksum is wrong";
	return fault ? damaged(tx, ino, fault) : 0;
}

void xr_tx_inode_log(struct xr_tx *tx, struct xr_tx_inode *inode)
{
	const struct xr_sb *sb = xr_tx_sb(tx);

	if (sb->v5) {
		xr_put_be64(inode->raw + DI(lsn), xr_tx_lsn(tx));
		xr_crc_update(inode->raw, sb->inodesize, DI(crc));
	}
	xr_tx_log(tx, inode->buf, inode->offset, sb->inodesize);
}

uint64_t xr_inode_nblocks(const struct xr_tx_inode *inode)
{
	return xr_be64(inode->raw + DI(nblocks));
}

void xr_inode_add_nblocks(struct xr_tx_inode *inode, uint64_t n)
{
	xr_put_be64(inode->raw + DI(nblocks), xr_inode_nblocks(inode) + n);
}

/* --- extent counters --- */

static bool large_counts(const uint8_t *raw)
{
	return raw[DI(version)] >= 3 && xr_be64(raw + DI(flags2)) & XFS_DIFLAG2_NREXT64;
}

static uint64_t nextents(const uint8_t *raw, bool attr)
{
	if (large_counts(raw))
		return attr ? xr_be32(raw + DI(big_anextents)) : xr_be64(raw + DI(big_nextents));
	return attr ? xr_be16(raw + DI(anextents)) : xr_be32(raw + DI(nextents));
}

static uint64_t max_nextents(const uint8_t *raw, bool attr)
{
	if (large_counts(raw))
		return attr ? UINT32_MAX : (UINT64_C(1) << 48) - 1;
	return attr ? INT16_MAX : INT32_MAX;
}

static void put_nextents(uint8_t *raw, bool attr, uint64_t n)
{
	if (large_counts(raw)) {
		if (attr)
			xr_put_be32(raw + DI(big_anextents), (uint32_t)n);
		else
			xr_put_be64(raw + DI(big_nextents), n);
	} else if (attr) {
		xr_put_be16(raw + DI(anextents), (uint16_t)n);
	} else {
		xr_put_be32(raw + DI(nextents), (uint32_t)n);
	}
}

void xr_inode_set_nrext64(struct xr_tx_inode *inode)
{
	uint64_t data = nextents(inode->raw, false), attr = nextents(inode->raw, true);

	if (large_counts(inode->raw))
		return;
	xr_put_be64(inode->raw + DI(flags2), xr_be64(inode->raw + DI(flags2)) | XFS_DIFLAG2_NREXT64);
	put_nextents(inode->raw, false, data);
	put_nextents(inode->raw, true, attr);
	xr_put_be16(inode->raw + DI(nrext64_pad), 0);
}

uint64_t xr_inode_nextents(const struct xr_tx_inode *inode, bool attr)
{
	return nextents(inode->raw, attr);
}

bool xr_inode_set_nextents(struct xr_tx_inode *inode, bool attr, uint64_t n)
{
	if (n > max_nextents(inode->raw, attr))
		return false;
	put_nextents(inode->raw, attr, n);
	return true;
}
