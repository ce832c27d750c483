/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XR_MSG_H
#define XR_MSG_H

#include <stddef.h>

/*
 * What the recovery code has to say
 *
 * Functions return 0 or a negative errno; the sentence for people (what, where, what to do) goes through here, one line a
 * message, without a newline. Whoever detects an error says it, once; callers only pass the number on.
 *
 * The numbers used throughout: -EIO the device failed; -EUCLEAN the log or the filesystem is corrupt; -EBADMSG a checksum is
 * wrong; -EOPNOTSUPP a format we refuse; -ENOMEM; -EINVAL a wrong call or option; -EBUSY in use by somebody else.
 */
enum xr_level { XR_ERROR, XR_WARN, XR_INFO, XR_DETAIL };

struct xr_msg {
	/*
	 * Called with every line. text is one line; names in it that came from the disk are escaped already. May be called from several
	 * threads at a time while a log is replayed (slices.h).
	 */
	void (*emit)(void *arg, enum xr_level level, const char *text);
	void *arg;
	enum xr_level verbosity; /* lines above this level are dropped before they are formatted */
};

void xr_say(const struct xr_msg *msg, enum xr_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* For who tries something whose failure nobody needs to hear of. */
extern const struct xr_msg xr_silent;

/* Say an error and return code, so that a check can be one line: return xr_fail(msg, -EUCLEAN, "..."). */
int xr_fail(const struct xr_msg *msg, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * Escape size bytes of a name from the disk into out (room bytes, always terminated; 4 * size + 1 is always enough): printable
 * ASCII as it is, backslash as \\, everything else as \xHH, so that no name can forge a line or drive a terminal. Returns out.
 */
char *xr_escape(char *out, size_t room, const void *name, size_t size);

#endif
