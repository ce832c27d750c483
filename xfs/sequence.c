/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which transactions pass 2 can apply item by item
 *
 * Concept. Three things make a transaction wait: that it has no COMMIT, that another one was open at the same time (then which of them commits
 * first decides, and which has one at all), and that an item of the first list follows one of the second with which it has blocks in common. Items
 * without a common block do not know of each other, in whatever order they come.
 *
 * Kernels that log by checkpoints have one transaction open at a time, and a log that was cut off ends in one without COMMIT. What was
 * first in memory is also first in a checkpoint, so the third is rare: an inode chunk that was freed and made again.
 *
 * Data structure. A set of the blocks of the second list's items, of the one transaction that is open. Should memory not suffice, all
 * transactions wait.
 */
#include "sequence.h"

/* Old kernels have as many transactions as threads open: then all may wait, which costs memory only where one is large. */
#define WAITS_MAX 4096u
#define BBS_MAX 512u /* of an item that is taken seriously: the largest inode chunk has 256 */
#define WORDS_MAX (256u << 10) /* more than a checkpoint of 32 MiB can have inodes */

static void forget(struct xr_sequence *seq)
{
	seq->crossed = false;
	xr_blocks_clear(&seq->second);
}

/* Have trans at hand. */
static void begin(struct xr_sequence *seq, const struct xr_trans *trans)
{
	if (seq->tid == trans->tid && seq->lsn == trans->lsn)
		return;
	forget(seq);
	seq->tid = trans->tid;
	seq->lsn = trans->lsn;
}

void xr_sequence_note(struct xr_sequence *seq, const struct xr_trans *trans, bool first, const struct xr_extent *target)
{
	if (seq->all_wait || !trans->alone)
		return;
	begin(seq, trans);
	if (target->bbs > BBS_MAX || seq->second.words.count > WORDS_MAX)
		seq->crossed = true;
	if (seq->crossed)
		return;
	if (first)
		seq->crossed = xr_blocks_any(&seq->second, target);
	else if (xr_blocks_add(&seq->second, target))
		seq->all_wait = true;
}

void xr_sequence_end(struct xr_sequence *seq, const struct xr_trans *trans, bool committed)
{
	begin(seq, trans);
	if (!committed || !trans->alone || seq->crossed) {
		if (seq->waits.count == WAITS_MAX || !xr_table_add(&seq->waits, trans->tid, trans->lsn))
			seq->all_wait = true;
	}
	forget(seq); /* the next one may have the same tid and LSN */
	if (seq->all_wait)
		xr_table_clear(&seq->waits);
}

bool xr_sequence_waits(const struct xr_sequence *seq, const struct xr_trans *trans)
{
	return seq->all_wait || xr_table_find(&seq->waits, trans->tid, trans->lsn);
}

void xr_sequence_clear(struct xr_sequence *seq)
{
	xr_table_clear(&seq->waits);
	xr_blocks_clear(&seq->second);
}
