/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Transactions of our own
 *
 * Concept. A transaction is a set of buffers, each joined once and then held, with a bit for each 128-byte chunk that was changed and a copy of
 * what it was before. Commit turns the chunks into buffer items in the log; a transaction that ends without it puts the copies back, so the
 * cache shows whole transactions only, on the disk as in an overlay.
 *
 * Order of a commit. Blocks are stamped in memory, which also checks them. All that was written before is waited for, and the log is written and
 * flushed. Only then are the blocks marked as changed, and written; when they are on the disk no crash needs the log up to here, so the tail moves
 * to the head and each transaction has all of the log's room. Nothing names that tail before the next record, which is what waits for the
 * blocks. Until its COMMIT is on the disk the records name the old tail: a half-written transaction is replayed as if it had not been begun.
 *
 * One memory, one meaning. Whoever changes a tree holds several of its blocks at once and relies on what was checked of them. Damaged metadata
 * can name a block twice: as a new one that is in use already, or as a part of a longer buffer. So buffers that are not the same share nothing.
 *
 * Cost. Joining is a hash look-up; memory is twice the buffers joined; a commit is a pass over them and two flushes.
 */
#include "tx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "append.h"
#include "format.h"
#include "verify.h"

#define CHUNK 128u
#define MAP_AT offsetof(struct xfs_buf_log_format, blf_data_map)
#define SPARE_BYTES (64u << 10)

struct done {
	uint16_t type;
	uint64_t id;
	uint32_t count;
	struct xr_freed *extents;
};

struct xr_tx {
	struct xr_sb *sb;
	struct xr_cache *cache;
	const struct xr_log *log;
	struct xr_head *head;
	const struct xr_msg *msg;
	struct xr_table bufs; /* (daddr, BBs): struct xr_tx_buf * */
	struct xr_table blocks; /* (fs block, 0): the buffer that holds it; PARTS: several, each smaller than a block */
	struct xr_table rtfiles;
	struct xr_freed *busy; /* ascending, not overlapping */
	size_t nbusy, busy_room;
	struct done *done;
	size_t ndone, done_room;
};

static int no_memory(const struct xr_tx *tx)
{
	return xr_fail(tx->msg, -ENOMEM, "no memory for a transaction of %zu buffers", tx->bufs.count);
}

int xr_tx_begin(struct xr_tx **out, struct xr_sb *sb, struct xr_cache *cache, const struct xr_log *log, struct xr_head *head,
		const struct xr_msg *msg)
{
	struct xr_tx *tx = calloc(1, sizeof(*tx));

	*out = tx;
	if (!tx)
		return xr_fail(msg, -ENOMEM, "no memory for a transaction");
	*tx = (struct xr_tx){.sb = sb, .cache = cache, .log = log, .head = head, .msg = msg};
	return 0;
}

struct xr_sb *xr_tx_sb(struct xr_tx *tx)
{
	return tx->sb;
}

struct xr_cache *xr_tx_cache(struct xr_tx *tx)
{
	return tx->cache;
}

const struct xr_msg *xr_tx_msg(struct xr_tx *tx)
{
	return tx->msg;
}

struct xr_table *xr_tx_rtfiles(struct xr_tx *tx)
{
	return &tx->rtfiles;
}

uint64_t xr_tx_lsn(const struct xr_tx *tx)
{
	return xr_lsn(tx->head->cycle, tx->head->head);
}

/* --- buffers --- */

static struct xr_tx_buf *buf_of(const struct xr_entry *entry)
{
	return (struct xr_tx_buf *)(uintptr_t)entry->value;
}

/* A buffer of the transaction, made where there is none; without data yet. */
static int join(struct xr_tx *tx, uint64_t daddr, uint32_t bbs, struct xr_tx_buf **out)
{
	struct xr_entry *entry = xr_table_add(&tx->bufs, daddr, bbs);

	if (!entry)
		return no_memory(tx);
	if (!entry->value) {
		struct xr_tx_buf *buf = calloc(1, sizeof(*buf));

		if (!buf) {
			xr_table_remove(&tx->bufs, entry);
			return no_memory(tx);
		}
		buf->daddr = daddr;
		buf->bbs = bbs;
		buf->size = (size_t)bbs << XR_BB_SHIFT;
		entry->value = (uintptr_t)buf;
	}
	*out = buf_of(entry);
	return 0;
}

