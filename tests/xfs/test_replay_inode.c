/* SPDX-License-Identifier: GPL-2.0-only */
/* Inode items: the core in both sizes of its format, the forks, which is newer, and what must be refused. */
#include "replaybuild.h"

#include <errno.h>
#include <sys/stat.h>

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define CLUSTER_BBS 16u /* 8 KiB */

static const uint64_t at = RB_FREE_DADDR; /* AG 0, block 2048: agino 4096 */
static const uint64_t ino = 4096 + 5;

/* What an inode item is made of; the tests change a valid one. */
struct inode_item {
	uint32_t fields, offset, bbs;
	uint64_t ino;
	uint8_t core[176];
	unsigned count;
	uint8_t fork[2][512];
	uint32_t fork_size[2];
	bool packed; /* the 52-byte format */
};

/* A regular file with one extent in a little-endian log. */
static void valid_item(const struct rb *rb, struct inode_item *item)
{
	uint8_t *c = item->core;

	memset(item, 0, sizeof(*item));
	item->fields = XFS_ILOG_CORE | XFS_ILOG_DEXT;
	item->offset = 5 * RB_INODE;
	item->bbs = CLUSTER_BBS;
	item->ino = ino;
	item->count = 3;
	item->fork_size[0] = 16;
	lb_put(&rb->lb, c + DI(magic), XFS_DINODE_MAGIC, 2);
	lb_put(&rb->lb, c + DI(mode), S_IFREG | 0644, 2);
	c[DI(version)] = 3;
	c[DI(format)] = XFS_DINODE_FMT_EXTENTS;
	c[DI(aformat)] = XFS_DINODE_FMT_EXTENTS;
	lb_put(&rb->lb, c + DI(uid), 0x01020304, 4);
	lb_put(&rb->lb, c + DI(nlink), 1, 4);
	lb_put(&rb->lb, c + DI(atime), 0x11121314, 4);
	lb_put(&rb->lb, c + DI(atime) + 4, 0x01222324, 4);
	lb_put(&rb->lb, c + DI(size), 1000, 8);
	lb_put(&rb->lb, c + DI(nblocks), 1, 8);
	lb_put(&rb->lb, c + DI(nextents), 1, 4);
	lb_put(&rb->lb, c + DI(dmevmask), 0x00012345, 4);
	lb_put(&rb->lb, c + DI(dmstate), 0x6789, 2);
	lb_put(&rb->lb, c + DI(gen), 0xfeedf00d, 4);
	lb_put(&rb->lb, c + DI(next_unlinked), 0x666, 4);
	lb_put(&rb->lb, c + DI(changecount), 9, 8);
	lb_put(&rb->lb, c + DI(lsn), UINT64_MAX - 7, 8);
	lb_put(&rb->lb, c + DI(ino), ino, 8);
	memcpy(c + DI(uuid), rb->lb.sb.meta_uuid, 16);
	memset(item->fork[0], 0x3e, sizeof(item->fork[0]));
	memset(item->fork[1], 0x3f, sizeof(item->fork[1]));
}

static uint64_t log_inode(struct rb *rb, const struct inode_item *item)
{
	uint8_t format[56] = {0};
	unsigned tail = item->packed ? 12 : 16;
	const void *regions[] = {format, item->core, item->fork[0], item->fork[1]};
	const uint32_t sizes[] = {item->packed ? 52 : 56, sizeof(item->core), item->fork_size[0], item->fork_size[1]};

	lb_put(&rb->lb, format, XFS_LI_INODE, 2);
	lb_put(&rb->lb, format + 2, item->count, 2);
	lb_put(&rb->lb, format + 4, item->fields, 4);
	lb_put(&rb->lb, format + tail, item->ino, 8);
	lb_put(&rb->lb, format + tail + 8, 0x00500003, 4); /* rdev */
	lb_put(&rb->lb, format + tail + 24, at, 8);
	lb_put(&rb->lb, format + tail + 32, item->bbs, 4);
	lb_put(&rb->lb, format + tail + 36, item->offset, 4);
	rb_start(rb, 1);
	rb_item(rb, 1, item->count, regions, sizes);
	rb_commit(rb, 1);
	return rb_flush(rb);
}

