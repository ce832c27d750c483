/* SPDX-License-Identifier: GPL-2.0-only */
#include "fuzzfs.h"

#include <errno.h>
#include <sys/stat.h>
#include "attr.h"
#include "file.h"
#include "tree.h"

#define CONTENT 20000u
#define READ_MAX (1u << 20) /* of one file */

/* Formatted, and forgotten unless somebody looks for what an input does. */
static void forget(void *arg, enum xr_level level, const char *text)
{
	(void)arg;
	(void)level;
	if (getenv("FUZZ_VERBOSE"))
		fprintf(stderr, "%s\n", text);
}

void fuzz_fs_make(struct test_fs *fs)
{
	char name[] = "/tmp/fuzz.XXXXXX", *names = test_fs_proto(300), *proto;
	static const uint8_t content[CONTENT] = "what is in the files";
	int fd = mkstemp(name);

	assert_true(fd >= 0 && write(fd, content, sizeof(content)) == (ssize_t)sizeof(content));
	close(fd);
	assert_true(asprintf(&proto, "%sfile ---644 0 0 %s\nother ---600 1 2 %s\n", names, name, name) > 0);
	test_fs_make(fs, "--unsupported -b size=1k -l size=8m -m rmapbt=1,reflink=1", proto);
	unlink(name);
	free(names);
	free(proto);
	fs->t.msg.emit = forget;
}

void fuzz_fs_make_log(struct test_fs *fs, struct lb *lb)
{
	char name[64];

	fuzz_fs_make(fs);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fs->dev.fd);
	lb_open(lb, name);
	lb->dev.name = fs->dev.name; /* which outlives this function */
	lb_zero(lb, 0, lb->log.bbs);
}

static int value(void *arg, const struct xr_attr *attr)
{
	uint8_t *room = arg;

	return xr_attr_value(attr, room) == -ENOMEM ? -ENOMEM : 0;
}

static void content(const struct xr_fs *fs, const struct xr_inode *inode, uint8_t *room)
{
	uint64_t from, to, offset = 0, left = READ_MAX;
	struct xr_file file;

	xr_file_open(&file, fs, NULL, inode);
	while (left && xr_file_data(&file, offset, &from, &to)) {
		size_t size = to - from < XR_ATTR_VALUE_MAX ? to - from : XR_ATTR_VALUE_MAX;

		xr_file_read(&file, room, size, from);
		offset = from + size;
		left -= size < left ? size : left;
	}
	xr_file_close(&file);
}

static int look(void *arg, const struct xr_tree_entry *entry)
{
	static uint8_t room[XR_ATTR_VALUE_MAX];
	const struct xr_fs *fs = arg;
	uint64_t damaged = 0;

	xr_attr_each(fs, entry->inode, value, room, &damaged);
	if (S_ISREG(entry->inode->mode))
		content(fs, entry->inode, room);
	return 0;
}

void fuzz_fs_look(const struct xr_fs *fs)
{
	struct xr_tree_result result;
	struct xr_fs copy = *fs;

	xr_tree_walk(fs, look, &copy, &result);
}
