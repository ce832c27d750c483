/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_REPLAYBUILD_H
#define TEST_REPLAYBUILD_H

/*
 * Replays for tests: a log of hand-made items over a small filesystem (sbbuild.h: blocks of 1 KiB, inodes of 512 bytes), replayed into a
 * cache. One fixture a test.
 */
#include "bytes.h"
#include "format.h"
#include "logbuild.h"
#include "replay.h"

#define RB_BLOCK_BBS 2u /* BBs of a block */
#define RB_INODE 512u

struct rb {
	struct lb lb;
	struct vmap_process *process;
	struct xr_cache *cache;
	struct xr_replay replay;
	uint64_t slice_bytes; /* not 0: pass 2 in slices of this size */
	struct xr_skip *skips; /* items that are left out */
	size_t nskips;
};

/* For cmocka: *state is the fixture; the log stands open for operations of its first record. */
int rb_setup(void **state);
int rb_setup_with(void **state, const struct sb_build *b);
int rb_teardown(void **state);
/* A group setup: from here on the logs are those of a big-endian machine. */
int rb_big_endian(void **state);

/* Operations of the record under construction. */
void rb_start(struct rb *rb, uint32_t tid);
void rb_commit(struct rb *rb, uint32_t tid);
/* A buffer item that logs the chunks [chunk, chunk + count) with data; count 0: none, as cancels are. */
void rb_buf_item(struct rb *rb, uint32_t tid, uint64_t daddr, uint32_t bbs, uint16_t flags, uint32_t chunk, uint32_t count,
		 const uint8_t *data);
/* An item of one to four regions, as they are. */
void rb_item(struct rb *rb, uint32_t tid, unsigned count, const void *const *regions, const uint32_t *sizes);
/* Write the record; the next operations go into a new one, of another LSN. Gives the LSN. */
uint64_t rb_flush(struct rb *rb);

/* Pass 1, and pass 2 if that succeeded; then, if both did, the changed blocks are written. */
int rb_run(struct rb *rb);

/* Blocks on the disk, outside the log: anything from daddr 4096 on is free for tests. */
#define RB_FREE_DADDR 4096u
void rb_put(struct rb *rb, uint64_t daddr, const void *data, size_t size);
void rb_get(struct rb *rb, uint64_t daddr, void *data, size_t size);

/* A directory data block of this filesystem (V5), of one block: magic, blkno, LSN, UUID; CRC left 0. */
void rb_dir_block(const struct rb *rb, uint8_t *raw, uint64_t daddr, uint64_t lsn);

#endif
