/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files of realtime groups
 *
 * They lie in one directory, named by the group's number and their kind: 0.bitmap, 0.summary, 0.rmap, 0.refcount. It is read once, whatever file is
 * asked for first: a look for each would cost the square of the number of groups.
 */
#include "rtgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "bytes.h"
#include "dir.h"
#include "format.h"
#include "path.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define DIRECTORY "rtgroups"

static const struct {
	const char *name;
	uint16_t metatype;
	bool btree;
} kinds[] = {
	[XR_RT_BITMAP] = {"bitmap", XR_METATYPE_RTBITMAP, false},
	[XR_RT_SUMMARY] = {"summary", XR_METATYPE_RTSUMMARY, false},
	[XR_RT_RMAP] = {"rmap", XR_METATYPE_RTRMAP, true},
	[XR_RT_REFCOUNT] = {"refcount", XR_METATYPE_RTREFC, true},
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

static int remember(void *arg, const struct xr_dirent *dirent)
{
	struct xr_tx *tx = arg;
	struct xr_entry *entry;
	uint64_t rgno, which;

	if (!parse(dirent, xr_tx_sb(tx)->rgcount, &rgno, &which))
		return 0;
	entry = xr_table_add(xr_tx_rtfiles(tx), rgno, which);
	if (!entry)
		return xr_fail(xr_tx_msg(tx), -ENOMEM, "no memory for the files of realtime groups");
	entry->value = dirent->ino;
	return 0;
}

static int find_all(struct xr_tx *tx)
{
	struct xr_fs fs = {xr_tx_sb(tx), xr_tx_cache(tx), xr_tx_msg(tx)};
	struct xr_dir_scan scan = {.budget = fs.sb->dblocks};
	struct xr_inode directory;
	uint64_t ino;
	int ret = xr_inode_read(&fs, fs.sb->metadirino, &directory);

	if (!ret)
		ret = xr_name_lookup(&fs, &directory, DIRECTORY, sizeof(DIRECTORY) - 1, &ino);
	if (!ret)
		ret = xr_inode_read(&fs, ino, &directory);
	if (!ret)
		ret = S_ISDIR(directory.mode) ? xr_dir_read(&fs, &directory, &scan, remember, tx) : -ENOTDIR;
	if (ret == -ENOENT || ret == -ENOTDIR)
		return xr_fail(fs.msg, -EUCLEAN, "the metadata directory has no directory of realtime groups; run xfs_repair -n");
	return ret;
}

static const char *fault(const uint8_t *raw, uint32_t rgno, enum xr_rtfile which)
{
	uint8_t format = raw[DI(format)];

	if (!S_ISREG(xr_be16(raw + DI(mode))) || !(xr_be64(raw + DI(flags2)) & XFS_DIFLAG2_METADATA) ||
	    xr_be16(raw + DI(onlink)) != kinds[which].metatype)
		return "is another kind of file";
	if (kinds[which].btree ? format != XR_DINODE_FMT_META_BTREE
			       : format != XFS_DINODE_FMT_EXTENTS && format != XFS_DINODE_FMT_BTREE)
		return "has an impossible format";
	if (((uint32_t)xr_be16(raw + DI(projid_hi)) << 16 | xr_be16(raw + DI(projid_lo))) != rgno)
		return "is that of another group";
	return NULL;
}

int xr_rtgroup_file(struct xr_tx *tx, uint32_t rgno, enum xr_rtfile which, struct xr_tx_inode *inode)
{
	const struct xr_table *files = xr_tx_rtfiles(tx);
	const struct xr_entry *entry;
	const char *why;
	int ret = files->count || !xr_tx_sb(tx)->has_rtgroups ? 0 : find_all(tx);

	if (ret)
		return ret;
	entry = xr_table_find(files, rgno, which);
	if (!entry)
		return xr_fail(xr_tx_msg(tx), -EUCLEAN, "realtime group %u: there is no file for its %s; run xfs_repair -n", rgno,
			       kinds[which].name);
	ret = xr_tx_inode(tx, entry->value, inode);
	if (ret)
		return ret;
	why = fault(inode->raw, rgno, which);
	return why ? xr_fail(xr_tx_msg(tx), -EUCLEAN,
			     "realtime group %u: the file for its %s, inode %" PRIu64 ", %s; run xfs_repair -n", rgno,
			     kinds[which].name, entry->value, why)
		   : 0;
}
