/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changing block maps
 *
 * A fork that has room for its extents holds them as a sorted list, any other is a btree. The btree code knows how to change
 * records; what is here decides which records, and which of the two forms the fork has to have afterwards, as the kernel does: a btree as soon
 * as the list overflows, a list as soon as it fits. Lists are changed in place: they are a few dozen records at most. What a fork
 * no longer uses stays as it was, as the kernel leaves it.
 *
 * Block maps come from the disk. Every record is checked when it is met; a fork whose form contradicts its counters is refused.
 */
#include "bmapedit.h"

#include <errno.h>
#include <sys/stat.h>

#include "ag.h"
#include "btree.h"
#include "bytes.h"
#include "dinode.h"
#include "format.h"
#include "rtspace.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define RECORD 16u
#define KEY 8u
#define ROOT_HEADER 4u
#define MAX_EXTLEN ((1u << 21) - 1)
#define LONG_HEADER_V5 72u
#define LONG_HEADER_V4 24u
#define MAX_LEVEL 14u

static int damaged(struct xr_tx *tx, uint64_t ino, const char *what)
{
	return xr_fail(xr_tx_msg(tx), -EUCLEAN, "inode %llu: %s", (unsigned long long)ino, what);
}

/* --- forks --- */

/* A fork that is being looked at or changed. */
struct fork {
	struct xr_tx *tx;
	struct xr_tx_inode *inode;
	bool attr, realtime;
	uint8_t *format; /* of this fork, in the inode */
	uint8_t *data;
	uint32_t room; /* extents that fit */
	uint32_t size; /* bytes */
};

static int fork_open(struct fork *fork, struct xr_tx *tx, struct xr_tx_inode *inode, bool attr)
{
	uint8_t *raw = inode->raw;
	struct xr_forks forks;

	if (!xr_forks_of(xr_tx_sb(tx), raw, &forks))
		return damaged(tx, inode->ino, "its attribute fork lies outside the inode");
	*fork = (struct fork){tx,
			      inode,
			      attr,
			      false,
			      raw + (attr ? DI(aformat) : DI(format)),
			      raw + (attr ? forks.attr : forks.data),
			      0,
			      attr ? forks.attr_size : forks.data_size};
	fork->room = fork->size / RECORD;
	if (!fork->size)
		return damaged(tx, inode->ino, "it has no attribute fork");
	fork->realtime = !attr && xr_inode_realtime(raw);
	if (*fork->format != XFS_DINODE_FMT_EXTENTS && *fork->format != XFS_DINODE_FMT_BTREE)
		return damaged(tx, inode->ino, "blocks are to be mapped in a fork that has no block map");
	if (*fork->format == XFS_DINODE_FMT_EXTENTS && xr_inode_nextents(inode, attr) > fork->room)
		return damaged(tx, inode->ino, "its extents do not fit into it");
	return 0;
}

static uint32_t list_count(const struct fork *fork)
{
	return (uint32_t)xr_inode_nextents(fork->inode, fork->attr);
}

static struct xr_mapping from_rec(const struct xr_rec *rec)
{
	return (struct xr_mapping){
		.offset = rec->start, .block = rec->block, .count = (uint32_t)rec->len, .unwritten = rec->unwritten};
}

static struct xr_rec to_rec(const struct xr_mapping *m)
{
	return (struct xr_rec){.start = m->offset, .len = m->count, .block = m->block, .unwritten = m->unwritten};
}

static int check_mapping(const struct fork *fork, const struct xr_mapping *m)
{
	const struct xr_sb *sb = xr_tx_sb(fork->tx);

	if (m->count && m->offset + m->count <= BMBT_STARTOFF_MASK + 1 &&
	    (fork->realtime ? xr_rt_blocks_ok(sb, m->block, m->count) : xr_fsb_ok(sb, m->block, m->count)))
		return 0;
	return damaged(fork->tx, fork->inode->ino, "an extent of it lies outside the filesystem");
}

/* --- one record of either form --- */

