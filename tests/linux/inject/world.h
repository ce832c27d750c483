/* SPDX-License-Identifier: MIT */
#ifndef TEST_LINUX_INJECT_WORLD_H
#define TEST_LINUX_INJECT_WORLD_H

/*
 * What operations work with, and what is done with each of them: see test_calls.c. Each file beside this one has the operations of one
 * subject.
 */
#include "support.h"

#include <errno.h>
#include <sys/mman.h>
#include <vmap/view.h>
#include "inject.h"

#define PAGES 8
#define MIB ((size_t)1 << 20)

/* An operation in four: what comes before, the call, whether it did what it says, and taking it back. */
struct operation {
	const char *name; /* the function's, and what else distinguishes it */
	void (*before)(void); /* NULL: nothing */
	int (*call)(void);
	bool (*done)(void); /* NULL: it cannot be seen */
	void (*after)(void); /* NULL: nothing */
	bool cannot_fail;
	bool calls_nothing; /* neither the system nor for memory */
	bool evicts; /* also when it fails: then there is less than before */
	bool partly; /* when it fails a part of it may be done, and the kernel's mappings cut for that */
};

/* Each ends with one without a name. */
extern const struct operation memory_operations[], view_operations[], area_operations[], part_operations[], cache_operations[],
	look_operations[];

extern struct vmap_process_config world_config;
extern struct vmap_process *process;
extern struct vmap_space *space;
extern struct vmap_page *pages[PAGES]; /* neighbours, each full of its number from 1 */
extern struct vmap_page *some[PAGES]; /* five of them, scattered, but for two */
extern size_t page_size;
extern void *addr; /* of what an operation makes */

/* What several subjects use. */
bool shows(const void *at, struct vmap_page *const *what, size_t n); /* these pages */
bool faults(const void *at, size_t size); /* in each page */
int do_pages(void); /* some, to addr */
void map_addr(void);
void unmap_addr(void);
bool addr_shows(void);
bool addr_is_gone(void);

/* Make a world of this configuration, and run the operations in it, each with each of its calls failing. */
void world_run(struct vmap_process_config config, const struct operation *const *subjects, size_t n);

#endif
