/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_MECH_H
#define VMAP_LINUX_MECH_H

#include <vmap/host.h>
#include "budget.h"
#include "region.h"

/*
 * The mechanism
 *
 * How runs of pages come to appear in a reservation of address space. There is one of these between every view and the kernel:
 * mmap() today (mmap.c), for which each run costs a mapping of the process. A kernel facility that shows any number of scattered
 * pages through one mapping is another one; callers do not notice, but for what a view costs.
 *
 * A mechanism owns the reservation. Everything else (who may use which range, what it costs, how long pages live) is its caller's:
 * ranges given to it are page aligned, inside of the reservation, and never used by two calls at once.
 */
struct vmap_mech;

/* What a fault fills of the page tables around its page (fault_around_bytes, if nobody changed it): views that begin at a multiple are cheaper. */
#define VMAP_WINDOW ((size_t)64 << 10)

/* A cut that may be taken back: the piece on its right, and what the mechanism noted beside it before. */
struct vmap_cut {
	uintptr_t addr;
	size_t size;
	uint16_t was[2];
};

struct vmap_mech_ops {
	/*
	 * A view is about to be at [addr, addr + size), and guard bytes behind it are its own. It takes *mappings, one for each of its runs, from the
	 * budget, and one more or less, as it cuts a gap in two or fills it; *mappings is then what it took. leave() follows. False: there
	 * were not so many left, *mappings is how many it would have taken, and no view was ever there, to its neighbours either.
	 */
	bool (*enter)(struct vmap_mech *mech, uintptr_t addr, size_t size, size_t guard, struct vmap_budget *budget,
		      size_t *mappings);
	/* It is over, or could not be mapped. What this returns (-1, 0, 1) is taken: its neighbours may have come or gone meanwhile. */
	int (*leave)(struct vmap_mech *mech, uintptr_t addr, size_t size);
	/* Mappings that a view takes besides its runs, if it has free addresses on both sides: for its guard. */
	size_t (*besides)(struct vmap_mech *mech, uintptr_t addr);
	/* And those that one run more takes at most, in the place of a part of a view. */
	size_t (*cost_replace)(void);

	/*
	 * Show the runs from addr on, size bytes together. May read runs to its end, once. 0, -VMAP_EOVERFLOW: the kernel's limit
	 * of mappings; -VMAP_ENOMEM: another one, of memory or address space; -VMAP_EAGAIN: it has to be entered again, without its guard;
	 * -VMAP_EIO: anything else; nothing is mapped then.
	 */
	int (*map)(struct vmap_mech *mech, uintptr_t addr, size_t size, struct vmap_runs *runs, int prot);

	/* Show another run in the place of a part of a view; what fails has changed nothing. Errors as map(). */
	int (*replace)(struct vmap_mech *mech, uintptr_t addr, const struct vmap_run *run, int prot);

	/*
	 * Let a part of a view allow something else. 0, -VMAP_EOVERFLOW: the kernel's limit of mappings, -VMAP_EACCES: mapped for reading
	 * only; pages before the one that failed may have changed.
	 */
	int (*protect)(struct vmap_mech *mech, uintptr_t addr, size_t size, int prot);

	/*
	 * Let a view without a guard of its own, or a piece of one, become two that meet at addr, and can be ended one by one; a mapping more at
	 * most. 0, -VMAP_EOVERFLOW: the kernel's limit of mappings; nothing has changed then. *cut is for join().
	 */
	int (*cut)(struct vmap_mech *mech, uintptr_t addr, struct vmap_cut *cut);

	/* Take a cut back, the last one that was made there. */
	void (*join)(struct vmap_mech *mech, const struct vmap_cut *cut);

	/* End what map() and cut() made, one or several that touch: every access faults. Cannot fail, whatever the limit says. */
	void (*unmap)(struct vmap_mech *mech, uintptr_t addr, size_t size);

	/*
	 * End several at once; unmap() is still called for each, and has nothing left to do. They are sorted, and nothing lies between one
	 * and the next but guards.
	 */
	void (*unmap_all)(struct vmap_mech *mech, const struct vmap_range *ranges, size_t n);

	/* Take, and give back, the mechanism's lock: around a fork(). */
	void (*lock)(struct vmap_mech *mech);
	void (*unlock)(struct vmap_mech *mech);

	void (*destroy)(struct vmap_mech *mech);
};

struct vmap_mech {
	const struct vmap_mech_ops *ops;
	uintptr_t base; /* the reservation, accessible to nobody where nothing is mapped */
	size_t size;
	unsigned page_shift;
	bool inherited; /* a child process has the views too */
	bool guards; /* guards are marked in the page tables, for as long as the kernel does it; atomic */
	size_t spare; /* mappings that it may have besides those that views take */
	uint64_t calls, runs; /* of the kernel to map, failed ones too, and runs mapped; ever; atomic */
};

/* mmap() over a reservation of size bytes. 0 or -VMAP_ENOMEM. */
int vmap_mech_mmap(size_t size, unsigned page_shift, bool inherited, bool guards, struct vmap_mech **mech);

#endif
