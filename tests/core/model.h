/* SPDX-License-Identifier: MIT */
#ifndef CORE_MODEL_H
#define CORE_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <vmap/vmap.h>
#include "large.h"
#include "softmmu.h"

/*
 * A model of a space over the software MMU: a bitmap of what live areas use, and for each base page what it allows. calls.c makes random
 * calls and says here what they must have done; model_check() compares, after each of them.
 */

#define MODEL_BASE ((uintptr_t)0x40000000)
#define MODEL_PAGE ((size_t)4096)
#define MODEL_PAGES ((size_t)640)
#define MODEL_SIZE (MODEL_PAGES * MODEL_PAGE)
#define MODEL_WORDS (MODEL_PAGES / 64)
#define MODEL_STOCK 96
#define MODEL_LIVE 128
#define MODEL_ARRAY 8

/* One way to run a space. */
struct model_config {
	const char *name;
	size_t lazy_max, quarantine;
	unsigned guards; /* of 8 areas so many have one */
	unsigned cpus; /* that the thread moves between */
	unsigned fails; /* in one call of so many a hook fails; 0: none does */
	bool worker;
	bool pins; /* the core writes table entries itself */
	unsigned shards; /* with locks for so many shards; 0: none */
	bool large; /* over the page-table host, too, with large leaves */
};

enum model_kind { MODEL_MAPPED, MODEL_ALLOCATED, MODEL_FRAMES, MODEL_RAM, MODEL_SPARSE };

struct model_area {
	enum model_kind kind;
	uintptr_t addr;
	size_t pages, guard; /* base pages */
	unsigned flags, prot;
	bool uneven; /* vmap_protect() has changed a part of it last */
	unsigned char mark; /* allocated: what its base pages begin with, counted on */
	size_t n;
	struct vmap_page *array[MODEL_ARRAY]; /* mapped, ram */
	uint64_t frames[MODEL_ARRAY]; /* frames */
};

struct model {
	const struct model_config *config;
	struct softmmu *mmu;
	struct large *large;
	struct vmap_space *space;
	uint64_t seed;
	unsigned cpu;
	struct vmap_page *stock[MODEL_STOCK];
	struct model_area live[MODEL_LIVE];
	size_t n;
	uint64_t used[MODEL_WORDS]; /* by a live area or its guard */
	uint64_t lazy[MODEL_WORDS]; /* unmapped since everything was flushed last */
	unsigned char prot[MODEL_PAGES]; /* what the page allows, with the memory type; 0: it is not mapped */
	size_t mapped, guards, holes; /* base pages */

	/* Of parts of sparse areas, by base page: */
	uint64_t frame[MODEL_PAGES];
	unsigned char within[MODEL_PAGES]; /* of its struct vmap_page, which base page it is */
	unsigned char owed[MODEL_PAGES]; /* one of the stock, counted from 1, whose reference is held; 0: none */
	unsigned part[MODEL_PAGES], parts; /* one number a part; the last that was given */

	uint64_t maps, unmaps, refused, failed, purges, wakes, leaves, moved; /* how often something was so */
};

void model_begin(struct model *model, const struct model_config *config, uint64_t seed);

/* Unmap all that is live, and see that nothing is left. */
void model_end(struct model *model);

uint64_t model_random(struct model *model, uint64_t below);

/* A random call, with what it must do; mood, 0 to 8, says how many of them make areas. */
void model_call(struct model *model, unsigned mood);

/* Let a hook of this call fail, where the configuration wants it; whether it did. */
void model_inject(struct model *model);
bool model_injected(struct model *model);

/* Calls for parts of a sparse area, where there is one. */
void model_sparse_map(struct model *model);
void model_sparse_unmap(struct model *model);
void model_sparse_protect(struct model *model);
void model_sparse_look(struct model *model);

/* A congruent set, from options that are anybody's; and the end of two sparse areas at once. */
void model_congruent(struct model *model, const struct vmap_options *options);
void model_congruent_free(struct model *model);

/* Unmap one of the live areas. */
void model_unmap(struct model *model);

/* Everything against everything. */
void model_check(struct model *model);

/* Flush all that waits, and count the references. */
void model_purge(struct model *model);

/* Bits of a bitmap. */
void model_set(uint64_t *bits, size_t first, size_t n, bool value);
bool model_any(const uint64_t *bits, size_t first, size_t n);

/* Note an area that was made, with what each page allows; and one that was unmapped. */
void model_add(struct model *model, const struct model_area *area);
void model_remove(struct model *model, struct model_area *area);

/* The area grew or shrank where it stands. */
void model_resize(struct model *model, struct model_area *area, size_t pages);

/* Pages that cannot be handed out now: in use, or a block keeps them, or, for who may not flush, they wait for that. */
void model_taken(struct model *model, bool nowait, uint64_t *bits);

/* Whether it can be that no range of so many base pages was found: with nowait, while some wait for a flush. */
bool model_is_full(struct model *model, const struct vmap_options *options, size_t pages, bool nowait);

/* The frame that the model expects k base pages behind the area's beginning. */
uint64_t model_frame(struct model *model, const struct model_area *area, size_t k);

static inline size_t model_number(uintptr_t addr)
{
	return (addr - MODEL_BASE) / MODEL_PAGE;
}

#endif