/*
 * A position in a fork: the record at it, if any, and what can be done there. cur is NULL for a list, whose records are numbered.
 */
struct place {
	struct fork *fork;
	struct xr_cur *cur;
	uint32_t at;
	bool found;
	struct xr_mapping m;
};

static int place_load(struct place *p)
{
	struct xr_rec rec = {0};
	int ret = 0;

	if (!p->cur) {
		p->found = p->at < list_count(p->fork);
		if (p->found)
			p->m = xr_mapping_unpack(p->fork->data + (size_t)p->at * RECORD);
	} else {
		ret = xr_cur_get(p->cur, &rec, &p->found);
		if (!ret && p->found)
			p->m = from_rec(&rec);
	}
	return ret || !p->found ? ret : check_mapping(p->fork, &p->m);
}

static void place_end(struct place *p)
{
	xr_cur_end(p->cur);
	p->cur = NULL;
}

/* The first record that ends behind offset. */
static int place_find(struct place *p, struct fork *fork, uint64_t offset)
{
	struct xr_tx_inode *inode = fork->inode;
	struct xr_rec key = {.start = offset};
	bool found;
	int ret;

	*p = (struct place){.fork = fork};
	if (*fork->format == XFS_DINODE_FMT_EXTENTS) {
		do {
			ret = place_load(p);
		} while (!ret && p->found && p->m.offset + p->m.count <= offset && ++p->at);
		return ret;
	}
	ret = xr_cur_bmbt(&p->cur, fork->tx, inode->buf, inode->offset, inode->ino, fork->attr);
	if (ret)
		return ret;
	ret = xr_cur_lookup(p->cur, XR_LE, &key, &found);
	if (!ret && !found)
		ret = xr_cur_lookup(p->cur, XR_GE, &key, &found);
	if (!ret)
		ret = place_load(p);
	if (!ret && p->found && p->m.offset + p->m.count <= offset) {
		ret = xr_cur_next(p->cur, &p->found);
		if (!ret && p->found)
			ret = place_load(p);
	}
	if (ret)
		place_end(p);
	return ret;
}

static int place_update(struct place *p, const struct xr_mapping *m)
{
	struct xr_rec rec = to_rec(m);

	if (p->cur)
		return xr_cur_update(p->cur, &rec);
	xr_mapping_pack(p->fork->data + (size_t)p->at * RECORD, m);
	return 0;
}

static void list_shift(struct place *p, uint32_t from, uint32_t to)
{
	uint8_t *data = p->fork->data;

	memmove(data + (size_t)to * RECORD, data + (size_t)from * RECORD, (size_t)(list_count(p->fork) - from) * RECORD);
}

static int place_delete(struct place *p)
{
	struct fork *fork = p->fork;
	int ret = 0;

	if (p->cur)
		ret = xr_cur_delete(p->cur);
	else
		list_shift(p, p->at + 1, p->at);
	if (!ret)
		xr_inode_set_nextents(fork->inode, fork->attr, xr_inode_nextents(fork->inode, fork->attr) - 1);
	return ret;
}

/* --- list to btree and back --- */

static uint32_t header_size(const struct xr_sb *sb)
{
	return sb->v5 ? LONG_HEADER_V5 : LONG_HEADER_V4;
}

static uint64_t bmbt_flags(const struct fork *fork)
{
	return XR_RMAP_BMBT | (fork->attr ? XR_RMAP_ATTR : 0);
}

static void put_block_header(const struct fork *fork, struct xr_tx_buf *buf, uint32_t numrecs)
{
	const struct xr_sb *sb = xr_tx_sb(fork->tx);
	uint8_t *p = buf->data;

	xr_put_be32(p, sb->v5 ? XFS_BMAP_CRC_MAGIC : XFS_BMAP_MAGIC);
	xr_put_be16(p + 6, (uint16_t)numrecs);
	xr_put_be64(p + 8, UINT64_MAX);
	xr_put_be64(p + 16, UINT64_MAX);
	if (!sb->v5)
		return;
	xr_put_be64(p + 24, buf->daddr);
	memcpy(p + 40, sb->meta_uuid, 16);
	xr_put_be64(p + 56, fork->inode->ino);
}

