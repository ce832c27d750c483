/* SPDX-License-Identifier: GPL-2.0-only */
/* The hash table: every key once, in order of insertion, across growth and removal. */
#include "support.h"

#include "table.h"

#define N 1000u

static void test_order(void **state)
{
	struct xr_table table = {0};
	struct xr_entry *e;
	uint64_t n = 0;

	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		e = xr_table_add(&table, i / 10, i % 10);
		assert_non_null(e);
		assert_int_equal(e->value, 0);
		e->value = i;
	}
	assert_ptr_equal(xr_table_add(&table, 3, 7), xr_table_find(&table, 3, 7));
	assert_int_equal(table.count, N);
	for (uint64_t i = 0; i < N; i += 3)
		xr_table_remove(&table, xr_table_find(&table, i / 10, i % 10));
	for (e = table.first; e; e = e->next, n++) {
		assert_int_equal(e->value, n / 2 * 3 + 1 + n % 2);
		assert_ptr_equal(xr_table_find(&table, e->a, e->b), e);
	}
	assert_int_equal(n, table.count);
	assert_null(xr_table_find(&table, 0, 0));
	assert_null(xr_table_find(&table, N, 0));
	xr_table_clear(&table);
	assert_int_equal(table.count, 0);
	assert_null(xr_table_find(&table, 0, 1));
	assert_non_null(xr_table_add(&table, 0, 1));
	assert_ptr_equal(table.first, table.last);
	xr_table_remove(&table, table.first);
	assert_null(table.first);
	assert_null(table.last);
	xr_table_clear(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
