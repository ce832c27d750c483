/* SPDX-License-Identifier: MIT */
/* Sparse areas: parts that come and go, cuts, and congruent sets. */
#include "world.h"

#include <vmap/sparse.h>

#define SETS 3

static void *set[SETS];

static int do_sparse(void)
{
	return vmap_sparse(space, 16 * page_size, NULL, &addr);
}

static int do_sparse_free(void)
{
	return vmap_sparse_free(space, addr);
}

static int do_sparse_free_nowait(void)
{
	return vmap_sparse_free_nowait(space, addr);
}

static void free_sparse(void)
{
	assert_int_equal(do_sparse_free(), 0);
}

static void make_sparse(void)
{
	assert_int_equal(do_sparse(), 0);
}

static uint8_t *page_of_area(size_t index)
{
	return (uint8_t *)addr + index * page_size;
}

static bool area_is_a_hole(void)
{
	return faults(addr, 16 * page_size);
}

static int do_map(void)
{
	return vmap_sparse_map(space, page_of_area(3), some, 5, 0, 0);
}

static bool part_shows(void)
{
	return shows(page_of_area(3), some, 5);
}

/* Neighbours in the pool, one mapping: to be cut in the middle. */
static void make_part(void)
{
	make_sparse();
	assert_int_equal(vmap_sparse_map(space, page_of_area(3), pages, PAGES, 0, 0), 0);
}

/* And another part right behind it, that begins where it ends in the pool's order, too. */
static void make_two_parts(void)
{
	make_sparse();
	assert_int_equal(vmap_sparse_map(space, page_of_area(3), pages, 4, 0, 0), 0);
	assert_int_equal(vmap_sparse_map(space, page_of_area(7), pages + 4, 4, 0, 0), 0);
}

/* Where a part was unmapped before. */
static void make_hole(void)
{
	make_part();
	assert_int_equal(vmap_sparse_unmap(space, page_of_area(3), PAGES * page_size), 0);
}

static int do_unmap_end(void)
{
	return vmap_sparse_unmap(space, page_of_area(7), 9 * page_size);
}

static bool beginning_shows(void)
{
	return shows(page_of_area(3), pages, 4) && faults(page_of_area(7), 9 * page_size);
}

static int do_unmap_middle(void)
{
	return vmap_sparse_unmap(space, page_of_area(5), 4 * page_size);
}

static bool ends_show(void)
{
	return shows(page_of_area(3), pages, 2) && faults(page_of_area(5), 4 * page_size) && shows(page_of_area(9), pages + 6, 2);
}

static int do_unmap_all(void)
{
	return vmap_sparse_unmap(space, addr, 16 * page_size);
}

static int do_unmap_nowait(void)
{
	return vmap_sparse_unmap_nowait(space, page_of_area(7), 4 * page_size);
}

static int do_protect(void)
{
	return vmap_protect(space, page_of_area(5), 4 * page_size, VMAP_READ);
}

static bool middle_is_read_only(void)
{
	return shows(page_of_area(3), pages, PAGES) && !try_write(page_of_area(5), 1) && !try_write(page_of_area(8), 1) &&
	       try_write(page_of_area(3), 1) && try_write(page_of_area(9), 7);
}

static int do_replace(void)
{
	return vmap_replace(space, page_of_area(7), 1, pages[0]);
}

static bool part_shows_other(void)
{
	return shows(page_of_area(3), pages, 5) && shows(page_of_area(8), pages, 1) && shows(page_of_area(9), pages + 6, 2);
}

static int do_congruent(void)
{
	const size_t offsets[SETS] = {0, 32 * page_size, 64 * page_size};
	const size_t sizes[SETS] = {16 * page_size, 4 * page_size, 16 * page_size};

	return vmap_congruent(space, offsets, sizes, SETS, NULL, set);
}

static bool set_is_congruent(void)
{
	return (uint8_t *)set[1] - (uint8_t *)set[0] == (ptrdiff_t)(32 * page_size) &&
	       (uint8_t *)set[2] - (uint8_t *)set[1] == (ptrdiff_t)(32 * page_size);
}

static int do_congruent_free(void)
{
	return vmap_congruent_free(space, set, SETS);
}

static void free_set(void)
{
	assert_int_equal(do_congruent_free(), 0);
}

static void make_set(void)
{
	assert_int_equal(do_congruent(), 0);
	assert_int_equal(vmap_sparse_map(space, set[2], some, 5, 0, 0), 0);
}

static bool set_is_gone(void)
{
	return faults(set[2], 5 * page_size);
}

const struct operation part_operations[] = {
	{.name = "vmap_sparse", .call = do_sparse, .done = area_is_a_hole, .after = free_sparse},
	{.name = "vmap_sparse_map", .before = make_sparse, .call = do_map, .done = part_shows, .after = free_sparse},
	{.name = "vmap_sparse_map, again", .before = make_hole, .call = do_map, .done = part_shows, .after = free_sparse},
	{.name = "vmap_sparse_unmap, all",
	 .before = make_two_parts,
	 .call = do_unmap_all,
	 .done = area_is_a_hole,
	 .after = free_sparse,
	 .cannot_fail = true},
	{.name = "vmap_sparse_unmap, an end",
	 .before = make_part,
	 .call = do_unmap_end,
	 .done = beginning_shows,
	 .after = free_sparse},
	{.name = "vmap_sparse_unmap, from the middle",
	 .before = make_part,
	 .call = do_unmap_middle,
	 .done = ends_show,
	 .after = free_sparse},
	{.name = "vmap_sparse_unmap, an end of two",
	 .before = make_two_parts,
	 .call = do_unmap_middle,
	 .done = ends_show,
	 .after = free_sparse},
	{.name = "vmap_sparse_unmap_nowait",
	 .before = make_two_parts,
	 .call = do_unmap_nowait,
	 .done = beginning_shows,
	 .after = free_sparse,
	 .cannot_fail = true},
	{.name = "vmap_protect, of two parts",
	 .before = make_two_parts,
	 .call = do_protect,
	 .done = middle_is_read_only,
	 .after = free_sparse,
	 .partly = true},
	{.name = "vmap_replace, in a part",
	 .before = make_two_parts,
	 .call = do_replace,
	 .done = part_shows_other,
	 .after = free_sparse},
	{.name = "vmap_sparse_free", .before = make_part, .call = do_sparse_free, .done = area_is_a_hole, .cannot_fail = true},
	{.name = "vmap_sparse_free_nowait",
	 .before = make_part,
	 .call = do_sparse_free_nowait,
	 .done = area_is_a_hole,
	 .cannot_fail = true},
	{.name = "vmap_congruent", .call = do_congruent, .done = set_is_congruent, .after = free_set},
	{.name = "vmap_congruent_free", .before = make_set, .call = do_congruent_free, .done = set_is_gone, .cannot_fail = true},
	{.name = NULL},
};
