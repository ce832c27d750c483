/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Intents and copy-on-write leftovers of realtime groups, and the free space of groups: after each step bitmaps and summaries are compared with ones that
 * are made bit by bit from a model of what is free.
 */
#include <errno.h>
#include <stdio.h>

#include "bed.h"
#include "bmap.h"
#include "bytes.h"
#include "format.h"
#include "rtbuild.h"
#include "summary.h"

#define BLOCK 1024u
#define HEADER 48u
#define PER_BLOCK ((BLOCK - HEADER) * 8)
#define BITMAP_BLOCKS 3u
#define LEVELS 15u
#define OWNER 12345u
#define SHIFT 15u
enum { MAP = 1, UNMAP = 3, INCREASE = 1, DECREASE, ALLOC_COW };

static struct ag_test t;
static struct bed bed; /* as far as intents are put there */
static struct xr_fs fs;
static bool free_block[RT_GROUPS][RT_GROUP_BLOCKS];

static uint32_t blocks_of(uint32_t rgno)
{
	return rgno == RT_GROUPS - 1 ? RT_LAST_BLOCKS : RT_GROUP_BLOCKS;
}

static uint64_t rtb(uint32_t rgno, uint32_t block)
{
	return (uint64_t)rgno << SHIFT | block;
}

static uint64_t file_of(uint32_t rgno, const char *kind)
{
	char name[32];

	snprintf(name, sizeof(name), "%u.%s", rgno, kind);
	return rt_test_file(&t, name);
}

/* --- the files of free space, all in use --- */

static void add_block(uint64_t ino, uint32_t block, unsigned type, uint32_t magic)
{
	struct xr_mapping m = {.offset = block, .count = 1};
	struct xr_tx_inode inode;
	struct xr_tx_buf *buf;

	bed_ok(&t, xr_tx_inode(t.tx, ino, &inode));
	bed_ok(&t, xr_alloc_block(t.tx, ino >> t.fs.sb.inopblog, ino, block, &m.block));
	bed_ok(&t, xr_tx_get_new(t.tx, xr_fsb_daddr(&t.fs.sb, m.block), BLOCK >> XR_BB_SHIFT, type, &buf));
	xr_put_be32(buf->data, magic);
	xr_put_be64(buf->data + 8, ino);
	xr_put_be64(buf->data + 16, buf->daddr);
	memcpy(buf->data + 32, t.fs.sb.meta_uuid, 16);
	bed_ok(&t, xr_bmap_add(t.tx, &inode, false, &m));
}

static void begin(const char *options)
{
	rt_test_begin(&t, options, 0);
	for (uint32_t rgno = 0; rgno < RT_GROUPS; rgno++) {
		for (uint32_t i = 0; i < BITMAP_BLOCKS; i++)
			add_block(file_of(rgno, "bitmap"), i, XFS_BLFT_RTBITMAP_BUF, XR_RTBITMAP_MAGIC);
		add_block(file_of(rgno, "summary"), 0, XFS_BLFT_RTSUMMARY_BUF, XR_RTSUMMARY_MAGIC);
	}
	ag_test_commit(&t);
	memset(free_block, 0, sizeof(free_block));
	memset(&bed, 0, sizeof(bed));
	bed.log.sb = &t.fs.sb;
	xr_replay_init(&bed.replay, &bed.log, t.cache, &t.fs.t.msg);
	fs = (struct xr_fs){&t.fs.sb, t.cache, &t.fs.t.msg};
}

static void end(void)
{
	xr_replay_destroy(&bed.replay);
	ag_test_end(&t);
}

static uint64_t daddr_of(uint64_t ino, uint32_t block)
{
	struct xr_extent extents[XR_BMAP_GATHER_MAX];
	struct xr_inode inode;
	struct xr_bmap map;

	bed_ok(&t, xr_inode_read(&fs, ino, &inode));
	bed_ok(&t, xr_bmap_read(&fs, &inode, XR_DATA_FORK, &map));
	assert_int_equal(xr_bmap_gather(&fs, &map, block, 1, extents), 1);
	xr_bmap_free(&map);
	return extents[0].daddr;
}

/* The words of a block, without its header, which must be sealed. */
static void words_of(uint64_t ino, uint32_t block, uint8_t *words)
{
	struct xr_buf buf;

	bed_ok(&t, xr_buf_read(t.cache, daddr_of(ino, block), BLOCK >> XR_BB_SHIFT, &buf));
	assert_true(xr_crc_ok(buf.data, BLOCK, 4));
	memcpy(words, buf.data + HEADER, BLOCK - HEADER);
	xr_buf_put(t.cache, &buf);
}

/* --- the model --- */

static void add_run(uint8_t *summary, uint32_t first, uint32_t len)
{
	uint8_t *p = summary + 4 * ((31 - (uint32_t)__builtin_clz(len)) * BITMAP_BLOCKS + first / PER_BLOCK);

	xr_put_be32(p, xr_be32(p) + 1);
}

