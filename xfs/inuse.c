/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In use?
 *
 * The kernel shows who uses a block device in two places: the mount table, and the device's directory in sysfs. A file has no
 * such place; but it is used as a filesystem only through a loop device, and each loop device names its backing file. So the
 * question about a file becomes one about the loop devices attached to it, and the question about a device is asked of its
 * partitions too.
 *
 * Nothing here is exact: a mount in another namespace is not in our table. It is there to give a helpful answer in the common
 * cases; O_EXCL and the locks stand behind it.
 */
#include "inuse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

struct search {
	const char *proc, *sys;
	const struct stat *target;
	struct xr_inuse *use;
};

/* directory/name; a path that would be too long is nobody's: "". */
static const char *join(char path[PATH_MAX], const char *directory, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
		path[0] = '\0';
	return path;
}

static int found(struct search *search, const char *by, const char *by_name, const char *remedy, const char *remedy_name)
{
	char name[sizeof(search->use->by) / 2];

	xr_escape(name, sizeof(name), by_name, strlen(by_name));
	snprintf(search->use->by, sizeof(search->use->by), "%s %s", by, name);
	xr_escape(name, sizeof(name), remedy_name, strlen(remedy_name));
	snprintf(search->use->remedy, sizeof(search->use->remedy), "%s %s", remedy, name);
	return 1;
}

/* Is path the same file, or a node of the same block device, as st? */
static bool is_same(const char *path, const struct stat *st)
{
	struct stat other;

	if (path[0] != '/' || stat(path, &other))
		return false;
	if (S_ISBLK(st->st_mode))
		return S_ISBLK(other.st_mode) && other.st_rdev == st->st_rdev;
	return S_ISREG(other.st_mode) && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* The mount table writes blanks and backslashes in octal: undo that, in place. */
static char *unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
	return text;
}

/* Is st the external log or the realtime device in a mounted XFS's options? */
static bool in_options(char *options, const struct stat *st)
{
	char *save = NULL;

	for (char *option = strtok_r(options, ",", &save); option; option = strtok_r(NULL, ",", &save)) {
		if (strncmp(option, "logdev=", 7) && strncmp(option, "rtdev=", 6))
			continue;
		if (is_same(unescape(strchr(option, '=') + 1), st))
			return true;
	}
	return false;
}

/*
 * Does a line of the mount table use st? "id parent major:minor root MOUNT-POINT options [tags] - type SOURCE OPTIONS"; *point
 * is the mount point.
 */
static bool mount_uses(char *line, const struct stat *st, char **point)
{
	char *field[6], *save = NULL, *tail = strstr(line, " - ");
	unsigned maj, min;

	if (!tail)
		return false;
	*tail = '\0';
	for (int i = 0; i < 5; i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return false;
	}
	*point = unescape(field[4]);
	if (S_ISBLK(st->st_mode) && sscanf(field[2], "%u:%u", &maj, &min) == 2 && makedev(maj, min) == st->st_rdev)
		return true;
	strtok_r(tail + 3, " \n", &save);
	char *source = strtok_r(NULL, " \n", &save), *options = strtok_r(NULL, " \n", &save);
	return (source && is_same(unescape(source), st)) || (options && in_options(options, st));
}

static int search_mounts(struct search *search, const struct stat *st)
{
	char path[PATH_MAX], *line = NULL, *point;
	size_t room = 0;
	int result = 0;
	FILE *table;

	table = fopen(join(path, search->proc, "self/mountinfo"), "re");
	if (!table)
		return -errno;
	while (!result && getline(&line, &room, table) > 0) {
		if (mount_uses(line, st, &point))
			result = found(search, "mounted on", point, "umount", point);
	}
	if (!result && ferror(table))
		result = -EIO;
	free(line);
	fclose(table);
	return result;
}

/* Read the first line of a small file in sysfs. */
static bool read_line(const char *directory, const char *name, char *line, size_t room)
{
	char path[PATH_MAX];
	FILE *file;
	bool got;

	file = fopen(join(path, directory, name), "re");
	if (!file)
		return false;
	got = fgets(line, (int)room, file);
	fclose(file);
	if (got)
		line[strcspn(line, "\n")] = '\0';
	return got;
}

/* As xr_inuse_find(), for every entry of a directory that does not begin with '.'; no such directory: no entry. */
typedef int each_fn(struct search *search, const char *directory, const char *name);

static int for_each(struct search *search, const char *directory, each_fn *fn)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!result && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			result = fn(search, directory, entry->d_name);
	}
	closedir(dir);
	return result;
}

static int holder(struct search *search, const char *directory, const char *name)
{
	(void)directory;
	return found(search, "held by", name, "take it apart first (dmsetup, lvchange, mdadm, cryptsetup):", name);
}

