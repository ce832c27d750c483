/* SPDX-License-Identifier: MIT */
/* Views of pages: no system call where the pool's mapping is the answer, mirrors, and entries replaced while a view lives. */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <vmap/view.h>

static struct vmap_process *process;
static size_t page_size;
static struct vmap_page *pages[64];

static const struct vmap_options no_guard = {.flags = VMAP_NO_GUARD};

static int setup(void **state)
{
	(void)state;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (vmap_process_create(NULL, &process) || vmap_page_alloc(process, 0, 64, pages))
		return -1;
	for (size_t i = 0; i < 64; i++)
		memset(vmap_page_address(process, pages[i]), (int)i + 1, page_size);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(pages[i]->refs, 1);
	vmap_page_put(process, pages, 64);
	return vmap_process_destroy(process);
}

static uint64_t calls(void)
{
	struct vmap_process_stats stats;

	vmap_process_stats(process, &stats);
	return stats.mmaps;
}

static void view_of(struct vmap_page *const *some, size_t n, const struct vmap_options *options, struct vmap_view *view)
{
	assert_int_equal(vmap_view(process, some, n, options, view), 0);
	assert_int_equal(view->size, n * page_size);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(((uint8_t *)view->addr)[(i + 1) * page_size - 1],
				 *(uint8_t *)vmap_page_address(process, some[i]));
}

static void test_contiguous_needs_nothing(void **state)
{
	uint64_t before = calls();
	struct vmap_process_stats stats;
	struct vmap_view view;

	(void)state;
	view_of(pages + 3, 7, &no_guard, &view);
	assert_ptr_equal(view.addr, vmap_page_address(process, pages[3]));
	assert_int_equal(view.how, VMAP_VIEW_DIRECT);
	assert_int_equal(view.mappings, 0);
	assert_int_equal(pages[3]->refs, 2);
	assert_int_equal(pages[9]->refs, 2);
	assert_int_equal(pages[10]->refs, 1);
	assert_int_equal(calls(), before);
	vmap_process_stats(process, &stats);
	assert_int_equal(stats.mappings, 0);
	assert_int_equal(vmap_view_end(process, &view), 0);
	assert_null(view.addr);
	assert_int_equal(vmap_view_end(process, &view), -VMAP_EINVAL);
}

/* What the pool's own mapping is not: guarded, of another protection, scattered, somewhere else. */
static void test_what_must_be_mapped(void **state)
{
	const uintptr_t at = (uintptr_t)vmap_page_address(process, pages[1]);
	const struct vmap_options asked[] = {
		{0},
		{.flags = VMAP_NO_GUARD, .prot = VMAP_READ},
		{.flags = VMAP_NO_GUARD, .align = page_size << 4, .phase = (at & ((page_size << 4) - 1)) ^ page_size},
	};
	struct vmap_page *backwards[] = {pages[1], pages[0]};
	struct vmap_view view;

	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		view_of(pages + 1, 2, &asked[i], &view);
		assert_int_equal(view.how, 0);
		assert_int_equal(view.mappings, 2);
		assert_int_equal(vmap_view_end(process, &view), 0);
	}
	view_of(backwards, 2, &no_guard, &view);
	assert_int_equal(view.how, 0);
	assert_int_equal(view.mappings, 3);
	assert_int_equal(vmap_view_end(process, &view), 0);
	assert_int_equal(vmap_view(process, pages, 0, &no_guard, &view), -VMAP_EINVAL);
	assert_int_equal(vmap_view(process, NULL, 1, &no_guard, &view), -VMAP_EINVAL);
	assert_null(view.addr);
}

