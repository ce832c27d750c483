/* SPDX-License-Identifier: MIT */
/*
 * Views of chunks by address
 *
 * Theory: a chunk is a piece of a region, and need not be a page of the pool nor begin or end with one. So each piece is cut into blocks
 * that could be pages (a power of two, aligned to their size), with descriptors of the view's own, and the core maps those
 * with VMAP_BORROW; what keeps the memory alive is that the view holds its pieces. All of it is one allocation per view: pieces, then
 * descriptors, then pointers to them.
 *
 * Where all pieces continue each other the region's own mapping may be the answer, as in view.c. Where something cannot be mapped a copy
 * is, if the caller agreed.
 *
 * Cost: a search of its region and O(log frames) a page for each chunk; one descriptor for an aligned chunk of a power of two.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "process.h"

/* What a view holds. n = 0: a copy follows. */
struct iov_held {
	size_t n; /* pieces held */
	void *mapped; /* what vmap_pages() gave; NULL: the region's own mapping is used */
	struct vmap_piece pieces[];
};

/* Bytes of all chunks, and whether they can be pages. */
static int iov_survey(const struct iovec *iov, size_t n, size_t page, size_t *size, bool *aligned)
{
	*size = 0;
	*aligned = true;
	for (size_t i = 0; i < n; i++) {
		uintptr_t begin = (uintptr_t)iov[i].iov_base;

		if (iov[i].iov_len > SIZE_MAX - *size || iov[i].iov_len > UINTPTR_MAX - page - begin)
			return -VMAP_ERANGE;
		*size += iov[i].iov_len;
		if (!iov[i].iov_len || (i && begin % page) || (i + 1 < n && (begin + iov[i].iov_len) % page))
			*aligned = false;
	}
	return *size ? 0 : -VMAP_EINVAL;
}

/* The whole base pages that chunk lies in. */
static void iov_round(const struct iovec *chunk, size_t page, uintptr_t *addr, size_t *size)
{
	uintptr_t begin = (uintptr_t)chunk->iov_base;

	*addr = begin & ~(page - 1);
	*size = ((begin + chunk->iov_len + page - 1) & ~(page - 1)) - *addr;
}

static void iov_release(struct vmap_process *process, struct iov_held *held)
{
	while (held->n)
		vmap_piece_release(process, &held->pieces[--held->n]);
	free(held);
}

/* Hold every piece. */
static int iov_hold(struct vmap_process *process, const struct iovec *iov, size_t n, struct iov_held **out)
{
	size_t page = (size_t)1 << process->pool.page_shift, size;
	struct iov_held *held;
	uint16_t hint = 0;
	uintptr_t addr;
	int err = 0;

	if (n > (SIZE_MAX - sizeof(*held)) / sizeof(held->pieces[0]))
		return -VMAP_ERANGE;
	held = malloc(sizeof(*held) + n * sizeof(held->pieces[0]));
	if (!held)
		return -VMAP_ENOMEM;
	*held = (struct iov_held){0};
	while (held->n < n && !err) {
		struct vmap_piece *piece = &held->pieces[held->n];

		iov_round(&iov[held->n], page, &addr, &size);
		err = vmap_piece_hold(process, addr, size, hint, piece);
		if (!err) {
			hint = piece->region;
			held->n++;
		}
	}
	if (err)
		iov_release(process, held);
	else
		*out = held;
	return err;
}

/* The largest block that could be a page, at the beginning of what is left of a piece. */
static unsigned iov_order(uint64_t frame, uint64_t frames)
{
	unsigned order = 63u - (unsigned)__builtin_clzll(frames);

	if (frame && (unsigned)__builtin_ctzll(frame) < order)
		order = (unsigned)__builtin_ctzll(frame);
	return order > VMAP_MAX_ORDER ? VMAP_MAX_ORDER : order;
}

/* Cut the pieces into pages; how many there are. pages may be NULL. */
static size_t iov_cut(const struct iov_held *held, struct vmap_page *pages)
{
	size_t n = 0;

	for (size_t i = 0; i < held->n; i++) {
		uint64_t frame = held->pieces[i].frame, end = frame + held->pieces[i].frames;

		for (unsigned order; frame < end; frame += (uint64_t)1 << order, n++) {
			order = iov_order(frame, end - frame);
			if (pages)
				pages[n] = (struct vmap_page){
					.frame = frame, .refs = 1, .region = held->pieces[i].region, .order = (uint8_t)order};
		}
	}
	return n;
}

