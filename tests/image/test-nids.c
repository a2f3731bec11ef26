/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "image/format.h"
#include "image/image.h"

static void inodes_stand_where_their_numbers_say(void **state)
{
	static const struct {
		const char *name;
		uint32_t mode;
	} made[] = {{"b", S_IFREG | 0601}, {"a", S_IFIFO | 0602}, {"c", S_IFDIR | 0703}};
	auto_ptr(tree) tree = NULL;
	auto_free uint64_t *nids = NULL;
	auto_free uint8_t *data = NULL;
	struct tree_node *node = NULL, *link, *below;
	struct cop_error err = {};
	size_t size;

	(void)state;
	tree = tree_new(&err);
	assert_non_null(tree);
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		assert_ok(tree_add(tree, tree->root, made[i].name, 1, made[i].mode, &node,
				   &err),
			  &err);
	assert_ok(tree_add(tree, node, "f", 1, S_IFREG | 0604, &below, &err), &err);
	assert_ok(tree_set_content(tree, below, "text", 4, &err), &err);
	assert_ok(tree_add_link(tree, tree->root, "z", 1, below, &link, &err), &err);
	assert_ok(tree_canonicalise(tree, &err), &err);

	assert_ok(image_write(tree, IMAGE_VERSION, &data, &size, &err), &err);
	assert_ok(image_nids(tree, IMAGE_VERSION, &nids, &err), &err);
	for (node = tree->root; node; node = tree_next(node))
		assert_int_equal(
			get_le16(data + nids[node->index] * IMAGE_SLOT + INODE_MODE),
			tree_inode(node)->mode);
	assert_int_equal(nids[tree->root->index], get_le16(data + SUPER + SUPER_ROOT));
	assert_int_equal(nids[tree_find(tree, "/z")->index],
			 nids[tree_find(tree, "/c/f")->index]);
}

static void a_tree_that_no_image_can_hold_has_no_numbers(void **state)
{
	auto_ptr(tree) tree = NULL;
	uint64_t *nids = NULL;
	struct tree_node *node;
	struct cop_error err = {};

	(void)state;
	tree = tree_new(&err);
	assert_non_null(tree);
	assert_ok(tree_add(tree, tree->root, "l", 1, S_IFLNK | 0777, &node, &err), &err);
	assert_ok(tree_finish(tree, &err), &err);
	assert_fails(image_nids(tree, IMAGE_VERSION, &nids, &err), -EINVAL, &err);
	assert_null(nids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inodes_stand_where_their_numbers_say),
		cmocka_unit_test(a_tree_that_no_image_can_hold_has_no_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
