/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operations of the workload
 *
 * An operation picks nodes of the model at random, does one thing to the filesystem and, where that succeeded, the same to the model. What must
 * be in the filesystem afterwards is decided by the kernel's own recovery, not here. The same seed gives the same operations as long as the
 * filesystem gives the same answers. Here are those on names, and the choice.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "workload-impl.h"

static int op_create(struct work *w)
{
	char name[NAME_MAX + 1], path[PATH_MAX];
	size_t dir = pick_dir(w);
	int fd, rc = 0;

	new_name(w, name);
	path_in(w, dir, name, path);
	fd = openat(w->root, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600 | (mode_t)work_random(w, 0200));
	if (fd < 0)
		return -errno;
	node_add(w, K_FILE, dir, name);
	if (chance(w, 60))
		rc = write_some(w, fd, 0, 1 + work_random(w, 20000));
	return close_with(fd, rc);
}

static int op_mkdir(struct work *w)
{
	char name[NAME_MAX + 1], path[PATH_MAX];
	size_t dir = pick_dir(w);

	new_name(w, name);
	path_in(w, dir, name, path);
	if (mkdirat(w->root, path, 0755))
		return -errno;
	node_add(w, K_DIR, dir, name);
	return 0;
}

static int op_symlink(struct work *w)
{
	char name[NAME_MAX + 1], path[PATH_MAX], target[1024];
	size_t dir = pick_dir(w);
	size_t len = chance(w, 50) ? 1 + work_random(w, 60) : 1 + work_random(w, sizeof(target) - 1);

	for (size_t i = 0; i < len; i++)
		target[i] = i % 12 == 11 ? '/' : (char)('A' + work_random(w, 26));
	target[len] = '\0';
	new_name(w, name);
	path_in(w, dir, name, path);
	if (symlinkat(target, w->root, path))
		return -errno;
	node_add(w, K_SYMLINK, dir, name);
	return 0;
}

static int op_mknod(struct work *w)
{
	static const mode_t types[] = {S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK};
	char name[NAME_MAX + 1], path[PATH_MAX];
	size_t dir = pick_dir(w);

	new_name(w, name);
	path_in(w, dir, name, path);
	if (mknodat(w->root, path, types[work_random(w, 4)] | 0640,
		    makedev((unsigned)work_random(w, 512), (unsigned)work_random(w, 1u << 18))))
		return -errno;
	node_add(w, K_SPECIAL, dir, name);
	return 0;
}

static int op_link(struct work *w)
{
	char name[NAME_MAX + 1], from[PATH_MAX], to[PATH_MAX];
	size_t dir = pick_dir(w), i = pick(w, K_FILE);

	if (!i)
		return -ENOENT;
	new_name(w, name);
	path_of(w, i, from);
	path_in(w, dir, name, to);
	if (linkat(w->root, from, w->root, to, 0))
		return -errno;
	node_add(w, K_FILE, dir, name);
	return 0;
}

static int op_unlink(struct work *w)
{
	char path[PATH_MAX];
	size_t i = pick(w, chance(w, 70) ? K_FILE : chance(w, 50) ? K_SYMLINK : K_SPECIAL);

	if (!i)
		return -ENOENT;
	path_of(w, i, path);
	if (unlinkat(w->root, path, 0))
		return -errno;
	node_drop(w, i);
	return 0;
}

static int op_rmdir(struct work *w)
{
	char path[PATH_MAX];
	size_t i = pick(w, K_DIR);

	if (!i || w->nodes[i].children)
		return -ENOTEMPTY;
	path_of(w, i, path);
	if (unlinkat(w->root, path, AT_REMOVEDIR))
		return -errno;
	node_drop(w, i);
	return 0;
}

static int op_rename(struct work *w)
{
	char name[NAME_MAX + 1], from[PATH_MAX], to[PATH_MAX];
	size_t i = pick(w, any_kind(w)), dir = pick_dir(w);

	if (!i)
		return -ENOENT;
	new_name(w, name);
	path_of(w, i, from);
	path_in(w, dir, name, to);
	if (renameat(w->root, from, w->root, to))
		return -errno;
	node_move(w, i, dir, name);
	return 0;
}

/* Rename over an existing file: its old inode dies. */
static int op_replace(struct work *w)
{
	char from[PATH_MAX], to[PATH_MAX];
	size_t i = pick(w, K_FILE), over = pick(w, K_FILE), dir;
	struct stat a, b;

	path_of(w, i, from);
	path_of(w, over, to);
	if (i == over || fstatat(w->root, from, &a, AT_SYMLINK_NOFOLLOW) || fstatat(w->root, to, &b, AT_SYMLINK_NOFOLLOW) ||
	    a.st_ino == b.st_ino)
		return -EEXIST; /* renaming one name of a file over another does nothing */
	if (renameat(w->root, from, w->root, to))
		return -errno;
	dir = w->nodes[over].parent;
	node_move(w, i, dir, w->nodes[over].name);
	node_drop(w, over);
	return 0;
}

static int op_exchange(struct work *w)
{
	char a[PATH_MAX], b[PATH_MAX];
	size_t i = pick(w, any_kind(w)), j = pick(w, any_kind(w));
	struct node *x = &w->nodes[i], *y = &w->nodes[j];
	size_t parent;
	char *name;

	if (!i || !j || i == j)
		return -EINVAL;
	path_of(w, i, a);
	path_of(w, j, b);
	if (renameat2(w->root, a, w->root, b, RENAME_EXCHANGE))
		return -errno;
	parent = x->parent, name = x->name;
	x->parent = y->parent, x->name = y->name;
	y->parent = parent, y->name = name;
	return 0;
}

