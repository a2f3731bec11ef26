/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "tree/dump.h"

#define ROOT	 "/ 0 40755 1 0 0 0 1.0 - - -\n"
#define ROOT_OUT "/ 4096 40755 2 0 0 0 1.0 - - -\n"
#define HEX	 "abcdabababababababababababababababababababababababababababababab"
#define PAYLOAD	 "ab/cdabababababababababababababababababababababababababababababab"

static struct tree *parse(const char *text)
{
	struct tree *tree = NULL;
	struct cop_error err = {};

	assert_ok(tree_from_dump(text, strlen(text), &tree, &err), &err);
	return tree;
}

static char *dump(const struct tree *tree)
{
	auto_buf buf = {};
	struct cop_error err = {};

	assert_ok(tree_to_dump(tree, &buf, &err), &err);
	return buf_take(&buf);
}

static void assert_canonical(const char *text, const char *expected)
{
	auto_ptr(tree) tree = parse(text);
	auto_free char *once = NULL, *twice = NULL;
	struct cop_error err = {};

	assert_ok(tree_canonicalise(tree, &err), &err);
	once = dump(tree);
	assert_string_equal(once, expected);
	assert_ok(tree_canonicalise(tree, &err), &err);
	twice = dump(tree);
	assert_string_equal(twice, expected);
}

static void assert_refused(const char *text, int code, const char *message)
{
	auto_ptr(tree) tree = parse(text);
	struct cop_error err = {};

	assert_fails(tree_canonicalise(tree, &err), code, &err);
	assert_string_equal(err.message, message);
}

static void an_inode_stands_at_the_first_of_its_names(void **state)
{
	(void)state;
	assert_canonical(ROOT "/a 0 @100644 2 0 0 0 0.0 /z - -\n"
			      "/d 0 40755 2 0 0 0 1.0 - - -\n"
			      "/d/x 0 @100644 2 0 0 0 0.0 /z - -\n"
			      "/z 2 100644 9 0 0 0 7.0 - hi - user.a=b\n",
			 "/ 4096 40755 3 0 0 0 1.0 - - -\n"
			 "/a 2 100644 3 0 0 0 7.0 - hi - user.a=b\n"
			 "/d 40 40755 2 0 0 0 1.0 - - -\n"
			 "/d/x 2 @100644 3 0 0 0 7.0 /a - -\n"
			 "/z 2 @100644 3 0 0 0 7.0 /a - -\n");
}

/* "a/z" comes before "a-": a directory's entries follow it at once. */
static void the_first_name_is_that_of_the_walk_and_not_of_the_path(void **state)
{
	(void)state;
	assert_canonical(ROOT "/a- 0 100644 1 0 0 0 1.0 - - -\n"
			      "/a 0 40755 2 0 0 0 1.0 - - -\n"
			      "/a/z 0 @100644 1 0 0 0 1.0 /a- - -\n",
			 "/ 4096 40755 3 0 0 0 1.0 - - -\n"
			 "/a 40 40755 2 0 0 0 1.0 - - -\n"
			 "/a/z 0 100644 2 0 0 0 1.0 - - -\n"
			 "/a- 0 @100644 2 0 0 0 1.0 /a/z - -\n");
}

static void link_counts_are_those_of_the_tree(void **state)
{
	(void)state;
	assert_canonical(ROOT "/a 0 100644 77 0 0 0 1.0 - - -\n"
			      "/b 0 10644 0 0 0 0 1.0 - - -\n"
			      "/c 0 @10644 0 0 0 0 1.0 /b - -\n",
			 ROOT_OUT "/a 0 100644 1 0 0 0 1.0 - - -\n"
				  "/b 0 10644 2 0 0 0 1.0 - - -\n"
				  "/c 0 @10644 2 0 0 0 1.0 /b - -\n");
}

