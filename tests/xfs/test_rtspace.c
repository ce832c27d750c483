/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Free space of a realtime device: given back by intents and with unlinked files. After each step the summary is compared with one that is counted from
 * the bitmap bit by bit; in the end xfs_repair -n looks.
 */
#include <errno.h>

#include "bed.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define EXTENTS 51200u /* of 4 KiB on 200 MiB: 7 blocks of bitmap */
#define EXTENT_BLOCKS 4u
#define BLOCK 1024u
#define BITMAP_BLOCKS 7u
#define LEVELS 16u

static char rt_name[] = "/tmp/test_rtspace.XXXXXX";
static uint8_t summary[128 * 1024], counted[sizeof(summary)], bitmap[BITMAP_BLOCKS * BLOCK];

static uint64_t daddr_of(struct bed *bed, uint64_t ino, uint32_t block)
{
	const struct xr_mapping *m;
	struct xr_inode inode;
	struct xr_bmap map;
	uint64_t fsb;

	bed_ok(bed, xr_inode_read(&bed->fs.fs, ino, &inode));
	bed_ok(bed, xr_bmap_read(&bed->fs.fs, &inode, XR_DATA_FORK, &map));
	m = xr_bmap_find(&map, block);
	assert_non_null(m);
	fsb = m->block + (block - m->offset);
	xr_bmap_free(&map);
	return xr_fsb_daddr(&bed->fs.sb, fsb);
}

static void copy_file(struct bed *bed, uint64_t ino, uint8_t *to, uint32_t blocks)
{
	for (uint32_t i = 0; i < blocks; i++) {
		struct xr_buf buf;

		bed_ok(bed, xr_buf_read(bed->cache, daddr_of(bed, ino, i), BLOCK >> XR_BB_SHIFT, &buf));
		memcpy(to + i * BLOCK, buf.data, BLOCK);
		xr_buf_put(bed->cache, &buf);
	}
}

static bool is_free(const struct bed *bed, uint32_t rtx)
{
	return xr_get32(bed->log.order, bitmap + rtx / 32 * 4) >> rtx % 32 & 1;
}

static uint32_t summary_blocks(void)
{
	return (LEVELS * BITMAP_BLOCKS * 4 + BLOCK - 1) / BLOCK;
}

/* What the summary must be, bit by bit; gives how many extents are free. */
static uint32_t count(const struct bed *bed)
{
	uint32_t n = 0, len;

	memset(counted, 0, sizeof(counted));
	for (uint32_t rtx = 0; rtx < EXTENTS; rtx += len ? len : 1) {
		uint8_t *p;
		uint32_t level = 0;

		for (len = 0; rtx + len < EXTENTS && is_free(bed, rtx + len); len++)
			;
		n += len;
		if (!len)
			continue;
		while (len >> (level + 1))
			level++;
		p = counted + 4 * (level * BITMAP_BLOCKS + rtx / (8 * BLOCK));
		xr_put32(bed->log.order, p, xr_get32(bed->log.order, p) + 1);
	}
	return n;
}

/* Bitmap and summary agree, and this many extents are free, as the superblock has it. */
static void check(struct bed *bed, uint32_t free)
{
	struct xr_buf buf;

	copy_file(bed, bed->replay.sb.rbmino, bitmap, BITMAP_BLOCKS);
	copy_file(bed, bed->replay.sb.rsumino, summary, summary_blocks());
	assert_int_equal(count(bed), free);
	assert_memory_equal(summary, counted, LEVELS * BITMAP_BLOCKS * 4);
	bed_ok(bed, xr_buf_read(bed->cache, 0, 1, &buf));
	assert_int_equal(xr_be64(buf.data + offsetof(struct xfs_dsb, sb_frextents)), free);
	xr_buf_put(bed->cache, &buf);
}

static void put_file(struct bed *bed, struct xr_tx *tx, uint64_t ino, unsigned type, const uint8_t *from, uint32_t blocks)
{
	for (uint32_t i = 0; i < blocks; i++) {
		struct xr_tx_buf *buf;

		bed_ok(bed, xr_tx_get(tx, daddr_of(bed, ino, i), BLOCK >> XR_BB_SHIFT, type, &buf));
		memcpy(buf->data, from + i * BLOCK, BLOCK);
		xr_tx_log(tx, buf, 0, BLOCK);
	}
}

