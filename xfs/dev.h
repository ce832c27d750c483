/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_DEV_H
#define XR_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "msg.h"

/* A basic block: the unit of every log address and daddr (specification section 0.2). */
#define XR_BB 512u
#define XR_BB_SHIFT 9

/*
 * An image or block device
 *
 * All I/O is pread and pwrite of whole ranges: a short read or a bad sector is an error with an address, never a signal.
 */
struct xr_dev {
	int fd;
	const char *name; /* as the user gave it; the caller's string */
	uint64_t start; /* byte offset of the filesystem (or log) in the file */
	uint64_t size; /* bytes from start on */
	bool writable;
	const struct xr_msg *msg;
	struct xr_undo *undo; /* keeps what is overwritten (undo.h); NULL: nobody does */
	struct xr_shadow *shadow; /* takes what is written (shadow.h); NULL: the device does */
};

/*
 * Open a regular file or block device; whether somebody else uses it is inuse.h's question, asked before. A block device
 * opened for writing is opened O_EXCL, and must not be write-protected (-EROFS). 0 or a negative errno, said.
 */
int xr_dev_open(struct xr_dev *dev, const char *name, bool writable, const struct xr_msg *msg);
void xr_dev_close(struct xr_dev *dev);

/* See only size bytes from start on, or everything up to the end where size is 0. -EINVAL: no multiple of 512, or beyond its end (said). */
int xr_dev_window(struct xr_dev *dev, uint64_t start, uint64_t size);

/*
 * Read or write exactly size bytes at byte offset. -EIO, said with the first byte that failed and why: also where the host's disk is full under a
 * sparse image, for -ENOSPC is the filesystem's.
 */
int xr_dev_read(const struct xr_dev *dev, void *to, size_t size, uint64_t offset);
int xr_dev_write(const struct xr_dev *dev, const void *from, size_t size, uint64_t offset);

/* The same for n pieces of memory (n <= IOV_MAX) and one range of the device; the pieces' descriptions are used up. */
int xr_dev_readv(const struct xr_dev *dev, struct iovec *iov, int n, uint64_t offset);
int xr_dev_writev(const struct xr_dev *dev, struct iovec *iov, int n, uint64_t offset);

/*
 * Announce that the range will be written: what an undo file must keep of it is kept, and flushed together with that of all other announcements
 * when the first write comes. Without an undo file nothing happens.
 */
int xr_dev_announce(const struct xr_dev *dev, uint64_t offset, size_t size);

/* Everything written so far is on stable storage when this returns 0. */
int xr_dev_flush(const struct xr_dev *dev);

/* The name of a file that was made or renamed is on stable storage when this returns 0: its directory is flushed. Says nothing. */
int xr_dev_sync_name(const char *name);

#endif