static void many_groups_of_links_are_kept_apart(void **state)
{
	auto_buf text = {};
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};

	(void)state;
	(void)buf_append_text(&text, ROOT);
	for (int i = 0; i < 100; i++) {
		(void)buf_printf(&text, "/z%02d 0 100644 1 %d 0 0 1.0 - - -\n", i, i);
		(void)buf_printf(&text, "/a%02d 0 @100644 1 0 0 0 1.0 /z%02d - -\n",
				 99 - i, i);
		(void)buf_printf(&text, "/m%02d 0 @100644 1 0 0 0 1.0 /z%02d - -\n", i,
				 i);
	}
	tree = parse(text.data);
	assert_ok(tree_canonicalise(tree, &err), &err);
	for (int i = 0; i < 100; i++) {
		char a[8], m[8], z[8];
		const struct tree_node *inode;

		(void)snprintf(a, sizeof(a), "a%02d", 99 - i);
		(void)snprintf(m, sizeof(m), "m%02d", i);
		(void)snprintf(z, sizeof(z), "z%02d", i);
		inode = tree_find(tree, a);
		assert_null(inode->link);
		assert_int_equal(inode->uid, i);
		assert_int_equal(inode->nlink, 3);
		assert_ptr_equal(tree_find(tree, m)->link, inode);
		assert_ptr_equal(tree_find(tree, z)->link, inode);
	}
}

static void sizes_and_devices_are_gone_where_the_type_has_none(void **state)
{
	(void)state;
	assert_canonical(ROOT "/c 77 20644 1 0 0 259 1.0 - - -\n"
			      "/d 5 40755 1 0 0 7 1.0 - - -\n"
			      "/f 5000000000 10644 1 0 0 8 1.0 - - -\n"
			      "/l 9 120777 1 0 0 9 1.0 t - -\n"
			      "/r 1 100644 1 0 0 9 1.0 - x -\n",
			 "/ 4096 40755 3 0 0 0 1.0 - - -\n"
			 "/c 0 20644 1 0 0 259 1.0 - - -\n"
			 "/d 27 40755 2 0 0 0 1.0 - - -\n"
			 "/f 0 10644 1 0 0 0 1.0 - - -\n"
			 "/l 1 120777 1 0 0 0 1.0 t - -\n"
			 "/r 1 100644 1 0 0 0 1.0 - x -\n");
}

static void content_is_inline_up_to_64_bytes_and_pooled_above(void **state)
{
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	(void)state;
	assert_canonical(ROOT "/a 0 100644 1 0 0 0 1.0 p - " HEX "\n"
			      "/b 64 100644 1 0 0 0 1.0 p " X64 " " HEX "\n"
			      "/c 65 100644 1 0 0 0 1.0 - x" X64 " " HEX "\n"
			      "/d 65 100644 1 0 0 0 1.0 elsewhere - " HEX "\n",
			 ROOT_OUT "/a 0 100644 1 0 0 0 1.0 - - -\n"
				  "/b 64 100644 1 0 0 0 1.0 - " X64 " -\n"
				  "/c 65 100644 1 0 0 0 1.0 " PAYLOAD " - " HEX "\n"
				  "/d 65 100644 1 0 0 0 1.0 " PAYLOAD " - " HEX "\n");
}

static void files_without_their_data_are_refused(void **state)
{
	(void)state;
	assert_refused(ROOT "/d 0 40755 1 0 0 0 1.0 - - -\n"
			    "/d/a 65 100644 1 0 0 0 1.0 ab/cd - -\n",
		       -EINVAL, "'/d/a': a file of 65 bytes has no digest");
	assert_refused(ROOT "/a 65 100644 1 0 0 0 1.0 - x" X64 " -\n", -EINVAL,
		       "'/a': a file of 65 bytes has no digest");
	assert_refused(ROOT "/a 64 100644 1 0 0 0 1.0 " PAYLOAD " - " HEX "\n", -EINVAL,
		       "'/a': a file of 64 bytes has no content");
	assert_refused(ROOT "/a 9007199254740993 100644 1 0 0 0 1.0 - - " HEX "\n",
		       -EFBIG,
		       "'/a': 9007199254740993 bytes are more than an image can hold");
}

