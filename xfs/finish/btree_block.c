/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blocks of B+trees
 *
 * A block is a header, then its entries as an array: records in a leaf, else keys, and a second array of as many pointers. A root in an inode has
 * a header of four bytes and as many places as the fork has room for; an extent btree's is never a leaf, a realtime group's is while it can be. A
 * node describes any of them, so that what changes trees does not see the difference. What it does to a block is one of three things: put an
 * entry in, take one out, move a run of them to another block.
 *
 * Every block is checked when it is reached: whose it is, its level, its counts. Pointers are checked before they are followed. The CRC
 * is that of the last commit: only blocks that this transaction has not changed yet can be checked against it.
 *
 * Where blocks come from: the AG's free list for the trees that the allocator and its bookkeeping consist of, the allocator for the others:
 * in the same AG, or, for roots in inodes, in any.
 */
#include "btree_impl.h"

#include <errno.h>
#include <stdio.h>

#include "ag.h"
#include "ag_impl.h"
#include "dinode.h"
#include "format.h"

#define SHORT_V4 16u
#define SHORT_V5 56u
#define LONG_V4 24u
#define LONG_V5 72u
#define FORK_HEADER 4u

/* In a block's header, short and long form: siblings, and behind them (version 5) address, LSN, UUID, owner, CRC. */
#define NUMRECS_AT 6u
#define SIBLINGS_AT 8u
#define BLKNO_AT(long_form) ((long_form) ? 24u : 16u)
#define UUID_AT(long_form) ((long_form) ? 40u : 32u)
#define OWNER_AT(long_form) ((long_form) ? 56u : 48u)
#define CRC_AT(long_form) ((long_form) ? 64u : 52u)

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define AGF(field) offsetof(struct xfs_agf, agf_##field)
#define AGI(field) offsetof(struct xfs_agi, agi_##field)

bool xr_bt_realtime(const struct xr_cur *cur)
{
	return cur->kind->num == XR_RTRMAP || cur->kind->num == XR_RTREFC;
}

bool xr_bt_long(const struct xr_cur *cur)
{
	return cur->kind->ptr_size == 8;
}

static unsigned header_size(const struct xr_cur *cur)
{
	if (xr_bt_long(cur))
		return cur->sb->v5 ? LONG_V5 : LONG_V4;
	return cur->sb->v5 ? SHORT_V5 : SHORT_V4;
}

static uint32_t magic_of(const struct xr_cur *cur)
{
	return cur->sb->v5 ? cur->kind->magic : cur->kind->magic_v4;
}

size_t xr_bt_keys_size(const struct xr_bt_kind *kind)
{
	return kind->high ? 2u * kind->key_size : kind->key_size;
}

const char *xr_bt_place(const struct xr_cur *cur, char text[40])
{
	if (cur->kind->num == XR_BMBT)
		snprintf(text, 40, "inode %llu", (unsigned long long)cur->ino);
	else
		snprintf(text, 40, "%s group %u", xr_bt_realtime(cur) ? "realtime" : "allocation", cur->group);
	return text;
}

int xr_bt_bad(const struct xr_cur *cur, uint64_t block, const char *why)
{
	char place[40];

	return xr_fail(cur->msg, -EUCLEAN, "%s: its %s is damaged at block %#llx: %s; run xfs_repair -n", xr_bt_place(cur, place),
		       cur->kind->name, (unsigned long long)block, why);
}

int xr_bt_compare(struct xr_bt_order a, struct xr_bt_order b)
{
	for (unsigned i = 0; i < 3; i++)
		if (a.part[i] != b.part[i])
			return a.part[i] < b.part[i] ? -1 : 1;
	return 0;
}

/* --- nodes --- */

bool xr_bt_root_in_inode(const struct xr_cur *cur, unsigned level)
{
	return xr_bt_long(cur) && level == cur->nlevels - 1;
}

/* How many entries a block has room for. */
static unsigned max_entries(const struct xr_cur *cur, unsigned level)
{
	unsigned room = cur->sb->blocksize - header_size(cur);

	return level ? room / (unsigned)(xr_bt_keys_size(cur->kind) + cur->kind->ptr_size) : room / cur->kind->rec_size;
}

void xr_bt_node(const struct xr_cur *cur, unsigned level, struct xr_bt_node *node)
{
	const struct xr_bt_kind *kind = cur->kind;

	*node = (struct xr_bt_node){.buf = cur->level[level].buf, .level = level, .ptr_size = level ? kind->ptr_size : 0};
	node->entry_size = level ? (unsigned)xr_bt_keys_size(kind) : kind->rec_size;
	if (xr_bt_root_in_inode(cur, level)) {
		node->level_at = cur->fork;
		node->entries = cur->fork + FORK_HEADER;
		node->max = (cur->fork_size - FORK_HEADER) / (level ? kind->root_share : kind->rec_size);
	} else {
		node->level_at = 4;
		node->entries = header_size(cur);
		node->max = max_entries(cur, level);
		node->min = node->max / 2;
	}
	node->pointers = level ? node->entries + node->max * node->entry_size : 0;
	node->numrecs = xr_be16(node->buf->data + node->level_at + 2);
}

uint8_t *xr_bt_entry(const struct xr_bt_node *node, unsigned i)
{
	return node->buf->data + node->entries + i * node->entry_size;
}

static uint8_t *pointer_at(const struct xr_bt_node *node, unsigned i)
{
	return node->buf->data + node->pointers + i * node->ptr_size;
}

uint64_t xr_bt_pointer(const struct xr_bt_node *node, unsigned i)
{
	return node->ptr_size == 8 ? xr_be64(pointer_at(node, i)) : xr_be32(pointer_at(node, i));
}

static void put_pointer(struct xr_bt_node *node, unsigned i, uint64_t pointer)
{
	if (node->ptr_size == 8)
		xr_put_be64(pointer_at(node, i), pointer);
	else
		xr_put_be32(pointer_at(node, i), (uint32_t)pointer);
}

struct xr_bt_order xr_bt_entry_order(const struct xr_cur *cur, const struct xr_bt_node *node, unsigned i)
{
	uint8_t key[XR_BT_KEY_MAX];

	if (node->level)
		return cur->kind->order(xr_bt_entry(node, i));
	cur->kind->low(xr_bt_entry(node, i), key);
	return cur->kind->order(key);
}

/* An inode carries its own CRC. Of files the LSN and the count of changes are others' care; a realtime group's tree is all that changes in its inode. */
static void log_inode(struct xr_cur *cur)
{
	uint8_t *raw = cur->home->data + cur->inode;

	if (xr_bt_realtime(cur) && xr_be64(raw + DI(lsn)) != xr_tx_lsn(cur->tx)) {
		xr_put_be64(raw + DI(lsn), xr_tx_lsn(cur->tx));
		xr_put_be64(raw + DI(changecount), xr_be64(raw + DI(changecount)) + 1);
	}
	if (cur->sb->v5)
		xr_crc_update(raw, cur->sb->inodesize, DI(crc));
	xr_tx_log(cur->tx, cur->home, cur->inode, cur->sb->inodesize);
}

static void log_bytes(struct xr_cur *cur, struct xr_tx_buf *buf, size_t offset, size_t size)
{
	if (xr_bt_long(cur) && buf == cur->home)
		log_inode(cur);
	else
		xr_tx_log(cur->tx, buf, offset, size);
}

void xr_bt_log(struct xr_cur *cur, const struct xr_bt_node *node, unsigned first, unsigned n)
{
	log_bytes(cur, node->buf, node->level_at, 4);
	if (n)
		log_bytes(cur, node->buf, node->entries + first * node->entry_size, n * node->entry_size);
	if (n && node->ptr_size)
		log_bytes(cur, node->buf, node->pointers + first * node->ptr_size, n * node->ptr_size);
}

void xr_bt_set_level(struct xr_cur *cur, struct xr_bt_node *node, unsigned level)
{
	xr_put_be16(node->buf->data + node->level_at, (uint16_t)level);
	log_bytes(cur, node->buf, node->level_at, 2);
}

static void set_numrecs(struct xr_bt_node *node, unsigned numrecs)
{
	node->numrecs = numrecs;
	xr_put_be16(node->buf->data + node->level_at + 2, (uint16_t)numrecs);
}

/* Move the entries from i on to j on: a gap is opened, or closed. */
static void slide(struct xr_bt_node *node, unsigned i, unsigned j)
{
	unsigned n = node->numrecs - i;

	memmove(xr_bt_entry(node, j), xr_bt_entry(node, i), n * node->entry_size);
	if (node->ptr_size)
		memmove(pointer_at(node, j), pointer_at(node, i), n * node->ptr_size);
	set_numrecs(node, node->numrecs + j - i);
}

void xr_bt_put(struct xr_cur *cur, struct xr_bt_node *node, unsigned i, const uint8_t *entry, uint64_t pointer)
{
	slide(node, i, i + 1);
	memcpy(xr_bt_entry(node, i), entry, node->entry_size);
	if (node->ptr_size)
		put_pointer(node, i, pointer);
	xr_bt_log(cur, node, i, node->numrecs - i);
}

void xr_bt_drop(struct xr_cur *cur, struct xr_bt_node *node, unsigned i)
{
	slide(node, i + 1, i);
	xr_bt_log(cur, node, i, node->numrecs - i);
}

void xr_bt_move(struct xr_cur *cur, struct xr_bt_node *from, unsigned i, struct xr_bt_node *to, unsigned j, unsigned n)
{
	slide(to, j, j + n);
	memcpy(xr_bt_entry(to, j), xr_bt_entry(from, i), n * to->entry_size);
	if (to->ptr_size)
		memcpy(pointer_at(to, j), pointer_at(from, i), n * to->ptr_size);
	slide(from, i + n, i);
	xr_bt_log(cur, to, j, to->numrecs - j);
	xr_bt_log(cur, from, i, from->numrecs - i);
}

/* The high key of entry i. */
static void high_key(const struct xr_bt_kind *kind, const struct xr_bt_node *node, unsigned i, uint8_t *key)
{
	if (node->level)
		memcpy(key, xr_bt_entry(node, i) + kind->key_size, kind->key_size);
	else
		kind->high(xr_bt_entry(node, i), key);
}

void xr_bt_keys(const struct xr_cur *cur, const struct xr_bt_node *node, uint8_t *keys)
{
	const struct xr_bt_kind *kind = cur->kind;
	uint8_t key[XR_BT_KEY_MAX];

	if (node->level)
		memcpy(keys, xr_bt_entry(node, 0), kind->key_size);
	else
		kind->low(xr_bt_entry(node, 0), keys);
	if (!kind->high)
		return;
	high_key(kind, node, 0, keys + kind->key_size);
	for (unsigned i = 1; i < node->numrecs; i++) {
		high_key(kind, node, i, key);
		if (xr_bt_compare(kind->order(key), kind->order(keys + kind->key_size)) > 0)
			memcpy(keys + kind->key_size, key, kind->key_size);
	}
}

/* --- siblings --- */

uint64_t xr_bt_sibling(const struct xr_cur *cur, const struct xr_tx_buf *buf, enum xr_bt_side side)
{
	const uint8_t *at = buf->data + SIBLINGS_AT + (size_t)side * cur->kind->ptr_size;
	uint64_t block = xr_bt_long(cur) ? xr_be64(at) : xr_be32(at);

	return block == (xr_bt_long(cur) ? UINT64_MAX : UINT32_MAX) ? 0 : block;
}

void xr_bt_set_sibling(struct xr_cur *cur, struct xr_tx_buf *buf, enum xr_bt_side side, uint64_t block)
{
	uint8_t *at = buf->data + SIBLINGS_AT + (size_t)side * cur->kind->ptr_size;

	if (xr_bt_long(cur))
		xr_put_be64(at, block ? block : UINT64_MAX);
	else
		xr_put_be32(at, block ? (uint32_t)block : UINT32_MAX);
	xr_tx_log(cur->tx, buf, SIBLINGS_AT, 2u * cur->kind->ptr_size);
}

/* --- blocks --- */

static uint64_t fsb_of(const struct xr_cur *cur, uint64_t block)
{
	return xr_bt_long(cur) ? block : (uint64_t)cur->group << cur->sb->agblklog | block;
}

/* Whether a pointer can be one: 0 stands for none within this code, and no block of a tree has it. */
static bool block_ok(const struct xr_cur *cur, uint64_t block)
{
	if (!xr_bt_long(cur) && block >= xr_ag_blocks(cur->sb, cur->group))
		return false;
	return xr_fsb_ok(cur->sb, fsb_of(cur, block), 1);
}

static uint32_t block_bbs(const struct xr_cur *cur)
{
	return cur->sb->blocksize >> XR_BB_SHIFT;
}

static uint64_t owner_of(const struct xr_cur *cur, const uint8_t *raw)
{
	return xr_bt_long(cur) ? xr_be64(raw + OWNER_AT(true)) : xr_be32(raw + OWNER_AT(false));
}

static const char *header_fault(const struct xr_cur *cur, const struct xr_tx_buf *buf, unsigned level)
{
	const uint8_t *raw = buf->data;
	bool lform = xr_bt_long(cur);
	unsigned numrecs = xr_be16(raw + NUMRECS_AT);

	if (xr_be32(raw) != magic_of(cur))
		return "not a block of this tree";
	if (xr_be16(raw + 4) != level)
		return "it has another level";
	if (numrecs > max_entries(cur, level) || (level && !numrecs))
		return "an impossible number of entries";
	if (!cur->sb->v5)
		return NULL;
	if (xr_be64(raw + BLKNO_AT(lform)) != buf->daddr)
		return "it says that it belongs elsewhere";
	if (memcmp(raw + UUID_AT(lform), cur->sb->meta_uuid, 16) != 0)
		return "it belongs to another filesystem";
	if (owner_of(cur, raw) != (lform ? cur->ino : cur->group))
		return "it says that it has another owner";
	if (!xr_tx_changed(buf) && !xr_crc_ok(raw, buf->size, CRC_AT(lform)))
		return "its checksum is wrong";
	return NULL;
}

int xr_bt_read(struct xr_cur *cur, uint64_t block, unsigned level, struct xr_tx_buf **buf)
{
	const char *fault;
	int ret;

	if (!block_ok(cur, block))
		return xr_bt_bad(cur, block, "a pointer that leads outside");
	ret = xr_tx_get(cur->tx, xr_fsb_daddr(cur->sb, fsb_of(cur, block)), block_bbs(cur), XFS_BLFT_BTREE_BUF, buf);
	if (ret)
		return ret;
	fault = header_fault(cur, *buf, level);
	return fault ? xr_bt_bad(cur, block, fault) : 0;
}

static void add32(struct xr_cur *cur, size_t at, int by)
{
	xr_put_be32(cur->home->data + at, xr_be32(cur->home->data + at) + (uint32_t)by);
	xr_tx_log(cur->tx, cur->home, at, 4);
}

/* The tree has by blocks more: what counts them. */
static void count_blocks(struct xr_cur *cur, int by)
{
	uint8_t *nblocks = cur->home->data + cur->inode + DI(nblocks);

	switch (cur->kind->num) {
	case XR_RMAP:
		add32(cur, AGF(rmap_blocks), by);
		__attribute__((fallthrough));
	case XR_BNO:
	case XR_CNT:
		add32(cur, AGF(btreeblks), by);
		break;
	case XR_REFC:
		add32(cur, AGF(refcount_blocks), by);
		break;
	case XR_INO:
	case XR_FINO:
		if (cur->sb->ro_compat & XFS_SB_FEAT_RO_COMPAT_INOBTCNT)
			add32(cur, cur->kind->num == XR_INO ? AGI(iblocks) : AGI(fblocks), by);
		break;
	default:
		xr_put_be64(nblocks, xr_be64(nblocks) + (uint64_t)(int64_t)by);
		log_inode(cur);
		break;
	}
}

static bool from_free_list(const struct xr_cur *cur)
{
	return cur->kind->num == XR_BNO || cur->kind->num == XR_CNT || cur->kind->num == XR_RMAP;
}

/* Whose the blocks are, for the rmapbt. */
static uint64_t block_owner(const struct xr_cur *cur, uint64_t *offset)
{
	*offset = 0;
	if (cur->kind->num == XR_REFC)
		return XR_OWN_REFC;
	if (!xr_bt_long(cur))
		return XR_OWN_INOBT;
	*offset = XR_RMAP_BMBT | (cur->attr ? XR_RMAP_ATTR : 0);
	return cur->ino;
}

static int allocate(struct xr_cur *cur, uint64_t near, uint64_t *block)
{
	uint64_t offset, owner = block_owner(cur, &offset);
	uint32_t agbno = 0;
	int ret;

	if (xr_bt_realtime(cur))
		near = cur->ino >> cur->sb->inopblog;
	if (xr_bt_long(cur))
		return xr_alloc_block(cur->tx, near, owner, offset, block);
	if (from_free_list(cur))
		ret = xr_agfl_take(cur->tx, cur->group, &agbno);
	else
		ret = xr_alloc_block_in(cur->tx, cur->group, (uint32_t)near, owner, offset, &agbno);
	*block = agbno;
	return ret;
}

int xr_bt_new(struct xr_cur *cur, uint64_t near, unsigned level, uint64_t *block, struct xr_tx_buf **buf)
{
	bool lform = xr_bt_long(cur);
	uint64_t daddr;
	uint8_t *raw;
	int ret = allocate(cur, near, block);

	if (ret)
		return ret;
	daddr = xr_fsb_daddr(cur->sb, fsb_of(cur, *block));
	ret = xr_tx_get_new(cur->tx, daddr, block_bbs(cur), XFS_BLFT_BTREE_BUF, buf);
	if (ret)
		return ret;
	raw = (*buf)->data;
	xr_put_be32(raw, magic_of(cur));
	xr_put_be16(raw + 4, (uint16_t)level);
	xr_bt_set_sibling(cur, *buf, XR_LEFT, 0);
	xr_bt_set_sibling(cur, *buf, XR_RIGHT, 0);
	if (cur->sb->v5) {
		xr_put_be64(raw + BLKNO_AT(lform), daddr);
		memcpy(raw + UUID_AT(lform), cur->sb->meta_uuid, 16);
		if (lform)
			xr_put_be64(raw + OWNER_AT(true), cur->ino);
		else
			xr_put_be32(raw + OWNER_AT(false), cur->group);
	}
	count_blocks(cur, 1);
	return 0;
}

int xr_bt_free(struct xr_cur *cur, uint64_t block)
{
	uint64_t offset, owner = block_owner(cur, &offset), fsb = fsb_of(cur, block);
	int ret = xr_tx_cancel(cur->tx, xr_fsb_daddr(cur->sb, fsb), block_bbs(cur));

	if (ret)
		return ret;
	count_blocks(cur, -1);
	if (from_free_list(cur))
		return xr_agfl_give(cur->tx, cur->group, (uint32_t)block);
	return xr_free_extent(cur->tx, fsb, 1, owner, offset);
}

/* --- the root --- */

static int load_fork(struct xr_cur *cur)
{
	struct xr_bt_level *root;
	struct xr_bt_node node;
	unsigned level = xr_be16(cur->home->data + cur->fork);

	if ((!level && !xr_bt_realtime(cur)) || level >= XR_BTREE_MAXLEVELS - 1)
		return xr_bt_bad(cur, 0, "its root has an impossible level");
	cur->nlevels = level + 1;
	root = &cur->level[level];
	root->buf = cur->home;
	root->block = 0;
	xr_bt_node(cur, level, &node);
	if ((level && !node.numrecs) || node.numrecs > node.max)
		return xr_bt_bad(cur, 0, "its root has an impossible number of entries");
	return 0;
}

int xr_bt_load_root(struct xr_cur *cur)
{
	struct xr_bt_level *root;
	unsigned nlevels;

	if (xr_bt_long(cur))
		return load_fork(cur);
	nlevels = xr_be32(cur->home->data + cur->kind->level_at);
	if (!nlevels || nlevels >= XR_BTREE_MAXLEVELS)
		return xr_bt_bad(cur, 0, "its header gives an impossible height");
	cur->nlevels = nlevels;
	root = &cur->level[nlevels - 1];
	root->block = xr_be32(cur->home->data + cur->kind->root_at);
	return xr_bt_read(cur, root->block, nlevels - 1, &root->buf);
}

void xr_bt_set_root(struct xr_cur *cur, uint64_t block, unsigned nlevels)
{
	const struct xr_bt_kind *kind = cur->kind;

	cur->nlevels = nlevels;
	xr_put_be32(cur->home->data + kind->root_at, (uint32_t)block);
	xr_put_be32(cur->home->data + kind->level_at, nlevels);
	xr_tx_log(cur->tx, cur->home, kind->root_at, 4);
	xr_tx_log(cur->tx, cur->home, kind->level_at, 4);
}
