/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_LOOK_H
#define XR_LOOK_H

#include "run.h"

/*
 * Show what the options ask to be shown of the filesystem whose superblock is sb, through the run's cache: the tree, a directory, a
 * file's content; or extract it. Negative errno, said: it could not be shown, or something of it was lost.
 */
int look(struct run *run, const struct xr_sb *sb);

#endif
