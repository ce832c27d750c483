/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * B+trees of each kind against a sorted array, on filesystems made by mkfs: insertion and deletion at random, in order and backwards, look-ups,
 * changes in place. After each batch the whole tree is checked, and in the end, empty of what was put in, the filesystem by xfs_repair.
 */
#include "rtbuild.h"

#include <errno.h>
#include <sys/stat.h>
#include "bytes.h"
#include "dinode.h"
#include "finish/ag_impl.h"
#include "finish/bmapedit.h"
#include "format.h"

#define OPS 6000u
#define BATCH 1000u
#define ROOM 4000u
#define FILL 2000u
#define BASE 9000u /* AG trees: mkfs's records lie below */

#define DI(field) offsetof(struct xfs_dinode, di_##field)

/* What the tree should hold, beside the records that mkfs made. */
static struct {
	struct xr_rec recs[ROOM];
	unsigned n;
} model;

/* The tree. */
static struct ag_test t;
static enum xr_btnum num;
static uint64_t ino;
static struct xr_cur *cur;
static uint32_t seed;

/* A record of the kind whose key is a function of number, in the order of the numbers, far from those that mkfs made. */
static struct xr_rec record(uint32_t number, uint32_t other)
{
	switch (num) {
	case XR_REFC:
	case XR_RTREFC:
		return (struct xr_rec){.start = BASE + 2 * number, .len = 1 + other % 2, .refcount = 2 + other % 7};
	case XR_RMAP:
	case XR_RTRMAP:
		/* Overlapping: four owners for each block, some of them long. */
		return (struct xr_rec){.start = BASE + number / 4,
				       .len = other % 16 ? 1 + other % 8 : 200,
				       .owner = 1000 + number % 4,
				       .offset = 100 + number % 2 + (other & 32 ? XR_RMAP_UNWRITTEN : 0)};
	case XR_INO:
	case XR_FINO:
		return (struct xr_rec){
			.start = 64 * (BASE / 64 + 1 + number), .free = other, .count = 64, .freecount = other % 64};
	default:
		return (struct xr_rec){
			.start = 3 * number, .len = 1 + other % 3, .block = 1 << 20 | other, .unwritten = other & 1};
	}
}

static unsigned place(const struct xr_rec *rec, bool *equal)
{
	unsigned i = 0;

	*equal = false;
	for (; i < model.n; i++) {
		const struct xr_rec *r = &model.recs[i];

		if (r->start < rec->start || (r->start == rec->start && r->owner < rec->owner))
			continue;
		*equal = r->start == rec->start && r->owner == rec->owner;
		break;
	}
	return i;
}

static void insert(const struct xr_rec *rec)
{
	struct xr_rec at;
	bool equal, found;
	unsigned i = place(rec, &equal);

	if (equal || model.n == ROOM)
		return;
	memmove(&model.recs[i + 1], &model.recs[i], (model.n++ - i) * sizeof(*rec));
	model.recs[i] = *rec;
	assert_int_equal(xr_cur_insert(cur, rec), 0);
	assert_int_equal(xr_cur_get(cur, &at, &found), 0);
	assert_true(found);
	assert_true(ag_same(&at, rec));
}

static void delete_at(unsigned i)
{
	struct xr_rec at;
	bool found;

	assert_int_equal(xr_cur_lookup(cur, XR_EQ, &model.recs[i], &found), 0);
	assert_true(found);
	assert_int_equal(xr_cur_delete(cur), 0);
	memmove(&model.recs[i], &model.recs[i + 1], (--model.n - i) * sizeof(at));
	assert_int_equal(xr_cur_get(cur, &at, &found), 0);
	if (i < model.n) {
		assert_true(found);
		assert_true(ag_same(&at, &model.recs[i]));
	}
}

