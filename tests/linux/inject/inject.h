/* SPDX-License-Identifier: MIT */
#ifndef TEST_LINUX_INJECT_H
#define TEST_LINUX_INJECT_H

/*
 * Our functions between the library and the system (the linker's --wrap, see meson.build): they count, and fail when told to. One thread.
 *
 * What fails has done nothing, but for close(): that has closed in any case, as Linux does it, and only says otherwise. injected.sh sees to it that
 * the library calls nothing that is not here, but for what cannot fail.
 */
#include <stdbool.h>
#include <stddef.h>

/* The functions that can fail; INJECT_END: how many. */
enum inject_name {
	INJECT_MALLOC,
	INJECT_CALLOC,
	INJECT_REALLOC,
	INJECT_MMAP,
	INJECT_MUNMAP,
	INJECT_MPROTECT,
	INJECT_MADVISE,
	INJECT_FALLOCATE,
	INJECT_MEMFD_CREATE,
	INJECT_FTRUNCATE,
	INJECT_OPEN,
	INJECT_READ,
	INJECT_WRITE,
	INJECT_CLOSE,
	INJECT_FCNTL,
	INJECT_FSTAT,
	INJECT_GETRLIMIT,
	INJECT_SYSCALL,
	INJECT_PROCESS_VM_READV,
	INJECT_PRCTL,
	INJECT_SIGACTION,
	INJECT_END
};

/* How long a failure lasts. */
enum inject_mode {
	INJECT_ONCE,
	INJECT_SAME, /* and every later call of the same function */
	INJECT_ENDS, /* and every later munmap() and close(): what is to be taken back after a failure fails as well */
	INJECT_ALL, /* and every later call */
};

/* Count from 0 again; call number at (from 1) fails. 0: none. */
void inject_arm(size_t at, enum inject_mode mode);

/* No more failures. How many calls there were. */
size_t inject_disarm(void);

/* Calls of this function, armed or not, ever. */
size_t inject_seen(enum inject_name name);
const char *inject_text(enum inject_name name);

/* The one that failed first since it was armed; INJECT_END: none. */
enum inject_name inject_failed(void);

#endif
