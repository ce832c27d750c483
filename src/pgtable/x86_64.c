// SPDX-License-Identifier: MIT
/*
 * Theory: x86-64 paging (Intel SDM volume 3, 4.5; AMD APM volume 2, 5.3).
 *
 * Four or five levels of 512 entries. Bit 7 of an entry above the lowest level says that it is a leaf; in the lowest level it is the highest
 * bit of the PAT index, which leaves above have in bit 12, the lowest bit of their address. Accessed and dirty are set in advance, so that the
 * CPU never writes to an entry. Bits 9 and 10 are ignored by hardware.
 */
#include <vmap/pgtable.h>

#define PRESENT (1ull << 0)
#define WRITABLE (1ull << 1)
#define PAT_LOW 3 /* index bits 0 and 1 lie in bits 3 (PWT) and 4 (PCD) */
#define ACCESSED (1ull << 5)
#define DIRTY (1ull << 6)
#define LARGE (1ull << 7)
#define PAT_HIGH_BASE 7
#define PAT_HIGH_LARGE 12
#define GLOBAL (1ull << 8)
#define MARK (1ull << 9)
#define OWN (1ull << 10)
#define ADDRESS 0x000ffffffffff000ull
#define NO_EXECUTE (1ull << 63)

static uint64_t pat_bits(unsigned index, unsigned high)
{
	return (uint64_t)(index & 3) << PAT_LOW | (uint64_t)(index >> 2) << high;
}

static void set_level(struct vmap_pgtable_level *level, unsigned number, const struct vmap_x86_64_config *config)
{
	const uint8_t pat[4] = {0, config->write_combining, config->uncached, config->device};
	unsigned high = number ? PAT_HIGH_LARGE : PAT_HIGH_BASE;

	*level = (struct vmap_pgtable_level){.shift = (uint8_t)(12 + 9 * number), .bits = 9};
	if (number) {
		level->table_mask = PRESENT | LARGE;
		level->table_value = PRESENT;
	}
	if (number <= 1 || (number == 2 && config->gigabyte))
		level->leaf = PRESENT | ACCESSED | DIRTY | (number ? LARGE : 0) | (config->global ? GLOBAL : 0);
	level->memory_mask = pat_bits(7, high);
	for (unsigned type = 0; type < 4; type++)
		level->memory[type] = pat_bits(pat[type], high);
}

int vmap_pgtable_x86_64(struct vmap_pgtable_format *format, const struct vmap_x86_64_config *config)
{
	uint64_t nx = config->no_execute ? NO_EXECUTE : 0;

	if (config->levels < 4 || config->levels > 5 || (config->write_combining | config->uncached | config->device) > 7)
		return -VMAP_EINVAL;
	*format = (struct vmap_pgtable_format){
		.page_shift = 12,
		.levels = (uint8_t)config->levels,
		.frame_shift = 12,
		.sign_extended = 1,
		.memory_types = (uint8_t)(1 | !!config->write_combining << 1 | !!config->uncached << 2 | !!config->device << 3),
		.frame_mask = ADDRESS,
		.present = PRESENT,
		.table = PRESENT | WRITABLE | ACCESSED,
		.prot_mask = WRITABLE | nx,
		.mark = MARK,
		.own = OWN,
	};
	for (unsigned prot = 0; prot < 8; prot++)
		format->prot[prot] = (prot & VMAP_WRITE ? WRITABLE : 0) | (prot & VMAP_EXEC ? 0 : nx);
	for (unsigned level = 0; level < config->levels; level++)
		set_level(&format->level[level], level, config);
	return 0;
}
