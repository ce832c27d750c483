/* SPDX-License-Identifier: GPL-2.0-only */
/* Builders: items, whole but wrong. */
#include "logcase_impl.h"

/* --- items as such --- */

/* The item says that it has value regions; it has two. */
void lc_regions(struct lb *lb, const struct logcase *c)
{
	uint8_t chunk[LC_CHUNK];

	lc_mark(lb, 0);
	lc_fill_mark(lb, 1, chunk);
	lb_start(lb, 7);
	lc_buffer(lb, 7, lc_free_daddr(lb, 1), lc_block_bbs(lb), XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT, (uint16_t)c->value, 1,
		  1);
	for (uint32_t n = 0; n <= c->at; n++)
		lb_op(lb, 7, 0, chunk, sizeof(chunk));
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

void lc_raw_item(struct lb *lb, const struct logcase *c)
{
	uint8_t raw[256];

	lc_mark(lb, 0);
	lc_item_trans(lb, 7, lc_item(lb, raw, sizeof(raw), (uint16_t)c->value), c->at);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

/* A buffer of value BBs at at, of which the first chunk is logged. */
void lc_bad_buffer(struct lb *lb, const struct logcase *c)
{
	uint8_t chunk[LC_CHUNK] = {0};

	lc_mark(lb, 0);
	lb_start(lb, 7);
	lc_buffer(lb, 7, c->at == UINT32_MAX ? UINT64_MAX : c->at ? c->at : lc_free_daddr(lb, 1), c->value, 0, 2, 1, 1);
	lb_op(lb, 7, 0, chunk, sizeof(chunk));
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

/* The map value, of at words, for one region of one chunk; the buffer has 8. */
void lc_bad_map(struct lb *lb, const struct logcase *c)
{
	uint8_t chunk[LC_CHUNK] = {0};

	lc_mark(lb, 0);
	lb_start(lb, 7);
	lc_buffer(lb, 7, lc_free_daddr(lb, 1), 2, 0, 2, c->value, c->at);
	lb_op(lb, 7, 0, chunk, sizeof(chunk));
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

/* The item says another type than its block is: written as it came. */
void lc_other_type(struct lb *lb, const struct logcase *c)
{
	uint8_t chunk[LC_CHUNK];

	lc_fill_mark(lb, 0, chunk);
	lb_start(lb, 7);
	lc_buffer(lb, 7, lc_free_daddr(lb, 0), lc_block_bbs(lb), c->value << XFS_BLFT_SHIFT, 2, 1, 1);
	lb_op(lb, 7, 0, chunk, sizeof(chunk));
	lb_commit(lb, 7);
	lb_flush(lb);
	lc_mark(lb, 1);
}

void lc_cancelled(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	lc_mark(lb, 1);
	lb_start(lb, 7);
	lc_cancel_op(lb, 7, 0);
	if (c->value == 2) /* used again in the same transaction: a cancel is its last word */
		lc_mark_op(lb, 7, 0);
	lb_commit(lb, 7);
	lb_flush(lb);
	if (c->value == 1)
		lc_mark(lb, 0);
}

void lc_icreate(struct lb *lb, const struct logcase *c)
{
	uint8_t raw[28];
	uint32_t blocks = lb->sb.chunk_inodes >> lb->sb.inopblog;

	lc_item(lb, raw, sizeof(raw), XFS_LI_ICREATE);
	xr_put_be32(raw + 4, lb->sb.agcount - 1);
	xr_put_be32(raw + 8, lc_chunk_agbno(lb));
	xr_put_be32(raw + 12, lb->sb.chunk_inodes);
	xr_put_be32(raw + 16, lb->sb.inodesize);
	xr_put_be32(raw + 20, blocks);
	xr_put_be32(raw + 24, 1);
	if (c->at)
		xr_put_be32(raw + c->at, c->value);
	lc_mark(lb, 0);
	lc_item_trans(lb, 7, raw, sizeof(raw));
	lb_flush(lb);
	if (c->flags & LC_CORRUPT)
		lc_fill(lb, LC_FAR);
}

/* The root directory's inode, logged as it is but for field at of the format (or, from 100 on, of the core), of 4 bytes. */
void lc_inode(struct lb *lb, const struct logcase *c)
{
	static const uint8_t words[][2] = {{0, 2},  {2, 2},  {6, 2},   {8, 4},   {12, 4},  {16, 4},  {20, 2},
					   {22, 2}, {32, 4}, {36, 4},  {40, 4},  {44, 4},  {48, 4},  {52, 4},
					   {56, 8}, {64, 8}, {72, 4},  {76, 4},  {80, 2},  {84, 4},  {88, 2},
					   {90, 2}, {92, 4}, {104, 8}, {120, 8}, {128, 4}, {144, 8}, {152, 8}};
	uint8_t disk[2048], core[176] = {0}, format[56] = {0};
	uint32_t size = lb->sb.v5 ? 176 : 96, cluster = lb->sb.cluster_blocks * lb->sb.blocksize;
	uint64_t offset = xr_ino_offset(&lb->sb, lb->sb.rootino);
	bool bigtime;

	assert_int_equal(xr_dev_read(&lb->dev, disk, lb->sb.inodesize, offset), 0);
	memcpy(core, disk, size);
	bigtime = lb->sb.v5 && xr_be64(disk + 120) & XFS_DIFLAG2_BIGTIME;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		uint32_t at = words[i][0], width = words[i][1];

		if (bigtime && at >= 32 && at < 56)
			width = at % 8 ? 0 : 8;
		if (bigtime && at == 144)
			width = 8;
		if (width && at + width <= size)
			lb_put(lb, core + at,
			       width == 2   ? xr_be16(disk + at)
			       : width == 4 ? xr_be32(disk + at)
					    : xr_be64(disk + at),
			       width);
	}
	lb_put(lb, core + offsetof(struct xfs_dinode, di_gen), LC_GEN, 4); /* what shows that it was replayed */
	lb_put(lb, format, XFS_LI_INODE, 2);
	lb_put(lb, format + 2, 2, 2);
	lb_put(lb, format + 4, XFS_ILOG_CORE, 4);
	lb_put(lb, format + 16, lb->sb.rootino, 8);
	lb_put(lb, format + 40, offset / cluster * cluster / XR_BB, 8);
	lb_put(lb, format + 48, cluster / XR_BB, 4);
	lb_put(lb, format + 52, offset % cluster, 4);
	if (c->at >= 100)
		lb_put(lb, core + c->at - 100, c->value, 2);
	else if (c->at)
		lb_put(lb, format + c->at, c->value, 4);
	lc_mark(lb, 0);
	lb_start(lb, 7);
	lb_op(lb, 7, 0, format, sizeof(format));
	lb_op(lb, 7, 0, core, size);
	lb_commit(lb, 7);
	lb_flush(lb);
	if (c->flags & LC_CORRUPT)
		lc_fill(lb, LC_FAR);
}

/* A block of dquots, then one of them; at: a byte of it that is value. */
void lc_dquot(struct lb *lb, const struct logcase *c)
{
	uint8_t record[sizeof(struct xfs_dqblk)] = {0}, chunk[LC_CHUNK], format[24] = {0};

	xr_put_be16(record, XFS_DQUOT_MAGIC);
	record[2] = XFS_DQUOT_VERSION;
	record[3] = XFS_DQTYPE_USER;
	xr_put_be32(record + 4, 5);
	if (lb->sb.v5) {
		memcpy(record + offsetof(struct xfs_dqblk, dd_uuid), lb->sb.meta_uuid, 16);
		xr_crc_update(record, sizeof(record), offsetof(struct xfs_dqblk, dd_crc));
	}
	memset(chunk, 0, sizeof(chunk));
	memcpy(chunk, record, sizeof(chunk) < sizeof(record) ? sizeof(chunk) : sizeof(record));
	lb_start(lb, 6);
	lc_buffer(lb, 6, lc_free_daddr(lb, LC_DQUOT_BLOCK), lc_block_bbs(lb),
		  XFS_BLF_UDQUOT_BUF | (uint32_t)(XFS_BLFT_UDQUOT_BUF << XFS_BLFT_SHIFT), 2, 1, 1);
	lb_op(lb, 6, 0, chunk, sizeof(chunk));
	lb_commit(lb, 6);
	lb_flush(lb);
	lc_mark(lb, 0);
	if (c->at)
		record[c->at] = (uint8_t)c->value;
	lb_put(lb, format, XFS_LI_DQUOT, 2);
	lb_put(lb, format + 2, 2, 2);
	lb_put(lb, format + 4, 5, 4);
	lb_put(lb, format + 8, lc_free_daddr(lb, LC_DQUOT_BLOCK), 8);
	lb_put(lb, format + 16, 1, 4);
	lb_start(lb, 7);
	lb_op(lb, 7, 0, format, sizeof(format));
	lb_op(lb, 7, 0, record, sizeof(struct xfs_disk_dquot));
	lb_commit(lb, 7);
	lb_flush(lb);
	if (c->flags & LC_CORRUPT)
		lc_fill(lb, LC_FAR);
}

/* User quota was switched off: dquots before it are void. */
void lc_quotaoff(struct lb *lb, const struct logcase *c)
{
	uint8_t raw[20];

	lc_dquot(lb, c);
	lb_put(lb, lc_item(lb, raw, sizeof(raw), XFS_LI_QUOTAOFF) + 4, XFS_UQUOTA_ACCT, 4);
	lc_item_trans(lb, 8, raw, c->value ? c->value : sizeof(raw));
	lb_flush(lb);
	if (c->flags & LC_CORRUPT)
		lc_fill(lb, LC_FAR);
}

/* --- intents --- */

static const struct intent {
	uint16_t intent, done;
	uint32_t header, entry, done_size; /* bytes; entry 0: it has no entries */
} intent_types[] = {
	{XFS_LI_EFI, XFS_LI_EFD, 16, 16, 32},       {XFS_LI_RUI, XFS_LI_RUD, 16, 32, 16},
	{XFS_LI_CUI, XFS_LI_CUD, 16, 16, 16},       {XFS_LI_BUI, XFS_LI_BUD, 16, 32, 16},
	{XFS_LI_XMI, XFS_LI_XMD, 88, 0, 16},        {XFS_LI_EFI_RT, XFS_LI_EFD_RT, 16, 16, 32},
	{XFS_LI_RUI_RT, XFS_LI_RUD_RT, 16, 32, 16}, {XFS_LI_CUI_RT, XFS_LI_CUD_RT, 16, 16, 16},
};
#define INTENT_TYPES (sizeof(intent_types) / sizeof(intent_types[0]))

static void intent(struct lb *lb, uint32_t tid, const struct intent *type, bool done, uint64_t id, uint32_t n, uint32_t size)
{
	uint8_t raw[128];

	lc_item(lb, raw, sizeof(raw), done ? type->done : type->intent);
	lb_put(lb, raw + 4, done && type->done_size == 16 ? 0 : n, 4);
	lb_put(lb, raw + 8, id, 8);
	if (type->entry == 16) { /* an extent that no filesystem can have, unless it is done already */
		lb_put(lb, raw + 16, UINT64_MAX / 2, 8);
		lb_put(lb, raw + 24, 1, 4);
	}
	lc_item_trans(lb, tid, raw, size);
}

/* Every intent there is, each followed by its done item; the ids come again. */
void lc_intents_done(struct lb *lb, const struct logcase *c)
{
	uint8_t raw[128];

	(void)c;
	lc_mark(lb, 0);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < INTENT_TYPES; i++) {
			const struct intent *type = &intent_types[i];

			intent(lb, 10 + i, type, false, 0xffff8881u, 1, type->header + type->entry);
			intent(lb, 20 + i, type, true, 0xffff8881u, 1, type->done_size);
		}
		lb_flush(lb);
	}
	/* A changed attribute: the intent has a region for the name, and one for the value. */
	lb_start(lb, 7);
	lc_item(lb, raw, sizeof(raw), XFS_LI_ATTRI);
	lb_put(lb, raw + 2, 3, 2);
	lb_put(lb, raw + 8, 77, 8);
	lb_put(lb, raw + 24, 1, 4);
	lb_put(lb, raw + 28, 4, 4);
	lb_put(lb, raw + 32, 8, 4);
	lb_op(lb, 7, 0, raw, 40);
	lb_op(lb, 7, 0, "name", 4);
	lb_op(lb, 7, 0, "contents", 8);
	lb_commit(lb, 7);
	lc_item(lb, raw, sizeof(raw), XFS_LI_ATTRD);
	lb_put(lb, raw + 8, 77, 8);
	lc_item_trans(lb, 8, raw, 16);
	lb_flush(lb);
	lc_mark(lb, 1);
}

/* Done items whose intents are before the tail. */
void lc_done_alone(struct lb *lb, const struct logcase *c)
{
	(void)c;
	for (uint32_t i = 0; i < INTENT_TYPES; i++)
		intent(lb, 10 + i, &intent_types[i], true, i, 1, intent_types[i].done_size);
	lb_flush(lb);
	lc_mark(lb, 0);
}

/* The 12-byte extents of 32-bit writers. */
void lc_done_32bit(struct lb *lb, const struct logcase *c)
{
	(void)c;
	intent(lb, 1, &intent_types[0], false, 5, 1, 28);
	intent(lb, 2, &intent_types[0], true, 5, 1, 28);
	lb_flush(lb);
	lc_mark(lb, 0);
}

/* An intent of type value that says at entries, and has one. */
void lc_intent_count(struct lb *lb, const struct logcase *c)
{
	const struct intent *type = &intent_types[c->value];

	lc_mark(lb, 0);
	intent(lb, 1, type, false, 5, c->at, type->header + type->entry);
	lb_flush(lb);
	lc_fill(lb, LC_FAR);
}

/* Intents that remain, for what cannot be: the log is replayed, and left to be finished. */
void lc_intent_pending(struct lb *lb, const struct logcase *c)
{
	const struct intent *type = &intent_types[c->value];

	lc_mark(lb, 0);
	intent(lb, 1, type, false, 5, 1, type->header + type->entry);
	lb_flush(lb);
}

/* --- the superblock --- */

static void sb_change(struct lb *lb, uint32_t at, uint32_t value)
{
	uint8_t raw[4096];

	assert_true(lb->sb.sectsize <= sizeof(raw));
	assert_int_equal(xr_dev_read(&lb->dev, raw, lb->sb.sectsize, 0), 0);
	xr_put_be32(raw + at, value);
	if (lb->sb.v5)
		xr_crc_update(raw, lb->sb.sectsize, offsetof(struct xfs_dsb, sb_crc));
	assert_int_equal(xr_dev_write(&lb->dev, raw, lb->sb.sectsize, 0), 0);
}

void lc_sb_on_disk(struct lb *lb, const struct logcase *c)
{
	lc_mark(lb, 0);
	sb_change(lb, c->at, c->value);
}

/* A superblock in the log, at byte at (of the first 128, or, from 128 on, of the second chunk) of which stands value. */
void lc_sb_logged(struct lb *lb, const struct logcase *c)
{
	uint8_t raw[XR_BB];

	lc_mark(lb, 0);
	assert_int_equal(xr_dev_read(&lb->dev, raw, sizeof(raw), 0), 0);
	if (c->at)
		xr_put_be32(raw + c->at, c->value);
	lb_start(lb, 7);
	lc_buffer(lb, 7, 0, lb->sb.sectsize / XR_BB, XFS_BLFT_SB_BUF << XFS_BLFT_SHIFT, 2, 3, 1);
	lb_op(lb, 7, 0, raw, 2 * LC_CHUNK);
	lb_commit(lb, 7);
	lb_flush(lb);
	if (c->flags & LC_CORRUPT)
		lc_fill(lb, LC_FAR);
}
