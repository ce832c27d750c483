// SPDX-License-Identifier: MIT
/*
 * Theory: from an address to its area.
 *
 * Live areas and those that wait for a flush stand in one tree, by address. An area enters it when its pages are mapped and
 * leaves it when its addresses become free, so whatever the tree holds can be asked about, and an address that was unmapped
 * but not yet flushed is told from a foreign one. Areas do not overlap: the last one that begins at or below an address is
 * the only one that can cover it.
 */
#include "area.h"

static struct vmap_area *area_of_node(struct vmap_tree_node *node)
{
	return node ? vmap_tree_entry(node, struct vmap_area, extent.node) : NULL;
}

void vmap_areas_insert(struct vmap_tree *areas, struct vmap_area *area)
{
	struct vmap_tree_node *node = areas->root, *parent = NULL;
	unsigned side = 0;

	while (node) {
		parent = node;
		side = area->extent.addr > area_of_node(node)->extent.addr;
		node = node->child[side];
	}
	vmap_tree_link(areas, &area->extent.node, parent, side);
}

void vmap_areas_remove(struct vmap_tree *areas, struct vmap_area *area)
{
	vmap_tree_unlink(areas, &area->extent.node);
}

struct vmap_area *vmap_areas_at(const struct vmap_tree *areas, uintptr_t addr)
{
	struct vmap_tree_node *node = areas->root;
	struct vmap_area *area;

	while (node) {
		area = area_of_node(node);
		if (addr >= area->extent.addr && addr - area->extent.addr < area->extent.size)
			return area;
		node = node->child[addr > area->extent.addr];
	}
	return NULL;
}

struct vmap_area *vmap_areas_below(const struct vmap_tree *areas, uintptr_t addr)
{
	struct vmap_tree_node *node = areas->root, *found = NULL;

	while (node) {
		if (area_of_node(node)->extent.addr < addr) {
			found = node;
			node = node->child[1];
		} else {
			node = node->child[0];
		}
	}
	return area_of_node(found);
}

struct vmap_area *vmap_areas_from(const struct vmap_tree *areas, uintptr_t addr)
{
	struct vmap_tree_node *node = areas->root, *found = NULL;

	while (node) {
		if (area_of_node(node)->extent.addr >= addr) {
			found = node;
			node = node->child[0];
		} else {
			node = node->child[1];
		}
	}
	return area_of_node(found);
}
