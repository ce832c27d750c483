/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Completion on filesystems that mkfs made, with intents made by hand: those that a kernel cannot be brought to leave, and wrong ones. What was
 * done is written, through the log, and xfs_repair -n is the judge: it knows every reference count and reverse mapping that the
 * block maps call for. Block maps themselves are compared with a model, read back by the readers.
 */
#include <errno.h>

#include "bed.h"
#include "finish/ag.h"
#include "finish/finish.h"
#include "format.h"
#include "summary.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define LAST 3000u /* file blocks in the model */

static const char *const kinds[] = {
	"-m rmapbt=1,reflink=1",
	"-b size=1k -m rmapbt=1,reflink=1 -i nrext64=1",
	"-m rmapbt=0,reflink=1",
	"-m crc=0",
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

/* --- block maps against a model --- */

static uint64_t rng = 1;

static uint32_t rnd(uint32_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(rng >> 33) % n;
}

/* What each file block maps to: 0 a hole; the lowest bit says unwritten. */
static uint64_t model[LAST];

/* A mapping of one new block at a hole, or of several if the next blocks happen to be free too. */
static void add_one(struct bed *bed, struct xr_tx *tx, struct xr_tx_inode *inode, uint32_t at, bool unwritten)
{
	struct xr_mapping m = {.offset = at, .count = 1, .unwritten = unwritten};
	uint64_t near = (uint64_t)rnd(2) << bed->replay.sb.agblklog | rnd(3000);

	bed_ok(bed, xr_alloc_block(tx, near, inode->ino, at | (unwritten ? XR_RMAP_UNWRITTEN : 0), &m.block));
	bed_ok(bed, xr_bmap_add(tx, inode, false, &m));
	model[at] = m.block << 1 | unwritten;
}

static void remove_one(struct bed *bed, struct xr_tx *tx, struct xr_tx_inode *inode, uint32_t at)
{
	uint64_t flag = model[at] & 1 ? XR_RMAP_UNWRITTEN : 0;

	bed_ok(bed, xr_bmap_remove(tx, inode, false, at, 1));
	bed_ok(bed, xr_rmap_unmap(tx, XR_DATA, model[at] >> 1, 1, inode->ino, at | flag, false));
	bed_ok(bed, xr_free_extent(tx, model[at] >> 1, 1, XR_OWN_NULL, 0));
	model[at] = 0;
}

static void compare(struct bed *bed, uint64_t ino)
{
	struct xr_inode inode;
	struct xr_bmap map;
	uint32_t mapped = 0, at = 0;

	bed_ok(bed, xr_inode_read(&bed->fs.fs, ino, &inode));
	bed_ok(bed, xr_bmap_read(&bed->fs.fs, &inode, XR_DATA_FORK, &map));
	for (size_t i = 0; i < map.n; i++) {
		for (; at < map.map[i].offset; at++)
			assert_int_equal(model[at], 0);
		for (uint32_t j = 0; j < map.map[i].count; j++, at++, mapped++)
			assert_int_equal(model[at], (map.map[i].block + j) << 1 | map.map[i].unwritten);
		if (i)
			assert_false(map.map[i - 1].offset + map.map[i - 1].count == map.map[i].offset &&
				     map.map[i - 1].block + map.map[i - 1].count == map.map[i].block &&
				     map.map[i - 1].unwritten == map.map[i].unwritten);
	}
	for (; at < LAST; at++)
		assert_int_equal(model[at], 0);
	assert_true(inode.nblocks >= mapped);
	assert_int_equal(inode.format == XFS_DINODE_FMT_BTREE, inode.nblocks > mapped);
	xr_bmap_free(&map);
}

/* Grows through all forms of a fork, changes, shrinks back to nothing. */
static void test_block_maps(void **state)
{
	(void)state;
	for (size_t k = 0; k < NKINDS; k++) {
		struct xr_tx_inode inode;
		struct bed bed;
		struct xr_tx *tx;
		uint64_t before;

		bed_make(&bed, kinds[k]);
		memset(model, 0, sizeof(model));
		before = bed_free_blocks(&bed);
		for (uint32_t round = 0; round < 16; round++) {
			tx = bed_begin(&bed);
			bed_ok(&bed, xr_tx_inode(tx, bed.a, &inode));
			for (uint32_t i = 0; i < (round < 3 ? 12 : 250); i++) {
				uint32_t at = rnd(LAST), run = rnd(4) ? 1 : 8;

				/* More of one than of the other, first this way and then that. */
				for (; run-- && at < LAST; at++)
					if (!model[at] && rnd(16) > round)
						add_one(&bed, tx, &inode, at, rnd(5) == 0 && bed.replay.sb.v5);
					else if (model[at] && rnd(16) <= round)
						remove_one(&bed, tx, &inode, at);
			}
			bed_commit(&bed, tx);
			compare(&bed, bed.a);
		}
		bed_judge(&bed);
		compare(&bed, bed.a);
		tx = bed_begin(&bed);
		bed_ok(&bed, xr_tx_inode(tx, bed.a, &inode));
		for (uint32_t at = 0; at < LAST; at++)
			if (model[at])
				remove_one(&bed, tx, &inode, at);
		bed_commit(&bed, tx);
		compare(&bed, bed.a);
		bed_judge(&bed);
		assert_in_range(bed_free_blocks(&bed), before - 2, before); /* a refcount or finobt block may stay */
		bed_end(&bed);
	}
}

/* --- intents --- */

/* Give file a n blocks of its own, at every second file block, and remember them. */
static void fill(struct bed *bed, uint64_t ino, uint32_t n, uint64_t *blocks)
{
	struct xr_tx *tx = bed_begin(bed);
	struct xr_tx_inode inode;

	bed_ok(bed, xr_tx_inode(tx, ino, &inode));
	for (uint32_t i = 0; i < n; i++) {
		struct xr_mapping m = {.offset = 2 * i, .count = 1};

		bed_ok(bed, xr_alloc_block(tx, 1000, ino, m.offset, &m.block));
		bed_ok(bed, xr_bmap_add(tx, &inode, false, &m));
		blocks[i] = m.block;
	}
	xr_put_be64(inode.raw + DI(size), 2 * n * bed->replay.sb.blocksize);
	xr_tx_inode_log(tx, &inode);
	bed_commit(bed, tx);
}

static void set_reflink(struct bed *bed, uint64_t ino)
{
	struct xr_tx *tx = bed_begin(bed);
	struct xr_tx_inode inode;

	bed_ok(bed, xr_tx_inode(tx, ino, &inode));
	xr_put_be64(inode.raw + DI(flags2), xr_be64(inode.raw + DI(flags2)) | XFS_DIFLAG2_REFLINK);
	xr_tx_inode_log(tx, &inode);
	bed_commit(bed, tx);
}

static uint64_t change_count(struct bed *bed, uint64_t ino)
{
	uint8_t raw[8];

	bed_ok(bed, xr_cache_flush(bed->cache));
	test_fs_get(&bed->fs, xr_ino_offset(&bed->replay.sb, ino) + DI(changecount), raw, sizeof(raw));
	return xr_be64(raw);
}

#define SHARED 40u

/* File b comes to share the blocks of a, and gives them up; then a does. All by intents. */
static void test_share(void **state)
{
	(void)state;
	for (size_t k = 0; k < 3; k++) {
		uint64_t blocks[SHARED], before, changes;
		struct bed bed;

		bed_make(&bed, kinds[k]);
		before = bed_free_blocks(&bed);
		fill(&bed, bed.a, SHARED, blocks);
		set_reflink(&bed, bed.a);
		set_reflink(&bed, bed.b);
		for (uint32_t i = 0; i < SHARED; i++) {
			struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1};

			bed_put_map(&bed, XFS_LI_BUI, 1000 + i, bed.b, &m, 1);
			bed_put_blocks(&bed, XFS_LI_CUI, 2000 + i, blocks[i], 1, 1);
		}
		changes = change_count(&bed, bed.b);
		bed_ok(&bed, bed_complete(&bed));
		/* A kernel counts one for each mapping, and one more where the reverse mapping is a transaction of its own. */
		assert_int_equal(change_count(&bed, bed.b), changes + SHARED * (bed.replay.sb.has_rmapbt ? 2 : 1));
		assert_int_equal(bed.stats.intents, 2 * SHARED);
		assert_int_equal(bed.stats.transactions, 1);
		bed_judge(&bed);
		for (uint32_t i = 0; i < SHARED; i++) {
			struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1};

			bed_put_map(&bed, XFS_LI_BUI, 3000 + i, i % 2 ? bed.a : bed.b, &m, 2);
			bed_put_blocks(&bed, XFS_LI_CUI, 4000 + i, blocks[i], 1, 2);
		}
		bed_ok(&bed, bed_complete(&bed));
		bed_judge(&bed);
		for (uint32_t i = 0; i < SHARED; i++) {
			struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1};

			bed_put_map(&bed, XFS_LI_BUI, 5000 + i, i % 2 ? bed.b : bed.a, &m, 2);
			bed_put_blocks(&bed, XFS_LI_CUI, 6000 + i, blocks[i], 1, 2);
		}
		bed_ok(&bed, bed_complete(&bed));
		bed_judge(&bed);
		assert_in_range(bed_free_blocks(&bed), before - 1, before);
		bed_end(&bed);
	}
}

