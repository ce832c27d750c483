/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TRANS_H
#define XR_TRANS_H

#include "head.h"

/*
 * Transactions, assembled from the operations in the records (specification section 7)
 *
 * A region is one piece of an item, whole, however many operations it was split over; not aligned to anything. Regions and items are good
 * until the handler that is given them returns.
 */
struct xr_region {
	const uint8_t *data;
	uint32_t size; /* bytes */
};

/* Whether every region is a copy in a block of its own, so that ASan sees a read behind its end. */
#ifdef __SANITIZE_ADDRESS__
#define XR_ISOLATED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define XR_ISOLATED true
#endif
#endif
#ifndef XR_ISOLATED
#define XR_ISOLATED false
#endif

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
	bool alone; /* no other transaction was open since its START */
	size_t nitems;
	struct xr_item *items; /* in log order */
	uint32_t nlogged; /* how many items it has in the log: nitems, and those that the walker did without */
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

/*
 * Walk the log from tail to head and hand each committed transaction to fn. stats may be NULL. progress, where not NULL, is called
 * after each record with blocks done and blocks in all. Errors as xr_record_walk(), and -EUCLEAN for operations or items that break
 * the format, said with LSN, tid and operation number.
 */
int xr_trans_walk(const struct xr_log *log, const struct xr_head *head, xr_commit_fn *fn, void *arg, struct xr_trans_stats *stats,
		  void (*progress)(void *arg, uint32_t done, uint32_t all), void *progress_arg);

/* Who walks, and which items need not wait in memory for their transaction's COMMIT. All but commit may be NULL. */
struct xr_walker {
	xr_commit_fn *commit;
	/* Whether an item, of which only the first region is there, is of interest: one that is not is passed over. */
	bool (*wants)(const void *arg, const struct xr_item *item);
	/*
	 * An item is whole, though its transaction (of which tid and lsn are known) may never commit. 1: commit need not see it; 0: it shall; a
	 * negative return ends the walk and is returned.
	 */
	int (*settle)(void *arg, const struct xr_trans *trans, const struct xr_item *item);
	/* A transaction has ended without COMMIT, by an unmount or the log's end. Not called for those that are open when the walk ends by an error. */
	void (*discard)(void *arg, const struct xr_trans *trans);
	void *arg;
	void (*progress)(void *arg, uint32_t done, uint32_t all);
	void *progress_arg;
};

/* The same with only some of the items: takes no more memory than those. */
int xr_trans_walk_some(const struct xr_log *log, const struct xr_head *head, const struct xr_walker *walker,
		       struct xr_trans_stats *stats);

#endif
