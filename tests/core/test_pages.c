// SPDX-License-Identifier: MIT
/* From a place in an area to its page: each base page of arrays of one order, and of mixed orders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "check.h"
#include "softmmu.h"

#define ENTRIES 60

static struct vmap_page pages[ENTRIES];

static void check_array(struct softmmu *mmu, size_t n, bool mixed)
{
	struct vmap_page_array *array = vmap_page_array_make(softmmu_host(mmu), n, mixed, false);
	size_t number = 0, within;

	assert_non_null(array);
	assert_int_equal(array->n, n);
	for (size_t i = 0; i < n; i++)
		array->pages[i] = &pages[i];
	vmap_page_array_index(array);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < (size_t)1 << pages[i].order; k++, number++) {
			assert_ptr_equal(vmap_page_array_at(array, number, &within), &pages[i]);
			assert_int_equal(within, k);
		}
	}
	vmap_page_array_free(softmmu_host(mmu), array);
}

static void every_place_has_its_page(void **state)
{
	struct softmmu *mmu = softmmu_create(0x10000, 0x10000, 1);
	uint64_t seed = 7;

	(void)state;
	assert_non_null(mmu);
	for (size_t n = 1; n <= ENTRIES; n++) {
		for (size_t i = 0; i < n; i++)
			pages[i].order = n % 4;
		check_array(mmu, n, false);
		check_array(mmu, n, true);
		for (size_t i = 0; i < n; i++)
			pages[i].order = (uint8_t)check_random(&seed, 6);
		check_array(mmu, n, true);
	}
	assert_int_equal(softmmu_destroy(mmu), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_place_has_its_page)};

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
