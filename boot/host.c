// SPDX-License-Identifier: MIT
/*
 * Theory: the host that a kernel writes, and the conformance suite's view of it.
 *
 * One space exists at a time, at an address with all index bits in use. An access that may fault is made between context_save() and the
 * end of its probe; the fault handler goes on behind it.
 */
#include "../tests/conformance/conformance.h"
#include "kernel.h"

#define PAGE ((size_t)4096)
#define KEEP 4

struct rig {
	struct vmap_pgtable pgtable; /* first: it is the ctx of the hooks */
	struct vmap_pgtable_format format;
	struct vmap_host host;
	struct {
		uint32_t lock;
	} __attribute__((aligned(64))) shards[CPUS];
	uint32_t lock;
	size_t descriptors[8 * CPUS]; /* those that a CPU made, less those it freed; in a cache line each */
};

static struct rig rig;
struct vmap_space *watched_space;
unsigned boot_shards = CPUS;

/* Hooks of the page tables */

static bool frame_alloc(void *ctx, uint64_t *phys)
{
	(void)ctx;
	return table_alloc(phys);
}

static void frame_free(void *ctx, uint64_t phys)
{
	(void)ctx;
	table_free(phys);
}

static void *phys_to_virt(void *ctx, uint64_t phys)
{
	(void)ctx;
	return (void *)(uintptr_t)phys;
}

static void flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	(void)ctx;
	arch_flush(ranges, n);
}

static void publish(void *ctx, uintptr_t addr, size_t size)
{
	(void)ctx;
	(void)addr;
	(void)size;
	arch_publish();
}

static unsigned long irq_save(void *ctx)
{
	(void)ctx;
	return arch_irq_save();
}

static void irq_restore(void *ctx, unsigned long saved)
{
	(void)ctx;
	arch_irq_restore(saved);
}

static const struct vmap_pgtable_ops ops = {
	.frame_alloc = frame_alloc,
	.frame_free = frame_free,
	.phys_to_virt = phys_to_virt,
	.flush = flush,
	.publish = ARCH_MUST_PUBLISH ? publish : NULL,
	.irq_save = irq_save,
	.irq_restore = irq_restore,
};

/* Hooks of the core */

static void *meta_alloc(void *ctx, size_t size)
{
	void *mem = heap_alloc(size);

	(void)ctx;
	if (mem)
		rig.descriptors[8 * cpu_self()->id]++;
	return mem;
}

static void meta_free(void *ctx, void *mem, size_t size)
{
	(void)ctx;
	(void)size;
	rig.descriptors[8 * cpu_self()->id]--;
	heap_free(mem);
}

static unsigned long lock(void *ctx)
{
	unsigned long saved = arch_irq_save();

	(void)ctx;
	spin_lock(&rig.lock);
	return saved;
}

static void unlock(void *ctx, unsigned long saved)
{
	(void)ctx;
	spin_unlock(&rig.lock);
	arch_irq_restore(saved);
	cpu_relax();
}

static unsigned cpu(void *ctx)
{
	(void)ctx;
	return cpu_self()->id;
}

static unsigned long lock_shard(void *ctx, unsigned shard)
{
	unsigned long saved = arch_irq_save();

	(void)ctx;
	spin_lock(&rig.shards[shard].lock);
	return saved;
}

static void unlock_shard(void *ctx, unsigned shard, unsigned long saved)
{
	(void)ctx;
	spin_unlock(&rig.shards[shard].lock);
	arch_irq_restore(saved);
	if (YIELD)
		arch_relax();
}

static int page_alloc(void *ctx, unsigned order, size_t n, struct vmap_page **pages)
{
	(void)ctx;
	return pages_alloc(order, n, pages);
}

static void page_get(void *ctx, struct vmap_page *const *pages, size_t n)
{
	(void)ctx;
	pages_get(pages, n);
}

static void page_put(void *ctx, struct vmap_page *const *pages, size_t n)
{
	(void)ctx;
	pages_put(pages, n);
}

/* Probes */

bool probe_read(uintptr_t addr, unsigned char *value)
{
	struct cpu *cpu = cpu_self();
	struct context context;

	if (context_save(&context))
		return false;
	__atomic_store_n(&cpu->recover, &context, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*value = *(volatile unsigned char *)addr;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&cpu->recover, NULL, __ATOMIC_RELAXED);
	return true;
}

bool probe_write(uintptr_t addr, unsigned char value)
{
	struct cpu *cpu = cpu_self();
	struct context context;

	if (context_save(&context))
		return false;
	__atomic_store_n(&cpu->recover, &context, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(volatile unsigned char *)addr = value;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&cpu->recover, NULL, __ATOMIC_RELAXED);
	return true;
}

bool probe_execute(uintptr_t addr)
{
	struct cpu *cpu = cpu_self();
	struct context context;

	if (context_save(&context))
		return false;
	__atomic_store_n(&cpu->recover, &context, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	((void (*)(void))addr)();
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&cpu->recover, NULL, __ATOMIC_RELAXED);
	return true;
}

