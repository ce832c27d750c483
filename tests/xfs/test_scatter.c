/* SPDX-License-Identifier: GPL-2.0-only */
/* Directory blocks in several extents, logged piece by piece. */
#include "replaybuild.h"

#include <errno.h>
#include <sys/stat.h>

#include "dir.h"
#include "inode.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define BLOCK 1024u
#define PIECES 4u
#define DIR_BYTES (PIECES * BLOCK)
#define CLUSTER_BBS 16u
#define TYPE(t) ((uint16_t)(XFS_BLFT_##t##_BUF << XFS_BLFT_SHIFT))
#define SECOND_BLOCK (XFS_DIR2_LEAF_OFFSET >> SB_BUILD_BLOCKLOG) /* file block of the index */

static const uint64_t inodes_at = RB_FREE_DADDR; /* AG 0, block 2048 */
static const uint64_t ino = 2048 * 2 + 1;
/* Anywhere, out of order; every second one lies inside one page with a stranger. */
static const uint32_t data_at[PIECES] = {2301, 2200, 2413, 2290}, leaf_at[PIECES] = {2500, 2601, 2550, 2551};

static int setup(void **state)
{
	int ret = rb_setup(state);
	struct rb *rb = *state;

	rb->lb.sb.dirblklog = 2;
	rb->lb.sb.dirblocksize = DIR_BYTES;
	return ret;
}

/* --- a directory --- */

static void extent(uint8_t *p, uint64_t offset, uint64_t block)
{
	xr_put_be64(p, offset << 9 | block >> 43);
	xr_put_be64(p + 8, block << 21 | 1);
}

/* The disk has a cluster of inodes, one of them this directory, with its map: the pieces of a data block and of a leaf. */
static void put_directory(struct rb *rb)
{
	uint8_t cluster[CLUSTER_BBS * XR_BB] = {0};

	for (unsigned i = 0; i < CLUSTER_BBS; i++) {
		uint8_t *raw = cluster + i * RB_INODE;

		xr_put_be16(raw + DI(magic), XFS_DINODE_MAGIC);
		raw[DI(version)] = 3;
		xr_put_be32(raw + DI(next_unlinked), NULLAGINO);
		xr_put_be64(raw + DI(ino), 2048 * 2 + i);
		memcpy(raw + DI(uuid), rb->lb.sb.meta_uuid, 16);
		xr_crc_update(raw, RB_INODE, DI(crc));
	}
	rb_put(rb, inodes_at, cluster, sizeof(cluster));
}

static void log_inode(struct rb *rb, uint32_t tid)
{
	uint8_t format[56] = {0}, c[176] = {0}, map[2 * PIECES * 16];
	const void *regions[] = {format, c, map};
	const uint32_t sizes[] = {sizeof(format), sizeof(c), sizeof(map)};

	lb_put(&rb->lb, format, XFS_LI_INODE, 2);
	lb_put(&rb->lb, format + 2, 3, 2);
	lb_put(&rb->lb, format + 4, XFS_ILOG_CORE | XFS_ILOG_DEXT, 4);
	lb_put(&rb->lb, format + 16, ino, 8);
	lb_put(&rb->lb, format + 40, inodes_at, 8);
	lb_put(&rb->lb, format + 48, CLUSTER_BBS, 4);
	lb_put(&rb->lb, format + 52, RB_INODE, 4);
	lb_put(&rb->lb, c + DI(magic), XFS_DINODE_MAGIC, 2);
	lb_put(&rb->lb, c + DI(mode), S_IFDIR | 0755, 2);
	c[DI(version)] = 3;
	c[DI(format)] = XFS_DINODE_FMT_EXTENTS;
	c[DI(aformat)] = XFS_DINODE_FMT_EXTENTS;
	lb_put(&rb->lb, c + DI(nlink), 2, 4);
	lb_put(&rb->lb, c + DI(size), DIR_BYTES, 8);
	lb_put(&rb->lb, c + DI(nblocks), 2 * PIECES, 8);
	lb_put(&rb->lb, c + DI(nextents), 2 * PIECES, 4);
	lb_put(&rb->lb, c + DI(ino), ino, 8);
	memcpy(c + DI(uuid), rb->lb.sb.meta_uuid, 16);
	for (unsigned i = 0; i < PIECES; i++) {
		extent(map + 16 * i, i, data_at[i]);
		extent(map + 16 * (PIECES + i), SECOND_BLOCK + i, leaf_at[i]);
	}
	rb_item(rb, tid, 3, regions, sizes);
}

/* A data block with one name in each 128 bytes; the names say whose they are. Neither LSN nor CRC. */
static void data_block(const struct rb *rb, uint8_t *block, uint8_t mark)
{
	memset(block, 0, DIR_BYTES);
	xr_put_be32(block, XFS_DIR3_DATA_MAGIC);
	xr_put_be64(block + 8, data_at[0] * RB_BLOCK_BBS);
	memcpy(block + 24, rb->lb.sb.meta_uuid, 16);
	xr_put_be64(block + 40, ino);
	for (uint32_t at = 64; at < DIR_BYTES;) {
		uint32_t size = at == 64 ? 64 : 128, len = size - 9 - 2 - 4;

		xr_put_be64(block + at, ino);
		block[at + 8] = (uint8_t)len;
		memset(block + at + 9, mark, len);
		xr_put_be16(block + at + size - 2, (uint16_t)at);
		at += size;
	}
}

