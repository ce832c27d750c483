/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_LOGCASE_IMPL_H
#define TEST_LOGCASE_IMPL_H

/* What the builders of logcases.c are made of. */
#include "format.h"
#include "logcases.h"

#define LC_START 200u /* where the logs begin */
#define LC_CYCLE 6u
#define LC_CHUNK 128u
#define LC_FAR 12u /* so many records before the head no record can be torn */
#define LC_FILL (1u << (LC_MARKS - 1)) /* the mark of records that only fill */
/* What items do that are no marks: bits beside those of marks 28 to 30, which nobody writes. */
#define LC_INODE_CHANGED (1u << 30)
#define LC_CHUNK_MADE (1u << 29)
#define LC_DQUOT_THERE (1u << 28)
#define LC_GEN 4242u /* the generation that lc_inode() gives the root directory */
#define LC_DQUOT_BLOCK 100u
#define LC_DSB(field) offsetof(struct xfs_dsb, sb_##field)
#define LC_H(field) offsetof(struct xlog_rec_header, h_##field)

uint32_t lc_block_bbs(const struct lb *lb);
/* The n-th block of free space. */
uint64_t lc_free_daddr(const struct lb *lb, uint32_t block);

/* Where in the last group the new chunk of inodes will be. */
uint32_t lc_chunk_agbno(const struct lb *lb);

/* Operations: a buffer item's format, whose map is one word (the count of words that it names may be another); mark n; its cancel. */
void lc_buffer(struct lb *lb, uint32_t tid, uint64_t daddr, uint32_t bbs, uint32_t flags, uint16_t count, uint32_t map,
	       uint32_t words);
void lc_fill_mark(const struct lb *lb, uint32_t n, uint8_t chunk[LC_CHUNK]);
void lc_mark_op(struct lb *lb, uint32_t tid, uint32_t n);
void lc_cancel_op(struct lb *lb, uint32_t tid, uint32_t n);
/* A transaction of mark n; a record of it (its block); n records of nothing that matters. */
void lc_mark_trans(struct lb *lb, uint32_t tid, uint32_t n);
uint32_t lc_mark(struct lb *lb, uint32_t n);
void lc_fill(struct lb *lb, uint32_t n);
/* An item of one region, all zero but for its type; a transaction of such an item. */
uint8_t *lc_item(struct lb *lb, uint8_t *raw, size_t size, uint16_t type);
void lc_item_trans(struct lb *lb, uint32_t tid, const uint8_t *raw, uint32_t size);

/* The builders, each described where it is. */
typedef void lc_build(struct lb *lb, const struct logcase *c);
lc_build lc_far_header, lc_near_header, lc_far_uuid, lc_all_uuid, lc_mixed_order, lc_irix, lc_flipped, lc_cut_short, lc_hole,
	lc_zeroed, lc_cycled, lc_no_crc, lc_crc_i386, lc_empty_log, lc_no_records, lc_bad_tail, lc_tail_between, lc_unmounted,
	lc_wrapped, lc_wrapped_torn, lc_sizes, lc_largest, lc_bad_op, lc_more_ops, lc_fewer_ops, lc_second_start,
	lc_start_with_data, lc_no_commit, lc_ends_in_unmount, lc_began_before, lc_interleaved, lc_continued, lc_header_pieces,
	lc_continues_nothing, lc_regions, lc_raw_item, lc_bad_buffer, lc_bad_map, lc_other_type, lc_cancelled, lc_icreate,
	lc_inode, lc_dquot, lc_quotaoff, lc_intents_done, lc_done_alone, lc_done_32bit, lc_intent_count, lc_intent_pending,
	lc_sb_on_disk, lc_sb_logged;

#endif
