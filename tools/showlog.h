/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_SHOWLOG_H
#define XR_SHOWLOG_H

#include "logview.h"
#include "run.h"

/* --log: list what is in the log, after run->head was found, as the options want it. Negative errno, said. */
int showlog(struct run *run);

/* --log=html: the same as a page that needs nothing else, with a picture. Errors show in ferror(out). */
void showlog_html(FILE *out, const struct run *run, const struct xr_logview *view);

/* An item in words, into text (size >= 128). Returns text. */
char *showlog_item(const struct xr_seen_item *item, char *text, size_t size);

#endif
