/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inode items (specification section 9.2)
 *
 * Region 0 says which inode, where it lies and which regions follow; region 1 is the core in the writer's byte order; then come the data fork
 * and the attribute fork, where they were logged, as bytes of the disk format, except btree roots, which come in the layout the
 * kernel keeps them in memory. The item is applied to one inode in its cluster buffer, which is given its CRC at once: there is
 * no LSN of the buffer, each inode has its own.
 */
#include "items.h"

#include <errno.h>

#include "bmbt.h"
#include "dinode.h"
#include "format.h"
#include "scatter.h"

#define CORE_LOGGED 176u /* a version 3 core in the log; the end of an older one is next */
#define CORE_LOGGED_V2 96u
#define BTREE_HEADER_V5 72u /* the in-memory root has a long-form block header */
#define BTREE_HEADER_V4 24u
#define CLUSTER_MAX_BBS 128u /* 64 KiB: 32 of the largest inodes, or the largest block */
#define KNOWN_MAX (64u << 10) /* words of clusters that are known to hold inodes: 2 GiB of those */
#define ROOT_HEADER 4u /* on the disk: level, numrecs */
#define DI(field) offsetof(struct xfs_dinode, di_##field)

/* Region 0, decoded. The 56-byte form pads ino to 8 bytes, the 52-byte form of old 32-bit kernels does not. */
struct inode_format {
	uint32_t fields;
	uint64_t ino, daddr;
	uint32_t bbs, offset;
	uint32_t rdev;
};

static bool decode(struct xr_order order, const struct xr_region *region, struct inode_format *f)
{
	const uint8_t *p = region->data, *tail;

	if (region->size == sizeof(struct xfs_inode_log_format))
		tail = p + offsetof(struct xfs_inode_log_format, ilf_ino);
	else if (region->size == sizeof(struct xfs_inode_log_format_32))
		tail = p + offsetof(struct xfs_inode_log_format_32, ilf_ino);
	else
		return false;
	f->fields = xr_get32(order, p + offsetof(struct xfs_inode_log_format, ilf_fields));
	f->ino = xr_get64(order, tail);
	f->rdev = xr_get32(order, tail + 8);
	f->daddr = xr_get64(order, tail + 24);
	f->bbs = xr_get32(order, tail + 32);
	f->offset = xr_get32(order, tail + 36);
	return true;
}

/* --- the core --- */

/* The fields of the core that differ in byte order: offset and width. Single bytes and the UUID are copied as they are. */
static const struct {
	uint8_t at, width;
} swapped[] = {
	{0, 2}, /* magic */
	{2, 2}, /* mode */
	{6, 2}, /* onlink, or metatype */
	{8, 4}, /* uid */
	{12, 4}, /* gid */
	{16, 4}, /* nlink */
	{20, 2}, /* projid */
	{22, 2}, /* projid, high half */
	{56, 8}, /* size */
	{64, 8}, /* nblocks */
	{72, 4}, /* extsize */
	{76, 4}, /* nextents, or large anextents */
	{80, 2}, /* anextents */
	{84, 4}, /* dmevmask */
	{88, 2}, /* dmstate */
	{90, 2}, /* flags */
	{92, 4}, /* gen */
	{104, 8}, /* changecount: here and below version 3 only */
	{120, 8}, /* flags2 */
	{128, 4}, /* cowextsize */
	{152, 8}, /* ino */
};

static void put(struct xr_order order, uint8_t *to, const uint8_t *from, unsigned width)
{
	if (width == 2)
		xr_put_be16(to, xr_get16(order, from));
	else if (width == 4)
		xr_put_be32(to, xr_get32(order, from));
	else
		xr_put_be64(to, xr_get64(order, from));
}

static void put_time(struct xr_order order, bool bigtime, uint8_t *to, const uint8_t *from)
{
	if (bigtime) {
		put(order, to, from, 8);
	} else { /* seconds, nanoseconds */
		put(order, to, from, 4);
		put(order, to + 4, from + 4, 4);
	}
}

/*
 * The logged core in disk form, into disk[XR_CORE_V3]. next_unlinked, crc and lsn stay 0: the first two belong to the disk, the third to
 * the transaction. What is undefined in this version of the inode is 0 too.
 */
