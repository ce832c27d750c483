/* SPDX-License-Identifier: MIT */
#ifndef VMAP_PGTABLE_H
#define VMAP_PGTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmap/error.h>
#include <vmap/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The page-table host
 *
 * One walker over a description of the format maps, unmaps, protects and looks up in a kernel's own tables. The embedder
 * supplies six small hooks (struct vmap_pgtable_ops), and makes the object the begin of its own context:
 *
 *	struct my_space { struct vmap_pgtable pgtable; struct vmap_host host; ... };
 *
 *	vmap_pgtable_x86_64(&format, &(struct vmap_x86_64_config){.levels = 4, .no_execute = true});
 *	vmap_pgtable_init(&my->pgtable, &config);
 *	vmap_pgtable_plug(&my->pgtable, &my->host);	(fills in all that is about translations)
 *
 * All other hooks of struct vmap_host then get the address of the struct vmap_pgtable as ctx. The frame of a struct vmap_page is
 * the physical frame number.
 *
 * Threads. map, unmap, protect and look up may run at the same time on disjoint ranges. They take no lock: two atomic operations
 * each keep tables from being given back under them. They may be interrupted and preempted anywhere.
 *
 * Tables. Empty ones are given back by vmap_pgtable_flush(), after a flush of everything, which has to cover what CPUs remember of
 * tables (walk caches). The tables directly below the root stay until vmap_pgtable_fini(), so that root entries, once there, do
 * not change: other roots may hold copies (see root_changed and vmap_pgtable_prefill()); for the same reason the root has no leaves. Only tables made by this object are given
 * back.
 */

/* Formats have at most this many levels. Level 0 maps base pages; the root is the highest. */
#define VMAP_PGTABLE_LEVELS 5

/* One level of a format. */
struct vmap_pgtable_level {
	uint64_t leaf; /* bits that make an entry a leaf; 0: there are no leaves at this level */
	uint64_t table_mask; /* an entry whose bits in this mask are these refers to a table; mask 0: none does */
	uint64_t table_value;
	uint64_t memory_mask; /* bits that hold the memory type of a leaf */
	uint64_t memory[4]; /* those bits by type: write-back, write-combining, uncached, device */
	uint8_t shift; /* log2 of the bytes that an entry covers */
	uint8_t bits; /* log2 of the number of entries of a table */
	uint8_t group; /* log2 of how many leaves can be joined to one translation; 0: none */
};

/* A format, as data. Filled in by one of the functions below; the embedder keeps it as long as the tables. */
struct vmap_pgtable_format {
	uint8_t page_shift;
	uint8_t levels;
	uint8_t frame_shift; /* where in an entry the frame number begins */
	uint8_t sign_extended; /* the highest index bit is repeated above, else what lies above chooses the root */
	uint8_t memory_types; /* bit t: type t can be mapped */
	uint8_t group_frame; /* a joined leaf's lowest frame bits tell the size of the group (riscv64), else they are the leaf's own */
	uint64_t frame_mask; /* bits that hold the frame number */
	uint64_t present; /* the bit that makes an entry valid */
	uint64_t table; /* bits of an entry that refers to a table */
	uint64_t group_bits; /* bits of each leaf of a group */
	uint64_t prot_mask; /* bits of a leaf that hold the protection */
	uint64_t prot[8]; /* those bits, by VMAP_READ | VMAP_WRITE | VMAP_EXEC; READ is always there */
	uint64_t mark; /* a bit of a table entry that hardware ignores: something was taken out of the table */
	uint64_t own; /* another one: this object made the table */
	struct vmap_pgtable_level level[VMAP_PGTABLE_LEVELS];
};

/* x86-64. Base pages of 4 KiB, leaves of 2 MiB. */
struct vmap_x86_64_config {
	unsigned levels; /* 4 or 5 (CR4.LA57) */
	bool no_execute; /* EFER.NXE is set; otherwise everything can be executed */
	bool global; /* leaves outlive a change of CR3 (CR4.PGE) */
	bool gigabyte; /* leaves of 1 GiB too (CPUID 80000001h, EDX bit 26) */
	/*
	 * PAT index, 0 to 7, of write-combining, uncached, device memory, as the IA32_PAT register was programmed; write-back is index 0. 0: this
	 * type is not available. As the CPU comes out of reset, 3 is uncached and nothing is write-combining.
	 */
	uint8_t write_combining, uncached, device;
};

/* aarch64, the EL1&0 regime (or EL2 with VHE), mapped for the kernel alone. */
struct vmap_aarch64_config {
	unsigned page_shift; /* granule: 12, 14 or 16 */
	unsigned va_bits; /* 64 - TCR_EL1.T1SZ: 36 to 48, such that there are at least two levels */
	bool contiguous; /* join aligned leaves with the contiguous hint, where VMAP_LARGE is given */
	bool global; /* leaves are not tagged with an ASID */
	/* Index, 0 to 7, in MAIR_EL1 of each memory type; 0xff: not available. write_back must be. */
	uint8_t write_back, write_combining, uncached, device;
};

