// SPDX-License-Identifier: MIT
/*
 * Theory: one walk over any format.
 *
 * A format is data: by level, where the index lies, what makes an entry a table or a leaf, and which bits say what. An entry is
 *   0             nothing;
 *   present       a leaf, or a table;
 *   anything else a table that reclaim.c took out of use: whoever needs it before it is given back makes it present again.
 * Entries are written once when they become present and once when they cease to be; a present leaf is never replaced by
 * another translation (change.c breaks it first).
 *
 * Who walks is counted in users, from before it reads the root entry until it has written its last entry. Tables are taken out
 * of use only while nobody is counted (reclaim.c), so that no walk ever stands in one that is going away, and no lock is
 * needed: ranges are disjoint, and the one thing that two walks can both want to write, the entry of a table that is missing,
 * is written by compare and exchange. A walk waits for nobody but the one who takes tables out of use, which is bounded.
 *
 * Whoever takes a leaf out of a table marks the entry of this table, and those above it up to the root; so what may be empty is
 * found later without a search of everything. Unmapping costs a look at one mark a table, and one store an entry.
 *
 * Costs: a map or unmap walks once for each table that it touches; nothing else depends on the size of the range.
 */
#include "walk.h"

/* What is still to be mapped: pages, of which the one before next is at its base page frame with left to go. */
struct source {
	struct vmap_page *const *next, *const *end;
	uint64_t frame, left;
};

/* Counted too early: let those who take tables out of use finish. */
void vmap_tables_wait(struct vmap_pgtable *pgt)
{
	do {
		vmap_tables_leave(pgt);
		while (__atomic_load_n(&pgt->users, __ATOMIC_RELAXED) & VMAP_PGTABLE_EXCLUSIVE)
			;
	} while (__atomic_fetch_add(&pgt->users, 1, __ATOMIC_ACQUIRE) & VMAP_PGTABLE_EXCLUSIVE);
}

bool vmap_in_range(const struct vmap_pgtable *pgt, uintptr_t addr, size_t size)
{
	return !((addr | size) & (vmap_span(pgt, 0) - 1)) && size && addr >= pgt->base && addr - pgt->base < pgt->size &&
	       size <= pgt->size - (addr - pgt->base);
}

bool vmap_table_new(struct vmap_pgtable *pgt, uint64_t *phys)
{
	if (!pgt->ops->frame_alloc(pgt->ctx, phys))
		return false;
	__atomic_fetch_add(&pgt->tables, 1, __ATOMIC_RELAXED);
	return true;
}

void vmap_table_free(struct vmap_pgtable *pgt, uint64_t phys)
{
	__atomic_fetch_sub(&pgt->tables, 1, __ATOMIC_RELAXED);
	pgt->ops->frame_free(pgt->ctx, phys);
}

void vmap_publish(const struct vmap_pgtable *pgt, uintptr_t addr, size_t size)
{
	if (pgt->ops->publish)
		pgt->ops->publish(pgt->ctx, addr, size);
}

/* Entries as they are written and read */

uint64_t vmap_leaf_bits(const struct vmap_pgtable *pgt, unsigned level, unsigned prot)
{
	const struct vmap_pgtable_level *l = &pgt->format->level[level];

	return l->leaf | l->memory[(prot & VMAP_MEMORY_MASK) >> 5] | pgt->format->prot[prot & 7];
}

void vmap_leaves_write(const struct vmap_pgtable *pgt, unsigned level, uint64_t *entry, size_t n, uint64_t frame, uint64_t bits,
		       bool grouped)
{
	const struct vmap_pgtable_format *format = pgt->format;
	unsigned group = format->level[level].group;
	uint64_t step = (uint64_t)1 << (format->level[level].shift - format->page_shift), at;

	if (grouped)
		bits |= format->group_bits;
	for (size_t i = 0; i < n; i++) {
		at = frame + i * step;
		if (grouped && format->group_frame)
			at = (at >> group << group) | (uint64_t)1 << (group - 1);
		vmap_entry_store(&entry[i], at << format->frame_shift | bits);
	}
}

