/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "recipe/check.h"
#include "recipe/model.h"

#define RECIPE(text) recipe_parse("r.yaml", text, strlen(text), &recipe, &err)
#define HEAD	     "suite: trixie\narchitecture: amd64\n"

static void refuses(const char *text, const char *wanted)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	assert_fails(RECIPE(text), -EINVAL, &err);
	assert_string_equal(err.message, wanted);
	assert_null(recipe);
}

static void a_full_recipe_is_read(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(RECIPE("suite: bookworm\narchitecture: arm64\n"
			 "mirror: [http://a/debian, 'https://b/debian/']\n"
			 "security-mirror: file:/srv/security\n"
			 "snapshot: http://s/debian/@SNAPSHOTID@/\n"
			 "security-snapshot: http://s/security/@SNAPSHOTID@/\n"
			 "components: [main, non-free-firmware]\n"
			 "packages:\n  tools: [less, g++]\n  web:\n  - nginx\n"
			 "hostname: web-1.example.org\n"
			 "files:\n- path: /etc/motd\n  content: 'no'\n  mode: 0600\n"
			 "  user: 33\n  group: '4294967294'\n"
			 "commands: [\"true\", 'echo no']\n"),
		  &err);
	assert_string_equal(recipe->suite, "bookworm");
	assert_string_equal(recipe->architecture, "arm64");
	assert_string_equal(recipe->mirrors[1], "https://b/debian/");
	assert_null(recipe->mirrors[2]);
	assert_string_equal(recipe->security_mirrors[0], "file:/srv/security");
	assert_string_equal(recipe->components[1], "non-free-firmware");
	assert_int_equal(recipe->n_groups, 2);
	assert_string_equal(recipe->groups[0].name, "tools");
	assert_string_equal(recipe->groups[0].packages[1].name, "g++");
	assert_string_equal(recipe->groups[1].packages[0].name, "nginx");
	assert_int_equal(recipe->groups[1].packages[0].line, 11);
	assert_string_equal(recipe->hostname, "web-1.example.org");
	assert_int_equal(recipe->n_files, 1);
	assert_string_equal(recipe->files[0].content, "no");
	assert_int_equal(recipe->files[0].mode, 0600);
	assert_int_equal(recipe->files[0].user, 33);
	assert_true(recipe->files[0].group == 4294967294u);
	assert_string_equal(recipe->commands[1], "echo no");
}

static void a_list_of_packages_is_one_group(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(RECIPE(HEAD "packages: [less]\n"), &err);
	assert_int_equal(recipe->n_groups, 1);
	assert_string_equal(recipe->groups[0].name, "packages");
	assert_string_equal(recipe->components[0], "main");
	assert_null(recipe->components[1]);
}

static void without_an_architecture_it_is_the_hosts(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(RECIPE("suite: trixie\n"), &err);
	assert_true(check_architecture(recipe->architecture));
}

static void an_unknown_key_is_refused_with_the_nearest(void **state)
{
	(void)state;
	refuses(HEAD "pakages: [less]\n",
		"r.yaml:3:1: unknown key 'pakages'; did you mean 'packages'?");
	refuses(HEAD "host-name: x\n",
		"r.yaml:3:1: unknown key 'host-name'; did you mean 'hostname'?");
	refuses(HEAD "frobnicate: x\n", "r.yaml:3:1: unknown key 'frobnicate'");
	refuses(HEAD "files:\n- path: /a\n  contents: x\n",
		"r.yaml:5:3: unknown key 'contents'; did you mean 'content'?");
}

static void a_recipe_needs_a_suite(void **state)
{
	(void)state;
	refuses("hostname: x\narchitecture: amd64\n",
		"r.yaml: no suite is given (suite: trixie, or bookworm)");
	refuses("suite: sid\n", "r.yaml:1:8: suite: 'sid' is neither bookworm nor "
				"trixie");
	refuses("suite:\n", "r.yaml:1:7: suite: nothing is given");
	refuses("suite: [trixie]\n", "r.yaml:1:8: suite: a text is wanted, not a list");
	refuses("trixie\n", "r.yaml:1:1: recipe: a mapping of keys is wanted");
}

