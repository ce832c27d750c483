/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_ATTRLIST_H
#define XR_ATTRLIST_H

#include "work.h"

/*
 * The attributes of one inode, taken out of its attribute fork to be changed and put back (V5 only: intents for attributes are no
 * older). attrlist.c reads and changes the list, attrstore.c puts it back.
 */

/* An attribute by what an intent says of it. */
struct xr_attr_spec {
	uint8_t space; /* XFS_ATTR_ROOT, XFS_ATTR_SECURE, XR_ATTR_PARENT, or 0 */
	const uint8_t *name;
	uint32_t namelen; /* 1 to 255 */
	const uint8_t *value;
	uint32_t valuelen;
};

struct xr_attr_item {
	uint32_t hash;
	uint8_t flags; /* of a leaf's entry: XFS_ATTR_LOCAL, its namespace, XFS_ATTR_INCOMPLETE */
	uint8_t namelen;
	uint32_t valuelen, valueblk; /* valueblk: not local: where in the fork the value is */
	uint8_t bytes[]; /* the name and, if it is local, the value */
};

/* A leaf block's share of the items. */
struct xr_attr_leaf {
	uint32_t block; /* file block; XR_ATTR_NO_BLOCK: it has none yet */
	uint32_t n;
	bool changed; /* what it holds is no longer what the block says */
};
#define XR_ATTR_NO_BLOCK UINT32_MAX

/* Blocks of the fork: [block, block + count). */
struct xr_attr_range {
	uint32_t block, count;
};

struct xr_attr_list {
	struct xr_work *work;
	struct xr_tx_inode *inode;
	struct xr_attr_item **items; /* in the order of their hashes */
	size_t n, items_room;
	struct xr_attr_leaf *leaves; /* in order: each takes the next n items */
	size_t nleaves, leaves_room;
	uint32_t *
		spare; /* blocks of the tree that hold no leaf: nodes, and leaves that became empty; block 0 is never among them */
	size_t nspare, spare_room;
	struct xr_attr_range *values; /* where values were that are no longer needed */
	size_t nvalues, values_room;
};

/* Whatever is returned, xr_attr_list_end() is due. -EUCLEAN, said: the fork is damaged. -EIO, -ENOMEM. */
int xr_attr_list_load(struct xr_attr_list *list, struct xr_work *work, struct xr_tx_inode *inode);
void xr_attr_list_end(struct xr_attr_list *list);

/* Take out every item of this name and namespace (of parent pointers: and value); none is fine. -ENOMEM. */
int xr_attr_list_remove(struct xr_attr_list *list, const struct xr_attr_spec *spec);

/* Whether what is left would be held by the inode itself, in the room that its attribute fork has or can get. */
bool xr_attr_list_short(const struct xr_attr_list *list);

/* Add an attribute that the list has not; valueblk: where its value is, 0: with the name. -ENOMEM. */
int xr_attr_list_add(struct xr_attr_list *list, const struct xr_attr_spec *spec, uint32_t valueblk);

/* Whether a value stands beside its name in a leaf. */
bool xr_attr_is_local(const struct xr_sb *sb, const struct xr_attr_spec *spec);

/* Blocks of the fork that a value of this size takes where it is not local. */
uint32_t xr_attr_value_blocks(const struct xr_sb *sb, uint32_t size);

/* Bytes that an item takes in a leaf, its entry included; and bytes of a leaf before its entries. */
uint32_t xr_attr_item_bytes(const struct xr_attr_item *item);
#define XR_ATTR_LEAF_HEADER 80u
#define XR_ATTR_ENTRY 8u

/*
 * Put the list back into the fork, in the smallest form that holds it: the inode, one leaf, or a tree. Blocks come and go as needed; those that go are
 * queued in work. With an empty list the fork itself goes, where the kernel lets it go. -ENOSPC, -EUCLEAN, -EIO, -ENOMEM, said.
 */
int xr_attr_list_store(struct xr_attr_list *list);

/* Write a value into new blocks of the fork: *valueblk is the first. */
int xr_attr_value_store(struct xr_attr_list *list, const uint8_t *value, uint32_t size, uint32_t *valueblk);

/* One more element for an array. False: no memory, nothing changed. */
bool xr_attr_grow(void **array, size_t n, size_t *room, size_t size);

#endif
