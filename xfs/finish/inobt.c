/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inode chunks
 *
 * Inodes come in chunks of 64, each a record of the inode btree: which of them are free, and, where chunks may be sparse, which exist at
 * all. The free inode btree has copies of the records of those chunks that have a free inode. A chunk of which nothing is used any more
 * goes: its records, its blocks, and with them the buffers of its inodes, which later must not be replayed over what comes there.
 * Blocks that hold more than one chunk stay.
 */
#include "ag_impl.h"

#include <errno.h>

#include "btree.h"
#include "bytes.h"
#include "format.h"

#define AGI(field) offsetof(struct xfs_agi, agi_##field)
#define CHUNK ((unsigned)XFS_INODES_PER_CHUNK)

struct chunk {
	struct xr_tx *tx;
	const struct xr_sb *sb;
	uint32_t agno;
	struct xr_tx_buf *agi;
	struct xr_rec rec;
	uint64_t present; /* bit n: inode n of the chunk exists */
};

static int bad(const struct chunk *c, uint64_t agino, const char *why)
{
	return xr_fail(xr_tx_msg(c->tx), -EUCLEAN,
		       "allocation group %u: inode %llu of it is to be freed, but %s; run xfs_repair -n", c->agno,
		       (unsigned long long)agino, why);
}

/* Which inodes exist: a bit of the hole mask stands for four that do not. */
static uint64_t present(const struct xr_rec *rec)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < CHUNK; i++)
		if (!(rec->holemask >> i / XFS_INODES_PER_HOLEMASK_BIT & 1))
			mask |= UINT64_C(1) << i;
	return mask;
}

static void agi_add(const struct chunk *c, size_t at, int by)
{
	xr_put_be32(c->agi->data + at, xr_be32(c->agi->data + at) + (uint32_t)by);
	xr_tx_log(c->tx, c->agi, at, 4);
}

/* --- the trees --- */

/* Mark the inode free in the inode btree; where its chunk goes, its record does. */
static int update_inobt(struct chunk *c, uint32_t agino, struct xr_cur *cur, bool *gone)
{
	uint64_t bit;
	bool found;
	int ret = xr_cur_lookup(cur, XR_LE, &(struct xr_rec){.start = agino}, &found);

	if (!ret && found)
		ret = xr_cur_get(cur, &c->rec, &found);
	if (ret)
		return ret;
	if (!found || agino - c->rec.start >= CHUNK)
		return bad(c, agino, "no chunk has it");
	bit = UINT64_C(1) << (agino - c->rec.start);
	c->present = present(&c->rec);
	if (!(c->present & bit))
		return bad(c, agino, "that part of its chunk does not exist");
	if (c->rec.free & bit)
		return bad(c, agino, "it is free");
	if (c->rec.freecount != __builtin_popcountll(c->rec.free & c->present))
		return bad(c, agino, "its chunk does not count its free inodes right");
	c->rec.free |= bit;
	c->rec.freecount++;
	*gone = c->rec.freecount == c->rec.count && c->sb->inopblock <= CHUNK;
	return *gone ? xr_cur_delete(cur) : xr_cur_update(cur, &c->rec);
}

/* The same in the free inode btree, whose record of the chunk is new with its first free inode. */
static int update_finobt(struct chunk *c, uint32_t agino, struct xr_cur *cur, bool gone)
{
	uint64_t bit = UINT64_C(1) << (agino - c->rec.start);
	struct xr_rec rec;
	bool found;
	int ret = xr_cur_lookup(cur, XR_EQ, &c->rec, &found);

	if (!ret && found)
		ret = xr_cur_get(cur, &rec, &found);
	if (ret)
		return ret;
	if (found != (c->rec.freecount > 1) || (found && (rec.free | bit) != c->rec.free))
		return bad(c, agino, "the free inode btree does not agree with the inode btree about its chunk");
	if (!found)
		return gone ? 0 : xr_cur_insert(cur, &c->rec);
	return gone ? xr_cur_delete(cur) : xr_cur_update(cur, &c->rec);
}

static int update(struct chunk *c, uint32_t agino, bool *gone)
{
	struct xr_cur *cur;
	int ret = xr_cur_ag(&cur, c->tx, XR_INO, c->agno);

	if (!ret)
		ret = update_inobt(c, agino, cur, gone);
	xr_cur_end(cur);
	if (ret || !c->sb->has_finobt)
		return ret;
	ret = xr_cur_ag(&cur, c->tx, XR_FINO, c->agno);
	if (!ret)
		ret = update_finobt(c, agino, cur, *gone);
	xr_cur_end(cur);
	return ret;
}

/* --- the blocks of a chunk that goes --- */

/* The run of inodes that exist from *at on; its length. 0: there are no more. */
static unsigned next_run(const struct chunk *c, unsigned *at)
{
	unsigned n = 0;

	while (*at < CHUNK && !(c->present >> *at & 1))
		++*at;
	while (*at + n < CHUNK && c->present >> (*at + n) & 1)
		n++;
	return n;
}

/* Inode buffers are clusters, which begin where the chunk does; the ones without inodes never were. */
static int cancel_clusters(const struct chunk *c)
{
	unsigned inodes = c->sb->cluster_blocks << c->sb->inopblog;
	uint32_t bbs = c->sb->cluster_blocks << (c->sb->blocklog - XR_BB_SHIFT);
	int ret = 0;

	for (unsigned i = 0; i < CHUNK && !ret; i += inodes) {
		uint32_t agbno = (uint32_t)(c->rec.start + i) >> c->sb->inopblog;

		if (c->present >> i & 1)
			ret = xr_tx_cancel(c->tx, xr_fsb_daddr(c->sb, xr_ag_fsb(c->sb, c->agno, agbno)), bbs);
	}
	return ret;
}

static int free_blocks(const struct chunk *c)
{
	int ret = cancel_clusters(c);
	unsigned at = 0, n;

	for (; !ret && (n = next_run(c, &at)); at += n) {
		uint32_t agbno = (uint32_t)(c->rec.start + at) >> c->sb->inopblog;

		if (at % c->sb->inopblock || n % c->sb->inopblock)
			return bad(c, c->rec.start + at, "its chunk has a part of a block");
		ret = xr_free_extent(c->tx, xr_ag_fsb(c->sb, c->agno, agbno), n >> c->sb->inopblog, XR_OWN_INODES, 0);
	}
	return ret;
}

int xr_inode_free(struct xr_tx *tx, uint64_t ino, bool *chunk_gone)
{
	struct chunk c = {.tx = tx, .sb = xr_tx_sb(tx)};
	unsigned shift = c.sb->agblklog + c.sb->inopblog;
	uint32_t agino = (uint32_t)(ino & ((UINT64_C(1) << shift) - 1));
	int ret;

	*chunk_gone = false;
	if (!xr_ino_ok(c.sb, ino))
		return xr_fail(xr_tx_msg(tx), -EUCLEAN, "inode %llu is to be freed, but cannot exist; run xfs_repair -n",
			       (unsigned long long)ino);
	c.agno = (uint32_t)(ino >> shift);
	ret = xr_ag_header(tx, c.agno, XR_AGI, &c.agi);
	if (!ret)
		ret = update(&c, agino, chunk_gone);
	if (ret)
		return ret;
	if (!*chunk_gone) {
		agi_add(&c, AGI(freecount), 1);
		return 0;
	}
	agi_add(&c, AGI(count), -(int)c.rec.count);
	agi_add(&c, AGI(freecount), 1 - (int)c.rec.count);
	return free_blocks(&c);
}
