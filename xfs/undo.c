/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The undo file
 *
 * The file is a header and records, each one block of 512 bytes of description and, in a record, the old content behind it, filled up to a
 * multiple of 512. Numbers are big-endian.
 *
 *   header  0 magic "XRUNDO1\n" | 8 id (16 random bytes) | 24 fs UUID | 40 CRC32C | 44 pad | 48 for data and for log device:
 *           {u64 used, u64 start, u64 size}
 *   record  0 magic "XRUNDO1R" | 8 id | 24 u32 role | 28 u32 length | 32 u64 offset | 40 CRC32C of block and content | 44 pad | 48 u64
 *           number, from 0 on | 56 u64 how many records were on stable storage before
 *
 * A record of length 0 ends the file of a run that was not interrupted. The CRCs are stored as those of XFS are.
 *
 * Content is kept in units of 4 KiB, each once, before it changes for the first time; so records need no order. A record is appended, and
 * the file flushed, before the unit is overwritten. A crash can therefore tear, in any order, only
 * records behind the last flush, whose units are as they were: reading ends at the first that is not whole. To tell that from damage,
 * what follows is searched for a record of the same file (the id makes sure of that) that says that the torn one had been flushed.
 *
 * Once the file cannot be written or flushed nothing is appended any more, by no thread: what came behind a gap would not be found.
 *
 * Cost: one read and one append for each run of units; a flush only where something was kept since the last. Who writes much keeps
 * everything first (xr_cache_flush()), so that this is one flush.
 */
#include "undo.h"
#include "bytes.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512u
#define UNIT 4096u
#define CONTENT_MAX (1u << 20)
#define MAGIC "XRUNDO1\n"
#define RECORD_MAGIC "XRUNDO1R"
#define ID_AT 8u
#define ID_SIZE 16u
#define UUID_AT 24u
#define CRC_AT 40u
#define DEVS_AT 48u
#define DEV_SIZE 24u
#define ROLE_AT 24u
#define LENGTH_AT 28u
#define OFFSET_AT 32u
#define NUMBER_AT 48u
#define FLUSHED_AT 56u

struct xr_undo {
	pthread_mutex_t lock; /* of everything: slices are written by two threads */
	struct xr_dev file; /* grows: size is where the next record goes */
	struct xr_dev *devs[XR_ROLES];
	struct xr_table kept; /* (role, unit) */
	uint8_t id[ID_SIZE];
	uint64_t records, flushed, bytes; /* flushed: of the records */
	bool unsynced;
	int failed; /* the file could not be written or flushed, which was said: nothing is overwritten any more */
	const struct xr_msg *msg;
	uint8_t record[BLOCK + CONTENT_MAX];
};

/* --- keeping --- */

static size_t padded(size_t length)
{
	return BLOCK + (length + BLOCK - 1) / BLOCK * BLOCK;
}

static int append(struct xr_undo *undo, const void *p, size_t size)
{
	uint64_t at = undo->file.size;
	int error;

	undo->file.size += size;
	error = undo->failed ? undo->failed : xr_dev_write(&undo->file, p, size, at);
	undo->failed = error;
	if (!error)
		undo->unsynced = true;
	return error;
}

static int write_header(struct xr_undo *undo, const uint8_t uuid[16])
{
	uint8_t header[BLOCK] = MAGIC;

	memcpy(header + ID_AT, undo->id, ID_SIZE);
	memcpy(header + UUID_AT, uuid, 16);
	for (unsigned role = 0; role < XR_ROLES; role++) {
		uint8_t *p = header + DEVS_AT + (size_t)role * DEV_SIZE;
		const struct xr_dev *dev = undo->devs[role];

		if (!dev)
			continue;
		xr_put_be64(p, 1);
		xr_put_be64(p + 8, dev->start);
		xr_put_be64(p + 16, dev->size);
	}
	xr_crc_update(header, sizeof(header), CRC_AT);
	return append(undo, header, sizeof(header));
}

