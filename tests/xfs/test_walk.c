/* SPDX-License-Identifier: GPL-2.0-only */
/* The walk: every record once, in order and whole, whoever makes it; what is wrong with one is said when the walk gets there. */
#include "logbuild.h"

#include <errno.h>
#include <unistd.h>

#include "walk.h"

#define RECORDS 500u /* of 30,000 bytes: several windows */
#define LARGE_RECORDS 60u /* of a quarter of a MiB, the most that there is: few of them are as much as may be made ahead */
#define LARGE_BYTES 260000u

static struct lb lb;
static uint32_t blocks[RECORDS], bytes;

static void fill_log(uint32_t records, uint32_t size)
{
	struct sb_build b = SB_BUILD_DEFAULT;

	b.logstart = 0;
	b.logblocks = 20000; /* the walk wraps */
	lb_init(&lb, &b, lb_process);
	lb.size = size > lb.size ? 256u << 10 : lb.size;
	lb_begin(&lb, 2, 30000);
	bytes = size;
	for (uint32_t n = 0; n < records; n++)
		blocks[n] = lb_record(&lb, n, size);
}

static int open_log(void **state)
{
	(void)state;
	fill_log(RECORDS, 30000);
	return 0;
}

static int open_large_log(void **state)
{
	(void)state;
	fill_log(LARGE_RECORDS, LARGE_BYTES);
	return 0;
}

static int close_log(void **state)
{
	(void)state;
	lb_end(&lb);
	return 0;
}

struct seen {
	uint32_t n;
	uint32_t stop; /* the number of the record whose handler ends the walk */
	bool slow; /* it takes its time before */
};

static int see(void *arg, const struct xr_record *rec, const uint8_t *data)
{
	struct seen *seen = arg;
	static uint8_t pattern[LARGE_BYTES];
	const uint8_t *p = data;
	uint32_t len;

	assert_true(seen->n < RECORDS);
	assert_int_equal(rec->block, blocks[seen->n]);
	if (seen->slow && seen->n % 30 == 0)
		usleep(2000); /* whoever makes records gets as far ahead as he may */
	/* The last operation but one is the item's region. */
	for (uint32_t i = 0; i < rec->num_ops; i++, p += 12 + len) {
		len = xr_be32(p + 4);
		assert_int_equal(xr_be32(p), seen->n);
		if (len != bytes)
			continue;
		lb_pattern(pattern, len, seen->n);
		assert_memory_equal(p + 12 + 4, pattern + 4, len - 4); /* type and count come first */
	}
	return seen->n++ == seen->stop ? 77 : 0;
}

static int walk(struct seen *seen, uint32_t head)
{
	test_msg_init(&lb.said);
	xr_ring_forget(lb.log.ring);
	return xr_record_walk(&lb.log, blocks[0], head, see, seen);
}

static void test_whole(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct seen seen = {.stop = RECORDS, .slow = i & 1};

		lb.log.no_ahead = i & 2;
		assert_int_equal(walk(&seen, lb.block), 0);
		assert_int_equal(seen.n, RECORDS);
	}
}

static void test_large(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct seen seen = {.stop = LARGE_RECORDS, .slow = i & 1};

		assert_int_equal(walk(&seen, lb.block), 0);
		assert_int_equal(seen.n, LARGE_RECORDS);
	}
}

static void test_short(void **state)
{
	struct seen seen = {.stop = RECORDS};

	(void)state;
	assert_int_equal(walk(&seen, blocks[3]), 0);
	assert_int_equal(seen.n, 3);
	assert_int_equal(walk(&seen, blocks[0]), 0);
	assert_int_equal(seen.n, 3);
}

static void test_stopped(void **state)
{
	static const uint32_t stops[] = {0, 1, 15, 16, 299, RECORDS - 1};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(stops) / sizeof(stops[0]); i++) {
		struct seen seen = {.stop = stops[i / 2], .slow = i & 1};

		assert_int_equal(walk(&seen, lb.block), 77);
		assert_int_equal(seen.n, stops[i / 2] + 1);
	}
}

/* A damaged record counts when the walk gets there, and not a word of it before. */
static void test_damaged(void **state)
{
	(void)state;
	lb_flip(&lb, blocks[330] + 1, 88);
	for (unsigned i = 0; i < 2; i++) {
		struct seen seen = {.stop = 300, .slow = true};

		lb.log.no_ahead = i;
		assert_int_equal(walk(&seen, lb.block), 77);
		assert_string_equal(lb.said.text, "");
		seen = (struct seen){.stop = RECORDS, .slow = true};
		assert_int_equal(walk(&seen, lb.block), -EBADMSG);
		assert_int_equal(seen.n, 330);
		assert_said(&lb.said, "bad checksum");
	}
	/* The same for what cannot be read at all. */
	lb.dev.size = (uint64_t)blocks[100] * XR_BB;
	for (unsigned i = 0; i < 2; i++) {
		struct seen seen = {.stop = 90, .slow = true};

		lb.log.no_ahead = i;
		assert_int_equal(walk(&seen, lb.block), 77);
		assert_string_equal(lb.said.text, "");
		seen.n = 0;
		seen.stop = RECORDS;
		assert_int_equal(walk(&seen, lb.block), -EIO);
		assert_int_equal(seen.n, 100);
		assert_said(&lb.said, "cannot read");
	}
}

#define ON_LOG(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)

int main(void)
{
	const struct CMUnitTest tests[] = {ON_LOG(test_whole), ON_LOG(test_short), ON_LOG(test_stopped), ON_LOG(test_damaged),
					   cmocka_unit_test_setup_teardown(test_large, open_large_log, close_log)};

	return cmocka_run_group_tests(tests, lb_setup, lb_teardown);
}
