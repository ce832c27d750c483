/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Metadata
 *
 * An input is a few intents, and a list of changes to the metadata blocks of a filesystem: which block, where in it, how many bytes, and the bytes.
 * Blocks and inodes get their checksums afterwards, so that it is malice and not decay. All of it happens in memory, over the file. Then everything looks at it:
 * the summary of the groups' headers, completion (unlinked inodes, copy-on-write leftovers and whatever trees they need), every name,
 * attribute and file.
 */
#include "target.h"

#include "bmap.h"
#include "finish/complete.h"
#include "format.h"
#include "fuzzfs.h"
#include "ring.h"
#include "summary.h"
#include "verify.h"

#define MAX_BLOCKS 1024u
#define MAX_CHANGES 64u
#define CHANGE_HEAD 5u /* block (2), offset (2), length - 1 */
#define MAX_INTENTS 4u
#define INTENT_BYTES 33u /* type, entry */

static struct test_fs fs;
static struct xr_log log_;
static struct xr_head head;
static uint64_t blocks[MAX_BLOCKS]; /* daddr of those that hold metadata */
static size_t nblocks;

static bool is_header(const uint8_t *sector)
{
	uint32_t magic = xr_be32(sector);

	return magic == XFS_AGF_MAGIC || magic == XFS_AGI_MAGIC || magic == XFS_AGFL_MAGIC;
}

static bool is_metadata(const uint8_t *block)
{
	return is_header(block) || xr_be16(block) == XFS_DINODE_MAGIC || xr_be32(block) == XFS_SB_MAGIC ||
	       xr_kind_of(block, fs.sb.blocksize);
}

static void find_blocks(void)
{
	uint8_t *block = malloc(fs.sb.blocksize);
	off_t at = 0;

	assert_non_null(block);
	while (nblocks < MAX_BLOCKS && (at = lseek(fs.dev.fd, at, SEEK_DATA)) >= 0) {
		at -= at % (off_t)fs.sb.blocksize;
		assert_int_equal(xr_dev_read(&fs.dev, block, fs.sb.blocksize, (uint64_t)at), 0);
		if (is_metadata(block))
			blocks[nblocks++] = (uint64_t)at / XR_BB;
		at += fs.sb.blocksize;
	}
	free(block);
	assert_true(nblocks > 20);
}

static void setup(void)
{
	fuzz_fs_make(&fs);
	assert_int_equal(xr_log_open(&log_, &fs.sb, &fs.dev, NULL, fs.process, &fs.t.msg), 0);
	assert_int_equal(xr_head_find(&log_, &head), 0);
	find_blocks();
}

/* AG headers are sectors in one block, inodes several in one, all else a block each. */
static void seal(uint8_t *block)
{
	for (uint32_t at = 0; at < fs.sb.blocksize; at += XR_BB) {
		const struct xr_kind *kind = xr_kind_of(block + at, XR_BB);

		if (xr_be16(block + at) == XFS_DINODE_MAGIC)
			xr_crc_update(block + at, fs.sb.inodesize, offsetof(struct xfs_dinode, di_crc));
		else if (kind && kind->crc >= 0 && is_header(block + at))
			xr_crc_update(block + at, XR_BB, (size_t)kind->crc);
		else if (kind && kind->crc >= 0 && !at)
			xr_crc_update(block, fs.sb.blocksize, (size_t)kind->crc);
	}
}

static void change(struct xr_cache *cache, const uint8_t *data, size_t size)
{
	for (uint32_t n = 0; n < MAX_CHANGES && size > CHANGE_HEAD; n++) {
		uint64_t daddr = blocks[(data[0] | (size_t)data[1] << 8) % nblocks];
		uint32_t at = (data[2] | (uint32_t)data[3] << 8) % fs.sb.blocksize, len = 1u + data[4] % 32;
		struct xr_buf buf;

		data += CHANGE_HEAD;
		size -= CHANGE_HEAD;
		len = len < size ? len : (uint32_t)size;
		assert_int_equal(xr_buf_read(cache, daddr, fs.sb.blocksize / XR_BB, &buf), 0);
		memcpy(buf.data + at, data, len < buf.size - at ? len : buf.size - at);
		seal(buf.data);
		xr_buf_dirty(cache, &buf, 0, buf.size);
		xr_buf_put(cache, &buf);
		data += len;
		size -= len;
	}
}

