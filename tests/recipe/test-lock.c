/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "recipe/model.h"

#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define KEY   "0123456789ABCDEF0123456789ABCDEF01234567"

#define HEAD                                                 \
	"coppice-lock 1\nsuite trixie\narchitecture amd64\n" \
	"request " SHA_A "\nsource-epoch 1600000000\ndate 20240101T100000Z\n"
#define REPOSITORY "repository trixie Debian Debian trixie main,contrib " KEY "\n"
#define PACKAGE                                                       \
	"package base libc6 2:2.41-12+deb13u1~x amd64 2846580 " SHA_A \
	" trixie pool/main/g/glibc/libc6.deb automatic\n"
#define SECOND \
	"package tools less 668-1 all 161148 " SHA_B " trixie pool/less.deb manual\n"
#define FULL HEAD REPOSITORY PACKAGE SECOND

#define ACCOUNTS                                               \
	"account Debian-exim 102 less\naccount bus 101 less\n" \
	"account bus 101 libc6\n"

#define LOCK(text) lock_parse("r.lock", text, strlen(text), &lock, &err)

static void refuses(const char *text, const char *wanted)
{
	auto_ptr(lock) lock = NULL;
	struct cop_error err = {};

	assert_fails(LOCK(text), -EINVAL, &err);
	assert_string_equal(err.message, wanted);
}

static void a_lock_is_read(void **state)
{
	auto_ptr(lock) lock = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(LOCK(FULL), &err);
	assert_string_equal(lock->suite, "trixie");
	assert_int_equal(lock->source_epoch, 1600000000);
	assert_string_equal(lock->date, "20240101T100000Z");
	assert_null(lock->snapshot);
	assert_int_equal(lock->n_repositories, 1);
	assert_string_equal(lock->repositories[0].components[1], "contrib");
	assert_string_equal(lock->repositories[0].keys[0], KEY);
	assert_int_equal(lock->n_packages, 2);
	assert_string_equal(lock->packages[0].version, "2:2.41-12+deb13u1~x");
	assert_false(lock->packages[0].manual);
	assert_string_equal(lock->packages[1].layer, "tools");
	assert_int_equal(lock->packages[1].size, 161148);
	assert_ptr_equal(lock_find(lock, "less"), &lock->packages[1]);
	assert_null(lock_find(lock, "more"));
}

static void reading_and_writing_gives_the_same_bytes(void **state)
{
	static const char *const texts[] = {
		FULL, FULL ACCOUNTS,
		"coppice-lock 1\nsuite bookworm\narchitecture arm64\nrequest " SHA_B
		"\nsnapshot 20230101T000000Z\nsource-epoch 0\ndate 20230101T000000Z\n"
		"repository bookworm The%20Origin % bookworm main " KEY "\n"
		"package base a+b 1 arm64 0 " SHA_A
		" bookworm pool/%25/%2C%20/%C3%A4.deb manual\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		auto_ptr(lock) lock = NULL;
		struct cop_error err = {};
		auto_buf text = {};

		assert_ok(LOCK(texts[i]), &err);
		assert_ok(lock_format(lock, &text, &err), &err);
		assert_string_equal(text.data, texts[i]);
	}
}

static void the_header_is_strict(void **state)
{
	(void)state;
	refuses("", "r.lock:1: not a lock of coppice");
	refuses("hello\n", "r.lock:1: not a lock of coppice");
	refuses("coppice-lock 2\n",
		"r.lock:1: a lock of a version that is not known: 'coppice-lock 2'");
	refuses("coppice-lock 1\n", "r.lock:2: expected the line 'suite'");
	refuses("coppice-lock 1\nsuite sid\n", "r.lock:2: not a suite 'sid'");
	refuses("coppice-lock 1\nsuite trixie\narchitecture vax\n",
		"r.lock:3: not an architecture 'vax'");
	refuses("coppice-lock 1\nsuite trixie\narchitecture amd64\nrequest abc\n",
		"r.lock:4: not a SHA-256 'abc'");
	refuses("coppice-lock 1\nsuite trixie\narchitecture amd64\nrequest " SHA_A
		"\nsource-epoch 010\n",
		"r.lock:5: not a time in seconds '010'");
	refuses("coppice-lock 1\nsuite trixie\narchitecture amd64\nrequest " SHA_A
		"\nsource-epoch 1\ndate 2024\n",
		"r.lock:6: not a date '2024'");
}

