/* SPDX-License-Identifier: MIT */
/* Views of chunks by address, in the pool and in memory of the caller's: alignment, references, copies, adopted regions. */
#include "support.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <vmap/view.h>

#define CHUNK 16 /* base pages of a page of the pool here */

static struct vmap_process *process;
static size_t page_size;
static struct vmap_page *pages[4];

static const struct vmap_options no_guard = {.flags = VMAP_NO_GUARD};
static const struct vmap_options readable = {.prot = VMAP_READ};

static int setup(void **state)
{
	(void)state;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (vmap_process_create(NULL, &process) || vmap_page_alloc(process, 4, 4, pages))
		return -1;
	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < CHUNK * page_size; k++)
			((uint8_t *)vmap_page_address(process, pages[i]))[k] = (uint8_t)(i * 61 + k / page_size * 7 + k % 251);
	}
	return 0;
}

static int teardown(void **state)
{
	struct vmap_process_stats stats;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pages[i]->refs, 1);
	vmap_process_stats(process, &stats);
	assert_int_equal(stats.mappings, 0);
	vmap_page_put(process, pages, 4);
	return vmap_process_destroy(process);
}

static struct iovec chunk(size_t i, size_t offset, size_t size)
{
	return (struct iovec){.iov_base = (uint8_t *)vmap_page_address(process, pages[i]) + offset, .iov_len = size};
}

/* The view shows these chunks, byte for byte; then it ends. */
static void check(const struct iovec *iov, size_t n, struct vmap_view *view, unsigned how)
{
	const uint8_t *at = view->addr;

	assert_int_equal(view->how, how);
	for (size_t i = 0; i < n; at += iov[i++].iov_len)
		assert_memory_equal(at, iov[i].iov_base, iov[i].iov_len);
	assert_int_equal(at - (const uint8_t *)view->addr, view->size);
	assert_int_equal(vmap_view_end(process, view), 0);
}

/* Parts of pages, whole pages, one twice, the first and the last cut within a base page. */
static void test_chunks(void **state)
{
	const struct iovec iov[] = {
		chunk(2, 3 * page_size + 100, 2 * page_size - 100),
		chunk(0, 0, CHUNK * page_size),
		chunk(3, page_size, 7 * page_size),
		chunk(0, 5 * page_size, page_size),
		chunk(1, 0, 77),
	};
	struct vmap_view view;
	uint8_t byte;

	(void)state;
	assert_int_equal(vmap_iov(process, iov, 5, NULL, 0, &view), 0);
	assert_int_equal(view.mappings, 6);
	assert_int_equal(pages[0]->refs, 3);
	assert_int_equal(pages[1]->refs, 2);
	assert_false(try_read((uint8_t *)view.addr - 100 - 3 * page_size, &byte));
	assert_false(try_read((uint8_t *)view.addr + view.size + page_size, &byte));
	((uint8_t *)view.addr)[0] ^= 0xff;
	check(iov, 5, &view, 0);
}

static void test_chunk_keeps_its_page(void **state)
{
	struct vmap_process_stats stats;
	struct vmap_page *page;
	struct vmap_view view;
	struct iovec iov;

	(void)state;
	assert_int_equal(vmap_page_alloc(process, 3, 1, &page), 0);
	iov = (struct iovec){(uint8_t *)vmap_page_address(process, page) + page_size, page_size};
	assert_int_equal(vmap_iov(process, &iov, 1, NULL, 0, &view), 0);
	vmap_page_put(process, &page, 1);
	vmap_process_stats(process, &stats);
	assert_int_equal(stats.pool_pages, 4 * CHUNK + 8);
	check(&iov, 1, &view, 0);
	vmap_process_stats(process, &stats);
	assert_int_equal(stats.pool_pages, 4 * CHUNK);
	/* Nobody's page any more. */
	assert_int_equal(vmap_iov(process, &iov, 1, NULL, 0, &view), -VMAP_ENOENT);
}

static void test_neighbours_need_nothing(void **state)
{
	const struct iovec iov[] = {chunk(0, 5, CHUNK * page_size - 5), chunk(1, 0, page_size), chunk(1, page_size, 9)};
	struct vmap_process_stats before, after;
	struct vmap_view view;

	(void)state;
	vmap_process_stats(process, &before);
	assert_int_equal(vmap_iov(process, iov, 3, &no_guard, 0, &view), 0);
	assert_ptr_equal(view.addr, iov[0].iov_base);
	assert_int_equal(pages[1]->refs, 3);
	vmap_process_stats(process, &after);
	assert_int_equal(before.mmaps, after.mmaps);
	check(iov, 3, &view, VMAP_VIEW_DIRECT);
}

