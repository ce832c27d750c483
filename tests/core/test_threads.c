// SPDX-License-Identifier: MIT
/*
 * Theory: threads that make random calls of every kind in one space, over a machine that reports stale translations, pages that become free too
 * early, addresses that are used too early, locks out of order. What a thread has mapped it looks at, through the CPU that it runs on,
 * until it unmaps it or hands it over to whoever takes it; in one sparse area all map, protect and unmap anything at any time. There
 * is a little too much to be mapped for the space in every second phase, so that addresses run out; in those between there is room for pools and
 * blocks. When all is unmapped nothing is left.
 *
 *	test_core_threads [pins [SEED]]
 *
 * pins: on a machine where the core writes table entries itself, and each CPU has a shard; anything else: on one without.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "check.h"
#include "softmmu.h"

#define BASE ((uintptr_t)0x40000000)
#define PAGE ((size_t)4096)
#define PAGES ((size_t)2048)
#define SIZE (PAGES * PAGE)
#define SHARED_PAGES 32
#define THREADS 4
#define STEPS (CHECK_SHARE == 1 ? 200000 : 20000)
#define PHASE 1000
#define STOCK 12
#define LIVE 32
#define ARRAY 6

enum kind { MAPPED, RAM, ALLOCATED, SPARSE, KINDS };

struct area {
	enum kind kind;
	char *addr;
	size_t pages; /* base pages */
	unsigned char mark; /* allocated: what base page i begins with, less i */
	bool writable;
	size_t n;
	struct vmap_page *array[ARRAY]; /* mapped, ram; of a sparse area: of its one part, at its begin, if there is any */
};

struct worker {
	pthread_t thread;
	unsigned number, cpu;
	uint64_t seed;
	struct vmap_page *stock[STOCK];
	struct area live[LIVE];
	size_t n, most; /* how many it has, and wants at most */
	unsigned made, refused;
	unsigned wrong; /* the line of what was wrong first */
};

static bool with_pins;
static uint64_t seed_given = 1;
static struct softmmu *mmu;
static struct vmap_space *space;
static char *shared; /* a sparse area */

/* Areas that wait for whoever takes them. */
static struct {
	pthread_mutex_t lock;
	struct area areas[LIVE];
	size_t n;
} offered = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* cmocka's assertions work in the main thread only. */
#define EXPECT(condition) expect(worker, condition, __LINE__)

static bool expect(struct worker *worker, bool condition, unsigned line)
{
	if (!condition && !worker->wrong)
		worker->wrong = line;
	return condition;
}

static uint64_t rnd(struct worker *worker, uint64_t below)
{
	return check_random(&worker->seed, below);
}

/* What base page i of the area begins with. */
static unsigned char first_byte(const struct area *area, size_t i)
{
	size_t k = 0;

	if (area->kind == ALLOCATED)
		return (unsigned char)(area->mark + i);
	while (i >= (size_t)1 << area->array[k]->order)
		i -= (size_t)1 << area->array[k++]->order;
	return (unsigned char)(area->array[k]->frame + i);
}

/* Making areas */

static void pick_pages(struct worker *worker, struct area *area)
{
	unsigned orders = rnd(worker, 2) ? 1 : 3;

	area->n = 1 + rnd(worker, ARRAY);
	area->pages = 0;
	for (size_t i = 0; i < area->n; i++) {
		area->array[i] = worker->stock[rnd(worker, STOCK / 3) * 3 + rnd(worker, orders)];
		area->pages += (size_t)1 << area->array[i]->order;
	}
}

static struct vmap_options pick_options(struct worker *worker)
{
	static const unsigned flags[] = {0, 0, 0, 0, VMAP_NO_GUARD, VMAP_NOWAIT, VMAP_SYNC, VMAP_NOWAIT | VMAP_NO_GUARD};
	struct vmap_options options = {.flags = flags[rnd(worker, 8)], .tag = "thread"};

	if (!rnd(worker, 4))
		options.align = PAGE << rnd(worker, 4);
	options.prot = rnd(worker, 6) ? 0 : VMAP_READ;
	return options;
}

static int make_pages(struct worker *worker, struct area *area, struct vmap_options *options)
{
	const struct vmap_host *host = softmmu_host(mmu);
	void *addr;
	int err;

	pick_pages(worker, area);
	if (!rnd(worker, 4))
		options->flags |= rnd(worker, 2) ? VMAP_BORROW : VMAP_PUT_PAGES;
	if (options->flags & VMAP_PUT_PAGES)
		host->page_get(mmu, area->array, area->n);
	softmmu_atomic(options->flags & VMAP_NOWAIT);
	if (area->kind == RAM)
		err = vmap_ram(space, area->array, area->n, options->flags & ~VMAP_SYNC, options->prot, &addr);
	else
		err = vmap_pages(space, area->array, area->n, options, &addr);
	softmmu_atomic(false);
	if (err && options->flags & VMAP_PUT_PAGES)
		host->page_put(mmu, area->array, area->n);
	area->addr = addr;
	return err;
}

