/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of --skip-item
 *
 * An input is a byte of switches and the file. Its size and checksum are made right unless the input wants them wrong. What comes out of it is
 * applied, as --apply-item does: replayed, completed and looked at, in memory.
 */
#include "target.h"

#include <fcntl.h>
#include "finish/complete.h"
#include "format.h"
#include "fuzzfs.h"
#include "logcases.h"
#include "logview.h"
#include "quarantine.h"
#include "summary.h"

enum { AS_IT_IS = 1 }; /* of the input */
#define ITEMS_PER_LOG 8u /* of the seeds */
/* Where the file says how long it is, and its checksum. */
#define CRC_AT 20u
#define SIZE_AT 24u

static struct test_fs fs;
static struct lb lb;

static void setup(void)
{
	fuzz_fs_make_log(&fs, &lb);
}

static void apply(struct xr_log *log, struct xr_cache *cache, const struct xr_quarantined *q)
{
	struct xr_head head = {.cycle = 5};
	struct xr_complete_stats stats;
	struct xr_summary summary;
	enum xr_outcome outcome;
	struct xr_replay r;
	struct xr_fs now = {&r.sb, cache, &fs.t.msg};

	log->order = q->order;
	xr_replay_init(&r, log, cache, &fs.t.msg);
	if (!xr_replay_one(&r, &q->trans, &outcome) && !xr_summary_read(&summary, &now)) {
		xr_complete(&r, NULL, &head, &stats);
		fuzz_fs_look(&now);
	}
	xr_replay_destroy(&r);
}

static void read_and_apply(const char *name)
{
	struct xr_quarantined q;
	struct xr_cache *cache;
	struct xr_log log;

	if (xr_quarantine_read(&q, name, &fs.t.msg))
		return;
	assert_int_equal(xr_cache_create(&cache, &fs.dev, fs.process, false, &fs.t.msg), 0);
	assert_int_equal(xr_log_open(&log, &fs.sb, &fs.dev, NULL, fs.process, &fs.t.msg), 0);
	apply(&log, cache, &q);
	xr_log_close(&log);
	xr_cache_destroy(cache);
	xr_quarantined_free(&q);
}

static void run(const uint8_t *data, size_t size)
{
	static uint8_t file[FUZZ_MAX];
	int fd = memfd_create("item", MFD_CLOEXEC);
	size_t length = size ? size - 1 : 0;
	char name[64];

	memcpy(file, data + (size > 0), length);
	if (size && !(data[0] & AS_IT_IS) && length >= SIZE_AT + 8) {
		xr_put_be64(file + SIZE_AT, length);
		xr_crc_update(file, length, CRC_AT);
	}
	assert_true(fd >= 0 && write(fd, file, length) == (ssize_t)length);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	read_and_apply(name);
	close(fd);
}

/* --- seeds --- */

/* What pass 1 puts into a file for one item of the log. */
static void keep_item(const struct xr_head *head, struct xr_skip *skip, fuzz_seed_fn *fn, void *arg)
{
	static uint8_t seed[FUZZ_MAX];
	struct xr_cache *cache;
	struct xr_replay r;
	ssize_t size;
	int fd;

	assert_int_equal(xr_cache_create(&cache, &fs.dev, fs.process, false, &fs.t.msg), 0);
	xr_replay_init(&r, &lb.log, cache, &fs.t.msg);
	r.skips = skip;
	r.nskips = 1;
	xr_replay_check(&r, head);
	xr_replay_destroy(&r);
	xr_cache_destroy(cache);
	fd = open(skip->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	size = read(fd, seed + 1, sizeof(seed) - 1);
	close(fd);
	unlink(skip->file);
	if (size > 0 && (size_t)size < sizeof(seed) - 1)
		fn(arg, seed, (size_t)size + 1);
}

static void keep_items(const char *name, fuzz_seed_fn *fn, void *arg)
{
	struct xr_logview view = {0};
	struct xr_head head;

	if (xr_head_find(&lb.log, &head) || xr_logview_read(&view, &lb.log, &head)) {
		xr_logview_clear(&view);
		return;
	}
	for (size_t i = 0, record = 0; i < view.nitems && i < ITEMS_PER_LOG; i++) {
		struct xr_skip skip = {.tid = view.trans[view.items[i].trans].tid, .number = view.items[i].number, .file = name};

		while (record + 1 < view.nrecords && view.records[record + 1].items <= i)
			record++;
		skip.lsn = view.records[record].lsn;
		keep_item(&head, &skip, fn, arg);
	}
	xr_logview_clear(&view);
}

static void seeds(fuzz_seed_fn *fn, void *arg)
{
	char directory[] = "/tmp/fuzz.XXXXXX", name[64];

	assert_non_null(mkdtemp(directory));
	snprintf(name, sizeof(name), "%s/item", directory);
	for (size_t i = 0; i < logcases_count; i++) {
		if (!logcase_fits(&logcases[i], &lb.sb))
			continue;
		lb.fmt = i % 2 ? XLOG_FMT_LINUX_BE : XLOG_FMT_LINUX_LE;
		logcase_build(&logcases[i], &lb);
		keep_items(name, fn, arg);
	}
	rmdir(directory);
	lb_zero(&lb, 0, lb.log.bbs);
}

const struct fuzz_target fuzz_item = {"item", setup, seeds, run};
