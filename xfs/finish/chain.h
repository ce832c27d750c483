/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_CHAIN_H
#define XR_CHAIN_H

#include "bmapedit.h"

/*
 * What the kernel's recovery of an intent adds to an inode's change count (di_changecount, NFS's change attribute)
 *
 * The kernel counts each transaction that logs the inode. It completes an intent in a chain of calls, each in a transaction: the intent's own steps,
 * behind each of them the deferred work that it made (reverse mappings, freed blocks). Where the chain goes on the inode is logged, whatever the call
 * did; and between the first call and the second there is a transaction with nothing else in it. A client that compares counts must see the same.
 *
 * What depends on how full the kernel's log is, or its free lists, is not counted: intents that it logs again to let the tail move.
 */
struct xr_chain {
	uint64_t calls;
	bool changed; /* the last call changed the inode */
};

/* One step of the intent. */
void xr_chain_step(struct xr_chain *chain, bool changed);

/* n pieces of deferred work, made by the last step. */
void xr_chain_follow(struct xr_chain *chain, uint64_t n);

/* What follows the change of a fork's mapping of the data device; and the freeing of n blocks, each in a place of its own. */
void xr_chain_mapped(struct xr_chain *chain, const struct xr_sb *sb);
void xr_chain_freed(struct xr_chain *chain, const struct xr_sb *sb, uint64_t n);

/* The chain is at its end: count it, and log the inode. */
void xr_chain_count(const struct xr_chain *chain, struct xr_tx *tx, struct xr_tx_inode *inode);

#endif
