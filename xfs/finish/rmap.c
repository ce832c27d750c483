/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reverse mappings
 *
 * The rmapbt says for every block who uses it and as what. Records of one owner that continue each other, in blocks and, for file data, in
 * offset, are one record; so adding merges and removing trims or splits. Two files that share blocks have overlapping records: those
 * are told apart by owner and offset, and a record's left neighbour of the same owner may have any number of others between.
 * Where nothing is shared, a record that overlaps is damage, and is refused.
 *
 * Conversion between written and unwritten is a removal and an addition, unless it concerns one whole record.
 */
#include "ag_impl.h"

#include <errno.h>

#include "btree.h"
#include "bytes.h"

#define FLAGS (XR_RMAP_ATTR | XR_RMAP_BMBT | XR_RMAP_UNWRITTEN)

/* One change: the tree of its group, and the mapping. */
struct change {
	struct xr_tx *tx;
	enum xr_section section;
	struct xr_cur *cur;
	uint32_t group;
	struct xr_rec rec;
	bool shared;
};

static int bad(const struct change *c, const char *why)
{
	return xr_fail(xr_tx_msg(c->tx), -EUCLEAN,
		       "%s group %u: the rmap of blocks %llu+%llu, owner %lld, offset %#llx, %s; run xfs_repair -n",
		       xr_section_name(c->section), c->group, (unsigned long long)c->rec.start, (unsigned long long)c->rec.len,
		       (long long)c->rec.owner, (unsigned long long)c->rec.offset, why);
}

/* Whether offsets count: only those of file data do. */
static bool has_offset(const struct xr_rec *rec)
{
	return !(rec->owner >> 63) && !(rec->offset & XR_RMAP_BMBT);
}

/* The part of rec that begins skip blocks in. */
static struct xr_rec behind(const struct xr_rec *rec, uint64_t skip)
{
	struct xr_rec rest = *rec;

	rest.start += skip;
	rest.len -= skip;
	if (has_offset(rec))
		rest.offset += skip;
	return rest;
}

/* Whether b goes on where a ends, as one record could: owner and flags the same, and in offset too. */
static bool continues(const struct xr_rec *a, const struct xr_rec *b)
{
	return a->len && b->len && a->start + a->len == b->start && a->owner == b->owner &&
	       (a->offset & FLAGS) == (b->offset & FLAGS) && (!has_offset(a) || a->offset + a->len == b->offset);
}

static int begin(struct change *c, struct xr_tx *tx, enum xr_section section, uint32_t group, uint32_t block, uint32_t len,
		 uint64_t owner, uint64_t offset, bool shared)
{
	*c = (struct change){.tx = tx, .section = section, .group = group, .shared = shared};
	c->rec = (struct xr_rec){.start = block, .len = len, .owner = owner, .offset = offset};
	if (!has_offset(&c->rec))
		c->rec.offset &= FLAGS;
	return xr_section_cur(&c->cur, tx, section, XR_RMAP, group);
}

/* Insert among records of one owner a block, or several. */
static int insert(struct change *c, const struct xr_rec *rec)
{
	return c->shared ? xr_cur_insert(c->cur, rec) : xr_cur_insert_right(c->cur, rec);
}

/* Put rec in the place of the record old, which is there: in place where that keeps the order, as it does where nothing overlaps. */
static int replace(struct change *c, const struct xr_rec *old, const struct xr_rec *rec)
{
	bool found;
	int ret = xr_cur_lookup(c->cur, XR_EQ, old, &found);

	if (!ret && !found)
		ret = bad(c, "is gone");
	if (ret)
		return ret;
	if (rec && (rec->start == old->start || !c->shared))
		return xr_cur_update(c->cur, rec);
	ret = xr_cur_delete(c->cur);
	return ret || !rec ? ret : insert(c, rec);
}

/* --- adding --- */

