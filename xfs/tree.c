/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk
 *
 * Depth-first, with a stack on the heap: a crafted image can nest directories deeper than any thread's stack. A frame holds the
 * names of one directory, sorted.
 *
 * The order is that of the full paths' bytes, which sorting names alone does not give: '/' sorts behind '-', so "/a-b" belongs
 * between "/a" and "/a/c". But all paths under a directory begin with its name and a '/' and so lie together. A directory is
 * therefore two items in its parent's frame: its name, and later its contents, sorted as its name with a '/' behind it. When
 * the first was visited it becomes the second and moves back to its place.
 *
 * Why it ends: each directory is entered once (the set of visited inodes), and directories together can have no more blocks
 * than the filesystem (the budget of dir.h).
 */
#include "tree.h"
#include "dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct item {
	size_t name; /* offset in the frame's names */
	uint64_t ino;
	uint8_t size; /* of the name */
	bool contents;
};

struct frame {
	struct item *items;
	char *names;
	size_t n, room; /* items */
	size_t used, names_room;
	size_t at;
	size_t path_size; /* of the directory's path; 0 for the root, whose children's paths begin with their own '/' */
	uint64_t ino;
};

/* Inode numbers, hashed, open addressing; 0 marks a free slot (it is nobody's number). */
struct set {
	uint64_t *slots;
	size_t room, used;
};

struct walk {
	const struct xr_fs *fs;
	const struct xr_tree_start *start;
	xr_tree_fn *fn;
	void *arg;
	struct xr_tree_result *result;
	struct xr_dir_scan scan;
	struct set visited;
	struct frame *frames;
	size_t depth, frames_room;
	struct xr_inode inode;
	char path[XR_TREE_PATH_MAX + 1];
	char target[XR_SYMLINK_MAX + 1];
};

static void skip(struct walk *walk, const char *what)
{
	char text[512];

	walk->result->skipped++;
	xr_say(walk->fs->msg, XR_WARN, "%s: %s", xr_escape(text, sizeof(text), walk->path, strlen(walk->path)), what);
}

/* array, with room for more than n elements of the given size; NULL, and array as it was, when there is no memory. */
static void *grow(void *array, size_t *room, size_t n, size_t size)
{
	size_t more = *room ? *room : 64;
	void *bigger;

	if (n < *room)
		return array;
	while (more <= n)
		more *= 2;
	bigger = reallocarray(array, more, size);
	if (bigger)
		*room = more;
	return bigger;
}

static size_t set_slot(const struct set *set, uint64_t ino)
{
	size_t slot = (size_t)(ino * 0x9e3779b97f4a7c15u >> 20) & (set->room - 1);

	while (set->slots[slot] && set->slots[slot] != ino)
		slot = (slot + 1) & (set->room - 1);
	return slot;
}

