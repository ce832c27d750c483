/* SPDX-License-Identifier: MIT */
/*
 * What runs out: mappings, address space, memory, pages, each in a child of its own where it is really used up. Every time there is the
 * documented error, nothing is left behind, what is mapped can still be read and ended, and once there is room again (or beside it,
 * where the library has its own limit) malloc(), fopen() and pthread_create() work. Not with sanitizers: their shadows are larger than
 * any limit that would say something. A child exits with the line number of what went wrong.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <vmap/cache.h>

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define MAX 80000

/* In a child. An exit status has 8 bits: the line goes to standard error as well. */
#define CHECK(what)                                                                                                              \
	do {                                                                                                                     \
		if (!(what)) {                                                                                                   \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                                               \
			_exit(1);                                                                                                \
		}                                                                                                                \
	} while (0)

static struct vmap_process *process;
static struct vmap_space *space;
static struct vmap_page *pages[64];
static void *views[MAX], *others[MAX];
static size_t page_size;

static void in_child(void (*run)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		alarm(120);
		/* One arena for all threads: others have mappings and address space in store. */
		mallopt(M_ARENA_MAX, 1);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void begin(const struct vmap_process_config *config)
{
	CHECK(!vmap_process_create(config, &process));
	space = vmap_process_space(process);
	CHECK(!vmap_page_alloc(process, 0, 64, pages));
	for (size_t i = 0; i < 64; i++)
		memset(vmap_page_address(process, pages[i]), (int)i + 1, page_size);
}

static void end(void)
{
	struct vmap_process_stats stats;

	vmap_page_put(process, pages, 64);
	vmap_process_trim(process, 0);
	vmap_process_stats(process, &stats);
	CHECK(!stats.pool_pages && !stats.pool_bytes && !stats.mappings);
	CHECK(!vmap_process_destroy(process));
}

/* Scattered: two runs. */
static int view_of(size_t i, void **view)
{
	struct vmap_page *some[] = {pages[i % 62 + 2], pages[i % 62]};

	return vmap_pages(space, some, 2, NULL, view);
}

static bool view_is(const void *view, size_t i)
{
	const uint8_t *at = view;

	return at[0] == i % 62 + 3 && at[2 * page_size - 1] == i % 62 + 1;
}

#define THREADS 16

static void *meet(void *barrier)
{
	pthread_barrier_wait(barrier);
	return NULL;
}

/* The rest of the process goes on. */
static void others_work(void)
{
	pthread_barrier_t barrier;
	pthread_t threads[THREADS];
	void *large[THREADS];
	pthread_attr_t attr;
	FILE *file = fopen("/proc/self/status", "r");

	CHECK(file && getc(file) != EOF);
	fclose(file);
	/* All at once, each with a stack that is small enough to be kept: then the second time takes no mapping that the first did not. */
	CHECK(!pthread_attr_init(&attr) && !pthread_attr_setstacksize(&attr, MIB) &&
	      !pthread_barrier_init(&barrier, NULL, THREADS));
	for (size_t i = 0; i < THREADS; i++) {
		large[i] = malloc(MIB);
		CHECK(large[i]);
		memset(large[i], 1, MIB);
		CHECK(!pthread_create(&threads[i], &attr, meet, &barrier));
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		free(large[i]);
	}
	pthread_barrier_destroy(&barrier);
	pthread_attr_destroy(&attr);
}

static size_t map_limit(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	size_t limit = 0;

	CHECK(file && fscanf(file, "%zu", &limit) == 1);
	fclose(file);
	if (limit > MAX - 100) {
		fprintf(stderr, "vm.max_map_count is %zu: too many to use up here\n", limit);
		_exit(77);
	}
	return limit;
}

/* Views to the end of their budget, by default: everybody else has room. */
static void budget_ends(void)
{
	struct vmap_process_stats stats;
	struct vmap_view view;
	size_t n = 0, mappings, limit = map_limit();
	int err;

	begin(NULL);
	others_work();
	mappings = count_mappings();
	while (!(err = view_of(n, &views[n])))
		n++;
	CHECK(err == -VMAP_EOVERFLOW);
	vmap_process_stats(process, &stats);
	CHECK(stats.mappings <= stats.mappings_max && stats.mappings + 3 > stats.mappings_max);
	CHECK(limit - count_mappings() + 100 >= limit / 3);
	others_work();
	CHECK(vmap_mirror(process, pages, 4, NULL, &view) == -VMAP_EOVERFLOW && !view.addr);
	/* A page is paid for once, however often it is replaced: so another view each time. */
	for (size_t i = 0; !(err = vmap_replace(space, views[i], 0, pages[i % 62 + 2])); i++)
		CHECK(i + 1 < n && !vmap_replace(space, views[i], 0, pages[i % 62 + 2]));
	CHECK(err == -VMAP_EOVERFLOW);
	for (size_t i = 0; i < n; i++)
		CHECK(view_is(views[i], i) && !vmap_unmap(space, views[i]));
	CHECK(count_mappings() <= mappings + 2);
	end();
}

static void test_budget(void **state)
{
	(void)state;
	in_child(budget_ends);
}

/* The others have taken all mappings that the kernel allows. */
static size_t take_all_mappings(void)
{
	size_t n = 0;

	do
		others[n] = mmap(NULL, page_size, n % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	while (others[n] != MAP_FAILED && ++n < MAX);
	CHECK(n < MAX && errno == ENOMEM);
	return n;
}

static void kernel_limit(void)
{
	const struct vmap_process_config small = {.pool_max = MIB, .space_size = MIB};
	struct vmap_process *second;
	struct vmap_cached cached;
	struct vmap_cache *cache;
	struct vmap_stats stats;
	struct vmap_page *page;
	size_t taken, mappings;
	void *view;

	map_limit();
	begin(NULL);
	for (size_t i = 0; i < 100; i++)
		CHECK(!view_of(i, &views[i]));
	CHECK(!vmap_cache_create(process, NULL, &cache));
	mappings = count_mappings();
	taken = take_all_mappings();

	CHECK(view_of(0, &view) == -VMAP_EOVERFLOW && !view);
	CHECK(vmap_cache_get(cache, pages, 2, &cached) == -VMAP_EOVERFLOW && !cached.addr);
	CHECK(vmap_process_create(&small, &second) == -VMAP_ENOMEM && !second);
	CHECK(vmap_protect(space, views[1], page_size, VMAP_READ) != -VMAP_EIO);
	/* Pages need no mapping. */
	CHECK(!vmap_page_alloc(process, 0, 1, &page));
	vmap_page_put(process, &page, 1);
	vmap_space_stats(space, &stats);
	CHECK(stats.areas == 100 && pages[2]->refs >= 2);
	/* Ending views always works, and makes room. */
	for (size_t i = 0; i < 100; i++)
		CHECK(view_is(views[i], i) && !vmap_unmap(space, views[i]));
	CHECK(!view_of(7, &view) && view_is(view, 7) && !vmap_unmap(space, view));
	while (taken)
		munmap(others[--taken], page_size);
	CHECK(count_mappings() <= mappings);
	others_work();
	CHECK(!vmap_process_create(&small, &second) && !vmap_process_destroy(second));
	CHECK(!vmap_cache_destroy(cache));
	end();
}

static void test_kernel_limit(void **state)
{
	(void)state;
	in_child(kernel_limit);
}

static size_t address_space_used(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	size_t n = 0;

	CHECK(statm && fscanf(statm, "%zu", &n) == 1);
	fclose(statm);
	return n * page_size;
}

/* Memory of the same kind as that in which an object keeps its books, in all places near it: the kernel merges what touches. */
static void surround(void)
{
	for (size_t i = 0; i < 2000; i++)
		CHECK(mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) !=
		      MAP_FAILED);
}

/*
 * No mapping is left, and others lie around all that an object has: it ends as it would at any other time. One that cannot be made leaves
 * nothing. Without a descriptor for vmapstat's page, which others would not be merged with.
 */
static void teardown_at_the_limit(void)
{
	const struct vmap_process_config small = {.pool_max = MIB, .space_size = MIB};
	struct vmap_process *second;
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};
	size_t taken, without, with;

	map_limit();
	surround();
	CHECK(!close_range(3, ~0u, 0) && !getrlimit(RLIMIT_NOFILE, &limit));
	without = address_space_used();
	limit.rlim_cur = 3 + 7;
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit) && !vmap_process_create(&small, &process));
	limit.rlim_cur = 1024;
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	with = address_space_used();
	surround();
	taken = take_all_mappings();
	CHECK(vmap_process_create(&small, &second) == -VMAP_ENOMEM);
	CHECK(address_space_used() == with + (2000 + taken) * page_size);
	CHECK(!vmap_process_destroy(process));
	CHECK(address_space_used() == without + (2000 + taken) * page_size);
}

