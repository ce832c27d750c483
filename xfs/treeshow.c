/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree for people and for scripts
 *
 * Two visitors over xr_tree_walk(). Text is written as the walk goes; the JSON array is built whole, because it becomes a part of
 * the tool's one JSON object.
 */
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TIME_SIZE 40
#define ESCAPED(size) (4 * (size) + 1)

struct show {
	FILE *out;
	json_t *array;
	char path[ESCAPED(XR_TREE_PATH_MAX)];
	char target[ESCAPED(XR_SYMLINK_MAX)];
};

static const char *format_time(char out[TIME_SIZE], const struct xr_time *time)
{
	time_t sec = (time_t)time->sec;
	struct tm tm;
	size_t n;

	/* Every time that fits on the disk has a four-digit year. */
	gmtime_r(&sec, &tm);
	n = strftime(out, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, TIME_SIZE - n, ".%09" PRIu32 "Z", time->nsec);
	return out;
}

static bool is_device(const struct xr_inode *inode)
{
	return S_ISBLK(inode->mode) || S_ISCHR(inode->mode);
}

/* The type's letter in ls -l, and its name. */
static const char *type_name(uint16_t mode, char *letter)
{
	static const struct {
		uint16_t type;
		char letter;
		const char *name;
	} types[] = {
		{S_IFREG, '-', "file"}, {S_IFDIR, 'd', "directory"}, {S_IFLNK, 'l', "symlink"}, {S_IFBLK, 'b', "block"},
		{S_IFCHR, 'c', "char"}, {S_IFIFO, 'p', "fifo"},      {S_IFSOCK, 's', "socket"},
	};
	size_t i = 0;

	/* xr_inode_read() let no other type pass. */
	while (types[i].type != (mode & S_IFMT))
		i++;
	*letter = types[i].letter;
	return types[i].name;
}

static void format_mode(char out[11], uint16_t mode)
{
	static const char bits[] = "rwxrwxrwx";

	type_name(mode, out);
	for (int i = 0; i < 9; i++)
		out[1 + i] = mode & 0400 >> i ? bits[i] : '-';
	if (mode & S_ISUID)
		out[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = mode & S_IXOTH ? 't' : 'T';
	out[10] = '\0';
}

static int print_entry(void *arg, const struct xr_tree_entry *entry)
{
	struct show *show = arg;
	const struct xr_inode *inode = entry->inode;
	char mode[11], mtime[TIME_SIZE];

	format_mode(mode, inode->mode);
	fprintf(show->out, "%s %" PRIu32 " %" PRIu32 " %" PRIu32 " ", mode, inode->nlink, inode->uid, inode->gid);
	if (is_device(inode))
		fprintf(show->out, "%" PRIu32 ",%" PRIu32, inode->major, inode->minor);
	else
		fprintf(show->out, "%" PRIu64, inode->size);
	fprintf(show->out, " %s %" PRIu64 " %s", format_time(mtime, &inode->mtime), inode->ino,
		xr_escape(show->path, sizeof(show->path), entry->path, entry->path_size));
	if (entry->target)
		fprintf(show->out, " -> %s", xr_escape(show->target, sizeof(show->target), entry->target, entry->target_size));
	fputc('\n', show->out);
	return ferror(show->out) ? -EIO : 0;
}

static int walk(const struct xr_fs *fs, const struct xr_tree_start *start, xr_tree_fn *fn, struct show *show,
		struct xr_tree_result *result)
{
	return start ? xr_tree_walk_from(fs, start, fn, show, result) : xr_tree_walk(fs, fn, show, result);
}

int xr_tree_print(const struct xr_fs *fs, const struct xr_tree_start *start, FILE *out, struct xr_tree_result *result)
{
	struct show *show = calloc(1, sizeof(*show));
	int error;

	*result = (struct xr_tree_result){0};
	if (!show)
		return -ENOMEM;
	show->out = out;
	error = walk(fs, start, print_entry, show, result);
	if (fflush(out) || ferror(out))
		error = xr_fail(fs->msg, -EIO, "the tree cannot be written to its output: %s", strerror(errno));
	free(show);
	return error;
}

static int set_number(json_t *object, const char *key, uint64_t value)
{
	return json_object_set_new(object, key, json_integer((json_int_t)value));
}

static int set_time(json_t *object, const char *key, const struct xr_time *time)
{
	char text[TIME_SIZE];

	return json_object_set_new(object, key, json_string(format_time(text, time)));
}

static int set_content(json_t *object, const struct xr_inode *inode)
{
	if (is_device(inode))
		return set_number(object, "major", inode->major) | set_number(object, "minor", inode->minor);
	return set_number(object, "size", inode->size);
}

/* What most inodes do not have is not shown for them. */
static int set_rare(json_t *object, const struct xr_inode *inode)
{
	const struct {
		const char *key;
		uint64_t value;
	} rare[] = {
		{"flags", inode->flags},
		{"flags2", inode->flags2},
		{"dmevmask", inode->dmevmask},
		{"dmstate", inode->dmstate},
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(rare) / sizeof(rare[0]); i++) {
		if (rare[i].value)
			failed |= set_number(object, rare[i].key, rare[i].value);
	}
	return failed;
}

static int json_entry(void *arg, const struct xr_tree_entry *entry)
{
	struct show *show = arg;
	const struct xr_inode *inode = entry->inode;
	json_t *object = json_object();
	char letter, mode[8];
	int failed;

	if (!object)
		return -ENOMEM;
	snprintf(mode, sizeof(mode), "%04o", inode->mode & 07777u);
	xr_escape(show->path, sizeof(show->path), entry->path, entry->path_size);
	failed = json_object_set_new(object, "path", json_string(show->path)) | set_number(object, "ino", inode->ino) |
		 json_object_set_new(object, "type", json_string(type_name(inode->mode, &letter))) |
		 json_object_set_new(object, "mode", json_string(mode)) | set_number(object, "nlink", inode->nlink) |
		 set_number(object, "uid", inode->uid) | set_number(object, "gid", inode->gid) |
		 set_number(object, "projid", inode->projid) | set_number(object, "gen", inode->gen) |
		 set_content(object, inode) | set_time(object, "atime", &inode->atime) |
		 set_time(object, "mtime", &inode->mtime) | set_time(object, "ctime", &inode->ctime) |
		 set_time(object, "crtime", &inode->crtime) | set_rare(object, inode);
	if (entry->target) {
		xr_escape(show->target, sizeof(show->target), entry->target, entry->target_size);
		failed |= json_object_set_new(object, "target", json_string(show->target));
	}
	failed |= json_array_append(show->array, object);
	json_decref(object);
	return failed ? -ENOMEM : 0;
}

int xr_tree_json(const struct xr_fs *fs, const struct xr_tree_start *start, json_t **array, struct xr_tree_result *result)
{
	struct show *show = calloc(1, sizeof(*show));
	int error = -ENOMEM;

	*array = NULL;
	*result = (struct xr_tree_result){0};
	if (!show)
		return -ENOMEM;
	show->array = json_array();
	if (show->array)
		error = walk(fs, start, json_entry, show, result);
	if (error)
		json_decref(show->array);
	else
		*array = show->array;
	free(show);
	return error;
}