static void core_to_disk(struct xr_order order, const uint8_t *core, size_t size, uint8_t *disk)
{
	bool v3 = size >= CORE_LOGGED && core[DI(version)] >= 3;
	uint64_t flags2 = v3 ? xr_get64(order, core + DI(flags2)) : 0;
	bool bigtime = flags2 & XFS_DIFLAG2_BIGTIME;

	memset(disk, 0, XR_CORE_V3);
#pragma GCC unroll 32
	for (size_t i = 0; i < sizeof(swapped) / sizeof(swapped[0]); i++)
		if (v3 || swapped[i].at < DI(next_unlinked))
			put(order, disk + swapped[i].at, core + swapped[i].at, swapped[i].width);
	disk[DI(version)] = core[DI(version)];
	disk[DI(format)] = core[DI(format)];
	disk[DI(forkoff)] = core[DI(forkoff)];
	disk[DI(aformat)] = core[DI(aformat)];
	put_time(order, bigtime, disk + DI(atime), core + DI(atime));
	put_time(order, bigtime, disk + DI(mtime), core + DI(mtime));
	put_time(order, bigtime, disk + DI(ctime), core + DI(ctime));
	if (!v3) {
		put(order, disk + DI(flushiter), core + DI(flushiter), 2);
		return;
	}
	put_time(order, bigtime, disk + DI(crtime), core + DI(crtime));
	memcpy(disk + DI(uuid), core + DI(uuid), 16);
	/* Without large counters the place must be 0: kept as logged, so that the rules see it when it is not. */
	put(order, disk + DI(big_nextents), core + DI(big_nextents), 8);
}

/* --- forks --- */

/* How the records of a btree root are laid out: those of leaves, and keys and pointers above; share: the room in the inode for one of these. */
struct root_shape {
	uint32_t header, record, key, share;
};

static bool root_shape(const struct xr_sb *sb, const uint8_t *disk, bool attr, struct root_shape *shape)
{
	unsigned metatype = xr_be16(disk + DI(onlink));

	*shape = (struct root_shape){sb->v5 ? BTREE_HEADER_V5 : BTREE_HEADER_V4, 0, 8, 16};
	if (attr || disk[DI(format)] == XFS_DINODE_FMT_BTREE)
		return true;
	if (disk[DI(format)] != XR_DINODE_FMT_META_BTREE)
		return false;
	shape->record = metatype == XR_METATYPE_RTRMAP ? 24 : 12;
	shape->key = metatype == XR_METATYPE_RTRMAP ? 40 : 4;
	shape->share = metatype == XR_METATYPE_RTRMAP ? 48 : XR_RTREFC_ROOT_SHARE;
	return metatype == XR_METATYPE_RTRMAP || metatype == XR_METATYPE_RTREFC;
}

/* Whether a logged root fits: into its region, and in disk form into room bytes of the inode. */
static bool root_fits(const struct root_shape *shape, const struct xr_region *region, uint32_t room)
{
	uint32_t level, numrecs, each;

	if (region->size < shape->header || room < ROOT_HEADER)
		return false;
	level = xr_be16(region->data + 4);
	numrecs = xr_be16(region->data + 6);
	each = level ? shape->key + 8 : shape->record;
	if (!each || level > XR_BMBT_MAX_LEVEL)
		return false;
	return numrecs <= (region->size - shape->header) / each &&
	       numrecs <= (room - ROOT_HEADER) / (level ? shape->share : shape->record);
}

static void root_to_disk(const struct root_shape *shape, const struct xr_region *region, uint8_t *to, uint32_t room)
{
	uint32_t level = xr_be16(region->data + 4), numrecs = xr_be16(region->data + 6);
	uint32_t in_max = (region->size - shape->header) / (shape->key + 8), disk_max = (room - ROOT_HEADER) / shape->share;
	const uint8_t *from = region->data + shape->header;

	memcpy(to, region->data + 4, ROOT_HEADER);
	if (!level) {
		memcpy(to + ROOT_HEADER, from, numrecs * shape->record);
		return;
	}
	memcpy(to + ROOT_HEADER, from, numrecs * shape->key);
	memcpy(to + ROOT_HEADER + disk_max * shape->key, from + in_max * shape->key, numrecs * 8);
}

