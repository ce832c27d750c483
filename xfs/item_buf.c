/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Buffer items (specification section 9.1)
 *
 * A buffer item names a buffer and, in a bitmap, the 128-byte chunks of it that the regions hold. Depending on its flags it is a
 * piece of any metadata block; of an inode cluster, from which only the unlinked-list pointers may be taken; of a block of
 * dquots; or a note that the buffer was freed and earlier items for it are void.
 */
#include "items.h"

#include <errno.h>
#include <stdlib.h>

#include "format.h"
#include "scatter.h"
#include "verify.h"

#define CHUNK 128u /* bytes that one bit of the map stands for */
#define MAP_WORDS 17u /* 64 KiB / CHUNK / 32 + 1: the largest buffer */
#define BBS_MAX (MAP_WORDS * 32 * CHUNK / XR_BB) /* what a map can name; only a cancel, which has none, may be longer */
#define MAP_AT offsetof(struct xfs_buf_log_format, blf_data_map)

/* The format region, decoded. */
struct buf_format {
	uint16_t flags;
	uint32_t bbs;
	uint64_t daddr;
	uint32_t words;
	const uint8_t *map;
	struct xr_order order;
};

static unsigned type_of(const struct buf_format *f)
{
	return f->flags >> XFS_BLFT_SHIFT;
}

static uint16_t flags_of(const struct xr_replay *replay, const struct xr_item *item)
{
	return xr_get16(replay->log->order, item->regions[0].data + offsetof(struct xfs_buf_log_format, blf_flags));
}

bool xr_buf_item_cancels(const struct xr_replay *replay, const struct xr_item *item)
{
	return flags_of(replay, item) & XFS_BLF_CANCEL;
}

bool xr_buf_item_is_inodes(const struct xr_replay *replay, const struct xr_item *item)
{
	return flags_of(replay, item) & XFS_BLF_INODE_BUF;
}

static void decode(const struct xr_replay *replay, const struct xr_item *item, struct buf_format *f)
{
	const uint8_t *p = item->regions[0].data;
	struct xr_order order = replay->log->order;

	f->order = order;
	f->flags = flags_of(replay, item);
	f->bbs = xr_get16(order, p + offsetof(struct xfs_buf_log_format, blf_len));
	f->daddr = xr_get64(order, p + offsetof(struct xfs_buf_log_format, blf_blkno));
	f->words = xr_get32(order, p + offsetof(struct xfs_buf_log_format, blf_map_size));
	f->map = p + MAP_AT;
}

static bool chunk_logged(const struct buf_format *f, uint32_t chunk)
{
	return xr_get32(f->order, f->map + 4 * (chunk / 32)) >> chunk % 32 & 1;
}

/* A stretch of the buffer that one region supplies. Begin with a zeroed one. */
struct stretch {
	uint32_t chunk, count;
	uint16_t region;
};

/*
 * Step to the next stretch: the next run of set bits, cut to what the region holds, because old kernels split runs over
 * regions. False at the end, when all bits were met; a region too many or too few leaves s->region != item->count - 1.
 */
static bool next_stretch(const struct buf_format *f, const struct xr_item *item, struct stretch *s)
{
	uint32_t bits = 32 * f->words, max;

	s->chunk += s->count;
	while (s->chunk < bits && !chunk_logged(f, s->chunk))
		s->chunk++;
	if (s->chunk == bits)
		return false;
	if (++s->region >= item->count)
		return false;
	max = item->regions[s->region].size / CHUNK;
	s->count = 0;
	while (s->count < max && s->chunk + s->count < bits && chunk_logged(f, s->chunk + s->count))
		s->count++;
	return s->count > 0;
}

static int check_stretches(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			   const struct buf_format *f)
{
	struct stretch s = {0};

	while (next_stretch(f, item, &s)) {
		if (item->regions[s.region].size != s.count * CHUNK)
			return xr_item_bad(replay, trans, item, "block %llu: region %u has %u bytes for %u chunks of 128",
					   (unsigned long long)f->daddr, s.region, item->regions[s.region].size, s.count);
		if ((uint64_t)(s.chunk + s.count) * CHUNK > (uint64_t)f->bbs << XR_BB_SHIFT)
			return xr_item_bad(replay, trans, item, "block %llu: the map names chunk %u of a buffer of %u blocks",
					   (unsigned long long)f->daddr, s.chunk + s.count - 1, f->bbs);
	}
	if (s.chunk != 32 * f->words || s.region != item->count - 1)
		return xr_item_bad(replay, trans, item, "block %llu: the map and the %u regions do not match",
				   (unsigned long long)f->daddr, item->count);
	return 0;
}

