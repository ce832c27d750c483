// SPDX-License-Identifier: MIT
/*
 * Code as it is written for Linux's API, over the Linux-process host: the scenarios that such code is usually tried with. Every page of
 * memory that is mapped or allocated is stamped and looked at again.
 */
#include "support.h"

#include <string.h>
#include <vmap/linux_names.h>

struct page {
	struct vmap_page vmap;
	/* an embedder has more here */
};

#define PAGE_SIZE 4096ul
#define NR_PAGES 128u

struct vmap_space *vmap_default_space;
static struct vmap_process *process;
static struct page *pages[NR_PAGES];

static void stamp(void *mem, unsigned n, unsigned long seed)
{
	for (unsigned i = 0; i < n; i++)
		*(unsigned long *)(void *)((char *)mem + i * PAGE_SIZE) = seed * 1000 + i;
}

static void check_stamps(const void *mem, unsigned n, unsigned long seed)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(*(const unsigned long *)(const void *)((const char *)mem + i * PAGE_SIZE), seed * 1000 + i);
}

static void fix_size_alloc(void **state)
{
	(void)state;
	for (unsigned long round = 0; round < 500; round++) {
		void *mem = vmalloc(3 * PAGE_SIZE);

		assert_non_null(mem);
		stamp(mem, 3, round);
		check_stamps(mem, 3, round);
		vfree(mem);
	}
}

/* One-page areas with a hole of one page between each two: what is larger goes elsewhere, what is not fills them. */
static void full_fit_alloc(void **state)
{
	void *mem[256], *filled[128];

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		mem[i] = vmalloc(PAGE_SIZE);
		assert_non_null(mem[i]);
		stamp(mem[i], 1, i);
	}
	for (unsigned i = 0; i < 256; i += 2)
		vfree(mem[i]);
	vm_unmap_aliases();
	for (unsigned i = 0; i < 128; i++) {
		filled[i] = vmalloc(PAGE_SIZE);
		stamp(filled[i], 1, 1000 + i);
	}
	for (unsigned i = 1; i < 256; i += 2) {
		check_stamps(mem[i], 1, i);
		vfree(mem[i]);
	}
	for (unsigned i = 0; i < 128; i++) {
		check_stamps(filled[i], 1, 1000 + i);
		vfree(filled[i]);
	}
}

static void random_size_alloc(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (unsigned long round = 0; round < 300; round++) {
		unsigned n = (seed = seed * 1103515245u + 12345u) % 100 + 1;
		char *mem = vzalloc(n * PAGE_SIZE - 7);

		assert_non_null(mem);
		for (unsigned i = 0; i < n * PAGE_SIZE - 7; i += 509)
			assert_int_equal(mem[i], 0);
		stamp(mem, n, round);
		check_stamps(mem, n, round);
		vfree(mem);
	}
}

static void map_and_unmap(void **state)
{
	struct page *order[NR_PAGES];
	struct vm_struct area;
	char *mem;

	(void)state;
	for (unsigned i = 0; i < NR_PAGES; i++)
		order[i] = pages[i * 37 % NR_PAGES];
	mem = vmap(order, NR_PAGES, VM_MAP, PAGE_KERNEL);
	assert_non_null(mem);
	stamp(mem, NR_PAGES, 7);
	for (unsigned i = 0; i < NR_PAGES; i++) {
		assert_int_equal(*(unsigned long *)vmap_page_address(process, &order[i]->vmap), 7000 + i);
		assert_ptr_equal(vmalloc_to_page(mem + i * PAGE_SIZE + 5), order[i]);
	}
	assert_true(is_vmalloc_addr(mem + 9));
	assert_false(is_vmalloc_addr(&area));
	assert_true(find_vm_area(mem + 3 * PAGE_SIZE, &area));
	assert_ptr_equal(area.addr, mem);
	assert_int_equal(area.size, (NR_PAGES + 1) * PAGE_SIZE);
	assert_int_equal(area.nr_pages, NR_PAGES);
	vunmap(mem);
	assert_false(find_vm_area(mem, &area));
	assert_null(vmalloc_to_page(mem));
	vunmap(NULL);
	vfree(NULL);
	assert_null(vmap(order, 0, VM_MAP, PAGE_KERNEL));
	assert_null(vcalloc(SIZE_MAX / 2, 3));
}

