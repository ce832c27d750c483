/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What FUSE asks of a view, answered by the readers in xfs/ from the buffer cache. A FUSE node is an inode number (but for the root, whose
 * node is 1), so there is nothing to remember about nodes, and nothing to forget. Nothing changes, so the kernel may keep every
 * answer. Requests are taken one at a time: the cache belongs to one thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "dir.h"
#include "file.h"
#include "format.h"
#include "path.h"
#include "view.h"

#define FOREVER 86400.0 /* seconds that an answer stays true */

/* What is wrong, as a mounted XFS would say it. */
static int reply_error(fuse_req_t req, int error)
{
	return fuse_reply_err(req, error == -EOPNOTSUPP ? EIO : -error);
}

static const struct xr_fs *fs_of(fuse_req_t req)
{
	return &((struct view *)fuse_req_userdata(req))->fs;
}

static int read_node(fuse_req_t req, fuse_ino_t node, struct xr_inode *inode)
{
	const struct xr_fs *fs = fs_of(req);
	int error = xr_inode_read(fs, node == FUSE_ROOT_ID ? fs->sb->rootino : node, inode);

	return error == -ENOENT ? -EUCLEAN : error;
}

static struct timespec timespec(struct xr_time time)
{
	return (struct timespec){.tv_sec = (time_t)time.sec, .tv_nsec = (long)time.nsec};
}

static void fill_stat(const struct xr_fs *fs, const struct xr_inode *inode, struct stat *st)
{
	*st = (struct stat){
		.st_ino = inode->ino,
		.st_mode = inode->mode,
		.st_nlink = inode->nlink,
		.st_uid = inode->uid,
		.st_gid = inode->gid,
		.st_rdev = makedev(inode->major, inode->minor),
		.st_size = (off_t)inode->size,
		.st_blksize = fs->sb->blocksize,
		.st_blocks = (blkcnt_t)(inode->nblocks << (fs->sb->blocklog - XR_BB_SHIFT)),
		.st_atim = timespec(inode->atime),
		.st_mtim = timespec(inode->mtime),
		.st_ctim = timespec(inode->ctime),
	};
}

static void fill_entry(const struct xr_fs *fs, const struct xr_inode *inode, struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){.ino = inode->ino == fs->sb->rootino ? FUSE_ROOT_ID : inode->ino,
					   .generation = inode->gen,
					   .attr_timeout = FOREVER,
					   .entry_timeout = FOREVER};
	fill_stat(fs, inode, &entry->attr);
}

/* --- names --- */

static void view_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct xr_fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	struct xr_inode inode;
	uint64_t ino;
	int error = read_node(req, parent, &inode);

	if (!error)
		error = xr_name_lookup(fs, &inode, name, strlen(name), &ino);
	if (!error)
		error = read_node(req, ino, &inode);
	if (error) {
		reply_error(req, error);
		return;
	}
	fill_entry(fs, &inode, &entry);
	fuse_reply_entry(req, &entry);
}

static void view_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *file)
{
	struct xr_inode inode;
	struct stat st;
	int error = read_node(req, node, &inode);

	(void)file;
	if (error) {
		reply_error(req, error);
		return;
	}
	fill_stat(fs_of(req), &inode, &st);
	fuse_reply_attr(req, &st, FOREVER);
}

static void view_readlink(fuse_req_t req, fuse_ino_t node)
{
	char target[XR_SYMLINK_MAX + 1];
	struct xr_inode inode;
	size_t size;
	int error = read_node(req, node, &inode);

	if (!error)
		error = xr_symlink_read(fs_of(req), &inode, target, &size);
	if (error)
		reply_error(req, error);
	else
		fuse_reply_readlink(req, target);
}

/* --- directories --- */

/* An open directory: all its names, read at once. */
struct listing {
	struct name {
		char *name;
		uint64_t ino;
	} * names;
	size_t n, room;
	bool damaged; /* some are missing: said at the end, after those that are there */
};

static int add_name(struct listing *list, const void *text, size_t size, uint64_t ino)
{
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct name *more = reallocarray(list->names, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		list->names = more;
		list->room = room;
	}
	list->names[list->n] = (struct name){strndup(text, size), ino};
	return list->names[list->n].name ? (list->n++, 0) : -ENOMEM;
}

static int collect(void *arg, const struct xr_dirent *entry)
{
	return add_name(arg, entry->name, entry->size, entry->ino);
}

