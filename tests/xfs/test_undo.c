/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The undo file: whatever was written, and whenever the run ended, applying it gives the old content back; old content is flushed before it is
 * overwritten; what is damaged or belongs to another filesystem is refused before anything is written.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "bytes.h"
#include "undo.h"

#define SIZE (300u * 1024 + 512) /* ends inside a unit */
#define LOG_SIZE (64u * 1024)
#define RECORDS_AT 512u /* where the first record begins */
#define CONTENT_MAX (1u << 20)

static const uint8_t uuid[16] = "one filesystem";
static char directory[32], name[64];
static struct test_msg t;
static struct xr_dev data, log_dev, *devs[XR_ROLES];
static uint8_t before[SIZE], log_before[LOG_SIZE], now[SIZE];
static struct xr_undo *undo;
static off_t flushed; /* length of the undo file when it was flushed last */

/* Stands before libc's: notes which file was flushed, and sees that the devices are never ahead of the undo file. */
static int undo_fd = -1;
static bool undo_unflushed, fail_flush;

static bool is_undo_file(int fd)
{
	char link[64], path[128];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return !strcmp(path, name);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	if (is_undo_file(fd)) {
		undo_fd = fd;
		undo_unflushed = true;
	} else if (fd == data.fd || fd == log_dev.fd) {
		assert_true(!undo || !undo_unflushed);
	}
	return syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

int fdatasync(int fd)
{
	if (fd == undo_fd && fail_flush) {
		fail_flush = false;
		errno = EIO;
		return -1;
	}
	if (fd == undo_fd) {
		undo_unflushed = false;
		flushed = lseek(fd, 0, SEEK_END);
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static void randomize(uint8_t *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)rand();
}

static void open_undo(void)
{
	assert_int_equal(xr_undo_create(&undo, name, uuid, devs, &t.msg), 0);
}

static int setup(void **state)
{
	(void)state;
	srand(5);
	test_msg_init(&t);
	strcpy(directory, "/tmp/test_undo.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(name, sizeof(name), "%s/undo", directory);
	test_dev_init(&data, SIZE, &t);
	test_dev_init(&log_dev, LOG_SIZE, &t);
	devs[XR_ROLE_DATA] = &data;
	devs[XR_ROLE_LOG] = &log_dev;
	randomize(before, SIZE);
	memcpy(before + 32, uuid, 16);
	randomize(log_before, LOG_SIZE);
	undo = NULL;
	assert_int_equal(xr_dev_write(&data, before, SIZE, 0), 0);
	assert_int_equal(xr_dev_write(&log_dev, log_before, LOG_SIZE, 0), 0);
	open_undo();
	return 0;
}

static void end_undo(void)
{
	xr_undo_close(undo);
	undo = NULL;
	assert_null(data.undo);
}

static int teardown(void **state)
{
	(void)state;
	xr_undo_close(undo);
	undo = NULL;
	xr_dev_close(&data);
	xr_dev_close(&log_dev);
	unlink(name);
	return rmdir(directory);
}

static void overwrite(struct xr_dev *dev, uint64_t offset, size_t size)
{
	uint8_t *p = malloc(size);

	randomize(p, size);
	assert_int_equal(xr_dev_write(dev, p, size, offset), 0);
	free(p);
}

static void overwrite_somewhere(void)
{
	struct xr_dev *dev = rand() % 4 ? &data : &log_dev;
	size_t size = 1 + (size_t)rand() % 20000;
	uint64_t offset = (uint64_t)rand() % dev->size;

	if (dev == &data && offset < 48)
		offset = 48; /* the UUID does not change by recovery */
	overwrite(dev, offset, size < dev->size - offset ? size : dev->size - offset);
}

static void is_as_before(void)
{
	assert_int_equal(xr_dev_read(&data, now, SIZE, 0), 0);
	assert_memory_equal(now, before, SIZE);
	assert_int_equal(xr_dev_read(&log_dev, now, LOG_SIZE, 0), 0);
	assert_memory_equal(now, log_before, LOG_SIZE);
}

static int apply(void)
{
	uint64_t bytes;
	bool ended;

	return xr_undo_apply(name, devs, &bytes, &ended, &t.msg);
}

static void flip(off_t at)
{
	int fd = open(name, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x40;
	assert_int_equal(syscall(SYS_pwrite64, fd, &byte, 1, at), 1);
	close(fd);
}

static void test_whole(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		overwrite_somewhere();
	overwrite(&data, SIZE - 100, 100);
	assert_int_equal(xr_undo_end(undo), 0);
	assert_in_range(xr_undo_bytes(undo), 1, SIZE + LOG_SIZE); /* each unit once */
	end_undo();
	assert_int_equal(apply(), 0);
	is_as_before();
	assert_null(strstr(t.text, "interrupted"));
	assert_int_equal(apply(), 0); /* harmless */
	is_as_before();
}

/* The run ends between two writes, and of what was not flushed any part is there. */
static void test_killed(void **state)
{
	(void)state;
	for (int round = 0; round < 40; round++) {
		off_t length, keep;

		for (int i = rand() % 8; i > 0; i--)
			overwrite_somewhere();
		for (int i = rand() % 4; i > 0; i--)
			assert_int_equal(xr_dev_announce(&data, (uint64_t)rand() % (SIZE - 9000), 9000), 0);
		end_undo();
		length = lseek(undo_fd = open(name, O_RDWR), 0, SEEK_END);
		close(undo_fd);
		assert_true(flushed <= length);
		keep = flushed + (length > flushed ? rand() % (length - flushed) : 0);
		assert_int_equal(truncate(name, keep), 0);
		assert_int_equal(apply(), 0);
		assert_said(&t, "interrupted");
		is_as_before();
		unlink(name);
		open_undo();
	}
}

/* Of several records behind the last flush the first may be lost and the others be there. */
static void test_torn_in_any_order(void **state)
{
	off_t torn;

	(void)state;
	overwrite(&data, 8192, 4096);
	torn = flushed;
	assert_int_equal(xr_dev_announce(&data, 16384, 4096), 0);
	assert_int_equal(xr_dev_announce(&data, 32768, 4096), 0);
	end_undo();
	flip(torn + 700);
	assert_int_equal(apply(), 0);
	is_as_before();
}

static void test_damaged(void **state)
{
	(void)state;
	overwrite(&data, 8192, 4096);
	overwrite(&data, 81920, 4096);
	assert_int_equal(xr_undo_end(undo), 0);
	end_undo();
	assert_int_equal(xr_dev_read(&data, before, SIZE, 0), 0); /* what it is now is what it stays */
	for (off_t at = RECORDS_AT; at < RECORDS_AT + 2 * 4608; at += 61) {
		flip(at);
		assert_int_equal(apply(), -EUCLEAN);
		is_as_before();
		flip(at);
	}
	assert_said(&t, "nothing was undone");
	test_msg_init(&t);
	flip(9);
	assert_int_equal(apply(), -EUCLEAN);
	assert_said(&t, "no undo file");
	flip(9);
	assert_int_equal(truncate(name, 100), 0);
	assert_int_equal(apply(), -EUCLEAN);
}

/* A file made to write elsewhere: checksums are right, lengths and places are not. */
static void test_hostile(void **state)
{
	uint8_t record[512 + 4096];
	static const struct {
		size_t at;
		uint64_t value;
		bool wide;
	} bad[] = {{24, 2, false},   {24, UINT32_MAX, false}, {28, UINT32_MAX, false}, {28, CONTENT_MAX, false},
		   {32, SIZE, true}, {32, UINT64_MAX, true},  {32, SIZE - 4095, true}};
	int fd;

	(void)state;
	overwrite(&data, 8192, 4096);
	end_undo();
	assert_int_equal(xr_dev_read(&data, before, SIZE, 0), 0);
	fd = open(name, O_RDWR);
	assert_int_equal(pread(fd, record, sizeof(record), RECORDS_AT), sizeof(record));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t changed[sizeof(record)];

		memcpy(changed, record, sizeof(record));
		if (bad[i].wide)
			xr_put_be64(changed + bad[i].at, bad[i].value);
		else
			xr_put_be32(changed + bad[i].at, (uint32_t)bad[i].value);
		xr_crc_update(changed, sizeof(changed), 40);
		assert_int_equal(syscall(SYS_pwrite64, fd, changed, sizeof(changed), RECORDS_AT), sizeof(changed));
		assert_int_equal(apply(), 0); /* no record: nothing is put back */
		is_as_before();
	}
	close(fd);
}

static void test_other_image(void **state)
{
	struct xr_dev *const alone[XR_ROLES] = {&data, NULL};
	uint64_t bytes;
	bool ended;

	(void)state;
	overwrite(&data, 8192, 4096);
	end_undo();
	assert_int_equal(xr_dev_read(&data, before, SIZE, 0), 0);
	assert_int_equal(xr_undo_apply(name, alone, &bytes, &ended, &t.msg), -EINVAL);
	assert_said(&t, "log device too");
	data.size -= 512;
	assert_int_equal(apply(), -EINVAL);
	data.size += 512;
	assert_said(&t, "another image");
	before[40] ^= 1; /* the UUID */
	assert_int_equal(xr_dev_write(&data, before, 4096, 0), 0);
	assert_int_equal(apply(), -EINVAL);
	assert_said(&t, "UUID");
	is_as_before();
}

static void test_exists(void **state)
{
	struct xr_undo *second = NULL;

	(void)state;
	assert_int_equal(xr_undo_create(&second, name, uuid, devs, &t.msg), -EEXIST);
	assert_null(second);
	assert_ptr_equal(data.undo, undo); /* the first is not disturbed */
	assert_int_equal(xr_undo_create(&second, "/nonexistent/undo", uuid, devs, &t.msg), -ENOENT);
}

/* What cannot be kept is not overwritten. */
static void test_cannot_keep(void **state)
{
	(void)state;
	assert_int_equal(ftruncate(data.fd, 100000), 0); /* the end can no longer be read */
	assert_int_equal(xr_dev_write(&data, "x", 1, 200000), -EIO);
	assert_int_equal(lseek(data.fd, 0, SEEK_END), 100000);
}

static void refuses_everything(void)
{
	assert_true(xr_dev_write(&data, "x", 1, 250000) < 0);
	assert_true(xr_dev_write(&log_dev, "x", 1, 5000) < 0);
	assert_true(xr_undo_end(undo) < 0);
	end_undo();
	assert_int_equal(apply(), 0);
	is_as_before();
}

/* Its disk is full, and then has room again: nothing may be kept behind the gap. */
static void test_file_full(void **state)
{
	struct rlimit old, limit;

	(void)state;
	overwrite(&data, 4096, 10000);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){.rlim_cur = (rlim_t)flushed + 1000, .rlim_max = old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(xr_dev_write(&data, "x", 1, 20000) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_said(&t, "File too large");
	refuses_everything();
}

/* A flush that failed is not repaired by the next one. */
static void test_flush_fails(void **state)
{
	(void)state;
	overwrite(&data, 4096, 10000);
	fail_flush = true;
	assert_true(xr_dev_write(&data, "x", 1, 20000) < 0);
	refuses_everything();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_image, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cannot_keep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
