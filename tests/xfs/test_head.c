/* SPDX-License-Identifier: GPL-2.0-only */
/* Head and tail: every shape a log can have when the machine stops, and those that only damage or malice make. */
#include "logbuild.h"

#include <errno.h>
#include "format.h"

#define H(field) offsetof(struct xlog_rec_header, h_##field)

static struct lb lb;
static struct lb_seen seen;

/* A log of 2048 blocks, smaller than what can be in flight. */
static int open_log(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;

	(void)state;
	lb_init(&lb, &b, lb_process);
	return 0;
}

/* One of 32768, on its own device: four windows long. */
static int open_long_log(void **state)
{
	const struct sb_build b = {.logblocks = 16384, .uuid = "long"};

	(void)state;
	lb_init(&lb, &b, lb_process);
	return 0;
}

static int close_log(void **state)
{
	(void)state;
	lb_end(&lb);
	return 0;
}

/* The log ends where the builder stopped, and is dirty with the tail and the number of records given. */
static void assert_dirty(uint32_t tail, uint32_t records)
{
	int error = lb_find(&lb);

	if (error)
		fail_msg("xr_head_find: %d: %s", error, lb.said.text);
	assert_false(lb.head.clean || lb.head.empty);
	assert_int_equal(lb.head.head, lb.block);
	assert_int_equal(lb.head.cycle, lb.cycle);
	assert_int_equal(lb.head.tail, tail);
	assert_int_equal(lb.head.records, records);
	assert_int_equal(lb.head.last_block, lb.last);
	assert_int_equal(lb.head.torn, 0);
}

static void records(uint32_t n, uint32_t len)
{
	while (n--)
		lb_record(&lb, 100 + n, len);
}

/* An external log that is a filesystem is the wrong device. */
static void test_filesystem_for_log(void **state)
{
	struct xr_log log;

	(void)state;
	lb_begin(&lb, 1, 0);
	assert_int_equal(xr_dev_write(&lb.dev, "XFSB", 4, 0), 0);
	assert_int_equal(xr_log_open(&log, &lb.sb, &lb.dev, &lb.dev, lb_process, &lb.said.msg), -EUCLEAN);
	assert_said(&lb.said, "holds a filesystem, no log");
}

static void test_empty(void **state)
{
	(void)state;
	assert_int_equal(lb_find(&lb), 0);
	assert_true(lb.head.empty && lb.head.clean);
	assert_said(&lb.said, "the log is all zeros, as no program leaves one: was all of the image copied?");
	lb.sb.lsn = xr_lsn(1, 1);
	assert_int_equal(lb_find(&lb), -EUCLEAN);
	assert_said(&lb.said, "its LSN 1:1 is ahead of the log, which is all zeros");
	lb.sb.lsn = 0;
	lb_begin(&lb, 2, 700);
	lb_zero(&lb, 0, 1);
	assert_int_equal(lb_find(&lb), -EUCLEAN);
	assert_said(&lb.said, "block 0 is zero");
	lb_zero(&lb, 0, lb.log.bbs);
	lb_flip(&lb, 33, 0);
	assert_int_equal(lb_find(&lb), -EUCLEAN);
	assert_said(&lb.said, "block 33");
}

static void test_partly_zeroed(void **state)
{
	(void)state;
	lb_unmount(&lb);
	lb_flush(&lb);
	lb_set_tail(&lb);
	records(5, 3000);
	assert_dirty(2, 5);
	assert_int_equal(lb_walk(&lb, &seen), 0);
	assert_int_equal(seen.n, 5);
	assert_true(seen.t[4].pattern);
}

/* Zeros inside what was written: writes that never came. */
static void test_hole_of_zeros(void **state)
{
	uint32_t blocks[12];

	(void)state;
	for (uint32_t i = 0; i < 12; i++)
		blocks[i] = lb_record(&lb, i, 3000);
	for (uint32_t i = 11; i > 1; i--) {
		lb_zero(&lb, blocks[i] + 3, 1);
		assert_int_equal(lb_find(&lb), 0);
		assert_int_equal(lb.head.head, blocks[i]);
		assert_int_equal(lb.head.torn, 1);
		assert_int_equal(lb.head.records, i);
	}
}

