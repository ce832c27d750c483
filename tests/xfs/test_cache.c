/* SPDX-License-Identifier: GPL-2.0-only */
/* The buffer cache: a byte of the disk is in memory once, whatever buffers show it, and only what was changed is written. */
#include "support.h"

#include <errno.h>
#include <vmap/linux.h>

#include "cache.h"

#define DEV_BYTES (16u << 20)
#define PAGE 4096u
#define PAGE_BBS (PAGE / XR_BB)

struct fixture {
	struct test_msg msg;
	struct xr_dev dev;
	struct vmap_process *process;
	struct xr_cache *cache;
};

/* The byte that the test device holds at offset. */
static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)(offset * 2654435761u >> 24 ^ offset >> 9);
}

static void open_cache(struct fixture *f, bool write)
{
	assert_int_equal(xr_cache_create(&f->cache, &f->dev, f->process, write, &f->msg.msg), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint8_t *all = malloc(DEV_BYTES);

	test_msg_init(&f->msg);
	test_dev_init(&f->dev, DEV_BYTES, &f->msg);
	for (uint64_t i = 0; i < DEV_BYTES; i++)
		all[i] = pattern(i);
	assert_int_equal(xr_dev_write(&f->dev, all, DEV_BYTES, 0), 0);
	free(all);
	assert_int_equal(vmap_process_create(NULL, &f->process), 0);
	open_cache(f, true);
	*state = f;
	return sysconf(_SC_PAGESIZE) == PAGE ? 0 : -1;
}

/* Whatever a test did, no page and no view may be left. */
static int teardown(void **state)
{
	struct fixture *f = *state;

	xr_cache_destroy(f->cache);
	assert_int_equal(vmap_process_destroy(f->process), 0);
	xr_dev_close(&f->dev);
	free(f);
	return 0;
}

static void assert_pattern(const uint8_t *data, uint64_t offset, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (data[i] != pattern(offset + i))
			fail_msg("byte %zu behind offset %llu is not what the device holds", i, (unsigned long long)offset);
}

static void test_forms(void **state)
{
	struct fixture *f = *state;
	struct xr_cache_stats stats;
	struct xr_buf direct, mapped;

	/* Inside a page: no view. */
	assert_int_equal(xr_buf_read(f->cache, 3, 2, &direct), 0);
	assert_int_equal(direct.size, 2 * XR_BB);
	assert_pattern(direct.data, 3 * XR_BB, direct.size);
	xr_cache_stats(f->cache, &stats);
	assert_int_equal(stats.views, 0);
	/* Over pages that were read at once and are neighbours in the pool: no view either. */
	assert_int_equal(xr_buf_read(f->cache, 100 * PAGE_BBS + 1, 2 * PAGE_BBS, &mapped), 0);
	assert_pattern(mapped.data, 100 * PAGE + XR_BB, mapped.size);
	xr_cache_stats(f->cache, &stats);
	assert_int_equal(stats.views, 1);
	assert_int_equal(stats.neighbours, 1);
	xr_buf_put(f->cache, &mapped);
	/* Over page borders, not aligned to them, and one page is elsewhere in the pool: one view. */
	assert_int_equal(xr_buf_read(f->cache, 5, 3 * PAGE_BBS, &mapped), 0);
	assert_pattern(mapped.data, 5 * XR_BB, mapped.size);
	xr_cache_stats(f->cache, &stats);
	assert_int_equal(stats.views - stats.neighbours, 1);
	assert_int_equal(stats.pages_mapped, 3 + 4);
	assert_int_equal(stats.copied, 0);
	xr_buf_put(f->cache, &mapped);
	xr_buf_put(f->cache, &direct);
	/* Asked for again, it is the same view. */
	assert_int_equal(xr_buf_read(f->cache, 5, 3 * PAGE_BBS, &mapped), 0);
	xr_cache_stats(f->cache, &stats);
	assert_int_equal(stats.views, 2);
	xr_buf_put(f->cache, &mapped);
	xr_buf_put(f->cache, &mapped);
}

static void test_one_truth(void **state)
{
	struct fixture *f = *state;
	struct xr_buf small, large;

	assert_int_equal(xr_buf_read(f->cache, PAGE_BBS, 1, &small), 0);
	assert_int_equal(xr_buf_read(f->cache, 0, 4 * PAGE_BBS, &large), 0);
	memset(small.data, 0xa5, XR_BB);
	xr_buf_dirty(f->cache, &small, 0, XR_BB);
	assert_int_equal(large.data[PAGE + 17], 0xa5);
	large.data[PAGE + 18] = 0x5a;
	assert_int_equal(small.data[18], 0x5a);
	xr_buf_put(f->cache, &large);
	xr_buf_put(f->cache, &small);
}

static void test_scattered_pages(void **state)
{
	const struct xr_extent extents[] = {{100 * PAGE_BBS + 3, PAGE_BBS - 3}, {7 * PAGE_BBS, 2 * PAGE_BBS}, {50 * PAGE_BBS, 5}};
	struct fixture *f = *state;
	struct xr_cache_stats stats;
	struct xr_buf buf;
	size_t at = 0;

	assert_int_equal(xr_buf_get(f->cache, extents, 3, &buf), 0);
	for (int i = 0; i < 3; i++) {
		assert_pattern(buf.data + at, extents[i].daddr * XR_BB, extents[i].bbs * XR_BB);
		at += extents[i].bbs * XR_BB;
	}
	assert_int_equal(at, buf.size);
	xr_cache_stats(f->cache, &stats);
	assert_int_equal(stats.views, 1);
	assert_int_equal(stats.copied, 0);
	xr_buf_put(f->cache, &buf);
}

static void test_scattered_pieces(void **state)
{
	/* 1 KiB blocks, two of them in one page. */
	const struct xr_extent extents[] = {{2, 2}, {1000, 2}, {6, 2}, {70, 4}};
	struct fixture *f = *state;
	struct xr_cache_stats stats;
	struct xr_buf buf, piece;
	size_t at = 0;

	assert_int_equal(xr_buf_get(f->cache, extents, 4, &buf), 0);
	for (int i = 0; i < 4; i++) {
		assert_pattern(buf.data + at, extents[i].daddr * XR_BB, extents[i].bbs * XR_BB);
		at += extents[i].bbs * XR_BB;
	}
	xr_cache_stats(f->cache, &stats);
	assert_int_equal(stats.views, 0);
	assert_int_equal(stats.copied, 10 * XR_BB);
	/* A change goes to the pages it came from: from the second piece into the third. */
	memset(buf.data + 3 * XR_BB, 0x11, 2 * XR_BB);
	xr_buf_dirty(f->cache, &buf, 3 * XR_BB, 2 * XR_BB);
	assert_int_equal(xr_buf_read(f->cache, 1001, 1, &piece), 0);
	assert_int_equal(piece.data[0], 0x11);
	xr_buf_put(f->cache, &piece);
	assert_int_equal(xr_buf_read(f->cache, 6, 2, &piece), 0);
	assert_int_equal(piece.data[XR_BB - 1], 0x11);
	assert_pattern(piece.data + XR_BB, 7 * XR_BB, XR_BB);
	xr_buf_put(f->cache, &piece);
	xr_buf_put(f->cache, &buf);
}

static void test_flush(void **state)
{
	struct fixture *f = *state;
	struct xr_cache_stats stats;
	struct xr_buf buf;
	uint8_t disk[4 * PAGE];

	assert_int_equal(xr_buf_read(f->cache, 2 * PAGE_BBS, 4 * PAGE_BBS, &buf), 0);
	memset(buf.data, 0x77, buf.size);
	/* Only the middle is declared changed: the rest must not reach the disk. */
	xr_buf_dirty(f->cache, &buf, PAGE + 100, 2 * PAGE);
	xr_buf_put(f->cache, &buf);
	assert_int_equal(xr_dev_read(&f->dev, disk, sizeof(disk), 2 * PAGE), 0);
	assert_pattern(disk, 2 * PAGE, sizeof(disk));
	assert_int_equal(xr_cache_flush(f->cache), 0);
	assert_int_equal(xr_dev_read(&f->dev, disk, sizeof(disk), 2 * PAGE), 0);
	assert_pattern(disk, 2 * PAGE, PAGE);
	assert_int_equal(disk[PAGE], 0x77); /* whole sectors: 100 is in the first */
	assert_int_equal(disk[3 * PAGE + XR_BB - 1], 0x77);
	assert_pattern(disk + 3 * PAGE + XR_BB, 5 * PAGE + XR_BB, PAGE - XR_BB);
	xr_cache_stats(f->cache, &stats);
	assert_int_equal(stats.writes, 1); /* neighbours: one call */
	assert_int_equal(stats.dirty_bytes, 0);
	/* Nothing changed since: nothing to write. */
	assert_int_equal(xr_cache_flush(f->cache), 0);
	xr_cache_stats(f->cache, &stats);
	assert_int_equal(stats.writes, 1);
}

/* What is made anew is not read, as far as it is whole pages; what is in memory already stays what it is. */
static void test_fresh(void **state)
{
	struct fixture *f = *state;
	struct xr_cache_stats before, after;
	struct xr_buf known, buf;
	uint8_t disk[4 * PAGE];

	assert_int_equal(xr_buf_read(f->cache, 9 * PAGE_BBS, 1, &known), 0);
	xr_cache_stats(f->cache, &before);
	assert_int_equal(xr_buf_fresh(f->cache, 8 * PAGE_BBS, 4 * PAGE_BBS, &buf), 0);
	xr_cache_stats(f->cache, &after);
	assert_int_equal(after.read_bytes, before.read_bytes);
	assert_pattern(known.data, 9 * PAGE, XR_BB);
	memset(buf.data, 0x3c, buf.size);
	xr_buf_dirty(f->cache, &buf, 0, buf.size);
	assert_int_equal(known.data[3], 0x3c);
	xr_buf_put(f->cache, &buf);
	xr_buf_put(f->cache, &known);
	assert_int_equal(xr_cache_flush(f->cache), 0);
	xr_cache_write_early(f->cache, 8 * PAGE_BBS, 12 * PAGE_BBS);
	assert_int_equal(xr_dev_read(&f->dev, disk, sizeof(disk), 8 * PAGE), 0);
	for (size_t i = 0; i < sizeof(disk); i++)
		assert_int_equal(disk[i], 0x3c);
	/* Half a page: the other half is read, and kept. */
	assert_int_equal(xr_buf_fresh(f->cache, 20 * PAGE_BBS + PAGE_BBS / 2, PAGE_BBS / 2, &buf), 0);
	assert_int_equal(xr_buf_read(f->cache, 20 * PAGE_BBS, PAGE_BBS / 2, &known), 0);
	assert_pattern(known.data, 20 * PAGE, known.size);
	xr_buf_put(f->cache, &known);
	xr_buf_put(f->cache, &buf);
}

static void test_overlay(void **state)
{
	struct fixture *f = *state;
	struct xr_buf buf;
	uint8_t disk[XR_BB];

	xr_cache_destroy(f->cache);
	open_cache(f, false);
	assert_int_equal(xr_buf_read(f->cache, 8, 1, &buf), 0);
	memset(buf.data, 0x33, XR_BB);
	xr_buf_dirty(f->cache, &buf, 0, XR_BB);
	xr_buf_put(f->cache, &buf);
	assert_int_equal(xr_cache_flush(f->cache), 0);
	assert_int_equal(xr_dev_read(&f->dev, disk, XR_BB, 8 * XR_BB), 0);
	assert_pattern(disk, 8 * XR_BB, XR_BB);
	assert_int_equal(xr_buf_read(f->cache, 8, 1, &buf), 0);
	assert_int_equal(buf.data[5], 0x33);
	xr_buf_put(f->cache, &buf);
}

static void test_bad_extents(void **state)
{
	const struct xr_extent wild[] = {{0, 0},          {DEV_BYTES / XR_BB, 1},       {DEV_BYTES / XR_BB - 1, 2},
					 {UINT64_MAX, 1}, {UINT64_MAX - 1, UINT32_MAX}, {0, UINT32_MAX}};
	struct fixture *f = *state;
	struct xr_buf buf;

	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		assert_int_equal(xr_buf_get(f->cache, &wild[i], 1, &buf), -EUCLEAN);
		xr_buf_put(f->cache, &buf); /* left alone */
	}
	assert_said(&f->msg, "outside the device");
	assert_int_equal(xr_buf_read(f->cache, 0, DEV_BYTES / XR_BB, &buf), 0);
	xr_buf_put(f->cache, &buf);
}

