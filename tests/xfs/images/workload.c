/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * workload: make a dirty XFS log
 *
 * Runs seeded random operations on a mounted filesystem and shuts it down by force, as a crash would, so that its log holds
 * metadata that is nowhere else. Three things decide what recovery has to do afterwards:
 *
 *   - what was written back before. --freeze-every freezes and thaws the filesystem: everything is written in place and
 *     the tail of the log moves up; what follows is in the log alone. --wrap goes on until the log's head has come round behind
 *     its tail; by then most of the metadata was written in place by the pressure for log space, some of it newer than the log's tail.
 *   - what was flushed. --shutdown=flush writes the log out first; noflush loses what no fsync had forced.
 *   - what was finished. --tidy leaves no unlinked inode and no CoW fork behind, so that physical replay is all there is to do;
 *     --orphans, --cow and --race leave work that only logical recovery can do.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xfs/xfs.h>
#include "workload.h"

#define WRAP_MAX_OPS 500000u
#define WRAP_TURNS 20u
#define RACERS 9u
#define SHARED 16u
#define SHARED_EXTENTS 60u

struct options {
	uint64_t seed, ops, tail_ops, sync_every, freeze_every, orphans, cow;
	const char *wrap; /* directory with log_head_lsn and log_tail_lsn */
	const char *shutdown;
	int reflink, tidy, race, scatter, swap, exchange, names;
};

static int said(int rc, const char *what)
{
	if (rc < 0) {
		rc = -errno;
		fprintf(stderr, "workload: %s: %s\n", what, strerror(-rc));
	}
	return rc;
}

static int freeze(int root)
{
	int rc = said(ioctl(root, FIFREEZE, 0), "freezing");

	return rc ? rc : said(ioctl(root, FITHAW, 0), "thawing");
}

/*
 * Finish what the kernel does in the background: inactivation of unlinked inodes, blocks beyond EOF and in CoW forks. These it keeps as
 * long as there are dirty pages (and what fsync wrote still counts as dirty), hence the syncfs; metadata stays in the log.
 */
static int tidy(int root)
{
	struct xfs_fs_eofblocks all = {.eof_version = 1, .eof_flags = XFS_EOF_FLAGS_SYNC};
	int rc = said(syncfs(root), "syncfs");

	return rc ? rc : said(ioctl(root, XFS_IOC_FREE_EOFBLOCKS, &all), "freeing leftover blocks");
}

static int read_lsn(const char *dir, const char *name, unsigned *cycle, unsigned *block)
{
	char path[256];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f)
		return said(-1, path);
	n = fscanf(f, "%u:%u", cycle, block);
	fclose(f);
	if (n == 2)
		return 0;
	fprintf(stderr, "workload: %s: not an LSN\n", path);
	return -EINVAL;
}

/*
 * Whether the live part of the log runs over the log's end: 1 or 0 or -errno. The head must be some way in and the tail some way before the
 * farthest block seen, so that what is still to come does not change the picture.
 */
static int log_wrapped(const char *dir)
{
	static unsigned farthest;
	unsigned head, tail, head_block, tail_block;
	int rc = read_lsn(dir, "log_head_lsn", &head, &head_block);

	if (!rc)
		rc = read_lsn(dir, "log_tail_lsn", &tail, &tail_block);
	if (rc)
		return rc;
	if (head_block > farthest)
		farthest = head_block;
	return head == tail + 1 && head_block > 600 && tail_block > head_block + 2000 && tail_block + 3000 < farthest;
}

static int random_ops(struct work *w, const struct options *o)
{
	for (uint64_t n = 1; o->wrap ? n < WRAP_MAX_OPS : n <= o->ops; n++) {
		int rc = work_step(w);

		if (!rc && o->sync_every && n % o->sync_every == 0)
			rc = said(syncfs(w->root), "syncfs");
		if (!rc && o->freeze_every && n % o->freeze_every == 0)
			rc = freeze(w->root);
		if (!rc && o->wrap && n % 16 == 0) {
			rc = log_wrapped(o->wrap);
			if (rc > 0)
				return 0;
		}
		if (rc)
			return rc;
	}
	if (!o->wrap)
		return 0;
	fprintf(stderr, "workload: the log did not wrap in %u operations\n", WRAP_MAX_OPS);
	return -ETIMEDOUT;
}