/* The list, n records at list, no longer fits: one leaf takes it, and the fork becomes the root above it. */
static int list_to_btree(struct fork *fork, const uint8_t *list, uint32_t n)
{
	const struct xr_sb *sb = xr_tx_sb(fork->tx);
	uint32_t pointers = ROOT_HEADER + (fork->size - ROOT_HEADER) / (2 * KEY) * KEY;
	struct xr_mapping first = xr_mapping_unpack(list);
	struct xr_tx_buf *buf;
	uint64_t fsb;
	int ret;

	if (fork->size < ROOT_HEADER + 2 * KEY)
		return damaged(fork->tx, fork->inode->ino, "its fork has no room for the root of a btree");
	ret = xr_alloc_block(fork->tx, fork->inode->ino >> sb->inopblog, fork->inode->ino, bmbt_flags(fork), &fsb);
	if (!ret)
		ret = xr_tx_get_new(fork->tx, xr_fsb_daddr(sb, fsb), sb->blocksize >> XR_BB_SHIFT, XFS_BLFT_BTREE_BUF, &buf);
	if (ret)
		return ret;
	put_block_header(fork, buf, n);
	memcpy(buf->data + header_size(sb), list, (size_t)n * RECORD);
	xr_put_be16(fork->data, 1);
	xr_put_be16(fork->data + 2, 1);
	xr_put_be64(fork->data + ROOT_HEADER, first.offset);
	xr_put_be64(fork->data + pointers, fsb);
	*fork->format = XFS_DINODE_FMT_BTREE;
	xr_inode_add_nblocks(fork->inode, 1);
	return 0;
}

/* Read a block of a fork's btree and check what it says of itself. */
static int block_get(const struct fork *fork, uint64_t fsb, uint32_t level, struct xr_tx_buf **buf, uint32_t *numrecs)
{
	const struct xr_sb *sb = xr_tx_sb(fork->tx);
	const uint8_t *p;
	int ret;

	if (!xr_fsb_ok(sb, fsb, 1))
		return damaged(fork->tx, fork->inode->ino, "its extent btree points outside the filesystem");
	ret = xr_tx_get(fork->tx, xr_fsb_daddr(sb, fsb), sb->blocksize >> XR_BB_SHIFT, XFS_BLFT_BTREE_BUF, buf);
	if (ret)
		return ret;
	p = (*buf)->data;
	*numrecs = xr_be16(p + 6);
	if (xr_be32(p) != (sb->v5 ? XFS_BMAP_CRC_MAGIC : XFS_BMAP_MAGIC) || xr_be16(p + 4) != level || !*numrecs ||
	    *numrecs > (sb->blocksize - header_size(sb)) / RECORD ||
	    (sb->v5 && (xr_be64(p + 24) != (*buf)->daddr || xr_be64(p + 56) != fork->inode->ino)))
		return damaged(fork->tx, fork->inode->ino, "a block of its extent btree is damaged");
	return 0;
}

static int block_free(const struct fork *fork, uint64_t fsb)
{
	const struct xr_sb *sb = xr_tx_sb(fork->tx);
	int ret = xr_free_extent(fork->tx, fsb, 1, fork->inode->ino, bmbt_flags(fork));

	if (!ret)
		ret = xr_tx_cancel(fork->tx, xr_fsb_daddr(sb, fsb), sb->blocksize >> XR_BB_SHIFT);
	xr_inode_add_nblocks(fork->inode, UINT64_MAX);
	return ret;
}

