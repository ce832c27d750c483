/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Log items outside of their log
 *
 * Layout, big-endian: a header of HEADER bytes (magic, version, CRC, size of the file, UUID, LSNs of the transaction and of the record in which
 * the item begins, transaction id, number in it, type, count of regions, byte order), the sizes of the regions, the regions one behind the other. The CRC
 * covers the whole file, itself taken as 0. The size bounds what is read: no item has more than 257 regions of 64 KiB.
 */
#include "quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "lost.h"

#define MAGIC "xfs_replay item"
#define VERSION 1u
#define HEADER 80u
#define SIZE_MAX_ITEM ((64u << 20) + HEADER)

enum at {
	AT_VERSION = 16,
	AT_CRC = 20,
	AT_SIZE = 24,
	AT_UUID = 32,
	AT_TRANS_LSN = 48,
	AT_ITEM_LSN = 56,
	AT_TID = 64,
	AT_NUMBER = 68,
	AT_TYPE = 72,
	AT_COUNT = 74,
	AT_ORDER = 76, /* 1: big-endian */
};

static int cannot(const struct xr_msg *msg, const char *what, const char *name)
{
	int error = errno;

	return xr_fail(msg, error == EEXIST ? -EEXIST : -EIO, "cannot %s %s: %s", what, name, strerror(error));
}

/* --- writing --- */

static uint8_t *pack(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item, size_t *size)
{
	uint8_t *data, *to;

	*size = HEADER + 4u * item->count;
	for (uint16_t i = 0; i < item->count; i++)
		*size += item->regions[i].size;
	data = calloc(1, *size);
	if (!data)
		return NULL;
	memcpy(data, MAGIC, sizeof(MAGIC));
	xr_put_be32(data + AT_VERSION, VERSION);
	xr_put_be64(data + AT_SIZE, *size);
	memcpy(data + AT_UUID, replay->sb.uuid, 16);
	xr_put_be64(data + AT_TRANS_LSN, trans->lsn);
	xr_put_be64(data + AT_ITEM_LSN, item->lsn);
	xr_put_be32(data + AT_TID, trans->tid);
	xr_put_be32(data + AT_NUMBER, item->number);
	xr_put_be16(data + AT_TYPE, item->type);
	xr_put_be16(data + AT_COUNT, item->count);
	xr_put_be32(data + AT_ORDER, replay->log->order.big);
	to = data + HEADER + 4u * item->count;
	for (uint16_t i = 0; i < item->count; i++) {
		xr_put_be32(data + HEADER + 4u * i, item->regions[i].size);
		memcpy(to, item->regions[i].data, item->regions[i].size);
		to += item->regions[i].size;
	}
	xr_crc_update(data, *size, AT_CRC);
	return data;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		size -= (size_t)n;
	}
	return fsync(fd);
}

static int write_file(const char *name, const uint8_t *data, size_t size, const struct xr_msg *msg)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), ret = 0;

	if (fd < 0)
		return cannot(msg, "create", name);
	if (write_all(fd, data, size) || xr_dev_sync_name(name))
		ret = cannot(msg, "write", name);
	if (close(fd) && !ret)
		ret = cannot(msg, "write", name);
	if (ret)
		unlink(name);
	return ret;
}

int xr_quarantine(struct xr_replay *replay, struct xr_skip *skip, const struct xr_trans *trans, const struct xr_item *item)
{
	uint8_t *data;
	size_t size;
	int ret = 0;

	if (skip->met)
		return 0;
	skip->met = true;
	xr_item_target(replay, item, &skip->target);
	xr_lost_inode(replay->log->order, item->regions[0].data, item->regions[0].size, &skip->ino);
	if (skip->file) {
		data = pack(replay, trans, item, &size);
		ret = data ? write_file(skip->file, data, size, replay->msg)
			   : xr_fail(replay->msg, -ENOMEM, "no memory for a log item");
		free(data);
		skip->kept = !ret;
	}
	if (!ret)
		xr_say(replay->msg, XR_WARN, "log record at LSN %u:%u, transaction %#x: %s item %u is left out%s%s",
		       xr_lsn_cycle(item->lsn), xr_lsn_block(item->lsn), trans->tid, xr_item_type_name(item->type), item->number,
		       skip->file ? ", and kept in " : "", skip->file ? skip->file : "");
	return ret;
}

