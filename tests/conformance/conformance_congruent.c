// SPDX-License-Identifier: MIT
/* Sets of sparse areas that lie to each other as was asked for. */
#include "bed.h"

#define SPACE ((size_t)1 << 20)

static void check_free(struct conformance_bed *bed)
{
	vmap_purge(bed->space);
	assert_int_equal(bed_stats(bed).free, bed->size);
}

static void a_set_lies_as_it_should(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	size_t p = bed->page_size, offsets[] = {2 * p, 8 * p, 64 * p}, sizes[] = {4 * p, 3 * p + 1, 16 * p};
	struct vmap_options options = {.align = 32 * p, .phase = 5 * p, .tag = "set"};
	struct vmap_page *pages[3];
	struct vmap_area_info info;
	unsigned char value;
	void *addrs[3];
	uintptr_t base;

	assert_int_equal(vmap_congruent(bed->space, offsets, sizes, 3, &options, addrs), 0);
	base = (uintptr_t)addrs[0] - offsets[0];
	assert_int_equal(base % (32 * p), 5 * p);
	assert_int_equal(bed_stats(bed).areas, 3);
	assert_int_equal(bed_stats(bed).holes, 24 * p);
	assert_int_equal(bed_stats(bed).guards, 3 * p);
	bed_pages(bed, 0, 3, pages);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal((uintptr_t)addrs[i], base + offsets[i]);
		assert_int_equal(vmap_area_at(bed->space, addrs[i], &info), 0);
		assert_int_equal(info.addr, (uintptr_t)addrs[i]);
		assert_int_equal(info.size, (sizes[i] + p - 1) / p * p);
		assert_string_equal(info.tag, "set");
		assert_int_equal(vmap_sparse_map(bed->space, (char *)addrs[i] + 2 * p, &pages[i], 1, 0, 0), 0);
	}
	/* From one CPU's variable to the others' it is always as far. */
	for (size_t i = 0; i < 3; i++) {
		bed->host->page_bytes(bed, pages[i])[7] = (unsigned char)(i + 0x31);
		assert_true(bed->host->read(bed, base + 2 * p + 7 + offsets[i], &value));
		assert_int_equal(value, i + 0x31);
	}
	assert_int_equal(vmap_congruent_free(bed->space, addrs, 3), 0);
	assert_int_equal(bed_stats(bed).areas, 0);
	assert_int_equal(bed_stats(bed).lazy_areas, 3);
	assert_int_equal(bed_stats(bed).flushes, 0);
	check_free(bed);
	assert_int_equal(bed_stats(bed).flushes, 1);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

/* The lowest base at which all that a set takes is free, tried one after the other; 0: none. */
static uintptr_t lowest_base(struct conformance_bed *bed, const size_t *offsets, const size_t *sizes, size_t n, size_t align)
{
	size_t p = bed->page_size;
	uintptr_t base = (bed->base + align - 1) & ~(align - 1);

	for (; base + offsets[n - 1] + sizes[n - 1] + p <= bed->base + bed->size; base += align) {
		bool fits = true;

		for (size_t i = 0; i < n && fits; i++)
			for (size_t at = 0; at <= sizes[i] && fits; at += p)
				fits = bed_state(bed, base + offsets[i] + at) == VMAP_STATE_FREE;
		if (fits)
			return base;
	}
	return 0;
}

