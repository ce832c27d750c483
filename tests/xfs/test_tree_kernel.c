/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree against the kernel: a filesystem is filled through a mount, listed with lstat(), unmounted cleanly, and listed again
 * by us. Every line must be the same. Needs root, loop devices, mkfs.xfs and a kernel with XFS; else skipped (77).
 */
#include "support.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <vmap/linux.h>
#include "cache.h"
#include "sb.h"
#include "tree.h"

#define NODE_NAMES 3000

static char directory[32], image[64], mount_point[64];
static bool mounted;

static bool run(const char *command)
{
	char text[512];

	snprintf(text, sizeof(text), "cd %s && PATH=$PATH:/usr/sbin:/sbin && { %s; } >said 2>&1", directory, command);
	return system(text) == 0;
}

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test_tree.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(image, sizeof(image), "%s/image", directory);
	snprintf(mount_point, sizeof(mount_point), "%s/mount", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (mounted)
		umount2(mount_point, MNT_DETACH);
	mounted = false;
	return run("rm -r ../${PWD##*/}") ? 0 : -1;
}

static void touch(const char *format, unsigned n)
{
	char name[300];
	int fd;

	snprintf(name, sizeof(name), format, n);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	assert_true(fd >= 0);
	close(fd);
}

static void fill_directories(void)
{
	static const char *const strange[] = {"a", "a-b", "a.b", "a b", "a\xff", "new\nline\\\x1b[31m", "\xc3\xa9", "-> x"};
	char name[300];

	assert_int_equal(mkdir("shortform", 0755) | mkdir("block", 0700) | mkdir("leaf", 01777) | mkdir("node", 02755), 0);
	for (unsigned i = 0; i < NODE_NAMES; i++)
		touch("node/a-name-of-some-length-so-that-blocks-fill-up-%u", i);
	for (unsigned i = 0; i < NODE_NAMES; i += 3) {
		snprintf(name, sizeof(name), "node/a-name-of-some-length-so-that-blocks-fill-up-%u", i);
		assert_int_equal(unlink(name), 0);
	}
	for (unsigned i = 0; i < 400; i++)
		touch("leaf/another-name-of-some-length-%u", i);
	for (unsigned i = 0; i < 20; i++)
		touch("block/%u", i);
	touch("shortform/%u", 1);
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		assert_int_equal(mkdir(strange[i], 0755), 0);
		snprintf(name, sizeof(name), "%s/inside", strange[i]);
		assert_int_equal(mkdir(name, 0), 0);
	}
	memset(name, 'n', 255);
	name[255] = '\0';
	touch(name, 0);
}

static void fill_links(void)
{
	char target[1024];

	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	assert_int_equal(symlink("short", "link-inline"), 0);
	assert_int_equal(symlink(target, "link-longest"), 0);
	target[500] = '\0';
	assert_int_equal(symlink(target, "link-remote"), 0);
	assert_int_equal(symlink("back\\slash \n", "link-strange"), 0);
	assert_int_equal(link("leaf/another-name-of-some-length-7", "hard"), 0);
}

static void fill_inodes(void)
{
	static const unsigned modes[] = {04755, 04644, 02755, 02644, 01777, 01776, 0};
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	struct timespec old[2] = {{-1500000000, 1}, {-2000000000, 5}}, late[2] = {{0, 0}, {4294967296 + 77, 123456789}};
	char name[32];
	int s = socket(AF_UNIX, SOCK_STREAM, 0), fd;

	assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof(address)), 0);
	close(s);
	assert_int_equal(mknod("block-device", S_IFBLK | 0640, makedev(259, 70000)), 0);
	assert_int_equal(mknod("char-device", S_IFCHR | 0622, makedev(5, 1)), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		touch("mode-%u", modes[i]);
		snprintf(name, sizeof(name), "mode-%u", modes[i]);
		assert_int_equal(chown(name, 1000 + (unsigned)i, 4000000000u), 0);
		assert_int_equal(chmod(name, modes[i]), 0);
	}
	touch("old", 0);
	touch("late", 0);
	assert_int_equal(utimensat(AT_FDCWD, "old", old, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, "late", late, 0), 0);
	fd = open("sparse", O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	for (int i = 0; i < 300; i++)
		assert_int_equal(pwrite(fd, "x", 1, (off_t)i << 17), 1);
	close(fd);
}

/* The lines that we expect, with the path to sort them by. */
struct line {
	char *path, *text;
};
static struct line *lines;
static size_t nlines;

static void escape_to(char *out, size_t room, const char *text)
{
	xr_escape(out, room, text, strlen(text));
}

/* ls does not help here: this is a second, independent writing of the mode string. */
static void mode_string(char out[11], mode_t mode)
{
	strcpy(out, "?---------");
	out[0] = S_ISDIR(mode)    ? 'd'
		 : S_ISLNK(mode)  ? 'l'
		 : S_ISBLK(mode)  ? 'b'
		 : S_ISCHR(mode)  ? 'c'
		 : S_ISFIFO(mode) ? 'p'
		 : S_ISSOCK(mode) ? 's'
				  : '-';
	for (int i = 0; i < 3; i++) {
		unsigned who = mode >> (6 - 3 * i) & 7, special = mode & (04000u >> i);
		char letter = i == 2 ? 't' : 's';

		out[1 + 3 * i] = who & 4 ? 'r' : '-';
		out[2 + 3 * i] = who & 2 ? 'w' : '-';
		out[3 + 3 * i] = special ? (who & 1 ? letter : (char)(letter - 'a' + 'A')) : who & 1 ? 'x' : '-';
	}
}

