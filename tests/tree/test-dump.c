/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/fs.h"
#include "tree/dump.h"

#define ROOT "/ 0 40755 1 0 0 0 1.0 - - -\n"
#define HEX  "abababababababababababababababababababababababababababababababab"

static struct tree *parse(const char *text, size_t size)
{
	struct tree *tree = NULL;
	struct cop_error err = {};

	assert_ok(tree_from_dump(text, size, &tree, &err), &err);
	return tree;
}

static char *dump(const struct tree *tree)
{
	auto_buf buf = {};
	struct cop_error err = {};

	assert_ok(tree_to_dump(tree, &buf, &err), &err);
	return buf_take(&buf);
}

static char *dump_again(const char *text, size_t size)
{
	auto_ptr(tree) tree = parse(text, size);

	return dump(tree);
}

static void assert_dump(const char *text, const char *expected)
{
	auto_free char *out = dump_again(text, strlen(text));

	assert_string_equal(out, expected);
}

static void assert_refused(const char *text, size_t size, const char *message)
{
	struct tree *tree = (void *)&tree;
	struct cop_error err = {};

	assert_fails(tree_from_dump(text, size, &tree, &err), -EBADMSG, &err);
	assert_string_equal(err.message, message);
	assert_ptr_equal(tree, (void *)&tree);
}

static void golden_dumps_come_back_as_they_were_written(void **state)
{
	auto_close int fd = -EBADF;
	char path[4096];
	unsigned int n_dumps = 0;
	struct dirent *entry;
	DIR *dir;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/composefs", getenv("COPPICE_GOLDEN"));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		auto_buf text = {};
		auto_free char *once = NULL, *twice = NULL;
		struct cop_error err = {};

		if (!strstr(entry->d_name, ".dump"))
			continue;
		assert_ok(fs_read_file(fd, entry->d_name, GIB, &text, &err), &err);
		once = dump_again(text.data, text.size);
		twice = dump_again(once, strlen(once));
		assert_string_equal(once, twice);
		n_dumps++;
	}
	(void)closedir(dir);
	assert_true(n_dumps >= 29);
}

static void what_an_image_computes_is_computed(void **state)
{
	(void)state;
	assert_dump("/ 5 40755 9 0 0 0 1.0 - - -\n"
		    "/d 77 41777 9 1 2 0 -3.4 - - -\n"
		    "/d/l 99 120777 1 0 0 0 1.0 target - -\n"
		    "/d/e 0 40700 1 0 0 0 1.0 - - -",
		    "/ 4096 40755 3 0 0 0 1.0 - - -\n"
		    "/d 53 41777 3 1 2 0 -3.4 - - -\n"
		    "/d/e 27 40700 2 0 0 0 1.0 - - -\n"
		    "/d/l 6 120777 1 0 0 0 1.0 target - -\n");
}

static uint64_t size_of_directory(size_t n_long_names, size_t last_size)
{
	auto_ptr(tree) tree = tree_new(NULL);
	auto_free char *text = NULL;
	struct tree_node *dir, *node;
	struct cop_error err = {};
	unsigned long long size = 0;
	char name[256];

	assert_ok(tree_add(tree, tree->root, "d", 1, S_IFDIR, &dir, &err), &err);
	memset(name, 'n', sizeof(name));
	for (size_t i = 0; i < n_long_names; i++) {
		name[0] = (char)('a' + i);
		assert_ok(tree_add(tree, dir, name, 255, S_IFREG, &node, &err), &err);
	}
	name[0] = 'z';
	assert_ok(tree_add(tree, dir, name, last_size, S_IFREG, &node, &err), &err);
	assert_ok(tree_finish(tree, &err), &err);
	text = dump(tree);
	assert_int_equal(sscanf(strstr(text, "/d "), "/d %llu", &size), 1);
	return size;
}

/* "." and ".." take 27 bytes, a name of 255 bytes takes 267. */
static void directory_sizes_change_at_half_and_full_blocks(void **state)
{
	(void)state;
	assert_int_equal(size_of_directory(7, 139), 2047);
	assert_int_equal(size_of_directory(7, 140), 2048);
	assert_int_equal(size_of_directory(7, 141), 4096);
	assert_int_equal(size_of_directory(15, 52), 4096);
	assert_int_equal(size_of_directory(15, 53), 4096 + 65);
}

