/* SPDX-License-Identifier: GPL-2.0-only */
#include "fsbuild.h"

#include <fcntl.h>
#include "bytes.h"
#include "format.h"
#include "tree.h"

bool test_fs_possible(void)
{
	if (system("PATH=$PATH:/usr/sbin:/sbin command -v mkfs.xfs >/dev/null") == 0)
		return true;
	fprintf(stderr, "skipped: needs mkfs.xfs\n");
	return false;
}

static void write_proto(const char *name, const char *proto)
{
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	fprintf(file, "/dev/null\n0 0\n%s$\n", proto);
	assert_int_equal(fclose(file), 0);
}

/* Always the same: a byte that a test writes over it as a wrong one must not happen to be the right one. */
#define TEST_FS_UUID "76616d70-f00d-4eed-8bad-c0ffee1dea5e"

void test_fs_make(struct test_fs *fs, const char *options, const char *proto)
{
	char directory[] = "/tmp/test_fs.XXXXXX", image[64], proto_name[64], command[512];

	memset(fs, 0, sizeof(*fs));
	test_msg_init(&fs->t);
	assert_non_null(mkdtemp(directory));
	snprintf(image, sizeof(image), "%s/image", directory);
	snprintf(proto_name, sizeof(proto_name), "%s/proto", directory);
	write_proto(proto_name, proto);
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin:/sbin; truncate -s 320M %s && mkfs.xfs -q -m uuid=%s %s -p %s %s > %s/said 2>&1 || { cat "
		 "%s/said >&2; false; }",
		 image, TEST_FS_UUID, options, proto_name, image, directory, directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(xr_dev_open(&fs->dev, image, true, &fs->t.msg), 0);
	fs->dev.name = "test"; /* the file has none any more, nor does this function's array live on */
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(vmap_process_create(NULL, &fs->process), 0);
	test_fs_again(fs);
}

void test_fs_again(struct test_fs *fs)
{
	xr_cache_destroy(fs->cache);
	test_msg_init(&fs->t);
	assert_int_equal(xr_sb_read(&fs->sb, &fs->dev, &fs->t.msg), 0);
	assert_int_equal(xr_cache_create(&fs->cache, &fs->dev, fs->process, false, &fs->t.msg), 0);
	fs->fs = (struct xr_fs){.sb = &fs->sb, .cache = fs->cache, .msg = &fs->t.msg};
}

void test_fs_end(struct test_fs *fs)
{
	xr_cache_destroy(fs->cache);
	assert_int_equal(vmap_process_destroy(fs->process), 0); /* nothing is held any more */
	xr_dev_close(&fs->dev);
}

static void names(FILE *out, const char *directory, const char *stem, unsigned n)
{
	fprintf(out, "%s d--755 0 0\n", directory);
	for (unsigned i = 0; i < n; i++)
		fprintf(out, "%s%u ---644 0 0 /dev/null\n", stem, i);
	fprintf(out, "$\n");
}

char *test_fs_proto(unsigned n)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	fprintf(out, "d--755 0 0\n");
	names(out, "shortform", "s", 3);
	names(out, "block", "in-one-block-", 40);
	names(out, "large", "a-name-that-is-neither-short-nor-very-long-but-takes-room-", n);
	fprintf(out,
		"a d--755 0 0\nc ---644 0 0 /dev/null\n$\na-b d--755 0 0\nd ---644 0 0 /dev/null\n$\na.b ---644 0 0 /dev/null\n");
	fprintf(out, "setuid -u-755 12 34 /dev/null\nsetgid --g644 0 0 /dev/null\n");
	fprintf(out, "disk b--640 0 6 259 70000\nterminal c--622 0 5 5 1\nfifo p--600 0 0\n");
	fprintf(out, "short l--777 0 0 ../target\n");
	assert_int_equal(fclose(out), 0);
	return text;
}

struct lookup {
	const char *path;
	uint64_t ino;
};

static int compare(void *arg, const struct xr_tree_entry *entry)
{
	struct lookup *lookup = arg;

	if (strcmp(entry->path, lookup->path) != 0)
		return 0;
	lookup->ino = entry->inode->ino;
	return 1;
}

uint64_t test_fs_lookup(struct test_fs *fs, const char *path)
{
	struct lookup lookup = {.path = path};
	struct xr_tree_result result;

	assert_int_equal(xr_tree_walk(&fs->fs, compare, &lookup, &result), 1);
	return lookup.ino;
}

void test_fs_get(struct test_fs *fs, uint64_t offset, void *data, size_t size)
{
	assert_int_equal(xr_dev_read(&fs->dev, data, size, offset), 0);
}

/* Where the checksum of these bytes is; 0 when they have none that we know. */
static size_t crc_offset(const uint8_t *p)
{
	if (xr_be16(p) == XFS_DINODE_MAGIC)
		return offsetof(struct xfs_dinode, di_crc);
	/* Attribute leaves and nodes have two pointers before theirs. */
	if (xr_be16(p + 8) == XFS_ATTR3_LEAF_MAGIC || xr_be16(p + 8) == XFS_DA3_NODE_MAGIC)
		return offsetof(struct xfs_da3_blkinfo, crc);
	switch (xr_be32(p)) {
	case XFS_ATTR3_RMT_MAGIC:
		return XFS_ATTR3_RMT_CRC_OFF;
	case XFS_DIR3_DATA_MAGIC:
	case XFS_DIR3_BLOCK_MAGIC:
		return offsetof(struct xfs_dir3_blk_hdr, crc);
	case XFS_BMAP_CRC_MAGIC:
		return XFS_BTREE_LBLOCK_CRC_OFF;
	case XFS_SYMLINK_MAGIC:
		return offsetof(struct xfs_dsymlink_hdr, sl_crc);
	default:
		return 0;
	}
}

void test_fs_put(struct test_fs *fs, uint64_t offset, void *data, size_t size)
{
	size_t at = crc_offset(data);

	if (at)
		xr_crc_update(data, size, at);
	assert_int_equal(xr_dev_write(&fs->dev, data, size, offset), 0);
}