static void whiteouts_and_opaque_do_not_go_together(void **state)
{
#define WHITEOUT "/d/w 0 20000 1 0 0 0 1.0 - - -\n"
#define DIR	 "/d 0 40755 1 0 0 0 1.0 - - - "
	(void)state;
	assert_refused(ROOT DIR "trusted.overlay.opaque=y\n" WHITEOUT, -EINVAL,
		       "'/d': a directory that holds whiteouts cannot have an xattr "
		       "'trusted.overlay.opaque' of its own");
	assert_refused(ROOT DIR "user.overlay.opaque=y\n" WHITEOUT, -EINVAL,
		       "'/d': a directory that holds whiteouts cannot have an xattr "
		       "'user.overlay.opaque' of its own");
	assert_refused("/ 0 40755 1 0 0 0 1.0 - - - trusted.overlay.opaque=y\n"
		       "/w 0 20000 1 0 0 0 1.0 - - -\n",
		       -EINVAL,
		       "'/': a directory that holds whiteouts cannot have an xattr "
		       "'trusted.overlay.opaque' of its own");
}

static void opaque_alone_stays(void **state)
{
	(void)state;
	assert_canonical(ROOT "/d 0 40755 1 0 0 0 1.0 - - - trusted.overlay.opaque=y "
			      "user.overlay.opaque=x\n"
			      "/d/c 0 20000 1 0 0 1 1.0 - - -\n",
			 "/ 4096 40755 3 0 0 0 1.0 - - -\n"
			 "/d 40 40755 2 0 0 0 1.0 - - - trusted.overlay.opaque=y "
			 "user.overlay.opaque=x\n"
			 "/d/c 0 20000 1 0 0 1 1.0 - - -\n");
}

#define FILE_MARKS "trusted.overlay.whiteout= user.overlay.whiteout="
#define DIR_MARKS                                              \
	"trusted.overlay.opaque=x trusted.overlay.whiteouts= " \
	"user.overlay.opaque=x user.overlay.whiteouts="
#define ROOT_AND_D "/ 4096 40755 3 0 0 0 1.0 - - -\n"

/* What an image says of each directory with whiteouts is no difference between trees. */
static void marks_go_where_whiteouts_imply_them(void **state)
{
	(void)state;
	assert_canonical(ROOT DIR "trusted.overlay.opaque=x user.a=b "
				  "user.overlay.opaque=x\n" WHITEOUT,
			 ROOT_AND_D "/d 40 40755 2 0 0 0 1.0 - - - user.a=b\n" WHITEOUT);
	assert_canonical(ROOT DIR DIR_MARKS "\n/d/w 0 20000 1 0 0 0 1.0 - - - " FILE_MARKS
					    " user.z=1\n",
			 ROOT_AND_D "/d 40 40755 2 0 0 0 1.0 - - -\n"
				    "/d/w 0 20000 1 0 0 0 1.0 - - - user.z=1\n");
}

/* As a mounted image shows them. */
static void marked_files_in_marked_directories_are_whiteouts(void **state)
{
	(void)state;
	assert_canonical(ROOT DIR DIR_MARKS
			 "\n/d/w 0 100000 1 0 0 0 1.0 - - - " FILE_MARKS "\n",
			 ROOT_AND_D "/d 40 40755 2 0 0 0 1.0 - - -\n" WHITEOUT);
	assert_canonical(ROOT "/d 0 40755 1 0 0 0 1.0 - - -\n" WHITEOUT
			      "/d/x 0 100640 1 7 0 0 1.0 - - - " FILE_MARKS "\n",
			 ROOT_AND_D "/d 53 40755 2 0 0 0 1.0 - - -\n" WHITEOUT
				    "/d/x 0 20640 1 7 0 0 1.0 - - -\n");
}