static void escapes_come_in_and_go_out(void **state)
{
	(void)state;
	assert_dump(ROOT
		    "/a\\x20b\\n\\r\\t\\\\=\\xFf\\x41 1 100644 1 0 0 0 1.0 - \\x2d - "
		    "user.\\x3d=a=b\\x00c user.empty=\n"
		    "/dash 1 120777 1 0 0 0 1.0 \\x2d - -\n"
		    "/none 0 100644 1 0 0 0 1.0 - - -\n",
		    "/ 4096 40755 2 0 0 0 1.0 - - -\n"
		    "/a\\x20b\\n\\r\\t\\\\=\\xffA 1 100644 1 0 0 0 1.0 - \\x2d - "
		    "user.\\x3d=a\\x3db\\x00c user.empty=\n"
		    "/dash 1 120777 1 0 0 0 1.0 \\x2d - -\n"
		    "/none 0 100644 1 0 0 0 1.0 - - -\n");
}

static void every_byte_of_a_name_survives(void **state)
{
	auto_ptr(tree) tree = tree_new(NULL);
	auto_free char *once = NULL, *twice = NULL;
	auto_ptr(tree) again = NULL;
	struct tree_node *node;
	struct cop_error err = {};

	(void)state;
	for (int c = 1; c < 256; c++) {
		char name = (char)c;

		if (c == '/' || c == '.')
			continue;
		assert_ok(tree_add(tree, tree->root, &name, 1, S_IFREG, &node, &err),
			  &err);
		assert_ok(tree_set_xattr(tree, node, (char[]){name, 0}, &name, 1, &err),
			  &err);
	}
	assert_ok(tree_finish(tree, &err), &err);
	once = dump(tree);
	again = parse(once, strlen(once));
	twice = dump(again);
	assert_string_equal(once, twice);
	assert_int_equal(again->n_nodes, 254);
	for (uint32_t i = 0; i < 253; i++) {
		assert_string_equal(again->root->children[i]->name,
				    tree->root->children[i]->name);
		assert_string_equal(again->root->children[i]->xattrs[0].key,
				    tree->root->children[i]->name);
	}
}

static void payload_and_digest_need_not_belong_together(void **state)
{
	static const char text[] =
		"/ 4096 40755 2 0 0 0 1.0 - - -\n"
		"/a 500 100644 1 0 0 0 1.0 aa/bb - -\n"
		"/b 500 100644 1 0 0 0 1.0 - - " HEX "\n"
		"/c 500 100644 1 0 0 0 1.0 /lead/ing - " HEX "\n"
		"/d 18446744073709551615 100644 1 4294967295 4294967295 0 "
		"-9223372036854775808.4294967295 - - -\n"
		"/e 2 100644 4294967295 0 0 4294967295 9223372036854775807.0 p xx " HEX
		"\n";

	(void)state;
	assert_dump(text, text);
}

static void links_may_come_first_and_in_chains(void **state)
{
	(void)state;
	assert_dump(ROOT "/a 0 @100644 1 0 0 0 0.0 /b - -\n"
			 "/b 0 @100644 1 0 0 0 0.0 /d/c - -\n"
			 "/d 0 40755 1 0 0 0 1.0 - - -\n"
			 "/d/c 0 @100644 1 0 0 0 0.0 /z - -\n"
			 "/z 3 100600 4 7 0 0 5.6 - abc - user.x=y\n",
		    "/ 4096 40755 3 0 0 0 1.0 - - -\n"
		    "/a 3 @100600 4 7 0 0 5.6 /z - -\n"
		    "/b 3 @100600 4 7 0 0 5.6 /z - -\n"
		    "/d 40 40755 2 0 0 0 1.0 - - -\n"
		    "/d/c 3 @100600 4 7 0 0 5.6 /z - -\n"
		    "/z 3 100600 4 7 0 0 5.6 - abc - user.x=y\n");
}

static void other_fields_of_a_link_are_ignored(void **state)
{
	(void)state;
	assert_dump(ROOT "/f 0 10644 2 0 0 0 1.0 - - -\n"
			 "/g x @100644 x x x x x /f x x x=y x\n",
		    "/ 4096 40755 2 0 0 0 1.0 - - -\n"
		    "/f 0 10644 2 0 0 0 1.0 - - -\n"
		    "/g 0 @10644 2 0 0 0 1.0 /f - -\n");
}

