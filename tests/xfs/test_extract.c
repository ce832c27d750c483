/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extraction from hostile images, and paths: names and links that would lead out of the target reach nothing, damage is counted and the rest is
 * there. That ordinary files come out right is compared with the kernel in images/run-look.sh.
 */
#include "fsbuild.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "bytes.h"
#include "extract.h"
#include "file.h"
#include "format.h"
#include "path.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)

static struct test_fs fs;
static char top[32], to[64], outside[64];
static struct xr_extract_result result;

static int setup(void **state)
{
	(void)state;
	test_fs_make(&fs, "",
		     "d--755 0 0\n"
		     "evil d--755 0 0\naaaa ---644 0 0 /dev/null\nbb l--777 0 0 ../../outside\ncc d--755 0 0\nin ---644 0 0 "
		     "/etc/passwd\n$\n$\n"
		     "plain d--755 0 0\nfile ---600 0 0 /etc/passwd\n$\n"
		     "b\\slash d--700 0 0\ninside ---644 0 0 /dev/null\n$\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_fs_end(&fs);
	return 0;
}

static int make_top(void **state)
{
	(void)state;
	strcpy(top, "/tmp/test_extract.XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(to, sizeof(to), "%s/to", top);
	snprintf(outside, sizeof(outside), "%s/outside", top);
	return mkdir(outside, 0755);
}

static int remove_top(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command);
}

static int extract(const char *path)
{
	struct xr_inode inode;
	char *found;
	int error = xr_path_lookup(&fs.fs, path, &inode, &found);

	if (error)
		return error;
	error = xr_extract(&fs.fs, NULL, &inode, found, to, &result);
	free(found);
	return error;
}

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static unsigned count(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* Only the target was made, and nothing in the directory that the links lead to. */
static void nothing_outside(void)
{
	assert_int_equal(count(top), 2);
	assert_int_equal(count(outside), 0);
}

static void get_inode(const char *path, uint8_t raw[512])
{
	test_fs_get(&fs, xr_ino_offset(&fs.sb, test_fs_lookup(&fs, path)), raw, 512);
}

static void put_inode(const char *path, uint8_t raw[512])
{
	test_fs_put(&fs, xr_ino_offset(&fs.sb, test_fs_lookup(&fs, path)), raw, 512);
	test_fs_again(&fs);
}

/* In the shortform directory /evil, change what name is. */
static void rename_in(uint8_t raw[512], const char *name, const char *new)
{
	uint8_t *at = memmem(raw + 176, 512 - 176, name, strlen(name));

	assert_non_null(at);
	assert_int_equal(strlen(name), strlen(new));
	memcpy(at, new, strlen(new));
}

static void test_plain(void **state)
{
	struct stat st;
	char path[128];

	(void)state;
	assert_int_equal(extract("/plain"), 0);
	assert_int_equal(result.files, 1);
	assert_int_equal(result.directories, 1);
	assert_int_equal(result.lost, 0);
	snprintf(path, sizeof(path), "cmp %s/file /etc/passwd", to);
	assert_int_equal(system(path), 0);
	snprintf(path, sizeof(path), "%s/file", to);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(extract("/plain"), -ENOTEMPTY);
	snprintf(to, sizeof(to), "%s/no/such", top);
	assert_int_equal(extract("/plain"), -ENOENT);
	snprintf(to, sizeof(to), "/proc/version");
	assert_int_equal(extract("/plain"), -ENOTDIR);
}

/* A link, and then a directory of the same name, in which is what was to be written through the link. */
static void test_through_a_link(void **state)
{
	uint8_t raw[512], keep[512];

	(void)state;
	get_inode("/evil", raw);
	memcpy(keep, raw, sizeof(raw));
	rename_in(raw, "cc", "bb");
	uint64_t offset = xr_ino_offset(&fs.sb, test_fs_lookup(&fs, "/evil"));
	test_fs_put(&fs, offset, raw, sizeof(raw));
	test_fs_again(&fs);
	assert_int_equal(extract("/evil"), 0);
	assert_true(result.lost > 0);
	assert_true(exists("to/aaaa"));
	nothing_outside();
	test_fs_put(&fs, offset, keep, sizeof(keep));
	test_fs_again(&fs);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"a/bc", "/abc", "abc/", "../a", "a\0bc"};
	uint64_t offset = xr_ino_offset(&fs.sb, test_fs_lookup(&fs, "/evil"));
	uint8_t raw[512], keep[512];

	(void)state;
	get_inode("/evil", keep);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(raw, keep, sizeof(raw));
		memcpy(memmem(raw + 176, 512 - 176, "aaaa", 4), bad[i], 4);
		test_fs_put(&fs, offset, raw, sizeof(raw));
		test_fs_again(&fs);
		assert_int_equal(extract("/evil"), 0);
		assert_true(result.lost > 0);
		nothing_outside();
		remove_top(NULL);
		make_top(NULL);
	}
	for (size_t i = 0; i < 2; i++) {
		memcpy(raw, keep, sizeof(raw));
		rename_in(raw, "bb", "..");
		if (i) /* one byte of it is the type then, and the entry no longer the size that it was */
			rename_in(raw, "cc", "..");
		test_fs_put(&fs, offset, raw, sizeof(raw));
		test_fs_again(&fs);
		assert_int_equal(extract("/evil"), 0);
		assert_true(result.lost > 0);
		nothing_outside();
		remove_top(NULL);
		make_top(NULL);
	}
	test_fs_put(&fs, offset, keep, sizeof(keep));
	test_fs_again(&fs);
}

