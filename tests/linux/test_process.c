/* SPDX-License-Identifier: MIT */
/* The process object: configuration, limits, what keeps it alive, and many threads at once. */
#include "support.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void test_configuration(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct vmap_process_config config = {.pool_max = 3 * page, .space_size = 8 * page, .name = "test_process"};
	struct vmap_process *process;
	struct vmap_page *pages[4];
	struct vmap_stats stats;
	char line[512];
	bool named = false;
	FILE *maps;

	(void)state;
	assert_int_equal(vmap_process_create(&config, &process), 0);
	vmap_space_stats(vmap_process_space(process), &stats);
	assert_int_equal(stats.free, 8 * page);
	assert_int_equal(vmap_page_alloc(process, 0, 4, pages), -VMAP_ENOMEM);
	assert_int_equal(vmap_page_alloc(process, 0, 3, pages), 0);
	maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		named = named || strstr(line, "/memfd:test_process");
	fclose(maps);
	assert_true(named);
	vmap_page_put(process, pages, 3);
	assert_int_equal(vmap_process_destroy(process), 0);

	config.pool_max++;
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_EINVAL);
	assert_null(process);
	config = (struct vmap_process_config){.space_size = page / 2};
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_EINVAL);
	config = (struct vmap_process_config){.space_size = SIZE_MAX & ~(page - 1)};
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_ENOMEM);
	config = (struct vmap_process_config){.pool_max = SIZE_MAX & ~(page - 1)};
	assert_int_equal(vmap_process_create(&config, &process), -VMAP_ENOMEM);
}

/* Live areas, waiting areas, referenced pages. */
static void test_busy(void **state)
{
	struct vmap_process_config config = {.lazy_max = SIZE_MAX};
	struct vmap_process *process;
	struct vmap_space *space;
	struct vmap_page *page;
	uint8_t *view;

	(void)state;
	assert_int_equal(vmap_process_create(&config, &process), 0);
	space = vmap_process_space(process);
	assert_int_equal(vmap_page_alloc(process, 0, 1, &page), 0);
	assert_int_equal(vmap_pages(space, &page, 1, NULL, (void **)&view), 0);
	assert_int_equal(vmap_process_destroy(process), -VMAP_EBUSY);
	*view = 1;
	assert_int_equal(vmap_unmap(space, view), 0);
	assert_int_equal(vmap_process_destroy(process), -VMAP_EBUSY);
	assert_int_equal(*(uint8_t *)vmap_page_address(process, page), 1);
	vmap_page_put(process, &page, 1);
	assert_int_equal(vmap_process_destroy(process), 0);
}

/* A process object leaves neither mappings nor descriptors behind. */
static void test_no_trace(void **state)
{
	struct vmap_process *process;
	size_t before;
	int first, second;
	void *view;

	(void)state;
	first = dup(0);
	close(first);
	assert_int_equal(vmap_process_create(NULL, &process), 0);
	assert_int_equal(vmap_process_destroy(process), 0);
	before = count_mappings();
	for (int i = 0; i < 40; i++) {
		assert_int_equal(vmap_process_create(NULL, &process), 0);
		assert_int_equal(vmap_alloc(vmap_process_space(process), 1 << 20, 0, NULL, &view), 0);
		assert_int_equal(vmap_free(vmap_process_space(process), view), 0);
		assert_int_equal(vmap_process_destroy(process), 0);
	}
	/* A sanitizer's own mappings may grow a little; one forgotten each time would be 40. */
	assert_true(count_mappings() < before + 40);
	second = dup(0);
	close(second);
	assert_int_equal(first, second);
}

#ifndef TEST_SANITIZED /* A sanitizer's shadow alone is larger than any limit that would say something here. */
/* In a process of its own: 0, or the number of the step that went wrong. */
static int under_address_limit(void)
{
	struct rlimit limit = {.rlim_cur = (rlim_t)1 << 30, .rlim_max = RLIM_INFINITY};
	struct vmap_process_config large = {.space_size = (size_t)2 << 30};
	struct vmap_process *process;
	size_t before = count_mappings();
	void *view;

	setrlimit(RLIMIT_AS, &limit);
	if (vmap_process_create(&large, &process) != -VMAP_ENOMEM || process)
		return 1;
	large = (struct vmap_process_config){.pool_max = (size_t)2 << 30};
	if (vmap_process_create(&large, &process) != -VMAP_ENOMEM)
		return 2;
	if (count_mappings() > before)
		return 3;
	if (vmap_process_create(NULL, &process))
		return 4;
	if (vmap_alloc(vmap_process_space(process), 1 << 20, 2, NULL, &view))
		return 5;
	memset(view, 1, 1 << 20);
	if (vmap_free(vmap_process_space(process), view) || vmap_process_destroy(process))
		return 6;
	return 0;
}

