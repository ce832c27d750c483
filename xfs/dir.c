/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Directories
 *
 * Names live in the inode (shortform) or in data blocks: all file blocks below the 32 GiB mark, in units of the directory
 * block, which is one fs block or up to 128. The fs blocks of one directory block need not be neighbours on the disk. Entries
 * run from header to end in multiples of 8 bytes, straight across those borders: a name may begin in one extent and end in the
 * next. So a block is asked for as a list of extents and comes back as one piece of memory, and nothing here knows where it
 * came from.
 *
 * A single-block directory keeps its hash index at the end of that block; the names end where the index begins. In all other
 * forms the index has blocks of its own, above the mark, which a listing does not need.
 *
 * Every block is checked as a whole (magic; on V5 checksum, owner, address, UUID) before a name is taken from it, and walked once to
 * check its shape before the first name is handed out: a damaged block gives no names rather than some.
 */
#include "dir.h"
#include "bmap.h"
#include "bytes.h"
#include "format.h"
#include "verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define LEAF_OFFSET (1ull << 35) /* byte offset where the index begins; the header's macro depends on kernel types */
#define NAME_OFFSET 9u /* inode number, length of the name */
#define TAIL_SIZE 8u /* of a single-block directory: entries in the index, stale ones among them */
#define INDEX_ENTRY 8u

struct scan {
	const struct xr_fs *fs;
	const struct xr_inode *dir;
	struct xr_dir_scan *all;
	xr_dirent_fn *fn;
	void *arg;
	uint32_t header; /* of a data block */
	/* Directory blocks from..to, skipped because of what, and not said yet: a run of them is one line. */
	const char *what;
	uint64_t from, to;
};

static void say_skipped(struct scan *scan)
{
	char blocks[64];

	if (!scan->what)
		return;
	if (scan->from == scan->to)
		snprintf(blocks, sizeof(blocks), "block %" PRIu64, scan->from);
	else
		snprintf(blocks, sizeof(blocks), "blocks %" PRIu64 " to %" PRIu64 ", each", scan->from, scan->to);
	xr_say(scan->fs->msg, XR_WARN,
	       "directory inode %" PRIu64 ", directory %s: %s; its names are skipped, check with xfs_repair -n", scan->dir->ino,
	       blocks, scan->what);
	scan->what = NULL;
}

static void skip(struct scan *scan, const char *what, uint64_t block)
{
	scan->all->damaged++;
	if (scan->what == what && block == scan->to + 1) {
		scan->to = block;
		return;
	}
	say_skipped(scan);
	scan->what = what;
	scan->from = scan->to = block;
}

static bool name_ok(const uint8_t *name, uint32_t size)
{
	return size > 0 && !memchr(name, '/', size) && !memchr(name, '\0', size);
}

static bool is_dot(const struct xr_dirent *entry)
{
	return entry->name[0] == '.' && (entry->size == 1 || (entry->size == 2 && entry->name[1] == '.'));
}

/* Decode the shortform entry at *at and move behind it. False: it does not fit, or is no name. */
static bool shortform_next(const struct scan *scan, const uint8_t *data, uint32_t size, uint32_t *at, uint32_t ino_size,
			   struct xr_dirent *entry)
{
	uint32_t name = *at + 3, need; /* length and hash-order offset come first */

	if (name > size)
		return false;
	entry->size = data[*at];
	need = entry->size + scan->fs->sb->has_ftype + ino_size;
	if (need > size - name)
		return false;
	entry->name = data + name;
	entry->ftype = scan->fs->sb->has_ftype ? data[name + entry->size] : 0;
	const uint8_t *ino = data + name + entry->size + scan->fs->sb->has_ftype;
	entry->ino = ino_size == 8 ? xr_be64(ino) : xr_be32(ino);
	*at = name + need;
	return name_ok(entry->name, entry->size) && !is_dot(entry); /* "." and ".." are not stored in this form */
}

static int shortform(struct scan *scan)
{
	uint32_t room, size, at;
	const uint8_t *data = xr_inode_fork(scan->dir, XR_DATA_FORK, &room);
	struct xr_dirent entry;
	int error = 0;

	if (scan->dir->size > room || scan->dir->size < 6) {
		skip(scan, "the entries in the inode do not fit into it", 0);
		return 0;
	}
	size = (uint32_t)scan->dir->size;
	uint32_t ino_size = data[1] ? 8 : 4;
	at = 2 + ino_size;
	for (uint32_t i = 0; i < data[0] && !error; i++) {
		if (!shortform_next(scan, data, size, &at, ino_size, &entry)) {
			skip(scan, "an entry in the inode is damaged", 0);
			break;
		}
		error = scan->fn(scan->arg, &entry);
	}
	return error;
}

