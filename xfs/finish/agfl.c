/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The headers of allocation groups, and their free lists
 *
 * The free-space and rmap btrees cannot ask the allocator for blocks, since they are what it is made of: they live on a list of single
 * blocks, a ring in a sector of its own. Before anything changes those trees, the list is brought to the length that two splits of each
 * of them can need; what the trees give back afterwards makes it longer, until the next time.
 *
 * A block that a tree gave back is busy: it cannot be a new block in the same transaction. Such blocks pass through the list, but do
 * not count as help: they are the first to leave when it is too long, and are not handed out.
 */
#include "ag_impl.h"

#include <errno.h>

#include "btree_impl.h"
#include "format.h"
#include "space.h"

#define AGF(field) offsetof(struct xfs_agf, agf_##field)
#define AGI(field) offsetof(struct xfs_agi, agi_##field)
#define AGFL(field) offsetof(struct xfs_agfl, agfl_##field)

struct list {
	struct xr_tx *tx;
	const struct xr_sb *sb;
	uint32_t agno;
	struct xr_tx_buf *agf, *buf;
	uint32_t entries; /* offset of the ring */
	uint32_t size, first, count;
};

/* --- headers --- */

static int join_sector(struct xr_tx *tx, uint32_t agno, unsigned sector, unsigned type, struct xr_tx_buf **buf)
{
	const struct xr_sb *sb = xr_tx_sb(tx);
	uint32_t bbs = sb->sectsize >> XR_BB_SHIFT;

	return xr_tx_get(tx, xr_ag_daddr(sb, agno) + (uint64_t)sector * bbs, bbs, type, buf);
}

/* What version 5 adds to each of the sectors: whose it is, and a checksum. */
static bool sector_ok(const struct xr_sb *sb, const struct xr_tx_buf *buf, size_t uuid, size_t crc)
{
	if (!sb->v5)
		return true;
	return memcmp(buf->data + uuid, sb->meta_uuid, 16) == 0 && (xr_tx_changed(buf) || xr_crc_ok(buf->data, buf->size, crc));
}

int xr_ag_header(struct xr_tx *tx, uint32_t agno, enum xr_ag_header which, struct xr_tx_buf **buf)
{
	const struct xr_sb *sb = xr_tx_sb(tx);
	bool agf = which == XR_AGF;
	const uint8_t *raw;
	int ret;

	if (agno >= sb->agcount)
		return xr_fail(xr_tx_msg(tx), -EUCLEAN, "allocation group %u: there are only %u", agno, sb->agcount);
	ret = join_sector(tx, agno, which, agf ? XFS_BLFT_AGF_BUF : XFS_BLFT_AGI_BUF, buf);
	if (ret)
		return ret;
	raw = (*buf)->data;
	/* Magic, version, number and length stand at the same place in both. */
	if (xr_be32(raw) == (agf ? XFS_AGF_MAGIC : XFS_AGI_MAGIC) && xr_be32(raw + 4) == 1 && xr_be32(raw + 8) == agno &&
	    xr_be32(raw + 12) == xr_ag_blocks(sb, agno) &&
	    sector_ok(sb, *buf, agf ? AGF(uuid) : AGI(uuid), agf ? AGF(crc) : AGI(crc)))
		return 0;
	return xr_fail(xr_tx_msg(tx), -EUCLEAN, "allocation group %u: its %s is damaged; run xfs_repair -n to see what else is",
		       agno, agf ? "AGF" : "AGI");
}

int xr_ag_range(struct xr_tx *tx, uint64_t fsb, uint32_t len, const char *what, uint32_t *agno, uint32_t *agbno)
{
	const struct xr_sb *sb = xr_tx_sb(tx);

	if (!len || !xr_fsb_ok(sb, fsb, len))
		return xr_fail(xr_tx_msg(tx), -EUCLEAN, "%s: blocks %#llx+%u are not in one allocation group; run xfs_repair -n",
			       what, (unsigned long long)fsb, len);
	*agno = (uint32_t)(fsb >> sb->agblklog);
	*agbno = (uint32_t)(fsb & ((UINT64_C(1) << sb->agblklog) - 1));
	return 0;
}