/* An intent as pass 2 keeps them; what its type and size are was checked by then. */
static void add_intent(struct xr_replay *r, uint64_t id, const uint8_t *data)
{
	static const struct {
		uint16_t type, entry;
	} types[] = {{XFS_LI_EFI, 16}, {XFS_LI_RUI, 32}, {XFS_LI_CUI, 16}, {XFS_LI_BUI, 32}};
	uint32_t size = 16u + types[data[0] % 4].entry;
	struct xr_intent *intent = malloc(sizeof(*intent) + sizeof(struct xr_region) + size);
	struct xr_entry *entry = xr_table_add(&r->intents, types[data[0] % 4].type, id);
	uint8_t *raw = (uint8_t *)&intent->regions[1];

	assert_true(intent && entry);
	*intent = (struct xr_intent){.type = types[data[0] % 4].type, .count = 1, .id = id, .lsn = xr_lsn(1, 1)};
	intent->regions[0] = (struct xr_region){raw, size};
	memset(raw, 0, 16);
	raw[4] = 1;
	memcpy(raw + 16, data + 1, size - 16);
	entry->value = (uintptr_t)intent;
}

static void run(const uint8_t *data, size_t size)
{
	uint32_t nintents = size ? data[0] % (MAX_INTENTS + 1) : 0;
	struct xr_complete_stats stats;
	struct xr_head end = head;
	struct xr_summary summary;
	struct xr_cache *cache;
	struct xr_replay r;
	struct xr_fs now = {&r.sb, NULL, &fs.t.msg};

	assert_int_equal(xr_cache_create(&cache, &fs.dev, fs.process, false, &fs.t.msg), 0);
	now.cache = cache;
	xr_replay_init(&r, &log_, cache, &fs.t.msg);
	data += size > 0;
	size -= size > 0;
	for (uint32_t i = 0; i < nintents && size >= INTENT_BYTES; i++, data += INTENT_BYTES, size -= INTENT_BYTES)
		add_intent(&r, i, data);
	change(cache, data, size);
	if (!xr_summary_read(&summary, &now))
		xr_complete(&r, NULL, &end, &stats);
	fuzz_fs_look(&now);
	xr_replay_destroy(&r);
	xr_cache_destroy(cache);
}

static uint8_t seed[1 + MAX_INTENTS * INTENT_BYTES + 4 * (CHANGE_HEAD + 32)];

/* Intents for the n-th block of a file: it is taken away, shared, given back. Little-endian, as this log is. */
static size_t seed_intents(uint32_t n)
{
	static const uint8_t flags[4] = {0, 3, 1, 2}; /* EFI, RUI unmap, CUI increase, BUI unmap */
	struct xr_order order = {.big = false};
	static struct xr_bmap map;
	static uint64_t ino;
	struct xr_inode inode;

	if (!ino) {
		ino = test_fs_lookup(&fs, "/file");
		assert_int_equal(xr_inode_read(&fs.fs, ino, &inode), 0);
		assert_int_equal(xr_bmap_read(&fs.fs, &inode, XR_DATA_FORK, &map), 0);
	}
	seed[0] = (uint8_t)(n % (MAX_INTENTS + 1));
	for (uint32_t i = 0; i < seed[0]; i++) {
		uint8_t *p = seed + 1 + i * INTENT_BYTES, type = (uint8_t)((i + n / 5) % 4);
		bool large = type % 2;

		memset(p, 0, INTENT_BYTES);
		*p++ = type;
		xr_put64(order, p, large ? ino : map.map[0].block);
		xr_put64(order, p + 8, large ? map.map[0].block : 1);
		if (!large)
			xr_put32(order, p + 12, flags[type]);
		xr_put64(order, p + 16, map.map[0].offset);
		xr_put32(order, p + 24, 1);
		xr_put32(order, p + 28, flags[type]);
	}
	return 1u + seed[0] * INTENT_BYTES;
}

/* Windows on the first half of each block, where headers, counts and the first inodes are: four to a seed, as they are. */
static void seeds(fuzz_seed_fn *fn, void *arg)
{
	uint8_t block[65536];

	for (size_t i = 0; i < nblocks; i++) {
		assert_int_equal(xr_dev_read(&fs.dev, block, fs.sb.blocksize, blocks[i] * XR_BB), 0);
		for (uint32_t at = 0; at < 2048; at += 128) {
			size_t size = seed_intents((uint32_t)i + at / 128);

			for (uint32_t window = at; window < at + 128; window += 32) {
				const uint8_t change_head[CHANGE_HEAD] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)window,
									  (uint8_t)(window >> 8), 31};

				memcpy(seed + size, change_head, CHANGE_HEAD);
				memcpy(seed + size + CHANGE_HEAD, block + window, 32);
				size += sizeof(change_head) + 32;
			}
			fn(arg, seed, size);
		}
	}
}

const struct fuzz_target fuzz_metadata = {"metadata", setup, seeds, run};
