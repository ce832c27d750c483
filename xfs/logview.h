/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_LOGVIEW_H
#define XR_LOGVIEW_H

#include "head.h"

/*
 * A log to look at: every record that can still be read, those before the tail too, which no replay needs, from the oldest to the
 * newest; the transactions in them; their items. Nothing is judged, nothing of the filesystem looked at.
 */
enum xr_seen_state {
	XR_SEEN_OLD, /* before the tail */
	XR_SEEN_ACTIVE, /* from the tail to the head: what a replay would read */
	XR_SEEN_DAMAGED, /* the same with a wrong checksum */
};

struct xr_seen_record {
	uint32_t block, blocks; /* headers and data */
	uint64_t lsn, tail_lsn;
	uint32_t ops;
	enum xr_seen_state state;
	bool unmount;
	size_t items; /* the first of its items; they end where those of the next record begin */
};

#define XR_SEEN_NONE SIZE_MAX

struct xr_seen_trans {
	uint32_t tid;
	size_t begin, commit; /* records; commit: XR_SEEN_NONE where none was seen */
	size_t items;
	uint64_t groups; /* bit n % 64: allocation group n was touched */
};

struct xr_seen_item {
	uint16_t type; /* XFS_LI_... */
	uint16_t regions;
	uint16_t flags; /* of buffers */
	uint32_t bbs; /* of buffers */
	uint64_t what; /* buffers: daddr; inodes: number; dquots: id; intents and what ends them: id; icreates: daddr */
	uint32_t group; /* allocation group; UINT32_MAX: none */
	uint32_t number; /* in its transaction */
	size_t trans;
};

struct xr_logview {
	struct xr_seen_record *records;
	struct xr_seen_trans *trans;
	struct xr_seen_item *items;
	size_t nrecords, ntrans, nitems;
	size_t records_room, trans_room, items_room;
	bool trivial; /* all that a replay would do is to write the superblock: a frozen filesystem, or a snapshot of one */
};

/* Read the log from the block behind the head, once around. -EIO, -ENOMEM, said. Call xr_logview_clear() whatever was returned. */
int xr_logview_read(struct xr_logview *view, const struct xr_log *log, const struct xr_head *head);
void xr_logview_clear(struct xr_logview *view);

#endif
