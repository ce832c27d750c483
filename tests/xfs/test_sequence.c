/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Items that are applied before their transaction's COMMIT: what it does to the disk must be what it does when all of them wait for it. Each
 * hazard by itself, and then logs of anything, replayed both ways.
 */
#include "replaybuild.h"

#include <errno.h>
#include <sys/stat.h>

#include "mutate.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define CLUSTER_BBS 16u /* 8 KiB */
#define CHUNK_BBS 64u
#define CHUNKS 3u
#define DIRS 8u
#define DIR_DADDR (RB_FREE_DADDR + CHUNKS * CHUNK_BBS)
#define AREA_BBS (CHUNKS * CHUNK_BBS + DIRS * RB_BLOCK_BBS)
#define AREA_INO 4096u /* of the first inode: 512-byte inodes in blocks of 1 KiB, from block 2048 on */

static uint8_t before[AREA_BBS * XR_BB];

static void put_area(struct rb *rb, uint64_t lsn)
{
	memset(before, 0, sizeof(before));
	for (unsigned i = 0; i < CHUNKS * CHUNK_BBS; i++) {
		uint8_t *raw = before + i * RB_INODE;

		xr_put_be16(raw + DI(magic), XFS_DINODE_MAGIC);
		raw[DI(version)] = 3;
		xr_put_be32(raw + DI(next_unlinked), NULLAGINO);
		xr_put_be64(raw + DI(ino), AREA_INO + i);
		xr_put_be64(raw + DI(lsn), i % 7 ? 0 : lsn);
		memcpy(raw + DI(uuid), rb->lb.sb.meta_uuid, 16);
	}
	for (unsigned i = 0; i < DIRS; i++)
		rb_dir_block(rb, before + CHUNKS * CHUNK_BBS * XR_BB + i * RB_BLOCK_BBS * XR_BB, DIR_DADDR + i * RB_BLOCK_BBS,
			     i % 5 ? 0 : lsn);
	rb_put(rb, RB_FREE_DADDR, before, sizeof(before));
}

static void get_area(struct rb *rb, uint8_t *now)
{
	rb_get(rb, RB_FREE_DADDR, now, sizeof(before));
}

/* --- items --- */

static void log_inode(struct rb *rb, uint32_t tid, unsigned n, uint32_t uid)
{
	uint8_t format[56] = {0}, c[176] = {0};
	const void *regions[] = {format, c};
	const uint32_t sizes[] = {sizeof(format), sizeof(c)};

	lb_put(&rb->lb, format, XFS_LI_INODE, 2);
	lb_put(&rb->lb, format + 2, 2, 2);
	lb_put(&rb->lb, format + 4, XFS_ILOG_CORE, 4);
	lb_put(&rb->lb, format + 16, AREA_INO + n, 8);
	lb_put(&rb->lb, format + 40, RB_FREE_DADDR + n / CLUSTER_BBS * CLUSTER_BBS, 8);
	lb_put(&rb->lb, format + 48, CLUSTER_BBS, 4);
	lb_put(&rb->lb, format + 52, n % CLUSTER_BBS * RB_INODE, 4);
	lb_put(&rb->lb, c + DI(magic), XFS_DINODE_MAGIC, 2);
	lb_put(&rb->lb, c + DI(mode), S_IFREG | 0644, 2);
	c[DI(version)] = 3;
	c[DI(format)] = XFS_DINODE_FMT_EXTENTS;
	c[DI(aformat)] = XFS_DINODE_FMT_EXTENTS;
	lb_put(&rb->lb, c + DI(uid), uid, 4);
	lb_put(&rb->lb, c + DI(nlink), 1, 4);
	lb_put(&rb->lb, c + DI(ino), AREA_INO + n, 8);
	memcpy(c + DI(uuid), rb->lb.sb.meta_uuid, 16);
	rb_item(rb, tid, 2, regions, sizes);
}

static void log_icreate(struct rb *rb, uint32_t tid, unsigned chunk, uint32_t gen)
{
	uint8_t raw[28] = {0};
	const void *regions[] = {raw};
	const uint32_t size = sizeof(raw);

	lb_put(&rb->lb, raw, XFS_LI_ICREATE, 2);
	lb_put(&rb->lb, raw + 2, 1, 2);
	xr_put_be32(raw + 8, (uint32_t)(RB_FREE_DADDR + chunk * CHUNK_BBS) / RB_BLOCK_BBS);
	xr_put_be32(raw + 12, CHUNK_BBS);
	xr_put_be32(raw + 16, RB_INODE);
	xr_put_be32(raw + 20, CHUNK_BBS / RB_BLOCK_BBS);
	xr_put_be32(raw + 24, gen);
	rb_item(rb, tid, 1, regions, &size);
}