static void directories_may_come_in_any_order_below_their_parents(void **state)
{
	(void)state;
	assert_dump(ROOT "/b 0 40755 1 0 0 0 1.0 - - -\n"
			 "/a 0 40755 1 0 0 0 1.0 - - -\n"
			 "/b/x 0 100644 1 0 0 0 1.0 - - -\n"
			 "/a/y 0 100644 1 0 0 0 1.0 - - -\n",
		    "/ 4096 40755 4 0 0 0 1.0 - - -\n"
		    "/a 40 40755 2 0 0 0 1.0 - - -\n"
		    "/a/y 0 100644 1 0 0 0 1.0 - - -\n"
		    "/b 40 40755 2 0 0 0 1.0 - - -\n"
		    "/b/x 0 100644 1 0 0 0 1.0 - - -\n");
}

static void the_last_of_equal_xattrs_wins(void **state)
{
	(void)state;
	assert_dump("/ 0 40755 1 0 0 0 1.0 - - - user.a=1 user.b=2 user.a=3",
		    "/ 4096 40755 2 0 0 0 1.0 - - - user.a=3 user.b=2\n");
}

static void malformed_dumps_are_refused_with_their_line(void **state)
{
#define FILE_LINE(fields) ROOT "/f " fields
#define IN_2		  "dump: line 2: "
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "dump: it is empty"},
		{"\n", "dump: line 1: path is missing"},
		{"/ 0 40755 1 0 0 0 1.0 - -\n", "dump: line 1: digest is missing"},
		{" / 0 40755 1 0 0 0 1.0 - - -\n", "dump: line 1: path is missing"},
		{"/  0 40755 1 0 0 0 1.0 - - -\n", "dump: line 1: size is missing"},
		{"/ 0 40755 1 0 0 0 1.0 - - - \n", "dump: line 1: a space at the end"},
		{"/ 0 40755 1 0 0 0 1.0 - - - a=b  c=d\n",
		 "dump: line 1: two spaces in a row"},
		{"/ 0 100644 1 0 0 0 1.0 - - -\n",
		 "dump: line 1: '/' is not a directory"},
		{"/ 0 @100644 1 0 0 0 1.0 /a - -\n",
		 "dump: line 1: '/' is not a directory"},
		{"/a 0 100644 1 0 0 0 1.0 - - -\n",
		 "dump: line 1: path '/a' is not '/', which must come first"},
		{ROOT ROOT, IN_2 "'/' is there twice"},
		{ROOT "\n", IN_2 "path is missing"},
		{ROOT "a 0 100644 1 0 0 0 1.0 - - -",
		 IN_2 "path 'a' does not begin with '/'"},
		{ROOT "//a 0 100644 1 0 0 0 1.0 - - -",
		 IN_2 "path '//a' comes before its directory"},
		{ROOT "/a/ 0 100644 1 0 0 0 1.0 - - -",
		 IN_2 "path '/a/' comes before its directory"},
		{ROOT "/d 0 40755 1 0 0 0 1.0 - - -\n/d/ 0 100644 1 0 0 0 1.0 - - -",
		 "dump: line 3: a name is empty"},
		{ROOT "/.. 0 100644 1 0 0 0 1.0 - - -", IN_2 "'..' cannot be a name"},
		{ROOT "/. 0 100644 1 0 0 0 1.0 - - -", IN_2 "'.' cannot be a name"},
		{ROOT "/d/x 0 100644 1 0 0 0 1.0 - - -",
		 IN_2 "path '/d/x' comes before its directory"},
		{ROOT "/f 0 100644 1 0 0 0 1.0 - - -\n/f/x 0 100644 1 0 0 0 1.0 - - -",
		 "dump: line 3: path '/f/x' comes before its directory"},
		{ROOT "/a 0 100644 1 0 0 0 1.0 - - -\n/b 0 100644 1 0 0 0 1.0 - - -\n"
		      "/a 0 40755 1 0 0 0 1.0 - - -\n",
		 "dump: line 4: '/a' is there twice"},
		{ROOT "/\\x61 0 100644 1 0 0 0 1.0 - - -\n/a 0 100644 1 0 0 0 1.0 - - -",
		 "dump: line 3: '/a' is there twice"},
		{ROOT "/a\\q 0 100644 1 0 0 0 1.0 - - -", IN_2 "'\\q' is not an escape"},
		{ROOT "/a\\x4 0 100644 1 0 0 0 1.0 - - -",
		 IN_2 "'\\x4' is not an escape"},
		{ROOT "/a\\ 0 100644 1 0 0 0 1.0 - - -", IN_2 "'\\' is not an escape"},
		{ROOT "/\xc3\xa9 0 100644 1 0 0 0 1.0 - - -",
		 IN_2 "byte \\xc3 is not escaped"},
		{ROOT "/a\tb 0 100644 1 0 0 0 1.0 - - -",
		 IN_2 "byte \\x09 is not escaped"},
		{FILE_LINE("x 100644 1 0 0 0 1.0 - - -"),
		 IN_2 "size 'x' is not a number of 64 bits"},
		{FILE_LINE("-1 100644 1 0 0 0 1.0 - - -"),
		 IN_2 "size '-1' is not a number of 64 bits"},
		{FILE_LINE("18446744073709551616 100644 1 0 0 0 1.0 - - -"),
		 IN_2 "size '18446744073709551616' is not a number of 64 bits"},
		{FILE_LINE("0 100648 1 0 0 0 1.0 - - -"),
		 IN_2 "mode '100648' is not a mode"},
		{FILE_LINE("0 @ 1 0 0 0 1.0 - - -"), IN_2 "mode '@' is not a mode"},
		{FILE_LINE("0 00100644 1 0 0 0 1.0 - - -"),
		 IN_2 "mode '00100644' is not a mode"},
		{FILE_LINE("0 644 1 0 0 0 1.0 - - -"),
		 IN_2 "mode '644' has no type of file that exists"},
		{FILE_LINE("0 1100644 1 0 0 0 1.0 - - -"),
		 IN_2 "mode '1100644' has no type of file that exists"},
		{FILE_LINE("0 100644 4294967296 0 0 0 1.0 - - -"),
		 IN_2 "nlink '4294967296' is not a number of 32 bits"},
		{FILE_LINE("0 100644 1 +1 0 0 1.0 - - -"),
		 IN_2 "uid '+1' is not a number of 32 bits"},
		{FILE_LINE("0 100644 1 0 0x1 0 1.0 - - -"),
		 IN_2 "gid '0x1' is not a number of 32 bits"},
		{FILE_LINE("0 20644 1 0 0 4294967296 1.0 - - -"),
		 IN_2 "rdev '4294967296' is not a number of 32 bits"},
		{FILE_LINE("0 100644 1 0 0 0 1 - - -"),
		 IN_2 "mtime '1' is not SECONDS.NANOSECONDS"},
		{FILE_LINE("0 100644 1 0 0 0 1. - - -"),
		 IN_2 "mtime '1.' is not SECONDS.NANOSECONDS"},
		{FILE_LINE("0 100644 1 0 0 0 .1 - - -"),
		 IN_2 "mtime '.1' is not SECONDS.NANOSECONDS"},
		{FILE_LINE("0 100644 1 0 0 0 - - - -"),
		 IN_2 "mtime '-' is not SECONDS.NANOSECONDS"},
		{FILE_LINE("0 100644 1 0 0 0 1.-1 - - -"),
		 IN_2 "mtime '1.-1' is not SECONDS.NANOSECONDS"},
		{FILE_LINE("0 100644 1 0 0 0 9223372036854775808.0 - - -"),
		 IN_2 "mtime '9223372036854775808.0' is not SECONDS.NANOSECONDS"},
		{FILE_LINE("0 100644 1 0 0 0 -9223372036854775809.0 - - -"),
		 IN_2 "mtime '-9223372036854775809.0' is not SECONDS.NANOSECONDS"},
		{FILE_LINE("0 100644 1 0 0 0 1.4294967296 - - -"),
		 IN_2 "mtime '1.4294967296' is not SECONDS.NANOSECONDS"},
		{FILE_LINE("2 100644 1 0 0 0 1.0 - abc -"),
		 IN_2 "content has 3 bytes, size says 2"},
		{FILE_LINE("5 100644 1 0 0 0 1.0 a\\x00b - -"),
		 IN_2 "payload 'a\\x00b' holds a NUL"},
		{FILE_LINE("5 100644 1 0 0 0 1.0 - - abc"),
		 IN_2 "digest 'abc' has not 64 digits"},
		{FILE_LINE("5 100644 1 0 0 0 1.0 - - x" HEX), IN_2
		 "digest 'xabababababababababababababababababababababababababababababababa"
		 "...' has not 64 digits"},
		{FILE_LINE("0 10644 1 0 0 0 1.0 - a -"),
		 IN_2 "content 'a' is only for regular files"},
		{FILE_LINE("0 40755 1 0 0 0 1.0 - - " HEX),
		 IN_2 "digest '" HEX "' is only for regular files"},
		{FILE_LINE("0 20644 1 0 0 0 1.0 p - -"),
		 IN_2 "payload 'p' is only for files and links"},
		{FILE_LINE("0 120777 1 0 0 0 1.0 - - -"),
		 IN_2 "a symlink needs a payload"},
		{FILE_LINE("0 120777 1 0 0 0 1.0 \\x00 - -"),
		 IN_2 "payload '\\x00' holds a NUL"},
		{FILE_LINE("0 100644 1 0 0 0 1.0 - - - abc"),
		 IN_2 "xattr 'abc' has no '='"},
		{FILE_LINE("0 100644 1 0 0 0 1.0 - - - =abc"),
		 IN_2 "xattr key '' of 0 bytes"},
		{FILE_LINE("0 100644 1 0 0 0 1.0 - - - a\\x00b=c"),
		 IN_2 "an xattr key holds a NUL"},
		{FILE_LINE("0 100644 1 0 0 0 1.0 - - - a=\\y"),
		 IN_2 "'\\y' is not an escape"},
		{FILE_LINE("0 @40755 1 0 0 0 1.0 / - -"),
		 IN_2 "mode '@40755' would link to a directory"},
		{FILE_LINE("0 @100644 1 0 0 0 1.0 - - -"),
		 IN_2 "a hard link needs a payload"},
		{FILE_LINE("0 @100644 1 0 0 0 1.0 x - -"),
		 IN_2 "payload 'x' does not begin with '/'"},
		{FILE_LINE("0 @100644 1 0 0 0 1.0 / - -"),
		 IN_2 "hard link to a directory"},
		{FILE_LINE("0 @100644 1 0 0 0 1.0 /x - -"),
		 IN_2 "hard link to '/x', which is not there"},
		{FILE_LINE("0 @100644 1 0 0 0 1.0 /f - -"),
		 IN_2 "hard links in a circle"},
		{ROOT "/a 0 @100644 1 0 0 0 1.0 /b - -\n/b 0 @100644 1 0 0 0 1.0 /c - -\n"
		      "/c 0 @100644 1 0 0 0 1.0 /b - -\n",
		 IN_2 "hard links in a circle"},
		{ROOT "/a 0 @100644 1 0 0 0 1.0 /f - -\n/a/b 0 100644 1 0 0 0 1.0 - - -\n"
		      "/f 0 100644 1 0 0 0 1.0 - - -\n",
		 "dump: line 3: path '/a/b' comes before its directory"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(cases[i].text, strlen(cases[i].text), cases[i].message);
	assert_refused(ROOT "\0", sizeof(ROOT), IN_2 "byte \\x00 is not escaped");
}

