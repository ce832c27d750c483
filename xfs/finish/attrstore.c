/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Putting attributes back
 *
 * The form follows from what there is: the inode if all fit there, else a leaf, else leaves under as many levels of nodes as it takes. The root is always
 * block 0 of the fork. Leaves that did not change stay as they are but for their neighbours; nodes are computed from the leaves. What is written is
 * compared with what the block held, and only chunks that differ are logged.
 *
 * Values of their own blocks are logged too, where the kernel writes them before it commits: for us a block is on the disk when its
 * transaction is.
 */
#include "attrlist.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ag.h"
#include "bytes.h"
#include "dinode.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define INFO(field) offsetof(struct xfs_da3_blkinfo, field)
#define LEAF(field) offsetof(struct xfs_attr3_leaf_hdr, field)
#define RMT(field) offsetof(struct xfs_attr3_rmt_hdr, rm_##field)
#define NODE_HEADER 64u
#define SF_HEADER 4u
#define SF_ENTRY 3u
#define SF_MAX 255u /* a name or value of so many bytes is too long for the inode */
#define MIN_FORK 40u /* room for the root of a btree */
#define MIN_DATA 56u /* the same for the data fork, whose root has a pointer more */
#define LENT_BYTES 192u /* the usual border between the forks */
#define DATA_BYTES 200u /* that a new attribute fork leaves to the data fork, where there is room */

static int cannot(const struct xr_attr_list *list, int error, const char *what)
{
	return xr_fail(list->work->replay->msg, error, "inode %llu: its attributes cannot be changed: %s",
		       (unsigned long long)list->inode->ino, what);
}

/* --- blocks of the fork --- */

static uint32_t block_bbs(const struct xr_sb *sb)
{
	return sb->blocksize >> XR_BB_SHIFT;
}

/* What is mapped goes: no log item for it counts any more, and its blocks and their rmap follow. */
static int release(void *arg, const struct xr_mapping *m)
{
	struct xr_attr_list *list = arg;
	struct xr_tx *tx = list->work->tx;
	int ret = 0;

	for (uint32_t i = 0; i < m->count && !ret; i++)
		ret = xr_tx_cancel(tx, xr_fsb_daddr(xr_tx_sb(tx), m->block + i), block_bbs(xr_tx_sb(tx)));
	if (!ret)
		ret = xr_work_rmap_mapping(list->work, false, list->inode, true, m);
	return ret ? ret : xr_work_free(list->work, XR_DATA, m->block, m->count);
}

/* Take a range out of the fork. There may be holes in it: a value whose setting was interrupted. */
static int unmap(struct xr_attr_list *list, struct xr_attr_range range)
{
	uint64_t at = range.block, end = at + range.count;
	int ret = 0;

	while (at < end && !ret) {
		struct xr_mapping m;

		ret = xr_bmap_lookup_in(list->work->tx, list->inode, true, at, end, &m);
		if (ret)
			break;
		at = m.offset + m.count;
		ret = xr_bmap_remove(list->work->tx, list->inode, true, m.offset, m.count);
		if (!ret)
			ret = release(list, &m);
	}
	return ret == -ENOENT ? 0 : ret;
}

/* The first hole of count blocks at or behind *at. */
static int find_hole(struct xr_attr_list *list, uint32_t count, uint64_t *at)
{
	struct xr_mapping m;
	int ret;

	while (!(ret = xr_bmap_lookup(list->work->tx, list->inode, true, *at, &m)) && m.offset < *at + count)
		*at = m.offset + m.count;
	if (ret && ret != -ENOENT)
		return ret;
	return *at + count < XR_ATTR_NO_BLOCK ? 0 : cannot(list, -ENOSPC, "their fork has no room");
}

/* A new block at file block number, near *near, which it becomes; joined, all zeros. */
static int map_block(struct xr_attr_list *list, uint32_t number, unsigned type, uint64_t *near, struct xr_tx_buf **buf)
{
	struct xr_tx *tx = list->work->tx;
	struct xr_mapping m = {.offset = number, .count = 1};
	int ret = xr_alloc_block(tx, *near, list->inode->ino, number | XR_RMAP_ATTR, &m.block);

	if (!ret)
		ret = xr_bmap_add(tx, list->inode, true, &m);
	*near = m.block + 1;
	return ret ? ret : xr_tx_get_new(tx, xr_fsb_daddr(xr_tx_sb(tx), m.block), block_bbs(xr_tx_sb(tx)), type, buf);
}

static uint64_t near_inode(const struct xr_attr_list *list)
{
	return list->inode->ino >> xr_tx_sb(list->work->tx)->inopblog;
}