int xr_undo_create(struct xr_undo **out, const char *name, const uint8_t uuid[16], struct xr_dev *const devs[XR_ROLES],
		   const struct xr_msg *msg)
{
	struct xr_undo *undo = calloc(1, sizeof(*undo));
	int error;

	if (!undo)
		return xr_fail(msg, -ENOMEM, "%s: no memory", name);
	pthread_mutex_init(&undo->lock, NULL);
	undo->msg = msg;
	undo->file = (struct xr_dev){.fd = -1, .name = name, .writable = true, .msg = msg};
	undo->file.fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (undo->file.fd < 0 && errno == EEXIST)
		error = xr_fail(msg, -EEXIST, "%s: exists already: an undo file is never overwritten, choose another name", name);
	else if (undo->file.fd < 0)
		error = xr_fail(msg, -errno, "%s: the undo file cannot be made: %s", name, strerror(errno));
	else
		error = getrandom(undo->id, ID_SIZE, 0) == ID_SIZE ? 0 : xr_fail(msg, -EIO, "%s: no random numbers", name);
	memcpy(undo->devs, devs, sizeof(undo->devs));
	if (!error)
		error = write_header(undo, uuid);
	if (!error)
		error = xr_undo_sync(undo);
	if (!error)
		error = xr_dev_sync_name(name);
	if (error) {
		memset(undo->devs, 0, sizeof(undo->devs));
		xr_undo_close(undo);
		return error;
	}
	for (unsigned role = 0; role < XR_ROLES; role++)
		if (devs[role])
			devs[role]->undo = undo;
	*out = undo;
	return 0;
}

static enum xr_role role_of(const struct xr_undo *undo, const struct xr_dev *dev)
{
	/* By the open file: readers may work with a copy of the structure. */
	return undo->devs[XR_ROLE_LOG] && undo->devs[XR_ROLE_LOG]->fd == dev->fd ? XR_ROLE_LOG : XR_ROLE_DATA;
}

/* Append the record that is in undo->record but for its description. */
static int append_record(struct xr_undo *undo, enum xr_role role, uint64_t offset, size_t length)
{
	uint8_t *p = undo->record;

	memset(p, 0, BLOCK);
	memset(p + BLOCK + length, 0, padded(length) - BLOCK - length);
	memcpy(p, RECORD_MAGIC, 8);
	memcpy(p + ID_AT, undo->id, ID_SIZE);
	xr_put_be32(p + ROLE_AT, role);
	xr_put_be32(p + LENGTH_AT, (uint32_t)length);
	xr_put_be64(p + OFFSET_AT, offset);
	xr_put_be64(p + NUMBER_AT, undo->records);
	xr_put_be64(p + FLUSHED_AT, undo->flushed);
	xr_crc_update(p, padded(length), CRC_AT);
	return append(undo, p, padded(length));
}

/* Append the content of n units from unit on, the last of which the device's end may cut. */
static int keep_units(struct xr_undo *undo, const struct xr_dev *dev, uint64_t unit, size_t n)
{
	enum xr_role role = role_of(undo, dev);
	uint64_t offset = unit * UNIT;
	size_t length = n * UNIT < dev->size - offset ? n * UNIT : (size_t)(dev->size - offset);
	int error = xr_dev_read(dev, undo->record + BLOCK, length, offset);

	if (!error)
		error = append_record(undo, role, offset, length);
	if (error)
		return error;
	undo->records++;
	undo->bytes += length;
	for (size_t i = 0; i < n && !error; i++)
		if (!xr_table_add(&undo->kept, role, unit + i))
			error = xr_fail(undo->msg, -ENOMEM, "%s: no memory", undo->file.name);
	return error;
}

int xr_undo_keep(struct xr_undo *undo, const struct xr_dev *dev, uint64_t offset, size_t size)
{
	enum xr_role role = role_of(undo, dev);
	uint64_t unit = offset / UNIT, end = (offset + size + UNIT - 1) / UNIT;
	int error;

	pthread_mutex_lock(&undo->lock);
	error = undo->failed;
	while (unit < end && !error) {
		size_t n = 0;

		while (unit + n < end && n < CONTENT_MAX / UNIT && !xr_table_find(&undo->kept, role, unit + n))
			n++;
		error = n ? keep_units(undo, dev, unit, n) : 0;
		unit += n ? n : 1;
	}
	pthread_mutex_unlock(&undo->lock);
	return error;
}

