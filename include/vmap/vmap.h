/* SPDX-License-Identifier: MIT */
#ifndef VMAP_VMAP_H
#define VMAP_VMAP_H

/* Everything of the core. A Linux process also includes <vmap/linux.h>. */
#include <vmap/error.h>
#include <vmap/host.h>
#include <vmap/map.h>
#include <vmap/page.h>
#include <vmap/ram.h>
#include <vmap/space.h>
#include <vmap/sparse.h>

#endif