/* A record of which only the beginning came is no record. */
static void test_incomplete(void **state)
{
	uint32_t torn, keep[] = {1, 2, 6};

	(void)state;
	records(3, 3000);
	torn = lb_record(&lb, 7, 3000);
	for (size_t i = 0; i < 3; i++) {
		lb_zero(&lb, torn + keep[i], 1);
		assert_int_equal(lb_find(&lb), 0);
		assert_int_equal(lb.head.head, torn);
		assert_int_equal(lb.head.torn, 1);
		assert_int_equal(lb.head.torn_block, torn);
		assert_int_equal(lb.head.records, 3);
		lb.block = torn;
		lb_record(&lb, 7, 3000);
	}
}

static void test_clean(void **state)
{
	(void)state;
	lb_begin(&lb, 7, 100);
	records(3, 3000);
	lb.fmt = 2; /* whoever wrote it: a clean log may go to another machine */
	lb_unmount(&lb);
	lb_flush(&lb);
	assert_int_equal(lb_find(&lb), 0);
	assert_true(lb.head.clean);
	assert_int_equal(lb.head.head, lb.block);
	assert_int_equal(lb.head.tail, lb.block);
	assert_int_equal(lb.head.tail_lsn, lb.tail_lsn);
	assert_int_equal(lb.head.cycle, 7);
	assert_int_equal(lb.head.records, 0);
}

/* What mkfs writes: one record, no CRC, and then nothing. */
static void test_fresh(void **state)
{
	(void)state;
	lb.no_crc = true;
	lb_unmount(&lb);
	lb_flush(&lb);
	assert_int_equal(lb_find(&lb), 0);
	assert_true(lb.head.clean);
	assert_int_equal(lb.head.head, 2);
	assert_int_equal(lb.head.last_lsn, xr_lsn(1, 0));
}

/* Every border of the third record falls on the end of the log once, and 8 blocks on both sides of it. */
static void wrap_everywhere(uint32_t size, uint32_t len)
{
	uint32_t headers = size >> 15, blocks = headers + (len + 52 + XR_BB - 1) / XR_BB;

	for (uint32_t before = 0; before <= 3 * blocks + 8; before++) {
		uint32_t start = lb.log.bbs - before;

		if (before % 5 && before > blocks && before < 2 * blocks)
			continue; /* the middle of a record is all the same */
		lb_begin(&lb, 3, start % lb.log.bbs);
		lb.size = size;
		for (uint32_t i = 0; i < 3; i++)
			lb_record(&lb, 50 + i, len);
		assert_dirty(start % lb.log.bbs, 3);
		assert_int_equal(lb_walk(&lb, &seen), 0);
		assert_int_equal(seen.n, 3);
		for (uint32_t i = 0; i < 3; i++)
			assert_true(seen.t[i].pattern && seen.t[i].bytes == len);
	}
}

static void test_wrapped(void **state)
{
	(void)state;
	wrap_everywhere(32u << 10, 5000);
}

static void test_wrapped_eight_headers(void **state)
{
	(void)state;
	wrap_everywhere(256u << 10, 40000);
}

/* The largest record there is: 8 header blocks, 504 of data. */
static void test_largest(void **state)
{
	(void)state;
	lb_begin(&lb, 9, 1700);
	lb.size = 256u << 10;
	records(2, (504 - 1) * XR_BB);
	assert_dirty(1700, 2);
	assert_int_equal(lb_walk(&lb, &seen), 0);
	assert_true(seen.t[0].pattern && seen.t[1].pattern);
}

/* An old mkfs: one operation, padded to the stripe unit, and an h_size that knows nothing of it. It has one header block. */
static void test_long_single(void **state)
{
	static const uint8_t padding[100000] = {0};

	(void)state;
	lb_begin(&lb, 4, 1900);
	lb_op(&lb, 99, 0, padding, sizeof(padding));
	lb_flush(&lb);
	lb_record(&lb, 1, 3000);
	assert_dirty(1900, 2);
	assert_int_equal(lb_walk(&lb, &seen), 0);
	assert_int_equal(seen.n, 1);
	/* With two operations it is no such record, but a wrong one. */
	lb_begin(&lb, 4, 1900);
	lb_record(&lb, 1, 3000);
	lb_op(&lb, 99, 0, NULL, 0);
	lb_op(&lb, 99, 0, padding, sizeof(padding));
	lb_flush(&lb);
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb.head.torn, 1);
}

