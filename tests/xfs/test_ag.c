/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Space of an allocation group against arrays with one entry a block: what is free, who uses it, how often, and the latter two of a realtime group too;
 * and inode chunks. The trees of every geometry are checked after each batch, and in the end, when all is as mkfs left it, the filesystem by
 * xfs_repair.
 */
#include "rtbuild.h"

#include <errno.h>
#include "bytes.h"
#include "finish/ag_impl.h"
#include "format.h"

#define BASE 9000u /* blocks that mkfs does not use */
#define BLOCKS 2000u
#define OPS 3000u
#define BATCH 250u

static struct ag_test t;
static uint32_t seed;

/* The group whose reverse mappings and refcounts are changed, and block BASE of it. */
static enum xr_section section;
static uint32_t group;
static uint64_t base;

static void make_in(enum xr_section where, const char *options)
{
	seed = 7;
	section = where;
	group = 0;
	base = BASE;
	if (where == XR_DATA) {
		ag_test_begin(&t, options, "d--755 0 0\nfile ---644 0 0 /dev/null\n");
		return;
	}
	rt_test_begin(&t, options, 24);
	group = RT_GROUPS - 1;
	base = xr_rtb(&t.fs.sb, group, BASE);
}

static void make(const char *options)
{
	make_in(XR_DATA, options);
}

static void finish(void)
{
	ag_check(&t, 0);
	if (section == XR_REALTIME) {
		rt_test_end(&t);
		return;
	}
	assert_true(ag_test_repair(&t));
	ag_test_end(&t);
}

static void batch(unsigned op)
{
	if (op % BATCH != BATCH - 1)
		return;
	ag_check(&t, 0);
	ag_test_commit(&t);
}

static void range(uint32_t *start, uint32_t *len, uint32_t most)
{
	*start = ag_random(&seed, BLOCKS);
	*len = 1 + ag_random(&seed, most);
	if (*len > BLOCKS - *start)
		*len = BLOCKS - *start;
}

/* The records of a tree of the group from start on. */
static size_t records(enum xr_btnum num, uint64_t start, struct xr_rec **recs)
{
	struct xr_cur *cur;
	size_t n, skip = 0;

	assert_int_equal(num == XR_INO ? xr_cur_ag(&cur, t.tx, num, 0) : xr_section_cur(&cur, t.tx, section, num, group), 0);
	ag_check_tree(cur, recs, &n);
	xr_cur_end(cur);
	while (skip < n && (*recs)[skip].start < start)
		skip++;
	if (n)
		memmove(*recs, *recs + skip, (n - skip) * sizeof(**recs));
	return n - skip;
}

/* --- free space --- */

#define OWNER 12345u
#define HELD 4000u

static void test_space_in(const char *options)
{
	static uint64_t held[HELD];
	unsigned n = 0;
	uint64_t fsb;

	make(options);
	for (unsigned i = 0; i < 4 * HELD; i++) {
		bool grow = i < 2 * HELD ? ag_random(&seed, 4) != 0 : ag_random(&seed, 4) == 0;

		if (grow && n < HELD) {
			/* Every other block, so that nothing merges, or anywhere. */
			assert_int_equal(xr_alloc_block(t.tx, ag_random(&seed, 2) ? BASE + 2 * i : ag_random(&seed, 20000), OWNER,
							i, &held[n]),
					 0);
			assert_false(xr_tx_busy(t.tx, held[n], 1));
			n++;
		} else if (n) {
			unsigned k = ag_random(&seed, n);

			fsb = held[k];
			assert_int_equal(xr_free_extent(t.tx, fsb, 1, XR_OWN_UNKNOWN, 0), 0);
			held[k] = held[--n];
		}
		if (i % (4 * BATCH) == 0) {
			ag_check(&t, 0);
			ag_test_commit(&t);
		}
	}
	while (n)
		assert_int_equal(xr_free_extent(t.tx, held[--n], 1, XR_OWN_UNKNOWN, 0), 0);
	finish();
}

