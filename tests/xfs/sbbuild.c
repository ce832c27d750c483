/* SPDX-License-Identifier: GPL-2.0-only */
#include "sbbuild.h"

#include <string.h>
#include "bytes.h"
#include "dev.h"
#include "format.h"

#define DSB(field) offsetof(struct xfs_dsb, sb_##field)

void sb_build_seal(uint8_t *raw)
{
	xr_crc_update(raw, XR_BB, DSB(crc));
}

/* V4 has no checksum, and means nothing by what stands behind its fields. */
static void build_v4(uint8_t *raw, bool logv1)
{
	uint16_t version = XFS_SB_VERSION_4 | XFS_SB_VERSION_DIRV2BIT | XFS_SB_VERSION_NLINKBIT | XFS_SB_VERSION_MOREBITSBIT;

	xr_put_be16(raw + DSB(versionnum), version | (logv1 ? 0 : XFS_SB_VERSION_LOGV2BIT));
	xr_put_be32(raw + DSB(features2), XFS_SB_VERSION2_LAZYSBCOUNTBIT);
	xr_put_be16(raw + DSB(inodesize), 256);
	raw[DSB(inodelog)] = 8;
	xr_put_be16(raw + DSB(inopblock), 4);
	raw[DSB(inopblog)] = 2;
	memset(raw + DSB(features_compat), 0xee, XR_BB - DSB(features_compat));
}

static void build_sizes(uint8_t *raw)
{
	xr_put_be32(raw + DSB(blocksize), 1u << SB_BUILD_BLOCKLOG);
	raw[DSB(blocklog)] = SB_BUILD_BLOCKLOG;
	xr_put_be16(raw + DSB(sectsize), XR_BB);
	raw[DSB(sectlog)] = XR_BB_SHIFT;
	xr_put_be16(raw + DSB(inodesize), 512);
	raw[DSB(inodelog)] = 9;
	xr_put_be16(raw + DSB(inopblock), 2);
	raw[DSB(inopblog)] = 1;
	xr_put_be32(raw + DSB(agblocks), SB_BUILD_AGBLOCKS);
	raw[DSB(agblklog)] = 12;
	xr_put_be32(raw + DSB(agcount), SB_BUILD_AGCOUNT);
	xr_put_be64(raw + DSB(dblocks), (uint64_t)SB_BUILD_AGBLOCKS * SB_BUILD_AGCOUNT);
	xr_put_be32(raw + DSB(rextsize), 4);
	xr_put_be32(raw + DSB(inoalignmt), 8);
}

void sb_build(const struct sb_build *b, uint8_t *raw)
{
	uint16_t version = XFS_SB_VERSION_5 | XFS_SB_VERSION_LOGV2BIT | XFS_SB_VERSION_MOREBITSBIT;

	memset(raw, 0, XR_BB);
	xr_put_be32(raw, XFS_SB_MAGIC);
	build_sizes(raw);
	xr_put_be32(raw + DSB(logblocks), b->logblocks);
	xr_put_be64(raw + DSB(logstart), b->logstart);
	xr_put_be32(raw + DSB(logsunit), b->logsunit);
	if (b->logsectlog) {
		version |= XFS_SB_VERSION_SECTORBIT;
		raw[DSB(logsectlog)] = b->logsectlog;
		xr_put_be16(raw + DSB(logsectsize), (uint16_t)(1u << b->logsectlog));
	}
	xr_put_be16(raw + DSB(versionnum), version);
	xr_put_be32(raw + DSB(features2), XFS_SB_VERSION2_CRCBIT | XFS_SB_VERSION2_LAZYSBCOUNTBIT);
	xr_put_be32(raw + DSB(features_ro_compat), b->ro_compat);
	xr_put_be32(raw + DSB(features_incompat), b->incompat);
	xr_put_be32(raw + DSB(features_log_incompat), b->log_incompat);
	memcpy(raw + DSB(uuid), b->uuid, sizeof(b->uuid));
	if (b->v4)
		build_v4(raw, b->logv1);
	else
		sb_build_seal(raw);
}