static void test_copy_is_opt_in(void **state)
{
	char mine[] = "not in any region";
	const struct iovec unaligned[] = {chunk(0, 0, page_size + 1), chunk(2, 0, page_size)};
	const struct iovec foreign[] = {{mine, sizeof(mine)}, chunk(2, 0, 0), chunk(2, 0, 3)};
	struct vmap_view view;

	(void)state;
	assert_int_equal(vmap_iov(process, unaligned, 2, NULL, 0, &view), -VMAP_EINVAL);
	assert_int_equal(vmap_iov(process, foreign, 1, NULL, 0, &view), -VMAP_ENOENT);
	assert_null(view.addr);
	assert_int_equal(vmap_iov(process, unaligned, 2, NULL, VMAP_IOV_COPY, &view), 0);
	assert_int_equal(view.copied, 2 * page_size + 1);
	assert_int_equal(view.mappings, 0);
	check(unaligned, 2, &view, VMAP_VIEW_COPIED);
	assert_int_equal(vmap_iov(process, foreign, 3, NULL, VMAP_IOV_COPY, &view), 0);
	check(foreign, 3, &view, VMAP_VIEW_COPIED);
	/* Where mapping is possible nothing is copied. */
	assert_int_equal(vmap_iov(process, unaligned + 1, 1, NULL, VMAP_IOV_COPY, &view), 0);
	assert_int_equal(view.copied, 0);
	check(unaligned + 1, 1, &view, 0);
}

static void test_copy_at_the_budget(void **state)
{
	const struct vmap_process_config config = {.mappings_max = 2};
	struct vmap_page *two[2];
	struct vmap_process *small;
	struct vmap_view view;
	struct iovec iov[2];

	(void)state;
	assert_int_equal(vmap_process_create(&config, &small), 0);
	assert_int_equal(vmap_page_alloc(small, 0, 2, two), 0);
	for (size_t i = 0; i < 2; i++)
		iov[i] = (struct iovec){vmap_page_address(small, two[1 - i]), page_size};
	assert_int_equal(vmap_iov(small, iov, 2, NULL, 0, &view), -VMAP_EOVERFLOW);
	assert_int_equal(two[0]->refs, 1);
	assert_int_equal(vmap_iov(small, iov, 2, NULL, VMAP_IOV_COPY, &view), 0);
	assert_int_equal(view.copied, 2 * page_size);
	assert_int_equal(vmap_view_end(small, &view), 0);
	vmap_page_put(small, two, 2);
	assert_int_equal(vmap_process_destroy(small), 0);
}

static void test_bad_calls(void **state)
{
	const struct vmap_options borrow = {.flags = VMAP_BORROW};
	const struct iovec wraps[] = {{(void *)page_size, SIZE_MAX - page_size}, chunk(0, 0, page_size)};
	const struct iovec empty = chunk(0, 0, 0), fine = chunk(0, 0, 1);
	struct vmap_view view;

	(void)state;
	assert_int_equal(vmap_iov(process, NULL, 1, NULL, 0, &view), -VMAP_EINVAL);
	assert_int_equal(vmap_iov(process, &fine, 0, NULL, 0, &view), -VMAP_EINVAL);
	assert_int_equal(vmap_iov(process, &empty, 1, NULL, VMAP_IOV_COPY, &view), -VMAP_EINVAL);
	assert_int_equal(vmap_iov(process, &fine, 1, &borrow, 0, &view), -VMAP_EINVAL);
	assert_int_equal(vmap_iov(process, &fine, 1, NULL, 8, &view), -VMAP_EINVAL);
	assert_int_equal(vmap_iov(process, wraps, 2, NULL, VMAP_IOV_COPY, &view), -VMAP_ERANGE);
	assert_null(view.addr);
}

static struct vmap_region_config memory_of(int fd, size_t n, int prot)
{
	struct vmap_region_config config = {.fd = fd, .offset = page_size, .size = n * page_size, .prot = VMAP_READ};

	if (prot & PROT_WRITE)
		config.prot |= VMAP_WRITE;
	config.addr = mmap(NULL, config.size, prot, MAP_SHARED, fd, (off_t)page_size);
	assert_ptr_not_equal(config.addr, MAP_FAILED);
	return config;
}

