/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The window on the log
 *
 * The window holds one run of the log: held blocks from log block first on, the first of them in memory slot base. Slots count
 * modulo the window's length, log blocks modulo the log's, and the two have nothing to do with each other: both wraps are hidden
 * by the second mapping of the pages, which lets a run that begins in any slot go on past the last one.
 *
 * A request behind or inside the run extends it, dropping blocks from its front as room is needed, with one large pread that
 * also reads ahead; any other request begins a new run and reads nothing more than was asked, so that a binary search does
 * not drag a megabyte along with each probe. Memory is the window, however long the log is.
 */
#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmap/linux.h>

#define AHEAD_BBS (1u << 11) /* 1 MiB */
_Static_assert(XR_RING_KEEP_BBS + XR_RING_TAKE_BBS + AHEAD_BBS <= XR_RING_BBS, "what is read ahead leaves alone what is kept");
#define PAGE_ORDER 4

struct xr_ring {
	struct vmap_process *process;
	uint8_t *view; /* 2 * XR_RING_BYTES: the pages, and the same pages again */
	uint32_t room; /* blocks the run may have: the window's length or the log's */
	uint32_t first, base, held;
};

static int map_twice(struct xr_ring *ring, size_t n, struct vmap_page **pages)
{
	const struct vmap_options options = {.tag = "log window"};
	void *view;
	int error = vmap_page_alloc(ring->process, PAGE_ORDER, n, pages);

	if (error)
		return error;
	memcpy(pages + n, pages, n * sizeof(*pages));
	error = vmap_pages(vmap_process_space(ring->process), pages, 2 * n, &options, &view);
	/* The area has its own references now; without one the pages go. */
	vmap_page_put(ring->process, pages, n);
	if (!error)
		ring->view = view;
	return error;
}

int xr_ring_create(struct xr_ring **out, const struct xr_log *log, struct vmap_process *process)
{
	size_t n = XR_RING_BYTES / ((size_t)sysconf(_SC_PAGESIZE) << PAGE_ORDER);
	struct vmap_page **pages = calloc(2 * n, sizeof(*pages));
	struct xr_ring *ring = calloc(1, sizeof(*ring));
	int error = -ENOMEM;

	if (pages && ring) {
		ring->process = process;
		ring->room = log->bbs < XR_RING_BBS ? log->bbs : XR_RING_BBS;
		error = map_twice(ring, n, pages) ? -ENOMEM : 0;
	}
	free(pages);
	if (error) {
		free(ring);
		return error;
	}
	*out = ring;
	return 0;
}

void xr_ring_destroy(struct xr_ring *ring)
{
	if (!ring)
		return;
	vmap_unmap(vmap_process_space(ring->process), ring->view);
	free(ring);
}

/* The blocks from block on until the log's end, at most count. */
static uint32_t until_end(const struct xr_log *log, uint32_t block, uint32_t count)
{
	return count < log->bbs - block ? count : log->bbs - block;
}

static uint64_t byte_of(const struct xr_log *log, uint32_t block)
{
	return (log->daddr + block) << XR_BB_SHIFT;
}

static void say_nothing(void *arg, enum xr_level level, const char *text)
{
	(void)arg;
	(void)level;
	(void)text;
}

/* Read count blocks from log block block on to p. Says nothing: it may be tried again with less. */
static int read_run(const struct xr_log *log, uint32_t block, uint32_t count, uint8_t *p)
{
	const struct xr_msg quiet = {.emit = say_nothing};
	struct xr_dev dev = *log->dev;
	int error = 0;

	dev.msg = &quiet;
	while (!error && count) {
		uint32_t n = until_end(log, block, count);
		error = xr_dev_read(&dev, p, (size_t)n << XR_BB_SHIFT, byte_of(log, block));
		p += (size_t)n << XR_BB_SHIFT;
		block = xr_log_add(log, block, n);
		count -= n;
	}
	return error;
}

/* A large read failed: read what is really needed, block by block, and name the first one that cannot be read. */
static int read_carefully(const struct xr_log *log, uint32_t block, uint32_t count, uint8_t *p)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t b = xr_log_add(log, block, i);
		int error = read_run(log, b, 1, p + ((size_t)i << XR_BB_SHIFT));
		if (error)
			return xr_fail(log->msg, -EIO, "log block %u: cannot read (%s, byte %llu): %s", b, log->dev->name,
				       (unsigned long long)byte_of(log, b), strerror(-error));
	}
	return 0;
}

/* Make the run reach need blocks (want, where that can be read) from its first; neither is more than room. */
static int extend(const struct xr_log *log, uint32_t need, uint32_t want)
{
	struct xr_ring *ring = log->ring;
	uint32_t block = xr_log_add(log, ring->first, ring->held);
	uint8_t *p = ring->view + (((size_t)ring->base + ring->held) % XR_RING_BBS << XR_BB_SHIFT);
	int error;

	if (!read_run(log, block, want - ring->held, p)) {
		ring->held = want;
		return 0;
	}
	error = read_carefully(log, block, need - ring->held, p);
	if (!error)
		ring->held = need;
	return error;
}

static void drop_front(const struct xr_log *log, uint32_t count)
{
	struct xr_ring *ring = log->ring;

	ring->first = xr_log_add(log, ring->first, count);
	ring->base = (ring->base + count) % XR_RING_BBS;
	ring->held -= count;
}

int xr_ring_peek(const struct xr_log *log, uint32_t block, uint32_t count, uint8_t **p)
{
	struct xr_ring *ring = log->ring;
	uint32_t at, want;
	int error = 0;

	if (!count || count > ring->room || block >= log->bbs)
		return -EINVAL;
	at = xr_log_distance(log, ring->first, block);
	if (at > ring->held) {
		ring->first = block;
		ring->base = ring->held = at = 0;
		want = count;
	} else {
		want = at + count + AHEAD_BBS;
	}
	if (at + count > ring->held) {
		uint32_t limit = at + ring->room;
		if (want > limit)
			want = limit;
		if (want > ring->room) {
			/* Only blocks before the wanted ones go, for want <= at + room. */
			uint32_t drop = want - ring->room;
			drop_front(log, drop);
			at -= drop;
			want -= drop;
		}
		error = extend(log, at + count, want);
	}
	*p = ring->view + (((size_t)ring->base + at) % XR_RING_BBS << XR_BB_SHIFT);
	return error;
}

int xr_ring_take(const struct xr_log *log, uint32_t block, uint32_t count, uint8_t **p)
{
	int error = xr_ring_peek(log, block, count, p);

	if (!error)
		drop_front(log, xr_log_distance(log, log->ring->first, block) + count);
	return error;
}

void xr_ring_forget(struct xr_ring *ring)
{
	ring->held = 0;
}
