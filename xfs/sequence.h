/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_SEQUENCE_H
#define XR_SEQUENCE_H

#include "blocks.h"
#include "trans.h"

/*
 * Which transactions pass 2 can apply item by item, in the order of the log
 *
 * Nothing is applied of a transaction without COMMIT, transactions are applied in the order of their COMMITs, and in one of them all items of the
 * first list come before those of the second (section 8). Pass 1 finds out for which transactions the log's own order is as good; the
 * others have to wait. A zeroed sequence is one that nothing was noted in.
 */
struct xr_sequence {
	bool all_wait; /* too many have to: none is listed */
	struct xr_table waits; /* (tid, LSN of the START) */
	/* The transaction at hand in pass 1: */
	uint32_t tid;
	uint64_t lsn;
	bool crossed; /* an item of the first list came behind one of the second that it has blocks in common with */
	struct xr_blocks second; /* what items of the second list are for */
};

/* Pass 1: the next item of trans, of one of the first two lists, and the blocks it is for, which may not have been checked. */
void xr_sequence_note(struct xr_sequence *seq, const struct xr_trans *trans, bool first, const struct xr_extent *target);

/* Pass 1: the end of trans, all items of which were noted; and whether that was its COMMIT. */
void xr_sequence_end(struct xr_sequence *seq, const struct xr_trans *trans, bool committed);

/* Pass 2: whether the items of trans have to wait for its COMMIT. */
bool xr_sequence_waits(const struct xr_sequence *seq, const struct xr_trans *trans);

void xr_sequence_clear(struct xr_sequence *seq);

#endif
