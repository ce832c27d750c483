/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Directories: every form, directory blocks of several extents, and damage. mkfs lays blocks out in one piece, so the tests
 * scatter them: they swap fs blocks on the disk and write the block map that says so, as a list and as a btree.
 */
#include "fsbuild.h"

#include <errno.h>
#include <sys/stat.h>
#include "bmap.h"
#include "bytes.h"
#include "dir.h"
#include "format.h"

#define LARGE 700u /* names: several directory blocks of 16 KiB */
#define STEM "a-name-that-is-neither-short-nor-very-long-but-takes-room-"

static struct test_fs fs;

static int setup(void **state)
{
	char *proto = test_fs_proto(LARGE);

	(void)state;
	test_fs_make(&fs, "-n size=16k", proto);
	free(proto);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_fs_end(&fs);
	return 0;
}

struct seen {
	uint8_t had[LARGE];
	unsigned names, strange;
};

static int see(void *arg, const struct xr_dirent *entry)
{
	struct seen *seen = arg;
	char name[256];
	unsigned number;

	memcpy(name, entry->name, entry->size);
	name[entry->size] = '\0';
	seen->names++;
	if (sscanf(name, STEM "%u", &number) != 1 || number >= LARGE || seen->had[number]++ ||
	    entry->ftype != XFS_DIR3_FT_REG_FILE)
		seen->strange++;
	return 0;
}

static struct xr_inode inode_of(const char *path)
{
	struct xr_inode inode;

	assert_int_equal(xr_inode_read(&fs.fs, test_fs_lookup(&fs, path), &inode), 0);
	return inode;
}

static struct seen read_dir(uint64_t ino, uint64_t *damaged)
{
	struct xr_dir_scan scan = {.budget = fs.sb.dblocks};
	struct xr_inode inode;
	struct seen seen = {0};

	assert_int_equal(xr_inode_read(&fs.fs, ino, &inode), 0);
	assert_int_equal(xr_dir_read(&fs.fs, &inode, &scan, see, &seen), 0);
	*damaged = scan.damaged;
	return seen;
}

static void test_forms(void **state)
{
	struct xr_inode inode = inode_of("/large");
	uint64_t damaged;
	struct seen seen = read_dir(inode.ino, &damaged);

	(void)state;
	assert_int_equal(seen.names, LARGE);
	assert_int_equal(seen.strange, 0);
	assert_int_equal(damaged, 0);
	assert_true(inode.size > fs.sb.dirblocksize);
	assert_int_equal(inode_of("/shortform").format, XFS_DINODE_FMT_LOCAL);
	inode = inode_of("/block");
	assert_int_equal(inode.size, fs.sb.dirblocksize);
	assert_int_equal(read_dir(inode.ino, &damaged).names, 40);
	assert_int_equal(read_dir(inode_of("/shortform").ino, &damaged).names, 3);
	inode = inode_of("/fifo");
	assert_int_equal(xr_dir_read(&fs.fs, &inode, NULL, see, NULL), -EINVAL);
}

static uint64_t block_offset(uint64_t fsb)
{
	return xr_fsb_daddr(&fs.sb, fsb) << XR_BB_SHIFT;
}

/* One mapping as an extent record: no unwritten ones here. */
static void put_record(uint8_t *p, uint64_t offset, uint64_t block, uint32_t count)
{
	xr_put_be64(p, offset << 9 | block >> 43);
	xr_put_be64(p + 8, block << 21 | count);
}

/* Where the data fork of inode ino is, in raw, which gets the inode. */
static uint8_t *get_fork(uint64_t ino, uint8_t *raw)
{
	test_fs_get(&fs, xr_ino_offset(&fs.sb, ino), raw, fs.sb.inodesize);
	return raw + sizeof(struct xfs_dinode);
}

/* The disk block of file block offset. */
static uint64_t block_at(const struct xr_bmap *map, uint64_t offset)
{
	const struct xr_mapping *m = xr_bmap_find(map, offset);

	assert_true(m && m->offset <= offset);
	return m->block + (offset - m->offset);
}

/*
 * Turn the first n data blocks of the directory around on the disk: the last changes place with the first. Writes the records
 * of the new map, one for each of them, the rest of the old map behind, to records. Returns how many.
 */
