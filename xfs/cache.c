/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The buffer cache
 *
 * Concept. One page of the disk is one page of the pool: whatever length a buffer has, its bytes are in memory once. Two buffers
 * that overlap (an inode cluster logged with two sizes, a block inside a larger read) therefore always agree.
 *
 * Data structure. A hash of cached pages, keyed by page number (byte offset / page size), and a list of them in order of use.
 * A view is what a buffer points into, of one of three forms:
 *   direct   all bytes lie in one page, or in pages that are neighbours in the pool: the pool's own mapping is the answer
 *   mapped   several pages, joined by vmap_pages(): the disk order is kept, so any contiguous range maps, aligned or not, and so do
 *            scattered extents whose inner borders are page borders
 *   copied   scattered extents with an inner border in the middle of a page: gathered into memory of its own
 * A view pins its pages. Views of one extent of several pages are kept when their buffer is given back, in a second hash, because log
 * items come back to the same inode cluster again and again; the ones unused the longest go first.
 *
 * Cost. A hit is a hash look-up. Pages are allocated n at a time, so that they are neighbours, and a first view of them is direct; of
 * others it is one vmap_pages() call, in which neighbours in the pool become one mmap(). Changed pages are written by flush.c.
 */
#include "cache_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmap/linux.h>

#define IDLE_VIEWS 4096u /* views kept though no buffer uses them */
#define CLEAN_BYTES (96u << 20) /* pages kept though nothing needs them */
#define VIEW_PAGES_MAX 4096u /* no buffer that XFS knows comes near 16 MiB */

static unsigned hash(uint64_t key)
{
	return (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - HASH_BITS));
}

/* --- cached pages --- */

static void page_unlink(struct cached_page *p)
{
	p->newer->older = p->older;
	p->older->newer = p->newer;
}

static void page_used(struct xr_cache *cache, struct cached_page *p)
{
	p->newer = &cache->page_list;
	p->older = cache->page_list.older;
	p->older->newer = p;
	cache->page_list.older = p;
}

static struct cached_page *page_find(const struct xr_cache *cache, uint64_t number)
{
	struct cached_page *p = cache->pages[hash(number)];

	while (p && p->number != number)
		p = p->hash_next;
	return p;
}

static void page_drop(struct xr_cache *cache, struct cached_page *p)
{
	struct cached_page **at = &cache->pages[hash(p->number)];

	while (*at != p)
		at = &(*at)->hash_next;
	*at = p->hash_next;
	page_unlink(p);
	vmap_page_put(cache->process, &p->page, 1);
	cache->stats.pages--;
	free(p);
}

static void view_free(struct xr_cache *cache, struct xr_view *view);

/* Drop the pages unused the longest until fewer than CLEAN_BYTES are held, or only pinned and changed ones are left. */
static void trim(struct xr_cache *cache)
{
	size_t limit = CLEAN_BYTES / cache->page_size + cache->dirty_pages;
	struct cached_page *p = cache->page_list.newer, *next;

	if (cache->stats.pages <= limit)
		return;
	while (cache->view_oldest)
		view_free(cache, cache->view_oldest);
	for (; p != &cache->page_list && cache->stats.pages > limit / 2; p = next) {
		next = p->newer;
		if (!p->pins && !page_dirty(p))
			page_drop(cache, p);
	}
}

