/* SPDX-License-Identifier: GPL-2.0-only */
/* What a V4 filesystem lacks: LSNs, checksums, inodes of version 3; and what it has instead. */
#include "replaybuild.h"

#include <errno.h>
#include <sys/stat.h>

#include "finish/finish.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define DSB(field) offsetof(struct xfs_dsb, sb_##field)
#define BLOCK (RB_BLOCK_BBS * XR_BB)
#define INODE 256u
#define CLUSTER_BBS 16u /* 8 KiB: 32 inodes */
#define CORE 96u /* what is logged of one */
#define FORKS 100u /* where its forks begin */

static const uint64_t at = RB_FREE_DADDR; /* AG 0, block 2048 */
static const uint64_t ino = (2048 << 2) + 5;

static int setup(void **state)
{
	const struct sb_build b = {.logblocks = 1024, .logstart = 64, .v4 = true, .uuid = "a V4 filesystem"};

	return rb_setup_with(state, &b);
}

static int setup_log1(void **state)
{
	const struct sb_build b = {.logblocks = 1024, .logstart = 64, .v4 = true, .logv1 = true, .uuid = "with an old log"};
	int ret = rb_setup_with(state, &b);
	struct rb *rb = *state;

	rb->lb.version = 1;
	rb->lb.size = 0x12345; /* means nothing */
	return ret;
}

static void log_block(struct rb *rb, uint16_t type, const uint8_t *block, uint32_t chunk, uint32_t count)
{
	rb_start(rb, 1);
	rb_buf_item(rb, 1, at, RB_BLOCK_BBS, (uint16_t)(type << XFS_BLFT_SHIFT), chunk, count, block + chunk * 128);
	rb_commit(rb, 1);
	rb_flush(rb);
}

/* Whatever is on the disk, the log is right: nothing is compared, nothing stamped, not even in what looks like a V5 block. */
static void test_buffers(void **state)
{
	static const uint16_t types[] = {XFS_BLFT_DIR_DATA_BUF, XFS_BLFT_AGF_BUF, 0};
	struct rb *rb = *state;
	uint8_t block[BLOCK], now[BLOCK];

	rb_dir_block(rb, block, at, UINT64_MAX - 1);
	rb_put(rb, at, block, BLOCK);
	for (unsigned i = 0; i < 3; i++) {
		lb_begin(&rb->lb, 3, 200);
		memset(block + 256, 0x40 + (int)i, 128);
		log_block(rb, types[i], block, 2, 1);
		assert_int_equal(rb_run(rb), 0);
		rb_get(rb, at, now, BLOCK);
		assert_memory_equal(now, block, BLOCK);
		assert_int_equal(rb->replay.stats.items[0].replayed, 1);
		assert_int_equal(rb->replay.stats.unverified, 0);
	}
	/* A piece of a directory block larger than the filesystem's is a buffer like any other: there is no checksum over the whole. */
	rb->lb.sb.dirblocksize = 4096;
	lb_begin(&rb->lb, 3, 200);
	log_block(rb, XFS_BLFT_DIR_LEAFN_BUF, block, 0, 1);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.stats.fragments, 0);
}

/* The AGF and the superblock of a V4 filesystem have bytes where V5 has LSN and CRC. */
static void test_headers(void **state)
{
	struct rb *rb = *state;
	uint8_t raw[XR_BB], now[XR_BB];

	rb_get(rb, 0, raw, XR_BB);
	xr_put_be64(raw + DSB(lsn), 1);
	memcpy(raw + 108, "label", 5);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, 0, 1, (uint16_t)(XFS_BLFT_SB_BUF << XFS_BLFT_SHIFT), 0, 4, raw);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, 0, now, XR_BB);
	assert_memory_equal(now, raw, XR_BB);
	assert_false(rb->replay.sb.v5);
}

/* --- inodes --- */

static void put_cluster(struct rb *rb, uint8_t version, uint16_t flushiter)
{
	uint8_t inodes[CLUSTER_BBS * XR_BB];

	memset(inodes, 0xdd, sizeof(inodes));
	for (unsigned i = 0; i < sizeof(inodes) / INODE; i++) {
		uint8_t *raw = inodes + i * INODE;

		memset(raw, 0, FORKS);
		xr_put_be16(raw, XFS_DINODE_MAGIC);
		raw[DI(version)] = version;
		xr_put_be16(raw + DI(flushiter), flushiter);
		xr_put_be32(raw + DI(next_unlinked), i == 5 ? 77 : NULLAGINO);
	}
	rb_put(rb, at, inodes, sizeof(inodes));
	xr_cache_destroy(rb->cache);
	assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
}

