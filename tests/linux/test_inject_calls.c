/* SPDX-License-Identifier: MIT */
/*
 * Every operation, with each system call and each allocation that it makes failing: once; and that function from there on for good. When
 * the operation has failed, everything is as it was before; then, with nothing failing, the same call succeeds. What cannot fail does not.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <sys/mman.h>
#include <vmap/cache.h>
#include <vmap/fault.h>
#include <vmap/ram.h>
#include <vmap/sparse.h>
#include "inject.h"

#define PAGES 8
#define MIB ((size_t)1 << 20)

static struct vmap_process_config world_config;
static struct vmap_process *process, *second;
static struct vmap_space *space;
static struct vmap_page *pages[PAGES], *some[PAGES];
static size_t page_size;

/* What an operation works with. */
static struct vmap_view view;
static struct vmap_page *page;
static struct vmap_cache *cache;
static struct vmap_cached cached;
static struct vmap_region_config region;
static uint8_t bytes[3 * 65536];
static void *addr;
static int fd;

static bool shows(const void *at, struct vmap_page *const *what, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (memcmp((const uint8_t *)at + i * page_size, vmap_page_address(process, what[i]), page_size))
			return false;
	}
	return true;
}

/* Each operation in four: what comes before, the call, whether it did what it says, and taking it back. */

static void none(void)
{
}

static bool yes(void)
{
	return true;
}

static int do_create(void)
{
	return vmap_process_create(&world_config, &second);
}

static void end_second(void)
{
	assert_int_equal(vmap_process_destroy(second), 0);
}

static void make_second(void)
{
	assert_int_equal(do_create(), 0);
}

static int do_destroy(void)
{
	return vmap_process_destroy(second);
}

static int do_page_alloc(void)
{
	return vmap_page_alloc(process, 9, 1, &page);
}

static bool page_is_there(void)
{
	memset(vmap_page_address(process, page), 1, page_size << 9);
	return page->refs == 1;
}

static void put_page(void)
{
	vmap_page_put(process, &page, 1);
	vmap_process_trim(process, 0);
}

static void make_page(void)
{
	assert_int_equal(do_page_alloc(), 0);
	vmap_page_put(process, &page, 1);
}

static int do_trim(void)
{
	vmap_process_trim(process, 0);
	return 0;
}

static int do_pages(void)
{
	const struct vmap_options options = {.tag = "tag"};

	return vmap_pages(space, some, 5, &options, &addr);
}

static bool addr_shows(void)
{
	return shows(addr, some, 5);
}

static void unmap_addr(void)
{
	assert_int_equal(vmap_unmap(space, addr), 0);
}

static void map_addr(void)
{
	assert_int_equal(do_pages(), 0);
}

static void retire_addr(void)
{
	map_addr();
	unmap_addr();
}

static int do_unmap(void)
{
	return vmap_unmap(space, addr);
}

static bool addr_is_gone(void)
{
	uint8_t byte;

	for (size_t i = 0; i < 5; i++) {
		if (try_read((uint8_t *)addr + i * page_size, &byte))
			return false;
	}
	return true;
}

static int do_alloc(void)
{
	return vmap_alloc(space, 5 * page_size, 1, NULL, &addr);
}

static bool addr_is_writable(void)
{
	memset(addr, 0x5a, 5 * page_size);
	return true;
}

static void free_addr(void)
{
	assert_int_equal(vmap_free(space, addr), 0);
}

static int do_ram(void)
{
	return vmap_ram(space, some, 5, 0, VMAP_READ | VMAP_WRITE, &addr);
}

static void unmap_ram(void)
{
	assert_int_equal(vmap_ram_unmap(space, addr), 0);
	vmap_purge(space);
}

static int do_replace(void)
{
	return vmap_replace(space, addr, 1, pages[7]);
}

static bool addr_shows_other(void)
{
	const uint8_t *at = addr;

	return shows(at + page_size, &pages[7], 1) && shows(at, some, 1) && shows(at + 2 * page_size, some + 2, 3);
}

static int do_protect(void)
{
	return vmap_protect(space, addr, 5 * page_size, VMAP_READ);
}

static bool addr_is_read_only(void)
{
	return addr_shows() && !try_write(addr, 1);
}

static int do_view(void)
{
	return vmap_view(process, some, 5, NULL, &view);
}

