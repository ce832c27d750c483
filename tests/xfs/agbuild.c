/* SPDX-License-Identifier: GPL-2.0-only */
#include "agbuild.h"

#include "bytes.h"
#include "finish/ag_impl.h"
#include "format.h"

#define AGF(field) offsetof(struct xfs_agf, agf_##field)
#define AGI(field) offsetof(struct xfs_agi, agi_##field)

void ag_test_begin(struct ag_test *t, const char *options, const char *proto)
{
	memset(t, 0, sizeof(*t));
	test_fs_make(&t->fs, options, proto);
	assert_int_equal(xr_cache_create(&t->cache, &t->fs.dev, t->fs.process, true, &t->fs.t.msg), 0);
	t->head = (struct xr_head){.cycle = 1};
	assert_int_equal(xr_tx_begin(&t->tx, &t->fs.sb, t->cache, NULL, &t->head, &t->fs.t.msg), 0);
}

void ag_test_commit(struct ag_test *t)
{
	assert_int_equal(xr_tx_commit(t->tx), 0);
}

bool ag_test_repair(struct ag_test *t)
{
	char command[200];

	ag_test_commit(t);
	assert_int_equal(xr_cache_flush(t->cache), 0);
	if (system("PATH=$PATH:/usr/sbin:/sbin command -v xfs_repair >/dev/null") != 0)
		return true;
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin:/sbin; said=$(xfs_repair -n -f /proc/%d/fd/%d 2>&1) || { echo \"$said\" >&2; false; }",
		 (int)getpid(), t->fs.dev.fd);
	return system(command) == 0;
}

void ag_test_end(struct ag_test *t)
{
	xr_tx_end(t->tx);
	xr_cache_destroy(t->cache);
	test_fs_end(&t->fs);
}

uint32_t ag_random(uint32_t *state, uint32_t below)
{
	*state = *state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)*state * below >> 32);
}

/* --- one tree --- */

struct tree {
	struct xr_cur *cur;
	struct xr_rec *recs;
	size_t n, room;
	uint32_t blocks;
	uint64_t last[XR_BTREE_MAXLEVELS]; /* the block before, at each level: who must be the left sibling */
};

static void check_leaf(struct tree *tree, const struct xr_bt_node *node)
{
	const struct xr_bt_kind *kind = tree->cur->kind;

	for (unsigned i = 0; i < node->numrecs; i++) {
		if (tree->n == tree->room) {
			tree->room = tree->room ? 2 * tree->room : 256;
			tree->recs = realloc(tree->recs, tree->room * sizeof(*tree->recs));
			assert_non_null(tree->recs);
		}
		kind->decode(tree->cur->sb, xr_bt_entry(node, i), &tree->recs[tree->n++]);
	}
}

/* A root in an inode may lead to one block, which then has no sibling to have half of everything with. */
static bool only_child(const struct xr_cur *cur, unsigned level)
{
	struct xr_bt_node root;

	xr_bt_node(cur, cur->nlevels - 1, &root);
	return xr_bt_root_in_inode(cur, cur->nlevels - 1) && level + 2 == cur->nlevels && root.numrecs == 1;
}

static void check_node(struct tree *tree, unsigned level)
{
	struct xr_cur *cur = tree->cur;
	uint8_t keys[XR_BT_KEY_MAX];
	struct xr_bt_node node, child;

	xr_bt_node(cur, level, &node);
	if (!xr_bt_root_in_inode(cur, level)) {
		tree->blocks++;
		assert_int_equal(xr_bt_sibling(cur, node.buf, XR_LEFT), tree->last[level]);
		tree->last[level] = cur->level[level].block;
	}
	assert_true(node.numrecs <= node.max);
	if (level + 1 < cur->nlevels && !only_child(cur, level))
		assert_true(node.numrecs >= node.min);
	else
		assert_true(!level || node.numrecs >= (xr_bt_long(cur) ? 1 : 2));
	for (unsigned i = 1; i < node.numrecs; i++)
		assert_true(xr_bt_compare(xr_bt_entry_order(cur, &node, i - 1), xr_bt_entry_order(cur, &node, i)) < 0);
	if (!level) {
		check_leaf(tree, &node);
		return;
	}
	for (unsigned i = 0; i < node.numrecs; i++) {
		struct xr_bt_level *below = &cur->level[level - 1];

		below->block = xr_bt_pointer(&node, i);
		assert_int_equal(xr_bt_read(cur, below->block, level - 1, &below->buf), 0);
		xr_bt_node(cur, level - 1, &child);
		xr_bt_keys(cur, &child, keys);
		assert_memory_equal(keys, xr_bt_entry(&node, i), xr_bt_keys_size(cur->kind));
		check_node(tree, level - 1);
	}
}

