/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Completion on filesystems that mkfs made, with intents made by hand: those that a kernel cannot be brought to leave, and wrong ones. What was
 * done is written, through the log, and xfs_repair -n is the judge: it knows every reference count and reverse mapping that the
 * block maps call for. Block maps themselves are compared with a model, read back by the readers.
 */
#include <errno.h>

#include "finish/ag.h"
#include "finish/bmapedit.h"
#include "finish/complete.h"
#include "finish/finish.h"
#include "format.h"
#include "fsbuild.h"
#include "items.h"
#include "ring.h"
#include "summary.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define PROTO "d--755 0 0\na ---644 0 0 /dev/null\nb ---644 0 0 /dev/null\n"
#define LAST 3000u /* file blocks in the model */

static const char *const kinds[] = {
	"-m rmapbt=1,reflink=1",
	"-b size=1k -m rmapbt=1,reflink=1 -i nrext64=1",
	"-m rmapbt=0,reflink=1",
	"-m crc=0",
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

struct bed {
	struct test_fs fs;
	struct xr_cache *cache; /* that writes */
	struct xr_log log;
	struct xr_head head;
	struct xr_replay replay;
	struct xr_complete_stats stats;
	uint64_t a, b; /* inodes */
};

/* Open for another change, as if nothing had been done before. */
static void again(struct bed *bed)
{
	struct test_fs *fs = &bed->fs;

	xr_log_close(&bed->log);
	xr_cache_destroy(bed->cache);
	test_fs_again(fs);
	assert_int_equal(xr_cache_create(&bed->cache, &fs->dev, fs->process, true, &fs->t.msg), 0);
	assert_int_equal(xr_log_open(&bed->log, &fs->sb, &fs->dev, NULL, fs->process, &fs->t.msg), 0);
	assert_int_equal(xr_head_find(&bed->log, &bed->head), 0);
	xr_replay_destroy(&bed->replay);
	xr_replay_init(&bed->replay, &bed->log, bed->cache, &fs->t.msg);
	fs->fs.cache = bed->cache;
}

static void make(struct bed *bed, const char *kind)
{
	memset(bed, 0, sizeof(*bed));
	test_fs_make(&bed->fs, kind, PROTO);
	bed->a = test_fs_lookup(&bed->fs, "/a");
	bed->b = test_fs_lookup(&bed->fs, "/b");
	again(bed);
}

static void end(struct bed *bed)
{
	xr_replay_destroy(&bed->replay);
	xr_log_close(&bed->log);
	xr_cache_destroy(bed->cache);
	test_fs_end(&bed->fs);
}

static uint64_t free_blocks(struct bed *bed)
{
	struct xr_summary summary;

	assert_int_equal(xr_summary_read(&summary, &bed->fs.fs), 0);
	return summary.fdblocks;
}

/* Close the log and let xfs_repair look. */
static void judge(struct bed *bed)
{
	struct test_fs *fs = &bed->fs;
	struct xr_summary summary;
	char command[256];

	assert_int_equal(xr_summary_read(&summary, &fs->fs), 0);
	assert_int_equal(xr_finish_superblock(&bed->replay.sb, bed->cache, &summary, &bed->head, &fs->t.msg), 0);
	assert_int_equal(xr_cache_flush(bed->cache), 0);
	assert_int_equal(xr_finish_log(&bed->log, &bed->head), 0);
	again(bed);
	assert_true(bed->head.clean);
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin:/sbin; said=$(xfs_repair -n -f /proc/%d/fd/%d 2>&1) || { echo \"$said\" >&2; false; }",
		 getpid(), fs->dev.fd);
	if (system(command) != 0)
		fail_msg("xfs_repair finds fault");
}

#define ok(bed, call)                                                                                                            \
	do {                                                                                                                     \
		int error_ = (call);                                                                                             \
		if (error_)                                                                                                      \
			fail_msg("%s: %d: %s", #call, error_, (bed)->fs.t.text);                                                 \
	} while (0)

static struct xr_tx *begin(struct bed *bed)
{
	struct xr_tx *tx;

	ok(bed, xr_tx_begin(&tx, &bed->replay.sb, bed->cache, &bed->log, &bed->head, &bed->fs.t.msg));
	return tx;
}

static void commit(struct bed *bed, struct xr_tx *tx)
{
	ok(bed, xr_tx_commit(tx));
	xr_tx_end(tx);
}

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

	ok(bed, xr_alloc_block(tx, near, inode->ino, at | (unwritten ? XR_RMAP_UNWRITTEN : 0), &m.block));
	ok(bed, xr_bmap_add(tx, inode, false, &m));
	model[at] = m.block << 1 | unwritten;
}

static void remove_one(struct bed *bed, struct xr_tx *tx, struct xr_tx_inode *inode, uint32_t at)
{
	uint64_t flag = model[at] & 1 ? XR_RMAP_UNWRITTEN : 0;

	ok(bed, xr_bmap_remove(tx, inode, false, at, 1));
	ok(bed, xr_rmap_unmap(tx, model[at] >> 1, 1, inode->ino, at | flag, false));
	ok(bed, xr_free_extent(tx, model[at] >> 1, 1, XR_OWN_NULL, 0));
	model[at] = 0;
}

static void compare(struct bed *bed, uint64_t ino)
{
	struct xr_inode inode;
	struct xr_bmap map;
	uint32_t mapped = 0, at = 0;

	ok(bed, xr_inode_read(&bed->fs.fs, ino, &inode));
	ok(bed, xr_bmap_read(&bed->fs.fs, &inode, XR_DATA_FORK, &map));
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

		make(&bed, kinds[k]);
		memset(model, 0, sizeof(model));
		before = free_blocks(&bed);
		for (uint32_t round = 0; round < 16; round++) {
			tx = begin(&bed);
			ok(&bed, xr_tx_inode(tx, bed.a, &inode));
			for (uint32_t i = 0; i < (round < 3 ? 12 : 250); i++) {
				uint32_t at = rnd(LAST), run = rnd(4) ? 1 : 8;

				/* More of one than of the other, first this way and then that. */
				for (; run-- && at < LAST; at++)
					if (!model[at] && rnd(16) > round)
						add_one(&bed, tx, &inode, at, rnd(5) == 0 && bed.replay.sb.v5);
					else if (model[at] && rnd(16) <= round)
						remove_one(&bed, tx, &inode, at);
			}
			commit(&bed, tx);
			compare(&bed, bed.a);
		}
		judge(&bed);
		compare(&bed, bed.a);
		tx = begin(&bed);
		ok(&bed, xr_tx_inode(tx, bed.a, &inode));
		for (uint32_t at = 0; at < LAST; at++)
			if (model[at])
				remove_one(&bed, tx, &inode, at);
		commit(&bed, tx);
		compare(&bed, bed.a);
		judge(&bed);
		assert_in_range(free_blocks(&bed), before - 2, before); /* a refcount or finobt block may stay */
		end(&bed);
	}
}

