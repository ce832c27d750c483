/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_FORMAT_H
#define XR_FORMAT_H

/*
 * XFS on the disk
 *
 * xfslibs-dev's headers, which must come in this order, and after them what is newer than those of Debian 12 (6.1). Only
 * offsets, sizes and constants are taken from here: the bytes themselves are reached through bytes.h.
 */
#include <xfs/xfs.h>
#include <xfs/xfs_types.h>
#include <xfs/xfs_arch.h>
#include <xfs/xfs_fs.h>
#include <xfs/xfs_format.h>
#include <xfs/xfs_log_format.h>
#include <xfs/xfs_da_format.h>

/* Superblock fields behind sb_meta_uuid: metadata directory and realtime groups. */
#define XR_DSB_METADIRINO 264
#define XR_DSB_RGCOUNT 272
#define XR_DSB_RGEXTENTS 276
#define XR_DSB_RGBLKLOG 280
#define XR_DSB_RTSTART 288

/* Incompatible features. */
#ifndef XFS_SB_FEAT_INCOMPAT_EXCHRANGE
#define XFS_SB_FEAT_INCOMPAT_EXCHRANGE (1 << 6)
#endif
#ifndef XFS_SB_FEAT_INCOMPAT_PARENT
#define XFS_SB_FEAT_INCOMPAT_PARENT (1 << 7)
#endif
#ifndef XFS_SB_FEAT_INCOMPAT_METADIR
#define XFS_SB_FEAT_INCOMPAT_METADIR (1 << 8)
#endif
#ifndef XFS_SB_FEAT_INCOMPAT_ZONED
#define XFS_SB_FEAT_INCOMPAT_ZONED (1 << 9)
#endif
#ifndef XFS_SB_FEAT_INCOMPAT_ZONE_GAPS
#define XFS_SB_FEAT_INCOMPAT_ZONE_GAPS (1 << 10)
#endif

/* Block magic numbers. */
#define XR_RTRMAP_MAGIC 0x4d415052 /* MAPR */
#define XR_RTREFC_MAGIC 0x52434e54 /* RCNT */
#define XR_RTBITMAP_MAGIC 0x424d505a /* BMPZ */
#define XR_RTSUMMARY_MAGIC 0x53554d59 /* SUMY */

/* Inode formats, and the kinds of metadata files (di_metatype, at the place of di_onlink). */
#define XR_DINODE_FMT_META_BTREE 5
#define XR_METATYPE_USRQUOTA 2
#define XR_METATYPE_GRPQUOTA 3
#define XR_METATYPE_PRJQUOTA 4
#define XR_METATYPE_RTBITMAP 5
#define XR_METATYPE_RTSUMMARY 6
#define XR_METATYPE_RTRMAP 7
#define XR_METATYPE_RTREFC 8

/* The root of a realtime refcount btree, as a node: it has room for so many entries as if keys were pairs, as those of reverse mappings are. */
#define XR_RTREFC_ROOT_SHARE 16u

/* Inode flags. */
#ifndef XFS_DIFLAG2_METADATA
#define XFS_DIFLAG2_METADATA (1 << 5)
#endif

/* Parent pointers: attributes of a namespace of their own, and the intents that change them. */
#define XR_ATTR_PARENT (1u << 3)
#define XR_PARENT_REC 12u /* value: the directory's inode number and generation */
enum { XR_ATTRI_SET = 1, XR_ATTRI_REMOVE, XR_ATTRI_REPLACE, XR_ATTRI_PPTR_SET, XR_ATTRI_PPTR_REMOVE, XR_ATTRI_PPTR_REPLACE };

/* Log items. */
#ifndef XFS_LI_XMI
#define XFS_LI_XMI 0x1248 /* mapping exchange intent */
#define XFS_LI_XMD 0x1249
#endif
#ifndef XFS_LI_EFI_RT
#define XFS_LI_EFI_RT 0x124a /* the same intents for realtime groups */
#define XFS_LI_EFD_RT 0x124b
#define XFS_LI_RUI_RT 0x124c
#define XFS_LI_RUD_RT 0x124d
#define XFS_LI_CUI_RT 0x124e
#define XFS_LI_CUD_RT 0x124f
#endif

#endif
