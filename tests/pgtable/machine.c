// SPDX-License-Identifier: MIT
/*
 * Theory: table frames are a piece of memory (real) with a second one beside it (seen), which is what the lazy CPU knows. The eager CPU's
 * TLB has one place for each base page of the range, its walk cache one for each entry of each table frame.
 *
 * At every hook, and before every access, the eager CPU walks the whole range through real, skipping holes, and remembers what it finds.
 * A flush happens after a last look. One mutex guards all this; the library under test writes to real while others look, as it may.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "machine.h"

#define GARBAGE 0xff /* in new and free frames: entries that are present, and wrong */

struct tlb_entry {
	bool valid, writable;
	uint64_t frame, size;
	unsigned memory;
};

struct machine {
	struct decode_mode mode;
	uintptr_t base;
	size_t size, frames, used;
	size_t touched; /* no frame behind these was ever used */
	unsigned char *real, *seen;
	bool *in_use;
	struct tlb_entry *tlb;
	uint64_t *walk_cache; /* by entry of any table frame: the table it was seen to refer to, 0: none */
	unsigned *remembered; /* by frame: entries of the walk cache that refer to it */
	unsigned faults, inject, violations, root_changes;
	bool injected, quiet;
	char last[160];
	pthread_mutex_t lock;
};

__attribute__((format(printf, 2, 3))) static void violation(struct machine *m, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(m->last, sizeof(m->last), format, args);
	va_end(args);
	m->violations++;
	if (!m->quiet)
		fprintf(stderr, "machine: %s\n", m->last);
}

static size_t page_size(const struct machine *m)
{
	return (size_t)1 << m->mode.granule;
}

/* Where a physical address lies in the memory for tables; garbage where it does not. */
static uint64_t load(const struct machine *m, const unsigned char *memory, uint64_t phys)
{
	if (phys < MACHINE_TABLES || phys - MACHINE_TABLES >= m->frames * page_size(m))
		return UINT64_MAX;
	return __atomic_load_n((const uint64_t *)(const void *)(memory + (phys - MACHINE_TABLES)), __ATOMIC_RELAXED);
}

static uint64_t load_real(void *arg, uint64_t phys)
{
	const struct machine *m = arg;

	return load(m, m->real, phys);
}

static uint64_t load_seen(void *arg, uint64_t phys)
{
	const struct machine *m = arg;

	return load(m, m->seen, phys);
}

/* The eager CPU */

static void remember_table(struct machine *m, uint64_t slot, uint64_t table)
{
	uint64_t *cached = &m->walk_cache[(slot - MACHINE_TABLES) / 8];

	if (*cached && *cached != table)
		violation(m, "the entry at 0x%llx refers to another table, and the first was never flushed",
			  (unsigned long long)slot);
	if (*cached)
		return;
	*cached = table;
	m->remembered[(table - MACHINE_TABLES) >> m->mode.granule]++;
}

static void remember(struct machine *m, uintptr_t addr, const struct decode_result *r)
{
	struct tlb_entry *tlb = &m->tlb[(addr - m->base) >> m->mode.granule];

	if (tlb->valid && (tlb->frame != r->pa >> m->mode.granule || tlb->size != r->size || tlb->memory != r->memory))
		violation(m, "0x%zx has another translation, and the first was never flushed", (size_t)addr);
	if (!tlb->valid)
		*tlb = (struct tlb_entry){true, r->writable, r->pa >> m->mode.granule, r->size, r->memory};
}

/* Bytes from addr on that r says are not mapped: up to the end of what one entry covers, and of entries of its table that are as empty. */
static size_t hole(struct machine *m, uintptr_t addr, const struct decode_result *r)
{
	uint64_t slot = r->slot[r->slots - 1], end = (slot | (page_size(m) - 1)) + 1;
	size_t size = r->size - (addr & (r->size - 1));

	for (slot += 8; slot < end && !load_real(m, slot); slot += 8)
		size += r->size;
	return size;
}

/* Remember all that can be found between the two; gives the end of what was looked at. */
static void observe(struct machine *m, uintptr_t from, uintptr_t to)
{
	struct decode_result r;
	size_t step;

	for (uintptr_t addr = from; addr < to; addr += step) {
		r = decode(&m->mode, MACHINE_TABLES, addr, load_real, m);
		if (r.malformed)
			violation(m, "0x%zx: %s (0x%llx)", (size_t)addr, r.malformed, (unsigned long long)r.entry[r.slots - 1]);
		for (unsigned i = 0; i + 1 < r.slots; i++)
			remember_table(m, r.slot[i], r.slot[i + 1] & ~(uint64_t)(page_size(m) - 1));
		step = r.valid ? page_size(m) : hole(m, addr, &r);
		if (step > to - addr)
			return;
		if (r.valid)
			remember(m, addr, &r);
	}
}