static uint32_t scatter(const struct xr_inode *dir, uint32_t n, uint8_t *records)
{
	uint32_t bs = fs.sb.blocksize, per = 1u << fs.sb.dirblklog, count = 0;
	uint8_t *data = malloc((size_t)n * bs);
	struct xr_bmap map;

	assert_int_equal(xr_bmap_read(&fs.fs, dir, XR_DATA_FORK, &map), 0);
	for (uint32_t b = 0; b < n; b++)
		test_fs_get(&fs, block_offset(block_at(&map, b)), data + (size_t)b * bs, bs);
	for (uint32_t b = 0; b < n; b += per) {
		uint8_t *block = data + (size_t)b * bs;
		/* The address in the header is that of the first piece. */
		xr_put_be64(block + offsetof(struct xfs_dir3_blk_hdr, blkno), xr_fsb_daddr(&fs.sb, block_at(&map, n - 1 - b)));
		xr_crc_update(block, (size_t)per * bs, offsetof(struct xfs_dir3_blk_hdr, crc));
	}
	for (uint32_t b = 0; b < n; b++) {
		uint64_t to = block_at(&map, n - 1 - b);

		assert_int_equal(xr_dev_write(&fs.dev, data + (size_t)b * bs, bs, block_offset(to)), 0);
		put_record(records + (size_t)16 * count++, b, to, 1);
	}
	for (size_t i = 0; i < map.n; i++) {
		const struct xr_mapping *m = &map.map[i];
		uint32_t skip = m->offset >= n ? 0 : m->offset + m->count <= n ? m->count : (uint32_t)(n - m->offset);

		if (m->count > skip)
			put_record(records + (size_t)16 * count++, m->offset + skip, m->block + skip, m->count - skip);
	}
	xr_bmap_free(&map);
	free(data);
	return count;
}

static void put_inode(uint64_t ino, uint8_t *raw, uint8_t format, uint32_t nextents)
{
	raw[offsetof(struct xfs_dinode, di_format)] = format;
	xr_put_be32(raw + offsetof(struct xfs_dinode, di_nextents), nextents);
	test_fs_put(&fs, xr_ino_offset(&fs.sb, ino), raw, fs.sb.inodesize);
	test_fs_again(&fs);
}

/* Three directory blocks of four pieces each, no two of them neighbours in order: seen as one each. */
static void test_scattered(void **state)
{
	struct xr_inode dir = inode_of("/large");
	uint8_t raw[2048], records[64 * 16], *fork = get_fork(dir.ino, raw);
	uint32_t n = scatter(&dir, 12, records);
	struct xr_cache_stats stats;
	uint64_t damaged;
	struct seen seen;

	(void)state;
	assert_true(n <= (fs.sb.inodesize - sizeof(struct xfs_dinode)) / 16);
	memcpy(fork, records, (size_t)n * 16);
	put_inode(dir.ino, raw, XFS_DINODE_FMT_EXTENTS, n);
	seen = read_dir(dir.ino, &damaged);
	assert_int_equal(damaged, 0);
	assert_int_equal(seen.names, LARGE);
	assert_int_equal(seen.strange, 0);
	xr_cache_stats(fs.cache, &stats);
	assert_true(stats.views >= 3);
	assert_int_equal(stats.copied, 0); /* pieces of a page each: mapped, not gathered */
}

/* The free block that the crafted btrees use: the last of the first AG. */
static uint64_t spare_block(unsigned i)
{
	return fs.sb.agblocks - 1 - i;
}

static void write_btree_block(uint64_t fsb, uint64_t ino, uint16_t level, uint64_t right, const uint8_t *records, uint16_t n)
{
	uint8_t *block = calloc(1, fs.sb.blocksize);

	xr_put_be32(block, XFS_BMAP_CRC_MAGIC);
	xr_put_be16(block + 4, level);
	xr_put_be16(block + 6, n);
	xr_put_be64(block + offsetof(struct xfs_btree_block, bb_u.l.bb_leftsib), UINT64_MAX);
	xr_put_be64(block + offsetof(struct xfs_btree_block, bb_u.l.bb_rightsib), right);
	xr_put_be64(block + offsetof(struct xfs_btree_block, bb_u.l.bb_blkno), xr_fsb_daddr(&fs.sb, fsb));
	memcpy(block + offsetof(struct xfs_btree_block, bb_u.l.bb_uuid), fs.sb.meta_uuid, 16);
	xr_put_be64(block + offsetof(struct xfs_btree_block, bb_u.l.bb_owner), ino);
	if (level == 0) {
		memcpy(block + XFS_BTREE_LBLOCK_CRC_LEN, records, (size_t)n * 16);
	} else { /* one pointer, behind room for all keys */
		size_t max = (fs.sb.blocksize - XFS_BTREE_LBLOCK_CRC_LEN) / 16;
		memcpy(block + XFS_BTREE_LBLOCK_CRC_LEN + max * 8, records, 8);
	}
	test_fs_put(&fs, block_offset(fsb), block, fs.sb.blocksize);
	free(block);
}

