/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_LOG_H
#define XR_LOG_H

#include "bytes.h"
#include "dev.h"
#include "sb.h"

struct vmap_process;
struct xr_ring;

/*
 * The log of one filesystem, as its reader sees it
 *
 * Block numbers are BBs from the start of the log, 0 <= block < bbs. An LSN is cycle << 32 | block of a record header.
 * order is known once the head was found (h_fmt).
 */
struct xr_log {
	const struct xr_sb *sb;
	const struct xr_dev *dev; /* the data device, or the external log's */
	uint64_t daddr; /* where block 0 lies on dev */
	uint32_t bbs; /* length */
	uint32_t sector_bbs; /* log sector size in BBs */
	struct xr_order order;
	struct xr_ring *ring;
	const struct xr_msg *msg;
};

static inline uint32_t xr_lsn_cycle(uint64_t lsn)
{
	return (uint32_t)(lsn >> 32);
}

static inline uint32_t xr_lsn_block(uint64_t lsn)
{
	return (uint32_t)lsn;
}

static inline uint64_t xr_lsn(uint32_t cycle, uint32_t block)
{
	return (uint64_t)cycle << 32 | block;
}

/*
 * Fill in *log for sb's log, internal (logdev NULL: it is on data) or external, checking that it fits its device; makes the
 * ring, whose pages and view come from process. 0, -EUCLEAN, -ENOMEM; said.
 */
int xr_log_open(struct xr_log *log, const struct xr_sb *sb, const struct xr_dev *data, const struct xr_dev *logdev,
		struct vmap_process *process, const struct xr_msg *msg);
void xr_log_close(struct xr_log *log);

#endif
