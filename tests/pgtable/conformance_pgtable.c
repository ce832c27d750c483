// SPDX-License-Identifier: MIT
/*
 * Theory: the conformance suite over the page-table host. Pages, descriptors and locks are the software MMU's, which also maps and unmaps
 * everything in its own tables: it judges what the core does, and is what the page tables are compared with.
 *
 * With pins the core writes entries by itself, and each CPU has a shard. The software MMU would not see what is mapped then: only the two CPUs over
 * the page tables (machine.h) judge, and they are asked whether they remember a page whose last reference is given back.
 *
 * conformance_pgtable MODE KEEP [pins]: the number of a format, and how many empty tables may be kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../conformance/bed.h"
#include "../softmmu/softmmu.h"
#include "modes.h"

#define FRAMES ((size_t)8192)
#define TABLES ((size_t)128)

/* The software MMU knows 36 bits of page number: its range begins here. */
#define SOFT_BASE_PAGE ((uintptr_t)0x7f12345)

struct rig {
	struct vmap_pgtable pgtable; /* first: it is the ctx of the hooks */
	struct vmap_pgtable_format format;
	struct vmap_host host;
	struct machine *machine;
	struct softmmu *mmu;
	const struct vmap_host *soft;
};

static const struct mode *mode;
static size_t keep;
static bool with_pins;

static uintptr_t soft_addr(uintptr_t addr)
{
	return addr - mode->base + (SOFT_BASE_PAGE << mode->decode.granule);
}

static struct rig *rig_of(const struct conformance_bed *bed)
{
	return bed->data;
}

static void *meta_alloc(void *ctx, size_t size)
{
	struct rig *rig = ctx;

	return rig->soft->meta_alloc(rig->mmu, size);
}

static void meta_free(void *ctx, void *mem, size_t size)
{
	struct rig *rig = ctx;

	rig->soft->meta_free(rig->mmu, mem, size);
}

static unsigned long lock(void *ctx)
{
	struct rig *rig = ctx;

	return rig->soft->lock(rig->mmu);
}

static void unlock(void *ctx, unsigned long saved)
{
	struct rig *rig = ctx;

	rig->soft->unlock(rig->mmu, saved);
}

static int page_alloc(void *ctx, unsigned order, size_t n, struct vmap_page **pages)
{
	struct rig *rig = ctx;

	return rig->soft->page_alloc(rig->mmu, order, n, pages);
}

static void page_get(void *ctx, struct vmap_page *const *pages, size_t n)
{
	struct rig *rig = ctx;

	rig->soft->page_get(rig->mmu, pages, n);
}

static void page_put(void *ctx, struct vmap_page *const *pages, size_t n)
{
	struct rig *rig = ctx;

	rig->soft->page_put(rig->mmu, pages, n);
}

static unsigned cpu(void *ctx)
{
	struct rig *rig = ctx;

	return rig->soft->cpu(rig->mmu);
}

static unsigned long lock_shard(void *ctx, unsigned shard)
{
	struct rig *rig = ctx;

	return rig->soft->lock_shard(rig->mmu, shard);
}

static void unlock_shard(void *ctx, unsigned shard, unsigned long saved)
{
	struct rig *rig = ctx;

	rig->soft->unlock_shard(rig->mmu, shard, saved);
}

/* The page-table host's own hooks, as plug() gives them. */
static struct vmap_host plugged;

static int map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	struct rig *rig = ctx;
	int err = plugged.map(ctx, addr, pages, n, prot);

	return err ? err : rig->soft->map(rig->mmu, soft_addr(addr), pages, n, prot);
}

static int map_base(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	struct rig *rig = ctx;
	int err = plugged.map_base(ctx, addr, pages, n, prot);

	return err ? err : rig->soft->map(rig->mmu, soft_addr(addr), pages, n, prot);
}

static int map_pfn(void *ctx, uintptr_t addr, const uint64_t *frames, size_t n, unsigned prot)
{
	struct rig *rig = ctx;
	int err = plugged.map_pfn(ctx, addr, frames, n, prot);

	return err ? err : rig->soft->map_pfn_nowait(rig->mmu, soft_addr(addr), frames, n, prot);
}

static int protect(void *ctx, uintptr_t addr, size_t size, unsigned prot)
{
	struct rig *rig = ctx;
	int err = rig->soft->protect(rig->mmu, soft_addr(addr), size, prot);

	return err ? err : plugged.protect(ctx, addr, size, prot);
}

static int cut(void *ctx, const uintptr_t *addrs, size_t n)
{
	struct rig *rig = ctx;
	uintptr_t soft[] = {soft_addr(addrs[0]), soft_addr(addrs[n - 1])};
	int err = rig->soft->cut(rig->mmu, soft, n);

	return err ? err : plugged.cut(ctx, addrs, n);
}

static int copy(void *ctx, void *to, uintptr_t addr, size_t size)
{
	struct rig *rig = ctx;

	return rig->soft->copy(rig->mmu, to, soft_addr(addr), size);
}