/* --- intents --- */

static uint8_t *put(struct bed *bed, uint16_t type, uint64_t id, uint32_t size, uint32_t count)
{
	struct xr_entry *entry = xr_table_add(&bed->replay.intents, type, id);
	struct xr_intent *intent = calloc(1, sizeof(*intent) + sizeof(struct xr_region) + size);
	uint8_t *p;

	assert_non_null(entry);
	assert_non_null(intent);
	*intent = (struct xr_intent){.type = type, .count = 1, .id = id, .lsn = xr_lsn(1, 2)};
	p = (uint8_t *)&intent->regions[1];
	intent->regions[0] = (struct xr_region){p, size};
	xr_put16(bed->log.order, p, type);
	xr_put16(bed->log.order, p + 2, 1);
	xr_put32(bed->log.order, p + 4, count);
	xr_put64(bed->log.order, p + 8, id);
	entry->value = (uintptr_t)intent;
	return p + 16;
}

/* A RUI or BUI of one entry. */
static void put_map(struct bed *bed, uint16_t type, uint64_t id, uint64_t owner, const struct xr_mapping *m, uint32_t flags)
{
	uint8_t *p = put(bed, type, id, 48, 1);

	xr_put64(bed->log.order, p, owner);
	xr_put64(bed->log.order, p + 8, m->block);
	xr_put64(bed->log.order, p + 16, m->offset);
	xr_put32(bed->log.order, p + 24, m->count);
	xr_put32(bed->log.order, p + 28, flags);
}

