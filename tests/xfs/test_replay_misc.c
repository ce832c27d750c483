/* SPDX-License-Identifier: GPL-2.0-only */
/* Inode-create, dquot, quotaoff and intent items. */
#include "replaybuild.h"

#include <errno.h>

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define CHUNK_BLOCKS 32u
#define CLUSTER_BBS 16u

/* --- icreate --- */

static void log_icreate(struct rb *rb, uint32_t ag, uint32_t agbno, uint32_t count, uint32_t isize, uint32_t length)
{
	uint8_t item[28];
	const void *region = item;
	const uint32_t size = sizeof(item);

	lb_put(&rb->lb, item, XFS_LI_ICREATE, 2);
	lb_put(&rb->lb, item + 2, 1, 2);
	xr_put_be32(item + 4, ag);
	xr_put_be32(item + 8, agbno);
	xr_put_be32(item + 12, count);
	xr_put_be32(item + 16, isize);
	xr_put_be32(item + 20, length);
	xr_put_be32(item + 24, 0xabcdef01);
	rb_start(rb, 1);
	rb_item(rb, 1, 1, &region, &size);
	rb_commit(rb, 1);
	rb_flush(rb);
}

static void icreate_at(struct rb *rb, uint32_t agbno)
{
	uint64_t daddr = (SB_BUILD_AGBLOCKS + agbno) * RB_BLOCK_BBS; /* AG 1 */
	uint8_t inodes[64 * RB_INODE];

	memset(inodes, 0xee, sizeof(inodes));
	rb_put(rb, daddr, inodes, sizeof(inodes));
	log_icreate(rb, 1, agbno, 64, RB_INODE, CHUNK_BLOCKS);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, daddr, inodes, sizeof(inodes));
	for (unsigned i = 0; i < 64; i++) {
		const uint8_t *raw = inodes + i * RB_INODE;

		assert_int_equal(xr_be16(raw), XFS_DINODE_MAGIC);
		assert_int_equal(raw[DI(version)], 3);
		assert_int_equal(xr_be16(raw + DI(mode)), 0);
		assert_int_equal(xr_be32(raw + DI(gen)), 0xabcdef01);
		assert_int_equal(xr_be32(raw + DI(next_unlinked)), NULLAGINO);
		assert_int_equal(xr_be64(raw + DI(ino)), (1u << 13) + 2 * agbno + i);
		assert_memory_equal(raw + DI(uuid), rb->lb.sb.meta_uuid, 16);
		assert_true(xr_crc_ok(raw, RB_INODE, DI(crc)));
		assert_int_equal(raw[RB_INODE - 1], 0);
	}
}

static void test_icreate(void **state)
{
	icreate_at(*state, 1024);
}

/* In a chunk that does not begin at a multiple of its inodes more bits of their numbers change. */
static void test_icreate_across(void **state)
{
	icreate_at(*state, 1020);
}

/* One of its buffers was freed later: none of the chunk is touched. */
static void test_icreate_cancelled(void **state)
{
	struct rb *rb = *state;
	uint64_t daddr = (SB_BUILD_AGBLOCKS + 1024) * RB_BLOCK_BBS;
	uint8_t byte;

	log_icreate(rb, 1, 1024, 64, RB_INODE, CHUNK_BLOCKS);
	rb_start(rb, 2);
	rb_buf_item(rb, 2, daddr + CLUSTER_BBS, CLUSTER_BBS, XFS_BLF_CANCEL, 0, 0, NULL);
	rb_commit(rb, 2);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.stats.items[2].cancelled, 1);
	assert_said(&rb->lb.said, "only 1 of 4");
	rb_get(rb, daddr, &byte, 1);
	assert_int_equal(byte, 0);
}

static void test_icreate_malformed(void **state)
{
	static const struct {
		const char *say;
		uint32_t ag, agbno, count, isize, length;
	} cases[] = {
		{"allocation group 4", 4, 1024, 64, RB_INODE, CHUNK_BLOCKS},
		{"allocation group 4294967295", UINT32_MAX, 1024, 64, RB_INODE, CHUNK_BLOCKS},
		{"allocation group 4294967295 lie outside the device", UINT32_MAX, 1024, 64, RB_INODE, CHUNK_BLOCKS},
		{"lie outside", 1, 0, 64, RB_INODE, CHUNK_BLOCKS},
		{"lie outside", 1, SB_BUILD_AGBLOCKS, 64, RB_INODE, CHUNK_BLOCKS},
		{"lie outside", 1, SB_BUILD_AGBLOCKS - 1, 64, RB_INODE, CHUNK_BLOCKS},
		{"lie outside", 1, UINT32_MAX, 64, RB_INODE, CHUNK_BLOCKS},
		{"in a filesystem with 512", 1, 1024, 64, 256, CHUNK_BLOCKS},
		{"are no chunk", 1, 1024, 0, RB_INODE, CHUNK_BLOCKS},
		{"are no chunk", 1, 1024, 64, RB_INODE, CHUNK_BLOCKS - 1},
		{"are no chunk", 1, 1024, 62, RB_INODE, CHUNK_BLOCKS},
	};
	struct rb *rb = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lb_begin(&rb->lb, 3, 200);
		log_icreate(rb, cases[i].ag, cases[i].agbno, cases[i].count, cases[i].isize, cases[i].length);
		if (rb_run(rb) != -EUCLEAN)
			fail_msg("case %zu was not refused", i);
		assert_said(&rb->lb.said, cases[i].say);
	}
}

