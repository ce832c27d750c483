/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rtstate: what a filesystem with realtime groups consists of, as text, from an image with a clean log
 *
 * The counters of the superblock and the allocation groups; the records of their btrees; every file and every metadata file with its
 * mappings; what dquots count; of realtime groups the bitmap, the summary and the records of both btrees. Two recoveries are equal when
 * these are. LSNs, checksums and where a btree has its blocks are left out: recoveries may differ in them. Lines begin with what they speak of.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vmap/linux.h>
#include "bmap.h"
#include "bytes.h"
#include "file.h"
#include "format.h"
#include "tree.h"

#define RTBLOCK_HEADER 48u /* of a block of the bitmap and the summary */
#define ROOT_HEADER 4u
#define DQUOT 136u

/*
 * Sizes in bytes of what a kind of btree has in its leaves and nodes. A root in an inode that is a node has room for as many entries as if their keys were
 * root_key long: that of refcounts counts a second key which it does not have.
 */
struct kind {
	uint32_t record, key, pointer, root_key;
};

static const struct kind free_kind = {8, 8, 4, 0}, rmap_kind = {24, 40, 4, 0}, refcount_kind = {12, 4, 4, 0};
static const struct kind rtrmap_kind = {24, 40, 8, 40}, rtrefcount_kind = {12, 4, 8, 8};

static void emit(void *arg, enum xr_level level, const char *text)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "rtstate: %s\n", text);
}

static const struct xr_msg msg = {.emit = emit};

static void need(int error, const char *what)
{
	if (error) {
		fprintf(stderr, "rtstate: %s: error %d\n", what, error);
		exit(1);
	}
}

static void read_block(const struct xr_fs *fs, uint64_t fsb, struct xr_buf *buf)
{
	need(!xr_fsb_ok(fs->sb, fsb, 1), "a block outside the filesystem");
	need(xr_buf_read(fs->cache, xr_fsb_daddr(fs->sb, fsb), fs->sb->blocksize >> XR_BB_SHIFT, buf), "a block");
}

/* Each record as words of 32 bits. */
static void show_records(const char *of, const struct kind *kind, const uint8_t *at, uint32_t n)
{
	for (; n--; at += kind->record) {
		printf("%s:", of);
		for (uint32_t i = 0; i < kind->record; i += 4)
			printf(" %" PRIx32, xr_be32(at + i));
		putchar('\n');
	}
}

static uint64_t pointer(const struct xr_fs *fs, const struct kind *kind, const uint8_t *at, uint64_t agno)
{
	return kind->pointer == 8 ? xr_be64(at) : agno << fs->sb->agblklog | xr_be32(at);
}

/* From a block of any level down to the first leaf, and through the leaves. */
static void show_leaves(const struct xr_fs *fs, const char *of, const struct kind *kind, uint64_t fsb, uint32_t level)
{
	bool wide = kind->pointer == 8;
	uint32_t header = wide ? 72 : 56, room = (fs->sb->blocksize - header) / (kind->key + kind->pointer);
	uint64_t agno = fsb >> fs->sb->agblklog, none = wide ? UINT64_MAX : agno << fs->sb->agblklog | UINT32_MAX;

	while (fsb != none) {
		struct xr_buf buf;
		uint32_t n;

		read_block(fs, fsb, &buf);
		n = xr_be16(buf.data + 6);
		need(xr_be16(buf.data + 4) != level || n > (fs->sb->blocksize - header) / kind->record, of);
		if (!level)
			show_records(of, kind, buf.data + header, n);
		fsb = level ? pointer(fs, kind, buf.data + header + (size_t)room * kind->key, agno)
			    : pointer(fs, kind, buf.data + (wide ? 16 : 12), agno);
		level -= level != 0;
		xr_buf_put(fs->cache, &buf);
	}
}

