/* SPDX-License-Identifier: MIT */
/*
 * Views by mmap()
 *
 * Theory: the space is one reservation of PROT_NONE memory. A view replaces a part of it, with one mmap(MAP_FIXED) of a
 * region's file for each run of pages that are neighbours; taking the view away puts PROT_NONE back over all of it, in one call. The
 * kernel merges that with the reservation around it, so an unmap leaves no more mappings than there were before the map, and
 * no other thread's mmap() ever finds a hole to settle in. Replacing a mapping shoots down every CPU's TLB before it returns:
 * there are no stale translations, and nothing to do in flush.
 *
 * The limit: a process may have vm.max_map_count mappings. At the limit a map fails (-VMAP_EOVERFLOW), but an unmap must not, and
 * it should give mappings back; yet the kernel refuses even a mmap() that only replaces while the count is above the limit.
 * So two mappings are kept as ballast, a readable page in front of the space: taking its protection away lets the kernel merge
 * it with what is around it, and there is room. Should another thread be faster to use that room, mprotect(PROT_NONE) still ends
 * the view: it needs no new mapping as long as nothing must be split. The pages then stay in the range, out of reach, until the
 * next map replaces them.
 *
 * Colours: something would have to be split where the kernel has merged two views: they touch (VMAP_NO_GUARD) and their pages
 * are neighbours in a region. The kernel never merges mappings of different open files, so each file is opened three times and a
 * view uses one that neither of the views it touches uses. Only a view's first and last page need to remember its colour.
 *
 * Guards are what is left of the reservation between two views, and that costs each view a mapping more. Where it was asked for, and as long as
 * the kernel does it, a view's last mapping goes on over its guard, which is marked in the page table (MADV_GUARD_INSTALL): every
 * access faults, and views lie side by side without anything between. So the mappings that views take are their runs, and the gaps
 * between rows of them; a view that comes or goes changes the number of gaps by what its two neighbours say.
 *
 * Pieces of a view: before one is taken away alone, the kernel's mapping is split where the piece begins, while it may still say no; and it
 * must stay split. Pieces of one view have one file, so what keeps the kernel from merging them is advice (MADV_NORMAL, MADV_RANDOM,
 * MADV_SEQUENTIAL), which changes neither what is mapped nor its protection and means nothing for memory that is all there. Here, too, three
 * are enough. So whatever is ended begins and ends where mappings do.
 *
 * A place that is used again and again: cutting a view out of the reservation, and merging what is put back, takes the kernel longer than replacing
 * a mapping by one of the same size. So where views come and go at one place, in turn, what ends a view there is a mapping of its own: it lacks
 * MAP_NORESERVE, which means nothing for memory that nobody may touch, but the kernel merges only mappings that agree in it. The next view
 * replaces it; one that comes anywhere else has it merged first. It is one place at most, and costs the two mappings of mech.spare.
 *
 * Several views at once: whatever views and guards lie in a range, one call puts PROT_NONE over all of it. Only the core's later
 * unmap() of each is left to do, and needs no system call.
 *
 * Locks: a leaf mutex for edges and ballast; other system calls are made without it, as the core gives out disjoint ranges.
 * Cost: a system call for each run, one to fill page tables, one for an unmap; two bytes of address space a page for the edges.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vmap/error.h>
#include "budget.h"
#include "mech.h"
#include "reserve.h"

/*
 * Page tables are filled at once where that is little (a view that is not large, or one of 2 MiB pages), or no more than the first faults would
 * fill in any case (runs that are short on average). Of long runs in a large view nobody knows yet what will be touched.
 *
 * A fault fills the window around its page, as far as its run goes. So asking for one page of each window is enough, and saves the kernel a
 * look at each of the others; but not for short runs, as each page asked for is a hold of the lock that another thread's mmap() waits for, nor
 * where the kernel has one entry for 2 MiB, which is the whole of several windows.
 */
#define POPULATE_VIEW ((size_t)16 << 20)
#define POPULATE_RUN ((size_t)32 << 10)
#define POPULATE_HUGE ((size_t)2 << 20)

/* Linux 6.14: several places with one call; before, one by one. */
#ifndef PIDFD_SELF
#define PIDFD_SELF (-10001)
#endif