static void test_teardown_at_the_limit(void **state)
{
	(void)state;
	in_child(teardown_at_the_limit);
}

/* RLIMIT_AS: what is reserved goes on working, new reservations do not; and in the end not even a descriptor can be had. */
static void address_limit(void)
{
	const struct vmap_process_config config = {.pool_max = 64 * MIB, .space_size = 256 * MIB};
	const struct vmap_process_config large = {.pool_max = 512 * MIB, .space_size = 512 * MIB};
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};
	struct vmap_process *second;
	struct vmap_view view;
	size_t n = 0, mappings;
	int err;

	begin(&config);
	others_work();
	limit.rlim_cur = address_space_used() + 192 * MIB;
	mappings = count_mappings();
	CHECK(!setrlimit(RLIMIT_AS, &limit));
	CHECK(vmap_process_create(&large, &second) == -VMAP_ENOMEM && !second);
	CHECK(count_mappings() <= mappings);
	for (n = 0; n < 100; n++)
		CHECK(!view_of(n, &views[n]));
	others_work();

	/* Nothing left: the heap ends where it is now, and with it the descriptors; views need no address space that is not there. */
	others[0] = malloc(64 << 10); /* not a local: a compiler may do without it */
	malloc_trim(0);
	limit.rlim_cur = address_space_used();
	CHECK(!setrlimit(RLIMIT_AS, &limit));
	while (!(err = view_of(n, &views[n])))
		n++;
	CHECK(err == -VMAP_ENOMEM && !views[n]);
	CHECK(n > 100 && view_is(views[n - 1], n - 1));
	while (n > 100)
		CHECK(!vmap_unmap(space, views[--n]));
	free(others[0]);
	CHECK(!view_of(n, &view.addr) && !vmap_unmap(space, view.addr));

	/* Less than nothing: no mapping can be made, not even to end a view, and still each of them ends. */
	limit.rlim_cur = page_size;
	CHECK(!setrlimit(RLIMIT_AS, &limit));
	CHECK(view_of(n, &view.addr) == -VMAP_ENOMEM && !view.addr);
	CHECK(vmap_mirror(process, pages, 32, NULL, &view) == -VMAP_ENOMEM && !view.addr);
	while (n--) {
		uint8_t byte;

		CHECK(view_is(views[n], n) && !vmap_unmap(space, views[n]) && !try_read(views[n], &byte));
	}
	limit.rlim_cur = RLIM_INFINITY;
	CHECK(!setrlimit(RLIMIT_AS, &limit));
	others_work();
	end();
}