/* The suite's view */

static int setup(struct conformance_bed *bed, size_t size, size_t lazy_max)
{
	struct vmap_space_config config = {.base = ARCH_VMAP_BASE, .size = size, .lazy_max = lazy_max};
	int err = arch_format(&rig.format);

	if (!err)
		err = vmap_pgtable_init(&rig.pgtable, &(struct vmap_pgtable_config){
							      .format = &rig.format,
							      .ops = &ops,
							      .root = arch_root(),
							      .base = ARCH_VMAP_BASE,
							      .size = size,
							      .keep = KEEP,
						      });
	if (err)
		return err;
	rig.host = (struct vmap_host){
		.version = VMAP_HOST_VERSION,
		.meta_alloc = meta_alloc,
		.meta_free = meta_free,
		.lock = lock,
		.unlock = unlock,
		.cpu = cpu,
		.lock_shard = lock_shard,
		.unlock_shard = unlock_shard,
		.shards = boot_shards,
		.page_alloc = page_alloc,
		.page_get = page_get,
		.page_put = page_put,
	};
	vmap_pgtable_plug(&rig.pgtable, &rig.host);
	bed->base = ARCH_VMAP_BASE;
	bed->size = size;
	bed->page_size = PAGE;
	bed->data = &rig;
	err = vmap_space_create(&rig.host, &config, &bed->space);
	watched_space = bed->space;
	return err;
}

static int teardown(struct conformance_bed *bed)
{
	int err = vmap_space_destroy(bed->space);
	size_t descriptors = 0;

	for (unsigned i = 0; i < CPUS; i++)
		descriptors += rig.descriptors[8 * i];
	watched_space = NULL;
	vmap_pgtable_fini(&rig.pgtable);
	if (!err && !pages_in_use() && !descriptors && !tables_used())
		return 0;
	print("# destroy %d; left behind: %zu frames, %zu descriptors, %zu tables\n", err, pages_in_use(), descriptors,
	      tables_used());
	return -1;
}

static int bed_page_alloc(struct conformance_bed *bed, unsigned order, size_t n, struct vmap_page **pages)
{
	return page_alloc(bed->data, order, n, pages);
}

static void bed_page_get(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n)
{
	page_get(bed->data, pages, n);
}

static void bed_page_put(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n)
{
	page_put(bed->data, pages, n);
}

static unsigned page_refs(struct conformance_bed *bed, const struct vmap_page *page)
{
	(void)bed;
	return __atomic_load_n(&page->refs, __ATOMIC_RELAXED);
}

static unsigned char *page_bytes(struct conformance_bed *bed, const struct vmap_page *page)
{
	(void)bed;
	return (unsigned char *)(page->frame * PAGE);
}

static size_t pages_used(struct conformance_bed *bed)
{
	(void)bed;
	return pages_in_use() * PAGE;
}

static bool bed_read(struct conformance_bed *bed, uintptr_t addr, unsigned char *value)
{
	(void)bed;
	return probe_read(addr, value);
}

static bool bed_write(struct conformance_bed *bed, uintptr_t addr, unsigned char value)
{
	(void)bed;
	return probe_write(addr, value);
}

/* Memory behind the pages' stands for a device's. */
static void device_frames(struct conformance_bed *bed, uint64_t *frames, size_t n)
{
	(void)bed;
	for (size_t i = 0; i < n; i++)
		frames[i] = pages_end() + i;
}

static unsigned char *frame_bytes(struct conformance_bed *bed, uint64_t frame)
{
	(void)bed;
	return (unsigned char *)(frame * PAGE);
}

static unsigned memory_type(struct conformance_bed *bed, uintptr_t addr)
{
	struct vmap_pgtable_leaf leaf;
	struct vmap_area_info info;
	unsigned type;

	if (vmap_pgtable_lookup(&rig.pgtable, addr, &leaf) || vmap_area_at(bed->space, (void *)addr, &info))
		return ~0u;
	type = leaf.prot & VMAP_MEMORY_MASK;
	/* riscv64 has one type for both. */
	return ARCH_DEVICE_IS_UNCACHED && type == VMAP_UNCACHED && info.prot & VMAP_DEVICE ? info.prot & VMAP_MEMORY_MASK : type;
}

const struct conformance_host boot_host = {
	.name = "kernel",
	.setup = setup,
	.teardown = teardown,
	.page_alloc = bed_page_alloc,
	.page_get = bed_page_get,
	.page_put = bed_page_put,
	.page_refs = page_refs,
	.page_bytes = page_bytes,
	.pages_used = pages_used,
	.read = bed_read,
	.write = bed_write,
	.device_frames = device_frames,
	.frame_bytes = frame_bytes,
	.memory_type = memory_type,
};