#ifndef MADV_POPULATE_READ /* Linux 5.14; before, faults do it */
#define MADV_POPULATE_READ 22
#endif

/* Pages, but at least windows, in front of the space: never accessible, ballast, never accessible. */
#define LEAD 3

struct mmap_mech {
	struct vmap_mech mech;
	struct vmap_reserved *reserved; /* this, and the edges */
	uint8_t *reservation; /* lead bytes that no view covers, then the space */
	size_t lead;
	pthread_mutex_t lock; /* of the ballast in the lead and of what follows */
	uint16_t *
		edges; /* by base page of the space, where a view, or a piece of one, begins and where its mappings end; 0: elsewhere */
	struct vmap_range ended; /* the last that was */
	unsigned again; /* views in a row that came where the last one had ended */
	bool vectors; /* the kernel takes several places to fill with one call, as far as is known; atomic */
	bool cuts; /* whether there were any: more than two edges may lie in a range then */
	struct vmap_range parked; /* ended, and a mapping of its own; size 0: none is */
};

/* From how many such views on a place is worth keeping. */
#define AGAIN 3

/*
 * What an edge says: the colour + 1, and the advice; and only where a view begins, whether its guard is a part of its last mapping, of how many pages it is
 * then, less one, whether unmap_all() has taken the view away already, and whether it will be parked when it ends.
 */
#define EDGE_COLOUR 0x03
#define EDGE_PAGES_SHIFT 2
#define EDGE_GUARD 0x40
#define EDGE_ENDED 0x80
#define EDGE_ADVICE 0x300
#define EDGE_ADVICE_SHIFT 8
#define EDGE_PARK 0x400

/* The largest guard that is marked: as many pages as there is room for in an edge. */
#define GUARD_PAGES 16u

#ifndef MADV_GUARD_INSTALL /* Linux 6.13, of files 6.15 */
#define MADV_GUARD_INSTALL 102
#endif

static struct mmap_mech *mmap_of(struct vmap_mech *mech)
{
	return (struct mmap_mech *)(void *)mech;
}

/* The second of the LEAD pages in front of the space. Dropped, it makes room for two mappings. */
static bool mmap_ballast(struct mmap_mech *m, bool keep)
{
	return !mprotect(m->reservation + m->lead / LEAD, m->lead / LEAD, keep ? PROT_READ : PROT_NONE);
}

static size_t mmap_page(const struct mmap_mech *m, uintptr_t addr)
{
	return (addr - m->mech.base) >> m->mech.page_shift;
}

/* The guard that is a part of the mapping of the view that begins at this page: bytes. */
static size_t mmap_guard(const struct mmap_mech *m, size_t first)
{
	uint16_t edge = m->edges[first];

	return edge & EDGE_GUARD ? ((size_t)(edge >> EDGE_PAGES_SHIFT & (GUARD_PAGES - 1)) + 1) << m->mech.page_shift : 0;
}

/* Under the lock: the colours of what touches pages first to last of the space; 0: nothing. */
static void mmap_neighbours(const struct mmap_mech *m, size_t first, size_t last, uint8_t *left, uint8_t *right)
{
	*left = first ? m->edges[first - 1] & EDGE_COLOUR : 0;
	*right = last + 1 < m->mech.size >> m->mech.page_shift ? m->edges[last + 1] & EDGE_COLOUR : 0;
}

static bool mmap_nothing(uintptr_t addr, size_t size, int flags)
{
	return mmap((void *)addr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0) != MAP_FAILED;
}

static bool mmap_is(const struct vmap_range *range, uintptr_t addr, size_t size)
{
	return range->addr == addr && range->size == size;
}

/* Under the lock. A view may come to [addr, addr + size), its guard included. EDGE_PARK: it will be parked, or replace what is. */
static uint16_t mmap_expect(struct mmap_mech *m, uintptr_t addr, size_t size)
{
	m->again = mmap_is(&m->ended, addr, size) ? m->again + 1 : 0;
	if (mmap_is(&m->parked, addr, size))
		return EDGE_PARK;
	if (m->parked.size)
		mmap_nothing(m->parked.addr, m->parked.size, MAP_NORESERVE);
	m->parked.size = 0;
	return m->again >= AGAIN ? EDGE_PARK : 0;
}

