/* SPDX-License-Identifier: GPL-2.0-only */
/* Shadows: what is written is read back, the device stays as it was, and only whole blocks are written. */
#include "support.h"

#include <errno.h>

#include "shadow.h"

#define BYTES ((1u << 20) + 700u) /* a device that ends inside a block */
#define PIECES 5u

static uint8_t before[BYTES], want[BYTES], got[BYTES];

static uint64_t random_below(uint64_t n)
{
	static uint64_t seed = 1;

	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % n;
}

static void open_dev(struct xr_dev *dev, struct test_msg *t)
{
	test_msg_init(t);
	test_dev_init(dev, BYTES, t);
	for (size_t i = 0; i < BYTES; i++)
		before[i] = (uint8_t)random_below(256);
	assert_int_equal(xr_dev_write(dev, before, BYTES, 0), 0);
	memcpy(want, before, BYTES);
}

/* Cut [p, p + size) into pieces of any sizes, none too. */
static int cut(struct iovec iov[PIECES], uint8_t *p, size_t size)
{
	for (unsigned i = 0; i < PIECES; i++) {
		size_t len = i + 1 < PIECES ? random_below(size + 1) : size;

		iov[i] = (struct iovec){p, len};
		p += len;
		size -= len;
	}
	return PIECES;
}

static void test_random(void **state)
{
	struct iovec iov[PIECES];
	struct xr_shadow *shadow;
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	open_dev(&dev, &t);
	assert_int_equal(xr_shadow_create(&shadow, &dev), 0);
	for (unsigned n = 0; n < 2000; n++) {
		uint64_t at = random_below(BYTES / XR_BB) * XR_BB, size = (1 + random_below(80)) * XR_BB;

		if (size > BYTES - at)
			size = BYTES - at;
		if (n % 2) {
			at += random_below(size);
			size = 1 + random_below(BYTES - at < 40000 ? BYTES - at : 40000);
			assert_int_equal(xr_dev_readv(&dev, iov, cut(iov, got, size), at), 0);
			assert_memory_equal(got, want + at, size);
			continue;
		}
		for (size_t i = 0; i < size; i++)
			want[at + i] = (uint8_t)random_below(256);
		assert_int_equal(xr_dev_writev(&dev, iov, cut(iov, want + at, size), at), 0);
	}
	assert_int_equal(xr_dev_flush(&dev), 0);
	assert_int_equal(xr_dev_read(&dev, got, BYTES, 0), 0);
	assert_memory_equal(got, want, BYTES);
	xr_shadow_close(shadow);
	assert_int_equal(xr_dev_read(&dev, got, BYTES, 0), 0);
	assert_memory_equal(got, before, BYTES);
	xr_dev_close(&dev);
}

static void test_refused(void **state)
{
	char *folder = getenv("TMPDIR");
	struct xr_shadow *shadow;
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	folder = folder ? strdup(folder) : NULL;
	open_dev(&dev, &t);
	assert_int_equal(xr_shadow_create(&shadow, &dev), 0);
	setenv("TMPDIR", "/dev/null/none", 1);
	assert_int_equal(xr_dev_write(&dev, want, XR_BB, 0), -EIO);
	assert_said(&t, "TMPDIR");
	assert_int_equal(xr_dev_read(&dev, got, XR_BB, 0), 0);
	unsetenv("TMPDIR");
	assert_int_equal(xr_dev_write(&dev, want, XR_BB, 1), -EINVAL);
	assert_int_equal(xr_dev_write(&dev, want, 100, 0), -EINVAL);
	assert_int_equal(xr_dev_write(&dev, want, XR_BB, BYTES - XR_BB + 1), -EIO);
	if (folder)
		setenv("TMPDIR", folder, 1);
	free(folder);
	xr_shadow_close(shadow);
	xr_dev_close(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