/* Files whose content or links are damaged are there, and counted. */
static void test_damaged(void **state)
{
	uint8_t raw[512], keep[512];
	char path[128];
	struct stat st;

	(void)state;
	get_inode("/plain/file", keep);
	memcpy(raw, keep, sizeof(raw));
	memset(raw + 176, 0xff, 16); /* its extent */
	put_inode("/plain/file", raw);
	assert_int_equal(extract("/plain"), 0);
	assert_int_equal(result.files, 1);
	assert_int_equal(result.lost, 1);
	snprintf(path, sizeof(path), "%s/file", to);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, xr_be64(keep + DI(size)));
	assert_int_equal(st.st_blocks, 0);
	put_inode("/plain/file", keep);

	get_inode("/evil/bb", keep);
	memcpy(raw, keep, sizeof(raw));
	xr_put_be64(raw + DI(size), 5000);
	put_inode("/evil/bb", raw);
	remove_top(NULL);
	make_top(NULL);
	assert_int_equal(extract("/evil"), 0);
	assert_true(result.lost > 0);
	assert_false(exists("to/bb"));
	assert_true(exists("to/cc/in"));
	put_inode("/evil/bb", keep);
}

static void test_paths(void **state)
{
	struct xr_inode inode;
	char *path;

	(void)state;
	assert_int_equal(xr_path_lookup(&fs.fs, "", &inode, &path), 0);
	assert_string_equal(path, "/");
	free(path);
	assert_int_equal(xr_path_lookup(&fs.fs, "//./plain//file/.", &inode, &path), 0);
	assert_string_equal(path, "/plain/file");
	free(path);
	assert_int_equal(xr_path_lookup(&fs.fs, "b\\\\slash/insid\\x65", &inode, &path), 0);
	assert_string_equal(path, "/b\\slash/inside");
	free(path);
	assert_int_equal(xr_path_lookup(&fs.fs, "/b\\slash", &inode, &path), -EINVAL);
	assert_int_equal(xr_path_lookup(&fs.fs, "/b\\x4", &inode, &path), -EINVAL);
	assert_int_equal(xr_path_lookup(&fs.fs, "/plain/../plain", &inode, &path), -EINVAL);
	assert_int_equal(xr_path_lookup(&fs.fs, "/plain/file/x", &inode, &path), -ENOTDIR);
	assert_int_equal(xr_path_lookup(&fs.fs, "/evil/bb/x", &inode, &path), -ELOOP);
	assert_int_equal(xr_path_lookup(&fs.fs, "/plain/fil", &inode, &path), -ENOENT);
	assert_said(&fs.t, "/plain/fil: there is no such name");
}

/* Contents across written, unwritten and missing blocks: what file.c says of them. */
static void test_stretches(void **state)
{
	struct xr_mapping map[] = {{.offset = 2, .block = 0, .count = 3},
				   {.offset = 5, .block = 0, .count = 1},
				   {.offset = 6, .block = 0, .count = 2, .unwritten = true},
				   {.offset = 9, .block = 0, .count = 4}};
	struct xr_file file = {.fs = &fs.fs, .size = 10 * 4096 + 7, .map = {.map = map, .n = 4}};
	uint64_t from, to_end;

	(void)state;
	assert_true(xr_file_data(&file, 0, &from, &to_end));
	assert_int_equal(from, 2 * 4096);
	assert_int_equal(to_end, 6 * 4096); /* neighbours in the file are one stretch */
	assert_true(xr_file_data(&file, 3 * 4096 + 1, &from, &to_end));
	assert_int_equal(from, 3 * 4096 + 1);
	assert_true(xr_file_data(&file, 6 * 4096, &from, &to_end));
	assert_int_equal(from, 9 * 4096);
	assert_int_equal(to_end, file.size);
	file.size = 9 * 4096;
	assert_false(xr_file_data(&file, 6 * 4096, &from, &to_end));
}

