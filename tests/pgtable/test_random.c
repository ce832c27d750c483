// SPDX-License-Identifier: MIT
/*
 * Theory: random calls beside a plain array that says, for each base page, what is mapped. After each call the pages around it, and some
 * others, are compared: entries as the manual reads them, both CPUs, and vmap_pgtable_lookup(). Every call is first made to fail at each of its
 * frame_allocs in turn, which must change nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "modes.h"

#define OPS 400
#define MAX_PAGES 24

struct cell {
	bool mapped, stale; /* stale: unmapped, or protected, and not flushed since */
	uint64_t frame;
	unsigned prot; /* with memory type */
};

struct world {
	const struct mode *mode;
	struct vmap_pgtable pgtable;
	struct vmap_pgtable_format format;
	struct machine *machine;
	struct cell *cells;
	size_t n; /* base pages */
	uint64_t seed;
};

static uint64_t rnd(struct world *w, uint64_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed % below;
}

static size_t bytes(const struct world *w, size_t pages)
{
	return pages << w->mode->decode.granule;
}

static uintptr_t addr_of(const struct world *w, size_t page)
{
	return w->mode->base + bytes(w, page);
}

static void begin(struct world *w, const struct mode *mode, size_t keep)
{
	unsigned stride = mode->decode.granule - 3;

	*w = (struct world){.mode = mode, .seed = 88172645463325252u, .n = (size_t)(mode->decode.granule > 14 ? 2 : 6) << stride};
	w->cells = calloc(w->n, sizeof(*w->cells));
	assert_non_null(w->cells);
	assert_int_equal(mode->format(&w->format), 0);
	w->machine = machine_create(&mode->decode, mode->base, bytes(w, w->n), 64);
	assert_int_equal(vmap_pgtable_init(&w->pgtable, &(struct vmap_pgtable_config){.format = &w->format,
										      .ops = machine_ops(),
										      .ctx = w->machine,
										      .root = machine_root(w->machine),
										      .base = mode->base,
										      .size = bytes(w, w->n),
										      .keep = keep}),
			 0);
}

static void end(struct world *w)
{
	vmap_pgtable_unmap(&w->pgtable, w->mode->base, bytes(w, w->n));
	vmap_pgtable_flush(&w->pgtable, NULL, 0);
	vmap_pgtable_fini(&w->pgtable);
	assert_int_equal(w->pgtable.tables, 0);
	assert_int_equal(w->pgtable.users, 0);
	assert_int_equal(machine_destroy(w->machine), 0);
	free(w->cells);
}

static void check_cpus(struct world *w, const struct cell *cell, uintptr_t addr)
{
	uint64_t pa;
	bool write;

	for (int cpu = MACHINE_EAGER; cpu <= MACHINE_LAZY; cpu++) {
		for (unsigned i = 0; i < 2; i++) {
			write = i;
			if (machine_translate(w->machine, cpu, addr, write, &pa) !=
			    (cell->mapped && (!write || cell->prot & VMAP_WRITE)))
				fail_msg("%s: CPU %d, write %d, at 0x%zx", w->mode->name, cpu, write, addr);
			if (cell->mapped && (!write || cell->prot & VMAP_WRITE))
				assert_int_equal(pa >> w->mode->decode.granule, cell->frame);
		}
	}
}

