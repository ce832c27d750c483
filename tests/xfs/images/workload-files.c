/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations of the workload on contents, attributes and flags of files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xfs/xfs.h>
#include "workload-impl.h"

#define MAX_FILE (1u << 20)

int op_write(struct work *w)
{
	int fd = open_node(w, pick(w, K_FILE), O_WRONLY), rc;

	if (fd < 0)
		return fd;
	rc = write_some(w, fd, work_random(w, MAX_FILE), 1 + work_random(w, 65536));
	return close_with(fd, rc);
}

int op_append(struct work *w)
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

int op_fsync(struct work *w)
{
	int fd = open_node(w, pick(w, chance(w, 90) ? K_FILE : K_DIR), O_RDONLY);

	if (fd < 0)
		return fd;
	return close_with(fd, result(fsync(fd)));
}

int op_truncate(struct work *w)
{
	int fd = open_node(w, pick(w, K_FILE), O_WRONLY), rc;

	if (fd < 0)
		return fd;
	rc = result(ftruncate(fd, chance(w, 30) ? 0 : (off_t)work_random(w, MAX_FILE)));
	return close_with(fd, rc);
}

int op_fallocate(struct work *w)
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
int op_sparse(struct work *w)
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
int op_swap_extents(struct work *w)
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

/* Linux 6.10's exchange of ranges, which older headers do not know */
struct exchange_range {
	int32_t file1;
	uint32_t pad;
	uint64_t offset1, offset2, length, flags;
};

enum { EXCHANGE_TO_EOF = 1, EXCHANGE_FILE1_WRITTEN = 8 };

int exchange_ranges(struct work *w, int a, int b, uint64_t blocks)
{
	struct exchange_range range = {.file1 = a,
				       .offset1 = work_random(w, blocks) * 16384,
				       .offset2 = work_random(w, blocks) * 16384,
				       .length = (1 + work_random(w, blocks / 2)) * 16384};

	if (chance(w, 30))
		range.flags |= EXCHANGE_FILE1_WRITTEN;
	if (chance(w, 30))
		range.offset1 = range.offset2 = 0; /* all of both: the marks of shared blocks are exchanged, too */
	if (chance(w, 30)) {
		range.flags |= EXCHANGE_TO_EOF;
		range.length = 0;
	}
	return result(ioctl(b, _IOW('X', 129, struct exchange_range), &range));
}

int op_exchange_ranges(struct work *w)
{
	int a = open_node(w, pick(w, K_FILE), O_RDWR), b, rc;

	if (a < 0)
		return a;
	if (chance(w, 50))
		b = open_node(w, pick(w, K_FILE), O_RDWR);
	else
		b = fragmented_file(w, pick_dir(w));
	rc = b < 0 ? b : exchange_ranges(w, a, b, 30);
	if (b >= 0)
		close(b);
	return close_with(a, rc);
}

int op_attributes(struct work *w)
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
int op_flags(struct work *w)
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

int op_setxattr(struct work *w)
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

int op_removexattr(struct work *w)
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
int op_many_xattrs(struct work *w)
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
int op_acl(struct work *w)
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

int op_clone(struct work *w)
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
