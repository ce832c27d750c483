/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Undo files
 *
 * An input is the file; it is applied to a small image of the filesystem that the seeds were made for.
 */
#include "target.h"

#include "fsbuild.h"
#include "sbbuild.h"
#include "undo.h"

static struct test_msg said;
static struct xr_dev dev;

static void forget(void *arg, enum xr_level level, const char *text)
{
	(void)arg;
	(void)level;
	(void)text;
}

static const struct sb_build build = SB_BUILD_DEFAULT;

static void put_superblock(void)
{
	uint8_t raw[XR_BB];

	sb_build(&build, raw);
	assert_int_equal(xr_dev_write(&dev, raw, sizeof(raw), 0), 0);
}

static void setup(void)
{
	test_msg_init(&said);
	said.msg.emit = forget;
	test_dev_init(&dev, SB_BUILD_BYTES, &said);
	put_superblock();
}

static void run(const uint8_t *data, size_t size)
{
	struct xr_dev *const devs[XR_ROLES] = {&dev, NULL};
	int fd = memfd_create("undo", MFD_CLOEXEC);
	struct xr_undo_info info;
	uint64_t bytes;
	bool ended;
	char name[64];

	assert_true(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (!xr_undo_info(name, &info, &said.msg))
		xr_undo_apply(name, devs, &bytes, &ended, &said.msg);
	close(fd);
	put_superblock(); /* it may have been what was undone */
}

/* A file of some writes, whole and cut. */
static void seeds(fuzz_seed_fn *fn, void *arg)
{
	struct xr_dev *const devs[XR_ROLES] = {&dev, NULL};
	static uint8_t file[FUZZ_MAX], ones[9000];
	char directory[] = "/tmp/fuzz.XXXXXX", name[64];
	struct xr_undo *undo;
	FILE *f;
	size_t size;

	assert_non_null(mkdtemp(directory));
	snprintf(name, sizeof(name), "%s/undo", directory);
	assert_int_equal(xr_undo_create(&undo, name, build.uuid, devs, &said.msg), 0);
	memset(ones, 0xff, sizeof(ones));
	for (uint32_t i = 1; i < 6; i++)
		assert_int_equal(xr_dev_write(&dev, ones, sizeof(ones) / i, i * 70000), 0);
	assert_int_equal(xr_undo_end(undo), 0);
	xr_undo_close(undo);
	f = fopen(name, "rb");
	assert_non_null(f);
	size = fread(file, 1, sizeof(file), f);
	fclose(f);
	unlink(name);
	rmdir(directory);
	fn(arg, file, size);
	fn(arg, file, size - 100);
	fn(arg, file, 5000);
}

const struct fuzz_target fuzz_undo = {"undo", setup, seeds, run};
