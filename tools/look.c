/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Looking at the filesystem
 *
 * Each way to look is one function over the readers in xfs/; what they read is the cache, into which the log was replayed or not.
 */
#include "look.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "extract.h"
#include "file.h"
#include "path.h"
#include "tree.h"

#define CHUNK (1u << 20)

static int show_tree(struct run *run, const struct xr_fs *fs, const struct xr_tree_start *start)
{
	struct xr_tree_result result;
	json_t *array;
	int ret;

	if (!run->report->json) {
		ret = xr_tree_print(fs, start, stdout, &result);
	} else {
		ret = xr_tree_json(fs, start, &array, &result);
		if (!ret)
			json_object_set_new(run->report->json, "tree", array);
	}
	if (!ret && result.skipped)
		xr_say(run->msg, XR_WARN, "%s: %" PRIu64 " damaged pieces were left out of the list", run->options->image,
		       result.skipped);
	return ret;
}

static int put_failed(const struct run *run)
{
	return xr_fail(run->msg, -EIO, "the file cannot be written to standard output: %s", strerror(errno));
}

/* Write [at, to), which holds data or nothing but zeros. */
static int copy_stretch(const struct run *run, const struct xr_file *file, uint8_t *chunk, uint64_t at, uint64_t to, bool data)
{
	int error = 0;

	if (!data)
		memset(chunk, 0, CHUNK);
	while (at < to && !error) {
		size_t size = to - at < CHUNK ? (size_t)(to - at) : CHUNK;

		error = data ? xr_file_read(file, chunk, size, at) : 0;
		if (!error && fwrite(chunk, 1, size, stdout) != size)
			error = put_failed(run);
		at += size;
	}
	return error;
}

static int cat_file(const struct run *run, const struct xr_file *file)
{
	uint8_t *chunk = malloc(CHUNK);
	uint64_t at = 0, from, to;
	int error = chunk ? 0 : xr_fail(run->msg, -ENOMEM, "no memory");

	while (at < file->size && !error) {
		if (!xr_file_data(file, at, &from, &to))
			from = to = file->size;
		error = copy_stretch(run, file, chunk, at, from, false);
		if (!error)
			error = copy_stretch(run, file, chunk, from, to, true);
		at = to;
	}
	free(chunk);
	if (!error && fflush(stdout))
		error = put_failed(run);
	return error;
}

static int cat(const struct run *run, const struct xr_fs *fs, const struct xr_inode *inode)
{
	struct xr_file file;
	int error;

	if (!S_ISREG(inode->mode))
		return xr_fail(run->msg, -EINVAL, "%s: no regular file, there is no content to show", run->options->path);
	error = xr_file_open(&file, fs, run_realtime(run), inode);
	if (!error)
		error = cat_file(run, &file);
	xr_file_close(&file);
	return error;
}

static void report_left_out(const struct run *run, uint64_t n, const char *what)
{
	if (n)
		xr_say(run->msg, XR_WARN, "%s: %" PRIu64 " %s", run->options->to, n, what);
}

static int extract(struct run *run, const struct xr_fs *fs, const struct xr_inode *inode, const char *path)
{
	const char *to = run->options->to;
	struct xr_extract_result r;
	int error = xr_extract(fs, run_realtime(run), inode, path, to, &r);

	if (!error || r.directories)
		xr_say(run->msg, XR_INFO,
		       "%s: %" PRIu64 " files with %" PRIu64 " bytes, %" PRIu64 " directories, %" PRIu64 " others", to, r.files,
		       r.bytes, r.directories, r.others);
	report_left_out(run, r.devices, "device nodes were left out, which only root may make");
	report_left_out(run, r.owners, "files could not be given to their owner, and have no setuid or setgid bits");
	report_left_out(run, r.attrs, "extended attributes could not be set, for lack of permission or of support by the target");
	if (run->report->json)
		json_object_set_new(run->report->json, "extracted",
				    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "files", (json_int_t)r.files, "bytes",
					      (json_int_t)r.bytes, "directories", (json_int_t)r.directories, "others",
					      (json_int_t)r.others, "lost", (json_int_t)r.lost, "left_out_devices",
					      (json_int_t)r.devices, "left_out_owners", (json_int_t)r.owners,
					      "left_out_attributes", (json_int_t)r.attrs));
	if (!error && r.lost)
		error = xr_fail(run->msg, -EUCLEAN, "%s: %" PRIu64 " files or parts of files were lost, as said above", to,
				r.lost);
	return error;
}

/* What begins at a path. */
static int look_at(struct run *run, const struct xr_fs *fs)
{
	struct xr_tree_start start = {.flat = true};
	struct xr_inode inode;
	char *path;
	int ret = xr_path_lookup(fs, run->options->path, &inode, &path);

	if (ret == -ENOMEM)
		return xr_fail(run->msg, ret, "no memory");
	if (ret)
		return ret;
	start.ino = inode.ino;
	start.path = path;
	if (run->options->look == LOOK_LS)
		ret = show_tree(run, fs, &start);
	else if (run->options->look == LOOK_CAT)
		ret = cat(run, fs, &inode);
	else
		ret = extract(run, fs, &inode, path);
	free(path);
	return ret;
}

int look(struct run *run, const struct xr_sb *sb)
{
	const struct xr_fs fs = {sb, run->cache, run->msg};

	xr_progress_clear(&run->report->progress);
	return run->options->path ? look_at(run, &fs) : show_tree(run, &fs, NULL);
}
