// SPDX-License-Identifier: MIT
/*
 * Theory: pages of any order, out of one piece of memory. Base pages come from a stack of frames, so that one costs the same however many are
 * in use; it begins in an order of large steps, and pages that follow each other in an array lie scattered. Each CPU keeps some of the
 * stack for itself and takes no lock for them. Larger pages are looked for in the map of frames; what they take stays on the stack, and
 * whoever finds it there passes over it. A free frame is always on the stack, or kept by a CPU.
 */
#include "kernel.h"

#define FRAMES ((size_t)49152)
#define STEP (FRAMES / 3 | 1)
#define POOL ((ARCH_RAM + ((uintptr_t)256 << 20)) >> 12)

/* Up to so many a CPU keeps; it gives or takes half. */
#define KEPT 256

/* A frame that is kept is none of these: nothing else may have it. */
#define USED 1
#define STACKED 2
#define KEEPS 4

struct kept {
	uint32_t frames[KEPT];
	size_t n;
	size_t used; /* base pages that were made on this CPU, less those that were given back */
} __attribute__((aligned(64)));

static struct {
	uint32_t lock;
	bool ready;
	struct vmap_page pages[FRAMES]; /* by the page's first frame */
	uint32_t stack[FRAMES];
	size_t stacked, next;
	unsigned char state[FRAMES];
	struct kept kept[CPUS];
} pool;

/* Under the lock, up to the next comment. */

static void push(size_t frame)
{
	if (pool.state[frame] & STACKED)
		return;
	pool.state[frame] |= STACKED;
	pool.stack[pool.stacked++] = (uint32_t)frame;
}

static void begin(void)
{
	for (size_t i = 0; i < FRAMES; i++)
		push(i * STEP % FRAMES);
	pool.ready = true;
}

static bool pop(size_t *frame)
{
	while (pool.stacked) {
		*frame = pool.stack[--pool.stacked];
		pool.state[*frame] &= USED;
		if (!pool.state[*frame])
			return true;
	}
	return false;
}

static bool is_free(size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pool.state[first + i] & (USED | KEEPS))
			return false;
	return true;
}

static bool find_large_page(unsigned order, size_t *first)
{
	size_t slots = FRAMES >> order;

	pool.next += STEP;
	for (size_t slot = 0; slot < slots; slot++) {
		*first = ((pool.next >> order) + slot) % slots << order;
		if (is_free(*first, (size_t)1 << order))
			return true;
	}
	return false;
}

static void set_used(size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pool.state[first + i] |= USED;
}

static void set_free(size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		pool.state[first + i] &= STACKED;
		push(first + i);
	}
}

/* This CPU's. Threads are not moved, and interrupts do not come here. */

static struct kept *kept_here(void)
{
	return &pool.kept[cpu_self()->id];
}

static void fill(struct kept *kept)
{
	size_t frame;

	spin_lock(&pool.lock);
	if (!pool.ready)
		begin();
	while (kept->n < KEPT / 2 && pop(&frame)) {
		pool.state[frame] = KEEPS;
		kept->frames[kept->n++] = (uint32_t)frame;
	}
	spin_unlock(&pool.lock);
}

static void drain(struct kept *kept)
{
	spin_lock(&pool.lock);
	while (kept->n > KEPT / 2)
		set_free(kept->frames[--kept->n], 1);
	spin_unlock(&pool.lock);
}

static bool take_base_page(struct kept *kept, size_t *frame)
{
	if (!kept->n)
		fill(kept);
	if (!kept->n)
		return false;
	*frame = kept->frames[--kept->n];
	pool.state[*frame] = USED;
	return true;
}

static void give_base_page(struct kept *kept, size_t frame)
{
	if (kept->n == KEPT)
		drain(kept);
	pool.state[frame] = KEEPS;
	kept->frames[kept->n++] = (uint32_t)frame;
}

static bool take_large_page(unsigned order, size_t *first)
{
	bool found;

	spin_lock(&pool.lock);
	if (!pool.ready)
		begin();
	found = find_large_page(order, first);
	if (found)
		set_used(*first, (size_t)1 << order);
	spin_unlock(&pool.lock);
	return found;
}

static void give_large_page(size_t first, unsigned order)
{
	spin_lock(&pool.lock);
	set_free(first, (size_t)1 << order);
	spin_unlock(&pool.lock);
}

static struct vmap_page *page_new(unsigned order)
{
	struct kept *kept = kept_here();
	size_t first;

	if (order ? !take_large_page(order, &first) : !take_base_page(kept, &first))
		return NULL;
	kept->used += (size_t)1 << order;
	pool.pages[first] = (struct vmap_page){.frame = POOL + first, .refs = 1, .order = (uint8_t)order};
	return &pool.pages[first];
}

static void page_free(const struct vmap_page *page)
{
	struct kept *kept = kept_here();
	size_t first = page->frame - POOL;

	kept->used -= (size_t)1 << page->order;
	if (page->order)
		give_large_page(first, page->order);
	else
		give_base_page(kept, first);
}

int pages_alloc(unsigned order, size_t n, struct vmap_page **pages)
{
	size_t done = 0;

	while (done < n && (pages[done] = page_new(order)))
		done++;
	for (size_t i = 0; done < n && i < done; i++) {
		pages[i]->refs = 0;
		page_free(pages[i]);
	}
	return done < n ? -VMAP_ENOMEM : 0;
}

void pages_get(struct vmap_page *const *pages, size_t n)
{
#pragma GCC unroll 4
	for (size_t i = 0; i < n; i++)
		__atomic_fetch_add(&pages[i]->refs, 1, __ATOMIC_RELAXED);
}

void pages_put(struct vmap_page *const *pages, size_t n)
{
	struct vmap_page *const *end = pages + n;

#pragma GCC unroll 4
	for (; pages < end; pages++)
		if (__atomic_fetch_sub(&(*pages)->refs, 1, __ATOMIC_ACQ_REL) == 1)
			page_free(*pages);
}

size_t pages_in_use(void)
{
	size_t used = 0;

	for (unsigned i = 0; i < CPUS; i++)
		used += pool.kept[i].used;
	return used;
}

uint64_t pages_end(void)
{
	return POOL + FRAMES;
}
