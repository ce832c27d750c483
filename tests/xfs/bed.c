/* SPDX-License-Identifier: GPL-2.0-only */
#include "bed.h"

#include "finish/finish.h"
#include "format.h"
#include "items.h"
#include "ring.h"
#include "summary.h"

#define DI(field) offsetof(struct xfs_dinode, di_##field)
#define PROTO "d--755 0 0\na ---644 0 0 /dev/null\nb ---644 0 0 /dev/null\n"

/* Open for another change, as if nothing had been done before. */
void bed_again(struct bed *bed)
{
	struct test_fs *fs = &bed->fs;

	xr_log_close(&bed->log);
	xr_cache_destroy(bed->cache);
	test_fs_again(fs);
	assert_int_equal(xr_cache_create(&bed->cache, &fs->dev, fs->process, true, &fs->t.msg), 0);
	assert_int_equal(xr_log_open(&bed->log, &fs->sb, &fs->dev, NULL, fs->process, &fs->t.msg), 0);
	assert_int_equal(xr_head_find(&bed->log, &bed->head), 0);
	xr_replay_destroy(&bed->replay);
	xr_replay_init(&bed->replay, &bed->log, bed->cache, &fs->t.msg);
	fs->fs.cache = bed->cache;
}

void bed_make(struct bed *bed, const char *kind)
{
	memset(bed, 0, sizeof(*bed));
	test_fs_make(&bed->fs, kind, PROTO);
	bed->a = test_fs_lookup(&bed->fs, "/a");
	bed->b = test_fs_lookup(&bed->fs, "/b");
	bed_again(bed);
}

void bed_end(struct bed *bed)
{
	xr_replay_destroy(&bed->replay);
	xr_log_close(&bed->log);
	xr_cache_destroy(bed->cache);
	test_fs_end(&bed->fs);
}

uint64_t bed_free_blocks(struct bed *bed)
{
	struct xr_summary summary;

	assert_int_equal(xr_summary_read(&summary, &bed->fs.fs), 0);
	return summary.fdblocks;
}

/* Close the log and let xfs_repair look. */
void bed_judge(struct bed *bed)
{
	struct test_fs *fs = &bed->fs;
	struct xr_summary summary;
	char command[256];

	assert_int_equal(xr_summary_read(&summary, &fs->fs), 0);
	assert_int_equal(xr_finish_superblock(&bed->replay.sb, bed->cache, &summary, &bed->head, &fs->t.msg), 0);
	assert_int_equal(xr_cache_flush(bed->cache), 0);
	assert_int_equal(xr_finish_log(&bed->log, &bed->head, bed->cache), 0);
	assert_int_equal(xr_finish_features(&bed->replay.sb, bed->cache), 0);
	bed_again(bed);
	assert_true(bed->head.clean);
	snprintf(
		command, sizeof(command),
		"PATH=$PATH:/usr/sbin:/sbin; said=$(xfs_repair -n -f %s%s /proc/%d/fd/%d 2>&1) || { echo \"$said\" >&2; false; }",
		bed->rtdev ? "-r " : "", bed->rtdev ? bed->rtdev : "", getpid(), fs->dev.fd);
	if (system(command) != 0)
		fail_msg("xfs_repair finds fault");
}

struct xr_tx *bed_begin(struct bed *bed)
{
	struct xr_tx *tx;

	bed_ok(bed, xr_tx_begin(&tx, &bed->replay.sb, bed->cache, &bed->log, &bed->head, &bed->fs.t.msg));
	return tx;
}

void bed_commit(struct bed *bed, struct xr_tx *tx)
{
	bed_ok(bed, xr_tx_commit(tx));
	xr_tx_end(tx);
}

void bed_make_orphan(struct bed *bed, struct xr_tx *tx, uint64_t ino)
{
	const struct xr_sb *sb = &bed->replay.sb;
	uint64_t agno = ino >> (sb->agblklog + sb->inopblog);
	uint32_t agino = (uint32_t)(ino - (agno << (sb->agblklog + sb->inopblog)));
	uint32_t bbs = sb->sectsize >> XR_BB_SHIFT;
	struct xr_tx_inode inode;
	struct xr_tx_buf *agi;
	size_t bucket = offsetof(struct xfs_agi, agi_unlinked) + 4 * (size_t)(agino % 64);

	bed_ok(bed, xr_tx_inode(tx, ino, &inode));
	bed_ok(bed, xr_tx_get(tx, xr_ag_daddr(sb, (uint32_t)agno) + 2 * bbs, bbs, XFS_BLFT_AGI_BUF, &agi));
	xr_put_be32(inode.raw + DI(nlink), 0);
	memcpy(inode.raw + DI(next_unlinked), agi->data + bucket, 4);
	xr_put_be32(agi->data + bucket, agino);
	xr_tx_log(tx, agi, bucket, 4);
	xr_tx_inode_log(tx, &inode);
}

uint8_t *bed_put(struct bed *bed, uint16_t type, uint64_t id, uint32_t size, uint32_t count)
{
	struct xr_entry *entry = xr_table_add(&bed->replay.intents, type, id);
	struct xr_intent *intent = calloc(1, sizeof(*intent) + sizeof(struct xr_region) + size);
	uint8_t *p;

	assert_non_null(entry);
	assert_non_null(intent);
	*intent = (struct xr_intent){.type = type, .count = 1, .id = id, .lsn = xr_lsn(1, 2)};
	p = (uint8_t *)&intent->regions[1];
	intent->regions[0] = (struct xr_region){p, size};
	xr_put16(bed->log.order, p, type);
	xr_put16(bed->log.order, p + 2, 1);
	xr_put32(bed->log.order, p + 4, count);
	xr_put64(bed->log.order, p + 8, id);
	entry->value = (uintptr_t)intent;
	return p + 16;
}

/* A RUI or BUI of one entry. */
void bed_put_map(struct bed *bed, uint16_t type, uint64_t id, uint64_t owner, const struct xr_mapping *m, uint32_t flags)
{
	uint8_t *p = bed_put(bed, type, id, 48, 1);

	xr_put64(bed->log.order, p, owner);
	xr_put64(bed->log.order, p + 8, m->block);
	xr_put64(bed->log.order, p + 16, m->offset);
	xr_put32(bed->log.order, p + 24, m->count);
	xr_put32(bed->log.order, p + 28, flags);
}

/* A CUI (or, with flags 0, an EFI) of one entry. */
void bed_put_blocks(struct bed *bed, uint16_t type, uint64_t id, uint64_t fsb, uint32_t count, uint32_t flags)
{
	uint8_t *p = bed_put(bed, type, id, 32, 1);

	xr_put64(bed->log.order, p, fsb);
	xr_put32(bed->log.order, p + 8, count);
	xr_put32(bed->log.order, p + 12, flags);
}

int bed_complete(struct bed *bed)
{
	return xr_complete(&bed->replay, &bed->log, &bed->head, &bed->stats);
}

void bed_refuse(struct bed *bed, int error, const char *word)
{
	assert_int_equal(bed_complete(bed), error);
	assert_said(&bed->fs.t, word);
	xr_replay_forget_intents(&bed->replay);
	assert_int_equal(xr_cache_flush(bed->cache), 0);
	test_msg_init(&bed->fs.t);
}