/* Make n pages from number on, none of which is in memory, and read them, unless they are to be fresh: one allocation and one read for all. */
static int pages_read(struct xr_cache *cache, uint64_t number, size_t n, bool fresh_pages, struct cached_page **out)
{
	struct vmap_page *fresh[64];
	struct iovec iov[64];
	uint64_t offset = number * cache->page_size;
	size_t want = n * cache->page_size, made;
	int ret;

	if (want > cache->dev->size - offset)
		want = cache->dev->size - offset;
	if (vmap_page_alloc(cache->process, 0, n, fresh))
		return xr_fail(cache->msg, -ENOMEM, "%s: no memory for the buffer cache", cache->dev->name);
	for (made = 0; made < n; made++) {
		struct cached_page *p = calloc(1, sizeof(*p));

		if (!p)
			break;
		p->number = number + made;
		p->page = fresh[made];
		p->data = vmap_page_address(cache->process, p->page);
		iov[made] = (struct iovec){p->data, cache->page_size};
		out[made] = p;
	}
	if (made < n) {
		ret = xr_fail(cache->msg, -ENOMEM, "%s: no memory for the buffer cache", cache->dev->name);
		goto undo;
	}
	/* The device may end inside the last page: what lies behind its end reads as zeros and is never written. */
	iov[n - 1].iov_len -= n * cache->page_size - want;
	memset((uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len, 0, n * cache->page_size - want);
	ret = fresh_pages ? 0 : xr_dev_readv(cache->dev, iov, (int)n, offset);
	if (ret)
		goto undo;
	for (size_t i = 0; i < n; i++) {
		struct cached_page **head = &cache->pages[hash(out[i]->number)];

		out[i]->hash_next = *head;
		*head = out[i];
		page_used(cache, out[i]);
	}
	cache->stats.reads += !fresh_pages;
	cache->stats.read_bytes += fresh_pages ? 0 : want;
	cache->stats.pages += n;
	if (cache->stats.pages > cache->stats.peak_pages)
		cache->stats.peak_pages = cache->stats.pages;
	return 0;
undo:
	while (made)
		free(out[--made]);
	vmap_page_put(cache->process, fresh, n);
	return ret;
}

static void page_unpin(struct cached_page **pages, size_t n)
{
	while (n)
		pages[--n]->pins--;
}

/* Find or read n pages from number on, and pin them. */
static int pages_pin(struct xr_cache *cache, uint64_t number, size_t n, bool fresh, struct cached_page **out)
{
	size_t i = 0, run;
	int ret;

	while (i < n) {
		out[i] = page_find(cache, number + i);
		if (out[i]) {
			page_unlink(out[i]);
			page_used(cache, out[i]);
			out[i++]->pins++;
			continue;
		}
		for (run = 1; run < 64 && i + run < n && !page_find(cache, number + i + run); run++)
			;
		ret = pages_read(cache, number + i, run, fresh, out + i);
		if (ret) {
			page_unpin(out, i);
			return ret;
		}
		while (run--)
			out[i++]->pins++;
	}
	return 0;
}

/* --- views --- */

static unsigned view_hash(const struct xr_extent *extent)
{
	return hash(extent->daddr << 12 ^ extent->bbs);
}

static void view_unlist(struct xr_cache *cache, struct xr_view *view)
{
	if (view->newer)
		view->newer->older = view->older;
	else
		cache->view_newest = view->older;
	if (view->older)
		view->older->newer = view->newer;
	else
		cache->view_oldest = view->newer;
	view->newer = view->older = NULL;
	cache->idle_views--;
}

static void view_list(struct xr_cache *cache, struct xr_view *view)
{
	view->newer = NULL;
	view->older = cache->view_newest;
	if (view->older)
		view->older->newer = view;
	else
		cache->view_oldest = view;
	cache->view_newest = view;
	cache->idle_views++;
}

/* A view of one extent of several pages can serve the next buffer of that extent. */
static bool view_kept(const struct xr_view *view)
{
	return view->npages > 1 && view->nextents == 1 && view->form != COPIED;
}

static void view_free(struct xr_cache *cache, struct xr_view *view)
{
	if (view_kept(view)) {
		struct xr_view **at = &cache->views[view_hash(view->extents)];

		while (*at && *at != view)
			at = &(*at)->hash_next;
		if (*at)
			*at = view->hash_next;
		if (!view->users)
			view_unlist(cache, view);
	}
	if (view->form == MAPPED)
		vmap_unmap(vmap_process_space(cache->process), view->base);
	else if (view->form == COPIED)
		free(view->base);
	page_unpin(view->pages, view->npages);
	free(view->pages);
	free(view);
}

/* The pieces of a view, in order: stretches of bytes that lie in one page. */
struct piece {
	struct cached_page *page;
	size_t in; /* where it begins in the page */
	size_t at; /* where it begins in the view */
	size_t len;
	/* where the walk stands */
	size_t extent, next_page;
	uint64_t done; /* bytes of the extent before this piece's end */
};

/* Step to the next piece that has bytes of [offset, offset + size), cut down to those; begin with a zeroed piece. */
static bool next_piece(const struct xr_cache *cache, const struct xr_view *view, size_t offset, size_t size, struct piece *p)
{
	size_t end = p->at + p->len;

	if (!end && view->nextents == 1) { /* begin with the page that offset lies in */
		size_t in = (view->extents[0].daddr << XR_BB_SHIFT) % cache->page_size;

		p->next_page = (in + offset) / cache->page_size;
		p->done = end = p->next_page ? p->next_page * cache->page_size - in : 0;
	}

	while (p->extent < view->nextents && end < offset + size) {
		const struct xr_extent *e = &view->extents[p->extent];
		uint64_t from = (e->daddr << XR_BB_SHIFT) + p->done, left = ((uint64_t)e->bbs << XR_BB_SHIFT) - p->done;
		size_t lo = end, cut;

		p->in = from % cache->page_size;
		p->len = cache->page_size - p->in < left ? cache->page_size - p->in : left;
		p->page = view->pages[p->next_page++];
		p->done += p->len;
		if (p->len == left) {
			p->extent++;
			p->done = 0;
		}
		end += p->len;
		if (end <= offset)
			continue;
		cut = lo < offset ? offset - lo : 0;
		p->in += cut;
		p->at = lo + cut;
		p->len = (end < offset + size ? end : offset + size) - p->at;
		return true;
	}
	return false;
}

/* Copy [offset, offset + size) between a copied view and its pages. */
static void copy_pages(struct xr_cache *cache, struct xr_view *view, size_t offset, size_t size, bool gather)
{
	struct piece p = {0};

	while (next_piece(cache, view, offset, size, &p)) {
		uint8_t *cached = p.page->data + p.in, *mine = view->base + p.at;

		memcpy(gather ? mine : cached, gather ? cached : mine, p.len);
	}
	cache->stats.copied += size;
}

static int view_map(struct xr_cache *cache, struct xr_view *view)
{
	struct vmap_options options = {.flags = VMAP_NO_GUARD, .tag = "xfs buffer"};
	struct vmap_page **pages = malloc(view->npages * sizeof(struct vmap_page *));
	void *addr = NULL;
	int ret = -VMAP_ENOMEM;

	if (pages) {
		for (size_t i = 0; i < view->npages; i++)
			pages[i] = view->pages[i]->page;
		ret = vmap_pages(vmap_process_space(cache->process), pages, view->npages, &options, &addr);
		free(pages);
	}
	if (ret)
		return xr_fail(cache->msg, ret, "%s: cannot map %zu pages as one buffer: %s", cache->dev->name, view->npages,
			       strerror(-ret));
	view->base = addr;
	cache->stats.views++;
	cache->stats.pages_mapped += view->npages;
	return 0;
}

/* Whether every border between two extents is a border between two pages. */
static bool borders_aligned(const struct xr_cache *cache, const struct xr_extent *extents, size_t n)
{
	size_t bbs = cache->page_size >> XR_BB_SHIFT;

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && extents[i].daddr % bbs)
			return false;
		if (i + 1 < n && (extents[i].daddr + extents[i].bbs) % bbs)
			return false;
	}
	return true;
}

