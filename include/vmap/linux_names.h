/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_NAMES_H
#define VMAP_LINUX_NAMES_H

#include <stdbool.h>
#include <vmap/vmap.h>

/*
 * Linux's names
 *
 * For kernel code in C (C++ sees nothing of this) that was written for Linux's vmap API. Everything here is inline, over one space that the embedder provides;
 * the library has none of these names. struct page is the embedder's: its first member is a struct vmap_page. Arrays of pages are handed over
 * as they are, so build with -fno-strict-aliasing, as Linux is.
 *
 * What differs: vmap() and vm_map_ram() hold a reference on each page until the flush, so that freeing a page right after the unmap
 * is safe; where Linux warns about a bad address and goes on, so does this, silently; pages are zeroed only where the name says so.
 * What describes an area (struct vm_struct) lies in a page of its own from vmalloc(); pcpu_get_vm_areas() leaves no guards, as Linux does; find_vm_area()
 * fills in the caller's. A node is not looked at, and the kvmalloc() family is vmalloc()'s: small sizes take pages, too. PAGE_SHIFT is 12, and
 * GFP_ flags are those below, unless they were defined before.
 * Linux's vmap_pfn() has the name of this library's own: call that one. The _nowait functions are for where Linux allows interrupts.
 */
#ifndef __cplusplus

extern struct vmap_space *vmap_default_space;

struct page;

typedef struct {
	unsigned prot;
} pgprot_t;

#define PAGE_KERNEL ((pgprot_t){VMAP_READ | VMAP_WRITE})
#define PAGE_KERNEL_RO ((pgprot_t){VMAP_READ})
#define PAGE_KERNEL_EXEC ((pgprot_t){VMAP_READ | VMAP_WRITE | VMAP_EXEC})
#define PAGE_KERNEL_ROX ((pgprot_t){VMAP_READ | VMAP_EXEC})

static inline pgprot_t pgprot_of_memory(pgprot_t prot, unsigned memory)
{
	prot.prot = (prot.prot & ~VMAP_MEMORY_MASK) | memory;
	return prot;
}

#define pgprot_noncached(prot) pgprot_of_memory(prot, VMAP_UNCACHED)
#define pgprot_writecombine(prot) pgprot_of_memory(prot, VMAP_WRITE_COMBINING)
#define pgprot_device(prot) pgprot_of_memory(prot, VMAP_DEVICE)

/* Flags of vmap(). Others are ignored. */
#define VM_IOREMAP 0x01ul
#define VM_ALLOC 0x02ul
#define VM_MAP 0x04ul
#define VM_NO_GUARD 0x40ul
#define VM_MAP_PUT_PAGES 0x200ul
#define VM_SPARSE 0x1000ul

#ifndef PAGE_SHIFT
#define PAGE_SHIFT 12
#endif

typedef unsigned gfp_t;

#ifndef GFP_KERNEL
#define __GFP_ZERO 0x1u
#define __GFP_NOWAIT 0x2u
#define __GFP_HIGHMEM 0u
#define __GFP_NOWARN 0u
#define __GFP_NORETRY 0u
#define __GFP_RETRY_MAYFAIL 0u
#define GFP_KERNEL 0u
#define GFP_NOFS 0u
#define GFP_NOIO 0u
#define GFP_USER 0u
#define GFP_NOWAIT __GFP_NOWAIT
#define GFP_ATOMIC __GFP_NOWAIT
#endif

#ifndef NUMA_NO_NODE
#define NUMA_NO_NODE (-1)
#endif

static inline void *vmap(struct page **pages, unsigned count, unsigned long flags, pgprot_t prot)
{
	struct vmap_options options = {.prot = prot.prot};
	void *addr;

	options.flags |= flags & VM_NO_GUARD ? VMAP_NO_GUARD : 0;
	options.flags |= flags & VM_MAP_PUT_PAGES ? VMAP_PUT_PAGES : 0;
	vmap_pages(vmap_default_space, (struct vmap_page *const *)(void *)pages, count, &options, &addr);
	return addr;
}

static inline void vunmap(const void *addr)
{
	if (addr)
		vmap_unmap(vmap_default_space, addr);
}

static inline void *__vmalloc(unsigned long size, gfp_t gfp)
{
	struct vmap_options options = {.flags = gfp & __GFP_NOWAIT ? VMAP_NOWAIT : 0};
	void *addr;

	if (!vmap_alloc(vmap_default_space, size, 0, &options, &addr) && gfp & __GFP_ZERO)
		__builtin_memset(addr, 0, ((size - 1) | ((1ul << PAGE_SHIFT) - 1)) + 1);
	return addr;
}

static inline void *vmalloc(unsigned long size)
{
	return __vmalloc(size, GFP_KERNEL);
}

