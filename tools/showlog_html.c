/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log as a page
 *
 * The log is a ring, and is drawn as one: block 0 at the top, clockwise. The outer band is its records, the inner one its
 * transactions from where they begin to where they are committed; marks show head and tail; below, how many items touch each
 * allocation group. Everything that came from the disk is a number, so nothing has to be escaped but the image's name.
 */
#include "showlog.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define GROUPS_SHOWN 256u
#define CENTRE 320.0
#define ROWS 2000u /* of the tables; the text form has all */

static const char *const classes[] = {"old", "active", "damaged"};

static void escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<' || *text == '>' || *text == '&' || *text == '"')
			fprintf(out, "&#%d;", *text);
		else
			fputc(*text, out);
	}
}

static double angle(const struct run *run, uint32_t block)
{
	return 2 * M_PI * block / run->log.bbs;
}

static void point(FILE *out, double radius, double a)
{
	fprintf(out, "%.2f %.2f", CENTRE + radius * sin(a), CENTRE - radius * cos(a));
}

/* A piece of a band: count blocks from block on, between two radii; title says what it is. */
static void band(FILE *out, const struct run *run, uint32_t block, uint32_t count, double inner, double outer, const char *class,
		 const char *title)
{
	double from = angle(run, block), to = from + angle(run, count);
	int large = to - from > M_PI;

	fprintf(out, "<path class=\"%s\" d=\"M", class);
	point(out, outer, from);
	fprintf(out, "A%.0f %.0f 0 %d 1 ", outer, outer, large);
	point(out, outer, to);
	fputs("L", out);
	point(out, inner, to);
	fprintf(out, "A%.0f %.0f 0 %d 0 ", inner, inner, large);
	point(out, inner, from);
	fprintf(out, "Z\"><title>%s</title></path>\n", title);
}

static void mark(FILE *out, const struct run *run, uint32_t block, const char *name)
{
	double a = angle(run, block);

	fprintf(out, "<path class=\"mark\" d=\"M");
	point(out, 175, a);
	fputs("L", out);
	point(out, 275, a);
	fprintf(out, "\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s %u</text>\n", CENTRE + 284 * sin(a),
		CENTRE - 284 * cos(a) + 4,
		sin(a) > 0.3    ? "start"
		: sin(a) < -0.3 ? "end"
				: "middle",
		name, block);
}

static void ring(FILE *out, const struct run *run, const struct xr_logview *view)
{
	char title[128];

	fputs("<svg viewBox=\"-60 0 760 640\" role=\"img\" aria-label=\"The log as a ring\">\n"
	      "<circle class=\"free\" cx=\"320\" cy=\"320\" r=\"245\"/><circle class=\"thin\" cx=\"320\" cy=\"320\" "
	      "r=\"198\"/>\n",
	      out);
	for (size_t i = 0; i < view->nrecords; i++) {
		const struct xr_seen_record *r = &view->records[i];

		snprintf(title, sizeof(title), "record %u:%u, %u blocks, %u operations, %s%s", xr_lsn_cycle(r->lsn), r->block,
			 r->blocks, r->ops, classes[r->state], r->unmount ? ", unmount" : "");
		band(out, run, r->block, r->blocks, 225, 265, classes[r->state], title);
	}
	for (size_t i = 0; i < view->ntrans; i++) {
		const struct xr_seen_trans *t = &view->trans[i];
		const struct xr_seen_record *a = &view->records[t->begin],
					    *b = t->commit == XR_SEEN_NONE ? a : &view->records[t->commit];
		uint32_t count = xr_log_distance(&run->log, a->block, b->block) + b->blocks;

		snprintf(title, sizeof(title), "transaction %#x, %zu items%s", t->tid, t->items,
			 t->commit == XR_SEEN_NONE ? ", not committed" : "");
		band(out, run, a->block, count, i % 2 ? 198 : 188, i % 2 ? 208 : 198,
		     t->commit == XR_SEEN_NONE ? "lost" : "trans", title);
	}
	if (!run->head.clean && !run->head.empty)
		mark(out, run, run->head.tail, "tail");
	mark(out, run, run->head.head, "head");
	fprintf(out,
		"<text class=\"big\" x=\"320\" y=\"312\" text-anchor=\"middle\">%s</text>"
		"<text x=\"320\" y=\"340\" text-anchor=\"middle\">%u blocks of 512 bytes</text></svg>\n",
		run->head.clean || run->head.empty ? "clean"
		: view->trivial                    ? "trivially dirty"
						   : "dirty",
		run->log.bbs);
}