static void test_address_limit(void **state)
{
	(void)state;
	in_child(address_limit);
}

/* All addresses that user space has are reserved, but for small pieces. */
static void address_space(void)
{
	const struct vmap_process_config config = {.pool_max = 64 * MIB, .space_size = 4 * MIB};
	const struct vmap_process_config large = {.pool_max = GIB, .space_size = GIB};
	struct vmap_process *second;
	size_t sizes[256], n = 0, count;
	int err;

	begin(&config);
	others_work();
	for (size_t size = (size_t)1 << 46; size >= 256 * MIB; size /= 2) {
		while (n < 256) {
			others[n] = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			if (others[n] == MAP_FAILED)
				break;
			sizes[n++] = size;
		}
	}
	CHECK(n < 256);
	count = count_mappings();
	CHECK(vmap_process_create(&large, &second) == -VMAP_ENOMEM && !second);
	/* Sizes that are left to us shrink, but not below 1 GiB. */
	CHECK(vmap_process_create(NULL, &second) == -VMAP_ENOMEM && !second);
	CHECK(count_mappings() <= count);
	others_work();
	/* And the space's own addresses. */
	for (count = 0; count < MAX; count++) {
		err = view_of(count, &views[count]);
		if (err)
			break;
	}
	CHECK(err == -VMAP_ENOSPC && count > 100);
	for (size_t i = 0; i < count; i++)
		CHECK(view_is(views[i], i) && !vmap_unmap(space, views[i]));
	while (n--)
		munmap(others[n], sizes[n]);
	CHECK(!vmap_process_create(&large, &second) && !vmap_process_destroy(second));
	end();
}

static void test_address_space(void **state)
{
	(void)state;
	in_child(address_space);
}

