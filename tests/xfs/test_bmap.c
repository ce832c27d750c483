/* SPDX-License-Identifier: GPL-2.0-only */
/* Block maps in memory: looking up, and gathering a range as extents. (Reading them from a disk: test_dir.c.) */
#include "support.h"

#include <stdbool.h>
#include "bmap.h"

/* Four AGs of 1000 blocks of 4 KiB: in numbers, an AG takes 1024. */
static const struct xr_sb sb = {
	.blocksize = 4096, .blocklog = 12, .agblocks = 1000, .agblklog = 10, .agcount = 4, .dblocks = 4000, .sectsize = 512};
static const struct xr_fs fs = {.sb = &sb};

static struct xr_mapping pieces[] = {
	{.offset = 10, .block = 100, .count = 4},
	{.offset = 14, .block = 104, .count = 2}, /* goes on where the first ends */
	{.offset = 16, .block = 50, .count = 1},
	{.offset = 17, .block = 1024 + 20, .count = 3}, /* the next AG */
	{.offset = 30, .block = 200, .count = 5, .unwritten = true},
	{.offset = (1ull << 54) - 5, .block = 300, .count = 5},
};
static const struct xr_bmap map = {.map = pieces, .n = sizeof(pieces) / sizeof(pieces[0])};

static void test_find(void **state)
{
	const struct xr_bmap empty = {0};

	(void)state;
	assert_ptr_equal(xr_bmap_find(&map, 0), &pieces[0]); /* in the hole before it */
	assert_ptr_equal(xr_bmap_find(&map, 10), &pieces[0]);
	assert_ptr_equal(xr_bmap_find(&map, 13), &pieces[0]);
	assert_ptr_equal(xr_bmap_find(&map, 14), &pieces[1]);
	assert_ptr_equal(xr_bmap_find(&map, 19), &pieces[3]);
	assert_ptr_equal(xr_bmap_find(&map, 20), &pieces[4]);
	assert_ptr_equal(xr_bmap_find(&map, (1ull << 54) - 1), &pieces[5]);
	assert_null(xr_bmap_find(&map, 1ull << 54));
	assert_null(xr_bmap_find(&map, UINT64_MAX));
	assert_null(xr_bmap_find(&empty, 0));
}

static void test_gather(void **state)
{
	struct xr_extent extents[XR_BMAP_GATHER_MAX];

	(void)state;
	assert_int_equal(xr_bmap_gather(&fs, &map, 10, 1, extents), 1);
	assert_int_equal(extents[0].daddr, 800);
	assert_int_equal(extents[0].bbs, 8);

	/* The end of one, the whole of two, the beginning of the last; the first two are neighbours on the disk. */
	assert_int_equal(xr_bmap_gather(&fs, &map, 13, 6, extents), 3);
	assert_int_equal(extents[0].daddr, 103 * 8);
	assert_int_equal(extents[0].bbs, 3 * 8);
	assert_int_equal(extents[1].daddr, 50 * 8);
	assert_int_equal(extents[1].bbs, 8);
	assert_int_equal(extents[2].daddr, (1000 + 20) * 8);
	assert_int_equal(extents[2].bbs, 2 * 8);
}

/* What cannot be gathered as a whole is not gathered in part. */
static void test_gather_nothing(void **state)
{
	struct xr_bmap realtime = map, empty = {0};
	struct xr_extent extents[XR_BMAP_GATHER_MAX];

	(void)state;
	assert_int_equal(xr_bmap_gather(&fs, &map, 9, 2, extents), 0); /* begins in a hole */
	assert_int_equal(xr_bmap_gather(&fs, &map, 18, 4, extents), 0); /* ends in one */
	assert_int_equal(xr_bmap_gather(&fs, &map, 31, 1, extents), 0); /* unwritten */
	assert_int_equal(xr_bmap_gather(&fs, &map, (1ull << 54) - 1, 2, extents), 0); /* behind the last */
	assert_int_equal(xr_bmap_gather(&fs, &empty, 0, 1, extents), 0);
	realtime.realtime = true; /* its numbers are not those of data blocks */
	assert_int_equal(xr_bmap_gather(&fs, &realtime, 10, 1, extents), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_gather),
		cmocka_unit_test(test_gather_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
