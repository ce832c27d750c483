/* SPDX-License-Identifier: MIT */
/*
 * Memory that the caller has already
 *
 * Theory: an adopted region is a file and the caller's mapping of it. Its pages have no descriptors and nobody allocates them; what
 * views show of it is counted for the region as a whole, so that it stays as long as any of them. Pieces of the pool hold the pages
 * that they lie in instead. Files on a disk are second-class: read-only, because nobody but the filesystem knows when their pages
 * may be written.
 *
 * Locks: regions_lock guards which regions there are; a region that is held cannot go, so views read it without.
 * Cost: finding a chunk's region looks at each, the last one found first.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "process.h"

static bool adopt_overlaps(const struct vmap_region *region, uintptr_t addr, size_t size)
{
	uintptr_t begin = (uintptr_t)region->memory;

	return addr < begin + region->size && begin < addr + size;
}

/* A free number, if nothing overlaps. Under the lock. */
static int adopt_number(const struct vmap_process *process, uintptr_t addr, size_t size, size_t *number)
{
	*number = 0;
	for (size_t i = VMAP_REGIONS; i-- > 0;) {
		if (!process->regions[i])
			*number = i;
		else if (adopt_overlaps(process->regions[i], addr, size))
			return -VMAP_EEXIST;
	}
	return *number ? 0 : -VMAP_ENOSPC;
}

/* Open for writing, and memory: only that can be sealed. */
static bool adopt_is_writable(int fd)
{
	int flags = fcntl(fd, F_GETFL), seals = fcntl(fd, F_GET_SEALS);

	return flags >= 0 && (flags & O_ACCMODE) == O_RDWR && seals >= 0 && !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
}

static bool adopt_is_valid(const struct vmap_process *process, const struct vmap_region_config *config)
{
	size_t mask = ((size_t)1 << process->pool.page_shift) - 1;
	uintptr_t addr = (uintptr_t)config->addr;
	struct stat st;

	if (!config->size || !addr || (addr | config->size | config->offset) & mask || config->size > UINTPTR_MAX - addr)
		return false;
	if (!(config->prot & VMAP_READ) || config->prot & ~(VMAP_READ | VMAP_WRITE) || fstat(config->fd, &st))
		return false;
	return config->offset <= (uint64_t)st.st_size && config->size <= (uint64_t)st.st_size - config->offset;
}

int vmap_region_adopt(struct vmap_process *process, const struct vmap_region_config *config)
{
	struct vmap_region *region;
	size_t number;
	int err;

	if (!adopt_is_valid(process, config))
		return -VMAP_EINVAL;
	region = malloc(sizeof(*region));
	if (!region)
		return -VMAP_ENOMEM;
	*region = (struct vmap_region){
		.memory = config->addr,
		.size = config->size,
		.offset = config->offset,
		.prot = PROT_READ | (config->prot & VMAP_WRITE ? PROT_WRITE : 0),
		.fd = fcntl(config->fd, F_DUPFD_CLOEXEC, 0),
		.writable = adopt_is_writable(config->fd),
	};
	if (region->fd < 0)
		goto free_region;
	if (vmap_region_open(region))
		goto close_fd;
	pthread_mutex_lock(&process->regions_lock);
	err = adopt_number(process, (uintptr_t)config->addr, config->size, &number);
	if (!err)
		process->regions[number] = region;
	pthread_mutex_unlock(&process->regions_lock);
	if (err) {
		vmap_region_close(region);
		close(region->fd);
		free(region);
	}
	return err;

close_fd:
	close(region->fd);
free_region:
	free(region);
	return -VMAP_ENOMEM;
}

int vmap_region_remove(struct vmap_process *process, const void *addr)
{
	struct vmap_region *region = NULL;
	int err = -VMAP_ENOENT;

	pthread_mutex_lock(&process->regions_lock);
	for (size_t i = 1; i < VMAP_REGIONS && err == -VMAP_ENOENT; i++) {
		region = process->regions[i];
		if (!region || region->memory != addr)
			continue;
		err = __atomic_load_n(&region->holds, __ATOMIC_ACQUIRE) ? -VMAP_EBUSY : 0;
		if (!err)
			process->regions[i] = NULL;
	}
	pthread_mutex_unlock(&process->regions_lock);
	if (err)
		return err;
	vmap_region_close(region);
	close(region->fd);
	free(region);
	return 0;
}

size_t vmap_regions_adopted(struct vmap_process *process)
{
	size_t n = 0;

	pthread_mutex_lock(&process->regions_lock);
	for (size_t i = 1; i < VMAP_REGIONS; i++)
		n += process->regions[i] != NULL;
	pthread_mutex_unlock(&process->regions_lock);
	return n;
}

static bool piece_is_in(const struct vmap_region *region, uintptr_t addr, size_t size)
{
	uintptr_t begin = (uintptr_t)region->memory;

	return addr >= begin && size <= region->size && addr - begin <= region->size - size;
}

/* Under the lock. VMAP_REGIONS: none. */
static size_t piece_region(const struct vmap_process *process, uintptr_t addr, size_t size, uint16_t hint)
{
	size_t i = 0;

	if (process->regions[hint] && piece_is_in(process->regions[hint], addr, size))
		return hint;
	while (i < VMAP_REGIONS && !(process->regions[i] && piece_is_in(process->regions[i], addr, size)))
		i++;
	return i;
}

int vmap_piece_hold(struct vmap_process *process, uintptr_t addr, size_t size, uint16_t hint, struct vmap_piece *piece)
{
	struct vmap_region *region;
	size_t number;

	pthread_mutex_lock(&process->regions_lock);
	number = piece_region(process, addr, size, hint);
	region = number < VMAP_REGIONS ? process->regions[number] : NULL;
	if (region && number)
		__atomic_add_fetch(&region->holds, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&process->regions_lock);
	if (!region)
		return -VMAP_ENOENT;
	piece->region = (uint16_t)number;
	piece->frame = (addr - (uintptr_t)region->memory) >> process->pool.page_shift;
	piece->frames = size >> process->pool.page_shift;
	return number ? 0 : vmap_pool_hold(&process->pool, piece->frame, piece->frames);
}

void vmap_piece_release(struct vmap_process *process, const struct vmap_piece *piece)
{
	if (piece->region)
		__atomic_sub_fetch(&process->regions[piece->region]->holds, 1, __ATOMIC_RELEASE);
	else
		vmap_pool_release(&process->pool, piece->frame, piece->frames);
}
