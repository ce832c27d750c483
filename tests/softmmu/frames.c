// SPDX-License-Identifier: MIT
/* Frames: pages of them, and the references that keep these. */
#include <string.h>
#include "mmu.h"

static bool frames_free(const struct softmmu *mmu, size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (mmu->frames[first + i].used)
			return false;
	return true;
}

static void page_free(struct softmmu *mmu, struct vmap_page *page)
{
	size_t n = (size_t)1 << page->order;
	struct frame *frame;

	for (size_t i = 0; i < n; i++) {
		frame = &mmu->frames[page->frame + i];
		if (frame->mapped || frame->cached)
			mmu_violation(mmu, "frame %zu becomes free while %zu table and %zu TLB entries refer to it",
				      (size_t)page->frame + i, frame->mapped, frame->cached);
		frame->used = false;
	}
	mmu->frames_used -= n;
	memset(mmu->memory + page->frame * mmu->page_size, FREE_BYTE, n * mmu->page_size);
}

/* A page's frames: the first that are free, looked for from a place that moves on in large steps so that pages lie scattered. */
static struct vmap_page *page_new(struct softmmu *mmu, unsigned order)
{
	size_t n = (size_t)1 << order, slots = mmu->n_frames >> order, first;
	struct vmap_page *page;

	mmu->next_frame += mmu->n_frames / 3 | 1;
	for (size_t slot = 0; slot < slots; slot++) {
		first = ((mmu->next_frame >> order) + slot) % slots << order;
		if (!frames_free(mmu, first, n))
			continue;
		page = &mmu->frames[first].page;
		*page = (struct vmap_page){.frame = first, .refs = 1, .order = (uint8_t)order};
		for (size_t i = 0; i < n; i++) {
			mmu->frames[first + i].used = true;
			mmu->frames[first + i].head = first;
		}
		mmu->frames_used += n;
		memset(mmu->memory + first * mmu->page_size, NEW_BYTE, n * mmu->page_size);
		return page;
	}
	return NULL;
}

static int page_alloc_nowait(void *ctx, unsigned order, size_t n, struct vmap_page **pages)
{
	struct softmmu *mmu = mmu_enter(ctx, "page_alloc");
	bool fails = mmu_injects(mmu, SOFTMMU_PAGE_ALLOC);
	size_t done = 0;

	if (!n)
		mmu_violation(mmu, "page_alloc of 0 pages");
	for (; !fails && done < n; done++) {
		pages[done] = page_new(mmu, order);
		fails = !pages[done];
		if (fails)
			break;
	}
	while (fails && done--) {
		pages[done]->refs = 0;
		page_free(mmu, pages[done]);
	}
	mmu_leave(mmu);
	return fails ? -VMAP_ENOMEM : 0;
}

static int page_alloc(void *ctx, unsigned order, size_t n, struct vmap_page **pages)
{
	mmu_leave(mmu_enter_sleeping(ctx, "page_alloc"));
	return page_alloc_nowait(ctx, order, n, pages);
}

static bool is_live(struct softmmu *mmu, const struct vmap_page *page, const char *hook)
{
	if (page->refs)
		return true;
	mmu_violation(mmu, "%s of the page at frame %zu, which is free", hook, (size_t)page->frame);
	return false;
}

static void page_get(void *ctx, struct vmap_page *const *pages, size_t n)
{
	struct softmmu *mmu = mmu_enter(ctx, "page_get");

	for (size_t i = 0; i < n; i++)
		if (is_live(mmu, pages[i], "page_get"))
			pages[i]->refs++;
	mmu_leave(mmu);
}

static void page_put(void *ctx, struct vmap_page *const *pages, size_t n)
{
	struct softmmu *mmu = mmu_enter(ctx, "page_put");

	for (size_t i = 0; i < n; i++)
		if (is_live(mmu, pages[i], "page_put") && !--pages[i]->refs)
			page_free(mmu, pages[i]);
	mmu_leave(mmu);
}

void mmu_frame_hooks(struct vmap_host *host)
{
	host->page_alloc = page_alloc;
	host->page_alloc_nowait = page_alloc_nowait;
	host->page_get = page_get;
	host->page_put = page_put;
}
