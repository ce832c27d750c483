/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_LOGCASES_H
#define TEST_LOGCASES_H

/*
 * Synthetic logs, one a case, written with logbuild.h into the log of a filesystem that somebody made: torn ones, corrupt ones, and items
 * that no kernel at hand writes. What should come of them stands beside them.
 *
 * The transactions of most cases write marks: a block each, in free space, with bytes that tell which. So "what is replayed" is a set
 * of marks, and whatever else was in the log must not be seen.
 */
#include "logbuild.h"

#define LC_MARKS 32u

struct logcase {
	const char *name;
	void (*build)(struct lb *lb, const struct logcase *c);
	int status; /* of xfs_replay */
	uint32_t marks; /* which marks are on the disk afterwards; where the log is refused nothing is changed at all */
	const char *say; /* in what it says; NULL: nothing certain */
	unsigned flags;
	uint32_t at, value; /* the builder's */
};

/* Not for version 4 filesystems; not for version 1 logs; corrupt on purpose. */
#define LC_V5 1u
#define LC_LOGV2 2u
#define LC_CORRUPT 4u

extern const struct logcase logcases[];
extern const size_t logcases_count;

/* NULL: there is none of this name. */
const struct logcase *logcase_find(const char *name);
bool logcase_fits(const struct logcase *c, const struct xr_sb *sb);

/* Write the case into the log of lb, which is that of a whole filesystem (lb_open()). */
void logcase_build(const struct logcase *c, struct lb *lb);

/* The marks that are on the disk, or UINT32_MAX where something else is in the place of one. */
uint32_t logcase_marks(const struct lb *lb);

#endif