/* All operations: the main part, each once more, and the last ones, which the log alone knows of (or, without a flush, nobody). */
static int all_ops(struct work *w, const struct options *o)
{
	const struct options last = {.ops = o->tail_ops};
	int rc = random_ops(w, o);

	if (!rc && o->ops)
		rc = work_each(w);
	if (!rc && o->tidy)
		rc = tidy(w->root);
	if (!rc)
		rc = random_ops(w, &last);
	if (!rc && o->tidy && strcmp(o->shutdown, "noflush"))
		rc = tidy(w->root);
	return rc;
}

/* A file of so many extents that its map is a btree. */
static int make_fragmented(int root, const char *name, unsigned extents)
{
	char data[512];
	int fd = openat(root, name, O_RDWR | O_CREAT | O_EXCL, 0600);

	memset(data, 'f', sizeof(data));
	for (unsigned i = 0; fd >= 0 && i < extents; i++)
		if (pwrite(fd, data, sizeof(data), (off_t)i * 16384) < 0)
			return said(-1, name);
	return fd < 0 || fsync(fd) ? said(-1, name) : fd;
}

/* Attributes in all forms: small ones, enough of them for several blocks, and a value in blocks of its own. */
static int set_attributes(int fd, unsigned count)
{
	static char value[60000];
	char name[32];

	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "user.attribute %u", i);
		if (fsetxattr(fd, name, value, 200, 0))
			return said(-1, name);
	}
	return count > 4 ? said(fsetxattr(fd, "user.large", value, sizeof(value), 0), "user.large") : 0;
}

/* An open file of the n-th kind, which still has its name; a negative number, said. */
static int make_orphan(int root, const char *name, uint64_t n)
{
	static char data[10000], target[600];
	int fd;

	memset(data, 'o', sizeof(data));
	memset(target, 't', sizeof(target) - 1);
	switch (n % 8) {
	case 1:
		return make_fragmented(root, name, 150);
	case 2:
		if (symlinkat(target, root, name))
			return said(-1, name);
		return said(openat(root, name, O_PATH | O_NOFOLLOW), name);
	case 3:
		if (mknodat(root, name, S_IFIFO | 0600, 0))
			return said(-1, name);
		return said(openat(root, name, O_PATH), name);
	case 4:
		if (mkdirat(root, name, 0700))
			return said(-1, name);
		return said(openat(root, name, O_RDONLY | O_DIRECTORY), name);
	default:
		fd = openat(root, name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || (n % 8 != 7 && write(fd, data, 1 + n * 1111 % sizeof(data)) < 0) ||
		    (n % 8 > 4 && set_attributes(fd, n % 8 == 5 ? 40 : 2)) || fsync(fd))
			return said(-1, name);
		return fd;
	}
}

/* Files that lose their name while they are open. The process holds them until it exits, after the shutdown. Every third has a clone. */
static int leave_orphans(int root, uint64_t n, int reflink)
{
	char name[32], clone[48];

	for (uint64_t i = 0; i < n; i++) {
		int fd, copy;

		snprintf(name, sizeof(name), "orphan %ju", (uintmax_t)i);
		fd = make_orphan(root, name, i);
		if (fd < 0)
			return fd;
		snprintf(clone, sizeof(clone), "clone of %s", name);
		if (reflink && i % 3 == 0 && (i % 8 < 2 || i % 8 > 4)) {
			copy = openat(root, clone, O_RDWR | O_CREAT | O_EXCL, 0600);
			if (copy < 0 || ioctl(copy, FICLONE, fd))
				return said(-1, clone);
			close(copy);
		}
		if (unlinkat(root, name, i % 8 == 4 ? AT_REMOVEDIR : 0))
			return said(-1, name);
	}
	return 0;
}

/*
 * The same, of files written by turns, so that the blocks of none lie side by side, and each shared with two others that did not keep all
 * of it: a refcount for every extent, and the order in which those go decides how many blocks their btree has.
 */
