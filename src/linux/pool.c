/* SPDX-License-Identifier: MIT */
/*
 * The pool
 *
 * Theory: all pages lie in one memfd, so that any of them can be mapped a second time at an address of our choice. The memfd, the
 * page descriptors and the tree of free frames are each mapped once at their largest size, without reserving memory: an address
 * never moves, page <-> descriptor <-> memory is arithmetic, and what is never used is never backed.
 *
 * Growth: memory is taken from the system (fallocate) before a page of it is handed out, so a lack of memory is an error here and not
 * a SIGBUS at some later touch. Pages come lowest address first, and a batch comes as few runs of neighbours as there is room for:
 * the largest power of two that holds it, or else halves of that. The pool grows for the sake of longer runs only while at
 * least half of it is in use; after that the holes are used up first, so that it stays within about twice its need. Steps that no page
 * uses can be given back to the system; the next page in one takes memory for it again.
 *
 * Locks: the tree and the counts under one mutex, held over the growth as well; nothing is taken under it. References are
 * atomic: only the last one of a page needs the mutex.
 *
 * Cost: O(log frames) a page to take and to give back, 18 bytes of address space a base page.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "pool.h"
#include "probes.h"
#include "reserve.h"
#include "shadow.h"

/* How much memory to take from the system at once: keeps each call short, since a signal makes it start over. */
#define STEP_SHIFT 20
#define STEP_SHIFT_HUGE 21

/* Linux 6.3: where vm.memfd_noexec is 2 a memfd must say that it is no program. It can still be mapped executable. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif

int vmap_pool_memfd(const char *name, unsigned huge)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge == VMAP_HUGE_RESERVED ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	return fd < 0 && errno == EINVAL ? memfd_create(name, flags) : fd;
}

/* A file limit would end the process with SIGXFSZ where it is crossed: the pool ends before it. */
static uint64_t pool_frames_allowed(uint64_t frames, unsigned page_shift)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur >> page_shift < frames)
		return limit.rlim_cur >> page_shift;
	return frames;
}

/* The memfd's own mapping, aligned to a step. */
static uint8_t *pool_map(struct vmap_pool *pool)
{
	size_t size = pool->frames << pool->page_shift;
	void *at = vmap_reserve(&pool->reserved, size, (size_t)1 << (pool->step + pool->page_shift), PROT_NONE);

	if (at)
		at = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, pool->fd, 0);
	return at == MAP_FAILED ? NULL : at;
}

static uint64_t pool_steps(const struct vmap_pool *pool)
{
	return (pool->frames + ((uint64_t)1 << pool->step) - 1) >> pool->step;
}

/* Frames behind the last one, up to the tree's power of two, are taken for good. */
static void pool_fence(struct vmap_pool *pool)
{
	uint64_t end = (uint64_t)1 << pool->buddy.order;
	uint64_t frame = pool->frames;

	while (frame < end) {
		unsigned order = (unsigned)__builtin_ctzll(frame);

		vmap_buddy_take(&pool->buddy, frame, order);
		frame += (uint64_t)1 << order;
	}
}

int vmap_pool_create(struct vmap_pool *pool, unsigned page_shift, uint64_t frames, const char *name, struct vmap_huge huge)
{
	unsigned step_shift = huge.kind == VMAP_HUGE_NO ? STEP_SHIFT : STEP_SHIFT_HUGE;

	*pool = (struct vmap_pool){.page_shift = page_shift, .frames = pool_frames_allowed(frames, page_shift), .huge = huge};
	if (!pool->frames)
		return -VMAP_ENOMEM;
	pool->step = step_shift > page_shift ? step_shift - page_shift : 0;
	while ((uint64_t)1 << pool->buddy.order < pool->frames)
		pool->buddy.order++;

	pool->fd = vmap_pool_memfd(name, huge.kind);
	if (pool->fd < 0)
		return errno == EINVAL ? -VMAP_EINVAL : -VMAP_ENOMEM;
	if (fcntl(pool->fd, F_ADD_SEALS, F_SEAL_SHRINK)) {
		close(pool->fd);
		return -VMAP_ENOMEM;
	}
	pool->memory = pool_map(pool);
	pool->pages = vmap_reserve_named(&pool->reserved, pool->frames * sizeof(*pool->pages), "vmap: pages");
	pool->buddy.nodes = vmap_reserve_named(&pool->reserved, vmap_buddy_bytes(pool->buddy.order), "vmap: free frames");
	pool->backed = vmap_reserve_named(&pool->reserved, pool_steps(pool), "vmap: growth");
	pthread_mutex_init(&pool->lock, NULL);
	if (!pool->memory || !pool->pages || !pool->buddy.nodes || !pool->backed) {
		vmap_pool_destroy(pool);
		return -VMAP_ENOMEM;
	}
	vmap_huge_advise(&pool->huge, pool->memory, pool->frames << page_shift);
	pool_fence(pool);
	vmap_shadow_reserve(pool->memory, pool->frames << pool->page_shift);
	return 0;
}