static void put_root(uint8_t *fork, uint16_t level, uint64_t child)
{
	size_t max = (fs.sb.inodesize - sizeof(struct xfs_dinode) - 4) / 16;

	memset(fork, 0, fs.sb.inodesize - sizeof(struct xfs_dinode));
	xr_put_be16(fork, level);
	xr_put_be16(fork + 2, 1);
	xr_put_be64(fork + 4 + max * 8, child);
}

/* The same through a btree of two levels and two leaves; then with a chain of leaves that bites its tail. */
static void test_btree(void **state)
{
	struct xr_inode dir = inode_of("/large");
	uint8_t raw[2048], before[2048], pointer[8], *fork = get_fork(dir.ino, raw);
	uint32_t n = (uint32_t)dir.nextents;
	struct xr_bmap map;
	uint64_t damaged;

	(void)state;
	assert_int_equal(dir.format, XFS_DINODE_FMT_EXTENTS);
	assert_true(n > 12);
	memcpy(before, raw, sizeof(before));
	write_btree_block(spare_block(1), dir.ino, 0, spare_block(2), fork, 5);
	write_btree_block(spare_block(2), dir.ino, 0, UINT64_MAX, fork + 5 * 16, (uint16_t)(n - 5));
	xr_put_be64(pointer, spare_block(1));
	write_btree_block(spare_block(0), dir.ino, 1, UINT64_MAX, pointer, 1);
	put_root(fork, 2, spare_block(0));
	put_inode(dir.ino, raw, XFS_DINODE_FMT_BTREE, n);
	assert_int_equal(read_dir(dir.ino, &damaged).names, LARGE);
	assert_int_equal(damaged, 0);

	/* Round and round: the second leaf leads back to the first. */
	write_btree_block(spare_block(2), dir.ino, 0, spare_block(1), before + sizeof(struct xfs_dinode) + 5 * 16,
			  (uint16_t)(n - 5));
	test_fs_again(&fs);
	dir = inode_of("/large");
	assert_int_equal(xr_bmap_read(&fs.fs, &dir, XR_DATA_FORK, &map), -EUCLEAN);
	assert_int_equal(map.n, n);
	xr_bmap_free(&map);

	/* A root of level 2 that points to itself as a tree of level 1: levels must go down. */
	xr_put_be64(pointer, spare_block(0));
	write_btree_block(spare_block(0), dir.ino, 1, UINT64_MAX, pointer, 1);
	test_fs_again(&fs);
	assert_int_equal(xr_bmap_read(&fs.fs, &dir, XR_DATA_FORK, &map), -EUCLEAN);
	assert_int_equal(map.n, 0);
	xr_bmap_free(&map);
	assert_said(&fs.t, "extent btree is damaged");
	test_fs_put(&fs, xr_ino_offset(&fs.sb, dir.ino), before, fs.sb.inodesize);
	test_fs_again(&fs);
}

/* Extent lists that are out of order, leave the filesystem, wrap, or are longer than their fork. */
static void test_bad_extents(void **state)
{
	static const struct {
		uint64_t offset, block;
		uint32_t count;
	} bad[] = {
		{0, 100, 1}, /* inside the mapping before */
		{1000, UINT64_MAX >> 12, 1},
		{1000, 100, 0x1fffff},
		{1000, 100, 0},
		{1000, 0, 1}, /* the superblock */
		{(1ull << 54) - 1, 100, 0x1fffff},
	};
	struct xr_inode dir = inode_of("/large");
	uint8_t raw[2048], before[2048], *fork = get_fork(dir.ino, raw);
	uint64_t damaged;
	struct seen seen;

	(void)state;
	memcpy(before, raw, sizeof(before));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_record(fork + 4 * 16, bad[i].offset, bad[i].block, bad[i].count);
		put_inode(dir.ino, raw, XFS_DINODE_FMT_EXTENTS, (uint32_t)dir.nextents);
		seen = read_dir(dir.ino, &damaged);
		assert_true(damaged > 0);
		assert_true(seen.names > 0 && seen.names < LARGE); /* the first directory block's */
	}
	memcpy(raw, before, sizeof(raw));
	xr_put_be64(raw + offsetof(struct xfs_dinode, di_nblocks), 100);
	put_inode(dir.ino, raw, XFS_DINODE_FMT_EXTENTS, 22);
	assert_int_equal(read_dir(dir.ino, &damaged).names, 0);
	assert_true(damaged > 0);
	test_fs_put(&fs, xr_ino_offset(&fs.sb, dir.ino), before, fs.sb.inodesize);
	test_fs_again(&fs);
}