static int set_grow(struct set *set)
{
	struct set bigger = {.room = set->room ? 2 * set->room : 256};

	bigger.slots = calloc(bigger.room, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	bigger.used = set->used;
	for (size_t i = 0; i < set->room; i++) {
		if (set->slots[i])
			bigger.slots[set_slot(&bigger, set->slots[i])] = set->slots[i];
	}
	free(set->slots);
	*set = bigger;
	return 0;
}

/* 1: new, and now in the set; 0: was there; -ENOMEM. */
static int set_add(struct set *set, uint64_t ino)
{
	size_t slot;

	if (2 * set->used >= set->room && set_grow(set))
		return -ENOMEM;
	slot = set_slot(set, ino);
	if (set->slots[slot])
		return 0;
	set->slots[slot] = ino;
	set->used++;
	return 1;
}

/* Byte i of the key an item is sorted by; 0, which is in no name, behind its end. */
static uint8_t key_at(const struct item *item, const char *names, size_t i)
{
	if (i < item->size)
		return (uint8_t)names[item->name + i];
	return i == item->size && item->contents ? '/' : 0;
}

static int compare(const void *left, const void *right, void *names)
{
	const struct item *a = left, *b = right;
	size_t common = a->size < b->size ? a->size : b->size;
	int order = memcmp((const char *)names + a->name, (const char *)names + b->name, common);

	for (size_t i = common; !order && i <= common + 1; i++)
		order = key_at(a, names, i) - key_at(b, names, i);
	return order;
}

static int collect(void *arg, const struct xr_dirent *entry)
{
	struct frame *frame = arg;
	struct item *items = grow(frame->items, &frame->room, frame->n, sizeof(*items));
	char *names;

	if (!items)
		return -ENOMEM;
	frame->items = items;
	names = grow(frame->names, &frame->names_room, frame->used + entry->size, 1);
	if (!names)
		return -ENOMEM;
	frame->names = names;
	memcpy(frame->names + frame->used, entry->name, entry->size);
	frame->items[frame->n++] =
		(struct item){.name = frame->used, .ino = entry->ino, .size = (uint8_t)entry->size, .contents = false};
	frame->used += entry->size;
	return 0;
}

static void pop(struct walk *walk)
{
	struct frame *frame = &walk->frames[--walk->depth];

	free(frame->items);
	free(frame->names);
}

static int push(struct walk *walk, uint64_t ino, size_t path_size)
{
	struct frame *frames = grow(walk->frames, &walk->frames_room, walk->depth, sizeof(*frames));

	if (!frames)
		return -ENOMEM;
	walk->frames = frames;
	frames[walk->depth++] = (struct frame){.path_size = path_size, .ino = ino};
	return 0;
}

/* Tell who wants to know it that the directory in walk->inode is entered or left; walk->path is its path, but for the root. */
static int tell(struct walk *walk, xr_tree_fn *fn, size_t path_size)
{
	const struct xr_tree_entry entry = {
		.path = path_size ? walk->path : "/", .path_size = path_size ? path_size : 1, .inode = &walk->inode};

	return fn ? fn(walk->arg, &entry) : 0;
}

/* The contents of the innermost directory were all visited. */
static int leave(struct walk *walk)
{
	struct frame *frame = &walk->frames[walk->depth - 1];
	size_t path_size = frame->path_size;
	int error = 0;

	walk->path[path_size] = '\0';
	if (walk->start->leave)
		error = xr_inode_read(walk->fs, frame->ino, &walk->inode);
	pop(walk);
	if (error == -EIO || error == -EUCLEAN || error == -ENOENT)
		return xr_fail(walk->fs->msg, -EIO, "inode %" PRIu64 ": it could be read once and then no more", walk->inode.ino);
	return error ? error : tell(walk, walk->start->leave, path_size);
}

/* Enter directory ino, whose path is in walk->path. */
static int enter(struct walk *walk, uint64_t ino, size_t path_size)
{
	int error = set_add(&walk->visited, ino);
	struct frame *frame;

	if (error == 0)
		skip(walk, "this directory has another name already and is listed there");
	if (error <= 0)
		return error;
	error = xr_inode_read(walk->fs, ino, &walk->inode);
	if (error == -EIO)
		skip(walk, "its inode could be read once and then no more; skipped");
	if (error)
		return error == -EIO ? 0 : error;
	error = tell(walk, walk->start->enter, path_size);
	if (error)
		return error == XR_TREE_SKIP ? 0 : error;
	error = push(walk, ino, path_size);
	if (error)
		return error;
	frame = &walk->frames[walk->depth - 1];
	error = xr_dir_read(walk->fs, &walk->inode, &walk->scan, collect, frame);
	if (!error && frame->n)
		qsort_r(frame->items, frame->n, sizeof(*frame->items), compare, frame->names);
	return error;
}

static int visit_inode(struct walk *walk, size_t path_size)
{
	struct xr_tree_entry entry = {.path = walk->path, .path_size = path_size, .inode = &walk->inode};
	int error;

	if (S_ISLNK(walk->inode.mode)) {
		error = xr_symlink_read(walk->fs, &walk->inode, walk->target, &entry.target_size);
		if (error == -ENOMEM)
			return error;
		if (error)
			skip(walk, "the target of this symlink cannot be read");
		else
			entry.target = walk->target;
	}
	walk->result->entries++;
	return walk->fn(walk->arg, &entry);
}

/* A directory's name was visited: its contents come when everything that sorts before them has had its turn. */
static void contents_later(struct frame *frame)
{
	struct item item = frame->items[frame->at];
	size_t to = frame->at;

	item.contents = true;
	while (to + 1 < frame->n && compare(&frame->items[to + 1], &item, frame->names) < 0)
		to++;
	memmove(frame->items + frame->at, frame->items + frame->at + 1, (to - frame->at) * sizeof(item));
	frame->items[to] = item;
}

static int visit(struct walk *walk, struct frame *frame, size_t path_size)
{
	int error = xr_inode_read(walk->fs, frame->items[frame->at].ino, &walk->inode);

	if (error == -ENOMEM)
		return error;
	if (error) {
		skip(walk, error == -ENOENT ? "its inode is free; skipped" : "its inode cannot be read; skipped");
		frame->at++;
		return 0;
	}
	if (S_ISDIR(walk->inode.mode) && !walk->start->flat)
		contents_later(frame);
	else
		frame->at++;
	return visit_inode(walk, path_size);
}

/* Take the next item of the innermost directory. */
static int step(struct walk *walk)
{
	struct frame *frame = &walk->frames[walk->depth - 1];
	struct item item;
	size_t size;

	if (frame->at == frame->n)
		return leave(walk);
	item = frame->items[frame->at];
	walk->path[frame->path_size] = '\0';
	size = frame->path_size + 1 + item.size;
	if (size > XR_TREE_PATH_MAX) {
		skip(walk, "the path of an entry in it is too long to be shown; skipped");
		frame->at++;
		return 0;
	}
	walk->path[frame->path_size] = '/';
	memcpy(walk->path + frame->path_size + 1, frame->names + item.name, item.size);
	walk->path[size] = '\0';
	if (!item.contents)
		return visit(walk, frame, size);
	frame->at++;
	return enter(walk, item.ino, size);
}

static int walk_start(struct walk *walk)
{
	const struct xr_tree_start *start = walk->start;
	bool root = !strcmp(start->path, "/");
	size_t size = strlen(start->path);
	int error = xr_inode_read(walk->fs, start->ino, &walk->inode);

	if (!error && root && !S_ISDIR(walk->inode.mode))
		error = -ENOENT;
	if (error == -ENOENT)
		return xr_fail(walk->fs->msg, -EUCLEAN, "inode %" PRIu64 ": the %s is none; run xfs_repair", start->ino,
			       root ? "root directory" : "inode of the name to start at");
	if (error)
		return error;
	if (size > XR_TREE_PATH_MAX)
		return xr_fail(walk->fs->msg, -ENAMETOOLONG, "the path to start at is too long");
	memcpy(walk->path, start->path, size + 1);
	if (!start->flat || !S_ISDIR(walk->inode.mode))
		error = visit_inode(walk, size);
	if (error || !S_ISDIR(walk->inode.mode))
		return error;
	return enter(walk, start->ino, root ? 0 : size);
}

int xr_tree_walk_from(const struct xr_fs *fs, const struct xr_tree_start *start, xr_tree_fn *fn, void *arg,
		      struct xr_tree_result *result)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	int error;

	*result = (struct xr_tree_result){0};
	if (!walk)
		return -ENOMEM;
	walk->fs = fs;
	walk->start = start;
	walk->fn = fn;
	walk->arg = arg;
	walk->result = result;
	walk->scan.budget = fs->sb->dblocks;
	error = walk_start(walk);
	while (!error && walk->depth)
		error = step(walk);
	while (walk->depth)
		pop(walk);
	result->skipped += walk->scan.damaged;
	free(walk->frames);
	free(walk->visited.slots);
	free(walk);
	return error;
}

int xr_tree_walk(const struct xr_fs *fs, xr_tree_fn *fn, void *arg, struct xr_tree_result *result)
{
	const struct xr_tree_start start = {.ino = fs->sb->rootino, .path = "/"};

	return xr_tree_walk_from(fs, &start, fn, arg, result);
}