static int root_get(const struct fork *fork, uint32_t *level, uint32_t *numrecs, const uint8_t **pointers)
{
	uint32_t max = fork->size < ROOT_HEADER ? 0 : (fork->size - ROOT_HEADER) / (2 * KEY);

	if (!max)
		return damaged(fork->tx, fork->inode->ino, "its fork has no room for the root of a btree");
	*level = xr_be16(fork->data);
	*numrecs = xr_be16(fork->data + 2);
	*pointers = fork->data + ROOT_HEADER + max * KEY;
	if (!*level || *level > MAX_LEVEL || !*numrecs || *numrecs > max)
		return damaged(fork->tx, fork->inode->ino, "the root of its extent btree is damaged");
	return 0;
}

/* If the fork's extents fit into the inode again and are in one leaf, they come back. */
static int btree_to_list(struct fork *fork)
{
	uint64_t n = xr_inode_nextents(fork->inode, fork->attr), fsb;
	uint32_t level, children, numrecs;
	const uint8_t *pointers;
	struct xr_tx_buf *buf;
	int ret;

	if (*fork->format != XFS_DINODE_FMT_BTREE || n > fork->room)
		return 0;
	ret = root_get(fork, &level, &children, &pointers);
	if (ret || level != 1 || children != 1)
		return ret;
	fsb = xr_be64(pointers);
	if (n) {
		ret = block_get(fork, fsb, 0, &buf, &numrecs);
		if (!ret && numrecs != n)
			ret = damaged(fork->tx, fork->inode->ino, "its extent btree and its count of extents differ");
		if (ret)
			return ret;
		memcpy(fork->data, buf->data + header_size(xr_tx_sb(fork->tx)), (size_t)n * RECORD);
	}
	*fork->format = XFS_DINODE_FMT_EXTENTS;
	return block_free(fork, fsb);
}

/* --- changes --- */

static int count_one_more(const struct fork *fork)
{
	if (xr_inode_set_nextents(fork->inode, fork->attr, xr_inode_nextents(fork->inode, fork->attr) + 1))
		return 0;
	return damaged(fork->tx, fork->inode->ino, "it cannot count that many extents");
}

/*
 * Insert a record of its own, at p, which is the first one behind it. Between two leaves it goes into the left one, or, as the kernel has it with
 * what is left of a record behind a hole, into the right one. Ends p: the form of the fork may change.
 */
static int insert(struct place *p, const struct xr_mapping *m, bool right)
{
	struct fork *fork = p->fork;
	struct xr_rec rec = to_rec(m);
	uint32_t n = list_count(fork);
	uint8_t list[2048 + RECORD];
	int ret;

	if (p->cur) {
		ret = right ? xr_cur_insert_right(p->cur, &rec) : xr_cur_insert(p->cur, &rec);
	} else if (n < fork->room) {
		list_shift(p, p->at, p->at + 1);
		xr_mapping_pack(fork->data + (size_t)p->at * RECORD, m);
		ret = 0;
	} else {
		memcpy(list, fork->data, (size_t)p->at * RECORD);
		xr_mapping_pack(list + (size_t)p->at * RECORD, m);
		memcpy(list + (size_t)(p->at + 1) * RECORD, fork->data + (size_t)p->at * RECORD, (size_t)(n - p->at) * RECORD);
		ret = list_to_btree(fork, list, n + 1);
	}
	place_end(p);
	return ret ? ret : count_one_more(fork);
}

/* Whether b continues a, as the kernel merges them: never over the border of two realtime groups. */
static bool continues(const struct fork *fork, const struct xr_mapping *a, const struct xr_mapping *b)
{
	const struct xr_sb *sb = xr_tx_sb(fork->tx);

	if (fork->realtime && sb->has_rtgroups && xr_rtb_group(sb, a->block) != xr_rtb_group(sb, b->block))
		return false;
	return a->offset + a->count == b->offset && a->block + a->count == b->block && a->unwritten == b->unwritten &&
	       (uint64_t)a->count + b->count <= MAX_EXTLEN;
}

