// SPDX-License-Identifier: MIT
/* What is left out or done wrong is noticed: the machine is able to fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "modes.h"

#define RW (VMAP_READ | VMAP_WRITE)
#define PAGE ((size_t)4096)
#define SIZE (1024 * PAGE)

static struct vmap_pgtable_format format;
static struct vmap_pgtable pgtable;
static struct machine *machine;
static uintptr_t base;

/* Each test over one mode of each architecture. */
static const unsigned tested[] = {0, 2, 7};

static void begin(unsigned mode, size_t keep)
{
	base = modes[mode].base;
	assert_int_equal(modes[mode].format(&format), 0);
	machine = machine_create(&modes[mode].decode, base, SIZE, 32);
	assert_int_equal(vmap_pgtable_init(&pgtable, &(struct vmap_pgtable_config){.format = &format,
										   .ops = machine_ops(),
										   .ctx = machine,
										   .root = machine_root(machine),
										   .base = base,
										   .size = SIZE,
										   .keep = keep}),
			 0);
	machine_quiet(machine, true);
}

/* Violations are expected, of this kind, or none where what is NULL. */
static void end(const char *what)
{
	if (what) {
		assert_true(machine_violations(machine) > 0);
		assert_non_null(strstr(machine_last(machine), what));
	} else {
		assert_int_equal(machine_violations(machine), 0);
	}
	machine_break(machine, 0);
	vmap_pgtable_unmap(&pgtable, base, SIZE);
	vmap_pgtable_flush(&pgtable, NULL, 0);
	vmap_pgtable_fini(&pgtable);
	machine_destroy(machine);
}

static void map(uint64_t frame, size_t count, unsigned prot)
{
	assert_int_equal(vmap_pgtable_map_frames(&pgtable, base, frame, count, prot), 0);
}

static void a_missing_publish(void **state)
{
	uint64_t pa;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin(tested[i], 0);
		machine_break(machine, MACHINE_NO_PUBLISH);
		map(7, 1, RW);
		assert_true(machine_translate(machine, MACHINE_EAGER, base, false, &pa));
		assert_false(machine_translate(machine, MACHINE_LAZY, base, false, &pa));
		end(NULL);
		begin(tested[i], 0);
		map(7, 1, RW);
		assert_true(machine_translate(machine, MACHINE_LAZY, base, false, &pa));
		end(NULL);
	}
}

static void a_missing_flush(void **state)
{
	uint64_t pa;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned flush = 0; flush < 2; flush++) {
			begin(tested[i], 10);
			map(7, 1, RW);
			vmap_pgtable_unmap(&pgtable, base, PAGE);
			assert_true(machine_translate(machine, MACHINE_EAGER, base, false, &pa));
			if (flush)
				vmap_pgtable_flush(&pgtable, &(struct vmap_range){base, PAGE}, 1);
			assert_int_equal(machine_translate(machine, MACHINE_EAGER, base, false, &pa), !flush);
			map(8, 1, RW);
			end(flush ? NULL : "another translation");
		}
	}
}

static void tables_given_back_while_remembered(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin(tested[i], 0);
		map(7, 1, RW);
		vmap_pgtable_unmap(&pgtable, base, PAGE);
		machine_break(machine, MACHINE_NO_WALK_FLUSH);
		vmap_pgtable_flush(&pgtable, &(struct vmap_range){base, PAGE}, 1);
		end("is given back, which a CPU remembers");
	}
}

/* A large leaf is overwritten with a table, as if there were no break. */
static void a_missing_break(void **state)
{
	struct decode_result r;
	uint64_t *slot, leaf;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin(tested[i], 0);
		map(0x200, 512, RW | VMAP_LARGE);
		r = machine_decode(machine, base);
		assert_int_equal(r.size, 512 * PAGE);
		machine_observe(machine);
		slot = machine_entry(machine, r.slot[r.slots - 1]);
		leaf = *slot;
		/* With the break it is no violation. */
		assert_int_equal(vmap_pgtable_unmap(&pgtable, base + PAGE, PAGE), 0);
		assert_int_equal(machine_violations(machine), 0);
		*slot = leaf;
		machine_observe(machine);
		end("another translation");
	}
}

static void malformed_entries(void **state)
{
	static const uint64_t flips[] = {0x20, 0x400, 0x80};
	struct decode_result r;
	uint64_t *slot;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin(tested[i], 0);
		map(7, 1, RW);
		r = machine_decode(machine, base);
		slot = machine_entry(machine, r.slot[r.slots - 1]);
		*slot ^= flips[i];
		machine_observe(machine);
		end("clear");
	}
}

/* A walk that needs a table which is just being given back gets it again: nobody ever remembers another one in its place. */
static void map_in_flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	static bool inside;

	if (!inside && !n) {
		inside = true;
		assert_int_equal(vmap_pgtable_map_frames(&pgtable, base + 5 * PAGE, 9, 1, RW), 0);
		inside = false;
	}
	machine_ops()->flush(ctx, ranges, n);
}

static void a_table_is_wanted_again(void **state)
{
	struct vmap_pgtable_ops ops = *machine_ops();
	uint64_t pa;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin(tested[i], 0);
		machine_quiet(machine, false);
		map(7, 1, RW);
		vmap_pgtable_unmap(&pgtable, base, PAGE);
		ops.flush = map_in_flush;
		pgtable.ops = &ops;
		vmap_pgtable_flush(&pgtable, &(struct vmap_range){base, PAGE}, 1);
		pgtable.ops = machine_ops();
		assert_true(machine_translate(machine, MACHINE_EAGER, base + 5 * PAGE, true, &pa));
		assert_true(machine_translate(machine, MACHINE_LAZY, base + 5 * PAGE, true, &pa));
		assert_int_equal(pa, 9 * PAGE);
		assert_true(pgtable.tables > 1);
		vmap_pgtable_unmap(&pgtable, base + 5 * PAGE, PAGE);
		vmap_pgtable_flush(&pgtable, &(struct vmap_range){base + 5 * PAGE, PAGE}, 1);
		assert_int_equal(pgtable.tables, 1);
		end(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_missing_publish), cmocka_unit_test(a_missing_flush),
		cmocka_unit_test(a_missing_break),   cmocka_unit_test(tables_given_back_while_remembered),
		cmocka_unit_test(malformed_entries), cmocka_unit_test(a_table_is_wanted_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
