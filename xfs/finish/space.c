/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Free space
 *
 * The free extents of an AG are in two btrees, by block and by size, which always hold the same; the AGF has their sum and the longest.
 * Freeing merges with both neighbours. Allocation is of single blocks, for metadata: the first one at or behind where it is wanted, going
 * round at the AG's end; blocks of metadata that this transaction freed are passed over. The last blocks of an AG are for its free list. Data is never allocated here.
 *
 * Cost: a handful of look-ups; an allocation also passes the extents that are entirely busy.
 */
#include "space.h"

#include <errno.h>

#include "ag_impl.h"
#include "btree.h"
#include "bytes.h"
#include "format.h"

#define AGF(field) offsetof(struct xfs_agf, agf_##field)

/* Both trees of an AG, and its header. */
struct space {
	struct xr_tx *tx;
	uint32_t agno;
	struct xr_tx_buf *agf;
	struct xr_cur *bno, *cnt;
};

static int bad(const struct space *space, const char *why, uint32_t start, uint32_t len)
{
	return xr_fail(xr_tx_msg(space->tx), -EUCLEAN, "allocation group %u: blocks %u+%u %s; run xfs_repair -n", space->agno,
		       start, len, why);
}

static void space_end(struct space *space)
{
	xr_cur_end(space->bno);
	xr_cur_end(space->cnt);
}

static int space_begin(struct space *space, struct xr_tx *tx, uint32_t agno)
{
	int ret;

	*space = (struct space){.tx = tx, .agno = agno};
	ret = xr_ag_header(tx, agno, XR_AGF, &space->agf);
	if (!ret)
		ret = xr_cur_ag(&space->bno, tx, XR_BNO, agno);
	if (!ret)
		ret = xr_cur_ag(&space->cnt, tx, XR_CNT, agno);
	if (ret)
		space_end(space);
	return ret;
}

/* The free blocks changed by that many, and perhaps the longest extent: the last in the tree by size. */
static int count(struct space *space, int64_t by)
{
	const struct xr_rec last = {.start = UINT32_MAX, .len = UINT32_MAX};
	uint8_t *agf = space->agf->data;
	int64_t freeblks = xr_be32(agf + AGF(freeblks)) + by;
	struct xr_rec rec = {.len = 0};
	bool found;
	int ret;

	if (freeblks < 0 || freeblks > xr_ag_blocks(xr_tx_sb(space->tx), space->agno))
		return xr_fail(xr_tx_msg(space->tx), -EUCLEAN,
			       "allocation group %u: its number of free blocks cannot be right; run xfs_repair -n", space->agno);
	ret = xr_cur_lookup(space->cnt, XR_LE, &last, &found);
	if (!ret && found)
		ret = xr_cur_get(space->cnt, &rec, &found);
	if (ret)
		return ret;
	xr_put_be32(agf + AGF(freeblks), (uint32_t)freeblks);
	xr_put_be32(agf + AGF(longest), (uint32_t)rec.len);
	xr_tx_log(space->tx, space->agf, AGF(freeblks), 8);
	return 0;
}

static int cnt_delete(struct space *space, const struct xr_rec *rec)
{
	bool found;
	int ret = xr_cur_lookup(space->cnt, XR_EQ, rec, &found);

	if (ret)
		return ret;
	if (!found)
		return bad(space, "are free in one btree and not in the other", (uint32_t)rec->start, (uint32_t)rec->len);
	return xr_cur_delete(space->cnt);
}

/* --- freeing --- */

/* The free extents around start; len 0: there is none on that side. The cursor is at the right one. */
static int neighbours(struct space *space, uint32_t start, struct xr_rec *left, struct xr_rec *right)
{
	bool found;
	int ret = xr_cur_lookup(space->bno, XR_LE, &(struct xr_rec){.start = start}, &found);

	*left = *right = (struct xr_rec){.len = 0};
	if (!ret && found)
		ret = xr_cur_get(space->bno, left, &found);
	if (!ret)
		ret = xr_cur_next(space->bno, &found);
	if (!ret && found)
		ret = xr_cur_get(space->bno, right, &found);
	return ret;
}

/* Put the merged extent into the tree by block: in the place of the left one, of the right one, or between them. */
static int bno_merge(struct space *space, const struct xr_rec *left, const struct xr_rec *right, const struct xr_rec *merged)
{
	bool found;
	int ret = 0;

	if (!left->len && !right->len)
		return xr_cur_insert_right(space->bno, merged);
	if (left->len) {
		if (right->len)
			ret = xr_cur_delete(space->bno);
		if (!ret)
			ret = xr_cur_lookup(space->bno, XR_EQ, left, &found);
		if (ret)
			return ret;
	}
	return xr_cur_update(space->bno, merged);
}

static int free_within(struct space *space, uint32_t start, uint32_t len)
{
	struct xr_rec left, right, merged = {.start = start, .len = len};
	int ret = neighbours(space, start, &left, &right);

	if (ret)
		return ret;
	if ((left.len && left.start + left.len > start) || (right.len && right.start < (uint64_t)start + len))
		return bad(space, "are to be freed, but some of them are free", start, len);
	if (left.len && left.start + left.len < start)
		left.len = 0;
	if (right.len && right.start > (uint64_t)start + len)
		right.len = 0;
	if (left.len)
		merged.start = left.start;
	merged.len += left.len + right.len;
	ret = bno_merge(space, &left, &right, &merged);
	if (!ret && left.len)
		ret = cnt_delete(space, &left);
	if (!ret && right.len)
		ret = cnt_delete(space, &right);
	if (!ret)
		ret = xr_cur_insert(space->cnt, &merged);
	return ret ? ret : count(space, len);
}