/* A CUI (or, with flags 0, an EFI) of one entry. */
static void put_blocks(struct bed *bed, uint16_t type, uint64_t id, uint64_t fsb, uint32_t count, uint32_t flags)
{
	uint8_t *p = put(bed, type, id, 32, 1);

	xr_put64(bed->log.order, p, fsb);
	xr_put32(bed->log.order, p + 8, count);
	xr_put32(bed->log.order, p + 12, flags);
}

static int complete(struct bed *bed)
{
	return xr_complete(&bed->replay, &bed->log, &bed->head, &bed->stats);
}

/* Give file a n blocks of its own, at every second file block, and remember them. */
static void fill(struct bed *bed, uint64_t ino, uint32_t n, uint64_t *blocks)
{
	struct xr_tx *tx = begin(bed);
	struct xr_tx_inode inode;

	ok(bed, xr_tx_inode(tx, ino, &inode));
	for (uint32_t i = 0; i < n; i++) {
		struct xr_mapping m = {.offset = 2 * i, .count = 1};

		ok(bed, xr_alloc_block(tx, 1000, ino, m.offset, &m.block));
		ok(bed, xr_bmap_add(tx, &inode, false, &m));
		blocks[i] = m.block;
	}
	xr_put_be64(inode.raw + DI(size), 2 * n * bed->replay.sb.blocksize);
	xr_tx_inode_log(tx, &inode);
	commit(bed, tx);
}

static void set_reflink(struct bed *bed, uint64_t ino)
{
	struct xr_tx *tx = begin(bed);
	struct xr_tx_inode inode;

	ok(bed, xr_tx_inode(tx, ino, &inode));
	xr_put_be64(inode.raw + DI(flags2), xr_be64(inode.raw + DI(flags2)) | XFS_DIFLAG2_REFLINK);
	xr_tx_inode_log(tx, &inode);
	commit(bed, tx);
}

#define SHARED 40u

/* File b comes to share the blocks of a, and gives them up; then a does. All by intents. */
static void test_share(void **state)
{
	(void)state;
	for (size_t k = 0; k < 3; k++) {
		uint64_t blocks[SHARED], before;
		struct bed bed;

		make(&bed, kinds[k]);
		before = free_blocks(&bed);
		fill(&bed, bed.a, SHARED, blocks);
		set_reflink(&bed, bed.a);
		set_reflink(&bed, bed.b);
		for (uint32_t i = 0; i < SHARED; i++) {
			struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1};

			put_map(&bed, XFS_LI_BUI, 1000 + i, bed.b, &m, 1);
			put_blocks(&bed, XFS_LI_CUI, 2000 + i, blocks[i], 1, 1);
		}
		ok(&bed, complete(&bed));
		assert_int_equal(bed.stats.intents, 2 * SHARED);
		assert_int_equal(bed.stats.transactions, 1);
		judge(&bed);
		for (uint32_t i = 0; i < SHARED; i++) {
			struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1};

			put_map(&bed, XFS_LI_BUI, 3000 + i, i % 2 ? bed.a : bed.b, &m, 2);
			put_blocks(&bed, XFS_LI_CUI, 4000 + i, blocks[i], 1, 2);
		}
		ok(&bed, complete(&bed));
		judge(&bed);
		for (uint32_t i = 0; i < SHARED; i++) {
			struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1};

			put_map(&bed, XFS_LI_BUI, 5000 + i, i % 2 ? bed.b : bed.a, &m, 2);
			put_blocks(&bed, XFS_LI_CUI, 6000 + i, blocks[i], 1, 2);
		}
		ok(&bed, complete(&bed));
		judge(&bed);
		assert_in_range(free_blocks(&bed), before - 1, before);
		end(&bed);
	}
}

