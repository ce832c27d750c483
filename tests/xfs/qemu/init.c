/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only program of the test machine (run-qemu.sh): loads every module in /modules, mounts the first disk, and writes every name on it to
 * the second, "INO PATH" a line, or what went wrong; then powers off.
 *
 * The order in which modules depend on each other is not known here: they are tried again while one more gets in. Lines end
 * with a line "END n"; a listing without it is not whole.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODULES 32

static FILE *out;
static unsigned long names;

static int load(const char *name)
{
	char path[300];
	int fd, ret;

	snprintf(path, sizeof(path), "/modules/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ret = fd < 0 ? -1 : (int)syscall(SYS_finit_module, fd, "", 0);
	if (fd >= 0)
		close(fd);
	return ret;
}

static void load_all(void)
{
	char *left[MODULES] = {NULL};
	struct dirent *e;
	size_t n = 0;
	int progress = 1;
	DIR *d = opendir("/modules");

	while (d && n < MODULES && (e = readdir(d)))
		if (e->d_name[0] != '.')
			left[n++] = strdup(e->d_name);
	while (progress) {
		progress = 0;
		for (size_t i = 0; i < n; i++) {
			if (left[i] && !load(left[i])) {
				left[i] = NULL;
				progress = 1;
			}
		}
	}
	if (d)
		closedir(d);
}

static void fail(const char *what)
{
	fprintf(out ? out : stderr, "FAILED %s: %s\n", what, strerror(errno));
}

static void list(int dir, const char *path)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;

	if (!d) {
		fail(path);
		return;
	}
	errno = 0;
	while ((e = readdir(d))) {
		char child[8192];
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
			fail(child);
			continue;
		}
		fprintf(out, "%ju %s\n", (uintmax_t)st.st_ino, child);
		names++;
		if (S_ISDIR(st.st_mode))
			list(openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), child);
		errno = 0;
	}
	if (errno)
		fail(path);
	closedir(d);
}

int main(void)
{
	int root;

	mkdir("/dev", 0755);
	mkdir("/mnt", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, "");
	load_all();
	for (int i = 0; i < 100 && access("/dev/vdb", R_OK | W_OK); i++)
		usleep(100000);
	out = fopen("/dev/vdb", "w");
	if (!out)
		fail("/dev/vdb");
	else if (mount("/dev/vda", "/mnt", "xfs", MS_RDONLY, ""))
		fail("mount");
	else if ((root = open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		fail("/mnt");
	else
		list(root, "");
	if (out) {
		fprintf(out, "END %lu\n", names);
		fflush(out);
		fsync(fileno(out));
		fclose(out);
	}
	umount("/mnt");
	reboot(RB_POWER_OFF);
	return 1;
}
