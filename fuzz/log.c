/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Logs
 *
 * An input is a byte of switches and records: a length, switches, perhaps a word of the header to change, and the data, which is written by the
 * tests' log writer. So lengths, stamps and checksums are right unless the input wants them wrong, and what changes is what is inside. The log
 * begins at block 0 of a log of zeros; the filesystem is only read, all that is replayed and completed stays in memory.
 */
#include "target.h"

#include <errno.h>
#include "attr.h"
#include "finish/complete.h"
#include "format.h"
#include "fuzzfs.h"
#include "logcases.h"
#include "logview.h"
#include "ring.h"
#include "summary.h"

enum { BIG_ENDIAN_ = 1, LARGE = 2, HEADER_324 = 4, SLICES = 8, VIEW = 16 }; /* of the input */
enum { POKE = 1 }; /* of a record: offset in words and value follow */
#define RECORD_HEAD 3u
#define POKE_BYTES 5u
#define MAX_RECORDS 64u

static struct test_fs fs;
static struct lb lb;
static struct {
	uint32_t at, value;
} poked;

static void setup(void)
{
	fuzz_fs_make_log(&fs, &lb);
}

static void poke(struct lb *l, uint8_t *record, size_t bytes)
{
	(void)l;
	if (poked.at + 4 <= bytes)
		xr_put_be32(record + poked.at, poked.value);
}

/* How many operations begin in the data, one that is cut short too. */
static uint32_t count_ops(const uint8_t *data, uint32_t size)
{
	uint32_t n = 0;

	while (size) {
		uint32_t len = size >= 12 ? xr_be32(data + 4) : size;

		n++;
		if (size < 12 || len > size - 12)
			break;
		data += 12 + len;
		size -= 12 + len;
	}
	return n;
}

/* Write the records. The input's bytes are used up as they come; what is missing is not there. */
static void write_log(const uint8_t *data, size_t size)
{
	uint8_t switches = size ? *data++ : 0;

	size -= size > 0;
	lb.fmt = switches & BIG_ENDIAN_ ? XLOG_FMT_LINUX_BE : XLOG_FMT_LINUX_LE;
	lb.size = switches & LARGE ? 256u << 10 : 32u << 10;
	lb.crc_header = switches & HEADER_324 ? 324 : 328;
	memcpy(lb.uuid, lb.sb.uuid, sizeof(lb.uuid));
	lb.no_crc = false;
	lb.cycle = 5;
	lb.block = 0;
	lb.prev = UINT32_MAX;
	lb_set_tail(&lb);
	for (uint32_t n = 0; n < MAX_RECORDS && size > RECORD_HEAD; n++) {
		uint32_t len = data[0] | (uint32_t)data[1] << 8;
		uint8_t flags = data[2];

		data += RECORD_HEAD;
		size -= RECORD_HEAD;
		lb.spoil = NULL;
		if (flags & POKE && size > POKE_BYTES) {
			poked.at = 4u * data[0];
			poked.value = xr_be32(data + 1);
			data += POKE_BYTES;
			size -= POKE_BYTES;
			lb.spoil = poke;
		}
		len = len < size ? len : (uint32_t)size;
		len = len < 30u << 10 ? len : 30u << 10;
		memcpy(lb.data, data, len);
		lb.len = len;
		lb.ops = count_ops(data, len);
		data += len;
		size -= len;
		if (len)
			lb_flush(&lb);
	}
	lb.spoil = NULL;
}

static void replay(const struct xr_log *log, struct xr_head *head, struct xr_cache *cache, bool slices)
{
	struct xr_replay r;
	struct xr_complete_stats stats;
	struct xr_summary summary;
	struct xr_fs now = {&r.sb, cache, &fs.t.msg};

	xr_replay_init(&r, log, cache, &fs.t.msg);
	r.slice_bytes = slices ? XR_UNIT_BBS * XR_BB : r.slice_bytes;
	if (!xr_replay_check(&r, head) && !xr_replay_apply(&r, head) && !xr_summary_read(&summary, &now)) {
		xr_complete(&r, NULL, head, &stats);
		fuzz_fs_look(&now);
	}
	xr_replay_destroy(&r);
}

static void run(const uint8_t *data, size_t size)
{
	struct xr_logview view = {0};
	struct xr_log log;
	struct xr_head head;
	struct xr_cache *cache;
	uint32_t used;

	write_log(data, size);
	used = lb.block;
	assert_int_equal(xr_cache_create(&cache, &fs.dev, fs.process, false, &fs.t.msg), 0);
	assert_int_equal(xr_log_open(&log, &fs.sb, &fs.dev, NULL, fs.process, &fs.t.msg), 0);
	if (!xr_head_find(&log, &head)) {
		if (size && data[0] & VIEW) { /* reads all of the log: dear */
			xr_logview_read(&view, &log, &head);
			xr_logview_clear(&view);
		}
		if (!head.clean && !head.empty)
			replay(&log, &head, cache, size && data[0] & SLICES);
	}
	xr_log_close(&log);
	xr_cache_destroy(cache);
	lb_zero(&lb, 0, used);
}

