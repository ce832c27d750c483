/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Copying an image
 *
 * Images are mostly holes, and often on filesystems that can share blocks, so the ways to copy are tried from the cheapest on.
 * The destination starts as one hole of the full size: what is not written reads as zeros, in every method. A way that turns
 * out to be unsupported in the middle leaves what it copied and the next goes on from there.
 *
 * The name OUT appears by a rename that refuses to replace: nobody's file is overwritten, and no half recovered image is ever
 * called OUT.
 */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (1u << 20)
#define BLOCK 4096u /* zeros are left out in this unit */
#define SUFFIX ".xfs_replay-XXXXXX"

struct job {
	struct xr_copy *copy;
	const struct xr_dev *from;
	struct xr_progress *progress;
	uint8_t *chunk;
};

static int fail(const struct xr_copy *copy, int error, const char *what)
{
	return xr_fail(copy->msg, -error, "%s: %s: %s", copy->out, what, strerror(error));
}

static bool clone_all(const struct job *job)
{
	struct file_clone_range range = {.src_fd = job->from->fd, .src_offset = job->from->start};

	/* A length of 0 means up to the end, wherever that lies in its block. Any failure is only one to share blocks. */
	if (ioctl(job->copy->fd, FICLONERANGE, &range) != 0)
		return false;
	/* Cut off what the file has behind the end of the device. */
	return ftruncate(job->copy->fd, (off_t)job->from->size) == 0;
}

/*
 * [*at, *end): the next piece from *at on that is not a hole; *at is size when there is none. Where holes are unknown,
 * everything.
 */
static void next_piece(const struct xr_dev *from, uint64_t *at, uint64_t *end)
{
	off_t data = lseek(from->fd, (off_t)(from->start + *at), SEEK_DATA), hole;

	*end = from->size;
	if (data < 0 && errno == ENXIO) {
		*at = from->size;
		return;
	}
	if (data < 0)
		return;
	*at = (uint64_t)data - from->start < from->size ? (uint64_t)data - from->start : from->size;
	hole = lseek(from->fd, data, SEEK_HOLE);
	if (hole >= 0 && (uint64_t)hole - from->start < from->size)
		*end = (uint64_t)hole - from->start;
}

static bool is_zero(const uint8_t *p, size_t size)
{
	return size == 0 || (p[0] == 0 && !memcmp(p, p + 1, size - 1));
}

static int write_all(const struct job *job, const uint8_t *p, size_t size, uint64_t at)
{
	while (size) {
		ssize_t n = pwrite(job->copy->fd, p, size, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(job->copy, n < 0 ? errno : EIO, "the copy cannot be written");
		p += n;
		size -= (size_t)n;
		at += (uint64_t)n;
		job->copy->bytes += (uint64_t)n;
	}
	return 0;
}

/* Write what is not zero of a chunk, neighbouring blocks at once. */
static int write_sparse(const struct job *job, size_t size, uint64_t at)
{
	size_t begin = 0, i = 0;
	int error = 0;

	while (i < size && !error) {
		size_t step = size - i < BLOCK ? size - i : BLOCK;

		if (is_zero(job->chunk + i, step)) {
			error = write_all(job, job->chunk + begin, i - begin, at + begin);
			begin = i + step;
		}
		i += step;
	}
	return error ? error : write_all(job, job->chunk + begin, size - begin, at + begin);
}

/* Copy one step of [at, end); *n bytes are done then. */
static int copy_step(const struct job *job, uint64_t at, uint64_t end, size_t *n)
{
	size_t size = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
	int error;

	if (job->copy->method == XR_COPY_RANGE) {
		off_t in = (off_t)(job->from->start + at), out = (off_t)at;
		ssize_t got = copy_file_range(job->from->fd, &in, job->copy->fd, &out, size, 0);

		if (got > 0) {
			*n = (size_t)got;
			job->copy->bytes += (uint64_t)got;
			return 0;
		}
		/* Not for these files, or a real error: then reading or writing meets it again, and can say where. */
		job->copy->method = XR_COPY_READ;
	}
	*n = size;
	error = xr_dev_read(job->from, job->chunk, size, at);
	return error ? error : write_sparse(job, size, at);
}

static int copy_pieces(const struct job *job)
{
	uint64_t at = 0, end;
	size_t n;
	int error = 0;

	if (ftruncate(job->copy->fd, (off_t)job->from->size))
		return fail(job->copy, errno, "the copy cannot be made as large as the image");
	while (at < job->from->size && !error) {
		next_piece(job->from, &at, &end);
		while (at < end && !error) {
			error = copy_step(job, at, end, &n);
			if (!error)
				at += n;
			xr_progress_show(job->progress, "copying", at, job->from->size);
		}
	}
	return error;
}

static int copy_all(struct xr_copy *copy, const struct xr_dev *from, struct xr_progress *progress)
{
	struct job job = {.copy = copy, .from = from, .progress = progress};
	int error;

	if (copy->method == XR_COPY_CLONE) {
		if (clone_all(&job))
			return 0;
		copy->method = XR_COPY_RANGE;
	}
	job.chunk = malloc(CHUNK);
	if (!job.chunk)
		return fail(copy, ENOMEM, "the image cannot be copied");
	error = copy_pieces(&job);
	free(job.chunk);
	return error;
}

/* Make the temporary file: nobody but us may look at it, or write to it, while it is not finished. */
static int create(struct xr_copy *copy)
{
	struct stat st;

	if (!lstat(copy->out, &st))
		return xr_fail(copy->msg, -EEXIST, "%s: exists already: choose another name, or delete it first", copy->out);
	if (errno != ENOENT)
		return fail(copy, errno, "the copy cannot be made");
	if (asprintf(&copy->temp, "%s" SUFFIX, copy->out) < 0) {
		copy->temp = NULL;
		return fail(copy, ENOMEM, "the copy cannot be made");
	}
	copy->fd = mkostemp(copy->temp, O_CLOEXEC);
	return copy->fd < 0 ? fail(copy, errno, "the copy cannot be made") : 0;
}

/* A file that has become shorter reads like a hole at its end, by every method: that would be no copy of it. */
static int check_length(const struct xr_copy *copy, const struct xr_dev *from)
{
	struct stat st;

	if (fstat(from->fd, &st))
		return fail(copy, errno, "the image cannot be examined");
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < from->start + from->size)
		return xr_fail(copy->msg, -EIO, "%s: became shorter while it was copied: somebody else writes to it", from->name);
	return 0;
}

