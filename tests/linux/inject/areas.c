/* SPDX-License-Identifier: MIT */
/* Areas with pages of their own, which grow, shrink and move; and short-lived maps. */
#include "world.h"

#include <vmap/ram.h>

static struct vmap_view hem;

static int do_alloc(void)
{
	return vmap_alloc(space, 5 * page_size, 1, NULL, &addr);
}

static bool addr_is_writable(void)
{
	memset(addr, 0x5a, 5 * page_size);
	return true;
}

static int do_free(void)
{
	return vmap_free(space, addr);
}

static int do_free_nowait(void)
{
	return vmap_free_nowait(space, addr);
}

static void free_addr(void)
{
	assert_int_equal(do_free(), 0);
}

static void alloc_five(void)
{
	assert_int_equal(do_alloc(), 0);
}

static void alloc_three(void)
{
	assert_int_equal(vmap_alloc(space, 3 * page_size, 0, NULL, &addr), 0);
	memset(addr, 0x17, 3 * page_size);
}

/* Two pages of the highest order, which may be cut only between them. */
static void alloc_large(void)
{
	assert_int_equal(vmap_alloc(space, 4 * page_size, 1, NULL, &addr), 0);
	memset(addr, 0x17, 4 * page_size);
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

static int do_grow_by_larger(void)
{
	return vmap_realloc(space, addr, 7 * page_size, 2);
}

static int do_shrink(void)
{
	return vmap_realloc(space, addr, page_size, 0);
}

static bool addr_is_shorter(void)
{
	return ((uint8_t *)addr)[page_size - 1] == 0x17 && faults((uint8_t *)addr + page_size, 2 * page_size);
}

/* The page that the new end lies in stays. */
static bool addr_has_a_page(void)
{
	return ((uint8_t *)addr)[2 * page_size - 1] == 0x17 && faults((uint8_t *)addr + 2 * page_size, 2 * page_size);
}

static int do_keep(void)
{
	return vmap_realloc(space, addr, 3 * page_size, 0);
}

static bool addr_is_as_it_was(void)
{
	return ((uint8_t *)addr)[3 * page_size - 1] == 0x17;
}

/* With a view right behind it. */
static void hem_addr_in(void)
{
	struct vmap_options behind;

	alloc_three();
	behind = (struct vmap_options){.min = (uintptr_t)addr + 4 * page_size, .max = (uintptr_t)addr + 6 * page_size - 1};
	assert_int_equal(vmap_view(process, some, 1, &behind, &hem), 0);
}

static int do_move(void)
{
	return vmap_realloc_move(space, &addr, 6 * page_size, 0, NULL);
}

static int do_move_shorter(void)
{
	return vmap_realloc_move(space, &addr, page_size, 0, NULL);
}

static void free_both(void)
{
	free_addr();
	assert_int_equal(vmap_view_end(process, &hem), 0);
}

static int do_ram(void)
{
	return vmap_ram(space, some, 5, 0, VMAP_READ | VMAP_WRITE, &addr);
}

static void make_ram(void)
{
	assert_int_equal(do_ram(), 0);
}

static int do_ram_unmap(void)
{
	return vmap_ram_unmap(space, addr);
}

static int do_ram_unmap_nowait(void)
{
	return vmap_ram_unmap_nowait(space, addr);
}

static void unmap_ram(void)
{
	assert_int_equal(do_ram_unmap(), 0);
	vmap_purge(space);
}

static void purge(void)
{
	vmap_purge(space);
}

const struct operation area_operations[] = {
	{.name = "vmap_alloc", .call = do_alloc, .done = addr_is_writable, .after = free_addr},
	{.name = "vmap_free", .before = alloc_five, .call = do_free, .done = addr_is_gone, .cannot_fail = true},
	{.name = "vmap_free_nowait", .before = alloc_five, .call = do_free_nowait, .done = addr_is_gone, .cannot_fail = true},
	{.name = "vmap_realloc, longer", .before = alloc_three, .call = do_grow, .done = addr_is_longer, .after = free_addr},
	{.name = "vmap_realloc, longer by pages of another order",
	 .before = alloc_three,
	 .call = do_grow_by_larger,
	 .done = addr_is_longer,
	 .after = free_addr},
	{.name = "vmap_realloc, shorter", .before = alloc_three, .call = do_shrink, .done = addr_is_shorter, .after = free_addr},
	{.name = "vmap_realloc, shorter within a page",
	 .before = alloc_large,
	 .call = do_shrink,
	 .done = addr_has_a_page,
	 .after = free_addr},
	{.name = "vmap_realloc, as long as before",
	 .before = alloc_three,
	 .call = do_keep,
	 .done = addr_is_as_it_was,
	 .after = free_addr},
	{.name = "vmap_realloc_move", .before = hem_addr_in, .call = do_move, .done = addr_is_longer, .after = free_both},
	{.name = "vmap_realloc_move, in place",
	 .before = alloc_three,
	 .call = do_move,
	 .done = addr_is_longer,
	 .after = free_addr},
	{.name = "vmap_realloc_move, shorter",
	 .before = hem_addr_in,
	 .call = do_move_shorter,
	 .done = addr_is_shorter,
	 .after = free_both},
	{.name = "vmap_ram", .call = do_ram, .done = addr_shows, .after = unmap_ram},
	{.name = "vmap_ram_unmap",
	 .before = make_ram,
	 .call = do_ram_unmap,
	 .done = addr_is_gone,
	 .after = purge,
	 .cannot_fail = true},
	{.name = "vmap_ram_unmap_nowait",
	 .before = make_ram,
	 .call = do_ram_unmap_nowait,
	 .done = addr_is_gone,
	 .after = purge,
	 .cannot_fail = true},
	{.name = NULL},
};
