// SPDX-License-Identifier: MIT
/*
 * Theory: changing what is mapped.
 *
 * A CPU may hold a large translation and then find smaller ones for the same addresses; architectures do not say which it uses, or
 * forbid it. So a live leaf, or group of leaves, is replaced by smaller ones in four steps: take it away (break), flush it,
 * write what replaces it (make), publish. Between the break and the make an access faults; who cannot have this maps without
 * VMAP_LARGE. The new table is filled in before the break, so that a missing frame changes nothing.
 *
 * A leaf that is no part of a group may get another protection in place. The leaves of a group have to agree, so they are broken
 * and made as above.
 */
#include "walk.h"

static void break_leaves(struct vmap_pgtable *pgt, uint64_t *entry, size_t n, uintptr_t addr, size_t size)
{
	const struct vmap_range range = {addr, size};

	for (size_t i = 0; i < n; i++)
		vmap_entry_store(&entry[i], 0);
	pgt->ops->flush(pgt->ctx, &range, 1);
}

/* Write the group that addr lies in anew, joined or not, with this protection and memory type. */
static void remake_group(struct vmap_pgtable *pgt, uint64_t *entry, unsigned level, uintptr_t addr, unsigned prot, bool grouped)
{
	size_t n = (size_t)1 << pgt->format->level[level].group, size = n << pgt->format->level[level].shift;
	struct vmap_leaf leaf;

	entry -= vmap_index(pgt, addr, level) & (n - 1);
	addr &= ~(size - 1);
	leaf = vmap_leaf_decode(pgt, vmap_entry_load(entry), level, addr);
	break_leaves(pgt, entry, n, addr, size);
	vmap_leaves_write(pgt, level, entry, n, leaf.frame, vmap_leaf_bits(pgt, level, prot), grouped);
	vmap_publish(pgt, addr, size);
}

/* Put a table of smaller leaves in the place of a leaf that is in no group. */
static int split_leaf(struct vmap_pgtable *pgt, uint64_t *entry, unsigned level, uintptr_t addr, struct vmap_leaf leaf)
{
	uintptr_t span = vmap_span(pgt, level);
	uint64_t phys;

	if (!vmap_table_new(pgt, &phys))
		return -VMAP_ENOMEM;
	vmap_leaves_write(pgt, level - 1, (uint64_t *)pgt->ops->phys_to_virt(pgt->ctx, phys), vmap_entries(pgt, level - 1),
			  leaf.frame, vmap_leaf_bits(pgt, level - 1, leaf.prot), false);
	break_leaves(pgt, entry, 1, addr & ~(span - 1), span);
	__atomic_store_n(entry, vmap_table_entry(pgt, phys), __ATOMIC_RELEASE);
	vmap_publish(pgt, addr & ~(span - 1), span);
	return 0;
}

int vmap_split_at(struct vmap_pgtable *pgt, uintptr_t addr)
{
	struct vmap_path path;
	struct vmap_leaf leaf;
	unsigned level;
	uint64_t entry;
	uintptr_t span;
	int err = 0;

	while (addr - pgt->base < pgt->size && !err) {
		level = vmap_walk(pgt, addr, 0, &path);
		span = vmap_span(pgt, level);
		entry = vmap_entry_load(path.entry[level]);
		if (!vmap_is_present(pgt, entry))
			break;
		leaf = vmap_leaf_decode(pgt, entry, level, addr);
		if (leaf.grouped && addr & ((span << pgt->format->level[level].group) - 1))
			remake_group(pgt, path.entry[level], level, addr, leaf.prot, false);
		else if (addr & (span - 1))
			err = split_leaf(pgt, path.entry[level], level, addr, leaf);
		else
			break;
	}
	return err;
}

/* The size of the leaf, or group of them, at addr; 0: nothing is mapped. */
static size_t leaf_at(const struct vmap_pgtable *pgt, uintptr_t addr, struct vmap_path *path, unsigned *level,
		      struct vmap_leaf *leaf)
{
	uint64_t entry;

	*level = vmap_walk(pgt, addr, 0, path);
	entry = vmap_entry_load(path->entry[*level]);
	if (!vmap_is_present(pgt, entry))
		return 0;
	*leaf = vmap_leaf_decode(pgt, entry, *level, addr);
	return vmap_span(pgt, *level) << (leaf->grouped ? pgt->format->level[*level].group : 0);
}

static bool is_all_mapped(const struct vmap_pgtable *pgt, uintptr_t addr, size_t size)
{
	struct vmap_path path;
	struct vmap_leaf leaf;
	unsigned level;
	size_t span;

	for (; size; addr += span, size -= span) {
		span = leaf_at(pgt, addr, &path, &level, &leaf);
		if (!span)
			return false;
		span -= addr & (span - 1);
		span = span < size ? span : size;
	}
	return true;
}

/* Leaves do not reach over the ends of the range. */
static void set_prot(struct vmap_pgtable *pgt, uintptr_t addr, size_t size, unsigned prot)
{
	const struct vmap_pgtable_format *format = pgt->format;
	struct vmap_path path;
	struct vmap_leaf leaf;
	unsigned level;
	uint64_t entry;
	size_t span;

	for (; size; addr += span, size -= span) {
		span = leaf_at(pgt, addr, &path, &level, &leaf);
		entry = vmap_entry_load(path.entry[level]);
		if (leaf.grouped)
			remake_group(pgt, path.entry[level], level, addr, prot | (leaf.prot & VMAP_MEMORY_MASK), true);
		else
			vmap_entry_store(path.entry[level], (entry & ~format->prot_mask) | format->prot[prot]);
	}
}

int vmap_pgtable_protect(struct vmap_pgtable *pgt, uintptr_t addr, size_t size, unsigned prot)
{
	int err = 0;

	if (!vmap_in_range(pgt, addr, size) || prot & ~(VMAP_READ | VMAP_WRITE | VMAP_EXEC))
		return -VMAP_EINVAL;
	vmap_tables_enter(pgt);
	if (!is_all_mapped(pgt, addr, size))
		err = -VMAP_EFAULT;
	if (!err)
		err = vmap_split_at(pgt, addr);
	if (!err)
		err = vmap_split_at(pgt, addr + size);
	if (!err)
		set_prot(pgt, addr, size, prot | VMAP_READ);
	vmap_tables_leave(pgt);
	if (!err)
		vmap_publish(pgt, addr, size);
	return err;
}