/* The memfd is not allowed to grow: as a full memory says it, before a page is handed out. */
static void memfd_full(void)
{
	const struct vmap_process_config config = {.pool_max = 64 * MIB, .space_size = 64 * MIB};
	struct vmap_process_stats before, after;
	struct vmap_page *page, *many[16];
	void *view, *alloc;
	size_t n = 0;
	int fd;

	begin(&config);
	fd = vmap_process_descriptor(process, VMAP_READ | VMAP_WRITE);
	CHECK(fd >= 0 && !fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	close(fd);
	vmap_process_stats(process, &before);
	/* What it has grown to already can be used up. */
	while (n < 16 && !vmap_page_alloc(process, 6, 1, &many[n]))
		n++;
	CHECK(n < 16);
	vmap_page_put(process, many, n);
	CHECK(vmap_page_alloc(process, 9, 16, many) == -VMAP_ENOMEM);
	CHECK(vmap_page_alloc(process, 9, 1, &page) == -VMAP_ENOMEM);
	CHECK(vmap_alloc(space, 8 * MIB, 0, NULL, &alloc) == -VMAP_ENOMEM && !alloc);
	vmap_process_stats(process, &after);
	CHECK(after.pool_pages == before.pool_pages && after.pool_bytes == before.pool_bytes);
	CHECK(!view_of(3, &view) && view_is(view, 3) && !vmap_unmap(space, view));
	others_work();
	end();
}

static void test_memfd_full(void **state)
{
	(void)state;
	in_child(memfd_full);
}

/* The pool's own limit, for pages of each order from one base page to 2 MiB. */
static void pool_full(void)
{
	const struct vmap_process_config config = {.pool_max = 32 * MIB, .space_size = 64 * MIB};
	static struct vmap_page *many[16384];
	struct vmap_process_stats stats;
	struct vmap_page *more;

	CHECK(!vmap_process_create(&config, &process));
	for (unsigned order = 0; page_size << order <= 2 * MIB; order++) {
		size_t n = (32 * MIB / page_size) >> order;

		CHECK(vmap_page_alloc(process, order, n + 1, many) == -VMAP_ENOMEM);
		CHECK(!vmap_page_alloc(process, order, n, many));
		CHECK(vmap_page_alloc(process, 0, 1, &more) == -VMAP_ENOMEM);
		CHECK(vmap_page_alloc(process, order, 1, &more) == -VMAP_ENOMEM);
		vmap_process_stats(process, &stats);
		CHECK(stats.pool_bytes == 32 * MIB && stats.pool_pages == 32 * MIB / page_size);
		for (size_t i = 0; i < n; i++)
			*(size_t *)vmap_page_address(process, many[i]) = i;
		for (size_t i = 0; i < n; i++)
			CHECK(*(size_t *)vmap_page_address(process, many[i]) == i);
		vmap_page_put(process, many, n);
	}
	vmap_process_trim(process, 0);
	vmap_process_stats(process, &stats);
	CHECK(!stats.pool_bytes && stats.pool_peak == 32 * MIB);
	CHECK(!vmap_process_destroy(process));
}

static void test_pool_full(void **state)
{
	(void)state;
	in_child(pool_full);
}

/* Descriptors: an object needs seven, and says so where it cannot have them, instead of promising less. */
static void descriptors(void)
{
	const struct vmap_process_config config = {.pool_max = MIB, .space_size = MIB};
	const int first = 3;
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};
	struct vmap_process *second;
	struct vmap_region_config region = {.size = MIB, .prot = VMAP_READ};
	size_t mappings, n;
	int fd;

	CHECK(!close_range((unsigned)first, ~0u, 0));
	region.fd = memfd_create("exhaust", MFD_CLOEXEC);
	CHECK(region.fd == first && !ftruncate(region.fd, (off_t)MIB));
	region.addr = mmap(NULL, MIB, PROT_READ, MAP_SHARED, region.fd, 0);
	CHECK(region.addr != MAP_FAILED && !getrlimit(RLIMIT_NOFILE, &limit));
	begin(NULL);
	mappings = count_mappings();
	for (n = 1; n < 20; n++) {
		limit.rlim_cur = (rlim_t)first + 9 + n;
		CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
		if (!vmap_process_create(&config, &second))
			break;
		CHECK(!second);
		CHECK(count_mappings() <= mappings);
		fd = dup(0);
		CHECK(fd == first + 9);
		close(fd);
	}
	CHECK(n == 7 && !vmap_process_destroy(second));
	for (n = 1; n < 20; n++) {
		limit.rlim_cur = (rlim_t)first + 9 + n;
		CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
		if (!vmap_region_adopt(process, &region))
			break;
	}
	CHECK(n == 7 && !vmap_region_remove(process, region.addr));
	limit.rlim_cur = (rlim_t)first + 9;
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	CHECK(vmap_process_descriptor(process, VMAP_READ) == -VMAP_EIO);
	CHECK(!view_of(5, views) && view_is(views[0], 5) && !vmap_unmap(space, views[0]));
	end();
}

static void test_descriptors(void **state)
{
	(void)state;
	in_child(descriptors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_kernel_limit),
		cmocka_unit_test(test_teardown_at_the_limit),
		cmocka_unit_test(test_address_limit),
		cmocka_unit_test(test_memfd_full),
		cmocka_unit_test(test_address_space),
		cmocka_unit_test(test_pool_full),
		cmocka_unit_test(test_descriptors),
	};

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