static void update_at(unsigned i, const struct xr_rec *rec)
{
	struct xr_rec changed = *rec;
	bool found;

	changed.start = model.recs[i].start;
	changed.owner = model.recs[i].owner;
	if (num == XR_RMAP || num == XR_RTRMAP)
		changed.offset = model.recs[i].offset ^ XR_RMAP_UNWRITTEN;
	assert_int_equal(xr_cur_lookup(cur, XR_EQ, &model.recs[i], &found), 0);
	assert_true(found);
	assert_int_equal(xr_cur_update(cur, &changed), 0);
	model.recs[i] = changed;
}

static void look(const struct xr_rec *key)
{
	bool equal, found;
	unsigned i = place(key, &equal);
	struct xr_rec rec;

	assert_int_equal(xr_cur_lookup(cur, XR_GE, key, &found), 0);
	if (i < model.n) {
		assert_true(found);
		assert_int_equal(xr_cur_get(cur, &rec, &found), 0);
		assert_true(ag_same(&rec, &model.recs[i]));
	}
	if (equal || i > 0) {
		assert_int_equal(xr_cur_lookup(cur, XR_LE, key, &found), 0);
		assert_true(found);
		assert_int_equal(xr_cur_get(cur, &rec, &found), 0);
		assert_true(ag_same(&rec, &model.recs[equal ? i : i - 1]));
	}
	if (equal && i > 0) {
		assert_int_equal(xr_cur_prev(cur, &found), 0);
		assert_true(found);
		assert_int_equal(xr_cur_get(cur, &rec, &found), 0);
		assert_true(ag_same(&rec, &model.recs[i - 1]));
	}
}

static uint32_t numbers(void)
{
	return num == XR_INO || num == XR_FINO ? 2200 : 5000;
}

/* Blocks are counted where only this tree's are: the free space and the rmap trees are ag_check()'s. */
static void compare_count(uint32_t blocks)
{
	bool counted = t.fs.sb.ro_compat & XFS_SB_FEAT_RO_COMPAT_INOBTCNT;
	const uint8_t *home = cur->home->data;

	if (xr_bt_long(cur))
		assert_int_equal(xr_be64(home + cur->inode + DI(nblocks)), blocks);
	else if (num == XR_REFC)
		assert_int_equal(xr_be32(home + offsetof(struct xfs_agf, agf_refcount_blocks)), blocks);
	else if (counted && num == XR_INO)
		assert_int_equal(xr_be32(home + offsetof(struct xfs_agi, agi_iblocks)), blocks);
	else if (counted && num == XR_FINO)
		assert_int_equal(xr_be32(home + offsetof(struct xfs_agi, agi_fblocks)), blocks);
}

static void compare(void)
{
	struct xr_rec *recs;
	size_t n, own = 0;
	uint32_t blocks = ag_check_tree(cur, &recs, &n);

	while (num != XR_BMBT && own < n && recs[own].start < BASE)
		own++;
	assert_int_equal(n, own + model.n);
	for (unsigned i = 0; i < model.n; i++)
		assert_true(ag_same(&recs[own + i], &model.recs[i]));
	free(recs);
	compare_count(blocks);
}

static struct xr_tx_buf *inode_block(uint32_t *offset)
{
	const struct xr_sb *sb = &t.fs.sb;
	struct xr_tx_buf *buf;

	*offset = (uint32_t)(ino & (sb->inopblock - 1u)) << sb->inodelog;
	assert_int_equal(
		xr_tx_get(t.tx, xr_fsb_daddr(sb, ino >> sb->inopblog), sb->blocksize >> XR_BB_SHIFT, XFS_BLFT_DINO_BUF, &buf), 0);
	return buf;
}

static void open_tree(void)
{
	uint32_t offset;
	struct xr_tx_buf *buf;

	if (num == XR_RTRMAP || num == XR_RTREFC) {
		assert_int_equal(xr_cur_rtgroup(&cur, t.tx, num, 1), 0);
		return;
	}
	if (num != XR_BMBT) {
		assert_int_equal(xr_cur_ag(&cur, t.tx, num, 0), 0);
		return;
	}
	buf = inode_block(&offset);
	assert_int_equal(xr_cur_bmbt(&cur, t.tx, buf, offset, ino, false), 0);
}

