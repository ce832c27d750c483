// SPDX-License-Identifier: MIT
/*
 * Theory: entries that the core writes itself, watched all the same. The machine remembers each entry of a pinned table as it saw it last,
 * and looks again wherever it matters: when the core publishes, before a flush, before a CPU uses the address, before it is counted or
 * changed by a hook. What differs then is judged as if the hooks had done it: the CPU that looks ahead caches what appeared, and what
 * appears where a CPU still remembers something is a violation.
 *
 * An entry that was taken away and written again between two looks would not differ; but each one that was written is published, and to publish
 * what was published before is a violation, too, and so is to use what was not.
 *
 * A table stays as long as something in it is pinned, and the machine counts how often that is.
 */
#include <stdlib.h>
#include "mmu.h"

struct pinned_table {
	size_t pins;
	uint64_t *row; /* its first entry, while it is pinned */
};

static uintptr_t number_of(const struct softmmu *mmu, uintptr_t addr)
{
	return addr >> mmu->page_shift >> TABLE_SHIFT;
}

static struct pinned_table *table_at(const struct softmmu *mmu, uintptr_t addr)
{
	return &mmu->pins.tables[number_of(mmu, addr) - number_of(mmu, mmu->base)];
}

static size_t index_of(const struct softmmu *mmu, uintptr_t addr)
{
	return (addr >> mmu->page_shift) % TABLE_ENTRIES;
}

/* Base pages from addr on to the end of its table, or of size. */
static size_t in_table(const struct softmmu *mmu, uintptr_t addr, size_t size)
{
	size_t n = TABLE_ENTRIES - index_of(mmu, addr);

	return size >> mmu->page_shift < n ? size >> mmu->page_shift : n;
}

bool mmu_is_pinned(void *mmu, uintptr_t addr)
{
	return mmu_in_range(mmu, addr & ~(uintptr_t)(((struct softmmu *)mmu)->page_size - 1),
			    ((struct softmmu *)mmu)->page_size) &&
	       table_at(mmu, addr)->pins;
}

/* Noting */

static bool is_known(const struct softmmu *mmu, struct translation leaf)
{
	return leaf.valid && leaf.frame < mmu->n_frames + SOFTMMU_DEVICE_FRAMES;
}

/* An entry is not what it was. */
static void note_entry(struct softmmu *mmu, uintptr_t addr, size_t page, uint64_t value)
{
	struct translation old = table_leaf(mmu->pins.seen[page]), leaf = table_leaf(value);

	mmu->pins.seen[page] = value;
	mmu->pins.unpublished[page] = leaf.valid;
	if (is_known(mmu, old))
		mmu_disappeared(mmu, old);
	if (is_known(mmu, leaf))
		mmu_appeared(mmu, addr, leaf);
	else if (leaf.valid)
		mmu_violation(mmu, "an entry of 0x%zx shows frame %zu, which there is not", (size_t)addr, (size_t)leaf.frame);
}

void mmu_note(struct softmmu *mmu, uintptr_t addr, size_t size)
{
	const uint64_t *entry;
	size_t page, n;
	uint64_t value;

	for (; mmu->pins.pinned && size; addr += n << mmu->page_shift, size -= n << mmu->page_shift) {
		n = in_table(mmu, addr, size);
		if (!table_at(mmu, addr)->pins)
			continue;
		entry = table_at(mmu, addr)->row + index_of(mmu, addr);
		page = (addr - mmu->base) >> mmu->page_shift;
		for (size_t i = 0; i < n; i++) {
			value = __atomic_load_n(&entry[i], __ATOMIC_RELAXED);
			if (value != mmu->pins.seen[page + i])
				note_entry(mmu, addr + (i << mmu->page_shift), page + i, value);
		}
	}
}

void mmu_wrote(struct softmmu *mmu, uintptr_t addr)
{
	size_t page = (addr - mmu->base) >> mmu->page_shift;

	if (!mmu->pins.pinned || !table_at(mmu, addr)->pins)
		return;
	mmu->pins.seen[page] = table_at(mmu, addr)->row[index_of(mmu, addr)];
	mmu->pins.unpublished[page] = false;
}

bool mmu_is_unpublished(const struct softmmu *mmu, uintptr_t addr)
{
	return mmu->pins.unpublished[(addr - mmu->base) >> mmu->page_shift];
}

/* Hooks */

/* What of addr's table lies in the machine's range. */
static struct vmap_range range_of_table(const struct softmmu *mmu, uintptr_t addr)
{
	uintptr_t first = addr - (index_of(mmu, addr) << mmu->page_shift);

	first = first < mmu->base ? mmu->base : first;
	return (struct vmap_range){first, in_table(mmu, first, mmu->base + mmu->size - first) << mmu->page_shift};
}