static void test_space(void **state)
{
	(void)state;
	test_space_in("-b size=1k -m rmapbt=1,reflink=1");
	test_space_in("-b size=1k -m rmapbt=0,reflink=0");
	test_space_in("-m rmapbt=1,reflink=0");
	test_space_in("-m crc=0");
	test_space_in("-b size=512 -m crc=0");
}

/* All of an AG freed and allocated block by block: the list of blocks for trees passes everything on, and is never found too long or too short. */
static void test_exhaustion(void **state)
{
	const struct xr_sb *sb = &t.fs.sb;
	uint32_t agbno, n = 0;
	uint32_t *blocks;
	int ret;

	(void)state;
	make("-m rmapbt=1");
	blocks = calloc(sb->agblocks, sizeof(*blocks));
	assert_non_null(blocks);
	while (!(ret = xr_alloc_block_in(t.tx, 3, 0, OWNER, n, &agbno)))
		blocks[n++] = agbno;
	assert_int_equal(ret, -ENOSPC);
	assert_said(&t.fs.t, "no block is free");
	ag_check(&t, 3);
	ag_test_commit(&t);
	assert_true(n > sb->agblocks / 2);
	for (uint32_t i = 0; i < n; i += 2)
		assert_int_equal(xr_free_extent(t.tx, xr_ag_fsb(sb, 3, blocks[i]), 1, OWNER, i), 0);
	ag_check(&t, 3);
	for (uint32_t i = 1; i < n; i += 2)
		assert_int_equal(xr_free_extent(t.tx, xr_ag_fsb(sb, 3, blocks[i]), 1, OWNER, i), 0);
	ag_check(&t, 3);
	free(blocks);
	finish();
}

static void test_free_errors(void **state)
{
	uint64_t fsb;

	(void)state;
	make("-m rmapbt=1");
	assert_int_equal(xr_alloc_block(t.tx, BASE, OWNER, 77, &fsb), 0);
	assert_int_equal(xr_free_extent(t.tx, fsb, 1, OWNER + 1, 77), -EUCLEAN);
	assert_said(&t.fs.t, "is not there as a whole");
	assert_int_equal(xr_free_extent(t.tx, fsb, 1, OWNER, 78), -EUCLEAN);
	assert_int_equal(xr_free_extent(t.tx, fsb - 1, 2, XR_OWN_UNKNOWN, 0), -EUCLEAN);
	assert_int_equal(xr_free_extent(t.tx, fsb, 1, OWNER, 77), 0);
	assert_int_equal(xr_free_extent(t.tx, fsb, 1, XR_OWN_UNKNOWN, 0), -EUCLEAN);
	assert_said(&t.fs.t, "some of them are free");
	/* Free ones behind it: the rmapbt, which knows that too, is left out. */
	assert_int_equal(xr_alloc_block(t.tx, BASE, OWNER, 77, &fsb), 0);
	assert_int_equal(xr_free_extent(t.tx, fsb, 2, XR_OWN_NULL, 0), -EUCLEAN);
	assert_int_equal(xr_free_extent(t.tx, fsb - 1, 2, XR_OWN_NULL, 0), -EUCLEAN);
	assert_int_equal(xr_free_extent(t.tx, 0, 1, XR_OWN_UNKNOWN, 0), -EUCLEAN);
	assert_int_equal(xr_free_extent(t.tx, UINT64_MAX, 1, XR_OWN_UNKNOWN, 0), -EUCLEAN);
	assert_int_equal(xr_free_extent(t.tx, t.fs.sb.agblocks - 1, 2, XR_OWN_UNKNOWN, 0), -EUCLEAN);
	assert_said(&t.fs.t, "not in one allocation group");
	ag_test_end(&t);
}

