/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <sys/sysmacros.h>

#include "tree/tree.h"

static int setup(void **state)
{
	*state = tree_new(NULL);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	tree_free(*state);
	return 0;
}

static struct tree_node *add(struct tree *tree, struct tree_node *parent,
			     const char *name, uint32_t mode)
{
	struct tree_node *node = NULL;
	struct cop_error err = {};

	assert_ok(tree_add(tree, parent, name, strlen(name), mode, &node, &err), &err);
	return node;
}

static void finish(struct tree *tree)
{
	struct cop_error err = {};

	assert_ok(tree_finish(tree, &err), &err);
}

static void a_new_tree_is_an_empty_directory(void **state)
{
	struct tree *tree = *state;

	assert_true(S_ISDIR(tree->root->mode));
	assert_string_equal(tree->root->name, "");
	finish(tree);
	assert_int_equal(tree->n_nodes, 1);
	assert_null(tree_next(tree->root));
}

static void a_walk_goes_by_unsigned_bytes_parents_first(void **state)
{
	static const char *const expected[] = {"",   " ", "a",	  "z",	     "\xff",
					       "a-", "b", "\x80", "\xc3\xa9"};
	struct tree *tree = *state;
	struct tree_node *dir, *node = tree->root;

	(void)add(tree, tree->root, "\xc3\xa9", S_IFREG);
	(void)add(tree, tree->root, "b", S_IFREG);
	dir = add(tree, tree->root, "a", S_IFDIR);
	(void)add(tree, tree->root, "\x80", S_IFREG);
	(void)add(tree, tree->root, "a-", S_IFREG);
	(void)add(tree, tree->root, " ", S_IFREG);
	(void)add(tree, dir, "\xff", S_IFREG);
	(void)add(tree, dir, "z", S_IFREG);
	finish(tree);
	assert_int_equal(tree->n_nodes, ARRAY_SIZE(expected));
	for (uint32_t i = 0; i < ARRAY_SIZE(expected); i++, node = tree_next(node)) {
		assert_non_null(node);
		assert_string_equal(node->name, expected[i]);
		assert_int_equal(node->index, i);
	}
	assert_null(node);
}

static void a_tree_can_grow_after_it_was_finished(void **state)
{
	struct tree *tree = *state;
	char name[16];

	for (int i = 999; i >= 0; i--) {
		(void)snprintf(name, sizeof(name), "%03d", i);
		(void)add(tree, tree->root, name, S_IFREG);
		if (i % 100 == 0)
			finish(tree);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "%03u", i);
		assert_string_equal(tree->root->children[i]->name, name);
		assert_ptr_equal(tree_child(tree->root, name, 3),
				 tree->root->children[i]);
	}
	assert_null(tree_child(tree->root, "1000", 4));
	assert_null(tree_child(tree->root, "10", 2));
	assert_null(tree_child(tree->root, "", 0));
}

