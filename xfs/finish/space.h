/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_SPACE_H
#define XR_SPACE_H

#include "tx.h"

/* The free space btrees of one AG, under the free list and its rmaps. */

/* Make [start, start + len) free. -EUCLEAN, said: some of it is free. */
int xr_space_free(struct xr_tx *tx, uint32_t agno, uint32_t start, uint32_t len);
/* Take the first free block from near on, or the first of the AG. Not found: there is none that is not busy. */
int xr_space_take(struct xr_tx *tx, uint32_t agno, uint32_t near, uint32_t *agbno, bool *found);

#endif
