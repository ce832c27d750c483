/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_AG_H
#define XR_AG_H

#include "tx.h"

/*
 * Space of the allocation groups: free extents, reverse mappings, reference counts, inode chunks (specification 11.2, 11.3)
 *
 * Each function changes exactly what it names, with the AG header's counters that belong to it; callers combine them. Numbers from the disk
 * are checked: -EUCLEAN (said) where the trees contradict the request (a block freed twice, a mapping that is not there). All may return
 * -EIO, -ENOMEM, -ENOSPC too.
 */

/*
 * Where blocks are: on the data device, whose fs blocks are in allocation groups; or on the realtime device of a filesystem that has realtime
 * groups (sb.h), whose reverse mappings and reference counts are kept in btrees of the same kinds. What is fsb below is then a realtime block.
 */
enum xr_section { XR_DATA, XR_REALTIME };

/* Owners that are no inode (as they stand in the rmapbt). */
#define XR_OWN_FS (~UINT64_C(2) + 0) /* -3 */
#define XR_OWN_LOG (~UINT64_C(3) + 0) /* -4 */
#define XR_OWN_AG (~UINT64_C(4) + 0) /* -5 */
#define XR_OWN_INOBT (~UINT64_C(5) + 0) /* -6 */
#define XR_OWN_INODES (~UINT64_C(6) + 0) /* -7 */
#define XR_OWN_REFC (~UINT64_C(7) + 0) /* -8 */
#define XR_OWN_COW (~UINT64_C(8) + 0) /* -9 */
#define XR_OWN_NULL (~UINT64_C(0) + 0) /* -1 */
#define XR_OWN_UNKNOWN (~UINT64_C(1) + 0) /* -2: any owner will do, as for an EFI (11.3) */

/* Bits of an rmap record's offset. */
#define XR_RMAP_ATTR (UINT64_C(1) << 63)
#define XR_RMAP_BMBT (UINT64_C(1) << 62)
#define XR_RMAP_UNWRITTEN (UINT64_C(1) << 61)

enum xr_ag_header { XR_AGF = 1, XR_AGI = 2 }; /* the sector of the AG in which it is */

/* Join the AG's header, checked: it is what and whose it should be. -EUCLEAN, said. */
int xr_ag_header(struct xr_tx *tx, uint32_t agno, enum xr_ag_header which, struct xr_tx_buf **buf);

/* Bring the AG's free list to the length its trees may need (11.3 "AGFL length"). Called by the functions below where they need it. */
int xr_ag_fix_freelist(struct xr_tx *tx, uint32_t agno);

/*
 * Give [fsb, fsb + len) back: remove its rmap, if there is an rmapbt, as owner says (XR_OWN_UNKNOWN: what an EFI means; XR_OWN_NULL: leave
 * the rmapbt alone), and insert it into the free space trees, merged with its neighbours. Blocks that held metadata must be cancelled too.
 */
int xr_free_extent(struct xr_tx *tx, uint64_t fsb, uint32_t len, uint64_t owner, uint64_t offset);

/* One free block, near near_fsb where possible, any AG otherwise, for a metadata block; its rmap is made for owner and offset. */
int xr_alloc_block(struct xr_tx *tx, uint64_t near_fsb, uint64_t owner, uint64_t offset, uint64_t *fsb);
/* The same for a tree rooted in AG agno: never another AG. */
int xr_alloc_block_in(struct xr_tx *tx, uint32_t agno, uint32_t near, uint64_t owner, uint64_t offset, uint32_t *agbno);

/* Reverse mappings; no-ops without an rmapbt. offset has the flag bits above. shared: records of other owners may overlap (11.3). */
int xr_rmap_map(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len, uint64_t owner, uint64_t offset,
		bool shared);
int xr_rmap_unmap(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len, uint64_t owner, uint64_t offset,
		  bool shared);
/* offset carries the new unwritten state; the record has the opposite. */
int xr_rmap_convert(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len, uint64_t owner, uint64_t offset,
		    bool shared);

/*
 * Reference counts. A decrease calls freed for each stretch whose count reached 0 (no record, so it was 1): its blocks are then the
 * caller's to free, without touching the rmapbt.
 */
int xr_refcount_increase(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len);
int xr_refcount_decrease(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len,
			 int (*freed)(void *arg, uint64_t fsb, uint32_t len), void *arg);
/* Copy-on-write staging records: add and remove one; nothing else (11.3 CUI). */
int xr_refcount_cow_alloc(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len);
int xr_refcount_cow_free(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len);
/* The CoW staging extents of one group (start without bit 31), in order: fn per extent; collected before the first call, so fn may remove them. */
int xr_refcount_cow_each(struct xr_tx *tx, enum xr_section section, uint32_t group,
			 int (*fn)(void *arg, uint64_t fsb, uint32_t len), void *arg);

/*
 * Mark inode ino free in the inode trees, AGI counters included (11.4 step 4). Where its whole chunk is free after it (and chunks may go), its
 * records are deleted and the chunk's blocks freed; *chunk_gone tells. The buffers of a freed chunk are cancelled.
 */
int xr_inode_free(struct xr_tx *tx, uint64_t ino, bool *chunk_gone);

#endif
