/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended attributes
 *
 * Attributes live in the inode (shortform), or in leaf blocks of the attribute fork: one, or many under a tree of nodes that is ordered by
 * the hash of the names. A listing needs no order, so the nodes are only descended. Names are always in the leaf; a value is there
 * too, or remote: in blocks of the same fork, in version 5 each with a header of its own.
 *
 * Why it ends: levels must fall on the way down, and no block on the disk is taken for a second part of the tree, however often the tree or the
 * fork's map names it. Damage costs the leaf, or what is under the node, in which it is.
 */
#include "attr.h"
#include "bytes.h"
#include "format.h"
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_SIZE 8u /* of leaf and node blocks alike */
#define MAX_LEVEL 5u
#define ANY_LEVEL UINT32_MAX
#define SHOWN (XFS_ATTR_LOCAL | XFS_ATTR_ROOT | XFS_ATTR_SECURE) /* flags of what Linux shows: none but these */

/* An access control list: on the disk a count and entries of 12 bytes, for Linux a version and entries of 8. */
#define ACL_HEADER 4u
#define ACL_ENTRY 12u
#define ACL_LINUX_ENTRY 8u
#define ACL_LINUX_VERSION 2u

/* Where things are in blocks of version 5, and in those of version 4, which have no checksum and do not say whose they are. */
struct layout {
	uint16_t leaf, node; /* magic numbers */
	uint32_t leaf_header, node_header; /* sizes */
	uint32_t leaf_count, node_count, node_level; /* offsets */
};

static const struct layout layouts[2] = {
	{XFS_ATTR_LEAF_MAGIC, XFS_DA_NODE_MAGIC, sizeof(struct xfs_attr_leaf_hdr), sizeof(struct xfs_da_node_hdr),
	 offsetof(struct xfs_attr_leaf_hdr, count), offsetof(struct xfs_da_node_hdr, __count),
	 offsetof(struct xfs_da_node_hdr, __level)},
	{XFS_ATTR3_LEAF_MAGIC, XFS_DA3_NODE_MAGIC, sizeof(struct xfs_attr3_leaf_hdr), sizeof(struct xfs_da3_node_hdr),
	 offsetof(struct xfs_attr3_leaf_hdr, count), offsetof(struct xfs_da3_node_hdr, __count),
	 offsetof(struct xfs_da3_node_hdr, __level)},
};

struct scan {
	const struct xr_fs *fs;
	const struct layout *layout;
	const struct xr_inode *inode;
	xr_attr_fn *fn;
	void *arg;
	uint64_t *damaged;
	struct xr_bmap map;
	struct xr_table taken; /* (daddr, 0): blocks that were found to be parts of the tree */
	struct xr_attr attr;
};

static void skip(struct scan *scan, const char *what, uint64_t block)
{
	++*scan->damaged;
	xr_say(scan->fs->msg, XR_WARN,
	       "inode %" PRIu64 ", attribute block %" PRIu64 ": %s: what cannot be read is skipped, check with xfs_repair -n",
	       scan->inode->ino, block, what);
}

/* The length of the value as Linux shows it; false: an access control list that is none. */
static bool acl_size(uint32_t stored, uint32_t *size)
{
	if (stored < ACL_HEADER || (stored - ACL_HEADER) % ACL_ENTRY)
		return false;
	*size = 4 + (stored - ACL_HEADER) / ACL_ENTRY * ACL_LINUX_ENTRY;
	return true;
}

/* Put together the name that Linux shows. False: it is none. */
static bool set_name(struct xr_attr *attr, uint8_t flags, const uint8_t *name, uint32_t size)
{
	const char *prefix = flags & XFS_ATTR_ROOT ? "trusted." : flags & XFS_ATTR_SECURE ? "security." : "user.";

	if (!size || memchr(name, 0, size) || (flags & (XFS_ATTR_ROOT | XFS_ATTR_SECURE)) == (XFS_ATTR_ROOT | XFS_ATTR_SECURE))
		return false;
	attr->acl = true;
	attr->size = attr->stored;
	if (flags & XFS_ATTR_ROOT && size == SGI_ACL_FILE_SIZE && !memcmp(name, SGI_ACL_FILE, size)) {
		strcpy(attr->name, "system.posix_acl_access");
		return acl_size(attr->stored, &attr->size);
	}
	if (flags & XFS_ATTR_ROOT && size == SGI_ACL_DEFAULT_SIZE && !memcmp(name, SGI_ACL_DEFAULT, size)) {
		strcpy(attr->name, "system.posix_acl_default");
		return acl_size(attr->stored, &attr->size);
	}
	attr->acl = false;
	sprintf(attr->name, "%s%.*s", prefix, (int)size, (const char *)name);
	return true;
}

