/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Head and tail
 *
 * Every block of the log begins with the cycle it was written in, so the head is where the cycle drops: a binary search finds
 * the place, a scan of what could have been in flight finds the hole a crash left before it, and the last record before it
 * must be whole. The last record names the tail and says whether the log is clean.
 *
 * A dirty log is then judged by its checksums. At most 8 records are in flight at a time: a bad one among the last 8 is a
 * write that never finished, and it and all that follow are dropped; a bad one at the tail within reach of those writes was
 * overwritten by them, and the tail moves behind it; a bad one anywhere else is damage, and an error.
 *
 * Reads: the binary search, 2 MiB of scan, and one pass over tail to head, unless a walk is to follow, which looks at each record anyway.
 */
#include "head.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "format.h"

#define ICLOGS 8u /* records in flight */
#define CHUNK_BBS 512u /* blocks looked at in one go */
#define NONE UINT32_MAX /* no block: logs are far shorter */

/* Most blocks that all records in flight, or one record, can take. */
static uint32_t total_bbs(const struct xr_log *log)
{
	return log->sb->logv2 ? ICLOGS * (XR_RECORD_MAX_BYTES / XR_BB) : 512;
}

static uint32_t record_bbs(const struct xr_log *log)
{
	return total_bbs(log) / ICLOGS;
}

static uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static bool is_header(const uint8_t *bb)
{
	return xr_be32(bb) == XR_RECORD_MAGIC;
}

static int cycle_at(const struct xr_log *log, uint32_t block, uint32_t *cycle)
{
	uint8_t *bb;
	int error = xr_ring_peek(log, block, 1, &bb);

	if (!error)
		*cycle = xr_block_cycle(bb);
	return error;
}

/* The first of the count blocks from start on whose cycle is (or, with negate, is not) the one given; NONE if there is none. */
static int scan(const struct xr_log *log, uint32_t start, uint32_t count, uint32_t cycle, bool negate, uint32_t *found)
{
	*found = NONE;
	while (count) {
		uint32_t n = min32(count, CHUNK_BBS);
		uint8_t *bb;
		int error = xr_ring_peek(log, start, n, &bb);

		if (error)
			return error;
		for (uint32_t i = 0; i < n; i++, bb += XR_BB) {
			if ((xr_block_cycle(bb) == cycle) != negate) {
				*found = start + i;
				return 0;
			}
		}
		start = xr_log_add(log, start, n);
		count -= n;
	}
	return 0;
}

/* The first block of the given cycle, knowing that block left is not of that cycle and block right is. */
static int bisect(const struct xr_log *log, uint32_t left, uint32_t right, uint32_t cycle, uint32_t *first)
{
	while (right - left > 1) {
		uint32_t middle = left + (right - left) / 2, c;
		int error = cycle_at(log, middle, &c);

		if (error)
			return error;
		if (c == cycle)
			right = middle;
		else
			left = middle;
	}
	*first = right;
	return 0;
}

/*
 * Go back from the block before from, over at most limit blocks, and note record headers, newest first, until there are want.
 * Gives how many there were.
 */
static int seek_back(const struct xr_log *log, uint32_t from, uint32_t limit, uint32_t want, uint32_t *blocks, uint32_t *got)
{
	*got = 0;
	while (limit && *got < want) {
		uint32_t n = min32(limit, min32(CHUNK_BBS, log->bbs));
		uint32_t start = xr_log_add(log, from, log->bbs - n);
		uint8_t *bb;
		int error = xr_ring_peek(log, start, n, &bb);

		if (error)
			return error;
		for (uint32_t i = n; i-- && *got < want;) {
			if (is_header(bb + (size_t)i * XR_BB))
				blocks[(*got)++] = xr_log_add(log, start, i);
		}
		from = start;
		limit -= n;
	}
	return 0;
}

/* The next record header at or behind block, within limit blocks; NONE if there is none. */
static int seek_forward(const struct xr_log *log, uint32_t block, uint32_t limit, uint32_t *found)
{
	*found = NONE;
	for (; limit; limit--, block = xr_log_add(log, block, 1)) {
		uint8_t *bb;
		int error = xr_ring_peek(log, block, 1, &bb);

		if (error)
			return error;
		if (is_header(bb)) {
			*found = block;
			return 0;
		}
	}
	return 0;
}

static void drop_from(struct xr_head *head, uint32_t block, uint32_t records)
{
	head->head = head->torn_block = block;
	head->torn += records;
}

