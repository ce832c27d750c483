/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_COPY_H
#define XR_COPY_H

#include "dev.h"
#include "progress.h"

/*
 * --output: recover into a copy
 *
 * The copy is made and recovered under a temporary name beside OUT, and gets OUT's name only when it is whole, in one step: a
 * file called OUT is either a finished recovery or not there. Whoever is killed meanwhile leaves a file named
 * OUT.xfs_replay-XXXXXX, to be deleted.
 */

/* How it was copied, from the cheapest on; each falls back to the next where the filesystem cannot do it. */
enum xr_copy_method {
	XR_COPY_CLONE, /* shares the blocks of the image: reflink */
	XR_COPY_RANGE, /* copy_file_range() of the pieces that are not holes */
	XR_COPY_READ, /* read and write of those pieces, leaving out blocks of zeros; also from block devices */
};

struct xr_copy {
	char *out; /* the name to be */
	char *temp; /* the name meanwhile: what to open for the recovery */
	int fd; /* open for reading and writing; -1: nothing to commit or to abort */
	unsigned mode; /* permission bits that it gets at the end */
	enum xr_copy_method method;
	uint64_t bytes; /* written; 0 for a clone */
	const struct xr_msg *msg;
};

/*
 * Copy all of from to a new file beside out, beginning with method first (XR_COPY_CLONE, but for tests). The file gets the
 * image's permission bits, or 0600 from a block device. progress may be NULL. -EEXIST (said): there is something called out,
 * whatever it is; other errors are said. On failure nothing is left behind.
 */
int xr_copy_begin(struct xr_copy *copy, const struct xr_dev *from, const char *out, enum xr_copy_method first,
		  struct xr_progress *progress, const struct xr_msg *msg);

/*
 * The copy is finished: bring it to stable storage and give it its name. On failure, also when something called out has
 * appeared meanwhile (-EEXIST), as xr_copy_abort(). Either way only method and bytes of *copy still mean something.
 */
int xr_copy_commit(struct xr_copy *copy);

/* Delete the copy. Harmless on a committed or aborted one, and on one that never began. */
void xr_copy_abort(struct xr_copy *copy);

/* The method in words, for people and --json: "reflink", "copy_file_range", "read and write". */
const char *xr_copy_method_name(enum xr_copy_method method);

#endif