static int leave_shared_orphans(int root)
{
	static char data[8192] __attribute__((aligned(4096)));
	int fds[SHARED], copy;
	char name[48];

	for (unsigned i = 0; i < SHARED; i++) {
		snprintf(name, sizeof(name), "shared orphan %u", i);
		fds[i] = openat(root, name, O_RDWR | O_CREAT | O_EXCL | O_DIRECT, 0600);
		if (fds[i] < 0)
			return said(-1, name);
	}
	for (unsigned n = 0; n < SHARED * SHARED_EXTENTS; n++)
		if (pwrite(fds[n % SHARED], data, n % 2 ? 4096 : 8192, (off_t)(n / SHARED) * 65536) < 0)
			return said(-1, "shared orphan");
	for (unsigned i = 0; i < 2 * SHARED; i++) {
		snprintf(name, sizeof(name), "sharer %u of orphan %u", i % 2, i / 2);
		copy = openat(root, name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (copy < 0 || ioctl(copy, FICLONE, fds[i / 2]))
			return said(-1, name);
		for (unsigned n = 0; n < SHARED_EXTENTS; n++)
			if ((n * n + i) % 5 < 2 &&
			    fallocate(copy, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)n * 65536, 65536))
				return said(-1, name);
		close(copy);
	}
	for (unsigned i = 0; i < SHARED; i++) {
		snprintf(name, sizeof(name), "shared orphan %u", i);
		if (unlinkat(root, name, 0))
			return said(-1, name);
	}
	return 0;
}

/* Overwrite parts of clones: the kernel reserves more blocks in the CoW fork than the write needs, and keeps them for a while. */
static int leave_cow(int root, uint64_t n)
{
	char data[4096], name[32];
	int from = openat(root, "cow source", O_RDWR | O_CREAT | O_EXCL, 0600);

	memset(data, 'c', sizeof(data));
	for (unsigned i = 0; from >= 0 && i < 64; i++)
		if (pwrite(from, data, sizeof(data), (off_t)(i * sizeof(data))) < 0)
			return said(-1, "cow source");
	if (from < 0 || fsync(from))
		return said(-1, "cow source");
	for (uint64_t i = 0; i < n; i++) {
		int fd;

		snprintf(name, sizeof(name), "cow %ju", (uintmax_t)i);
		fd = openat(root, name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || ioctl(fd, FICLONE, from) || pwrite(fd, data, sizeof(data), (off_t)(i % 60 * 4096)) < 0 || fsync(fd))
			return said(-1, name);
	}
	return 0;
}

/*
 * Directory blocks in pieces: all space is taken, then single blocks are freed, far too many for one directory, none beside another. The
 * directory grows by hard links, since new inodes would need space in one piece. Made for filesystems whose directory block is larger
 * than theirs, without reservations (no finobt, rmapbt, reflink).
 */
static int scatter_directory(int root)
{
	struct xfs_fsop_resblks none = {0};
	int ballast = openat(root, "ballast", O_RDWR | O_CREAT | O_EXCL, 0600);
	char name[128];
	off_t end = 0;
	int rc = ballast < 0 || mkdirat(root, "scattered", 0700) ? said(-1, "ballast") : 0;

	if (!rc)
		rc = said(ioctl(root, XFS_IOC_SET_RESBLKS, &none), "giving up the reserve");
	for (off_t step = 64 << 20; !rc && step >= 4096; step /= 2)
		while (!fallocate(ballast, 0, end, step))
			end += step;
	for (off_t block = 0; !rc && block < 1000; block++)
		rc = said(fallocate(ballast, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, block * 8192, 4096),
			  "freeing single blocks");
	for (unsigned i = 0; !rc && i < 3000; i++) {
		snprintf(name, sizeof(name), "scattered/a name that takes up a good part of a directory block %u", i);
		rc = said(linkat(root, "ballast", root, name, 0), name);
	}
	return rc;
}

/* A file in 100 pieces, and none again: without reflink the longest chains there are. */
static int fill_and_empty(int fd)
{
	for (off_t i = 0; i < 100; i++)
		if (fallocate(fd, 0, i * 131072, 65536))
			return -1;
	return ftruncate(fd, 0);
}

/* Clone pieces of a fragmented file into the middle of what to has there. */
static int clone_pieces(int to, int from, uint64_t seed)
{
	struct work dice = {.rng = seed};

	for (unsigned i = 0; i < 120; i++) {
		struct file_clone_range piece = {.src_fd = from,
						 .src_offset = work_random(&dice, 360) * 16384,
						 .src_length = (1 + work_random(&dice, 40)) * 16384,
						 .dest_offset = work_random(&dice, 360) * 16384};

		if (ioctl(to, FICLONERANGE, &piece))
			return -1;
	}
	return 0;
}