/*
 * Does the last record between start and end (log blocks, no wrap) reach just to end, extra blocks behind the log's end
 * included? If not it is incomplete and the head moves back to it. *found: whether there was a header at all.
 */
static int whole_record(const struct xr_log *log, struct xr_head *head, uint32_t start, uint32_t end, uint32_t extra, bool *found)
{
	uint32_t block, got;
	struct xr_record rec;
	int error = seek_back(log, end == log->bbs ? 0 : end, end - start, 1, &block, &got);

	*found = !error && got;
	if (!*found)
		return error;
	error = xr_record_header(log, block, &rec);
	if (error && error != -EUCLEAN)
		return error;
	if (error || rec.header_bbs + rec.data_bbs != end - block + extra)
		drop_from(head, block, 1);
	return 0;
}

static int no_record(const struct xr_log *log, uint32_t block)
{
	return xr_fail(
		log->msg, -EUCLEAN,
		"no log record where the log should end, before block %u: the log is damaged%s; xfs_repair -L would discard it",
		block, log->sb->logstart ? "" : ", or this is another filesystem's log device");
}

/* An empty log: its first block was never written to. Then nothing else may have been. */
static int check_empty(const struct xr_log *log)
{
	uint32_t found, last;
	int error = cycle_at(log, log->bbs - 1, &last);

	if (!error)
		error = scan(log, 0, min32(log->bbs, total_bbs(log)), 0, true, &found);
	if (!error && (last || found != NONE))
		return xr_fail(
			log->msg, -EUCLEAN,
			"log block 0 is zero, but block %u is not: the beginning of the log was overwritten; what it holds "
			"cannot be told",
			last ? log->bbs - 1 : found);
	return error;
}

/* Written in part: the head is where the zeros begin. */
static int head_before_zeros(const struct xr_log *log, struct xr_head *head)
{
	uint32_t end, start, hole;
	bool found;
	int error = bisect(log, 0, log->bbs - 1, 0, &end);

	if (error)
		return error;
	start = end - min32(end, total_bbs(log));
	error = scan(log, start, end - start, 0, false, &hole);
	if (error)
		return error;
	head->head = hole == NONE ? end : hole;
	error = whole_record(log, head, start, head->head, 0, &found);
	return error || found ? error : no_record(log, head->head);
}

/* Look for the hole that unfinished writes left before the place where the cycle drops. */
static int hole_before(const struct xr_log *log, struct xr_head *head, uint32_t stop)
{
	uint32_t n = min32(log->bbs, total_bbs(log)), hole;
	int error;

	if (head->head >= n) {
		error = scan(log, head->head - n, n, stop, false, &hole);
	} else {
		/* The physical end was written a cycle before the beginning: its holes are a cycle older still. */
		error = scan(log, log->bbs - (n - head->head), n - head->head, stop - 1, false, &hole);
		if (!error && hole == NONE)
			error = scan(log, 0, head->head, stop, false, &hole);
	}
	if (!error && hole != NONE)
		head->head = hole;
	return error;
}

/* The head must not lie inside a record. */
static int whole_before(const struct xr_log *log, struct xr_head *head)
{
	uint32_t reach = record_bbs(log), at = head->head;
	uint32_t start = at > reach ? at - reach : 0;
	bool found;
	int error = whole_record(log, head, start, at, 0, &found);

	if (error || found)
		return error;
	if (start)
		return no_record(log, at);
	start = reach - at < log->bbs - at ? log->bbs - (reach - at) : at;
	error = whole_record(log, head, start, log->bbs, at, &found);
	return error || found ? error : no_record(log, at);
}

/* Section 4. */
static int find_head(const struct xr_log *log, struct xr_head *head)
{
	uint32_t first, last, stop;
	int error = cycle_at(log, 0, &first);

	if (!error && !first) {
		head->empty = head->clean = true;
		return check_empty(log);
	}
	if (!error)
		error = cycle_at(log, log->bbs - 1, &last);
	if (error)
		return error;
	if (!last)
		return head_before_zeros(log, head);
	head->head = log->bbs;
	stop = last;
	if (first == last)
		stop = last - 1;
	else
		error = bisect(log, 0, log->bbs - 1, last, &head->head);
	if (!error)
		error = hole_before(log, head, stop);
	if (!error)
		error = whole_before(log, head);
	if (head->head == log->bbs)
		head->head = 0;
	return error;
}

