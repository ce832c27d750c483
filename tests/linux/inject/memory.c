/* SPDX-License-Identifier: MIT */
/* Objects, their pages, and memory that comes from elsewhere or goes there. */
#include "world.h"

static struct vmap_process *second;
static struct vmap_page *page;
static struct vmap_region_config region;
static struct vmap_view view;
static int fd;

static int do_create(void)
{
	return vmap_process_create(&world_config, &second);
}

static void make_second(void)
{
	assert_int_equal(do_create(), 0);
}

static int do_destroy(void)
{
	return vmap_process_destroy(second);
}

static void end_second(void)
{
	assert_int_equal(do_destroy(), 0);
}

static int do_space(void)
{
	return vmap_process_space(process) == space ? 0 : -VMAP_ENOENT;
}

static int do_stats(void)
{
	struct vmap_process_stats stats;

	vmap_process_stats(process, &stats);
	return stats.page_size == page_size ? 0 : -VMAP_ENOENT;
}

static int do_fork_begin(void)
{
	vmap_fork_begin(process);
	return 0;
}

static void begin_fork(void)
{
	vmap_fork_begin(process);
}

static int do_fork_end(void)
{
	vmap_fork_end(process);
	return 0;
}

static void end_fork(void)
{
	vmap_fork_end(process);
}

/* In a step of the pool that has no memory yet. */
static int do_page_alloc(void)
{
	return vmap_page_alloc(process, 9, 1, &page);
}

static bool page_is_there(void)
{
	memset(vmap_page_address(process, page), 1, page_size << 9);
	return page->refs == 1;
}

static void make_page(void)
{
	assert_int_equal(do_page_alloc(), 0);
}

static int do_page_get(void)
{
	vmap_page_get(process, &page, 1);
	return 0;
}

static bool page_is_twice(void)
{
	return page->refs == 2;
}

static int do_page_put(void)
{
	vmap_page_put(process, &page, 1);
	return 0;
}

static void put_page(void)
{
	vmap_page_put(process, &page, 1);
	vmap_process_trim(process, 0);
}

static void put_page_twice(void)
{
	vmap_page_put(process, &page, 1);
	put_page();
}

static void make_and_put_page(void)
{
	make_page();
	vmap_page_put(process, &page, 1);
}

static int do_trim(void)
{
	vmap_process_trim(process, 0);
	return 0;
}

static void trim(void)
{
	vmap_process_trim(process, 0);
}

static int do_page_address(void)
{
	return *(uint8_t *)vmap_page_address(process, pages[3]) == 4 ? 0 : -VMAP_ENOENT;
}

static int do_page_offset(void)
{
	return vmap_page_offset(process, pages[3]) == pages[3]->frame * page_size ? 0 : -VMAP_ENOENT;
}

static void make_region(void)
{
	region = (struct vmap_region_config){
		.fd = memfd_create("region", 0), .size = 2 * page_size, .prot = VMAP_READ | VMAP_WRITE};
	assert_true(region.fd >= 0 && !ftruncate(region.fd, (off_t)(2 * page_size)));
	region.addr = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
	assert_true(region.addr != MAP_FAILED);
	memset(region.addr, 0x31, page_size);
	memset((uint8_t *)region.addr + page_size, 0x32, page_size);
}

static void end_region(void)
{
	munmap(region.addr, 2 * page_size);
	close(region.fd);
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
	return !vmap_view_end(process, &view) && right;
}

static void make_adopted(void)
{
	make_region();
	assert_int_equal(do_adopt(), 0);
}

static int do_remove(void)
{
	return vmap_region_remove(process, region.addr);
}

static void end_adopted(void)
{
	assert_int_equal(do_remove(), 0);
	end_region();
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

const struct operation memory_operations[] = {
	{.name = "vmap_process_create", .call = do_create, .after = end_second},
	{.name = "vmap_process_destroy", .before = make_second, .call = do_destroy, .cannot_fail = true},
	{.name = "vmap_process_space", .call = do_space, .cannot_fail = true, .calls_nothing = true},
	{.name = "vmap_process_stats", .call = do_stats, .cannot_fail = true, .calls_nothing = true},
	{.name = "vmap_process_descriptor", .call = do_descriptor, .after = close_fd},
	{.name = "vmap_process_trim", .before = make_and_put_page, .call = do_trim, .after = trim, .cannot_fail = true},
	{.name = "vmap_fork_begin", .call = do_fork_begin, .after = end_fork, .cannot_fail = true},
	{.name = "vmap_fork_end", .before = begin_fork, .call = do_fork_end, .cannot_fail = true},
	{.name = "vmap_page_alloc", .call = do_page_alloc, .done = page_is_there, .after = put_page},
	{.name = "vmap_page_get",
	 .before = make_page,
	 .call = do_page_get,
	 .done = page_is_twice,
	 .after = put_page_twice,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_page_put",
	 .before = make_page,
	 .call = do_page_put,
	 .after = trim,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_page_address", .call = do_page_address, .cannot_fail = true, .calls_nothing = true},
	{.name = "vmap_page_offset", .call = do_page_offset, .cannot_fail = true, .calls_nothing = true},
	{.name = "vmap_region_adopt", .before = make_region, .call = do_adopt, .done = region_is_there, .after = end_adopted},
	{.name = "vmap_region_remove", .before = make_adopted, .call = do_remove, .after = end_region, .cannot_fail = true},
	{.name = NULL},
};
