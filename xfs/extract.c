/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extraction
 *
 * The tree is walked, and what a hostile image could try is excluded by how names are used: every file is made under one name, which has
 * no slash and is neither "." nor "..", relative to an open directory that we made ourselves, and never over something that is there.
 * No path is ever resolved. The open directories are a stack, which is the path to the walk's position; a directory gets its owner, mode
 * and times when the walk leaves it, and is nobody else's before. A further name of a file is found by walking down from the top again,
 * one name at a time, to the directory of its first.
 *
 * Order for each file: content, owner, extended attributes, mode, times, because each of these can undo what comes before it in another order
 * (a change of owner clears setuid bits and capabilities).
 */
#include "extract.h"
#include "attr.h"
#include "file.h"
#include "table.h"
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CHUNK (1u << 20)
#define SPECIAL_BITS (S_ISUID | S_ISGID)
#define NO_FD (-1)

struct extract {
	const struct xr_fs *fs;
	const struct xr_dev *rt;
	struct xr_extract_result *result;
	const char *to;
	size_t top_size; /* of the path that to stands for, without a slash behind it */
	bool into; /* what is extracted is a directory: to is it */
	int *dirs; /* open, from to downwards */
	size_t depth, room;
	int most; /* no directory may have a higher number: files below it need some too */
	struct xr_table links; /* inode number -> first path, below to, of a file with several names */
	uint8_t *chunk; /* CHUNK bytes, also for attribute values */
};

/* What is being made: its name in a directory, and while one is open, the file. */
struct target {
	const char *path; /* in the image, for messages */
	int dir, fd;
	const char *name;
};

/* --- saying --- */

static bool fatal(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EROFS || error == EIO || error == ENOMEM;
}

static int lose(struct extract *x, const char *path, const char *what)
{
	char text[512];

	x->result->lost++;
	xr_say(x->fs->msg, XR_WARN, "%s: %s", xr_escape(text, sizeof(text), path, strlen(path)), what);
	return 0;
}

/* A system call on the target failed with errno: the end, or one file less. */
static int failed(struct extract *x, const char *path, const char *what)
{
	int error = errno;
	char text[512];

	if (fatal(error))
		return xr_fail(x->fs->msg, -error, "%s: %s: %s: %s", x->to, xr_escape(text, sizeof(text), path, strlen(path)),
			       what, strerror(error));
	x->result->lost++;
	xr_say(x->fs->msg, XR_WARN, "%s: %s: %s", xr_escape(text, sizeof(text), path, strlen(path)), what, strerror(error));
	return 0;
}

/* --- attributes --- */

struct setting {
	struct extract *x;
	const struct target *target;
};

/* The name of a file that is not open, in a form in which its last component is not followed and the others are ours. */
static const char *through(const struct target *target, char name[NAME_MAX + 64])
{
	snprintf(name, NAME_MAX + 64, "/proc/self/fd/%d/%s", target->dir, target->name);
	return name;
}

static int set_attr(void *arg, const struct xr_attr *attr)
{
	struct setting *setting = arg;
	struct extract *x = setting->x;
	const struct target *target = setting->target;
	char name[NAME_MAX + 64];
	int error = xr_attr_value(attr, x->chunk);

	if (error == -ENOMEM)
		return error;
	if (error)
		return lose(x, target->path, "the value of an extended attribute is lost");
	if (target->fd != NO_FD)
		error = fsetxattr(target->fd, attr->name, x->chunk, attr->size, 0);
	else
		error = lsetxattr(through(target, name), attr->name, x->chunk, attr->size, 0);
	if (!error)
		return 0;
	if (fatal(errno) &&
	    errno != ENOSPC) /* ENOSPC: too many or too long for the target's filesystem, which has room for other files */
		return failed(x, target->path, "its extended attributes cannot be set");
	x->result->attrs++;
	return 0;
}