/* The record that ends just where m begins, if there is one: *found. */
static int left_of(struct place *p, struct fork *fork, const struct xr_mapping *m)
{
	int ret;

	if (!m->offset) {
		*p = (struct place){.fork = fork};
		return 0;
	}
	ret = place_find(p, fork, m->offset - 1);
	if (!ret)
		p->found = p->found && p->m.offset < m->offset;
	return ret;
}

/* Merge m with what it continues, on either side. *merged: that was all. */
static int merge(struct fork *fork, struct xr_mapping m, bool *merged)
{
	struct place left, right;
	bool with_left, with_right;
	int ret = left_of(&left, fork, &m);

	if (ret)
		return ret;
	with_left = left.found && continues(fork, &left.m, &m);
	place_end(&left);
	ret = place_find(&right, fork, m.offset);
	if (ret)
		return ret;
	if (right.found && right.m.offset < m.offset + m.count) {
		place_end(&right);
		return damaged(fork->tx, fork->inode->ino, "an extent is to be mapped where it has one already");
	}
	with_right = right.found && continues(fork, &m, &right.m);
	if (with_right && with_left && (uint64_t)left.m.count + m.count + right.m.count > MAX_EXTLEN)
		with_right = false;
	*merged = with_left || with_right;
	if (with_left && with_right) {
		left.m.count += m.count + right.m.count;
		ret = place_delete(&right);
	} else if (with_left) {
		left.m.count += m.count;
	} else if (with_right) {
		m.count += right.m.count;
		ret = place_update(&right, &m);
	}
	place_end(&right);
	if (ret || !with_left)
		return ret;
	ret = left_of(&right, fork, &m);
	if (!ret)
		ret = place_update(&right, &left.m);
	place_end(&right);
	return ret;
}

int xr_bmap_lookup(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr, uint64_t offset, struct xr_mapping *mapping)
{
	struct fork fork;
	struct place p;
	int ret = fork_open(&fork, tx, inode, attr);

	if (!ret)
		ret = place_find(&p, &fork, offset);
	if (ret)
		return ret;
	*mapping = p.m;
	place_end(&p);
	return p.found ? 0 : -ENOENT;
}

int xr_bmap_lookup_in(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr, uint64_t offset, uint64_t end,
		      struct xr_mapping *mapping)
{
	int ret = xr_bmap_lookup(tx, inode, attr, offset, mapping);
	uint64_t skip;

	if (ret)
		return ret;
	if (mapping->offset >= end)
		return -ENOENT;
	skip = mapping->offset < offset ? offset - mapping->offset : 0;
	mapping->offset += skip;
	mapping->block += skip;
	mapping->count -= (uint32_t)skip;
	if (mapping->offset + mapping->count > end)
		mapping->count = (uint32_t)(end - mapping->offset);
	return 0;
}

int xr_bmap_add(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr, const struct xr_mapping *mapping)
{
	struct fork fork;
	struct place p;
	bool merged = false;
	int ret = fork_open(&fork, tx, inode, attr);

	if (!ret)
		ret = check_mapping(&fork, mapping);
	if (!ret)
		ret = merge(&fork, *mapping, &merged);
	if (!ret && !merged) {
		ret = place_find(&p, &fork, mapping->offset);
		if (!ret)
			ret = insert(&p, mapping, false);
	}
	if (!ret)
		ret = btree_to_list(&fork);
	xr_inode_add_nblocks(inode, mapping->count);
	xr_tx_inode_log(tx, inode);
	return ret;
}

/* Take [offset, end) out of the record at p. Ends p. */
static int cut(struct place *p, uint64_t offset, uint64_t end)
{
	struct xr_mapping head = p->m, tail = p->m;
	struct fork *fork = p->fork;
	int ret;

	head.count = (uint32_t)(offset - p->m.offset);
	tail.count = (uint32_t)(p->m.offset + p->m.count - end);
	tail.block += p->m.count - tail.count;
	tail.offset = end;
	if (head.count)
		ret = place_update(p, &head);
	else
		ret = tail.count ? place_update(p, &tail) : place_delete(p);
	place_end(p);
	if (ret || !head.count || !tail.count)
		return ret;
	ret = place_find(p, fork, end);
	return ret ? ret : insert(p, &tail, true);
}