/* --- the form --- */

/*
 * The attribute fork is to hold blocks, or nothing yet: a list of extents. That needs less room than attributes did, and the data fork gets
 * back what it had lent, up to the usual border; not where its form does not depend on its room, or it is the root of a btree of its size.
 */
static void begin_extents(struct xr_attr_list *list)
{
	uint8_t *raw = list->inode->raw;
	struct xr_forks forks;

	if (raw[DI(aformat)] != XFS_DINODE_FMT_LOCAL)
		return;
	xr_forks_of(xr_tx_sb(list->work->tx), raw, &forks);
	memset(raw + forks.attr, 0, forks.attr_size);
	raw[DI(aformat)] = XFS_DINODE_FMT_EXTENTS;
	if (raw[DI(format)] != XFS_DINODE_FMT_DEV && raw[DI(format)] != XFS_DINODE_FMT_BTREE &&
	    raw[DI(forkoff)] < LENT_BYTES / 8 && forks.data_size + forks.attr_size >= LENT_BYTES + MIN_FORK)
		raw[DI(forkoff)] = LENT_BYTES / 8;
}

/* Bytes that the data fork has in use. A btree uses all that it has. */
static uint64_t data_used(const struct xr_attr_list *list)
{
	const uint8_t *raw = list->inode->raw;

	switch (raw[DI(format)]) {
	case XFS_DINODE_FMT_DEV:
		return 8;
	case XFS_DINODE_FMT_LOCAL:
		return xr_be64(raw + DI(size));
	case XFS_DINODE_FMT_EXTENTS:
		return xr_inode_nextents(list->inode, false) * sizeof(struct xfs_bmbt_rec);
	default:
		return UINT32_MAX;
	}
}

/* An inode that has no attribute fork gets one, if its data fork can do with less room. */
static int make_fork(struct xr_attr_list *list)
{
	const struct xr_sb *sb = xr_tx_sb(list->work->tx);
	uint8_t *raw = list->inode->raw;
	uint64_t used = data_used(list);
	struct xr_forks forks;

	if (raw[DI(forkoff)])
		return 0;
	xr_forks_of(sb, raw, &forks);
	if (used > forks.data_size - MIN_FORK)
		return cannot(list, -EOPNOTSUPP, "it has no attribute fork, and no room for one: mount it once");
	if (used < DATA_BYTES && forks.data_size - MIN_FORK >= DATA_BYTES)
		used = DATA_BYTES;
	raw[DI(forkoff)] = (uint8_t)((used + 7) / 8);
	raw[DI(aformat)] = XFS_DINODE_FMT_LOCAL;
	xr_forks_of(sb, raw, &forks);
	memset(raw + forks.attr, 0, forks.attr_size);
	xr_put_be16(raw + forks.attr, SF_HEADER);
	return 0;
}

/*
 * Where the attribute fork has to begin for so many bytes to fit: it may grow over what the data fork does not use. 0: they do not fit.
 */
static uint8_t fork_for(const struct xr_attr_list *list, uint64_t bytes)
{
	uint64_t used = data_used(list), room;
	struct xr_forks forks;

	xr_forks_of(xr_tx_sb(list->work->tx), list->inode->raw, &forks);
	if (bytes <= forks.attr_size)
		return list->inode->raw[DI(forkoff)];
	used = used > MIN_DATA ? used : MIN_DATA;
	room = forks.data_size + forks.attr_size;
	if (bytes > room || (room - bytes) / 8 * 8 < used)
		return 0;
	return (uint8_t)((room - bytes) / 8);
}

/* Bytes of the list in the inode; none: something in it cannot be there. */
static uint64_t short_bytes(const struct xr_attr_list *list)
{
	uint64_t bytes = SF_HEADER;

	for (size_t i = 0; i < list->n; i++) {
		const struct xr_attr_item *item = list->items[i];

		if (!(item->flags & XFS_ATTR_LOCAL) || item->flags & XFS_ATTR_INCOMPLETE || item->namelen >= SF_MAX ||
		    item->valuelen >= SF_MAX)
			return 0;
		bytes += SF_ENTRY + item->namelen + item->valuelen;
	}
	return list->n < SF_MAX ? bytes : 0;
}

bool xr_attr_list_short(const struct xr_attr_list *list)
{
	uint64_t bytes = short_bytes(list);

	return bytes && fork_for(list, bytes);
}

