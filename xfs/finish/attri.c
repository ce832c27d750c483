/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Attribute intents (ATTRI; specification 9.5 and 11.3)
 *
 * One intent says all: which attribute of which inode is to be set, replaced or removed, with name and value. The kernel gets there in many
 * steps, any of which may have been the last: the old attribute may still be there, or half gone, and the new one half made and marked as
 * incomplete. None of that matters: what is there under the names is taken out, whole or not, and what the intent sets is put in.
 *
 * Parent pointers are attributes whose name and value belong together: a file may have links of one name in two directories.
 */
#include "attrlist.h"

#include <errno.h>
#include <time.h>

#include "bytes.h"
#include "chain.h"
#include "format.h"
#include "inode.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define SPACES (XFS_ATTR_ROOT | XFS_ATTR_SECURE | XR_ATTR_PARENT)
#define TYPE_MASK 0xffu

/* How the kernel goes about a fork: in the inode; one block and nothing else; all else. */
enum form { SHORT, LEAF, NODE };

struct attri {
	struct xr_work *work;
	const struct xr_intent *intent;
	uint64_t ino;
	uint32_t op, gen;
	struct xr_attr_spec old, set; /* namelen 0: none */
	struct xr_chain chain;
};

static int bad(const struct attri *a, const char *what)
{
	return xr_fail(a->work->replay->msg, -EUCLEAN, "ATTRI intent at LSN %u:%u: %s", xr_lsn_cycle(a->intent->lsn),
		       xr_lsn_block(a->intent->lsn), what);
}

static bool is_pptr(uint32_t op)
{
	return op >= XR_ATTRI_PPTR_SET;
}

/* The next region holds len bytes, padded. No region stands for none. */
static const uint8_t *take(const struct attri *a, uint16_t *region, uint32_t len)
{
	const struct xr_region *r = &a->intent->regions[*region];

	if (!len || *region >= a->intent->count || r->size < len || r->size > ((len + 3) & ~3u))
		return NULL;
	++*region;
	return r->data;
}

static int check_feature(const struct attri *a)
{
	const struct xr_sb *sb = xr_tx_sb(a->work->tx);

	if (!sb->v5)
		return bad(a, "a filesystem of version 4 has no such intents");
	if (is_pptr(a->op) && !(sb->incompat & XFS_SB_FEAT_INCOMPAT_PARENT))
		return bad(a, "this filesystem has no parent pointers");
	if (!is_pptr(a->op) && !(sb->log_incompat & XFS_SB_FEAT_INCOMPAT_LOG_XATTRS))
		return bad(a, "this filesystem does not log attributes");
	return 0;
}

static int parse(struct attri *a)
{
	struct xr_order order = a->work->replay->log->order;
	const uint8_t *p = a->intent->regions[0].data;
	uint32_t filter = xr_get32(order, p + 36), valuelen = xr_get32(order, p + 32), flags = xr_get32(order, p + 24);
	uint8_t space = filter & SPACES;
	uint16_t region = 1;
	int ret;

	a->op = flags & TYPE_MASK;
	a->gen = xr_get32(order, p + 4);
	a->ino = xr_get64(order, p + 16);
	if (flags & ~TYPE_MASK || !a->op || a->op > XR_ATTRI_PPTR_REPLACE)
		return bad(a, "unknown change of an attribute");
	ret = check_feature(a);
	if (ret)
		return ret;
	if (filter & ~(uint32_t)(SPACES | XFS_ATTR_INCOMPLETE) || (space & (space - 1)) ||
	    is_pptr(a->op) != (space == XR_ATTR_PARENT))
		return bad(a, "an impossible namespace");
	if (is_pptr(a->op) ? valuelen != XR_PARENT_REC : valuelen > XFS_XATTR_SIZE_MAX || (a->op == XR_ATTRI_REMOVE && valuelen))
		return bad(a, "an impossible length of the value");
	a->old = (struct xr_attr_spec){.space = space, .namelen = xr_get32(order, p + 28), .valuelen = valuelen};
	a->set = a->old;
	if (a->op == XR_ATTRI_PPTR_REPLACE) {
		a->old.namelen = xr_get16(order, p + 28);
		a->set.namelen = xr_get16(order, p + 30);
	}
	if (!a->old.namelen || a->old.namelen > 255 || !a->set.namelen || a->set.namelen > 255)
		return bad(a, "an impossible length of the name");
	a->old.name = take(a, &region, a->old.namelen);
	a->set.name = a->op == XR_ATTRI_PPTR_REPLACE ? take(a, &region, a->set.namelen) : a->old.name;
	a->old.value = take(a, &region, valuelen);
	a->set.value = a->op == XR_ATTRI_PPTR_REPLACE ? take(a, &region, valuelen) : a->old.value;
	if (!a->old.name || !a->set.name || (valuelen && (!a->old.value || !a->set.value)) || region != a->intent->count)
		return bad(a, "its regions are not what it says");
	return 0;
}

