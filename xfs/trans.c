/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Transactions
 *
 * The records hold a stream of operations, each a piece of one transaction, and several transactions interleave. Open
 * transactions stand in a hash table by tid, which holds each from its START to its COMMIT.
 *
 * A region stays where it is, in the record, as long as the record does, and most are no longer needed then: the item was of no interest,
 * or is settled, or its transaction has committed. When a record goes, what open transactions still have in it is copied, once, into an arena
 * for each of them: a list of chunks that grow. So is a region that goes on in another operation. That one is always the last thing in its
 * arena: it grows in place, and moves (into a chunk twice its size) only when the chunk is full. An item that the walker does without ends
 * there, and its room is the next one's.
 *
 * A transaction's regions are one array and so are its items; both grow, so addresses are put in only at commit. Memory is
 * bounded by what was read: every byte of the log goes into one arena at most, every region has at least a byte, every item a
 * region. Open transactions without any content are limited in number.
 *
 * With ASan every region is copied when it is whole, into a chunk of its own that ends where it does: what reads on behind it is then not hidden by
 * what follows it in the record.
 */
#include "trans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "format.h"
#include "table.h"
#include "walk.h"

#define BUCKETS 256u
#define MAX_OPEN 4096u /* transactions at a time; kernels have one or two, old ones one for each running thread */
#define MAX_REGIONS 257u /* of an item: the format, and every second chunk of the largest buffer */
#define CHUNK_MIN (4u << 10)
#define CHUNK_MAX (1u << 20)
#define SPARE_MAX 32u
#define OP(field) offsetof(struct xlog_op_header, oh_##field)
#define OP_BYTES sizeof(struct xlog_op_header)
#define HEADER_BYTES sizeof(struct xfs_trans_header)

struct chunk {
	struct chunk *next;
	size_t size, used;
	uint8_t data[];
};

struct open {
	struct open *next; /* in the bucket */
	struct xr_trans trans;
	struct chunk *chunks; /* the newest first */
	struct xr_region *regions; /* of all items, in order */
	size_t nregions, max_regions, max_items;
	size_t nowned; /* regions that lie in the arena; those behind them are borrowed from the record */
	struct open *next_borrower, **borrower; /* among those that borrow; borrower NULL: this one does not */
	uint32_t nseen; /* items, those that were forgotten too */
	struct chunk *item_chunk; /* where the last item begins in the arena */
	size_t item_used;
	enum { UNDECIDED, WANTED, UNWANTED } last; /* the last item; an unwanted one has no regions but the count of them */
	bool continued; /* the last region goes on in the next operation */
	uint64_t memory;
	uint8_t header_have; /* bytes of the transaction header so far */
	uint8_t header[HEADER_BYTES];
};

struct assembly {
	const struct xr_log *log;
	const struct xr_head *head;
	const struct xr_walker *walker;
	struct xr_trans_stats stats;
	uint64_t memory; /* of all open transactions */
	uint32_t nopen;
	struct open *alone; /* the only one since its START; NULL: there is none */
	struct open *buckets[BUCKETS];
	struct open **recent; /* the bucket of the last operation's transaction */
	struct open *borrowers;
	struct chunk *spare; /* of CHUNK_MAX bytes, for the next transaction: their pages are there already */
	uint32_t nspare;
};

/* One operation, where it stands, for messages, and what it carries. */
struct op {
	const struct xr_record *rec;
	uint32_t number, tid, len;
	uint8_t client, flags;
	const uint8_t *data;
};

static int bad_op(const struct assembly *as, const struct op *op, const char *what)
{
	return xr_fail(as->log->msg, -EUCLEAN, "log record at block %u (LSN %u:%u), operation %u, transaction 0x%08x: %s%s",
		       op->rec->block, xr_lsn_cycle(op->rec->lsn), xr_lsn_block(op->rec->lsn), op->number, op->tid, what,
		       xr_log_advice(as->log));
}

static int no_memory(const struct assembly *as)
{
	return xr_fail(as->log->msg, -ENOMEM, "no memory for the log's transactions (%llu bytes in use)",
		       (unsigned long long)as->memory);
}

