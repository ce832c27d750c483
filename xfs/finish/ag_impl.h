/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_AG_IMPL_H
#define XR_AG_IMPL_H

/* What the files of space and btree code share; nobody else includes this. */
#include "ag.h"
#include "btree.h"

static inline uint64_t xr_ag_fsb(const struct xr_sb *sb, uint32_t agno, uint32_t agbno)
{
	return (uint64_t)agno << sb->agblklog | agbno;
}

/* As xr_ag_fix_freelist(), for who can do without: *complete: the list got as long as it should be. */
int xr_agfl_fix(struct xr_tx *tx, uint32_t agno, bool *complete);

/* A block from the AG's free list for a free-space or rmap btree, and back to it. -ENOSPC, said: the list is empty, or full. */
int xr_agfl_take(struct xr_tx *tx, uint32_t agno, uint32_t *agbno);
int xr_agfl_give(struct xr_tx *tx, uint32_t agno, uint32_t agbno);

/* As the public functions, but of one AG, and the free list is the caller's care. No-ops without an rmapbt. */
int xr_rmap_add(struct xr_tx *tx, uint32_t agno, uint32_t agbno, uint32_t len, uint64_t owner, uint64_t offset, bool shared);
int xr_rmap_remove(struct xr_tx *tx, uint32_t agno, uint32_t agbno, uint32_t len, uint64_t owner, uint64_t offset, bool shared);

/* Split fs blocks into AG and block, checked: [fsb, fsb + len) lies in one AG, behind its headers. -EUCLEAN, said with what. */
int xr_ag_range(struct xr_tx *tx, uint64_t fsb, uint32_t len, const char *what, uint32_t *agno, uint32_t *agbno);

/* --- sections (section.c) --- */

/* The same of either section; and back. */
int xr_section_range(struct xr_tx *tx, enum xr_section section, uint64_t fsb, uint32_t len, const char *what, uint32_t *group,
		     uint32_t *block);
uint64_t xr_section_fsb(const struct xr_sb *sb, enum xr_section section, uint32_t group, uint32_t block);

/* A cursor on a group's tree: of the section, XR_RMAP or XR_REFC as the data device has them. As xr_cur_ag(). */
int xr_section_cur(struct xr_cur **cur, struct xr_tx *tx, enum xr_section section, enum xr_btnum num, uint32_t group);

/* "allocation" or "realtime": what its groups are called. */
const char *xr_section_name(enum xr_section section);

#endif
