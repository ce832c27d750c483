/* SPDX-License-Identifier: GPL-2.0-only */
/* The walk: every record once, in order and whole, whoever makes it; what is wrong with one is said when the walk gets there. */
#include "logbuild.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "walk.h"

#define RECORDS 500u /* of 30,000 bytes: several windows */
#define LARGE_RECORDS 60u /* of a quarter of a MiB, the most that there is: few of them are as much as may be made ahead */
#define LARGE_BYTES 260000u
#define NEVER UINT32_MAX

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
	static _Thread_local uint8_t pattern[LARGE_BYTES];
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

/* One of several walkers. */
struct one {
	struct xr_log log;
	struct seen seen;
	int ret;
};

static void *walk_one(void *arg)
{
	struct one *one = arg;

	one->ret = xr_record_walk(&one->log, blocks[0], lb.block, see, &one->seen);
	return NULL;
}

/* Several walkers of the same records, each as seen[] says; one that shall stop before the first never begins. */
static void walk_together(struct seen *seen, int *ret, unsigned n)
{
	struct one ones[XR_WALKERS];
	pthread_t threads[XR_WALKERS];
	struct xr_walk *w;

	test_msg_init(&lb.said);
	xr_ring_forget(lb.log.ring);
	assert_int_equal(xr_walk_create(&w, &lb.log, blocks[0], lb.block, n), 0);
	for (unsigned i = 0; i < n; i++) {
		ones[i] = (struct one){.log = lb.log, .seen = seen[i]};
		ones[i].log.walk = w;
		ones[i].log.walker = i;
		if (seen[i].stop != NEVER)
			assert_int_equal(pthread_create(&threads[i], NULL, walk_one, &ones[i]), 0);
	}
	for (unsigned i = 0; i < n; i++) {
		if (seen[i].stop == NEVER)
			xr_walk_leave(w, i);
		else
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		seen[i] = ones[i].seen;
		ret[i] = ones[i].ret;
	}
	xr_walk_destroy(w);
}

/* All see all records, whoever is slow, ends early or never comes. */
static void test_together(void **state)
{
	static const uint32_t stops[] = {RECORDS, 0, 17, 250, NEVER};

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct seen seen[] = {{.stop = stops[i % 5], .slow = i / 5 & 1}, {.stop = RECORDS, .slow = i / 5 & 2}};
		int ret[2];

		walk_together(seen, ret, 2);
		assert_int_equal(seen[1].n, RECORDS);
		assert_int_equal(ret[1], 0);
		if (stops[i % 5] == NEVER)
			continue;
		assert_int_equal(seen[0].n, stops[i % 5] < RECORDS ? stops[i % 5] + 1 : RECORDS);
		assert_int_equal(ret[0], stops[i % 5] < RECORDS ? 77 : 0);
	}
}

/* What is wrong with a record ends the walk of each who gets there, and is said once. */
static void test_damaged_together(void **state)
{
	(void)state;
	lb_flip(&lb, blocks[330] + 1, 88);
	for (unsigned i = 0; i < 4; i++) {
		struct seen seen[] = {{.stop = i & 1 ? 300 : RECORDS, .slow = true}, {.stop = i & 2 ? 300 : RECORDS}};
		const char *said;
		int ret[2];

		walk_together(seen, ret, 2);
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(seen[k].n, i >> k & 1 ? 301 : 330);
			assert_int_equal(ret[k], i >> k & 1 ? 77 : -EBADMSG);
		}
		said = strstr(lb.said.text, "bad checksum");
		assert_int_equal(said != NULL, i < 3);
		assert_true(!said || !strstr(said + 1, "bad checksum"));
	}
}

static void test_whole(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct seen seen = {.stop = RECORDS, .slow = i};

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
	const struct CMUnitTest tests[] = {ON_LOG(test_whole),
					   ON_LOG(test_short),
					   ON_LOG(test_stopped),
					   ON_LOG(test_damaged),
					   ON_LOG(test_together),
					   ON_LOG(test_damaged_together),
					   cmocka_unit_test_setup_teardown(test_large, open_large_log, close_log)};

	return cmocka_run_group_tests(tests, lb_setup, lb_teardown);
}
