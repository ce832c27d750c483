/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Insertion into and deletion from B+trees
 *
 * Both begin at a leaf and climb while a level changes the number of its blocks. A full block first gives its last entry to its right
 * sibling, then its first one to its left sibling, but never the one that the new entry goes in front of; if neither can be it is split. A
 * block that fell below half takes an entry from the right, then from the left, then joins with the left, then with the right. Roots grow
 * and shrink by a level; a root in an inode moves its entries into a block of their own when the fork is full, and takes them back when they
 * fit. The order of these choices is the kernel's: it decides how many blocks a tree has, which the counters show.
 *
 * Afterwards the cursor is looked up anew: a look-up costs less than keeping a path right through splits is worth.
 */
#include "btree_impl.h"

#include <errno.h>

/* What goes into the level above: the new block's keys and its number; at the bottom the record. */
struct carry {
	uint8_t entry[XR_BT_KEY_MAX];
	uint64_t block; /* 0: nothing more to insert */
};

/* The neighbour of a block that is about to change hands, whose pointer back must be to it. */
static int neighbour(struct xr_cur *cur, unsigned level, uint64_t block, uint64_t sibling, struct xr_tx_buf **buf)
{
	int ret = xr_bt_read(cur, sibling, level, buf);

	if (!ret && xr_bt_sibling(cur, *buf, XR_LEFT) != block)
		ret = xr_bt_bad(cur, block, "its right neighbour has another left one");
	return ret;
}

/* Put a block behind the path's at level, between it and its right sibling. */
static int link_right(struct xr_cur *cur, unsigned level, const struct xr_bt_level *fresh)
{
	struct xr_bt_level *left = &cur->level[level];
	uint64_t right = xr_bt_sibling(cur, left->buf, XR_RIGHT);
	struct xr_tx_buf *buf;
	int ret;

	if (right) {
		ret = neighbour(cur, level, left->block, right, &buf);
		if (ret)
			return ret;
		xr_bt_set_sibling(cur, buf, XR_LEFT, fresh->block);
		xr_bt_set_sibling(cur, fresh->buf, XR_RIGHT, right);
	}
	xr_bt_set_sibling(cur, fresh->buf, XR_LEFT, left->block);
	xr_bt_set_sibling(cur, left->buf, XR_RIGHT, fresh->block);
	return 0;
}

/* --- insertion --- */

/* The root is in the inode and full: its entries go to a block of their own, the root leads to that alone. */
static int push_root_down(struct xr_cur *cur)
{
	unsigned level = cur->nlevels - 1;
	struct xr_bt_level child = {.at = cur->level[level].at};
	struct xr_bt_node from, to;
	uint8_t keys[XR_BT_KEY_MAX];
	int ret;

	if (cur->nlevels + 1 >= XR_BTREE_MAXLEVELS)
		return xr_bt_bad(cur, 0, "it is too high to grow");
	xr_bt_node(cur, level, &from);
	ret = xr_bt_new(cur, level ? xr_bt_pointer(&from, 0) : 0, level, &child.block, &child.buf);
	if (ret)
		return ret;
	cur->nlevels++;
	cur->level[level] = child;
	cur->level[level + 1] = (struct xr_bt_level){.buf = cur->home};
	xr_bt_node(cur, level, &to);
	xr_bt_move(cur, &from, 0, &to, 0, from.numrecs);
	xr_bt_keys(cur, &to, keys);
	xr_bt_node(cur, level + 1, &from);
	xr_bt_set_level(cur, &from, level + 1);
	xr_bt_put(cur, &from, 0, keys, child.block);
	return 0;
}

/* Half of the path's block at level goes to a new one on its right. With an odd number the half that the insertion goes to is the smaller. */
static int split(struct xr_cur *cur, unsigned level, struct xr_cur *right)
{
	struct xr_bt_level fresh = {0};
	struct xr_bt_node from, to;
	unsigned n;
	int ret = xr_bt_new(cur, cur->level[level].block, level, &fresh.block, &fresh.buf);

	if (!ret)
		ret = link_right(cur, level, &fresh);
	if (ret)
		return ret;
	xr_bt_node(cur, level, &from);
	n = from.numrecs / 2;
	if (from.numrecs % 2 && cur->level[level].at <= (int)n)
		n++;
	fresh.at = cur->level[level].at - (int)(from.numrecs - n);
	*right = *cur;
	right->level[level] = fresh;
	xr_bt_node(right, level, &to);
	xr_bt_move(cur, &from, from.numrecs - n, &to, 0, n);
	return 0;
}

