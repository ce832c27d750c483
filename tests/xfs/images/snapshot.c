/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * snapshot: everything a mounted XFS says about itself, as text
 *
 * Two filesystems are equal when their snapshots are. The text has two parts. First every inode that is allocated, in order of
 * number, from the inode btrees (bulkstat), with all its attributes: an inode that no name leads to shows here too. Then
 * every name, in byte order, depth first, with what hangs on it: link target, extended attributes, a hash of the content, and
 * the mappings of both forks. Names are escaped so that a line is a line. Lines begin with what they speak of, so a plain diff of two
 * snapshots is readable.
 *
 * Nothing here changes the filesystem when it is mounted read-only. --no-extents leaves the mappings out. --tree prints the lines that
 * xfs_replay --tree should print, unsorted. --portable prints what a copy on another filesystem has too: no inode numbers and mappings, but
 * attributes and content; the two attributes in which XFS keeps access control lists show as lists only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <xfs/xfs.h>
#include "msg.h"

#define MAX_XATTR (64u << 10)
#define CHUNK (1u << 20)
#define MAPPINGS 512

static int no_extents, tree, portable;
static uint8_t *buffer; /* CHUNK bytes: file content, attribute values */
static bool failed;

static void fail(const char *where, const char *what)
{
	fprintf(stderr, "snapshot: %s: %s: %s\n", where, what, strerror(errno));
	failed = true;
}

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001B3u; /* FNV-1a */
	return h;
}

#define HASH_START 0xCBF29CE484222325u

static void print_inode(const struct xfs_bulkstat *b)
{
	printf("inode %" PRIu64 ": mode %o uid %u gid %u nlink %u size %" PRIu64 " blocks %" PRIu64 " rdev %x gen %u\n",
	       b->bs_ino, b->bs_mode, b->bs_uid, b->bs_gid, b->bs_nlink, b->bs_size, b->bs_blocks, b->bs_rdev, b->bs_gen);
	printf("inode %" PRIu64 ": atime %" PRId64 ".%09u mtime %" PRId64 ".%09u ctime %" PRId64 ".%09u btime %" PRId64 ".%09u\n",
	       b->bs_ino, b->bs_atime, b->bs_atime_nsec, b->bs_mtime, b->bs_mtime_nsec, b->bs_ctime, b->bs_ctime_nsec,
	       b->bs_btime, b->bs_btime_nsec);
	printf("inode %" PRIu64 ": xflags %" PRIx64 " projid %u extsize %u cowextsize %u extents %" PRIu64
	       " aextents %u forkoff %u"
	       " version %u\n",
	       b->bs_ino, b->bs_xflags, b->bs_projectid, b->bs_extsize_blks, b->bs_cowextsize_blks, b->bs_extents64,
	       b->bs_aextents, b->bs_forkoff, b->bs_version);
}

static void print_inodes(int root)
{
	const uint32_t many = 256;
	struct xfs_bulkstat_req *req = calloc(1, XFS_BULKSTAT_REQ_SIZE(many));
	uint64_t all = 0;

	if (!req)
		abort();
	req->hdr = (struct xfs_bulk_ireq){.flags = XFS_BULK_IREQ_NREXT64, .icount = many};
	do {
		req->hdr.ocount = 0;
		if (ioctl(root, XFS_IOC_BULKSTAT, req)) {
			fail("inodes", "bulkstat");
			break;
		}
		for (uint32_t i = 0; i < req->hdr.ocount; i++)
			print_inode(&req->bulkstat[i]);
		all += req->hdr.ocount;
	} while (req->hdr.ocount);
	printf("inodes: %" PRIu64 "\n", all);
	free(req);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_xattr(const char *shown, const char *path, const char *name)
{
	char *escaped = malloc(4 * strlen(name) + 1);
	ssize_t size = lgetxattr(path, name, buffer, MAX_XATTR);

	if (!escaped)
		abort();
	if (size < 0)
		fail(shown, name);
	else
		printf("%s: xattr %s size %zd hash %016" PRIx64 "\n", shown,
		       xr_escape(escaped, 4 * strlen(name) + 1, name, strlen(name)), size,
		       hash(HASH_START, buffer, (size_t)size));
	free(escaped);
}

/* path leads through /proc/self/fd, so it can be followed to its last component but not through it. */
static void print_xattrs(const char *shown, const char *path)
{
	char *list = malloc(MAX_XATTR), **names;
	ssize_t size = list ? llistxattr(path, list, MAX_XATTR) : -1;
	size_t n = 0;

	if (size < 0) {
		fail(shown, "llistxattr");
		free(list);
		return;
	}
	names = calloc((size_t)size + 1, sizeof(*names));
	if (!names)
		abort();
	for (char *p = list; p < list + size; p += strlen(p) + 1)
		names[n++] = p;
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++)
		if (!portable || strncmp(names[i], "trusted.SGI_ACL_", 16) != 0)
			print_xattr(shown, path, names[i]);
	free(names);
	free(list);
}