/* The reverse mappings alone: written becomes unwritten and back, with the block map changed to match. */
static void test_convert(void **state)
{
	struct bed bed;
	uint64_t blocks[8];

	(void)state;
	bed_make(&bed, kinds[0]);
	fill(&bed, bed.a, 8, blocks);
	for (uint32_t unwritten = 1; unwritten < 2; unwritten--) {
		struct xr_tx *tx = bed_begin(&bed);
		struct xr_tx_inode inode;

		bed_ok(&bed, xr_tx_inode(tx, bed.a, &inode));
		for (uint32_t i = 0; i < 8; i++) {
			struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1, .unwritten = unwritten};

			bed_ok(&bed, xr_bmap_remove(tx, &inode, false, m.offset, 1));
			bed_ok(&bed, xr_bmap_add(tx, &inode, false, &m));
			bed_put_map(&bed, XFS_LI_RUI, 100 + i, bed.a, &m, 5 | (unwritten ? 1u << 29 : 0));
		}
		bed_commit(&bed, tx);
		bed_ok(&bed, bed_complete(&bed));
		bed_judge(&bed);
	}
	bed_end(&bed);
}

/* Blocks staged for copy-on-write by intents are leftovers at once; a metadata block goes by an EFI alone. */
static void test_stage_and_free(void **state)
{
	struct bed bed;
	uint64_t fsb[12], before;
	struct xr_tx *tx;

	(void)state;
	bed_make(&bed, kinds[1]);
	before = bed_free_blocks(&bed);
	tx = bed_begin(&bed);
	for (uint32_t i = 0; i < 12; i++)
		bed_ok(&bed, xr_alloc_block(tx, 500, bed.a, i < 6 ? i : XR_RMAP_BMBT, &fsb[i]));
	for (uint32_t i = 0; i < 6; i++)
		bed_ok(&bed, xr_rmap_unmap(tx, XR_DATA, fsb[i], 1, bed.a, i, false));
	bed_commit(&bed, tx);
	for (uint32_t i = 0; i < 6; i++) {
		struct xr_mapping m = {.block = fsb[i], .count = 1};

		bed_put_map(&bed, XFS_LI_RUI, 10 + i, XR_OWN_COW, &m, 7);
		bed_put_blocks(&bed, XFS_LI_CUI, 20 + i, fsb[i], 1, 3);
		bed_put_blocks(&bed, XFS_LI_EFI, 30 + i, fsb[6 + i], 1, 0);
	}
	bed_ok(&bed, bed_complete(&bed));
	assert_in_range(bed.stats.cow_extents, 1, 6);
	bed_judge(&bed);
	assert_int_equal(bed_free_blocks(&bed), before);
	bed_end(&bed);
}