static uint32_t check_group(uint32_t rgno)
{
	uint8_t bitmap[BITMAP_BLOCKS][BLOCK - HEADER] = {{0}}, summary[BLOCK - HEADER] = {0}, words[BLOCK - HEADER];
	uint32_t n = 0, run = 0;

	for (uint32_t i = 0; i <= blocks_of(rgno); i++) {
		if (i < blocks_of(rgno) && free_block[rgno][i]) {
			uint8_t *p = bitmap[i / PER_BLOCK] + i % PER_BLOCK / 32 * 4;

			xr_put_be32(p, xr_be32(p) | 1u << i % PER_BLOCK % 32);
			run++;
			n++;
		} else if (run) {
			add_run(summary, i - run, run);
			run = 0;
		}
	}
	for (uint32_t i = 0; i < BITMAP_BLOCKS; i++) {
		words_of(file_of(rgno, "bitmap"), i, words);
		assert_memory_equal(words, bitmap[i], sizeof(words));
	}
	words_of(file_of(rgno, "summary"), 0, words);
	assert_memory_equal(words, summary, sizeof(words));
	return n;
}

static void check(void)
{
	struct xr_summary summary;
	uint32_t n = 0;

	for (uint32_t rgno = 0; rgno < RT_GROUPS; rgno++)
		n += check_group(rgno);
	bed_ok(&t, xr_summary_read(&summary, &fs));
	assert_int_equal(summary.frextents, n);
	assert_int_equal(summary.damaged, 0);
	assert_int_equal(summary.cow, 0);
}

static void set_free(uint32_t rgno, uint32_t block, uint32_t n)
{
	for (; n--; block++) {
		assert_false(free_block[rgno][block]);
		free_block[rgno][block] = true;
	}
}

static int complete(void)
{
	return xr_complete(&bed.replay, NULL, &t.head, &bed.stats);
}

static void refuse(const char *word)
{
	assert_int_equal(complete(), -EUCLEAN);
	assert_said(&t.fs.t, word);
	xr_replay_forget_intents(&bed.replay);
	test_msg_init(&t.fs.t);
}

static void put_rmap(uint64_t id, uint64_t owner, uint64_t block, uint32_t n, uint32_t offset, uint32_t what)
{
	bed_put_map(&bed, XFS_LI_RUI_RT, id, owner, &(struct xr_mapping){.block = block, .count = n, .offset = offset}, what);
}

/* --- tests --- */

/* In pieces of all sizes, in an order that jumps between the groups, until all is free: up to their ends, over words, blocks and their headers. */
static void test_give_back(void **state)
{
	uint32_t seed = 7, pieces = 0;

	(void)state;
	begin("-b size=1k -m rmapbt=1,reflink=1");
	check();
	for (uint32_t pass = 0; pass < 2; pass++) { /* every other piece, then what is between them */
		uint32_t at[RT_GROUPS] = {1, 0, 0};
		bool more = true;

		while (more) {
			more = false;
			for (uint32_t rgno = 0; rgno < RT_GROUPS; rgno++) {
				uint32_t left, n = 1 + ag_random(&seed, pieces % 3 ? 40 : 3000),
					       skip = pass ? 0 : 1 + ag_random(&seed, 60);

				while (at[rgno] < blocks_of(rgno) && free_block[rgno][at[rgno]])
					at[rgno]++;
				left = blocks_of(rgno) - at[rgno];
				for (uint32_t i = 0; i < n && i < left; i++)
					n = free_block[rgno][at[rgno] + i] ? i : n;
				n = n < left ? n : left;
				if (!n)
					continue;
				more = true;
				bed_put_blocks(&bed, XFS_LI_EFI_RT, ++pieces, rtb(rgno, at[rgno]), n, 0);
				set_free(rgno, at[rgno], n);
				at[rgno] += n + (skip < left - n ? skip : left - n);
			}
			bed_ok(&t, complete());
			if (pieces % 8 == 0)
				check();
		}
		check();
	}
	for (uint32_t rgno = 0; rgno < RT_GROUPS; rgno++)
		assert_int_equal(check_group(rgno), blocks_of(rgno) - !rgno);
	assert_true(pieces > 150);
	end();
}

/* Every kind of intent, and what follows from it. */
static void test_intents(void **state)
{
	(void)state;
	begin("-b size=1k -m rmapbt=1,reflink=1");
	put_rmap(1, OWNER, rtb(1, 100), 50, 0, MAP);
	bed_put_blocks(&bed, XFS_LI_CUI_RT, 2, rtb(1, 100), 20, INCREASE);
	bed_ok(&t, complete());
	assert_int_equal(bed.stats.intents, 2);
	check();
	put_rmap(3, OWNER, rtb(1, 100), 50, 0, MAP);
	refuse("realtime group 1");
	/* 20 blocks are shared, the others go. */
	bed_put_blocks(&bed, XFS_LI_CUI_RT, 4, rtb(1, 100), 50, DECREASE);
	put_rmap(5, OWNER, rtb(1, 120), 30, 20, UNMAP);
	bed_ok(&t, complete());
	set_free(1, 120, 30);
	check();
	bed_put_blocks(&bed, XFS_LI_CUI_RT, 6, rtb(1, 110), 10, DECREASE);
	put_rmap(7, OWNER, rtb(1, 110), 10, 10, UNMAP);
	bed_ok(&t, complete());
	set_free(1, 110, 10);
	check();
	put_rmap(8, OWNER, rtb(1, 110), 1, 10, UNMAP);
	refuse("realtime group 1");
	check();
	end();
}