/* Holes and blocks of zeros hash alike (as nothing): what differs between them is the mappings' to show. */
static void print_content(const char *shown, int fd, off_t size)
{
	uint64_t h = HASH_START;
	off_t at = 0;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0 && at < size) {
		ssize_t n;

		at &= ~(off_t)4095;
		n = pread(fd, buffer, CHUNK, at);
		if (n <= 0) {
			fail(shown, "reading");
			return;
		}
		for (ssize_t i = 0; i < n; i += 4096) {
			size_t piece = n - i < 4096 ? (size_t)(n - i) : 4096;
			off_t where = at + i;

			if (!buffer[i] && !memcmp(buffer + i, buffer + i + 1, piece - 1))
				continue;
			h = hash(h, &where, sizeof(where));
			h = hash(h, buffer + i, piece);
		}
		at += n;
	}
	if (at < 0 && errno != ENXIO)
		fail(shown, "seeking data");
	printf("%s: content %016" PRIx64 "\n", shown, h);
}

static void print_fork(const char *shown, int fd, const char *fork, int32_t flags)
{
	static struct getbmapx map[MAPPINGS + 1];

	map[0] = (struct getbmapx){.bmv_length = -1, .bmv_count = MAPPINGS + 1, .bmv_iflags = flags | BMV_IF_PREALLOC};
	do {
		if (ioctl(fd, XFS_IOC_GETBMAPX, map)) {
			if (errno != ENOENT) /* no such fork */
				fail(shown, "getbmapx");
			return;
		}
		for (int i = 1; i <= map[0].bmv_entries; i++)
			if (map[i].bmv_block != -1) {
				printf("%s: %s %lld+%lld @ %lld%s%s%s\n", shown, fork, (long long)map[i].bmv_offset,
				       (long long)map[i].bmv_length, (long long)map[i].bmv_block,
				       map[i].bmv_oflags & BMV_OF_PREALLOC ? " unwritten" : "",
				       map[i].bmv_oflags & BMV_OF_DELALLOC ? " delayed" : "",
				       map[i].bmv_oflags & BMV_OF_SHARED ? " shared" : "");
			}
		if (map[0].bmv_entries && map[map[0].bmv_entries].bmv_oflags & BMV_OF_LAST)
			return;
	} while (map[0].bmv_entries);
}

static const char *escape_target(const char *shown, int dir, const char *name, char escaped[4 * PATH_MAX + 1])
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n < 0)
		fail(shown, "readlink");
	return xr_escape(escaped, 4 * PATH_MAX + 1, target, n < 0 ? 0 : (size_t)n);
}

static char type_letter(mode_t mode)
{
	static const char letters[16] = {[S_IFIFO >> 12] = 'p', [S_IFCHR >> 12] = 'c', [S_IFDIR >> 12] = 'd',
					 [S_IFBLK >> 12] = 'b', [S_IFREG >> 12] = '-', [S_IFLNK >> 12] = 'l',
					 [S_IFSOCK >> 12] = 's'};

	return letters[mode >> 12 & 15];
}

/* MODE NLINK UID GID SIZE MTIME INO PATH[ -> TARGET] */
static void print_tree_line(const char *shown, int dir, const char *name, const struct stat *st)
{
	const mode_t special[3] = {S_ISUID, S_ISGID, S_ISVTX};
	char mode[11], when[32], escaped[4 * PATH_MAX + 1];

	mode[0] = type_letter(st->st_mode);
	for (int i = 0; i < 9; i++)
		mode[1 + i] = st->st_mode & 0400u >> i ? "rwxrwxrwx"[i] : '-';
	for (int i = 0; i < 3; i++)
		if (st->st_mode & special[i])
			mode[3 + 3 * i] = "SsSsTt"[2 * i + (mode[3 + 3 * i] == 'x')];
	mode[10] = '\0';
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime(&st->st_mtim.tv_sec));
	printf("%s %ju %u %u ", mode, (uintmax_t)st->st_nlink, st->st_uid, st->st_gid);
	if (S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode))
		printf("%u,%u", major(st->st_rdev), minor(st->st_rdev));
	else
		printf("%jd", (intmax_t)st->st_size);
	printf(" %s.%09ldZ %ju %s", when, st->st_mtim.tv_nsec, (uintmax_t)st->st_ino, *shown ? shown : "/");
	if (S_ISLNK(st->st_mode))
		printf(" -> %s", escape_target(shown, dir, name, escaped));
	putchar('\n');
}