static int load(struct xr_tx *tx, struct xr_tx_buf *buf)
{
	int ret;

	if (buf->size > sizeof(buf->map) * 8 * CHUNK)
		return xr_fail(tx->msg, -EUCLEAN, "block %llu: a buffer of %zu bytes is larger than the log can have",
			       (unsigned long long)buf->daddr, buf->size);
	ret = xr_buf_read(tx->cache, buf->daddr, buf->bbs, &buf->buf);
	if (ret)
		return ret;
	buf->before = malloc(buf->size);
	if (!buf->before) {
		xr_buf_put(tx->cache, &buf->buf);
		return no_memory(tx);
	}
	buf->data = buf->buf.data;
	memcpy(buf->before, buf->data, buf->size);
	return 0;
}

/* What the blocks of a buffer lead to. */
#define PARTS 1u

static uint32_t block_bbs(const struct xr_tx *tx)
{
	return tx->sb->blocksize >> XR_BB_SHIFT;
}

static uint64_t claim_of(const struct xr_tx *tx, const struct xr_tx_buf *buf)
{
	return buf->bbs < block_bbs(tx) ? PARTS : (uintptr_t)buf;
}

/* No other buffer may lie over this one's blocks. */
static int claim(struct xr_tx *tx, const struct xr_tx_buf *buf)
{
	uint64_t last = (buf->daddr + buf->bbs - 1) / block_bbs(tx);

	for (uint64_t block = buf->daddr / block_bbs(tx); block <= last; block++) {
		struct xr_entry *entry = xr_table_add(&tx->blocks, block, 0);

		if (!entry)
			return no_memory(tx);
		if (!entry->value)
			entry->value = claim_of(tx, buf);
		if (entry->value != claim_of(tx, buf))
			return xr_fail(tx->msg, -EUCLEAN, "block %llu: in use as two things: the filesystem contradicts itself",
				       (unsigned long long)buf->daddr);
	}
	return 0;
}

static void disclaim(struct xr_tx *tx, const struct xr_tx_buf *buf)
{
	uint64_t last = (buf->daddr + buf->bbs - 1) / block_bbs(tx);

	for (uint64_t block = buf->daddr / block_bbs(tx); block <= last; block++) {
		struct xr_entry *entry = xr_table_find(&tx->blocks, block, 0);

		if (entry && entry->value == (uintptr_t)buf)
			xr_table_remove(&tx->blocks, entry);
	}
}

static void forget(struct xr_tx *tx, struct xr_tx_buf *buf)
{
	struct xr_entry *entry = xr_table_find(&tx->bufs, buf->daddr, buf->bbs);

	disclaim(tx, buf);
	xr_table_remove(&tx->bufs, entry);
	xr_buf_put(tx->cache, &buf->buf);
	free(buf->before);
	free(buf);
}

int xr_tx_get(struct xr_tx *tx, uint64_t daddr, uint32_t bbs, unsigned type, struct xr_tx_buf **out)
{
	struct xr_tx_buf *buf = NULL;
	int ret = join(tx, daddr, bbs, &buf);

	if (ret)
		return ret;
	if (buf->cancelled)
		return xr_fail(tx->msg, -EUCLEAN, "block %llu: freed and still in use: the filesystem contradicts itself",
			       (unsigned long long)daddr);
	if (!buf->data) {
		ret = claim(tx, buf);
		if (!ret)
			ret = load(tx, buf);
		if (ret) {
			forget(tx, buf);
			return ret;
		}
	}
	buf->type = type;
	*out = buf;
	return 0;
}

int xr_tx_get_new(struct xr_tx *tx, uint64_t daddr, uint32_t bbs, unsigned type, struct xr_tx_buf **out)
{
	struct xr_entry *entry = xr_table_find(&tx->bufs, daddr, bbs);
	int ret;

	if (entry && buf_of(entry)->data)
		return xr_fail(tx->msg, -EUCLEAN, "block %llu: in use, but listed as free: the filesystem contradicts itself",
			       (unsigned long long)daddr);
	ret = xr_tx_get(tx, daddr, bbs, type, out);
	if (ret)
		return ret;
	memset((*out)->data, 0, (*out)->size);
	xr_tx_log(tx, *out, 0, (*out)->size);
	return 0;
}

void xr_tx_log(struct xr_tx *tx, struct xr_tx_buf *buf, size_t offset, size_t size)
{
	(void)tx;
	for (size_t chunk = offset / CHUNK; size && chunk <= (offset + size - 1) / CHUNK; chunk++)
		buf->map[chunk / 32] |= 1u << chunk % 32;
}

bool xr_tx_changed(const struct xr_tx_buf *buf)
{
	for (unsigned i = 0; i < sizeof(buf->map) / sizeof(buf->map[0]); i++)
		if (buf->map[i])
			return true;
	return false;
}

