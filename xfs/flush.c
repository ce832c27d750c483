/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writing what the cache changed
 *
 * Changed pages remember the range of bytes that changed. A flush sorts them and writes neighbours with one pwritev(), so that the device
 * is written once, in the order of addresses; it waits for nothing, which is the barrier's part.
 */
#include "cache_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define WRITE_PAGES 256u /* pages in one pwritev() */

static int by_number(const void *a, const void *b)
{
	const struct cached_page *const *x = a, *const *y = b;

	return (*x)->number < (*y)->number ? -1 : (*x)->number > (*y)->number;
}

static uint64_t dirty_start(const struct xr_cache *cache, const struct cached_page *p)
{
	return p->number * cache->page_size + p->dirty_from;
}

/* The run of neighbouring changed bytes that pages[0] begins, [*start, *end); returns how many of the n pages it takes. */
static size_t gather_run(const struct xr_cache *cache, struct cached_page **pages, size_t n, struct iovec iov[WRITE_PAGES],
			 uint64_t *start, uint64_t *end)
{
	size_t i = 0;

	*start = *end = dirty_start(cache, pages[0]);
	for (; i < n && i < WRITE_PAGES && dirty_start(cache, pages[i]) == *end; i++) {
		size_t len = pages[i]->dirty_to - pages[i]->dirty_from;

		if (len > cache->dev->size - *end) /* a device that ends inside a page */
			len = cache->dev->size - *end;
		iov[i] = (struct iovec){pages[i]->data + pages[i]->dirty_from, len};
		*end += len;
	}
	return i;
}

/* An undo file that knows of all writes before the first comes is flushed once for all. */
static int announce(const struct xr_cache *cache, struct cached_page **pages, size_t n)
{
	struct iovec iov[WRITE_PAGES];
	uint64_t start, end;
	int ret = 0;

	for (size_t i = 0; i < n && !ret;) {
		i += gather_run(cache, pages + i, n - i, iov, &start, &end);
		ret = xr_dev_announce(cache->dev, start, (size_t)(end - start));
	}
	return ret;
}

/* Write the run that pages[0] begins; *count pages of the n were written. */
static int write_run(struct xr_cache *cache, struct cached_page **pages, size_t n, size_t *count)
{
	struct iovec iov[WRITE_PAGES];
	uint64_t start, end;
	int ret;

	*count = gather_run(cache, pages, n, iov, &start, &end);
	ret = xr_dev_writev(cache->dev, iov, (int)*count, start);
	if (ret)
		return ret;
	cache->stats.writes++;
	cache->stats.write_bytes += end - start;
	return 0;
}

int xr_cache_flush(struct xr_cache *cache)
{
	struct cached_page **dirty;
	size_t n = 0, done = 0, count;
	int ret = 0;

	if (!cache->write || !cache->dirty_pages)
		return 0;
	dirty = malloc(cache->dirty_pages * sizeof(struct cached_page *));
	if (!dirty)
		return xr_fail(cache->msg, -ENOMEM, "%s: no memory to write %zu changed pages", cache->dev->name,
			       cache->dirty_pages);
	for (struct cached_page *p = cache->page_list.newer; p != &cache->page_list; p = p->newer)
		if (page_dirty(p))
			dirty[n++] = p;
	qsort(dirty, n, sizeof(struct cached_page *), by_number);
	ret = announce(cache, dirty, n);
	while (done < n && !ret) {
		ret = write_run(cache, dirty + done, n - done, &count);
		if (ret)
			break;
		for (; count; count--, done++) {
			dirty[done]->dirty_from = dirty[done]->dirty_to = 0;
			cache->dirty_pages--;
		}
	}
	free(dirty);
	return ret;
}

int xr_cache_barrier(struct xr_cache *cache)
{
	return cache->write ? xr_dev_flush(cache->dev) : 0;
}

void xr_cache_write_early(const struct xr_cache *cache, uint64_t daddr, uint64_t to)
{
	off_t start = (off_t)(cache->dev->start + (daddr << XR_BB_SHIFT));

	if (cache->write && !cache->dev->shadow)
		sync_file_range(cache->dev->fd, start, to < xr_cache_bbs(cache) ? (off_t)((to - daddr) << XR_BB_SHIFT) : 0,
				SYNC_FILE_RANGE_WRITE);
}