/* --- exchange --- */

static void put_exchange(struct bed *bed, uint64_t start1, uint64_t start2, uint64_t count, uint64_t flags, uint64_t size1,
			 uint64_t size2)
{
	uint8_t *p = bed_put(bed, XFS_LI_XMI, 77, 88, 0) - 16;
	struct xr_inode a, b;

	bed_ok(bed, xr_inode_read(&bed->fs.fs, bed->a, &a));
	bed_ok(bed, xr_inode_read(&bed->fs.fs, bed->b, &b));
	xr_put64(bed->log.order, p + 16, bed->a);
	xr_put64(bed->log.order, p + 24, bed->b);
	xr_put32(bed->log.order, p + 32, a.gen);
	xr_put32(bed->log.order, p + 36, b.gen);
	xr_put64(bed->log.order, p + 40, start1);
	xr_put64(bed->log.order, p + 48, start2);
	xr_put64(bed->log.order, p + 56, count);
	xr_put64(bed->log.order, p + 64, flags);
	xr_put64(bed->log.order, p + 72, size1);
	xr_put64(bed->log.order, p + 80, size2);
}

/* What file block at of an inode maps to; 0: a hole. */
static uint64_t block_at(struct bed *bed, uint64_t ino, uint64_t at)
{
	const struct xr_mapping *m;
	struct xr_inode inode;
	struct xr_bmap map;
	uint64_t block;

	bed_ok(bed, xr_inode_read(&bed->fs.fs, ino, &inode));
	bed_ok(bed, xr_bmap_read(&bed->fs.fs, &inode, XR_DATA_FORK, &map));
	m = xr_bmap_find(&map, at);
	block = m && m->offset <= at ? m->block + (at - m->offset) : 0;
	xr_bmap_free(&map);
	return block;
}

