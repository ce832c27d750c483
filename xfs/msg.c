/* SPDX-License-Identifier: GPL-2.0-only */
#include "msg.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

static void say(const struct xr_msg *msg, enum xr_level level, const char *format, va_list ap)
{
	char line[1024];

	if (level > msg->verbosity)
		return;
	vsnprintf(line, sizeof(line), format, ap);
	msg->emit(msg->arg, level, line);
}

static void say_nothing(void *arg, enum xr_level level, const char *text)
{
	(void)arg;
	(void)level;
	(void)text;
}

const struct xr_msg xr_silent = {.emit = say_nothing};

void xr_say(const struct xr_msg *msg, enum xr_level level, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(msg, level, format, ap);
	va_end(ap);
}

int xr_fail(const struct xr_msg *msg, int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(msg, XR_ERROR, format, ap);
	va_end(ap);
	return code;
}

char *xr_escape(char *out, size_t room, const void *name, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *in = name;
	size_t at = 0;

	for (size_t i = 0; i < size; i++) {
		if (room - at <= 4) /* the longest form and the terminator no longer fit */
			break;
		if (in[i] == '\\') {
			out[at++] = '\\';
			out[at++] = '\\';
		} else if (in[i] >= 0x20 && in[i] < 0x7f) {
			out[at++] = (char)in[i];
		} else {
			out[at++] = '\\';
			out[at++] = 'x';
			out[at++] = hex[in[i] >> 4];
			out[at++] = hex[in[i] & 15];
		}
	}
	out[at] = '\0';
	return out;
}