/* --- dquots --- */

#define DQ_ID 1000u
#define DQ_OFFSET (2 * (uint32_t)sizeof(struct xfs_dqblk))

static void build_dquot(uint8_t *raw, uint8_t type, uint64_t blocks)
{
	memset(raw, 0, sizeof(struct xfs_dqblk));
	xr_put_be16(raw, XFS_DQUOT_MAGIC);
	raw[2] = XFS_DQUOT_VERSION;
	raw[3] = type;
	xr_put_be32(raw + 4, DQ_ID);
	xr_put_be64(raw + offsetof(struct xfs_disk_dquot, d_bcount), blocks);
}

static uint64_t log_dquot_at(struct rb *rb, const uint8_t *raw, uint32_t id, uint64_t daddr, uint32_t offset)
{
	uint8_t format[24] = {0};
	const void *regions[] = {format, raw};
	const uint32_t sizes[] = {sizeof(format), sizeof(struct xfs_disk_dquot)};

	lb_put(&rb->lb, format, XFS_LI_DQUOT, 2);
	lb_put(&rb->lb, format + 2, 2, 2);
	lb_put(&rb->lb, format + 4, id, 4);
	lb_put(&rb->lb, format + 8, daddr, 8);
	lb_put(&rb->lb, format + 16, 1, 4);
	lb_put(&rb->lb, format + 20, offset, 4);
	rb_start(rb, 1);
	rb_item(rb, 1, 2, regions, sizes);
	rb_commit(rb, 1);
	return rb_flush(rb);
}

static uint64_t log_dquot(struct rb *rb, const uint8_t *raw, uint32_t id, uint32_t offset)
{
	return log_dquot_at(rb, raw, id, RB_FREE_DADDR, offset);
}

static void put_dquot(struct rb *rb, uint64_t lsn)
{
	uint8_t raw[sizeof(struct xfs_dqblk)];

	build_dquot(raw, XFS_DQTYPE_USER, 1);
	xr_put_be64(raw + offsetof(struct xfs_dqblk, dd_lsn), lsn);
	rb_put(rb, RB_FREE_DADDR, raw, 0); /* the block's other records stay zero */
	assert_int_equal(xr_dev_write(&rb->lb.dev, raw, sizeof(raw), RB_FREE_DADDR * XR_BB + DQ_OFFSET), 0);
	xr_cache_destroy(rb->cache);
	assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
}

static uint64_t dquot_blocks(struct rb *rb)
{
	uint8_t block[1024];

	rb_get(rb, RB_FREE_DADDR, block, sizeof(block));
	return xr_be64(block + DQ_OFFSET + offsetof(struct xfs_disk_dquot, d_bcount));
}

static void test_dquot(void **state)
{
	struct rb *rb = *state;
	uint8_t raw[sizeof(struct xfs_dqblk)], block[1024];
	uint64_t lsn;

	build_dquot(raw, XFS_DQTYPE_USER, 42);
	put_dquot(rb, 0);
	lsn = log_dquot(rb, raw, DQ_ID, DQ_OFFSET);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(dquot_blocks(rb), 42);
	rb_get(rb, RB_FREE_DADDR, block, sizeof(block));
	assert_true(xr_crc_ok(block + DQ_OFFSET, sizeof(struct xfs_dqblk), offsetof(struct xfs_dqblk, dd_crc)));
	/* The disk's is as new: skipped. */
	put_dquot(rb, lsn);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(dquot_blocks(rb), 1);
	assert_int_equal(rb->replay.stats.items[3].stale, 1);
}

/* User quota was switched off later in the log: its dquots are void, others are not. */
static void test_quotaoff(void **state)
{
	struct rb *rb = *state;
	uint8_t raw[sizeof(struct xfs_dqblk)], off[20] = {0};
	const void *region = off;
	const uint32_t size = sizeof(off);

	lb_put(&rb->lb, off, XFS_LI_QUOTAOFF, 2);
	lb_put(&rb->lb, off + 2, 1, 2);
	lb_put(&rb->lb, off + 4, XFS_UQUOTA_ACCT, 4);
	put_dquot(rb, 0);
	build_dquot(raw, XFS_DQTYPE_USER, 42);
	log_dquot(rb, raw, DQ_ID, DQ_OFFSET);
	rb_start(rb, 2);
	rb_item(rb, 2, 1, &region, &size);
	rb_commit(rb, 2);
	rb_flush(rb);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(dquot_blocks(rb), 1);
	build_dquot(raw, XFS_DQTYPE_GROUP, 43);
	log_dquot(rb, raw, DQ_ID, DQ_OFFSET);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(dquot_blocks(rb), 43);
}

