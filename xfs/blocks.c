/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An extent is walked word by word; a word that was emptied stays in the table, for it is likely to be filled again.
 */
#include "blocks.h"

#define WORD_BBS 64u

/* The part of an extent that lies in one word: begin with {extent->daddr, extent->bbs}. */
struct part {
	uint64_t daddr, left;
	uint64_t number, bits;
};

static bool next_part(struct part *p)
{
	uint64_t in = p->daddr % WORD_BBS, n = WORD_BBS - in;

	if (!p->left)
		return false;
	n = n < p->left ? n : p->left;
	p->number = p->daddr / WORD_BBS;
	p->bits = UINT64_MAX >> (WORD_BBS - n) << in;
	p->daddr += n; /* may wrap, where the extent does */
	p->left -= n;
	return true;
}

static struct xr_entry *find(struct xr_blocks *set, uint64_t number)
{
	struct xr_entry *word = set->recent;

	if (word && word->a == number)
		return word;
	word = xr_table_find(&set->words, number, 0);
	if (word)
		set->recent = word;
	return word;
}

int xr_blocks_add(struct xr_blocks *set, const struct xr_extent *extent)
{
	struct part p = {extent->daddr, extent->bbs, 0, 0};

	while (next_part(&p)) {
		struct xr_entry *word = find(set, p.number);

		if (!word)
			word = set->recent = xr_table_add(&set->words, p.number, 0);
		if (!word)
			return -1;
		word->value |= p.bits;
	}
	return 0;
}

void xr_blocks_remove(struct xr_blocks *set, const struct xr_extent *extent)
{
	struct part p = {extent->daddr, extent->bbs, 0, 0};

	while (set->words.count && next_part(&p)) {
		struct xr_entry *word = find(set, p.number);

		if (word)
			word->value &= ~p.bits;
	}
}

bool xr_blocks_any(struct xr_blocks *set, const struct xr_extent *extent)
{
	struct part p = {extent->daddr, extent->bbs, 0, 0};

	while (set->words.count && next_part(&p)) {
		const struct xr_entry *word = find(set, p.number);

		if (word && word->value & p.bits)
			return true;
	}
	return false;
}

bool xr_blocks_all(struct xr_blocks *set, const struct xr_extent *extent)
{
	struct part p = {extent->daddr, extent->bbs, 0, 0};

	while (next_part(&p)) {
		const struct xr_entry *word = find(set, p.number);

		if (!word || ~word->value & p.bits)
			return false;
	}
	return true;
}

void xr_blocks_clear(struct xr_blocks *set)
{
	xr_table_clear(&set->words);
	set->recent = NULL;
}
