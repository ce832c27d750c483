/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Attribute intents made by hand, completed on filesystems that mkfs made: through all forms that an attribute fork has, up and down again. A
 * model knows what there must be; the reader, which shares no code with the writer, says what there is, and xfs_repair -n judges
 * the form: order, hashes, counts, free room, reverse mappings.
 */
#include <errno.h>

#include "attr.h"
#include "bed.h"
#include "format.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define MANY 2400u
#define NAME_ROOM 256u

static const char *const kinds[] = {
	"-b size=1k -m rmapbt=1,reflink=1 -i nrext64=1",
	"-m rmapbt=1,reflink=1",
	"-m rmapbt=0,reflink=0 -i size=2048",
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint32_t state_of_rng;

static uint32_t rnd(uint32_t n)
{
	state_of_rng = state_of_rng * 1664525u + 1013904223u;
	return (state_of_rng >> 8) % n;
}

/* --- intents --- */

struct piece {
	const void *data;
	uint32_t size;
};

static uint64_t next_id;

/* An ATTRI of these pieces; lengths: what stands at 28 in its header. Gives the header. */
static uint8_t *put_attri(struct bed *bed, uint64_t ino, uint32_t op, uint32_t filter, uint32_t lengths, uint32_t valuelen,
			  const struct piece *pieces, uint16_t n)
{
	struct xr_order order = bed->log.order;
	struct xr_entry *entry = xr_table_add(&bed->replay.intents, XFS_LI_ATTRI, ++next_id);
	size_t size = sizeof(struct xr_intent) + 5 * sizeof(struct xr_region) + 40;
	struct xr_intent *intent;
	uint8_t *p, *header;

	assert_non_null(entry);
	for (uint16_t i = 0; i < n; i++)
		size += pieces[i].size + 8u;
	intent = calloc(1, size);
	assert_non_null(intent);
	*intent = (struct xr_intent){.type = XFS_LI_ATTRI, .count = (uint16_t)(n + 1), .id = next_id, .lsn = xr_lsn(1, 2)};
	header = p = (uint8_t *)&intent->regions[5];
	intent->regions[0] = (struct xr_region){p, 40};
	p += 40;
	for (uint16_t i = 0; i < n; i++) {
		uint32_t padded = (pieces[i].size + 3) & ~3u;

		memcpy(p, pieces[i].data, pieces[i].size);
		intent->regions[i + 1] = (struct xr_region){p, padded};
		p += padded;
	}
	xr_put16(order, header, XFS_LI_ATTRI);
	xr_put16(order, header + 2, (uint16_t)(n + 1));
	xr_put64(order, header + 8, next_id);
	xr_put64(order, header + 16, ino);
	xr_put32(order, header + 24, op);
	xr_put32(order, header + 28, lengths);
	xr_put32(order, header + 32, valuelen);
	xr_put32(order, header + 36, filter);
	entry->value = (uintptr_t)intent;
	return header;
}

static void put_set(struct bed *bed, uint32_t op, uint32_t filter, const char *name, const void *value, uint32_t len)
{
	struct piece pieces[] = {{name, (uint32_t)strlen(name)}, {value, len}};

	put_attri(bed, bed->a, op, filter, pieces[0].size, len, pieces, len ? 2 : 1);
}

static void put_remove(struct bed *bed, uint32_t filter, const char *name)
{
	struct piece piece = {name, (uint32_t)strlen(name)};

	put_attri(bed, bed->a, XR_ATTRI_REMOVE, filter, piece.size, 0, &piece, 1);
}

static int complete(struct bed *bed)
{
	bed->replay.sb.log_incompat |= XFS_SB_FEAT_INCOMPAT_LOG_XATTRS;
	return bed_complete(bed);
}

/* --- the model --- */

static struct {
	char name[NAME_ROOM];
	uint32_t filter, size;
	uint8_t seed;
	bool there, seen;
} model[MANY];

static void fill(uint8_t *value, uint32_t size, uint8_t seed)
{
	for (uint32_t i = 0; i < size; i++)
		value[i] = (uint8_t)(seed + i * 7 + i / 256);
}

static uint8_t value[XR_ATTR_VALUE_MAX], expected[XR_ATTR_VALUE_MAX];

static int compare(void *arg, const struct xr_attr *attr)
{
	const char *name = strchr(attr->name, '.') + 1;
	uint32_t filter = !strncmp(attr->name, "trusted.", 8)    ? XFS_ATTR_ROOT
			  : !strncmp(attr->name, "security.", 9) ? XFS_ATTR_SECURE
								 : 0;
	size_t i = strtoul(name, NULL, 10) % MANY; /* most names begin with their number */

	if (strcmp(model[i].name, name) != 0)
		i = 0;
	while (i < MANY && (strcmp(model[i].name, name) != 0 || model[i].filter != filter))
		i++;
	assert_in_range(i, 0, MANY - 1);
	assert_true(model[i].there && !model[i].seen);
	model[i].seen = true;
	assert_int_equal(attr->size, model[i].size);
	assert_int_equal(xr_attr_value(attr, value), 0);
	fill(expected, model[i].size, model[i].seed);
	assert_memory_equal(value, expected, model[i].size);
	++*(size_t *)arg;
	return 0;
}

static void compare_all(struct bed *bed, struct xr_inode *inode)
{
	uint64_t damaged = 0;
	size_t seen = 0, there = 0;

	bed_ok(bed, xr_inode_read(&bed->fs.fs, bed->a, inode));
	bed_ok(bed, xr_attr_each(&bed->fs.fs, inode, compare, &seen, &damaged));
	assert_int_equal(damaged, 0);
	for (size_t i = 0; i < MANY; i++) {
		there += model[i].there;
		model[i].seen = false;
	}
	assert_int_equal(seen, there);
}

static void model_init(void)
{
	memset(model, 0, sizeof(model));
	for (size_t i = 0; i < MANY; i++) {
		int n = snprintf(model[i].name, NAME_ROOM, "%zu-", i);

		for (uint32_t extra = i % 40 == 39 ? 250 : rnd(20); extra-- && n < 255;)
			model[i].name[n++] = (char)('a' + rnd(26));
		model[i].filter = i % 5 == 4 ? XFS_ATTR_ROOT : i % 7 == 6 ? XFS_ATTR_SECURE : 0;
	}
}

static uint32_t size_of_value(uint32_t blocksize)
{
	switch (rnd(40)) {
	case 0:
		return blocksize + rnd(3 * blocksize);
	case 1:
		return blocksize / 4 * 3 - 20 + rnd(20); /* at the border between the leaf and blocks of its own */
	case 2:
		return 0;
	default:
		return rnd(40);
	}
}

/* An intent for an attribute: op as the kernel would have it, or a set of what is there, or the removal of what is not. */
static void change(struct bed *bed, size_t i, bool remove)
{
	if (remove) {
		put_remove(bed, model[i].filter, model[i].name);
	} else {
		model[i].size = size_of_value(bed->replay.sb.blocksize);
		model[i].seed++;
		fill(expected, model[i].size, model[i].seed);
		put_set(bed, model[i].there ? XR_ATTRI_REPLACE : XR_ATTRI_SET, model[i].filter, model[i].name, expected,
			model[i].size);
	}
	model[i].there = !remove;
}

/* Levels of nodes above the leaves. */
static uint32_t levels(struct bed *bed)
{
	struct xr_inode inode;
	struct xr_bmap map;
	uint8_t raw[64];

	bed_ok(bed, xr_inode_read(&bed->fs.fs, bed->a, &inode));
	bed_ok(bed, xr_bmap_read(&bed->fs.fs, &inode, XR_ATTR_FORK, &map));
	test_fs_get(&bed->fs, xr_fsb_daddr(&bed->fs.sb, map.map[0].block) << XR_BB_SHIFT, raw, sizeof(raw));
	xr_bmap_free(&map);
	return xr_be16(raw + 8) == XFS_DA3_NODE_MAGIC ? xr_be16(raw + offsetof(struct xfs_da3_node_hdr, __level)) : 0;
}

static void test_forms(void **state)
{
	(void)state;
	for (size_t k = 0; k < NKINDS; k++) {
		static const uint32_t counts[] = {1, 3, 20, 120, 400, MANY, 500, 60, 5};
		struct xr_inode inode;
		struct bed bed;
		uint64_t before;

		bed_make(&bed, kinds[k]);
		model_init();
		before = bed_free_blocks(&bed);
		for (size_t round = 0; round < sizeof(counts) / sizeof(counts[0]); round++) {
			uint32_t count = k && counts[round] > 600 ? 600 : counts[round];

			for (size_t i = 0; i < MANY; i++)
				if (i < count ? !model[i].there || !rnd(4) : model[i].there)
					change(&bed, i, i >= count);
			bed_ok(&bed, complete(&bed));
			bed_judge(&bed);
			compare_all(&bed, &inode);
			if (counts[round] == MANY)
				assert_int_equal(levels(&bed), k ? 1 : 2);
		}
		/* One value as large as there is, and gone again. */
		model[0].size = XR_ATTR_VALUE_MAX;
		fill(expected, model[0].size, model[0].seed);
		put_set(&bed, XR_ATTRI_REPLACE, model[0].filter, model[0].name, expected, XR_ATTR_VALUE_MAX);
		bed_ok(&bed, complete(&bed));
		compare_all(&bed, &inode);
		bed_judge(&bed);
		for (size_t i = 0; i < MANY; i++)
			if (model[i].there)
				change(&bed, i, true);
		bed_ok(&bed, complete(&bed));
		compare_all(&bed, &inode);
		assert_int_equal(inode.forkoff, 0);
		assert_int_equal(inode.nblocks, 0);
		bed_judge(&bed);
		assert_int_equal(bed_free_blocks(&bed), before);
		bed_end(&bed);
	}
}

/* Names whose hashes are the same, more than a leaf can hold: bit 0 of a byte is bit 7 of the next. */
static void test_same_hash(void **state)
{
	struct xr_inode inode;
	struct bed bed;

	(void)state;
	bed_make(&bed, kinds[0]);
	model_init();
	for (uint32_t i = 0; i < 200; i++) {
		for (uint32_t bit = 0; bit < 8; bit++) {
			model[i].name[2 * bit] = (char)('b' ^ (i >> bit & 1));
			model[i].name[2 * bit + 1] = (char)('x' ^ (i >> bit & 1) << 7);
		}
		model[i].name[16] = 0;
		model[i].filter = 0;
		change(&bed, i, false);
	}
	for (uint32_t i = 200; i < 400; i++)
		change(&bed, i, false);
	bed_ok(&bed, complete(&bed));
	bed_judge(&bed);
	compare_all(&bed, &inode);
	for (uint32_t i = 0; i < 400; i += 1 + rnd(3))
		change(&bed, i, rnd(3));
	bed_ok(&bed, complete(&bed));
	bed_judge(&bed);
	compare_all(&bed, &inode);
	bed_end(&bed);
}

/* --- half done --- */

/* Mark the attribute that the fork's only leaf has at i as one whose setting did not finish. */
static void make_incomplete(struct bed *bed, uint32_t i, bool blocks_unknown)
{
	struct xr_tx *tx = bed_begin(bed);
	struct xr_tx_inode inode;
	struct xr_tx_buf *buf;
	struct xr_mapping m;
	uint8_t *entry;

	bed_ok(bed, xr_tx_inode(tx, bed->a, &inode));
	bed_ok(bed, xr_bmap_lookup(tx, &inode, true, 0, &m));
	bed_ok(bed, xr_tx_get(tx, xr_fsb_daddr(&bed->replay.sb, m.block), bed->replay.sb.blocksize >> XR_BB_SHIFT,
			      XFS_BLFT_ATTR_LEAF_BUF, &buf));
	entry = buf->data + sizeof(struct xfs_attr3_leaf_hdr) + i * 8u;
	entry[6] |= XFS_ATTR_INCOMPLETE;
	if (blocks_unknown)
		memset(buf->data + xr_be16(entry + 4), 0, 8);
	xr_tx_log(tx, buf, 0, buf->size);
	bed_commit(bed, tx);
}

/* What an interrupted change left is taken over: the attribute is there once, whole; its blocks are not lost. */
static void test_incomplete(void **state)
{
	struct xr_inode inode;
	struct bed bed;

	(void)state;
	for (int blocks_unknown = 0; blocks_unknown < 2; blocks_unknown++) {
		bed_make(&bed, kinds[1]);
		model_init();
		model[0].there = true;
		model[0].size = 9000;
		fill(expected, model[0].size, model[0].seed);
		put_set(&bed, XR_ATTRI_SET, model[0].filter, model[0].name, expected, model[0].size);
		bed_ok(&bed, complete(&bed));
		make_incomplete(&bed, 0, blocks_unknown);
		put_set(&bed, XR_ATTRI_REPLACE, model[0].filter, model[0].name, expected, model[0].size);
		bed_ok(&bed, complete(&bed));
		compare_all(&bed, &inode);
		assert_int_equal(inode.nblocks, blocks_unknown ? 7 : 4);
		bed_judge(&bed);
		make_incomplete(&bed, 0, false);
		change(&bed, 0, true);
		bed_ok(&bed, complete(&bed));
		compare_all(&bed, &inode);
		assert_int_equal(inode.nblocks, 0);
		bed_judge(&bed);
		bed_end(&bed);
	}
}

/* --- parent pointers --- */

/* How many parent pointers the inode has, and whether one of them is this: shortform only. */
static uint32_t count_parents(struct bed *bed, const char *name, uint64_t parent, bool *found)
{
	struct xr_inode inode;
	const uint8_t *p;
	uint32_t room, n = 0;

	bed_ok(bed, xr_inode_read(&bed->fs.fs, bed->a, &inode));
	assert_int_equal(inode.aformat, XFS_DINODE_FMT_LOCAL);
	p = xr_inode_fork(&inode, XR_ATTR_FORK, &room);
	*found = false;
	for (uint32_t i = 0, at = 4; i < p[2]; at += 3u + p[at] + p[at + 1], i++) {
		n += p[at + 2] == XR_ATTR_PARENT;
		*found |= p[at + 2] == XR_ATTR_PARENT && p[at] == strlen(name) && !memcmp(p + at + 3, name, p[at]) &&
			  xr_be64(p + at + 3 + p[at]) == parent;
	}
	return n;
}

static void put_parent(struct bed *bed, uint32_t op, const char *name, uint64_t parent, const char *new_name, uint64_t new_parent)
{
	uint32_t len = (uint32_t)strlen(name), new_len = new_name ? (uint32_t)strlen(new_name) : 0;
	uint8_t rec[2][12] = {{0}}, *header;
	struct piece two[] = {{name, len}, {rec[0], 12}}, four[] = {{name, len}, {new_name, new_len}, {rec[0], 12}, {rec[1], 12}};
	struct xr_inode inode;

	xr_put_be64(rec[0], parent);
	xr_put_be64(rec[1], new_parent);
	header = put_attri(bed, bed->a, op, XR_ATTR_PARENT, len, 12, new_name ? four : two, new_name ? 4 : 2);
	if (new_name) {
		xr_put16(bed->log.order, header + 28, (uint16_t)len);
		xr_put16(bed->log.order, header + 30, (uint16_t)new_len);
	}
	bed_ok(bed, xr_inode_read(&bed->fs.fs, bed->a, &inode));
	xr_put32(bed->log.order, header + 4, inode.gen);
}

static void test_parents(void **state)
{
	struct xr_inode inode;
	struct bed bed;
	bool found;

	(void)state;
	bed_make(&bed, kinds[1]);
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_PARENT;
	put_parent(&bed, XR_ATTRI_PPTR_SET, "a", 128, NULL, 0);
	put_parent(&bed, XR_ATTRI_PPTR_SET, "a", 512, NULL, 0); /* a link of the same name elsewhere */
	bed_ok(&bed, complete(&bed));
	assert_int_equal(count_parents(&bed, "a", 128, &found), 2);
	assert_true(found);
	put_parent(&bed, XR_ATTRI_PPTR_REPLACE, "a", 128, "renamed", 1024);
	bed_ok(&bed, complete(&bed));
	assert_int_equal(count_parents(&bed, "renamed", 1024, &found), 2);
	assert_true(found);
	assert_int_equal(count_parents(&bed, "a", 512, &found), 2);
	assert_true(found);
	put_parent(&bed, XR_ATTRI_PPTR_REMOVE, "a", 512, NULL, 0);
	put_parent(&bed, XR_ATTRI_PPTR_REMOVE, "a", 128, NULL, 0); /* gone already */
	bed_ok(&bed, complete(&bed));
	assert_int_equal(count_parents(&bed, "renamed", 1024, &found), 1);
	assert_true(found);
	/* The fork of a filesystem with parent pointers stays. */
	put_parent(&bed, XR_ATTRI_PPTR_REMOVE, "renamed", 1024, NULL, 0);
	bed_ok(&bed, complete(&bed));
	assert_int_equal(count_parents(&bed, "", 0, &found), 0);
	bed_ok(&bed, xr_inode_read(&bed.fs.fs, bed.a, &inode));
	assert_true(inode.forkoff > 0);
	bed_end(&bed);
}

/* --- refused --- */

static void wrong(struct bed *bed, uint8_t *header, uint32_t at, uint32_t number, const char *word)
{
	xr_put32(bed->log.order, header + at, number);
	bed->replay.sb.log_incompat |= XFS_SB_FEAT_INCOMPAT_LOG_XATTRS;
	bed_refuse(bed, -EUCLEAN, word);
}

static void test_wrong_intents(void **state)
{
	const struct piece pieces[] = {{"name", 4}, {"value", 5}, {"more", 4}};
	uint64_t before;
	struct bed bed;

#define SET put_attri(&bed, bed.a, XR_ATTRI_SET, 0, 4, 5, pieces, 2)
	(void)state;
	bed_make(&bed, kinds[1]);
	before = bed_free_blocks(&bed);
	SET;
	bed_refuse(&bed, -EUCLEAN, "does not log attributes");
	wrong(&bed, SET, 24, 0, "unknown change");
	wrong(&bed, SET, 24, 7, "unknown change");
	wrong(&bed, SET, 24, 0x101, "unknown change");
	wrong(&bed, SET, 24, XR_ATTRI_PPTR_SET, "no parent pointers");
	wrong(&bed, SET, 36, 1, "namespace");
	wrong(&bed, SET, 36, XFS_ATTR_ROOT | XFS_ATTR_SECURE, "namespace");
	wrong(&bed, SET, 36, XR_ATTR_PARENT, "namespace");
	wrong(&bed, SET, 32, 70000, "length of the value");
	wrong(&bed, SET, 32, 9, "regions");
	wrong(&bed, SET, 32, 4, "regions");
	wrong(&bed, SET, 28, 0, "length of the name");
	wrong(&bed, SET, 28, 256, "length of the name");
	wrong(&bed, SET, 28, 5, "regions");
	wrong(&bed, SET, 24, XR_ATTRI_REMOVE, "length of the value");
	wrong(&bed, put_attri(&bed, bed.a, XR_ATTRI_SET, 0, 4, 5, pieces, 3), 28, 4, "regions");
	wrong(&bed, put_attri(&bed, bed.a, XR_ATTRI_SET, 0, 4, 5, pieces, 1), 28, 4, "regions");
	put_attri(&bed, bed.a + 40, XR_ATTRI_SET, 0, 4, 5, pieces, 2);
	bed.replay.sb.log_incompat |= XFS_SB_FEAT_INCOMPAT_LOG_XATTRS;
	bed_refuse(&bed, -EUCLEAN, "");
	bed.replay.sb.incompat |= XFS_SB_FEAT_INCOMPAT_PARENT;
	put_parent(&bed, XR_ATTRI_PPTR_SET, "a", 128, NULL, 0);
	for (struct xr_entry *e = bed.replay.intents.first; e; e = e->next) {
		const struct xr_intent *intent = (const struct xr_intent *)(uintptr_t)e->value;

		/* The region is a copy, and the test's to change. */
		xr_put32(bed.log.order, (uint8_t *)(uintptr_t)intent->regions[0].data + 4, 12345);
	}
	bed_refuse(&bed, -EUCLEAN, "another one now");
	assert_int_equal(bed_free_blocks(&bed), before);
	bed_judge(&bed);
	bed_end(&bed);
}

/* A byte of the tree that is not what it was: refused, and nothing changed. */
static void test_damaged_fork(void **state)
{
	static const struct {
		uint32_t at;
		const char *word;
	} bytes[] = {{8, "neither leaf nor node"}, {13, "wrong checksum"}, {56, "more entries"}, {84, "damaged"}, {80, "order"}};
	uint8_t raw[4096], spoiled[4096];
	struct xr_mapping m;
	struct bed bed;

	(void)state;
	bed_make(&bed, kinds[1]);
	model_init();
	for (size_t i = 0; i < 30; i++)
		change(&bed, i, false);
	bed_ok(&bed, complete(&bed));
	bed_judge(&bed);
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct xr_tx *tx = bed_begin(&bed);
		struct xr_tx_inode inode;
		uint64_t at;

		bed_ok(&bed, xr_tx_inode(tx, bed.a, &inode));
		bed_ok(&bed, xr_bmap_lookup(tx, &inode, true, 0, &m));
		xr_tx_end(tx);
		at = xr_fsb_daddr(&bed.fs.sb, m.block) << XR_BB_SHIFT;
		test_fs_get(&bed.fs, at, raw, sizeof(raw));
		memcpy(spoiled, raw, sizeof(raw));
		spoiled[bytes[i].at] ^= 0xff;
		if (bytes[i].at == 13)
			assert_int_equal(xr_dev_write(&bed.fs.dev, spoiled, sizeof(raw), at), 0);
		else
			test_fs_put(&bed.fs, at, spoiled, sizeof(raw));
		bed_again(&bed);
		put_remove(&bed, model[0].filter, model[0].name);
		bed.replay.sb.log_incompat |= XFS_SB_FEAT_INCOMPAT_LOG_XATTRS;
		bed_refuse(&bed, -EUCLEAN, bytes[i].word);
		test_fs_put(&bed.fs, at, raw, sizeof(raw));
		bed_again(&bed);
	}
	bed_judge(&bed);
	bed_end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),   cmocka_unit_test(test_same_hash),     cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_parents), cmocka_unit_test(test_wrong_intents), cmocka_unit_test(test_damaged_fork),
	};

	return test_fs_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