struct vmap_leaf vmap_leaf_decode(const struct vmap_pgtable *pgt, uint64_t entry, unsigned level, uintptr_t addr)
{
	const struct vmap_pgtable_format *format = pgt->format;
	const struct vmap_pgtable_level *l = &format->level[level];
	uint64_t mask = ((uint64_t)1 << (l->shift - format->page_shift)) - 1;
	struct vmap_leaf leaf = {.grouped = l->group && (entry & format->group_bits) == format->group_bits};

	/* A large leaf has other bits where the frame's lowest would be. */
	leaf.frame = (entry & format->frame_mask) >> format->frame_shift & ~mask;
	if (leaf.grouped && format->group_frame) {
		mask = ((uint64_t)1 << l->group) - 1;
		leaf.frame = (leaf.frame & ~mask) | (addr >> l->shift & mask);
	}
	for (unsigned type = 4; type-- > 0;)
		if ((entry & l->memory_mask) == l->memory[type] && format->memory_types & 1u << type)
			leaf.prot = type << 5;
	/* From the widest: a format that cannot forbid something says that it is allowed. */
	for (unsigned prot = 8; prot-- > 0;) {
		if (prot & VMAP_READ && (entry & format->prot_mask) == format->prot[prot]) {
			leaf.prot |= prot;
			break;
		}
	}
	return leaf;
}

/* The walk */

static uint64_t *root_entry(const struct vmap_pgtable *pgt, uintptr_t addr)
{
	return &pgt->root[vmap_index(pgt, addr, vmap_root_level(pgt))];
}

unsigned vmap_walk(const struct vmap_pgtable *pgt, uintptr_t addr, unsigned level, struct vmap_path *path)
{
	unsigned at = vmap_root_level(pgt);
	uint64_t entry;

	path->entry[at] = root_entry(pgt, addr);
	for (; at > level; at--) {
		entry = __atomic_load_n(path->entry[at], __ATOMIC_ACQUIRE);
		if (!vmap_is_table(pgt, entry, at))
			break;
		path->entry[at - 1] = vmap_table_of(pgt, entry) + vmap_index(pgt, addr, at - 1);
	}
	return at;
}

void vmap_mark(struct vmap_pgtable *pgt, const struct vmap_path *path, unsigned level)
{
	uint64_t mark = pgt->format->mark;

	/* Root entries are never marked: what they refer to stays. */
	for (unsigned at = level + 1; at < vmap_root_level(pgt); at++) {
		if (vmap_entry_load(path->entry[at]) & mark)
			return; /* and so are those above it, or will be before anybody looks */
		if (!(__atomic_fetch_or(path->entry[at], mark, __ATOMIC_RELAXED) & mark) && at == level + 1)
			__atomic_fetch_add(&pgt->marked, 1, __ATOMIC_RELAXED);
	}
}

