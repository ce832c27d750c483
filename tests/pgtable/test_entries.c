// SPDX-License-Identifier: MIT
/* The bits of entries, written down by hand from the manuals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "modes.h"

#define RW (VMAP_READ | VMAP_WRITE)
#define RX (VMAP_READ | VMAP_EXEC)

/* One mapping and its leaf. bytes: of the whole translation. */
struct golden {
	unsigned mode;
	unsigned prot;
	uint64_t frame;
	size_t count, bytes;
	uint64_t entry;
};

static const struct golden goldens[] = {
	/* x86-64: P 1, W 2, A 20, D 40, G 100, NX; PWT 8, PCD 10, PAT 80 or 1000 in large leaves. */
	{0, RW, 0x12345, 1, 0x1000, 0x8000000012345163},
	{0, VMAP_READ, 0x12345, 1, 0x1000, 0x8000000012345161},
	{0, RX, 0x12345, 1, 0x1000, 0x0000000012345161},
	{0, RW | VMAP_EXEC, 0x12345, 1, 0x1000, 0x0000000012345163},
	{0, RW, 0xffffffffff, 1, 0x1000, 0x800ffffffffff163},
	{0, RW | VMAP_UNCACHED, 0x12345, 1, 0x1000, 0x800000001234517b},
	{0, RW | VMAP_WRITE_COMBINING, 0x12345, 1, 0x1000, 0x80000000123451eb},
	{0, RW | VMAP_LARGE, 0x40000, 512, 0x200000, 0x80000000400001e3},
	{0, RW | VMAP_LARGE | VMAP_WRITE_COMBINING, 0x40000, 512, 0x200000, 0x80000000400011eb},
	{0, RW | VMAP_LARGE, 0x40001, 512, 0x1000, 0x8000000040001163},
	{0, RW, 0x40000, 512, 0x1000, 0x8000000040000163},
	/* The other one has no global bit, and leaves of 1 GiB. */
	{1, RW, 0x12345, 1, 0x1000, 0x8000000012345063},
	{1, RX | VMAP_LARGE, 0x80000, 0x40000, 0x40000000, 0x00000000800000e1},
	/* aarch64: valid 1, page 2, attribute index << 2, read-only 80, SH 300, AF 400, PXN 2 << 52, UXN 4 << 52, contiguous 1 << 52. */
	{2, RW, 0x12345, 1, 0x1000, 0x0060000012345707},
	{2, VMAP_READ, 0x12345, 1, 0x1000, 0x0060000012345787},
	{2, RX, 0x12345, 1, 0x1000, 0x0040000012345787},
	{2, RW | VMAP_DEVICE, 0x12345, 1, 0x1000, 0x0060000012345713},
	{2, RW | VMAP_WRITE_COMBINING, 0x12345, 1, 0x1000, 0x006000001234570b},
	{2, RW | VMAP_LARGE, 0x40010, 16, 0x10000, 0x0070000040010707},
	{2, RW | VMAP_LARGE, 0x40200, 512, 0x200000, 0x0060000040200705},
	{2, RW | VMAP_LARGE, 0x42000, 8192, 0x2000000, 0x0070000042000705},
	{2, RW | VMAP_LARGE, 0x80000, 0x40000, 0x40000000, 0x0060000080000705},
	{3, RW, 0x12345, 1, 0x4000, 0x0060000048d14707},
	{3, RW | VMAP_LARGE, 0x10080, 128, 0x200000, 0x0070000040200707},
	{3, RW | VMAP_LARGE, 0x10800, 2048, 0x2000000, 0x0060000042000705},
	{4, RW, 0x12345, 1, 0x10000, 0x0060000123450707},
	{4, RW | VMAP_LARGE, 0x4020, 32, 0x200000, 0x0070000040200707},
	{4, RW | VMAP_LARGE, 0x6000, 8192, 0x20000000, 0x0060000060000705},
	{5, RW | VMAP_LARGE, 0x40010, 16, 0x1000, 0x0060000040010707},
	/* riscv64: V 1, R 2, W 4, X 8, G 20, A 40, D 80, PBMT << 61, N 1 << 63. */
	{6, RW, 0x12345, 1, 0x1000, 0x00000000048d14e7},
	{6, RW | VMAP_DEVICE, 0x12345, 1, 0x1000, 0x00000000048d14e7},
	{6, RW | VMAP_LARGE, 0x40010, 16, 0x1000, 0x00000000100040e7},
	{7, VMAP_READ, 0x12345, 1, 0x1000, 0x00000000048d14e3},
	{7, RX, 0x12345, 1, 0x1000, 0x00000000048d14eb},
	{7, RW | VMAP_WRITE_COMBINING, 0x12345, 1, 0x1000, 0x20000000048d14e7},
	{7, RW | VMAP_UNCACHED, 0x12345, 1, 0x1000, 0x40000000048d14e7},
	{7, RW | VMAP_LARGE, 0x40010, 16, 0x10000, 0x80000000100060e7},
	{7, RW | VMAP_LARGE, 0x40000, 512, 0x200000, 0x00000000100000e7},
	{7, RW | VMAP_LARGE, 0x80000, 0x40000, 0x40000000, 0x00000000200000e7},
	{8, RW, 0x12345, 1, 0x1000, 0x00000000048d14c7},
};