void vmap_pool_destroy(struct vmap_pool *pool)
{
	pthread_mutex_destroy(&pool->lock);
	if (pool->memory)
		vmap_shadow_show(pool->memory, pool->reach << pool->page_shift);
	vmap_unreserve(&pool->reserved);
	close(pool->fd);
}

/* The bytes of a step: the last one may be shorter. */
static off_t pool_step_size(const struct vmap_pool *pool, uint64_t step)
{
	uint64_t first = step << pool->step, frames = (uint64_t)1 << pool->step;

	return (off_t)((frames < pool->frames - first ? frames : pool->frames - first) << pool->page_shift);
}

/* Give a step memory, or take it away (mode: FALLOC_FL_...). False: there is none. */
static bool pool_step(struct vmap_pool *pool, uint64_t step, int mode)
{
	off_t at = (off_t)(step << (pool->step + pool->page_shift)), size = pool_step_size(pool, step);
	uint64_t frames = (uint64_t)size >> pool->page_shift;
	int err;

	do
		err = fallocate(pool->fd, mode, at, size) ? errno : 0;
	while (err == EINTR);
	if (err)
		return false;
	pool->backed[step] = !mode;
	pool->grown += mode ? -frames : frames;
	if (mode)
		return true;
	vmap_huge_collapse(&pool->huge, pool->memory + at, (size_t)size);
	vmap_shadow_hide(pool->memory + at, (size_t)size);
	if (pool->reach < (step << pool->step) + frames)
		pool->reach = (step << pool->step) + frames;
	return true;
}

static void pool_tell(const struct vmap_pool *pool)
{
	vmap_stat_pool(pool->stat, pool->used << pool->page_shift, pool->grown << pool->page_shift,
		       pool->peak << pool->page_shift);
}

/* How many frames of these have to be given memory first. */
static uint64_t pool_lacking(const struct vmap_pool *pool, uint64_t frame, uint64_t end)
{
	uint64_t lacking = 0;

	for (uint64_t step = frame >> pool->step; step << pool->step < end; step++)
		lacking += !pool->backed[step];
	return lacking << pool->step;
}

/* Back these frames with memory, in whole steps. */
static bool pool_back(struct vmap_pool *pool, uint64_t frame, uint64_t end)
{
	for (uint64_t step = frame >> pool->step; step << pool->step < end; step++) {
		if (!pool->backed[step] && !pool_step(pool, step, 0))
			return false;
	}
	return true;
}

