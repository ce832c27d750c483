/* SPDX-License-Identifier: GPL-2.0-only */
#include "replaybuild.h"

#define FIRST_BLOCK 100u

static bool big_endian;

int rb_big_endian(void **state)
{
	(void)state;
	big_endian = true;
	return 0;
}

int rb_setup_with(void **state, const struct sb_build *b)
{
	struct rb *rb = calloc(1, sizeof(*rb));
	uint8_t raw[XR_BB];

	assert_non_null(rb);
	assert_int_equal(vmap_process_create(NULL, &rb->process), 0);
	lb_init(&rb->lb, b, rb->process);
	if (big_endian)
		rb->lb.fmt = XLOG_FMT_LINUX_BE;
	sb_build(b, raw);
	rb_put(rb, 0, raw, sizeof(raw));
	lb_begin(&rb->lb, 3, FIRST_BLOCK);
	assert_int_equal(xr_cache_create(&rb->cache, &rb->lb.dev, rb->process, true, &rb->lb.said.msg), 0);
	*state = rb;
	return 0;
}

int rb_setup(void **state)
{
	const struct sb_build b = SB_BUILD_DEFAULT;

	return rb_setup_with(state, &b);
}

int rb_teardown(void **state)
{
	struct rb *rb = *state;

	xr_replay_destroy(&rb->replay);
	xr_cache_destroy(rb->cache);
	lb_end(&rb->lb);
	assert_int_equal(vmap_process_destroy(rb->process), 0);
	free(rb);
	return 0;
}

void rb_start(struct rb *rb, uint32_t tid)
{
	lb_start(&rb->lb, tid);
}

void rb_commit(struct rb *rb, uint32_t tid)
{
	lb_commit(&rb->lb, tid);
}

void rb_buf_item(struct rb *rb, uint32_t tid, uint64_t daddr, uint32_t bbs, uint16_t flags, uint32_t chunk, uint32_t count,
		 const uint8_t *data)
{
	uint8_t format[20 + 4 * 4] = {0};
	uint32_t map[4] = {0};

	lb_put(&rb->lb, format, XFS_LI_BUF, 2);
	lb_put(&rb->lb, format + 2, count ? 2 : 1, 2);
	lb_put(&rb->lb, format + 4, flags, 2);
	lb_put(&rb->lb, format + 6, bbs, 2);
	lb_put(&rb->lb, format + 8, daddr, 8);
	lb_put(&rb->lb, format + 16, 4, 4);
	for (uint32_t i = chunk; i < chunk + count; i++)
		map[i / 32] |= 1u << i % 32;
	for (unsigned i = 0; i < 4; i++)
		lb_put(&rb->lb, format + 20 + 4 * i, map[i], 4);
	lb_op(&rb->lb, tid, 0, format, sizeof(format));
	if (count)
		lb_op(&rb->lb, tid, 0, data, count * 128);
}

void rb_item(struct rb *rb, uint32_t tid, unsigned count, const void *const *regions, const uint32_t *sizes)
{
	for (unsigned i = 0; i < count; i++)
		lb_op(&rb->lb, tid, 0, regions[i], sizes[i]);
}

uint64_t rb_flush(struct rb *rb)
{
	uint32_t cycle = rb->lb.cycle, block = lb_flush(&rb->lb);

	return xr_lsn(cycle, block);
}

int rb_run(struct rb *rb)
{
	int ret = lb_find(&rb->lb);

	assert_int_equal(ret, 0);
	xr_replay_destroy(&rb->replay);
	xr_replay_init(&rb->replay, &rb->lb.log, rb->cache, &rb->lb.said.msg);
	rb->replay.skips = rb->skips;
	rb->replay.nskips = rb->nskips;
	if (rb->slice_bytes)
		rb->replay.slice_bytes = rb->slice_bytes;
	ret = xr_replay_check(&rb->replay, &rb->lb.head);
	if (!ret)
		ret = xr_replay_apply(&rb->replay, &rb->lb.head);
	return ret ? ret : xr_cache_flush(rb->cache);
}

void rb_put(struct rb *rb, uint64_t daddr, const void *data, size_t size)
{
	assert_int_equal(xr_dev_write(&rb->lb.dev, data, size, daddr * XR_BB), 0);
}

void rb_get(struct rb *rb, uint64_t daddr, void *data, size_t size)
{
	assert_int_equal(xr_dev_read(&rb->lb.dev, data, size, daddr * XR_BB), 0);
}

void rb_dir_block(const struct rb *rb, uint8_t *raw, uint64_t daddr, uint64_t lsn)
{
	memset(raw, 0, RB_BLOCK_BBS * XR_BB);
	xr_put_be32(raw, XFS_DIR3_DATA_MAGIC);
	xr_put_be64(raw + 8, daddr);
	xr_put_be64(raw + 16, lsn);
	memcpy(raw + 24, rb->lb.sb.meta_uuid, 16);
}