static void get_inode(struct rb *rb, uint8_t *raw)
{
	uint8_t sector[XR_BB];

	rb_get(rb, at + 2, sector, XR_BB);
	memcpy(raw, sector + INODE, INODE);
}

/* A file with an empty data fork; region 2 is the data fork when it has a size. */
static void build_core(struct rb *rb, uint8_t *core, uint8_t version, uint16_t flushiter)
{
	memset(core, 0, CORE);
	lb_put(&rb->lb, core, XFS_DINODE_MAGIC, 2);
	lb_put(&rb->lb, core + DI(mode), S_IFREG | 0640, 2);
	core[DI(version)] = version;
	core[DI(format)] = XFS_DINODE_FMT_EXTENTS;
	core[DI(aformat)] = XFS_DINODE_FMT_EXTENTS;
	lb_put(&rb->lb, core + DI(onlink), version == 1 ? 3 : 0, 2);
	lb_put(&rb->lb, core + DI(nlink), version == 1 ? 0 : 3, 4);
	lb_put(&rb->lb, core + DI(flushiter), flushiter, 2);
	lb_put(&rb->lb, core + DI(mtime), 0x11223344, 4);
	lb_put(&rb->lb, core + DI(mtime) + 4, 999, 4);
	lb_put(&rb->lb, core + DI(gen), 4711, 4);
}

static void log_inode(struct rb *rb, const uint8_t *core, uint32_t fields, const uint8_t *fork, uint32_t fork_size)
{
	uint8_t format[56] = {0};
	const void *regions[] = {format, core, fork};
	const uint32_t sizes[] = {sizeof(format), CORE, fork_size};

	lb_put(&rb->lb, format, XFS_LI_INODE, 2);
	lb_put(&rb->lb, format + 2, fork_size ? 3 : 2, 2);
	lb_put(&rb->lb, format + 4, fields, 4);
	lb_put(&rb->lb, format + 16, ino, 8);
	lb_put(&rb->lb, format + 40, at, 8);
	lb_put(&rb->lb, format + 48, CLUSTER_BBS, 4);
	lb_put(&rb->lb, format + 52, 5 * INODE, 4);
	rb_start(rb, 1);
	rb_item(rb, 1, fork_size ? 3 : 2, regions, sizes);
	rb_commit(rb, 1);
	rb_flush(rb);
}

/* A counter of flushes says which inode is newer, and it wraps. */
static void test_flushiter(void **state)
{
	static const struct {
		uint16_t logged, disk;
		bool replayed;
	} cases[] = {
		{0, 0, true},       {1, 0, true},      {5, 5, true},           {4, 5, false},
		{0, 1, false},      {0, 0xffff, true}, {0x7ffe, 0xffff, true}, {0x7fff, 0xffff, false},
		{0, 0xfffe, false}, {0xffff, 3, true},
	};
	struct rb *rb = *state;
	uint8_t core[CORE], raw[INODE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lb_begin(&rb->lb, 3, 200);
		put_cluster(rb, 2, cases[i].disk);
		build_core(rb, core, 2, cases[i].logged);
		log_inode(rb, core, XFS_ILOG_CORE, NULL, 0);
		assert_int_equal(rb_run(rb), 0);
		get_inode(rb, raw);
		if (xr_be16(raw + DI(mode)) != (cases[i].replayed ? S_IFREG | 0640 : 0))
			fail_msg("log %#x, disk %#x", cases[i].logged, cases[i].disk);
		assert_int_equal(xr_be16(raw + DI(flushiter)), cases[i].replayed ? 0 : cases[i].disk);
		assert_int_equal(rb->replay.stats.items[1].stale, !cases[i].replayed);
	}
}

