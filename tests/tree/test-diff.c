/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "tree/diff.h"
#include "tree/dump.h"

#define ROOT		  "/ 0 40755 1 0 0 0 1.0 - - -\n"
#define FILE_(name, rest) name " 1 100644 1 " rest "\n"
#define SAME		  "0 0 0 1.0 - x -"
#define HEX_A		  "abcdabababababababababababababababababababababababababababababab"
#define HEX_B		  "abcdababababababababababababababababababababababababababababab00"

static struct tree *parse(const char *text)
{
	struct tree *tree = NULL;
	struct cop_error err = {};

	assert_ok(tree_from_dump(text, strlen(text), &tree, &err), &err);
	assert_ok(tree_canonicalise(tree, &err), &err);
	return tree;
}

static int note(void *data, const char *path, unsigned int changes,
		const struct tree_node *in_a, const struct tree_node *in_b)
{
	static const char *const words[] = {"added",   "deleted", "type",
					    "content", "mode",	  "owner",
					    "mtime",   "xattr",	  "links"};
	struct buf *buf = data;

	assert_int_equal(!in_a, changes == TREE_ADDED);
	assert_int_equal(!in_b, changes == TREE_DELETED);
	(void)buf_append_text(buf, path);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (changes & 1u << i)
			(void)buf_printf(buf, " %s", words[i]);
	return buf_append_char(buf, '\n');
}

static void assert_diff(const char *a_text, const char *b_text, const char *expected)
{
	auto_ptr(tree) a = parse(a_text);
	auto_ptr(tree) b = parse(b_text);
	auto_buf buf = {};
	struct cop_error err = {};

	assert_ok(tree_diff(a, b, note, &buf, &err), &err);
	assert_string_equal(buf_text(&buf), expected);
}

static void equal_trees_have_no_difference(void **state)
{
	static const char text[] =
		ROOT FILE_("/a", SAME) "/b 0 @100644 1 0 0 0 0.0 /a - -\n"
				       "/d 0 40755 1 0 0 0 1.0 - - - user.a=b\n"
				       "/d/p 500 100644 1 0 0 0 1.0 - - " HEX_A "\n"
				       "/d/l 0 120777 1 0 0 0 1.0 t - -\n";

	(void)state;
	assert_diff(text, text, "");
	assert_diff(ROOT, "/ 99 40755 7 0 0 0 1.0 - - -\n", "");
}

static void every_kind_of_change_is_told(void **state)
{
	(void)state;
	assert_diff(ROOT FILE_("/f", SAME), ROOT FILE_("/f", "0 0 0 1.0 - y -"),
		    "/f content\n");
	assert_diff(ROOT FILE_("/f", SAME), ROOT FILE_("/f", "7 0 0 1.0 - x -"),
		    "/f owner\n");
	assert_diff(ROOT FILE_("/f", SAME), ROOT FILE_("/f", "0 7 0 1.0 - x -"),
		    "/f owner\n");
	assert_diff(ROOT FILE_("/f", SAME), ROOT FILE_("/f", "0 0 0 1.1 - x -"),
		    "/f mtime\n");
	assert_diff(ROOT FILE_("/f", SAME), ROOT FILE_("/f", "0 0 0 2.0 - x - user.a=b"),
		    "/f mtime xattr\n");
	assert_diff(ROOT FILE_("/f", SAME), ROOT "/f 1 104755 1 " SAME "\n", "/f mode\n");
	assert_diff(ROOT, "/ 0 40700 1 0 0 0 1.0 - - -\n", "/ mode\n");
}

static void xattrs_differ_by_key_and_value(void **state)
{
	(void)state;
	assert_diff(ROOT FILE_("/f", SAME " user.a=b"),
		    ROOT FILE_("/f", SAME " user.a=c"), "/f xattr\n");
	assert_diff(ROOT FILE_("/f", SAME " user.a=b"),
		    ROOT FILE_("/f", SAME " user.b=b"), "/f xattr\n");
	assert_diff(ROOT FILE_("/f", SAME " user.a=b"),
		    ROOT FILE_("/f", SAME " user.a=b\\x00"), "/f xattr\n");
	assert_diff(ROOT FILE_("/f", SAME " user.a=b user.c=d"),
		    ROOT FILE_("/f", SAME " user.c=d user.a=b"), "");
}

static void content_differs_by_type_of_file(void **state)
{
	(void)state;
	assert_diff(ROOT "/f 500 100644 1 0 0 0 1.0 - - " HEX_A "\n"
			 "/l 0 120777 1 0 0 0 1.0 t - -\n"
			 "/m 0 20644 1 0 0 259 1.0 - - -\n"
			 "/p 0 10644 1 0 0 0 1.0 - - -\n",
		    ROOT "/f 500 100644 1 0 0 0 1.0 - - " HEX_B "\n"
			 "/l 0 120777 1 0 0 0 1.0 u - -\n"
			 "/m 0 20600 1 0 0 260 1.0 - - -\n"
			 "/p 0 140644 1 0 0 0 1.0 - - -\n",
		    "/f content\n/l content\n/m content mode\n/p type\n");
	assert_diff(ROOT "/f 500 100644 1 0 0 0 1.0 - - " HEX_A "\n",
		    ROOT "/f 501 100644 1 0 0 0 1.0 - - " HEX_A "\n", "/f content\n");
	assert_diff(ROOT "/f 0 100644 1 0 0 0 1.0 - - -\n", ROOT FILE_("/f", SAME),
		    "/f content\n");
}

