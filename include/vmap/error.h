/* SPDX-License-Identifier: MIT */
#ifndef VMAP_ERROR_H
#define VMAP_ERROR_H

/*
 * Error numbers
 *
 * Every function that can fail returns 0 or one of these, negated: `return -VMAP_ENOMEM`. The values are Linux's, so that a
 * caller on Linux can hand them to strerror(); they are named here because the core has no <errno.h>. A function's own
 * documentation lists the errors it returns and what each one means there.
 */
#define VMAP_EPERM 1 /* a child process asks for what is its parent's */
#define VMAP_ENOENT 2 /* no area at this address (a foreign or never mapped address) */
#define VMAP_EIO 5 /* the host could not do what was asked */
#define VMAP_EAGAIN 11 /* would have to purge or sleep, and the caller forbade it */
#define VMAP_ENOMEM 12 /* no memory for descriptors, pages or page tables */
#define VMAP_EACCES 13 /* this memory may only be read */
#define VMAP_EFAULT 14 /* address inside the space, but not of a mapped page (a guard) */
#define VMAP_EBUSY 16 /* still in use: live areas at destroy, referenced pages */
#define VMAP_EEXIST 17 /* overlaps something that is mapped */
#define VMAP_EINVAL 22 /* an argument breaks its contract */
#define VMAP_ENOSPC 28 /* no free address range that fits, after everything was given back */
#define VMAP_ERANGE 34 /* sizes add up to more than an address can hold */
#define VMAP_EOVERFLOW 75 /* the process's budget of mappings is used up */
#define VMAP_EALREADY 114 /* this area was unmapped already and waits for its flush (double unmap) */

#endif
