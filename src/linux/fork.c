/* SPDX-License-Identifier: MIT */
/*
 * After a fork()
 *
 * Theory: both processes have the descriptors, each its own copy of them, but there is one memory. So what a child gives back the parent
 * does not notice, which is harmless; what a child would take the parent would hand out a second time, which is not. Hence the child can
 * use and end what it inherited, and is refused the rest. Who is a child is told by a byte that the kernel makes 0 in one
 * (MADV_WIPEONFORK): asking costs no system call.
 *
 * Where nothing is to be inherited every mapping of the memory is marked (MADV_DONTFORK), views one by one as they are made. The
 * reservation around them is not: the kernel merges what an unmap leaves only where all marks agree, and nobody can reach it in any case.
 *
 * Locks: a child has one thread, and whatever locks the parent's other threads held stay locked in it for ever. vmap_fork_begin()
 * takes them all; as each is a leaf any order will do.
 */
#include <sys/mman.h>
#include <unistd.h>
#include "process.h"
#include "reserve.h"

static size_t fork_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int vmap_fork_init(struct vmap_process *process)
{
	process->owner = vmap_reserve(&process->reserved, fork_page(), 1, PROT_READ | PROT_WRITE);
	if (process->owner)
		*process->owner = 1;
	if (!process->owner || madvise(process->owner, fork_page(), MADV_WIPEONFORK) ||
	    (!process->inherited &&
	     madvise(process->pool.memory, process->pool.frames << process->pool.page_shift, MADV_DONTFORK))) {
		vmap_fork_exit(process);
		return -VMAP_ENOMEM;
	}
	return 0;
}

void vmap_fork_exit(struct vmap_process *process)
{
	vmap_unreserve(&process->reserved);
}

void vmap_fork_begin(struct vmap_process *process)
{
	pthread_mutex_lock(&process->lock);
	pthread_mutex_lock(&process->regions_lock);
	pthread_mutex_lock(&process->pool.lock);
	process->views.mech->ops->lock(process->views.mech);
}

void vmap_fork_end(struct vmap_process *process)
{
	process->views.mech->ops->unlock(process->views.mech);
	pthread_mutex_unlock(&process->pool.lock);
	pthread_mutex_unlock(&process->regions_lock);
	pthread_mutex_unlock(&process->lock);
}