static void what_is_below_comes_with_its_directory(void **state)
{
	(void)state;
	assert_diff(ROOT FILE_("/a", SAME) "/d 0 40755 1 0 0 0 1.0 - - -\n" FILE_(
			    "/d/x",
			    SAME) "/d/e 0 40755 1 0 0 0 1.0 - - -\n" FILE_("/d/e/y", SAME)
			    FILE_("/z", SAME),
		    ROOT FILE_("/a", SAME) FILE_("/b", SAME) FILE_("/d-", SAME)
			    FILE_("/z", SAME) "/zz 0 40755 1 0 0 0 1.0 - - -\n" FILE_(
				    "/zz/new", SAME),
		    "/b added\n/d deleted\n/d/e deleted\n/d/e/y deleted\n/d/x deleted\n"
		    "/d- added\n/zz added\n/zz/new added\n");
}

static void a_directory_that_became_a_file_loses_its_children(void **state)
{
	static const char dir[] = ROOT
		"/d 0 40644 1 0 0 0 1.0 - - -\n" FILE_("/d/x", SAME) FILE_("/e", SAME);
	static const char file[] = ROOT FILE_("/d", SAME) FILE_("/e", SAME);

	(void)state;
	assert_diff(dir, file, "/d type\n/d/x deleted\n");
	assert_diff(file, dir, "/d type\n/d/x added\n");
}

static void names_of_an_inode_are_compared_as_a_set(void **state)
{
#define LINK(name, to) name " 0 @100644 1 0 0 0 0.0 " to " - -\n"
	static const char apart[] = ROOT FILE_("/a", SAME) FILE_("/b", SAME)
		FILE_("/c", SAME) FILE_("/d", SAME);
	static const char ab_cd[] = ROOT FILE_("/a", SAME) LINK("/b", "/a")
		FILE_("/c", SAME) LINK("/d", "/c");
	static const char ac_bd[] = ROOT FILE_("/a", SAME) LINK("/c", "/a")
		FILE_("/b", SAME) LINK("/d", "/b");
	static const char ab[] = ROOT FILE_("/a", SAME) LINK("/b", "/a") FILE_("/c", SAME)
		FILE_("/d", SAME);
	static const char abe[] = ROOT FILE_("/a", SAME) LINK("/b", "/a")
		FILE_("/c", SAME) FILE_("/d", SAME) LINK("/e", "/a");

	(void)state;
	assert_diff(ab_cd, ab_cd, "");
	assert_diff(apart, ab, "/a links\n/b links\n");
	assert_diff(ab, apart, "/a links\n/b links\n");
	assert_diff(ab, ab_cd, "/c links\n/d links\n");
	assert_diff(ab_cd, ac_bd, "/a links\n/b links\n/c links\n/d links\n");
	assert_diff(ab, abe, "/a links\n/b links\n/e added\n");
	assert_diff(abe, ab, "/a links\n/b links\n/e deleted\n");
}

static void a_change_of_an_inode_is_told_of_each_name(void **state)
{
	(void)state;
	assert_diff(ROOT FILE_("/a", SAME) LINK("/b", "/a"),
		    ROOT FILE_("/a", "5 0 0 1.0 - x -") LINK("/b", "/a"),
		    "/a owner\n/b owner\n");
}

static int stop(void *data, const char *path, unsigned int changes,
		const struct tree_node *in_a, const struct tree_node *in_b)
{
	(void)path;
	(void)changes;
	(void)in_a;
	(void)in_b;
	++*(int *)data;
	return -ECANCELED;
}

static void a_refusal_ends_the_walk(void **state)
{
	auto_ptr(tree) a = parse(ROOT);
	auto_ptr(tree) b = parse(ROOT FILE_("/a", SAME) FILE_("/b", SAME));
	struct cop_error err = {};
	int n_calls = 0;

	(void)state;
	assert_fails(tree_diff(a, b, stop, &n_calls, &err), -ECANCELED, &err);
	assert_int_equal(n_calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_trees_have_no_difference),
		cmocka_unit_test(every_kind_of_change_is_told),
		cmocka_unit_test(xattrs_differ_by_key_and_value),
		cmocka_unit_test(content_differs_by_type_of_file),
		cmocka_unit_test(what_is_below_comes_with_its_directory),
		cmocka_unit_test(a_directory_that_became_a_file_loses_its_children),
		cmocka_unit_test(names_of_an_inode_are_compared_as_a_set),
		cmocka_unit_test(a_change_of_an_inode_is_told_of_each_name),
		cmocka_unit_test(a_refusal_ends_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
