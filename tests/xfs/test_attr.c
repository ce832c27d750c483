/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended attributes, made by hand in every form: what is read, what is refused, and that damage of any kind costs no more than what it
 * hits. Blocks lie where mkfs.xfs left room; the readers do not ask whether it is free.
 */
#include "fsbuild.h"

#include <errno.h>
#include "attr.h"
#include "bytes.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define BLOCK 4096u
#define FORKOFF 10u /* the data fork gets 80 bytes */
#define FORK ((v5 ? 176u : 100u) + 8 * FORKOFF)
#define FORK_ROOM (512u - FORK)
#define MAX_SEEN 64
#define FIRST 20000u /* fs block of the attribute fork's block 0, in AG 1; all its blocks follow */
#define NBLOCKS 32u
#define INFO (v5 ? 56u : 12u) /* what leaves and nodes begin with: links, magic; version 5: and who they are */
#define LEAF_COUNT INFO
#define LEAF_FIRSTUSED (INFO + 4)
#define LEAF_HEADER (INFO + (v5 ? 24u : 20u))
#define NODE_LEVEL (INFO + 2)
#define NODE_HEADER (INFO + (v5 ? 8u : 4u))
#define REMOTE_HEADER (v5 ? 56u : 0u)

static struct test_fs fs;
static bool v5;
static uint64_t file, first;
static uint8_t good[512], raw[512], block[BLOCK];

/* What was read: "name=value\n" each, long values as their length. */
static char seen[65536];
static size_t seen_size;
static uint64_t damaged;
static uint8_t value[XR_ATTR_VALUE_MAX];

static int make(const char *options)
{
	test_fs_make(&fs, options, "d--755 0 0\nfile ---644 1 2 /dev/null\n");
	v5 = fs.sb.v5;
	file = test_fs_lookup(&fs, "/file");
	test_fs_get(&fs, xr_ino_offset(&fs.sb, file), good, sizeof(good));
	first = (uint64_t)1 << fs.sb.agblklog | (FIRST % fs.sb.agblocks);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return make("-i nrext64=0");
}

static int setup_v4(void **state)
{
	(void)state;
	return make("-m crc=0 -i size=512");
}

static int teardown(void **state)
{
	(void)state;
	test_fs_end(&fs);
	return 0;
}

/* Write an inode or block, in version 5 with a new checksum. */
static void put(uint64_t offset, uint8_t *data, size_t size)
{
	if (v5)
		test_fs_put(&fs, offset, data, size);
	else
		assert_int_equal(xr_dev_write(&fs.dev, data, size, offset), 0);
}

static int look(void *arg, const struct xr_attr *attr)
{
	int error = xr_attr_value(attr, value);

	(void)arg;
	if (seen_size < sizeof(seen) / 2) {
		if (error)
			seen_size += (size_t)sprintf(seen + seen_size, "%s: %d\n", attr->name, error);
		else if (attr->size > 100)
			seen_size += (size_t)sprintf(seen + seen_size, "%s: %u of %c\n", attr->name, attr->size,
						     value[attr->size - 1]);
		else
			seen_size += (size_t)sprintf(seen + seen_size, "%s=%.*s\n", attr->name, (int)attr->size, (char *)value);
	}
	return error == -ENOMEM ? error : 0;
}

/* Write the inode in raw, and read its attributes. */
static int read_all(void)
{
	struct xr_inode inode;
	int error;

	put(xr_ino_offset(&fs.sb, file), raw, sizeof(raw));
	test_fs_again(&fs);
	seen_size = 0;
	seen[0] = '\0';
	damaged = 0;
	error = xr_inode_read(&fs.fs, file, &inode);
	return error ? error : xr_attr_each(&fs.fs, &inode, look, NULL, &damaged);
}

/* An inode with an attribute fork of this format; extents: all blocks of the fork as one. */
static void begin_inode(uint8_t format)
{
	memcpy(raw, good, sizeof(raw));
	raw[DI(forkoff)] = FORKOFF;
	raw[DI(aformat)] = format;
	memset(raw + FORK, 0, FORK_ROOM);
	if (format != XFS_DINODE_FMT_EXTENTS)
		return;
	xr_put_be16(raw + DI(anextents), 1);
	xr_put_be64(raw + DI(nblocks), NBLOCKS);
	xr_put_be64(raw + FORK, first >> 43);
	xr_put_be64(raw + FORK + 8, first << 21 | NBLOCKS);
}

static void add_short(uint8_t flags, const char *name, const char *text)
{
	uint8_t *fork = raw + FORK, *p;
	uint16_t size = xr_be16(fork) ? xr_be16(fork) : 4;

	p = fork + size;
	p[0] = (uint8_t)strlen(name);
	p[1] = (uint8_t)strlen(text);
	p[2] = flags;
	memcpy(p + 3, name, p[0]);
	memcpy(p + 3 + p[0], text, p[1]);
	xr_put_be16(fork, (uint16_t)(size + 3 + p[0] + p[1]));
	fork[2]++;
}