int xr_undo_sync(struct xr_undo *undo)
{
	int error;

	pthread_mutex_lock(&undo->lock);
	/* A flush that failed says so once: the next one may succeed without what the first did not bring to the disk. */
	error = undo->failed ? undo->failed : undo->unsynced ? xr_dev_flush(&undo->file) : 0;
	undo->failed = error;
	if (!error) {
		undo->unsynced = false;
		undo->flushed = undo->records;
	}
	pthread_mutex_unlock(&undo->lock);
	return error;
}

int xr_undo_end(struct xr_undo *undo)
{
	int error = xr_undo_sync(undo);

	if (!error)
		error = append_record(undo, XR_ROLE_DATA, 0, 0);
	return error ? error : xr_undo_sync(undo);
}

uint64_t xr_undo_bytes(const struct xr_undo *undo)
{
	return undo->bytes;
}

void xr_undo_close(struct xr_undo *undo)
{
	if (!undo)
		return;
	for (unsigned role = 0; role < XR_ROLES; role++)
		if (undo->devs[role])
			undo->devs[role]->undo = NULL;
	xr_dev_close(&undo->file);
	xr_table_clear(&undo->kept);
	pthread_mutex_destroy(&undo->lock);
	free(undo);
}

/* --- applying --- */

struct record {
	uint32_t role, length; /* length 0: the end */
	uint64_t offset;
};

struct apply {
	struct xr_dev file;
	struct xr_undo_info info;
	uint8_t id[ID_SIZE];
	uint64_t records;
	const struct xr_msg *msg;
	uint8_t record[BLOCK + CONTENT_MAX];
};

static int read_header(struct apply *a, const char *name)
{
	uint8_t *p = a->record;
	int error = xr_dev_open(&a->file, name, false, a->msg);

	if (error)
		return error;
	if (a->file.size < BLOCK || xr_dev_read(&a->file, p, BLOCK, 0) || memcmp(p, MAGIC, 8) != 0 ||
	    !xr_crc_ok(p, BLOCK, CRC_AT))
		return xr_fail(a->msg, -EUCLEAN, "%s: is no undo file of xfs_replay, or its beginning is damaged", name);
	memcpy(a->id, p + ID_AT, ID_SIZE);
	memcpy(a->info.uuid, p + UUID_AT, 16);
	for (unsigned role = 0; role < XR_ROLES; role++) {
		const uint8_t *d = p + DEVS_AT + (size_t)role * DEV_SIZE;

		a->info.dev[role].used = xr_be64(d);
		a->info.dev[role].start = xr_be64(d + 8);
		a->info.dev[role].size = xr_be64(d + 16);
	}
	return 0;
}

static bool is_record(const struct apply *a, const uint8_t *p)
{
	return !memcmp(p, RECORD_MAGIC, 8) && !memcmp(p + ID_AT, a->id, ID_SIZE);
}

/* Read the record at *at and move behind it. 1: it is there; 0: no whole record is. */
static int next_record(struct apply *a, uint64_t *at, struct record *r)
{
	uint8_t *p = a->record;
	uint64_t left = a->file.size - *at;
	int error;

	if (left < BLOCK)
		return 0;
	error = xr_dev_read(&a->file, p, BLOCK, *at);
	if (error)
		return error;
	r->role = xr_be32(p + ROLE_AT);
	r->length = xr_be32(p + LENGTH_AT);
	r->offset = xr_be64(p + OFFSET_AT);
	if (!is_record(a, p) || r->role >= XR_ROLES || !a->info.dev[r->role].used || r->length > CONTENT_MAX ||
	    padded(r->length) > left)
		return 0;
	if (r->offset > a->info.dev[r->role].size || r->length > a->info.dev[r->role].size - r->offset)
		return 0;
	error = xr_dev_read(&a->file, p + BLOCK, padded(r->length) - BLOCK, *at + BLOCK);
	if (error)
		return error;
	if (!xr_crc_ok(p, padded(r->length), CRC_AT))
		return 0;
	*at += padded(r->length);
	return 1;
}