/* Sessions with another logbsize may stand between tail and head, in either order. */
static void test_mixed_sizes(void **state)
{
	(void)state;
	lb_begin(&lb, 4, 1900);
	for (uint32_t i = 0; i < 9; i++) {
		lb.size = i % 3 ? 32u << 10 : 64u << 10 << i % 2;
		lb_record(&lb, i, 20000);
	}
	assert_dirty(1900, 9);
	assert_int_equal(lb_walk(&lb, &seen), 0);
	for (uint32_t i = 0; i < 9; i++)
		assert_true(seen.t[i].pattern);
}

static void test_long_log(void **state)
{
	uint32_t n = 0;

	(void)state;
	lb_begin(&lb, 2, 20000);
	while (lb.cycle == 2 || lb.block < 15000) {
		lb_record(&lb, n++, 30000);
	}
	assert_dirty(20000, n);
	assert_int_equal(lb_walk(&lb, &seen), 0);
	assert_int_equal(seen.n, n);
	assert_int_equal(seen.stats.records, n);
	for (uint32_t i = 0; i < 64; i++)
		assert_true(seen.t[i].pattern);
}

/* The bad record is the back-th from the end: it and what follows is dropped if that can have been in flight. */
static void torn(uint32_t back)
{
	uint32_t blocks[12];

	lb_begin(&lb, 5, 1950);
	for (uint32_t i = 0; i < 12; i++)
		blocks[i] = lb_record(&lb, i, 4000);
	lb_flip(&lb, blocks[12 - back] + 3, 77);
	if (back > 8) {
		char place[64];

		assert_int_equal(lb_find(&lb), -EBADMSG);
		snprintf(place, sizeof(place), "block %u (LSN %u:%u)", blocks[12 - back], 5 + (blocks[12 - back] < 1950),
			 blocks[12 - back]);
		assert_said(&lb.said, place);
		/* Or the walk meets it, and says the same. */
		lb.log.to_be_walked = true;
		assert_int_equal(lb_find(&lb), 0);
		lb.log.to_be_walked = false;
		assert_int_equal(lb.head.torn, 0);
		assert_int_equal(lb_walk(&lb, &seen), -EBADMSG);
		assert_int_equal(seen.n, 12 - back);
		assert_said(&lb.said, place);
		assert_said(&lb.said, "--until-bad");
		return;
	}
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb.head.torn, back);
	assert_int_equal(lb.head.torn_block, blocks[12 - back]);
	assert_int_equal(lb.head.head, blocks[12 - back]);
	assert_int_equal(lb.head.last_block, blocks[11 - back]);
	assert_int_equal(lb.head.cycle, 5 + (lb.head.head <= lb.head.last_block || lb.head.head < 1950));
	assert_int_equal(lb.head.records, 12 - back);
	assert_int_equal(lb_walk(&lb, &seen), 0);
	assert_int_equal(seen.n, 12 - back);
}

static void test_torn(void **state)
{
	(void)state;
	for (uint32_t back = 1; back < 12; back++)
		torn(back);
}

/* Block 0 is a place like any other. */
static void test_torn_at_zero(void **state)
{
	(void)state;
	lb_begin(&lb, 5, lb.log.bbs - 27);
	records(3, 4000);
	assert_int_equal(lb.block, 0);
	records(2, 4000);
	lb_flip(&lb, 4, 4);
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb.head.torn, 2);
	assert_int_equal(lb.head.torn_block, 0);
	assert_int_equal(lb.head.head, 0);
	assert_int_equal(lb.head.cycle, 6);
	assert_int_equal(lb.head.records, 3);
}

/* All that followed a clean unmount is torn: the log is clean. */
static void test_torn_to_clean(void **state)
{
	uint32_t first;

	(void)state;
	lb_begin(&lb, 5, 300);
	lb_unmount(&lb);
	lb_flush(&lb);
	lb_set_tail(&lb);
	first = lb_record(&lb, 1, 4000);
	lb_flip(&lb, first + 5, 9);
	assert_int_equal(lb_find(&lb), 0);
	assert_true(lb.head.clean);
	assert_int_equal(lb.head.head, first);
	assert_int_equal(lb.head.tail, first);
	assert_int_equal(lb.head.torn, 1);
}

