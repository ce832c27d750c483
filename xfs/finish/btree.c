/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cursors of B+trees
 *
 * A cursor is a path: for each level a block and an entry in it. Blocks are joined to the transaction as they are reached and stay with
 * it, so a path is copied by assignment, and copies of it are how siblings are visited. Look-ups begin at the root as the header names it
 * now, whatever happened to the tree since the last one.
 *
 * Siblings are found through the parents, and the pointers between them must agree: a tree that loops cannot hold a walk, since
 * each step goes to a greater key.
 *
 * Cost: a look-up is a hash look-up, a check of the header and a binary search for each level.
 */
#include "btree_impl.h"

#include <errno.h>
#include <stdlib.h>

#include "ag_impl.h"
#include "dinode.h"
#include "format.h"
#include "rtgroup.h"

static int cursor(struct xr_cur **out, struct xr_tx *tx, enum xr_btnum num)
{
	struct xr_cur *cur = calloc(1, sizeof(*cur));

	*out = cur;
	if (!cur)
		return xr_fail(xr_tx_msg(tx), -ENOMEM, "no memory for a cursor");
	*cur = (struct xr_cur){.tx = tx, .sb = xr_tx_sb(tx), .msg = xr_tx_msg(tx), .kind = &xr_bt_kinds[num]};
	return 0;
}

static int with_root(struct xr_cur **out, int ret)
{
	if (!ret)
		ret = xr_bt_load_root(*out);
	if (ret) {
		xr_cur_end(*out);
		*out = NULL;
	}
	return ret;
}

int xr_cur_ag(struct xr_cur **out, struct xr_tx *tx, enum xr_btnum num, uint32_t agno)
{
	int ret = cursor(out, tx, num);

	if (ret)
		return ret;
	(*out)->group = agno;
	ret = xr_ag_header(tx, agno, num == XR_INO || num == XR_FINO ? XR_AGI : XR_AGF, &(*out)->home);
	return with_root(out, ret);
}

/* The root is in a fork, which has room for one entry of a node at least. */
static int in_inode(struct xr_cur *cur, struct xr_tx_buf *inode, uint32_t offset, uint64_t ino, bool attr)
{
	struct xr_forks forks;

	cur->home = inode;
	cur->inode = offset;
	cur->ino = ino;
	cur->attr = attr;
	if (!xr_forks_of(cur->sb, inode->data + offset, &forks) ||
	    (attr ? forks.attr_size : forks.data_size) < 4u + cur->kind->root_share)
		return xr_bt_bad(cur, 0, "its root has no room in the inode");
	cur->fork = offset + (attr ? forks.attr : forks.data);
	cur->fork_size = attr ? forks.attr_size : forks.data_size;
	return 0;
}

int xr_cur_bmbt(struct xr_cur **out, struct xr_tx *tx, struct xr_tx_buf *inode, uint32_t offset, uint64_t ino, bool attr)
{
	int ret = cursor(out, tx, XR_BMBT);

	return ret ? ret : with_root(out, in_inode(*out, inode, offset, ino, attr));
}

int xr_cur_rtgroup(struct xr_cur **out, struct xr_tx *tx, enum xr_btnum num, uint32_t rgno)
{
	struct xr_tx_inode inode;
	int ret = cursor(out, tx, num);

	if (ret)
		return ret;
	(*out)->group = rgno;
	ret = xr_rtgroup_file(tx, rgno, num == XR_RTRMAP ? XR_RT_RMAP : XR_RT_REFCOUNT, &inode);
	if (!ret)
		ret = in_inode(*out, inode.buf, inode.offset, inode.ino, false);
	return with_root(out, ret);
}

void xr_cur_end(struct xr_cur *cur)
{
	free(cur);
}

/* --- paths --- */

/* Step down from level: to the child of the entry that the path is at there. */
static int step_down(struct xr_cur *cur, unsigned level)
{
	struct xr_bt_level *child = &cur->level[level - 1];
	struct xr_bt_node node;

	xr_bt_node(cur, level, &node);
	child->block = xr_bt_pointer(&node, (unsigned)cur->level[level].at);
	return xr_bt_read(cur, child->block, level - 1, &child->buf);
}

