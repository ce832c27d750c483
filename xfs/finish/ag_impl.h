/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_AG_IMPL_H
#define XR_AG_IMPL_H

/* What the files of space and btree code share; nobody else includes this. */
#include "ag.h"

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

#endif
