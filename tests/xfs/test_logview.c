/* SPDX-License-Identifier: GPL-2.0-only */
/* Looking at a log: what is in it, before the tail too, damaged or not. */
#include "replaybuild.h"

#include "logview.h"

static void log_buffer(struct rb *rb, uint32_t tid, uint64_t daddr, bool commit)
{
	const uint8_t data[128] = {0};

	rb_start(rb, tid);
	rb_buf_item(rb, tid, daddr, 1, (uint16_t)(XFS_BLFT_AGF_BUF << XFS_BLFT_SHIFT), 0, 1, data);
	if (commit)
		rb_commit(rb, tid);
}

static void read_log(struct rb *rb, struct xr_logview *view)
{
	assert_int_equal(lb_find(&rb->lb), 0);
	assert_int_equal(xr_logview_read(view, &rb->lb.log, &rb->lb.head), 0);
}

static void test_items(void **state)
{
	struct rb *rb = *state;
	uint8_t format[56] = {0}, core[176] = {0}, efi[32] = {0};
	const void *inode[] = {format, core}, *intent[] = {efi};
	const uint32_t inode_sizes[] = {sizeof(format), sizeof(core)}, intent_sizes[] = {sizeof(efi)};
	struct xr_logview view;

	lb_put(&rb->lb, format, XFS_LI_INODE, 2);
	lb_put(&rb->lb, format + 2, 2, 2);
	lb_put(&rb->lb, format + 16, (2u << 13) + 77, 8);
	lb_put(&rb->lb, efi, XFS_LI_EFI, 2);
	lb_put(&rb->lb, efi + 2, 1, 2);
	lb_put(&rb->lb, efi + 8, 0x1234567890, 8);
	log_buffer(rb, 5, (SB_BUILD_AGBLOCKS + 7) * RB_BLOCK_BBS, false);
	rb_item(rb, 5, 2, inode, inode_sizes);
	rb_flush(rb);
	rb_item(rb, 5, 1, intent, intent_sizes); /* in the next record, of the same transaction */
	rb_commit(rb, 5);
	log_buffer(rb, 6, 0, false); /* never committed */
	rb_flush(rb);
	read_log(rb, &view);
	assert_int_equal(view.nrecords, 2);
	assert_int_equal(view.ntrans, 2);
	assert_int_equal(view.nitems, 4);
	assert_int_equal(view.items[0].type, XFS_LI_BUF);
	assert_int_equal(view.items[0].group, 1);
	assert_int_equal(view.items[0].flags >> XFS_BLFT_SHIFT, XFS_BLFT_AGF_BUF);
	assert_int_equal(view.items[1].what, (2u << 13) + 77);
	assert_int_equal(view.items[1].group, 2);
	assert_int_equal(view.items[2].what, 0x1234567890);
	assert_int_equal(view.items[2].group, UINT32_MAX);
	assert_int_equal(view.records[1].items, 2);
	assert_int_equal(view.trans[0].items, 3);
	assert_int_equal(view.trans[0].groups, 6);
	assert_int_equal(view.trans[0].begin, 0);
	assert_int_equal(view.trans[0].commit, 1);
	assert_true(view.trans[1].commit == XR_SEEN_NONE);
	assert_false(view.trivial);
	xr_logview_clear(&view);
}

/* Three records before the tail, three behind it, of which one is damaged where it can be no torn write. */
static void test_states(void **state)
{
	struct rb *rb = *state;
	uint32_t bad = 0;
	struct xr_logview view;

	for (uint32_t i = 0; i < 24; i++) {
		if (i == 3)
			lb_set_tail(&rb->lb);
		if (i == 5)
			bad = rb->lb.block;
		log_buffer(rb, 10 + i, 1 + i, true);
		rb_flush(rb);
	}
	rb->lb.log.until_bad = true;
	lb_flip(&rb->lb, bad + 1, 30);
	read_log(rb, &view);
	assert_int_equal(view.nrecords, 24);
	for (uint32_t i = 0; i < 24; i++)
		assert_int_equal(view.records[i].state, i < 3 ? XR_SEEN_OLD : i == 5 ? XR_SEEN_DAMAGED : XR_SEEN_ACTIVE);
	assert_int_equal(view.ntrans, 23);
	xr_logview_clear(&view);
}

static void test_trivial(void **state)
{
	struct rb *rb = *state;
	struct xr_logview view;

	log_buffer(rb, 1, 4096, true);
	rb_flush(rb);
	lb_set_tail(&rb->lb);
	log_buffer(rb, 2, 0, true);
	rb_flush(rb);
	read_log(rb, &view);
	assert_true(view.trivial);
	assert_int_equal(view.nrecords, 2);
	xr_logview_clear(&view);
	/* Unmounted: nothing to replay, and all can still be read. */
	lb_unmount(&rb->lb);
	rb_flush(rb);
	read_log(rb, &view);
	assert_false(view.trivial);
	assert_int_equal(view.nrecords, 3);
	assert_true(view.records[2].unmount);
	assert_int_equal(view.records[2].state, XR_SEEN_OLD);
	xr_logview_clear(&view);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, rb_setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(items), T(states), T(trivial)};

	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