/* Take over what the last record says; the head lies behind it. */
static void set_last(struct xr_head *head, const struct xr_record *rec)
{
	head->last_lsn = rec->lsn;
	head->last_block = rec->block;
	head->last_fmt = rec->fmt;
	head->last_version = rec->version;
	head->last_size = rec->size;
	head->tail_lsn = rec->tail_lsn;
	head->tail = xr_lsn_block(rec->tail_lsn);
	/* The record was written before the log's end and the head is behind it: the next write begins a new cycle. */
	head->cycle = rec->cycle + (head->head <= rec->block);
}

/*
 * A tail is possible if the way from it to the head is less than the log: the same cycle and not behind the head, or the cycle
 * before and behind it.
 */
static bool tail_possible(const struct xr_log *log, const struct xr_head *head)
{
	uint32_t cycle = xr_lsn_cycle(head->tail_lsn), block = xr_lsn_block(head->tail_lsn);

	if (block >= log->bbs)
		return false;
	return cycle == head->cycle ? block <= head->head : cycle == head->cycle - 1 && block > head->head;
}

static int check_tail(const struct xr_log *log, const struct xr_head *head)
{
	if (tail_possible(log, head))
		return 0;
	return xr_fail(log->msg, -EUCLEAN,
		       "log record at block %u (LSN %u:%u): names tail %u:%u, which is not behind head %u:%u: the log is damaged",
		       head->last_block, xr_lsn_cycle(head->last_lsn), xr_lsn_block(head->last_lsn), xr_lsn_cycle(head->tail_lsn),
		       xr_lsn_block(head->tail_lsn), head->cycle, head->head);
}

/* Section 5.2: the last record is an unmount record and reaches to the head. Only a flag is looked at, which no stamp covers. */
static int clean_test(const struct xr_log *log, struct xr_head *head, const struct xr_record *rec)
{
	uint32_t data = xr_log_add(log, rec->block, rec->header_bbs);
	uint8_t *bb;
	int error;

	head->clean = false;
	if (rec->num_ops != 1 || xr_log_add(log, data, rec->data_bbs) != head->head)
		return 0;
	error = xr_ring_peek(log, data, 1, &bb);
	if (error || !(bb[offsetof(struct xlog_op_header, oh_flags)] & XLOG_UNMOUNT_TRANS))
		return error;
	head->clean = true;
	head->tail = head->head;
	return 0;
}

/* Whose log is it? The records themselves are checked again when they are replayed, where a nil UUID will not do. */
static int check_owner(const struct xr_log *log, const struct xr_record *rec)
{
	static const uint8_t nil[16];

	if (!memcmp(rec->uuid, log->sb->uuid, sizeof(rec->uuid)))
		return 0;
	if (memcmp(rec->uuid, nil, sizeof(nil)))
		return xr_fail(
			log->msg, -EOPNOTSUPP,
			"log record at block %u: the log belongs to another filesystem (UUID): wrong log device, or a copied log",
			rec->block);
	xr_say(log->msg, XR_WARN, "log record at block %u: has no UUID, as IRIX wrote them", rec->block);
	return 0;
}

/*
 * The last record before the head, over at most limit blocks, whose header makes sense. A header that does not is a torn write
 * (the first sector of a record that never came), as long as there are no more of them than can have been in flight.
 */
static int last_record(const struct xr_log *log, struct xr_head *head, uint32_t limit, struct xr_record *rec)
{
	for (uint32_t i = 0; i <= ICLOGS; i++) {
		uint32_t block, got;
		int error = seek_back(log, head->head, limit, 1, &block, &got);

		if (!error && !got)
			return no_record(log, head->head);
		if (!error)
			error = xr_record_header(log, block, rec);
		if (error != -EUCLEAN)
			return error;
		limit -= xr_log_distance(log, block, head->head);
		drop_from(head, block, 1);
	}
	return xr_fail(log->msg, -EUCLEAN, "log block %u: %s, and %u more behind it: too many for an interrupted write",
		       head->head, xr_record_fault(log, head->head), ICLOGS);
}

/* Verify the record at block, of which left blocks remain to the head. -EUCLEAN or -EBADMSG, not said: what it means is open. */
static int verify_record(const struct xr_log *log, uint32_t block, uint32_t left, struct xr_record *rec)
{
	uint8_t *headers;
	int error = xr_record_header(log, block, rec);

	if (!error && rec->header_bbs + rec->data_bbs > left)
		error = -EUCLEAN;
	return error ? error : xr_record_read(log, rec, &headers);
}