static void test_references_of_direct_views(void **state)
{
	const struct vmap_options borrow = {.flags = VMAP_NO_GUARD | VMAP_BORROW},
				  put = {.flags = VMAP_NO_GUARD | VMAP_PUT_PAGES};
	struct vmap_page *mixed[3];
	struct vmap_process_stats stats;
	struct vmap_view view;

	(void)state;
	view_of(pages, 2, &borrow, &view);
	assert_int_equal(view.how, VMAP_VIEW_DIRECT | VMAP_VIEW_BORROWED);
	assert_int_equal(pages[0]->refs, 1);
	assert_int_equal(vmap_view_end(process, &view), 0);
	assert_int_equal(pages[0]->refs, 1);

	/* Of mixed orders, and the view has the last reference. */
	assert_int_equal(vmap_page_alloc(process, 6, 1, &mixed[0]), 0);
	assert_int_equal(vmap_page_alloc(process, 3, 1, &mixed[1]), 0);
	assert_int_equal(vmap_page_alloc(process, 0, 1, &mixed[2]), 0);
	assert_int_equal(mixed[2]->frame, mixed[0]->frame + 64 + 8);
	assert_int_equal(vmap_view(process, mixed, 3, &put, &view), 0);
	assert_int_equal(view.how, VMAP_VIEW_DIRECT);
	assert_int_equal(view.size, 73 * page_size);
	assert_int_equal(mixed[1]->refs, 1);
	assert_int_equal(vmap_view_end(process, &view), 0);
	vmap_process_stats(process, &stats);
	assert_int_equal(stats.pool_pages, 64);
}

static void test_mirror(void **state)
{
	struct vmap_page *ring[] = {pages[5], pages[2], pages[9]};
	const struct vmap_options put = {.flags = VMAP_PUT_PAGES};
	struct vmap_view view;
	uint8_t *at;

	(void)state;
	assert_int_equal(vmap_mirror(process, ring, 3, NULL, &view), 0);
	assert_int_equal(view.size, 6 * page_size);
	assert_int_equal(ring[0]->refs, 3);
	at = view.addr;
	memcpy(at + 3 * page_size - 4, "one way", 8);
	assert_memory_equal(at, "way", 4);
	assert_memory_equal(vmap_page_address(process, pages[5]), "way", 4);
	assert_int_equal(vmap_view_end(process, &view), 0);
	assert_int_equal(vmap_mirror(process, ring, 3, &put, &view), -VMAP_EINVAL);
	assert_int_equal(vmap_mirror(process, ring, 0, NULL, &view), -VMAP_EINVAL);
}

static void test_replace(void **state)
{
	struct vmap_space *space = vmap_process_space(process);
	struct vmap_page *page, *large, *some[8];
	size_t before = count_mappings(), offset;
	struct vmap_view view;
	uint8_t *at;

	(void)state;
	assert_int_equal(vmap_page_alloc(process, 1, 1, &large), 0);
	memcpy(some, pages, sizeof(some));
	view_of(some, 8, NULL, &view);
	at = view.addr;
	/* The middle of a run, both ends, and one entry twice. */
	static const size_t order[] = {3, 0, 7, 3};

	for (size_t i = 0; i < 4; i++) {
		struct vmap_page *old = some[order[i]];
		uint32_t refs = old->refs;

		some[order[i]] = pages[20 + i];
		assert_int_equal(vmap_replace(space, at, order[i], some[order[i]]), 0);
		assert_int_equal(old->refs, refs - 1);
		assert_int_equal(some[order[i]]->refs, 2);
		for (size_t k = 0; k < 8; k++)
			assert_int_equal(at[k * page_size], *(uint8_t *)vmap_page_address(process, some[k]));
		assert_int_equal(vmap_page_at(space, at + order[i] * page_size, &page, &offset), 0);
		assert_ptr_equal(page, some[order[i]]);
	}
	at[3 * page_size] = 0xee;
	assert_int_equal(*(uint8_t *)vmap_page_address(process, pages[23]), 0xee);
	assert_int_equal(vmap_replace(space, at, 8, pages[0]), -VMAP_EINVAL);
	assert_int_equal(vmap_replace(space, at, 0, large), -VMAP_EINVAL);
	assert_int_equal(vmap_replace(space, at, 0, NULL), -VMAP_EINVAL);
	assert_int_equal(vmap_replace(space, at + page_size, 0, pages[0]), -VMAP_ENOENT);
	assert_int_equal(vmap_view_end(process, &view), 0);
	assert_int_equal(vmap_replace(space, at, 0, pages[0]), -VMAP_ENOENT);
	assert_in_range(count_mappings(), before - 2, before + 2);
	vmap_page_put(process, &large, 1);
}

