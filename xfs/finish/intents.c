/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pending intents (specification 11.3)
 *
 * Each intent says one thing that was to be done to one structure, and each has companions of its own for the others: freeing file data is an
 * unmap (BUI), a reverse mapping to remove (RUI), a reference count to drop (CUI) and blocks to free (EFI). So each is done literally, in log
 * order, and only what its kind always entails is queued to follow. The item that says so goes into the same transaction.
 *
 * Everything in an intent comes from the disk: ranges and flags are checked before use, and what contradicts the filesystem ends
 * the completion before anything was written.
 */
#include "work.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ag.h"
#include "bytes.h"
#include "chain.h"
#include "format.h"
#include "items.h"
#include "rtspace.h"

#define COUNT_AT 4u
#define ENTRIES_AT 16u

/* The low byte of a RUI's, CUI's and BUI's flags is what to do; the others describe the mapping. */
#define TYPE_MASK 0xffu
enum { RUI_MAP = 1, RUI_MAP_SHARED, RUI_UNMAP, RUI_UNMAP_SHARED, RUI_CONVERT, RUI_CONVERT_SHARED, RUI_ALLOC, RUI_FREE };
enum { CUI_INCREASE = 1, CUI_DECREASE, CUI_ALLOC_COW, CUI_FREE_COW };
enum { BUI_MAP = 1, BUI_UNMAP };
#define MAP_ATTR (1u << 31)
#define RUI_BMBT (1u << 30)
#define RUI_UNWRITTEN (1u << 29)
#define BUI_UNWRITTEN (1u << 30)
#define BUI_REALTIME (1u << 29)

struct entries {
	struct xr_work *work;
	const struct xr_intent *intent;
	uint32_t n, size;
};

static int bad(struct xr_work *work, const struct xr_intent *intent, const char *what)
{
	return xr_fail(work->replay->msg, -EUCLEAN, "%s intent at LSN %u:%u: %s", xr_item_type_name(intent->type),
		       xr_lsn_cycle(intent->lsn), xr_lsn_block(intent->lsn), what);
}

/* Its entries all have the same size, which pass 1 compared with the region's. */
static struct entries entries_of(struct xr_work *work, const struct xr_intent *intent)
{
	uint32_t n = xr_get32(work->replay->log->order, intent->regions[0].data + COUNT_AT);

	return (struct entries){work, intent, n, n ? (intent->regions[0].size - ENTRIES_AT) / n : 0};
}

static const uint8_t *entry(const struct entries *e, uint32_t i)
{
	return e->intent->regions[0].data + ENTRIES_AT + (size_t)i * e->size;
}

/* The section that an intent of this type is about; those of block maps say it themselves. */
static enum xr_section section_of(const struct xr_intent *intent)
{
	return intent->type == XFS_LI_EFI_RT || intent->type == XFS_LI_RUI_RT || intent->type == XFS_LI_CUI_RT ? XR_REALTIME
													       : XR_DATA;
}

static int check_blocks(struct xr_work *work, const struct xr_intent *intent, enum xr_section section, uint64_t fsb,
			uint32_t count)
{
	const struct xr_sb *sb = xr_tx_sb(work->tx);

	if (section == XR_REALTIME)
		return xr_rt_blocks_ok(sb, fsb, count)
			       ? 0
			       : bad(work, intent, "its blocks lie outside the realtime device, or a group of it");
	return count && xr_fsb_ok(sb, fsb, count) ? 0 : bad(work, intent, "its blocks lie outside an allocation group");
}

/* --- extent free --- */

/* What an EFI frees on the data device may still have a reverse mapping. On the realtime device there is none: that was another intent's. */
static int free_one(struct xr_work *work, const struct xr_intent *intent, const struct xr_freed *freed)
{
	enum xr_section section = section_of(intent);
	int ret = check_blocks(work, intent, section, freed->fsb, freed->count);

	if (ret)
		return ret;
	return section == XR_REALTIME ? xr_rt_free(work, freed->fsb, freed->count)
				      : xr_free_extent(work->tx, freed->fsb, freed->count, XR_OWN_UNKNOWN, 0);
}

static int do_efi(struct xr_work *work, const struct xr_intent *intent)
{
	struct xr_order order = work->replay->log->order;
	struct entries e = entries_of(work, intent);
	struct xr_freed *freed = calloc(e.n ? e.n : 1, sizeof(*freed));
	int ret = 0;

	if (!freed)
		return xr_fail(work->replay->msg, -ENOMEM, "no memory for an intent of %u extents", e.n);
	for (uint32_t i = 0; i < e.n && !ret; i++) {
		freed[i] = (struct xr_freed){xr_get64(order, entry(&e, i)), xr_get32(order, entry(&e, i) + 8)};
		ret = free_one(work, intent, &freed[i]);
	}
	if (!ret)
		ret = xr_tx_done(work->tx, xr_intent_done_type(intent->type), intent->id, freed, e.n);
	free(freed);
	return ret;
}