/* One damaged directory block costs its names and no others. */
static void test_damaged_block(void **state)
{
	struct xr_inode dir = inode_of("/large");
	uint8_t block[4096], broken[4096];
	struct xr_bmap map;
	uint64_t damaged;

	(void)state;
	assert_int_equal(xr_bmap_read(&fs.fs, &dir, XR_DATA_FORK, &map), 0);
	uint64_t at = block_offset(map.map[6].block); /* in the middle of the second directory block */
	xr_bmap_free(&map);
	test_fs_get(&fs, at, block, sizeof(block));
	memcpy(broken, block, sizeof(broken));
	broken[2000] ^= 0x10;
	assert_int_equal(xr_dev_write(&fs.dev, broken, sizeof(broken), at), 0);
	test_fs_again(&fs);
	struct seen seen = read_dir(dir.ino, &damaged);
	assert_int_equal(damaged, 1);
	assert_int_equal(seen.strange, 0);
	assert_in_range(seen.names, LARGE / 3, LARGE - 100);
	assert_said(&fs.t, "directory block 1: its checksum is wrong");
	assert_int_equal(xr_dev_write(&fs.dev, block, sizeof(block), at), 0);
	test_fs_again(&fs);
}

/* A huge extent over blocks that are none of the directory's: skipped one by one, but said in one line. */
static void test_run_of_damage(void **state)
{
	struct xr_inode dir = inode_of("/large");
	uint8_t raw[2048], before[2048], *fork = get_fork(dir.ino, raw);
	uint64_t damaged;

	(void)state;
	memcpy(before, raw, sizeof(before));
	put_record(fork + 12 * 16, 4000, 5000, 4000);
	xr_put_be64(raw + offsetof(struct xfs_dinode, di_nblocks), 5000);
	put_inode(dir.ino, raw, XFS_DINODE_FMT_EXTENTS, 13);
	assert_in_range(read_dir(dir.ino, &damaged).names, LARGE / 2, LARGE - 1); /* the fourth block's mapping made room */
	assert_int_equal(damaged, 1000);
	assert_said(&fs.t, "directory blocks 1000 to 1999, each: it is no directory data block");
	test_fs_put(&fs, xr_ino_offset(&fs.sb, dir.ino), before, fs.sb.inodesize);
	test_fs_again(&fs);
}

/* Directories together cannot have more blocks than the filesystem. */
static void test_budget(void **state)
{
	struct xr_dir_scan scan = {.budget = 7};
	struct xr_inode dir = inode_of("/large");
	struct seen seen = {0};

	(void)state;
	assert_int_equal(xr_dir_read(&fs.fs, &dir, &scan, see, &seen), 0);
	assert_int_equal(scan.budget, 3);
	assert_int_equal(scan.damaged, 1);
	assert_said(&fs.t, "more blocks than the filesystem has");
}

static int refuse(void *arg, const struct xr_dirent *entry)
{
	(void)arg;
	(void)entry;
	return -ENOSPC;
}

static void test_callback_error(void **state)
{
	const char *paths[] = {"/shortform", "/block", "/large"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct xr_dir_scan scan = {.budget = fs.sb.dblocks};
		struct xr_inode dir = inode_of(paths[i]);

		assert_int_equal(xr_dir_read(&fs.fs, &dir, &scan, refuse, NULL), -ENOSPC);
		assert_int_equal(scan.damaged, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),         cmocka_unit_test(test_scattered),      cmocka_unit_test(test_btree),
		cmocka_unit_test(test_bad_extents),   cmocka_unit_test(test_damaged_block),  cmocka_unit_test(test_budget),
		cmocka_unit_test(test_run_of_damage), cmocka_unit_test(test_callback_error),
	};

	if (!test_fs_possible())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown);
}
