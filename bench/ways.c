/* SPDX-License-Identifier: MIT */
/*
 * The ways to be compared
 *
 * Theory: each way makes a view, reads a byte of each base page (of each chunk, where it is the mapping that is compared), and
 * ends it; all of that is measured. The tuned loop is what one would write by hand: a reservation of its own, neighbours in one
 * mmap(), page tables filled by one MADV_POPULATE_READ or by each mmap(); the better one counts. Ways are taken in turn, round by round, so that whatever else the machine does meets all of them.
 */
#include "bench.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "linux/process.h"
#include "linux/reserve.h"

const char *const way_names[WAYS] = {"vmap",          "loop",        "loop_populate", "each",
				     "each_populate", "memcpy_warm", "memcpy_fresh",  "iovec"};

double nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void look(const struct work *work, const uint8_t *at, size_t size)
{
	for (size_t i = 0; i < size; i += work->step)
		(void)*(const volatile uint8_t *)(at + i);
}

/* From the end and from the beginning in turn: no two are neighbours but the last. */
static bool work_scatter(struct work *work)
{
	struct vmap_page **mixed = calloc(work->n, sizeof(struct vmap_page *));

	if (!mixed)
		return false;
	for (size_t i = 0; i < work->n; i++)
		mixed[i] = work->pages[i % 2 ? i / 2 : work->n - 1 - i / 2];
	free(work->pages);
	work->pages = mixed;
	return true;
}

void **make_old(struct work *work, size_t n)
{
	struct vmap_space *space = vmap_process_space(work->process);
	void **views = calloc(n, sizeof(*views));

	for (size_t i = 0; i < n; i++) {
		if (!views || vmap_pages(space, &work->pages[i % work->n], 1, NULL, &views[i]))
			fail("no room for 10,000 live mappings");
	}
	return views;
}

void end_old(struct work *work, void **views, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vmap_unmap(vmap_process_space(work->process), views[i]);
	free(views);
}

bool work_begin(struct work *work, const struct vmap_process_config *config, size_t chunk, size_t n)
{
	struct vmap_process_stats stats;
	unsigned order;

	*work = (struct work){.n = n, .chunk = chunk, .rounds = ROUNDS, .step = 4096, .uses = 1};
	if (vmap_process_create(config, &work->process))
		return false;
	vmap_process_stats(work->process, &stats);
	order = (unsigned)__builtin_ctzl(chunk / stats.page_size);
	work->pages = calloc(n, sizeof(struct vmap_page *));
	if (vmap_page_alloc(work->process, order, n, work->pages))
		return false;
	for (size_t i = 0; i < n; i++)
		memset(vmap_page_address(work->process, work->pages[i]), (int)i + 1, chunk);
	if (!work_scatter(work))
		return false;
	work->reservation = vmap_reserve(n * chunk, (size_t)2 << 20, PROT_NONE);
	work->warm = vmap_reserve(n * chunk, (size_t)2 << 20, PROT_READ | PROT_WRITE);
	memset(work->warm, 1, n * chunk);
	return work->reservation != NULL;
}

void work_end(struct work *work)
{
	vmap_page_put(work->process, work->pages, work->n);
	vmap_process_destroy(work->process);
	munmap(work->reservation, work->n * work->chunk);
	munmap(work->warm, work->n * work->chunk);
	free(work->pages);
}

static bool way_vmap(struct work *work)
{
	struct vmap_view view;

	if (vmap_view(work->process, work->pages, work->n, NULL, &view))
		return false;
	for (size_t use = 0; use < work->uses; use++)
		look(work, view.addr, view.size);
	return !vmap_view_end(work->process, &view);
}

static void loop_end(struct work *work)
{
	mmap(work->reservation, work->n * work->chunk, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* coalesce: neighbours in one call. populate: with each call, else all at the end. */
static bool way_loop(struct work *work, bool coalesce, bool populate)
{
	const unsigned shift = work->process->pool.page_shift;
	const int flags = MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0);
	uint8_t *at = work->reservation;

	for (size_t i = 0; i < work->n;) {
		uint64_t first = work->pages[i]->frame;
		size_t size = 0;

		do {
			size += work->chunk;
			i++;
		} while (coalesce && i < work->n && work->pages[i]->frame == first + (size >> shift));
		if (mmap(at, size, PROT_READ | PROT_WRITE, flags, work->process->pool.fd, (off_t)(first << shift)) ==
		    MAP_FAILED) {
			loop_end(work);
			return false;
		}
		at += size;
	}
	if (!populate)
		madvise(work->reservation, work->n * work->chunk, MADV_POPULATE_READ);
	for (size_t use = 0; use < work->uses; use++)
		look(work, work->reservation, work->n * work->chunk);
	loop_end(work);
	return true;
}

static bool way_memcpy(struct work *work, uint8_t *to)
{
	for (size_t use = 0; use < work->uses; use++) {
		for (size_t i = 0; i < work->n; i++)
			memcpy(to + i * work->chunk, vmap_page_address(work->process, work->pages[i]), work->chunk);
		look(work, to, work->n * work->chunk);
	}
	return true;
}

static bool way_fresh(struct work *work)
{
	uint8_t *to = mmap(NULL, work->n * work->chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (to == MAP_FAILED)
		return false;
	way_memcpy(work, to);
	return !munmap(to, work->n * work->chunk);
}

static bool way_iov(struct work *work)
{
	for (size_t i = 0; i < work->n * work->uses; i++)
		look(work, vmap_page_address(work->process, work->pages[i % work->n]), work->chunk);
	return true;
}

static bool way_run(struct work *work, enum way way)
{
	switch (way) {
	case WAY_VMAP:
		return way_vmap(work);
	case WAY_LOOP:
	case WAY_LOOP_POPULATE:
		return way_loop(work, true, way == WAY_LOOP_POPULATE);
	case WAY_EACH:
	case WAY_EACH_POPULATE:
		return way_loop(work, false, way == WAY_EACH_POPULATE);
	case WAY_WARM:
		return way_memcpy(work, work->warm);
	case WAY_FRESH:
		return way_fresh(work);
	default:
		return way_iov(work);
	}
}

double run_once(struct work *work, enum way way)
{
	double begin = nanoseconds();

	return way_run(work, way) ? nanoseconds() - begin : -1;
}

struct sample better(const struct sample *one, const struct sample *other)
{
	return one->median < other->median ? *one : *other;
}

static int by_value(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

struct sample summarize(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return (struct sample){.median = values[n / 2], .p99 = values[(n * 99 + 99) / 100 - 1], .over_budget = values[0] < 0};
}

void run_rounds(struct work *work, unsigned ways, struct sample samples[WAYS])
{
	double times[WAYS][ROUNDS_MAX];

	for (enum way way = 0; way < WAYS; way++) {
		if (ways & 1u << way)
			run_once(work, way); /* warm */
	}
	for (size_t round = 0; round < work->rounds; round++) {
		/* Another one is first each time, and every other round goes backwards: who comes after a large copy finds cold caches. */
		for (size_t i = 0; i < WAYS; i++) {
			enum way way = (enum way)((round + (round % 2 ? WAYS - i : i)) % WAYS);

			if (ways & 1u << way)
				times[way][round] = run_once(work, way);
		}
	}
	for (enum way way = 0; way < WAYS; way++) {
		if (ways & 1u << way)
			samples[way] = summarize(times[way], work->rounds);
	}
}
