/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <dirent.h>

struct vmap_process_config world_config;
struct vmap_process *process;
struct vmap_space *space;
struct vmap_page *pages[PAGES], *some[PAGES];
size_t page_size;
void *addr;

bool shows(const void *at, struct vmap_page *const *what, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (memcmp((const uint8_t *)at + i * page_size, vmap_page_address(process, what[i]), page_size))
			return false;
	}
	return true;
}

bool faults(const void *at, size_t size)
{
	uint8_t byte;

	for (size_t i = 0; i < size; i += page_size) {
		if (try_read((const uint8_t *)at + i, &byte))
			return false;
	}
	return true;
}

int do_pages(void)
{
	const struct vmap_options options = {.tag = "tag"};

	return vmap_pages(space, some, 5, &options, &addr);
}

void map_addr(void)
{
	assert_int_equal(do_pages(), 0);
}

void unmap_addr(void)
{
	assert_int_equal(vmap_unmap(space, addr), 0);
}

bool addr_shows(void)
{
	return shows(addr, some, 5);
}

bool addr_is_gone(void)
{
	return faults(addr, 5 * page_size);
}

/* All that could be left behind. */
struct shot {
	size_t mappings, descriptors;
	size_t addresses; /* bytes that are mapped, but for the heap and the stack */
	size_t unreturned; /* of those, bytes that the library says the kernel did not take back */
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

static size_t mapped_addresses(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long begin, end;
	char line[512];
	size_t n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		assert_int_equal(sscanf(line, "%lx-%lx", &begin, &end), 2);
		n += strstr(line, "[heap]") || strstr(line, "[stack]") ? 0 : end - begin;
	}
	fclose(maps);
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
		.addresses = mapped_addresses(),
		.unreturned = pool.unreturned,
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

/* clean: also the process's mappings, which may stay where the kernel refuses to make one. A sanitizer makes some of its own. */
static void same(const struct operation *operation, const char *when, const struct shot *was, const struct shot *is, bool clean)
{
	bool addresses = was->addresses - was->unreturned == is->addresses - is->unreturned;

#ifdef TEST_SANITIZED
	clean = false;
	addresses = true;
#endif
	if (was->descriptors == is->descriptors && was->pages == is->pages && was->taken == is->taken &&
	    was->areas == is->areas && was->mapped == is->mapped && was->lazy == is->lazy && was->held == is->held &&
	    was->references == is->references && addresses && (!clean || is->mappings <= was->mappings))
		return;
	fail_msg("%s, %s of %s: descriptors %zu, %zu; pages %zu, %zu; budget %zu, %zu; areas %zu, %zu; held %zu, %zu; references "
		 "%zu, %zu; mappings %zu, %zu; addresses %zu, %zu, of which unreturned %zu, %zu",
		 operation->name, when, inject_text(inject_failed()), was->descriptors, is->descriptors, was->pages, is->pages,
		 was->taken, is->taken, was->areas, is->areas, was->held, is->held, was->references, is->references,
		 was->mappings, is->mappings, was->addresses, is->addresses, was->unreturned, is->unreturned);
}

static bool is_documented(int err)
{
	return err == -VMAP_ENOMEM || err == -VMAP_EOVERFLOW || err == -VMAP_EIO || err == -VMAP_EINVAL;
}

static void step(void (*function)(void))
{
	if (function)
		function();
}

static bool did(const struct operation *operation)
{
	return !operation->done || operation->done();
}

/* The next object that is made or ends takes along what the kernel refused to take back from others. */
static void settle(void)
{
	const struct vmap_process_config small = {.pool_max = MIB, .space_size = MIB};
	struct vmap_process_stats stats;
	struct vmap_process *another;

	assert_int_equal(vmap_process_create(&small, &another), 0);
	vmap_process_stats(another, &stats);
	assert_int_equal(stats.unreturned, 0);
	assert_int_equal(vmap_process_destroy(another), 0);
}

/* The call with its at-th call failing. False: it failed. */
static bool fail_at(const struct operation *operation, size_t at, enum inject_mode mode)
{
	struct shot start = look(), before, after;
	int err;

	step(operation->before);
	before = look();
	inject_arm(at, mode);
	err = operation->call();
	inject_disarm();
	if (err) {
		if (operation->cannot_fail || !is_documented(err))
			fail_msg("%s: %d, after the failure of %s", operation->name, err, inject_text(inject_failed()));
		after = look();
		if (!operation->evicts)
			same(operation, "after the failure", &before, &after, mode == INJECT_ONCE && !operation->partly);
		assert_int_equal(operation->call(), 0);
	}
	if (!did(operation))
		fail_msg("%s did not do what it says, after the failure of %s", operation->name, inject_text(inject_failed()));
	step(operation->after);
	after = look();
	same(operation, "taken back after the failure", &start, &after, mode == INJECT_ONCE);
	if (after.unreturned)
		settle();
	after = look();
	assert_int_equal(after.unreturned, 0);
	same(operation, "settled after the failure", &start, &after, mode == INJECT_ONCE);
	return !err;
}

static void fail_each(const struct operation *operation)
{
	size_t all, failed = 0;

	/* So often that the place of a view that comes and goes has become a mapping of its own, if it does (src/linux/mmap.c). */
	for (int i = 0; i < 5; i++) {
		step(operation->before);
		inject_arm(0, INJECT_ONCE);
		assert_int_equal(operation->call(), 0);
		all = inject_disarm();
		assert_true(did(operation));
		step(operation->after);
	}
	if (operation->calls_nothing)
		assert_int_equal(all, 0);
	for (size_t at = 1; at <= all; at++) {
		failed += !fail_at(operation, at, INJECT_ONCE);
		failed += !fail_at(operation, at, INJECT_SAME);
		failed += !fail_at(operation, at, INJECT_ENDS);
	}
	print_message("%s: %zu calls, %zu errors\n", operation->name, all, failed);
}

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
}

void world_run(struct vmap_process_config config, const struct operation *const *subjects, size_t n)
{
	size_t descriptors = open_descriptors();

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	config.pool_max = 16 * MIB;
	config.space_size = 64 * MIB;
	world_config = config;
	world_make();
	for (size_t i = 0; i < n; i++) {
		for (const struct operation *operation = subjects[i]; operation->name; operation++)
			fail_each(operation);
	}
	vmap_page_put(process, pages, PAGES);
	assert_int_equal(vmap_process_destroy(process), 0);
	assert_int_equal(open_descriptors(), descriptors);
}
