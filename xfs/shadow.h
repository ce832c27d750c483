/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_SHADOW_H
#define XR_SHADOW_H

#include "dev.h"

/*
 * Shadows
 *
 * What is written to a device with a shadow (dev->shadow) goes to a temporary file without a name, and is read back from there; the device stays
 * as it is, and may be open for reading only. So who only looks replays as who writes does, in as little memory. The file is made when
 * the first write comes, in the folder that TMPDIR names, or else in /var/tmp or /tmp. Any thread may read and write.
 */
struct xr_shadow;

/* Give dev, which must outlive it, a shadow. -ENOMEM, said. */
int xr_shadow_create(struct xr_shadow **shadow, struct xr_dev *dev);

/* Forget what was written, and take the shadow from its device. NULL is fine. */
void xr_shadow_close(struct xr_shadow *shadow);

/* Where some bytes of a device with a shadow are. */
struct xr_place {
	int fd;
	uint64_t at; /* byte of that file */
	size_t size; /* bytes that are there side by side */
};

/*
 * Where the first of size > 0 bytes at offset of the device are to be read from, or, with write, written to: they count as written then. A write
 * begins at a multiple of 512, and is one of the whole blocks, or ends with the device. -EINVAL: it does not; -EIO: no temporary file can
 * be made; -ENOMEM; said.
 */
int xr_shadow_place(struct xr_shadow *shadow, uint64_t offset, size_t size, bool write, struct xr_place *place);

#endif
