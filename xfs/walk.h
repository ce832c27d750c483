/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_WALK_H
#define XR_WALK_H

#include "record.h"

/*
 * Walk the records from tail (inclusive) to head (exclusive), as section 6 says: each, as xr_record_next() gives it, is handed to fn with its
 * data (rec->len bytes, good until fn returns). fn's non-zero return ends the walk and is returned. Errors as xr_record_next(), and -ENOMEM, said.
 *
 * Records are made ahead by another thread, unless the log is short or log->no_ahead: fn must leave the log's window alone. What is said about a
 * record is said when fn has seen the one before.
 */
typedef int xr_record_fn(void *arg, const struct xr_record *rec, const uint8_t *data);
int xr_record_walk(const struct xr_log *log, uint32_t tail, uint32_t head, xr_record_fn *fn, void *arg);

#endif