static void free_listing(struct listing *list)
{
	while (list->n)
		free(list->names[--list->n].name);
	free(list->names);
	free(list);
}

static int read_listing(fuse_req_t req, fuse_ino_t node, struct listing *list)
{
	const struct xr_fs *fs = fs_of(req);
	struct xr_dir_scan scan = {.budget = fs->sb->dblocks};
	struct xr_inode inode;
	int error = read_node(req, node, &inode);

	if (!error && !S_ISDIR(inode.mode))
		error = -ENOTDIR;
	if (!error)
		error = add_name(list, ".", 1, inode.ino);
	if (!error)
		error = add_name(list, "..", 2, inode.ino); /* the kernel knows its parent */
	if (!error)
		error = xr_dir_read(fs, &inode, &scan, collect, list);
	list->damaged = scan.damaged;
	return error;
}

static void view_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *file)
{
	struct listing *list = calloc(1, sizeof(*list));
	int error = list ? read_listing(req, node, list) : -ENOMEM;

	if (error) {
		if (list)
			free_listing(list);
		reply_error(req, error);
		return;
	}
	file->fh = (uintptr_t)list;
	file->cache_readdir = !list->damaged;
	file->keep_cache = 1;
	if (fuse_reply_open(req, file))
		free_listing(list);
}

static struct listing *listing_of(const struct fuse_file_info *file)
{
	return (struct listing *)(uintptr_t)file->fh;
}

static void view_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *file)
{
	(void)node;
	free_listing(listing_of(file));
	fuse_reply_err(req, 0);
}

/* Put one name in what is left of the answer; returns the room that it needs. */
static size_t put_name(fuse_req_t req, const struct name *name, off_t next, bool plus, char *to, size_t left)
{
	struct fuse_entry_param entry = {.attr = {.st_ino = name->ino}};
	struct xr_inode inode;

	/* An inode that cannot be read leaves its name with no node: who asks for it gets the error. */
	if (!read_node(req, name->ino, &inode))
		fill_entry(fs_of(req), &inode, &entry);
	if (!plus)
		return fuse_add_direntry(req, to, left, name->name, &entry.attr, next);
	if (!strcmp(name->name, ".") || !strcmp(name->name, ".."))
		entry.ino = 0;
	return fuse_add_direntry_plus(req, to, left, name->name, &entry, next);
}

static void list_names(fuse_req_t req, size_t size, off_t offset, const struct fuse_file_info *file, bool plus)
{
	const struct listing *list = listing_of(file);
	size_t at = (size_t)offset, used = 0;
	char *answer;

	if (at >= list->n) {
		fuse_reply_err(req, list->damaged ? EIO : 0);
		return;
	}
	answer = malloc(size);
	if (!answer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (; at < list->n; at++) {
		size_t need = put_name(req, &list->names[at], (off_t)at + 1, plus, answer + used, size - used);

		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, answer, used);
	free(answer);
}

static void view_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *file)
{
	(void)node;
	list_names(req, size, offset, file, false);
}

static void view_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *file)
{
	(void)node;
	list_names(req, size, offset, file, true);
}

/* --- contents --- */

static void view_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info)
{
	const struct view *view = fuse_req_userdata(req);
	struct xr_file *file = calloc(1, sizeof(*file));
	struct xr_inode inode;
	int error = file ? read_node(req, node, &inode) : -ENOMEM;

	if (!error)
		error = xr_file_open(file, &view->fs, view->rt, &inode);
	info->fh = (uintptr_t)file;
	info->keep_cache = 1;
	if (!error && !fuse_reply_open(req, info))
		return;
	if (file)
		xr_file_close(file);
	free(file);
	if (error)
		reply_error(req, error);
}

static struct xr_file *file_of(const struct fuse_file_info *info)
{
	return (struct xr_file *)(uintptr_t)info->fh;
}

static void view_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info)
{
	(void)node;
	xr_file_close(file_of(info));
	free(file_of(info));
	fuse_reply_err(req, 0);
}

static void view_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *info)
{
	const struct xr_file *file = file_of(info);
	uint64_t at = (uint64_t)offset, left = at < file->size ? file->size - at : 0;
	char *answer;
	int error;

	(void)node;
	size = size < left ? size : (size_t)left;
	answer = malloc(size + 1);
	error = answer ? xr_file_read(file, answer, size, at) : -ENOMEM;
	if (error)
		reply_error(req, error);
	else
		fuse_reply_buf(req, answer, size);
	free(answer);
}

