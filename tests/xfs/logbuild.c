/* SPDX-License-Identifier: GPL-2.0-only */
#include "logbuild.h"

#include "format.h"

#define H(field) offsetof(struct xlog_rec_header, h_##field)
#define OP_BYTES 12u
#define WORDS 64u /* saved words a header block */

/* A log of this filesystem that begins. */
static void first_record(struct lb *lb)
{
	lb->cycle = 1;
	lb->prev = UINT32_MAX;
	lb->tail_lsn = xr_lsn(1, 0);
	lb->version = lb->sb.logv2 ? 2 : 1;
	lb->fmt = 1;
	lb->size = 32u << 10;
	lb->crc_header = 328;
	memcpy(lb->uuid, lb->sb.uuid, sizeof(lb->uuid));
}

struct vmap_process *lb_process;

int lb_setup(void **state)
{
	(void)state;
	return vmap_process_create(NULL, &lb_process);
}

int lb_teardown(void **state)
{
	(void)state;
	return vmap_process_destroy(lb_process);
}

void lb_init(struct lb *lb, const struct sb_build *b, struct vmap_process *process)
{
	uint8_t raw[XR_BB];

	memset(lb, 0, sizeof(*lb));
	test_msg_init(&lb->said);
	sb_build(b, raw);
	assert_int_equal(xr_sb_decode(&lb->sb, raw, sizeof(raw), &lb->said.msg), 0);
	lb->external = !b->logstart;
	test_dev_init(&lb->dev, lb->external ? lb->sb.log_bbs * XR_BB : SB_BUILD_BYTES, &lb->said);
	assert_int_equal(xr_log_open(&lb->log, &lb->sb, &lb->dev, lb->external ? &lb->dev : NULL, process, &lb->said.msg), 0);
	first_record(lb);
}

void lb_open(struct lb *lb, const char *image)
{
	memset(lb, 0, sizeof(*lb));
	test_msg_init(&lb->said);
	if (vmap_process_create(NULL, &lb->own) || xr_dev_open(&lb->dev, image, true, &lb->said.msg) ||
	    xr_sb_read(&lb->sb, &lb->dev, &lb->said.msg) ||
	    xr_log_open(&lb->log, &lb->sb, &lb->dev, NULL, lb->own, &lb->said.msg)) {
		fprintf(stderr, "%s: %s", image, lb->said.text);
		exit(1);
	}
	first_record(lb);
}

void lb_end(struct lb *lb)
{
	xr_log_close(&lb->log);
	xr_dev_close(&lb->dev);
	if (lb->own)
		vmap_process_destroy(lb->own);
}

static void write_block(struct lb *lb, uint32_t block, const uint8_t *bb)
{
	assert_int_equal(xr_dev_write(&lb->dev, bb, XR_BB, (lb->log.daddr + block) * XR_BB), 0);
	xr_ring_forget(lb->log.ring);
}

void lb_begin(struct lb *lb, uint32_t cycle, uint32_t block)
{
	uint8_t *all = calloc(lb->log.bbs, XR_BB);

	assert_non_null(all);
	for (uint32_t b = 0; b < lb->log.bbs; b++)
		xr_put_be32(all + (size_t)b * XR_BB, b < block ? cycle : cycle - 1);
	assert_int_equal(xr_dev_write(&lb->dev, all, (size_t)lb->log.bbs * XR_BB, lb->log.daddr * XR_BB), 0);
	free(all);
	xr_ring_forget(lb->log.ring);
	lb->cycle = cycle;
	lb->block = block;
	lb_set_tail(lb);
}

