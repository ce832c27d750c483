/* SPDX-License-Identifier: MIT */
/*
 * The process host
 *
 * Theory: glue. One object holds a pool (pool.c), a reservation of address space in which map.c makes views, and the space over
 * both.
 *
 * Locks: the space's mutex and the pool's; neither is ever taken with the other held, because the core calls no page hook
 * under its lock.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <vmap/fault.h>
#include "process.h"

#define PAGE_SHIFT_DEFAULT 16
#define LINUX_DEFAULT_MAX ((uint64_t)64 << 30)
#define LINUX_DEFAULT_MIN ((uint64_t)1 << 30) /* no default is cut below this */

static void *linux_meta_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return malloc(size);
}

static void linux_meta_free(void *ctx, void *mem, size_t size)
{
	(void)ctx;
	(void)size;
	free(mem);
}

static unsigned long linux_lock(void *ctx)
{
	struct vmap_process *process = ctx;

	pthread_mutex_lock(&process->lock);
	return 0;
}

static void linux_unlock(void *ctx, unsigned long saved)
{
	struct vmap_process *process = ctx;

	(void)saved;
	pthread_mutex_unlock(&process->lock);
}

static int linux_page_alloc(void *ctx, unsigned order, size_t n, struct vmap_page **pages)
{
	return vmap_page_alloc(ctx, order, n, pages);
}

static void linux_page_get(void *ctx, struct vmap_page *const *pages, size_t n)
{
	vmap_page_get(ctx, pages, n);
}

static void linux_page_put(void *ctx, struct vmap_page *const *pages, size_t n)
{
	vmap_page_put(ctx, pages, n);
}

/* A quarter of what may be addressed, at most LINUX_DEFAULT_MAX: see struct vmap_process_config. */
static size_t linux_default_size(void)
{
	struct rlimit limit;
	uint64_t size = SIZE_MAX;

	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size)
		size = limit.rlim_cur;
	size /= 4;
	if (size > LINUX_DEFAULT_MAX)
		size = LINUX_DEFAULT_MAX;
	return (size_t)size;
}