/* Damage in the free space btrees, the list of blocks or their header: errors are said, nothing loops, and what is not committed leaves no trace. */
static void damage(void)
{
	struct xr_tx_buf *buf;
	struct xr_cur *cur;
	uint32_t from = 0, size = 100;
	bool found;

	assert_int_equal(xr_cur_ag(&cur, t.tx, ag_random(&seed, 2) ? XR_BNO : XR_CNT, 0), 0);
	assert_int_equal(xr_cur_lookup(cur, XR_GE, &(struct xr_rec){.start = ag_random(&seed, 20000), .len = 1}, &found), 0);
	buf = cur->level[ag_random(&seed, cur->nlevels)].buf;
	switch (ag_random(&seed, 5)) {
	case 0:
		buf = cur->home;
		from = 16;
		size = 48;
		break;
	case 1:
		assert_int_equal(xr_tx_get(t.tx, 3, 1, XFS_BLFT_AGFL_BUF, &buf), 0);
		break;
	case 2:
		size = (uint32_t)buf->size;
	}
	for (unsigned n = 1 + ag_random(&seed, 4); n; n--) {
		uint32_t at = from + ag_random(&seed, size);

		buf->data[at] = ag_random(&seed, 3) ? (uint8_t)ag_random(&seed, 256) : 0xff;
		xr_tx_log(t.tx, buf, at, 1);
	}
	xr_cur_end(cur);
}

static void test_damage(void **state)
{
	static uint64_t held[1000];
	unsigned noticed = 0;

	(void)state;
	make("-b size=1k -m rmapbt=1");
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(xr_alloc_block(t.tx, BASE + 2 * i, OWNER, i, &held[i]), 0);
	ag_test_commit(&t);
	for (unsigned i = 0; i < 500; i++) {
		int ret = 0;

		damage();
		t.fs.t.used = 0;
		for (unsigned n = 0; n < 20 && !ret; n++)
			ret = n % 2 ? xr_alloc_block_in(t.tx, 0, ag_random(&seed, 20000), OWNER, n, &(uint32_t){0})
				    : xr_free_extent(t.tx, held[(i + n * 50) % 1000], 1, XR_OWN_UNKNOWN, 0);
		if (ret != 0 && ret != -EUCLEAN && ret != -ENOSPC)
			fail_msg("error %d", ret);
		assert_true(!ret || t.fs.t.used > 0);
		noticed += ret != 0;
		xr_tx_end(t.tx);
		assert_int_equal(xr_tx_begin(&t.tx, &t.fs.sb, t.cache, NULL, &t.head, &t.fs.t.msg), 0);
	}
	assert_true(noticed > 100);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(xr_free_extent(t.tx, held[i], 1, OWNER, i), 0);
	finish();
}

/* --- reverse mappings --- */

#define OWNERS 4u

/* For each owner and block: 0 none, 1 written, 2 unwritten. */
static uint8_t mapped[OWNERS][BLOCKS];

/* Owner 3 is no inode, owner 2 has its blocks in the attribute fork. Offsets follow the blocks. */
static uint64_t owner_of(unsigned k)
{
	return k == 3 ? XR_OWN_COW : 1000 + k;
}

static uint64_t offset_of(unsigned k, uint32_t block, uint8_t how)
{
	if (k == 3)
		return 0;
	return (block + 10 * k) | (k == 2 ? XR_RMAP_ATTR : 0) | (how == 2 ? XR_RMAP_UNWRITTEN : 0);
}

static bool uniform(unsigned k, uint32_t start, uint32_t len)
{
	for (uint32_t i = 1; i < len; i++)
		if (mapped[k][start + i] != mapped[k][start])
			return false;
	return true;
}

static bool others(unsigned k, uint32_t start, uint32_t len)
{
	for (unsigned o = 0; o < OWNERS; o++)
		for (uint32_t i = 0; i < len; i++)
			if (o != k && mapped[o][start + i])
				return true;
	return false;
}