static void leaf_block(const struct rb *rb, uint8_t *block)
{
	memset(block, 0, DIR_BYTES);
	xr_put_be16(block + 8, XFS_DIR3_LEAFN_MAGIC);
	xr_put_be64(block + 16, leaf_at[0] * RB_BLOCK_BBS);
	memcpy(block + 32, rb->lb.sb.meta_uuid, 16);
	xr_put_be64(block + 48, ino);
	xr_put_be16(block + 56, 500);
	for (unsigned i = 0; i < 500; i++)
		xr_put_be32(block + 64 + 8 * i, i);
}

/* Log chunks [first, first + count) of one piece. */
static void log_piece(struct rb *rb, uint32_t tid, uint16_t type, const uint32_t *at, const uint8_t *block, unsigned piece,
		      uint32_t first, uint32_t count)
{
	rb_buf_item(rb, tid, at[piece] * RB_BLOCK_BBS, RB_BLOCK_BBS, type, first, count, block + piece * BLOCK + first * 128);
}

static void put_whole(struct rb *rb, const uint32_t *at, const uint8_t *block)
{
	for (unsigned i = 0; i < PIECES; i++)
		rb_put(rb, at[i] * RB_BLOCK_BBS, block + i * BLOCK, BLOCK);
}

static void get_whole(struct rb *rb, const uint32_t *at, uint8_t *block)
{
	for (unsigned i = 0; i < PIECES; i++)
		rb_get(rb, at[i] * RB_BLOCK_BBS, block + i * BLOCK, BLOCK);
}

static int run_again(struct rb *rb)
{
	xr_cache_destroy(rb->cache);
	assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
	return rb_run(rb);
}

/* --- tests --- */

/* New: all pieces of both blocks are in the log. */
static void test_whole(void **state)
{
	struct rb *rb = *state;
	uint8_t data[DIR_BYTES], leaf[DIR_BYTES], now[DIR_BYTES];
	uint64_t lsn;

	put_directory(rb);
	data_block(rb, data, 'a');
	leaf_block(rb, leaf);
	rb_start(rb, 1);
	for (unsigned i = 0; i < PIECES; i++) {
		log_piece(rb, 1, TYPE(DIR_DATA), data_at, data, i, 0, 8);
		log_piece(rb, 1, TYPE(DIR_LEAFN), leaf_at, leaf, i, 0, 8);
	}
	log_inode(rb, 1);
	rb_commit(rb, 1);
	lsn = rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.stats.fragments, 2 * PIECES);
	assert_int_equal(rb->replay.stats.unverified, 0);
	get_whole(rb, data_at, now);
	assert_int_equal(xr_be64(now + 16), lsn);
	assert_true(xr_crc_ok(now, DIR_BYTES, 4));
	assert_memory_equal(now + 64, data + 64, DIR_BYTES - 64);
	get_whole(rb, leaf_at, now);
	assert_int_equal(xr_be64(now + 24), lsn);
	assert_true(xr_crc_ok(now, DIR_BYTES, 12));
}

/* Of a block on the disk only the last piece was changed, twice: the first, whose header must change, is not in the log. */
static void test_last_piece(void **state)
{
	struct rb *rb = *state;
	uint8_t old[DIR_BYTES], one[DIR_BYTES], two[DIR_BYTES], now[DIR_BYTES];
	uint64_t lsn;

	put_directory(rb);
	data_block(rb, old, 'o');
	data_block(rb, one, '1');
	data_block(rb, two, '2');
	xr_put_be64(old + 16, xr_lsn(2, 7));
	xr_crc_update(old, DIR_BYTES, 4);
	put_whole(rb, data_at, old);
	rb_start(rb, 1);
	log_piece(rb, 1, TYPE(DIR_DATA), data_at, one, 3, 2, 4);
	log_inode(rb, 1);
	rb_commit(rb, 1);
	rb_flush(rb);
	rb_start(rb, 2);
	log_piece(rb, 2, TYPE(DIR_DATA), data_at, two, 3, 3, 1);
	rb_commit(rb, 2);
	lsn = rb_flush(rb);
	for (int run = 0; run < 3; run++) {
		assert_int_equal(run_again(rb), 0);
		get_whole(rb, data_at, now);
		assert_int_equal(xr_be64(now + 16), lsn);
		assert_true(xr_crc_ok(now, DIR_BYTES, 4));
		for (unsigned chunk = 1; chunk < DIR_BYTES / 128; chunk++) {
			const uint8_t *want = chunk == 3 * 8 + 3 ? two : chunk >= 3 * 8 + 2 && chunk < 3 * 8 + 6 ? one : old;
			/* Names do not begin on chunks: from the middle of one on they differ in no more than the mark. */
			assert_memory_equal(now + chunk * 128, want + chunk * 128, 128);
		}
	}
}

