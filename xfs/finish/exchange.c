/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mapping exchange (XMI; specification 11.3)
 *
 * Two ranges of files swap their blocks, piece by piece: a piece is as much as is one mapping, or one hole, in both. Nothing is copied and no
 * block changes hands otherwise than through the two block maps; the reverse mappings follow. A pending intent names what remains.
 *
 * The kernel's recovery finds the first piece and puts its changes behind everything that the intent leads to, all other pieces included: so they are the
 * last here. Where records merge, and blocks of btrees are joined, depends on it.
 */
#include "work.h"

#include <errno.h>

#include "bytes.h"
#include "chain.h"
#include "format.h"
#include "rtspace.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)

enum { EX_ATTR = 1, EX_SET_SIZES = 2, EX_WRITTEN = 4, EX_CLEAR_REFLINK1 = 8, EX_CLEAR_REFLINK2 = 16, EX_KNOWN = 31 };

struct side {
	struct xr_tx_inode inode;
	struct xr_owners owners;
	uint64_t at; /* file block */
	uint64_t size; /* that the file has afterwards, with EX_SET_SIZES */
	uint64_t blocks; /* gained, modulo 2^64 */
	/* the piece at hand: len blocks; m where they are mapped */
	uint64_t len;
	struct xr_mapping m;
	bool hole;
};

struct exchange {
	struct xr_work *work;
	const struct xr_intent *intent;
	struct side side[2];
	uint64_t left;
	uint64_t flags;
	bool attr;
	struct xr_chain chain;
};

static int bad(const struct exchange *ex, const char *what)
{
	return xr_fail(ex->work->replay->msg, -EUCLEAN, "XMI intent at LSN %u:%u: %s", xr_lsn_cycle(ex->intent->lsn),
		       xr_lsn_block(ex->intent->lsn), what);
}

static int join(struct exchange *ex, struct side *side, const uint8_t *ino, const uint8_t *gen)
{
	struct xr_order order = ex->work->replay->log->order;
	int ret = xr_tx_inode(ex->work->tx, xr_get64(order, ino), &side->inode);

	if (ret)
		return ret;
	side->owners = xr_inode_owners(side->inode.raw);
	if (!xr_be16(side->inode.raw + DI(mode)) || xr_be32(side->inode.raw + DI(gen)) != xr_get32(order, gen))
		return bad(ex, "its inode is free, or another one now");
	return 0;
}

static int parse(struct exchange *ex)
{
	const uint8_t *p = ex->intent->regions[0].data;
	struct xr_order order = ex->work->replay->log->order;
	uint64_t limit = BMBT_STARTOFF_MASK + 1;
	int ret;

	ex->flags = xr_get64(order, p + 64);
	ex->attr = ex->flags & EX_ATTR;
	ex->left = xr_get64(order, p + 56);
	ex->side[0].at = xr_get64(order, p + 40);
	ex->side[1].at = xr_get64(order, p + 48);
	ex->side[0].size = xr_get64(order, p + 72);
	ex->side[1].size = xr_get64(order, p + 80);
	if (!(xr_tx_sb(ex->work->tx)->incompat & XFS_SB_FEAT_INCOMPAT_EXCHRANGE))
		return bad(ex, "this filesystem does not have the exchange-range feature");
	if (ex->flags & ~(uint64_t)EX_KNOWN)
		return xr_fail(ex->work->replay->msg, -EOPNOTSUPP,
			       "XMI intent at LSN %u:%u: flags %#llx, some of which are not known here",
			       xr_lsn_cycle(ex->intent->lsn), xr_lsn_block(ex->intent->lsn), (unsigned long long)ex->flags);
	for (int i = 0; i < 2; i++)
		if (ex->left > limit || ex->side[i].at > limit - ex->left || (ex->flags & EX_SET_SIZES && ex->side[i].size >> 63))
			return bad(ex, "an impossible range or size");
	ret = join(ex, &ex->side[0], p + 16, p + 32);
	if (!ret)
		ret = join(ex, &ex->side[1], p + 24, p + 36);
	if (!ret && ex->side[0].inode.ino == ex->side[1].inode.ino && ex->side[0].at < ex->side[1].at + ex->left &&
	    ex->side[1].at < ex->side[0].at + ex->left)
		return bad(ex, "its ranges overlap");
	if (!ret && xr_inode_section(ex->side[0].inode.raw, ex->attr) != xr_inode_section(ex->side[1].inode.raw, ex->attr))
		ret = bad(ex, "one of its files is on the realtime device and the other is not");
	return ret;
}

/* What one file has at its place, at most left blocks of it. */
static int look(struct exchange *ex, struct side *side, uint64_t left)
{
	struct xr_mapping *m = &side->m;
	int ret = xr_bmap_lookup(ex->work->tx, &side->inode, ex->attr, side->at, m);
	uint64_t skip;

	if (ret && ret != -ENOENT)
		return ret;
	side->hole = ret == -ENOENT || m->offset > side->at;
	if (side->hole) {
		side->len = ret == -ENOENT || m->offset - side->at > left ? left : m->offset - side->at;
		return 0;
	}
	skip = side->at - m->offset;
	m->offset = side->at;
	m->block += skip;
	m->count -= (uint32_t)skip;
	side->len = m->count < left ? m->count : left;
	return 0;
}

