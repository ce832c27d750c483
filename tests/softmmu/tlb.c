// SPDX-License-Identifier: MIT
/*
 * Theory: a TLB has a place for each page of the range, so that it forgets nothing but what is flushed. Whatever changes the tables goes
 * through here, so that each frame's count of table and TLB entries is true, and what no CPU may see becomes a violation at once.
 */
#include "mmu.h"

bool mmu_in_range(const struct softmmu *mmu, uintptr_t addr, size_t size)
{
	return addr >= mmu->base && addr - mmu->base < mmu->size && size <= mmu->size - (addr - mmu->base) &&
	       !((addr | size) & (mmu->page_size - 1)) && size;
}

static struct translation *tlb_entry(const struct softmmu *mmu, unsigned cpu, uintptr_t addr)
{
	return &mmu->tlb[cpu][(addr - mmu->base) >> mmu->page_shift];
}

static void tlb_drop(struct softmmu *mmu, uintptr_t addr)
{
	struct translation *entry;

	for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++) {
		entry = tlb_entry(mmu, cpu, addr);
		if (entry->valid)
			mmu->frames[entry->frame].cached--;
		*entry = (struct translation){0};
	}
}

static void tlb_fill(struct softmmu *mmu, unsigned cpu, uintptr_t addr, struct translation leaf)
{
	*tlb_entry(mmu, cpu, addr) = leaf;
	mmu->frames[leaf.frame].cached++;
}

void mmu_disappeared(struct softmmu *mmu, struct translation leaf)
{
	mmu->frames[leaf.frame].mapped--;
	mmu->translations--;
}

void mmu_appeared(struct softmmu *mmu, uintptr_t addr, struct translation leaf)
{
	if (!mmu->frames[leaf.frame].used)
		mmu_violation(mmu, "map of free frame %zu at 0x%zx", (size_t)leaf.frame, (size_t)addr);
	for (unsigned cpu = 0; cpu < SOFTMMU_CPUS; cpu++)
		if (tlb_entry(mmu, cpu, addr)->valid)
			mmu_violation(mmu, "map at 0x%zx, of which CPU %u has a translation that was never flushed", (size_t)addr,
				      cpu);
	tlb_drop(mmu, addr);
	mmu->frames[leaf.frame].mapped++;
	mmu->translations++;
	tlb_fill(mmu, SOFTMMU_CPUS - 1, addr, leaf);
}

void mmu_clear(struct softmmu *mmu, uintptr_t addr)
{
	struct translation leaf;

	mmu_note(mmu, addr, mmu->page_size);
	leaf = table_walk(&mmu->table, addr);
	if (!leaf.valid) {
		mmu_violation(mmu, "unmap of 0x%zx, which is not mapped", (size_t)addr);
		return;
	}
	table_clear(&mmu->table, addr);
	mmu_wrote(mmu, addr);
	mmu_disappeared(mmu, leaf);
}

bool mmu_set(struct softmmu *mmu, uintptr_t addr, uint64_t frame, unsigned prot)
{
	struct translation leaf = {.valid = true, .frame = frame, .prot = prot & ~VMAP_LARGE};

	mmu_note(mmu, addr, mmu->page_size);
	if (table_walk(&mmu->table, addr).valid) {
		mmu_violation(mmu, "map over the translation at 0x%zx", (size_t)addr);
		mmu_clear(mmu, addr);
	}
	if (!table_set(&mmu->table, addr, leaf))
		return false;
	mmu_wrote(mmu, addr);
	mmu_appeared(mmu, addr, leaf);
	return true;
}

void mmu_change(struct softmmu *mmu, uintptr_t addr, uint64_t frame, unsigned prot)
{
	struct translation leaf = {.valid = true, .frame = frame, .prot = prot & ~VMAP_LARGE};
	struct translation old;

	mmu_note(mmu, addr, mmu->page_size);
	old = table_walk(&mmu->table, addr);
	if (!old.valid || !mmu->frames[frame].used) {
		mmu_violation(mmu, "a change of 0x%zx, which is not mapped, or to frame %zu, which is free", (size_t)addr,
			      (size_t)frame);
		return;
	}
	mmu->frames[old.frame].mapped--;
	mmu->frames[frame].mapped++;
	table_set(&mmu->table, addr, leaf);
	mmu_wrote(mmu, addr);
	if (!tlb_entry(mmu, SOFTMMU_CPUS - 1, addr)->valid)
		tlb_fill(mmu, SOFTMMU_CPUS - 1, addr, leaf);
}

