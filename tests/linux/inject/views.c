/* SPDX-License-Identifier: MIT */
/* Views of pages and of chunks, and changes of them. */
#include "world.h"

static struct vmap_view view;
static size_t mappings;

static int do_unmap(void)
{
	return vmap_unmap(space, addr);
}

static int do_unmap_by(void)
{
	return vmap_unmap_by(space, addr, NULL);
}

static int do_unmap_nowait(void)
{
	return vmap_unmap_nowait(space, addr);
}

static int do_pages_nowait(void)
{
	const struct vmap_options options = {.flags = VMAP_NOWAIT};

	return vmap_pages(space, some, 5, &options, &addr);
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

static int do_view_mappings(void)
{
	return vmap_view_mappings(process, addr, &mappings);
}

static bool mappings_are_told(void)
{
	return mappings >= 4;
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

/* In the pool's own mapping. */
static int do_view_direct(void)
{
	const struct vmap_options options = {.flags = VMAP_NO_GUARD};

	return vmap_view(process, pages, PAGES, &options, &view);
}

static bool view_is_direct(void)
{
	return view.how == VMAP_VIEW_DIRECT && shows(view.addr, pages, PAGES);
}

static void make_direct(void)
{
	assert_int_equal(do_view_direct(), 0);
}

static int do_mirror(void)
{
	return vmap_mirror(process, some, 5, NULL, &view);
}

static bool view_shows_twice(void)
{
	return view_shows() && shows((uint8_t *)view.addr + 5 * page_size, some, 5);
}

static struct iovec chunk(const struct vmap_page *of, size_t at, size_t size)
{
	return (struct iovec){(uint8_t *)vmap_page_address(process, of) + at, size};
}

static int do_iov(void)
{
	const struct iovec iov[] = {chunk(pages[5], 0, page_size), chunk(pages[2], 0, 100)};

	return vmap_iov(process, iov, 2, NULL, 0, &view);
}

static bool view_shows_chunks(void)
{
	return shows(view.addr, &pages[5], 1) &&
	       !memcmp((uint8_t *)view.addr + page_size, vmap_page_address(process, pages[2]), 100);
}

static void make_iov(void)
{
	assert_int_equal(do_iov(), 0);
}

static int do_iov_copy(void)
{
	const struct iovec iov[] = {chunk(pages[5], 0, page_size), chunk(pages[2], 0, 50), chunk(pages[2], 50, 50)};

	return vmap_iov(process, iov, 3, NULL, VMAP_IOV_COPY, &view);
}

const struct operation view_operations[] = {
	{.name = "vmap_pages", .call = do_pages, .done = addr_shows, .after = unmap_addr},
	{.name = "vmap_pages, without waiting", .call = do_pages_nowait, .done = addr_shows, .after = unmap_addr},
	{.name = "vmap_unmap", .before = map_addr, .call = do_unmap, .done = addr_is_gone, .cannot_fail = true},
	{.name = "vmap_unmap_by", .before = map_addr, .call = do_unmap_by, .done = addr_is_gone, .cannot_fail = true},
	{.name = "vmap_unmap_nowait", .before = map_addr, .call = do_unmap_nowait, .done = addr_is_gone, .cannot_fail = true},
	{.name = "vmap_replace", .before = map_addr, .call = do_replace, .done = addr_shows_other, .after = unmap_addr},
	{.name = "vmap_protect", .before = map_addr, .call = do_protect, .done = addr_is_read_only, .after = unmap_addr},
	{.name = "vmap_view_mappings",
	 .before = map_addr,
	 .call = do_view_mappings,
	 .done = mappings_are_told,
	 .after = unmap_addr,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_view", .call = do_view, .done = view_shows, .after = end_view},
	{.name = "vmap_view, nothing to map",
	 .call = do_view_direct,
	 .done = view_is_direct,
	 .after = end_view,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_view_end", .before = make_view, .call = do_view_end, .done = addr_is_gone, .cannot_fail = true},
	{.name = "vmap_view_end, nothing mapped",
	 .before = make_direct,
	 .call = do_view_end,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_view_end, of chunks", .before = make_iov, .call = do_view_end, .cannot_fail = true},
	{.name = "vmap_mirror", .call = do_mirror, .done = view_shows_twice, .after = end_view},
	{.name = "vmap_iov", .call = do_iov, .done = view_shows_chunks, .after = end_view},
	{.name = "vmap_iov, a copy", .call = do_iov_copy, .done = view_shows_chunks, .after = end_view},
	{.name = NULL},
};
