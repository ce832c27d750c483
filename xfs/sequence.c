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
 * Data structure. A bit for each BB, in words of 64, keyed by number: the blocks of the second list's items, of the one transaction that is
 * open. Items for one cluster tend to stand together, so the last word is tried first. Should memory not suffice, all transactions wait.
 */
#include "sequence.h"

/* Old kernels have as many transactions as threads open: then all may wait, which costs memory only where one is large. */
#define WAITS_MAX 4096u
#define BBS_MAX 512u /* of an item that is taken seriously: the largest inode chunk has 256 */
#define WORDS_MAX (256u << 10) /* more than a checkpoint of 32 MiB can have inodes */
#define WORD_BBS 64u

static void forget(struct xr_sequence *seq)
{
	seq->crossed = false;
	seq->recent = NULL;
	xr_table_clear(&seq->second);
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

static void note_word(struct xr_sequence *seq, bool first, uint64_t number, uint64_t bits)
{
	struct xr_entry *entry = seq->recent;

	if (!entry || entry->a != number)
		entry = first ? xr_table_find(&seq->second, number, 0) : xr_table_add(&seq->second, number, 0);
	if (first) {
		seq->crossed |= entry && entry->value & bits;
	} else if (entry) {
		entry->value |= bits;
		seq->recent = entry;
	} else {
		seq->all_wait = true;
	}
}

void xr_sequence_note(struct xr_sequence *seq, const struct xr_trans *trans, bool first, const struct xr_extent *target)
{
	uint64_t at = target->daddr, left = target->bbs, n;

	if (seq->all_wait || !trans->alone)
		return;
	begin(seq, trans);
	if (left > BBS_MAX || at > UINT64_MAX - left || seq->second.count > WORDS_MAX)
		seq->crossed = true;
	if (seq->crossed)
		return;
	for (; left; at += n, left -= n) {
		n = WORD_BBS - at % WORD_BBS;
		n = n < left ? n : left;
		note_word(seq, first, at / WORD_BBS, UINT64_MAX >> (WORD_BBS - n) << at % WORD_BBS);
	}
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
	xr_table_clear(&seq->second);
}
