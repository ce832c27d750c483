/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_FINISH_H
#define XR_FINISH_H

#include "cache.h"
#include "head.h"
#include "summary.h"

/*
 * Put the counters and the LSN that the clean log will end with into the superblock (specification section 12.2 step 3). In the cache: the
 * caller flushes. -EIO, -ENOMEM, -EUCLEAN, said.
 */
int xr_finish_superblock(const struct xr_sb *sb, struct xr_cache *cache, const struct xr_summary *summary,
			 const struct xr_head *head, const struct xr_msg *msg);

/*
 * Make the log clean: clear what may be stale behind the head (section 5.1), wait until that and all that was flushed from cache is on stable
 * storage, and write an unmount record (12.2). Everything that the log holds must have been flushed before; head advances. The log is on stable
 * storage when this returns 0. -EIO, -ENOMEM, -EUCLEAN, said.
 */
int xr_finish_log(const struct xr_log *log, struct xr_head *head, struct xr_cache *cache);

/*
 * After xr_finish_log(): take the features that only the log's contents needed out of the superblock (log_incompat). Written and on stable storage
 * when this returns 0. -EIO, -ENOMEM, said.
 */
int xr_finish_features(const struct xr_sb *sb, struct xr_cache *cache);

#endif