static void stage(uint64_t id, uint32_t rgno, uint32_t block, uint32_t n)
{
	bed_put_blocks(&bed, XFS_LI_CUI_RT, id, rtb(rgno, block), n, ALLOC_COW);
	put_rmap(id + 1, XR_OWN_COW, rtb(rgno, block), n, 0, MAP);
}

/* What is staged by the intents is a leftover right after them. */
static void test_leftovers(void **state)
{
	(void)state;
	begin("-b size=1k -m rmapbt=1,reflink=1");
	stage(1, 0, 1, 10);
	stage(3, 2, RT_LAST_BLOCKS - 5, 5);
	bed_ok(&t, complete());
	assert_int_equal(bed.stats.cow_extents, 2);
	set_free(0, 1, 10);
	set_free(2, RT_LAST_BLOCKS - 5, 5);
	check();
	end();
}

static void test_wrong(void **state)
{
	static const struct {
		uint32_t rgno, block, n;
		const char *said;
	} cases[] = {
		{0, 0, 1, "outside the realtime device"}, /* the realtime superblock */
		{0, RT_GROUP_BLOCKS - 1, 2, "outside the realtime device"},
		{0, RT_GROUP_BLOCKS, 1, "outside the realtime device"},
		{2, RT_LAST_BLOCKS - 1, 2, "outside the realtime device"},
		{RT_GROUPS, 0, 1, "outside the realtime device"},
		{1, 0, 0, "outside the realtime device"},
		{1, 30, 5, "some of them are free"},
	};

	(void)state;
	begin("-b size=1k -m rmapbt=1,reflink=1");
	bed_put_blocks(&bed, XFS_LI_EFI_RT, 1, rtb(1, 33), 1, 0);
	bed_ok(&t, complete());
	set_free(1, 33, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bed_put_blocks(&bed, XFS_LI_EFI_RT, 2, rtb(cases[i].rgno, cases[i].block), cases[i].n, 0);
		refuse(cases[i].said);
		if (cases[i].n == 5)
			continue;
		put_rmap(3, OWNER, rtb(cases[i].rgno, cases[i].block), cases[i].n, 0, MAP);
		refuse("RUI_RT");
		bed_put_blocks(&bed, XFS_LI_CUI_RT, 4, rtb(cases[i].rgno, cases[i].block), cases[i].n, INCREASE);
		refuse("CUI_RT");
	}
	check();
	end();
}

/* Change a byte of a group's bitmap or summary. */
static void damage(uint32_t rgno, const char *kind, size_t offset, bool seal)
{
	struct xr_buf buf;

	bed_ok(&t, xr_buf_read(t.cache, daddr_of(file_of(rgno, kind), 0), BLOCK >> XR_BB_SHIFT, &buf));
	buf.data[offset] ^= 1;
	if (seal)
		xr_crc_update(buf.data, BLOCK, 4);
	xr_buf_dirty(t.cache, &buf, 0, BLOCK);
	xr_buf_put(t.cache, &buf);
}

/* A damaged group keeps its leftovers, and its intents cannot be completed. The others are as if it were not. */
static void test_damaged(void **state)
{
	static const struct {
		const char *kind;
		size_t offset;
		bool seal, counted;
	} cases[] = {
		{"bitmap", 0, true, false},
		{"bitmap", 8, true, false},
		{"bitmap", 20, true, false},
		{"bitmap", 32, true, false},
		{"bitmap", HEADER + 40, false, false},
		{"summary", 15, true, true},
		{"summary", 60, false, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xr_summary summary;

		begin("-b size=1k -m rmapbt=1,reflink=1");
		damage(1, cases[i].kind, cases[i].offset, cases[i].seal);
		bed_put_blocks(&bed, XFS_LI_EFI_RT, 1, rtb(1, 5), 3, 0);
		refuse("a block of its bitmap or summary is damaged");
		stage(2, 1, 500, 7);
		stage(4, 2, 600, 8);
		bed_ok(&t, complete());
		assert_int_equal(bed.stats.cow_extents, 1);
		assert_int_equal(bed.stats.groups_kept, 1);
		set_free(2, 600, 8);
		assert_int_equal(check_group(2), 8);
		assert_int_equal(check_group(0), 0);
		bed_ok(&t, xr_summary_read(&summary, &fs));
		assert_int_equal(summary.damaged, !cases[i].counted);
		assert_int_equal(summary.cow, cases[i].counted); /* of a group that can be counted */
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_give_back), cmocka_unit_test(test_intents), cmocka_unit_test(test_leftovers),
		cmocka_unit_test(test_wrong),     cmocka_unit_test(test_damaged),
	};

	return test_fs_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