/*
 * A directory buffer shorter than the directory block is one extent of a scattered block: it must not be verified by itself. Da nodes are
 * attributes' too, of one fs block; for them it takes a look at their beginning: a directory's shows by its leaf addresses, which begin
 * at 32 GiB, and a piece that is not the first has no header at all.
 */
static bool may_be_piece(const struct xr_replay *replay, const struct buf_format *f)
{
	if (!replay->sb.v5) /* no checksum over the whole block: any piece can be replayed by itself */
		return false;
	return (uint64_t)f->bbs << XR_BB_SHIFT < replay->sb.dirblocksize &&
	       (xr_type_is_dir(type_of(f)) || type_of(f) == XFS_BLFT_DA_NODE_BUF);
}

/* Of a buffer that may be one; begin: its first bytes, CHUNK of them. */
static bool is_piece(const struct xr_replay *replay, const struct buf_format *f, const uint8_t *begin)
{
	const uint8_t *entry = begin + sizeof(struct xfs_da3_node_hdr);

	if (xr_type_is_dir(type_of(f)) || xr_be16(begin + offsetof(struct xfs_da_blkinfo, magic)) != XFS_DA3_NODE_MAGIC)
		return true;
	return xr_be32(entry + offsetof(struct xfs_da_node_entry, before)) >= XFS_DIR2_LEAF_OFFSET >> replay->sb.blocklog;
}

/* Pass 1, which has only what was logged of the buffer. */
static void count_piece(struct xr_replay *replay, const struct xr_item *item, const struct buf_format *f)
{
	if (!may_be_piece(replay, f))
		return;
	replay->has_pieces = true;
	if (!xr_type_is_dir(type_of(f)) &&
	    (item->count < 2 || !chunk_logged(f, 0) || !is_piece(replay, f, item->regions[1].data)))
		return;
	if (!replay->stats.fragments++) {
		replay->stats.fragment_daddr = f->daddr;
		replay->stats.fragment_lsn = item->lsn;
	}
}

/* Note where the filesystem ends when the item is its superblock: growfs. What follows in the log uses the new size. */
static void note_size(struct xr_replay *replay, const struct xr_item *item, const struct buf_format *f)
{
	const uint8_t *data = item->regions[item->count > 1].data;
	unsigned shift = replay->sb.blocklog - XR_BB_SHIFT;
	uint64_t dblocks;

	if (f->daddr != XFS_SB_DADDR || item->count < 2 || !chunk_logged(f, 0))
		return;
	dblocks = xr_be64(data + offsetof(struct xfs_dsb, sb_dblocks));
	replay->whole |=
		dblocks != replay->sb.dblocks || xr_be32(data + offsetof(struct xfs_dsb, sb_agcount)) != replay->sb.agcount;
	if (dblocks <= xr_cache_bbs(replay->cache) >> shift && dblocks << shift > replay->end_bbs)
		replay->end_bbs = dblocks << shift;
}

int xr_buf_item_check(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	struct buf_format f;

	if (item->regions[0].size < MAP_AT)
		return xr_item_bad(replay, trans, item, "its format is cut short at %u bytes", item->regions[0].size);
	decode(replay, item, &f);
	if (f.words > MAP_WORDS || MAP_AT + 4 * f.words > item->regions[0].size)
		return xr_item_bad(replay, trans, item, "a map of %u words does not fit its %u bytes", f.words,
				   item->regions[0].size);
	if (!xr_on_device(replay, f.daddr, f.bbs))
		return xr_item_bad(replay, trans, item, "blocks %llu+%u lie outside the device (%llu blocks)",
				   (unsigned long long)f.daddr, f.bbs, (unsigned long long)xr_cache_bbs(replay->cache));
	if (f.flags & XFS_BLF_CANCEL)
		return 0;
	if (f.bbs > BBS_MAX)
		return xr_item_bad(replay, trans, item, "block %llu: a buffer of %u blocks is larger than any XFS has",
				   (unsigned long long)f.daddr, f.bbs);
	return check_stretches(replay, trans, item, &f);
}

int xr_buf_item_note(struct xr_replay *replay, const struct xr_item *item)
{
	struct buf_format f;
	struct xr_entry *entry;

	decode(replay, item, &f);
	if (f.daddr)
		replay->trivial = false;
	if (f.flags & XFS_BLF_CANCEL) {
		entry = xr_table_add(&replay->cancel, f.daddr, f.bbs);
		if (!entry)
			return xr_fail(replay->msg, -ENOMEM, "no memory for the table of cancelled buffers");
		entry->value++;
		return 0;
	}
	count_piece(replay, item, &f);
	note_size(replay, item, &f);
	return 0;
}

void xr_buf_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target)
{
	struct buf_format f;

	*target = (struct xr_extent){0};
	if (item->regions[0].size < MAP_AT)
		return;
	decode(replay, item, &f);
	*target = (struct xr_extent){f.daddr, f.bbs};
}

