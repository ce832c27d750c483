/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_SLICES_H
#define XR_SLICES_H

#include "replay.h"

/* What one slice may hold in memory: two are worked on at a time. */
#define XR_SLICE_BYTES (88u << 20)

/*
 * Pass 2 in slices of the device (xr_targets_cut()), written as each is done; what xr_replay_apply() does where the log changes more than
 * replay->slice_bytes. The replay's cache must be allowed to write and hold nothing. Errors as xr_replay_apply(); what was written by then
 * is harmless: pass 2 can be repeated.
 */
int xr_slices_apply(struct xr_replay *replay, const struct xr_head *head);

#endif
