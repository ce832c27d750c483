/* SPDX-License-Identifier: MIT */
#ifndef VMAP_CONFORMANCE_BED_H
#define VMAP_CONFORMANCE_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "conformance.h"

/* What the suite's files share. bed_ functions fail the running test where they cannot do what they are asked for. */

/*
 * A bed for this test over the host under test, and its end, which checks that nothing is left behind. Sizes are those that a host with base
 * pages of 4 KiB gets; another one's are larger by as much as its pages are.
 */
struct conformance_bed *bed_begin(void **state, size_t size, size_t lazy_max);
void bed_end(struct conformance_bed *bed);

/* Pages with one reference each, every base page of them marked with bytes of its own; and their end. */
void bed_pages(struct conformance_bed *bed, unsigned order, size_t n, struct vmap_page **pages);
void bed_put(struct conformance_bed *bed, struct vmap_page **pages, size_t n);

/* Map, expecting success; check that each byte looked at is that page's; unmap, expecting success. */
uintptr_t bed_map(struct conformance_bed *bed, struct vmap_page **pages, size_t n, const struct vmap_options *options);
void bed_check_view(struct conformance_bed *bed, uintptr_t addr, struct vmap_page **pages, size_t n);
void bed_unmap(struct conformance_bed *bed, uintptr_t addr);

/* Every base page of this range faults on reading. */
void bed_check_faults(struct conformance_bed *bed, uintptr_t addr, size_t size);

/* The totals, checked for consistency. */
struct vmap_stats bed_stats(struct conformance_bed *bed);

/* The state of the byte at addr. */
int bed_state(struct conformance_bed *bed, uintptr_t addr);

size_t bed_page_size(const struct conformance_bed *bed, const struct vmap_page *page);

/* What this thread does next must not sleep, or may again. */
void bed_atomic(struct conformance_bed *bed, bool atomic);

/* An address as the API takes it. */
void *bed_ptr(uintptr_t addr);

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The tests, a table a file. */
extern const struct CMUnitTest conformance_map_tests[], conformance_alloc_tests[], conformance_place_tests[],
	conformance_life_tests[], conformance_look_tests[], conformance_thread_tests[], conformance_nowait_tests[],
	conformance_change_tests[], conformance_pfn_tests[], conformance_ram_tests[], conformance_sparse_tests[],
	conformance_congruent_tests[];

/* Ends a table. */
#define CONFORMANCE_END                                                                                                          \
	{                                                                                                                        \
		0                                                                                                                \
	}

#endif