void xr_quarantine_undo(struct xr_skip *skip)
{
	if (skip->kept)
		unlink(skip->file);
	skip->kept = false;
}

/* --- reading --- */

/* Everything of the file; *size is how much. */
static int read_file(const char *name, uint8_t **data, size_t *size, const struct xr_msg *msg)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC), ret = 0;
	struct stat st;
	ssize_t n;

	*data = NULL;
	*size = 0;
	if (fd < 0 || fstat(fd, &st)) {
		ret = cannot(msg, "open", name);
		if (fd >= 0)
			close(fd);
		return ret;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)HEADER || st.st_size > (off_t)SIZE_MAX_ITEM)
		ret = xr_fail(msg, -EUCLEAN, "%s: holds no log item", name);
	else if (!(*data = malloc((size_t)st.st_size)))
		ret = xr_fail(msg, -ENOMEM, "no memory for a log item");
	while (!ret && *size < (size_t)st.st_size) {
		n = read(fd, *data + *size, (size_t)st.st_size - *size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			ret = n ? cannot(msg, "read", name) : xr_fail(msg, -EUCLEAN, "%s: was cut while it was read", name);
		else
			*size += (size_t)n;
	}
	close(fd);
	return ret;
}

/* Whether size bytes are a whole file of an item. */
static bool whole(const uint8_t *data, size_t size)
{
	uint32_t count = xr_be16(data + AT_COUNT);
	uint64_t end = HEADER + 4u * count;

	if (memcmp(data, MAGIC, sizeof(MAGIC)) != 0 || xr_be32(data + AT_VERSION) != VERSION || xr_be64(data + AT_SIZE) != size ||
	    !xr_crc_ok(data, size, AT_CRC) || !count || end > size || xr_be32(data + AT_ORDER) > 1)
		return false;
	for (uint32_t i = 0; i < count; i++)
		end += xr_be32(data + HEADER + 4 * i);
	/* The first region begins with the type and the count, which replay relies on. */
	return end == size && xr_be32(data + HEADER) >= 4;
}

/* A copy of the regions, each aligned as those of a log are. */
static bool unpack(struct xr_quarantined *q, const uint8_t *data, size_t size)
{
	uint16_t count = xr_be16(data + AT_COUNT);
	const uint8_t *from = data + HEADER + 4u * count;
	struct xr_region *regions = malloc(count * sizeof(*regions) + size + 8u * count);
	uint8_t *to = (uint8_t *)(regions + count);

	if (!regions)
		return false;
	for (uint16_t i = 0; i < count; i++) {
		uint32_t bytes = xr_be32(data + HEADER + 4u * i);

		regions[i] = (struct xr_region){to, bytes};
		memcpy(to, from, bytes);
		from += bytes;
		to += (bytes + 7) & ~(size_t)7;
	}
	*q = (struct xr_quarantined){.order = {xr_be32(data + AT_ORDER)}, .memory = regions};
	memcpy(q->uuid, data + AT_UUID, sizeof(q->uuid));
	q->item = (struct xr_item){.type = xr_be16(data + AT_TYPE),
				   .count = count,
				   .have = count,
				   .regions = regions,
				   .lsn = xr_be64(data + AT_ITEM_LSN),
				   .number = xr_be32(data + AT_NUMBER)};
	q->trans = (struct xr_trans){.tid = xr_be32(data + AT_TID), .lsn = xr_be64(data + AT_TRANS_LSN), .nitems = 1};
	return true;
}

int xr_quarantine_read(struct xr_quarantined *q, const char *name, const struct xr_msg *msg)
{
	uint8_t *data;
	size_t size;
	int ret = read_file(name, &data, &size, msg);

	if (!ret && !whole(data, size))
		ret = xr_fail(msg, -EUCLEAN, "%s: holds no log item, or is damaged", name);
	if (!ret && !unpack(q, data, size))
		ret = xr_fail(msg, -ENOMEM, "no memory for a log item");
	free(data);
	if (!ret)
		q->trans.items = &q->item;
	return ret;
}

void xr_quarantined_free(struct xr_quarantined *q)
{
	free(q->memory);
}