/* One transaction ends, and its buffers with it; what it freed can be used by the next. */
static void next_transaction(void)
{
	compare();
	xr_cur_end(cur);
	if (num != XR_INO && num != XR_FINO) /* those disagree while one of them has chunks that do not exist */
		ag_check(&t, 0);
	ag_test_commit(&t);
	open_tree();
}

/* Those who change the trees that live on the free list see to its length. */
static void fix(void)
{
	assert_int_equal(xr_ag_fix_freelist(t.tx, 0), 0);
}

static void mix(unsigned deletions)
{
	for (unsigned i = 0; i < OPS; i++) {
		struct xr_rec rec = record(ag_random(&seed, numbers()), ag_random(&seed, 1 << 20));
		unsigned what = ag_random(&seed, 100);

		fix();
		if (what < deletions && model.n)
			delete_at(ag_random(&seed, model.n));
		else if (what < 80)
			insert(&rec);
		else if (what < 90 && model.n)
			update_at(ag_random(&seed, model.n), &rec);
		else
			look(&rec);
		if (i % BATCH == BATCH - 1)
			next_transaction();
	}
}

static void drain(bool backwards)
{
	while (model.n) {
		fix();
		delete_at(backwards ? model.n - 1 : 0);
		if (model.n % BATCH == 0)
			next_transaction();
	}
}

static void fill(bool backwards)
{
	for (unsigned i = 0; i < FILL; i++) {
		struct xr_rec rec = record(backwards ? FILL - 1 - i : i, ag_random(&seed, 1 << 20));

		fix();
		insert(&rec);
	}
	next_transaction();
}

static void exercise(void)
{
	seed = 1;
	model.n = 0;
	open_tree();
	mix(30);
	mix(60);
	drain(false);
	fill(false);
	drain(true);
	fill(true);
	drain(false);
	xr_cur_end(cur);
}

static void make(enum xr_btnum kind, const char *options)
{
	num = kind;
	ag_test_begin(&t, options, "d--755 0 0\nfile ---644 0 0 /dev/null\n");
	ino = t.fs.sb.rootino + 3; /* behind the realtime inodes */
}

static void finish(void)
{
	ag_check(&t, 0);
	assert_true(ag_test_repair(&t));
	ag_test_end(&t);
}

/* A tree of an AG: made, exercised, emptied; then all is as it was. */
static void run(enum xr_btnum kind, const char *options)
{
	make(kind, options);
	exercise();
	finish();
}

static void test_refcount(void **state)
{
	(void)state;
	run(XR_REFC, "-b size=1k -m reflink=1,rmapbt=1");
	run(XR_REFC, "-m reflink=1");
}

static void test_rmap(void **state)
{
	(void)state;
	run(XR_RMAP, "-b size=1k -m reflink=1,rmapbt=1");
	run(XR_RMAP, "-m reflink=0,rmapbt=1");
}

static void test_inodes(void **state)
{
	(void)state;
	run(XR_INO, "-b size=1k -m finobt=1,inobtcount=1");
	run(XR_FINO, "-b size=1k -m finobt=1,inobtcount=0,rmapbt=1");
	run(XR_FINO, "-b size=1k -m finobt=1,inobtcount=1");
	run(XR_INO, "-b size=512 -m crc=0");
}

/* --- the btrees of a realtime group --- */

static void make_rt(enum xr_btnum kind, const char *options, uint8_t forkoff)
{
	num = kind;
	rt_test_begin(&t, options, forkoff);
}

/* Emptied, the root is a leaf in the inode again. */
static void finish_rt(void)
{
	open_tree();
	assert_int_equal(cur->nlevels, 1);
	xr_cur_end(cur);
	ag_check(&t, 0);
	rt_test_end(&t);
}

