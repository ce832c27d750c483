/* SPDX-License-Identifier: MIT */
#ifndef VMAP_SPACE_H
#define VMAP_SPACE_H

#include <stddef.h>
#include <stdint.h>
#include <vmap/error.h>
#include <vmap/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Spaces
 *
 * A space is one range of virtual addresses that libvmap hands out in areas. Everything libvmap knows hangs off it: there
 * are no globals, and spaces do not know of each other.
 *
 * Life of an address range: free -> reserved -> mapped -> unmapped (lazy) -> flushed -> free. Neither the addresses nor the page
 * references of an area are given out again before the flush.
 *
 * Contexts: every function here may be called from any thread that may take the host's lock and, where it says "may sleep",
 * may call the host's sleeping hooks. None may be called from inside a hook.
 */
struct vmap_space;

struct vmap_space_config {
	uintptr_t base; /* first address; base page aligned, not 0 */
	size_t size; /* bytes; a multiple of the base page size, at least one page; base + size must not wrap */
	/*
	 * How many bytes of unmapped ranges (guards counted) may wait for one flush. 0: every unmap flushes at once
	 * (synchronous). SIZE_MAX: flush only when addresses run out, or on vmap_purge(). Short-lived maps count without guards, and up to
	 * 256 base pages of them may wait besides.
	 */
	size_t lazy_max;
	/*
	 * For debugging. More than 0: every unmap flushes at once and gives the pages back, but its addresses stay out of use until so
	 * many bytes were unmapped after it (or addresses run out). A use after the unmap then faults, and vmap_explain() knows
	 * whose address that was and who unmapped it. Short-lived maps (vmap_ram()) are flushed at once as well, but not kept out of use.
	 */
	size_t quarantine;
};

/*
 * Totals, kept up to date as things happen; only those of short-lived maps are added up when they are read. Sizes in bytes. An area counts as live
 * from the moment its addresses are reserved until its unmapping begins, and as lazy from there until its addresses are free.
 */
struct vmap_stats {
	size_t areas; /* live areas; a sparse one is one */
	size_t mapped; /* bytes of live areas, without guards and holes */
	size_t holes; /* bytes of live sparse areas where nothing is mapped */
	size_t guards; /* bytes of their guards */
	size_t lazy_areas; /* unmapped areas, and parts of sparse ones, that wait for the flush */
	size_t lazy; /* bytes of those, guards counted */
	size_t quarantined; /* bytes of areas that were flushed and are kept out of use, guards counted */
	size_t ram; /* bytes of blocks for short-lived maps where there are none: only vmap_ram() hands them out */
	size_t free; /* bytes that could be handed out now (all from mapped on, without lazy_areas: the size of the space) */
	size_t pages_held; /* page references held, of live and lazy areas */
	uint64_t maps; /* areas that were made, ever */
	uint64_t unmaps; /* and that were unmapped, ever */
	uint64_t flushes; /* calls of the flush hook, ever */
	uint64_t pool_hits; /* ranges found in an exact-size pool, without a search of the tree, ever */
};

/* One area, as it was when it was looked at. */
struct vmap_area_info {
	uintptr_t addr; /* first mapped byte */
	size_t size; /* mapped bytes */
	size_t guard; /* bytes of unmapped guard that follow */
	size_t pages; /* entries of the page array; of a sparse area: of all its parts */
	unsigned flags; /* the VMAP_... flags it was made with */
	unsigned prot; /* VMAP_READ | ...; of a sparse area: of the part that was looked at, or what its options said */
	int state; /* enum vmap_state */
	const char *tag; /* the caller's tag, or NULL */
	uint64_t
		generation; /* which of the space's areas this is, counted from 1: addresses come again, this does not; 0: a short-lived map */
};

enum vmap_state {
	VMAP_STATE_FREE = 0, /* not in any area */
	VMAP_STATE_MAPPED, /* mapped bytes of a live area */
	VMAP_STATE_GUARD, /* guard of a live area */
	VMAP_STATE_RAM, /* in a block for short-lived maps, where there is none */
	VMAP_STATE_LAZY, /* an area (or its guard), or a part of a sparse one, that was unmapped and waits for its flush */
	VMAP_STATE_QUARANTINED, /* an area (or its guard) that was unmapped and flushed, and is kept out of use */
	VMAP_STATE_HOLE, /* in a live sparse area, where nothing is mapped */
};