/* Where the names of a data block end; 0 when its tail is impossible. */
static uint32_t names_end(const struct scan *scan, const struct xr_buf *buf)
{
	uint32_t size = (uint32_t)buf->size, magic = xr_be32(buf->data), count;

	if (magic == XFS_DIR3_DATA_MAGIC || magic == XFS_DIR2_DATA_MAGIC)
		return size;
	count = xr_be32(buf->data + size - TAIL_SIZE);
	if (count > (size - scan->header - TAIL_SIZE) / INDEX_ENTRY)
		return 0;
	return size - TAIL_SIZE - count * INDEX_ENTRY;
}

/* What is wrong with a block as a whole; NULL: nothing. */
static const char *block_fault(const struct scan *scan, const struct xr_buf *buf, uint64_t daddr)
{
	const uint8_t *p = buf->data;
	uint32_t magic = xr_be32(p);

	if (!scan->fs->sb->v5) {
		if (magic != XFS_DIR2_DATA_MAGIC && magic != XFS_DIR2_BLOCK_MAGIC)
			return "it is no directory data block";
		return names_end(scan, buf) ? NULL : "the size of its index is impossible";
	}
	if (magic != XFS_DIR3_DATA_MAGIC && magic != XFS_DIR3_BLOCK_MAGIC)
		return "it is no directory data block";
	if (!xr_crc_ok(p, buf->size, offsetof(struct xfs_dir3_blk_hdr, crc)))
		return "its checksum is wrong";
	if (xr_be64(p + offsetof(struct xfs_dir3_blk_hdr, owner)) != scan->dir->ino)
		return "it belongs to another inode";
	if (xr_be64(p + offsetof(struct xfs_dir3_blk_hdr, blkno)) != daddr)
		return "it was written for another address";
	if (memcmp(p + offsetof(struct xfs_dir3_blk_hdr, uuid), scan->fs->sb->meta_uuid, 16) != 0)
		return "it belongs to another filesystem";
	return names_end(scan, buf) ? NULL : "the size of its index is impossible";
}

/*
 * Step over what lies at *at: false when it is damaged. entry->size is 0 for free space. Both kinds end with a tag, their own
 * offset.
 */
static bool data_next(const struct scan *scan, const uint8_t *block, uint32_t end, uint32_t *at, struct xr_dirent *entry)
{
	const uint8_t *p = block + *at;
	uint32_t left = end - *at, size;

	if (left < 8)
		return false;
	entry->size = 0;
	if (xr_be16(p) == XFS_DIR2_DATA_FREE_TAG) {
		size = xr_be16(p + 2);
	} else {
		if (left < 16)
			return false;
		entry->ino = xr_be64(p);
		entry->size = p[8];
		entry->name = p + NAME_OFFSET;
		size = (NAME_OFFSET + entry->size + scan->fs->sb->has_ftype + 2 + 7) & ~7u;
		if (!entry->size)
			return false;
	}
	if (size < 8 || size % 8 || size > left || xr_be16(p + size - 2) != *at)
		return false;
	if (entry->size)
		entry->ftype = scan->fs->sb->has_ftype ? entry->name[entry->size] : 0;
	*at += size;
	return !entry->size || name_ok(entry->name, entry->size);
}

/* Walk a block's entries; with fn NULL only to see whether they can be walked. */
static int data_walk(struct scan *scan, const struct xr_buf *buf, xr_dirent_fn *fn)
{
	uint32_t end = names_end(scan, buf);
	struct xr_dirent entry;
	int error = 0;

	for (uint32_t at = scan->header; at < end && !error;) {
		if (!data_next(scan, buf->data, end, &at, &entry))
			return -EUCLEAN;
		if (fn && entry.size && !is_dot(&entry))
			error = fn(scan->arg, &entry);
	}
	return error;
}

static const char *data_fault(struct scan *scan, const struct xr_buf *buf, uint64_t daddr)
{
	const char *fault = block_fault(scan, buf, daddr);

	return !fault && data_walk(scan, buf, NULL) ? "an entry in it is damaged" : fault;
}

/* Leaves and nodes: entries of eight bytes, in the order of their hashes. */
static const char *hashes_fault(const struct xr_buf *buf)
{
	const uint8_t *entries = buf->data + sizeof(struct xfs_dir3_leaf_hdr);
	uint32_t count = xr_be16(buf->data + offsetof(struct xfs_dir3_leaf_hdr, count));

	if (count > (buf->size - sizeof(struct xfs_dir3_leaf_hdr)) / INDEX_ENTRY)
		return "it has more index entries than room";
	for (uint32_t i = 1; i < count; i++)
		if (xr_be32(entries + (size_t)i * INDEX_ENTRY) < xr_be32(entries + (size_t)(i - 1) * INDEX_ENTRY))
			return "its index is out of order";
	return NULL;
}

