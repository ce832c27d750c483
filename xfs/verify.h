/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_VERIFY_H
#define XR_VERIFY_H

#include "sb.h"

/*
 * What a metadata block says about itself (V5; specification section 10)
 *
 * A V5 block carries the LSN of the transaction that wrote it last, the filesystem's UUID, its own address and a CRC; where, its
 * magic number tells.
 */
struct xr_kind {
	const char *name;
	uint32_t magic;
	uint8_t magic_at; /* offset; da blocks keep theirs behind two pointers */
	uint8_t magic_size; /* 2 or 4 bytes */
	int16_t lsn, uuid, crc, blkno; /* offsets; -1: it has none */
	bool per_block; /* every fs block of the buffer has a header of its own */
	uint32_t types; /* bit n: buffer items of type n (XFS_BLFT_...) may log it */
};

/* The kind of block that size bytes at data are, by magic; NULL when they are none that carries an LSN and a CRC. */
const struct xr_kind *xr_kind_of(const uint8_t *data, size_t size);

/*
 * The LSN to compare with before a buffer item is replayed: that of the block as it is on the disk, or 0, which stands for
 * "replay whatever it holds" (no such block, a left-over of another filesystem, an LSN that means none).
 */
uint64_t xr_block_lsn(const struct xr_sb *sb, const uint8_t *data, size_t size);

/* Whether a buffer item of this type (XFS_BLFT_...) may log a block with this content, as the kernel compares it. */
bool xr_type_matches(unsigned type, const uint8_t *data, size_t size);

/* Whether the type is a directory's: blocks of which may be scattered (section 9.1). Da nodes, which attributes use too, are not. */
bool xr_type_is_dir(unsigned type);

/* Whether blocks of the type have no header, so that nothing in them means an LSN or a CRC: realtime bitmap and summary, before realtime groups. */
bool xr_type_is_bare(const struct xr_sb *sb, unsigned type);

/* The types of all blocks that a directory can have, da nodes among them, as xr_kind.types has them. */
#define XR_DIR_KINDS (((2u << XFS_BLFT_DA_NODE_BUF) - 1) & ~((1u << XFS_BLFT_DIR_BLOCK_BUF) - 1))

/*
 * Before a replayed block is written: check that it is this filesystem's and knows its place, then set LSN and CRC. -EUCLEAN,
 * said: it is neither (the kernel's write verifier would shut down). A block of no kind is left alone, 0.
 */
int xr_block_stamp(const struct xr_sb *sb, uint64_t daddr, uint8_t *data, size_t size, uint64_t lsn, const struct xr_msg *msg);

#endif