static int make_room(struct worker *worker, struct area *area, struct vmap_options *options)
{
	void *addr;
	int err;

	area->pages = 1 + rnd(worker, rnd(worker, 4) ? 8 : 64);
	area->n = 0;
	softmmu_atomic(options->flags & VMAP_NOWAIT);
	if (area->kind == SPARSE)
		err = vmap_sparse(space, area->pages * PAGE, options, &addr);
	else
		err = vmap_alloc(space, area->pages * PAGE, (unsigned)rnd(worker, 4), options, &addr);
	softmmu_atomic(false);
	area->addr = addr;
	return err;
}

static void stamp(struct worker *worker, const struct area *area, size_t from)
{
	struct vmap_page *page;
	size_t offset;

	for (size_t i = from; i < area->pages; i++)
		if (EXPECT(!vmap_page_at(space, area->addr + i * PAGE, &page, &offset)))
			softmmu_page_bytes(mmu, page)[offset] = (unsigned char)(area->mark + i);
}

static void make(struct worker *worker)
{
	struct area area = {.kind = (enum kind)rnd(worker, KINDS), .mark = (unsigned char)rnd(worker, 256)};
	struct vmap_options options = pick_options(worker);
	int err;

	if (worker->n >= worker->most)
		return;
	area.writable = !options.prot;
	if (area.kind == MAPPED || area.kind == RAM)
		err = make_pages(worker, &area, &options);
	else
		err = make_room(worker, &area, &options);
	if (err) {
		EXPECT(err == -VMAP_ENOSPC || err == -VMAP_ENOMEM || (err == -VMAP_EAGAIN && options.flags & VMAP_NOWAIT));
		EXPECT(!area.addr);
		worker->refused++;
		return;
	}
	if (area.kind == ALLOCATED)
		stamp(worker, &area, 0);
	worker->made++;
	worker->live[worker->n++] = area;
}

/* Looking at them */

static void look(struct worker *worker, struct area *area)
{
	size_t mapped = area->kind != SPARSE ? area->pages : 0, i, copied = 0;
	unsigned char value = 0, copy = 0;
	struct vmap_area_info info;

	for (size_t k = 0; area->kind == SPARSE && k < area->n; k++)
		mapped += (size_t)1 << area->array[k]->order;
	EXPECT(!vmap_area_at(space, area->addr, &info) && info.addr == (uintptr_t)area->addr);
	EXPECT(info.size == area->pages * PAGE);
	if (!mapped)
		return;
	i = rnd(worker, mapped);
	EXPECT(softmmu_read(mmu, worker->cpu, (uintptr_t)area->addr + i * PAGE, &value));
	EXPECT(value == first_byte(area, i));
	EXPECT(!vmap_read(space, &copy, area->addr + i * PAGE, 1, &copied) && copied == 1 && copy == value);
	EXPECT(softmmu_write(mmu, worker->cpu, (uintptr_t)area->addr + i * PAGE, value) == area->writable);
}

/* Others map and unmap meanwhile: whatever is listed has an order, and all addresses are something. */
static void survey(struct worker *worker)
{
	struct vmap_explanation why;
	struct vmap_area_info info;
	struct vmap_stats stats;
	uintptr_t cursor = 0, last = 0;

	for (; !vmap_area_next(space, &cursor, &info); last = info.addr)
		EXPECT(info.addr > last && cursor > info.addr);
	vmap_space_stats(space, &stats);
	EXPECT(stats.mapped + stats.holes + stats.guards + stats.lazy + stats.ram + stats.free == SIZE);
	vmap_explain(space, (char *)BASE + rnd(worker, SIZE), &why);
}

/* Changing them */

static void protect(struct worker *worker, struct area *area)
{
	bool write = rnd(worker, 2);

	if (area->kind != MAPPED && area->kind != ALLOCATED)
		return;
	EXPECT(!vmap_protect(space, area->addr, area->pages * PAGE, write ? VMAP_WRITE : VMAP_READ));
	area->writable = write;
}

static void replace(struct worker *worker, struct area *area)
{
	size_t index = rnd(worker, ARRAY);
	struct vmap_page *page;

	if (area->kind != MAPPED || index >= area->n)
		return;
	page = worker->stock[rnd(worker, STOCK / 3) * 3 + area->array[index]->order];
	if (EXPECT(!vmap_replace(space, area->addr, index, page)))
		area->array[index] = page;
}

