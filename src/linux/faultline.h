/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_FAULTLINE_H
#define VMAP_LINUX_FAULTLINE_H

#include <stddef.h>
#include <stdint.h>

/* A line that grows at its end and is cut where there is no more room, which always leaves room for its end. Async-signal-safe. */
struct line {
	char *text;
	size_t size; /* more than 1 */
	size_t n;
};

void vmap_line_text(struct line *line, const char *text);
void vmap_line_number(struct line *line, uint64_t number);
void vmap_line_hex(struct line *line, uintptr_t number);

/* End it as a line. */
void vmap_line_end(struct line *line);

#endif
