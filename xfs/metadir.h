/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_METADIR_H
#define XR_METADIR_H

#include "inode.h"
#include "table.h"

/*
 * Files below the metadata directory
 *
 * Filesystems with the feature metadir have their own files in a directory tree of its own, known by their names there. None of them is ever created
 * or moved here.
 */

/* Read a directory that lies in the metadata directory. -ENOENT, not said: there is none; -EUCLEAN, -EIO, -ENOMEM, said. */
int xr_metadir_read(const struct xr_fs *fs, const char *name, struct xr_inode *directory);

/* What is wrong with an inode in disk form as a file of this kind (XR_METATYPE_...), in words; NULL: nothing. */
const char *xr_metafile_fault(const uint8_t *raw, uint16_t metatype);

/* The four files of a realtime group: N.bitmap, N.summary, N.rmap and N.refcount in the directory rtgroups. The last two hold btrees. */
enum xr_rtfile { XR_RT_BITMAP, XR_RT_SUMMARY, XR_RT_RMAP, XR_RT_REFCOUNT };

/*
 * Find the files of all realtime groups: (group, enum xr_rtfile) leads to the number of an inode, as the directory has it. One look at the directory,
 * because one for each file would cost the square of the number of groups. -EUCLEAN, said: there is no such directory, or it has less files than there
 * are groups, whose number is not bounded by anything else; -EIO, -ENOMEM; nothing was found then.
 */
int xr_rtfiles_find(const struct xr_fs *fs, struct xr_table *files);

/* The inode's number, looked up in what was found. -EUCLEAN, said: there is no such file. */
int xr_rtfiles_lookup(const struct xr_fs *fs, const struct xr_table *files, uint32_t rgno, enum xr_rtfile which, uint64_t *ino);

/* Check that an inode in disk form is what and whose it should be. -EUCLEAN, said. */
int xr_rtfile_check(const struct xr_fs *fs, const uint8_t *raw, uint64_t ino, uint32_t rgno, enum xr_rtfile which);

#endif