static void test_replace_has_its_cost(void **state)
{
	const struct vmap_process_config config = {.mappings_max = 5};
	struct vmap_process *small;
	struct vmap_page *some[4];
	struct vmap_process_stats stats;
	void *view;

	(void)state;
	assert_int_equal(vmap_process_create(&config, &small), 0);
	assert_int_equal(vmap_page_alloc(small, 0, 4, some), 0);
	assert_int_equal(vmap_pages(vmap_process_space(small), some, 3, NULL, &view), 0);
	assert_int_equal(vmap_replace(vmap_process_space(small), view, 1, some[3]), 0);
	vmap_process_stats(small, &stats);
	assert_int_equal(stats.mappings, 4);
	assert_int_equal(vmap_replace(vmap_process_space(small), view, 0, some[3]), -VMAP_EOVERFLOW);
	assert_int_equal(some[3]->refs, 2);
	assert_int_equal(vmap_unmap(vmap_process_space(small), view), 0);
	vmap_process_stats(small, &stats);
	assert_int_equal(stats.mappings, 0);
	vmap_page_put(small, some, 4);
	assert_int_equal(vmap_process_destroy(small), 0);
}

#ifndef TEST_SANITIZED /* To TSan every mmap() is a write to the whole range, and a reader meanwhile a race. */
/* One thread reads a byte of an entry all the time while another replaces it: it is always one page's or the other's. */
struct reader {
	const volatile uint8_t *at;
	uint8_t one, other;
	int stop, wrong;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		uint8_t byte = __atomic_load_n(r->at, __ATOMIC_RELAXED);

		r->wrong += byte != r->one && byte != r->other;
	}
	return NULL;
}

static void test_replace_under_a_reader(void **state)
{
	struct vmap_space *space = vmap_process_space(process);
	struct reader r = {.one = 2, .other = 31};
	struct vmap_view view;
	pthread_t thread;

	(void)state;
	view_of(pages, 3, NULL, &view);
	r.at = (uint8_t *)view.addr + page_size;
	assert_int_equal(pthread_create(&thread, NULL, read_on, &r), 0);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(vmap_replace(space, view.addr, 1, pages[i % 2 ? 1 : 30]), 0);
	__atomic_store_n(&r.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(vmap_view_end(process, &view), 0);
}
#endif

/* Base pages of [addr, addr + size) that the page tables show already. */
static size_t present(const void *addr, size_t size)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t n = 0;

	assert_true(fd >= 0);
	for (size_t at = 0; at < size; at += page_size) {
		uint64_t entry;

		assert_int_equal(pread(fd, &entry, sizeof(entry), (off_t)(((uintptr_t)addr + at) / page_size * sizeof(entry))),
				 sizeof(entry));
		n += entry >> 63;
	}
	close(fd);
	return n;
}

/* Whether they are asked for window by window or all at once, every page of a small view is there before the first look. */
static void test_page_tables_are_filled(void **state)
{
	const unsigned order = (unsigned)__builtin_ctzl(65536 / page_size);
	struct vmap_page *chunks[8], *some[4];
	struct vmap_view view;

	(void)state;
	assert_int_equal(vmap_page_alloc(process, order, 8, chunks), 0);
	for (size_t i = 0; i < 8; i++)
		memset(vmap_page_address(process, chunks[i]), (int)i + 1, 65536);
	for (size_t i = 0; i < 4; i++)
		some[i] = chunks[6 - 2 * i];
	assert_int_equal(vmap_view(process, some, 4, NULL, &view), 0);
	assert_int_equal((uintptr_t)view.addr % 65536, 0);
	assert_int_equal(present(view.addr, view.size), view.size / page_size);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(((uint8_t *)view.addr)[i * 65536 + 5], 7 - 2 * i);
	assert_int_equal(vmap_view_end(process, &view), 0);

	/* Not aligned to windows: a page before them. */
	some[0] = pages[5];
	assert_int_equal(vmap_view(process, some, 4, NULL, &view), 0);
	assert_int_equal(present(view.addr, view.size), view.size / page_size);
	assert_int_equal(vmap_view_end(process, &view), 0);
	vmap_page_put(process, chunks, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_contiguous_needs_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_must_be_mapped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_references_of_direct_views, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_page_tables_are_filled, setup, teardown),
#ifndef TEST_SANITIZED
		cmocka_unit_test_setup_teardown(test_replace_under_a_reader, setup, teardown),
#endif
		cmocka_unit_test(test_replace_has_its_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