/* --- freed blocks --- */

/* The first busy extent that ends behind fsb. */
static size_t busy_find(const struct xr_tx *tx, uint64_t fsb)
{
	size_t low = 0, high = tx->nbusy;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tx->busy[middle].fsb + tx->busy[middle].count > fsb)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

bool xr_tx_busy(struct xr_tx *tx, uint64_t fsb, uint32_t count)
{
	size_t at = busy_find(tx, fsb);

	return at < tx->nbusy && tx->busy[at].fsb < fsb + count;
}

/* None of these blocks is busy yet. */
static int set_busy(struct xr_tx *tx, uint64_t fsb, uint32_t count)
{
	size_t at = busy_find(tx, fsb);

	if (tx->nbusy == tx->busy_room) {
		size_t room = tx->busy_room ? 2 * tx->busy_room : 64;
		struct xr_freed *larger = realloc(tx->busy, room * sizeof(*larger));

		if (!larger)
			return no_memory(tx);
		tx->busy = larger;
		tx->busy_room = room;
	}
	memmove(&tx->busy[at + 1], &tx->busy[at], (tx->nbusy++ - at) * sizeof(*tx->busy));
	tx->busy[at] = (struct xr_freed){fsb, count};
	return 0;
}

int xr_tx_cancel(struct xr_tx *tx, uint64_t daddr, uint32_t bbs)
{
	unsigned shift = tx->sb->blocklog - XR_BB_SHIFT;
	uint64_t block = daddr >> shift, fsb = block / tx->sb->agblocks << tx->sb->agblklog | block % tx->sb->agblocks;
	uint32_t count = ((daddr + bbs - 1) >> shift) - block + 1;
	struct xr_tx_buf *buf = NULL;
	int ret = join(tx, daddr, bbs, &buf);

	if (ret)
		return ret;
	buf->cancelled = true;
	return xr_tx_busy(tx, fsb, count) ? 0 : set_busy(tx, fsb, count);
}

bool xr_tx_idle(struct xr_tx *tx, uint64_t fsb, uint32_t count, uint64_t *idle)
{
	uint64_t end = fsb + count;

	for (size_t at = busy_find(tx, fsb); at < tx->nbusy && tx->busy[at].fsb <= fsb; at++)
		fsb = tx->busy[at].fsb + tx->busy[at].count;
	*idle = fsb;
	return fsb < end;
}

/* --- done items --- */

int xr_tx_done(struct xr_tx *tx, uint16_t type, uint64_t id, const struct xr_freed *extents, uint32_t count)
{
	struct xr_freed *copy = NULL;

	if (tx->ndone == tx->done_room) {
		size_t room = tx->done_room ? 2 * tx->done_room : 64;
		struct done *larger = realloc(tx->done, room * sizeof(*larger));

		if (!larger)
			return no_memory(tx);
		tx->done = larger;
		tx->done_room = room;
	}
	if (count) {
		copy = malloc(count * sizeof(*copy));
		if (!copy)
			return no_memory(tx);
		memcpy(copy, extents, count * sizeof(*copy));
	}
	tx->done[tx->ndone++] = (struct done){type, id, count, copy};
	return 0;
}

/* --- the log's form --- */

/* Where the operations go: to the log, or, with a NULL append, nowhere: they are only counted. */
struct sink {
	struct xr_append *append;
	struct xr_order order;
	uint32_t tid;
	uint64_t ops, payload;
};

static int emit(struct sink *sink, uint8_t flags, const void *data, uint32_t len)
{
	sink->ops++;
	sink->payload += len;
	return sink->append ? xr_append_op(sink->append, sink->tid, XFS_TRANSACTION, flags, data, len) : 0;
}

static bool changed(const struct xr_tx_buf *buf, uint32_t chunk)
{
	return chunk < sizeof(buf->map) * 8 && buf->map[chunk / 32] >> chunk % 32 & 1;
}

/* The next run of changed chunks from *chunk on; 0: there is none. */
static uint32_t next_run(const struct xr_tx_buf *buf, uint32_t *chunk)
{
	uint32_t chunks = (uint32_t)(buf->size / CHUNK), count = 0;

	while (*chunk < chunks && !changed(buf, *chunk))
		++*chunk;
	while (*chunk + count < chunks && changed(buf, *chunk + count))
		count++;
	return count;
}