static int shortform(struct scan *scan)
{
	uint32_t room, at = 4, size;
	const uint8_t *data = xr_inode_fork(scan->inode, XR_ATTR_FORK, &room);
	int error = 0;

	size = room < at ? 0 : xr_be16(data);
	if (size < at || size > room) {
		skip(scan, "the attributes in the inode do not fit into it", 0);
		return 0;
	}
	for (uint32_t i = 0; i < data[2] && !error; i++) {
		const uint8_t *entry = data + at; /* lengths of name and value, flags, name, value */

		if (size - at < 3 || size - at - 3 < (uint32_t)entry[0] + entry[1]) {
			skip(scan, "an attribute in the inode is damaged", 0);
			break;
		}
		at += 3u + entry[0] + entry[1];
		scan->attr.local = entry + 3 + entry[0];
		scan->attr.stored = entry[1];
		if (entry[2] & ~SHOWN)
			continue;
		if (set_name(&scan->attr, entry[2], entry + 3, entry[0]))
			error = scan->fn(scan->arg, &scan->attr);
		else
			skip(scan, "an attribute in the inode is damaged", 0);
	}
	return error;
}

/* Find the name and the value of a leaf's entry. False: they are not in the block behind its entries, or are impossible. */
static bool decode_entry(struct scan *scan, const uint8_t *block, const uint8_t *entry, uint32_t behind)
{
	uint32_t blocksize = scan->fs->sb->blocksize, at = xr_be16(entry + 4), head = entry[6] & XFS_ATTR_LOCAL ? 3 : 9, name;
	const uint8_t *p = block + at;
	struct xr_attr *attr = &scan->attr;

	if (at < behind || at > blocksize || blocksize - at < head)
		return false;
	name = p[head - 1];
	if (blocksize - at - head < name)
		return false;
	if (entry[6] & XFS_ATTR_LOCAL) {
		attr->stored = xr_be16(p);
		attr->local = p + head + name;
		if (attr->stored > blocksize - at - head - name)
			return false;
	} else {
		attr->remote = xr_be32(p);
		attr->stored = xr_be32(p + 4);
		attr->local = NULL;
		if (attr->stored > XR_ATTR_VALUE_MAX)
			return false;
	}
	return set_name(attr, entry[6], p + head, name);
}

static int leaf(struct scan *scan, const uint8_t *block, uint64_t number)
{
	uint32_t count = xr_be16(block + scan->layout->leaf_count), behind = scan->layout->leaf_header + count * ENTRY_SIZE;
	bool bad = false;
	int error = 0;

	if (behind > scan->fs->sb->blocksize) {
		skip(scan, "it has more entries than room", number);
		return 0;
	}
	for (uint32_t i = 0; i < count && !error; i++) {
		const uint8_t *entry = block + scan->layout->leaf_header + i * ENTRY_SIZE; /* hash, where, flags */

		if (entry[6] & ~SHOWN)
			continue;
		if (decode_entry(scan, block, entry, behind))
			error = scan->fn(scan->arg, &scan->attr);
		else
			bad = true;
	}
	if (bad)
		skip(scan, "an entry in it is damaged", number);
	return error;
}