/* The reverse mappings alone: written becomes unwritten and back, with the block map changed to match. */
static void test_convert(void **state)
{
	struct bed bed;
	uint64_t blocks[8];

	(void)state;
	make(&bed, kinds[0]);
	fill(&bed, bed.a, 8, blocks);
	for (uint32_t unwritten = 1; unwritten < 2; unwritten--) {
		struct xr_tx *tx = begin(&bed);
		struct xr_tx_inode inode;

		ok(&bed, xr_tx_inode(tx, bed.a, &inode));
		for (uint32_t i = 0; i < 8; i++) {
			struct xr_mapping m = {.offset = 2 * i, .block = blocks[i], .count = 1, .unwritten = unwritten};

			ok(&bed, xr_bmap_remove(tx, &inode, false, m.offset, 1));
			ok(&bed, xr_bmap_add(tx, &inode, false, &m));
			put_map(&bed, XFS_LI_RUI, 100 + i, bed.a, &m, 5 | (unwritten ? 1u << 29 : 0));
		}
		commit(&bed, tx);
		ok(&bed, complete(&bed));
		judge(&bed);
	}
	end(&bed);
}

/* Blocks staged for copy-on-write by intents are leftovers at once; a metadata block goes by an EFI alone. */
static void test_stage_and_free(void **state)
{
	struct bed bed;
	uint64_t fsb[12], before;
	struct xr_tx *tx;

	(void)state;
	make(&bed, kinds[1]);
	before = free_blocks(&bed);
	tx = begin(&bed);
	for (uint32_t i = 0; i < 12; i++)
		ok(&bed, xr_alloc_block(tx, 500, bed.a, i < 6 ? i : XR_RMAP_BMBT, &fsb[i]));
	for (uint32_t i = 0; i < 6; i++)
		ok(&bed, xr_rmap_unmap(tx, fsb[i], 1, bed.a, i, false));
	commit(&bed, tx);
	for (uint32_t i = 0; i < 6; i++) {
		struct xr_mapping m = {.block = fsb[i], .count = 1};

		put_map(&bed, XFS_LI_RUI, 10 + i, XR_OWN_COW, &m, 7);
		put_blocks(&bed, XFS_LI_CUI, 20 + i, fsb[i], 1, 3);
		put_blocks(&bed, XFS_LI_EFI, 30 + i, fsb[6 + i], 1, 0);
	}
	ok(&bed, complete(&bed));
	assert_in_range(bed.stats.cow_extents, 1, 6);
	judge(&bed);
	assert_int_equal(free_blocks(&bed), before);
	end(&bed);
}

/* --- exchange --- */

