/* SPDX-License-Identifier: MIT */
/*
 * What is said about an address
 *
 * Theory: everything here may run in a signal handler, so there is no stdio, no memory of the heap, and no lock is waited for that this
 * thread may hold itself: the space's lock is tried until it could be had once, which it cannot if this thread has it. After that it
 * is free, or another thread's for a few steps, and vmap_explain() may wait for it.
 *
 * An address of code is told as the file that it lies in and how far behind that file's beginning, from /proc/self/maps. A tag is the
 * caller's memory, and may be gone: it is read through the kernel, which does not fault.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vmap/fault.h>
#include "faultline.h"
#include "process.h"

#define NSEC 1000000000u

void vmap_line_text(struct line *line, const char *text)
{
	while (*text && line->n + 1 < line->size)
		line->text[line->n++] = *text++;
}

/* With at least so many digits. */
static void line_digits(struct line *line, uint64_t number, unsigned base, unsigned digits)
{
	char reversed[2 * sizeof(number) + 8];
	char one[2] = "";
	unsigned n = 0;

	for (; number || n < digits; number /= base)
		reversed[n++] = "0123456789abcdef"[number % base];
	while (n) {
		one[0] = reversed[--n];
		vmap_line_text(line, one);
	}
}

void vmap_line_number(struct line *line, uint64_t number)
{
	line_digits(line, number, 10, 1);
}

void vmap_line_hex(struct line *line, uintptr_t number)
{
	vmap_line_text(line, "0x");
	line_digits(line, number, 16, 1);
}

void vmap_line_end(struct line *line)
{
	line->text[line->n++] = '\n';
}

static void line_seconds(struct line *line, uint64_t nanoseconds)
{
	vmap_line_number(line, nanoseconds / NSEC);
	vmap_line_text(line, ".");
	line_digits(line, nanoseconds % NSEC / 1000, 10, 6);
	vmap_line_text(line, " s");
}

/* /proc/self/maps, line by line: longer ones are cut. */
struct maps {
	int fd;
	char buffer[1024];
	size_t at, end;
	char line[320];
};

static bool maps_next(struct maps *maps)
{
	size_t n = 0;

	for (;;) {
		if (maps->at == maps->end) {
			ssize_t got = read(maps->fd, maps->buffer, sizeof(maps->buffer));

			if (got <= 0)
				return false;
			maps->at = 0;
			maps->end = (size_t)got;
		}
		if (maps->buffer[maps->at] == '\n') {
			maps->at++;
			maps->line[n] = '\0';
			return true;
		}
		if (n + 1 < sizeof(maps->line))
			maps->line[n++] = maps->buffer[maps->at];
		maps->at++;
	}
}

/* A hexadecimal number, and behind what follows it. */
static const char *maps_hex(const char *text, uintptr_t *number)
{
	*number = 0;
	for (;; text++) {
		if (*text >= '0' && *text <= '9')
			*number = *number * 16 + (uintptr_t)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			*number = *number * 16 + (uintptr_t)(*text - 'a') + 10;
		else
			return *text ? text + 1 : text;
	}
}

/* The file's own mappings follow each other; the first one begins with the file. */
static void line_file(struct line *line, uintptr_t code)
{
	struct maps maps = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
	uintptr_t begin, end, offset, base = 0;

	while (maps.fd >= 0 && maps_next(&maps)) {
		const char *rest = maps_hex(maps_hex(maps.line, &begin), &end), *name = strrchr(maps.line, '/');

		maps_hex(*rest ? rest + strcspn(rest, " ") + 1 : rest, &offset);
		if (!offset)
			base = begin;
		if (code < begin || code >= end)
			continue;
		if (name) {
			vmap_line_text(line, " (");
			vmap_line_text(line, name + 1);
			vmap_line_text(line, "+");
			vmap_line_hex(line, code - base);
			vmap_line_text(line, ")");
		}
		break;
	}
	if (maps.fd >= 0)
		close(maps.fd);
}

static void line_tag(struct line *line, const char *tag)
{
	char copy[65];
	struct iovec local = {.iov_base = copy, .iov_len = sizeof(copy) - 1};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)tag, .iov_len = sizeof(copy) - 1};
	ssize_t n = tag ? process_vm_readv(getpid(), &local, 1, &remote, 1, 0) : 0;

	if (n <= 0)
		return;
	copy[n] = '\0';
	vmap_line_text(line, ", tag \"");
	vmap_line_text(line, copy);
	vmap_line_text(line, "\"");
}