static void repeat(struct buf *buf, const char *text, size_t n)
{
	while (n-- > 0)
		assert_int_equal(buf_append_text(buf, text), 0);
}

/* A line with a field of @n times @unit between @before and @after. */
static void assert_limit(const char *before, const char *unit, size_t allowed,
			 const char *after, const char *message)
{
	for (size_t n = allowed; n <= allowed + 1; n++) {
		auto_buf buf = {};
		auto_free char *text = NULL;

		(void)buf_append_text(&buf, before);
		repeat(&buf, unit, n);
		assert_int_equal(buf_append_text(&buf, after), 0);
		if (n == allowed)
			text = dump_again(buf.data, buf.size);
		else
			assert_refused(buf.data, buf.size, message);
	}
}

static void fields_have_limits(void **state)
{
	char hundred[101];

	(void)state;
	memset(hundred, 'x', 100);
	hundred[100] = '\0';
	assert_limit(ROOT "/f", "n", 254, " 0 100644 1 0 0 0 1.0 - - -",
		     IN_2 "name "
			  "'fnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...' has 256 bytes of 255");
	assert_limit(ROOT "/f 0 120777 1 0 0 0 1.0 ", "t", 4095, " - -",
		     IN_2
		     "payload "
		     "'tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"
		     "...' is too long");
	assert_limit(ROOT "/f 0 100644 1 0 0 0 1.0 - - - user.a=", hundred, 327, "",
		     IN_2 "its xattrs need 32813 bytes of 32755");
	assert_limit(ROOT "/f 0 100644 1 0 0 0 1.0 - - - user.a=x", " user.a=x", 7280, "",
		     IN_2 "65537 bytes of xattrs, at most 65535 are allowed");
}

