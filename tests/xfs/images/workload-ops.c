/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operations of the workload
 *
 * The workload keeps a model of the names it made: an array of nodes, each with its parent. An operation picks nodes at random,
 * does one thing to the filesystem and, where that succeeded, the same to the model. The model only has to be good enough to
 * pick names that exist: what must be in the filesystem afterwards is decided by the kernel's own recovery, not here. The same seed
 * gives the same operations as long as the filesystem gives the same answers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xfs/xfs.h>
#include "workload.h"

#define MAX_FILE (1u << 20)
#define MAX_DEPTH 8

uint64_t work_random(struct work *w, uint64_t n)
{
	uint64_t z = w->rng += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return (z ^ z >> 31) % n;
}

static bool chance(struct work *w, unsigned percent)
{
	return work_random(w, 100) < percent;
}

static size_t node_add(struct work *w, enum kind kind, size_t parent, const char *name)
{
	size_t i = w->count;

	/* Names come and go: a few looks for a free slot keep the array short without a list of them. */
	for (unsigned look = 0; look < 4 && w->count; look++) {
		size_t slot = work_random(w, w->count);

		if (w->nodes[slot].kind == K_NONE)
			i = slot;
	}
	if (i == w->count) {
		if (w->count == w->room) {
			w->room = w->room ? 2 * w->room : 1024;
			w->nodes = realloc(w->nodes, w->room * sizeof(*w->nodes));
			if (!w->nodes)
				abort();
		}
		w->count++;
	}
	w->nodes[i] = (struct node){.kind = kind, .parent = parent, .name = strdup(name)};
	if (!w->nodes[i].name)
		abort();
	w->nodes[parent].children += i != parent;
	w->live[kind]++;
	return i;
}

static void node_drop(struct work *w, size_t i)
{
	w->nodes[w->nodes[i].parent].children--;
	w->live[w->nodes[i].kind]--;
	w->nodes[i].kind = K_NONE;
	free(w->nodes[i].name);
	w->nodes[i].name = NULL;
}

static void node_move(struct work *w, size_t i, size_t parent, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		abort();
	w->nodes[w->nodes[i].parent].children--;
	w->nodes[parent].children++;
	w->nodes[i].parent = parent;
	free(w->nodes[i].name);
	w->nodes[i].name = copy;
}

/* A random node of this kind, or 0 (the root) where there is none. */
static size_t pick(struct work *w, enum kind kind)
{
	size_t i = work_random(w, w->count);

	if (!w->live[kind])
		return 0;
	while (w->nodes[i].kind != kind)
		i = (i + 1) % w->count;
	return i;
}

static unsigned depth(const struct work *w, size_t i)
{
	unsigned d = 0;

	for (; i; i = w->nodes[i].parent)
		d++;
	return d;
}

static size_t pick_dir(struct work *w)
{
	size_t i = pick(w, K_DIR);

	return depth(w, i) < MAX_DEPTH ? i : 0;
}

/* The path of name in directory dir, relative to the root. */
static void path_in(const struct work *w, size_t dir, const char *name, char path[PATH_MAX])
{
	size_t at = PATH_MAX - 1;
	size_t len = strlen(name);

	at -= len;
	memcpy(path + at, name, len + 1);
	for (; dir; dir = w->nodes[dir].parent) {
		len = strlen(w->nodes[dir].name);
		if (len + 1 > at)
			break; /* too long: what is left of it does not exist, and the operation is refused */
		path[--at] = '/';
		at -= len;
		memcpy(path + at, w->nodes[dir].name, len);
	}
	memmove(path, path + at, PATH_MAX - at);
}

static void path_of(const struct work *w, size_t i, char path[PATH_MAX])
{
	if (i)
		path_in(w, w->nodes[i].parent, w->nodes[i].name, path);
	else
		strcpy(path, ".");
}

