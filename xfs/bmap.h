/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_BMAP_H
#define XR_BMAP_H

#include "inode.h"

/* A piece of a fork: count fs blocks from file block offset on lie at fs block (AG-encoded) block. */
struct xr_mapping {
	uint64_t offset, block;
	uint32_t count;
	bool unwritten;
};

/* A mapping as a record of the disk's, 16 bytes: 1 bit unwritten, 54 file offset, 52 block, 21 count. What is in it may be nonsense. */
struct xr_mapping xr_mapping_unpack(const uint8_t *record);
void xr_mapping_pack(uint8_t *record, const struct xr_mapping *mapping);

/* All mappings of a fork: ascending, not overlapping, each inside one AG (realtime data: inside the realtime device, and one group of it). */
struct xr_bmap {
	struct xr_mapping *map;
	size_t n, room;
	bool realtime; /* block counts blocks of the realtime device, not fs blocks */
};

/*
 * Read a fork's mappings from its extent list or its btree. A fork in another format (local, device, none) has none: *map is
 * empty, 0. -EUCLEAN: damaged (said), *map has what came before the damage; -EIO likewise; -ENOMEM. Whatever was returned, the
 * caller calls xr_bmap_free(). Ends for every input: each btree block must add mappings behind those that were read already,
 * and there can be no more of them than the inode claims blocks.
 */
int xr_bmap_read(const struct xr_fs *fs, const struct xr_inode *inode, enum xr_fork fork, struct xr_bmap *map);
void xr_bmap_free(struct xr_bmap *map);

/*
 * The first mapping that ends behind file block offset, or NULL: it holds offset, or offset is in the hole before it. O(log n).
 */
const struct xr_mapping *xr_bmap_find(const struct xr_bmap *map, uint64_t offset);

/*
 * Gather count file blocks from offset on as extents for xr_buf_get(), neighbours merged, into extents (room for count).
 * Returns how many there are; 0 where a part is a hole or unwritten, or lies on the realtime device. count <= 128 (a 64 KiB
 * directory block of 512 byte blocks).
 */
#define XR_BMAP_GATHER_MAX 128u
size_t xr_bmap_gather(const struct xr_fs *fs, const struct xr_bmap *map, uint64_t offset, uint32_t count,
		      struct xr_extent extents[XR_BMAP_GATHER_MAX]);

#endif