int xr_bt_walk(struct xr_cur *cur, unsigned level, enum xr_bt_side side, bool *found)
{
	int step = side == XR_RIGHT ? 1 : -1, ret;
	struct xr_bt_level from = cur->level[level];
	struct xr_bt_node node;
	unsigned up = level + 1;

	*found = false;
	for (; up < cur->nlevels; up++) {
		xr_bt_node(cur, up, &node);
		if (cur->level[up].at + step >= 0 && cur->level[up].at + step < (int)node.numrecs)
			break;
	}
	if (up >= cur->nlevels)
		return 0;
	cur->level[up].at += step;
	for (; up > level; up--) {
		ret = step_down(cur, up);
		if (ret)
			return ret;
		xr_bt_node(cur, up - 1, &node);
		cur->level[up - 1].at = side == XR_RIGHT ? 0 : (int)node.numrecs - 1;
	}
	if (cur->level[level].block == from.block || xr_bt_sibling(cur, from.buf, side) != cur->level[level].block ||
	    xr_bt_sibling(cur, cur->level[level].buf, side == XR_RIGHT ? XR_LEFT : XR_RIGHT) != from.block)
		return xr_bt_bad(cur, from.block, "its neighbours are not what its parents say");
	*found = true;
	return 0;
}

void xr_bt_update_keys(struct xr_cur *cur, unsigned level)
{
	size_t size = xr_bt_keys_size(cur->kind);
	struct xr_bt_node child, parent;
	uint8_t keys[XR_BT_KEY_MAX];

	for (; level + 1 < cur->nlevels; level++) {
		unsigned at = (unsigned)cur->level[level + 1].at;

		xr_bt_node(cur, level, &child);
		xr_bt_node(cur, level + 1, &parent);
		if (!child.numrecs)
			return;
		xr_bt_keys(cur, &child, keys);
		if (memcmp(xr_bt_entry(&parent, at), keys, size) == 0)
			return;
		memcpy(xr_bt_entry(&parent, at), keys, size);
		xr_bt_log(cur, &parent, at, 1);
	}
}

int xr_bt_give(struct xr_cur *cur, unsigned level, enum xr_bt_side side, bool *done)
{
	struct xr_cur other = *cur;
	struct xr_bt_node from, to;
	int ret = xr_bt_walk(&other, level, side, done);

	if (ret || !*done)
		return ret;
	xr_bt_node(cur, level, &from);
	xr_bt_node(&other, level, &to);
	*done = to.numrecs < to.max;
	if (!*done)
		return 0;
	xr_bt_move(cur, &from, side == XR_RIGHT ? from.numrecs - 1 : 0, &to, side == XR_RIGHT ? 0 : to.numrecs, 1);
	xr_bt_update_keys(cur, level);
	xr_bt_update_keys(&other, level);
	return 0;
}

/* --- look-up --- */

static struct xr_bt_order order_of(const struct xr_cur *cur, const struct xr_rec *rec)
{
	uint8_t raw[XR_BT_REC_MAX], key[XR_BT_KEY_MAX];

	cur->kind->encode(cur->sb, rec, raw);
	cur->kind->low(raw, key);
	return cur->kind->order(key);
}