/* A cluster of free inodes on the disk, with lsn in the one that the tests use. */
static void put_cluster(struct rb *rb, uint64_t lsn)
{
	uint8_t inodes[CLUSTER_BBS * XR_BB] = {0};

	for (unsigned i = 0; i < CLUSTER_BBS; i++) {
		uint8_t *raw = inodes + i * RB_INODE;

		xr_put_be16(raw + DI(magic), XFS_DINODE_MAGIC);
		raw[DI(version)] = 3;
		xr_put_be32(raw + DI(next_unlinked), i == 5 ? 77 : NULLAGINO);
		xr_put_be64(raw + DI(ino), 4096 + i);
		memcpy(raw + DI(uuid), rb->lb.sb.meta_uuid, 16);
	}
	xr_put_be64(inodes + 5 * RB_INODE + DI(lsn), lsn);
	rb_put(rb, at, inodes, sizeof(inodes));
}

static void get_inode(struct rb *rb, uint8_t *raw)
{
	rb_get(rb, at + 5, raw, RB_INODE);
}

static void check_applied(struct rb *rb, const struct inode_item *item, uint64_t lsn)
{
	uint8_t raw[RB_INODE];

	get_inode(rb, raw);
	assert_int_equal(xr_be16(raw), XFS_DINODE_MAGIC);
	assert_int_equal(xr_be16(raw + DI(mode)), S_IFREG | 0644);
	assert_int_equal(xr_be32(raw + DI(uid)), 0x01020304);
	assert_int_equal(xr_be32(raw + DI(atime)), 0x11121314);
	assert_int_equal(xr_be32(raw + DI(atime) + 4), 0x01222324);
	assert_int_equal(xr_be64(raw + DI(size)), 1000);
	assert_int_equal(xr_be32(raw + DI(dmevmask)), 0x00012345); /* DMAPI's */
	assert_int_equal(xr_be16(raw + DI(dmstate)), 0x6789);
	assert_int_equal(xr_be32(raw + DI(gen)), 0xfeedf00d);
	assert_int_equal(xr_be64(raw + DI(changecount)), 9);
	assert_int_equal(xr_be64(raw + DI(ino)), ino);
	/* These two are the disk's and the transaction's, not the log inode's. */
	assert_int_equal(xr_be32(raw + DI(next_unlinked)), 77);
	assert_int_equal(xr_be64(raw + DI(lsn)), lsn);
	assert_true(xr_crc_ok(raw, RB_INODE, DI(crc)));
	assert_memory_equal(raw + 176, item->fork[0], 16);
	assert_int_equal(raw[176 + 16], 0);
}

static void test_core_and_extents(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;
	uint64_t lsn;

	put_cluster(rb, 0);
	valid_item(rb, &item);
	lsn = log_inode(rb, &item);
	assert_int_equal(rb_run(rb), 0);
	check_applied(rb, &item, lsn);
}

static void test_packed_format(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;
	uint64_t lsn;

	put_cluster(rb, 0);
	valid_item(rb, &item);
	item.packed = true;
	lsn = log_inode(rb, &item);
	assert_int_equal(rb_run(rb), 0);
	check_applied(rb, &item, lsn);
}

/* Later on the disk: skipped. The same LSN: replayed, because several transactions may share it. */
static void test_lsn_order(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;
	uint8_t raw[RB_INODE];
	uint64_t lsn = xr_lsn(3, 100);

	valid_item(rb, &item);
	put_cluster(rb, lsn + 1);
	assert_int_equal(log_inode(rb, &item), lsn);
	assert_int_equal(rb_run(rb), 0);
	assert_int_equal(rb->replay.stats.items[1].stale, 1);
	get_inode(rb, raw);
	assert_int_equal(xr_be16(raw + DI(mode)), 0);
	put_cluster(rb, lsn);
	xr_cache_destroy(rb->cache);
	assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
	assert_int_equal(rb_run(rb), 0);
	check_applied(rb, &item, lsn);
}