/* Chunks of a directory block: its header, or what follows. */
static void log_dir(struct rb *rb, uint32_t tid, unsigned n, uint32_t chunk, uint8_t fill)
{
	uint8_t raw[RB_BLOCK_BBS * XR_BB];
	uint64_t daddr = DIR_DADDR + n * RB_BLOCK_BBS;

	rb_dir_block(rb, raw, daddr, 0);
	memset(raw + 128, fill, sizeof(raw) - 128);
	rb_buf_item(rb, tid, daddr, RB_BLOCK_BBS, XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT, chunk, 1, raw + chunk * 128);
}

/* The unlinked pointer of a cluster's first inode. */
static void log_unlinked(struct rb *rb, uint32_t tid, unsigned cluster, uint32_t next)
{
	uint8_t raw[128] = {0};

	xr_put_be32(raw + DI(next_unlinked), next);
	rb_buf_item(rb, tid, RB_FREE_DADDR + cluster * CLUSTER_BBS, CLUSTER_BBS,
		    XFS_BLF_INODE_BUF | XFS_BLFT_DINO_BUF << XFS_BLFT_SHIFT, 0, 1, raw);
}

/* As no kernel does: a buffer item of the first list for what is an inode's, the end of its literal area. */
static void log_over_inode(struct rb *rb, uint32_t tid, unsigned n, uint8_t fill)
{
	uint8_t raw[128];

	memset(raw, fill, sizeof(raw));
	rb_buf_item(rb, tid, RB_FREE_DADDR + n / CLUSTER_BBS * CLUSTER_BBS, CLUSTER_BBS, XFS_BLFT_DINO_BUF << XFS_BLFT_SHIFT,
		    n % CLUSTER_BBS * 4 + 3, 1, raw);
}

static void log_cancel(struct rb *rb, uint32_t tid, unsigned cluster)
{
	rb_buf_item(rb, tid, RB_FREE_DADDR + cluster * CLUSTER_BBS, CLUSTER_BBS, XFS_BLF_CANCEL, 0, 0, NULL);
}

static void log_intent(struct rb *rb, uint32_t tid, bool done, uint64_t id)
{
	uint8_t raw[32] = {0};
	const void *regions[] = {raw};
	const uint32_t size = sizeof(raw);

	lb_put(&rb->lb, raw, done ? XFS_LI_EFD : XFS_LI_EFI, 2);
	lb_put(&rb->lb, raw + 2, 1, 2);
	lb_put(&rb->lb, raw + 4, 1, 4);
	lb_put(&rb->lb, raw + 8, id, 8);
	rb_item(rb, tid, 1, regions, &size);
}

/* --- replay --- */

enum way { WAITING, AT_ONCE, SLICED };

struct outcome {
	int ret;
	uint8_t area[sizeof(before)];
	struct xr_item_stats items[XR_ITEM_TYPES];
	uint64_t groups, committed, peak, intents;
	uint64_t ids[16];
};

/* Both passes, from what the disk was before the log; gives what became of it. */
static void replay(struct rb *rb, enum way way, struct outcome *o)
{
	struct xr_replay *r = &rb->replay;
	unsigned n = 0;

	rb_put(rb, RB_FREE_DADDR, before, sizeof(before));
	xr_replay_destroy(r);
	xr_cache_destroy(rb->cache);
	test_msg_init(&rb->lb.said);
	assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
	xr_replay_init(r, &rb->lb.log, rb->cache, &rb->lb.said.msg);
	assert_int_equal(lb_find(&rb->lb), 0);
	memset(o, 0, sizeof(*o));
	o->ret = xr_replay_check(r, &rb->lb.head);
	if (way == WAITING)
		r->sequence = NULL;
	if (way == SLICED)
		r->slice_bytes = XR_UNIT_BBS * XR_BB;
	if (!o->ret)
		o->ret = xr_replay_apply(r, &rb->lb.head);
	if (!o->ret)
		o->ret = xr_cache_flush(rb->cache);
	get_area(rb, o->area);
	memcpy(o->items, r->stats.items, sizeof(o->items));
	o->groups = r->stats.groups;
	o->committed = r->stats.log.committed;
	o->peak = r->stats.log.peak;
	o->intents = r->intents.count;
	for (const struct xr_entry *e = r->intents.first; e && n < 16; e = e->next)
		o->ids[n++] = e->b;
}