static void put_exchange(struct bed *bed, uint64_t start1, uint64_t start2, uint64_t count, uint64_t flags, uint64_t size1,
			 uint64_t size2)
{
	uint8_t *p = put(bed, XFS_LI_XMI, 77, 88, 0) - 16;
	struct xr_inode a, b;

	ok(bed, xr_inode_read(&bed->fs.fs, bed->a, &a));
	ok(bed, xr_inode_read(&bed->fs.fs, bed->b, &b));
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

	ok(bed, xr_inode_read(&bed->fs.fs, ino, &inode));
	ok(bed, xr_bmap_read(&bed->fs.fs, &inode, XR_DATA_FORK, &map));
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
	make(&bed, kinds[0]);
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_EXCHRANGE;
	fill(&bed, bed.a, 60, one);
	fill(&bed, bed.b, 10, two);

	/* All of both, sizes too: a becomes what b was, and b needs a btree. */
	put_exchange(&bed, 0, 0, 200, 2, 5000, 490000);
	ok(&bed, complete(&bed));
	for (uint32_t i = 0; i < 60; i++) {
		assert_int_equal(block_at(&bed, bed.b, 2 * i), one[i]);
		assert_int_equal(block_at(&bed, bed.a, 2 * i), i < 10 ? two[i] : 0);
	}
	ok(&bed, xr_inode_read(&bed.fs.fs, bed.a, &inode));
	assert_int_equal(inode.size, 5000);
	assert_int_equal(inode.nblocks, 10);
	ok(&bed, xr_inode_read(&bed.fs.fs, bed.b, &inode));
	assert_int_equal(inode.size, 490000);
	assert_int_equal(inode.format, XFS_DINODE_FMT_BTREE);
	judge(&bed);

	/* Only what is written in a: its holes leave b alone; another place in b. */
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_EXCHRANGE;
	put_exchange(&bed, 0, 101, 20, 4, UINT64_MAX, UINT64_MAX);
	ok(&bed, complete(&bed));
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(block_at(&bed, bed.b, 101 + 2 * i), two[i]);
		assert_int_equal(block_at(&bed, bed.a, 2 * i), 0);
		assert_int_equal(block_at(&bed, bed.b, 102 + 2 * i), i < 9 ? one[51 + i] : 0);
	}
	judge(&bed);

	/* All of both again, and as many holes as a file can have behind: those take no time. */
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_EXCHRANGE;
	put_exchange(&bed, 0, 0, BMBT_STARTOFF_MASK, 0, UINT64_MAX, UINT64_MAX);
	ok(&bed, complete(&bed));
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(block_at(&bed, bed.a, 101 + 2 * i), two[i]);
	judge(&bed);
	end(&bed);
}

/* --- unlinked inodes --- */

#define ORPHANS 400u

static void make_orphan(struct bed *bed, struct xr_tx *tx, uint64_t ino)
{
	const struct xr_sb *sb = &bed->replay.sb;
	uint64_t agno = ino >> (sb->agblklog + sb->inopblog);
	uint32_t agino = (uint32_t)(ino - (agno << (sb->agblklog + sb->inopblog)));
	uint32_t bbs = sb->sectsize >> XR_BB_SHIFT;
	struct xr_tx_inode inode;
	struct xr_tx_buf *agi;
	size_t bucket = offsetof(struct xfs_agi, agi_unlinked) + 4 * (size_t)(agino % 64);

	ok(bed, xr_tx_inode(tx, ino, &inode));
	ok(bed, xr_tx_get(tx, xr_ag_daddr(sb, (uint32_t)agno) + 2 * bbs, bbs, XFS_BLFT_AGI_BUF, &agi));
	xr_put_be32(inode.raw + DI(nlink), 0);
	memcpy(inode.raw + DI(next_unlinked), agi->data + bucket, 4);
	xr_put_be32(agi->data + bucket, agino);
	xr_tx_log(tx, agi, bucket, 4);
	xr_tx_inode_log(tx, &inode);
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
	again(&bed);
	tx = begin(&bed);
	for (uint32_t i = 0; i < ORPHANS; i++) {
		snprintf(name, sizeof(name), "/large/a-name-that-is-neither-short-nor-very-long-but-takes-room-%u", i);
		make_orphan(&bed, tx, test_fs_lookup(&bed.fs, name));
	}
	commit(&bed, tx);
	ok(&bed, xr_summary_read(&before, &bed.fs.fs));
	assert_true(before.unlinked > 0);
	/* As if all of the log but 200 KiB were still needed. */
	bed.head.tail_lsn = xr_lsn(bed.head.cycle - 1, bed.head.head + 400);
	bed.head.tail = bed.head.head + 400;
	ok(&bed, complete(&bed));
	assert_int_equal(bed.stats.unlinked, ORPHANS);
	assert_int_equal(bed.stats.transactions, 2);
	assert_true(bed.stats.chunks_freed > 0);
	ok(&bed, xr_summary_read(&after, &bed.fs.fs));
	assert_int_equal(after.unlinked, 0);
	assert_int_equal(after.icount - after.ifree, before.icount - before.ifree - ORPHANS);
	assert_int_equal(before.icount - after.icount, 64 * bed.stats.chunks_freed);
	assert_in_range(after.fdblocks - before.fdblocks, 8 * bed.stats.chunks_freed - 2, 8 * bed.stats.chunks_freed);
	end(&bed);
}

