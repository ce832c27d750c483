/* SPDX-License-Identifier: GPL-2.0-only */
/* Buffer items: which are replayed, what they change, and which are refused before anything is. */
#include "replaybuild.h"

#include <errno.h>

#include "shadow.h"

#define DIR_DATA (XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT)
#define BLOCK (RB_BLOCK_BBS * XR_BB)
#define WHOLE (BLOCK / 128)

static const uint64_t at = RB_FREE_DADDR;

/* One transaction that logs a whole directory block whose last byte is mark. */
static void log_dir(struct rb *rb, uint32_t tid, uint8_t mark)
{
	uint8_t block[BLOCK];

	rb_dir_block(rb, block, at, 0x1111);
	block[BLOCK - 1] = mark;
	rb_start(rb, tid);
	rb_buf_item(rb, tid, at, RB_BLOCK_BBS, DIR_DATA, 0, WHOLE, block);
	rb_commit(rb, tid);
}

static const struct xr_item_stats *buffers(const struct rb *rb)
{
	return &rb->replay.stats.items[0];
}

static void test_stamped(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK];
	uint64_t lsn;

	log_dir(rb, 1, 0xaa);
	lsn = rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, at, block, BLOCK);
	assert_int_equal(block[BLOCK - 1], 0xaa);
	assert_int_equal(xr_be64(block + 16), lsn);
	assert_true(xr_crc_ok(block, BLOCK, 4));
	assert_int_equal(buffers(rb)->replayed, 1);
	assert_false(rb->replay.trivial);
	/* A second run finds it done. */
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(buffers(rb)->stale, 1);
	assert_int_equal(buffers(rb)->replayed, 0);
}

/* An item of an LSN is void when the block carries that LSN or a later one; but not when it is a left-over of another filesystem. */
static void test_lsn_order(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK];
	uint64_t lsn = xr_lsn(3, 100);

	for (int i = 0; i < 4; i++) {
		bool stale = i < 2;

		rb_dir_block(rb, block, at, i == 0 ? lsn : i == 1 ? lsn + 1 : i == 2 ? lsn - 1 : lsn + 1);
		if (i == 3)
			block[24] ^= 1;
		block[BLOCK - 1] = 0x55;
		rb_put(rb, at, block, BLOCK);
		xr_cache_destroy(rb->cache);
		assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
		if (i == 0) {
			log_dir(rb, 1, 0xaa);
			assert_int_equal(rb_flush(rb), lsn);
		}
		assert_int_equal(rb_run(rb), 0);
		rb_get(rb, at, block, BLOCK);
		assert_int_equal(block[BLOCK - 1], stale ? 0x55 : 0xaa);
	}
}

/* Two transactions that began in one record: the second must not find its own LSN on the block. */
static void test_shared_lsn(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK];

	log_dir(rb, 1, 0x01);
	log_dir(rb, 2, 0x02);
	rb_flush(rb);
	log_dir(rb, 3, 0x03);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, at, block, BLOCK);
	assert_int_equal(block[BLOCK - 1], 0x03);
	assert_int_equal(buffers(rb)->replayed, 3);
	assert_int_equal(rb->replay.stats.groups, 2);
}

static void test_chunks(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK], chunk[256];

	rb_dir_block(rb, block, at, 1);
	memset(block + 128, 0x11, BLOCK - 128);
	rb_put(rb, at, block, BLOCK);
	memset(chunk, 0x22, sizeof(chunk));
	rb_start(rb, 1);
	rb_buf_item(rb, 1, at, RB_BLOCK_BBS, DIR_DATA, 3, 2, chunk);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, at, block, BLOCK);
	for (unsigned i = 128; i < BLOCK; i++)
		assert_int_equal(block[i], i / 128 == 3 || i / 128 == 4 ? 0x22 : 0x11);
}

