/* SPDX-License-Identifier: GPL-2.0-only */
/* The superblock: fields come through, impossible ones are refused one by one, the gate names what it refuses. */
#include "support.h"

#include <errno.h>
#include "bytes.h"
#include "format.h"
#include "sb.h"
#include "sbbuild.h"

#define DSB(field) offsetof(struct xfs_dsb, sb_##field)

static int decode(const uint8_t *raw, struct xr_sb *sb, struct test_msg *t)
{
	test_msg_init(t);
	return xr_sb_decode(sb, raw, XR_BB, &t->msg);
}

static void test_fields(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;
	uint8_t raw[XR_BB];
	struct test_msg t;
	struct xr_sb sb;

	(void)state;
	sb_build(&b, raw);
	assert_int_equal(decode(raw, &sb, &t), 0);
	assert_int_equal(sb.blocksize, 1024);
	assert_int_equal(sb.agcount, 4);
	assert_int_equal(sb.log_bbs, 2048);
	assert_int_equal(sb.log_daddr, 128);
	assert_int_equal(sb.log_roundoff, 512);
	assert_int_equal(sb.logsectsize, 512);
	assert_int_equal(sb.cluster_blocks, 8); /* 16 KiB would need an alignment of 16 blocks */
	assert_int_equal(sb.chunk_inodes, 64);
	assert_memory_equal(sb.uuid, b.uuid, 16);
	assert_memory_equal(sb.meta_uuid, b.uuid, 16);
	assert_true(sb.v5 && sb.logv2 && sb.lazy_count && !sb.has_metadir);

	xr_put_be32(raw + DSB(inoalignmt), 16);
	xr_put_be32(raw + DSB(features_incompat), XFS_SB_FEAT_INCOMPAT_META_UUID);
	memset(raw + DSB(meta_uuid), 0x77, 16);
	sb_build_seal(raw);
	assert_int_equal(decode(raw, &sb, &t), 0);
	assert_int_equal(sb.cluster_blocks, 16);
	assert_int_equal(sb.meta_uuid[0], 0x77);
}

/* One field each, with a value that must be refused. */
static void test_impossible(void **state)
{
	static const struct {
		size_t offset;
		unsigned size;
		uint64_t value;
	} cases[] = {
		{DSB(magicnum), 4, 0x58465343},
		{DSB(versionnum), 2, 0xb4a3},
		{DSB(blocksize), 4, 512},
		{DSB(blocksize), 4, 1025},
		{DSB(blocklog), 1, 40},
		{DSB(sectsize), 2, 4096},
		{DSB(sectlog), 1, 33},
		{DSB(inodesize), 2, 256},
		{DSB(inopblock), 2, 0},
		{DSB(inopblog), 1, 7},
		{DSB(dirblklog), 1, 7},
		{DSB(agblocks), 4, 0},
		{DSB(agblocks), 4, 0xffffffff},
		{DSB(agblklog), 1, 13},
		{DSB(agblklog), 1, 64},
		{DSB(agcount), 4, 0},
		{DSB(agcount), 4, 0xffffffff},
		{DSB(dblocks), 8, 4 * 4096 + 1},
		{DSB(dblocks), 8, UINT64_MAX},
		{DSB(rextsize), 4, 0},
		{DSB(rblocks), 8, UINT64_MAX},
		{DSB(rextents), 8, 1},
		{DSB(logblocks), 4, 0},
		{DSB(logblocks), 4, 0xffffffff},
		{DSB(logblocks), 4, 4096 - 63},
		{DSB(logstart), 8, 1}, /* over the AG's headers */
		{DSB(logstart), 8, 1ull << 63},
		{DSB(logsunit), 4, 1000},
		{DSB(logsunit), 4, 1u << 31},
		{DSB(inoalignmt), 4, 0xffffffff},
		{DSB(spino_align), 4, 0xffffffff},
		{DSB(inprogress), 1, 1},
	};
	const struct sb_build b = SB_BUILD_DEFAULT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t raw[XR_BB], be[8];
		struct test_msg t;
		struct xr_sb sb;
		int error;

		sb_build(&b, raw);
		xr_put_be64(be, cases[i].value);
		memcpy(raw + cases[i].offset, be + 8 - cases[i].size, cases[i].size);
		sb_build_seal(raw);
		error = decode(raw, &sb, &t);
		if (error != -EUCLEAN || !t.used)
			fail_msg("case %zu: offset %zu: %d, said: %s", i, cases[i].offset, error, t.text);
		if (cases[i].offset)
			assert_null(strstr(t.text, "checksum"));
	}
}

