// SPDX-License-Identifier: MIT
/*
 * Theory: the kernel can read a file into chunks that lie anywhere (readv(), io_uring), but whoever parses it wants one piece. So the list
 * of chunks is used twice: as the iovec of the read, and as the list that vmap_iov() makes one view of. No byte is copied in between.
 *
 *     reader FILE     the number of its lines, which are counted in the view
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vmap/view.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#define IOV 256 /* chunks a call: less than any system's IOV_MAX */

/* One read of some chunks at offset. How many bytes; negative: failed. */
#ifdef HAVE_LIBURING
static ssize_t ring_read(struct io_uring *ring, int fd, const struct iovec *iov, unsigned n, off_t offset)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	ssize_t got;

	io_uring_prep_readv(sqe, fd, iov, n, (__u64)offset);
	if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &cqe))
		return -1;
	got = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return got;
}
#endif

/* All chunks full, or an error. Where the system has no io_uring, or forbids it, with preadv(). */
static const char *read_all(int fd, const struct iovec *iov, size_t n, size_t chunk)
{
	const char *how = "preadv";
#ifdef HAVE_LIBURING
	struct io_uring ring;
	int uring = !io_uring_queue_init(1, &ring, 0);

	if (uring)
		how = "io_uring";
#endif
	for (size_t i = 0; i < n;) {
		size_t count = n - i < IOV ? n - i : IOV;
		off_t at = (off_t)(i * chunk);
		ssize_t got;

#ifdef HAVE_LIBURING
		got = uring ? ring_read(&ring, fd, iov + i, (unsigned)count, at) : preadv(fd, iov + i, (int)count, at);
#else
		got = preadv(fd, iov + i, (int)count, at);
#endif
		/* Less than all is the end, or is taken up again at the next whole chunk. */
		if (got < 0 || (i + count < n && got < (ssize_t)chunk)) {
			how = NULL;
			break;
		}
		i = i + count == n ? n : i + (size_t)got / chunk;
	}
#ifdef HAVE_LIBURING
	if (uring)
		io_uring_queue_exit(&ring);
#endif
	return how;
}

static size_t count_lines(const char *text, size_t size)
{
	size_t lines = 0;

	for (const char *at = text; (at = memchr(at, '\n', size - (size_t)(at - text))); at++)
		lines++;
	return lines;
}

int main(int argc, char **argv)
{
	const size_t chunk = 65536;
	struct vmap_process *process;
	struct vmap_page **pages;
	struct vmap_view view;
	struct iovec *iov;
	const char *how;
	struct stat st;
	size_t n;
	int fd;

	fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0 || fstat(fd, &st) || st.st_size <= 0 || vmap_process_create(NULL, &process)) {
		fprintf(stderr, "usage: reader FILE, one that is not empty\n");
		return 2;
	}
	n = ((size_t)st.st_size + chunk - 1) / chunk;
	pages = calloc(n, sizeof(struct vmap_page *));
	iov = calloc(n, sizeof(*iov));
	if (!pages || !iov || vmap_page_alloc(process, VMAP_ORDER_DEFAULT, n, pages))
		return 1;
	/* Backwards: as scattered as can be. */
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){vmap_page_address(process, pages[n - 1 - i]), chunk};
	how = read_all(fd, iov, n, chunk);
	if (!how || vmap_iov(process, iov, n, &(struct vmap_options){.prot = VMAP_READ}, 0, &view)) {
		fprintf(stderr, "reader: %s: it cannot be read, or not be shown\n", argv[1]);
		return 1;
	}
	printf("%zu lines, read with %s into %zu chunks\n", count_lines(view.addr, (size_t)st.st_size), how, n);

	if (vmap_view_end(process, &view))
		return 1;
	vmap_page_put(process, pages, n);
	free(iov);
	free(pages);
	close(fd);
	return vmap_process_destroy(process) != 0;
}
