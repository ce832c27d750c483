/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the log lies
 *
 * An internal log is a run of blocks of the data device, an external one begins at the first block of its own device; the
 * superblock says which. Behind xr_log_open() nobody needs to know.
 */
#include "log.h"

#include <errno.h>
#include "format.h"
#include "ring.h"

static int check_place(const struct xr_log *log)
{
	uint64_t bbs = log->dev->size >> XR_BB_SHIFT;
	uint8_t magic[4];

	if (!log->sb->logstart && bbs && !xr_dev_read(log->dev, magic, sizeof(magic), 0) && xr_be32(magic) == XFS_SB_MAGIC)
		return xr_fail(log->msg, -EUCLEAN, "%s: holds a filesystem, no log: name the right log device", log->dev->name);

	if (log->daddr <= bbs && log->bbs <= bbs - log->daddr)
		return 0;
	return xr_fail(log->msg, -EUCLEAN, "%s: the log lies at blocks %llu to %llu, the device ends at %llu: is it cut short?",
		       log->dev->name, (unsigned long long)log->daddr, (unsigned long long)log->daddr + log->bbs - 1,
		       (unsigned long long)bbs);
}

int xr_log_open(struct xr_log *log, const struct xr_sb *sb, const struct xr_dev *data, const struct xr_dev *logdev,
		struct vmap_process *process, const struct xr_msg *msg)
{
	int error;

	*log = (struct xr_log){
		.sb = sb,
		.dev = sb->logstart ? data : logdev,
		.daddr = sb->log_daddr,
		.bbs = (uint32_t)sb->log_bbs,
		.sector_bbs = sb->logsectsize / XR_BB,
		.msg = msg,
	};
	if (sb->logstart && logdev)
		return xr_fail(msg, -EINVAL, "this filesystem's log is inside it: give no log device");
	if (!log->dev)
		return xr_fail(msg, -EINVAL, "this filesystem's log is on another device: name it with -l");
	error = check_place(log);
	if (error)
		return error;
	error = xr_ring_create(&log->ring, log, process);
	return error ? xr_fail(msg, error, "no memory for the window on the log (%u bytes)", XR_RING_BYTES) : 0;
}

void xr_log_close(struct xr_log *log)
{
	xr_ring_destroy(log->ring);
	log->ring = NULL;
}
