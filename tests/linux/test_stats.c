/* SPDX-License-Identifier: MIT */
/* What is counted, exactly; what a process shows of it to others; and the names in /proc/self/maps. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <vmap/view.h>
#include "linux/statpage.h"

#define NAME "test_stats"

static struct vmap_process_stats stats(struct vmap_process *process)
{
	struct vmap_process_stats s;

	vmap_process_stats(process, &s);
	return s;
}

/* As vmapstat does it. */
static struct vmap_stat_page page_of(pid_t pid)
{
	struct vmap_stat_page page = {0};
	char path[64], target[256];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[n < 0 ? 0 : n] = '\0';
		if (strstr(target, "memfd:" VMAP_STAT_NAME " ")) {
			int fd = openat(dirfd(dir), entry->d_name, O_RDONLY);

			assert_int_equal(read(fd, &page, sizeof(page)), sizeof(page));
			close(fd);
		}
	}
	closedir(dir);
	return page;
}

static void check_page(struct vmap_process *process)
{
	struct vmap_process_stats s = stats(process);
	struct vmap_stat_page page = page_of(getpid());

	assert_int_equal(page.magic, VMAP_STAT_MAGIC);
	assert_int_equal(page.size, sizeof(page));
	assert_int_equal(page.pid, getpid());
	assert_string_equal(page.name, NAME);
	assert_int_equal(page.pool_used, s.pool_pages * s.page_size);
	assert_int_equal(page.pool_bytes, s.pool_bytes);
	assert_int_equal(page.pool_peak, s.pool_peak);
	assert_int_equal(page.mappings_max, s.mappings_max);
	assert_int_equal(page.counters[VMAP_STAT_MAPPINGS], s.mappings);
	assert_int_equal(page.counters[VMAP_STAT_VIEWS], s.views);
	assert_int_equal(page.counters[VMAP_STAT_FRAGMENTS], s.fragments);
	assert_int_equal(page.counters[VMAP_STAT_ALIASED], s.aliased);
	assert_int_equal(page.counters[VMAP_STAT_REFUSED], s.refused);
}

static void test_counts(void **state)
{
	const struct vmap_process_config config = {.name = NAME, .mappings_max = 7};
	struct vmap_process *process;
	struct vmap_page *pages[8];
	struct vmap_view one, two, none;
	pid_t child;
	int status;

	(void)state;
	assert_int_equal(vmap_process_create(&config, &process), 0);
	check_page(process);
	assert_int_equal(vmap_page_alloc(process, 0, 8, pages), 0);
	check_page(process);
	struct vmap_page *some[] = {pages[5], pages[6], pages[1]};

	assert_int_equal(vmap_view(process, some, 3, NULL, &one), 0);
	assert_int_equal(vmap_view(process, pages, 4, NULL, &two), 0);
	assert_int_equal(stats(process).views, 2);
	assert_int_equal(stats(process).fragments, 3);
	assert_int_equal(stats(process).aliased, 7 * stats(process).page_size);
	assert_int_equal(stats(process).mappings, 5);
	assert_int_equal(stats(process).mappings_left, 2);
	check_page(process);

	assert_int_equal(vmap_view(process, some, 3, NULL, &none), -VMAP_EOVERFLOW);
	assert_int_equal(stats(process).refused, 1);
	assert_int_equal(vmap_replace(vmap_process_space(process), two.addr, 1, pages[7]), 0);
	assert_int_equal(stats(process).fragments, 5);
	assert_int_equal(stats(process).mappings_left, 0);
	check_page(process);

	/* A child has numbers of its own, and changes none of ours. */
	child = fork();
	if (!child) {
		vmap_page_put(process, pages, 1);
		_exit(vmap_unmap(vmap_process_space(process), one.addr) || stats(process).views != 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(stats(process).views, 2);
	check_page(process);

	assert_int_equal(vmap_view_end(process, &one), 0);
	assert_int_equal(vmap_view_end(process, &two), 0);
	vmap_page_put(process, pages, 8);
	assert_int_equal(stats(process).views | stats(process).fragments | stats(process).aliased | stats(process).mappings, 0);
	check_page(process);
	/* What others write there is not believed. */
	status = -1;
	for (int fd = 0; fd < 1024 && status; fd++) {
		char path[64], target[256];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		if (strstr(target, VMAP_STAT_NAME)) {
			struct vmap_stat_page bad;

			memset(&bad, 0xff, sizeof(bad));
			assert_int_equal(pwrite(fd, &bad, sizeof(bad), 0), sizeof(bad));
			assert_int_equal(ftruncate(fd, 0), -1);
			status = 0;
		}
	}
	assert_int_equal(status, 0);
	assert_int_equal(stats(process).views, 0);
	assert_int_equal(vmap_process_destroy(process), 0);
}

static bool in_maps(const char *what)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		found = found || strstr(line, what);
	fclose(maps);
	return found;
}

static void test_names(void **state)
{
	const struct vmap_process_config config = {.name = "a name of ours"};
	struct vmap_process *process;
	void *probe = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool can = !prctl(0x53564d41 /* PR_SET_VMA */, 0, probe, 4096, "probe");

	(void)state;
	munmap(probe, 4096);
	assert_false(in_maps("/memfd:a name of ours"));
	assert_int_equal(vmap_process_create(&config, &process), 0);
	assert_true(in_maps("/memfd:a name of ours"));
	assert_true(in_maps("/memfd:" VMAP_STAT_NAME));
	/* Where the kernel has names for memory that is in no file. */
	assert_int_equal(in_maps("[anon:vmap: pages]"), can);
	assert_int_equal(in_maps("[anon:vmap: costs]"), can);
	assert_int_equal(vmap_process_destroy(process), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
