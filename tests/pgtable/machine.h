/* SPDX-License-Identifier: MIT */
#ifndef PGTABLE_MACHINE_H
#define PGTABLE_MACHINE_H

#include <vmap/pgtable.h>
#include "decode.h"

/*
 * Two CPUs over page tables in ordinary memory, each as nasty as its manual allows
 *
 * The eager CPU sees every write to a table at once and remembers whatever it could use: all translations, all references from
 * table to table. It forgets only what is flushed. The lazy CPU sees of tables only what was published or flushed.
 *
 * Violations are counted and described on stderr: a malformed entry; a translation or a table reference that became another one
 * while a CPU remembered the first; a table frame given back while a CPU remembers it, or twice; any other one that ends so.
 */
struct machine;

enum machine_cpu { MACHINE_EAGER, MACHINE_LAZY };

/* What the hooks leave out, to see that it is noticed. */
enum machine_fault {
	MACHINE_NO_PUBLISH = 0x1,
	MACHINE_NO_FLUSH = 0x2,
	MACHINE_NO_WALK_FLUSH = 0x4, /* a flush of everything forgets translations only */
};

/* Table frames have physical addresses from here on; other frames are anybody's. */
#define MACHINE_TABLES ((uint64_t)1 << 40)

struct machine *machine_create(const struct decode_mode *mode, uintptr_t base, size_t size, size_t frames);
/* Gives the number of violations. Frames other than the root that are in use are one. */
unsigned machine_destroy(struct machine *machine);

/* Hooks for struct vmap_pgtable_config; their ctx is the machine. */
const struct vmap_pgtable_ops *machine_ops(void);
uint64_t machine_root(const struct machine *machine);

void machine_break(struct machine *machine, unsigned faults);
/* Let the k-th frame_alloc from now fail, 0: none. */
void machine_inject(struct machine *machine, unsigned k);
bool machine_injected(const struct machine *machine);

/* Translate as this CPU does; with write, for a write. false: a fault. */
bool machine_translate(struct machine *machine, enum machine_cpu cpu, uintptr_t addr, bool write, uint64_t *pa);

/* These frames, no tables, are about to become free. */
void machine_ends(struct machine *machine, uint64_t frame, size_t n);

/* What the tables hold now. */
struct decode_result machine_decode(struct machine *machine, uintptr_t addr);
/* The entry in memory. */
uint64_t *machine_entry(struct machine *machine, uint64_t phys);
/* Let the eager CPU look. */
void machine_observe(struct machine *machine);

size_t machine_frames_used(const struct machine *machine);
unsigned machine_root_changes(const struct machine *machine);
unsigned machine_violations(const struct machine *machine);
void machine_quiet(struct machine *machine, bool quiet);
const char *machine_last(const struct machine *machine);

#endif
