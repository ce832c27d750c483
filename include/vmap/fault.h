/* SPDX-License-Identifier: MIT */
#ifndef VMAP_FAULT_H
#define VMAP_FAULT_H

#include <vmap/linux.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Faults explained
 *
 * A process that touches a view after its end gets SIGSEGV, and an address that says nothing. On request, and not otherwise, libvmap
 * installs a handler for SIGSEGV and SIGBUS that prints one line about addresses of the objects it was asked to explain, and then does what
 * would have happened without it: the handler that was there before, or the default. As
 *
 *   libvmap: SIGSEGV at 0x7f2a3c011008: this address was unmapped by 0x55e8a1c0d2f4 (server+0x42f4) at 8127.402113 s, 0.000371 s ago: byte
 *   4104 of a view of 65536 bytes at 0x7f2a3c010000, tag "page cache", generation 812
 *
 * (on one line; the time is CLOCK_MONOTONIC's). Who unmapped an address is known as long as nobody else gets it: with
 * struct vmap_process_config's quarantine for so many bytes of later unmaps. Without it the line says what is near. Views that are the
 * pool's own mapping (VMAP_VIEW_DIRECT) have no address of their own, and do not fault after their end.
 *
 * The handler is async-signal-safe; it uses an alternate stack if the thread has one. If the fault is in the middle of a call of the
 * library, it says so after a tenth of a second, and nothing more.
 */

/*
 * From now on explain faults at addresses of this object, a line each to descriptor fd (2: standard error). The first object to be explained
 * installs the handler, the end of the last one takes it away, unless someone has put his own over it meanwhile, which stays.
 *
 * -VMAP_EEXIST: they are explained already. -VMAP_ENOSPC: so are those of 16 objects. -VMAP_EIO: no handler could be installed.
 */
VMAP_API int vmap_fault_explain(struct vmap_process *process, int fd);

/* No longer; vmap_process_destroy() does it by itself. Waits for handlers that are just looking. -VMAP_ENOENT: they are not explained. */
VMAP_API int vmap_fault_ignore(struct vmap_process *process);

/*
 * For handlers of the caller's own: what the line says from "this address" on, as a string of at most size bytes with its end, size more
 * than 0. Async-signal-safe. False: addr is no address of the object's, and the string is empty.
 */
VMAP_API bool vmap_fault_line(struct vmap_process *process, const void *addr, char *line, size_t size);

#ifdef __cplusplus
}
#endif
#endif
