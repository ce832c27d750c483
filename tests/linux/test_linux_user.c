// SPDX-License-Identifier: MIT
/*
 * Code as a filesystem in Linux has it, with nothing of this library but vmap/linux_names.h: a buffer cache whose buffers are scattered pages, seen
 * through one mapping where there are several; what is mapped is asked for its pages, "submitted" page by page, unmapped when the buffer goes. A lack of
 * addresses is answered by vm_unmap_aliases() and another try. Besides, the allocations that go with it.
 */
#include "support.h"

#include <string.h>
#include <vmap/linux_names.h>

struct page {
	struct vmap_page vmap;
};

#define PAGE_SIZE (1ul << PAGE_SHIFT)

struct vmap_space *vmap_default_space;
static struct vmap_process *process;

/* What the rest of such a kernel would give. */

static struct page *alloc_page(gfp_t gfp)
{
	struct vmap_page *page;

	(void)gfp;
	return vmap_page_alloc(process, 0, 1, &page) ? NULL : (struct page *)(void *)page;
}

static void __free_page(struct page *page)
{
	vmap_page_put(process, (struct vmap_page *[]){&page->vmap}, 1);
}

static void *page_address(const struct page *page)
{
	return vmap_page_address(process, &page->vmap);
}

/* The buffers */

struct xbuf {
	struct page **pages;
	unsigned page_count, offset;
	size_t length;
	void *addr;
};

static int xbuf_map(struct xbuf *bp)
{
	if (bp->page_count == 1) {
		bp->addr = (char *)page_address(bp->pages[0]) + bp->offset;
		return 0;
	}
	for (int tries = 0; tries < 2 && !bp->addr; tries++) {
		bp->addr = vm_map_ram(bp->pages, bp->page_count, NUMA_NO_NODE);
		if (!bp->addr)
			vm_unmap_aliases();
	}
	if (!bp->addr)
		return -VMAP_ENOMEM;
	bp->addr = (char *)bp->addr + bp->offset;
	return 0;
}

static struct xbuf *xbuf_alloc(size_t length, unsigned offset)
{
	struct xbuf *bp = kvzalloc(sizeof(*bp), GFP_NOFS);

	assert_non_null(bp);
	bp->offset = offset;
	bp->length = length;
	bp->page_count = (unsigned)((offset + length + PAGE_SIZE - 1) >> PAGE_SHIFT);
	bp->pages = kvcalloc(bp->page_count, sizeof(*bp->pages), GFP_NOFS | __GFP_NOWARN);
	assert_non_null(bp->pages);
	for (unsigned i = bp->page_count; i-- > 0;) {
		bp->pages[i] = alloc_page(GFP_NOFS);
		assert_non_null(bp->pages[i]);
	}
	assert_int_equal(xbuf_map(bp), 0);
	return bp;
}

static void xbuf_free(struct xbuf *bp)
{
	if (is_vmalloc_addr(bp->addr))
		vm_unmap_ram((char *)bp->addr - bp->offset, bp->page_count);
	for (unsigned i = 0; i < bp->page_count; i++)
		__free_page(bp->pages[i]);
	kvfree(bp->pages);
	kvfree(bp);
}

/* A device sees pages, not mappings. */
static unsigned long xbuf_submit(struct xbuf *bp)
{
	size_t at = bp->offset, left = bp->length;
	unsigned long sum = 0, n;

	if (is_vmalloc_addr(bp->addr))
		flush_kernel_vmap_range(bp->addr, (int)bp->length);
	for (unsigned i = 0; left; i++, left -= n, at = 0) {
		n = left < PAGE_SIZE - at ? left : PAGE_SIZE - at;
		for (size_t byte = 0; byte < n; byte++)
			sum += ((unsigned char *)page_address(bp->pages[i]))[at + byte] * (i + 1ul);
	}
	return sum;
}

static unsigned long sum_of(const struct xbuf *bp)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < bp->length; i++)
		sum += ((const unsigned char *)bp->addr)[i] * ((bp->offset + i) / PAGE_SIZE + 1);
	return sum;
}