static void test_device(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;
	uint8_t raw[RB_INODE];

	put_cluster(rb, 0);
	valid_item(rb, &item);
	lb_put(&rb->lb, item.core + DI(mode), S_IFBLK | 0600, 2);
	item.core[DI(format)] = XFS_DINODE_FMT_DEV;
	lb_put(&rb->lb, item.core + DI(size), 0, 8);
	lb_put(&rb->lb, item.core + DI(nblocks), 0, 8);
	lb_put(&rb->lb, item.core + DI(nextents), 0, 4);
	item.fields = XFS_ILOG_CORE | XFS_ILOG_DEV;
	item.count = 2;
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), 0);
	get_inode(rb, raw);
	assert_int_equal(xr_be32(raw + 176), 0x00500003);
}

/* The root of an extent btree changes its layout: in the log it has a block's header, in the inode four bytes. */
static void test_btree_root(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;
	uint8_t raw[RB_INODE], *root = item.fork[0];
	unsigned room = 512 - 176 - 256, max = (room - 4) / 16; /* an attr fork takes the last 256 bytes */

	put_cluster(rb, 0);
	valid_item(rb, &item);
	item.core[DI(format)] = XFS_DINODE_FMT_BTREE;
	item.core[DI(forkoff)] = (uint8_t)(room / 8);
	lb_put(&rb->lb, item.core + DI(nextents), 300, 4);
	lb_put(&rb->lb, item.core + DI(nblocks), 400, 8);
	item.fields = XFS_ILOG_CORE | XFS_ILOG_DBROOT;
	item.fork_size[0] = 72 + 3 * 16; /* room for three, two used */
	memset(root, 0, sizeof(item.fork[0]));
	xr_put_be16(root + 4, 1);
	xr_put_be16(root + 6, 2);
	for (int i = 0; i < 2; i++) {
		xr_put_be64(root + 72 + 8 * i, 0x1000u + (unsigned)i);
		xr_put_be64(root + 72 + 3 * 8 + 8 * i, 0x2000u + (unsigned)i);
	}
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), 0);
	get_inode(rb, raw);
	assert_int_equal(xr_be16(raw + 176), 1);
	assert_int_equal(xr_be16(raw + 178), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(xr_be64(raw + 180 + 8 * i), 0x1000 + i);
		assert_int_equal(xr_be64(raw + 180 + 8 * max + 8 * i), 0x2000 + i);
	}
	/* One record more than the inode holds. */
	xr_put_be16(root + 6, (uint16_t)(max + 1));
	item.fork_size[0] = 72 + 16 * (max + 1);
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "does not fit");
}

/* The root of a realtime group's btree in an inode with 192 bytes for it: n entries, in a region that has room for one more. */
static void rt_item(struct rb *rb, struct inode_item *item, uint16_t metatype, unsigned level, unsigned n)
{
	unsigned record = metatype == XR_METATYPE_RTRMAP ? 24 : 12, key = metatype == XR_METATYPE_RTRMAP ? 40 : 4;
	uint8_t *root = item->fork[0];

	put_cluster(rb, 0);
	valid_item(rb, item);
	item->core[DI(format)] = XR_DINODE_FMT_META_BTREE;
	item->core[DI(forkoff)] = 192 / 8;
	lb_put(&rb->lb, item->core + DI(onlink), metatype, 2);
	lb_put(&rb->lb, item->core + DI(flags2), XFS_DIFLAG2_METADATA, 8);
	lb_put(&rb->lb, item->core + DI(nextents), 0, 4);
	item->fields = XFS_ILOG_CORE | XFS_ILOG_DBROOT;
	item->fork_size[0] = 72 + (n + 1) * (level ? key + 8 : record);
	memset(root, 0, 72);
	xr_put_be16(root + 4, (uint16_t)level);
	xr_put_be16(root + 6, (uint16_t)n);
	for (unsigned i = 0; i < n * (level ? key : record); i++)
		root[72 + i] = (uint8_t)(i + 1);
	for (unsigned i = 0; level && i < n; i++)
		xr_put_be64(root + 72 + (n + 1) * key + 8 * i, 0x2000u + i);
}

