/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TOOL_APPLYITEM_H
#define XR_TOOL_APPLYITEM_H

#include "run.h"

/*
 * Replay the item that --apply-item names, in memory, on a filesystem whose log is clean. run_complete() and the end of a run follow as after any
 * replay. -EINVAL, said: it is another filesystem's, or the disk has a newer state, or the item has nothing to apply; others as xr_replay_apply().
 */
int apply_item(struct run *run);

#endif
