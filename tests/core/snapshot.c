// SPDX-License-Identifier: MIT
/* See snapshot.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "check.h"
#include "snapshot.h"

#define PAGE ((size_t)4096)

void snapshot_take(struct snapshot *s, struct softmmu *mmu, struct vmap_space *space, uintptr_t base, size_t size,
		   struct vmap_page *const *pages, size_t n)
{
	struct vmap_area_info info;
	struct vmap_stats stats;
	uintptr_t cursor = 0;

	assert_true(size / PAGE <= SNAPSHOT_PAGES && n <= SNAPSHOT_HELD);
	memset(s, 0, sizeof(*s));
	s->mmu = mmu;
	s->space = space;
	s->base = base;
	s->pages = size / PAGE;
	s->held = n;
	vmap_space_stats(space, &stats);
	s->lazy = stats.lazy;
	for (size_t i = 0; i < n; i++) {
		s->held_pages[i] = pages[i];
		s->refs[i] = softmmu_page_refs(mmu, pages[i]);
	}
	while (!vmap_area_next(space, &cursor, &info)) {
		if (info.state == VMAP_STATE_LAZY || info.state == VMAP_STATE_QUARANTINED)
			continue;
		assert_true(s->n < SNAPSHOT_AREAS);
		s->areas[s->n++] = info;
	}
	for (size_t i = 0; i < s->pages; i++)
		if (softmmu_walk(mmu, base + i * PAGE, &s->frames[i]))
			s->prot[i] = softmmu_prot(mmu, base + i * PAGE);
}

/* Each CPU uses each page: one that goes by something else than the tables is reported by the software MMU. */
static void use_everything(const struct snapshot *s)
{
	unsigned char value;

	for (size_t i = 0; i < s->pages; i++)
		for (unsigned cpu = 0; cpu < SOFTMMU_CPUS && s->prot[i]; cpu++)
			assert_true(softmmu_read(s->mmu, cpu, s->base + i * PAGE, &value));
	assert_int_equal(softmmu_violations(s->mmu), 0);
}

void snapshot_check(const struct snapshot *s)
{
	struct snapshot now;

	assert_null(check_space(s->space));
	snapshot_take(&now, s->mmu, s->space, s->base, s->pages * PAGE, s->held_pages, s->held);
	assert_int_equal(now.n, s->n);
	for (size_t i = 0; i < s->n; i++) {
		assert_int_equal(now.areas[i].addr, s->areas[i].addr);
		assert_int_equal(now.areas[i].size, s->areas[i].size);
		assert_int_equal(now.areas[i].guard, s->areas[i].guard);
		assert_int_equal(now.areas[i].pages, s->areas[i].pages);
		assert_int_equal(now.areas[i].flags, s->areas[i].flags);
		assert_int_equal(now.areas[i].prot, s->areas[i].prot);
		assert_int_equal(now.areas[i].state, s->areas[i].state);
	}
	assert_memory_equal(now.frames, s->frames, sizeof(s->frames));
	for (size_t i = 0; i < s->pages; i++)
		assert_int_equal(now.prot[i], s->prot[i]);
	for (size_t i = 0; i < s->held && !s->lazy && !now.lazy; i++)
		assert_int_equal(now.refs[i], s->refs[i]);
	use_everything(s);
}
