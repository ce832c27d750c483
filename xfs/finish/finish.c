/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finishing the log
 *
 * A log is clean when it ends with a record that holds the unmount operation only. Its tail is itself: nothing before it is needed.
 *
 * The order makes a crash harmless at any point: metadata and superblock are on the disk before, and until the unmount record is there the
 * log is still dirty and can be replayed again. What the superblock says of the log's contents stays as long as they could be replayed: a kernel that
 * does not know them must not try. Of a clean log it means nothing, so it goes last.
 */
#include "finish.h"

#include <errno.h>

#include "append.h"
#include "format.h"

#define UNMOUNT_TID 0xb0c0d0d0u
#define UNMOUNT_MAGIC 0x556e
#define UNMOUNT_BYTES 8u

/* No quota inode is 0 on the disk as mkfs.xfs may leave it, all ones as kernels write it; below a metadata directory the field is not used. */
static void mark_no_quota(uint8_t *raw)
{
	static const size_t fields[] = {offsetof(struct xfs_dsb, sb_uquotino), offsetof(struct xfs_dsb, sb_gquotino),
					offsetof(struct xfs_dsb, sb_pquotino)};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (!xr_be64(raw + fields[i]))
			xr_put_be64(raw + fields[i], NULLFSINO);
}

int xr_finish_superblock(const struct xr_sb *sb, struct xr_cache *cache, const struct xr_summary *summary,
			 const struct xr_head *head, const struct xr_msg *msg)
{
	struct xr_buf buf;
	int ret = xr_buf_read(cache, XFS_SB_DADDR, sb->sectsize >> XR_BB_SHIFT, &buf);

	if (ret)
		return ret;
	if (xr_be32(buf.data) != XFS_SB_MAGIC) {
		xr_buf_put(cache, &buf);
		return xr_fail(msg, -EUCLEAN, "the superblock is gone after the replay");
	}
	if (sb->lazy_count && !summary->damaged) {
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_icount), summary->icount);
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_ifree), summary->ifree);
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_fdblocks), summary->fdblocks);
	}
	if (sb->rextents && !(sb->has_rtgroups && summary->damaged))
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_frextents), summary->frextents);
	if (sb->v5) {
		if (!sb->has_metadir)
			mark_no_quota(buf.data);
		xr_put_be64(buf.data + offsetof(struct xfs_dsb, sb_lsn), xr_lsn(head->cycle, head->head));
		xr_crc_update(buf.data, buf.size, offsetof(struct xfs_dsb, sb_crc));
	}
	xr_buf_dirty(cache, &buf, 0, buf.size);
	xr_buf_put(cache, &buf);
	return 0;
}

int xr_finish_features(const struct xr_sb *sb, struct xr_cache *cache)
{
	size_t at = offsetof(struct xfs_dsb, sb_features_log_incompat);
	struct xr_buf buf;
	bool set;
	int ret = sb->v5 ? xr_buf_read(cache, XFS_SB_DADDR, sb->sectsize >> XR_BB_SHIFT, &buf) : 0;

	if (ret || !sb->v5)
		return ret;
	set = xr_be32(buf.data + at) != 0;
	if (set) {
		xr_put_be32(buf.data + at, 0);
		xr_crc_update(buf.data, buf.size, offsetof(struct xfs_dsb, sb_crc));
		xr_buf_dirty(cache, &buf, 0, buf.size);
	}
	xr_buf_put(cache, &buf);
	if (set)
		ret = xr_cache_flush(cache);
	return ret || !set ? ret : xr_cache_barrier(cache);
}

/* --- the log --- */

/* The unmount operation's payload is in the byte order of the log. */
int xr_finish_log(const struct xr_log *log, struct xr_head *head, struct xr_cache *cache)
{
	uint8_t payload[UNMOUNT_BYTES] = {0};
	struct xr_append append;
	int ret = xr_append_begin(&append, log, head, cache, 0);

	xr_put16(log->order, payload, UNMOUNT_MAGIC);
	if (!ret)
		ret = xr_append_op(&append, UNMOUNT_TID, XFS_LOG, XLOG_UNMOUNT_TRANS, payload, sizeof(payload));
	if (!ret)
		return xr_append_end(&append);
	xr_append_drop(&append);
	return ret;
}
