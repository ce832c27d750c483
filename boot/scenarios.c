// SPDX-License-Identifier: MIT
/*
 * Theory: what Linux's lib/test_vmalloc.c does, with libvmap's calls. There, the first byte of an area is written to and never looked at; here
 * each page gets two stamps when its area is made, one through the mapping and one by the page's own address, and when the area ends,
 * or the scenario does, each is looked for the other way round. So a page that is in two areas, a translation that is stale, or an
 * address that was given out twice shows.
 *
 * Only the calls are timed. What is unmapped is paid for when it is flushed: so the counting begins and ends at a flush.
 */
#include "kernel.h"
#include "scenarios.h"

#define PAGE ((size_t)4096)
#define RANDOM_PAGES 100

/* A chunk of Linux's percpu allocator: as much for each CPU, at a known distance. */
#define UNITS 4
#define UNIT_PAGES 8
#define UNIT_DISTANCE (32 * PAGE)

/* Those that Linux's x86-64 has: twice a stack of 16 KiB. */
#define THREAD_ALIGN_TWICE ((size_t)32 << 10)

/* An area, or a short-lived map, as a scenario holds it. */
struct held {
	void *addr;
	size_t pages;
	uint64_t stamp;
};

static struct {
	uint64_t stamp, random;
	struct held *live;
	size_t n;
	struct vmap_page *page; /* of vm_map_ram */
} state;

static unsigned rnd(unsigned below)
{
	state.random ^= state.random << 13;
	state.random ^= state.random >> 7;
	state.random ^= state.random << 17;
	return (unsigned)(state.random >> 11) % below;
}

static bool fail(const char *what, int err)
{
	print("# scenario: %s gives %d\n", what, err);
	return false;
}

/* The stamps of one page of an area: through the mapping, and by the page's own address. */
static bool find_page(const struct scenario_run *run, const struct held *held, size_t i, volatile uint64_t **mapped,
		      volatile uint64_t **own)
{
	char *addr = (char *)held->addr + i * PAGE;
	struct vmap_page *page;
	size_t offset;
	int err = vmap_page_at(run->bed->space, addr, &page, &offset);

	if (err || offset)
		return fail("vmap_page_at()", err);
	*mapped = (volatile uint64_t *)(void *)addr;
	*own = (volatile uint64_t *)(void *)run->bed->host->page_bytes(run->bed, page);
	return true;
}

static bool stamp(struct scenario_run *run, struct held *held)
{
	volatile uint64_t *mapped, *own;

	held->stamp = state.stamp;
	state.stamp += held->pages;
	for (size_t i = 0; i < held->pages; i++) {
		if (!find_page(run, held, i, &mapped, &own))
			return false;
		mapped[0] = held->stamp + i;
		own[1] = ~(held->stamp + i);
	}
	return true;
}

static bool check(struct scenario_run *run, const struct held *held)
{
	volatile uint64_t *mapped, *own;

	for (size_t i = 0; i < held->pages; i++) {
		if (!find_page(run, held, i, &mapped, &own))
			return false;
		if (own[0] != held->stamp + i || mapped[1] != ~(held->stamp + i)) {
			print("# scenario: page %zu of %zu at %p has another one's stamp\n", i, held->pages, held->addr);
			return false;
		}
		run->checked++;
	}
	return true;
}

/* One area */

static bool make(struct scenario_run *run, size_t pages, const struct vmap_options *options, struct held *held)
{
	uint64_t start = run->clock();
	int err = vmap_alloc(run->bed->space, pages * PAGE, 0, options, &held->addr);

	run->ticks += run->clock() - start;
	held->pages = pages;
	return err ? fail("vmap_alloc()", err) : stamp(run, held);
}

static bool end_with(struct scenario_run *run, const struct held *held, int (*call)(struct vmap_space *space, const void *addr))
{
	uint64_t start;
	int err;

	if (!check(run, held))
		return false;
	start = run->clock();
	err = call(run->bed->space, held->addr);
	run->ticks += run->clock() - start;
	run->counted++;
	return err ? fail("ending an area", err) : true;
}

static bool end(struct scenario_run *run, const struct held *held)
{
	return end_with(run, held, vmap_free);
}

static bool one(struct scenario_run *run, size_t pages, const struct vmap_options *options)
{
	struct held held;

	return make(run, pages, options, &held) && end(run, &held);
}

/* Again and again */

