/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A log to look at
 *
 * The ring is read once, from the head forward: that way the oldest records come first. Where a header and its checksum are good a
 * record is taken, else the next block is tried. Operations are followed as far as it takes to know where an item begins: how
 * many regions the one before still lacks. A transaction whose START was overwritten is nobody's and left out.
 *
 * Memory: 48 bytes an item, of at least 16 bytes of log.
 */
#include "logview.h"

#include <errno.h>
#include <stdlib.h>

#include "format.h"
#include "table.h"

#define OP_BYTES 12u
#define TRANS_HEADER 16u
#define REGIONS_MAX 257u

/* The state of an open transaction in the table's 64-bit value: its number, bytes of its header still to come, regions of its item. */
#define OPEN(trans, header, left) ((uint64_t)(trans) << 16 | (uint64_t)(header) << 10 | (left))
#define OPEN_TRANS(value) ((size_t)((value) >> 16))
#define OPEN_HEADER(value) ((uint32_t)((value) >> 10 & 0x3f))
#define OPEN_LEFT(value) ((uint32_t)((value)&0x3ff))

struct reader {
	struct xr_logview *view;
	const struct xr_log *log;
	struct xr_table open; /* (tid, 0) */
	bool other; /* something but the superblock was committed between tail and head */
};

static void *grow(const struct reader *r, void *array, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 256;
	void *larger;

	if (n < *room)
		return array;
	larger = reallocarray(array, more, size);
	if (!larger)
		xr_fail(r->log->msg, -ENOMEM, "no memory for the list of the log's records");
	else
		*room = more;
	return larger;
}

static uint32_t group_of_daddr(const struct xr_log *log, uint64_t daddr)
{
	uint64_t group = (daddr >> (log->sb->blocklog - XR_BB_SHIFT)) / log->sb->agblocks;

	return group < log->sb->agcount ? (uint32_t)group : UINT32_MAX;
}

static uint32_t group_of_ino(const struct xr_log *log, uint64_t ino)
{
	uint64_t group = ino >> (log->sb->agblklog + log->sb->inopblog);

	return group < log->sb->agcount ? (uint32_t)group : UINT32_MAX;
}

static void describe(const struct xr_log *log, const uint8_t *p, uint32_t len, struct xr_seen_item *item)
{
	struct xr_order order = log->order;

	item->group = UINT32_MAX;
	if (item->type == XFS_LI_BUF && len >= 20) {
		item->flags = xr_get16(order, p + 4);
		item->bbs = xr_get16(order, p + 6);
		item->what = xr_get64(order, p + 8);
		item->group = group_of_daddr(log, item->what);
	} else if (item->type == XFS_LI_INODE && (len == 56 || len == 52)) {
		item->what = xr_get64(order, p + (len == 56 ? 16 : 12));
		item->group = group_of_ino(log, item->what);
	} else if (item->type == XFS_LI_ICREATE && len >= 12) {
		item->group = xr_be32(p + 4);
		item->what = xr_be32(p + 8);
	} else if (item->type == XFS_LI_DQUOT && len >= 8) {
		item->what = xr_get32(order, p + 4);
	} else if (len >= 16) {
		item->what = xr_get64(order, p + 8);
	}
}

static int add_item(struct reader *r, size_t trans, const uint8_t *p, uint32_t len, struct xr_entry *open)
{
	struct xr_logview *v = r->view;
	uint16_t count = xr_get16(r->log->order, p + 2);
	struct xr_seen_item *items, *item;

	if (!count || count > REGIONS_MAX) {
		xr_table_remove(&r->open, open);
		return 0;
	}
	items = grow(r, v->items, v->nitems, &v->items_room, sizeof(*items));
	if (!items)
		return -ENOMEM;
	v->items = items;
	item = &items[v->nitems++];
	*item = (struct xr_seen_item){
		.type = xr_get16(r->log->order, p), .regions = count, .trans = trans, .number = (uint32_t)v->trans[trans].items};
	describe(r->log, p, len, item);
	v->trans[trans].items++;
	if (item->group != UINT32_MAX)
		v->trans[trans].groups |= UINT64_C(1) << item->group % 64;
	if (v->records[v->nrecords - 1].state == XR_SEEN_ACTIVE && (item->type != XFS_LI_BUF || item->what))
		r->other = true;
	open->value = OPEN(trans, 0, count - 1u);
	return 0;
}

static int begin(struct reader *r, uint32_t tid)
{
	struct xr_logview *v = r->view;
	struct xr_seen_trans *trans = grow(r, v->trans, v->ntrans, &v->trans_room, sizeof(*trans));
	struct xr_entry *open;

	if (!trans)
		return -ENOMEM;
	v->trans = trans;
	open = xr_table_add(&r->open, tid, 0);
	if (!open)
		return xr_fail(r->log->msg, -ENOMEM, "no memory for the list of the log's transactions");
	trans[v->ntrans] = (struct xr_seen_trans){.tid = tid, .begin = v->nrecords - 1, .commit = XR_SEEN_NONE};
	open->value = OPEN(v->ntrans++, TRANS_HEADER, 0);
	return 0;
}