/* riscv64. Base pages of 4 KiB, leaves of 2 MiB, 1 GiB, and what the mode has above. */
struct vmap_riscv64_config {
	unsigned levels; /* 3: Sv39, 4: Sv48, 5: Sv57 */
	bool svnapot; /* join 16 aligned base pages, where VMAP_LARGE is given */
	bool svpbmt; /* memory types by table entry; without it the platform decides, and only write-back and device are accepted */
	bool global;
};

/* Fill in a format. -VMAP_EINVAL: no such format. */
VMAP_API int vmap_pgtable_x86_64(struct vmap_pgtable_format *format, const struct vmap_x86_64_config *config);
VMAP_API int vmap_pgtable_aarch64(struct vmap_pgtable_format *format, const struct vmap_aarch64_config *config);
VMAP_API int vmap_pgtable_riscv64(struct vmap_pgtable_format *format, const struct vmap_riscv64_config *config);

/* What the tables need of the embedder. ctx is the one of struct vmap_pgtable_config. */
struct vmap_pgtable_ops {
	/*
	 * One frame for a table: a base page, aligned to its size, contents undefined; gives its physical address. false: there is none.
	 * frame_free gets it back. May sleep.
	 */
	bool (*frame_alloc)(void *ctx, uint64_t *phys);
	void (*frame_free)(void *ctx, uint64_t phys);

	/* Where the kernel can write to this frame. */
	void *(*phys_to_virt)(void *ctx, uint64_t phys);

	/*
	 * As in struct vmap_host. n = 0 covers, besides every translation of the range, what any CPU remembers of tables (walk
	 * caches); with ranges that is not needed. Must make earlier writes to entries visible to the CPUs' walkers first
	 * (aarch64: dsb ishst).
	 */
	void (*flush)(void *ctx, const struct vmap_range *ranges, size_t n);

	/*
	 * Valid entries were written for this range, where there were none: make them visible to the walkers of every CPU (aarch64:
	 * dsb ishst and isb; riscv64: sfence.vma on every hart, or a fault handler that retries). NULL where nothing is needed (x86-64).
	 */
	void (*publish)(void *ctx, uintptr_t addr, size_t size);

	/* Optional: entry index of the root has become value. A kernel with a root a process copies it to the others. */
	void (*root_changed)(void *ctx, unsigned index, uint64_t value);

	/*
	 * Optional, both or none: keep interrupts, and other threads, off this CPU while tables are taken out of use; restore what was.
	 * Needed where map or unmap can be called by what would interrupt a flush.
	 */
	unsigned long (*irq_save)(void *ctx);
	void (*irq_restore)(void *ctx, unsigned long saved);
};

struct vmap_pgtable_config {
	const struct vmap_pgtable_format *format;
	const struct vmap_pgtable_ops *ops;
	void *ctx; /* for the ops */
	uint64_t root; /* physical address of the root table, the embedder's */
	uintptr_t base; /* the range that is worked on, as in struct vmap_space_config; in one half of the address space */
	size_t size;
	/*
	 * As many tables as this may be left empty before a flush goes and looks for them. 0: each flush gives back every empty
	 * table, which makes it a flush of everything; a kernel had better keep some 64.
	 */
	size_t keep;
};

/* Tables of the lowest level that are remembered, and counters for those that have to stay. */
#define VMAP_PGTABLE_NEAR 64
#define VMAP_PGTABLE_PINS 256

/* Belongs to the embedder, which does not look inside. */
struct vmap_pgtable {
	const struct vmap_pgtable_format *format;
	const struct vmap_pgtable_ops *ops;
	void *ctx;
	uint64_t *root;
	uintptr_t base;
	size_t size, keep;
	size_t marked; /* tables that may be empty */
	size_t tables;
	size_t users; /* calls that are under way; the highest bit: tables are being taken out of use */
	uint32_t reclaiming; /* somebody gives tables back */
	uint32_t large; /* something was mapped with VMAP_LARGE */

	/* Of the lowest level: what the format says, as it is used (walk.c, base.c). */
	uintptr_t first; /* where its first table begins */
	size_t leaf_mask; /* entries of a table, less one */
	uint8_t page_shift, leaf_shift, frame_shift; /* of what an entry covers, and a table; of the frame in an entry */
	uint64_t bits[32]; /* of a leaf, by protection and memory type; 0: there is none */
	uint64_t near[VMAP_PGTABLE_NEAR];
	uint32_t pins[VMAP_PGTABLE_PINS];
};