static bool view_shows(void)
{
	return shows(view.addr, some, 5);
}

static void end_view(void)
{
	assert_int_equal(vmap_view_end(process, &view), 0);
}

static void make_view(void)
{
	assert_int_equal(do_view(), 0);
	addr = view.addr;
}

static int do_view_end(void)
{
	return vmap_view_end(process, &view);
}

static int do_mirror(void)
{
	return vmap_mirror(process, some, 5, NULL, &view);
}

static bool view_shows_twice(void)
{
	return view_shows() && shows((uint8_t *)view.addr + 5 * page_size, some, 5);
}

static struct iovec chunk(const struct vmap_page *of, size_t size)
{
	return (struct iovec){vmap_page_address(process, of), size};
}

static int do_iov(void)
{
	const struct iovec iov[] = {chunk(pages[5], page_size), chunk(pages[2], 100)};

	return vmap_iov(process, iov, 2, NULL, 0, &view);
}

static bool view_shows_chunks(void)
{
	return shows(view.addr, &pages[5], 1) &&
	       !memcmp((uint8_t *)view.addr + page_size, vmap_page_address(process, pages[2]), 100);
}

static int do_iov_copy(void)
{
	const struct iovec iov[] = {chunk(pages[5], page_size),
				    {(uint8_t *)vmap_page_address(process, pages[2]) + 0, 50},
				    {(uint8_t *)vmap_page_address(process, pages[2]) + 50, 50}};

	return vmap_iov(process, iov, 3, NULL, VMAP_IOV_COPY, &view);
}

static int do_adopt(void)
{
	return vmap_region_adopt(process, &region);
}

static bool region_is_there(void)
{
	const struct iovec iov[] = {{(uint8_t *)region.addr + page_size, page_size}, {region.addr, page_size}};
	const struct vmap_options options = {.prot = VMAP_READ};
	bool right;

	if (vmap_iov(process, iov, 2, &options, 0, &view))
		return false;
	right = ((uint8_t *)view.addr)[0] == 0x32 && ((uint8_t *)view.addr)[page_size] == 0x31;
	end_view();
	return right;
}

static void remove_region(void)
{
	assert_int_equal(vmap_region_remove(process, region.addr), 0);
}

static void adopt_region(void)
{
	assert_int_equal(do_adopt(), 0);
}

static int do_remove(void)
{
	return vmap_region_remove(process, region.addr);
}

static int do_cache(void)
{
	const struct vmap_cache_config config = {.views_max = 3};

	return vmap_cache_create(process, &config, &cache);
}

static void end_cache(void)
{
	assert_int_equal(vmap_cache_destroy(cache), 0);
}

static void make_cache(void)
{
	assert_int_equal(do_cache(), 0);
}

static int do_cache_get(void)
{
	return vmap_cache_get(cache, some, 5, &cached);
}

static bool cached_shows(void)
{
	return shows(cached.addr, some, 5);
}

static void put_cached(void)
{
	assert_int_equal(vmap_cache_put(cache, &cached), 0);
	end_cache();
}

/* Full of views that nobody uses. */
static void fill_cache(void)
{
	make_cache();
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(vmap_cache_get(cache, some + i, 2, &cached), 0);
		assert_int_equal(vmap_cache_put(cache, &cached), 0);
	}
}

static int do_cache_trim(void)
{
	vmap_cache_trim(cache, 0);
	return 0;
}

static bool cache_is_empty(void)
{
	struct vmap_cache_stats stats;

	vmap_cache_stats(cache, &stats);
	return !stats.views && !stats.mappings;
}

static int do_cache_destroy(void)
{
	return vmap_cache_destroy(cache);
}

static int do_descriptor(void)
{
	fd = vmap_process_descriptor(process, VMAP_READ);
	return fd < 0 ? fd : 0;
}

static void close_fd(void)
{
	close(fd);
}

/* Without the kernel's help it cannot be known what is there: zeros, and it says so. */
static int do_read(void)
{
	size_t copied;

	memset(bytes, 0xee, 3 * page_size);
	if (vmap_read(space, bytes, addr, 3 * page_size, &copied))
		return -VMAP_EINVAL;
	for (size_t i = 0; i < 3 * page_size; i += page_size)
		copied -= bytes[i] ? page_size : 0;
	return copied ? -VMAP_EINVAL : 0;
}

