/* SPDX-License-Identifier: MIT */
/* Where the pool's memory comes from and goes to: 2 MiB pages of both kinds, nodes, the default order, memory given back. */
#include "support.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <vmap/view.h>

#define MIB ((size_t)1 << 20)
#define RESERVED "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static struct vmap_process_stats stats(struct vmap_process *process)
{
	struct vmap_process_stats s;

	vmap_process_stats(process, &s);
	return s;
}

/* What the kernel says the pool's file occupies. */
static size_t occupied(const char *name)
{
	char path[64], target[300];
	struct stat st;

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (strstr(target, name) && !fstat(fd, &st))
			return (size_t)st.st_blocks * 512;
	}
	fail_msg("no file %s", name);
	return 0;
}

static void test_trim(void **state)
{
	const struct vmap_process_config config = {.name = "test_trim", .huge = VMAP_HUGE_NO};
	struct vmap_process *process;
	struct vmap_page *pages[6];
	struct vmap_view view;

	(void)state;
	assert_int_equal(vmap_process_create(&config, &process), 0);
	/* Six MiB of pages; views hold the second and the fourth. */
	assert_int_equal(vmap_page_alloc(process, 8, 6, pages), 0);
	for (size_t i = 0; i < 6; i++)
		memset(vmap_page_address(process, pages[i]), (int)i + 1, MIB);
	struct vmap_page *held[] = {pages[3], pages[1]};

	assert_int_equal(vmap_view(process, held, 2, NULL, &view), 0);
	assert_int_equal(occupied("test_trim"), 6 * MIB);
	vmap_process_trim(process, 0);
	assert_int_equal(occupied("test_trim"), 6 * MIB);
	vmap_page_put(process, pages, 6);
	vmap_process_trim(process, 3 * MIB);
	assert_int_equal(occupied("test_trim"), 5 * MIB);
	vmap_process_trim(process, 0);
	assert_int_equal(occupied("test_trim"), 2 * MIB);
	assert_int_equal(stats(process).pool_bytes, 2 * MIB);
	assert_int_equal(((uint8_t *)view.addr)[0], 4);
	assert_int_equal(((uint8_t *)view.addr)[2 * MIB - 1], 2);
	assert_int_equal(vmap_view_end(process, &view), 0);

	/* What was given back is there again before it is handed out, as zeros. */
	assert_int_equal(vmap_page_alloc(process, 8, 6, pages), 0);
	assert_in_range(occupied("test_trim"), 6 * MIB, 8 * MIB);
	assert_int_equal(occupied("test_trim"), stats(process).pool_bytes);
	assert_int_equal(*(uint8_t *)vmap_page_address(process, pages[0]), 0);
	vmap_page_put(process, pages, 6);
	assert_int_equal(vmap_process_destroy(process), 0);
}

static void test_default_order(void **state)
{
	struct vmap_process_config config = {0};
	struct vmap_process *process;
	struct vmap_page *page;

	(void)state;
	for (size_t bytes = 0; bytes <= 2 * MIB; bytes = bytes ? bytes * 2 : 4096) {
		config.page_bytes = bytes;
		assert_int_equal(vmap_process_create(&config, &process), 0);
		assert_int_equal(vmap_page_alloc(process, VMAP_ORDER_DEFAULT, 1, &page), 0);
		assert_int_equal(stats(process).page_size << page->order, bytes ? bytes : 64 << 10);
		vmap_page_put(process, &page, 1);
		assert_int_equal(vmap_process_destroy(process), 0);
	}
	config.page_bytes = 3 << 12;
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_EINVAL);
}

/* The kernel knows this policy for memory that begins here. */
static bool has_policy(const uint8_t *memory, const char *policy)
{
	FILE *maps = fopen("/proc/self/numa_maps", "r");
	char line[512], begin[64];
	bool found = false;

	assert_non_null(maps);
	snprintf(begin, sizeof(begin), "%lx %s:0 ", (unsigned long)(uintptr_t)memory, policy);
	while (fgets(line, sizeof(line), maps))
		found = found || strstr(line, begin) == line;
	fclose(maps);
	return found;
}

static void test_nodes(void **state)
{
	static const char *const policies[] = {"", "prefer", "bind", "interleave"};
	struct vmap_process_config config = {.numa_nodes = 1};
	struct vmap_process *process;
	struct vmap_page *page;

	(void)state;
	if (access("/sys/devices/system/node/node0", F_OK))
		skip();
	for (config.numa = VMAP_NUMA_PREFER; config.numa <= VMAP_NUMA_INTERLEAVE; config.numa++) {
		assert_int_equal(vmap_process_create(&config, &process), 0);
		assert_int_equal(vmap_page_alloc(process, 8, 1, &page), 0);
		assert_true(has_policy((uint8_t *)vmap_page_address(process, page) - vmap_page_offset(process, page),
				       policies[config.numa]));
		vmap_page_put(process, &page, 1);
		assert_int_equal(vmap_process_destroy(process), 0);
	}
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_EINVAL);
	config = (struct vmap_process_config){.numa = VMAP_NUMA_BIND, .numa_nodes = (uint64_t)1 << 63};
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_EINVAL);
}