static inline void *vzalloc(unsigned long size)
{
	return __vmalloc(size, GFP_KERNEL | __GFP_ZERO);
}

static inline void *vmalloc_node(unsigned long size, int node)
{
	(void)node;
	return vmalloc(size);
}

static inline void *vzalloc_node(unsigned long size, int node)
{
	(void)node;
	return vzalloc(size);
}

/* Zero, as what a user may see has to be. */
static inline void *vmalloc_user(unsigned long size)
{
	return vzalloc(size);
}

static inline void *kvmalloc(size_t size, gfp_t gfp)
{
	return __vmalloc(size, gfp);
}

static inline void *kvzalloc(size_t size, gfp_t gfp)
{
	return __vmalloc(size, gfp | __GFP_ZERO);
}

static inline void *kvmalloc_node(size_t size, gfp_t gfp, int node)
{
	(void)node;
	return __vmalloc(size, gfp);
}

/* -> NULL, too, where n * size wraps. */
static inline void *kvmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	return size && n > SIZE_MAX / size ? NULL : __vmalloc(n * size, gfp);
}

static inline void *kvcalloc(size_t n, size_t size, gfp_t gfp)
{
	return kvmalloc_array(n, size, gfp | __GFP_ZERO);
}

static inline void *vmalloc_array(size_t n, size_t size)
{
	return kvmalloc_array(n, size, GFP_KERNEL);
}

static inline void *vcalloc(size_t n, size_t size)
{
	return kvcalloc(n, size, GFP_KERNEL);
}

/* Also ends what vmap() made with VM_MAP_PUT_PAGES. */
static inline void vfree(const void *addr)
{
	if (addr && vmap_free(vmap_default_space, addr) == -VMAP_EINVAL)
		vmap_unmap(vmap_default_space, addr);
}

static inline void kvfree(const void *addr)
{
	vfree(addr);
}

/* Bytes of the live area that begins at addr; 0: there is none. */
static inline unsigned long vmap_size_at(const void *addr)
{
	struct vmap_area_info info;

	return vmap_area_at(vmap_default_space, addr, &info) || info.addr != (uintptr_t)addr ? 0 : info.size;
}

/* Nothing is copied: where there is no room behind, the pages are mapped somewhere else. With __GFP_ZERO what is new is zero, and what is cut off. */
static inline void *vrealloc(const void *addr, unsigned long size, gfp_t gfp)
{
	unsigned long old = addr ? vmap_size_at(addr) : 0, kept = size < old ? size : old;
	void *moved = (void *)(uintptr_t)addr;

	if (!addr)
		return __vmalloc(size, gfp);
	if (!size) {
		vfree(addr);
		return NULL;
	}
	if (vmap_realloc_move(vmap_default_space, &moved, size, 0, NULL))
		return NULL;
	if (gfp & __GFP_ZERO)
		__builtin_memset((char *)moved + kept, 0, vmap_size_at(moved) - kept);
	return moved;
}

/* From any context: the flush is left to others. */
static inline void vfree_atomic(const void *addr)
{
	if (addr && vmap_free_nowait(vmap_default_space, addr) == -VMAP_EINVAL)
		vmap_unmap_nowait(vmap_default_space, addr);
}

static inline void *vm_map_ram(struct page **pages, unsigned count, int node)
{
	void *addr;

	(void)node;
	vmap_ram(vmap_default_space, (struct vmap_page *const *)(void *)pages, count, 0, 0, &addr);
	return addr;
}

/* The size of a map is known; count is not looked at. */
static inline void vm_unmap_ram(const void *addr, unsigned count)
{
	(void)count;
	vmap_ram_unmap(vmap_default_space, addr);
}

static inline void vm_unmap_aliases(void)
{
	vmap_purge(vmap_default_space);
}

/* Of an address in a page of a higher order: that page. */
static inline struct page *vmalloc_to_page(const void *addr)
{
	struct vmap_page *page;
	size_t offset;

	return vmap_page_at(vmap_default_space, addr, &page, &offset) ? NULL : (struct page *)(void *)page;
}

/* The frame that addr lies in; 0: none. */
static inline unsigned long vmalloc_to_pfn(const void *addr)
{
	struct vmap_page *page;
	size_t offset;

	return vmap_page_at(vmap_default_space, addr, &page, &offset) ? 0 : (unsigned long)(page->frame + (offset >> PAGE_SHIFT));
}

static inline bool is_vmalloc_addr(const void *addr)
{
	struct vmap_explanation why;

	return vmap_explain(vmap_default_space, addr, &why) != -VMAP_EINVAL;
}

/* Before and after a device has read or written pages behind a mapping: for caches that tell addresses apart, which no page-table format here has. */
static inline void flush_kernel_vmap_range(void *addr, int size)
{
	(void)addr;
	(void)size;
}

static inline void invalidate_kernel_vmap_range(void *addr, int size)
{
	(void)addr;
	(void)size;
}