static void account(struct assembly *as, struct open *open, size_t bytes)
{
	open->memory += bytes;
	as->memory += bytes;
	if (as->memory > as->stats.peak)
		as->stats.peak = as->memory;
}

/* Room for size more bytes behind the last ones, of which keep move along if they do not fit where they are. NULL: no memory. */
static uint8_t *arena_room(struct assembly *as, struct open *open, size_t keep, size_t size)
{
	struct chunk *old = open->chunks, *chunk;
	size_t next = old ? 2 * old->size : CHUNK_MIN;

	if (old && size <= old->size - old->used)
		return old->data + old->used;
	if (next > CHUNK_MAX)
		next = CHUNK_MAX;
	if (next < 2 * (keep + size))
		next = 2 * (keep + size);
	if (next == CHUNK_MAX && as->spare) {
		chunk = as->spare;
		as->spare = chunk->next;
		as->nspare--;
	} else {
		chunk = malloc(sizeof(*chunk) + next);
	}
	if (!chunk)
		return NULL;
	*chunk = (struct chunk){.next = old, .size = next, .used = keep};
	if (keep)
		memcpy(chunk->data, old->data + old->used - keep, keep);
	open->chunks = chunk;
	account(as, open, sizeof(*chunk) + next);
	return chunk->data + keep;
}

/* One more element for an array of size-byte elements; NULL (and nothing changed): no memory. */
static void *grow(struct assembly *as, struct open *open, void *array, size_t have, size_t *max, size_t size)
{
	size_t more = *max ? *max : 8;
	void *larger;

	if (have < *max)
		return array;
	larger = realloc(array, (*max + more) * size);
	if (!larger)
		return NULL;
	account(as, open, more * size);
	*max += more;
	return larger;
}

static struct open **bucket_of(struct assembly *as, uint32_t tid)
{
	return &as->buckets[xr_hash(tid, 0) % BUCKETS];
}

/* The link that leads to the transaction, or to NULL. What is found moves to the front: the next operation is likely its own. */
static struct open **lookup(struct assembly *as, uint32_t tid)
{
	struct open **bucket, **link;

	if (as->recent && *as->recent && (*as->recent)->trans.tid == tid)
		return as->recent;
	bucket = link = as->recent = bucket_of(as, tid);
	while (*link && (*link)->trans.tid != tid)
		link = &(*link)->next;
	if (*link && link != bucket) {
		struct open *open = *link;
		*link = open->next;
		open->next = *bucket;
		*bucket = open;
		return bucket;
	}
	return link;
}

/* Have the regions behind the owned ones copied when the record goes. */
static void borrow(struct assembly *as, struct open *open)
{
	if (open->borrower)
		return;
	open->next_borrower = as->borrowers;
	open->borrower = &as->borrowers;
	if (as->borrowers)
		as->borrowers->borrower = &open->next_borrower;
	as->borrowers = open;
}

static void give_back(struct open *open)
{
	if (!open->borrower)
		return;
	*open->borrower = open->next_borrower;
	if (open->next_borrower)
		open->next_borrower->borrower = open->borrower;
	open->borrower = NULL;
}

static void end(struct assembly *as, struct open **link)
{
	struct open *open = *link;

	give_back(open);
	if (as->alone == open)
		as->alone = NULL;
	*link = open->next;
	as->nopen--;
	as->memory -= open->memory;
	while (open->chunks) {
		struct chunk *chunk = open->chunks;
		open->chunks = chunk->next;
		if (chunk->size == CHUNK_MAX && as->nspare < SPARE_MAX) {
			chunk->next = as->spare;
			as->spare = chunk;
			as->nspare++;
		} else {
			free(chunk);
		}
	}
	free(open->regions);
	free(open->trans.items);
	free(open);
}

static void discard(struct assembly *as, struct open **link)
{
	if (as->walker->discard)
		as->walker->discard(as->walker->arg, &(*link)->trans);
	end(as, link);
}