/* A realtime file is read from the realtime device, and refused where there is none. */
static void test_realtime(void **state)
{
	uint8_t raw[512], keep[512], in[8192], out[8192];
	struct xr_inode inode;
	struct xr_file file;
	struct xr_dev rt;

	(void)state;
	test_dev_init(&rt, 64 * 4096, &fs.t);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_int_equal(xr_dev_write(&rt, out, sizeof(out), 60 * 4096), 0);
	get_inode("/plain/file", keep);
	memcpy(raw, keep, sizeof(raw));
	xr_put_be16(raw + DI(flags), XFS_DIFLAG_REALTIME);
	xr_put_be64(raw + DI(size), 3 * 4096 + 5);
	xr_put_be64(raw + DI(nblocks), 2);
	xr_put_be64(raw + 176, 1 << 9); /* file block 1: blocks 60 and 61 */
	xr_put_be64(raw + 176 + 8, 60ull << 21 | 2);
	put_inode("/plain/file", raw);
	fs.sb.rblocks = 64;
	assert_int_equal(xr_inode_read(&fs.fs, test_fs_lookup(&fs, "/plain/file"), &inode), 0);
	assert_int_equal(xr_file_open(&file, &fs.fs, &rt, &inode), 0);
	assert_int_equal(xr_file_read(&file, in, sizeof(in), 4096 + 100), 0);
	assert_memory_equal(in, out + 100, sizeof(in) - 100);
	assert_int_equal(in[sizeof(in) - 1], 0); /* a hole */
	xr_file_close(&file);
	assert_int_equal(xr_file_open(&file, &fs.fs, NULL, &inode), -EOPNOTSUPP);
	xr_file_close(&file);
	fs.sb.rblocks = 61; /* the extent reaches beyond the device */
	assert_int_equal(xr_file_open(&file, &fs.fs, &rt, &inode), -EUCLEAN);
	assert_false(xr_file_data(&file, 0, &(uint64_t){0}, &(uint64_t){0}));
	xr_file_close(&file);
	xr_dev_close(&rt);
	put_inode("/plain/file", keep);
}

/* Whatever is changed in the inodes of a directory, nothing outside of the target is touched, and it ends. */
static void test_mutations(void **state)
{
	static const char *const paths[] = {"/evil", "/evil/aaaa", "/evil/bb", "/evil/cc", "/evil/cc/in"};
	uint64_t offsets[5];
	uint8_t keep[5][512], raw[512];

	(void)state;
	srand(7);
	for (size_t i = 0; i < 5; i++) {
		get_inode(paths[i], keep[i]);
		offsets[i] = xr_ino_offset(&fs.sb, test_fs_lookup(&fs, paths[i]));
	}
	for (unsigned round = 0; round < 150; round++) {
		size_t i = round % 5;
		struct xr_inode inode;

		memcpy(raw, keep[i], sizeof(raw));
		for (unsigned n = 1 + round % 3; n; n--)
			raw[rand() % 2 ? 176 + rand() % 64 : 2 + rand() % 90] = (uint8_t)rand();
		/* A size of exabytes is no damage: it only takes a filesystem that can have it. */
		if (xr_be64(raw + DI(size)) >> 32)
			memcpy(raw + DI(size), keep[i] + DI(size), 8);
		test_fs_put(&fs, offsets[i], raw, sizeof(raw));
		test_fs_again(&fs);
		if (!xr_inode_read(&fs.fs, fs.sb.rootino, &inode))
			xr_extract(&fs.fs, NULL, &inode, "/", to, &result);
		nothing_outside();
		remove_top(NULL);
		make_top(NULL);
		test_fs_put(&fs, offsets[i], keep[i], sizeof(raw));
		test_fs_again(&fs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, make_top, remove_top),
		cmocka_unit_test_setup_teardown(test_through_a_link, make_top, remove_top),
		cmocka_unit_test_setup_teardown(test_names, make_top, remove_top),
		cmocka_unit_test_setup_teardown(test_damaged, make_top, remove_top),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_stretches),
		cmocka_unit_test(test_realtime),
		cmocka_unit_test_setup_teardown(test_mutations, make_top, remove_top),
	};

	if (!test_fs_possible())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown);
}
