/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_WALK_H
#define XR_WALK_H

#include "record.h"

/*
 * Walk the records from tail (inclusive) to head (exclusive), as section 6 says: each, as xr_record_next() gives it, is handed to fn with its
 * data (rec->len bytes, good until fn returns). fn's non-zero return ends the walk and is returned. Errors as xr_record_next(), and -ENOMEM, said.
 *
 * Records are made ahead by another thread, unless the log is short: fn must leave the log's window alone. What is said about a record is said
 * when fn has seen the one before.
 */
typedef int xr_record_fn(void *arg, const struct xr_record *rec, const uint8_t *data);
int xr_record_walk(const struct xr_log *log, uint32_t tail, uint32_t head, xr_record_fn *fn, void *arg);

/*
 * One walk for several who want to see the same records, each in a thread of his own: a record is read and verified once. Every one of the walkers,
 * numbered from 0 on, must either call xr_record_walk(), once, with log->walk and log->walker set, or leave; the others wait for him where
 * they would get too far ahead. What is said about a record is said once. -ENOMEM, said. walkers <= XR_WALKERS.
 */
#define XR_WALKERS 2u
struct xr_walk;
int xr_walk_create(struct xr_walk **walk, const struct xr_log *log, uint32_t tail, uint32_t head, unsigned walkers);
void xr_walk_leave(struct xr_walk *walk, unsigned walker);

/* When all have ended or left. NULL is left alone. */
void xr_walk_destroy(struct xr_walk *walk);

#endif
