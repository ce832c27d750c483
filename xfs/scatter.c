/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Directory blocks in several extents
 *
 * A directory block may be up to 128 fs blocks, anywhere on the disk. The log holds a buffer item for each of its extents that was
 * changed; kernels up to at least 6.18 recover each as if it were a whole block, and crash. Here a piece is bytes: applied in log order, not
 * stamped. Only when pass 2 is over is each block gathered through its directory's map into one view, checked, and given one LSN and one
 * CRC over all of it.
 *
 * Why not at the end of each LSN group: the map on the disk may be newer than that group and know the block no more. After the last one it
 * is what it will be.
 *
 * Why it can be repeated. A block's LSN is in its first piece only. While it is not stamped it carries that of its last writing, or of
 * its logged image, both older than the transaction at hand: no item of it is skipped. Once stamped, items for the first piece are
 * skipped, and those for the others, which have no LSN, applied again, in the same order up to the last one: the result is the same.
 *
 * Whose block is it? Whoever changes a directory logs its inode in the same transaction, so the directories are among the inodes that the log
 * names. A piece that none of them maps belongs to nobody any more, and is left as it came.
 *
 * Cost. The map of each such directory is read once; a block is looked at if one of its extents holds a piece, found by binary search.
 */
#include "scatter.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "bmap.h"
#include "bytes.h"
#include "dir.h"
#include "format.h"
#include "verify.h"

struct piece {
	uint64_t daddr, lsn;
	bool claimed;
};

struct scatter {
	struct xr_replay *replay;
	struct xr_fs fs;
	struct piece *pieces; /* by address */
	size_t n;
};

static int no_memory(const struct xr_replay *replay)
{
	return xr_fail(replay->msg, -ENOMEM, "no memory for %zu pieces of directory blocks", replay->pieces.count);
}

int xr_scatter_note(struct xr_replay *replay, uint64_t daddr, uint32_t bbs, uint64_t lsn)
{
	struct xr_entry *piece = xr_table_add(&replay->pieces, daddr, bbs);

	if (!piece)
		return no_memory(replay);
	piece->value = piece->value > lsn ? piece->value : lsn;
	return 0;
}

int xr_scatter_owner(struct xr_replay *replay, uint64_t ino)
{
	return !replay->has_pieces || xr_table_add(&replay->owners, ino, 0) ? 0 : no_memory(replay);
}

static int by_address(const void *left, const void *right)
{
	const struct piece *a = left, *b = right;

	return (a->daddr > b->daddr) - (a->daddr < b->daddr);
}

/* Claim the pieces that begin in this extent; the newest LSN among them and *lsn goes to *lsn. */
static bool claim(struct scatter *s, const struct xr_extent *extent, uint64_t *lsn)
{
	size_t low = 0, high = s->n;
	bool any = false;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->pieces[middle].daddr < extent->daddr)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < s->n && s->pieces[low].daddr - extent->daddr < extent->bbs; low++) {
		s->pieces[low].claimed = any = true;
		*lsn = *lsn > s->pieces[low].lsn ? *lsn : s->pieces[low].lsn;
	}
	return any;
}

static int bad_block(const struct scatter *s, const struct xr_inode *dir, uint64_t block, const char *what)
{
	return xr_fail(s->replay->msg, -EUCLEAN,
		       "directory inode %llu, directory block %llu: its pieces in the log make a block that is wrong: %s",
		       (unsigned long long)dir->ino, (unsigned long long)block, what);
}

/* One directory block, whole. */
static int finish_block(struct scatter *s, const struct xr_inode *dir, uint64_t block, const struct xr_extent *extents, size_t n,
			uint64_t lsn)
{
	const struct xr_sb *sb = s->fs.sb;
	const struct xr_kind *kind;
	const char *fault = NULL;
	uint64_t on_disk;
	struct xr_buf buf;
	int ret = xr_buf_get(s->fs.cache, extents, n, &buf);

	if (ret)
		return ret;
	kind = xr_kind_of(buf.data, buf.size);
	on_disk = xr_block_lsn(sb, buf.data, buf.size);
	if (!kind || !(kind->types & XR_DIR_KINDS))
		fault = "it has no directory block's magic number";
	else
		ret = xr_block_stamp(sb, extents[0].daddr, buf.data, buf.size, on_disk > lsn ? on_disk : lsn, s->replay->msg);
	if (!fault && !ret)
		fault = xr_dir_block_fault(&s->fs, dir, &buf, extents[0].daddr);
	if (fault)
		ret = bad_block(s, dir, block, fault);
	else if (!ret)
		xr_buf_dirty(s->fs.cache, &buf, 0, buf.size);
	xr_buf_put(s->fs.cache, &buf);
	return ret;
}

static int finish_blocks(struct scatter *s, const struct xr_inode *dir, const struct xr_bmap *map)
{
	const struct xr_sb *sb = s->fs.sb;
	uint32_t per = 1u << sb->dirblklog;
	struct xr_extent extents[XR_BMAP_GATHER_MAX];
	uint64_t next = 0;
	int ret = 0;

	for (size_t i = 0; i < map->n && !ret; i++) {
		uint64_t block = map->map[i].offset >> sb->dirblklog;
		uint64_t last = (map->map[i].offset + map->map[i].count - 1) >> sb->dirblklog;

		for (block = block < next ? next : block; block <= last && !ret; block++) {
			size_t n = xr_bmap_gather(&s->fs, map, block * per, per, extents);
			uint64_t lsn = 0;
			bool any = false;

			for (size_t e = 0; e < n; e++)
				any |= claim(s, &extents[e], &lsn);
			if (any)
				ret = finish_block(s, dir, block, extents, n, lsn);
			next = block + 1;
		}
	}
	return ret;
}

/* A directory that is gone, or none, is nobody's concern; one that cannot be read was warned of, and keeps its pieces as they are. */
static int finish_dir(struct scatter *s, uint64_t ino)
{
	struct xr_inode dir;
	struct xr_bmap map = {0};
	int ret = xr_inode_read(&s->fs, ino, &dir);

	if (ret)
		return ret == -ENOENT || ret == -EUCLEAN ? 0 : ret;
	if (!S_ISDIR(dir.mode) || dir.format == XFS_DINODE_FMT_LOCAL)
		return 0;
	ret = xr_bmap_read(&s->fs, &dir, XR_DATA_FORK, &map);
	if (!ret)
		ret = finish_blocks(s, &dir, &map);
	xr_bmap_free(&map);
	return ret;
}

static void say_unclaimed(const struct scatter *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->pieces[i].claimed)
			continue;
		xr_say(s->replay->msg, XR_DETAIL,
		       "block %llu: no directory in the log has this piece of a directory block; written as logged",
		       (unsigned long long)s->pieces[i].daddr);
		s->replay->stats.unverified++;
	}
}

int xr_scatter_finish(struct xr_replay *replay)
{
	struct scatter s = {.replay = replay, .fs = {&replay->sb, replay->cache, replay->msg}};
	int ret = 0;

	if (!replay->pieces.count)
		return 0;
	s.pieces = calloc(replay->pieces.count, sizeof(*s.pieces));
	if (!s.pieces)
		return no_memory(replay);
	for (const struct xr_entry *e = replay->pieces.first; e; e = e->next)
		s.pieces[s.n++] = (struct piece){e->a, e->value, false};
	qsort(s.pieces, s.n, sizeof(*s.pieces), by_address);
	for (const struct xr_entry *e = replay->owners.first; e && !ret; e = e->next)
		ret = finish_dir(&s, e->a);
	if (!ret)
		say_unclaimed(&s);
	free(s.pieces);
	return ret;
}