/* The run of bits may be split over regions, as old kernels did at page borders. */
static void test_split_regions(void **state)
{
	struct rb *rb = *state;
	uint8_t format[24] = {0}, data[5 * 128], block[BLOCK];
	const void *regions[] = {format, data, data + 128, data + 3 * 128};
	const uint32_t sizes[] = {24, 128, 256, 256};

	lb_put(&rb->lb, format, XFS_LI_BUF, 2);
	lb_put(&rb->lb, format + 2, 4, 2);
	lb_put(&rb->lb, format + 4, DIR_DATA, 2);
	lb_put(&rb->lb, format + 6, RB_BLOCK_BBS, 2);
	lb_put(&rb->lb, format + 8, at, 8);
	lb_put(&rb->lb, format + 16, 1, 4);
	lb_put(&rb->lb, format + 20, 0x67, 4); /* chunks 0 1 2, 5 6 */
	for (unsigned i = 0; i < 5; i++)
		memset(data + i * 128, (int)i + 1, 128);
	rb_dir_block(rb, block, at, 0);
	memcpy(data, block, 64);
	rb_start(rb, 1);
	rb_item(rb, 1, 4, regions, sizes);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, at, block, BLOCK);
	assert_int_equal(block[127], 1);
	assert_int_equal(block[128], 2);
	assert_int_equal(block[3 * 128 - 1], 3);
	assert_int_equal(block[3 * 128], 0);
	assert_int_equal(block[5 * 128], 4);
	assert_int_equal(block[6 * 128], 5);
}

static void test_cancel(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK];

	log_dir(rb, 1, 0x01);
	rb_flush(rb);
	/* The cancel comes first in the log's order and last in the transaction's. */
	rb_start(rb, 2);
	rb_buf_item(rb, 2, at, RB_BLOCK_BBS, XFS_BLF_CANCEL, 0, 0, NULL);
	rb_commit(rb, 2);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(buffers(rb)->cancelled, 1);
	rb_get(rb, at, block, BLOCK);
	assert_int_equal(block[BLOCK - 1], 0);
	/* Used again after the cancel: replayed. Another length is another buffer. */
	log_dir(rb, 3, 0x03);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(buffers(rb)->replayed, 1);
	rb_get(rb, at, block, BLOCK);
	assert_int_equal(block[BLOCK - 1], 0x03);
}

/* Only the unlinked pointer is taken from an inode buffer, and the inode gets a new CRC. */
static void test_inode_buffer(void **state)
{
	struct rb *rb = *state;
	uint8_t inodes[2 * RB_INODE] = {0}, logged[2 * RB_INODE], now[2 * RB_INODE];

	for (int i = 0; i < 2; i++)
		xr_put_be16(inodes + i * RB_INODE, XFS_DINODE_MAGIC);
	rb_put(rb, at, inodes, sizeof(inodes));
	memset(logged, 0x77, sizeof(logged));
	xr_put_be32(logged + RB_INODE + 96, 0x1234);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, at, RB_BLOCK_BBS, XFS_BLF_INODE_BUF | XFS_BLFT_DINO_BUF << XFS_BLFT_SHIFT, 4, 1, logged + RB_INODE);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, at, now, sizeof(now));
	assert_memory_equal(now, inodes, RB_INODE);
	assert_int_equal(xr_be32(now + RB_INODE + 96), 0x1234);
	assert_true(xr_crc_ok(now + RB_INODE, RB_INODE, 100));
	memset(now + RB_INODE + 96, 0, 8);
	assert_memory_equal(now + RB_INODE, inodes + RB_INODE, RB_INODE);
}

static void test_inode_buffer_zero(void **state)
{
	struct rb *rb = *state;
	uint8_t zero[128] = {0};

	rb_start(rb, 1);
	rb_buf_item(rb, 1, at, RB_BLOCK_BBS, XFS_BLF_INODE_BUF | XFS_BLFT_DINO_BUF << XFS_BLFT_SHIFT, 0, 1, zero);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "inode 0 on its unlinked list");
}

static void test_wrong_type(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK];

	rb_dir_block(rb, block, at, 7);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, at, RB_BLOCK_BBS, XFS_BLFT_AGF_BUF << XFS_BLFT_SHIFT, 0, WHOLE, block);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.stats.unverified, 1);
	rb_get(rb, at, block, BLOCK);
	assert_int_equal(xr_be64(block + 16), 7); /* as it came */
}

/* What the log makes of a block is checked before the group is written. */
static void test_wrong_place(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK], zero[BLOCK] = {0};

	rb_dir_block(rb, block, at + 2, 0);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, at, RB_BLOCK_BBS, DIR_DATA, 0, WHOLE, block);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "belongs at block");
	rb_get(rb, at, block, BLOCK);
	assert_memory_equal(block, zero, BLOCK);
}