static void run_rt(enum xr_btnum kind, const char *options, uint8_t forkoff)
{
	make_rt(kind, options, forkoff);
	exercise();
	finish_rt();
}

static void test_rt_rmap(void **state)
{
	(void)state;
	run_rt(XR_RTRMAP, "-b size=1k -m reflink=1,rmapbt=1", 24);
	run_rt(XR_RTRMAP, "-b size=1k -m rmapbt=1", 8); /* one entry in a root that is a node, two records in a leaf */
	run_rt(XR_RTRMAP, "-m rmapbt=1", 0);
}

static void test_rt_refcount(void **state)
{
	(void)state;
	run_rt(XR_RTREFC, "-b size=1k -m reflink=1,rmapbt=1", 24);
	run_rt(XR_RTREFC, "-b size=1k -m reflink=1,rmapbt=1", 8);
	run_rt(XR_RTREFC, "-m reflink=1", 0);
}

/* A record in the order of numbers, not touching others. */
static struct xr_rec apart(unsigned number)
{
	return (struct xr_rec){.start = 100 + 2 * number, .len = 1, .owner = 1000, .offset = number, .refcount = 2};
}

/*
 * With room for seven records in the inode, the eighth moves them to a block; and that comes back when it has as few entries as a node in the inode has
 * room for, three. Of refcounts it is fifteen, and eleven.
 */
static void grow_and_shrink(enum xr_btnum kind, unsigned records, unsigned entries)
{
	const uint8_t *raw;
	uint64_t changes;
	bool found;

	make_rt(kind, "-b size=1k -m reflink=1,rmapbt=1", 24);
	open_tree();
	raw = cur->home->data + cur->inode;
	changes = xr_be64(raw + DI(changecount));
	for (unsigned i = 0; i <= records; i++) {
		struct xr_rec rec = apart(i);

		assert_int_equal(cur->nlevels, 1);
		assert_int_equal(xr_cur_insert(cur, &rec), 0);
	}
	assert_int_equal(cur->nlevels, 2);
	assert_int_equal(xr_be64(raw + DI(nblocks)), 1);
	assert_int_equal(xr_be64(raw + DI(lsn)), xr_tx_lsn(t.tx));
	assert_int_equal(xr_be64(raw + DI(changecount)), changes + 1); /* once a transaction */
	assert_true(xr_crc_ok(raw, t.fs.sb.inodesize, DI(crc)));
	assert_int_equal(cur->level[0].block >> t.fs.sb.agblklog, cur->ino >> t.fs.sb.inopblog >> t.fs.sb.agblklog);
	for (unsigned i = records + 1; i; i--) {
		struct xr_rec rec = apart(i - 1);

		assert_int_equal(cur->nlevels, i > entries ? 2 : 1);
		assert_int_equal(xr_cur_lookup(cur, XR_EQ, &rec, &found), 0);
		assert_true(found);
		assert_int_equal(xr_cur_delete(cur), 0);
	}
	assert_int_equal(xr_be64(raw + DI(nblocks)), 0);
	xr_cur_end(cur);
	finish_rt();
}

static void test_rt_roots(void **state)
{
	(void)state;
	grow_and_shrink(XR_RTRMAP, 7, 3);
	grow_and_shrink(XR_RTREFC, 15, 11);
}

static void refuse_rt(enum xr_btnum kind, size_t offset, uint16_t value, const char *word)
{
	make_rt(kind, "-b size=1k -m reflink=1,rmapbt=1", 24);
	rt_test_put16(&t, rt_test_file(&t, kind == XR_RTRMAP ? "1.rmap" : "1.refcount"), offset, value);
	assert_int_equal(xr_cur_rtgroup(&cur, t.tx, kind, 1), -EUCLEAN);
	assert_said(&t.fs.t, word);
	assert_said(&t.fs.t, "realtime group 1");
	ag_test_end(&t);
}

