/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_INUSE_H
#define XR_INUSE_H

#include <sys/stat.h>
#include "dev.h"

/*
 * Is somebody else using this image or device?
 *
 * Looked at: mounts (of the device, of a partition of it, of a loop device whose backing file the image is, and as external log
 * or realtime device of a mounted XFS), holders (device mapper, RAID, bcache), and loop devices attached to the image that can
 * write to it. The kernel's own answer, O_EXCL, which xr_dev_open() uses, covers block devices only, and says neither who nor
 * what to do.
 */
struct xr_inuse {
	char by[512]; /* who uses it: "mounted on /mnt", "held by dm-0" */
	char remedy[512]; /* what ends that: "umount /mnt" */
};

/* Where procfs and sysfs are; NULL means the usual places. Tests have their own. */
struct xr_inuse_roots {
	const char *proc, *sys;
};

/*
 * Who uses the file or block device that st describes? 1: *use says it, escaped; 0: nobody; negative errno: it could not be
 * found out (nothing said).
 */
int xr_inuse_find(const struct stat *st, const struct xr_inuse_roots *roots, struct xr_inuse *use);

/*
 * Ask before opening name, the role ("image", "log device", ...) it is opened as, for writing or reading. Writing to what
 * somebody uses is refused: -EBUSY, said with who and what to do. Reading it is allowed, as e2fsck -n does, with a warning that
 * it may change while it is read. Other errors: name cannot be examined (said).
 */
int xr_inuse_check(const char *name, const char *role, bool writing, const struct xr_inuse_roots *roots,
		   const struct xr_msg *msg);

/*
 * Lock what was opened, exclusively if dev->writable, until it is closed: flock(), which other programs that work on block
 * devices (udev, mkfs, another xfs_replay) honour, and on files also the open-file-description lock that QEMU takes on the
 * images it uses. -EBUSY, said; where dev is only read a warning and 0. Filesystems without locks: 0.
 */
int xr_inuse_lock(const struct xr_dev *dev);

#endif
