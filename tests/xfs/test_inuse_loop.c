/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who uses an image, with the kernel's own tables: a loop device, then a mount. Needs root, loop devices, mkfs.xfs; else
 * skipped (77).
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include "dev.h"
#include "inuse.h"

static char directory[] = "/tmp/test_inuse_loop.XXXXXX";
static char image[64], mount_point[64], loop[32];
static struct test_msg t;

static int run(const char *format, const char *a, const char *b)
{
	char command[512];

	snprintf(command, sizeof(command), format, a, b);
	return system(command);
}

static int check(const char *name, bool writing)
{
	test_msg_init(&t);
	return xr_inuse_check(name, "image", writing, NULL, &t.msg);
}

static bool attach(const char *options)
{
	char command[256];
	FILE *pipe;
	bool got;

	snprintf(command, sizeof(command), "losetup %s -f --show %s 2>/dev/null", options, image);
	pipe = popen(command, "r");
	if (!pipe)
		return false;
	got = fgets(loop, sizeof(loop), pipe);
	loop[strcspn(loop, "\n")] = '\0';
	return pclose(pipe) == 0 && got;
}

/* Once only: after that the device may be somebody else's. */
static bool detach(void)
{
	bool done = run("losetup -d %s%s", loop, "") == 0;

	loop[0] = '\0';
	return done;
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(image, sizeof(image), "%s/image", directory);
	snprintf(mount_point, sizeof(mount_point), "%s/mount", directory);
	return run("mkdir %s && truncate -s 300M %s", mount_point, image) ||
	       run("mkfs.xfs -q -f %s%s >/dev/null 2>&1", image, "");
}

static int teardown(void **state)
{
	(void)state;
	if (loop[0]) {
		run("umount %s 2>/dev/null; losetup -d %s 2>/dev/null", mount_point, loop);
	}
	return run("rm -rf %s%s", directory, "");
}

static void test_attached(void **state)
{
	(void)state;
	assert_int_equal(check(image, true), 0);
	assert_true(attach(""));
	assert_int_equal(check(image, true), -EBUSY);
	assert_said(&t, loop);
	assert_int_equal(check(image, false), 0);
	assert_said(&t, "may change");
	assert_int_equal(check(loop, true), 0); /* the device itself is nobody's */
	assert_true(detach());
	assert_true(attach("-r"));
	assert_int_equal(check(image, true), 0);
	assert_true(detach());
	assert_int_equal(check(image, true), 0);
	assert_int_equal(t.used, 0);
}

/* Nothing is begun on a device that could not be written to in the end. */
static void test_write_protected(void **state)
{
	struct xr_dev dev;

	(void)state;
	test_msg_init(&t);
	assert_true(attach("-r"));
	assert_int_equal(xr_dev_open(&dev, loop, true, &t.msg), -EROFS);
	assert_said(&t, "read-only");
	assert_int_equal(xr_dev_open(&dev, loop, false, &t.msg), 0);
	xr_dev_close(&dev);
	assert_true(detach());
}

static void test_mounted(void **state)
{
	(void)state;
	assert_true(attach("-r"));
	assert_int_equal(run("mount -t xfs -o ro,norecovery %s %s", loop, mount_point), 0);
	assert_int_equal(check(image, true), -EBUSY);
	assert_said(&t, mount_point);
	assert_int_equal(check(loop, true), -EBUSY);
	assert_said(&t, mount_point);
	assert_int_equal(run("umount %s%s", mount_point, ""), 0);
	assert_int_equal(check(loop, true), 0);
	assert_true(detach());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attached),
		cmocka_unit_test(test_write_protected),
		cmocka_unit_test(test_mounted),
	};

	if (geteuid() != 0 || access("/dev/loop-control", R_OK | W_OK)) {
		fprintf(stderr, "skipped: needs root and loop devices\n");
		return 77;
	}
	if (system("command -v mkfs.xfs losetup >/dev/null && grep -qw xfs /proc/filesystems") != 0) {
		fprintf(stderr, "skipped: needs mkfs.xfs, losetup and a kernel with XFS\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