static struct machine *enter(void *ctx)
{
	struct machine *m = ctx;

	pthread_mutex_lock(&m->lock);
	observe(m, m->base, m->base + m->size);
	return m;
}

static void leave(struct machine *m)
{
	pthread_mutex_unlock(&m->lock);
}

static void forget(struct machine *m, uintptr_t addr, size_t size)
{
	memset(&m->tlb[(addr - m->base) >> m->mode.granule], 0, (size >> m->mode.granule) * sizeof(struct tlb_entry));
}

static void forget_tables(struct machine *m)
{
	memset(m->walk_cache, 0, m->touched * page_size(m));
	memset(m->remembered, 0, m->touched * sizeof(unsigned));
}

/* The lazy CPU */

/* Let it see all entries on the way to these addresses. */
static void show(struct machine *m, uintptr_t addr, size_t size)
{
	struct decode_result r;
	size_t step;

	for (uintptr_t end = addr + size; addr < end; addr += step) {
		r = decode(&m->mode, MACHINE_TABLES, addr, load_real, m);
		for (unsigned i = 0; i < r.slots; i++)
			memcpy(m->seen + (r.slot[i] - MACHINE_TABLES), &r.entry[i], 8);
		step = r.valid ? page_size(m) : r.size - (addr & (r.size - 1));
		if (step > end - addr)
			return;
	}
}

static void show_all(struct machine *m)
{
	uint64_t entry;

	for (size_t at = 0; at < m->touched * page_size(m); at += 8) {
		entry = load(m, m->real, MACHINE_TABLES + at);
		memcpy(m->seen + at, &entry, 8);
	}
}

/* The hooks */

static bool frame_alloc(void *ctx, uint64_t *phys)
{
	struct machine *m = enter(ctx);
	bool fails = m->inject && !--m->inject;
	size_t i = m->frames;

	m->injected |= fails;
	if (!fails)
		for (i = 0; i < m->frames && m->in_use[i]; i++)
			;
	if (i < m->frames) {
		m->in_use[i] = true;
		m->used++;
		m->touched = i < m->touched ? m->touched : i + 1;
		*phys = MACHINE_TABLES + i * page_size(m);
		memset(m->real + i * page_size(m), GARBAGE, page_size(m));
		memset(m->seen + i * page_size(m), 0, page_size(m));
	}
	leave(m);
	return i < m->frames;
}

static void frame_free(void *ctx, uint64_t phys)
{
	struct machine *m = enter(ctx);
	size_t i = (phys - MACHINE_TABLES) >> m->mode.granule;

	if (phys < MACHINE_TABLES || i >= m->frames || !m->in_use[i] || phys & (page_size(m) - 1)) {
		violation(m, "0x%llx is given back, which is no table frame in use", (unsigned long long)phys);
	} else {
		if (m->remembered[i])
			violation(m, "the table 0x%llx is given back, which a CPU remembers", (unsigned long long)phys);
		m->in_use[i] = false;
		m->used--;
		memset(m->real + i * page_size(m), GARBAGE, page_size(m));
	}
	leave(m);
}

static void *phys_to_virt(void *ctx, uint64_t phys)
{
	struct machine *m = ctx;

	return m->real + (phys - MACHINE_TABLES);
}

static void flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	struct machine *m = enter(ctx);

	if (!n) {
		show_all(m);
		if (!(m->faults & MACHINE_NO_FLUSH))
			forget(m, m->base, m->size);
		if (!(m->faults & (MACHINE_NO_FLUSH | MACHINE_NO_WALK_FLUSH)))
			forget_tables(m);
	}
	for (size_t i = 0; i < n; i++) {
		show(m, ranges[i].addr, ranges[i].size);
		if (!(m->faults & MACHINE_NO_FLUSH))
			forget(m, ranges[i].addr, ranges[i].size);
	}
	leave(m);
}

static void publish(void *ctx, uintptr_t addr, size_t size)
{
	struct machine *m = enter(ctx);

	if (!(m->faults & MACHINE_NO_PUBLISH))
		show(m, addr, size);
	leave(m);
}