/* --- the ring --- */

static uint32_t entry(const struct list *list, uint32_t i)
{
	return xr_be32(list->buf->data + list->entries + 4 * ((list->first + i) % list->size));
}

static void set_entry(struct list *list, uint32_t i, uint32_t agbno)
{
	size_t at = list->entries + 4 * ((list->first + i) % list->size);

	xr_put_be32(list->buf->data + at, agbno);
	xr_tx_log(list->tx, list->buf, at, 4);
}

static void save(struct list *list)
{
	uint8_t *agf = list->agf->data;

	xr_put_be32(agf + AGF(flfirst), list->first);
	xr_put_be32(agf + AGF(fllast), (list->first + list->count + list->size - 1) % list->size);
	xr_put_be32(agf + AGF(flcount), list->count);
	xr_tx_log(list->tx, list->agf, AGF(flfirst), AGF(freeblks) - AGF(flfirst));
}

static const char *list_fault(const struct list *list)
{
	const struct xr_sb *sb = list->sb;
	const uint8_t *raw = list->buf->data;
	uint32_t last = xr_be32(list->agf->data + AGF(fllast));

	if (sb->v5 && (xr_be32(raw) != XFS_AGFL_MAGIC || xr_be32(raw + 4) != list->agno ||
		       !sector_ok(sb, list->buf, AGFL(uuid), AGFL(crc))))
		return "its header is damaged";
	if (list->first >= list->size || last >= list->size || list->count > list->size)
		return "its ends lie outside it";
	if (list->count && (last + list->size - list->first) % list->size + 1 != list->count)
		return "its ends and its length disagree";
	for (uint32_t i = 0; i < list->count; i++)
		if (entry(list, i) >= xr_ag_blocks(sb, list->agno) ||
		    !xr_fsb_ok(sb, xr_ag_fsb(sb, list->agno, entry(list, i)), 1))
			return "it names a block that does not exist";
	return NULL;
}

static int load(struct xr_tx *tx, uint32_t agno, struct list *list)
{
	const struct xr_sb *sb = xr_tx_sb(tx);
	const char *fault;
	int ret;

	*list = (struct list){.tx = tx, .sb = sb, .agno = agno, .entries = sb->v5 ? sizeof(struct xfs_agfl) : 0};
	ret = xr_ag_header(tx, agno, XR_AGF, &list->agf);
	if (!ret)
		ret = join_sector(tx, agno, 3, XFS_BLFT_AGFL_BUF, &list->buf);
	if (ret)
		return ret;
	list->size = (sb->sectsize - list->entries) / 4;
	list->first = xr_be32(list->agf->data + AGF(flfirst));
	list->count = xr_be32(list->agf->data + AGF(flcount));
	fault = list_fault(list);
	return fault ? xr_fail(xr_tx_msg(tx), -EUCLEAN, "allocation group %u: the list of free blocks: %s; run xfs_repair -n",
			       agno, fault)
		     : 0;
}

static bool is_busy(const struct list *list, uint32_t i)
{
	return xr_tx_busy(list->tx, xr_ag_fsb(list->sb, list->agno, entry(list, i)), 1);
}

static uint32_t count_usable(const struct list *list)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < list->count; i++)
		n += !is_busy(list, i);
	return n;
}

int xr_agfl_take(struct xr_tx *tx, uint32_t agno, uint32_t *agbno)
{
	struct list list;
	uint32_t i = 0;
	int ret = load(tx, agno, &list);

	if (ret)
		return ret;
	while (i < list.count && is_busy(&list, i))
		i++;
	if (i == list.count)
		return xr_fail(xr_tx_msg(tx), -ENOSPC, "allocation group %u: no block is left for its free space btrees", agno);
	*agbno = entry(&list, i);
	if (i)
		set_entry(&list, i, entry(&list, 0));
	list.first = (list.first + 1) % list.size;
	list.count--;
	save(&list);
	return 0;
}

