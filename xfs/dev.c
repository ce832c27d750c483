/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Images and block devices
 *
 * One loop reads and writes: it takes up again after a signal or a short transfer, and knows the byte it got to,
 * which is what the message about a bad sector names. Every range is checked against the size seen at open, so that a wild
 * address is an error here, not a file that grows.
 */
#include "dev.h"
#include "shadow.h"
#include "undo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int dev_size(const struct xr_dev *dev, const struct stat *st, uint64_t *size)
{
	if (S_ISBLK(st->st_mode))
		return ioctl(dev->fd, BLKGETSIZE64, size) ? -errno : 0;
	*size = (uint64_t)st->st_size;
	return 0;
}

/* What the kernel lets be opened for writing all the same, and refuses to write to. */
static bool write_protected(const struct xr_dev *dev, const struct stat *st)
{
	int read_only = 0;

	return S_ISBLK(st->st_mode) && !ioctl(dev->fd, BLKROGET, &read_only) && read_only;
}

int xr_dev_open(struct xr_dev *dev, const char *name, bool writable, const struct xr_msg *msg)
{
	int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC;
	struct stat st;
	int error;

	*dev = (struct xr_dev){.fd = -1, .name = name, .writable = writable, .msg = msg};
	/* Looked at before it is opened: opening can act (a FIFO blocks), and O_EXCL has a meaning for block devices only. */
	if (stat(name, &st))
		return xr_fail(msg, -errno, "%s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return xr_fail(msg, -EINVAL, "%s: neither a regular file nor a block device: name an image or a device", name);
	if (writable && S_ISBLK(st.st_mode))
		flags |= O_EXCL;
	dev->fd = open(name, flags);
	if (dev->fd < 0 && errno == EBUSY)
		return xr_fail(msg, -EBUSY, "%s: in use (mounted, or part of another device): unmount it first", name);
	if (dev->fd < 0)
		return xr_fail(msg, -errno, "%s: cannot open for %s: %s", name, writable ? "writing" : "reading",
			       strerror(errno));
	error = fstat(dev->fd, &st) ? -errno : dev_size(dev, &st, &dev->size);
	if (error) {
		xr_dev_close(dev);
		return xr_fail(msg, error, "%s: cannot tell its size: %s", name, strerror(-error));
	}
	if (writable && write_protected(dev, &st)) {
		xr_dev_close(dev);
		return xr_fail(msg, -EROFS, "%s: is a read-only device: -n, --tree, --extract and --output do not write to it",
			       name);
	}
	return 0;
}

void xr_dev_close(struct xr_dev *dev)
{
	if (dev->fd >= 0)
		close(dev->fd);
	dev->fd = -1;
}

int xr_dev_window(struct xr_dev *dev, uint64_t start, uint64_t size)
{
	if (start % XR_BB || size % XR_BB)
		return xr_fail(dev->msg, -EINVAL, "%s: a filesystem begins and ends at a multiple of %u bytes", dev->name, XR_BB);
	if (start >= dev->size || size > dev->size - start)
		return xr_fail(dev->msg, -EINVAL, "%s: ends at byte %" PRIu64 ", before what is looked for: is the offset right?",
			       dev->name, dev->size);
	dev->size = size ? size : dev->size - start;
	dev->start += start;
	return 0;
}

static int dev_check(const struct xr_dev *dev, size_t size, uint64_t offset)
{
	if (offset <= dev->size && size <= dev->size - offset)
		return 0;
	return xr_fail(dev->msg, -EIO, "%s: %zu bytes at byte %" PRIu64 " lie beyond its end at %" PRIu64 ": is it cut short?",
		       dev->name, size, offset, dev->size);
}

static int dev_failed(const struct xr_dev *dev, const char *what, uint64_t offset, ssize_t n, int error)
{
	if (n == 0)
		return xr_fail(dev->msg, -EIO, "%s: %s at byte %" PRIu64 ": nothing transferred: has it become shorter?",
			       dev->name, what, offset);
	return xr_fail(dev->msg, -EIO, "%s: %s at byte %" PRIu64 ": %s", dev->name, what, offset, strerror(error));
}

/* Cut the done bytes off the front of the n pieces; returns how many pieces are used up. */
static int advance(struct iovec *iov, int n, size_t done)
{
	int i = 0;

	for (; i < n && done >= iov[i].iov_len; i++)
		done -= iov[i].iov_len;
	if (i < n) {
		iov[i].iov_base = (char *)iov[i].iov_base + done;
		iov[i].iov_len -= done;
	}
	return i;
}

/* How many of the pieces have the first size bytes, which are not more than all; the last of them is shortened to that, by *cut. */
static int first_pieces(struct iovec *iov, size_t size, size_t *cut)
{
	int i = 0;

	for (; size > iov[i].iov_len; i++)
		size -= iov[i].iov_len;
	*cut = iov[i].iov_len - size;
	iov[i].iov_len = size;
	return i + 1;
}

static int shadow_full(const struct xr_dev *dev, int error)
{
	return xr_fail(dev->msg, -EIO,
		       "%s: the blocks that its log changes cannot be kept in a temporary file: %s: name a folder with TMPDIR",
		       dev->name, strerror(error));
}

static int transfer(const struct xr_dev *dev, struct iovec *iov, int n, uint64_t offset, bool write)
{
	const char *what = write ? "cannot write" : "cannot read";
	size_t size = 0;
	int error;

	for (int i = 0; i < n; i++)
		size += iov[i].iov_len;
	error = dev_check(dev, size, offset);
	if (!error && write && dev->undo)
		error = xr_undo_keep(dev->undo, dev, offset, size);
	if (!error && write && dev->undo)
		error = xr_undo_sync(dev->undo);
	for (int i = advance(iov, n, 0); !error && i < n;) {
		struct xr_place place = {dev->fd, dev->start + offset, size};
		size_t cut;
		ssize_t done;
		int m;

		if (dev->shadow)
			error = xr_shadow_place(dev->shadow, offset, size, write, &place);
		if (error)
			break;
		m = first_pieces(iov + i, place.size, &cut);
		done = write ? pwritev(place.fd, iov + i, m, (off_t)place.at) : preadv(place.fd, iov + i, m, (off_t)place.at);
		iov[i + m - 1].iov_len += cut;
		if (done > 0) {
			i += advance(iov + i, n - i, (size_t)done);
			offset += (uint64_t)done;
			size -= (size_t)done;
		} else if (done == 0 || errno != EINTR) {
			error = write && dev->shadow ? shadow_full(dev, errno) : dev_failed(dev, what, offset, done, errno);
		}
	}
	return error;
}

int xr_dev_readv(const struct xr_dev *dev, struct iovec *iov, int n, uint64_t offset)
{
	return transfer(dev, iov, n, offset, false);
}

int xr_dev_writev(const struct xr_dev *dev, struct iovec *iov, int n, uint64_t offset)
{
	return transfer(dev, iov, n, offset, true);
}

int xr_dev_read(const struct xr_dev *dev, void *to, size_t size, uint64_t offset)
{
	struct iovec iov = {to, size};

	return transfer(dev, &iov, 1, offset, false);
}

int xr_dev_write(const struct xr_dev *dev, const void *from, size_t size, uint64_t offset)
{
	/* An iovec has no const; a write does not change what it points to. */
	struct iovec iov = {(void *)(uintptr_t)from, size};

	return transfer(dev, &iov, 1, offset, true);
}

int xr_dev_announce(const struct xr_dev *dev, uint64_t offset, size_t size)
{
	int error = dev->undo ? dev_check(dev, size, offset) : 0;

	return error || !dev->undo ? error : xr_undo_keep(dev->undo, dev, offset, size);
}

int xr_dev_flush(const struct xr_dev *dev)
{
	if (dev->shadow)
		return 0;
	/* fdatasync() leaves out only what is not needed to read the data back; on a block device it empties the write cache. */
	if (fdatasync(dev->fd))
		return xr_fail(dev->msg, -errno, "%s: cannot flush: %s: what was written may not be on the disk", dev->name,
			       strerror(errno));
	return 0;
}

int xr_dev_sync_name(const char *name)
{
	char *copy = strdup(name);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int error = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	free(copy);
	return error;
}
