/* SPDX-License-Identifier: GPL-2.0-only */
/* A set of blocks against an array that knows the same. */
#include "blocks.h"
#include "mutate.h"
#include "support.h"

#define ALL 1000u
#define BASE (UINT64_C(0x123456789) * 64 - 500)

static void test_random(void **state)
{
	struct mutate random = {1};
	struct xr_blocks set = {0};
	bool model[ALL] = {false};

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint32_t at = mutate_random(&random, ALL), len = mutate_random(&random, mutate_random(&random, 8) ? 20 : 300);
		bool any = false, all = true;
		struct xr_extent e;

		len = at + len > ALL ? ALL - at : len;
		e = (struct xr_extent){BASE + at, len};
		for (uint32_t k = at; k < at + len; k++) {
			any |= model[k];
			all &= model[k];
		}
		assert_int_equal(xr_blocks_any(&set, &e), any);
		assert_int_equal(xr_blocks_all(&set, &e), all);
		any = mutate_random(&random, 2);
		if (any)
			assert_int_equal(xr_blocks_add(&set, &e), 0);
		else
			xr_blocks_remove(&set, &e);
		for (uint32_t k = at; k < at + len; k++)
			model[k] = any;
	}
	xr_blocks_clear(&set);
	assert_false(xr_blocks_any(&set, &(struct xr_extent){BASE, ALL}));
}

/* Extents from a log may be anything. */
static void test_hostile(void **state)
{
	static const struct xr_extent extents[] = {
		{UINT64_MAX, 1}, {UINT64_MAX, 200}, {UINT64_MAX - 63, 64}, {UINT64_MAX - 64, 65}, {0, 0}, {UINT64_MAX, 0}};
	struct xr_blocks set = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(extents) / sizeof(extents[0]); i++) {
		assert_int_equal(xr_blocks_add(&set, &extents[i]), 0);
		assert_true(xr_blocks_all(&set, &extents[i]));
		assert_int_equal(xr_blocks_any(&set, &extents[i]), extents[i].bbs != 0);
		xr_blocks_remove(&set, &extents[i]);
		assert_false(xr_blocks_any(&set, &extents[i]));
	}
	xr_blocks_clear(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_hostile)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
