/* SPDX-License-Identifier: GPL-2.0-only */
/* The tree of an image made by mkfs: order, both forms, damage that costs one entry, loops, and bytes flipped at random. */
#include "fsbuild.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include "bytes.h"
#include "dir.h"
#include "format.h"
#include "tree.h"

#define LARGE 300u
#define FLIPS 1500

static struct test_fs fs;

static int setup(void **state)
{
	char *proto = test_fs_proto(LARGE);

	(void)state;
	test_fs_make(&fs, "", proto);
	free(proto);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_fs_end(&fs);
	return 0;
}

/* The tree as text. Caller frees. */
static char *print(struct xr_tree_result *result)
{
	static char *text; /* static, or gcc -O3 takes the memory for a local variable */
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(xr_tree_print(&fs.fs, NULL, out, result), 0);
	fclose(out);
	return text;
}

/* The path's line without its newline, the fields cut apart; fields[7] is the rest. Text is changed. */
static void find_line(char *text, const char *path, char *fields[8])
{
	char *line = strstr(text, path), *save;

	assert_non_null(line);
	while (line > text && line[-1] != '\n')
		line--;
	line[strcspn(line, "\n")] = '\0';
	for (int i = 0; i < 7; i++)
		fields[i] = strtok_r(i ? NULL : line, " ", &save);
	fields[7] = strtok_r(NULL, "", &save);
	assert_non_null(fields[7]);
}

static void check_line(const char *path, const char *mode, const char *nlink, const char *owner, const char *size)
{
	struct xr_tree_result result;
	char *text = print(&result), *fields[8], both[64];

	find_line(text, path, fields);
	assert_string_equal(fields[0], mode);
	assert_string_equal(fields[1], nlink);
	snprintf(both, sizeof(both), "%s %s", fields[2], fields[3]);
	assert_string_equal(both, owner);
	assert_string_equal(fields[4], size);
	assert_memory_equal(fields[7], path + 1, strcspn(path + 1, "\n"));
	free(text);
}

static void test_lines(void **state)
{
	(void)state;
	check_line(" /\n", "drwxr-xr-x", "7", "0 0", "161");
	check_line(" /large", "drwxr-xr-x", "2", "0 0", "24576");
	check_line(" /setuid", "-rwsr-xr-x", "1", "12 34", "0");
	check_line(" /setgid", "-rw-r-Sr--", "1", "0 0", "0");
	check_line(" /disk", "brw-r-----", "1", "0 6", "259,70000");
	check_line(" /terminal", "crw--w--w-", "1", "0 5", "5,1");
	check_line(" /fifo", "prw-------", "1", "0 0", "0");
	check_line(" /short -> ../target", "lrwxrwxrwx", "1", "0 0", "9");
}

/* In the order of the paths' bytes, every one once, none missing. */
static int in_order(void *arg, const struct xr_tree_entry *entry)
{
	char *last = arg;

	assert_true(strcmp(last, entry->path) < 0);
	assert_int_equal(strlen(entry->path), entry->path_size);
	strcpy(last, entry->path);
	return 0;
}

static void test_order(void **state)
{
	struct xr_tree_result result;
	char last[512] = "", *text, *a, *b, *c;

	(void)state;
	assert_int_equal(xr_tree_walk(&fs.fs, in_order, last, &result), 0);
	assert_int_equal(result.entries, 1 + 5 + 3 + 40 + LARGE + 3 + 6);
	assert_int_equal(result.skipped, 0);
	assert_int_equal(fs.t.used, 0);
	text = print(&result);
	a = strstr(text, " /a\n");
	b = strstr(text, " /a-b/d\n");
	c = strstr(text, " /a/c\n");
	assert_true(a && b && c && a < b && b < c);
	free(text);
}

static int stop(void *arg, const struct xr_tree_entry *entry)
{
	(void)entry;
	return ++*(int *)arg == 7 ? 42 : 0;
}

static void test_stop(void **state)
{
	struct xr_tree_result result;
	int n = 0;

	(void)state;
	assert_int_equal(xr_tree_walk(&fs.fs, stop, &n, &result), 42);
	assert_int_equal(n, 7);
	assert_int_equal(result.entries, 7);
}