static void test_exchange(void **state)
{
	uint64_t one[60], two[10];
	struct xr_inode inode;
	struct bed bed;

	(void)state;
	bed_make(&bed, kinds[0]);
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_EXCHRANGE;
	fill(&bed, bed.a, 60, one);
	fill(&bed, bed.b, 10, two);

	/* All of both, sizes too: a becomes what b was, and b needs a btree. */
	put_exchange(&bed, 0, 0, 200, 2, 5000, 490000);
	bed_ok(&bed, bed_complete(&bed));
	for (uint32_t i = 0; i < 60; i++) {
		assert_int_equal(block_at(&bed, bed.b, 2 * i), one[i]);
		assert_int_equal(block_at(&bed, bed.a, 2 * i), i < 10 ? two[i] : 0);
	}
	bed_ok(&bed, xr_inode_read(&bed.fs.fs, bed.a, &inode));
	assert_int_equal(inode.size, 5000);
	assert_int_equal(inode.nblocks, 10);
	bed_ok(&bed, xr_inode_read(&bed.fs.fs, bed.b, &inode));
	assert_int_equal(inode.size, 490000);
	assert_int_equal(inode.format, XFS_DINODE_FMT_BTREE);
	bed_judge(&bed);

	/* Only what is written in a: its holes leave b alone; another place in b. */
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_EXCHRANGE;
	put_exchange(&bed, 0, 101, 20, 4, UINT64_MAX, UINT64_MAX);
	bed_ok(&bed, bed_complete(&bed));
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(block_at(&bed, bed.b, 101 + 2 * i), two[i]);
		assert_int_equal(block_at(&bed, bed.a, 2 * i), 0);
		assert_int_equal(block_at(&bed, bed.b, 102 + 2 * i), i < 9 ? one[51 + i] : 0);
	}
	bed_judge(&bed);

	/* All of both again, and as many holes as a file can have behind: those take no time. */
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_EXCHRANGE;
	put_exchange(&bed, 0, 0, BMBT_STARTOFF_MASK, 0, UINT64_MAX, UINT64_MAX);
	bed_ok(&bed, bed_complete(&bed));
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(block_at(&bed, bed.a, 101 + 2 * i), two[i]);
	bed_judge(&bed);
	bed_end(&bed);
}

/* --- unlinked inodes --- */

#define ORPHANS 400u

/* The first inodes that share a list of unlinked ones with the first of all, n of them. */
static void same_list(struct bed *bed, uint64_t *inos, uint32_t n)
{
	char name[100];

	for (uint32_t i = 0, have = 0; have < n; i++) {
		uint64_t ino;

		assert_in_range(i, 0, ORPHANS - 1);
		snprintf(name, sizeof(name), "/large/a-name-that-is-neither-short-nor-very-long-but-takes-room-%u", i);
		ino = test_fs_lookup(&bed->fs, name);
		if (!have || ino % 64 == inos[0] % 64)
			inos[have++] = ino;
	}
}

static void change_inode(struct bed *bed, uint64_t ino, size_t at, uint32_t value, bool seal)
{
	uint64_t offset = xr_ino_offset(&bed->fs.sb, ino);
	uint8_t raw[512];

	test_fs_get(&bed->fs, offset, raw, sizeof(raw));
	xr_put_be32(raw + at, value);
	if (seal)
		test_fs_put(&bed->fs, offset, raw, sizeof(raw));
	else
		assert_int_equal(xr_dev_write(&bed->fs.dev, raw, sizeof(raw), offset), 0);
}

