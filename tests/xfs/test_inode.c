/* SPDX-License-Identifier: GPL-2.0-only */
/* Inodes: both forms of times and counters, device numbers, what is refused; symlink targets; the realtime bitmap's count. */
#include "fsbuild.h"

#include <errno.h>
#include <sys/stat.h>
#include "bytes.h"
#include "format.h"
#include "rtbitmap.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define TARGET_SIZE 1000u

static struct test_fs fs;
static uint64_t file, terminal, link_short, link_long;
static uint8_t good[2048], raw[2048];

static int setup(void **state)
{
	char proto[2048], target[TARGET_SIZE + 1];

	(void)state;
	memset(target, 't', TARGET_SIZE);
	target[TARGET_SIZE] = '\0';
	snprintf(proto, sizeof(proto),
		 "d--755 0 0\nfile ---644 1 2 /dev/null\nterminal c--622 0 5 5 1\nshort l--777 0 0 ../target\nlong l--777 0 0 "
		 "%s\n",
		 target);
	test_fs_make(&fs, "-i nrext64=0 -m bigtime=1", proto);
	file = test_fs_lookup(&fs, "/file");
	terminal = test_fs_lookup(&fs, "/terminal");
	link_short = test_fs_lookup(&fs, "/short");
	link_long = test_fs_lookup(&fs, "/long");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_fs_end(&fs);
	return 0;
}

static uint64_t offset_of(uint64_t ino)
{
	return xr_ino_offset(&fs.sb, ino);
}

/* Begin to change an inode: raw is it as it was. */
static void change(uint64_t ino)
{
	test_fs_get(&fs, offset_of(ino), good, fs.sb.inodesize);
	memcpy(raw, good, sizeof(raw));
}

static int read_changed(uint64_t ino, struct xr_inode *inode)
{
	test_fs_put(&fs, offset_of(ino), raw, fs.sb.inodesize);
	test_fs_again(&fs);
	return xr_inode_read(&fs.fs, ino, inode);
}

static void restore(uint64_t ino)
{
	test_fs_put(&fs, offset_of(ino), good, fs.sb.inodesize);
	test_fs_again(&fs);
}

static void test_times(void **state)
{
	struct xr_inode inode;

	(void)state;
	change(file);
	xr_put_be64(raw + DI(flags2), XFS_DIFLAG2_BIGTIME);
	xr_put_be64(raw + DI(mtime), 0); /* the earliest: 1901 */
	xr_put_be64(raw + DI(atime), 2147483648ull * 1000000000 + 5); /* 1970 and 5 ns */
	xr_put_be64(raw + DI(crtime), UINT64_MAX);
	assert_int_equal(read_changed(file, &inode), 0);
	assert_int_equal(inode.mtime.sec, INT32_MIN);
	assert_int_equal(inode.mtime.nsec, 0);
	assert_int_equal(inode.atime.sec, 0);
	assert_int_equal(inode.atime.nsec, 5);
	assert_int_equal(inode.crtime.sec, 18446744073ll - 2147483648ll);

	xr_put_be64(raw + DI(flags2), 0);
	xr_put_be32(raw + DI(mtime), (uint32_t)-3);
	xr_put_be32(raw + DI(mtime) + 4, 999999999);
	assert_int_equal(read_changed(file, &inode), 0);
	assert_int_equal(inode.mtime.sec, -3);
	assert_int_equal(inode.mtime.nsec, 999999999);
	restore(file);
}

static void test_counts(void **state)
{
	struct xr_inode inode;

	(void)state;
	change(file);
	xr_put_be64(raw + DI(nblocks), 1ull << 50);
	xr_put_be32(raw + DI(nextents), 70000);
	xr_put_be16(raw + DI(anextents), 65535);
	assert_int_equal(read_changed(file, &inode), 0);
	assert_int_equal(inode.nextents, 70000);
	assert_int_equal(inode.anextents, 65535);
	assert_int_equal(inode.uid, 1);
	assert_int_equal(inode.gid, 2);

	xr_put_be64(raw + DI(flags2), xr_be64(raw + DI(flags2)) | XFS_DIFLAG2_NREXT64);
	xr_put_be64(raw + DI(big_nextents), 1ull << 47);
	xr_put_be32(raw + DI(big_anextents), 1u << 31);
	assert_int_equal(read_changed(file, &inode), 0);
	assert_int_equal(inode.nextents, 1ull << 47);
	assert_int_equal(inode.anextents, 1u << 31);

	xr_put_be64(raw + DI(nblocks), 1ull << 47); /* one sum may not wrap, the other is too large */
	assert_int_equal(read_changed(file, &inode), -EUCLEAN);
	xr_put_be64(raw + DI(big_nextents), UINT64_MAX);
	assert_int_equal(read_changed(file, &inode), -EUCLEAN);
	assert_said(&fs.t, "more extents than blocks");
	restore(file);
}