static uint64_t daddr_of(uint32_t number)
{
	return xr_fsb_daddr(&fs.sb, first + number);
}

static void put_block(uint32_t number)
{
	put(daddr_of(number) << XR_BB_SHIFT, block, sizeof(block));
}

/* The header that leaves and nodes share. */
static void begin_block(uint32_t number, bool leaf)
{
	memset(block, 0, sizeof(block));
	if (leaf)
		xr_put_be16(block + LEAF_FIRSTUSED, BLOCK);
	if (!v5) {
		xr_put_be16(block + 8, leaf ? XFS_ATTR_LEAF_MAGIC : XFS_DA_NODE_MAGIC);
		return;
	}
	xr_put_be16(block + 8, leaf ? XFS_ATTR3_LEAF_MAGIC : XFS_DA3_NODE_MAGIC);
	xr_put_be64(block + offsetof(struct xfs_da3_blkinfo, blkno), daddr_of(number));
	xr_put_be64(block + offsetof(struct xfs_da3_blkinfo, owner), file);
	memcpy(block + offsetof(struct xfs_da3_blkinfo, uuid), fs.sb.meta_uuid, 16);
}

/* Make room for size bytes of name and value in the leaf under construction, and an entry for them. */
static uint8_t *add_entry(uint8_t flags, uint16_t size)
{
	uint16_t n = xr_be16(block + LEAF_COUNT), at = (uint16_t)((xr_be16(block + LEAF_FIRSTUSED) - size) & ~3);
	uint8_t *entry = block + LEAF_HEADER + 8 * (size_t)n;

	xr_put_be16(entry + 4, at);
	entry[6] = flags;
	xr_put_be16(block + LEAF_COUNT, n + 1);
	xr_put_be16(block + LEAF_FIRSTUSED, at);
	return block + at;
}

static void add_local(uint8_t flags, const char *name, const void *text, uint16_t size)
{
	uint8_t *p = add_entry(flags | XFS_ATTR_LOCAL, (uint16_t)(3 + strlen(name) + size));

	xr_put_be16(p, size);
	p[2] = (uint8_t)strlen(name);
	memcpy(p + 3, name, p[2]);
	memcpy(p + 3 + p[2], text, size);
}

static void add_remote(const char *name, uint32_t number, uint32_t size)
{
	uint8_t *p = add_entry(0, (uint16_t)(9 + strlen(name)));

	xr_put_be32(p, number);
	xr_put_be32(p + 4, size);
	p[8] = (uint8_t)strlen(name);
	memcpy(p + 9, name, p[8]);
}

/* The blocks of a remote value of size bytes, all of them c. */
static void put_remote(uint32_t number, uint32_t size, char c)
{
	const uint32_t room = BLOCK - REMOTE_HEADER;

	for (uint32_t at = 0; at < size; at += room, number++) {
		uint32_t n = size - at < room ? size - at : room;

		memset(block, 0, sizeof(block));
		memset(block + REMOTE_HEADER, c, n);
		if (!v5) {
			put_block(number);
			continue;
		}
		xr_put_be32(block, XFS_ATTR3_RMT_MAGIC);
		xr_put_be32(block + offsetof(struct xfs_attr3_rmt_hdr, rm_offset), at);
		xr_put_be32(block + offsetof(struct xfs_attr3_rmt_hdr, rm_bytes), n);
		xr_put_be64(block + offsetof(struct xfs_attr3_rmt_hdr, rm_owner), file);
		xr_put_be64(block + offsetof(struct xfs_attr3_rmt_hdr, rm_blkno), daddr_of(number));
		memcpy(block + offsetof(struct xfs_attr3_rmt_hdr, rm_uuid), fs.sb.meta_uuid, 16);
		put_block(number);
	}
}

static void put_node(uint32_t number, uint16_t level, const uint32_t *children, uint16_t n)
{
	begin_block(number, false);
	xr_put_be16(block + INFO, n);
	xr_put_be16(block + NODE_LEVEL, level);
	for (uint16_t i = 0; i < n; i++)
		xr_put_be32(block + NODE_HEADER + 8u * i + 4, children[i]);
	put_block(number);
}

static void put_leaf(uint32_t number, const char *name)
{
	begin_block(number, true);
	add_local(0, name, "x", 1);
	put_block(number);
}

/* --- the tests --- */

static void test_none(void **state)
{
	(void)state;
	memcpy(raw, good, sizeof(raw));
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "");
	begin_inode(XFS_DINODE_FMT_EXTENTS);
	xr_put_be16(raw + DI(anextents), 0);
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "");
	assert_int_equal(damaged, 0);
}