/* The two forks of an item: where their region is (NULL: not logged) and where they go. */
struct fork {
	const struct xr_region *region;
	bool root;
	uint32_t at, room;
};

static int get_forks(const struct xr_sb *sb, const struct xr_item *item, const struct inode_format *f, const uint8_t *disk,
		     struct fork fork[2])
{
	struct xr_forks forks;
	unsigned next = 2;

	if (!xr_forks_of(sb, disk, &forks))
		return -1;
	fork[0] = (struct fork){NULL, f->fields & XFS_ILOG_DBROOT, forks.data, forks.data_size};
	fork[1] = (struct fork){NULL, f->fields & XFS_ILOG_ABROOT, forks.attr, forks.attr_size};
	if (f->fields & XFS_ILOG_DFORK)
		fork[0].region = next < item->count ? &item->regions[next++] : NULL;
	if (f->fields & XFS_ILOG_AFORK)
		fork[1].region = next < item->count ? &item->regions[next++] : NULL;
	return next == item->count && !fork[0].region == !(f->fields & XFS_ILOG_DFORK) &&
			       !fork[1].region == !(f->fields & XFS_ILOG_AFORK)
		       ? 0
		       : -1;
}

static bool fork_fits(const struct xr_sb *sb, const uint8_t *disk, const struct fork *fork, bool attr)
{
	struct root_shape shape;

	if (!fork->region)
		return true;
	if (fork->root)
		return root_shape(sb, disk, attr, &shape) && root_fits(&shape, fork->region, fork->room);
	return fork->region->size <= fork->room;
}

static void apply_fork(const struct xr_sb *sb, uint8_t *inode, const struct fork *fork, bool attr)
{
	struct root_shape shape;

	if (!fork->region)
		return;
	if (!fork->root)
		memcpy(inode + fork->at, fork->region->data, fork->region->size);
	else if (root_shape(sb, inode, attr, &shape))
		root_to_disk(&shape, fork->region, inode + fork->at, fork->room);
}

/* --- pass 1 --- */

/* An item, decoded: its core in disk form, and its forks. */
struct inode_item {
	struct inode_format f;
	uint8_t core[XR_CORE_V3];
	struct fork forks[2];
};

/* Decode an item and check it: with this it can be applied to any inode. */
static int get_item(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
		    struct inode_item *it)
{
	const struct xr_sb *sb = &replay->sb;
	const struct inode_format *f = &it->f;
	unsigned long long ino;
	const char *fault;

	if (!decode(replay->log->order, &item->regions[0], &it->f))
		return xr_item_bad(replay, trans, item, "its format has %u bytes: neither 56 nor 52", item->regions[0].size);
	ino = f->ino;
	if (item->count < 2 || item->regions[1].size != (sb->v5 ? CORE_LOGGED : CORE_LOGGED_V2))
		return xr_item_bad(replay, trans, item, "inode %llu: the logged core has %u bytes", ino,
				   item->count < 2 ? 0 : item->regions[1].size);
	if (!xr_on_device(replay, f->daddr, f->bbs) || f->bbs > CLUSTER_MAX_BBS || f->offset % sb->inodesize ||
	    (uint64_t)f->offset + sb->inodesize > (uint64_t)f->bbs << XR_BB_SHIFT)
		return xr_item_bad(replay, trans, item, "inode %llu: it cannot lie at byte %u of blocks %llu+%u", ino, f->offset,
				   (unsigned long long)f->daddr, f->bbs);
	core_to_disk(replay->log->order, item->regions[1].data, item->regions[1].size, it->core);
	fault = xr_core_fault(sb, it->core);
	if (fault)
		return xr_item_bad(replay, trans, item, "inode %llu: %s", ino, fault);
	if (sb->v5 && xr_be64(it->core + DI(ino)) != f->ino)
		return xr_item_bad(replay, trans, item, "inode %llu: the logged core is that of inode %llu", ino,
				   (unsigned long long)xr_be64(it->core + DI(ino)));
	if (get_forks(sb, item, f, it->core, it->forks))
		return xr_item_bad(replay, trans, item, "inode %llu: %u regions for fields %#x", ino, item->count, f->fields);
	for (int i = 0; i < 2; i++)
		if (!fork_fits(sb, it->core, &it->forks[i], i))
			return xr_item_bad(replay, trans, item, "inode %llu: the logged %s fork does not fit into the inode", ino,
					   i ? "attribute" : "data");
	return 0;
}