struct rig {
	struct vmap_pgtable pgtable;
	struct vmap_pgtable_format format;
	struct machine *machine;
	uintptr_t base;
};

/* A range around a gigabyte's border. */
static void begin(struct rig *rig, const struct mode *mode, size_t size)
{
	*rig = (struct rig){.base = (mode->base | 0x3fffffff) + 1};
	assert_int_equal(mode->format(&rig->format), 0);
	rig->machine = machine_create(&mode->decode, rig->base, size, 64);
	assert_int_equal(vmap_pgtable_init(&rig->pgtable, &(struct vmap_pgtable_config){.format = &rig->format,
											.ops = machine_ops(),
											.ctx = rig->machine,
											.root = machine_root(rig->machine),
											.base = rig->base,
											.size = size}),
			 0);
}

static void end(struct rig *rig)
{
	vmap_pgtable_fini(&rig->pgtable);
	assert_int_equal(rig->pgtable.tables, 0);
	assert_int_equal(machine_violations(rig->machine), 0);
	assert_int_equal(machine_destroy(rig->machine), 0);
}

static void entries_have_these_bits(void **state)
{
	struct vmap_pgtable_leaf leaf;
	const struct golden *g;
	struct decode_result r;
	struct rig rig;
	size_t size;

	(void)state;
	for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++) {
		g = &goldens[i];
		size = g->count << modes[g->mode].decode.granule;
		begin(&rig, &modes[g->mode], size);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, g->frame, g->count, g->prot), 0);
		r = machine_decode(rig.machine, rig.base);
		assert_true(r.valid);
		assert_null(r.malformed);
		if (r.entry[r.slots - 1] != g->entry)
			fail_msg("case %zu: 0x%llx instead of 0x%llx", i, (unsigned long long)r.entry[r.slots - 1],
				 (unsigned long long)g->entry);
		assert_int_equal(r.size, g->bytes);
		assert_int_equal(vmap_pgtable_lookup(&rig.pgtable, rig.base + size - 1, &leaf), 0);
		assert_int_equal(leaf.frame, g->frame + g->count - 1);
		assert_int_equal(leaf.size, g->bytes);
		assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, rig.base, size), 0);
		assert_false(machine_decode(rig.machine, rig.base).valid);
		vmap_pgtable_flush(&rig.pgtable, &(struct vmap_range){rig.base, size}, 1);
		end(&rig);
	}
}

/* One page out of the middle of a gigabyte: it is split down to base pages, the rest stays. */
static void a_gigabyte_is_split(void **state)
{
	static const unsigned big[] = {1, 2, 7, 8};
	struct decode_result r;
	struct rig rig;
	uintptr_t hole;

	(void)state;
	for (size_t i = 0; i < sizeof(big) / sizeof(big[0]); i++) {
		begin(&rig, &modes[big[i]], (size_t)1 << 30);
		hole = rig.base + 0x12345000;
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, 0x80000, 1 << 18, RW | VMAP_LARGE), 0);
		for (unsigned k = 1; k <= 2; k++) {
			machine_inject(rig.machine, k);
			assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, hole, 0x1000), -VMAP_ENOMEM);
			r = machine_decode(rig.machine, hole + 5);
			assert_true(r.valid && r.pa == 0x92345005);
			if (k == 2)
				break;
		}
		machine_inject(rig.machine, 0);
		assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, hole, 0x1000), 0);
		assert_false(machine_decode(rig.machine, hole).valid);
		r = machine_decode(rig.machine, hole + 0x1000);
		assert_true(r.valid && r.pa == 0x92346000 && r.writable && !r.executable);
		assert_int_equal(machine_decode(rig.machine, rig.base).size, 0x200000);
		assert_int_equal(vmap_pgtable_protect(&rig.pgtable, rig.base + 0x1000, 0x1000, VMAP_READ), 0);
		assert_true(machine_decode(rig.machine, rig.base).writable);
		assert_false(machine_decode(rig.machine, rig.base + 0x1000).writable);
		assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, rig.base, (size_t)1 << 30), 0);
		vmap_pgtable_flush(&rig.pgtable, NULL, 0);
		end(&rig);
	}
}