/* A directory that goes through all its forms, half of it hard links, a third of it removed again. */
static int op_crowd(struct work *w)
{
	char name[NAME_MAX + 1], path[PATH_MAX], first[PATH_MAX] = "";
	unsigned n = 700 + (unsigned)work_random(w, 800);
	size_t dir = pick_dir(w), crowd;
	int rc;

	new_name(w, name);
	path_in(w, dir, name, path);
	if (mkdirat(w->root, path, 0700))
		return -errno;
	crowd = node_add(w, K_DIR, dir, name);
	rc = 0;
	for (unsigned i = 0; i < n && !rc; i++) {
		snprintf(name, sizeof(name), "member %u of a crowded directory", i);
		path_in(w, crowd, name, path);
		if (first[0] && i % 4) {
			rc = result(linkat(w->root, first, w->root, path, 0));
		} else {
			rc = result(mknodat(w->root, path, S_IFREG | 0644, 0));
			strcpy(first, path);
		}
		if (!rc && i % 3 == 2 && i % 4) /* never the file that is linked to */
			rc = result(unlinkat(w->root, path, 0));
		else if (!rc)
			node_add(w, K_FILE, crowd, name);
	}
	return rc;
}

/* A file that is born without a name and gets one later: its inode leaves an unlinked list again. */
static int op_tmpfile(struct work *w)
{
	char name[NAME_MAX + 1], path[PATH_MAX], self[64];
	size_t dir = pick_dir(w);
	int fd, rc;

	path_of(w, dir, path);
	fd = openat(w->root, path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	new_name(w, name);
	path_in(w, dir, name, path);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	rc = write_some(w, fd, 0, 100);
	if (!rc && chance(w, 60)) {
		rc = result(linkat(AT_FDCWD, self, w->root, path, AT_SYMLINK_FOLLOW));
		if (!rc)
			node_add(w, K_FILE, dir, name);
	}
	return close_with(fd, rc);
}

static const struct {
	const char *name;
	int (*fn)(struct work *w);
	unsigned weight;
} ops[] = {
	{"create", op_create, 200},
	{"mkdir", op_mkdir, 40},
	{"symlink", op_symlink, 30},
	{"mknod", op_mknod, 15},
	{"link", op_link, 40},
	{"unlink", op_unlink, 100},
	{"rmdir", op_rmdir, 30},
	{"rename", op_rename, 80},
	{"replace", op_replace, 20},
	{"exchange", op_exchange, 20},
	{"write", op_write, 60},
	{"append", op_append, 60},
	{"fsync", op_fsync, 15},
	{"truncate", op_truncate, 40},
	{"fallocate", op_fallocate, 60},
	{"sparse", op_sparse, 6},
	{"swap-extents", op_swap_extents, 3},
	{"attributes", op_attributes, 60},
	{"flags", op_flags, 20},
	{"setxattr", op_setxattr, 80},
	{"removexattr", op_removexattr, 30},
	{"many-xattrs", op_many_xattrs, 3},
	{"acl", op_acl, 10},
	{"clone", op_clone, 30},
	{"crowd", op_crowd, 2},
	{"tmpfile", op_tmpfile, 15},
	{"exchange-ranges", op_exchange_ranges, 20}, /* the last, so that nothing else is chosen otherwise where it is left out */
};

#define OPS (sizeof(ops) / sizeof(ops[0]))

/* Answers a filesystem may give to a random operation without anything being wrong. */
static bool legal_refusal(int code)
{
	switch (-code) {
	case ENOSPC:
	case EEXIST:
	case ENOENT:
	case ENOTEMPTY:
	case ENODATA:
	case EINVAL:
	case ENAMETOOLONG:
	case EOPNOTSUPP:
	case EPERM:
	case E2BIG:
	case EFBIG:
	case ENOTDIR:
	case EISDIR:
		return true;
	default:
		return false;
	}
}

static int run_op(struct work *w, size_t which)
{
	int rc;

	if ((ops[which].fn == op_clone && !w->reflink) || (ops[which].fn == op_swap_extents && !w->swap) ||
	    (ops[which].fn == op_exchange_ranges && !w->exchange))
		return 0;
	rc = ops[which].fn(w);
	if (rc && !legal_refusal(rc)) {
		fprintf(stderr, "workload: %s failed: %s\n", ops[which].name, strerror(-rc));
		return rc;
	}
	if (rc)
		w->refused++;
	else
		w->done++;
	return 0;
}

int work_step(struct work *w)
{
	unsigned total = 0, at;
	size_t i = 0;

	for (size_t k = 0; k < OPS; k++)
		total += ops[k].fn == op_exchange_ranges && !w->exchange ? 0 : ops[k].weight;
	at = (unsigned)work_random(w, total);
	while (at >= ops[i].weight)
		at -= ops[i++].weight;
	return run_op(w, i);
}

int work_each(struct work *w)
{
	int rc = 0;

	for (size_t i = 0; i < OPS && !rc; i++)
		rc = run_op(w, i);
	return rc;
}
