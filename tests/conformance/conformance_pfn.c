// SPDX-License-Identifier: MIT
/* vmap_pfn(): frames that have no page. */
#include "bed.h"

#define SPACE ((size_t)1 << 20)

static void frames_are_seen(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, SIZE_MAX);
	struct vmap_options options = {.prot = VMAP_WRITE};
	struct vmap_area_info info;
	struct vmap_page *page;
	unsigned char value;
	uint64_t frames[4];
	size_t offset;
	void *addr;

	if (!bed->host->device_frames) {
		assert_int_equal(vmap_pfn(bed->space, &(uint64_t){1}, 1, NULL, &addr), -VMAP_EINVAL);
		assert_null(addr);
		bed_end(bed);
		return;
	}
	bed->host->device_frames(bed, frames, ARRAY_SIZE(frames));
	assert_int_equal(vmap_pfn(bed->space, frames, ARRAY_SIZE(frames), &options, &addr), 0);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		uintptr_t at = (uintptr_t)addr + i * bed->page_size;

		assert_true(bed->host->write(bed, at + 3, (unsigned char)(0x70 + i)));
		assert_int_equal(bed->host->frame_bytes(bed, frames[i])[3], 0x70 + i);
		bed->host->frame_bytes(bed, frames[i])[4] = (unsigned char)(0x80 + i);
		assert_true(bed->host->read(bed, at + 4, &value));
		assert_int_equal(value, 0x80 + i);
		assert_int_equal(vmap_page_at(bed->space, bed_ptr(at), &page, &offset), -VMAP_EFAULT);
	}
	assert_int_equal(vmap_area_at(bed->space, addr, &info), 0);
	assert_int_equal(info.size, ARRAY_SIZE(frames) * bed->page_size);
	assert_int_equal(info.guard, bed->page_size);
	assert_int_equal(info.pages, 0);
	assert_int_equal(bed_stats(bed).pages_held, 0);
	assert_int_equal(vmap_free(bed->space, addr), -VMAP_EINVAL);
	bed_unmap(bed, (uintptr_t)addr);
	vmap_purge(bed->space);
	bed_check_faults(bed, (uintptr_t)addr, ARRAY_SIZE(frames) * bed->page_size);
	bed_end(bed);
}

/* Each type that the host has arrives there, outlives a change of protection, and the same frames can be seen by number without waiting. */
static void memory_types_arrive(void **state)
{
	static const unsigned types[] = {0, VMAP_WRITE_COMBINING, VMAP_UNCACHED, VMAP_DEVICE};
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_options options = {0};
	struct vmap_area_info info;
	uint64_t frames[2];
	void *addr;
	int err;

	for (size_t i = 0; bed->host->device_frames && i < ARRAY_SIZE(types); i++) {
		bed->host->device_frames(bed, frames, 2);
		options.prot = types[i];
		options.flags = i % 2 ? VMAP_NOWAIT : 0;
		bed_atomic(bed, i % 2);
		err = vmap_pfn(bed->space, frames, 2, &options, &addr);
		bed_atomic(bed, false);
		vmap_purge(bed->space); /* what failed without waiting */
		if (types[i] && err == -VMAP_EINVAL)
			continue;
		assert_int_equal(err, 0);
		assert_int_equal(bed->host->memory_type(bed, (uintptr_t)addr + bed->page_size), types[i]);
		assert_int_equal(vmap_protect(bed->space, addr, 2 * bed->page_size, VMAP_READ), 0);
		assert_int_equal(bed->host->memory_type(bed, (uintptr_t)addr), types[i]);
		assert_false(bed->host->write(bed, (uintptr_t)addr, 1));
		assert_int_equal(vmap_area_at(bed->space, addr, &info), 0);
		assert_int_equal(info.prot, VMAP_READ | types[i]);
		bed_unmap(bed, (uintptr_t)addr);
	}
	bed_end(bed);
}

static void bad_arguments_are_refused(void **state)
{
	struct conformance_bed *bed = bed_begin(state, SPACE, 0);
	struct vmap_options put = {.flags = VMAP_PUT_PAGES};
	uint64_t frame = 1;
	void *addr;

	assert_int_equal(vmap_pfn(bed->space, NULL, 1, NULL, &addr), -VMAP_EINVAL);
	assert_int_equal(vmap_pfn(bed->space, &frame, 0, NULL, &addr), -VMAP_EINVAL);
	assert_int_equal(vmap_pfn(bed->space, &frame, 1, NULL, NULL), -VMAP_EINVAL);
	assert_int_equal(vmap_pfn(bed->space, &frame, 1, &put, &addr), -VMAP_EINVAL);
	if (bed->host->device_frames)
		assert_int_equal(vmap_pfn(bed->space, &frame, SIZE_MAX / bed->page_size + 2, NULL, &addr), -VMAP_ERANGE);
	assert_null(addr);
	bed_end(bed);
}

const struct CMUnitTest conformance_pfn_tests[] = {
	cmocka_unit_test(frames_are_seen),
	cmocka_unit_test(memory_types_arrive),
	cmocka_unit_test(bad_arguments_are_refused),
	CONFORMANCE_END,
};