/* Frames may share a leaf, so a cut among them splits it, or fails and changes nothing; the unmaps behind it split nothing. */
static void cuts_split_leaves(void **state)
{
	struct rig rig;
	struct vmap_pgtable_leaf leaf;
	struct vmap_host host = {0};
	uint64_t frames[512];
	uintptr_t border;

	(void)state;
	for (size_t i = 0; i < 512; i++)
		frames[i] = 0x400 + i;
	for (size_t m = 0; m < mode_count; m++) {
		if (modes[m].decode.granule != 12)
			continue;
		begin(&rig, &modes[m], (size_t)4 << 20);
		border = rig.base + 0x103000;
		vmap_pgtable_plug(&rig.pgtable, &host);
		assert_int_equal(host.map_pfn(&rig.pgtable, rig.base, frames, 512, VMAP_READ | VMAP_LARGE), 0);
		machine_inject(rig.machine, 1);
		assert_int_equal(host.cut(&rig.pgtable, &border, 1), -VMAP_ENOMEM);
		assert_int_equal(vmap_pgtable_lookup(&rig.pgtable, rig.base, &leaf), 0);
		assert_int_equal(leaf.size, 0x200000);
		machine_inject(rig.machine, 0);
		assert_int_equal(host.cut(&rig.pgtable, &border, 1), 0);
		assert_int_equal(host.cut(&rig.pgtable, &border, 1), 0);
		machine_inject(rig.machine, 1);
		host.unmap(&rig.pgtable, rig.base + 0x103000, 0xfd000);
		assert_int_equal(vmap_pgtable_lookup(&rig.pgtable, rig.base + 0x102000, &leaf), 0);
		assert_int_equal(leaf.frame, 0x400 + 0x102);
		assert_int_equal(vmap_pgtable_lookup(&rig.pgtable, rig.base + 0x103000, &leaf), -VMAP_ENOENT);
		host.unmap(&rig.pgtable, rig.base, 0x103000);
		assert_false(machine_injected(rig.machine));
		machine_inject(rig.machine, 0);
		host.flush(&rig.pgtable, NULL, 0);
		end(&rig);
	}
}

/* A table of base pages that were unmapped does not keep a large leaf from its place. */
static void empty_tables_make_room(void **state)
{
	struct rig rig;

	(void)state;
	for (unsigned i = 0; i < mode_count; i++) {
		size_t page = (size_t)1 << modes[i].decode.granule, large = page << (modes[i].decode.granule - 3);

		begin(&rig, &modes[i], large);
		rig.pgtable.keep = 10;
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, 3, 5, RW), 0);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, 0, large / page, RW | VMAP_LARGE), -VMAP_EEXIST);
		assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, rig.base, 5 * page), 0);
		vmap_pgtable_flush(&rig.pgtable, &(struct vmap_range){rig.base, 5 * page}, 1);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, 0, large / page, RW | VMAP_LARGE), 0);
		assert_int_equal(machine_decode(rig.machine, rig.base).size, large);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base + page, 0, 1, RW), -VMAP_EEXIST);
		assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, rig.base, large), 0);
		vmap_pgtable_flush(&rig.pgtable, &(struct vmap_range){rig.base, large}, 1);
		end(&rig);
	}
}