int xr_space_free(struct xr_tx *tx, uint32_t agno, uint32_t start, uint32_t len)
{
	struct space space;
	int ret = space_begin(&space, tx, agno);

	if (ret)
		return ret;
	ret = free_within(&space, start, len);
	space_end(&space);
	return ret;
}

int xr_free_extent(struct xr_tx *tx, uint64_t fsb, uint32_t len, uint64_t owner, uint64_t offset)
{
	uint32_t agno, agbno;
	int ret = xr_ag_range(tx, fsb, len, "an extent to be freed", &agno, &agbno);

	if (!ret)
		ret = xr_ag_fix_freelist(tx, agno);
	if (!ret && owner != XR_OWN_NULL)
		ret = xr_rmap_remove(tx, agno, agbno, len, owner, offset, false);
	return ret ? ret : xr_space_free(tx, agno, agbno, len);
}

/* --- allocation --- */

/* The bno cursor is at extent: take one block out of it. */
static int carve(struct space *space, const struct xr_rec *extent, uint32_t block)
{
	struct xr_rec head = {.start = extent->start, .len = block - extent->start};
	struct xr_rec tail = {.start = block + 1u, .len = extent->start + extent->len - block - 1};
	int ret;

	if (!head.len && !tail.len)
		ret = xr_cur_delete(space->bno);
	else
		ret = xr_cur_update(space->bno, head.len ? &head : &tail);
	if (!ret && head.len && tail.len)
		ret = xr_cur_insert(space->bno, &tail);
	if (!ret)
		ret = cnt_delete(space, extent);
	if (!ret && head.len)
		ret = xr_cur_insert(space->cnt, &head);
	if (!ret && tail.len)
		ret = xr_cur_insert(space->cnt, &tail);
	return ret ? ret : count(space, -1);
}

/* The first block of [from, to) that is free and not busy. The bno cursor is then at the extent it is in. */
static int search(struct space *space, uint32_t from, uint32_t to, struct xr_rec *extent, uint32_t *block, bool *found)
{
	const struct xr_sb *sb = xr_tx_sb(space->tx);
	int ret = xr_cur_lookup(space->bno, XR_LE, &(struct xr_rec){.start = from}, found);

	if (!ret && !*found)
		ret = xr_cur_next(space->bno, found);
	while (!ret && *found) {
		uint64_t first, idle, end;

		ret = xr_cur_get(space->bno, extent, found);
		if (ret || !*found || extent->start >= to)
			break;
		first = extent->start < from ? from : extent->start;
		end = extent->start + extent->len < to ? extent->start + extent->len : to;
		if (first < end &&
		    xr_tx_idle(space->tx, xr_ag_fsb(sb, space->agno, (uint32_t)first), (uint32_t)(end - first), &idle)) {
			*block = (uint32_t)(idle - xr_ag_fsb(sb, space->agno, 0));
			return 0;
		}
		ret = xr_cur_next(space->bno, found);
	}
	*found = false;
	return ret;
}

int xr_space_take(struct xr_tx *tx, uint32_t agno, uint32_t near, uint32_t *agbno, bool *found)
{
	struct xr_rec extent;
	struct space space;
	int ret = space_begin(&space, tx, agno);

	if (ret)
		return ret;
	ret = search(&space, near, UINT32_MAX, &extent, agbno, found);
	if (!ret && !*found)
		ret = search(&space, 0, near, &extent, agbno, found);
	if (!ret && *found)
		ret = carve(&space, &extent, *agbno);
	space_end(&space);
	return ret;
}

static int alloc_in(struct xr_tx *tx, uint32_t agno, uint32_t near, uint64_t owner, uint64_t offset, uint32_t *agbno, bool *found)
{
	int ret = xr_agfl_fix(tx, agno, found);

	if (!ret && *found)
		ret = xr_space_take(tx, agno, near, agbno, found);
	if (!ret && *found)
		ret = xr_rmap_add(tx, agno, *agbno, 1, owner, offset, false);
	return ret;
}

int xr_alloc_block_in(struct xr_tx *tx, uint32_t agno, uint32_t near, uint64_t owner, uint64_t offset, uint32_t *agbno)
{
	bool found;
	int ret = alloc_in(tx, agno, near, owner, offset, agbno, &found);

	if (ret || found)
		return ret;
	return xr_fail(xr_tx_msg(tx), -ENOSPC, "allocation group %u: no block is free for its btrees", agno);
}

int xr_alloc_block(struct xr_tx *tx, uint64_t near_fsb, uint64_t owner, uint64_t offset, uint64_t *fsb)
{
	const struct xr_sb *sb = xr_tx_sb(tx);
	uint32_t first = near_fsb >> sb->agblklog < sb->agcount ? (uint32_t)(near_fsb >> sb->agblklog) : 0, agbno = 0;
	uint32_t near = (uint32_t)(near_fsb & ((UINT64_C(1) << sb->agblklog) - 1));

	for (uint32_t i = 0; i < sb->agcount; i++) {
		uint32_t agno = (first + i) % sb->agcount;
		bool found;
		int ret = alloc_in(tx, agno, i ? 0 : near, owner, offset, &agbno, &found);

		if (ret)
			return ret;
		*fsb = xr_ag_fsb(sb, agno, agbno);
		if (found)
			return 0;
	}
	return xr_fail(xr_tx_msg(tx), -ENOSPC, "no block is free for the filesystem's metadata");
}
