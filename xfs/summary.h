/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_SUMMARY_H
#define XR_SUMMARY_H

#include "inode.h"

/* What the allocation groups, and the realtime groups, add up to (specification section 11.1), and what pass 2 leaves undone in them (11.4, 11.5). */
struct xr_summary {
	uint64_t icount, ifree, fdblocks, frextents;
	uint64_t unlinked; /* AGI buckets that hold inodes without a name, still to be freed */
	uint64_t cow; /* groups with copy-on-write leftovers */
	uint64_t damaged; /* groups that could not be read: they count for nothing above, and the sums are no counters */
};

/*
 * Read the headers of all allocation groups and the files of all realtime groups, as they are in the cache, and sum up; fs->sb is the superblock
 * after replay. Damaged groups are said and counted. -EUCLEAN, said: the sums are impossible, or the bitmap of a realtime device without groups is
 * damaged; -EIO, -ENOMEM.
 */
int xr_summary_read(struct xr_summary *summary, const struct xr_fs *fs);

#endif