static void line_view(struct line *line, const struct vmap_area_info *area)
{
	vmap_line_text(line, "a view of ");
	vmap_line_number(line, area->size);
	vmap_line_text(line, " bytes at ");
	vmap_line_hex(line, area->addr);
	line_tag(line, area->tag);
	if (area->generation) {
		vmap_line_text(line, ", generation ");
		vmap_line_number(line, area->generation);
	}
}

static void line_unmapped(struct line *line, const struct vmap_explanation *why, uintptr_t at)
{
	vmap_line_text(line, "was unmapped by ");
	vmap_line_hex(line, (uintptr_t)why->unmapped_by);
	line_file(line, (uintptr_t)why->unmapped_by);
	if (why->unmapped_at) {
		vmap_line_text(line, " at ");
		line_seconds(line, why->unmapped_at);
		vmap_line_text(line, ", ");
		line_seconds(line, vmap_linux_now(NULL) - why->unmapped_at);
		vmap_line_text(line, " ago");
	}
	if (at - why->area.addr < why->area.size) {
		vmap_line_text(line, ": byte ");
		vmap_line_number(line, at - why->area.addr);
		vmap_line_text(line, " of ");
	} else {
		vmap_line_text(line, ": the guard of ");
	}
	line_view(line, &why->area);
}

static void line_live(struct line *line, const struct vmap_explanation *why)
{
	if (why->state == VMAP_STATE_GUARD) {
		vmap_line_text(line, "is ");
		vmap_line_number(line, why->beyond);
		vmap_line_text(line, " bytes behind the last one of ");
		line_view(line, &why->area);
		return;
	}
	vmap_line_text(line, "is in ");
	line_view(line, &why->area);
	vmap_line_text(line, why->area.prot & VMAP_WRITE ? ", which may be written: its memory is gone, or a part was protected"
							 : ", which may only be read");
}

static void line_free(struct line *line, const struct vmap_explanation *why, uintptr_t at)
{
	vmap_line_text(line, "is in no view");
	if (why->below.size) {
		vmap_line_text(line, "; ");
		vmap_line_number(line, at - why->below.addr - why->below.size);
		vmap_line_text(line, " bytes behind the end of ");
		line_view(line, &why->below);
	}
	if (why->above.size) {
		vmap_line_text(line, "; ");
		vmap_line_number(line, why->above.addr - at);
		vmap_line_text(line, " bytes before ");
		line_view(line, &why->above);
	}
}

/* Whether the space can be asked. */
static bool line_may_ask(struct vmap_process *process)
{
	for (unsigned i = 0; i < 100; i++) {
		if (!pthread_mutex_trylock(&process->lock)) {
			pthread_mutex_unlock(&process->lock);
			return true;
		}
		poll(NULL, 0, 1);
	}
	return false;
}

static void line_space(struct line *line, struct vmap_process *process, uintptr_t at)
{
	struct vmap_explanation why;

	if (!line_may_ask(process)) {
		vmap_line_text(line, "belongs to libvmap, which is in the middle of a call");
		return;
	}
	vmap_explain(process->space, (const void *)at, &why);
	if (why.state == VMAP_STATE_LAZY || why.state == VMAP_STATE_QUARANTINED)
		line_unmapped(line, &why, at);
	else if (why.state == VMAP_STATE_FREE)
		line_free(line, &why, at);
	else
		line_live(line, &why);
}

bool vmap_fault_line(struct vmap_process *process, const void *addr, char *text, size_t size)
{
	const struct vmap_mech *mech = process->views.mech;
	const uintptr_t at = (uintptr_t)addr, pool = (uintptr_t)process->pool.memory;
	const bool in_pool = at - pool < process->memory.size, in_space = at - mech->base < mech->size;
	struct line line = {.text = text, .size = size};

	if (in_pool || in_space)
		vmap_line_text(&line, "this address ");
	if ((in_pool || in_space) && !process->inherited && vmap_process_may_take(process)) {
		vmap_line_text(&line, "is the parent's, and this child was to have nothing of it");
	} else if (in_pool) {
		vmap_line_text(&line, "is byte ");
		vmap_line_number(&line, at - pool);
		vmap_line_text(&line, " of the pool, where no page was ever handed out, or memory has run out");
	} else if (in_space) {
		line_space(&line, process, at);
	}
	text[line.n] = '\0';
	return in_pool || in_space;
}
