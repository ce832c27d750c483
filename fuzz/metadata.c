/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Metadata
 *
 * An input is a list of changes to the metadata blocks of a filesystem: which block, where in it, how many bytes, and the bytes. Blocks and inodes
 * get their checksums afterwards, so that it is malice and not decay. All of it happens in memory, over the file. Then everything looks at it:
 * the summary of the groups' headers, completion (unlinked inodes, copy-on-write leftovers and whatever trees they need), every name,
 * attribute and file.
 */
#include "target.h"

#include "finish/complete.h"
#include "format.h"
#include "fuzzfs.h"
#include "ring.h"
#include "summary.h"
#include "verify.h"

#define MAX_BLOCKS 1024u
#define MAX_CHANGES 64u
#define CHANGE_HEAD 5u /* block (2), offset (2), length - 1 */

static struct test_fs fs;
static struct xr_log log_;
static struct xr_head head;
static uint64_t blocks[MAX_BLOCKS]; /* daddr of those that hold metadata */
static size_t nblocks;

static bool is_metadata(const uint8_t *block)
{
	return xr_be16(block) == XFS_DINODE_MAGIC || xr_be32(block) == XFS_SB_MAGIC || xr_kind_of(block, fs.sb.blocksize);
}

static void find_blocks(void)
{
	uint8_t *block = malloc(fs.sb.blocksize);
	off_t at = 0;

	assert_non_null(block);
	while (nblocks < MAX_BLOCKS && (at = lseek(fs.dev.fd, at, SEEK_DATA)) >= 0) {
		at -= at % (off_t)fs.sb.blocksize;
		assert_int_equal(xr_dev_read(&fs.dev, block, fs.sb.blocksize, (uint64_t)at), 0);
		if (is_metadata(block))
			blocks[nblocks++] = (uint64_t)at / XR_BB;
		at += fs.sb.blocksize;
	}
	free(block);
	assert_true(nblocks > 20);
}

static void setup(void)
{
	fuzz_fs_make(&fs);
	assert_int_equal(xr_log_open(&log_, &fs.sb, &fs.dev, NULL, fs.process, &fs.t.msg), 0);
	assert_int_equal(xr_head_find(&log_, &head), 0);
	find_blocks();
}

/* AG headers are sectors in one block, inodes several in one, all else a block each. */
static void seal(uint64_t daddr, uint8_t *block)
{
	for (uint32_t at = 0; at < fs.sb.blocksize; at += XR_BB) {
		const struct xr_kind *kind = xr_kind_of(block + at, XR_BB);

		if (xr_be16(block + at) == XFS_DINODE_MAGIC)
			xr_crc_update(block + at, fs.sb.inodesize, offsetof(struct xfs_dinode, di_crc));
		else if (kind && kind->crc >= 0 && daddr % xr_ag_daddr(&fs.sb, 1) == 0)
			xr_crc_update(block + at, XR_BB, (size_t)kind->crc);
		else if (kind && kind->crc >= 0 && !at)
			xr_crc_update(block, fs.sb.blocksize, (size_t)kind->crc);
	}
}

static void change(struct xr_cache *cache, const uint8_t *data, size_t size)
{
	for (uint32_t n = 0; n < MAX_CHANGES && size > CHANGE_HEAD; n++) {
		uint64_t daddr = blocks[(data[0] | (size_t)data[1] << 8) % nblocks];
		uint32_t at = (data[2] | (uint32_t)data[3] << 8) % fs.sb.blocksize, len = 1u + data[4] % 32;
		struct xr_buf buf;

		data += CHANGE_HEAD;
		size -= CHANGE_HEAD;
		len = len < size ? len : (uint32_t)size;
		assert_int_equal(xr_buf_read(cache, daddr, fs.sb.blocksize / XR_BB, &buf), 0);
		memcpy(buf.data + at, data, len < buf.size - at ? len : buf.size - at);
		seal(daddr, buf.data);
		xr_buf_dirty(cache, &buf, 0, buf.size);
		xr_buf_put(cache, &buf);
		data += len;
		size -= len;
	}
}

static void run(const uint8_t *data, size_t size)
{
	struct xr_complete_stats stats;
	struct xr_head end = head;
	struct xr_summary summary;
	struct xr_cache *cache;
	struct xr_replay r;
	struct xr_fs now = {&r.sb, NULL, &fs.t.msg};

	assert_int_equal(xr_cache_create(&cache, &fs.dev, fs.process, false, &fs.t.msg), 0);
	change(cache, data, size);
	now.cache = cache;
	xr_replay_init(&r, &log_, cache, &fs.t.msg);
	if (!xr_summary_read(&summary, &now))
		xr_complete(&r, NULL, &end, &stats);
	fuzz_fs_look(&now);
	xr_replay_destroy(&r);
	xr_cache_destroy(cache);
}

/* Windows on the first half of each block, where headers, counts and the first inodes are: four to a seed, as they are. */
static void seeds(fuzz_seed_fn *fn, void *arg)
{
	uint8_t block[65536], seed[4 * (CHANGE_HEAD + 32)];

	for (size_t i = 0; i < nblocks; i++) {
		assert_int_equal(xr_dev_read(&fs.dev, block, fs.sb.blocksize, blocks[i] * XR_BB), 0);
		for (uint32_t at = 0; at < 2048; at += 128) {
			size_t size = 0;

			for (uint32_t window = at; window < at + 128; window += 32) {
				const uint8_t change_head[CHANGE_HEAD] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)window,
									  (uint8_t)(window >> 8), 31};

				memcpy(seed + size, change_head, CHANGE_HEAD);
				memcpy(seed + size + CHANGE_HEAD, block + window, 32);
				size += sizeof(change_head) + 32;
			}
			fn(arg, seed, size);
		}
	}
}

const struct fuzz_target fuzz_metadata = {"metadata", setup, seeds, run};