/* Both ways, which must agree; o is what items applied at once made. */
static void replay_both(struct rb *rb, struct outcome *o)
{
	static struct outcome waiting;

	replay(rb, WAITING, &waiting);
	replay(rb, AT_ONCE, o);
	assert_int_equal(o->ret, waiting.ret);
	assert_memory_equal(o->area, waiting.area, sizeof(o->area));
	if (o->ret)
		return;
	assert_memory_equal(o->items, waiting.items, sizeof(o->items));
	assert_int_equal(o->groups, waiting.groups);
	assert_int_equal(o->committed, waiting.committed);
	assert_int_equal(o->intents, waiting.intents);
	assert_memory_equal(o->ids, waiting.ids, sizeof(o->ids));
}

static bool waits(const struct rb *rb, uint32_t tid, uint64_t lsn)
{
	const struct xr_trans trans = {.tid = tid, .lsn = lsn};

	assert_non_null(rb->replay.sequence);
	return xr_sequence_waits(rb->replay.sequence, &trans);
}

static uint32_t uid_of(const struct outcome *o, unsigned n)
{
	return xr_be32(o->area + n * RB_INODE + DI(uid));
}

/* --- the hazards --- */

/* Nothing stands in the way: no item is kept, though the transaction is in several records. */
static void test_at_once(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;
	uint64_t lsn;

	put_area(rb, 0);
	rb_start(rb, 1);
	log_dir(rb, 1, 1, 3, 0x11);
	log_icreate(rb, 1, 1, 77);
	lsn = rb_flush(rb);
	for (unsigned i = 0; i < CHUNK_BBS; i++)
		log_inode(rb, 1, CHUNK_BBS + i, 1000 + i);
	rb_flush(rb);
	log_dir(rb, 1, 2, 4, 0x12);
	rb_commit(rb, 1);
	rb_flush(rb);
	replay_both(rb, &o);
	assert_int_equal(o.ret, 0);
	assert_false(waits(rb, 1, lsn));
	assert_true(XR_ISOLATED || o.peak < 8192); /* what the transaction's own few things take */
	for (unsigned i = 0; i < CHUNK_BBS; i++)
		assert_int_equal(uid_of(&o, CHUNK_BBS + i), 1000 + i);
	assert_int_equal(o.area[(CHUNKS * CHUNK_BBS + RB_BLOCK_BBS) * XR_BB + 3 * 128], 0x11);
}

/* A transaction without COMMIT, behind one that has one. */
static void test_unfinished(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;
	uint64_t lsn;

	put_area(rb, 0);
	rb_start(rb, 1);
	log_inode(rb, 1, 3, 1000);
	rb_commit(rb, 1);
	rb_start(rb, 1);
	log_inode(rb, 1, 4, 1001);
	log_icreate(rb, 1, 2, 5);
	lsn = rb_flush(rb);
	log_dir(rb, 1, 1, 3, 0x11);
	rb_flush(rb);
	replay_both(rb, &o);
	assert_int_equal(o.ret, 0);
	assert_true(waits(rb, 1, lsn)); /* as does the first, of the same tid and LSN */
	assert_int_equal(uid_of(&o, 3), 1000);
	assert_memory_equal(o.area + 4 * RB_INODE, before + 4 * RB_INODE, sizeof(before) - 4 * RB_INODE);
}

/* An unmount ends a transaction, too. */
static void test_unmounted(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;
	uint64_t lsn;

	put_area(rb, 0);
	rb_start(rb, 1);
	log_inode(rb, 1, 3, 1000);
	lb_op(&rb->lb, 1, XLOG_UNMOUNT_TRANS, NULL, 0);
	lsn = rb_flush(rb);
	rb_start(rb, 1);
	log_inode(rb, 1, 4, 1000);
	rb_commit(rb, 1);
	rb_flush(rb);
	replay_both(rb, &o);
	assert_int_equal(o.ret, 0);
	assert_true(waits(rb, 1, lsn));
	assert_int_equal(uid_of(&o, 3), 0);
	assert_int_equal(uid_of(&o, 4), 1000);
}

