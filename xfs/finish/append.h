/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_APPEND_H
#define XR_APPEND_H

#include "cache.h"
#include "head.h"

/*
 * Writing the log
 *
 * Operations are packed into records, which are stamped, sealed and written at the head, one behind the other, across the log's end;
 * an operation that does not fit in the rest of a record is split as the format has it (specification section 3.5).
 */
struct xr_append {
	const struct xr_log *log;
	struct xr_head *head; /* where the next record goes; advances with each */
	uint64_t tail_lsn; /* what the records name as the tail */
	uint32_t size; /* h_size */
	uint32_t headers; /* header blocks */
	uint32_t room; /* bytes of data a record takes */
	uint32_t unit; /* a record's length is a multiple of this */
	uint32_t len, ops; /* of the record under construction */
	uint32_t unflushed; /* records written since the log was flushed */
	uint8_t *record;
};

/*
 * Begin at the head. tail_lsn 0: each record is its own tail, as the unmount record has it. Else the records look like those at the tail: old
 * kernels read them all by the first one's h_size. Whatever may be stale behind the head is cleared first (section 5.1), once; that, and all that
 * was flushed from cache, of the data device, is on stable storage then, so that records may name a tail behind it.
 * -EIO, -ENOMEM, -EUCLEAN (said): a log with no room for a record.
 */
int xr_append_begin(struct xr_append *append, const struct xr_log *log, struct xr_head *head, struct xr_cache *cache,
		    uint64_t tail_lsn);

/* Add one operation: flags without those of a split. len is a multiple of 4. Writes records as they fill up. -EIO, said. */
int xr_append_op(struct xr_append *append, uint32_t tid, uint8_t client, uint8_t flags, const void *data, uint32_t len);

/* Write what remains and wait until the log is on stable storage; then, or after any failure, free what append holds. */
int xr_append_end(struct xr_append *append);
void xr_append_drop(struct xr_append *append);

/* At most how many bytes of log ops operations with payload bytes of data take, if appended before the given tail. */
uint64_t xr_append_bytes(const struct xr_log *log, const struct xr_head *head, uint64_t tail_lsn, uint64_t ops, uint64_t payload);

/* How many bytes there are to write between the head and the tail, what the unmount record will take left out. */
uint64_t xr_append_space(const struct xr_log *log, const struct xr_head *head);

#endif
