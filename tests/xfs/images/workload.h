/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_TEST_WORKLOAD_H
#define XR_TEST_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind { K_NONE, K_DIR, K_FILE, K_SYMLINK, K_SPECIAL, K_KINDS };

/* One name that the workload made. A name's path is its parents' names: renaming a directory moves what is below it. */
struct node {
	enum kind kind;
	size_t parent;
	size_t children; /* names in this directory */
	char *name;
};

struct work {
	uint64_t rng;
	int root; /* the mount point; everything else is relative to it */
	struct node *nodes; /* nodes[0] is the root; K_NONE slots are free */
	size_t count, room;
	size_t live[K_KINDS];
	uint64_t serial; /* makes names unique */
	uint64_t done, refused; /* operations that succeeded; that the filesystem refused for a legal reason */
	bool reflink; /* clone files */
	bool swap; /* exchange extents: without rmapbt some kernels cannot recover from that */
	bool exchange; /* exchange ranges of files, where the filesystem can */
	uint8_t *data; /* WORK_DATA random bytes to write from */
};

#define WORK_DATA (1u << 18)

/* Start on the directory root; 0 or -errno. */
int work_start(struct work *w, int root, uint64_t seed);
void work_stop(struct work *w);

/* Uniform in [0, n), n > 0. */
uint64_t work_random(struct work *w, uint64_t n);

/* Do one operation, chosen by weight. 0, also where the filesystem refused it for a legal reason; else -errno, said. */
int work_step(struct work *w);

/* Do every operation once, so that none is missing. Returns as work_step(). */
int work_each(struct work *w);

/*
 * Exchange mappings of random ranges of two open files (the same one, too), which begin at random in the first blocks of 16 KiB: those of
 * this many, or all up to the end with the sizes. 0 or -errno.
 */
int exchange_ranges(struct work *w, int a, int b, uint64_t blocks);

#endif
