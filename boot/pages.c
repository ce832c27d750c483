// SPDX-License-Identifier: MIT
/*
 * Theory: pages of any order, out of one piece of memory. Base pages come from a stack of frames, so that one costs the same however many are
 * in use; it begins in an order of large steps, and pages that follow each other in an array lie scattered. Larger pages are looked for in
 * the map of frames; what they take stays on the stack, and whoever finds it there passes over it. A free frame is always on the stack.
 */
#include "kernel.h"

#define FRAMES ((size_t)49152)
#define STEP (FRAMES / 3 | 1)
#define POOL ((ARCH_RAM + ((uintptr_t)256 << 20)) >> 12)

#define USED 1
#define STACKED 2

static struct {
	uint32_t lock;
	bool ready;
	struct vmap_page pages[FRAMES]; /* by the page's first frame */
	uint32_t stack[FRAMES];
	size_t stacked, used, next;
	unsigned char state[FRAMES];
} pool;

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

static bool find_base_page(size_t *frame)
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
		if (pool.state[first + i] & USED)
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

static struct vmap_page *page_new(unsigned order)
{
	size_t first, n = (size_t)1 << order;

	if (order ? !find_large_page(order, &first) : !find_base_page(&first))
		return NULL;
	for (size_t i = 0; i < n; i++)
		pool.state[first + i] |= USED;
	pool.used += n;
	pool.pages[first] = (struct vmap_page){.frame = POOL + first, .refs = 1, .order = (uint8_t)order};
	return &pool.pages[first];
}

static void page_free(const struct vmap_page *page)
{
	size_t first = page->frame - POOL, n = (size_t)1 << page->order;

	for (size_t i = 0; i < n; i++) {
		pool.state[first + i] &= STACKED;
		push(first + i);
	}
	pool.used -= n;
}

int pages_alloc(unsigned order, size_t n, struct vmap_page **pages)
{
	size_t done = 0;

	spin_lock(&pool.lock);
	if (!pool.ready)
		begin();
	while (done < n && (pages[done] = page_new(order)))
		done++;
	for (size_t i = 0; done < n && i < done; i++) {
		pages[i]->refs = 0;
		page_free(pages[i]);
	}
	spin_unlock(&pool.lock);
	return done < n ? -VMAP_ENOMEM : 0;
}

void pages_get(struct vmap_page *const *pages, size_t n)
{
	for (size_t i = 0; i < n; i++)
		__atomic_fetch_add(&pages[i]->refs, 1, __ATOMIC_RELAXED);
}

void pages_put(struct vmap_page *const *pages, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (__atomic_fetch_sub(&pages[i]->refs, 1, __ATOMIC_ACQ_REL) != 1)
			continue;
		spin_lock(&pool.lock);
		page_free(pages[i]);
		spin_unlock(&pool.lock);
	}
}

size_t pages_in_use(void)
{
	return pool.used;
}

uint64_t pages_end(void)
{
	return POOL + FRAMES;
}
