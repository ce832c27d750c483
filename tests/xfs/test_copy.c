/* SPDX-License-Identifier: GPL-2.0-only */
/* --output's copies: the same bytes and no more blocks by every method, whole or not there at all. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "copy.h"

#define SIZE ((5u << 20) + 1234)

static char directory[32], image[64], out[64];
static struct test_msg t;
static struct xr_dev dev;

static void fill(int fd, size_t at, size_t size, int value)
{
	char *data = malloc(size);

	memset(data, value, size);
	assert_int_equal(pwrite(fd, data, size, (off_t)at), size);
	free(data);
}

/* Data, holes, written zeros, data that ends inside a block, data at the very end. */
static int setup(void **state)
{
	int fd;

	(void)state;
	strcpy(directory, "/tmp/test_copy.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(image, sizeof(image), "%s/image", directory);
	snprintf(out, sizeof(out), "%s/out", directory);
	fd = open(image, O_RDWR | O_CREAT | O_EXCL, 0640);
	if (fd < 0 || fchmod(fd, 0640) || ftruncate(fd, SIZE))
		return -1;
	fill(fd, 0, 4096, 'a');
	fill(fd, 8192, 16384, 0);
	fill(fd, 20000, 100, 'b');
	fill(fd, 2u << 20, 1u << 20, 'c');
	fill(fd, (4u << 20) + 777, 5000, 'd');
	fill(fd, SIZE - 10, 10, 'e');
	close(fd);
	test_msg_init(&t);
	return xr_dev_open(&dev, image, false, &t.msg);
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	xr_dev_close(&dev);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

/* How many names there are beside the image. */
static int others(void)
{
	DIR *dir = opendir(directory);
	int n = 0;

	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		n += entry->d_name[0] != '.' && strcmp(entry->d_name, "image") != 0;
	closedir(dir);
	return n;
}

static int begin(struct xr_copy *copy, enum xr_copy_method first)
{
	test_msg_init(&t);
	return xr_copy_begin(copy, &dev, out, first, NULL, &t.msg);
}

static void same_bytes(const char *name)
{
	char command[192];

	snprintf(command, sizeof(command), "cmp %s %s", image, name);
	assert_int_equal(system(command), 0);
}

static void one_method(enum xr_copy_method first)
{
	struct stat from, to;
	struct xr_copy copy;

	assert_int_equal(begin(&copy, first), 0);
	assert_true(copy.method >= first);
	assert_int_equal(access(out, F_OK), -1);
	same_bytes(copy.temp);
	assert_int_equal(stat(copy.temp, &to), 0);
	assert_int_equal(to.st_mode & 0777, 0600);
	assert_int_equal(xr_copy_commit(&copy), 0);
	xr_copy_abort(&copy); /* harmless */

	same_bytes(out);
	assert_int_equal(others(), 1);
	assert_int_equal(stat(image, &from), 0);
	assert_int_equal(stat(out, &to), 0);
	assert_int_equal(to.st_mode & 0777, 0640);
	assert_in_range(to.st_blocks, 0, from.st_blocks + 8);
	assert_int_equal(t.used, 0);
	assert_int_equal(unlink(out), 0);
}

static void test_methods(void **state)
{
	(void)state;
	one_method(XR_COPY_CLONE);
	one_method(XR_COPY_RANGE);
	one_method(XR_COPY_READ);
}

/* What was read and was zero is not written: the copy is smaller than an image that has zeros on the disk. */
static void test_zeros(void **state)
{
	struct xr_copy copy;

	(void)state;
	assert_int_equal(begin(&copy, XR_COPY_READ), 0);
	assert_in_range(copy.bytes, (1u << 20) + 4096, (1u << 20) + 8 * 4096);
	assert_string_equal(xr_copy_method_name(copy.method), "read and write");
	xr_copy_abort(&copy);
	assert_int_equal(others(), 0);
}

static void test_exists(void **state)
{
	struct xr_copy copy;

	(void)state;
	assert_int_equal(symlink("nowhere", out), 0);
	assert_int_equal(begin(&copy, XR_COPY_READ), -EEXIST);
	assert_said(&t, "exists already");
	xr_copy_abort(&copy);
	assert_int_equal(others(), 1);
	assert_int_equal(unlink(out), 0);

	assert_int_equal(begin(&copy, XR_COPY_READ), 0);
	assert_int_equal(symlink("nowhere", out), 0); /* meanwhile */
	assert_int_equal(xr_copy_commit(&copy), -EEXIST);
	assert_said(&t, "given up");
	assert_int_equal(others(), 1);
	assert_int_equal(unlink(out), 0);
}

static void test_failures(void **state)
{
	struct rlimit limit, old;
	struct xr_copy copy;

	(void)state;
	test_msg_init(&t);
	assert_int_equal(xr_copy_begin(&copy, &dev, "/nowhere/at/all", XR_COPY_READ, NULL, &t.msg), -ENOENT);
	assert_said(&t, "/nowhere/at/all");

	/* The image cannot be read. */
	int fd = dev.fd;
	dev.fd = open(image, O_WRONLY);
	assert_true(dev.fd >= 0);
	assert_true(begin(&copy, XR_COPY_CLONE) < 0);
	assert_said(&t, "Bad file descriptor");
	assert_int_equal(others(), 0);
	close(dev.fd);
	dev.fd = fd;

	/* It shrinks. */
	for (int method = XR_COPY_CLONE; method <= XR_COPY_READ; method++) {
		dev.size = SIZE + 4096;
		assert_int_equal(begin(&copy, (enum xr_copy_method)method), -EIO);
		assert_said(&t, "became shorter");
		assert_int_equal(others(), 0);
		dev.size = SIZE;
	}

	/* The disk is full, as far as we are concerned. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(begin(&copy, XR_COPY_RANGE), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_said(&t, "File too large");
	assert_int_equal(others(), 0);
}

static int run(const char *command)
{
	char text[512];

	snprintf(text, sizeof(text), "cd %s && { %s; } >/dev/null 2>&1", directory, command);
	return system(text);
}

/* From a block device: its size and holes are not those of a file. Needs root and a loop device. */
static void test_block_device(void **state)
{
	struct xr_copy copy;
	char loop[32] = "";
	FILE *file;

	(void)state;
	if (geteuid() != 0 || run("losetup -r -f --show image > loop"))
		skip();
	char name[64];
	snprintf(name, sizeof(name), "%s/loop", directory);
	file = fopen(name, "r");
	assert_non_null(file);
	assert_non_null(fgets(loop, sizeof(loop), file));
	fclose(file);
	loop[strcspn(loop, "\n")] = '\0';
	xr_dev_close(&dev);
	assert_int_equal(xr_dev_open(&dev, loop, false, &t.msg), 0);
	int error = begin(&copy, XR_COPY_CLONE);
	xr_dev_close(&dev);
	assert_int_equal(run("losetup -d $(cat loop)"), 0);
	assert_int_equal(error, 0);
	assert_int_equal(copy.method, XR_COPY_READ);
	assert_int_equal(xr_copy_commit(&copy), 0);
	/* A loop device ends with the last whole sector. */
	assert_int_equal(run("cmp -n $(stat -c %s out) image out && test $(stat -c %a out) = 600"), 0);
}

/* Where blocks can be shared they are. Needs root, a loop device and XFS. */
static void test_reflink(void **state)
{
	struct xr_copy copy;
	char inside[64];

	(void)state;
	if (geteuid() != 0 || run("truncate -s 320M fs && mkfs.xfs -q fs && mkdir m && mount -o loop fs m"))
		skip();
	int failed = run("cp --sparse=always image m/image");
	snprintf(inside, sizeof(inside), "%s/m/image", directory);
	xr_dev_close(&dev);
	int error = xr_dev_open(&dev, inside, false, &t.msg);
	snprintf(out, sizeof(out), "%s/m/out", directory);
	if (!error)
		error = begin(&copy, XR_COPY_CLONE);
	if (!error)
		error = xr_copy_commit(&copy);
	int differ = run("cmp m/image m/out");
	xr_dev_close(&dev);
	assert_int_equal(run("umount m"), 0);
	assert_int_equal(failed, 0);
	assert_int_equal(error, 0);
	assert_int_equal(differ, 0);
	assert_int_equal(copy.method, XR_COPY_CLONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zeros, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_block_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reflink, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
