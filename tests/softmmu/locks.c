// SPDX-License-Identifier: MIT
/*
 * The space's lock, and those of shards. Each remembers who holds it, so that a hook can tell whether its own thread does; and their order
 * is watched: the space's first, then those of shards by rising number.
 */
#include <stdatomic.h>
#include "mmu.h"

/* Of each thread: an address of its own, and the locks that it holds: bit 0 is the space's, those above are shards'. */
static _Thread_local char marker;
static _Thread_local unsigned held;

/* This thread does not change what it finds here: it has stored it itself, or it is not its own. */
static bool is_mine(const struct softmmu_lock *lock)
{
	return atomic_load_explicit(&lock->owner, memory_order_relaxed) == &marker;
}

bool mmu_holds_lock(const struct softmmu *mmu)
{
	for (unsigned i = 0; held && i < SOFTMMU_LOCKS; i++)
		if (is_mine(&mmu->locks[i]))
			return true;
	return false;
}

static void misused(struct softmmu *mmu, const char *how)
{
	mmu_enter(mmu, NULL);
	mmu_violation(mmu, "%s", how);
	mmu_leave(mmu);
}

static unsigned long take(struct softmmu *mmu, unsigned number)
{
	struct softmmu_lock *lock = &mmu->locks[number];

	if (is_mine(lock)) {
		misused(mmu, "the lock is taken by the thread that holds it");
		return 0;
	}
	if (held >> number)
		misused(mmu, "locks are taken out of their order");
	pthread_mutex_lock(&lock->mutex);
	held |= 1u << number;
	atomic_store_explicit(&lock->owner, &marker, memory_order_relaxed);
	return ++lock->saved;
}

static void give_back(struct softmmu *mmu, unsigned number, unsigned long saved)
{
	struct softmmu_lock *lock = &mmu->locks[number];

	if (!is_mine(lock) || saved != lock->saved) {
		misused(mmu, "the lock is given back by a thread that does not hold it, or with another saved state");
		return;
	}
	held &= ~(1u << number);
	atomic_store_explicit(&lock->owner, NULL, memory_order_relaxed);
	pthread_mutex_unlock(&lock->mutex);
}

static unsigned long lock_space(void *ctx)
{
	struct softmmu *mmu = ctx;
	unsigned long saved = take(mmu, 0);

	mmu->holds++;
	return saved;
}

static void unlock_space(void *ctx, unsigned long saved)
{
	give_back(ctx, 0, saved);
	mmu_pause(ctx);
}

static unsigned long lock_shard(void *ctx, unsigned shard)
{
	struct softmmu *mmu = ctx;

	if (shard >= mmu->host.shards) {
		misused(mmu, "the lock of a shard that there is not is taken");
		shard = 0;
	}
	return take(mmu, 1 + shard);
}

static void unlock_shard(void *ctx, unsigned shard, unsigned long saved)
{
	give_back(ctx, 1 + shard, saved);
	mmu_pause(ctx);
}

void softmmu_shards(struct softmmu *mmu, unsigned shards)
{
	mmu->host.lock_shard = lock_shard;
	mmu->host.unlock_shard = unlock_shard;
	mmu->host.shards = shards < SOFTMMU_LOCKS - 1 ? shards : SOFTMMU_LOCKS - 1;
}

size_t softmmu_holds(struct softmmu *mmu)
{
	return mmu->holds;
}

void mmu_lock_hooks(struct vmap_host *host)
{
	host->lock = lock_space;
	host->unlock = unlock_space;
}

void mmu_locks_begin(struct softmmu *mmu)
{
	for (unsigned i = 0; i < SOFTMMU_LOCKS; i++)
		pthread_mutex_init(&mmu->locks[i].mutex, NULL);
}

void mmu_locks_check(struct softmmu *mmu)
{
	for (unsigned i = 0; i < SOFTMMU_LOCKS; i++)
		if (atomic_load(&mmu->locks[i].owner))
			mmu_violation(mmu, "the lock is still held");
}

void mmu_locks_end(struct softmmu *mmu)
{
	for (unsigned i = 0; i < SOFTMMU_LOCKS; i++)
		pthread_mutex_destroy(&mmu->locks[i].mutex);
}