/* Two transactions with the same inode: the one that commits last decides, wherever its item stands; and one of them may not commit. */
static void test_interleaved(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;
	uint64_t lsn;

	for (int both = 0; both < 2; both++) {
		put_area(rb, 0);
		lb_begin(&rb->lb, 3, 100);
		rb->lb.prev = UINT32_MAX;
		rb_start(rb, 1);
		rb_start(rb, 2);
		log_inode(rb, 1, 3, 1001);
		log_inode(rb, 2, 3, 1002);
		lsn = rb_flush(rb);
		rb_commit(rb, 2);
		rb_flush(rb);
		if (both)
			rb_commit(rb, 1);
		else
			log_inode(rb, 1, 4, 1001);
		rb_flush(rb);
		rb_start(rb, 3);
		log_inode(rb, 3, 5, 1003);
		rb_commit(rb, 3);
		rb_flush(rb);
		replay_both(rb, &o);
		assert_int_equal(o.ret, 0);
		assert_true(waits(rb, 1, lsn) && waits(rb, 2, lsn));
		assert_int_equal(uid_of(&o, 3), both ? 1001 : 1002);
		assert_int_equal(uid_of(&o, 5), 1003);
	}
}

/* An item of the first list behind one of the second: of the same blocks, or of others. */
static void test_crossed(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;

	for (unsigned which = 0; which < 4; which++) {
		uint64_t lsn;

		put_area(rb, 0);
		lb_begin(&rb->lb, 3, 100);
		rb->lb.prev = UINT32_MAX;
		rb_start(rb, 1);
		log_inode(rb, 1, CHUNK_BBS + 3, 1000);
		log_inode(rb, 1, 3, 1001);
		lsn = rb_flush(rb);
		if (which < 2)
			log_icreate(rb, 1, which ? 1 : 2, 99);
		else if (which == 2)
			log_over_inode(rb, 1, CHUNK_BBS + 3, 0x55);
		else
			log_over_inode(rb, 1, CHUNK_BBS + CLUSTER_BBS, 0x55);
		rb_commit(rb, 1);
		rb_flush(rb);
		replay_both(rb, &o);
		assert_int_equal(o.ret, 0);
		assert_int_equal(waits(rb, 1, lsn), which == 1 || which == 2);
		assert_int_equal(uid_of(&o, CHUNK_BBS + 3), 1000);
		assert_int_equal(uid_of(&o, 3), 1001);
	}
}

/* Unlinked pointers and cancels are for the end of the transaction, wherever they stand. */
static void test_late(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;
	uint64_t lsn;

	put_area(rb, 0);
	rb_start(rb, 1);
	log_unlinked(rb, 1, 0, 18);
	log_unlinked(rb, 1, 0, 17); /* the first one in the log is the last one to be applied */
	log_cancel(rb, 1, CHUNK_BBS / CLUSTER_BBS);
	log_inode(rb, 1, 0, 1000);
	log_inode(rb, 1, CHUNK_BBS + 1, 1001); /* cancelled, though that was before it */
	rb_commit(rb, 1);
	lsn = rb_flush(rb);
	rb_start(rb, 2);
	log_inode(rb, 2, CHUNK_BBS + 2, 1002);
	rb_commit(rb, 2);
	rb_flush(rb);
	replay_both(rb, &o);
	assert_int_equal(o.ret, 0);
	assert_false(waits(rb, 1, lsn));
	assert_int_equal(xr_be32(o.area + DI(next_unlinked)), 18);
	assert_int_equal(uid_of(&o, 0), 1000);
	assert_int_equal(uid_of(&o, CHUNK_BBS + 1), 0);
	assert_int_equal(uid_of(&o, CHUNK_BBS + 2), 1002);
}