static void package_names_are_checked(void **state)
{
	(void)state;
	refuses(HEAD "packages:\n- Less\n", "r.yaml:4:3: 'Less' is not a package's name");
	refuses(HEAD "packages: ['?essential']\n",
		"r.yaml:3:12: '?essential' is not a package's name");
	refuses(HEAD "packages: ['-o']\n", "r.yaml:3:12: '-o' is not a package's name");
	refuses(HEAD "packages: [less=]\n",
		"r.yaml:3:12: 'less=' is not a package's name and a version");
	refuses(HEAD "packages: ['less=1 -o']\n",
		"r.yaml:3:12: 'less=1 -o' is not a package's name and a version");
	refuses(HEAD "packages: less\n",
		"r.yaml:3:11: packages: a list, or named lists, are wanted");
	refuses(HEAD "packages:\n  one: [aa]\n  two: [bb, aa]\n",
		"r.yaml:5:13: package 'aa' is given twice, first in line 4");
	refuses(HEAD "packages:\n  base: [aa]\n",
		"r.yaml:4:3: 'base' cannot be a group's name: that is the layer below "
		"all groups");
	refuses(HEAD "packages:\n  My Group: [aa]\n",
		"r.yaml:4:3: 'My Group' cannot be a group's name");
}

static void hostnames_are_checked(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	(void)state;
	assert_true(check_hostname("a"));
	assert_true(check_hostname("A-1.b"));
	assert_false(check_hostname(""));
	assert_false(check_hostname("-a"));
	assert_false(check_hostname("a-"));
	assert_false(check_hostname("a..b"));
	assert_false(check_hostname("a."));
	assert_false(check_hostname("a_b"));
	assert_fails(RECIPE(HEAD "hostname: 'a\nb'\n"), -EINVAL, &err);
}

static void addresses_are_checked(void **state)
{
	(void)state;
	refuses(HEAD "mirror: ftp://a/\n",
		"r.yaml:3:9: mirror: 'ftp://a/' does not start "
		"with http://, https:// or file:/");
	refuses(HEAD "mirror: [http://a/, 'http://b c/']\n",
		"r.yaml:3:21: mirror: 'http://b c/' has a character that an address "
		"cannot have");
	refuses(HEAD "mirror: http://me:secret@a/\n",
		"r.yaml:3:9: mirror: 'http://me:secret@a/' has a user or password in it; "
		"put them in apt's auth.conf");
	refuses(HEAD "mirror: []\n", "r.yaml:3:9: mirror: the list is empty");
	refuses(HEAD "snapshot: http://a/\n",
		"r.yaml:3:11: snapshot: 'http://a/' has no @SNAPSHOTID@ in it, where the "
		"date goes");
}

static void files_are_checked(void **state)
{
	(void)state;
	refuses(HEAD "files:\n- path: etc/motd\n  content: x\n",
		"r.yaml:4:9: path: 'etc/motd' is not an absolute path without '.' and "
		"'..'");
	refuses(HEAD "files:\n- path: /etc/../motd\n  content: x\n",
		"r.yaml:4:9: path: '/etc/../motd' is not an absolute path without '.' "
		"and '..'");
	refuses(HEAD "files:\n- path: /a\n",
		"r.yaml:4:3: file '/a': give one of content, source and secret");
	refuses(HEAD "files:\n- path: /a\n  content: x\n  source: y\n",
		"r.yaml:4:3: file '/a': give one of content, source and secret");
	refuses(HEAD "files:\n- content: x\n", "r.yaml:4:3: file without a path");
	refuses(HEAD "files:\n- path: /a\n  content: x\n  mode: 0o644\n",
		"r.yaml:6:9: mode: '0o644' is not an octal mode such as 0644");
	refuses(HEAD "files:\n- path: /a\n  content: x\n  mode: 0888\n",
		"r.yaml:6:9: mode: '0888' is not an octal mode such as 0644");
	refuses(HEAD "files:\n- path: /a\n  content: x\n  user: 1x\n",
		"r.yaml:6:9: user: '1x' is neither a number nor a name");
	refuses(HEAD "files:\n- path: /a\n  content: x\n  group: 4294967295\n",
		"r.yaml:6:10: group: '4294967295' is neither a number nor a name");
	refuses(HEAD "files:\n- {path: /a, content: x}\n- {path: /a, content: y}\n",
		"r.yaml:5:3: file '/a' is given twice");
	refuses(HEAD "files:\n- path: /a\n  source: ../x\n",
		"r.yaml:5:11: source: '../x' is not a path below the recipe's directory");
}