static void change_rmap(bool shared)
{
	unsigned k = ag_random(&seed, OWNERS);
	uint32_t start, len;
	uint8_t *how;

	range(&start, &len, 12);
	how = &mapped[k][start];
	if (!uniform(k, start, len) || (!shared && !*how && others(k, start, len)))
		return;
	if (!*how) {
		uint8_t now = k < 3 && ag_random(&seed, 2) ? 2 : 1;

		assert_int_equal(xr_rmap_map(t.tx, section, base + start, len, owner_of(k), offset_of(k, start, now), shared), 0);
		memset(how, now, len);
	} else if (k < 3 && ag_random(&seed, 2)) {
		assert_int_equal(
			xr_rmap_convert(t.tx, section, base + start, len, owner_of(k), offset_of(k, start, 3 - *how), shared), 0);
		memset(how, 3 - *how, len);
	} else {
		assert_int_equal(xr_rmap_unmap(t.tx, section, base + start, len, owner_of(k), offset_of(k, start, *how), shared),
				 0);
		memset(how, 0, len);
	}
}

static bool has_record(const struct xr_rec *recs, size_t n, const struct xr_rec *rec)
{
	for (size_t i = 0; i < n; i++)
		if (ag_same(&recs[i], rec))
			return true;
	return false;
}

/* Each longest run of one owner and state is one record, and there are no others. */
static void compare_rmap(void)
{
	struct xr_rec *recs;
	size_t n = records(XR_RMAP, BASE, &recs), runs = 0;

	for (unsigned k = 0; k < OWNERS; k++)
		for (uint32_t i = 0, end; i < BLOCKS; i = end) {
			struct xr_rec rec = {.start = BASE + i, .owner = owner_of(k), .offset = offset_of(k, i, mapped[k][i])};

			for (end = i + 1; end < BLOCKS && mapped[k][end] == mapped[k][i]; end++)
				;
			rec.len = end - i;
			if (!mapped[k][i])
				continue;
			assert_true(has_record(recs, n, &rec));
			runs++;
		}
	assert_int_equal(runs, n);
	free(recs);
}

static void test_rmap_in(enum xr_section where, const char *options, bool shared)
{
	memset(mapped, 0, sizeof(mapped));
	make_in(where, options);
	for (unsigned i = 0; i < OPS; i++) {
		change_rmap(shared);
		if (i % BATCH == 0)
			compare_rmap();
		batch(i);
	}
	compare_rmap();
	for (unsigned k = 0; k < OWNERS; k++)
		for (uint32_t i = 0; i < BLOCKS; i++)
			if (mapped[k][i])
				assert_int_equal(xr_rmap_unmap(t.tx, section, base + i, 1, owner_of(k),
							       offset_of(k, i, mapped[k][i]), shared),
						 0);
	finish();
}

static void test_rmap(void **state)
{
	(void)state;
	test_rmap_in(XR_DATA, "-b size=1k -m rmapbt=1", false);
	test_rmap_in(XR_DATA, "-b size=1k -m rmapbt=1,reflink=1", true);
	test_rmap_in(XR_REALTIME, "-b size=1k -m rmapbt=1", false);
	test_rmap_in(XR_REALTIME, "-b size=1k -m rmapbt=1,reflink=1", true);
}

/* The high key above a record: its last block, and for file data the offset of that. What xfs_repair does not look at, the kernel's scrub does. */
static void test_rmap_keys(void **state)
{
	const struct xr_bt_kind *kind = &xr_bt_kinds[XR_RMAP];
	struct xr_rec rec = {.start = 100, .len = 10, .owner = 55, .offset = 7 | XR_RMAP_ATTR | XR_RMAP_UNWRITTEN};
	uint8_t raw[XR_BT_REC_MAX], key[XR_BT_KEY_MAX];

	(void)state;
	kind->encode(NULL, &rec, raw);
	kind->low(raw, key);
	assert_int_equal(xr_be32(key), 100);
	assert_true(xr_be64(key + 12) == (7 | XR_RMAP_ATTR));
	kind->high(raw, key);
	assert_int_equal(xr_be32(key), 109);
	assert_int_equal(xr_be64(key + 4), 55);
	assert_true(xr_be64(key + 12) == (16 | XR_RMAP_ATTR));
	rec.offset = XR_RMAP_BMBT;
	kind->encode(NULL, &rec, raw);
	kind->high(raw, key);
	assert_true(xr_be64(key + 12) == XR_RMAP_BMBT);
	rec = (struct xr_rec){.start = 100, .len = 10, .owner = XR_OWN_AG};
	kind->encode(NULL, &rec, raw);
	kind->high(raw, key);
	assert_int_equal(xr_be32(key), 109);
	assert_int_equal(xr_be64(key + 12), 0);
}