/* A buffer that two transactions of one LSN change is stamped behind both; one of another LSN finds it stamped. */
static void test_groups(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;
	uint8_t *block = o.area + CHUNKS * CHUNK_BBS * XR_BB;
	uint64_t lsn;

	put_area(rb, 0);
	for (uint32_t tid = 1; tid < 3; tid++) {
		rb_start(rb, tid);
		log_dir(rb, tid, 0, 2 + tid, (uint8_t)tid);
		rb_commit(rb, tid);
	}
	rb_flush(rb);
	rb_start(rb, 3);
	log_dir(rb, 3, 0, 5, 3);
	lsn = rb_flush(rb);
	rb_commit(rb, 3);
	rb_flush(rb);
	replay_both(rb, &o);
	assert_int_equal(o.ret, 0);
	assert_int_equal(o.groups, 2);
	for (uint32_t tid = 1; tid < 4; tid++)
		assert_int_equal(block[(2 + tid) * 128], tid);
	assert_int_equal(xr_be64(block + 16), lsn);
}

/* What fails in the middle of a transaction leaves nothing of it behind. */
static void test_fails(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;

	put_area(rb, 0);
	before[(2 * CHUNK_BBS + 1) * XR_BB] = 0; /* no inode: what is for its cluster is refused */
	rb_put(rb, RB_FREE_DADDR, before, sizeof(before));
	rb_start(rb, 1);
	log_inode(rb, 1, 3, 1000);
	log_dir(rb, 1, 1, 3, 0x11);
	log_inode(rb, 1, 2 * CHUNK_BBS + 3, 1000);
	rb_commit(rb, 1);
	rb_flush(rb);
	replay_both(rb, &o);
	assert_int_equal(o.ret, -EUCLEAN);
	assert_memory_equal(o.area, before, sizeof(before));
}

/* The log is not the same when pass 2 reads it: a transaction that it began, as pass 1 said, has no COMMIT, or is not alone. */
static void test_changed(void **state)
{
	struct rb *rb = *state;
	uint8_t now[sizeof(before)];

	for (unsigned which = 0; which < 3; which++) {
		put_area(rb, 0);
		for (unsigned pass = 1; pass <= 2; pass++) {
			lb_begin(&rb->lb, 3, 100);
			rb->lb.prev = UINT32_MAX;
			rb_start(rb, 1);
			log_inode(rb, 1, 3, 1000);
			if (pass == 1 || which == 2)
				rb_commit(rb, 1);
			else
				lb_op(&rb->lb, 1, XLOG_END_TRANS, NULL, 0);
			rb_flush(rb);
			rb_start(rb, 2);
			log_inode(rb, 2, 4, pass == 1 || which < 2 ? 1001 : 1002);
			if (pass == 1 || which != 1)
				rb_commit(rb, 2);
			else
				rb_commit(rb, 3);
			rb_flush(rb);
			if (pass == 2)
				break;
			assert_int_equal(lb_find(&rb->lb), 0);
			xr_replay_destroy(&rb->replay);
			xr_cache_destroy(rb->cache);
			assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
			xr_replay_init(&rb->replay, &rb->lb.log, rb->cache, &rb->lb.said.msg);
			assert_int_equal(xr_replay_check(&rb->replay, &rb->lb.head), 0);
		}
		assert_int_equal(xr_replay_apply(&rb->replay, &rb->lb.head), -EUCLEAN);
		assert_said(&rb->lb.said, "the log changed while it was read");
		get_area(rb, now);
		assert_memory_equal(now, before, sizeof(now));
	}
}

/* A cluster that was found sound, and changed since by what is no inode item, is looked at again. */
static void test_looked_at_again(void **state)
{
	struct rb *rb = *state;
	static const uint8_t nothing[128];
	static struct outcome o;

	for (int damaged = 0; damaged < 2; damaged++) {
		put_area(rb, 0);
		lb_begin(&rb->lb, 3, 100);
		rb->lb.prev = UINT32_MAX;
		rb_start(rb, 1);
		log_inode(rb, 1, 3, 1000);
		log_inode(rb, 1, CHUNK_BBS, 1000);
		rb_commit(rb, 1);
		rb_start(rb, 2);
		rb_buf_item(rb, 2, RB_FREE_DADDR, CLUSTER_BBS, XFS_BLFT_DINO_BUF << XFS_BLFT_SHIFT, damaged ? 20 : 21, 1,
			    nothing); /* inode 5, the beginning or what follows */
		log_inode(rb, 2, CHUNK_BBS + 1, 1001);
		rb_commit(rb, 2);
		rb_start(rb, 3);
		log_inode(rb, 3, 3, 1002);
		rb_commit(rb, 3);
		rb_flush(rb);
		replay_both(rb, &o);
		assert_int_equal(o.ret, damaged ? -EUCLEAN : 0);
		if (damaged)
			assert_said(&rb->lb.said, "is no inode");
	}
}

