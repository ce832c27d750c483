/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files below the metadata directory
 *
 * They are found by their names, through the directories as the replay left them, and say of themselves what they are: a kind of metadata file, and
 * for which realtime group. Both have to agree.
 */
#include "metadir.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "bytes.h"
#include "dir.h"
#include "format.h"
#include "path.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)

int xr_metadir_read(const struct xr_fs *fs, const char *name, struct xr_inode *directory)
{
	uint64_t ino;
	int ret = xr_inode_read(fs, fs->sb->metadirino, directory);

	if (!ret)
		ret = xr_name_lookup(fs, directory, name, strlen(name), &ino);
	if (!ret)
		ret = xr_inode_read(fs, ino, directory);
	if (!ret && !S_ISDIR(directory->mode))
		ret = -ENOTDIR;
	return ret == -ENOTDIR ? xr_fail(fs->msg, -EUCLEAN, "inode %" PRIu64 ": is no metadata directory; run xfs_repair -n",
					 directory->ino)
			       : ret;
}

const char *xr_metafile_fault(const uint8_t *raw, uint16_t metatype)
{
	uint8_t format = raw[DI(format)];
	bool btree = metatype == XR_METATYPE_RTRMAP || metatype == XR_METATYPE_RTREFC;

	if (!S_ISREG(xr_be16(raw + DI(mode))) || !(xr_be64(raw + DI(flags2)) & XFS_DIFLAG2_METADATA) ||
	    xr_be16(raw + DI(onlink)) != metatype)
		return "is another kind of file";
	if (btree ? format != XR_DINODE_FMT_META_BTREE : format != XFS_DINODE_FMT_EXTENTS && format != XFS_DINODE_FMT_BTREE)
		return "has an impossible format";
	return NULL;
}

/* --- realtime groups --- */

static const struct {
	const char *name;
	uint16_t metatype;
} kinds[] = {
	[XR_RT_BITMAP] = {"bitmap", XR_METATYPE_RTBITMAP},
	[XR_RT_SUMMARY] = {"summary", XR_METATYPE_RTSUMMARY},
	[XR_RT_RMAP] = {"rmap", XR_METATYPE_RTRMAP},
	[XR_RT_REFCOUNT] = {"refcount", XR_METATYPE_RTREFC},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

/* A group's number and a kind, as in a file's name. False: it is none. */
static bool parse(const struct xr_dirent *entry, uint32_t rgcount, uint64_t *rgno, uint64_t *which)
{
	uint32_t at = 0;

	*rgno = 0;
	for (; at < entry->size && entry->name[at] >= '0' && entry->name[at] <= '9' && *rgno < rgcount; at++)
		*rgno = *rgno * 10 + (entry->name[at] - '0');
	if (!at || *rgno >= rgcount || at == entry->size || entry->name[at++] != '.' || (entry->name[0] == '0' && at > 2))
		return false;
	for (*which = 0; *which < NKINDS; (*which)++)
		if (strlen(kinds[*which].name) == entry->size - at &&
		    memcmp(kinds[*which].name, entry->name + at, entry->size - at) == 0)
			return true;
	return false;
}

struct finding {
	const struct xr_fs *fs;
	struct xr_table *files;
};

static int remember(void *arg, const struct xr_dirent *dirent)
{
	struct finding *finding = arg;
	struct xr_entry *entry;
	uint64_t rgno, which;

	if (!parse(dirent, finding->fs->sb->rgcount, &rgno, &which))
		return 0;
	entry = xr_table_add(finding->files, rgno, which);
	if (!entry)
		return xr_fail(finding->fs->msg, -ENOMEM, "no memory for the files of realtime groups");
	entry->value = dirent->ino;
	return 0;
}

int xr_rtfiles_find(const struct xr_fs *fs, struct xr_table *files)
{
	struct xr_dir_scan scan = {.budget = fs->sb->dblocks};
	struct finding finding = {fs, files};
	struct xr_inode directory;
	int ret = xr_metadir_read(fs, "rtgroups", &directory);

	if (!ret)
		ret = xr_dir_read(fs, &directory, &scan, remember, &finding);
	if (!ret && files->count < fs->sb->rgcount)
		ret = xr_fail(fs->msg, -EUCLEAN, "there are %zu files for %" PRIu32 " realtime groups; run xfs_repair -n",
			      files->count, fs->sb->rgcount);
	if (ret)
		xr_table_clear(files);
	if (ret == -ENOENT)
		return xr_fail(fs->msg, -EUCLEAN,
			       "the metadata directory has no directory of realtime groups; run xfs_repair -n");
	return ret;
}

int xr_rtfiles_lookup(const struct xr_fs *fs, const struct xr_table *files, uint32_t rgno, enum xr_rtfile which, uint64_t *ino)
{
	const struct xr_entry *entry = xr_table_find(files, rgno, which);

	if (!entry)
		return xr_fail(fs->msg, -EUCLEAN, "realtime group %u: there is no file for its %s; run xfs_repair -n", rgno,
			       kinds[which].name);
	*ino = entry->value;
	return 0;
}

int xr_rtfile_check(const struct xr_fs *fs, const uint8_t *raw, uint64_t ino, uint32_t rgno, enum xr_rtfile which)
{
	const char *fault = xr_metafile_fault(raw, kinds[which].metatype);

	if (!fault && ((uint32_t)xr_be16(raw + DI(projid_hi)) << 16 | xr_be16(raw + DI(projid_lo))) != rgno)
		fault = "is that of another group";
	return fault ? xr_fail(fs->msg, -EUCLEAN,
			       "realtime group %u: the file for its %s, inode %" PRIu64 ", %s; run xfs_repair -n", rgno,
			       kinds[which].name, ino, fault)
		     : 0;
}