/* The last entry that is not behind key; -1: none. */
static int last_le(const struct xr_cur *cur, const struct xr_bt_node *node, struct xr_bt_order key)
{
	unsigned low = 0, high = node->numrecs;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (xr_bt_compare(xr_bt_entry_order(cur, node, middle), key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return (int)low - 1;
}

int xr_cur_lookup(struct xr_cur *cur, enum xr_lookup dir, const struct xr_rec *key, bool *found)
{
	struct xr_bt_order order = order_of(cur, key);
	struct xr_bt_node node;
	int at, ret = xr_bt_load_root(cur);

	*found = false;
	if (ret)
		return ret;
	for (unsigned level = cur->nlevels - 1; level; level--) {
		xr_bt_node(cur, level, &node);
		at = last_le(cur, &node, order);
		cur->level[level].at = at < 0 ? 0 : at;
		ret = step_down(cur, level);
		if (ret)
			return ret;
	}
	xr_bt_node(cur, 0, &node);
	at = last_le(cur, &node, order);
	cur->level[0].at = at;
	*found = at >= 0;
	if (dir == XR_LE || (at >= 0 && xr_bt_compare(xr_bt_entry_order(cur, &node, (unsigned)at), order) == 0))
		return 0;
	*found = false;
	return dir == XR_GE ? xr_cur_next(cur, found) : 0;
}

static bool at_record(const struct xr_cur *cur, struct xr_bt_node *node)
{
	xr_bt_node(cur, 0, node);
	return cur->level[0].at >= 0 && cur->level[0].at < (int)node->numrecs;
}

static int decode(const struct xr_cur *cur, const struct xr_bt_node *leaf, unsigned i, struct xr_rec *rec)
{
	cur->kind->decode(cur->sb, xr_bt_entry(leaf, i), rec);
	return cur->kind->ok(cur->sb, cur->group, rec) ? 0 : xr_bt_bad(cur, cur->level[0].block, "an impossible record");
}

int xr_cur_get(struct xr_cur *cur, struct xr_rec *rec, bool *found)
{
	struct xr_bt_node leaf;

	*found = at_record(cur, &leaf);
	return *found ? decode(cur, &leaf, (unsigned)cur->level[0].at, rec) : 0;
}

/* Move by one record. Where there is none, the cursor is beside the last one. */
static int step(struct xr_cur *cur, enum xr_bt_side side, bool *found)
{
	int by = side == XR_RIGHT ? 1 : -1, direction, ret;
	struct xr_bt_order before = {{0}};
	struct xr_bt_node leaf;
	bool had = at_record(cur, &leaf);

	if (had)
		before = xr_bt_entry_order(cur, &leaf, (unsigned)cur->level[0].at);
	cur->level[0].at += by;
	*found = at_record(cur, &leaf);
	if (!*found) {
		ret = xr_bt_walk(cur, 0, side, found);
		if (ret)
			return ret;
		if (!*found) {
			cur->level[0].at = side == XR_RIGHT ? (int)leaf.numrecs : -1;
			return 0;
		}
		*found = at_record(cur, &leaf);
	}
	if (!had || !*found)
		return 0;
	direction = xr_bt_compare(xr_bt_entry_order(cur, &leaf, (unsigned)cur->level[0].at), before);
	return direction * by > 0 ? 0 : xr_bt_bad(cur, cur->level[0].block, "records out of order");
}

int xr_cur_next(struct xr_cur *cur, bool *found)
{
	return step(cur, XR_RIGHT, found);
}

int xr_cur_prev(struct xr_cur *cur, bool *found)
{
	return step(cur, XR_LEFT, found);
}

int xr_cur_update(struct xr_cur *cur, const struct xr_rec *rec)
{
	struct xr_bt_node leaf;
	unsigned at = (unsigned)cur->level[0].at;

	if (!at_record(cur, &leaf))
		return xr_bt_bad(cur, cur->level[0].block, "the record to change is gone");
	cur->kind->encode(cur->sb, rec, xr_bt_entry(&leaf, at));
	xr_bt_log(cur, &leaf, at, 1);
	xr_bt_update_keys(cur, 0);
	return 0;
}

/* --- overlapping records --- */

struct query {
	uint64_t first, last;
	int (*fn)(void *arg, const struct xr_rec *rec);
	void *arg;
	uint64_t blocks_left;
};

/* Below the path's block at level: no deeper than the tree, no more blocks than there are where it can have any. */
static int query_below(struct xr_cur *cur, unsigned level, struct query *query)
{
	const struct xr_bt_kind *kind = cur->kind;
	uint8_t high[XR_BT_KEY_MAX];
	struct xr_bt_node node;
	struct xr_rec rec;
	int ret = 0;

	xr_bt_node(cur, level, &node);
	for (unsigned i = 0; i < node.numrecs && !ret && xr_bt_entry_order(cur, &node, i).part[0] <= query->last; i++) {
		if (level)
			memcpy(high, xr_bt_entry(&node, i) + kind->key_size, kind->key_size);
		else
			kind->high(xr_bt_entry(&node, i), high);
		if (kind->order(high).part[0] < query->first)
			continue;
		cur->level[level].at = (int)i;
		if (!level) {
			ret = decode(cur, &node, i, &rec);
			if (!ret)
				ret = query->fn(query->arg, &rec);
		} else if (!query->blocks_left--) {
			ret = xr_bt_bad(cur, cur->level[level].block, "more blocks than there are");
		} else {
			ret = step_down(cur, level);
			if (!ret)
				ret = query_below(cur, level - 1, query);
		}
	}
	return ret;
}

int xr_cur_query(struct xr_cur *cur, uint64_t first, uint64_t last, int (*fn)(void *arg, const struct xr_rec *rec), void *arg)
{
	struct query query = {first, last, fn, arg, xr_bt_long(cur) ? cur->sb->dblocks : xr_ag_blocks(cur->sb, cur->group)};
	int ret = xr_bt_load_root(cur);

	return ret ? ret : query_below(cur, cur->nlevels - 1, &query);
}
