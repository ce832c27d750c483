/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * usage: floor [--merged] IMAGE
 *
 * What recovering IMAGE's log would cost if there were nothing to calculate: read the active log once, pread() and pwrite() every filesystem block
 * that an item of the log is for, once, in the order of addresses, and wait for the disk as xfs_replay does. --merged: the same, but neighbouring
 * blocks together, up to 1 MiB at a time, which is the least that it could cost. Finding out which blocks those are is not timed. The bytes
 * are written as they were read: the image stays as it is. Prints seconds, and bytes of log and of blocks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vmap/linux.h>

#include "bytes.h"
#include "format.h"
#include "trans.h"

#define PIECE (1u << 20)
#define SYNCS 4 /* blocks, and the log cleared; completion in the log; in its place; log ended */

struct target {
	uint64_t daddr, end;
};

struct targets {
	struct target *list;
	size_t n, room;
	struct xr_order order;
};

static int note(void *arg, const struct xr_trans *trans)
{
	struct targets *t = arg;

	for (size_t i = 0; i < trans->nitems; i++) {
		const uint8_t *p = trans->items[i].regions[0].data;
		uint64_t daddr, bbs;

		if (trans->items[i].type == XFS_LI_BUF) {
			daddr = xr_get64(t->order, p + 8);
			bbs = xr_get16(t->order, p + 6);
		} else if (trans->items[i].type == XFS_LI_INODE) {
			daddr = xr_get64(t->order, p + 40);
			bbs = xr_get32(t->order, p + 48);
		} else {
			continue; /* icreate: its inodes come with items of their own */
		}
		if (t->n == t->room) {
			t->room = t->room ? 2 * t->room : 4096;
			t->list = realloc(t->list, t->room * sizeof(*t->list));
			if (!t->list)
				return -1;
		}
		t->list[t->n++] = (struct target){daddr, daddr + bbs};
	}
	return 0;
}

static int by_daddr(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	return x->daddr < y->daddr ? -1 : x->daddr > y->daddr;
}

/* Sort, and merge what overlaps or touches. */
static void merge(struct targets *t)
{
	size_t n = 0;

	qsort(t->list, t->n, sizeof(*t->list), by_daddr);
	for (size_t i = 1; i < t->n; i++) {
		if (t->list[i].daddr <= t->list[n].end)
			t->list[n].end = t->list[i].end > t->list[n].end ? t->list[i].end : t->list[n].end;
		else
			t->list[++n] = t->list[i];
	}
	t->n = t->n ? n + 1 : 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* In pieces of piece bytes, a power of two, that begin at multiples of it. */
static int copy_range(const struct xr_dev *dev, uint8_t *buffer, uint64_t from, uint64_t to, size_t piece, bool write)
{
	size_t size;
	int ret = 0;

	for (uint64_t at = from; at < to && !ret; at += size) {
		size = piece - (at & (piece - 1));
		size = to - at < size ? to - at : size;
		ret = xr_dev_read(dev, buffer, size, at);
		if (!ret && write)
			ret = xr_dev_write(dev, buffer, size, at);
	}
	return ret;
}

static int measure(const struct xr_log *log, const struct xr_head *head, const struct targets *t, size_t piece)
{
	uint64_t start = log->daddr * XR_BB, log_bytes = (uint64_t)xr_log_distance(log, head->tail, head->head) * XR_BB,
		 bytes = 0;
	uint8_t *buffer = malloc(PIECE);
	double begin = now();
	bool wraps = head->head < head->tail;
	int ret = buffer ? 0 : -1;

	if (!ret)
		ret = copy_range(log->dev, buffer, start + (uint64_t)head->tail * XR_BB,
				 start + (uint64_t)(wraps ? log->bbs : head->head) * XR_BB, PIECE, false);
	if (!ret && wraps)
		ret = copy_range(log->dev, buffer, start, start + (uint64_t)head->head * XR_BB, PIECE, false);
	for (size_t i = 0; i < t->n && !ret; i++) {
		ret = copy_range(log->dev, buffer, t->list[i].daddr * XR_BB, t->list[i].end * XR_BB, piece, true);
		bytes += (t->list[i].end - t->list[i].daddr) * XR_BB;
	}
	for (int i = 0; i < SYNCS && !ret; i++)
		ret = xr_dev_flush(log->dev);
	free(buffer);
	if (!ret)
		printf("%.3f %llu %llu\n", now() - begin, (unsigned long long)log_bytes, (unsigned long long)bytes);
	return ret;
}

static void say(void *arg, enum xr_level level, const char *text)
{
	(void)arg;
	if (level <= XR_WARN)
		fprintf(stderr, "floor: %s\n", text);
}

int main(int argc, char **argv)
{
	const struct xr_msg msg = {say, NULL, XR_WARN};
	struct vmap_process *process = NULL;
	struct targets targets = {0};
	struct xr_head head;
	struct xr_dev dev;
	struct xr_log log;
	struct xr_sb sb;
	bool merged = argc == 3 && !strcmp(argv[1], "--merged");
	int ret;

	if (argc != 2 + merged || xr_dev_open(&dev, argv[argc - 1], true, &msg) || xr_sb_read(&sb, &dev, &msg) ||
	    vmap_process_create(&(struct vmap_process_config){.huge = VMAP_HUGE_NO}, &process) ||
	    xr_log_open(&log, &sb, &dev, NULL, process, &msg))
		return 1;
	ret = xr_head_find(&log, &head);
	targets.order = log.order;
	if (!ret)
		ret = xr_trans_walk(&log, &head, note, &targets, NULL, NULL, NULL);
	if (!ret) {
		merge(&targets);
		ret = measure(&log, &head, &targets, merged ? PIECE : (size_t)1 << sb.blocklog);
	}
	free(targets.list);
	xr_log_close(&log);
	vmap_process_destroy(process);
	xr_dev_close(&dev);
	return ret ? 1 : 0;
}