/* What only the root in the inode, or the inode, can have. */
static void test_rt_errors(void **state)
{
	(void)state;
	refuse_rt(XR_RTRMAP, XR_CORE_V3 + 2, 8, "an impossible number of entries");
	refuse_rt(XR_RTREFC, XR_CORE_V3 + 2, 16, "an impossible number of entries");
	refuse_rt(XR_RTRMAP, XR_CORE_V3, 1, "an impossible number of entries"); /* a node that leads nowhere */
	refuse_rt(XR_RTRMAP, XR_CORE_V3, 0xffff, "an impossible level");
	refuse_rt(XR_RTRMAP, DI(onlink), XR_METATYPE_RTREFC, "another kind of file");
	refuse_rt(XR_RTREFC, DI(projid_lo), 2, "that of another group");
	refuse_rt(XR_RTREFC, DI(forkoff), 1 << 8 | XFS_DINODE_FMT_EXTENTS, "no room in the inode");
	make_rt(XR_RTRMAP, "-m rmapbt=1", 0);
	assert_int_equal(xr_cur_rtgroup(&cur, t.tx, XR_RTRMAP, RT_GROUPS), -EUCLEAN);
	assert_said(&t.fs.t, "there is no file for its rmap");
	ag_test_end(&t);
}

/* --- the extent btree of a file --- */

/* Give the empty file an extent btree: a leaf without records, and the root in the inode. */
static void make_fork(unsigned forkoff, uint64_t *leaf)
{
	const struct xr_sb *sb = &t.fs.sb;
	unsigned size = forkoff ? forkoff * 8 : sb->inodesize - (sb->v5 ? 176 : 100), max = (size - 4) / 16;
	struct xr_tx_buf *buf, *block;
	uint32_t offset;
	uint8_t *raw, *fork;

	buf = inode_block(&offset);
	raw = buf->data + offset;
	fork = raw + (sb->v5 ? 176 : 100);
	assert_int_equal(xr_be16(raw + DI(mode)) & S_IFMT, S_IFREG);
	assert_int_equal(xr_alloc_block(t.tx, 0, ino, XR_RMAP_BMBT, leaf), 0);
	assert_int_equal(xr_tx_get_new(t.tx, xr_fsb_daddr(sb, *leaf), sb->blocksize >> XR_BB_SHIFT, XFS_BLFT_BTREE_BUF, &block),
			 0);
	xr_put_be32(block->data, sb->v5 ? XFS_BMAP_CRC_MAGIC : XFS_BMAP_MAGIC);
	memset(block->data + 8, 0xff, 16);
	if (sb->v5) {
		xr_put_be64(block->data + 24, block->daddr);
		memcpy(block->data + 40, sb->meta_uuid, 16);
		xr_put_be64(block->data + 56, ino);
	}
	raw[DI(format)] = XFS_DINODE_FMT_BTREE;
	raw[DI(forkoff)] = (uint8_t)forkoff;
	xr_put_be64(raw + DI(nblocks), 1);
	xr_put_be16(fork, 1);
	xr_put_be16(fork + 2, 1);
	xr_put_be64(fork + 4, 0);
	xr_put_be64(fork + 4 + 8 * max, *leaf);
	xr_tx_log(t.tx, buf, offset, sb->inodesize);
}

static void drop_fork(void)
{
	const struct xr_sb *sb = &t.fs.sb;
	struct xr_tx_buf *buf;
	uint32_t offset;
	uint64_t leaf;
	uint8_t *raw;

	open_tree();
	assert_int_equal(cur->nlevels, 2); /* one leaf */
	assert_int_equal(xr_cur_lookup(cur, XR_GE, &(struct xr_rec){.start = 0}, &(bool){false}), 0);
	leaf = cur->level[0].block;
	xr_cur_end(cur);
	assert_int_equal(xr_free_extent(t.tx, leaf, 1, ino, XR_RMAP_BMBT), 0);
	assert_int_equal(xr_tx_cancel(t.tx, xr_fsb_daddr(sb, leaf), sb->blocksize >> XR_BB_SHIFT), 0);
	buf = inode_block(&offset);
	raw = buf->data + offset;
	assert_true(!sb->v5 || xr_crc_ok(raw, sb->inodesize, DI(crc)));
	raw[DI(format)] = XFS_DINODE_FMT_EXTENTS;
	raw[DI(forkoff)] = 0;
	xr_put_be64(raw + DI(nblocks), 0);
	if (sb->v5)
		xr_crc_update(raw, sb->inodesize, DI(crc));
	xr_tx_log(t.tx, buf, offset, sb->inodesize);
}