static void rmap_errors_in(enum xr_section where)
{
	make_in(where, "-m rmapbt=1");
	assert_int_equal(xr_rmap_map(t.tx, section, base, 10, 1000, 5, false), 0);
	assert_int_equal(xr_rmap_map(t.tx, section, base + 9, 2, 1001, 5, false), -EUCLEAN);
	assert_int_equal(xr_rmap_map(t.tx, section, base - 1, 2, 1001, 5, false), -EUCLEAN);
	assert_said(&t.fs.t, "in use already");
	assert_int_equal(xr_rmap_unmap(t.tx, section, base + 5, 6, 1000, 10, false), -EUCLEAN);
	assert_int_equal(xr_rmap_unmap(t.tx, section, base + 5, 2, 1000, 11, false), -EUCLEAN);
	assert_int_equal(xr_rmap_unmap(t.tx, section, base + 5, 2, 1000, 10 | XR_RMAP_UNWRITTEN, false), -EUCLEAN);
	assert_int_equal(xr_rmap_unmap(t.tx, section, base + 5, 2, 1000, 10, true), 0);
	assert_int_equal(xr_rmap_unmap(t.tx, section, base + 5, 1, 1000, 10, true), -EUCLEAN);
	assert_said(&t.fs.t, "is not there as a whole");
	if (where == XR_REALTIME) {
		assert_said(&t.fs.t, "realtime group 2: the rmap of blocks");
		assert_int_equal(xr_rmap_map(t.tx, XR_REALTIME, xr_rtb(&t.fs.sb, 2, RT_LAST_BLOCKS - 1), 2, 1000, 5, false),
				 -EUCLEAN);
		assert_said(&t.fs.t, "are not in one realtime group");
		assert_int_equal(xr_rmap_map(t.tx, XR_REALTIME, xr_rtb(&t.fs.sb, RT_GROUPS, 0), 1, 1000, 5, false), -EUCLEAN);
	}
	ag_test_end(&t);
}

static void test_rmap_errors(void **state)
{
	(void)state;
	rmap_errors_in(XR_DATA);
	rmap_errors_in(XR_REALTIME);
}

/* --- reference counts --- */

static uint32_t users[BLOCKS];
static bool staged[BLOCKS];
static uint8_t expected[BLOCKS];

static int was_freed(void *arg, uint64_t fsb, uint32_t len)
{
	(void)arg;
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(expected[fsb - base + i]--, 1);
	return 0;
}

static void increase(uint32_t start, uint32_t len)
{
	assert_int_equal(xr_refcount_increase(t.tx, section, base + start, len), 0);
	for (uint32_t i = start; i < start + len; i++)
		users[i]++;
}

static void decrease(uint32_t start, uint32_t len)
{
	memset(expected, 0, sizeof(expected));
	for (uint32_t i = start; i < start + len; i++) {
		expected[i] = users[i] == 1;
		users[i] -= users[i] > 1;
	}
	assert_int_equal(xr_refcount_decrease(t.tx, section, base + start, len, was_freed, NULL), 0);
	for (uint32_t i = 0; i < BLOCKS; i++)
		assert_int_equal(expected[i], 0);
}

static void stage(uint32_t start, uint32_t len)
{
	bool same = true;

	for (uint32_t i = 1; i < len; i++)
		same = same && staged[start + i] == staged[start];
	if (!same)
		return;
	assert_int_equal(staged[start] ? xr_refcount_cow_free(t.tx, section, base + start, len)
				       : xr_refcount_cow_alloc(t.tx, section, base + start, len),
			 0);
	memset(&staged[start], !staged[start], len);
}