static void test_fragment(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK];

	rb->lb.sb.dirblocksize = 4096;
	log_dir(rb, 1, 1);
	rb_flush(rb);
	assert_int_equal(lb_find(&rb->lb), 0);
	xr_replay_init(&rb->replay, &rb->lb.log, rb->cache, &rb->lb.said.msg);
	assert_int_equal(xr_replay_check(&rb->replay, &rb->lb.head), 0);
	assert_int_equal(rb->replay.stats.fragments, 1);
	assert_int_equal(rb->replay.stats.fragment_daddr, at);
	/* An attribute node has one block whatever a directory has; a directory's node has leaf addresses from 32 GiB on. */
	memset(block, 0, BLOCK);
	xr_put_be16(block + 8, XFS_DA3_NODE_MAGIC);
	for (int dir = 0; dir < 2; dir++) {
		xr_put_be32(block + 64 + 4, dir ? XFS_DIR2_LEAF_OFFSET >> SB_BUILD_BLOCKLOG : 1);
		rb_start(rb, 2);
		rb_buf_item(rb, 2, at, RB_BLOCK_BBS, XFS_BLFT_DA_NODE_BUF << XFS_BLFT_SHIFT, 0, WHOLE, block);
		rb_commit(rb, 2);
		rb_flush(rb);
		assert_int_equal(lb_find(&rb->lb), 0);
		xr_replay_destroy(&rb->replay);
		xr_replay_init(&rb->replay, &rb->lb.log, rb->cache, &rb->lb.said.msg);
		assert_int_equal(xr_replay_check(&rb->replay, &rb->lb.head), 0);
		assert_int_equal(rb->replay.stats.fragments, 1 + dir);
	}
}

/* Every way a buffer item can lie is found in pass 1. */
static void test_malformed(void **state)
{
	static const struct {
		const char *say;
		uint64_t daddr;
		uint32_t bbs, words, map, data, regions;
	} cases[] = {
		{"lie outside the device", UINT64_MAX, 2, 1, 1, 128, 2},
		{"lie outside the device", SB_BUILD_BYTES / XR_BB - 1, 2, 1, 1, 128, 2},
		{"lie outside the device", RB_FREE_DADDR, 0, 1, 1, 128, 2},
		{"larger than any", RB_FREE_DADDR, 137, 1, 1, 128, 2},
		{"does not fit its", RB_FREE_DADDR, 2, 2, 1, 128, 2},
		{"does not fit its", RB_FREE_DADDR, 2, UINT32_MAX / 4, 1, 128, 2},
		{"the map names chunk", RB_FREE_DADDR, 2, 1, 0x100, 128, 2},
		{"do not match", RB_FREE_DADDR, 2, 1, 1, 64, 2},
		{"bytes for", RB_FREE_DADDR, 2, 1, 1, 256, 2},
		{"bytes for", RB_FREE_DADDR, 2, 1, 3, 130, 2},
		{"do not match", RB_FREE_DADDR, 2, 1, 5, 128, 2},
		{"do not match", RB_FREE_DADDR, 2, 1, 1, 128, 3},
		{"do not match", RB_FREE_DADDR, 2, 1, 0, 128, 2},
	};
	struct rb *rb = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t format[24] = {0}, data[256] = {0};
		const void *regions[] = {format, data, data};
		const uint32_t sizes[] = {24, cases[i].data, cases[i].data};

		lb_put(&rb->lb, format, XFS_LI_BUF, 2);
		lb_put(&rb->lb, format + 2, cases[i].regions, 2);
		lb_put(&rb->lb, format + 6, cases[i].bbs, 2);
		lb_put(&rb->lb, format + 8, cases[i].daddr, 8);
		lb_put(&rb->lb, format + 16, cases[i].words, 4);
		lb_put(&rb->lb, format + 20, cases[i].map, 4);
		lb_begin(&rb->lb, 3, 200);
		rb_start(rb, 1);
		rb_item(rb, 1, cases[i].regions, regions, sizes);
		rb_commit(rb, 1);
		rb_flush(rb);
		if (rb_run(rb) != -EUCLEAN)
			fail_msg("case %zu was not refused", i);
		assert_said(&rb->lb.said, cases[i].say);
		assert_int_equal(rb->replay.stats.items[0].seen, 0);
	}
}

static void test_unknown_item(void **state)
{
	struct rb *rb = *state;
	uint8_t strange[16] = {0};
	const void *region = strange;
	const uint32_t size = sizeof(strange);

	lb_put(&rb->lb, strange, 0x1239, 2);
	lb_put(&rb->lb, strange + 2, 1, 2);
	log_dir(rb, 1, 1);
	rb_flush(rb);
	rb_start(rb, 2);
	rb_item(rb, 2, 1, &region, &size);
	rb_commit(rb, 2);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "0x1239");
	assert_int_equal(buffers(rb)->seen, 0);
}

