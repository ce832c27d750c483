// SPDX-License-Identifier: MIT
/*
 * Theory: VMSAv8-64 stage 1 (Arm ARM, D8.3).
 *
 * A granule of 4, 16 or 64 KiB is the size of a page and of a table, so that a level resolves granule shift - 3 bits; the root resolves what is
 * left. Blocks exist at levels that the architecture numbers 1 and 2 with 4 KiB, 2 with 16 and 64 KiB; here 0 is the level of pages. Sets of
 * aligned neighbours may carry the contiguous hint. The access flag is set in advance; bits 55 and 56 are left to software.
 *
 * A mapping is the kernel's: no access from EL0 (AP[1] = 0), never executable there (UXN), inner shareable.
 */
#include <vmap/pgtable.h>

#define VALID (1ull << 0)
#define TABLE_OR_PAGE (1ull << 1)
#define ATTR_SHIFT 2
#define READ_ONLY (1ull << 7) /* AP[2] */
#define INNER_SHAREABLE (3ull << 8)
#define ACCESSED (1ull << 10)
#define NOT_GLOBAL (1ull << 11)
#define CONTIGUOUS (1ull << 52)
#define PXN (1ull << 53)
#define UXN (1ull << 54)
#define MARK (1ull << 55)
#define OWN (1ull << 56)
#define ADDRESS 0x0000ffffffffffffull

#define NOT_AVAILABLE 0xff

/* log2 of how many pages, and how many of the blocks next above, the hint joins. */
static unsigned group_bits(unsigned page_shift, unsigned level)
{
	if (page_shift == 14)
		return level ? 5 : 7;
	return page_shift == 12 ? 4 : 5;
}

static void set_level(struct vmap_pgtable_level *level, unsigned number, const struct vmap_aarch64_config *config)
{
	const uint8_t attr[4] = {config->write_back, config->write_combining, config->uncached, config->device};
	unsigned stride = config->page_shift - 3, shift = config->page_shift + number * stride, left = config->va_bits - shift;

	*level = (struct vmap_pgtable_level){.shift = (uint8_t)shift, .bits = (uint8_t)(left < stride ? left : stride)};
	if (number) {
		level->table_mask = VALID | TABLE_OR_PAGE;
		level->table_value = VALID | TABLE_OR_PAGE;
	}
	if (number <= 1 || (number == 2 && config->page_shift == 12)) {
		level->leaf = VALID | INNER_SHAREABLE | ACCESSED | UXN | (number ? 0 : TABLE_OR_PAGE) |
			      (config->global ? 0 : NOT_GLOBAL);
		level->group = (uint8_t)(config->contiguous ? group_bits(config->page_shift, number) : 0);
	}
	level->memory_mask = 7ull << ATTR_SHIFT;
	for (unsigned type = 0; type < 4; type++)
		level->memory[type] = (uint64_t)(attr[type] & 7) << ATTR_SHIFT;
}

static bool is_valid(const struct vmap_aarch64_config *config)
{
	const uint8_t attr[4] = {config->write_back, config->write_combining, config->uncached, config->device};

	for (unsigned type = 0; type < 4; type++)
		if (attr[type] > 7 && (attr[type] != NOT_AVAILABLE || !type))
			return false;
	if (config->page_shift != 12 && config->page_shift != 14 && config->page_shift != 16)
		return false;
	return config->va_bits >= 36 && config->va_bits <= 48;
}

int vmap_pgtable_aarch64(struct vmap_pgtable_format *format, const struct vmap_aarch64_config *config)
{
	const uint8_t attr[4] = {config->write_back, config->write_combining, config->uncached, config->device};
	unsigned stride = config->page_shift - 3;

	if (!is_valid(config))
		return -VMAP_EINVAL;
	*format = (struct vmap_pgtable_format){
		.page_shift = (uint8_t)config->page_shift,
		.levels = (uint8_t)((config->va_bits - config->page_shift + stride - 1) / stride),
		.frame_shift = (uint8_t)config->page_shift,
		.frame_mask = ADDRESS & ~((1ull << config->page_shift) - 1),
		.present = VALID,
		.table = VALID | TABLE_OR_PAGE,
		.group_bits = CONTIGUOUS,
		.prot_mask = READ_ONLY | PXN,
		.mark = MARK,
		.own = OWN,
	};
	for (unsigned type = 0; type < 4; type++)
		format->memory_types |= (uint8_t)((attr[type] != NOT_AVAILABLE) << type);
	for (unsigned prot = 0; prot < 8; prot++)
		format->prot[prot] = (prot & VMAP_WRITE ? 0 : READ_ONLY) | (prot & VMAP_EXEC ? 0 : PXN);
	for (unsigned level = 0; level < format->levels; level++)
		set_level(&format->level[level], level, config);
	return 0;
}
