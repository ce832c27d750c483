/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inode-create items (specification section 9.3)
 *
 * One small item stands for a whole chunk of new inodes: replay writes them as free ones, cluster by cluster, and the inode items that
 * follow fill them in. There is no LSN to compare: what was in the blocks before does not matter. When the chunk was freed later, one of
 * its clusters is in the cancel table, and then none of them is touched.
 */
#include "items.h"

#include <errno.h>

#include "format.h"

#define NUMBER_BITS 6u /* a chunk has 64 inodes, the first of a number that is aligned to them, as a rule */

struct icreate {
	uint32_t agno, agbno, count, isize, length, gen;
};

static void decode(const struct xr_item *item, struct icreate *ic)
{
	const uint8_t *p = item->regions[0].data;

	ic->agno = xr_be32(p + offsetof(struct xfs_icreate_log, icl_ag));
	ic->agbno = xr_be32(p + offsetof(struct xfs_icreate_log, icl_agbno));
	ic->count = xr_be32(p + offsetof(struct xfs_icreate_log, icl_count));
	ic->isize = xr_be32(p + offsetof(struct xfs_icreate_log, icl_isize));
	ic->length = xr_be32(p + offsetof(struct xfs_icreate_log, icl_length));
	ic->gen = xr_be32(p + offsetof(struct xfs_icreate_log, icl_gen));
}

void xr_icreate_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target)
{
	const struct xr_sb *sb = &replay->sb;
	struct icreate ic;

	*target = (struct xr_extent){0};
	if (item->regions[0].size < sizeof(struct xfs_icreate_log))
		return;
	decode(item, &ic);
	target->daddr = ((uint64_t)ic.agno * sb->agblocks + ic.agbno) << (sb->blocklog - XR_BB_SHIFT);
	target->bbs = ic.length << (sb->blocklog - XR_BB_SHIFT);
}

int xr_icreate_item_check(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	const struct xr_sb *sb = &replay->sb;
	uint32_t chunk = sb->chunk_inodes >> sb->inopblog;
	struct xr_extent target;
	struct icreate ic;

	if (item->count != 1 || item->regions[0].size != sizeof(struct xfs_icreate_log))
		return xr_item_bad(replay, trans, item, "%u regions, the first of %u bytes, instead of one of 28", item->count,
				   item->regions[0].size);
	decode(item, &ic);
	if (ic.isize != sb->inodesize)
		return xr_item_bad(replay, trans, item, "inodes of %u bytes in a filesystem with %u", ic.isize, sb->inodesize);
	if (!ic.agbno || ic.agbno >= sb->agblocks || !ic.length || ic.length >= sb->agblocks ||
	    ic.length > sb->agblocks - ic.agbno)
		return xr_item_bad(replay, trans, item, "blocks %u+%u lie outside an allocation group", ic.agbno, ic.length);
	if ((ic.length != chunk && (!sb->spino_align || ic.length != sb->spino_align)) || !ic.count ||
	    ic.count >> sb->inopblog != ic.length)
		return xr_item_bad(replay, trans, item, "%u inodes in %u blocks are no chunk", ic.count, ic.length);
	/* How many groups there are only pass 2 knows, but never more than the device has room for. */
	xr_icreate_item_target(replay, item, &target);
	if (!xr_on_device(replay, target.daddr, target.bbs))
		return xr_item_bad(replay, trans, item, "blocks %u+%u of allocation group %u lie outside the device", ic.agbno,
				   ic.length, ic.agno);
	return 0;
}

/* An inode that was never used, in disk form. */
static void format_inode(const struct xr_sb *sb, uint8_t *raw, uint64_t ino, uint32_t gen)
{
	memset(raw, 0, sb->inodesize);
	xr_put_be16(raw + offsetof(struct xfs_dinode, di_magic), XFS_DINODE_MAGIC);
	raw[offsetof(struct xfs_dinode, di_version)] = sb->v5 ? 3 : 2;
	xr_put_be32(raw + offsetof(struct xfs_dinode, di_gen), gen);
	xr_put_be32(raw + offsetof(struct xfs_dinode, di_next_unlinked), NULLAGINO);
	if (!sb->v5)
		return;
	xr_put_be64(raw + offsetof(struct xfs_dinode, di_ino), ino);
	memcpy(raw + offsetof(struct xfs_dinode, di_uuid), sb->meta_uuid, 16);
	xr_crc_update(raw, sb->inodesize, offsetof(struct xfs_dinode, di_crc));
}