/* Take extents as if a file had them: [first, first + n). */
static void take(struct bed *bed, uint32_t first, uint32_t n)
{
	struct xr_tx *tx = bed_begin(bed);
	struct xr_tx_buf *buf;

	copy_file(bed, bed->replay.sb.rbmino, bitmap, BITMAP_BLOCKS);
	for (uint32_t rtx = first; rtx < first + n; rtx++) {
		uint8_t *p = bitmap + rtx / 32 * 4;

		assert_true(is_free(bed, rtx));
		xr_put32(bed->log.order, p, xr_get32(bed->log.order, p) & ~(1u << rtx % 32));
	}
	n = count(bed);
	put_file(bed, tx, bed->replay.sb.rbmino, XFS_BLFT_RTBITMAP_BUF, bitmap, BITMAP_BLOCKS);
	put_file(bed, tx, bed->replay.sb.rsumino, XFS_BLFT_RTSUMMARY_BUF, counted, summary_blocks());
	bed_ok(bed, xr_tx_get(tx, 0, 1, XFS_BLFT_SB_BUF, &buf));
	xr_put_be64(buf->data + offsetof(struct xfs_dsb, sb_frextents), n);
	xr_tx_log(tx, buf, offsetof(struct xfs_dsb, sb_frextents), 8);
	bed_commit(bed, tx);
	check(bed, n);
}

static void make(struct bed *bed, const char *more)
{
	char kind[128];
	int fd;

	memcpy(rt_name + sizeof(rt_name) - 7, "XXXXXX", 6);
	fd = mkstemp(rt_name);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 200 << 20), 0);
	close(fd);
	snprintf(kind, sizeof(kind), "-b size=1k -r rtdev=%s,extsize=4k %s", rt_name, more);
	bed_make(bed, kind);
	bed->rtdev = rt_name;
	assert_int_equal(bed->replay.sb.rextents, EXTENTS);
	assert_int_equal(bed->replay.sb.rextsize, EXTENT_BLOCKS);
	check(bed, EXTENTS);
}

static void end(struct bed *bed)
{
	bed_end(bed);
	assert_int_equal(unlink(rt_name), 0);
}

static void put_efi(struct bed *bed, uint64_t id, uint32_t rtx, uint32_t n)
{
	bed_put_blocks(bed, XFS_LI_EFI_RT, id, (uint64_t)rtx * EXTENT_BLOCKS, n * EXTENT_BLOCKS, 0);
}

/* Given back in pieces of all sizes, in no order: beside used ones, joining one side or both, over words and blocks of the bitmap. */
static void test_give_back(void **state)
{
	static const struct {
		uint32_t first, n;
	} pieces[] = {
		{100, 1},
		{102, 1},
		{101, 1},
		{96, 4},
		{0, 1},
		{1, 95},
		{103, 25},
		{8190, 4},
		{8160, 30},
		{8194, 9000},
		{128, 32},
		{160, 8000},
		{EXTENTS - 1, 1},
		{40000, 1000},
		{EXTENTS - 33, 32},
		{41000, 1},
		{41001, EXTENTS - 33 - 41001},
		{17194, 22806},
	};
	struct bed bed;
	uint32_t free = 0;

	(void)state;
	for (int v4 = 0; v4 < 2; v4++, free = 0) {
		make(&bed, v4 ? "-m crc=0" : "");
		take(&bed, 0, EXTENTS);
		for (uint32_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			put_efi(&bed, i + 1, pieces[i].first, pieces[i].n);
			free += pieces[i].n;
			if (i % 3 == 1)
				continue; /* two at once */
			bed_ok(&bed, bed_complete(&bed));
			check(&bed, free);
		}
		assert_int_equal(free, EXTENTS);
		bed_judge(&bed);
		check(&bed, EXTENTS);
		end(&bed);
	}
}

static void map(struct bed *bed, struct xr_tx *tx, struct xr_tx_inode *inode, uint64_t offset, uint64_t block, uint32_t n,
		bool unwritten)
{
	struct xr_mapping m = {.offset = offset, .block = block, .count = n, .unwritten = unwritten};

	bed_ok(bed, xr_bmap_add(tx, inode, false, &m));
}