int xr_inode_item_check(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	struct inode_item it;

	return get_item(replay, trans, item, &it);
}

/* Whether an item reaches beyond its inode: the blocks of its extent btrees change hands. */
static bool changes_owners(const struct inode_format *f)
{
	return f->fields & (XFS_ILOG_DOWNER | XFS_ILOG_AOWNER);
}

int xr_inode_item_note(struct xr_replay *replay, const struct xr_item *item)
{
	struct inode_format f;

	replay->whole |= decode(replay->log->order, &item->regions[0], &f) && changes_owners(&f);
	return 0;
}

bool xr_inode_item_is_plain(const struct xr_replay *replay, const struct xr_item *item)
{
	struct inode_item it;

	return !get_item(replay, NULL, item, &it) && !changes_owners(&it.f);
}

void xr_inode_item_target(const struct xr_replay *replay, const struct xr_item *item, struct xr_extent *target)
{
	struct inode_format f = {0};

	decode(replay->log->order, &item->regions[0], &f);
	*target = (struct xr_extent){f.daddr, f.bbs};
}

/* --- pass 2 --- */

/*
 * Every slot of an inode buffer must hold an inode, used or free, with a sane unlinked-list pointer. Looked at once: inode items keep it so, and
 * what else is replayed into the buffer has it forgotten.
 */
static int check_buffer(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			const struct inode_format *f, const struct xr_buf *buf)
{
	const struct xr_sb *sb = &replay->sb;
	uint64_t agino_max = (uint64_t)sb->agblocks << sb->inopblog;

	for (size_t at = 0; at + sb->inodesize <= buf->size; at += sb->inodesize) {
		const uint8_t *raw = buf->data + at;
		uint32_t next = xr_be32(raw + DI(next_unlinked));
		unsigned version = raw[DI(version)];

		if (xr_be16(raw + DI(magic)) != XFS_DINODE_MAGIC || (sb->v5 ? version != 3 : version < 1 || version > 2) ||
		    (next != NULLAGINO && (!next || next >= agino_max)))
			return xr_item_bad(replay, trans, item,
					   "inode %llu: byte %zu of its buffer at block %llu on the disk is no inode",
					   (unsigned long long)f->ino, at, (unsigned long long)f->daddr);
	}
	return 0;
}

/* Version 4 has no LSN: a counter says which is newer (section 9.2 step 5). It wraps. */
static bool flushed_later(const uint8_t *logged, const uint8_t *disk)
{
	uint16_t in_log = xr_be16(logged + DI(flushiter)), on_disk = xr_be16(disk + DI(flushiter));

	return in_log < on_disk && !(on_disk == 0xffff && in_log < 0x7fff);
}

static bool is_stale(const struct xr_sb *sb, const struct xr_trans *trans, const uint8_t *logged, const uint8_t *disk)
{
	uint64_t lsn = xr_be64(disk + DI(lsn));

	if (!sb->v5)
		return flushed_later(logged, disk);
	/* Later, not equal: several transactions may share the LSN, and an inode is stamped at once. */
	return lsn != UINT64_MAX && lsn > trans->lsn;
}

static void apply(const struct xr_sb *sb, const struct xr_trans *trans, const struct inode_format *f, const uint8_t *core,
		  const struct fork forks[2], uint8_t *inode)
{
	uint8_t keep[4];

	memcpy(keep, inode + DI(next_unlinked), 4);
	if (sb->v5) {
		memcpy(inode, core, XR_CORE_V3);
		xr_put_be64(inode + DI(lsn), trans->lsn);
	} else {
		memcpy(inode, core, DI(next_unlinked));
		xr_put_be16(inode + DI(flushiter), 0);
	}
	memcpy(inode + DI(next_unlinked), keep, 4);
	if (f->fields & XFS_ILOG_DEV)
		xr_put_be32(inode + forks[0].at, f->rdev);
	apply_fork(sb, inode, &forks[0], false);
	apply_fork(sb, inode, &forks[1], true);
}

