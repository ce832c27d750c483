/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_LOG_H
#define XR_LOG_H

#include "bytes.h"
#include "dev.h"
#include "sb.h"

struct vmap_process;
struct xr_ring;
struct xr_walk;

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
	bool to_be_walked; /* every record will be verified by a walk (walk.h) before anything comes of it: see xr_head_find() */
	struct xr_walk *walk; /* which others take part in (walk.h), and this log's number there; NULL: walks are its own */
	unsigned walker;
	/* Salvage, only where the user asked for it: replay ends before a damaged record, or before the one of this LSN (0: none). */
	bool until_bad;
	uint64_t stop_at;
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

/* The log block that lies count behind block in the ring. */
static inline uint32_t xr_log_add(const struct xr_log *log, uint32_t block, uint64_t count)
{
	return (uint32_t)((block + count) % log->bbs);
}

/* How many blocks forward from block from the block to is, 0 if they are the same. */
static inline uint32_t xr_log_distance(const struct xr_log *log, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : to + log->bbs - from;
}

/* What a message about damage in the log ends with: what to do about it, but for whom does that already. */
static inline const char *xr_log_advice(const struct xr_log *log)
{
	return log->until_bad ? "" : "; --until-bad replays what comes before it";
}

/*
 * Fill in *log for sb's log, internal (logdev NULL: it is on data) or external, checking that it fits its device; makes the
 * ring, whose pages and view come from process. 0; -EUCLEAN; -ENOMEM; -EINVAL: logdev given for an internal
 * log, or missing for an external one; said.
 */
int xr_log_open(struct xr_log *log, const struct xr_sb *sb, const struct xr_dev *data, const struct xr_dev *logdev,
		struct vmap_process *process, const struct xr_msg *msg);
void xr_log_close(struct xr_log *log);

#endif