static void print_directory(int dir, const char *shown);

static void print_portable(const char *shown, const struct stat *st)
{
	printf("%s: mode %o uid %u gid %u mtime %jd.%09ld", shown, st->st_mode, st->st_uid, st->st_gid,
	       (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	if (!S_ISDIR(st->st_mode))
		printf(" nlink %ju size %jd", (uintmax_t)st->st_nlink, (intmax_t)st->st_size);
	printf(" rdev %u,%u\n", major(st->st_rdev), minor(st->st_rdev));
}

/* One name: dir is its directory, open. */
static void print_name(int dir, const char *shown, const char *name)
{
	char through[64 + NAME_MAX], escaped[4 * PATH_MAX + 1];
	struct stat st;
	int fd = -1;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		fail(shown, "stat");
		return;
	}
	if (tree) {
		print_tree_line(shown, dir, name, &st);
		if (S_ISDIR(st.st_mode))
			print_directory(openat(dir, name, O_RDONLY | O_NOATIME | O_CLOEXEC), shown);
		return;
	}
	if (portable)
		print_portable(shown, &st);
	else
		printf("%s: ino %ju mode %o\n", shown, (uintmax_t)st.st_ino, st.st_mode);
	snprintf(through, sizeof(through), "/proc/self/fd/%d/%s", dir, name);
	print_xattrs(shown, through);
	if (S_ISLNK(st.st_mode))
		printf("%s: target %s\n", shown, escape_target(shown, dir, name, escaped));
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
		if (fd < 0) {
			fail(shown, "open");
			return;
		}
	}
	if (S_ISREG(st.st_mode))
		print_content(shown, fd, st.st_size);
	if (fd >= 0 && !no_extents && !portable) {
		print_fork(shown, fd, "data", 0);
		print_fork(shown, fd, "attr", BMV_IF_ATTRFORK);
	}
	if (S_ISDIR(st.st_mode))
		print_directory(fd, shown); /* closes fd */
	else if (fd >= 0)
		close(fd);
}

static void print_directory(int dir, const char *shown)
{
	size_t n = 0, room = 0;
	char **names = NULL;
	struct dirent *e;
	DIR *d = fdopendir(dir);

	if (!d) {
		fail(shown, "opendir");
		close(dir);
		return;
	}
	errno = 0;
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (n == room) {
			room = room ? 2 * room : 64;
			names = realloc(names, room * sizeof(*names));
		}
		if (!names || !(names[n] = strdup(e->d_name)))
			abort();
		n++;
	}
	if (errno)
		fail(shown, "readdir");
	if (n)
		qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++) {
		size_t at = strlen(shown), len = strlen(names[i]);
		char *path = malloc(at + 1 + 4 * len + 1);

		if (!path)
			abort();
		memcpy(path, shown, at);
		path[at] = '/';
		xr_escape(path + at + 1, 4 * len + 1, names[i], len);
		print_name(dirfd(d), path, names[i]);
		free(path);
		free(names[i]);
	}
	free(names);
	closedir(d);
}

int main(int argc, char **argv)
{
	const struct option longs[] = {
		{"no-extents", 0, &no_extents, 1}, {"tree", 0, &tree, 1}, {"portable", 0, &portable, 1}, {NULL, 0, NULL, 0}};
	int root;

	while (getopt_long(argc, argv, "", longs, NULL) == 0)
		;
	if (optind + 1 != argc) {
		fputs("usage: snapshot [--no-extents | --tree | --portable] MOUNTPOINT\n", stderr);
		return 2;
	}
	root = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	buffer = malloc(CHUNK);
	if (root < 0 || !buffer) {
		fail(argv[optind], "open");
		return 1;
	}
	if (!tree && !portable)
		print_inodes(root);
	print_name(root, "", ".");
	close(root);
	free(buffer);
	if (fflush(stdout))
		fail("output", "write");
	return failed;
}