/* What is parked there is about to be replaced. */
static void mmap_unpark(struct mmap_mech *m, uintptr_t addr, size_t size)
{
	pthread_mutex_lock(&m->lock);
	if (mmap_is(&m->parked, addr, size))
		m->parked.size = 0;
	pthread_mutex_unlock(&m->lock);
}

/* False: something else is parked, or the kernel refused. Under the lock as a whole: what others see parked they take away. */
static bool mmap_park(struct mmap_mech *m, uintptr_t addr, size_t size)
{
	bool done;

	pthread_mutex_lock(&m->lock);
	done = !m->parked.size && mmap_nothing(addr, size, 0);
	if (done)
		m->parked = (struct vmap_range){.addr = addr, .size = size};
	pthread_mutex_unlock(&m->lock);
	return done;
}

static bool mmap_enter(struct vmap_mech *mech, uintptr_t addr, size_t size, size_t guard, struct vmap_budget *budget,
		       size_t *mappings)
{
	struct mmap_mech *m = mmap_of(mech);
	size_t pages = guard >> mech->page_shift, first = mmap_page(m, addr), last = mmap_page(m, addr + size - 1);
	bool marked = pages && pages <= GUARD_PAGES && __atomic_load_n(&mech->guards, __ATOMIC_RELAXED);
	uint8_t left, right, colour = 1;
	bool taken;

	last += marked ? pages : 0;
	pthread_mutex_lock(&m->lock);
	mmap_neighbours(m, first, last, &left, &right);
	*mappings = *mappings + 1 - !!left - !!right;
	/* Here, as a view that was seen for a moment would have saved a neighbour a mapping that is needed after all. */
	taken = vmap_budget_take(budget, *mappings);
	if (taken) {
		while (colour == left || colour == right)
			colour++;
		m->edges[first] = m->edges[last] = colour;
		if (marked)
			m->edges[first] |= (uint16_t)(EDGE_GUARD | (pages - 1) << EDGE_PAGES_SHIFT);
		m->edges[first] |= mmap_expect(m, addr, size + (marked ? guard : 0));
	}
	pthread_mutex_unlock(&m->lock);
	return taken;
}

static int mmap_leave(struct vmap_mech *mech, uintptr_t addr, size_t size)
{
	struct mmap_mech *m = mmap_of(mech);
	size_t first = mmap_page(m, addr), all = size + mmap_guard(m, first), last = mmap_page(m, addr + all - 1);
	uint8_t left, right;

	pthread_mutex_lock(&m->lock);
	mmap_neighbours(m, first, last, &left, &right);
	m->ended = (struct vmap_range){.addr = addr, .size = all};
	if (m->cuts)
		memset(&m->edges[first], 0, (last - first + 1) * sizeof(*m->edges));
	m->edges[first] = m->edges[last] = 0;
	pthread_mutex_unlock(&m->lock);
	return !!left + !!right - 1;
}

static size_t mmap_besides(struct vmap_mech *mech, uintptr_t addr)
{
	struct mmap_mech *m = mmap_of(mech);

	return !mmap_guard(m, mmap_page(m, addr));
}

/* Put the reservation back over [addr, addr + size), or park it; whatever the limit of mappings says. */
static void mmap_clear(struct mmap_mech *m, uintptr_t addr, size_t size, bool park)
{
	bool done;

	if ((park && mmap_park(m, addr, size)) || mmap_nothing(addr, size, MAP_NORESERVE))
		return;
	pthread_mutex_lock(&m->lock);
	mmap_ballast(m, false);
	done = mmap_nothing(addr, size, MAP_NORESERVE);
	mmap_ballast(m, true);
	pthread_mutex_unlock(&m->lock);
	if (!done)
		mprotect((void *)addr, size, PROT_NONE);
}

static void mmap_unmap(struct vmap_mech *mech, uintptr_t addr, size_t size)
{
	struct mmap_mech *m = mmap_of(mech);
	size_t first = mmap_page(m, addr);

	if (!(m->edges[first] & EDGE_ENDED))
		mmap_clear(m, addr, size + mmap_guard(m, first), m->edges[first] & EDGE_PARK);
}

