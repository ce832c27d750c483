/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_COMPLETE_H
#define XR_COMPLETE_H

#include "tx.h"

/* What completion did, for the report. */
struct xr_complete_stats {
	uint64_t intents, unlinked, chunks_freed, cow_extents;
	uint64_t unlinked_kept; /* inodes, and lists of them, that were damaged and taken off the AGI without being freed */
	uint64_t groups_kept; /* allocation groups that are damaged: unlinked inodes or leftovers stay in them */
	uint64_t transactions, log_bytes;
};

/*
 * Complete what pass 2 left (specification section 11.3 to 11.5): pending intents in log order and what follows from them, unlinked inodes, copy-on-write
 * leftovers, committed to the log in as few transactions as its room allows. With a NULL log: in the cache only. Unlinked inodes and
 * leftovers that damage keeps from being freed are given up, warned of.
 * -EUCLEAN, said: an intent contradicts the filesystem; nothing of that transaction was written, pass 2 stands and a kernel can be asked.
 * -EOPNOTSUPP, said: an intent of a kind that cannot be completed here. -ENOSPC, -EIO, -ENOMEM.
 */
int xr_complete(struct xr_replay *replay, const struct xr_log *log, struct xr_head *head, struct xr_complete_stats *stats);

#endif