/* most: how many entries the inode has room for. */
static void rt_root(struct rb *rb, uint16_t metatype, unsigned level, unsigned most)
{
	unsigned size = metatype == XR_METATYPE_RTRMAP ? (level ? 40 : 24) : level ? 4 : 12;
	uint8_t raw[RB_INODE];
	struct inode_item item;

	rt_item(rb, &item, metatype, level, most);
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), 0);
	get_inode(rb, raw);
	assert_int_equal(xr_be16(raw + DI(onlink)), metatype);
	assert_int_equal(xr_be16(raw + 176), level);
	assert_int_equal(xr_be16(raw + 178), most);
	assert_memory_equal(raw + 180, item.fork[0] + 72, most * size);
	for (unsigned i = 0; level && i < most; i++)
		assert_int_equal(xr_be64(raw + 180 + most * size + 8 * i), 0x2000 + i);
	rt_item(rb, &item, metatype, level, most + 1);
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "does not fit");
}

static int metadir_setup(void **state)
{
	struct sb_build b = SB_BUILD_DEFAULT;

	b.incompat = XFS_SB_FEAT_INCOMPAT_METADIR;
	b.ro_compat = XFS_SB_FEAT_RO_COMPAT_RMAPBT | XFS_SB_FEAT_RO_COMPAT_REFLINK;
	return rb_setup_with(state, &b);
}

static void test_rt_rmap_leaf(void **state)
{
	rt_root(*state, XR_METATYPE_RTRMAP, 0, 7);
}

static void test_rt_rmap_node(void **state)
{
	rt_root(*state, XR_METATYPE_RTRMAP, 2, 3);
}

static void test_rt_refcount_leaf(void **state)
{
	rt_root(*state, XR_METATYPE_RTREFC, 0, 15);
}

/* There would be room for fifteen, but the pointers begin where eleven keys end. */
static void test_rt_refcount_node(void **state)
{
	rt_root(*state, XR_METATYPE_RTREFC, 1, 11);
}

static void test_rt_kind(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;

	rt_item(rb, &item, XR_METATYPE_RTBITMAP, 0, 1);
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "an impossible kind of metadata btree");
}

static void test_rt_no_metadata(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;

	rt_item(rb, &item, XR_METATYPE_RTRMAP, 0, 1);
	lb_put(&rb->lb, item.core + DI(flags2), 0, 8);
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "in a file that is no metadata");
}

#define OWNED_FSB 3000u

/* An inode whose extent btree, of one block, is a block on the disk that says it is another inode's. */
static void owner_item(struct rb *rb, struct inode_item *item, uint8_t block[1024])
{
	uint8_t *root = item->fork[0];

	memset(block, 0, 1024);
	xr_put_be32(block, XFS_BMAP_CRC_MAGIC);
	xr_put_be64(block + 56, 1234);
	xr_crc_update(block, 1024, 64);
	put_cluster(rb, 0);
	valid_item(rb, item);
	item->core[DI(format)] = XFS_DINODE_FMT_BTREE;
	lb_put(&rb->lb, item->core + DI(nblocks), 2, 8);
	item->fields = XFS_ILOG_CORE | XFS_ILOG_DBROOT | XFS_ILOG_DOWNER;
	item->fork_size[0] = 72 + 16;
	memset(root, 0, sizeof(item->fork[0]));
	xr_put_be16(root + 4, 1);
	xr_put_be16(root + 6, 1);
	xr_put_be64(root + 72 + 8, OWNED_FSB);
}