void lb_put(const struct lb *lb, uint8_t *p, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[lb->fmt == 2 ? bytes - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

void lb_op(struct lb *lb, uint32_t tid, uint8_t flags, const void *data, uint32_t len)
{
	uint8_t *p = lb->data + lb->len;

	assert_true(lb->len + OP_BYTES + len <= LB_MAX_DATA);
	xr_put_be32(p, tid);
	xr_put_be32(p + 4, len);
	p[8] = XFS_TRANSACTION;
	p[9] = flags;
	p[10] = p[11] = 0;
	if (len)
		memcpy(p + OP_BYTES, data, len);
	lb->len += OP_BYTES + len;
	lb->ops++;
}

void lb_pattern(uint8_t *data, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++) {
		static const uint8_t magic[4] = {0xfe, 0xed, 0xba, 0xbe};
		/* Runs of magics, in both alignments to a block that can matter, and words that differ. */
		data[i] = i / 64 % 3 ? magic[i % 4] : (uint8_t)(seed * 31 + i * 7 + i / 256);
	}
}

void lb_item(struct lb *lb, uint32_t tid, uint8_t flags, uint16_t count, uint32_t len)
{
	uint8_t *item = malloc(len);

	assert_non_null(item);
	lb_pattern(item, len, tid);
	lb_put(lb, item, LB_BLF, 2);
	lb_put(lb, item + 2, count, 2);
	lb_op(lb, tid, flags, item, len);
	free(item);
}

void lb_start(struct lb *lb, uint32_t tid)
{
	uint8_t header[16] = {0};

	lb_put(lb, header, XFS_TRANS_HEADER_MAGIC, 4);
	lb_put(lb, header + 4, XFS_TRANS_CHECKPOINT, 4);
	lb_op(lb, tid, XLOG_START_TRANS, NULL, 0);
	lb_op(lb, tid, 0, header, sizeof(header));
}

void lb_commit(struct lb *lb, uint32_t tid)
{
	lb_op(lb, tid, XLOG_COMMIT_TRANS, NULL, 0);
}

void lb_trans(struct lb *lb, uint32_t tid, uint32_t len)
{
	lb_start(lb, tid);
	lb_item(lb, tid, 0, 1, len);
	lb_commit(lb, tid);
}

void lb_unmount(struct lb *lb)
{
	uint8_t magic[8] = {0};

	lb_put(lb, magic, 0x556e, 2);
	lb_op(lb, 0xb0c0d0d0, XLOG_UNMOUNT_TRANS, magic, sizeof(magic));
	lb->data[8] = XFS_LOG;
}

static void put_header(struct lb *lb, uint8_t *record, uint32_t len)
{
	xr_put_be32(record, XR_RECORD_MAGIC);
	xr_put_be32(record + H(cycle), lb->cycle);
	xr_put_be32(record + H(version), lb->version);
	xr_put_be32(record + H(len), len);
	xr_put_be64(record + H(lsn), xr_lsn(lb->cycle, lb->block));
	xr_put_be64(record + H(tail_lsn), lb->tail_lsn);
	xr_put_be32(record + H(prev_block), lb->prev);
	xr_put_be32(record + H(num_logops), lb->ops);
	xr_put_be32(record + H(fmt), lb->fmt);
	memcpy(record + H(fs_uuid), lb->uuid, sizeof(lb->uuid));
	xr_put_be32(record + H(size), lb->size);
}

static void stamp(struct lb *lb, uint8_t *record, uint32_t headers, uint32_t blocks)
{
	for (uint32_t i = 1; i < blocks; i++) {
		uint8_t *bb = record + (size_t)i * XR_BB;
		uint32_t word = i - headers;

		if (i >= headers && word / WORDS < headers) {
			uint8_t *saved = word < WORDS ? record + H(cycle_data) : record + (size_t)(word / WORDS) * XR_BB + 4;
			memcpy(saved + 4 * (size_t)(word % WORDS), bb, 4);
		}
		xr_put_be32(bb, lb->cycle + (lb->block + i >= lb->log.bbs));
	}
}

/* The CRC that a reader of this header expects, however it was spoilt, if the record has those bytes. */
static void seal(const struct lb *lb, uint8_t *record, uint32_t blocks)
{
	uint32_t len = xr_be32(record + H(len)), size = xr_be32(record + H(size)), headers = 1, crc;

	if (xr_be32(record + H(version)) & 2 && size > 32u << 10)
		headers = size / (32u << 10) + (size % (32u << 10) != 0);
	if (lb->no_crc || headers > blocks || len > (blocks - headers) * XR_BB)
		return;
	xr_put_le32(record + H(crc), 0);
	crc = xr_crc_feed(~0u, record, lb->crc_header);
	for (uint32_t covered = 32u << 10, i = 1; covered < len && i < headers; covered += 32u << 10, i++)
		crc = xr_crc_feed(crc, record + (size_t)i * XR_BB, 260);
	xr_put_le32(record + H(crc), ~xr_crc_feed(crc, record + (size_t)headers * XR_BB, len));
}

uint32_t lb_flush(struct lb *lb)
{
	uint32_t headers = lb->version == 2 && lb->size > 32u << 10 ? lb->size >> 15 : 1;
	uint32_t blocks = headers + (lb->len + XR_BB - 1) / XR_BB, unit = lb->sb.log_roundoff / XR_BB;
	uint8_t *record;
	uint32_t len = lb->len;

	if (lb->capture)
		lb->capture(lb, lb->capture_arg);
	if (lb->version == 2) {
		blocks = (blocks + unit - 1) / unit * unit;
		len = (blocks - headers) * XR_BB;
	}
	record = malloc((size_t)blocks * XR_BB);
	assert_non_null(record);
	memset(record, 0, (size_t)headers * XR_BB);
	memset(record + (size_t)headers * XR_BB, 0xa5, (size_t)(blocks - headers) * XR_BB); /* padding is garbage */
	memcpy(record + (size_t)headers * XR_BB, lb->data, lb->len);
	put_header(lb, record, len);
	stamp(lb, record, headers, blocks);
	if (lb->spoil)
		lb->spoil(lb, record, (size_t)blocks * XR_BB);
	seal(lb, record, blocks);
	for (uint32_t i = 0; i < blocks; i++)
		write_block(lb, (lb->block + i) % lb->log.bbs, record + (size_t)i * XR_BB);
	free(record);
	lb->last = lb->prev = lb->block;
	lb->block += blocks;
	if (lb->block >= lb->log.bbs) {
		lb->block -= lb->log.bbs;
		lb->cycle++;
	}
	lb->len = lb->ops = 0;
	return lb->last;
}

uint32_t lb_record(struct lb *lb, uint32_t tid, uint32_t len)
{
	lb_trans(lb, tid, len);
	return lb_flush(lb);
}

void lb_set_tail(struct lb *lb)
{
	lb->tail_lsn = xr_lsn(lb->cycle, lb->block);
}

void lb_flip(struct lb *lb, uint32_t block, uint32_t offset)
{
	uint8_t bb[XR_BB];

	assert_int_equal(xr_dev_read(&lb->dev, bb, XR_BB, (lb->log.daddr + block % lb->log.bbs) * XR_BB), 0);
	bb[offset] ^= 0x40;
	write_block(lb, block % lb->log.bbs, bb);
}

void lb_zero(struct lb *lb, uint32_t block, uint32_t count)
{
	const uint8_t bb[XR_BB] = {0};

	while (count--)
		write_block(lb, block++ % lb->log.bbs, bb);
}

int lb_find(struct lb *lb)
{
	test_msg_init(&lb->said);
	return xr_head_find(&lb->log, &lb->head);
}

/* All regions of the item in a row are what lb_item() and, for further regions, lb_pattern() made for this tid. */
static bool is_pattern(const struct xr_trans *trans, const struct xr_item *item)
{
	for (uint16_t r = 0; r < item->have; r++) {
		uint32_t size = item->regions[r].size, skip = r ? 0 : 4;
		uint8_t *want = malloc(size);
		bool same;

		assert_non_null(want);
		lb_pattern(want, size, trans->tid);
		same = !memcmp(want + skip, item->regions[r].data + skip, size - skip);
		free(want);
		if (!same)
			return false;
	}
	return true;
}

static int see(void *arg, const struct xr_trans *trans)
{
	struct lb_seen *seen = arg;
	size_t at = seen->n % 64;

	seen->t[at].tid = trans->tid;
	seen->t[at].lsn = trans->lsn;
	seen->t[at].commit_lsn = trans->commit_lsn;
	seen->t[at].items = trans->nitems;
	seen->t[at].regions = seen->t[at].bytes = 0;
	seen->t[at].pattern = true;
	for (size_t i = 0; i < trans->nitems; i++) {
		const struct xr_item *item = &trans->items[i];

		seen->t[at].regions += item->have;
		for (uint16_t r = 0; r < item->have; r++)
			seen->t[at].bytes += item->regions[r].size;
		seen->t[at].pattern &= is_pattern(trans, item);
	}
	seen->n++;
	return 0;
}

int lb_walk(struct lb *lb, struct lb_seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	return xr_trans_walk(&lb->log, &lb->head, see, seen, &seen->stats, NULL, NULL);
}
