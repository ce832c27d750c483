/* SPDX-License-Identifier: MIT */
#ifndef VMAP_PURGE_H
#define VMAP_PURGE_H

#include "space.h"

/* How many areas are completed in one hold of the lock. */
#define VMAP_PURGE_BATCH 32

/*
 * Go on with an area that is marked as unmapped and whose translations the host has taken away: flush it now, or let it wait
 * and purge if too much waits. The area may be gone on return. May sleep.
 */
void vmap_purge_area(struct vmap_space *space, struct vmap_area *area);

/*
 * Drop the lock after something was queued. If the budget is used up, or now says so, purge, or wake who does; where nothing may be
 * flushed (nowait), only wake. May sleep, unless nowait.
 */
void vmap_purge_unlock(struct vmap_space *space, unsigned long saved, bool now, bool nowait);

/* The same as vmap_purge_area() without ever flushing: let it wait. Under no lock; never sleeps. */
void vmap_purge_later(struct vmap_space *space, struct vmap_area *area);

/* Under the lock: let an area, or a part of a sparse one, wait for a flush. What is at once does not wait: then purge. */
void vmap_purge_queue(struct vmap_space *space, struct vmap_area *area);
bool vmap_purge_at_once(const struct vmap_space *space);

/* Under the lock: nothing of this area, which was counted out, needs a flush: its addresses become free, or go into quarantine. */
void vmap_purge_free(struct vmap_space *space, struct vmap_area *area);

/* Make all addresses in quarantine free. */
void vmap_quarantine_end(struct vmap_space *space, bool nowait);

#endif