/* Files swapped their extents: the blocks of the tree get their new owner though none of them was logged. */
static void test_owner_change(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;
	uint8_t block[1024];

	owner_item(rb, &item, block);
	rb_put(rb, OWNED_FSB * RB_BLOCK_BBS, block, sizeof(block));
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, OWNED_FSB * RB_BLOCK_BBS, block, sizeof(block));
	assert_int_equal(xr_be64(block + 56), ino);
	assert_true(xr_crc_ok(block, sizeof(block), 64));
	/* A pointer into the void. */
	xr_put_be64(item.fork[0] + 72 + 8, UINT64_MAX / 3);
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "extent btree points to block");
}

/* A damaged block does not get a good checksum with its new owner. */
static void test_owner_of_damaged(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;
	uint8_t block[1024], now[1024];

	owner_item(rb, &item, block);
	block[900] ^= 1;
	rb_put(rb, OWNED_FSB * RB_BLOCK_BBS, block, sizeof(block));
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "or is damaged");
	rb_get(rb, OWNED_FSB * RB_BLOCK_BBS, now, sizeof(now));
	assert_memory_equal(now, block, sizeof(block));
}

/* Unless this very group of transactions changed it, and its checksum is yet to come. */
static void test_owner_of_unstamped(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;
	uint8_t block[1024];

	owner_item(rb, &item, block);
	xr_put_be64(block + 24, OWNED_FSB * RB_BLOCK_BBS);
	memcpy(block + 40, rb->lb.sb.meta_uuid, 16);
	rb_start(rb, 1);
	rb_buf_item(rb, 1, OWNED_FSB * RB_BLOCK_BBS, RB_BLOCK_BBS, (uint16_t)(XFS_BLFT_BTREE_BUF << XFS_BLFT_SHIFT), 0, 8, block);
	rb_commit(rb, 1);
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), 0);
	rb_get(rb, OWNED_FSB * RB_BLOCK_BBS, block, sizeof(block));
	assert_int_equal(xr_be64(block + 56), ino);
	assert_true(xr_crc_ok(block, sizeof(block), 64));
}

static void test_no_inodes_there(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;

	valid_item(rb, &item);
	log_inode(rb, &item);
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_said(&rb->lb.said, "on the disk is no inode");
}

/* One lie a case: a field of the core, or of the format. */
static void test_malformed(void **state)
{
	static const struct {
		const char *say;
		unsigned at, bytes; /* in the core */
		uint64_t value;
	} cores[] = {
		{"no inode magic", DI(magic), 2, 0x4e4a},
		{"inode version", DI(version), 1, 2},
		{"negative size", DI(size), 8, UINT64_C(1) << 63},
		{"format for a file", DI(format), 1, XFS_DINODE_FMT_LOCAL},
		{"impossible file type", DI(mode), 2, 0x3000},
		{"without a file type", DI(mode), 2, 0644},
		{"more extents than blocks", DI(nextents), 4, 2},
		{"more extents than fit", DI(nblocks), 8, 1000},
		{"outside the inode", DI(forkoff), 1, 60},
		{"without an attribute fork", DI(anextents), 2, 1},
		{"shared blocks", DI(flags2), 8, XFS_DIFLAG2_REFLINK},
		{"large timestamps", DI(flags2), 8, XFS_DIFLAG2_BIGTIME},
		{"large extent counters", DI(flags2), 8, XFS_DIFLAG2_NREXT64},
		{"bits set where", DI(big_nextents), 8, 1},
		{"that of inode", DI(ino), 8, ino + 1},
	};
	struct rb *rb = *state;
	struct inode_item item;

	put_cluster(rb, 0);
	for (size_t i = 0; i < sizeof(cores) / sizeof(cores[0]); i++) {
		valid_item(rb, &item);
		lb_put(&rb->lb, item.core + cores[i].at, cores[i].value, cores[i].bytes);
		if (cores[i].at == DI(anextents) || cores[i].at == DI(nblocks)) {
			lb_put(&rb->lb, item.core + DI(nblocks), 1000, 8);
			lb_put(&rb->lb, item.core + DI(nextents), cores[i].at == DI(nblocks) ? 22 : 1, 4);
		}
		lb_begin(&rb->lb, 3, 200);
		log_inode(rb, &item);
		if (rb_run(rb) != -EUCLEAN)
			fail_msg("\"%s\" was not refused", cores[i].say);
		assert_said(&rb->lb.said, cores[i].say);
		assert_int_equal(rb->replay.stats.items[1].seen, 0);
	}
}