/* The records beside the new one that it could merge with, len 0: none. Nothing overlaps it. */
static int neighbours(struct change *c, struct xr_rec *left, struct xr_rec *right)
{
	bool found;
	int ret = xr_cur_lookup(c->cur, XR_LE, &c->rec, &found);

	if (!ret && found)
		ret = xr_cur_get(c->cur, left, &found);
	if (!ret && found && left->start + left->len > c->rec.start)
		ret = bad(c, "is in use already");
	if (!ret)
		ret = xr_cur_next(c->cur, &found);
	if (!ret && found)
		ret = xr_cur_get(c->cur, right, &found);
	if (!ret && found && c->rec.start + c->rec.len > right->start)
		ret = bad(c, "is in use already");
	return ret;
}

struct find {
	const struct xr_rec *rec;
	struct xr_rec result;
};

static int ends_where_it_begins(void *arg, const struct xr_rec *rec)
{
	struct find *find = arg;

	if (!continues(rec, find->rec))
		return 0;
	find->result = *rec;
	return 1;
}

/* The same among overlapping records: the left one ends in the block before, the right one is known by its key. */
static int shared_neighbours(struct change *c, struct xr_rec *left, struct xr_rec *right)
{
	struct find find = {.rec = &c->rec};
	struct xr_rec key = behind(&c->rec, c->rec.len);
	bool found;
	int ret = 0;

	if (c->rec.start)
		ret = xr_cur_query(c->cur, c->rec.start - 1, c->rec.start - 1, ends_where_it_begins, &find);
	if (ret < 0)
		return ret;
	*left = find.result;
	ret = xr_cur_lookup(c->cur, XR_EQ, &key, &found);
	if (!ret && found)
		ret = xr_cur_get(c->cur, right, &found);
	return ret;
}

static int add(struct change *c)
{
	struct xr_rec left = {.len = 0}, right = {.len = 0}, merged = c->rec;
	int ret = c->shared ? shared_neighbours(c, &left, &right) : neighbours(c, &left, &right);

	if (ret)
		return ret;
	if (!continues(&c->rec, &right))
		right.len = 0;
	merged.len += right.len;
	if (!continues(&left, &c->rec))
		return right.len ? replace(c, &right, &merged) : insert(c, &merged);
	merged.len += left.len;
	merged.start = left.start;
	merged.offset = left.offset;
	if (right.len)
		ret = replace(c, &right, NULL);
	return ret ? ret : replace(c, &left, &merged);
}

/* --- removing --- */

/* Whether rec covers the mapping whole, as its owner has it: same flags, offsets that go together. */
static bool covers(const struct xr_rec *rec, const struct xr_rec *part)
{
	if (rec->start > part->start || rec->start + rec->len < part->start + part->len || rec->owner != part->owner ||
	    (rec->offset & FLAGS) != (part->offset & FLAGS))
		return false;
	return !has_offset(rec) || part->offset - rec->offset == part->start - rec->start;
}

static int is_covering(void *arg, const struct xr_rec *rec)
{
	struct find *find = arg;

	if (!covers(rec, find->rec))
		return 0;
	find->result = *rec;
	return 1;
}

static int overlaps(void *arg, const struct xr_rec *rec)
{
	struct find *find = arg;

	find->result = *rec;
	return 1;
}

/*
 * The record that the mapping is in. Of an unknown owner, what an EFI means, only the blocks are known: one record has all of them, or
 * none has any (*gone), because a RUI before the EFI took it out.
 */