static bool removes(const struct attri *a)
{
	return a->op == XR_ATTRI_REMOVE || a->op == XR_ATTRI_PPTR_REMOVE;
}

/* --- what the kernel counts --- */

static enum form form_of(const struct xr_attr_list *list)
{
	const uint8_t *raw = list->inode->raw;

	if (!raw[DI(forkoff)] || raw[DI(aformat)] == XFS_DINODE_FMT_LOCAL || !list->nleaves)
		return SHORT;
	for (size_t i = 0; i < list->n; i++)
		if (!(list->items[i]->flags & XFS_ATTR_LOCAL) && list->items[i]->valueblk)
			return NODE;
	return list->nleaves > 1 ? NODE : LEAF;
}

static bool has_attributes(const struct xr_tx_inode *inode)
{
	return inode->raw[DI(forkoff)] && (inode->raw[DI(aformat)] != XFS_DINODE_FMT_EXTENTS || xr_inode_nextents(inode, true));
}

/* In how many pieces a value is mapped. */
static int pieces(struct xr_attr_list *list, struct xr_attr_range range, uint32_t *n)
{
	uint64_t at = range.block, end = at + range.count;
	struct xr_mapping m;
	int ret = 0;

	while (at < end && !(ret = xr_bmap_lookup_in(list->work->tx, list->inode, true, at, end, &m))) {
		at = m.offset + m.count;
		++*n;
	}
	return ret == -ENOENT ? 0 : ret;
}

/* A list of n items in as many leaves lost what was to be removed, if that was there: the form that is left. */
static int count_removal(struct attri *a, struct xr_attr_list *list, size_t n, size_t leaves, enum form *form)
{
	const struct xr_sb *sb = xr_tx_sb(a->work->tx);
	bool found = list->n < n, shrinks;
	uint32_t values = 0;
	enum form was = *form;
	size_t freed;
	int ret = 0;

	*form = found ? form_of(list) : was;
	shrinks = was != SHORT && *form != NODE && found && (*form == SHORT || xr_attr_list_short(list));
	if (shrinks)
		*form = SHORT;
	if (was == SHORT || !found) {
		xr_chain_step(&a->chain, found);
		return 0;
	}
	if (was == NODE)
		xr_chain_step(&a->chain, false); /* the attribute is marked as incomplete */
	for (size_t i = 0; i < list->nvalues && !ret; i++)
		ret = pieces(list, list->values[i], &values);
	for (uint32_t i = 0; i < values; i++) {
		xr_chain_step(&a->chain, true);
		xr_chain_freed(&a->chain, sb, 1);
	}
	/* A leaf that went, the root above the last one that stayed, and that. */
	freed = leaves > 1 && leaves > list->nleaves ? leaves - list->nleaves + (list->nleaves == 1) : 0;
	freed += shrinks;
	xr_chain_step(&a->chain, freed);
	xr_chain_freed(&a->chain, sb, freed);
	return ret;
}