static const char *free_fault(const struct xr_buf *buf)
{
	uint32_t valid = xr_be32(buf->data + offsetof(struct xfs_dir3_free_hdr, nvalid));
	uint32_t used = xr_be32(buf->data + offsetof(struct xfs_dir3_free_hdr, nused));

	return used > valid || valid > (buf->size - sizeof(struct xfs_dir3_free_hdr)) / 2 ? "its free index has impossible counts"
											  : NULL;
}

const char *xr_dir_block_fault(const struct xr_fs *fs, const struct xr_inode *dir, const struct xr_buf *buf, uint64_t daddr)
{
	struct scan scan = {.fs = fs, .dir = dir, .header = sizeof(struct xfs_dir3_data_hdr)};
	const struct xr_kind *kind = xr_kind_of(buf->data, buf->size);

	if (!kind || !(kind->types & XR_DIR_KINDS))
		return "it is no directory block";
	if (kind->magic == XFS_DIR3_DATA_MAGIC || kind->magic == XFS_DIR3_BLOCK_MAGIC)
		return data_fault(&scan, buf, daddr);
	/* The owner follows the UUID in all of them. */
	if (xr_be64(buf->data + kind->uuid + 16) != dir->ino)
		return "it belongs to another inode";
	return kind->magic == XFS_DIR3_FREE_MAGIC ? free_fault(buf) : hashes_fault(buf);
}

static int block_read(struct scan *scan, const struct xr_bmap *map, uint64_t block)
{
	uint32_t per = 1u << scan->fs->sb->dirblklog;
	struct xr_extent extents[XR_BMAP_GATHER_MAX];
	size_t n = xr_bmap_gather(scan->fs, map, block * per, per, extents);
	struct xr_buf buf;
	const char *fault;
	int error;

	if (!n) {
		skip(scan, "a part of it is not mapped", block);
		return 0;
	}
	error = xr_buf_get(scan->fs->cache, extents, n, &buf);
	if (error == -ENOMEM)
		return error;
	if (error) {
		skip(scan, "it cannot be read", block);
		return 0;
	}
	fault = data_fault(scan, &buf, extents[0].daddr);
	if (fault)
		skip(scan, fault, block);
	else
		error = data_walk(scan, &buf, scan->fn);
	xr_buf_put(scan->fs->cache, &buf);
	return error;
}

static int blocks(struct scan *scan, const struct xr_bmap *map)
{
	const struct xr_sb *sb = scan->fs->sb;
	uint64_t limit = LEAF_OFFSET >> sb->blocklog >> sb->dirblklog, next = 0;
	int error = 0;

	for (size_t i = 0; i < map->n && !error; i++) {
		const struct xr_mapping *m = &map->map[i];
		uint64_t block = m->offset >> sb->dirblklog, last = (m->offset + m->count - 1) >> sb->dirblklog;

		for (block = block < next ? next : block; block <= last && block < limit && !error; block++) {
			if (scan->all->budget < 1u << sb->dirblklog) {
				skip(scan, "the directories claim more blocks than the filesystem has", block);
				return 0;
			}
			scan->all->budget -= 1u << sb->dirblklog;
			error = block_read(scan, map, block);
			next = block + 1;
		}
	}
	return error;
}

static int read_blocks(struct scan *scan)
{
	struct xr_bmap map;
	int error = xr_bmap_read(scan->fs, scan->dir, XR_DATA_FORK, &map);

	if (error == -EUCLEAN || error == -EIO) {
		skip(scan, "its map is damaged from here on", map.n ? map.map[map.n - 1].offset >> scan->fs->sb->dirblklog : 0);
		error = 0;
	}
	if (!error)
		error = blocks(scan, &map);
	xr_bmap_free(&map);
	return error;
}

int xr_dir_read(const struct xr_fs *fs, const struct xr_inode *dir, struct xr_dir_scan *all, xr_dirent_fn *fn, void *arg)
{
	struct scan scan = {.fs = fs, .dir = dir, .all = all, .fn = fn, .arg = arg};
	int error;

	if (!S_ISDIR(dir->mode))
		return -EINVAL;
	scan.header = fs->sb->v5 ? sizeof(struct xfs_dir3_data_hdr) : sizeof(struct xfs_dir2_data_hdr);
	error = dir->format == XFS_DINODE_FMT_LOCAL ? shortform(&scan) : read_blocks(&scan);
	say_skipped(&scan);
	return error;
}
