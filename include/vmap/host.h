/* SPDX-License-Identifier: MIT */
#ifndef VMAP_HOST_H
#define VMAP_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmap/page.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The host: everything that libvmap needs from the world, in one place
 *
 * The core is freestanding. It reaches memory, locks, pages and translations only through this structure, which the
 * embedder fills in once and keeps alive, unchanged, as long as a space uses it. A host serves one space: its lock is
 * that space's lock.
 *
 * Order of calls. The core calls no hook but lock and unlock, those of shards and unpin, with a lock held; between those it only touches its own
 * structures, for a time bounded by the depth of a tree. A hook must not call back into the same space. Hooks may be called
 * from several threads at once where the embedder calls the space from several threads; map, unmap and protect are then called
 * for disjoint ranges.
 *
 * Mandatory are meta_alloc, meta_free, page_get, page_put, map, unmap and flush. Every other hook may be NULL; it says what is
 * missing then.
 */

#define VMAP_HOST_VERSION 2

/* A range of virtual addresses, in bytes; both members are multiples of the base page size. */
struct vmap_range {
	uintptr_t addr;
	size_t size;
};

/* What a mapping allows. VMAP_WRITE and VMAP_EXEC imply VMAP_READ. */
#define VMAP_READ 0x1u
#define VMAP_WRITE 0x2u
#define VMAP_EXEC 0x4u

/*
 * What a mapping may ask for besides, or'ed to the above. VMAP_LARGE: translations larger than a base page where address and page
 * allow them; a host may ignore it. The memory type, one of four: write-back where none is given. Another one is for memory
 * that nobody maps write-back at the same time; a host that cannot give it fails the map with -VMAP_EINVAL.
 */
#define VMAP_LARGE 0x10u
#define VMAP_WRITE_COMBINING 0x20u /* not cached; writes may be gathered and reordered: frame buffers */
#define VMAP_UNCACHED 0x40u /* not cached; accesses as the program makes them */
#define VMAP_DEVICE 0x60u /* registers: as uncached, and nothing is read in advance */
#define VMAP_MEMORY_MASK 0x60u

struct vmap_host {
	/* VMAP_HOST_VERSION the embedder was compiled with; vmap_space_create() refuses another with -VMAP_EINVAL. */
	uint32_t version;
	/* log2 of the base page size in bytes: 12 to 30. */
	uint32_t page_shift;
	/* Handed to every hook as its first argument; the core never looks at it. */
	void *ctx;

	/*
	 * Memory for the core's own descriptors: size bytes (more than 0), aligned for any object, contents undefined; NULL when
	 * there is none. meta_free gets the size that was asked for. meta_alloc may sleep; meta_free may not where VMAP_NOWAIT is used.
	 */
	void *(*meta_alloc)(void *ctx, size_t size);
	void (*meta_free)(void *ctx, void *mem, size_t size);

	/*
	 * The space's lock, not recursive. lock returns what unlock needs to restore (an interrupt state, or anything); unlock gets
	 * it back. Both NULL where only one thread ever enters the space.
	 */
	unsigned long (*lock)(void *ctx);
	void (*unlock)(void *ctx, unsigned long saved);

	/*
	 * Make n pages of the given order, one reference each, into pages[0..n-1]; all or nothing. Needed by vmap_alloc() only; may
	 * be NULL (vmap_alloc() then returns -VMAP_EINVAL). 0 or -VMAP_ENOMEM. May sleep.
	 */
	int (*page_alloc)(void *ctx, unsigned order, size_t n, struct vmap_page **pages);

	/*
	 * Take, or give back, one reference on each of pages[0..n-1]; a page may stand in the array more than once. A page whose
	 * last reference is given back is free again. page_get cannot fail.
	 */
	void (*page_get)(void *ctx, struct vmap_page *const *pages, size_t n);
	void (*page_put)(void *ctx, struct vmap_page *const *pages, size_t n);

