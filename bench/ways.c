/* SPDX-License-Identifier: MIT */
/*
 * The ways to be compared
 *
 * Theory: each way makes a view, reads a byte of each base page (of each chunk, where it is the mapping that is compared), and
 * ends it; all of that is measured. The tuned loop is what one would write by hand: a reservation of exactly the view's size, without guards,
 * neighbours in one mmap(), page tables filled by one MADV_POPULATE_READ, by each mmap(), or by the look; the best one counts.
 *
 * Ways are taken in turn, round by round, so that whatever else the machine does meets all of them; in another order each time, drawn by lot; and
 * each finds what it is going to read in the caches as far as it fits, whoever came before. Copies leave nothing else there, which costs whoever
 * comes next some microseconds: they have rounds of their own, in which views take part but do not count.
 */
#include "bench.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "linux/process.h"

const char *const way_names[WAYS] = {
	"vmap", "loop", "loop_populate", "loop_touch",  NULL,           NULL,
	NULL,   "each", "each_populate", "memcpy_warm", "memcpy_fresh", "iovec",
};

static double clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double nanoseconds(void)
{
	return clock_of(CLOCK_MONOTONIC);
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

/* Addresses for exactly size bytes, aligned to 2 MiB. */
static uint8_t *reserve(size_t size, int prot)
{
	const size_t align = 2 * MIB;
	uint8_t *at = mmap(NULL, size + align, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t front = -(uintptr_t)at & (align - 1);

	if (at == MAP_FAILED)
		fail("no address space");
	if (front)
		munmap(at, front);
	munmap(at + front + size, align - front);
	return at + front;
}

bool work_begin(struct work *work, const struct vmap_process_config *config, size_t chunk, size_t n)
{
	struct vmap_process_stats stats;
	unsigned order;

	*work = (struct work){.n = n, .chunk = chunk, .step = 4096, .uses = 1};
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
	work->reservation = reserve(n * chunk, PROT_NONE);
	work->warm = reserve(n * chunk, PROT_READ | PROT_WRITE);
	memset(work->warm, 1, n * chunk);
	return true;
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

/* coalesce: neighbours in one call. fill: page tables with each call (MAP_POPULATE), all at the end (MADV_POPULATE_READ), or not at all (0). */
static bool way_loop(struct work *work, bool coalesce, int fill)
{
	const unsigned shift = work->process->pool.page_shift;
	const int flags = MAP_SHARED | MAP_FIXED | (fill & MAP_POPULATE);
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
	if (fill == MADV_POPULATE_READ)
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
	case WAY_LOOP_AGAIN:
	case WAY_EACH:
		return way_loop(work, way != WAY_EACH, MADV_POPULATE_READ);
	case WAY_LOOP_POPULATE:
	case WAY_LOOP_POPULATE_AGAIN:
	case WAY_EACH_POPULATE:
		return way_loop(work, way != WAY_EACH_POPULATE, MAP_POPULATE);
	case WAY_LOOP_TOUCH:
	case WAY_LOOP_TOUCH_AGAIN:
		return way_loop(work, true, 0);
	case WAY_WARM:
		return way_memcpy(work, work->warm);
	case WAY_FRESH:
		return way_fresh(work);
	default:
		return way_iov(work);
	}
}

/*
 * In nanoseconds; negative: over the budget. Of the CPU's time, should that be less than what passed: another program had the CPU
 * meanwhile. Not where threads wait for each other, which is a part of what it costs.
 */
static double run_once(struct work *work, enum way way, bool alone)
{
	double begin, cpu, passed;

	for (size_t i = 0; i < work->n; i++)
		look(work, vmap_page_address(work->process, work->pages[i]), work->chunk);
	cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
	begin = nanoseconds();
	if (!way_run(work, way))
		return -1;
	passed = nanoseconds() - begin;
	cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
	return alone && cpu < passed ? cpu : passed;
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

/* What the threads of a measurement share. */
struct rounds {
	unsigned ways;
	size_t threads, rounds;
	pthread_barrier_t barrier; /* each way begins at once, and all know whether there is another round */
	double end; /* of the process's CPU time: no round begins later, but the first ROUNDS */
};

struct runner {
	struct rounds *shared;
	struct work *work;
	double times[WAYS][ROUNDS_MAX];
};

/* The ways in an order that is the same in all threads. */
static size_t shuffle(unsigned ways, unsigned *seed, enum way order[WAYS])
{
	size_t n = 0;

	for (enum way way = 0; way < WAYS; way++) {
		if (ways & 1u << way) {
			size_t place = (size_t)rand_r(seed) % (n + 1);

			order[n++] = order[place];
			order[place] = way;
		}
	}
	return n;
}

static void *run_thread(void *arg)
{
	struct runner *r = arg;
	struct rounds *shared = r->shared;
	enum way order[WAYS] = {0};
	unsigned seed = 1;

	for (size_t n = shuffle(shared->ways, &seed, order), i = 0; i < n; i++)
		run_once(r->work, order[i], true); /* warm */
	for (size_t round = 0; round < shared->rounds; round++) {
		size_t n = shuffle(shared->ways, &seed, order);

		for (size_t i = 0; i < n; i++) {
			pthread_barrier_wait(&shared->barrier);
			r->times[order[i]][round] = run_once(r->work, order[i], shared->threads == 1);
		}
		/* One of them looks at the clock; nobody is at the end of a round meanwhile. */
		if (pthread_barrier_wait(&shared->barrier) == PTHREAD_BARRIER_SERIAL_THREAD && round + 1 >= ROUNDS_MIN &&
		    clock_of(CLOCK_PROCESS_CPUTIME_ID) > shared->end)
			shared->rounds = round + 1;
		pthread_barrier_wait(&shared->barrier);
	}
	return NULL;
}

/* Of a way that ran in these rounds of n threads. */
static struct sample sample_of(const struct runner *runners, size_t n, size_t rounds, enum way way)
{
	static double times[2 * ROUNDS_MAX];

	for (size_t i = 0; i < n * rounds; i++)
		times[i] = runners[i / rounds].times[way][i % rounds];
	return summarize(times, n * rounds);
}

/* All threads' time for a way in a round: what one of them had to wait, another one had. */
static double time_of(const struct runner *runners, size_t n, size_t round, enum way way)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += runners[i].times[way][round];
	return sum;
}

/* What a way took to the loop in the same round, the median; of the loop's three ways the one that makes it the most. */
static double to_loop(const struct runner *runners, size_t n, size_t rounds, enum way way)
{
	double ratio = 0;

	for (enum way loop = WAY_LOOP; loop <= WAY_LOOP_TOUCH; loop++) {
		static double ratios[ROUNDS_MAX];
		double median;

		for (size_t i = 0; i < rounds; i++)
			ratios[i] = time_of(runners, n, i, way) / time_of(runners, n, i, loop);
		median = summarize(ratios, rounds).median;
		ratio = median > ratio ? median : ratio;
	}
	return ratio;
}

/* The loop's fastest way, and its ratio to itself: as if it were a view. */
static double loop_to_itself(const struct runner *runners, size_t n, size_t rounds, const struct sample samples[WAYS])
{
	enum way best = WAY_LOOP;

	for (enum way loop = WAY_LOOP_POPULATE; loop <= WAY_LOOP_TOUCH; loop++)
		best = samples[loop].median < samples[best].median ? loop : best;
	return to_loop(runners, n, rounds, WAY_LOOP_AGAIN + (best - WAY_LOOP));
}

/* Samples of those ways that count. */
static void run_some(struct work *works, size_t n, unsigned ways, unsigned counted, struct sample samples[WAYS])
{
	struct rounds shared = {
		.ways = ways,
		.threads = n,
		.rounds = ways == LOOPS ? ROUNDS_MAX : ROUNDS,
		.end = clock_of(CLOCK_PROCESS_CPUTIME_ID) + ROUNDS_TIME,
	};
	static struct runner runners[2];
	pthread_t ids[2];

	pthread_barrier_init(&shared.barrier, NULL, (unsigned)n);
	for (size_t i = 0; i < n; i++) {
		runners[i].shared = &shared;
		runners[i].work = &works[i];
		if (i && pthread_create(&ids[i], NULL, run_thread, &runners[i]))
			fail("no thread");
	}
	run_thread(&runners[0]);
	for (size_t i = 1; i < n; i++)
		pthread_join(ids[i], NULL);
	pthread_barrier_destroy(&shared.barrier);
	for (enum way way = 0; way < WAYS; way++) {
		if (counted & 1u << way)
			samples[way] = sample_of(runners, n, shared.rounds, way);
	}
	if (ways == LOOPS) {
		samples[WAY_VMAP].ratio = to_loop(runners, n, shared.rounds, WAY_VMAP);
		samples[WAY_VMAP].itself = loop_to_itself(runners, n, shared.rounds, samples);
	}
}

void run_rounds(struct work *works, size_t n, unsigned ways, struct sample samples[WAYS])
{
	if ((ways & LOOPS) != LOOPS) {
		run_some(works, n, ways, ways, samples);
		return;
	}
	run_some(works, n, LOOPS, LOOPS, samples);
	if (ways & ~LOOPS)
		run_some(works, n, (ways & ~LOOPS) | 1u << WAY_VMAP, ways & ~LOOPS, samples);
}