/* What is wrong with a node or leaf as a whole, or NULL. Both begin with the same header, up to their counts. */
static const char *block_fault(const struct scan *scan, const struct xr_buf *buf, uint64_t daddr)
{
	const uint8_t *p = buf->data;
	uint16_t magic = xr_be16(p + offsetof(struct xfs_da3_blkinfo, hdr.magic));

	if (magic != scan->layout->leaf && magic != scan->layout->node)
		return "it is no block of an attribute tree";
	if (!scan->fs->sb->v5)
		return NULL;
	if (!xr_crc_ok(p, buf->size, offsetof(struct xfs_da3_blkinfo, crc)))
		return "its checksum is wrong";
	if (xr_be64(p + offsetof(struct xfs_da3_blkinfo, owner)) != scan->inode->ino)
		return "it belongs to another inode";
	if (xr_be64(p + offsetof(struct xfs_da3_blkinfo, blkno)) != daddr)
		return "it was written for another address";
	if (memcmp(p + offsetof(struct xfs_da3_blkinfo, uuid), scan->fs->sb->meta_uuid, 16) != 0)
		return "it belongs to another filesystem";
	return NULL;
}

static int walk(struct scan *scan, uint64_t number, uint32_t level);

/* The children of a node, one by one. Its buffer is held meanwhile: of those there are no more than levels. */
static int node(struct scan *scan, const uint8_t *block, uint64_t number, uint32_t level)
{
	const struct layout *layout = scan->layout;
	uint32_t count = xr_be16(block + layout->node_count);
	uint32_t own = xr_be16(block + layout->node_level);
	int error = 0;

	if (!own || own > MAX_LEVEL || (level != ANY_LEVEL && own != level) ||
	    count > (scan->fs->sb->blocksize - layout->node_header) / ENTRY_SIZE) {
		skip(scan, "it is no node for its place in the tree", number);
		return 0;
	}
	for (uint32_t i = 0; i < count && !error; i++)
		error = walk(scan, xr_be32(block + layout->node_header + i * ENTRY_SIZE + 4), own - 1);
	return error;
}

/* Look at one block and what is under it. A leaf has level 0; the root may be of any. */
static int walk(struct scan *scan, uint64_t number, uint32_t level)
{
	struct xr_extent extents[XR_BMAP_GATHER_MAX];
	const char *fault;
	struct xr_buf buf;
	bool is_leaf;
	int error;

	if (!xr_bmap_gather(scan->fs, &scan->map, number, 1, extents)) {
		skip(scan, "it is not mapped", number);
		return 0;
	}
	error = xr_buf_read(scan->fs->cache, extents[0].daddr, extents[0].bbs, &buf);
	if (error == -ENOMEM)
		return error;
	if (error) {
		skip(scan, "it cannot be read", number);
		return 0;
	}
	fault = block_fault(scan, &buf, extents[0].daddr);
	is_leaf = xr_be16(buf.data + offsetof(struct xfs_da3_blkinfo, hdr.magic)) == scan->layout->leaf;
	if (!fault && level != ANY_LEVEL && is_leaf != !level)
		fault = "its level in the tree is wrong";
	if (!fault && xr_table_find(&scan->taken, extents[0].daddr, 0))
		fault = "it is in the tree twice";
	if (!fault && !xr_table_add(&scan->taken, extents[0].daddr, 0)) {
		xr_buf_put(scan->fs->cache, &buf);
		return -ENOMEM;
	}
	if (fault)
		skip(scan, fault, number);
	else
		error = is_leaf ? leaf(scan, buf.data, number) : node(scan, buf.data, number, level);
	xr_buf_put(scan->fs->cache, &buf);
	return error;
}

static int read_fork(struct scan *scan)
{
	int error = xr_bmap_read(scan->fs, scan->inode, XR_ATTR_FORK, &scan->map);

	if (error == -EUCLEAN || error == -EIO) {
		skip(scan, "the map of the attribute fork is damaged", 0);
		error = 0;
	}
	/* A fork that was emptied, or not filled yet, has no attributes. */
	if (!error && scan->map.n)
		error = walk(scan, 0, ANY_LEVEL);
	xr_bmap_free(&scan->map);
	xr_table_clear(&scan->taken);
	return error;
}

int xr_attr_each(const struct xr_fs *fs, const struct xr_inode *inode, xr_attr_fn *fn, void *arg, uint64_t *damaged)
{
	uint64_t unasked = 0;
	struct scan scan = {.fs = fs, .inode = inode, .fn = fn, .arg = arg, .damaged = damaged ? damaged : &unasked};
	uint32_t room;

	scan.layout = &layouts[fs->sb->v5];
	scan.attr = (struct xr_attr){.fs = fs, .inode = inode, .map = &scan.map};
	xr_inode_fork(inode, XR_ATTR_FORK, &room);
	if (!room)
		return 0;
	return inode->aformat == XFS_DINODE_FMT_LOCAL ? shortform(&scan) : read_fork(&scan);
}