/* A torn first sector: the header makes no sense. */
static void test_torn_header(void **state)
{
	static const size_t fields[] = {H(version), H(len), H(len) + 2, H(size), H(tail_lsn), H(tail_lsn) + 6};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint32_t block;

		lb_begin(&lb, 5, 300);
		records(4, 4000);
		block = lb_record(&lb, 1, 4000);
		lb_flip(&lb, block, (uint32_t)fields[i]);
		assert_int_equal(lb_find(&lb), 0);
		assert_int_equal(lb.head.head, block);
		assert_int_equal(lb.head.torn, 1);
		assert_int_equal(lb.head.records, 4);
	}
}

/* The writes that were torn went round to the tail and over its first records. */
static void test_tail_overwritten(void **state)
{
	uint32_t blocks[300], n = 0;

	(void)state;
	lb_begin(&lb, 5, 600);
	while (lb.cycle == 5 || lb.block < 500) {
		blocks[n] = lb_record(&lb, n, 4000);
		n++;
	}
	assert_dirty(600, n);
	lb_flip(&lb, blocks[1] + 3, 77);
	lb.log.to_be_walked = true; /* which begins where what may have been overwritten ends */
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb.head.tail, blocks[2]);
	assert_said(&lb.said, "overwritten");
	lb.log.to_be_walked = false;
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb.head.tail, blocks[2]);
	assert_int_equal(lb.head.records, n - 2);
	assert_int_equal(lb.head.tail_lsn, lb.tail_lsn);
	assert_int_equal(lb.head.torn, 0);
	assert_said(&lb.said, "overwritten");
	/* The tail itself is gone: the next header is the tail. */
	lb_flip(&lb, blocks[0], 0);
	lb_flip(&lb, blocks[1], 0);
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb.head.tail, blocks[2]);
	/* Out of the reach of 8 records from the head. */
	lb_flip(&lb, blocks[70] + 1, 0x40);
	assert_int_equal(lb_find(&lb), -EBADMSG);
}

static void test_owner(void **state)
{
	(void)state;
	memset(lb.uuid, 0, sizeof(lb.uuid));
	records(3, 4000);
	assert_dirty(0, 3);
	assert_said(&lb.said, "no UUID");
	assert_int_equal(lb_walk(&lb, &seen), -EUCLEAN);
	assert_said(&lb.said, "another filesystem's UUID");

	lb_begin(&lb, 5, 300);
	lb.uuid[3] = 9;
	records(3, 4000);
	assert_int_equal(lb_find(&lb), -EOPNOTSUPP);
	assert_said(&lb.said, "another filesystem");
}

static void test_format(void **state)
{
	static const struct {
		uint32_t fmt;
		bool big;
		const char *said;
	} cases[] = {{0, true, "IRIX"}, {3, true, "IRIX"}, {77, true, "h_fmt 77"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lb_begin(&lb, 5, 300);
		lb.fmt = cases[i].fmt;
		records(3, 4000);
		assert_int_equal(lb_find(&lb), -EOPNOTSUPP);
		assert_said(&lb.said, cases[i].said);
		assert_int_equal(lb.log.order.big, cases[i].big);
	}
	for (uint32_t fmt = 1; fmt <= 2; fmt++) {
		lb_begin(&lb, 5, 300);
		lb.fmt = fmt;
		records(3, 4000);
		assert_int_equal(lb_find(&lb), 0);
		assert_int_equal(lb.log.order.big, fmt == 2);
		assert_int_equal(lb_walk(&lb, &seen), 0);
		assert_int_equal(seen.n, 3);
	}
	/* Both in one log: no machine writes that. */
	lb_begin(&lb, 5, 300);
	lb.fmt = 1;
	records(1, 4000);
	lb.fmt = 2;
	records(1, 4000);
	lb.tail_lsn = xr_lsn(5, 300);
	lb_record(&lb, 9, 100);
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb_walk(&lb, &seen), -EUCLEAN);
	assert_said(&lb.said, "another byte order");
}

/* i386 has no padding behind the header, and leaves it out of the CRC. */
static void test_i386(void **state)
{
	(void)state;
	lb.crc_header = 324;
	records(3, 4000);
	assert_dirty(0, 3);
	assert_int_equal(lb_walk(&lb, &seen), 0);
	assert_int_equal(seen.n, 3);
	lb.crc_header = 320;
	records(9, 4000);
	assert_int_equal(lb_find(&lb), -EBADMSG);
}