/* Both versions; only the core is written: no CRC, no LSN, which would lie in the forks. */
static void test_core(void **state)
{
	struct rb *rb = *state;
	uint8_t core[CORE], raw[INODE], forks[INODE - FORKS];

	memset(forks, 0xdd, sizeof(forks));
	for (uint8_t version = 1; version <= 2; version++) {
		lb_begin(&rb->lb, 3, 200);
		put_cluster(rb, version, 0);
		build_core(rb, core, version, 9);
		log_inode(rb, core, XFS_ILOG_CORE, NULL, 0);
		assert_int_equal(rb_run(rb), 0);
		get_inode(rb, raw);
		assert_int_equal(raw[DI(version)], version);
		assert_int_equal(xr_be16(raw + DI(onlink)), version == 1 ? 3 : 0);
		assert_int_equal(xr_be32(raw + DI(nlink)), version == 1 ? 0 : 3);
		assert_int_equal(xr_be32(raw + DI(mtime)), 0x11223344);
		assert_int_equal(xr_be32(raw + DI(mtime) + 4), 999);
		assert_int_equal(xr_be32(raw + DI(gen)), 4711);
		assert_int_equal(xr_be32(raw + DI(next_unlinked)), 77);
		assert_memory_equal(raw + FORKS, forks, sizeof(forks));
	}
	build_core(rb, core, 3, 0);
	lb_begin(&rb->lb, 3, 200);
	log_inode(rb, core, XFS_ILOG_CORE, NULL, 0);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "inode version");
}

/* The logged root of an extent btree has the header of a V4 block, 24 bytes. */
static void test_btree_root(void **state)
{
	struct rb *rb = *state;
	uint8_t core[CORE], raw[INODE], root[24 + 3 * 16] = {0};
	unsigned max = (INODE - FORKS - 4) / 16;

	put_cluster(rb, 2, 0);
	build_core(rb, core, 2, 0);
	core[DI(format)] = XFS_DINODE_FMT_BTREE;
	lb_put(&rb->lb, core + DI(nextents), 300, 4);
	lb_put(&rb->lb, core + DI(nblocks), 400, 8);
	xr_put_be16(root + 4, 1);
	xr_put_be16(root + 6, 2);
	for (unsigned i = 0; i < 2; i++) {
		xr_put_be64(root + 24 + 8 * i, 0x1000 + i);
		xr_put_be64(root + 24 + 3 * 8 + 8 * i, 0x2000 + i);
	}
	log_inode(rb, core, XFS_ILOG_CORE | XFS_ILOG_DBROOT, root, sizeof(root));
	assert_int_equal(rb_run(rb), 0);
	get_inode(rb, raw);
	assert_int_equal(xr_be16(raw + FORKS), 1);
	assert_int_equal(xr_be16(raw + FORKS + 2), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(xr_be64(raw + FORKS + 4 + 8 * i), 0x1000 + i);
		assert_int_equal(xr_be64(raw + FORKS + 4 + 8 * max + 8 * i), 0x2000 + i);
	}
}

/* Of an inode buffer only the pointer is taken, and what V5 has for a CRC is left alone. */
static void test_inode_buffer(void **state)
{
	struct rb *rb = *state;
	uint8_t before[INODE], after[INODE], logged[128];

	put_cluster(rb, 2, 3);
	get_inode(rb, before);
	memset(logged, 0x77, sizeof(logged));
	xr_put_be32(logged + DI(next_unlinked), 1234);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, at, CLUSTER_BBS, XFS_BLF_INODE_BUF | XFS_BLFT_DINO_BUF << XFS_BLFT_SHIFT, 10, 1, logged);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	get_inode(rb, after);
	xr_put_be32(before + DI(next_unlinked), 1234);
	assert_memory_equal(after, before, INODE);
}

