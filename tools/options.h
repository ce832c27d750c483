/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_OPTIONS_H
#define XR_OPTIONS_H

#include <stdbool.h>

/* What the user asked for. The strings are those of the command line. */
struct options {
	const char *image, *logdev, *rtdev, *output;
	bool dry_run; /* -n, and whatever only looks */
	bool tree, tree_before;
	bool verbose, json, stats;
	bool tell_replayed; /* -e */
};

/*
 * Parse the command line. 0: go on; 1: -h or -V was answered on standard output, exit 0; -1: a wrong call, said on standard error.
 */
int options_parse(struct options *options, int argc, char **argv);

#endif
