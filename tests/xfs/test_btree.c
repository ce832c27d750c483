/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * B+trees of each kind against a sorted array, on filesystems made by mkfs: insertion and deletion at random, in order and backwards, look-ups,
 * changes in place. After each batch the whole tree is checked, and in the end, empty of what was put in, the filesystem by xfs_repair.
 */
#include "agbuild.h"

#include <errno.h>
#include "bytes.h"
#include "finish/ag_impl.h"
#include "format.h"

#define OPS 6000u
#define BATCH 1000u
#define ROOM 4000u
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
		return (struct xr_rec){.start = BASE + 2 * number, .len = 1 + other % 2, .refcount = 2 + other % 7};
	case XR_RMAP:
		/* Overlapping: four owners for each block, some of them long. */
		return (struct xr_rec){.start = BASE + number / 4,
				       .len = other % 16 ? 1 + other % 8 : 200,
				       .owner = 1000 + number % 4,
				       .offset = 100 + number % 2 + (other & 32 ? XR_RMAP_UNWRITTEN : 0)};
	case XR_INO:
	case XR_FINO:
		return (struct xr_rec){.start = 64 * BASE + 64 * number, .free = other, .count = 64, .freecount = other % 64};
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
	assert_memory_equal(&at, rec, sizeof(at));
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
		assert_memory_equal(&at, &model.recs[i], sizeof(at));
	}
}

static void update_at(unsigned i, const struct xr_rec *rec)
{
	struct xr_rec changed = *rec;
	bool found;

	changed.start = model.recs[i].start;
	changed.owner = model.recs[i].owner;
	if (num == XR_RMAP)
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
		assert_memory_equal(&rec, &model.recs[i], sizeof(rec));
	}
	if (equal || i > 0) {
		assert_int_equal(xr_cur_lookup(cur, XR_LE, key, &found), 0);
		assert_true(found);
		assert_int_equal(xr_cur_get(cur, &rec, &found), 0);
		assert_memory_equal(&rec, &model.recs[equal ? i : i - 1], sizeof(rec));
	}
	if (equal && i > 0) {
		assert_int_equal(xr_cur_prev(cur, &found), 0);
		assert_true(found);
		assert_int_equal(xr_cur_get(cur, &rec, &found), 0);
		assert_memory_equal(&rec, &model.recs[i - 1], sizeof(rec));
	}
}

static void compare(void)
{
	struct xr_rec *recs;
	size_t n = ag_check_tree(cur, &recs), own = 0;

	while (num != XR_BMBT && own < n && recs[own].start < BASE)
		own++;
	assert_int_equal(n, own + model.n);
	for (unsigned i = 0; i < model.n; i++)
		assert_memory_equal(&recs[own + i], &model.recs[i], sizeof(*recs));
	free(recs);
}

static void open_tree(void)
{
	struct xr_tx_buf *buf;
	uint64_t offset = xr_ino_offset(&t.fs.sb, ino);

	if (num != XR_BMBT) {
		assert_int_equal(xr_cur_ag(&cur, t.tx, num, 0), 0);
		return;
	}
	assert_int_equal(xr_tx_get(t.tx, offset >> XR_BB_SHIFT, t.fs.sb.inodesize >> XR_BB_SHIFT, XFS_BLFT_DINO_BUF, &buf), 0);
	assert_int_equal(xr_cur_bmbt(&cur, t.tx, buf, 0, ino, false), 0);
}

/* One transaction ends, and its buffers with it; what it freed can be used by the next. */
static void next_transaction(void)
{
	compare();
	xr_cur_end(cur);
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
		struct xr_rec rec = record(ag_random(&seed, 5000), ag_random(&seed, 1 << 20));
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
	for (unsigned i = 0; i < 2500; i++) {
		struct xr_rec rec = record(backwards ? 2499 - i : i, ag_random(&seed, 1 << 20));

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
	ino = 0;
	ag_test_begin(&t, options, "d--755 0 0\nfile ---644 0 0 /dev/null\n");
}

/* A tree of an AG: made, exercised, emptied; then all is as it was. The inode trees of this AG disagree while bogus chunks are in one of them. */
static void run(enum xr_btnum kind, const char *options)
{
	make(kind, options);
	exercise();
	ag_check(&t, 0);
	assert_true(ag_test_repair(&t));
	ag_test_end(&t);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refcount),
		cmocka_unit_test(test_rmap),
	};

	return test_fs_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