/* A new chunk comes as a plain buffer of inodes, in one transaction with the first of them, over blocks that held anything. */
static void test_new_chunk(void **state)
{
	struct rb *rb = *state;
	uint8_t core[CORE], raw[INODE], chunk[128], data[CLUSTER_BBS * XR_BB], format[56] = {0};
	const void *regions[] = {format, core};
	const uint32_t sizes[] = {sizeof(format), CORE};

	memset(data, 0xcc, sizeof(data));
	rb_put(rb, at, data, sizeof(data));
	memset(chunk, 0, sizeof(chunk));
	xr_put_be16(chunk, XFS_DINODE_MAGIC);
	chunk[DI(version)] = 2;
	xr_put_be32(chunk + DI(next_unlinked), NULLAGINO);
	build_core(rb, core, 2, 0);
	lb_put(&rb->lb, format, XFS_LI_INODE, 2);
	lb_put(&rb->lb, format + 2, 2, 2);
	lb_put(&rb->lb, format + 4, XFS_ILOG_CORE, 4);
	lb_put(&rb->lb, format + 16, ino, 8);
	lb_put(&rb->lb, format + 40, at, 8);
	lb_put(&rb->lb, format + 48, CLUSTER_BBS, 4);
	lb_put(&rb->lb, format + 52, 5 * INODE, 4);
	rb_start(rb, 1);
	rb_item(rb, 1, 2, regions, sizes);
	for (unsigned i = 0; i < sizeof(data) / INODE; i++)
		rb_buf_item(rb, 1, at, CLUSTER_BBS, (uint16_t)(XFS_BLFT_DINO_BUF << XFS_BLFT_SHIFT), 2 * i, 1, chunk);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	get_inode(rb, raw);
	assert_int_equal(xr_be16(raw + DI(mode)), S_IFREG | 0640);
	assert_int_equal(xr_be32(raw + DI(next_unlinked)), NULLAGINO);
	assert_int_equal(raw[INODE - 1], 0xcc);
}

/* --- the end --- */

/* The counters, and nothing else, where they are kept lazily; where not, the log has them. */
static void test_superblock(void **state)
{
	const struct xr_summary summary = {.icount = 64, .ifree = 3, .fdblocks = 1000};
	struct rb *rb = *state;
	uint8_t raw[XR_BB], now[XR_BB];

	for (int lazy = 0; lazy < 2; lazy++) {
		struct xr_sb sb = rb->lb.sb;

		sb.lazy_count = lazy;
		rb_get(rb, 0, raw, XR_BB);
		assert_int_equal(xr_finish_superblock(&sb, rb->cache, &summary, &rb->lb.head, &rb->lb.said.msg), 0);
		assert_int_equal(xr_cache_flush(rb->cache), 0);
		if (lazy) {
			xr_put_be64(raw + DSB(icount), 64);
			xr_put_be64(raw + DSB(ifree), 3);
			xr_put_be64(raw + DSB(fdblocks), 1000);
		}
		rb_get(rb, 0, now, XR_BB);
		assert_memory_equal(now, raw, XR_BB);
	}
}

/* Records of a version 1 log are as long as what is in them; the unmount record has 20 bytes. */
static void test_log_version_1(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK], now[BLOCK], header[XR_BB];
	uint32_t head;

	memset(block, 0x5a, sizeof(block));
	for (unsigned i = 0; i < 6; i++)
		log_block(rb, 0, block, i, 2);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, at, now, BLOCK);
	assert_memory_equal(now, block, 7 * 128);
	assert_int_equal(rb->replay.stats.log.records, 6);
	assert_int_not_equal(rb->replay.stats.log.bytes % XR_BB, 0);
	head = rb->lb.head.head;
	assert_int_equal(xr_finish_log(&rb->lb.log, &rb->lb.head, rb->cache), 0);
	rb_get(rb, rb->lb.log.daddr + head, header, XR_BB);
	assert_int_equal(xr_be32(header + offsetof(struct xlog_rec_header, h_version)), 1);
	assert_int_equal(xr_be32(header + offsetof(struct xlog_rec_header, h_len)), 20);
	assert_int_equal(lb_find(&rb->lb), 0);
	assert_true(rb->lb.head.clean);
	assert_int_equal(rb->lb.head.head, head + 2);
}

/* A torn record of a version 1 log is dropped as in any other. */
static void test_torn_version_1(void **state)
{
	struct rb *rb = *state;
	uint8_t block[BLOCK], now[BLOCK];

	memset(block, 0x5a, sizeof(block));
	for (unsigned i = 0; i < 6; i++)
		log_block(rb, 0, block, i, 1);
	lb_flip(&rb->lb, rb->lb.last + 1, 100);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->lb.head.torn, 1);
	rb_get(rb, at, now, BLOCK);
	assert_memory_equal(now, block, 5 * 128);
	assert_int_equal(now[5 * 128], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, rb_teardown)
#define T1(name) cmocka_unit_test_setup_teardown(test_##name, setup_log1, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(buffers),      T(headers),   T(flushiter),  T(core),           T(btree_root),
		T(inode_buffer), T(new_chunk), T(superblock), T1(log_version_1), T1(torn_version_1),
	};

	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