/* --- refused --- */

static void refuse(struct bed *bed, int error, const char *word)
{
	assert_int_equal(complete(bed), error);
	assert_said(&bed->fs.t, word);
	xr_replay_forget_intents(&bed->replay);
	assert_int_equal(xr_cache_flush(bed->cache), 0);
	test_msg_init(&bed->fs.t);
}

/* An intent that contradicts the filesystem leaves everything as it was, also what others before it did. */
static void test_wrong_intents(void **state)
{
	struct xr_mapping m = {.offset = 0, .count = 1}, other;
	uint64_t blocks[4], before;
	struct bed bed;

	(void)state;
	make(&bed, kinds[0]);
	fill(&bed, bed.a, 4, blocks);
	judge(&bed);
	before = free_blocks(&bed);
	m.block = blocks[0];
	other = m;
	other.block = blocks[1];

	put_blocks(&bed, XFS_LI_EFI, 1, UINT64_C(1) << 60, 1, 0);
	refuse(&bed, -EUCLEAN, "outside an allocation group");
	put_blocks(&bed, XFS_LI_EFI, 1, 2000, 0, 0);
	refuse(&bed, -EUCLEAN, "outside an allocation group");
	put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 2);
	put_blocks(&bed, XFS_LI_EFI, 2, 9000, 1, 0); /* free already */
	refuse(&bed, -EUCLEAN, "");
	put_map(&bed, XFS_LI_BUI, 1, bed.a, &other, 2);
	refuse(&bed, -EUCLEAN, "other blocks");
	put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 1);
	refuse(&bed, -EUCLEAN, "has one already");
	put_map(&bed, XFS_LI_BUI, 1, bed.a + 40, &m, 2);
	refuse(&bed, -EUCLEAN, "");
	put_map(&bed, XFS_LI_BUI, 1, UINT64_MAX, &m, 2);
	refuse(&bed, -EUCLEAN, "can have this number");
	put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 2 | 1u << 29);
	refuse(&bed, -EOPNOTSUPP, "realtime");
	put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 9);
	refuse(&bed, -EUCLEAN, "unknown change");
	put_map(&bed, XFS_LI_RUI, 1, bed.b, &m, 3);
	refuse(&bed, -EUCLEAN, "");
	put_map(&bed, XFS_LI_RUI, 1, bed.a, &m, 1 << 20 | 3);
	refuse(&bed, -EUCLEAN, "unknown flags");
	put_blocks(&bed, XFS_LI_CUI, 1, blocks[0], 1, 4);
	refuse(&bed, -EUCLEAN, "");
	put_blocks(&bed, XFS_LI_CUI, 1, blocks[0], 1, 5);
	refuse(&bed, -EUCLEAN, "unknown change");
	put_exchange(&bed, 0, 0, 8, 0, 0, 0);
	refuse(&bed, -EUCLEAN, "exchange-range");
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_EXCHRANGE;
	put_exchange(&bed, UINT64_MAX, 0, 8, 0, 0, 0);
	refuse(&bed, -EUCLEAN, "impossible range");
	put_exchange(&bed, 0, 0, 8, 64, 0, 0);
	refuse(&bed, -EOPNOTSUPP, "flags 0x40");
	put(&bed, XFS_LI_ATTRI, 1, 40, 0);
	refuse(&bed, -EOPNOTSUPP, "ATTRI");
	put(&bed, XFS_LI_EFI_RT, 1, 32, 1);
	refuse(&bed, -EOPNOTSUPP, "EFI_RT");

	assert_int_equal(free_blocks(&bed), before);
	judge(&bed);
	end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_maps),     cmocka_unit_test(test_share),    cmocka_unit_test(test_convert),
		cmocka_unit_test(test_stage_and_free), cmocka_unit_test(test_exchange), cmocka_unit_test(test_two_transactions),
		cmocka_unit_test(test_wrong_intents),
	};

	return test_fs_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
