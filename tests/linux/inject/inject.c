/* SPDX-License-Identifier: MIT */
/*
 * Theory: see inject.h. Which of two names a function has (mmap, mmap64) is a matter of how the library was compiled, so both are
 * wrapped; and as a wrapped name that nobody calls is no test, each function is counted, for tests to look at.
 */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static size_t calls, fail_at, seen[INJECT_END];
static enum inject_mode fail_mode;
static enum inject_name failed = INJECT_END;

void inject_arm(size_t at, enum inject_mode mode)
{
	calls = 0;
	fail_at = at;
	fail_mode = mode;
	failed = INJECT_END;
}

size_t inject_disarm(void)
{
	fail_at = 0;
	return calls;
}

size_t inject_seen(enum inject_name name)
{
	return seen[name];
}

enum inject_name inject_failed(void)
{
	return failed;
}

const char *inject_text(enum inject_name name)
{
	static const char *const texts[] = {
		"malloc",
		"calloc",
		"realloc",
		"mmap",
		"munmap",
		"mprotect",
		"madvise",
		"fallocate",
		"memfd_create",
		"ftruncate",
		"open",
		"read",
		"write",
		"close",
		"fcntl",
		"fstat",
		"getrlimit",
		"syscall",
		"process_vm_readv",
		"prctl",
		"sigaction",
		"nothing",
	};

	return texts[name];
}

static bool fails(enum inject_name name)
{
	bool fail;

	calls++;
	seen[name]++;
	if (!fail_at || calls < fail_at)
		return false;
	fail = calls == fail_at || fail_mode == INJECT_ALL || (fail_mode == INJECT_SAME && name == failed) ||
	       (fail_mode == INJECT_ENDS && (name == INJECT_MUNMAP || name == INJECT_CLOSE));
	if (calls == fail_at)
		failed = name;
	return fail;
}

/* WRAP(symbol, inject name, result, error number, failure, parameters, arguments) */
#define WRAP(symbol, name, type, number, failure, parameters, arguments)                                                         \
	type __real_##symbol parameters;                                                                                         \
	type __wrap_##symbol parameters;                                                                                         \
	type __wrap_##symbol parameters                                                                                          \
	{                                                                                                                        \
		if (!fails(INJECT_##name))                                                                                       \
			return __real_##symbol arguments;                                                                        \
		errno = number;                                                                                                  \
		return failure;                                                                                                  \
	}

#define WRAP_BOTH(symbol, name, type, number, failure, parameters, arguments)                                                    \
	WRAP(symbol, name, type, number, failure, parameters, arguments)                                                         \
	WRAP(symbol##64, name, type, number, failure, parameters, arguments)

WRAP(malloc, MALLOC, void *, ENOMEM, NULL, (size_t size), (size))
WRAP(calloc, CALLOC, void *, ENOMEM, NULL, (size_t n, size_t size), (n, size))
WRAP(realloc, REALLOC, void *, ENOMEM, NULL, (void *mem, size_t size), (mem, size))
WRAP_BOTH(mmap, MMAP, void *, ENOMEM, MAP_FAILED, (void *at, size_t size, int prot, int flags, int fd, off_t offset),
	  (at, size, prot, flags, fd, offset))
WRAP(munmap, MUNMAP, int, ENOMEM, -1, (void *at, size_t size), (at, size))
WRAP(mprotect, MPROTECT, int, ENOMEM, -1, (void *at, size_t size, int prot), (at, size, prot))
WRAP(madvise, MADVISE, int, EAGAIN, -1, (void *at, size_t size, int advice), (at, size, advice))
WRAP_BOTH(fallocate, FALLOCATE, int, ENOSPC, -1, (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size))
WRAP(memfd_create, MEMFD_CREATE, int, EMFILE, -1, (const char *name, unsigned flags), (name, flags))
WRAP_BOTH(ftruncate, FTRUNCATE, int, EIO, -1, (int fd, off_t size), (fd, size))
WRAP_BOTH(open, OPEN, int, EMFILE, -1, (const char *path, int flags), (path, flags))
WRAP(read, READ, ssize_t, EIO, -1, (int fd, void *to, size_t size), (fd, to, size))
WRAP(write, WRITE, ssize_t, EIO, -1, (int fd, const void *from, size_t size), (fd, from, size))
WRAP_BOTH(fcntl, FCNTL, int, EMFILE, -1, (int fd, int command, long argument), (fd, command, argument))
WRAP_BOTH(fstat, FSTAT, int, EIO, -1, (int fd, void *st), (fd, st))
WRAP_BOTH(getrlimit, GETRLIMIT, int, EINVAL, -1, (int what, void *limit), (what, limit))
WRAP(syscall, SYSCALL, long, ENOMEM, -1, (long number, long a, long b, long c, long d, long e, long f),
     (number, a, b, c, d, e, f))
WRAP(process_vm_readv, PROCESS_VM_READV, ssize_t, EPERM, -1,
     (pid_t pid, const struct iovec *local, unsigned long n, const struct iovec *remote, unsigned long m, unsigned long flags),
     (pid, local, n, remote, m, flags))
WRAP(prctl, PRCTL, int, EINVAL, -1, (int what, unsigned long a, unsigned long b, unsigned long c, unsigned long d),
     (what, a, b, c, d))
WRAP(sigaction, SIGACTION, int, EINVAL, -1, (int sig, const struct sigaction *action, struct sigaction *old), (sig, action, old))

/* Closed in any case; and nobody closes what is not open, which another thread may have opened meanwhile. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	bool fail = fails(INJECT_CLOSE);

	if (__real_close(fd))
		abort();
	if (!fail)
		return 0;
	errno = EIO;
	return -1;
}