/* The same for inode number ino, made of another one, whose number differs from it in the bits of change only. */
static void copy_inode(const struct xr_sb *sb, uint8_t *raw, const uint8_t *from, uint64_t ino, uint64_t change,
		       const uint32_t bits[NUMBER_BITS])
{
	uint32_t crc = xr_le32(from + offsetof(struct xfs_dinode, di_crc));

	memcpy(raw, from, sb->inodesize);
	if (!sb->v5)
		return;
	for (unsigned i = 0; i < NUMBER_BITS; i++)
		crc ^= change >> i & 1 ? bits[i] : 0;
	xr_put_be64(raw + offsetof(struct xfs_dinode, di_ino), ino);
	xr_put_le32(raw + offsetof(struct xfs_dinode, di_crc), crc);
}

/* What each of the lower bits of its number changes in the CRC of an inode, whatever else is in it: a CRC is linear. */
static void get_number_bits(const struct xr_sb *sb, uint32_t bits[NUMBER_BITS])
{
	uint8_t rest[1u << XFS_DINODE_MAX_LOG] = {0};

	for (unsigned i = 0; i < NUMBER_BITS; i++) {
		xr_put_be64(rest, UINT64_C(1) << i);
		bits[i] = xr_crc_feed(0, rest, sb->inodesize - offsetof(struct xfs_dinode, di_ino));
	}
}

static int write_cluster(struct xr_replay *replay, uint64_t daddr, uint32_t bbs, uint64_t ino, uint32_t gen,
			 const uint32_t bits[NUMBER_BITS])
{
	const struct xr_sb *sb = &replay->sb;
	struct xr_buf buf;
	int ret = xr_buf_fresh(replay->cache, daddr, bbs, &buf);

	if (ret)
		return ret;
	for (uint64_t i = 0; i < buf.size / sb->inodesize; i++) {
		uint8_t *raw = buf.data + i * sb->inodesize;
		uint64_t change = ino ^ (ino + i);

		if (i && change < 1u << NUMBER_BITS)
			copy_inode(sb, raw, buf.data, ino + i, change, bits);
		else
			format_inode(sb, raw, ino + i, gen);
	}
	xr_buf_dirty(replay->cache, &buf, 0, buf.size);
	xr_buf_put(replay->cache, &buf);
	return 0;
}

int xr_icreate_item_replay(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			   enum xr_outcome *outcome)
{
	const struct xr_sb *sb = &replay->sb;
	uint32_t step, bbs, cancelled = 0, bits[NUMBER_BITS];
	struct icreate ic;
	uint64_t daddr;
	int ret = 0;

	decode(item, &ic);
	if (ic.agno >= sb->agcount || ic.agbno + ic.length > xr_ag_blocks(sb, ic.agno))
		return xr_item_bad(replay, trans, item, "blocks %u+%u of allocation group %u, which has none such", ic.agbno,
				   ic.length, ic.agno);
	step = sb->cluster_blocks < ic.length ? sb->cluster_blocks : ic.length;
	bbs = step << (sb->blocklog - XR_BB_SHIFT);
	daddr = xr_ag_daddr(sb, ic.agno) + ((uint64_t)ic.agbno << (sb->blocklog - XR_BB_SHIFT));
	for (uint32_t at = 0; at + step <= ic.length; at += step)
		cancelled += xr_cancelled(replay, daddr + ((uint64_t)at << (sb->blocklog - XR_BB_SHIFT)), bbs);
	if (cancelled) {
		if (cancelled != ic.length / step)
			xr_say(replay->msg, XR_WARN, "block %llu: only %u of %u buffers of a new inode chunk were freed later",
			       (unsigned long long)daddr, cancelled, ic.length / step);
		*outcome = XR_CANCELLED;
		return 0;
	}
	*outcome = XR_REPLAYED;
	get_number_bits(sb, bits);
	for (uint32_t at = 0; at + step <= ic.length && !ret; at += step) {
		uint64_t agino = (uint64_t)(ic.agbno + at) << sb->inopblog;

		ret = write_cluster(replay, daddr + ((uint64_t)at << (sb->blocklog - XR_BB_SHIFT)), bbs,
				    ((uint64_t)ic.agno << (sb->agblklog + sb->inopblog)) + agino, ic.gen, bits);
	}
	return ret;
}