static int change_owners(struct xr_replay *replay, const struct inode_format *f, uint8_t *inode)
{
	int ret = 0;

	if (!xr_be16(inode + DI(mode)))
		return 0;
	if (f->fields & XFS_ILOG_DOWNER && inode[DI(format)] == XFS_DINODE_FMT_BTREE)
		ret = xr_bmbt_set_owner(&replay->sb, replay->cache, &replay->group, inode, false, f->ino, replay->msg);
	if (!ret && f->fields & XFS_ILOG_AOWNER && inode[DI(aformat)] == XFS_DINODE_FMT_BTREE)
		ret = xr_bmbt_set_owner(&replay->sb, replay->cache, &replay->group, inode, true, f->ino, replay->msg);
	return ret;
}

/* What is held is not cancelled: pass 2 only takes cancels back. */
static bool holds_cluster(const struct xr_replay *replay, const struct inode_format *f)
{
	return replay->cluster.view && replay->cluster_at.daddr == f->daddr && replay->cluster_at.bbs == f->bbs;
}

/* Get the cluster that the item is for, which is often that of the item before, and look at it as it is on the disk. */
static int hold_cluster(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			const struct inode_format *f)
{
	int ret;

	if (holds_cluster(replay, f))
		return 0;
	xr_inode_release(replay);
	ret = xr_buf_read(replay->cache, f->daddr, f->bbs, &replay->cluster);
	if (ret)
		return ret;
	replay->cluster_at = (struct xr_extent){f->daddr, f->bbs};
	if (xr_blocks_all(&replay->inodes, &replay->cluster_at))
		return 0;
	ret = check_buffer(replay, trans, item, f, &replay->cluster);
	if (ret) {
		xr_inode_release(replay);
		return ret;
	}
	if (replay->inodes.words.count > KNOWN_MAX)
		xr_blocks_clear(&replay->inodes);
	xr_blocks_add(&replay->inodes, &replay->cluster_at); /* it may fail: then it is looked at again */
	return 0;
}

void xr_inode_release(struct xr_replay *replay)
{
	xr_buf_put(replay->cache, &replay->cluster);
}

void xr_inode_forget(struct xr_replay *replay, const struct xr_extent *target)
{
	const struct xr_extent *held = &replay->cluster_at;

	xr_blocks_remove(&replay->inodes, target);
	if (target->daddr < held->daddr + held->bbs && held->daddr < target->daddr + target->bbs)
		xr_inode_release(replay);
}

static int replay_into(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
		       const struct inode_item *it, enum xr_outcome *outcome)
{
	const struct xr_sb *sb = &replay->sb;
	uint8_t *inode = replay->cluster.data + it->f.offset;
	const char *fault;

	*outcome = is_stale(sb, trans, it->core, inode) ? XR_STALE : XR_REPLAYED;
	if (*outcome == XR_REPLAYED) {
		apply(sb, trans, &it->f, it->core, it->forks, inode);
		fault = xr_identity_fault(sb, inode, it->f.ino); /* the core is the item's, which was checked */
		if (fault)
			return xr_item_bad(replay, trans, item, "inode %llu: %s", (unsigned long long)it->f.ino, fault);
		if (sb->v5)
			xr_crc_update(inode, sb->inodesize, DI(crc));
		xr_buf_dirty(replay->cache, &replay->cluster, it->f.offset, sb->inodesize);
	}
	return sb->v5 ? change_owners(replay, &it->f, inode) : 0;
}

int xr_inode_item_replay(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			 enum xr_outcome *outcome)
{
	struct inode_item it;
	int ret = get_item(replay, trans, item, &it);

	if (ret)
		return ret;
	if (!holds_cluster(replay, &it.f) && xr_cancelled(replay, it.f.daddr, it.f.bbs)) {
		*outcome = XR_CANCELLED;
		return 0;
	}
	if (!xr_ino_ok(&replay->sb, it.f.ino) || !xr_in_filesystem(replay, it.f.daddr, it.f.bbs))
		return xr_item_bad(replay, trans, item, "inode %llu: no such inode can be in this filesystem",
				   (unsigned long long)it.f.ino);
	ret = xr_scatter_owner(replay, it.f.ino);
	if (!ret)
		ret = hold_cluster(replay, trans, item, &it.f);
	return ret ? ret : replay_into(replay, trans, item, &it, outcome);
}