static void test_checksum(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;
	uint8_t raw[XR_BB];
	struct test_msg t;
	struct xr_sb sb;

	(void)state;
	sb_build(&b, raw);
	raw[500] ^= 1; /* behind every field: the checksum covers the sector */
	assert_int_equal(decode(raw, &sb, &t), -EUCLEAN);
	assert_said(&t, "checksum");
}

static int gate(struct sb_build b, bool dirty, struct test_msg *t)
{
	uint8_t raw[XR_BB];
	struct xr_sb sb;

	sb_build(&b, raw);
	assert_int_equal(decode(raw, &sb, t), 0);
	return xr_sb_gate(&sb, dirty, &t->msg);
}

static void test_gate(void **state)
{
	static const struct {
		struct sb_build b;
		bool dirty;
		int error;
		const char *said;
	} cases[] = {
		{{.ro_compat = 0xf, .incompat = 0x1ef, .log_incompat = 1}, true, 0, ""},
		{{.ro_compat = 0x10}, false, -EOPNOTSUPP, "read-only compatible feature bits 0x10:"},
		{{.incompat = 0x80000800}, false, -EOPNOTSUPP, "incompatible feature bits 0x80000800:"},
		{{.incompat = 0x10}, false, -EOPNOTSUPP, "NEEDSREPAIR"},
		{{.log_incompat = 6}, true, -EOPNOTSUPP, "log incompatible feature bits 0x6:"},
		{{.log_incompat = 6}, false, 0, ""},
	};
	struct test_msg t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sb_build b = cases[i].b;

		b.logblocks = 1024;
		b.logstart = 64;
		assert_int_equal(gate(b, cases[i].dirty, &t), cases[i].error);
		assert_said(&t, cases[i].said);
	}
}

/* Zones are groups of single blocks, with reverse mappings and without shared blocks. */
static void test_zones(void **state)
{
	static const struct {
		uint32_t ro_compat, incompat, rextsize;
		int error;
	} cases[] = {
		{0xb, 0x700, 1, 0},           {0xb, 0x300, 1, 0},           {0xb, 0x300, 4, -EOPNOTSUPP},
		{0x9, 0x300, 1, -EOPNOTSUPP}, {0xf, 0x300, 1, -EOPNOTSUPP}, {0xb, 0x200, 1, -EOPNOTSUPP},
		{0xb, 0x500, 1, -EOPNOTSUPP},
	};
	uint8_t raw[XR_BB];
	struct test_msg t;
	struct xr_sb sb;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sb_build b = SB_BUILD_DEFAULT;

		b.ro_compat = cases[i].ro_compat;
		b.incompat = cases[i].incompat;
		sb_build(&b, raw);
		xr_put_be32(raw + DSB(rextsize), cases[i].rextsize);
		sb_build_seal(raw);
		assert_int_equal(decode(raw, &sb, &t), 0);
		assert_int_equal(xr_sb_gate(&sb, false, &t.msg), cases[i].error);
		assert_said(&t, cases[i].error ? "zoned" : "");
	}
}