/* More transactions in each other's way than are listed: then all wait. */
static void test_many_wait(void **state)
{
	struct rb *rb = *state;
	static struct outcome o;

	put_area(rb, 0);
	for (uint32_t tid = 1; tid < 4200; tid++) {
		rb_start(rb, tid);
		if (!(tid % 100))
			log_inode(rb, tid, 3, tid);
		if (tid > 1)
			rb_commit(rb, tid);
		if (!(tid % 100))
			rb_flush(rb);
	}
	rb_commit(rb, 1);
	rb_flush(rb);
	replay_both(rb, &o);
	assert_int_equal(o.ret, 0);
	assert_true(rb->replay.sequence->all_wait);
	assert_int_equal(rb->replay.sequence->waits.count, 0);
}

/* --- anything --- */

static void log_any(struct rb *rb, struct mutate *random, uint32_t tid)
{
	unsigned n = mutate_random(random, CHUNKS * CHUNK_BBS);
	uint32_t value = 1 + mutate_random(random, 200);

	switch (mutate_random(random, 40)) {
	case 0:
		log_icreate(rb, tid, n / CHUNK_BBS, value);
		break;
	case 1:
		log_unlinked(rb, tid, n / CLUSTER_BBS, value);
		break;
	case 2:
		log_over_inode(rb, tid, n, (uint8_t)value);
		break;
	case 3:
		log_intent(rb, tid, false, value % 4);
		break;
	case 4:
		log_intent(rb, tid, true, value % 4);
		break;
	case 5:
		if (!mutate_random(random, 6))
			log_cancel(rb, tid, n / CLUSTER_BBS);
		break;
	default:
		if (mutate_random(random, 3))
			log_inode(rb, tid, n, value);
		else
			log_dir(rb, tid, n % DIRS, mutate_random(random, 8), (uint8_t)value);
	}
	if (!mutate_random(random, 12))
		rb_flush(rb);
}

/* Some transactions, one after the other or some at a time, of a few or many items; the last one may not commit. */
static void log_anything(struct rb *rb, struct mutate *random)
{
	uint32_t overlap = mutate_random(random, 4), left = 3 + mutate_random(random, 6), tid = 1;
	bool open[4] = {false};

	lb_begin(&rb->lb, 3, 100);
	rb->lb.prev = UINT32_MAX;
	while (left) {
		uint32_t i = overlap ? 0 : mutate_random(random, 3);

		if (!open[i]) {
			rb_start(rb, tid + i);
			open[i] = true;
		} else if (mutate_random(random, 1 + mutate_random(random, 60))) {
			log_any(rb, random, tid + i);
		} else {
			rb_commit(rb, tid + i);
			open[i] = false;
			tid += !mutate_random(random, 3) && !open[0] && !open[1] && !open[2];
			left--;
		}
	}
	rb_start(rb, 99);
	log_any(rb, random, 99);
	if (mutate_random(random, 2))
		rb_commit(rb, 99);
	rb_flush(rb);
}

static void test_anything(void **state)
{
	struct rb *rb = *state;
	static struct outcome o, sliced;
	struct mutate random = {1};
	unsigned sound = 0, at_once = 0;

	for (int round = 0; round < 150; round++) {
		put_area(rb, xr_lsn(3, 100 + 8 * mutate_random(&random, 10)));
		log_anything(rb, &random);
		replay_both(rb, &o);
		sound += !o.ret;
		at_once += rb->replay.sequence && !rb->replay.sequence->all_wait && rb->replay.sequence->waits.count < 2;
		if (o.ret)
			continue;
		replay(rb, SLICED, &sliced);
		assert_int_equal(sliced.ret, 0);
		assert_memory_equal(o.area, sliced.area, sizeof(o.area));
		assert_memory_equal(o.items, sliced.items, sizeof(o.items));
	}
	assert_in_range(sound, 75, 150);
	assert_in_range(at_once, 40, 110);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, rb_setup, rb_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(at_once), T(unfinished), T(unmounted), T(interleaved), T(crossed),         T(late),
		T(groups),  T(fails),      T(changed),   T(many_wait),   T(looked_at_again), T(anything),
	};

	return cmocka_run_group_tests_name("little-endian", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("big-endian", tests, rb_big_endian, NULL);
}
