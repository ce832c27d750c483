/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_UNDO_H
#define XR_UNDO_H

#include "dev.h"

/*
 * Undo
 *
 * An undo file keeps what was on a filesystem's devices where something else was written since. A device that it is attached to (dev->undo) is
 * not written to before the old content is in the file, on stable storage: xr_dev_write() and xr_dev_writev() see to it.
 */
enum xr_role { XR_ROLE_DATA, XR_ROLE_LOG, XR_ROLES };

struct xr_undo;

/*
 * Make the undo file name, which must not exist, for the filesystem with this UUID, and attach it to its devices: devs[XR_ROLE_DATA],
 * devs[XR_ROLE_LOG] (NULL: the log is not on a device of its own). The file and its name are on stable storage when this returns 0. -EEXIST and
 * others, said. name and devs must outlive it.
 */
int xr_undo_create(struct xr_undo **undo, const char *name, const uint8_t uuid[16], struct xr_dev *const devs[XR_ROLES],
		   const struct xr_msg *msg);

/*
 * Keep what the range of dev, one of those attached, holds now, as far as it was not kept already. Not yet on stable storage: -EIO and others, said.
 * Where the file could not be written or flushed everything that follows fails too, so that nothing more is overwritten.
 */
int xr_undo_keep(struct xr_undo *undo, const struct xr_dev *dev, uint64_t offset, size_t size);

/* Everything that was kept is on stable storage when this returns 0. */
int xr_undo_sync(struct xr_undo *undo);

/* Nothing more will be written: end the file, so that one that was cut can be told from a whole one. On stable storage when this returns 0. */
int xr_undo_end(struct xr_undo *undo);

/* Bytes of old content that were kept. */
uint64_t xr_undo_bytes(const struct xr_undo *undo);

/* Detach from the devices and close; NULL is fine. */
void xr_undo_close(struct xr_undo *undo);

/* What a file undoes, from its header. */
struct xr_undo_info {
	uint8_t uuid[16];
	struct {
		bool used;
		uint64_t start, size; /* of struct xr_dev */
	} dev[XR_ROLES];
};

/* Read the header of an undo file. -EUCLEAN: it is none (said). */
int xr_undo_info(const char *name, struct xr_undo_info *info, const struct xr_msg *msg);

/*
 * Put back everything that the file keeps, to the devices that its header names, which are open for writing and of its sizes, and
 * bring it to stable storage; *bytes is how much. Checked first, before anything is written: every record, and that the devices are those of the
 * filesystem the file was made for. A file that ends in the middle of a record is warned of and good: what that would have undone was never
 * written; *ended is false then, as where the end is missing. Can be repeated. -EINVAL: other devices; -EUCLEAN: the file is damaged; said.
 */
int xr_undo_apply(const char *name, struct xr_dev *const devs[XR_ROLES], uint64_t *bytes, bool *ended, const struct xr_msg *msg);

#endif
