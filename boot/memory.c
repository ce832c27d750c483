// SPDX-License-Identifier: MIT
/*
 * Theory: the kernel's own memory. The heap hands out blocks of powers of two from one piece of memory and keeps freed ones by size; each
 * block begins with its size class. Each CPU keeps some of what it freed for itself, so that it takes no lock for the next of that size. Table frames are such blocks too, of a page, without a header, in a piece of their own. And the four
 * functions that compilers call on their own.
 */
#include "kernel.h"

#define HEAP (ARCH_RAM + ((uintptr_t)64 << 20))
#define HEAP_SIZE ((uintptr_t)160 << 20)
#define TABLES (HEAP + HEAP_SIZE)
#define MIN_SHIFT 5
#define CLASSES 28

struct block {
	size_t class;
	struct block *next; /* where it is free; and the user's bytes begin at the next multiple of 16 */
};

/* Of this, a CPU keeps up to so many of a size, and gives or takes half. Threads are not moved, and interrupts do not come here. */
#define KEPT 64

struct kept {
	struct block *free[CLASSES];
	unsigned n[CLASSES];
} __attribute__((aligned(64)));

static struct {
	uint32_t lock;
	uintptr_t end;
	struct block *free[CLASSES];
	uintptr_t tables_end;
	void **tables_free;
	size_t tables_used;
	struct kept kept[CPUS];
} memory;

static unsigned long contended;

void spin_wait(uint32_t *lock)
{
	__atomic_fetch_add(&contended, 1, __ATOMIC_RELAXED);
	do
		while (__atomic_load_n(lock, __ATOMIC_RELAXED))
			cpu_relax();
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE));
}

unsigned long spin_contended(void)
{
	return __atomic_load_n(&contended, __ATOMIC_RELAXED);
}

/* Under the lock: a block that is free, or new. */
static struct block *take(size_t class)
{
	size_t bytes = (size_t)1 << (MIN_SHIFT + class);
	struct block *block = memory.free[class];

	if (block) {
		memory.free[class] = block->next;
	} else if (bytes <= HEAP_SIZE - memory.end) {
		block = (struct block *)(HEAP + memory.end);
		block->class = class;
		memory.end += bytes;
	}
	return block;
}

static void fill(struct kept *kept, size_t class)
{
	struct block *block;

	spin_lock(&memory.lock);
	/* Of large blocks just one. */
	while (kept->n[class] < (class < 8 ? KEPT / 2 : 1) && (block = take(class))) {
		block->next = kept->free[class];
		kept->free[class] = block;
		kept->n[class]++;
	}
	spin_unlock(&memory.lock);
}

static void drain(struct kept *kept, size_t class)
{
	struct block *block;

	spin_lock(&memory.lock);
	while (kept->n[class] > KEPT / 2) {
		block = kept->free[class];
		kept->free[class] = block->next;
		kept->n[class]--;
		block->next = memory.free[class];
		memory.free[class] = block;
	}
	spin_unlock(&memory.lock);
}

void *heap_alloc(size_t size)
{
	struct kept *kept = &memory.kept[cpu_self()->id];
	struct block *block;
	size_t class = 0;

	while (((size_t)1 << (MIN_SHIFT + class)) < size + 16)
		if (++class == CLASSES)
			return NULL;
	if (!kept->n[class])
		fill(kept, class);
	block = kept->free[class];
	if (!block)
		return NULL;
	kept->free[class] = block->next;
	kept->n[class]--;
	return (char *)block + 16;
}

void heap_free(void *mem)
{
	struct kept *kept = &memory.kept[cpu_self()->id];
	struct block *block;

	if (!mem)
		return;
	block = (struct block *)(void *)((char *)mem - 16);
	block->next = kept->free[block->class];
	kept->free[block->class] = block;
	if (++kept->n[block->class] > KEPT)
		drain(kept, block->class);
}

bool table_alloc(uint64_t *phys)
{
	spin_lock(&memory.lock);
	if (memory.tables_free) {
		*phys = (uintptr_t)memory.tables_free;
		memory.tables_free = *memory.tables_free;
	} else {
		*phys = TABLES + memory.tables_end;
		memory.tables_end += 4096;
	}
	memory.tables_used++;
	spin_unlock(&memory.lock);
	return true;
}

void table_free(uint64_t phys)
{
	void **frame = (void **)(uintptr_t)phys;

	spin_lock(&memory.lock);
	*frame = memory.tables_free;
	memory.tables_free = frame;
	memory.tables_used--;
	spin_unlock(&memory.lock);
}

size_t tables_used(void)
{
	return memory.tables_used;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *mem, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* volatile: the compiler shall not find a call of these functions in them. */
void *memmove(void *to, const void *from, size_t n)
{
	const volatile unsigned char *source = from;
	volatile unsigned char *target = to;
	size_t i = 0;

	if ((uintptr_t)to > (uintptr_t)from) {
		while (n--)
			target[n] = source[n];
		return to;
	}
	if (!(((uintptr_t)to | (uintptr_t)from) & 7))
		for (; i + 8 <= n; i += 8)
			*(volatile uint64_t *)(target + i) = *(const volatile uint64_t *)(source + i);
	for (; i < n; i++)
		target[i] = source[i];
	return to;
}

void *memset(void *mem, int value, size_t n)
{
	volatile unsigned char *bytes = mem;
	size_t i = 0;

	if (!((uintptr_t)mem & 7))
		for (; i + 8 <= n; i += 8)
			*(volatile uint64_t *)(bytes + i) = (unsigned char)value * 0x0101010101010101u;
	for (; i < n; i++)
		bytes[i] = (unsigned char)value;
	return mem;
}

/* The pieces do not overlap: forwards is as good. */
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	if (((uintptr_t)to | (uintptr_t)from | n) & 7)
		return memmove(to, from, n);
	arch_copy(to, from, n / 8);
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *left = a, *right = b;

	for (size_t i = 0; i < n; i++)
		if (left[i] != right[i])
			return left[i] < right[i] ? -1 : 1;
	return 0;
}
