// SPDX-License-Identifier: MIT
/* Real page faults, each caught by the kernel's handler and explained by libvmap. */
#include "../tests/conformance/bed.h"
#include "kernel.h"

#define SPACE ((size_t)4 << 20)
#define PAGE ((size_t)4096)

static struct conformance_bed *begin(void)
{
	void *state = (void *)(uintptr_t)&boot_host;

	return bed_begin(&state, SPACE, SIZE_MAX);
}

/* The last fault: where, why, and what libvmap says about it. */
static void check_fault(uintptr_t addr, bool write, bool execute, int state)
{
	const struct fault *fault = &cpu_self()->fault;

	assert_int_equal(fault->addr, addr);
	assert_int_equal(fault->write, write);
	assert_int_equal(fault->execute, execute);
	assert_int_equal(fault->info.state, state);
	assert_int_equal(fault->err, state == VMAP_STATE_FREE ? -VMAP_ENOENT : 0);
	if (state == VMAP_STATE_FREE)
		return;
	assert_string_equal(fault->info.tag, "boot");
	assert_int_equal(fault->info.size, 2 * PAGE);
}

static void a_guard_page_faults(void **state)
{
	struct conformance_bed *bed = begin();
	struct vmap_page *pages[2];
	unsigned char value;
	uintptr_t addr;

	(void)state;
	bed_pages(bed, 0, 2, pages);
	addr = bed_map(bed, pages, 2, &(struct vmap_options){.tag = "boot"});
	assert_true(probe_read(addr + 2 * PAGE - 1, &value));
	assert_false(probe_read(addr + 2 * PAGE, &value));
	check_fault(addr + 2 * PAGE, false, false, VMAP_STATE_GUARD);
	assert_false(probe_write(addr + 2 * PAGE + 77, 1));
	check_fault(addr + 2 * PAGE + 77, true, false, VMAP_STATE_GUARD);
	bed_unmap(bed, addr);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void an_unmapped_page_faults(void **state)
{
	struct conformance_bed *bed = begin();
	struct vmap_page *pages[2];
	unsigned char value;
	uintptr_t addr, never;

	(void)state;
	bed_pages(bed, 0, 2, pages);
	addr = bed_map(bed, pages, 2, &(struct vmap_options){.tag = "boot"});
	never = addr + 100 * PAGE;
	assert_false(probe_read(never, &value));
	check_fault(never, false, false, VMAP_STATE_FREE);
	/* Never read: no CPU knows the translation. */
	bed_unmap(bed, addr);
	assert_false(probe_read(addr + PAGE, &value));
	check_fault(addr + PAGE, false, false, VMAP_STATE_LAZY);
	vmap_purge(bed->space);
	assert_false(probe_read(addr, &value));
	check_fault(addr, false, false, VMAP_STATE_FREE);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void a_write_to_read_only_faults(void **state)
{
	struct conformance_bed *bed = begin();
	struct vmap_page *pages[2];
	unsigned char value;
	uintptr_t addr;

	(void)state;
	bed_pages(bed, 0, 2, pages);
	addr = bed_map(bed, pages, 2, &(struct vmap_options){.tag = "boot", .prot = VMAP_READ});
	assert_true(probe_read(addr + 5, &value));
	assert_false(probe_write(addr + 5, 1));
	check_fault(addr + 5, true, false, VMAP_STATE_MAPPED);
	assert_int_equal(cpu_self()->fault.info.prot, VMAP_READ);
	bed_unmap(bed, addr);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

static void execution_of_data_faults(void **state)
{
	struct conformance_bed *bed = begin();
	struct vmap_page *pages[2];
	uintptr_t data, code;

	(void)state;
	bed_pages(bed, 0, 2, pages);
	arch_write_return(boot_host.page_bytes(bed, pages[0]));
	arch_sync_code();
	data = bed_map(bed, pages, 2, &(struct vmap_options){.tag = "boot"});
	code = bed_map(bed, pages, 2, &(struct vmap_options){.tag = "boot", .prot = VMAP_READ | VMAP_EXEC});
	assert_false(probe_execute(data));
	check_fault(data, false, true, VMAP_STATE_MAPPED);
	assert_true(probe_execute(code));
	assert_false(probe_write(code, 0));
	check_fault(code, true, false, VMAP_STATE_MAPPED);
	bed_unmap(bed, data);
	bed_unmap(bed, code);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

/* Large leaves, groups, a split, a change of protection, on the real walker. */
static void large_leaves_translate(void **state)
{
	struct conformance_bed *bed = begin();
	struct vmap_pgtable *pgtable = bed->data;
	struct vmap_pgtable_leaf leaf;
	struct vmap_page *pages[2];
	uintptr_t base = (bed->base + 0x1fffff) & ~(uintptr_t)0x1fffff;

	(void)state;
	bed_pages(bed, 9, 1, pages);
	bed_pages(bed, 4, 1, &pages[1]);
	assert_int_equal(vmap_pgtable_map(pgtable, base, pages, 1, VMAP_READ | VMAP_WRITE | VMAP_LARGE), 0);
	assert_int_equal(vmap_pgtable_lookup(pgtable, base, &leaf), 0);
	assert_int_equal(leaf.size, 0x200000);
	bed_check_view(bed, base, pages, 1);
	assert_int_equal(vmap_pgtable_protect(pgtable, base + 5 * PAGE, PAGE, VMAP_READ), 0);
	vmap_pgtable_flush(pgtable, &(struct vmap_range){base + 5 * PAGE, PAGE}, 1);
	bed_check_view(bed, base, pages, 1);
	assert_true(probe_write(base + 4 * PAGE, 4));
	assert_false(probe_write(base + 5 * PAGE, 5));
	assert_int_equal(vmap_pgtable_unmap(pgtable, base, 0x200000), 0);
	vmap_pgtable_flush(pgtable, &(struct vmap_range){base, 0x200000}, 1);
	bed_check_faults(bed, base, 0x200000);
	assert_int_equal(vmap_pgtable_map(pgtable, base, &pages[1], 1, VMAP_READ | VMAP_WRITE | VMAP_LARGE), 0);
	bed_check_view(bed, base, &pages[1], 1);
	assert_int_equal(vmap_pgtable_unmap(pgtable, base + PAGE, PAGE), 0);
	vmap_pgtable_flush(pgtable, &(struct vmap_range){base + PAGE, PAGE}, 1);
	bed_check_faults(bed, base + PAGE, PAGE);
	assert_true(probe_write(base + 2 * PAGE, 2));
	assert_int_equal(vmap_pgtable_unmap(pgtable, base, 0x200000), 0);
	vmap_pgtable_flush(pgtable, &(struct vmap_range){base, 0x200000}, 1);
	bed_put(bed, pages, 2);
	bed_end(bed);
}

const struct CMUnitTest boot_fault_tests[] = {
	cmocka_unit_test(a_guard_page_faults),         cmocka_unit_test(an_unmapped_page_faults),
	cmocka_unit_test(a_write_to_read_only_faults), cmocka_unit_test(execution_of_data_faults),
	cmocka_unit_test(large_leaves_translate),      CONFORMANCE_END,
};
