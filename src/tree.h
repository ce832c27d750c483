/* SPDX-License-Identifier: MIT */
#ifndef VMAP_TREE_H
#define VMAP_TREE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * An intrusive balanced tree
 *
 * The tree knows neither keys nor owners: a user descends from root over child[] with its own comparison and links a node where
 * the descent ended. child[0] holds what sorts before a node, child[1] what sorts behind it.
 */
struct vmap_tree_node {
	struct vmap_tree_node *parent;
	struct vmap_tree_node *child[2];
	unsigned height; /* of the subtree: 1 for a leaf */
};

struct vmap_tree {
	struct vmap_tree_node *root;
	/* Computes what a node knows about its subtree from the node itself and its children. Whether that has changed. NULL: nothing is kept. */
	bool (*update)(struct vmap_tree_node *node);
};

#define vmap_tree_entry(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Make node the child of parent on this side, where there is none; parent NULL: the root of an empty tree. O(log n). */
void vmap_tree_link(struct vmap_tree *tree, struct vmap_tree_node *node, struct vmap_tree_node *parent, unsigned side);

/* Take node out. O(log n). */
void vmap_tree_unlink(struct vmap_tree *tree, struct vmap_tree_node *node);

/* What update() reads of node has changed, its place has not: bring node and its ancestors up to date. O(log n). */
void vmap_tree_touch(struct vmap_tree *tree, struct vmap_tree_node *node);

/* The outermost node on this side (0: the first, 1: the last), or the neighbour of node on this side; NULL: none. */
struct vmap_tree_node *vmap_tree_end(const struct vmap_tree *tree, unsigned side);
struct vmap_tree_node *vmap_tree_step(const struct vmap_tree_node *node, unsigned side);

#endif
