/* SPDX-License-Identifier: MIT */
#ifndef CORE_LARGE_H
#define CORE_LARGE_H

#include "softmmu.h"

/*
 * The page-table host as the second one of a software MMU: riscv64, Sv48 with Svnapot, where VMAP_LARGE makes one translation of
 * 16 base pages. Making a table can be made to fail (SOFTMMU_TABLE).
 */
struct large;

struct large *large_create(struct softmmu *mmu, uintptr_t base, size_t size);

/* Nothing is mapped any more, and no table left. */
void large_destroy(struct large *large);

/* Fail the running test where a base page of the n from addr on is translated otherwise than by the machine. Gives how many are by a large leaf. */
size_t large_check(struct large *large, uintptr_t addr, size_t n);

#endif
