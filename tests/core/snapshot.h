/* SPDX-License-Identifier: MIT */
#ifndef CORE_SNAPSHOT_H
#define CORE_SNAPSHOT_H

#include "softmmu.h"

/*
 * All that a call that failed must leave as it was: live areas as they are listed, every translation, references of the caller's pages;
 * and no CPU may know a translation that is not in the tables.
 */

#define SNAPSHOT_PAGES 1536
#define SNAPSHOT_AREAS 64
#define SNAPSHOT_HELD 8

struct snapshot {
	struct softmmu *mmu;
	struct vmap_space *space;
	uintptr_t base;
	size_t pages, n, held, lazy;
	struct vmap_area_info areas[SNAPSHOT_AREAS];
	uint64_t frames[SNAPSHOT_PAGES];
	unsigned prot[SNAPSHOT_PAGES]; /* 0: not mapped */
	struct vmap_page *held_pages[SNAPSHOT_HELD];
	unsigned refs[SNAPSHOT_HELD];
};

/* Of a space of up to SNAPSHOT_PAGES base pages, and of the caller's n pages. Fails the running test where there is too much. */
void snapshot_take(struct snapshot *snapshot, struct softmmu *mmu, struct vmap_space *space, uintptr_t base, size_t size,
		   struct vmap_page *const *pages, size_t n);

/* Fail the running test where something has changed. What waits for a flush, now or then, may hold references. */
void snapshot_check(const struct snapshot *snapshot);

#endif