/* --- pass 2 --- */

static void copy_stretch(struct xr_replay *replay, const struct xr_item *item, const struct stretch *s, struct xr_buf *buf)
{
	memcpy(buf->data + s->chunk * CHUNK, item->regions[s->region].data, s->count * CHUNK);
	xr_buf_dirty(replay->cache, buf, s->chunk * CHUNK, s->count * CHUNK);
}

/*
 * What a superblock in the log must have in common with ours, in words where it has not. Kernels change sizes by growing, counters, quota and
 * what the log needs to be known of; what the log's blocks were addressed and verified by cannot have changed.
 */
static const char *superblock_fault(const struct xr_sb *old, const struct xr_sb *new)
{
	if (new->v5 != old->v5 || new->agcount < old->agcount || new->rgcount < old->rgcount ||
	    new->blocksize != old->blocksize || new->agblocks != old->agblocks || new->inodesize != old->inodesize ||
	    new->dirblocksize != old->dirblocksize || new->sectsize != old->sectsize || new->inoalignmt != old->inoalignmt)
		return "changes the geometry other than by growing";
	if (new->logstart != old->logstart || new->logblocks != old->logblocks || new->logsectsize != old->logsectsize ||
	    new->logsunit != old->logsunit || new->logv2 != old->logv2)
		return "has its log elsewhere, or of another form";
	if (memcmp(new->uuid, old->uuid, sizeof(new->uuid)) != 0 ||
	    memcmp(new->meta_uuid, old->meta_uuid, sizeof(new->meta_uuid)) != 0)
		return "is that of another filesystem (UUID)";
	if (new->incompat != old->incompat || new->ro_compat != old->ro_compat)
		return "has other features, which no kernel changes while it logs";
	return NULL;
}

/*
 * A superblock in the log may come from growfs: what follows uses the new geometry. The copy in the log has an old CRC, which the
 * stamp will renew; it is renewed here only to decode it.
 */
static int superblock_changed(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			      const struct xr_buf *buf)
{
	uint8_t *copy = malloc(buf->size);
	const char *fault;
	struct xr_sb sb;
	int ret;

	if (!copy)
		return xr_fail(replay->msg, -ENOMEM, "no memory for a superblock");
	memcpy(copy, buf->data, buf->size);
	if (replay->sb.v5)
		xr_crc_update(copy, buf->size, offsetof(struct xfs_dsb, sb_crc));
	ret = xr_sb_decode(&sb, copy, buf->size, replay->msg);
	free(copy);
	if (ret)
		return ret == -EUCLEAN ? xr_item_bad(replay, trans, item, "its superblock is none") : ret;
	fault = superblock_fault(&replay->sb, &sb);
	if (fault)
		return xr_item_bad(replay, trans, item, "its superblock %s", fault);
	if (sb.dblocks > xr_cache_bbs(replay->cache) >> (sb.blocklog - XR_BB_SHIFT))
		return xr_item_bad(replay, trans, item, "its superblock has %llu blocks, more than the device",
				   (unsigned long long)sb.dblocks);
	ret = xr_sb_gate(&sb, true, replay->msg);
	if (ret)
		return ret;
	replay->sb = sb;
	return 0;
}

static int replay_regular(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			  const struct buf_format *f, struct xr_buf *buf, enum xr_outcome *outcome)
{
	struct stretch s = {0};
	unsigned type = type_of(f);
	int ret = 0;

	if (!xr_type_is_bare(&replay->sb, type) && xr_block_lsn(&replay->sb, buf->data, buf->size) >= trans->lsn) {
		*outcome = XR_STALE;
		return 0;
	}
	*outcome = XR_REPLAYED;
	while (next_stretch(f, item, &s))
		copy_stretch(replay, item, &s, buf);
	if (type == XFS_BLFT_SB_BUF && f->daddr == XFS_SB_DADDR)
		ret = superblock_changed(replay, trans, item, buf);
	if (ret || type == XFS_BLFT_DINO_BUF || xr_type_is_bare(&replay->sb, type) || !replay->sb.v5)
		return ret;
	if (may_be_piece(replay, f) && is_piece(replay, f, buf->data))
		return xr_scatter_note(replay, f->daddr, f->bbs, trans->lsn);
	if (xr_type_matches(type, buf->data, buf->size))
		return xr_group_add(replay, f->daddr, f->bbs);
	/* As the kernel does: written as it came. */
	xr_say(replay->msg, XR_DETAIL,
	       "block %llu: is not of type %u, as the log at LSN %u:%u has it; written without LSN and CRC",
	       (unsigned long long)f->daddr, type, xr_lsn_cycle(item->lsn), xr_lsn_block(item->lsn));
	replay->stats.unverified++;
	return 0;
}