/* Whether the fork goes when it is empty: not where a btree's root would have to move, or where parent pointers come and go. */
static bool fork_goes(const struct xr_attr_list *list)
{
	return !list->n && list->inode->raw[DI(format)] != XFS_DINODE_FMT_BTREE &&
	       !(xr_tx_sb(list->work->tx)->incompat & XFS_SB_FEAT_INCOMPAT_PARENT);
}

static int store_in_inode(struct xr_attr_list *list)
{
	uint8_t *raw = list->inode->raw, *to;
	struct xr_forks forks;
	int ret = 0;

	if (raw[DI(aformat)] != XFS_DINODE_FMT_LOCAL)
		ret = xr_bmap_free_fork(list->work->tx, list->inode, true, release, list);
	if (ret)
		return ret;
	raw[DI(forkoff)] = fork_for(list, short_bytes(list)); /* now that no extents are in the fork */
	xr_forks_of(xr_tx_sb(list->work->tx), raw, &forks);
	memset(raw + forks.attr, 0, forks.attr_size);
	if (fork_goes(list)) {
		raw[DI(aformat)] = XFS_DINODE_FMT_EXTENTS;
		raw[DI(forkoff)] = 0;
		return 0;
	}
	raw[DI(aformat)] = XFS_DINODE_FMT_LOCAL;
	to = raw + forks.attr + SF_HEADER;
	for (size_t i = 0; i < list->n; i++) {
		const struct xr_attr_item *item = list->items[i];

		to[0] = item->namelen;
		to[1] = (uint8_t)item->valuelen;
		to[2] = item->flags & (uint8_t)~XFS_ATTR_LOCAL;
		memcpy(to + SF_ENTRY, item->bytes, item->namelen + item->valuelen);
		to += SF_ENTRY + item->namelen + item->valuelen;
	}
	xr_put_be16(raw + forks.attr, (uint16_t)(to - (raw + forks.attr)));
	raw[forks.attr + 2] = (uint8_t)list->n;
	return 0;
}

/* --- leaves and nodes --- */

/* A tree as it is written: a block of content, and where blocks come from. */
struct store {
	struct xr_attr_list *list;
	const struct xr_sb *sb;
	uint8_t *scratch;
	size_t used; /* of list->spare */
	uint64_t hole, near;
};

/* A child of a node: the highest hash below it, and where it is. */
struct child {
	uint32_t hash, block;
};

/* A block for the tree: one that it had, or a new one. */
static int take_block(struct store *s, uint32_t *number)
{
	struct xr_tx_buf *buf;
	int ret;

	if (s->used < s->list->nspare) {
		*number = s->list->spare[s->used++];
		return 0;
	}
	ret = find_hole(s->list, 1, &s->hole);
	*number = (uint32_t)s->hole;
	return ret ? ret : map_block(s->list, *number, XFS_BLFT_ATTR_LEAF_BUF, &s->near, &buf);
}

/* Join a block of the tree; the root may be new. */
static int get_block(struct store *s, uint32_t number, unsigned type, struct xr_tx_buf **buf)
{
	struct xr_tx *tx = s->list->work->tx;
	struct xr_mapping m;
	int ret = xr_bmap_lookup(tx, s->list->inode, true, number, &m);

	if (ret == -ENOENT || (!ret && m.offset > number))
		return map_block(s->list, number, type, &s->near, buf);
	return ret ? ret : xr_tx_get(tx, xr_fsb_daddr(s->sb, m.block + (number - m.offset)), block_bbs(s->sb), type, buf);
}

static void put_info(const struct store *s, uint16_t magic, uint32_t back, uint32_t forw)
{
	uint8_t *p = s->scratch;

	memset(p, 0, s->sb->blocksize);
	xr_put_be32(p + INFO(hdr.forw), forw);
	xr_put_be32(p + INFO(hdr.back), back);
	xr_put_be16(p + INFO(hdr.magic), magic);
	memcpy(p + INFO(uuid), s->sb->meta_uuid, 16);
	xr_put_be64(p + INFO(owner), s->list->inode->ino);
}

/* Write what was laid out to its block. LSN and CRC come with the commit. */
static int put_block(struct store *s, uint32_t number, unsigned type)
{
	const size_t chunk = 128;
	struct xr_tx_buf *buf;
	int ret = get_block(s, number, type, &buf);

	if (ret)
		return ret;
	xr_put_be64(s->scratch + INFO(blkno), buf->daddr);
	memcpy(s->scratch + INFO(crc), buf->data + INFO(crc), 4);
	memcpy(s->scratch + INFO(lsn), buf->data + INFO(lsn), 8);
	for (size_t at = 0; at < buf->size; at += chunk) {
		if (!memcmp(buf->data + at, s->scratch + at, chunk))
			continue;
		memcpy(buf->data + at, s->scratch + at, chunk);
		xr_tx_log(s->list->work->tx, buf, at, chunk);
	}
	return 0;
}

