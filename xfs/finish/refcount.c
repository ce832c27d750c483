/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reference counts
 *
 * The refcount btree has a record where blocks are shared, two users or more; what it does not mention has one user, or none. A second kind
 * of record, sorted behind all others by the top bit of its start, stands for blocks staged for copy-on-write. The two never meet.
 *
 * A change of a range first splits the records that cross its ends. Then the records beside it take in the stretches at its ends that are about to
 * have their counts; last it goes through what is left of the range, stretch by stretch, records and gaps, each with one count. Inside the
 * range nothing new can be merged: all counts move by the same. The order is the kernel's: it decides how many blocks the tree has.
 */
#include "ag_impl.h"

#include <errno.h>
#include <stdlib.h>

#include "btree.h"
#include "bytes.h"

#define MAX_COUNT UINT32_MAX /* a count that got here stays */

/* One change: the tree of its group, and the range, with XR_REFC_COW in its start where it is about staging. */
struct change {
	struct xr_tx *tx;
	enum xr_section section;
	struct xr_cur *cur;
	uint32_t group;
	uint64_t start, end;
	int by; /* 1, -1; 0 where blocks get staged, whose count is that of a gap */
	int (*freed)(void *arg, uint64_t fsb, uint32_t len);
	void *arg;
};

static int bad(const struct change *c, const char *why)
{
	return xr_fail(xr_tx_msg(c->tx), -EUCLEAN, "%s group %u: the refcounts of blocks %#llx+%llu: %s; run xfs_repair -n",
		       xr_section_name(c->section), c->group, (unsigned long long)c->start,
		       (unsigned long long)(c->end - c->start), why);
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

/*
 * One end of the range: the record that ends, or begins, just outside, len 0: none; and the stretch just inside, which counts as a record of count 1
 * where there is none.
 */
struct end {
	struct xr_rec outer, inner;
};

/* The last record in front of a border that none crosses, len 0: none; and the first one behind, infinitely far away: none. */
static int around(struct change *c, uint64_t at, struct xr_rec *before, struct xr_rec *behind)
{
	bool found;
	int ret = find(c, at, behind, &found);

	*before = (struct xr_rec){.len = 0};
	if (ret)
		return ret;
	if (!found)
		*behind = (struct xr_rec){.start = UINT64_MAX};
	ret = xr_cur_prev(c->cur, &found);
	return ret || !found ? ret : xr_cur_get(c->cur, before, &found);
}

/* Blocks never reach the bit of the staging records: those of the other kind are neither in the range nor next to it. */
static int left_end(struct change *c, struct end *left)
{
	struct xr_rec gap = {.start = c->start, .refcount = 1};
	int ret = around(c, c->start, &left->outer, &left->inner);

	if (ret)
		return ret;
	if (left->outer.start + left->outer.len != c->start)
		left->outer.len = 0;
	gap.len = (left->inner.start < c->end ? left->inner.start : c->end) - c->start;
	if (gap.len)
		left->inner = gap;
	return 0;
}

static int right_end(struct change *c, struct end *right)
{
	struct xr_rec gap = {.refcount = 1};
	int ret = around(c, c->end, &right->inner, &right->outer);

	if (ret)
		return ret;
	if (right->outer.start != c->end)
		right->outer.len = 0;
	gap.start = right->inner.start + right->inner.len;
	if (gap.start < c->start)
		gap.start = c->start;
	gap.len = c->end - gap.start;
	if (gap.len)
		right->inner = gap;
	return 0;
}

/* Whether both will have the same count. */
static bool will_be_one(const struct change *c, const struct end *end)
{
	return end->outer.len && end->inner.refcount != MAX_COUNT && end->outer.refcount == end->inner.refcount + (uint32_t)c->by;
}

/* rec takes the place of the record old; NULL: nothing does. */
static int replace(struct change *c, const struct xr_rec *old, const struct xr_rec *rec)
{
	bool found;
	int ret = xr_cur_lookup(c->cur, XR_EQ, old, &found);

	if (ret)
		return ret;
	if (!found)
		return bad(c, "a record is gone");
	return rec ? xr_cur_update(c->cur, rec) : xr_cur_delete(c->cur);
}

static int remove_inner(struct change *c, const struct end *end)
{
	return end->inner.refcount > 1 ? replace(c, &end->inner, NULL) : 0;
}

/* What becomes part of the records beside the range is done, and leaves the range: perhaps all of it, and then even both of them become one. */
static int merge(struct change *c)
{
	struct end left, right;
	bool with_left, with_right, all;
	struct xr_rec merged;
	int ret = left_end(c, &left);

	if (!ret)
		ret = right_end(c, &right);
	if (ret)
		return ret;
	with_left = will_be_one(c, &left);
	with_right = will_be_one(c, &right);
	all = with_left && with_right && left.inner.start == right.inner.start;
	if (with_left) {
		merged = left.outer;
		merged.len += left.inner.len + (all ? right.outer.len : 0);
		c->start += left.inner.len;
		ret = remove_inner(c, &left);
		if (!ret && all)
			ret = replace(c, &right.outer, NULL);
		if (!ret)
			ret = replace(c, &left.outer, &merged);
	}
	if (ret || !with_right || right.inner.start < c->start)
		return ret;
	merged = right.outer;
	merged.start -= right.inner.len;
	merged.len += right.inner.len;
	c->end -= right.inner.len;
	ret = remove_inner(c, &right);
	return ret ? ret : replace(c, &right.outer, &merged);
}

/* A stretch that no record has: its blocks have one user. */
static int change_single(struct change *c, uint64_t start, uint64_t len)
{
	if (c->by > 0)
		return xr_cur_insert_right(c->cur, &(struct xr_rec){.start = start, .len = len, .refcount = 2});
	return c->freed(c->arg, xr_section_fsb(xr_tx_sb(c->tx), c->section, c->group, (uint32_t)start), (uint32_t)len);
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
	struct xr_rec rec;
	uint64_t end;
	bool found;
	int ret = merge(c);

	while (!ret && c->start < c->end) {
		ret = find(c, c->start, &rec, &found);
		if (ret)
			break;
		if (found && rec.start <= c->start) {
			end = rec.start + rec.len;
			ret = change_shared(c, &rec);
		} else {
			end = found && rec.start < c->end ? rec.start : c->end;
			ret = change_single(c, c->start, end - c->start);
		}
		c->start = end;
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
	ret = merge(c);
	if (ret || c->start == c->end)
		return ret;
	return xr_cur_insert_right(c->cur, &(struct xr_rec){.start = c->start, .len = c->end - c->start, .refcount = 1});
}

static int run(struct change *c, int (*how)(struct change *c))
{
	int ret = split(c, c->start);

	if (!ret)
		ret = split(c, c->end);
	return ret ? ret : how(c);
}

static int change(struct change *c, int (*how)(struct change *c), uint64_t fsb, uint32_t len, uint64_t domain)
{
	uint32_t block;
	int ret;

	if (!xr_tx_sb(c->tx)->has_reflink)
		return xr_fail(xr_tx_msg(c->tx), -EUCLEAN, "a change of refcounts, on a filesystem that has none");
	ret = xr_section_range(c->tx, c->section, fsb, len, "a change of refcounts", &c->group, &block);
	if (ret)
		return ret;
	c->start = block | domain;
	c->end = c->start + len;
	ret = xr_section_cur(&c->cur, c->tx, c->section, XR_REFC, c->group);
	if (!ret)
		ret = run(c, how);
	xr_cur_end(c->cur);
	return ret;
}

int xr_refcount_increase(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len)
{
	struct change c = {.tx = tx, .section = section, .by = 1};

	return change(&c, change_all, fsb, len, 0);
}

int xr_refcount_decrease(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len,
			 int (*freed)(void *arg, uint64_t fsb, uint32_t len), void *arg)
{
	struct change c = {.tx = tx, .section = section, .by = -1, .freed = freed, .arg = arg};

	return change(&c, change_all, fsb, len, 0);
}

int xr_refcount_cow_alloc(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len)
{
	struct change c = {.tx = tx, .section = section, .by = 0};

	return change(&c, stage, fsb, len, XR_REFC_COW);
}

int xr_refcount_cow_free(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len)
{
	struct change c = {.tx = tx, .section = section, .by = -1};

	return change(&c, stage, fsb, len, XR_REFC_COW);
}

/* --- all that is staged --- */

struct staged {
	struct xr_freed *extents;
	size_t n, room;
};

static int collect(struct xr_cur *cur, struct xr_tx *tx, enum xr_section section, uint32_t group, struct staged *staged)
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
		staged->extents[staged->n++] = (struct xr_freed){
			xr_section_fsb(xr_tx_sb(tx), section, group, (uint32_t)rec.start & ~XR_REFC_COW), (uint32_t)rec.len};
		ret = xr_cur_next(cur, &found);
	}
	return ret;
}

int xr_refcount_cow_each(struct xr_tx *tx, enum xr_section section, uint32_t group,
			 int (*fn)(void *arg, uint64_t fsb, uint32_t len), void *arg)
{
	struct staged staged = {.n = 0};
	struct xr_cur *cur;
	int ret;

	if (!xr_tx_sb(tx)->has_reflink)
		return 0;
	ret = xr_section_cur(&cur, tx, section, XR_REFC, group);
	if (!ret)
		ret = collect(cur, tx, section, group, &staged);
	xr_cur_end(cur);
	for (size_t i = 0; i < staged.n && !ret; i++)
		ret = fn(arg, staged.extents[i].fsb, staged.extents[i].count);
	free(staged.extents);
	return ret;
}