/* Names of the kinds that break programs: long, not ASCII, with line ends, options and escapes. */
static void new_name(struct work *w, char name[NAME_MAX + 1])
{
	static const char *const odd[] = {"with space %ju", "line\nend %ju",   "-rf %ju",     "na\xc3\xafve \xe2\x82\xac%ju",
					  "back\\slash%ju", "\x01\x1b[31m%ju", "\xff\xfe%ju", "quote'\"%ju"};
	uintmax_t n = w->serial++;

	if (chance(w, 75)) {
		snprintf(name, NAME_MAX + 1, "f%ju", n);
	} else if (chance(w, 80)) {
		size_t which = work_random(w, sizeof(odd) / sizeof(odd[0]));

		snprintf(name, NAME_MAX + 1, odd[which], n);
	} else {
		int len = (int)(100 + work_random(w, NAME_MAX - 99));

		snprintf(name, NAME_MAX + 1, "%ju.", n);
		for (int i = (int)strlen(name); i < len; i++)
			name[i] = (char)('a' + work_random(w, 26));
		name[len] = '\0';
	}
}

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

static int open_node(struct work *w, size_t i, int flags)
{
	char path[PATH_MAX];
	int fd;

	if (!i)
		return -ENOENT;
	path_of(w, i, path);
	fd = openat(w->root, path, flags | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int close_with(int fd, int rc)
{
	close(fd);
	return rc;
}

static int write_some(struct work *w, int fd, uint64_t offset, size_t size)
{
	ssize_t n = pwrite(fd, w->data + work_random(w, WORK_DATA - size + 1), size, (off_t)offset);

	return n < 0 ? -errno : 0;
}

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

static enum kind any_kind(struct work *w)
{
	return (enum kind)(K_DIR + work_random(w, K_KINDS - K_DIR));
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

static int op_write(struct work *w)
{
	int fd = open_node(w, pick(w, K_FILE), O_WRONLY), rc;

	if (fd < 0)
		return fd;
	rc = write_some(w, fd, work_random(w, MAX_FILE), 1 + work_random(w, 65536));
	return close_with(fd, rc);
}

static int op_append(struct work *w)
{
	int fd = open_node(w, pick(w, K_FILE), O_WRONLY), rc = 0;
	off_t end;

	if (fd < 0)
		return fd;
	end = lseek(fd, 0, SEEK_END);
	for (unsigned n = 0; n < 4 && !rc && end < (off_t)MAX_FILE; n++, end += 777)
		rc = write_some(w, fd, (uint64_t)end, 777);
	if (!rc && chance(w, 30))
		rc = result(fsync(fd));
	return close_with(fd, rc);
}

static int op_fsync(struct work *w)
{
	int fd = open_node(w, pick(w, chance(w, 90) ? K_FILE : K_DIR), O_RDONLY);

	if (fd < 0)
		return fd;
	return close_with(fd, result(fsync(fd)));
}

static int op_truncate(struct work *w)
{
	int fd = open_node(w, pick(w, K_FILE), O_WRONLY), rc;

	if (fd < 0)
		return fd;
	rc = result(ftruncate(fd, chance(w, 30) ? 0 : (off_t)work_random(w, MAX_FILE)));
	return close_with(fd, rc);
}

static int op_fallocate(struct work *w)
{
	static const int modes[] = {0,
				    FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE,
				    FALLOC_FL_COLLAPSE_RANGE,
				    FALLOC_FL_INSERT_RANGE,
				    FALLOC_FL_UNSHARE_RANGE};
	int mode = modes[work_random(w, sizeof(modes) / sizeof(modes[0]))];
	int fd = open_node(w, pick(w, K_FILE), O_WRONLY), rc;
	off_t offset = (off_t)work_random(w, MAX_FILE), size = (off_t)(1 + work_random(w, MAX_FILE / 4));

	if (fd < 0)
		return fd;
	if (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) {
		offset &= ~(off_t)4095;
		size = (size + 4095) & ~(off_t)4095;
	}
	rc = result(fallocate(fd, mode, offset, size));
	return close_with(fd, rc);
}

/* Many extents: every other block of a range, written back at once so that they are mapped now. */
static int op_sparse(struct work *w)
{
	int fd = open_node(w, pick(w, K_FILE), O_WRONLY), rc = 0;
	unsigned n = 10 + (unsigned)work_random(w, 150);

	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < n && !rc; i++)
		rc = write_some(w, fd, (uint64_t)i * 8192, 64);
	if (!rc)
		rc = result(fsync(fd));
	return close_with(fd, rc);
}

/* A new file of 60 extents, in dir; its descriptor or -errno. */
static int fragmented_file(struct work *w, size_t dir)
{
	char name[NAME_MAX + 1], path[PATH_MAX];
	int fd, rc = 0;

	new_name(w, name);
	path_in(w, dir, name, path);
	fd = openat(w->root, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	node_add(w, K_FILE, dir, name);
	for (unsigned i = 0; i < 60 && !rc; i++)
		rc = write_some(w, fd, (uint64_t)i * 8192, 4096);
	if (!rc)
		rc = result(fsync(fd));
	return rc ? close_with(fd, rc) : fd;
}

/* What a defragmenter does: two files exchange their mappings, and the btree blocks of both change their owner. */
static int op_swap_extents(struct work *w)
{
	size_t dir = pick_dir(w);
	int a = fragmented_file(w, dir), b = a < 0 ? a : fragmented_file(w, dir), rc = b < 0 ? b : 0;
	struct xfs_swapext swap = {.sx_version = XFS_SX_VERSION, .sx_fdtarget = a, .sx_fdtmp = b};
	struct xfs_fsop_bulkreq request = {.icount = 1, .ubuffer = &swap.sx_stat};
	struct stat st;
	__u64 ino;

	if (!rc)
		rc = result(fstat(a, &st));
	if (!rc) {
		ino = st.st_ino;
		swap.sx_length = st.st_size;
		request.lastip = &ino;
		rc = result(ioctl(a, XFS_IOC_FSBULKSTAT_SINGLE, &request));
	}
	if (!rc)
		rc = result(ioctl(a, XFS_IOC_SWAPEXT, &swap));
	if (b >= 0)
		close(b);
	return a < 0 ? rc : close_with(a, rc);
}

static int op_attributes(struct work *w)
{
	struct timespec times[2] = {{.tv_sec = (time_t)work_random(w, 5000000000u), .tv_nsec = (long)work_random(w, 999999999)},
				    {.tv_sec = -(time_t)work_random(w, 2000000000u), .tv_nsec = (long)work_random(w, 999999999)}};
	size_t i = pick(w, any_kind(w));
	char path[PATH_MAX];

	if (!i)
		return -ENOENT;
	path_of(w, i, path);
	switch (work_random(w, 3)) {
	case 0:
		return result(utimensat(w->root, path, times, AT_SYMLINK_NOFOLLOW));
	case 1:
		return result(
			fchownat(w->root, path, (uid_t)work_random(w, 70000), (gid_t)work_random(w, 70000), AT_SYMLINK_NOFOLLOW));
	default:
		return w->nodes[i].kind == K_SYMLINK ? -EINVAL
						     : result(fchmodat(w->root, path, (mode_t)work_random(w, 010000), 0));
	}
}

/* Project id, flags and extent size hints. */
static int op_flags(struct work *w)
{
	int fd = open_node(w, pick(w, chance(w, 70) ? K_FILE : K_DIR), O_RDONLY), rc;
	struct fsxattr a;

	if (fd < 0)
		return fd;
	rc = result(ioctl(fd, FS_IOC_FSGETXATTR, &a));
	if (!rc) {
		a.fsx_projid = (uint32_t)work_random(w, 100000);
		a.fsx_xflags ^= chance(w, 50) ? FS_XFLAG_NODUMP : FS_XFLAG_NOATIME;
		rc = result(ioctl(fd, FS_IOC_FSSETXATTR, &a));
	}
	return close_with(fd, rc);
}

/* /proc/self/fd names the file without following a symbolic link, so attributes can be set on any kind of node. */
static int xattr_path(struct work *w, size_t i, char path[PATH_MAX + 32])
{
	int len = snprintf(path, 32, "/proc/self/fd/%d/", w->root);

	path_of(w, i, path + len);
	return i ? 0 : -ENOENT;
}

static void xattr_name(struct work *w, enum kind kind, char name[32])
{
	bool user = (kind == K_FILE || kind == K_DIR) && chance(w, 70);

	snprintf(name, 32, "%s.attr%u", user ? "user" : "trusted", (unsigned)work_random(w, 12));
}

static int op_setxattr(struct work *w)
{
	char path[PATH_MAX + 32], name[32];
	size_t i = pick(w, any_kind(w)), size;
	int rc = xattr_path(w, i, path);

	if (rc)
		return rc;
	xattr_name(w, w->nodes[i].kind, name);
	size = chance(w, 50) ? work_random(w, 80) : chance(w, 70) ? work_random(w, 2000) : work_random(w, 30000);
	return result(lsetxattr(path, name, w->data + work_random(w, WORK_DATA - size), size, 0));
}

static int op_removexattr(struct work *w)
{
	char path[PATH_MAX + 32], name[32];
	size_t i = pick(w, any_kind(w));
	int rc = xattr_path(w, i, path);

	if (rc)
		return rc;
	xattr_name(w, w->nodes[i].kind, name);
	return result(lremovexattr(path, name));
}

/*
 * Enough attributes for several leaves under a node; then, on two files by turns, values in blocks of their own, so that no two of one
 * file lie side by side and its attribute fork becomes a btree.
 */
static int op_many_xattrs(struct work *w)
{
	char path[2][PATH_MAX + 32], name[64];
	int rc = xattr_path(w, pick(w, K_FILE), path[0]);

	if (!rc)
		rc = xattr_path(w, pick(w, K_FILE), path[1]);
	for (unsigned n = 0; n < 60 && !rc; n++) {
		snprintf(name, sizeof(name), "user.a rather long name for an attribute %u", n);
		rc = result(lsetxattr(path[0], name, w->data + work_random(w, 1000), 150, 0));
	}
	for (unsigned n = 0; n < 60 && !rc; n++) {
		snprintf(name, sizeof(name), "trusted.remote%u", n / 2);
		rc = result(lsetxattr(path[n % 2], name, w->data + work_random(w, 1000), 5000, 0));
	}
	return rc;
}

/* A POSIX ACL is an attribute that the kernel parses: user::rwx, user:UID:r--, group::r-x, mask::rwx, other::--- */
static int op_acl(struct work *w)
{
	uint8_t acl[4 + 5 * 8] = {2};
	static const struct {
		uint8_t tag, perm;
	} entries[5] = {{1, 7}, {2, 4}, {4, 5}, {16, 7}, {32, 0}};
	char path[PATH_MAX + 32];
	size_t i = pick(w, chance(w, 50) ? K_FILE : K_DIR);
	int rc = xattr_path(w, i, path);

	if (rc)
		return rc;
	for (unsigned e = 0; e < 5; e++) {
		uint8_t *p = acl + 4 + e * 8;

		p[0] = entries[e].tag;
		p[2] = entries[e].perm;
		memset(p + 4, entries[e].tag == 2 ? 7 : 0xFF, 4);
	}
	return result(lsetxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0));
}

static int op_clone(struct work *w)
{
	int from = open_node(w, pick(w, K_FILE), O_RDONLY);
	int to, rc;

	if (from < 0)
		return from;
	to = open_node(w, pick(w, K_FILE), O_WRONLY);
	rc = to < 0 ? to : result(ioctl(to, FICLONE, from));
	close(from);
	return to < 0 ? rc : close_with(to, rc);
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

	if ((ops[which].fn == op_clone && !w->reflink) || (ops[which].fn == op_swap_extents && !w->swap))
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
		total += ops[k].weight;
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

int work_start(struct work *w, int root, uint64_t seed)
{
	*w = (struct work){.rng = seed, .root = root, .data = malloc(WORK_DATA)};
	if (!w->data)
		return -ENOMEM;
	for (size_t i = 0; i < WORK_DATA; i++)
		w->data[i] = (uint8_t)work_random(w, 256);
	node_add(w, K_DIR, 0, ".");
	return 0;
}

void work_stop(struct work *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->nodes[i].name);
	free(w->nodes);
	free(w->data);
}