static void run_fork(const char *options, unsigned forkoff)
{
	uint64_t leaf;

	make(XR_BMBT, options);
	make_fork(forkoff, &leaf);
	exercise();
	drop_fork();
	finish();
}

static void test_extents(void **state)
{
	(void)state;
	run_fork("-b size=1k -m rmapbt=1", 0);
	run_fork("-b size=1k -m rmapbt=1", 8); /* three entries in the root */
	run_fork("-b size=4k", 8);
	run_fork("-b size=512 -m crc=0", 0);
}

/* --- shapes --- */

#define LEAF 59u /* records in a leaf of an extent btree, blocks of 1 KiB: an odd number */

/* How many records the leaf at the cursor has. */
static unsigned in_leaf(void)
{
	struct xr_bt_node leaf;

	xr_bt_node(cur, 0, &leaf);
	return leaf.numrecs;
}

/* A full leaf, split by an insertion in front of its n-th record: how many are left in it, and how many are in the other half. */
static void split_at(unsigned n, unsigned left, unsigned right)
{
	uint64_t leaf;
	bool found;

	make(XR_BMBT, "-b size=1k");
	make_fork(0, &leaf);
	open_tree();
	for (unsigned i = 0; i <= LEAF; i++) {
		struct xr_rec rec = {.start = 10 * (i < LEAF ? i + 1 : n) + (i < LEAF ? 0 : 5), .len = 1, .block = 100};

		assert_int_equal(xr_cur_insert(cur, &rec), 0);
	}
	assert_int_equal(xr_cur_lookup(cur, XR_GE, &(struct xr_rec){.start = 0}, &found), 0);
	assert_int_equal(in_leaf(), left);
	assert_int_equal(xr_cur_lookup(cur, XR_LE, &(struct xr_rec){.start = 100000}, &found), 0);
	assert_int_equal(in_leaf(), right);
	/* Between the halves: into the left one, or, if asked, into the right one. */
	assert_int_equal(xr_cur_lookup(cur, XR_GE, &(struct xr_rec){.start = 0}, &found), 0);
	cur->level[0].at = (int)left - 1;
	for (unsigned i = 0; i < 2; i++) {
		struct xr_rec rec = {.len = 1};

		assert_int_equal(xr_cur_get(cur, &rec, &found), 0);
		rec.start++;
		assert_int_equal(i ? xr_cur_insert_right(cur, &rec) : xr_cur_insert(cur, &rec), 0);
		assert_int_equal(in_leaf(), i ? right + 1 : left + 1);
	}
	xr_cur_end(cur);
	ag_test_end(&t);
}

/* How many leaves there are. */
static unsigned leaves(void)
{
	unsigned n = 0;
	bool found;

	assert_int_equal(xr_cur_lookup(cur, XR_GE, &(struct xr_rec){.start = 0}, &found), 0);
	for (; found; n++) {
		cur->level[0].at = (int)in_leaf() - 1;
		assert_int_equal(xr_cur_next(cur, &found), 0);
	}
	return n;
}