/* A mapping came or went: work of its own for the kernel, with the reverse mapping behind it. */
static int mapped(struct exchange *ex, bool map, struct side *side, const struct xr_mapping *m)
{
	xr_chain_follow(&ex->chain, 1);
	xr_chain_follow(&ex->chain, xr_section_has_rmaps(xr_tx_sb(ex->work->tx), xr_inode_section(side->inode.raw, ex->attr)));
	return xr_work_rmap_mapping(ex->work, map, &side->inode, ex->attr, m);
}

/* Of either side, as long as the piece is in both. */
static int unmap(struct exchange *ex, struct side *side)
{
	int ret;

	if (side->hole)
		return 0;
	side->m.count = (uint32_t)side->len;
	ret = xr_bmap_remove(ex->work->tx, &side->inode, ex->attr, side->m.offset, side->m.count);
	side->blocks -= side->m.count;
	return ret ? ret : mapped(ex, false, side, &side->m);
}

/* Map the other side's piece here. */
static int map(struct exchange *ex, struct side *side, const struct side *other)
{
	struct xr_mapping m = other->m;
	int ret;

	if (other->hole)
		return 0;
	m.offset = side->at;
	ret = xr_bmap_add(ex->work->tx, &side->inode, ex->attr, &m);
	side->blocks += m.count;
	return ret ? ret : mapped(ex, true, side, &m);
}

static bool same(const struct side *a, const struct side *b)
{
	return a->hole == b->hole && (a->hole || a->m.block == b->m.block);
}

/* Find the next piece that is not the same in both. *found: there is one. */
static int find(struct exchange *ex, bool *found)
{
	struct side *a = &ex->side[0], *b = &ex->side[1];
	int ret = look(ex, a, ex->left);

	*found = false;
	if (ret || (ex->flags & EX_WRITTEN && (a->hole || a->m.unwritten)))
		return ret;
	ret = look(ex, b, a->len);
	a->len = b->len;
	*found = !ret && !same(a, b);
	return ret;
}

/* Go on behind the piece. */
static void advance(struct exchange *ex)
{
	uint64_t len = ex->side[0].len;

	ex->side[0].at += len;
	ex->side[1].at += len;
	ex->left -= len;
}

static int swap_piece(struct exchange *ex)
{
	struct side *a = &ex->side[0], *b = &ex->side[1];
	int ret;

	xr_chain_step(&ex->chain, true);
	ret = unmap(ex, a);
	if (!ret)
		ret = unmap(ex, b);
	if (!ret)
		ret = map(ex, a, b);
	return ret ? ret : map(ex, b, a);
}

/* Have a side at a piece again. */
static void recall(struct side *side, const struct side *then)
{
	side->at = then->at;
	side->len = then->len;
	side->m = then->m;
	side->hole = then->hole;
}

static int swap_all(struct exchange *ex)
{
	struct side first[2];
	bool have_first = false, found;
	int ret = 0;

	memcpy(first, ex->side, sizeof(first));
	for (; ex->left && !ret; advance(ex)) {
		ret = find(ex, &found);
		if (ret || !found)
			continue;
		if (have_first)
			ret = swap_piece(ex);
		else
			memcpy(first, ex->side, sizeof(first));
		have_first = true;
	}
	if (ret || !have_first)
		return ret;
	recall(&ex->side[0], &first[0]);
	recall(&ex->side[1], &first[1]);
	return swap_piece(ex);
}

static void set_shares(struct side *side, bool shares)
{
	uint64_t flags2 = xr_be64(side->inode.raw + DI(flags2));

	xr_put_be64(side->inode.raw + DI(flags2),
		    shares ? flags2 | XFS_DIFLAG2_REFLINK : flags2 & ~(uint64_t)XFS_DIFLAG2_REFLINK);
}

/* While blocks move both files count as sharing if one does, and both can count any number of extents. */
static void prepare(struct exchange *ex)
{
	const struct xr_sb *sb = xr_tx_sb(ex->work->tx);
	struct side *a = &ex->side[0], *b = &ex->side[1];

	if (!ex->attr && (xr_inode_shares(sb, a->inode.raw) || xr_inode_shares(sb, b->inode.raw))) {
		set_shares(a, true);
		set_shares(b, true);
	}
	for (int i = 0; i < 2 && sb->has_nrext64; i++)
		xr_inode_set_nrext64(&ex->side[i].inode);
}

static void finish(struct exchange *ex)
{
	for (int i = 0; i < 2; i++) {
		struct side *side = &ex->side[i];

		if (ex->flags & EX_SET_SIZES)
			xr_put_be64(side->inode.raw + DI(size), side->size);
		if (ex->flags & (i ? EX_CLEAR_REFLINK2 : EX_CLEAR_REFLINK1))
			set_shares(side, false);
		xr_chain_count(&ex->chain, ex->work->tx, &side->inode);
		xr_tx_inode_log(ex->work->tx, &side->inode);
	}
}

static int charge(const struct exchange *ex, const struct side *side)
{
	bool realtime = xr_inode_section(side->inode.raw, ex->attr) == XR_REALTIME;

	return xr_quota_charge(ex->work, side->owners, realtime ? 0 : side->blocks, realtime ? side->blocks : 0, 0);
}

int xr_work_exchange(struct xr_work *work, const struct xr_intent *intent)
{
	struct exchange ex = {.work = work, .intent = intent};
	int ret = parse(&ex);

	if (ret)
		return ret;
	prepare(&ex);
	ret = swap_all(&ex);
	if (ret)
		return ret;
	finish(&ex);
	for (int i = 0; i < 2 && !ret; i++)
		ret = charge(&ex, &ex.side[i]);
	return ret ? ret : xr_tx_done(work->tx, XFS_LI_XMD, intent->id, NULL, 0);
}
