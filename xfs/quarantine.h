/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_QUARANTINE_H
#define XR_QUARANTINE_H

#include "items.h"

/*
 * Log items outside of their log
 *
 * An item that replay is to leave out goes into a file of its own, with all that it takes to replay it later: which filesystem it is for, the LSN
 * of its transaction, the byte order of its writer, its regions.
 */

/*
 * Pass 1 met an item that is to be left out: put it into skip->file, if any, which must not exist, on stable storage when this returns 0; and note in
 * skip what it would have changed. Once: when skip->met it does nothing. -EEXIST, -EIO and others, said.
 */
int xr_quarantine(struct xr_replay *replay, struct xr_skip *skip, const struct xr_trans *trans, const struct xr_item *item);

/* Nothing was replayed: remove the file, if the item is in it, so that the next run can make it. */
void xr_quarantine_undo(struct xr_skip *skip);

/* An item from its file. */
struct xr_quarantined {
	uint8_t uuid[16];
	struct xr_order order;
	struct xr_trans trans; /* of the item alone */
	struct xr_item item;
	void *memory;
};

/*
 * Read it, checked: it is whole, and its checksum is right. The item itself is not. -EUCLEAN: none such, or damaged; -EIO, -ENOMEM and others;
 * said. xr_quarantined_free() is due after 0.
 */
int xr_quarantine_read(struct xr_quarantined *q, const char *name, const struct xr_msg *msg);
void xr_quarantined_free(struct xr_quarantined *q);

#endif
