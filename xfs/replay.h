/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_REPLAY_H
#define XR_REPLAY_H

#include "blocks.h"
#include "cache.h"
#include "sequence.h"
#include "table.h"
#include "targets.h"
#include "trans.h"

/*
 * The two passes (specification section 8)
 *
 * Pass 1 reads the whole log, checks every record, operation and item as far as that goes without looking at the filesystem, and
 * collects what later items take back: cancelled buffers, quota that was switched off; and in what order items may be applied. Pass 2
 * applies them, in the cache.
 */

/* What became of the items of one type. */
struct xr_item_stats {
	uint64_t seen; /* in committed transactions */
	uint64_t replayed;
	uint64_t stale; /* the disk held a newer state */
	uint64_t cancelled; /* a later item freed the buffer */
};

#define XR_ITEM_TYPES 32 /* room for every item type XFS ever had */

struct xr_replay_stats {
	struct xr_trans_stats log;
	struct xr_item_stats items[XR_ITEM_TYPES]; /* see xr_item_name() */
	uint64_t cancels; /* buffer cancel records */
	uint64_t unverified; /* buffers written as they came, without LSN and CRC: not what their log item said */
	uint64_t groups; /* groups of transactions with one LSN */
	uint64_t fragments; /* directory buffers shorter than the directory block */
	uint64_t fragment_daddr, fragment_lsn; /* the first of them */
};

/* An intent without a done item, as it stands in the log, in the log's byte order: a value of xr_replay.intents. */
struct xr_intent {
	uint16_t type, count; /* count: regions */
	uint64_t id, lsn;
	uint64_t same; /* further intents of this type and id; counted in the first of them */
	struct xr_region regions[];
};

/* An item that is not to be replayed, by its place in the log. */
struct xr_skip {
	uint64_t lsn; /* of the record in which it begins */
	uint32_t tid, number;
	const char *file; /* new, it keeps the item (quarantine.h); NULL: none does */
	bool met, kept; /* met in the log; in the file */
	/* What it would have changed, once it was met: blocks, or nothing. */
	struct xr_extent target;
	uint64_t ino; /* an inode item's; 0 */
};

struct xr_replay {
	const struct xr_log *log;
	struct xr_cache *cache;
	const struct xr_msg *msg;
	struct xr_sb sb; /* as it is at this point of the log: growfs may change it on the way */
	struct xr_table cancel; /* (daddr, BBs): cancel items still to come */
	uint64_t end_bbs; /* where the filesystem ends, at its largest: on the disk, or as it grows in the log */
	struct xr_targets targets; /* the blocks that the log's items are for; noted in pass 1 */
	bool whole; /* some item reaches beyond its own buffer: pass 2 cannot be done in slices */
	uint64_t slice_bytes; /* how much of the device may be in memory at once: XR_SLICE_BYTES, but for tests */
	struct xr_sequence noted; /* by pass 1 */
	/* Pass 2 applies items as they come, but those of transactions that by this have to wait for their COMMIT; NULL: all have to. */
	const struct xr_sequence *sequence;
	/* The transaction that the last item belonged to, in pass 2, until its COMMIT: */
	struct {
		bool open, waits;
		bool begun; /* some of it is applied */
		uint32_t tid;
		uint64_t lsn;
	} at_hand;
	uint64_t from, to; /* pass 2 applies the items for buffers in [from, to) only; all, unless it is done in slices */
	uint64_t digest; /* of the log as pass 1 read it (xr_trans_stats): pass 2 must have read the same */
	unsigned quotaoff; /* XFS_DQTYPE_... switched off somewhere in the log */
	struct xr_buf cluster; /* held between inode items of one cluster, */
	struct xr_extent cluster_at; /* which lies here */
	struct xr_blocks inodes; /* clusters that were looked at: every slot of them holds an inode */
	struct xr_table group; /* (daddr, BBs) of the buffers that the current LSN changed */
	uint64_t group_lsn;
	bool has_pieces; /* pass 1 met what may be pieces of directory blocks (scatter.h); the two tables are only used then */
	struct xr_table pieces; /* (daddr, BBs) of those that pass 2 changed; value: the last LSN */
	struct xr_table owners; /* (inode number, 0): the inodes that the log names */
	struct xr_table intents; /* (n << 16 | type, id): n-th without a done item, in log order; value: struct xr_intent * */
	struct xr_skip *skips; /* the caller's */
	size_t nskips;
	bool trivial; /* nothing but the superblock was logged: a frozen filesystem */
	struct xr_replay_stats stats;
	void (*progress)(void *arg, uint32_t done, uint32_t all); /* may be NULL */
	void *progress_arg;
};

/* A replay of log into cache, which holds the data device. Changes nothing yet. */
void xr_replay_init(struct xr_replay *replay, const struct xr_log *log, struct xr_cache *cache, const struct xr_msg *msg);
void xr_replay_destroy(struct xr_replay *replay);

/* Pass 1. 0; -EUCLEAN, -EBADMSG, -EOPNOTSUPP, -EIO, -ENOMEM, said. Nothing is written. */
int xr_replay_check(struct xr_replay *replay, const struct xr_head *head);

/*
 * Pass 2, after xr_replay_check(). Changes the cache only, unless the log changes more than fits into memory: then it is written as it goes
 * (slices.h), at the ends of LSN groups. On failure what is not written must not be: the caller drops the cache. Errors as above.
 */
int xr_replay_apply(struct xr_replay *replay, const struct xr_head *head);

/* Pass 2 for the slice [from, to), with the cancels that belong to it; what xr_replay_apply() is made of. */
int xr_replay_slice(struct xr_replay *replay, const struct xr_head *head);

/* All intents are done: forget them. */
void xr_replay_forget_intents(struct xr_replay *replay);

/* The name of an item type (XFS_LI_...) from the log: "buffer", "EFI", ... */
const char *xr_item_type_name(uint16_t type);

/* The name of the n-th item type, "buffer", "inode", ...; NULL behind the last. */
const char *xr_item_name(unsigned n);

#endif