/* A device need not end on a page border. */
static void test_odd_end(void **state)
{
	struct fixture *f = *state;
	struct xr_buf buf;
	uint8_t last;

	xr_cache_destroy(f->cache);
	f->dev.size = 3 * PAGE + 5 * XR_BB;
	assert_int_equal(ftruncate(f->dev.fd, (off_t)f->dev.size), 0);
	open_cache(f, true);
	assert_int_equal(xr_buf_read(f->cache, 3 * PAGE_BBS, 6, &buf), -EUCLEAN);
	assert_int_equal(xr_buf_read(f->cache, 2 * PAGE_BBS, PAGE_BBS + 5, &buf), 0);
	assert_pattern(buf.data, 2 * PAGE, buf.size);
	buf.data[buf.size - 1] = 0x99;
	xr_buf_dirty(f->cache, &buf, buf.size - 1, 1);
	xr_buf_put(f->cache, &buf);
	assert_int_equal(xr_cache_flush(f->cache), 0);
	assert_int_equal(lseek(f->dev.fd, 0, SEEK_END), f->dev.size);
	assert_int_equal(xr_dev_read(&f->dev, &last, 1, f->dev.size - 1), 0);
	assert_int_equal(last, 0x99);
}

/* Random buffers of all forms, some changed, against a plain copy of the device. */
static void test_random(void **state)
{
	struct fixture *f = *state;
	uint8_t *model = malloc(DEV_BYTES), *disk = malloc(DEV_BYTES);
	uint64_t rng = 42;

	for (uint64_t i = 0; i < DEV_BYTES; i++)
		model[i] = pattern(i);
	for (int round = 0; round < 4000; round++) {
		struct xr_extent extents[4];
		struct xr_buf buf;
		size_t n, at = 0, from, len;

		rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407;
		n = 1 + (rng >> 60) % 4;
		for (size_t i = 0; i < n; i++) {
			/* Extents of one buffer do not overlap: each in its own quarter of the device. */
			rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407;
			extents[i].bbs = 1 + (uint32_t)(rng >> 40) % 40;
			extents[i].daddr = i * (DEV_BYTES / XR_BB / 4) + (rng >> 20) % 800;
			if (rng >> 63) { /* often on page borders, so that views of several extents come up */
				extents[i].daddr &= ~(uint64_t)(PAGE_BBS - 1);
				extents[i].bbs = (extents[i].bbs + PAGE_BBS - 1) & ~(PAGE_BBS - 1);
			}
		}
		assert_int_equal(xr_buf_get(f->cache, extents, n, &buf), 0);
		for (size_t i = 0; i < n; i++) {
			assert_memory_equal(buf.data + at, model + extents[i].daddr * XR_BB, extents[i].bbs * XR_BB);
			at += extents[i].bbs * XR_BB;
		}
		from = (size_t)(rng >> 13) % buf.size;
		len = 1 + (size_t)(rng >> 5) % (buf.size - from);
		memset(buf.data + from, round, len);
		xr_buf_dirty(f->cache, &buf, from, len);
		at = 0;
		for (size_t i = 0; i < n; i++) {
			size_t end = at + extents[i].bbs * XR_BB;
			size_t lo = from > at ? from : at, hi = from + len < end ? from + len : end;

			if (lo < hi)
				memset(model + extents[i].daddr * XR_BB + (lo - at), round, hi - lo);
			at = end;
		}
		xr_buf_put(f->cache, &buf);
		if (round % 500 == 0)
			assert_int_equal(xr_cache_flush(f->cache), 0);
	}
	assert_int_equal(xr_cache_flush(f->cache), 0);
	assert_int_equal(xr_dev_read(&f->dev, disk, DEV_BYTES, 0), 0);
	assert_memory_equal(disk, model, DEV_BYTES);
	free(disk);
	free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_truth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scattered_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scattered_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fresh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_extents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
