/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_HEAD_H
#define XR_HEAD_H

#include "record.h"

/* Where the log begins and ends (specification sections 4 and 5). */
struct xr_head {
	bool empty; /* never written to: no record at all; clean */
	bool clean; /* ends with an unmount record */
	uint32_t head; /* block where the next write would go */
	uint32_t cycle; /* cycle that the next write would carry */
	uint32_t tail; /* first block to replay from; equals head when clean */
	uint64_t tail_lsn; /* the tail before the clean test moved it: what stale-block clearing needs (5.1) */
	uint64_t last_lsn; /* LSN of the last good record; 0 when empty */
	uint32_t last_block; /* its block */
	uint32_t last_fmt, last_version, last_size; /* of that record */
	uint32_t torn; /* records dropped from the end as torn writes */
	uint32_t torn_block; /* where the first of them begins */
	uint32_t records; /* records from tail to head that were verified: all, unless log->to_be_walked */
	bool cut; /* salvage: the replay ends before the head, at block end */
	uint32_t end;
	bool cleared; /* nothing stale lies behind the head any more: see xr_append_begin() */
};

/*
 * Find head and tail: the search, the clean test, torn writes, verification of the tail: of all records up to the head, or, with log->to_be_walked, of
 * those that the writes that were torn can have reached, behind which a bad one is damage to the walk too. Sets log->order. Reads only. 0; -EUCLEAN
 * (also: the superblock's LSN is ahead of the log), -EBADMSG (a damaged record that is no torn write), -EOPNOTSUPP (another
 * filesystem's log, unknown h_fmt), -EINVAL (no record is as late as log->stop_at), -EIO; said, with the block.
 */
int xr_head_find(struct xr_log *log, struct xr_head *head);

/* The first block that is not replayed. */
static inline uint32_t xr_head_end(const struct xr_head *head)
{
	return head->cut ? head->end : head->head;
}

#endif
