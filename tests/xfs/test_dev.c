/* SPDX-License-Identifier: GPL-2.0-only */
/* Images as devices: what is written is read back, and a range beyond the end is an error that names its address. */
#include "support.h"

#include <errno.h>
#include <sys/stat.h>

static char path[] = "/tmp/test_dev.XXXXXX";

static int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0 || ftruncate(fd, 8192))
		return -1;
	return close(fd);
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static void test_transfer(void **state)
{
	char out[600], in[600];
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	test_msg_init(&t);
	memset(out, 'x', sizeof(out));
	assert_int_equal(xr_dev_open(&dev, path, true, &t.msg), 0);
	assert_int_equal(dev.size, 8192);
	assert_int_equal(xr_dev_write(&dev, out, sizeof(out), 8192 - sizeof(out)), 0);
	assert_int_equal(xr_dev_flush(&dev), 0);
	assert_int_equal(xr_dev_read(&dev, in, sizeof(in), 8192 - sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(t.used, 0);

	assert_int_equal(xr_dev_write(&dev, out, sizeof(out), 8192 - 512), -EIO);
	assert_said(&t, "byte 7680");
	assert_int_equal(xr_dev_read(&dev, in, sizeof(in), UINT64_MAX - 10), -EIO);
	xr_dev_close(&dev);
	xr_dev_close(&dev); /* harmless */
}

/* A file that shrinks after it was opened: the first byte that is gone is named. */
static void test_shrunk(void **state)
{
	char in[4096];
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	test_msg_init(&t);
	test_dev_init(&dev, 8192, &t);
	assert_int_equal(ftruncate(dev.fd, 5000), 0);
	assert_int_equal(xr_dev_read(&dev, in, sizeof(in), 4096), -EIO);
	assert_said(&t, "byte 5000");
	xr_dev_close(&dev);
}

/* A window: addresses count from its beginning, and nothing beyond its end is reached. */
static void test_window(void **state)
{
	char out[512], in[512];
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	test_msg_init(&t);
	test_dev_init(&dev, 8192, &t);
	memset(out, 'w', sizeof(out));
	assert_int_equal(xr_dev_window(&dev, 1000, 0), -EINVAL);
	assert_int_equal(xr_dev_window(&dev, 8192, 0), -EINVAL);
	assert_int_equal(xr_dev_window(&dev, 4096, 8192), -EINVAL);
	assert_int_equal(xr_dev_window(&dev, 512, UINT64_MAX - 511), -EINVAL);
	assert_int_equal(dev.size, 8192);
	assert_int_equal(xr_dev_window(&dev, 1024, 0), 0);
	assert_int_equal(xr_dev_window(&dev, 0, 2048), 0);
	assert_int_equal(xr_dev_write(&dev, out, sizeof(out), 1536), 0);
	assert_int_equal(xr_dev_write(&dev, out, sizeof(out), 1537), -EIO);
	assert_int_equal(pread(dev.fd, in, sizeof(in), 2560), sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	xr_dev_close(&dev);
}

static void test_read_only(void **state)
{
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	test_msg_init(&t);
	assert_int_equal(xr_dev_open(&dev, path, false, &t.msg), 0);
	assert_int_equal(xr_dev_write(&dev, "x", 1, 0), -EIO);
	assert_said(&t, "Bad file descriptor");
	xr_dev_close(&dev);
}

static void test_refused(void **state)
{
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	test_msg_init(&t);
	assert_int_equal(xr_dev_open(&dev, "/nonexistent/image", false, &t.msg), -ENOENT);
	assert_said(&t, "/nonexistent/image");
	assert_int_equal(xr_dev_open(&dev, "/tmp", false, &t.msg), -EINVAL);
	assert_int_equal(xr_dev_open(&dev, "/dev/null", true, &t.msg), -EINVAL);
	xr_dev_close(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfer),  cmocka_unit_test(test_shrunk),  cmocka_unit_test(test_window),
		cmocka_unit_test(test_read_only), cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