int xr_bmap_remove(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr, uint64_t offset, uint32_t count)
{
	struct fork fork;
	struct place p;
	int ret = fork_open(&fork, tx, inode, attr);

	if (!ret)
		ret = place_find(&p, &fork, offset);
	if (ret)
		return ret;
	if (!p.found || p.m.offset > offset || offset + count > p.m.offset + p.m.count || !count) {
		place_end(&p);
		return damaged(tx, inode->ino, "an extent is to be unmapped that it does not have");
	}
	ret = cut(&p, offset, offset + count);
	if (!ret)
		ret = btree_to_list(&fork);
	xr_inode_add_nblocks(inode, -(uint64_t)count);
	xr_tx_inode_log(tx, inode);
	return ret;
}

/* --- a whole fork, from its end on as the kernel does: what becomes of refcounts depends on the order --- */

struct freeing {
	struct fork fork;
	int (*fn)(void *arg, const struct xr_mapping *mapping);
	void *arg;
	uint64_t end; /* file block where the mapping behind begins */
	uint64_t blocks; /* that the inode still counts */
};

static int free_records(struct freeing *f, const uint8_t *records, uint32_t n)
{
	int ret = 0;

	while (n-- && !ret) {
		struct xr_mapping m = xr_mapping_unpack(records + (size_t)n * RECORD);

		ret = check_mapping(&f->fork, &m);
		if (!ret && (m.offset + m.count > f->end || m.count > f->blocks))
			ret = damaged(f->fork.tx, f->fork.inode->ino, "its extents overlap, or are more than it has blocks");
		if (ret)
			return ret;
		f->end = m.offset;
		f->blocks -= m.count;
		ret = f->fn(f->arg, &m);
	}
	return ret;
}

/* Free what is below a block and the block itself. It ends: levels fall, and there are no more blocks than the inode counts. */
static int free_block(struct freeing *f, uint64_t fsb, uint32_t level)
{
	const struct xr_sb *sb = xr_tx_sb(f->fork.tx);
	uint32_t max = (sb->blocksize - header_size(sb)) / (2 * KEY), numrecs;
	struct xr_tx_buf *buf;
	int ret;

	if (!f->blocks--)
		return damaged(f->fork.tx, f->fork.inode->ino, "its extent btree has more blocks than it counts");
	ret = block_get(&f->fork, fsb, level, &buf, &numrecs);
	if (!ret && !level)
		ret = free_records(f, buf->data + header_size(sb), numrecs);
	while (!ret && level && numrecs--)
		ret = free_block(f, xr_be64(buf->data + header_size(sb) + (size_t)(max + numrecs) * KEY), level - 1);
	return ret ? ret : block_free(&f->fork, fsb);
}

int xr_bmap_free_fork(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr,
		      int (*fn)(void *arg, const struct xr_mapping *mapping), void *arg)
{
	struct freeing f = {.fn = fn, .arg = arg, .end = UINT64_MAX, .blocks = xr_inode_nblocks(inode)};
	uint32_t level, children;
	const uint8_t *pointers;
	int ret = fork_open(&f.fork, tx, inode, attr);

	if (ret)
		return ret;
	if (*f.fork.format == XFS_DINODE_FMT_EXTENTS) {
		ret = free_records(&f, f.fork.data, list_count(&f.fork));
	} else {
		ret = root_get(&f.fork, &level, &children, &pointers);
		while (!ret && children--)
			ret = free_block(&f, xr_be64(pointers + (size_t)children * KEY), level - 1);
	}
	if (ret)
		return ret;
	*f.fork.format = XFS_DINODE_FMT_EXTENTS;
	xr_inode_set_nextents(inode, attr, 0);
	xr_put_be64(inode->raw + DI(nblocks), f.blocks);
	xr_tx_inode_log(tx, inode);
	return 0;
}
