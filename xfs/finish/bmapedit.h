/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_BMAPEDIT_H
#define XR_BMAPEDIT_H

#include "bmap.h"
#include "tx.h"

/*
 * Changing the block map of an inode's fork: extents <-> btree format as the room in the fork demands, nextents and nblocks kept up to date,
 * the inode's CRC and LSN renewed. No blocks of the file are freed or allocated here, no rmap or refcount changes: callers do that.
 */

/* An inode joined to a transaction: its cluster's buffer, and where it lies in it. */
struct xr_tx_inode {
	struct xr_tx_buf *buf;
	uint32_t offset;
	uint64_t ino;
	uint8_t *raw; /* buf->data + offset: disk form */
};

/* Join inode ino, verified. -EUCLEAN, said: damaged, or no such inode; free ones are joined too (mode 0). */
int xr_tx_inode(struct xr_tx *tx, uint64_t ino, struct xr_tx_inode *inode);

/* raw was changed anywhere: renew LSN and CRC and log the inode. */
void xr_tx_inode_log(struct xr_tx *tx, struct xr_tx_inode *inode);

/* The inode's blocks, as it counts them; and a number added to that, modulo 2^64. */
uint64_t xr_inode_nblocks(const struct xr_tx_inode *inode);
void xr_inode_add_nblocks(struct xr_tx_inode *inode, uint64_t n);

/* The extents of a fork, as the inode counts them. */
uint64_t xr_inode_nextents(const struct xr_tx_inode *inode, bool attr);
/* Set it. False: the inode cannot count that many. */
bool xr_inode_set_nextents(struct xr_tx_inode *inode, bool attr, uint64_t n);

/* Let the inode count extents in the large form, if it does not yet. */
void xr_inode_set_nrext64(struct xr_tx_inode *inode);

/* The first mapping of the fork that ends behind offset. -ENOENT, not said: there is none. */
int xr_bmap_lookup(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr, uint64_t offset, struct xr_mapping *mapping);

/* What of the file's blocks [offset, end) is mapped first. -ENOENT, not said: nothing of them. */
int xr_bmap_lookup_in(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr, uint64_t offset, uint64_t end,
		      struct xr_mapping *mapping);

/* Add a mapping where there is a hole, merged with its neighbours where they continue it. -EUCLEAN, said: something is mapped there. */
int xr_bmap_add(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr, const struct xr_mapping *mapping);

/* Remove [offset, offset + count) from within one mapping: trims or splits it. -EUCLEAN, said: it is not mapped so. */
int xr_bmap_remove(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr, uint64_t offset, uint32_t count);

/*
 * Free a fork whole: fn is called for each of its mappings, the last one first (for the blocks, refcounts and rmaps of the data), the blocks of its
 * btree are freed and cancelled; the fork is then empty, in extents format, nextents 0, nblocks less what went.
 */
int xr_bmap_free_fork(struct xr_tx *tx, struct xr_tx_inode *inode, bool attr,
		      int (*fn)(void *arg, const struct xr_mapping *mapping), void *arg);

#endif
