/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_RING_H
#define XR_RING_H

#include "log.h"

/*
 * The window on the log
 *
 * The log is a ring on the disk; records wrap at its end. The window makes it look straight: XR_RING_BYTES of pool pages, mapped by
 * one vmap_pages() call twice in a row, hold a sliding part of the log, so that any count <= XR_RING_BBS blocks that follow each
 * other in the ring lie contiguous in memory, across the log's end as well as across the window's. It is filled by pread.
 */
#define XR_RING_BYTES (4u << 20)
#define XR_RING_BBS (XR_RING_BYTES / XR_BB)
#define XR_RING_TAKE_BBS (1u << 10) /* as long as no more are taken at once, in the order in which they lie in the ring, */
#define XR_RING_KEEP_BBS (5u << 10) /* so many are good, though others were taken since */

int xr_ring_create(struct xr_ring **ring, const struct xr_log *log, struct vmap_process *process);
void xr_ring_destroy(struct xr_ring *ring);

/*
 * Give in *p, from the log's window, the count blocks that start at block and go on at 0 behind the log's end. 0 < count <= min(XR_RING_BBS, log->bbs).
 * Reads what the window does not hold yet, some of what follows with it. The memory may be changed by the caller (unpacking); it
 * is good until the next call with other blocks, or what was taken for XR_RING_KEEP_BBS more; blocks handed out by xr_ring_take() are read anew when
 * they are asked for again.
 * -EIO, said with the log block.
 */
int xr_ring_peek(const struct xr_log *log, uint32_t block, uint32_t count, uint8_t **p);
int xr_ring_take(const struct xr_log *log, uint32_t block, uint32_t count, uint8_t **p);

/* Forget everything that was read: the log was written to. */
void xr_ring_forget(struct xr_ring *ring);

#endif
