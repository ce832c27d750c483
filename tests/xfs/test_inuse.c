/* SPDX-License-Identifier: GPL-2.0-only */
/* Who uses an image: asked of a mount table and a sysfs that the test makes (test_inuse_loop.c asks the kernel's own). */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include "inuse.h"

struct world {
	char root[64], image[96], proc[96], sys[96];
	struct xr_inuse_roots roots;
	struct test_msg t;
};

static void put(const struct world *world, const char *path, const char *text)
{
	char command[1024];
	FILE *file;

	snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s/%s')\"", world->root, path);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "%s/%s", world->root, path);
	file = fopen(command, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	strcpy(world->root, "/tmp/test_inuse.XXXXXX");
	if (!mkdtemp(world->root))
		return -1;
	snprintf(world->image, sizeof(world->image), "%s/an image", world->root);
	snprintf(world->proc, sizeof(world->proc), "%s/proc", world->root);
	snprintf(world->sys, sizeof(world->sys), "%s/sys", world->root);
	world->roots = (struct xr_inuse_roots){world->proc, world->sys};
	test_msg_init(&world->t);
	put(world, "an image", "content");
	put(world, "proc/self/mountinfo", "21 1 254:0 / / rw - ext4 /dev/root rw\n");
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", world->root);
	int failed = system(command);
	free(world);
	return failed;
}

/* A loop device attached to the image: read-only, or not. */
static void attach(const struct world *world, const char *loop, bool read_only)
{
	char path[256], text[256];

	snprintf(path, sizeof(path), "sys/block/%s/loop/backing_file", loop);
	snprintf(text, sizeof(text), "%s\n", world->image);
	put(world, path, text);
	snprintf(path, sizeof(path), "sys/block/%s/dev", loop);
	put(world, path, "7:3\n");
	snprintf(path, sizeof(path), "sys/block/%s/ro", loop);
	put(world, path, read_only ? "1\n" : "0\n");
}

static int check(struct world *world, bool writing)
{
	test_msg_init(&world->t);
	return xr_inuse_check(world->image, "image", writing, &world->roots, &world->t.msg);
}

static void test_nobody(void **state)
{
	struct world *world = *state;

	assert_int_equal(check(world, true), 0);
	put(world, "sys/block/loop0/loop/backing_file", "/etc/passwd\n");
	put(world, "sys/block/loop0/dev", "7:0\n");
	put(world, "sys/block/sda/dev", "8:0\n");
	assert_int_equal(check(world, true), 0);
	assert_int_equal(world->t.used, 0);
}

static void test_attached(void **state)
{
	struct world *world = *state;

	attach(world, "loop3", false);
	assert_int_equal(check(world, true), -EBUSY);
	assert_said(&world->t, "attached to /dev/loop3");
	assert_said(&world->t, "losetup -d /dev/loop3");
	assert_int_equal(check(world, false), 0);
	assert_said(&world->t, "may change");
	attach(world, "loop3", true);
	assert_int_equal(check(world, true), 0);
	assert_int_equal(world->t.used, 0);
}

/* Attached read-only, and yet mounted: the kernel reads it. */
static void test_mounted_through_loop(void **state)
{
	struct world *world = *state;

	attach(world, "loop3", true);
	put(world, "proc/self/mountinfo",
	    "21 1 254:0 / / rw - ext4 /dev/root rw\n"
	    "35 21 7:3 / /mnt/a\\040\\134b ro shared:1 master:2 - xfs /dev/loop3 ro,attr2\n");
	assert_int_equal(check(world, true), -EBUSY);
	assert_said(&world->t, "mounted on /mnt/a \\\\b");
	assert_said(&world->t, "umount");
	assert_int_equal(check(world, false), 0);
	assert_said(&world->t, "mounted on");
}

static void test_partition_and_holder(void **state)
{
	struct world *world = *state;

	attach(world, "loop3", true);
	put(world, "sys/block/loop3/loop3p1/partition", "1\n");
	put(world, "sys/block/loop3/loop3p1/dev", "259:5\n");
	assert_int_equal(check(world, true), 0);
	put(world, "proc/self/mountinfo", "35 21 259:5 / /part rw - xfs /dev/loop3p1 rw\n");
	assert_int_equal(check(world, true), -EBUSY);
	assert_said(&world->t, "mounted on /part");
	put(world, "proc/self/mountinfo", "");
	put(world, "sys/block/loop3/loop3p1/holders/dm-4/dev", "253:4\n");
	assert_int_equal(check(world, true), -EBUSY);
	assert_said(&world->t, "held by dm-4");
}

/* A file mounted as a file, and one that is a mounted filesystem's log: no loop device has to do with that. */
static void test_source_and_log(void **state)
{
	struct world *world = *state;
	char line[512];

	snprintf(line, sizeof(line), "35 21 0:44 / /erofs ro - erofs %s/an\\040image ro\n", world->root);
	put(world, "proc/self/mountinfo", line);
	assert_int_equal(check(world, true), -EBUSY);
	assert_said(&world->t, "mounted on /erofs");
	snprintf(line, sizeof(line), "35 21 8:1 / /data rw - xfs /dev/sda1 rw,logdev=%s/an\\040image,noquota\n", world->root);
	put(world, "proc/self/mountinfo", line);
	assert_int_equal(check(world, true), -EBUSY);
	assert_said(&world->t, "mounted on /data");
}

/* Tables cut short and nonsense in them: no crash, no user. */
static void test_nonsense(void **state)
{
	struct world *world = *state;

	put(world, "proc/self/mountinfo",
	    " - \n - - - \n1 2\n1 2 3 4 5 - \n1 2 x:y / / - a b c\n1 2 3:4 / /\\ - a b \\1\n\n - xfs");
	put(world, "sys/block/loop1/loop/backing_file", "");
	put(world, "sys/block/loop2/loop/backing_file", " (deleted)\n");
	assert_int_equal(check(world, true), 0);
}

/* The mount table cannot be read: writing is refused, reading warned of. */
static void test_cannot_tell(void **state)
{
	struct world *world = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/self/mountinfo", world->proc);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(check(world, true), -EBUSY);
	assert_said(&world->t, "perhaps mounted");
	assert_int_equal(check(world, false), 0);
	assert_int_equal(xr_inuse_check("/nowhere/at/all", "image", false, NULL, &world->t.msg), -ENOENT);
}

/* A block device, its whole-disk mount and its partition's: only numbers matter, so any will do. */
static void test_block_device(void **state)
{
	struct world *world = *state;
	struct stat st = {.st_mode = S_IFBLK, .st_rdev = makedev(8, 16)};
	struct xr_inuse use;

	assert_int_equal(xr_inuse_find(&st, &world->roots, &use), 0);
	put(world, "proc/self/mountinfo", "35 21 8:16 / /disk rw - xfs /dev/sdb rw\n");
	assert_int_equal(xr_inuse_find(&st, &world->roots, &use), 1);
	assert_string_equal(use.by, "mounted on /disk");
	assert_string_equal(use.remedy, "umount /disk");
	put(world, "proc/self/mountinfo", "35 21 8:17 / /part rw - xfs /dev/sdb1 rw\n");
	put(world, "sys/dev/block/8:16/dev", "8:16\n");
	assert_int_equal(xr_inuse_find(&st, &world->roots, &use), 0);
	put(world, "sys/dev/block/8:16/sdb1/partition", "1\n");
	put(world, "sys/dev/block/8:16/sdb1/dev", "8:17\n");
	assert_int_equal(xr_inuse_find(&st, &world->roots, &use), 1);
	assert_string_equal(use.by, "mounted on /part");
}

static int open_image(struct world *world, struct xr_dev *dev, bool writable)
{
	test_msg_init(&world->t);
	return xr_dev_open(dev, world->image, writable, &world->t.msg);
}

/* Two writers exclude each other, also where the other one only knows one of the two locks; readers share. */
static void test_lock(void **state)
{
	struct world *world = *state;
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
	struct xr_dev one, two;

	put(world, "an image", "");
	assert_int_equal(truncate(world->image, 4096), 0);
	assert_int_equal(open_image(world, &one, true), 0);
	assert_int_equal(open_image(world, &two, true), 0);
	assert_int_equal(xr_inuse_lock(&one), 0);
	assert_int_equal(xr_inuse_lock(&two), -EBUSY);
	assert_said(&world->t, "locked by another program");
	xr_dev_close(&two);
	assert_int_equal(open_image(world, &two, false), 0);
	assert_int_equal(xr_inuse_lock(&two), 0);
	assert_said(&world->t, "may change");
	xr_dev_close(&one);
	assert_int_equal(xr_inuse_lock(&two), 0); /* a shared lock now */
	assert_int_equal(open_image(world, &one, false), 0);
	assert_int_equal(xr_inuse_lock(&one), 0);
	assert_int_equal(world->t.used, 0);
	xr_dev_close(&one);
	xr_dev_close(&two);

	assert_int_equal(open_image(world, &one, true), 0);
	assert_int_equal(open_image(world, &two, true), 0);
	assert_int_equal(fcntl(two.fd, F_OFD_SETLK, &range), 0); /* as QEMU does */
	assert_int_equal(xr_inuse_lock(&one), -EBUSY);
	xr_dev_close(&one);
	xr_dev_close(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mounted_through_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_partition_and_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source_and_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cannot_tell, setup, teardown),
		cmocka_unit_test_setup_teardown(test_block_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