static void bad_names_are_refused(void **state)
{
	static const struct {
		const char *name;
		size_t size;
		int code;
	} cases[] = {
		{"", 0, -EINVAL},    {".", 1, -EINVAL}, {"..", 2, -EINVAL},
		{"a/b", 3, -EINVAL}, {"/", 1, -EINVAL}, {"a\0b", 3, -EINVAL},
	};
	struct tree *tree = *state;
	struct tree_node *node = NULL, *file = add(tree, tree->root, "file", S_IFREG);
	struct cop_error err = {};
	char longest[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_fails(tree_add(tree, tree->root, cases[i].name, cases[i].size,
				      S_IFREG, &node, &err),
			     cases[i].code, &err);
	memset(longest, 'x', sizeof(longest));
	assert_fails(tree_add(tree, tree->root, longest, 256, S_IFREG, &node, &err),
		     -ENAMETOOLONG, &err);
	assert_fails(tree_add(tree, file, "below", 5, S_IFREG, &node, &err), -ENOTDIR,
		     &err);
	assert_fails(tree_add(tree, tree->root, "x", 1, 0644, &node, &err), -EINVAL,
		     &err);
	assert_null(node);
	assert_int_equal(tree->root->n_children, 1);
	assert_ok(tree_add(tree, tree->root, longest, 255, S_IFREG, &node, &err), &err);
	assert_ok(tree_add(tree, tree->root, "...", 3, S_IFREG, &node, &err), &err);
}

static void a_name_twice_is_refused_with_its_path(void **state)
{
	struct tree *tree = *state;
	struct tree_node *dir = add(tree, tree->root, "dir", S_IFDIR);
	struct cop_error err = {};

	(void)add(tree, dir, "x", S_IFREG);
	(void)add(tree, dir, "y", S_IFREG);
	(void)add(tree, dir, "x", S_IFDIR);
	assert_fails(tree_finish(tree, &err), -EEXIST, &err);
	assert_string_equal(err.message, "'/dir/x' is there twice");
}

static void only_inodes_that_are_no_directory_can_be_linked_to(void **state)
{
	struct tree *tree = *state;
	struct tree_node *dir = add(tree, tree->root, "dir", S_IFDIR), *link = NULL;
	struct tree_node *file = add(tree, tree->root, "file", S_IFREG);
	struct cop_error err = {};

	assert_fails(tree_add_link(tree, dir, "a", 1, dir, &link, &err), -EINVAL, &err);
	assert_ok(tree_add_link(tree, dir, "a", 1, file, &link, &err), &err);
	assert_ptr_equal(tree_inode(link), file);
	assert_ptr_equal(tree_inode(file), file);
	assert_fails(tree_add_link(tree, dir, "b", 1, link, &link, &err), -EINVAL, &err);
	assert_fails(tree_add(tree, link, "c", 1, S_IFREG, &link, &err), -ENOTDIR, &err);
}

static void paths_lead_to_nodes_and_back(void **state)
{
	struct tree *tree = *state;
	struct tree_node *a = add(tree, tree->root, "a", S_IFDIR);
	struct tree_node *b = add(tree, a, "b c", S_IFDIR);
	struct tree_node *d = add(tree, b, "d", S_IFREG);
	auto_free char *path = tree_path(d), *root = tree_path(tree->root);

	finish(tree);
	assert_string_equal(path, "/a/b c/d");
	assert_string_equal(root, "/");
	assert_ptr_equal(tree_find(tree, "/a/b c/d"), d);
	assert_ptr_equal(tree_find(tree, "a//b c/./d"), d);
	assert_ptr_equal(tree_find(tree, "a/b c/"), b);
	assert_ptr_equal(tree_find(tree, ""), tree->root);
	assert_ptr_equal(tree_find(tree, "///"), tree->root);
	assert_ptr_equal(tree_find(tree, "."), tree->root);
	assert_null(tree_find(tree, "/a/.."));
	assert_null(tree_find(tree, "/a/b"));
	assert_null(tree_find(tree, "/a/b c/d/e"));
}

static void xattrs_are_sorted_replaced_and_removed(void **state)
{
	struct tree *tree = *state;
	struct tree_node *node = tree->root;
	struct cop_error err = {};
	char key[32];

	for (int i = 99; i >= 0; i--) {
		(void)snprintf(key, sizeof(key), "user.%02d", i);
		assert_ok(tree_set_xattr(tree, node, key, key, 3, &err), &err);
	}
	assert_int_equal(node->n_xattrs, 100);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(key, sizeof(key), "user.%02d", i);
		assert_string_equal(node->xattrs[i].key, key);
	}
	assert_ok(tree_set_xattr(tree, node, "user.50", "a\0b", 3, &err), &err);
	assert_int_equal(node->n_xattrs, 100);
	assert_memory_equal(tree_find_xattr(node, "user.50")->value, "a\0b", 4);
	assert_true(tree_remove_xattr(node, "user.00"));
	assert_true(tree_remove_xattr(node, "user.99"));
	assert_false(tree_remove_xattr(node, "user.99"));
	assert_int_equal(node->n_xattrs, 98);
	assert_string_equal(node->xattrs[0].key, "user.01");
	assert_null(tree_find_xattr(node, "user.00"));
	assert_null(tree_find_xattr(node, "zzz"));
}

static void xattrs_have_limits(void **state)
{
	struct tree *tree = *state;
	struct cop_error err = {};
	auto_free char *value = calloc(1, 65536);
	char key[257];

	memset(key, 'k', sizeof(key));
	key[256] = '\0';
	assert_fails(tree_set_xattr(tree, tree->root, key, "", 0, &err), -ERANGE, &err);
	assert_fails(tree_set_xattr(tree, tree->root, "", "", 0, &err), -ERANGE, &err);
	assert_fails(tree_set_xattr(tree, tree->root, "k", value, 65536, &err), -ERANGE,
		     &err);
	key[255] = '\0';
	assert_ok(tree_set_xattr(tree, tree->root, key, "", 0, &err), &err);
	assert_true(tree_remove_xattr(tree->root, key));
	assert_ok(tree_set_xattr(tree, tree->root, "k", value, 32755 - 8, &err), &err);
	assert_ok(tree_check_xattrs(tree->root, &err), &err);
	assert_ok(tree_set_xattr(tree, tree->root, "k", value, 32755 - 7, &err), &err);
	assert_fails(tree_check_xattrs(tree->root, &err), -ERANGE, &err);
}

static void one_node_cannot_have_endless_xattrs(void **state)
{
	struct tree *tree = *state;
	struct cop_error err = {};
	char key[16];

	for (int i = 0; i < 4096; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		assert_ok(tree_set_xattr(tree, tree->root, key, "", 0, &err), &err);
	}
	assert_fails(tree_set_xattr(tree, tree->root, "x", "", 0, &err), -ERANGE, &err);
	assert_ok(tree_set_xattr(tree, tree->root, "17", "v", 1, &err), &err);
}

