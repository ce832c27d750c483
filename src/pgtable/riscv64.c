// SPDX-License-Identifier: MIT
/*
 * Theory: RISC-V Sv39, Sv48, Sv57 (Privileged Architecture, 10.4 to 10.6), Svnapot, Svpbmt.
 *
 * Levels of 512 entries; an entry with any of R, W, X is a leaf, at any level. The frame number begins at bit 10. Accessed and dirty are set in
 * advance, as a hart may fault instead of setting them; entries that refer to tables must have both clear. Bits 8 and 9 are left to
 * software.
 *
 * Svnapot joins 16 base pages: each of their entries has bit 63 set and 1000 in place of the lowest four bits of the frame.
 */
#include <vmap/pgtable.h>

#define VALID (1ull << 0)
#define READ (1ull << 1)
#define WRITE (1ull << 2)
#define EXECUTE (1ull << 3)
#define GLOBAL (1ull << 5)
#define ACCESSED (1ull << 6)
#define DIRTY (1ull << 7)
#define MARK (1ull << 8)
#define OWN (1ull << 9)
#define FRAME 0x003ffffffffffc00ull
#define MEMORY_NC (1ull << 61)
#define MEMORY_IO (2ull << 61)
#define MEMORY_MASK (3ull << 61)
#define NAPOT (1ull << 63)

static void set_level(struct vmap_pgtable_level *level, unsigned number, const struct vmap_riscv64_config *config)
{
	*level = (struct vmap_pgtable_level){
		.leaf = VALID | ACCESSED | DIRTY | (config->global ? GLOBAL : 0),
		.shift = (uint8_t)(12 + 9 * number),
		.bits = 9,
		.group = config->svnapot && !number ? 4 : 0,
	};
	if (number) {
		level->table_mask = VALID | READ | WRITE | EXECUTE;
		level->table_value = VALID;
	}
	if (config->svpbmt) {
		level->memory_mask = MEMORY_MASK;
		level->memory[1] = MEMORY_NC;
		level->memory[2] = MEMORY_IO;
		level->memory[3] = MEMORY_IO;
	}
}

int vmap_pgtable_riscv64(struct vmap_pgtable_format *format, const struct vmap_riscv64_config *config)
{
	if (config->levels < 3 || config->levels > 5)
		return -VMAP_EINVAL;
	*format = (struct vmap_pgtable_format){
		.page_shift = 12,
		.levels = (uint8_t)config->levels,
		.frame_shift = 10,
		.sign_extended = 1,
		.memory_types = config->svpbmt ? 0xf : 0x9,
		.group_frame = 1,
		.frame_mask = FRAME,
		.present = VALID,
		.table = VALID,
		.group_bits = NAPOT,
		.prot_mask = READ | WRITE | EXECUTE,
		.mark = MARK,
		.own = OWN,
	};
	for (unsigned prot = 0; prot < 8; prot++)
		format->prot[prot] = READ | (prot & VMAP_WRITE ? WRITE : 0) | (prot & VMAP_EXEC ? EXECUTE : 0);
	for (unsigned level = 0; level < config->levels; level++)
		set_level(&format->level[level], level, config);
	return 0;
}
