/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Block maps
 *
 * A fork maps file blocks to disk blocks: by a list of packed extents in the inode, or, when those do not fit, by a btree whose
 * root is in the inode. Both end up as one sorted array. The btree is read as its leaves hang together: down its left edge
 * once, then from sibling to sibling, so that each block is read once and only one is held.
 *
 * Why it ends on hostile input: the descent loses a level with each block, and there are at most nine; a leaf must hold at
 * least one mapping, and each must lie behind all that were read before, so no leaf can come twice; and the mappings together
 * may not be more than the inode has blocks. Memory grows with what was read, never with what a header promises.
 */
#include "bmap.h"
#include "bytes.h"
#include "format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define RECORD_SIZE 16u
#define KEY_SIZE 8u
#define ROOT_HEADER 4u
#define MAX_LEVEL 9u
#define NO_SIBLING UINT64_MAX

struct walk {
	const struct xr_fs *fs;
	const struct xr_inode *inode;
	struct xr_bmap *map;
	uint64_t next; /* file block behind the last mapping */
	uint64_t limit; /* mappings the inode says this fork has */
};

static int damaged(const struct walk *walk, const char *what)
{
	return xr_fail(walk->fs->msg, -EUCLEAN, "inode %" PRIu64 ": %s; check the filesystem with xfs_repair -n",
		       walk->inode->ino, what);
}

struct xr_mapping xr_mapping_unpack(const uint8_t *p)
{
	uint64_t hi = xr_be64(p), lo = xr_be64(p + 8);

	return (struct xr_mapping){
		.unwritten = hi >> 63,
		.offset = hi >> 9 & BMBT_STARTOFF_MASK,
		.block = (hi & 0x1ff) << 43 | lo >> 21,
		.count = (uint32_t)(lo & BMBT_BLOCKCOUNT_MASK),
	};
}

void xr_mapping_pack(uint8_t *p, const struct xr_mapping *m)
{
	xr_put_be64(p, (uint64_t)m->unwritten << 63 | m->offset << 9 | m->block >> 43);
	xr_put_be64(p + 8, m->block << 21 | m->count);
}

static bool blocks_ok(const struct walk *walk, const struct xr_mapping *m)
{
	const struct xr_sb *sb = walk->fs->sb;

	if (!walk->map->realtime)
		return xr_fsb_ok(sb, m->block, m->count);
	if (sb->has_rtgroups)
		return xr_rtb_ok(sb, m->block, m->count);
	return m->block < sb->rblocks && m->count <= sb->rblocks - m->block;
}

