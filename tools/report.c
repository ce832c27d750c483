/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The report
 *
 * Every fact is said once, by one function, in both forms: a line for people, members of the object for programs. The names of the members
 * and the order of the lines are an interface that scripts rely on.
 */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "format.h"

static FILE *lines(const struct report *report)
{
	return options_stdout_taken(report->options) ? stderr : stdout;
}

json_t *report_text(const char *text)
{
	json_t *json = json_string(text);
	char escaped[4096];

	return json ? json : json_string(xr_escape(escaped, sizeof(escaped), text, strlen(text)));
}

/* Who meets the same damage again need not say so twice in a row. */
static bool said_just_now(struct report *report, const char *text)
{
	if (!strcmp(report->last, text))
		return true;
	snprintf(report->last, sizeof(report->last), "%s", text);
	return false;
}

static void emit(void *arg, enum xr_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info", "detail"};
	struct report *report = arg;

	pthread_mutex_lock(&report->lock);
	if (said_just_now(report, text)) {
		pthread_mutex_unlock(&report->lock);
		return;
	}
	xr_progress_clear(&report->progress);
	if (report->json)
		json_array_append_new(json_object_get(report->json, "messages"),
				      json_pack("{s:s, s:o}", "level", names[level], "text", report_text(text)));
	if (level <= XR_WARN)
		fprintf(stderr, "%s: %s%s\n", report->options->program, level == XR_WARN ? "warning: " : "", text);
	else if (!report->json)
		fprintf(lines(report), "%s\n", text);
	pthread_mutex_unlock(&report->lock);
}

void report_progress(void *arg, uint32_t done, uint32_t all)
{
	struct report *report = arg;

	pthread_mutex_lock(&report->lock);
	xr_progress_show(&report->progress, "replaying the log", done, all);
	pthread_mutex_unlock(&report->lock);
}

void report_init(struct report *report, const struct options *options)
{
	*report = (struct report){.options = options};
	pthread_mutex_init(&report->lock, NULL);
	report->msg = (struct xr_msg){emit, report, options->verbose ? XR_DETAIL : XR_INFO};
	xr_progress_init(&report->progress, stderr, true);
	if (options->json)
		report->json = json_pack("{s:s, s:o, s:[]}", "program", "xfs_replay " XR_VERSION, "image",
					 report_text(options->image), "messages");
}

json_t *report_lsn(uint64_t lsn)
{
	return json_sprintf("%u:%u", xr_lsn_cycle(lsn), xr_lsn_block(lsn));
}

static json_t *uuid_json(const uint8_t *u)
{
	return json_sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4],
			    u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

void report_log(struct report *report, const struct xr_log *log, const struct xr_head *head)
{
	const struct xr_sb *sb = log->sb;

	xr_say(&report->msg, XR_INFO, "%s: XFS version %u, %u allocation groups of %u blocks of %u bytes", report->options->image,
	       sb->versionnum & XFS_SB_VERSION_NUMBITS, sb->agcount, sb->agblocks, sb->blocksize);
	if (head->empty)
		xr_say(&report->msg, XR_INFO, "log: %u basic blocks, %s, never written", log->bbs,
		       sb->logstart ? "internal" : "external");
	else
		xr_say(&report->msg, XR_INFO, "log: %u basic blocks, %s, head %u:%u, tail %u:%u, %s", log->bbs,
		       sb->logstart ? "internal" : "external", head->cycle, head->head, xr_lsn_cycle(head->tail_lsn), head->tail,
		       head->clean ? "clean" : "dirty");
	if (!report->json)
		return;
	json_object_set_new(report->json, "filesystem",
			    json_pack("{s:i, s:o, s:I, s:I, s:I, s:I}", "version", sb->versionnum & XFS_SB_VERSION_NUMBITS,
				      "uuid", uuid_json(sb->uuid), "block_size", (json_int_t)sb->blocksize, "blocks",
				      (json_int_t)sb->dblocks, "ag_count", (json_int_t)sb->agcount, "directory_block_size",
				      (json_int_t)sb->dirblocksize));
	json_object_set_new(report->json, "log",
			    json_pack("{s:b, s:I, s:b, s:b, s:o, s:o, s:I, s:I}", "internal", sb->logstart != 0, "basic_blocks",
				      (json_int_t)log->bbs, "empty", head->empty, "clean", head->clean || head->empty, "head",
				      report_lsn(xr_lsn(head->cycle, head->head)), "tail", report_lsn(head->tail_lsn), "records",
				      (json_int_t)head->records, "torn_records", (json_int_t)head->torn));
}

