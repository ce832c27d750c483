/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a path to an inode
 *
 * A name is looked for among all names of its directory: the hash index would save reading, but a scan needs no block more than the tree does,
 * and finds a name also when the index is damaged.
 */
#include "path.h"
#include "dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct wanted {
	const void *name;
	size_t size;
	uint64_t ino;
};

static int compare(void *arg, const struct xr_dirent *entry)
{
	struct wanted *wanted = arg;

	if (entry->size != wanted->size || memcmp(entry->name, wanted->name, wanted->size) != 0)
		return 0;
	wanted->ino = entry->ino;
	return 1;
}

int xr_name_lookup(const struct xr_fs *fs, const struct xr_inode *dir, const void *name, size_t size, uint64_t *ino)
{
	struct xr_dir_scan scan = {.budget = fs->sb->dblocks};
	struct wanted wanted = {.name = name, .size = size};
	int ret;

	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	ret = xr_dir_read(fs, dir, &scan, compare, &wanted);
	if (ret < 0)
		return ret;
	*ino = wanted.ino;
	return ret ? 0 : scan.damaged ? -EIO : -ENOENT;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undo xr_escape() from *text up to a slash or the end, into out; false: that is no form of it. */
static bool next_name(const char **text, char *out, size_t *size)
{
	const char *p = *text;

	for (*size = 0; *p && *p != '/'; (*size)++) {
		if (*p != '\\') {
			out[*size] = *p++;
		} else if (p[1] == '\\') {
			out[*size] = '\\';
			p += 2;
		} else if (p[1] == 'x' && hex(p[2]) >= 0 && hex(p[3]) >= 0) {
			out[*size] = (char)(hex(p[2]) << 4 | hex(p[3]));
			p += 4;
		} else {
			return false;
		}
	}
	*text = p;
	return true;
}

static int refuse(const struct xr_fs *fs, int error, const char *path, size_t size, const char *what)
{
	char text[512];

	return xr_fail(fs->msg, error, "%s: %s", xr_escape(text, sizeof(text), path, size), what);
}

/* Step from *inode to the name at path + from. */
static int step(const struct xr_fs *fs, struct xr_inode *inode, const char *path, size_t from, size_t size)
{
	const char *name = path + from;
	size_t end = from + size;
	uint64_t ino;
	int error;

	if (S_ISLNK(inode->mode))
		return refuse(fs, -ELOOP, path, from - 1, "is a symbolic link, which is not followed: name its target");
	if (size == 2 && !memcmp(name, "..", 2))
		return refuse(fs, -EINVAL, path, end, "name the path from the root, without \"..\"");
	error = xr_name_lookup(fs, inode, name, size, &ino);
	if (error == -ENOTDIR)
		return refuse(fs, error, path, from - 1, "is no directory");
	if (error == -ENOENT)
		return refuse(fs, error, path, end, "there is no such name; --ls shows what there is");
	if (error == -EIO)
		return refuse(fs, error, path, end, "not found, and its directory is damaged");
	if (!error)
		error = xr_inode_read(fs, ino, inode);
	return error == -ENOENT ? refuse(fs, -EUCLEAN, path, end, "its inode is free; check with xfs_repair -n") : error;
}

int xr_path_lookup(const struct xr_fs *fs, const char *text, struct xr_inode *inode, char **path)
{
	size_t used = 0, size;
	char *out = malloc(strlen(text) + 2);
	int error = out ? xr_inode_read(fs, fs->sb->rootino, inode) : -ENOMEM;

	if (error == -ENOENT || (!error && !S_ISDIR(inode->mode)))
		error = xr_fail(fs->msg, -EUCLEAN, "inode %" PRIu64 ": the root directory is no directory; run xfs_repair",
				fs->sb->rootino);
	while (!error) {
		text += strspn(text, "/");
		if (!*text)
			break;
		out[used] = '/';
		if (!next_name(&text, out + used + 1, &size))
			error = refuse(fs, -EINVAL, text, strlen(text), "in a path, \\ begins \\\\ or \\xHH");
		else if (size == 1 && out[used + 1] == '.')
			continue;
		else
			error = step(fs, inode, out, used + 1, size);
		used += 1 + size;
	}
	if (!used && out)
		out[used++] = '/';
	if (error) {
		free(out);
		return error;
	}
	out[used] = '\0';
	*path = out;
	return 0;
}