static void repositories_are_checked(void **state)
{
	(void)state;
	refuses(HEAD "repository a b c d e\n", "r.lock:7: a repository has 6 fields");
	refuses(HEAD "repository trixie  Debian trixie main " KEY "\n",
		"r.lock:7: a repository has 6 fields");
	refuses(HEAD "repository trixie Debian De%2gbian trixie main " KEY "\n",
		"r.lock:7: not a field of a repository 'De%2gbian'");
	refuses(HEAD "repository trixie Debian De%62ian trixie main " KEY "\n",
		"r.lock:7: not a field of a repository 'De%62ian'");
	refuses(HEAD "repository trixie Debian Debian trixie main,, " KEY "\n",
		"r.lock:7: not a list ''");
	refuses(HEAD "repository trixie Debian Debian trixie main 0123\n",
		"r.lock:7: not a key's fingerprint '0123'");
	refuses(HEAD REPOSITORY REPOSITORY, "r.lock:8: a second repository 'trixie'");
	refuses(HEAD REPOSITORY PACKAGE REPOSITORY,
		"r.lock:9: expected a package, found 'repository trixie Debian Debian "
		"trixie main,contrib " KEY "'");
}

#define PACKAGE_WITH(layer, name, version, arch, size, sha, repo, path, mark)           \
	HEAD REPOSITORY "package " layer " " name " " version " " arch " " size " " sha \
			" " repo " " path " " mark "\n"

static void packages_are_checked(void **state)
{
	(void)state;
	refuses(HEAD REPOSITORY, "r.lock:8: no package in it");
	refuses(HEAD REPOSITORY "package base libc6\n",
		"r.lock:8: a package has 9 fields");
	refuses(HEAD REPOSITORY "hello\n", "r.lock:8: expected a package, found 'hello'");
	refuses(PACKAGE_WITH("Base", "aa", "1", "all", "1", SHA_A, "trixie", "p",
			     "manual"),
		"r.lock:8: not a layer's name 'Base'");
	refuses(PACKAGE_WITH("base", "../a", "1", "all", "1", SHA_A, "trixie", "p",
			     "manual"),
		"r.lock:8: not a package's name '../a'");
	refuses(PACKAGE_WITH("base", "aa", "1/2", "all", "1", SHA_A, "trixie", "p",
			     "manual"),
		"r.lock:8: not a version '1/2'");
	refuses(PACKAGE_WITH("base", "aa", "1", "arm64", "1", SHA_A, "trixie", "p",
			     "manual"),
		"r.lock:8: not the lock's architecture 'arm64'");
	refuses(PACKAGE_WITH("base", "aa", "1", "all", "-1", SHA_A, "trixie", "p",
			     "manual"),
		"r.lock:8: not a size '-1'");
	refuses(PACKAGE_WITH("base", "aa", "1", "all", "99999999999999999999", SHA_A,
			     "trixie", "p", "manual"),
		"r.lock:8: not a size '99999999999999999999'");
	refuses(PACKAGE_WITH("base", "aa", "1", "all", "1", "ab", "trixie", "p",
			     "manual"),
		"r.lock:8: not a SHA-256 'ab'");
	refuses(PACKAGE_WITH("base", "aa", "1", "all", "1", SHA_A, "sid", "p", "manual"),
		"r.lock:8: no such repository 'sid'");
	refuses(PACKAGE_WITH("base", "aa", "1", "all", "1", SHA_A, "trixie", "../p",
			     "manual"),
		"r.lock:8: not a path in a repository '../p'");
	refuses(PACKAGE_WITH("base", "aa", "1", "all", "1", SHA_A, "trixie", "/p",
			     "manual"),
		"r.lock:8: not a path in a repository '/p'");
	refuses(PACKAGE_WITH("base", "aa", "1", "all", "1", SHA_A, "trixie", "p", "auto"),
		"r.lock:8: neither manual nor automatic 'auto'");
}