static uint64_t flushes(const struct scenario_run *run)
{
	struct vmap_stats stats;

	vmap_space_stats(run->bed->space, &stats);
	return stats.flushes;
}

static bool until_flush(struct scenario_run *run, bool (*body)(struct scenario_run *run), unsigned operations)
{
	uint64_t before = flushes(run);

	run->ticks = run->counted = 0;
	do {
		run->flushes = flushes(run);
		while (flushes(run) == run->flushes)
			if (!body(run))
				return false;
	} while (run->counted < operations);
	run->flushes = flushes(run) - before;
	return true;
}

static bool repeat(struct scenario_run *run, bool (*body)(struct scenario_run *run))
{
	return until_flush(run, body, 0) && until_flush(run, body, run->operations);
}

/* Many areas of a page that live meanwhile */

static bool live_end(struct scenario_run *run, size_t from, size_t step)
{
	for (size_t i = from; i < state.n; i += step)
		if (!end(run, &state.live[i]))
			return false;
	return true;
}

static bool with_live(struct scenario_run *run, size_t n, bool every_second_ends, bool (*body)(struct scenario_run *run))
{
	uint64_t ticks, counted;

	state.n = 0;
	state.live = heap_alloc((n + 1) * sizeof(*state.live));
	if (!state.live)
		return fail("heap_alloc()", -VMAP_ENOMEM);
	while (state.n < n && make(run, 1, NULL, &state.live[state.n]))
		state.n++;
	if (state.n < n || (every_second_ends && !live_end(run, 1, 2)))
		return false;
	vmap_purge(run->bed->space);
	if (!repeat(run, body))
		return false;
	ticks = run->ticks;
	counted = run->counted;
	if (!live_end(run, 0, every_second_ends ? 2 : 1))
		return false;
	run->ticks = ticks;
	run->counted = counted;
	heap_free(state.live);
	return true;
}

/* The scenarios */

static bool one_page(struct scenario_run *run)
{
	return one(run, 1, NULL);
}

static bool fix_size(struct scenario_run *run)
{
	return repeat(run, one_page);
}

static bool full_fit(struct scenario_run *run)
{
	return with_live(run, 2 * (size_t)run->live, true, one_page);
}

static bool large_and_small(struct scenario_run *run)
{
	struct held large, small;

	return make(run, 100, NULL, &large) && make(run, 1, NULL, &small) && end(run, &large) && end(run, &small);
}

static bool long_busy_list(struct scenario_run *run)
{
	return with_live(run, run->live, false, large_and_small);
}

static bool any_size(struct scenario_run *run)
{
	return one(run, 1 + rnd(RANDOM_PAGES), NULL);
}

static bool random_size(struct scenario_run *run)
{
	return repeat(run, any_size);
}

static bool aligned(struct scenario_run *run, size_t pages, size_t align)
{
	const struct vmap_options options = {.align = align < PAGE ? PAGE : align};
	struct held held;

	if (!make(run, pages, &options, &held))
		return false;
	if ((uintptr_t)held.addr & (align - 1))
		return fail("an aligned vmap_alloc()", -VMAP_EINVAL);
	return end(run, &held);
}

static bool five_pages_aligned(struct scenario_run *run)
{
	return aligned(run, 5, THREAD_ALIGN_TWICE);
}

static bool fix_align(struct scenario_run *run)
{
	return repeat(run, five_pages_aligned);
}

static bool any_align(struct scenario_run *run)
{
	unsigned random = rnd(256);

	return aligned(run, random % 10 + 1, (size_t)1 << random % 23);
}

static bool random_size_align(struct scenario_run *run)
{
	return repeat(run, any_align);
}

/* One page at every alignment there is: as far as the space has such an address, and beyond that an error. */
static bool every_shift(struct scenario_run *run)
{
	const struct conformance_bed *bed = run->bed;
	uintptr_t first;
	void *addr;
	int err;

	for (unsigned shift = 0; shift < 64; shift++) {
		const struct vmap_options options = {.align = (size_t)1 << (shift < 12 ? 12 : shift)};

		first = (bed->base + options.align - 1) & ~(options.align - 1);
		if (first >= bed->base && first - bed->base <= bed->size - 2 * PAGE) {
			if (!aligned(run, 1, options.align))
				return false;
			continue;
		}
		err = vmap_alloc(bed->space, PAGE, 0, &options, &addr);
		if (err != -VMAP_ENOSPC)
			return fail("vmap_alloc() with an alignment that no address has", err);
	}
	return true;
}