/* Make path->entry[level], which is not present, refer to a table. */
static int make_table(struct vmap_pgtable *pgt, uint64_t *entry, unsigned level, uint64_t old)
{
	uint64_t phys = 0, value = old | pgt->format->present, *table;

	if (!old) {
		if (!vmap_table_new(pgt, &phys))
			return -VMAP_ENOMEM;
		table = (uint64_t *)pgt->ops->phys_to_virt(pgt->ctx, phys);
		for (size_t i = 0; i < vmap_entries(pgt, level - 1); i++)
			vmap_entry_store(&table[i], 0);
		value = vmap_table_entry(pgt, phys);
	}
	if (!__atomic_compare_exchange_n(entry, &old, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		/* Somebody was faster; whatever is there now is looked at again. */
		if (phys)
			vmap_table_free(pgt, phys);
		return 0;
	}
	if (level == vmap_root_level(pgt) && pgt->ops->root_changed)
		pgt->ops->root_changed(pgt->ctx, (unsigned)(entry - pgt->root), value);
	return 0;
}

int vmap_walk_make(struct vmap_pgtable *pgt, uintptr_t addr, unsigned level, struct vmap_path *path)
{
	unsigned at;
	uint64_t entry;
	int err = 0;

	while ((at = vmap_walk(pgt, addr, level, path)) > level && !err) {
		entry = vmap_entry_load(path->entry[at]);
		if (!vmap_is_present(pgt, entry))
			err = make_table(pgt, path->entry[at], at, entry);
		else if (!vmap_is_table(pgt, entry, at))
			err = -VMAP_EEXIST;
	}
	if (err)
		vmap_mark(pgt, path, at);
	return err;
}

/* Mapping */

/* Have something left of the current page. false: that was all. */
static bool refill(struct source *source)
{
	if (!source->left && source->next < source->end) {
		source->frame = (*source->next)->frame;
		source->left = (uint64_t)1 << (*source->next)->order;
		source->next++;
	}
	return source->left;
}

/* Whether what is left can be mapped at addr by whole leaves, or groups of them, of 1 << shift bytes. */
static bool fits(const struct vmap_pgtable *pgt, uintptr_t addr, const struct source *source, unsigned shift)
{
	uint64_t mask = ((uint64_t)1 << (shift - pgt->format->page_shift)) - 1;

	return !(addr & (((uintptr_t)1 << shift) - 1)) && !(source->frame & mask) && source->left > mask;
}

/* The level of the largest leaf that fits, and whether a group of them does. */
static unsigned choose(const struct vmap_pgtable *pgt, uintptr_t addr, const struct source *source, bool *grouped)
{
	const struct vmap_pgtable_level *l;

	for (unsigned level = vmap_root_level(pgt); level-- > 0;) {
		l = &pgt->format->level[level];
		if (!l->leaf || !fits(pgt, addr, source, l->shift))
			continue;
		*grouped = l->group && fits(pgt, addr, source, l->shift + l->group);
		return level;
	}
	*grouped = false;
	return 0;
}

/* Map one leaf, or one group, larger than a base page or not. */
static int map_leaf(struct vmap_pgtable *pgt, uintptr_t addr, struct source *source, unsigned prot, size_t *size)
{
	struct vmap_path path;
	uint64_t entry;
	bool grouped;
	unsigned level = choose(pgt, addr, source, &grouped);
	size_t n = grouped ? (size_t)1 << pgt->format->level[level].group : 1;
	int err = vmap_walk_make(pgt, addr, level, &path);

	for (size_t i = 0; i < n && !err; i++) {
		entry = vmap_entry_load(path.entry[level] + i);
		if (entry && !vmap_table_displace(pgt, path.entry[level] + i, level))
			err = -VMAP_EEXIST;
	}
	if (err)
		return err;
	vmap_leaves_write(pgt, level, path.entry[level], n, source->frame, vmap_leaf_bits(pgt, level, prot), grouped);
	*size = n << pgt->format->level[level].shift;
	source->frame += *size >> pgt->format->page_shift;
	source->left -= *size >> pgt->format->page_shift;
	return 0;
}

/* Map base pages up to the end of this table. */
static int map_base(struct vmap_pgtable *pgt, uintptr_t addr, struct source *source, unsigned prot, size_t *size)
{
	uint64_t bits = vmap_leaf_bits(pgt, 0, prot), *entry, *first, *end;
	unsigned shift = pgt->format->frame_shift;
	struct vmap_path path;
	int err = vmap_walk_make(pgt, addr, 0, &path);

	if (err)
		return err;
	first = entry = path.entry[0];
	end = entry + (vmap_entries(pgt, 0) - vmap_index(pgt, addr, 0));
	for (; entry < end && refill(source); entry++) {
		if (vmap_entry_load(entry)) {
			err = -VMAP_EEXIST;
			break;
		}
		vmap_entry_store(entry, source->frame++ << shift | bits);
		source->left--;
	}
	*size = (size_t)(entry - first) << pgt->format->page_shift;
	return err;
}

void vmap_clear(struct vmap_pgtable *pgt, uintptr_t addr, size_t size)
{
	struct vmap_path path;
	size_t span, left;
	unsigned level;

	for (; size; addr += span, size -= span) {
		level = vmap_walk(pgt, addr, 0, &path);
		left = level ? vmap_span(pgt, level) : vmap_span(pgt, 1);
		span = left - (addr & (left - 1));
		span = span < size ? span : size;
		if (!level)
			vmap_entries_clear(path.entry[0], span >> pgt->format->page_shift);
		else if (vmap_is_present(pgt, vmap_entry_load(path.entry[level])))
			vmap_entry_store(path.entry[level], 0);
		else
			continue;
		vmap_mark(pgt, &path, level);
		if (!level)
			vmap_near_marked(pgt, addr, path.entry[0]);
	}
}

static int map_source(struct vmap_pgtable *pgt, uintptr_t addr, struct source *source, unsigned prot)
{
	size_t size = 0, done = 0;
	int err = 0;

	if (prot & VMAP_LARGE)
		__atomic_store_n(&pgt->large, 1, __ATOMIC_RELAXED);
	vmap_tables_enter(pgt);
	for (; refill(source) && !err; done += size, size = 0)
		err = prot & VMAP_LARGE ? map_leaf(pgt, addr + done, source, prot, &size)
					: map_base(pgt, addr + done, source, prot, &size);
	if (err)
		vmap_clear(pgt, addr, done);
	vmap_tables_leave(pgt);
	if (!err)
		vmap_publish(pgt, addr, done);
	return err;
}

static bool prot_is_valid(const struct vmap_pgtable *pgt, unsigned prot)
{
	return pgt->format->memory_types & 1u << (prot >> 5 & 3) &&
	       !(prot & ~(VMAP_READ | VMAP_WRITE | VMAP_EXEC | VMAP_LARGE | VMAP_MEMORY_MASK));
}

int vmap_pgtable_map(struct vmap_pgtable *pgt, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	struct source source = {.next = pages, .end = pages + n};
	size_t max = pgt->size >> pgt->format->page_shift, total = 0;

	for (size_t i = 0; i < n && total <= max; i++)
		total += pages[i]->order <= VMAP_MAX_ORDER ? (size_t)1 << pages[i]->order : max + 1;
	if (total > max || !vmap_in_range(pgt, addr, total << pgt->format->page_shift) || !prot_is_valid(pgt, prot))
		return -VMAP_EINVAL;
	if (total == n && !(prot & VMAP_LARGE))
		return vmap_base_map(pgt, addr, pages, n, prot);
	return map_source(pgt, addr, &source, prot | VMAP_READ);
}

int vmap_pgtable_map_frames(struct vmap_pgtable *pgt, uintptr_t addr, uint64_t frame, size_t count, unsigned prot)
{
	struct source source = {.frame = frame, .left = count};
	uint64_t last = pgt->format->frame_mask >> pgt->format->frame_shift;

	if (count > pgt->size >> pgt->format->page_shift || !vmap_in_range(pgt, addr, count << pgt->format->page_shift) ||
	    !prot_is_valid(pgt, prot))
		return -VMAP_EINVAL;
	/* What does not fit would say something else in the entry. */
	if (frame > last || count - 1 > last - frame)
		return -VMAP_EINVAL;
	return map_source(pgt, addr, &source, prot | VMAP_READ);
}

int vmap_pgtable_unmap(struct vmap_pgtable *pgt, uintptr_t addr, size_t size)
{
	int err = 0;

	if (!vmap_in_range(pgt, addr, size))
		return -VMAP_EINVAL;
	if (vmap_base_unmap(pgt, addr, size))
		return 0;
	vmap_tables_enter(pgt);
	if (__atomic_load_n(&pgt->large, __ATOMIC_RELAXED)) {
		err = vmap_split_at(pgt, addr);
		if (!err)
			err = vmap_split_at(pgt, addr + size);
	}
	if (!err)
		vmap_clear(pgt, addr, size);
	vmap_tables_leave(pgt);
	return err;
}

int vmap_pgtable_lookup(struct vmap_pgtable *pgt, uintptr_t addr, struct vmap_pgtable_leaf *result)
{
	const struct vmap_pgtable_format *format = pgt->format;
	struct vmap_path path;
	struct vmap_leaf leaf;
	uint64_t entry;
	unsigned level;

	*result = (struct vmap_pgtable_leaf){0};
	if (addr < pgt->base || addr - pgt->base >= pgt->size)
		return -VMAP_EINVAL;
	vmap_tables_enter(pgt);
	level = vmap_walk(pgt, addr, 0, &path);
	entry = vmap_entry_load(path.entry[level]);
	vmap_tables_leave(pgt);
	if (!vmap_is_present(pgt, entry))
		return -VMAP_ENOENT;
	leaf = vmap_leaf_decode(pgt, entry, level, addr);
	result->size = vmap_span(pgt, level) << (leaf.grouped ? format->level[level].group : 0);
	result->addr = addr & ~(result->size - 1);
	result->frame = leaf.frame + ((addr & (vmap_span(pgt, level) - 1)) >> format->page_shift);
	result->prot = leaf.prot | (result->size > vmap_span(pgt, 0) ? VMAP_LARGE : 0);
	return 0;
}

/* The hooks of struct vmap_host */

static int host_map(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	struct source source = {.next = pages, .end = pages + n};

	/* The core has added the sizes up and knows that they fit. */
	return prot_is_valid(ctx, prot) ? map_source((struct vmap_pgtable *)ctx, addr, &source, prot | VMAP_READ) : -VMAP_EINVAL;
}

static void host_unmap(void *ctx, uintptr_t addr, size_t size)
{
	/* The core unmaps whole pages, which no leaf reaches over, or frames after a cut: none is split. */
	vmap_pgtable_unmap((struct vmap_pgtable *)ctx, addr, size);
}

static int host_map_base(void *ctx, uintptr_t addr, struct vmap_page *const *pages, size_t n, unsigned prot)
{
	return vmap_base_map((struct vmap_pgtable *)ctx, addr, pages, n, prot);
}

static uint64_t *host_pin(void *ctx, uintptr_t addr, size_t size, size_t *n)
{
	return vmap_base_pin((struct vmap_pgtable *)ctx, addr, size, n);
}

static void host_unpin(void *ctx, uintptr_t addr, size_t size)
{
	(void)size;
	vmap_base_unpin((struct vmap_pgtable *)ctx, addr);
}

static void host_publish(void *ctx, uintptr_t addr, size_t size)
{
	vmap_publish((const struct vmap_pgtable *)ctx, addr, size);
}

static int host_protect(void *ctx, uintptr_t addr, size_t size, unsigned prot)
{
	return vmap_pgtable_protect((struct vmap_pgtable *)ctx, addr, size, prot);
}

/* A run of neighbours at a time, so that VMAP_LARGE has something to work with. */
static int host_map_pfn(void *ctx, uintptr_t addr, const uint64_t *frames, size_t n, unsigned prot)
{
	struct vmap_pgtable *pgt = (struct vmap_pgtable *)ctx;
	size_t done = 0, run;
	int err = 0;

	for (; done < n && !err; done += run) {
		for (run = 1; done + run < n && frames[done + run] == frames[done] + run;)
			run++;
		err = vmap_pgtable_map_frames(pgt, addr + done * vmap_span(pgt, 0), frames[done], run, prot);
		if (err)
			break;
	}
	/* What was mapped ends where a leaf ends: none is split. */
	if (err && done)
		vmap_pgtable_unmap(pgt, addr, done * vmap_span(pgt, 0));
	return err;
}

/* A leaf lies in one page, but may be several frames. */
static int host_cut(void *ctx, const uintptr_t *addrs, size_t n)
{
	struct vmap_pgtable *pgt = (struct vmap_pgtable *)ctx;
	int err = 0;

	vmap_tables_enter(pgt);
	for (size_t i = 0; i < n && !err; i++)
		err = vmap_split_at(pgt, addrs[i]);
	vmap_tables_leave(pgt);
	return err;
}

static void host_flush(void *ctx, const struct vmap_range *ranges, size_t n)
{
	vmap_pgtable_flush((struct vmap_pgtable *)ctx, ranges, n);
}

void vmap_pgtable_plug(struct vmap_pgtable *pgt, struct vmap_host *host)
{
	host->ctx = pgt;
	host->page_shift = pgt->format->page_shift;
	host->map = host_map;
	host->unmap = host_unmap;
	host->flush = host_flush;
	host->protect = host_protect;
	host->map_pfn = host_map_pfn;
	host->map_base = host_map_base;
	host->pin = host_pin;
	host->unpin = host_unpin;
	host->publish = pgt->ops->publish ? host_publish : NULL;
	host->entry_bits = pgt->bits;
	host->entry_shift = pgt->frame_shift;
	host->parts = true;
	host->cut = host_cut;
}

/* Begin */

static bool config_is_valid(const struct vmap_pgtable_config *config)
{
	const struct vmap_pgtable_format *format = config->format;
	const struct vmap_pgtable_ops *ops = config->ops;
	uintptr_t mask, last = config->base + (config->size - 1), half;
	const struct vmap_pgtable_level *root;

	if (!format || !ops || !ops->frame_alloc || !ops->frame_free || !ops->phys_to_virt || !ops->flush ||
	    !ops->irq_save != !ops->irq_restore)
		return false;
	mask = ((uintptr_t)1 << format->page_shift) - 1;
	if ((config->base | config->size) & mask || !config->size || last < config->base || last == UINTPTR_MAX)
		return false;
	/* From the sign on, nothing may change. */
	root = &format->level[format->levels - 1];
	half = ~(((uintptr_t)1 << (root->shift + root->bits - format->sign_extended)) - 1);
	return (config->base & half) == (last & half) && ((config->base & half) == 0 || (config->base & half) == half);
}

static void copy_lowest_level(struct vmap_pgtable *pgt)
{
	const struct vmap_pgtable_format *format = pgt->format;

	pgt->page_shift = format->page_shift;
	pgt->frame_shift = format->frame_shift;
	pgt->leaf_shift = format->level[1].shift;
	pgt->leaf_mask = vmap_entries(pgt, 0) - 1;
	pgt->first = pgt->base & ~(vmap_span(pgt, 1) - 1);
	for (unsigned type = 0; type < 4; type++)
		for (unsigned prot = 0; prot < 8; prot++)
			if (format->memory_types & 1u << type)
				pgt->bits[type << 3 | prot] = vmap_leaf_bits(pgt, 0, type << 5 | prot);
}

int vmap_pgtable_init(struct vmap_pgtable *pgt, const struct vmap_pgtable_config *config)
{
	if (!config_is_valid(config))
		return -VMAP_EINVAL;
	*pgt = (struct vmap_pgtable){
		.format = config->format,
		.ops = config->ops,
		.ctx = config->ctx,
		.root = (uint64_t *)config->ops->phys_to_virt(config->ctx, config->root),
		.base = config->base,
		.size = config->size,
		.keep = config->keep,
	};
	copy_lowest_level(pgt);
	return 0;
}

int vmap_pgtable_prefill(struct vmap_pgtable *pgt)
{
	unsigned root = vmap_root_level(pgt);
	size_t first = vmap_index(pgt, pgt->base, root), last = vmap_index(pgt, pgt->base + (pgt->size - 1), root);
	struct vmap_path path;
	int err = 0;

	vmap_tables_enter(pgt);
	for (size_t i = 0; i <= last - first && !err; i++)
		err = vmap_walk_make(pgt, pgt->base + i * vmap_span(pgt, root), root - 1, &path);
	vmap_tables_leave(pgt);
	vmap_publish(pgt, pgt->base, pgt->size);
	return err;
}