/* No checksum passes the search for torn writes, but is not replayed. */
static void test_no_crc(void **state)
{
	(void)state;
	lb.no_crc = true;
	records(3, 4000);
	assert_dirty(0, 3);
	assert_int_equal(lb_walk(&lb, &seen), -EUCLEAN);
	assert_said(&lb.said, "no checksum");
	assert_int_equal(seen.n, 0);
}

/* Tails that cannot be: nothing may run in circles, nothing may be taken for a log that is not there. */
static void test_hostile_tail(void **state)
{
	/* The head will be block 336 in cycle 5. */
	const uint64_t tails[] = {
		xr_lsn(5, 2048), xr_lsn(5, UINT32_MAX), xr_lsn(5, 1000), xr_lsn(4, 300),        xr_lsn(3, 1000),
		xr_lsn(6, 300),  xr_lsn(4, 325),        xr_lsn(4, 336),  xr_lsn(UINT32_MAX, 0), 0,
		UINT64_MAX,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		lb_begin(&lb, 5, 300);
		lb.tail_lsn = tails[i];
		records(12, 700);
		assert_int_equal(lb.block, 336);
		assert_int_equal(lb_find(&lb), -EUCLEAN);
		assert_said(&lb.said, "tail");
	}
	/* A tail that could be, in old blocks without any record: the next record begins it. */
	lb_begin(&lb, 5, 300);
	lb.tail_lsn = xr_lsn(5, 200);
	records(12, 700);
	assert_dirty(300, 12);
}

static void spoil_len(struct lb *l, uint8_t *record, size_t bytes)
{
	(void)bytes;
	if (l->block == 300)
		xr_put_be32(record + H(len), 0);
}

/* A wrong header far from the head is damage, even with good checksums around it. */
static void test_header_damage(void **state)
{
	(void)state;
	lb_begin(&lb, 5, 300);
	lb.spoil = spoil_len;
	records(12, 4000);
	assert_int_equal(lb_find(&lb), -EUCLEAN);
	assert_said(&lb.said, "block 300");
	assert_said(&lb.said, "without data");
}

/* Records whose lengths lead past the head end the walk. */
static void test_past_head(void **state)
{
	(void)state;
	lb_begin(&lb, 5, 300);
	records(3, 4000);
	assert_int_equal(lb_find(&lb), 0);
	lb.head.head--;
	assert_int_equal(lb_walk(&lb, &seen), -EUCLEAN);
	assert_said(&lb.said, "past the head");
	assert_int_equal(lb_find(&lb), 0);
	lb.head.tail++;
	assert_int_equal(lb_walk(&lb, &seen), -EUCLEAN);
	assert_said(&lb.said, "no record header");
}

static void spoil_lsn(struct lb *l, uint8_t *record, size_t bytes)
{
	(void)bytes;
	xr_put_be64(record + H(lsn), xr_lsn(l->cycle + 1, l->block));
}

static void test_wrong_lsn(void **state)
{
	(void)state;
	lb_begin(&lb, 5, 300);
	lb.spoil = spoil_lsn;
	records(3, 4000);
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb_walk(&lb, &seen), -EUCLEAN);
	assert_said(&lb.said, "not its place");
}

/* No header anywhere before the head. */
static void test_no_record(void **state)
{
	(void)state;
	lb_begin(&lb, 5, 300);
	assert_int_equal(lb_find(&lb), -EUCLEAN);
	assert_said(&lb.said, "no log record");
	lb_begin(&lb, 5, 700);
	assert_int_equal(lb_find(&lb), -EUCLEAN);
	lb_begin(&lb, 5, 0);
	assert_int_equal(lb_find(&lb), -EUCLEAN);
	lb_zero(&lb, 900, lb.log.bbs - 900);
	assert_int_equal(lb_find(&lb), -EUCLEAN);
}

