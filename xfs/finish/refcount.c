/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reference counts
 *
 * The refcount btree has a record where blocks are shared, two users or more; what it does not mention has one user, or none. A second kind
 * of record, sorted behind all others by the top bit of its start, stands for blocks staged for copy-on-write. The two never meet.
 *
 * A change of a range first splits the records that cross its ends, then goes through the stretches in it, records and gaps, each
 * with one count, and in the end merges at both ends. Inside the range nothing new can be merged: all counts moved by the same.
 */
#include "ag_impl.h"

#include <errno.h>
#include <stdlib.h>

#include "btree.h"
#include "bytes.h"

#define MAX_COUNT UINT32_MAX /* a count that got here stays */

/* One change: the tree of its AG, and the range, with XR_REFC_COW in its start where it is about staging. */
struct change {
	struct xr_tx *tx;
	struct xr_cur *cur;
	uint32_t agno;
	uint64_t start, end;
	int by; /* 1, -1 */
	int (*freed)(void *arg, uint64_t fsb, uint32_t len);
	void *arg;
};

static int bad(const struct change *c, const char *why)
{
	return xr_fail(xr_tx_msg(c->tx), -EUCLEAN,
		       "allocation group %u: the refcounts of blocks %#llx+%llu: %s; run xfs_repair -n", c->agno,
		       (unsigned long long)c->start, (unsigned long long)(c->end - c->start), why);
}

/* The record that has block start, or the first behind it; found: there is one. The cursor is at it. */
static int find(struct change *c, uint64_t start, struct xr_rec *rec, bool *found)
{
	int ret = xr_cur_lookup(c->cur, XR_LE, &(struct xr_rec){.start = start}, found);

	if (!ret && *found)
		ret = xr_cur_get(c->cur, rec, found);
	if (ret || (*found && rec->start + rec->len > start))
		return ret;
	ret = xr_cur_next(c->cur, found);
	return ret || !*found ? ret : xr_cur_get(c->cur, rec, found);
}

/* Let no record cross the border in front of block at. */
static int split(struct change *c, uint64_t at)
{
	struct xr_rec rec, head;
	bool found;
	int ret = find(c, at, &rec, &found);

	if (ret || !found || rec.start >= at)
		return ret;
	head = rec;
	head.len = at - rec.start;
	rec.start = at;
	rec.len -= head.len;
	ret = xr_cur_update(c->cur, &rec);
	return ret ? ret : xr_cur_insert_right(c->cur, &head);
}

/* Let no two records meet at that border that could be one. Blocks never reach the bit of the staging records, so those stay apart. */
static int merge(struct change *c, uint64_t at)
{
	struct xr_rec left, right;
	bool found;
	int ret = find(c, at, &right, &found);

	if (ret || !found || right.start != at)
		return ret;
	ret = xr_cur_prev(c->cur, &found);
	if (!ret && found)
		ret = xr_cur_get(c->cur, &left, &found);
	if (ret || !found || left.start + left.len != at || left.refcount != right.refcount)
		return ret;
	left.len += right.len;
	ret = xr_cur_update(c->cur, &left);
	if (!ret)
		ret = xr_cur_next(c->cur, &found);
	return ret ? ret : xr_cur_delete(c->cur);
}

/*
 * Add a record, as a part of those beside it where that is possible at once: of those outside the range, that is, since the ones in it
 * may be about to change.
 */
static int put(struct change *c, const struct xr_rec *rec)
{
	struct xr_rec merged = *rec, left = {.len = 0}, right = {.len = 0};
	bool found, has_left, has_right;
	int ret = xr_cur_lookup(c->cur, XR_LE, rec, &found);

	if (!ret && found)
		ret = xr_cur_get(c->cur, &left, &found);
	if (!ret)
		ret = xr_cur_next(c->cur, &found);
	if (!ret && found)
		ret = xr_cur_get(c->cur, &right, &found);
	if (ret)
		return ret;
	has_left = left.len && left.start + left.len == c->start && rec->start == c->start && left.refcount == rec->refcount;
	has_right = right.len && right.start == c->end && rec->start + rec->len == c->end && right.refcount == rec->refcount;
	if (!has_left && !has_right)
		return xr_cur_insert_right(c->cur, rec);
	merged.len += has_right ? right.len : 0;
	if (!has_left)
		return xr_cur_update(c->cur, &merged);
	merged.start = left.start;
	merged.len += left.len;
	if (has_right)
		ret = xr_cur_delete(c->cur);
	if (!ret)
		ret = xr_cur_lookup(c->cur, XR_EQ, &left, &found);
	return ret ? ret : xr_cur_update(c->cur, &merged);
}

/* A stretch that no record has: its blocks have one user. */
static int change_single(struct change *c, uint64_t start, uint64_t len)
{
	if (c->by > 0)
		return put(c, &(struct xr_rec){.start = start, .len = len, .refcount = 2});
	return c->freed(c->arg, xr_ag_fsb(xr_tx_sb(c->tx), c->agno, (uint32_t)start), (uint32_t)len);
}

/* The record at the cursor. */
static int change_shared(struct change *c, struct xr_rec *rec)
{
	if (rec->refcount == MAX_COUNT)
		return 0;
	rec->refcount += (uint32_t)c->by;
	return rec->refcount > 1 ? xr_cur_update(c->cur, rec) : xr_cur_delete(c->cur);
}