static bool align_shift(struct scenario_run *run)
{
	run->ticks = run->counted = 0;
	run->flushes = flushes(run);
	while (run->counted < run->operations)
		if (!every_shift(run))
			return false;
	run->flushes = flushes(run) - run->flushes;
	return true;
}

/* Reserve a set and fill it with pages. */
static int make_set(const struct scenario_run *run, size_t pages, const struct vmap_options *options, void **addrs)
{
	static const size_t offsets[UNITS] = {0, UNIT_DISTANCE, 2 * UNIT_DISTANCE, 3 * UNIT_DISTANCE};
	const size_t size = pages * PAGE, sizes[UNITS] = {size, size, size, size};
	struct vmap_page *array[UNIT_PAGES];
	int err = vmap_congruent(run->bed->space, offsets, sizes, UNITS, options, addrs);

	for (unsigned i = 0; i < UNITS && !err; i++) {
		err = (uintptr_t)addrs[i] - (uintptr_t)addrs[0] == offsets[i] ? 0 : -VMAP_EFAULT;
		err = err ? err : run->bed->host->page_alloc(run->bed, 0, pages, array);
		err = err ? err : vmap_sparse_map(run->bed->space, addrs[i], array, pages, VMAP_PUT_PAGES, 0);
	}
	return err;
}

static bool one_set(struct scenario_run *run)
{
	const struct vmap_options options = {.align = PAGE << rnd(5)};
	size_t pages = 1 + rnd(UNIT_PAGES);
	struct held units[UNITS];
	void *addrs[UNITS];
	uint64_t start = run->clock();
	int err = make_set(run, pages, &options, addrs);

	run->ticks += run->clock() - start;
	if (err)
		return fail("a congruent set", err);
	for (unsigned i = 0; i < UNITS; i++) {
		units[i] = (struct held){.addr = addrs[i], .pages = pages};
		if (!stamp(run, &units[i]))
			return false;
	}
	for (unsigned i = 0; i < UNITS; i++)
		if (!check(run, &units[i]))
			return false;
	start = run->clock();
	err = vmap_congruent_free(run->bed->space, addrs, UNITS);
	run->ticks += run->clock() - start;
	run->counted++;
	return err ? fail("vmap_congruent_free()", err) : true;
}

static bool pcpu(struct scenario_run *run)
{
	return repeat(run, one_set);
}

static bool one_ram(struct scenario_run *run)
{
	struct held held = {.pages = 1};
	uint64_t start = run->clock();
	int err = vmap_ram(run->bed->space, &state.page, 1, 0, 0, &held.addr);

	run->ticks += run->clock() - start;
	if (err)
		return fail("vmap_ram()", err);
	return stamp(run, &held) && end_with(run, &held, vmap_ram_unmap);
}

static bool vm_map_ram(struct scenario_run *run)
{
	int err = run->bed->host->page_alloc(run->bed, 0, 1, &state.page);
	bool done;

	if (err)
		return fail("page_alloc()", err);
	done = repeat(run, one_ram);
	vmap_purge(run->bed->space);
	run->bed->host->page_put(run->bed, &state.page, 1);
	return done;
}

/* As an interrupt would: the making never sleeps. Every second time the end does not either. */
static bool one_page_nowait(struct scenario_run *run)
{
	const struct vmap_options options = {.flags = VMAP_NOWAIT};
	unsigned long saved = arch_irq_save();
	bool done, nowait = rnd(2);
	struct held held;

	done = make(run, 1, &options, &held) && (!nowait || end_with(run, &held, vmap_free_nowait));
	arch_irq_restore(saved);
	return done && (nowait || end(run, &held));
}

static bool no_block(struct scenario_run *run)
{
	return repeat(run, one_page_nowait);
}

const struct scenario scenarios[] = {
	{"fix_size", 0, fix_size},
	{"full_fit", 8192, full_fit},
	{"long_busy_list", 15000, long_busy_list},
	{"random_size", 0, random_size},
	{"fix_align", 0, fix_align},
	{"random_size_align", 0, random_size_align},
	{"align_shift", 0, align_shift},
	{"pcpu", 0, pcpu},
	{"vm_map_ram", 0, vm_map_ram},
	{"no_block", 0, no_block},
};

const unsigned scenario_count = sizeof(scenarios) / sizeof(scenarios[0]);

bool scenario_run(const struct scenario *scenario, struct scenario_run *run)
{
	run->checked = 0;
	state.random = 88172645463325252u;
	return scenario->run(run);
}