/* Whether the pages happen to lie next to each other in the pool, in order: then the pool's own mapping shows them so. */
static bool pages_contiguous(const struct xr_cache *cache, const struct xr_view *view)
{
	for (size_t i = 1; i < view->npages; i++)
		if (view->pages[i]->data != view->pages[i - 1]->data + cache->page_size)
			return false;
	return true;
}

static int extents_check(const struct xr_cache *cache, const struct xr_extent *extents, size_t n, size_t *size, size_t *npages)
{
	size_t page_bbs = cache->page_size >> XR_BB_SHIFT;
	uint64_t end = cache->dev->size >> XR_BB_SHIFT;

	*size = *npages = 0;
	for (size_t i = 0; i < n; i++) {
		const struct xr_extent *e = &extents[i];

		if (!e->bbs || e->daddr >= end || e->bbs > end - e->daddr)
			return xr_fail(cache->msg, -EUCLEAN, "%s: blocks %llu+%u lie outside the device (%llu blocks)",
				       cache->dev->name, (unsigned long long)e->daddr, e->bbs, (unsigned long long)end);
		*size += (size_t)e->bbs << XR_BB_SHIFT;
		*npages += (e->daddr + e->bbs - 1) / page_bbs - e->daddr / page_bbs + 1;
		if (*npages > VIEW_PAGES_MAX)
			return xr_fail(cache->msg, -EUCLEAN, "%s: a buffer of %zu pages at block %llu is larger than any XFS has",
				       cache->dev->name, *npages, (unsigned long long)extents[0].daddr);
	}
	return n ? 0 : -EINVAL;
}