static uint16_t blf_flags(const struct xr_tx_buf *buf)
{
	uint16_t flags = (uint16_t)(buf->type << XFS_BLFT_SHIFT);

	if (buf->cancelled)
		return XFS_BLF_CANCEL;
	switch (buf->type) {
	case XFS_BLFT_UDQUOT_BUF:
		return flags | XFS_BLF_UDQUOT_BUF;
	case XFS_BLFT_PDQUOT_BUF:
		return flags | XFS_BLF_PDQUOT_BUF;
	case XFS_BLFT_GDQUOT_BUF:
		return flags | XFS_BLF_GDQUOT_BUF;
	default:
		return flags;
	}
}

static int emit_buf(struct sink *sink, const struct xr_tx_buf *buf)
{
	uint8_t format[MAP_AT + sizeof(buf->map)] = {0};
	uint32_t words = (uint32_t)((buf->size + 32 * CHUNK - 1) / (32 * CHUNK)), chunk = 0, count;
	uint16_t regions = 1;
	int ret;

	for (; !buf->cancelled && (count = next_run(buf, &chunk)); chunk += count)
		regions++;
	if (regions == 1 && !buf->cancelled)
		return 0;
	words = words < sizeof(buf->map) / 4 ? words : sizeof(buf->map) / 4;
	xr_put16(sink->order, format + offsetof(struct xfs_buf_log_format, blf_type), XFS_LI_BUF);
	xr_put16(sink->order, format + offsetof(struct xfs_buf_log_format, blf_size), regions);
	xr_put16(sink->order, format + offsetof(struct xfs_buf_log_format, blf_flags), blf_flags(buf));
	xr_put16(sink->order, format + offsetof(struct xfs_buf_log_format, blf_len), (uint16_t)buf->bbs);
	xr_put64(sink->order, format + offsetof(struct xfs_buf_log_format, blf_blkno), buf->daddr);
	xr_put32(sink->order, format + offsetof(struct xfs_buf_log_format, blf_map_size), words);
	for (uint32_t i = 0; i < words && !buf->cancelled; i++)
		xr_put32(sink->order, format + MAP_AT + 4 * i, buf->map[i]);
	ret = emit(sink, 0, format, (uint32_t)MAP_AT + 4 * words);
	for (chunk = 0; !ret && !buf->cancelled && (count = next_run(buf, &chunk)); chunk += count)
		ret = emit(sink, 0, buf->data + chunk * CHUNK, count * CHUNK);
	return ret;
}

/* The header is that of an intent: type, regions, count, id; EFDs list their extents after it. */
static int emit_done(struct sink *sink, const struct done *done)
{
	size_t size = 16 + (size_t)done->count * 16;
	uint8_t *item = calloc(1, size);
	int ret;

	if (!item)
		return -ENOMEM;
	xr_put16(sink->order, item, done->type);
	xr_put16(sink->order, item + 2, 1);
	xr_put32(sink->order, item + 4, done->count);
	xr_put64(sink->order, item + 8, done->id);
	for (uint32_t i = 0; i < done->count; i++) {
		xr_put64(sink->order, item + 16 + 16 * i, done->extents[i].fsb);
		xr_put32(sink->order, item + 24 + 16 * i, done->extents[i].count);
	}
	ret = emit(sink, 0, item, (uint32_t)size);
	free(item);
	return ret;
}

static int emit_all(const struct xr_tx *tx, struct sink *sink)
{
	uint8_t header[sizeof(struct xfs_trans_header)];
	uint32_t items = (uint32_t)(tx->bufs.count + tx->ndone);
	int ret = emit(sink, XLOG_START_TRANS, NULL, 0);

	xr_put32(sink->order, header, XFS_TRANS_HEADER_MAGIC);
	xr_put32(sink->order, header + 4, XFS_TRANS_CHECKPOINT);
	xr_put32(sink->order, header + 8, sink->tid);
	xr_put32(sink->order, header + 12, items);
	if (!ret)
		ret = emit(sink, 0, header, sizeof(header));
	for (const struct xr_entry *e = tx->bufs.first; e && !ret; e = e->next)
		ret = emit_buf(sink, buf_of(e));
	for (size_t i = 0; i < tx->ndone && !ret; i++)
		ret = emit_done(sink, &tx->done[i]);
	return ret ? ret : emit(sink, XLOG_COMMIT_TRANS, NULL, 0);
}

bool xr_tx_empty(const struct xr_tx *tx)
{
	bool none = !tx->ndone;

	for (const struct xr_entry *e = tx->bufs.first; e && none; e = e->next) {
		uint32_t chunk = 0;

		none = !buf_of(e)->cancelled && !next_run(buf_of(e), &chunk);
	}
	return none;
}

