/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TX_H
#define XR_TX_H

#include "cache.h"
#include "head.h"
#include "replay.h"
#include "table.h"

/*
 * Transactions of our own
 *
 * Completion (specification section 11) changes metadata after the replay, and those steps cannot be repeated. So it does what the kernel
 * does: the changes become a transaction in the log, behind the head, and only when that is on the disk are the blocks written to their
 * places. Whoever comes after a crash, this tool or a kernel, replays it like any other.
 *
 * A transaction is atomic and has no limit but the room in the log: all intents of a log are completed in one. Changes are made in
 * the cache and noted in chunks of 128 bytes; everything, inodes too, is logged as buffer items (inode clusters as regular buffers of type
 * DINO, whose inodes carry their own CRC), freed metadata blocks as cancels, completed intents as done items.
 */
struct xr_tx;

/* An extent that an EFI names: fs blocks. */
struct xr_freed {
	uint64_t fsb;
	uint32_t count;
};

/* A buffer that belongs to a transaction; good until it is committed or dropped. */
struct xr_tx_buf {
	uint8_t *data;
	size_t size;
	uint64_t daddr;
	uint32_t bbs;
	/* the transaction's own */
	unsigned type; /* XFS_BLFT_... */
	bool cancelled;
	uint32_t map[17]; /* bit n: chunk n was changed */
	uint8_t *before; /* what it held when it was joined */
	struct xr_buf buf;
};

/*
 * Begin. sb is the superblock after replay, head where the log ends now: both are the caller's and are kept up to date by commits.
 * log is written to by xr_tx_commit() only; a NULL log keeps everything in the cache (overlay, -n, --tree). 0 or -ENOMEM.
 */
int xr_tx_begin(struct xr_tx **tx, struct xr_sb *sb, struct xr_cache *cache, const struct xr_log *log, struct xr_head *head,
		const struct xr_msg *msg);

/* What the transaction works on: for the code that is handed only the tx. */
struct xr_sb *xr_tx_sb(struct xr_tx *tx);
struct xr_cache *xr_tx_cache(struct xr_tx *tx);
const struct xr_msg *xr_tx_msg(struct xr_tx *tx);

/* What was found out for it and stays true, kept until it ends: the inodes of realtime groups' files (rtgroup.h). */
struct xr_table *xr_tx_rtfiles(struct xr_tx *tx);

/* The LSN that the transaction will have: what an inode or a dquot that carries its own gets. */
uint64_t xr_tx_lsn(const struct xr_tx *tx);

/*
 * Join a buffer: read it, or find it if it is part of the transaction already. type is what its log item will say (XFS_BLFT_...);
 * the caller has checked, or checks, that the block is what it should be. -EUCLEAN: outside the device, freed in this very
 * transaction, or under another buffer of it; -EIO; -ENOMEM; said.
 */
int xr_tx_get(struct xr_tx *tx, uint64_t daddr, uint32_t bbs, unsigned type, struct xr_tx_buf **buf);

/*
 * The same for a block that was just allocated: its old content is not looked at, it is all zeros and all logged. -EUCLEAN also: it is part of the
 * transaction already, so whatever had it as free is wrong.
 */
int xr_tx_get_new(struct xr_tx *tx, uint64_t daddr, uint32_t bbs, unsigned type, struct xr_tx_buf **buf);

/* The bytes [offset, offset + size) were changed. Stamps nothing: LSN and CRC come at commit; an inode's CRC is the caller's. */
void xr_tx_log(struct xr_tx *tx, struct xr_tx_buf *buf, size_t offset, size_t size);

/* Whether the transaction changed the buffer: its CRC is stale then. */
bool xr_tx_changed(const struct xr_tx_buf *buf);

/*
 * The metadata block was freed: earlier items for it in the log are void, and later ones of this transaction would be too. So its fs blocks are busy
 * until the commit. Freed blocks of a file need not be: nothing is written to its place before the commit is in the log. -ENOMEM.
 */
int xr_tx_cancel(struct xr_tx *tx, uint64_t daddr, uint32_t bbs);

/* For the allocator: whether any of the fs blocks [fsb, fsb + count) is busy. */
bool xr_tx_busy(struct xr_tx *tx, uint64_t fsb, uint32_t count);
/* The first of these blocks that is not busy. False: all are. */
bool xr_tx_idle(struct xr_tx *tx, uint64_t fsb, uint32_t count, uint64_t *idle);

/* Add the done item of an intent: type XFS_LI_EFD, ...; extents, count: only EFD repeats them (startblock, blockcount). -ENOMEM. */
int xr_tx_done(struct xr_tx *tx, uint16_t type, uint64_t id, const struct xr_freed *extents, uint32_t count);

/* Bytes of log that the transaction would take now, headers and padding included. */
uint64_t xr_tx_log_bytes(const struct xr_tx *tx);

/* Whether nothing was changed. */
bool xr_tx_empty(const struct xr_tx *tx);

/* Whether the log has no room for more than what the transaction holds: time to commit. Some is kept for what one more inode may add. */
bool xr_tx_full(const struct xr_tx *tx);

/*
 * Wait until everything that was flushed from the cache is on the disk, write the transaction to the log and wait until it is there; then write the
 * changed blocks, stamped with its LSN, to their places: the next commit, or xr_finish_log(), waits for those. The transaction is then empty and can
 * be used for the next; head, with its tail, and sb->lsn have advanced. Everything that pass 2 changed must have been flushed before the first
 * commit. -ENOSPC: the log has no room between head and tail; -EUCLEAN: a
 * changed block is not what it was joined as (nothing was written in both cases); -EIO; -ENOMEM; said.
 */
int xr_tx_commit(struct xr_tx *tx);

/* End; what was not committed is undone, in the cache too. NULL is fine. */
void xr_tx_end(struct xr_tx *tx);

#endif
