/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Log records
 *
 * A record is 1 to 8 header blocks and its data. On the disk the first word of every block is the cycle, so that a torn write
 * shows; the words that stood there are kept in the header blocks. The order of work is therefore always: read, check the CRC
 * over what is on the disk, put the words back. The number of header blocks follows from the record's own h_size, never from
 * a neighbour's: records of sessions with different logbsize may stand between tail and head.
 */
#include "record.h"

#include <errno.h>
#include <string.h>
#include "format.h"

#define H(field) offsetof(struct xlog_rec_header, h_##field)
#define HEADER_BYTES 328u /* what the CRC covers of the header, padding included */
#define HEADER_BYTES_I386 324u /* the same structure where it has no padding */
#define XHEADER_BYTES 260u /* of an extended header */
#define XHEADER_DATA 4u /* where its saved words begin */
#define HEADER_COVERS (32u << 10) /* data bytes whose words fit in one header block */
#define HEADER_WORDS (HEADER_COVERS / XR_BB)
#define V1_MAX_BYTES (32u << 10)

uint32_t xr_block_cycle(const uint8_t *bb)
{
	uint32_t first = xr_be32(bb);

	return first == XR_RECORD_MAGIC ? xr_be32(bb + 4) : first;
}

static uint32_t div_up(uint32_t n, uint32_t by)
{
	return n / by + (n % by != 0);
}

static void decode(const struct xr_log *log, uint32_t block, const uint8_t *bb, struct xr_record *rec)
{
	*rec = (struct xr_record){
		.block = block,
		.cycle = xr_be32(bb + H(cycle)),
		.version = xr_be32(bb + H(version)),
		.len = xr_be32(bb + H(len)),
		.num_ops = xr_be32(bb + H(num_logops)),
		.fmt = xr_be32(bb + H(fmt)),
		.size = xr_be32(bb + H(size)),
		.prev_block = xr_be32(bb + H(prev_block)),
		.lsn = xr_be64(bb + H(lsn)),
		.tail_lsn = xr_be64(bb + H(tail_lsn)),
		.crc = xr_le32(bb + H(crc)),
		.header_bbs = 1,
	};
	memcpy(rec->uuid, bb + H(fs_uuid), sizeof(rec->uuid));
	rec->data_bbs = div_up(rec->len, XR_BB);
	if (!(rec->version & XLOG_VERSION_2))
		rec->size = V1_MAX_BYTES; /* whatever the field says */
	if (log->sb->logv2 && rec->version & XLOG_VERSION_2 && rec->size > HEADER_COVERS)
		rec->header_bbs = div_up(rec->size, HEADER_COVERS);
}

/* What is wrong with a header, or NULL. Behind this, header_bbs <= 8 and data_bbs <= 512. */
static const char *header_fault(const struct xr_log *log, const uint8_t *bb, const struct xr_record *rec)
{
	if (xr_be32(bb) != XR_RECORD_MAGIC)
		return "no record header";
	if (!rec->version || rec->version & ~(uint32_t)XLOG_VERSION_OKBITS)
		return "unknown version of a record header";
	if (!rec->len)
		return "a record without data";
	if (!(rec->version & XLOG_VERSION_2)) {
		if (rec->len > V1_MAX_BYTES)
			return "a record longer than version 1 allows";
	} else if (rec->size > XR_RECORD_MAX_BYTES) {
		return "an impossible log buffer size in a record header";
	} else if (rec->len > rec->size && (rec->num_ops != 1 || rec->len > XR_RECORD_MAX_BYTES)) {
		/* Old mkfs padded its unmount record to the stripe unit and left h_size alone: one operation, and legal. */
		return "a record longer than its log buffer";
	}
	if (rec->header_bbs + rec->data_bbs > log->bbs)
		return "a record longer than the log";
	return NULL;
}

static int look(const struct xr_log *log, uint32_t block, struct xr_record *rec, const char **fault)
{
	uint8_t *bb;
	int error = xr_ring_peek(log, block, 1, &bb);

	if (error)
		return error;
	decode(log, block, bb, rec);
	*fault = header_fault(log, bb, rec);
	return *fault ? -EUCLEAN : 0;
}

int xr_record_header(const struct xr_log *log, uint32_t block, struct xr_record *rec)
{
	const char *fault;

	return look(log, block, rec, &fault);
}

const char *xr_record_fault(const struct xr_log *log, uint32_t block)
{
	const char *fault = "a record header that cannot be read";
	struct xr_record rec;

	look(log, block, &rec, &fault);
	return fault;
}

