/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_ATTR_H
#define XR_ATTR_H

#include "bmap.h"

/* The longest value, and the longest name: a prefix and what the disk has. */
#define XR_ATTR_VALUE_MAX 65536u
#define XR_ATTR_NAME_MAX (9u + 255u)

/*
 * An extended attribute as Linux shows it: "user.", "trusted." or "security.", and the name; access control lists are
 * "system.posix_acl_access" and "system.posix_acl_default". Good until the function it was handed to returns.
 */
struct xr_attr {
	const struct xr_fs *fs;
	const struct xr_inode *inode;
	char name[XR_ATTR_NAME_MAX + 1]; /* terminated; no 0 in it */
	uint32_t size; /* of the value that xr_attr_value() gives */
	/* The reader's own: where the value is. */
	const struct xr_bmap *map; /* of the attribute fork */
	const uint8_t *local; /* NULL: in blocks of its own, from remote on */
	uint32_t remote, stored;
	bool acl;
};

/* Called with each attribute. A non-zero return ends the walk and is returned. */
typedef int xr_attr_fn(void *arg, const struct xr_attr *attr);

/*
 * Hand every attribute of an inode to fn, in the order of the disk. Left out: attributes whose setting was never finished, parent pointers and
 * what else Linux does not show. *damaged, if not NULL, counts pieces that were skipped, each warned of. fn is called while a
 * buffer is held. 0, what fn returned, -ENOMEM. Ends for every input: no block is taken twice.
 */
int xr_attr_each(const struct xr_fs *fs, const struct xr_inode *inode, xr_attr_fn *fn, void *arg, uint64_t *damaged);

/* The value, attr->size bytes, into value (room for XR_ATTR_VALUE_MAX). -EUCLEAN, -EIO: damaged, said; -ENOMEM. */
int xr_attr_value(const struct xr_attr *attr, uint8_t *value);

#endif
