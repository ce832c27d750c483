/* SPDX-License-Identifier: GPL-2.0-only */
#include "rtbuild.h"

#include "bytes.h"
#include "dinode.h"
#include "format.h"
#include "sbbuild.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define DSB(field) offsetof(struct xfs_dsb, sb_##field)

static const struct {
	const char *name;
	uint16_t metatype;
	uint8_t format;
} kinds[] = {{"bitmap", XR_METATYPE_RTBITMAP, XFS_DINODE_FMT_EXTENTS},
	     {"summary", XR_METATYPE_RTSUMMARY, XFS_DINODE_FMT_EXTENTS},
	     {"rmap", XR_METATYPE_RTRMAP, XR_DINODE_FMT_META_BTREE},
	     {"refcount", XR_METATYPE_RTREFC, XR_DINODE_FMT_META_BTREE}};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static char *prototype(void)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	fprintf(out, "d--755 0 0\nmetadir d--755 0 0\nrtgroups d--755 0 0\n");
	for (unsigned rgno = 0; rgno < RT_GROUPS; rgno++)
		for (unsigned k = 0; k < NKINDS; k++)
			fprintf(out, "%u.%s ---644 0 0 /dev/null\n", rgno, kinds[k].name);
	fprintf(out, "$\n$\n");
	assert_int_equal(fclose(out), 0);
	return text;
}

uint64_t rt_test_file(struct ag_test *t, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/metadir/rtgroups/%s", name);
	return test_fs_lookup(&t->fs, path);
}

static void get(struct ag_test *t, uint64_t ino, uint8_t *raw)
{
	test_fs_get(&t->fs, xr_ino_offset(&t->fs.sb, ino), raw, t->fs.sb.inodesize);
}

static void put(struct ag_test *t, uint64_t ino, uint8_t *raw)
{
	test_fs_put(&t->fs, xr_ino_offset(&t->fs.sb, ino), raw, t->fs.sb.inodesize);
}

void rt_test_put16(struct ag_test *t, uint64_t ino, size_t offset, uint16_t value)
{
	uint8_t raw[2048];

	get(t, ino, raw);
	xr_put_be16(raw + offset, value);
	put(t, ino, raw);
}

/* Make a group's file of an ordinary one, or the other way round. */
static void convert(struct ag_test *t, unsigned rgno, unsigned k, uint8_t forkoff, bool back)
{
	uint8_t raw[2048];
	char name[32];
	uint64_t ino;

	snprintf(name, sizeof(name), "%u.%s", rgno, kinds[k].name);
	ino = rt_test_file(t, name);
	get(t, ino, raw);
	assert_int_equal(xr_be64(raw + DI(nblocks)), 0);
	assert_int_equal(xr_be32(raw + XR_CORE_V3), 0); /* no extents, or a root of level 0 without records */
	memset(raw + XR_CORE_V3, 0, t->fs.sb.inodesize - XR_CORE_V3);
	raw[DI(format)] = back ? XFS_DINODE_FMT_EXTENTS : kinds[k].format;
	raw[DI(forkoff)] = back ? 0 : forkoff;
	xr_put_be16(raw + DI(onlink), back ? 0 : kinds[k].metatype);
	xr_put_be16(raw + DI(projid_lo), back ? 0 : (uint16_t)rgno);
	xr_put_be64(raw + DI(flags2), xr_be64(raw + DI(flags2)) ^ XFS_DIFLAG2_METADATA);
	put(t, ino, raw);
}

static void convert_all(struct ag_test *t, uint8_t forkoff, bool back)
{
	for (unsigned rgno = 0; rgno < RT_GROUPS; rgno++)
		for (unsigned k = 0; k < NKINDS; k++)
			convert(t, rgno, k, forkoff, back);
}

static uint8_t plain[XR_BB]; /* the superblock as it was */

static void put_sb(struct ag_test *t, const uint8_t *raw)
{
	assert_int_equal(xr_dev_write(&t->fs.dev, raw, XR_BB, 0), 0);
	test_fs_again(&t->fs);
}

static void convert_sb(struct ag_test *t)
{
	const uint64_t blocks = (RT_GROUPS - 1) * RT_GROUP_BLOCKS + RT_LAST_BLOCKS;
	uint8_t raw[XR_BB];

	test_fs_get(&t->fs, 0, plain, sizeof(plain));
	memcpy(raw, plain, sizeof(raw));
	xr_put_be64(raw + DSB(rblocks), blocks);
	xr_put_be64(raw + DSB(rextents), blocks);
	xr_put_be32(raw + DSB(rextsize), 1);
	xr_put_be32(raw + DSB(features_incompat), xr_be32(raw + DSB(features_incompat)) | XFS_SB_FEAT_INCOMPAT_METADIR);
	xr_put_be64(raw + XR_DSB_METADIRINO, test_fs_lookup(&t->fs, "/metadir"));
	xr_put_be32(raw + XR_DSB_RGCOUNT, RT_GROUPS);
	xr_put_be32(raw + XR_DSB_RGEXTENTS, RT_GROUP_BLOCKS);
	raw[XR_DSB_RGBLKLOG] = 15;
	sb_build_seal(raw);
	put_sb(t, raw);
}

void rt_test_begin(struct ag_test *t, const char *options, uint8_t forkoff)
{
	char *proto = prototype();

	ag_test_begin(t, options, proto);
	free(proto);
	convert_all(t, forkoff, false);
	convert_sb(t);
	assert_true(t->fs.sb.has_rtgroups);
}

void rt_test_end(struct ag_test *t)
{
	ag_test_commit(t);
	assert_int_equal(xr_cache_flush(t->cache), 0);
	test_fs_again(&t->fs);
	convert_all(t, 0, true);
	put_sb(t, plain);
	assert_true(ag_test_repair(t));
	ag_test_end(t);
}
