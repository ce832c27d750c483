/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The workload's model
 *
 * An array of the names that the workload made, each with its parent. It only has to be good enough to pick names that exist.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "workload-impl.h"

#define MAX_DEPTH 8

uint64_t work_random(struct work *w, uint64_t n)
{
	uint64_t z = w->rng += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return (z ^ z >> 31) % n;
}

bool chance(struct work *w, unsigned percent)
{
	return work_random(w, 100) < percent;
}

size_t node_add(struct work *w, enum kind kind, size_t parent, const char *name)
{
	size_t i = w->count;

	/* Names come and go: a few looks for a free slot keep the array short without a list of them. */
	for (unsigned look = 0; look < 4 && w->count; look++) {
		size_t slot = work_random(w, w->count);

		if (w->nodes[slot].kind == K_NONE)
			i = slot;
	}
	if (i == w->count) {
		if (w->count == w->room) {
			w->room = w->room ? 2 * w->room : 1024;
			w->nodes = realloc(w->nodes, w->room * sizeof(*w->nodes));
			if (!w->nodes)
				abort();
		}
		w->count++;
	}
	w->nodes[i] = (struct node){.kind = kind, .parent = parent, .name = strdup(name)};
	if (!w->nodes[i].name)
		abort();
	w->nodes[parent].children += i != parent;
	w->live[kind]++;
	return i;
}

void node_drop(struct work *w, size_t i)
{
	w->nodes[w->nodes[i].parent].children--;
	w->live[w->nodes[i].kind]--;
	w->nodes[i].kind = K_NONE;
	free(w->nodes[i].name);
	w->nodes[i].name = NULL;
}

void node_move(struct work *w, size_t i, size_t parent, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		abort();
	w->nodes[w->nodes[i].parent].children--;
	w->nodes[parent].children++;
	w->nodes[i].parent = parent;
	free(w->nodes[i].name);
	w->nodes[i].name = copy;
}

/* A random node of this kind, or 0 (the root) where there is none. */
size_t pick(struct work *w, enum kind kind)
{
	size_t i = work_random(w, w->count);

	if (!w->live[kind])
		return 0;
	while (w->nodes[i].kind != kind)
		i = (i + 1) % w->count;
	return i;
}

enum kind any_kind(struct work *w)
{
	return (enum kind)(K_DIR + work_random(w, K_KINDS - K_DIR));
}

static unsigned depth(const struct work *w, size_t i)
{
	unsigned d = 0;

	for (; i; i = w->nodes[i].parent)
		d++;
	return d;
}

size_t pick_dir(struct work *w)
{
	size_t i = pick(w, K_DIR);

	return depth(w, i) < MAX_DEPTH ? i : 0;
}

/* The path of name in directory dir, relative to the root. */
void path_in(const struct work *w, size_t dir, const char *name, char path[PATH_MAX])
{
	size_t at = PATH_MAX - 1;
	size_t len = strlen(name);

	at -= len;
	memcpy(path + at, name, len + 1);
	for (; dir; dir = w->nodes[dir].parent) {
		len = strlen(w->nodes[dir].name);
		if (len + 1 > at)
			break; /* too long: what is left of it does not exist, and the operation is refused */
		path[--at] = '/';
		at -= len;
		memcpy(path + at, w->nodes[dir].name, len);
	}
	memmove(path, path + at, PATH_MAX - at);
}

void path_of(const struct work *w, size_t i, char path[PATH_MAX])
{
	if (i)
		path_in(w, w->nodes[i].parent, w->nodes[i].name, path);
	else
		strcpy(path, ".");
}

/* Names of the kinds that break programs: long, not ASCII, with line ends, options and escapes. */
void new_name(struct work *w, char name[NAME_MAX + 1])
{
	static const char *const odd[] = {"with space %ju", "line\nend %ju",   "-rf %ju",     "na\xc3\xafve \xe2\x82\xac%ju",
					  "back\\slash%ju", "\x01\x1b[31m%ju", "\xff\xfe%ju", "quote'\"%ju"};
	uintmax_t n = w->serial++;

	if (chance(w, 75)) {
		snprintf(name, NAME_MAX + 1, "f%ju", n);
	} else if (chance(w, 80)) {
		size_t which = work_random(w, sizeof(odd) / sizeof(odd[0]));

		snprintf(name, NAME_MAX + 1, odd[which], n);
	} else {
		int len = (int)(100 + work_random(w, NAME_MAX - 99));

		snprintf(name, NAME_MAX + 1, "%ju.", n);
		for (int i = (int)strlen(name); i < len; i++)
			name[i] = (char)('a' + work_random(w, 26));
		name[len] = '\0';
	}
}

int result(int r)
{
	return r < 0 ? -errno : 0;
}

int open_node(struct work *w, size_t i, int flags)
{
	char path[PATH_MAX];
	int fd;

	if (!i)
		return -ENOENT;
	path_of(w, i, path);
	fd = openat(w->root, path, flags | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int close_with(int fd, int rc)
{
	close(fd);
	return rc;
}

int write_some(struct work *w, int fd, uint64_t offset, size_t size)
{
	ssize_t n = pwrite(fd, w->data + work_random(w, WORK_DATA - size + 1), size, (off_t)offset);

	return n < 0 ? -errno : 0;
}

int work_start(struct work *w, int root, uint64_t seed)
{
	*w = (struct work){.rng = seed, .root = root, .data = malloc(WORK_DATA)};
	if (!w->data)
		return -ENOMEM;
	for (size_t i = 0; i < WORK_DATA; i++)
		w->data[i] = (uint8_t)work_random(w, 256);
	node_add(w, K_DIR, 0, ".");
	return 0;
}

void work_stop(struct work *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->nodes[i].name);
	free(w->nodes);
	free(w->data);
}
