/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_BTREE_H
#define XR_BTREE_H

#include "tx.h"

/*
 * B+trees, all of XFS's kinds, changed in place
 *
 * One implementation over a description of the kind: where the root is (AG header, or inode fork), how long pointers are, how records and
 * keys look and compare, where blocks come from and go to. Insertion and deletion follow the kernel's choices (shift to a sibling, split,
 * join), because the number of blocks of a tree is visible in the counters.
 */
enum xr_btnum { XR_BNO, XR_CNT, XR_RMAP, XR_REFC, XR_INO, XR_FINO, XR_BMBT, XR_RTRMAP, XR_RTREFC };

#define XR_BTREE_MAXLEVELS 16

#define XR_REFC_COW (1u << 31) /* in the start of a refcount record: blocks staged for copy-on-write */

/* A record, decoded; which members count depends on the kind. Those of realtime groups are as those of AGs. */
struct xr_rec {
	uint64_t start; /* agbno, or block of a realtime group; agino (INO, FINO); file offset (BMBT) */
	uint64_t len; /* blocks (BNO, CNT, RMAP, REFC, BMBT) */
	uint64_t owner, offset; /* RMAP: offset with its flag bits 63 attr fork, 62 bmbt block, 61 unwritten */
	uint32_t refcount; /* REFC; start has XR_REFC_COW for staging */
	uint64_t free; /* INO, FINO: mask */
	uint16_t holemask;
	uint8_t count, freecount;
	uint64_t block; /* BMBT: fsb */
	bool unwritten; /* BMBT */
};

struct xr_cur; /* a cursor: a position in one tree, within one transaction */

/* A cursor on an AG's tree. -EUCLEAN (the header is damaged, said), -EIO, -ENOMEM. */
int xr_cur_ag(struct xr_cur **cur, struct xr_tx *tx, enum xr_btnum num, uint32_t agno);

/*
 * A cursor on the extent btree of an inode's fork, which must be in btree format. inode is its cluster's buffer, offset where it begins in
 * it, ino its number. Blocks are allocated near their siblings; the inode's nblocks follows, and its CRC is renewed. Errors as above.
 */
int xr_cur_bmbt(struct xr_cur **cur, struct xr_tx *tx, struct xr_tx_buf *inode, uint32_t offset, uint64_t ino, bool attr);

/*
 * A cursor on a realtime group's tree, XR_RTRMAP or XR_RTREFC: its root is in the inode of a file, which has the records where they fit. Blocks are
 * allocated near that inode; its nblocks, LSN and CRC follow. Errors as above.
 */
int xr_cur_rtgroup(struct xr_cur **cur, struct xr_tx *tx, enum xr_btnum num, uint32_t rgno);
void xr_cur_end(struct xr_cur *cur);

/*
 * Position the cursor: at the last record <= key (LE), the first >= key (GE), or exactly (EQ). key uses the kind's key members: start (BNO, REFC, INO,
 * FINO, BMBT), len then start (CNT), start, owner, offset (RMAP). *found says whether there is such a record.
 */
enum xr_lookup { XR_LE, XR_GE, XR_EQ };
int xr_cur_lookup(struct xr_cur *cur, enum xr_lookup dir, const struct xr_rec *key, bool *found);
int xr_cur_get(struct xr_cur *cur, struct xr_rec *rec, bool *found);
int xr_cur_next(struct xr_cur *cur, bool *found);
int xr_cur_prev(struct xr_cur *cur, bool *found);

/* Change the record at the cursor in place: its order among its neighbours must not change. */
int xr_cur_update(struct xr_cur *cur, const struct xr_rec *rec);
/* Insert where rec belongs (the cursor need not be there). -EUCLEAN (said) where an equal key exists. The cursor is then at rec. */
int xr_cur_insert(struct xr_cur *cur, const struct xr_rec *rec);
/*
 * The same, where both neighbours are in different blocks into that of the right one: as the kernel does where it comes from a look-up of
 * the left one and stepped on. It decides what is split.
 */
int xr_cur_insert_right(struct xr_cur *cur, const struct xr_rec *rec);
/* Delete the record at the cursor; the cursor is then at the next one, if any. */
int xr_cur_delete(struct xr_cur *cur);

/*
 * Every record with a block of [first, last], in order, of a tree whose records may overlap (RMAP): fn says 0 to go on; what else it says ends
 * the walk, is returned, and leaves the cursor at the record. fn must not change the tree.
 */
int xr_cur_query(struct xr_cur *cur, uint64_t first, uint64_t last, int (*fn)(void *arg, const struct xr_rec *rec), void *arg);

#endif