static bool is_bad(int error)
{
	return error == -EUCLEAN || error == -EBADMSG;
}

/* Section 5.3: check the last 8 records. *bad: where the first torn one begins, or NONE; *records: how many begin from there on. */
static int find_torn(const struct xr_log *log, const struct xr_head *head, uint32_t *bad, uint32_t *records)
{
	uint32_t limit = tail_possible(log, head) ? xr_log_distance(log, head->tail, head->head) : 0;
	uint32_t blocks[ICLOGS], got, block, left;
	struct xr_record rec;
	int error = seek_back(log, head->head, limit ? limit : log->bbs, ICLOGS, blocks, &got);

	*bad = NONE;
	if (error || !got)
		return error;
	block = blocks[got - 1];
	left = xr_log_distance(log, block, head->head);
	while (!error && left) {
		error = verify_record(log, block, left, &rec);
		if (!error) {
			left -= rec.header_bbs + rec.data_bbs;
			block = xr_log_add(log, block, rec.header_bbs + rec.data_bbs);
		}
	}
	if (!is_bad(error))
		return error;
	*bad = block;
	*records = 1;
	while (*records < got && xr_log_distance(log, blocks[*records], head->head) <= left)
		++*records;
	return 0;
}

/* Cut torn records off the end; *rec is the last good one then. */
static int trim(const struct xr_log *log, struct xr_head *head, struct xr_record *rec)
{
	uint32_t bad, records, limit;
	int error = find_torn(log, head, &bad, &records);

	if (error || bad == NONE)
		return error;
	/* No further back than the tail; but where all that followed the tail is torn, what stands before it is the last. */
	limit = tail_possible(log, head) ? xr_log_distance(log, head->tail, bad) : 0;
	drop_from(head, bad, records);
	error = last_record(log, head, limit ? limit : log->bbs, rec);
	if (error)
		return error;
	set_last(head, rec);
	return clean_test(log, head, rec);
}

/* Salvage: the record at block, and all behind it, are left out. */
static void cut(struct xr_head *head, uint32_t block)
{
	head->cut = true;
	head->end = block;
}

/* Whether the writes that were torn can have reached the record at block. */
static bool in_reach(const struct xr_log *log, const struct xr_head *head, uint32_t block)
{
	return xr_log_distance(log, head->head, block) <= (uint64_t)ICLOGS * head->last_size / XR_BB;
}

/*
 * Whether the records from block on can be left to the walk to come. It takes a V4 record with a bad checksum, so those are looked at here; and it does
 * not end the log where the user wants it ended.
 */
static bool left_to_walk(const struct xr_log *log, const struct xr_head *head, uint32_t block)
{
	return log->to_be_walked && log->sb->v5 && !log->stop_at && !log->until_bad && !in_reach(log, head, block);
}

/* Section 5.4: a bad record at block: skip it if the torn writes can have reached it, else that is the end. */
static int skip_overwritten(const struct xr_log *log, struct xr_head *head, const struct xr_record *rec, uint32_t *block,
			    int error)
{
	uint32_t left = xr_log_distance(log, *block, head->head), next = NONE;
	const char *fault = error == -EBADMSG ? "bad checksum" : xr_record_fault(log, *block);

	if (in_reach(log, head, *block)) {
		int failed = seek_forward(log, xr_log_add(log, *block, 1), left - 1, &next);
		if (failed)
			return failed;
	}
	if (next == NONE && log->until_bad) {
		xr_say(log->msg, XR_WARN, "log record at block %u (LSN %u:%u): %s: nothing from here on is replayed", *block,
		       xr_lsn_cycle(rec->lsn), xr_lsn_block(rec->lsn), fault ? fault : "runs past the head of the log");
		cut(head, *block);
		return 0;
	}
	if (next == NONE)
		return xr_record_damaged(log, rec, error, fault ? fault : "runs past the head of the log");
	xr_say(log->msg, XR_WARN, "log record at block %u: overwritten by writes that were torn: the log begins at block %u",
	       *block, next);
	*block = head->tail = next;
	head->records = 0;
	return 0;
}

static bool stops_at(const struct xr_log *log, const struct xr_record *rec)
{
	return log->stop_at && rec->lsn >= log->stop_at;
}

