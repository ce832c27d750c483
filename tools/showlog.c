/* SPDX-License-Identifier: GPL-2.0-only */
/* The log's content: as text, one line a record, transaction and item; as JSON, the same in two arrays; as a page, in showlog_html.c. */
#include "showlog.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "format.h"

static const char *const states[] = {"old", "active", "damaged"};

static const char *buffer_kind(const struct xr_seen_item *item)
{
	static const char *const kinds[] = {
		"unknown",
		"user dquots",
		"project dquots",
		"group dquots",
		"btree",
		"AGF",
		"AGFL",
		"AGI",
		"inodes",
		"symlink target",
		"directory block",
		"directory data",
		"directory free index",
		"directory leaf",
		"directory node leaf",
		"directory or attribute node",
		"attribute leaf",
		"attribute value",
		"superblock",
		"realtime bitmap",
		"realtime summary",
	};
	unsigned kind = item->flags >> XFS_BLFT_SHIFT;

	if (item->flags & XFS_BLF_CANCEL)
		return "freed";
	return kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[kind] : kinds[0];
}

char *showlog_item(const struct xr_seen_item *item, char *text, size_t size)
{
	const char *name = xr_item_type_name(item->type);

	switch (item->type) {
	case XFS_LI_BUF:
		snprintf(text, size, "buffer %" PRIu64 "+%u, %s", item->what, item->bbs, buffer_kind(item));
		break;
	case XFS_LI_INODE:
		snprintf(text, size, "inode %" PRIu64, item->what);
		break;
	case XFS_LI_ICREATE:
		snprintf(text, size, "icreate: inodes at block %" PRIu64 " of group %u", item->what, item->group);
		break;
	case XFS_LI_DQUOT:
		snprintf(text, size, "dquot of id %" PRIu64, item->what);
		break;
	case XFS_LI_QUOTAOFF:
		snprintf(text, size, "quotaoff");
		break;
	default:
		snprintf(text, size, "%s %#" PRIx64, name, item->what);
		break;
	}
	return text;
}

static size_t items_end(const struct xr_logview *view, size_t record)
{
	return record + 1 < view->nrecords ? view->records[record + 1].items : view->nitems;
}

static void print_text(FILE *out, const struct xr_logview *view)
{
	size_t begun = 0;
	char text[128];

	for (size_t i = 0; i < view->nrecords; i++) {
		const struct xr_seen_record *r = &view->records[i];

		fprintf(out, "record %u:%u blocks %u operations %u tail %u:%u %s%s\n", xr_lsn_cycle(r->lsn), r->block, r->blocks,
			r->ops, xr_lsn_cycle(r->tail_lsn), xr_lsn_block(r->tail_lsn), states[r->state],
			r->unmount ? " unmount" : "");
		for (; begun < view->ntrans && view->trans[begun].begin == i; begun++) {
			const struct xr_seen_trans *t = &view->trans[begun];

			fprintf(out, "  transaction %#x items %zu ", t->tid, t->items);
			if (t->commit == XR_SEEN_NONE)
				fprintf(out, "not committed\n");
			else
				fprintf(out, "committed %u:%u\n", xr_lsn_cycle(view->records[t->commit].lsn),
					view->records[t->commit].block);
		}
		for (size_t k = r->items; k < items_end(view, i); k++)
			fprintf(out, "    %#x:%u %s\n", view->trans[view->items[k].trans].tid, view->items[k].number,
				showlog_item(&view->items[k], text, sizeof(text)));
	}
}

static json_t *record_json(const struct xr_logview *view, size_t i)
{
	const struct xr_seen_record *r = &view->records[i];
	json_t *items = json_array();
	char lsn[32], tail[32], text[128];

	for (size_t k = r->items; k < items_end(view, i); k++) {
		const struct xr_seen_item *item = &view->items[k];
		json_t *o = json_pack("{s:I, s:I, s:s, s:s, s:I}", "transaction", (json_int_t)item->trans, "number",
				      (json_int_t)item->number, "type", xr_item_type_name(item->type), "text",
				      showlog_item(item, text, sizeof(text)), "regions", (json_int_t)item->regions);

		if (item->group != UINT32_MAX)
			json_object_set_new(o, "group", json_integer(item->group));
		json_array_append_new(items, o);
	}
	snprintf(lsn, sizeof(lsn), "%u:%u", xr_lsn_cycle(r->lsn), r->block);
	snprintf(tail, sizeof(tail), "%u:%u", xr_lsn_cycle(r->tail_lsn), xr_lsn_block(r->tail_lsn));
	return json_pack("{s:s, s:s, s:I, s:I, s:s, s:b, s:o}", "lsn", lsn, "tail", tail, "blocks", (json_int_t)r->blocks,
			 "operations", (json_int_t)r->ops, "state", states[r->state], "unmount", r->unmount, "items", items);
}

static void add_json(json_t *json, const struct xr_logview *view)
{
	json_t *records = json_array(), *all = json_array();

	for (size_t i = 0; i < view->nrecords; i++)
		json_array_append_new(records, record_json(view, i));
	for (size_t i = 0; i < view->ntrans; i++) {
		const struct xr_seen_trans *t = &view->trans[i];

		json_array_append_new(all,
				      json_pack("{s:I, s:I, s:I, s:o}", "tid", (json_int_t)t->tid, "items", (json_int_t)t->items,
						"begins_in_record", (json_int_t)t->begin, "committed_in_record",
						t->commit == XR_SEEN_NONE ? json_null() : json_integer((json_int_t)t->commit)));
	}
	json_object_set_new(json, "trivial", json_boolean(view->trivial));
	json_object_set_new(json, "records", records);
	json_object_set_new(json, "transactions", all);
}

int showlog(struct run *run)
{
	struct xr_logview view;
	int ret = xr_logview_read(&view, &run->log, &run->head);

	if (!ret && view.trivial)
		xr_say(run->msg, XR_INFO,
		       "%s: trivially dirty: nothing but the superblock is logged: a frozen filesystem, or a snapshot of one",
		       run->options->image);
	if (!ret && run->options->log_html)
		showlog_html(stdout, run, &view);
	else if (!ret && run->report->json)
		add_json(run->report->json, &view);
	else if (!ret)
		print_text(stdout, &view);
	if (!ret && (fflush(stdout) || ferror(stdout)))
		ret = xr_fail(run->msg, -EIO, "the list cannot be written to standard output: %s", strerror(errno));
	xr_logview_clear(&view);
	return ret;
}
