/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VIEW_H
#define VIEW_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include "attr.h"
#include "run.h"

/* A filesystem as it will be after recovery. */
struct view {
	struct run run;
	struct xr_fs fs;
	const struct xr_dev *rt;
	uint8_t value[XR_ATTR_VALUE_MAX];
};

/* The requests of a session whose user data is a struct view. */
extern const struct fuse_lowlevel_ops view_operations;

#endif
