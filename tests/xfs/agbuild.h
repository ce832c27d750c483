/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_AGBUILD_H
#define TEST_AGBUILD_H

#include "fsbuild.h"
#include "finish/ag.h"
#include "finish/btree_impl.h"

/*
 * A filesystem made by mkfs to change space and trees in: one transaction at a time, kept in the cache until it is written to the file. And
 * what must be true of its trees at any time, checked without the code that changes them but for the path to the root.
 */
struct ag_test {
	struct test_fs fs;
	struct xr_cache *cache;
	struct xr_head head;
	struct xr_tx *tx;
};

void ag_test_begin(struct ag_test *t, const char *options, const char *proto);
/* Commit, and go on with the next transaction: what was freed can be used again. */
void ag_test_commit(struct ag_test *t);
/* Commit, write, and ask xfs_repair -n; prints what it says where it is not content. True without an xfs_repair. */
bool ag_test_repair(struct ag_test *t);
void ag_test_end(struct ag_test *t);

/* What a tree holds, in order, all of its rules checked on the way. Caller frees *recs; *n is how many. Returns the number of blocks. */
uint32_t ag_check_tree(struct xr_cur *cur, struct xr_rec **recs, size_t *n);
bool ag_same(const struct xr_rec *a, const struct xr_rec *b);
/* All trees of an AG, and the counters of its headers. */
void ag_check(struct ag_test *t, uint32_t agno);

/* Numbers that are the same in every run. */
uint32_t ag_random(uint32_t *state, uint32_t below);

#endif
