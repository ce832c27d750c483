/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_BTREE_IMPL_H
#define XR_BTREE_IMPL_H

/* What the files of the btree code share; nobody else includes this. */
#include "btree.h"

#include "bytes.h"

#define XR_BT_KEY_MAX 40u /* a low and a high rmap key */
#define XR_BT_REC_MAX 24u

/* The order of keys, whatever their bytes: compared from the first to the last. */
struct xr_bt_order {
	uint64_t part[3];
};

/* A kind of tree. Records and keys are in disk form. */
struct xr_bt_kind {
	enum xr_btnum num;
	const char *name;
	uint32_t magic, magic_v4; /* 0: version 4 has no such tree */
	uint8_t rec_size, key_size, ptr_size;
	uint8_t root_share; /* of roots in inodes: the bytes of the fork for each entry of a node, though it may take less of them */
	uint16_t root_at, level_at; /* in the AG's header */
	void (*encode)(const struct xr_sb *sb, const struct xr_rec *rec, uint8_t *raw);
	void (*decode)(const struct xr_sb *sb, const uint8_t *raw, struct xr_rec *rec);
	void (*low)(const uint8_t *raw, uint8_t *key);
	void (*high)(const uint8_t *raw, uint8_t *key); /* NULL: records do not overlap, nodes have no high keys */
	struct xr_bt_order (*order)(const uint8_t *key);
	bool (*ok)(const struct xr_sb *sb, uint32_t group, const struct xr_rec *rec); /* can this record be? */
};

/* One level of a path. */
struct xr_bt_level {
	struct xr_tx_buf *buf;
	uint64_t block; /* agbno, or fsb: a pointer of this tree; 0 for a root in an inode */
	int at; /* entry; -1: in front of the first; the number of entries: behind the last, or where one is about to go */
};

struct xr_cur {
	struct xr_tx *tx;
	const struct xr_sb *sb;
	const struct xr_msg *msg;
	const struct xr_bt_kind *kind;
	uint32_t group; /* allocation group, or realtime group */
	struct xr_tx_buf *home; /* AGF, AGI or inode cluster: where the root is, or is named */
	uint32_t inode; /* the rest for roots in inodes: where the inode and its fork lie in home */
	uint32_t fork, fork_size;
	uint64_t ino;
	bool attr;
	unsigned nlevels;
	struct xr_bt_level level[XR_BTREE_MAXLEVELS];
};

/* A block, or the root in an inode, taken apart: where its entries are (records in a leaf; else low key, or low and high) and its pointers. */
struct xr_bt_node {
	struct xr_tx_buf *buf;
	uint32_t level_at; /* u16 level and numrecs */
	uint32_t entries, pointers; /* pointers: 0 in a leaf */
	unsigned entry_size, ptr_size;
	unsigned level, numrecs, max, min;
};

extern const struct xr_bt_kind xr_bt_kinds[];

/* How keys a and b compare: < 0, 0, > 0. */
int xr_bt_compare(struct xr_bt_order a, struct xr_bt_order b);

/* Say that the tree is damaged, where and why. -EUCLEAN. */
int xr_bt_bad(const struct xr_cur *cur, uint64_t block, const char *why);
/* The name of the place, for messages: "allocation group 3", "realtime group 3" or "inode 99". */
const char *xr_bt_place(const struct xr_cur *cur, char text[40]);

/* --- blocks (btree_block.c) --- */

/* Trees of realtime groups; and any that have their root in an inode: pointers and block headers have the long form. */
bool xr_bt_realtime(const struct xr_cur *cur);
bool xr_bt_long(const struct xr_cur *cur);
bool xr_bt_root_in_inode(const struct xr_cur *cur, unsigned level);
void xr_bt_node(const struct xr_cur *cur, unsigned level, struct xr_bt_node *node);
uint8_t *xr_bt_entry(const struct xr_bt_node *node, unsigned i);
uint64_t xr_bt_pointer(const struct xr_bt_node *node, unsigned i);
void xr_bt_set_level(struct xr_cur *cur, struct xr_bt_node *node, unsigned level);
/* Where entry i orders. */
struct xr_bt_order xr_bt_entry_order(const struct xr_cur *cur, const struct xr_bt_node *node, unsigned i);

/* n entries from first on, their pointers and the count were changed. */
void xr_bt_log(struct xr_cur *cur, const struct xr_bt_node *node, unsigned first, unsigned n);
/* Open a gap for one entry at i and fill it; pointer is not used in a leaf. There is room. */
void xr_bt_put(struct xr_cur *cur, struct xr_bt_node *node, unsigned i, const uint8_t *entry, uint64_t pointer);
void xr_bt_drop(struct xr_cur *cur, struct xr_bt_node *node, unsigned i);
/* Move n entries from from[i] on to in front of to[j]. Same level, and there is room. */
void xr_bt_move(struct xr_cur *cur, struct xr_bt_node *from, unsigned i, struct xr_bt_node *to, unsigned j, unsigned n);

/* Low key, and behind it the high one where the kind has any, of all that the node leads to. It is not empty. */
void xr_bt_keys(const struct xr_cur *cur, const struct xr_bt_node *node, uint8_t *keys);
size_t xr_bt_keys_size(const struct xr_bt_kind *kind);

enum xr_bt_side { XR_LEFT, XR_RIGHT };
uint64_t xr_bt_sibling(const struct xr_cur *cur, const struct xr_tx_buf *buf, enum xr_bt_side side); /* 0: none */
void xr_bt_set_sibling(struct xr_cur *cur, struct xr_tx_buf *buf, enum xr_bt_side side, uint64_t block);

/* Read and check a block of the tree; make a new one, near another. */
int xr_bt_read(struct xr_cur *cur, uint64_t block, unsigned level, struct xr_tx_buf **buf);
int xr_bt_new(struct xr_cur *cur, uint64_t near, unsigned level, uint64_t *block, struct xr_tx_buf **buf);
int xr_bt_free(struct xr_cur *cur, uint64_t block);

/* The root: find it (nlevels and the top of the path), and name another, AG trees only. */
int xr_bt_load_root(struct xr_cur *cur);
void xr_bt_set_root(struct xr_cur *cur, uint64_t block, unsigned nlevels);

/* --- paths (btree.c) --- */

/* Move the path to the neighbouring block of level; at is its last or first entry. Found: there is one. */
int xr_bt_walk(struct xr_cur *cur, unsigned level, enum xr_bt_side side, bool *found);
/* The entries of level's block changed: renew its keys in its ancestors. */
void xr_bt_update_keys(struct xr_cur *cur, unsigned level);
/* Give one entry of the path's block at level to its sibling on that side. Done: there is one, and it had room. */
int xr_bt_give(struct xr_cur *cur, unsigned level, enum xr_bt_side side, bool *done);

#endif