/* What it holds when the first pin comes. */
static void begin_table(struct softmmu *mmu, uintptr_t addr, uint64_t *entry)
{
	struct vmap_range range = range_of_table(mmu, addr);

	table_at(mmu, addr)->row = entry - index_of(mmu, addr);
	for (size_t at = 0; at < range.size; at += mmu->page_size)
		mmu_wrote(mmu, range.addr + at);
}

static uint64_t *pin(void *ctx, uintptr_t addr, size_t size, size_t *n)
{
	struct softmmu *mmu = mmu_enter_sleeping(ctx, "pin");
	bool fails = mmu_injects(mmu, SOFTMMU_PIN);
	uint64_t *entry = NULL;

	if (!mmu_in_range(mmu, addr, size))
		mmu_violation(mmu, "pin of 0x%zx bytes at 0x%zx, which are not all in the range", size, (size_t)addr);
	else if (!fails)
		entry = table_make(&mmu->table, addr);
	if (entry) {
		*n = in_table(mmu, addr, size);
		mmu->pins.pinned++;
		if (!table_at(mmu, addr)->pins++)
			begin_table(mmu, addr, entry);
	}
	mmu_leave(mmu);
	return entry;
}

/* Called with locks held. */
static void unpin(void *ctx, uintptr_t addr, size_t size)
{
	struct softmmu *mmu = mmu_enter(ctx, NULL);

	if (!mmu_in_range(mmu, addr, size) || in_table(mmu, addr, size) != size >> mmu->page_shift ||
	    !table_at(mmu, addr)->pins) {
		mmu_violation(mmu, "unpin of 0x%zx bytes at 0x%zx, which are not pinned", size, (size_t)addr);
	} else {
		mmu_note(mmu, range_of_table(mmu, addr).addr, range_of_table(mmu, addr).size);
		mmu->pins.pinned--;
		if (!--table_at(mmu, addr)->pins)
			table_prune(&mmu->table, addr);
	}
	mmu_leave(mmu);
}

static void publish(void *ctx, uintptr_t addr, size_t size)
{
	struct softmmu *mmu = mmu_enter(ctx, "publish");
	bool fine = mmu_in_range(mmu, addr, size);
	size_t page = (addr - mmu->base) >> mmu->page_shift, n = size >> mmu->page_shift;

	if (fine)
		mmu_note(mmu, addr, size);
	for (size_t i = page; fine && i < page + n; i++) {
		fine = mmu->pins.unpublished[i];
		mmu->pins.unpublished[i] = false;
	}
	if (fine)
		mmu_ends(mmu, addr, size);
	else
		mmu_violation(mmu, "publish of 0x%zx bytes at 0x%zx, where the core has not written all", size, (size_t)addr);
	mmu->pins.publishes++;
	mmu_leave(mmu);
}

void softmmu_pinning(struct softmmu *mmu)
{
	for (unsigned i = 0; i < 32; i++)
		if (i & VMAP_READ && !(i & VMAP_EXEC))
			mmu->pins.bits[i] = table_bits((i & 7) | (i << 2 & VMAP_MEMORY_MASK));
	mmu->host.pin = pin;
	mmu->host.unpin = unpin;
	mmu->host.publish = publish;
	mmu->host.entry_bits = mmu->pins.bits;
	mmu->host.entry_shift = TABLE_FRAME_SHIFT;
}

/* Looking */

const uint64_t *softmmu_entry(struct softmmu *mmu, uintptr_t addr)
{
	const uint64_t *entry = NULL;

	mmu_enter(mmu, NULL);
	if (mmu_is_pinned(mmu, addr))
		entry = table_at(mmu, addr)->row + index_of(mmu, addr);
	mmu_leave(mmu);
	return entry;
}

void mmu_note_all(struct softmmu *mmu)
{
	mmu_note(mmu, mmu->base, mmu->size);
}

bool mmu_pins_begin(struct softmmu *mmu)
{
	size_t pages = mmu->size >> mmu->page_shift;

	mmu->table.is_pinned = mmu_is_pinned;
	mmu->table.owner = mmu;
	mmu->pins.n = number_of(mmu, mmu->base + mmu->size - 1) - number_of(mmu, mmu->base) + 1;
	mmu->pins.tables = calloc(mmu->pins.n, sizeof(*mmu->pins.tables));
	mmu->pins.seen = calloc(pages, sizeof(*mmu->pins.seen));
	mmu->pins.unpublished = calloc(pages, sizeof(*mmu->pins.unpublished));
	return mmu->pins.tables && mmu->pins.seen && mmu->pins.unpublished;
}

void mmu_pins_end(struct softmmu *mmu)
{
	free(mmu->pins.tables);
	free(mmu->pins.seen);
	free(mmu->pins.unpublished);
}