static const char *string(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static void test_json(void **state)
{
	struct xr_tree_result result;
	json_t *array, *object;
	size_t i, devices = 0, links = 0;

	(void)state;
	assert_int_equal(xr_tree_json(&fs.fs, NULL, &array, &result), 0);
	assert_int_equal(json_array_size(array), result.entries);
	json_array_foreach(array, i, object)
	{
		if (!strcmp(string(object, "path"), "/disk")) {
			assert_string_equal(string(object, "type"), "block");
			assert_string_equal(string(object, "mode"), "0640");
			assert_int_equal(json_integer_value(json_object_get(object, "major")), 259);
			assert_int_equal(json_integer_value(json_object_get(object, "minor")), 70000);
			assert_null(json_object_get(object, "size"));
			devices++;
		}
		if (!strcmp(string(object, "path"), "/short")) {
			assert_string_equal(string(object, "target"), "../target");
			links++;
		}
	}
	assert_int_equal(devices, 1);
	assert_int_equal(links, 1);
	json_decref(array);
}

/* What DMAPI left in an inode is shown where there is any. */
static void test_dmapi(void **state)
{
	uint64_t offset = xr_ino_offset(&fs.sb, test_fs_lookup(&fs, "/fifo"));
	struct xr_tree_result result;
	json_t *array, *object;
	uint8_t inode[2048];
	size_t i, seen = 0;

	(void)state;
	test_fs_get(&fs, offset, inode, fs.sb.inodesize);
	xr_put_be32(inode + offsetof(struct xfs_dinode, di_dmevmask), 0x1234);
	xr_put_be16(inode + offsetof(struct xfs_dinode, di_dmstate), 7);
	test_fs_put(&fs, offset, inode, fs.sb.inodesize);
	test_fs_again(&fs);
	assert_int_equal(xr_tree_json(&fs.fs, NULL, &array, &result), 0);
	json_array_foreach(array, i, object)
	{
		if (!json_object_get(object, "dmevmask"))
			continue;
		assert_string_equal(string(object, "path"), "/fifo");
		assert_int_equal(json_integer_value(json_object_get(object, "dmevmask")), 0x1234);
		assert_int_equal(json_integer_value(json_object_get(object, "dmstate")), 7);
		seen++;
	}
	assert_int_equal(seen, 1);
	json_decref(array);
}

/* A directory's inode is damaged: it and what is in it are missing, everything else is there. */
static void test_damaged_inode(void **state)
{
	uint64_t offset = xr_ino_offset(&fs.sb, test_fs_lookup(&fs, "/block"));
	struct xr_tree_result good, bad;
	uint8_t inode[2048], broken[2048];

	(void)state;
	free(print(&good));
	test_fs_get(&fs, offset, inode, fs.sb.inodesize);
	memcpy(broken, inode, sizeof(broken));
	broken[200] ^= 1;
	assert_int_equal(xr_dev_write(&fs.dev, broken, fs.sb.inodesize, offset), 0);
	test_fs_again(&fs);
	free(print(&bad));
	assert_int_equal(bad.skipped, 1);
	assert_int_equal(bad.entries, good.entries - 41);
	assert_said(&fs.t, "/block: its inode cannot be read");
	assert_said(&fs.t, "checksum");

	memcpy(broken, inode, sizeof(broken)); /* the entry is there, the inode was freed */
	xr_put_be16(broken + offsetof(struct xfs_dinode, di_mode), 0);
	test_fs_put(&fs, offset, broken, fs.sb.inodesize);
	test_fs_again(&fs);
	free(print(&bad));
	assert_int_equal(bad.skipped, 1);
	assert_said(&fs.t, "/block: its inode is free");
	test_fs_put(&fs, offset, inode, fs.sb.inodesize);
	test_fs_again(&fs);
}

/* An entry that leads back to the root: shown, not entered. */
static void test_cycle(void **state)
{
	uint64_t offset = xr_ino_offset(&fs.sb, test_fs_lookup(&fs, "/shortform"));
	struct xr_tree_result good, bad;
	uint8_t inode[2048], broken[2048], *sf = broken + sizeof(struct xfs_dinode);

	(void)state;
	free(print(&good));
	test_fs_get(&fs, offset, inode, fs.sb.inodesize);
	memcpy(broken, inode, sizeof(broken));
	/* The first entry: behind count, count of long numbers and parent, 3 bytes, the name "s0", the type. */
	assert_memory_equal(sf + 6 + 3, "s0", 2);
	xr_put_be32(sf + 6 + 3 + 2 + 1, (uint32_t)fs.sb.rootino);
	test_fs_put(&fs, offset, broken, fs.sb.inodesize);
	test_fs_again(&fs);
	free(print(&bad));
	assert_int_equal(bad.entries, good.entries);
	assert_int_equal(bad.skipped, 1);
	assert_said(&fs.t, "/shortform/s0: this directory has another name");
	test_fs_put(&fs, offset, inode, fs.sb.inodesize);
	test_fs_again(&fs);
}

static void test_no_root(void **state)
{
	uint64_t offset = xr_ino_offset(&fs.sb, fs.sb.rootino);
	struct xr_tree_result result;
	uint8_t inode[2048], broken[2048];
	json_t *array;

	(void)state;
	test_fs_get(&fs, offset, inode, fs.sb.inodesize);
	memset(broken, 0, sizeof(broken));
	test_fs_put(&fs, offset, broken, fs.sb.inodesize);
	test_fs_again(&fs);
	assert_int_equal(xr_tree_json(&fs.fs, NULL, &array, &result), -EUCLEAN);
	assert_null(array);
	test_fs_put(&fs, offset, inode, fs.sb.inodesize);
	test_fs_again(&fs);
}

static void test_output_full(void **state)
{
	struct xr_tree_result result;
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(full);
	assert_int_equal(xr_tree_print(&fs.fs, NULL, full, &result), -EIO);
	assert_said(&fs.t, "cannot be written");
	fclose(full);
	test_fs_again(&fs);
}

/* The image's blocks that hold something, except the log and the AG headers. */
static size_t used_blocks(uint64_t *blocks, size_t room)
{
	uint64_t log = fs.sb.log_daddr << XR_BB_SHIFT, log_end = log + (fs.sb.log_bbs << XR_BB_SHIFT);
	static const uint8_t zero[4096];
	uint8_t block[4096];
	size_t n = 0;

	for (off_t at = 0; (at = lseek(fs.dev.fd, at, SEEK_DATA)) >= 0; at += 4096) {
		uint64_t start = (uint64_t)at & ~4095ull;

		test_fs_get(&fs, start, block, sizeof(block));
		if (memcmp(block, zero, sizeof(zero)) && (start < log || start >= log_end) && start && n < room)
			blocks[n++] = start;
	}
	return n;
}

/* Flip bits anywhere in a block; every other time put the checksums right again, so that the damage gets past them. */
static void mutate(uint8_t *block, unsigned *seed)
{
	unsigned flips = 1 + (unsigned)rand_r(seed) % 4;

	for (unsigned i = 0; i < flips; i++) {
		/* More often where headers, entries and forks are than behind. */
		unsigned inode = (unsigned)rand_r(seed) % 8 * 512, at = (unsigned)rand_r(seed) % (rand_r(seed) % 2 ? 200 : 512);

		block[inode + at] = (uint8_t)(rand_r(seed) % 3 ? block[inode + at] ^ 1 << rand_r(seed) % 8 : rand_r(seed));
	}
}

static void put_with_checksums(uint64_t start, uint8_t *block)
{
	if (xr_be16(block) != XFS_DINODE_MAGIC) {
		test_fs_put(&fs, start, block, 4096);
		return;
	}
	for (uint32_t at = 0; at < 4096; at += fs.sb.inodesize)
		test_fs_put(&fs, start + at, block + at, fs.sb.inodesize);
}

static int count(void *arg, const struct xr_tree_entry *entry)
{
	(void)entry;
	++*(uint64_t *)arg;
	return 0;
}

/* Whatever the bytes are: no crash, no loop, and every sentence is one line. The sanitizers of their builds watch too. */
static void test_flips(void **state)
{
	static uint64_t blocks[4096];
	size_t n = used_blocks(blocks, 4096);
	uint8_t good[4096], bad[4096];
	struct xr_tree_result result;
	uint64_t damaged = 0, visits;
	time_t begin = time(NULL);

	(void)state;
	assert_true(n > 20);
	for (unsigned i = 0; i < FLIPS; i++) {
		unsigned seed = 1000 + i;
		uint64_t start = blocks[(unsigned)rand_r(&seed) % n];

		test_fs_get(&fs, start, good, sizeof(good));
		memcpy(bad, good, sizeof(bad));
		mutate(bad, &seed);
		if (i % 4)
			put_with_checksums(start, bad);
		else
			assert_int_equal(xr_dev_write(&fs.dev, bad, sizeof(bad), start), 0);
		test_fs_again(&fs);
		visits = 0;
		int error = xr_tree_walk(&fs.fs, count, &visits, &result);
		if (error)
			assert_int_equal(error, -EUCLEAN);
		assert_int_equal(visits, result.entries);
		assert_true(visits <= fs.sb.dblocks * 512);
		damaged += result.skipped || error;
		assert_int_equal(xr_dev_write(&fs.dev, good, sizeof(good), start), 0);
	}
	test_fs_again(&fs);
	assert_true(damaged > FLIPS / 20); /* the flips did hit something */
	assert_true(time(NULL) - begin < 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_order),   cmocka_unit_test(test_stop),
		cmocka_unit_test(test_json),  cmocka_unit_test(test_dmapi),   cmocka_unit_test(test_damaged_inode),
		cmocka_unit_test(test_cycle), cmocka_unit_test(test_no_root), cmocka_unit_test(test_output_full),
		cmocka_unit_test(test_flips),
	};

	if (!test_fs_possible())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown);
}