static int visit(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	const char *inside = path + strlen(mount_point);
	char mode[11], size[32], when[64], where[2048], target[1100], link[5000] = "", *text;
	ssize_t n;

	(void)flag;
	(void)ftw;
	mode_string(mode, st->st_mode);
	if (S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode))
		snprintf(size, sizeof(size), "%u,%u", major(st->st_rdev), minor(st->st_rdev));
	else
		snprintf(size, sizeof(size), "%" PRIu64, (uint64_t)st->st_size);
	strftime(when, sizeof(when), "%FT%T", gmtime(&st->st_mtim.tv_sec));
	if (S_ISLNK(st->st_mode)) {
		n = readlink(path, target, sizeof(target) - 1);
		assert_true(n > 0);
		target[n] = '\0';
		strcpy(link, " -> ");
		escape_to(link + 4, sizeof(link) - 4, target);
	}
	escape_to(where, sizeof(where), *inside ? inside : "/");
	assert_true(asprintf(&text, "%s %u %u %u %s %s.%09ldZ %" PRIu64 " %s%s\n", mode, (unsigned)st->st_nlink, st->st_uid,
			     st->st_gid, size, when, st->st_mtim.tv_nsec, (uint64_t)st->st_ino, where, link) > 0);
	lines = realloc(lines, (nlines + 1) * sizeof(*lines));
	lines[nlines++] = (struct line){strdup(*inside ? inside : "/"), text};
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct line *)a)->path, ((const struct line *)b)->path);
}

/* What the kernel shows, in our order. */
static char *expected(void)
{
	char *all;
	size_t size;
	FILE *out = open_memstream(&all, &size);

	assert_int_equal(nftw(mount_point, visit, 16, FTW_PHYS), 0);
	qsort(lines, nlines, sizeof(*lines), by_path);
	for (size_t i = 0; i < nlines; i++) {
		fputs(lines[i].text, out);
		free(lines[i].text);
		free(lines[i].path);
	}
	free(lines);
	lines = NULL;
	nlines = 0;
	fclose(out);
	return all;
}

static char *ours(void)
{
	struct xr_tree_result result;
	struct vmap_process *process;
	struct xr_cache *cache;
	struct test_msg t;
	struct xr_dev dev;
	struct xr_sb sb;
	char *all;
	size_t size;
	FILE *out = open_memstream(&all, &size);

	test_msg_init(&t);
	assert_int_equal(vmap_process_create(NULL, &process), 0);
	assert_int_equal(xr_dev_open(&dev, image, false, &t.msg), 0);
	assert_int_equal(xr_sb_read(&sb, &dev, &t.msg), 0);
	assert_int_equal(xr_cache_create(&cache, &dev, process, false, &t.msg), 0);
	struct xr_fs fs = {.sb = &sb, .cache = cache, .msg = &t.msg};
	assert_int_equal(xr_tree_print(&fs, NULL, out, &result), 0);
	assert_int_equal(result.skipped, 0);
	assert_int_equal(t.used, 0);
	fclose(out);
	xr_cache_destroy(cache);
	xr_dev_close(&dev);
	assert_int_equal(vmap_process_destroy(process), 0);
	return all;
}

static void same_lines(const char *want, const char *got)
{
	while (*want || *got) {
		size_t w = strcspn(want, "\n"), g = strcspn(got, "\n");

		if (w != g || memcmp(want, got, w))
			fail_msg("the kernel has \"%.*s\", we have \"%.*s\"", (int)w, want, (int)g, got);
		want += w + (want[w] != '\0');
		got += g + (got[g] != '\0');
	}
}

static void one_geometry(const char *options)
{
	char command[256], *want, *got;
	int here = open(".", O_RDONLY | O_DIRECTORY);

	snprintf(command, sizeof(command),
		 "mkdir mount; truncate -s 320M image && mkfs.xfs -q %s image && mount -o loop image mount", options);
	assert_true(run(command));
	mounted = true;
	assert_int_equal(chdir(mount_point), 0);
	fill_directories();
	fill_links();
	fill_inodes();
	assert_int_equal(fchdir(here), 0);
	close(here);
	want = expected();
	assert_true(run("umount mount"));
	mounted = false;
	got = ours();
	same_lines(want, got);
	free(want);
	free(got);
}

static void test_default(void **state)
{
	(void)state;
	one_geometry("");
}

static void test_small_blocks(void **state)
{
	(void)state;
	one_geometry("-b size=1k -n size=8k -m bigtime=0,rmapbt=1");
}

static void test_large_directories(void **state)
{
	(void)state;
	one_geometry("-n size=64k -i nrext64=1,size=2048");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_default, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_directories, setup, teardown),
	};

	if (geteuid() != 0 || access("/dev/loop-control", R_OK | W_OK)) {
		fprintf(stderr, "skipped: needs root and loop devices\n");
		return 77;
	}
	if (system("PATH=$PATH:/usr/sbin:/sbin; command -v mkfs.xfs mount >/dev/null && grep -qw xfs /proc/filesystems") != 0) {
		fprintf(stderr, "skipped: needs mkfs.xfs and a kernel with XFS\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