/* A translation. */
struct vmap_pgtable_leaf {
	uint64_t frame; /* frame of the address that was looked up */
	uintptr_t addr; /* what the leaf, or the group of joined leaves, covers */
	size_t size;
	unsigned prot; /* VMAP_READ | ... | the memory type, | VMAP_LARGE if larger than a base page */
};

/*
 * Begin to work on a root. Nothing is allocated.
 *
 * -VMAP_EINVAL: a mandatory hook is missing, a range that is unaligned, empty, wraps or is not all in one half of the address space.
 */
VMAP_API int vmap_pgtable_init(struct vmap_pgtable *pgtable, const struct vmap_pgtable_config *config);

/*
 * Make now all tables directly below the root that the range can need: no root entry changes later. What there is not memory for
 * is made when it is needed. -VMAP_ENOMEM. May sleep.
 */
VMAP_API int vmap_pgtable_prefill(struct vmap_pgtable *pgtable);

/* Give back every empty table after a flush; nobody else uses the object any more. What is still mapped stays, with its tables. */
VMAP_API void vmap_pgtable_fini(struct vmap_pgtable *pgtable);

/*
 * Fill in host's ctx, page_shift, map, map_pfn, map_base, unmap, protect, flush, parts, cut, and what belongs to pin. The hooks sleep
 * only where frame_alloc does; if it does, VMAP_NOWAIT needs twins of map and map_pfn.
 */
VMAP_API void vmap_pgtable_plug(struct vmap_pgtable *pgtable, struct vmap_host *host);

/*
 * Map pages, or count base pages that begin at frame, at addr. prot as in struct vmap_host; with VMAP_LARGE each piece of a page
 * (of the run of frames) is mapped with the largest leaf, or group of leaves, that its address and frame are aligned to. A table that is
 * in the way of such a leaf is empty, and is given back after a flush. Calls publish. May sleep.
 *
 * -VMAP_EINVAL: not all in the range, a memory type that the format has not; of frames also numbers that an entry cannot hold. -VMAP_EEXIST:
 * something is mapped there. -VMAP_ENOMEM: no frame for a table. On failure nothing of the range is mapped, and tables that were made go
 * with the next flush.
 */
VMAP_API int vmap_pgtable_map(struct vmap_pgtable *pgtable, uintptr_t addr, struct vmap_page *const *pages, size_t n,
			      unsigned prot);
VMAP_API int vmap_pgtable_map_frames(struct vmap_pgtable *pgtable, uintptr_t addr, uint64_t frame, size_t count, unsigned prot);

/*
 * Take every translation of [addr, addr + size) away; holes are allowed. A leaf or group that lies only partly in the range is split
 * first: this needs frames, and, as hardware asks for a break before the make, for a moment nothing of that leaf is mapped. CPUs go on
 * using stale translations until vmap_pgtable_flush(). Without a partial leaf it needs no memory, cannot fail, and may be called
 * wherever the irq_save hook makes that safe.
 *
 * -VMAP_EINVAL: not all in the range. -VMAP_ENOMEM: no frame to split a leaf: nothing was unmapped.
 */
VMAP_API int vmap_pgtable_unmap(struct vmap_pgtable *pgtable, uintptr_t addr, size_t size);

/*
 * Give all of [addr, addr + size) the protection prot (VMAP_READ, VMAP_WRITE, VMAP_EXEC; the memory type stays). Partial leaves are split as in
 * vmap_pgtable_unmap(). The old protection may be used until vmap_pgtable_flush().
 *
 * -VMAP_EINVAL: not all in the range. -VMAP_EFAULT: not all of it is mapped. -VMAP_ENOMEM: no frame to split a leaf. No
 * protection was changed then.
 */
VMAP_API int vmap_pgtable_protect(struct vmap_pgtable *pgtable, uintptr_t addr, size_t size, unsigned prot);

/* What translates addr. -VMAP_EINVAL: not in the range. -VMAP_ENOENT: nothing. */
VMAP_API int vmap_pgtable_lookup(struct vmap_pgtable *pgtable, uintptr_t addr, struct vmap_pgtable_leaf *leaf);

/*
 * Flush through the flush hook, ranges as there, and give empty tables back where there are more than config.keep. May sleep if frame_free
 * does. A thread that is about to give tables back does not wait for another one: then they wait for a later flush.
 */
VMAP_API void vmap_pgtable_flush(struct vmap_pgtable *pgtable, const struct vmap_range *ranges, size_t n);

/* Flush everything and give back every empty table that can be, whatever config.keep says: the embedder is short of memory. */
VMAP_API void vmap_pgtable_trim(struct vmap_pgtable *pgtable);

#ifdef __cplusplus
}
#endif
#endif