/* The path's block at level is full. Afterwards it is not; *was_split: right is the path to the other half. */
static int make_room(struct xr_cur *cur, unsigned level, struct xr_cur *right, bool *was_split)
{
	struct xr_bt_node node;
	bool done = false;
	int ret = 0;

	*was_split = false;
	if (xr_bt_root_in_inode(cur, level))
		return push_root_down(cur);
	xr_bt_node(cur, level, &node);
	if (cur->level[level].at + 1 < (int)node.numrecs)
		ret = xr_bt_give(cur, level, XR_RIGHT, &done);
	if (!ret && !done && cur->level[level].at > 0) {
		ret = xr_bt_give(cur, level, XR_LEFT, &done);
		if (!ret && done)
			cur->level[level].at--;
	}
	if (ret || done)
		return ret;
	*was_split = true;
	return split(cur, level, right);
}

/* A root above the old root and its new sibling. */
static int grow(struct xr_cur *cur, struct carry *carry)
{
	unsigned level = cur->nlevels;
	struct xr_bt_level old = cur->level[level - 1];
	struct xr_bt_level *root = &cur->level[level];
	uint8_t keys[XR_BT_KEY_MAX];
	struct xr_bt_node node;
	int ret;

	if (level + 1 >= XR_BTREE_MAXLEVELS)
		return xr_bt_bad(cur, old.block, "it is too high to grow");
	xr_bt_node(cur, level - 1, &node);
	xr_bt_keys(cur, &node, keys);
	ret = xr_bt_new(cur, old.block, level, &root->block, &root->buf);
	if (ret)
		return ret;
	xr_bt_set_root(cur, root->block, level + 1);
	xr_bt_node(cur, level, &node);
	xr_bt_put(cur, &node, 0, keys, old.block);
	xr_bt_put(cur, &node, 1, carry->entry, carry->block);
	carry->block = 0;
	return 0;
}

static int insert_at(struct xr_cur *cur, unsigned level, struct carry *carry)
{
	struct xr_cur right;
	struct xr_bt_node node;
	bool was_split = false;
	int ret = 0;

	if (level == cur->nlevels)
		return grow(cur, carry);
	xr_bt_node(cur, level, &node);
	if (node.numrecs == node.max)
		ret = make_room(cur, level, &right, &was_split);
	if (ret)
		return ret;
	xr_bt_node(was_split && right.level[level].at > 0 ? &right : cur, level, &node);
	xr_bt_put(cur, &node, (unsigned)(was_split && right.level[level].at > 0 ? right.level[level].at : cur->level[level].at),
		  carry->entry, carry->block);
	xr_bt_update_keys(cur, level);
	carry->block = 0;
	if (was_split) {
		xr_bt_node(&right, level, &node);
		xr_bt_keys(&right, &node, carry->entry);
		carry->block = right.level[level].block;
		cur->level[level + 1].at++;
	}
	return 0;
}

static int insert(struct xr_cur *cur, const struct xr_rec *rec, bool right)
{
	struct carry carry = {.block = 0};
	unsigned level = 0;
	struct xr_cur path;
	bool found;
	int ret = xr_cur_lookup(cur, XR_EQ, rec, &found);

	if (ret)
		return ret;
	if (found)
		return xr_bt_bad(cur, cur->level[0].block, "a record to be inserted is there already");
	cur->kind->encode(cur->sb, rec, carry.entry);
	if (right)
		ret = xr_cur_next(cur, &found);
	else
		cur->level[0].at++;
	path = *cur;
	while (!ret) {
		ret = insert_at(&path, level++, &carry);
		if (!carry.block)
			break;
	}
	return ret ? ret : xr_cur_lookup(cur, XR_EQ, rec, &found);
}

int xr_cur_insert(struct xr_cur *cur, const struct xr_rec *rec)
{
	return insert(cur, rec, false);
}

int xr_cur_insert_right(struct xr_cur *cur, const struct xr_rec *rec)
{
	return insert(cur, rec, true);
}

/* --- deletion --- */

/*
 * The root in the inode leads to one block only: take its entries back where they fit. An extent btree's leaf stays: it goes with the btree format.
 * A realtime group's goes, but only with no more records than a node in the inode has room for, though a leaf there has room for more: the kernel's
 * rule.
 */
static int pull_root_up(struct xr_cur *cur)
{
	unsigned level = cur->nlevels - 1;
	struct xr_bt_node root, node;
	struct xr_bt_level child = {0};
	int ret;

	xr_bt_node(cur, level, &root);
	if (level < (xr_bt_realtime(cur) ? 1 : 2) || root.numrecs != 1)
		return 0;
	child.block = xr_bt_pointer(&root, 0);
	ret = xr_bt_read(cur, child.block, level - 1, &child.buf);
	if (ret)
		return ret;
	cur->level[level - 1] = child;
	xr_bt_node(cur, level - 1, &node);
	if (node.numrecs > root.max)
		return 0;
	xr_bt_drop(cur, &root, 0);
	xr_bt_set_level(cur, &root, level - 1);
	cur->nlevels--;
	cur->level[level - 1] = (struct xr_bt_level){.buf = cur->home};
	xr_bt_node(cur, level - 1, &root);
	xr_bt_move(cur, &node, 0, &root, 0, node.numrecs);
	return xr_bt_free(cur, child.block);
}

