/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_OPTIONS_H
#define XR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is to be shown of the filesystem: all of these write nothing to it. */
enum look { LOOK_NOT, LOOK_TREE, LOOK_TREE_BEFORE, LOOK_LS, LOOK_CAT, LOOK_EXTRACT, LOOK_LOG };

/* An item of the log that is to be left out: see struct xr_skip. */
struct skip_option {
	uint64_t lsn;
	uint32_t tid, number;
	const char *file;
};
#define MAX_SKIPS 64

/* What the user asked for. The strings are those of the command line. */
struct options {
	const char *program; /* begins every error message */
	const char *image, *logdev, *rtdev, *output;
	const char *undo, *apply_undo;
	uint64_t offset; /* of the filesystem in the image, in bytes */
	bool dry_run; /* -n, and whatever only looks */
	enum look look;
	const char *path, *to; /* what to look at, from LOOK_LS on; where to extract it to */
	bool log_html; /* LOOK_LOG as a page */
	bool pass2_only; /* leave intents, unlinked inodes and copy-on-write leftovers to a kernel */
	uint64_t stop_at; /* salvage: replay ends before the record of this LSN; 0: none */
	bool until_bad; /* salvage: replay ends before what is damaged */
	struct skip_option skips[MAX_SKIPS]; /* salvage: what is left out */
	unsigned nskips;
	const char *apply_item; /* an item that was left out before */
	bool verbose, json, stats;
	bool tell_replayed; /* -e */
};

/* A number of bytes, perhaps with a suffix: k, m, g, t, or s for sectors. False: it is none, or no multiple of 512 below 2^63. */
bool options_bytes(const char *text, uint64_t *bytes);

/* What is wrong with the option that getopt_long(), told to be silent, returned c for. */
void options_unknown(int c, char **argv, char *text, size_t room);

/* Whether standard output is taken by what is shown, so that the lines of the report go to standard error. */
bool options_stdout_taken(const struct options *options);

/*
 * Parse the command line. 0: go on; 1: -h or -V was answered on standard output, exit 0; -1: a wrong call, said on standard error.
 */
int options_parse(struct options *options, int argc, char **argv);

#endif