static void data_of_files_has_limits(void **state)
{
	char payload[TREE_PAYLOAD_SIZE];
	struct tree *tree = *state;
	struct tree_node *file = add(tree, tree->root, "file", S_IFREG);
	struct tree_node *link = add(tree, tree->root, "link", S_IFLNK);
	struct cop_digest digest = {.bytes = {0xab, 0xcd}};
	struct cop_error err = {};
	char text[TREE_CONTENT_MAX + 1];

	memset(text, 't', sizeof(text));
	assert_fails(tree_set_content(tree, file, text, TREE_CONTENT_MAX + 1, &err),
		     -EFBIG, &err);
	assert_ok(tree_set_content(tree, file, text, TREE_CONTENT_MAX, &err), &err);
	assert_int_equal(file->size, TREE_CONTENT_MAX);
	assert_ok(tree_set_digest(tree, file, &digest, &err), &err);
	assert_null(file->content);
	assert_null(file->payload);
	assert_string_equal(
		tree_payload_of(file, payload),
		"ab/cd000000000000000000000000000000000000000000000000000000000000");
	assert_ok(tree_set_content(tree, file, "x", 1, &err), &err);
	assert_null(file->digest);
	assert_null(tree_payload_of(file, payload));
	assert_fails(tree_set_target(tree, link, "", 0, &err), -EINVAL, &err);
	assert_fails(tree_set_target(tree, link, "a\0b", 3, &err), -EINVAL, &err);
	assert_fails(tree_set_target(tree, link, text, TREE_SYMLINK_MAX + 1, &err),
		     -ENAMETOOLONG, &err);
	assert_null(link->target);
	assert_ok(tree_set_target(tree, link, text, TREE_SYMLINK_MAX, &err), &err);
}

static void later_mtimes_are_clamped(void **state)
{
	struct tree *tree = *state;
	struct tree_node *early = add(tree, tree->root, "early", S_IFREG);
	struct tree_node *same = add(tree, tree->root, "same", S_IFREG);
	struct tree_node *later = add(tree, tree->root, "later", S_IFREG), *link;
	struct cop_error err = {};

	assert_ok(tree_add_link(tree, tree->root, "link", 4, later, &link, &err), &err);
	early->mtime_sec = -5;
	early->mtime_nsec = 7;
	same->mtime_sec = 100;
	later->mtime_sec = 100;
	later->mtime_nsec = 1;
	finish(tree);
	assert_int_equal(tree_clamp(tree, 100), 1);
	assert_int_equal(later->mtime_nsec, 0);
	assert_int_equal(early->mtime_nsec, 7);
	assert_int_equal(tree_clamp(tree, 100), 0);
	assert_int_equal(tree_clamp(tree, 50), 2);
	assert_int_equal(later->mtime_sec, 50);
}

static void device_numbers_survive_or_are_refused(void **state)
{
	static const unsigned int numbers[][2] = {
		{0, 0}, {1, 3}, {8, 17}, {4095, 1048575}, {259, 65537}};
	uint32_t rdev = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		dev_t dev = makedev(numbers[i][0], numbers[i][1]);

		assert_int_equal(tree_rdev(dev, &rdev), 0);
		assert_int_equal(tree_rdev_to_dev(rdev), dev);
	}
	assert_int_equal(tree_rdev(makedev(8, 17), &rdev), 0);
	assert_int_equal(rdev, 2065);
	assert_int_equal(tree_rdev(makedev(4096, 0), &rdev), -ERANGE);
	assert_int_equal(tree_rdev(makedev(0, 1048576), &rdev), -ERANGE);
	assert_int_equal(rdev, 2065);
}

static void only_a_character_device_0_0_is_a_whiteout(void **state)
{
	struct tree *tree = *state;
	struct tree_node *whiteout = add(tree, tree->root, "w", S_IFCHR | 0600), *link;
	struct tree_node *block = add(tree, tree->root, "b", S_IFBLK);
	struct cop_error err = {};

	assert_ok(tree_add_link(tree, tree->root, "l", 1, whiteout, &link, &err), &err);
	assert_true(tree_is_whiteout(whiteout));
	assert_true(tree_is_whiteout(link));
	assert_false(tree_is_whiteout(block));
	whiteout->rdev = 1;
	assert_false(tree_is_whiteout(whiteout));
}

static void a_very_deep_tree_needs_no_stack(void **state)
{
	struct tree *tree = *state;
	struct tree_node *node = tree->root;
	uint32_t n = 0;

	for (int i = 0; i < 200000; i++)
		node = add(tree, node, "d", S_IFDIR);
	finish(tree);
	for (node = tree->root; node; node = tree_next(node))
		n++;
	assert_int_equal(n, 200001);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_tree_is_an_empty_directory),
		TEST(a_walk_goes_by_unsigned_bytes_parents_first),
		TEST(a_tree_can_grow_after_it_was_finished),
		TEST(bad_names_are_refused),
		TEST(a_name_twice_is_refused_with_its_path),
		TEST(only_inodes_that_are_no_directory_can_be_linked_to),
		TEST(paths_lead_to_nodes_and_back),
		TEST(xattrs_are_sorted_replaced_and_removed),
		TEST(xattrs_have_limits),
		TEST(one_node_cannot_have_endless_xattrs),
		TEST(data_of_files_has_limits),
		TEST(later_mtimes_are_clamped),
		TEST(device_numbers_survive_or_are_refused),
		TEST(only_a_character_device_0_0_is_a_whiteout),
		TEST(a_very_deep_tree_needs_no_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