static void test_device(void **state)
{
	struct xr_inode inode;

	(void)state;
	assert_int_equal(xr_inode_read(&fs.fs, terminal, &inode), 0);
	assert_true(S_ISCHR(inode.mode));
	assert_int_equal(inode.major, 5);
	assert_int_equal(inode.minor, 1);
	change(terminal);
	xr_put_be32(raw + sizeof(struct xfs_dinode), 0xffffffff);
	assert_int_equal(read_changed(terminal, &inode), 0);
	assert_int_equal(inode.major, 0x3fff);
	assert_int_equal(inode.minor, 0x3ffff);
	restore(terminal);
}

static void test_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *said;
	} bad[] = {
		{DI(magic), 'X', "no inode here"},
		{DI(version), 2, "version 3"},
		{DI(ino) + 7, 1, "another inode's number"},
		{DI(uuid), 1, "another filesystem's UUID"},
		{DI(mode), 0x30, "do not fit"}, /* no type */
		{DI(mode), 0x20, "do not fit"}, /* a character device in extents format */
		{DI(format), XFS_DINODE_FMT_LOCAL, "do not fit"},
		{DI(format), 77, "do not fit"},
		{DI(aformat), 0, "unknown format"},
		{DI(aformat), 4, "unknown format"},
		{DI(forkoff), 42, "outside the inode"}, /* (512 - 176) / 8 */
		{DI(forkoff), 255, "outside the inode"},
		{DI(size), 0x80, "negative"},
	};
	struct xr_inode inode;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		change(file);
		raw[bad[i].at] = bad[i].value;
		/* Without its magic the helper would not know where the checksum belongs; and then it does not matter. */
		assert_int_equal(read_changed(file, &inode), -EUCLEAN);
		assert_said(&fs.t, bad[i].said);
		restore(file);
	}
	change(file);
	raw[DI(uid)] ^= 1;
	assert_int_equal(xr_dev_write(&fs.dev, raw, fs.sb.inodesize, offset_of(file)), 0);
	test_fs_again(&fs);
	assert_int_equal(xr_inode_read(&fs.fs, file, &inode), -EUCLEAN);
	assert_said(&fs.t, "checksum");
	restore(file);
	assert_int_equal(xr_inode_read(&fs.fs, UINT64_MAX, &inode), -EUCLEAN);
	assert_int_equal(xr_inode_read(&fs.fs, 0, &inode), -EUCLEAN);
}

/* An attr fork's border: both forks' rooms add up, and none reaches out. */
static void test_forks(void **state)
{
	struct xr_inode inode;
	uint32_t data, attr;

	(void)state;
	for (unsigned forkoff = 0; forkoff < 42; forkoff++) {
		change(file);
		raw[DI(forkoff)] = (uint8_t)forkoff;
		assert_int_equal(read_changed(file, &inode), 0);
		const uint8_t *at = xr_inode_fork(&inode, XR_ATTR_FORK, &attr);
		assert_ptr_equal(xr_inode_fork(&inode, XR_DATA_FORK, &data), inode.raw + 176);
		assert_int_equal(data + attr, 512 - 176);
		assert_ptr_equal(at + attr, inode.raw + 512);
		assert_int_equal(attr == 0, forkoff == 0);
		restore(file);
	}
}

static void test_symlink_inline(void **state)
{
	char target[XR_SYMLINK_MAX + 1];
	struct xr_inode inode;
	size_t size;

	(void)state;
	assert_int_equal(xr_inode_read(&fs.fs, link_short, &inode), 0);
	assert_int_equal(xr_symlink_read(&fs.fs, &inode, target, &size), 0);
	assert_int_equal(size, 9);
	assert_string_equal(target, "../target");
	inode.size = 337; /* one more than there is room */
	assert_int_equal(xr_symlink_read(&fs.fs, &inode, target, &size), -EUCLEAN);
	inode.size = XR_SYMLINK_MAX + 1;
	assert_int_equal(xr_symlink_read(&fs.fs, &inode, target, &size), -EUCLEAN);
	inode.size = 0;
	assert_int_equal(xr_symlink_read(&fs.fs, &inode, target, &size), -EUCLEAN);
	inode.size = 20; /* zeros follow */
	assert_int_equal(xr_symlink_read(&fs.fs, &inode, target, &size), -EUCLEAN);
	assert_int_equal(xr_inode_read(&fs.fs, file, &inode), 0);
	assert_int_equal(xr_symlink_read(&fs.fs, &inode, target, &size), -EINVAL);
}

