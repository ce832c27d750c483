/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_LOGBUILD_H
#define TEST_LOGBUILD_H

/*
 * Logs for tests
 *
 * A writer of log records, independent of the code under test: operations are collected in a record, which lb_flush() stamps,
 * seals and writes at the current place of the ring. Every field of the next record may be set to anything before that.
 */
#include <vmap/linux.h>
#include "sbbuild.h"
#include "support.h"
#include "trans.h"

#define LB_BLF 0x123c /* the item type used where it does not matter */
#define LB_MAX_DATA (300u << 10)

struct lb {
	struct test_msg said;
	struct xr_dev dev; /* the log's device: the filesystem's, or an external one */
	struct xr_sb sb;
	struct xr_log log;
	struct vmap_process *own; /* lb_open()'s */
	struct xr_head head;
	bool external;

	/* Where the next record goes, and what stands in its header. */
	uint32_t block, cycle, prev;
	uint64_t tail_lsn;
	uint32_t version, fmt, size; /* size: h_size; fmt decides in which byte order payload is written */
	uint8_t uuid[16];
	uint32_t crc_header; /* header bytes the CRC covers: 328 or 324 */
	bool no_crc;
	/* Called between the stamping and the CRC, with the whole record; NULL: nothing. */
	void (*spoil)(struct lb *lb, uint8_t *record, size_t bytes);

	/* Called with the data of each record (data, len) before it is written; NULL: nothing. */
	void (*capture)(struct lb *lb, void *arg);
	void *capture_arg;

	uint32_t last; /* block of the last record written */
	uint32_t len, ops; /* of the record under construction */
	uint8_t data[LB_MAX_DATA];
};

/* For groups of tests: the process whose pages their windows and caches are of; its end fails where one of those was left behind. */
extern struct vmap_process *lb_process;
int lb_setup(void **state);
int lb_teardown(void **state);

/* The log's size is b->logblocks * 2 BBs. b->logstart 0: an external log. The log is all zero. */
void lb_init(struct lb *lb, const struct sb_build *b, struct vmap_process *process);
/* The log of the filesystem in this file, as it is; ends the program where there is none. */
void lb_open(struct lb *lb, const char *image);
void lb_end(struct lb *lb);

/* Stamp the whole log as if the cycle before had filled it, and begin at block in the given cycle. */
void lb_begin(struct lb *lb, uint32_t cycle, uint32_t block);

/* Put a number of 2, 4 or 8 bytes as the writer of this log would. */
void lb_put(const struct lb *lb, uint8_t *p, uint64_t value, unsigned bytes);

void lb_op(struct lb *lb, uint32_t tid, uint8_t flags, const void *data, uint32_t len);
/* An item's first region of len bytes: type, count, then a pattern full of record magics that depends on tid. */
void lb_item(struct lb *lb, uint32_t tid, uint8_t flags, uint16_t count, uint32_t len);
void lb_pattern(uint8_t *data, uint32_t len, uint32_t seed);
void lb_start(struct lb *lb, uint32_t tid); /* START and transaction header */
void lb_commit(struct lb *lb, uint32_t tid);
/* A whole transaction of one item. */
void lb_trans(struct lb *lb, uint32_t tid, uint32_t len);
void lb_unmount(struct lb *lb);

/* Write the record. Gives the block it stands in. */
uint32_t lb_flush(struct lb *lb);
/* A record with one whole transaction. */
uint32_t lb_record(struct lb *lb, uint32_t tid, uint32_t len);
/* The tail of the following records is where the next one will stand. */
void lb_set_tail(struct lb *lb);

/* Change a byte on the disk, or make count blocks zero. */
void lb_flip(struct lb *lb, uint32_t block, uint32_t offset);
void lb_zero(struct lb *lb, uint32_t block, uint32_t count);

/* xr_head_find() with everything said forgotten before. */
int lb_find(struct lb *lb);

/* What xr_trans_walk() gave. */
struct lb_seen {
	struct xr_trans_stats stats;
	size_t n;
	struct {
		uint32_t tid;
		uint64_t lsn, commit_lsn;
		size_t items, regions, bytes;
		bool pattern; /* every item's regions together are lb_item()'s pattern */
	} t[64];
};

int lb_walk(struct lb *lb, struct lb_seen *seen);

#endif
