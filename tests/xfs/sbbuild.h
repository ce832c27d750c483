/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_SBBUILD_H
#define TEST_SBBUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A superblock for tests: V5, 4 AGs of 4096 blocks of 1 KiB, the log in AG 0 from block 64 on. */
struct sb_build {
	uint32_t logblocks, logsunit, ro_compat, incompat, log_incompat;
	uint64_t logstart;
	uint8_t logsectlog; /* 0: no SECTOR bit */
	bool v4, logv1; /* V4, of inodes of 256 bytes; with a version 1 log */
	uint8_t uuid[16];
};

#define SB_BUILD_BLOCKLOG 10
#define SB_BUILD_AGBLOCKS 4096u
#define SB_BUILD_AGCOUNT 4u
#define SB_BUILD_DEFAULT                                                                                                         \
	{                                                                                                                        \
		.logblocks = 1024, .logstart = 64, .uuid = "\x01test uuid 56789"                                                 \
	}
#define SB_BUILD_BYTES ((uint64_t)SB_BUILD_AGBLOCKS * SB_BUILD_AGCOUNT << SB_BUILD_BLOCKLOG)

/* Write it, one sector of 512 bytes, with its checksum. */
void sb_build(const struct sb_build *b, uint8_t *raw);
/* Put the checksum right again after raw was changed. */
void sb_build_seal(uint8_t *raw);

#endif