/* A file on the realtime device: written and unwritten parts of one extent, extents elsewhere, more than the inode holds. */
static void test_unlinked(void **state)
{
	struct xr_tx_inode inode;
	struct bed bed;
	struct xr_tx *tx;

	(void)state;
	make(&bed, "");
	take(&bed, 1000, 3);
	for (uint32_t i = 0; i < 60; i++)
		take(&bed, 2000 + 2 * i, 1);
	tx = bed_begin(&bed);
	bed_ok(&bed, xr_tx_inode(tx, bed.a, &inode));
	xr_put_be16(inode.raw + DI(flags), XFS_DIFLAG_REALTIME);
	map(&bed, tx, &inode, 0, 4000, 1, false);
	map(&bed, tx, &inode, 1, 4001, 6, true);
	map(&bed, tx, &inode, 7, 4007, 5, false);
	for (uint32_t i = 0; i < 60; i++)
		map(&bed, tx, &inode, 100 + 8 * i, 4u * (2000 + 2 * i), 4, i % 2);
	assert_int_equal(inode.raw[DI(format)], XFS_DINODE_FMT_BTREE);
	xr_put_be64(inode.raw + DI(size), 600 * BLOCK);
	xr_tx_inode_log(tx, &inode);
	bed_commit(&bed, tx);
	check(&bed, EXTENTS - 63);
	tx = bed_begin(&bed);
	bed_make_orphan(&bed, tx, bed.a);
	bed_commit(&bed, tx);
	bed_ok(&bed, bed_complete(&bed));
	assert_int_equal(bed.stats.unlinked, 1);
	assert_int_equal(bed.stats.unlinked_kept, 0);
	check(&bed, EXTENTS);
	end(&bed);
}

/* Block map intents of a realtime file change its map and nothing else; of another device they are refused. */
static void test_map(void **state)
{
	struct xr_mapping m = {.offset = 8, .block = 4000, .count = 8}, wrong = m;
	struct xr_tx_inode inode;
	struct bed bed;
	struct xr_tx *tx;

	(void)state;
	make(&bed, "-m rmapbt=0");
	take(&bed, 1000, 2);
	tx = bed_begin(&bed);
	bed_ok(&bed, xr_tx_inode(tx, bed.a, &inode));
	xr_put_be16(inode.raw + DI(flags), XFS_DIFLAG_REALTIME);
	xr_put_be64(inode.raw + DI(size), 16 * BLOCK);
	xr_tx_inode_log(tx, &inode);
	bed_commit(&bed, tx);
	bed_put_map(&bed, XFS_LI_BUI, 1, bed.a, &m, 1 | 1u << 29);
	bed_ok(&bed, bed_complete(&bed));
	bed_judge(&bed);
	bed_put_map(&bed, XFS_LI_BUI, 2, bed.a, &m, 2);
	bed_refuse(&bed, -EUCLEAN, "not on the device");
	bed_put_map(&bed, XFS_LI_BUI, 3, bed.b, &m, 1 | 1u << 29);
	bed_refuse(&bed, -EUCLEAN, "not on the device");
	wrong.block = EXTENTS * EXTENT_BLOCKS - 4;
	bed_put_map(&bed, XFS_LI_BUI, 4, bed.a, &wrong, 1 | 1u << 29);
	bed_refuse(&bed, -EUCLEAN, "outside the realtime device");
	bed_put_map(&bed, XFS_LI_BUI, 5, bed.a, &m, 2 | 1u << 29);
	put_efi(&bed, 6, 1000, 2);
	bed_ok(&bed, bed_complete(&bed));
	check(&bed, EXTENTS);
	bed_judge(&bed);
	end(&bed);
}

static void test_wrong(void **state)
{
	struct bed bed;

	(void)state;
	make(&bed, "");
	take(&bed, 500, 10);
	put_efi(&bed, 1, 499, 2);
	bed_refuse(&bed, -EUCLEAN, "some of them are free");
	put_efi(&bed, 1, EXTENTS, 1);
	bed_refuse(&bed, -EUCLEAN, "outside the realtime device");
	bed_put_blocks(&bed, XFS_LI_EFI_RT, 1, 500 * EXTENT_BLOCKS + 1, EXTENT_BLOCKS, 0);
	bed_refuse(&bed, -EUCLEAN, "no whole realtime extents");
	bed_put_blocks(&bed, XFS_LI_EFI_RT, 1, 500 * EXTENT_BLOCKS, 1, 0);
	bed_refuse(&bed, -EUCLEAN, "no whole realtime extents");
	check(&bed, EXTENTS - 10);
	end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_give_back),
		cmocka_unit_test(test_unlinked),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_wrong),
	};

	return test_fs_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