uint64_t vmap_linux_now(void *ctx)
{
	struct timespec now;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int linux_space(struct vmap_process *process, size_t lazy_max, size_t quarantine)
{
	struct vmap_space_config config = {
		.base = process->views.mech->base,
		.size = process->views.mech->size,
		.lazy_max = lazy_max,
		.quarantine = quarantine,
	};

	process->host = (struct vmap_host){
		.version = VMAP_HOST_VERSION,
		.page_shift = process->pool.page_shift,
		.ctx = process,
		.meta_alloc = linux_meta_alloc,
		.meta_free = linux_meta_free,
		.lock = linux_lock,
		.unlock = linux_unlock,
		.page_alloc = linux_page_alloc,
		.page_get = linux_page_get,
		.page_put = linux_page_put,
		.map = vmap_linux_map,
		.map_guarded = vmap_linux_map_guarded,
		.unmap = vmap_linux_unmap,
		.flush = vmap_linux_flush,
		.replace = vmap_linux_replace,
		.protect = vmap_linux_protect,
		.copy = vmap_linux_copy,
		.parts = true,
		.cut = vmap_linux_cut,
		.now = quarantine ? vmap_linux_now : NULL,
	};
	return vmap_space_create(&process->host, &config, &process->space);
}

static unsigned linux_default_order(size_t bytes, unsigned page_shift)
{
	unsigned shift = bytes ? (unsigned)__builtin_ctzl(bytes) : PAGE_SHIFT_DEFAULT;

	return shift > page_shift ? shift - page_shift : 0;
}

/* A memfd remembers the policy of a mapping for whoever gives it memory. */
static int linux_numa(const struct vmap_pool *pool, const struct vmap_process_config *config)
{
	static const int modes[] = {0, 1 /* MPOL_PREFERRED */, 2 /* MPOL_BIND */, 3 /* MPOL_INTERLEAVE */};
	unsigned long nodes[sizeof(config->numa_nodes) / sizeof(long)];

	if (!config->numa)
		return 0;
	memcpy(nodes, &config->numa_nodes, sizeof(nodes));
	return syscall(SYS_mbind, pool->memory, pool->frames << pool->page_shift, modes[config->numa], nodes,
		       8 * sizeof(nodes) + 1, 0)
		       ? -VMAP_EINVAL
		       : 0;
}

static void linux_show(struct vmap_process *process, const struct vmap_process_config *config)
{
	struct vmap_stat_page page = {
		.magic = VMAP_STAT_MAGIC,
		.version = VMAP_STAT_VERSION,
		.size = sizeof(page),
		.pid = (uint64_t)getpid(),
		.page_size = (uint64_t)1 << process->pool.page_shift,
		.pool = (uintptr_t)process->pool.memory,
		.pool_max = config->pool_max,
		.space = process->views.mech->base,
		.space_size = config->space_size,
		.mappings_max = process->budget.max,
	};

	strncpy(page.name, config->name ? config->name : "vmap", sizeof(page.name) - 1);
	vmap_stat_show(&process->stat, process->owner, &page);
	process->pool.stat = &process->stat;
}

/* Of a configuration that is complete. */
static int linux_create(const struct vmap_process_config *config, struct vmap_huge huge, unsigned page_shift,
			struct vmap_process **out)
{
	struct vmap_process *process;
	int err;

	process = calloc(1, sizeof(*process));
	if (!process)
		return -VMAP_ENOMEM;
	err = vmap_pool_create(&process->pool, page_shift, config->pool_max >> page_shift, config->name ? config->name : "vmap",
			       huge);
	if (err)
		goto free_process;
	process->order = linux_default_order(config->page_bytes, page_shift);
	process->inherited = config->fork == VMAP_FORK_INHERIT;
	err = vmap_fork_init(process);
	if (err)
		goto destroy_pool;
	err = linux_numa(&process->pool, config);
	if (err)
		goto exit_fork;
	err = vmap_views_create(&process->views, config->space_size, page_shift, process->inherited,
				config->guards == VMAP_GUARDS_MARKED);
	if (err)
		goto exit_fork;
	/* It needs a descriptor for a moment, and must not guess for want of one: so before all those that stay. */
	vmap_budget_init(&process->budget, config->mappings_max, config->headroom, process->views.mech->spare);
	process->memory = (struct vmap_region){.memory = process->pool.memory,
					       .size = config->pool_max,
					       .prot = PROT_READ | PROT_WRITE,
					       .fd = process->pool.fd,
					       .huge = &process->pool.huge,
					       .writable = true};
	err = vmap_region_open(&process->memory);
	if (err)
		goto destroy_views;
	process->regions[0] = &process->memory;
	pthread_mutex_init(&process->lock, NULL);
	pthread_mutex_init(&process->regions_lock, NULL);
	err = linux_space(process, config->lazy_max, config->quarantine);
	if (err)
		goto destroy_locks;
	linux_show(process, config);
	*out = process;
	return 0;

destroy_locks:
	pthread_mutex_destroy(&process->regions_lock);
	pthread_mutex_destroy(&process->lock);
	vmap_region_close(&process->memory);
destroy_views:
	vmap_views_destroy(&process->views);
exit_fork:
	vmap_fork_exit(process);
destroy_pool:
	vmap_pool_destroy(&process->pool);
free_process:
	free(process);
	return err;
}

int vmap_process_create(const struct vmap_process_config *given, struct vmap_process **out)
{
	const struct vmap_process_config wish = given ? *given : (struct vmap_process_config){0};
	struct vmap_process_config config = wish;
	struct vmap_huge huge;
	unsigned page_shift;
	size_t page_size, size;
	int err;

	*out = NULL;
	err = vmap_huge_choose(wish.huge, &huge, &page_shift);
	if (err)
		return err;
	page_size = (size_t)1 << page_shift;
	if (wish.page_bytes & (wish.page_bytes - 1) || wish.numa > VMAP_NUMA_INTERLEAVE || wish.fork > VMAP_FORK_DONT ||
	    wish.guards > VMAP_GUARDS_MARKED || wish.pool_max % page_size || wish.space_size % page_size)
		return -VMAP_EINVAL;
	/* The sizes that the caller left to us are not worth a failure. */
	for (size = linux_default_size();; size /= 2) {
		config.pool_max = wish.pool_max ? wish.pool_max : size & ~(page_size - 1);
		config.space_size = wish.space_size ? wish.space_size : size & ~(page_size - 1);
		err = linux_create(&config, huge, page_shift, out);
		if (err != -VMAP_ENOMEM || (wish.pool_max && wish.space_size) || size / 2 < LINUX_DEFAULT_MIN)
			return err;
	}
}

int vmap_process_destroy(struct vmap_process *process)
{
	struct vmap_process_stats pool;
	struct vmap_stats space;
	int err;

	if (!process->inherited && vmap_process_may_take(process))
		return -VMAP_EPERM;
	vmap_space_stats(process->space, &space);
	if (space.areas)
		return -VMAP_EBUSY;
	vmap_purge(process->space);
	vmap_process_stats(process, &pool);
	if (pool.pool_pages || vmap_regions_adopted(process))
		return -VMAP_EBUSY;
	vmap_fault_ignore(process);
	err = vmap_space_destroy(process->space);
	if (err)
		return err;
	pthread_mutex_destroy(&process->regions_lock);
	pthread_mutex_destroy(&process->lock);
	vmap_region_close(&process->memory);
	vmap_stat_end(&process->stat);
	vmap_views_destroy(&process->views);
	vmap_fork_exit(process);
	vmap_pool_destroy(&process->pool);
	free(process);
	return 0;
}

struct vmap_space *vmap_process_space(struct vmap_process *process)
{
	return process->space;
}

void vmap_process_stats(struct vmap_process *process, struct vmap_process_stats *stats)
{
	vmap_pool_stats(&process->pool, stats);
	stats->mmaps = __atomic_load_n(&process->views.mech->calls, __ATOMIC_RELAXED);
	stats->runs = __atomic_load_n(&process->views.mech->runs, __ATOMIC_RELAXED);
	stats->mappings = __atomic_load_n(&process->budget.used, __ATOMIC_RELAXED);
	stats->mappings_max = process->budget.max;
	stats->guards_marked = __atomic_load_n(&process->views.mech->guards, __ATOMIC_RELAXED);
	stats->mappings_left = stats->mappings_max > stats->mappings ? stats->mappings_max - stats->mappings : 0;
	stats->views = vmap_stat_get(&process->stat, VMAP_STAT_VIEWS);
	stats->fragments = vmap_stat_get(&process->stat, VMAP_STAT_FRAGMENTS);
	stats->aliased = vmap_stat_get(&process->stat, VMAP_STAT_ALIASED);
	stats->unreturned = vmap_unreserved();
	stats->refused = vmap_stat_get(&process->stat, VMAP_STAT_REFUSED);
}

int vmap_view_mappings(struct vmap_process *process, const void *addr, size_t *mappings)
{
	struct vmap_area_info info;

	*mappings = 0;
	if (vmap_area_at(process->space, addr, &info) || (info.state != VMAP_STATE_MAPPED && info.state != VMAP_STATE_HOLE) ||
	    info.addr != (uintptr_t)addr)
		return -VMAP_ENOENT;
	*mappings = vmap_views_mappings(&process->views, info.addr, info.size);
	return 0;
}

int vmap_page_alloc(struct vmap_process *process, unsigned order, size_t n, struct vmap_page **pages)
{
	int err = vmap_process_may_take(process);

	return err ? err : vmap_pool_alloc(&process->pool, order == VMAP_ORDER_DEFAULT ? process->order : order, n, pages);
}

void vmap_process_trim(struct vmap_process *process, size_t keep)
{
	vmap_purge(process->space);
	if (!vmap_process_may_take(process))
		vmap_pool_trim(&process->pool, keep);
}

void vmap_page_get(struct vmap_process *process, struct vmap_page *const *pages, size_t n)
{
	(void)process;
	vmap_pool_get(pages, n);
}

void vmap_page_put(struct vmap_process *process, struct vmap_page *const *pages, size_t n)
{
	vmap_pool_put(&process->pool, pages, n);
}

void *vmap_page_address(struct vmap_process *process, const struct vmap_page *page)
{
	return vmap_pool_address(&process->pool, page);
}

uint64_t vmap_page_offset(struct vmap_process *process, const struct vmap_page *page)
{
	return page->frame << process->pool.page_shift;
}

int vmap_process_descriptor(struct vmap_process *process, unsigned prot)
{
	const bool write = prot & VMAP_WRITE;
	int fd;

	if (!(prot & VMAP_READ) || prot & ~(VMAP_READ | VMAP_WRITE))
		return -VMAP_EINVAL;
	/* Without /proc there is only the pool's own, which can be written. */
	fd = vmap_region_fd(&process->memory, 0, write);
	if (fd == process->pool.fd && !write)
		return -VMAP_EIO;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -VMAP_EIO : fd;
}
