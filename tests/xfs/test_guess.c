/* SPDX-License-Identifier: GPL-2.0-only */
/* What is no filesystem of XFS is called what it is, and a partition that holds one is found. */
#include "support.h"

#include <errno.h>
#include "bytes.h"
#include "guess.h"
#include "sb.h"

#define DISK (1u << 20)

static void put(const struct xr_dev *dev, uint64_t at, const void *bytes, size_t size)
{
	assert_int_equal(xr_dev_write(dev, bytes, size, at), 0);
}

/* Read as a filesystem, it is refused with these words. */
static void assert_guessed(const struct xr_dev *dev, struct test_msg *t, const char *words)
{
	struct xr_sb sb;

	test_msg_init(t);
	assert_int_equal(xr_sb_read(&sb, dev, &t->msg), -EUCLEAN);
	assert_said(t, "test: no XFS superblock at byte ");
	assert_said(t, words);
	assert_ptr_equal(strchr(t->text, '\n'), t->text + t->used - 1);
}

static void test_formats(void **state)
{
	static const struct {
		uint64_t at;
		const char *magic, *words;
	} cases[] = {
		{0, "", "byte 0: not an XFS filesystem"},
		{0, "\x1f\x8b\x08", "gzip"},
		{0, "QFI\xfb", "qemu-img convert"},
		{0, "XFSM", "xfs_mdrestore"},
		{0, "\xfe\xed\xba\xbe", "name it with -l"},
		{64, "\x7f\x10\xda\xbe", "VDI"},
		{512, "LABELONE", "vgchange"},
		{1080, "\x53\xef", "ext4"},
		{4096, "\xfc\x4e\x2b\xa9", "mdadm"},
		{65600, "_BHRfS_M", "btrfs"},
		{510, "\x55\xaa", "partitions, but none"},
		{512, "EFI PART", "partitions, but none"},
	};
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		test_dev_init(&dev, DISK, &t);
		put(&dev, cases[i].at, cases[i].magic, strlen(cases[i].magic));
		assert_guessed(&dev, &t, cases[i].words);
		xr_dev_close(&dev);
	}
}

/* An image that ends within what is looked at. */
static void test_short(void **state)
{
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	for (uint64_t size = 512; size <= 4096 + 512; size += 512) {
		test_dev_init(&dev, size, &t);
		assert_guessed(&dev, &t, "not an XFS filesystem");
		put(&dev, 510, "\x55\xaa", 2);
		assert_guessed(&dev, &t, "partitions, but none");
		xr_dev_close(&dev);
	}
}

static void test_mbr(void **state)
{
	uint8_t first[4];
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	test_dev_init(&dev, DISK, &t);
	put(&dev, 510, "\x55\xaa", 2);
	xr_put_le32(first, UINT32_MAX);
	put(&dev, 446 + 8, first, 4);
	xr_put_le32(first, 100);
	put(&dev, 446 + 16 + 8, first, 4);
	assert_guessed(&dev, &t, "none");
	put(&dev, 100 * 512, "XFSB", 4);
	assert_guessed(&dev, &t, "number 2 begins with one: --offset 100s");
	assert_int_equal(xr_dev_window(&dev, 512 * 50, 0), 0);
	assert_guessed(&dev, &t, "at byte 25600: it has partitions, and number 2 begins with one: --offset 100s");
	xr_dev_close(&dev);
}

static void put_gpt(const struct xr_dev *dev, uint32_t sector, uint32_t size, uint64_t first)
{
	uint8_t header[92] = "EFI PART", entry[48] = {0};

	header[72] = 2;
	xr_put_le32(header + 80, 128);
	xr_put_le32(header + 84, size);
	put(dev, sector, header, sizeof(header));
	xr_put_le32(entry + 32, (uint32_t)first);
	xr_put_le32(entry + 36, (uint32_t)(first >> 32));
	put(dev, (uint64_t)2 * sector + 2 * (uint64_t)size, entry, sizeof(entry));
}

static void test_gpt(void **state)
{
	struct test_msg t;
	struct xr_dev dev;

	(void)state;
	for (uint32_t sector = 512; sector <= 4096; sector *= 8) {
		test_dev_init(&dev, DISK, &t);
		put(&dev, 510, "\x55\xaa", 2);
		put_gpt(&dev, sector, 128, UINT64_MAX);
		assert_guessed(&dev, &t, "none");
		put_gpt(&dev, sector, 128, 200);
		assert_guessed(&dev, &t, "none");
		put(&dev, (uint64_t)200 * sector, "XFSB", 4);
		assert_guessed(&dev, &t, sector == 512 ? "number 3 begins with one: --offset 200s" : "--offset 1600s");
		put_gpt(&dev, sector, 0, 200);
		assert_guessed(&dev, &t, "none");
		xr_dev_close(&dev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_mbr),
		cmocka_unit_test(test_gpt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