/* mkfs 6.1 writes the target without its header, so the test makes the block anew. */
static void test_symlink_remote(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} bad[] = {
		{offsetof(struct xfs_dsymlink_hdr, sl_offset), 1},
		{offsetof(struct xfs_dsymlink_hdr, sl_bytes), 0},
		{offsetof(struct xfs_dsymlink_hdr, sl_bytes), TARGET_SIZE + 1},
		{offsetof(struct xfs_dsymlink_hdr, sl_bytes), UINT32_MAX},
		{offsetof(struct xfs_dsymlink_hdr, sl_bytes), TARGET_SIZE - 1}, /* and then the extents end */
		{offsetof(struct xfs_dsymlink_hdr, sl_uuid), 0},
		{offsetof(struct xfs_dsymlink_hdr, sl_owner), 9},
		{offsetof(struct xfs_dsymlink_hdr, sl_blkno), 9},
	};
	char target[XR_SYMLINK_MAX + 1];
	uint8_t block[4096] = {0}, broken[4096];
	struct xr_inode inode;
	uint32_t room;
	size_t size;

	(void)state;
	assert_int_equal(xr_inode_read(&fs.fs, link_long, &inode), 0);
	assert_int_equal(inode.format, XFS_DINODE_FMT_EXTENTS);
	const uint8_t *record = xr_inode_fork(&inode, XR_DATA_FORK, &room);
	uint64_t daddr = xr_fsb_daddr(&fs.sb, xr_be64(record + 8) >> 21);
	xr_put_be32(block, XFS_SYMLINK_MAGIC);
	xr_put_be32(block + offsetof(struct xfs_dsymlink_hdr, sl_bytes), TARGET_SIZE);
	memcpy(block + offsetof(struct xfs_dsymlink_hdr, sl_uuid), fs.sb.meta_uuid, 16);
	xr_put_be64(block + offsetof(struct xfs_dsymlink_hdr, sl_owner), link_long);
	xr_put_be64(block + offsetof(struct xfs_dsymlink_hdr, sl_blkno), daddr);
	memset(block + sizeof(struct xfs_dsymlink_hdr), 'x', TARGET_SIZE);
	test_fs_put(&fs, daddr << XR_BB_SHIFT, block, sizeof(block));
	test_fs_again(&fs);
	assert_int_equal(xr_symlink_read(&fs.fs, &inode, target, &size), 0);
	assert_int_equal(size, TARGET_SIZE);
	assert_int_equal(strspn(target, "x"), TARGET_SIZE);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(broken, block, sizeof(broken));
		xr_put_be32(broken + bad[i].at, bad[i].value);
		test_fs_put(&fs, daddr << XR_BB_SHIFT, broken, sizeof(broken));
		test_fs_again(&fs);
		assert_int_equal(xr_symlink_read(&fs.fs, &inode, target, &size), -EUCLEAN);
		assert_said(&fs.t, "symlink target");
	}
}

/* 3001 extents: some words, and a rest that ends inside one. No more are free than there are. */
static void test_rtbitmap(void **state)
{
	uint8_t block[4096];
	struct xr_inode inode;
	uint64_t count;
	uint32_t room;

	(void)state;
	fs.sb.rextents = 0;
	assert_int_equal(xr_rtbitmap_free(&fs.fs, &count), 0);
	assert_int_equal(count, 0);

	/* Without a realtime device mkfs makes no bitmap; the long symlink lends its block to the file. */
	assert_int_equal(xr_inode_read(&fs.fs, link_long, &inode), 0);
	const uint8_t *record = xr_inode_fork(&inode, XR_DATA_FORK, &room);
	uint64_t daddr = xr_fsb_daddr(&fs.sb, xr_be64(record + 8) >> 21);
	change(file);
	memcpy(raw + sizeof(struct xfs_dinode), record, 16);
	xr_put_be32(raw + DI(nextents), 1);
	xr_put_be64(raw + DI(nblocks), 1);
	assert_int_equal(read_changed(file, &inode), 0);
	fs.sb.rbmino = file;
	fs.sb.rextents = 3001;

	memset(block, 0xff, sizeof(block));
	assert_int_equal(xr_dev_write(&fs.dev, block, sizeof(block), daddr << XR_BB_SHIFT), 0);
	assert_int_equal(xr_rtbitmap_free(&fs.fs, &count), 0);
	assert_int_equal(count, 3001);
	test_fs_again(&fs);
	fs.sb.rbmino = file;
	fs.sb.rextents = 3001;
	memset(block, 0, 100);
	memset(block + 375, 0, sizeof(block) - 375); /* extent 3000 is taken, as are the first 800; none follows it */
	assert_int_equal(xr_dev_write(&fs.dev, block, sizeof(block), daddr << XR_BB_SHIFT), 0);
	assert_int_equal(xr_rtbitmap_free(&fs.fs, &count), 0);
	assert_int_equal(count, 3000 - 800);

	fs.sb.rextents = 4096 * 8 + 1; /* a second block, which is a hole */
	assert_int_equal(xr_rtbitmap_free(&fs.fs, &count), -EUCLEAN);
	assert_said(&fs.t, "block 1 is not mapped");
	restore(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),          cmocka_unit_test(test_counts),   cmocka_unit_test(test_device),
		cmocka_unit_test(test_refused),        cmocka_unit_test(test_forks),    cmocka_unit_test(test_symlink_inline),
		cmocka_unit_test(test_symlink_remote), cmocka_unit_test(test_rtbitmap),
	};

	if (!test_fs_possible())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown);
}
