// SPDX-License-Identifier: MIT
/*
 * Theory: instructions for a map and the unmap that follows, of scattered order-0 pages, flushes and their share included, beside those of
 * Linux 6.1.192 (Debian) measured in the same way. Linux takes no references; its vmap() has guards, its vm_map_ram() has none.
 */
#include "../tests/conformance/conformance.h"
#include "kernel.h"

#define PAGES 1024
#define ROUNDS 4000
#define SPACE ((size_t)1 << 30)

/* What Linux lets wait on one CPU. */
#define LAZY ((size_t)32 << 20)
#define KEEP 64

struct row {
	unsigned pages, vmap, ram;
};

static const struct row linux_rows[] = {{1, 2612, 924}, {4, 2799, 1215}, {16, 3760, 2335}, {64, 7646, 6860}, {256, 23193, 22657}};

static struct vmap_page *pages[PAGES];
static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static void once(struct vmap_space *space, bool ram, unsigned n, unsigned flags)
{
	struct vmap_page **from = pages + rnd() % (PAGES - n + 1);
	const struct vmap_options options = {.flags = flags};
	void *addr;
	int err;

	if (ram) {
		err = vmap_ram(space, from, n, flags, 0, &addr);
		err = err ? err : vmap_ram_unmap(space, addr);
	} else {
		err = vmap_pages(space, from, n, &options, &addr);
		err = err ? err : vmap_unmap(space, addr);
	}
	if (err)
		panic("bench: error %d", err);
}

/* The mean of as many rounds, after as many that are not counted; flushes in a thousand of them. */
static uint64_t measure(struct vmap_space *space, bool ram, unsigned n, unsigned flags, uint64_t *flushes)
{
	struct vmap_stats before, after;
	uint64_t start;

	for (unsigned i = 0; i < ROUNDS; i++)
		once(space, ram, n, flags);
	vmap_space_stats(space, &before);
	start = ticks();
	for (unsigned i = 0; i < ROUNDS; i++)
		once(space, ram, n, flags);
	start = ticks() - start;
	vmap_space_stats(space, &after);
	*flushes = (after.flushes - before.flushes) * 1000 / ROUNDS;
	return start / ROUNDS;
}

static uint64_t show(struct vmap_space *space, bool ram, unsigned n, unsigned flags, uint64_t theirs)
{
	uint64_t flushes, ours = measure(space, ram, n, flags, &flushes), ratio = (ours * 100 + theirs - 1) / theirs;

	print("%4u  %s  %s  %7llu %7llu  %llu.%02llu  %6llu\n", n, ram ? "ram" : "map",
	      flags & VMAP_BORROW ? "borrowed  " : "references", (unsigned long long)ours, (unsigned long long)theirs,
	      (unsigned long long)ratio / 100, (unsigned long long)ratio % 100, (unsigned long long)flushes);
	return ratio;
}

static uint64_t worst(struct vmap_space *space, unsigned flags, unsigned ram_flags)
{
	uint64_t worst = 0, ratio;

	for (size_t i = 0; i < sizeof(linux_rows) / sizeof(linux_rows[0]); i++) {
		for (unsigned ram = 0; ram < 2; ram++) {
			ratio = show(space, ram, linux_rows[i].pages, ram ? ram_flags : flags,
				     ram ? linux_rows[i].ram : linux_rows[i].vmap);
			worst = ratio > worst ? ratio : worst;
		}
	}
	return worst;
}

void kernel_main(void)
{
	struct conformance_bed bed = {.host = &boot_host};
	struct vmap_page *page;
	uint64_t borrowed, references;
	size_t other;

	if (boot_host.setup(&bed, SPACE, LAZY) || boot_host.page_alloc(&bed, 0, PAGES, pages))
		panic("bench: no memory");
	((struct vmap_pgtable *)bed.data)->keep = KEEP;
	for (size_t i = PAGES - 1; i > 0; i--) {
		other = rnd() % (i + 1);
		page = pages[i];
		pages[i] = pages[other];
		pages[other] = page;
	}
	print("\ninstructions for a map and its unmap\npages      pages       libvmap   Linux  ratio  flushes in 1000\n");
	borrowed = worst(bed.space, VMAP_BORROW, VMAP_BORROW | VMAP_NO_GUARD);
	references = worst(bed.space, 0, 0);
	print("worst ratio to Linux, borrowed %llu.%02llu\n", (unsigned long long)borrowed / 100,
	      (unsigned long long)borrowed % 100);
	print("worst ratio to Linux, references %llu.%02llu\n", (unsigned long long)references / 100,
	      (unsigned long long)references % 100);
	arch_power_off(true);
}