static void a_name_has_one_number_and_a_number_one_name(void **state)
{
	(void)state;
	refuses(FULL "account bus 101 less more\n", "r.lock:10: an account has 3 fields");
	refuses(FULL "account b/s 101 less\n",
		"r.lock:10: not a user's or group's name 'b/s'");
	refuses(FULL "account bus 100 less\n",
		"r.lock:10: not a system user's number '100'");
	refuses(FULL "account bus 1000 less\n",
		"r.lock:10: not a system user's number '1000'");
	refuses(FULL "account bus 0101 less\n",
		"r.lock:10: not a system user's number '0101'");
	refuses(FULL "account bus 101 more\n", "r.lock:10: no such package 'more'");
	refuses(FULL "account bus 101 less\naccount bus 102 libc6\n",
		"r.lock:11: not the one number of 'bus'");
	refuses(FULL "account bus 101 less\naccount cow 101 less\n",
		"r.lock:11: not the one number of 'cow'");
	refuses(FULL "account cow 101 less\naccount bus 102 less\n",
		"r.lock:11: not behind the account before: 'bus'");
	refuses(FULL "account bus 101 less\naccount bus 101 less\n",
		"r.lock:11: not behind the account before: 'bus'");
	refuses(HEAD REPOSITORY "account bus 101 less\n",
		"r.lock:8: expected a package, found 'account bus 101 less'");
	refuses(FULL "account bus 101 less\n" SECOND,
		"r.lock:11: expected a package, found 'package tools less 668-1 all 161148 " SHA_B
		" trixie pool/less.deb manual'");
}

static void a_package_and_a_layer_come_once(void **state)
{
	(void)state;
	refuses(HEAD REPOSITORY PACKAGE PACKAGE, "r.lock:9: a second package 'libc6'");
	refuses(HEAD REPOSITORY SECOND,
		"r.lock:8: the first layer is not 'base' but 'tools'");
	refuses(FULL "package base more 1 all 1 " SHA_A " trixie p manual\n",
		"r.lock:10: a second part of layer 'base'");
}

static void a_lock_that_was_cut_anywhere_is_refused(void **state)
{
	static const char full[] = FULL;

	(void)state;
	/* The end of the first package's line is an end that a lock can have. */
	for (size_t size = 0; size + 1 < sizeof(full); size++) {
		auto_ptr(lock) lock = NULL;
		struct cop_error err = {};
		int r = lock_parse("r.lock", full, size, &lock, &err);

		if (size == strlen(HEAD REPOSITORY PACKAGE))
			assert_ok(r, &err);
		else
			assert_fails(r, -EINVAL, &err);
	}
}

static void a_changed_byte_is_refused_or_written_again(void **state)
{
	static const char marks[] = {'\n', ' ', '%', ',', '/', '0', 'z', '\x7f', '\xff'};
	char text[] = FULL;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char before = text[i];

		for (size_t j = 0; j < sizeof(marks); j++) {
			auto_ptr(lock) lock = NULL;
			auto_buf again = {};
			struct cop_error err = {};
			int r;

			text[i] = marks[j];
			r = LOCK(text);
			assert_true(r == 0 || r == -EINVAL);
			if (r == 0) {
				assert_ok(lock_format(lock, &again, &err), &err);
				assert_string_equal(again.data, text);
			}
		}
		text[i] = before;
	}
}

static void a_nul_byte_is_refused(void **state)
{
	auto_ptr(lock) lock = NULL;
	struct cop_error err = {};

	(void)state;
	assert_fails(lock_parse("r.lock", FULL, sizeof(FULL), &lock, &err), -EINVAL,
		     &err);
	assert_string_equal(err.message, "r.lock: a NUL byte in it");
}

static void saving_and_loading_gives_the_same(void **state)
{
	char dir[] = "/tmp/test-lock-XXXXXX", path[64];
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) again = NULL;
	auto_buf text = {};
	struct cop_error err = {};

	(void)state;
	assert_ok(LOCK(FULL), &err);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/r.yaml.lock", dir);
	assert_ok(lock_save(lock, path, &err), &err);
	assert_ok(lock_load(path, &again, &err), &err);
	assert_ok(lock_format(again, &text, &err), &err);
	assert_string_equal(text.data, FULL);
	assert_ok(fs_remove_all(AT_FDCWD, dir, true, &err), &err);
	assert_fails(lock_load(path, &again, &err), -ENOENT, &err);
}

