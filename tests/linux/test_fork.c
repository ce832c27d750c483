/* SPDX-License-Identifier: MIT */
/*
 * What a child process has after a real fork(): shared memory and the right to end it, or nothing. A child reports the number of the
 * step that went wrong as its exit status.
 */
#include "support.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <vmap/cache.h>

#define NAME "test_fork"
#define PAGES 4
#define MIB ((size_t)1 << 20)

struct world {
	struct vmap_process *process;
	struct vmap_space *space;
	struct vmap_page *pages[PAGES];
	uint8_t *view; /* pages 2, 0, 3 */
	size_t size; /* of a page */
};

static void world_make(struct world *world, unsigned fork)
{
	const struct vmap_process_config config = {.name = NAME, .fork = fork, .pool_max = 16 * MIB, .space_size = 64 * MIB};
	struct vmap_page *some[3];

	assert_int_equal(vmap_process_create(&config, &world->process), 0);
	world->space = vmap_process_space(world->process);
	world->size = (size_t)64 << 10;
	assert_int_equal(vmap_page_alloc(world->process, VMAP_ORDER_DEFAULT, PAGES, world->pages), 0);
	for (size_t i = 0; i < PAGES; i++)
		memset(vmap_page_address(world->process, world->pages[i]), (int)i + 1, world->size);
	some[0] = world->pages[2];
	some[1] = world->pages[0];
	some[2] = world->pages[3];
	assert_int_equal(vmap_pages(world->space, some, 3, NULL, (void **)&world->view), 0);
}

static void world_end(struct world *world)
{
	assert_int_equal(vmap_unmap(world->space, world->view), 0);
	vmap_page_put(world->process, world->pages, PAGES);
	assert_int_equal(vmap_process_destroy(world->process), 0);
}

static void in_child(int (*run)(struct world *), struct world *world)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		alarm(60);
		_exit(run(world));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Mappings of the pool's file that this process has. */
