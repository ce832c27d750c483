/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_GUESS_H
#define XR_GUESS_H

#include "dev.h"

/*
 * What an image may be that does not begin with an XFS superblock: compressed, in the format of a virtual machine, a metadump, with partitions,
 * another filesystem... Writes that, and what to do about it, as a clause for a message, to text (room bytes, terminated); always something. Reads
 * some sectors and says nothing itself.
 */
void xr_guess(const struct xr_dev *dev, char *text, size_t room);

#endif