static void report_items(struct report *report, const struct xr_replay *replay, json_t *json)
{
	for (unsigned i = 0; xr_item_name(i); i++) {
		const struct xr_item_stats *s = &replay->stats.items[i];

		if (!s->seen)
			continue;
		if (s->replayed + s->stale + s->cancelled)
			xr_say(&report->msg, XR_INFO,
			       "  %-8s %8" PRIu64 " items: %" PRIu64 " replayed, %" PRIu64 " already on the disk, %" PRIu64
			       " cancelled",
			       xr_item_name(i), s->seen, s->replayed, s->stale, s->cancelled);
		else
			xr_say(&report->msg, XR_INFO, "  %-8s %8" PRIu64 " items", xr_item_name(i), s->seen);
		if (json)
			json_object_set_new(json, xr_item_name(i),
					    json_pack("{s:I, s:I, s:I, s:I}", "seen", (json_int_t)s->seen, "replayed",
						      (json_int_t)s->replayed, "stale", (json_int_t)s->stale, "cancelled",
						      (json_int_t)s->cancelled));
	}
}

void report_replay(struct report *report, const struct xr_replay *replay)
{
	const struct xr_replay_stats *s = &replay->stats;
	json_t *items = report->json ? json_object() : NULL;

	xr_progress_clear(&report->progress);
	xr_say(&report->msg, XR_INFO, "replay: %" PRIu64 " transactions in %" PRIu64 " records", s->log.committed,
	       s->log.records);
	report_items(report, replay, items);
	if (s->log.unfinished)
		xr_say(&report->msg, XR_INFO, "  %" PRIu64 " transactions were never committed and do not count",
		       s->log.unfinished);
	if (s->unverified)
		xr_say(&report->msg, XR_WARN,
		       "%" PRIu64 " buffers are not what their log item says they are: written as logged (-v names them)",
		       s->unverified);
	if (replay->trivial)
		xr_say(&report->msg, XR_INFO,
		       "  nothing but the superblock was logged: a frozen filesystem, or a snapshot of one");
	if (report->json)
		json_object_set_new(json_object_get(report->json, "log"), "records", json_integer((json_int_t)s->log.records));
	if (report->json)
		json_object_set_new(report->json, "replay",
				    json_pack("{s:I, s:I, s:I, s:I, s:b, s:o}", "records", (json_int_t)s->log.records,
					      "transactions", (json_int_t)s->log.committed, "unfinished",
					      (json_int_t)s->log.unfinished, "unverified_buffers", (json_int_t)s->unverified,
					      "trivial", replay->trivial, "items", items));
}

void report_pending(struct report *report, const struct xr_replay *replay)
{
	for (const struct xr_entry *e = replay->intents.first; e; e = e->next) {
		const struct xr_intent *intent = (const struct xr_intent *)(uintptr_t)e->value;

		xr_say(&report->msg, XR_DETAIL, "unfinished: %s, id %#" PRIx64 ", at LSN %u:%u", xr_item_type_name(intent->type),
		       intent->id, xr_lsn_cycle(intent->lsn), xr_lsn_block(intent->lsn));
	}
}

void report_completed(struct report *report, const struct xr_complete_stats *stats)
{
	xr_say(&report->msg, XR_INFO,
	       "completed: %" PRIu64 " intents, %" PRIu64 " unlinked inodes (%" PRIu64 " chunks freed), %" PRIu64
	       " copy-on-write leftovers, in %" PRIu64 " transactions",
	       stats->intents, stats->unlinked, stats->chunks_freed, stats->cow_extents, stats->transactions);
	if (stats->unlinked_kept)
		xr_say(&report->msg, XR_WARN,
		       "%" PRIu64
		       " unlinked inodes, or lists of them, were damaged and given up, as a kernel does: run xfs_repair",
		       stats->unlinked_kept);
	if (report->json)
		json_object_set_new(report->json, "completed",
				    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "intents", (json_int_t)stats->intents,
					      "unlinked", (json_int_t)stats->unlinked, "unlinked_given_up",
					      (json_int_t)stats->unlinked_kept, "groups_given_up", (json_int_t)stats->groups_kept,
					      "chunks_freed", (json_int_t)stats->chunks_freed, "cow_extents",
					      (json_int_t)stats->cow_extents, "transactions", (json_int_t)stats->transactions,
					      "log_bytes", (json_int_t)stats->log_bytes));
}