static size_t mapped_files(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	size_t n = 0;

	while (maps && fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:" NAME) != NULL;
	if (maps)
		fclose(maps);
	return maps ? n : SIZE_MAX;
}

/* What would make the two disagree about the memory. */
static bool taking_is_refused(struct world *world)
{
	struct vmap_page *page;
	void *addr;

	return vmap_page_alloc(world->process, 0, 1, &page) == -VMAP_EPERM &&
	       vmap_pages(world->space, world->pages, 2, NULL, &addr) == -VMAP_EPERM && !addr &&
	       vmap_alloc(world->space, world->size, 0, NULL, &addr) == -VMAP_EPERM &&
	       vmap_replace(world->space, world->view, 0, world->pages[1]) == -VMAP_EPERM &&
	       vmap_protect(world->space, world->view, world->size, VMAP_READ) == -VMAP_EPERM;
}

static int use_inherited(struct world *world)
{
	struct vmap_area_info info;
	uint8_t byte;

	if (world->view[0] != 3 || world->view[world->size] != 1 || world->view[3 * world->size - 1] != 4)
		return 1;
	world->view[1] = 0x77;
	*((uint8_t *)vmap_page_address(world->process, world->pages[1])) = 0x78;
	if (!taking_is_refused(world))
		return 2;
	if (vmap_area_at(world->space, world->view, &info) || info.size != 3 * world->size)
		return 3;
	if (vmap_unmap(world->space, world->view) || try_read(world->view, &byte))
		return 4;
	vmap_page_put(world->process, world->pages, PAGES);
	vmap_process_trim(world->process, 0);
	return vmap_process_destroy(world->process) ? 5 : 0;
}

static void test_inherit(void **state)
{
	struct vmap_process_stats before, after;
	struct world world;

	(void)state;
	world_make(&world, VMAP_FORK_INHERIT);
	vmap_process_stats(world.process, &before);
	in_child(use_inherited, &world);
	/* The child has written, ended everything and given all of it back; here that shows as two bytes. */
	assert_int_equal(world.view[1], 0x77);
	assert_int_equal(world.view[0], 3);
	assert_int_equal(world.view[3 * world.size - 1], 4);
	assert_int_equal(*(uint8_t *)vmap_page_address(world.process, world.pages[1]), 0x78);
	vmap_process_stats(world.process, &after);
	assert_int_equal(after.pool_pages, before.pool_pages);
	assert_int_equal(after.pool_bytes, before.pool_bytes);
	assert_int_equal(after.mappings, before.mappings);
	world_end(&world);
}

/* An object of the child's own, over the parent's memory. */
static int adopt_inherited(struct world *world)
{
	const struct vmap_region_config region = {
		.fd = vmap_process_descriptor(world->process, VMAP_READ | VMAP_WRITE),
		.addr = vmap_page_address(world->process, world->pages[0]),
		.offset = vmap_page_offset(world->process, world->pages[0]),
		.size = PAGES * world->size,
		.prot = VMAP_READ | VMAP_WRITE,
	};
	const struct iovec iov[] = {{vmap_page_address(world->process, world->pages[3]), world->size},
				    {vmap_page_address(world->process, world->pages[1]), world->size}};
	struct vmap_process *own;
	struct vmap_view view;

	if (region.fd < 0 || vmap_process_create(NULL, &own) || vmap_region_adopt(own, &region))
		return 1;
	if (vmap_iov(own, iov, 2, NULL, 0, &view))
		return 2;
	if (((uint8_t *)view.addr)[0] != 4 || ((uint8_t *)view.addr)[world->size] != 2)
		return 3;
	((uint8_t *)view.addr)[1] = 0x79;
	return vmap_view_end(own, &view) || vmap_region_remove(own, region.addr) || vmap_process_destroy(own) ? 4 : 0;
}

static void test_inherit_and_adopt(void **state)
{
	struct world world;

	(void)state;
	world_make(&world, VMAP_FORK_INHERIT);
	in_child(adopt_inherited, &world);
	assert_int_equal(((uint8_t *)vmap_page_address(world.process, world.pages[3]))[1], 0x79);
	world_end(&world);
}

static int have_nothing(struct world *world)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	uint8_t byte, *own;

	if (mapped_files())
		return 1;
	for (size_t i = 0; i < PAGES; i++) {
		if (try_read(vmap_page_address(world->process, world->pages[i]), &byte) ||
		    try_read(world->view + i * world->size, &byte))
			return 2;
	}
	if (!taking_is_refused(world) || vmap_process_destroy(world->process) != -VMAP_EPERM)
		return 3;
	/* What the child maps where a view was stays the child's. */
	own = mmap(world->view, world->size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (own != world->view)
		return 4;
	own[0] = 0x55;
	if (vmap_unmap(world->space, world->view))
		return 5;
	return own[0] == 0x55 ? 0 : 6;
}

static void test_dont_fork(void **state)
{
	const struct vmap_process_config bad = {.fork = VMAP_FORK_DONT + 1};
	struct vmap_process *process;
	struct world world;
	uint8_t byte;

	(void)state;
	assert_int_equal(vmap_process_create(&bad, &process), -VMAP_EINVAL);
	world_make(&world, VMAP_FORK_DONT);
	assert_true(mapped_files() >= 4);
	in_child(have_nothing, &world);
	/* A page that was replaced is none of the child's either. */
	assert_int_equal(vmap_replace(world.space, world.view, 1, world.pages[1]), 0);
	in_child(have_nothing, &world);
	assert_int_equal(world.view[0], 3);
	assert_int_equal(world.view[world.size], 2);
	assert_false(try_read(world.view + 3 * world.size, &byte));
	world_end(&world);
}

/* Marked mappings and the reservation around them still melt into one. */
static void test_dont_fork_leaves_no_mappings(void **state)
{
	struct world world;
	size_t before;
	void *views[64];

	(void)state;
	world_make(&world, VMAP_FORK_DONT);
	before = count_mappings();
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(vmap_pages(world.space, &world.pages[i % PAGES], 1, NULL, &views[i]), 0);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(vmap_unmap(world.space, views[i * 5 % 64]), 0);
	/* A sanitizer's own mappings may grow a little; one left of each view would be 64. */
	assert_in_range(count_mappings(), 1, before + 16);
	world_end(&world);
}

struct busy {
	struct world *world;
	int stop;
};

/* Views made and ended all the time, by a thread that no child has. */
static void *keep_busy(void *arg)
{
	struct busy *busy = arg;
	struct vmap_page *page;
	void *addr;

	while (!__atomic_load_n(&busy->stop, __ATOMIC_RELAXED)) {
		if (!vmap_page_alloc(busy->world->process, 0, 1, &page)) {
			if (!vmap_pages(busy->world->space, &page, 1, NULL, &addr))
				vmap_unmap(busy->world->space, addr);
			vmap_page_put(busy->world->process, &page, 1);
		}
	}
	return NULL;
}

static int end_own(struct world *world)
{
	struct vmap_stats stats;

	vmap_fork_end(world->process);
	vmap_space_stats(world->space, &stats);
	if (!stats.areas || world->view[0] != 3)
		return 1;
	if (vmap_unmap(world->space, world->view))
		return 2;
	vmap_page_put(world->process, world->pages, PAGES);
	return 0;
}

static void test_locks(void **state)
{
	struct world world;
	struct busy busy = {.world = &world};
	pthread_t thread;

	(void)state;
	world_make(&world, VMAP_FORK_INHERIT);
	assert_int_equal(pthread_create(&thread, NULL, keep_busy, &busy), 0);
	for (int i = 0; i < 100; i++) {
		pid_t child;
		int status;

		vmap_fork_begin(world.process);
		child = fork();
		if (!child) {
			alarm(60);
			_exit(end_own(&world));
		}
		vmap_fork_end(world.process);
		assert_true(child > 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	__atomic_store_n(&busy.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inherit),   cmocka_unit_test(test_inherit_and_adopt),
		cmocka_unit_test(test_dont_fork), cmocka_unit_test(test_dont_fork_leaves_no_mappings),
		cmocka_unit_test(test_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