static int nothing_to_stop_at(const struct xr_log *log, const struct xr_head *head)
{
	return xr_fail(log->msg, -EINVAL,
		       "the log ends at LSN %u:%u: there is no record of LSN %u:%u, or a later one, to stop at", head->cycle,
		       head->head, xr_lsn_cycle(log->stop_at), xr_lsn_block(log->stop_at));
}

static int verify_tail(const struct xr_log *log, struct xr_head *head)
{
	uint32_t block, left = xr_log_distance(log, head->tail, head->head);
	int error;

	if (!left)
		return 0;
	error = seek_forward(log, head->tail, left, &block);
	if (error)
		return error;
	if (block == NONE)
		return no_record(log, head->head);
	head->tail = block;
	while ((left = xr_log_distance(log, block, head->head)) && !left_to_walk(log, head, block)) {
		struct xr_record rec = {0};

		error = verify_record(log, block, left, &rec);
		if ((!error || error == -EBADMSG) && stops_at(log, &rec)) {
			cut(head, block);
			return 0;
		}
		if (!error) {
			block = xr_log_add(log, block, rec.header_bbs + rec.data_bbs);
			head->records++;
		} else if (is_bad(error)) {
			error = skip_overwritten(log, head, &rec, &block, error);
		}
		if (error || head->cut)
			return error;
	}
	return log->stop_at ? nothing_to_stop_at(log, head) : 0;
}

static int set_order(struct xr_log *log, const struct xr_head *head)
{
	log->order.big = head->last_fmt != XLOG_FMT_LINUX_LE;
	if (head->clean || head->last_fmt == XLOG_FMT_LINUX_LE || head->last_fmt == XLOG_FMT_LINUX_BE)
		return 0;
	return xr_fail(log->msg, -EOPNOTSUPP, "the log was written by IRIX or an unknown system (h_fmt %u): mount it there",
		       head->last_fmt);
}

/* What is on the disk cannot be newer than the end of the log. */
static int check_sb_lsn(const struct xr_log *log, const struct xr_head *head)
{
	uint64_t lsn = log->sb->lsn;

	if (!log->sb->v5 || lsn == UINT64_MAX || lsn <= xr_lsn(head->cycle, head->head))
		return 0;
	return xr_fail(log->msg, -EUCLEAN,
		       "superblock: its LSN %u:%u is ahead of the log, which ends at %u:%u: the log was zeroed or is not this "
		       "filesystem's newest: run xfs_repair",
		       xr_lsn_cycle(lsn), xr_lsn_block(lsn), head->cycle, head->head);
}

/* mkfs.xfs and xfs_repair write a record to a new log, but kernels take one without for clean, and so does who follows them. */
static int check_zeros(const struct xr_log *log)
{
	const char *what = log->sb->logstart ? "was all of the image copied?" : "is this the right log device?";
	uint64_t lsn = log->sb->lsn;

	if (log->sb->v5 && lsn != UINT64_MAX && lsn > xr_lsn(1, 0))
		return xr_fail(log->msg, -EUCLEAN, "superblock: its LSN %u:%u is ahead of the log, which is all zeros: %s",
			       xr_lsn_cycle(lsn), xr_lsn_block(lsn), what);
	xr_say(log->msg, XR_WARN, "%s: the log is all zeros, as no program leaves one: %s", log->dev->name, what);
	return 0;
}

int xr_head_find(struct xr_log *log, struct xr_head *head)
{
	struct xr_record rec;
	int error;

	*head = (struct xr_head){0};
	error = find_head(log, head);
	if (!error && head->empty)
		error = check_zeros(log);
	if (error || head->empty)
		return error;
	error = last_record(log, head, log->bbs, &rec);
	if (!error)
		error = check_owner(log, &rec);
	if (error)
		return error;
	set_last(head, &rec);
	error = clean_test(log, head, &rec);
	if (!error && !head->clean)
		error = trim(log, head, &rec);
	if (!error && head->torn)
		xr_say(log->msg, XR_WARN, "log block %u: %u records from here on are torn writes of the crash: dropped",
		       head->torn_block, head->torn);
	if (!error)
		error = set_order(log, head);
	if (!error)
		error = check_tail(log, head);
	if (!error && !head->clean)
		error = verify_tail(log, head);
	return error ? error : check_sb_lsn(log, head);
}
