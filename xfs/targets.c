/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Three bits a unit: noted, needed together with the next one, and made anew. The bitmaps of one GiB are a chunk; chunks are found by number and,
 * because there are few, sorted when they are walked.
 */
#include "targets.h"

#include <stdlib.h>

#define CHUNK_UNITS 65536u
#define WORDS (CHUNK_UNITS / 64)
#define RUN_MAX_UNITS 1024u /* 16 MiB: no longer runs, their length must fit */

struct chunk {
	uint64_t noted[WORDS], joined[WORDS], fresh[WORDS];
};

static struct chunk *chunk_of(const struct xr_entry *entry)
{
	return (struct chunk *)(uintptr_t)entry->value;
}

static struct chunk *get_chunk(struct xr_targets *targets, uint64_t number)
{
	struct xr_entry *entry = xr_table_add(&targets->chunks, number, 0);

	if (entry && !entry->value)
		entry->value = (uintptr_t)calloc(1, sizeof(struct chunk));
	return entry ? chunk_of(entry) : NULL;
}

static bool bit(const uint64_t *map, uint64_t n)
{
	return map[n / 64] >> n % 64 & 1;
}

static void set_bit(uint64_t *map, uint64_t n)
{
	map[n / 64] |= UINT64_C(1) << n % 64;
}

int xr_targets_add(struct xr_targets *targets, uint64_t daddr, uint32_t bbs)
{
	uint64_t first = daddr / XR_UNIT_BBS, last = (daddr + bbs - 1) / XR_UNIT_BBS;

	targets->end = last >= targets->end ? last + 1 : targets->end;
	for (uint64_t unit = first; unit <= last; unit++) {
		struct chunk *chunk = get_chunk(targets, unit / CHUNK_UNITS);
		uint64_t n = unit % CHUNK_UNITS;

		if (!chunk)
			return -1;
		targets->units += !bit(chunk->noted, n);
		set_bit(chunk->noted, n);
		if (unit < last)
			set_bit(chunk->joined, n);
	}
	return 0;
}

int xr_targets_add_fresh(struct xr_targets *targets, uint64_t daddr, uint32_t bbs)
{
	uint64_t end = (daddr + bbs) / XR_UNIT_BBS;
	int ret = xr_targets_add(targets, daddr, bbs);

	for (uint64_t unit = (daddr + XR_UNIT_BBS - 1) / XR_UNIT_BBS; unit < end && !ret; unit++)
		set_bit(get_chunk(targets, unit / CHUNK_UNITS)->fresh, unit % CHUNK_UNITS); /* there: it was noted */
	return ret;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The numbers of all chunks, sorted. NULL: no memory. */
static uint64_t *sorted_chunks(const struct xr_targets *targets)
{
	uint64_t *numbers = malloc((targets->chunks.count + 1) * sizeof(*numbers));
	size_t n = 0;

	if (!numbers)
		return NULL;
	for (const struct xr_entry *e = targets->chunks.first; e; e = e->next)
		numbers[n++] = e->a;
	qsort(numbers, n, sizeof(*numbers), by_number);
	return numbers;
}

int xr_targets_cut(const struct xr_targets *targets, uint64_t max, uint64_t **bounds, size_t *n)
{
	uint64_t *numbers = sorted_chunks(targets), *cuts = malloc((targets->units / max + 2) * sizeof(*cuts));
	uint64_t count = 0;

	*bounds = cuts;
	*n = 0;
	if (!numbers || !cuts) {
		free(numbers);
		free(cuts);
		return -1;
	}
	cuts[0] = 0;
	for (size_t i = 0; i < targets->chunks.count; i++) {
		const struct chunk *chunk = chunk_of(xr_table_find(&targets->chunks, numbers[i], 0));

		for (uint64_t u = 0; u < CHUNK_UNITS; u++) {
			if (!bit(chunk->noted, u) || ++count < max || bit(chunk->joined, u))
				continue;
			cuts[++*n] = (numbers[i] * CHUNK_UNITS + u + 1) * XR_UNIT_BBS;
			count = 0;
		}
	}
	if (count || !*n)
		++*n;
	cuts[*n] = UINT64_MAX;
	free(numbers);
	return 0;
}

bool xr_targets_run(const struct xr_targets *targets, uint64_t *daddr, uint64_t to, uint32_t *bbs)
{
	uint64_t unit = *daddr / XR_UNIT_BBS, end = to / XR_UNIT_BBS, start = UINT64_MAX, next;

	end = end < targets->end ? end : targets->end;
	for (; unit < end; unit = next) {
		const struct xr_entry *entry = xr_table_find(&targets->chunks, unit / CHUNK_UNITS, 0);
		bool noted = entry && bit(chunk_of(entry)->noted, unit % CHUNK_UNITS) &&
			     !bit(chunk_of(entry)->fresh, unit % CHUNK_UNITS);

		if (start == UINT64_MAX && noted)
			start = unit;
		else if (start != UINT64_MAX && (!noted || unit - start == RUN_MAX_UNITS))
			break;
		next = entry ? unit + 1 : (unit / CHUNK_UNITS + 1) * CHUNK_UNITS;
	}
	if (start == UINT64_MAX)
		return false;
	*daddr = start * XR_UNIT_BBS;
	*bbs = (uint32_t)((unit < end ? unit : end) - start) * XR_UNIT_BBS;
	return true;
}

void xr_targets_clear(struct xr_targets *targets)
{
	for (struct xr_entry *e = targets->chunks.first; e; e = e->next)
		free(chunk_of(e));
	xr_table_clear(&targets->chunks);
	targets->units = targets->end = 0;
}
