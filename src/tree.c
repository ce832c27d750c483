// SPDX-License-Identifier: MIT
/*
 * Theory: an AVL tree with parent pointers.
 *
 * Sibling subtrees differ in height by at most one, so n nodes are at most 1.45 * log2(n) deep: 40 levels hold more nodes
 * than fit into memory beside what they describe. Every change is local and is followed by one walk from the lowest changed
 * node towards the root, which restores height, balance and the user's augmentation of each node it passes. It ends where neither height nor
 * augmentation has changed: what lies above has seen the same before. Only a node that is new in its place says nothing about
 * that. No recursion.
 */
#include "tree.h"

static unsigned height(const struct vmap_tree_node *node)
{
	return node ? node->height : 0;
}

/* Whether anything has changed. What a walk does at each node is in it. */
static inline __attribute__((always_inline)) bool update(const struct vmap_tree *tree, struct vmap_tree_node *node)
{
	unsigned left = height(node->child[0]), right = height(node->child[1]), old = node->height;

	node->height = (left > right ? left : right) + 1;
	return (tree->update && tree->update(node)) || node->height != old;
}

static unsigned side_of(const struct vmap_tree_node *parent, const struct vmap_tree_node *node)
{
	return parent->child[1] == node;
}

/* Put node, which may be NULL, where old hangs. */
static void replace(struct vmap_tree *tree, const struct vmap_tree_node *old, struct vmap_tree_node *node)
{
	struct vmap_tree_node *parent = old->parent;

	if (!parent)
		tree->root = node;
	else
		parent->child[side_of(parent, old)] = node;
	if (node)
		node->parent = parent;
}

/* Lift node's child of the other side over node, so that node sinks to this side. Gives the new top of the subtree. */
static struct vmap_tree_node *rotate(struct vmap_tree *tree, struct vmap_tree_node *node, unsigned side)
{
	struct vmap_tree_node *top = node->child[!side];

	replace(tree, node, top);
	node->child[!side] = top->child[side];
	if (node->child[!side])
		node->child[!side]->parent = node;
	top->child[side] = node;
	node->parent = top;
	update(tree, node);
	update(tree, top);
	return top;
}

static inline bool is_balanced(const struct vmap_tree_node *node)
{
	return height(node->child[0]) - height(node->child[1]) + 1 <= 2;
}

static struct vmap_tree_node *balance(struct vmap_tree *tree, struct vmap_tree_node *node)
{
	unsigned deep = height(node->child[1]) > height(node->child[0]);
	struct vmap_tree_node *child = node->child[deep];

	if (height(child->child[!deep]) > height(child->child[deep]))
		rotate(tree, child, deep);
	return rotate(tree, node, !deep);
}

/* Bring node and its ancestors up to date, as far as anything changes, but at least over fresh, which is one of them, or NULL. */
static void climb(struct vmap_tree *tree, struct vmap_tree_node *node, const struct vmap_tree_node *fresh)
{
	struct vmap_tree_node *top;
	bool changed = true;

	for (; node && (changed || fresh); node = top->parent) {
		changed = update(tree, node);
		top = is_balanced(node) ? node : balance(tree, node);
		changed |= top != node || node == fresh;
		fresh = node == fresh ? NULL : fresh;
	}
}

void vmap_tree_touch(struct vmap_tree *tree, struct vmap_tree_node *node)
{
	climb(tree, node, node);
}

void vmap_tree_link(struct vmap_tree *tree, struct vmap_tree_node *node, struct vmap_tree_node *parent, unsigned side)
{
	node->parent = parent;
	node->child[0] = node->child[1] = NULL;
	if (parent)
		parent->child[side] = node;
	else
		tree->root = node;
	climb(tree, node, node);
}

static struct vmap_tree_node *outermost(struct vmap_tree_node *node, unsigned side)
{
	while (node && node->child[side])
		node = node->child[side];
	return node;
}

void vmap_tree_unlink(struct vmap_tree *tree, struct vmap_tree_node *node)
{
	struct vmap_tree_node *next = NULL, *lowest;

	if (!node->child[0] || !node->child[1]) {
		lowest = node->parent;
		replace(tree, node, node->child[!node->child[0]]);
	} else {
		/* The successor has no left child: it leaves its place to its right child and takes the node's. */
		next = outermost(node->child[1], 0);
		lowest = next->parent == node ? next : next->parent;
		replace(tree, next, next->child[1]);
		replace(tree, node, next);
		for (unsigned side = 0; side < 2; side++) {
			next->child[side] = node->child[side];
			if (next->child[side])
				next->child[side]->parent = next;
		}
	}
	climb(tree, lowest, next);
}

struct vmap_tree_node *vmap_tree_end(const struct vmap_tree *tree, unsigned side)
{
	return outermost(tree->root, side);
}

struct vmap_tree_node *vmap_tree_step(const struct vmap_tree_node *node, unsigned side)
{
	struct vmap_tree_node *parent;

	if (node->child[side])
		return outermost(node->child[side], !side);
	for (parent = node->parent; parent && side_of(parent, node) == side; parent = parent->parent)
		node = parent;
	return parent;
}