static int see_op(struct reader *r, uint32_t tid, uint8_t flags, const uint8_t *data, uint32_t len)
{
	struct xr_entry *open = xr_table_find(&r->open, tid, 0);
	uint32_t header;

	if (flags & XLOG_START_TRANS)
		return begin(r, tid);
	if (!open)
		return 0;
	if (flags & (XLOG_COMMIT_TRANS | XLOG_UNMOUNT_TRANS)) {
		r->view->trans[OPEN_TRANS(open->value)].commit = r->view->nrecords - 1;
		xr_table_remove(&r->open, open);
		return 0;
	}
	header = OPEN_HEADER(open->value);
	if (header) {
		open->value = OPEN(OPEN_TRANS(open->value), len < header ? header - len : 0, 0);
		return 0;
	}
	if (flags & XLOG_WAS_CONT_TRANS || !len)
		return 0;
	if (OPEN_LEFT(open->value)) {
		open->value--;
		return 0;
	}
	return len < 4 ? 0 : add_item(r, OPEN_TRANS(open->value), data, len, open);
}

static int see_ops(struct reader *r, const struct xr_record *rec, const uint8_t *data)
{
	uint32_t left = rec->len;
	int error = 0;

	for (uint32_t i = 0; i < rec->num_ops && left >= OP_BYTES && !error; i++) {
		uint32_t len = xr_be32(data + 4);

		if (len > left - OP_BYTES)
			break;
		if (data[9] & XLOG_UNMOUNT_TRANS)
			r->view->records[r->view->nrecords - 1].unmount = true;
		error = see_op(r, xr_be32(data), data[9], data + OP_BYTES, len);
		data += OP_BYTES + len;
		left -= OP_BYTES + len;
	}
	return error;
}

static int add_record(struct reader *r, const struct xr_record *rec, enum xr_seen_state state)
{
	struct xr_logview *v = r->view;
	struct xr_seen_record *records = grow(r, v->records, v->nrecords, &v->records_room, sizeof(*records));

	if (!records)
		return -ENOMEM;
	v->records = records;
	records[v->nrecords++] = (struct xr_seen_record){
		.block = rec->block,
		.blocks = rec->header_bbs + rec->data_bbs,
		.lsn = rec->lsn,
		.tail_lsn = rec->tail_lsn,
		.ops = rec->num_ops,
		.state = state,
		.items = v->nitems,
	};
	return 0;
}

/* What is at block: a record, whose blocks go to *blocks, or nothing. active: behind the tail. */
static int see(struct reader *r, uint32_t block, uint32_t left, bool active, uint32_t *blocks)
{
	struct xr_record rec;
	uint8_t *headers;
	int error = xr_record_header(r->log, block, &rec);

	*blocks = 1;
	if (!error && (rec.header_bbs + rec.data_bbs > left || rec.lsn != xr_lsn(rec.cycle, block) ||
		       memcmp(rec.uuid, r->log->sb->uuid, sizeof(rec.uuid))))
		error = -EUCLEAN;
	if (!error)
		error = xr_record_read(r->log, &rec, &headers);
	if (error == -EUCLEAN || (error == -EBADMSG && !active))
		return 0;
	if (error && error != -EBADMSG)
		return error;
	*blocks = rec.header_bbs + rec.data_bbs;
	if (error)
		return add_record(r, &rec, XR_SEEN_DAMAGED);
	xr_record_unpack(&rec, headers);
	error = add_record(r, &rec, active ? XR_SEEN_ACTIVE : XR_SEEN_OLD);
	return error ? error : see_ops(r, &rec, headers + (size_t)rec.header_bbs * XR_BB);
}

int xr_logview_read(struct xr_logview *view, const struct xr_log *log, const struct xr_head *head)
{
	struct reader r = {.view = view, .log = log};
	uint32_t old = xr_log_distance(log, head->head, head->tail), block = head->head, blocks;
	int error = 0;

	*view = (struct xr_logview){0};
	if (head->clean)
		old = log->bbs;
	for (uint32_t done = 0; done < log->bbs && !error; done += blocks) {
		/* A record never lies across the tail, nor across the head. */
		uint32_t left = done < old ? old - done : log->bbs - done;

		error = see(&r, block, left, done >= old, &blocks);
		block = xr_log_add(log, block, blocks);
	}
	view->trivial = !head->clean && !r.other;
	xr_table_clear(&r.open);
	return error;
}

void xr_logview_clear(struct xr_logview *view)
{
	free(view->records);
	free(view->trans);
	free(view->items);
	*view = (struct xr_logview){0};
}