static void unmap(void *ctx, uintptr_t addr, size_t size)
{
	struct rig *rig = ctx;

	plugged.unmap(ctx, addr, size);
	rig->soft->unmap(rig->mmu, soft_addr(addr), size);
}

static void flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	struct vmap_range soft[VMAP_FLUSH_RANGES];
	struct rig *rig = ctx;

	plugged.flush(ctx, ranges, n);
	for (size_t i = 0; i < n; i++)
		soft[i] = (struct vmap_range){soft_addr(ranges[i].addr), ranges[i].size};
	rig->soft->flush(rig->mmu, soft, n);
}

/* Where both CPUs find this byte. false: one of them faults, or they differ. */
static bool locate(struct rig *rig, uintptr_t addr, bool write, unsigned char **byte)
{
	uint64_t eager, lazy, page = (uint64_t)1 << mode->decode.granule;
	bool done = machine_translate(rig->machine, MACHINE_EAGER, addr, write, &eager);

	done = machine_translate(rig->machine, MACHINE_LAZY, addr, write, &lazy) && done;
	if (!done || eager != lazy || eager >= (FRAMES + SOFTMMU_DEVICE_FRAMES) * page)
		return false;
	*byte = softmmu_page_bytes(rig->mmu, &(struct vmap_page){.frame = eager / page}) + eager % page;
	return true;
}

/* As the core gives references back, where the software MMU does not know what is mapped. */
static void page_put_flushed(void *ctx, struct vmap_page *const *pages, size_t n)
{
	struct rig *rig = ctx;

	for (size_t i = 0; i < n; i++)
		if (softmmu_page_refs(rig->mmu, pages[i]) == 1)
			machine_ends(rig->machine, pages[i]->frame, (size_t)1 << pages[i]->order);
	page_put(ctx, pages, n);
}

static int copy_translated(void *ctx, void *to, uintptr_t addr, size_t size)
{
	unsigned char *from;

	if (!locate(ctx, addr, false, &from))
		return -VMAP_EFAULT;
	memcpy(to, from, size);
	return 0;
}

/* Compared with the software MMU. */
static void mirror(struct vmap_host *host)
{
	host->map = map;
	host->unmap = unmap;
	host->map_base = map_base;
	host->pin = NULL;
	host->unpin = NULL;
	host->map_pfn = map_pfn;
	host->protect = protect;
	host->cut = cut;
	host->copy = copy;
	host->flush = flush;
}

static void share(struct vmap_host *host)
{
	host->page_put = page_put_flushed;
	host->copy = copy_translated;
	host->cpu = cpu;
	host->lock_shard = lock_shard;
	host->unlock_shard = unlock_shard;
	host->shards = SOFTMMU_CPUS;
}

static const struct vmap_host hooks = {
	.version = VMAP_HOST_VERSION,
	.meta_alloc = meta_alloc,
	.meta_free = meta_free,
	.lock = lock,
	.unlock = unlock,
	.page_alloc = page_alloc,
	.page_get = page_get,
	.page_put = page_put,
};

static int setup(struct conformance_bed *bed, size_t size, size_t lazy_max)
{
	struct vmap_space_config config = {.base = mode->base, .size = size, .lazy_max = lazy_max};
	struct rig *rig = calloc(1, sizeof(*rig));

	if (!rig || mode->format(&rig->format))
		return -1;
	rig->machine = machine_create(&mode->decode, mode->base, size, TABLES);
	rig->mmu = softmmu_create_paged(mode->decode.granule, soft_addr(mode->base), size, FRAMES);
	rig->soft = softmmu_host(rig->mmu);
	if (vmap_pgtable_init(&rig->pgtable, &(struct vmap_pgtable_config){.format = &rig->format,
									   .ops = machine_ops(),
									   .ctx = rig->machine,
									   .root = machine_root(rig->machine),
									   .base = mode->base,
									   .size = size,
									   .keep = keep}))
		return -1;
	plugged = hooks;
	vmap_pgtable_plug(&rig->pgtable, &plugged);
	rig->host = plugged;
	softmmu_shards(rig->mmu, SOFTMMU_CPUS);
	(with_pins ? share : mirror)(&rig->host);
	bed->base = mode->base;
	bed->size = size;
	bed->page_size = bed->host->page_size;
	bed->data = rig;
	return vmap_space_create(&rig->host, &config, &bed->space);
}

/* Tables directly below the root, which stay. */
static size_t top_tables(const struct rig *rig, const struct conformance_bed *bed)
{
	unsigned shift = rig->format.level[rig->format.levels - 1].shift;

	return ((bed->base + bed->size - 1) >> shift) - (bed->base >> shift) + 1;
}