static int begin(struct assembly *as, const struct op *op, struct open **link)
{
	struct open *open;

	if (op->len)
		return bad_op(as, op, "a START that carries data");
	if (as->nopen == MAX_OPEN)
		return bad_op(as, op, "too many transactions at a time");
	open = calloc(1, sizeof(*open));
	if (!open)
		return no_memory(as);
	open->trans.tid = op->tid;
	open->trans.lsn = op->rec->lsn;
	open->trans.alone = !as->nopen;
	if (as->alone)
		as->alone->trans.alone = false;
	as->alone = as->nopen ? NULL : open;
	*link = open;
	as->nopen++;
	account(as, open, sizeof(*open));
	return 0;
}

static int add_header(struct assembly *as, struct open *open, const struct op *op)
{
	if (op->len > HEADER_BYTES - open->header_have)
		return bad_op(as, op, "a transaction header of more than 16 bytes");
	memcpy(open->header + open->header_have, op->data, op->len);
	open->header_have += (uint8_t)op->len;
	if (open->header_have == HEADER_BYTES && xr_get32(as->log->order, open->header) != XFS_TRANS_HEADER_MAGIC)
		return bad_op(as, op, "does not begin with a transaction header");
	return 0;
}

static struct xr_item *last_item(struct open *open)
{
	return open->trans.nitems ? &open->trans.items[open->trans.nitems - 1] : NULL;
}

/* Forget the last item's n regions, and with them what it has of the arena, unless that reached into another chunk. */
static void drop_regions(struct open *open, size_t n)
{
	open->nregions -= n;
	if (open->nowned > open->nregions) {
		open->nowned = open->nregions;
		if (open->chunks == open->item_chunk)
			open->chunks->used = open->item_used;
	}
}

/* The last item's first region is whole: does anybody want it? What else there is of an unwanted one is passed over. */
static void decide(struct assembly *as, struct open *open)
{
	struct xr_item *item = last_item(open);

	item->regions = open->regions + (open->nregions - 1);
	open->last = !as->walker->wants || as->walker->wants(as->walker->arg, item) ? WANTED : UNWANTED;
	if (open->last == UNWANTED)
		drop_regions(open, 1);
}

/* The last item is whole: it is left out if nobody wants it, or if it could be settled at once. */
static int finish_item(struct assembly *as, struct open *open)
{
	struct xr_item *item = last_item(open);
	int settled = 0;

	if (open->last == UNWANTED) {
		open->trans.nitems--;
	} else if (as->walker->settle) {
		item->regions = open->regions + (open->nregions - item->have);
		settled = as->walker->settle(as->walker->arg, &open->trans, item);
	}
	if (settled > 0) {
		drop_regions(open, item->have);
		open->trans.nitems--;
	}
	return settled < 0 ? settled : 0;
}

/* Give the last region, which is whole, a chunk of its own. Those before it have theirs. */
static int isolate(struct assembly *as, struct open *open)
{
	struct xr_region *region = &open->regions[open->nregions - 1];
	struct chunk *chunk = malloc(sizeof(*chunk) + region->size);

	if (!chunk)
		return no_memory(as);
	*chunk = (struct chunk){.next = open->chunks, .size = region->size, .used = region->size};
	region->data = memcpy(chunk->data, region->data, region->size);
	open->chunks = chunk;
	open->nowned = open->nregions;
	if (last_item(open)->have == 1) {
		open->item_chunk = chunk;
		open->item_used = 0;
	}
	give_back(open);
	account(as, open, sizeof(*chunk) + region->size);
	return 0;
}

/* The last region is whole. */
static int finish_region(struct assembly *as, struct open *open)
{
	struct xr_item *item = last_item(open);
	int error = XR_ISOLATED && open->last != UNWANTED ? isolate(as, open) : 0;

	if (error)
		return error;
	open->continued = false;
	if (open->last == UNDECIDED)
		decide(as, open);
	return item->have == item->count ? finish_item(as, open) : 0;
}