static void buffers(void **state)
{
	struct xbuf *cache[24];

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 24; i++) {
			cache[i] = xbuf_alloc(512 + (round * 7919 + i * 4099) % (20 * PAGE_SIZE), i % 8 * 512);
			for (size_t at = 0; at < cache[i]->length; at++)
				((char *)cache[i]->addr)[at] = (char)(at * 31 + i + round);
		}
		for (unsigned i = 0; i < 24; i++) {
			const char *addr = cache[i]->addr;

			assert_int_equal(xbuf_submit(cache[i]), sum_of(cache[i]));
			invalidate_kernel_vmap_range(cache[i]->addr, (int)cache[i]->length);
			if (cache[i]->page_count == 1)
				continue;
			assert_ptr_equal(vmalloc_to_page(addr), cache[i]->pages[0]);
			addr += cache[i]->length - 1;
			assert_ptr_equal(vmalloc_to_page(addr), cache[i]->pages[cache[i]->page_count - 1]);
			assert_int_equal(vmalloc_to_pfn(addr), cache[i]->pages[cache[i]->page_count - 1]->vmap.frame);
		}
		for (unsigned i = 0; i < 24; i++)
			xbuf_free(cache[i]);
	}
}

/* A log that is read through one mapping of pages that were allocated one by one. */
static void log_window(void **state)
{
	struct page *pages[40];
	char *window;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		assert_non_null(pages[i]);
		memset(page_address(pages[i]), (int)i, PAGE_SIZE);
	}
	window = vmap(pages, 40, VM_MAP, PAGE_KERNEL);
	assert_non_null(window);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(window[i * PAGE_SIZE + 11 * i], i);
	vunmap(window);
	vm_unmap_aliases();
	for (unsigned i = 0; i < 40; i++)
		__free_page(pages[i]);
}

static void allocations(void **state)
{
	struct {
		char *mem;
		bool zero;
	} made[] = {
		{vmalloc(5 * PAGE_SIZE), false},
		{vzalloc(5 * PAGE_SIZE), true},
		{vmalloc_node(5 * PAGE_SIZE, 0), false},
		{vzalloc_node(5 * PAGE_SIZE, NUMA_NO_NODE), true},
		{vmalloc_user(5 * PAGE_SIZE), true},
		{__vmalloc(5 * PAGE_SIZE, GFP_NOFS | __GFP_HIGHMEM | __GFP_ZERO), true},
		{__vmalloc(5 * PAGE_SIZE, GFP_ATOMIC), false},
		{kvmalloc(5 * PAGE_SIZE, GFP_KERNEL | __GFP_NORETRY), false},
		{kvzalloc(5 * PAGE_SIZE, GFP_USER), true},
		{kvmalloc_node(5 * PAGE_SIZE, GFP_NOIO, 0), false},
		{kvmalloc_array(5, PAGE_SIZE, GFP_KERNEL | __GFP_RETRY_MAYFAIL), false},
		{kvcalloc(5 * PAGE_SIZE, 1, GFP_KERNEL), true},
		{vmalloc_array(5, PAGE_SIZE), false},
		{vcalloc(5, PAGE_SIZE), true},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		assert_non_null(made[i].mem);
		assert_true(is_vmalloc_addr(made[i].mem));
		for (size_t at = 0; made[i].zero && at < 5 * PAGE_SIZE; at++)
			assert_int_equal(made[i].mem[at], 0);
		memset(made[i].mem, 0x5a, 5 * PAGE_SIZE);
	}
	for (unsigned i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		if (i % 3)
			vfree(made[i].mem);
		else
			kvfree(made[i].mem);
	}
	assert_null(kvmalloc_array(SIZE_MAX / 2, 3, GFP_KERNEL));
	kvfree(NULL);
}

static int setup(void **state)
{
	(void)state;
	if (vmap_process_create(&(struct vmap_process_config){.lazy_max = (size_t)1 << 20}, &process))
		return -1;
	vmap_default_space = vmap_process_space(process);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return vmap_process_destroy(process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers),
		cmocka_unit_test(log_window),
		cmocka_unit_test(allocations),
	};

	return cmocka_run_group_tests_name("linux user", tests, setup, teardown);
}