/* Each longest run of blocks with one count is one record; single users have none. */
static void compare_refcounts(void)
{
	struct xr_rec *recs;
	size_t n = records(XR_REFC, BASE, &recs), at = 0;

	for (uint32_t i = 0, end; i < BLOCKS; i = end) {
		for (end = i + 1; end < BLOCKS && users[end] == users[i]; end++)
			;
		if (users[i] == 1)
			continue;
		assert_true(at < n && recs[at].start == BASE + i && recs[at].len == end - i && recs[at].refcount == users[i]);
		at++;
	}
	for (uint32_t i = 0, end; i < BLOCKS; i = end) {
		for (end = i + 1; end < BLOCKS && staged[end] == staged[i]; end++)
			;
		if (!staged[i])
			continue;
		assert_true(at < n && recs[at].start == (XR_REFC_COW | (BASE + i)) && recs[at].len == end - i);
		at++;
	}
	assert_int_equal(at, n);
	free(recs);
}

static int unstage(void *arg, uint64_t fsb, uint32_t len)
{
	(void)arg;
	assert_int_equal(xr_refcount_cow_free(t.tx, section, fsb, len), 0);
	for (uint32_t i = 0; i < len; i++) {
		assert_true(staged[fsb - base + i]);
		staged[fsb - base + i] = false;
	}
	return 0;
}

static void test_refcount_in(enum xr_section where, const char *options)
{
	uint32_t start, len;

	for (uint32_t i = 0; i < BLOCKS; i++)
		users[i] = 1;
	make_in(where, options);
	for (unsigned i = 0; i < OPS; i++) {
		range(&start, &len, 20);
		switch (ag_random(&seed, 3)) {
		case 0:
			increase(start, len);
			break;
		case 1:
			decrease(start, len);
			break;
		default:
			stage(start, len);
		}
		if (i % BATCH == 0)
			compare_refcounts();
		batch(i);
	}
	compare_refcounts();
	assert_int_equal(xr_refcount_cow_each(t.tx, section, group, unstage, NULL), 0);
	for (uint32_t i = 0; i < BLOCKS; i++)
		while (users[i] > 1)
			decrease(i, 1);
	compare_refcounts();
	finish();
}

static void test_refcount(void **state)
{
	(void)state;
	test_refcount_in(XR_DATA, "-b size=1k -m reflink=1,rmapbt=1");
	test_refcount_in(XR_DATA, "-m reflink=1,rmapbt=0");
	test_refcount_in(XR_REALTIME, "-b size=1k -m reflink=1,rmapbt=1");
	test_refcount_in(XR_REALTIME, "-m reflink=1,rmapbt=0");
}

#define REFCOUNT_LEAF 80u /* records in a leaf, blocks of 1 KiB */

/* A leaf is full. What is about to become a part of a record beside the range gives its place to what is new in the range: nothing is split. */
static void test_refcount_order(void **state)
{
	struct xr_tx_buf *agf;

	(void)state;
	make("-b size=1k -m reflink=1");
	for (uint32_t i = 0; i < REFCOUNT_LEAF - 2; i++)
		assert_int_equal(xr_refcount_increase(t.tx, section, base + 2 * i, 1), 0);
	assert_int_equal(xr_refcount_increase(t.tx, section, base + 1000, 2), 0);
	assert_int_equal(xr_refcount_increase(t.tx, section, base + 1000, 1), 0);
	assert_int_equal(xr_refcount_increase(t.tx, section, base + 1001, 2), 0);
	assert_int_equal(xr_ag_header(t.tx, 0, XR_AGF, &agf), 0);
	assert_int_equal(xr_be32(agf->data + offsetof(struct xfs_agf, agf_refcount_blocks)), 1);
	assert_int_equal(xr_refcount_increase(t.tx, section, base + 500, 1), 0);
	assert_int_equal(xr_be32(agf->data + offsetof(struct xfs_agf, agf_refcount_blocks)), 3);
	ag_test_end(&t);
}