/* One bad inode on a list: what comes before it is freed, and nothing fails. What kind of bad it is decides about the rest. */
static void test_bad_lists(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		bool seal;
		uint64_t freed;
		const char *word;
	} cases[] = {
		{DI(uid), 7, false, 2, "cannot be read"},
		{DI(nlink), 1, true, 4, "has names"},
		{DI(nextents), 1, true, 4, "is damaged"}, /* an extent of zeros */
		{DI(next_unlinked), 5, true, 3, "cannot be on it"},
	};
	char *proto = test_fs_proto(ORPHANS);

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct xr_summary before, after;
		uint64_t inos[5];
		struct bed bed;
		struct xr_tx *tx;

		memset(&bed, 0, sizeof(bed));
		test_fs_make(&bed.fs, "-m rmapbt=1,reflink=1", proto);
		bed_again(&bed);
		same_list(&bed, inos, 5);
		tx = bed_begin(&bed);
		for (uint32_t i = 0; i < 5; i++)
			bed_make_orphan(&bed, tx, inos[i]);
		bed_commit(&bed, tx);
		bed_ok(&bed, xr_summary_read(&before, &bed.fs.fs));
		if (cases[c].at == DI(nextents))
			change_inode(&bed, inos[2], DI(nblocks) + 4, 1, true);
		change_inode(&bed, inos[2], cases[c].at, cases[c].value, cases[c].seal);
		xr_cache_destroy(bed.cache); /* what was read before is forgotten */
		assert_int_equal(xr_cache_create(&bed.cache, &bed.fs.dev, bed.fs.process, true, &bed.fs.t.msg), 0);
		bed.replay.cache = bed.fs.fs.cache = bed.cache;
		bed_ok(&bed, bed_complete(&bed));
		assert_said(&bed.fs.t, cases[c].word);
		assert_int_equal(bed.stats.unlinked, cases[c].freed);
		assert_int_equal(bed.stats.unlinked_kept, 1);
		bed_ok(&bed, xr_summary_read(&after, &bed.fs.fs));
		assert_int_equal(after.unlinked, 0);
		assert_int_equal(after.icount - after.ifree, before.icount - before.ifree - cases[c].freed);
		bed_end(&bed);
	}
	free(proto);
}

/* Without lazy counters the superblock counts along: xfs_repair compares. */
static void test_counters(void **state)
{
	uint64_t blocks[30], before;
	struct xr_summary summary;
	uint8_t raw[512];
	struct bed bed;
	struct xr_tx *tx;

	(void)state;
	bed_make(&bed, "-m crc=0 -l lazy-count=0");
	assert_false(bed.replay.sb.lazy_count);
	fill(&bed, bed.a, 30, blocks);
	/* What the test itself did is counted by hand. */
	bed_ok(&bed, xr_summary_read(&summary, &bed.fs.fs));
	test_fs_get(&bed.fs, 0, raw, sizeof(raw));
	before = xr_be64(raw + offsetof(struct xfs_dsb, sb_fdblocks));
	assert_int_equal(summary.fdblocks, before - 31);
	xr_put_be64(raw + offsetof(struct xfs_dsb, sb_fdblocks), summary.fdblocks);
	test_fs_put(&bed.fs, 0, raw, sizeof(raw));
	xr_cache_destroy(bed.cache);
	assert_int_equal(xr_cache_create(&bed.cache, &bed.fs.dev, bed.fs.process, true, &bed.fs.t.msg), 0);
	bed.replay.cache = bed.fs.fs.cache = bed.cache;
	for (uint32_t i = 10; i < 20; i++) {
		struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1};

		bed_put_map(&bed, XFS_LI_BUI, 1000 + i, bed.a, &m, 2);
		bed_put_blocks(&bed, XFS_LI_EFI, 2000 + i, blocks[i], 1, 0);
	}
	bed_ok(&bed, bed_complete(&bed));
	bed_ok(&bed, xr_cache_flush(bed.cache));
	test_fs_get(&bed.fs, 0, raw, sizeof(raw));
	assert_int_equal(xr_be64(raw + offsetof(struct xfs_dsb, sb_fdblocks)), before - 21);
	bed_judge(&bed);
	/* And inodes; this one still has a name, which would not please xfs_repair. */
	before = xr_be64(raw + offsetof(struct xfs_dsb, sb_ifree));
	tx = bed_begin(&bed);
	bed_make_orphan(&bed, tx, bed.b);
	bed_commit(&bed, tx);
	bed_ok(&bed, bed_complete(&bed));
	bed_ok(&bed, xr_cache_flush(bed.cache));
	test_fs_get(&bed.fs, 0, raw, sizeof(raw));
	assert_int_equal(xr_be64(raw + offsetof(struct xfs_dsb, sb_ifree)), before + 1);
	bed_end(&bed);
}