/* A region that begins an item names its type and how many regions it has. */
static int add_item(struct assembly *as, struct open *open, const struct op *op)
{
	struct xr_item *items;
	uint16_t count;

	if (op->len < 4)
		return bad_op(as, op, "an item that is too short for its type");
	count = xr_get16(as->log->order, op->data + 2);
	if (!count || count > MAX_REGIONS)
		return bad_op(as, op, "an item with an impossible number of regions");
	items = grow(as, open, open->trans.items, open->trans.nitems, &open->max_items, sizeof(*items));
	if (!items)
		return no_memory(as);
	open->trans.items = items;
	open->last = UNDECIDED;
	items[open->trans.nitems++] = (struct xr_item){
		.type = xr_get16(as->log->order, op->data), .count = count, .lsn = op->rec->lsn, .number = open->nseen++};
	return 0;
}

static int add_region(struct assembly *as, struct open *open, const struct op *op)
{
	struct xr_region *regions;
	struct xr_item *item;
	int error;

	if (!op->len)
		return 0;
	if (!open->header_have)
		return add_header(as, open, op);
	if (open->header_have < HEADER_BYTES)
		return bad_op(as, op, "a region where the rest of the transaction header should follow");
	error = open->continued ? finish_region(as, open) : 0; /* it is as long as it is: the rest never came */
	item = last_item(open);
	if (!error && (!item || item->have == item->count)) {
		error = add_item(as, open, op);
		item = last_item(open);
	}
	if (error)
		return error;
	item->have++;
	if (open->last != UNWANTED) {
		regions = grow(as, open, open->regions, open->nregions, &open->max_regions, sizeof(*regions));
		if (!regions)
			return no_memory(as);
		open->regions = regions;
		regions[open->nregions++] = (struct xr_region){op->data, op->len};
		borrow(as, open);
	}
	open->continued = op->flags & XLOG_CONTINUE_TRANS;
	return open->continued ? 0 : finish_region(as, open);
}

/* Copy what is borrowed into the arena. */
static int own(struct assembly *as, struct open *open)
{
	const struct xr_item *item = last_item(open);

	for (size_t i = open->nowned; i < open->nregions; i++) {
		struct xr_region *region = &open->regions[i];
		uint8_t *room = arena_room(as, open, 0, region->size);

		if (!room)
			return no_memory(as);
		if (i + item->have == open->nregions) {
			open->item_chunk = open->chunks;
			open->item_used = open->chunks->used;
		}
		region->data = memcpy(room, region->data, region->size);
		open->chunks->used += region->size;
		open->nowned++;
	}
	give_back(open);
	return 0;
}

/* More bytes of the region before, or of the transaction header. */
static int continue_region(struct assembly *as, struct open *open, const struct op *op)
{
	struct xr_region *region;
	uint8_t *room;
	int error;

	if (open->header_have < HEADER_BYTES)
		return add_header(as, open, op);
	if (!open->nseen)
		return bad_op(as, op, "continues a region, but none was begun");
	if (!open->continued)
		return op->len ? bad_op(as, op, "continues a region that was whole") : 0;
	if (open->last != UNWANTED) {
		error = own(as, open);
		if (error)
			return error;
		region = &open->regions[open->nregions - 1];
		room = arena_room(as, open, region->size, op->len);
		if (!room)
			return no_memory(as);
		memcpy(room, op->data, op->len);
		open->chunks->used += op->len;
		region->data = room - region->size;
		region->size += op->len;
	}
	return op->flags & XLOG_CONTINUE_TRANS ? 0 : finish_region(as, open);
}

static int commit(struct assembly *as, struct open **link, const struct op *op)
{
	struct open *open = *link;
	struct xr_region *regions = open->regions;
	const struct xr_item *item;
	int error = 0;

	if (open->header_have && open->header_have < HEADER_BYTES)
		return bad_op(as, op, "committed without a whole transaction header");
	if (open->continued)
		error = finish_region(as, open);
	if (error)
		return error;
	item = last_item(open);
	if (item && item->have != item->count)
		return bad_op(as, op, "committed with regions of its last item missing");
	for (size_t i = 0; i < open->trans.nitems; i++) {
		open->trans.items[i].regions = regions;
		regions += open->trans.items[i].have;
	}
	open->trans.commit_lsn = op->rec->lsn;
	open->trans.nlogged = open->nseen;
	error = as->walker->commit(as->walker->arg, &open->trans);
	if (error < 0)
		return error;
	as->stats.committed++;
	end(as, link);
	return 0;
}