/* The same log, replayed whole and in slices of four units, over a shadow or not, gives the same device. */
static void test_slices(void **state)
{
	struct rb *rb = *state;
	enum { BLOCKS = 300, ROUNDS = 3 };
	uint8_t *whole = malloc(SB_BUILD_BYTES), *sliced = malloc(SB_BUILD_BYTES), *before = malloc(SB_BUILD_BYTES);
	struct xr_shadow *shadow;
	uint8_t block[BLOCK];
	uint32_t tid = 1;

	for (int round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < BLOCKS; i++, tid++) {
			uint64_t daddr = at + (uint64_t)(i * 7919 % BLOCKS) * 10 * RB_BLOCK_BBS;

			rb_dir_block(rb, block, daddr, 0);
			block[BLOCK - 1] = (uint8_t)(tid * 13);
			rb_start(rb, tid);
			if (i % 50 == 7 && round == 1)
				rb_buf_item(rb, tid, daddr, RB_BLOCK_BBS, XFS_BLF_CANCEL, 0, 0, NULL);
			else
				rb_buf_item(rb, tid, daddr, RB_BLOCK_BBS, DIR_DATA, WHOLE - 2, 2, block + BLOCK - 256);
			rb_buf_item(rb, tid, daddr, RB_BLOCK_BBS, i % 50 == 7 && round == 1 ? XFS_BLF_CANCEL : DIR_DATA, 0,
				    i % 50 == 7 && round == 1 ? 0 : 1, block);
			rb_commit(rb, tid);
			if (i % 20 == 19)
				rb_flush(rb);
		}
	rb_get(rb, 0, before, SB_BUILD_BYTES);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, 0, whole, SB_BUILD_BYTES);
	assert_true(memcmp(before, whole, SB_BUILD_BYTES) != 0);
	rb_put(rb, 0, before, SB_BUILD_BYTES);
	rb->slice_bytes = 4 * XR_UNIT_BBS * XR_BB;
	tid = (uint32_t)buffers(rb)->replayed;
	for (int shadowed = 1; shadowed >= 0; shadowed--) {
		xr_cache_destroy(rb->cache);
		assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
		if (shadowed)
			assert_int_equal(xr_shadow_create(&shadow, &rb->lb.dev), 0);
		assert_int_equal(rb_run(rb), 0);
		assert_int_equal(buffers(rb)->replayed, tid);
		assert_int_equal(buffers(rb)->seen, 2 * ROUNDS * BLOCKS);
		rb_get(rb, 0, sliced, SB_BUILD_BYTES);
		assert_memory_equal(sliced, whole, SB_BUILD_BYTES);
		if (!shadowed)
			break;
		xr_shadow_close(shadow);
		rb_get(rb, 0, sliced, SB_BUILD_BYTES);
		assert_memory_equal(sliced, before, SB_BUILD_BYTES);
	}
	free(before);
	free(sliced);
	free(whole);
}

/* A superblock in the log is the geometry from there on, and must not shrink the filesystem. */
static void test_superblock(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;
	struct rb *rb = *state;
	uint8_t raw[XR_BB];

	sb_build(&b, raw);
	memcpy(raw + 108, "label", 5);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, 0, 1, (uint16_t)(XFS_BLFT_SB_BUF << XFS_BLFT_SHIFT), 0, 4, raw);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_true(rb->replay.trivial);
	rb_get(rb, 0, raw, sizeof(raw));
	assert_memory_equal(raw + 108, "label", 5);
	assert_true(xr_crc_ok(raw, sizeof(raw), 224));
	xr_put_be32(raw + 88, SB_BUILD_AGCOUNT - 1);
	xr_put_be64(raw + 8, SB_BUILD_AGBLOCKS * (SB_BUILD_AGCOUNT - 1));
	rb_start(rb, 2);
	rb_buf_item(rb, 2, 0, 1, (uint16_t)(XFS_BLFT_SB_BUF << XFS_BLFT_SHIFT), 0, 4, raw);
	rb_commit(rb, 2);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "geometry");
}

/* Blocks of the realtime bitmap have no header: whatever they hold, they are written as logged, always, and that is nothing to warn of. */
static void test_bare(void **state)
{
	struct rb *rb = *state;
	uint64_t daddr = RB_FREE_DADDR;
	uint8_t raw[1024], now[1024];

	rb_dir_block(rb, raw, daddr, UINT64_MAX / 2); /* by chance it looks like one that is newer */
	rb_put(rb, daddr, raw, sizeof(raw));
	raw[600] = 0x5a;
	rb_start(rb, 1);
	rb_buf_item(rb, 1, daddr, RB_BLOCK_BBS, (uint16_t)(XFS_BLFT_RTBITMAP_BUF << XFS_BLFT_SHIFT), 0, 8, raw);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.stats.unverified, 0);
	rb_get(rb, daddr, now, sizeof(now));
	assert_memory_equal(now, raw, sizeof(raw));
}