static void refcount_limits_in(enum xr_section where)
{
	const struct xr_rec full = {.start = BASE, .len = 4, .refcount = UINT32_MAX - 1};
	struct xr_cur *cur;
	struct xr_rec *recs;

	make_in(where, "-m reflink=1");
	assert_int_equal(xr_section_cur(&cur, t.tx, section, XR_REFC, group), 0);
	assert_int_equal(xr_cur_insert(cur, &full), 0);
	assert_int_equal(xr_cur_insert(cur, &full), -EUCLEAN);
	assert_said(&t.fs.t, "there already");
	xr_cur_end(cur);
	assert_int_equal(xr_refcount_increase(t.tx, section, base, 2), 0);
	assert_int_equal(xr_refcount_increase(t.tx, section, base, 2), 0);
	assert_int_equal(xr_refcount_decrease(t.tx, section, base, 4, was_freed, NULL), 0);
	assert_int_equal(records(XR_REFC, BASE, &recs), 2);
	assert_int_equal(recs[0].refcount, UINT32_MAX);
	assert_int_equal(recs[1].refcount, UINT32_MAX - 2);
	free(recs);
	assert_int_equal(xr_refcount_cow_free(t.tx, section, base, 1), -EUCLEAN);
	assert_said(&t.fs.t, "not staged");
	assert_int_equal(xr_refcount_cow_alloc(t.tx, section, base, 5), 0);
	assert_int_equal(xr_refcount_cow_alloc(t.tx, section, base + 4, 5), -EUCLEAN);
	assert_said(&t.fs.t, "staged for copy-on-write already");
	ag_test_end(&t);
}

static void test_refcount_limits(void **state)
{
	(void)state;
	refcount_limits_in(XR_DATA);
	refcount_limits_in(XR_REALTIME);
}

/* --- inodes --- */

#define FILES 300u

/* A filesystem of so many files; frees those of one chunk. */
static void test_inodes_in(const char *options)
{
	char *proto;
	size_t size, chunks;
	FILE *out = open_memstream(&proto, &size);
	uint64_t first, ino;
	struct xr_rec *recs, *after;
	bool gone = false;

	assert_non_null(out);
	fprintf(out, "d--755 0 0\n");
	for (unsigned i = 0; i < FILES; i++)
		fprintf(out, "f%u ---644 0 0 /dev/null\n", i);
	fclose(out);
	ag_test_begin(&t, options, proto);
	free(proto);
	chunks = records(XR_INO, 0, &recs);
	assert_true(chunks >= 3);
	assert_int_equal(recs[1].freecount, 0);
	first = recs[1].start;
	for (unsigned i = 0; i < 64; i++) {
		assert_false(gone);
		ino = first + (i * 29) % 64;
		assert_int_equal(xr_inode_free(t.tx, ino, &gone), 0);
		if (i == 10) {
			assert_int_equal(xr_inode_free(t.tx, ino, &gone), -EUCLEAN);
			assert_said(&t.fs.t, "it is free");
		}
		ag_check(&t, 0);
	}
	assert_true(gone);
	assert_int_equal(records(XR_INO, 0, &after), chunks - 1);
	assert_true(xr_tx_busy(t.tx, first >> t.fs.sb.inopblog, 1));
	assert_int_equal(xr_inode_free(t.tx, first, &gone), -EUCLEAN);
	assert_said(&t.fs.t, "no chunk has it");
	free(recs);
	free(after);
	ag_test_end(&t);
}

static void test_inodes(void **state)
{
	(void)state;
	test_inodes_in("-m finobt=1,rmapbt=1,inobtcount=1 -i sparse=1");
	test_inodes_in("-m finobt=1,inobtcount=0,rmapbt=0 -i sparse=0");
	test_inodes_in("-m finobt=0");
	test_inodes_in("-m crc=0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_space),           cmocka_unit_test(test_exhaustion), cmocka_unit_test(test_free_errors),
		cmocka_unit_test(test_damage),          cmocka_unit_test(test_rmap),       cmocka_unit_test(test_rmap_errors),
		cmocka_unit_test(test_rmap_keys),       cmocka_unit_test(test_refcount),   cmocka_unit_test(test_refcount_order),
		cmocka_unit_test(test_refcount_limits), cmocka_unit_test(test_inodes),
	};

	return test_fs_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