/* One item at the end of the free room of a leaf, which ends at *end; and its entry. */
static uint32_t put_item(uint8_t *block, uint8_t *entry, uint32_t end, const struct xr_attr_item *item)
{
	uint32_t local = item->flags & XFS_ATTR_LOCAL ? item->valuelen : 0;
	uint8_t *p;

	end -= xr_attr_item_bytes(item) - XR_ATTR_ENTRY;
	p = block + end;
	if (item->flags & XFS_ATTR_LOCAL) {
		xr_put_be16(p, (uint16_t)item->valuelen);
		p += 2;
	} else {
		xr_put_be32(p, item->valueblk);
		xr_put_be32(p + 4, item->valuelen);
		p += 8;
	}
	*p = item->namelen;
	memcpy(p + 1, item->bytes, item->namelen + local);
	xr_put_be32(entry, item->hash);
	xr_put_be16(entry + 4, (uint16_t)end);
	entry[6] = item->flags;
	return end;
}

static int put_leaf(struct store *s, const struct xr_attr_leaf *leaf, struct xr_attr_item **items, uint32_t back, uint32_t forw)
{
	uint8_t *p = s->scratch, *entry = p + XR_ATTR_LEAF_HEADER;
	uint32_t end = s->sb->blocksize, behind = XR_ATTR_LEAF_HEADER + leaf->n * XR_ATTR_ENTRY;
	struct xr_tx_buf *buf;
	int ret;

	if (leaf->changed) {
		put_info(s, XFS_ATTR3_LEAF_MAGIC, back, forw);
		for (uint32_t i = 0; i < leaf->n; i++)
			end = put_item(p, entry + i * XR_ATTR_ENTRY, end, items[i]);
		xr_put_be16(p + LEAF(count), (uint16_t)leaf->n);
		xr_put_be16(p + LEAF(usedbytes), (uint16_t)(s->sb->blocksize - end));
		xr_put_be16(p + LEAF(firstused), (uint16_t)end);
		xr_put_be16(p + LEAF(freemap), (uint16_t)behind);
		xr_put_be16(p + LEAF(freemap) + 2, (uint16_t)(end - behind));
	} else {
		ret = get_block(s, leaf->block, XFS_BLFT_ATTR_LEAF_BUF, &buf);
		if (ret)
			return ret;
		memcpy(p, buf->data, buf->size);
		xr_put_be32(p + INFO(hdr.forw), forw);
		xr_put_be32(p + INFO(hdr.back), back);
	}
	return put_block(s, leaf->block, XFS_BLFT_ATTR_LEAF_BUF);
}

static int put_node(struct store *s, uint32_t number, uint32_t level, const struct child *children, uint32_t n, uint32_t back,
		    uint32_t forw)
{
	uint8_t *p = s->scratch;

	put_info(s, XFS_DA3_NODE_MAGIC, back, forw);
	xr_put_be16(p + offsetof(struct xfs_da3_node_hdr, __count), (uint16_t)n);
	xr_put_be16(p + offsetof(struct xfs_da3_node_hdr, __level), (uint16_t)level);
	for (uint32_t i = 0; i < n; i++) {
		xr_put_be32(p + NODE_HEADER + i * XR_ATTR_ENTRY, children[i].hash);
		xr_put_be32(p + NODE_HEADER + i * XR_ATTR_ENTRY + 4, children[i].block);
	}
	return put_block(s, number, XFS_BLFT_DA_NODE_BUF);
}

/* One level of nodes above n children, which they replace in the array; *n is how many nodes. The only one is the root. */
static int put_level(struct store *s, uint32_t level, struct child *children, size_t *n)
{
	size_t max = (s->sb->blocksize - NODE_HEADER) / XR_ATTR_ENTRY, nodes = (*n + max - 1) / max, from = 0;
	uint32_t back = 0, number = 0, next = 0;
	int ret = nodes > 1 ? take_block(s, &number) : 0;

	for (size_t i = 0; i < nodes && !ret; i++, back = number, number = next) {
		size_t end = *n * (i + 1) / nodes;

		next = 0;
		if (i + 1 < nodes)
			ret = take_block(s, &next);
		if (!ret)
			ret = put_node(s, number, level, &children[from], (uint32_t)(end - from), back, next);
		children[i] = (struct child){children[end - 1].hash, number};
		from = end;
	}
	*n = nodes;
	return ret;
}