/* Between other areas, of which some came and went: no base is passed over. */
static void the_lowest_base_is_found(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	size_t p = bed->page_size, offsets[4], sizes[4], n = 0, n_sets = 0;
	uintptr_t areas[128], expected;
	unsigned seed = 7;
	struct vmap_page *page;
	void *addrs[4];
	int err;

	bed_pages(bed, 0, 1, &page);
	for (unsigned round = 0; round < 60; round++) {
		struct vmap_options options = {.align = p << round % 4};

		while (n < 60) {
			seed = seed * 1103515245u + 12345u;
			areas[n++] = bed_map(bed, &page, 1, &(struct vmap_options){.guard = (1 + (seed >> 16) % 4) * p});
		}
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1103515245u + 12345u;
			if ((seed >> 16) % 3) {
				bed_unmap(bed, areas[i]);
				areas[i--] = areas[--n];
			}
		}
		for (size_t i = 0; i < 4; i++) {
			seed = seed * 1103515245u + 12345u;
			sizes[i] = (1 + (seed >> 16) % 4) * p;
			offsets[i] = i ? offsets[i - 1] + sizes[i - 1] + (1 + (seed >> 20) % 8) * p : 0;
		}
		expected = lowest_base(bed, offsets, sizes, 1 + round % 4, options.align);
		err = vmap_congruent(bed->space, offsets, sizes, 1 + round % 4, &options, addrs);
		assert_int_equal(err, expected ? 0 : -VMAP_ENOSPC);
		if (err)
			continue;
		n_sets++;
		/* What lies in a pool is found only if there is nothing else. */
		assert_true((uintptr_t)addrs[0] >= expected);
		assert_int_equal((uintptr_t)addrs[0] % options.align, 0);
		for (size_t i = 0; i < 1 + round % 4; i++)
			assert_int_equal((uintptr_t)addrs[i], (uintptr_t)addrs[0] + offsets[i]);
		assert_int_equal(vmap_congruent_free(bed->space, addrs, 1 + round % 4), 0);
	}
	assert_true(n_sets > 50);
	while (n)
		bed_unmap(bed, areas[--n]);
	bed_put(bed, &page, 1);
	check_free(bed);
	bed_end(bed);
}

/* One place is left, and it waits for a flush. */
static void everything_is_given_back_first(void **state)
{
	struct conformance_bed *bed = bed_begin(state, (size_t)128 << 10, SIZE_MAX);
	size_t p = bed->page_size, offsets[] = {0, 12 * p}, sizes[] = {7 * p, 7 * p};
	struct vmap_options nowait = {.flags = VMAP_NOWAIT};
	struct vmap_page *page;
	uintptr_t areas[16];
	void *addrs[2];

	bed_pages(bed, 0, 1, &page);
	for (size_t i = 0; i < 16; i++)
		areas[i] = bed_map(bed, &page, 1, NULL);
	for (size_t i = 0; i < 15; i++)
		bed_unmap(bed, areas[i]);
	bed_atomic(bed, true);
	assert_int_equal(vmap_congruent(bed->space, offsets, sizes, 2, &nowait, addrs), -VMAP_EAGAIN);
	bed_atomic(bed, false);
	assert_null(addrs[0]);
	assert_null(addrs[1]);
	assert_int_equal(vmap_congruent(bed->space, offsets, sizes, 2, NULL, addrs), 0);
	assert_int_equal(vmap_congruent(bed->space, offsets, sizes, 2, NULL, addrs), -VMAP_ENOSPC);
	assert_null(addrs[0]);
	bed_unmap(bed, areas[15]);
	for (uintptr_t at = bed->base; at < bed->base + bed->size; at += p)
		if (bed_state(bed, at) == VMAP_STATE_HOLE && vmap_sparse_free(bed->space, bed_ptr(at)))
			fail_msg("0x%zx is not the beginning of an area", (size_t)at);
	bed_put(bed, &page, 1);
	check_free(bed);
	bed_end(bed);
}