static void resize(struct worker *worker, struct area *area)
{
	size_t wanted = 1 + rnd(worker, 2 * area->pages), old = area->pages;
	struct vmap_options options = {0};
	struct vmap_area_info info;
	void *addr = area->addr;
	int err;

	if (area->kind != ALLOCATED)
		return;
	if (wanted > old && rnd(worker, 2))
		err = vmap_realloc_move(space, &addr, wanted * PAGE, 1, &options);
	else
		err = vmap_realloc(space, addr, wanted * PAGE, 1);
	EXPECT(!err || err == -VMAP_ENOSPC || err == -VMAP_ENOMEM);
	if (err || !EXPECT(!vmap_area_at(space, addr, &info)))
		return;
	area->addr = addr;
	area->pages = info.size / PAGE;
	stamp(worker, area, old < area->pages ? old : area->pages);
}

/* A part at the begin of a sparse area of its own. */
static void change_part(struct worker *worker, struct area *area)
{
	struct area part = *area;
	int err;

	if (area->kind != SPARSE)
		return;
	if (area->n) {
		area->n = 0;
		err = (rnd(worker, 3) ? vmap_sparse_unmap : vmap_sparse_unmap_nowait)(space, area->addr, area->pages * PAGE);
		EXPECT(!err);
		return;
	}
	pick_pages(worker, &part);
	err = vmap_sparse_map(space, area->addr, part.array, part.n, 0, 0);
	EXPECT(!err || err == -VMAP_ENOMEM || (err == -VMAP_EFAULT && part.pages > area->pages));
	if (!err) {
		part.pages = area->pages;
		*area = part;
	}
}

/* Anything, where anybody does. */
static void disturb(struct worker *worker)
{
	struct area part;
	size_t first = rnd(worker, SHARED_PAGES), n = 1 + rnd(worker, SHARED_PAGES - first);
	char *at = shared + first * PAGE;
	bool nowait = !rnd(worker, 4);
	int err;

	switch (rnd(worker, 4)) {
	case 0:
	case 1:
		pick_pages(worker, &part);
		softmmu_atomic(nowait);
		err = vmap_sparse_map(space, at, part.array, part.n, nowait ? VMAP_NOWAIT : 0, 0);
		EXPECT(!err || err == -VMAP_EEXIST || err == -VMAP_EBUSY || err == -VMAP_EFAULT || err == -VMAP_EAGAIN);
		break;
	case 2:
		softmmu_atomic(nowait);
		err = (nowait ? vmap_sparse_unmap_nowait : vmap_sparse_unmap)(space, at, n * PAGE);
		/* The end of the range may lie inside of a large page; then, or where a part has to be cut without waiting, nothing happens. */
		EXPECT(!err || err == -VMAP_EFAULT || err == -VMAP_EBUSY || err == -VMAP_EINVAL ||
		       (err == -VMAP_EAGAIN && nowait));
		break;
	default:
		err = vmap_protect(space, at, n * PAGE, rnd(worker, 2) ? VMAP_READ : VMAP_WRITE);
		EXPECT(!err || err == -VMAP_EFAULT || err == -VMAP_EBUSY || err == -VMAP_ENOENT);
	}
	softmmu_atomic(false);
}

/* Ending them */

static void end(struct worker *worker, size_t i)
{
	static int (*const calls[KINDS][2])(struct vmap_space * space, const void *addr) = {
		[MAPPED] = {vmap_unmap, vmap_unmap_nowait},
		[RAM] = {vmap_ram_unmap, vmap_ram_unmap_nowait},
		[ALLOCATED] = {vmap_free, vmap_free_nowait},
		[SPARSE] = {vmap_sparse_free, vmap_sparse_free_nowait},
	};
	bool nowait = !rnd(worker, 4);

	EXPECT(vmap_unmap(space, worker->live[i].addr + 1) == -VMAP_ENOENT);
	softmmu_atomic(nowait);
	EXPECT(!calls[worker->live[i].kind][nowait](space, worker->live[i].addr));
	softmmu_atomic(false);
	worker->live[i] = worker->live[--worker->n];
}

/* Offer one of them to the others, and take one in its place. */
static void hand_over(struct worker *worker, size_t i)
{
	struct area area = worker->live[i];

	worker->live[i] = worker->live[--worker->n];
	pthread_mutex_lock(&offered.lock);
	if (offered.n == LIVE) {
		worker->live[worker->n++] = offered.areas[0];
		offered.areas[0] = area;
	} else {
		offered.areas[offered.n++] = area;
	}
	pthread_mutex_unlock(&offered.lock);
}

