/* SPDX-License-Identifier: MIT */
#ifndef PGTABLE_MODES_H
#define PGTABLE_MODES_H

#include "machine.h"

/* A format, once for the library and once for the machine. */
struct mode {
	const char *name;
	struct decode_mode decode;
	uintptr_t base; /* a place with all index bits in use */
	int (*format)(struct vmap_pgtable_format *format);
	unsigned memory[4]; /* what the machine shows for each memory type; MODE_NO_MEMORY: the format has it not */
};

#define MODE_NO_MEMORY 99

extern const struct mode modes[];
extern const unsigned mode_count;

#endif
