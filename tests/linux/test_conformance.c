/* SPDX-License-Identifier: MIT */
/* The conformance suite over the Linux-process host; with the argument "marked", with guards that are marks in the page table. */
#include "support.h"

#include "conformance.h"
#include "linux/process.h"

static unsigned guards = VMAP_GUARDS_UNMAPPED;

static int bed_setup(struct conformance_bed *bed, size_t size, size_t lazy_max)
{
	struct vmap_process_config config = {
		.pool_max = (size_t)64 << 20, .space_size = size, .lazy_max = lazy_max, .guards = guards};
	struct vmap_process *process;
	int err = vmap_process_create(&config, &process);

	if (err) {
		fprintf(stderr, "vmap_process_create: %d\n", err);
		return err;
	}
	bed->space = vmap_process_space(process);
	bed->base = process->views.mech->base;
	bed->size = size;
	bed->page_size = (size_t)1 << process->pool.page_shift;
	bed->data = process;
	return 0;
}

/* Views that were all unmapped leave the reservation as it was: nothing accessible, one mapping. */
static int bed_teardown(struct conformance_bed *bed)
{
	struct vmap_process *process = bed->data;
	int err;

	for (uintptr_t at = bed->base; at < bed->base + bed->size; at += bed->page_size) {
		uint8_t byte;

		if (vmap_views_cost(&process->views, at, bed->page_size).mappings || try_read((void *)at, &byte)) {
			fprintf(stderr, "%#zx: still mapped\n", (size_t)at);
			return -1;
		}
	}
	err = vmap_process_destroy(process);
	if (err)
		fprintf(stderr, "vmap_process_destroy: %d\n", err);
	return err;
}

static int bed_page_alloc(struct conformance_bed *bed, unsigned order, size_t n, struct vmap_page **pages)
{
	return vmap_page_alloc(bed->data, order, n, pages);
}

static void bed_page_get(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n)
{
	vmap_page_get(bed->data, pages, n);
}

static void bed_page_put(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n)
{
	vmap_page_put(bed->data, pages, n);
}

static unsigned bed_page_refs(struct conformance_bed *bed, const struct vmap_page *page)
{
	(void)bed;
	return __atomic_load_n(&page->refs, __ATOMIC_RELAXED);
}

static unsigned char *bed_page_bytes(struct conformance_bed *bed, const struct vmap_page *page)
{
	return vmap_page_address(bed->data, page);
}

static size_t bed_pages_used(struct conformance_bed *bed)
{
	struct vmap_process_stats stats;

	vmap_process_stats(bed->data, &stats);
	return stats.pool_pages * bed->page_size;
}

static bool bed_read(struct conformance_bed *bed, uintptr_t addr, unsigned char *value)
{
	(void)bed;
	return try_read((void *)addr, value);
}

static bool bed_write(struct conformance_bed *bed, uintptr_t addr, unsigned char value)
{
	(void)bed;
	return try_write((void *)addr, value);
}

int main(int argc, char **argv)
{
	static const struct conformance_host host = {
		.name = "linux",
		.setup = bed_setup,
		.teardown = bed_teardown,
		.page_alloc = bed_page_alloc,
		.page_get = bed_page_get,
		.page_put = bed_page_put,
		.page_refs = bed_page_refs,
		.page_bytes = bed_page_bytes,
		.pages_used = bed_pages_used,
		.read = bed_read,
		.write = bed_write,
	};

	if (argc > 1)
		guards = VMAP_GUARDS_MARKED;
	(void)argv;
	return conformance_run(&host);
}