static void show_ag(const struct xr_fs *fs, uint32_t agno)
{
	uint64_t base = (uint64_t)agno << fs->sb->agblklog;
	uint32_t sector = fs->sb->sectsize >> XR_BB_SHIFT;
	struct xr_buf agf, agi;
	char of[32];

	need(xr_buf_read(fs->cache, xr_ag_daddr(fs->sb, agno) + sector, sector, &agf), "an AGF");
	need(xr_buf_read(fs->cache, xr_ag_daddr(fs->sb, agno) + 2ull * sector, sector, &agi), "an AGI");
	printf("ag %" PRIu32 ": length %" PRIu32 " free %" PRIu32 " longest %" PRIu32, agno, xr_be32(agf.data + 12),
	       xr_be32(agf.data + 52), xr_be32(agf.data + 56));
	printf(" inodes %" PRIu32 " free %" PRIu32 "\n", xr_be32(agi.data + 16), xr_be32(agi.data + 28));
	for (uint32_t i = 0; i < 64; i++)
		if (xr_be32(agi.data + 40 + i * 4) != UINT32_MAX)
			printf("ag %" PRIu32 ": unlinked %" PRIu32 ": %" PRIu32 "\n", agno, i, xr_be32(agi.data + 40 + i * 4));
	snprintf(of, sizeof(of), "ag %" PRIu32 " free", agno);
	show_leaves(fs, of, &free_kind, base | xr_be32(agf.data + 16), xr_be32(agf.data + 28) - 1);
	snprintf(of, sizeof(of), "ag %" PRIu32 " rmap", agno);
	if (fs->sb->has_rmapbt)
		show_leaves(fs, of, &rmap_kind, base | xr_be32(agf.data + 24), xr_be32(agf.data + 36) - 1);
	snprintf(of, sizeof(of), "ag %" PRIu32 " refcount", agno);
	if (fs->sb->has_reflink)
		show_leaves(fs, of, &refcount_kind, base | xr_be32(agf.data + 88), xr_be32(agf.data + 92) - 1);
	xr_buf_put(fs->cache, &agi);
	xr_buf_put(fs->cache, &agf);
}

/* A btree with its root in an inode. */
static void show_meta_btree(const struct xr_fs *fs, const struct xr_tree_entry *entry)
{
	const struct kind *kind = strstr(entry->path, ".rmap") ? &rtrmap_kind : &rtrefcount_kind;
	uint32_t size, room, n, level;
	const uint8_t *root = xr_inode_fork(entry->inode, XR_DATA_FORK, &size);

	level = xr_be16(root);
	n = xr_be16(root + 2);
	room = (size - ROOT_HEADER) / (level ? kind->root_key + kind->pointer : kind->record);
	need(n > room, entry->path);
	printf("%s: level %" PRIu32 "\n", entry->path, level);
	if (!level)
		show_records(entry->path, kind, root + ROOT_HEADER, n);
	else
		show_leaves(fs, entry->path, kind, xr_be64(root + ROOT_HEADER + (size_t)room * kind->key), level - 1);
}

/* The words of a bitmap or a summary that are not 0. */
static void show_words(const struct xr_fs *fs, const struct xr_tree_entry *entry)
{
	uint32_t blocksize = fs->sb->blocksize;
	uint8_t *block = malloc(blocksize);
	struct xr_file file;

	need(!block, "memory");
	need(xr_file_open(&file, fs, NULL, entry->inode), entry->path);
	for (uint64_t at = 0; at + blocksize <= entry->inode->size; at += blocksize) {
		need(xr_file_read(&file, block, blocksize, at), entry->path);
		for (uint32_t i = RTBLOCK_HEADER; i < blocksize; i += 4)
			if (xr_be32(block + i))
				printf("%s: %" PRIu64 ": %" PRIx32 "\n", entry->path, (at + i) / 4, xr_be32(block + i));
	}
	xr_file_close(&file);
	free(block);
}