/* Two files of many extents exchange ranges. Now and then one loses some of its mappings, so that holes and pieces are exchanged, too. */
static void exchange_forever(int root, int a, const char *name, uint64_t seed)
{
	struct work dice = {.rng = seed};
	int file[2] = {a, make_fragmented(root, name, 400)};

	while (file[1] >= 0) {
		int one = file[work_random(&dice, 2)], other = file[work_random(&dice, 2)];
		off_t at = (off_t)work_random(&dice, 400) * 16384;

		if (exchange_ranges(&dice, one, other, 400) == -EIO || ftruncate(one, 400 * 16384))
			return;
		if (work_random(&dice, 4) == 0 && fallocate(one, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 1 << 20))
			return;
		if (work_random(&dice, 4) == 0 && fallocate(other, 0, at, 1 << 16))
			return;
	}
}

/*
 * Names of files come and go: with parent pointers each is an attribute, too, and moving a name replaces one. The names are long, and some stay
 * for a while: the attributes fill several leaves.
 */
static void rename_forever(int root, const char *dir, uint64_t seed)
{
	struct work dice = {.rng = seed};
	char names[2][200];
	int rc = mkdirat(root, dir, 0700);

	while (!rc || errno != EIO) {
		for (unsigned i = 0; i < 2; i++) {
			unsigned n = (unsigned)work_random(&dice, 100);

			snprintf(names[i], sizeof(names[i]), "%s/%0*u", dir, (int)(2 + n * 37 % 150), n);
		}
		switch (work_random(&dice, 8)) {
		case 0:
			rc = symlinkat(names[0], root, names[1]);
			break;
		case 1:
			rc = mknodat(root, names[0], S_IFREG | 0600, 0);
			break;
		case 2:
			rc = unlinkat(root, names[0], 0);
			break;
		case 3:
			rc = renameat(root, names[0], root, names[1]);
			break;
		case 4:
			rc = renameat2(root, names[0], root, names[1], RENAME_EXCHANGE);
			break;
		default:
			rc = linkat(root, names[0], root, names[1], 0);
		}
	}
}

/* One of those that race: for ever, until the shutdown ends it. Says by a byte that it has begun. */
static void racer(int root, const struct options *o, unsigned n, int begun)
{
	char name[64], other[64];
	int from = -1, to;

	snprintf(name, sizeof(name), "race %ju source %u", (uintmax_t)o->seed, n);
	snprintf(other, sizeof(other), "race %ju other %u", (uintmax_t)o->seed, n);
	if (o->reflink) {
		from = make_fragmented(root, name, 400);
		if (from < 0)
			_exit(1);
	}
	snprintf(name, sizeof(name), "race %ju target %u", (uintmax_t)o->seed, n);
	to = openat(root, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0 || write(begun, "", 1) != 1)
		_exit(1);
	close(begun); /* or nobody would hear that another one cannot begin */
	if (n == 0) /* push the others' chains into the log in the middle */
		while (write(to, "x", 1) == 1 && !fsync(to))
			;
	else if (o->exchange && n % 4 == 1)
		exchange_forever(root, to, other, o->seed + n);
	else if (o->names && n % 4 != 0)
		rename_forever(root, other, o->seed + n);
	else if (n % 2 && o->reflink)
		while (!ioctl(to, FICLONE, from) && !ftruncate(to, 0))
			;
	else if (n % 4 && o->reflink)
		for (uint64_t turn = 0; !fallocate(to, 0, 0, 400 * 16384) && !clone_pieces(to, from, o->seed + n + turn); turn++)
			;
	else if (o->reflink)
		while (!fallocate(to, 0, 0, 100 * 16384) && !fallocate(to, FALLOC_FL_COLLAPSE_RANGE, 0, 8192) &&
		       !ioctl(to, FICLONE, from) && !ftruncate(to, 0))
			;
	else
		while (!fill_and_empty(to))
			;
	_exit(0);
}

/* Children that clone and empty fragmented files: wherever the shutdown hits them, chains of deferred work are under way. */
static int race(int root, const struct options *o, pid_t *children)
{
	int begun[2];
	char byte;

	if (pipe(begun))
		return said(-1, "pipe");
	for (unsigned i = 0; i < RACERS; i++) {
		children[i] = fork();
		if (children[i] < 0)
			return said(-1, "fork");
		if (!children[i]) {
			close(begun[0]);
			racer(root, o, i, begun[1]);
		}
	}
	close(begun[1]);
	for (unsigned i = 0; i < RACERS; i++)
		if (read(begun[0], &byte, 1) != 1) {
			fputs("workload: one of those that race could not begin\n", stderr);
			return -EIO;
		}
	close(begun[0]);
	usleep(200000);
	return 0;
}