static void half_marked_files_and_directories_stay(void **state)
{
	static const char *const texts[] = {
		/* no mark of the directory */
		ROOT_AND_D "/d 40 40755 2 0 0 0 1.0 - - -\n"
			   "/d/x 0 100644 1 0 0 0 1.0 - - - " FILE_MARKS "\n",
		/* no marked file */
		ROOT_AND_D "/d 40 40755 2 0 0 0 1.0 - - - " DIR_MARKS "\n"
			   "/d/x 0 100644 1 0 0 0 1.0 - - - user.overlay.whiteout=\n",
		/* content, and another value */
		ROOT_AND_D "/d 53 40755 2 0 0 0 1.0 - - - " DIR_MARKS "\n"
			   "/d/x 1 100644 1 0 0 0 1.0 - c - " FILE_MARKS "\n"
			   "/d/y 0 100644 1 0 0 0 1.0 - - - trusted.overlay.whiteout=y "
			   "user.overlay.whiteout=\n",
		/* a directory is none */
		ROOT_AND_D "/d 40 40755 3 0 0 0 1.0 - - - " DIR_MARKS "\n"
			   "/d/x 27 40755 2 0 0 0 1.0 - - - " FILE_MARKS "\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_canonical(texts[i], texts[i]);
}

static void marks_with_other_values_are_refused(void **state)
{
	(void)state;
	assert_refused(ROOT DIR "user.overlay.whiteouts=y\n" WHITEOUT, -EINVAL,
		       "'/d': a directory that holds whiteouts cannot have an xattr "
		       "'user.overlay.whiteouts' of its own");
	assert_refused(ROOT "/w 0 20000 1 0 0 0 1.0 - - - user.overlay.whiteout=y\n",
		       -EINVAL,
		       "'/w': a whiteout cannot have an xattr 'user.overlay.whiteout' of "
		       "its own");
}

static void other_limits_are_kept(void **state)
{
	auto_ptr(tree) tree = parse(ROOT "/l 0 120777 1 0 0 0 1.0 t - -\n");
	auto_free char *value = calloc(1, 32750);
	struct tree_node *link = tree_find(tree, "l"), *node = tree->root;
	struct cop_error err = {};

	(void)state;
	assert_refused(ROOT "/f 0 100644 1 0 0 0 1.1000000000 - - -\n", -EINVAL,
		       "'/f': an mtime has 1000000000 nanoseconds");
	link->target = "";
	assert_fails(tree_canonicalise(tree, &err), -EINVAL, &err);
	link->target = NULL;
	assert_fails(tree_canonicalise(tree, &err), -EINVAL, &err);
	link->target = "t";
	assert_ok(tree_set_xattr(tree, link, "k", value, 32750, &err), &err);
	assert_fails(tree_canonicalise(tree, &err), -ERANGE, &err);
	assert_string_equal(err.message, "'/l': its xattrs need 32758 bytes of 32755");
	assert_true(tree_remove_xattr(link, "k"));
	link->mode = 0170000;
	assert_fails(tree_canonicalise(tree, &err), -EINVAL, &err);
	link->mode = S_IFLNK | 0777;
	assert_ok(tree_canonicalise(tree, &err), &err);
	for (int i = 0; i < 1024; i++)
		assert_ok(tree_add(tree, node, "d", 1, S_IFDIR, &node, &err), &err);
	assert_ok(tree_canonicalise(tree, &err), &err);
	assert_ok(tree_add(tree, node, "d", 1, S_IFDIR, &node, &err), &err);
	assert_fails(tree_canonicalise(tree, &err), -ERANGE, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_inode_stands_at_the_first_of_its_names),
		cmocka_unit_test(the_first_name_is_that_of_the_walk_and_not_of_the_path),
		cmocka_unit_test(link_counts_are_those_of_the_tree),
		cmocka_unit_test(many_groups_of_links_are_kept_apart),
		cmocka_unit_test(sizes_and_devices_are_gone_where_the_type_has_none),
		cmocka_unit_test(content_is_inline_up_to_64_bytes_and_pooled_above),
		cmocka_unit_test(files_without_their_data_are_refused),
		cmocka_unit_test(whiteouts_and_opaque_do_not_go_together),
		cmocka_unit_test(opaque_alone_stays),
		cmocka_unit_test(marks_go_where_whiteouts_imply_them),
		cmocka_unit_test(marked_files_in_marked_directories_are_whiteouts),
		cmocka_unit_test(half_marked_files_and_directories_stay),
		cmocka_unit_test(marks_with_other_values_are_refused),
		cmocka_unit_test(other_limits_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
