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

static uint32_t longest_chain(const struct xr_table *table)
{
	uint32_t longest = 0;

	for (size_t i = 0; i < table->nslots; i++) {
		uint32_t n = 0;

		for (const struct xr_entry *e = table->slots[i]; e; e = e->hash_next)
			n++;
		longest = n > longest ? n : longest;
	}
	return longest;
}

/* Keys chosen to meet: multiples of powers of two, pairs whose sum or difference is the same, and what met under a hash of ours once. */
static void test_chosen_keys(void **state)
{
	const uint64_t inverse = UINT64_C(0xf1de83e19937733d); /* of 0x9e3779b97f4a7c15 modulo 2^64 */

	(void)state;
	assert_int_equal(inverse * UINT64_C(0x9e3779b97f4a7c15), 1);
	for (int kind = 0; kind < 5; kind++) {
		struct xr_table table = {0};

		for (uint64_t i = 0; i < N; i++) {
			uint64_t a = kind == 0 ? i << 40 : kind == 1 ? i : kind == 2 ? N - i : (i << 32 | i) * inverse;
			uint64_t b = kind == 1 || kind == 2 ? i : kind == 4 ? i << 50 : 0;

			assert_non_null(xr_table_add(&table, a, b));
		}
		/* By chance alone the longest of 1000 in 1024 is about 6, and 40 would not be seen in 10^40 runs. */
		assert_true(longest_chain(&table) < 40);
		xr_table_clear(&table);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_chosen_keys)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