static void test_shortform(void **state)
{
	(void)state;
	begin_inode(XFS_DINODE_FMT_LOCAL);
	add_short(0, "a", "one");
	add_short(XFS_ATTR_ROOT, "b", "two");
	add_short(XFS_ATTR_SECURE, "c", "");
	add_short(XFS_ATTR_INCOMPLETE, "half", "done");
	add_short(1 << 3, "parent", "pointer");
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "user.a=one\ntrusted.b=two\nsecurity.c=\n");
	assert_int_equal(damaged, 0);

	raw[FORK + 2]++; /* one more than there is */
	assert_int_equal(read_all(), 0);
	assert_int_equal(damaged, 1);
	assert_non_null(strstr(seen, "security.c"));
	xr_put_be16(raw + FORK, FORK_ROOM + 1);
	assert_int_equal(read_all(), 0);
	assert_int_equal(damaged, 1);
	assert_string_equal(seen, "");
	xr_put_be16(raw + FORK, 3);
	assert_int_equal(read_all(), 0);
	assert_int_equal(damaged, 1);
}

static void test_names(void **state)
{
	(void)state;
	begin_inode(XFS_DINODE_FMT_LOCAL);
	add_short(0, "", "no name");
	add_short(XFS_ATTR_ROOT | XFS_ATTR_SECURE, "two", "namespaces");
	add_short(0, "a.b/c\n", "odd");
	add_short(0, "zero", "in it");
	raw[FORK + xr_be16(raw + FORK) - 7] = 0;
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "user.a.b/c\n=odd\n");
	assert_int_equal(damaged, 3);
}

/* As getxattr() gives it: version, then tag, permissions and id, little-endian. */
static void test_acl(void **state)
{
	static const uint8_t disk[] = {0, 0, 0, 2, 0, 0, 0, 1, 255, 255, 255, 255, 0, 6,
				       0, 0, 0, 0, 0, 2, 0, 0, 4,   210, 0,   4,   0, 0};
	static const uint8_t linux_form[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 210, 4, 0, 0};

	(void)state;
	begin_inode(XFS_DINODE_FMT_EXTENTS);
	begin_block(0, true);
	add_local(XFS_ATTR_ROOT, "SGI_ACL_FILE", disk, sizeof(disk));
	put_block(0);
	assert_int_equal(read_all(), 0);
	assert_memory_equal(seen, "system.posix_acl_access=", 24);
	assert_memory_equal(value, linux_form, sizeof(linux_form));

	begin_block(0, true);
	add_local(XFS_ATTR_ROOT, "SGI_ACL_DEFAULT", disk, sizeof(disk) - 12); /* the count is wrong */
	add_local(XFS_ATTR_ROOT, "SGI_ACL_FILE", disk, sizeof(disk) - 1);
	add_local(0, "SGI_ACL_FILE", "nothing special", 15);
	put_block(0);
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "system.posix_acl_default: -117\nuser.SGI_ACL_FILE=nothing special\n");
	assert_int_equal(damaged, 1);
}

static void build_leaf(void)
{
	begin_inode(XFS_DINODE_FMT_EXTENTS);
	begin_block(0, true);
	add_local(0, "near", "by", 2);
	add_local(XFS_ATTR_INCOMPLETE, "half", "done", 4);
	add_remote("far", 1, 65536);
	add_remote("one-block", 20, 4000);
	put_block(0);
	put_remote(1, 65536, 'f');
	put_remote(20, 4000, 'o');
}

static void test_leaf(void **state)
{
	static const char all[] = "user.near=by\nuser.far: 65536 of f\nuser.one-block: 4000 of o\n";

	(void)state;
	build_leaf();
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, all);
	assert_int_equal(damaged, 0);

	if (!v5)
		return;
	/* A value in which a block is damaged is lost; its name and the others are not. */
	test_fs_get(&fs, daddr_of(5) << XR_BB_SHIFT, block, sizeof(block));
	for (size_t at = 0; at < offsetof(struct xfs_attr3_rmt_hdr, rm_lsn); at++) {
		if (at == offsetof(struct xfs_attr3_rmt_hdr, rm_crc))
			at += 4;
		block[at] ^= 0x80;
		put_block(5);
		assert_int_equal(read_all(), 0);
		assert_string_equal(seen, "user.near=by\nuser.far: -117\nuser.one-block: 4000 of o\n");
		block[at] ^= 0x80;
	}
	put_block(5);
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, all);
}

