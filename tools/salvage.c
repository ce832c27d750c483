/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Salvage: what --stop-at, --until-bad and --skip-item leave out
 *
 * The log is cut where the damage begins, and pass 1 repeated on what is left, until it finds nothing wrong: each cut is before the one
 * before it, so that ends. Then pass 2 is rehearsed over a shadow of the image, because only there an item meets the blocks that it is for, and what they do not go
 * with is damage, too. Half transactions are none, so what is replayed ends with the last one that was committed before the cut.
 */
#include "salvage.h"

#include <errno.h>
#include <inttypes.h>

#include "lost.h"
#include "tree.h"

static bool is_damage(int error)
{
	return error == -EUCLEAN || error == -EBADMSG || error == -EOPNOTSUPP;
}

/* End the log at block. False: it does not reach so far. */
static bool cut_at(struct run *run, uint32_t block)
{
	uint32_t tail = run->head.tail;

	if (xr_log_distance(&run->log, tail, block) >= xr_log_distance(&run->log, tail, xr_head_end(&run->head)))
		return false;
	run->head.cut = true;
	run->head.end = block;
	xr_say(run->msg, XR_WARN, "%s: nothing from log block %u on is replayed", run->options->image, block);
	return true;
}

static int check(struct run *run)
{
	struct xr_replay *r = &run->replay;
	int ret = xr_replay_check(r, &run->head);

	while (is_damage(ret) && run->options->until_bad && cut_at(run, r->stats.log.reached)) {
		run_begin_replay(run);
		ret = xr_replay_check(r, &run->head);
	}
	return ret;
}

/* Both passes, over a shadow that is dropped. *cut: pass 2 met damage, and the log was cut before that. */
static int rehearse(struct run *run, bool *cut)
{
	struct xr_replay *r = &run->replay;
	struct xr_cache *kept = run->cache;
	struct xr_dev dev = run->data;
	struct xr_shadow *shadow;
	int ret;

	*cut = false;
	dev.undo = NULL;
	ret = xr_shadow_create(&shadow, &dev);
	if (!ret)
		ret = xr_cache_create(&run->cache, &dev, run->process, true, run->msg);
	if (ret) {
		xr_shadow_close(shadow);
		run->cache = kept;
		return ret;
	}
	run_begin_replay(run);
	for (unsigned i = 0; i < run->options->nskips; i++)
		run->skips[i].file = NULL;
	ret = check(run);
	if (!ret) {
		ret = xr_replay_apply(r, &run->head);
		/* What a group of transactions made of a block shows only when the next one begins. */
		*cut = is_damage(ret) && (cut_at(run, r->stats.log.reached) || cut_at(run, xr_lsn_block(r->group_lsn)));
	}
	xr_replay_destroy(r);
	xr_cache_destroy(run->cache);
	xr_shadow_close(shadow);
	run->cache = kept;
	return ret;
}

int salvage_check(struct run *run)
{
	int ret = check(run);
	bool cut = true;

	if (ret || !run->options->until_bad)
		return ret;
	do
		ret = rehearse(run, &cut);
	while (ret && cut);
	run_begin_replay(run);
	return ret ? ret : xr_replay_check(&run->replay, &run->head);
}

/* --- what is lost --- */

struct listing {
	struct run *run;
	struct xr_lost lost;
	json_t *array;
};

static void say_lost(struct listing *l, uint64_t ino, const char *path)
{
	if (path)
		xr_say(l->run->msg, XR_WARN, "lost: later changes of inode %" PRIu64 ", %s", ino, path);
	else
		xr_say(l->run->msg, XR_WARN, "lost: later changes of inode %" PRIu64 ", which has no name yet or any more", ino);
	if (l->array)
		json_array_append_new(l->array, path ? json_pack("{s:I, s:s}", "ino", (json_int_t)ino, "path", path)
						     : json_pack("{s:I}", "ino", (json_int_t)ino));
}

static int match(void *arg, const struct xr_tree_entry *entry)
{
	struct listing *l = arg;
	struct xr_entry *lost = xr_table_find(&l->lost.inodes, entry->inode->ino, 0);
	char *path;

	if (!lost)
		return 0;
	path = malloc(4 * entry->path_size + 1);
	if (!path)
		return -ENOMEM;
	lost->value = true; /* it has a name */
	say_lost(l, lost->a, xr_escape(path, 4 * entry->path_size + 1, entry->path, entry->path_size));
	free(path);
	return 0;
}

/* What was left out behind the cut. */
static int find_cut(struct listing *l)
{
	struct run *run = l->run;
	int ret = xr_lost_find(&run->log, &run->head, &l->lost);

	if (!ret)
		xr_say(run->msg, XR_WARN,
		       "%s: the replay ended at log block %u: %" PRIu64 " later records, and %" PRIu64
		       " damaged blocks, are left out; %zu inodes lose changes",
		       run->options->image, run->head.end, l->lost.records, l->lost.damaged, l->lost.inodes.count);
	return ret;
}

/* What the items that were left out would have changed. */
static int find_skipped(struct listing *l)
{
	struct run *run = l->run;
	json_t *array = run->report->json && run->options->nskips ? json_array() : NULL;
	int ret = 0;

	for (unsigned i = 0; i < run->options->nskips && !ret; i++) {
		const struct xr_skip *skip = &run->skips[i];

		if (skip->ino)
			ret = xr_table_add(&l->lost.inodes, skip->ino, 0) ? 0 : -ENOMEM;
		else if (skip->target.bbs && skip->target.daddr < run->replay.end_bbs)
			ret = xr_lost_owners(&run->replay.sb, run->cache, &skip->target, &l->lost);
		if (skip->target.bbs)
			xr_say(run->msg, XR_WARN, "lost: a change of blocks %" PRIu64 "+%u", skip->target.daddr,
			       skip->target.bbs);
		if (array)
			json_array_append_new(array,
					      json_pack("{s:o, s:I, s:I, s:o, s:I, s:I}", "lsn", report_lsn(skip->lsn),
							"transaction", (json_int_t)skip->tid, "number", (json_int_t)skip->number,
							"file", report_text(run->options->skips[i].file), "block",
							(json_int_t)skip->target.daddr, "blocks", (json_int_t)skip->target.bbs));
	}
	if (array)
		json_object_set_new(run->report->json, "skipped", array);
	return ret;
}

int salvage_report(struct run *run)
{
	struct listing l = {.run = run};
	struct xr_fs fs = {&run->replay.sb, run->cache, run->msg};
	struct xr_tree_result result;
	int ret = 0;

	if (!run_salvaged(run))
		return 0;
	l.array = run->report->json ? json_array() : NULL;
	if (run->head.cut)
		ret = find_cut(&l);
	if (!ret)
		ret = find_skipped(&l);
	if (!ret)
		ret = xr_tree_walk(&fs, match, &l, &result);
	for (const struct xr_entry *e = l.lost.inodes.first; e && !ret; e = e->next)
		if (!e->value)
			say_lost(&l, e->a, NULL);
	xr_lost_clear(&l.lost);
	if (run->report->json)
		json_object_set_new(run->report->json, "lost", l.array);
	return ret;
}

void salvage_give_up(struct run *run)
{
	for (const struct xr_entry *e = run->replay.intents.first; e; e = e->next) {
		const struct xr_intent *intent = (const struct xr_intent *)(uintptr_t)e->value;

		xr_say(run->msg, XR_WARN, "lost: the rest of an operation: %s intent, id %#" PRIx64 ", at LSN %u:%u",
		       xr_item_type_name(intent->type), intent->id, xr_lsn_cycle(intent->lsn), xr_lsn_block(intent->lsn));
	}
}