/* The CRC with header_bytes of the first header block; of the extended ones only those count that hold words of this record. */
static uint32_t record_crc(const struct xr_log *log, const struct xr_record *rec, const uint8_t *headers, uint32_t header_bytes)
{
	static const uint8_t zero[4];
	uint32_t crc = xr_crc_feed(~0u, headers, H(crc));

	crc = xr_crc_feed(crc, zero, sizeof(zero));
	crc = xr_crc_feed(crc, headers + H(crc) + sizeof(zero), header_bytes - H(crc) - sizeof(zero));
	for (uint32_t i = 1; log->sb->logv2 && i < rec->header_bbs && i < div_up(rec->len, HEADER_COVERS); i++)
		crc = xr_crc_feed(crc, headers + (size_t)i * XR_BB, XHEADER_BYTES);
	return ~xr_crc_feed(crc, headers + (size_t)rec->header_bbs * XR_BB, rec->len);
}

int xr_record_read(const struct xr_log *log, const struct xr_record *rec, uint8_t **headers)
{
	/* Taken, not peeked: who reads a record may unpack it, and the next reader must find it as it is on the disk. */
	int error = xr_ring_take(log, rec->block, rec->header_bbs + rec->data_bbs, headers);

	if (error || !rec->crc)
		return error;
	if (record_crc(log, rec, *headers, HEADER_BYTES) == rec->crc ||
	    record_crc(log, rec, *headers, HEADER_BYTES_I386) == rec->crc)
		return 0;
	return -EBADMSG;
}

void xr_record_unpack(const struct xr_record *rec, uint8_t *headers)
{
	uint8_t *data = headers + (size_t)rec->header_bbs * XR_BB;

	for (uint32_t i = 0; i < rec->data_bbs; i++) {
		uint32_t header = i / HEADER_WORDS, word = i % HEADER_WORDS;

		if (header >= rec->header_bbs)
			break; /* the long unmount record of an old mkfs: nothing was saved of its padding */
		memcpy(data + (size_t)i * XR_BB,
		       headers + (size_t)header * XR_BB + (header ? XHEADER_DATA : H(cycle_data)) + 4 * (size_t)word, 4);
	}
}

/* What is wrong with a record that replay has reached, or NULL; *error says how bad it is. */
static const char *replay_fault(const struct xr_log *log, const struct xr_record *rec, int *error)
{
	*error = -EUCLEAN;
	if (rec->fmt != (log->order.big ? XLOG_FMT_LINUX_BE : XLOG_FMT_LINUX_LE))
		return "written in another byte order than the rest of the log";
	if (memcmp(rec->uuid, log->sb->uuid, sizeof(rec->uuid)))
		return "has another filesystem's UUID";
	if (rec->lsn != xr_lsn(rec->cycle, rec->block))
		return "has an LSN that is not its place";
	if (log->sb->v5 && !rec->crc)
		return "has no checksum";
	return NULL;
}

static int record_said(const struct xr_log *log, const struct xr_record *rec, int error, const char *fault)
{
	return xr_fail(log->msg, error, "log record at block %u (LSN %u:%u): %s%s", rec->block, xr_lsn_cycle(rec->lsn),
		       xr_lsn_block(rec->lsn), fault, xr_log_advice(log));
}

int xr_record_damaged(const struct xr_log *log, const struct xr_record *rec, int error, const char *fault)
{
	return xr_fail(log->msg, error,
		       "log record at block %u (LSN %u:%u): %s: damage, no torn write; --until-bad replays what comes before it, "
		       "xfs_repair -L would discard the whole log",
		       rec->block, xr_lsn_cycle(rec->lsn), xr_lsn_block(rec->lsn), fault);
}

int xr_record_next(const struct xr_log *log, uint32_t block, uint32_t left, struct xr_record *rec, const uint8_t **data)
{
	const char *fault = NULL;
	uint8_t *headers;
	int error = look(log, block, rec, &fault);

	if (error == -EUCLEAN)
		return xr_record_damaged(log, rec, error, fault);
	if (error)
		return error;
	if (rec->header_bbs + rec->data_bbs > left)
		return xr_record_damaged(log, rec, -EUCLEAN, "runs past the head of the log");
	fault = replay_fault(log, rec, &error);
	if (fault)
		return record_said(log, rec, error, fault);
	error = xr_record_read(log, rec, &headers);
	if (error == -EBADMSG && !log->sb->v5) {
		xr_say(log->msg, XR_WARN, "log record at block %u: bad checksum: ignored on V4, whose old kernels wrote others",
		       block);
		error = 0;
	}
	if (error == -EBADMSG)
		return xr_record_damaged(log, rec, error, "bad checksum");
	if (error)
		return error;
	xr_record_unpack(rec, headers);
	*data = headers + (size_t)rec->header_bbs * XR_BB;
	return 0;
}