static int set_owner(const struct target *target, const struct xr_inode *inode)
{
	if (target->fd != NO_FD)
		return fchown(target->fd, inode->uid, inode->gid);
	return fchownat(target->dir, target->name, inode->uid, inode->gid, AT_SYMLINK_NOFOLLOW);
}

static int set_mode(const struct target *target, mode_t mode)
{
	return target->fd != NO_FD ? fchmod(target->fd, mode) : fchmodat(target->dir, target->name, mode, 0);
}

static int set_times(const struct target *target, const struct xr_inode *inode)
{
	const struct timespec times[2] = {{(time_t)inode->atime.sec, (long)inode->atime.nsec},
					  {(time_t)inode->mtime.sec, (long)inode->mtime.nsec}};

	if (target->fd != NO_FD)
		return futimens(target->fd, times);
	return utimensat(target->dir, target->name, times, AT_SYMLINK_NOFOLLOW);
}

/* Everything that a finished file still needs. */
static int dress(struct extract *x, const struct target *target, const struct xr_inode *inode)
{
	struct setting setting = {x, target};
	uint64_t damaged = 0;
	mode_t mode = inode->mode & 07777;
	int error;

	if (set_owner(target, inode)) {
		x->result->owners++;
		mode &= ~(mode_t)SPECIAL_BITS;
	}
	error = xr_attr_each(x->fs, inode, set_attr, &setting, &damaged);
	if (damaged)
		lose(x, target->path, "some of its extended attributes are lost");
	if (!error && !S_ISLNK(inode->mode) && set_mode(target, mode))
		error = failed(x, target->path, "its mode cannot be set");
	if (!error && set_times(target, inode))
		error = failed(x, target->path, "its times cannot be set");
	return error;
}

/* --- files --- */

