/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * usage: churn [--seed=N] [--log=/sys/fs/xfs/DEV/log] [--active=MIB] [--value=BYTES] MOUNTPOINT
 *
 * Fill the log of a mounted XFS: creates, renames, unlinks and extended attributes, in an order that the seed decides, until the active part of
 * the log (tail to head) has that many MiB; then shut the filesystem down by force, log flushed. What the log says is then nowhere else.
 *
 * One file of three has a short attribute; with --value every file has one of that size, which makes fewer and longer log items, and, where the
 * inodes are large, more blocks that they are for.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <xfs/xfs.h>
#include <xfs/xfs_fs.h>

#define DIRS 512u
#define LOOK_EVERY 4096u
#define OPS_MAX 20000000u

#define VALUE_MAX 4096u /* bytes of an attribute */

static uint64_t rng;
static size_t value_size; /* 0: short ones, of one file in three */

static uint64_t random_below(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

static void die(const char *what)
{
	fprintf(stderr, "churn: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* An LSN that sysfs shows as cycle:block. */
static void read_lsn(const char *dir, const char *name, uint32_t *cycle, uint32_t *block)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%" SCNu32 ":%" SCNu32, cycle, block) != 2)
		die(path);
	fclose(f);
}

static uint64_t active_mib(const char *dir, uint64_t log_bytes)
{
	uint32_t head_cycle, head, tail_cycle, tail;

	read_lsn(dir, "log_head_lsn", &head_cycle, &head);
	read_lsn(dir, "log_tail_lsn", &tail_cycle, &tail);
	return ((head_cycle == tail_cycle ? 0 : log_bytes) + 512 * (uint64_t)head - 512 * (uint64_t)tail) >> 20;
}

static void name_of(char *name, size_t size, uint64_t serial)
{
	snprintf(name, size, "d%03u/file-%08" PRIu64, (unsigned)(serial * 2654435761u % DIRS), serial);
}

static void create(int root, uint64_t serial)
{
	char name[64], value[VALUE_MAX];
	size_t size = value_size ? value_size : 16 + serial % 48;
	int fd;

	name_of(name, sizeof(name), serial);
	fd = openat(root, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
	if (fd < 0)
		die(name);
	memset(value, 'a' + (int)(serial % 26), size);
	if ((value_size || serial % 3 == 0) && fsetxattr(fd, "user.churn", value, size, 0))
		die("fsetxattr");
	close(fd);
}

static void step(int root, uint64_t *serial)
{
	char from[64], to[80];
	uint64_t old = random_below(*serial + 1);

	name_of(from, sizeof(from), old);
	switch (random_below(8)) {
	case 0:
		unlinkat(root, from, 0); /* may be gone already */
		break;
	case 1:
		snprintf(to, sizeof(to), "d%03u/renamed-%08" PRIu64, (unsigned)random_below(DIRS), old);
		renameat(root, from, root, to);
		break;
	default:
		create(root, ++*serial);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
						{"log", required_argument, NULL, 'l'},
						{"active", required_argument, NULL, 'a'},
						{"value", required_argument, NULL, 'v'},
						{0}};
	uint64_t active = 300, serial = 0;
	struct xfs_fsop_geom geometry;
	const char *log = NULL;
	__u32 flags = XFS_FSOP_GOING_FLAGS_LOGFLUSH;
	char name[32];
	int c, root;

	rng = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			rng = strtoull(optarg, NULL, 0) * 2 + 1;
		else if (c == 'l')
			log = optarg;
		else if (c == 'a')
			active = strtoull(optarg, NULL, 0);
		else if (c == 'v')
			value_size = strtoull(optarg, NULL, 0);
		else
			return 1;
	}
	if (value_size > VALUE_MAX)
		return 1;
	root = optind == argc - 1 && log ? open(argv[optind], O_RDONLY | O_DIRECTORY) : -1;
	if (root < 0 || ioctl(root, XFS_IOC_FSGEOMETRY, &geometry))
		die("no mounted XFS named, or no --log");
	for (unsigned i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "d%03u", i);
		if (mkdirat(root, name, 0755))
			die(name);
	}
	create(root, 0);
	for (unsigned n = 1; n < OPS_MAX; n++) {
		step(root, &serial);
		if (n % LOOK_EVERY == 0 && active_mib(log, (uint64_t)geometry.logblocks * geometry.blocksize) >= active)
			break;
	}
	printf("%" PRIu64 " files created, %" PRIu64 " MiB of log active\n", serial,
	       active_mib(log, (uint64_t)geometry.logblocks * geometry.blocksize));
	if (ioctl(root, XFS_IOC_GOINGDOWN, &flags))
		die("XFS_IOC_GOINGDOWN");
	return 0;
}