static void check_page(struct world *w, size_t page)
{
	const struct cell *cell = &w->cells[page];
	uintptr_t addr = addr_of(w, page) + 123;
	struct decode_result r = machine_decode(w->machine, addr);
	struct vmap_pgtable_leaf leaf;

	if (r.valid != cell->mapped || r.malformed)
		fail_msg("%s: page %zu is %s; %s", w->mode->name, page, r.valid ? "mapped" : "not mapped",
			 r.malformed ? r.malformed : "well formed");
	assert_int_equal(vmap_pgtable_lookup(&w->pgtable, addr, &leaf), cell->mapped ? 0 : -VMAP_ENOENT);
	if (cell->mapped) {
		assert_int_equal(r.pa, (cell->frame << w->mode->decode.granule) + 123);
		assert_int_equal(r.writable, !!(cell->prot & VMAP_WRITE));
		assert_int_equal(r.executable, !!(cell->prot & VMAP_EXEC));
		assert_int_equal(r.memory, w->mode->memory[cell->prot >> 5 & 3]);
		assert_int_equal(leaf.frame, cell->frame);
		assert_int_equal(leaf.size, r.size);
		assert_int_equal(leaf.prot & 7, cell->prot & 7);
		assert_int_equal(w->mode->memory[leaf.prot >> 5 & 3], r.memory);
		assert_true(addr >= leaf.addr && addr - leaf.addr < leaf.size);
	}
	if (!cell->stale)
		check_cpus(w, cell, addr);
}

static void check(struct world *w, size_t page, size_t n)
{
	if (page)
		check_page(w, page - 1);
	for (size_t i = 0; i < n; i += 1 + i / 16)
		check_page(w, page + i);
	if (n)
		check_page(w, page + n - 1);
	if (page + n < w->n)
		check_page(w, page + n);
	for (unsigned i = 0; i < 4; i++)
		check_page(w, rnd(w, w->n));
	assert_int_equal(machine_violations(w->machine), 0);
	assert_int_equal(machine_frames_used(w->machine), w->pgtable.tables + 1);
}

static void flush(struct world *w, size_t page, size_t n)
{
	if (rnd(w, 4)) {
		vmap_pgtable_flush(&w->pgtable, &(struct vmap_range){addr_of(w, page), bytes(w, n)}, 1);
	} else {
		vmap_pgtable_flush(&w->pgtable, NULL, 0);
		page = 0;
		n = w->n;
	}
	for (size_t i = 0; i < n; i++)
		w->cells[page + i].stale = false;
}

/* A range at random, often with borders that large leaves have too. */
static void range(struct world *w, size_t *page, size_t *n)
{
	size_t align = (size_t)1 << rnd(w, w->mode->decode.granule - 2);

	*page = rnd(w, w->n) & ~(align - 1);
	*n = 1 + rnd(w, rnd(w, 3) ? 2 * align : w->n);
	if (rnd(w, 2))
		*n = (*n + align - 1) & ~(align - 1);
	if (*n > w->n - *page)
		*n = w->n - *page;
}

static unsigned random_prot(struct world *w)
{
	unsigned prot = VMAP_READ | (unsigned)rnd(w, 8), type = (unsigned)rnd(w, 4);

	if (w->mode->memory[type] == MODE_NO_MEMORY)
		type = 0;
	return prot | type << 5 | (rnd(w, 2) ? VMAP_LARGE : 0);
}

/* Call with the first frame_alloc failing, then the second, ... until it does not fail. Nothing may have changed in between. */
static int insist(struct world *w, int (*call)(struct world *w, void *arg), void *arg, size_t page, size_t n)
{
	int err;

	for (unsigned k = 1;; k++) {
		machine_inject(w->machine, k);
		err = call(w, arg);
		if (!machine_injected(w->machine))
			break;
		assert_int_equal(err, -VMAP_ENOMEM);
		/* What a failed map showed for a moment is flushed, as the core does. */
		vmap_pgtable_flush(&w->pgtable, &(struct vmap_range){addr_of(w, page), bytes(w, n)}, 1);
		for (size_t i = 0; i < n; i++)
			w->cells[page + i].stale = false;
		check(w, page, n);
	}
	machine_inject(w->machine, 0);
	return err;
}

struct map_call {
	uintptr_t addr;
	struct vmap_page *pages[MAX_PAGES];
	size_t n;
	unsigned prot;
};

static int call_map(struct world *w, void *arg)
{
	struct map_call *call = arg;

	return vmap_pgtable_map(&w->pgtable, call->addr, call->pages, call->n, call->prot);
}

