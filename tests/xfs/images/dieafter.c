/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dieafter: a preloaded library that ends a process before its Nth write to a file
 *
 * DIE_AFTER=N lets N positioned writes pass and then exits with status 99, as if the process had been killed between two writes: what
 * was written is there, what was not is not. (With 64-bit file offsets, as Meson sets them, pwrite() is the symbol pwrite64.) DIE_COUNT=FILE instead lets all pass and leaves their number in FILE.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

typedef ssize_t pwritev_fn(int fd, const struct iovec *iov, int count, off_t offset);
typedef ssize_t pwrite_fn(int fd, const void *data, size_t size, off_t offset);

static unsigned long passed;

static void before_write(void)
{
	const char *limit = getenv("DIE_AFTER");

	if (limit && passed >= strtoul(limit, NULL, 10))
		_exit(99);
	passed++;
}

__attribute__((destructor)) static void leave_count(void)
{
	const char *name = getenv("DIE_COUNT");
	FILE *f = name ? fopen(name, "w") : NULL;

	if (f) {
		fprintf(f, "%lu\n", passed);
		fclose(f);
	}
}

static void *next(const char *symbol)
{
	void *fn = dlsym(RTLD_NEXT, symbol);

	if (!fn)
		abort();
	return fn;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	static pwritev_fn *real;

	if (!real)
		*(void **)&real = next("pwritev64");
	before_write();
	return real(fd, iov, count, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	static pwrite_fn *real;

	if (!real)
		*(void **)&real = next("pwrite64");
	before_write();
	return real(fd, data, size, offset);
}