static void mmap_unmap_all(struct vmap_mech *mech, const struct vmap_range *ranges, size_t n)
{
	struct mmap_mech *m = mmap_of(mech);
	const struct vmap_range *last = &ranges[n - 1];

	mmap_clear(m, ranges[0].addr, last->addr + last->size + mmap_guard(m, mmap_page(m, last->addr)) - ranges[0].addr, false);
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < n; i++) {
		uint16_t *edge = &m->edges[mmap_page(m, ranges[i].addr)];

		*edge = (*edge & ~EDGE_PARK) | EDGE_ENDED;
	}
	pthread_mutex_unlock(&m->lock);
}

/* The kernel says ENOMEM for all that runs out; RLIMIT_AS below what the process has is such a thing, too. */
static int mmap_error(void)
{
	if (errno != ENOMEM)
		return -VMAP_EIO;
	return vmap_budget_is_reached() ? -VMAP_EOVERFLOW : -VMAP_ENOMEM;
}

/* One run as one mapping. */
static int mmap_run(uintptr_t addr, const struct vmap_run *run, size_t colour, int prot)
{
	int fd = vmap_region_fd(run->region, colour, prot & PROT_WRITE);
	void *at = mmap((void *)addr, run->size, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)run->offset);

	return at == MAP_FAILED ? mmap_error() : 0;
}

/* So many calls of mmap_run(), the last of which gave err. */
static void mmap_count(struct mmap_mech *m, size_t calls, int err)
{
	__atomic_add_fetch(&m->mech.calls, calls, __ATOMIC_RELAXED);
	__atomic_add_fetch(&m->mech.runs, calls - !!err, __ATOMIC_RELAXED);
}

/* What is to be filled, a page of each window at a time; the kernel is asked once for all that there is room for here. */
struct mmap_fill {
	struct mmap_mech *m;
	size_t n;
	struct iovec pages[64];
};

static void mmap_fill_now(struct mmap_fill *fill)
{
	bool done = false;

	if (fill->n > 1 && __atomic_load_n(&fill->m->vectors, __ATOMIC_RELAXED)) {
		done = syscall(SYS_process_madvise, PIDFD_SELF, fill->pages, fill->n, MADV_POPULATE_READ, 0) >= 0;
		if (!done)
			__atomic_store_n(&fill->m->vectors, false, __ATOMIC_RELAXED);
	}
	for (size_t i = 0; !done && i < fill->n; i++)
		madvise(fill->pages[i].iov_base, fill->pages[i].iov_len, MADV_POPULATE_READ);
	fill->n = 0;
}

/* A page of each window that the run at addr has a part of. */
static void mmap_fill_run(struct mmap_fill *fill, uintptr_t addr, size_t size)
{
	for (uintptr_t at = addr; at < addr + size; at = (at & ~(VMAP_WINDOW - 1)) + VMAP_WINDOW) {
		if (fill->n == sizeof(fill->pages) / sizeof(fill->pages[0]))
			mmap_fill_now(fill);
		fill->pages[fill->n++] = (struct iovec){(void *)at, (size_t)1 << fill->m->mech.page_shift};
	}
}

/* Fill page tables for a view of these runs, n of them; huge: all are of 2 MiB pages. */
static void mmap_populate(struct mmap_mech *m, uintptr_t addr, size_t size, struct vmap_runs *runs, size_t n, bool huge)
{
	const size_t average = size / n;
	struct mmap_fill fill = {.m = m};
	struct vmap_run run;

	if (average < POPULATE_RUN || (huge && average >= POPULATE_HUGE)) {
		madvise((void *)addr, size, MADV_POPULATE_READ);
		return;
	}
	if (size > POPULATE_VIEW && average > VMAP_WINDOW)
		return;
	for (; vmap_runs_next(runs, &run); addr += run.size)
		mmap_fill_run(&fill, addr, run.size);
	if (fill.n)
		mmap_fill_now(&fill);
}

