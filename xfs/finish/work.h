/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_WORK_H
#define XR_WORK_H

#include "ag.h"
#include "bmapedit.h"
#include "complete.h"
#include "summary.h"

/*
 * The work of a completion: one transaction at a time, and what each step leaves to be done after all recovered intents
 * had theirs (specification 11.3), first come, first done.
 */
struct xr_follow;

struct xr_work {
	struct xr_replay *replay;
	const struct xr_log *log;
	struct xr_head *head;
	struct xr_tx *tx;
	struct xr_complete_stats *stats;
	bool intents_done;
	bool careful; /* something failed: each inode and each group's leftovers in a transaction of its own */
	struct {
		struct xr_complete_stats stats;
		struct xr_sb sb;
	} kept; /* as of the last commit */
	struct xr_summary counted; /* without lazy counters: what the superblock's stand for */
	struct xr_follow *first, *last;
};

/* Follow-up work: free blocks (of the data device: less than 2^32) whose reverse mapping is or was dealt with elsewhere; make or remove a reverse mapping. -ENOMEM, said. */
int xr_work_free(struct xr_work *work, enum xr_section section, uint64_t fsb, uint64_t count);
int xr_work_rmap(struct xr_work *work, bool map, enum xr_section section, uint64_t fsb, uint32_t count, uint64_t owner,
		 uint64_t offset, bool shared);

/* The same for a mapping of an inode's fork. */
int xr_work_rmap_mapping(struct xr_work *work, bool map, const struct xr_tx_inode *inode, bool attr, const struct xr_mapping *m);

/* An XMI: the kernel makes the changes of maps that it still has to make after all that other intents say. -ENOMEM, said. */
int xr_work_exchange_later(struct xr_work *work, const struct xr_intent *intent);

/* Do it, and what follows from it, until there is none. */
int xr_work_run(struct xr_work *work);

/* Commit the transaction and count it. */
int xr_work_commit(struct xr_work *work);

/* Undo what was not committed, and begin anew. -ENOMEM, said. */
int xr_work_undo(struct xr_work *work);

/* The steps, one file each. */
int xr_work_intents(struct xr_work *work);
int xr_work_exchange(struct xr_work *work, const struct xr_intent *intent); /* one XMI */
int xr_work_attri(struct xr_work *work, const struct xr_intent *intent); /* one ATTRI */
int xr_work_unlinked(struct xr_work *work);
int xr_work_cow(struct xr_work *work);

/* Whether an inode in disk form may share blocks with others. */
bool xr_inode_shares(const struct xr_sb *sb, const uint8_t *raw);

/*
 * An inode with these owners uses blocks, realtime blocks and inodes more (or less: modulo 2^64) than before: tell its dquots, if quota is on and checked. Where
 * that cannot be done quota is marked as unchecked: the next mount with quota counts anew.
 */
struct xr_owners {
	uint32_t uid, gid, projid;
};
struct xr_owners xr_inode_owners(const uint8_t *raw);
int xr_quota_charge(struct xr_work *work, struct xr_owners owners, uint64_t blocks, uint64_t rtblocks, uint64_t inodes);

#endif
