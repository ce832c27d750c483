/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Intent and done items (specification section 9.5)
 *
 * An intent announces a change that may take several transactions; its done item, in a later one, says that it was made. What remains in
 * the table at the end of the log was interrupted. An id is the writer's memory address: it is reused, so intents and dones are
 * paired as they come, in log order. No kernel has two intents of one id pending, but where a log has, none is forgotten.
 */
#include "items.h"

#include <errno.h>
#include <stdlib.h>

#include "format.h"

#define ID_AT 8u
#define COUNT_AT 4u
#define EXTENTS_AT 16u
#define DONE_SIZE 16u

/* The layout of an intent and of what ends it. Entries follow the header, count of them, of one of two sizes (32-bit writers). */
static const struct layout {
	uint16_t intent, done;
	uint16_t header; /* bytes of region 0 before the entries */
	uint16_t entry, entry32; /* bytes of an entry; 0: none */
	bool done_lists; /* the done item repeats the entries */
} layouts[] = {
	{XFS_LI_EFI, XFS_LI_EFD, EXTENTS_AT, 16, 12, true},  {XFS_LI_EFI_RT, XFS_LI_EFD_RT, EXTENTS_AT, 16, 12, true},
	{XFS_LI_RUI, XFS_LI_RUD, EXTENTS_AT, 32, 32, false}, {XFS_LI_RUI_RT, XFS_LI_RUD_RT, EXTENTS_AT, 32, 32, false},
	{XFS_LI_CUI, XFS_LI_CUD, EXTENTS_AT, 16, 16, false}, {XFS_LI_CUI_RT, XFS_LI_CUD_RT, EXTENTS_AT, 16, 16, false},
	{XFS_LI_BUI, XFS_LI_BUD, EXTENTS_AT, 32, 32, false}, {XFS_LI_ATTRI, XFS_LI_ATTRD, 40, 0, 0, false},
	{XFS_LI_XMI, XFS_LI_XMD, 88, 0, 0, false},
};

static const struct layout *layout_of(uint16_t type)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].intent == type || layouts[i].done == type)
			return &layouts[i];
	return NULL;
}

static bool size_ok(const struct xr_replay *replay, const struct layout *layout, const struct xr_item *item)
{
	const struct xr_region *region = &item->regions[0];
	bool lists = item->type == layout->intent ? layout->entry > 0 : layout->done_lists;
	uint64_t count;

	if (region->size < DONE_SIZE)
		return false;
	if (!lists)
		return region->size == (item->type == layout->intent ? layout->header : DONE_SIZE);
	count = xr_get32(replay->log->order, region->data + COUNT_AT);
	return region->size == layout->header + count * layout->entry || region->size == layout->header + count * layout->entry32;
}

int xr_intent_item_check(const struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item)
{
	const struct layout *layout = layout_of(item->type);

	if (!size_ok(replay, layout, item) || (item->count > 1 && item->type != XFS_LI_ATTRI))
		return xr_item_bad(replay, trans, item, "%u regions, the first of %u bytes, are none such", item->count,
				   item->regions[0].size);
	return 0;
}

/* A copy of its own: the item's regions go with the transaction. */
static struct xr_intent *keep(const struct xr_item *item, uint64_t id)
{
	size_t size = sizeof(struct xr_intent) + item->count * sizeof(struct xr_region);
	struct xr_intent *intent;
	uint8_t *data;

	for (uint16_t i = 0; i < item->count; i++)
		size += item->regions[i].size;
	intent = malloc(size);
	if (!intent)
		return NULL;
	*intent = (struct xr_intent){.type = item->type, .count = item->count, .id = id, .lsn = item->lsn};
	data = (uint8_t *)&intent->regions[item->count];
	for (uint16_t i = 0; i < item->count; i++) {
		intent->regions[i] = (struct xr_region){data, item->regions[i].size};
		memcpy(data, item->regions[i].data, item->regions[i].size);
		data += item->regions[i].size;
	}
	return intent;
}

/* The n-th intent of one type and id. Only the first knows how many there are. */
static struct xr_entry *find(const struct xr_replay *replay, uint16_t type, uint64_t id, uint64_t n)
{
	return xr_table_find(&replay->intents, n << 16 | type, id);
}

static struct xr_intent *intent_of(const struct xr_entry *entry)
{
	return (struct xr_intent *)(uintptr_t)entry->value;
}

/* A done item is for every intent of its id: they are no two that could have been meant. */
static void end_all(struct xr_replay *replay, uint16_t type, uint64_t id)
{
	struct xr_entry *entry = find(replay, type, id, 0);

	for (uint64_t n = entry ? intent_of(entry)->same : 0; entry; entry = n ? find(replay, type, id, n--) : NULL) {
		free(intent_of(entry));
		xr_table_remove(&replay->intents, entry);
	}
}

/* An id that comes again, while an intent of it is pending, is another intent. */
static int begin(struct xr_replay *replay, const struct xr_item *item, uint64_t id)
{
	struct xr_entry *first = find(replay, item->type, id, 0), *entry;
	uint64_t n = first ? intent_of(first)->same + 1 : 0;
	struct xr_intent *intent = keep(item, id);

	entry = intent ? xr_table_add(&replay->intents, n << 16 | item->type, id) : NULL;
	if (!entry) {
		free(intent);
		return xr_fail(replay->msg, -ENOMEM, "no memory for the list of intents");
	}
	entry->value = (uintptr_t)intent;
	if (first)
		intent_of(first)->same = n;
	return 0;
}

int xr_intent_item_replay(struct xr_replay *replay, const struct xr_trans *trans, const struct xr_item *item,
			  enum xr_outcome *outcome)
{
	const struct layout *layout = layout_of(item->type);
	uint64_t id = xr_get64(replay->log->order, item->regions[0].data + ID_AT);

	(void)trans;
	*outcome = XR_NOTED;
	if (item->type == layout->intent)
		return begin(replay, item, id);
	end_all(replay, layout->intent, id); /* there may be none: it began before the tail */
	return 0;
}

uint16_t xr_intent_done_type(uint16_t type)
{
	const struct layout *layout = layout_of(type);

	return layout ? layout->done : 0;
}