static void test_dquot_malformed(void **state)
{
	static const struct {
		const char *say;
		unsigned at;
		uint8_t value;
	} cases[] = {{"magic", 0, 0}, {"version", 2, 9}, {"type", 3, 0}, {"type", 3, 0x40}, {"type", 3, 3}, {"another id", 7, 1}};
	struct rb *rb = *state;
	uint8_t raw[sizeof(struct xfs_dqblk)];

	put_dquot(rb, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		build_dquot(raw, XFS_DQTYPE_USER, 42);
		raw[cases[i].at] = cases[i].value;
		lb_begin(&rb->lb, 3, 200);
		log_dquot(rb, raw, DQ_ID, DQ_OFFSET);
		assert_int_equal(rb_run(rb), -EUCLEAN);
		assert_said(&rb->lb.said, cases[i].say);
	}
	build_dquot(raw, XFS_DQTYPE_USER, 42);
	lb_begin(&rb->lb, 3, 200);
	log_dquot(rb, raw, DQ_ID, 1024 - 100);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "cannot hold a dquot");
	/* No place on this device: pass 1 refuses it, before anything can have been written. */
	for (int i = 0; i < 2; i++) {
		lb_begin(&rb->lb, 3, 200);
		log_dquot_at(rb, raw, DQ_ID, i ? UINT64_MAX : SB_BUILD_BYTES / XR_BB - 1, 0);
		assert_int_equal(rb_run(rb), -EUCLEAN);
		assert_said(&rb->lb.said, i ? "block 18446744073709551615 lies outside" : "lies outside the device");
	}
	/* Nothing there to replace. */
	lb_begin(&rb->lb, 3, 200);
	log_dquot(rb, raw, DQ_ID, 0);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "holds no dquot");
}

/* --- intents --- */

static void log_intent(struct rb *rb, uint16_t type, uint64_t id, uint32_t size, uint32_t n)
{
	uint8_t item[128] = {0};
	const void *region = item;

	lb_put(&rb->lb, item, type, 2);
	lb_put(&rb->lb, item + 2, 1, 2);
	lb_put(&rb->lb, item + 4, n, 4);
	lb_put(&rb->lb, item + 8, id, 8);
	rb_start(rb, 1);
	rb_item(rb, 1, 1, &region, &size);
	rb_commit(rb, 1);
	rb_flush(rb);
}

static void test_intents(void **state)
{
	struct rb *rb = *state;

	log_intent(rb, XFS_LI_EFI, 1, 32, 1);
	log_intent(rb, XFS_LI_RUI, 1, 16 + 2 * 32, 2);
	log_intent(rb, XFS_LI_EFD, 7, 32, 1); /* its intent was before the tail */
	log_intent(rb, XFS_LI_EFI, 2, 16 + 12, 1); /* a 32-bit writer's */
	log_intent(rb, XFS_LI_EFD, 1, 32, 1);
	log_intent(rb, XFS_LI_EFI, 1, 32, 1); /* the id again */
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.intents.count, 3);
	assert_int_equal(rb->replay.intents.first->a, XFS_LI_RUI);
	assert_int_equal(rb->replay.intents.last->a, XFS_LI_EFI);
	assert_int_equal(rb->replay.intents.last->b, 1);
	log_intent(rb, XFS_LI_RUD, 1, 16, 0);
	log_intent(rb, XFS_LI_EFI, 1, 48, 2); /* an id that is pending already: both are to be done, in this order */
	log_intent(rb, XFS_LI_EFI, 1, 64, 3);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.intents.count, 4);
	assert_int_equal(((const struct xr_intent *)(uintptr_t)rb->replay.intents.last->value)->regions[0].size, 64);
	log_intent(rb, XFS_LI_EFD, 1, 32, 1);
	log_intent(rb, XFS_LI_EFD, 2, 28, 1);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.intents.count, 0);
}

static void test_intents_malformed(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t size, n;
	} cases[] = {
		{XFS_LI_EFI, 32, 2}, {XFS_LI_EFI, 16, UINT32_MAX}, {XFS_LI_RUI, 32, 1}, {XFS_LI_CUI, 28, 1}, {XFS_LI_RUD, 32, 0},
		{XFS_LI_XMI, 84, 0}, {XFS_LI_ATTRI, 36, 0},        {XFS_LI_EFI, 12, 0}, {XFS_LI_BUI, 16, 1},
	};
	struct rb *rb = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lb_begin(&rb->lb, 3, 200);
		log_intent(rb, cases[i].type, 5, cases[i].size, cases[i].n);
		if (rb_run(rb) != -EUCLEAN)
			fail_msg("case %zu was not refused", i);
		assert_said(&rb->lb.said, "are none such");
	}
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, rb_setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(icreate),  T(icreate_across),  T(icreate_cancelled), T(icreate_malformed), T(dquot),
		T(quotaoff), T(dquot_malformed), T(intents),           T(intents_malformed),
	};

	/* In the byte order of either kind of machine. */
	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
