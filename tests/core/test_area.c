// SPDX-License-Identifier: MIT
/* From an address to its area, against a look at all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "check.h"

#define AREAS 40
#define STRIDE 8 /* an area lies in [i * STRIDE, (i + 1) * STRIDE): neighbours may touch */

static struct vmap_area areas[AREAS];
static bool in[AREAS];

static void check_lookups(const struct vmap_tree *tree)
{
	for (uintptr_t addr = 0; addr <= (AREAS + 1) * STRIDE; addr++) {
		const struct vmap_area *covers = NULL, *from = NULL;

		for (size_t i = AREAS; i-- > 0;) {
			const struct vmap_extent *extent = &areas[i].extent;

			if (in[i] && extent->addr <= addr && addr < extent->addr + extent->size)
				covers = &areas[i];
			if (in[i] && extent->addr >= addr)
				from = &areas[i];
		}
		assert_ptr_equal(vmap_areas_at(tree, addr), covers);
		assert_ptr_equal(vmap_areas_from(tree, addr), from);
	}
}

static void lookups_find_what_is_there(void **state)
{
	struct vmap_tree tree = {.root = NULL};
	uint64_t seed = 3;
	const char *wrong;
	size_t i;

	(void)state;
	check_lookups(&tree);
	for (unsigned step = 0; step < 400; step++) {
		i = check_random(&seed, AREAS);
		if (in[i]) {
			vmap_areas_remove(&tree, &areas[i]);
		} else {
			areas[i].extent.addr = i * STRIDE + check_random(&seed, 3);
			areas[i].extent.size = (i + 1) * STRIDE - areas[i].extent.addr - check_random(&seed, 3);
			vmap_areas_insert(&tree, &areas[i]);
		}
		in[i] = !in[i];
		wrong = check_tree(&tree);
		assert_null(wrong);
		check_lookups(&tree);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lookups_find_what_is_there)};

	return cmocka_run_group_tests_name("area", tests, NULL, NULL);
}