/* What Linux's find_vm_area() gives a pointer to, as it is now. */
struct vm_struct {
	void *addr;
	unsigned long size; /* with the guard */
	unsigned long flags;
	unsigned nr_pages;
	const void *caller; /* the tag */
};

/* false: no live area covers addr. */
static inline bool find_vm_area(const void *addr, struct vm_struct *area)
{
	struct vmap_area_info info;

	if (vmap_area_at(vmap_default_space, addr, &info) || (info.state != VMAP_STATE_MAPPED && info.state != VMAP_STATE_GUARD))
		return false;
	area->addr = (void *)info.addr;
	area->size = info.size + info.guard;
	area->flags = 0;
	area->nr_pages = (unsigned)info.pages;
	area->caller = info.tag;
	return true;
}

/* Addresses without pages. */
static inline struct vm_struct *get_vm_area(unsigned long size, unsigned long flags)
{
	struct vmap_options options = {.flags = flags & VM_NO_GUARD ? VMAP_NO_GUARD : 0};
	struct vm_struct *area = (struct vm_struct *)vzalloc(sizeof(*area));
	struct vmap_area_info info;

	if (!area)
		return NULL;
	if (vmap_sparse(vmap_default_space, size, &options, &area->addr)) {
		vfree(area);
		return NULL;
	}
	vmap_area_at(vmap_default_space, area->addr, &info);
	area->size = info.size + info.guard;
	area->flags = flags;
	return area;
}

static inline unsigned long get_vm_area_size(const struct vm_struct *area)
{
	return area->flags & VM_NO_GUARD ? area->size : area->size - (1ul << PAGE_SHIFT);
}

/* With what is still mapped in it. */
static inline void free_vm_area(struct vm_struct *area)
{
	vmap_sparse_free(vmap_default_space, area->addr);
	vfree(area);
}

static inline int vm_area_check(const struct vm_struct *area, unsigned long start, unsigned long end)
{
	unsigned long first = (unsigned long)(uintptr_t)area->addr;

	if (!(area->flags & VM_SPARSE) || start >= end)
		return -VMAP_EINVAL;
	return start < first || end > first + get_vm_area_size(area) ? -VMAP_ERANGE : 0;
}

/* A base page an entry. */
static inline int vm_area_map_pages(struct vm_struct *area, unsigned long start, unsigned long end, struct page **pages)
{
	int err = vm_area_check(area, start, end);

	return err ? err
		   : vmap_sparse_map(vmap_default_space, (void *)start, (struct vmap_page *const *)(void *)pages,
				     (end - start) >> PAGE_SHIFT, 0, 0);
}

static inline void vm_area_unmap_pages(struct vm_struct *area, unsigned long start, unsigned long end)
{
	if (!vm_area_check(area, start, end))
		vmap_sparse_unmap(vmap_default_space, (void *)start, end - start);
}

/* Reserve areas at base + offsets[i] for one aligned base. The offsets may come in any order. */
static inline struct vm_struct **pcpu_get_vm_areas(const unsigned long *offsets, const size_t *sizes, int nr_vms, size_t align)
{
	struct vmap_options options = {.flags = VMAP_NO_GUARD, .align = align};
	size_t n = (size_t)nr_vms, at;
	/* The array that is given back, the areas, and for the call: offsets, sizes and addresses by rising offset, and whose they are. */
	struct vm_struct **vms =
		(struct vm_struct **)vzalloc(n * (sizeof(void *) + sizeof(struct vm_struct) + 4 * sizeof(size_t)));
	struct vm_struct *areas = (struct vm_struct *)(void *)(vms + n);
	size_t *sorted = (size_t *)(void *)(areas + n), *lengths = sorted + n, *whose = lengths + n;
	void **addrs = (void **)(void *)(whose + n);

	if (!vms)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		for (at = i; at > 0 && sorted[at - 1] > offsets[i]; at--) {
			sorted[at] = sorted[at - 1];
			lengths[at] = lengths[at - 1];
			whose[at] = whose[at - 1];
		}
		sorted[at] = offsets[i];
		lengths[at] = sizes[i];
		whose[at] = i;
	}
	if (vmap_congruent(vmap_default_space, sorted, lengths, n, &options, addrs)) {
		vfree(vms);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		vms[whose[i]] = &areas[i];
		areas[i].addr = addrs[i];
		areas[i].size = lengths[i];
		areas[i].flags = VM_ALLOC | VM_NO_GUARD | VM_SPARSE;
	}
	return vms;
}

static inline void pcpu_free_vm_areas(struct vm_struct **vms, int nr_vms)
{
	for (int i = 0; i < nr_vms; i++)
		vmap_sparse_free(vmap_default_space, vms[i]->addr);
	vfree(vms);
}

#endif /* C */
#endif