static void test_adopt_memfd(void **state)
{
	int fd = memfd_create("mine", MFD_CLOEXEC);
	struct vmap_region_config config;
	struct iovec iov[3];
	struct vmap_view view;
	uint8_t *at;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 9 * (off_t)page_size), 0);
	config = memory_of(fd, 8, PROT_READ | PROT_WRITE);
	at = config.addr;
	for (size_t i = 0; i < 8; i++)
		memset(at + i * page_size, (int)i + 1, page_size);
	assert_int_equal(vmap_region_adopt(process, &config), 0);
	assert_int_equal(vmap_region_adopt(process, &config), -VMAP_EEXIST);
	assert_int_equal(vmap_process_destroy(process), -VMAP_EBUSY);
	close(fd);

	/* Mixed with the pool's memory, and written through. */
	iov[0] = (struct iovec){at + 5 * page_size, 2 * page_size};
	iov[1] = chunk(1, 2 * page_size, page_size);
	iov[2] = (struct iovec){at, page_size};
	assert_int_equal(vmap_iov(process, iov, 3, NULL, 0, &view), 0);
	((uint8_t *)view.addr)[3 * page_size] = 99;
	assert_int_equal(at[0], 99);
	assert_int_equal(vmap_region_remove(process, at), -VMAP_EBUSY);
	check(iov, 3, &view, 0);

	iov[1] = (struct iovec){at + 7 * page_size, page_size};
	assert_int_equal(vmap_iov(process, iov, 2, &no_guard, 0, &view), 0);
	check(iov, 2, &view, VMAP_VIEW_DIRECT);
	assert_int_equal(vmap_iov(process, iov, 2, &readable, 0, &view), 0);
	assert_false(try_write(view.addr, 1));
	assert_int_equal(mprotect(view.addr, page_size, PROT_READ | PROT_WRITE), -1);
	check(iov, 2, &view, 0);

	/* Reaching beyond the region is in no region. */
	iov[0].iov_len = 4 * page_size;
	assert_int_equal(vmap_iov(process, iov, 1, &readable, 0, &view), -VMAP_ENOENT);
	assert_int_equal(vmap_region_remove(process, at + page_size), -VMAP_ENOENT);
	assert_int_equal(vmap_region_remove(process, at), 0);
	munmap(at, config.size);
}

/* A file on a disk can be seen and not written, whatever its descriptor allows. */
static void test_adopt_file(void **state)
{
	char path[] = "/var/tmp/vmap-test-XXXXXX";
	int fd = mkstemp(path);
	struct vmap_region_config config;
	struct vmap_view view;
	struct iovec iov[2];
	bool is_memory;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	is_memory = fcntl(fd, F_GET_SEALS) >= 0;
	assert_int_equal(ftruncate(fd, 9 * (off_t)page_size), 0);
	assert_int_equal(pwrite(fd, "from a file", 11, 4 * (off_t)page_size), 11);
	config = memory_of(fd, 8, PROT_READ);
	assert_int_equal(vmap_region_adopt(process, &config), 0);
	iov[0] = (struct iovec){(uint8_t *)config.addr + 3 * page_size, page_size};
	iov[1] = (struct iovec){(uint8_t *)config.addr + page_size, page_size};
	if (!is_memory)
		assert_int_equal(vmap_iov(process, iov, 2, NULL, 0, &view), -VMAP_EACCES);
	assert_int_equal(vmap_iov(process, iov, 2, &readable, 0, &view), 0);
	assert_memory_equal(view.addr, "from a file", 11);
	check(iov, 2, &view, 0);
	assert_int_equal(vmap_region_remove(process, config.addr), 0);
	munmap(config.addr, config.size);
	close(fd);
}

static void test_adopt_refuses(void **state)
{
	int fd = memfd_create("mine", MFD_CLOEXEC);
	struct vmap_region_config good, bad;

	(void)state;
	assert_int_equal(ftruncate(fd, 3 * (off_t)page_size), 0);
	good = memory_of(fd, 2, PROT_READ);
	for (int i = 0; i < 7; i++) {
		bad = good;
		bad.size = i == 0 ? 0 : i == 1 ? 3 * page_size : i == 2 ? page_size + 1 : good.size;
		bad.offset += i == 3 ? 1 : i == 4 ? 2 * page_size : 0;
		bad.fd = i == 5 ? -1 : fd;
		bad.prot = i == 6 ? VMAP_WRITE : VMAP_READ;
		assert_int_equal(vmap_region_adopt(process, &bad), -VMAP_EINVAL);
	}
	munmap(good.addr, good.size);
	close(fd);
}

static void test_adopt_many(void **state)
{
	int fd = memfd_create("mine", MFD_CLOEXEC);
	struct vmap_region_config all, one;

	(void)state;
	assert_int_equal(ftruncate(fd, 66 * (off_t)page_size), 0);
	all = memory_of(fd, 65, PROT_READ);
	one = all;
	one.size = page_size;
	for (size_t i = 0; i < 64; i++) {
		one.addr = (uint8_t *)all.addr + i * page_size;
		assert_int_equal(vmap_region_adopt(process, &one), i < 63 ? 0 : -VMAP_ENOSPC);
	}
	for (size_t i = 0; i < 63; i++)
		assert_int_equal(vmap_region_remove(process, (uint8_t *)all.addr + i * page_size), 0);
	munmap(all.addr, all.size);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chunks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chunk_keeps_its_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_neighbours_need_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy_is_opt_in, setup, teardown),
		cmocka_unit_test(test_copy_at_the_budget),
		cmocka_unit_test_setup_teardown(test_bad_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopt_memfd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopt_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopt_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopt_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