static int find_record(struct change *c, struct xr_rec *rec, bool *gone)
{
	struct find find = {.rec = &c->rec};
	bool unknown = c->rec.owner == XR_OWN_UNKNOWN, found;
	int ret;

	*gone = false;
	if (c->shared || unknown) {
		ret = xr_cur_query(c->cur, c->rec.start, c->rec.start + c->rec.len - 1, unknown ? overlaps : is_covering, &find);
		if (ret < 0)
			return ret;
		*gone = unknown && !ret;
	} else {
		ret = xr_cur_lookup(c->cur, XR_LE, &c->rec, &found);
		if (!ret && found)
			ret = xr_cur_get(c->cur, &find.result, &found);
		if (ret)
			return ret;
	}
	*rec = find.result;
	if (unknown && !*gone) {
		c->rec.owner = rec->owner;
		c->rec.offset = rec->offset + (has_offset(rec) ? c->rec.start - rec->start : 0);
	}
	return *gone || covers(rec, &c->rec) ? 0 : bad(c, "is not there as a whole");
}

static int take_out(struct change *c)
{
	struct xr_rec old, head, tail;
	bool gone;
	int ret = find_record(c, &old, &gone);

	if (ret || gone)
		return ret;
	head = old;
	head.len = c->rec.start - old.start;
	tail = behind(&old, head.len + c->rec.len);
	ret = replace(c, &old, head.len ? &head : tail.len ? &tail : NULL);
	return !ret && head.len && tail.len ? insert(c, &tail) : ret;
}

/* The record changes in place, unless it is split, or meets others that are as it will be. */
static int convert(struct change *c)
{
	struct xr_rec fresh = c->rec, left = {.len = 0}, right = {.len = 0}, old;
	bool gone;
	int ret = shared_neighbours(c, &left, &right);

	c->rec.offset ^= XR_RMAP_UNWRITTEN;
	if (!ret)
		ret = find_record(c, &old, &gone);
	if (ret)
		return ret;
	if (old.len == fresh.len && !continues(&left, &fresh) && !continues(&fresh, &right))
		return replace(c, &old, &fresh);
	ret = take_out(c);
	c->rec = fresh;
	return ret ? ret : add(c);
}

/* --- what others call --- */

static int change(int (*how)(struct change *c), struct xr_tx *tx, enum xr_section section, uint32_t group, uint32_t block,
		  uint32_t len, uint64_t owner, uint64_t offset, bool shared)
{
	struct change c;
	int ret;

	if (!xr_tx_sb(tx)->has_rmapbt)
		return 0;
	ret = begin(&c, tx, section, group, block, len, owner, offset, shared);
	if (!ret)
		ret = how(&c);
	xr_cur_end(c.cur);
	return ret;
}

int xr_rmap_add(struct xr_tx *tx, uint32_t agno, uint32_t agbno, uint32_t len, uint64_t owner, uint64_t offset, bool shared)
{
	return change(add, tx, XR_DATA, agno, agbno, len, owner, offset, shared);
}

int xr_rmap_remove(struct xr_tx *tx, uint32_t agno, uint32_t agbno, uint32_t len, uint64_t owner, uint64_t offset, bool shared)
{
	return change(take_out, tx, XR_DATA, agno, agbno, len, owner, offset, shared);
}

/* As above, in either section, and with the free list in order. */
static int change_fsb(int (*how)(struct change *c), struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len,
		      uint64_t owner, uint64_t offset, bool shared)
{
	uint32_t group, block;
	int ret;

	if (!xr_tx_sb(tx)->has_rmapbt)
		return 0;
	ret = xr_section_range(tx, section, fsb, len, "a reverse mapping", &group, &block);
	if (!ret && section == XR_DATA)
		ret = xr_ag_fix_freelist(tx, group);
	return ret ? ret : change(how, tx, section, group, block, len, owner, offset, shared);
}

int xr_rmap_map(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len, uint64_t owner, uint64_t offset,
		bool shared)
{
	return change_fsb(add, tx, section, fsb, len, owner, offset, shared);
}

int xr_rmap_unmap(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len, uint64_t owner, uint64_t offset,
		  bool shared)
{
	return change_fsb(take_out, tx, section, fsb, len, owner, offset, shared);
}

int xr_rmap_convert(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len, uint64_t owner, uint64_t offset,
		    bool shared)
{
	return change_fsb(convert, tx, section, fsb, len, owner, offset, shared);
}