	/*
	 * Make pages[0..n-1], in order, appear at addr (base page aligned), with protection prot. The core guarantees that the range
	 * lies in the space, was reserved for this call, and has no translation. On return 0 every byte can be used by every CPU:
	 * a host that must publish new entries (dsb+isb, sfence.vma) does so here. On failure (a negative error number, passed on to
	 * the caller) nothing of the range may be left mapped; the core flushes it before pages and addresses go back. May sleep.
	 */
	int (*map)(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot);

	/*
	 * As map, for an area with guard bytes (a multiple of the base page) of guard behind it. Those addresses are the area's as well; the
	 * host may put there what it likes as long as every access faults, and takes it away when unmap is called for the mapped bytes.
	 * With VMAP_NOWAIT it is used only where map_nowait is NULL. NULL: map is called.
	 */
	int (*map_guarded)(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot, size_t guard);

	/*
	 * Take the translations of [addr, addr + size) away. Cannot fail and must not need memory. CPUs may go on using stale
	 * translations until flush: the core keeps addresses and page references back until then.
	 */
	void (*unmap)(void *ctx, uintptr_t addr, size_t size);

	/*
	 * Make sure that no CPU uses a stale translation of any of the n ranges. n = 0 stands for "everything in this space", used
	 * when there would be more than VMAP_FLUSH_RANGES. Cannot fail.
	 */
	void (*flush)(void *ctx, const struct vmap_range *ranges, size_t n);

	/*
	 * Make page appear at addr in the place of the page of the same order that is mapped there, in the area that begins at area;
	 * accesses meanwhile see the one or the other. The core flushes the range before the old page goes back. On failure the old page is
	 * still mapped, and the core flushes the range as well: the new one may have been seen for a moment. Needed by vmap_replace() only; may be NULL (which then returns -VMAP_EINVAL). May sleep.
	 */
	int (*replace)(void *ctx, uintptr_t area, uintptr_t addr, struct vmap_page *page, unsigned prot);

	/*
	 * Give the translations of [addr, addr + size), which all exist, the protection prot (VMAP_READ, VMAP_WRITE, VMAP_EXEC only); the
	 * memory type stays. CPUs may go on using the old protection until flush. A leaf that reaches over an end of the range is
	 * the host's to split. 0, or a negative error number that is passed on: then each page has its old or its new protection.
	 * May sleep. NULL: vmap_protect() returns -VMAP_EINVAL.
	 */
	int (*protect)(void *ctx, uintptr_t addr, size_t size, unsigned prot);

	/*
	 * As map, for n base pages that have no struct vmap_page: frames[i] is the number of the frame to appear i base pages behind
	 * addr. unmap takes them away. May sleep. NULL: vmap_pfn() returns -VMAP_EINVAL.
	 */
	int (*map_pfn)(void *ctx, uintptr_t addr, const uint64_t *frames, size_t n, unsigned prot);

	/*
	 * Twins of meta_alloc, page_alloc, map and map_pfn that never sleep, for calls with VMAP_NOWAIT; they may fail where the other
	 * would have slept. NULL: the other one never sleeps in this host, and is called instead.
	 */
	void *(*meta_alloc_nowait)(void *ctx, size_t size);
	int (*page_alloc_nowait)(void *ctx, unsigned order, size_t n, struct vmap_page **pages);
	int (*map_nowait)(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot);
	int (*map_pfn_nowait)(void *ctx, uintptr_t addr, const uint64_t *frames, size_t n, unsigned prot);

	/*
	 * More waits for a flush than the space's lazy_max: wake a thread that calls vmap_purge(). Never sleeps; called as often as an
	 * unmap finds that so, from the context of that unmap. NULL: no such thread, the unmap that finds it purges. With the hook
	 * it still does where twice lazy_max waits.
	 */
	void (*purge_wake)(void *ctx);

