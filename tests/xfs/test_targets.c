/* SPDX-License-Identifier: GPL-2.0-only */
/* What the log will change: runs in order, and cuts that keep together what belongs together. */
#include "support.h"

#include "targets.h"

#define END_UNITS 200000u /* over a border between two chunks */

static void test_empty(void **state)
{
	struct xr_targets targets = {0};
	uint64_t *bounds, daddr = 0;
	uint32_t bbs;
	size_t n;

	(void)state;
	assert_false(xr_targets_run(&targets, &daddr, UINT64_MAX, &bbs));
	assert_int_equal(xr_targets_cut(&targets, 4, &bounds, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(bounds[0], 0);
	assert_int_equal(bounds[1], UINT64_MAX);
	free(bounds);
	xr_targets_clear(&targets);
}

/* What is made anew counts as noted, but no run has it; a unit that only begins or ends with it has. */
static void test_fresh(void **state)
{
	struct xr_targets targets = {0};
	uint64_t daddr = 0;
	uint32_t bbs;

	(void)state;
	assert_int_equal(xr_targets_add(&targets, 0, 1), 0);
	assert_int_equal(xr_targets_add_fresh(&targets, 4 * XR_UNIT_BBS - 1, 2 * XR_UNIT_BBS + 2), 0);
	assert_int_equal(targets.units, 5);
	assert_true(xr_targets_run(&targets, &daddr, UINT64_MAX, &bbs));
	assert_int_equal(daddr, 0);
	assert_int_equal(bbs, XR_UNIT_BBS);
	daddr += bbs;
	assert_true(xr_targets_run(&targets, &daddr, UINT64_MAX, &bbs));
	assert_int_equal(daddr, 3 * XR_UNIT_BBS);
	assert_int_equal(bbs, XR_UNIT_BBS);
	daddr += bbs;
	assert_true(xr_targets_run(&targets, &daddr, UINT64_MAX, &bbs));
	assert_int_equal(daddr, 6 * XR_UNIT_BBS);
	assert_int_equal(bbs, XR_UNIT_BBS);
	daddr += bbs;
	assert_false(xr_targets_run(&targets, &daddr, UINT64_MAX, &bbs));
	xr_targets_clear(&targets);
}

static void test_model(void **state)
{
	struct xr_targets targets = {0};
	uint8_t *noted = calloc(END_UNITS + 1, 1), *joined = calloc(END_UNITS + 1, 1);
	uint64_t rng = 7, *bounds, daddr = 0, seen = 0, total = 0;
	uint32_t bbs;
	size_t n;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		uint64_t first;
		uint32_t len;

		rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407;
		first = (rng >> 33) % (i % 2 ? END_UNITS - 4 : 70000) * XR_UNIT_BBS + (rng >> 20) % XR_UNIT_BBS;
		len = 1 + (uint32_t)(rng >> 50) % (3 * XR_UNIT_BBS);
		assert_int_equal(xr_targets_add(&targets, first, len), 0);
		for (uint64_t u = first / XR_UNIT_BBS; u <= (first + len - 1) / XR_UNIT_BBS; u++) {
			noted[u] = 1;
			joined[u] |= u < (first + len - 1) / XR_UNIT_BBS;
		}
	}
	for (uint64_t u = 0; u < END_UNITS; u++)
		total += noted[u];
	assert_int_equal(targets.units, total);
	while (xr_targets_run(&targets, &daddr, UINT64_MAX, &bbs)) {
		for (uint64_t u = daddr / XR_UNIT_BBS; u < (daddr + bbs) / XR_UNIT_BBS; u++, seen++)
			assert_int_equal(noted[u], 1);
		daddr += bbs;
	}
	assert_int_equal(seen, total);
	assert_int_equal(xr_targets_cut(&targets, 100, &bounds, &n), 0);
	assert_int_equal(bounds[n], UINT64_MAX);
	for (size_t i = 0; i < n; i++) {
		uint64_t from = bounds[i] / XR_UNIT_BBS, to = i + 1 < n ? bounds[i + 1] / XR_UNIT_BBS : END_UNITS, units = 0;

		assert_true(bounds[i] < bounds[i + 1]);
		assert_true(!from || !joined[from - 1]);
		for (uint64_t u = from; u < to; u++)
			units += noted[u];
		/* No slice is too large but for what belongs to its last unit, none but the last is too small. */
		assert_true(i + 1 == n || units >= 100);
		for (uint64_t u = to; units > 100 && u > from && --u > from; units -= noted[u])
			if (u + 1 < to && noted[u + 1])
				assert_true(joined[u]);
		assert_true(units <= 100);
	}
	free(bounds);
	free(joined);
	free(noted);
	xr_targets_clear(&targets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty), cmocka_unit_test(test_fresh),
					   cmocka_unit_test(test_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