/* The device goes on behind the filesystem: what is there is not ours, unless the log makes the filesystem longer or nothing is written. */
static void test_behind_the_end(void **state)
{
	struct rb *rb = *state;
	uint64_t daddr = (SB_BUILD_AGBLOCKS * SB_BUILD_AGCOUNT - 10) * RB_BLOCK_BBS;
	uint16_t type = (uint16_t)(XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT);
	uint8_t raw[1024], sb[XR_BB];

	rb_dir_block(rb, raw, daddr, 0);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, daddr, RB_BLOCK_BBS, type, 0, 8, raw);
	rb_commit(rb, 1);
	rb_flush(rb);
	rb->lb.sb.dblocks -= 10;
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "behind the end of the filesystem");
	rb_start(rb, 2);
	rb_buf_item(rb, 2, daddr, RB_BLOCK_BBS, XFS_BLF_CANCEL, 0, 0, NULL);
	rb_commit(rb, 2);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	/* Grown: the superblock on the disk, logged as it is, has more blocks than when the replay began. */
	rb_get(rb, 0, sb, sizeof(sb));
	rb_start(rb, 3);
	rb_buf_item(rb, 3, 0, 1, (uint16_t)(XFS_BLFT_SB_BUF << XFS_BLFT_SHIFT), 0, 4, sb);
	rb_commit(rb, 3);
	rb_flush(rb);
	rb_start(rb, 4);
	rb_buf_item(rb, 4, daddr, RB_BLOCK_BBS, type, 0, 8, raw);
	rb_commit(rb, 4);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.sb.dblocks, SB_BUILD_AGBLOCKS * SB_BUILD_AGCOUNT);
	rb_get(rb, daddr, raw, sizeof(raw));
	assert_int_equal(xr_be32(raw), XFS_DIR3_DATA_MAGIC);
}

/* One that could not have come from this filesystem, or from a kernel whose log we may replay, is refused; nothing is written. */
static void test_superblock_of_another(void **state)
{
	static const struct {
		uint32_t at, bytes;
		uint64_t value;
		int error;
		const char *word;
	} cases[] = {
		{180, 4, 16, -EUCLEAN, "geometry"}, /* inoalignmt */
		{48, 8, 65, -EUCLEAN, "log elsewhere"}, /* logstart */
		{96, 4, 1000, -EUCLEAN, "log elsewhere"},
		{196, 4, 4096, -EUCLEAN, "log elsewhere"}, /* logsunit */
		{32, 4, 7, -EUCLEAN, "UUID"},
		{216, 4, 1, -EUCLEAN, "features"}, /* incompat */
		{212, 4, 4, -EUCLEAN, "features"}, /* ro_compat */
		{220, 4, 8, -EOPNOTSUPP, "log incompatible"},
	};
	const struct sb_build b = SB_BUILD_DEFAULT;
	struct rb *rb = *state;
	uint8_t raw[XR_BB], before[XR_BB], after[XR_BB];

	rb_get(rb, 0, before, sizeof(before));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rb_teardown(state);
		assert_int_equal(rb_setup(state), 0);
		rb = *state;
		sb_build(&b, raw);
		if (cases[i].bytes == 8)
			xr_put_be64(raw + cases[i].at, cases[i].value);
		else
			xr_put_be32(raw + cases[i].at, (uint32_t)cases[i].value);
		rb_start(rb, 1);
		rb_buf_item(rb, 1, 0, 1, (uint16_t)(XFS_BLFT_SB_BUF << XFS_BLFT_SHIFT), 0, 4, raw);
		rb_commit(rb, 1);
		rb_flush(rb);
		assert_int_equal(rb_run(rb), cases[i].error);
		assert_said(&rb->lb.said, cases[i].word);
		rb_get(rb, 0, after, sizeof(after));
		assert_memory_equal(before, after, sizeof(after));
	}
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, rb_setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(stamped),        T(lsn_order),   T(shared_lsn),   T(chunks),
		T(split_regions),  T(cancel),      T(inode_buffer), T(inode_buffer_zero),
		T(wrong_type),     T(wrong_place), T(fragment),     T(malformed),
		T(unknown_item),   T(superblock),  T(slices),       T(superblock_of_another),
		T(behind_the_end), T(bare),
	};

	/* In the byte order of either kind of machine. */
	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