static void refuse(struct rb *rb, const struct inode_item *item, const char *say)
{
	lb_begin(&rb->lb, 3, 200);
	log_inode(rb, item);
	if (rb_run(rb) != -EUCLEAN)
		fail_msg("\"%s\" was not refused", say);
	assert_said(&rb->lb.said, say);
}

/* What only the block that an item is for shows to be wrong is found in a slice, and in which record is known. */
static void test_bad_target(void **state)
{
	struct rb *rb = *state;
	uint8_t data[128] = {1};
	struct inode_item item;
	uint32_t bad = 0;

	for (uint32_t i = 0; i < 9; i++) {
		if (i == 4) {
			bad = rb->lb.block;
			valid_item(rb, &item);
			log_inode(rb, &item); /* for a cluster of zeros */
			continue;
		}
		rb_start(rb, 10 + i);
		rb_buf_item(rb, 10 + i, at + 1000 + (uint64_t)i * 3 * XR_UNIT_BBS, RB_BLOCK_BBS, 0, 0, 1, data);
		rb_commit(rb, 10 + i);
		rb_flush(rb);
	}
	rb->slice_bytes = XR_UNIT_BBS * XR_BB;
	assert_int_equal(rb_run(rb), -EUCLEAN);
	assert_int_equal(rb->replay.stats.log.reached, bad);
	assert_int_not_equal(rb->replay.group_lsn, 0);
}

static void test_malformed_format(void **state)
{
	struct rb *rb = *state;
	struct inode_item item;

	put_cluster(rb, 0);
	valid_item(rb, &item);
	item.offset += 1;
	refuse(rb, &item, "cannot lie at byte");
	valid_item(rb, &item);
	item.offset = CLUSTER_BBS * XR_BB;
	refuse(rb, &item, "cannot lie at byte");
	valid_item(rb, &item);
	item.bbs = UINT32_MAX;
	refuse(rb, &item, "cannot lie at byte");
	valid_item(rb, &item);
	item.bbs = 129; /* more than any inode buffer has */
	refuse(rb, &item, "cannot lie at byte");
	valid_item(rb, &item);
	item.fields |= XFS_ILOG_AEXT;
	refuse(rb, &item, "regions for fields");
	valid_item(rb, &item);
	item.fields = XFS_ILOG_CORE;
	refuse(rb, &item, "regions for fields");
	valid_item(rb, &item);
	item.fork_size[0] = 512 - 176 + 4;
	refuse(rb, &item, "does not fit");
	valid_item(rb, &item);
	item.count = 4;
	item.fields |= XFS_ILOG_ADATA;
	item.fork_size[1] = 8;
	refuse(rb, &item, "does not fit"); /* no attribute fork to put it */
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, rb_setup, rb_teardown)
#define RT(name) cmocka_unit_test_setup_teardown(test_rt_##name, metadir_setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(core_and_extents),
		T(packed_format),
		T(lsn_order),
		T(device),
		T(btree_root),
		T(owner_change),
		T(owner_of_damaged),
		T(owner_of_unstamped),
		T(no_inodes_there),
		T(malformed),
		T(bad_target),
		T(malformed_format),
		RT(rmap_leaf),
		RT(rmap_node),
		RT(refcount_leaf),
		RT(refcount_node),
		RT(kind),
		RT(no_metadata),
	};

	/* In the byte order of either kind of machine. */
	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