/* Pages of 2 MiB, whatever they are made of: scattered, each byte where it belongs, and the answer says what they are. */
static void use(struct vmap_process *process, size_t n)
{
	struct vmap_page *pages[4], *some[4];
	unsigned order = (unsigned)__builtin_ctzl(2 * MIB / stats(process).page_size);
	struct vmap_view view;

	assert_int_equal(vmap_page_alloc(process, order, n, pages), 0);
	for (size_t i = 0; i < n; i++) {
		memset(vmap_page_address(process, pages[i]), (int)i + 1, 2 * MIB);
		some[i] = pages[n - 1 - i];
	}
	assert_int_equal(vmap_view(process, some, n, NULL, &view), 0);
	assert_int_equal((uintptr_t)view.addr % (2 * MIB), 0);
	for (size_t i = 0; i < n; i++)
		assert_memory_equal((uint8_t *)view.addr + i * 2 * MIB, vmap_page_address(process, some[i]), 2 * MIB);
	assert_int_equal(vmap_view_end(process, &view), 0);
	vmap_page_put(process, pages, n);
	vmap_process_trim(process, 0);
	assert_int_equal(stats(process).pool_bytes, 0);
}

static void test_transparent(void **state)
{
	struct vmap_process_config config = {.pool_max = 64 * MIB};
	struct vmap_process *process;

	(void)state;
	assert_int_equal(vmap_process_create(&config, &process), 0);
	assert_memory_equal(stats(process).huge, "no: ", 4);
	use(process, 4);
	/* Yes or no is the system's; it has said which. */
	assert_string_not_equal(stats(process).huge, "no: the pool is empty yet");
	print_message("huge: %s\n", stats(process).huge);
	assert_int_equal(vmap_process_destroy(process), 0);
	config.huge = VMAP_HUGE_TRY + 1;
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_EINVAL);
	config.huge = VMAP_HUGE_NO;
	assert_int_equal(vmap_process_create(&config, &process), 0);
	assert_string_equal(stats(process).huge, "no: not asked for");
	assert_int_equal(vmap_process_destroy(process), 0);
}

static long reserved(void)
{
	FILE *file = fopen(RESERVED, "r");
	long n = -1;

	if (file && fscanf(file, "%ld", &n) != 1)
		n = -1;
	if (file)
		fclose(file);
	return n;
}

static bool reserve(long n)
{
	FILE *file = fopen(RESERVED, "w");

	if (!file)
		return false;
	fprintf(file, "%ld\n", n);
	fclose(file);
	return reserved() == n;
}

static long before = -1; /* pages that were reserved */

static void test_reserved(void **state)
{
	struct vmap_process_config config = {.pool_max = 16 * MIB, .space_size = 64 * MIB, .huge = VMAP_HUGE_RESERVED};
	struct vmap_process *process;
	struct vmap_page *page;

	(void)state;
	before = reserved();
	if (before < 0 || !reserve(before + 3))
		skip(); /* not root, or no memory in one piece */
	assert_int_equal(vmap_process_create(&config, &process), 0);
	assert_string_equal(stats(process).huge, "yes: reserved");
	assert_int_equal(stats(process).page_size, 2 * MIB);
	use(process, 3);
	if (!before) /* More than there are: an error here, and no signal later. */
		assert_int_equal(vmap_page_alloc(process, 2, 1, &page), -VMAP_ENOMEM);
	assert_int_equal(vmap_process_destroy(process), 0);
	config.pool_max = 3 * MIB;
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_EINVAL);
	assert_true(reserve(before));
	config.pool_max = 16 * MIB;
	if (!before) {
		assert_int_equal(vmap_process_create(&config, &process), -VMAP_ENOMEM);
		config.huge = VMAP_HUGE_TRY;
		assert_int_equal(vmap_process_create(&config, &process), 0);
		assert_int_equal(stats(process).page_size, (size_t)sysconf(_SC_PAGESIZE));
		assert_int_equal(vmap_process_destroy(process), 0);
	}
}

/* However the test ended. */
static int give_back(void **state)
{
	(void)state;
	return before < 0 || reserve(before) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_default_order),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_transparent),
		cmocka_unit_test_teardown(test_reserved, give_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