/* What is counted for each owner that has anything. */
static void show_dquots(const struct xr_fs *fs, const struct xr_tree_entry *entry)
{
	uint32_t blocksize = fs->sb->blocksize;
	uint8_t *block = malloc(blocksize);
	struct xr_file file;

	need(!block, "memory");
	need(xr_file_open(&file, fs, NULL, entry->inode), entry->path);
	for (size_t i = 0; i < file.map.n; i++) {
		for (uint64_t n = 0; n < file.map.map[i].count; n++) {
			uint64_t at = (file.map.map[i].offset + n) * blocksize;

			file.size = at + blocksize; /* that of a quota file does not say how much there is */
			need(xr_file_read(&file, block, blocksize, at), entry->path);
			for (const uint8_t *d = block; d + DQUOT <= block + blocksize; d += DQUOT)
				if (xr_be64(d + 40) || xr_be64(d + 48) || xr_be64(d + 88))
					printf("%s: %" PRIu32 ": blocks %" PRIu64 " inodes %" PRIu64 " realtime %" PRIu64 "\n",
					       entry->path, xr_be32(d + 4), xr_be64(d + 40), xr_be64(d + 48), xr_be64(d + 88));
		}
	}
	xr_file_close(&file);
	free(block);
}

static int show_file(void *arg, const struct xr_tree_entry *entry)
{
	const struct xr_fs *fs = arg;
	const struct xr_inode *inode = entry->inode;
	struct xr_bmap map;

	printf("%s: inode %" PRIu64 " mode %o links %" PRIu32 " size %" PRIu64 " blocks %" PRIu64 " extents %" PRIu64
	       " flags %x %" PRIx64 "\n",
	       entry->path, inode->ino, inode->mode, inode->nlink, inode->size, inode->nblocks, inode->nextents, inode->flags,
	       inode->flags2);
	need(xr_bmap_read(fs, inode, XR_DATA_FORK, &map), entry->path);
	for (size_t i = 0; i < map.n; i++)
		printf("%s: %" PRIu64 "+%" PRIu32 " at %" PRIu64 "%s\n", entry->path, map.map[i].offset, map.map[i].count,
		       map.map[i].block, map.map[i].unwritten ? " unwritten" : "");
	xr_bmap_free(&map);
	if (!(inode->flags2 & XFS_DIFLAG2_METADATA))
		return 0;
	if (fs->sb->has_zones && strstr(entry->path, ".rmap"))
		printf("%s: %" PRIu32 " blocks in use\n", entry->path,
		       xr_be32(inode->raw + offsetof(struct xfs_dinode, di_cowextsize)));
	if (inode->format == XR_DINODE_FMT_META_BTREE)
		show_meta_btree(fs, entry);
	else if (strstr(entry->path, ".bitmap") || strstr(entry->path, ".summary"))
		show_words(fs, entry);
	else if (strstr(entry->path, "/quota/"))
		show_dquots(fs, entry);
	return 0;
}

int main(int argc, char **argv)
{
	struct vmap_process *process;
	struct xr_tree_result result;
	struct xr_tree_start metadata = {.path = "/(metadata)"};
	struct xr_dev dev;
	struct xr_sb sb;
	struct xr_fs fs = {&sb, NULL, &msg};

	need(argc != 2, "one image, please");
	need(xr_dev_open(&dev, argv[1], false, &msg), argv[1]);
	need(xr_sb_read(&sb, &dev, &msg), argv[1]);
	need(vmap_process_create(NULL, &process), "no pool");
	need(xr_cache_create(&fs.cache, &dev, process, false, &msg), "no cache");
	printf("superblock: inodes %" PRIu64 " free %" PRIu64 " blocks %" PRIu64 " free %" PRIu64, sb.icount, sb.ifree,
	       sb.dblocks, sb.fdblocks);
	printf(" realtime extents %" PRIu64 " free %" PRIu64 " groups %" PRIu32 "\n", sb.rextents, sb.frextents, sb.rgcount);
	for (uint32_t agno = 0; agno < sb.agcount; agno++)
		show_ag(&fs, agno);
	need(xr_tree_walk(&fs, show_file, &fs, &result), "the tree");
	need(result.skipped != 0, "the tree");
	metadata.ino = sb.metadirino;
	need(xr_tree_walk_from(&fs, &metadata, show_file, &fs, &result), "the metadata directory");
	need(result.skipped != 0, "the metadata directory");
	xr_cache_destroy(fs.cache);
	vmap_process_destroy(process);
	xr_dev_close(&dev);
	return 0;
}
