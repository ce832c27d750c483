// SPDX-License-Identifier: MIT
/*
 * The conformance suite over the software MMU.
 *
 *	conformance_softmmu [SHIFT [worker | pins]]
 *
 * SHIFT: base pages have 1 << SHIFT bytes, 4 KiB if not said. worker: where unmaps wait, the host has the purge_wake hook, and a thread that
 * purges when it is called. pins: the core writes table entries itself, and each CPU has a shard.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../conformance/conformance.h"
#include "softmmu.h"

#define BASE_PAGE ((uintptr_t)0x7f12345)
#define FRAMES ((size_t)8192)

static unsigned page_shift = 12;

static bool with_pins;

/* One bed at a time has a worker. */
static bool with_worker, has_worker;
static pthread_t worker;

static void *work(void *arg)
{
	struct conformance_bed *bed = arg;

	while (softmmu_worker_sleep(bed->data))
		vmap_purge(bed->space);
	return NULL;
}

static int setup(struct conformance_bed *bed, size_t size, size_t lazy_max)
{
	struct vmap_space_config config = {.base = BASE_PAGE << page_shift, .size = size, .lazy_max = lazy_max};
	struct softmmu *mmu = softmmu_create_paged(page_shift, config.base, size, FRAMES);

	has_worker = with_worker && lazy_max;
	if (mmu && has_worker)
		softmmu_worker(mmu);
	if (mmu && with_pins) {
		softmmu_pinning(mmu);
		softmmu_shards(mmu, SOFTMMU_CPUS);
	}
	if (!mmu || vmap_space_create(softmmu_host(mmu), &config, &bed->space)) {
		fprintf(stderr, "no memory for a software MMU\n");
		return -1;
	}
	bed->base = config.base;
	bed->size = size;
	bed->page_size = (size_t)1 << page_shift;
	bed->data = mmu;
	return has_worker ? pthread_create(&worker, NULL, work, bed) : 0;
}

static int teardown(struct conformance_bed *bed)
{
	int err = 0;

	if (has_worker) {
		softmmu_worker_end(bed->data);
		pthread_join(worker, NULL);
	}
	err = vmap_space_destroy(bed->space);
	if (err)
		fprintf(stderr, "vmap_space_destroy() gives %d\n", err);
	return softmmu_destroy(bed->data) || err;
}

static const struct vmap_host *host(const struct conformance_bed *bed)
{
	return softmmu_host(bed->data);
}

static int page_alloc(struct conformance_bed *bed, unsigned order, size_t n, struct vmap_page **pages)
{
	return host(bed)->page_alloc(bed->data, order, n, pages);
}

static void page_get(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n)
{
	host(bed)->page_get(bed->data, pages, n);
}

static void page_put(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n)
{
	host(bed)->page_put(bed->data, pages, n);
}

static unsigned page_refs(struct conformance_bed *bed, const struct vmap_page *page)
{
	return softmmu_page_refs(bed->data, page);
}

static unsigned char *page_bytes(struct conformance_bed *bed, const struct vmap_page *page)
{
	return softmmu_page_bytes(bed->data, page);
}

static size_t pages_used(struct conformance_bed *bed)
{
	return softmmu_frames_used(bed->data) << page_shift;
}

/* On each CPU; they agree, or the access is called faulted. */
static bool read_byte(struct conformance_bed *bed, uintptr_t addr, unsigned char *value)
{
	bool done = softmmu_read(bed->data, 0, addr, value);
	unsigned char other;

	for (unsigned cpu = 1; cpu < SOFTMMU_CPUS; cpu++)
		done = softmmu_read(bed->data, cpu, addr, &other) && done && other == *value;
	return done;
}

static bool write_byte(struct conformance_bed *bed, uintptr_t addr, unsigned char value)
{
	return softmmu_write(bed->data, 0, addr, value);
}

static void device_frames(struct conformance_bed *bed, uint64_t *frames, size_t n)
{
	for (size_t i = 0; i < n; i++)
		frames[i] = softmmu_device_frame(bed->data) + SOFTMMU_DEVICE_FRAMES - 1 - 2 * i;
}

static unsigned char *frame_bytes(struct conformance_bed *bed, uint64_t frame)
{
	return softmmu_frame_bytes(bed->data, frame);
}

static unsigned memory_type(struct conformance_bed *bed, uintptr_t addr)
{
	return softmmu_prot(bed->data, addr) & VMAP_MEMORY_MASK;
}

int main(int argc, char **argv)
{
	static struct conformance_host softmmu = {
		.name = "software MMU",
		.setup = setup,
		.teardown = teardown,
		.page_alloc = page_alloc,
		.page_get = page_get,
		.page_put = page_put,
		.page_refs = page_refs,
		.page_bytes = page_bytes,
		.pages_used = pages_used,
		.read = read_byte,
		.write = write_byte,
		.device_frames = device_frames,
		.frame_bytes = frame_bytes,
		.memory_type = memory_type,
		.atomic = softmmu_atomic,
		.run_on = softmmu_run_on,
	};

	if (argc > 1)
		page_shift = (unsigned)strtoul(argv[1], NULL, 10);
	softmmu.page_size = (size_t)1 << page_shift;
	softmmu.worker = with_worker = argc > 2 && !strcmp(argv[2], "worker");
	with_pins = argc > 2 && !strcmp(argv[2], "pins");
	return conformance_run(&softmmu);
}