int xr_copy_begin(struct xr_copy *copy, const struct xr_dev *from, const char *out, enum xr_copy_method first,
		  struct xr_progress *progress, const struct xr_msg *msg)
{
	struct stat st;
	int error;

	*copy = (struct xr_copy){.fd = -1, .mode = S_IRUSR | S_IWUSR, .method = first, .msg = msg};
	copy->out = strdup(out);
	if (!copy->out)
		return xr_fail(msg, -ENOMEM, "%s: %s", out, strerror(ENOMEM));
	if (!fstat(from->fd, &st) && S_ISREG(st.st_mode))
		copy->mode = st.st_mode & 0777;
	error = create(copy);
	if (!error)
		error = copy_all(copy, from, progress);
	if (!error)
		error = check_length(copy, from);
	xr_progress_clear(progress);
	if (error)
		xr_copy_abort(copy);
	return error;
}

/* Rename without replacing, also where the filesystem can only do it in two steps (NFS). */
static int give_name(const struct xr_copy *copy)
{
	if (!renameat2(AT_FDCWD, copy->temp, AT_FDCWD, copy->out, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return link(copy->temp, copy->out) ? -1 : unlink(copy->temp);
}

static void done(struct xr_copy *copy)
{
	if (copy->fd >= 0)
		close(copy->fd);
	free(copy->temp);
	free(copy->out);
	copy->temp = copy->out = NULL;
	copy->fd = -1;
}

int xr_copy_commit(struct xr_copy *copy)
{
	int error = 0;

	if (fchmod(copy->fd, copy->mode) || fsync(copy->fd))
		error = fail(copy, errno, "the finished copy cannot be brought to stable storage");
	else if (give_name(copy))
		error = fail(copy, errno, "the finished copy cannot get its name and is given up");
	if (error) {
		xr_copy_abort(copy);
		return error;
	}
	error = xr_dev_sync_name(copy->out);
	if (error)
		xr_say(copy->msg, XR_WARN, "%s: finished, but its directory could not be synced: %s", copy->out,
		       strerror(-error));
	done(copy);
	return 0;
}

void xr_copy_abort(struct xr_copy *copy)
{
	if (!copy->out)
		return;
	if (copy->fd >= 0)
		unlink(copy->temp);
	done(copy);
}

const char *xr_copy_method_name(enum xr_copy_method method)
{
	static const char *const names[] = {"reflink", "copy_file_range", "read and write"};

	return names[method];
}