static void inline_content_ends_at_5000_bytes(void **state)
{
	(void)state;
	for (size_t n = 5000; n <= 5001; n++) {
		auto_buf buf = {};
		auto_free char *text = NULL;

		(void)buf_printf(&buf, ROOT "/f %zu 100644 1 0 0 0 1.0 - ", n);
		repeat(&buf, "\\xff", n);
		assert_int_equal(buf_append_text(&buf, " -\n"), 0);
		if (n == 5000)
			text = dump_again(buf.data, buf.size);
		else
			assert_refused(buf.data, buf.size,
				       IN_2
				       "content of 5001 bytes, at most 5000 are allowed");
	}
}

static void a_tree_is_at_most_1024_directories_deep(void **state)
{
	auto_buf text = {}, path = {};
	auto_free char *out = NULL;

	(void)state;
	(void)buf_append_text(&text, ROOT);
	for (int i = 0; i < 1024; i++) {
		(void)buf_append_text(&path, "/d");
		(void)buf_printf(&text, "%s 0 40755 1 0 0 0 1.0 - - -\n", path.data);
	}
	out = dump_again(text.data, text.size);
	assert_non_null(strstr(out, path.data));
	assert_int_equal(buf_printf(&text, "%s/x 0 100644 1 0 0 0 1.0 - - -", path.data),
			 0);
	assert_refused(
		text.data, text.size,
		"dump: line 1026: path '/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/"
		"d/d/d/d/d/d/d/d/d/d/d...' is too deep");
}