/* Let no child have these mappings, if that was asked for. There is nothing to be split, so that it needs no new mapping. */
static int mmap_shield(const struct mmap_mech *m, uintptr_t addr, size_t size)
{
	return m->mech.inherited || !madvise((void *)addr, size, MADV_DONTFORK) ? 0 : -VMAP_EIO;
}

/* Every access there faults. Refused where the kernel is too old, or memory is locked: then no more. */
static int mmap_mark(struct mmap_mech *m, uintptr_t addr, size_t guard)
{
	if (!guard || !madvise((void *)addr, guard, MADV_GUARD_INSTALL))
		return 0;
	__atomic_store_n(&m->mech.guards, false, __ATOMIC_RELAXED);
	return -VMAP_EAGAIN;
}

static int mmap_map(struct vmap_mech *mech, uintptr_t addr, size_t size, struct vmap_runs *runs, int prot)
{
	struct mmap_mech *m = mmap_of(mech);
	size_t first = mmap_page(m, addr), guard = mmap_guard(m, first), colour = (m->edges[first] & EDGE_COLOUR) - 1u, n = 0;
	struct vmap_runs again = *runs;
	uintptr_t at = addr;
	struct vmap_run run;
	bool huge = true;
	int err = 0;

	if (m->edges[first] & EDGE_PARK)
		mmap_unpark(m, addr, size + guard);
	for (; !err && vmap_runs_next(runs, &run); n++) {
		uintptr_t start = at;

		at += run.size;
		huge = huge && vmap_region_is_huge(run.region);
		if (at == addr + size)
			run.size += guard;
		err = mmap_run(start, &run, colour, prot);
	}
	mmap_count(m, n, err);
	if (!err)
		err = mmap_mark(m, addr + size, guard);
	if (!err)
		err = mmap_shield(m, addr, size + guard);
	if (!err)
		mmap_populate(m, addr, size, &again, n, huge);
	/* All of it: a mmap() that fails may have taken the reservation away before. */
	if (err)
		mmap_clear(m, addr, size + guard, m->edges[first] & EDGE_PARK);
	return err;
}

/* How a piece is told from those beside it: what is noted at its end, which is looked for from any page of it on. */
static uint16_t mmap_edge(const struct mmap_mech *m, size_t *page)
{
	while (!m->edges[*page])
		++*page;
	return m->edges[*page] & (EDGE_COLOUR | EDGE_ADVICE);
}

static bool mmap_advise(uintptr_t addr, size_t size, uint16_t edge)
{
	static const int advice[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL};

	return !madvise((void *)addr, size, advice[(edge & EDGE_ADVICE) >> EDGE_ADVICE_SHIFT]);
}

/* With colour and advice of its piece: it may be at an edge. */
static int mmap_replace(struct vmap_mech *mech, uintptr_t addr, const struct vmap_run *run, int prot)
{
	struct mmap_mech *m = mmap_of(mech);
	size_t page = mmap_page(m, addr);
	uint16_t edge;
	int err;

	pthread_mutex_lock(&m->lock);
	edge = mmap_edge(m, &page);
	pthread_mutex_unlock(&m->lock);
	err = mmap_run(addr, run, (edge & EDGE_COLOUR) - 1u, prot);
	mmap_count(m, 1, err);
	if (!err)
		mmap_shield(m, addr, run->size); /* the new page is there, and stays */
	if (!err && edge & EDGE_ADVICE)
		mmap_advise(addr, run->size, edge);
	return err;
}

/* An advice for the right piece that neither the left one nor what lies behind it has, in this colour. */
static uint16_t mmap_other(uint16_t left, uint16_t behind)
{
	uint16_t edge = left & EDGE_COLOUR;

	while (edge == left || edge == behind)
		edge += 1 << EDGE_ADVICE_SHIFT;
	return edge;
}

