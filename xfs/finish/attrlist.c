/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The attributes of an inode as a list
 *
 * A fork holds its attributes in the inode, in one leaf block, or in many leaves under nodes; always in the order of the hashes of their names, but in the
 * inode. To change one, all are read into one list that remembers which leaf has which; the change is made there, and the fork is written from
 * it. Only leaves whose share changed are laid out anew. Nodes follow from the leaves, so there is nothing to balance.
 *
 * Cost: a read of the whole tree per change; written is what differs. Most trees are one block.
 *
 * Everything read is checked: what a leaf says of itself, the order, that no block comes twice, so that reading ends.
 */
#include "attrlist.h"

#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "dinode.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define INFO(field) offsetof(struct xfs_da3_blkinfo, field)
#define NODE_HEADER 64u
#define MAX_LEVEL 5u
#define ANY_LEVEL UINT32_MAX
#define SPACES (XFS_ATTR_ROOT | XFS_ATTR_SECURE | XR_ATTR_PARENT)
#define KNOWN (SPACES | XFS_ATTR_LOCAL | XFS_ATTR_INCOMPLETE)
#define LOCAL_HEAD 3u
#define REMOTE_HEAD 9u
#define REMOTE_SIZE 11u /* what one without a name counts as: the first kernel's structure had padding in it */

static int damaged(const struct xr_attr_list *list, const char *what)
{
	return xr_fail(list->work->replay->msg, -EUCLEAN, "inode %llu: its attributes cannot be changed: %s; run xfs_repair -n",
		       (unsigned long long)list->inode->ino, what);
}

static int no_memory(const struct xr_attr_list *list)
{
	return xr_fail(list->work->replay->msg, -ENOMEM, "inode %llu: no memory for its %zu attributes",
		       (unsigned long long)list->inode->ino, list->n);
}

bool xr_attr_grow(void **array, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 16;
	void *larger;

	if (n < *room)
		return true;
	larger = realloc(*array, more * size);
	if (!larger)
		return false;
	*array = larger;
	*room = more;
	return true;
}

#define GROW(list, what) xr_attr_grow((void **)&(list)->what, (list)->n##what, &(list)->what##_room, sizeof(*(list)->what))

/* --- names --- */