	/*
	 * A number for the CPU that this thread runs on now; it may run on another one a moment later. Never sleeps. vmap_ram() maps out
	 * of a block for each of them (of up to 8; larger numbers share those), and so are shards chosen. NULL: one for all.
	 */
	unsigned (*cpu)(void *ctx);

	/*
	 * Copy size bytes, at most a base page, from addr, which was mapped a moment ago and may not be any more. 0, or -VMAP_EFAULT
	 * where an access faults; a CPU that would fault for good must not be asked to. NULL: vmap_read() uses memcpy(), and its callers keep
	 * the areas alive.
	 */
	int (*copy)(void *ctx, void *to, uintptr_t addr, size_t size);

	/*
	 * What time it is, in a unit of the host's: noted with each unmap, for vmap_explain(). Never sleeps. NULL: nothing is noted.
	 */
	uint64_t (*now)(void *ctx);

	/*
	 * unmap may be called for some of the pages that one map call showed, or for those of several at once. false: vmap_realloc()
	 * returns -VMAP_EINVAL, and so does vmap_sparse_unmap() where it would have to cut a part.
	 */
	bool parts;

	/*
	 * What map and map_pfn calls showed is about to be unmapped in pieces that meet at addrs[0..n-1], borders between two pages or two
	 * frames: whatever can fail about that happens here, and the translations stay what they are. 0, or a negative error number that
	 * is passed on: then nothing will be unmapped. n is 1 or 2. May sleep. NULL: nothing can fail.
	 */
	int (*cut)(void *ctx, const uintptr_t *addrs, size_t n);

	/*
	 * As map, faster: every page has order 0, prot is without VMAP_LARGE. NULL: map is called. With VMAP_NOWAIT it is used only
	 * where map_nowait is NULL.
	 */
	int (*map_base)(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot);

	/*
	 * Table entries that the core writes itself, where the same addresses are mapped again and again. pin makes whatever [addr, addr + size)
	 * needs besides its entries, and gives the first of them: a 64-bit word for each base page, all 0 where nothing is mapped; *n of them
	 * lie one behind the other, at least one. What is behind those is not pinned, but by another call. They stay where they are until unpin,
	 * which is told what of the range is pinned, and may meanwhile be written by map and unmap as well. NULL: there is no memory.
	 *
	 * A base page is shown by the word frame << entry_shift | entry_bits[(prot & 7) | (prot & VMAP_MEMORY_MASK) >> 2], of 32 words (0: not
	 * available, map is asked), taken away by 0, and flushed as what map shows. publish, if it is there, follows where
	 * entries were written, before the range is used. Words are written in one piece each.
	 *
	 * pin may sleep, as map does; with VMAP_NOWAIT it is called only where map_nowait is NULL. unpin is called with locks held: it calls no
	 * one and waits for no one who could want them. Others may use parts of the range by then. pin NULL: there are no such entries.
	 */
	uint64_t *(*pin)(void *ctx, uintptr_t addr, size_t size, size_t *n);
	void (*unpin)(void *ctx, uintptr_t addr, size_t size);
	void (*publish)(void *ctx, uintptr_t addr, size_t size);
	const uint64_t *entry_bits;
	unsigned entry_shift;

	/*
	 * Further locks, for CPUs that map and unmap at the same time: shards of them (more than 8 are not used), numbered from 0. As lock and
	 * unlock, which must be there, too, and so must cpu: a CPU takes the lock of its own number first. They nest: the space's lock, then
	 * those of shards by rising number. Both NULL: there is the space's lock only.
	 */
	unsigned long (*lock_shard)(void *ctx, unsigned shard);
	void (*unlock_shard)(void *ctx, unsigned shard, unsigned long saved);
	unsigned shards; /* at least 1 where there is lock_shard */
};

/* flush() never gets more ranges than this; beyond it the core asks for everything. */
#define VMAP_FLUSH_RANGES 32

#ifdef __cplusplus
}
#endif
#endif