static void view_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence, struct fuse_file_info *info)
{
	const struct xr_file *file = file_of(info);
	uint64_t at = (uint64_t)offset, from, to;
	bool data = at < file->size && xr_file_data(file, at, &from, &to);

	(void)node;
	if (at >= file->size || (whence == SEEK_DATA && !data))
		fuse_reply_err(req, ENXIO);
	else if (whence == SEEK_DATA)
		fuse_reply_lseek(req, (off_t)from);
	else
		fuse_reply_lseek(req, (off_t)(data && from == at ? to : at));
}

/* --- extended attributes --- */

struct attr_request {
	const char *name; /* wanted; NULL: all names */
	bool root; /* who asks may see trusted attributes */
	uint8_t *value;
	char *names;
	size_t size; /* of value or names */
};

static int one_attr(void *arg, const struct xr_attr *attr)
{
	struct attr_request *r = arg;
	size_t size = strlen(attr->name) + 1;
	int error;

	if (!r->root && !strncmp(attr->name, "trusted.", 8))
		return 0;
	if (r->name) {
		if (strcmp(r->name, attr->name) != 0)
			return 0;
		error = xr_attr_value(attr, r->value);
		r->size = attr->size;
		return error ? error : 1;
	}
	char *more = realloc(r->names, r->size + size);
	if (!more)
		return -ENOMEM;
	r->names = more;
	memcpy(r->names + r->size, attr->name, size);
	r->size += size;
	return 0;
}

/* Answer with size bytes at p, or with how many there are. */
static void reply_attr(fuse_req_t req, const void *p, size_t size, size_t room)
{
	if (!room)
		fuse_reply_xattr(req, size);
	else if (size > room)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, p, size);
}

static void view_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t room)
{
	struct view *view = fuse_req_userdata(req);
	struct attr_request r = {.name = name, .root = fuse_req_ctx(req)->uid == 0, .value = view->value};
	uint64_t damaged = 0;
	struct xr_inode inode;
	int ret = read_node(req, node, &inode);

	if (!ret)
		ret = xr_attr_each(&view->fs, &inode, one_attr, &r, &damaged);
	if (ret == 1)
		reply_attr(req, r.value, r.size, room);
	else
		reply_error(req, ret ? ret : damaged ? -EIO : -ENODATA);
}

static void view_listxattr(fuse_req_t req, fuse_ino_t node, size_t room)
{
	struct attr_request r = {.root = fuse_req_ctx(req)->uid == 0};
	struct xr_inode inode;
	uint64_t damaged = 0;
	int error = read_node(req, node, &inode);

	if (!error)
		error = xr_attr_each(fs_of(req), &inode, one_attr, &r, &damaged);
	if (!error && damaged)
		error = -EIO;
	if (error)
		reply_error(req, error);
	else
		reply_attr(req, r.names, r.size, room);
	free(r.names);
}

static void view_statfs(fuse_req_t req, fuse_ino_t node)
{
	const struct view *view = fuse_req_userdata(req);
	const struct xr_sb *sb = view->fs.sb;
	/* Then the counters are in the sums, not in the superblock. */
	bool replayed = sb != &view->run.sb && !view->run.summary.damaged;
	struct statvfs st = {.f_bsize = sb->blocksize, .f_frsize = sb->blocksize, .f_namemax = 255};

	(void)node;
	st.f_blocks = sb->dblocks - (sb->logstart ? sb->logblocks : 0);
	st.f_bfree = st.f_bavail = replayed ? view->run.summary.fdblocks : sb->fdblocks;
	st.f_files = replayed ? view->run.summary.icount : sb->icount;
	st.f_ffree = st.f_favail = replayed ? view->run.summary.ifree : sb->ifree;
	fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops view_operations = {
	.lookup = view_lookup,
	.getattr = view_getattr,
	.readlink = view_readlink,
	.opendir = view_opendir,
	.readdir = view_readdir,
	.readdirplus = view_readdirplus,
	.releasedir = view_releasedir,
	.open = view_open,
	.read = view_read,
	.lseek = view_lseek,
	.release = view_release,
	.getxattr = view_getxattr,
	.listxattr = view_listxattr,
	.statfs = view_statfs,
};
