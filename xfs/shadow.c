/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadows
 *
 * The temporary file is a row of slots of 32 blocks, one for each stretch of the device in which anything was written, in the order of first writes. A
 * table says by the number of a stretch which slot is its, and which of its blocks were written: both fit into the value of an entry. So the
 * file is no longer than what is written, however large the device, and costs about 5 bytes of memory for each KiB.
 *
 * Locks. One mutex guards the table and the making of the file, but no transfer: nobody reads what another one is writing.
 */
#include "shadow.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"

#define SLOT_BBS 32u /* bits of a map */
#define ELSEWHERE UINT64_MAX

struct xr_shadow {
	struct xr_dev *dev;
	int fd; /* -1: nothing was written */
	uint64_t nslots;
	struct xr_table slots; /* (number of the stretch, 0); value: slot << 32 | blocks written */
	pthread_mutex_t lock;
};

int xr_shadow_create(struct xr_shadow **out, struct xr_dev *dev)
{
	struct xr_shadow *shadow = calloc(1, sizeof(*shadow));

	*out = shadow;
	if (!shadow)
		return xr_fail(dev->msg, -ENOMEM, "%s: no memory", dev->name);
	*shadow = (struct xr_shadow){.dev = dev, .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	dev->shadow = shadow;
	return 0;
}

void xr_shadow_close(struct xr_shadow *shadow)
{
	if (!shadow)
		return;
	shadow->dev->shadow = NULL;
	if (shadow->fd >= 0)
		close(shadow->fd);
	xr_table_clear(&shadow->slots);
	pthread_mutex_destroy(&shadow->lock);
	free(shadow);
}

/* A new file in the folder, with no name any more; -1. */
static int make_in(const char *folder)
{
	static const char name[] = "/xfs_replay-XXXXXX";
	size_t size = strlen(folder) + sizeof(name);
	char *path = malloc(size);
	int fd = -1;

	if (path) {
		memcpy(path, folder, strlen(folder));
		memcpy(path + strlen(folder), name, sizeof(name));
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	free(path);
	return fd;
}

static int make_file(struct xr_shadow *shadow)
{
	const char *folder = getenv("TMPDIR");

	if (shadow->fd >= 0)
		return 0;
	shadow->fd = make_in(folder ? folder : "/var/tmp");
	if (shadow->fd < 0 && !folder)
		shadow->fd = make_in("/tmp");
	if (shadow->fd >= 0)
		return 0;
	return xr_fail(
		shadow->dev->msg, -EIO,
		"%s: its log changes more than is kept in memory, and no temporary file can be made in %s: %s: name a folder "
		"with TMPDIR",
		shadow->dev->name, folder ? folder : "/var/tmp or /tmp", strerror(errno));
}

/* The byte of the file where this one of the device is, if its block was written. */
static uint64_t find(const struct xr_shadow *shadow, uint64_t offset)
{
	uint64_t block = offset >> XR_BB_SHIFT;
	const struct xr_entry *entry = xr_table_find(&shadow->slots, block / SLOT_BBS, 0);

	if (!entry || !(entry->value >> block % SLOT_BBS & 1))
		return ELSEWHERE;
	return ((entry->value >> 32) * SLOT_BBS << XR_BB_SHIFT) + offset % (SLOT_BBS * XR_BB);
}

/* From now on the block is in the file. */
static int take(struct xr_shadow *shadow, uint64_t offset)
{
	uint64_t block = offset >> XR_BB_SHIFT;
	struct xr_entry *entry = xr_table_add(&shadow->slots, block / SLOT_BBS, 0);

	if (!entry)
		return xr_fail(shadow->dev->msg, -ENOMEM, "%s: no memory for the list of changed blocks", shadow->dev->name);
	if (!entry->value)
		entry->value = shadow->nslots++ << 32;
	entry->value |= UINT64_C(1) << block % SLOT_BBS;
	return 0;
}

static int take_all(struct xr_shadow *shadow, uint64_t offset, size_t size)
{
	uint64_t end = offset + size;
	int ret = make_file(shadow);

	if (!ret && (offset % XR_BB || (end % XR_BB && end != shadow->dev->size)))
		ret = xr_fail(shadow->dev->msg, -EINVAL, "%s: %zu bytes at byte %llu are no whole blocks", shadow->dev->name,
			      size, (unsigned long long)offset);
	for (; !ret && offset < end; offset += XR_BB)
		ret = take(shadow, offset);
	return ret;
}

int xr_shadow_place(struct xr_shadow *shadow, uint64_t offset, size_t size, bool write, struct xr_place *place)
{
	uint64_t at;
	int ret = 0;

	pthread_mutex_lock(&shadow->lock);
	if (write)
		ret = take_all(shadow, offset, size);
	at = find(shadow, offset);
	place->fd = at == ELSEWHERE ? shadow->dev->fd : shadow->fd;
	place->at = at == ELSEWHERE ? shadow->dev->start + offset : at;
	place->size = XR_BB - offset % XR_BB;
	if (!shadow->nslots)
		place->size = size;
	while (!ret && place->size < size && find(shadow, offset + place->size) == (at == ELSEWHERE ? at : at + place->size))
		place->size += XR_BB;
	if (place->size > size)
		place->size = size;
	pthread_mutex_unlock(&shadow->lock);
	return ret;
}