/* Pages of mixed orders, the frames of each aligned to its size. */
static void map(struct world *w, size_t page, size_t n)
{
	struct vmap_page storage[MAX_PAGES];
	struct map_call call = {.addr = addr_of(w, page), .prot = random_prot(w)};
	unsigned max = w->mode->decode.granule - 2, order;
	bool busy = false, stale = false;
	size_t count = 0;

	for (; call.n < MAX_PAGES && count < n; call.n++) {
		order = (unsigned)rnd(w, 3) ? (unsigned)rnd(w, 3) : (unsigned)rnd(w, max + 1);
		while ((size_t)1 << order > n - count)
			order--;
		storage[call.n] =
			(struct vmap_page){.frame = rnd(w, 1 << 20) >> order << order, .refs = 1, .order = (uint8_t)order};
		call.pages[call.n] = &storage[call.n];
		count += (size_t)1 << order;
	}
	for (size_t i = 0; i < count; i++) {
		busy |= w->cells[page + i].mapped;
		stale |= w->cells[page + i].stale;
	}
	if (stale)
		flush(w, page, count);
	if (busy) {
		assert_int_equal(call_map(w, &call), -VMAP_EEXIST);
		/* As after any map that failed; but the stale pages of others stay what they are. */
		vmap_pgtable_flush(&w->pgtable, &(struct vmap_range){call.addr, bytes(w, count)}, 1);
	} else {
		assert_int_equal(insist(w, call_map, &call, page, count), 0);
		for (size_t k = 0, i = page; k < call.n; k++)
			for (size_t f = 0; f < (size_t)1 << storage[k].order; f++)
				w->cells[i++] = (struct cell){.mapped = true, .frame = storage[k].frame + f, .prot = call.prot};
	}
	check(w, page, count);
}

struct range_call {
	uintptr_t addr;
	size_t size;
	unsigned prot;
};

static int call_unmap(struct world *w, void *arg)
{
	struct range_call *call = arg;

	return vmap_pgtable_unmap(&w->pgtable, call->addr, call->size);
}

static int call_protect(struct world *w, void *arg)
{
	struct range_call *call = arg;

	return vmap_pgtable_protect(&w->pgtable, call->addr, call->size, call->prot);
}

static void unmap(struct world *w, size_t page, size_t n)
{
	struct range_call call = {.addr = addr_of(w, page), .size = bytes(w, n)};

	assert_int_equal(insist(w, call_unmap, &call, page, n), 0);
	for (size_t i = page; i < page + n; i++) {
		w->cells[i].stale |= w->cells[i].mapped;
		w->cells[i].mapped = false;
	}
	check(w, page, n);
	if (rnd(w, 2))
		flush(w, page, n);
}

static void protect(struct world *w, size_t page, size_t n)
{
	struct range_call call = {.addr = addr_of(w, page), .size = bytes(w, n), .prot = VMAP_READ | (unsigned)rnd(w, 8)};
	bool hole = false;

	for (size_t i = page; i < page + n; i++)
		hole |= !w->cells[i].mapped;
	assert_int_equal(insist(w, call_protect, &call, page, n), hole ? -VMAP_EFAULT : 0);
	for (size_t i = page; i < page + n && !hole; i++) {
		w->cells[i].prot = (w->cells[i].prot & VMAP_MEMORY_MASK) | call.prot;
		w->cells[i].stale = true;
	}
	check(w, page, n);
	flush(w, page, n);
	check(w, page, n);
}

static void random_calls(void **state)
{
	static const size_t keeps[] = {0, 2, SIZE_MAX};
	struct world w;
	size_t page, n;

	(void)state;
	for (unsigned i = 0; i < mode_count; i++) {
		for (unsigned k = 0; k < 3; k++) {
			begin(&w, &modes[i], keeps[k]);
			for (unsigned op = 0; op < OPS; op++) {
				range(&w, &page, &n);
				switch (rnd(&w, 6)) {
				case 0:
					unmap(&w, page, n);
					break;
				case 1:
					protect(&w, page, 1 + n / 16);
					break;
				case 2:
					flush(&w, page, n);
					break;
				default:
					map(&w, page, n);
				}
			}
			end(&w);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_calls)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