/* Each link points to the next, so that a naive reader would take n^2 steps. */
static void long_chains_of_links_are_followed_in_time(void **state)
{
	auto_buf text = {};
	auto_ptr(tree) tree = NULL;

	(void)state;
	(void)buf_append_text(&text, ROOT);
	for (int i = 0; i < 100000; i++)
		(void)buf_printf(&text, "/%d 0 @100644 1 0 0 0 0.0 /%d - -\n", i, i + 1);
	assert_int_equal(buf_append_text(&text, "/100000 0 100644 1 0 0 0 1.0 - - -\n"),
			 0);
	tree = parse(text.data, text.size);
	assert_ptr_equal(tree_inode(tree_find(tree, "/0")), tree_find(tree, "/100000"));
}

/* Cut anywhere and with any byte changed, a dump is a tree or an error. */
static void damaged_dumps_do_no_harm(void **state)
{
	static const char text[] =
		ROOT "/a\\x20b 2 100644 2 0 0 0 1.0 - x\\n - user.a=b trusted.c=\\xff\n"
		     "/d 0 40755 1 0 0 0 1.5 - - -\n"
		     "/d/l 0 @100644 1 0 0 0 0.0 /a\\x20b - -\n"
		     "/d/s 1 120777 1 0 0 0 -1.0 t - -\n"
		     "/p 500 100644 1 0 0 0 1.0 ab/cd - " HEX "\n";
	static const char bytes[] = "\0\n /\\x@-=.9f\xff";

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		for (size_t k = 0; k < sizeof(bytes); k++) {
			/* of exactly the size, so that a byte too many is seen */
			size_t size = k == 0 ? i : sizeof(text) - 1;
			auto_free char *copy = malloc(size);
			auto_ptr(tree) tree = NULL;

			memcpy(copy, text, size);
			if (i < size)
				copy[i] = bytes[k - 1];
			if (tree_from_dump(copy, size, &tree, NULL) == 0)
				free(dump(tree));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_dumps_come_back_as_they_were_written),
		cmocka_unit_test(what_an_image_computes_is_computed),
		cmocka_unit_test(directory_sizes_change_at_half_and_full_blocks),
		cmocka_unit_test(escapes_come_in_and_go_out),
		cmocka_unit_test(every_byte_of_a_name_survives),
		cmocka_unit_test(payload_and_digest_need_not_belong_together),
		cmocka_unit_test(links_may_come_first_and_in_chains),
		cmocka_unit_test(other_fields_of_a_link_are_ignored),
		cmocka_unit_test(directories_may_come_in_any_order_below_their_parents),
		cmocka_unit_test(the_last_of_equal_xattrs_wins),
		cmocka_unit_test(malformed_dumps_are_refused_with_their_line),
		cmocka_unit_test(fields_have_limits),
		cmocka_unit_test(inline_content_ends_at_5000_bytes),
		cmocka_unit_test(a_tree_is_at_most_1024_directories_deep),
		cmocka_unit_test(long_chains_of_links_are_followed_in_time),
		cmocka_unit_test(damaged_dumps_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