/* All pieces are one, and where they are is what was asked for. */
static bool iov_is_there(struct vmap_process *process, const struct iov_held *held, const struct vmap_options *options,
			 const void *addr, size_t size)
{
	for (size_t i = 1; i < held->n; i++) {
		const struct vmap_piece *last = &held->pieces[i - 1];

		if (held->pieces[i].region != last->region || held->pieces[i].frame != last->frame + last->frames)
			return false;
	}
	return vmap_view_is_there(process->regions[held->pieces[0].region], addr, size, options);
}

/* Map what is held. The descriptors and the array of pointers live as long as the view, behind the pieces. */
static int iov_map(struct vmap_process *process, struct iov_held **held, const struct vmap_options *given)
{
	size_t n = iov_cut(*held, NULL), head = sizeof(**held) + (*held)->n * sizeof((*held)->pieces[0]);
	struct vmap_options options = given ? *given : (struct vmap_options){0};
	struct vmap_page *descriptors, **pages;
	struct iov_held *grown;
	int err;

	if (n > (SIZE_MAX - head) / (sizeof(*descriptors) + sizeof(*pages)))
		return -VMAP_ERANGE;
	grown = realloc(*held, head + n * (sizeof(*descriptors) + sizeof(*pages)));
	if (!grown)
		return -VMAP_ENOMEM;
	*held = grown;
	descriptors = (struct vmap_page *)(void *)(grown->pieces + grown->n);
	pages = (struct vmap_page **)(void *)(descriptors + n);
	iov_cut(grown, descriptors);
	for (size_t i = 0; i < n; i++)
		pages[i] = &descriptors[i];
	options.flags |= VMAP_BORROW;
	err = vmap_pages(process->space, pages, n, &options, &grown->mapped);
	return err;
}

static int iov_view(struct vmap_process *process, const struct iovec *iov, size_t n, const struct vmap_options *options,
		    struct vmap_view *view)
{
	size_t into = (uintptr_t)iov[0].iov_base & (((size_t)1 << process->pool.page_shift) - 1);
	struct iov_held *held;
	int err = iov_hold(process, iov, n, &held);

	if (err)
		return err;
	if (iov_is_there(process, held, options, iov[0].iov_base, view->size)) {
		view->addr = iov[0].iov_base;
		view->how = VMAP_VIEW_DIRECT;
	} else {
		err = iov_map(process, &held, options);
		if (err) {
			iov_release(process, held);
			return err;
		}
		view->addr = (uint8_t *)held->mapped + into;
		vmap_view_mappings(process, held->mapped, &view->mappings);
	}
	view->held = held;
	return 0;
}

static int iov_copy(const struct iovec *iov, size_t n, struct vmap_view *view)
{
	struct iov_held *held = malloc(sizeof(*held) + view->size);
	uint8_t *to;

	if (!held)
		return -VMAP_ENOMEM;
	*held = (struct iov_held){0};
	to = (uint8_t *)held->pieces;
	for (size_t i = 0; i < n; to += iov[i++].iov_len) {
		if (iov[i].iov_len)
			memcpy(to, iov[i].iov_base, iov[i].iov_len);
	}
	view->addr = held->pieces;
	view->copied = view->size;
	view->how = VMAP_VIEW_COPIED;
	view->held = held;
	return 0;
}

int vmap_iov(struct vmap_process *process, const struct iovec *iov, size_t n, const struct vmap_options *options, unsigned flags,
	     struct vmap_view *view)
{
	bool aligned;
	int err;

	*view = (struct vmap_view){0};
	if (!iov || !n || flags & ~VMAP_IOV_COPY || (options && options->flags & ~(VMAP_NO_GUARD | VMAP_SYNC)))
		return -VMAP_EINVAL;
	err = iov_survey(iov, n, (size_t)1 << process->pool.page_shift, &view->size, &aligned);
	if (err || view->size > SIZE_MAX - sizeof(struct iov_held)) {
		*view = (struct vmap_view){0};
		return err ? err : -VMAP_ERANGE;
	}
	err = aligned ? iov_view(process, iov, n, options, view) : -VMAP_EINVAL;
	if (flags & VMAP_IOV_COPY && (!aligned || err == -VMAP_ENOENT || err == -VMAP_EOVERFLOW || err == -VMAP_ENOSPC))
		err = iov_copy(iov, n, view);
	if (err)
		*view = (struct vmap_view){0};
	return err;
}

void vmap_iov_end(struct vmap_process *process, struct vmap_view *view, const void *caller)
{
	struct iov_held *held = view->held;

	if (held->mapped)
		vmap_unmap_by(process->space, held->mapped, caller);
	iov_release(process, held);
}