static void step(struct worker *worker)
{
	typedef void change(struct worker * worker, struct area * area);
	static change *const changes[] = {look, look, protect, replace, resize, change_part, change_part};
	uint64_t what = rnd(worker, 16);

	if (what < 6 || !worker->n)
		make(worker);
	else if (what < 9 || worker->n > worker->most)
		end(worker, rnd(worker, worker->n));
	else if (what < 10)
		hand_over(worker, rnd(worker, worker->n));
	else if (what < 11)
		disturb(worker);
	else if (!rnd(worker, 40))
		rnd(worker, 2) ? survey(worker) : vmap_purge(space);
	else
		changes[rnd(worker, sizeof(changes) / sizeof(changes[0]))](worker, &worker->live[rnd(worker, worker->n)]);
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	softmmu_run_on(worker->cpu);
	for (unsigned i = 0; i < STEPS && !worker->wrong; i++) {
		worker->most = i / PHASE % 2 ? LIVE : 3;
		step(worker);
	}
	return NULL;
}

static void begin(struct worker *worker, unsigned number)
{
	*worker = (struct worker){.number = number, .cpu = number % SOFTMMU_CPUS, .seed = seed_given * THREADS + number};
	for (size_t i = 0; i < STOCK; i++) {
		assert_int_equal(softmmu_host(mmu)->page_alloc(mmu, i % 3, 1, &worker->stock[i]), 0);
		for (size_t k = 0; k < (size_t)1 << i % 3; k++)
			softmmu_frame_bytes(mmu, worker->stock[i]->frame + k)[0] = (unsigned char)(worker->stock[i]->frame + k);
	}
}

static void finish(struct worker *worker)
{
	for (size_t i = 0; i < STOCK; i++)
		assert_int_equal(softmmu_page_refs(mmu, worker->stock[i]), 1);
	softmmu_host(mmu)->page_put(mmu, worker->stock, STOCK);
}

static void end_all(struct worker *worker)
{
	while (worker->n)
		end(worker, 0);
	for (; offered.n; end(worker, 0))
		worker->live[worker->n++] = offered.areas[--offered.n];
	assert_int_equal(worker->wrong, 0);
	assert_int_equal(vmap_sparse_free(space, shared), 0);
	vmap_purge(space);
}

static void threads_share_a_space(void **state)
{
	struct vmap_space_config config = {.base = BASE, .size = SIZE, .lazy_max = SIZE / 8};
	struct worker workers[THREADS];
	struct vmap_stats stats;
	void *addr;

	(void)state;
	mmu = softmmu_create(BASE, SIZE, 4 * PAGES);
	assert_non_null(mmu);
	if (with_pins) {
		softmmu_pinning(mmu);
		softmmu_shards(mmu, SOFTMMU_CPUS);
	}
	softmmu_pause(mmu, 16);
	assert_int_equal(vmap_space_create(softmmu_host(mmu), &config, &space), 0);
	assert_int_equal(vmap_sparse(space, SHARED_PAGES * PAGE, NULL, &addr), 0);
	shared = addr;
	for (unsigned i = 0; i < THREADS; i++)
		begin(&workers[i], i);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		printf("thread %u: %u areas, %u refused\n", i, workers[i].made, workers[i].refused);
		if (workers[i].wrong)
			fail_msg("thread %u, line %u, seed %llu", i, workers[i].wrong, (unsigned long long)seed_given);
		assert_true(workers[i].made > STEPS / 20);
	}
	assert_null(check_space(space));
	for (unsigned i = 1; i < THREADS; i++) {
		workers[i].seed = i;
		while (workers[i].n)
			end(&workers[i], 0);
	}
	end_all(&workers[0]);
	assert_null(check_space(space));
	vmap_space_stats(space, &stats);
	assert_int_equal(stats.free + stats.ram, SIZE);
	assert_int_equal(stats.areas + stats.lazy_areas + stats.pages_held, 0);
	printf("%zu maps by entries\n", softmmu_publishes(mmu));
	assert_true(!with_pins || softmmu_publishes(mmu) > STEPS / 500);
	for (unsigned i = 0; i < THREADS; i++)
		finish(&workers[i]);
	assert_int_equal(vmap_space_destroy(space), 0);
	assert_int_equal(softmmu_destroy(mmu), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(threads_share_a_space)};

	with_pins = argc > 1 && !strcmp(argv[1], "pins");
	seed_given = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	return cmocka_run_group_tests_name(with_pins ? "threads with pins" : "threads", tests, NULL, NULL);
}