static void test_leaf_refused(void **state)
{
	static const struct {
		size_t at;
		uint16_t value;
	} bad[] = {
		{offsetof(struct xfs_da3_blkinfo, hdr.magic), XFS_ATTR_LEAF_MAGIC},
		{offsetof(struct xfs_da3_blkinfo, blkno), 1},
		{offsetof(struct xfs_da3_blkinfo, owner), 1},
		{offsetof(struct xfs_da3_blkinfo, uuid), 1},
		{offsetof(struct xfs_attr3_leaf_hdr, count), 503},
		{offsetof(struct xfs_attr3_leaf_hdr, count), UINT16_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		build_leaf();
		test_fs_get(&fs, daddr_of(0) << XR_BB_SHIFT, block, sizeof(block));
		xr_put_be16(block + bad[i].at, bad[i].value);
		put_block(0);
		assert_int_equal(read_all(), 0);
		assert_string_equal(seen, "");
		assert_int_equal(damaged, 1);
	}
}

static void test_nodes(void **state)
{
	static const uint32_t top[] = {1, 2, 3}, left[] = {4, 5}, right[] = {6, 31, 7}, many[] = {4, 4, 4, 4, 4, 4, 4, 4};

	(void)state;
	begin_inode(XFS_DINODE_FMT_EXTENTS);
	put_node(0, 2, top, 2);
	put_node(1, 1, left, 2);
	put_node(2, 1, right, 3);
	put_leaf(4, "4");
	put_leaf(5, "5");
	put_leaf(6, "6");
	put_leaf(7, "7");
	memset(block, 0, sizeof(block));
	put_block(31);
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "user.4=x\nuser.5=x\nuser.6=x\nuser.7=x\n");
	assert_int_equal(damaged, 1); /* block 31 */

	put_node(1, 2, left, 2); /* does not fall */
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "user.6=x\nuser.7=x\n");
	put_node(1, 1, (const uint32_t[]){0, 1, 2, 40, UINT32_MAX}, 5); /* cycles, and blocks that the fork has not */
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "user.6=x\nuser.7=x\n");
	assert_int_equal(damaged, 6);
	put_node(0, 6, top, 2);
	assert_int_equal(read_all(), 0);
	assert_string_equal(seen, "");

	/* A tree that shares its blocks has each of them once. */
	put_node(0, 3, (const uint32_t[]){1, 1, 1, 1, 1, 1, 1, 1}, 8);
	put_node(1, 2, (const uint32_t[]){2, 2, 2, 2, 2, 2, 2, 2}, 8);
	put_node(2, 1, many, 8);
	assert_int_equal(read_all(), 0);
	assert_in_range(seen_size, 1, 8 * 9);
	assert_said(&fs.t, "it is in the tree twice");
}

/* Thousands of changes at random, checksums right: the reader ends, stays within bounds (a sanitizer's to see) and fails no other way. */
static void test_mutations(void **state)
{
	static const uint32_t top[] = {1, 2};

	(void)state;
	srand(11);
	for (unsigned round = 0; round < 3000; round++) {
		uint32_t target = round % 5;

		if (round % 2) {
			begin_inode(XFS_DINODE_FMT_LOCAL);
			add_short(0, "a", "one");
			add_short(XFS_ATTR_ROOT, "SGI_ACL_FILE", "two");
			target = 4;
		} else {
			build_leaf();
			test_fs_get(&fs, daddr_of(0) << XR_BB_SHIFT, block, sizeof(block));
			if (v5)
				xr_put_be64(block + offsetof(struct xfs_da3_blkinfo, blkno), daddr_of(2));
			put_block(2);
			put_leaf(1, "first");
			put_node(0, 1, top, 2);
		}
		for (unsigned n = 1 + round % 4; n; n--) {
			if (target == 4) {
				raw[FORK + (unsigned)rand() % FORK_ROOM] = (uint8_t)rand();
				continue;
			}
			test_fs_get(&fs, daddr_of(target) << XR_BB_SHIFT, block, sizeof(block));
			block[rand() % 3 ? rand() % 128 : (int)BLOCK - 1 - rand() % 64] = (uint8_t)rand();
			put_block(target);
		}
		assert_int_equal(read_all(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),  cmocka_unit_test(test_shortform), cmocka_unit_test(test_names),
		cmocka_unit_test(test_acl),   cmocka_unit_test(test_leaf),      cmocka_unit_test(test_leaf_refused),
		cmocka_unit_test(test_nodes), cmocka_unit_test(test_mutations),
	};
	const struct CMUnitTest v4_tests[] = {
		cmocka_unit_test(test_none), cmocka_unit_test(test_shortform), cmocka_unit_test(test_acl),
		cmocka_unit_test(test_leaf), cmocka_unit_test(test_nodes),     cmocka_unit_test(test_mutations),
	};

	if (!test_fs_possible())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown) + cmocka_run_group_tests(v4_tests, setup_v4, teardown);
}