void mmu_forget(struct softmmu *mmu, struct vmap_range range)
{
	if (!mmu_in_range(mmu, range.addr, range.size)) {
		mmu_violation(mmu, "flush of 0x%zx bytes at 0x%zx, which are not all in the range", range.size,
			      (size_t)range.addr);
		return;
	}
	mmu_note(mmu, range.addr, range.size);
	for (size_t at = 0; at < range.size; at += mmu->page_size)
		tlb_drop(mmu, range.addr + at);
}

/* What a CPU does for an access: TLB, then tables. An entry that the tables no longer have is stale, and used all the same. */
bool mmu_translate(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned prot, size_t *offset)
{
	uintptr_t page = addr & ~(uintptr_t)(mmu->page_size - 1);
	bool inside = mmu_in_range(mmu, page, mmu->page_size);
	struct translation walked, used;

	if (inside)
		mmu_note(mmu, page, mmu->page_size);
	used = walked = table_walk(&mmu->table, page);
	if (inside) {
		if (mmu_is_unpublished(mmu, page))
			mmu_violation(mmu, "CPU %u uses 0x%zx, which was not published", cpu, (size_t)addr);
		used = *tlb_entry(mmu, cpu, page);
		if (used.valid && (!walked.valid || walked.frame != used.frame || walked.prot != used.prot))
			mmu_violation(mmu, "CPU %u uses a stale translation of 0x%zx", cpu, (size_t)addr);
		if (!used.valid && walked.valid)
			tlb_fill(mmu, cpu, page, walked);
		used = used.valid ? used : walked;
	}
	if (!used.valid || (prot & ~used.prot))
		return false;
	*offset = used.frame * mmu->page_size + (addr - page);
	if (!mmu->frames[used.frame].used)
		mmu_violation(mmu, "CPU %u uses 0x%zx, whose frame %zu is free", cpu, (size_t)addr, (size_t)used.frame);
	return true;
}

static bool access_byte(struct softmmu *mmu, unsigned cpu, uintptr_t addr, bool write, unsigned char *value)
{
	size_t offset;
	bool done;

	mmu_enter(mmu, NULL);
	done = mmu_translate(mmu, cpu, addr, write ? VMAP_WRITE : VMAP_READ, &offset);
	if (done && write)
		mmu->memory[offset] = *value;
	else if (done)
		*value = mmu->memory[offset];
	mmu_leave(mmu);
	return done;
}

bool softmmu_read(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned char *value)
{
	return access_byte(mmu, cpu, addr, false, value);
}

bool softmmu_write(struct softmmu *mmu, unsigned cpu, uintptr_t addr, unsigned char value)
{
	return access_byte(mmu, cpu, addr, true, &value);
}

static struct translation look(struct softmmu *mmu, uintptr_t addr)
{
	struct translation leaf;

	mmu_enter(mmu, NULL);
	leaf = table_walk(&mmu->table, addr);
	mmu_leave(mmu);
	return leaf;
}

unsigned softmmu_prot(struct softmmu *mmu, uintptr_t addr)
{
	return look(mmu, addr).prot;
}

void softmmu_walk_all(struct softmmu *mmu, uintptr_t addr, size_t n, uint64_t *frames)
{
	const uint64_t *row = NULL;
	struct translation leaf;
	uintptr_t number;

	mmu_enter(mmu, NULL);
	for (size_t i = 0; i < n; i++) {
		number = (addr >> mmu->page_shift) + i;
		if (!i || !(number % TABLE_ENTRIES))
			row = table_row(&mmu->table, number << mmu->page_shift);
		leaf = table_leaf(row ? __atomic_load_n(&row[number % TABLE_ENTRIES], __ATOMIC_RELAXED) : 0);
		frames[i] = leaf.valid ? leaf.frame + 1 : 0;
	}
	mmu_leave(mmu);
}

bool softmmu_walk(struct softmmu *mmu, uintptr_t addr, uint64_t *frame)
{
	struct translation leaf = look(mmu, addr);

	*frame = leaf.frame;
	return leaf.valid;
}
