/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dquot and quotaoff items (specification section 9.4)
 *
 * A dquot item holds one user's, group's or project's quota record in disk form; each record has its own LSN and CRC. A quotaoff item
 * anywhere in the log voids all dquots of that kind. Whether quota is on now does not matter: the records are replayed either way.
 */
#include "items.h"

#include <errno.h>

#include "format.h"

struct dquot_format {
	uint32_t id;
	uint64_t daddr;
	uint32_t bbs, offset;
};

/* False: the buffer named is impossible. */
static bool decode(const struct xr_replay *replay, const struct xr_item *item, struct dquot_format *f)
{
	const uint8_t *p = item->regions[0].data;
	struct xr_order order = replay->log->order;
	uint32_t blocks = xr_get32(order, p + offsetof(struct xfs_dq_logformat, qlf_len));

	f->id = xr_get32(order, p + offsetof(struct xfs_dq_logformat, qlf_id));
	f->daddr = xr_get64(order, p + offsetof(struct xfs_dq_logformat, qlf_blkno));
	f->offset = xr_get32(order, p + offsetof(struct xfs_dq_logformat, qlf_boffset));
	f->bbs = 1u << (replay->sb.blocklog - XR_BB_SHIFT);
	return blocks == 1 && (uint64_t)f->offset + sizeof(struct xfs_dqblk) <= replay->sb.blocksize &&
	       f->offset % sizeof(struct xfs_dqblk) == 0;
}

static const char *dquot_fault(const uint8_t *raw, uint32_t id)
{
	unsigned type = raw[offsetof(struct xfs_disk_dquot, d_type)];
	unsigned rec = type & XFS_DQTYPE_REC_MASK;

	if (xr_be16(raw + offsetof(struct xfs_disk_dquot, d_magic)) != XFS_DQUOT_MAGIC)
		return "no dquot magic";
	if (raw[offsetof(struct xfs_disk_dquot, d_version)] != XFS_DQUOT_VERSION)
		return "an unknown dquot version";
	if (type & ~XFS_DQTYPE_ANY || (rec != XFS_DQTYPE_USER && rec != XFS_DQTYPE_PROJ && rec != XFS_DQTYPE_GROUP))
		return "an unknown type of dquot";
	if (xr_be32(raw + offsetof(struct xfs_disk_dquot, d_id)) != id)
		return "another id in the dquot";
	return NULL;
}

int xr_dquot_item_check(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	struct dquot_format f;
	const char *fault;

	if (item->regions[0].size != sizeof(struct xfs_dq_logformat) || item->count != 2 ||
	    item->regions[1].size < sizeof(struct xfs_disk_dquot) || item->regions[1].size > sizeof(struct xfs_dqblk))
		return xr_item_bad(replay, trans, item, "%u regions, the first of %u bytes, are no dquot", item->count,
				   item->regions[0].size);
	if (!decode(replay, item, &f))
		return xr_item_bad(replay, trans, item, "id %u: byte %u of block %llu cannot hold a dquot", f.id, f.offset,
				   (unsigned long long)f.daddr);
	if (!xr_on_device(replay, f.daddr, f.bbs))
		return xr_item_bad(replay, trans, item, "id %u: block %llu lies outside the device (%llu blocks)", f.id,
				   (unsigned long long)f.daddr, (unsigned long long)xr_cache_bbs(replay->cache));
	fault = dquot_fault(item->regions[1].data, f.id);
	return fault ? xr_item_bad(replay, trans, item, "id %u: %s", f.id, fault) : 0;
}

void xr_dquot_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target)
{
	struct dquot_format f;

	*target = (struct xr_extent){0};
	if (item->regions[0].size != sizeof(struct xfs_dq_logformat))
		return;
	decode(replay, item, &f);
	*target = (struct xr_extent){f.daddr, f.bbs};
}

static int replay_into(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
		       const struct dquot_format *f, struct xr_buf *buf, enum xr_outcome *outcome)
{
	uint8_t *record = buf->data + f->offset;
	uint64_t lsn = xr_be64(record + offsetof(struct xfs_dqblk, dd_lsn));

	if (xr_be16(record) != XFS_DQUOT_MAGIC)
		return xr_item_bad(replay, trans, item, "id %u: byte %u of block %llu on the disk holds no dquot", f->id,
				   f->offset, (unsigned long long)f->daddr);
	if (replay->sb.v5 && lsn && lsn != UINT64_MAX && lsn >= trans->lsn) {
		*outcome = XR_STALE;
		return 0;
	}
	memcpy(record, item->regions[1].data, item->regions[1].size);
	if (replay->sb.v5)
		xr_crc_update(record, sizeof(struct xfs_dqblk), offsetof(struct xfs_dqblk, dd_crc));
	xr_buf_dirty(replay->cache, buf, f->offset, sizeof(struct xfs_dqblk));
	*outcome = XR_REPLAYED;
	return 0;
}

int xr_dquot_item_replay(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			 enum xr_outcome *outcome)
{
	unsigned type = item->regions[1].data[offsetof(struct xfs_disk_dquot, d_type)] & XFS_DQTYPE_REC_MASK;
	struct dquot_format f;
	struct xr_buf buf;
	int ret;

	if (type & replay->quotaoff)
		return 0;
	if (!decode(replay, item, &f))
		return -EUCLEAN;
	if (xr_cancelled(replay, f.daddr, f.bbs)) {
		*outcome = XR_CANCELLED;
		return 0;
	}
	if (!xr_in_filesystem(replay, f.daddr, f.bbs))
		return xr_item_bad(replay, trans, item, "its block %llu lies behind the end of the filesystem",
				   (unsigned long long)f.daddr);
	ret = xr_buf_read(replay->cache, f.daddr, f.bbs, &buf);
	if (ret)
		return ret;
	ret = replay_into(replay, trans, item, &f, &buf, outcome);
	xr_buf_put(replay->cache, &buf);
	return ret;
}

int xr_quotaoff_item_check(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	if (item->regions[0].size < offsetof(struct xfs_qoff_logformat, qf_pad))
		return xr_item_bad(replay, trans, item, "it is cut short at %u bytes", item->regions[0].size);
	return 0;
}

/* Pass 1 remembers; there is nothing left to do in pass 2. */
int xr_quotaoff_item_note(struct xr_replay *replay, const struct xr_item *item)
{
	uint32_t flags = xr_get32(replay->log->order, item->regions[0].data + offsetof(struct xfs_qoff_logformat, qf_flags));

	replay->quotaoff |= (flags & XFS_UQUOTA_ACCT ? XFS_DQTYPE_USER : 0) | (flags & XFS_PQUOTA_ACCT ? XFS_DQTYPE_PROJ : 0) |
			    (flags & XFS_GQUOTA_ACCT ? XFS_DQTYPE_GROUP : 0);
	return 0;
}

int xr_quotaoff_item_replay(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			    enum xr_outcome *outcome)
{
	(void)replay;
	(void)trans;
	(void)item;
	*outcome = XR_NOTED;
	return 0;
}
