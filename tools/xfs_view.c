/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xfs_view: mount an unmounted XFS filesystem as it will be after recovery, read-only, without root
 *
 * The log is replayed in memory as for xfs_replay --tree; then FUSE asks, and viewops.c answers. Who answers is the process that replayed: views of
 * pages cannot be made in a child. So the process that goes to the background is made before anything else, and the first one waits only to hear
 * whether there is a mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "view.h"

enum { OFFSET = 256 };

struct call {
	struct options options;
	const char *mountpoint, *mount_options;
	bool foreground;
};

static const char help[] =
	"Usage: xfs_view [options] IMAGE DIR\n"
	"Mount the XFS filesystem on IMAGE, as it will be after its log was replayed, read-only on DIR. IMAGE is not changed.\n"
	"Unmount it with fusermount3 -u DIR.\n"
	"\n"
	"  -f             stay in the foreground, and say there what is damaged\n"
	"  -l LOGDEV      the log is on this device\n"
	"  -o OPTIONS     of FUSE, as in mount.fuse3(8): allow_other, ...\n"
	"  -r RTDEV       the realtime section is on this device\n"
	"  --offset BYTES the filesystem begins there in IMAGE; suffixes k, m, g, t, or s for sectors of 512 bytes\n"
	"  -v             say what was replayed\n"
	"  -h, --help     this text\n"
	"  -V, --version  the version\n";

static int wrong(const char *what)
{
	fprintf(stderr, "xfs_view: %s; try xfs_view -h\n", what);
	return -1;
}

/* As options_parse(). */
static int parse(struct call *call, int argc, char **argv)
{
	static const struct option longs[] = {{"offset", required_argument, NULL, OFFSET},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {NULL, 0, NULL, 0}};
	struct options *o = &call->options;
	char unknown[160];
	int c;

	*call = (struct call){.options = {.program = "xfs_view", .dry_run = true, .look = LOOK_TREE}};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":fl:o:r:vhV", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			call->foreground = true;
			break;
		case 'l':
			o->logdev = optarg;
			break;
		case 'o':
			if (call->mount_options)
				return wrong("-o once, please: its options are separated by commas");
			call->mount_options = optarg;
			break;
		case 'r':
			o->rtdev = optarg;
			break;
		case 'v':
			o->verbose = true;
			break;
		case OFFSET:
			if (!options_bytes(optarg, &o->offset))
				return wrong("--offset needs a multiple of 512");
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		case 'V':
			puts("xfs_view version " XR_VERSION);
			return 1;
		default:
			options_unknown(c, argv, unknown, sizeof(unknown));
			return wrong(unknown);
		}
	}
	if (optind != argc - 2)
		return wrong("name an image and a directory");
	o->image = argv[optind];
	call->mountpoint = argv[optind + 1];
	return 0;
}

/* Asked before the work: FUSE would mount on a file, too. */
static int check_mountpoint(const char *name, const struct xr_msg *msg)
{
	struct stat st;

	if (stat(name, &st))
		return xr_fail(msg, -errno, "%s: cannot be mounted on: %s", name, strerror(errno));
	return S_ISDIR(st.st_mode) ? 0 : xr_fail(msg, -ENOTDIR, "%s: cannot be mounted on: name a directory", name);
}

/* Open the image and replay its log, if there is something in it, in memory. */
static int recover(struct view *view, const struct options *options, struct report *report)
{
	struct run *run = &view->run;
	int ret = run_open(run, options, report);

	view->fs = (struct xr_fs){&run->sb, run->cache, run->msg};
	view->rt = run_realtime(run);
	run->log.to_be_walked = true;
	if (!ret)
		ret = xr_head_find(&run->log, &run->head);
	if (ret || run->head.clean || run->head.empty)
		return ret;
	ret = run_replay(run);
	if (!ret)
		ret = run_complete(run);
	view->fs.sb = &run->replay.sb;
	xr_progress_clear(&report->progress);
	return ret;
}

/* Without its root nothing of a filesystem can be reached: better no mount than one that only fails. */
static int check_root(const struct view *view)
{
	struct xr_inode root;

	return xr_inode_read(&view->fs, view->fs.sb->rootino, &root);
}

/* The options for FUSE: what a read-only view of somebody else's disk needs comes first, so that the user's override it. */
static int mount_args(const struct call *call, struct fuse_args *args)
{
	bool others = call->mount_options && strstr(call->mount_options, "allow_");
	char *option;
	int failed;

	/* Alone, the user may read everything, as with the image itself; others only what the modes allow. */
	if (asprintf(&option, "-oro,nosuid,nodev,subtype=xfs_view%s%s%s", others ? ",default_permissions" : "",
		     call->mount_options ? "," : "", call->mount_options ? call->mount_options : "") < 0)
		return -ENOMEM;
	failed = fuse_opt_add_arg(args, "xfs_view") || fuse_opt_add_arg(args, option);
	free(option);
	return failed ? -ENOMEM : 0;
}

/* Go on in a child. The first process ends here: with 0 when the child is ready(), with 1 when it ends before. */
static int begin_in_background(const struct xr_msg *msg, int *tell)
{
	int ends[2];
	pid_t child;
	char byte;

	if (pipe2(ends, O_CLOEXEC))
		return xr_fail(msg, -errno, "cannot go to the background: %s; -f stays in the foreground", strerror(errno));
	child = fork();
	if (child < 0)
		return xr_fail(msg, -errno, "cannot go to the background: %s; -f stays in the foreground", strerror(errno));
	if (child) {
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(ends[0]);
	*tell = ends[1];
	return 0;
}

/* There is a mount: leave the terminal, and let the first process end. */
static int ready(int tell)
{
	int null;

	if (tell < 0)
		return 0;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || fflush(stdout) || setsid() < 0 || chdir("/"))
		return -errno;
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	close(null);
	return write(tell, "", 1) == 1 && !close(tell) ? 0 : -errno;
}

static int serve(struct view *view, const struct call *call, int tell)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session = NULL;
	int ret = mount_args(call, &args);

	if (!ret) {
		session = fuse_session_new(&args, &view_operations, sizeof(view_operations), view);
		ret = session && !fuse_set_signal_handlers(session) ? 0 : -EINVAL;
	}
	if (!ret && !fuse_session_mount(session, call->mountpoint)) {
		ret = ready(tell);
		if (!ret)
			ret = fuse_session_loop(session) < 0 ? -EIO : 0;
		fuse_session_unmount(session);
	} else if (!ret) {
		ret = -EIO; /* said by libfuse */
	}
	if (session) {
		fuse_remove_signal_handlers(session);
		fuse_session_destroy(session);
	}
	fuse_opt_free_args(&args);
	return ret;
}

int main(int argc, char **argv)
{
	struct view *view = calloc(1, sizeof(*view));
	struct report report;
	struct call call;
	int tell = -1, ret = parse(&call, argc, argv);

	if (ret || !view) {
		free(view);
		return ret > 0 ? 0 : 1;
	}
	report_init(&report, &call.options);
	report.msg.verbosity = call.options.verbose ? XR_DETAIL : XR_WARN;
	ret = check_mountpoint(call.mountpoint, &report.msg);
	if (!ret && !call.foreground)
		ret = begin_in_background(&report.msg, &tell);
	if (ret) {
		free(view);
		return 1;
	}
	ret = recover(view, &call.options, &report);
	if (!ret)
		ret = check_root(view);
	if (!ret)
		ret = serve(view, &call, tell);
	run_close(&view->run);
	free(view);
	return ret != 0;
}