static int do_explain(void)
{
	return vmap_fault_explain(process, 2);
}

static void ignore(void)
{
	assert_int_equal(vmap_fault_ignore(process), 0);
}

static int do_line(void)
{
	char line[300];

	return vmap_fault_line(process, addr, line, sizeof(line)) && strstr(line, "this address") == line ? 0 : -VMAP_EINVAL;
}

static int do_sparse(void)
{
	return vmap_sparse(space, 16 * page_size, NULL, &addr);
}

static void free_sparse(void)
{
	assert_int_equal(vmap_sparse_free(space, addr), 0);
}

static void make_sparse(void)
{
	assert_int_equal(do_sparse(), 0);
}

static void *part(void)
{
	return (uint8_t *)addr + 3 * page_size;
}

static int do_sparse_map(void)
{
	return vmap_sparse_map(space, part(), some, 5, 0, 0);
}

static bool part_shows(void)
{
	return shows(part(), some, 5);
}

/* Neighbours in the pool, one mapping: to be cut in the middle. */
static void make_part(void)
{
	make_sparse();
	assert_int_equal(vmap_sparse_map(space, part(), pages, PAGES, 0, 0), 0);
}

static int do_sparse_unmap(void)
{
	return vmap_sparse_unmap(space, (uint8_t *)addr + 7 * page_size, 9 * page_size);
}

static bool half_shows(void)
{
	uint8_t byte;

	return shows(part(), pages, 4) && !try_read((uint8_t *)addr + 7 * page_size, &byte);
}

static int do_sparse_free(void)
{
	return vmap_sparse_free(space, addr);
}

static bool part_is_gone(void)
{
	uint8_t byte;

	return !try_read(part(), &byte);
}

static void alloc_addr(void)
{
	assert_int_equal(vmap_alloc(space, 3 * page_size, 0, NULL, &addr), 0);
	memset(addr, 0x17, 3 * page_size);
}

static int do_grow(void)
{
	return vmap_realloc(space, addr, 6 * page_size, 0);
}

static bool addr_is_longer(void)
{
	((uint8_t *)addr)[6 * page_size - 1] = 1;
	return ((uint8_t *)addr)[3 * page_size - 1] == 0x17;
}

static int do_shrink(void)
{
	return vmap_realloc(space, addr, page_size, 0);
}

static bool addr_is_shorter(void)
{
	uint8_t byte;

	return ((uint8_t *)addr)[page_size - 1] == 0x17 && !try_read((uint8_t *)addr + page_size, &byte);
}

/* With a view right behind it. */
static void hem_addr_in(void)
{
	struct vmap_options behind;

	alloc_addr();
	behind = (struct vmap_options){.min = (uintptr_t)addr + 4 * page_size, .max = (uintptr_t)addr + 6 * page_size - 1};
	assert_int_equal(vmap_view(process, some, 1, &behind, &view), 0);
}

static int do_move(void)
{
	return vmap_realloc_move(space, &addr, 6 * page_size, 0, NULL);
}

static void free_both(void)
{
	free_addr();
	end_view();
}

struct operation {
	const char *name;
	void (*before)(void);
	int (*call)(void);
	bool (*done)(void);
	void (*after)(void);
	bool cannot_fail;
	bool evicts; /* also when it fails: then there is less than before */
};