static int add(struct walk *walk, const uint8_t *record)
{
	struct xr_bmap *map = walk->map;
	struct xr_mapping m = xr_mapping_unpack(record);

	if (map->n == walk->limit)
		return damaged(walk, "it has more extents than it says");
	if (!m.count || m.offset < walk->next || !blocks_ok(walk, &m))
		return damaged(walk, "an extent of it is out of order or lies outside the filesystem");
	if (map->n == map->room) {
		size_t room = map->room ? 2 * map->room : 16;
		struct xr_mapping *more = reallocarray(map->map, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		map->map = more;
		map->room = room;
	}
	map->map[map->n++] = m;
	walk->next = m.offset + m.count;
	return 0;
}

static int add_all(struct walk *walk, const uint8_t *records, uint32_t n)
{
	int error = 0;

	for (uint32_t i = 0; i < n && !error; i++)
		error = add(walk, records + (size_t)i * RECORD_SIZE);
	return error;
}

static uint32_t header_size(const struct xr_sb *sb)
{
	return sb->v5 ? (uint32_t)XFS_BTREE_LBLOCK_CRC_LEN : (uint32_t)XFS_BTREE_LBLOCK_LEN;
}

/* What only a V5 block says of itself. */
static bool identity_ok(const struct walk *walk, const struct xr_buf *buf, uint64_t daddr)
{
	return xr_be32(buf->data) == XFS_BMAP_CRC_MAGIC && xr_crc_ok(buf->data, buf->size, XFS_BTREE_LBLOCK_CRC_OFF) &&
	       xr_be64(buf->data + offsetof(struct xfs_btree_block, bb_u.l.bb_owner)) == walk->inode->ino &&
	       xr_be64(buf->data + offsetof(struct xfs_btree_block, bb_u.l.bb_blkno)) == daddr &&
	       !memcmp(buf->data + offsetof(struct xfs_btree_block, bb_u.l.bb_uuid), walk->fs->sb->meta_uuid, 16);
}

/* Get one btree block and check everything in its header; its record count is in *n. */
static int block_get(const struct walk *walk, uint64_t fsb, uint32_t level, struct xr_buf *buf, uint32_t *n)
{
	const struct xr_sb *sb = walk->fs->sb;
	uint64_t daddr;
	int error;

	if (!xr_fsb_ok(sb, fsb, 1))
		return damaged(walk, "its extent btree points outside the filesystem");
	daddr = xr_fsb_daddr(sb, fsb);
	error = xr_buf_read(walk->fs->cache, daddr, sb->blocksize / XR_BB, buf);
	if (error)
		return error;
	*n = xr_be16(buf->data + offsetof(struct xfs_btree_block, bb_numrecs));
	if ((sb->v5 ? identity_ok(walk, buf, daddr) : xr_be32(buf->data) == XFS_BMAP_MAGIC) &&
	    xr_be16(buf->data + offsetof(struct xfs_btree_block, bb_level)) == level && *n > 0 &&
	    *n <= (sb->blocksize - header_size(sb)) / RECORD_SIZE)
		return 0;
	xr_buf_put(walk->fs->cache, buf);
	return damaged(walk, "a block of its extent btree is damaged");
}

/* From fsb, a block of the given level, down the left edge to the first leaf. */
static int descend(const struct walk *walk, uint64_t *fsb, uint32_t level)
{
	/* Keys and pointers are the same size together as a record, and pointers begin behind room for all keys. */
	uint32_t header = header_size(walk->fs->sb), max = (walk->fs->sb->blocksize - header) / RECORD_SIZE;
	struct xr_buf buf;
	uint32_t n;
	int error = 0;

	for (; level > 0 && !error; level--) {
		error = block_get(walk, *fsb, level, &buf, &n);
		if (error)
			break;
		*fsb = xr_be64(buf.data + header + (size_t)max * KEY_SIZE);
		xr_buf_put(walk->fs->cache, &buf);
	}
	return error;
}

static int read_leaves(struct walk *walk, uint64_t fsb)
{
	struct xr_buf buf;
	uint32_t n;
	int error = 0;

	while (fsb != NO_SIBLING && !error) {
		error = block_get(walk, fsb, 0, &buf, &n);
		if (error)
			break;
		error = add_all(walk, buf.data + header_size(walk->fs->sb), n);
		fsb = xr_be64(buf.data + offsetof(struct xfs_btree_block, bb_u.l.bb_rightsib));
		xr_buf_put(walk->fs->cache, &buf);
	}
	return error;
}

static int read_btree(struct walk *walk, const uint8_t *root, uint32_t room)
{
	uint32_t max = room < ROOT_HEADER ? 0 : (room - ROOT_HEADER) / RECORD_SIZE;
	uint32_t level, n;
	uint64_t fsb;
	int error;

	if (!max)
		return damaged(walk, "its fork has no room for the root of a btree");
	level = xr_be16(root);
	n = xr_be16(root + 2);
	if (level == 0 || level > MAX_LEVEL || n == 0 || n > max)
		return damaged(walk, "the root of its extent btree is damaged");
	fsb = xr_be64(root + ROOT_HEADER + (size_t)max * KEY_SIZE);
	error = descend(walk, &fsb, level - 1);
	return error ? error : read_leaves(walk, fsb);
}

int xr_bmap_read(const struct xr_fs *fs, const struct xr_inode *inode, enum xr_fork fork, struct xr_bmap *map)
{
	bool data = fork == XR_DATA_FORK;
	uint8_t format = data ? inode->format : inode->aformat;
	struct walk walk = {.fs = fs, .inode = inode, .map = map, .limit = data ? inode->nextents : inode->anextents};
	uint32_t room;
	const uint8_t *at = xr_inode_fork(inode, fork, &room);
	int error = 0;

	*map = (struct xr_bmap){.realtime = data && S_ISREG(inode->mode) && (inode->flags & XFS_DIFLAG_REALTIME)};
	if (!room)
		return 0;
	if (format == XFS_DINODE_FMT_EXTENTS) {
		if (walk.limit > room / RECORD_SIZE)
			return damaged(&walk, "its extents do not fit into it");
		error = add_all(&walk, at, (uint32_t)walk.limit);
	} else if (format == XFS_DINODE_FMT_BTREE) {
		error = read_btree(&walk, at, room);
		if (!error && map->n != walk.limit)
			error = damaged(&walk, "it has fewer extents than it says");
	}
	return error;
}

void xr_bmap_free(struct xr_bmap *map)
{
	free(map->map);
	*map = (struct xr_bmap){0};
}

const struct xr_mapping *xr_bmap_find(const struct xr_bmap *map, uint64_t offset)
{
	size_t low = 0, high = map->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (map->map[middle].offset + map->map[middle].count > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low < map->n ? &map->map[low] : NULL;
}

size_t xr_bmap_gather(const struct xr_fs *fs, const struct xr_bmap *map, uint64_t offset, uint32_t count,
		      struct xr_extent extents[XR_BMAP_GATHER_MAX])
{
	const struct xr_mapping *m = xr_bmap_find(map, offset);
	uint32_t bbs = fs->sb->blocksize / XR_BB;
	size_t n = 0;

	if (!m || map->realtime)
		return 0;
	for (; count; m++) {
		if (m == map->map + map->n || m->offset > offset || m->unwritten)
			return 0;
		uint64_t within = offset - m->offset;
		uint32_t take = m->count - within < count ? (uint32_t)(m->count - within) : count;
		uint64_t daddr = xr_fsb_daddr(fs->sb, m->block + within);

		if (n && extents[n - 1].daddr + extents[n - 1].bbs == daddr)
			extents[n - 1].bbs += take * bbs;
		else
			extents[n++] = (struct xr_extent){daddr, take * bbs};
		offset += take;
		count -= take;
	}
	return n;
}