/* The root lost an entry. */
static int shrink(struct xr_cur *cur)
{
	unsigned level = cur->nlevels - 1;
	struct xr_bt_node root;

	if (xr_bt_root_in_inode(cur, level))
		return pull_root_up(cur);
	xr_bt_node(cur, level, &root);
	if (!level || root.numrecs != 1)
		return 0;
	xr_bt_set_root(cur, xr_bt_pointer(&root, 0), level);
	return xr_bt_free(cur, cur->level[level].block);
}

/* All of the right path's block at level goes to the end of the left's, its neighbour; the block is freed. Its entry in the level above is not. */
static int join(struct xr_cur *left, struct xr_cur *right, unsigned level)
{
	const struct xr_bt_level *from = &right->level[level], *to = &left->level[level];
	uint64_t next = xr_bt_sibling(right, from->buf, XR_RIGHT);
	struct xr_bt_node source, target;
	struct xr_tx_buf *buf;
	int ret;

	xr_bt_node(left, level, &target);
	xr_bt_node(right, level, &source);
	xr_bt_move(left, &source, 0, &target, target.numrecs, source.numrecs);
	xr_bt_set_sibling(left, to->buf, XR_RIGHT, next);
	if (next) {
		ret = neighbour(left, level, from->block, next, &buf);
		if (ret)
			return ret;
		xr_bt_set_sibling(left, buf, XR_LEFT, to->block);
	}
	xr_bt_update_keys(left, level);
	return xr_bt_free(right, from->block);
}

/* The path's block at level is less than half full: borrow, or join. *joined: cur is the path to a freed block, whose entry above has to go. */
static int refill(struct xr_cur *cur, unsigned level, bool *joined)
{
	struct xr_cur right = *cur, left = *cur;
	struct xr_bt_node node, other;
	bool has_right, has_left, done;
	int ret = xr_bt_walk(&right, level, XR_RIGHT, &has_right);

	if (ret)
		return ret;
	xr_bt_node(&right, level, &other);
	if (has_right && other.numrecs > other.min)
		return xr_bt_give(&right, level, XR_LEFT, &done);
	ret = xr_bt_walk(&left, level, XR_LEFT, &has_left);
	if (ret)
		return ret;
	xr_bt_node(&left, level, &other);
	if (has_left && other.numrecs > other.min)
		return xr_bt_give(&left, level, XR_RIGHT, &done);
	xr_bt_node(cur, level, &node);
	if (has_left && other.numrecs + node.numrecs <= node.max) {
		*joined = true;
		return join(&left, cur, level);
	}
	xr_bt_node(&right, level, &other);
	if (!has_right || other.numrecs + node.numrecs > node.max)
		return 0;
	*joined = true;
	ret = join(cur, &right, level);
	*cur = right;
	return ret;
}

static int delete_at(struct xr_cur *cur, unsigned level, bool *joined)
{
	struct xr_bt_node node;

	*joined = false;
	xr_bt_node(cur, level, &node);
	xr_bt_drop(cur, &node, (unsigned)cur->level[level].at);
	if (level == cur->nlevels - 1)
		return shrink(cur);
	xr_bt_update_keys(cur, level);
	if (node.numrecs >= node.min)
		return 0;
	if (xr_bt_root_in_inode(cur, level + 1)) {
		xr_bt_node(cur, level + 1, &node);
		if (node.numrecs == 1)
			return pull_root_up(cur);
	}
	return refill(cur, level, joined);
}

int xr_cur_delete(struct xr_cur *cur)
{
	struct xr_bt_node leaf;
	unsigned level = 0;
	struct xr_rec rec;
	struct xr_cur path;
	bool joined, found;
	int ret;

	xr_bt_node(cur, 0, &leaf);
	if (cur->level[0].at < 0 || cur->level[0].at >= (int)leaf.numrecs)
		return xr_bt_bad(cur, cur->level[0].block, "the record to delete is gone");
	cur->kind->decode(cur->sb, xr_bt_entry(&leaf, (unsigned)cur->level[0].at), &rec);
	path = *cur;
	do {
		ret = delete_at(&path, level++, &joined);
	} while (!ret && joined);
	return ret ? ret : xr_cur_lookup(cur, XR_GE, &rec, &found);
}
