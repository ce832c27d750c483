/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_PROGRESS_H
#define XR_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * How far we are, on a terminal
 *
 * One line, rewritten in place at most ten times a second, and gone when the work is done. Where out is not a terminal, nothing
 * is ever written. All functions accept NULL.
 */
struct xr_progress {
	FILE *out;
	bool terminal, drawn;
	uint64_t next; /* do not draw before this time, nanoseconds of the monotonic clock */
};

/*
 * out is usually stderr; wanted false (--json, quiet): never draw. The line comes only when the work takes more than a tenth of
 * a second.
 */
void xr_progress_init(struct xr_progress *progress, FILE *out, bool wanted);

/* done of all (any unit, all may be 0) of what, a few words, are done. Cheap: may be called often. */
void xr_progress_show(struct xr_progress *progress, const char *what, uint64_t done, uint64_t all);

/* Erase the line, before a message or at the end; a later xr_progress_show() draws it again. */
void xr_progress_clear(struct xr_progress *progress);

#endif