/* A run that was cut between writes: any of the pieces may be old or new, and the next run makes them all new. */
static void test_interrupted(void **state)
{
	struct rb *rb = *state;
	uint8_t old[DIR_BYTES], new[DIR_BYTES], done[DIR_BYTES], now[DIR_BYTES], mixed[DIR_BYTES];

	put_directory(rb);
	data_block(rb, old, 'o');
	data_block(rb, new, 'n');
	xr_put_be64(old + 16, xr_lsn(2, 7));
	xr_crc_update(old, DIR_BYTES, 4);
	put_whole(rb, data_at, old);
	rb_start(rb, 1);
	for (unsigned i = 0; i < PIECES; i++)
		log_piece(rb, 1, TYPE(DIR_DATA), data_at, new, i, 0, 8);
	log_inode(rb, 1);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(run_again(rb), 0);
	get_whole(rb, data_at, done);
	for (unsigned written = 0; written < 1u << PIECES; written++) {
		for (unsigned i = 0; i < PIECES; i++)
			memcpy(mixed + i * BLOCK, (written >> i & 1 ? done : old) + i * BLOCK, BLOCK);
		put_whole(rb, data_at, mixed);
		assert_int_equal(run_again(rb), 0);
		get_whole(rb, data_at, now);
		assert_memory_equal(now, done, DIR_BYTES);
	}
}

/* What comes of the pieces is judged as a whole, before anything is written. */
static void test_wrong(void **state)
{
	static const struct {
		unsigned at, bytes;
		uint64_t value;
		const char *say;
	} cases[] = {
		{40, 8, 99, "belongs to another inode"}, {8, 8, 99, "belongs at block 99"},  {24, 8, 99, "another filesystem"},
		{0, 4, 0x12345678, "magic number"},      {3072 + 6, 2, 5, "an entry in it"},
	};
	struct rb *rb = *state;
	uint8_t data[DIR_BYTES], now[DIR_BYTES], zero[DIR_BYTES] = {0};

	put_directory(rb);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		data_block(rb, data, 'a');
		for (unsigned b = 0; b < cases[i].bytes; b++)
			data[cases[i].at + b] = (uint8_t)(cases[i].value >> 8 * (cases[i].bytes - 1 - b));
		if (cases[i].at == 3072 + 6)
			xr_put_be16(data + 3072 + 126, 5);
		lb_begin(&rb->lb, 3, 200);
		rb_start(rb, 1);
		for (unsigned p = 0; p < PIECES; p++)
			log_piece(rb, 1, TYPE(DIR_DATA), data_at, data, p, 0, 8);
		log_inode(rb, 1);
		rb_commit(rb, 1);
		rb_flush(rb);
		assert_int_equal(run_again(rb), -EUCLEAN);
		assert_said(&rb->lb.said, cases[i].say);
		get_whole(rb, data_at, now);
		assert_memory_equal(now, zero, DIR_BYTES);
	}
}

/* Pieces of a block that was freed, and whose directory is another one by now: nobody's. */
static void test_unclaimed(void **state)
{
	struct rb *rb = *state;
	uint8_t data[DIR_BYTES], now[BLOCK];

	put_directory(rb);
	data_block(rb, data, 'a');
	rb_start(rb, 1);
	rb_buf_item(rb, 1, 3000 * RB_BLOCK_BBS, RB_BLOCK_BBS, TYPE(DIR_DATA), 0, 8, data + BLOCK);
	log_inode(rb, 1);
	rb_commit(rb, 1);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.stats.unverified, 1);
	assert_said(&rb->lb.said, "no directory in the log");
	rb_get(rb, 3000 * RB_BLOCK_BBS, now, BLOCK);
	assert_memory_equal(now, data + BLOCK, BLOCK);
}

/* A node of an attribute fork is one block, whatever a directory's is: stamped as ever, also when its first chunk was not logged. */
static void test_attribute_node(void **state)
{
	struct rb *rb = *state;
	uint8_t node[BLOCK] = {0}, now[BLOCK];
	uint64_t daddr = 3000 * RB_BLOCK_BBS, lsn;

	xr_put_be16(node + 8, XFS_DA3_NODE_MAGIC);
	xr_put_be64(node + 16, daddr);
	memcpy(node + 32, rb->lb.sb.meta_uuid, 16);
	xr_put_be32(node + 64 + 4, 1);
	rb_put(rb, daddr, node, BLOCK);
	memset(node + 384, 0x11, 128);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, daddr, RB_BLOCK_BBS, TYPE(DA_NODE), 3, 1, node + 384);
	rb_commit(rb, 1);
	lsn = rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.stats.fragments, 0);
	rb_get(rb, daddr, now, BLOCK);
	assert_int_equal(xr_be64(now + 24), lsn);
	assert_true(xr_crc_ok(now, BLOCK, 12));
	assert_memory_equal(now + 64, node + 64, BLOCK - 64);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(whole), T(last_piece), T(interrupted), T(wrong), T(unclaimed), T(attribute_node),
	};

	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