uint64_t xr_tx_log_bytes(const struct xr_tx *tx)
{
	struct sink sink = {0};

	if (xr_tx_empty(tx) || !tx->log || emit_all(tx, &sink))
		return 0;
	return xr_append_bytes(tx->log, tx->head, tx->head->tail_lsn, sink.ops, sink.payload);
}

bool xr_tx_full(const struct xr_tx *tx)
{
	return tx->log && xr_tx_log_bytes(tx) + SPARE_BYTES > xr_append_space(tx->log, tx->head);
}

/* --- commit --- */

/*
 * Give every changed block its LSN and CRC. Inodes and dquots have their own. A block that is not what its item would say is a mistake that
 * the kernel would write without a CRC: stop before that.
 */
static int stamp(struct xr_tx *tx)
{
	int ret = 0;

	for (const struct xr_entry *e = tx->bufs.first; e && !ret && tx->sb->v5; e = e->next) {
		struct xr_tx_buf *buf = buf_of(e);
		uint32_t chunk = 0;

		if (buf->cancelled || !next_run(buf, &chunk) || xr_type_is_bare(tx->sb, buf->type))
			continue;
		if (!xr_type_matches(buf->type, buf->data, buf->size))
			ret = xr_fail(tx->msg, -EUCLEAN, "block %llu: should be of type %u, but is not",
				      (unsigned long long)buf->daddr, buf->type);
		else
			ret = xr_block_stamp(tx->sb, buf->daddr, buf->data, buf->size, xr_tx_lsn(tx), tx->msg);
	}
	return ret;
}

/* Transactions whose end a crash cut off may still be in the log: an id that comes from the place is not theirs. */
static uint32_t tid_of(uint64_t lsn)
{
	return xr_lsn_cycle(lsn) << 24 | xr_lsn_block(lsn);
}

static int write_log(struct xr_tx *tx)
{
	uint64_t bytes = xr_tx_log_bytes(tx), space = xr_append_space(tx->log, tx->head);
	struct xr_append append = {0};
	struct sink sink = {.append = &append, .order = tx->log->order, .tid = tid_of(xr_tx_lsn(tx))};
	int ret;

	if (bytes > space)
		return xr_fail(tx->msg, -ENOSPC,
			       "completing what the log left takes %llu bytes of log, and %llu are free: a kernel has to do it",
			       (unsigned long long)bytes, (unsigned long long)space);
	ret = xr_append_begin(&append, tx->log, tx->head, tx->cache, tx->head->tail_lsn);
	if (!ret)
		ret = emit_all(tx, &sink);
	if (!ret)
		return xr_append_end(&append);
	xr_append_drop(&append);
	return ret;
}

/*
 * Let go of everything. keep: what was changed is to be written; else, and where the block was freed anyway, all is as it was before. Buffers
 * may overlap: the last one joined goes first.
 */
static void reset(struct xr_tx *tx, bool keep)
{
	while (tx->bufs.last) {
		struct xr_tx_buf *buf = buf_of(tx->bufs.last);
		uint32_t chunk = 0;

		if (buf->data && (!keep || buf->cancelled))
			memcpy(buf->data, buf->before, buf->size);
		else if (buf->data && next_run(buf, &chunk))
			xr_buf_dirty(tx->cache, &buf->buf, 0, buf->size);
		forget(tx, buf);
	}
	while (tx->ndone)
		free(tx->done[--tx->ndone].extents);
	xr_table_clear(&tx->blocks);
	tx->nbusy = 0;
}

int xr_tx_commit(struct xr_tx *tx)
{
	uint64_t lsn = xr_tx_lsn(tx);
	int ret;

	if (xr_tx_empty(tx)) {
		reset(tx, false);
		return 0;
	}
	ret = stamp(tx);
	if (!ret && tx->log)
		ret = write_log(tx);
	if (ret)
		return ret;
	reset(tx, true);
	if (!tx->log)
		return 0;
	tx->sb->lsn = lsn;
	ret = xr_cache_flush(tx->cache);
	if (ret)
		return ret;
	tx->head->tail_lsn = xr_lsn(tx->head->cycle, tx->head->head);
	tx->head->tail = tx->head->head;
	return 0;
}

void xr_tx_end(struct xr_tx *tx)
{
	if (!tx)
		return;
	reset(tx, false);
	xr_table_clear(&tx->bufs);
	xr_table_clear(&tx->rtfiles);
	free(tx->busy);
	free(tx->done);
	free(tx);
}