static void prefilled_roots_do_not_change(void **state)
{
	struct rig rig;
	unsigned changes;

	(void)state;
	for (unsigned i = 0; i < mode_count; i++) {
		begin(&rig, &modes[i], (size_t)1 << 30);
		assert_int_equal(vmap_pgtable_prefill(&rig.pgtable), 0);
		changes = machine_root_changes(rig.machine);
		assert_true(changes >= 1);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base + (1 << 29), 7, 1, RW), 0);
		assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, rig.base, (size_t)1 << 30), 0);
		vmap_pgtable_trim(&rig.pgtable);
		assert_int_equal(machine_root_changes(rig.machine), changes);
		end(&rig);
	}
}

static void bad_formats_are_refused(void **state)
{
	struct vmap_pgtable_format format;

	(void)state;
	assert_int_equal(vmap_pgtable_x86_64(&format, &(struct vmap_x86_64_config){.levels = 3}), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_x86_64(&format, &(struct vmap_x86_64_config){.levels = 4, .device = 8}), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_aarch64(&format, &(struct vmap_aarch64_config){.page_shift = 13, .va_bits = 48}),
			 -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_aarch64(&format, &(struct vmap_aarch64_config){.page_shift = 12, .va_bits = 49}),
			 -VMAP_EINVAL);
	assert_int_equal(
		vmap_pgtable_aarch64(&format, &(struct vmap_aarch64_config){.page_shift = 12, .va_bits = 48, .write_back = 0xff}),
		-VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_riscv64(&format, &(struct vmap_riscv64_config){.levels = 2}), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_riscv64(&format, &(struct vmap_riscv64_config){.levels = 6}), -VMAP_EINVAL);
}

static void bad_arguments_are_refused(void **state)
{
	struct vmap_page page = {.frame = 1, .refs = 1, .order = VMAP_MAX_ORDER + 1}, *pages = &page;
	struct vmap_pgtable_leaf leaf;
	struct rig rig;

	(void)state;
	begin(&rig, &modes[1], 0x10000);
	assert_int_equal(vmap_pgtable_map(&rig.pgtable, rig.base, &pages, 1, RW), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_map(&rig.pgtable, rig.base, &pages, 0, RW), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, 1, 17, RW), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base - 0x1000, 1, 1, RW), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base + 1, 1, 1, RW), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, 1, SIZE_MAX, RW), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, 1, 1, RW | VMAP_DEVICE), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, 1, 1, 0x80), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, rig.base, 0), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, rig.base, 0x11000), -VMAP_EINVAL);
	assert_int_equal(vmap_pgtable_protect(&rig.pgtable, rig.base, 0x1000, RW), -VMAP_EFAULT);
	assert_int_equal(vmap_pgtable_lookup(&rig.pgtable, rig.base, &leaf), -VMAP_ENOENT);
	assert_int_equal(vmap_pgtable_lookup(&rig.pgtable, rig.base + 0x10000, &leaf), -VMAP_EINVAL);
	assert_int_equal(rig.pgtable.tables, 0);
	end(&rig);
}

/* What is beyond the address field would be something else in the entry. */
static void frames_have_to_fit(void **state)
{
	struct rig rig;

	(void)state;
	for (unsigned i = 0; i < mode_count; i++) {
		unsigned granule = modes[i].decode.granule, bits = modes[i].decode.arch == ARCH_RISCV64 ? 56 : 48;
		size_t page = (size_t)1 << granule;
		uint64_t last;

		bits = modes[i].decode.arch == ARCH_X86_64 ? 52 : bits;
		last = ((uint64_t)1 << (bits - granule)) - 1;
		begin(&rig, &modes[i], 16 * page);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, UINT64_MAX, 1, RW), -VMAP_EINVAL);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, last + 1, 1, RW), -VMAP_EINVAL);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, last, 2, RW), -VMAP_EINVAL);
		assert_int_equal(vmap_pgtable_map_frames(&rig.pgtable, rig.base, last - 1, 2, RW), 0);
		assert_int_equal(machine_decode(rig.machine, rig.base + page).pa >> granule, last);
		assert_int_equal(vmap_pgtable_unmap(&rig.pgtable, rig.base, 2 * page), 0);
		end(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_have_these_bits),
		cmocka_unit_test(a_gigabyte_is_split),
		cmocka_unit_test(cuts_split_leaves),
		cmocka_unit_test(empty_tables_make_room),
		cmocka_unit_test(prefilled_roots_do_not_change),
		cmocka_unit_test(bad_formats_are_refused),
		cmocka_unit_test(bad_arguments_are_refused),
		cmocka_unit_test(frames_have_to_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