/* How often each group was touched, between tail and head and before; groups beyond the first 256 are left out, and said. */
static void groups(FILE *out, const struct run *run, const struct xr_logview *view)
{
	uint32_t n = run->sb.agcount < GROUPS_SHOWN ? run->sb.agcount : GROUPS_SHOWN;
	uint64_t(*touched)[2] = calloc(n, sizeof(*touched)), most = 1;

	if (!touched)
		return;
	for (size_t i = 0, record = 0; i < view->nitems; i++) {
		const struct xr_seen_item *item = &view->items[i];

		while (record + 1 < view->nrecords && view->records[record + 1].items <= i)
			record++;
		if (item->group < n)
			touched[item->group][view->records[record].state != XR_SEEN_OLD]++;
	}
	for (uint32_t g = 0; g < n; g++)
		most = touched[g][0] + touched[g][1] > most ? touched[g][0] + touched[g][1] : most;
	fprintf(out,
		"<h2>Allocation groups</h2><div class=\"scroll\"><svg class=\"groups\" style=\"width:%upx\" viewBox=\"0 0 %u "
		"150\" role=\"img\" "
		"aria-label=\"Items by allocation group\">\n",
		n * 44 + 20, n * 44 + 20);
	for (uint32_t g = 0; g < n; g++) {
		double active = 110.0 * (double)touched[g][1] / (double)most, old = 110.0 * (double)touched[g][0] / (double)most;

		fprintf(out,
			"<g><title>group %u: %" PRIu64 " items to replay, %" PRIu64 " older</title>"
			"<rect class=\"active\" x=\"%u\" y=\"%.1f\" width=\"30\" height=\"%.1f\"/>"
			"<rect class=\"old\" x=\"%u\" y=\"%.1f\" width=\"30\" height=\"%.1f\"/>"
			"<text x=\"%u\" y=\"142\" text-anchor=\"middle\">%u</text></g>\n",
			g, touched[g][1], touched[g][0], g * 44 + 10, 125 - active, active, g * 44 + 10, 125 - active - old, old,
			g * 44 + 25, g);
	}
	fputs("</svg></div>\n", out);
	if (n < run->sb.agcount)
		fprintf(out, "<p>%u more groups are not shown.</p>\n", run->sb.agcount - n);
	free(touched);
}

static void table(FILE *out, const struct xr_logview *view)
{
	size_t first = view->ntrans > ROWS ? view->ntrans - ROWS : 0;

	fprintf(out, "<h2>Transactions</h2>\n");
	if (first)
		fprintf(out, "<p>The newest %u of %zu; <code>xfs_replay --log</code> lists all.</p>\n", ROWS, view->ntrans);
	fputs("<div class=\"scroll\"><table><tr><th>Transaction<th>Begins<th>Committed<th>Items<th>State</tr>\n", out);
	for (size_t i = first; i < view->ntrans; i++) {
		const struct xr_seen_trans *t = &view->trans[i];
		const struct xr_seen_record *r = &view->records[t->begin];

		fprintf(out, "<tr><td>%#x<td>%u:%u<td>", t->tid, xr_lsn_cycle(r->lsn), r->block);
		if (t->commit == XR_SEEN_NONE)
			fputs("no", out);
		else
			fprintf(out, "%u:%u", xr_lsn_cycle(view->records[t->commit].lsn), view->records[t->commit].block);
		fprintf(out, "<td>%zu<td>%s</tr>\n", t->items, classes[r->state]);
	}
	fputs("</table></div>\n", out);
}

void showlog_html(FILE *out, const struct run *run, const struct xr_logview *view)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	      "content=\"width=device-width\">"
	      "<title>XFS log</title>\n<style>\n"
	      ":root{color-scheme:light "
	      "dark;--ink:#222;--paper:#fff;--free:#eceff1;--old:#b0bec5;--active:#1976d2;--bad:#d32f2f;--trans:#43a047}\n"
	      "@media(prefers-color-scheme:dark){:root{--ink:#ddd;--paper:#15191c;--free:#263238;--old:#546e7a;--active:#64b5f6;-"
	      "-bad:#ef5350;--trans:#81c784}}\n"
	      "body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem "
	      "auto;padding:0 1rem}\n"
	      "svg{width:100%;max-width:40rem;display:block;margin:auto}svg.groups{max-width:none;margin:0}.scroll{overflow-x:"
	      "auto}text{fill:var(--ink);font-size:13px}.big{font-size:24px}\n"
	      ".free,.thin{fill:none;stroke:var(--free);stroke-width:40}.thin{stroke-width:20}.old{fill:var(--old)}.active{fill:"
	      "var(--active)}\n"
	      ".damaged,.lost{fill:var(--bad)}.trans{fill:var(--trans)}.mark{stroke:var(--ink);stroke-width:2}path{stroke:var(--"
	      "paper);stroke-width:.4}\n"
	      ".key{display:flex;flex-wrap:wrap;gap:1rem;justify-content:center}.key "
	      "i{display:inline-block;width:.9em;height:.9em;margin-right:.4em}\n"
	      "table{border-collapse:collapse}td,th{text-align:left;padding:.15rem 1rem .15rem "
	      "0;font-variant-numeric:tabular-nums}\n"
	      "</style></head><body><h1>Log of ",
	      out);
	escaped(out, run->options->image);
	fprintf(out, "</h1>\n<p>%zu records can be read, with %zu transactions and %zu items.</p>\n", view->nrecords,
		view->ntrans, view->nitems);
	if (view->trivial)
		fputs("<p>Trivially dirty: nothing but the superblock is logged: a frozen filesystem, or a snapshot of "
		      "one.</p>\n",
		      out);
	ring(out, run, view);
	fputs("<p class=\"key\"><span><i style=\"background:var(--active)\"></i>to be replayed</span><span><i "
	      "style=\"background:var(--old)\"></i>"
	      "before the tail, still readable</span><span><i style=\"background:var(--bad)\"></i>damaged, or not "
	      "committed</span><span>"
	      "<i style=\"background:var(--trans)\"></i>transaction</span></p>\n",
	      out);
	groups(out, run, view);
	table(out, view);
	fputs("</body></html>\n", out);
}