static int append(struct list *list, uint32_t agbno)
{
	if (list->count == list->size)
		return xr_fail(xr_tx_msg(list->tx), -ENOSPC, "allocation group %u: its list of free blocks is full", list->agno);
	set_entry(list, list->count++, agbno);
	save(list);
	return 0;
}

int xr_agfl_give(struct xr_tx *tx, uint32_t agno, uint32_t agbno)
{
	struct list list;
	int ret = load(tx, agno, &list);

	return ret ? ret : append(&list, agbno);
}

/* --- its length --- */

static uint64_t div_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit;
}

/* The height of a tree of half-full blocks with that many records. */
static unsigned height_of(uint64_t records, unsigned leaf_min, unsigned node_min)
{
	uint64_t blocks = div_up(records, leaf_min);
	unsigned height = 1;

	for (; blocks > 1; height++)
		blocks = div_up(blocks, node_min);
	return height;
}

/* The height of a tree that fills that many blocks: what limits an rmapbt whose records can overlap. */
static unsigned height_in(uint64_t blocks, unsigned node_min)
{
	uint64_t nodes = 2, left = blocks - 1;
	unsigned height = 1;

	for (; nodes < left; height++) {
		left -= nodes;
		nodes *= node_min;
	}
	return height;
}

static unsigned max_height(const struct xr_sb *sb, bool rmap)
{
	unsigned room = sb->blocksize - (sb->v5 ? 56 : 16);

	if (!rmap)
		return height_of(((uint64_t)sb->agblocks + 1) / 2, room / 8 / 2, room / 12 / 2);
	if (sb->has_reflink)
		return height_in(sb->agblocks, room / 44 / 2);
	return height_of(sb->agblocks, room / 24 / 2, room / 44 / 2);
}

static uint32_t needed(const struct list *list)
{
	uint32_t need = 0;

	for (unsigned i = 0; i < (list->sb->has_rmapbt ? 3 : 2); i++) {
		uint32_t level = xr_be32(list->agf->data + AGF(levels) + 4 * i), max = max_height(list->sb, i == 2);

		need += 2 * (level < max ? level + 1 : max) - 2;
	}
	return need;
}

/* Take one block off the list, a busy one if there is any, and back to the free space. */
static int drop_one(struct list *list)
{
	uint32_t i = 0, agbno;
	int ret;

	while (i < list->count - 1 && !is_busy(list, i))
		i++;
	agbno = entry(list, i);
	set_entry(list, i, entry(list, list->count - 1));
	list->count--;
	save(list);
	ret = xr_rmap_remove(list->tx, list->agno, agbno, 1, XR_OWN_AG, 0, false);
	return ret ? ret : xr_space_free(list->tx, list->agno, agbno, 1);
}

/* Put one free block on the list, if there is any. */
static int add_one(struct list *list, bool *found)
{
	uint32_t agbno;
	int ret = xr_space_take(list->tx, list->agno, 0, &agbno, found);

	if (ret || !*found)
		return ret;
	ret = load(list->tx, list->agno, list); /* it may have lost blocks to the trees meanwhile */
	if (!ret)
		ret = append(list, agbno);
	return ret ? ret : xr_rmap_add(list->tx, list->agno, agbno, 1, XR_OWN_AG, 0, false);
}

/*
 * Each round moves a block between the list with its trees and the free space. What leaves are blocks that are busy or too many, what comes
 * is neither, so both loops end. A list that stays shorter for want of free blocks is legal: whoever needs one more than there are will say so.
 */
int xr_agfl_fix(struct xr_tx *tx, uint32_t agno, bool *complete)
{
	struct list list;
	int ret = load(tx, agno, &list);

	*complete = true;
	while (!ret && list.count > needed(&list)) {
		ret = drop_one(&list);
		if (!ret)
			ret = load(tx, agno, &list);
	}
	while (!ret && *complete && count_usable(&list) < needed(&list)) {
		ret = add_one(&list, complete);
		if (!ret)
			ret = load(tx, agno, &list);
	}
	return ret;
}

int xr_ag_fix_freelist(struct xr_tx *tx, uint32_t agno)
{
	bool complete;

	return xr_agfl_fix(tx, agno, &complete);
}