/* Names of directory entries may be hashed without regard to case. */
static uint32_t hash_bytes(const uint8_t *name, uint32_t len, bool fold)
{
	uint32_t hash = 0;

	for (uint32_t i = 0; i < len; i++) {
		uint8_t c = name[i];

		if (fold && c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		hash = (hash << 7 | hash >> 25) ^ c;
	}
	return hash;
}

/* A parent pointer's name is that of a directory entry; which directory's, its value says. */
static uint32_t hash_of(const struct xr_sb *sb, const struct xr_attr_spec *spec)
{
	uint32_t hash =
		hash_bytes(spec->name, spec->namelen, spec->space & XR_ATTR_PARENT && sb->versionnum & XFS_SB_VERSION_BORGBIT);

	if (spec->space & XR_ATTR_PARENT && spec->valuelen >= 8)
		hash ^= xr_be32(spec->value) ^ xr_be32(spec->value + 4);
	return hash;
}

uint32_t xr_attr_item_bytes(const struct xr_attr_item *item)
{
	uint32_t size = item->flags & XFS_ATTR_LOCAL ? LOCAL_HEAD + item->namelen + item->valuelen : REMOTE_SIZE + item->namelen;

	return XR_ATTR_ENTRY + ((size + 3) & ~3u);
}

bool xr_attr_is_local(const struct xr_sb *sb, const struct xr_attr_spec *spec)
{
	return ((LOCAL_HEAD + spec->namelen + spec->valuelen + 3) & ~3u) < sb->blocksize / 4 * 3;
}

uint32_t xr_attr_value_blocks(const struct xr_sb *sb, uint32_t size)
{
	uint32_t room = sb->blocksize - (uint32_t)sizeof(struct xfs_attr3_rmt_hdr);

	return (size + room - 1) / room;
}

/* --- the list --- */

static struct xr_attr_item *new_item(const struct xr_attr_spec *spec, uint8_t flags, uint32_t hash, uint32_t valueblk)
{
	uint32_t local = flags & XFS_ATTR_LOCAL ? spec->valuelen : 0;
	struct xr_attr_item *item = malloc(sizeof(*item) + spec->namelen + local);

	if (!item)
		return NULL;
	*item = (struct xr_attr_item){
		.hash = hash,
		.flags = flags,
		.namelen = (uint8_t)spec->namelen,
		.valuelen = spec->valuelen,
		.valueblk = valueblk,
	};
	memcpy(item->bytes, spec->name, spec->namelen);
	if (local)
		memcpy(item->bytes + spec->namelen, spec->value, local);
	return item;
}

/* Put an item at its place; the caller counts it in its leaf. */
static int insert_at(struct xr_attr_list *list, size_t at, struct xr_attr_item *item)
{
	if (!item)
		return no_memory(list);
	if (!xr_attr_grow((void **)&list->items, list->n, &list->items_room, sizeof(*list->items))) {
		free(item);
		return no_memory(list);
	}
	memmove(&list->items[at + 1], &list->items[at], (list->n++ - at) * sizeof(*list->items));
	list->items[at] = item;
	return 0;
}

static int add_leaf(struct xr_attr_list *list, size_t at, struct xr_attr_leaf leaf)
{
	if (!GROW(list, leaves))
		return no_memory(list);
	memmove(&list->leaves[at + 1], &list->leaves[at], (list->nleaves++ - at) * sizeof(*list->leaves));
	list->leaves[at] = leaf;
	return 0;
}

static int add_spare(struct xr_attr_list *list, uint32_t block)
{
	if (!block || block == XR_ATTR_NO_BLOCK)
		return 0;
	if (!GROW(list, spare))
		return no_memory(list);
	list->spare[list->nspare++] = block;
	return 0;
}

static bool matches(const struct xr_attr_item *item, const struct xr_attr_spec *spec)
{
	if ((item->flags & SPACES) != spec->space || item->namelen != spec->namelen ||
	    memcmp(item->bytes, spec->name, spec->namelen) != 0)
		return false;
	/* A file may have links of one name in several directories. */
	return !(spec->space & XR_ATTR_PARENT) || (item->flags & XFS_ATTR_LOCAL && item->valuelen == spec->valuelen &&
						   !memcmp(item->bytes + item->namelen, spec->value, spec->valuelen));
}

/* Item i goes, out of leaf l. */
static int drop(struct xr_attr_list *list, size_t l, size_t i)
{
	struct xr_attr_item *item = list->items[i];
	struct xr_attr_leaf *leaf = &list->leaves[l];

	/* One whose setting was interrupted may not know its blocks yet. */
	if (!(item->flags & XFS_ATTR_LOCAL) && item->valueblk && item->valuelen) {
		if (!GROW(list, values))
			return no_memory(list);
		list->values[list->nvalues++] =
			(struct xr_attr_range){item->valueblk, xr_attr_value_blocks(xr_tx_sb(list->work->tx), item->valuelen)};
	}
	free(item);
	memmove(&list->items[i], &list->items[i + 1], (--list->n - i) * sizeof(*list->items));
	leaf->n--;
	leaf->changed = true;
	return 0;
}

/* Bytes of the items of leaf l. */
static uint32_t leaf_bytes(const struct xr_attr_list *list, size_t l)
{
	uint32_t bytes = 0;
	size_t first = 0;

	for (size_t before = 0; before < l; before++)
		first += list->leaves[before].n;
	for (uint32_t i = 0; i < list->leaves[l].n; i++)
		bytes += xr_attr_item_bytes(list->items[first + i]);
	return bytes;
}

/*
 * A leaf that is half empty joins a neighbour if that leaves a quarter of the block free, as in the kernel: that of the lower block number first,
 * and in the lower of both blocks.
 */
static int join(struct xr_attr_list *list, size_t l)
{
	uint32_t size = xr_tx_sb(list->work->tx)->blocksize, bytes = XR_ATTR_LEAF_HEADER + leaf_bytes(list, l);
	uint32_t back = l ? list->leaves[l - 1].block : 0, forw = l + 1 < list->nleaves ? list->leaves[l + 1].block : 0;
	bool forward = forw < back;

	if (bytes > size / 2)
		return 0;
	for (int i = 0; i < 2; i++, forward = !forward) {
		struct xr_attr_leaf *first, *second;
		uint32_t drop;

		if (!(forward ? forw : back) || bytes + leaf_bytes(list, forward ? l + 1 : l - 1) > size - size / 4)
			continue;
		first = &list->leaves[forward ? l : l - 1];
		second = first + 1;
		drop = first->block > second->block ? first->block : second->block;
		*first = (struct xr_attr_leaf){first->block + second->block - drop, first->n + second->n, true};
		memmove(second, second + 1, (size_t)(&list->leaves[list->nleaves] - (second + 1)) * sizeof(*second));
		list->nleaves--;
		return add_spare(list, drop);
	}
	return 0;
}

int xr_attr_list_remove(struct xr_attr_list *list, const struct xr_attr_spec *spec)
{
	size_t i = 0, lost = SIZE_MAX;

	for (size_t l = 0; l < list->nleaves;) {
		struct xr_attr_leaf *leaf = &list->leaves[l];
		uint32_t block = leaf->block;

		for (size_t end = i + leaf->n; i < end;) {
			if (!matches(list->items[i], spec)) {
				i++;
				continue;
			}
			if (drop(list, l, i))
				return -ENOMEM;
			lost = l;
			end--;
		}
		if (leaf->n) {
			l++;
			continue;
		}
		lost = SIZE_MAX;
		memmove(leaf, leaf + 1, (--list->nleaves - l) * sizeof(*leaf));
		if (add_spare(list, block))
			return -ENOMEM;
	}
	return lost < list->nleaves && list->nleaves > 1 ? join(list, lost) : 0;
}

/* The leaf at l holds the items from first on, and perhaps more of them than there is room: part it, half and half or in more pieces. */
static int split(struct xr_attr_list *list, size_t l, size_t first)
{
	uint32_t room = xr_tx_sb(list->work->tx)->blocksize - XR_ATTR_LEAF_HEADER;

	for (;; l++) {
		uint32_t n = list->leaves[l].n, bytes = 0, left = 0, i;

		for (i = 0; i < n; i++)
			bytes += xr_attr_item_bytes(list->items[first + i]);
		if (bytes <= room)
			return 0;
		for (i = 0; i < n && left < bytes / 2; i++) {
			uint32_t size = xr_attr_item_bytes(list->items[first + i]);

			if (left + size > room)
				break;
			left += size;
		}
		list->leaves[l].n = i;
		list->leaves[l].changed = true;
		if (add_leaf(list, l + 1, (struct xr_attr_leaf){XR_ATTR_NO_BLOCK, n - i, true}))
			return -ENOMEM;
		first += i;
	}
}

static int insert(struct xr_attr_list *list, struct xr_attr_item *item)
{
	size_t l = 0, first = 0, at;
	int ret = 0;

	if (item && !list->nleaves)
		ret = add_leaf(list, 0, (struct xr_attr_leaf){XR_ATTR_NO_BLOCK, 0, true});
	if (ret || !item) {
		free(item);
		return no_memory(list);
	}
	while (l + 1 < list->nleaves && list->items[first + list->leaves[l].n - 1]->hash < item->hash)
		first += list->leaves[l++].n;
	for (at = first; at < first + list->leaves[l].n && list->items[at]->hash <= item->hash; at++)
		;
	ret = insert_at(list, at, item);
	if (ret)
		return ret;
	list->leaves[l].n++;
	list->leaves[l].changed = true;
	return split(list, l, first);
}

int xr_attr_list_add(struct xr_attr_list *list, const struct xr_attr_spec *spec, uint32_t valueblk)
{
	return insert(list, new_item(spec, (uint8_t)(spec->space | (valueblk ? 0 : XFS_ATTR_LOCAL)),
				     hash_of(xr_tx_sb(list->work->tx), spec), valueblk));
}

void xr_attr_list_end(struct xr_attr_list *list)
{
	while (list->n)
		free(list->items[--list->n]);
	free(list->items);
	free(list->leaves);
	free(list->spare);
	free(list->values);
}

/* --- reading --- */

static int load_shortform(struct xr_attr_list *list, const uint8_t *data, uint32_t room)
{
	uint32_t at = 4, size = room < at ? 0 : xr_be16(data);
	int ret = 0;

	if (size < at || size > room)
		return damaged(list, "those in the inode do not fit into it");
	for (uint32_t i = 0; i < data[2] && !ret; i++) {
		const uint8_t *entry = data + at; /* lengths of name and value, namespace, name, value */
		struct xr_attr_spec spec;

		if (size - at < LOCAL_HEAD || size - at - LOCAL_HEAD < (uint32_t)entry[0] + entry[1] || !entry[0] ||
		    entry[2] & ~SPACES)
			return damaged(list, "one in the inode is damaged");
		spec = (struct xr_attr_spec){entry[2], entry + LOCAL_HEAD, entry[0], entry + LOCAL_HEAD + entry[0], entry[1]};
		at += LOCAL_HEAD + entry[0] + entry[1];
		ret = xr_attr_list_add(list, &spec, 0);
	}
	return ret;
}

struct load {
	struct xr_attr_list *list;
	struct xr_table seen; /* file blocks */
};

/* Join a block of the tree, checked as far as leaves and nodes are alike. */
static int get_block(struct load *load, uint32_t number, struct xr_tx_buf **buf)
{
	struct xr_attr_list *list = load->list;
	struct xr_tx *tx = list->work->tx;
	const struct xr_sb *sb = xr_tx_sb(tx);
	struct xr_entry *seen = xr_table_add(&load->seen, number, 0);
	struct xr_mapping m;
	const uint8_t *p;
	int ret;

	if (!seen)
		return no_memory(list);
	if (seen->value++)
		return damaged(list, "a block is in their tree twice");
	ret = xr_bmap_lookup(tx, list->inode, true, number, &m);
	if (ret == -ENOENT || (!ret && (m.offset > number || m.unwritten)))
		return damaged(list, "a block of their tree is not mapped");
	if (!ret)
		ret = xr_tx_get(tx, xr_fsb_daddr(sb, m.block + (number - m.offset)), sb->blocksize >> XR_BB_SHIFT,
				XFS_BLFT_ATTR_LEAF_BUF, buf);
	if (ret)
		return ret;
	p = (*buf)->data;
	if (xr_be16(p + INFO(hdr.magic)) == XFS_DA3_NODE_MAGIC)
		(*buf)->type = XFS_BLFT_DA_NODE_BUF;
	else if (xr_be16(p + INFO(hdr.magic)) != XFS_ATTR3_LEAF_MAGIC)
		return damaged(list, "a block of their tree is neither leaf nor node");
	if ((!xr_tx_changed(*buf) && !xr_crc_ok(p, (*buf)->size, INFO(crc))) || xr_be64(p + INFO(owner)) != list->inode->ino ||
	    xr_be64(p + INFO(blkno)) != (*buf)->daddr || memcmp(p + INFO(uuid), sb->meta_uuid, 16) != 0)
		return damaged(list, "a block of their tree has a wrong checksum, or belongs elsewhere");
	return 0;
}

/* One entry of a leaf; its name and value must lie in the block, behind the entries. */
static int load_entry(struct xr_attr_list *list, const uint8_t *block, uint32_t size, const uint8_t *entry, uint32_t behind)
{
	uint32_t at = xr_be16(entry + 4), head = entry[6] & XFS_ATTR_LOCAL ? LOCAL_HEAD : REMOTE_HEAD, hash = xr_be32(entry);
	struct xr_attr_spec spec = {.space = entry[6] & SPACES};
	uint32_t valueblk = 0, name;

	if (at < behind || at > size || size - at < head || entry[6] & ~KNOWN)
		return damaged(list, "an entry of a leaf is damaged");
	name = at + head;
	spec.namelen = block[name - 1];
	spec.name = block + name;
	spec.valuelen = entry[6] & XFS_ATTR_LOCAL ? xr_be16(block + at) : 0;
	spec.value = spec.name + spec.namelen;
	if (!spec.namelen || spec.namelen + spec.valuelen > size - name)
		return damaged(list, "an entry of a leaf reaches out of its block");
	if (!(entry[6] & XFS_ATTR_LOCAL)) {
		valueblk = xr_be32(block + at);
		spec.valuelen = xr_be32(block + at + 4);
		if (spec.valuelen > XFS_XATTR_SIZE_MAX)
			return damaged(list, "an entry of a leaf has an impossible size");
	}
	if (list->n && hash < list->items[list->n - 1]->hash)
		return damaged(list, "they are not in order");
	return insert_at(list, list->n, new_item(&spec, entry[6], hash, valueblk));
}

static int load_leaf(struct load *load, uint32_t number, const struct xr_tx_buf *buf)
{
	struct xr_attr_list *list = load->list;
	const uint8_t *p = buf->data;
	uint32_t count = xr_be16(p + offsetof(struct xfs_attr3_leaf_hdr, count));
	uint32_t behind = XR_ATTR_LEAF_HEADER + count * XR_ATTR_ENTRY;
	int ret = 0;

	if (behind > buf->size)
		return damaged(list, "a leaf has more entries than room");
	for (uint32_t i = 0; i < count && !ret; i++)
		ret = load_entry(list, p, (uint32_t)buf->size, p + XR_ATTR_LEAF_HEADER + i * XR_ATTR_ENTRY, behind);
	if (ret)
		return ret;
	/* A leaf that was just made and never got an entry has nothing to say; its block can be used. */
	return count ? add_leaf(list, list->nleaves, (struct xr_attr_leaf){number, count, false}) : add_spare(list, number);
}

static int load_block(struct load *load, uint32_t number, uint32_t level)
{
	struct xr_tx_buf *buf;
	uint32_t count, own;
	int ret = get_block(load, number, &buf);

	if (ret)
		return ret;
	if (buf->type == XFS_BLFT_ATTR_LEAF_BUF)
		return level && level != ANY_LEVEL ? damaged(load->list, "a leaf stands in the place of a node")
						   : load_leaf(load, number, buf);
	count = xr_be16(buf->data + offsetof(struct xfs_da3_node_hdr, __count));
	own = xr_be16(buf->data + offsetof(struct xfs_da3_node_hdr, __level));
	if (!own || own > MAX_LEVEL || (level != ANY_LEVEL && own != level) || count > (buf->size - NODE_HEADER) / XR_ATTR_ENTRY)
		return damaged(load->list, "a node is damaged");
	ret = add_spare(load->list, number);
	for (uint32_t i = 0; i < count && !ret; i++)
		ret = load_block(load, xr_be32(buf->data + NODE_HEADER + i * XR_ATTR_ENTRY + 4), own - 1);
	return ret;
}

int xr_attr_list_load(struct xr_attr_list *list, struct xr_work *work, struct xr_tx_inode *inode)
{
	struct load load = {.list = list};
	struct xr_mapping first;
	struct xr_forks forks;
	int ret;

	*list = (struct xr_attr_list){.work = work, .inode = inode};
	if (!xr_forks_of(xr_tx_sb(work->tx), inode->raw, &forks))
		return damaged(list, "their fork lies outside the inode");
	if (!forks.attr_size)
		return 0;
	if (inode->raw[DI(aformat)] == XFS_DINODE_FMT_LOCAL)
		return load_shortform(list, inode->raw + forks.attr, forks.attr_size);
	ret = xr_bmap_lookup(work->tx, inode, true, 0, &first);
	if (ret)
		return ret == -ENOENT ? 0 : ret; /* nothing is mapped: no attributes */
	ret = load_block(&load, 0, ANY_LEVEL);
	xr_table_clear(&load.seen);
	return ret;
}
