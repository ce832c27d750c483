/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TRANS_H
#define XR_TRANS_H

#include "head.h"

/*
 * Transactions, assembled from the operations in the records (specification section 7)
 *
 * A region is one piece of an item, whole, however many operations it was split over; 4-byte aligned. Regions and items belong to
 * the transaction and live until the commit handler returns.
 */
struct xr_region {
	uint8_t *data;
	uint32_t size; /* bytes */
};

struct xr_item {
	uint16_t type; /* XFS_LI_... */
	uint16_t count; /* regions it must have: 1 to 257 */
	uint16_t have; /* regions it has; equal to count at commit (checked) */
	struct xr_region *regions;
	uint64_t lsn; /* LSN of the record that holds the item's first region: names it in messages */
	uint32_t
		number; /* in the transaction as it was logged, from 0 on: with lsn and the transaction's tid it names the item */
};

struct xr_trans {
	uint32_t tid;
	uint64_t lsn; /* of the record that holds the START: what buffers get stamped with */
	uint64_t commit_lsn; /* of the record that holds the COMMIT */
	size_t nitems;
	struct xr_item *items; /* in log order */
};

/* Called for each committed transaction, in commit order. A negative return ends the walk and is returned. */
typedef int xr_commit_fn(void *arg, const struct xr_trans *trans);

struct xr_trans_stats {
	uint64_t records, operations, committed, unfinished; /* unfinished: transactions without a COMMIT, discarded */
	uint64_t bytes; /* of record data */
	uint32_t reached; /* the block of the record that the walk ended in, by an error; else the first behind the last */
	uint64_t digest; /* follows from the records' checksums, in order: two walks that read the same have the same */
	uint64_t peak; /* the most bytes that transactions under assembly took at once */
};

/* Whether an item, all of whose regions are there, is of interest: one that is not is forgotten, as if it had not been in the log. */
typedef bool xr_keep_fn(const void *arg, const struct xr_item *item);

/*
 * Walk the log from tail to head and hand each committed transaction to fn. stats may be NULL. progress, where not NULL, is called
 * after each record with blocks done and blocks in all. Errors as xr_record_walk(), and -EUCLEAN for operations or items that break
 * the format, said with LSN, tid and operation number.
 */
int xr_trans_walk(const struct xr_log *log, const struct xr_head *head, xr_commit_fn *fn, void *arg, struct xr_trans_stats *stats,
		  void (*progress)(void *arg, uint32_t done, uint32_t all), void *progress_arg);

/* The same with only the items that keep(arg, item) wants: takes no more memory than those. keep may be NULL: all. */
int xr_trans_walk_some(const struct xr_log *log, const struct xr_head *head, xr_keep_fn *keep, xr_commit_fn *fn, void *arg,
		       struct xr_trans_stats *stats, void (*progress)(void *arg, uint32_t done, uint32_t all),
		       void *progress_arg);

#endif