static void an_empty_file_is_a_file(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(RECIPE(HEAD "files: [{path: /a, content: ''}]\n"), &err);
	assert_int_equal(recipe->files[0].size, 0);
	assert_string_equal(
		recipe->files[0].sha256,
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void a_source_is_read_beside_the_recipe(void **state)
{
	char dir[] = "/tmp/test-recipe-XXXXXX", path[64];
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};
	static const char text[] = HEAD "files: [{path: /a, source: sub/x}]\n";

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/r.yaml", dir);
	assert_int_not_equal(recipe_parse(path, text, strlen(text), &recipe, &err), 0);
	(void)snprintf(path, sizeof(path), "%s/sub", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/sub/x", dir);
	assert_ok(fs_write_new(AT_FDCWD, path, "a\0b", 3, 0600, &err), &err);
	(void)snprintf(path, sizeof(path), "%s/r.yaml", dir);
	assert_ok(recipe_parse(path, text, strlen(text), &recipe, &err), &err);
	assert_int_equal(recipe->files[0].size, 3);
	assert_memory_equal(recipe->files[0].content, "a\0b", 3);
	assert_ok(fs_remove_all(AT_FDCWD, dir, true, &err), &err);
}

static void a_missing_source_names_the_line(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	(void)state;
	assert_fails(RECIPE(HEAD "files:\n- path: /a\n  source: not-here\n"), -ENOENT,
		     &err);
	assert_string_equal(err.message, "r.yaml:5:11: source: open 'not-here': No such "
					 "file or directory");
}

static void commands_are_texts(void **state)
{
	(void)state;
	refuses(HEAD "commands: make\n",
		"r.yaml:3:11: commands: a list is wanted, not a single value");
	refuses(HEAD "commands: [[make]]\n",
		"r.yaml:3:12: item: a text is wanted, not a list");
	refuses(HEAD "commands:\n-\n", "r.yaml:4:2: item: nothing is given");
}

static void only_what_changes_the_answer_changes_the_request(void **state)
{
	static const char *const same[] = {
		"hostname: x\n", "commands: [\"true\"]\n", "mirror: http://a/\n",
		"files: [{path: /a, content: x}]\n", "components: [main]\n"};
	static const char *const other[] = {
		"components: [main, contrib]\n", "packages: [less]\n",
		"packages: {packages: [more]}\n", "packages: {other: [less]}\n",
		"keyring: x.gpg\n"};
	char requests[ARRAY_SIZE(other)][SHA256_HEX + 1];
	auto_ptr(recipe) plain = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(recipe_parse("r", HEAD, strlen(HEAD), &plain, &err), &err);
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		auto_ptr(recipe) recipe = NULL;
		auto_buf text = {};

		(void)buf_printf(&text, HEAD "%s", same[i]);
		assert_ok(RECIPE(text.data), &err);
		assert_string_equal(recipe->request, plain->request);
	}
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		auto_ptr(recipe) recipe = NULL;
		auto_buf text = {};

		(void)buf_printf(&text, HEAD "%s", other[i]);
		assert_ok(RECIPE(text.data), &err);
		assert_string_not_equal(recipe->request, plain->request);
		(void)strcpy(requests[i], recipe->request);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(requests[i], requests[j]);
	}
}

static void a_changed_byte_never_does_harm(void **state)
{
	static const char marks[] = "\n :-[]{}\"'&*#|%@\t\\\xff";
	char text[] = HEAD "packages: {one: [aa], two: [bb]}\nhostname: x\n"
			   "files:\n- {path: /a, content: 'x', mode: 0644}\n"
			   "commands: [\"true\"]\n";

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char before = text[i];

		for (size_t j = 0; marks[j]; j++) {
			auto_ptr(recipe) recipe = NULL;
			struct cop_error err = {};
			int r;

			text[i] = marks[j];
			r = RECIPE(text);
			assert_true(r == 0 || r == -EINVAL);
			assert_true(r == 0 || strncmp(err.message, "r.yaml:", 7) == 0);
		}
		text[i] = before;
	}
}

static void a_recipe_that_is_not_there_is_named(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	(void)state;
	assert_fails(recipe_load("/nonexistent/r.yaml", &recipe, &err), -ENOENT, &err);
	assert_string_equal(err.message,
			    "open recipe '/nonexistent/r.yaml': No such file "
			    "or directory");
	assert_fails(recipe_load("/", &recipe, &err), -EINVAL, &err);
	assert_string_equal(err.message, "recipe '/' is not a regular file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_recipe_is_read),
		cmocka_unit_test(a_list_of_packages_is_one_group),
		cmocka_unit_test(without_an_architecture_it_is_the_hosts),
		cmocka_unit_test(an_unknown_key_is_refused_with_the_nearest),
		cmocka_unit_test(a_recipe_needs_a_suite),
		cmocka_unit_test(package_names_are_checked),
		cmocka_unit_test(hostnames_are_checked),
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test(files_are_checked),
		cmocka_unit_test(an_empty_file_is_a_file),
		cmocka_unit_test(a_source_is_read_beside_the_recipe),
		cmocka_unit_test(a_missing_source_names_the_line),
		cmocka_unit_test(commands_are_texts),
		cmocka_unit_test(only_what_changes_the_answer_changes_the_request),
		cmocka_unit_test(a_changed_byte_never_does_harm),
		cmocka_unit_test(a_recipe_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests_name("recipe", tests, NULL, NULL);
}