/* What was to be set was added to a list of so many leaves, which is in the fork now; valueblk: where the value is, 0: with the name. */
static int count_addition(struct attri *a, struct xr_attr_list *list, enum form form, size_t leaves, uint32_t valueblk)
{
	const struct xr_sb *sb = xr_tx_sb(a->work->tx);
	uint32_t values = 0;
	bool splits = list->nleaves > 1 && list->nleaves > leaves;
	int ret = 0;

	if (list->inode->raw[DI(aformat)] == XFS_DINODE_FMT_LOCAL) {
		xr_chain_step(&a->chain, true);
		return 0;
	}
	if (form == SHORT) { /* becomes a leaf */
		xr_chain_step(&a->chain, true);
		xr_chain_mapped(&a->chain, sb);
	}
	if (splits && leaves < 2) { /* the leaf gets a root above it */
		xr_chain_step(&a->chain, true);
		xr_chain_mapped(&a->chain, sb);
	}
	xr_chain_step(&a->chain, splits);
	if (splits)
		xr_chain_mapped(&a->chain, sb);
	if (valueblk)
		ret = pieces(list, (struct xr_attr_range){valueblk, xr_attr_value_blocks(sb, a->set.valuelen)}, &values);
	for (uint32_t i = 0; i < values; i++) {
		xr_chain_step(&a->chain, true);
		xr_chain_mapped(&a->chain, sb);
	}
	return ret;
}

/* --- the change --- */

static int change(struct attri *a, struct xr_attr_list *list)
{
	const struct xr_attr_spec *set = &a->set;
	enum form form = form_of(list);
	size_t n = list->n, leaves = list->nleaves;
	uint32_t valueblk = 0;
	int ret = xr_attr_list_remove(list, &a->old);

	if (!ret && has_attributes(list->inode))
		ret = count_removal(a, list, n, leaves, &form);
	if (ret || removes(a))
		return ret ? ret : xr_attr_list_store(list);
	ret = xr_attr_list_remove(list, set);
	if (!ret && !xr_attr_is_local(xr_tx_sb(a->work->tx), set))
		ret = xr_attr_value_store(list, set->value, set->valuelen, &valueblk);
	leaves = list->nleaves;
	if (!ret)
		ret = xr_attr_list_add(list, set, valueblk);
	if (!ret)
		ret = xr_attr_list_store(list);
	return ret ? ret : count_addition(a, list, form, leaves, valueblk);
}

/* The kernel's recovery renews it where, and only where, what is set fits into the inode. */
static void renew_ctime(struct attri *a, struct xr_tx_inode *inode)
{
	struct timespec now;

	if (removes(a) || inode->raw[DI(aformat)] != XFS_DINODE_FMT_LOCAL || clock_gettime(CLOCK_REALTIME, &now))
		return;
	xr_inode_put_time(inode->raw + DI(ctime), xr_be64(inode->raw + DI(flags2)) & XFS_DIFLAG2_BIGTIME, now.tv_sec,
			  (uint32_t)now.tv_nsec);
	xr_tx_inode_log(a->work->tx, inode);
}

static int apply(struct attri *a, struct xr_tx_inode *inode)
{
	struct xr_owners owners = xr_inode_owners(inode->raw);
	uint64_t blocks = xr_inode_nblocks(inode);
	struct xr_attr_list list;
	int ret = xr_attr_list_load(&list, a->work, inode);

	if (!ret)
		ret = change(a, &list);
	xr_attr_list_end(&list);
	if (!ret) {
		renew_ctime(a, inode);
		xr_chain_count(&a->chain, a->work->tx, inode);
	}
	return ret ? ret : xr_quota_charge(a->work, owners, xr_inode_nblocks(inode) - blocks, 0, 0);
}

int xr_work_attri(struct xr_work *work, const struct xr_intent *intent)
{
	struct attri a = {.work = work, .intent = intent};
	struct xr_tx_inode inode;
	int ret = parse(&a);

	if (!ret)
		ret = xr_tx_inode(work->tx, a.ino, &inode);
	if (ret)
		return ret;
	if (!xr_be16(inode.raw + DI(mode)) || (is_pptr(a.op) && xr_be32(inode.raw + DI(gen)) != a.gen))
		return bad(&a, "its inode is free, or another one now");
	ret = apply(&a, &inode);
	return ret ? ret : xr_tx_done(work->tx, XFS_LI_ATTRD, intent->id, NULL, 0);
}