static void sets_are_refused_as_a_whole(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_options borrow = {.flags = VMAP_BORROW}, wide = {.guard = 4 * bed->page_size};
	size_t p = bed->page_size;
	void *addrs[3];
	struct {
		size_t offsets[3], sizes[3];
		size_t n;
		const struct vmap_options *options;
		int err;
	} cases[] = {
		{{0, 4 * p, 8 * p}, {p, p, p}, 0, NULL, -VMAP_EINVAL},
		{{0, 4 * p, 8 * p}, {p, 0, p}, 3, NULL, -VMAP_EINVAL},
		{{0, 4 * p, 3 * p}, {p, p, p}, 3, NULL, -VMAP_EINVAL},
		{{0, 4 * p, 4 * p}, {p, p, p}, 3, NULL, -VMAP_EINVAL},
		{{0, 4 * p + 1, 8 * p}, {p, p, p}, 3, NULL, -VMAP_EINVAL},
		{{0, 4 * p, 8 * p}, {p, 3 * p + 1, p}, 3, NULL, -VMAP_EINVAL},
		{{0, 4 * p, 8 * p}, {p, p, p}, 3, &wide, -VMAP_EINVAL},
		{{0, 4 * p, 8 * p}, {p, p, p}, 3, &borrow, -VMAP_EINVAL},
		{{0, 4 * p, 8 * p}, {p, p, SIZE_MAX}, 3, NULL, -VMAP_ERANGE},
		{{0, 4 * p, SIZE_MAX - p + 1}, {p, p, p}, 3, NULL, -VMAP_ERANGE},
		{{0, 4 * p, bed->size}, {p, p, p}, 3, NULL, -VMAP_ENOSPC},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		addrs[0] = addrs[2] = cases;
		assert_int_equal(
			vmap_congruent(bed->space, cases[i].offsets, cases[i].sizes, cases[i].n, cases[i].options, addrs),
			cases[i].err);
		assert_true(!cases[i].n || (!addrs[0] && !addrs[2]));
	}
	assert_int_equal(bed_stats(bed).free, bed->size);
	assert_int_equal(bed_stats(bed).maps, 0);
	bed_end(bed);
}

static void sets_end_as_a_whole(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	size_t p = bed->page_size, offsets[] = {0, 8 * p, 16 * p}, sizes[] = {6 * p, 6 * p, 6 * p};
	struct vmap_stats before, after;
	void *addrs[3], *wrong[3];
	struct vmap_page *pages[3];

	bed_pages(bed, 0, 3, pages);
	assert_int_equal(vmap_congruent(bed->space, offsets, sizes, 3, NULL, addrs), 0);
	/* At the end, so that the part has the guard; in the middle. */
	assert_int_equal(vmap_sparse_map(bed->space, (char *)addrs[0] + 3 * p, pages, 3, 0, 0), 0);
	assert_int_equal(vmap_sparse_map(bed->space, (char *)addrs[1] + p, pages, 3, 0, 0), 0);
	before = bed_stats(bed);
	for (size_t i = 0; i < 3; i++) {
		for (size_t k = 0; k < 3; k++)
			wrong[k] = k == i ? (char *)addrs[k] + p : addrs[k];
		assert_int_equal(vmap_congruent_free(bed->space, wrong, 3), -VMAP_ENOENT);
		for (size_t k = 0; k < 3; k++)
			wrong[k] = k == i ? addrs[(k + 1) % 3] : addrs[k];
		assert_int_equal(vmap_congruent_free(bed->space, wrong, 3), -VMAP_EALREADY);
		after = bed_stats(bed);
		assert_int_equal(after.mapped, before.mapped);
		assert_int_equal(after.holes, before.holes);
		assert_int_equal(after.guards, before.guards);
		assert_int_equal(after.areas, 3);
		assert_int_equal(after.unmaps, 0);
		bed_check_view(bed, (uintptr_t)addrs[0] + 3 * p, pages, 3);
	}
	assert_int_equal(vmap_congruent_free(bed->space, addrs, 0), -VMAP_EINVAL);
	/* One alone, then the others, with one flush. */
	assert_int_equal(vmap_sparse_free(bed->space, addrs[2]), 0);
	assert_int_equal(vmap_sparse_map(bed->space, (char *)addrs[1] + 5 * p, pages, 1, 0, 0), 0);
	assert_int_equal(vmap_congruent_free(bed->space, addrs, 2), 0);
	after = bed_stats(bed);
	assert_int_equal(after.free, bed->size);
	assert_int_equal(after.flushes, before.flushes + 1);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(bed->host->page_refs(bed, pages[i]), 1);
	bed_put(bed, pages, 3);
	bed_end(bed);
}

const struct CMUnitTest conformance_congruent_tests[] = {
	cmocka_unit_test(a_set_lies_as_it_should),
	cmocka_unit_test(the_lowest_base_is_found),
	cmocka_unit_test(everything_is_given_back_first),
	cmocka_unit_test(sets_are_refused_as_a_whole),
	cmocka_unit_test(sets_end_as_a_whole),
	CONFORMANCE_END,
};