static const struct operation operations[] = {
	{"vmap_process_create", none, do_create, yes, end_second, false, false},
	{"vmap_process_destroy", make_second, do_destroy, yes, none, true, false},
	{"vmap_page_alloc", none, do_page_alloc, page_is_there, put_page, false, false},
	{"vmap_process_trim", make_page, do_trim, yes, none, true, false},
	{"vmap_pages", none, do_pages, addr_shows, unmap_addr, false, false},
	{"vmap_unmap", map_addr, do_unmap, addr_is_gone, none, true, false},
	{"vmap_alloc", none, do_alloc, addr_is_writable, free_addr, false, false},
	{"vmap_ram", none, do_ram, addr_shows, unmap_ram, false, false},
	{"vmap_replace", map_addr, do_replace, addr_shows_other, unmap_addr, false, false},
	{"vmap_protect", map_addr, do_protect, addr_is_read_only, unmap_addr, false, false},
	{"vmap_view", none, do_view, view_shows, end_view, false, false},
	{"vmap_view_end", make_view, do_view_end, addr_is_gone, none, true, false},
	{"vmap_mirror", none, do_mirror, view_shows_twice, end_view, false, false},
	{"vmap_iov", none, do_iov, view_shows_chunks, end_view, false, false},
	{"vmap_iov, a copy", none, do_iov_copy, view_shows_chunks, end_view, false, false},
	{"vmap_region_adopt", none, do_adopt, region_is_there, remove_region, false, false},
	{"vmap_region_remove", adopt_region, do_remove, yes, none, true, false},
	{"vmap_cache_create", none, do_cache, cache_is_empty, end_cache, false, false},
	{"vmap_cache_get", make_cache, do_cache_get, cached_shows, put_cached, false, false},
	{"vmap_cache_get, full", fill_cache, do_cache_get, cached_shows, put_cached, false, true},
	{"vmap_cache_trim", fill_cache, do_cache_trim, cache_is_empty, end_cache, true, false},
	{"vmap_cache_destroy", fill_cache, do_cache_destroy, yes, none, true, false},
	{"vmap_process_descriptor", none, do_descriptor, yes, close_fd, false, false},
	{"vmap_sparse", none, do_sparse, yes, free_sparse, false, false},
	{"vmap_sparse_map", make_sparse, do_sparse_map, part_shows, free_sparse, false, false},
	{"vmap_sparse_unmap, a cut", make_part, do_sparse_unmap, half_shows, free_sparse, false, false},
	{"vmap_sparse_free", make_part, do_sparse_free, part_is_gone, none, true, false},
	{"vmap_realloc, longer", alloc_addr, do_grow, addr_is_longer, free_addr, false, false},
	{"vmap_realloc, shorter", alloc_addr, do_shrink, addr_is_shorter, free_addr, false, false},
	{"vmap_realloc_move", hem_addr_in, do_move, addr_is_longer, free_both, false, false},
	{"vmap_read", map_addr, do_read, yes, unmap_addr, true, false},
	{"vmap_fault_explain", none, do_explain, yes, ignore, false, false},
	{"vmap_fault_line", retire_addr, do_line, yes, none, true, false},
};

/* All that could be left behind. */
struct shot {
	size_t mappings, descriptors;
	size_t pages, taken;
	size_t areas, mapped, lazy, held;
	size_t references;
};

static size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct shot look(void)
{
	struct vmap_process_stats pool;
	struct vmap_stats stats;
	struct shot shot;

	vmap_purge(space);
	vmap_process_stats(process, &pool);
	vmap_space_stats(space, &stats);
	shot = (struct shot){
		.mappings = count_mappings(),
		.descriptors = open_descriptors(),
		.pages = pool.pool_pages,
		.taken = pool.mappings,
		.areas = stats.areas,
		.mapped = stats.mapped,
		.lazy = stats.lazy,
		.held = stats.pages_held,
	};
	for (size_t i = 0; i < PAGES; i++)
		shot.references += pages[i]->refs;
	return shot;
}

/* clean: also the process's mappings, which a sanitizer makes of its own, and which may stay where the kernel refuses to make one. */
static void same(const struct operation *operation, const char *when, const struct shot *was, const struct shot *is, bool clean)
{
#ifdef TEST_SANITIZED
	clean = false;
#endif
	if (was->descriptors == is->descriptors && was->pages == is->pages && was->taken == is->taken &&
	    was->areas == is->areas && was->mapped == is->mapped && was->lazy == is->lazy && was->held == is->held &&
	    was->references == is->references && (!clean || is->mappings <= was->mappings))
		return;
	fail_msg("%s, %s of %s: descriptors %zu, %zu; pages %zu, %zu; budget %zu, %zu; areas %zu, %zu; held %zu, %zu; references "
		 "%zu, "
		 "%zu; mappings %zu, %zu",
		 operation->name, when, inject_text(inject_failed()), was->descriptors, is->descriptors, was->pages, is->pages,
		 was->taken, is->taken, was->areas, is->areas, was->held, is->held, was->references, is->references,
		 was->mappings, is->mappings);
}

static bool is_documented(int err)
{
	return err == -VMAP_ENOMEM || err == -VMAP_EOVERFLOW || err == -VMAP_EIO || err == -VMAP_EINVAL;
}