static void the_path_of_a_lock_is_the_recipes_with_an_ending(void **state)
{
	auto_free char *path = lock_path("dir/r.yaml");

	(void)state;
	assert_string_equal(path, "dir/r.yaml.lock");
}

static void collect(void *data, const char *text)
{
	(void)buf_printf(data, "%s\n", text);
}

static void a_difference_names_every_change(void **state)
{
	static const char before_text[] = HEAD REPOSITORY PACKAGE
		"package tools aa 1 all 1 " SHA_A " trixie p manual\n"
		"package tools bb 1 all 1 " SHA_A " trixie p manual\n"
		"package tools dd 1 all 1 " SHA_A " trixie p manual\n"
		"package tools ee 1 all 1 " SHA_A " trixie p manual\n"
		"package tools ff 1 all 1 " SHA_A " trixie p manual\n";
	static const char after_text[] = HEAD REPOSITORY PACKAGE
		"package tools cc 1 all 1 " SHA_A " trixie p manual\n"
		"package tools bb 2 all 1 " SHA_B " trixie p manual\n"
		"package tools dd 1 all 1 " SHA_A " trixie p automatic\n"
		"package tools ff 1 all 1 " SHA_B " trixie p manual\n"
		"package web ee 1 all 1 " SHA_A " trixie p manual\n";
	auto_ptr(lock) before = NULL;
	auto_ptr(lock) after = NULL;
	auto_buf lines = {};
	struct cop_error err = {};

	(void)state;
	assert_ok(lock_parse("b", before_text, strlen(before_text), &before, &err), &err);
	assert_ok(lock_parse("a", after_text, strlen(after_text), &after, &err), &err);
	assert_ok(lock_diff(before, after, collect, &lines, &err), &err);
	assert_string_equal(lines.data, "- aa 1\n~ bb 1 -> 2\n+ cc 1\n"
					"~ dd 1: now automatic\n"
					"~ ee 1: layer tools -> web\n"
					"~ ff 1: another file\n");
}

static void equal_locks_have_no_difference(void **state)
{
	auto_ptr(lock) lock = NULL;
	auto_buf lines = {};
	struct cop_error err = {};

	(void)state;
	assert_ok(LOCK(FULL), &err);
	assert_ok(lock_diff(lock, lock, collect, &lines, &err), &err);
	assert_int_equal(lines.size, 0);
}

static void without_a_lock_before_everything_is_added(void **state)
{
	auto_ptr(lock) lock = NULL;
	auto_buf lines = {};
	struct cop_error err = {};

	(void)state;
	assert_ok(LOCK(FULL), &err);
	assert_ok(lock_diff(NULL, lock, collect, &lines, &err), &err);
	assert_string_equal(lines.data, "+ less 668-1\n+ libc6 2:2.41-12+deb13u1~x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_is_read),
		cmocka_unit_test(reading_and_writing_gives_the_same_bytes),
		cmocka_unit_test(the_header_is_strict),
		cmocka_unit_test(repositories_are_checked),
		cmocka_unit_test(packages_are_checked),
		cmocka_unit_test(a_name_has_one_number_and_a_number_one_name),
		cmocka_unit_test(a_package_and_a_layer_come_once),
		cmocka_unit_test(a_lock_that_was_cut_anywhere_is_refused),
		cmocka_unit_test(a_changed_byte_is_refused_or_written_again),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(saving_and_loading_gives_the_same),
		cmocka_unit_test(the_path_of_a_lock_is_the_recipes_with_an_ending),
		cmocka_unit_test(a_difference_names_every_change),
		cmocka_unit_test(equal_locks_have_no_difference),
		cmocka_unit_test(without_a_lock_before_everything_is_added),
	};

	return cmocka_run_group_tests_name("recipe lock", tests, NULL, NULL);
}