static int shut_down(int root, const char *how)
{
	uint32_t flags = strcmp(how, "flush") ? XFS_FSOP_GOING_FLAGS_NOLOGFLUSH : XFS_FSOP_GOING_FLAGS_LOGFLUSH;

	/* A name that must be lost: it is in no record yet, and the shutdown sees to it that it never will be. */
	if (!strcmp(how, "noflush") && close(openat(root, "never flushed", O_RDWR | O_CREAT | O_EXCL, 0600)))
		return said(-1, "never flushed");
	return strcmp(how, "none") ? said(ioctl(root, XFS_IOC_GOINGDOWN, &flags), "shutting down") : 0;
}

static int run(const char *mnt, const struct options *o)
{
	int root = open(mnt, O_RDONLY | O_DIRECTORY);
	pid_t children[RACERS] = {0};
	struct work w;
	int rc = root < 0 ? said(-1, mnt) : work_start(&w, root, o->seed);

	if (rc)
		return rc;
	w.reflink = o->reflink;
	w.swap = o->swap;
	w.exchange = o->exchange;
	rc = all_ops(&w, o);
	/* Writeback goes on behind our back and may have moved the tail over the log's end since: once more round, then. */
	for (unsigned turn = 0; !rc && o->wrap && turn < WRAP_TURNS; turn++) {
		rc = log_wrapped(o->wrap);
		if (rc)
			break;
		rc = all_ops(&w, o);
	}
	rc = rc > 0 ? 0 : rc;
	if (!rc && o->orphans)
		rc = leave_orphans(root, o->orphans, o->reflink);
	if (!rc && o->cow)
		rc = leave_cow(root, o->cow);
	if (!rc && o->orphans && o->reflink)
		rc = leave_shared_orphans(root);
	if (!rc && o->scatter)
		rc = scatter_directory(root);
	if (!rc && o->race)
		rc = race(root, o, children);
	if (!rc)
		rc = shut_down(root, o->shutdown);
	for (unsigned i = 0; i < RACERS && children[i] > 0; i++) {
		if (rc)
			kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	printf("workload: seed %ju: %ju operations done, %ju refused\n", (uintmax_t)o->seed, (uintmax_t)w.done,
	       (uintmax_t)w.refused);
	work_stop(&w);
	return rc;
}

static int usage(void)
{
	fputs("usage: workload [--seed=N] [--ops=N] [--tail-ops=N] [--sync-every=N] [--freeze-every=N] [--wrap=SYSFS-LOG-DIR]\n"
	      "                [--orphans=N] [--cow=N] [--race] [--scatter] [--tidy] [--reflink] [--swap] [--exchange] [--names] "
	      "[--shutdown=flush|noflush|none] "
	      "MOUNTPOINT\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct options o = {.seed = 1, .ops = 1000, .shutdown = "flush"};
	const struct option longs[] = {{"seed", 1, NULL, 's'},
				       {"ops", 1, NULL, 'o'},
				       {"tail-ops", 1, NULL, 't'},
				       {"sync-every", 1, NULL, 'y'},
				       {"freeze-every", 1, NULL, 'f'},
				       {"wrap", 1, NULL, 'w'},
				       {"orphans", 1, NULL, 'u'},
				       {"cow", 1, NULL, 'c'},
				       {"race", 0, &o.race, 1},
				       {"scatter", 0, &o.scatter, 1},
				       {"swap", 0, &o.swap, 1},
				       {"tidy", 0, &o.tidy, 1},
				       {"exchange", 0, &o.exchange, 1},
				       {"names", 0, &o.names, 1},
				       {"reflink", 0, &o.reflink, 1},
				       {"shutdown", 1, NULL, 'd'},
				       {NULL, 0, NULL, 0}};
	uint64_t *numbers[128] = {['s'] = &o.seed,         ['o'] = &o.ops,     ['t'] = &o.tail_ops, ['y'] = &o.sync_every,
				  ['f'] = &o.freeze_every, ['u'] = &o.orphans, ['c'] = &o.cow};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'w')
			o.wrap = optarg;
		else if (c == 'd')
			o.shutdown = optarg;
		else if (c == '?')
			return usage();
		else if (c)
			*numbers[c] = strtoull(optarg, NULL, 0);
	}
	if (optind + 1 != argc || (strcmp(o.shutdown, "flush") && strcmp(o.shutdown, "noflush") && strcmp(o.shutdown, "none")))
		return usage();
	return run(argv[optind], &o) ? 1 : 0;
}