/* A hole of the cycle before in the newest records: writes that came in another order than they were sent. */
static void test_hole(void **state)
{
	uint32_t blocks[9];
	uint8_t old[XR_BB] = {0, 0, 0, 4};

	(void)state;
	lb_begin(&lb, 5, 2000);
	for (uint32_t i = 0; i < 9; i++)
		blocks[i] = lb_record(&lb, i, 4000);
	assert_true(blocks[6] < 100);
	xr_put_be32(old, 5);
	assert_int_equal(xr_dev_write(&lb.dev, old, XR_BB, (lb.log.daddr + blocks[6] + 2) * XR_BB), 0);
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb.head.head, blocks[6]);
	assert_int_equal(lb.head.torn, 1); /* found by its cycle: the whole records behind it were never looked at */
	assert_int_equal(lb.head.records, 6);
	/* The same before the physical end, with the head behind it. */
	xr_put_be32(old, 4);
	assert_int_equal(xr_dev_write(&lb.dev, old, XR_BB, (lb.log.daddr + blocks[3] + 2) * XR_BB), 0);
	xr_ring_forget(lb.log.ring);
	assert_int_equal(lb_find(&lb), 0);
	assert_int_equal(lb.head.head, blocks[3]);
	assert_int_equal(lb.head.torn, 1);
	assert_int_equal(lb.head.cycle, 5);
	assert_int_equal(lb.head.records, 3);
}

/* After a recovery headers without data lie before the head: nothing but cleared blocks. */
static void test_cleared_blocks(void **state)
{
	uint8_t bb[XR_BB] = {0};

	(void)state;
	lb_begin(&lb, 5, 300);
	xr_put_be32(bb, XR_RECORD_MAGIC);
	xr_put_be32(bb + H(cycle), 4);
	xr_put_be32(bb + H(version), 2);
	xr_put_be32(bb + H(fmt), 1);
	memcpy(bb + H(fs_uuid), lb.uuid, 16);
	for (uint32_t b = 300; b < lb.log.bbs; b++)
		assert_int_equal(xr_dev_write(&lb.dev, bb, XR_BB, (lb.log.daddr + b) * XR_BB), 0);
	records(3, 4000);
	assert_dirty(300, 3);
	lb.tail_lsn = xr_lsn(4, 500);
	lb_unmount(&lb);
	lb_flush(&lb);
	assert_int_equal(lb_find(&lb), 0);
	assert_true(lb.head.clean);
}

static void test_superblock_ahead(void **state)
{
	(void)state;
	lb_begin(&lb, 5, 300);
	records(3, 4000);
	lb.sb.lsn = xr_lsn(lb.cycle, lb.block);
	assert_dirty(300, 3);
	lb.sb.lsn++;
	assert_int_equal(lb_find(&lb), -EUCLEAN);
	assert_said(&lb.said, "ahead");
	lb.sb.lsn = UINT64_MAX;
	assert_dirty(300, 3);
}

static void test_unreadable(void **state)
{
	(void)state;
	lb_begin(&lb, 5, 300);
	records(3, 4000);
	assert_int_equal(ftruncate(lb.dev.fd, (off_t)(lb.log.daddr + 305) * XR_BB), 0);
	assert_int_equal(lb_find(&lb), -EIO);
	assert_said(&lb.said, "log block ");
}

#define ON_LOG(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_LOG(test_empty),
		ON_LOG(test_partly_zeroed),
		ON_LOG(test_hole_of_zeros),
		ON_LOG(test_incomplete),
		ON_LOG(test_clean),
		ON_LOG(test_fresh),
		ON_LOG(test_wrapped),
		ON_LOG(test_wrapped_eight_headers),
		ON_LOG(test_largest),
		ON_LOG(test_long_single),
		ON_LOG(test_mixed_sizes),
		cmocka_unit_test_setup_teardown(test_long_log, open_long_log, close_log),
		cmocka_unit_test_setup_teardown(test_filesystem_for_log, open_long_log, close_log),
		ON_LOG(test_torn),
		ON_LOG(test_torn_at_zero),
		ON_LOG(test_torn_to_clean),
		ON_LOG(test_torn_header),
		ON_LOG(test_tail_overwritten),
		ON_LOG(test_owner),
		ON_LOG(test_format),
		ON_LOG(test_i386),
		ON_LOG(test_no_crc),
		ON_LOG(test_hostile_tail),
		ON_LOG(test_header_damage),
		ON_LOG(test_past_head),
		ON_LOG(test_wrong_lsn),
		ON_LOG(test_no_record),
		ON_LOG(test_hole),
		ON_LOG(test_cleared_blocks),
		ON_LOG(test_superblock_ahead),
		ON_LOG(test_unreadable),
	};

	return cmocka_run_group_tests(tests, lb_setup, lb_teardown);
}