void vmap_pool_trim(struct vmap_pool *pool, size_t keep)
{
	uint64_t step = pool_steps(pool);

	pthread_mutex_lock(&pool->lock);
	while (step-- && (pool->grown - pool->used) << pool->page_shift > keep) {
		if (pool->backed[step] && vmap_buddy_is_free(&pool->buddy, step << pool->step, pool->step))
			pool_step(pool, step, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	}
	pool_tell(pool);
	VMAP_PROBE2(purge, keep, pool->grown << pool->page_shift);
	pthread_mutex_unlock(&pool->lock);
}

/* Take up to n neighbours of one order: as many as the longest run there is room for. 0: there is no page. */
static size_t pool_take_run(struct vmap_pool *pool, unsigned order, size_t n, struct vmap_page **pages)
{
	unsigned run = 0;

	while (order + run < pool->buddy.order && (size_t)1 << run < n)
		run++;
	for (;; run--) {
		size_t count = n >> run ? (size_t)1 << run : n;
		bool may_grow = !run || pool->used >= pool->grown - pool->used;
		uint64_t frame;

		if (vmap_buddy_find(&pool->buddy, order + run, &frame)) {
			uint64_t end = frame + ((uint64_t)count << order);

			if (!pool_lacking(pool, frame, end) || (may_grow && pool_back(pool, frame, end))) {
				for (size_t i = 0; i < count; i++, frame += (uint64_t)1 << order) {
					vmap_buddy_take(&pool->buddy, frame, order);
					pages[i] = &pool->pages[frame];
					*pages[i] = (struct vmap_page){.frame = frame, .refs = 1, .order = (uint8_t)order};
				}
				pool->used += (uint64_t)count << order;
				vmap_shadow_show(vmap_pool_address(pool, pages[0]), (count << order) << pool->page_shift);
				return count;
			}
		}
		if (!run)
			return 0;
	}
}

static void pool_free_locked(struct vmap_pool *pool, const struct vmap_page *page)
{
	/* In a child that has no pool other things may lie there by now. */
	if (!pool->stat || *pool->stat->owner)
		vmap_shadow_hide(vmap_pool_address(pool, page), (size_t)1 << (page->order + pool->page_shift));
	vmap_buddy_give(&pool->buddy, page->frame, page->order);
	pool->used -= (uint64_t)1 << page->order;
}

int vmap_pool_alloc(struct vmap_pool *pool, unsigned order, size_t n, struct vmap_page **pages)
{
	size_t done = 0, got = 1;

	if (!n || order > VMAP_MAX_ORDER)
		return -VMAP_EINVAL;
	pthread_mutex_lock(&pool->lock);
	if (n <= (pool->frames - pool->used) >> order) {
		for (; done < n && got; done += got)
			got = pool_take_run(pool, order, n - done, pages + done);
	}
	if (done < n) {
		for (size_t i = 0; i < done; i++)
			pool_free_locked(pool, pages[i]);
	} else if (pool->used > pool->peak) {
		pool->peak = pool->used;
	}
	pool_tell(pool);
	pthread_mutex_unlock(&pool->lock);
	return done < n ? -VMAP_ENOMEM : 0;
}

void vmap_pool_get(struct vmap_page *const *pages, size_t n)
{
	for (size_t i = 0; i < n; i++)
		__atomic_add_fetch(&pages[i]->refs, 1, __ATOMIC_RELAXED);
}

void vmap_pool_put(struct vmap_pool *pool, struct vmap_page *const *pages, size_t n)
{
	bool locked = false;

	for (size_t i = 0; i < n; i++) {
		if (__atomic_sub_fetch(&pages[i]->refs, 1, __ATOMIC_ACQ_REL))
			continue;
		if (!locked)
			pthread_mutex_lock(&pool->lock);
		locked = true;
		pool_free_locked(pool, pages[i]);
	}
	if (!locked)
		return;
	pool_tell(pool);
	pthread_mutex_unlock(&pool->lock);
}

/* The page that frame lies in; NULL: none. */
static struct vmap_page *pool_page_of(struct vmap_pool *pool, uint64_t frame)
{
	uint64_t first;
	unsigned order;

	return vmap_buddy_taken(&pool->buddy, frame, &first, &order) ? &pool->pages[first] : NULL;
}

static uint64_t pool_page_end(const struct vmap_page *page)
{
	return page->frame + ((uint64_t)1 << page->order);
}

int vmap_pool_hold(struct vmap_pool *pool, uint64_t frame, uint64_t frames)
{
	struct vmap_page *page = NULL;
	uint64_t at = frame;

	pthread_mutex_lock(&pool->lock);
	while (at < frame + frames && (page = pool_page_of(pool, at))) {
		vmap_pool_get(&page, 1);
		at = pool_page_end(page);
	}
	pthread_mutex_unlock(&pool->lock);
	if (page)
		return 0;
	if (at > frame)
		vmap_pool_release(pool, frame, at - frame);
	return -VMAP_ENOENT;
}

/* No lock: what is looked at on the way up to a page that is in use belongs to that page. */
void vmap_pool_release(struct vmap_pool *pool, uint64_t frame, uint64_t frames)
{
	struct vmap_page *pages[64];
	uint64_t at = frame;

	while (at < frame + frames) {
		size_t n = 0;

		for (; n < sizeof(pages) / sizeof(pages[0]) && at < frame + frames; at = pool_page_end(pages[n++]))
			pages[n] = pool_page_of(pool, at);
		vmap_pool_put(pool, pages, n);
	}
}

void vmap_pool_stats(struct vmap_pool *pool, struct vmap_process_stats *stats)
{
	pthread_mutex_lock(&pool->lock);
	stats->pool_pages = pool->used;
	stats->pool_bytes = pool->grown << pool->page_shift;
	stats->pool_peak = pool->peak << pool->page_shift;
	stats->page_size = (size_t)1 << pool->page_shift;
	stats->huge = pool->huge.why;
	pthread_mutex_unlock(&pool->lock);
}