/* More of them than the log has room for at once: another transaction, with all the room there is, takes the rest. */
static void test_two_transactions(void **state)
{
	char name[100];
	struct xr_summary before, after;
	struct bed bed;
	struct xr_tx *tx;
	char *proto = test_fs_proto(ORPHANS);

	(void)state;
	memset(&bed, 0, sizeof(bed));
	test_fs_make(&bed.fs, kinds[0], proto);
	free(proto);
	bed_again(&bed);
	tx = bed_begin(&bed);
	for (uint32_t i = 0; i < ORPHANS; i++) {
		snprintf(name, sizeof(name), "/large/a-name-that-is-neither-short-nor-very-long-but-takes-room-%u", i);
		bed_make_orphan(&bed, tx, test_fs_lookup(&bed.fs, name));
	}
	bed_commit(&bed, tx);
	bed_ok(&bed, xr_summary_read(&before, &bed.fs.fs));
	assert_true(before.unlinked > 0);
	/* As if all of the log but 200 KiB were still needed. */
	bed.head.tail_lsn = xr_lsn(bed.head.cycle - 1, bed.head.head + 400);
	bed.head.tail = bed.head.head + 400;
	bed_ok(&bed, bed_complete(&bed));
	assert_int_equal(bed.stats.unlinked, ORPHANS);
	assert_int_equal(bed.stats.transactions, 2);
	assert_true(bed.stats.chunks_freed > 0);
	bed_ok(&bed, xr_summary_read(&after, &bed.fs.fs));
	assert_int_equal(after.unlinked, 0);
	assert_int_equal(after.icount - after.ifree, before.icount - before.ifree - ORPHANS);
	assert_int_equal(before.icount - after.icount, 64 * bed.stats.chunks_freed);
	assert_in_range(after.fdblocks - before.fdblocks, 8 * bed.stats.chunks_freed - 2, 8 * bed.stats.chunks_freed);
	bed_end(&bed);
}

/* --- the superblock --- */

static uint32_t log_features(struct bed *bed)
{
	struct xr_sb sb;

	bed_ok(bed, xr_sb_read(&sb, &bed->fs.dev, &bed->fs.t.msg));
	return sb.log_incompat;
}

/* What needs a kernel that knows it is said until the log is clean. */
static void test_features_last(void **state)
{
	struct xr_summary summary;
	uint8_t raw[512];
	struct bed bed;

	(void)state;
	bed_make(&bed, kinds[0]);
	test_fs_get(&bed.fs, 0, raw, sizeof(raw));
	xr_put_be32(raw + offsetof(struct xfs_dsb, sb_features_log_incompat), XFS_SB_FEAT_INCOMPAT_LOG_XATTRS);
	xr_crc_update(raw, sizeof(raw), offsetof(struct xfs_dsb, sb_crc));
	test_fs_put(&bed.fs, 0, raw, sizeof(raw));
	bed_again(&bed);
	bed_ok(&bed, xr_summary_read(&summary, &bed.fs.fs));
	bed_ok(&bed, xr_finish_superblock(&bed.replay.sb, bed.cache, &summary, &bed.head, &bed.fs.t.msg));
	bed_ok(&bed, xr_cache_flush(bed.cache));
	assert_int_equal(log_features(&bed), XFS_SB_FEAT_INCOMPAT_LOG_XATTRS);
	bed_ok(&bed, xr_finish_log(&bed.log, &bed.head, bed.cache));
	assert_int_equal(log_features(&bed), XFS_SB_FEAT_INCOMPAT_LOG_XATTRS);
	bed_ok(&bed, xr_finish_features(&bed.replay.sb, bed.cache));
	assert_int_equal(log_features(&bed), 0);
	bed_end(&bed);
}

/* --- refused --- */