static int view_make(struct xr_cache *cache, const struct xr_extent *extents, size_t n, size_t size, size_t npages, bool fresh,
		     struct xr_view **out)
{
	struct xr_view *view = calloc(1, sizeof(*view) + n * sizeof(*extents));
	struct cached_page **pages = malloc(npages * sizeof(struct cached_page *));
	size_t page_bbs = cache->page_size >> XR_BB_SHIFT;
	int ret = -ENOMEM;

	if (!view || !pages)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		uint64_t first = extents[i].daddr / page_bbs;
		size_t count = (size_t)((extents[i].daddr + extents[i].bbs - 1) / page_bbs - first + 1);

		ret = pages_pin(cache, first, count, fresh, pages + view->npages);
		if (ret)
			goto fail;
		view->npages += count;
	}
	view->pages = pages;
	view->nextents = n;
	memcpy(view->extents, extents, n * sizeof(*extents));
	if (pages_contiguous(cache, view) && borders_aligned(cache, extents, n)) {
		view->form = DIRECT;
		cache->stats.views += npages > 1;
		cache->stats.neighbours += npages > 1;
		cache->stats.pages_mapped += npages > 1 ? npages : 0;
		view->base = pages[0]->data;
	} else if (borders_aligned(cache, extents, n)) {
		view->form = MAPPED;
		ret = view_map(cache, view);
	} else {
		view->form = COPIED;
		view->base = malloc(size);
		ret = view->base ? 0 : -ENOMEM;
		if (!ret)
			copy_pages(cache, view, 0, size, true);
	}
	if (ret)
		goto fail;
	*out = view;
	return 0;
fail:
	if (view)
		page_unpin(pages, view->npages);
	free(pages);
	free(view);
	return ret;
}

/* --- buffers --- */

static int get(struct xr_cache *cache, const struct xr_extent *extents, size_t n, bool fresh, struct xr_buf *buf)
{
	struct xr_view *view = NULL;
	size_t size, npages;
	int ret;

	memset(buf, 0, sizeof(*buf));
	ret = extents_check(cache, extents, n, &size, &npages);
	if (ret)
		return ret;
	if (n == 1 && npages > 1) {
		view = cache->views[view_hash(extents)];
		while (view && (view->extents[0].daddr != extents[0].daddr || view->extents[0].bbs != extents[0].bbs))
			view = view->hash_next;
	}
	if (view) {
		if (!view->users++)
			view_unlist(cache, view);
	} else {
		trim(cache);
		ret = view_make(cache, extents, n, size, npages, fresh, &view);
		if (ret)
			return ret;
		view->users = 1;
		if (view_kept(view)) {
			view->hash_next = cache->views[view_hash(extents)];
			cache->views[view_hash(extents)] = view;
		}
	}
	buf->view = view;
	buf->size = size;
	buf->data = view->base;
	if (view->form != COPIED)
		buf->data += (extents[0].daddr << XR_BB_SHIFT) % cache->page_size;
	return 0;
}

int xr_buf_get(struct xr_cache *cache, const struct xr_extent *extents, size_t n, struct xr_buf *buf)
{
	return get(cache, extents, n, false, buf);
}

int xr_buf_read(struct xr_cache *cache, uint64_t daddr, uint32_t bbs, struct xr_buf *buf)
{
	struct xr_extent extent = {daddr, bbs};

	return get(cache, &extent, 1, false, buf);
}

int xr_buf_fresh(struct xr_cache *cache, uint64_t daddr, uint32_t bbs, struct xr_buf *buf)
{
	struct xr_extent extent = {daddr, bbs};
	size_t page_bbs = cache->page_size >> XR_BB_SHIFT;

	/* What else is in a page has to be read. */
	return get(cache, &extent, 1, daddr % page_bbs == 0 && bbs % page_bbs == 0, buf);
}