/*
 * Make a space over a host. host must stay as it is until vmap_space_destroy(). May sleep.
 *
 * -VMAP_EINVAL: a mandatory hook is missing, another host version, an unaligned, empty or wrapping range.
 * -VMAP_ENOMEM: no descriptor memory.
 */
VMAP_API int vmap_space_create(const struct vmap_host *host, const struct vmap_space_config *config, struct vmap_space **space);

/*
 * Flush what waits, give every descriptor back, and end the space. May sleep. Nobody else may use the space any more.
 *
 * -VMAP_EBUSY: areas are live; nothing was changed.
 */
VMAP_API int vmap_space_destroy(struct vmap_space *space);

/* Fill in *stats: one consistent set, but for short-lived maps that come and go meanwhile. Any context that may take the lock; O(blocks of those). */
VMAP_API void vmap_space_stats(struct vmap_space *space, struct vmap_stats *stats);

/*
 * Barrier: when this returns, every range whose unmapping returned before the call is flushed, its addresses are free, and its
 * page references are given back; only where another thread completes the same ranges at the same time may that thread's
 * call of the page_put hook still be under way. Never waits for another thread. May sleep.
 */
VMAP_API void vmap_purge(struct vmap_space *space);

/*
 * What is at addr: fills in *info with the area that covers it, its guard and holes included (state says which). O(log areas).
 *
 * -VMAP_ENOENT: free, or outside the space; info->state is VMAP_STATE_FREE, the rest is 0.
 */
VMAP_API int vmap_area_at(struct vmap_space *space, const void *addr, struct vmap_area_info *info);

/* What a fault handler can say about an address. */
struct vmap_explanation {
	int state; /* enum vmap_state */
	struct vmap_area_info area; /* the area that covers addr, its guard included; all 0 where there is none */
	size_t beyond; /* of a guard: bytes from the last mapped byte to addr; else 0 */
	const void *unmapped_by; /* of a lazy or quarantined area, or lazy part: where its end was called from; else NULL */
	uint64_t unmapped_at; /* and what the host's now hook said then; 0: there is no such hook */
	struct vmap_area_info below, above; /* the nearest areas that do not cover addr; size 0: there is none */
	struct vmap_range part; /* of a sparse area: the part or the hole that addr lies in; else size 0 */
};

/*
 * Explain addr. In VMAP_STATE_MAPPED the area's protection or its host's translations are to be asked why it faults. Any context that may take
 * the lock. O(log areas).
 *
 * -VMAP_ENOENT: free (then below and above say what is near). -VMAP_EINVAL: not an address of the space.
 */
VMAP_API int vmap_explain(struct vmap_space *space, const void *addr, struct vmap_explanation *why);

/*
 * Copy [from, from + size) to to, as /proc/kcore does it: what is mapped is copied; guards, free addresses, holes, device memory and
 * what is unmapped meanwhile become zeros. *copied is how many bytes were mapped. Without the copy hook the caller makes sure
 * that no area there is unmapped meanwhile. O(log areas) a piece. -VMAP_EINVAL: the range wraps.
 */
VMAP_API int vmap_read(struct vmap_space *space, void *to, const void *from, size_t size, size_t *copied);

/*
 * The page that backs addr, and how many bytes into that page addr lies. The pointer is the caller's own; it is good for as
 * long as the caller makes sure that the area is not unmapped. O(log areas + log entries).
 *
 * -VMAP_ENOENT: no live area there. -VMAP_EFAULT: no page there: the guard or a hole of a live area, or frames that have none.
 */
VMAP_API int vmap_page_at(struct vmap_space *space, const void *addr, struct vmap_page **page, size_t *offset);

/*
 * Iteration, as /proc/vmallocinfo does it, with no lock held between the calls: fills in *info with the first area, live or
 * lazy, whose address is at least *cursor, and moves *cursor behind it. Start with *cursor = 0. An area that is made or
 * unmapped meanwhile may or may not be seen; every other one is seen exactly once, in address order. O(log areas) a call.
 *
 * -VMAP_ENOENT: no further area.
 */
VMAP_API int vmap_area_next(struct vmap_space *space, uintptr_t *cursor, struct vmap_area_info *info);

#ifdef __cplusplus
}
#endif
#endif