/* Dquots carry LSN and CRC each, inside the logged bytes. A region that begins with no dquot is left out, as the kernel does. */
static int replay_dquots(struct xr_replay *replay, const struct xr_item *item, const struct buf_format *f, struct xr_buf *buf,
			 enum xr_outcome *outcome)
{
	struct stretch s = {0};

	while (next_stretch(f, item, &s)) {
		const struct xr_region *region = &item->regions[s.region];

		if (region->size < sizeof(struct xfs_disk_dquot) || xr_be16(region->data) != XFS_DQUOT_MAGIC) {
			xr_say(replay->msg, XR_WARN,
			       "block %llu: dquots at byte %u of the log item at LSN %u:%u are damaged and were left out",
			       (unsigned long long)f->daddr, s.chunk * CHUNK, xr_lsn_cycle(item->lsn), xr_lsn_block(item->lsn));
			continue;
		}
		copy_stretch(replay, item, &s, buf);
	}
	*outcome = XR_REPLAYED;
	return 0;
}

/* The logged chunk that holds byte of the buffer; NULL when it was not logged. */
static const uint8_t *logged_byte(const struct buf_format *f, const struct xr_item *item, uint32_t byte)
{
	struct stretch s = {0};

	while (next_stretch(f, item, &s))
		if (byte / CHUNK >= s.chunk && byte / CHUNK < s.chunk + s.count)
			return item->regions[s.region].data + (byte - s.chunk * CHUNK);
	return NULL;
}

/* Of an inode buffer only the unlinked-list pointers count; each inode is under its own CRC. */
static int replay_inodes(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			 const struct buf_format *f, struct xr_buf *buf, enum xr_outcome *outcome)
{
	uint32_t size = replay->sb.inodesize;

	for (uint32_t at = 0; at + size <= buf->size; at += size) {
		const uint8_t *next = logged_byte(f, item, at + (uint32_t)offsetof(struct xfs_dinode, di_next_unlinked));

		if (!next)
			continue;
		if (!xr_be32(next))
			return xr_item_bad(replay, trans, item,
					   "block %llu: inode %u of the buffer would be followed by inode 0 on its unlinked list",
					   (unsigned long long)f->daddr, at / size);
		memcpy(buf->data + at + offsetof(struct xfs_dinode, di_next_unlinked), next, 4);
		if (replay->sb.v5)
			xr_crc_update(buf->data + at, size, offsetof(struct xfs_dinode, di_crc));
		xr_buf_dirty(replay->cache, buf, at, size);
	}
	*outcome = XR_REPLAYED;
	return 0;
}

static int replay_cancel(struct xr_replay *replay, const struct buf_format *f)
{
	struct xr_entry *entry = xr_table_find(&replay->cancel, f->daddr, f->bbs);

	replay->stats.cancels++;
	if (!entry)
		return xr_fail(replay->msg, -EUCLEAN, "the log changed while it was read: the cancel of block %llu is new",
			       (unsigned long long)f->daddr);
	if (!--entry->value)
		xr_table_remove(&replay->cancel, entry);
	return 0;
}

/* The XFS_DQTYPE_... bits of the quota whose dquots this buffer holds; 0: it holds none. */
static unsigned quota_of(const struct buf_format *f)
{
	return (f->flags & XFS_BLF_UDQUOT_BUF ? XFS_DQTYPE_USER : 0) | (f->flags & XFS_BLF_PDQUOT_BUF ? XFS_DQTYPE_PROJ : 0) |
	       (f->flags & XFS_BLF_GDQUOT_BUF ? XFS_DQTYPE_GROUP : 0);
}

int xr_buf_item_replay(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
		       enum xr_outcome *outcome)
{
	struct buf_format f;
	struct xr_buf buf;
	int ret;

	decode(replay, item, &f);
	if (f.flags & XFS_BLF_CANCEL)
		return replay_cancel(replay, &f);
	if (xr_cancelled(replay, f.daddr, f.bbs)) {
		*outcome = XR_CANCELLED;
		return 0;
	}
	if (quota_of(&f) & replay->quotaoff)
		return 0;
	if (!xr_in_filesystem(replay, f.daddr, f.bbs))
		return xr_item_bad(replay, trans, item, "blocks %llu+%u lie behind the end of the filesystem",
				   (unsigned long long)f.daddr, f.bbs);
	ret = xr_buf_read(replay->cache, f.daddr, f.bbs, &buf);
	if (ret)
		return ret;
	if (f.flags & XFS_BLF_INODE_BUF)
		ret = replay_inodes(replay, trans, item, &f, &buf, outcome);
	else if (quota_of(&f))
		ret = replay_dquots(replay, item, &f, &buf, outcome);
	else
		ret = replay_regular(replay, trans, item, &f, &buf, outcome);
	xr_buf_put(replay->cache, &buf);
	return ret;
}
