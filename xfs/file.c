/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * File contents
 *
 * Data is never in the log, but its blocks are read through the buffer cache all the same: a block that recovery writes is then seen as
 * written, wherever it belongs, and there is one place that knows the device. Realtime extents are on a device that recovery never writes;
 * those are read directly. A read is cut where written stretches begin and end, and into pieces that are a small share of the cache.
 */
#include "file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE (256u << 10)

int xr_file_open(struct xr_file *file, const struct xr_fs *fs, const struct xr_dev *rt, const struct xr_inode *inode)
{
	int error;

	*file = (struct xr_file){.fs = fs, .rt = rt, .ino = inode->ino, .size = inode->size};
	if (!S_ISREG(inode->mode))
		return -EINVAL;
	error = xr_bmap_read(fs, inode, XR_DATA_FORK, &file->map);
	if (file->map.realtime && !rt) {
		xr_bmap_free(&file->map);
		return xr_fail(fs->msg, -EOPNOTSUPP, "inode %" PRIu64 ": its data is on a realtime device that cannot be read",
			       file->ino);
	}
	return error;
}

void xr_file_close(struct xr_file *file)
{
	xr_bmap_free(&file->map);
}

bool xr_file_data(const struct xr_file *file, uint64_t offset, uint64_t *from, uint64_t *to)
{
	const struct xr_bmap *map = &file->map;
	uint8_t log = file->fs->sb->blocklog;
	const struct xr_mapping *m = xr_bmap_find(map, offset >> log), *end = m ? map->map + map->n : NULL;

	while (m && m < end && m->unwritten)
		m++;
	if (!m || m == end || m->offset << log >= file->size)
		return false;
	*from = m->offset << log > offset ? m->offset << log : offset;
	for (*to = (m->offset + m->count) << log; ++m < end && !m->unwritten && m->offset << log == *to;)
		*to = (m->offset + m->count) << log;
	if (*to > file->size)
		*to = file->size;
	return *from < *to;
}

/* Read size bytes that begin within bytes behind the start of a mapping and lie in it. */
static int read_mapping(const struct xr_file *file, const struct xr_mapping *m, uint64_t within, uint8_t *to, size_t size)
{
	const struct xr_sb *sb = file->fs->sb;
	struct xr_buf buf;
	int error = 0;

	if (file->map.realtime)
		return xr_dev_read(file->rt, to, size, (xr_rt_device_block(sb, m->block) << sb->blocklog) + within);
	while (size && !error) {
		uint64_t at = (xr_fsb_daddr(sb, m->block) << XR_BB_SHIFT) + within;
		uint32_t skip = (uint32_t)(at % XR_BB), step = size < PIECE ? (uint32_t)size : PIECE;

		error = xr_buf_read(file->fs->cache, at >> XR_BB_SHIFT, (skip + step + XR_BB - 1) / XR_BB, &buf);
		if (error)
			break;
		memcpy(to, buf.data + skip, step);
		xr_buf_put(file->fs->cache, &buf);
		to += step;
		within += step;
		size -= step;
	}
	return error;
}

int xr_file_read(const struct xr_file *file, void *to, size_t size, uint64_t offset)
{
	uint8_t log = file->fs->sb->blocklog, *out = to;
	const struct xr_mapping *m = xr_bmap_find(&file->map, offset >> log), *end = file->map.map + file->map.n;
	int error = 0;

	memset(out, 0, size);
	for (; m && m < end && !error; m++) {
		uint64_t from = m->offset << log, to_end = (m->offset + m->count) << log;

		if (from >= offset + size)
			break;
		if (m->unwritten)
			continue;
		from = from > offset ? from : offset;
		to_end = to_end < offset + size ? to_end : offset + size;
		error = read_mapping(file, m, from - (m->offset << log), out + (from - offset), (size_t)(to_end - from));
	}
	return error;
}
