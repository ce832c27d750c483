/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only program of the test machine (machine.sh): loads every module in /modules, then does what /script says, a line at a time, and
 * powers off. What there is to say goes to the first disk.
 *
 *   mount DEVICE OPTIONS    on /mnt, as XFS; options: ro or rw, and what XFS understands
 *   unmount
 *   list                    every name below /mnt, "INO PATH" a line
 *   quota DEVICE            every dquot that is not empty: type, id, blocks of 512 bytes, of realtime ones, inodes
 *   run PROGRAM ARGUMENT... its output goes to the first disk, too
 *   log                     what the kernel said of XFS since the last time
 *   say TEXT
 *
 * What goes wrong is a line that begins with FAILED; the script goes on. The last line is END: without it the output is not whole.
 *
 * The order in which modules depend on each other is not known here: they are tried again while one more gets in.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/quota.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/dqblk_xfs.h>

#define MODULES 32
#define ARGUMENTS 16

static FILE *out;
static int kmsg;

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
		if (S_ISDIR(st.st_mode))
			list(openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), child);
		errno = 0;
	}
	if (errno)
		fail(path);
	closedir(d);
}

static void mount_image(const char *device, char *options)
{
	char rest[256] = "";
	unsigned long flags = 0;

	for (char *o = strtok(options, ","); o; o = strtok(NULL, ",")) {
		if (!strcmp(o, "ro"))
			flags |= MS_RDONLY;
		else if (strcmp(o, "rw") != 0)
			snprintf(rest + strlen(rest), sizeof(rest) - strlen(rest), "%s%s", *rest ? "," : "", o);
	}
	if (mount(device, "/mnt", "xfs", flags, rest))
		fail(device);
}

static void quotas(const char *device)
{
	static const char *const names[] = {"user", "group", "project"};

	for (int type = 0; type < 3; type++) {
		struct fs_disk_quota q = {0};

		for (uint32_t id = 0; !quotactl(QCMD(Q_XGETNEXTQUOTA, type), device, (int)id, (void *)&q); id = q.d_id + 1) {
			fprintf(out, "%s %u: %llu %llu %llu\n", names[type], q.d_id, (unsigned long long)q.d_bcount,
				(unsigned long long)q.d_rtbcount, (unsigned long long)q.d_icount);
			if (q.d_id == UINT32_MAX)
				break;
		}
		if (errno != ENOENT && errno != ESRCH && errno != EINVAL)
			fail("quota");
	}
}

static void run(char **argv)
{
	int status = -1;
	pid_t child;

	fflush(out);
	child = fork();
	if (!child) {
		dup2(fileno(out), 1);
		dup2(fileno(out), 2);
		execv(argv[0], argv);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || status)
		fprintf(out, "FAILED %s: status %#x\n", argv[0], status);
}

/* A record of the kernel's log is "NUMBERS;TEXT". Where some were lost, before they could be read, those that are left come next. */
static void say_log(void)
{
	char record[8192];
	ssize_t n;

	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		const char *text;

		record[n > 0 ? n : 0] = 0;
		text = strchr(record, ';');
		if (text && strstr(text, "XFS ("))
			fprintf(out, "kernel: %.*s\n", (int)strcspn(text + 1, "\n"), text + 1);
	}
}

static void do_line(char *line)
{
	char *argv[ARGUMENTS + 1] = {NULL};
	int argc = 0;

	line[strcspn(line, "\n")] = 0;
	if (!strncmp(line, "say ", 4)) {
		fprintf(out, "%s\n", line + 4);
		return;
	}
	for (char *word = strtok(line, " "); word && argc < ARGUMENTS; word = strtok(NULL, " "))
		argv[argc++] = word;
	if (argc == 3 && !strcmp(argv[0], "mount"))
		mount_image(argv[1], argv[2]);
	else if (argc == 1 && !strcmp(argv[0], "unmount"))
		umount("/mnt") ? fail("unmount") : (void)0;
	else if (argc == 1 && !strcmp(argv[0], "list"))
		list(open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "");
	else if (argc == 2 && !strcmp(argv[0], "quota"))
		quotas(argv[1]);
	else if (argc > 1 && !strcmp(argv[0], "run"))
		run(argv + 1);
	else if (argc == 1 && !strcmp(argv[0], "log"))
		say_log();
	else
		fprintf(out, "FAILED: no such line in a script: %s\n", line);
}

int main(void)
{
	char line[1024];
	FILE *script = fopen("/script", "r");

	mkdir("/dev", 0755);
	mkdir("/mnt", 0755);
	mkdir("/proc", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, "");
	mount("proc", "/proc", "proc", 0, "");
	load_all();
	for (int i = 0; i < 100 && access("/dev/vda", R_OK | W_OK); i++)
		usleep(100000);
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	out = fopen("/dev/vda", "w");
	if (!out)
		fail("/dev/vda");
	while (out && script && fgets(line, sizeof(line), script))
		do_line(line);
	if (out) {
		fprintf(out, "END\n");
		fflush(out);
		fsync(fileno(out));
		fclose(out);
	}
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