static int do_op(struct assembly *as, const struct op *op)
{
	struct open **link = lookup(as, op->tid);
	uint8_t flags = op->flags & (uint8_t)~XLOG_END_TRANS;

	if (op->client != XFS_TRANSACTION && op->client != XFS_LOG)
		return bad_op(as, op, "unknown client");
	if (!*link) /* without a START it began before the tail: all of it is on the disk */
		return op->flags & XLOG_START_TRANS ? begin(as, op, link) : 0;
	if (flags & XLOG_WAS_CONT_TRANS)
		flags &= (uint8_t)~XLOG_CONTINUE_TRANS;
	switch (flags) {
	case 0:
	case XLOG_CONTINUE_TRANS:
		return add_region(as, *link, op);
	case XLOG_WAS_CONT_TRANS:
		return continue_region(as, *link, op);
	case XLOG_COMMIT_TRANS:
		return commit(as, link, op);
	case XLOG_UNMOUNT_TRANS:
		xr_say(as->log->msg, XR_WARN, "log record at block %u: transaction 0x%08x ends in an unmount: dropped",
		       op->rec->block, op->tid);
		discard(as, link);
		return 0;
	default:
		return bad_op(as, op, flags & XLOG_START_TRANS ? "a second START" : "an impossible combination of flags");
	}
}

static int do_record(void *arg, const struct xr_record *rec, const uint8_t *data)
{
	struct assembly *as = arg;
	uint32_t left = rec->len, tail = as->head->tail;
	int error = 0;

	as->stats.reached = rec->block;
	for (uint32_t i = 0; !error && i < rec->num_ops; i++) {
		struct op op = {.rec = rec, .number = i};

		if (left < OP_BYTES)
			return bad_op(as, &op, "lies behind the record's end");
		op.tid = xr_be32(data + OP(tid));
		op.len = xr_be32(data + OP(len));
		op.client = data[OP(clientid)];
		op.flags = data[OP(flags)];
		op.data = data + OP_BYTES;
		if (op.len > left - OP_BYTES)
			return bad_op(as, &op, "reaches behind the record's end");
		error = do_op(as, &op);
		data += OP_BYTES + op.len;
		left -= (uint32_t)OP_BYTES + op.len;
	}
	while (!error && as->borrowers)
		error = own(as, as->borrowers);
	if (!error)
		as->stats.reached = xr_log_add(as->log, rec->block, rec->header_bbs + rec->data_bbs);
	as->stats.records++;
	as->stats.operations += rec->num_ops;
	as->stats.bytes += rec->len;
	as->stats.digest = (as->stats.digest + rec->crc + 1) * UINT64_C(0x9e3779b97f4a7c15);
	if (!error && as->walker->progress)
		as->walker->progress(as->walker->progress_arg,
				     xr_log_distance(as->log, tail, rec->block) + rec->header_bbs + rec->data_bbs,
				     xr_log_distance(as->log, tail, xr_head_end(as->head)));
	return error;
}

int xr_trans_walk_some(const struct xr_log *log, const struct xr_head *head, const struct xr_walker *walker,
		       struct xr_trans_stats *stats)
{
	struct assembly as = {.log = log, .head = head, .walker = walker, .stats.reached = head->tail};
	int error = xr_record_walk(log, head->tail, xr_head_end(head), do_record, &as);

	as.stats.unfinished = as.nopen;
	for (uint32_t i = 0; i < BUCKETS; i++) {
		while (as.buckets[i])
			(error ? end : discard)(&as, &as.buckets[i]);
	}
	while (as.spare) {
		struct chunk *chunk = as.spare;
		as.spare = chunk->next;
		free(chunk);
	}
	if (stats)
		*stats = as.stats;
	return error;
}

int xr_trans_walk(const struct xr_log *log, const struct xr_head *head, xr_commit_fn *fn, void *arg, struct xr_trans_stats *stats,
		  void (*progress)(void *arg, uint32_t done, uint32_t all), void *progress_arg)
{
	const struct xr_walker walker = {.commit = fn, .arg = arg, .progress = progress, .progress_arg = progress_arg};

	return xr_trans_walk_some(log, head, &walker, stats);
}
