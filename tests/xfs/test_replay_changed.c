/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A log that is another one the second time it is read: pass 2 must check what pass 1 checked, because what pass 1 checked is not what it
 * applies. Each case is a sound log for pass 1 and, in its place, one with an item that pass 1 would have refused; whole and in slices. Most of
 * its worth is under ASan.
 */
#include "replaybuild.h"

#include <errno.h>

#define AT 200u
#define RECORD_BYTES 4096u

static const uint8_t zeros[RECORD_BYTES];

/* One record of a fixed length: a transaction with one item, then operations of a transaction that nobody knows. */
static void log_item(struct rb *rb, unsigned count, const void *const *regions, const uint32_t *sizes)
{
	lb_begin(&rb->lb, 3, AT);
	rb->lb.prev = UINT32_MAX;
	rb_start(rb, 1);
	rb_item(rb, 1, count, regions, sizes);
	rb_commit(rb, 1);
	lb_op(&rb->lb, 99, 0, zeros, RECORD_BYTES - 12 - rb->lb.len);
	rb_flush(rb);
}

static void log_buffer(struct rb *rb, uint64_t daddr, uint16_t flags)
{
	uint8_t block[RB_BLOCK_BBS * XR_BB];

	rb_dir_block(rb, block, daddr, 0);
	lb_begin(&rb->lb, 3, AT);
	rb->lb.prev = UINT32_MAX;
	rb_start(rb, 1);
	rb_buf_item(rb, 1, daddr, RB_BLOCK_BBS, flags, 0, flags & XFS_BLF_CANCEL ? 0 : 8, block);
	rb_commit(rb, 1);
	lb_op(&rb->lb, 99, 0, zeros, RECORD_BYTES - 12 - rb->lb.len);
	rb_flush(rb);
}

/* A sound log for pass 1; pass 2 comes later. */
static void pass1(struct rb *rb, bool sliced)
{
	log_buffer(rb, RB_FREE_DADDR, XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT);
	assert_int_equal(lb_find(&rb->lb), 0);
	xr_replay_destroy(&rb->replay);
	xr_cache_destroy(rb->cache);
	assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
	xr_replay_init(&rb->replay, &rb->lb.log, rb->cache, &rb->lb.said.msg);
	assert_int_equal(xr_replay_check(&rb->replay, &rb->lb.head), 0);
	if (sliced) { /* at least one unit in a slice, and less than there is */
		assert_int_equal(xr_targets_add(&rb->replay.targets, 4 * RB_FREE_DADDR, 2 * XR_UNIT_BBS), 0);
		rb->replay.slice_bytes = XR_UNIT_BBS * XR_BB;
	}
}

/* Items whose first region is any length, of every type there is and some there are not. */
static void test_short_items(void **state)
{
	static const uint16_t types[] = {0x1236, 0x1237, 0x1238, 0x1239, 0x123b, 0x123c, 0x123d, 0x123e, 0x123f,
					 0x1240, 0x1241, 0x1242, 0x1243, 0x1244, 0x1245, 0x1246, 0x1247, 0x1248,
					 0x1249, 0x124a, 0x124b, 0x124c, 0x124d, 0x124e, 0x124f, 0,      0xffff};
	struct rb *rb = *state;
	uint8_t item[100];
	const void *regions[] = {item, item};

	for (size_t i = 0; i < 2 * sizeof(types) / sizeof(types[0]); i++) {
		for (uint32_t size = 4; size < sizeof(item); size += size < 32 ? 1 : 17) {
			const uint32_t sizes[] = {size, 4};

			pass1(rb, i % 2);
			/* Counts, lengths and addresses of all ones; every second time of zeros. */
			memset(item, size % 2 ? 0xff : 0, sizeof(item));
			lb_put(&rb->lb, item, types[i / 2], 2);
			lb_put(&rb->lb, item + 2, 1 + size % 3 / 2, 2);
			log_item(rb, 1 + size % 3 / 2, regions, sizes);
			if (xr_replay_apply(&rb->replay, &rb->lb.head) != -EUCLEAN)
				fail_msg("type %#x of %u bytes%s", types[i / 2], size, i % 2 ? ", in slices" : "");
		}
	}
}

/* A buffer item that is sound but for what it says of its regions, of its place, or of its length. */
static void test_buffers(void **state)
{
	static const struct {
		const char *say;
		uint64_t daddr;
		uint32_t bbs, map, words, size;
	} cases[] = {
		{"bytes for 1 chunk", RB_FREE_DADDR, 2, 0x1, 1, 256}, {"regions do not match", RB_FREE_DADDR, 2, 0x101, 1, 128},
		{"names chunk", RB_FREE_DADDR, 2, 0x300, 1, 256},     {"a map of", RB_FREE_DADDR, 2, 1, 17, 128},
		{"outside the device", 1 << 30, 2, 1, 1, 128},        {"outside the device", UINT64_MAX - 2, 2, 1, 1, 128},
		{"larger than any", RB_FREE_DADDR, 0xfff, 1, 1, 128}, {"outside the device", RB_FREE_DADDR, 0, 1, 1, 128},
	};
	struct rb *rb = *state;

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t format[24] = {0};
		const void *regions[] = {format, zeros};
		const uint32_t sizes[] = {sizeof(format), cases[i / 2].size};

		pass1(rb, i % 2);
		lb_put(&rb->lb, format, XFS_LI_BUF, 2);
		lb_put(&rb->lb, format + 2, 2, 2);
		lb_put(&rb->lb, format + 6, cases[i / 2].bbs, 2);
		lb_put(&rb->lb, format + 8, cases[i / 2].daddr, 8);
		lb_put(&rb->lb, format + 16, cases[i / 2].words, 4);
		lb_put(&rb->lb, format + 20, cases[i / 2].map, 4);
		log_item(rb, 2, regions, sizes);
		test_msg_init(&rb->lb.said);
		assert_int_equal(xr_replay_apply(&rb->replay, &rb->lb.head), -EUCLEAN);
		if (!strstr(rb->lb.said.text, cases[i / 2].say) && !strstr(rb->lb.said.text, "the log changed"))
			fail_msg("case %zu: %s", i / 2, rb->lb.said.text);
	}
}

/* Sound both times, but not the same: found at the end, and nothing was written. */
static void test_another_log(void **state)
{
	uint8_t now[RB_BLOCK_BBS * XR_BB];
	struct rb *rb = *state;

	for (int i = 0; i < 3; i++) {
		uint64_t daddr = RB_FREE_DADDR + (i ? 64 : 0);

		pass1(rb, false);
		log_buffer(rb, daddr, (uint16_t)(i == 2 ? XFS_BLF_CANCEL : XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT));
		if (!i) { /* no change at all */
			assert_int_equal(xr_replay_apply(&rb->replay, &rb->lb.head), 0);
			continue;
		}
		assert_int_equal(xr_replay_apply(&rb->replay, &rb->lb.head), -EUCLEAN);
		assert_said(&rb->lb.said, "the log changed while it was read");
		rb_get(rb, daddr, now, sizeof(now));
		assert_memory_equal(now, zeros, sizeof(now));
	}
}

/* A short log: it is written some thousand times. */
static int setup(void **state)
{
	struct sb_build b = SB_BUILD_DEFAULT;

	b.logblocks = 160;
	return rb_setup_with(state, &b);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(short_items), T(buffers), T(another_log)};

	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
