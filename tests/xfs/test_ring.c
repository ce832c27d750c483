/* SPDX-License-Identifier: GPL-2.0-only */
/* The window: whatever is asked for in whatever order, it shows the log as if that never ended. */
#include "logbuild.h"

#include <errno.h>

/* Every block holds its number. */
static void fill(struct lb *lb)
{
	uint8_t *all = calloc(lb->log.bbs, XR_BB);

	assert_non_null(all);
	for (uint32_t b = 0; b < lb->log.bbs; b++) {
		xr_put_be32(all + (size_t)b * XR_BB, b);
		xr_put_be32(all + (size_t)b * XR_BB + XR_BB - 4, ~b);
	}
	assert_int_equal(xr_dev_write(&lb->dev, all, (size_t)lb->log.bbs * XR_BB, lb->log.daddr * XR_BB), 0);
	free(all);
}

static void check(struct lb *lb, const uint8_t *p, uint32_t block, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++, p += XR_BB) {
		uint32_t b = (uint32_t)(((uint64_t)block + i) % lb->log.bbs);
		if (xr_be32(p) != b || xr_be32(p + XR_BB - 4) != ~b)
			fail_msg("block %u of %u from %u: shows block %u", i, count, block, xr_be32(p));
	}
}

/* Walks forward with steps of every size, jumps, and asks for what it has just seen; spoils what it takes. */
static void wander(struct lb *lb, uint32_t steps)
{
	uint32_t room = lb->log.bbs < XR_RING_BBS ? lb->log.bbs : XR_RING_BBS;
	uint32_t block = 0;
	uint8_t *p;

	srandom(1);
	for (uint32_t i = 0; i < steps; i++) {
		uint32_t r = (uint32_t)random(), count = (r >> 8) % (r & 1 ? 600 : room) + 1;

		if (count > room)
			count = room;
		if (r % 16 == 0)
			block = (uint32_t)random() % lb->log.bbs;
		else if (r % 16 == 1)
			block = (block + lb->log.bbs - count % 700 % lb->log.bbs) % lb->log.bbs;
		assert_int_equal(xr_ring_peek(&lb->log, block, count, &p), 0);
		check(lb, p, block, count);
		if (r % 16 < 8) {
			assert_int_equal(xr_ring_take(&lb->log, block, count, &p), 0);
			check(lb, p, block, count);
			memset(p, 0xff, (size_t)count * XR_BB);
		}
		block = (block + count) % lb->log.bbs;
	}
}

static void test_wander(void **state)
{
	/* Smaller than the window, about as large, and larger (external). */
	static const uint32_t sizes[] = {1, 3, 1000, 4000, 4096, 4097, 9001};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sb_build b = SB_BUILD_DEFAULT;
		static struct lb lb;

		b.logblocks = sizes[i];
		if (sizes[i] > 3000)
			b.logstart = 0;
		lb_init(&lb, &b, lb_process);
		fill(&lb);
		wander(&lb, 400);
		lb_end(&lb);
	}
}

/* A bad block is an error to who needs it, and to nobody else. */
static void test_bad_block(void **state)
{
	const struct sb_build b = {.logblocks = 4096};
	static struct lb lb;
	uint8_t *p;

	(void)state;
	lb_init(&lb, &b, lb_process);
	fill(&lb);
	assert_int_equal(ftruncate(lb.dev.fd, 1000 * XR_BB), 0);
	assert_int_equal(xr_ring_peek(&lb.log, 0, 1, &p), 0);
	assert_int_equal(xr_ring_peek(&lb.log, 1, 999, &p), 0);
	check(&lb, p, 1, 999);
	assert_int_equal(lb.said.used, 0);
	assert_int_equal(xr_ring_peek(&lb.log, 900, 200, &p), -EIO);
	assert_said(&lb.said, "log block 1000:");
	assert_int_equal(xr_ring_peek(&lb.log, 900, 100, &p), 0);
	check(&lb, p, 900, 100);
	assert_int_equal(ftruncate(lb.dev.fd, lb.log.bbs * XR_BB), 0);
	fill(&lb);
	assert_int_equal(xr_ring_peek(&lb.log, 900, 200, &p), 0);
	check(&lb, p, 900, 200);
	lb_end(&lb);
}

static void test_calls(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;
	static struct lb lb;
	uint8_t *p;

	(void)state;
	lb_init(&lb, &b, lb_process);
	assert_int_equal(xr_ring_peek(&lb.log, 0, 0, &p), -EINVAL);
	assert_int_equal(xr_ring_peek(&lb.log, 0, lb.log.bbs + 1, &p), -EINVAL);
	assert_int_equal(xr_ring_peek(&lb.log, lb.log.bbs, 1, &p), -EINVAL);
	lb_end(&lb);
}

/* What was taken in the order of the ring is good for a while, whatever else was taken since. */
static void test_kept(void **state)
{
	static const uint32_t sizes[] = {3000, 8192, 9001, 40000};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sb_build b = SB_BUILD_DEFAULT;
		uint32_t block = 17, since = 0, spare;
		uint8_t *first, *p;
		struct lb lb;

		b.logstart = 0;
		b.logblocks = sizes[i] / 2 + sizes[i] % 2;
		lb_init(&lb, &b, lb_process);
		fill(&lb);
		for (uint32_t start = block, n = 0; n < 40; n++, start = block, since = 0) {
			assert_int_equal(xr_ring_take(&lb.log, block, 1, &first), 0);
			block = xr_log_add(&lb.log, block, 1);
			while ((spare = XR_RING_KEEP_BBS - since)) {
				uint32_t count = (uint32_t)random() % XR_RING_TAKE_BBS + 1;

				count = count < spare ? count : spare;
				assert_int_equal(xr_ring_peek(&lb.log, block, 1, &p), 0);
				assert_int_equal(xr_ring_take(&lb.log, block, count, &p), 0);
				block = xr_log_add(&lb.log, block, count);
				since += count;
			}
			check(&lb, first, start, 1);
		}
		lb_end(&lb);
	}
}

/* Where the log is: inside or outside, and it must fit. */
static void test_open(void **state)
{
	struct sb_build b = SB_BUILD_DEFAULT;
	static struct lb lb;
	struct xr_log log;

	(void)state;
	lb_init(&lb, &b, lb_process);
	assert_int_equal(lb.log.daddr, 128);
	assert_int_equal(lb.log.sector_bbs, 1);
	assert_int_equal(xr_log_open(&log, &lb.sb, &lb.dev, &lb.dev, lb_process, &lb.said.msg), -EINVAL);
	lb.dev.size = (128 + lb.log.bbs) * XR_BB - 1;
	assert_int_equal(xr_log_open(&log, &lb.sb, &lb.dev, NULL, lb_process, &lb.said.msg), -EUCLEAN);
	assert_said(&lb.said, "cut short");
	lb_end(&lb);

	b.logstart = 0;
	b.logsectlog = 12;
	lb_init(&lb, &b, lb_process);
	assert_int_equal(lb.log.daddr, 0);
	assert_int_equal(lb.log.sector_bbs, 8);
	assert_int_equal(xr_log_open(&log, &lb.sb, &lb.dev, NULL, lb_process, &lb.said.msg), -EINVAL);
	assert_said(&lb.said, "-l");
	lb_end(&lb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wander), cmocka_unit_test(test_bad_block), cmocka_unit_test(test_calls),
		cmocka_unit_test(test_kept),   cmocka_unit_test(test_open),
	};

	return cmocka_run_group_tests(tests, lb_setup, lb_teardown);
}