/* A tree of two leaves: the left one full, the right one half. Every record has three blocks, and five more file blocks to the next. */
static void make_two_leaves(void)
{
	struct xr_rec rec = {.len = 3, .block = 100};
	uint64_t leaf;

	make(XR_BMBT, "-b size=1k");
	make_fork(0, &leaf);
	open_tree();
	for (unsigned i = 0; i <= LEAF; i++) {
		rec.start = 20 * i;
		assert_int_equal(xr_cur_insert(cur, &rec), 0);
	}
	for (unsigned i = 0; i < LEAF / 2; i++) {
		rec.start = 20 * i + 10;
		assert_int_equal(xr_cur_insert(cur, &rec), 0);
	}
	assert_int_equal(leaves(), 2);
	assert_int_equal(xr_cur_lookup(cur, XR_GE, &(struct xr_rec){.start = 0}, &(bool){false}), 0);
	assert_int_equal(in_leaf(), LEAF);
}

/* An insertion in front of the full leaf's n-th record gives its last one to the right, unless that is the record in front of which it goes. */
static void give_at(unsigned n, unsigned expected)
{
	make_two_leaves();
	assert_int_equal(xr_cur_insert(cur, &(struct xr_rec){.start = 10 * n + 5, .len = 1, .block = 100}), 0);
	assert_int_equal(leaves(), expected);
	xr_cur_end(cur);
	ag_test_end(&t);
}

/* What is left of the full leaf's last record behind a hole is the right leaf's first. */
static void remove_middle(void)
{
	struct xr_tx_inode inode = {.ino = ino};
	bool found;

	make_two_leaves();
	inode.buf = inode_block(&inode.offset);
	inode.raw = inode.buf->data + inode.offset;
	xr_inode_set_nextents(&inode, false, LEAF + 1 + LEAF / 2);
	assert_int_equal(xr_bmap_remove(t.tx, &inode, false, 10 * (LEAF - 1) + 1, 1), 0);
	assert_int_equal(leaves(), 2);
	assert_int_equal(xr_cur_lookup(cur, XR_EQ, &(struct xr_rec){.start = 10 * (LEAF - 1) + 2}, &found), 0);
	assert_true(found);
	assert_int_equal(cur->level[0].at, 0);
	xr_cur_end(cur);
	ag_test_end(&t);
}

static int came_next(void *arg, const struct xr_mapping *mapping)
{
	struct xr_mapping *behind = arg;

	assert_true(mapping->offset < behind->offset);
	*behind = *mapping;
	return 0;
}

/* The last mapping goes first. */
static void free_all(void)
{
	struct xr_mapping behind = {.offset = 10000};
	struct xr_tx_inode inode = {.ino = ino};

	make_two_leaves();
	inode.buf = inode_block(&inode.offset);
	inode.raw = inode.buf->data + inode.offset;
	xr_inode_set_nextents(&inode, false, LEAF + 1 + LEAF / 2);
	xr_inode_add_nblocks(&inode, 3 * (LEAF + 1 + LEAF / 2));
	assert_int_equal(xr_bmap_free_fork(t.tx, &inode, false, came_next, &behind), 0);
	assert_int_equal(behind.offset, 0);
	assert_int_equal(xr_inode_nblocks(&inode), 0);
	xr_cur_end(cur);
	ag_test_end(&t);
}

static void test_shapes(void **state)
{
	(void)state;
	give_at(0, 2);
	give_at(LEAF - 3, 2);
	give_at(LEAF - 2, 3);
	remove_middle();
	free_all();
	split_at(0, 30, 30);
	split_at(29, 30, 30);
	split_at(30, 31, 29);
	split_at(LEAF, 30, 30);
}

/* --- damage --- */

#define DAMAGES 400u

/* Change a few bytes of a block on the path to some record, or of the header; a block that is part of the transaction has no checksum to fail. */
static void damage(void)
{
	struct xr_tx_buf *buf = cur->home;
	uint32_t from = xr_bt_long(cur) ? cur->fork : 16, size = 64;
	bool found;

	assert_int_equal(xr_cur_lookup(cur, XR_GE, &model.recs[ag_random(&seed, model.n)], &found), 0);
	if (ag_random(&seed, 6)) {
		buf = cur->level[ag_random(&seed, cur->nlevels)].buf;
		if (buf != cur->home) {
			from = 0;
			size = ag_random(&seed, 2) ? 100 : (uint32_t)buf->size;
		}
	}
	for (unsigned n = 1 + ag_random(&seed, 4); n; n--) {
		uint32_t at = from + ag_random(&seed, size);

		buf->data[at] = ag_random(&seed, 3) ? (uint8_t)ag_random(&seed, 256) : 0xff;
		xr_tx_log(t.tx, buf, at, 1);
	}
}