uint32_t ag_check_tree(struct xr_cur *cur, struct xr_rec **recs, size_t *n)
{
	struct tree tree = {.cur = cur};

	assert_int_equal(xr_bt_load_root(cur), 0);
	check_node(&tree, cur->nlevels - 1);
	for (unsigned level = 0; level < cur->nlevels; level++)
		if (!xr_bt_root_in_inode(cur, level))
			assert_int_equal(xr_bt_sibling(cur, cur->level[level].buf, XR_RIGHT), 0);
	for (size_t i = 0; i < tree.n; i++)
		assert_true(cur->kind->num == XR_BMBT || cur->kind->ok(cur->sb, cur->group, &tree.recs[i]));
	*recs = tree.recs;
	*n = tree.n;
	return tree.blocks;
}

bool ag_same(const struct xr_rec *a, const struct xr_rec *b)
{
	return a->start == b->start && a->len == b->len && a->owner == b->owner && a->offset == b->offset &&
	       a->refcount == b->refcount && a->free == b->free && a->holemask == b->holemask && a->count == b->count &&
	       a->freecount == b->freecount && a->block == b->block && a->unwritten == b->unwritten;
}

/* --- an AG --- */

static uint32_t check_kind(struct ag_test *t, enum xr_btnum num, uint32_t agno, struct xr_rec **recs, size_t *n)
{
	struct xr_cur *cur;
	uint32_t blocks;

	assert_int_equal(xr_cur_ag(&cur, t->tx, num, agno), 0);
	blocks = ag_check_tree(cur, recs, n);
	xr_cur_end(cur);
	return blocks;
}

static int by_size(const void *a, const void *b)
{
	const struct xr_rec *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* The free extents of both trees are the same ones, none touches the next, and the header has their sum and the longest. */
static uint32_t check_space(struct ag_test *t, uint32_t agno, const uint8_t *agf)
{
	struct xr_rec *bno, *cnt;
	size_t nbno, ncnt;
	uint64_t sum = 0;
	uint32_t blocks = check_kind(t, XR_BNO, agno, &bno, &nbno) + check_kind(t, XR_CNT, agno, &cnt, &ncnt);

	assert_int_equal(nbno, ncnt);
	for (size_t i = 0; i < nbno; i++) {
		assert_true(i == 0 || bno[i - 1].start + bno[i - 1].len < bno[i].start);
		sum += bno[i].len;
	}
	assert_int_equal(xr_be32(agf + AGF(freeblks)), sum);
	assert_int_equal(xr_be32(agf + AGF(longest)), ncnt ? cnt[ncnt - 1].len : 0);
	if (nbno)
		qsort(bno, nbno, sizeof(*bno), by_size);
	for (size_t i = 0; i < nbno; i++)
		assert_int_equal(by_size(&bno[i], &cnt[i]), 0);
	free(bno);
	free(cnt);
	return blocks - 2;
}

static void check_inodes(struct ag_test *t, uint32_t agno)
{
	bool counted = t->fs.sb.ro_compat & XFS_SB_FEAT_RO_COMPAT_INOBTCNT;
	uint32_t blocks, count = 0, freecount = 0;
	struct xr_rec *ino, *fino;
	struct xr_tx_buf *agi;
	size_t nino, nfino, free_chunks = 0;

	assert_int_equal(xr_ag_header(t->tx, agno, XR_AGI, &agi), 0);
	blocks = check_kind(t, XR_INO, agno, &ino, &nino);
	assert_int_equal(counted ? xr_be32(agi->data + AGI(iblocks)) : blocks, blocks);
	for (size_t i = 0; i < nino; i++) {
		count += ino[i].count;
		freecount += ino[i].freecount;
		free_chunks += ino[i].freecount > 0;
	}
	assert_int_equal(xr_be32(agi->data + AGI(count)), count);
	assert_int_equal(xr_be32(agi->data + AGI(freecount)), freecount);
	if (t->fs.sb.has_finobt) {
		blocks = check_kind(t, XR_FINO, agno, &fino, &nfino);
		assert_int_equal(counted ? xr_be32(agi->data + AGI(fblocks)) : blocks, blocks);
		assert_int_equal(nfino, free_chunks);
		for (size_t i = 0, j = 0; i < nino; i++)
			if (ino[i].freecount)
				assert_true(ag_same(&ino[i], &fino[j++]));
		free(fino);
	}
	free(ino);
}

void ag_check(struct ag_test *t, uint32_t agno)
{
	struct xr_tx_buf *agf;
	struct xr_rec *recs;
	uint32_t blocks, rmap = 1;
	size_t n;

	assert_int_equal(xr_ag_header(t->tx, agno, XR_AGF, &agf), 0);
	blocks = check_space(t, agno, agf->data);
	if (t->fs.sb.has_rmapbt) {
		rmap = check_kind(t, XR_RMAP, agno, &recs, &n);
		assert_int_equal(xr_be32(agf->data + AGF(rmap_blocks)), rmap);
		free(recs);
	}
	assert_int_equal(xr_be32(agf->data + AGF(btreeblks)), blocks + rmap - 1);
	if (t->fs.sb.has_reflink) {
		assert_int_equal(xr_be32(agf->data + AGF(refcount_blocks)), check_kind(t, XR_REFC, agno, &recs, &n));
		free(recs);
	}
	check_inodes(t, agno);
}
