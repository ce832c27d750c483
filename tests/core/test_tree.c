// SPDX-License-Identifier: MIT
/* The balanced tree against an array: random links and unlinks, and the augmentation of every node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "check.h"

#define KEYS 512

struct item {
	struct vmap_tree_node node;
	unsigned key;
	unsigned value, sum; /* sum of the values of the subtree */
	bool in;
};

static struct item *item_of(struct vmap_tree_node *node)
{
	return vmap_tree_entry(node, struct item, node);
}

static bool update_sum(struct vmap_tree_node *node)
{
	struct item *item = item_of(node);
	unsigned old = item->sum;

	item->sum = item->value;
	for (unsigned side = 0; side < 2; side++)
		if (node->child[side])
			item->sum += item_of(node->child[side])->sum;
	return item->sum != old;
}

static void insert(struct vmap_tree *tree, struct item *item)
{
	struct vmap_tree_node *node = tree->root, *parent = NULL;
	unsigned side = 0;

	while (node) {
		parent = node;
		side = item->key > item_of(node)->key;
		node = node->child[side];
	}
	vmap_tree_link(tree, &item->node, parent, side);
	item->in = true;
}

static void check(struct vmap_tree *tree, struct item *items)
{
	struct vmap_tree_node *node = vmap_tree_end(tree, 0);
	const char *wrong = check_tree(tree);
	unsigned sum = 0;

	if (wrong)
		fail_msg("%s", wrong);
	for (unsigned key = 0; key < KEYS; key++) {
		if (!items[key].in)
			continue;
		assert_ptr_equal(node, &items[key].node);
		sum += items[key].value;
		node = vmap_tree_step(node, 1);
	}
	assert_null(node);
	assert_int_equal(tree->root ? item_of(tree->root)->sum : 0, sum);
}

static void random_changes_keep_the_tree(void **state)
{
	struct vmap_tree tree = {.update = update_sum};
	struct item *items = calloc(KEYS, sizeof(*items)), *item;
	uint64_t seed = 1;

	(void)state;
	assert_non_null(items);
	for (unsigned key = 0; key < KEYS; key++)
		items[key] = (struct item){.key = key};
	for (unsigned step = 0; step < 40000; step++) {
		item = &items[check_random(&seed, KEYS)];
		item->value = (unsigned)check_random(&seed, 1000);
		if (!item->in) {
			insert(&tree, item);
		} else if (step % 3) {
			vmap_tree_unlink(&tree, &item->node);
			item->in = false;
		} else {
			vmap_tree_touch(&tree, &item->node);
		}
		if (step % 16 == 0)
			check(&tree, items);
	}
	check(&tree, items);
	free(items);
}

static void sorted_insertion_stays_shallow(void **state)
{
	struct vmap_tree tree = {.update = NULL};
	struct item *items = calloc(1 << 14, sizeof(*items));
	const char *wrong;

	(void)state;
	assert_non_null(items);
	for (unsigned key = 0; key < 1 << 14; key++) {
		items[key].key = key;
		insert(&tree, &items[key]);
	}
	assert_true(tree.root->height <= 15);
	for (unsigned key = 0; key < 1 << 14; key += 2)
		vmap_tree_unlink(&tree, &items[key].node);
	wrong = check_tree(&tree);
	assert_null(wrong);
	for (unsigned key = 1; key < 1 << 14; key += 2)
		vmap_tree_unlink(&tree, &items[key].node);
	assert_null(tree.root);
	assert_null(vmap_tree_end(&tree, 0));
	free(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_keep_the_tree),
		cmocka_unit_test(sorted_insertion_stays_shallow),
	};

	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