static void expect_sane(int ret)
{
	if (ret != 0 && ret != -EUCLEAN && ret != -ENOSPC)
		fail_msg("error %d", ret);
	if (ret)
		assert_true(t.fs.t.used > 0); /* somebody said why */
}

/* Use the damaged tree until it is noticed. */
static void use(void)
{
	struct xr_rec rec;
	bool found = true;
	int ret = 0;

	for (unsigned i = 0; i < 40 && !ret; i++) {
		struct xr_rec fresh = record(ag_random(&seed, 5000), ag_random(&seed, 1 << 20));

		ret = xr_ag_fix_freelist(t.tx, 0);
		if (!ret)
			ret = xr_cur_lookup(cur, ag_random(&seed, 2) ? XR_GE : XR_LE, &model.recs[ag_random(&seed, model.n)],
					    &found);
		if (!ret && ag_random(&seed, 2))
			ret = xr_cur_insert(cur, &fresh);
		else if (!ret && found)
			ret = ag_random(&seed, 3) ? xr_cur_delete(cur) : xr_cur_get(cur, &rec, &found);
		for (unsigned n = 0; n < 50 && !ret && found; n++)
			ret = xr_cur_next(cur, &found);
	}
	expect_sane(ret);
}

static void abandon(void)
{
	xr_tx_end(t.tx);
	assert_int_equal(xr_tx_begin(&t.tx, &t.fs.sb, t.cache, NULL, &t.head, &t.fs.t.msg), 0);
}

static void run_damaged(enum xr_btnum kind, const char *options)
{
	uint64_t leaf;
	unsigned noticed = 0;

	bool rt = kind == XR_RTRMAP || kind == XR_RTREFC;

	if (rt)
		make_rt(kind, options, 24);
	else
		make(kind, options);
	if (kind == XR_BMBT)
		make_fork(8, &leaf);
	seed = 1;
	model.n = 0;
	open_tree();
	fill(false);
	xr_cur_end(cur);
	ag_test_commit(&t);
	for (unsigned i = 0; i < DAMAGES; i++) {
		t.fs.t.used = 0;
		open_tree();
		damage();
		use();
		noticed += t.fs.t.used > 0;
		xr_cur_end(cur);
		abandon();
	}
	assert_true(noticed > DAMAGES / 4);
	open_tree();
	compare();
	drain(false);
	xr_cur_end(cur);
	if (kind == XR_BMBT)
		drop_fork();
	if (rt)
		finish_rt();
	else
		finish();
}

static void test_damage(void **state)
{
	(void)state;
	run_damaged(XR_RMAP, "-b size=1k -m rmapbt=1");
	run_damaged(XR_REFC, "-b size=1k -m reflink=1");
	run_damaged(XR_FINO, "-b size=1k");
	run_damaged(XR_BMBT, "-b size=1k");
	run_damaged(XR_RTRMAP, "-b size=1k -m rmapbt=1");
	run_damaged(XR_RTREFC, "-b size=1k -m reflink=1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refcount),  cmocka_unit_test(test_rmap),        cmocka_unit_test(test_inodes),
		cmocka_unit_test(test_extents),   cmocka_unit_test(test_shapes),      cmocka_unit_test(test_damage),
		cmocka_unit_test(test_rt_rmap),   cmocka_unit_test(test_rt_refcount), cmocka_unit_test(test_rt_roots),
		cmocka_unit_test(test_rt_errors),
	};

	return test_fs_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