static void test_gate_v4(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;
	uint8_t raw[XR_BB];
	struct test_msg t;
	struct xr_sb sb;

	(void)state;
	sb_build(&b, raw);
	xr_put_be16(raw + DSB(versionnum), 0xb4a4);
	xr_put_be32(raw + DSB(features2), XFS_SB_VERSION2_LAZYSBCOUNTBIT);
	assert_int_equal(decode(raw, &sb, &t), 0); /* its checksum field means nothing */
	assert_false(sb.v5);
	assert_int_equal(xr_sb_gate(&sb, false, &t.msg), 0);
	assert_false(sb.has_ftype);
	xr_put_be32(raw + DSB(features2), XFS_SB_VERSION2_LAZYSBCOUNTBIT | XFS_SB_VERSION2_FTYPE);
	assert_int_equal(decode(raw, &sb, &t), 0);
	assert_true(sb.has_ftype);
	xr_put_be32(raw + DSB(features2), 0x40000000);
	assert_int_equal(decode(raw, &sb, &t), 0);
	assert_int_equal(xr_sb_gate(&sb, false, &t.msg), -EOPNOTSUPP);
	assert_said(&t, "version 2 feature bits 0x40000000");
	xr_put_be32(raw + DSB(features2), 0);
	xr_put_be16(raw + DSB(versionnum), 0x94a4);
	assert_int_equal(decode(raw, &sb, &t), 0);
	assert_int_equal(xr_sb_gate(&sb, false, &t.msg), -EOPNOTSUPP);
	assert_said(&t, "IRIX");
}

static void test_addresses(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;
	uint8_t raw[XR_BB];
	struct test_msg t;
	struct xr_sb sb;

	(void)state;
	sb_build(&b, raw);
	/* An AG size that is no power of two, and a short last AG. */
	xr_put_be32(raw + DSB(agblocks), 4000);
	xr_put_be64(raw + DSB(dblocks), 3 * 4000 + 100);
	sb_build_seal(raw);
	assert_int_equal(decode(raw, &sb, &t), 0);
	assert_int_equal(xr_ag_blocks(&sb, 2), 4000);
	assert_int_equal(xr_ag_blocks(&sb, 3), 100);
	assert_int_equal(xr_ag_daddr(&sb, 3), 3 * 4000 * 2);
	assert_int_equal(xr_fsb_daddr(&sb, (3u << 12) + 99), (3 * 4000 + 99) * 2);
	assert_true(xr_fsb_ok(&sb, (3u << 12) + 2, 98));
	assert_false(xr_fsb_ok(&sb, (3u << 12) + 2, 99));
	assert_false(xr_fsb_ok(&sb, (3u << 12) + 2, UINT64_MAX));
	assert_false(xr_fsb_ok(&sb, 1, 1)); /* the AGFL's block */
	assert_false(xr_fsb_ok(&sb, 4000, 1));
	assert_false(xr_fsb_ok(&sb, 4u << 12, 1));
	assert_false(xr_fsb_ok(&sb, UINT64_MAX, 1));
	assert_true(xr_ino_ok(&sb, (3u << 13) + 99 * 2 + 1));
	assert_false(xr_ino_ok(&sb, (3u << 13) + 100 * 2));
	assert_false(xr_ino_ok(&sb, UINT64_MAX));
	assert_int_equal(xr_ino_offset(&sb, (3u << 13) + 99 * 2 + 1), (3 * 4000 + 99) * 1024 + 512);
}

/* Two whole groups of 1000 realtime extents of 4 blocks, and one of 7. */
static void build_groups(uint8_t *raw)
{
	struct sb_build b = SB_BUILD_DEFAULT;

	b.incompat = XFS_SB_FEAT_INCOMPAT_METADIR;
	sb_build(&b, raw);
	xr_put_be64(raw + DSB(rblocks), 2007 * 4 + 3);
	xr_put_be64(raw + DSB(rextents), 2007);
	xr_put_be32(raw + XR_DSB_RGCOUNT, 3);
	xr_put_be32(raw + XR_DSB_RGEXTENTS, 1000);
	raw[XR_DSB_RGBLKLOG] = 12;
	sb_build_seal(raw);
}

