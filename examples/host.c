// SPDX-License-Identifier: MIT
/*
 * Theory: the smallest host. What a kernel supplies, over the page-table host, for one CPU: memory for descriptors, frames for tables,
 * references of pages. The tables are real x86-64 tables in ordinary memory; as no CPU walks them, the program asks
 * vmap_pgtable_lookup() what a CPU would find. docs/porting.md says what a larger kernel adds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <vmap/pgtable.h>
#include <vmap/vmap.h>

#define PAGE 4096
#define BASE ((uintptr_t)0xffffc90000000000) /* addresses to hand out, in the kernel's half */
#define SIZE ((size_t)1 << 30)

/* What the page-table host asks for. Here all memory is mapped one to one: a physical address is a pointer. */

static bool frame_alloc(void *ctx, uint64_t *phys)
{
	void *frame = aligned_alloc(PAGE, PAGE);

	(void)ctx;
	*phys = (uintptr_t)frame;
	return frame;
}

static void frame_free(void *ctx, uint64_t phys)
{
	(void)ctx;
	free((void *)(uintptr_t)phys);
}

static void *phys_to_virt(void *ctx, uint64_t phys)
{
	(void)ctx;
	return (void *)(uintptr_t)phys;
}

/* A kernel executes invlpg for each page, or writes CR4.PGE twice where n is 0, on every CPU. */
static void flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	(void)ctx, (void)ranges, (void)n;
}

static const struct vmap_pgtable_ops ops = {
	.frame_alloc = frame_alloc,
	.frame_free = frame_free,
	.phys_to_virt = phys_to_virt,
	.flush = flush,
};

/* What the core asks for. */

static void *meta_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return malloc(size);
}

static void meta_free(void *ctx, void *mem, size_t size)
{
	(void)ctx, (void)size;
	free(mem);
}

/* With more than one CPU these are atomic, and the last put gives the page back to whoever made it. */
static void page_get(void *ctx, struct vmap_page *const *pages, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		pages[i]->refs++;
}

static void page_put(void *ctx, struct vmap_page *const *pages, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		pages[i]->refs--;
}

static int check(bool good, const char *what)
{
	printf("%s: %s\n", what, good ? "yes" : "NO");
	return !good;
}

int main(void)
{
	static _Alignas(PAGE) unsigned char memory[6][PAGE], root[PAGE];
	static struct vmap_pgtable pgtable; /* the ctx of the hooks above; a kernel puts its own state behind it */
	struct vmap_host host = {
		.version = VMAP_HOST_VERSION,
		.meta_alloc = meta_alloc,
		.meta_free = meta_free,
		.page_get = page_get,
		.page_put = page_put,
	};
	struct vmap_page pages[3], *array[3];
	struct vmap_pgtable_format format;
	struct vmap_pgtable_leaf leaf;
	struct vmap_space *space;
	void *view;
	int bad = 0;

	if (vmap_pgtable_x86_64(&format, &(struct vmap_x86_64_config){.levels = 4, .no_execute = true}) ||
	    vmap_pgtable_init(&pgtable,
			      &(struct vmap_pgtable_config){
				      .format = &format, .ops = &ops, .root = (uintptr_t)root, .base = BASE, .size = SIZE}))
		return 1;
	vmap_pgtable_plug(&pgtable, &host); /* the rest of the host */
	if (vmap_space_create(&host, &(struct vmap_space_config){.base = BASE, .size = SIZE, .lazy_max = SIZE_MAX}, &space))
		return 1;

	for (size_t i = 0; i < 3; i++) { /* frames 4, 2 and 0 of ours: backwards, and no neighbours */
		pages[i] = (struct vmap_page){.frame = (uintptr_t)memory[4 - 2 * i] / PAGE, .refs = 1};
		array[i] = &pages[i];
	}
	if (vmap_pages(space, array, 3, NULL, &view))
		return 1;
	for (size_t i = 0; i < 3; i++)
		bad += check(!vmap_pgtable_lookup(&pgtable, (uintptr_t)view + i * PAGE, &leaf) && leaf.frame == pages[i].frame &&
				     leaf.prot == (VMAP_READ | VMAP_WRITE),
			     "mapped, to be read and written");
	bad += check(vmap_pgtable_lookup(&pgtable, (uintptr_t)view + (size_t)3 * PAGE, &leaf) == -VMAP_ENOENT, "guarded");

	bad += check(!vmap_unmap(space, view) && vmap_pgtable_lookup(&pgtable, (uintptr_t)view, &leaf) == -VMAP_ENOENT,
		     "unmapped");
	bad += check(pages[0].refs == 2, "kept until the flush");
	vmap_purge(space);
	bad += check(pages[0].refs == 1 && pages[1].refs == 1 && pages[2].refs == 1, "given back by it");

	bad += check(!vmap_space_destroy(space), "destroyed");
	vmap_pgtable_fini(&pgtable);
	return bad != 0;
}