/* The call with its at-th call failing. False: it failed. */
static bool fail_at(const struct operation *operation, size_t at, enum inject_mode mode)
{
	struct shot start = look(), before, after;
	int err;

	operation->before();
	before = look();
	inject_arm(at, mode);
	err = operation->call();
	inject_disarm();
	if (err) {
		if (operation->cannot_fail || !is_documented(err))
			fail_msg("%s: %d, after the failure of %s", operation->name, err, inject_text(inject_failed()));
		after = look();
		if (!operation->evicts)
			same(operation, "after the failure", &before, &after, mode == INJECT_ONCE);
		assert_int_equal(operation->call(), 0);
	}
	if (!operation->done())
		fail_msg("%s did not do what it says, after the failure of %s", operation->name, inject_text(inject_failed()));
	operation->after();
	after = look();
	same(operation, "taken back after the failure", &start, &after, mode == INJECT_ONCE);
	return !err;
}

static void fail_each(const struct operation *operation)
{
	size_t all, failed = 0;

	/* So often that the place of a view that comes and goes has become a mapping of its own, if it does (src/linux/mmap.c). */
	for (int i = 0; i < 5; i++) {
		operation->before();
		inject_arm(0, INJECT_ONCE);
		assert_int_equal(operation->call(), 0);
		all = inject_disarm();
		assert_true(operation->done());
		operation->after();
	}
	for (size_t at = 1; at <= all; at++) {
		failed += !fail_at(operation, at, INJECT_ONCE);
		failed += !fail_at(operation, at, INJECT_SAME);
	}
	print_message("%s: %zu calls, %zu errors\n", operation->name, all, failed);
}

/* Scattered, with two neighbours among them. */
static void world_make(void)
{
	static const size_t order[] = {4, 1, 6, 7, 2};

	assert_int_equal(vmap_process_create(&world_config, &process), 0);
	space = vmap_process_space(process);
	assert_int_equal(vmap_page_alloc(process, 0, PAGES, pages), 0);
	for (size_t i = 0; i < PAGES; i++)
		memset(vmap_page_address(process, pages[i]), (int)i + 1, page_size);
	for (size_t i = 0; i < 5; i++)
		some[i] = pages[order[i]];
	region = (struct vmap_region_config){
		.fd = memfd_create("region", 0), .size = 2 * page_size, .prot = VMAP_READ | VMAP_WRITE};
	assert_true(region.fd >= 0 && !ftruncate(region.fd, (off_t)(2 * page_size)));
	region.addr = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
	assert_true(region.addr != MAP_FAILED);
	memset(region.addr, 0x31, page_size);
	memset((uint8_t *)region.addr + page_size, 0x32, page_size);
}

static void world_end(void)
{
	munmap(region.addr, 2 * page_size);
	close(region.fd);
	vmap_page_put(process, pages, PAGES);
	assert_int_equal(vmap_process_destroy(process), 0);
}

static void run(struct vmap_process_config config)
{
	size_t descriptors = open_descriptors();

	config.pool_max = 16 * MIB;
	config.space_size = 64 * MIB;
	world_config = config;
	world_make();
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		fail_each(&operations[i]);
	world_end();
	assert_int_equal(open_descriptors(), descriptors);
}

static void test_default(void **state)
{
	(void)state;
	run((struct vmap_process_config){0});
}

/* With every call that is made only if asked for. */
static void test_configured(void **state)
{
	struct vmap_process_config config = {
		.fork = VMAP_FORK_DONT, .huge = VMAP_HUGE_TRY, .quarantine = MIB, .guards = VMAP_GUARDS_MARKED};

	(void)state;
	if (!access("/sys/devices/system/node/node0", F_OK)) {
		config.numa = VMAP_NUMA_PREFER;
		config.numa_nodes = 1;
	}
	run(config);
}

static void test_everything_was_wrapped(void **state)
{
	(void)state;
	for (size_t i = 0; i < INJECT_END; i++) {
		if (i == INJECT_SYSCALL && access("/sys/devices/system/node/node0", F_OK))
			continue;
		if (!inject_seen((enum inject_name)i))
			fail_msg("nothing called %s: is it called so?", inject_text((enum inject_name)i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_configured),
		cmocka_unit_test(test_everything_was_wrapped),
	};

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
