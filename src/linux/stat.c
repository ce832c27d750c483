/* SPDX-License-Identifier: MIT */
/*
 * Statistics, also for others
 *
 * Theory: what only this process knows (its budget, how much of the pool is in use) vmapstat reads from a memfd of one page. It is found by
 * name among the process's descriptors, so nobody has to cooperate or be stopped, and reading it takes no more rights than
 * looking at /proc/PID/fd does. The page is written to and never read here: whoever else opens it can spoil what is shown, and nothing else.
 *
 * Counters are kept twice and added to twice, because the sum of additions is right in any order, and a copy of the sum is not. Each cache counts
 * for itself; the page has their sum.
 *
 * Cost: ten atomic additions a view.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "pool.h"
#include "stat.h"

static void stat_store(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELAXED);
}

void vmap_stat_show(struct vmap_stat *stat, const uint8_t *owner, const struct vmap_stat_page *page)
{
	void *at;

	*stat = (struct vmap_stat){.owner = owner, .fd = vmap_pool_memfd(VMAP_STAT_NAME, 0)};
	if (stat->fd < 0)
		return;
	at = ftruncate(stat->fd, sizeof(*page)) ? NULL : vmap_reserve_file(&stat->reserved, sizeof(*page), stat->fd);
	if (!at) {
		close(stat->fd);
		return;
	}
	fcntl(stat->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	stat->page = at;
	*stat->page = *page;
}

void vmap_stat_end(struct vmap_stat *stat)
{
	if (!stat->page)
		return;
	vmap_unreserve(&stat->reserved);
	close(stat->fd);
}

void vmap_stat_tell(struct vmap_stat *stat, enum vmap_stat_counter counter, uint64_t n)
{
	if (stat->page && *stat->owner)
		__atomic_add_fetch(&stat->page->counters[counter], n, __ATOMIC_RELAXED);
}

void vmap_stat_add(struct vmap_stat *stat, enum vmap_stat_counter counter, uint64_t n)
{
	__atomic_add_fetch(&stat->counters[counter], n, __ATOMIC_RELAXED);
	vmap_stat_tell(stat, counter, n);
}

uint64_t vmap_stat_get(const struct vmap_stat *stat, enum vmap_stat_counter counter)
{
	return __atomic_load_n(&stat->counters[counter], __ATOMIC_RELAXED);
}

void vmap_stat_pool(struct vmap_stat *stat, uint64_t used, uint64_t bytes, uint64_t peak)
{
	if (!stat || !stat->page || !*stat->owner)
		return;
	stat_store(&stat->page->pool_used, used);
	stat_store(&stat->page->pool_bytes, bytes);
	stat_store(&stat->page->pool_peak, peak);
}
