/* SPDX-License-Identifier: MIT */
/* The tree of free frames against a plain array of them, through some thousand random takes and gives. */
#include "support.h"

#include "linux/buddy.h"

#define ORDER 8
#define FRAMES (1u << ORDER)

struct model {
	struct vmap_buddy buddy;
	bool used[FRAMES];
};

static struct model *model_new(void)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->buddy = (struct vmap_buddy){.nodes = calloc(1, vmap_buddy_bytes(ORDER)), .order = ORDER};
	assert_non_null(m->buddy.nodes);
	return m;
}

static void model_free(struct model *m)
{
	free(m->buddy.nodes);
	free(m);
}

static void model_set(struct model *m, uint64_t frame, unsigned order, bool used)
{
	for (uint64_t i = frame; i < frame + (1u << order); i++)
		m->used[i] = used;
}

/* The lowest aligned block of which no frame is used, found the slow way. */
static bool model_find(const struct model *m, unsigned order, uint64_t *frame)
{
	for (uint64_t at = 0; at < FRAMES; at += 1u << order) {
		uint64_t i = at;

		while (i < at + (1u << order) && !m->used[i])
			i++;
		if (i == at + (1u << order)) {
			*frame = at;
			return true;
		}
	}
	return false;
}

static void assert_same(const struct model *m)
{
	for (unsigned order = 0; order <= ORDER; order++) {
		uint64_t want = 0, got = 0;

		assert_int_equal(vmap_buddy_find(&m->buddy, order, &got), model_find(m, order, &want));
		assert_int_equal(got, want);
	}
}

static void test_random(void **state)
{
	struct model *m = model_new();
	struct {
		uint64_t frame;
		unsigned order;
	} held[FRAMES];
	size_t n = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		unsigned order = (unsigned)rand() % (ORDER - 2);
		uint64_t frame;

		/* Longer and shorter phases in which it fills up and empties. */
		if (rand() % 100 < (i / 1000 % 2 ? 35 : 65) && vmap_buddy_find(&m->buddy, order, &frame)) {
			vmap_buddy_take(&m->buddy, frame, order);
			model_set(m, frame, order, true);
			held[n].frame = frame;
			held[n++].order = order;
		} else if (n) {
			size_t pick = (size_t)rand() % n;

			vmap_buddy_give(&m->buddy, held[pick].frame, held[pick].order);
			model_set(m, held[pick].frame, held[pick].order, false);
			held[pick] = held[--n];
		}
		assert_same(m);
	}
	while (n--)
		vmap_buddy_give(&m->buddy, held[n].frame, held[n].order);
	for (size_t i = 0; i < vmap_buddy_bytes(ORDER); i++)
		assert_int_equal(m->buddy.nodes[i], 0);
	model_free(m);
}

/* A part of a free block can be taken wherever it lies, and comes back into the whole. */
static void test_inside(void **state)
{
	struct model *m = model_new();
	uint64_t frame;

	(void)state;
	vmap_buddy_take(&m->buddy, 37, 0);
	assert_true(vmap_buddy_find(&m->buddy, ORDER - 1, &frame));
	assert_int_equal(frame, FRAMES / 2);
	assert_true(vmap_buddy_find(&m->buddy, 5, &frame));
	assert_int_equal(frame, 0);
	assert_false(vmap_buddy_find(&m->buddy, ORDER, &frame));
	vmap_buddy_give(&m->buddy, 37, 0);
	assert_true(vmap_buddy_find(&m->buddy, ORDER, &frame));
	assert_false(vmap_buddy_find(&m->buddy, ORDER + 1, &frame));
	model_free(m);
}

/* One frame: the smallest tree. */
static void test_one_frame(void **state)
{
	uint8_t nodes[2] = {0};
	struct vmap_buddy buddy = {.nodes = nodes};
	uint64_t frame = 9;

	(void)state;
	assert_int_equal(vmap_buddy_bytes(0), sizeof(nodes));
	assert_true(vmap_buddy_find(&buddy, 0, &frame));
	assert_int_equal(frame, 0);
	vmap_buddy_take(&buddy, 0, 0);
	assert_false(vmap_buddy_find(&buddy, 0, &frame));
	vmap_buddy_give(&buddy, 0, 0);
	assert_true(vmap_buddy_find(&buddy, 0, &frame));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_one_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
