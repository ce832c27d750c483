/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_RECORD_H
#define XR_RECORD_H

#include "ring.h"

/* A log record header, decoded (specification section 3). */
struct xr_record {
	uint32_t block; /* log block of the header */
	uint32_t cycle, version, len, num_ops, fmt, size, prev_block;
	uint64_t lsn, tail_lsn;
	uint32_t crc;
	uint8_t uuid[16];
	uint32_t header_bbs; /* 1 to 8 (section 3.2) */
	uint32_t data_bbs; /* len rounded up to BBs */
};

#define XR_RECORD_MAGIC 0xFEEDBABEu
#define XR_RECORD_MAX_BYTES (256u << 10)

/* The cycle of a log block, from its first 8 bytes (section 3.3). */
uint32_t xr_block_cycle(const uint8_t *bb);

/*
 * Decode the header at block and check what section 6 calls header sanity: magic, version, lengths against the limits of
 * the format. Says nothing: the search for the head meets garbage as a matter of course. 0, -EUCLEAN, -EIO (said).
 */
int xr_record_header(const struct xr_log *log, uint32_t block, struct xr_record *rec);

/* What a wrong header is, in words, for the caller's message; static storage. block as above. */
const char *xr_record_fault(const struct xr_log *log, uint32_t block);

/*
 * Read a record whole, headers and data, contiguous in the window, and check its CRC over what is on the disk (section 3.4;
 * 328 and 324 byte forms). *headers is the first header block, the data follows header_bbs blocks later. 0; -EBADMSG: the CRC is
 * wrong; -EIO. A CRC of 0 (never computed) is 0 here with rec->crc == 0: whether that will do is the caller's question.
 */
int xr_record_read(const struct xr_log *log, const struct xr_record *rec, uint8_t **headers);

/* Put the words that the cycle stamps displaced back (section 3.3). data is headers + header_bbs blocks. */
void xr_record_unpack(const struct xr_record *rec, uint8_t *headers);

/* Say that a record is damaged where no torn write explains it, and what can be done. Returns error. */
int xr_record_damaged(const struct xr_log *log, const struct xr_record *rec, int error, const char *fault);

/*
 * The record at block, as replay takes it, of which at most left blocks may remain to the head (section 6): read, verified (CRC policy of the replay:
 * on V5 a zero CRC is an error too) and unpacked, its rec->len bytes at *data. Errors are said with the record's LSN and block.
 */
int xr_record_next(const struct xr_log *log, uint32_t block, uint32_t left, struct xr_record *rec, const uint8_t **data);

#endif