static void test_rtgroups(void **state)
{
	uint8_t raw[XR_BB];
	struct test_msg t;
	struct xr_sb sb;

	(void)state;
	build_groups(raw);
	assert_int_equal(decode(raw, &sb, &t), 0);
	assert_true(sb.has_rtgroups);
	assert_int_equal(xr_rg_extents(&sb, 0), 1000);
	assert_int_equal(xr_rg_extents(&sb, 2), 7);
	assert_int_equal(xr_rg_blocks(&sb, 1), 4000);
	assert_int_equal(xr_rg_blocks(&sb, 2), 28);
	assert_int_equal(xr_rtb(&sb, 2, 27), (2 << 12) + 27);
	assert_int_equal(xr_rtb_group(&sb, (2 << 12) + 27), 2);
	assert_int_equal(xr_rtb_block(&sb, (2 << 12) + 27), 27);
	assert_false(xr_rtb_ok(&sb, 3, 1)); /* the realtime superblock's extent */
	assert_true(xr_rtb_ok(&sb, 4, 3996));
	assert_false(xr_rtb_ok(&sb, 4, 3997));
	assert_false(xr_rtb_ok(&sb, 4000, 1)); /* between the groups */
	assert_true(xr_rtb_ok(&sb, 1 << 12, 4000));
	assert_true(xr_rtb_ok(&sb, (2 << 12) + 27, 1));
	assert_false(xr_rtb_ok(&sb, (2 << 12) + 27, 2));
	assert_false(xr_rtb_ok(&sb, (2 << 12) + 28, 1));
	assert_false(xr_rtb_ok(&sb, 2 << 12, UINT64_MAX));
	assert_false(xr_rtb_ok(&sb, 3 << 12, 1));
	assert_false(xr_rtb_ok(&sb, UINT64_MAX, 1));
	assert_int_equal(xr_rt_device_block(&sb, 3999), 3999);
	assert_int_equal(xr_rt_device_block(&sb, (2 << 12) + 27), 8027);
	assert_int_equal(xr_sb_bytes(&sb), sb.dblocks << sb.blocklog);
	sb.has_zones = true;
	assert_true(xr_rtb_ok(&sb, 0, 1)); /* no such superblock */
	sb.rtstart = 100000; /* on the data device */
	assert_int_equal(xr_rt_device_block(&sb, (2 << 12) + 27), 108027);
	assert_int_equal(xr_sb_bytes(&sb), UINT64_C(108028) << sb.blocklog);
	sb.incompat |= XFS_SB_FEAT_INCOMPAT_ZONE_GAPS;
	assert_int_equal(xr_rt_device_block(&sb, (2 << 12) + 27), 100000 + (2 << 12) + 27);
	sb.has_rtgroups = false;
	assert_int_equal(xr_rt_device_block(&sb, (2 << 12) + 27), (2 << 12) + 27);
}

static void test_impossible_rtgroups(void **state)
{
	static const struct {
		size_t offset;
		uint32_t value;
		const char *said;
	} cases[] = {
		{XR_DSB_RGCOUNT, 0, "number of realtime groups"},     {XR_DSB_RGCOUNT, 2, "number of realtime groups"},
		{XR_DSB_RGCOUNT, 4, "number of realtime groups"},     {XR_DSB_RGEXTENTS, 0, "realtime group size"},
		{XR_DSB_RGEXTENTS, 1, "realtime group size"},         {XR_DSB_RGEXTENTS, 1 << 29, "realtime group size"},
		{XR_DSB_RGEXTENTS, 600, "number of realtime groups"}, {XR_DSB_RGBLKLOG, 11, "realtime group shift"},
		{XR_DSB_RGBLKLOG, 13, "realtime group shift"},        {XR_DSB_RGBLKLOG, 255, "realtime group shift"},
		{XR_DSB_RTSTART, 1u << 31, "start of the realtime"},  {XR_DSB_RTSTART + 4, 1, "start of the realtime"},
	};
	uint8_t raw[XR_BB];
	struct test_msg t;
	struct xr_sb sb;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		build_groups(raw);
		if (cases[i].offset == XR_DSB_RGBLKLOG)
			raw[XR_DSB_RGBLKLOG] = (uint8_t)cases[i].value;
		else
			xr_put_be32(raw + cases[i].offset, cases[i].value);
		sb_build_seal(raw);
		assert_int_equal(decode(raw, &sb, &t), -EUCLEAN);
		assert_said(&t, cases[i].said);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),    cmocka_unit_test(test_impossible), cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_gate),      cmocka_unit_test(test_gate_v4),    cmocka_unit_test(test_zones),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_rtgroups),   cmocka_unit_test(test_impossible_rtgroups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