static int mmap_cut(struct vmap_mech *mech, uintptr_t addr, struct vmap_cut *cut)
{
	struct mmap_mech *m = mmap_of(mech);
	size_t first = mmap_page(m, addr), last = first;
	uint16_t left, right;

	pthread_mutex_lock(&m->lock);
	left = mmap_edge(m, &last);
	right = last + 1 < mech->size >> mech->page_shift ? m->edges[last + 1] & (EDGE_COLOUR | EDGE_ADVICE) : 0;
	pthread_mutex_unlock(&m->lock);
	right = mmap_other(left, right);
	*cut = (struct vmap_cut){.addr = addr, .size = (last + 1 - first) << mech->page_shift};
	if (!mmap_advise(addr, cut->size, right))
		return mmap_error();
	pthread_mutex_lock(&m->lock);
	cut->was[0] = m->edges[first - 1];
	cut->was[1] = m->edges[first];
	m->edges[first - 1] = left;
	m->edges[first] = m->edges[last] = right;
	m->cuts = true;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

/* Should the kernel not merge them now, nobody minds. */
static void mmap_join(struct vmap_mech *mech, const struct vmap_cut *cut)
{
	struct mmap_mech *m = mmap_of(mech);
	size_t first = mmap_page(m, cut->addr), last = mmap_page(m, cut->addr + cut->size - 1);
	uint16_t left;

	pthread_mutex_lock(&m->lock);
	left = m->edges[first - 1];
	m->edges[last] = left;
	m->edges[first] = cut->was[1];
	m->edges[first - 1] = cut->was[0];
	pthread_mutex_unlock(&m->lock);
	mmap_advise(cut->addr, cut->size, left);
}

static int mmap_protect(struct vmap_mech *mech, uintptr_t addr, size_t size, int prot)
{
	(void)mech;
	if (!mprotect((void *)addr, size, prot))
		return 0;
	return errno == ENOMEM ? -VMAP_EOVERFLOW : errno == EACCES ? -VMAP_EACCES : -VMAP_EIO;
}

/* The run that it replaces a part of is cut in two, with the new one between. */
static size_t mmap_cost_replace(void)
{
	return 2;
}

static void mmap_lock(struct vmap_mech *mech)
{
	pthread_mutex_lock(&mmap_of(mech)->lock);
}

static void mmap_unlock(struct vmap_mech *mech)
{
	pthread_mutex_unlock(&mmap_of(mech)->lock);
}

static void mmap_destroy(struct vmap_mech *mech)
{
	struct mmap_mech *m = mmap_of(mech);

	pthread_mutex_destroy(&m->lock);
	vmap_unreserve(&m->reserved);
	free(m);
}

static const struct vmap_mech_ops mmap_ops = {
	.enter = mmap_enter,
	.leave = mmap_leave,
	.besides = mmap_besides,
	.cost_replace = mmap_cost_replace,
	.map = mmap_map,
	.replace = mmap_replace,
	.protect = mmap_protect,
	.cut = mmap_cut,
	.join = mmap_join,
	.unmap = mmap_unmap,
	.unmap_all = mmap_unmap_all,
	.lock = mmap_lock,
	.unlock = mmap_unlock,
	.destroy = mmap_destroy,
};

int vmap_mech_mmap(size_t size, unsigned page_shift, bool inherited, bool guards, struct vmap_mech **mech)
{
	const size_t page = (size_t)1 << page_shift, unit = page > VMAP_WINDOW ? page : VMAP_WINDOW;
	struct mmap_mech *m = calloc(1, sizeof(*m));

	if (!m)
		return -VMAP_ENOMEM;
	m->lead = LEAD * unit;
	if (size <= SIZE_MAX - m->lead)
		m->reservation = vmap_reserve(&m->reserved, m->lead + size, unit, PROT_NONE);
	if (m->reservation)
		m->edges = vmap_reserve_named(&m->reserved, (size >> page_shift) * sizeof(*m->edges), "vmap: edges");
	if (!m->edges || !mmap_ballast(m, true)) {
		vmap_unreserve(&m->reserved);
		free(m);
		return -VMAP_ENOMEM;
	}
	m->mech = (struct vmap_mech){
		.ops = &mmap_ops,
		.base = (uintptr_t)m->reservation + m->lead,
		.size = size,
		.page_shift = page_shift,
		.inherited = inherited,
		.guards = guards,
		.spare = 2,
	};
	m->vectors = true;
	pthread_mutex_init(&m->lock, NULL);
	*mech = &m->mech;
	return 0;
}