void report_summary(struct report *report, const struct xr_replay *replay, const struct xr_summary *summary)
{
	if (replay->intents.count || summary->unlinked || summary->cow)
		xr_say(&report->msg, XR_INFO,
		       "left for the kernel: %zu unfinished intents, %" PRIu64
		       " lists of unlinked inodes, copy-on-write leftovers in %" PRIu64 " groups",
		       replay->intents.count, summary->unlinked, summary->cow);
	if (summary->damaged)
		xr_say(&report->msg, XR_WARN, "%" PRIu64 " groups are damaged: the superblock's counters are left as they are",
		       summary->damaged);
	else
		xr_say(&report->msg, XR_DETAIL, "counted: %" PRIu64 " inodes, %" PRIu64 " of them free; %" PRIu64 " blocks free",
		       summary->icount, summary->ifree, summary->fdblocks);
	if (!report->json)
		return;
	json_object_set_new(report->json, "left",
			    json_pack("{s:I, s:I, s:I, s:I}", "intents", (json_int_t)replay->intents.count, "unlinked_lists",
				      (json_int_t)summary->unlinked, "cow_groups", (json_int_t)summary->cow, "damaged_groups",
				      (json_int_t)summary->damaged));
	if (summary->damaged)
		return;
	json_object_set_new(report->json, "counters",
			    json_pack("{s:I, s:I, s:I, s:I}", "icount", (json_int_t)summary->icount, "ifree",
				      (json_int_t)summary->ifree, "fdblocks", (json_int_t)summary->fdblocks, "frextents",
				      (json_int_t)summary->frextents));
}

/* The most memory this process ever had, in KiB, as the kernel counts it; 0 where it does not say. */
static unsigned long peak_kib(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmHWM: %lu kB", &kib) == 1)
			break;
	if (status)
		fclose(status);
	return kib;
}

void report_stats(struct report *report, struct vmap_process *process, const struct xr_cache *cache)
{
	struct xr_cache_stats c = {0};
	struct vmap_process_stats p;
	unsigned long peak = peak_kib();

	if (!report->options->stats)
		return;
	if (cache)
		xr_cache_stats(cache, &c);
	vmap_process_stats(process, &p);
	xr_say(&report->msg, XR_INFO,
	       "stats: %" PRIu64 " views of %" PRIu64 " pages, %" PRIu64 " of them of neighbours and free, %" PRIu64
	       " mmap calls, %" PRIu64 " bytes copied; %" PRIu64 " bytes read, %" PRIu64
	       " written; peak %lu KiB, of which pool pages %zu KiB",
	       c.views, c.pages_mapped, c.neighbours, p.mmaps, c.copied, c.read_bytes, c.write_bytes, peak, p.pool_peak >> 10);
	if (report->json)
		json_object_set_new(report->json, "stats",
				    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "views", (json_int_t)c.views,
					      "views_of_neighbours", (json_int_t)c.neighbours, "pages_mapped",
					      (json_int_t)c.pages_mapped, "mmap_calls", (json_int_t)p.mmaps, "bytes_copied",
					      (json_int_t)c.copied, "bytes_read", (json_int_t)c.read_bytes, "bytes_written",
					      (json_int_t)c.write_bytes, "cache_peak_pages", (json_int_t)c.peak_pages, "peak_kib",
					      (json_int_t)peak, "pool_peak_bytes", (json_int_t)p.pool_peak));
}

int report_end(struct report *report, int status)
{
	bool wanted = report->json || options_stdout_taken(report->options);

	xr_progress_clear(&report->progress);
	if (report->json) {
		json_object_set_new(report->json, "exit_status", json_integer(status));
		json_dumpf(report->json, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(report->json);
		report->json = NULL;
	}
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	return wanted ? xr_fail(&report->msg, -EIO, "standard output cannot be written: what it holds is not all") : 0;
}