/* Is the block device whose directory in sysfs is given, itself, mounted or held? */
static int search_device(struct search *search, const char *directory)
{
	char number[32], holders[PATH_MAX];
	struct stat st = {.st_mode = S_IFBLK};
	unsigned maj, min;
	int result;

	if (!read_line(directory, "dev", number, sizeof(number)) || sscanf(number, "%u:%u", &maj, &min) != 2)
		return 0;
	st.st_rdev = makedev(maj, min);
	result = search_mounts(search, &st);
	if (result)
		return result;
	return for_each(search, join(holders, directory, "holders"), holder);
}

static int partition(struct search *search, const char *directory, const char *name)
{
	char path[PATH_MAX], number[32];

	join(path, directory, name);
	return read_line(path, "partition", number, sizeof(number)) ? search_device(search, path) : 0;
}

static int search_disk(struct search *search, const char *directory)
{
	int result = search_device(search, directory);

	return result ? result : for_each(search, directory, partition);
}

/* A loop device that is attached to the target. */
static int search_loop(struct search *search, const char *directory, const char *name)
{
	char path[PATH_MAX], value[8], node[NAME_MAX + 8];
	int result;

	result = search_disk(search, join(path, directory, name));
	if (result)
		return result;
	if (read_line(path, "ro", value, sizeof(value)) && value[0] == '1')
		return 0;
	snprintf(node, sizeof(node), "/dev/%s", name);
	return found(search, "attached to", node, "losetup -d", node);
}

static int loop(struct search *search, const char *directory, const char *name)
{
	static const char deleted[] = " (deleted)";
	char path[PATH_MAX], backing[PATH_MAX];
	size_t size;

	if (strncmp(name, "loop", 4) != 0)
		return 0;
	if (!read_line(join(path, directory, name), "loop/backing_file", backing, sizeof(backing)))
		return 0;
	/* A file that was replaced under its name is another one; is_same() knows them apart. */
	size = strlen(backing);
	if (size >= sizeof(deleted) && !strcmp(backing + size - sizeof(deleted) + 1, deleted))
		return 0;
	return is_same(backing, search->target) ? search_loop(search, directory, name) : 0;
}

int xr_inuse_find(const struct stat *st, const struct xr_inuse_roots *roots, struct xr_inuse *use)
{
	struct search search = {.proc = "/proc", .sys = "/sys", .target = st, .use = use};
	char path[PATH_MAX];
	int result;

	if (roots && roots->proc)
		search.proc = roots->proc;
	if (roots && roots->sys)
		search.sys = roots->sys;
	/* Catches, for a device that sysfs does not know, its mount; and for files mounts without a loop device. */
	result = search_mounts(&search, st);
	if (result)
		return result;
	if (S_ISBLK(st->st_mode)) {
		snprintf(path, sizeof(path), "%s/dev/block/%u:%u", search.sys, major(st->st_rdev), minor(st->st_rdev));
		return search_disk(&search, path);
	}
	return for_each(&search, join(path, search.sys, "block"), loop);
}

int xr_inuse_check(const char *name, const char *role, bool writing, const struct xr_inuse_roots *roots, const struct xr_msg *msg)
{
	struct xr_inuse use;
	struct stat st;
	int result;

	if (stat(name, &st)) {
		result = -errno;
		return xr_fail(msg, result, "%s: %s: %s", name, role, strerror(-result));
	}
	result = xr_inuse_find(&st, roots, &use);
	if (!result)
		return 0;
	if (result < 0)
		snprintf(use.by, sizeof(use.by), "perhaps mounted (the mount table or sysfs cannot be read: %s)",
			 strerror(-result));
	if (result < 0)
		strcpy(use.remedy, "see that it is not");
	if (writing)
		return xr_fail(msg, -EBUSY, "%s: the %s is %s: nothing was written; first: %s", name, role, use.by, use.remedy);
	xr_say(msg, XR_WARN, "%s: the %s is %s: it may change while it is read, and what is shown may never have been so", name,
	       role, use.by);
	return 0;
}

int xr_inuse_lock(const struct xr_dev *dev)
{
	struct flock range = {.l_type = dev->writable ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
	struct stat st;
	int failed = flock(dev->fd, (dev->writable ? LOCK_EX : LOCK_SH) | LOCK_NB);

	if (!failed && !fstat(dev->fd, &st) && S_ISREG(st.st_mode))
		failed = fcntl(dev->fd, F_OFD_SETLK, &range);
	if (!failed || (errno != EWOULDBLOCK && errno != EACCES))
		return 0;
	if (dev->writable)
		return xr_fail(dev->msg, -EBUSY,
			       "%s: locked by another program (another xfs_replay, xfs_view, mkfs, a virtual machine): wait for "
			       "it to end, "
			       "fuser shows which it is",
			       dev->name);
	xr_say(dev->msg, XR_WARN, "%s: locked by another program: it may change while it is read", dev->name);
	return 0;
}