/* --- seeds --- */

struct seed {
	uint8_t data[FUZZ_MAX];
	size_t size;
};

/* What the writer of the tests' logs is about to write, as a record of ours. */
static void capture(struct lb *l, void *arg)
{
	struct seed *seed = arg;

	if (l->len > 8192 || seed->size + RECORD_HEAD + l->len > FUZZ_MAX)
		return;
	seed->data[seed->size++] = (uint8_t)l->len;
	seed->data[seed->size++] = (uint8_t)(l->len >> 8);
	seed->data[seed->size++] = 0;
	memcpy(seed->data + seed->size, l->data, l->len);
	seed->size += l->len;
}

static void intent(uint16_t type, uint32_t header, uint32_t size, uint64_t a, uint64_t b, uint64_t c, uint32_t count,
		   uint32_t flags)
{
	uint8_t raw[128] = {0}, *p = raw + header;

	lb_put(&lb, raw, type, 2);
	lb_put(&lb, raw + 2, 1, 2);
	lb_put(&lb, raw + 4, 1, 4);
	lb_put(&lb, raw + 8, a ^ b ^ type, 8);
	lb_put(&lb, p, a, 8);
	if (size == 16) {
		lb_put(&lb, p + 8, count, 4);
		lb_put(&lb, p + 12, flags, 4);
	} else {
		lb_put(&lb, p + 8, b, 8);
		lb_put(&lb, p + 16, c, 8);
		lb_put(&lb, p + 24, count, 4);
		lb_put(&lb, p + 28, flags, 4);
	}
	lb_start(&lb, type);
	lb_op(&lb, type, 0, raw, header + size);
	lb_commit(&lb, type);
}

/* Intents for what a file has: shared, unmapped, freed. */
static void intents(uint64_t ino, uint32_t kind)
{
	struct xr_bmap map;
	struct xr_inode inode;

	assert_int_equal(xr_inode_read(&fs.fs, ino, &inode), 0);
	assert_int_equal(xr_bmap_read(&fs.fs, &inode, XR_DATA_FORK, &map), 0);
	assert_true(map.n > 0);
	for (size_t i = 0; i < map.n; i++) {
		const struct xr_mapping *m = &map.map[i];
		uint32_t n = m->count > 2 ? 2 : m->count;

		if (kind & 1)
			intent(XFS_LI_BUI, 16, 32, ino, m->block, m->offset, n, 2);
		if (kind & 2)
			intent(XFS_LI_RUI, 16, 32, ino, m->block, m->offset, n, 3);
		if (kind & 4)
			intent(XFS_LI_CUI, 16, 16, m->block, 0, 0, n, 1 + (kind >> 4));
		if (kind & 8)
			intent(XFS_LI_EFI, 16, 16, m->block, 0, 0, n, 0);
	}
	xr_bmap_free(&map);
	lb_flush(&lb);
}

static void seeds(fuzz_seed_fn *fn, void *arg)
{
	static struct seed seed;
	uint64_t file = test_fs_lookup(&fs, "/file");

	lb.capture = capture;
	lb.capture_arg = &seed;
	for (size_t i = 0; i < logcases_count; i++) {
		const struct logcase *c = &logcases[i];

		if (strstr(c->name, "wrapped") || strstr(c->name, "LSN ahead") || strstr(c->name, "log feature") ||
		    strstr(c->name, "empty"))
			continue; /* not of records alone */
		lb.fmt = i % 2 ? XLOG_FMT_LINUX_BE : XLOG_FMT_LINUX_LE;
		seed.data[0] = (i % 2 ? BIG_ENDIAN_ : 0) | (i % 8 ? 0 : VIEW);
		seed.size = 1;
		c->build(&lb, c);
		fn(arg, seed.data, seed.size);
	}
	lb.fmt = XLOG_FMT_LINUX_LE;
	for (uint32_t kind = 1; kind < 48; kind++) {
		seed.data[0] = 0;
		seed.size = 1;
		intents(file, kind);
		fn(arg, seed.data, seed.size);
	}
	lb.capture = NULL;
	lb_zero(&lb, 0, lb.log.bbs);
}

const struct fuzz_target fuzz_log = {"log", setup, seeds, run};
