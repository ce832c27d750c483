/* SPDX-License-Identifier: MIT */
#ifndef PGTABLE_DECODE_H
#define PGTABLE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a CPU makes of table entries, written from the architecture manuals and from nothing of src/
 */

enum arch { ARCH_X86_64, ARCH_AARCH64, ARCH_RISCV64 };

struct decode_mode {
	enum arch arch;
	unsigned granule; /* log2 of the page size */
	unsigned va_bits;
	bool svnapot, svpbmt; /* riscv64: the CPU has them */
};

struct decode_result {
	const char *malformed; /* NULL, or which rule an entry breaks */
	bool valid; /* a translation */
	uint64_t pa;
	uint64_t size; /* bytes that the translation, or the hole, covers */
	bool writable, executable;
	unsigned memory; /* PAT index, MAIR index, PBMT */
	bool global;
	unsigned slots; /* entries that were read, */
	uint64_t slot[5]; /* their physical addresses, from the root's down, */
	uint64_t entry[5]; /* and what they hold */
};

/* Translate va. read gives the 8 bytes at a physical address. */
struct decode_result decode(const struct decode_mode *mode, uint64_t root, uint64_t va,
			    uint64_t (*read)(void *arg, uint64_t phys), void *arg);

#endif