/* --- values --- */

static int damaged_value(const struct xr_attr *attr)
{
	char name[4 * XR_ATTR_NAME_MAX + 1];

	return xr_fail(attr->fs->msg, -EUCLEAN, "inode %" PRIu64 ": the value of attribute %s is damaged", attr->inode->ino,
		       xr_escape(name, sizeof(name), attr->name, strlen(attr->name)));
}

/* Whether a block of a remote value, with a header, is what it should be. */
static bool remote_ok(const struct xr_attr *attr, const struct xr_buf *buf, uint64_t daddr, uint32_t at, uint32_t size)
{
	const uint8_t *p = buf->data;

	return xr_be32(p) == XFS_ATTR3_RMT_MAGIC && xr_crc_ok(p, buf->size, XFS_ATTR3_RMT_CRC_OFF) &&
	       xr_be32(p + offsetof(struct xfs_attr3_rmt_hdr, rm_offset)) == at &&
	       xr_be32(p + offsetof(struct xfs_attr3_rmt_hdr, rm_bytes)) == size &&
	       xr_be64(p + offsetof(struct xfs_attr3_rmt_hdr, rm_owner)) == attr->inode->ino &&
	       xr_be64(p + offsetof(struct xfs_attr3_rmt_hdr, rm_blkno)) == daddr &&
	       !memcmp(p + offsetof(struct xfs_attr3_rmt_hdr, rm_uuid), attr->fs->sb->meta_uuid, 16);
}

/* Copy what one block holds of a remote value, size bytes behind the header. */
static int remote_block(const struct xr_attr *attr, uint64_t number, uint32_t header, uint32_t at, uint8_t *value, uint32_t size)
{
	const struct xr_fs *fs = attr->fs;
	struct xr_extent extents[XR_BMAP_GATHER_MAX];
	struct xr_buf buf;
	bool good;
	int error;

	if (!xr_bmap_gather(fs, attr->map, number, 1, extents))
		return damaged_value(attr);
	error = xr_buf_read(fs->cache, extents[0].daddr, extents[0].bbs, &buf);
	if (error)
		return error;
	good = !header || remote_ok(attr, &buf, extents[0].daddr, at, size);
	if (good)
		memcpy(value + at, buf.data + header, size);
	xr_buf_put(fs->cache, &buf);
	return good ? 0 : damaged_value(attr);
}

static int stored_value(const struct xr_attr *attr, uint8_t *value)
{
	const struct xr_sb *sb = attr->fs->sb;
	uint32_t header = sb->v5 ? (uint32_t)sizeof(struct xfs_attr3_rmt_hdr) : 0, room = sb->blocksize - header, at = 0;
	int error = 0;

	if (attr->local) {
		memcpy(value, attr->local, attr->stored);
		return 0;
	}
	for (uint64_t number = attr->remote; at < attr->stored && !error; number++) {
		uint32_t size = attr->stored - at < room ? attr->stored - at : room;

		error = remote_block(attr, number, header, at, value, size);
		at += size;
	}
	return error;
}

static void put_le16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

/* Entries shrink, so the conversion can go forward in place: a tag, an id and permissions become tag, permissions and id. */
static int convert_acl(const struct xr_attr *attr, uint8_t *value)
{
	uint32_t n = (attr->stored - ACL_HEADER) / ACL_ENTRY;

	if (xr_be32(value) != n)
		return damaged_value(attr);
	xr_put_le32(value, ACL_LINUX_VERSION);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *from = value + ACL_HEADER + i * ACL_ENTRY;
		uint8_t *to = value + 4 + i * ACL_LINUX_ENTRY;
		uint32_t tag = xr_be32(from), id = xr_be32(from + 4), perm = xr_be16(from + 8);

		put_le16(to, tag);
		put_le16(to + 2, perm);
		xr_put_le32(to + 4, id);
	}
	return 0;
}

int xr_attr_value(const struct xr_attr *attr, uint8_t *value)
{
	int error = stored_value(attr, value);

	return error || !attr->acl ? error : convert_acl(attr, value);
}