static void read_only_and_handed_over(void **state)
{
	struct page *one = pages[0];
	uint8_t byte;
	char *mem = vmap(&one, 1, VM_MAP, PAGE_KERNEL_RO);

	(void)state;
	assert_non_null(mem);
	assert_true(try_read(mem, &byte));
	assert_false(try_write(mem, 1));
	vunmap(mem);
	vm_unmap_aliases();
	vmap_page_get(process, (struct vmap_page *[]){&one->vmap}, 1);
	mem = vmap(&one, 1, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	assert_non_null(mem);
	assert_int_equal(one->vmap.refs, 2);
	vfree(mem);
	vm_unmap_aliases();
	assert_int_equal(one->vmap.refs, 1);
}

static void vm_map_ram_test(void **state)
{
	(void)state;
	for (unsigned long round = 0; round < 500; round++) {
		unsigned n = 1 + round % NR_PAGES;
		void *mem = vm_map_ram(pages, n, -1);

		assert_non_null(mem);
		stamp(mem, n, round);
		check_stamps(mem, n, round);
		vm_unmap_ram(mem, n);
	}
}

static void no_block_alloc(void **state)
{
	(void)state;
	for (unsigned long round = 0; round < 200; round++) {
		void *mem = __vmalloc(2 * PAGE_SIZE, GFP_NOWAIT);

		assert_non_null(mem);
		stamp(mem, 2, round);
		vfree_atomic(mem);
		if (round % 50 == 49)
			vm_unmap_aliases();
	}
}

/* As an allocator with an arena does it: addresses once, pages when they are asked for. */
static void sparse_area(void **state)
{
	struct vm_struct *area = get_vm_area(64 * PAGE_SIZE, VM_SPARSE), *plain;
	unsigned long start, page = PAGE_SIZE;
	uint8_t byte;

	(void)state;
	assert_non_null(area);
	assert_int_equal(get_vm_area_size(area), 64 * PAGE_SIZE);
	start = (unsigned long)area->addr;
	assert_int_equal(vm_area_map_pages(area, start + 3 * page, start + 7 * page, pages), 0);
	assert_int_equal(vm_area_map_pages(area, start + 40 * page, start + 64 * page, pages + 4), 0);
	stamp((char *)area->addr + 3 * page, 4, 1);
	stamp((char *)area->addr + 40 * page, 24, 2);
	assert_int_equal(*(unsigned long *)vmap_page_address(process, &pages[5]->vmap), 2001);
	assert_false(try_read((void *)start, &byte));
	vm_area_unmap_pages(area, start + 4 * page, start + 6 * page);
	vm_unmap_aliases();
	assert_false(try_read((void *)(start + 4 * page), &byte));
	check_stamps((char *)area->addr + 3 * page, 1, 1);
	assert_int_equal(pages[1]->vmap.refs, 1);
	assert_int_equal(vm_area_map_pages(area, start + 4 * page, start + 4 * page, pages), -VMAP_EINVAL);
	assert_int_equal(vm_area_map_pages(area, start + 60 * page, start + 65 * page, pages), -VMAP_ERANGE);
	assert_int_equal(vm_area_map_pages(area, start + 6 * page, start + 8 * page, pages), -VMAP_EEXIST);
	free_vm_area(area);
	vm_unmap_aliases();
	for (unsigned i = 0; i < NR_PAGES; i++)
		assert_int_equal(pages[i]->vmap.refs, 1);
	plain = get_vm_area(page, VM_IOREMAP);
	assert_int_equal(vm_area_map_pages(plain, (unsigned long)plain->addr, (unsigned long)plain->addr + page, pages),
			 -VMAP_EINVAL);
	free_vm_area(plain);
}

static void pcpu_alloc_test(void **state)
{
	unsigned long offsets[] = {64 * PAGE_SIZE, 0, 16 * PAGE_SIZE};
	size_t sizes[] = {5 * PAGE_SIZE, 16 * PAGE_SIZE, 40 * PAGE_SIZE};
	struct vm_struct **vms = pcpu_get_vm_areas(offsets, sizes, 3, 32 * PAGE_SIZE);
	unsigned long start;

	(void)state;
	assert_non_null(vms);
	assert_int_equal((uintptr_t)vms[1]->addr % (32 * PAGE_SIZE), 0);
	for (unsigned i = 0; i < 3; i++) {
		start = (unsigned long)vms[i]->addr;
		assert_int_equal(start - offsets[i], (unsigned long)vms[1]->addr);
		assert_int_equal(vms[i]->size, sizes[i]);
		assert_int_equal(vm_area_map_pages(vms[i], start + PAGE_SIZE, start + 3 * PAGE_SIZE, pages + 2 * i), 0);
		stamp((char *)vms[i]->addr + PAGE_SIZE, 2, i);
		check_stamps((char *)vms[i]->addr + PAGE_SIZE, 2, i);
	}
	pcpu_free_vm_areas(vms, 3);
	offsets[1] = 60 * PAGE_SIZE;
	assert_null(pcpu_get_vm_areas(offsets, sizes, 3, PAGE_SIZE));
}

static void vrealloc_test(void **state)
{
	char *mem = vrealloc(NULL, 100, GFP_KERNEL | __GFP_ZERO), *behind;
	size_t sizes[] = {200, 3 * PAGE_SIZE + 7, 40 * PAGE_SIZE, 40 * PAGE_SIZE - 9, 17, 90 * PAGE_SIZE}, filled = 100;

	(void)state;
	assert_non_null(mem);
	memset(mem, 7, filled);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		behind = vmalloc(PAGE_SIZE);
		mem = vrealloc(mem, sizes[i], GFP_KERNEL | __GFP_ZERO);
		assert_non_null(mem);
		for (size_t at = 0; at < sizes[i]; at++)
			if (mem[at] != (at < filled ? 7 : 0))
				fail_msg("byte %zu of %zu is %d", at, sizes[i], mem[at]);
		memset(mem, 7, sizes[i]);
		filled = sizes[i];
		vfree(behind);
	}
	assert_null(vrealloc(mem, 0, GFP_KERNEL));
}

static int setup(void **state)
{
	struct vmap_page *vmap_pages_of[NR_PAGES];

	(void)state;
	if (vmap_process_create(&(struct vmap_process_config){.lazy_max = (size_t)1 << 20}, &process))
		return -1;
	vmap_default_space = vmap_process_space(process);
	if (vmap_page_alloc(process, 0, NR_PAGES, vmap_pages_of))
		return -1;
	for (unsigned i = 0; i < NR_PAGES; i++)
		pages[i] = (struct page *)(void *)vmap_pages_of[i];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR_PAGES; i++)
		vmap_page_put(process, (struct vmap_page *[]){&pages[i]->vmap}, 1);
	return vmap_process_destroy(process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fix_size_alloc), cmocka_unit_test(full_fit_alloc),  cmocka_unit_test(random_size_alloc),
		cmocka_unit_test(map_and_unmap),  cmocka_unit_test(vm_map_ram_test), cmocka_unit_test(read_only_and_handed_over),
		cmocka_unit_test(no_block_alloc), cmocka_unit_test(sparse_area),     cmocka_unit_test(pcpu_alloc_test),
		cmocka_unit_test(vrealloc_test),
	};

	return cmocka_run_group_tests_name("linux names", tests, setup, teardown);
}
