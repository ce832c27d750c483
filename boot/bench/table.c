// SPDX-License-Identifier: MIT
/*
 * Theory: what a map and the unmap that follows cost, of scattered order-0 pages, their share of the flushes included: what is unmapped is
 * paid for when it is flushed, so that the counting begins and ends there. How Linux was measured is said in bench.py.
 */
#include "bench.h"

#define PAGES 1024
#define SPACE ((size_t)1 << 30)
#define KEEP 64

/* At least so many rounds are counted, and so many without counting before. */
#define ROUNDS 4000

/*
 * Rounds between two looks whether there was a flush: few beside all of them. The module that measured Linux does nothing in a round but the two calls and drawing
 * a number, which takes 23 instructions there; here as many, with a look at what the calls return.
 */
#define AT_ONCE 8

/*
 * What may wait for a flush. Linux lets 8,192 pages wait on one CPU, twice as many on two (lazy_max_pages()), and of short-lived maps, which wait
 * in blocks of 256, up to the next block more. Those have no guards there; ours of 256 pages with one are areas of 257: two blocks' worth more, and
 * they flush as seldom as Linux's.
 */
#define LAZY_OF_A_CPU ((size_t)(8192 + 512) * 4096)

struct row {
	bool ram, borrowed;
	unsigned pages;
};

static struct vmap_page *pages[PAGES];

/* A number below n, by turns from everywhere: what it costs is counted, and is little. */
static inline size_t any(uint32_t *turn, size_t n)
{
	*turn += 2654435769u;
	return *turn * n >> 32;
}

uint64_t bench_ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

void bench_begin(struct conformance_bed *bed, unsigned n)
{
	*bed = (struct conformance_bed){.host = &boot_host};
	boot_shards = n;
	if (boot_host.setup(bed, SPACE, n * LAZY_OF_A_CPU))
		panic("bench: no memory");
	((struct vmap_pgtable *)bed->data)->keep = KEEP;
}

void bench_end(struct conformance_bed *bed)
{
	if (boot_host.teardown(bed))
		panic("bench: something is left behind");
}

/* Linux's vm_map_ram() has no guards. */
static unsigned flags_of(const struct row *row)
{
	if (!row->borrowed)
		return 0;
	return row->ram ? VMAP_BORROW | VMAP_NO_GUARD : VMAP_BORROW;
}

/* Rounds of one call. */
static inline __attribute__((always_inline)) void repeat(struct vmap_space *space, const struct row *row, bool ram,
							 uint32_t *turn)
{
	const struct vmap_options options = {.flags = flags_of(row)};
	const size_t n = row->pages;
	void *addr;
	int err;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		struct vmap_page *const *from = pages + any(turn, PAGES - n + 1);

		err = ram ? vmap_ram(space, from, n, options.flags, 0, &addr) : vmap_pages(space, from, n, &options, &addr);
		if (!err)
			err = ram ? vmap_ram_unmap(space, addr) : vmap_unmap(space, addr);
		if (err)
			panic("bench: error %d", err);
	}
}

/* All rounds, and then until a flush. */
static unsigned long run(struct vmap_space *space, const struct row *row)
{
	unsigned long rounds = 0, flushes;
	uint32_t turn = 0;

	do {
		flushes = shootdown_flushes();
		while (shootdown_flushes() == flushes) {
			if (row->ram)
				repeat(space, row, true, &turn);
			else
				repeat(space, row, false, &turn);
			rounds += AT_ONCE;
		}
	} while (rounds < ROUNDS);
	return rounds;
}

static void measure(struct vmap_space *space, const struct row *row)
{
	unsigned long flushes, ipis, rounds;
	uint64_t ticks;

	run(space, row);
	flushes = shootdown_flushes();
	ipis = shootdown_count();
	ticks = bench_ticks();
	rounds = run(space, row);
	ticks = bench_ticks() - ticks;
	print("table pages %u call %s how %s ticks %llu rounds %lu flushes %lu ipis %lu\n", row->pages, row->ram ? "ram" : "map",
	      row->borrowed ? "borrowed" : "references", (unsigned long long)ticks, rounds, shootdown_flushes() - flushes,
	      shootdown_count() - ipis);
}

void bench_table(struct conformance_bed *bed)
{
	struct vmap_page *page;
	uint32_t turn = 0;
	size_t other;

	if (boot_host.page_alloc(bed, 0, PAGES, pages))
		panic("bench: no memory");
	for (size_t i = PAGES - 1; i > 0; i--) {
		other = any(&turn, i + 1);
		page = pages[i];
		pages[i] = pages[other];
		pages[other] = page;
	}
	for (unsigned how = 0; how < 2; how++)
		for (unsigned n = 1; n <= 256; n *= 4)
			for (unsigned ram = 0; ram < 2; ram++)
				measure(bed->space, &(struct row){.ram = ram, .borrowed = !how, .pages = n});
	vmap_purge(bed->space);
	boot_host.page_put(bed, pages, PAGES);
}