/* --- reverse mappings --- */

static int do_rmap(struct xr_work *work, const struct xr_intent *intent, const uint8_t *p)
{
	struct xr_order order = work->replay->log->order;
	uint64_t owner = xr_get64(order, p), fsb = xr_get64(order, p + 8), offset = xr_get64(order, p + 16);
	uint32_t count = xr_get32(order, p + 24), flags = xr_get32(order, p + 28);
	enum xr_section section = section_of(intent);
	int ret = check_blocks(work, intent, section, fsb, count);

	if (ret)
		return ret;
	if (flags & ~(TYPE_MASK | MAP_ATTR | RUI_BMBT | RUI_UNWRITTEN) || offset >> 54)
		return bad(work, intent, "unknown flags, or an impossible file offset");
	offset |= (flags & MAP_ATTR ? XR_RMAP_ATTR : 0) | (flags & RUI_BMBT ? XR_RMAP_BMBT : 0) |
		  (flags & RUI_UNWRITTEN ? XR_RMAP_UNWRITTEN : 0);
	switch (flags & TYPE_MASK) {
	case RUI_MAP:
	case RUI_MAP_SHARED:
	case RUI_ALLOC:
		return xr_rmap_map(work->tx, section, fsb, count, owner, offset, (flags & TYPE_MASK) == RUI_MAP_SHARED);
	case RUI_UNMAP:
	case RUI_UNMAP_SHARED:
	case RUI_FREE:
		return xr_rmap_unmap(work->tx, section, fsb, count, owner, offset, (flags & TYPE_MASK) == RUI_UNMAP_SHARED);
	case RUI_CONVERT:
	case RUI_CONVERT_SHARED:
		return xr_rmap_convert(work->tx, section, fsb, count, owner, offset, (flags & TYPE_MASK) == RUI_CONVERT_SHARED);
	default:
		return bad(work, intent, "unknown change of a reverse mapping");
	}
}

static int do_rui(struct xr_work *work, const struct xr_intent *intent)
{
	struct entries e = entries_of(work, intent);
	int ret = xr_section_has_rmaps(xr_tx_sb(work->tx), section_of(intent))
			  ? 0
			  : bad(work, intent, "this filesystem has no reverse mappings there");

	for (uint32_t i = 0; i < e.n && !ret; i++)
		ret = do_rmap(work, intent, entry(&e, i));
	return ret ? ret : xr_tx_done(work->tx, xr_intent_done_type(intent->type), intent->id, NULL, 0);
}

/* --- reference counts --- */

static int free_unshared(void *arg, uint64_t fsb, uint32_t count)
{
	return xr_work_free(arg, XR_DATA, fsb, count);
}

static int free_unshared_rt(void *arg, uint64_t fsb, uint32_t count)
{
	return xr_work_free(arg, XR_REALTIME, fsb, count);
}

static int do_refcount(struct xr_work *work, const struct xr_intent *intent, const uint8_t *p)
{
	struct xr_order order = work->replay->log->order;
	uint64_t fsb = xr_get64(order, p);
	uint32_t count = xr_get32(order, p + 8);
	enum xr_section section = section_of(intent);
	int ret = check_blocks(work, intent, section, fsb, count);

	if (ret)
		return ret;
	switch (xr_get32(order, p + 12)) {
	case CUI_INCREASE:
		return xr_refcount_increase(work->tx, section, fsb, count);
	case CUI_DECREASE:
		return xr_refcount_decrease(work->tx, section, fsb, count,
					    section == XR_REALTIME ? free_unshared_rt : free_unshared, work);
	case CUI_ALLOC_COW:
		return xr_refcount_cow_alloc(work->tx, section, fsb, count);
	case CUI_FREE_COW:
		return xr_refcount_cow_free(work->tx, section, fsb, count);
	default:
		return bad(work, intent, "unknown change of a reference count");
	}
}

static int do_cui(struct xr_work *work, const struct xr_intent *intent)
{
	struct entries e = entries_of(work, intent);
	int ret = xr_tx_sb(work->tx)->has_reflink ? 0 : bad(work, intent, "this filesystem has no reference counts");

	for (uint32_t i = 0; i < e.n && !ret; i++)
		ret = do_refcount(work, intent, entry(&e, i));
	return ret ? ret : xr_tx_done(work->tx, xr_intent_done_type(intent->type), intent->id, NULL, 0);
}

/* --- block maps --- */