static int teardown(struct conformance_bed *bed)
{
	struct rig *rig = rig_of(bed);
	int err = vmap_space_destroy(bed->space);

	if (err)
		fprintf(stderr, "vmap_space_destroy() gives %d\n", err);
	vmap_pgtable_trim(&rig->pgtable);
	if (rig->pgtable.tables > top_tables(rig, bed)) {
		fprintf(stderr, "%zu tables are left that are empty\n", rig->pgtable.tables);
		err = -1;
	}
	vmap_pgtable_fini(&rig->pgtable);
	if (rig->pgtable.tables || rig->pgtable.users) {
		fprintf(stderr, "%zu tables are left, %zu users\n", rig->pgtable.tables, rig->pgtable.users);
		err = -1;
	}
	err |= machine_destroy(rig->machine) != 0;
	err |= softmmu_destroy(rig->mmu) != 0;
	free(rig);
	return err;
}

static int bed_page_alloc(struct conformance_bed *bed, unsigned order, size_t n, struct vmap_page **pages)
{
	return page_alloc(rig_of(bed), order, n, pages);
}

static void bed_page_get(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n)
{
	page_get(rig_of(bed), pages, n);
}

static void bed_page_put(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n)
{
	page_put(rig_of(bed), pages, n);
}

static unsigned page_refs(struct conformance_bed *bed, const struct vmap_page *page)
{
	return softmmu_page_refs(rig_of(bed)->mmu, page);
}

static unsigned char *page_bytes(struct conformance_bed *bed, const struct vmap_page *page)
{
	return softmmu_page_bytes(rig_of(bed)->mmu, page);
}

static size_t pages_used(struct conformance_bed *bed)
{
	return softmmu_frames_used(rig_of(bed)->mmu) << mode->decode.granule;
}

static bool read_byte(struct conformance_bed *bed, uintptr_t addr, unsigned char *value)
{
	struct rig *rig = rig_of(bed);
	unsigned char expected, *byte;
	bool done = locate(rig, addr, false, &byte);

	if (with_pins) {
		*value = done ? *byte : 0;
		return done;
	}
	if (softmmu_read(rig->mmu, 0, soft_addr(addr), &expected) != done || (done && expected != *byte)) {
		fprintf(stderr, "0x%zx: the page tables and the software MMU differ\n", (size_t)addr);
		abort();
	}
	*value = expected;
	return done;
}

static bool write_byte(struct conformance_bed *bed, uintptr_t addr, unsigned char value)
{
	unsigned char *byte;

	if (!locate(rig_of(bed), addr, true, &byte))
		return false;
	if (with_pins)
		*byte = value;
	else if (!softmmu_write(rig_of(bed)->mmu, 0, soft_addr(addr), value))
		return false;
	return *byte == value;
}

static void device_frames(struct conformance_bed *bed, uint64_t *frames, size_t n)
{
	for (size_t i = 0; i < n; i++)
		frames[i] = softmmu_device_frame(rig_of(bed)->mmu) + i;
}

static unsigned char *frame_bytes(struct conformance_bed *bed, uint64_t frame)
{
	return softmmu_frame_bytes(rig_of(bed)->mmu, frame);
}

static unsigned memory_type(struct conformance_bed *bed, uintptr_t addr)
{
	struct vmap_pgtable_leaf leaf;
	struct vmap_area_info area;
	unsigned asked, found;

	assert_int_equal(vmap_area_at(bed->space, bed_ptr(addr), &area), 0);
	assert_int_equal(vmap_pgtable_lookup(&rig_of(bed)->pgtable, addr, &leaf), 0);
	asked = area.prot & VMAP_MEMORY_MASK;
	found = leaf.prot & VMAP_MEMORY_MASK;
	assert_true(with_pins || asked == (softmmu_prot(rig_of(bed)->mmu, soft_addr(addr)) & VMAP_MEMORY_MASK));
	/* x86-64 tells a device from other uncached memory by how the PAT was programmed; riscv64 without Svpbmt does not tell. */
	return asked == VMAP_DEVICE && (found == VMAP_UNCACHED || !found) ? asked : found;
}

int main(int argc, char **argv)
{
	static struct conformance_host host = {
		.setup = setup,
		.teardown = teardown,
		.page_alloc = bed_page_alloc,
		.page_get = bed_page_get,
		.page_put = bed_page_put,
		.page_refs = page_refs,
		.page_bytes = page_bytes,
		.pages_used = pages_used,
		.read = read_byte,
		.write = write_byte,
		.device_frames = device_frames,
		.frame_bytes = frame_bytes,
		.memory_type = memory_type,
	};

	with_pins = argc == 4 && !strcmp(argv[3], "pins");
	if (argc != 3 + with_pins || strtoul(argv[1], NULL, 10) >= mode_count) {
		fprintf(stderr, "usage: conformance_pgtable MODE KEEP [pins]\n");
		return 2;
	}
	mode = &modes[strtoul(argv[1], NULL, 10)];
	keep = strtoul(argv[2], NULL, 10);
	host.name = mode->name;
	host.run_on = with_pins ? softmmu_run_on : NULL;
	host.page_size = (size_t)1 << mode->decode.granule;
	return conformance_run(&host);
}