/* An intent that contradicts the filesystem leaves everything as it was, also what others before it did. */
static void test_wrong_intents(void **state)
{
	struct xr_mapping m = {.offset = 0, .count = 1}, other;
	uint64_t blocks[4], before, b;
	struct bed bed;

	(void)state;
	bed_make(&bed, kinds[0]);
	fill(&bed, bed.a, 4, blocks);
	bed_judge(&bed);
	before = bed_free_blocks(&bed);
	m.block = blocks[0];
	other = m;
	other.block = blocks[1];

	bed_put_blocks(&bed, XFS_LI_EFI, 1, UINT64_C(1) << 60, 1, 0);
	bed_refuse(&bed, -EUCLEAN, "outside an allocation group");
	bed_put_blocks(&bed, XFS_LI_EFI, 1, 2000, 0, 0);
	bed_refuse(&bed, -EUCLEAN, "outside an allocation group");
	bed_put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 2);
	bed_put_blocks(&bed, XFS_LI_EFI, 2, 9000, 1, 0); /* free already */
	bed_refuse(&bed, -EUCLEAN, "");
	bed_put_map(&bed, XFS_LI_BUI, 1, bed.a, &other, 2);
	bed_refuse(&bed, -EUCLEAN, "other blocks");
	bed_put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 1);
	bed_refuse(&bed, -EUCLEAN, "has one already");
	bed_put_map(&bed, XFS_LI_BUI, 1, bed.a + 40, &m, 2);
	bed_refuse(&bed, -EUCLEAN, "");
	bed_put_map(&bed, XFS_LI_BUI, 1, UINT64_MAX, &m, 2);
	bed_refuse(&bed, -EUCLEAN, "can have this number");
	bed_put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 2 | 1u << 29);
	bed_refuse(&bed, -EUCLEAN, "outside the realtime device");
	bed_put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 9);
	bed_refuse(&bed, -EUCLEAN, "unknown change");
	bed_put_map(&bed, XFS_LI_RUI, 1, bed.b, &m, 3);
	bed_refuse(&bed, -EUCLEAN, "");
	bed_put_map(&bed, XFS_LI_RUI, 1, bed.a, &m, 1 << 20 | 3);
	bed_refuse(&bed, -EUCLEAN, "unknown flags");
	bed_put_blocks(&bed, XFS_LI_CUI, 1, blocks[0], 1, 4);
	bed_refuse(&bed, -EUCLEAN, "");
	bed_put_blocks(&bed, XFS_LI_CUI, 1, blocks[0], 1, 5);
	bed_refuse(&bed, -EUCLEAN, "unknown change");
	put_exchange(&bed, 0, 0, 8, 0, 0, 0);
	bed_refuse(&bed, -EUCLEAN, "exchange-range");
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_EXCHRANGE;
	put_exchange(&bed, UINT64_MAX, 0, 8, 0, 0, 0);
	bed_refuse(&bed, -EUCLEAN, "impossible range");
	put_exchange(&bed, 0, 0, 8, 64, 0, 0);
	bed_refuse(&bed, -EOPNOTSUPP, "flags 0x40");
	b = bed.b;
	bed.b = bed.a;
	put_exchange(&bed, 0, 7, 8, 0, 0, 0);
	bed_refuse(&bed, -EUCLEAN, "its ranges overlap");
	bed.b = b;
	bed_put(&bed, XFS_LI_EFI_RT, 1, 32, 1);
	bed_refuse(&bed, -EUCLEAN, "outside the realtime device");
	bed_put(&bed, XFS_LI_RUI_RT, 1, 48, 1);
	bed_refuse(&bed, -EUCLEAN, "RUI_RT intent at LSN 1:2: this filesystem has no reverse mappings there");
	bed_put(&bed, XFS_LI_CUI_RT, 1, 32, 1);
	bed_refuse(&bed, -EUCLEAN, "CUI_RT intent at LSN 1:2: its blocks lie outside the realtime device");

	assert_int_equal(bed_free_blocks(&bed), before);
	bed_judge(&bed);
	bed_end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_maps),     cmocka_unit_test(test_share),    cmocka_unit_test(test_convert),
		cmocka_unit_test(test_stage_and_free), cmocka_unit_test(test_exchange), cmocka_unit_test(test_two_transactions),
		cmocka_unit_test(test_features_last),  cmocka_unit_test(test_counters), cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_wrong_intents),
	};

	return test_fs_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