/* Every stretch is a block at least: the loop ends with the range. */
static int change_all(struct change *c)
{
	uint64_t at = c->start, end;
	struct xr_rec rec;
	bool found;
	int ret = 0;

	while (!ret && at < c->end) {
		ret = find(c, at, &rec, &found);
		if (ret)
			break;
		if (found && rec.start <= at) {
			end = rec.start + rec.len;
			ret = change_shared(c, &rec);
		} else {
			end = found && rec.start < c->end ? rec.start : c->end;
			ret = change_single(c, at, end - at);
		}
		at = end;
	}
	return ret;
}

static int stage(struct change *c)
{
	struct xr_rec rec;
	bool found;
	int ret = find(c, c->start, &rec, &found);

	if (ret)
		return ret;
	if (c->by < 0) {
		if (!found || rec.start != c->start || rec.start + rec.len != c->end)
			return bad(c, "not staged for copy-on-write as one extent");
		return xr_cur_delete(c->cur);
	}
	if (found && rec.start < c->end)
		return bad(c, "staged for copy-on-write already");
	return put(c, &(struct xr_rec){.start = c->start, .len = c->end - c->start, .refcount = 1});
}

static int run(struct change *c, int (*how)(struct change *c))
{
	int ret = split(c, c->start);

	if (!ret)
		ret = split(c, c->end);
	if (!ret)
		ret = how(c);
	if (!ret)
		ret = merge(c, c->start);
	return ret ? ret : merge(c, c->end);
}

static int change(struct change *c, int (*how)(struct change *c), uint64_t fsb, uint32_t len, uint64_t domain)
{
	uint32_t agbno;
	int ret;

	if (!xr_tx_sb(c->tx)->has_reflink)
		return xr_fail(xr_tx_msg(c->tx), -EUCLEAN, "a change of refcounts, on a filesystem that has none");
	ret = xr_ag_range(c->tx, fsb, len, "a change of refcounts", &c->agno, &agbno);
	if (ret)
		return ret;
	c->start = agbno | domain;
	c->end = c->start + len;
	ret = xr_cur_ag(&c->cur, c->tx, XR_REFC, c->agno);
	if (!ret)
		ret = run(c, how);
	xr_cur_end(c->cur);
	return ret;
}

int xr_refcount_increase(struct xr_tx *tx, uint64_t fsb, uint32_t len)
{
	struct change c = {.tx = tx, .by = 1};

	return change(&c, change_all, fsb, len, 0);
}

int xr_refcount_decrease(struct xr_tx *tx, uint64_t fsb, uint32_t len, int (*freed)(void *arg, uint64_t fsb, uint32_t len),
			 void *arg)
{
	struct change c = {.tx = tx, .by = -1, .freed = freed, .arg = arg};

	return change(&c, change_all, fsb, len, 0);
}

int xr_refcount_cow_alloc(struct xr_tx *tx, uint64_t fsb, uint32_t len)
{
	struct change c = {.tx = tx, .by = 1};

	return change(&c, stage, fsb, len, XR_REFC_COW);
}

int xr_refcount_cow_free(struct xr_tx *tx, uint64_t fsb, uint32_t len)
{
	struct change c = {.tx = tx, .by = -1};

	return change(&c, stage, fsb, len, XR_REFC_COW);
}

/* --- all that is staged --- */

struct staged {
	struct xr_freed *extents;
	size_t n, room;
};

static int collect(struct xr_cur *cur, struct xr_tx *tx, uint32_t agno, struct staged *staged)
{
	struct xr_rec rec;
	bool found;
	int ret = xr_cur_lookup(cur, XR_GE, &(struct xr_rec){.start = XR_REFC_COW}, &found);

	while (!ret && found) {
		ret = xr_cur_get(cur, &rec, &found);
		if (ret || !found)
			break;
		if (staged->n == staged->room) {
			size_t room = staged->room ? 2 * staged->room : 64;
			struct xr_freed *larger = realloc(staged->extents, room * sizeof(*larger));

			if (!larger)
				return xr_fail(xr_tx_msg(tx), -ENOMEM, "no memory for %zu copy-on-write extents", room);
			staged->extents = larger;
			staged->room = room;
		}
		staged->extents[staged->n++] =
			(struct xr_freed){xr_ag_fsb(xr_tx_sb(tx), agno, (uint32_t)rec.start & ~XR_REFC_COW), (uint32_t)rec.len};
		ret = xr_cur_next(cur, &found);
	}
	return ret;
}

int xr_refcount_cow_each(struct xr_tx *tx, uint32_t agno, int (*fn)(void *arg, uint64_t fsb, uint32_t len), void *arg)
{
	struct staged staged = {.n = 0};
	struct xr_cur *cur;
	int ret;

	if (!xr_tx_sb(tx)->has_reflink)
		return 0;
	ret = xr_cur_ag(&cur, tx, XR_REFC, agno);
	if (!ret)
		ret = collect(cur, tx, agno, &staged);
	xr_cur_end(cur);
	for (size_t i = 0; i < staged.n && !ret; i++)
		ret = fn(arg, staged.extents[i].fsb, staged.extents[i].count);
	free(staged.extents);
	return ret;
}