/* Behind the last whole record nothing may follow that says that there were more. */
static int check_end(struct apply *a, uint64_t at, uint64_t records)
{
	uint8_t *p = a->record;
	int error = 0;

	for (; at < a->file.size && !error;) {
		size_t size = a->file.size - at < CONTENT_MAX ? (size_t)(a->file.size - at) : CONTENT_MAX;

		error = xr_dev_read(&a->file, p, size, at);
		for (size_t i = 0; i + BLOCK <= size && !error; i += BLOCK)
			if (is_record(a, p + i) && xr_be64(p + i + FLUSHED_AT) > records)
				error = xr_fail(a->msg, -EUCLEAN, "%s: record %" PRIu64 " is damaged: nothing was undone",
						a->file.name, records);
		at += size;
	}
	return error;
}

/* Go through all records, writing them back or only looking at them; *ended: the last is there. */
static int walk(struct apply *a, struct xr_dev *const devs[XR_ROLES], bool write, uint64_t *bytes, bool *ended)
{
	uint64_t at = BLOCK, records = 0;
	struct record r = {0};
	int ret = 0;

	*bytes = 0;
	*ended = false;
	while (!*ended && (ret = next_record(a, &at, &r)) > 0) {
		if (xr_be64(a->record + NUMBER_AT) != records)
			return xr_fail(a->msg, -EUCLEAN, "%s: record %" PRIu64 " is missing: nothing was undone", a->file.name,
				       records);
		*ended = !r.length;
		ret = write && r.length ? xr_dev_write(devs[r.role], a->record + BLOCK, r.length, r.offset) : 0;
		if (ret)
			return ret;
		*bytes += r.length;
		records++;
	}
	if (ret < 0 || write || *ended)
		return ret < 0 ? ret : 0;
	return check_end(a, at, records);
}

/* Whether the devices are those of the filesystem: their sizes, and what they say about themselves. Neither changes by recovery. */
static int check_devs(const struct apply *a, struct xr_dev *const devs[XR_ROLES])
{
	uint8_t block[BLOCK];
	int error;

	for (unsigned role = 0; role < XR_ROLES; role++) {
		if (a->info.dev[role].used != (devs[role] != NULL))
			return xr_fail(a->msg, -EINVAL, "%s: %s", a->file.name,
				       devs[role] ? "the log was not on a device of its own: give no log device"
						  : "it undoes changes of a log device too: name that with -l");
		if (devs[role] && devs[role]->size != a->info.dev[role].size)
			return xr_fail(a->msg, -EINVAL,
				       "%s: has %" PRIu64 " bytes, %s was made for %" PRIu64 ": it is another image",
				       devs[role]->name, devs[role]->size, a->file.name, a->info.dev[role].size);
	}
	error = xr_dev_read(devs[XR_ROLE_DATA], block, sizeof(block), 0);
	if (!error && memcmp(block + 32, a->info.uuid, 16) != 0)
		error = xr_fail(a->msg, -EINVAL, "%s: holds another filesystem than %s was made for (its UUID differs)",
				devs[XR_ROLE_DATA]->name, a->file.name);
	return error;
}

int xr_undo_info(const char *name, struct xr_undo_info *info, const struct xr_msg *msg)
{
	struct apply *a = calloc(1, sizeof(*a));
	int error;

	if (!a)
		return xr_fail(msg, -ENOMEM, "%s: no memory", name);
	a->msg = msg;
	error = read_header(a, name);
	*info = a->info;
	xr_dev_close(&a->file);
	free(a);
	return error;
}

int xr_undo_apply(const char *name, struct xr_dev *const devs[XR_ROLES], uint64_t *bytes, bool *ended, const struct xr_msg *msg)
{
	struct apply *a = calloc(1, sizeof(*a));
	int error;

	if (!a)
		return xr_fail(msg, -ENOMEM, "%s: no memory", name);
	a->msg = msg;
	error = read_header(a, name);
	if (!error)
		error = check_devs(a, devs);
	if (!error)
		error = walk(a, devs, false, bytes, ended);
	if (!error && !*ended)
		xr_say(msg, XR_WARN,
		       "%s: the run that made it was interrupted, or the file was cut: all that it keeps is put back; what was "
		       "cut off "
		       "stays changed",
		       name);
	if (!error)
		error = walk(a, devs, true, bytes, ended);
	for (unsigned role = 0; role < XR_ROLES && !error; role++)
		error = devs[role] ? xr_dev_flush(devs[role]) : 0;
	xr_dev_close(&a->file);
	free(a);
	return error;
}