/* Give every leaf a block. A single one is the root; of several none can be. */
static int place_leaves(struct store *s)
{
	struct xr_attr_list *list = s->list;
	int ret = 0;

	for (size_t l = 0; l < list->nleaves && !ret; l++) {
		struct xr_attr_leaf *leaf = &list->leaves[l];

		if (list->nleaves > 1 ? leaf->block && leaf->block != XR_ATTR_NO_BLOCK : !leaf->block)
			continue;
		leaf->changed = true;
		if (list->nleaves > 1) {
			ret = take_block(s, &leaf->block);
		} else {
			if (leaf->block != XR_ATTR_NO_BLOCK) {
				if (!xr_attr_grow((void **)&list->spare, list->nspare, &list->spare_room, sizeof(*list->spare)))
					return cannot(list, -ENOMEM, "no memory");
				list->spare[list->nspare++] = leaf->block;
			}
			leaf->block = 0;
		}
	}
	return ret;
}

static int put_leaves(struct store *s, struct child *children)
{
	struct xr_attr_list *list = s->list;
	size_t first = 0;
	int ret = 0;

	for (size_t l = 0; l < list->nleaves && !ret; l++) {
		const struct xr_attr_leaf *leaf = &list->leaves[l];

		ret = put_leaf(s, leaf, &list->items[first], l ? leaf[-1].block : 0, l + 1 < list->nleaves ? leaf[1].block : 0);
		first += leaf->n;
		children[l] = (struct child){list->items[first - 1]->hash, leaf->block};
	}
	return ret;
}

static int put_tree(struct store *s)
{
	struct xr_attr_list *list = s->list;
	struct child *children = malloc(list->nleaves * sizeof(*children));
	size_t n = list->nleaves;
	int ret;

	s->scratch = malloc(s->sb->blocksize);
	ret = children && s->scratch ? place_leaves(s) : cannot(list, -ENOMEM, "no memory");
	if (!ret)
		ret = put_leaves(s, children);
	for (uint32_t level = 1; n > 1 && !ret; level++)
		ret = put_level(s, level, children, &n);
	free(s->scratch);
	free(children);
	for (; s->used < list->nspare && !ret; s->used++)
		ret = unmap(list, (struct xr_attr_range){list->spare[s->used], 1});
	return ret;
}

int xr_attr_list_store(struct xr_attr_list *list)
{
	struct store s = {.list = list, .sb = xr_tx_sb(list->work->tx), .hole = 1, .near = near_inode(list)};
	int ret = 0;

	if (!list->n && !list->inode->raw[DI(forkoff)])
		return 0;
	ret = make_fork(list);
	if (!ret && xr_attr_list_short(list)) {
		ret = store_in_inode(list);
	} else if (!ret) {
		begin_extents(list);
		for (size_t i = 0; i < list->nvalues && !ret; i++)
			ret = unmap(list, list->values[i]);
		if (!ret)
			ret = put_tree(&s);
	}
	xr_tx_inode_log(list->work->tx, list->inode);
	return ret;
}

/* --- values --- */

int xr_attr_value_store(struct xr_attr_list *list, const uint8_t *value, uint32_t size, uint32_t *valueblk)
{
	const struct xr_sb *sb = xr_tx_sb(list->work->tx);
	uint32_t blocks = xr_attr_value_blocks(sb, size), header = (uint32_t)sizeof(struct xfs_attr3_rmt_hdr), done = 0;
	uint64_t at = 1, near = near_inode(list); /* block 0 is the root's */
	int ret = make_fork(list);

	if (ret)
		return ret;
	begin_extents(list);
	ret = find_hole(list, blocks, &at);
	*valueblk = (uint32_t)at;
	for (uint32_t i = 0; i < blocks && !ret; i++) {
		uint32_t bytes = size - done < sb->blocksize - header ? size - done : sb->blocksize - header;
		struct xr_tx_buf *buf;

		ret = map_block(list, *valueblk + i, XFS_BLFT_ATTR_RMT_BUF, &near, &buf);
		if (ret)
			break;
		xr_put_be32(buf->data, XFS_ATTR3_RMT_MAGIC);
		xr_put_be32(buf->data + RMT(offset), done);
		xr_put_be32(buf->data + RMT(bytes), bytes);
		memcpy(buf->data + RMT(uuid), sb->meta_uuid, 16);
		xr_put_be64(buf->data + RMT(owner), list->inode->ino);
		xr_put_be64(buf->data + RMT(blkno), buf->daddr);
		xr_put_be64(buf->data + RMT(lsn), UINT64_MAX);
		memcpy(buf->data + header, value + done, bytes);
		done += bytes;
	}
	return ret;
}
