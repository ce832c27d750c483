/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * usage: addintents IMAGE < LIST
 *
 * Make the clean log of an image end with one transaction of intents that nobody has done yet: those that a kernel can complete but cannot be brought
 * to leave, because it writes them only under conditions that tests cannot make. LIST has a line for each:
 *
 *   attri OP INODE NAMESPACE NAME SIZE SEED    OP as in the log; a value of SIZE bytes that SEED decides
 *   pptr OP INODE GENERATION NAME PARENT GENERATION    a parent pointer, OP set or remove
 *
 * The superblock is marked as one of a filesystem that logs attributes.
 */
#include <stdio.h>
#include <stdlib.h>

#include <vmap/linux.h>
#include "bytes.h"
#include "finish/append.h"
#include "format.h"

#define TID 0x7e57u
#define SECTOR_MAX 4096u

static void emit(void *arg, enum xr_level level, const char *text)
{
	(void)arg;
	if (level <= XR_WARN)
		fprintf(stderr, "addintents: %s\n", text);
}

static const struct xr_msg msg = {emit, NULL, XR_INFO};

static void need(int error, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "addintents: %s: %d\n", what, error);
	exit(1);
}

static void put_op(struct xr_append *append, uint8_t flags, const void *data, uint32_t len)
{
	need(xr_append_op(append, TID, XFS_TRANSACTION, flags, data, len), "cannot write the log");
}

static uint32_t padded(uint32_t n)
{
	return (n + 3) & ~3u;
}

/* The item's header, which every form has, and its regions. */
static void put_item(struct xr_append *append, uint8_t *item, const uint8_t *name, const uint8_t *value, uint32_t size)
{
	uint32_t len = (uint32_t)strlen((const char *)name);
	struct xr_order order = append->log->order;

	xr_put16(order, item, XFS_LI_ATTRI);
	xr_put16(order, item + 2, size ? 3 : 2);
	xr_put32(order, item + 28, len);
	xr_put32(order, item + 32, size);
	put_op(append, 0, item, 40);
	put_op(append, 0, name, padded(len));
	if (size)
		put_op(append, 0, value, padded(size));
}

static void put_line(struct xr_append *append, uint64_t id, const char *line)
{
	static uint8_t name[256], value[XFS_XATTR_SIZE_MAX];
	struct xr_order order = append->log->order;
	unsigned op, space = XR_ATTR_PARENT, size = XR_PARENT_REC, seed, gen = 0, parent_gen;
	unsigned long long ino, parent;
	uint8_t item[40] = {0};

	memset(name, 0, sizeof(name));
	if (sscanf(line, "attri %u %llu %u %255s %u %u", &op, &ino, &space, (char *)name, &size, &seed) == 6 &&
	    size <= sizeof(value)) {
		for (uint32_t i = 0; i < size; i++)
			value[i] = (uint8_t)('a' + (i / 64 + i + seed) % 26);
	} else if (sscanf(line, "pptr %u %llu %u %255s %llu %u", &op, &ino, &gen, (char *)name, &parent, &parent_gen) == 6) {
		xr_put_be64(value, parent);
		xr_put_be32(value + 8, parent_gen);
	} else {
		need(-1, line);
	}
	xr_put32(order, item + 4, gen);
	xr_put64(order, item + 8, id);
	xr_put64(order, item + 16, ino);
	xr_put32(order, item + 24, op);
	xr_put32(order, item + 36, space);
	put_item(append, item, name, value, size);
}

static void write_log(const struct xr_log *log, struct xr_head *head, struct xr_cache *cache)
{
	uint8_t header[sizeof(struct xfs_trans_header)];
	struct xr_append append;
	uint64_t id = 0xffff888000000000;
	char line[512];

	need(xr_append_begin(&append, log, head, cache, xr_lsn(head->cycle, head->head)), "cannot begin");
	put_op(&append, XLOG_START_TRANS, NULL, 0);
	xr_put32(log->order, header, XFS_TRANS_HEADER_MAGIC);
	xr_put32(log->order, header + 4, XFS_TRANS_CHECKPOINT);
	xr_put32(log->order, header + 8, TID);
	xr_put32(log->order, header + 12, 1);
	put_op(&append, 0, header, sizeof(header));
	while (fgets(line, sizeof(line), stdin))
		put_line(&append, id += 64, line);
	put_op(&append, XLOG_COMMIT_TRANS, NULL, 0);
	need(xr_append_end(&append), "cannot write the log");
}

static void mark_superblock(const struct xr_dev *dev, const struct xr_sb *sb)
{
	uint8_t raw[SECTOR_MAX];

	need(sb->sectsize > sizeof(raw), "the sectors are too large");
	need(xr_dev_read(dev, raw, sb->sectsize, 0), "cannot read the superblock");
	xr_put_be32(raw + offsetof(struct xfs_dsb, sb_features_log_incompat), XFS_SB_FEAT_INCOMPAT_LOG_XATTRS);
	xr_crc_update(raw, sb->sectsize, offsetof(struct xfs_dsb, sb_crc));
	need(xr_dev_write(dev, raw, sb->sectsize, 0), "cannot write the superblock");
}

int main(int argc, char **argv)
{
	struct vmap_process *process;
	struct xr_cache *cache;
	struct xr_head head;
	struct xr_dev dev;
	struct xr_log log;
	struct xr_sb sb;

	need(argc != 2, "one image, please");
	need(xr_dev_open(&dev, argv[1], true, &msg), argv[1]);
	need(xr_sb_read(&sb, &dev, &msg), argv[1]);
	need(vmap_process_create(NULL, &process), "no pool");
	need(xr_log_open(&log, &sb, &dev, NULL, process, &msg), "cannot open the log");
	need(xr_cache_create(&cache, &dev, process, true, &msg), "no cache");
	need(xr_head_find(&log, &head), "cannot find the head");
	need(!head.clean, "the log is not clean");
	write_log(&log, &head, cache);
	mark_superblock(&dev, &sb);
	need(xr_dev_flush(&dev), "cannot flush");
	xr_cache_destroy(cache);
	xr_log_close(&log);
	vmap_process_destroy(process);
	xr_dev_close(&dev);
	return 0;
}