static void test_address_limit(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (!child)
		_exit(under_address_limit());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}
#endif

/* A pool or a space that is full: an error, and afterwards all of it can be had again. */
static void test_full(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct vmap_process_config config = {.pool_max = 16 * page, .space_size = 64 * page};
	struct vmap_process *process;
	struct vmap_space *space;
	struct vmap_process_stats pool;
	struct vmap_stats stats;
	struct vmap_page *pages[16], *many[80];
	void *view;

	(void)state;
	assert_int_equal(vmap_process_create(&config, &process), 0);
	space = vmap_process_space(process);
	assert_int_equal(vmap_alloc(space, 17 * page, 0, NULL, &view), -VMAP_ENOMEM);
	vmap_space_stats(space, &stats);
	vmap_process_stats(process, &pool);
	assert_int_equal(stats.free, 64 * page);
	assert_int_equal(pool.pool_pages, 0);

	assert_int_equal(vmap_page_alloc(process, 0, 16, pages), 0);
	for (size_t i = 0; i < 80; i++)
		many[i] = pages[i % 16];
	assert_int_equal(vmap_pages(space, many, 64, NULL, &view), -VMAP_ENOSPC);
	assert_int_equal(pages[0]->refs, 1);
	assert_int_equal(vmap_pages(space, many, 63, NULL, &view), 0);
	assert_int_equal(pages[0]->refs, 5);
	assert_int_equal(vmap_unmap(space, view), 0);
	assert_int_equal(pages[0]->refs, 1);
	vmap_page_put(process, pages, 16);
	assert_int_equal(vmap_process_destroy(process), 0);
}

#define THREADS 4
#define ROUNDS 400

struct worker {
	struct vmap_process *process;
	struct vmap_page *shared; /* one page that all threads map all the time */
	unsigned seed;
	int errors;
};

/* One round: some pages of one order and the shared one as a view, filled here, read there. */
static int work_once(struct worker *w)
{
	struct vmap_space *space = vmap_process_space(w->process);
	unsigned order = (unsigned)rand_r(&w->seed) % 4;
	size_t n = 1 + (size_t)rand_r(&w->seed) % 8, size = (size_t)sysconf(_SC_PAGESIZE) << order;
	struct vmap_page *pages[9];
	uint8_t *view, fill = (uint8_t)rand_r(&w->seed);
	int bad = 0;

	if (vmap_page_alloc(w->process, order, n, pages))
		return 1;
	pages[n] = w->shared;
	for (size_t i = 0; i < n; i++)
		memset(vmap_page_address(w->process, pages[i]), fill + (int)i, size);
	if (vmap_pages(space, pages, n + 1, NULL, (void **)&view))
		return 2;
	vmap_page_put(w->process, pages, n);
	for (size_t i = 0; i < n; i++) {
		bad += view[i * size] != (uint8_t)(fill + i);
		bad += view[(i + 1) * size - 1] != (uint8_t)(fill + i);
	}
	bad += view[n * size] != 0x5a;
	return vmap_unmap(space, view) ? 3 : bad;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < ROUNDS; i++)
		w->errors += work_once(w) != 0;
	return NULL;
}

static void run_threads(size_t lazy_max)
{
	struct vmap_process_config config = {.lazy_max = lazy_max};
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct vmap_process_stats stats;
	struct vmap_process *process;
	struct vmap_page *shared;

	assert_int_equal(vmap_process_create(&config, &process), 0);
	assert_int_equal(vmap_page_alloc(process, 0, 1, &shared), 0);
	*(uint8_t *)vmap_page_address(process, shared) = 0x5a;
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.process = process, .shared = shared, .seed = i + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].errors, 0);
	}
	vmap_purge(vmap_process_space(process));
	vmap_process_stats(process, &stats);
	assert_int_equal(stats.pool_pages, 1);
	assert_int_equal(shared->refs, 1);
	vmap_page_put(process, &shared, 1);
	assert_int_equal(vmap_process_destroy(process), 0);
}

static void test_threads(void **state)
{
	(void)state;
	run_threads(0);
}

static void test_threads_lazy(void **state)
{
	(void)state;
	run_threads(1 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration), cmocka_unit_test(test_busy),    cmocka_unit_test(test_no_trace),
#ifndef TEST_SANITIZED
		cmocka_unit_test(test_address_limit),
#endif
		cmocka_unit_test(test_full),          cmocka_unit_test(test_threads), cmocka_unit_test(test_threads_lazy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