/* The mapping came or went: so does its reverse mapping, and the inode changed. */
static int mapped(struct xr_work *work, bool map, struct xr_tx_inode *inode, bool attr, const struct xr_mapping *m,
		  struct xr_chain *chain)
{
	xr_chain_step(chain, true);
	xr_chain_follow(chain, xr_section_has_rmaps(xr_tx_sb(work->tx), xr_inode_section(inode->raw, attr)));
	return xr_work_rmap_mapping(work, map, inode, attr, m);
}

/* Remove what is mapped in the range, which must be the blocks from fsb on; holes in it are fine. */
static int unmap(struct xr_work *work, const struct xr_intent *intent, struct xr_tx_inode *inode, bool attr,
		 const struct xr_mapping *range, struct xr_chain *chain)
{
	uint64_t at = range->offset, end = range->offset + range->count;
	struct xr_mapping m;
	int ret = 0;

	while (at < end && !ret) {
		ret = xr_bmap_lookup_in(work->tx, inode, attr, at, end, &m);
		if (ret)
			break;
		if (m.block - range->block != m.offset - range->offset)
			return bad(work, intent, "the file has other blocks there than are to be unmapped");
		at = m.offset + m.count;
		ret = xr_bmap_remove(work->tx, inode, attr, m.offset, m.count);
		if (!ret)
			ret = mapped(work, false, inode, attr, &m, chain);
	}
	return ret == -ENOENT ? 0 : ret;
}

static int do_bui(struct xr_work *work, const struct xr_intent *intent)
{
	struct xr_order order = work->replay->log->order;
	struct entries e = entries_of(work, intent);
	const uint8_t *p = entry(&e, 0);
	struct xr_chain chain = {0};
	struct xr_tx_inode inode;
	enum xr_section section;
	struct xr_mapping m;
	uint32_t flags;
	bool attr;
	int ret;

	if (e.n != 1)
		return bad(work, intent, "it must have one entry");
	flags = xr_get32(order, p + 28);
	attr = flags & MAP_ATTR;
	section = flags & BUI_REALTIME ? XR_REALTIME : XR_DATA;
	m = (struct xr_mapping){.block = xr_get64(order, p + 8),
				.offset = xr_get64(order, p + 16),
				.count = xr_get32(order, p + 24),
				.unwritten = flags & BUI_UNWRITTEN};
	if (flags & ~(TYPE_MASK | MAP_ATTR | BUI_UNWRITTEN | BUI_REALTIME) || m.offset >> 54 || m.count > BMBT_BLOCKCOUNT_MASK)
		return bad(work, intent, "unknown flags, or an impossible extent");
	ret = check_blocks(work, intent, section, m.block, m.count);
	if (!ret)
		ret = xr_tx_inode(work->tx, xr_get64(order, p), &inode);
	if (ret)
		return ret;
	if (section != xr_inode_section(inode.raw, attr))
		return bad(work, intent, "its blocks are not on the device that its inode's are on");
	if (!xr_be16(inode.raw + offsetof(struct xfs_dinode, di_mode)))
		return bad(work, intent, "its inode is free");
	if ((flags & TYPE_MASK) == BUI_MAP) {
		ret = xr_bmap_add(work->tx, &inode, attr, &m);
		if (!ret)
			ret = mapped(work, true, &inode, attr, &m, &chain);
	} else if ((flags & TYPE_MASK) == BUI_UNMAP) {
		ret = unmap(work, intent, &inode, attr, &m, &chain);
	} else {
		return bad(work, intent, "unknown change of a block map");
	}
	if (!ret)
		xr_chain_count(&chain, work->tx, &inode);
	return ret ? ret : xr_tx_done(work->tx, XFS_LI_BUD, intent->id, NULL, 0);
}

/* --- all --- */

static int do_intent(struct xr_work *work, const struct xr_intent *intent)
{
	switch (intent->type) {
	case XFS_LI_EFI:
	case XFS_LI_EFI_RT:
		return do_efi(work, intent);
	case XFS_LI_RUI:
	case XFS_LI_RUI_RT:
		return do_rui(work, intent);
	case XFS_LI_CUI:
	case XFS_LI_CUI_RT:
		return do_cui(work, intent);
	case XFS_LI_BUI:
		return do_bui(work, intent);
	case XFS_LI_XMI:
		return xr_work_exchange_later(work, intent);
	case XFS_LI_ATTRI:
		return xr_work_attri(work, intent);
	default:
		return bad(work, intent, "unknown here");
	}
}

int xr_work_intents(struct xr_work *work)
{
	int ret = 0;

	for (const struct xr_entry *e = work->replay->intents.first; e && !ret; e = e->next) {
		ret = do_intent(work, (const struct xr_intent *)(uintptr_t)e->value);
		work->stats->intents += !ret;
	}
	return ret;
}