static void root_changed(void *ctx, unsigned index, uint64_t value)
{
	struct machine *m = enter(ctx);

	if (load(m, m->real, MACHINE_TABLES + 8 * (uint64_t)index) != value)
		violation(m, "the root's entry %u is not what root_changed says", index);
	m->root_changes++;
	leave(m);
}

const struct vmap_pgtable_ops *machine_ops(void)
{
	static const struct vmap_pgtable_ops ops = {
		.frame_alloc = frame_alloc,
		.frame_free = frame_free,
		.phys_to_virt = phys_to_virt,
		.flush = flush,
		.publish = publish,
		.root_changed = root_changed,
	};

	return &ops;
}

/* The rest */

struct machine *machine_create(const struct decode_mode *mode, uintptr_t base, size_t size, size_t frames)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	*m = (struct machine){.mode = *mode, .base = base, .size = size, .frames = frames, .used = 1, .touched = 1};
	m->real = aligned_alloc(page_size(m), frames * page_size(m));
	m->seen = calloc(frames, page_size(m));
	m->in_use = calloc(frames, sizeof(bool));
	m->tlb = calloc(size >> mode->granule, sizeof(struct tlb_entry));
	m->walk_cache = calloc(frames, page_size(m));
	m->remembered = calloc(frames, sizeof(unsigned));
	if (!m->real || !m->seen || !m->in_use || !m->tlb || !m->walk_cache || !m->remembered)
		abort();
	m->in_use[0] = true; /* the root */
	memset(m->real, 0, page_size(m));
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

unsigned machine_destroy(struct machine *m)
{
	unsigned violations;

	if (m->used != 1)
		violation(m, "%zu table frames are left", m->used - 1);
	violations = m->violations;
	pthread_mutex_destroy(&m->lock);
	free(m->real);
	free(m->seen);
	free(m->in_use);
	free(m->tlb);
	free(m->walk_cache);
	free(m->remembered);
	free(m);
	return violations;
}

uint64_t machine_root(const struct machine *m)
{
	(void)m;
	return MACHINE_TABLES;
}

void machine_break(struct machine *m, unsigned faults)
{
	m->faults = faults;
}

void machine_inject(struct machine *m, unsigned k)
{
	m->inject = k;
	m->injected = false;
}

bool machine_injected(const struct machine *m)
{
	return m->injected;
}

bool machine_translate(struct machine *machine, enum machine_cpu cpu, uintptr_t addr, bool write, uint64_t *pa)
{
	uintptr_t page = addr & ~(uintptr_t)(page_size(machine) - 1);
	struct tlb_entry tlb = {0};
	struct decode_result r;
	struct machine *m = machine;

	if (addr < m->base || addr - m->base >= m->size)
		return false;
	pthread_mutex_lock(&m->lock);
	if (cpu == MACHINE_EAGER) {
		observe(m, page, page + page_size(m));
		tlb = m->tlb[(page - m->base) >> m->mode.granule];
	} else {
		r = decode(&m->mode, MACHINE_TABLES, page, load_seen, m);
		tlb = (struct tlb_entry){.valid = r.valid, .writable = r.writable, .frame = r.pa >> m->mode.granule};
	}
	leave(m);
	*pa = (tlb.frame << m->mode.granule) + (addr - page);
	return tlb.valid && (tlb.writable || !write);
}

void machine_ends(struct machine *machine, uint64_t frame, size_t n)
{
	struct machine *m = enter(machine);

	for (size_t i = 0; i < m->size >> m->mode.granule; i++)
		if (m->tlb[i].valid && m->tlb[i].frame - frame < n)
			violation(m, "frame %zu becomes free, which a CPU remembers at 0x%zx", (size_t)m->tlb[i].frame,
				  (size_t)(m->base + (i << m->mode.granule)));
	leave(m);
}

struct decode_result machine_decode(struct machine *m, uintptr_t addr)
{
	return decode(&m->mode, MACHINE_TABLES, addr, load_real, m);
}

uint64_t *machine_entry(struct machine *m, uint64_t phys)
{
	return phys_to_virt(m, phys);
}

void machine_observe(struct machine *m)
{
	leave(enter(m));
}

size_t machine_frames_used(const struct machine *m)
{
	return m->used;
}

unsigned machine_root_changes(const struct machine *m)
{
	return m->root_changes;
}

unsigned machine_violations(const struct machine *m)
{
	return m->violations;
}

void machine_quiet(struct machine *m, bool quiet)
{
	m->quiet = quiet;
}

const char *machine_last(const struct machine *m)
{
	return m->last;
}
