/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_BED_H
#define TEST_BED_H

#include "finish/bmapedit.h"
#include "finish/complete.h"
#include "fsbuild.h"

/*
 * A filesystem that mkfs made, with two empty files a and b, to complete intents on that were made by hand; and xfs_repair to judge what
 * became of it.
 */
struct bed {
	struct test_fs fs;
	struct xr_cache *cache; /* that writes */
	struct xr_log log;
	struct xr_head head;
	struct xr_replay replay;
	struct xr_complete_stats stats;
	uint64_t a, b; /* inodes */
	const char *rtdev; /* for xfs_repair; NULL: none */
};

/* kind: options for mkfs. */
void bed_make(struct bed *bed, const char *kind);
/* Open for another change, as if nothing had been done before. */
void bed_again(struct bed *bed);
void bed_end(struct bed *bed);

#define bed_ok(bed, call)                                                                                                        \
	do {                                                                                                                     \
		int error_ = (call);                                                                                             \
		if (error_)                                                                                                      \
			fail_msg("%s: %d: %s", #call, error_, (bed)->fs.t.text);                                                 \
	} while (0)

uint64_t bed_free_blocks(struct bed *bed);
/* Close the log and let xfs_repair look. */
void bed_judge(struct bed *bed);

/* A transaction of the test's own. */
struct xr_tx *bed_begin(struct bed *bed);
void bed_commit(struct bed *bed, struct xr_tx *tx);

/* Put an inode on its list of unlinked ones. */
void bed_make_orphan(struct bed *bed, struct xr_tx *tx, uint64_t ino);

/* Add an intent of one region of size bytes, with a count; gives what comes behind its header of 16 bytes. */
uint8_t *bed_put(struct bed *bed, uint16_t type, uint64_t id, uint32_t size, uint32_t count);
/* A RUI or BUI of one entry; a CUI, or with flags 0 an EFI, of one entry. */
void bed_put_map(struct bed *bed, uint16_t type, uint64_t id, uint64_t owner, const struct xr_mapping *m, uint32_t flags);
void bed_put_blocks(struct bed *bed, uint16_t type, uint64_t id, uint64_t fsb, uint32_t count, uint32_t flags);

int bed_complete(struct bed *bed);
/* Complete and fail, saying word; forget the intents. */
void bed_refuse(struct bed *bed, int error, const char *word);

#endif