static int write_all(const uint8_t *p, size_t size, int fd, uint64_t at)
{
	while (size) {
		ssize_t n = pwrite(fd, p, size, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return -1;
		p += n;
		size -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

/* Copy what is written of a file; holes stay holes. A piece that cannot be read becomes one, and is said. */
static int copy_data(struct extract *x, const struct target *target, const struct xr_file *file)
{
	uint64_t at = 0, from, to;
	bool holes = false;
	int error = 0;

	while (!error && xr_file_data(file, at, &from, &to)) {
		size_t size = to - from < CHUNK ? (size_t)(to - from) : CHUNK;

		at = from + size;
		error = xr_file_read(file, x->chunk, size, from);
		if (error && error != -ENOMEM) {
			holes = true;
			error = 0;
			continue;
		}
		if (!error && write_all(x->chunk, size, target->fd, from)) {
			if (!fatal(errno))
				return failed(x, target->path, "its content cannot be written as a whole");
			return failed(x, target->path, "cannot be written");
		}
		x->result->bytes += size;
	}
	if (holes)
		lose(x, target->path, "a part of its content cannot be read, and is zeros in the copy");
	return error;
}

static int fill(struct extract *x, const struct target *target, const struct xr_inode *inode)
{
	struct xr_file file;
	int error = xr_file_open(&file, x->fs, x->rt, inode);

	if (error == -EUCLEAN || error == -EIO || error == -EOPNOTSUPP)
		error = lose(x, target->path, "its content, or the end of it, is lost, and is zeros in the copy");
	if (!error)
		error = copy_data(x, target, &file);
	if (!error && ftruncate(target->fd, (off_t)inode->size))
		error = failed(x, target->path, "it cannot be made as large as it is");
	xr_file_close(&file);
	return error;
}

static int make_file(struct extract *x, struct target *target, const struct xr_inode *inode)
{
	int error;

	target->fd = openat(target->dir, target->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (target->fd < 0)
		return failed(x, target->path, "cannot be made");
	x->result->files++;
	error = fill(x, target, inode);
	if (!error)
		error = dress(x, target, inode);
	if (close(target->fd) && !error)
		error = failed(x, target->path, "cannot be written");
	return error;
}

static int make_link(struct extract *x, struct target *target, const struct xr_tree_entry *entry)
{
	if (!entry->target)
		return lose(x, target->path, "the target of this symbolic link is lost");
	if (symlinkat(entry->target, target->dir, target->name))
		return failed(x, target->path, "cannot be made");
	x->result->others++;
	return dress(x, target, entry->inode);
}

static int make_special(struct extract *x, struct target *target, const struct xr_inode *inode)
{
	bool device = S_ISBLK(inode->mode) || S_ISCHR(inode->mode);

	if (device && geteuid() != 0) {
		x->result->devices++;
		return 0;
	}
	if (mknodat(target->dir, target->name, inode->mode & S_IFMT, device ? makedev(inode->major, inode->minor) : 0)) {
		if (device && errno == EPERM) { /* root, but of a container */
			x->result->devices++;
			return 0;
		}
		return failed(x, target->path, "cannot be made");
	}
	x->result->others++;
	return dress(x, target, inode);
}

/* --- further names --- */

/* Open the directory of a path below to, one name at a time; NO_FD: it cannot be. *name is the path's last name. */
static int open_parent(const struct extract *x, const char *path, const char **name)
{
	int dir = openat(x->dirs[0], ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char part[NAME_MAX + 1];

	for (path++; dir >= 0; path = *name + 1) {
		size_t size = strcspn(path, "/");
		int next;

		*name = path;
		if (!path[size])
			break;
		memcpy(part, path, size);
		part[size] = '\0';
		next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(dir);
		dir = next;
		*name = path + size;
	}
	return dir;
}

/* Give a file that was made before another name. False: there is none, or it cannot be linked: it is then made anew. */
static bool make_name(struct extract *x, const struct target *target, const struct xr_inode *inode)
{
	const struct xr_entry *first = xr_table_find(&x->links, inode->ino, 0);
	const char *name;
	int dir;
	bool linked;

	if (!first)
		return false;
	dir = open_parent(x, (const char *)(uintptr_t)first->value, &name);
	linked = dir >= 0 && !linkat(dir, name, target->dir, target->name, 0);
	if (dir >= 0)
		close(dir);
	if (!linked)
		lose(x, target->path, "cannot be made a further name of the same file: it becomes a file of its own");
	return linked;
}

/* Remember the path, below to, under which a file with several names was made. */
static int remember(struct extract *x, const struct xr_inode *inode, const char *path)
{
	struct xr_entry *entry = xr_table_add(&x->links, inode->ino, 0);

	if (!entry)
		return -ENOMEM;
	free((void *)(uintptr_t)entry->value);
	entry->value = (uintptr_t)strdup(path);
	if (entry->value)
		return 0;
	xr_table_remove(&x->links, entry);
	return -ENOMEM;
}

/* --- the walk --- */

/* The name that an entry gets in the innermost open directory. */
static const char *last_name(const struct xr_tree_entry *entry)
{
	return strrchr(entry->path, '/') + 1;
}

static int visit(void *arg, const struct xr_tree_entry *entry)
{
	struct extract *x = arg;
	const struct xr_inode *inode = entry->inode;
	struct target target = {entry->path, x->dirs[x->depth - 1], NO_FD, last_name(entry)};
	const char *below = entry->path + x->top_size;
	int error;

	if (S_ISDIR(inode->mode)) {
		if (x->into && entry->path_size <= x->top_size + (x->top_size == 0))
			return 0; /* it is to */
		return mkdirat(target.dir, target.name, 0700) ? failed(x, entry->path, "cannot be made") : 0;
	}
	if (inode->nlink > 1 && make_name(x, &target, inode))
		return 0;
	if (S_ISREG(inode->mode))
		error = make_file(x, &target, inode);
	else if (S_ISLNK(inode->mode))
		error = make_link(x, &target, entry);
	else
		error = make_special(x, &target, inode);
	return !error && inode->nlink > 1 ? remember(x, inode, below) : error;
}

/* fd becomes the innermost directory. */
static int push(struct extract *x, int fd)
{
	if (x->depth == x->room) {
		size_t room = x->room ? 2 * x->room : 64;
		int *more = reallocarray(x->dirs, room, sizeof(*more));

		if (!more) {
			close(fd);
			return -ENOMEM;
		}
		x->dirs = more;
		x->room = room;
	}
	x->dirs[x->depth++] = fd;
	return 0;
}

static int enter(void *arg, const struct xr_tree_entry *entry)
{
	struct extract *x = arg;
	int fd, error;

	if (x->into && x->depth == 1) /* to itself, the first time; below, it is the parent of what is entered */
		fd = openat(x->dirs[0], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else
		fd = openat(x->dirs[x->depth - 1], last_name(entry), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd > x->most) {
		close(fd);
		fd = -1;
		errno = EMFILE;
	}
	if (fd < 0) {
		error = failed(x, entry->path, "cannot be entered, what is in it is left out");
		return error ? error : XR_TREE_SKIP;
	}
	x->result->directories++;
	return push(x, fd);
}

static int leave(void *arg, const struct xr_tree_entry *entry)
{
	struct extract *x = arg;
	const struct target target = {entry->path, NO_FD, x->dirs[x->depth - 1], NULL};
	int error = dress(x, &target, entry->inode);

	close(x->dirs[--x->depth]);
	return error;
}

/* --- beginning and end --- */

static bool is_empty(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool empty = true;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (empty && (e = readdir(d)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	closedir(d);
	return empty;
}

static int open_top(struct extract *x)
{
	const struct xr_msg *msg = x->fs->msg;
	int fd;

	if (mkdir(x->to, 0700) && errno != EEXIST)
		return xr_fail(msg, -errno, "%s: cannot be made: %s", x->to, strerror(errno));
	fd = open(x->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return xr_fail(msg, -errno, "%s: cannot be opened as a directory: %s", x->to, strerror(errno));
	if (is_empty(fd))
		return push(x, fd);
	close(fd);
	return xr_fail(msg, -ENOTEMPTY, "%s: is not empty: name a new directory, so that nothing is overwritten or mixed up",
		       x->to);
}

/* Each directory on the way down is held open: have as many files as we may, and keep some for other uses. */
static int most_directories(void)
{
	struct rlimit limit, raised;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	raised = (struct rlimit){limit.rlim_max, limit.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
		limit = raised;
	return limit.rlim_cur < INT_MAX ? (int)limit.rlim_cur - 16 : INT_MAX;
}

static void close_all(struct extract *x)
{
	while (x->depth)
		close(x->dirs[--x->depth]);
	free(x->dirs);
	for (struct xr_entry *e = x->links.first; e; e = e->next)
		free((void *)(uintptr_t)e->value);
	xr_table_clear(&x->links);
	free(x->chunk);
}

int xr_extract(const struct xr_fs *fs, const struct xr_dev *rt, const struct xr_inode *inode, const char *path, const char *to,
	       struct xr_extract_result *result)
{
	struct extract x = {.fs = fs, .rt = rt, .result = result, .to = to, .into = S_ISDIR(inode->mode)};
	const struct xr_tree_start start = {.ino = inode->ino, .path = path, .enter = enter, .leave = leave};
	struct xr_tree_result tree = {0};
	int error;

	*result = (struct xr_extract_result){0};
	/* Paths below to: behind the directory that to stands for, or behind the one that the file is in. */
	x.top_size = x.into ? (strcmp(path, "/") ? strlen(path) : 0) : (size_t)(strrchr(path, '/') - path);
	x.chunk = malloc(CHUNK);
	x.most = most_directories();
	error = x.chunk ? open_top(&x) : -ENOMEM;
	if (!error)
		error = xr_tree_walk_from(fs, &start, visit, &x, &tree);
	result->lost += tree.skipped;
	close_all(&x);
	return error;
}