void xr_buf_dirty(struct xr_cache *cache, struct xr_buf *buf, size_t offset, size_t size)
{
	struct piece piece = {0};

	if (buf->view->form == COPIED)
		copy_pages(cache, buf->view, offset, size, false);
	while (next_piece(cache, buf->view, offset, size, &piece)) {
		struct cached_page *p = piece.page;
		uint32_t from = (uint32_t)piece.in & ~(XR_BB - 1);
		uint32_t to = ((uint32_t)(piece.in + piece.len) + XR_BB - 1) & ~(XR_BB - 1);

		if (!page_dirty(p)) {
			cache->dirty_pages++;
			p->dirty_from = from;
			p->dirty_to = to;
		}
		p->dirty_from = from < p->dirty_from ? from : p->dirty_from;
		p->dirty_to = to > p->dirty_to ? to : p->dirty_to;
	}
}

void xr_buf_put(struct xr_cache *cache, struct xr_buf *buf)
{
	struct xr_view *view = buf->view;

	memset(buf, 0, sizeof(*buf));
	if (!view || --view->users)
		return;
	if (!view_kept(view)) {
		view_free(cache, view);
		return;
	}
	view_list(cache, view);
	if (cache->idle_views > IDLE_VIEWS)
		view_free(cache, cache->view_oldest);
}

/* --- life --- */

int xr_cache_create(struct xr_cache **out, const struct xr_dev *dev, struct vmap_process *process, bool write,
		    const struct xr_msg *msg)
{
	struct xr_cache *cache = calloc(1, sizeof(*cache));

	*out = cache;
	if (!cache)
		return xr_fail(msg, -ENOMEM, "%s: no memory for the buffer cache", dev->name);
	cache->dev = dev;
	cache->process = process;
	cache->msg = msg;
	cache->write = write;
	cache->page_size = (size_t)sysconf(_SC_PAGESIZE);
	cache->page_list.newer = cache->page_list.older = &cache->page_list;
	return 0;
}

void xr_cache_destroy(struct xr_cache *cache)
{
	if (!cache)
		return;
	while (cache->view_oldest)
		view_free(cache, cache->view_oldest);
	while (cache->page_list.newer != &cache->page_list)
		page_drop(cache, cache->page_list.newer);
	free(cache);
}

int xr_cache_sibling(struct xr_cache **sibling, const struct xr_cache *cache)
{
	return xr_cache_create(sibling, cache->dev, cache->process, cache->write, cache->msg);
}

void xr_cache_willneed(const struct xr_cache *cache, uint64_t daddr, uint32_t bbs)
{
	off_t start = (off_t)(cache->dev->start + (daddr << XR_BB_SHIFT));

	posix_fadvise(cache->dev->fd, start, (off_t)bbs << XR_BB_SHIFT, POSIX_FADV_WILLNEED);
}

bool xr_cache_writes(const struct xr_cache *cache)
{
	return cache->write;
}

struct vmap_process *xr_cache_process(const struct xr_cache *cache)
{
	return cache->process;
}

void xr_cache_add_stats(struct xr_cache *cache, const struct xr_cache *sibling)
{
	struct xr_cache_stats *to = &cache->stats;
	const struct xr_cache_stats *from = &sibling->stats;

	to->views += from->views;
	to->neighbours += from->neighbours;
	to->pages_mapped += from->pages_mapped;
	to->copied += from->copied;
	to->reads += from->reads;
	to->read_bytes += from->read_bytes;
	to->writes += from->writes;
	to->write_bytes += from->write_bytes;
	to->peak_pages = from->peak_pages > to->peak_pages ? from->peak_pages : to->peak_pages;
}

uint64_t xr_cache_bbs(const struct xr_cache *cache)
{
	return cache->dev->size >> XR_BB_SHIFT;
}

void xr_cache_stats(const struct xr_cache *cache, struct xr_cache_stats *stats)
{
	*stats = cache->stats;
	stats->dirty_bytes = (uint64_t)cache->dirty_pages * cache->page_size;
}
